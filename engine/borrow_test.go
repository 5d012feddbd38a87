package engine_test

import (
	"context"
	"fmt"
	"testing"
	"unsafe"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A lender takes the text of a record back as soon as emit returns, as the contract allows.
type lender struct{ *instance }

func lend(emit func(record.Record) error) func(record.Record) error {
	return func(rec record.Record) error {
		for _, s := range []*string{&rec.Key, &rec.Label, &rec.Version, &rec.Author} {
			if b := []byte(*s); len(b) > 0 {
				*s = unsafe.String(&b[0], len(b))
				defer func() {
					for i := range b {
						b[i] = '?'
					}
				}()
			}
		}
		return emit(rec)
	}
}

func (l lender) Scan(ctx context.Context, q connectors.Query, emit func(record.Record) error) (connectors.Window, error) {
	return l.instance.Scan(ctx, q, lend(emit))
}

func (l lender) Read(ctx context.Context, paths, keys []string, emit func(record.Record) error) error {
	return l.instance.Read(ctx, paths, keys, lend(emit))
}

func (l lender) Find(ctx context.Context, paths []string, path string, values []record.Value, emit func(record.Record) error) error {
	return l.instance.Find(ctx, paths, path, values, lend(emit))
}

func TestTextThatIsLentIsNotKept(t *testing.T) {
	w := largeWorld(t)
	for _, s := range record.Sides {
		store := w.ticket
		if s == record.Right {
			store = w.incident
		}
		w.job.Ends[s].Handle = lender{&instance{Store: store}}
	}
	for i := range 5 {
		w.ticket.Edit(fmt.Sprintf("T-%04d", i+1), text("title", fmt.Sprint("edited ", i)))
	}
	acc, _, err := w.tryApply(engine.Approval{})
	if err != nil || acc.Done != 5 || acc.Failed+acc.Skipped > 0 {
		t.Fatalf("done %d, failed %d, skipped %d, %v; want 5 done", acc.Done, acc.Failed, acc.Skipped, err)
	}
	w.scanned("changes", "changes") // nothing that is there was taken for missing
	w.job.Only = [2][]string{{"T-0001", "T-0002"}, nil}
	w.ticket.Edit("T-0001", text("title", "once more"))
	if acc = w.apply(); !acc.Few || acc.Done != 1 {
		t.Errorf("few %v, done %d; want true, 1", acc.Few, acc.Done)
	}
	w.job.Only = [2][]string{}
	key := w.ticket.Add(text("title", "new", "status", "new"))
	w.incident.Add(text("marker", key, "summary", "new", "state", "new"))
	if acc = w.apply(); acc.Footer.Linked != 1 || w.incident.Len() != large+1 {
		t.Errorf("%d linked, %d incidents", acc.Footer.Linked, w.incident.Len())
	}
}
