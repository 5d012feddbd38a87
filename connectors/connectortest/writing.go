package connectortest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

func (b *bench) creator() connectors.Creator {
	b.Helper()
	c, ok := connectors.As[connectors.Creator](b.Collection)
	if !ok {
		b.Fatal("not a Creator")
	}
	return c
}

func (b *bench) updater() connectors.Updater {
	b.Helper()
	u, ok := connectors.As[connectors.Updater](b.Collection)
	if !ok {
		b.Fatal("not an Updater")
	}
	return u
}

func (b *bench) deleter() connectors.Deleter {
	b.Helper()
	d, ok := connectors.As[connectors.Deleter](b.Collection)
	if !ok {
		b.Fatal("not a Deleter")
	}
	return d
}

func createReturns(b *bench) {
	for i := range 2 {
		r, err := b.creator().Create(b.Context(), b.Paths, b.Sample(i))
		if err != nil {
			b.Fatalf("create: %v", err)
		}
		if r.Key == "" || len(r.Values) != len(b.Paths) {
			b.Fatalf("create returned key %q and %d values for %d paths", r.Key, len(r.Values), len(b.Paths))
		}
		b.holds("returned", r, b.Sample(i))
		stored := b.one(r.Key)
		b.same("read after create", stored, r)
		if stored.Version != r.Version {
			b.Errorf("create returned version %q, read says %q", r.Version, stored.Version)
		}
	}
	b.settle()
	if got, _ := b.scan(connectors.Query{Paths: b.Paths}); len(got) != 2 {
		b.Errorf("after two creates there are %d records", len(got))
	}
}

func createFound(b *bench) {
	b.fill(0, 3)
	r, err := b.creator().Create(b.Context(), b.Paths, b.Sample(9))
	if err != nil {
		b.Fatalf("create: %v", err)
	}
	got := b.find(b.Sample(9)[b.Marker])
	if len(got) != 1 || got[r.Key].Key == "" {
		b.Errorf("delivered %v, want record %s alone", names(got), r.Key)
	}
}

func updateNamed(b *bench) {
	keys := b.fill(0, 2)
	before := b.one(keys[0])
	other := b.one(keys[1])
	f := record.Fields{b.Text: b.Sample(7)[b.Text]}
	r, err := b.updater().Update(b.Context(), b.Paths, keys[0], "", f)
	if err != nil {
		b.Fatalf("update: %v", err)
	}
	if r.Key != keys[0] {
		b.Errorf("update returned record %s", r.Key)
	}
	b.holds("returned", r, f)
	stored := b.one(keys[0])
	b.same("read after update", stored, r)
	if stored.Version != r.Version {
		b.Errorf("update returned version %q, read says %q", r.Version, stored.Version)
	}
	for path, v := range b.Sample(0) {
		if _, named := f[path]; !named {
			b.holds("a field that was not named", r, record.Fields{path: v})
		}
	}
	if !b.NoVersion && stored.Version == before.Version {
		b.Errorf("the version is %q before and after", stored.Version)
	}
	b.same("another record", b.one(keys[1]), other)
}

func updateClears(b *bench) {
	key := b.fill(0, 1)[0]
	r, err := b.updater().Update(b.Context(), b.Paths, key, "", record.Fields{b.Text: record.NullValue})
	if err != nil {
		b.Fatalf("update: %v", err)
	}
	want := b.Sample(0)
	want[b.Text] = record.NullValue
	b.holds("returned", r, want)
	b.holds("read", b.one(key), want)
}

func updateMissing(b *bench) {
	b.fill(0, 2)
	_, err := b.updater().Update(b.Context(), b.Paths, b.Missing(1), "", record.Fields{b.Text: b.Sample(7)[b.Text]})
	if !errors.Is(err, connectors.ErrNotFound) {
		b.Errorf("the error is %v, want one of kind ErrNotFound", err)
	}
	if got, _ := b.scan(connectors.Query{Paths: b.Paths}); len(got) != 2 {
		b.Errorf("there are %d records afterwards, want 2", len(got))
	}
}

func updateCurrent(b *bench) {
	key := b.fill(0, 1)[0]
	version := b.one(key).Version
	for i := 1; i <= 3; i++ {
		f := record.Fields{b.Text: b.Sample(i)[b.Text]}
		r, err := b.updater().Update(b.Context(), b.Paths, key, version, f)
		if err != nil {
			b.Fatalf("update %d with version %q: %v", i, version, err)
		}
		b.holds("returned", r, f)
		version = r.Version // a returned version is as good as one that was read
	}
}

