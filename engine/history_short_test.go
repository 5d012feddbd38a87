package engine_test

import (
	"slices"

	"github.com/fieldsync/fieldsync/engine/reconcile"
)

// shortest leaves out of a failing story what it does not need in order to fail: steps, troubles, policies, habits.
func shortest(s story, err error, life func(story) error) (story, error) {
	left := 1500 // lives
	try := func(c story) bool {
		if left--; left < 0 {
			return false
		}
		e := life(c)
		if e != nil {
			s, err = c, e
		}
		return e != nil
	}
	for again := true; again && left > 0; {
		again = false
		for i := len(s.Steps) - 1; i >= 0; i-- {
			if i < len(s.Steps) {
				again = try(story{s.Config, slices.Delete(slices.Clone(s.Steps), i, i+1)}) || again
			}
		}
		for i := range s.Steps {
			for _, simpler := range s.Steps[i].simpler() {
				c := story{s.Config, slices.Clone(s.Steps)}
				c.Steps[i] = simpler
				again = try(c) || again
			}
		}
		for _, simpler := range s.Config.simpler() {
			again = try(story{simpler, s.Steps}) || again
		}
	}
	return s, err
}

// simpler are the same systems and rules with one habit less.
func (c config) simpler() (out []config) {
	add := func(less func(*config)) {
		d := c
		if less(&d); d.String() != c.String() {
			out = append(out, d)
		}
	}
	for i := range c.Policy {
		add(func(d *config) { d.Policy[i] = reconcile.Policy{Kind: reconcile.Ask} })
	}
	add(func(d *config) { d.Talk = talks[0] })
	add(func(d *config) { d.Files = [2]bool{} })
	add(func(d *config) { d.Automation = 0 })
	add(func(d *config) {
		if d.CreateLeft = false; d.Gone[0] == reconcile.GoneRecreate { // what is never made is not made again
			d.Gone[0] = reconcile.GoneDetach
		}
	})
	add(func(d *config) { d.First = reconcile.First{Mode: reconcile.FirstSide} })
	add(func(d *config) { d.Conditional = [2]bool{true, true} })
	add(func(d *config) { d.Gone = [2]reconcile.GoneThen{} })
	for _, off := range []func(*config) *bool{
		func(d *config) *bool { return &d.Scoped }, func(d *config) *bool { return &d.Incremental },
		func(d *config) *bool { return &d.Measured }, func(d *config) *bool { return &d.KeepDrift }, func(d *config) *bool { return &d.Poison },
		func(d *config) *bool { return &d.Late }, func(d *config) *bool { return &d.Lag }, func(d *config) *bool { return &d.Audit }, func(d *config) *bool { return &d.Audited }, func(d *config) *bool { return &d.Slow },
	} {
		add(func(d *config) { *off(d) = false })
	}
	return out
}

// simpler are the same step with one thing less about it.
func (st step) simpler() (out []step) {
	add := func(less func(*step)) {
		c := st
		c.Run.Faults = slices.Clone(st.Run.Faults)
		if less(&c); c.String() != st.String() {
			out = append(out, c)
		}
	}
	add(func(c *step) { c.Wait = 0 })
	add(func(c *step) { c.Late = 0 })
	add(func(c *step) { c.Style = 0 })
	add(func(c *step) { c.Who = 0 })
	add(func(c *step) { c.Run.Full = false })
	add(func(c *step) { c.Run.Die = nil })
	add(func(c *step) { c.Run.Edit = nil })
	add(func(c *step) { c.Run.Freeze = nil })
	for i := range st.Run.Faults {
		add(func(c *step) { c.Run.Faults = slices.Delete(c.Run.Faults, i, i+1) })
	}
	return out
}
