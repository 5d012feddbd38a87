package storetest

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

func spool(t *testing.T, s engine.Store) engine.Spool {
	t.Helper()
	sp, err := s.Spool(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sp.Close(); err != nil {
			t.Errorf("close the spool: %v", err)
		}
	})
	return sp
}

func put(t *testing.T, sp engine.Spool, side record.Side, ms ...engine.Moved) {
	t.Helper()
	if err := sp.Put(t.Context(), side, ms); err != nil {
		t.Fatalf("put: %v", err)
	}
}

func moved(key, title string, match ...uint64) engine.Moved {
	return engine.Moved{Record: record.Record{Key: key, Label: "L" + key, Version: "v", Modified: noon, Author: "ada", Values: texts("open", title)},
		Presence: reconcile.Present, Print: engine.Print{Hash: 1 << 63, Print: 2}, Match: match}
}

func spoolRecords(t *testing.T, s engine.Store) {
	ctx := t.Context()
	sp, other := spool(t, s), spool(t, s)
	want := map[string]engine.Moved{}
	for i := range 1000 {
		key := fmt.Sprintf("%04d", i*619%1000)
		want[key] = moved(key, "first", uint64(i), 0)
		put(t, sp, left, want[key])
	}
	var again []engine.Moved
	for i := range 300 {
		m := moved(fmt.Sprintf("%04d", i*3), "second")
		again, want[m.Record.Key] = append(again, m), m
	}
	put(t, sp, left, again...)
	gone := engine.Moved{Record: record.Record{Key: "0000"}, Presence: reconcile.Gone}
	want["0000"] = gone
	put(t, sp, left, moved("0000", "third"), gone)
	put(t, sp, right, moved("0001", "right"))

	for _, key := range []string{"0000", "0003", "0004", "0999"} {
		got, found, err := sp.Get(ctx, left, key)
		if err != nil || !found {
			t.Fatalf("get %s: %v, %v", key, found, err)
		}
		same(t, key, want[key], got)
	}
	if _, found, err := sp.Get(ctx, right, "0002"); found || err != nil {
		t.Errorf("a record that was not put: %v, %v", found, err)
	}
	last := ""
	n := 0
	if err := sp.Each(ctx, left, func(m engine.Moved) error {
		if m.Record.Key <= last && n > 0 {
			t.Fatalf("%s comes after %s", m.Record.Key, last)
		}
		same(t, "each", want[m.Record.Key], m)
		last, n = m.Record.Key, n+1
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for side, count := range map[record.Side]int64{left: 1000, right: 1} {
		if got, err := sp.Count(ctx, side); got != count || err != nil {
			t.Errorf("counted %d on the %s (%v), want %d", got, side, err, count)
		}
	}
	if n != 1000 {
		t.Errorf("emitted %d records, want 1000", n)
	}
	if got, err := other.Count(ctx, left); got != 0 || err != nil {
		t.Errorf("another spool has %d records (%v)", got, err)
	}
}

func spoolMatching(t *testing.T, s engine.Store) {
	sp := spool(t, s)
	for i := range 600 {
		put(t, sp, left, moved(fmt.Sprintf("%04d", i), "x", 7, uint64(i%3), 1<<63))
	}
	put(t, sp, right, moved("r", "x", 7, 1))
	put(t, sp, left, moved("0001", "x", 8, 1), moved("0004", "x"))
	for _, c := range []struct {
		side  record.Side
		block int
		hash  uint64
		want  int
	}{{left, 0, 7, 598}, {left, 0, 8, 1}, {left, 1, 1, 199}, {left, 1, 2, 200}, {right, 0, 7, 1}, {left, 2, 1 << 63, 598}, {left, 3, 7, 0}, {left, 0, 9, 0}} {
		keys := map[string]bool{}
		others := 0
		if err := sp.Matching(t.Context(), c.side, c.block, []uint64{c.hash, 12345, 8}, func(m engine.Moved) error {
			switch h := m.Match[c.block]; {
			case h == c.hash:
				keys[m.Record.Key] = true
			case h == 8:
				others++
			default:
				t.Errorf("%v matches neither %d nor 8", m, c.hash)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if n := len(keys); n < min(c.want, 2) || n > c.want {
			t.Errorf("block %d hash %d on the %s: %d records of %d", c.block, c.hash, c.side, n, c.want)
		}
		if want := c.side == left && c.block == 0 && c.hash != 8; (others == 1) != want {
			t.Errorf("block %d on the %s: hash 8 has %d records", c.block, c.side, others)
		}
	}
	all := map[string]bool{}
	if err := sp.GetAll(t.Context(), left, []string{"0001", "0004", "0599", "none"}, func(m engine.Moved) error {
		all[m.Record.Key] = true
		if m.Record.Key == "0001" && m.Match[0] != 8 {
			t.Errorf("an older row came back: %v", m)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(all) != 3 {
		t.Errorf("got %v, want the three that are there", all)
	}
}

func spoolItems(t *testing.T, s engine.Store) {
	sp := spool(t, s)
	var want []engine.Spooled
	for i := range 1500 {
		it := engine.Spooled{Order: i*7%5 - 1, Sort: fmt.Sprint(i * 31 % 40), Data: fmt.Append(nil, i)}
		want = append(want, it)
		if err := sp.Add(t.Context(), []engine.Spooled{it}); err != nil {
			t.Fatal(err)
		}
	}
	slices.SortStableFunc(want, func(x, y engine.Spooled) int {
		if x.Order != y.Order {
			return x.Order - y.Order
		}
		return strings.Compare(x.Sort, y.Sort)
	})
	for range 2 {
		same(t, "items", want, collect(t, func(emit func(engine.Spooled) error) error { return sp.Items(t.Context(), math.MinInt, emit) }))
	}
}

func spoolInterleaved(t *testing.T, s engine.Store) {
	ctx := t.Context()
	sp := spool(t, s)
	for i := range 700 {
		put(t, sp, left, moved(fmt.Sprint(i), "x", uint64(i+1)))
		put(t, sp, right, moved(fmt.Sprint(i), "y", uint64(i+1)))
	}
	paired := 0
	err := sp.Each(ctx, left, func(m engine.Moved) error {
		if _, found, err := sp.Get(ctx, right, m.Record.Key); err != nil || !found {
			return fmt.Errorf("get %s: %v, %w", m.Record.Key, found, err)
		}
		err := sp.Matching(ctx, right, 0, m.Match[:1], func(twin engine.Moved) error {
			paired++
			return sp.Add(ctx, []engine.Spooled{{Sort: twin.Record.Key}})
		})
		if err != nil {
			return err
		}
		m.Record.Label = "seen"
		return sp.Put(ctx, left, []engine.Moved{m})
	})
	if err != nil {
		t.Fatal(err)
	}
	items := collect(t, func(emit func(engine.Spooled) error) error { return sp.Items(ctx, math.MinInt, emit) })
	if paired != 700 || len(items) != 700 {
		t.Errorf("%d pairs and %d items, want 700", paired, len(items))
	}
	if n, _ := sp.Count(ctx, left); n != 700 {
		t.Errorf("counted %d, want 700", n)
	}
}
