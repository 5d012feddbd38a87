package verify

import (
	"slices"
	"time"
	"unicode/utf8"

	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A world is what histories happen in: one record of each collection, and the syncs between them. One sync has two
// records; two that meet on a collection share its record.
type world struct {
	syncs []*binding
	ends  []end
	bound int // runs without edits in which everything must have come to rest
}

// An end is one record's place. Its cells are the paths that the syncs name there.
type end struct {
	name  string
	paths []string
	forms []*Form
	types []record.Type
	pools [][]Word // by cell: what may stand there, the surest and simplest first
	fixed []bool   // by cell: nobody edits it: keys and markers
}

// A binding is one sync in a world.
type binding struct {
	*Subject
	end    [2]int
	cell   [2][]int            // by side and slot
	scoped [2]bool             // where is tried
	lead   [2]*reconcile.Rules // the same rules with one side leading on first contact: they agree a start
}

func newWorld(subjects ...*Subject) *world {
	w := &world{bound: 3}
	at := map[string]int{} // end by collection
	for n, sub := range subjects {
		b := &binding{Subject: sub}
		for _, s := range record.Sides {
			// The two sides of one sync are two records, though they may be of one collection.
			e, met := at[sub.Ends[s]]
			if !met || sub.Ends[s] == "" || s == record.Right && e == b.end[0] {
				e = len(w.ends)
				w.ends = append(w.ends, end{name: sub.Rules.Sides[s].Name})
				at[sub.Ends[s]] = e
			}
			b.end[s] = e
			if w.ends[e].name != sub.Rules.Sides[s].Name && n > 0 {
				w.ends[e].name += "/" + sub.Rules.Sides[s].Name
			}
			for slot, path := range sub.Rules.Sides[s].Paths {
				b.cell[s] = append(b.cell[s], w.ends[e].take(path, &sub.Forms[s][slot], sub.Rules.Sides[s].Types[slot]))
			}
			b.scoped[s] = sub.Rules.Sides[s].Where != nil
			lead := *sub.Rules
			lead.First = reconcile.First{Mode: reconcile.FirstSide, Side: s}
			b.lead[s] = &lead
		}
		for _, m := range sub.Rules.Match {
			for _, s := range record.Sides {
				w.ends[b.end[s]].fixed[b.cell[s][m.Slots[s]]] = true
			}
		}
		w.syncs = append(w.syncs, b)
		w.bound += len(sub.Rules.Fields)
	}
	w.bound = min(w.bound, 12)
	return w
}

// take finds or makes the cell of a path. Of two forms the one that says more counts.
func (e *end) take(path string, f *Form, t record.Type) int {
	cell := slices.Index(e.paths, path)
	if cell < 0 {
		cell = len(e.paths)
		e.paths, e.forms, e.types = append(e.paths, path), append(e.forms, f), append(e.types, t)
		e.pools, e.fixed = append(e.pools, nil), append(e.fixed, f.Key)
		return cell
	}
	if old := e.forms[cell]; old != f {
		both := *old
		if f.Described && !old.Described {
			both = *f
		}
		both.Listed = old.Listed || f.Listed
		both.Words = append(slices.Clone(old.Words), f.Words...)
		e.forms[cell] = &both
	}
	return cell
}

// A state is how a world is now.
type state struct {
	here   []bool // by end
	gone   []bool
	values [][]record.Value // by end and cell
	links  []record.Link    // by sync
	last   []reconcile.Decision
	inputs []reconcile.Input
	faults []problem // what systems did with what they were sent
	wrote  [][]int   // by sync: rules that wrote in the round, with repetitions; -1 for markers and on_gone
	runs   int
}

var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// begin puts a world where a story begins.
func (w *world) begin(st *story) *state {
	s := &state{
		here: make([]bool, len(w.ends)), gone: make([]bool, len(w.ends)), values: make([][]record.Value, len(w.ends)),
		links: make([]record.Link, len(w.syncs)), last: make([]reconcile.Decision, len(w.syncs)),
		inputs: make([]reconcile.Input, len(w.syncs)), wrote: make([][]int, len(w.syncs)),
	}
	for e := range w.ends {
		if st.base[e] != nil {
			s.here[e], s.values[e] = true, slices.Clone(st.base[e])
		}
	}
	if !st.linked {
		return s
	}
	for i, b := range w.syncs {
		l := &s.links[i]
		l.ID = int64(i + 1)
		for _, side := range record.Sides {
			l.Key[side] = b.Rules.Sides[side].Name
			if st.base[b.end[side]] != nil {
				l.Base[side] = w.slots(s, b, side)
			}
		}
	}
	return s
}

// slots are the values of a side in the order of its sync.
func (w *world) slots(s *state, b *binding, side record.Side) []record.Value {
	vs := make([]record.Value, len(b.cell[side]))
	values := s.values[b.end[side]]
	for slot, cell := range b.cell[side] {
		vs[slot] = values[cell]
	}
	return vs
}

// look is what a run sees of a link.
func (w *world) look(s *state, i int) reconcile.Input {
	b := w.syncs[i]
	in := reconcile.Input{Link: s.links[i], Time: epoch}
	for _, side := range record.Sides {
		e := b.end[side]
		switch {
		case s.gone[e]:
			in.Presence[side] = reconcile.Gone
			if in.Link.ID == 0 {
				in.Presence[side] = reconcile.Missing
			}
			continue
		case !s.here[e]:
			in.Presence[side] = reconcile.Missing
			continue
		}
		in.Record[side] = record.Record{Key: b.Rules.Sides[side].Name, Values: w.slots(s, b, side)}
		if !b.scoped[side] {
			continue
		}
		var env reconcile.Env
		env.Values[side], env.Time = in.Record[side].Values, epoch
		switch ok, err := b.Rules.Sides[side].Where(env); {
		case err != nil:
			in.Presence[side], in.Doubt[side] = reconcile.Unsure, err.Error()
		case !ok:
			in.Presence[side] = reconcile.OutOfScope
		}
	}
	return in
}

// step is one run of one sync; it reports whether anything was written.
func (w *world) step(s *state, i int, rules *reconcile.Rules, t *telling) bool {
	b := w.syncs[i]
	s.runs++
	if s.links[i].Status == record.Ended {
		s.last[i] = reconcile.Decision{Life: reconcile.End}
		return false
	}
	in := w.look(s, i)
	d := reconcile.Decide(rules, in)
	s.last[i], s.inputs[i] = d, in
	t.decided(w, i, &in, &d)
	if d.Life == reconcile.CreateOn && w.refused(s, i, &d) {
		return false
	}
	var stored [2][]record.Value
	wrote := d.Life == reconcile.DeleteOn
	for _, side := range record.Sides {
		if len(d.Sets[side]) == 0 {
			continue
		}
		wrote = true
		e := b.end[side]
		if d.Life == reconcile.CreateOn && d.Side == side {
			s.here[e], s.gone[e] = true, false
			s.values[e] = slices.Repeat([]record.Value{record.NullValue}, len(w.ends[e].paths))
		}
		for _, set := range d.Sets[side] {
			cell := b.cell[side][set.Slot]
			was := s.values[e][cell]
			now, taken := w.ends[e].forms[cell].store(was, set.To)
			if !taken {
				s.faults = append(s.faults, problem{kind: Refused, sync: i, rules: []int{set.Rule}, side: side.Other(), into: set.Slot, why: set.To.String()})
			}
			s.values[e][cell] = now
			s.wrote[i] = append(s.wrote[i], set.Rule)
			t.wrote(w, i, side, set, was, now)
		}
		stored[side] = w.slots(s, b, side)
	}
	if d.Life == reconcile.DeleteOn {
		s.gone[b.end[d.Side]], s.here[b.end[d.Side]] = true, false
		t.deleted(w, b.end[d.Side], &d)
	}
	s.links[i] = reconcile.Settle(rules, in, d, stored, [2]bool{})
	if l := &s.links[i]; d.Life == reconcile.Stay || d.Life == reconcile.CreateOn {
		l.ID = int64(i + 1)
		for _, side := range record.Sides {
			l.Key[side] = b.Rules.Sides[side].Name
		}
	}
	return wrote
}

// refused holds a create against what its system asks for.
func (w *world) refused(s *state, i int, d *reconcile.Decision) bool {
	b := w.syncs[i]
	side := d.Side
	for slot, cell := range b.cell[side] {
		f := w.ends[b.end[side]].forms[cell]
		n := slices.IndexFunc(d.Sets[side], func(set reconcile.Set) bool { return set.Slot == slot })
		switch {
		case n < 0 && f.Required && !f.Key:
			if rule := b.writer(side, slot); rule >= 0 {
				s.faults = append(s.faults, problem{kind: Refused, sync: i, rules: []int{rule}, side: side.Other(), into: slot, why: "null", create: true})
				return true
			}
		case n >= 0 && d.Sets[side][n].Rule < 0 && f.MaxLength > 0 && utf8.RuneCountInString(d.Sets[side][n].To.Text()) > f.MaxLength:
			s.faults = append(s.faults, problem{kind: Refused, sync: i, rules: []int{-1}, side: side.Other(), into: slot, why: d.Sets[side][n].To.String(), create: true})
			return true
		}
	}
	return false
}

// writer is the rule that writes a slot, or -1.
func (b *binding) writer(side record.Side, slot int) int {
	return slices.IndexFunc(b.Rules.Fields, func(r reconcile.Rule) bool { return r.To[side] != nil && slices.Contains(r.Paths[side], slot) })
}

// store is what a system makes of a value that it is sent, and whether it takes it at all.
func (f *Form) store(was, v record.Value) (record.Value, bool) {
	switch {
	case f.Required && v.Empty():
		return was, false
	case f.Closed && !v.Empty() && !slices.Contains(f.Choices, v):
		return was, false
	case f.MaxLength > 0 && v.Kind() == record.Text && utf8.RuneCountInString(v.Text()) > f.MaxLength:
		return record.OfText(string([]rune(v.Text())[:f.MaxLength])), true
	}
	return v, true
}
