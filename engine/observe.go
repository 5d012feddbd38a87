package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// spoolBatch is how many moved records are put into the spool at a time, readBatch how many keys are read or
// values searched at a time. Connectors cut that into requests as their systems like it; one that has to
// go through a whole file wants it large.
const (
	spoolBatch = 500
	readBatch  = 4000
)

// smallSide is up to how many records a side is read whole in every run: that costs about one page, and finds
// at once what a scan for changes cannot see, such as deletions, records that left a native scope, and edits
// that did not move the change stamp.
const smallSide = 1000

// provable is up to how many records of a side that suddenly shows much less are read one by one: the plan stops all
// the same, but it then shows what follows if they are gone, and an approval is of just that.
const provable = 10 * smallSide

// errLarge ends the scan of a side that turned out not to be small.
var errLarge = errors.New("the side is not small")

// A view is what one observation of a side found out.
type view struct {
	full    bool
	first   bool // nothing was ever settled on this side: what the spool holds is all there is
	window  connectors.Window
	started time.Time
	most    int64 // records after which a scan ends with errLarge; 0: never
	count   int64 // records that the scan delivered in scope (full scans)
	left    int64 // records that it delivered too, settled before and out of scope now: seen, not missing
	before  Cursor
	had     bool     // before was stored
	strays  []uint64 // prints of records that are gone and had no link
	gate    gate
	audit   string // Cursor.Audit after this observation
}

