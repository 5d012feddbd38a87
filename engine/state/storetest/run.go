package storetest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

func leaseHolder(t *testing.T, s engine.Store) {
	ctx := t.Context()
	first, err := s.Lease(ctx, "a", "one", time.Hour)
	if err != nil || first <= 0 {
		t.Fatalf("first lease: fence %d, %v; want one above 0", first, err)
	}
	again, err := s.Lease(ctx, "a", "one", time.Hour)
	if err != nil || again != first {
		t.Errorf("renewed: fence %d, %v; want %d", again, err, first)
	}
	_, err = s.Lease(ctx, "a", "two", time.Hour)
	is(t, err, engine.ErrLeased)
	if err == nil || !strings.Contains(err.Error(), "one") || !strings.Contains(err.Error(), "until") {
		t.Errorf("%v does not name the owner and until when", err)
	}
	if _, err := s.Lease(ctx, "b", "two", time.Hour); err != nil {
		t.Errorf("another sync: %v", err)
	}
	if err := s.Release(ctx, "a", "two"); err != nil {
		t.Errorf("release by somebody else: %v", err)
	}
	if _, err := s.Lease(ctx, "a", "two", time.Hour); err == nil {
		t.Error("a release by somebody else took the lease away")
	}
	if err := s.Release(ctx, "a", "one"); err != nil {
		t.Fatal(err)
	}
	second, err := s.Lease(ctx, "a", "two", 0)
	if err != nil || second <= first {
		t.Errorf("after the release: fence %d, %v; want one above %d", second, err, first)
	}
	third, err := s.Lease(ctx, "a", "three", time.Hour)
	if err != nil || third <= second {
		t.Errorf("after it ran out: fence %d, %v; want one above %d", third, err, second)
	}
}

func leased(t *testing.T, s engine.Store) {
	ctx := t.Context()
	lease := func(name, owner string, ttl time.Duration) {
		t.Helper()
		if _, err := s.Lease(ctx, name, owner, ttl); err != nil {
			t.Fatal(err)
		}
	}
	lease("(node b)", "b", time.Hour)
	lease("(node a)", "a", time.Hour)
	lease("(node over)", "c", -time.Minute)
	lease("(node gone)", "d", time.Hour)
	lease("a sync", "a", time.Hour)
	if err := s.Release(ctx, "(node gone)", "d"); err != nil {
		t.Fatal(err)
	}
	names, err := s.Leased(ctx, "(node ")
	if err != nil {
		t.Fatal(err)
	}
	same(t, "the nodes that are alive", []string{"(node a)", "(node b)"}, names)
}

// writes calls everything of a book that writes.
func writes(t *testing.T, b engine.Book, l *record.Link) map[string]error {
	ctx := t.Context()
	_, choose := b.Choose(ctx, l.ID, "title", reconcile.Choice{Side: right})
	_, use := b.UseApproval(ctx, "d1", noon)
	return map[string]error{
		"StartRun":    b.StartRun(ctx, &plan.Run{Started: noon}),
		"FinishRun":   b.FinishRun(ctx, plan.Run{ID: 1, Started: noon}),
		"UsePlan":     b.UsePlan(ctx, "late", noon),
		"UseApproval": use,
		"Advance":     b.Advance(ctx, left, engine.Cursor{Since: "late"}),
		"Intend":      b.Intend(ctx, []*engine.Intent{{Kind: plan.Update, Key: "late"}}),
		"Fold":        b.Fold(ctx, []engine.Fold{{Link: link("late", "late")}}),
		"Choose":      choose,
		"Hear":        b.Hear(ctx, plan.Comment, left, engine.Heard{Path: "late"}),
	}
}

// unwritten fails when one of writes left a trace.
func unwritten(t *testing.T, b engine.Book, l *record.Link) {
	ctx := t.Context()
	if cur, found, _ := b.Cursor(ctx, left); found {
		t.Errorf("cursor %v was stored", cur)
	}
	if ins, _ := b.Intents(ctx); len(ins) > 0 {
		t.Errorf("intents %v were stored", ins)
	}
	if h, found, _ := b.Heard(ctx, plan.Comment, left); found {
		t.Errorf("heard %v was stored", h)
	}
	if got := byKey(t, b, left, "late"); got != nil {
		t.Errorf("link %v was stored", got)
	}
	for _, w := range collect(t, func(emit func(engine.Waiting) error) error { return b.Waiting(ctx, l.ID, emit) }) {
		if w.Choice != nil {
			t.Errorf("choice %v was stored", w.Choice)
		}
	}
}

