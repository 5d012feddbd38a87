package connectortest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// noPath is a path that no collection has.
const noPath = "no_such_path_zq7"

var errStop = errors.New("emit has seen enough")

func scanAll(b *bench) {
	keys := b.fill(0, 25)
	got, _ := b.scan(connectors.Query{Paths: b.Paths})
	if len(got) != len(keys) {
		b.Errorf("%d records were delivered, want %d", len(got), len(keys))
	}
	for i, key := range keys {
		r, ok := got[key]
		if !ok {
			b.Errorf("record %s was not delivered", key)
			continue
		}
		b.holds("scan", r, b.Sample(i))
	}
}

func scanNothing(b *bench) {
	if got, _ := b.scan(connectors.Query{Paths: b.Paths}); len(got) != 0 {
		b.Errorf("%d records were delivered", len(got))
	}
}

func scanOrder(b *bench) {
	key := b.fill(0, 1)[0]
	back := slices.Clone(b.Paths)
	slices.Reverse(back)
	straight, _ := b.scan(connectors.Query{Paths: b.Paths})
	turned, _ := b.scan(connectors.Query{Paths: back})
	want := slices.Clone(straight[key].Values)
	slices.Reverse(want)
	if !slices.Equal(turned[key].Values, want) {
		b.Errorf("asked for %v the values are %v, want %v", back, turned[key].Values, want)
	}
	single, _ := b.scan(connectors.Query{Paths: []string{b.Marker}})
	if v := single[key].Values[0]; v != b.Sample(0)[b.Marker] {
		b.Errorf("asked for the marker alone it is %s, want %s", v, b.Sample(0)[b.Marker])
	}
}

func scanEmitError(b *bench) {
	b.fill(0, 5)
	n := 0
	_, err := b.Collection.Scan(b.Context(), connectors.Query{Paths: b.Paths}, func(record.Record) error {
		n++
		if n == 2 {
			return errStop
		}
		return nil
	})
	if err != errStop {
		b.Errorf("the error is %v, want emit's own", err)
	}
	if n != 2 {
		b.Errorf("emit was called %d times, want 2", n)
	}
}

func scanCancelled(b *bench) {
	b.fill(0, 5)
	ctx, cancel := context.WithCancel(b.Context())
	cancel()
	n := 0
	_, err := b.Collection.Scan(ctx, connectors.Query{Paths: b.Paths}, func(record.Record) error { n++; return nil })
	if !errors.Is(err, context.Canceled) {
		b.Errorf("the error is %v, want one that is context.Canceled", err)
	}
	// A page that is in memory may still be emitted, but then the scan must have been told that it was cut.
	ctx, cancel = context.WithCancel(b.Context())
	defer cancel()
	n = 0
	if _, err = b.Collection.Scan(ctx, connectors.Query{Paths: b.Paths}, func(record.Record) error {
		n++
		cancel()
		return nil
	}); err == nil && n != 5 {
		b.Errorf("cancelled after the first record, the scan claims to be complete with %d of 5 records", n)
	}
}

func unknownPath(b *bench) {
	key := b.fill(0, 1)[0]
	paths := append(slices.Clone(b.Paths), noPath)
	never := func(how string, r record.Record, err error) {
		b.Helper()
		switch {
		case err != nil && !errors.Is(err, connectors.ErrConfig):
			b.Errorf("%s: the error is %v, want one of kind ErrConfig", how, err)
		case err == nil && len(r.Values) != len(paths):
			b.Errorf("%s: %d values for %d paths", how, len(r.Values), len(paths))
		case err == nil && r.Values[len(paths)-1].Known():
			b.Errorf("%s: the value is %s, want absent or unknown", how, r.Values[len(paths)-1])
		}
	}
	var r record.Record
	keep := func(e record.Record) error { r = own(e); return nil }
	_, err := b.Collection.Scan(b.Context(), connectors.Query{Paths: paths}, keep)
	never("scan", r, err)
	r = record.Record{}
	err = b.Collection.Read(b.Context(), paths, []string{key}, keep)
	never("read", r, err)
}

