package reconcile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fieldsync/fieldsync/engine/record"
)

// life decides what becomes of the link as a whole. The table reads the same with the sides swapped; the
// first row that matches wins:
//
//	one side      the other     further                      verdict
//	unsure        any                                        hold: where cannot tell whether it is in scope
//	present       present                                    stay (a detached link lives again, with its old base)
//	gone          gone                                       end
//	out of scope  present       made there, never in scope   hold: a create must not look done and come to nothing
//	out of scope  any           linked                       detach, nothing is written
//	missing       not present   not linked                   ignore
//	missing       present       the missing side may create  create, else ignore
//	gone          present       link is detached             stays detached
//	gone          present       already what on_gone sets    update with nothing to write: done
//	gone          changed                                    hold: the change is kept
//	gone          unchanged     on_gone                      detach, update, delete or recreate
func (c *docket) life() Decision {
	const L, R = record.Left, record.Right
	p, linked := c.in.Presence, c.in.Link.ID != 0 || c.in.Link.Key[L] != "" && c.in.Link.Key[R] != ""
	has := func(want Presence) (record.Side, bool) {
		if p[L] == want {
			return L, true
		}
		return R, p[R] == want
	}
	if s, ok := has(Unsure); ok {
		return Decision{Life: HoldLink, Side: s, Why: "whether " + c.r.Sides[s].Name + " is in scope cannot be told: where: " + c.in.Doubt[s]}
	}
	if p[L] == Present && p[R] == Present {
		return Decision{Life: Stay}
	}
	if p[L] == Gone && p[R] == Gone {
		return Decision{Life: End, Why: "both records are gone"}
	}
	missing, lacks := has(Missing)
	for _, s := range record.Sides {
		if p[s] == OutOfScope && c.in.Born[s] && p[s.Other()] == Present && c.in.Link.Status != record.Detached {
			return Decision{Life: HoldLink, Side: s, At: cmp.Or(c.r.Sides[s].QueryAt, c.r.Sides[s].WhereAt), Hint: c.intoScope(s),
				Why: "the " + c.r.Sides[s].Name + " was created here and is out of scope by " + c.r.Scope(s)}
		}
	}
	if s, ok := has(OutOfScope); ok && (linked || !lacks) {
		return Decision{Life: Detach, Why: c.r.Sides[s].Name + " is out of scope", At: ""}
	}
	if lacks && p[missing.Other()] == Present {
		if !c.r.Sides[missing].Create {
			return Decision{Life: Ignore, Side: missing, Why: c.r.Sides[missing].Name + " records are not created"}
		}
		return Decision{Life: CreateOn, Side: missing, Why: "new " + c.r.Sides[missing.Other()].Name}
	}
	gone, ok := has(Gone)
	if lacks {
		if linked && ok {
			return Decision{Life: End, Why: c.r.Sides[gone].Name + " is gone before it had a twin"}
		}
		if s, ok := has(OutOfScope); ok {
			return Decision{Life: Ignore, Side: missing, Why: c.r.Sides[s].Name + " is out of scope"}
		}
		return Decision{Life: Ignore, Side: missing, Why: "there is no record to carry"}
	}
	return c.bereaved(gone)
}

// bereaved decides about a record whose twin on side gone was deleted.
func (c *docket) bereaved(gone record.Side) Decision {
	left := gone.Other()
	policy := c.r.Sides[gone].Gone
	d := Decision{Life: HoldLink, Side: left, At: policy.At}
	why := c.r.Sides[gone].Name + " is gone"
	if c.in.Link.Status == record.Detached {
		d.Life, d.Why = Detach, why+"; the link was detached before"
		return d
	}
	if policy.Then == GoneUpdate {
		if sets, ok := c.farewell(left, policy); !ok {
			d.Why = why + ", but what on_gone sets cannot be read now"
			return d
		} else if len(sets) == 0 {
			d.Life, d.Why = UpdateOn, why+"; "+c.r.Sides[left].Name+" shows it already"
			return d
		}
	}
	if change := c.changed(left, policy.Then != GoneDetach); change != "" {
		d.Why = why + ", but its twin was changed: " + change
		return d
	}
	d.Why = why
	switch policy.Then {
	case GoneUpdate:
		d.Life = UpdateOn
		d.Sets[left], _ = c.farewell(left, policy)
	case GoneDelete:
		d.Life = DeleteOn
	case GoneRecreate:
		d.Life, d.Side = CreateOn, gone
	default:
		d.Life = Detach
	}
	return d
}

// farewell lists the on_gone values that side s does not show yet; false if one of them cannot be read.
func (c *docket) farewell(s record.Side, g OnGone) ([]Set, bool) {
	var sets []Set
	for _, slot := range slices.Sorted(maps.Keys(g.Set)) {
		now := at(c.env.Values[s], slot)
		if !now.Known() || !g.Set[slot].Known() {
			return nil, false
		}
		if now != g.Set[slot] {
			sets = append(sets, Set{Slot: slot, To: g.Set[slot], Rule: -1, At: g.At})
		}
	}
	return sets, true
}

// changed names the first change on side s that its twin never got, or "". Before something is written or
// deleted, what cannot be read and what never agreed count as changes too: they would be lost unseen.
func (c *docket) changed(s record.Side, strict bool) string {
	for i := range c.r.Fields {
		rule := &c.r.Fields[i]
		for _, slot := range rule.Reads[s] {
			base, now := at(c.in.Link.Base[s], slot), at(c.env.Values[s], slot)
			path := c.r.path(s, slot)
			switch {
			case !now.Known():
				if strict {
					return path + " cannot be read"
				}
			case !base.Known():
				if strict && !now.Empty() {
					return path + " never agreed"
				}
			case now != base && rule.Sensitive:
				return path + " changed"
			case now != base:
				from, to := clip(base.String(), now.String())
				return path + " " + from + " → " + to
			}
		}
	}
	return ""
}

