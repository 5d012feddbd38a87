package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// ErrNoLink is wrapped when a key belongs to no link.
var ErrNoLink = errors.New("no link")

// An Explanation is a link with its two records as they are now, and what the rules say of them.
type Explanation struct {
	Rules    *reconcile.Rules
	Input    reconcile.Input
	Decision reconcile.Decision
	Waiting  []Waiting
}

// Explain reads both records of a link and decides about them, writing nothing. key is a record's key or label
// on either side. ErrNoLink (wrapped) when there is none.
func (e *Engine) Explain(ctx context.Context, j Job, key string) (*Explanation, error) {
	r, err := e.open(ctx, j, lease{})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	l, err := r.linkOf(ctx, key)
	if err != nil {
		return nil, err
	}
	ld, err := r.live(ctx, *l)
	if err != nil {
		return nil, err
	}
	x := &Explanation{Rules: r.rules, Input: ld.in, Decision: ld.d}
	err = r.book.Waiting(ctx, l.ID, func(w Waiting) error { x.Waiting = append(x.Waiting, w); return nil })
	return x, err
}

// Look reads the record that a key or label names, and its twin where it is linked, with these paths; of a side without
// any the paths of its rules. A side that has no such record is nil. ErrNoLink (wrapped) when neither has one.
func (e *Engine) Look(ctx context.Context, j Job, key string, paths [2][]string) (recs [2]*record.Record, err error) {
	r, err := e.open(ctx, j, lease{})
	if err != nil {
		return recs, err
	}
	defer r.Close()
	var keys [2]string
	l, noLink := r.linkOf(ctx, key)
	switch {
	case noLink == nil:
		keys = l.Key
	case !errors.Is(noLink, ErrNoLink):
		return recs, noLink
	default:
		for _, s := range record.Sides {
			rec, err := r.named(ctx, s, key)
			if err != nil {
				return recs, fmt.Errorf("read %s %s: %w", r.name(s), key, err)
			}
			if rec != nil {
				keys[s] = rec.Key
				break
			}
		}
	}
	for _, s := range record.Sides {
		if keys[s] == "" {
			continue
		}
		if len(paths[s]) == 0 {
			paths[s] = r.rules.Sides[s].Paths
		}
		err := j.Ends[s].Handle.Read(ctx, paths[s], []string{keys[s]}, func(rec record.Record) error {
			rec = rec.Clone()
			recs[s] = &rec
			return nil
		})
		if err != nil {
			return recs, fmt.Errorf("read %s %s: %w", r.name(s), keys[s], err)
		}
	}
	if recs[0] == nil && recs[1] == nil {
		return recs, fmt.Errorf("%w of %s with %q: neither %s nor %s has a record by that key", ErrNoLink, r.rules.Sync, key, r.name(0), r.name(1))
	}
	return recs, nil
}

// live reads both records of a link straight from their systems and decides.
func (r *Run) live(ctx context.Context, l record.Link) (loaded, error) {
	in, _, err := r.input(ctx, l, [2]*Moved{})
	if err != nil {
		return loaded{}, err
	}
	for _, s := range record.Sides {
		if r.views[s].before, r.views[s].had, err = r.book.Cursor(ctx, s); err != nil {
			return loaded{}, err
		}
		in.Clock[s] = r.clock(s) // as the last run measured it
		if l.Key[s] == "" {
			continue
		}
		found, err := r.read(ctx, s, []string{l.Key[s]})
		if err != nil {
			return loaded{}, fmt.Errorf("read %s %s: %w", r.name(s), l.Key[s], err)
		}
		rec, ok := found[l.Key[s]]
		if !ok {
			in.Presence[s], in.Record[s] = reconcile.Gone, record.Record{Key: l.Key[s], Label: l.Label[s]}
			continue
		}
		in.Record[s] = rec
		print := newPrinter(r.rules.Digest).of(rec.Key, rec.Values)
		settled, known, err := r.book.Print(ctx, s, print.Hash)
		if err != nil {
			return loaded{}, err
		}
		if known && settled == print {
			in.Record[s].Modified = time.Time{} // no run looks at it: a write of ours may have been the last
		}
		if in.Presence[s] == reconcile.OutOfScope && in.Born[s] && r.job.Ends[s].Native != "" {
			continue // as the last run found it: only a scan tells
		}
		in.Presence[s], in.Born[s] = reconcile.Present, known && settled.born()
		if ok, err := r.inScope(s, rec.Values); err != nil {
			return loaded{}, err
		} else if !ok {
			in.Presence[s] = reconcile.OutOfScope
		}
	}
	d, err := r.decideOne(ctx, &in)
	if err != nil {
		return loaded{}, err
	}
	return loaded{in: in, d: d, keys: l.Key}, nil
}

