package mapping

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A TestResult is what came of one test block.
type TestResult struct {
	Name     string
	OK       bool
	Got      [2]record.Fields // what would be written
	Deleted  [2]bool          // the record would be deleted
	Problems []string         // what is not as the test expects
	Verdicts []reconcile.Verdict
	Rules    *reconcile.Rules // those that the test is about; Verdicts count in them
	Err      error            // the test could not be run
}

// RunTest decides about the records of t with the real core and compares what would be written. Paths that
// the test does not name are null, and rules that have to do with none of the named paths stay out: a test
// says nothing of them. Look-ups and clocks are not there.
func (c *Config) RunTest(t *Test) *TestResult {
	res := &TestResult{Name: t.Name}
	s := t.Sync
	if s.body.broken {
		res.Err = fmt.Errorf("test %q: sync %s has errors", t.Name, s.Name)
		return res
	}
	if t.Kept {
		return c.runKept(t)
	}
	rules, plan, diags := c.compile(s, [2]*schema{}, forTest)
	if diags.HasErrors() {
		res.Err = fmt.Errorf("test %q: sync %s: %w", t.Name, s.Name, diags)
		return res
	}
	res.Rules = about(rules, t)
	in := t.input(rules)
	t.scope(rules, plan, &in)
	d := reconcile.Decide(res.Rules, in)
	res.Verdicts = d.Verdicts
	res.judge(t, in, &d)
	res.OK = len(res.Problems) == 0
	return res
}

// about is r with the rules that touch a path that t names.
func about(r *reconcile.Rules, t *Test) *reconcile.Rules {
	out := *r
	out.Fields = nil
	for _, f := range r.Fields {
		touched := false
		for i := range 2 {
			for _, slot := range slices.Concat(f.Paths[i], f.Reads[i]) {
				_, named := t.names[i][r.Sides[i].Paths[slot]]
				touched = touched || named
			}
		}
		if touched || slices.Contains(t.Conflicts, f.Name) || slices.Contains(t.Holds, f.Name) {
			out.Fields = append(out.Fields, f)
		}
	}
	return &out
}

// input builds what the core sees. A side is there if base or now has it; the two are linked if base has any.
func (t *Test) input(r *reconcile.Rules) reconcile.Input {
	in := reconcile.Input{Time: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)}
	there := [2]bool{}
	for i := range 2 {
		there[i] = t.Base[i] != nil || t.Now[i] != nil || t.Gone[i]
	}
	linked := there[0] && there[1] && (t.Base[0] != nil || t.Base[1] != nil)
	for i, s := range record.Sides {
		if !there[i] {
			in.Presence[i] = reconcile.Missing
			continue
		}
		key := "test-" + r.Sides[i].Name
		base := values(r.Sides[i].Paths, t.Base[i])
		if linked {
			in.Link.ID = 1
			in.Link.Key[i], in.Link.Label[i] = key, key
			in.Link.Base[s] = base
		}
		if t.Gone[i] {
			in.Presence[i] = reconcile.Gone
			continue
		}
		both := maps.Clone(t.Base[i])
		if both == nil {
			both = record.Fields{}
		}
		maps.Copy(both, t.Now[i])
		in.Record[i] = record.Record{Key: key, Values: values(r.Sides[i].Paths, both)}
	}
	return in
}

// scope says which records of a test are out of the scope of their side. Of paths that the test does not name it says
// nothing, so they put no record out of scope.
func (t *Test) scope(r *reconcile.Rules, p *plan, in *reconcile.Input) {
	for i, s := range record.Sides {
		if in.Presence[i] != reconcile.Present || t.Now[i] == nil && t.Base[i] == nil {
			continue
		}
		named := func(path string) bool { _, ok := t.names[i][path]; return ok }
		side := &r.Sides[i]
		outside := slices.ContainsFunc(p.reach[i].needs, func(n need) bool {
			slot := slices.Index(side.Paths, n.path)
			return named(n.path) && slot >= 0 && !strings.EqualFold(in.Record[i].Values[slot].Plain(), n.value.Plain())
		})
		if !outside && side.Where != nil && !slices.ContainsFunc(side.Scope, func(slot int) bool { return !named(side.Paths[slot]) }) {
			env := reconcile.Env{Time: in.Time}
			env.Values[s] = in.Record[i].Values
			ok, err := side.Where(env)
			if err != nil {
				in.Presence[i], in.Doubt[i] = reconcile.Unsure, err.Error()
				continue
			}
			outside = !ok
		}
		if outside {
			in.Presence[i] = reconcile.OutOfScope
		}
	}
}

