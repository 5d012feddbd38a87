package reconcile

import (
	"slices"

	"github.com/fieldsync/fieldsync/engine/record"
)

// Settle returns the link as it is once decision d was carried out on in. stored[s] holds the values, by
// slot, that side s returned after its write (nil: nothing was written there); failed[s] says that its write
// failed. Only what both sides agreed on becomes base; everything else keeps its old one, so that a later
// run still sees what moved. The version of a side that was written, and the key of a record that was created,
// are for the caller to put in: the input has only what was read before.
func Settle(r *Rules, in Input, d Decision, stored [2][]record.Value, failed [2]bool) record.Link {
	l := in.Link
	for _, s := range record.Sides {
		l.Base[s], l.Sent[s], l.Now[s] = slices.Clone(l.Base[s]), slices.Clone(l.Sent[s]), slices.Clone(l.Now[s])
		if rec := &in.Record[s]; in.Presence[s] == Present {
			l.Key[s], l.Label[s], l.Version[s] = rec.Key, rec.Label, rec.Version
		}
	}
	switch d.Life {
	case Ignore:
		return l
	case Detach:
		l.Status = record.Detached
		return l
	case End:
		l.Status = record.Ended
		return l
	case DeleteOn, UpdateOn:
		l.Status = record.Ended
		if failed[d.Side] {
			l.Status = record.Held
		}
		return l
	case HoldLink:
		l.Status = record.Held
		for _, s := range record.Sides {
			if in.Presence[s] == Present {
				Shows(&l, s, sized(in.Record[s].Values, len(r.Sides[s].Paths)))
			}
		}
		return l
	case CreateOn:
		if failed[d.Side] {
			l.Status = record.Held
			return l
		}
		// A record that was made anew has agreed on nothing that the old one showed.
		l.Base, l.Sent, l.Now, in.Link.Meant = [2][]record.Value{}, [2][]record.Value{}, [2][]record.Value{}, nil
	}
	book := ledger{r: r, in: &in, d: &d, failed: failed}
	var now [2][]record.Value
	for _, s := range record.Sides {
		n := len(r.Sides[s].Paths)
		seen := sized(nil, n)
		if in.Presence[s] == Present {
			seen = sized(in.Record[s].Values, n)
		}
		shown := seen
		if stored[s] != nil && !failed[s] {
			shown = sized(stored[s], n)
		}
		book.settle(&l, s, book.entries(s, seen, shown), shown)
		now[s] = shown
	}
	if d.Life == CreateOn {
		book.owe(&l, now)
	}
	l.Meant = r.unmeant(&in, &d, now, failed)
	l.Status = record.Live
	if book.open() {
		l.Status = record.Held
	}
	return l
}

// Shows has a link remember what side s shows while nothing new is agreed on. What was sent there stays known only of slots
// that still show what was stored of it: to anything else it has no relation.
func Shows(l *record.Link, s record.Side, shown []record.Value) {
	var sent []record.Value
	for slot, v := range l.Sent[s] {
		if !v.Known() || slot >= len(shown) || !shown[slot].Known() || shown[slot] == lastSeen(l, s, slot) {
			continue
		}
		if sent == nil {
			sent = slices.Clone(l.Sent[s])
		}
		sent[slot] = record.Value{}
	}
	l.Now[s] = news(l.Base[s], shown)
	switch {
	case sent == nil:
	case slices.ContainsFunc(sent, record.Value.Known):
		l.Sent[s] = sent
	default:
		l.Sent[s] = nil
	}
}

// A ledger gathers, slot by slot, what all rules together say of it.
type ledger struct {
	r      *Rules
	in     *Input
	d      *Decision
	failed [2]bool
}

// An entry is what became of one slot.
type entry struct {
	open  bool         // a rule that reads or writes it has not agreed
	late  bool         // it changed by the write, and a rule must see that as a move
	early bool         // as late, but only if no rule wrote it: a one-way rule finds out without
	sent  record.Value // what a rule sent, or would have; Absent: nothing
	keep  bool         // a rule holds because of what was sent earlier
}

func (b *ledger) entries(s record.Side, seen, shown []record.Value) []entry {
	out := make([]entry, len(shown))
	for i := range b.d.Verdicts {
		v := &b.d.Verdicts[i]
		rule := &b.r.Fields[v.Rule]
		sent := b.sent(v, s)
		note := func(slot int) {
			if slot >= len(out) {
				return
			}
			e := &out[slot]
			if !b.done(v) {
				e.open = true
			}
			if seen[slot] == shown[slot] || sent != nil && slices.Contains(rule.Paths[s], slot) {
				return
			}
			if rule.TwoWay() {
				e.late = true
			} else {
				e.early = true
			}
		}
		for _, slot := range rule.Reads[s] {
			note(slot)
		}
		for k, slot := range rule.Paths[s] {
			if !slices.Contains(rule.Reads[s], slot) {
				note(slot)
			}
			if slot >= len(out) {
				continue
			}
			if v.Outcome == Skip && rule.TwoWay() {
				out[slot].open = true // nobody agreed while the rule was off: its edits are moves when it is on again
			}
			if sent != nil && b.done(v) {
				out[slot].sent = sent[k]
			}
			if v.Implied[s] == nil || v.Implied[s][k] == at(b.in.Link.Sent[s], slot) {
				out[slot].keep = true
			}
		}
	}
	return out
}

