package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/report"
)

// approvalLife is how long an approval waits for the run that uses it.
const approvalLife = 24 * time.Hour

func (a *app) approveCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "approve SYNC DIGEST",
		Short: "let the next run carry out a plan that a limit has stopped",
		Long: `Keeps your approval of one very plan: the next scheduled run or apply that plans exactly
the same carries it out, once. A plan that differs in anything has another digest and stops
again. An approval that no run has used is over after 24 hours.

The digest is in the log of fieldsync serve, in fieldsync status, and under the plan that
fieldsync plan shows.`,
		Example: `  fieldsync status
  fieldsync plan ticket_to_incident
  fieldsync approve ticket_to_incident 3f9a52c07d1b88e43f9a52c07d1b88e4`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeSyncs,
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			p, err := a.openProject()
			if err != nil {
				return err
			}
			defer p.Close()
			s, err := p.sync(args[0])
			if err != nil {
				return err
			}
			if err := p.openState(writeState); err != nil {
				return err
			}
			stops, err := p.stopsOf(ctx, s, args[1])
			if err != nil {
				return err
			}
			if err := p.note(ctx, "approve", s.Name+" "+args[1], ""); err != nil {
				return err
			}
			ok, err := p.approve(ctx, s, args[1], a.person())
			if err != nil {
				return err
			}
			if a.json {
				return report.JSON(a.out, ok)
			}
			for _, stop := range stops {
				a.say("approved: %s: %s", stop.Limit, stop.Why)
			}
			a.say("The next run of %s may carry this plan out, once, until %s.", s.Name, stamp(ok.Until))
			return nil
		},
	}
}

// approve keeps an approval, from now on, as long as approvals last.
func (p *project) approve(ctx context.Context, s *mapping.Sync, digest, by string) (engine.PlanApproval, error) {
	now := p.app.now()
	ok := engine.PlanApproval{Sync: s.Name, Digest: digest, By: by, At: now, Until: now.Add(approvalLife)}
	return ok, p.state.Approve(ctx, ok)
}

// stopsOf finds what stops the plan with a digest: the one at which the last run stopped, or the plan of now.
func (p *project) stopsOf(ctx context.Context, s *mapping.Sync, digest string) ([]plan.Stop, error) {
	known, err := p.state.Syncs(ctx)
	if err != nil {
		return nil, err
	}
	for _, k := range known {
		if k.Sync == s.Name && k.LastRun != nil && k.LastRun.Stopped && k.LastRun.Footer.Digest == digest {
			return k.LastRun.Footer.Stops, nil
		}
	}
	job, err := p.job(ctx, s, jobOptions{preview: true, trigger: "approve"})
	if err != nil {
		return nil, err
	}
	run, err := p.engine(nil).Plan(ctx, job)
	if err != nil {
		return nil, err
	}
	defer run.Close()
	f := run.Footer()
	switch {
	case f.Digest != digest:
		return nil, hinted{fmt.Errorf("no plan of %s has the digest %s: the plan of now has %s", s.Name, digest, f.Digest), "look at it with fieldsync plan " + s.Name + ", then approve the digest that it names"}
	case len(f.Stops) == 0:
		return nil, hinted{errors.New("nothing stops this plan"), "it needs no approval: fieldsync apply " + s.Name}
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

// approveCommand is what to type to approve a plan.
func approveCommand(sync, digest string) string { return "fieldsync approve " + sync + " " + digest }
