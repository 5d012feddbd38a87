package storetest

import (
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/record"
)

func threadsOf(t testing.TB, b engine.Book, link int64) []engine.Thread {
	t.Helper()
	return collect(t, func(emit func(engine.Thread) error) error { return b.Threads(t.Context(), link, emit) })
}

func threads(t *testing.T, s engine.Store) {
	ctx := t.Context()
	b, other := book(t, s, "a", paths), book(t, s, "b", paths)
	l := added(t, b, link("T-1", "1"))
	in := &engine.Intent{Link: l.ID, Kind: plan.Comment, Side: right, Key: "1", Twin: "T-1", Marker: "c1", New: record.Fields{"work_notes": record.OfText("help")}, At: noon}
	if err := b.Intend(ctx, []*engine.Intent{in}); err != nil {
		t.Fatal(err)
	}
	old := engine.Thread{Link: l.ID, Side: left, ID: "c0", At: noon}
	carried := engine.Thread{Link: l.ID, Side: left, ID: "c1", Copy: "j1", Hash: 1<<63 + 7, At: noon.Add(time.Second), Run: 3}
	same1 := engine.Thread{Link: l.ID, Side: right, ID: "c1", At: noon} // the same ID on the other side is another comment
	fold(t, b, engine.Fold{Threads: []engine.Thread{old}}, engine.Fold{Intent: in.ID, Threads: []engine.Thread{carried, same1}})
	same(t, "threads", []engine.Thread{old, carried, same1}, threadsOf(t, b, l.ID))
	if ins, err := b.Intents(ctx); err != nil || len(ins) != 0 {
		t.Errorf("open intents %v, %v; want none", ins, err)
	}
	old.Copy = "j0"
	fold(t, b, engine.Fold{Threads: []engine.Thread{old}})
	same(t, "the last word counts", []engine.Thread{old, carried, same1}, threadsOf(t, b, l.ID))
	if got := threadsOf(t, other, l.ID); len(got) != 0 {
		t.Errorf("another sync sees %v", got)
	}
	if err := b.Fold(ctx, []engine.Fold{{Threads: []engine.Thread{{Side: left, ID: "c9"}}}}); err == nil {
		t.Error("a comment of no link was stored")
	}

	l.Status = record.Ended
	fold(t, b, engine.Fold{Link: l, End: "gone", TombUntil: noon})
	if _, err := s.Prune(ctx, time.Now().Add(1000*time.Hour), 10); err != nil {
		t.Fatal(err)
	}
	if got := threadsOf(t, b, l.ID); len(got) != 0 {
		t.Errorf("a forgotten link left %v behind", got)
	}
}

func heard(t *testing.T, s engine.Store) {
	ctx := t.Context()
	b := book(t, s, "a", paths)
	if h, found, err := b.Heard(ctx, left); found || err != nil {
		t.Errorf("before the first time: %v, %t, %v", h, found, err)
	}
	for _, want := range []engine.Heard{{Path: "comments", At: noon}, {Path: "notes", Since: noon, At: noon.Add(time.Hour), Link: 1 << 40}} {
		if err := b.Hear(ctx, left, want); err != nil {
			t.Fatal(err)
		}
		got, found, err := b.Heard(ctx, left)
		if err != nil || !found {
			t.Fatalf("found %t, %v", found, err)
		}
		same(t, "heard", want, got)
	}
	if _, found, _ := b.Heard(ctx, right); found {
		t.Error("the other side was listened to, too")
	}
}
