package verify

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// Told is a story as people read it.
type Told struct {
	Linked bool    `json:"linked"` // base is what both sides agreed on; else they meet for the first time
	Base   []Shown `json:"base"`
	Rounds []Round `json:"rounds"`
}

// Shown is what one path of a record shows.
type Shown struct {
	Record string       `json:"record"`
	Path   string       `json:"path,omitempty"` // "": there is no such record
	Value  record.Value `json:"value"`
}

// A Round is what people did, and the runs that followed.
type Round struct {
	Edits   []Change `json:"edits"`
	Runs    []Run    `json:"runs"`
	Endless bool     `json:"endless,omitempty"` // more runs follow than are told
}

// A Change is one value that changed, or with Path "" a record that was created or deleted.
type Change struct {
	Record string       `json:"record"`
	Path   string       `json:"path,omitempty"`
	From   record.Value `json:"from"`
	To     record.Value `json:"to"`
	Stored record.Value `json:"stored"` // by the system, where that is not To
	What   string       `json:"what,omitempty"`
	Rule   string       `json:"rule,omitempty"`
	At     string       `json:"at,omitempty"`
	Why    string       `json:"why,omitempty"`
}

// A Run is what one run of all syncs of the story did.
type Run struct {
	Changes []Change `json:"changes"`
	Waits   []Wait   `json:"waits,omitempty"`
}

// A Wait is a field, or with Rule "" a link, that a run leaves open.
type Wait struct {
	Rule string `json:"rule,omitempty"`
	At   string `json:"at,omitempty"`
	What string `json:"what"` // "held", "conflict"
	Why  string `json:"why"`
}

// A telling writes down what happens while a story is lived again. A nil telling writes nothing down.
type telling struct {
	told  Told
	about []place
	names []ref // whose verdicts are told
	full  bool
}

// shownRuns is how many runs of a story are told; one that never settles goes on like that.
const shownRuns = 3

func (t *telling) begins(w *world, st *story) {
	if t == nil {
		return
	}
	t.told.Linked = st.linked
	for e := range w.ends {
		if st.base[e] == nil {
			t.told.Base = append(t.told.Base, Shown{Record: w.ends[e].name, Value: record.NullValue})
			continue
		}
		for c, path := range w.ends[e].paths {
			if slices.Contains(t.about, place{e, c}) {
				t.told.Base = append(t.told.Base, Shown{w.ends[e].name, path, st.base[e][c]})
			}
		}
	}
}

func (t *telling) edited(w *world, s *state, round []edit) {
	if t == nil {
		return
	}
	r := Round{Edits: []Change{}}
	for _, x := range round {
		c := Change{Record: w.ends[x.end].name, From: record.NullValue, To: record.NullValue}
		if x.remove {
			c.What = "deleted"
		} else if s.here[x.end] {
			c.Path, c.From, c.To = w.ends[x.end].paths[x.cell], s.values[x.end][x.cell], x.to
			if now, _ := w.ends[x.end].forms[x.cell].store(c.From, x.to); now != x.to {
				c.Stored = now
			}
		}
		r.Edits = append(r.Edits, c)
	}
	t.told.Rounds = append(t.told.Rounds, r)
}

func (t *telling) round() *Round { return &t.told.Rounds[len(t.told.Rounds)-1] }

func (t *telling) runs() {
	if t != nil {
		if t.full = len(t.round().Runs) == shownRuns; t.full {
			t.round().Endless = true
		} else {
			t.round().Runs = append(t.round().Runs, Run{Changes: []Change{}})
		}
	}
}

func (t *telling) run() *Run { return &t.round().Runs[len(t.round().Runs)-1] }

func (t *telling) decided(w *world, i int, in *reconcile.Input, d *reconcile.Decision) {
	if t == nil || t.full || len(t.told.Rounds) == 0 {
		return
	}
	b := w.syncs[i]
	switch d.Life {
	case reconcile.HoldLink:
		t.run().Waits = append(t.run().Waits, Wait{What: "held", Why: d.Why, At: d.At})
	case reconcile.CreateOn:
		t.run().Changes = append(t.run().Changes, Change{Record: w.ends[b.end[d.Side]].name, From: record.NullValue, To: record.NullValue, What: "created", Why: d.Why, At: d.At})
	}
	for _, v := range d.Verdicts {
		if v.Outcome != reconcile.Hold && v.Outcome != reconcile.Conflict || !slices.Contains(t.names, ref{i, v.Rule}) {
			continue
		}
		r := &b.Rules.Fields[v.Rule]
		what := "held"
		if v.Outcome == reconcile.Conflict {
			what = "conflict"
		}
		t.run().Waits = append(t.run().Waits, Wait{Rule: r.Name, At: r.At, What: what, Why: v.Why})
	}
}

