package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

func holdOf(field, cause string) *plan.Hold {
	return &plan.Hold{Field: field, Cause: cause, Hint: "look", Labels: [2]string{"T", "INC"}, At: "a.hcl:3"}
}

func conflictOf(field, why string) *plan.Conflict {
	return &plan.Conflict{Field: field, Why: why, Policy: "ask", Paths: [2][]string{{"title"}, {"short"}},
		Base: [2]record.Value{record.OfText("was"), record.NullValue}, Now: [2]record.Value{record.OfTime(noon), record.UnknownValue}}
}

func waits(t testing.TB, b engine.Book, link int64) []engine.Waiting {
	t.Helper()
	return collect(t, func(emit func(engine.Waiting) error) error { return b.Waiting(t.Context(), link, emit) })
}

func waitingPersists(t *testing.T, s engine.Store) {
	b := book(t, s, "a", paths)
	l := link("T-1", "1")
	c, h := conflictOf("title", "both moved"), holdOf("status", "no right")
	c.Since = noon
	decide := func(ws ...engine.Waiting) []engine.Waiting {
		t.Helper()
		fold(t, b, engine.Fold{Link: l, Decided: true, Waiting: ws})
		return waits(t, b, l.ID)
	}
	first := decide(engine.Waiting{Conflict: c}, engine.Waiting{Hold: h})
	if len(first) != 2 || first[0].Hold == nil || first[1].Conflict == nil {
		t.Fatalf("by field: hold, conflict; got %+v", first)
	}
	hold := *first[0].Hold
	if hold.Tries != 1 || hold.Since.IsZero() || !hold.Next.After(hold.Since) {
		t.Errorf("a new hold has tries %d, since %s, next %s", hold.Tries, hold.Since, hold.Next)
	}
	want := *h
	want.Sync, want.Link, want.Keys, want.Since, want.Tries, want.Next = "a", l.ID, l.Key, hold.Since, 1, hold.Next
	same(t, "hold", want, hold)
	wantC := *c
	wantC.Sync, wantC.Link, wantC.Keys = "a", l.ID, l.Key
	same(t, "conflict", wantC, *first[1].Conflict)

	c.Since, c.Why = noon.Add(time.Hour), "still"
	h.Since, h.Cause = noon.Add(100*time.Hour), "no right, again"
	second := decide(engine.Waiting{Conflict: c}, engine.Waiting{Hold: h})
	if got := second[0].Hold; got.Tries != 2 || !got.Since.Equal(hold.Since) || !got.Next.After(hold.Next) || got.Cause != "no right, again" {
		t.Errorf("a hold that persists: %+v", got)
	}
	if got := second[1].Conflict; !got.Since.Equal(noon) || got.Why != "still" {
		t.Errorf("a conflict that persists: %+v", got)
	}

	h.Next = noon.Add(7 * time.Minute)
	if got := decide(engine.Waiting{Hold: h}); len(got) != 1 || !got[0].Hold.Next.Equal(h.Next) || got[0].Hold.Tries != 3 {
		t.Errorf("a hold with a next try of its own: %+v", got[0].Hold)
	}
	fold(t, b, engine.Fold{Link: l})
	if got := waits(t, b, l.ID); len(got) != 1 {
		t.Errorf("a fold that decided nothing left %d waiting, want 1", len(got))
	}
	if got := decide(); len(got) != 0 {
		t.Errorf("a fold that decided all left %+v", got)
	}
	h.Next = time.Time{}
	h.Since = noon.Add(200 * time.Hour)
	if got := decide(engine.Waiting{Hold: h}); got[0].Hold.Tries != 1 || !got[0].Hold.Since.Equal(h.Since) {
		t.Errorf("a hold that comes back starts afresh: %+v", got[0].Hold)
	}
}

func choices(t *testing.T, s engine.Store) {
	ctx := t.Context()
	b := book(t, s, "a", paths)
	seen := [2][]record.Value{texts("mine"), {record.OfText("theirs"), record.Value{}}}
	w := engine.Waiting{Conflict: conflictOf("title", "both moved"), Seen: seen}
	l := link("T-1", "1")
	fold(t, b, engine.Fold{Link: l, Decided: true, Waiting: []engine.Waiting{w, {Hold: holdOf("status", "x")}}})
	want := reconcile.Choice{Side: right, Seen: seen, By: "ada"}
	for _, c := range []struct {
		link  int64
		field string
		found bool
	}{{l.ID, "status", false}, {l.ID + 1, "title", false}, {l.ID, "other", false}, {l.ID, "title", true}} {
		if found, err := b.Choose(ctx, c.link, c.field, want); err != nil || found != c.found {
			t.Errorf("choose link %d field %s: %v, %v", c.link, c.field, found, err)
		}
	}
	chosen := func() *reconcile.Choice {
		t.Helper()
		for _, w := range waits(t, b, l.ID) {
			if w.Conflict != nil {
				same(t, "seen", seen, w.Seen)
				return w.Choice
			}
		}
		t.Fatal("the conflict is gone")
		return nil
	}
	same(t, "choice", &want, chosen())
	fold(t, b, engine.Fold{Link: l, Decided: true, Waiting: []engine.Waiting{w}})
	same(t, "choice after a run that saw the same", &want, chosen())
	seen[0] = texts("mine, edited")
	w.Seen, w.Choice = seen, &want
	fold(t, b, engine.Fold{Link: l, Decided: true, Waiting: []engine.Waiting{w}})
	if got := chosen(); got != nil {
		t.Errorf("the choice outlived what the person saw: %+v", got)
	}
}

