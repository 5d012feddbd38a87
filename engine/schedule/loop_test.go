package schedule_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/engine/schedule"
)

// A diary notes what ran, when and why. Synctest's clock starts at midnight UTC on 1 January 2000.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) note(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, time.Now().UTC().Format("15:04:05 ")+fmt.Sprintf(format, args...))
}

// job makes a job that takes so long and ends with what errs gives for its n-th run.
func (d *diary) job(name, spec string, takes time.Duration, after ...string) schedule.Job {
	return schedule.Job{Name: name, Spec: spec, After: after, Run: func(ctx context.Context, trigger string) error {
		d.note("%s %s", name, trigger)
		select {
		case <-ctx.Done():
			d.note("%s cut short", name)
			return ctx.Err()
		case <-time.After(takes):
		}
		if takes > 0 {
			d.note("%s done", name)
		}
		return nil
	}}
}

func (d *diary) expect(t *testing.T, want ...string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if diff := cmp.Diff(want, d.lines); diff != "" {
		t.Error(diff)
	}
}

// during runs the loop with jobs, does what is given, and stops it.
func during(t *testing.T, l *schedule.Loop, jobs []schedule.Job, do func()) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error)
	go func() { ended <- l.Run(ctx, jobs) }()
	synctest.Wait()
	do()
	synctest.Wait()
	cancel()
	return <-ended
}

func TestJobsRunWhenDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		err := during(t, &schedule.Loop{}, []schedule.Job{d.job("a", "*/10 * * * *", 0), d.job("b", "@every 25m", 0)}, func() { time.Sleep(31 * time.Minute) })
		if err != nil {
			t.Error(err)
		}
		d.expect(t, "00:10:00 a schedule", "00:20:00 a schedule", "00:25:00 b schedule", "00:30:00 a schedule")
	})
}

func TestAJobNeverOverlapsItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		_ = during(t, &schedule.Loop{}, []schedule.Job{d.job("slow", "*/10 * * * *", 25*time.Minute)}, func() { time.Sleep(61 * time.Minute) })
		// What fell due during a run, twice, is done once, right after; at the stop the last one may finish only
		// within the grace.
		d.expect(t, "00:10:00 slow schedule", "00:35:00 slow done", "00:35:00 slow schedule", "01:00:00 slow done", "01:00:00 slow schedule", "01:01:30 slow cut short")
	})
}

func TestMissedRunsAreCaughtUpOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		l := &schedule.Loop{Last: func(job string) time.Time {
			switch job {
			case "missed": // many times
				return time.Now().Add(-48 * time.Hour)
			case "fresh":
				return time.Now().Add(-time.Minute)
			}
			return time.Time{}
		}}
		jobs := []schedule.Job{d.job("missed", "0 3 * * *", 0), d.job("fresh", "0 3 * * *", 0), d.job("never", "0 3 * * *", 0)}
		_ = during(t, l, jobs, func() { time.Sleep(4 * time.Hour) })
		slices.Sort(d.lines) // the three start in any order
		d.expect(t, "00:00:00 missed misfire", "03:00:00 fresh schedule", "03:00:00 missed schedule", "03:00:00 never schedule")
	})
}

func TestALongSleepIsOneMisfire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		var suspended atomic.Int64
		l := &schedule.Loop{Now: func() time.Time { return time.Now().Add(time.Duration(suspended.Load())) }}
		_ = during(t, l, []schedule.Job{d.job("a", "0 * * * *", 0)}, func() {
			time.Sleep(10*time.Minute + time.Second)
			suspended.Store(int64(5*time.Hour + 10*time.Minute)) // the machine wakes at 05:20 by its own clock
			time.Sleep(41 * time.Minute)
		})
		d.expect(t, "00:10:30 a misfire", "00:50:00 a schedule")
	})
}

func TestAFollowerRunsOnceWhenAllBeforeItAreDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		jobs := []schedule.Job{
			d.job("c", "", 0, "a", "b"),
			d.job("a", "0 * * * *", time.Minute),
			d.job("b", "0 * * * *", 5*time.Minute),
			d.job("last", "", 0, "c"),
		}
		_ = during(t, &schedule.Loop{}, jobs, func() { time.Sleep(70 * time.Minute) })
		d.lines = d.lines[2:] // a and b start in either order
		d.expect(t, "01:01:00 a done", "01:05:00 b done", "01:05:00 c after", "01:05:00 last after")
	})
}

func TestAFollowerOfAFollowerWaitsForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		jobs := []schedule.Job{d.job("a", "0 1 * * *", time.Minute), d.job("b", "", 2*time.Minute, "a"), d.job("c", "", 0, "a", "b")}
		_ = during(t, &schedule.Loop{}, jobs, func() { time.Sleep(70 * time.Minute) })
		d.expect(t, "01:00:00 a schedule", "01:01:00 a done", "01:01:00 b after", "01:03:00 b done", "01:03:00 c after")
	})
}

func TestAFollowerWithAScheduleHasBoth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		jobs := []schedule.Job{d.job("b", "0,30 1 * * *", 0, "a"), d.job("a", "0 1 * * *", time.Minute)}
		_ = during(t, &schedule.Loop{}, jobs, func() { time.Sleep(2 * time.Hour) })
		// Due together: a first, and b then runs for both reasons at once.
		d.expect(t, "01:00:00 a schedule", "01:01:00 a done", "01:01:00 b schedule", "01:30:00 b schedule")
	})
}

func TestAFollowerWaitsForAFailureToBeMended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		runs := 0
		a := schedule.Job{Name: "a", Spec: "0 * * * *", Run: func(context.Context, string) error {
			if runs++; runs == 1 {
				return errors.New("no route")
			}
			d.note("a")
			return nil
		}}
		l := &schedule.Loop{}
		_ = during(t, l, []schedule.Job{a, d.job("other", "0 * * * *", 0), d.job("b", "", 0, "a", "other"), d.job("c", "30 * * * *", 0, "b")}, func() {
			time.Sleep(65 * time.Minute)
			s := l.Status()
			if !s[2].Waiting || s[0].Err == nil {
				t.Errorf("status while a has failed: %+v", s)
			}
			time.Sleep(24 * time.Minute)
			d.expect(t, "00:30:00 c schedule", "01:00:00 other schedule")
			time.Sleep(2 * time.Minute) // c is due by itself and does not wait for b, which cannot run
			d.expect(t, "00:30:00 c schedule", "01:00:00 other schedule", "01:30:00 c schedule")
			time.Sleep(30 * time.Minute)
		})
		if got := strings.Join(d.lines[len(d.lines)-2:], ", "); got != "02:00:00 b after, 02:00:00 c after" {
			t.Errorf("after the mending: %v", d.lines)
		}
	})
}

func TestAPanicIsAnErrorOfThatRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		var out bytes.Buffer
		l := &schedule.Loop{Log: slog.New(slog.NewTextHandler(&out, nil))}
		runs := 0
		wild := schedule.Job{Name: "wild", Spec: "0 * * * *", Run: func(context.Context, string) error {
			if runs++; runs == 1 {
				panic("at the disco")
			}
			d.note("wild again")
			return nil
		}}
		_ = during(t, l, []schedule.Job{wild}, func() {
			time.Sleep(61 * time.Minute)
			if s := l.Status()[0]; s.Err == nil || !s.Running.IsZero() {
				t.Errorf("after the panic: %+v", s)
			}
			time.Sleep(60 * time.Minute)
		})
		d.expect(t, "02:00:00 wild again")
		if log := out.String(); !strings.Contains(log, "at the disco") || !strings.Contains(log, "loop_test.go") || strings.Count(log, "\n") != 1 {
			t.Errorf("log: %s", log)
		}
	})
}

func TestTriggerRunsNowOrRightAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		l := &schedule.Loop{}
		_ = during(t, l, []schedule.Job{d.job("a", "", time.Minute), d.job("b", "", 0, "a")}, func() {
			time.Sleep(time.Hour)
			for range 3 {
				if err := l.Trigger("a"); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Second)
			}
			time.Sleep(5 * time.Minute)
			if err := l.Trigger("nobody"); err == nil {
				t.Error("a job that does not exist was triggered")
			}
		})
		d.expect(t, "01:00:00 a request", "01:01:00 a done", "01:01:00 a request", "01:02:00 a done", "01:02:00 b after")
	})
}

func TestAPausedJobRunsOnlyOnRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		l := &schedule.Loop{}
		_ = during(t, l, []schedule.Job{d.job("a", "0 * * * *", 0), d.job("b", "", 0, "a")}, func() {
			l.Pause("a", true)
			time.Sleep(90 * time.Minute)
			if !l.Status()[0].Paused {
				t.Error("not shown as paused")
			}
			l.Pause("b", true)
			_ = l.Trigger("a")
			time.Sleep(time.Minute)
			l.Pause("a", false)
			l.Pause("b", false)
			time.Sleep(30 * time.Minute)
		})
		d.expect(t, "01:30:00 a request", "02:00:00 a schedule", "02:00:00 b after")
	})
}

func TestAChangeThatIsToldRunsAJobUnlessItIsPaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		l := &schedule.Loop{}
		_ = during(t, l, []schedule.Job{d.job("a", "0 * * * *", time.Minute)}, func() {
			wake := func() {
				if err := l.Wake("a"); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Second)
			}
			time.Sleep(10 * time.Minute)
			for range 1000 {
				if err := l.Wake("a"); err != nil { // a burst is one run, and one more for what came while it ran
					t.Error(err)
				}
			}
			time.Sleep(time.Second)
			wake()
			wake()
			time.Sleep(9 * time.Minute)
			l.Pause("a", true)
			wake()
			l.Pause("a", false)
			time.Sleep(9*time.Minute - time.Second)
			l.Pause("a", true)
			_ = l.Trigger("a")
			wake() // somebody asked: that counts
			if err := l.Wake("nobody"); err == nil {
				t.Error("a job that does not exist was woken")
			}
			time.Sleep(2 * time.Minute)
		})
		d.expect(t, "00:10:00 a push", "00:11:00 a done", "00:11:00 a push", "00:12:00 a done", "00:28:03 a request", "00:29:03 a done")
	})
}

func TestARunThatFindsNothingToDoIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		l := &schedule.Loop{}
		idle := d.job("a", "", 0)
		idle.Run = func(context.Context, string) error { d.note("a idle"); return schedule.ErrIdle }
		_ = during(t, l, []schedule.Job{idle, d.job("b", "", 0, "a")}, func() {
			_ = l.Wake("a")
			time.Sleep(time.Minute)
			if s := l.Status()[0]; s.Err != nil {
				t.Errorf("it failed with %v", s.Err)
			}
		})
		d.expect(t, "00:00:00 a idle")
	})
}

func TestReplaceLetsRunningJobsFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		var out bytes.Buffer
		l := &schedule.Loop{Log: slog.New(slog.NewTextHandler(&out, nil))}
		_ = during(t, l, []schedule.Job{d.job("a", "0 * * * *", 20*time.Minute), d.job("gone", "0 * * * *", time.Minute)}, func() {
			time.Sleep(60*time.Minute + time.Second)
			second := d.job("a", "*/10 * * * *", 0)
			run := second.Run
			second.Run = func(ctx context.Context, trigger string) error { d.note("second"); return run(ctx, trigger) }
			l.Replace([]schedule.Job{second})
			if s := l.Status(); len(s) != 2 || s[0].Running.IsZero() || s[1].Name != "gone" {
				t.Errorf("status: %+v", s)
			}
			l.Replace([]schedule.Job{{Name: "a", Spec: "never"}})
			time.Sleep(30 * time.Minute)
		})
		if !strings.Contains(out.String(), "the old ones stay") {
			t.Errorf("log: %s", out.String())
		}
		d.lines = d.lines[2:]
		d.expect(t, "01:01:00 gone done", "01:20:00 a done", "01:20:00 second", "01:20:00 a schedule", "01:30:00 second", "01:30:00 a schedule")
	})
}

func TestReplaceKeepsDueTimesOfUnchangedJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		l := &schedule.Loop{}
		jobs := []schedule.Job{d.job("a", "@every 1h", 0)}
		_ = during(t, l, jobs, func() {
			for range 9 {
				time.Sleep(7 * time.Minute)
				l.Replace(jobs)
			}
		})
		d.expect(t, "01:00:00 a schedule")
	})
}

func TestAStopWaitsForRunningJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		l := &schedule.Loop{Grace: 10 * time.Minute}
		err := during(t, l, []schedule.Job{d.job("short", "0 * * * *", 5*time.Minute), d.job("follower", "", 0, "short"), d.job("long", "", time.Hour)}, func() {
			time.Sleep(60 * time.Minute)
			_ = l.Trigger("long")
			time.Sleep(time.Second)
		})
		if err != nil {
			t.Error(err)
		}
		d.lines = d.lines[2:]
		// Nothing starts after the stop, not even the follower.
		d.expect(t, "01:05:00 short done", "01:10:01 long cut short")
	})
}

func TestAJobThatIgnoresItsContextIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		deaf := schedule.Job{Name: "deaf", Run: func(context.Context, string) error { time.Sleep(time.Hour); return nil }}
		l := &schedule.Loop{}
		err := during(t, l, []schedule.Job{deaf}, func() { _ = l.Trigger("deaf") })
		if err == nil || !strings.Contains(err.Error(), "deaf") {
			t.Errorf("got %v", err)
		}
		time.Sleep(2 * time.Hour)
	})
}

func TestStatusShowsDueTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		l := &schedule.Loop{}
		_ = during(t, l, []schedule.Job{d.job("a", "30 0 * * *", time.Minute), d.job("b", "", 0, "a")}, func() {
			time.Sleep(30*time.Minute + time.Second)
			half := time.Date(2000, 1, 1, 0, 30, 0, 0, time.UTC)
			got := l.Status()
			want := []schedule.Status{{Name: "a", Next: half.AddDate(0, 0, 1), Running: half, Last: half}, {Name: "b"}}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	})
}

func TestCheckRefusesJobsThatCannotWork(t *testing.T) {
	job := func(name string, after ...string) schedule.Job { return schedule.Job{Name: name, After: after} }
	for say, jobs := range map[string][]schedule.Job{
		"a after b after c after a": {job("a", "b"), job("b", "c"), job("c", "a")},
		"follows itself":            {job("a", "a")},
		"does not exist":            {job("a", "b")},
		"two of this name":          {job("a"), job("a")},
		"never due":                 {{Name: "a", Spec: "0 0 30 2 *"}},
	} {
		if err := schedule.Check(jobs); err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("%v: want %q in it", err, say)
		}
		if err := (&schedule.Loop{}).Run(t.Context(), jobs); err == nil {
			t.Errorf("ran: %s", say)
		}
	}
	if err := schedule.Check([]schedule.Job{job("d", "b", "c"), job("b", "a"), job("c", "a"), job("a")}); err != nil {
		t.Errorf("a diamond is no circle: %v", err)
	}
}

func TestASystemThatTellsAgainAndAgainIsHeardTwiceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		l := &schedule.Loop{}
		_ = during(t, l, []schedule.Job{d.job("a", "", 0)}, func() {
			for range 1400 { // for nearly three seconds
				if err := l.Wake("a"); err != nil {
					t.Error(err)
				}
				time.Sleep(2 * time.Millisecond)
			}
			time.Sleep(time.Minute)
		})
		d.mu.Lock()
		defer d.mu.Unlock()
		if n := len(d.lines); n != 7 {
			t.Errorf("it ran %d times, want once at once and six times after that: %q", n, d.lines)
		}
	})
}

func TestAReminderWakesAJobOnlyWhereNothingElseWill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		l := &schedule.Loop{}
		_ = during(t, l, []schedule.Job{d.job("a", "", 2500*time.Millisecond), d.job("b", "", 0)}, func() {
			l.Pause("b", true)
			for range 6 { // as who looks every second does, while it runs and after that
				l.Remind("a")
				l.Remind("b")
				l.Remind("nobody")
				time.Sleep(time.Second)
			}
		})
		d.expect(t, "00:00:00 a push", "00:00:02 a done", "00:00:03 a push", "00:00:05 a done")
	})
}
