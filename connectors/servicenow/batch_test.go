package servicenow_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/servicenow"
	"github.com/fieldsync/fieldsync/connectors/servicenow/sim"
)

// inBatches is the incident table of the integration, with batches of this size.
func inBatches(t *testing.T, in *instance, size int) *servicenow.Table {
	t.Helper()
	s := login(in.url, "integration")
	s.Batch = size
	tb := in.table(t, s)
	tb.Linger(time.Minute) // groups go when they are full, however slow the machine
	return tb
}

// requests counts the requests to a path since the first n of all.
func requests(in *instance, path string, n int) int {
	count := 0
	for _, r := range in.Journal()[n:] {
		if strings.HasPrefix(r.Path, path) {
			count++
		}
	}
	return count
}

// updateAll writes all records at the same time and returns what came of each.
func updateAll(t *testing.T, tb *servicenow.Table, keys []string, f func(i int) map[string]string) []error {
	t.Helper()
	errs := make([]error, len(keys))
	var g sync.WaitGroup
	for i, key := range keys {
		g.Go(func() {
			r, err := tb.Update(t.Context(), []string{"short_description"}, key, "", texts(f(i)))
			if err == nil && r.Key != key {
				err = fmt.Errorf("the answer is about %s", r.Key)
			}
			errs[i] = err
		})
	}
	g.Wait()
	return errs
}

func titled(i int) map[string]string {
	return map[string]string{"short_description": "written " + strconv.Itoa(i)}
}

func TestConformanceWithBatches(t *testing.T) {
	conformance(t, sim.Options{}, func(in *instance) *servicenow.Settings {
		s := admin(in.url)
		s.Batch = 5
		return s
	})
}