// owe gives the rules that could not be decided when a record was made from its twin a base: the twin showed
// nothing, and the new record what it shows. So the twin's values count as moved, and go over as soon as they
// can, whereas what the new record has in their place was written by nobody and does not lead, not even on a
// side that is in first.
func (b *ledger) owe(l *record.Link, shown [2][]record.Value) {
	made, from := b.d.Side, b.d.Side.Other()
	for i := range b.d.Verdicts {
		v := &b.d.Verdicts[i]
		rule := &b.r.Fields[v.Rule]
		waits := v.Outcome == Hold || v.Outcome == Skip && rule.TwoWay()
		if rule.To[made] == nil || !waits || !slices.ContainsFunc(rule.Reads[from], func(slot int) bool { return !at(shown[from], slot).Empty() }) {
			continue
		}
		for _, s := range record.Sides {
			for _, slot := range slices.Concat(rule.Reads[s], rule.Paths[s]) {
				switch {
				case at(l.Base[s], slot).Known():
				case s == from:
					l.Base[s][slot] = record.NullValue
				case at(shown[s], slot).Known():
					l.Base[s][slot] = shown[s][slot].Clone()
				}
			}
		}
	}
	for _, s := range record.Sides {
		l.Now[s] = news(l.Base[s], shown[s])
	}
}

// done reports whether a verdict leaves its slots agreed.
func (b *ledger) done(v *Verdict) bool {
	switch v.Outcome {
	case Keep:
		return true
	case Skip:
		return v.Row != 5 // a drift that is kept stays a drift
	case Write:
		return (v.To[0] == nil || !b.failed[0]) && (v.To[1] == nil || !b.failed[1])
	}
	return false
}

// sent returns what a verdict counts as having sent to side s, in the order of the rule's paths. A field
// that is kept without holding was accepted as it is (a person decided, or a create left a null to the
// system's default): what is implied now has been answered.
func (b *ledger) sent(v *Verdict, s record.Side) []record.Value {
	if v.Outcome == Keep && !v.Holds {
		return v.Implied[s]
	}
	if v.Outcome == Write {
		return v.To[s]
	}
	return nil
}

// open reports whether anything waits.
func (b *ledger) open() bool {
	if b.failed[0] || b.failed[1] {
		return true
	}
	return slices.ContainsFunc(b.d.Verdicts, func(v Verdict) bool { return v.Outcome == Conflict || v.Outcome == Hold })
}

func (b *ledger) settle(l *record.Link, s record.Side, entries []entry, shown []record.Value) {
	base, sent := sized(l.Base[s], len(shown)), sized(l.Sent[s], len(shown))
	old := *l
	was := func(slot int) record.Value { return lastSeen(&old, s, slot) }
	for slot, e := range entries {
		if !shown[slot].Known() {
			continue
		}
		wrote := e.sent.Known()
		switch {
		case wrote && e.sent != shown[slot]:
			sent[slot] = e.sent.Clone()
		case wrote || !e.keep || was(slot) != shown[slot]:
			sent[slot] = record.Value{}
		}
		if e.open || e.late || e.early && !wrote {
			continue
		}
		if base[slot] != shown[slot] {
			base[slot] = shown[slot].Clone()
		}
	}
	l.Base[s], l.Sent[s], l.Now[s] = base, nil, news(base, shown)
	if slices.ContainsFunc(sent, record.Value.Known) {
		l.Sent[s] = sent
	}
}

// news is what is shown, where that differs from base, else nil.
func news(base, shown []record.Value) []record.Value {
	if slices.Equal(base, shown) {
		return nil
	}
	out := make([]record.Value, len(shown))
	for i, v := range shown {
		out[i] = v.Clone()
	}
	return out
}

// A Drop is a value that a system took and stored as something else.
type Drop struct {
	Side   record.Side
	Set    Set
	Stored record.Value
}

// Dropped lists what was stored otherwise than d sent it. A value that was not delivered back counts as stored.
func Dropped(d Decision, stored [2][]record.Value) []Drop {
	var out []Drop
	for _, s := range record.Sides {
		for _, set := range d.Sets[s] {
			if got := at(stored[s], set.Slot); got.Kind() != record.Absent && got != set.To {
				out = append(out, Drop{Side: s, Set: set, Stored: got})
			}
		}
	}
	return out
}
