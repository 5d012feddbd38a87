package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// lately is how far back a write is looked for that is about to be made again.
const lately = 7 * 24 * time.Hour

// turnsKnown is how many entries of one place are looked at for that: a cycle of more values than this is not seen.
const turnsKnown = 32

// A Peer is another sync of the same configuration that has the same collection on one of its sides.
type Peer struct {
	Sync string
	Side [2]record.Side    // of this sync, of the other one
	At   map[string]string // its fields → file:line
}

// recallAll gives decisions that are about to write what they wrote before the history of their links, so that they can
// tell a cycle from a fresh edit, and makes them again. The others pay a look into the history of each path that is about
// to be written.
func (r *Run) recallAll(ctx context.Context, ins []reconcile.Input, ds []reconcile.Decision) error {
	var places []Place
	for i := range ins {
		places = r.aims(places, &ins[i], &ds[i])
	}
	latest := make(map[Place][]Entry, len(places))
	err := r.book.Latest(ctx, places, turnsKnown, func(x Entry) error {
		latest[x.Place()] = append(latest[x.Place()], x)
		return nil
	})
	if err != nil || len(latest) == 0 {
		return err
	}
	for i := range ins {
		if r.repeats(latest, &ins[i], &ds[i]) {
			if err := r.recall(ctx, &ins[i]); err != nil {
				return err
			}
			ds[i] = reconcile.Decide(r.rules, ins[i])
		}
	}
	return nil
}

// aims adds the places that a decision is about to write, unless it knows their history already.
func (r *Run) aims(places []Place, in *reconcile.Input, d *reconcile.Decision) []Place {
	if d.Life != reconcile.Stay || in.Link.ID == 0 || in.Past != nil || len(d.Needs) > 0 {
		return places
	}
	for _, s := range record.Sides {
		for _, set := range d.Sets[s] {
			places = append(places, Place{in.Link.ID, s, r.rules.Sides[s].Paths[set.Slot]})
		}
	}
	return places
}

// repeats reports whether a decision is about to replace a value that a rule has replaced at the same place before.
func (r *Run) repeats(latest map[Place][]Entry, in *reconcile.Input, d *reconcile.Decision) bool {
	for _, at := range r.aims(nil, in, d) {
		slot := slices.Index(r.rules.Sides[at.Side].Paths, at.Path)
		for _, x := range latest[at] {
			if (x.Cause == ByRule || x.Cause == Unseen) && in.Time.Sub(x.At) < lately && in.Record[at.Side].Values[slot] == x.Value {
				return true
			}
		}
	}
	return false
}

// recall gathers the history that a decision is to look at.
func (r *Run) recall(ctx context.Context, in *reconcile.Input) error {
	var own []Entry
	err := r.book.History(ctx, in.Link.ID, func(x Entry) error {
		if in.Time.Sub(x.At) < lately {
			own = append(own, x)
		}
		return nil
	})
	if err != nil {
		return err
	}
	others, err := r.peers(ctx, in)
	if err != nil {
		return err
	}
	slices.SortFunc(own, func(a, b Entry) int { return cmp.Compare(a.ID, b.ID) })
	in.Past = []reconcile.Past{}
	for _, x := range own {
		if x.Path == "" {
			continue
		}
		p := r.past(x, x.Side)
		switch x.Cause {
		case ByRule, Unseen:
			if same, err := r.sameRules(ctx, x.Run); err != nil {
				return err
			} else if !same {
				continue // it was written under other rules, which is why it was
			}
			p.Rule, p.Ours = "field "+x.Rule, true
			if i := slices.IndexFunc(r.rules.Fields, func(f reconcile.Rule) bool { return f.Name == x.Rule }); i >= 0 {
				p.Rule = fmt.Sprintf("field %s (%s)", x.Rule, r.rules.Fields[i].At)
			}
		default:
			if slices.ContainsFunc(others, func(o reconcile.Past) bool {
				return o.Side == p.Side && o.Slot == p.Slot && o.To == p.To && o.Run <= p.Run
			}) {
				continue // this sync saw it as an edit, and it was another one's write
			}
		}
		in.Past = append(in.Past, p)
	}
	in.Past = append(in.Past, others...)
	return nil
}

func (r *Run) past(x Entry, s record.Side) reconcile.Past {
	return reconcile.Past{Side: s, Slot: slices.Index(r.rules.Sides[s].Paths, x.Path), From: x.Value, To: x.By, Run: x.Run, At: x.At, Author: x.Author}
}

// sameRules reports whether a run had the rules of now. One that nobody remembers had others.
func (r *Run) sameRules(ctx context.Context, run int64) (bool, error) {
	r.ruledMu.Lock()
	defer r.ruledMu.Unlock()
	same, known := r.ruled[run]
	if !known {
		acc, err := r.e.Store.RunByID(ctx, run)
		if err != nil {
			return false, err
		}
		same = acc != nil && acc.Rules == r.rules.Digest
		if r.ruled == nil {
			r.ruled = map[int64]bool{}
		}
		r.ruled[run] = same
	}
	return same, nil
}

// peers finds what other syncs have written lately to the records of a link.
func (r *Run) peers(ctx context.Context, in *reconcile.Input) ([]reconcile.Past, error) {
	var out []reconcile.Past
	for _, peer := range r.job.Peers {
		ours, theirs := peer.Side[0], peer.Side[1]
		b, err := r.e.Store.Book(ctx, peer.Sync, [2][]string{}, 0)
		if err != nil {
			return nil, err
		}
		l, err := b.Link(ctx, theirs, in.Link.Key[ours])
		if err != nil {
			return nil, err
		}
		if l == nil {
			continue
		}
		err = b.History(ctx, l.ID, func(x Entry) error {
			if x.Side != theirs || x.Cause != ByRule && x.Cause != Unseen || in.Time.Sub(x.At) >= lately {
				return nil
			}
			if p := r.past(x, ours); p.Slot >= 0 {
				p.Rule = fmt.Sprintf("field %s of sync %s (%s)", x.Rule, peer.Sync, peer.At[x.Rule])
				p.Rule = strings.TrimSuffix(p.Rule, " ()")
				out = append(out, p)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}
