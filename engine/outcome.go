package engine

import (
	"slices"

	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// written is what became of a link's writes so far.
type written struct {
	record [2]*record.Record // as the system stored it; nil where nothing was written
	failed [2]bool           // a write was due on that side and did not happen (yet)
	holds  []plan.Hold       // why
	wait   bool              // something is not settled: the observed records must be looked at again
	told   map[place]bool    // edits that an earlier fold of this link has accounted for
}

// outcome says what is to be remembered of a link after its writes: of a quiet one, after none.
func (r *Run) outcome(ld loaded, w written) Fold {
	in, d := ld.in, ld.d
	f := Fold{Decided: true, Keys: ld.keys, Waiting: r.waits(in, d, w)}
	link := in.Link
	switch d.Life {
	case reconcile.Stay, reconcile.CreateOn:
		if d.Life == reconcile.CreateOn && w.record[d.Side] == nil {
			if in.Link.ID == 0 {
				// Nothing was made: its hold is remembered by its key, and its fingerprint, so that it is
				// looked at again when the hold is due or when it changes, not whenever it is seen.
				f.Prints = ld.prints
				return f
			}
			link.Status = record.Held
			f.Link, f.Prints = &link, ld.prints
			return f
		}
		var stored [2][]record.Value
		for _, s := range record.Sides {
			if w.record[s] != nil {
				stored[s] = settled(in, d, s, w.record[s])
				in.Presence[s] = reconcile.Present
				if old := in.Link.Key[s]; old != "" && old != w.record[s].Key {
					f.Forget[s] = keyHash(old) // made again under another key: should the old one come back, it is a stranger
				}
				in.Record[s].Key, in.Record[s].Label, in.Record[s].Version = w.record[s].Key, w.record[s].Label, w.record[s].Version
			}
		}
		link = reconcile.Settle(r.rules, in, d, stored, w.failed)
		if len(w.holds) > 0 {
			link.Status = record.Held
		}
		w.wait = w.wait || (len(w.holds) > 0 || !r.alone(in, d, stored)) && r.restless(in, link, stored, w.holds)
		for _, s := range record.Sides {
			switch {
			case d.Life == reconcile.CreateOn && s == d.Side && !r.enters(s, stored[s]):
				f.Prints[s] = mark(link.Key[s], markUnproved)
			case w.wait && ld.prints[s] != nil && ld.prints[s].born():
				f.Prints[s] = ld.prints[s]
			case w.wait:
				f.Prints[s] = unsettled(link.Key[s])
			case stored[s] != nil:
				p := newPrinter(r.rules.Digest).of(link.Key[s], stored[s])
				f.Prints[s] = &p
			default:
				f.Prints[s] = ld.prints[s]
			}
		}
	case reconcile.Ignore:
		f.Decided = len(r.waiting[waitKey(ld.keys)]) > 0
		f.Prints = ld.prints
		return f
	case reconcile.HoldLink:
		if link.ID == 0 {
			f.Prints = ld.prints
			return f
		}
		link.Status = record.Held
		for _, s := range record.Sides {
			showsNow(&link, in, s)
			f.Prints[s] = ld.prints[s]
			if in.Presence[s] == reconcile.OutOfScope && in.Born[s] {
				f.Prints[s] = mark(link.Key[s], markOutside)
			}
		}
	case reconcile.Detach:
		link.Status = record.Detached
		for _, s := range record.Sides {
			if in.Presence[s] == reconcile.Present {
				showsNow(&link, in, s)
				f.Prints[s] = ld.prints[s]
			} else {
				f.Forget[s] = keyHash(link.Key[s])
			}
		}
	default: // End, UpdateOn, DeleteOn
		if w.failed[d.Side] && d.Life != reconcile.End {
			if len(w.holds) > 0 {
				link.Status = record.Held
				f.Link = &link
				f.Prints[d.Side.Other()] = ld.prints[d.Side.Other()]
			}
			return f
		}
		link.Status = record.Ended
		f.End, f.TombUntil = d.Why, r.started.Add(tombLife)
		for _, s := range record.Sides {
			switch {
			case in.Presence[s] != reconcile.Present || d.Life == reconcile.DeleteOn:
				f.Forget[s] = keyHash(link.Key[s])
			case w.record[s] != nil:
				p := newPrinter(r.rules.Digest).of(link.Key[s], settled(in, d, s, w.record[s]))
				f.Prints[s] = &p
			default:
				f.Prints[s] = ld.prints[s]
			}
		}
	}
	f.Link = &link
	return f
}

// Marks stand in the place of a fingerprint: of a record that has one, whatever is seen differs from what was settled.
const (
	markUnsettled = iota // it is to be looked at again, whether a scan shows it or not
	markUnproved         // as that; a run created it, and nothing has shown yet that it is in scope
	markOutside          // a run created it, and it was found out of scope
)

// mark is a mark for a record; nil without a key.
func mark(key string, m uint64) *Print {
	if key == "" {
		return nil
	}
	return &Print{Hash: keyHash(key), Print: m}
}

func unsettled(key string) *Print { return mark(key, markUnsettled) }

// born reports whether p says that a run created the record and that it was never seen in scope.
func (p Print) born() bool { return p.Print == markUnproved || p.Print == markOutside }

// enters reports whether a record that shows these values is certainly in the scope of its side. What only the system
// can tell the next observation finds out.
func (r *Run) enters(s record.Side, values []record.Value) bool {
	side := &r.rules.Sides[s]
	if in, err := r.inScope(s, values); err != nil || !in {
		return false
	}
	if r.job.Ends[s].Native == "" {
		return true
	}
	return side.Sure && !slices.ContainsFunc(side.Needs, func(n reconcile.Need) bool { return values[n.Slot] != n.To })
}

// alone reports whether what was written cannot matter to anything but the rules that asked for it: these got just what
// they wanted, and no other looks at it. Deciding again, as restless does, would find nothing.
func (r *Run) alone(in reconcile.Input, d reconcile.Decision, stored [2][]record.Value) bool {
	if d.Life != reconcile.Stay || len(in.Link.Meant) > 0 {
		return false
	}
	for _, s := range record.Sides {
		if stored[s] == nil && len(d.Sets[s]) > 0 {
			return false
		}
		for _, set := range d.Sets[s] {
			if set.Rule < 0 || stored[s][set.Slot] != set.To {
				return false
			}
			for i := range r.rules.Fields {
				f := &r.rules.Fields[i]
				if i != set.Rule && (slices.Contains(f.Reads[s], set.Slot) || slices.Contains(f.Paths[s], set.Slot)) {
					return false
				}
			}
		}
	}
	for i := range d.Verdicts {
		if v := &d.Verdicts[i]; v.Policy == reconcile.PingPong || r.rules.Fields[v.Rule].When != nil {
			return false
		}
	}
	return true
}

// restless reports whether a link asks for more writes after the ones that stored tells of: a written value may make
// the condition of another rule true. Nobody will move these records again, so they must not count as seen. What is held
// waits for its time.
func (r *Run) restless(in reconcile.Input, link record.Link, stored [2][]record.Value, held []plan.Hold) bool {
	if stored[0] == nil && stored[1] == nil {
		return false
	}
	in.Link = link
	for _, s := range record.Sides {
		if stored[s] != nil {
			in.Record[s].Values = stored[s]
		}
	}
	d := reconcile.Decide(r.rules, in)
	asks := func(set reconcile.Set) bool {
		return set.Rule < 0 || !slices.ContainsFunc(held, func(h plan.Hold) bool { return h.Field == r.rules.Fields[set.Rule].Name })
	}
	return slices.ContainsFunc(d.Sets[0], asks) || slices.ContainsFunc(d.Sets[1], asks) || len(d.Needs) > 0 || slices.ContainsFunc(d.Verdicts, func(v reconcile.Verdict) bool {
		return v.Outcome == reconcile.Conflict && v.Policy == reconcile.PingPong // to be told
	})
}

// settled is what a side shows after a write as far as this run has decided about it: what was observed, with
// the written values as the system stored them. What else the answer shows (somebody's edit meanwhile, a
// server rule) is left out, so that the next observation finds it moved.
func settled(in reconcile.Input, d reconcile.Decision, s record.Side, rec *record.Record) []record.Value {
	if len(in.Record[s].Values) == 0 {
		return rec.Values
	}
	vs := slices.Clone(in.Record[s].Values)
	for _, set := range d.Sets[s] {
		vs[set.Slot] = rec.Values[set.Slot]
	}
	return vs
}

// showsNow has a link remember what a side was seen to show.
func showsNow(l *record.Link, in reconcile.Input, s record.Side) {
	if in.Presence[s] != reconcile.Present && in.Presence[s] != reconcile.Unsure {
		l.Now[s] = nil
		return
	}
	reconcile.Shows(l, s, in.Record[s].Values)
}

// waits are the conflicts and holds that a decision leaves, and those of its failed writes.
func (r *Run) waits(in reconcile.Input, d reconcile.Decision, w written) []Waiting {
	var ws []Waiting
	for _, c := range reconcile.Conflicts(r.rules, in, d) {
		c.Since = r.started
		wait := Waiting{Conflict: &c}
		for i := range d.Verdicts {
			if v := &d.Verdicts[i]; r.rules.Fields[v.Rule].Name == c.Field {
				wait.Seen = v.Now
			}
		}
		if choice, ok := in.Decided[c.Field]; ok {
			wait.Choice = &choice
		}
		ws = append(ws, wait)
	}
	said := slices.DeleteFunc(reconcile.Holds(r.rules, in, d), func(h plan.Hold) bool {
		return h.Field != "" && slices.ContainsFunc(w.holds, func(o plan.Hold) bool { return o.Field == h.Field }) // with its way out
	})
	for _, h := range append(said, w.holds...) {
		h.Since = r.started
		ws = append(ws, Waiting{Hold: &h})
	}
	return ws
}
