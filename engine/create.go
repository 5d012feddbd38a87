package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// create makes the missing record, and writes back to its twin what only the new record could tell.
func (c *carrier) create(ctx context.Context, ld loaded) error {
	acts := ld.acts
	a := acts[0]
	if !c.allowed(a) {
		c.leaveUnsettled()
		return nil
	}
	var w written
	w.failed[a.Side] = true
	w.wait = len(acts) > 1 // a run that dies before the write-back must leave both records to be looked at
	if err := c.afterWrite(ctx, &ld, &w, a, c.make(ctx, a, &ld)); err != nil {
		return err
	}
	rec := w.record[a.Side]
	if rec == nil || len(acts) < 2 {
		return nil
	}
	back := acts[1]
	if !c.allowed(back) {
		c.leaveUnsettled()
		return nil
	}
	stored, err := c.r.book.LinkByID(ctx, ld.in.Link.ID)
	if err != nil || stored == nil {
		return errors.Join(err, errors.New("the link that was just stored cannot be found"))
	}
	next := loaded{keys: stored.Key, turn: ld.turn, in: reconcile.Input{Link: *stored, Time: ld.in.Time, Clock: ld.in.Clock, Record: ld.in.Record}}
	next.in.Record[a.Side] = *rec
	made := newPrinter(c.r.rules.Digest).of(rec.Key, rec.Values)
	next.prints = ld.prints
	if next.prints[a.Side] = &made; !c.r.enters(a.Side, rec.Values) {
		next.prints[a.Side] = mark(rec.Key, markUnproved)
	}
	if next.d, err = c.r.decideOne(ctx, &next.in); err != nil {
		return err
	}
	if a.Link != 0 {
		acceptBlanks(&next.d, back.Side)
	}
	for i := range w.holds {
		h := &w.holds[i]
		h.Link, h.Keys, h.Labels[a.Side] = stored.ID, stored.Key, rec.Label
	}
	c.stayOut(&next.d, w.holds)
	c.onlyPlanned(&next.d, back)
	if len(next.d.Sets[back.Side]) == 0 {
		if err := c.r.book.Fold(ctx, []Fold{c.r.outcome(next, written{holds: w.holds})}); err != nil {
			return fmt.Errorf("remember: %w", err)
		}
		back.Changes = nil
		c.result(plan.Result{Action: back, Outcome: plan.Done, Why: "the new record gave nothing to write back"})
		return nil
	}
	back.Link, back.Changes = next.in.Link.ID, reconcile.Changes(c.r.rules, next.in, next.d, back.Side)
	back.From = plan.Ref{SideName: c.r.name(a.Side), Key: rec.Key, Label: rec.Label, Version: rec.Version}
	return c.afterWrite(ctx, &next, &written{failed: [2]bool{back.Side == 0, back.Side == 1}, holds: w.holds}, back, c.update(ctx, back, &next))
}

// acceptBlanks keeps what the surviving record shows where the one that was made again in its place, and leads,
// has nothing: nobody cleared it, it could not be written.
func acceptBlanks(d *reconcile.Decision, s record.Side) {
	d.Sets[s] = slices.DeleteFunc(d.Sets[s], func(set reconcile.Set) bool {
		if set.Rule < 0 || !set.To.Empty() {
			return false
		}
		v := &d.Verdicts[set.Rule]
		v.Outcome, v.Holds, v.To, v.Why = reconcile.Keep, false, [2][]record.Value{}, "the record was made again without it"
		return true
	})
}

// onlyPlanned takes out of a decision what the preview did not announce; the next run plans it.
func (c *carrier) onlyPlanned(d *reconcile.Decision, back plan.Action) {
	announced := make(map[string]bool)
	for _, ch := range back.Changes {
		announced[ch.Path] = true
	}
	s := back.Side
	drop := func(set reconcile.Set) bool { return !announced[c.r.rules.Sides[s].Paths[set.Slot]] }
	leave := func(rule int) {
		d.Verdicts[rule].Outcome, d.Verdicts[rule].Why = reconcile.Hold, "the new record asks for a write that the preview did not announce; the next run plans it"
	}
	for _, set := range d.Sets[s] {
		if drop(set) && set.Rule >= 0 {
			leave(set.Rule)
		}
	}
	d.Sets[s] = slices.DeleteFunc(d.Sets[s], drop)
	if len(d.Sets[s.Other()]) > 0 {
		for _, set := range d.Sets[s.Other()] {
			if set.Rule >= 0 {
				leave(set.Rule)
			}
		}
		d.Sets[s.Other()] = nil
	}
}

