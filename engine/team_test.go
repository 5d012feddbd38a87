package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A colleague is another process with the same state, which scans parts as soon as they are offered to it.
type colleague struct {
	w      *world
	job    engine.Job
	engine *engine.Engine
	takes  func(engine.PartRef) bool // nil: all
	before func(engine.PartRef)      // what happens before it looks at a part

	mu        sync.Mutex
	alone     bool
	offered   []engine.PartRef
	errs      []error
	withdrawn int
}

func newColleague(w *world) *colleague {
	c := &colleague{w: w, job: w.job, engine: &engine.Engine{Store: w.engine.Store, Now: w.engine.Now, Owner: "colleague", SplitFrom: 1}}
	w.engine.Team = c
	return c
}

func (c *colleague) Others(context.Context) bool { return !c.alone }

func (c *colleague) Offer(ctx context.Context, parts []engine.PartRef) (func(), error) {
	for _, p := range parts {
		c.mu.Lock()
		c.offered = append(c.offered, p)
		c.mu.Unlock()
		if c.before != nil {
			c.before(p)
		}
		if c.takes == nil || c.takes(p) {
			err := c.engine.ScanPart(ctx, c.job, p)
			c.mu.Lock()
			c.errs = append(c.errs, err)
			c.mu.Unlock()
		}
	}
	return func() { c.withdrawn++ }, nil
}

// book is that of a run that is under way.
func (c *colleague) book(p engine.PartRef) engine.Book {
	c.w.t.Helper()
	b, err := c.w.engine.Store.Book(c.w.t.Context(), p.Sync, [2][]string{ticketPaths, incidentPaths}, p.Fence)
	if err != nil {
		c.w.t.Fatal(err)
	}
	return b
}

// left is what the state holds of parts.
func (w *world) left() (parts []engine.Part) {
	w.t.Helper()
	fence, err := w.engine.Store.Lease(w.t.Context(), w.rules.Sync, "look", time.Second)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.engine.Store.Release(w.t.Context(), w.rules.Sync, "look"); err != nil {
		w.t.Fatal(err)
	}
	for f := range fence {
		b, err := w.engine.Store.Book(w.t.Context(), w.rules.Sync, [2][]string{ticketPaths, incidentPaths}, f)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, s := range record.Sides {
			found, err := b.Parts(w.t.Context(), s)
			if err != nil {
				w.t.Fatal(err)
			}
			parts = append(parts, found...)
		}
	}
	return parts
}

// partly is a world of settled records, some of which then move, with both sides in parts.
func partly(t *testing.T) *world {
	t.Helper()
	w := newWorldIn(t, fastDir(t))
	w.rules.Sides[0].Where = func(e reconcile.Env) (bool, error) {
		if e.Values[0][2].Text() == "odd" {
			return false, errors.New("it cannot be said")
		}
		return e.Values[0][2].Text() != "out", nil
	}
	for i := range 60 {
		w.ticket.Add(text("title", fmt.Sprint("ticket ", i)))
	}
	w.apply()
	w.apply() // only now it is known how many incidents there are
	w.now = w.now.Add(time.Minute)
	for i := range 10 {
		w.ticket.Edit(fmt.Sprintf("T-%d", 3*i+1), text("title", fmt.Sprint("edited ", i)))
	}
	w.ticket.Remove("T-30")
	w.ticket.Edit("T-31", text("queue", "out"))
	w.ticket.Edit("T-32", text("queue", "odd"))
	w.ticket.Add(text("queue", "out"))
	w.incident.Edit("sys7", text("summary", "edited, too"))
	w.ticket.Add(text("title", "new"))
	w.now = w.now.Add(time.Minute)
	w.cutting()
	w.engine.SplitFrom = 12
	return w
}

