package engine_test

import (
	"context"
	"errors"
	"testing"

	"github.com/fieldsync/fieldsync/connectors/memory"
	"github.com/fieldsync/fieldsync/engine"
)

func TestAnInterruptedRunIsRememberedAsOneAndTheNextGoesOn(t *testing.T) {
	w := newWorld(t)
	for range 8 {
		w.ticket.Add(text("title", "a"))
	}
	ctx, stop := context.WithCancelCause(t.Context())
	r, err := w.engine.Start(ctx, w.job)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	w.incident.Hook = func(_ context.Context, op memory.Op) error {
		if op.Name == "create" && op.Done {
			if n++; n == 3 {
				stop(errors.New("a signal"))
			}
		}
		return nil
	}
	acc, err := r.Apply(ctx, engine.Approval{})
	if err == nil {
		t.Error("the run did not stop")
	}
	if acc.Err != "interrupted" || acc.Hint == "" || acc.Complete {
		t.Errorf("it is remembered as %q (%q), complete %v", acc.Err, acc.Hint, acc.Complete)
	}
	r.Close()
	w.incident.Hook = nil
	w.apply()
	if w.incident.Len() != 8 {
		t.Errorf("%d incidents, want 8", w.incident.Len())
	}
}
