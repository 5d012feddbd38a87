package state_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/record"
	"github.com/fieldsync/fieldsync/engine/state"
)

// full makes a state with something in every table, and numbers that were given out and are used no more.
func full(t *testing.T, path string) {
	t.Helper()
	rich(t, path)
	s := open(t, path, state.Options{})
	defer s.Close()
	ctx, b := t.Context(), book(t, s)
	var folds []engine.Fold
	for i := range 1500 {
		f := engine.Fold{Link: link(100 + i), Prints: [2]*engine.Print{{Hash: ^uint64(i), Print: uint64(i)}, {Hash: uint64(i), Print: 1}}}
		f.Lost = []engine.Lost{{Path: "title", Value: record.OfText("was"), By: record.OfText(fmt.Sprint("is\x00", i)), At: time.Now()}}
		folds = append(folds, f)
	}
	odd := link(7)
	odd.Key = [2]string{"\x00\x01\xff", "é"}
	fold(t, b, append(folds, engine.Fold{Link: odd})...)
	ended := link(100)
	ended.ID, ended.Status = folds[0].Link.ID, record.Ended
	hold := plan.Hold{Cause: "no right"}
	fold(t, b, engine.Fold{Link: ended, End: "gone", TombUntil: time.Now().Add(time.Hour)},
		engine.Fold{Threads: []engine.Thread{{Link: 3, ID: "c1", Hash: 1 << 63}}, Files: []engine.File{{Link: 3, ID: "f1", Size: -1}},
			Beside: []engine.Beside{{Kind: plan.Comment, Link: 3, Hold: &hold}}})
	in := &engine.Intent{Kind: plan.Create}
	err := errors.Join(b.Advance(ctx, record.Left, engine.Cursor{Since: "now", Newest: []engine.Witness{{Key: "k"}}}), b.Hear(ctx, plan.Comment, record.Left, engine.Heard{Path: "c"}),
		b.UsePlan(ctx, "used", time.Now()), s.Approve(ctx, engine.PlanApproval{Sync: "a", Digest: "d", At: time.Now()}),
		s.Pause(ctx, engine.Pause{Sync: "a", By: "ann"}), s.Note(ctx, engine.Act{By: "ann", Action: "pause"}),
		s.Tell(ctx, "a", []engine.Told{{Key: "T\x001"}}), s.Pin(ctx, engine.Slip{Name: "session x", Until: time.Now().Add(time.Hour)}), b.Intend(ctx, []*engine.Intent{in}))
	if err != nil {
		t.Fatal(err)
	}
	fold(t, b, engine.Fold{Intent: in.ID})
	if err := s.Release(ctx, "a", "test"); err != nil {
		t.Fatal(err)
	}
}

func digest(t *testing.T, s *state.Store) string {
	t.Helper()
	d, err := s.Digest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestAStateIsTheSameWhereverItIsCopiedTo(t *testing.T) {
	first := kinds["a file"](t)
	full(t, first)
	before := digest(t, open(t, first, state.Options{}))
	at := first
	for _, kind := range []string{"PostgreSQL", "PostgreSQL", "a file", "a file"} {
		from, next := open(t, at, state.Options{}), kinds[kind](t)
		to := open(t, next, state.Options{})
		told := map[string]int64{}
		done, err := from.CopyTo(t.Context(), to, "copier", func(table string, rows int64) { told[table] = rows })
		if err != nil {
			t.Fatal(err)
		}
		if told["link"] != 1502 || told["print"] < 3000 {
			t.Errorf("it told of %v", told)
		}
		for table, rows := range told {
			if rows == 0 {
				t.Errorf("nothing is in %s: the copy of it is not tested", table)
			}
		}
		was, is := digest(t, from), digest(t, to)
		if done.Digest != is || is != was {
			t.Errorf("a copy to %s has digest %s, its source %s; told was %s", kind, is, was, done.Digest)
		}
		if findings, err := to.Check(t.Context(), 1000*time.Hour); err != nil {
			t.Error(err)
		} else {
			for _, f := range findings {
				if !f.OK {
					t.Errorf("the copy in %s: %s: %s", kind, f.What, f.Detail)
				}
			}
		}
		at = next
	}
	// What is written then goes on where the first one ended, and nothing gets a number that another had.
	s := open(t, at, state.Options{})
	if digest(t, s) == before {
		t.Error("the fence of a copied lease has not grown: the digest leaves it out")
	}
	b := book(t, s)
	l, in := link(9000), &engine.Intent{Kind: plan.Create}
	fold(t, b, engine.Fold{Link: l})
	if err := b.Intend(t.Context(), []*engine.Intent{in}); err != nil || l.ID != 1503 || in.ID != 3 {
		t.Errorf("the next link is %d, the next intent %d (%v)", l.ID, in.ID, err)
	}
	hold := plan.Hold{Cause: "x"}
	fold(t, b, engine.Fold{Link: l, Decided: true, Waiting: []engine.Waiting{{Hold: &hold}}, Threads: []engine.Thread{{Link: l.ID, ID: "c"}}})
}

func TestACopyGoesToAnEmptyPlaceAloneAndOnlyWhileNothingRuns(t *testing.T) {
	for kind, make := range kinds {
		t.Run(kind, func(t *testing.T) {
			path := kinds["a file"](t)
			full(t, path)
			from := open(t, path, state.Options{})
			to := open(t, make(t), state.Options{})
			if _, err := from.Lease(t.Context(), "a", "a run", time.Hour); err != nil {
				t.Fatal(err)
			}
			_, err := from.CopyTo(t.Context(), to, "copier", nil)
			if held, ok := errors.AsType[*engine.LeasedError](err); !ok || held.Owner != "a run" {
				t.Errorf("while a run is under way: %v", err)
			}
			if err := from.Release(t.Context(), "a", "a run"); err != nil {
				t.Fatal(err)
			}
			// Cut off in the midst, it leaves nothing behind, and can be begun again.
			empty := digest(t, to)
			ctx, cancel := context.WithCancel(t.Context())
			if _, err := from.CopyTo(ctx, to, "copier", func(table string, _ int64) {
				if table == "print" {
					cancel()
				}
			}); !errors.Is(err, context.Canceled) {
				t.Errorf("cut off: %v", err)
			}
			if got := digest(t, to); got != empty {
				t.Error("a copy that was cut off left something behind")
			}
			if _, err := from.Lease(t.Context(), "a", "a run", time.Millisecond); err != nil {
				t.Errorf("a copy that was cut off keeps the leases: %v", err)
			}
			if err := from.Release(t.Context(), "a", "a run"); err != nil {
				t.Fatal(err)
			}
			if _, err := from.CopyTo(t.Context(), to, "copier", nil); err != nil {
				t.Fatal(err)
			}
			was := digest(t, to)
			_, err = from.CopyTo(t.Context(), to, "copier", nil)
			if !errors.Is(err, state.ErrNotEmpty) || connectors.Hint(err) == "" || !strings.Contains(err.Error(), "sync") {
				t.Errorf("to what is not empty: %v", err)
			}
			if digest(t, to) != was {
				t.Error("a refused copy changed what was there")
			}
		})
	}
}
