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
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// talking is a world with one linked pair whose sides carry comments both ways.
func talking(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.ticket.Threads = []connectors.Thread{{Path: "comments"}}
	w.incident.Threads = []connectors.Thread{{Path: "work_notes"}}
	w.rules.Comments = &reconcile.Comments{At: "m.hcl:30", Paths: [2]string{"comments", "work_notes"}, To: [2]bool{true, true},
		Text: func(author string, at time.Time, text string) (string, error) {
			return fmt.Sprintf("[%s %s] %s", author, at.Format("15:04"), text), nil
		}}
	w.ticket.Add(text("title", "a", "status", "new"))
	w.apply()
	w.minute()
	return w
}

func (w *world) minute() { w.now = w.now.Add(time.Minute) }

// wantTalk compares the texts of the comments on both sides of the pair.
func (w *world) wantTalk(why string, ticket, incident []string) {
	w.t.Helper()
	for _, c := range []struct {
		name string
		got  []connectors.Comment
		want []string
	}{{"ticket", w.ticket.Said("comments", "T-1"), ticket}, {"incident", w.incident.Said("work_notes", "sys1"), incident}} {
		var got []string
		for _, x := range c.got {
			got = append(got, x.Text)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			w.t.Errorf("%s: comments of %s (-want +got):\n%s", why, c.name, diff)
		}
	}
}

func entries(t *testing.T, w *world) []string {
	t.Helper()
	r, err := w.engine.Plan(t.Context(), w.job)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var out []string
	for it, err := range r.Items() {
		if err != nil {
			t.Fatal(err)
		}
		if it.Action != nil && it.Action.Kind == plan.Comment {
			out = append(out, it.Action.SideName+" "+it.Action.Key+": "+it.Action.Entry.Text)
		}
	}
	if int64(len(out)) != r.Footer().Comments {
		t.Errorf("the footer counts %d comments, the plan has %d", r.Footer().Comments, len(out))
	}
	return out
}

func TestCommentsAreCarriedBothWaysOnceInTheirOrder(t *testing.T) {
	w := talking(t)
	w.ticket.Say("comments", "T-1", "ann", "first")
	w.minute()
	w.ticket.Say("comments", "T-1", "ann", "second")
	w.incident.Say("work_notes", "sys1", "bob", "on it")
	want := []string{"ticket T-1: [bob 08:02] on it", "incident sys1: [ann 08:01] first", "incident sys1: [ann 08:02] second"}
	if diff := cmp.Diff(want, entries(t, w)); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	w.wantTalk("a preview adds nothing", []string{"first", "second"}, []string{"on it"})
	if acc := w.apply(); acc.Done != 3 || acc.Footer.Comments != 3 {
		t.Errorf("%d done of %d comments, want 3 of 3", acc.Done, acc.Footer.Comments)
	}
	ticket, incident := []string{"first", "second", "[bob 08:02] on it"}, []string{"on it", "[ann 08:01] first", "[ann 08:02] second"}
	w.wantTalk("carried", ticket, incident)
	for range 3 {
		w.minute()
		w.wantPlan("no echo")
		w.apply()
	}
	w.job.Full = true
	w.wantPlan("not when all of them are read again either")
	w.apply()
	w.wantTalk("once only", ticket, incident)
}

func TestACommentOfEqualTextIsAnotherComment(t *testing.T) {
	w := talking(t)
	for range 2 {
		w.ticket.Say("comments", "T-1", "ann", "ping")
		w.apply()
		w.minute()
	}
	w.wantTalk("both", []string{"ping", "ping"}, []string{"[ann 08:01] ping", "[ann 08:02] ping"})
}

func TestACommentMayComeLaterThanItsStampSays(t *testing.T) {
	w := talking(t)
	w.apply()
	w.ticket.Say("comments", "T-1", "ann", "in time")
	w.minute()
	w.minute()
	w.apply()
	now := w.now
	w.now = now.Add(-time.Minute) // stamped before the one that was carried, committed after
	w.ticket.Say("comments", "T-1", "ann", "late")
	w.now = now.Add(-2 * time.Minute)
	w.ticket.Say("comments", "T-1", "ann", "later still")
	w.now = now
	w.apply()
	w.wantTalk("all", []string{"in time", "late", "later still"}, []string{"[ann 08:01] in time", "[ann 08:01] later still", "[ann 08:02] late"})
}

