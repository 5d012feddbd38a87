package servicenow

import (
	"slices"
	"sync"
	"time"
)

// defaultLinger is how long the first of several callers waits for the others: short beside a request, long beside what
// callers that were answered together are apart.
const defaultLinger = 5 * time.Millisecond

// A gatherer puts together what several callers want at the same time. Nobody waits longer than linger for company while
// there is room for another request, and for company alone nobody waits at all once a group is full.
type gatherer[T any] struct {
	slots  int // groups on their way at a time
	linger time.Duration
	send   func(group []T)

	mu      sync.Mutex
	size    int // of a group, at most
	waiting []T
	running int
	full    chan []T // takes the group that gathers now once it is full; nil when none gathers
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
		g.full <- g.take()
		g.full = nil
	}
}

// open starts a group, and take ends one, for callers that hold the lock.
func (g *gatherer[T]) open() chan []T {
	full := make(chan []T, 1)
	if len(g.waiting) >= g.size {
		full <- g.take()
	} else {
		g.full = full
	}
	return full
}

func (g *gatherer[T]) take() []T {
	n := min(len(g.waiting), g.size)
	group := slices.Clone(g.waiting[:n])
	g.waiting = slices.Delete(g.waiting, 0, n)
	return group
}

// gathered is the group once it is full, or when it has waited long enough.
func (g *gatherer[T]) gathered(full chan []T) []T {
	t := time.NewTimer(g.linger)
	defer t.Stop()
	select {
	case group := <-full:
		return group
	case <-t.C:
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.full != full { // it became full at the same moment
		return <-full
	}
	g.full = nil
	return g.take()
}

// run sends groups until nobody waits.
func (g *gatherer[T]) run(full chan []T) {
	for {
		if group := g.gathered(full); len(group) > 0 {
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
