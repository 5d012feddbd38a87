package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// pair finds the twins of the strangers gathered so far: records that are in scope and have no link. The
// match blocks are asked in order; the first that finds anything decides. Two candidates, a candidate that is
// linked already, or one that another record claims, are a conflict and never a guess.
func (p *pass) pair() error {
	strangers := p.strangers
	p.strangers = nil
	open := strangers
	for block := range p.r.rules.Match {
		if len(open) == 0 {
			break
		}
		if err := p.gather(block, open); err != nil {
			return err
		}
		var rest []Moved
		for _, m := range open {
			done, err := p.match(block, m)
			if err != nil {
				return err
			}
			if !done {
				rest = append(rest, m)
			}
		}
		open = rest
	}
	for _, m := range open {
		if err := p.alone(m); err != nil {
			return err
		}
	}
	return nil
}

// gather brings together, in p.carriers, the records of both sides that carry the match values of ms: from the
// spool, and by a search of the system those that did not move and so are not there. This side is searched
// only for values that have a twin: there they must be unique.
func (p *pass) gather(block int, ms []Moved) error {
	for _, s := range [2]record.Side{p.side.Other(), p.side} {
		if err := p.search(s, block, ms); err != nil {
			return err
		}
		if err := p.index(s, block, ms); err != nil {
			return err
		}
		ms = slices.DeleteFunc(slices.Clone(ms), func(m Moved) bool { return len(p.carriers[s][m.Match[block]]) == 0 })
	}
	return nil
}

// search puts into the spool what a system finds under the match values of ms.
func (p *pass) search(s record.Side, block int, ms []Moved) error {
	if p.r.views[s].first && p.r.views[s].full && p.r.job.Ends[s].Native == "" {
		return nil // nothing was settled before: whatever there is is in the spool
	}
	slot := p.r.rules.Match[block].Slots[p.side]
	var values []record.Value
	seen := make(map[string]bool)
	for _, m := range ms {
		v := m.Record.Values[slot]
		if t := matchValue(v); t != "" && !seen[t] {
			seen[t] = true
			values = append(values, v)
		}
	}
	if len(values) == 0 {
		return nil
	}
	var found []record.Record
	var keys []string
	err := p.r.find(p.ctx, s, p.r.rules.Sides[s].Paths, p.r.rules.Match[block].Slots[s], values, func(rec record.Record) error {
		if _, there, err := p.r.spool.Get(p.ctx, s, rec.Key); err != nil || there {
			return err
		}
		rec = rec.Clone()
		found, keys = append(found, rec), append(keys, rec.Key)
		return nil
	})
	if err != nil {
		return fmt.Errorf("look for twins by %s on %s: %w", p.r.rules.Sides[s].Paths[p.r.rules.Match[block].Slots[s]], p.r.name(s), err)
	}
	return p.take(s, found, keys)
}

// take puts records that were found by a match value into the spool. A search knows nothing of a scope in the system's
// own language: where the system can, it is asked; else what is found counts as in scope, until a scan shows that it is not.
func (p *pass) take(s record.Side, found []record.Record, keys []string) error {
	if len(found) == 0 {
		return nil
	}
	inside, told, err := p.r.inside(p.ctx, s, keys)
	if err != nil {
		return err
	}
	k := p.r.sink(p.ctx, s)
	pr := newPrinter(p.r.rules.Digest)
	for _, rec := range found {
		print := pr.of(rec.Key, rec.Values)
		in, doubt := p.r.inScope(s, rec.Values)
		if s != p.side {
			p.found[rec.Key] = true
		}
		switch {
		case doubt != nil:
			err = k.unsure(rec, print, doubt)
		case !in, told && inside != nil && !inside[rec.Key]:
			err = k.put(rec, reconcile.OutOfScope, print)
		default:
			err = k.put(rec, reconcile.Present, print)
		}
		if err != nil {
			return err
		}
	}
	return k.flush()
}

