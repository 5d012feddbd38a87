package mapping

import (
	"cmp"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/fieldsync/fieldsync/engine/record"
)

// value evaluates e. false means that a diagnostic says what is wrong.
func (l *loader) value(e hcl.Expression) (cty.Value, bool) {
	l.missing = nil
	v, diags := e.Value(l.ctx)
	l.add(diags...)
	missing := append(l.missing, l.taint(e.Variables())...)
	if len(missing) > 0 {
		slices.Sort(missing)
		for _, name := range slices.Compact(missing) {
			l.fail(e.Range(), "Environment variable not set", "%s is not set. Set it, or give a value to use instead: env(%q, \"…\").", name, name)
		}
		return cty.NilVal, false
	}
	return v, !diags.HasErrors() && v.IsWhollyKnown()
}

// taint lists the environment variables that the locals among ts lack.
func (l *loader) taint(ts []hcl.Traversal) []string {
	var missing []string
	for _, t := range ts {
		if t.RootName() == "local" && len(t) > 1 {
			if a, ok := t[1].(hcl.TraverseAttr); ok {
				missing = append(missing, l.tainted[a.Name]...)
			}
		}
	}
	return missing
}

// text evaluates e as one string.
func (l *loader) text(e hcl.Expression) (string, bool) {
	v, ok := l.value(e)
	if !ok {
		return "", false
	}
	s, err := convert.Convert(v, cty.String)
	if err != nil || s.IsNull() {
		l.fail(e.Range(), "Text expected", "Write one text in double quotes here.")
		return "", false
	}
	return s.AsString(), true
}

// word evaluates e as one of few words.
func (l *loader) word(e hcl.Expression, what string, words ...string) (string, bool) {
	s, ok := l.text(e)
	if ok && !slices.Contains(words, s) {
		l.fail(e.Range(), "Unknown "+what, "%q is not a %s; write %s.%s", s, what, oneOf(words), suggestion(s, words))
		return "", false
	}
	return s, ok
}

func suggestion(s string, words []string) string {
	if n := nearest(s, words); n != "" {
		return fmt.Sprintf(" Did you mean %q?", n)
	}
	return ""
}

// truth evaluates e as true or false.
func (l *loader) truth(e hcl.Expression) (value, ok bool) {
	v, ok := l.value(e)
	if !ok {
		return false, false
	}
	b, err := convert.Convert(v, cty.Bool)
	if err != nil || b.IsNull() {
		l.fail(e.Range(), "Yes or no expected", "Write true or false here.")
		return false, false
	}
	return b.True(), true
}

