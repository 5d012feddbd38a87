package engine

import (
	"cmp"
	"context"
	"time"

	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// notSeen at hand stands for a record that was not observed, whatever the spool has of it by now.
var notSeen = &Moved{}

// inputs is input for several links, whose records come from the spool together. hands are as input has them.
func (r *Run) inputs(ctx context.Context, ls []record.Link, hands [][2]*Moved) ([]asked, error) {
	for _, s := range record.Sides {
		moved := make(map[string]*Moved)
		var keys []string
		for i := range ls {
			if key := ls[i].Key[s]; key != "" && hands[i][s] == nil {
				keys = append(keys, key)
			}
		}
		if err := r.spool.GetAll(ctx, s, keys, func(m Moved) error { moved[m.Record.Key] = &m; return nil }); err != nil {
			return nil, err
		}
		for i := range ls {
			if hands[i][s] == nil {
				hands[i][s] = cmp.Or(moved[ls[i].Key[s]], notSeen)
			}
		}
	}
	as := make([]asked, len(ls))
	var err error
	for i := range ls {
		if as[i].in, as[i].prints, err = r.input(ctx, ls[i], hands[i]); err != nil {
			return nil, err
		}
	}
	return as, nil
}

// input gathers what is known of a link now: what was observed in this run, else what was seen last. The
// fingerprints are of the records that this run observed. Moved records that the caller has at hand save asking
// the spool.
func (r *Run) input(ctx context.Context, l record.Link, hand [2]*Moved) (reconcile.Input, [2]*Print, error) {
	in := reconcile.Input{Link: l, Time: r.started}
	var prints [2]*Print
	for _, s := range record.Sides {
		in.Clock[s] = r.clock(s)
		key := l.Key[s]
		if key == "" {
			in.Presence[s] = reconcile.Missing
			continue
		}
		var m Moved
		there := false
		switch hand[s] {
		default:
			m, there = *hand[s], true
		case notSeen: // what was seen last counts
		case nil:
			var err error
			if m, there, err = r.spool.Get(ctx, s, key); err != nil {
				return in, prints, err
			}
		}
		if there {
			in.Presence[s], in.Record[s], prints[s] = m.Presence, m.Record, &m.Print
			in.Doubt[s] = r.doubt(s, key)
			if m.Presence == reconcile.OutOfScope {
				print, known, err := r.book.Print(ctx, s, keyHash(key))
				if err != nil {
					return in, prints, err
				}
				in.Born[s] = known && print.born()
			}
			continue
		}
		in.Record[s] = record.Record{Key: key, Label: l.Label[s], Version: l.Version[s], Values: l.Shown(s)}
		if l.Status == record.Held && len(in.Record[s].Values) > 0 {
			// It may wait because its scope could not be told, and the other side's edits must wait with it.
			if _, err := r.inScope(s, in.Record[s].Values); err != nil {
				in.Presence[s], in.Doubt[s] = reconcile.Unsure, err.Error()
			}
		}
		if l.Status == record.Live || l.ID == 0 {
			continue
		}
		print, settled, err := r.book.Print(ctx, s, keyHash(key))
		if err != nil {
			return in, prints, err
		}
		switch {
		case l.Status == record.Detached && !settled:
			// A detached side that did not move is in scope only if it was settled there.
			in.Presence[s], in.Record[s] = reconcile.OutOfScope, record.Record{Key: key, Label: l.Label[s]}
		case l.Status == record.Held && settled && print.Print == markOutside:
			// It was out of scope when it was last looked at, and that is what waits.
			in.Presence[s], in.Born[s], in.Doubt[s] = reconcile.OutOfScope, true, ""
		case l.Status == record.Held && settled && print == r.gonePrint(key):
			// It is gone since an earlier run, and what that means is what waits.
			in.Presence[s], in.Record[s], in.Doubt[s] = reconcile.Gone, record.Record{Key: key, Label: l.Label[s]}, ""
		}
	}
	if l.ID == 0 || l.Status != record.Held {
		return in, prints, nil
	}
	in.Since, in.Decided = map[string]time.Time{}, map[string]reconcile.Choice{}
	err := r.book.Waiting(ctx, l.ID, func(w Waiting) error {
		if w.Conflict == nil || w.Conflict.Field == "" {
			return nil
		}
		in.Since[w.Conflict.Field] = w.Conflict.Since
		if w.Choice != nil {
			in.Decided[w.Conflict.Field] = *w.Choice
		}
		return nil
	})
	return in, prints, err
}

// gonePrint is the fingerprint of a record that is gone while its link is held.
func (r *Run) gonePrint(key string) Print { return newPrinter(r.rules.Digest).of(key, nil) }

// doubt is what kept where from telling about a record, or "".
func (r *Run) doubt(s record.Side, key string) string {
	r.unsureMu.Lock()
	defer r.unsureMu.Unlock()
	return r.unsure[s][key]
}

func (r *Run) clock(s record.Side) reconcile.Clock {
	c := r.views[s].window.Clock
	if !c.Measured {
		return r.views[s].before.Clock
	}
	return reconcile.Clock{Measured: true, Offset: c.Offset, Error: c.Error}
}
