// Package service is fieldsync serve: it runs a project's syncs on their schedules, takes edits of the mapping over, hears
// what systems tell, and answers people and programs over HTTP.
package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/access"
	"github.com/fieldsync/fieldsync/engine/cluster"
	"github.com/fieldsync/fieldsync/engine/console"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/schedule"
	"github.com/fieldsync/fieldsync/engine/state"
	"github.com/fieldsync/fieldsync/engine/telemetry"
)

// DefaultListen is where a service listens that is told nothing.
const DefaultListen = "127.0.0.1:8440"

// A service is a running fieldsync: the rules in force, and what became of the last edit of them.
type service struct {
	source project.Source
	now    func() time.Time
	log    *slog.Logger
	state  engine.Store
	loop   loop
	dir    string
	began  time.Time

	door     *door // nil: nobody is listened to
	live     *live
	say      func(ctx context.Context, word string) // to other nodes; nil: there are none
	brake    access.Brake                           // of webhooks
	stopping context.Context                        // ends when the service is told to stop
	share    connectors.Share                       // of the limits: all nodes keep to them together
	Meter    *project.Meter

	mu     sync.Mutex
	rules  *ruleset
	broken hcl.Diagnostics // of the files as they are now; nil: the rules in force are those of the files
	since  time.Time       // of the last change between good and broken
	ready  bool
	edit   *console.Reload // the last edit of the files that was taken over; nil: there was none

	news chan struct{} // a run has ended
}

// A loop runs jobs on their schedules: on this machine (schedule.Loop), or on all that share the state (cluster.Node).
type loop interface {
	Run(ctx context.Context, jobs []schedule.Job) error
	Replace(jobs []schedule.Job)
	Trigger(job string) error
	Wake(job string) error
	Remind(job string)
	Pause(job string, paused bool) (changed bool)
	Status() []schedule.Status
	Leads() bool // it starts the jobs: there is nobody else, or the others leave it to this one
}

// A ruleset is one valid reading of the mapping files. Runs that began with it end with it.
type ruleset struct {
	*project.Project
	runs sync.WaitGroup // and what listens for changes

	once      sync.Once       // for beginning to listen
	listening context.Context // until deafen is called
	deafen    context.CancelFunc
}

func newRuleset(p *project.Project) *ruleset {
	listening, deafen := context.WithCancel(context.Background())
	return &ruleset{Project: p, listening: listening, deafen: deafen}
}

// newService is a service of a project's rules that does nothing yet.
func newService(p *project.Project, from project.Source, dir string) *service {
	now := p.Now
	return &service{source: from, now: now, log: p.Log, state: p.State, dir: dir, began: now(), rules: newRuleset(p), since: now(),
		news: make(chan struct{}, 1), live: newLive(now)}
}

