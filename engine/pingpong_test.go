package engine_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors/memory"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// led is a world whose state leads from the ticket, with a linked pair that shows "new".
func led(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.rules.Fields[1].To[record.Left] = nil
	w.ticket.Add(text("title", "a", "status", "new"))
	w.settle()
	w.now = w.now.Add(time.Hour)
	w.ticket.Edit("T-1", text("status", "open"))
	w.settle()
	return w
}

// pingPong is the conflict of that kind in the plan, nil if there is none.
func (w *world) pingPong() *plan.Conflict {
	w.t.Helper()
	r, err := w.engine.Plan(w.t.Context(), w.job)
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Close()
	for it, err := range r.Items() {
		if err != nil {
			w.t.Fatal(err)
		}
		if it.Conflict != nil && it.Conflict.Policy == reconcile.PingPong {
			return it.Conflict
		}
	}
	return nil
}

// setBack lets an automation set the incident back, and applies, until a person is asked or n turns are over. It returns
// how often the value was written.
func (w *world) setBack(n int, after time.Duration) (written int) {
	w.t.Helper()
	for range n {
		w.now = w.now.Add(after)
		w.incident.EditAs("autobot", "sys1", text("state", "auto"))
		w.settle()
		if w.incident.Get("sys1")["state"].Text() == "auto" {
			return written
		}
		written++
	}
	return written
}

func TestARuleAndAnAutomationThatSetEachOtherBackAreHeldTheThirdTime(t *testing.T) {
	w := led(t)
	if n := w.setBack(10, time.Hour); n != 2 {
		t.Fatalf("written %d times, want 2 and then a person asked", n)
	}
	c := w.pingPong()
	if c == nil {
		t.Fatalf("the plan is %v", w.plan())
	}
	want := `field state (m.hcl:9) wrote incident.state "auto" → "open" 2 times since 2027-03-01 10:00, nobody changed ticket in between, ` +
		`and each time it was set back by autobot or a rule that runs as that user in the system of incident`
	if c.Why != want {
		t.Errorf("it says\n%s, want\n%s", c.Why, want)
	}
	writes := w.incident.Writes()
	for range 5 {
		w.now = w.now.Add(time.Hour)
		w.settle()
	}
	if w.incident.Writes() != writes {
		t.Error("it goes on all the same")
	}
	w.wantPlan("a person is asked", "conflict T-1 sys1 state")
}

func TestAnAutomationWithoutANameIsStillOne(t *testing.T) {
	w := led(t)
	for range 4 {
		w.now = w.now.Add(time.Hour)
		w.incident.EditAs("", "sys1", text("state", "auto"))
		w.settle()
	}
	if c := w.pingPong(); c == nil || !strings.HasSuffix(c.Why, "set back by somebody or a rule in the system of incident") {
		t.Errorf("the plan is %v, %+v", w.plan(), c)
	}
}

func TestWhatEndsAPingPong(t *testing.T) {
	held := func(t *testing.T) *world {
		w := led(t)
		w.setBack(3, time.Hour)
		if w.pingPong() == nil {
			t.Fatal("it is not held")
		}
		w.now = w.now.Add(time.Hour)
		return w
	}
	shows := func(w *world, ticket, incident string) {
		w.t.Helper()
		w.settle()
		w.wantIncident("sys1", text("state", incident))
		if got := w.ticket.Get("T-1")["status"].Text(); got != ticket {
			w.t.Errorf("the ticket shows %q, want %q", got, ticket)
		}
		w.wantPlan("quiet")
	}
	t.Run("the leading side moves", func(t *testing.T) {
		w := held(t)
		w.ticket.Edit("T-1", text("status", "waiting"))
		shows(w, "waiting", "waiting")
	})
	t.Run("the rules change", func(t *testing.T) {
		w := held(t)
		w.rules.Digest = "others"
		shows(w, "open", "open")
	})
	t.Run("the automation gives in", func(t *testing.T) {
		w := held(t)
		w.incident.EditAs("autobot", "sys1", text("state", "open"))
		shows(w, "open", "open")
	})
	t.Run("a person decides for the rule, and is asked again next time", func(t *testing.T) {
		w := held(t)
		if err := w.engine.Resolve(t.Context(), w.job, "T-1", "state", record.Left, "bob"); err != nil {
			t.Fatal(err)
		}
		shows(w, "open", "open")
		if w.setBack(1, time.Hour) != 0 || w.pingPong() == nil {
			t.Error("it goes on")
		}
	})
	t.Run("a person decides for the automation, until the ticket moves", func(t *testing.T) {
		w := held(t)
		if err := w.engine.Resolve(t.Context(), w.job, "T-1", "state", record.Right, "bob"); err != nil {
			t.Fatal(err)
		}
		shows(w, "open", "auto")
		w.ticket.Edit("T-1", text("status", "waiting"))
		shows(w, "waiting", "waiting")
	})
	t.Run("a week passes", func(t *testing.T) {
		w := held(t)
		w.now = w.now.Add(8 * 24 * time.Hour)
		shows(w, "open", "open")
	})
}

