package verify

import (
	"slices"

	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A story is where a history begins and what people do in it. After each round runs follow until nothing is left to do.
type story struct {
	base   [][]record.Value // by end and cell; nil: there is no record
	linked bool             // base is what both sides agreed on
	rounds [][]edit
}

// An edit is one value that somebody writes, or a record that somebody deletes.
type edit struct {
	end, cell int
	to        record.Value
	remove    bool
}

func (st *story) clone() *story {
	c := &story{linked: st.linked, base: make([][]record.Value, len(st.base))}
	for e := range st.base {
		c.base[e] = slices.Clone(st.base[e])
	}
	for _, r := range st.rounds {
		c.rounds = append(c.rounds, slices.Clone(r))
	}
	return c
}

// lone is the only end that a round edits.
func lone(round []edit) (int, bool) {
	if len(round) == 0 {
		return 0, false
	}
	return round[0].end, !slices.ContainsFunc(round, func(e edit) bool { return e.end != round[0].end || e.remove })
}

// agree lets the rules themselves make values that fit, one end leading, and says whether that ended in a start that is
// agreed and in scope.
func (w *world) agree(values [][]record.Value, lead int) ([][]record.Value, bool) {
	st := &story{base: values}
	s := w.begin(st)
	for n := 0; ; n++ {
		wrote := false
		for i, b := range w.syncs {
			side := record.Left
			if b.end[1] == lead {
				side = record.Right
			}
			wrote = w.step(s, i, b.lead[side], nil) || wrote
		}
		if !wrote {
			break
		}
		if n == w.bound {
			return nil, false
		}
	}
	return s.values, w.agreed(s.values)
}

// agreed reports whether values make a start for every sync in which nothing is to be done and nothing waits.
func (w *world) agreed(values [][]record.Value) bool {
	s := w.begin(&story{base: values, linked: true})
	for i, b := range w.syncs {
		d := reconcile.Decide(b.Rules, w.look(s, i))
		if d.Life != reconcile.Stay || len(d.Sets[0])+len(d.Sets[1]) > 0 {
			return false
		}
		if slices.ContainsFunc(d.Verdicts, func(v reconcile.Verdict) bool { return v.Outcome == reconcile.Conflict || v.Outcome == reconcile.Hold }) {
			return false
		}
	}
	return true
}

// made makes up the values of every end.
func (w *world) made(d *dice, draw func(*end, *dice, int) record.Value) [][]record.Value {
	values := make([][]record.Value, len(w.ends))
	for e := range w.ends {
		values[e] = make([]record.Value, len(w.ends[e].paths))
		for c := range values[e] {
			values[e][c] = draw(&w.ends[e], d, c)
		}
	}
	return values
}

// draw picks a value for a cell; what is sure comes more often.
func (e *end) draw(d *dice, cell int) record.Value {
	pool := e.pools[cell]
	if len(pool) == 0 {
		return record.NullValue
	}
	if sure := slices.IndexFunc(pool, func(w Word) bool { return w.Grade != Certain }); sure > 0 && !d.once(3) {
		return pool[d.below(sure)].Value
	}
	return pool[d.below(len(pool))].Value
}

// usual picks a value as records mostly have them: seldom nothing, never odd.
func (e *end) usual(d *dice, cell int) record.Value {
	pool := e.pools[cell]
	n := slices.IndexFunc(pool, func(w Word) bool { return w.Grade == Odd })
	if n < 0 {
		n = len(pool)
	}
	for range 4 {
		if n == 0 {
			break
		}
		if v := pool[d.below(n)].Value; !v.Empty() || d.once(8) {
			return v
		}
	}
	return e.draw(d, cell)
}

// How often values are made up in the hope that they lie in the scope of the syncs, and that the rules agree on them.
const (
	scopeTries = 60
	agreeTries = 6
)

// start makes up an agreed start; false when none was found.
func (w *world) start(d *dice) ([][]record.Value, bool) {
	tried := 0
	for range scopeTries {
		values := w.made(d, (*end).usual)
		if !w.inScope(values) {
			continue
		}
		if agreed, ok := w.agree(values, d.below(len(w.ends))); ok {
			return agreed, true
		}
		if tried++; tried == agreeTries {
			break
		}
	}
	return nil, false
}

func (w *world) inScope(values [][]record.Value) bool {
	s := w.begin(&story{base: values})
	for i := range w.syncs {
		if in := w.look(s, i); in.Presence[0] != reconcile.Present || in.Presence[1] != reconcile.Present {
			return false
		}
	}
	return true
}

// invent makes up a whole story: mostly of two records that agree, at times of two that meet for the first time, or of
// one whose twin is to be created. Rules that never agree have only the latter.
func (w *world) invent(d *dice, agreeable bool) *story {
	if !agreeable || len(w.syncs) == 1 && d.once(6) {
		st := &story{base: w.made(d, (*end).draw), rounds: [][]edit{nil}}
		b := w.syncs[0]
		for _, s := range record.Sides {
			if len(w.syncs) == 1 && b.Rules.Sides[s].Create && d.once(2) {
				st.base[b.end[s]] = nil
				break
			}
		}
		return st
	}
	values, ok := w.start(d)
	if !ok {
		return nil
	}
	st := &story{base: values, linked: true}
	for range 1 + d.below(3) {
		st.rounds = append(st.rounds, w.edits(d, values))
	}
	return st
}

// edits makes up what people do between two runs: mostly on one side.
func (w *world) edits(d *dice, values [][]record.Value) []edit {
	var round []edit
	only := d.below(len(w.ends))
	alone := !d.once(3)
	for range 1 + d.below(3) {
		e := only
		if !alone {
			e = d.below(len(w.ends))
		}
		if w.mayGo(e) && d.once(24) {
			return append(round, edit{end: e, remove: true})
		}
		c := d.below(len(w.ends[e].paths))
		if len(w.ends[e].paths) == 0 || w.ends[e].fixed[c] || slices.ContainsFunc(round, func(x edit) bool { return x.end == e && x.cell == c }) {
			continue
		}
		if v := w.ends[e].draw(d, c); v != values[e][c] {
			round = append(round, edit{end: e, cell: c, to: v})
		}
	}
	return round
}

// mayGo reports whether something follows when the record of an end is deleted.
func (w *world) mayGo(e int) bool {
	for _, b := range w.syncs {
		for _, s := range record.Sides {
			if b.end[s] == e && b.Rules.Sides[s].Gone.Then != reconcile.GoneDetach {
				return true
			}
		}
	}
	return false
}