// create fills in the record that side d.Side gets: the markers of its match blocks, then every rule that
// flows to it, then what its scope asks for and nothing of these gives.
func (c *docket) create(d *Decision) {
	s, from := d.Side, d.Side.Other()
	for _, m := range c.r.Match {
		if !m.Marker[s] {
			continue
		}
		v, err := c.marker(m, s)
		if err != nil {
			*d = Decision{Life: HoldLink, Side: from, Why: err.Error(), At: m.At}
			return
		}
		if setAt(d.Sets[s], m.Slots[s]) == nil {
			d.Sets[s] = append(d.Sets[s], Set{Slot: m.Slots[s], To: v, Rule: -1, At: m.At})
		}
		if d.At == "" {
			d.At = m.At
		}
	}
	d.Verdicts = make([]Verdict, len(c.r.Fields))
	for i := range c.r.Fields {
		d.Verdicts[i] = c.born(i, s)
	}
	c.collect(d)
	if why, at := c.enter(d); why != "" {
		*d = Decision{Life: HoldLink, Side: from, Why: why, At: at, Hint: c.intoScope(s)}
	}
}

// enter gives a new record what its scope asks for. It returns why the record would be out of scope all the same, as far
// as that is certain, and where that stands: such a record is not made.
func (c *docket) enter(d *Decision) (why, where string) {
	s := d.Side
	side := &c.r.Sides[s]
	out := "the new " + side.Name + " would be out of scope: "
	for _, n := range side.Needs {
		set := setAt(d.Sets[s], n.Slot)
		if set == nil {
			d.Sets[s] = append(d.Sets[s], Set{Slot: n.Slot, To: n.To, Rule: -1, At: n.At, By: n.By})
			continue
		}
		if !strings.EqualFold(set.To.Plain(), n.To.Plain()) { // systems compare in their own way, letters often in any case
			shown := " " + set.To.String()
			if set.Rule >= 0 && c.r.Fields[set.Rule].Sensitive {
				shown = " something else"
			}
			return out + n.By + " asks for " + c.r.path(s, n.Slot) + " " + n.To.String() + ", and " + c.r.author(*set) + " writes" + shown, n.At
		}
	}
	slices.SortFunc(d.Sets[s], func(a, b Set) int { return a.Slot - b.Slot })
	if side.Where == nil {
		return "", ""
	}
	values := make([]record.Value, len(side.Paths))
	for _, slot := range side.Scope {
		set := setAt(d.Sets[s], slot)
		if set == nil {
			return "", "" // what the system makes of it shows when it is there
		}
		values[slot] = set.To
	}
	env := Env{Time: c.in.Time}
	env.Values[s] = values
	if in, err := side.Where(env); err == nil && !in {
		var shown []string
		for _, slot := range side.Scope {
			set := setAt(d.Sets[s], slot)
			v := set.To.String()
			if set.Rule >= 0 && c.r.Fields[set.Rule].Sensitive {
				v = "(sensitive)"
			}
			shown = append(shown, c.r.path(s, slot)+" "+v)
		}
		return out + "where is false with " + strings.Join(shown, ", "), side.WhereAt
	}
	return "", ""
}

// intoScope is the way out for a record that a run made, or would make, out of its scope.
func (c *docket) intoScope(s record.Side) string {
	name := c.r.Sides[s].Name
	return "let a field give new " + name + " records what their scope asks for, widen the scope, or leave " + c.r.Sides[s.Other()].Name + " records like this one out of the sync with where"
}

// marker is the value that ties a new record on side s to the one it is made from.
func (c *docket) marker(m Match, s record.Side) (record.Value, error) {
	v := at(c.env.Values[s.Other()], m.Slots[s.Other()])
	from := c.r.path(s.Other(), m.Slots[s.Other()])
	if !v.Known() || v.Empty() || v.Kind() == record.Text && strings.TrimSpace(v.Text()) == "" {
		return v, fmt.Errorf("%s has no value for the marker %s", from, c.r.path(s, m.Slots[s]))
	}
	if types := c.r.Sides[s].Types; m.Slots[s] < len(types) {
		out, err := types[m.Slots[s]].Coerce(v)
		if err != nil {
			return v, fmt.Errorf("%s as the marker %s: %w", from, c.r.path(s, m.Slots[s]), err)
		}
		v = out
	}
	return v, nil
}

// born decides one rule for a record that is to be created on side s. Nulls are not sent: the system's own
// default stands for them.
func (c *docket) born(i int, s record.Side) Verdict {
	f := c.look(i)
	if f.rule.To[s] == nil {
		return f.skip(0, "flows the other way")
	}
	if ok, err := f.applies(f.rule); err != nil {
		return f.fail(0, err)
	} else if !ok {
		return f.skip(0, "when is false")
	}
	if why := f.unknown(s.Other()); why != "" {
		return f.hold(1, why)
	}
	if f.v.Implied[s], f.faults[s] = c.imply(f.rule, s, c.env); f.faults[s] == nil && allEmpty(f.v.Implied[s]) {
		return f.keep(0, "nothing to send")
	}
	return f.write(0, s, f.shows(s.Other()))
}

func allEmpty(vs []record.Value) bool {
	return !slices.ContainsFunc(vs, func(v record.Value) bool { return !v.Empty() })
}
