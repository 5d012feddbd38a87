package engine

import (
	"context"
	"errors"
	"slices"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// leavingOut tries a write until it is done, or refused without a word on a field that could be left out of it.
func (c *carrier) leavingOut(ctx context.Context, a plan.Action, ld *loaded, try func(context.Context, plan.Action, loaded) step) step {
	var left []plan.Hold
	for {
		st := try(ctx, a, *ld)
		holds := c.leaveOut(a, ld, st.cause)
		if holds == nil {
			return st.without(left)
		}
		if err := c.r.book.Fold(ctx, []Fold{{Intent: st.intent}}); err != nil {
			return step{err: err}
		}
		left, ld.intent = append(left, holds...), nil
	}
}

// leaveOut takes the fields out of a decision that the system named as the cause of a refusal, and returns their holds.
// None where it named nothing that is being written, or where nothing else would be left.
func (c *carrier) leaveOut(a plan.Action, ld *loaded, err error) []plan.Hold {
	e, ok := errors.AsType[*connectors.Error](err)
	if !ok || !errors.Is(err, connectors.ErrRefused) && !errors.Is(err, connectors.ErrDenied) && !errors.Is(err, connectors.ErrConfig) {
		return nil
	}
	s := a.Side
	var named []int
	for _, set := range ld.d.Sets[s] {
		if !slices.Contains(e.Fields, c.r.rules.Sides[s].Paths[set.Slot]) {
			continue
		}
		if set.Rule < 0 {
			return nil
		}
		if !slices.Contains(named, set.Rule) {
			named = append(named, set.Rule)
		}
	}
	isNamed := func(set reconcile.Set) bool { return slices.Contains(named, set.Rule) }
	rest := slices.DeleteFunc(slices.Clone(ld.d.Sets[s]), isNamed)
	if len(named) == 0 || len(rest) == 0 || slices.ContainsFunc(ld.d.Sets[s.Other()], isNamed) {
		return nil
	}
	d := ld.d
	d.Sets[s], d.Verdicts = rest, slices.Clone(d.Verdicts)
	var holds []plan.Hold
	for _, i := range named {
		rule := &c.r.rules.Fields[i]
		h := c.holdOf(*ld, err)
		h.Field, h.At = rule.Name, rule.At
		if rule.Sensitive {
			h.Cause = e.Op + ": " + e.Kind.Error() + "; the message is not shown because the field is sensitive"
		}
		holdField(&d.Verdicts[i], h.Cause)
		holds = append(holds, h)
	}
	ld.d = d
	return holds
}

// without says of a step what was left out of it.
func (st step) without(left []plan.Hold) step {
	st.left = left
	if len(left) == 0 || st.rec == nil {
		return st
	}
	for _, h := range left {
		if st.res.Why != "" {
			st.res.Why += "; "
		}
		st.res.Why += h.Field + " is held: " + h.Cause
	}
	st.res.Outcome, st.res.Hint = plan.Partly, left[0].Hint
	return st
}

// stayOut keeps fields out of a decision that were left out of the record that it is about: they wait for their next try.
func (c *carrier) stayOut(d *reconcile.Decision, holds []plan.Hold) {
	for _, h := range holds {
		i := slices.IndexFunc(c.r.rules.Fields, func(f reconcile.Rule) bool { return f.Name == h.Field })
		if i < 0 {
			continue
		}
		for _, s := range record.Sides {
			d.Sets[s] = slices.DeleteFunc(d.Sets[s], func(set reconcile.Set) bool { return set.Rule == i })
		}
		holdField(&d.Verdicts[i], h.Cause)
	}
}

func holdField(v *reconcile.Verdict, why string) {
	v.Outcome, v.To, v.Why = reconcile.Hold, [2][]record.Value{}, why
}
