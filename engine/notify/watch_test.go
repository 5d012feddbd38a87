package notify_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/notify"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/telemetry"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// A day lives one sync through what is said at each moment, with everything delivered.
func TestADay(t *testing.T) {
	t.Parallel()
	w := &notify.Watch{Began: noon, Rules: notify.Rules{On: notify.Kinds, Late: time.Hour, Stuck: 24 * time.Hour, Again: 12 * time.Hour}}
	good := telemetry.Vital{Sync: "tickets", SyncStatus: engine.SyncStatus{LastGood: noon}}
	failing := good
	failing.LastRun = &plan.Run{Started: noon.Add(10 * time.Minute), Err: "scan incident: offline"}
	refused := failing
	refused.Refused = true
	stopped := good
	stopped.LastGood, stopped.LastRun = noon.Add(20*time.Hour), &plan.Run{Started: noon.Add(20 * time.Hour), Stopped: true, Err: "too many deletes"}
	approved := stopped
	approved.Approval = &engine.PlanApproval{By: "ann"}
	held := good
	held.LastGood, held.Held, held.Holds.Oldest = noon.Add(21*time.Hour), 1, noon.Add(-3*time.Hour)
	for _, step := range []struct {
		after time.Duration
		v     telemetry.Vital
		want  []string
	}{
		{time.Minute, good, nil},
		{59 * time.Minute, failing, nil},
		{time.Hour, failing, []string{"late tickets: no good run since 2026-03-02 12:00Z: scan incident: offline."}},
		{2 * time.Hour, failing, nil},
		{12 * time.Hour, failing, nil},
		{13 * time.Hour, failing, []string{"late tickets: no good run since 2026-03-02 12:00Z: scan incident: offline."}},
		{14 * time.Hour, refused, []string{"refused tickets: a system refuses the credentials: scan incident: offline."}},
		{20 * time.Hour, stopped, []string{"stopped tickets: a plan waits for approval: too many deletes.",
			"refused, over tickets: the credentials are accepted again.", "late, over tickets: it had a good run again."}},
		{20*time.Hour + time.Minute, approved, []string{"stopped, over tickets: its plan is no longer stopped."}},
		{21*time.Hour + time.Minute, held, []string{"stuck tickets: a hold has waited since 2026-03-02 09:00Z; 1 holds and 0 conflicts in all."}},
		{21*time.Hour + 2*time.Minute, good, []string{"late tickets: no good run since 2026-03-02 12:00Z.", "stuck, over tickets: nothing waits for so long any more."}},
	} {
		now := noon.Add(step.after)
		var got []string
		for _, n := range w.Due(now, []telemetry.Vital{step.v}) {
			kind := string(n.Kind)
			if n.Over {
				kind += ", over"
			}
			got = append(got, kind+" "+n.Text)
			w.Told(n, now)
		}
		// Another process may go on at any moment.
		data, err := json.Marshal(w)
		next := &notify.Watch{Began: w.Began, Rules: w.Rules}
		if err := errors.Join(err, json.Unmarshal(data, next)); err != nil {
			t.Fatal(err)
		}
		w = next
		slices.Sort(got)
		slices.Sort(step.want)
		if d := cmp.Diff(step.want, got); d != "" {
			t.Errorf("after %v (-want +got)\n%s", step.after, d)
		}
	}
}

func TestWhatWasNotDeliveredStaysDue(t *testing.T) {
	t.Parallel()
	w := &notify.Watch{Began: noon, Rules: notify.Rules{On: []notify.Kind{notify.Stuck}, Stuck: time.Hour, Again: time.Hour}}
	v := []telemetry.Vital{{Sync: "a"}}
	v[0].Asks.Oldest = noon.Add(-2 * time.Hour)
	for range 3 {
		if due := w.Due(noon, v); len(due) != 1 {
			t.Fatalf("due: %v", due)
		}
	}
	w.Told(w.Due(noon, v)[0], noon)
	if due := w.Due(noon, v); len(due) != 0 {
		t.Errorf("told, and due again: %v", due)
	}
}

func TestWhatNobodyAskedForIsNotSaid(t *testing.T) {
	t.Parallel()
	w := &notify.Watch{Began: noon, Rules: notify.Rules{On: []notify.Kind{notify.Late}, Late: time.Hour, Again: time.Hour}}
	v := telemetry.Vital{Sync: "a", Refused: true, SyncStatus: engine.SyncStatus{LastGood: noon, LastRun: &plan.Run{Err: "x"}}}
	if due := w.Due(noon, []telemetry.Vital{v}); len(due) != 0 {
		t.Errorf("due: %v", due)
	}
	v.Paused, v.LastGood = true, noon.Add(-100*time.Hour)
	if due := w.Due(noon.Add(50*time.Hour), []telemetry.Vital{v}); len(due) != 0 {
		t.Errorf("a sync that a person has paused is called late: %v", due)
	}
}

func TestAServiceThatWasOffGetsItsTime(t *testing.T) {
	t.Parallel()
	w := &notify.Watch{Began: noon, Rules: notify.Rules{On: []notify.Kind{notify.Late}, Late: time.Hour, Again: time.Hour}}
	v := []telemetry.Vital{{Sync: "a", SyncStatus: engine.SyncStatus{LastGood: noon.Add(-72 * time.Hour)}}, {Sync: "new"}}
	if due := w.Due(noon.Add(time.Minute), v); len(due) != 0 {
		t.Errorf("just started, and late already: %v", due)
	}
	if due := w.Due(noon.Add(time.Hour), v); len(due) != 2 {
		t.Errorf("due after an hour: %v", due)
	}
}