func TestWhatAColleagueScansCountsAsIfItHadBeenScannedHere(t *testing.T) {
	outcome := func(w *world) ([]string, string) {
		acc, _, err := w.tryApply(engine.Approval{})
		if err != nil {
			t.Fatal(err)
		}
		return w.remembered(), fmt.Sprint(acc.Done, acc.Failed, acc.Complete, acc.Footer)
	}
	here := partly(t)
	state, acc := outcome(here)
	for name, takes := range map[string]func(engine.PartRef) bool{
		"all":          nil,
		"every second": func(p engine.PartRef) bool { return p.N%2 == 1 },
		"none":         func(engine.PartRef) bool { return false },
	} {
		t.Run(name, func(t *testing.T) {
			w := partly(t)
			c := newColleague(w)
			c.takes = takes
			seen := map[string]int64{}
			w.engine.Progress = func(p engine.Progress) { seen[p.Phase] = p.Done }
			got, gotAcc := outcome(w)
			if diff := cmp.Diff(state, got); diff != "" {
				t.Errorf("state (-alone +together):\n%s", diff)
			}
			if gotAcc != acc {
				t.Errorf("the run ends with %s, alone with %s", gotAcc, acc)
			}
			if seen["observe ticket"] != 61 || seen["observe incident"] != 60 {
				t.Errorf("%v records were seen, want 61 and 60", seen)
			}
			if len(c.offered) < 10 || c.withdrawn != 2 {
				t.Errorf("%d parts offered, %d times withdrawn", len(c.offered), c.withdrawn)
			}
			if err := errors.Join(c.errs...); err != nil {
				t.Error(err)
			}
			if left := w.left(); len(left) > 0 {
				t.Errorf("left behind: %+v", left)
			}
		})
	}
}

func TestPreviewsAndRunsWithoutOthersOfferNothing(t *testing.T) {
	w := partly(t)
	c := newColleague(w)
	w.plan()
	c.alone = true
	w.apply()
	if len(c.offered) > 0 {
		t.Errorf("%d parts were offered", len(c.offered))
	}
}

func TestAPartThatAColleagueCannotScanIsScannedHere(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*colleague)
		want  string // its error
	}{
		"its rules are others":   {func(c *colleague) { r := *c.job.Rules; r.Digest = "rules 2"; c.job.Rules = &r }, "another mapping"},
		"its account is another": {func(c *colleague) { c.job.Ends[0].Endpoint, c.job.Ends[1].Endpoint = "x", "y" }, "another mapping"},
		"its query is another":   {func(c *colleague) { c.job.Ends[0].Native, c.job.Ends[1].Native = "x", "y" }, "another mapping"},
		"the system does not answer": {func(c *colleague) {
			c.job.Ends[0].Handle, c.job.Ends[1].Handle = away{c.job.Ends[0].Handle, 0}, away{c.job.Ends[1].Handle, 0}
		}, "the line went dead"},
		"the system goes away in the middle": {func(c *colleague) {
			c.job.Ends[0].Handle, c.job.Ends[1].Handle = away{c.job.Ends[0].Handle, 3}, away{c.job.Ends[1].Handle, 3}
		}, "the line went dead"},
	} {
		t.Run(name, func(t *testing.T) {
			w := partly(t)
			col := newColleague(w)
			c.spoil(col)
			if acc := w.apply(); !acc.Complete || acc.Footer.Updates < 10 {
				t.Errorf("the run ends with %+v", acc)
			}
			for _, err := range col.errs {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("the colleague ends with %v, want %q", err, c.want)
				}
			}
			if left := w.left(); len(left) > 0 || len(col.errs) == 0 {
				t.Errorf("%d parts offered, left behind: %+v", len(col.errs), left)
			}
			w.wantPlan("nothing is left to do", "hold T-32 sys26 ")
		})
	}
}

// An away collection fails after some records of each scan.
type away struct {
	connectors.Collection
	after int
}

func (a away) Scan(ctx context.Context, q connectors.Query, emit func(record.Record) error) (connectors.Window, error) {
	n := 0
	_, err := a.Collection.Scan(ctx, q, func(rec record.Record) error {
		if n++; n > a.after {
			return errors.New("the line went dead")
		}
		return emit(rec)
	})
	return connectors.Window{}, errors.Join(err, errors.New("the line went dead"))
}