func TestCommentsOlderThanTheLink(t *testing.T) {
	for _, tt := range []struct {
		name    string
		paired  bool
		history bool
		want    []string
	}{
		{"stay where they are", true, false, []string{"[ann 08:02] after"}},
		{"are carried where the mapping asks for that", true, true, []string{"[ann 08:00] before", "[ann 08:02] after"}},
		{"are carried to the record that was made for them", false, false, []string{"[ann 08:00] before", "[ann 08:02] after"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.ticket.Threads = []connectors.Thread{{Path: "comments"}}
			w.incident.Threads = []connectors.Thread{{Path: "work_notes"}}
			w.rules.Comments = &reconcile.Comments{Paths: [2]string{"comments", "work_notes"}, To: [2]bool{true, true}, History: tt.history,
				Text: func(author string, at time.Time, text string) (string, error) {
					return "[" + author + " " + at.Format("15:04") + "] " + text, nil
				}}
			w.ticket.Add(text("title", "a", "status", "new"))
			if tt.paired {
				w.incident.Add(text("marker", "T-1", "summary", "a", "state", "new"))
			}
			w.ticket.Say("comments", "T-1", "ann", "before")
			w.minute()
			w.apply()
			w.minute()
			w.ticket.Say("comments", "T-1", "ann", "after")
			for range 3 {
				w.minute()
				w.apply()
			}
			w.wantTalk("carried", []string{"before", "after"}, tt.want)
			w.job.Full = true
			w.wantPlan("nothing more when all are read again")
		})
	}
}

