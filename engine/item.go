package engine

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// spoolDecision turns a decision into units: one that carries it out, and one for each thing to show.
func (r *Run) spoolDecision(ctx context.Context, about asked, d reconcile.Decision) error {
	in := about.in
	u := unit{Link: in.Link.ID, Keys: in.Link.Key, Unseen: [2]bool{about.prints[0] == nil, about.prints[1] == nil}, Past: in.Past != nil}
	acts := r.actions(in, d)
	switch {
	case d.Life == reconcile.Stay && in.Link.ID == 0:
		r.tally.linked++
	case d.Life == reconcile.Detach && in.Link.Status != record.Detached:
		r.tally.detached++
	case d.Life == reconcile.End, d.Life == reconcile.UpdateOn && len(acts) == 0:
		r.tally.ended++
	}
	conflicts, holds := reconcile.Conflicts(r.rules, in, d), reconcile.Holds(r.rules, in, d)
	if len(acts) == 0 {
		if err := r.settleOnly(ctx, u); err != nil {
			return err
		}
	}
	for i, a := range acts {
		v := u
		v.Lead = i == 0
		if err := r.spoolItem(ctx, v, plan.Item{Action: &a}); err != nil {
			return err
		}
	}
	for _, c := range conflicts {
		if since, ok := in.Since[c.Field]; ok {
			c.Since = since
		}
		if err := r.spoolItem(ctx, u, plan.Item{Conflict: &c}); err != nil {
			return err
		}
	}
	for _, h := range holds {
		if err := r.spoolItem(ctx, u, plan.Item{Hold: &h}); err != nil {
			return err
		}
	}
	return nil
}

// actions are the writes that a decision leads to, in the order in which they are carried out.
func (r *Run) actions(in reconcile.Input, d reconcile.Decision) []plan.Action {
	var acts []plan.Action
	switch d.Life {
	case reconcile.Stay:
		for _, s := range record.Sides {
			if len(d.Sets[s]) > 0 {
				acts = append(acts, r.action(plan.Update, s, in, d))
			}
		}
	case reconcile.CreateOn:
		a := r.action(plan.Create, d.Side, in, d)
		acts = append(acts, a)
		if f, ok := r.follow(in, d); ok {
			acts = append(acts, f)
		}
	case reconcile.UpdateOn:
		if len(d.Sets[d.Side]) > 0 {
			acts = append(acts, r.action(plan.Update, d.Side, in, d))
		}
	case reconcile.DeleteOn:
		acts = append(acts, r.action(plan.Delete, d.Side, in, d))
	}
	return acts
}

func (r *Run) action(kind plan.Kind, s record.Side, in reconcile.Input, d reconcile.Decision) plan.Action {
	o := s.Other()
	a := plan.Action{
		Kind: kind, Side: s, SideName: r.name(s), Connection: r.job.Ends[s].Connection, Collection: r.job.Ends[s].Collection,
		Link: in.Link.ID, Key: in.Record[s].Key, Label: in.Record[s].Label, Version: in.Record[s].Version, Why: d.Why,
		From: plan.Ref{SideName: r.name(o), Key: in.Link.Key[o], Label: in.Record[o].Label, Version: in.Record[o].Version},
	}
	if kind != plan.Delete {
		a.Changes = reconcile.Changes(r.rules, in, d, s)
	}
	if kind == plan.Create {
		a.Key, a.Label, a.Version = "", "", ""
		for _, m := range r.rules.Match {
			if m.Marker[s] {
				a.Marker = r.rules.Sides[s].Paths[m.Slots[s]]
				break
			}
		}
	}
	return a
}

// follow previews what a create gives back to the record that it was made from: values that only the new
// record can tell, such as its number.
func (r *Run) follow(in reconcile.Input, d reconcile.Decision) (plan.Action, bool) {
	made, s := d.Side, d.Side.Other()
	a := r.action(plan.Update, s, in, d)
	a.Why, a.Changes = "", nil
	a.From = plan.Ref{SideName: r.name(made)}
	for i := range r.rules.Fields {
		f := &r.rules.Fields[i]
		if f.To[s] == nil || f.TwoWay() || f.Strength == reconcile.OnCreate || f.Strength == reconcile.IfEmpty && !allEmpty(in.Record[s].Values, f.Paths[s]) {
			continue
		}
		from := ""
		if len(f.Reads[made]) > 0 {
			from = r.rules.Sides[made].Paths[f.Reads[made][0]]
		}
		for _, slot := range f.Paths[s] {
			a.Changes = append(a.Changes, plan.Change{
				Path: r.rules.Sides[s].Paths[slot], From: in.Record[s].Values[slot], Field: f.Name, At: f.At, Sensitive: f.Sensitive,
				Why: "known when the " + r.name(made) + " is created", Pending: from,
			})
		}
	}
	return a, len(a.Changes) > 0
}

func allEmpty(values []record.Value, slots []int) bool {
	return !slices.ContainsFunc(slots, func(slot int) bool { return !values[slot].Blank() })
}

func (r *Run) settleOnly(ctx context.Context, u unit) error {
	if !r.leased {
		return nil // a preview remembers nothing
	}
	u.Lead = true
	return r.put(ctx, orderSettle, "", u)
}

func (r *Run) spoolItem(ctx context.Context, u unit, it plan.Item) error {
	u.Item = &it
	r.tally.count(it)
	order, sort := orderHold, ""
	switch {
	case it.Action != nil:
		order = orderCreate + it.Action.Kind.Rank()
		sort = strconv.Itoa(int(it.Action.Side)) + it.Action.From.Name() + "\x00" + it.Action.Key
		switch it.Action.Kind {
		case plan.Create:
		case plan.Comment: // those of one link together, as they were written
			sort = besideSort(it.Action, it.Action.Entry.Time, it.Action.Entry.ID)
		case plan.Attachment:
			sort = besideSort(it.Action, it.Action.File.Time, it.Action.File.ID)
		default:
			sort = strconv.Itoa(int(it.Action.Side)) + it.Action.Label + "\x00" + it.Action.Key
		}
	case it.Conflict != nil:
		order, sort = orderConflict, it.Conflict.Keys[0]+"\x00"+it.Conflict.Keys[1]+"\x00"+it.Conflict.Field
	case it.Hold != nil:
		sort = it.Hold.Keys[0] + "\x00" + it.Hold.Keys[1] + "\x00" + it.Hold.Field
	}
	return r.put(ctx, order, sort, u)
}

func besideSort(a *plan.Action, at time.Time, id string) string {
	return fmt.Sprintf("%d%s\x00%019d%s%s", a.Side, a.Label, a.Link, at.Format("2006-01-02T15:04:05.000000000"), id)
}

func (r *Run) put(ctx context.Context, order int, sort string, u unit) error {
	data, err := u.encode()
	if err != nil {
		return fmt.Errorf("write down the plan: %w", err)
	}
	return r.add(ctx, Spooled{Order: order, Sort: sort, Data: data})
}

func (r *Run) add(ctx context.Context, it Spooled) error {
	if r.adding = append(r.adding, it); len(r.adding) >= spoolBatch {
		return r.added(ctx)
	}
	return nil
}

// added brings what add has gathered into the spool.
func (r *Run) added(ctx context.Context) error {
	err := r.spool.Add(ctx, r.adding)
	r.adding = r.adding[:0]
	return err
}
