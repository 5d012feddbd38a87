package verify

import (
	"slices"
	"strings"

	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A problem is a promise that a history broke.
type problem struct {
	kind   Kind
	sync   int
	rules  []int // of the sync; -1 for a marker, an on_gone value or a where
	others []ref // of other syncs
	side   record.Side
	into   int    // slot on the other side of side, for Refused; -1 elsewhere
	why    string // what the core said
	create bool   // Refused: the whole record
	rests  bool   // Lossy: it changes once, on its first way back, and is the same from then on
	twin   bool   // Cut: in a path whose twin nobody edited, not just in one that was too long
	round  int
	before [][]record.Value // how the world was when the round began
	linked bool
}

type ref struct{ sync, rule int }

// same reports whether two problems are of one cause.
func (p *problem) same(q *problem) bool {
	return p.kind == q.kind && p.sync == q.sync && p.create == q.create && p.twin == q.twin && p.rests == q.rests && slices.Equal(p.rules, q.rules) && slices.Equal(p.others, q.others) &&
		(p.side == q.side || p.kind == Lossy || p.kind == Rewritten)
}

// needed is how sure the values must be that show p. A way back that fails on a value, or that tidies it (blanks, case,
// a time of day), is known to break something only where that value is known.
func (p *problem) needed() Grade {
	if p.kind == Lossy && (p.why != "" || p.rests) {
		return Certain
	}
	return p.kind.needed()
}

// play lives a story up to the first round that breaks a promise.
func (w *world) play(st *story, t *telling) ([]problem, int) {
	s := w.begin(st)
	var noted []problem
	t.begins(w, st)
	for n, round := range st.rounds {
		linked := true
		for i := range s.links {
			linked = linked && s.links[i].ID != 0 && s.links[i].Status == record.Live
		}
		before := make([][]record.Value, len(s.values))
		for e := range s.values {
			if s.here[e] {
				before[e] = slices.Clone(s.values[e])
			}
		}
		t.edited(w, s, round)
		for _, x := range round {
			w.edit(s, x)
		}
		found := w.round(s, round, before, t)
		for i := range found {
			found[i].round, found[i].before, found[i].linked = n, before, linked
		}
		noted = append(noted, found...)
		// Text that is too long is worth knowing and ends no story.
		if slices.ContainsFunc(found, func(p problem) bool { return p.kind != Cut || p.twin }) {
			break
		}
	}
	return noted, s.runs
}

func (w *world) edit(s *state, x edit) {
	if !s.here[x.end] {
		return
	}
	if x.remove {
		s.here[x.end], s.gone[x.end] = false, true
		return
	}
	s.values[x.end][x.cell], _ = w.ends[x.end].forms[x.cell].store(s.values[x.end][x.cell], x.to)
}

// round runs until there is nothing left to do and holds what came of it against the promises.
func (w *world) round(s *state, round []edit, before [][]record.Value, t *telling) []problem {
	s.faults = s.faults[:0]
	for i := range s.wrote {
		s.wrote[i] = s.wrote[i][:0]
	}
	var late [][]ref // what wrote in the last runs, run by run
	for run := 0; ; run++ {
		wrote := false
		var these []ref
		t.runs()
		for i := range w.syncs {
			from := len(s.wrote[i])
			wrote = w.step(s, i, w.syncs[i].Rules, t) || wrote
			for _, rule := range s.wrote[i][from:] {
				these = append(these, ref{i, rule})
			}
		}
		if len(s.faults) > 0 {
			return slices.Clone(s.faults)
		}
		if !wrote {
			break
		}
		if late = append(late, these); run >= w.bound {
			return []problem{w.unsettled(late[len(late)/2:])}
		}
	}
	var found []problem
	for i := range w.syncs {
		found = append(found, w.waiting(s, i)...)
	}
	if e, ok := lone(round); ok && len(found) == 0 {
		for i := range w.syncs {
			found = append(found, w.stays(s, i, e, round, before)...)
		}
	}
	return found
}

// unsettled names the rules that still wrote when everything should have come to rest.
func (w *world) unsettled(late [][]ref) problem {
	var all []ref
	for _, run := range late {
		for _, r := range run {
			if !slices.Contains(all, r) {
				all = append(all, r)
			}
		}
	}
	slices.SortFunc(all, func(a, b ref) int { return (a.sync-b.sync)<<16 + a.rule - b.rule })
	p := problem{kind: PingPong, sync: all[0].sync, into: -1}
	places := map[[2]int]int{} // end and cell → the sync that writes it
	for _, r := range all {
		if r.sync == p.sync {
			p.rules = append(p.rules, r.rule)
		} else {
			p.others = append(p.others, r)
		}
		if r.rule < 0 {
			continue
		}
		b := w.syncs[r.sync]
		rule := &b.Rules.Fields[r.rule]
		for _, s := range record.Sides {
			if rule.To[s] == nil {
				continue
			}
			for _, slot := range rule.Paths[s] {
				place := [2]int{b.end[s], b.cell[s][slot]}
				if first, ok := places[place]; ok && first != r.sync {
					p.kind = TwoWriters
				}
				places[place] = r.sync
			}
		}
	}
	return p
}

// waiting lists what one sync has left open for want of a better mapping.
func (w *world) waiting(s *state, i int) []problem {
	b, d := w.syncs[i], &s.last[i]
	if d.Life == reconcile.HoldLink && s.inputs[i].Presence[d.Side] == reconcile.Unsure {
		return []problem{{kind: Undecided, sync: i, rules: []int{-1}, side: d.Side, into: -1, why: s.inputs[i].Doubt[d.Side]}}
	}
	var found []problem
	for _, v := range d.Verdicts {
		rule := &b.Rules.Fields[v.Rule]
		switch v.Outcome {
		case reconcile.Hold:
			from := held(rule, &v)
			kind := Undecided
			if b.Traits[v.Rule].Via[from.Other()] != "" && v.Row != 0 {
				kind = Untranslated
			}
			found = append(found, problem{kind: kind, sync: i, rules: []int{v.Rule}, side: from, into: -1, why: v.Why})
		case reconcile.Conflict:
			if p := &rule.Policy; v.Row != 6 || p.Rank == nil || p.Fallback != nil {
				continue
			}
			// A value without a row has no place either, and is a finding of its own.
			if from, ok := unranked(rule, &s.inputs[i]); ok && v.Implied[from.Other()] != nil {
				found = append(found, problem{kind: Unranked, sync: i, rules: []int{v.Rule}, side: from, into: -1, why: v.Why})
			}
		}
	}
	return found
}

// held is the side whose value a rule that waits could not carry.
func held(rule *reconcile.Rule, v *reconcile.Verdict) record.Side {
	for _, s := range record.Sides {
		if o := s.Other(); v.Moved[s] && !v.Moved[o] && rule.To[o] != nil {
			return s
		}
	}
	for _, s := range record.Sides {
		if o := s.Other(); rule.To[o] != nil && v.Implied[o] == nil {
			return s
		}
	}
	return record.Left
}

// unranked is the side with a value that has no place in the rule's order.
func unranked(rule *reconcile.Rule, in *reconcile.Input) (record.Side, bool) {
	for _, s := range record.Sides {
		vs := pick(in.Record[s].Values, rule.Paths[s])
		if _, ok := rule.Policy.Rank(s, vs); !ok && !vs[0].Empty() {
			return s, true
		}
	}
	return 0, false
}

func pick(values []record.Value, slots []int) []record.Value {
	vs := make([]record.Value, len(slots))
	for k, slot := range slots {
		if slot < len(values) {
			vs[k] = values[slot]
		}
	}
	return vs
}

// stays holds a round that edited one end alone against what must become of these edits: they stay as they were
// written, what was not edited on the other side and is copied alone does not come back changed, and what went over can
// come back.
func (w *world) stays(s *state, i, e int, round []edit, before [][]record.Value) []problem {
	b := w.syncs[i]
	if s.last[i].Life != reconcile.Stay {
		return nil
	}
	side := record.Left
	switch e {
	case b.end[0]:
	case b.end[1]:
		side = record.Right
	default:
		return nil
	}
	var found []problem
	for n := range b.Rules.Fields {
		rule := &b.Rules.Fields[n]
		if !rule.TwoWay() {
			if out, ok := w.turned(s, i, n, side, round, before); ok {
				found = append(found, problem{kind: Rewritten, sync: i, rules: []int{min(out, n), max(out, n)}, side: side, into: -1})
			}
			continue
		}
		wrote := slices.Contains(s.wrote[i], n)
		edited := false
		for k, slot := range rule.Paths[side] {
			cell := b.cell[side][slot]
			x := slices.IndexFunc(round, func(x edit) bool { return x.cell == cell })
			edited = edited || x >= 0
			if !b.Traits[n].Copy || x >= 0 {
				continue
			}
			// The twin of a path that nobody edited, and of which this side kept the beginning.
			far, at := b.cell[side.Other()][rule.Paths[side.Other()][k]], b.end[side.Other()]
			if before[at] == nil || s.values[at][far] == before[at][far] || !wrote || w.written(i, n, at, far) {
				continue
			}
			if kept, _ := w.ends[e].forms[cell].store(record.NullValue, before[at][far]); kept != before[at][far] && kept == before[e][cell] {
				found = append(found, problem{kind: Cut, sync: i, rules: []int{n}, side: side, into: -1, twin: true})
			}
		}
		if edited && len(found) == 0 && !b.Traits[n].Lossy {
			if p, bad := w.comesBack(s, i, n, side); bad {
				found = append(found, p)
			}
		}
	}
	return found
}

// turned reports whether rule n of sync i, which leads to side alone, changed an edit there that rule out had carried
// over: two one-way rules against each other. A rule that puts back what its own side leads does as it is told.
func (w *world) turned(s *state, i, n int, side record.Side, round []edit, before [][]record.Value) (out int, ok bool) {
	b := w.syncs[i]
	in := &b.Rules.Fields[n]
	if in.To[side] == nil {
		return 0, false
	}
	for _, slot := range in.Paths[side] {
		cell := b.cell[side][slot]
		x := slices.IndexFunc(round, func(x edit) bool { return x.cell == cell })
		if x < 0 {
			continue
		}
		if now, meant := s.values[b.end[side]][cell], w.taken(round[x], before); now == meant || blank(now) && blank(meant) {
			continue
		}
		out = slices.IndexFunc(b.Rules.Fields, func(r reconcile.Rule) bool {
			return r.To[side.Other()] != nil && slices.Contains(r.Reads[side], slot) &&
				slices.ContainsFunc(r.Paths[side.Other()], func(far int) bool { return slices.Contains(in.Reads[side.Other()], far) })
		})
		if out >= 0 && out != n && slices.Contains(s.wrote[i], out) {
			return out, true
		}
	}
	return 0, false
}

// taken is what the system of an end made of an edit.
func (w *world) taken(x edit, before [][]record.Value) record.Value {
	v, _ := w.ends[x.end].forms[x.cell].store(before[x.end][x.cell], x.to)
	return v
}

// written reports whether a rule other than rule n of sync i writes a cell.
func (w *world) written(i, n, e, cell int) bool {
	for j, b := range w.syncs {
		for _, s := range record.Sides {
			if b.end[s] != e {
				continue
			}
			for k := range b.Rules.Fields {
				r := &b.Rules.Fields[k]
				if (j != i || k != n) && r.To[s] != nil && slices.ContainsFunc(r.Paths[s], func(slot int) bool { return b.cell[s][slot] == cell }) {
					return true
				}
			}
		}
	}
	return false
}

// comesBack tries the round trip of a two-way rule: with f away from side and g back, f(g(f(v))) must be f(v), or what
// went over means something else once it has come back. g(f(v)) itself may be another value than v, as with three
// pairs of impact and urgency that give one priority: there the other side still says the same.
func (w *world) comesBack(s *state, i, n int, side record.Side) (problem, bool) {
	b, o := w.syncs[i], side.Other()
	rule := &b.Rules.Fields[n]
	if v := s.last[i].Verdicts[n]; v.Outcome != reconcile.Keep || !v.Holds {
		return problem{}, false
	}
	env := reconcile.Env{Values: [2][]record.Value{slices.Clone(s.inputs[i].Record[0].Values), slices.Clone(s.inputs[i].Record[1].Values)}, Time: epoch}
	over, err := rule.To[o](env)
	if err != nil {
		return problem{}, false
	}
	shown := pick(env.Values[o], rule.Paths[o])
	p := problem{kind: Lossy, sync: i, rules: []int{n}, side: side, into: -1}
	back, err := rule.To[side](env)
	if err != nil {
		p.why = err.Error()
		return p, slices.Equal(over, shown)
	}
	if alike(back, pick(env.Values[side], rule.Paths[side])) {
		return problem{}, false
	}
	cut := false
	for k, slot := range rule.Paths[o] {
		if over[k] != shown[k] {
			now, _ := w.ends[b.end[o]].forms[b.cell[o][slot]].store(record.NullValue, over[k])
			if cut = now == shown[k]; !cut {
				return problem{}, false // the other side shows something else on which both agree
			}
		}
	}
	for k, slot := range rule.Paths[side] {
		env.Values[side][slot], _ = w.ends[b.end[side]].forms[b.cell[side][slot]].store(env.Values[side][slot], back[k])
	}
	again, err := rule.To[o](env)
	if err != nil {
		p.why = err.Error()
		return p, true
	}
	if cut {
		p.kind = Cut
	}
	if alike(again, over) {
		return problem{}, false
	}
	for k, slot := range rule.Paths[o] {
		env.Values[o][slot] = again[k]
	}
	if more, err := rule.To[side](env); err == nil {
		for k, slot := range rule.Paths[side] {
			env.Values[side][slot] = more[k]
		}
		rest, err := rule.To[o](env)
		p.rests = err == nil && alike(rest, again)
	}
	return p, true
}

// alike compares values that went there and back. To many systems empty text and nothing are the same.
func alike(a, b []record.Value) bool {
	return slices.EqualFunc(a, b, func(x, y record.Value) bool { return x == y || blank(x) && blank(y) })
}

func blank(v record.Value) bool {
	return v.Empty() || v.Kind() == record.Text && strings.TrimSpace(v.Text()) == ""
}