func values(paths []string, f record.Fields) []record.Value {
	vs := make([]record.Value, len(paths))
	for i, path := range paths {
		if v, ok := f[path]; ok {
			vs[i] = v
		} else {
			vs[i] = record.NullValue
		}
	}
	return vs
}

// judge compares the decision with what the test expects.
func (res *TestResult) judge(t *Test, in reconcile.Input, d *reconcile.Decision) {
	problem := func(format string, args ...any) { res.Problems = append(res.Problems, fmt.Sprintf(format, args...)) }
	for i, side := range res.Rules.Sides {
		res.Got[i] = record.Fields{}
		markers := map[string]bool{}
		for _, set := range d.Sets[i] {
			path := side.Paths[set.Slot]
			res.Got[i][path] = set.To
			// A marker is written on every create, so a test need not repeat it.
			markers[path] = set.Rule < 0 && d.Life == reconcile.CreateOn
		}
		for _, path := range slices.Sorted(maps.Keys(t.Expect[i])) {
			want := t.Expect[i][path]
			got, written := res.Got[i][path]
			switch {
			case !written && want.Empty() && d.Life == reconcile.CreateOn:
				// A create leaves out what is null.
			case !written:
				problem("%s.%s is not written, expected %s%s", side.Name, path, want, res.because(i, path))
			case vocabulary(got) != vocabulary(want):
				problem("%s.%s becomes %s, expected %s", side.Name, path, got, want)
			}
		}
		for _, path := range slices.Sorted(maps.Keys(res.Got[i])) {
			if _, ok := t.Expect[i][path]; !ok && !markers[path] {
				problem("%s.%s becomes %s, which is not expected", side.Name, path, res.Got[i][path])
			}
		}
		deleted := d.Life == reconcile.DeleteOn && int(d.Side) == i
		res.Deleted[i] = deleted
		switch {
		case deleted && !t.ExpectGone[i]:
			problem("the %s is deleted, which is not expected", side.Name)
		case !deleted && t.ExpectGone[i]:
			problem("the %s is not deleted%s", side.Name, lifeWhy(d))
		}
	}
	res.waits(reconcile.Conflict, "in conflict", t.Conflicts)
	res.waits(reconcile.Hold, "held", t.Holds)
	// Nothing may be what the test wants of a link that is held, but not of a record that was to be made.
	if len(res.Problems) == 0 && (d.Life != reconcile.HoldLink || in.Link.ID != 0) {
		return
	}
	switch d.Life {
	case reconcile.HoldLink:
		problem("the link is held: %s", d.Why)
	case reconcile.Ignore, reconcile.Detach:
		for i, side := range res.Rules.Sides {
			if in.Presence[i] == reconcile.OutOfScope && d.Life == reconcile.Detach {
				problem("nothing is written: %s is out of scope by %s, so the link is detached", side.Name, res.Rules.Scope(record.Sides[i]))
				return
			}
			if in.Presence[i] == reconcile.OutOfScope {
				problem("nothing is done: %s is out of scope by %s", side.Name, res.Rules.Scope(record.Sides[i]))
				return
			}
		}
		problem("nothing is done: %s", d.Why)
	}
}

// waits compares the fields that are left open with those that the test expects to be.
func (res *TestResult) waits(outcome reconcile.Outcome, word string, want []string) {
	var got []string
	for _, v := range res.Verdicts {
		name := res.Rules.Fields[v.Rule].Name
		if v.Outcome != outcome {
			continue
		}
		got = append(got, name)
		if !slices.Contains(want, name) {
			res.Problems = append(res.Problems, fmt.Sprintf("field %s is %s, which is not expected: %s", name, word, v.Why))
		}
	}
	for _, name := range want {
		if !slices.Contains(got, name) {
			res.Problems = append(res.Problems, fmt.Sprintf("field %s is not %s%s", name, word, res.verdictWhy(name)))
		}
	}
}

func lifeWhy(d *reconcile.Decision) string {
	if d.Why == "" {
		return ""
	}
	return ": " + d.Life.String() + ", " + d.Why
}

// because says why a path was not written, from the verdict of the rule that writes it.
func (res *TestResult) because(side int, path string) string {
	for _, v := range res.Verdicts {
		f := res.Rules.Fields[v.Rule]
		if f.To[side] == nil {
			continue
		}
		for _, slot := range f.Paths[side] {
			if res.Rules.Sides[side].Paths[slot] == path {
				return fmt.Sprintf(" (%s: %s, %s)", f.Name, v.Outcome, v.Why)
			}
		}
	}
	return ""
}

func (res *TestResult) verdictWhy(name string) string {
	for _, v := range res.Verdicts {
		if res.Rules.Fields[v.Rule].Name == name {
			return fmt.Sprintf(": %s, %s", v.Outcome, v.Why)
		}
	}
	return ""
}
