package engine_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A chooser refuses the state "parked" by name, unless it is content; what else is written is refused by then.
type chooser struct {
	*instance
	content bool
	then    func() error
}

func (c *chooser) refusal(op string, f record.Fields) error {
	if f["state"].Kind() == record.Text && f["state"].Text() == "parked" && !c.content {
		return &connectors.Error{Kind: connectors.ErrRefused, Op: op, Detail: "state: no such choice", Hint: "translate it", Fields: []string{"state"}}
	}
	if c.then != nil {
		return c.then()
	}
	return nil
}

func (c *chooser) Create(ctx context.Context, paths []string, f record.Fields) (record.Record, error) {
	if err := c.refusal("create incident", f); err != nil {
		return record.Record{}, err
	}
	return c.instance.Create(ctx, paths, f)
}

func (c *chooser) Update(ctx context.Context, paths []string, key, version string, f record.Fields) (record.Record, error) {
	if err := c.refusal("update incident", f); err != nil {
		return record.Record{}, err
	}
	return c.instance.Update(ctx, paths, key, version, f)
}

// parked is a world whose one ticket was linked and then got a new title and a state that is refused.
func parked(t *testing.T) (*world, *chooser) {
	w := newWorld(t)
	w.ticket.Add(text("title", "a", "status", "new"))
	w.apply()
	w.now = w.now.Add(time.Minute)
	w.ticket.Edit("T-1", text("title", "b", "status", "parked"))
	c := &chooser{instance: &instance{Store: w.incident}}
	w.job.Ends[1].Handle = c
	return w, c
}

func TestAFieldThatASystemRefusesByNameIsHeldAndTheOthersAreWritten(t *testing.T) {
	w, c := parked(t)
	if acc := w.apply(); acc.Failed != 0 || acc.Done != 1 {
		t.Errorf("%d failed and %d updates, want the field alone to be held", acc.Failed, acc.Done)
	}
	w.wantIncident("sys1", text("summary", "b", "state", "new"))
	w.wantPlan("the field waits for its time", "hold T-1 sys1 state")
	w.wantInFlight(0)

	w.ticket.Edit("T-1", text("title", "c"))
	w.apply()
	w.wantIncident("sys1", text("summary", "c", "state", "new"))

	w.now = w.now.Add(24 * time.Hour)
	w.wantPlan("it is due again by itself", `update incident sys1 state="parked"`)
	c.content = true
	w.apply()
	w.wantIncident("sys1", text("summary", "c", "state", "parked"))
	w.wantPlan("and then nothing waits")
}

func TestARecordIsMadeWithoutAFieldThatItsSystemRefusesByName(t *testing.T) {
	w := newWorld(t)
	w.job.Ends[1].Handle = &chooser{instance: &instance{Store: w.incident}}
	w.rules.First = reconcile.First{Mode: reconcile.FirstSide, Side: record.Right}
	w.ticket.Add(text("title", "a", "status", "parked"))
	if acc := w.apply(); acc.Failed != 0 || w.incident.Len() != 1 {
		t.Fatalf("%d failed, %d incidents", acc.Failed, w.incident.Len())
	}
	w.wantPlan("the field waits, and what the new record has in its place does not lead", "hold T-1 sys1 state")
	w.ticket.Edit("T-1", text("status", "open"))
	w.apply()
	w.wantIncident("sys1", text("summary", "a", "state", "open"))
	w.wantPlan("then nothing waits")
}

func TestALinkIsHeldWhereWhatIsLeftIsRefusedToo(t *testing.T) {
	w, c := parked(t)
	tries := 0
	c.then = func() error {
		tries++
		return &connectors.Error{Kind: connectors.ErrRefused, Op: "update incident", Detail: "the record is locked"}
	}
	if acc := w.apply(); acc.Failed != 1 || tries != 1 {
		t.Errorf("%d failed after %d tries without the state, want 1 after 1", acc.Failed, tries)
	}
	w.wantIncident("sys1", text("summary", "a", "state", "new"))
	w.wantInFlight(0)
}

func TestAMarkerThatIsRefusedByNameIsNotLeftOut(t *testing.T) {
	w := newWorld(t)
	w.ticket.Add(text("title", "a", "status", "new"))
	w.job.Ends[1].Handle = &chooser{instance: &instance{Store: w.incident}, then: func() error {
		return &connectors.Error{Kind: connectors.ErrRefused, Op: "create incident", Detail: "marker: not unique", Fields: []string{"marker"}}
	}}
	if acc := w.apply(); acc.Failed != 1 || w.incident.Len() != 0 {
		t.Errorf("%d failed, %d incidents: a record without its marker could be made twice", acc.Failed, w.incident.Len())
	}
}

func TestTheMessageOfARefusalIsNotShownForASensitiveField(t *testing.T) {
	w, _ := parked(t)
	for i := range w.rules.Fields {
		w.rules.Fields[i].Sensitive = w.rules.Fields[i].Name == "state"
	}
	_, results, err := w.tryApply(engine.Approval{})
	if err != nil || len(results) != 1 {
		t.Fatalf("%v, %d results", err, len(results))
	}
	if why := results[0].Why; strings.Contains(why, "no such choice") || !strings.Contains(why, "sensitive") {
		t.Errorf("it says %q", why)
	}
}
