package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/schedule"
	"github.com/fieldsync/fieldsync/engine/state"
)

const (
	// requests is the queue that the leader alone works.
	requests = "requests"
	// longest is how long a job may take. A first contact reads both sides whole in one job: two minutes would never be
	// enough for some. A job whose node died is found by that, not by its age, so that nobody waits for as long.
	longest = 24 * time.Hour
	// stuck is when the queue cancels a job that the leader has given up.
	stuck = 3 * time.Minute
	// glance is how often the leader looks which jobs have ended, look how often it looks for those whose node has died.
	glance = 100 * time.Millisecond
	look   = 2 * time.Second
	// young is how old a job may be and still wait for a lease that another run has, which may be a run that died.
	young    = 30 * time.Second
	attempts = 5
)

// unfinished are the states in which there is no second job with the same arguments.
var unfinished = []rivertype.JobState{rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable, rivertype.JobStateRunning, rivertype.JobStateScheduled}

// A run is a job to be run once, by any node. Epoch is the queue's number of the one that it takes the place of, since
// that one's node died: it may still be listed as running.
type run struct {
	Job     string `json:"job" river:"unique"`
	Epoch   int64  `json:"epoch" river:"unique"`
	Trigger string `json:"trigger"`
}

func (run) Kind() string { return "run" }

func (run) InsertOpts() river.InsertOpts {
	return river.InsertOpts{MaxAttempts: attempts, UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: unfinished}}
}

// A request asks the leader to have a job run. Many of the same are one, until the leader takes it: what is asked for from
// then on may have come too late for the run that it leads to. After is the queue's number of the one that was taken, which
// is listed as running for a moment after it has ended, or for minutes if the leader died over it.
type request struct {
	Job     string `json:"job" river:"unique"`
	Trigger string `json:"trigger" river:"unique"`
	After   int64  `json:"after" river:"unique"`
}

func (request) Kind() string { return "request" }

func (request) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: requests, UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: unfinished}}
}

// open makes the tables of the queue, while other nodes wait, and a client that knows every kind of job: a node that did
// not would throw those away that it does not know.
func (n *Node) open(ctx context.Context) error {
	driver := riverpgxv5.New(n.pool)
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: quiet(n.Log)})
	if err != nil {
		return err
	}
	err = state.Alone(ctx, n.URL, func() error {
		_, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
		return err
	})
	if err != nil {
		return err
	}
	workers := river.NewWorkers()
	if err := errors.Join(river.AddWorkerSafely(workers, &runner{n: n}), river.AddWorkerSafely(workers, &listener{n: n}), river.AddWorkerSafely(workers, &scanner{n: n})); err != nil {
		return err
	}
	n.client, err = river.NewClient(driver, &river.Config{
		ID:                          n.Name,
		Logger:                      quiet(n.Log),
		Workers:                     workers,
		Queues:                      map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: n.Workers}},
		FetchPollInterval:           apart(500 * time.Millisecond),
		JobTimeout:                  2 * time.Minute,
		RescueStuckJobsAfter:        stuck,
		CompletedJobRetentionPeriod: time.Hour, // the accounts of runs are in the state
		CancelledJobRetentionPeriod: time.Hour,
		DiscardedJobRetentionPeriod: 24 * time.Hour,
	})
	return err
}

// quiet lets only the queue's troubles through.
func quiet(log *slog.Logger) *slog.Logger { return slog.New(atLeast{log.Handler()}) }

type atLeast struct{ slog.Handler }

func (h atLeast) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelError && h.Handler.Enabled(ctx, l)
}
func (h atLeast) WithAttrs(as []slog.Attr) slog.Handler { return atLeast{h.Handler.WithAttrs(as)} }
func (h atLeast) WithGroup(g string) slog.Handler       { return atLeast{h.Handler.WithGroup(g)} }

// A runner runs jobs on this node.
type runner struct {
	river.WorkerDefaults[run]
	n *Node
}

func (r *runner) Timeout(*river.Job[run]) time.Duration { return longest }

func (r *runner) NextRetry(*river.Job[run]) time.Time { return time.Now().Add(time.Second) }

