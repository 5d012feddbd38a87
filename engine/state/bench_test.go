package state_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/record"
	"github.com/fieldsync/fieldsync/engine/state"
)

// The links of these benchmarks have twelve values a side, about 0.35 kB each, and keys in no order on the right.
const benchPaths = 12

var benchBook = [2][]string{benchNames(), benchNames()}

func benchNames() []string {
	names := make([]string, benchPaths)
	for i := range names {
		names[i] = fmt.Sprintf("path_%02d", i)
	}
	return names
}

func benchFold(i uint64) engine.Fold {
	mixed := (i + 1) * 0x9E3779B97F4A7C15
	vs := make([]record.Value, benchPaths)
	for j := range vs {
		switch {
		case j == 0:
			vs[j] = record.OfText(fmt.Sprintf("%d: the printer on the second floor is out of paper again and nobody can say since when, but it was before the weekend", i))
		case j < 8:
			vs[j] = record.OfText(fmt.Sprintf("value %d of %d, text", j, i))
		default:
			vs[j] = record.OfInt(int64(i) * int64(j))
		}
	}
	l := &record.Link{Key: [2]string{fmt.Sprintf("T-%08d", i), fmt.Sprintf("%032x", mixed)}, Label: [2]string{"", fmt.Sprintf("INC%07d", i)},
		Version: [2]string{"2026-03-01 12:00:00", "17"}, Base: [2][]record.Value{vs, vs}}
	return engine.Fold{Link: l, Decided: true, Prints: [2]*engine.Print{{Hash: mixed, Print: i}, {Hash: mixed * 31, Print: i}}}
}

// benchFolds are as many, from one on.
func benchFolds(from uint64, n int) []engine.Fold {
	folds := make([]engine.Fold, n)
	for i := range folds {
		folds[i] = benchFold(from + uint64(i))
	}
	return folds
}

// benchKind is where the benchmarks keep their state: FIELDSYNC_BENCH_STATE=PostgreSQL has them use a server, whose
// processor time is not in cpu-µs.
func benchKind() string {
	if kind := os.Getenv("FIELDSYNC_BENCH_STATE"); kind != "" {
		return kind
	}
	return "a file"
}

func benchStore(b *testing.B) (engine.Book, *state.Store, string) {
	return benchStoreOf(b, benchKind())
}

func benchStoreOf(b *testing.B, kind string) (engine.Book, *state.Store, string) {
	path := kinds[kind](b)
	s := open(b, path, state.Options{})
	fence, err := s.Lease(b.Context(), "a", "bench", 1<<40)
	if err != nil {
		b.Fatal(err)
	}
	bk, err := s.Book(b.Context(), "a", benchBook, fence)
	if err != nil {
		b.Fatal(err)
	}
	return bk, s, path
}

// A meter counts the CPU time of this process, in C too: other work on the machine moves it far less than the clock.
type meter struct{ used, since time.Duration }

func cpu() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func (m *meter) start() { m.since = cpu() }
func (m *meter) stop()  { m.used += cpu() - m.since }

// report gives the CPU time for each of n things.
func (m *meter) report(b *testing.B, n int) {
	b.ReportMetric(float64(m.used.Microseconds())/float64(n), "cpu-µs/row")
}

// BenchmarkFoldAgreedLinks is first contact: new links with their base and two fingerprints, 10,000 a call. The
// store grows from call to call, as it does in life: -benchtime=100x stores a million.
func BenchmarkFoldAgreedLinks(b *testing.B) {
	bk, _, path := benchStore(b)
	const size = 10000
	var m meter
	next := uint64(0)
	for b.Loop() {
		b.StopTimer()
		folds := benchFolds(next, size)
		next += size
		b.StartTimer()
		m.start()
		if err := bk.Fold(b.Context(), folds); err != nil {
			b.Fatal(err)
		}
		m.stop()
	}
	m.report(b, int(next))
	b.ReportMetric(float64(next)/b.Elapsed().Seconds(), "links/s")
	bytes := 0.0
	if info, err := os.Stat(path); err == nil {
		bytes = float64(info.Size())
	} else if bytes, err = strconv.ParseFloat(query(b, path, "SELECT pg_total_relation_size('link') + pg_total_relation_size('print')"), 64); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(bytes/float64(next), "bytes/link")
}

