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
	carried := engine.Thread{Link: l.ID, Side: left, ID: "c1", Copy: "j1", Hash: 1<<63 + 7, Source: 1<<63 + 9, At: noon.Add(time.Second), Run: 3}
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

func files(t *testing.T, s engine.Store) {
	ctx := t.Context()
	b, other := book(t, s, "a", paths), book(t, s, "b", paths)
	l := added(t, b, link("T-1", "1"))
	in := &engine.Intent{Link: l.ID, Kind: plan.Attachment, Side: right, Key: "1", Twin: "T-1", Marker: "f1", New: record.Fields{"name": record.OfText("a.log")}, At: noon}
	if err := b.Intend(ctx, []*engine.Intent{in}); err != nil {
		t.Fatal(err)
	}
	filesOf := func(b engine.Book) []engine.File {
		t.Helper()
		return collect(t, func(emit func(engine.File) error) error { return b.Files(ctx, l.ID, emit) })
	}
	refused := engine.File{Link: l.ID, Side: left, ID: "f0", Refused: "too large", At: noon}
	carried := engine.File{Link: l.ID, Side: left, ID: "f1", Hash: "abc", Size: -1, Copy: "s1", At: noon.Add(time.Second), Run: 3}
	same1 := engine.File{Link: l.ID, Side: right, ID: "f1", At: noon}
	fold(t, b, engine.Fold{Files: []engine.File{refused}}, engine.Fold{Intent: in.ID, Files: []engine.File{carried, same1}})
	same(t, "files", []engine.File{refused, carried, same1}, filesOf(b))
	if ins, err := b.Intents(ctx); err != nil || len(ins) != 0 {
		t.Errorf("open intents %v, %v; want none", ins, err)
	}
	refused.Refused, refused.Hash = "", "def"
	fold(t, b, engine.Fold{Files: []engine.File{refused}})
	same(t, "the last word counts", []engine.File{refused, carried, same1}, filesOf(b))
	if got := filesOf(other); len(got) != 0 {
		t.Errorf("another sync sees %v", got)
	}
	if err := b.Fold(ctx, []engine.Fold{{Files: []engine.File{{Link: l.ID, Side: left}}}}); err == nil {
		t.Error("an attachment without an ID was stored")
	}
	l.Status = record.Ended
	fold(t, b, engine.Fold{Link: l, End: "gone", TombUntil: noon})
	if _, err := s.Prune(ctx, time.Now().Add(1000*time.Hour), 10); err != nil {
		t.Fatal(err)
	}
	if got := filesOf(b); len(got) != 0 {
		t.Errorf("a forgotten link left %v behind", got)
	}
}

// beside holds a store to keeping the holds of comments and attachments apart from those of fields.
func beside(t *testing.T, s engine.Store) {
	b, other := book(t, s, "a", paths), book(t, s, "b", paths)
	l := added(t, b, link("T-1", "1"))
	all := func(b engine.Book) []engine.Beside {
		t.Helper()
		return collect(t, func(emit func(engine.Beside) error) error { return b.Beside(t.Context(), emit) })
	}
	of := func(kind plan.Kind, side record.Side, link int64, entry, cause string) engine.Beside {
		h := holdOf(string(kind)+"s", cause)
		if link != 0 {
			h.Keys = l.Key
		}
		return engine.Beside{Kind: kind, Side: side, Link: link, Entry: entry, Hold: h}
	}
	file, comment, whole := of(plan.Attachment, left, l.ID, "f1", "too slow"), of(plan.Comment, right, l.ID, "", "refused"), of(plan.Comment, left, 0, "", "denied")
	fold(t, b, engine.Fold{Link: l, Decided: true, Waiting: []engine.Waiting{{Hold: holdOf("status", "no right")}}, Beside: []engine.Beside{whole, file, comment}})
	got := all(b)
	if len(got) != 3 || got[0].Entry != "f1" || got[1].Link != 0 || got[2].Side != right {
		t.Fatalf("by kind, side and link: %+v", got)
	}
	h := *got[0].Hold
	if h.Tries != 1 || h.Since.IsZero() || !h.Next.After(h.Since) || h.Cause != "too slow" || h.Keys != l.Key || h.Link != l.ID || h.Sync != "a" {
		t.Errorf("a new hold is %+v", h)
	}
	fold(t, b, engine.Fold{Link: l, Decided: true})
	if rest := all(b); len(rest) != 3 || len(waits(t, b, l.ID)) != 0 {
		t.Errorf("deciding the fields left %+v and %+v; only the holds of fields are replaced", rest, waits(t, b, l.ID))
	}
	file.Hold.Cause = "still slow"
	fold(t, b, engine.Fold{Beside: []engine.Beside{file}})
	if again := *all(b)[0].Hold; again.Tries != 2 || !again.Since.Equal(h.Since) || !again.Next.After(h.Next) || again.Cause != "still slow" {
		t.Errorf("a hold that goes on is %+v", again)
	}
	file.Hold.Next = noon.Add(1 << 60)
	fold(t, b, engine.Fold{Beside: []engine.Beside{file}})
	if again := *all(b)[0].Hold; !again.Next.Equal(file.Hold.Next) {
		t.Errorf("a system that asks for more time is asked again at %s", again.Next)
	}
	n := 0
	if err := s.Waiting(t.Context(), "a", func(engine.Waiting) error { n++; return nil }); err != nil || n != 3 {
		t.Errorf("%d holds are listed (%v), want 3", n, err)
	}
	file.Hold = nil
	fold(t, b, engine.Fold{Beside: []engine.Beside{file, {Kind: plan.Attachment, Side: right, Link: l.ID, Entry: "f1"}}})
	if rest := all(b); len(rest) != 2 {
		t.Errorf("after one ended: %+v", rest)
	}
	if rest := all(other); len(rest) != 0 {
		t.Errorf("another sync sees %+v", rest)
	}
	if err := b.Fold(t.Context(), []engine.Fold{{Beside: []engine.Beside{{Link: l.ID, Hold: holdOf("x", "y")}}}}); err == nil {
		t.Error("a hold of neither comments nor attachments was stored")
	}
	l.Status = record.Ended
	fold(t, b, engine.Fold{Link: l, End: "gone", TombUntil: noon})
	if rest := all(b); len(rest) != 1 || rest[0].Link != 0 {
		t.Errorf("a link that ended left %+v waiting", rest)
	}
}

func heard(t *testing.T, s engine.Store) {
	ctx := t.Context()
	b := book(t, s, "a", paths)
	if h, found, err := b.Heard(ctx, plan.Comment, left); found || err != nil {
		t.Errorf("before the first time: %v, %t, %v", h, found, err)
	}
	for _, want := range []engine.Heard{{Path: "comments", At: noon}, {Path: "notes", Rules: "10MiB", Since: noon, At: noon.Add(time.Hour), Link: 1 << 40}} {
		if err := b.Hear(ctx, plan.Comment, left, want); err != nil {
			t.Fatal(err)
		}
		got, found, err := b.Heard(ctx, plan.Comment, left)
		if err != nil || !found {
			t.Fatalf("found %t, %v", found, err)
		}
		same(t, "heard", want, got)
	}
	if _, found, _ := b.Heard(ctx, plan.Comment, right); found {
		t.Error("the other side was listened to, too")
	}
	if _, found, _ := b.Heard(ctx, plan.Attachment, left); found {
		t.Error("its attachments were listened to, too")
	}
}
