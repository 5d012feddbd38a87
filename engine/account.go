package engine

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A write is one that a system has carried out.
type write struct {
	kind plan.Kind
	side record.Side
	rec  *record.Record // as it is stored now
	run  int64
	at   time.Time

	meant []record.Meant // what it replaced unseen
	blind bool           // it may have, and nobody knows what
}

// account adds to f who wrote what, and what that replaced. The value that counts is the one that is stored, not the
// one that was sent: where a system dropped it nothing was lost.
func (r *Run) account(f *Fold, in reconcile.Input, d reconcile.Decision, w write) {
	switch w.kind {
	case plan.Create:
		f.Lost = append(f.Lost, Lost{Side: w.side, Run: w.run, At: w.at, Cause: Made})
	case plan.Delete:
		f.Lost = append(f.Lost, Lost{Side: w.side, Run: w.run, At: w.at, Cause: Removed, Author: in.Record[w.side].Author})
		return
	}
	if w.blind {
		f.Lost = append(f.Lost, Lost{Side: w.side, Run: w.run, At: w.at, Cause: Jumped})
	}
	for _, set := range d.Sets[w.side] {
		path, rule, author := r.rules.Sides[w.side].Paths[set.Slot], "match", ""
		switch {
		case set.Meant != nil:
			rule, author = "", set.Meant.Author
		case set.Rule >= 0:
			rule = r.rules.Fields[set.Rule].Name
		case set.By != "":
			rule = set.By
		}
		if f.Link != nil {
			f.Origins = append(f.Origins, Origin{Side: w.side, Path: path, Rule: rule, Run: w.run, At: w.at, Author: author})
		}
		if w.kind != plan.Update || set.Slot >= len(in.Record[w.side].Values) {
			continue
		}
		old, now := in.Record[w.side].Values[set.Slot], set.To
		if stored := w.rec.Values[set.Slot]; stored.Known() {
			now = stored
		}
		if !old.Known() || old == now {
			continue
		}
		lost := Lost{Side: w.side, Path: path, Value: old, By: now, Rule: rule, At: w.at, Run: w.run, Author: in.Record[w.side].Author}
		if set.Meant != nil {
			lost.Cause, lost.Author, lost.Who = Averted, "", author
		}
		if m := meantAt(w.meant, w.side, set.Slot); m != nil {
			f.Lost = append(f.Lost, unseen(lost, m)...)
			continue
		}
		f.Lost = append(f.Lost, lost)
	}
}

// believable is how long ago an edit may have been made: a change stamp that is older, or in the future, says
// nothing, and what is told with it might be forgotten at once.
const believable = 30 * 24 * time.Hour

// accountEdits adds what was changed on the records themselves since both sides last agreed, by people or by rules
// of their systems, as soon as both agree on it. told has what an earlier fold of the same link told already.
func (r *Run) accountEdits(ctx context.Context, f *Fold, ld *loaded, run int64, told map[place]bool) error {
	in := &ld.in
	if f.Link == nil || ld.d.Life != reconcile.Stay {
		return nil
	}
	for _, s := range record.Sides {
		agreed, rec := f.Link.Base[s], &in.Record[s]
		for slot := range ld.edited(s) {
			now := rec.Values[slot]
			if slot >= len(agreed) || agreed[slot] != now || told[place{s, slot}] {
				continue
			}
			path := r.rules.Sides[s].Paths[slot]
			latest, looked := ld.latest[place{s, slot}]
			if !looked {
				if err := r.book.Latest(ctx, []Place{{in.Link.ID, s, path}}, 1, func(x Entry) error { latest = x; return nil }); err != nil {
					return err
				}
			}
			if told != nil {
				told[place{s, slot}] = true
			}
			if accounted(latest, now) {
				continue
			}
			at := r.started
			if m := rec.Modified; m.Before(at) && at.Sub(m) < believable {
				at = m
			}
			f.Origins = append(f.Origins, Origin{Side: s, Path: path, Run: run, At: at, Author: rec.Author})
			f.Lost = append(f.Lost, Lost{Side: s, Path: path, Value: in.Link.Base[s][slot], By: now, Run: run, At: at, Cause: ByEdit, Who: rec.Author})
		}
	}
	return nil
}

// edited are the slots of a side whose values moved since both sides agreed, and that are not to be written.
func (ld *loaded) edited(s record.Side) iter.Seq[int] {
	return func(yield func(int) bool) {
		was, now := ld.in.Link.Base[s], ld.in.Record[s].Values
		for slot := range min(len(was), len(now)) {
			if !was[slot].Known() || was[slot] == now[slot] || slices.ContainsFunc(ld.d.Sets[s], func(set reconcile.Set) bool { return set.Slot == slot }) {
				continue
			}
			if !yield(slot) {
				return
			}
		}
	}
}

// accounted reports whether the newest entry of a place tells already how its value came there: a person put it back, or
// it came of an edit which a run had not seen.
func accounted(latest Entry, now record.Value) bool {
	switch latest.Cause {
	case ByPerson, Unseen, Averted:
		return latest.By == now
	}
	return false
}

// A place is a slot of a side.
type place struct {
	side record.Side
	slot int
}

// unreplayed closes an intent whose write was found done and whose decision cannot be made again: because it was a
// person's, or because the rules have changed since. What it replaced is remembered; the rest is found by the next
// observation.
func (r *Run) unreplayed(in Intent, l *record.Link, rec record.Record, found []record.Meant) Fold {
	f := Fold{Intent: in.ID, Link: l}
	f.Keys[in.Side], f.Keys[in.Side.Other()] = in.Key, in.Twin
	if l != nil && l.Status == record.Ended {
		f.Link = nil // it would end once more
	}
	if in.Kind != plan.Update {
		return f
	}
	if f.Link != nil && in.By == "" {
		means(f.Link, found)
	}
	cause := ByRule
	if in.By != "" {
		cause = ByPerson
	}
	for slot, path := range r.rules.Sides[in.Side].Paths {
		to, wrote := in.New[path]
		if !wrote || slot >= len(rec.Values) {
			continue
		}
		if f.Link != nil {
			f.Origins = append(f.Origins, Origin{Side: in.Side, Path: path, Run: in.Run, At: in.At, Author: in.By})
		}
		if old := in.Expected[path]; old.Known() && old != to {
			lost := Lost{Side: in.Side, Path: path, Value: old, By: rec.Values[slot], Run: in.Run, At: in.At, Cause: cause, Who: in.By}
			if m := meantAt(found, in.Side, slot); m != nil {
				f.Lost = append(f.Lost, unseen(lost, m)...)
			} else {
				f.Lost = append(f.Lost, lost)
			}
		}
	}
	return f
}
