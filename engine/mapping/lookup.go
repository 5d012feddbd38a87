package mapping

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A lookupCache holds what a live translation has fetched, misses too, by the column that was asked for. Each
// direction is kept for itself: one e-mail may belong to two users though each user has one.
type lookupCache struct {
	mu   sync.RWMutex
	rows [2]map[string]fetched
}

type fetched struct {
	value   record.Value
	matches int
	until   time.Time
}

// sweepAt is how many rows a direction may hold before those that ran out are thrown away.
const sweepAt = 100_000

// lookUp answers from what was fetched.
func (t *Translation) lookUp(from int, v record.Value, now time.Time) (record.Value, error) {
	if v.Empty() {
		return v, nil
	}
	t.live.mu.RLock()
	f, ok := t.live.rows[from][vocabulary(v)]
	t.live.mu.RUnlock()
	where := fmt.Sprintf("%s %s in %s", t.Lookup.Paths[from], v, t.Lookup.Collection)
	switch {
	case !ok || now.After(f.until):
		return record.Value{}, &reconcile.Needed{Translation: t.Name, Column: from, Value: v}
	case f.matches == 0:
		return t.unmatched(fmt.Sprintf("translation %s: there is no %s", t.Name, where))
	case f.matches > 1:
		return t.unmatched(fmt.Sprintf("translation %s: several records have %s, so none of them is meant for sure", t.Name, where))
	}
	return f.value, nil
}

// Fetch gets the rows that needs ask for from col and keeps them, and the fact that there is none, until
// Refresh from now. Needs of other translations are left alone. ErrConfig when col cannot look records up.
func (t *Translation) Fetch(ctx context.Context, col connectors.Collection, needs []reconcile.Needed, now time.Time) error {
	if t.Lookup == nil {
		return nil
	}
	var words [2][]record.Value
	asked := map[reconcile.Needed]bool{}
	for _, n := range needs {
		if n.Translation == t.Name && (n.Column == 0 || n.Column == 1) && !asked[n] {
			asked[n] = true
			words[n.Column] = append(words[n.Column], n.Value)
		}
	}
	if len(words[0])+len(words[1]) == 0 {
		return nil
	}
	finder, ok := connectors.As[connectors.Finder](col)
	if !ok {
		return &connectors.Error{
			Kind:   connectors.ErrConfig,
			Op:     "translation " + t.Name,
			Detail: "the collection " + t.Lookup.Collection + " cannot be searched",
			Hint:   "use rows or a file instead of lookup",
		}
	}
	for column, values := range words {
		if len(values) == 0 {
			continue
		}
		if err := t.fetch(ctx, finder, column, values, now); err != nil {
			return fmt.Errorf("translation %s: %w", t.Name, err)
		}
	}
	return nil
}

func (t *Translation) fetch(ctx context.Context, finder connectors.Finder, column int, values []record.Value, now time.Time) error {
	found := make(map[string]fetched, len(values))
	folded := make(map[string][]string, len(values)) // lower case → as asked
	until := now.Add(t.Lookup.Refresh)
	for _, v := range values {
		w := vocabulary(v)
		found[w] = fetched{until: until}
		folded[strings.ToLower(w)] = append(folded[strings.ToLower(w)], w)
	}
	paths := []string{t.Lookup.Paths[column], t.Lookup.Paths[1-column]}
	if paths[0] == paths[1] {
		paths = paths[:1]
	}
	seen := map[string]bool{}
	err := finder.Find(ctx, paths, paths[0], values, func(r record.Record) error {
		if len(r.Values) != len(paths) || r.Key != "" && seen[r.Key] {
			return nil
		}
		seen[strings.Clone(r.Key)] = true
		// Systems that ignore case find bob@… for Bob@…; the answer belongs to whoever asked.
		for _, w := range folded[strings.ToLower(vocabulary(r.Values[0]))] {
			f := found[w]
			f.matches++
			f.value = r.Values[len(paths)-1].Clone()
			found[w] = f
		}
		return nil
	})
	if err != nil {
		return err
	}
	t.live.mu.Lock()
	defer t.live.mu.Unlock()
	if t.live.rows[column] == nil {
		t.live.rows[column] = make(map[string]fetched, len(found))
	}
	rows := t.live.rows[column]
	if len(rows) > sweepAt {
		for w, f := range rows {
			if now.After(f.until) {
				delete(rows, w)
			}
		}
	}
	for w, f := range found {
		rows[strings.Clone(w)] = f
	}
	return nil
}
