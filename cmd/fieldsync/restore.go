package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/report"
)

func (a *app) restoreCmd() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "restore ID",
		Short: "bring a replaced value back, as a person's edit",
		Long: `Shows what will be written, asks, and writes the value to its record. It counts as an edit
of yours: the next run carries it to the other side, or asks about it, like any other edit.
The value that it replaces goes to history and can be restored too.

ID stands under RESTORE in fieldsync blame. When the record changes between the showing and
the writing, nothing is written.`,
		Example: `  fieldsync blame ticket_to_incident T-1001 state
  fieldsync restore 17
  fieldsync restore 17 --yes && fieldsync plan ticket_to_incident`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			p, err := a.openProject()
			if err != nil {
				return err
			}
			defer p.Close()
			id, err := number(args[0], "fieldsync blame SYNC KEY lists them under RESTORE")
			if err != nil {
				return err
			}
			if err := p.OpenState(project.WriteState); err != nil {
				return err
			}
			entry, err := p.State.Entry(c.Context(), id)
			if err != nil {
				return err
			}
			if entry == nil {
				return project.Hinted(fmt.Errorf("the history has no value %d", id), "fieldsync blame SYNC KEY lists them under RESTORE; what is older than history in the fieldsync block is forgotten")
			}
			return a.putBack(c.Context(), p, entry.Sync, "restore", args[0], yes, func(ctx context.Context, e *engine.Engine, j engine.Job) (*engine.Putback, error) {
				return e.Restore(ctx, j, *entry)
			})
		},
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return c
}

func (a *app) undoCmd() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "undo RUN",
		Short: "put back what a run replaced, where its records still show what it wrote",
		Long: `Shows what will be written and what will not, with the reason, asks once, and writes. Only
updates are undone: what the run created is not deleted, what it deleted is not created. A
value that was changed since stays.

What is put back counts as an edit of yours: the next run carries it to the other side like
any other edit. An undo is a run itself, and can be undone.`,
		Example: `  fieldsync runs
  fieldsync undo 12
  fieldsync undo 12 --json --yes | jq '.puts[] | select(.skip)'`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeRuns,
		RunE: func(c *cobra.Command, args []string) error {
			p, err := a.openProject()
			if err != nil {
				return err
			}
			defer p.Close()
			id, err := number(args[0], "fieldsync runs lists them")
			if err != nil {
				return err
			}
			if err := p.OpenState(project.WriteState); err != nil {
				return err
			}
			run, err := p.State.RunByID(c.Context(), id)
			if err != nil {
				return err
			}
			if run == nil {
				return project.Hinted(fmt.Errorf("there is no run %d", id), "fieldsync runs lists them")
			}
			return a.putBack(c.Context(), p, run.Sync, "undo", args[0], yes, func(ctx context.Context, e *engine.Engine, j engine.Job) (*engine.Putback, error) {
				return e.Undo(ctx, j, id)
			})
		},
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return c
}

// completeRuns offers the latest runs to the shell.
func (a *app) completeRuns(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	p, err := a.openProject()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	defer p.Close()
	if err := p.OpenState(project.ReadState); err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var runs []string
	err = p.State.Runs(c.Context(), "", 20, func(r plan.Run) error {
		runs = append(runs, fmt.Sprintf("%d\t%s, %s, %s", r.ID, r.Sync, r.Trigger, project.Stamp(r.Started)))
		return nil
	})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return runs, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}

func number(text, hint string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 {
		return 0, project.Hinted(fmt.Errorf("%q is no number", text), hint)
	}
	return n, nil
}

// putBack shows what is to be put back, asks, and does it. subject is the value, or the run, that a person named.
func (a *app) putBack(ctx context.Context, p *project.Project, sync, trigger, subject string, yes bool, prepare func(context.Context, *engine.Engine, engine.Job) (*engine.Putback, error)) error {
	s, err := p.Find(sync)
	if err != nil {
		return err
	}
	job, err := p.Job(ctx, s, project.JobOptions{Trigger: trigger})
	if err != nil {
		return err
	}
	e := p.Engine(nil)
	back, err := prepare(ctx, e, job)
	if err != nil {
		return err
	}
	if trigger == "restore" && back.Changes() == 0 {
		return p.Unrestorable(s, back.Puts[0])
	}
	if !a.json {
		a.say("%s   %s", a.style.Bold(sync), trigger)
		if err := report.Puts(a.out, project.PutsView(sync, back), a.style); err != nil {
			return err
		}
	}
	var acc plan.Run
	if back.Changes() > 0 {
		if err := a.agreeTo(fmt.Sprintf("Put back %s?", project.Plural(back.Changes(), "value")), yes); err != nil {
			return err
		}
		if err := p.Note(ctx, a.person(), trigger, sync+" "+subject, ""); err != nil {
			return err
		}
		acc, err = back.Apply(ctx, a.person())
		if err != nil && acc.ID == 0 {
			return err
		}
	}
	if a.json {
		out := map[string]any{"puts": report.RedactPuts(project.PutsView(sync, back))}
		if acc.ID != 0 {
			out["run"] = acc
		}
		if jerr := report.JSON(a.out, out); jerr != nil {
			return jerr
		}
	} else if acc.ID == 0 {
		a.say("There is nothing to put back.")
	} else {
		if rerr := report.PutResults(a.out, project.PutsView(sync, back), a.style); rerr != nil {
			return rerr
		}
		if acc.Done > 0 {
			a.say("It counts as an edit of yours: the next run carries it across; fieldsync plan %s shows it before.", sync)
		}
	}
	if err != nil {
		return err
	}
	if acc.Failed+acc.Skipped > 0 {
		return exit(exitFailed)
	}
	return nil
}

// agreeTo asks a question, unless yes was said already; nil means yes.
func (a *app) agreeTo(question string, yes bool) error {
	if yes {
		return nil
	}
	if !a.ask {
		return project.Hinted(errors.New("nobody can be asked: standard input is no terminal"), "nothing was written; add --yes")
	}
	fmt.Fprintf(a.err, "%s [y/N] ", question)
	a.out.Flush()
	a.err.Flush()
	answer, _ := a.in.ReadString('\n') // no answer is a no
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errDeclined
}
