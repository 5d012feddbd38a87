package engine_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/memory"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/record"
)

// editing is a talking world in which the comments of incidents can be changed, and one was carried there.
func editing(t *testing.T) (w *world, id string) {
	t.Helper()
	w = talking(t)
	w.rules.Comments.Edits = [2]bool{false, true}
	id = w.ticket.Say("comments", "T-1", "ann", "helo")
	w.apply()
	w.minute()
	w.job.Full = true // the help desk does not tell when a comment was edited
	return w, id
}

func TestAnEditedCommentChangesItsCopy(t *testing.T) {
	w, id := editing(t)
	w.ticket.Revise(id, "hello")
	if diff := cmp.Diff([]string{"incident sys1: [ann 08:01] hello"}, entries(t, w)); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	w.wantTalk("a preview changes nothing", []string{"hello"}, []string{"[ann 08:01] helo"})
	if acc := w.apply(); acc.Done != 1 {
		t.Errorf("%d done, want 1", acc.Done)
	}
	w.wantTalk("edited", []string{"hello"}, []string{"[ann 08:01] hello"})
	w.wantPlan("once")
	w.ticket.Revise(id, "helo")
	w.apply()
	w.wantTalk("and back", []string{"helo"}, []string{"[ann 08:01] helo"})
	w.wantPlan("once again")
}

func TestAnotherFormatEditsNoComment(t *testing.T) {
	w, _ := editing(t)
	w.rules.Comments.Text = func(_ string, _ time.Time, text string) (string, error) { return "new: " + text, nil }
	w.wantPlan("what was carried stays as it is")
	w.apply()
	w.wantTalk("unchanged", []string{"helo"}, []string{"[ann 08:01] helo"})
}

func TestAnEditWhereCommentsCannotBeChangedIsLeftAlone(t *testing.T) {
	w, id := editing(t)
	w.rules.Comments.Edits = [2]bool{}
	w.ticket.Revise(id, "hello")
	for range 2 {
		w.wantPlan("nothing is to be done")
		w.apply()
	}
	w.wantTalk("as it was carried", []string{"hello"}, []string{"[ann 08:01] helo"})
}

func TestACopyThatAPersonEditedStaysAndIsSaidOnce(t *testing.T) {
	w, id := editing(t)
	w.ticket.Revise(id, "hello")
	w.incident.Revise(w.incident.Said("work_notes", "sys1")[0].ID, "mine")
	w.wantPlan("it is said", "hold T-1 sys1 comments")
	w.apply()
	w.wantTalk("left", []string{"hello"}, []string{"mine"})
	w.wantPlan("once")
	if got := w.held(); len(got) != 0 {
		t.Errorf("waiting: %v", got)
	}
}

func TestACopyThatIsEditedWhileTheRunGoesOnIsLookedAtAgain(t *testing.T) {
	w, id := editing(t)
	w.ticket.Revise(id, "hello")
	copied := w.incident.Said("work_notes", "sys1")[0].ID
	w.incident.Hook = func(_ context.Context, op memory.Op) error {
		if op.Name == "edit comment" && !op.Done {
			w.incident.Revise(copied, "mine")
		}
		return nil
	}
	w.apply()
	w.incident.Hook = nil
	w.wantTalk("nothing is overwritten", []string{"hello"}, []string{"mine"})
	w.job.Full = false
	w.now = w.now.Add(time.Hour)
	w.wantPlan("it is said", "hold T-1 sys1 comments")
	w.apply()
	w.wantTalk("left", []string{"hello"}, []string{"mine"})
	if got := w.held(); len(got) != 0 {
		t.Errorf("still waiting: %v", got)
	}
	w.wantPlan("once")
}

func TestACopyThatWasRemovedStaysAway(t *testing.T) {
	w, id := editing(t)
	w.ticket.Revise(id, "hello")
	w.job.Ends[record.Right].Handle = &unseeing{w.incident}
	w.wantPlan("nothing is to be edited")
	w.apply()
	w.wantPlan("and nothing is asked again")
}

