// Package storetest holds every implementation of engine.Store to what its interface promises.
//
// Start with [Run]: it takes a function that opens an empty store and runs the whole suite against it. It tests
// promises, not ways: nothing here knows how a store keeps what it is given.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/record"
)

const (
	left  = record.Left
	right = record.Right
)

// equal compares what stores give back: records hold values with a form of their own.
var equal = cmp.Options{
	cmp.Comparer(func(a, b record.Value) bool { return a == b }),
	cmpopts.EquateEmpty(),
}

// Run runs the suite. open gives each test an empty store of its own; the suite closes it.
func Run(t *testing.T, open func(t *testing.T) engine.Store) {
	for name, test := range map[string]func(*testing.T, engine.Store){
		"a lease has one holder at a time":                              leaseHolder,
		"leases that are alive are listed":                              leased,
		"a stale fence writes nothing":                                  staleFence,
		"a book for reading refuses writes":                             readingBook,
		"a plan is used once":                                           usePlan,
		"runs come newest first":                                        runs,
		"a status sums a sync up":                                       syncs,
		"a cursor comes back as it was stored":                          cursor,
		"a link comes back as it was stored":                            linkRoundTrip,
		"a record has one link that is not ended":                       oneLink,
		"links are found together as one by one":                        linksTogether,
		"a refused fold leaves the others":                              refusedFold,
		"links are listed by status while they are folded":              linksWhileFolding,
		"keys of any bytes come back, in their order":                   oddKeys,
		"keys leave out what is detached or ended":                      keys,
		"values follow their paths when the rules change":               projection,
		"an ended link has a tomb and may live again":                   tombs,
		"fingerprints come by unsigned hash":                            prints,
		"the last word about a fingerprint counts":                      printsInOneBatch,
		"a part has one taker, whose pages count":                       parts,
		"parts are those of one run":                                    partsFenced,
		"syncs do not see each other":                                   apart,
		"intents stay until they are folded":                            intents,
		"many callers fold at once":                                     concurrentFolds,
		"what waits keeps since and tries":                              waitingPersists,
		"a choice holds while both sides show the same":                 choices,
		"records without a link wait under their keys":                  waitingLoose,
		"what waits is listed in order":                                 waitingOrder,
		"an ended link waits for nothing":                               waitingEnds,
		"history and origins come back as they were stored":             history,
		"a long history comes page by page":                             longHistory,
		"a run says what it wrote":                                      wrote,
		"a tomb leads to the link that ended":                           buried,
		"comments come back as they were stored":                        threads,
		"attachments come back as they were stored":                     files,
		"comments and attachments wait beside the fields":               beside,
		"how far was listened comes back as it was stored":              heard,
		"an approval is used once and ends":                             approvals,
		"a pause stays until it is ended":                               pauses,
		"what was said of a sync waits until it was looked at":          told,
		"of too many records no names are kept":                         toldTooMuch,
		"many callers tell at once":                                     tellAtOnce,
		"a slip is there for its time":                                  slips,
		"acts come newest first and are forgotten when they are old":    acts,
		"what is old is forgotten bit by bit":                           prune,
		"a spool gives back what was put last":                          spoolRecords,
		"a spool finds by match hash":                                   spoolMatching,
		"a spool sorts the items of a plan":                             spoolItems,
		"a spool is read while it is filled":                            spoolInterleaved,
		"an error from emit ends the reading and comes back as it was":  emitErrors,
		"a context that ended writes nothing":                           cancelled,
		"a model in memory agrees after random folds":                   model,
		"every kind of value survives, in links, intents and the spool": kinds,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
			test(t, s)
		})
	}
}

var (
	paths = [2][]string{{"status", "title"}, {"short", "state", "urgency"}}
	noon  = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
)

// book opens the book of a sync with a lease that is alive.
func book(t testing.TB, s engine.Store, sync string, paths [2][]string) engine.Book {
	t.Helper()
	fence, err := s.Lease(t.Context(), sync, "suite", time.Hour)
	if err != nil {
		t.Fatalf("lease %s: %v", sync, err)
	}
	b, err := s.Book(t.Context(), sync, paths, fence)
	if err != nil {
		t.Fatalf("book %s: %v", sync, err)
	}
	return b
}

