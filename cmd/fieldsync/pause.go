package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/report"
)

func (a *app) pauseCmd() *cobra.Command {
	var why string
	c := &cobra.Command{
		Use:   "pause SYNC",
		Short: "keep fieldsync serve from running a sync, until resume",
		Long: `The sync is not run on its schedule, after other syncs, or because a system tells of a change;
syncs that follow it wait. A run in flight goes on to its end. The state keeps the pause, so
that it also holds after a restart. apply is not held up: it is you who runs it.

What was due meanwhile is not caught up run by run: the first run after resume finds all of it.`,
		Example: `  fieldsync pause ticket_to_incident --why "ServiceNow is being upgraded"
  fieldsync status
  fieldsync resume ticket_to_incident`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeSyncs,
		RunE: func(c *cobra.Command, args []string) error {
			p, err := a.openToSteer(args[0])
			if err != nil {
				return err
			}
			defer p.Close()
			pause := engine.Pause{Sync: args[0], By: a.person(), At: a.now(), Why: why}
			if err := p.Note(c.Context(), a.person(), "pause", args[0], why); err != nil {
				return err
			}
			if err := p.State.Pause(c.Context(), pause); err != nil {
				return err
			}
			if a.json {
				return report.JSON(a.out, pause)
			}
			a.say("%s is paused until fieldsync resume %s.", args[0], args[0])
			return nil
		},
	}
	c.Flags().StringVar(&why, "why", "", "the `REASON`, for those who wonder")
	return c
}

func (a *app) resumeCmd() *cobra.Command {
	var why string
	c := &cobra.Command{
		Use:   "resume SYNC",
		Short: "let fieldsync serve run a paused sync again",
		Example: `  fieldsync resume ticket_to_incident
  fieldsync resume ticket_to_incident --why "the upgrade is done"`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeSyncs,
		RunE: func(c *cobra.Command, args []string) error {
			p, err := a.openToSteer(args[0])
			if err != nil {
				return err
			}
			defer p.Close()
			was, err := p.State.Resume(c.Context(), args[0])
			if err != nil {
				return err
			}
			if !was {
				return project.Hinted(fmt.Errorf("%s is not paused", args[0]), "fieldsync status shows which syncs are")
			}
			if err := p.Note(c.Context(), a.person(), "resume", args[0], why); err != nil {
				return err
			}
			if a.json {
				return report.JSON(a.out, map[string]string{"sync": args[0]})
			}
			a.say("%s goes on when it is next due.", args[0])
			return nil
		},
	}
	c.Flags().StringVar(&why, "why", "", "the `REASON`, for the audit log")
	return c
}

func (a *app) auditCmd() *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use:   "audit",
		Short: "list who did what by hand, when, and why",
		Long: `Lists what people have done, on the command line and through fieldsync serve: pauses, approvals,
decisions, values put back, links made and parted. What runs did is in fieldsync runs and blame.`,
		Example: `  fieldsync audit
  fieldsync audit -n 1000 --json | jq '.[] | select(.action == "approve")'`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			p, err := a.openProject()
			if err != nil {
				return err
			}
			defer p.Close()
			if err := p.OpenState(project.ReadState); err != nil {
				return err
			}
			acts := []engine.Act{}
			if err := p.State.Acts(c.Context(), limit, func(act engine.Act) error { acts = append(acts, act); return nil }); err != nil {
				return err
			}
			if a.json {
				return report.JSON(a.out, acts)
			}
			if len(acts) == 0 {
				return report.Note(a.out, "Nobody has done anything by hand yet.")
			}
			t := report.Table{Head: []string{"WHEN", "WHO", "WHAT", "TO", "WHY"}}
			for _, act := range acts {
				t.Row(project.Stamp(act.At), act.By, act.Action, act.Subject, act.Why)
			}
			return t.Print(a.out, a.style)
		},
	}
	c.Flags().IntVarP(&limit, "number", "n", 50, "how many")
	return c
}

// openToSteer opens the state for a command about one sync that contacts no system.
func (a *app) openToSteer(sync string) (*project.Project, error) {
	p, err := a.openProject()
	if err != nil {
		return nil, err
	}
	if _, err = p.Find(sync); err == nil {
		err = p.OpenState(project.WriteState)
	}
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}
