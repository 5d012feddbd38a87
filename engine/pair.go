package engine

import (
	"fmt"
	"strings"
	"time"

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
		if err := p.fetchTwins(block, open); err != nil {
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

// fetchTwins searches the other system for records that did not move and so are not in the spool, and this
// side's for others that carry the same value.
func (p *pass) fetchTwins(block int, ms []Moved) error {
	for _, s := range [2]record.Side{p.side.Other(), p.side} {
		if p.r.views[s].first && p.r.views[s].full {
			continue // nothing was settled before: whatever there is is in the spool
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
			continue
		}
		k := p.r.sink(p.ctx, s)
		pr := newPrinter(p.r.rules.Digest)
		err := p.r.find(p.ctx, s, p.r.rules.Match[block].Slots[s], values, func(rec record.Record) error {
			if _, there, err := p.r.spool.Get(p.ctx, s, rec.Key); err != nil || there {
				return err
			}
			in, err := p.r.inScope(s, rec.Values)
			if err != nil {
				return err
			}
			presence := reconcile.Present
			if !in {
				presence = reconcile.OutOfScope
			}
			if s != p.side {
				p.found[rec.Key] = true
			}
			return k.put(rec, presence, pr.of(rec.Key, rec.Values))
		})
		if err != nil {
			return fmt.Errorf("look for twins by %s on %s: %w", p.r.rules.Sides[s].Paths[p.r.rules.Match[block].Slots[s]], p.r.name(s), err)
		}
		if err := k.flush(); err != nil {
			return err
		}
	}
	return nil
}

// match tries one block on one stranger and reports whether that decided about it.
func (p *pass) match(block int, m Moved) (bool, error) {
	r := p.r
	if m.Match[block] == 0 {
		return false, nil
	}
	twins, err := p.carrying(p.side.Other(), block, m)
	if err != nil || len(twins) == 0 {
		return false, err
	}
	if p.side == record.Right {
		for _, t := range twins {
			if !p.found[t.Record.Key] && t.Presence == reconcile.Present {
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
	same, err := p.carrying(p.side, block, m)
	if err != nil {
		return false, err
	}
	value := r.rules.Match[block]
	what := fmt.Sprintf("%s.%s %s", r.name(p.side), r.rules.Sides[p.side].Paths[value.Slots[p.side]], m.Record.Values[value.Slots[p.side]])
	if len(same) > 1 {
		return true, p.conflict(block, m, fmt.Sprintf("%s is carried by %s %s: it must be unique to pair", what, r.name(p.side), names(same)))
	}
	if len(twins) > 1 {
		return true, p.conflict(block, m, fmt.Sprintf("%s matches %s %s: it must be unique to pair", what, r.name(p.side.Other()), names(twins)))
	}
	twin := twins[0]
	if twin.Presence != reconcile.Present {
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
	for earlier := range block {
		rivals, err := p.carrying(p.side, earlier, twin)
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
	in, _, err := r.input(p.ctx, link, hand)
	if err != nil {
		return false, err
	}
	return true, p.add(in)
}

// carrying returns the records of side s whose value for a match block is the one that m has on its own side.
// A few are enough: more than one is a conflict whatever their number.
func (p *pass) carrying(s record.Side, block int, m Moved) ([]Moved, error) {
	if m.Match[block] == 0 {
		return nil, nil
	}
	var out []Moved
	err := p.r.spool.Matching(p.ctx, s, block, m.Match[block], func(c Moved) error {
		if c.Presence == reconcile.Gone {
			return nil
		}
		if len(out) < 5 {
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
	if at, ok := p.r.inFlight[p.side][m.Record.Key]; ok {
		h := plan.Hold{Sync: p.r.rules.Sync, Keys: oneKey(p.side, m.Record.Key), Labels: oneKey(p.side, m.Record.Label),
			Cause: fmt.Sprintf("a create sent at %s was never answered and may still appear", at.UTC().Format(time.TimeOnly)),
			Hint:  "nothing to do: it is looked for again, and sent again with the same marker once it cannot appear any more",
			Next:  at.Add(settleWindow)}
		return p.r.spoolItem(p.ctx, unit{Keys: h.Keys, Lead: true}, plan.Item{Hold: &h})
	}
	in, _, err := p.r.input(p.ctx, record.Link{Key: oneKey(p.side, m.Record.Key)}, at(p.side, &m))
	if err != nil {
		return err
	}
	return p.add(in)
}
