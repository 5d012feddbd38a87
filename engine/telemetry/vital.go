// Package telemetry turns what is known of the syncs into figures: a [Vital] of each, and from these and from what
// happens while runs go on the metrics that Prometheus reads.
//
// Figures name syncs, sides and connections, never records or their values. Errors are those of the store.
package telemetry

import (
	"context"
	"time"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A Vital is how one sync does.
type Vital struct {
	Sync  string
	Sides [2]string
	engine.SyncStatus

	Next    time.Time    // of its schedule; zero: it has none
	Paused  bool         // by a person
	Refused bool         // its last run ended because a system refused its credentials
	Carried [2]time.Time // up to when each side's changes were all carried over; zero: never yet
	Holds   Waits
	Asks    Waits // conflicts
}

// Waits counts what waits by how long it has done so.
type Waits struct {
	Count  [len(Ages) + 1]int64 // by the first of Ages that it is younger than, the rest last
	Oldest time.Time            // zero: nothing waits
}

// Ages are the bounds between the counts of Waits.
var Ages = [...]time.Duration{time.Hour, 24 * time.Hour, 7 * 24 * time.Hour}

func (w *Waits) add(since, now time.Time) {
	if w.Oldest.IsZero() || since.Before(w.Oldest) {
		w.Oldest = since
	}
	i := 0
	for i < len(Ages) && now.Sub(since) >= Ages[i] {
		i++
	}
	w.Count[i]++
}

// Read fills in what the store knows of syncs, which are given by their names and their sides' names.
func Read(ctx context.Context, store engine.Store, now time.Time, vitals []Vital) error {
	known, err := store.Syncs(ctx)
	if err != nil {
		return err
	}
	at := map[string]*Vital{}
	for i := range vitals {
		v := &vitals[i]
		at[v.Sync] = v
		b, err := store.Book(ctx, v.Sync, [2][]string{}, 0)
		if err != nil {
			return err
		}
		for _, s := range record.Sides {
			c, _, err := b.Cursor(ctx, s)
			if err != nil {
				return err
			}
			v.Carried[s] = c.At
		}
	}
	for _, k := range known {
		if v := at[k.Sync]; v != nil {
			v.SyncStatus = k
		}
	}
	return store.Waiting(ctx, "", func(w engine.Waiting) error {
		switch {
		case w.Hold != nil && at[w.Hold.Sync] != nil:
			at[w.Hold.Sync].Holds.add(w.Hold.Since, now)
		case w.Conflict != nil && w.Choice == nil && at[w.Conflict.Sync] != nil:
			at[w.Conflict.Sync].Asks.add(w.Conflict.Since, now)
		}
		return nil
	})
}
