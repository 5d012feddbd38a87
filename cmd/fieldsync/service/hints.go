package service

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/record"
)

// mostHints is how many records of a sync are remembered by name. From there on looking at what changed costs less than
// reading one by one.
const mostHints = 500

// How long a sync rests before it is woken again for records that could not be looked at, the first time and at most: a
// system that is away, or refuses the credentials, is not asked all the time.
const (
	hintSoon  = 15 * time.Second
	hintLater = 15 * time.Minute
)

// hints are the records that systems have named and that nobody has looked at since, by sync. A burst of them is one run:
// what is named while a sync runs waits for the next.
type hints struct {
	mu   sync.Mutex
	list map[string]*hint
	rest map[string]time.Duration // of syncs whose last run failed
}

type hint struct {
	keys [2]map[string]bool
	all  bool // something changed, and nobody says what, or too much
}

// add notes that a record of one side has changed; "" is one that is not named.
func (h *hints) add(sync string, side record.Side, key string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.list == nil {
		h.list = map[string]*hint{}
	}
	one := h.list[sync]
	if one == nil {
		one = &hint{keys: [2]map[string]bool{{}, {}}}
		h.list[sync] = one
	}
	one.add(side, key)
}

func (h *hint) add(side record.Side, key string) {
	if key != "" && !h.all {
		h.keys[side][key] = true
	}
	if key == "" || len(h.keys[0])+len(h.keys[1]) > mostHints {
		h.all, h.keys = true, [2]map[string]bool{{}, {}}
	}
}

// take is what is known of a sync, which is forgotten; nil if nothing is.
func (h *hints) take(sync string) *hint {
	h.mu.Lock()
	defer h.mu.Unlock()
	one := h.list[sync]
	delete(h.list, sync)
	return one
}

// putBack adds what take gave, after a run that came to nothing.
func (h *hints) putBack(sync string, was *hint) {
	if was == nil {
		return
	}
	for _, s := range record.Sides {
		for key := range was.keys[s] {
			h.add(sync, s, key)
		}
	}
	if was.all {
		h.add(sync, record.Left, "")
	}
}

// waits reports whether something is known of a sync.
func (h *hints) waits(sync string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.list[sync] != nil
}

// failed is how long a sync rests after a run that failed; each one in a row doubles it.
func (h *hints) failed(sync string) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.rest == nil {
		h.rest = map[string]time.Duration{}
	}
	h.rest[sync] = min(max(2*h.rest[sync], hintSoon), hintLater)
	return h.rest[sync]
}

func (h *hints) succeeded(sync string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.rest, sync)
}

// only is what a run has to look at; nothing: at all that changed.
func (h *hint) only() (keys [2][]string) {
	if h == nil || h.all {
		return keys
	}
	for _, s := range record.Sides {
		keys[s] = slices.Sorted(maps.Keys(h.keys[s]))
	}
	return keys
}

// told wakes a sync for a record that its system says has changed.
func (s *service) told(sync string, side record.Side, key string) error {
	if !s.shared() {
		s.hints.add(sync, side, key)
	}
	return s.loop.Wake(sync)
}

// heed wakes a sync again for what it was told and has not looked at: at once after a run that was about all, as it may
// have been told of what that could not see yet; later after one that failed. A plan that waits for approval is not made
// again and again.
func (s *service) heed(sync string, err error) {
	if err == nil {
		s.hints.succeeded(sync)
	}
	if _, stopped := errors.AsType[*engine.StoppedError](err); stopped || !s.hints.waits(sync) {
		return
	}
	wake := func() {
		if err := s.loop.Wake(sync); err != nil {
			s.log.Debug("a sync that is no longer there is not woken", "sync", sync)
		}
	}
	if err == nil {
		wake()
		return
	}
	timer := time.AfterFunc(s.hints.failed(sync), wake)
	context.AfterFunc(s.stopping, func() { timer.Stop() })
}