func updateStale(b *bench) {
	key := b.fill(0, 1)[0]
	old := b.one(key).Version
	b.edit(key, record.Fields{b.Text: b.Sample(3)[b.Text]})
	_, err := b.updater().Update(b.Context(), b.Paths, key, old, record.Fields{b.Text: b.Sample(4)[b.Text]})
	if !errors.Is(err, connectors.ErrStale) {
		b.Errorf("the error is %v, want one of kind ErrStale", err)
	}
	b.holds("after the refusal", b.one(key), record.Fields{b.Text: b.Sample(3)[b.Text]})
}

func roundTrip(b *bench) {
	key := b.fill(0, 1)[0]
	write := func(v record.Value) record.Value {
		b.Helper()
		r, err := b.updater().Update(b.Context(), b.Paths, key, "", record.Fields{b.Text: v})
		if err != nil {
			b.Fatalf("update to %.60s: %v", v, err)
		}
		got := r.Values[b.slot(b.Text)]
		if stored := b.one(key).Values[b.slot(b.Text)]; stored != got {
			b.Errorf("update to %.60s returned %.60s, read says %.60s", v, got, stored)
		}
		return got
	}
	long := 4000
	if d, ok := connectors.As[connectors.Describer](b.Collection); ok {
		if s, err := d.Describe(b.Context()); err == nil {
			if f, ok := s.Field(b.Text); ok && f.MaxLength > 0 {
				long = min(long, f.MaxLength)
			}
		}
	}
	for _, s := range []string{
		"plain", "grüße 日本 🚒 é", `quotes " ' and \ back`, "comma, semicolon; tab\tend", "<b>&amp;</b> %41 +",
		"null", "true", "0012", "1.50", "[1,2]", `{"a":1}`, "=1+1", strings.Repeat("x", long),
	} {
		if got := write(record.OfText(s)); got != record.OfText(s) {
			b.Errorf("%.60q came back as %.60s", s, got)
		}
	}
	for _, s := range []string{"two\nlines", "carriage\r\nreturn", "old\rmac", " leading", "trailing ", "end\n", "   ", "zero\u200bwidth", "nul-free \x01 control"} {
		first := write(record.OfText(s))
		if second := write(first); second != first {
			b.Errorf("%q is stored as %s, and that as %s: it does not settle", s, first, second)
		}
	}
}

func deleteTwice(b *bench) {
	keys := b.fill(0, 3)
	for range 2 {
		if err := b.deleter().Delete(b.Context(), keys[1], ""); err != nil {
			b.Fatalf("delete: %v", err)
		}
	}
	if got := b.read(keys...); len(got) != 2 || got[keys[1]].Key != "" {
		b.Errorf("after the delete read delivers %v", names(got))
	}
	if err := b.deleter().Delete(b.Context(), b.Missing(1), ""); err != nil {
		b.Errorf("delete of what never was: %v", err)
	}
}

func deleteStale(b *bench) {
	key := b.fill(0, 1)[0]
	old := b.one(key).Version
	b.edit(key, record.Fields{b.Text: b.Sample(3)[b.Text]})
	if err := b.deleter().Delete(b.Context(), key, old); !errors.Is(err, connectors.ErrStale) {
		b.Errorf("the error is %v, want one of kind ErrStale", err)
	}
	if err := b.deleter().Delete(b.Context(), key, b.one(key).Version); err != nil {
		b.Errorf("delete with the current version: %v", err)
	}
	if got := b.read(key); len(got) != 0 {
		b.Error("the record is still there")
	}
}

func writeCancelled(b *bench) {
	key := b.fill(0, 1)[0]
	ctx, cancel := context.WithCancel(b.Context())
	cancel()
	if _, err := b.updater().Update(ctx, b.Paths, key, "", record.Fields{b.Text: b.Sample(5)[b.Text]}); err == nil {
		b.Error("an update under a cancelled context succeeded")
	}
}

