package verify

import (
	"slices"

	"github.com/fieldsync/fieldsync/engine/record"
)

// Play lives the story of a test and says which promises it breaks; nothing where all are kept. Paths that the test
// does not name are null, and a where counts only where all that it reads is named.
func Play(sub *Subject, c Case) []string {
	w := newWorld(sub)
	b := w.syncs[0]
	st := &story{base: make([][]record.Value, len(w.ends)), rounds: [][]edit{nil}, linked: c.Base[0] != nil && c.Base[1] != nil}
	for _, s := range record.Sides {
		e := b.end[s]
		b.scoped[s] = b.scoped[s] && !slices.ContainsFunc(sub.Scope[s], func(slot int) bool {
			path := sub.Rules.Sides[s].Paths[slot]
			_, before := c.Base[s][path]
			_, now := c.Now[s][path]
			return !before && !now
		})
		before := c.Base[s]
		if !st.linked && before == nil {
			before = c.Now[s]
		}
		if before == nil && !c.Gone[s] {
			continue
		}
		st.base[e] = make([]record.Value, len(w.ends[e].paths))
		for cell, path := range w.ends[e].paths {
			st.base[e][cell] = record.NullValue
			if v, ok := before[path]; ok {
				st.base[e][cell] = v
			}
			if v, ok := c.Now[s][path]; ok && v != st.base[e][cell] {
				st.rounds[0] = append(st.rounds[0], edit{end: e, cell: cell, to: v})
			}
		}
		if c.Gone[s] {
			st.rounds[0] = append(st.rounds[0], edit{end: e, remove: true})
		}
	}
	found, _ := w.play(st, nil)
	var broken []string
	for i := range found {
		broken = append(broken, w.what(st, &found[i]))
	}
	return broken
}
