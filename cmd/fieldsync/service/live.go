package service

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/console"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/report"
)

const (
	keptSteps = 1000  // of one run or preview
	keptAll   = 10000 // of all runs that are over
)

// A live is what the runs of this process do and did, for those who watch: what is going on, and the steps of the latest
// runs, without sensitive values. It is not remembered over a restart; the history of the state is. What other nodes
// do is on slips, see excerpt.
type live struct {
	now func() time.Time

	mu       sync.Mutex
	running  map[string]*following // by sync
	over     []*following          // oldest first
	size     int                   // steps in over
	told     uint64                // grows with every news, from a number that no earlier process had
	watchers map[*watcher]struct{}
	fresh    map[string]struct{} // syncs with something new, of which other nodes do not know
}

// A following is one run that is followed, or was.
type following struct {
	l        *live
	sync     string
	progress console.Progress
	steps    []console.Step
	index    map[string]int // step by the digest of its action
	left     int            // steps that are not kept
}

func newLive(now func() time.Time) *live {
	return &live{now: now, told: uint64(now().UnixNano()), running: map[string]*following{}, watchers: map[*watcher]struct{}{}, fresh: map[string]struct{}{}}
}

// follow begins to follow a run.
func (l *live) follow(sync string) *following {
	l.mu.Lock()
	f := &following{l: l, sync: sync, progress: console.Progress{Since: l.now(), Phase: "begin"}, index: map[string]int{}}
	l.running[sync] = f
	l.mu.Unlock()
	l.news(sync)
	return f
}

// step is the engine's Progress.
func (f *following) step(p engine.Progress) {
	f.l.mu.Lock()
	f.progress.Phase, f.progress.Done, f.progress.Total = p.Phase, p.Done, p.Total
	f.l.mu.Unlock()
	f.l.news(f.sync)
}

// planned takes over what a run is going to do.
func (f *following) planned(run *engine.Run) error {
	steps, left, index, err := stepsOf(run)
	if err != nil {
		return err
	}
	f.l.mu.Lock()
	f.steps, f.left, f.index = steps, left, index
	f.l.mu.Unlock()
	f.l.news(f.sync)
	return nil
}

// stepsOf are the first items of a plan, how many are left out, and where each action is.
func stepsOf(run *engine.Run) (steps []console.Step, left int, index map[string]int, err error) {
	steps, index = []console.Step{}, map[string]int{}
	for it, err := range run.Items() {
		if err != nil {
			return nil, 0, nil, err
		}
		if len(steps) == keptSteps {
			left++
			continue
		}
		if it.Action != nil {
			index[engine.ActionDigest(*it.Action)] = len(steps)
		}
		steps = append(steps, console.Step{Item: report.Redact(it)})
	}
	return steps, left, index, nil
}

// began is told the number of the run.
func (f *following) began(acc plan.Run) {
	f.l.mu.Lock()
	f.progress.Run = acc.ID
	f.l.mu.Unlock()
	f.l.news(f.sync)
}

// result notes what came of an action.
func (f *following) result(r plan.Result) {
	f.l.mu.Lock()
	i, ok := f.index[engine.ActionDigest(r.Action)]
	if !ok { // a value that was pending is known by now
		i = slices.IndexFunc(f.steps, func(s console.Step) bool { return s.Outcome == "" && pendingAs(s.Action, &r.Action) })
		if ok = i >= 0; ok {
			f.steps[i].Item = report.Redact(plan.Item{Action: &r.Action})
		}
	}
	if !ok && len(f.steps) < keptSteps {
		i, ok = len(f.steps), true
		f.steps = append(f.steps, console.Step{Item: report.Redact(plan.Item{Action: &r.Action})})
	}
	if ok {
		s := &f.steps[i]
		s.Outcome, s.Key, s.Label, s.Why, s.Hint = r.Outcome, r.Key, r.Label, r.Why, r.Hint
	}
	f.l.mu.Unlock()
	f.l.news(f.sync)
}

// pendingAs reports whether an action that was planned with a pending value is the one that was carried out.
func pendingAs(planned, done *plan.Action) bool {
	return planned != nil && planned.Kind == done.Kind && planned.Side == done.Side && planned.Key == done.Key &&
		slices.ContainsFunc(planned.Changes, func(c plan.Change) bool { return c.Pending != "" })
}

// end keeps what the run did, as long as there is room: the oldest go first.
func (f *following) end() {
	l := f.l
	l.mu.Lock()
	delete(l.running, f.sync)
	f.index = nil
	if f.progress.Run != 0 && len(f.steps) > 0 {
		l.over = append(l.over, f)
		l.size += len(f.steps)
	}
	for l.size > keptAll && len(l.over) > 1 {
		l.size -= len(l.over[0].steps)
		l.over = l.over[1:]
	}
	l.mu.Unlock()
	l.news(f.sync)
}

// progressOf is how far the run of a sync has come; nil if none is going on here.
func (l *live) progressOf(sync string) *console.Progress {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.running[sync]
	if f == nil {
		return nil
	}
	p := f.progress
	return &p
}

// run is what is known of a run: how far it has come, its steps, and how many are not kept. ok is false where its steps
// were never followed here, or not kept.
func (l *live) run(id int64) (p *console.Progress, steps []console.Step, left int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.running {
		if f.progress.Run == id {
			p := f.progress
			return &p, slices.Clone(f.steps), f.left, true
		}
	}
	for _, f := range l.over {
		if f.progress.Run == id {
			return nil, slices.Clone(f.steps), f.left, true
		}
	}
	return nil, nil, 0, false
}

// A watcher is somebody who wants to know which syncs have something new.
type watcher struct {
	wake chan struct{} // holds one, while something is pending

	mu      sync.Mutex
	pending map[string]struct{}
}

// news tells of a sync, here and on other nodes; "*" is all of them.
func (l *live) news(sync string) {
	l.mu.Lock()
	l.fresh[sync] = struct{}{}
	l.mu.Unlock()
	l.notify(sync)
}

// notify tells every watcher here.
func (l *live) notify(sync string) {
	l.mu.Lock()
	l.told++
	list := slices.Collect(maps.Keys(l.watchers))
	l.mu.Unlock()
	for _, w := range list {
		w.mu.Lock()
		w.pending[sync] = struct{}{}
		w.mu.Unlock()
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// serial is how much was told so far.
func (l *live) serial() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.told
}

// watch tells of syncs with something new until ctx ends: at once of all, where something was told since seen. What comes
// while nobody takes it is told together.
func (l *live) watch(ctx context.Context, seen uint64) <-chan []string {
	w := &watcher{wake: make(chan struct{}, 1), pending: map[string]struct{}{}}
	l.mu.Lock()
	l.watchers[w] = struct{}{}
	if l.told != seen {
		w.pending["*"] = struct{}{}
		w.wake <- struct{}{}
	}
	l.mu.Unlock()
	out := make(chan []string)
	go func() {
		defer close(out)
		defer func() {
			l.mu.Lock()
			delete(l.watchers, w)
			l.mu.Unlock()
		}()
		for {
			select {
			case <-ctx.Done():
				return
			case <-w.wake:
			}
			w.mu.Lock()
			list := slices.Sorted(maps.Keys(w.pending))
			clear(w.pending)
			w.mu.Unlock()
			if len(list) == 0 {
				continue
			}
			select {
			case <-ctx.Done():
				return
			case out <- list:
			}
		}
	}()
	return out
}