func staleFence(t *testing.T, s engine.Store) {
	ctx := t.Context()
	fence, err := s.Lease(ctx, "a", "one", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	old, err := s.Book(ctx, "a", paths, fence)
	if err != nil {
		t.Fatal(err)
	}
	l := link("T-1", "1")
	fold(t, old, engine.Fold{Link: l, Decided: true, Waiting: []engine.Waiting{{Conflict: conflictOf("title", "both moved")}}})
	if err := s.Release(ctx, "a", "one"); err != nil {
		t.Fatal(err)
	}
	b := book(t, s, "a", paths)
	for name, err := range writes(t, old, l) {
		t.Run(name, func(t *testing.T) { is(t, err, engine.ErrLeaseLost) })
	}
	unwritten(t, b, l)
	if got := byKey(t, old, left, "T-1"); got == nil {
		t.Error("a stale book does not even read")
	}
}

func readingBook(t *testing.T, s engine.Store) {
	l := link("T-1", "1")
	fold(t, book(t, s, "a", paths), engine.Fold{Link: l, Decided: true, Waiting: []engine.Waiting{{Conflict: conflictOf("title", "both moved")}}})
	b, err := s.Book(t.Context(), "a", paths, 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range writes(t, b, l) {
		if err == nil {
			t.Errorf("%s wrote without a fence", name)
		}
	}
	unwritten(t, b, l)
	unknown, err := s.Book(t.Context(), "never ran", paths, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := byKey(t, unknown, left, "T-1"); got != nil {
		t.Errorf("a sync that never ran has link %v", got)
	}
}

func usePlan(t *testing.T, s engine.Store) {
	b := book(t, s, "a", paths)
	if err := errors.Join(b.PlanUsed(t.Context(), "abc"), b.UsePlan(t.Context(), "abc", noon)); err != nil {
		t.Fatal(err)
	}
	is(t, b.PlanUsed(t.Context(), "abc"), engine.ErrPlanUsed)
	is(t, b.UsePlan(t.Context(), "abc", noon), engine.ErrPlanUsed)
	if err := b.UsePlan(t.Context(), "abd", noon); err != nil {
		t.Error(err)
	}
}

func startRun(t testing.TB, s engine.Store, sync string, at time.Time) plan.Run {
	t.Helper()
	r := plan.Run{Sync: sync, Started: at, Trigger: "apply", Rules: "digest"}
	if err := book(t, s, sync, paths).StartRun(t.Context(), &r); err != nil {
		t.Fatal(err)
	}
	if r.ID == 0 || r.Fence == 0 {
		t.Fatalf("a run got ID %d and fence %d", r.ID, r.Fence)
	}
	return r
}

func runs(t *testing.T, s engine.Store) {
	ctx := t.Context()
	var all []plan.Run
	for i := range 450 {
		r := startRun(t, s, []string{"a", "b"}[i%2], noon.Add(time.Duration(i)*time.Minute))
		if i%3 == 0 {
			r.Ended, r.Done, r.Complete = r.Started.Add(time.Second), int64(i), true
			r.Footer = plan.Footer{Updates: int64(i), Stops: []plan.Stop{{Limit: "deletes", Why: "too many", Hint: "look"}}}
			if err := book(t, s, r.Sync, paths).FinishRun(ctx, r); err != nil {
				t.Fatal(err)
			}
		}
		all = append([]plan.Run{r}, all...)
	}
	list := func(sync string, limit int) []plan.Run {
		return collect(t, func(emit func(plan.Run) error) error { return s.Runs(ctx, sync, limit, emit) })
	}
	same(t, "all runs", all, list("", 1000))
	same(t, "the newest 201", all[:201], list("", 201))
	same(t, "no runs", all[:0], list("", 0))
	var ofA []plan.Run
	for _, r := range all {
		if r.Sync == "a" {
			ofA = append(ofA, r)
		}
	}
	same(t, "runs of one sync", ofA[:3], list("a", 3))
	same(t, "runs of an unknown sync", all[:0], list("c", 3))
	if err := book(t, s, "a", paths).FinishRun(ctx, plan.Run{ID: 999, Sync: "a"}); err == nil {
		t.Error("a run that was never started was finished")
	}
}

func syncs(t *testing.T, s engine.Store) {
	ctx := t.Context()
	if got, err := s.Syncs(ctx); err != nil || len(got) != 0 {
		t.Fatalf("an empty store knows %v (%v)", got, err)
	}
	bad := startRun(t, s, "b", noon)
	bad.Ended, bad.Complete, bad.Err = noon.Add(time.Minute), true, "log-in refused"
	good := startRun(t, s, "a", noon)
	good.Ended, good.Complete = noon.Add(time.Minute), true
	half := startRun(t, s, "a", noon.Add(time.Hour))
	half.Ended = noon.Add(2 * time.Hour)
	for _, r := range []plan.Run{bad, good, half} {
		if err := book(t, s, r.Sync, paths).FinishRun(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	b := book(t, s, "a", paths)
	live, held, off := link("T-1", "1"), link("T-2", "2"), link("T-3", "3")
	held.Status, off.Status = record.Held, record.Detached
	fold(t, b,
		engine.Fold{Link: live, Decided: true, Waiting: []engine.Waiting{{Conflict: conflictOf("title", "x")}, {Hold: holdOf("status", "y")}}},
		engine.Fold{Link: held, Decided: true, Waiting: []engine.Waiting{{Hold: holdOf("", "z")}}}, engine.Fold{Link: off})
	if err := b.Intend(ctx, []*engine.Intent{{Kind: plan.Update}, {Kind: plan.Update}, {Kind: plan.Delete}}); err != nil {
		t.Fatal(err)
	}
	got, err := s.Syncs(ctx)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "status", []engine.SyncStatus{
		{Sync: "a", Links: 2, Detached: 1, Conflicts: 1, Held: 2, Intents: 3, LastRun: &half, LastGood: good.Ended},
		{Sync: "b", LastRun: &bad},
	}, got)
	// A plan that was stopped says whether it is approved, until a run has used that. (The store's clock is real.)
	last := stopped(t, s, "b", "d1")
	approval := engine.PlanApproval{Sync: "b", Digest: "d1", By: "ada", At: noon, Until: time.Now().Add(time.Hour).UTC()}
	for _, a := range []engine.PlanApproval{approval, {Sync: "b", Digest: "d0", Until: approval.Until}, {Sync: "a", Digest: "d1", Until: approval.Until}} {
		if err := s.Approve(ctx, a); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []*engine.PlanApproval{&approval, nil} {
		got, err = s.Syncs(ctx)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "the stopped sync", engine.SyncStatus{Sync: "b", LastRun: &last, Approval: want}, got[1])
		if _, err := book(t, s, "b", paths).UseApproval(ctx, "d1", noon); err != nil {
			t.Fatal(err)
		}
	}
}

func cursor(t *testing.T, s engine.Store) {
	b := book(t, s, "a", paths)
	if _, found, err := b.Cursor(t.Context(), right); found || err != nil {
		t.Fatalf("a cursor before the first: %v, %v", found, err)
	}
	for _, want := range []engine.Cursor{
		{Since: "2026-03-01 11:59:00", Rules: "r1", Endpoint: "e", At: noon, Full: noon.Add(-time.Hour), Count: 12, Audit: "T-9",
			Clock: reconcile.Clock{Measured: true, Offset: -time.Second, Error: time.Millisecond}, System: "s1", Zone: "Europe/Brussels",
			Newest: []engine.Witness{{Key: "k1", At: noon}, {Key: "k \"2\"", At: noon.Add(-time.Nanosecond)}}},
		{Since: "", Rules: "r2", At: noon.Add(1)},
	} {
		if err := b.Advance(t.Context(), right, want); err != nil {
			t.Fatal(err)
		}
		got, found, err := b.Cursor(t.Context(), right)
		if err != nil || !found {
			t.Fatalf("%v, %v", found, err)
		}
		same(t, "cursor", want, got)
	}
	if _, found, _ := b.Cursor(t.Context(), left); found {
		t.Error("one side's cursor is the other's too")
	}
}
