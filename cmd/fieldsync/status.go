package main

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/report"
)

func (a *app) statusCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "show what is linked, when each sync last ran, and what is stuck",
		Long: `Shows one line for each sync: its links, what waits, writes whose outcome is not settled
yet, and the last run. Reads the state only; contacts no system. When
"fieldsync serve" runs with this folder, shows its view: next runs, and whether the
files as they are now are the rules in force.`,
		Example: `  fieldsync status
  fieldsync status --json | jq '.syncs[] | select(.held > 0) | .sync'`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, diags, err := a.parse()
			if err != nil {
				return err
			}
			if running := a.service(c.Context(), cfg); running != nil {
				return a.statusOf(running)
			}
			if diags.HasErrors() {
				return diagnosed{cfg.Files, diags}
			}
			p, err := a.project(cfg)
			if err != nil {
				return err
			}
			defer p.Close()
			if err := p.openState(readState); err != nil {
				return err
			}
			list, err := p.statuses(c.Context(), p.state)
			if err != nil {
				return err
			}
			if a.json {
				return report.JSON(a.out, map[string]any{"syncs": list})
			}
			return report.StatusTable(a.out, list, a.now(), a.style)
		},
	}
}

// statusOf shows what a running service says: only it knows the next runs, and whether the files as they are now
// are those in force.
func (a *app) statusOf(st *serviceStatus) error {
	if a.json {
		return report.JSON(a.out, st)
	}
	a.sayService(st)
	return report.StatusTable(a.out, st.Syncs, a.now(), a.style)
}

// statuses joins what the mapping names with what the state knows: in the order they run in, then what the mapping lost.
func (p *project) statuses(ctx context.Context, store engine.Store) ([]report.Status, error) {
	known, err := store.Syncs(ctx)
	if err != nil {
		return nil, err
	}
	paused, err := pausesOf(ctx, store)
	if err != nil {
		return nil, err
	}
	list := []report.Status{}
	fill := func(s *report.Status) {
		if i := slices.IndexFunc(known, func(k engine.SyncStatus) bool { return k.Sync == s.Sync }); i >= 0 {
			k := known[i]
			s.Links, s.Detached, s.Conflicts, s.Held, s.Intents, s.LastRun, s.LastGood = k.Links, k.Detached, k.Conflicts, k.Held, k.Intents, k.LastRun, k.LastGood
			s.Waits = waitingPlan(k)
		}
		if pause := paused[s.Sync]; pause != nil {
			s.Paused = &report.Paused{By: pause.By, At: pause.At, Why: pause.Why}
		}
	}
	for _, m := range inOrder(p.Syncs) {
		s := report.Status{Sync: m.Name, Known: true, Schedule: m.Schedule, After: m.After}
		fill(&s)
		list = append(list, s)
	}
	for _, k := range known {
		if _, ok := p.Sync(k.Sync); !ok {
			s := report.Status{Sync: k.Sync}
			fill(&s)
			list = append(list, s)
		}
	}
	return list, nil
}

func (a *app) runsCmd() *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use:   "runs [SYNC]",
		Short: "list the latest runs",
		Example: `  fieldsync runs
  fieldsync runs ticket_to_incident -n 100 --json`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeSyncs,
		RunE: func(c *cobra.Command, args []string) error {
			p, err := a.openProject()
			if err != nil {
				return err
			}
			defer p.Close()
			if err := p.openState(readState); err != nil {
				return err
			}
			runs := []plan.Run{}
			err = p.state.Runs(c.Context(), first(args), limit, func(r plan.Run) error {
				runs = append(runs, r)
				return nil
			})
			if err != nil {
				return err
			}
			if a.json {
				return report.JSON(a.out, runs)
			}
			return report.Runs(a.out, runs, a.now(), a.style)
		},
	}
	c.Flags().IntVarP(&limit, "number", "n", 20, "how many")
	return c
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}
