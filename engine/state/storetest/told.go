package storetest

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/record"
)

func toldOf(t *testing.T, s engine.Store, sync string) []engine.Told {
	t.Helper()
	told, err := s.Told(t.Context(), sync)
	if err != nil {
		t.Fatal(err)
	}
	return told
}

// unmarked is what was said, without the marks, which are the store's own.
func unmarked(told []engine.Told) []engine.Told {
	told = slices.Clone(told)
	for i := range told {
		told[i].Mark = 0
	}
	return told
}

func tell(t *testing.T, s engine.Store, sync string, told ...engine.Told) {
	t.Helper()
	if err := s.Tell(t.Context(), sync, told); err != nil {
		t.Fatal(err)
	}
}

func told(t *testing.T, s engine.Store) {
	ctx := t.Context()
	due := func(now time.Time) []string {
		t.Helper()
		syncs, err := s.Due(ctx, now)
		if err != nil {
			t.Fatal(err)
		}
		return syncs
	}
	noon, before := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	same(t, "before anything was said", []engine.Told(nil), toldOf(t, s, "a"))
	tell(t, s, "a")
	same(t, "nothing", []string(nil), due(noon))
	one, two, odd := engine.Told{Key: "T-1"}, engine.Told{Side: right, Key: "T-1"}, engine.Told{Key: "\x00\xff"}
	tell(t, s, "a", two, one, one)
	tell(t, s, "a", odd)
	tell(t, s, "b", one)
	first := toldOf(t, s, "a")
	same(t, "by side and key, each once", []engine.Told{odd, one, two}, unmarked(first))
	same(t, "both wait", []string{"a", "b"}, due(noon))
	same(t, "as nothing had been said", []string(nil), due(before))

	// A run that came to nothing leaves it for later, one that is told again meanwhile too.
	for range 2 {
		if err := s.PutOff(ctx, "a", noon.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	same(t, "one waits longer", []string{"b"}, due(noon))
	same(t, "until then", []string{"a", "b"}, due(noon.Add(time.Minute)))
	if got := toldOf(t, s, "a"); got[0].Tries != 2 || got[0].Mark != first[0].Mark {
		t.Errorf("after two tries there is %+v", got)
	}
	tell(t, s, "a", engine.Told{Key: "T-2"})
	same(t, "what is said anew is due at once", []string{"a", "b"}, due(noon))

	// What was looked at goes, what was said again since stays and is due.
	looked := toldOf(t, s, "a")
	tell(t, s, "a", one)
	if err := s.Heed(ctx, "a", looked); err != nil {
		t.Fatal(err)
	}
	again := toldOf(t, s, "a")
	if len(again) != 1 || again[0].Key != "T-1" || again[0].Side != left || again[0].Tries != 0 {
		t.Errorf("left is %+v", again)
	}
	same(t, "and is due", []string{"a", "b"}, due(noon))
	if err := s.Heed(ctx, "a", looked); err != nil { // once more does nothing
		t.Fatal(err)
	}
	same(t, "after the same once more", again, toldOf(t, s, "a"))
	if err := s.Heed(ctx, "a", again); err != nil {
		t.Fatal(err)
	}
	same(t, "all was looked at", []string{"b"}, due(noon))

	if _, err := s.Prune(ctx, time.Now().Add(time.Hour), 1000); err != nil {
		t.Fatal(err)
	}
	same(t, "it was said too long ago", []engine.Told(nil), toldOf(t, s, "b"))
}

func toldTooMuch(t *testing.T, s engine.Store) {
	all := []engine.Told{{}}
	names := func(from, n int) (list []engine.Told) {
		for i := range n {
			list = append(list, engine.Told{Side: record.Side(i % 2), Key: fmt.Sprint(from + i)})
		}
		return list
	}
	tell(t, s, "a", engine.Told{Side: right})
	same(t, "something changed", all, unmarked(toldOf(t, s, "a")))
	was := toldOf(t, s, "a")
	tell(t, s, "a", engine.Told{Key: "T-1"})
	now := toldOf(t, s, "a")
	same(t, "a name says no more than that", all, unmarked(now))
	if err := s.Heed(t.Context(), "a", was); err != nil {
		t.Fatal(err)
	}
	same(t, "but it was said since", now, toldOf(t, s, "a"))

	tell(t, s, "b", names(0, engine.MostTold-2)...)
	tell(t, s, "b", names(0, 4)...)
	if got := len(toldOf(t, s, "b")); got != engine.MostTold-2 {
		t.Errorf("%d records are remembered by name, want %d", got, engine.MostTold-2)
	}
	tell(t, s, "b", names(1000, 3)...)
	same(t, "one too many", all, unmarked(toldOf(t, s, "b")))
	tell(t, s, "c", names(0, engine.MostTold+1)...)
	same(t, "too many at once", all, unmarked(toldOf(t, s, "c")))
}

func tellAtOnce(t *testing.T, s engine.Store) {
	var callers sync.WaitGroup
	for i := range 16 {
		callers.Go(func() {
			if err := s.Tell(t.Context(), "a", []engine.Told{{Key: fmt.Sprint(i)}, {Key: fmt.Sprint(i + 1)}, {Side: right, Key: "1"}}); err != nil {
				t.Error(err)
			}
		})
	}
	callers.Wait()
	if got := len(toldOf(t, s, "a")); got != 18 {
		t.Errorf("%d records are remembered, want 18", got)
	}
}

func slips(t *testing.T, s engine.Store) {
	ctx, now := t.Context(), time.Now()
	pin := func(name, body string, until time.Time) {
		t.Helper()
		if err := s.Pin(ctx, engine.Slip{Name: name, Body: []byte(body), Until: until}); err != nil {
			t.Fatal(err)
		}
	}
	first := func(name string, until time.Time, want bool) {
		t.Helper()
		if is, err := s.PinFirst(ctx, engine.Slip{Name: name, Until: until}); err != nil || is != want {
			t.Errorf("%s is the first: %v, %v; want %v", name, is, err, want)
		}
	}
	body := func(name string) string {
		t.Helper()
		p, err := s.Slip(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		if p == nil {
			return "(none)"
		}
		return string(p.Body)
	}
	under := func(prefix string) (names []string) {
		t.Helper()
		for _, p := range collect(t, func(emit func(engine.Slip) error) error { return s.Slips(ctx, prefix, emit) }) {
			names = append(names, p.Name+"="+string(p.Body))
		}
		return names
	}
	later := now.Add(time.Hour)
	same(t, "before the first", "(none)", body("run a"))
	pin("run a", "one", later)
	pin("run b", "", later)
	pin("run c", "over", now.Add(-time.Minute))
	pin("runs", "no run", later)
	same(t, "one", "one", body("run a"))
	same(t, "an empty one", "", body("run b"))
	same(t, "one that is over", "(none)", body("run c"))
	pin("run a", "\x00\xff two", later)
	same(t, "in place of another", "\x00\xff two", body("run a"))
	same(t, "all of a kind", []string{"run a=\x00\xff two", "run b="}, under("run "))

	first("hook 1", later, true)
	first("hook 1", later.Add(time.Hour), false)
	first("run c", later, true) // the other one is over
	first("run c", later, false)
	for _, want := range []bool{true, false} {
		if was, err := s.Unpin(ctx, "hook 1"); err != nil || was != want {
			t.Errorf("unpinned: %v, %v; want %v", was, err, want)
		}
	}
	first("hook 1", later, true)

	var callers sync.WaitGroup
	taken := make([]bool, 8)
	for i := range taken {
		callers.Go(func() {
			var err error
			if taken[i], err = s.PinFirst(ctx, engine.Slip{Name: "hook 2", Until: later}); err != nil {
				t.Error(err)
			}
		})
	}
	callers.Wait()
	if n := len(slices.DeleteFunc(taken, func(is bool) bool { return !is })); n != 1 {
		t.Errorf("%d of eight callers were the first", n)
	}

	pin("run d", "over", now.Add(-time.Minute))
	if n, err := s.Prune(ctx, now.Add(-1000*time.Hour), 1000); err != nil || n != 1 {
		t.Errorf("%d were forgotten (%v), want the one that is over", n, err)
	}
	same(t, "the others stay", []string{"hook 1=", "hook 2=", "run a=\x00\xff two", "run b=", "run c=", "runs=no run"}, under(""))
}