func TestACommentWhoseAnswerIsLostIsNotAddedTwice(t *testing.T) {
	lost := &connectors.Error{Kind: connectors.ErrOutcome, Op: "comment", Detail: "time-out"}
	for _, tt := range []struct {
		name    string
		after   bool // the comment was added
		blind   bool // and cannot be looked for in the same run
		outcome plan.Outcome
	}{
		{"it was added, and is found at once", true, false, plan.Done},
		{"it was added, and the next run finds it", true, true, plan.Failed},
		{"it was not added, and the next run adds it", false, false, plan.Failed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := talking(t)
			w.ticket.Say("comments", "T-1", "ann", "help")
			w.minute()
			sent := false
			w.incident.Hook = func(_ context.Context, op memory.Op) error {
				switch {
				case op.Name == "comment" && op.Done == tt.after:
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
			w.ticket.Say("comments", "T-1", "ann", "more")
			w.minute()
			w.open()
			w.apply()
			w.minute()
			w.apply()
			w.wantTalk("each once, in order", []string{"help", "more"}, []string{"[ann 08:01] help", "[ann 08:02] more"})
			w.wantPlan("settled")
		})
	}
}

func TestARunThatDiesWithACommentInFlightIsFinishedByTheNext(t *testing.T) {
	for _, when := range []string{"before the call", "after the call"} {
		t.Run(when, func(t *testing.T) {
			w := talking(t)
			w.ticket.Say("comments", "T-1", "ann", "help")
			w.minute()
			store := w.engine.Store
			w.engine.Store = &dying{Store: store, at: when}
			if _, _, err := w.tryApply(engine.Approval{}); !errors.Is(err, errDied) {
				t.Fatalf("the run ended with %v, want its death", err)
			}
			w.engine.Store = store
			w.minute()
			w.apply()
			w.apply()
			w.wantTalk("once", []string{"help"}, []string{"[ann 08:01] help"})
		})
	}
}

var errDied = errors.New("killed")

// A dying store stops working at the first comment: the process is gone.
type dying struct {
	engine.Store
	at string
}

func (d *dying) Book(ctx context.Context, sync string, paths [2][]string, fence int64) (engine.Book, error) {
	b, err := d.Store.Book(ctx, sync, paths, fence)
	return &dyingBook{Book: b, at: d.at}, err
}

type dyingBook struct {
	engine.Book
	at string
}

func (b *dyingBook) Intend(ctx context.Context, ins []*engine.Intent) error {
	if err := b.Book.Intend(ctx, ins); err != nil || b.at != "before the call" {
		return err
	}
	return errDied
}

func (b *dyingBook) Fold(ctx context.Context, folds []engine.Fold) error {
	for _, f := range folds {
		if f.Intent != 0 && b.at == "after the call" {
			return errDied
		}
	}
	return b.Book.Fold(ctx, folds)
}

func TestCommentsThatCannotBeReadAreHeldAndFieldsGoOn(t *testing.T) {
	w := talking(t)
	w.ticket.Edit("T-1", text("title", "b"))
	w.incident.Say("work_notes", "sys1", "bob", "hidden")
	w.incident.Hook = func(_ context.Context, op memory.Op) error {
		if op.Name == "comments" {
			return &connectors.Error{Kind: connectors.ErrDenied, Op: "comments", Hint: "ask for the role"}
		}
		return nil
	}
	w.wantPlan("the field flows", `update incident sys1 summary="b"`, "hold   comments")
	w.apply()
	w.incident.Hook = nil
	w.minute()
	w.apply()
	w.wantTalk("and the comment when it can be read", []string{"[bob 08:01] hidden"}, []string{"hidden"})
}

func TestARefusedCommentHoldsUpThoseBehindItAndNoOthers(t *testing.T) {
	w := talking(t)
	w.ticket.Add(text("title", "b", "status", "new"))
	w.apply()
	w.minute()
	w.ticket.Say("comments", "T-1", "ann", "one")
	w.minute()
	w.ticket.Say("comments", "T-1", "ann", "two")
	w.ticket.Say("comments", "T-2", "ann", "other")
	refuse := true
	w.incident.Hook = func(_ context.Context, op memory.Op) error {
		if refuse && op.Name == "comment" && op.Key == "sys1" {
			return &connectors.Error{Kind: connectors.ErrRefused, Op: "comment"}
		}
		return nil
	}
	acc, results, err := w.tryApply(engine.Approval{})
	if err != nil || acc.Done != 1 || acc.Failed != 1 || acc.Skipped != 1 {
		t.Errorf("%+v, %v; want one done, one failed, one skipped", results, err)
	}
	refuse = false
	w.minute()
	w.apply()
	w.wantTalk("in order", []string{"one", "two"}, []string{"[ann 08:02] one", "[ann 08:03] two"})
	if got := len(w.incident.Said("work_notes", "sys2")); got != 1 {
		t.Errorf("%d comments on the other incident, want 1", got)
	}
}

func TestACopyThatCannotBeReadIsNotTakenForAnotherPersonsComment(t *testing.T) {
	w := talking(t)
	w.job.Ends[record.Right].Handle = &unseeing{w.incident}
	w.ticket.Say("comments", "T-1", "ann", "help")
	w.minute()
	w.apply()
	w.job.Ends[record.Right].Handle = &instance{Store: w.incident}
	w.minute()
	w.apply()
	w.apply()
	w.wantTalk("no echo once it is readable", []string{"help"}, []string{"[ann 08:01] help"})
}

// unseeing adds comments and does not see them.
type unseeing struct{ *memory.Store }

func (u *unseeing) AddComment(ctx context.Context, path, key, text string) (connectors.Comment, error) {
	_, err := u.Store.AddComment(ctx, path, key, text)
	return connectors.Comment{Text: text}, err
}

func (u *unseeing) Comments(context.Context, string, []string, time.Time, func(string, connectors.Comment) error) error {
	return nil
}

func TestCommentsOneWayStayOneWay(t *testing.T) {
	w := talking(t)
	w.rules.Comments.To[record.Left] = false
	w.ticket.Say("comments", "T-1", "ann", "help")
	w.incident.Say("work_notes", "sys1", "bob", "internal")
	w.minute()
	w.apply()
	w.wantTalk("only towards the incident", []string{"help"}, []string{"internal", "[ann 08:01] help"})
}

func TestMoreCommentsThanTheLimitOfUpdatesStopThePlan(t *testing.T) {
	w := talking(t)
	w.ticket.Say("comments", "T-1", "ann", "one")
	w.ticket.Say("comments", "T-1", "ann", "two")
	w.minute()
	w.job.Limits.Updates = engine.Limit{Number: 1}
	_, _, err := w.tryApply(engine.Approval{})
	stop, ok := errors.AsType[*engine.StoppedError](err)
	if !ok || len(stop.Stops) != 1 || stop.Stops[0].Limit != "comments" {
		t.Fatalf("the run ended with %v, want a stop at the comments", err)
	}
	w.wantTalk("nothing was added", []string{"one", "two"}, nil)
	if _, _, err := w.tryApply(engine.Approval{Stops: stop.Digest}); err != nil {
		t.Fatal(err)
	}
	w.wantTalk("approved", []string{"one", "two"}, []string{"[ann 08:01] one", "[ann 08:01] two"})
}

func TestCommentsOfAPairThatPartsStayWhereTheyAre(t *testing.T) {
	w := talking(t)
	w.ticket.Say("comments", "T-1", "ann", "bye")
	w.incident.Remove("sys1")
	w.minute()
	w.apply()
	w.apply()
	w.wantTalk("nothing is carried", []string{"bye"}, nil)
	w.wantPlan("and nothing waits")
}
