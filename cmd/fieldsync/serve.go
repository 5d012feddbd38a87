package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/spf13/cobra"

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

const defaultListen = "127.0.0.1:8440"

func (a *app) serveCmd() *cobra.Command {
	var listen string
	var workers int
	var unit bool
	c := &cobra.Command{
		Use:   "serve",
		Short: "run the syncs on their schedules until told to stop",
		Long: `Runs each sync when its schedule says so, and those with "after" when the one before
them is done. A sync never overlaps with itself; a missed run is caught up once.

Edited mapping files are taken over when they are valid. A broken edit leaves the last
good rules running and is said in the log, at /status and by "fieldsync status".

A system that tells of changes, by a signed webhook (webhook in its connection block) or as a
database (notify in its collection block), has its sync run at once, for what it named.

Where the state is a PostgreSQL database, any number of machines can serve the same mapping
files: one of them starts the syncs, all of them run them, each sync on one at a time.

A plan that runs into a limit is not carried out: look at it with fieldsync plan and
approve it with fieldsync approve; the next run then carries it out.

It listens on the address that "listen" names; one that other machines reach needs a way to log
in (the serve block; fieldsync token makes one). The web console is at /, what programs ask at
/api/v1, /status and /metrics (for Prometheus), and whether it lives at /healthz and /readyz.

An interrupt or SIGTERM stops after the action in flight, a second one at once; SIGHUP reads
the mapping again. systemd is told of all that: --unit prints a unit file.`,
		Example: `  fieldsync serve
  fieldsync serve -d production --listen 127.0.0.1:9000 --json 2>>fieldsync.log
  fieldsync serve --workers 8              # on each machine, with state = env("DATABASE_URL")
  curl -s http://127.0.0.1:8440/status`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if unit {
				_, err := io.WriteString(a.out, unitFile)
				return err
			}
			p, err := a.openToRun()
			if err != nil {
				return err
			}
			defer p.Close()
			if p.log, err = a.logger(slog.LevelInfo); err != nil {
				return err
			}
			if _, err := p.pick(nil); err != nil {
				return err
			}
			if listen == "" {
				listen = p.Settings.Listen
			}
			if listen == "" {
				listen = defaultListen
			}
			if workers < 1 {
				return hinted{fmt.Errorf("--workers %d: it takes one at least", workers), "write --workers 4"}
			}
			if c.Flags().Changed("workers") && !state.IsURL(p.Settings.State) {
				return hinted{errors.New("--workers shares the work through a database, and the state is a file"),
					"move it, fieldsync state copy --to URL, and set state = env(\"DATABASE_URL\")"}
			}
			return a.serve(c.Context(), p, listen, workers)
		},
	}
	c.Flags().IntVar(&workers, "workers", 4, "syncs that this node runs at the same time, where the state is a database")
	c.Flags().BoolVar(&unit, "unit", false, "print a unit file for systemd, and do nothing else")
	c.Flags().StringVar(&listen, "listen", "", "`ADDRESS` to listen on, instead of the mapping's")
	return c
}

// A service is a running fieldsync: the rules in force, and what became of the last edit of them.
type service struct {
	app   *app
	log   *slog.Logger
	state engine.Store
	loop  loop
	dir   string
	began time.Time

	door     *door // nil: nobody is listened to
	live     *live
	hints    hints
	brake    access.Brake    // of webhooks
	replays  access.Replays  // of webhooks
	stopping context.Context // ends when the service is told to stop
	meter    *meter

	mu     sync.Mutex
	rules  *ruleset
	broken hcl.Diagnostics // of the files as they are now; nil: the rules in force are those of the files
	since  time.Time       // of the last change between good and broken
	ready  bool
	again  map[string]bool // syncs whose next run tries what is held before its time
	edit   *console.Reload // the last edit of the files that was taken over; nil: there was none

	refused map[string]bool // by sync: a system refused the credentials in its last run
	news    chan struct{}   // a run has ended
}