// observe reads both sides at the same time and leaves in the spool what is new, changed, gone or out of
// scope since it was last settled. Unmoved records cost a hash and a look-up and are not kept.
func (r *Run) observe(ctx context.Context) error {
	full := r.job.Full
	for _, s := range record.Sides {
		v := &r.views[s]
		var err error
		if v.before, v.had, err = r.book.Cursor(ctx, s); err != nil {
			return fmt.Errorf("read cursor of %s: %w", r.name(s), err)
		}
		// Rules that changed make every record worth a look, on both sides.
		full = full || !v.had || v.before.Rules != r.rules.Digest
	}
	if enough, err := r.only(ctx); err != nil || enough {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	for _, s := range record.Sides {
		g.Go(func() error {
			v := &r.views[s]
			v.started, v.audit = r.now(), v.before.Audit
			moved := v.had && v.before.Endpoint != r.job.Ends[s].Endpoint
			due := full || moved || v.before.Since == "" || v.before.Full.Before(r.job.FullSince)
			v.full = due || v.before.Count <= smallSide
			if v.full && !due {
				v.most = smallSide
			}
			err := errLarge
			if v.full {
				err = r.observeAll(gctx, s, v)
			}
			if errors.Is(err, errLarge) {
				v.full, v.most, v.first, v.count, v.left = false, 0, false, 0, 0
				err = r.observeChanges(gctx, s, v)
			}
			if err == nil {
				err = r.examine(gctx, s, v)
			}
			if err == nil && !v.gate.doubt && !v.full {
				err = r.auditSlice(gctx, s, v)
			}
			if errors.Is(err, errMissing) || err == nil && v.gate.doubt && !v.full {
				// What changed since then cannot be asked for when then is in doubt, and nothing else proves that a
				// record is gone.
				v.full = true
				if err = r.observeAll(gctx, s, v); err == nil {
					err = r.examine(gctx, s, v)
				}
			}
			if err != nil {
				return fmt.Errorf("observe %s: %w", r.name(s), err)
			}
			return nil
		})
	}
	return g.Wait()
}

func (r *Run) observeAll(ctx context.Context, s record.Side, v *view) error {
	table := newPrintTable(v.before.Count)
	if err := r.book.Prints(ctx, s, func(p Print) error { table.add(p); return nil }); err != nil {
		return err
	}
	table.sealed()
	v.first = len(table.hashes) == 0
	sink := r.sink(ctx, s)
	k := &intake{same: func(hash uint64) error {
		i, known := table.find(hash)
		if !known {
			return errors.New("a record that was never settled cannot show what was settled")
		}
		if !table.see(i) {
			v.count++
		}
		return nil
	}}
	k.emit = func(rec record.Record, p Print) error {
		i, known := table.find(p.Hash)
		if known && !table.see(i) && table.prints[i] == p.Print {
			v.count++
			return nil
		}
		in, err := r.inScope(s, rec.Values)
		if err != nil {
			return sink.unsure(rec, p, err)
		}
		switch {
		case in:
			v.count++
			return sink.put(rec, reconcile.Present, p)
		case known:
			v.left++
			return sink.put(rec, reconcile.OutOfScope, p)
		}
		return nil
	}
	window, err := r.scan(ctx, s, "", k)
	if err != nil {
		return err
	}
	v.window = window
	if err := sink.flush(); err != nil {
		return err
	}
	if shrunk(v) != "" && v.before.Count > provable {
		return nil // absence proves nothing now: the plan stops before anything would be called gone
	}
	return r.findGone(ctx, s, v, table)
}

// shrunk says what is suspicious about how many records a full scan found, or "".
func shrunk(v *view) string {
	switch {
	case !v.full || !v.had || v.before.Count < 1:
	case v.count+v.left == 0:
		return fmt.Sprintf("it shows no records at all, last time there were %d", v.before.Count)
	case v.before.Count >= 10 && v.count+v.left < v.before.Count/2:
		return fmt.Sprintf("it shows %d records, last time there were %d", v.count, v.before.Count)
	}
	return ""
}

func (r *Run) observeChanges(ctx context.Context, s record.Side, v *view) error {
	sink := r.sink(ctx, s)
	type shown struct {
		rec   record.Record
		print Print
	}
	var page []shown
	compare := func() error {
		hashes := make([]uint64, len(page))
		for i := range page {
			hashes[i] = page[i].print.Hash
		}
		stored, err := r.settled(ctx, s, hashes)
		if err != nil {
			return err
		}
		for _, x := range page {
			old, known := stored[x.print.Hash]
			if known && old == x.print {
				continue
			}
			in, err := r.inScope(s, x.rec.Values)
			switch {
			case err != nil:
				err = sink.unsure(x.rec, x.print, err)
			case in:
				err = sink.put(x.rec, reconcile.Present, x.print)
			case known:
				err = sink.put(x.rec, reconcile.OutOfScope, x.print)
			}
			if err != nil {
				return err
			}
		}
		page = page[:0]
		return nil
	}
	window, err := r.scan(ctx, s, v.before.Since, &intake{emit: func(rec record.Record, p Print) error {
		if page = append(page, shown{rec.Clone(), p}); len(page) >= decideBatch {
			return compare()
		}
		return nil
	}})
	if err == nil {
		err = compare()
	}
	if err != nil {
		return err
	}
	v.window = window
	if err := sink.flush(); err != nil {
		return err
	}
	return r.observeDeleted(ctx, s, v.before.Since)
}

// observeDeleted asks a system that keeps a log of deletions what a scan for changes cannot see. What the log says is a
// hint: only a record that a direct read does not find either is gone.
func (r *Run) observeDeleted(ctx context.Context, s record.Side, since string) error {
	log, ok := connectors.As[connectors.DeleteLog](r.job.Ends[s].Handle)
	if !ok {
		return nil
	}
	var keys []string
	err := log.Deleted(ctx, since, func(key string) error {
		old, known, err := r.book.Print(ctx, s, keyHash(key))
		if known && old != r.gonePrint(key) {
			keys = append(keys, key)
		}
		return err
	})
	if errors.Is(err, connectors.ErrDenied) {
		r.log().Debug("the log of deletions may not be read; the next full scan finds them", "side", r.name(s), "err", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the log of deletions: %w", err)
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	found, err := r.read(ctx, s, keys)
	if err != nil {
		return fmt.Errorf("read %d records that the log of deletions names: %w", len(keys), err)
	}
	sink := r.sink(ctx, s)
	pr := newPrinter(r.rules.Digest)
	for _, key := range keys {
		if _, there := found[key]; there {
			continue // it was restored
		}
		if err := sink.put(record.Record{Key: key}, reconcile.Gone, pr.of(key, nil)); err != nil {
			return err
		}
	}
	return sink.flush()
}

func (r *Run) inScope(s record.Side, values []record.Value) (bool, error) {
	for _, m := range r.rules.Match {
		if slot := m.Slots[s]; slot < len(values) && strings.HasPrefix(values[slot].Text(), connectors.TestMark) {
			return false, nil
		}
	}
	where := r.rules.Sides[s].Where
	if where == nil {
		return true, nil
	}
	env := reconcile.Env{Time: r.started}
	env.Values[s] = values
	return where(env)
}

// findGone settles what became of records that a complete scan did not show: a direct read tells deleted
// from out of scope. Records that never had a link are only forgotten.
func (r *Run) findGone(ctx context.Context, s record.Side, v *view, table *printTable) error {
	missing := 0
	_ = table.eachUnseen(func(uint64) error { missing++; return nil })
	if missing == 0 {
		return nil
	}
	linked := make(map[uint64]bool)
	var keys []string
	check := func() error {
		err := r.settleAbsence(ctx, s, keys)
		keys = keys[:0]
		return err
	}
	err := r.book.Keys(ctx, s, func(_ int64, key string) error {
		h := keyHash(key)
		if key == "" || !table.unseen(h) {
			return nil
		}
		linked[h] = true
		if keys = append(keys, key); len(keys) == readBatch {
			return check()
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := check(); err != nil {
		return err
	}
	return table.eachUnseen(func(h uint64) error {
		if !linked[h] {
			v.strays = append(v.strays, h)
		}
		return nil
	})
}

// settleAbsence reads keys that a scan did not show and spools what it learns.
func (r *Run) settleAbsence(ctx context.Context, s record.Side, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	found, err := r.read(ctx, s, keys)
	if err != nil {
		return fmt.Errorf("read %d records that the scan did not show: %w", len(keys), err)
	}
	sink := r.sink(ctx, s)
	pr := newPrinter(r.rules.Digest)
	for _, key := range keys {
		rec, ok := found[key]
		presence := reconcile.Gone
		old, known, err := r.book.Print(ctx, s, keyHash(key))
		if err != nil {
			return err
		}
		if !ok {
			rec = record.Record{Key: key}
			if known && old == r.gonePrint(key) {
				continue // an earlier run found it gone, and what follows from that waits for its time
			}
		} else {
			presence = reconcile.OutOfScope
			in, err := r.inScope(s, rec.Values)
			if err != nil {
				if err := sink.unsure(rec, pr.of(key, rec.Values), err); err != nil {
					return err
				}
				continue
			}
			if in && r.job.Ends[s].Native == "" {
				presence = reconcile.Present // it came back between the scan and the read, or the scan's index lags behind
			}
			if known && old == pr.of(key, rec.Values) && presence == reconcile.Present {
				continue // nothing moved: what waits of it waits for its time
			}
		}
		if err := sink.put(rec, presence, pr.of(key, rec.Values)); err != nil {
			return err
		}
	}
	return sink.flush()
}

// read gets records by key, owned by the caller.
func (r *Run) read(ctx context.Context, s record.Side, keys []string) (map[string]record.Record, error) {
	found := make(map[string]record.Record, len(keys))
	for chunk := range slices.Chunk(keys, readBatch) {
		err := r.job.Ends[s].Handle.Read(ctx, r.rules.Sides[s].Paths, chunk, func(rec record.Record) error {
			own := rec.Clone() // its key, too
			found[own.Key] = own
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// find looks records up by the value of a path. A collection that cannot search is scanned once for all
// values.
func (r *Run) find(ctx context.Context, s record.Side, paths []string, slot int, values []record.Value, emit func(record.Record) error) error {
	h := r.job.Ends[s].Handle
	if f, ok := connectors.As[connectors.Finder](h); ok {
		err := f.Find(ctx, paths, paths[slot], values, emit)
		if err == nil || !errors.Is(err, connectors.ErrConfig) {
			return err
		}
	}
	want := make(map[string]bool, len(values))
	for _, v := range values {
		want[v.Plain()] = true
	}
	_, err := h.Scan(ctx, connectors.Query{Paths: paths}, func(rec record.Record) error {
		if want[rec.Values[slot].Plain()] {
			return emit(rec)
		}
		return nil
	})
	return err
}

// A sink gathers moved records for the spool.
type sink struct {
	r     *Run
	ctx   context.Context
	side  record.Side
	batch []Moved
}

func (r *Run) sink(ctx context.Context, s record.Side) *sink {
	return &sink{r: r, ctx: ctx, side: s}
}

func (k *sink) put(rec record.Record, p reconcile.Presence, print Print) error {
	k.batch = append(k.batch, Moved{Record: rec.Clone(), Presence: p, Print: print, Match: k.r.matchHashes(k.side, rec.Values)})
	if len(k.batch) >= spoolBatch {
		return k.flush()
	}
	return nil
}

// see spools a record that was read by key, in scope or not as where says.
func (k *sink) see(rec record.Record, print Print) error {
	in, err := k.r.inScope(k.side, rec.Values)
	switch {
	case err != nil:
		return k.unsure(rec, print, err)
	case in:
		return k.put(rec, reconcile.Present, print)
	}
	return k.put(rec, reconcile.OutOfScope, print)
}

// unsure spools a record of which where cannot tell whether it is in scope: it is held, whatever else happens.
func (k *sink) unsure(rec record.Record, print Print, err error) error {
	k.r.unsureMu.Lock()
	k.r.unsure[k.side][strings.Clone(rec.Key)] = err.Error()
	k.r.unsureMu.Unlock()
	return k.put(rec, reconcile.Unsure, print)
}

func (k *sink) flush() error {
	if len(k.batch) == 0 {
		return nil
	}
	err := k.r.spool.Put(k.ctx, k.side, k.batch)
	k.batch = k.batch[:0]
	return err
}

// matchHashes are a record's hashes for the match blocks; 0 where it has no value: blank never matches.
func (r *Run) matchHashes(s record.Side, values []record.Value) []uint64 {
	if len(values) == 0 {
		return make([]uint64, len(r.rules.Match))
	}
	hs := make([]uint64, len(r.rules.Match))
	for i, m := range r.rules.Match {
		if v := matchValue(values[m.Slots[s]]); v != "" {
			hs[i] = keyHash(v)
		}
	}
	return hs
}

// matchValue is the form in which match values are compared: numbers and text of the same writing are the
// same, blank is nothing.
func matchValue(v record.Value) string {
	if !v.Known() {
		return ""
	}
	return v.Plain()
}
