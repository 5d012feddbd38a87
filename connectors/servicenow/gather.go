package servicenow

import (
	"sync"
	"time"
)

// linger is how long the first of several callers waits for the others: short beside a request, long beside what
// callers that were answered together are apart.
const linger = 5 * time.Millisecond

// A gatherer puts together what several callers want at the same time. Nobody waits longer than linger for company while
// there is room for another request, and for company alone nobody waits at all once a group is full.
type gatherer[T any] struct {
	slots int // groups on their way at a time
	send  func(group []T)

	mu      sync.Mutex
	size    int // of a group, at most
	waiting []T
	running int
	full    chan struct{} // of the group that gathers now; nil when none does
}

// add hands one item over. It returns at once; send tells the item's owner what came of it.
func (g *gatherer[T]) add(item T) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = append(g.waiting, item)
	switch {
	case g.full == nil && g.running < g.slots:
		g.running++
		go g.run(g.open())
	case g.full != nil && len(g.waiting) >= g.size:
		close(g.full)
		g.full = nil
	}
}

// open starts a group, for callers that hold the lock.
func (g *gatherer[T]) open() chan struct{} {
	full := make(chan struct{})
	if len(g.waiting) >= g.size {
		close(full)
	} else {
		g.full = full
	}
	return full
}

// run sends groups until nobody waits.
func (g *gatherer[T]) run(full chan struct{}) {
	for {
		t := time.NewTimer(linger)
		select {
		case <-full:
		case <-t.C:
		}
		t.Stop()
		g.mu.Lock()
		if g.full == full {
			g.full = nil
		}
		n := min(len(g.waiting), g.size)
		group := append([]T(nil), g.waiting[:n]...)
		g.waiting = append(g.waiting[:0], g.waiting[n:]...)
		g.mu.Unlock()
		if n > 0 {
			g.send(group)
		}
		g.mu.Lock()
		if len(g.waiting) == 0 || g.full != nil { // there is nobody, or another gathers them
			g.running--
			g.mu.Unlock()
			return
		}
		full = g.open()
		g.mu.Unlock()
	}
}

// shrink makes groups smaller from now on.
func (g *gatherer[T]) shrink(size int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.size = max(1, min(g.size, size))
}

// most is how large a group may be now.
func (g *gatherer[T]) most() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.size
}
