package project

import (
	"context"
	"slices"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/report"
)

// Note keeps what a person has done by hand.
func (p *Project) Note(ctx context.Context, by, action, subject, why string) error {
	return p.State.Note(ctx, engine.Act{At: p.Now(), By: by, Action: action, Subject: subject, Why: why})
}

// PausesOf lists the pauses by sync.
func PausesOf(ctx context.Context, store engine.Store) (map[string]*engine.Pause, error) {
	list, err := store.Pauses(ctx)
	if err != nil {
		return nil, err
	}
	by := make(map[string]*engine.Pause, len(list))
	for i := range list {
		by[list[i].Sync] = &list[i]
	}
	return by, nil
}

// Statuses joins what the mapping names with what the state knows: in the order they run in, then what the mapping lost.
func (p *Project) Statuses(ctx context.Context, store engine.Store) ([]report.Status, error) {
	known, err := store.Syncs(ctx)
	if err != nil {
		return nil, err
	}
	paused, err := PausesOf(ctx, store)
	if err != nil {
		return nil, err
	}
	list := []report.Status{}
	fill := func(s *report.Status) {
		if i := slices.IndexFunc(known, func(k engine.SyncStatus) bool { return k.Sync == s.Sync }); i >= 0 {
			k := known[i]
			s.Links, s.Detached, s.Conflicts, s.Held, s.Intents, s.LastRun, s.LastGood = k.Links, k.Detached, k.Conflicts, k.Held, k.Intents, k.LastRun, k.LastGood
			s.Waits = waitingPlan(k)
		}
		if pause := paused[s.Sync]; pause != nil {
			s.Paused = &report.Paused{By: pause.By, At: pause.At, Why: pause.Why}
		}
	}
	for _, m := range inOrder(p.Syncs) {
		s := report.Status{Sync: m.Name, Known: true, Schedule: m.Schedule, After: m.After}
		fill(&s)
		list = append(list, s)
	}
	for _, k := range known {
		if _, ok := p.Sync(k.Sync); !ok {
			s := report.Status{Sync: k.Sync}
			fill(&s)
			list = append(list, s)
		}
	}
	return list, nil
}