func TestWritesAtTheSameTimeShareARequest(t *testing.T) {
	in := newInstance(t, sim.Options{})
	keys := add(in, 100, nil)
	tb := inBatches(t, in, 25)
	if tb.Batch() != 25 {
		t.Fatalf("Batch is %d", tb.Batch())
	}
	before := len(in.Journal())
	for i, err := range updateAll(t, tb, keys, titled) {
		if err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
	for i, key := range keys {
		if got := in.Get("incident", key); got["short_description"] != "written "+strconv.Itoa(i) || got["sys_mod_count"] != "1" {
			t.Errorf("%d: %q after %s writes", i, got["short_description"], got["sys_mod_count"])
		}
	}
	if n := len(in.Journal()) - before; n != 4 {
		t.Errorf("%d requests for 100 writes in batches of 25", n)
	}
	before = len(in.Journal())
	var g sync.WaitGroup
	for i, key := range keys {
		g.Go(func() {
			if r, ok := read(t, tb, key, "short_description"); !ok || r.Values[0].Text() != "written "+strconv.Itoa(i) {
				t.Errorf("%d: read %v", i, r)
			}
		})
	}
	g.Wait()
	if n := len(in.Journal()) - before; n != 1 {
		t.Errorf("%d requests for 100 reads", n)
	}
	// One alone does without a batch.
	tb.Linger(time.Millisecond)
	before = len(in.Journal())
	put(t, tb, keys[0], map[string]string{"short_description": "alone"}, "short_description")
	if n := requests(in, "/api/now/v1/batch", before); n != 0 {
		t.Error("a write alone went in a batch")
	}
}

func batchNotAtomic(t *testing.T) {
	in := newInstance(t, sim.Options{})
	keys := add(in, 12, nil)
	tb := inBatches(t, in, 12)
	// One refused write is none of the others' business.
	in.turn(t, "abort=incident?short_descriptionLIKEpoison")
	errs := updateAll(t, tb, keys, func(i int) map[string]string {
		if i == 5 {
			return map[string]string{"short_description": "poison"}
		}
		return titled(i)
	})
	for i, err := range errs {
		if i == 5 {
			wants(t, "the poison", err, connectors.ErrRefused, `"Not like this"`)
		} else if err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
	// What the time was not enough for is written all the same; of the one that may have been running nobody knows.
	for _, how := range []struct{ name, turn, fault string }{{"a budget", "batch-budget=4", "401:n=1000000"}, {"a cut in the middle", "batch-budget=0", "batch-cut:batch:n=1"}} {
		in.turn(t, how.turn)
		in.fault(t, how.fault)
		tb = inBatches(t, in, 12)
		unsure := 0
		for i, err := range updateAll(t, tb, keys, func(i int) map[string]string {
			return map[string]string{"short_description": how.name + strconv.Itoa(i)}
		}) {
			done := in.Get("incident", keys[i])["short_description"] == how.name+strconv.Itoa(i)
			switch {
			case errors.Is(err, connectors.ErrOutcome):
				unsure++
				if done != (how.fault == "batch-cut:batch:n=1") {
					t.Errorf("%s: record %d is written: %v", how.name, i, done)
				}
			case err != nil || !done:
				t.Errorf("%s: record %d: %v, written: %v", how.name, i, err, done)
			}
		}
		if unsure != 1 {
			t.Errorf("%s: %d outcomes are unknown, want that of one", how.name, unsure)
		}
	}
	// Nothing was written twice: three times all, but for the poison and the one that the budget left out.
	total := 0
	for i, key := range keys {
		n, err := strconv.Atoi(in.Get("incident", key)["sys_mod_count"])
		if total += n; err != nil || n > 3 {
			t.Errorf("record %d was written %d times", i, n)
		}
	}
	if total != 3*len(keys)-2 {
		t.Errorf("%d writes", total)
	}
}

func TestABatchThatFailsIsSettledOneByOne(t *testing.T) {
	for _, c := range []struct {
		fault string
		kind  error
		done  bool
	}{
		{"500-after:batch", connectors.ErrOutcome, true},
		{"500-before:batch", connectors.ErrOutcome, false},
		{"reset-after:batch", connectors.ErrOutcome, true},
		{"reset-before:PATCH:n=1", connectors.ErrOutcome, false},
		{"504:batch", connectors.ErrOutcome, false},
		{"cut-broken:batch", nil, true}, // it cuts lists alone
		{"hibernation:batch", connectors.ErrBusy, false},
		{"429:batch", connectors.ErrBusy, false},
		{"401:batch", connectors.ErrAuth, false},
	} {
		t.Run(c.fault, func(t *testing.T) {
			in := newInstance(t, sim.Options{})
			keys := add(in, 6, nil)
			tb := inBatches(t, in, 6)
			in.fault(t, c.fault)
			for i, err := range updateAll(t, tb, keys, titled) {
				if !errors.Is(err, c.kind) {
					t.Errorf("%d: %v, want %v", i, err, c.kind)
				}
				if err != nil && !strings.Contains(err.Error(), keys[i]) {
					t.Errorf("%d: %v does not name its record", i, err)
				}
				if done := in.Get("incident", keys[i])["short_description"] == "written "+strconv.Itoa(i); done != c.done && c.fault[:5] != "reset" {
					t.Errorf("%d is written: %v", i, done)
				}
			}
		})
	}
}

func TestAnInstanceWithoutBatchesIsWrittenOneByOne(t *testing.T) {
	in := newInstance(t, sim.Options{})
	keys := add(in, 10, nil)
	in.turn(t, "max-body=600")
	tb := inBatches(t, in, 10)
	before := len(in.Journal())
	for range 2 {
		for i, err := range updateAll(t, tb, keys, titled) {
			if err != nil {
				t.Errorf("%d: %v", i, err)
			}
		}
	}
	if n := requests(in, "/api/now/v1/batch", before); n != 1 {
		t.Errorf("%d batches were tried", n)
	}
}

func TestATokenThatEndsBeforeABatchIsReplaced(t *testing.T) {
	in := newInstance(t, sim.Options{})
	keys := add(in, 8, nil)
	s := granted(in.url, "client_credentials")
	s.Batch = 8
	tb := in.table(t, s)
	tb.Linger(time.Minute)
	in.Revoke(false)
	for i, err := range updateAll(t, tb, keys, titled) {
		if err != nil || in.Get("incident", keys[i])["sys_mod_count"] != "1" {
			t.Errorf("%d: %v, written %s times", i, err, in.Get("incident", keys[i])["sys_mod_count"])
		}
	}
}
