package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/engine"
)

func pauses(t *testing.T, s engine.Store) {
	ctx := t.Context()
	list := func() []engine.Pause {
		t.Helper()
		all, err := s.Pauses(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	same(t, "before the first", []engine.Pause(nil), list())
	b := engine.Pause{Sync: "b", By: "ada", At: noon, Why: "the help desk moves house"}
	a := engine.Pause{Sync: "a", By: "bob", At: noon.Add(time.Minute)}
	for _, p := range []engine.Pause{b, a} {
		if err := s.Pause(ctx, p); err != nil {
			t.Fatal(err)
		}
	}
	same(t, "two pauses", []engine.Pause{a, b}, list())
	b.By, b.Why = "eve", "longer than thought"
	if err := s.Pause(ctx, b); err != nil {
		t.Fatal(err)
	}
	same(t, "a pause that replaces another", []engine.Pause{a, b}, list())
	for _, want := range []bool{true, false} {
		if was, err := s.Resume(ctx, "b"); err != nil || was != want {
			t.Errorf("resumed: %v, %v; want %v", was, err, want)
		}
	}
	same(t, "one was ended", []engine.Pause{a}, list())
}

func acts(t *testing.T, s engine.Store) {
	ctx := t.Context()
	const many = 450 // more than one page
	var want []engine.Act
	for i := range many {
		a := engine.Act{At: noon.Add(time.Duration(i) * time.Minute), By: "ada", Action: "resolve", Subject: fmt.Sprint("T-", i), Why: "she asked"}
		if err := s.Note(ctx, a); err != nil {
			t.Fatal(err)
		}
		want = append(want, a)
	}
	slices.Reverse(want)
	list := func(limit int) []engine.Act {
		t.Helper()
		return collect(t, func(emit func(engine.Act) error) error { return s.Acts(ctx, limit, emit) })
	}
	same(t, "all of them", want, list(2*many))
	same(t, "the newest", want[:7], list(7))
	same(t, "none", []engine.Act(nil), list(0))
	if _, err := s.Prune(ctx, noon.Add(440*time.Minute), 1000); err != nil {
		t.Fatal(err)
	}
	same(t, "what is left when the old are forgotten", want[:10], list(many))
}
