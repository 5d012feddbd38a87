package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/memory"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// history is what is remembered of a record and its twin, a line an entry: "right summary a→b rule summary".
func (w *world) history(key string) []string {
	w.t.Helper()
	b, err := w.engine.Blame(w.t.Context(), w.job, key)
	if err != nil {
		w.t.Fatal(err)
	}
	var lines []string
	for _, h := range b.History {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s %s→%s %s %s%s", h.Side, h.Path, h.Value.Plain(), h.By.Plain(), h.Cause, h.Rule, h.Who)))
	}
	return lines
}

func (w *world) wantHistory(key string, want ...string) {
	w.t.Helper()
	if diff := cmp.Diff(want, w.history(key)); diff != "" {
		w.t.Errorf("history of %s (-want +got):\n%s", key, diff)
	}
}

// entry finds the newest entry that lost a value of a path.
func (w *world) entry(key, path, value string) engine.Entry {
	w.t.Helper()
	b, err := w.engine.Blame(w.t.Context(), w.job, key)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, h := range slices.Backward(b.History) {
		if h.Path == path && h.Value.Plain() == value {
			return h
		}
	}
	w.t.Fatalf("the history of %s has no %s %q: %v", key, path, value, w.history(key))
	return engine.Entry{}
}

func (w *world) restore(x engine.Entry) (*engine.Putback, plan.Run, error) {
	w.t.Helper()
	p, err := w.engine.Restore(w.t.Context(), w.job, x)
	if err != nil {
		w.t.Fatal(err)
	}
	acc, err := p.Apply(w.t.Context(), "ann")
	return p, acc, err
}

// edited is a world in which a ticket's title went from a to b and across.
func edited(t *testing.T) *world {
	w := newWorld(t)
	w.ticket.Add(text("title", "a", "status", "new"))
	w.apply()
	w.now = w.now.Add(time.Minute)
	w.ticket.Edit("T-1", text("title", "b"))
	w.apply()
	w.now = w.now.Add(time.Minute)
	return w
}

func TestEveryReplacedValueIsInTheHistoryOnce(t *testing.T) {
	w := edited(t)
	w.wantHistory("T-1",
		"left number →INC1 rule number", "left title a→b edit person", "right  → created", "right summary a→b rule summary")
	w.ticket.Edit("T-1", text("status", "open"))
	w.incident.Edit("sys1", text("summary", "c"))
	w.apply()
	w.apply()
	w.wantHistory("T-1",
		"left number →INC1 rule number", "left status new→open edit person", "left title a→b edit person", "left title b→c rule summary",
		"right  → created", "right state new→open rule state", "right summary a→b rule summary", "right summary b→c edit person")
}

func TestARestoredValueIsAnEditThatTheNextRunCarriesAcross(t *testing.T) {
	w := edited(t)
	p, acc, err := w.restore(w.entry("T-1", "summary", "a"))
	if err != nil || acc.Done != 1 || p.Puts[0].Outcome != plan.Done || p.Puts[0].From != record.OfText("b") {
		t.Fatalf("done %d, %+v, %v", acc.Done, p.Puts, err)
	}
	w.wantIncident("sys1", text("summary", "a"))
	if got := w.ticket.Get("T-1")["title"].Text(); got != "b" {
		t.Errorf("the ticket was written too: %q", got)
	}
	w.wantPlan("it goes the way of an edit", `update ticket T-1 title="a"`)
	w.apply()
	w.wantPlan("then all is quiet")
	if x := w.entry("INC1", "summary", "b"); x.Cause != engine.ByPerson || x.Who != "ann" || x.Run != acc.ID {
		t.Errorf("what was replaced is remembered as %+v", x)
	}
	// A value that was restored by mistake comes back the same way.
	if _, _, err := w.restore(w.entry("INC1", "summary", "b")); err != nil {
		t.Fatal(err)
	}
	w.wantPlan("and back", `update ticket T-1 title="b"`)
}

func TestWhatCannotBeRestoredSaysWhy(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(w *world)
		skip string
	}{
		{"a value that is there already", func(w *world) { w.incident.Edit("sys1", text("summary", "a")) }, "it is live already"},
		{"a record that is gone", func(w *world) { w.incident.Remove("sys1") }, "the record is gone"},
		{"a path that no rule names any more", func(w *world) {
			w.rules.Sides[1].Paths = []string{"key", "marker", "number", "state", "other"}
			w.incident = memory.New(memory.Text("marker", "number", "state", "other")...)
			w.incident.Add(text("key", "sys1"))
			w.job.Ends[1].Handle = w.incident
		}, "the mapping has no incident.summary any more"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := edited(t)
			x := w.entry("T-1", "summary", "a")
			tt.do(w)
			writes := w.incident.Writes()
			p, err := w.engine.Restore(t.Context(), w.job, x)
			if err != nil {
				t.Fatal(err)
			}
			if p.Changes() != 0 || p.Puts[0].Skip != tt.skip || w.incident.Writes() != writes {
				t.Errorf("%+v, %d writes", p.Puts, w.incident.Writes()-writes)
			}
		})
	}
}

