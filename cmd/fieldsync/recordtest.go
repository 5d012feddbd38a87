package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
	"github.com/fieldsync/fieldsync/engine/report"
)

// recordTest writes a record as it is, its twin and what both last agreed on as a test block.
func (a *app) recordTest(ctx context.Context, sync, key string) error {
	p, err := a.openProject()
	if err != nil {
		return err
	}
	defer p.Close()
	s, err := theSync(p, sync, true)
	if err == nil {
		err = p.OpenState(project.ReadState)
	}
	var job engine.Job
	if err == nil {
		job, err = p.Job(ctx, s, project.JobOptions{Preview: true, Trigger: "test"})
	}
	if err != nil {
		return err
	}
	var base, now [2]record.Fields
	var gone [2]bool
	var names []string
	x, err := p.Engine(nil).Explain(ctx, job, key)
	switch {
	case err == nil:
		for _, side := range record.Sides {
			if x.Input.Presence[side] == reconcile.OutOfScope {
				return project.Hinted(fmt.Errorf("%s is out of the sync's scope", x.Input.Record[side].Name()), "a test knows no scope: record one that is in it")
			}
			gone[side] = x.Input.Presence[side] == reconcile.Gone
			base[side], now[side] = recorded(x.Rules.Sides[side].Paths, x.Input.Link.Base[side], x.Input.Record[side].Values)
			if key := x.Input.Link.Key[side]; key != "" {
				names = append(names, cmpName(x.Input.Record[side], x.Input.Link.Label[side], key))
			}
		}
	case errors.Is(err, engine.ErrNoLink): // not linked yet: one side alone
		recs, err := p.Engine(nil).Look(ctx, job, key, [2][]string{})
		if err != nil {
			return err
		}
		for side, rec := range recs {
			if rec != nil {
				_, now[side] = recorded(job.Rules.Sides[side].Paths, nil, rec.Values)
				names = append(names, rec.Name())
			}
		}
	default:
		return err
	}
	name := "recorded: " + names[0]
	if len(names) > 1 {
		name += " and " + names[1]
	}
	sensitive := map[string]bool{}
	for _, f := range job.Rules.Fields {
		sensitive[f.Name] = f.Sensitive
	}
	t, err := p.Recorded(name, s, base, now, gone, func(field string) bool { return sensitive[field] })
	if err != nil {
		return err
	}
	src := s.Source(t)
	if a.json {
		return report.JSON(a.out, map[string]string{"name": name, "sync": s.Name, "source": string(src)})
	}
	_, err = a.out.Write(src)
	return err
}

func cmpName(rec record.Record, label, key string) string {
	switch {
	case rec.Label != "":
		return rec.Label
	case label != "":
		return label
	}
	return key
}

// recorded are the values that were agreed on, and those that differ from them now; all of them where nothing was.
func recorded(paths []string, base, now []record.Value) (agreed, moved record.Fields) {
	for slot, path := range paths {
		var was record.Value
		if slot < len(base) {
			was = base[slot]
		}
		if was.Known() && !was.Empty() {
			if agreed == nil {
				agreed = record.Fields{}
			}
			agreed[path] = was
		}
		if slot >= len(now) || !now[slot].Known() || now[slot] == was || now[slot].Empty() && !was.Known() {
			continue
		}
		if moved == nil {
			moved = record.Fields{}
		}
		moved[path] = now[slot]
	}
	return agreed, moved
}
