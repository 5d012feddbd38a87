package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A HandError is why something that a person asked for cannot be done, with a way out.
type HandError struct {
	Why string
	Way string
}

func (e *HandError) Error() string { return e.Why }

// Hint is the way out.
func (e *HandError) Hint() string { return e.Way }

// byHand does something to a sync that a person asked for: under its lease, after what was in flight is settled.
func (e *Engine) byHand(ctx context.Context, j Job, do func(context.Context, *Run) error) (err error) {
	l, err := e.lease(ctx, j.Rules.Sync)
	if err != nil {
		return err
	}
	r, err := e.open(ctx, j, l)
	if err != nil {
		return errors.Join(err, l.release(ctx))
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	r.keepLease(ctx)
	ctx, cancel := r.underLease(ctx)
	defer cancel()
	if err := r.recover(ctx); err != nil {
		return r.leaseError(err)
	}
	return r.leaseError(do(ctx, r))
}

// Adopt links two records by hand, whatever the match blocks say of them. Neither is written: the next run decides
// about them as on first contact. keys are keys or labels, one of each side, in either order. The link is returned.
func (e *Engine) Adopt(ctx context.Context, j Job, keys [2]string) (record.Link, error) {
	var l record.Link
	err := e.byHand(ctx, j, func(ctx context.Context, r *Run) error {
		recs, err := r.oneOfEach(ctx, keys)
		if err != nil {
			return err
		}
		for _, s := range record.Sides {
			if err := r.adoptable(ctx, s, recs[s]); err != nil {
				return err
			}
		}
		// It is held, so that the next run looks at it although nothing moved; what it shows is Now, since nothing
		// was agreed.
		l.Status = record.Held
		f := Fold{Link: &l, Decided: true}
		for _, s := range record.Sides {
			l.Key[s], l.Label[s], l.Version[s], l.Now[s] = recs[s].Key, recs[s].Label, recs[s].Version, recs[s].Values
			f.Forget[s] = keyHash(recs[s].Key)
		}
		return r.book.Fold(ctx, []Fold{f})
	})
	return l, err
}

// oneOfEach reads a record of each side.
func (r *Run) oneOfEach(ctx context.Context, keys [2]string) (recs [2]*record.Record, err error) {
	for _, try := range [2][2]string{keys, {keys[1], keys[0]}} {
		var found [2]*record.Record
		for _, s := range record.Sides {
			if found[s], err = r.named(ctx, s, try[s]); err != nil {
				return recs, fmt.Errorf("read %s %s: %w", r.name(s), try[s], err)
			}
		}
		if found[0] != nil && found[1] != nil {
			return found, nil
		}
		if recs[0] == nil && recs[1] == nil && (found[0] != nil || found[1] != nil) {
			recs, keys = found, try
		}
	}
	for _, s := range record.Sides {
		if recs[s.Other()] != nil {
			return recs, &HandError{fmt.Sprintf("there is no %s %q", r.name(s), keys[s]), "name one record of each side by its key or label"}
		}
	}
	return recs, &HandError{fmt.Sprintf("neither %s nor %s has a record %q or %q", r.name(0), r.name(1), keys[0], keys[1]), "name one record of each side by its key or label"}
}

// named reads a record by its key, or by its label where the system can look that up; nil if there is none.
func (r *Run) named(ctx context.Context, s record.Side, name string) (*record.Record, error) {
	found, err := r.read(ctx, s, []string{name})
	if rec, ok := found[name]; ok {
		return &rec, nil
	}
	finder, ok := connectors.As[connectors.Finder](r.job.Ends[s].Handle)
	schema := r.job.Ends[s].Schema
	if !ok || schema == nil || schema.Label == "" || schema.Label == schema.Key {
		return nil, err
	}
	paths := r.rules.Sides[s].Paths
	asked := append(paths[:len(paths):len(paths)], schema.Label)
	var recs []record.Record
	ferr := finder.Find(ctx, asked, schema.Label, []record.Value{record.OfText(name)}, func(rec record.Record) error {
		recs = append(recs, rec.Clone())
		return nil
	})
	switch {
	case ferr != nil:
		return nil, errors.Join(err, ferr)
	case len(recs) > 1:
		return nil, &HandError{fmt.Sprintf("%d %s records are called %s", len(recs), r.name(s), name), "name the record by its key"}
	case len(recs) == 0:
		return nil, err // some systems refuse a key of the wrong form
	}
	recs[0].Values = recs[0].Values[:len(paths)]
	return &recs[0], nil
}

// adoptable says why a record cannot be linked; nil if it can.
func (r *Run) adoptable(ctx context.Context, s record.Side, rec *record.Record) error {
	l, err := r.book.Link(ctx, s, rec.Key)
	if err != nil {
		return err
	}
	if l != nil {
		twin := "nothing yet"
		if o := s.Other(); l.Key[o] != "" {
			twin = r.name(o) + " " + record.Record{Key: l.Key[o], Label: l.Label[o]}.Name()
		}
		return &HandError{fmt.Sprintf("%s %s is linked to %s", r.name(s), rec.Name(), twin),
			fmt.Sprintf("part them first: fieldsync unlink %s %s", r.rules.Sync, rec.Key)}
	}
	in, err := r.inScope(s, rec.Values)
	if err != nil {
		return fmt.Errorf("%s %s: where: %w", r.name(s), rec.Name(), err)
	}
	if in && r.job.Ends[s].Native != "" {
		if in, err = r.shownByScan(ctx, s, rec.Key); err != nil {
			return err
		}
	}
	if !in {
		return &HandError{fmt.Sprintf("%s %s is out of the sync's scope", r.name(s), rec.Name()), "widen where or query of that side, or change the record so that it is in scope"}
	}
	return nil
}

// shownByScan reports whether a record is in a scope that only its own system can tell.
func (r *Run) shownByScan(ctx context.Context, s record.Side, key string) (bool, error) {
	if p, settled, err := r.book.Print(ctx, s, keyHash(key)); err != nil || settled && !p.born() {
		return settled, err
	}
	_, err := r.job.Ends[s].Handle.Scan(ctx, connectors.Query{Paths: r.rules.Sides[s].Paths, Native: r.job.Ends[s].Native}, func(rec record.Record) error {
		if rec.Key == key {
			return errStop
		}
		return nil
	})
	if errors.Is(err, errStop) {
		return true, nil
	}
	return false, err
}

// never is when a tomb ends that a person has put up, and lasting is a time that only those see.
var (
	never   = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	lasting = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
)

// Part ends a link by hand and leaves both records as they are. They are not paired again and nothing is created for
// them, unless forget says so: then the next run that looks at them takes them for strangers, also if the link was
// parted before. key is a record's key or label on either side. The link is returned as it was.
func (e *Engine) Part(ctx context.Context, j Job, key, by string, forget bool) (record.Link, error) {
	var was record.Link
	err := e.byHand(ctx, j, func(ctx context.Context, r *Run) error {
		l, err := r.linkOf(ctx, key)
		if errors.Is(err, ErrNoLink) {
			buried, berr := r.buried(ctx, key)
			switch {
			case berr != nil:
				return berr
			case buried != nil && !forget:
				return &HandError{fmt.Sprintf("the link of %s has ended already", key), "to let its records be paired again, add --forget"}
			case buried != nil:
				l, err = buried, nil
			}
		}
		if err != nil {
			return err
		}
		was = *l
		l.Status = record.Ended
		f := Fold{Link: l, End: "parted by " + by, TombUntil: never}
		if forget {
			f.End, f.TombUntil = "parted by "+by+", and forgotten", r.started
			for _, s := range record.Sides {
				if l.Key[s] != "" {
					f.Forget[s] = keyHash(l.Key[s])
				}
			}
		}
		return r.book.Fold(ctx, []Fold{f})
	})
	return was, err
}

// parted reports whether a person has parted two records. Links that ended by themselves do not keep their records
// apart: when both are back, they may be paired again.
func (p *pass) parted(keys [2]string) (bool, error) {
	if !p.tombs {
		return false, nil
	}
	var link [2]int64
	for _, s := range record.Sides {
		dead, err := p.r.book.Tomb(p.ctx, s, keys[s], lasting)
		if err != nil || !dead {
			return false, err
		}
		if link[s], err = p.r.book.Buried(p.ctx, s, keys[s]); err != nil {
			return false, err
		}
	}
	return link[0] == link[1], nil
}