func TestAnEditWhoseAnswerIsLostIsSettled(t *testing.T) {
	lost := &connectors.Error{Kind: connectors.ErrOutcome, Op: "edit", Detail: "time-out"}
	for _, tt := range []struct {
		name    string
		after   bool
		blind   bool
		outcome plan.Outcome
	}{
		{"it was made, and is found at once", true, false, plan.Done},
		{"it was made, and the next run finds it", true, true, plan.Failed},
		{"it was not made, and the next run makes it", false, false, plan.Failed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, id := editing(t)
			w.ticket.Revise(id, "hello")
			sent := false
			w.incident.Hook = func(_ context.Context, op memory.Op) error {
				switch {
				case op.Name == "edit comment" && op.Done == tt.after:
					sent = true
					return lost
				case op.Name == "comments" && sent && tt.blind:
					return &connectors.Error{Kind: connectors.ErrProtocol, Op: "comments"}
				}
				return nil
			}
			_, results, err := w.tryApply(engine.Approval{})
			if err != nil || len(results) != 1 || results[0].Outcome != tt.outcome {
				t.Fatalf("results %+v, %v; want one that is %s", results, err, tt.outcome)
			}
			w.incident.Hook = nil
			w.minute()
			w.open()
			w.apply()
			w.wantTalk("edited", []string{"hello"}, []string{"[ann 08:01] hello"})
			w.wantPlan("settled")
			if got := w.held(); len(got) != 0 {
				t.Errorf("still waiting: %v", got)
			}
		})
	}
	for _, when := range []string{"before the call", "after the call"} {
		t.Run("the run dies "+when, func(t *testing.T) {
			w, id := editing(t)
			w.ticket.Revise(id, "hello")
			store := w.engine.Store
			w.engine.Store = &dying{Store: store, at: when}
			if _, _, err := w.tryApply(engine.Approval{}); !errors.Is(err, errDied) {
				t.Fatalf("the run ended with %v, want its death", err)
			}
			w.engine.Store = store
			w.minute()
			w.apply()
			w.wantTalk("edited", []string{"hello"}, []string{"[ann 08:01] hello"})
			w.wantPlan("settled")
		})
	}
}

func TestARefusedEditHoldsUpNoNewComment(t *testing.T) {
	w, id := editing(t)
	w.ticket.Revise(id, "hello")
	w.ticket.Say("comments", "T-1", "ann", "more")
	refuse := true
	w.incident.Hook = func(_ context.Context, op memory.Op) error {
		if refuse && op.Name == "edit comment" {
			return &connectors.Error{Kind: connectors.ErrRefused, Op: "edit comment", Detail: "locked"}
		}
		return nil
	}
	w.apply()
	w.wantTalk("the new one went", []string{"hello", "more"}, []string{"[ann 08:01] helo", "[ann 08:02] more"})
	if diff := cmp.Diff([]string{"comments: edit comment: refused: locked"}, w.held()); diff != "" {
		t.Errorf("waiting (-want +got):\n%s", diff)
	}
	refuse = false
	w.job.Full = false
	w.minute()
	w.apply()
	w.wantTalk("when it is due", []string{"hello", "more"}, []string{"[ann 08:01] hello", "[ann 08:02] more"})
	if got := w.held(); len(got) != 0 {
		t.Errorf("still waiting: %v", got)
	}
}

func TestARefusedCommentIsTriedAgainAfterALongerTimeEachTime(t *testing.T) {
	w := talking(t)
	w.ticket.Say("comments", "T-1", "ann", "no")
	w.ticket.Say("comments", "T-1", "ann", "behind it")
	asked := 0
	refuse := true
	w.incident.Hook = func(_ context.Context, op memory.Op) error {
		if refuse && op.Name == "comment" && !op.Done {
			asked++
			return &connectors.Error{Kind: connectors.ErrRefused, Op: "comment", Detail: "never"}
		}
		return nil
	}
	var tries []int
	for range 9 { // minutes
		before := asked
		w.apply()
		tries = append(tries, asked-before)
		w.minute()
	}
	if diff := cmp.Diff([]int{1, 1, 0, 1, 0, 0, 0, 1, 0}, tries); diff != "" {
		t.Errorf("tries by minute (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"comments: comment: refused: never"}, w.held()); diff != "" {
		t.Errorf("waiting (-want +got):\n%s", diff)
	}
	w.wantPlan("and shown", "hold T-1 sys1 comments")
	w.ticket.Edit("T-1", text("title", "b"))
	w.apply()
	if got := w.held(); len(got) != 1 {
		t.Errorf("deciding the fields left %v waiting", got)
	}
	refuse = false
	w.now = w.now.Add(time.Hour)
	w.apply()
	ticket, incident := []string{"no", "behind it"}, []string{"[ann 08:01] no", "[ann 08:01] behind it"}
	w.wantTalk("in order", ticket, incident)
	if got := w.held(); len(got) != 0 {
		t.Errorf("still waiting: %v", fmt.Sprint(got))
	}
}
