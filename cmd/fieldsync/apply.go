package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/report"
)

// An applying is the flags of one apply.
type applying struct {
	yes     bool
	full    bool
	approve string
}

func (a *app) applyCmd() *cobra.Command {
	var o applying
	c := &cobra.Command{
		Use:   "apply [SYNC… | PLANFILE]",
		Short: "carry out a saved plan, or plan, show, ask and carry out",
		Long: `Without a plan file: observes, shows the plan of each sync in order, asks, and carries
it out. With one: carries out exactly the changes that it holds, where they would still
be the same; the others are skipped and said to be. A plan file is used once.

A plan that runs into a limit stops before its first write, whatever --yes says. After
looking at it, approve this very plan with --approve and the digest that was printed.

One sync's failure does not keep the others from running.`,
		Example: `  fieldsync apply
  fieldsync apply ticket_to_incident --yes
  fieldsync apply monday.plan
  fieldsync apply ticket_to_incident --approve 3f9a52c07d1b88e4`,
		ValidArgsFunction: a.completeSyncs,
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			p, err := a.openToRun()
			if err != nil {
				return err
			}
			defer p.Close()
			file, err := planFile(p, args)
			if err != nil {
				return err
			}
			var saved []*engine.SavedPlan
			if file != "" {
				if saved, err = readPlanFile(file); err != nil {
					return err
				}
				args = nil
				for _, s := range saved {
					args = append(args, s.Header.Sync)
				}
			}
			syncs, err := p.Pick(args)
			if err != nil {
				return err
			}
			if file == "" && !o.yes && !a.ask && o.approve == "" {
				return errNobody
			}
			if err := p.OpenState(project.WriteState); err != nil {
				return err
			}
			code := exitOK
			for _, s := range syncs {
				one, err := a.applyRounds(ctx, p, s.Name, o, planOf(saved, s.Name))
				if err != nil {
					if ctx.Err() != nil || errors.Is(err, errDeclined) {
						return err
					}
					a.complain(project.InSync(s.Name, err))
					one = exitError
				}
				code = worst(code, one)
			}
			return codeError(code)
		},
	}
	c.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	c.Flags().BoolVar(&o.full, "full", false, "read both sides whole, also where changes alone could be asked for")
	c.Flags().StringVar(&o.approve, "approve", "", "approve the plan with this `DIGEST` although it runs into limits")
	return c
}

// planFile says whether the arguments name a plan file instead of syncs.
func planFile(p *project.Project, args []string) (string, error) {
	for _, arg := range args {
		if _, ok := p.Sync(arg); ok {
			continue
		}
		info, err := os.Stat(arg)
		if err != nil || !info.Mode().IsRegular() {
			continue // pick says what is wrong
		}
		if len(args) > 1 {
			return "", project.Hinted(fmt.Errorf("%s is a plan file and stands beside other arguments", arg), "apply a plan file alone")
		}
		return arg, nil
	}
	return "", nil
}

func readPlanFile(name string) ([]*engine.SavedPlan, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	saved, err := engine.ReadPlans(f)
	if err != nil {
		return nil, project.Hinted(fmt.Errorf("%s: %w", name, err), "make a new one with fieldsync plan -o "+name)
	}
	return saved, nil
}

func planOf(saved []*engine.SavedPlan, sync string) *engine.SavedPlan {
	for _, s := range saved {
		if s.Header.Sync == sync {
			return s
		}
	}
	return nil
}

var errDeclined = project.Hinted(errors.New("not carried out: the answer was no"), "nothing was written; run it again to be asked again")

// rounds is how often apply looks again at what rules of the systems themselves made of its writes.
const rounds = 3

// applyRounds applies a sync, and again what followed from it: a system that computes a priority from what was
// written asks for one more plan, shown and agreed to like the first.
func (a *app) applyRounds(ctx context.Context, p *project.Project, name string, o applying, saved *engine.SavedPlan) (int, error) {
	for round := 1; ; round++ {
		code, acc, err := a.applySync(ctx, p, name, o, saved)
		if err != nil || code != exitOK || acc.Stirred == 0 || saved != nil || round == rounds {
			return code, err
		}
		if acc.Averted > 0 {
			a.say("A write fell on an edit that could not be seen before: lost update averted; looking again.")
			continue
		}
		a.say("The writes changed more fields by rules of the systems themselves; looking again.")
	}
}