func TestWhatIsNoPingPong(t *testing.T) {
	t.Run("somebody toggles the leading side", func(t *testing.T) {
		w := led(t)
		for i := range 12 {
			w.now = w.now.Add(time.Hour)
			status := []string{"new", "open"}[i%2]
			w.ticket.Edit("T-1", text("status", status))
			w.settle()
			w.wantIncident("sys1", text("state", status))
		}
	})
	t.Run("somebody toggles it, and somebody else drifts between", func(t *testing.T) {
		w := led(t)
		for i := range 6 {
			w.now = w.now.Add(time.Hour)
			w.incident.EditAs("ann", "sys1", text("state", "auto"))
			w.settle()
			w.now = w.now.Add(time.Hour)
			w.ticket.Edit("T-1", text("status", []string{"new", "open"}[i%2]))
			w.settle()
			w.wantIncident("sys1", text("state", []string{"new", "open"}[i%2]))
		}
	})
	t.Run("drift now and then", func(t *testing.T) {
		w := led(t)
		if n := w.setBack(6, 4*24*time.Hour); n != 6 {
			t.Errorf("held after %d turns", n)
		}
	})
	t.Run("both sides are edited in turn", func(t *testing.T) {
		w := newWorld(t)
		w.ticket.Add(text("title", "a", "status", "new"))
		w.settle()
		for i := range 12 {
			w.now = w.now.Add(time.Hour)
			title := []string{"a", "b"}[i%2]
			if i%4 < 2 {
				w.ticket.Edit("T-1", text("title", title))
			} else {
				w.incident.Edit("sys1", text("summary", title))
			}
			w.settle()
			w.wantPlan("carried")
		}
	})
}

func TestTwoSyncsThatWriteTheSameFieldAreNamedWithTheirPlaces(t *testing.T) {
	w := led(t)
	// A second help desk has the same incident, and its own idea of the state.
	other := memory.New(memory.Text("number", "queue", "status", "title")...)
	other.Now = w.ticket.Now
	other.NewKey = func(n int) string { return fmt.Sprintf("X-%d", n) }
	other.Add(text("title", "INC1", "status", "closed"))
	rival := rules()
	rival.Sync, rival.Digest = "rival", "rival rules"
	rival.Match = []reconcile.Match{{At: "r.hcl:1", Slots: [2]int{4, 2}}}
	rival.Fields = []reconcile.Rule{{Name: "verdict", At: "r.hcl:7", Paths: [2][]int{{3}, {3}}, Reads: [2][]int{{3}, {3}}, To: [2]reconcile.Transform{nil, from(record.Left, 3)}}}
	job := w.job
	job.Rules, job.Ends[0].Handle = rival, other
	job.Peers = []engine.Peer{{Sync: "ticket_to_incident", Side: [2]record.Side{1, 1}, At: map[string]string{"state": "m.hcl:9"}}}
	w.job.Peers = []engine.Peer{{Sync: "rival", Side: [2]record.Side{1, 1}, At: map[string]string{"verdict": "r.hcl:7"}}}
	var asked *plan.Conflict
	writes := 0
	for range 10 {
		for _, j := range []engine.Job{job, w.job} {
			w.now = w.now.Add(time.Minute)
			before := w.incident.Writes()
			mine := w.job
			w.job = j
			w.settle()
			if asked == nil {
				asked = w.pingPong()
			}
			w.job = mine
			writes += w.incident.Writes() - before
		}
	}
	if asked == nil || writes > 6 {
		t.Fatalf("%d writes, and asked %+v", writes, asked)
	}
	for _, want := range []string{"field verdict", "r.hcl:7", "field state", "m.hcl:9", "of sync "} {
		if !strings.Contains(asked.Why, want) {
			t.Errorf("%q does not name %q", asked.Why, want)
		}
	}
}

func TestTwoRulesOfOneSyncThatNeverSettleAreHeld(t *testing.T) {
	w := newWorld(t)
	swap := func(e reconcile.Env) ([]record.Value, error) {
		v := record.OfText("on")
		if e.Values[record.Left][3].Text() == "on" {
			v = record.OfText("off")
		}
		return []record.Value{v}, nil
	}
	w.rules.Fields[1] = reconcile.Rule{Name: "forth", At: "m.hcl:11", Paths: [2][]int{{3}, {3}}, Reads: [2][]int{{3}, {3}}, To: [2]reconcile.Transform{nil, swap}}
	w.rules.Fields = append(w.rules.Fields, reconcile.Rule{Name: "back", At: "m.hcl:15", Paths: [2][]int{{3}, {3}}, Reads: [2][]int{{3}, {3}},
		To: [2]reconcile.Transform{from(record.Right, 3), nil}})
	w.ticket.Add(text("title", "a", "status", "on"))
	for range 12 {
		w.settle()
		w.now = w.now.Add(time.Minute)
	}
	writes := w.incident.Writes() + w.ticket.Writes()
	for range 3 {
		w.settle()
	}
	if now := w.incident.Writes() + w.ticket.Writes(); now != writes {
		t.Errorf("%d more writes: %v", now-writes, w.plan())
	}
	c := w.pingPong()
	if c == nil || !strings.Contains(c.Why, "m.hcl:11") || !strings.Contains(c.Why, "m.hcl:15") {
		t.Errorf("asked %+v: %v, %q, %q", c, w.plan(), w.told(record.Right, "state"), w.told(record.Left, "status"))
	}
}

func TestASensitiveFieldGoesRoundWithoutItsValues(t *testing.T) {
	w := led(t)
	w.rules.Fields[1].Sensitive = true
	w.setBack(4, time.Hour)
	if c := w.pingPong(); c == nil || strings.Contains(c.Why, "auto\"") || !strings.Contains(c.Why, "incident.state 2 times") {
		t.Errorf("it says %+v", c)
	}
}

func TestAShorterMemoryStillSeesAQuickCycle(t *testing.T) {
	w := led(t)
	w.engine.Keep = 24 * time.Hour
	if n := w.setBack(10, time.Hour); n != 2 {
		t.Errorf("written %d times, want 2", n)
	}
	if told := w.told(record.Right, "state"); !slices.ContainsFunc(told, func(s string) bool { return strings.Contains(s, "auto") }) {
		t.Errorf("history: %q", told)
	}
}
