package guard_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/guard"
)

// begun is when requests of some processes were begun that each send as many as they may for a while.
func begun(t *testing.T, processes []*guard.Turns, lasts time.Duration) (at []time.Time) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), lasts)
	defer cancel()
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, turns := range processes {
		for range 10 {
			all.Go(func() {
				for {
					leave, err := turns.Take(ctx)
					if err != nil {
						return
					}
					mu.Lock()
					at = append(at, time.Now())
					mu.Unlock()
					leave()
				}
			})
		}
	}
	all.Wait()
	return at
}

func TestProcessesTogetherKeepToARate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var share connectors.Share
		limits := connectors.Limits{Rate: 30, Concurrency: 6, Share: &share}
		var all []*guard.Turns
		for range 3 {
			all = append(all, guard.NewTurns(limits))
		}
		begun(t, all[:1], time.Second) // what lies ready at the beginning is used up
		if n := len(begun(t, all[:1], 10*time.Second)); n < 299 || n > 301 {
			t.Errorf("one alone begins %d requests in ten seconds, want 300", n)
		}
		share.Set(3)
		begun(t, all, time.Second)
		if n := len(begun(t, all, 10*time.Second)); n < 297 || n > 303 {
			t.Errorf("three begin %d requests in ten seconds, want 300", n)
		}
		share.Set(1)
		begun(t, all[2:], time.Second)
		if n := len(begun(t, all[2:], 10*time.Second)); n < 299 || n > 301 {
			t.Errorf("the last one begins %d requests in ten seconds, want 300", n)
		}
	})
}

func TestRequestsUnderWayFollowTheNumberOfProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var share connectors.Share
		turns := guard.NewTurns(connectors.Limits{Concurrency: 6, Share: &share})
		out := 0
		var leaves []func()
		var mu sync.Mutex
		ctx, cancel := context.WithCancel(t.Context())
		for range 20 {
			go func() {
				leave, err := turns.Take(ctx)
				if err != nil {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				out++
				leaves = append(leaves, func() { out--; leave(); leave() })
			}()
		}
		end := func(n int) {
			mu.Lock()
			for _, leave := range leaves[:n] {
				leave()
			}
			leaves = leaves[n:]
			mu.Unlock()
		}
		want := func(what string, n int) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if out != n {
				t.Errorf("%s: %d are under way, want %d", what, out, n)
			}
		}
		want("alone", 6)
		share.Set(3)
		end(3)
		want("of three, with more than its part under way", 3)
		end(2)
		want("of three", 2)
		share.Set(10)
		end(2)
		want("of more processes than requests", 1)
		share.Set(1)
		end(1)
		want("alone again", 6)
		cancel()
		end(6)
		want("given up", 0)
		leave, err := turns.Take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		leave()
		if _, err := turns.Take(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("a request that was given up gets a turn: %v", err)
		}
	})
}
