package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/access"
)

// glance is how often the state is looked at: for pauses that somebody set on the command line, or on another machine, and
// for what is left to look at.
const glance = time.Second

// errPaused ends a run before it began. It is an error so that syncs which follow do not take it for a run.
var errPaused = errors.New("the sync is paused")

// Pause keeps a sync from being run, other than by Wake, until Resume; also after a restart.
func (s *service) Pause(ctx context.Context, sync, who, why string) error {
	if _, err := s.inForce().Find(sync); err != nil {
		return err
	}
	if err := s.state.Pause(ctx, engine.Pause{Sync: sync, By: who, At: s.now(), Why: why}); err != nil {
		return err
	}
	s.loop.Pause(sync, true)
	s.log.Info("paused", "sync", sync, "by", who, "why", why)
	return nil
}

// Resume ends a pause. A sync that has none goes on as it is.
func (s *service) Resume(ctx context.Context, sync, who, why string) error {
	if _, err := s.inForce().Find(sync); err != nil {
		return err
	}
	if _, err := s.state.Resume(ctx, sync); err != nil {
		return err
	}
	s.loop.Pause(sync, false)
	s.log.Info("resumed", "sync", sync, "by", who, "why", why)
	return nil
}

// Wake runs a sync now, paused or not; if it is running, once more after that.
func (s *service) Wake(sync string) error {
	if _, err := s.inForce().Find(sync); err != nil {
		return err
	}
	return s.loop.Trigger(sync)
}

// note is the access.Audit of the service: a line in the log, and a row in the state.
func (s *service) note(ctx context.Context, action, subject, why string) error {
	c := access.From(ctx)
	if err := s.state.Note(ctx, engine.Act{At: s.now(), By: c.Name, Action: action, Subject: subject, Why: why}); err != nil {
		return fmt.Errorf("%s: it cannot be kept who did it, and so it is not done: %w", action, err)
	}
	s.log.Info("act", "by", c.Name, "role", c.Role.String(), "action", action, "subject", subject, "why", why)
	return nil
}

// takePauses gives the loop the pauses that the state has.
func (s *service) takePauses(ctx context.Context) error {
	paused, err := project.PausesOf(ctx, s.state)
	if err != nil {
		return err
	}
	for _, m := range s.inForce().Syncs {
		s.loop.Pause(m.Name, paused[m.Name] != nil)
	}
	return nil
}

// watchState does that, and reminds of what was told, again and again until ctx ends.
func (s *service) watchState(ctx context.Context) {
	tick := time.NewTicker(glance)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := s.takePauses(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("pauses cannot be read", "err", err, "hint", project.WayOut(err))
		} else if err := s.remind(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("what was told cannot be read", "err", err, "hint", project.WayOut(err))
		}
	}
}

// awake gives errPaused for a sync that somebody paused a moment ago. What a person asks for is run all the same.
func (s *service) awake(ctx context.Context, sync string) error {
	paused, err := project.PausesOf(ctx, s.state)
	if err == nil && paused[sync] != nil {
		err = errPaused
	}
	return err
}