func waitingLoose(t *testing.T, s engine.Store) {
	b := book(t, s, "a", paths)
	decide := func(keys [2]string, ws ...engine.Waiting) {
		t.Helper()
		fold(t, b, engine.Fold{Keys: keys, Decided: true, Waiting: ws})
	}
	causes := func() map[[2]string]string {
		t.Helper()
		got := map[[2]string]string{}
		for _, w := range waits(t, b, 0) {
			got[w.Hold.Keys] += fmt.Sprint(w.Hold.Cause, w.Hold.Tries)
		}
		return got
	}
	decide([2]string{"T-1", ""}, engine.Waiting{Hold: holdOf("", "a")})
	decide([2]string{"", "1"}, engine.Waiting{Hold: holdOf("", "b")})
	decide([2]string{"T-2", "2"}, engine.Waiting{Hold: holdOf("", "c")})
	same(t, "by keys", map[[2]string]string{{"T-1", ""}: "a1", {"", "1"}: "b1", {"T-2", "2"}: "c1"}, causes())
	decide([2]string{"T-1", ""}, engine.Waiting{Hold: holdOf("", "a")})
	decide([2]string{"T-9", ""})
	decide([2]string{"", "2"})
	same(t, "one tried again, one settled", map[[2]string]string{{"T-1", ""}: "a2", {"", "1"}: "b1"}, causes())
	// A link of the records settles what they waited for without one.
	l := link("T-1", "1")
	fold(t, b, engine.Fold{Link: l, Decided: true})
	same(t, "after they are linked", map[[2]string]string{}, causes())
	fold(t, b, engine.Fold{Link: l, Decided: true, Waiting: []engine.Waiting{{Hold: holdOf("title", "d")}}})
	decide([2]string{"T-1", ""})
	same(t, "what the link waits for is not the record's", map[[2]string]string{{"T-1", "1"}: "d1"}, causes())
}

func waitingOrder(t *testing.T, s engine.Store) {
	ctx := t.Context()
	a, z := book(t, s, "a", paths), book(t, s, "z", paths)
	var folds []engine.Fold
	const links, loose = 300, 300
	for i := range links {
		c, h := conflictOf("title", "x"), holdOf("status", "y")
		c.Since, h.Since = noon.Add(time.Duration(i*7919%1000)*time.Second), noon.Add(time.Duration(i*104729%1000)*time.Second)
		folds = append(folds, engine.Fold{Link: link(fmt.Sprintf("T-%d", i), fmt.Sprint(i)), Decided: true, Waiting: []engine.Waiting{{Conflict: c}, {Hold: h}}})
	}
	for i := range loose {
		h := holdOf("", "z")
		h.Since = noon.Add(-time.Duration(i) * time.Second)
		folds = append(folds, engine.Fold{Keys: [2]string{fmt.Sprintf("N-%03d", (i*37)%loose), ""}, Decided: true, Waiting: []engine.Waiting{{Hold: h}}})
	}
	fold(t, a, folds...)
	fold(t, z, engine.Fold{Link: link("Z", "Z"), Decided: true, Waiting: []engine.Waiting{{Hold: holdOf("", "z")}}})

	subject := func(w engine.Waiting) (string, time.Time) {
		if w.Conflict != nil {
			return fmt.Sprintf("%09d %s %s %s", w.Conflict.Link, w.Conflict.Keys[0], w.Conflict.Keys[1], w.Conflict.Field), w.Conflict.Since
		}
		return fmt.Sprintf("%09d %s %s %s", w.Hold.Link, w.Hold.Keys[0], w.Hold.Keys[1], w.Hold.Field), w.Hold.Since
	}
	last, n := "", 0
	for _, w := range waits(t, a, 0) {
		key, _ := subject(w)
		if key <= last {
			t.Fatalf("%q comes after %q", key, last)
		}
		last, n = key, n+1
	}
	if n != 2*links+loose {
		t.Errorf("%d wait, want %d", n, 2*links+loose)
	}
	for sync, want := range map[string]int{"a": 2*links + loose, "z": 1, "": 2*links + loose + 1, "unknown": 0} {
		var before time.Time
		n := 0
		if err := s.Waiting(ctx, sync, func(w engine.Waiting) error {
			if _, since := subject(w); since.Before(before) {
				t.Fatalf("%s comes after %s", since, before)
			} else {
				before = since
			}
			n++
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if n != want {
			t.Errorf("in sync %q %d wait, want %d", sync, n, want)
		}
	}
}

func waitingEnds(t *testing.T, s engine.Store) {
	b := book(t, s, "a", paths)
	l := link("T-1", "1")
	fold(t, b, engine.Fold{Link: l, Decided: true, Waiting: []engine.Waiting{{Hold: holdOf("title", "x")}}})
	l.Status = record.Ended
	fold(t, b, engine.Fold{Link: l, End: "gone"})
	if got := waits(t, b, 0); len(got) != 0 {
		t.Errorf("an ended link waits for %+v", got)
	}
}
