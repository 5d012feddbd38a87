package service

import (
	"context"
	"time"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/record"
)

// How long a connection that broke is left alone, the first time and at most.
const (
	soon  = time.Second
	later = time.Minute
)

// hear has systems that tell of changes wake the syncs of a ruleset, until the ruleset is replaced or ctx ends.
func (s *service) hear(ctx context.Context, r *ruleset) {
	r.once.Do(func() {
		context.AfterFunc(ctx, r.deafen)
		for _, m := range r.Syncs {
			for i := range m.Sides {
				r.runs.Go(func() { s.listenTo(r.listening, r, m, record.Side(i)) })
			}
		}
	})
}

// listenTo wakes a sync for every hint of one side. The loop makes one run of a burst: what is said while a sync
// runs asks for one more run after it. Where the connection breaks it is made again, and what was missed is looked
// for then; the schedule goes on all the time.
func (s *service) listenTo(ctx context.Context, r *ruleset, m *mapping.Sync, at record.Side) {
	side := m.Sides[at]
	log := s.log.With("sync", m.Name, "side", side.Name)
	wait := soon
	said := make(chan string, mostNamed)
	r.runs.Go(func() { s.gather(ctx, m.Name, at, said) })
	for {
		heard := false
		err := listen(ctx, r.Project, side, func(key string) {
			if !heard {
				log.Info("listening for changes")
			} else {
				log.Debug("told of a change", "record", key)
			}
			heard, wait = true, soon
			select {
			case said <- key:
			case <-ctx.Done():
			}
		})
		if err == nil || ctx.Err() != nil {
			return
		}
		log.Warn("changes are not heard; the schedule goes on", "err", err, "hint", project.WayOut(err), "again_in", wait)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		wait = min(2*wait, later)
	}
}

// listen is Notify of a side's collection; nil where it cannot tell of changes.
func listen(ctx context.Context, p *project.Project, side mapping.Side, hint func(key string)) error {
	e, err := p.End(ctx, side)
	if err != nil {
		return err
	}
	n, ok := connectors.As[connectors.Notifier](e.Col)
	if !ok {
		return nil
	}
	return n.Notify(ctx, hint)
}
