package schedule_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fieldsync/fieldsync/engine/schedule"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func TestNextFollowsTheWallClockThroughItsChanges(t *testing.T) {
	// Brussels 2027: 28 March 02:00 becomes 03:00, 31 October 03:00 becomes 02:00.
	// São Paulo 2018: 4 November 00:00 becomes 01:00.
	tests := []struct {
		name, spec, zone, from string
		want                   []string
	}{
		{"an ordinary day", "30 2 * * *", "Europe/Brussels", "2027-03-01T00:00:00+01:00", []string{"2027-03-01T02:30:00+01:00", "2027-03-02T02:30:00+01:00"}},
		{"a run in the missing hour is made up right after it", "30 2 * * *", "Europe/Brussels", "2027-03-27T02:30:00+01:00",
			[]string{"2027-03-28T03:00:00+02:00", "2027-03-29T02:30:00+02:00"}},
		{"two runs in the missing hour are one", "15,45 2 * * *", "Europe/Brussels", "2027-03-27T02:45:00+01:00",
			[]string{"2027-03-28T03:00:00+02:00", "2027-03-29T02:15:00+02:00"}},
		{"a run at the end of the missing hour is that run", "30 2,3 * * *", "Europe/Brussels", "2027-03-28T00:00:00+01:00",
			[]string{"2027-03-28T03:00:00+02:00", "2027-03-28T03:30:00+02:00"}},
		{"a run in the repeated hour is made once", "30 2 * * *", "Europe/Brussels", "2027-10-30T02:30:00+02:00",
			[]string{"2027-10-31T02:30:00+02:00", "2027-11-01T02:30:00+01:00"}},
		{"nor again when the search starts in the second of the hours", "30 2 * * *", "Europe/Brussels", "2027-10-31T02:10:00+01:00",
			[]string{"2027-11-01T02:30:00+01:00"}},
		{"named hours of the day are not doubled", "0 */2 * * *", "Europe/Brussels", "2027-10-31T00:00:00+02:00",
			[]string{"2027-10-31T02:00:00+02:00", "2027-10-31T04:00:00+01:00"}},
		{"named hours of the day are not skipped", "0 */2 * * *", "Europe/Brussels", "2027-03-28T00:00:00+01:00",
			[]string{"2027-03-28T03:00:00+02:00", "2027-03-28T04:00:00+02:00"}},
		{"every ten minutes goes on through the missing hour", "*/10 * * * *", "Europe/Brussels", "2027-03-28T01:45:00+01:00",
			[]string{"2027-03-28T01:50:00+01:00", "2027-03-28T03:00:00+02:00", "2027-03-28T03:10:00+02:00"}},
		{"every half hour goes on through both of the hours", "*/30 * * * *", "Europe/Brussels", "2027-10-31T02:00:00+02:00",
			[]string{"2027-10-31T02:30:00+02:00", "2027-10-31T02:00:00+01:00", "2027-10-31T02:30:00+01:00", "2027-10-31T03:00:00+01:00"}},
		{"every hour counts both", "5 * * * *", "Europe/Brussels", "2027-10-31T01:30:00+02:00",
			[]string{"2027-10-31T02:05:00+02:00", "2027-10-31T02:05:00+01:00", "2027-10-31T03:05:00+01:00"}},
		{"a midnight that does not exist", "0 0 * * *", "America/Sao_Paulo", "2018-11-03T00:00:00-03:00",
			[]string{"2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"}},
		{"a shorthand at such a midnight", "@daily", "America/Sao_Paulo", "2018-11-03T12:00:00-03:00",
			[]string{"2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"}},
		{"every ten minutes past such a midnight", "*/10 * * * *", "America/Sao_Paulo", "2018-11-03T23:45:00-03:00",
			[]string{"2018-11-03T23:50:00-03:00", "2018-11-04T01:00:00-02:00"}},
		{"a midnight that comes twice", "30 23 * * *", "America/Sao_Paulo", "2018-02-17T12:00:00-02:00",
			[]string{"2018-02-17T23:30:00-02:00", "2018-02-18T23:30:00-03:00"}},
		{"a change of half an hour", "15 2 * * *", "Australia/Lord_Howe", "2027-10-02T12:00:00+10:30",
			[]string{"2027-10-03T02:30:00+11:00", "2027-10-04T02:15:00+11:00"}},
		{"day of month and day of week are either", "0 0 13 * 5", "UTC", "2027-08-01T00:00:00Z",
			[]string{"2027-08-06T00:00:00Z", "2027-08-13T00:00:00Z", "2027-08-20T00:00:00Z"}},
		{"29 February eight years away", "0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", []string{"2104-02-29T00:00:00Z"}},
		{"every so often", "@every 90s", "Europe/Brussels", "2027-10-31T02:59:00.7+02:00", []string{"2027-10-31T02:00:30+01:00", "2027-10-31T02:02:00+01:00"}},
		{"every second and a half", "@every 1500ms", "UTC", "2027-03-01T00:00:00.5Z", []string{"2027-03-01T00:00:02Z"}},
		{"weekly", "@weekly", "UTC", "2027-03-01T00:00:00Z", []string{"2027-03-07T00:00:00Z"}},
		{"names", "0 9 * jan mon-fri", "UTC", "2027-01-01T10:00:00Z", []string{"2027-01-04T09:00:00Z"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := schedule.Parse(tt.spec, zone(t, tt.zone))
			if err != nil {
				t.Fatal(err)
			}
			at, err := time.Parse(time.RFC3339Nano, tt.from)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range tt.want {
				at = s.Next(at)
				if got := at.In(zone(t, tt.zone)).Format(time.RFC3339); got != w {
					t.Fatalf("got %s, want %s", got, w)
				}
			}
		})
	}
}