// seenConflict finds a stored conflict of one field and what a person saw of it; else it names those that wait.
func (r *Run) seenConflict(ctx context.Context, link int64, field string) (seen *[2][]record.Value, fields []string, err error) {
	err = r.book.Waiting(ctx, link, func(w Waiting) error {
		if w.Conflict == nil {
			return nil
		}
		if fields = append(fields, w.Conflict.Field); w.Conflict.Field == field {
			seen = &w.Seen
		}
		return nil
	})
	return seen, fields, err
}

// storeConflicts remembers the conflicts that a link has now, and nothing else of it.
func (r *Run) storeConflicts(ctx context.Context, l record.Link) error {
	ld, err := r.live(ctx, l)
	if err != nil {
		return err
	}
	ws := r.waits(ld.in, ld.d, written{})
	if len(ws) == 0 {
		return nil
	}
	l.Status = record.Held
	for _, s := range record.Sides {
		showsNow(&l, ld.in, s)
	}
	return r.book.Fold(ctx, []Fold{{Link: &l, Decided: true, Waiting: ws}})
}

// linkOf finds a link by a record's key or label on either side.
func (r *Run) linkOf(ctx context.Context, key string) (*record.Link, error) {
	for _, s := range record.Sides {
		if l, err := r.book.Link(ctx, s, key); err != nil || l != nil {
			return l, err
		}
	}
	var found *record.Link
	for _, status := range []record.Status{record.Live, record.Held, record.Detached} {
		err := r.book.Links(ctx, status, func(l record.Link) error {
			if l.Label[0] == key || l.Label[1] == key {
				found = &l
				return errStop
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStop) {
			return nil, err
		}
		if found != nil {
			return found, nil
		}
	}
	return nil, fmt.Errorf("%w of %s with %q: neither %s nor %s knows a record by that key", ErrNoLink, r.rules.Sync, key, r.name(0), r.name(1))
}

// Resolve stores a person's decision of a conflict; the next run carries it out as long as both records still
// show what the person saw.
func (e *Engine) Resolve(ctx context.Context, j Job, key, field string, side record.Side, by string) error {
	held, err := e.lease(ctx, j.Rules.Sync)
	if err != nil {
		return err
	}
	defer held.release(ctx)
	r, err := e.open(ctx, j, held)
	if err != nil {
		return err
	}
	defer r.Close()
	l, err := r.linkOf(ctx, key)
	if err != nil {
		return err
	}
	seen, fields, err := r.seenConflict(ctx, l.ID, field)
	if err != nil {
		return err
	}
	if seen == nil {
		// A conflict that only a preview has shown is not stored yet: look again and store it.
		if err := r.storeConflicts(ctx, *l); err != nil {
			return err
		}
		if seen, fields, err = r.seenConflict(ctx, l.ID, field); err != nil {
			return err
		}
	}
	if seen == nil {
		if len(fields) == 0 {
			return fmt.Errorf("no conflict waits on %s", key)
		}
		return fmt.Errorf("no conflict of field %q waits on %s; these do: %s", field, key, strings.Join(fields, ", "))
	}
	ok, err := r.book.Choose(ctx, l.ID, field, reconcile.Choice{Side: side, Seen: *seen, By: by})
	if err == nil && !ok {
		err = fmt.Errorf("the conflict of field %q on %s is no longer waiting", field, key)
	}
	return err
}