func TestAnEditBetweenShowingAndRestoringIsNotOverwritten(t *testing.T) {
	w := edited(t)
	p, err := w.engine.Restore(t.Context(), w.job, w.entry("T-1", "summary", "a"))
	if err != nil {
		t.Fatal(err)
	}
	w.incident.Edit("sys1", text("summary", "somebody else"))
	acc, err := p.Apply(t.Context(), "ann")
	if err != nil || acc.Skipped != 1 || p.Puts[0].Outcome != plan.Skipped || !strings.Contains(p.Puts[0].Why, "summary changed since") {
		t.Errorf("%+v, %+v, %v", acc, p.Puts[0], err)
	}
	w.wantIncident("sys1", text("summary", "somebody else"))
}

func TestNotesSayWhatTheNextRunMakesOfARestoredValue(t *testing.T) {
	w := edited(t)
	x := w.entry("T-1", "summary", "a")
	note := func() string {
		t.Helper()
		p, err := w.engine.Restore(t.Context(), w.job, x)
		if err != nil {
			t.Fatal(err)
		}
		return p.Puts[0].Note
	}
	if got := note(); got != "" {
		t.Errorf("an ordinary value: %q", got)
	}
	w.rules.Fields[0].To[record.Left] = nil
	if got := note(); got != "field summary leads from ticket: the next run overwrites it again" {
		t.Errorf("one-way: %q", got)
	}
	w.rules.Fields[0].Drift = reconcile.KeepDrift
	if got := note(); got != "field summary leads from ticket: the value stays on this side" {
		t.Errorf("one-way, drift kept: %q", got)
	}
	if _, err := w.engine.Part(t.Context(), w.job, "T-1", "ann", false); err != nil {
		t.Fatal(err)
	}
	if got := note(); got != "the record is not linked: the value stays on this side" {
		t.Errorf("parted: %q", got)
	}
	if _, _, err := w.restore(x); err != nil {
		t.Error(err)
	}
	w.wantIncident("sys1", text("summary", "a"))
	if dead, err := w.engine.Blame(t.Context(), w.job, "T-1"); err != nil || dead.Link.Status != record.Ended {
		t.Errorf("the link that ended is %v, %v", dead, err)
	}
}

func TestARestoreWhoseAnswerWasLostIsAccountedForByTheNextRun(t *testing.T) {
	w := edited(t)
	x := w.entry("T-1", "summary", "a")
	lost := &connectors.Error{Kind: connectors.ErrOutcome, Op: "update"}
	dead := false
	w.incident.Hook = func(ctx context.Context, op memory.Op) error {
		if op.Name == "update" && op.Done {
			dead = true
		}
		if dead {
			return lost // the write is done, and from then on nothing answers
		}
		return nil
	}
	p, _, err := w.restore(x)
	if err != nil || p.Puts[0].Outcome != plan.Failed {
		t.Fatalf("%+v, %v", p.Puts[0], err)
	}
	w.incident.Hook = nil
	w.apply()
	if got := w.entry("T-1", "summary", "b"); got.Cause != engine.ByPerson || got.Who != "ann" || got.By != record.OfText("a") {
		t.Errorf("remembered as %+v", got)
	}
	if got := w.ticket.Get("T-1")["title"].Text(); got != "a" {
		t.Errorf("the same run carried %q across, want a", got)
	}
	w.wantPlan("quiet")
}