func TestParseRefusesWithAWayOut(t *testing.T) {
	for spec, say := range map[string]string{
		"":                                 "five fields",
		"   ":                              "five fields",
		"* * * *":                          "has 4 fields",
		"0 0 0 * * *":                      "has 6 fields",
		"61 * * * *":                       "61",
		"0 0 30 2 *":                       "never due",
		"0 0 31 4,6 *":                     "never due",
		", * * * *":                        "never due",
		"0 0 * * 7":                        "Sunday is 0",
		"0 0 L * *":                        "name the days",
		"0 0 * * 5#2":                      "name the days",
		"*/0 * * * *":                      "positive",
		"5-1 * * * *":                      "range",
		"TZ=":                              "timezone",
		"CRON_TZ=":                         "timezone",
		"TZ=Europe/Berlin":                 "timezone",
		"CRON_TZ=Europe/Berlin 30 2 * * *": "timezone",
		"@every 500ms":                     "@every 1s",
		"@every -1s":                       "@every 1s",
		"@every":                           "@every 10m",
		"@every soon":                      "@every 10m",
		"@reboot":                          "@hourly",
	} {
		_, err := schedule.Parse(spec, nil)
		if err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("%q: %v, want %q in it", spec, err, say)
		}
	}
}

func TestTheZeroScheduleIsNeverDue(t *testing.T) {
	if next := (schedule.Schedule{}).Next(time.Now()); !next.IsZero() {
		t.Errorf("due at %v", next)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"*/5 * * * *", "@every 1s", "TZ=", "CRON_TZ=x y", "0 0 29 2 *", "1-5/2,7 ? jan * sun", "99999999999999999999 * * * *", "*/18446744073709551615 * * * *"} {
		f.Add(s)
	}
	loc := zone(f, "Europe/Brussels")
	f.Fuzz(func(t *testing.T, spec string) {
		s, err := schedule.Parse(spec, loc)
		if err != nil {
			return
		}
		at := time.Date(2027, 3, 27, 0, 0, 0, 0, time.UTC)
		for range 5 {
			next := s.Next(at)
			if !next.After(at) {
				t.Fatalf("%q: %v is not after %v", spec, next, at)
			}
			at = next
		}
	})
}

// A spec that names hours is due, on every local day, exactly once for each of its wall times, however the
// clocks change; runs that fall into one gap may be one.
func TestEveryDayHasItsRuns(t *testing.T) {
	zones := []string{"Europe/Brussels", "America/Sao_Paulo", "Australia/Lord_Howe", "America/New_York", "Asia/Tehran", "Africa/Cairo", "America/Havana", "UTC"}
	rapid.Check(t, func(rt *rapid.T) {
		loc := zone(t, rapid.SampledFrom(zones).Draw(rt, "zone"))
		hour, minute := rapid.IntRange(0, 23).Draw(rt, "hour"), rapid.IntRange(0, 59).Draw(rt, "minute")
		year := rapid.IntRange(2005, 2028).Draw(rt, "year")
		s, err := schedule.Parse(strings.Join([]string{strconv.Itoa(minute), strconv.Itoa(hour), "* * *"}, " "), loc)
		if err != nil {
			rt.Fatal(err)
		}
		day := time.Date(year, 1, 1, 12, 0, 0, 0, time.UTC)
		at := s.Next(time.Date(year-1, 12, 31, 23, 59, 59, 0, loc))
		for ; day.Year() == year; day = day.AddDate(0, 0, 1) {
			local := at.In(loc)
			if local.Day() != day.Day() || local.Month() != day.Month() {
				rt.Fatalf("%v instead of a run on %v", local, day.Format(time.DateOnly))
			}
			at = s.Next(at)
		}
	})
}

// A spec that recurs is never silent for longer than its interval.
func TestRecurringRunsLeaveNoHole(t *testing.T) {
	loc := zone(t, "Europe/Brussels")
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.SampledFrom([]int{1, 2, 5, 10, 15, 20, 30}).Draw(rt, "minutes")
		s, err := schedule.Parse("*/"+strconv.Itoa(n)+" * * * *", loc)
		if err != nil {
			rt.Fatal(err)
		}
		day := rapid.SampledFrom([]time.Time{time.Date(2027, 3, 27, 22, 0, 0, 0, time.UTC), time.Date(2027, 10, 30, 22, 0, 0, 0, time.UTC)}).Draw(rt, "day")
		at := s.Next(day)
		for range 8 * 60 / n {
			next := s.Next(at)
			if next.Sub(at) != time.Duration(n)*time.Minute {
				rt.Fatalf("from %v to %v", at, next)
			}
			at = next
		}
	})
}