// BenchmarkFoldMovedLinks is the usual run: one link in a hundred moved, all over the table, 1,000 a call.
func BenchmarkFoldMovedLinks(b *testing.B) {
	bk, _, _ := benchStore(b)
	const all, size = 100000, 1000
	folds := benchFolds(0, all)
	if err := bk.Fold(b.Context(), folds); err != nil {
		b.Fatal(err)
	}
	at := 0
	n := 0
	part := make([]engine.Fold, size)
	var m meter
	m.start()
	for b.Loop() {
		for i := range part {
			part[i] = folds[at]
			part[i].Link.Base[0][1] = record.OfInt(int64(n))
			part[i].Lost = []engine.Lost{{Path: "path_01", Value: record.OfText("was"), By: record.OfText("is"), Rule: "r"}}
			part[i].Origins = []engine.Origin{{Path: "path_01", Rule: "r", Run: int64(n)}}
			at = (at + 7919) % all
			n++
		}
		if err := bk.Fold(b.Context(), part); err != nil {
			b.Fatal(err)
		}
	}
	m.stop()
	m.report(b, n)
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "links/s")
}

func benchRead(b *testing.B, size int, read func(bk engine.Book) int) {
	bk, _, path := benchStore(b)
	for from := 0; from < size; from += 10000 {
		if err := bk.Fold(b.Context(), benchFolds(uint64(from), 10000)); err != nil {
			b.Fatal(err)
		}
	}
	if strings.HasPrefix(path, "postgres") {
		change(b, path, "VACUUM ANALYZE") // as the server does by itself, a minute later
	}
	n := 0
	var m meter
	m.start()
	for b.Loop() {
		n += read(bk)
	}
	m.stop()
	m.report(b, n)
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkPrints(b *testing.B) {
	benchRead(b, 200000, func(bk engine.Book) (n int) {
		if err := bk.Prints(b.Context(), record.Left, func(engine.Print) error { n++; return nil }); err != nil {
			b.Fatal(err)
		}
		return n
	})
}

func BenchmarkKeys(b *testing.B) {
	benchRead(b, 200000, func(bk engine.Book) (n int) {
		if err := bk.Keys(b.Context(), record.Right, func(int64, string) error { n++; return nil }); err != nil {
			b.Fatal(err)
		}
		return n
	})
}

func BenchmarkLinks(b *testing.B) {
	benchRead(b, 50000, func(bk engine.Book) (n int) {
		if err := bk.Links(b.Context(), record.Live, func(record.Link) error { n++; return nil }); err != nil {
			b.Fatal(err)
		}
		return n
	})
}

func BenchmarkLinkByKey(b *testing.B) {
	i := uint64(0)
	benchRead(b, 100000, func(bk engine.Book) int {
		i = (i + 7919) % 100000
		if l, err := bk.Link(b.Context(), record.Left, fmt.Sprintf("T-%08d", i)); err != nil || l == nil {
			b.Fatal(l, err)
		}
		return 1
	})
}

// BenchmarkSpoolPut puts 1,000 records a call, then reads them all once.
func BenchmarkSpoolPut(b *testing.B) {
	_, s, _ := benchStore(b)
	sp, err := s.Spool(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer sp.Close()
	page := make([]engine.Moved, 1000)
	var m meter
	next := uint64(0)
	for b.Loop() {
		b.StopTimer()
		for i := range page {
			f := benchFold(next)
			page[i] = engine.Moved{Record: record.Record{Key: f.Link.Key[1], Label: f.Link.Label[1], Version: "17", Values: f.Link.Base[0]}, Print: *f.Prints[1], Match: []uint64{next + 1}}
			next++
		}
		b.StartTimer()
		m.start()
		if err := sp.Put(b.Context(), record.Left, page); err != nil {
			b.Fatal(err)
		}
		m.stop()
	}
	m.report(b, int(next))
	b.ReportMetric(float64(next)/b.Elapsed().Seconds(), "put/s")
}

func BenchmarkSpoolEach(b *testing.B) {
	_, s, _ := benchStore(b)
	sp, err := s.Spool(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer sp.Close()
	for i := range uint64(100000) {
		f := benchFold(i)
		m := engine.Moved{Record: record.Record{Key: f.Link.Key[1], Values: f.Link.Base[0]}, Print: *f.Prints[1], Match: []uint64{i + 1}}
		if err := sp.Put(b.Context(), record.Left, []engine.Moved{m}); err != nil {
			b.Fatal(err)
		}
	}
	n := 0
	var m meter
	m.start()
	for b.Loop() {
		if err := sp.Each(b.Context(), record.Left, func(engine.Moved) error { n++; return nil }); err != nil {
			b.Fatal(err)
		}
	}
	m.stop()
	m.report(b, n)
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkLatest asks for the newest entries of 64 places a call, each of another link.
func BenchmarkLatest(b *testing.B) {
	at := int64(0)
	var places [64]engine.Place
	benchRead(b, 20000, func(bk engine.Book) int {
		for i := range places {
			at = (at + 7919) % 20000
			places[i] = engine.Place{Link: at + 1, Side: record.Left, Path: "path_01"}
		}
		if err := bk.Latest(b.Context(), places[:], 32, func(engine.Entry) error { return nil }); err != nil {
			b.Fatal(err)
		}
		return len(places)
	})
}
