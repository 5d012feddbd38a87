// Package schedule starts jobs when their cron expressions say so, or when the jobs they follow have ended.
//
// It knows nothing of what a job does. [Loop.Run] starts jobs until its context ends; [Parse] reads a spec. One
// job never overlaps itself: what falls due while it runs is done once, right after. Due times missed while
// the process was down or the machine asleep are caught up once. A panic in a job is an error of that run,
// nothing more. Bad specs and circles of After are errors of [Check], never panics.
package schedule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Job is something to run.
type Job struct {
	Name     string
	Spec     string         // for Parse; "" for a job that only follows others or is triggered
	Location *time.Location // of Spec; nil means UTC
	// After names the jobs that this one follows. It runs once they have ended well: after every such run of
	// one of them, but not while another is running or due, nor while the last run of one has failed. With a
	// Spec as well it runs for either reason; when due it still waits for those that are running or due.
	After []string
	// Run does it, and logs what went wrong; the loop logs only panics, and shows the error in Status. Its
	// context ends when the loop's grace after a stop is over.
	Run func(ctx context.Context, trigger string) error
}

// Why a job is run, as Job.Run is told.
const (
	OnSchedule = "schedule"
	OnMisfire  = "misfire" // due some time ago, while nobody was there to start it
	OnAfter    = "after"   // the jobs it follows have ended
	OnRequest  = "request" // somebody called Trigger
	OnPush     = "push"    // a system told of a change: Wake was called
)

// A Loop runs jobs. Its fields are read only, once Run was called.
type Loop struct {
	Now   func() time.Time           // nil: time.Now
	Log   *slog.Logger               // nil: silent
	Last  func(job string) time.Time // last start remembered from earlier processes; zero: never; may be nil
	Ready func()                     // called once, when jobs can be triggered; may be nil
	Grace time.Duration              // how long running jobs may go on after a stop before their context ends; 0: 30 s

	mu      sync.Mutex
	entries []*entry // in the order of the jobs
	leaving []*entry // replaced jobs that still run
	jobs    context.Context
	wake    chan struct{}
	running sync.WaitGroup
}

// An entry is a job and where it stands.
type entry struct {
	job      Job
	schedule Schedule
	next     time.Time // zero: not scheduled
	queued   string    // the trigger it waits to be started with; "" for none
	running  time.Time // since; zero: not running
	last     time.Time // start of the last run
	err      error     // of the last run that ended
	paused   bool
}

// Status is where a job stands.
type Status struct {
	Name    string
	Next    time.Time // zero: only after others, or on request
	Running time.Time // since; zero: not running
	Last    time.Time // start of the last run; zero: never
	Err     error     // of the last run in this process
	Waiting bool      // due, but the jobs it follows are not done, or one has failed
	Paused  bool
}

const (
	late  = time.Minute      // due longer ago than this is a misfire
	doze  = 30 * time.Second // the longest sleep: a timer does not notice that the machine was suspended
	grace = 30 * time.Second
	// breath is how soon after the last run began a job is run once more because it was woken: of a system that tells
	// again and again, each run looks at what came together.
	breath = 500 * time.Millisecond
)

var errUnknown = errors.New("no such job")

// ErrIdle is what a job returns that found nothing to do: it counts as if it had not been run.
var ErrIdle = errors.New("there was nothing to do")

// Check says what is wrong with jobs: a name used twice, a bad spec, an After that names nothing or leads in a
// circle.
func Check(jobs []Job) error {
	_, err := prepare(jobs)
	return err
}

func prepare(jobs []Job) ([]*entry, error) {
	entries := make([]*entry, len(jobs))
	byName := make(map[string]*entry, len(jobs))
	for i, j := range jobs {
		e := &entry{job: j}
		if byName[j.Name] != nil {
			return nil, fmt.Errorf("job %s: there are two of this name", j.Name)
		}
		if j.Spec != "" {
			s, err := Parse(j.Spec, j.Location)
			if err != nil {
				return nil, fmt.Errorf("job %s: %w", j.Name, err)
			}
			e.schedule = s
		}
		entries[i], byName[j.Name] = e, e
	}
	done := map[string]bool{}
	var follow func(name string, path []string) error
	follow = func(name string, path []string) error {
		if slices.Contains(path, name) {
			return fmt.Errorf("job %s follows itself: %s", name, strings.Join(append(path, name), " after "))
		}
		if done[name] {
			return nil
		}
		for _, before := range byName[name].job.After {
			if byName[before] == nil {
				return fmt.Errorf("job %s follows %s, which does not exist", name, before)
			}
			if err := follow(before, append(path, name)); err != nil {
				return err
			}
		}
		done[name] = true
		return nil
	}
	for _, j := range jobs {
		if err := follow(j.Name, nil); err != nil {
			return nil, err
		}
	}
	return entries, nil
}

