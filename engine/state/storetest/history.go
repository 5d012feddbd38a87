package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/record"
)

func lost(side record.Side, path, from, to string, run int64) engine.Lost {
	return engine.Lost{Side: side, Path: path, Value: record.OfText(from), By: record.OfText(to), Rule: "title", At: noon, Run: run, Cause: engine.ByRule}
}

func historyOf(t testing.TB, b engine.Book, link int64) []engine.Entry {
	t.Helper()
	return collect(t, func(emit func(engine.Entry) error) error { return b.History(t.Context(), link, emit) })
}

func history(t *testing.T, s engine.Store) {
	ctx := t.Context()
	b := book(t, s, "a", paths)
	l, other := link("T-1", "1"), link("T-2", "2")
	byEdit := engine.Lost{Side: left, Path: "status", Value: record.NullValue, By: record.OfTime(noon), At: noon.Add(1), Run: 8, Author: "ada", Cause: engine.ByEdit, Who: "bob"}
	plain := lost(right, "short", "one", "two", 7)
	plain.Cause = "" // what says nothing is by a rule
	fold(t, b,
		engine.Fold{Link: l, Lost: []engine.Lost{plain, byEdit, lost(left, "title", "x", "y", 7)}, Origins: []engine.Origin{
			{Side: right, Path: "short", Rule: "title", Run: 7, At: noon}, {Side: left, Path: "title", Rule: "title", Run: 6, At: noon}}},
		engine.Fold{Link: other, Lost: []engine.Lost{lost(left, "title", "p", "q", 7)}})
	fold(t, b, engine.Fold{Link: l, Lost: []engine.Lost{lost(right, "short", "two", "three", 9)}, Origins: []engine.Origin{{Side: left, Path: "title", Run: 9, At: noon.Add(2), Author: "ada"}}})

	got := historyOf(t, b, l.ID)
	want := []engine.Lost{byEdit, lost(left, "title", "x", "y", 7), lost(right, "short", "one", "two", 7), lost(right, "short", "two", "three", 9)}
	if len(got) != len(want) {
		t.Fatalf("%d entries, want %d: %v", len(got), len(want), got)
	}
	for i, e := range got {
		same(t, "entry", engine.Entry{ID: e.ID, Sync: "a", Link: l.ID, Key: l.Key[e.Side], Lost: want[i]}, e)
		one, err := s.Entry(ctx, e.ID)
		if err != nil || one == nil {
			t.Fatalf("entry %d: %v, %v", e.ID, one, err)
		}
		same(t, "entry by its ID", e, *one)
	}
	if got[2].ID >= got[3].ID || got[2].ID == 0 {
		t.Errorf("the older entry has ID %d, the newer %d", got[2].ID, got[3].ID)
	}
	if e, err := s.Entry(ctx, 12345); e != nil || err != nil {
		t.Errorf("entry 12345 is %v, %v", e, err)
	}
	same(t, "origins", []engine.Origin{{Side: left, Path: "title", Run: 9, At: noon.Add(2), Author: "ada"}, {Side: right, Path: "short", Rule: "title", Run: 7, At: noon}},
		collect(t, func(emit func(engine.Origin) error) error { return b.Origins(ctx, l.ID, emit) }))

	stranger := book(t, s, "z", paths)
	if got := historyOf(t, stranger, l.ID); len(got) != 0 {
		t.Errorf("another sync sees %v", got)
	}
	if got := collect(t, func(emit func(engine.Origin) error) error { return stranger.Origins(ctx, l.ID, emit) }); len(got) != 0 {
		t.Errorf("another sync sees %v", got)
	}
}