// Work runs one job. What went wrong with the job itself is its outcome, and the loop's to deal with; when the run was cut
// short, by a stop of this node or because the state was away, another node tries at once.
func (r *runner) Work(ctx context.Context, j *river.Job[run]) error {
	n, name := r.n, j.Args.Job
	age := time.Since(j.CreatedAt)
	job, alive, known := n.begin(name)
	if !known {
		if age > young {
			return outcome(ctx, fmt.Errorf("job %s: %w on node %s", name, errUnknown, n.Name))
		}
		return river.JobSnooze(time.Second) // the files of some nodes are edited before those of others
	}
	defer n.end(name)
	if j.Attempt > 1 {
		if done, err := n.done(ctx, name, j.CreatedAt); err != nil || done {
			return err
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(alive, func() { cancel(context.Cause(alive)) })()
	err := job.Run(ctx, j.Args.Trigger)
	switch {
	case errors.Is(err, engine.ErrLeased) && age < young:
		return river.JobSnooze(time.Second)
	case err != nil && (ctx.Err() != nil || errors.Is(err, context.Canceled) || errors.Is(err, engine.ErrLeaseLost) || errors.Is(err, engine.ErrStateAway)):
		return err
	}
	return outcome(ctx, err)
}

// begin notes that a job runs here.
func (n *Node) begin(name string) (job schedule.Job, alive context.Context, known bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if job, known = n.jobs[name]; known {
		if n.running == nil {
			n.running = map[string]time.Time{}
		}
		n.running[name] = n.now()
	}
	return job, n.alive, known
}

func (n *Node) end(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.running, name)
}

// done reports whether a run that began after some time has ended well: then one that was asked for by then is not needed.
func (n *Node) done(ctx context.Context, name string, since time.Time) (done bool, err error) {
	err = n.Store.Runs(ctx, name, 1, func(r plan.Run) error {
		done = r.Complete && r.Started.After(since)
		return nil
	})
	return done, err
}

// outcome is what the leader reads of a job that ended.
func outcome(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	return river.RecordOutput(ctx, err.Error())
}

// ask has a job run by whatever node is free, and returns its outcome. A job whose node died is queued once more. One that
// the leader before had queued will do when the job is due; what a person, a system or another job asks for may have
// come after it began.
func (n *Node) ask(ctx context.Context, name, trigger string) error {
	for {
		res, err := n.client.Insert(ctx, run{name, n.epoch(name, 0), trigger}, nil)
		if err == nil {
			var lost bool
			lost, err = n.await(ctx, res.Job.ID)
			switch {
			case !lost && res.UniqueSkippedAsDuplicate && trigger != schedule.OnSchedule && trigger != schedule.OnMisfire && ctx.Err() == nil:
				continue
			case !lost:
				return err
			}
			n.epoch(name, res.Job.ID)
			n.Log.Warn("a node died while it ran a job, which is begun again", "job", name, "number", res.Job.ID)
			continue
		}
		n.Log.Warn("a job cannot be queued; trying again", "job", name, "err", err)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Second):
		}
	}
}

// epoch is the last job of this name whose node is known to have died; lost, if not 0, is that from now on. Another node
// that comes to lead finds it out again.
func (n *Node) epoch(name string, lost int64) int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.epochs == nil {
		n.epochs = map[string]int64{}
	}
	if lost != 0 {
		n.epochs[name] = lost
	}
	return n.epochs[name]
}

// await waits for the end of a job, of which follow tells.
func (n *Node) await(ctx context.Context, id int64) (lost bool, err error) {
	ended := make(chan end, 1)
	n.mu.Lock()
	if n.awaited == nil {
		n.awaited = map[int64]chan<- end{}
	}
	n.awaited[id] = ended
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.awaited[id] == ended { // another term of this leader may wait for the same job by now
			delete(n.awaited, id)
		}
	}()
	select {
	case <-ctx.Done():
		return false, context.Cause(ctx)
	case e := <-ended:
		return e.lost, e.err
	}
}

// An end is how a job ended: as it said itself, or with the node that ran it.
type end struct {
	lost bool
	err  error
}

// follow looks what became of all jobs that are awaited, until ctx ends. It asks for those that ended with one question,
// however many there are, and now and then for the others: whether their nodes live, and whether they are there at all.
func (n *Node) follow(ctx context.Context) {
	tick := time.NewTicker(glance)
	defer tick.Stop()
	for since := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		n.mu.Lock()
		ids := slices.Collect(maps.Keys(n.awaited))
		n.mu.Unlock()
		all := time.Since(since) >= look
		if all {
			since = time.Now()
		}
		for part := range slices.Chunk(ids, 1000) {
			if err := n.glance(ctx, part, all); err != nil {
				break // the database is away
			}
		}
	}
}

