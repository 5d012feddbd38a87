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

// contested is a world whose instance has no conditional writes and an audit, with a linked pair that shows "a".
func contested(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.incident.Audited = true
	w.incident.Clock = connectors.Clock{Measured: true}
	w.ticket.Clock = connectors.Clock{Measured: true}
	w.ticket.Add(text("title", "a", "status", "new"))
	w.apply()
	w.now = w.now.Add(time.Minute)
	return w
}

// between lets ann edit the incident after it was read again and before it is written, once.
func (w *world) between(f record.Fields) {
	done := false
	w.incident.Hook = func(_ context.Context, op memory.Op) error {
		if op.Name == "update" && !op.Done && !done {
			done = true
			w.incident.EditAs("ann", op.Key, f)
			w.now = w.now.Add(time.Second)
		}
		return nil
	}
}

// settle applies as often as fieldsync apply does, and returns how much was averted.
func (w *world) settle() (averted int64) {
	w.t.Helper()
	for range 3 {
		acc := w.apply()
		averted += acc.Averted
		if acc.Stirred == 0 {
			break
		}
	}
	return averted
}

// told is the history of one path, a line an entry.
func (w *world) told(side record.Side, path string) []string {
	w.t.Helper()
	b, err := w.engine.Blame(w.t.Context(), w.job, "T-1")
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, h := range b.History {
		if h.Side == side && h.Path == path {
			out = append(out, fmt.Sprintf("%s → %s %s %s by %q of %q", h.Value, h.By, h.Cause, h.Rule, h.Who, h.Author))
		}
	}
	return out
}

func TestAnEditThatAWriteReplacedUnseenGoesBackIntoTheDecision(t *testing.T) {
	L, R := record.Left, record.Right
	for _, tt := range []struct {
		name              string
		change            func(*reconcile.Rules)
		title, summary    string
		waits             []string
		putBack, announce bool
	}{
		{"ask lists the conflict and puts it back", func(*reconcile.Rules) {}, "ours", "hers", []string{"conflict T-1 sys1 summary"}, true, true},
		{"the incident leads", func(r *reconcile.Rules) { r.Fields[0].Policy = reconcile.Policy{Kind: reconcile.TakeSide, Side: R} }, "hers", "hers", nil, true, true},
		{"the ticket leads", func(r *reconcile.Rules) { r.Fields[0].Policy = reconcile.Policy{Kind: reconcile.TakeSide, Side: L} }, "ours", "ours", nil, false, false},
		{"the newest wins, and she wrote later than the ticket", func(r *reconcile.Rules) { r.Fields[0].Policy = reconcile.Policy{Kind: reconcile.Newest} }, "hers", "hers", nil, true, true},
		{"text that can be merged is", func(r *reconcile.Rules) { r.Fields[0].Policy = reconcile.Policy{Kind: reconcile.Union} }, "hers,ours", "hers,ours", nil, false, true},
		{"the ticket leads, and the instance trims what it says", func(r *reconcile.Rules) {
			r.Fields[0].Policy = reconcile.Policy{Kind: reconcile.TakeSide, Side: L}
		}, " ours ", "ours", nil, false, false},
		{"a rule that flows to the incident alone", func(r *reconcile.Rules) { r.Fields[0].To[L] = nil }, "ours", "ours", nil, false, false},
		{"a rule that fills what is empty", func(r *reconcile.Rules) {
			r.Fields[0].To[L], r.Fields[0].Strength = nil, reconcile.IfEmpty
		}, "ours", "hers", nil, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := contested(t)
			tt.change(w.rules)
			w.rules.Digest = tt.name
			w.apply()
			w.ticket.Edit("T-1", text("title", tt.title))
			if tt.title != " ours " {
				w.ticket.Edit("T-1", text("title", "ours"))
			}
			if w.rules.Fields[0].Strength == reconcile.IfEmpty {
				w.incident.Normalise = nil
				w.incident.Edit("sys1", record.Fields{"summary": record.NullValue})
			}
			w.between(text("summary", "hers"))
			w.now = w.now.Add(time.Minute)
			acc := w.apply()
			if acc.Averted != 1 || acc.Stirred == 0 {
				t.Fatalf("averted %d and stirred %d, want one that is looked at again", acc.Averted, acc.Stirred)
			}
			preview := w.plan()
			if announced := slices.ContainsFunc(preview, func(s string) bool { return strings.HasPrefix(s, "update") }); announced != tt.announce {
				t.Errorf("the next plan is %q, want writes in it: %v", preview, tt.announce)
			}
			w.settle()
			if got := w.ticket.Get("T-1")["title"].Text(); got != tt.title {
				t.Errorf("the ticket shows %q, want %q", got, tt.title)
			}
			w.wantIncident("sys1", text("summary", tt.summary))
			w.wantPlan("the rest is quiet", tt.waits...)
			told := w.told(R, "summary")
			if !slices.ContainsFunc(told, func(s string) bool { return strings.HasPrefix(s, `"hers" → "ours" unseen summary by "" of "ann"`) }) {
				t.Errorf("the history does not tell that her value was replaced unseen: %q", told)
			}
			if back := slices.ContainsFunc(told, func(s string) bool { return strings.HasPrefix(s, `"ours" → "hers" averted  by "ann"`) }); back != tt.putBack {
				t.Errorf("put back: %v, want %v: %q", back, tt.putBack, told)
			}
		})
	}
}

