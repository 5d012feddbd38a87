package engine_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/guard"
	"github.com/fieldsync/fieldsync/connectors/memory"
	"github.com/fieldsync/fieldsync/engine/reconcile"
)

// A logged side has a log of deletions.
type logged struct {
	*memory.Store
	keys []string
	err  error
}

func (l *logged) Deleted(_ context.Context, _ string, emit func(key string) error) error {
	for _, k := range l.keys {
		if err := emit(k); err != nil {
			return err
		}
	}
	return l.err
}

func TestALogOfDeletionsIsProvedByADirectRead(t *testing.T) {
	for _, c := range []struct {
		name  string
		log   logged
		fails bool
		want  []string
	}{
		{"what is deleted and in the log", logged{keys: []string{"T-2", "T-2"}}, false, []string{"delete incident sys2"}},
		{"what is in the log and was restored", logged{keys: []string{"T-3"}}, false, nil},
		{"what nobody ever saw", logged{keys: []string{"T-9999"}}, false, nil},
		{"a log that may not be read", logged{err: &connectors.Error{Kind: connectors.ErrDenied}}, false, nil},
		{"a log that fails", logged{err: &connectors.Error{Kind: connectors.ErrBusy}}, true, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.rules.Sides[0].Gone = reconcile.OnGone{Then: reconcile.GoneDelete, At: "m.hcl:30"}
			w.rules.Sides[0].Where = func(e reconcile.Env) (bool, error) { return e.Values[0][3].Text() != "old", nil }
			for range 5 {
				w.ticket.Add(text("title", "a", "status", "new"))
			}
			for range 1000 {
				w.ticket.Add(text("title", "a", "status", "old"))
			}
			w.apply()
			w.now = w.now.Add(time.Minute)
			w.apply()
			w.now = w.now.Add(time.Minute)
			w.ticket.Remove("T-2")
			w.ticket.Remove("T-4") // a log need not know everything
			c.log.Store = w.ticket
			w.job.Ends[0].Handle = guard.ReadOnly(&c.log) // a preview sees it, too
			r, err := w.engine.Plan(t.Context(), w.job)
			if c.fails {
				if !errors.Is(err, connectors.ErrBusy) {
					t.Errorf("the error is %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if r.Header().Scan[0] != "changes" {
				t.Fatalf("the scan was %s", r.Header().Scan[0])
			}
			if diff := cmp.Diff(c.want, summary(t, r)); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}