// glance looks what became of some jobs.
func (n *Node) glance(ctx context.Context, ids []int64, all bool) error {
	which := river.NewJobListParams().IDs(ids...).First(len(ids))
	if !all {
		which = which.States(rivertype.JobStateCompleted, rivertype.JobStateCancelled, rivertype.JobStateDiscarded)
	}
	list, err := n.client.JobList(ctx, which)
	if err != nil {
		return err
	}
	there, running := map[int64]bool{}, map[string][]int64{}
	for _, row := range list.Jobs {
		there[row.ID] = true
		switch row.State {
		case rivertype.JobStateCompleted:
			n.ended(row.ID, end{err: told(row)})
		case rivertype.JobStateCancelled, rivertype.JobStateDiscarded:
			n.ended(row.ID, end{err: fmt.Errorf("%s after %d attempts: %s", row.State, row.Attempt, lastError(row))})
		case rivertype.JobStateRunning:
			if len(row.AttemptedBy) > 0 {
				by := row.AttemptedBy[len(row.AttemptedBy)-1]
				running[by] = append(running[by], row.ID)
			}
		}
	}
	if !all {
		return nil
	}
	for _, id := range ids {
		if !there[id] {
			n.ended(id, end{err: errors.New("the job is not in the queue any more")})
		}
	}
	for node, jobs := range running {
		if !n.dead(ctx, node) {
			continue
		}
		for _, id := range jobs {
			// One that wakes up again stops the job; the queue forgets it after a while.
			if _, err := n.client.JobCancel(ctx, id); err != nil {
				return err // asked again, as the node's lease is over
			}
			n.ended(id, end{lost: true})
		}
	}
	return nil
}

// ended tells who awaits a job of its end.
func (n *Node) ended(id int64, e end) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if waits, ok := n.awaited[id]; ok {
		delete(n.awaited, id)
		waits <- e
	}
}

// dead takes the lease of a node, which nobody can while the node renews it.
func (n *Node) dead(ctx context.Context, node string) bool {
	if node == n.Name {
		return false
	}
	if _, err := n.Store.Lease(ctx, nodeLease(node), n.Name, time.Second); err != nil {
		return false
	}
	return true
}

func told(row *rivertype.JobRow) error {
	var text string
	if out := row.Output(); out == nil || json.Unmarshal(out, &text) != nil || text == "" {
		return nil
	}
	if text == schedule.ErrIdle.Error() {
		return schedule.ErrIdle
	}
	return errors.New(text)
}

func lastError(row *rivertype.JobRow) string {
	if len(row.Errors) == 0 {
		return "no reason is known"
	}
	return row.Errors[len(row.Errors)-1].Error
}

// A listener passes requests on to the loop, on the node that leads.
type listener struct {
	river.WorkerDefaults[request]
	n *Node
}

func (l *listener) Work(_ context.Context, j *river.Job[request]) error {
	l.n.mu.Lock()
	loop := l.n.loop
	l.n.mu.Unlock()
	if loop == nil {
		return river.JobSnooze(time.Second)
	}
	run := loop.Wake
	if j.Args.Trigger == schedule.OnRequest {
		run = loop.Trigger
	}
	err := run(j.Args.Job)
	if err != nil && time.Since(j.CreatedAt) < young {
		return river.JobSnooze(time.Second) // not known here yet, or the loop is only starting
	}
	return err
}

// Trigger runs a job now; if it is running, once more after that. Paused jobs run too: somebody asked.
func (n *Node) Trigger(job string) error { return n.request(job, schedule.OnRequest) }

// Wake runs a job now because a system told of a change.
func (n *Node) Wake(job string) error { return n.request(job, schedule.OnPush) }

// Remind does so if nothing else is going to, on the node that leads; the others need not be reminded.
func (n *Node) Remind(job string) {
	n.mu.Lock()
	loop := n.loop
	n.mu.Unlock()
	if loop != nil {
		loop.Remind(job)
	}
}

func (n *Node) request(job, trigger string) error {
	n.mu.Lock()
	_, known := n.jobs[job]
	n.mu.Unlock()
	if !known {
		return fmt.Errorf("run %s: %w", job, errUnknown)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for after := int64(0); ; {
		res, err := n.client.Insert(ctx, request{job, trigger, after}, nil)
		switch {
		case err != nil:
			return fmt.Errorf("run %s: %w", job, err)
		case !res.UniqueSkippedAsDuplicate || res.Job.State != rivertype.JobStateRunning:
			return nil
		}
		after = res.Job.ID
	}
}
