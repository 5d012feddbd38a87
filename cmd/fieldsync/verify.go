package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/record"
	"github.com/fieldsync/fieldsync/engine/report"
	"github.com/fieldsync/fieldsync/engine/verify"
)

// A verification is one call of fieldsync verify.
type verification struct {
	app *app
	*project.Project
	opts     verify.Options
	live     bool
	picked   []*mapping.Sync
	subjects map[*mapping.Sync]*verify.Subject
	blind    []string // what is not known, and why
}

// A verifyView is what came of it, for programs.
type verifyView struct {
	Seed    uint64           `json:"seed"`
	Kept    bool             `json:"kept"`
	Reports []*verify.Report `json:"reports"`
	Trips   []tripView       `json:"round_trips,omitempty"`
	Unknown []string         `json:"unknown,omitempty"`
	Saved   *savedView       `json:"saved,omitempty"`
}

func (a *app) verifyCmd() *cobra.Command {
	var o verify.Options
	var live, save bool
	c := &cobra.Command{
		Use:   "verify [SYNC…]",
		Short: "live thousands of made-up histories by the rules, until one breaks a promise",
		Long: `Makes up records that both sides agree on, lets people edit, clear, create and delete on both
sides, and runs the mapping's own rules with the real decisions until nothing is left to
do. Each value that the mapping names for a path (rows, orders, comparisons, tests) is tried
by itself, then random histories follow. It finds

  rules that never come to rest, alone or with another sync on the same records
  a two-way field whose values do not come back as what they were
  a value without a row, an order that misses one, an expression that fails on one
  what a system refuses or cuts (with --live, from its lengths, choices and required fields)

and prints the shortest story of each: what both sides agreed on, who edited what, what each run
did by which rule, and which promise that breaks. Nothing is contacted and nothing written,
except with

  --live   reads the fields and at most 200 records of each side, and sends their values
           through every two-way rule and back
  --save   writes each story as a test block into verified.hcl beside the mapping; fieldsync test
           fails with it until the mapping is mended

The same seed gives the same histories. Exit code 1 if a promise was broken.`,
		Example: `  fieldsync verify
  fieldsync verify ticket_to_incident --histories 50000 --seed 7
  fieldsync verify --live
  fieldsync verify --save && fieldsync test`,
		ValidArgsFunction: a.completeSyncs,
		RunE: func(c *cobra.Command, args []string) error {
			if o.Histories < 1 {
				return project.Hinted(fmt.Errorf("--histories %d is not enough", o.Histories), "write a number from 1 on")
			}
			p, err := a.openToRun()
			if err != nil {
				return err
			}
			defer p.Close()
			v := &verification{app: a, Project: p, opts: o, live: live, subjects: map[*mapping.Sync]*verify.Subject{}}
			if v.picked, err = p.Pick(args); err != nil {
				return err
			}
			return v.run(c.Context(), save)
		},
	}
	c.Flags().IntVar(&o.Histories, "histories", 5000, "how many histories of each sync")
	c.Flags().Uint64Var(&o.Seed, "seed", 1, "other histories")
	c.Flags().BoolVar(&live, "live", false, "ask the systems for their fields, and try the values of some real records")
	c.Flags().BoolVar(&save, "save", false, "write what is found as test blocks")
	return c
}

func (v *verification) run(ctx context.Context, save bool) error {
	view := verifyView{Seed: v.opts.Seed, Kept: true, Reports: []*verify.Report{}}
	for _, s := range v.picked {
		trips, err := v.subject(ctx, s)
		if err != nil {
			return project.InSync(s.Name, err)
		}
		view.Trips = append(view.Trips, trips...)
	}
	view.Unknown = v.blind
	begun := v.app.now()
	b := v.app.startBar()
	defer b.stop()
	for i, s := range v.picked {
		view.Reports = append(view.Reports, verify.Alone(v.subjects[s], v.options(ctx, b, s.Name)))
		for _, other := range v.picked[:i] {
			names := other.Name + " with " + s.Name
			if r := verify.Together(v.subjects[other], v.subjects[s], v.options(ctx, b, names)); r != nil {
				view.Reports = append(view.Reports, r)
			}
		}
	}
	b.stop()
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, r := range view.Reports {
		view.Kept = view.Kept && len(r.Findings) == 0
	}
	view.Kept = view.Kept && !slices.ContainsFunc(view.Trips, func(t tripView) bool { return t.broken() })
	if save {
		saved, err := v.save(view.Reports)
		if err != nil {
			return err
		}
		view.Saved = saved
	}
	if v.app.json {
		if err := report.JSON(v.app.out, view); err != nil {
			return err
		}
	} else {
		v.app.printVerified(&view, v.app.now().Sub(begun))
	}
	if !view.Kept {
		return exit(exitError)
	}
	return nil
}

// options let an interrupt end the histories, and show how far they are.
func (v *verification) options(ctx context.Context, b *bar, name string) verify.Options {
	o := v.opts
	o.Progress = func(done, total int) bool {
		if b != nil {
			b.step(engine.Progress{Sync: name, Phase: "histories", Done: int64(done), Total: int64(total)})
		}
		return ctx.Err() == nil
	}
	return o
}

// subject readies a sync; with --live it also asks both systems and tries some of their records.
func (v *verification) subject(ctx context.Context, s *mapping.Sync) ([]tripView, error) {
	var schemas [2]*connectors.Schema
	var sampled [2]map[string][]record.Value
	var samples [2][]record.Record
	if v.live {
		for i, side := range s.Sides {
			e, err := v.End(ctx, side)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", side.Name, err)
			}
			if schemas[i] = e.Schema; e.Schema == nil || e.Schema.Hidden {
				v.unknown(side, "does not describe its fields to this user")
			}
			if samples[i], err = sample(ctx, e.Col, side.Query, s.Paths[i]); err != nil {
				return nil, fmt.Errorf("%s: %w", side.Name, err)
			}
		}
	} else {
		for _, side := range s.Sides {
			v.unknown(side, "was not asked for its fields")
		}
	}
	real, diags := v.Compile(s, schemas)
	if diags.HasErrors() {
		return nil, project.Diagnosed{Files: v.Files, Diags: diags}
	}
	for i := range samples {
		sampled[i] = words(real.Rules, i, samples[i])
	}
	sub, diags := v.Subject(s, schemas, sampled)
	if diags.HasErrors() {
		return nil, project.Diagnosed{Files: v.Files, Diags: diags}
	}
	v.subjects[s] = sub
	if !v.live {
		return nil, nil
	}
	return v.trips(ctx, s, real, sub, samples)
}

// unknown notes once what is not known of a collection.
func (v *verification) unknown(side mapping.Side, why string) {
	line := fmt.Sprintf("%s of connection %s %s", side.Collection, side.Connection.Name, why)
	if !slices.Contains(v.blind, line) {
		v.blind = append(v.blind, line)
	}
}

// name is what the histories of a report were about.
func reportName(r *verify.Report) string { return strings.Join(r.Syncs, " with ") }
