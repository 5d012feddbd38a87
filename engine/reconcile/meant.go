package reconcile

import (
	"slices"

	"github.com/fieldsync/fieldsync/engine/record"
)

// What a write of ours replaced unseen is decided about as if it were still there: the truth tables see it in the
// record, so that the policy of its field, or a person, has the say and not the accident of who wrote last. Unless
// a rule wants the slot to be otherwise, it is put back.

// values are what side s shows, by slot, with what somebody meant in the place of what came of our write.
func (in *Input) values(r *Rules, s record.Side) []record.Value {
	vs := sized(in.Record[s].Values, len(r.Sides[s].Paths))
	first := true
	for i := range in.Link.Meant {
		if m := &in.Link.Meant[i]; in.pending(m) && m.Side == s {
			if first {
				vs, first = slices.Clone(vs), false
			}
			vs[m.Slot] = m.Value
		}
	}
	return vs
}

// pending reports whether nothing has happened to a slot since our write.
func (in *Input) pending(m *record.Meant) bool {
	return in.Presence[m.Side] == Present && at(in.Record[m.Side].Values, m.Slot) == m.Stored
}

// meant is what somebody meant in a slot, as long as that is pending; else nil.
func (in *Input) meant(s record.Side, slot int) *record.Meant {
	for i := range in.Link.Meant {
		if m := &in.Link.Meant[i]; m.Side == s && m.Slot == slot && in.pending(m) {
			return m
		}
	}
	return nil
}

// putBack adds what somebody meant to what is written, where no rule wants the slot to be otherwise.
func (c *docket) putBack(d *Decision) {
	for i := range c.in.Link.Meant {
		m := &c.in.Link.Meant[i]
		if !c.in.pending(m) || setAt(d.Sets[m.Side], m.Slot) != nil || c.r.ruled(d, m.Side, m.Slot) {
			continue
		}
		rule := c.r.about(m.Side, m.Slot)
		set := Set{Slot: m.Slot, To: m.Value, Rule: rule, Meant: m}
		if rule >= 0 {
			set.At = c.r.Fields[rule].At
		}
		d.Sets[m.Side] = append(d.Sets[m.Side], set)
	}
}

// ruled reports whether some rule writes a slot, be it that the side shows the value already.
func (r *Rules) ruled(d *Decision, s record.Side, slot int) bool {
	return slices.ContainsFunc(d.Verdicts, func(v Verdict) bool {
		return v.Outcome == Write && v.To[s] != nil && slices.Contains(r.Fields[v.Rule].Paths[s], slot)
	})
}

// about is the first rule that writes a slot of side s, else that reads it; -1 if there is none.
func (r *Rules) about(s record.Side, slot int) int {
	if i := slices.IndexFunc(r.Fields, func(f Rule) bool { return f.To[s] != nil && slices.Contains(f.Paths[s], slot) }); i >= 0 {
		return i
	}
	return slices.IndexFunc(r.Fields, func(f Rule) bool { return slices.Contains(f.Reads[s], slot) })
}

// Averted tells about a value that a rule's write has replaced unseen.
func (r *Rules) Averted(rule int, m *record.Meant) string {
	who := m.Author
	if who == "" {
		who = "somebody"
	}
	if rule >= 0 && r.Fields[rule].Sensitive {
		return "lost update averted: " + who + " wrote it while fieldsync did"
	}
	theirs, ours := clip(m.Value.String(), m.Wrote.String())
	return "lost update averted: " + who + " wrote " + theirs + " while fieldsync wrote " + ours
}

// unmeant is what is left of Meant once d was carried out and side s shows shown: what is neither live nor replaced,
// by a rule or by somebody, stays.
func (r *Rules) unmeant(in *Input, d *Decision, shown [2][]record.Value, failed [2]bool) []record.Meant {
	var left []record.Meant
	for _, m := range in.Link.Meant {
		switch now := at(shown[m.Side], m.Slot); {
		case !now.Known():
			left = append(left, m)
		case now == m.Stored && now != m.Value && (failed[m.Side] || !r.ruled(d, m.Side, m.Slot)):
			left = append(left, m)
		}
	}
	return left
}
