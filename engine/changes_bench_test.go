package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fieldsync/fieldsync/connectors/memory"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/record"
	"github.com/fieldsync/fieldsync/engine/state"
)

// BenchmarkChangedRecords is a cycle in which some of the linked pairs changed, with the rules and records of
// BenchmarkCycle: everything from the scan for changes to the write and what is remembered of it, with intents and
// history, but for the decoding of JSON, since the systems are in memory. What a quiet cycle takes is not counted. The
// reference decodes both records of a pair with encoding/json into maps and hashes the mapped fields.
func BenchmarkChangedRecords(b *testing.B) {
	const pairs = 20000
	w := newChangedWorld(b, pairs)
	reference := decodePairs(b, 2000)
	for _, changed := range []int{100, 1000, 4000} {
		b.Run(fmt.Sprint(changed), func(b *testing.B) {
			var busy, quiet spent
			rounds := 0
			for b.Loop() {
				w.edit(changed)
				busy.add(spend(b, func() { w.cycle(b, int64(changed)) }))
				quiet.add(spend(b, func() { w.cycle(b, 0) }))
				rounds++
			}
			each := (busy.cpu - quiet.cpu) / float64(rounds*changed)
			b.ReportMetric(each*1e6, "µs-cpu/change")
			b.ReportMetric(each/reference, "cpu/reference")
			b.ReportMetric((busy.megabytes-quiet.megabytes)*1e3/float64(rounds*changed), "kB-allocated/change")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// decodePairs is what the reference takes for a pair, in seconds of processor time.
func decodePairs(b *testing.B, n int) float64 {
	b.Helper()
	var pages [2][][]byte
	for i := range n {
		p := benchRecord(i)
		for s, v := range [2]any{p.left, p.right} {
			text, err := json.Marshal(v)
			if err != nil {
				b.Fatal(err)
			}
			pages[s] = append(pages[s], text)
		}
	}
	left, right := benchFields()
	return spend(b, func() {
		for s, fields := range [2][]string{left, right} {
			for _, text := range pages[s] {
				var m map[string]any
				if err := json.Unmarshal(text, &m); err != nil {
					b.Fatal(err)
				}
				h := fnv.New64a()
				for _, name := range fields {
					fmt.Fprint(h, m[name])
				}
			}
		}
	}).cpu / float64(n)
}

// A changedWorld is the pairs of BenchmarkCycle in memory, linked.
type changedWorld struct {
	guaranteeWorld
	pairs, at, round int
}

func newChangedWorld(b *testing.B, pairs int) *changedWorld {
	b.Helper()
	dir := b.TempDir()
	if err := benchWrite(dir, 0, false); err != nil {
		b.Fatal(err)
	}
	job, err := benchJob(dir)
	if err != nil {
		b.Fatal(err)
	}
	w := &changedWorld{guaranteeWorld: guaranteeWorld{job: job, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}, pairs: pairs}
	for s, rules := range job.Rules.Sides {
		w.sides[s] = memory.New(memory.Text(rules.Paths...)...)
		w.sides[s].Now = func() time.Time { return w.now }
		w.job.Ends[s].Handle = w.sides[s]
	}
	for n := range pairs {
		p := benchRecord(n)
		for s, of := range [2]func(string) any{func(path string) any { return p.left[path] }, func(path string) any { return p.right[path] }} {
			values := make([]record.Value, len(job.Rules.Sides[s].Paths))
			for i, path := range job.Rules.Sides[s].Paths {
				if values[i], err = record.Of(of(path)); err != nil {
					b.Fatal(err)
				}
			}
			w.sides[s].Append(fmt.Sprintf("k%06d", n), values)
		}
	}
	store, err := state.Open(filepath.Join(dir, "state.db"), state.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { store.Close() })
	w.engine = &engine.Engine{Store: store, Owner: "bench"}
	w.cycle(b, 0)
	return w
}

// edit changes one field of some pairs, half of them on each side, and of others than the last time.
func (w *changedWorld) edit(changed int) {
	w.now = w.now.Add(time.Minute)
	w.round++
	for range changed {
		w.at = (w.at + 7919) % w.pairs
		side, path := w.at%2, [2]string{"location", "u_location"}
		w.sides[side].Edit(fmt.Sprintf("k%06d", w.at), record.Fields{path[side]: record.OfText(fmt.Sprintf("moved in round %d", w.round))})
	}
}

// A distant collection answers an update after a while, so many at a time, and takes a batch for one request.
type distant struct {
	*memory.Store
	slots chan struct{}
	batch int

	mu   sync.Mutex
	next *delivery // the batch that is being gathered
}

// A delivery is a batch of updates.
type delivery struct {
	n          int
	full, done chan struct{}
}

const distance = 50 * time.Millisecond

func (d *distant) Batch() int { return d.batch }

func (d *distant) Update(ctx context.Context, paths []string, key, version string, f record.Fields) (record.Record, error) {
	d.mu.Lock()
	if d.next == nil {
		d.next = &delivery{full: make(chan struct{}), done: make(chan struct{})}
		go d.deliver(d.next)
	}
	mine := d.next
	if mine.n++; mine.n == d.batch {
		close(mine.full)
		d.next = nil
	}
	d.mu.Unlock()
	<-mine.done
	return d.Store.Update(ctx, paths, key, version, f)
}

func (d *distant) deliver(b *delivery) {
	select {
	case <-b.full:
	case <-time.After(2 * time.Millisecond):
		d.mu.Lock()
		if d.next == b {
			d.next = nil
		}
		d.mu.Unlock()
	}
	d.slots <- struct{}{}
	time.Sleep(distance)
	<-d.slots
	close(b.done)
}

// BenchmarkDistantWrites carries out 1,000 updates of a system that takes 50 ms for a request, and holds the time against
// the ideal, all requests that are allowed at a time, all the time, and against a loop that does nothing but those requests.
func BenchmarkDistantWrites(b *testing.B) {
	const updates = 1000
	for _, c := range []struct{ concurrency, batch int }{{16, 1}, {8, 50}} {
		b.Run(fmt.Sprintf("%d at a time of %d", c.concurrency, c.batch), func(b *testing.B) {
			w := newChangedWorld(b, 4*updates)
			w.job.Ends[1].Limits.Concurrency = c.concurrency
			w.job.Ends[1].Handle = &distant{Store: w.sides[1], slots: make(chan struct{}, c.concurrency), batch: c.batch}
			rounds := (updates + c.concurrency*c.batch - 1) / (c.concurrency * c.batch)
			ideal := time.Duration(rounds) * distance
			var took, bare time.Duration
			n := 0
			for b.Loop() {
				start := time.Now()
				var g errgroup.Group
				g.SetLimit(c.concurrency * c.batch)
				for range updates {
					g.Go(func() error {
						_, err := w.job.Ends[1].Handle.(*distant).Update(b.Context(), nil, "k000000", "", nil)
						return err
					})
				}
				if err := g.Wait(); err != nil {
					b.Fatal(err)
				}
				bare += time.Since(start)
				w.now = w.now.Add(time.Minute)
				for i := range updates {
					w.sides[0].Edit(fmt.Sprintf("k%06d", i), record.Fields{"location": record.OfText(fmt.Sprintf("moved %d to %d", n, i))})
				}
				r, err := w.engine.Start(b.Context(), w.job)
				if err != nil {
					b.Fatal(err)
				}
				start = time.Now()
				acc, err := r.Apply(b.Context(), engine.Approval{})
				took += time.Since(start)
				if r.Close(); err != nil || acc.Done != updates {
					b.Fatalf("%d writes, want %d: %v", acc.Done, updates, err)
				}
				n++
			}
			b.ReportMetric(took.Seconds()/float64(n), "s")
			b.ReportMetric(took.Seconds()/float64(n)/ideal.Seconds(), "wall/ideal")
			b.ReportMetric(took.Seconds()/bare.Seconds(), "wall/bare-loop")
			b.ReportMetric(0, "ns/op")
		})
	}
}