func (t *telling) wrote(w *world, i int, side record.Side, set reconcile.Set, was, now record.Value) {
	if t == nil || t.full || len(t.told.Rounds) == 0 {
		return
	}
	b := w.syncs[i]
	if !slices.Contains(t.about, place{b.end[side], b.cell[side][set.Slot]}) {
		return
	}
	c := Change{Record: w.ends[b.end[side]].name, Path: b.Rules.Sides[side].Paths[set.Slot], From: was, To: set.To, At: set.At}
	if now != set.To {
		c.Stored = now
	}
	if set.Rule >= 0 {
		c.Rule = b.Rules.Fields[set.Rule].Name
	}
	t.run().Changes = append(t.run().Changes, c)
}

func (t *telling) deleted(w *world, e int, d *reconcile.Decision) {
	if t != nil && !t.full {
		t.run().Changes = append(t.run().Changes, Change{Record: w.ends[e].name, From: record.NullValue, To: record.NullValue, What: "deleted", Why: d.Why, At: d.At})
	}
}

// tell makes the finding of a problem: its story in words, and as a test where it is one.
func (w *world) tell(st *story, p *problem) Finding {
	t := &telling{about: w.relevant(p)}
	for _, rule := range p.rules {
		t.names = append(t.names, ref{p.sync, rule})
	}
	t.names = append(t.names, p.others...)
	w.play(st, t)
	f := Finding{Kind: p.kind, Promise: promises[p.kind], Story: t.told, What: w.what(st, p), Case: w.asCase(st, t.about)}
	for _, r := range t.names {
		b := w.syncs[r.sync]
		c := Culprit{Sync: b.Rules.Sync}
		switch {
		case r.rule >= 0:
			c.Field, c.At = b.Rules.Fields[r.rule].Name, b.Rules.Fields[r.rule].At
		case p.kind == Refused && len(b.Rules.Match) > 0:
			c.At = b.Rules.Match[0].At
		}
		f.Culprits = append(f.Culprits, c)
	}
	return f
}

// asCase is a story as base and now of a test; nil where one test cannot tell it.
func (w *world) asCase(st *story, about []place) *Case {
	if len(w.syncs) != 1 || len(st.rounds) != 1 {
		return nil
	}
	b := w.syncs[0]
	c := &Case{}
	for _, s := range record.Sides {
		e := b.end[s]
		if st.base[e] == nil {
			continue
		}
		f := record.Fields{}
		for cell, path := range w.ends[e].paths {
			if slices.Contains(about, place{e, cell}) || len(about) == 0 || !st.linked && !st.base[e][cell].Empty() {
				f[path] = st.base[e][cell]
			}
		}
		if st.linked {
			c.Base[s] = f
		} else {
			c.Now[s] = f
		}
		for _, x := range st.rounds[0] {
			switch {
			case x.end != e:
			case x.remove:
				c.Gone[s] = true
			default:
				if c.Now[s] == nil {
					c.Now[s] = record.Fields{}
				}
				c.Now[s][w.ends[e].paths[x.cell]] = x.to
			}
		}
	}
	return c
}

