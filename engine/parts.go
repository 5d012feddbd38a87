package engine

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A full scan of a large side is read in parts of its range of keys, several at once, where its system can cut it so. What
// a run makes of the records does not depend on the order in which they come, so the plan is the one of a scan as a whole.
// A part that fails fails the scan: what the others showed proves nothing.

const (
	// splitFrom is from how many records a side is read in parts, as its last full scan counted them: that many take some
	// fifty pages, seconds at any system, beside which the requests that find the bounds are few. A part has a fifth of as
	// many, so that several are read at once and one that has to be read again costs little; mostParts keeps those requests
	// few for the largest sides.
	splitFrom, splitInto, mostParts = 50_000, 5, 64
	// partsAtOnce is how many parts are read at the same time where the connection has no limit of its own. Its limits
	// hold for the requests of all of them.
	partsAtOnce = 4
)

// An intake takes the records that a side shows, from however many parts, one at a time.
type intake struct {
	r     *Run
	side  record.Side
	phase string
	emit  func(record.Record, Print) error
	same  func(hash uint64) error // of a record that shows what was settled; nil in a scan for changes, which has no parts

	mu sync.Mutex
	n  int64
}

// taker is what a scan, or one part of it, emits to.
func (k *intake) taker() func(record.Record) error {
	pr := newPrinter(k.r.rules.Digest)
	return func(rec record.Record) error {
		if err := k.r.whole(k.side, rec); err != nil {
			return err
		}
		return k.take(rec, pr.of(rec.Key, rec.Values))
	}
}

// whole makes sure that a record has its key and a value for each path.
func (r *Run) whole(s record.Side, rec record.Record) error {
	detail := ""
	switch paths := r.rules.Sides[s].Paths; {
	case rec.Key == "":
		detail = "a record without a key came back"
	case len(rec.Values) != len(paths):
		detail = fmt.Sprintf("record %s has %d values for %d paths", rec.Key, len(rec.Values), len(paths))
	default:
		return nil
	}
	return &connectors.Error{Kind: connectors.ErrProtocol, Op: "scan " + r.job.Ends[s].Collection, Detail: detail}
}

func (k *intake) take(rec record.Record, p Print) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	v := &k.r.views[k.side]
	k.count(1)
	if v.most > 0 && k.n > v.most {
		return errLarge
	}
	v.gate.see(rec)
	return k.emit(rec, p)
}

// count adds records to those that the side has shown.
func (k *intake) count(n int64) {
	before := k.n
	if k.n += n; k.n/1000 > before/1000 {
		k.r.progress(k.phase, k.n, 0)
	}
}

// takeSame takes records that show what was settled, by the hashes of their keys.
func (k *intake) takeSame(hashes []uint64) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, h := range hashes {
		if err := k.same(h); err != nil {
			return err
		}
	}
	k.count(int64(len(hashes)))
	return nil
}

// join takes notice of what another process has seen of the side in a part, some of whose records it kept to itself.
func (k *intake) join(a *account, kept int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.count(kept)
	k.r.views[k.side].gate.join(a)
}

// scan reads a side and hands on each record with its fingerprint, one at a time, in any order.
func (r *Run) scan(ctx context.Context, s record.Side, since string, k *intake) (connectors.Window, error) {
	k.r, k.side, k.phase = r, s, "observe "+r.name(s)
	v := &r.views[s]
	v.gate.watch(v.before.Newest)
	ctx, end := r.span(ctx, k.phase)
	w, err := r.scanParts(ctx, k, connectors.Query{Paths: r.rules.Sides[s].Paths, Native: r.job.Ends[s].Native, Since: since})
	end(err)
	r.observed[s] = k.n
	r.progress(k.phase, k.n, k.n)
	return w, err
}

// scanParts scans in parts what is large and can be cut, and all else as a whole.
func (r *Run) scanParts(ctx context.Context, k *intake, q connectors.Query) (connectors.Window, error) {
	h := r.job.Ends[k.side].Handle
	parts, whole, err := r.split(ctx, k.side, q)
	if err != nil {
		return connectors.Window{}, err
	}
	if len(parts) < 2 {
		return h.Scan(ctx, q, k.taker())
	}
	r.log().Debug("reading in parts", "side", r.name(k.side), "parts", len(parts))
	windows := make([]connectors.Window, len(parts))
	if r.leased && r.e.Team != nil && r.e.Team.Others(ctx) {
		err = r.scanTogether(ctx, k, q, parts, windows)
	} else {
		g, gctx := errgroup.WithContext(ctx)
		g.SetLimit(r.atOnce(k.side))
		for n := range parts {
			g.Go(func() error { return r.scanPart(gctx, k, q, n, parts, windows) })
		}
		err = g.Wait()
	}
	if err != nil {
		return connectors.Window{}, err
	}
	return together(whole, windows, "scan "+r.job.Ends[k.side].Collection)
}

// scanPart scans one of the parts.
func (r *Run) scanPart(ctx context.Context, k *intake, q connectors.Query, n int, parts []string, windows []connectors.Window) (err error) {
	q.Part = parts[n]
	if windows[n], err = r.job.Ends[k.side].Handle.Scan(ctx, q, k.taker()); err != nil {
		return fmt.Errorf("part %d of %d: %w", n+1, len(parts), err)
	}
	return nil
}

// split cuts a full scan of a side into parts; fewer than two: it is read as a whole.
func (r *Run) split(ctx context.Context, s record.Side, q connectors.Query) ([]string, connectors.Window, error) {
	from := r.e.SplitFrom
	if from <= 0 {
		from = splitFrom
	}
	count := r.views[s].before.Count
	splitter, ok := connectors.As[connectors.Splitter](r.job.Ends[s].Handle)
	if !ok || q.Since != "" || count < from {
		return nil, connectors.Window{}, nil
	}
	return splitter.Split(ctx, q, int(min(max(count/max(from/splitInto, 1), 2), mostParts)))
}

// atOnce is how many parts of a side are read at the same time.
func (r *Run) atOnce(s record.Side) int {
	if n := r.job.Ends[s].Limits.Concurrency; n > 0 {
		return n
	}
	return partsAtOnce
}

// together is the window of a scan whose parts had these: it begins before the first of them.
func together(w connectors.Window, parts []connectors.Window, op string) (connectors.Window, error) {
	for _, p := range parts {
		if p.Next == "" {
			w.Next = ""
		}
		if p.System != "" && w.System != "" && p.System != w.System {
			return connectors.Window{}, &connectors.Error{Kind: connectors.ErrProtocol, Op: op, Detail: fmt.Sprintf("%s answers for a part of what %s began to show", p.System, w.System),
				Hint: "another system has taken its place at this address meanwhile; the next run reads it whole"}
		}
	}
	return w, nil
}