// scanRetained shows shared buffers: two scans run through each other, and what was cloned from one must be what
// a direct read says afterwards.
func scanRetained(b *bench) {
	keys := b.fill(0, 20)
	got := map[string]record.Record{}
	shown := map[string]string{}
	n := 0
	_, err := b.Collection.Scan(b.Context(), connectors.Query{Paths: b.Paths}, func(r record.Record) error {
		before := fmt.Sprint(r)
		if n++; n%5 == 1 {
			inner, err := b.Collection.Scan(b.Context(), connectors.Query{Paths: b.Paths}, func(record.Record) error { return nil })
			if err != nil {
				return fmt.Errorf("scan inside a scan: %w", err)
			}
			_ = inner
		}
		if after := fmt.Sprint(r); after != before {
			return fmt.Errorf("a record changed before emit returned:\n%s\n%s", before, after)
		}
		c := own(r)
		got[c.Key], shown[c.Key] = c, before
		return nil
	})
	if err != nil {
		b.Fatalf("scan: %v", err)
	}
	read := b.read(keys...)
	for i, key := range keys {
		if s := fmt.Sprint(got[key]); s != shown[key] {
			b.Errorf("record %s was %s when emitted and is %s", key, shown[key], s)
		}
		b.holds("the clone", got[key], b.Sample(i))
		b.same("read against scan", read[key], got[key])
		if read[key].Version != got[key].Version {
			b.Errorf("record %s has version %q by read and %q by scan", key, read[key].Version, got[key].Version)
		}
	}
}

func readSome(b *bench) {
	keys := b.fill(0, 8)
	got := b.read(keys[5], keys[0], keys[3])
	if len(got) != 3 {
		b.Errorf("%d records were delivered, want 3", len(got))
	}
	for _, i := range []int{0, 3, 5} {
		r, ok := got[keys[i]]
		if !ok {
			b.Errorf("record %s was not delivered", keys[i])
			continue
		}
		b.holds("read", r, b.Sample(i))
	}
}

func readMissing(b *bench) {
	keys := b.fill(0, 2)
	if got := b.read(b.Missing(1), keys[1], b.Missing(2)); len(got) != 1 || got[keys[1]].Key == "" {
		b.Errorf("delivered %v, want record %s alone", names(got), keys[1])
	}
	if got := b.read(b.Missing(3)); len(got) != 0 {
		b.Errorf("a missing key delivered %v", names(got))
	}
}

func readNone(b *bench) {
	b.fill(0, 2)
	if got := b.read(); len(got) != 0 {
		b.Errorf("no keys delivered %v", names(got))
	}
}

func readTwice(b *bench) {
	keys := b.fill(0, 2)
	n := 0
	err := b.Collection.Read(b.Context(), b.Paths, []string{keys[0], keys[0]}, func(r record.Record) error {
		if r.Key != keys[0] {
			return fmt.Errorf("record %s was not asked for", r.Key)
		}
		n++
		return nil
	})
	if err != nil || n < 1 || n > 2 {
		b.Errorf("delivered %d records and the error %v, want the record once, or as often as asked", n, err)
	}
}

func readMany(b *bench) {
	keys := b.fill(0, 60)
	asked := make([]string, 0, 500)
	for i := range 500 {
		if i%9 == 0 {
			asked = append(asked, keys[i/9])
			continue
		}
		asked = append(asked, b.Missing(i))
	}
	got := b.read(asked...)
	if want := 56; len(got) != want {
		b.Errorf("%d records were delivered, want %d", len(got), want)
	}
	for i := range 56 {
		if r, ok := got[keys[i]]; ok {
			b.holds("read", r, b.Sample(i))
		}
	}
}

func readEmitError(b *bench) {
	keys := b.fill(0, 3)
	err := b.Collection.Read(b.Context(), b.Paths, keys, func(record.Record) error { return errStop })
	if err != errStop {
		b.Errorf("the error is %v, want emit's own", err)
	}
}

func readFresh(b *bench) {
	key := b.add(b.Sample(0))
	b.holds("after an insert", b.one(key), b.Sample(0))
	b.edit(key, record.Fields{b.Text: b.Sample(1)[b.Text]})
	b.holds("after an edit", b.one(key), record.Fields{b.Text: b.Sample(1)[b.Text]})
	b.remove(key)
	if got := b.read(key); len(got) != 0 {
		b.Error("a removed record is still read")
	}
}

