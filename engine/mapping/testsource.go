package mapping

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"

	"github.com/fieldsync/fieldsync/engine/record"
	"github.com/fieldsync/fieldsync/engine/verify"
)

// TestSource writes a story as a test block that expects every promise to be kept, laid out as fmt does.
func (s *Sync) TestSource(name string, c verify.Case) []byte {
	var b strings.Builder
	names := s.names()
	fmt.Fprintf(&b, "test %s {\n  sync = sync.%s\n", quote(cty.StringVal(name)), s.Name)
	if c.Base[0] != nil || c.Base[1] != nil {
		b.WriteString("  base = " + bothSides(names, c.Base, [2]bool{}) + "\n")
	}
	b.WriteString("  now = " + bothSides(names, c.Now, c.Gone) + "\n  expect = \"kept\"\n}\n")
	return hclwrite.Format([]byte(b.String()))
}

func bothSides(names [2]string, fields [2]record.Fields, gone [2]bool) string {
	var sides []string
	for i, name := range names {
		switch {
		case gone[i]:
			sides = append(sides, name+" = \"gone\"")
		case fields[i] != nil:
			sides = append(sides, name+" = "+members(fields[i]))
		}
	}
	return "{ " + strings.Join(sides, ", ") + " }"
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
