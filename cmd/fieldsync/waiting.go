package main

import (
	"context"
	"os"
	"os/user"

	"github.com/spf13/cobra"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/record"
	"github.com/fieldsync/fieldsync/engine/report"
)

func (a *app) conflictsCmd() *cobra.Command {
	return a.waitingCmd(&cobra.Command{
		Use:   "conflicts [SYNC]",
		Short: "list the conflicts that wait for a person, oldest first",
		Example: `  fieldsync conflicts
  fieldsync conflicts ticket_to_incident --json`,
	}, func(w report.Waiting) bool { return w.Conflict != nil }, func(list []report.Waiting) error {
		return report.Conflicts(a.out, list, a.now(), a.style)
	})
}

func (a *app) holdsCmd() *cobra.Command {
	return a.waitingCmd(&cobra.Command{
		Use:   "holds [SYNC]",
		Short: "list what waits because something is wrong with it: since when, why, and the way out",
		Example: `  fieldsync holds
  fieldsync holds --json | jq -r '.[].hold.cause' | sort | uniq -c`,
	}, func(w report.Waiting) bool { return w.Hold != nil }, func(list []report.Waiting) error {
		return report.Holds(a.out, list, a.now(), a.style)
	})
}

func (a *app) waitingCmd(c *cobra.Command, wanted func(report.Waiting) bool, show func([]report.Waiting) error) *cobra.Command {
	c.Args = cobra.MaximumNArgs(1)
	c.ValidArgsFunction = a.completeSyncs
	c.RunE = func(c *cobra.Command, args []string) error {
		p, err := a.openProject()
		if err != nil {
			return err
		}
		defer p.Close()
		if err := p.OpenState(project.ReadState); err != nil {
			return err
		}
		list := []report.Waiting{}
		err = p.State.Waiting(c.Context(), first(args), func(w engine.Waiting) error {
			if v := p.WaitingView(w); wanted(v) {
				list = append(list, v)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if a.json {
			for i, w := range list {
				if w.Conflict != nil {
					hidden := report.RedactConflict(*w.Conflict)
					list[i].Conflict = &hidden
				}
			}
			return report.JSON(a.out, list)
		}
		return show(list)
	}
	return c
}

func (a *app) resolveCmd() *cobra.Command {
	var take string
	c := &cobra.Command{
		Use:   "resolve SYNC KEY FIELD --take SIDE",
		Short: "decide a conflict in favour of one side",
		Long: `Records the decision; the next apply or scheduled run carries it out, and plan shows it
before. It holds only while both sides still show what they show now: when one of them
changes in between, the conflict is asked again.

KEY is the key or the label of the record on either side. The losing value goes to
history.`,
		Example: `  fieldsync conflicts
  fieldsync resolve ticket_to_incident T-1009 urgency --take ticket
  fieldsync plan ticket_to_incident`,
		Args:              cobra.ExactArgs(3),
		ValidArgsFunction: a.completeSyncs,
		RunE: func(c *cobra.Command, args []string) error {
			p, err := a.openProject()
			if err != nil {
				return err
			}
			defer p.Close()
			s, err := p.Find(args[0])
			if err != nil {
				return err
			}
			side, err := project.SideNamed(p.SidesOf(s.Name), take)
			if err != nil {
				return err
			}
			if err := p.OpenState(project.WriteState); err != nil {
				return err
			}
			return a.resolve(c.Context(), p, s, args[1], args[2], side)
		},
	}
	c.Flags().StringVar(&take, "take", "", "the `SIDE` whose value wins")
	return c
}

func (a *app) resolve(ctx context.Context, p *project.Project, s *mapping.Sync, key, field string, side record.Side) error {
	job, err := p.Job(ctx, s, project.JobOptions{Preview: true, Trigger: "resolve"})
	if err != nil {
		return err
	}
	by := a.person()
	if err := p.Engine(nil).Resolve(ctx, job, key, field, side, by); err != nil {
		return project.Hinted(err, "fieldsync conflicts "+s.Name+" lists those that wait")
	}
	names := p.SidesOf(s.Name)
	if err := p.Note(ctx, a.person(), "resolve", s.Name+" "+key+" "+field, "take "+names[side]); err != nil {
		return err
	}
	v := report.Waiting{Sides: names, Take: names[side], By: by}
	err = p.State.Waiting(ctx, s.Name, func(w engine.Waiting) error {
		if c := w.Conflict; c != nil && c.Field == field && (key == c.Keys[0] || key == c.Keys[1] || key == c.Labels[0] || key == c.Labels[1]) {
			v = p.WaitingView(w)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if a.json {
		if v.Conflict != nil {
			hidden := report.RedactConflict(*v.Conflict)
			v.Conflict = &hidden
		}
		return report.JSON(a.out, v)
	}
	switch c := v.Conflict; {
	case c == nil || c.Sensitive:
		a.say("%s: the value of %s wins.", field, names[side])
	default:
		a.say("%s: %s %s wins over %s %s.", field, names[side], report.Value(c.Now[side]), names[side.Other()], report.Value(c.Now[side.Other()]))
	}
	a.say("The next apply or scheduled run carries it out; fieldsync plan %s shows it before.", s.Name)
	return nil
}

// person says who decides, for the record.
func (a *app) person() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	u, err := user.Current()
	if err == nil {
		return u.Username + "@" + host
	}
	if name, ok := a.getenv("USER"); ok {
		return name + "@" + host
	}
	return host
}
