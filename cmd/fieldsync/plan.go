package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/report"
)

func (a *app) planCmd() *cobra.Command {
	var file string
	var full bool
	c := &cobra.Command{
		Use:   "plan [SYNC…]",
		Short: "show what would happen, both ways, field by field, with the reason",
		Long: `Observes both sides, decides, and shows every change with the rule that asks for it.
Nothing is written anywhere, not even to the state.

With -o the plan is also saved: "fieldsync apply FILE" carries out exactly these
changes, once; records that moved since are skipped and said to be. The file holds
values of records and is readable by its owner alone.

Exit code 2 says that there are changes, or a stop to approve, 0 that there is nothing
to do; conflicts and holds that wait are shown and do not count.`,
		Example: `  fieldsync plan
  fieldsync plan ticket_to_incident -o monday.plan
  fieldsync plan --json | jq -c 'select(.action)'`,
		ValidArgsFunction: a.completeSyncs,
		RunE: func(c *cobra.Command, args []string) error {
			p, err := a.openToRun()
			if err != nil {
				return err
			}
			defer p.Close()
			if err := p.OpenState(project.ReadState); err != nil {
				return err
			}
			syncs, err := p.Pick(args)
			if err != nil {
				return err
			}
			code, made := exitOK, 0
			plans := func(w io.Writer) error {
				for _, s := range syncs {
					job, err := p.Job(c.Context(), s, project.JobOptions{Preview: true, Full: full, Trigger: "plan"})
					if err == nil {
						var changes bool
						changes, err = a.preview(c.Context(), p, job, w)
						if changes {
							code = worst(code, exitChanges)
						}
						if err == nil {
							made++
						}
					}
					if err != nil {
						if c.Context().Err() != nil {
							return err
						}
						a.complain(project.InSync(s.Name, err))
						code = exitError
					}
				}
				if made == 0 {
					return codeError(code) // there is nothing to save
				}
				return nil
			}
			if file == "" {
				err = plans(nil)
			} else if err = replaceFile(file, plans); err == nil {
				a.say("Saved to %s. To carry it out: fieldsync apply %s", file, file)
			}
			if err != nil {
				return err
			}
			return codeError(code)
		},
	}
	c.Flags().StringVarP(&file, "output", "o", "", "save the plan to `FILE`")
	c.Flags().BoolVar(&full, "full", false, "read both sides whole, also where changes alone could be asked for")
	return c
}

// preview plans one sync, shows it, and writes it to w unless that is nil. A plan that needs an approval counts as
// one with changes: apply would not find that there is nothing to do.
func (a *app) preview(ctx context.Context, p *project.Project, job engine.Job, w io.Writer) (changes bool, err error) {
	bar := a.startBar()
	eng := p.Engine(bar.progress())
	run, err := eng.Plan(ctx, job)
	bar.stop()
	if err != nil {
		return false, err
	}
	defer run.Close()
	if err := a.showPlan(run); err != nil {
		return false, err
	}
	if w != nil {
		if err := run.Write(w); err != nil {
			return false, err
		}
	}
	return run.Footer().Changes() > 0 || len(run.Footer().Stops) > 0, nil
}

func (a *app) showPlan(run *engine.Run) error {
	if a.json {
		return report.PlanJSON(a.out, run.Header(), run.Footer(), run.Items())
	}
	return report.Plan(a.out, run.Header(), run.Footer(), run.Items(), a.style)
}

// codeError is nil for 0, so that it can be returned from a command.
func codeError(code int) error {
	if code == exitOK {
		return nil
	}
	return exit(code)
}