// Run starts jobs until ctx ends, then waits for those that run. After Grace their contexts end too; those
// that do not return within another Grace are named in the error.
func (l *Loop) Run(ctx context.Context, jobs []Job) error {
	entries, err := prepare(jobs)
	if err != nil {
		return err
	}
	jobsCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	l.mu.Lock()
	if l.wake != nil {
		l.mu.Unlock()
		return errors.New("the loop is running already")
	}
	l.wake = make(chan struct{}, 1)
	l.jobs = jobsCtx
	for _, e := range entries {
		l.first(e)
	}
	l.entries = entries
	l.mu.Unlock()
	if l.Ready != nil {
		l.Ready()
	}

	for ctx.Err() == nil {
		timer := time.NewTimer(l.turn())
		select {
		case <-ctx.Done():
		case <-l.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
	return l.stop(cancel)
}

func (l *Loop) stop(cancel context.CancelFunc) error {
	l.mu.Lock()
	l.jobs = nil // nothing starts any more
	l.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		l.running.Wait()
		close(ended)
	}()
	wait := l.Grace
	if wait == 0 {
		wait = grace
	}
	for range 2 {
		timer := time.NewTimer(wait)
		select {
		case <-ended:
			timer.Stop()
			return nil
		case <-timer.C:
			cancel()
		}
	}
	var names []string
	for _, s := range l.Status() {
		if !s.Running.IsZero() {
			names = append(names, s.Name)
		}
	}
	return fmt.Errorf("stopped while still running: %s", strings.Join(names, ", "))
}

// turn queues what is due, starts what may start, and returns how long to sleep.
func (l *Loop) turn() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	for _, e := range l.entries {
		if e.next.IsZero() || e.next.After(now) {
			continue
		}
		if !e.paused && e.queued != OnRequest {
			e.queued = OnSchedule
			if e.running.IsZero() && now.Sub(e.next) > late {
				e.queued = OnMisfire
			}
		}
		e.next = e.schedule.Next(now)
	}
	// Decide first, then start: whether one may start depends on whether another waits.
	var ready []*entry
	for _, e := range l.entries {
		if e.queued != "" && l.mayStart(e) && e.rest(now) <= 0 {
			ready = append(ready, e)
		}
	}
	for _, e := range ready {
		l.start(e, now)
	}
	sleep := doze
	for _, e := range l.entries {
		if !e.next.IsZero() {
			sleep = min(sleep, e.next.Sub(now))
		}
		if rest := e.rest(now); rest > 0 {
			sleep = min(sleep, rest)
		}
	}
	return max(sleep, 0)
}

// rest is how long e is still held back because it was run only now.
func (e *entry) rest(now time.Time) time.Duration {
	if e.queued != OnPush || now.Before(e.last) {
		return 0
	}
	return breath - now.Sub(e.last)
}

// mayStart holds e back while it runs, and while those it follows are not done.
func (l *Loop) mayStart(e *entry) bool {
	if l.runs(e) {
		return false
	}
	if e.queued == OnRequest || e.queued == OnPush {
		return true
	}
	for _, name := range e.job.After {
		before := l.entry(name)
		if before == nil {
			continue
		}
		if before.queued != "" && !l.stuck(before) || l.runs(before) || (e.queued == OnAfter && before.err != nil) {
			return false
		}
	}
	return true
}

// runs reports that e runs, or the job of its name that it replaced.
func (l *Loop) runs(e *entry) bool {
	return !e.running.IsZero() || slices.ContainsFunc(l.leaving, func(old *entry) bool { return old.job.Name == e.job.Name })
}

// stuck reports a job that is queued but held up by a failure: waiting for it could take for ever.
func (l *Loop) stuck(e *entry) bool {
	if e.queued != OnAfter || l.runs(e) {
		return false
	}
	return slices.ContainsFunc(e.job.After, func(name string) bool {
		before := l.entry(name)
		return before != nil && !l.runs(before) && (before.err != nil || l.stuck(before))
	})
}

func (l *Loop) start(e *entry, now time.Time) {
	if l.jobs == nil {
		return
	}
	trigger := e.queued
	e.queued, e.running, e.last = "", now, now
	ctx := l.jobs
	l.running.Go(func() {
		err := l.call(ctx, e.job, trigger)
		l.end(e, err)
	})
}

// call runs the job and makes an error of its panic. Other errors are the job's own to tell; Status has both.
func (l *Loop) call(ctx context.Context, j Job, trigger string) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
			l.log().Error("job panicked", "job", j.Name, "trigger", trigger, "err", err, "stack", string(debug.Stack()))
		}
	}()
	return j.Run(ctx, trigger)
}