// Serve runs a project's syncs until ctx ends. from is where edits of its mapping are read.
func Serve(ctx context.Context, p *project.Project, from project.Source, listen string, workers int) error {
	dir, err := filepath.Abs(p.Dir)
	if err != nil {
		return err
	}
	s := newService(p, from, dir)
	tracer, traced, err := newTracer(ctx, from.Getenv, p.Log)
	if err != nil {
		return err
	}
	defer traced()
	s.Meter = &project.Meter{Metrics: telemetry.NewMetrics(project.Version()["version"], s.figures, s.log), Tracer: tracer, Secrets: from.Secrets}
	p.Meter, p.Share = s.Meter, &s.share
	// What only the systems know may go wrong after a restart that nobody watches, such as a property that was
	// deleted: that stops the syncs which need it, and not the others.
	var wrong hcl.Diagnostics
	failing := 0
	for _, m := range p.Syncs {
		if _, diags := p.Rules(ctx, m, true); diags.HasErrors() {
			wrong, failing = append(wrong, diags...), failing+1
		}
	}
	if failing == len(p.Syncs) {
		return project.Diagnosed{Files: p.Files, Diags: wrong}
	}
	l, err := openDoor(listen, &p.Serve, s.log)
	if err != nil {
		return err
	}
	s.door = l
	if err := p.OpenState(project.WriteState); err != nil {
		return errors.Join(err, l.Close())
	}
	s.state = p.State
	s.loop, err = s.newLoop(ctx, workers, func() {
		if err := s.takePauses(s.stopping); err != nil {
			s.log.Error("pauses cannot be read", "err", err, "hint", project.WayOut(err))
		}
		s.hear(s.stopping, s.inForce())
		s.setReady(true)
		s.tellSystemd("READY=1", s.summary())
	})
	if err != nil {
		return errors.Join(err, l.Close())
	}
	s.logDiagnostics("a sync cannot run; the others do", wrong)
	w, err := s.watch()
	if err != nil {
		return errors.Join(err, l.Close())
	}
	s.log.Info("serving", "listen", l.Addr().String(), "dir", s.dir, "syncs", len(p.Syncs))

	var parts sync.WaitGroup
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.stopping = ctx
	parts.Go(func() {
		if err := ServeHTTP(ctx, l, l.tls, s.handler()); err != nil {
			cancel(fmt.Errorf("listen on %s: %w", listen, err))
		}
	})
	parts.Go(func() { s.follow(ctx, w) })
	parts.Go(func() { s.watchState(ctx) })
	parts.Go(func() { s.showOthers(ctx) })
	parts.Go(func() { s.backups(ctx) })
	parts.Go(func() { s.watchdog(ctx) })
	parts.Go(func() { s.tell(ctx) })
	context.AfterFunc(ctx, func() { s.tellSystemd("STOPPING=1", "STATUS=finishing the action in flight") })
	err = s.loop.Run(ctx, s.jobs(s.rules))
	s.setReady(false)
	cause := context.Cause(ctx)
	cancel(nil)
	parts.Wait()
	s.rules.runs.Wait()
	s.log.Info("stopped")
	if err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	if !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// summary is the line that systemctl status shows.
func (s *service) summary() string {
	line := fmt.Sprintf("STATUS=serving %s at %s", project.Plural(len(s.inForce().Syncs), "sync"), s.door.Addr())
	if !s.good() {
		line += "; the edited mapping is broken, the last good rules run"
	}
	return line
}

// newLoop makes a loop that tells when jobs can be triggered. Where the state is a database, others may share the work.
func (s *service) newLoop(ctx context.Context, workers int, ready func()) (loop, error) {
	if place := s.rules.Settings.State; state.IsURL(place) {
		n := &cluster.Node{URL: place, Store: s.state, Name: s.rules.Owner, Workers: workers, Log: s.log, Now: s.now, Last: s.lastRuns, Ready: ready, Alive: s.share.Set, Heard: s.live.heard, Part: s.scanPart}
		s.say = n.Say
		return n, nil
	}
	last, err := s.lastRuns(ctx)
	if err != nil {
		return nil, err
	}
	return &schedule.Loop{Log: s.log, Now: s.now, Last: last, Ready: ready}, nil
}

// lastRuns knows when each sync last ran, so that a run missed meanwhile is caught up.
func (s *service) lastRuns(ctx context.Context) (func(job string) time.Time, error) {
	known, err := s.state.Syncs(ctx)
	if err != nil {
		return nil, err
	}
	last := map[string]time.Time{}
	for _, k := range known {
		run, err := s.lastOfAll(ctx, k)
		if err != nil {
			return nil, err
		}
		if run != nil {
			last[k.Sync] = run.Started
			if run.Ended.IsZero() || k.LastRun.Ended.IsZero() { // it was cut short, and what it left in flight waits: that counts as missed
				last[k.Sync] = k.LastGood
			}
		}
	}
	return func(job string) time.Time { return last[job] }, nil
}

// lastOfAll is the last run of a sync that looked at more than the few records which somebody had named; nil if none of
// the latest has.
func (s *service) lastOfAll(ctx context.Context, k engine.SyncStatus) (last *plan.Run, err error) {
	all := func(r *plan.Run) bool { return r != nil && !r.Few && r.Trigger != "restore" && r.Trigger != "undo" }
	if all(k.LastRun) {
		return k.LastRun, nil
	}
	found := errors.New("found")
	err = s.state.Runs(ctx, k.Sync, lately, func(r plan.Run) error {
		if !all(&r) {
			return nil
		}
		last = &r
		return found
	})
	if errors.Is(err, found) {
		err = nil
	}
	return last, err
}

// lately is how many runs of a sync are looked through for one that was about all.
const lately = 2000

// jobs makes the loop's jobs of a ruleset.
func (s *service) jobs(r *ruleset) []schedule.Job {
	var jobs []schedule.Job
	for _, m := range r.Syncs {
		jobs = append(jobs, schedule.Job{Name: m.Name, Spec: m.Schedule, Location: m.Timezone, After: m.After,
			Run: func(ctx context.Context, trigger string) error { return s.run(ctx, r, m, trigger) }})
	}
	return jobs
}

// run carries one sync out once. What goes wrong is logged here, once; the loop needs to know only that it did.
func (s *service) run(ctx context.Context, r *ruleset, m *mapping.Sync, trigger string) error {
	r.runs.Add(1)
	defer r.runs.Done()
	// The loop grants a grace after a stop; a run needs none, since it can end after any action.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.stopping, cancel)()
	began := s.now()
	acc, err := s.carryOut(ctx, r, m, trigger)
	if errors.Is(err, schedule.ErrIdle) {
		return err
	}
	if errors.Is(err, errPaused) {
		s.loop.Pause(m.Name, true)
		return err
	}
	s.ended(ctx, m, trigger, began, acc, err)
	if stop, ok := errors.AsType[*engine.StoppedError](err); ok {
		for _, why := range stop.Stops {
			s.log.Warn("stopped by a limit", "sync", m.Name, "limit", why.Limit, "why", why.Why, "hint", why.Hint, "digest", stop.Digest, "approve", project.ApproveCommand(m.Name, stop.Digest))
		}
		return err
	}
	switch {
	case err == nil:
	case errors.Is(err, engine.ErrLeased):
		s.log.Warn("another process runs this sync", "sync", m.Name, "err", err)
	case ctx.Err() != nil:
		s.log.Info("interrupted; what was begun is settled by the next run", "sync", m.Name)
	default:
		if d, ok := errors.AsType[project.Diagnosed](err); ok {
			s.logDiagnostics("rules cannot be used", d.Diags)
		} else {
			s.log.Error("run failed", "sync", m.Name, "err", err, "hint", project.WayOut(err))
		}
	}
	return err
}

func (s *service) carryOut(ctx context.Context, r *ruleset, m *mapping.Sync, trigger string) (acc plan.Run, err error) {
	began := s.now()
	if trigger != schedule.OnRequest {
		if err := s.awake(ctx, m.Name); err != nil {
			return acc, err
		}
	}
	var told []engine.Told
	if trigger == schedule.OnPush {
		if told, err = s.state.Told(ctx, m.Name); err != nil {
			return acc, err
		}
		if len(told) == 0 {
			return acc, schedule.ErrIdle // the run before has looked at it
		}
	}
	again, err := s.takeAgain(ctx, m.Name)
	if err != nil {
		return acc, err
	}
	defer func() {
		if again && !looked(err) {
			err = errors.Join(err, s.askAgain(context.WithoutCancel(ctx), m.Name))
		}
	}()
	seen := s.live.follow(m.Name)
	defer seen.end()
	ctx, end := s.Meter.Span(ctx, "run "+m.Name, slog.String("trigger", trigger))
	defer func() { end(err) }()
	defer func() { s.heed(ctx, m.Name, told, err) }()
	job, err := r.Job(ctx, m, project.JobOptions{Trigger: trigger, Again: again, Only: only(told)})
	if err != nil {
		return acc, r.Failed(ctx, m.Name, trigger, began, err)
	}
	e := r.Engine(nil)
	e.Progress = seen.step
	e.Team, _ = s.loop.(engine.Team) // a single process has none
	run, err := e.Start(ctx, job)
	if err != nil {
		return acc, r.Failed(ctx, m.Name, trigger, began, err)
	}
	defer run.Close()
	if err := seen.planned(run); err != nil {
		return acc, r.Failed(ctx, m.Name, trigger, began, err)
	}
	return run.Apply(ctx, engine.Approval{Began: seen.began, Emit: func(res plan.Result) {
		seen.result(res)
		s.Meter.Metrics.Acted(m.Name, res)
	}})
}

// looked reports whether a run that came to err has looked at every record, as far as it could be.
func looked(err error) bool {
	_, stopped := errors.AsType[*engine.StoppedError](err)
	return err == nil || stopped
}

// scanPart scans a part of what a run on another node reads, by the rules in force here.
func (s *service) scanPart(ctx context.Context, p engine.PartRef) error {
	r, release := s.hold()
	defer release()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.stopping, cancel)()
	m, err := r.Find(p.Sync)
	if err != nil {
		return fmt.Errorf("%w: %w", engine.ErrOtherRules, err)
	}
	job, err := r.Job(ctx, m, project.JobOptions{})
	if err != nil {
		return err
	}
	return r.Engine(nil).ScanPart(ctx, job, p)
}

// inForce is the rules that new runs go by.
func (s *service) inForce() *ruleset {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rules
}

// hold is the rules in force, kept open until release.
func (s *service) hold() (r *ruleset, release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules.runs.Add(1)
	return s.rules, s.rules.runs.Done
}

func (s *service) setReady(ready bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = ready
}
