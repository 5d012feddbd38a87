package schedule

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// A Schedule says when something is due. The zero Schedule is never due.
//
// Specs come in two sorts. Those that name hours (30 2 * * *) follow the wall clock: each wall time that matches
// is due once a day, whatever the clocks do. A time that the spring change leaves out is due right after the
// gap; one that the autumn change repeats is due the first time only. Those that recur through the day
// (*/5 * * * *, 0 * * * *, @every) follow the time that passes: no turn is left out or doubled by a change.
type Schedule struct {
	spec  *cron.SpecSchedule // in UTC, fed with wall times dressed up as UTC; nil for @every
	every time.Duration
	fixed bool // follows the wall clock
	loc   *time.Location
}

// shorthands are the @ forms that stand for five fields.
var shorthands = map[string]string{
	"@hourly":   "0 * * * *",
	"@daily":    "0 0 * * *",
	"@midnight": "0 0 * * *",
	"@weekly":   "0 0 * * 0",
	"@monthly":  "0 0 1 * *",
	"@yearly":   "0 0 1 1 *",
	"@annually": "0 0 1 1 *",
}

// reference is where the search for a first due time starts when a spec is read: the start of a leap year, so
// that a spec for 29 February is not taken for one that never fires.
var reference = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// Parse reads a spec of five fields, or @every with a duration of a second or more, or @hourly, @daily, @weekly,
// @monthly, @yearly. Times are those of loc; nil means UTC. The error says what to write instead.
func Parse(spec string, loc *time.Location) (Schedule, error) {
	if loc == nil {
		loc = time.UTC
	}
	spec = strings.TrimSpace(spec)
	switch {
	case spec == "":
		return Schedule{}, errors.New(`the schedule is empty; write five fields such as "*/5 * * * *", or @every 10m`)
	case strings.HasPrefix(spec, "TZ="), strings.HasPrefix(spec, "CRON_TZ="):
		return Schedule{}, errors.New("a time zone does not belong into the schedule; give it as the timezone of the sync")
	case strings.HasPrefix(spec, "@every"):
		return parseEvery(strings.TrimSpace(strings.TrimPrefix(spec, "@every")))
	case strings.HasPrefix(spec, "@"):
		fields, ok := shorthands[strings.ToLower(spec)]
		if !ok {
			return Schedule{}, fmt.Errorf("%q is not known; write @every 10m, @hourly, @daily, @weekly, @monthly or @yearly", spec)
		}
		spec = fields
	}
	fields := strings.Fields(spec)
	if len(fields) != 5 {
		return Schedule{}, fmt.Errorf("%q has %d fields, not the five of minute, hour, day of month, month and day of week", spec, len(fields))
	}
	parsed, err := parseFields(spec)
	if err != nil {
		return Schedule{}, explain(spec, fields, err)
	}
	s := Schedule{spec: parsed, loc: loc, fixed: !recurs(fields)}
	if s.Next(reference).IsZero() {
		return Schedule{}, fmt.Errorf("%q is never due: no such day comes round", spec)
	}
	return s, nil
}

func parseEvery(text string) (Schedule, error) {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return Schedule{}, fmt.Errorf("@every %s: write a duration such as @every 10m or @every 1h30m", text)
	case d < time.Second:
		return Schedule{}, fmt.Errorf("@every %s: the shortest is @every 1s", text)
	}
	return Schedule{every: d, loc: time.UTC}, nil
}

// parseFields is the library's parser, which panics on some texts.
func parseFields(spec string) (parsed *cron.SpecSchedule, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("it cannot be read")
		}
	}()
	s, err := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow).Parse(spec)
	if err != nil {
		return nil, err
	}
	parsed, ok := s.(*cron.SpecSchedule)
	if !ok {
		return nil, errors.New("it cannot be read")
	}
	parsed.Location = time.UTC
	return parsed, nil
}

// explain adds the way out to what the parser says.
func explain(spec string, fields []string, err error) error {
	day := strings.ToLower(fields[4])
	hint := ""
	switch {
	case strings.ContainsAny(strings.ToLower(fields[2]), "lw#") || strings.ContainsAny(day, "l#"):
		hint = "; L, W and # are not supported, name the days"
	case strings.Contains(day, "7"):
		hint = "; Sunday is 0"
	}
	return fmt.Errorf("%q: %w%s", spec, err, hint)
}

// recurs reports a spec that comes round within the hour or every hour, rather than at hours it names.
func recurs(fields []string) bool {
	star := func(f string) bool { return strings.HasPrefix(f, "*") || strings.HasPrefix(f, "?") }
	return star(fields[0]) || fields[1] == "*" || fields[1] == "?" || fields[1] == "*/1"
}

// Next returns the first due time after the given one, or the zero time.
func (s Schedule) Next(after time.Time) time.Time {
	after = after.Round(0) // due times are about the wall clock
	switch {
	case s.every > 0:
		if s.every%time.Second == 0 {
			after = after.Truncate(time.Second)
		}
		return after.Add(s.every).UTC()
	case s.spec == nil:
		return time.Time{}
	case s.fixed:
		return s.nextByWall(after)
	}
	return s.nextByTime(after)
}

// nextByWall walks the wall times that match, and gives the first whose instant is after the given one.
func (s Schedule) nextByWall(after time.Time) time.Time {
	w := wall(after.In(s.loc))
	for {
		w = s.search(w)
		if w.IsZero() {
			return time.Time{}
		}
		if t := s.instant(w); t.After(after) {
			return t
		}
	}
}

// nextByTime searches within one zone offset after the other, as they really pass.
func (s Schedule) nextByTime(after time.Time) time.Time {
	t := after.In(s.loc)
	from := wall(t)
	for {
		_, change := t.ZoneBounds()
		_, offset := t.Zone()
		w := s.search(from)
		if w.IsZero() {
			return time.Time{}
		}
		due := w.Add(-time.Duration(offset) * time.Second).In(s.loc)
		if change.IsZero() || due.Before(change) {
			return due
		}
		t = change.In(s.loc)
		from = wall(t).Add(-time.Nanosecond) // the instant of the change may be due itself
	}
}

// search is the library's Next, which gives up after five years; 29 February can be eight years away.
func (s Schedule) search(w time.Time) time.Time {
	for range 3 {
		if next := s.spec.Next(w); !next.IsZero() {
			return next
		}
		w = w.AddDate(4, 0, 0)
	}
	return time.Time{}
}

// wall is what the clock on the wall shows at t, dressed up as UTC, where no clock ever changes.
func wall(t time.Time) time.Time {
	_, offset := t.Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// instant is when the clock on the wall first shows w; the end of the gap when it never does.
func (s Schedule) instant(w time.Time) time.Time {
	t := time.Date(w.Year(), w.Month(), w.Day(), w.Hour(), w.Minute(), w.Second(), 0, s.loc)
	start, end := t.ZoneBounds()
	switch shown := wall(t); {
	case shown.After(w):
		return start
	case shown.Before(w):
		return end
	}
	if start.IsZero() {
		return t
	}
	_, before := start.Add(-time.Nanosecond).In(s.loc).Zone()
	if first := w.Add(-time.Duration(before) * time.Second); first.Before(start) {
		return first.In(s.loc)
	}
	return t
}
