package project

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/report"
)

// approvalLife is how long an approval waits for the run that uses it.
const approvalLife = 24 * time.Hour

// Approve keeps an approval, from now on, as long as approvals last.
func (p *Project) Approve(ctx context.Context, s *mapping.Sync, digest, by string) (engine.PlanApproval, error) {
	now := p.Now()
	ok := engine.PlanApproval{Sync: s.Name, Digest: digest, By: by, At: now, Until: now.Add(approvalLife)}
	return ok, p.State.Approve(ctx, ok)
}

// StopsOf finds what stops the plan with a digest: the one at which the last run stopped, or the plan of now.
func (p *Project) StopsOf(ctx context.Context, s *mapping.Sync, digest string) ([]plan.Stop, error) {
	known, err := p.State.Syncs(ctx)
	if err != nil {
		return nil, err
	}
	for _, k := range known {
		if k.Sync == s.Name && k.LastRun != nil && k.LastRun.Stopped && k.LastRun.Footer.Digest == digest {
			return k.LastRun.Footer.Stops, nil
		}
	}
	job, err := p.Job(ctx, s, JobOptions{Preview: true, Trigger: "approve"})
	if err != nil {
		return nil, err
	}
	run, err := p.Engine(nil).Plan(ctx, job)
	if err != nil {
		return nil, err
	}
	defer run.Close()
	f := run.Footer()
	switch {
	case f.Digest != digest:
		return nil, Hinted(fmt.Errorf("no plan of %s has the digest %s: the plan of now has %s", s.Name, digest, f.Digest), "look at it with fieldsync plan "+s.Name+", then approve the digest that it names")
	case len(f.Stops) == 0:
		return nil, Hinted(errors.New("nothing stops this plan"), "it needs no approval: fieldsync apply "+s.Name)
	}
	return f.Stops, nil
}

// waitingPlan is the plan that a sync has stopped at, as long as no later run has gone on.
func waitingPlan(k engine.SyncStatus) *report.WaitingPlan {
	if k.LastRun == nil || !k.LastRun.Stopped {
		return nil
	}
	w := &report.WaitingPlan{Digest: k.LastRun.Footer.Digest, Stops: k.LastRun.Footer.Stops, Since: k.LastRun.Started}
	if k.Approval != nil {
		w.ApprovedBy, w.Until = k.Approval.By, k.Approval.Until
	}
	return w
}

// ApproveCommand is what to type to approve a plan.
func ApproveCommand(sync, digest string) string { return "fieldsync approve " + sync + " " + digest }
