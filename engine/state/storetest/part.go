package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/record"
)

// pagesOf reads all that was handed over of a part.
func pagesOf(t *testing.T, b engine.Book, n int) (all []engine.Page) {
	t.Helper()
	if err := b.Pages(t.Context(), right, n, func(p engine.Page) error { all = append(all, p); return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

func parts(t *testing.T, s engine.Store) {
	ctx := t.Context()
	b := book(t, s, "sync", paths)
	do := func(what string, want bool) func(ok bool, err error) {
		return func(ok bool, err error) {
			t.Helper()
			if err != nil || ok != want {
				t.Errorf("%s: %v, %v; want %v", what, ok, err, want)
			}
		}
	}
	if err := b.PutUp(ctx, right, [][]byte{[]byte("first"), []byte("second"), []byte("third")}); err != nil {
		t.Fatal(err)
	}
	page := engine.Page{Same: []uint64{1, 1 << 63, 77}, Found: []record.Record{{Key: "k\x00", Label: "l", Version: "v", Author: "a", Modified: noon, Values: texts("x", "")}, {Key: "bare"}}, Seen: 9}
	do("who has not taken a part", false)(b.HandOver(ctx, right, 0, "ann", page))
	do("a part that nobody has", true)(b.TakePart(ctx, right, 0, "", "ann"))
	do("a part that somebody has", false)(b.TakePart(ctx, right, 0, "", "bob"))
	do("a part of the other side", false)(b.TakePart(ctx, left, 0, "", "bob"))
	do("a page", true)(b.HandOver(ctx, right, 0, "ann", page))
	do("a sign of life", true)(b.HandOver(ctx, right, 0, "ann", engine.Page{Seen: 12}))
	do("another page", true)(b.HandOver(ctx, right, 0, "ann", engine.Page{Same: []uint64{3}, Seen: 13}))
	want := page
	want.Seen = 0
	if diff := cmp.Diff([]engine.Page{want, {Same: []uint64{3}}}, pagesOf(t, b, 0), equal); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
	do("taken away", true)(b.TakePart(ctx, right, 0, "ann", "bob"))
	do("who lost a part", false)(b.HandOver(ctx, right, 0, "ann", page))
	do("who lost a part ends it", false)(b.EndPart(ctx, right, 0, "ann", []byte("{}")))
	if n := len(pagesOf(t, b, 0)); n != 0 {
		t.Errorf("%d pages of who lost the part are left", n)
	}
	do("the new taker's page", true)(b.HandOver(ctx, right, 0, "bob", page))
	do("its end", true)(b.EndPart(ctx, right, 0, "bob", []byte("done")))
	do("a part that has ended", false)(b.TakePart(ctx, right, 0, "bob", "ann"))
	do("more of a part that has ended", false)(b.HandOver(ctx, right, 0, "bob", page))
	do("the second", true)(b.TakePart(ctx, right, 1, "", "ann"))
	do("the second given back", true)(b.TakePart(ctx, right, 1, "ann", ""))

	got, err := b.Parts(ctx, right)
	if diff := cmp.Diff([]engine.Part{{N: 0, Task: []byte("first"), Taker: "bob", Beats: 1, Seen: 9, Account: []byte("done")}, {N: 1, Task: []byte("second")}, {N: 2, Task: []byte("third")}}, got, equal); diff != "" || err != nil {
		t.Errorf("parts (-want +got): %v\n%s", err, diff)
	}
	if err := b.TakeDown(ctx, right, 0); err != nil {
		t.Fatal(err)
	}
	if got, err = b.Parts(ctx, right); err != nil || len(got) != 2 || got[0].N != 1 || len(pagesOf(t, b, 0)) != 0 {
		t.Errorf("after the first was taken down: %+v, %v, %d pages", got, err, len(pagesOf(t, b, 0)))
	}
	if err := b.TakeDown(ctx, right, engine.AllParts); err != nil {
		t.Fatal(err)
	}
	if got, err = b.Parts(ctx, right); err != nil || len(got) != 0 {
		t.Errorf("after all were taken down: %+v, %v", got, err)
	}
}

// partsFenced shows that parts are those of one run: another sees none of them, and clears away what was left.
func partsFenced(t *testing.T, s engine.Store) {
	ctx := t.Context()
	old := book(t, s, "sync", paths)
	other := book(t, s, "other", paths)
	for _, b := range []engine.Book{old, other} {
		for _, side := range record.Sides {
			if err := b.PutUp(ctx, side, [][]byte{[]byte("task")}); err != nil {
				t.Fatal(err)
			}
			if ok, err := b.TakePart(ctx, side, 0, "", "ann"); err != nil || !ok {
				t.Fatal(ok, err)
			}
			if ok, err := b.HandOver(ctx, side, 0, "ann", engine.Page{Same: []uint64{1}}); err != nil || !ok {
				t.Fatal(ok, err)
			}
		}
	}
	if err := s.Release(ctx, "sync", "suite"); err != nil {
		t.Fatal(err)
	}
	fence, err := s.Lease(ctx, "sync", "next", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	next, err := s.Book(ctx, "sync", paths, fence)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.HandOver(ctx, right, 0, "ann", engine.Page{Seen: 1}); !errors.Is(err, engine.ErrLeaseLost) {
		t.Errorf("a page for a run that is over gives %v", err)
	}
	if got, err := next.Parts(ctx, right); err != nil || len(got) != 0 {
		t.Errorf("the next run sees %+v, %v", got, err)
	}
	if ok, err := next.TakePart(ctx, right, 0, "ann", "next"); ok || err != nil {
		t.Errorf("the next run takes a part of the one before: %v, %v", ok, err)
	}
	if err := next.StartRun(ctx, &plan.Run{Sync: "sync", Started: noon}); err != nil {
		t.Fatal(err)
	}
	if got, err := old.Parts(ctx, right); err != nil || len(got) != 0 || len(pagesOf(t, old, 0)) != 0 {
		t.Errorf("what was left is not cleared away: %+v, %v, %d pages", got, err, len(pagesOf(t, old, 0)))
	}
	if got, err := other.Parts(ctx, right); err != nil || len(got) != 1 || len(pagesOf(t, other, 0)) != 1 {
		t.Errorf("another sync's parts are gone: %+v, %v", got, err)
	}
}