func TestAnUndoneRunIsPutBackWhereNobodyChangedItSince(t *testing.T) {
	w := newWorld(t)
	for _, title := range []string{"a1", "a2", "a3"} {
		w.ticket.Add(text("title", title, "status", "new"))
	}
	w.apply()
	w.now = w.now.Add(time.Minute)
	for i := range 3 {
		w.ticket.Edit(fmt.Sprint("T-", i+1), text("title", fmt.Sprint("b", i+1), "status", "open"))
	}
	w.ticket.Add(text("title", "new", "status", "new"))
	run := w.apply()
	w.now = w.now.Add(time.Minute)
	w.incident.Edit("sys2", text("summary", "c2"))
	w.incident.Remove("sys3")

	p, err := w.engine.Undo(t.Context(), w.job, run.ID)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, put := range p.Puts {
		got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s→%s %s", put.Entry.Key, put.Entry.Path, put.From.Plain(), put.Entry.Value.Plain(), put.Skip)))
	}
	slices.Sort(got)
	want := []string{
		"T-4 number INC4→", // the next run brings it again, as a note says
		"sys1 state open→new", "sys1 summary b1→a1", "sys2 state open→new", "sys2 summary c2→a2 it was changed since",
		"sys3 state →new the record is gone", "sys3 summary →a3 the record is gone",
		"sys4  → the run created this record: fieldsync does not delete what it created, delete it yourself if it should go",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("to be put back (-want +got):\n%s", diff)
	}
	before := w.incident.Writes()
	acc, err := p.Apply(t.Context(), "ann")
	if err != nil || acc.Failed+acc.Skipped != 0 || acc.Trigger != "undo" {
		t.Fatalf("%+v, %v", acc, err)
	}
	if n := w.incident.Writes() - before; n != 2 {
		t.Errorf("%d writes, want one for each record", n)
	}
	w.wantIncident("sys1", text("summary", "a1", "state", "new"))
	w.wantIncident("sys2", text("summary", "c2", "state", "new"))

	// An undo is a run that can be undone.
	again, err := w.engine.Undo(t.Context(), w.job, acc.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Apply(t.Context(), "ann"); err != nil {
		t.Fatal(err)
	}
	w.wantIncident("sys1", text("summary", "b1", "state", "open"))
}

func TestRecordsLinkedByHandAreDecidedAsOnFirstContact(t *testing.T) {
	w := newWorld(t)
	w.rules.Sides[1].Create = false
	w.ticket.Add(text("title", "a", "status", "new"))
	w.incident.Add(text("summary", "other", "state", "new"))
	w.apply()
	l, err := w.engine.Adopt(t.Context(), w.job, [2]string{"sys1", "T-1"})
	if err != nil || l.Key != [2]string{"T-1", "sys1"} {
		t.Fatalf("%v, %v", l, err)
	}
	w.wantPlan("the first side leads", `update incident sys1 summary="a"`)
	w.apply()
	w.wantPlan("quiet")
	var hand *engine.HandError
	if _, err := w.engine.Adopt(t.Context(), w.job, [2]string{"T-1", "sys1"}); !errors.As(err, &hand) || !strings.Contains(hand.Hint(), "unlink ticket_to_incident T-1") {
		t.Errorf("linked twice: %v", err)
	}
}

func TestALinkMadeByHandIsSeenOnASideThatIsAskedForChangesAlone(t *testing.T) {
	w := newWorld(t)
	w.rules.Sides[1].Create = false
	for range 1002 {
		w.ticket.Add(text("title", "a", "status", "new"))
	}
	w.incident.Add(text("summary", "a", "state", "old"))
	w.apply()
	w.now = w.now.Add(time.Minute)
	w.apply()
	if _, err := w.engine.Adopt(t.Context(), w.job, [2]string{"T-7", "sys1"}); err != nil {
		t.Fatal(err)
	}
	w.wantPlan("the tickets are not scanned whole, and this one is looked at all the same",
		`update incident sys1 state="new"`)
}

func TestPartedRecordsStayApartUntilTheyAreForgotten(t *testing.T) {
	w := edited(t)
	if _, err := w.engine.Part(t.Context(), w.job, "INC1", "ann", false); err != nil {
		t.Fatal(err)
	}
	w.ticket.Edit("T-1", text("title", "c"))
	w.job.Full = true
	w.wantPlan("nothing is paired by its marker, and nothing created")
	w.apply()
	w.now = w.now.Add(400 * 24 * time.Hour)
	w.ticket.Edit("T-1", text("title", "d"))
	w.wantPlan("not after a year either")
	w.apply()
	if _, err := w.engine.Part(t.Context(), w.job, "T-1", "ann", true); err != nil {
		t.Fatal(err)
	}
	w.wantPlan("they are paired again, as on first contact", `update incident sys1 summary="d"`)
	w.apply()
	w.wantPlan("quiet")
	if w.incident.Len() != 1 {
		t.Errorf("%d incidents, want 1", w.incident.Len())
	}
}

func TestRecordsWhoseLinkEndedByItselfArePairedWhenBothAreBack(t *testing.T) {
	w := edited(t)
	ticket, incident := w.ticket.Get("T-1"), w.incident.Get("sys1")
	w.ticket.Add(text("title", "so that no side is empty", "status", "new"))
	w.apply()
	w.ticket.Remove("T-1")
	w.incident.Remove("sys1")
	w.apply()
	for _, f := range []record.Fields{ticket, incident} {
		delete(f, "key")
	}
	ticket["key"], incident["key"] = record.OfText("T-1"), record.OfText("sys1")
	w.ticket.Add(ticket)
	w.incident.Add(incident)
	w.apply()
	if _, err := w.engine.Explain(t.Context(), w.job, "T-1"); err != nil {
		t.Errorf("they are not linked: %v", err)
	}
}

func TestAKeptApprovalLetsOneRunGoOn(t *testing.T) {
	w := newWorld(t)
	w.job.Limits.Creates = engine.Limit{Number: 1}
	w.ticket.Add(text("title", "a"))
	w.ticket.Add(text("title", "b"))
	acc, _, err := w.tryApply(engine.Approval{})
	if stop, ok := errors.AsType[*engine.StoppedError](err); !ok || !acc.Stopped || stop.Digest != acc.Footer.Digest {
		t.Fatalf("%+v, %v", acc, err)
	}
	ok := engine.PlanApproval{Sync: w.rules.Sync, Digest: acc.Footer.Digest, By: "ann", At: w.now, Until: w.now.Add(time.Hour)}
	approve := func() {
		t.Helper()
		if err := w.engine.Store.Approve(t.Context(), ok); err != nil {
			t.Fatal(err)
		}
	}
	approve()
	w.now = w.now.Add(time.Hour)
	if _, _, err := w.tryApply(engine.Approval{}); err == nil {
		t.Fatal("an approval that is over was taken")
	}
	w.now = w.now.Add(-time.Minute)
	acc, _, err = w.tryApply(engine.Approval{})
	if err != nil || acc.Approved != "ann" || acc.Stopped || w.incident.Len() != 2 {
		t.Fatalf("%+v, %v, %d incidents", acc, err, w.incident.Len())
	}
	if left, err := w.engine.Store.Approved(t.Context(), w.rules.Sync, ok.Digest, w.now); left != nil || err != nil {
		t.Errorf("the approval was not used up: %v, %v", left, err)
	}
}

func TestAnApprovalOutlivesARunThatDiesBeforeItsFirstWrite(t *testing.T) {
	w := newWorld(t)
	w.job.Limits.Creates = engine.Limit{Number: 1}
	w.ticket.Add(text("title", "a"))
	w.ticket.Add(text("title", "b"))
	acc, _, _ := w.tryApply(engine.Approval{})
	ok := engine.PlanApproval{Sync: w.rules.Sync, Digest: acc.Footer.Digest, By: "ann", At: w.now, Until: w.now.Add(time.Hour)}
	if err := w.engine.Store.Approve(t.Context(), ok); err != nil {
		t.Fatal(err)
	}
	apply := func(ctx context.Context) (plan.Run, error) {
		r, err := w.engine.Start(ctx, w.job)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		return r.Apply(ctx, engine.Approval{})
	}
	ctx, cancel := context.WithCancel(t.Context())
	w.engine.Progress = func(p engine.Progress) {
		if p.Phase == "carry out" {
			cancel()
		}
	}
	if acc, err := apply(ctx); err == nil || acc.Approved != "ann" || w.incident.Len() != 0 {
		t.Fatalf("%+v, %v, %d incidents: want a run that dies before its first write", acc, err, w.incident.Len())
	}
	w.engine.Progress = nil
	// One that dies in its first write has used it.
	w.incident.Hook = func(_ context.Context, op memory.Op) error {
		if op.Write {
			return &connectors.Error{Kind: connectors.ErrOffline, Op: op.Name}
		}
		return nil
	}
	if acc, err := apply(t.Context()); err == nil || acc.Approved != "ann" {
		t.Fatalf("%+v, %v: want the approval to be there for the next run", acc, err)
	}
	w.incident.Hook = nil
	if acc, err := apply(t.Context()); err == nil || !acc.Stopped || w.incident.Len() != 0 {
		t.Errorf("%+v, %v, %d incidents: the approval was used twice", acc, err, w.incident.Len())
	}
}

func TestWhatIsOldIsForgottenAtTheEndOfARun(t *testing.T) {
	w := edited(t)
	if got := w.history("T-1"); len(got) == 0 {
		t.Fatal("there is no history")
	}
	w.engine.Keep = 48 * time.Hour
	w.now = w.now.Add(47 * time.Hour)
	w.apply()
	if got := w.history("T-1"); len(got) == 0 {
		t.Error("the history was forgotten too early")
	}
	w.now = w.now.Add(2 * time.Hour)
	w.apply()
	if got := w.history("T-1"); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
	w.wantPlan("links and what both agreed on are as they were")
}

func TestAnEditWithAStampOfLongAgoIsNotForgottenAtOnce(t *testing.T) {
	w := edited(t)
	w.engine.Keep = 48 * time.Hour
	w.ticket.Now = func() time.Time { return w.now.AddDate(-3, 0, 0) }
	w.ticket.Edit("T-1", text("title", "c"))
	w.job.Full = true
	w.apply()
	if x := w.entry("T-1", "title", "b"); w.now.Sub(x.At) > time.Hour {
		t.Errorf("the edit is told to be of %s", x.At)
	}
}
