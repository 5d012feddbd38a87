package memory_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/connectortest"
	"github.com/fieldsync/fieldsync/connectors/memory"
	"github.com/fieldsync/fieldsync/engine/record"
)

var (
	_ connectors.Connection = (*memory.Store)(nil)
	_ connectors.Collection = (*memory.Store)(nil)
	_ connectors.Describer  = (*memory.Store)(nil)
	_ connectors.Checker    = (*memory.Store)(nil)
	_ connectors.Chronicler = (*memory.Store)(nil)
)

func sample(i int) record.Fields {
	return record.Fields{
		"title":  record.OfText("title " + strconv.Itoa(i)),
		"weight": record.OfInt(int64(i)),
		"marker": record.OfText("m" + strconv.Itoa(i)),
	}
}

func fields() []connectors.Field {
	return append(memory.Text("title", "marker"), connectors.Field{Path: "weight", Type: record.Type{Kind: record.Int}})
}

func TestConformance(t *testing.T) { conforms(t, false) }

func TestAnAuditedStoreConformsToo(t *testing.T) { conforms(t, true) }

func conforms(t *testing.T, audited bool) {
	connectortest.Run(t, connectortest.Suite{
		Paths: []string{"title", "key", "weight", "marker"}, Sample: sample, Marker: "marker", Text: "title", Thread: "comments", Edits: true, Files: "files",
		Conditional: !audited, Chronicle: audited, Incremental: true, Split: true, Scope: "7",
		Open: func(*testing.T) connectortest.System {
			now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			s := memory.New(fields()...)
			s.Audited = audited
			s.Match = func(native string, r record.Record) (bool, error) {
				return strings.HasSuffix(r.Key, native) || len(r.Key) < 3, nil
			}
			s.Name = "things"
			s.Threads = []connectors.Thread{{Path: "comments", Editable: true}}
			s.Files = []connectors.Thread{{Path: "files"}}
			s.Now = func() time.Time { return now }
			return connectortest.System{
				Collection: s, Connection: s,
				Add:    func(_ *testing.T, f record.Fields) string { return s.Add(f) },
				Edit:   func(_ *testing.T, key string, f record.Fields) { s.Edit(key, f) },
				Remove: func(_ *testing.T, key string) { s.Remove(key) },
				Pass:   func(_ *testing.T, d time.Duration) { now = now.Add(d) },
			}
		},
	})
}

func TestAHookBeforeTheWorkKeepsItFromBeingDone(t *testing.T) {
	s := memory.New(fields()...)
	lost := errors.New("reset")
	s.Hook = func(_ context.Context, op memory.Op) error {
		if op.Write && !op.Done {
			return lost
		}
		return nil
	}
	if _, err := s.Create(t.Context(), []string{"title"}, sample(1)); !errors.Is(err, lost) {
		t.Errorf("the error is %v, want %v", err, lost)
	}
	if s.Len() != 0 || s.Writes() != 0 {
		t.Errorf("there are %d records after %d writes, want none", s.Len(), s.Writes())
	}
}

func TestAHookAfterTheWorkLosesOnlyTheAnswer(t *testing.T) {
	s := memory.New(fields()...)
	lost := errors.New("reset")
	s.Hook = func(_ context.Context, op memory.Op) error {
		if op.Write && op.Done {
			return lost
		}
		return nil
	}
	if _, err := s.Create(t.Context(), []string{"title"}, sample(1)); !errors.Is(err, lost) {
		t.Errorf("the error is %v, want %v", err, lost)
	}
	if diff := cmp.Diff(sample(1), s.Get("r1"), cmp.Comparer(func(a, b record.Value) bool { return a == b })); diff != "" {
		t.Errorf("the stored record differs (-want +got):\n%s", diff)
	}
}

