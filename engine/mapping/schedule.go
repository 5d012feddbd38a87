package mapping

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/robfig/cron/v3"
)

// schedules reads when a sync runs.
func (l *loader) schedules(s *Sync, attrs hcl.Attributes) {
	if a := attrs["timezone"]; a != nil {
		if name, ok := l.text(a.Expr); ok {
			zone, err := time.LoadLocation(name)
			if err != nil || name == "" {
				l.fail(a.Expr.Range(), "Unknown time zone", "There is no time zone %q. Write a name of the IANA list, such as \"Europe/Brussels\" or \"UTC\".", name)
			} else {
				s.Timezone = zone
			}
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
		if why := checkCron(w); why != "" {
			l.fail(a.Expr.Range(), "Not a schedule", "%s Write minute, hour, day of month, month and day of week, such as \"*/5 * * * *\", or \"@every 30s\".", why)
			continue
		}
		*to = w
	}
}

// checkCron says what is wrong with a cron expression, or "".
func checkCron(spec string) (why string) {
	// The parser panics on some texts that are nothing like a schedule, such as a zone without a schedule.
	defer func() {
		if r := recover(); r != nil {
			why = fmt.Sprintf("%q is not a cron expression.", spec)
		}
	}()
	if strings.HasPrefix(spec, "TZ=") || strings.HasPrefix(spec, "CRON_TZ=") {
		return "A schedule has no zone inside; write timezone = \"…\" beside it."
	}
	if d, ok := strings.CutPrefix(spec, "@every "); ok {
		every, err := time.ParseDuration(strings.TrimSpace(d))
		if err != nil {
			return fmt.Sprintf("%q is not a length of time.", d)
		}
		if every < time.Second {
			return "@every needs at least one second."
		}
	}
	fields := strings.Fields(spec)
	if len(fields) == 5 {
		switch day := fields[4]; {
		case strings.Contains(day, "L") || strings.Contains(fields[2], "L"):
			return "The last day of something (L) cannot be written in a schedule."
		case slices.Contains(strings.FieldsFunc(day, func(r rune) bool { return r == ',' || r == '-' }), "7"):
			return "Days of the week are 0 (Sunday) to 6 (Saturday); write 0 for Sunday."
		}
	}
	sched, err := cron.ParseStandard(spec)
	if err != nil {
		return fmt.Sprintf("%q cannot be read: %v.", spec, err)
	}
	// Four years and a bit hold every date there is, the 29th of February too, save around 2100.
	if sched.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return fmt.Sprintf("%q never comes: there is no such date.", spec)
	}
	return ""
}

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