// match tries one block on one stranger and reports whether that decided about it.
func (p *pass) match(block int, m Moved) (bool, error) {
	r := p.r
	if m.Match[block] == 0 {
		return false, nil
	}
	twins := p.carriers[p.side.Other()][m.Match[block]]
	if len(twins) == 0 {
		return false, nil
	}
	if p.side == record.Right {
		for _, t := range twins {
			if !p.found[t.Record.Key] && t.Presence != reconcile.OutOfScope {
				l, err := p.link(record.Left, t.Record.Key)
				if err != nil {
					return false, err
				}
				if l == nil {
					return true, nil // the pass over the left side has paired it, or said why not
				}
			}
		}
	}
	same := p.carriers[p.side][m.Match[block]]
	value := r.rules.Match[block]
	what := fmt.Sprintf("%s.%s %s", r.name(p.side), r.rules.Sides[p.side].Paths[value.Slots[p.side]], m.Record.Values[value.Slots[p.side]])
	if len(same) > 1 {
		return true, p.conflict(block, m, fmt.Sprintf("%s is carried by %s %s: it must be unique to pair", what, r.name(p.side), names(same)))
	}
	if len(twins) > 1 {
		return true, p.conflict(block, m, fmt.Sprintf("%s matches %s %s: it must be unique to pair", what, r.name(p.side.Other()), names(twins)))
	}
	twin := twins[0]
	if twin.Presence == reconcile.OutOfScope {
		// Its twin exists and is out of scope: nothing to pair with, and nothing to create either.
		return true, r.settleOnly(p.ctx, unit{Keys: oneKey(p.side, m.Record.Key), Only: true})
	}
	l, err := p.link(p.side.Other(), twin.Record.Key)
	if err != nil {
		return false, err
	}
	if l != nil {
		return true, p.conflict(block, m, fmt.Sprintf("%s matches %s %s, which is linked to %s %s already",
			what, r.name(p.side.Other()), twin.Record.Name(), r.name(p.side), l.Key[p.side]))
	}
	keys := oneKey(p.side, m.Record.Key)
	keys[p.side.Other()] = twin.Record.Key
	if apart, err := p.parted(keys); err != nil {
		return false, err
	} else if apart {
		return true, r.settleOnly(p.ctx, unit{Keys: keys, Only: true})
	}
	for earlier := range block {
		rivals, err := p.claims(earlier, twin)
		if err != nil {
			return false, err
		}
		if len(rivals) > 0 {
			return true, p.conflict(block, m, fmt.Sprintf("%s matches %s %s, which %s claims by %s",
				what, r.name(p.side.Other()), twin.Record.Name(), names(rivals), r.rules.Match[earlier].At))
		}
	}
	link := record.Link{}
	link.Key[p.side], link.Key[p.side.Other()] = m.Record.Key, twin.Record.Key
	hand := at(p.side, &m)
	hand[p.side.Other()] = &twin
	in, prints, err := r.input(p.ctx, link, hand)
	if err != nil {
		return false, err
	}
	return true, p.add(in, prints)
}

// index reads from the spool the records of a side that carry the match values of ms.
func (p *pass) index(s record.Side, block int, ms []Moved) error {
	hashes := make([]uint64, 0, len(ms))
	for _, m := range ms {
		if h := m.Match[block]; h != 0 {
			hashes = append(hashes, h)
		}
	}
	carriers := make(map[uint64][]Moved, len(hashes))
	p.carriers[s] = carriers
	if len(hashes) == 0 {
		return nil
	}
	return p.r.spool.Matching(p.ctx, s, block, hashes, func(c Moved) error {
		if c.Presence != reconcile.Gone {
			carriers[c.Match[block]] = append(carriers[c.Match[block]], c)
		}
		return nil
	})
}

// claims returns records of the passing side whose value for an earlier block is that of twin.
func (p *pass) claims(block int, twin Moved) ([]Moved, error) {
	if twin.Match[block] == 0 {
		return nil, nil
	}
	var out []Moved
	err := p.r.spool.Matching(p.ctx, p.side, block, []uint64{twin.Match[block]}, func(c Moved) error {
		if c.Presence != reconcile.Gone {
			out = append(out, c)
		}
		return nil
	})
	return out, err
}

func names(ms []Moved) string {
	var ns []string
	for _, m := range ms {
		ns = append(ns, m.Record.Name())
	}
	return strings.Join(ns, ", ")
}

func (p *pass) conflict(block int, m Moved, why string) error {
	c := plan.Conflict{Sync: p.r.rules.Sync, Keys: oneKey(p.side, m.Record.Key), Labels: oneKey(p.side, m.Record.Label),
		At: p.r.rules.Match[block].At, Policy: "match", Why: why}
	return p.r.spoolItem(p.ctx, unit{Keys: c.Keys, Lead: true}, plan.Item{Conflict: &c})
}

// alone decides about a stranger without a twin: create one, or leave it be.
func (p *pass) alone(m Moved) error {
	dead, err := p.r.book.Tomb(p.ctx, p.side, m.Record.Key, p.r.started)
	if err != nil {
		return err
	}
	if dead {
		return p.r.settleOnly(p.ctx, unit{Keys: oneKey(p.side, m.Record.Key), Only: true})
	}
	in, prints, err := p.r.input(p.ctx, record.Link{Key: oneKey(p.side, m.Record.Key)}, at(p.side, &m))
	if err != nil {
		return err
	}
	return p.add(in, prints)
}