// TestAColleagueThatDiesHasItsPartTakenAway lets a process take a part, hand something over and show no life again.
func TestAColleagueThatDiesHasItsPartTakenAway(t *testing.T) {
	t.Parallel()
	w := partly(t)
	c := newColleague(w)
	c.takes = func(engine.PartRef) bool { return false }
	c.before = func(p engine.PartRef) {
		if p.Side != record.Left || p.N != 1 {
			return
		}
		b := c.book(p)
		ok, err := b.TakePart(t.Context(), p.Side, p.N, "", "the dead")
		if err != nil || !ok {
			t.Error(ok, err)
		}
		if ok, err := b.HandOver(t.Context(), p.Side, p.N, "the dead", engine.Page{Found: []record.Record{{Key: "T-1", Values: make([]record.Value, len(ticketPaths))}}, Seen: 1}); err != nil || !ok {
			t.Error(ok, err)
		}
	}
	began := time.Now()
	if acc := w.apply(); !acc.Complete || acc.Footer.Updates < 10 {
		t.Errorf("the run ends with %+v", acc)
	}
	if took := time.Since(began); took > 12*time.Second {
		t.Errorf("it took %s", took)
	}
	if left := w.left(); len(left) > 0 {
		t.Errorf("left behind: %+v", left)
	}
	w.wantPlan("nothing is left to do", "hold T-32 sys26 ")
}

// TestWhatADeadRunPutUpIsClearedAway kills a run in the middle of its scan.
func TestWhatADeadRunPutUpIsClearedAway(t *testing.T) {
	w := partly(t)
	c := newColleague(w)
	b := engine.Book(nil)
	var ref engine.PartRef
	offered := make(chan struct{})
	c.before = func(p engine.PartRef) {
		if ref.Sync == "" {
			close(offered)
		}
		b, ref = c.book(p), p
	}
	ctx, die := context.WithCancel(t.Context())
	c.takes = func(p engine.PartRef) bool { return p.N > 0 }
	w.engine.Store = deaf{w.engine.Store} // a dead process takes nothing down
	w.job.Ends[1].Handle = late{away{w.job.Ends[1].Handle, 0}, offered}
	if _, err := w.engine.Start(ctx, w.job); err == nil {
		t.Fatal("the run did not die")
	}
	die()
	w.engine.Store = w.engine.Store.(deaf).Store
	if left := w.left(); len(left) == 0 {
		t.Fatal("nothing is left of the dead run: the test shows nothing")
	}
	w.job.Ends[1].Handle = c.job.Ends[1].Handle
	c.before, c.errs = nil, nil
	if acc := w.apply(); !acc.Complete || acc.Footer.Updates < 10 {
		t.Errorf("the run ends with %+v", acc)
	}
	if left := w.left(); len(left) > 0 {
		t.Errorf("left behind: %+v", left)
	}
	// Somebody who still works for the dead run finds nothing to do.
	if err := c.engine.ScanPart(t.Context(), c.job, ref); err != nil {
		t.Errorf("a part of the dead run gives %v", err)
	}
	if _, err := b.HandOver(t.Context(), ref.Side, ref.N, "anybody", engine.Page{}); !errors.Is(err, engine.ErrLeaseLost) {
		t.Errorf("a page for the dead run gives %v", err)
	}
	w.wantPlan("nothing is left to do", "hold T-32 sys26 ")
}

// A late collection is not scanned before something has happened.
type late struct {
	away
	until <-chan struct{}
}

func (l late) Scan(ctx context.Context, q connectors.Query, emit func(record.Record) error) (connectors.Window, error) {
	<-l.until
	return l.away.Scan(ctx, q, emit)
}

// A deaf store's books never take parts down.
type deaf struct{ engine.Store }

func (d deaf) Book(ctx context.Context, sync string, paths [2][]string, fence int64) (engine.Book, error) {
	b, err := d.Store.Book(ctx, sync, paths, fence)
	return deafBook{b}, err
}

type deafBook struct{ engine.Book }

func (deafBook) TakeDown(context.Context, record.Side, int) error { return nil }