// duration evaluates e as a length of time of at least least.
func (l *loader) duration(e hcl.Expression, least time.Duration) (time.Duration, bool) {
	s, ok := l.text(e)
	if !ok {
		return 0, false
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < least {
		l.fail(e.Range(), "Not a length of time", "%q is not a length of time of at least %s; write \"90s\", \"15m\" or \"72h\".", s, least)
		return 0, false
	}
	return d, true
}

// fromCty makes a record's value of an HCL value.
func fromCty(v cty.Value) (record.Value, error) {
	a, err := plain(v)
	if err != nil {
		return record.Value{}, err
	}
	return record.Of(a)
}

func plain(v cty.Value) (any, error) {
	if v.IsNull() {
		return nil, nil
	}
	t := v.Type()
	switch {
	case t == cty.String:
		return v.AsString(), nil
	case t == cty.Bool:
		return v.True(), nil
	case t == cty.Number:
		return number(v.AsBigFloat()), nil
	case t.IsTupleType() || t.IsListType() || t.IsSetType():
		list := make([]any, 0, v.LengthInt())
		for _, e := range v.Elements() {
			a, err := plain(e)
			if err != nil {
				return nil, err
			}
			list = append(list, a)
		}
		return list, nil
	case t.IsObjectType() || t.IsMapType():
		m := map[string]any{}
		for k, e := range v.Elements() {
			a, err := plain(e)
			if err != nil {
				return nil, err
			}
			m[k.AsString()] = a
		}
		return m, nil
	}
	return nil, fmt.Errorf("a %s cannot stand in a record", t.FriendlyName())
}

// number keeps whole numbers exact. Those that no int64 holds become a float.
func number(f *big.Float) any {
	if n, exact := f.Int64(); exact == big.Exact {
		return n
	}
	x, _ := f.Float64()
	return x
}

// A ref is a name that stands in a file.
type ref struct {
	text string
	at   hcl.Range
}

// names evaluates e as a text or a list of texts.
func (l *loader) names(e hcl.Expression) []ref {
	if list, diags := hcl.ExprList(e); !diags.HasErrors() {
		out := []ref{}
		for _, item := range list {
			if s, ok := l.text(item); ok {
				out = append(out, ref{s, item.Range()})
			}
		}
		return out
	}
	v, ok := l.value(e)
	if !ok {
		return nil
	}
	if !v.IsNull() && (v.Type().IsTupleType() || v.Type().IsListType() || v.Type().IsSetType()) {
		var out []ref
		for _, item := range v.Elements() {
			s, err := convert.Convert(item, cty.String)
			if err != nil || s.IsNull() {
				l.fail(e.Range(), "Text expected", "Every element of this list must be a text.")
				return nil
			}
			out = append(out, ref{s.AsString(), e.Range()})
		}
		return out
	}
	if s, ok := l.text(e); ok {
		return []ref{{s, e.Range()}}
	}
	return nil
}

// unique reports whether b's last label is new among blocks of its kind.
func (l *loader) unique(seen map[string]hcl.Range, kind string, b *hcl.Block) bool {
	name := b.Labels[len(b.Labels)-1]
	if first, ok := seen[name]; ok {
		l.fail(b.LabelRanges[len(b.LabelRanges)-1], "Second "+kind+" of this name", "There is a %s %q at %s already. Give one of them another name.", kind, name, at(first))
		return false
	}
	seen[name] = b.DefRange
	return true
}

// reserved words have a meaning of their own in expr, so nothing that expressions name may be called so.
var reserved = []string{"run", "local", "true", "false", "nil", "null", "not", "and", "or", "in", "matches", "contains", "startsWith", "endsWith", "let", "if", "else"}

// label checks the name of a block that other blocks refer to.
func (l *loader) label(name, kind string, at hcl.Range) bool {
	if !hclsyntax.ValidIdentifier(name) {
		l.fail(at, "Not a name", "A %s has a name of letters, digits, underscores and dashes that starts with a letter; %q is none.", kind, name)
		return false
	}
	return true
}

// identifier checks a name that expressions use.
func (l *loader) identifier(name, kind string, at hcl.Range) bool {
	if !hclsyntax.ValidIdentifier(name) || strings.Contains(name, "-") || strings.HasPrefix(name, "$") {
		l.fail(at, "Not a name", "A %s has a name of letters, digits and underscores that starts with a letter; %q is none.", kind, name)
		return false
	}
	if slices.Contains(reserved, name) {
		l.fail(at, "Reserved name", "%q has a meaning of its own in expressions. Give the %s another name.", name, kind)
		return false
	}
	return true
}

// reference reads e as KIND.NAME and returns the name.
func (l *loader) reference(e hcl.Expression, kind string, known []string) (string, bool) {
	t, diags := hcl.AbsTraversalForExpr(e)
	if !diags.HasErrors() && len(t) == 2 && t.RootName() == kind {
		if a, ok := t[1].(hcl.TraverseAttr); ok {
			if slices.Contains(known, a.Name) {
				return a.Name, true
			}
			l.fail(a.SrcRange, "Unknown "+kind, "There is no %s %q.%s", kind, a.Name, didYouMean(a.Name, known))
			return "", false
		}
	}
	example := "NAME"
	if len(known) > 0 {
		example = known[0]
	}
	l.fail(e.Range(), "Not a "+kind, "Write the name of a %s here, without quotes, such as %s.%s.", kind, kind, example)
	return "", false
}

// inOrder sorts attributes as they stand in the file.
func inOrder(m map[string]*hcl.Attribute) []*hcl.Attribute {
	attrs := make([]*hcl.Attribute, 0, len(m))
	for _, a := range m {
		attrs = append(attrs, a)
	}
	slices.SortFunc(attrs, func(a, b *hcl.Attribute) int {
		return cmp.Or(strings.Compare(a.Range.Filename, b.Range.Filename), a.Range.Start.Byte-b.Range.Start.Byte)
	})
	return attrs
}
