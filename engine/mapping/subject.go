package mapping

import (
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/fieldsync/fieldsync/engine/mapping/expression"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
	"github.com/fieldsync/fieldsync/engine/verify"
)

// Subject makes of s what verify lives histories with: its rules on made-up look-ups, and every value that the mapping
// or, where it is known, the schema of a side names for a path. sampled are values that were seen in real records.
func (c *Config) Subject(s *Sync, described [2]*schema, sampled [2]map[string][]record.Value) (*verify.Subject, hcl.Diagnostics) {
	rules, plan, diags := c.compile(s, described, forModel)
	if diags.HasErrors() {
		return nil, sorted(diags)
	}
	sub := &verify.Subject{Rules: rules}
	words := c.wordsOf(s, plan)
	for i := range 2 {
		for path, f := range words[i] {
			if plan.madeUp(i, path) {
				f.Words = slices.DeleteFunc(f.Words, func(w verify.Word) bool { return !w.Value.Empty() && w.From != standInRow })
				words[i][path] = f
			}
		}
	}
	for i, side := range s.Sides {
		if side.Connection != nil {
			sub.Ends[i], sub.Native[i] = side.Connection.Name+"/"+side.Collection, side.Query
		}
		for _, path := range rules.Sides[i].Paths {
			f := words[i][path]
			for _, v := range sampled[i][path] {
				if plan.madeUp(i, path) && !v.Empty() {
					continue // the rows of a live table stand for all that it may hold
				}
				f.Words = append(f.Words, verify.Word{Value: v, Grade: verify.Certain, From: "a record of " + side.Collection})
			}
			describe(&f, described[i], path)
			sub.Forms[i] = append(sub.Forms[i], f)
		}
		if plan.where[i] != nil {
			for _, path := range plan.where[i].Reads()[side.Name] {
				if slot := slices.Index(rules.Sides[i].Paths, path); slot >= 0 {
					sub.Scope[i] = append(sub.Scope[i], slot)
				}
			}
		}
	}
	for _, f := range plan.fields {
		sub.Traits = append(sub.Traits, f.trait())
	}
	return sub, sorted(diags)
}

// describe adds what a system says of a path.
func describe(f *verify.Form, sc *schema, path string) {
	if sc == nil {
		return
	}
	d, ok := sc.Field(path)
	if !ok {
		return
	}
	f.Described, f.MaxLength, f.Required, f.Key = true, d.MaxLength, d.Required, path == sc.Key
	f.Closed = d.Closed && len(d.Choices) > 0
	f.Listed = f.Listed || len(d.Choices) > 0
	for _, ch := range d.Choices {
		f.Choices = append(f.Choices, ch.Value)
		f.Words = append(f.Words, verify.Word{Value: ch.Value, Grade: verify.Certain, From: "a choice of the system"})
	}
}

// trait is what a field says of itself beside what its rule does.
func (f *compiledField) trait() verify.Trait {
	t := verify.Trait{Copy: f.twoWay() && f.via == nil && f.fieldBlock.to[0] == nil && f.fieldBlock.to[1] == nil}
	if f.via == nil {
		return t
	}
	t.Lossy, t.Live = f.via.Lossy, f.via.model
	for i := range 2 {
		if f.leads[i] && f.fieldBlock.to[i] == nil {
			t.Via[i] = f.via.Name
		}
	}
	return t
}

// named are the forms of the paths of one side, with the values that the mapping names for them.
type named map[string]verify.Form

func (n named) word(path string, v record.Value, grade verify.Grade, from string) {
	f := n[path]
	f.Words = append(f.Words, verify.Word{Value: v, Grade: grade, From: from})
	n[path] = f
}

func (n named) list(path string) {
	f := n[path]
	f.Listed = true
	n[path] = f
}

// wordsOf are the values that the mapping names for the paths of s: what it says of s itself, and what other syncs say
// of the same records. Syncs that select their records otherwise may well speak of other ones.
func (c *Config) wordsOf(s *Sync, plan *plan) [2]named {
	out := [2]named{{}, {}}
	s.words(plan, &out)
	c.testWords(s, &out)
	for _, other := range c.Syncs {
		if other == s || other.body.broken {
			continue
		}
		_, p, diags := c.compile(other, [2]*schema{}, forModel)
		if diags.HasErrors() {
			continue
		}
		theirs := [2]named{{}, {}}
		other.words(p, &theirs)
		c.testWords(other, &theirs)
		for i := range 2 {
			for j := range 2 {
				if c.sameRecords(s, i, other, j) {
					for path, x := range theirs[j] {
						for _, w := range x.Words {
							out[i].word(path, w.Value, w.Grade, w.From+" (sync "+other.Name+")")
						}
					}
				}
			}
		}
	}
	return out
}

func (c *Config) sameRecords(s *Sync, i int, o *Sync, j int) bool {
	a, b := s.Sides[i], o.Sides[j]
	k := &compiler{c: c}
	mine, theirs := k.textOf(s.body.where[i]), k.textOf(o.body.where[j])
	return a.Connection == b.Connection && a.Collection == b.Collection && a.Query == b.Query &&
		(mine == "" && theirs == "" || mine == theirs && a.Name == b.Name)
}

