package service

import (
	"context"
	"errors"
	"time"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/record"
)

// How long a sync rests before it is woken again for records that could not be looked at, the first time and at most: a
// system that is away, or refuses the credentials, is not asked all the time. A plan that waits for approval is not made
// again and again.
const (
	restSoon    = 15 * time.Second
	restLater   = 15 * time.Minute
	restStopped = 24 * time.Hour
)

// told keeps in the state that a system has named records of one side, and wakes the sync. Whoever runs it, on whatever
// node, looks at them; a burst is one run, and one more for what is named meanwhile. "" is a record that is not named.
func (s *service) told(ctx context.Context, sync string, side record.Side, keys []string) error {
	told := make([]engine.Told, len(keys))
	for i, key := range keys {
		told[i] = engine.Told{Side: side, Key: key}
	}
	if err := s.state.Tell(ctx, sync, told); err != nil {
		return err
	}
	if err := s.loop.Wake(sync); err != nil {
		s.log.Warn("a change was told and the sync not woken yet", "sync", sync, "err", err)
	}
	return nil
}

// only is what a run has to look at; nothing: at all that changed.
func only(told []engine.Told) (keys [2][]string) {
	for _, t := range told {
		if t.Key == "" {
			return [2][]string{}
		}
		keys[t.Side] = append(keys[t.Side], t.Key)
	}
	return keys
}

// heed keeps account of what became of a run. What it has looked at is forgotten. After one that failed, what was said of
// its sync waits, longer each time; after one that was cut short it does not, as another is on its way.
func (s *service) heed(ctx context.Context, sync string, looked []engine.Told, err error) {
	cut := ctx.Err() != nil || errors.Is(err, engine.ErrLeaseLost) || errors.Is(err, engine.ErrStateAway)
	ctx = context.WithoutCancel(ctx)
	kept := func() error {
		if err == nil && len(looked) > 0 {
			return s.state.Heed(ctx, sync, looked)
		}
		told, terr := s.state.Told(ctx, sync)
		if terr != nil || len(told) == 0 {
			return terr
		}
		if err == nil {
			return s.state.Heed(ctx, sync, nil)
		}
		rest := restSoon
		for _, t := range told {
			rest = max(rest, min(restSoon<<min(t.Tries, 10), restLater))
		}
		if _, stopped := errors.AsType[*engine.StoppedError](err); stopped {
			rest = restStopped
		}
		return s.state.PutOff(ctx, sync, s.now().Add(rest))
	}
	if err != nil && cut {
		return
	}
	if kerr := kept(); kerr != nil {
		s.log.Warn("what was told is looked at once more", "sync", sync, "err", kerr)
	}
}

// remind wakes the syncs that have something left to look at, and that nobody woke: what was said before this service
// began, what waited after a run that failed, or while the sync was paused, or is left by a node that died.
func (s *service) remind(ctx context.Context) error {
	// What was said only now has had its wake-up call.
	due, err := s.state.Due(ctx, s.now().Add(-2*glance))
	for _, sync := range due {
		s.loop.Remind(sync)
	}
	return err
}

// again is the slip that asks the next run of a sync to try what is held before its time.
func again(sync string) string { return "again " + sync }

// askAgain leaves it for whatever node runs the sync.
func (s *service) askAgain(ctx context.Context, sync string) error {
	return s.state.Pin(ctx, engine.Slip{Name: again(sync), Until: s.now().Add(24 * time.Hour)})
}

// takeAgain reports whether it is there, and takes it away.
func (s *service) takeAgain(ctx context.Context, sync string) (bool, error) {
	slip, err := s.state.Slip(ctx, again(sync))
	if err != nil || slip == nil {
		return false, err
	}
	return s.state.Unpin(ctx, again(sync))
}

// gather keeps what one side of a sync is told while what it was told before is being kept: a burst takes few
// transactions. Who tells waits when too much has come together.
func (s *service) gather(ctx context.Context, sync string, side record.Side, said <-chan string) {
	for {
		var keys []string
		select {
		case <-ctx.Done():
			return
		case key := <-said:
			keys = append(keys, key)
		}
		for more := true; more && len(keys) < mostNamed; {
			select {
			case key := <-said:
				keys = append(keys, key)
			default:
				more = false
			}
		}
		for wait := soon; ; wait = min(2*wait, later) {
			err := s.told(ctx, sync, side, keys)
			if err == nil {
				break
			}
			s.log.Warn("a change was told and cannot be kept yet", "sync", sync, "err", err, "hint", project.WayOut(err), "again_in", wait)
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
		}
	}
}