func TestTheHistoryOfAnAvertedLossIsAChainAndBringsItBack(t *testing.T) {
	w := contested(t)
	w.rules.Fields[0].To[record.Left] = nil // the ticket leads: hers is overwritten for good
	w.rules.Digest = "one way"
	w.apply()
	w.ticket.Edit("T-1", text("title", "ours"))
	w.between(text("summary", "hers"))
	if n := w.settle(); n != 1 {
		t.Fatalf("averted %d, want 1", n)
	}
	want := []string{`"a" → "hers" edit  by "ann" of ""`, `"hers" → "ours" unseen summary by "" of "ann"`}
	if diff := cmp.Diff(want, w.told(record.Right, "summary")); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	b, err := w.engine.Blame(t.Context(), w.job, "T-1")
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range b.History {
		if h.Cause != engine.Unseen {
			continue
		}
		p, err := w.engine.Restore(t.Context(), w.job, h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Apply(t.Context(), "bob"); err != nil {
			t.Fatal(err)
		}
	}
	w.wantIncident("sys1", text("summary", "hers"))
}

func TestWhatIsPutBackIsPreviewedWithItsReason(t *testing.T) {
	w := contested(t)
	w.ticket.Edit("T-1", text("title", "ours"))
	w.between(text("summary", "hers"))
	w.apply()
	r, err := w.engine.Plan(t.Context(), w.job)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for it, err := range r.Items() {
		if err != nil {
			t.Fatal(err)
		}
		if it.Action == nil {
			if got := it.Conflict.Now; got[0].Text() != "ours" || got[1].Text() != "hers" {
				t.Errorf("the conflict is between %v", got)
			}
			continue
		}
		c := it.Action.Changes[0]
		want := plan.Change{Path: "summary", From: record.OfText("ours"), To: record.OfText("hers"), Field: "summary", At: "m.hcl:9",
			Why: `lost update averted: ann wrote "hers" while fieldsync wrote "ours"`}
		if diff := cmp.Diff(want, c, cmp.Comparer(func(a, b record.Value) bool { return a == b })); diff != "" {
			t.Errorf("the change (-want +got):\n%s", diff)
		}
	}
}

func TestSomebodyWhoEditsAgainHasTheLastWord(t *testing.T) {
	w := contested(t)
	w.ticket.Edit("T-1", text("title", "ours"))
	w.between(text("summary", "hers"))
	w.apply()
	w.now = w.now.Add(time.Minute)
	w.incident.EditAs("bob", "sys1", text("summary", "his"))
	w.wantPlan("what was replaced is history now", "conflict T-1 sys1 summary")
	w.settle()
	w.wantIncident("sys1", text("summary", "his"))
	w.wantPlan("and stays it", "conflict T-1 sys1 summary")
}

func TestAVersionThatMovedForAnotherReasonCostsALookAndNothingElse(t *testing.T) {
	for _, tt := range []struct {
		name  string
		edits []record.Fields
	}{
		{"another field was edited", []record.Fields{text("state", "open")}},
		{"the field was edited and put back", []record.Fields{text("summary", "hers"), text("summary", "a")}},
		{"the same was written", []record.Fields{text("summary", "ours"), text("state", "open")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := contested(t)
			w.ticket.Edit("T-1", text("title", "ours"))
			looked := 0
			done := false
			w.incident.Hook = func(_ context.Context, op memory.Op) error {
				switch {
				case op.Name == "edits" && !op.Done:
					looked++
				case op.Name == "update" && !op.Done && !done:
					done = true
					for _, f := range tt.edits {
						w.incident.EditAs("ann", op.Key, f)
					}
				}
				return nil
			}
			if n := w.settle(); n != 0 {
				t.Errorf("averted %d, want none: %q", n, w.told(record.Right, "summary"))
			}
			if looked != 1 && tt.name != "the same was written" {
				t.Errorf("looked %d times, want once", looked)
			}
			w.wantIncident("sys1", text("summary", "ours"))
			w.apply()
			w.wantPlan("quiet")
		})
	}
}

func TestAnAuditThatCannotBeReadIsSaidOnceAndTheJumpIsKept(t *testing.T) {
	w := contested(t)
	w.ticket.Edit("T-1", text("title", "ours"))
	w.between(text("summary", "hers"))
	edit := w.incident.Hook
	w.incident.Hook = func(ctx context.Context, op memory.Op) error {
		if op.Name == "edits" {
			return &connectors.Error{Kind: connectors.ErrDenied, Op: "edits", Detail: "no right"}
		}
		return edit(ctx, op)
	}
	if n := w.settle(); n != 0 {
		t.Errorf("averted %d without knowing what", n)
	}
	if got := w.told(record.Right, ""); len(got) != 2 || !strings.Contains(got[1], "jumped") {
		t.Errorf("the history says %q of the record, want its making and the jump", got)
	}
	w.wantPlan("it goes on")
}

func TestAnAuditThatCannotBeReadNowIsReadByTheNextRun(t *testing.T) {
	w := contested(t)
	w.ticket.Edit("T-1", text("title", "ours"))
	w.between(text("summary", "hers"))
	edit := w.incident.Hook
	w.incident.Hook = func(ctx context.Context, op memory.Op) error {
		if op.Name == "edits" {
			return &connectors.Error{Kind: connectors.ErrBusy, Op: "edits"}
		}
		return edit(ctx, op)
	}
	acc, results, err := w.tryApply(engine.Approval{})
	if err != nil || acc.Failed != 1 || !strings.Contains(results[0].Why, "something else was written too") {
		t.Fatalf("want one that nobody knows of, got %+v, %v", results, err)
	}
	w.incident.Hook = nil
	if n := w.settle(); n != 1 {
		t.Errorf("the next run averted %d, want 1", n)
	}
	w.wantIncident("sys1", text("summary", "hers"))
}

// A process may die at any call between the write and the moment at which what it replaced is known for good.
func TestADeathBetweenTheWriteAndItsDetectionLosesNothing(t *testing.T) {
	for _, tt := range []struct {
		name     string
		op       string
		done     bool
		meantime func(*world)
		summary  string
	}{
		{"the answer never came", "update", true, nil, "hers"},
		{"the audit was never read", "edits", false, nil, "hers"},
		{"and the rules were edited meanwhile", "update", true, func(w *world) { w.rules.Digest = "others" }, "hers"},
		{"and bob edited it meanwhile", "update", true, func(w *world) {
			w.incident.EditAs("bob", "sys1", text("summary", "his"))
		}, "his"},
		{"and bob edited something else meanwhile", "update", true, func(w *world) {
			w.incident.EditAs("bob", "sys1", text("state", "open"))
		}, "hers"},
		{"and the instance has stored it in its own way", "update", true, func(w *world) { w.rules.Digest = "others" }, "hers"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := contested(t)
			sent := "ours"
			if strings.Contains(tt.name, "in its own way") {
				sent = " ours " // the instance trims
			}
			w.ticket.Edit("T-1", text("title", sent))
			w.between(text("summary", "hers"))
			edit := w.incident.Hook
			dead := errors.New("killed")
			died := false
			w.incident.Hook = func(ctx context.Context, op memory.Op) error {
				died = died || op.Name == tt.op && op.Done == tt.done
				if died && op.Write {
					return &connectors.Error{Kind: connectors.ErrOutcome, Op: op.Name, Err: dead}
				} else if died {
					return &connectors.Error{Kind: connectors.ErrOffline, Op: op.Name, Err: dead}
				}
				return edit(ctx, op)
			}
			if acc, results, err := w.tryApply(engine.Approval{}); err == nil && acc.Failed == 0 {
				t.Fatalf("it did not die: %+v", results)
			}
			w.incident.Hook = nil
			w.now = w.now.Add(time.Minute)
			if tt.meantime != nil {
				tt.meantime(w)
			}
			w.open()
			if n := w.settle(); n != 1 {
				t.Errorf("averted %d, want 1", n)
			}
			w.wantIncident("sys1", text("summary", tt.summary))
			if told := w.told(record.Right, "summary"); !slices.ContainsFunc(told, func(s string) bool { return strings.HasPrefix(s, `"hers" → "ours" unseen`) }) {
				t.Errorf("hers is neither live nor told: %q", told)
			}
			w.wantPlan("the conflict waits", "conflict T-1 sys1 summary")
		})
	}
}

