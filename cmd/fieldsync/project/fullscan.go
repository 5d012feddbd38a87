package project

import (
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/schedule"
)

// fullEvery is how often both sides are read whole where a sync does not say.
const fullEvery = 24 * time.Hour

// fullSince is when a full scan of s was last due before now: a run makes one if the last began before that.
func fullSince(s *mapping.Sync, now time.Time) time.Time {
	if s.FullScan == "" {
		return now.Add(-fullEvery)
	}
	if d, ok := strings.CutPrefix(s.FullScan, "@every"); ok {
		if every, err := time.ParseDuration(strings.TrimSpace(d)); err == nil {
			return now.Add(-every)
		}
	}
	sched, err := schedule.Parse(s.FullScan, s.Timezone)
	if err != nil {
		return now.Add(-fullEvery) // the mapping has refused it, with its place
	}
	// A schedule only tells what comes next, so the last due time is looked for from further and further back.
	for back := time.Hour; back < 10*366*24*time.Hour; back *= 8 {
		var last time.Time
		for t := sched.Next(now.Add(-back)); !t.IsZero() && !t.After(now); t = sched.Next(t) {
			last = t
		}
		if !last.IsZero() {
			return last
		}
	}
	return time.Time{}
}