// A loop runs jobs on their schedules: on this machine (schedule.Loop), or on all that share the state (cluster.Node).
type loop interface {
	Run(ctx context.Context, jobs []schedule.Job) error
	Replace(jobs []schedule.Job)
	Trigger(job string) error
	Wake(job string) error
	Pause(job string, paused bool) (changed bool)
	Status() []schedule.Status
}

// A ruleset is one valid reading of the mapping files. Runs that began with it end with it.
type ruleset struct {
	*project
	runs sync.WaitGroup // and what listens for changes

	once      sync.Once       // for beginning to listen
	listening context.Context // until deafen is called
	deafen    context.CancelFunc
}

func newRuleset(p *project) *ruleset {
	listening, deafen := context.WithCancel(context.Background())
	return &ruleset{project: p, listening: listening, deafen: deafen}
}

// newService is a service of a project's rules that does nothing yet.
func newService(p *project, dir string) *service {
	now := p.app.now
	return &service{app: p.app, log: p.log, state: p.state, dir: dir, began: now(), rules: newRuleset(p), since: now(),
		refused: map[string]bool{}, news: make(chan struct{}, 1), live: newLive(now), again: map[string]bool{}}
}

func (a *app) serve(ctx context.Context, p *project, listen string, workers int) error {
	dir, err := filepath.Abs(p.Dir)
	if err != nil {
		return err
	}
	s := newService(p, dir)
	tracer, traced, err := a.trace(ctx, p.log)
	if err != nil {
		return err
	}
	defer traced()
	s.meter = &meter{metrics: telemetry.NewMetrics(version()["version"], s.figures, s.log), tracer: tracer, secrets: a.out.secrets}
	p.meter = s.meter
	// What only the systems know may go wrong after a restart that nobody watches, such as a property that was
	// deleted: that stops the syncs which need it, and not the others.
	var wrong hcl.Diagnostics
	failing := 0
	for _, m := range p.Syncs {
		if _, diags := p.compile(ctx, m, true); diags.HasErrors() {
			wrong, failing = append(wrong, diags...), failing+1
		}
	}
	if failing == len(p.Syncs) {
		return diagnosed{p.Files, wrong}
	}
	l, err := openDoor(listen, &p.Serve, s.log)
	if err != nil {
		return err
	}
	s.door = l
	if err := p.openState(writeState); err != nil {
		return errors.Join(err, l.Close())
	}
	s.state = p.state
	s.loop, err = s.newLoop(ctx, workers, func() {
		if err := s.takePauses(s.stopping); err != nil {
			s.log.Error("pauses cannot be read", "err", err, "hint", wayOut(err))
		}
		s.hear(s.stopping, s.inForce())
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
		if err := serveHTTP(ctx, l, l.tls, s.handler()); err != nil {
			cancel(fmt.Errorf("listen on %s: %w", listen, err))
		}
	})
	parts.Go(func() { s.follow(ctx, w) })
	parts.Go(func() { s.watchPauses(ctx) })
	parts.Go(func() { s.backups(ctx) })
	parts.Go(func() { s.watchdog(ctx) })
	parts.Go(func() { s.tell(ctx) })
	s.setReady(true)
	s.tellSystemd("READY=1", s.summary())
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
	line := fmt.Sprintf("STATUS=serving %s at %s", plural(len(s.inForce().Syncs), "sync"), s.door.Addr())
	if !s.good() {
		line += "; the edited mapping is broken, the last good rules run"
	}
	return line
}