func describes(b *bench) {
	d, ok := connectors.As[connectors.Describer](b.Collection)
	if !ok {
		b.Fatal("not a Describer")
	}
	s, err := d.Describe(b.Context())
	if err != nil {
		b.Fatalf("describe: %v", err)
	}
	if s.Key == "" {
		b.Error("the schema has no key")
	}
	paths := b.Paths
	for _, p := range []string{s.Key, s.Label} {
		if p != "" {
			paths = append(paths[:len(paths):len(paths)], p)
		}
	}
	for _, p := range paths {
		if _, ok := s.Field(p); !ok && !s.Open {
			b.Errorf("the schema has no field %q and is not open", p)
		}
	}
	seen := map[string]bool{}
	for _, f := range s.Fields {
		if seen[f.Path] {
			b.Errorf("field %q is described twice", f.Path)
		}
		seen[f.Path] = true
	}
	for path := range b.Sample(0) {
		if f, ok := s.Field(path); ok && f.ReadOnly && !b.NoUpdate {
			b.Errorf("field %q is in Sample and described as read-only", path)
		}
	}
}

func describedKinds(b *bench) {
	d, ok := connectors.As[connectors.Describer](b.Collection)
	if !ok {
		b.Fatal("not a Describer")
	}
	s, err := d.Describe(b.Context())
	if err != nil {
		b.Fatalf("describe: %v", err)
	}
	b.fill(0, 3)
	got, _ := b.scan(connectors.Query{Paths: b.Paths})
	for _, r := range got {
		for i, p := range b.Paths {
			f, ok := s.Field(p)
			v := r.Values[i]
			if !ok || f.Type.Kind == record.Absent || !v.Known() || v.Empty() {
				continue
			}
			if fits := v.Kind() == f.Type.Kind || f.Type.Kind == record.Float && v.Kind() == record.Int; !fits {
				b.Errorf("%s of record %s is %s, a %s; described as %s", p, r.Key, v, v.Kind(), f.Type)
			}
		}
	}
}

// concurrent has eight callers on records of their own, each reading back what it wrote while the others scan.
func concurrent(b *bench) {
	const callers, rounds = 8, 4
	keys := b.fill(0, callers)
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range rounds {
				if err := b.round(keys[c], 100+c*rounds+i); err != nil {
					b.Errorf("caller %d, round %d: %v", c, i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	want := callers
	if !b.NoCreate {
		want += callers * rounds
	}
	b.settle()
	if got, _ := b.scan(connectors.Query{Paths: b.Paths}); len(got) != want {
		b.Errorf("there are %d records afterwards, want %d", len(got), want)
	}
}

// round is what one caller does; no failure of it may stop the goroutine's test, so it returns its errors.
func (b *bench) round(key string, i int) error {
	ctx := b.Context()
	want := b.Sample(i)[b.Text]
	if u, ok := connectors.As[connectors.Updater](b.Collection); ok && !b.NoUpdate {
		r, err := u.Update(ctx, b.Paths, key, "", record.Fields{b.Text: want})
		if err != nil {
			return fmt.Errorf("update: %w", err)
		}
		if r.Key != key || r.Values[b.slot(b.Text)] != want {
			return fmt.Errorf("update of %s returned %s with %s, want %s", key, r.Key, r.Values[b.slot(b.Text)], want)
		}
		err = b.Collection.Read(ctx, b.Paths, []string{key}, func(r record.Record) error {
			if v := r.Values[b.slot(b.Text)]; r.Key != key || v != want {
				return fmt.Errorf("record %s shows %s, want %s with %s", r.Key, v, key, want)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
	}
	if c, ok := connectors.As[connectors.Creator](b.Collection); ok && !b.NoCreate {
		r, err := c.Create(ctx, b.Paths, b.Sample(i))
		if err != nil {
			return fmt.Errorf("create: %w", err)
		}
		if v := r.Values[b.slot(b.Marker)]; v != b.Sample(i)[b.Marker] {
			return fmt.Errorf("create returned the marker %s, want %s", v, b.Sample(i)[b.Marker])
		}
	}
	n := 0
	if _, err := b.Collection.Scan(ctx, connectors.Query{Paths: b.Paths}, func(record.Record) error { n++; return nil }); err != nil {
		return fmt.Errorf("scan: %w", err)
	}
	if n < 8 {
		return fmt.Errorf("a scan delivered %d records; eight are always there", n)
	}
	return nil
}

func connection(b *bench) {
	if b.Connection == nil {
		b.Skip("the suite has no connection")
	}
	_, err := b.Connection.Collection(b.Context(), "no_such_collection_zq7")
	if !errors.Is(err, connectors.ErrConfig) {
		b.Errorf("a collection that does not exist: the error is %v, want one of kind ErrConfig", err)
	}
	for range 2 {
		if err := b.Connection.Close(); err != nil {
			b.Errorf("close: %v", err)
		}
	}
}
