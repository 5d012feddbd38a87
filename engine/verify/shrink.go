package verify

import (
	"slices"

	"github.com/fieldsync/fieldsync/engine/record"
)

// efforts bounds how many shorter stories are tried for one finding.
const efforts = 600

// A shrinker makes a story shorter as long as it still shows the same problem.
type shrinker struct {
	*world
	want    *problem
	best    *story
	found   *problem
	efforts int
}

// shrink gives the shortest story that was found, and the problem as it shows there.
func (w *world) shrink(st *story, p *problem) (*story, *problem) {
	k := &shrinker{world: w, want: p, best: st, found: p}
	if p.linked && p.round < len(st.rounds) {
		alone := &story{base: p.before, linked: true, rounds: [][]edit{slices.Clone(st.rounds[p.round])}}
		if w.agreed(p.before) {
			k.try(alone)
		}
	}
	for k.rounds() || k.edits() || k.values() || k.starts() || k.alike() {
	}
	return k.best, k.found
}

// try keeps st if it shows the problem.
func (k *shrinker) try(st *story) bool {
	if k.efforts++; k.efforts > efforts {
		return false
	}
	found, _ := k.play(st, nil)
	n := slices.IndexFunc(found, func(p problem) bool { return p.same(k.want) })
	if n < 0 {
		return false
	}
	st.rounds = st.rounds[:found[n].round+1]
	k.best, k.found = st, &found[n]
	return true
}

// rounds leaves whole rounds out.
func (k *shrinker) rounds() bool {
	for n := range k.best.rounds {
		if len(k.best.rounds) == 1 {
			return false
		}
		st := k.best.clone()
		st.rounds = slices.Delete(st.rounds, n, n+1)
		if k.try(st) {
			return true
		}
	}
	return false
}

// edits leaves single edits out.
func (k *shrinker) edits() bool {
	for n := range k.best.rounds {
		for i := range k.best.rounds[n] {
			if len(k.best.rounds[n]) == 1 && k.best.linked {
				continue
			}
			st := k.best.clone()
			st.rounds[n] = slices.Delete(st.rounds[n], i, i+1)
			if k.try(st) {
				return true
			}
		}
	}
	return false
}

// values takes surer and simpler values for the edits.
func (k *shrinker) values() bool {
	for n := range k.best.rounds {
		for i, x := range k.best.rounds[n] {
			for _, word := range k.ends[x.end].pools[x.cell] {
				if x.remove || word.Value == x.to {
					break // the pool goes from the simplest on
				}
				if n == 0 && k.best.base[x.end] != nil && k.best.base[x.end][x.cell] == word.Value {
					continue // that would be no edit
				}
				st := k.best.clone()
				st.rounds[n][i].to = word.Value
				if k.try(st) {
					return true
				}
			}
		}
	}
	return false
}

// starts takes simpler values for what is there before: nothing, where the problem does not turn on it, else the
// surest. What both sides agreed on is agreed anew.
func (k *shrinker) starts() bool {
	relevant := k.relevant(k.want)
	for e := range k.ends {
		if k.best.base[e] == nil {
			continue
		}
		for c := range k.ends[e].paths {
			for _, v := range k.simpler(place{e, c}, slices.Contains(relevant, place{e, c}), k.best.base[e][c]) {
				st := k.best.clone()
				st.base[e][c] = v
				if st.linked {
					var ok bool
					if st.base, ok = k.agree(st.base, e); !ok || k.idle(st) || k.weight(st, relevant) >= k.weight(k.best, relevant) {
						continue
					}
				}
				if k.try(st) {
					return true
				}
			}
		}
	}
	return false
}

// idle reports whether an edit of the first round writes what is there already.
func (k *shrinker) idle(st *story) bool {
	return slices.ContainsFunc(st.rounds[0], func(x edit) bool { return !x.remove && st.base[x.end] != nil && st.base[x.end][x.cell] == x.to })
}

// alike replaces a value wherever it stands in the start, as ends that agree all show it.
func (k *shrinker) alike() bool {
	relevant := k.relevant(k.want)
	for _, at := range relevant {
		if k.best.base[at.end] == nil {
			continue
		}
		now := k.best.base[at.end][at.cell]
		for _, v := range k.simpler(at, true, now) {
			st := k.best.clone()
			for _, x := range relevant {
				if st.base[x.end] != nil && st.base[x.end][x.cell] == now {
					st.base[x.end][x.cell] = v
				}
			}
			if st.linked && (!k.agreed(st.base) || k.idle(st)) || k.weight(st, relevant) >= k.weight(k.best, relevant) {
				continue
			}
			if k.try(st) {
				return true
			}
		}
	}
	return false
}

// simpler are the values that are simpler than now in a cell.
func (k *shrinker) simpler(at place, relevant bool, now record.Value) []record.Value {
	var vs []record.Value
	x := &k.ends[at.end]
	if x.fixed[at.cell] || now.Empty() && !relevant {
		return nil
	}
	if !relevant && !x.forms[at.cell].Required {
		vs = append(vs, record.NullValue)
	}
	for _, word := range x.pools[at.cell] {
		if word.Value == now {
			break
		}
		if !word.Value.Empty() {
			vs = append(vs, word.Value)
		}
	}
	return vs
}

// weight falls with each value of the start that becomes simpler, so that agreeing anew never goes in circles.
func (k *shrinker) weight(st *story, relevant []place) int {
	total := 0
	for e := range k.ends {
		for c := range st.base[e] {
			v := st.base[e][c]
			n := slices.IndexFunc(k.ends[e].pools[c], func(w Word) bool { return w.Value == v })
			switch {
			case v.Empty() && !slices.Contains(relevant, place{e, c}):
			case v.Empty() || n < 0:
				total += most
			default:
				total += n + 1
			}
		}
	}
	return total
}
