package engine_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A listened is a collection that remembers what it was asked for.
type listened struct {
	*instance
	scans  int
	read   []string
	within func(key string) bool // for a scope in its own language
}

func (l *listened) Scan(ctx context.Context, q connectors.Query, emit func(record.Record) error) (connectors.Window, error) {
	l.scans++
	q.Native = "" // records in memory know none
	return l.instance.Scan(ctx, q, emit)
}

func (l *listened) Read(ctx context.Context, paths, keys []string, emit func(record.Record) error) error {
	l.read = append(l.read, keys...)
	return l.instance.Read(ctx, paths, keys, emit)
}

func (l *listened) Within(_ context.Context, _ string, keys []string, emit func(string) error) error {
	for _, key := range keys {
		if l.within(key) {
			if err := emit(key); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *listened) Can(ability any) bool {
	switch ability.(type) {
	case *connectors.Scoper:
		return l.within != nil
	case *connectors.Finder, *connectors.Creator, *connectors.Updater, *connectors.CommentReader, *connectors.Commenter:
		return true
	}
	return false
}

// listening is a world of three pairs whose sides remember what they are asked for.
func listening(t *testing.T) (*world, [2]*listened) {
	t.Helper()
	w := newWorld(t)
	for _, title := range []string{"a", "b", "c"} {
		w.ticket.Add(text("title", title, "status", "new"))
	}
	taps := [2]*listened{{instance: &instance{Store: w.ticket}}, {instance: &instance{Store: w.incident}}}
	for _, s := range record.Sides {
		w.job.Ends[s].Handle = taps[s]
	}
	w.apply()
	w.minute()
	w.apply()
	w.minute()
	for _, tap := range taps {
		tap.scans, tap.read = 0, nil
	}
	return w, taps
}

func (w *world) only(s record.Side, keys ...string) {
	w.job.Only = [2][]string{}
	w.job.Only[s] = keys
}

func TestARunOfFewRecordsReadsThemAndNothingElse(t *testing.T) {
	w, taps := listening(t)
	w.ticket.Edit("T-2", text("title", "b, said"))
	w.ticket.Edit("T-3", text("title", "c, not said"))
	w.only(record.Left, "T-2", "T-1")
	acc := w.apply()
	if acc.Done != 1 || !acc.Few || acc.Complete {
		t.Errorf("done %d, few %v, complete %v; want 1, true, false", acc.Done, acc.Few, acc.Complete)
	}
	w.wantIncident("sys2", text("summary", "b, said"))
	w.wantIncident("sys3", text("summary", "c"))
	for _, s := range record.Sides {
		for _, key := range taps[s].read {
			if !slices.Contains([]string{"T-1", "T-2", "sys2"}, key) {
				t.Errorf("%s %s was read", s, key)
			}
		}
		if taps[s].scans > 0 {
			t.Errorf("%s was scanned %d times", s, taps[s].scans)
		}
	}
	w.job.Only = [2][]string{}
	w.wantPlan("nobody takes the rest for settled", `update incident sys3 summary="c, not said"`)
	w.apply()
	w.wantPlan("and the run that looks at all ends quiet")
}

func TestANewRecordThatIsNamedIsCreatedOnce(t *testing.T) {
	w, _ := listening(t)
	key := w.ticket.Add(text("title", "d", "status", "new"))
	w.only(record.Left, key)
	for range 2 {
		w.apply()
	}
	if w.incident.Len() != 4 {
		t.Errorf("%d incidents, want 4", w.incident.Len())
	}
	w.wantIncident("sys4", text("marker", key, "summary", "d"))
	w.job.Only = [2][]string{}
	w.wantPlan("the next run of all finds it settled")
}

func TestARecordThatIsNamedAndMissingIsGoneOnlyAfterACompleteScan(t *testing.T) {
	for _, key := range []string{"T-2", "T-9"} { // the other one never was: what was meant is found by a scan
		w, taps := listening(t)
		w.ticket.Remove(key)
		w.only(record.Left, "T-1", key)
		if acc := w.apply(); acc.Few || taps[0].scans == 0 {
			t.Errorf("%s: few %v after %d scans", key, acc.Few, taps[0].scans)
		}
	}
}

func TestFewRecordsAreNotEnoughForNewRules(t *testing.T) {
	w, taps := listening(t)
	w.rules.Digest = "rules 2"
	w.only(record.Left, "T-2")
	if acc := w.apply(); acc.Few || taps[0].scans == 0 {
		t.Errorf("few %v after %d scans", acc.Few, taps[0].scans)
	}
}

func TestAConflictThatAFewRecordsLeadToWaits(t *testing.T) {
	w, _ := listening(t)
	w.ticket.Edit("T-1", text("title", "one"))
	w.only(record.Left, "T-1")
	w.incident.Edit("sys1", text("summary", "two"))
	acc := w.apply() // its write finds the edit that nobody told of
	if acc.Done != 0 {
		t.Errorf("%d writes over an edit", acc.Done)
	}
	w.wantIncident("sys1", text("summary", "two"))
	w.job.Only = [2][]string{}
	w.wantPlan("both are asked about", "conflict T-1 sys1 summary")
}

func TestWhatWaitsElsewhereIsLeftToTheRunOfAll(t *testing.T) {
	w, taps := listening(t)
	w.ticket.Edit("T-3", text("title", "one"))
	w.incident.Edit("sys3", text("summary", "two"))
	w.apply()
	if err := w.engine.Resolve(t.Context(), w.job, "T-3", "summary", record.Left, "ada"); err != nil {
		t.Fatal(err)
	}
	w.ticket.Edit("T-1", text("title", "said"))
	w.only(record.Left, "T-1")
	taps[0].read, taps[1].read = nil, nil
	if acc := w.apply(); acc.Done != 1 || slices.Contains(append(taps[0].read, taps[1].read...), "sys3") {
		t.Errorf("done %d, read %q and %q", acc.Done, taps[0].read, taps[1].read)
	}
	w.wantIncident("sys3", text("summary", "two"))
	w.job.Only = [2][]string{}
	w.apply()
	w.wantIncident("sys3", text("summary", "one"))
}

func TestOnlyTheSystemTellsWhatIsInItsOwnScope(t *testing.T) {
	mute, _ := listening(t)
	mute.job.Ends[1].Native = "category=network"
	mute.incident.Edit("sys1", text("summary", "moved"))
	mute.only(record.Right, "sys1")
	if acc := mute.apply(); acc.Few {
		t.Error("a system that cannot be asked about its scope was taken at its word")
	}
	w, taps := listening(t)
	w.job.Ends[1].Native = "category=network"
	out := "sys2"
	taps[1].within = func(key string) bool { return key != out }
	w.incident.Edit("sys1", text("summary", "moved"))
	w.incident.Edit("sys2", text("summary", "moved, and out of scope"))
	w.only(record.Right, "sys1", "sys2")
	acc := w.apply()
	if !acc.Few || taps[1].scans > 0 {
		t.Errorf("few %v after %d scans", acc.Few, taps[1].scans)
	}
	got := []string{w.ticket.Get("T-1")["title"].Text(), w.ticket.Get("T-2")["title"].Text()}
	if diff := cmp.Diff([]string{"moved", "b"}, got); diff != "" {
		t.Error(diff)
	}
	b, err := w.engine.Store.Book(t.Context(), "ticket_to_incident", [2][]string{ticketPaths, incidentPaths}, 0)
	if err != nil {
		t.Fatal(err)
	}
	l, err := b.Link(t.Context(), record.Left, "T-2")
	if err != nil || l == nil || l.Status != record.Detached {
		t.Errorf("the link of what left the scope is %+v, %v; want it detached", l, err)
	}
}

func TestCommentsOfANamedRecordTravelToo(t *testing.T) {
	w := talking(t)
	w.ticket.Add(text("title", "b", "status", "new"))
	for range 2 {
		w.minute()
		w.apply()
	}
	w.minute()
	w.ticket.Say("comments", "T-1", "ann", "said")
	w.ticket.Say("comments", "T-2", "ann", "not said")
	at := w.now.Format("15:04")
	w.only(record.Left, "T-1")
	for range 2 {
		w.apply()
		w.now = w.now.Add(time.Second)
	}
	w.wantTalk("the comment of the record that was named", []string{"said"}, []string{"[ann " + at + "] said"})
	if got := w.incident.Said("work_notes", "sys2"); len(got) > 0 {
		t.Errorf("a comment of another record was carried: %v", got)
	}
	w.job.Only = [2][]string{}
	w.apply()
	w.wantTalk("once", []string{"said"}, []string{"[ann " + at + "] said"})
	if got := w.incident.Said("work_notes", "sys2"); len(got) != 1 {
		t.Errorf("the run of all carried %d comments of the other record, want 1", len(got))
	}
}
