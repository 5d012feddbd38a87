package engine_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/memory"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/record"
	"github.com/fieldsync/fieldsync/engine/state"
)

// A paged collection takes its time over each page of a scan, as a system over HTTP does.
type paged struct {
	*memory.Store
	takes time.Duration
}

func (p paged) Scan(ctx context.Context, q connectors.Query, emit func(record.Record) error) (connectors.Window, error) {
	n := 0
	return p.Store.Scan(ctx, q, func(rec record.Record) error {
		if n%1000 == 0 {
			time.Sleep(p.takes)
		}
		n++
		return emit(rec)
	})
}

// BenchmarkParts previews a full scan of 100,000 records that did not move, of a system that takes a while over each page
// of 1,000: as a whole, and in parts of which several are read at once. The ratio is of the two in the same run.
func BenchmarkParts(b *testing.B) {
	const records = 100_000
	tickets, incidents := memory.New(memory.Text("number", "queue", "status", "title")...), memory.New(memory.Text("marker", "number", "state", "summary")...)
	for i := range records {
		tickets.Append(fmt.Sprintf("T-%06d", i), []record.Value{record.NullValue, record.OfText("noc"), record.OfText("open"), record.OfText("ticket " + fmt.Sprint(i))})
	}
	store, err := state.Open(filepath.Join(b.TempDir(), "state.db"), state.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	none := engine.Limit{Number: -1}
	j := engine.Job{Rules: rules(), Limits: engine.Limits{Creates: none, Updates: none, Deletes: none}}
	j.Rules.Sides[record.Right].Create = false
	j.Ends = [2]engine.End{{Connection: "desk", Collection: "tickets", Endpoint: "a", Handle: paged{tickets, 0}}, {Connection: "prod", Collection: "incident", Endpoint: "b", Handle: incidents}}
	e := &engine.Engine{Store: store}
	r, err := e.Start(b.Context(), j)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := r.Apply(b.Context(), engine.Approval{}); err != nil {
		b.Fatal(err)
	}
	if err := r.Close(); err != nil {
		b.Fatal(err)
	}
	j.Full = true
	for _, takes := range []time.Duration{50 * time.Millisecond, 200 * time.Millisecond} {
		for _, atOnce := range []int{4, 8} {
			b.Run(fmt.Sprintf("%v a page, %d at once", takes, atOnce), func(b *testing.B) {
				j.Ends[0].Handle, j.Ends[0].Limits.Concurrency = paged{tickets, takes}, atOnce
				var took [2]time.Duration
				for b.Loop() {
					for i, from := range []int64{records + 1, 0} {
						e.SplitFrom = from
						began := time.Now()
						r, err := e.Plan(b.Context(), j)
						if err != nil {
							b.Fatal(err)
						}
						took[i] += time.Since(began)
						if n := r.Header().Observed[0]; n != records {
							b.Fatalf("%d records", n)
						}
						r.Close()
					}
				}
				b.ReportMetric(took[0].Seconds()/float64(b.N), "s-whole")
				b.ReportMetric(took[1].Seconds()/float64(b.N), "s-parts")
				b.ReportMetric(took[0].Seconds()/took[1].Seconds(), "times-as-fast")
			})
		}
	}
}