func TestWritesPassTheNormaliser(t *testing.T) {
	s := memory.New(fields()...)
	s.Normalise = func(path string, v record.Value) record.Value {
		if path == "title" {
			return record.OfText(strings.TrimSpace(v.Text()))
		}
		return v
	}
	r, err := s.Create(t.Context(), []string{"title"}, record.Fields{"title": record.OfText(" x ")})
	if err != nil || r.Values[0] != record.OfText("x") {
		t.Errorf("create returned %v and %v, want \"x\"", r.Values, err)
	}
	before := r.Version
	r, err = s.Update(t.Context(), []string{"title"}, r.Key, before, record.Fields{"title": record.OfText("x  ")})
	if err != nil || r.Version != before {
		t.Errorf("a write that changes nothing gave version %s and %v, want %s", r.Version, err, before)
	}
}

func TestFieldsRefuseWhatDoesNotFit(t *testing.T) {
	s := memory.New(
		connectors.Field{Path: "n", Type: record.Type{Kind: record.Int}},
		connectors.Field{Path: "ro", ReadOnly: true},
		connectors.Field{Path: "need", Required: true},
		connectors.Field{Path: "pick", Closed: true, Choices: []connectors.Choice{{Value: record.OfText("a")}}},
	)
	need := record.OfText("there")
	for _, c := range []struct {
		name, field string
		f           record.Fields
	}{
		{"text that is no number", "n", record.Fields{"need": need, "n": record.OfText("many")}},
		{"a read-only field", "ro", record.Fields{"need": need, "ro": record.OfText("x")}},
		{"a required field that is missing", "need", record.Fields{}},
		{"a value outside a closed list", "pick", record.Fields{"need": need, "pick": record.OfText("b")}},
		{"a field that does not exist", "nope", record.Fields{"need": need, "nope": record.OfText("b")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := s.Create(t.Context(), []string{"n"}, c.f)
			e, ok := errors.AsType[*connectors.Error](err)
			if !ok || !errors.Is(err, connectors.ErrRefused) || !cmp.Equal(e.Fields, []string{c.field}) {
				t.Errorf("the error is %v, want ErrRefused naming %s", err, c.field)
			}
		})
	}
}

func TestFindKeepsUpWithChanges(t *testing.T) {
	s := memory.New(fields()...)
	find := func(marker string) (keys []string) {
		err := s.Find(t.Context(), []string{"marker"}, "marker", []record.Value{record.OfText(marker)}, func(r record.Record) error {
			keys = append(keys, r.Key)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return keys
	}
	a, b := s.Add(sample(1)), s.Add(sample(2))
	if got := find("m1"); !cmp.Equal(got, []string{a}) {
		t.Errorf("m1 found %v", got)
	}
	s.Edit(b, record.Fields{"marker": record.OfText("m1")})
	s.Edit(a, record.Fields{"marker": record.OfText("m9")})
	s.Edit(a, record.Fields{"marker": record.OfText("m1")})
	if got := find("m1"); !cmp.Equal(got, []string{a, b}) {
		t.Errorf("m1 found %v, want %v", got, []string{a, b})
	}
	s.Remove(a)
	if got := find("m1"); !cmp.Equal(got, []string{b}) {
		t.Errorf("m1 found %v, want %v", got, []string{b})
	}
}

func BenchmarkScan(b *testing.B) {
	const n, width = 100_000, 12
	var paths []string
	for i := range width {
		paths = append(paths, fmt.Sprintf("p%d", i))
	}
	s := memory.New(memory.Text(paths...)...)
	for i := range n {
		vs := make([]record.Value, width)
		for j := range vs {
			vs[j] = record.OfText(strconv.Itoa(i * j))
		}
		s.Append(strconv.Itoa(i), vs)
	}
	b.ReportAllocs()
	for b.Loop() {
		seen := 0
		if _, err := s.Scan(b.Context(), connectors.Query{Paths: paths}, func(record.Record) error { seen++; return nil }); err != nil || seen != n {
			b.Fatal(seen, err)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
