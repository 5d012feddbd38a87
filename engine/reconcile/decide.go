package reconcile

import (
	"errors"
	"fmt"
	"slices"

	"github.com/fieldsync/fieldsync/engine/record"
)

// Decide says what a run should do about one link. It first asks what becomes of the link as a whole
// (life.go), then, where records are to be written, decides each field (field.go). When Needs is not empty,
// nothing else in the decision counts: fetch them and decide again.
func Decide(r *Rules, in Input) Decision {
	c := &docket{r: r, in: &in}
	c.env.Time = in.Time
	for _, s := range record.Sides {
		if in.Presence[s] == Present {
			c.env.Values[s] = c.in.values(r, s)
		}
	}
	d := c.life()
	switch d.Life {
	case Stay:
		d.Verdicts = make([]Verdict, len(r.Fields))
		for i := range r.Fields {
			d.Verdicts[i] = c.field(i)
		}
		c.collect(&d)
	case CreateOn:
		c.create(&d)
	}
	d.Needs = c.needs
	return d
}

// A docket is one link on its way to a decision.
type docket struct {
	r     *Rules
	in    *Input
	env   Env
	pool  []record.Value // backs the slices that verdicts carry, so that a decision allocates few of them
	needs []Needed
	f     field // the one that is looked at
}

// pick returns the values of some slots; a slot that values does not reach is Absent. Nobody changes what a decision or its
// input holds, so that one value need not be copied.
func (c *docket) pick(values []record.Value, slots []int) []record.Value {
	if len(slots) == 1 && slots[0] < len(values) {
		return values[slots[0] : slots[0]+1 : slots[0]+1]
	}
	if c.pool == nil {
		n := 0
		for i := range c.r.Fields {
			n += len(c.r.Fields[i].Reads[0]) + len(c.r.Fields[i].Reads[1])
		}
		c.pool = make([]record.Value, 0, 2*n)
	}
	from := len(c.pool)
	for _, slot := range slots {
		c.pool = append(c.pool, at(values, slot))
	}
	return c.pool[from:len(c.pool):len(c.pool)]
}

// imply asks a rule for the values of its paths on side s. What it gives can be written: as many values as
// there are paths, all of them known.
func (c *docket) imply(rule *Rule, s record.Side, env Env) ([]record.Value, error) {
	vs, err := rule.To[s](env)
	if err != nil {
		c.need(err)
		return nil, err
	}
	if len(vs) != len(rule.Paths[s]) {
		return nil, fmt.Errorf("the expression gives %d values for %d paths", len(vs), len(rule.Paths[s]))
	}
	for i, v := range vs {
		if !v.Known() {
			return nil, fmt.Errorf("the expression gives nothing that is known for %s", c.r.path(s, rule.Paths[s][i]))
		}
	}
	return vs, nil
}

// applies evaluates the rule's condition.
func (c *docket) applies(rule *Rule) (bool, error) {
	if rule.When == nil {
		return true, nil
	}
	ok, err := rule.When(c.env)
	if err != nil {
		c.need(err)
	}
	return ok, err
}

// need notes a look-up that err asks for, once.
func (c *docket) need(err error) {
	if n, ok := errors.AsType[*Needed](err); ok && !slices.Contains(c.needs, *n) {
		c.needs = append(c.needs, *n)
	}
}

// collect turns the verdicts into what is written, slot by slot. Two rules that want different values for
// one slot are refused when a mapping is loaded; should it happen all the same, the first rule has its way
// and the second is held.
func (c *docket) collect(d *Decision) {
	for i := range d.Verdicts {
		v := &d.Verdicts[i]
		if v.Outcome != Write {
			continue
		}
		rule := &c.r.Fields[v.Rule]
		if other := c.clash(d, v, rule); other != "" {
			v.Outcome, v.To, v.Why = Hold, [2][]record.Value{}, other
			continue
		}
		for _, s := range record.Sides {
			for k, to := range v.To[s] {
				slot := rule.Paths[s][k]
				created := d.Life == CreateOn && d.Side == s
				if c.stands(s, slot, to) || created && to.Empty() || setAt(d.Sets[s], slot) != nil {
					continue
				}
				d.Sets[s] = append(d.Sets[s], Set{Slot: slot, To: to, Rule: v.Rule, At: rule.At})
			}
		}
	}
	c.putBack(d)
	for _, s := range record.Sides {
		slices.SortFunc(d.Sets[s], func(a, b Set) int { return a.Slot - b.Slot })
	}
}

// stands reports whether side s shows a value in a slot, or what it made of just that value.
func (c *docket) stands(s record.Side, slot int, to record.Value) bool {
	if m := c.in.meant(s, slot); m != nil {
		return to == m.Stored || to == m.Wrote
	}
	return to == at(c.env.Values[s], slot)
}

// clash says which slot of a verdict is already to get another value, or "".
func (c *docket) clash(d *Decision, v *Verdict, rule *Rule) string {
	for _, s := range record.Sides {
		for k, to := range v.To[s] {
			if set := setAt(d.Sets[s], rule.Paths[s][k]); set != nil && set.To != to {
				return fmt.Sprintf("%s is already written by %s with another value", c.r.path(s, set.Slot), c.r.author(*set))
			}
		}
	}
	return ""
}

func setAt(sets []Set, slot int) *Set {
	for i := range sets {
		if sets[i].Slot == slot {
			return &sets[i]
		}
	}
	return nil
}

// at is values[slot], or Absent beyond the end.
func at(values []record.Value, slot int) record.Value {
	if slot < len(values) {
		return values[slot]
	}
	return record.Value{}
}

// sized is values with exactly n entries, so that transforms can index it by slot.
func sized(values []record.Value, n int) []record.Value {
	if len(values) == n && values != nil {
		return values
	}
	out := make([]record.Value, n)
	copy(out, values)
	return out
}