// what says in one sentence what is wrong.
func (w *world) what(st *story, p *problem) string {
	b := w.syncs[p.sync]
	names := func(s record.Side, slots []int) string {
		paths := make([]string, len(slots))
		for k, slot := range slots {
			paths[k] = b.Rules.Sides[s].Name + "." + b.Rules.Sides[s].Paths[slot]
		}
		return strings.Join(paths, " and ")
	}
	var fields []string
	for _, rule := range p.rules {
		if rule >= 0 {
			fields = append(fields, b.Rules.Fields[rule].Name)
		}
	}
	for _, r := range p.others {
		if o := w.syncs[r.sync]; r.rule >= 0 {
			fields = append(fields, o.Rules.Fields[r.rule].Name+" of "+o.Rules.Sync)
		}
	}
	var rule *reconcile.Rule
	if p.rules[0] >= 0 {
		rule = &b.Rules.Fields[p.rules[0]]
	}
	from, to := b.Rules.Sides[p.side].Name, b.Rules.Sides[p.side.Other()].Name
	switch p.kind {
	case PingPong:
		return fmt.Sprintf("%s: no rest, each run writes again, though nobody edits anything", enumerate(fields))
	case TwoWriters:
		return fmt.Sprintf("%s write one path with different values, in turn, without end", enumerate(fields))
	case Lossy:
		what := fmt.Sprintf("what %s gives %s does not come back as what it was", names(p.side, rule.Paths[p.side]), names(p.side.Other(), rule.Paths[p.side.Other()]))
		return what + w.trip(st, p)
	case Rewritten:
		return fmt.Sprintf("an edit goes over by one of %s and comes back by the other as something else", enumerate(fields))
	case Untranslated:
		return fmt.Sprintf("%s can hold what has no row: %s", names(p.side, rule.Paths[p.side]), p.why)
	case Undecided:
		if rule == nil {
			return fmt.Sprintf("whether a %s is in scope cannot be told: %s", from, p.why)
		}
		return fmt.Sprintf("%s cannot be decided: %s", rule.Name, p.why)
	case Unranked:
		return fmt.Sprintf("the order of %s has no place for a value of %s, so a conflict waits for a person", rule.Name, names(p.side, rule.Paths[p.side]))
	case Refused:
		path := names(p.side.Other(), []int{p.into})
		switch {
		case p.create && rule == nil:
			return fmt.Sprintf("a new %s would carry %s as its marker, and %s cuts it: it is never created", to, p.why, path)
		case p.create:
			return fmt.Sprintf("a new %s needs %s, and %s may have nothing to send: it is never created", to, path, rule.Name)
		}
		return fmt.Sprintf("%s does not take %s, which %s sends", path, p.why, author(rule))
	case Cut:
		if p.twin {
			return fmt.Sprintf("%s comes back cut, though nobody edited that path on the other side", rule.Name)
		}
		return fmt.Sprintf("%s is too long for %s, which keeps the beginning; when somebody edits it there, the long one is replaced (and kept in the history)",
			names(p.side, rule.Paths[p.side]), names(p.side.Other(), rule.Paths[p.side.Other()]))
	}
	return p.why
}

func author(r *reconcile.Rule) string {
	if r == nil {
		return "the mapping"
	}
	return r.Name
}

// shownText is how much of a value a sentence shows.
const shownText = 40

// trip shows the round trip of a rule whose values do not come back.
func (w *world) trip(st *story, p *problem) string {
	if p.why != "" {
		return ": the way back fails: " + p.why
	}
	b, o := w.syncs[p.sync], p.side.Other()
	rule := &b.Rules.Fields[p.rules[0]]
	s := w.begin(st)
	for n, r := range st.rounds {
		for _, x := range r {
			w.edit(s, x)
		}
		if n < len(st.rounds)-1 {
			w.step(s, p.sync, b.Rules, nil)
		}
	}
	var env reconcile.Env
	env.Time = epoch
	for _, side := range record.Sides {
		env.Values[side] = w.slots(s, b, side)
	}
	say := func(vs []record.Value) string {
		words := make([]string, len(vs))
		for k, v := range vs {
			words[k] = v.String()
			if text := []rune(words[k]); len(text) > shownText {
				words[k] = string(text[:shownText]) + "…\""
			}
		}
		return strings.Join(words, ", ")
	}
	set := func(side record.Side, vs []record.Value) {
		for k, slot := range rule.Paths[side] {
			env.Values[side][slot] = vs[k]
		}
	}
	trip := []string{say(pick(env.Values[p.side], rule.Paths[p.side]))}
	for side := o; len(trip) < 4; side = side.Other() {
		vs, err := rule.To[side](env)
		if err != nil {
			trip = append(trip, "nothing: "+err.Error())
			break
		}
		trip = append(trip, say(vs))
		set(side, vs)
	}
	return ": " + strings.Join(trip, " → ")
}

// enumerate joins names as people do.
func enumerate(names []string) string {
	switch len(names) {
	case 0:
		return "the mapping"
	case 1:
		return names[0]
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}
