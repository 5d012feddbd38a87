package main

import (
	"github.com/spf13/cobra"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/engine/report"
)

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
			s, err := p.Find(args[0])
			if err != nil {
				return err
			}
			if err := p.OpenState(project.WriteState); err != nil {
				return err
			}
			stops, err := p.StopsOf(ctx, s, args[1])
			if err != nil {
				return err
			}
			if err := p.Note(ctx, a.person(), "approve", s.Name+" "+args[1], ""); err != nil {
				return err
			}
			ok, err := p.Approve(ctx, s, args[1], a.person())
			if err != nil {
				return err
			}
			if a.json {
				return report.JSON(a.out, ok)
			}
			for _, stop := range stops {
				a.say("approved: %s: %s", stop.Limit, stop.Why)
			}
			a.say("The next run of %s may carry this plan out, once, until %s.", s.Name, project.Stamp(ok.Until))
			return nil
		},
	}
}
