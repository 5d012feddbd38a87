package service

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/console"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
	"github.com/fieldsync/fieldsync/engine/report"
)

// A shape is what has to be known of a sync to show what is remembered of it: its rules, without asking any system.
type shape struct {
	fields []reconcile.Rule
	paths  [2][]string
	at     map[string]string
}

// shapeOf is nil where the mapping has the sync no more, or its rules cannot be compiled.
func shapeOf(ctx context.Context, p *project.Project, sync string) *shape {
	m, ok := p.Sync(sync)
	if !ok {
		return nil
	}
	c, diags := p.Rules(ctx, m, false)
	if diags.HasErrors() {
		return nil
	}
	return &shape{c.Rules.Fields, [2][]string{c.Rules.Sides[0].Paths, c.Rules.Sides[1].Paths}, m.FieldsAt()}
}

// rule finds a rule by name; nil if there is none.
func (s *shape) rule(name string) *reconcile.Rule {
	i := slices.IndexFunc(s.fields, func(f reconcile.Rule) bool { return f.Name == name })
	if i < 0 {
		return nil
	}
	return &s.fields[i]
}

// sensitive reports whether the values of a path are hidden. Those of a path that no rule is about any more are: nobody
// can say that they may be shown.
func (s *shape) sensitive(side record.Side, path string) bool {
	if s == nil {
		return true
	}
	slot := slices.Index(s.paths[side], path)
	if slot < 0 {
		return true
	}
	return slices.ContainsFunc(s.fields, func(f reconcile.Rule) bool {
		return f.Sensitive && (slices.Contains(f.Paths[side], slot) || slices.Contains(f.Reads[side], slot))
	})
}

func (b *backend) Run(ctx context.Context, id int64) (console.Run, error) {
	r, release := b.hold()
	defer release()
	acc, err := b.state.RunByID(ctx, id)
	if err != nil {
		return console.Run{}, err
	}
	if acc == nil {
		return console.Run{}, fmt.Errorf("%w: there is no run %d", console.ErrNotFound, id)
	}
	v := console.Run{Run: *acc, Sides: r.SidesOf(acc.Sync), Steps: []console.Step{}}
	progress, steps, left, ok := b.live.run(id)
	if ok {
		v.Running, v.Steps, v.Missing = progress, steps, leftOut(left)
		if progress != nil { // the account is written at the end
			v.Done, v.Skipped, v.Failed = outcomes(steps)
		}
		return v, nil
	}
	if acc.Ended.IsZero() {
		var x excerpt
		found, err := b.pinned(ctx, runSlip(acc.Sync), &x)
		if err != nil {
			return v, err
		}
		if found && x.Progress.Run == id {
			v.Running, v.Steps, v.Missing = &x.Progress, x.Steps, x.missing()
			v.Done, v.Skipped, v.Failed = x.Done, x.Skipped, x.Failed
			return v, nil
		}
	}
	if v.Steps, err = b.remembered(ctx, r, *acc); err == nil && (len(v.Steps) > 0 || acc.Done+acc.Failed+acc.Skipped > 0) {
		v.Missing = "Told from the history: what was replaced on records. Comments, files, and what was skipped or failed are in the counts alone."
	}
	return v, err
}

// remembered are the steps of a run as far as the history has them.
func (b *backend) remembered(ctx context.Context, r *ruleset, acc plan.Run) ([]console.Step, error) {
	sh := shapeOf(ctx, r.Project, acc.Sync)
	names := r.SidesOf(acc.Sync)
	book, err := b.state.Book(ctx, acc.Sync, [2][]string{}, 0)
	if err != nil {
		return nil, err
	}
	steps, n := []console.Step{}, 0
	type touched struct { // a record, by the run or by somebody else
		side record.Side
		key  string
		own  bool
	}
	at := map[touched]int{}
	links := map[int64]*record.Link{}
	err = b.state.Wrote(ctx, acc.ID, func(x engine.Entry) error {
		if n++; n > keptAll {
			return project.ErrEnough
		}
		own := x.Cause == engine.ByEdit
		id := touched{x.Side, x.Key, own}
		i, ok := at[id]
		if !ok {
			if len(steps) == keptSteps {
				return project.ErrEnough
			}
			a := &plan.Action{Kind: plan.Update, Side: x.Side, SideName: names[x.Side], Link: x.Link, Key: x.Key, Changes: []plan.Change{}}
			l, seen := links[x.Link]
			if !seen && x.Link != 0 {
				if l, err = book.LinkByID(ctx, x.Link); err != nil {
					return err
				}
				links[x.Link] = l
			}
			if l != nil {
				o := x.Side.Other()
				a.Label = l.Label[x.Side]
				a.From = plan.Ref{SideName: names[o], Key: l.Key[o], Label: l.Label[o]}
			}
			i = len(steps)
			at[id] = i
			steps = append(steps, console.Step{Item: plan.Item{Action: a}, Own: own, Outcome: plan.Done})
			if own {
				steps[i].Outcome = ""
			}
		}
		a := steps[i].Action
		switch x.Cause {
		case engine.Made:
			a.Kind = plan.Create
			return nil
		case engine.Removed:
			a.Kind = plan.Delete
			return nil
		case engine.Jumped:
			return nil
		}
		c := plan.Change{Path: x.Path, From: x.Value, To: x.By, Field: x.Rule, Sensitive: sh.sensitive(x.Side, x.Path)}
		if sh != nil {
			c.At = sh.at[x.Rule]
		}
		if x.Cause != engine.ByRule {
			c.Why = project.Replacer(x)
		}
		a.Changes = append(a.Changes, c)
		return nil
	})
	if err != nil && !errors.Is(err, project.ErrEnough) {
		return nil, err
	}
	for i := range steps {
		steps[i].Item = report.Redact(steps[i].Item)
	}
	return steps, nil
}
