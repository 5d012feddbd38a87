package engine

import (
	"context"
	"errors"

	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A Blame is a link with what its records show now, who set that, and what was there before.
type Blame struct {
	Rules    *reconcile.Rules
	Link     record.Link
	Presence [2]reconcile.Presence
	Now      [2][]record.Value // by slot; nil where there is no record
	Unread   [2]error          // why a side could not be read: Now is what it showed last
	Origins  []Origin
	History  []Entry
}

// Blame reads both records of a link, as far as their systems answer, and what is remembered of their values. It
// writes nothing. key is a record's key or label on either side; the link may have ended. ErrNoLink (wrapped) when
// there is none.
func (e *Engine) Blame(ctx context.Context, j Job, key string) (*Blame, error) {
	r, err := e.open(ctx, j, lease{})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	l, err := r.linkOf(ctx, key)
	if errors.Is(err, ErrNoLink) {
		buried, berr := r.buried(ctx, key)
		if berr != nil {
			return nil, berr
		}
		if buried != nil {
			l, err = buried, nil
		}
	}
	if err != nil {
		return nil, err
	}
	b := &Blame{Rules: r.rules, Link: *l}
	for _, s := range record.Sides {
		if l.Key[s] == "" {
			b.Presence[s] = reconcile.Missing
			continue
		}
		found, err := r.read(ctx, s, []string{l.Key[s]})
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		rec, there := found[l.Key[s]]
		switch {
		case err != nil:
			b.Unread[s], b.Now[s] = err, l.Shown(s)
		case there:
			b.Now[s] = rec.Values
			if rec.Label != "" {
				b.Link.Label[s] = rec.Label
			}
		default:
			b.Presence[s] = reconcile.Gone
		}
	}
	err = r.book.Origins(ctx, l.ID, func(o Origin) error { b.Origins = append(b.Origins, o); return nil })
	if err != nil {
		return nil, err
	}
	err = r.book.History(ctx, l.ID, func(h Entry) error { b.History = append(b.History, h); return nil })
	return b, err
}

// buried finds the link that ended last with a key; nil if none is remembered.
func (r *Run) buried(ctx context.Context, key string) (*record.Link, error) {
	for _, s := range record.Sides {
		id, err := r.book.Buried(ctx, s, key)
		if err != nil {
			return nil, err
		}
		if id == 0 {
			continue
		}
		if l, err := r.book.LinkByID(ctx, id); err != nil || l != nil && l.Status == record.Ended {
			return l, err
		}
	}
	return nil, nil
}
