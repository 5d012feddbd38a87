package state_test

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/record"
)

// ratios are how many times as long as a file PostgreSQL may take, on one machine with the server on loopback. They are what
// engine/DESIGN.md states: about half as much again as is seen, so that a statement which came to be sent for each link, where it
// was sent for a page of them, exceeds them by far, and a busy machine does not.
var ratios = []struct {
	what    string
	most    float64
	prepare func(b *testing.B, bk engine.Book, kept []engine.Fold) (once func() (links int))
}{
	{"first contact", 6, func(b *testing.B, bk engine.Book, _ []engine.Fold) func() int {
		next := uint64(ratioKept)
		return func() int {
			folds := benchFolds(next, 2000)
			next += 2000
			return benchDone(b, len(folds), bk.Fold(b.Context(), folds))
		}
	}},
	{"moved links", 4, func(b *testing.B, bk engine.Book, kept []engine.Fold) func() int {
		at, n := 0, int64(0)
		part := make([]engine.Fold, 500)
		return func() int {
			for i := range part {
				part[i] = kept[at]
				part[i].Link.Base[0][1] = record.OfInt(n)
				part[i].Lost = []engine.Lost{{Path: "path_01", Value: record.OfText("was"), By: record.OfText("is"), Rule: "r"}}
				at = (at + 7919) % len(kept)
				n++
			}
			return benchDone(b, len(part), bk.Fold(b.Context(), part))
		}
	}},
	{"fingerprints", 6, func(b *testing.B, bk engine.Book, _ []engine.Fold) func() int {
		return func() (n int) {
			err := bk.Prints(b.Context(), record.Left, func(engine.Print) error { n++; return nil })
			return benchDone(b, n, err)
		}
	}},
	{"keys", 5, func(b *testing.B, bk engine.Book, _ []engine.Fold) func() int {
		return func() (n int) {
			err := bk.Keys(b.Context(), record.Right, func(int64, string) error { n++; return nil })
			return benchDone(b, n, err)
		}
	}},
	{"links whole", 4, func(b *testing.B, bk engine.Book, _ []engine.Fold) func() int {
		return func() (n int) {
			err := bk.Links(b.Context(), record.Live, func(record.Link) error { n++; return nil })
			return benchDone(b, n, err)
		}
	}},
	{"one link by its key", 8, func(b *testing.B, bk engine.Book, kept []engine.Fold) func() int {
		at := 0
		return func() int {
			at = (at + 7919) % len(kept)
			l, err := bk.Link(b.Context(), record.Left, kept[at].Link.Key[0])
			if l == nil {
				b.Fatalf("link %s is not there: %v", kept[at].Link.Key[0], err)
			}
			return benchDone(b, 1, err)
		}
	}},
}

// ratioKept is how many links both states have from the start.
const ratioKept = 20000

// BenchmarkPostgreSQLAgainstAFile fails where PostgreSQL is slower than it may be. Both are measured in turns, in short
// rounds, of which the best of each counts: what else the machine does can only make a round longer. On one that has far too
// much to do nothing is measured, since every answer of a server then waits for its turn.
func BenchmarkPostgreSQLAgainstAFile(b *testing.B) {
	var load float64
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		if _, err := fmt.Sscan(string(text), &load); err != nil {
			b.Fatal(err)
		}
	}
	if load > 3*float64(runtime.NumCPU()) {
		b.Skipf("a load of %.0f on %d processors: a server answers when its turn comes, and a file at once", load, runtime.NumCPU())
	}
	places := []string{"a file", "PostgreSQL"}
	for _, r := range ratios {
		b.Run(strings.ReplaceAll(r.what, " ", "-"), func(b *testing.B) {
			work := make([]func() int, len(places))
			for i, kind := range places {
				bk, _, path := benchStoreOf(b, kind)
				kept := benchFolds(0, ratioKept)
				if err := bk.Fold(b.Context(), kept); err != nil {
					b.Fatal(err)
				}
				if kind == "PostgreSQL" {
					change(b, path, "VACUUM ANALYZE")
				}
				work[i] = r.prepare(b, bk, kept)
			}
			best := []float64{math.Inf(1), math.Inf(1)} // seconds a link
			for b.Loop() {
				for range 7 {
					for i := range places {
						best[i] = min(best[i], benchRound(work[i]))
					}
				}
			}
			ratio := best[1] / best[0]
			b.ReportMetric(ratio, "ratio")
			b.ReportMetric(r.most, "at-most")
			for i, unit := range []string{"file-links/s", "server-links/s"} {
				b.ReportMetric(1/best[i], unit)
			}
			if ratio > r.most {
				b.Errorf("%s: PostgreSQL takes %.1f times as long as a file (%.0f against %.0f links a second), and may take %.1f times as long: see which statements it is sent for one link that it was sent for many before",
					r.what, ratio, 1/best[1], 1/best[0], r.most)
			}
		})
	}
}

// benchRound is how long one link takes, in seconds, on the average of a fifth of a second.
func benchRound(once func() int) float64 {
	links, began := 0, time.Now()
	for links == 0 || time.Since(began) < 200*time.Millisecond {
		links += once()
	}
	return time.Since(began).Seconds() / float64(links)
}

func benchDone(b *testing.B, n int, err error) int {
	if err != nil {
		b.Fatal(err)
	}
	return n
}
