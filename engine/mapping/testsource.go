package mapping

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"

	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
	"github.com/fieldsync/fieldsync/engine/verify"
)

// TestSource writes a story as a test block that expects every promise to be kept, laid out as fmt does.
func (s *Sync) TestSource(name string, c verify.Case) []byte {
	return s.Source(&Test{Name: name, Base: c.Base, Now: c.Now, Gone: c.Gone, Kept: true})
}

// Source writes t as a test block of s, laid out as fmt does.
func (s *Sync) Source(t *Test) []byte {
	var b strings.Builder
	names := s.names()
	fmt.Fprintf(&b, "test %s {\n  sync = sync.%s\n", quote(cty.StringVal(t.Name)), s.Name)
	if t.Base[0] != nil || t.Base[1] != nil {
		b.WriteString("  base = " + bothSides(names, t.Base, [2]bool{}) + "\n")
	}
	b.WriteString("  now = " + bothSides(names, t.Now, t.Gone) + "\n")
	var expect []string
	for i := range names {
		if len(t.Expect[i]) > 0 || t.ExpectGone[i] {
			side := [2]record.Fields{}
			side[i] = t.Expect[i]
			gone := [2]bool{}
			gone[i] = t.ExpectGone[i]
			expect = append(expect, sidesOf(names, side, gone)...)
		}
	}
	for word, fields := range map[string][]string{"conflict": t.Conflicts, "hold": t.Holds} {
		if len(fields) > 0 {
			expect = append(expect, word+" = "+quote(toCty(anys(fields))))
		}
	}
	switch slices.Sort(expect); {
	case t.Kept:
		b.WriteString("  expect = \"kept\"\n")
	case len(expect) > 0:
		b.WriteString("  expect = { " + strings.Join(expect, ", ") + " }\n")
	}
	b.WriteString("}\n")
	return hclwrite.Format([]byte(b.String()))
}

func anys(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}

// Recorded makes a test of records as they are: it expects what the rules do about them now. Fields that only a
// look-up or a clock could decide stay out, as no test has these; leave names more that are to stay out.
func (c *Config) Recorded(name string, s *Sync, base, now [2]record.Fields, gone [2]bool, leave func(field string) bool) (*Test, error) {
	t := &Test{Name: name, Sync: s, Base: base, Now: now, Gone: gone}
	for {
		t.names = [2]map[string]hcl.Range{{}, {}}
		for i := range 2 {
			for _, fields := range []record.Fields{t.Base[i], t.Now[i]} {
				for path := range fields {
					t.names[i][path] = s.Range
				}
			}
		}
		res := c.RunTest(t)
		if res.Err != nil {
			return nil, res.Err
		}
		out := slices.IndexFunc(res.Verdicts, func(v reconcile.Verdict) bool {
			f := res.Rules.Fields[v.Rule].Name
			return v.Outcome == reconcile.Hold || leave(f)
		})
		if out < 0 {
			t.Expect, t.ExpectGone = res.Got, res.Deleted
			for _, v := range res.Verdicts {
				if v.Outcome == reconcile.Conflict {
					t.Conflicts = append(t.Conflicts, res.Rules.Fields[v.Rule].Name)
				}
			}
			return t, nil
		}
		if !t.drop(res.Rules, &res.Rules.Fields[res.Verdicts[out].Rule]) {
			return nil, fmt.Errorf("nothing of the record is left that a test could be about")
		}
	}
}

// drop takes the paths of a rule out of t; false when that changes nothing.
func (t *Test) drop(r *reconcile.Rules, f *reconcile.Rule) bool {
	dropped := false
	for i := range 2 {
		for _, slot := range slices.Concat(f.Paths[i], f.Reads[i]) {
			path := r.Sides[i].Paths[slot]
			for _, fields := range []record.Fields{t.Base[i], t.Now[i]} {
				if _, ok := fields[path]; ok {
					delete(fields, path)
					dropped = true
				}
			}
		}
	}
	return dropped
}

func bothSides(names [2]string, fields [2]record.Fields, gone [2]bool) string {
	return "{ " + strings.Join(sidesOf(names, fields, gone), ", ") + " }"
}

func sidesOf(names [2]string, fields [2]record.Fields, gone [2]bool) (sides []string) {
	for i, name := range names {
		switch {
		case gone[i]:
			sides = append(sides, name+" = \"gone\"")
		case fields[i] != nil:
			sides = append(sides, name+" = "+members(fields[i]))
		}
	}
	return sides
}

func members(f record.Fields) string {
	if len(f) == 0 {
		return "{}"
	}
	var out []string
	for _, path := range slices.Sorted(maps.Keys(f)) {
		name := path
		if !hclsyntax.ValidIdentifier(path) {
			name = quote(cty.StringVal(path))
		}
		out = append(out, name+" = "+quote(toCty(f[path].Any())))
	}
	return "{ " + strings.Join(out, ", ") + " }"
}

func quote(v cty.Value) string { return string(hclwrite.TokensForValue(v).Bytes()) }

// toCty makes an HCL value of what a record holds; a time is written as text.
func toCty(v any) cty.Value {
	switch v := v.(type) {
	case bool:
		return cty.BoolVal(v)
	case int:
		return cty.NumberIntVal(int64(v))
	case float64:
		return cty.NumberFloatVal(v)
	case string:
		return cty.StringVal(v)
	case []any:
		items := make([]cty.Value, len(v))
		for i := range v {
			items[i] = toCty(v[i])
		}
		return cty.TupleVal(items)
	case map[string]any:
		fields := map[string]cty.Value{}
		for k := range v {
			fields[k] = toCty(v[k])
		}
		return cty.ObjectVal(fields)
	case nil:
		return cty.NullVal(cty.DynamicPseudoType)
	}
	if t, ok := v.(time.Time); ok {
		return cty.StringVal(t.Format(time.RFC3339Nano))
	}
	return cty.StringVal(fmt.Sprint(v))
}
