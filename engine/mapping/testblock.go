package mapping

import (
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/fieldsync/fieldsync/engine/record"
)

var testSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{
	{Name: "sync", Required: true}, {Name: "base"}, {Name: "now", Required: true}, {Name: "expect"},
}}

func (l *loader) tests(blocks hcl.Blocks) {
	seen := map[string]hcl.Range{}
	for _, b := range blocks {
		if !l.unique(seen, "test", b) {
			continue
		}
		content, diags := b.Body.Content(testSchema)
		l.add(diags...)
		if content == nil || content.Attributes["sync"] == nil || content.Attributes["now"] == nil {
			continue
		}
		if t := l.test(b, content.Attributes); t != nil {
			l.cfg.Tests = append(l.cfg.Tests, t)
		}
	}
}

func (l *loader) test(b *hcl.Block, attrs hcl.Attributes) *Test {
	before := errorCount(l.diags)
	known := make([]string, len(l.cfg.Syncs))
	for i, s := range l.cfg.Syncs {
		known[i] = s.Name
	}
	name, ok := l.reference(attrs["sync"].Expr, "sync", known)
	if !ok {
		return nil
	}
	s, _ := l.cfg.Sync(name)
	if s.Sides[1].Name == "" {
		return nil // the sync's own diagnostics come first
	}
	t := &Test{Name: b.Labels[0], Sync: s, Range: b.DefRange, names: [2]map[string]hcl.Range{{}, {}}}
	if a := attrs["base"]; a != nil {
		l.members(t, a.Expr, "", nil, &t.Base, nil)
	}
	l.members(t, attrs["now"].Expr, "gone", &t.Gone, &t.Now, nil)
	if a := attrs["expect"]; a != nil {
		if t.Kept = l.kept(a.Expr); t.Kept {
			attrs["expect"] = nil
		}
	}
	if a := attrs["expect"]; a != nil {
		l.members(t, a.Expr, "gone", &t.ExpectGone, &t.Expect, map[string]*[]string{"conflict": &t.Conflicts, "hold": &t.Holds})
	}
	if errorCount(l.diags) > before {
		return nil
	}
	for i, side := range s.Sides {
		if t.Gone[i] && t.Base[i] == nil {
			l.fail(attrs["now"].Expr.Range(), "Gone before it was there", "The test says that the %s is gone, but base has none. Add it: base = { %s = { … } }.", side.Name, side.Name)
		}
	}
	if t.Base[0] == nil && t.Base[1] == nil && t.Now[0] == nil && t.Now[1] == nil && !t.Gone[0] && !t.Gone[1] {
		l.fail(attrs["now"].Expr.Range(), "Test without records", "Say what a side shows: now = { %s = { path = value } }.", s.Sides[0].Name)
	}
	if errorCount(l.diags) > before {
		return nil
	}
	return t
}

// members reads { SIDE = { path = value } }, where word may stand for a side's record, and lists of fields under
// the names that outcomes has.
func (l *loader) members(t *Test, e hcl.Expression, word string, gone *[2]bool, to *[2]record.Fields, outcomes map[string]*[]string) {
	names := t.Sync.names()
	pairs, diags := hcl.ExprMap(e)
	if diags.HasErrors() {
		l.fail(e.Range(), "Sides expected", "Write { %s = { path = value }, %s = { path = value } }.", names[0], names[1])
		return
	}
	for _, p := range pairs {
		name, ok := l.text(p.Key)
		if !ok {
			continue
		}
		i := slices.Index(names[:], name)
		if list := outcomes[name]; list != nil && i < 0 {
			*list = append(*list, l.fieldsOf(t.Sync, p.Value)...)
			continue
		}
		if i < 0 && t.Sync.body.broken {
			continue // half a sync makes its tests look wrong
		}
		if i < 0 {
			l.fail(p.Key.Range(), "Unknown side", "Sync %q has no side %q.%s", t.Sync.Name, name, didYouMean(name, names[:]))
			continue
		}
		if _, diags := hcl.ExprMap(p.Value); diags.HasErrors() && gone != nil {
			v, ok := l.value(p.Value)
			if !ok {
				continue
			}
			if v.Type() == cty.String && !v.IsNull() && v.AsString() == word {
				gone[i] = true
				continue
			}
			if v.Type() == cty.String {
				l.fail(p.Value.Range(), "Record expected", "Write { path = value }, or %q for a record that was deleted.", word)
				continue
			}
		}
		if to[i] == nil {
			to[i] = record.Fields{}
		}
		for _, set := range l.assignments(p.Value) {
			to[i][set.path.text] = set.value
			if _, ok := t.names[i][set.path.text]; !ok {
				t.names[i][set.path.text] = set.path.at
			}
		}
	}
}

// fieldsOf reads a list of names of fields of s.
func (l *loader) fieldsOf(s *Sync, e hcl.Expression) []string {
	known := make([]string, len(s.body.fields))
	for i, f := range s.body.fields {
		known[i] = f.name
	}
	var names []string
	for _, r := range l.names(e) {
		if !s.body.broken && !slices.Contains(known, r.text) {
			l.fail(r.at, "Unknown field", "Sync %q has no field %q.%s", s.Name, r.text, didYouMean(r.text, known))
		}
		names = append(names, r.text)
	}
	return names
}

// checkTests reports paths in tests that no rule has to do with: they could not change anything.
func (l *loader) checkTests() {
	for _, t := range l.cfg.Tests {
		if t.Sync.body.broken {
			continue
		}
		for i, side := range t.Sync.Sides {
			for path, where := range t.names[i] {
				if !slices.Contains(t.Sync.Paths[i], path) {
					l.fail(where, "Path without a rule", "No rule of sync %q reads or writes %s.%s.%s", t.Sync.Name, side.Name, path, suggestion(path, t.Sync.Paths[i]))
				}
			}
		}
	}
}
