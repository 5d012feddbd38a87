package reconcile

import (
	"time"

	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/record"
)

// Changes are the decision's writes to side s as a plan shows them.
func Changes(r *Rules, in Input, d Decision, s record.Side) []plan.Change {
	out := make([]plan.Change, 0, len(d.Sets[s]))
	for _, set := range d.Sets[s] {
		ch := plan.Change{Path: r.Sides[s].Paths[set.Slot], From: record.NullValue, To: set.To, At: set.At}
		if in.Presence[s] == Present {
			ch.From = at(in.Record[s].Values, set.Slot)
		}
		switch {
		case set.Meant != nil:
			ch.Why = r.Averted(set.Rule, set.Meant)
			if set.Rule >= 0 {
				ch.Field, ch.Sensitive = r.Fields[set.Rule].Name, r.Fields[set.Rule].Sensitive
			}
		case set.Rule >= 0:
			rule := &r.Fields[set.Rule]
			ch.Field, ch.Sensitive = rule.Name, rule.Sensitive
			for _, v := range d.Verdicts {
				if v.Rule == set.Rule {
					ch.Why = v.Why
				}
			}
		case set.By != "":
			ch.Field, ch.Why = set.By, "new "+r.Sides[s].Name+" records show it, or they would be out of scope"
		case d.Life == CreateOn:
			ch.Field, ch.Why = "match", "ties it to "+name(in, s.Other())
		default:
			ch.Field, ch.Why = "on_gone", d.Why
		}
		out = append(out, ch)
	}
	return out
}

// Conflicts are the fields of the decision that need a person.
func Conflicts(r *Rules, in Input, d Decision) []plan.Conflict {
	var out []plan.Conflict
	for _, v := range d.Verdicts {
		if v.Outcome == Conflict {
			out = append(out, v.Conflict(r, in))
		}
	}
	return out
}

// Conflict is v as a plan shows it.
func (v Verdict) Conflict(r *Rules, in Input) plan.Conflict {
	rule := &r.Fields[v.Rule]
	c := plan.Conflict{
		Sync: r.Sync, Link: in.Link.ID, Field: rule.Name, At: rule.At, Policy: v.Policy, Why: v.Why,
		Since: in.Since[rule.Name], Sensitive: rule.Sensitive,
	}
	if c.Policy == "" {
		c.Policy = Ask.String()
	}
	c.Keys, c.Labels = names(in)
	for _, s := range record.Sides {
		slots := rule.about(s)
		for _, slot := range slots {
			c.Paths[s] = append(c.Paths[s], r.Sides[s].Paths[slot])
		}
		c.Base[s], c.Now[s] = one(in.Link.Base[s], slots), one(in.values(r, s), slots)
	}
	return c
}

// one is the value of one slot, or a List of several.
func one(values []record.Value, slots []int) record.Value {
	switch len(slots) {
	case 0:
		return record.NullValue
	case 1:
		return at(values, slots[0])
	}
	if values == nil {
		return record.Value{}
	}
	vs := make([]record.Value, len(slots))
	for i, slot := range slots {
		vs[i] = at(values, slot)
	}
	return record.OfList(vs)
}

// Holds are the fields of the decision, or the link as a whole, that wait because something is wrong.
func Holds(r *Rules, in Input, d Decision) []plan.Hold {
	var out []plan.Hold
	keys, labels := names(in)
	hold := func(field, at, cause, hint string, since time.Time) {
		out = append(out, plan.Hold{
			Sync: r.Sync, Link: in.Link.ID, Keys: keys, Labels: labels,
			Field: field, At: at, Cause: cause, Hint: hint, Since: since,
		})
	}
	if d.Life == HoldLink {
		hint := "put a value there; it ties the two records together"
		if in.Presence[0] == Gone || in.Presence[1] == Gone {
			hint = "undo the change, or delete the record that is left"
		}
		if d.Hint != "" {
			hint = d.Hint
		}
		hold("", d.At, d.Why, hint, time.Time{})
	}
	for _, v := range d.Verdicts {
		if v.Outcome != Hold {
			continue
		}
		hint := ""
		if v.Row == 1 {
			hint = "give the connection's account the right to read it, or take the path out of the field; in a file of JSON, where no record has it, write it into one (null will do)"
		}
		rule := &r.Fields[v.Rule]
		hold(rule.Name, rule.At, v.Why, hint, in.Since[rule.Name])
	}
	return out
}

// names are the keys and labels that people find the two records by.
func names(in Input) (keys, labels [2]string) {
	for _, s := range record.Sides {
		keys[s], labels[s] = in.Link.Key[s], in.Link.Label[s]
		if rec := &in.Record[s]; rec.Key != "" {
			keys[s], labels[s] = rec.Key, rec.Label
		}
	}
	return keys, labels
}

func name(in Input, s record.Side) string {
	keys, labels := names(in)
	if labels[s] != "" {
		return labels[s]
	}
	return keys[s]
}
