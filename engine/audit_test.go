package engine_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/memory"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// large is how many pairs make sides that are asked for changes alone. A run looks at 100 of them again.
const large, auditTurns = 1150, 12

// largeWorld is a world of so many pairs, all agreed.
func largeWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	say := func(v string) record.Value { return record.OfText(v) }
	for i := range large {
		key, number, title := fmt.Sprintf("T-%04d", i+1), say(fmt.Sprint("INC", i+1)), say(fmt.Sprint("title ", i))
		w.ticket.Append(key, []record.Value{number, record.NullValue, say("new"), title})
		w.incident.Append(fmt.Sprintf("sys%04d", i+1), []record.Value{say(key), number, say("new"), title})
	}
	for range 2 { // the first scan's window ends when the records were made
		w.apply()
		w.now = w.now.Add(2 * time.Hour)
	}
	w.scanned("changes", "changes")
	return w
}

// scanned fails unless the next run reads the sides so.
func (w *world) scanned(want ...string) {
	w.t.Helper()
	r, err := w.engine.Plan(w.t.Context(), w.job)
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Close()
	if got := r.Header().Scan; got != [2]string(want) {
		w.t.Fatalf("the sides are read by %v, want %v", got, want)
	}
}

// foundWithin runs until ok, and fails if that takes more than n runs. It returns how many it took.
func (w *world) foundWithin(n int, what string, ok func() bool) int {
	w.t.Helper()
	for i := range n {
		if acc := w.apply(); !acc.Complete {
			w.t.Fatalf("run %d is not complete: %s", acc.ID, acc.Err)
		}
		if ok() {
			return i + 1
		}
		w.now = w.now.Add(time.Minute)
	}
	w.t.Fatalf("%s was not found in %d runs", what, n)
	return 0
}

func TestAnEditThatMovesNoStampIsFoundWhenItsTurnComes(t *testing.T) {
	for _, tt := range []struct {
		name, key string
		runs      int // at the latest
	}{{"the first", "sys0001", auditTurns}, {"one in the middle", "sys0640", auditTurns}, {"the last", fmt.Sprintf("sys%04d", large), auditTurns}} {
		t.Run(tt.name, func(t *testing.T) {
			w := largeWorld(t)
			w.incident.Tamper(tt.key, text("state", "open"))
			ticket := w.incident.Get(tt.key)["marker"].Text()
			w.foundWithin(tt.runs, "the edit", func() bool { return w.ticket.Get(ticket)["status"].Text() == "open" })
			// And round it goes: once more from wherever it is now.
			w.incident.Tamper(tt.key, text("state", "closed"))
			w.foundWithin(auditTurns, "the second edit", func() bool { return w.ticket.Get(ticket)["status"].Text() == "closed" })
		})
	}
}

func TestAPreviewShowsWhatWasFoundAndMovesNothingOn(t *testing.T) {
	w := largeWorld(t)
	var shown []string
	for i := range large {
		w.incident.Tamper(fmt.Sprintf("sys%04d", i+1), text("state", "open"))
	}
	for range 3 {
		shown = w.plan()
		if len(shown) != 100 {
			t.Fatalf("a preview finds %d, want the 100 of one slice", len(shown))
		}
	}
	w.apply()
	w.now = w.now.Add(time.Minute)
	if again := w.plan(); len(again) != 100 || slices.ContainsFunc(again, func(s string) bool { return slices.Contains(shown, s) }) {
		t.Errorf("the next run finds %d, want 100 others", len(again))
	}
}

func TestADeletionThatNoScanShowsIsProvedByAWholeOne(t *testing.T) {
	w := largeWorld(t)
	w.rules.Sides[record.Left].Gone = reconcile.OnGone{Then: reconcile.GoneDelete}
	marked := w.incident.Get("sys0777")["marker"].Text()
	w.ticket.Remove(marked)
	full := 0
	reads := 0
	w.ticket.Hook = func(_ context.Context, op memory.Op) error {
		if op.Name == "scan" && !op.Done {
			reads++
		}
		return nil
	}
	n := w.foundWithin(auditTurns, "the deletion", func() bool {
		if reads > 1 {
			full++
		}
		reads = 0
		return w.incident.Get("sys0777") == nil
	})
	if full != 1 {
		t.Errorf("%d of %d runs read the side whole, want the one that found it missing", full, n)
	}
	// So soon after that scan nobody asks for another one: the slice waits for its proof.
	marked = w.incident.Get("sys0778")["marker"].Text()
	w.ticket.Remove(marked)
	for range auditTurns + 5 {
		w.apply()
	}
	if w.incident.Get("sys0778") == nil {
		t.Error("a record was taken for gone without proof")
	}
	w.now = w.now.Add(2 * time.Hour)
	w.foundWithin(1, "the second deletion", func() bool { return w.incident.Get("sys0778") == nil })
}

func TestARecordThatLeftANativeScopeIsNotTakenForEdited(t *testing.T) {
	w := largeWorld(t)
	w.incident.Match = func(native string, r record.Record) (bool, error) {
		return r.Values[slices.Index(incidentPaths, "state")].Text() != native, nil
	}
	w.job.Ends[record.Right].Native = "elsewhere"
	w.incident.Edit("sys0001", text("state", "elsewhere", "summary", "not for the ticket"))
	w.incident.Tamper("sys0002", text("summary", "by a script"))
	ticket := w.incident.Get("sys0002")["marker"].Text()
	w.foundWithin(auditTurns, "the script's edit", func() bool { return w.ticket.Get(ticket)["title"].Text() == "by a script" })
	for range auditTurns {
		w.apply()
	}
	for _, key := range w.ticket.Keys() {
		if strings.HasPrefix(w.ticket.Get(key)["title"].Text(), "not for") {
			t.Errorf("ticket %s was told what left the scope", key)
		}
	}
}

func TestARunThatFailsLooksAtTheSameLinksAgain(t *testing.T) {
	w := largeWorld(t)
	w.incident.Tamper("sys0150", text("state", "open"))
	ticket := w.incident.Get("sys0150")["marker"].Text()
	w.ticket.Hook = func(_ context.Context, op memory.Op) error {
		if op.Name == "update" {
			return &connectors.Error{Kind: connectors.ErrOffline, Op: "update"}
		}
		return nil
	}
	for range 3 {
		_, _, _ = w.tryApply(engine.Approval{})
	}
	w.ticket.Hook = nil
	w.foundWithin(1, "what the failed runs saw", func() bool { return w.ticket.Get(ticket)["status"].Text() == "open" })
}
