package mapping

import (
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/fieldsync/fieldsync/engine/schedule"
)

// schedules reads when a sync runs.
func (l *loader) schedules(s *Sync, attrs hcl.Attributes) {
	if a := attrs["timezone"]; a != nil {
		if zone, ok := l.zone(a.Expr); ok {
			s.Timezone = zone
		}
	}
	for name, to := range map[string]*string{"schedule": &s.Schedule, "full_scan": &s.FullScan} {
		a := attrs[name]
		if a == nil {
			continue
		}
		w, ok := l.text(a.Expr)
		if !ok || w == "none" || w == "" {
			continue
		}
		if _, err := schedule.Parse(w, s.Timezone); err != nil {
			l.fail(a.Expr.Range(), "Not a schedule", "%s. Schedules look like \"*/5 * * * *\" or \"@every 30s\".", capital(err.Error()))
			continue
		}
		*to = w
	}
}

// zone evaluates e as the name of a time zone.
func (l *loader) zone(e hcl.Expression) (*time.Location, bool) {
	name, ok := l.text(e)
	if !ok {
		return nil, false
	}
	zone, err := time.LoadLocation(name)
	if err != nil || name == "" {
		l.fail(e.Range(), "Unknown time zone", "There is no time zone %q. Write a name of the IANA list, such as \"Europe/Brussels\" or \"UTC\".", name)
		return nil, false
	}
	return zone, true
}

// capital makes a sentence of what starts with a small letter.
func capital(s string) string { return strings.ToUpper(s[:min(1, len(s))]) + s[min(1, len(s)):] }

// order reads the after arguments and refuses circles.
func (l *loader) order(after map[*Sync]hcl.Expression) {
	names := make([]string, len(l.cfg.Syncs))
	for i, s := range l.cfg.Syncs {
		names[i] = s.Name
	}
	for _, s := range l.cfg.Syncs {
		e := after[s]
		if e == nil {
			continue
		}
		list, diags := hcl.ExprList(e)
		if diags.HasErrors() {
			l.fail(e.Range(), "List of syncs expected", "Write the syncs that this one follows in brackets: after = [sync.NAME].")
			continue
		}
		for _, item := range list {
			if name, ok := l.reference(item, "sync", names); ok && !slices.Contains(s.After, name) {
				s.After = append(s.After, name)
			}
		}
	}
	for _, s := range l.cfg.Syncs {
		if circle := l.circle(s, s, nil, map[*Sync]bool{}); circle != nil {
			l.fail(after[s].Range(), "Syncs in a circle", "Sync %s waits for itself: %s. Remove one of these from after.", s.Name, strings.Join(circle, " after "))
			return
		}
	}
}

// circle finds the way from s back to start along after.
func (l *loader) circle(start, s *Sync, way []string, been map[*Sync]bool) []string {
	way = append(slices.Clone(way), s.Name)
	been[s] = true
	for _, name := range s.After {
		next, ok := l.cfg.Sync(name)
		switch {
		case !ok:
		case next == start:
			return append(way, name)
		case !been[next]:
			if c := l.circle(start, next, way, been); c != nil {
				return c
			}
		}
	}
	return nil
}