func longHistory(t *testing.T, s engine.Store) {
	b := book(t, s, "a", paths)
	l := link("T-1", "1")
	const n = 700
	f := engine.Fold{Link: l}
	for i := range n {
		f.Lost = append(f.Lost, lost(record.Side(i%2), []string{"title", "status"}[i/2%2], fmt.Sprint(i), fmt.Sprint(i+1), 4))
	}
	fold(t, b, f)
	var last engine.Entry
	all := historyOf(t, b, l.ID)
	for _, e := range all {
		if key, was := fmt.Sprintf("%d %s %09d", e.Side, e.Path, e.ID), fmt.Sprintf("%d %s %09d", last.Side, last.Path, last.ID); last.ID != 0 && key <= was {
			t.Fatalf("%s comes after %s", key, was)
		}
		last = e
	}
	if len(all) != n {
		t.Errorf("%d entries, want %d", len(all), n)
	}
	title, status := engine.Place{Link: l.ID, Side: left, Path: "title"}, engine.Place{Link: l.ID, Side: right, Path: "status"}
	var of []engine.Entry
	for _, e := range all {
		if e.Side == right && e.Path == "status" {
			of = append([]engine.Entry{e}, of...)
		}
	}
	latest := func(b engine.Book, most int, places ...engine.Place) map[engine.Place][]engine.Entry {
		found := map[engine.Place][]engine.Entry{}
		err := b.Latest(t.Context(), places, most, func(e engine.Entry) error { found[e.Place()] = append(found[e.Place()], e); return nil })
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	same(t, "the newest of one path", map[engine.Place][]engine.Entry{status: of[:3]}, latest(b, 3, status))
	nothing := engine.Place{Link: l.ID, Side: right, Path: "nothing"}
	other := engine.Place{Link: l.ID + 1, Side: right, Path: "status"}
	if found := latest(b, 3, nothing, other); len(found) > 0 {
		t.Errorf("entries of nothing: %v", found)
	}
	if found := latest(book(t, s, "z", paths), 3, status); len(found) > 0 {
		t.Errorf("another sync sees %v", found)
	}
	// Many at once come in several statements, and each place has its own newest entries.
	many := []engine.Place{title, status}
	for i := range 600 {
		many = append(many, engine.Place{Link: l.ID, Side: right, Path: fmt.Sprint("nothing ", i)})
	}
	found := latest(b, 1, many...)
	if len(found) != 2 || len(found[title]) != 1 || len(found[status]) != 1 || found[status][0] != of[0] {
		t.Errorf("of many places: %v", found)
	}
}

func wrote(t *testing.T, s engine.Store) {
	ctx := t.Context()
	a, z := book(t, s, "a", paths), book(t, s, "z", paths)
	run := startRun(t, s, "a", noon)
	other := startRun(t, s, "z", noon)
	f := engine.Fold{Link: link("T-1", "1")}
	const n = 600
	for i := range n {
		f.Lost = append(f.Lost, lost(left, "title", fmt.Sprint(i), "", run.ID))
	}
	fold(t, a, f)
	fold(t, z, engine.Fold{Link: link("T-1", "1"), Lost: []engine.Lost{lost(left, "title", "z", "", other.ID)}})
	got := collect(t, func(emit func(engine.Entry) error) error { return s.Wrote(ctx, run.ID, emit) })
	if len(got) != n {
		t.Fatalf("the run wrote %d, want %d", len(got), n)
	}
	for i, e := range got {
		if e.Value.Text() != fmt.Sprint(i) || e.Sync != "a" {
			t.Fatalf("entry %d is %v", i, e)
		}
	}
	stored, err := s.RunByID(ctx, run.ID)
	if err != nil || stored == nil {
		t.Fatalf("run %d: %v, %v", run.ID, stored, err)
	}
	same(t, "run", run, *stored)
	if r, err := s.RunByID(ctx, 999); r != nil || err != nil {
		t.Errorf("run 999 is %v, %v", r, err)
	}
}

func buried(t *testing.T, s engine.Store) {
	ctx := t.Context()
	b := book(t, s, "a", paths)
	l := added(t, b, link("T-1", "1"))
	look := func(side record.Side, key string) int64 {
		t.Helper()
		id, err := b.Buried(ctx, side, key)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	alive := func(now time.Time) bool {
		t.Helper()
		any, err := b.Tombs(ctx, now)
		if err != nil {
			t.Fatal(err)
		}
		return any
	}
	if look(left, "T-1") != 0 || alive(noon) {
		t.Error("a link that lives has a tomb")
	}
	l.Status = record.Ended
	fold(t, b, engine.Fold{Link: l, End: "parted", TombUntil: noon})
	if look(left, "T-1") != l.ID || look(right, "1") != l.ID || look(right, "T-1") != 0 {
		t.Error("the keys do not lead to the link that ended")
	}
	if !alive(noon.Add(-1)) || alive(noon) {
		t.Error("a tomb is alive until its time")
	}
	if other := book(t, s, "z", paths); other != nil {
		if any, err := other.Tombs(ctx, noon.Add(-1)); any || err != nil {
			t.Errorf("another sync has tombs: %v, %v", any, err)
		}
	}
	// An ended link may be told again until when its keys are dead.
	fold(t, b, engine.Fold{Link: l, End: "forgotten", TombUntil: noon.Add(-time.Hour)})
	if alive(noon.Add(-time.Minute)) || look(left, "T-1") != l.ID {
		t.Error("the tomb was not lifted, or is forgotten")
	}
}

func approvals(t *testing.T, s engine.Store) {
	ctx := t.Context()
	a := engine.PlanApproval{Sync: "a", Digest: "d1", By: "ada", At: noon, Until: noon.Add(time.Hour)}
	z := engine.PlanApproval{Sync: "z", Digest: "d1", By: "bob", At: noon, Until: noon.Add(time.Hour)}
	for _, one := range []engine.PlanApproval{a, z} {
		if err := s.Approve(ctx, one); err != nil {
			t.Fatal(err)
		}
	}
	look := func(f func() (*engine.PlanApproval, error)) *engine.PlanApproval {
		t.Helper()
		got, err := f()
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	for _, c := range []struct {
		name, sync, digest string
		now                time.Time
		want               *engine.PlanApproval
	}{
		{"another plan", "a", "d2", noon, nil},
		{"another sync", "b", "d1", noon, nil},
		{"its own, in time", "a", "d1", noon.Add(time.Hour - 1), &a},
		{"its own, too late", "a", "d1", noon.Add(time.Hour), nil},
	} {
		same(t, c.name, c.want, look(func() (*engine.PlanApproval, error) { return s.Approved(ctx, c.sync, c.digest, c.now) }))
	}
	use := func(sync string, now time.Time) *engine.PlanApproval {
		return look(func() (*engine.PlanApproval, error) { return book(t, s, sync, paths).UseApproval(ctx, "d1", now) })
	}
	if got := use("a", noon.Add(time.Hour)); got != nil {
		t.Errorf("an approval that is over was used: %v", got)
	}
	same(t, "the first use", &a, use("a", noon))
	if got := use("a", noon); got != nil {
		t.Errorf("an approval was used twice: %v", got)
	}
	a.By = "eve"
	if err := s.Approve(ctx, a); err != nil {
		t.Fatal(err)
	}
	a.Until = noon.Add(2 * time.Hour)
	if err := s.Approve(ctx, a); err != nil {
		t.Fatal(err)
	}
	same(t, "approved again, and for longer", &a, use("a", noon.Add(time.Hour)))
	same(t, "the other sync's is untouched", &z, use("z", noon))
}

func prune(t *testing.T, s engine.Store) {
	ctx := t.Context()
	b := book(t, s, "a", paths)
	old := noon.Add(-time.Hour)
	first := startRun(t, s, "a", old)
	first.Ended, first.Complete = old, true
	if err := b.FinishRun(ctx, first); err != nil {
		t.Fatal(err)
	}
	var runs []int64
	for range 5 {
		runs = append(runs, startRun(t, s, "a", old).ID)
	}
	newest := startRun(t, s, "a", old)
	lone := startRun(t, s, "z", old)
	young := startRun(t, s, "a", noon)
	live := link("T-0", "0")
	f := engine.Fold{Link: live}
	for i := range 7 {
		l := lost(left, "title", fmt.Sprint(i), "", 1)
		l.At = old
		f.Lost = append(f.Lost, l)
	}
	f.Lost = append(f.Lost, lost(left, "title", "young", "", 1)) // of noon
	fold(t, b, f)
	dead, kept := link("T-1", "1"), link("T-2", "2")
	fold(t, b, engine.Fold{Link: dead, Origins: []engine.Origin{{Path: "title", At: old}}}, engine.Fold{Link: kept})
	dead.Status, kept.Status = record.Ended, record.Ended
	future := time.Now().Add(1000 * time.Hour) // links end by the store's clock
	fold(t, b, engine.Fold{Link: dead, End: "gone", TombUntil: old}, engine.Fold{Link: kept, End: "parted", TombUntil: future.Add(time.Hour)})
	for _, digest := range []string{"u1", "u2"} {
		if err := b.UsePlan(ctx, digest, old); err != nil {
			t.Fatal(err)
		}
	}
	for i, until := range []time.Time{old, noon} {
		if err := s.Approve(ctx, engine.PlanApproval{Sync: "a", Digest: fmt.Sprint(i), At: old, Until: until}); err != nil {
			t.Fatal(err)
		}
	}
	forget := func(before time.Time, most int) int64 {
		t.Helper()
		n, err := s.Prune(ctx, before, most)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := forget(old, 100); n != 0 {
		t.Errorf("%d were forgotten before their time", n)
	}
	if n := forget(noon, 3); n == 0 || len(historyOf(t, b, live.ID)) != 5 {
		t.Errorf("%d were forgotten, %d entries left; want 3 of each kind gone", n, len(historyOf(t, b, live.ID)))
	}
	for range 5 {
		forget(noon, 3)
	}
	if got := historyOf(t, b, live.ID); len(got) != 1 || got[0].Value.Text() != "young" {
		t.Errorf("left of the history: %v", got)
	}
	for id, want := range map[int64]bool{runs[0]: false, runs[4]: false, first.ID: true, newest.ID: false, lone.ID: true, young.ID: true} {
		if r, err := s.RunByID(ctx, id); err != nil || (r != nil) != want {
			t.Errorf("run %d of %v: there %t (%v), want %t", id, []int64{first.ID, newest.ID, lone.ID, young.ID}, r != nil, err, want)
		}
	}
	if err := b.UsePlan(ctx, "u1", noon); err != nil {
		t.Errorf("a used plan was not forgotten: %v", err)
	}
	if id, err := b.Buried(ctx, left, "T-1"); id != 0 || err != nil {
		t.Errorf("a tomb that is over leads to link %d, %v", id, err)
	}
	if byID(t, b, dead.ID) == nil {
		t.Error("a link that ended just now is forgotten")
	}
	forget(future, 100)
	if byID(t, b, dead.ID) != nil {
		t.Error("a link that ended long ago is remembered")
	}
	if got := collect(t, func(emit func(engine.Origin) error) error { return b.Origins(ctx, dead.ID, emit) }); len(got) != 0 {
		t.Errorf("it left %v behind", got)
	}
	if byID(t, b, kept.ID) == nil || byID(t, b, live.ID) == nil {
		t.Error("a link with a tomb that is alive, or a live one, is forgotten")
	}
	if n := forget(future, 100); n != 0 {
		t.Errorf("%d were forgotten twice", n)
	}
}

// stopped stores a run that ended before its first write.
func stopped(t testing.TB, s engine.Store, sync, digest string) plan.Run {
	t.Helper()
	r := startRun(t, s, sync, noon)
	r.Ended, r.Stopped, r.Footer = noon, true, plan.Footer{Creates: 3, Digest: digest, Stops: []plan.Stop{{Limit: "creates", Why: "too many", Hint: "look"}}}
	if err := book(t, s, sync, paths).FinishRun(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	return r
}
