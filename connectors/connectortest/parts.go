package connectortest

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// split cuts a scan and fails where parts are too many or too few for anything to be shown.
func (b *bench) split(q connectors.Query, most int) ([]string, connectors.Window) {
	b.Helper()
	s, ok := connectors.As[connectors.Splitter](b.Collection)
	if !ok {
		b.Fatal("the collection is no Splitter; clear Suite.Split if that is right")
	}
	parts, w, err := s.Split(b.Context(), q, most)
	if err != nil {
		b.Fatalf("split: %v", err)
	}
	if len(parts) > most || len(parts) < 2 && most > 1 {
		b.Fatalf("%d parts where at most %d were asked for: %q", len(parts), most, parts)
	}
	if slices.Contains(parts, "") {
		b.Fatalf("a part is \"\", which is the whole: %q", parts)
	}
	return parts, w
}

// together scans parts, the last first, with something that happens between them.
func (b *bench) together(q connectors.Query, parts []string, between func(part int)) map[string]record.Record {
	b.Helper()
	all := map[string]record.Record{}
	for i := len(parts) - 1; i >= 0; i-- {
		q.Part = parts[i]
		got, w := b.scan(q)
		for key, r := range got {
			if _, twice := all[key]; twice {
				b.Errorf("record %s is in part %d of %d and in a later one: %q", key, i+1, len(parts), parts)
			}
			all[key] = r
		}
		if b.Incremental && w.Next == "" {
			b.Errorf("part %d has no Window.Next", i+1)
		}
		if between != nil {
			between(i)
		}
	}
	return all
}

func partsWhole(b *bench) {
	b.fill(0, 60)
	for _, scope := range b.scopes() {
		q := connectors.Query{Paths: b.Paths, Native: scope}
		whole, _ := b.scan(q)
		for _, most := range []int{2, 3, 7, 25} {
			parts, _ := b.split(q, most)
			got := b.together(q, parts, nil)
			if len(got) != len(whole) {
				b.Errorf("%d parts of %q have %d records, the whole has %d", len(parts), scope, len(got), len(whole))
			}
			for key, r := range whole {
				if _, there := got[key]; !there {
					b.Errorf("record %s is in none of %d parts of %q: %q", key, len(parts), scope, parts)
					continue
				}
				b.same("part against whole", got[key], r)
			}
		}
	}
	if scope := b.Scope; scope != "" {
		if got, _ := b.scan(connectors.Query{Paths: b.Paths, Native: scope}); len(got) < 10 || len(got) > 50 {
			b.Errorf("%d of 60 samples are in the scope: the suite is set up wrongly", len(got))
		}
	}
}

// scopes are the whole collection and what Suite.Scope selects of it.
func (b *bench) scopes() []string {
	if b.Scope == "" {
		return []string{""}
	}
	return []string{"", b.Scope}
}

// partsBusy makes and removes records while parts are scanned, also before and behind all others.
func partsBusy(b *bench) {
	keys := b.fill(0, 50)
	q := connectors.Query{Paths: b.Paths}
	parts, _ := b.split(q, 4)
	next, removed, made := 50, map[string]bool{}, map[string]bool{}
	got := b.together(q, parts, func(part int) {
		for range 5 {
			made[b.add(b.Sample(next))] = true
			next++
		}
		gone := keys[(7*part+3)%len(keys)]
		b.remove(gone)
		removed[gone] = true
		b.settle()
	})
	for _, key := range keys {
		if _, there := got[key]; !there && !removed[key] {
			b.Errorf("record %s, which nobody touched, is in no part", key)
		}
	}
	for key := range got {
		if !made[key] && !slices.Contains(keys, key) {
			b.Errorf("record %s came out of nowhere", key)
		}
	}
	// The parts are of the range of keys, not of the records that it held.
	whole, _ := b.scan(q)
	if again := b.together(q, parts, nil); !maps.EqualFunc(again, whole, func(a, w record.Record) bool { return a.Key == w.Key }) {
		b.Errorf("scanned again the parts have %d records, the whole has %d", len(again), len(whole))
	}
}

// partsFail shows that a part that did not come to its end is an error, as a whole scan would be.
func partsFail(b *bench) {
	b.fill(0, 20)
	q := connectors.Query{Paths: b.Paths}
	parts, _ := b.split(q, 3)
	for _, part := range parts {
		q.Part = part
		if _, err := b.Collection.Scan(b.Context(), q, func(record.Record) error { return errStop }); err != errStop {
			b.Errorf("the error of part %q is %v, want emit's own", part, err)
		}
		ctx, cancel := context.WithCancel(b.Context())
		cancel()
		if _, err := b.Collection.Scan(ctx, q, func(record.Record) error { return nil }); !errors.Is(err, context.Canceled) {
			b.Errorf("the error of part %q is %v, want one that is context.Canceled", part, err)
		}
	}
	q.Part = "no such part"
	n := 0
	if _, err := b.Collection.Scan(b.Context(), q, func(record.Record) error { n++; return nil }); !errors.Is(err, connectors.ErrConfig) || n > 0 {
		b.Errorf("a part that nobody made delivers %d records and %v, want ErrConfig", n, err)
	}
}

// partsSince edits in a part that was scanned and in one that was not: the window of the split has both.
func partsSince(b *bench) {
	keys := b.fill(0, 20)
	q := connectors.Query{Paths: b.Paths}
	parts, w := b.split(q, 2)
	if w.Next == "" {
		b.Fatal("Window.Next is empty")
	}
	want := b.Sample(40)[b.Text]
	b.together(q, parts, func(part int) {
		if part > 0 {
			for _, key := range keys {
				b.edit(key, record.Fields{b.Text: want})
			}
		}
	})
	b.settle()
	got, _ := b.scan(connectors.Query{Paths: b.Paths, Since: w.Next})
	for _, key := range keys {
		if r, ok := got[key]; !ok || r.Values[b.slot(b.Text)] != want {
			b.Errorf("the edit of record %s while parts were scanned was missed", key)
		}
	}
}

// partsNothing splits what holds nothing.
func partsNothing(b *bench) {
	s, ok := connectors.As[connectors.Splitter](b.Collection)
	if !ok {
		b.Fatal("the collection is no Splitter")
	}
	parts, _, err := s.Split(b.Context(), connectors.Query{Paths: b.Paths}, 4)
	if err != nil {
		b.Fatalf("split of an empty system: %v", err)
	}
	key := b.fill(0, 1)[0]
	if got := b.together(connectors.Query{Paths: b.Paths}, parts, nil); len(parts) > 0 && got[key].Key != key {
		b.Error("a record that came afterwards is in no part")
	}
}