func texts(ss ...string) []record.Value {
	vs := make([]record.Value, len(ss))
	for i, s := range ss {
		vs[i] = record.OfText(s)
	}
	return vs
}

// link makes the link of two records that agree.
func link(l, r string) *record.Link {
	return &record.Link{Key: [2]string{l, r}, Label: [2]string{"", "INC" + r}, Version: [2]string{"v1", "7"},
		Base: [2][]record.Value{texts("open", "about "+l), texts("about "+l, "2", "3")}}
}

func fold(t testing.TB, b engine.Book, folds ...engine.Fold) {
	t.Helper()
	if err := b.Fold(t.Context(), folds); err != nil {
		t.Fatalf("fold: %v", err)
	}
}

// added stores a link and returns it with its ID.
func added(t testing.TB, b engine.Book, l *record.Link) *record.Link {
	t.Helper()
	fold(t, b, engine.Fold{Link: l})
	if l.ID == 0 {
		t.Fatalf("link %v got no ID", l.Key)
	}
	return l
}

func byKey(t testing.TB, b engine.Book, s record.Side, key string) *record.Link {
	t.Helper()
	l, err := b.Link(t.Context(), s, key)
	if err != nil {
		t.Fatalf("link of %s on the %s: %v", key, s, err)
	}
	alone(t, l, collect(t, func(emit func(record.Link) error) error { return b.LinksOf(t.Context(), s, []string{key}, emit) }))
	return l
}

// alone holds what a question for one link among several answers to the answer for one.
func alone(t testing.TB, want *record.Link, got []record.Link) {
	t.Helper()
	if want == nil {
		if len(got) != 0 {
			t.Errorf("asked for with others there are %v, alone there is none", got)
		}
		return
	}
	same(t, "a link that is asked for with others", []record.Link{*want}, got)
}

func byID(t testing.TB, b engine.Book, id int64) *record.Link {
	t.Helper()
	l, err := b.LinkByID(t.Context(), id)
	if err != nil {
		t.Fatalf("link %d: %v", id, err)
	}
	alone(t, l, collect(t, func(emit func(record.Link) error) error { return b.LinksByID(t.Context(), []int64{id}, emit) }))
	return l
}

