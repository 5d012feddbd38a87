package reconcile

import (
	"slices"

	"github.com/fieldsync/fieldsync/engine/record"
)

// A field is one rule on one link, with what the truth table looks at.
type field struct {
	*docket
	rule   *Rule
	v      Verdict
	based  bool     // the rule's slots have a base on both sides
	faults [2]error // why there is no Implied[s]
}

// field decides one rule of a link whose records are both there: by the table, unless that would be one turn too many.
func (c *docket) field(i int) Verdict {
	f := c.look(i)
	v := f.decide()
	why := f.pingPong(&v)
	if why == "" {
		return v
	}
	f.v.To, f.v.Policy = [2][]record.Value{}, PingPong
	return f.conflict(v.Row, why)
}

// decide is the table. With L and R the rule's values now, l and r those in base, f: L→R and g: R→L, the first row
// that matches wins:
//
//	row  base  L moved  R moved  further                             verdict
//	 0   -     -        -        when is false; strength says no     skip
//	 1   -     -        -        something is unknown                hold
//	 2   -     -        -        holds                               keep
//	 3   yes   yes      no       flows L→R                           write R
//	 4   yes   no       yes      flows R→L                           write L
//	 5   yes   the side that may not lead moved                      drift: overwrite or keep
//	 6   yes   yes      yes                                          conflict: the policy decides
//	 7   yes   no       no       the rule was edited                 the leading side writes, or conflict
//	 8   no    -        -        first contact                       the sync's first mode
func (f *field) decide() Verdict {
	const L, R = record.Left, record.Right
	if ok, err := f.applies(f.rule); err != nil {
		return f.fail(0, err)
	} else if !ok {
		return f.skip(0, "when is false")
	}
	oneWay, lead := !f.rule.TwoWay(), f.rule.Leads()
	if oneWay && f.rule.Strength == OnCreate {
		return f.skip(0, "writes on create only")
	}
	if why := f.unknown(L, R); why != "" {
		return f.hold(1, why)
	}
	f.weigh()
	moved := f.v.Moved

	switch {
	case f.v.Holds:
		return f.keep(2, "both sides agree")
	case oneWay && f.rule.Strength == IfEmpty && !f.empty(lead.Other()):
		return f.skip(0, f.r.paths(lead.Other(), f.rule.Paths[lead.Other()])+" is not empty")
	case f.based && moved[L] && !moved[R] && f.rule.To[R] != nil:
		return f.write(3, R, f.moves(L))
	case f.based && !moved[L] && moved[R] && f.rule.To[L] != nil:
		return f.write(4, L, f.moves(R))
	case f.based && oneWay && moved[lead.Other()]:
		return f.drift(5, lead)
	case f.based && moved[L] && moved[R]:
		return f.contest(6)
	case f.based:
		return f.edited(7)
	default:
		return f.first(8)
	}
}

// look gathers what is seen of a rule, without its transforms.
func (c *docket) look(i int) *field {
	f := &c.f
	*f = field{docket: c, rule: &c.r.Fields[i], based: true}
	f.v.Rule = i
	for _, s := range record.Sides {
		reads := f.rule.Reads[s]
		f.v.Now[s] = c.pick(c.env.Values[s], reads)
		if c.in.Link.Base[s] == nil {
			f.based = false
			continue
		}
		f.v.Base[s] = c.pick(c.in.Link.Base[s], reads)
		for k, b := range f.v.Base[s] {
			if !b.Known() {
				f.based = false
			} else if f.v.Now[s][k].Known() && f.v.Now[s][k] != b {
				f.v.Moved[s] = true
			}
		}
	}
	if !f.based {
		f.v.Moved = [2]bool{}
	}
	return f
}

// unknown says what of the rule's values cannot be read, or "".
func (f *field) unknown(sides ...record.Side) string {
	for _, s := range sides {
		for k, v := range f.v.Now[s] {
			switch path := f.r.path(s, f.rule.Reads[s][k]); v.Kind() {
			case record.Unknown:
				return path + " cannot be read"
			case record.Absent:
				return path + " was not delivered"
			}
		}
	}
	return ""
}

// weigh runs the transforms and finds out whether the rule holds now. Both directions of a two-way rule are
// tried: with a lossy pair, such as five states onto three, the finer side is right as it is as long as the
// coarser one shows what it implies.
func (f *field) weigh() {
	for _, s := range record.Sides {
		if f.rule.To[s] == nil {
			continue
		}
		f.v.Implied[s], f.faults[s] = f.imply(f.rule, s, f.env)
		if f.faults[s] == nil && (f.shown(s) || f.stored(s)) {
			f.v.Holds = true
		}
	}
}

// shown reports whether side s shows just what is implied.
func (f *field) shown(s record.Side) bool {
	for k, slot := range f.rule.Paths[s] {
		if at(f.env.Values[s], slot) != f.v.Implied[s][k] {
			return false
		}
	}
	return true
}

// stored reports whether side s still carries what it stored when exactly the implied values were sent.
func (f *field) stored(s record.Side) bool {
	if f.in.Link.Sent[s] == nil {
		return false
	}
	for k, slot := range f.rule.Paths[s] {
		now, implied := at(f.env.Values[s], slot), f.v.Implied[s][k]
		if now != implied && (implied != at(f.in.Link.Sent[s], slot) || now != lastSeen(&f.in.Link, s, slot)) {
			return false
		}
	}
	return true
}