// words are the values that the rules of s name.
func (s *Sync) words(p *plan, out *[2]named) {
	for _, f := range p.fields {
		names := s.names()
		columns := [2]int{}
		if f.via != nil {
			columns = f.via.columnsFor(names)
		}
		for i := range 2 {
			if f.via != nil && len(f.paths[i]) == 1 {
				from := "a row of translation " + f.via.Name
				if f.via.model {
					from = standInRow
				}
				out[i].list(f.paths[i][0].text)
				for _, row := range f.via.Rows {
					out[i].word(f.paths[i][0].text, row[columns[i]], verify.Certain, from)
				}
			}
			for _, e := range []*expression.Program{f.to[i], f.when, f.resolve} {
				s.compared(e, out)
			}
		}
		s.ordered(f, columns, out)
	}
	for i := range 2 {
		s.compared(p.where[i], out)
		for _, n := range p.reach[i].needs {
			if slices.Contains(p.paths[i], n.path) {
				out[i].word(n.path, n.value, verify.Certain, n.by+" asks for it")
			}
		}
		if g := s.body.gone[1-i]; g != nil {
			for _, set := range g.set {
				out[i].word(set.path.text, set.value, verify.Certain, "what on_gone writes")
			}
		}
	}
}

// ordered are the values of a field's order, on the side in whose words it is written.
func (s *Sync) ordered(f *compiledField, columns [2]int, out *[2]named) {
	if len(f.order) == 0 {
		return
	}
	for i := range 2 {
		mine := f.via == nil || f.via.Lookup == nil && !slices.ContainsFunc(f.order, func(o setting) bool {
			_, ok := f.via.row(columns[i], o.value)
			return !ok
		})
		if !mine || len(f.paths[i]) != 1 {
			continue
		}
		out[i].list(f.paths[i][0].text)
		for _, o := range f.order {
			out[i].word(f.paths[i][0].text, o.value, verify.Certain, "in the order of field "+f.name)
		}
		if f.via != nil {
			return
		}
	}
}

// compared are the values that an expression holds its paths against.
func (s *Sync) compared(e *expression.Program, out *[2]named) {
	if e == nil {
		return
	}
	all := e.Words()
	for i, name := range s.names() {
		for _, path := range slices.Sorted(maps.Keys(all[name])) {
			for _, w := range all[name][path] {
				grade := verify.Certain
				if w.Near {
					grade = verify.Likely
				}
				out[i].word(path, w.Value, grade, "an expression compares with it")
			}
		}
	}
}

// testWords are the values in tests. One that expects a field to wait shows what the mapping is not made for.
func (c *Config) testWords(s *Sync, out *[2]named) {
	for _, t := range c.Tests {
		if t.Sync != s || t.Kept || len(t.Holds)+len(t.Conflicts) > 0 {
			continue
		}
		for i := range 2 {
			for _, f := range []record.Fields{t.Base[i], t.Now[i], t.Expect[i]} {
				for _, path := range slices.Sorted(maps.Keys(f)) {
					out[i].word(path, f[path], verify.Certain, fmt.Sprintf("in test %q", t.Name))
				}
			}
		}
	}
}

// standInRow is where the words of a live translation come from.
const standInRow = "a made-up row of a live table"

// madeUp reports whether a path of side i goes through a live table, whose rows are made up.
func (p *plan) madeUp(i int, path string) bool {
	return slices.ContainsFunc(p.fields, func(f *compiledField) bool {
		return f.via != nil && f.via.model && slices.ContainsFunc(f.paths[i], func(r ref) bool { return r.text == path })
	})
}

// standIn is a live translation with rows that are made up, each there and back.
func (t *Translation) standIn() *Translation {
	model := &Translation{Name: t.Name, Columns: t.Columns, Unmatched: t.Unmatched, model: true, Range: t.Range, unmatchedAt: t.unmatchedAt}
	for _, row := range [][2]string{{"101", "201"}, {"102", "202"}, {"103", "203"}} {
		model.Rows = append(model.Rows, [2]record.Value{record.OfText(row[0]), record.OfText(row[1])})
		model.cells = append(model.cells, [2]hcl.Range{t.Range, t.Range})
	}
	model.fill()
	return model
}

// kept reads expect = "kept".
func (l *loader) kept(e hcl.Expression) bool {
	if _, diags := hcl.ExprMap(e); !diags.HasErrors() {
		return false
	}
	v, diags := e.Value(l.ctx)
	if diags.HasErrors() || v.IsNull() || v.Type() != cty.String {
		return false
	}
	if v.AsString() != "kept" {
		l.fail(e.Range(), "Unknown expectation", "Write { SIDE = { path = value } }, or \"kept\": whatever is written, every promise is kept.")
	}
	return true
}

// runKept lives the story of a test that says nothing of what is to be written, and asks whether every promise is kept.
func (c *Config) runKept(t *Test) *TestResult {
	res := &TestResult{Name: t.Name}
	sub, diags := c.Subject(t.Sync, [2]*schema{}, [2]map[string][]record.Value{})
	if diags.HasErrors() {
		res.Err = fmt.Errorf("test %q: sync %s: %w", t.Name, t.Sync.Name, diags)
		return res
	}
	rules := about(sub.Rules, t)
	sub = narrowed(sub, rules)
	res.Rules = rules
	res.Problems = verify.Play(sub, verify.Case{Base: t.Base, Now: t.Now, Gone: t.Gone})
	res.OK = len(res.Problems) == 0
	return res
}

// narrowed is sub with the rules that are in fewer.
func narrowed(sub *verify.Subject, fewer *reconcile.Rules) *verify.Subject {
	out := *sub
	out.Rules, out.Traits = fewer, nil
	for i, f := range sub.Rules.Fields {
		if slices.ContainsFunc(fewer.Fields, func(x reconcile.Rule) bool { return x.Name == f.Name }) {
			out.Traits = append(out.Traits, sub.Traits[i])
		}
	}
	return &out
}
