package guard

import (
	"context"
	"slices"
	"sync"

	"golang.org/x/time/rate"

	"github.com/fieldsync/fieldsync/connectors"
)

// inFlight is how many requests are under way where the limits say nothing.
const inFlight = 8

func atOnce(l connectors.Limits) int {
	if l.Concurrency <= 0 {
		return inFlight
	}
	return l.Concurrency
}

// Turns lets only so many requests be under way, and begins them only so fast. Limits that several processes share are
// looked at again with each request, since processes come and go.
type Turns struct {
	limits connectors.Limits
	rate   *rate.Limiter // nil: as fast as they come

	mu    sync.Mutex
	most  int // under way, as the limits were last
	out   int // under way
	queue []chan struct{}
}

// NewTurns begins with nothing under way.
func NewTurns(l connectors.Limits) *Turns {
	t := &Turns{limits: l, most: atOnce(l.Here())}
	if l.Rate > 0 {
		t.rate = rate.NewLimiter(rate.Limit(l.Here().Rate), t.most)
	}
	return t
}

// Take waits for a turn: who came first is first. leave ends it, and may be called more than once.
func (t *Turns) Take(ctx context.Context) (leave func(), err error) {
	if err := t.enter(ctx); err != nil {
		return nil, err
	}
	leave = sync.OnceFunc(t.leave)
	if t.rate != nil {
		if err := t.rate.Wait(ctx); err != nil {
			leave()
			return nil, err
		}
	}
	return leave, nil
}

func (t *Turns) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t.mu.Lock()
	mine := make(chan struct{})
	t.queue = append(t.queue, mine)
	t.admit()
	t.mu.Unlock()
	select {
	case <-mine:
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(t.queue, mine); i >= 0 {
		t.queue = slices.Delete(t.queue, i, i+1)
	} else { // its turn came at the same moment
		t.out--
		t.admit()
	}
	return ctx.Err()
}

func (t *Turns) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.out--
	t.admit()
}

// admit gives turns to those who wait, as far as the limits of now go. t.mu is held.
func (t *Turns) admit() {
	here := t.limits.Here()
	if most := atOnce(here); most != t.most {
		t.most = most
		if t.rate != nil {
			t.rate.SetBurst(most)
		}
	}
	if t.rate != nil && t.rate.Limit() != rate.Limit(here.Rate) {
		t.rate.SetLimit(rate.Limit(here.Rate))
	}
	for len(t.queue) > 0 && t.out < t.most {
		close(t.queue[0])
		t.queue = t.queue[1:]
		t.out++
	}
}