// collect gathers what a method emits.
func collect[T any](t testing.TB, each func(emit func(T) error) error) []T {
	t.Helper()
	var all []T
	if err := each(func(x T) error { all = append(all, x); return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

// A reporter is a test, or one case of a property.
type reporter interface {
	Helper()
	Errorf(format string, args ...any)
}

func same(t reporter, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got, equal); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func is(t testing.TB, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("got error %v, want one that is %q", err, target)
	}
}

func emitErrors(t *testing.T, s engine.Store) {
	ctx, stop := t.Context(), errors.New("stop")
	b := book(t, s, "a", paths)
	hold := engine.Waiting{Hold: holdOf("title", "no right")}
	l := link("T-1", "1")
	fold(t, b, engine.Fold{Link: l, Prints: [2]*engine.Print{{Hash: 1, Print: 1}}, Decided: true, Waiting: []engine.Waiting{hold},
		Origins: []engine.Origin{{Path: "title"}}, Lost: []engine.Lost{{Path: "title", Run: 1}}})
	sp, err := s.Spool(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer sp.Close()
	if err := errors.Join(sp.Put(ctx, left, []engine.Moved{{Record: record.Record{Key: "T-1"}, Match: []uint64{5}}}), sp.Add(ctx, []engine.Spooled{{Order: 1}})); err != nil {
		t.Fatal(err)
	}
	if err := s.Note(ctx, engine.Act{At: noon, By: "ada", Action: "pause"}); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"Prints":        b.Prints(ctx, left, func(engine.Print) error { return stop }),
		"Links":         b.Links(ctx, record.Live, func(record.Link) error { return stop }),
		"LinksOf":       b.LinksOf(ctx, left, []string{"T-1"}, func(record.Link) error { return stop }),
		"LinksByID":     b.LinksByID(ctx, []int64{l.ID}, func(record.Link) error { return stop }),
		"PrintsOf":      b.PrintsOf(ctx, left, []uint64{1}, func(engine.Print) error { return stop }),
		"Latest":        b.Latest(ctx, []engine.Place{{Link: l.ID, Path: "title"}}, 1, func(engine.Entry) error { return stop }),
		"Keys":          b.Keys(ctx, left, func(int64, string) error { return stop }),
		"Book.Waiting":  b.Waiting(ctx, 0, func(engine.Waiting) error { return stop }),
		"Store.Waiting": s.Waiting(ctx, "", func(engine.Waiting) error { return stop }),
		"Each":          sp.Each(ctx, left, func(engine.Moved) error { return stop }),
		"Matching":      sp.Matching(ctx, left, 0, []uint64{5}, func(engine.Moved) error { return stop }),
		"Origins":       b.Origins(ctx, l.ID, func(engine.Origin) error { return stop }),
		"History":       b.History(ctx, l.ID, func(engine.Entry) error { return stop }),
		"Wrote":         s.Wrote(ctx, 1, func(engine.Entry) error { return stop }),
		"Acts":          s.Acts(ctx, 1, func(engine.Act) error { return stop }),
		"Items":         sp.Items(ctx, math.MinInt, func(engine.Spooled) error { return stop }),
	} {
		if !errors.Is(err, stop) {
			t.Errorf("%s: got %v, want the error of emit", name, err)
		}
	}
}

func cancelled(t *testing.T, s engine.Store) {
	b := book(t, s, "a", paths)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l := link("T-1", "1")
	is(t, b.Fold(ctx, []engine.Fold{{Link: l}}), context.Canceled)
	if l.ID != 0 {
		t.Errorf("a link that was not stored has ID %d", l.ID)
	}
	if n, err := b.CountLinks(t.Context()); err != nil || n != 0 {
		t.Errorf("counted %d links (%v), want none", n, err)
	}
}

// kinds has one value of every kind, and those that are easily mistaken for others.
func kinds(t *testing.T, s engine.Store) {
	must := func(a any) record.Value {
		v, err := record.Of(a)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	vs := []record.Value{
		{}, record.UnknownValue, record.NullValue, record.OfBool(true), record.OfBool(false), record.OfInt(-1), record.OfInt(1 << 62),
		record.OfFloat(1.5), record.OfText(""), record.OfText("null"), record.OfText("a\x00b"), record.OfTime(noon), record.OfList(texts("x", "")),
		must(map[string]any{"$time": "never"}), must(map[string]any{"$absent": true}), must(map[string]any{"b": 1, "a": []any{nil, "é"}}),
	}
	names := make([]string, len(vs))
	f := record.Fields{}
	for i, v := range vs {
		names[i] = fmt.Sprintf("p%02d", i)
		f[names[i]] = v
	}
	b := book(t, s, "a", [2][]string{names, nil})
	l := added(t, b, &record.Link{Key: [2]string{"T", ""}, Base: [2][]record.Value{vs, nil}, Now: [2][]record.Value{vs, nil}})
	same(t, "link", l, byID(t, b, l.ID))

	in := &engine.Intent{Kind: "update", Expected: f, New: f}
	if err := b.Intend(t.Context(), []*engine.Intent{in}); err != nil {
		t.Fatal(err)
	}
	ins, err := b.Intents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	same(t, "intents", []engine.Intent{*in}, ins)

	for _, v := range vs {
		c := conflictOf("title", "x")
		c.Base, c.Now = [2]record.Value{v, record.OfText("r")}, [2]record.Value{record.OfText("l"), v}
		fold(t, b, engine.Fold{Link: l, Decided: true, Waiting: []engine.Waiting{{Conflict: c, Seen: [2][]record.Value{{v}, vs}}}})
		got := collect(t, func(emit func(engine.Waiting) error) error { return b.Waiting(t.Context(), l.ID, emit) })
		if len(got) != 1 {
			t.Fatalf("%d wait, want 1", len(got))
		}
		same(t, "conflict base", c.Base, got[0].Conflict.Base)
		same(t, "conflict now", c.Now, got[0].Conflict.Now)
		same(t, "conflict seen", [2][]record.Value{{v}, vs}, got[0].Seen)
	}

	sp, err := s.Spool(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer sp.Close()
	m := engine.Moved{Record: record.Record{Key: "T", Values: vs}}
	if err := sp.Put(t.Context(), left, []engine.Moved{m}); err != nil {
		t.Fatal(err)
	}
	got, found, err := sp.Get(t.Context(), left, "T")
	if err != nil || !found {
		t.Fatalf("get: %v, %v", found, err)
	}
	same(t, "spooled record", m, got)
}