// applySync runs one sync and returns what it means for the exit code, and the account of the run.
func (a *app) applySync(ctx context.Context, p *project.Project, name string, o applying, saved *engine.SavedPlan) (int, plan.Run, error) {
	var none plan.Run
	s, err := p.Find(name)
	if err != nil {
		return exitError, none, err
	}
	trigger := "apply"
	if saved != nil {
		trigger = "plan file"
	}
	began := a.now()
	job, err := p.Job(ctx, s, project.JobOptions{Full: o.full, Trigger: trigger})
	if err != nil {
		return exitError, none, p.Failed(ctx, name, trigger, began, err)
	}
	if saved != nil && saved.Header.Rules != job.Rules.Digest {
		return exitError, none, project.Hinted(errors.New("the rules changed since the plan was made"), "make a new plan with fieldsync plan -o FILE")
	}
	bar := a.startBar()
	run, err := p.Engine(bar.progress()).Start(ctx, job)
	bar.stop()
	if err != nil {
		return exitError, none, p.Failed(ctx, name, trigger, began, err)
	}
	defer run.Close()
	if saved == nil {
		if err := a.showPlan(run); err != nil {
			return exitError, none, err
		}
	}
	approved := o.approve != "" && o.approve == run.Footer().Digest
	stopped := len(run.Footer().Stops) > 0 && !approved
	if saved == nil && !stopped && !approved && !o.yes && run.Footer().Changes() > 0 {
		if err := a.agree(run); err != nil {
			return exitError, none, err
		}
	}
	return a.carryOut(ctx, run, o, saved)
}

var errNobody = project.Hinted(errors.New("nobody can be asked: standard input is no terminal"),
	"look with fieldsync plan, then add --yes; or save a plan with -o FILE and apply FILE")

// agree asks whether to carry the plan out; nil means yes.
func (a *app) agree(run *engine.Run) error {
	if !a.ask {
		return errNobody
	}
	fmt.Fprintf(a.err, "Carry out %s? [y/N] ", project.Plural(int(run.Footer().Changes()), "change"))
	a.out.Flush()
	a.err.Flush()
	answer, _ := a.in.ReadString('\n') // no answer is a no
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errDeclined
}

func (a *app) carryOut(ctx context.Context, run *engine.Run, o applying, saved *engine.SavedPlan) (int, plan.Run, error) {
	approval := engine.Approval{Saved: saved, Stops: o.approve, Emit: a.showResult}
	if run.Footer().Digest != o.approve {
		approval.Stops = ""
	}
	acc, err := run.Apply(ctx, approval)
	if stop, ok := errors.AsType[*engine.StoppedError](err); ok {
		a.stopped(stop, o)
		return exitStopped, acc, nil
	}
	if err != nil && acc.ID == 0 {
		return exitError, acc, err // it did not begin
	}
	if acc.Approved != "" {
		a.say("The limits were passed by the approval of %s.", acc.Approved)
	}
	if a.json {
		if jerr := report.Line(a.out, map[string]plan.Run{"run": acc}); jerr != nil {
			return exitError, acc, jerr
		}
	} else if run.Footer().Changes() > 0 || saved != nil {
		acc.Err, acc.Hint = "", "" // the error is printed once, with its way out
		if rerr := report.Run(a.out, acc, a.style); rerr != nil {
			return exitError, acc, rerr
		}
	}
	switch {
	case err != nil:
		return exitError, acc, err
	case acc.Failed > 0 || acc.Skipped > 0:
		return exitFailed, acc, nil
	}
	return exitOK, acc, nil
}

func (a *app) showResult(r plan.Result) {
	if a.json {
		_ = report.ResultJSON(a.out, r)
		return
	}
	_ = report.Result(a.out, r, a.style) // a reader that went away does not undo what was done
}

// stopped says on stderr what the shown plan says too: for those who look there only.
func (a *app) stopped(stop *engine.StoppedError, o applying) {
	if a.json {
		_ = report.Line(a.err, map[string]any{"stopped": stop.Stops, "sync": stop.Sync, "digest": stop.Digest})
		return
	}
	fmt.Fprintf(a.err, "Error: %v\n", stop)
	if o.approve != "" && o.approve != stop.Digest {
		fmt.Fprintf(a.err, "  way out: the plan is no longer the one with digest %s; look at it again, then approve %s\n", o.approve, stop.Digest)
		return
	}
	fmt.Fprintf(a.err, "  way out: look at the plan; if it is right: fieldsync apply %s --approve %s\n", stop.Sync, stop.Digest)
}