// newLoop makes a loop that tells when jobs can be triggered. Where the state is a database, others may share the work.
func (s *service) newLoop(ctx context.Context, workers int, ready func()) (loop, error) {
	if place := s.rules.Settings.State; state.IsURL(place) {
		return &cluster.Node{URL: place, Store: s.state, Name: s.rules.owner, Workers: workers, Log: s.log, Now: s.app.now, Last: s.lastRuns, Ready: ready}, nil
	}
	last, err := s.lastRuns(ctx)
	if err != nil {
		return nil, err
	}
	return &schedule.Loop{Log: s.log, Now: s.app.now, Last: last, Ready: ready}, nil
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

// shared reports whether other nodes may share the work.
func (s *service) shared() bool { return state.IsURL(s.inForce().Settings.State) }

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
	began := s.app.now()
	acc, err := s.carryOut(ctx, r, m, trigger)
	if errors.Is(err, schedule.ErrIdle) {
		return err
	}
	if errors.Is(err, errPaused) {
		s.loop.Pause(m.Name, true)
		return err
	}
	s.ended(m, trigger, began, acc, err)
	if stop, ok := errors.AsType[*engine.StoppedError](err); ok {
		for _, why := range stop.Stops {
			s.log.Warn("stopped by a limit", "sync", m.Name, "limit", why.Limit, "why", why.Why, "hint", why.Hint, "digest", stop.Digest, "approve", approveCommand(m.Name, stop.Digest))
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
		if d, ok := errors.AsType[diagnosed](err); ok {
			s.logDiagnostics("rules cannot be used", d.diags)
		} else {
			s.log.Error("run failed", "sync", m.Name, "err", err, "hint", wayOut(err))
		}
	}
	return err
}

func (s *service) carryOut(ctx context.Context, r *ruleset, m *mapping.Sync, trigger string) (acc plan.Run, err error) {
	began := s.app.now()
	if trigger != schedule.OnRequest {
		if err := s.awake(ctx, m.Name); err != nil {
			return acc, err
		}
	}
	var told *hint
	if trigger == schedule.OnPush {
		// Where the work is shared another node may have been told, and this one looks at all that changed.
		if told = s.hints.take(m.Name); told == nil && !s.shared() {
			return acc, schedule.ErrIdle // the run before has looked at it
		}
	}
	seen := s.live.follow(m.Name)
	defer seen.end()
	ctx, end := s.meter.span(ctx, "run "+m.Name, slog.String("trigger", trigger))
	defer func() { end(err) }()
	defer func() {
		if err != nil {
			s.hints.putBack(m.Name, told)
		}
		s.heed(m.Name, err)
	}()
	job, err := r.job(ctx, m, jobOptions{trigger: trigger, again: s.takeAgain(m.Name), only: told.only()})
	if err != nil {
		return acc, r.failed(ctx, m.Name, trigger, began, err)
	}
	e := r.engine(nil)
	e.Progress = seen.step
	run, err := e.Start(ctx, job)
	if err != nil {
		return acc, r.failed(ctx, m.Name, trigger, began, err)
	}
	defer run.Close()
	if err := seen.planned(run); err != nil {
		return acc, r.failed(ctx, m.Name, trigger, began, err)
	}
	return run.Apply(ctx, engine.Approval{Began: seen.began, Emit: func(res plan.Result) {
		seen.result(res)
		s.meter.metrics.Acted(m.Name, res)
	}})
}

// takeAgain reports whether a person asked that the next run of a sync tries what is held before its time.
func (s *service) takeAgain(sync string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	again := s.again[sync]
	delete(s.again, sync)
	return again
}

// inForce is the rules that new runs go by.
func (s *service) inForce() *ruleset {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rules
}

func (s *service) setReady(ready bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = ready
}

// failed keeps the account of a run that ended before there was a plan, so that runs and status tell of it, and
// returns why.
func (p *project) failed(ctx context.Context, sync, trigger string, began time.Time, why error) error {
	if errors.Is(why, engine.ErrLeased) || ctx.Err() != nil {
		return why
	}
	acc := plan.Run{Sync: sync, Started: began, Ended: p.app.now(), Trigger: trigger, Err: why.Error(), Hint: wayOut(why)}
	ctx = context.WithoutCancel(ctx)
	if err := p.engine(nil).Failed(ctx, acc); err != nil && !errors.Is(err, engine.ErrLeased) {
		return errors.Join(why, fmt.Errorf("record the run: %w", err))
	}
	return why
}