// A death between the two writes that follow must not make the first look like an edit.
func TestADeathBetweenPuttingBackAndCarryingAcrossIsMadeGood(t *testing.T) {
	for _, first := range []string{"ticket", "incident"} {
		t.Run("after the write to the "+first, func(t *testing.T) {
			w := contested(t)
			w.rules.Fields[0].Policy = reconcile.Policy{Kind: reconcile.TakeSide, Side: record.Right}
			w.ticket.Edit("T-1", text("title", "ours"))
			w.between(text("summary", "hers"))
			w.apply()
			w.incident.Hook = nil
			die := func(_ context.Context, op memory.Op) error {
				if op.Name == "update" && op.Done {
					return &connectors.Error{Kind: connectors.ErrOffline, Op: "update", Detail: "killed"}
				}
				return nil
			}
			if first == "ticket" {
				w.ticket.Hook = die
			} else {
				w.incident.Hook = die
			}
			_, _, _ = w.tryApply(engine.Approval{})
			w.ticket.Hook, w.incident.Hook = nil, nil
			w.now = w.now.Add(time.Minute)
			w.open()
			w.settle()
			w.wantIncident("sys1", text("summary", "hers"))
			if got := w.ticket.Get("T-1")["title"].Text(); got != "hers" {
				t.Errorf("the ticket shows %q", got)
			}
			w.wantPlan("quiet")
		})
	}
}
