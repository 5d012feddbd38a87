package storetest

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/record"
)

// world is a book in memory: what a store must agree with.
type world struct {
	links  map[int64]record.Link
	prints [2]map[uint64]uint64
}

func (w *world) owner(s record.Side, key string) int64 {
	for id, l := range w.links {
		if key != "" && l.Key[s] == key && l.Status != record.Ended {
			return id
		}
	}
	return 0
}

func model(t *testing.T, s engine.Store) {
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		sync := fmt.Sprint("model ", n) // a sync of its own for each case, in one store
		b := book(t, s, sync, paths)
		w := &world{links: map[int64]record.Link{}, prints: [2]map[uint64]uint64{{}, {}}}
		key := rapid.SampledFrom([]string{"", "1", "2", "3", "4"})
		hash := rapid.Uint64Range(1, 6)
		for range rapid.IntRange(1, 6).Draw(rt, "calls") {
			var folds []engine.Fold
			touched := map[[2]any]bool{}
			for range rapid.IntRange(1, 5).Draw(rt, "folds") {
				f := engine.Fold{}
				if l := w.draw(rt, key, touched); l != nil {
					f.Link = l
				}
				for _, side := range record.Sides {
					switch rapid.IntRange(0, 2).Draw(rt, "print") {
					case 1:
						f.Forget[side] = hash.Draw(rt, "hash")
						delete(w.prints[side], f.Forget[side])
					case 2:
						p := engine.Print{Hash: hash.Draw(rt, "hash"), Print: rapid.Uint64().Draw(rt, "print of it")}
						f.Prints[side], w.prints[side][p.Hash] = &p, p.Print
					}
				}
				folds = append(folds, f)
			}
			if err := b.Fold(t.Context(), folds); err != nil {
				rt.Fatalf("fold: %v", err)
			}
			for _, f := range folds {
				if f.Link != nil {
					w.links[f.Link.ID] = *f.Link
				}
			}
			w.check(rt, t, b)
		}
	})
}

// draw makes a change of a known link or a new one that breaks no rule: each link and each key once in a call.
func (w *world) draw(rt *rapid.T, key *rapid.Generator[string], touched map[[2]any]bool) *record.Link {
	l := record.Link{Base: [2][]record.Value{texts(rapid.String().Draw(rt, "status"), "t"), nil}}
	ids := make([]int64, 0, len(w.links))
	for id := range w.links {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	if len(ids) > 0 && rapid.Bool().Draw(rt, "known") {
		l.ID = rapid.SampledFrom(ids).Draw(rt, "id")
	}
	if l.ID != 0 && touched[[2]any{"id", l.ID}] {
		return nil
	}
	l.Status = rapid.SampledFrom([]record.Status{record.Live, record.Held, record.Detached, record.Ended}).Draw(rt, "status")
	for _, s := range record.Sides {
		l.Key[s] = key.Draw(rt, "key")
		if owner := w.owner(s, l.Key[s]); l.Key[s] != "" && (touched[[2]any{s, l.Key[s]}] || (owner != 0 && owner != l.ID)) {
			return nil
		}
	}
	if l.Key == [2]string{} {
		return nil
	}
	touched[[2]any{"id", l.ID}] = l.ID != 0
	for _, s := range record.Sides {
		touched[[2]any{s, l.Key[s]}] = true
	}
	return &l
}

func (w *world) check(rt *rapid.T, t *testing.T, b engine.Book) {
	count := int64(0)
	for id, want := range w.links {
		same(rt, "link by ID", &want, byID(t, b, id))
		if want.Status <= record.Held {
			count++
		}
		for _, s := range record.Sides {
			if want.Key[s] == "" {
				continue
			}
			var alive *record.Link
			if owner := w.owner(s, want.Key[s]); owner != 0 {
				l := w.links[owner]
				alive = &l
			}
			same(rt, "link by key", alive, byKey(t, b, s, want.Key[s]))
		}
	}
	if got, err := b.CountLinks(t.Context()); err != nil || got != count {
		rt.Fatalf("counted %d links (%v), want %d", got, err, count)
	}
	for _, s := range record.Sides {
		got := map[uint64]uint64{}
		for _, p := range collect(t, func(emit func(engine.Print) error) error { return b.Prints(t.Context(), s, emit) }) {
			got[p.Hash] = p.Print
		}
		same(rt, "fingerprints", w.prints[s], got)
	}
}
