package service

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/console"
	"github.com/fieldsync/fieldsync/engine/plan"
)

// Where the work is shared, a page may be on another node than what it shows. So a node says which syncs have something
// new, and shows on slips what its runs and previews do: not all of it, and no more often than people look.
const (
	showEvery = time.Second
	showLife  = 15 * time.Second // of what is being done: of a node that died nothing is shown for longer
	renewed   = 5 * time.Second  // where nothing changes meanwhile
	abroad    = 50               // the latest steps of a run, about a page
	longWord  = 4000             // bytes
)

// An excerpt is what other nodes see of a run.
type excerpt struct {
	Node     string
	Progress console.Progress
	Steps    []console.Step // the latest that are done
	Left     int            // others
	Done     int64
	Skipped  int64
	Failed   int64
}

func runSlip(sync string) string { return "run " + sync }

// excerpts are of the runs that go on here, by sync, and of which syncs there is something new since they were asked for
// last.
func (l *live) excerpts(node string) (all map[string]excerpt, fresh []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fresh = slices.Sorted(maps.Keys(l.fresh))
	clear(l.fresh)
	all = map[string]excerpt{}
	for sync, f := range l.running {
		x := excerpt{Node: node, Progress: f.progress, Steps: []console.Step{}}
		x.Done, x.Skipped, x.Failed = outcomes(f.steps)
		for i := len(f.steps) - 1; i >= 0 && len(x.Steps) < abroad; i-- {
			if f.steps[i].Outcome != "" {
				x.Steps = append(x.Steps, f.steps[i])
			}
		}
		slices.Reverse(x.Steps)
		x.Left = len(f.steps) + f.left - len(x.Steps)
		all[sync] = x
	}
	return all, fresh
}

// outcomes counts what came of steps.
func outcomes(steps []console.Step) (done, skipped, failed int64) {
	for _, s := range steps {
		switch s.Outcome {
		case plan.Done, plan.Partly:
			done++
		case plan.Skipped:
			skipped++
		case plan.Failed:
			failed++
		}
	}
	return done, skipped, failed
}

// missing says what an excerpt leaves out.
func (x excerpt) missing() string {
	text := "It runs on another node, " + x.Node + "."
	if x.Left > 0 {
		text += fmt.Sprintf(" Its latest %d steps of %d are shown.", len(x.Steps), len(x.Steps)+x.Left)
	}
	return text
}

// showOthers has other nodes see what goes on here, until ctx ends.
func (s *service) showOthers(ctx context.Context) {
	if s.say == nil {
		return
	}
	tick := time.NewTicker(showEvery)
	defer tick.Stop()
	pinned := map[string]time.Time{}
	for {
		select {
		case <-ctx.Done():
			return // what is shown is over soon
		case <-tick.C:
		}
		runs, fresh := s.live.excerpts(s.rules.Owner)
		for sync, x := range runs {
			if at, ok := pinned[sync]; ok && !slices.Contains(fresh, sync) && s.now().Sub(at) < renewed {
				continue
			}
			pinned[sync] = s.now()
			s.pin(ctx, runSlip(sync), x, showLife)
		}
		for sync := range pinned {
			if _, runs := runs[sync]; !runs {
				delete(pinned, sync)
				if _, err := s.state.Unpin(ctx, runSlip(sync)); err != nil {
					s.log.Debug("what a run did is shown for a while", "sync", sync, "err", err)
				}
			}
		}
		if word := strings.Join(fresh, " "); len(word) > longWord {
			s.say(ctx, "*")
		} else if word != "" {
			s.say(ctx, word)
		}
	}
}

// pin shows something to all nodes. That it cannot harms nothing but pages.
func (s *service) pin(ctx context.Context, name string, v any, life time.Duration) {
	body, err := json.Marshal(v)
	if err == nil {
		err = s.state.Pin(ctx, engine.Slip{Name: name, Body: body, Until: s.now().Add(life)})
	}
	if err != nil && ctx.Err() == nil {
		s.log.Warn("pages cannot show this", "what", name, "err", err)
	}
}

// pinned reads what pin wrote; false where there is nothing.
func (s *service) pinned(ctx context.Context, name string, v any) (bool, error) {
	slip, err := s.state.Slip(ctx, name)
	if err != nil || slip == nil {
		return false, err
	}
	if err := json.Unmarshal(slip.Body, v); err != nil {
		return false, fmt.Errorf("read %s: %w", name, err)
	}
	return true, nil
}

// progressAbroad is how far the runs on other nodes have come, by sync.
func (s *service) progressAbroad(ctx context.Context) (map[string]*console.Progress, error) {
	all := map[string]*console.Progress{}
	if s.say == nil {
		return all, nil
	}
	err := s.state.Slips(ctx, runSlip(""), func(slip engine.Slip) error {
		var x excerpt
		if err := json.Unmarshal(slip.Body, &x); err != nil {
			return fmt.Errorf("read %s: %w", slip.Name, err)
		}
		all[strings.TrimPrefix(slip.Name, runSlip(""))] = &x.Progress
		return nil
	})
	return all, err
}

// heard tells the pages of this node what another one said.
func (l *live) heard(word string) {
	for sync := range strings.FieldsSeq(word) {
		l.notify(sync)
	}
}