// lastSeen is what side s showed in a slot when it could last be read. Sent is about this value, not about
// the base: a slot whose base waits for another rule may have been written all the same.
func lastSeen(l *record.Link, s record.Side, slot int) record.Value {
	if v := at(l.Shown(s), slot); v.Known() {
		return v
	}
	return at(l.Base[s], slot)
}

// drift decides row 5. Drift is an edit of the rule's own paths; once the leading side moves too, its value
// is newer than what was left to drift.
func (f *field) drift(row int, lead record.Side) Verdict {
	target := lead.Other()
	if f.v.Moved[lead] {
		return f.write(row, target, f.moves(lead))
	}
	if f.rule.Drift == KeepDrift && f.pathMoved(target) {
		return f.skip(row, "drift kept: "+f.moves(target))
	}
	return f.write(row, target, "drift: "+f.moves(target))
}

// edited decides row 7: neither side moved, yet the rule does not hold any more.
func (f *field) edited(row int) Verdict {
	const why = "the rule was edited: "
	switch {
	case !f.rule.TwoWay():
		return f.write(row, f.rule.Leads().Other(), why+f.shows(f.rule.Leads()))
	case f.r.First.Mode == FirstSide:
		return f.write(row, f.r.First.Side.Other(), why+f.shows(f.r.First.Side))
	}
	return f.conflict(row, why+f.bothShow())
}

// first decides row 8: the two values never agreed.
func (f *field) first(row int) Verdict {
	const why = "first contact: "
	fill := f.r.First.Mode == FirstFillEmpty
	if !f.rule.TwoWay() {
		lead := f.rule.Leads()
		if fill && !f.empty(lead.Other()) {
			return f.conflict(row, why+f.bothShow())
		}
		return f.write(row, lead.Other(), why+f.shows(lead))
	}
	reason := ""
	switch {
	case f.r.First.Mode == FirstSide:
		return f.write(row, f.r.First.Side.Other(), why+f.shows(f.r.First.Side))
	case fill || f.r.First.Mode == FirstNewest:
		if s, ok := f.onlyValue(); ok {
			return f.write(row, s.Other(), why+f.shows(s))
		}
	}
	if f.r.First.Mode == FirstNewest {
		s, no := f.newest()
		if no == "" {
			f.v.Policy = Newest.String()
			return f.write(row, s.Other(), why+f.bothShow()+"; newest: "+f.r.Sides[s].Name)
		}
		reason = "; newest: " + no
	}
	return f.conflict(row, why+f.bothShow()+reason)
}

// now returns the values of the rule's paths on side s.
func (f *field) now(s record.Side) []record.Value {
	vs := make([]record.Value, len(f.rule.Paths[s]))
	for k, slot := range f.rule.Paths[s] {
		vs[k] = at(f.env.Values[s], slot)
	}
	return vs
}

// empty reports whether every path of the rule on side s is blank.
func (f *field) empty(s record.Side) bool {
	for _, slot := range f.rule.Paths[s] {
		if !at(f.env.Values[s], slot).Blank() {
			return false
		}
	}
	return true
}

// onlyValue returns the side that has a value, if exactly one has.
func (f *field) onlyValue() (record.Side, bool) {
	l, r := f.empty(record.Left), f.empty(record.Right)
	if l {
		return record.Right, !r
	}
	return record.Left, r
}

func (f *field) pathMoved(s record.Side) bool {
	for _, slot := range f.rule.Paths[s] {
		if at(f.env.Values[s], slot) != at(f.in.Link.Base[s], slot) {
			return true
		}
	}
	return false
}

func (f *field) end(row int, o Outcome, why string) Verdict {
	f.v.Row, f.v.Outcome, f.v.Why = row, o, why
	return f.v
}

func (f *field) keep(row int, why string) Verdict { return f.end(row, Keep, why) }
func (f *field) skip(row int, why string) Verdict { return f.end(row, Skip, why) }
func (f *field) hold(row int, why string) Verdict { return f.end(row, Hold, why) }

// fail holds the field because an expression failed. Its message may quote values.
func (f *field) fail(row int, err error) Verdict {
	if f.rule.Sensitive {
		return f.hold(row, "an expression failed; its message is not shown because the field is sensitive")
	}
	return f.hold(row, err.Error())
}

// write carries the other side's value to side s.
func (f *field) write(row int, s record.Side, why string) Verdict {
	if f.faults[s] != nil {
		return f.fail(row, f.faults[s])
	}
	if f.v.Implied[s] == nil {
		return f.hold(row, "the rule has no way to "+f.r.Sides[s].Name)
	}
	f.v.To[s] = f.v.Implied[s]
	return f.end(row, Write, why)
}

// conflict leaves the field to a person, unless one has decided about exactly these values, or neither value
// could be carried over: then nothing that a person may pick would help.
func (f *field) conflict(row int, why string) Verdict {
	if f.faults[record.Left] != nil && f.faults[record.Right] != nil {
		return f.fail(row, f.faults[record.Right])
	}
	c, ok := f.in.Decided[f.rule.Name]
	if !ok {
		return f.end(row, Conflict, why)
	}
	if !slices.Equal(c.Seen[0], f.v.Now[0]) || !slices.Equal(c.Seen[1], f.v.Now[1]) {
		return f.end(row, Conflict, why+"; what "+c.By+" decided was about other values")
	}
	f.v.Policy = "decided"
	why += "; decided by " + c.By + ": " + f.r.Sides[c.Side].Name
	if f.rule.To[c.Side.Other()] == nil {
		// The side that may not lead keeps its value. Settle remembers it as the answer to what the
		// leading side implies now, so the field holds until one of them moves.
		return f.keep(row, why)
	}
	return f.write(row, c.Side.Other(), why)
}