// make creates the record with its marker; after a lost answer it is looked for by the marker. Fields that the system
// refuses by name are held, and the record is made without them.
func (c *carrier) make(ctx context.Context, a plan.Action, ld *loaded) step {
	return c.leavingOut(ctx, a, ld, c.build)
}

// build makes one try at a create.
func (c *carrier) build(ctx context.Context, a plan.Action, ld loaded) step {
	s := a.Side
	cr, ok := connectors.As[connectors.Creator](c.r.job.Ends[s].Handle)
	if !ok {
		return c.refused(a, ld, &connectors.Error{Kind: connectors.ErrRefused, Op: "create " + a.Collection, Detail: "this system cannot create records through this connector"})
	}
	in := ld.intent
	refused := func(err error) step {
		st := c.refused(a, ld, err)
		st.intent = in.number()
		return st
	}
	if err := c.markerFits(a, c.fields(ld.d, s)[a.Marker]); err != nil {
		return refused(err)
	}
	if a.Link != 0 && a.Marker != "" { // made anew: somebody may have made a copy of the old one
		found, err := c.r.marked(ctx, s, a.Marker, c.fields(ld.d, s)[a.Marker])
		if err != nil {
			return refused(err)
		}
		if len(found) > 0 {
			return refused(&connectors.Error{Kind: connectors.ErrRefused, Op: "create " + a.Collection, Detail: found[0].Name() + " carries its marker already",
				Hint: "remove that copy, or link it by hand"})
		}
	}
	if err := c.intended(ctx, &in, a, &ld, ""); err != nil {
		return step{err: err}
	}
	if err := c.begin(ctx); err != nil {
		return step{intent: in.number(), err: err}
	}
	rec, err := cr.Create(ctx, c.r.rules.Sides[s].Paths, in.New)
	if err == nil {
		st := step{rec: owned(rec), intent: in.ID, res: plan.Result{Action: a, Outcome: plan.Done, Key: rec.Key, Label: rec.Label}}
		c.compare(&st, ld.d, s)
		return st
	}
	if unknownOutcome(err) {
		found, ferr := c.r.marked(ctx, s, a.Marker, in.New[a.Marker])
		if ferr == nil && len(found) == 1 {
			return step{rec: &found[0], intent: in.ID, res: plan.Result{Action: a, Outcome: plan.Done, Key: found[0].Key, Label: found[0].Label,
				Why: "the answer was lost, the record was found by its marker"}}
		}
		return c.unsure(a, in.ID, err)
	}
	st := refused(err)
	st.cause = err
	return st
}

// markerFits refuses a marker that the system would cut: the record could not be found again by it, and two whose
// beginnings are the same would be one.
func (c *carrier) markerFits(a plan.Action, marker record.Value) error {
	schema := c.r.job.Ends[a.Side].Schema
	if schema == nil || a.Marker == "" {
		return nil
	}
	f, ok := schema.Field(a.Marker)
	if n := utf8.RuneCountInString(marker.Plain()); ok && f.MaxLength > 0 && n > f.MaxLength {
		return &connectors.Error{Kind: connectors.ErrRefused, Op: "create " + a.Collection, Fields: []string{a.Marker},
			Detail: fmt.Sprintf("its marker has %d characters and %s holds %d", n, a.Marker, f.MaxLength),
			Hint:   "match on a shorter path, or on one that holds more"}
	}
	return nil
}

// marked finds records by the marker of a create, in the order in which the system gives them. Rules that were
// edited since may not name the marker's path any more: it is asked for beside theirs.
func (r *Run) marked(ctx context.Context, s record.Side, marker string, value record.Value) ([]record.Record, error) {
	paths := r.rules.Sides[s].Paths
	n := len(paths)
	slot := slices.Index(paths, marker)
	if slot < 0 {
		paths, slot = append(slices.Clone(paths), marker), n
	}
	var found []record.Record
	err := r.find(ctx, s, paths, slot, []record.Value{value}, func(rec record.Record) error {
		rec = rec.Clone()
		rec.Values = rec.Values[:n]
		found = append(found, rec)
		return nil
	})
	return found, err
}