func versionMoves(b *bench) {
	keys := b.fill(0, 2)
	first := b.one(keys[0])
	if first.Version == "" {
		b.Fatal("the version is empty")
	}
	other := b.one(keys[1]).Version
	if again := b.one(keys[0]).Version; again != first.Version {
		b.Errorf("two reads give the versions %q and %q", first.Version, again)
	}
	seen := map[string]bool{first.Version: true}
	for i := 1; i <= 3; i++ {
		b.edit(keys[0], record.Fields{b.Text: b.Sample(i)[b.Text]})
		v := b.one(keys[0]).Version
		if seen[v] {
			b.Errorf("edit %d: version %q was there before", i, v)
		}
		seen[v] = true
	}
	if now := b.one(keys[1]).Version; now != other {
		b.Errorf("another record's version went from %q to %q", other, now)
	}
}

func sinceEdit(b *bench) {
	keys := b.fill(0, 5)
	_, w := b.scan(connectors.Query{Paths: b.Paths})
	if w.Next == "" {
		b.Fatal("Window.Next is empty")
	}
	b.edit(keys[2], record.Fields{b.Text: b.Sample(40)[b.Text]})
	b.settle()
	added := b.fill(5, 6)[0]
	got, w2 := b.scan(connectors.Query{Paths: b.Paths, Since: w.Next})
	if r, ok := got[keys[2]]; !ok {
		b.Error("the edited record was not delivered")
	} else {
		b.holds("edited", r, record.Fields{b.Text: b.Sample(40)[b.Text]})
	}
	if _, ok := got[added]; !ok {
		b.Error("the added record was not delivered")
	}
	if w2.Next == "" {
		b.Error("the second scan has no Window.Next")
	}
}

// sinceSameSecond edits right behind each scan: whatever second the stamp falls into, a later window has it.
func sinceSameSecond(b *bench) {
	keys := b.fill(0, 3)
	_, w := b.scan(connectors.Query{Paths: b.Paths})
	for i := range 4 {
		want := b.Sample(50 + i)[b.Text]
		b.edit(keys[i%3], record.Fields{b.Text: want})
		_, mid := b.scan(connectors.Query{Paths: b.Paths, Since: w.Next})
		later := b.Sample(70 + i)[b.Text]
		b.edit(keys[i%3], record.Fields{b.Text: later})
		b.settle()
		got, next := b.scan(connectors.Query{Paths: b.Paths, Since: mid.Next})
		if r, ok := got[keys[i%3]]; !ok || r.Values[b.slot(b.Text)] != later {
			b.Errorf("round %d: the edit behind the scan was missed", i)
		}
		w = next
	}
}

func sinceLeavesOut(b *bench) {
	if b.pass == nil {
		b.Skip("the system's clock cannot be moved")
	}
	keys := b.fill(0, 5)
	b.pass(24 * time.Hour)
	_, w := b.scan(connectors.Query{Paths: b.Paths})
	b.pass(24 * time.Hour)
	b.edit(keys[1], record.Fields{b.Text: b.Sample(40)[b.Text]})
	b.settle()
	got, _ := b.scan(connectors.Query{Paths: b.Paths, Since: w.Next})
	if len(got) != 1 || got[keys[1]].Key == "" {
		b.Errorf("delivered %v, want record %s alone", names(got), keys[1])
	}
}

func noWindow(b *bench) {
	b.fill(0, 2)
	if _, w := b.scan(connectors.Query{Paths: b.Paths}); w.Next != "" {
		b.Errorf("Window.Next is %q, but the suite is not Incremental", w.Next)
	}
}

func removedGone(b *bench) {
	keys := b.fill(0, 3)
	b.remove(keys[1])
	b.settle()
	if got, _ := b.scan(connectors.Query{Paths: b.Paths}); len(got) != 2 || got[keys[1]].Key != "" {
		b.Errorf("delivered %v, want %v", names(got), []string{keys[0], keys[2]})
	}
}

func names(rs map[string]record.Record) []string {
	var keys []string
	for k := range rs {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
