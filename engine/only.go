package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A run of few records looks at those that somebody said have changed, and at nothing else: it reads them by key, decides
// about their links, and carries that out. It proves nothing about other records, so no cursor advances, and it never takes
// a record for gone. Where that is not enough, it becomes a run like any other.

// only reads the records that the job names. false: a run of all is needed, as the rules or a system are new, a
// record is missing, or only a scan tells what is in scope.
func (r *Run) only(ctx context.Context) (bool, error) {
	if len(r.job.Only[0])+len(r.job.Only[1]) == 0 || r.job.Full {
		return false, nil
	}
	var found [2]map[string]record.Record
	var inside [2]map[string]bool
	for _, s := range record.Sides {
		v := &r.views[s]
		if !v.had || v.before.Rules != r.rules.Digest || v.before.Endpoint != r.job.Ends[s].Endpoint {
			return false, nil
		}
		v.started, v.audit = r.started, v.before.Audit
		keys := r.job.Only[s]
		if len(keys) == 0 {
			continue
		}
		var err error
		if found[s], err = r.read(ctx, s, keys); err != nil {
			return false, fmt.Errorf("read %d records of %s: %w", len(keys), r.name(s), err)
		}
		ok := false
		if inside[s], ok, err = r.inside(ctx, s, keys); err != nil || !ok {
			return false, err
		}
		if slices.ContainsFunc(keys, func(key string) bool { _, there := found[s][key]; return !there }) {
			return false, nil // only a scan proves that it is gone, or finds what was meant
		}
	}
	for _, s := range record.Sides {
		if err := r.spoolOnly(ctx, s, found[s], inside[s]); err != nil {
			return false, err
		}
	}
	r.few = true
	return true, nil
}

// spoolOnly spools those of the records that do not show what was settled.
func (r *Run) spoolOnly(ctx context.Context, s record.Side, found map[string]record.Record, inside map[string]bool) error {
	k, pr := r.sink(ctx, s), newPrinter(r.rules.Digest)
	stored, err := r.settled(ctx, s, hashesOf(r.job.Only[s]))
	if err != nil {
		return err
	}
	for _, key := range r.job.Only[s] {
		rec := found[key]
		r.observed[s]++
		print := pr.of(key, rec.Values)
		settled, known := stored[print.Hash]
		var err error
		switch {
		case known && settled == print:
			continue
		case inside != nil && !inside[key]:
			if known {
				err = k.put(rec, reconcile.OutOfScope, print)
			}
		default:
			in, serr := r.inScope(s, rec.Values)
			if in || serr != nil || known {
				err = k.see(rec, print)
			}
		}
		if err != nil {
			return err
		}
	}
	return k.flush()
}

// inside asks a system which of some records are in the scope that only it can tell; nil: all are. false: it cannot say.
func (r *Run) inside(ctx context.Context, s record.Side, keys []string) (map[string]bool, bool, error) {
	e := r.job.Ends[s]
	if e.Native == "" {
		return nil, true, nil
	}
	q, ok := connectors.As[connectors.Scoper](e.Handle)
	if !ok {
		return nil, false, nil
	}
	inside := map[string]bool{}
	err := q.Within(ctx, e.Native, keys, func(key string) error { inside[strings.Clone(key)] = true; return nil })
	if err != nil {
		return nil, false, fmt.Errorf("ask which of %d records of %s are in scope: %w", len(keys), r.name(s), err)
	}
	return inside, true, nil
}

// hearOnly listens to the threads of the records that the job names, as far as they were listened to before.
func hearOnly[T any](p *hearing, list lister[T], visit func(map[string][]T) error) error {
	p.r.beside.ears[p.kind][p.side].deaf = true // nothing is known of all the others
	if !p.had {
		return nil
	}
	for at := range p.r.beside.waits {
		if at.kind == p.kind && at.side == p.side {
			p.again[at.link] = true // what waits has its time, and is not looked at before
		}
	}
	var keys []string
	found := map[string][]T{}
	for _, key := range p.r.job.Only[p.side] {
		l, err := p.r.book.Link(p.ctx, p.side, key)
		if err != nil {
			return err
		}
		if l != nil && l.ID <= p.before.Link {
			keys, found[key] = append(keys, key), nil
		}
	}
	if len(keys) == 0 {
		return nil
	}
	err := list(p.ctx, p.path, slices.Compact(keys), p.before.Since.Add(-lateEntry), func(key string, t T) error {
		found[key] = append(found[key], t)
		return nil
	})
	if err != nil {
		return err
	}
	return visit(found)
}
