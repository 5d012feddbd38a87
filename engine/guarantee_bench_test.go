package engine_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors/memory"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
	"github.com/fieldsync/fieldsync/engine/state"
)

// What the guarantees cost: the same cycle, in which 2 % of the linked pairs have changed, carried out as it is, and
// carried out without what makes it safe: no intent before a write, no record read again before it is replaced, no
// history, no account of who set a value. The systems are in memory, so that what is measured is the engine's and the
// state's work alone; over a network each record that is read again costs a request, too.

const (
	guaranteePairs  = 20000
	guaranteeFields = 12
)

// careless does not write intents down and keeps no history.
type careless struct{ engine.Store }

func (s careless) Book(ctx context.Context, sync string, paths [2][]string, fence int64) (engine.Book, error) {
	b, err := s.Store.Book(ctx, sync, paths, fence)
	return &carelessBook{Book: b}, err
}

type carelessBook struct{ engine.Book }

func (b *carelessBook) Intend(context.Context, []*engine.Intent) error { return nil }

func (b *carelessBook) Fold(ctx context.Context, folds []engine.Fold) error {
	for i := range folds {
		folds[i].Intent, folds[i].Lost, folds[i].Origins = 0, nil, nil
	}
	return b.Book.Fold(ctx, folds)
}

// trusting is a collection that claims to compare versions by itself, so that nobody reads before a write.
type trusting struct{ *memory.Store }

func (trusting) Conditional() bool { return true }

// A guaranteeWorld is two collections in memory, linked, with a state in a file.
type guaranteeWorld struct {
	job    engine.Job
	engine *engine.Engine
	sides  [2]*memory.Store
	now    time.Time
	close  func() error
}

func newGuaranteeWorld(b *testing.B, safe bool) *guaranteeWorld {
	b.Helper()
	var paths []string
	for i := range guaranteeFields {
		paths = append(paths, fmt.Sprintf("f%02d", i))
	}
	paths = append(paths, "ref")
	w := &guaranteeWorld{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	rules := &reconcile.Rules{Sync: "guarantees", Digest: "1", First: reconcile.First{Mode: reconcile.FirstSide}}
	for s, name := range [2]string{"ticket", "incident"} {
		w.sides[s] = memory.New(memory.Text(paths...)...)
		w.sides[s].Now = func() time.Time { return w.now } // so that a scan delivers what changed since the last one
		rules.Sides[s] = reconcile.SideRules{Name: name, Paths: paths, Types: make([]record.Type, len(paths))}
		w.job.Ends[s] = engine.End{Connection: name, Collection: name, Endpoint: name, Handle: w.sides[s]}
		if !safe {
			w.job.Ends[s].Handle = trusting{w.sides[s]}
		}
	}
	for i := range guaranteeFields {
		rules.Fields = append(rules.Fields, reconcile.Rule{Name: paths[i], At: "bench.hcl:1", Paths: [2][]int{{i}, {i}}, Reads: [2][]int{{i}, {i}},
			To: [2]reconcile.Transform{from(record.Right, i), from(record.Left, i)}, Policy: reconcile.Policy{Kind: reconcile.Ask}})
	}
	rules.Match = []reconcile.Match{{At: "bench.hcl:2", Slots: [2]int{guaranteeFields, guaranteeFields}}}
	none := engine.Limit{Number: -1}
	w.job.Rules, w.job.Trigger, w.job.Limits = rules, "bench", engine.Limits{Creates: none, Updates: none, Deletes: none}
	for n := range guaranteePairs {
		values := make([]record.Value, len(paths))
		for i := range guaranteeFields {
			values[i] = record.OfText(fmt.Sprintf("value %d of pair %d", i, n))
		}
		values[guaranteeFields] = record.OfText(fmt.Sprint(n))
		for _, s := range w.sides {
			s.Append(fmt.Sprintf("k%06d", n), values)
		}
	}
	store, err := state.Open(filepath.Join(b.TempDir(), "state.db"), state.Options{})
	if err != nil {
		b.Fatal(err)
	}
	w.close = store.Close
	w.engine = &engine.Engine{Store: store, Owner: "bench"}
	if !safe {
		w.engine.Store = careless{store}
	}
	w.cycle(b, 0)
	return w
}

// edit changes one field of 2 % of the pairs, half of them on each side.
func (w *guaranteeWorld) edit(round int) {
	w.now = w.now.Add(time.Minute)
	for n := 0; n < guaranteePairs; n += 50 {
		w.sides[n/50%2].Edit(fmt.Sprintf("k%06d", n), record.Fields{"f03": record.OfText(fmt.Sprintf("edited in round %d", round))})
	}
}

// cycle runs once and is held to what it must have done.
func (w *guaranteeWorld) cycle(b *testing.B, done int64) {
	b.Helper()
	w.now = w.now.Add(time.Minute)
	r, err := w.engine.Start(context.Background(), w.job)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	acc, err := r.Apply(context.Background(), engine.Approval{})
	if err != nil || acc.Done != done {
		b.Fatalf("%d writes, want %d: %v", acc.Done, done, err)
	}
}

// A spent is what some work took.
type spent struct{ cpu, megabytes, peak float64 }

func spend(b *testing.B, work func()) spent {
	b.Helper()
	runtime.GC()
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // starts the peak anew; without it the peak is that of the whole process
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu := benchCPU()
	work()
	cpu = benchCPU() - cpu
	runtime.ReadMemStats(&after)
	peak, err := benchPeak()
	if err != nil {
		b.Fatal(err)
	}
	return spent{cpu, float64(after.TotalAlloc-before.TotalAlloc) / 1e6, peak}
}

func (s *spent) add(o spent) {
	s.cpu, s.megabytes, s.peak = s.cpu+o.cpu, s.megabytes+o.megabytes, max(s.peak, o.peak)
}

func BenchmarkGuarantees(b *testing.B) {
	on, off := newGuaranteeWorld(b, true), newGuaranteeWorld(b, false)
	defer on.close()
	defer off.close()
	const changed = guaranteePairs / 50
	var with, without, quiet spent
	round := 0
	for b.Loop() {
		round++
		on.edit(round)
		off.edit(round)
		with.add(spend(b, func() { on.cycle(b, changed) }))
		without.add(spend(b, func() { off.cycle(b, changed) }))
		quiet.add(spend(b, func() { on.cycle(b, 0) }))
	}
	n := float64(round)
	b.ReportMetric(with.cpu/without.cpu, "cpu-on/off")
	b.ReportMetric(with.megabytes/without.megabytes, "allocated-on/off")
	b.ReportMetric(with.peak-without.peak, "peak-MB-more")
	b.ReportMetric(with.cpu/n*1e3, "ms-cpu-on")
	b.ReportMetric(without.cpu/n*1e3, "ms-cpu-off")
	b.ReportMetric((with.cpu-quiet.cpu)/n*1e6/changed, "µs-cpu/change")
	b.ReportMetric(0, "ns/op")
}
