package engine_test

import (
	"context"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/memory"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// Each of these was found by a random history first.

func TestARecordThatComesBackAfterItWasMadeAgainIsSaidToBeOneTooMany(t *testing.T) {
	w := newWorld(t)
	w.rules.Sides[1].Gone = reconcile.OnGone{Then: reconcile.GoneRecreate, At: "m.hcl:30"}
	w.ticket.Add(text("title", "a", "status", "new"))
	w.apply()
	w.now = w.now.Add(time.Minute)
	old := w.incident.Get("sys1")
	old[memory.KeyPath] = text("", "sys1")[""]
	w.incident.Remove("sys1")
	w.apply() // makes sys2
	w.now = w.now.Add(time.Minute)
	w.incident.Add(old)
	w.wantPlan("it is not taken for a record that was settled", "conflict  sys1 ")
}

func TestARefusedRecreateWaitsForItsTime(t *testing.T) {
	w := newWorld(t)
	w.rules.Sides[1].Gone = reconcile.OnGone{Then: reconcile.GoneRecreate, At: "m.hcl:30"}
	w.ticket.Add(text("title", "a", "status", "new"))
	w.ticket.Add(text("title", "b", "status", "new"))
	w.apply()
	w.now = w.now.Add(time.Minute)
	w.incident.Remove("sys1")
	w.incident.Hook = func(_ context.Context, op memory.Op) error {
		if op.Name == "create" {
			return &connectors.Error{Kind: connectors.ErrRefused, Op: op.Name, Detail: "data policy"}
		}
		return nil
	}
	if acc := w.apply(); acc.Failed != 1 {
		t.Fatalf("%d failed, want 1", acc.Failed)
	}
	w.wantPlan("it waits", "hold T-1 sys1 ")
	w.now = w.now.Add(time.Hour)
	w.wantPlan("and is due again", `create incident  marker="T-1" state="new" summary="a"`, "update ticket T-1 number=absent")
}

func TestNoCommentIsCarriedToARecordThatIsGoneWhileItsTwinIsHeld(t *testing.T) {
	w := talking(t)
	w.ticket.Add(text("title", "b", "status", "new"))
	w.apply()
	w.minute()
	w.ticket.Remove("T-1")
	w.incident.Edit("sys1", text("state", "open"))
	w.incident.Say("work_notes", "sys1", "bob", "on it")
	for range 3 {
		w.wantPlan("the change is kept, and the comment waits with it", "hold T-1 sys1 ")
		w.apply()
		w.minute()
	}
}

func TestAnExplanationKnowsTheClocksThatRunsMeasured(t *testing.T) {
	w := newWorld(t)
	w.rules.Fields[0].Policy = reconcile.Policy{Kind: reconcile.Newest}
	for _, m := range []*memory.Store{w.ticket, w.incident} {
		m.Clock = connectors.Clock{Measured: true}
	}
	w.ticket.Add(text("title", "a", "status", "new"))
	w.apply()
	w.minute()
	w.ticket.Edit("T-1", text("title", "left"))
	w.minute()
	w.incident.Edit("sys1", text("summary", "right"))
	w.wantPlan("the newer one wins", `update ticket T-1 title="right"`)
	x, err := w.engine.Explain(t.Context(), w.job, "T-1")
	if err != nil {
		t.Fatal(err)
	}
	if v := x.Decision.Verdicts[0]; v.Outcome != reconcile.Write {
		t.Errorf("the plan writes, the explanation says %v: %s", v.Outcome, v.Why)
	}
}

func TestWhatASearchBringsAlongChangesNoDecisionThatWasPlanned(t *testing.T) {
	w := newWorld(t)
	w.rules.Fields[0].Policy = reconcile.Policy{Kind: reconcile.Newest}
	for _, m := range []*memory.Store{w.ticket, w.incident} {
		m.Clock = connectors.Clock{Measured: true}
	}
	w.ticket.Add(text("title", "a", "status", "new"))
	w.apply()
	w.minute()
	w.incident.Add(w.incident.Get("sys1")) // a copy, whose twin is looked for in every run
	w.ticket.Edit("T-1", text("title", "left"))
	w.incident.Edit("sys1", text("summary", "right"))
	w.apply()
	w.minute()
	w.ticket.Edit("T-1", text("status", "open"))
	w.wantPlan("the ticket is newer by now, and nobody has looked at the incident", `update incident sys1 state="open"`, "conflict  sys2 ", "conflict T-1 sys1 summary")
	w.apply()
	w.wantIncident("sys1", text("summary", "right", "state", "open"))
}

func TestOfTwoWritesTheOneGoesFirstThatTheOtherHangsOn(t *testing.T) {
	for _, side := range record.Sides { // that the first write is on
		t.Run(side.String(), func(t *testing.T) {
			w := newWorld(t)
			leads := [2]int{3, 3} // status and state
			w.rules.Fields[1].Policy.Side = side.Other()
			// What the losing side shows as long as it says "done", the other one gets.
			note := [2]int{2, 2} // queue and number
			rule := reconcile.Rule{Name: "closing", At: "m.hcl:28", Paths: [2][]int{{note[0]}, {note[1]}}, Reads: [2][]int{{note[0]}, {note[1]}}}
			rule.Reads[side] = []int{leads[side]}
			rule.Paths[side] = []int{leads[side]}
			rule.When = func(e reconcile.Env) (bool, error) {
				return e.Values[side] != nil && e.Values[side][leads[side]].Text() == "done", nil
			}
			rule.To[side.Other()] = func(reconcile.Env) ([]record.Value, error) { return []record.Value{record.OfText("solved")}, nil }
			w.rules.Fields[2] = rule
			w.ticket.Add(text("title", "a", "status", "new"))
			w.apply()
			w.minute()
			w.ticket.Edit("T-1", text("status", []string{"done", "open"}[side]))
			w.incident.Edit("sys1", text("state", []string{"open", "done"}[side]))
			w.apply()
			w.apply()
			if got := [2]record.Fields{w.ticket.Get("T-1"), w.incident.Get("sys1")}[side.Other()][[]string{"queue", "number"}[side.Other()]]; got.Text() == "solved" {
				t.Errorf("%s was written, although nothing asks for it once the other side is open", got)
			}
		})
	}
}

func TestAnExplanationTakesNoWriteOfOursForTheNewestEdit(t *testing.T) {
	w := contested(t)
	w.rules.Fields[0].Policy = reconcile.Policy{Kind: reconcile.Newest}
	w.rules.Digest = "newest"
	w.apply()
	w.ticket.Edit("T-1", text("title", "ours", "status", "open"))
	w.incident.Edit("sys1", text("summary", "hers"))
	w.now = w.now.Add(time.Minute)
	w.apply() // the status, which stamps the incident; nobody can tell which of the two texts is newer
	w.wantIncident("sys1", text("summary", "hers", "state", "open"))
	w.wantPlan("it waits", "conflict T-1 sys1 summary")
	x, err := w.engine.Explain(t.Context(), w.job, "T-1")
	if err != nil {
		t.Fatal(err)
	}
	if v := x.Decision.Verdicts[0]; v.Outcome != reconcile.Conflict || len(x.Decision.Sets[0]) > 0 {
		t.Errorf("the plan has it wait, the explanation says %v and would set %+v: %s", v.Outcome, x.Decision.Sets[0], v.Why)
	}
}