func (l *Loop) end(e *entry, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.running = time.Time{}
	if errors.Is(err, ErrIdle) {
		err = e.err
	} else if e.err = err; err == nil {
		defer l.follow(e)
	}
	l.leaving = slices.DeleteFunc(l.leaving, func(old *entry) bool { return old == e })
	if now := l.entry(e.job.Name); now != nil && now != e {
		now.last, now.err = e.last, err // the job that took over while this one ran
	}
	l.nudge()
}

// follow queues the jobs that come after one which has ended well.
func (l *Loop) follow(e *entry) {
	for _, f := range l.entries {
		if !f.paused && f.queued == "" && slices.Contains(f.job.After, e.job.Name) {
			f.queued = OnAfter
		}
	}
}

// Replace puts other jobs in place of the present ones, while Run goes on. Running ones finish; one of the same
// name starts only after that. Jobs that Check refuses are logged, and the present ones stay.
func (l *Loop) Replace(jobs []Job) {
	entries, err := prepare(jobs)
	if err != nil {
		l.log().Error("new jobs refused, the old ones stay", "err", err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	old := map[string]*entry{}
	for _, e := range l.entries {
		old[e.job.Name] = e
		if !e.running.IsZero() {
			l.leaving = append(l.leaving, e)
		}
	}
	for _, e := range entries {
		was := old[e.job.Name]
		if was == nil {
			l.first(e)
			continue
		}
		e.last, e.err, e.paused, e.queued = was.last, was.err, was.paused, was.queued
		if e.job.Spec == was.job.Spec && zone(e.job) == zone(was.job) {
			e.next = was.next
		} else {
			e.next = e.schedule.Next(l.now())
		}
	}
	l.entries = entries
	l.nudge()
}

func zone(j Job) string {
	if j.Location == nil {
		return time.UTC.String()
	}
	return j.Location.String()
}

// first sets the due time of a job that is new to this process: in the past, if one was missed.
func (l *Loop) first(e *entry) {
	if l.Last != nil {
		e.last = l.Last(e.job.Name)
	}
	from := e.last
	if from.IsZero() {
		from = l.now()
	}
	e.next = e.schedule.Next(from)
}

// Trigger runs a job now; if it is running, once more after that. Paused jobs run too: somebody asked.
func (l *Loop) Trigger(job string) error {
	return l.queue(job, func(e *entry) { e.queued = OnRequest })
}

// Wake runs a job now, as Trigger does, because a system told of a change. A job that waits to be run does that
// anyhow, and a paused one stays as it is.
func (l *Loop) Wake(job string) error {
	return l.queue(job, func(e *entry) {
		if !e.paused && (e.queued == "" || e.queued == OnAfter) {
			e.queued = OnPush
		}
	})
}

// Remind is Wake for who looks again and again whether there is something left to do: a job that runs is not queued once
// more.
func (l *Loop) Remind(job string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.entry(job); e != nil && !e.paused && !l.runs(e) && (e.queued == "" || e.queued == OnAfter) {
		e.queued = OnPush
		l.nudge()
	}
}

func (l *Loop) queue(job string, how func(*entry)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entry(job)
	if e == nil {
		return fmt.Errorf("run %s: %w", job, errUnknown)
	}
	how(e)
	l.nudge()
	return nil
}

// Pause stops a job from being started other than by Trigger, or lets it go on; false if it was so already. What was due
// meanwhile is not caught up.
func (l *Loop) Pause(job string, paused bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entry(job)
	if e == nil || e.paused == paused {
		return false
	}
	e.paused = paused
	if paused && e.queued != OnRequest {
		e.queued = ""
	}
	l.nudge()
	return true
}

// Status tells where every job stands, in their order; replaced jobs that still run come last.
func (l *Loop) Status() []Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]Status, 0, len(l.entries))
	for _, e := range l.entries {
		s := Status{Name: e.job.Name, Next: e.next, Running: e.running, Last: e.last, Err: e.err, Paused: e.paused,
			Waiting: e.queued != "" && e.running.IsZero()}
		for _, old := range l.leaving {
			if old.job.Name == e.job.Name {
				s.Running, s.Last = old.running, old.last
			}
		}
		list = append(list, s)
	}
	for _, old := range l.leaving {
		if l.entry(old.job.Name) == nil {
			list = append(list, Status{Name: old.job.Name, Running: old.running, Last: old.last})
		}
	}
	return list
}

// Leads reports that it starts the jobs: nobody shares them.
func (l *Loop) Leads() bool { return true }

func (l *Loop) entry(name string) *entry {
	for _, e := range l.entries {
		if e.job.Name == name {
			return e
		}
	}
	return nil
}

func (l *Loop) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *Loop) now() time.Time {
	if l.Now != nil {
		return l.Now().Round(0)
	}
	return time.Now().Round(0)
}

func (l *Loop) log() *slog.Logger {
	if l.Log != nil {
		return l.Log
	}
	return slog.New(slog.DiscardHandler)
}
