package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"

	"github.com/spf13/cobra"

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
		if err := p.openState(readState); err != nil {
			return err
		}
		list := []report.Waiting{}
		err = p.state.Waiting(c.Context(), first(args), func(w engine.Waiting) error {
			if v := p.waiting(w); wanted(v) {
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

func (p *project) waiting(w engine.Waiting) report.Waiting {
	v := report.Waiting{Conflict: w.Conflict, Hold: w.Hold}
	switch {
	case w.Conflict != nil:
		v.Sides = p.sidesOf(w.Conflict.Sync)
	case w.Hold != nil:
		v.Sides = p.sidesOf(w.Hold.Sync)
	}
	if w.Choice != nil {
		v.Take, v.By = v.Sides[w.Choice.Side], w.Choice.By
	}
	return v
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
			s, err := p.sync(args[0])
			if err != nil {
				return err
			}
			side, err := sideNamed(p.sidesOf(s.Name), take)
			if err != nil {
				return err
			}
			if err := p.openState(writeState); err != nil {
				return err
			}
			return a.resolve(c.Context(), p, s, args[1], args[2], side)
		},
	}
	c.Flags().StringVar(&take, "take", "", "the `SIDE` whose value wins")
	return c
}

func (a *app) resolve(ctx context.Context, p *project, s *mapping.Sync, key, field string, side record.Side) error {
	job, err := p.job(ctx, s, jobOptions{preview: true, trigger: "resolve"})
	if err != nil {
		return err
	}
	by := a.person()
	if err := p.engine(nil).Resolve(ctx, job, key, field, side, by); err != nil {
		return hinted{err, "fieldsync conflicts " + s.Name + " lists those that wait"}
	}
	names := p.sidesOf(s.Name)
	if err := p.note(ctx, "resolve", s.Name+" "+key+" "+field, "take "+names[side]); err != nil {
		return err
	}
	v := report.Waiting{Sides: names, Take: names[side], By: by}
	err = p.state.Waiting(ctx, s.Name, func(w engine.Waiting) error {
		if c := w.Conflict; c != nil && c.Field == field && (key == c.Keys[0] || key == c.Keys[1] || key == c.Labels[0] || key == c.Labels[1]) {
			v = p.waiting(w)
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

func sideNamed(names [2]string, name string) (record.Side, error) {
	for _, s := range record.Sides {
		if names[s] == name {
			return s, nil
		}
	}
	hint := "add --take " + names[0] + " or --take " + names[1]
	if name == "" {
		return 0, hinted{errors.New("no side was named"), hint}
	}
	return 0, hinted{fmt.Errorf("there is no side %q", name), hint}
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
