package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fieldsync/fieldsync/engine/record"
)

// What moves no change stamp is seen by no scan for changes: a script that switches stamps off, rows that were
// restored, deletions. So each such scan is followed by a look at some links whatever it said, in the order of their
// keys, round and round: what bypassed the stamps is found after auditRuns runs at the latest, and costs a run a
// request or two more.
const (
	auditRuns  = 720 // a day of runs every two minutes
	auditLeast = 100 // links a run
	// auditProof is how old the last complete scan has to be before a link whose record is missing asks for another
	// one: nothing else proves that it is gone.
	auditProof = time.Hour
)

// errMissing asks for a complete scan.
var errMissing = errors.New("a linked record is missing")

// auditSlice reads the next links of a side and spools those that do not show what was settled.
func (r *Run) auditSlice(ctx context.Context, s record.Side, v *view) error {
	links, err := r.book.CountLinks(ctx)
	if err != nil {
		return err
	}
	most := max(auditLeast, int((links+auditRuns-1)/auditRuns))
	keys, err := r.book.KeysAfter(ctx, s, v.before.Audit, most)
	if err != nil {
		return err
	}
	found, err := r.read(ctx, s, keys)
	if err != nil {
		return fmt.Errorf("look at %d links again: %w", len(keys), err)
	}
	k, pr := r.sink(ctx, s), newPrinter(r.rules.Digest)
	stored, err := r.settled(ctx, s, hashesOf(keys))
	if err != nil {
		return err
	}
	missing := 0
	for _, key := range keys {
		rec, there := found[key]
		print := pr.of(key, rec.Values)
		settled, known := stored[print.Hash]
		if known && settled == print { // also of a record that is known to be gone
			continue
		}
		if !there {
			missing++
			continue
		}
		if settled.born() && r.job.Ends[s].Native != "" {
			continue // only a scan tells whether it is in scope by now
		}
		if shown, err := r.silent(ctx, s, rec); err != nil {
			return err
		} else if !shown {
			continue
		}
		if err := k.see(rec, print); err != nil {
			return err
		}
	}
	if err := k.flush(); err != nil {
		return err
	}
	if missing > 0 {
		if r.started.Sub(v.before.Full) >= auditProof {
			r.log().Info("linked records are missing: the side is read whole to know for sure", "side", r.name(s), "records", missing)
			return errMissing
		}
		return nil // the slice is looked at again until a complete scan is due
	}
	v.audit = ""
	if len(keys) == most {
		v.audit = keys[most-1]
	}
	return nil
}

// silent reports whether a record that does not show what was settled may be taken for one in scope. Only a scan
// tells what is in a scope in the system's own language: what was edited in the usual way would have come with it,
// and so the record has left the scope, or comes with the next one. An edit that did not even move the version is
// no reason to doubt the scope.
func (r *Run) silent(ctx context.Context, s record.Side, rec record.Record) (bool, error) {
	if r.job.Ends[s].Native == "" {
		return true, nil
	}
	l, err := r.book.Link(ctx, s, rec.Key)
	return l != nil && l.Version[s] == rec.Version, err
}
