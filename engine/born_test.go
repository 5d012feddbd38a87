package engine_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/memory"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// outside is a world whose incidents leave their scope as soon as they are made: their system stores another state than
// it is sent. The scope is in expr or in the system's own language.
func outside(t *testing.T, native bool) (w *world, mend func()) {
	w = newWorld(t)
	w.incident.Add(text("state", "open", "summary", "another one, so that the side is never empty"))
	odd := true
	w.incident.Normalise = func(path string, v record.Value) record.Value {
		if odd && path == "state" {
			return record.OfText("odd")
		}
		return v
	}
	slot := 3
	in := func(v record.Value) bool { return v.Text() != "odd" }
	if native {
		w.job.Ends[1].Native = "state!=odd"
		w.incident.Match = func(_ string, r record.Record) (bool, error) { return in(r.Values[slot]), nil }
		w.rules.Sides[1].QueryAt = "m.hcl:7"
	} else {
		w.rules.Sides[1].Where = func(e reconcile.Env) (bool, error) { return in(e.Values[1][slot]), nil }
		w.rules.Sides[1].Scope, w.rules.Sides[1].WhereAt, w.rules.Sides[1].Sure = []int{slot, 0}, "m.hcl:6", true
	}
	return w, func() { odd = false }
}

func TestARecordThatWasMadeOutOfItsScopeIsHeldAndNotParted(t *testing.T) {
	for name, native := range map[string]bool{"where": false, "the system's own language": true} {
		t.Run(name, func(t *testing.T) {
			w, mend := outside(t, native)
			w.ticket.Add(text("title", "a", "status", "new"))
			if acc := w.apply(); acc.Done != 2 {
				t.Fatalf("done %d, want the create and its number", acc.Done)
			}
			w.wantPlan("it is out of scope, and that is said", "hold T-1 sys2 ")
			for range 3 {
				w.apply()
				w.now = w.now.Add(time.Hour)
				w.wantPlan("however often it is looked at", "hold T-1 sys2 ")
			}
			x, err := w.engine.Explain(t.Context(), w.job, "T-1")
			if err != nil || x.Decision.Life != reconcile.HoldLink || !strings.Contains(x.Decision.Why, "created here and is out of scope by") || len(x.Waiting) != 1 {
				t.Fatalf("%v: %+v", err, x)
			}
			w.ticket.Edit("T-1", text("title", "b"))
			w.wantPlan("nothing is written meanwhile", "hold T-1 sys2 ")
			w.apply()
			w.wantIncident("sys2", text("summary", "a"))

			mend()
			w.now = w.now.Add(time.Hour)
			w.incident.Edit("sys2", text("state", "open"))
			w.wantPlan("in scope it lives", `update ticket T-1 status="open"`, `update incident sys2 summary="b"`)
			w.apply()
			w.wantPlan("and nothing waits")
			w.now = w.now.Add(time.Hour)
			w.incident.Edit("sys2", text("state", "odd"))
			w.wantPlan("whoever moves it out of scope afterwards parts the two")
			w.apply()
			if st := w.status(); st != record.Detached {
				t.Errorf("the link is %v", st)
			}
		})
	}
}

func TestACreateThatACrashLeftOutOfItsScopeIsHeld(t *testing.T) {
	w, _ := outside(t, true)
	w.ticket.Add(text("title", "a", "status", "new"))
	dead := false
	w.incident.Hook = func(_ context.Context, op memory.Op) error {
		if op.Name == "create" && op.Done {
			dead = true
			return &connectors.Error{Kind: connectors.ErrOutcome, Op: "create"}
		}
		if dead && op.Name == "find" {
			return &connectors.Error{Kind: connectors.ErrBusy, Op: "find"}
		}
		return nil
	}
	if _, results, err := w.tryApply(engine.Approval{}); err != nil || results[0].Outcome != plan.Failed {
		t.Fatalf("%v: %+v", err, results)
	}
	w.incident.Hook = nil
	w.apply()
	w.now = w.now.Add(time.Hour)
	w.apply()
	w.wantPlan("the record that recovery found is held like any other", "hold T-1 sys2 ")
	if w.incident.Len() != 2 {
		t.Errorf("%d incidents, want 2", w.incident.Len())
	}
}

func TestARecordInAScopeThatOnlyItsSystemCanTellIsSettledByTheNextScan(t *testing.T) {
	w, mend := outside(t, true)
	mend()
	w.ticket.Add(text("title", "a", "status", "new"))
	w.apply()
	w.wantPlan("nothing is left to do")
	w.ticket.Edit("T-1", text("title", "b")) // before any scan has shown the incident
	w.apply()
	w.wantIncident("sys2", text("summary", "b"))
	w.apply()
	w.incident.Edit("sys2", text("state", "odd"))
	w.apply()
	if st := w.status(); st != record.Detached {
		t.Errorf("the link is %v, want that it was parted: it had been in scope", st)
	}
}

// status is that of the only link.
func (w *world) status() record.Status {
	w.t.Helper()
	b, err := w.engine.Store.Book(w.t.Context(), w.rules.Sync, [2][]string{w.rules.Sides[0].Paths, w.rules.Sides[1].Paths}, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	l, err := b.Link(w.t.Context(), record.Left, "T-1")
	if err != nil || l == nil {
		w.t.Fatal(l, err)
	}
	return l.Status
}

// aware is an instance that tells which of some records are in a scope in its own language.
type aware struct{ *instance }

func (a aware) Within(ctx context.Context, native string, keys []string, emit func(string) error) error {
	_, err := a.Scan(ctx, connectors.Query{Paths: incidentPaths, Native: native}, func(r record.Record) error {
		if slices.Contains(keys, r.Key) {
			return emit(r.Key)
		}
		return nil
	})
	return err
}

func TestATwinOutOfAScopeThatItsSystemTellsIsNeitherPairedNorMadeTwice(t *testing.T) {
	w, mend := outside(t, true)
	mend()
	w.job.Ends[1].Handle = aware{&instance{Store: w.incident}}
	w.ticket.Add(text("title", "a", "status", "new"))
	w.incident.Add(text("marker", "T-1", "summary", "of an earlier life", "state", "odd"))
	for _, why := range []string{"on first contact", "when the ticket moves"} {
		w.wantPlan(why)
		w.apply()
		w.ticket.Edit("T-1", text("title", "b"))
		w.now = w.now.Add(time.Minute)
	}
	if w.incident.Len() != 2 {
		t.Errorf("%d incidents, want 2", w.incident.Len())
	}
	w.incident.Edit("sys2", text("state", "new"))
	w.wantPlan("in scope it is its twin", `update incident sys2 summary="b"`)
}
