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

// recall gives a decision that is about to write what it wrote before the history of its link, so that it can tell a
// cycle from a fresh edit; true if it has to be made again. Everybody else pays one look into the history of a link that
// is about to be written.
func (r *Run) recall(ctx context.Context, in *reconcile.Input, d *reconcile.Decision) (bool, error) {
	if d.Life != reconcile.Stay || in.Link.ID == 0 || in.Past != nil || len(d.Needs) > 0 || len(d.Sets[0])+len(d.Sets[1]) == 0 {
		return false, nil
	}
	if again, err := r.repeats(ctx, in, d); err != nil || !again {
		return false, err
	}
	var own []Entry
	err := r.book.History(ctx, in.Link.ID, func(x Entry) error {
		if in.Time.Sub(x.At) < lately {
			own = append(own, x)
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	others, err := r.peers(ctx, in)
	if err != nil {
		return false, err
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
				return false, err
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
	return true, nil
}

// repeats reports whether a decision is about to replace a value that a rule has replaced at the same place before.
func (r *Run) repeats(ctx context.Context, in *reconcile.Input, d *reconcile.Decision) (bool, error) {
	for _, s := range record.Sides {
		for _, set := range d.Sets[s] {
			latest, err := r.book.Latest(ctx, in.Link.ID, s, r.rules.Sides[s].Paths[set.Slot], turnsKnown)
			if err != nil {
				return false, err
			}
			for _, x := range latest {
				if (x.Cause == ByRule || x.Cause == Unseen) && in.Time.Sub(x.At) < lately && in.Record[s].Values[set.Slot] == x.Value {
					return true, nil
				}
			}
		}
	}
	return false, nil
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
