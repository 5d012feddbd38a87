// Package cluster runs jobs on as many machines as there are: each process is a [Node], and all of them share one
// PostgreSQL database.
//
// It stands in for schedule.Loop and keeps its promises. One node leads: it has a lease, runs the loop, and where the
// loop would start a job it puts one into a queue (River, in the same database) and waits for its outcome. Every node
// takes jobs from there. A node that dies is known by its own lease, which nobody renews; what it had begun is queued once
// more at once. None of this has to be right for a sync to run once at a time: the lease that the run itself takes, with
// its fence, is what guarantees that.
package cluster

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/schedule"
	"github.com/fieldsync/fieldsync/engine/state"
)

// A Node is one process among those that share the work. Its fields are read only, once Run was called.
type Node struct {
	URL     string // of the database, whose state is open already
	Store   engine.Store
	Name    string // of this process, for people
	Workers int    // jobs at the same time
	Log     *slog.Logger
	Now     func() time.Time
	// Last tells when jobs were started last, each time that this node begins to lead.
	Last  func(ctx context.Context) (func(job string) time.Time, error)
	Ready func() // called once, when jobs can be triggered; may be nil
	// Alive is told how many nodes there are, this one included, whenever that changes; may be nil.
	Alive func(nodes int)
	Heard func(word string) // what another node said (see Say); may be nil
	// Part scans a part that a run on another node has put up (see Offer). nil: this node scans none.
	Part func(ctx context.Context, p engine.PartRef) error

	client *river.Client[pgx.Tx]
	pool   *pgxpool.Pool
	lease  string // of this node

	mu      sync.Mutex
	jobs    map[string]schedule.Job
	order   []string
	next    map[string]schedule.Schedule
	paused  map[string]bool
	epochs  map[string]int64     // see epoch
	running map[string]time.Time // here, by job
	awaited map[int64]chan<- end // by the leader, by number in the queue
	scans   map[scanAt]bool      // under way here, with parts that others may take
	loop    *schedule.Loop       // while this node leads
	leading context.Context      // likewise
	alive   context.Context      // of the jobs that run here: ends when this node was taken for dead
	die     context.CancelCauseFunc

	counting sync.Mutex
	nodes    int // that are alive
}

const (
	leaderLease = "(schedule)"
	leaderTTL   = 6 * time.Second // shorter than a run's: two leaders for a moment do no harm
	nodeTTL     = 6 * time.Second
	grace       = 20 * time.Second // for jobs after a stop
)

const nodeLeases = "(node "

func nodeLease(name string) string { return nodeLeases + name + ")" }

var (
	errDead    = errors.New("this node was taken for dead")
	errUnknown = errors.New("no such job")
)

// Run takes part in the work until ctx ends, then stops as schedule.Loop does.
func (n *Node) Run(ctx context.Context, jobs []schedule.Job) (err error) {
	if err := schedule.Check(jobs); err != nil {
		return err
	}
	n.Name += " " + strings.ToLower(rand.Text()[:6])
	n.lease = nodeLease(n.Name)
	pool, err := state.Pool(n.URL, 4)
	if err != nil {
		return err
	}
	defer pool.Close()
	n.mu.Lock()
	n.pool = pool // from now on it can talk
	n.mu.Unlock()
	if err := n.open(ctx); err != nil {
		return fmt.Errorf("open the queue: %w", err)
	}
	if _, err := n.Store.Lease(ctx, n.lease, n.Name, nodeTTL); err != nil {
		return err
	}
	n.count(ctx)
	n.revive()
	if err := n.set(jobs); err != nil { // from now on they can be triggered
		return err
	}
	rest := context.WithoutCancel(ctx)
	if err := n.client.Start(rest); err != nil {
		return fmt.Errorf("start the queue: %w", err)
	}
	n.Log.Info("taking part in the work", "node", n.Name, "workers", n.Workers)
	if n.Ready != nil {
		n.Ready()
	}
	beating, stopBeating := context.WithCancel(rest)
	var parts sync.WaitGroup
	parts.Go(func() { n.beat(beating) })
	parts.Go(func() { n.listen(beating) })
	n.lead(ctx)

	stopping, cancel := context.WithTimeout(rest, grace)
	defer cancel()
	err = n.client.Stop(stopping)
	if err != nil {
		n.die(context.Canceled)
		stopping, cancel := context.WithTimeout(rest, grace)
		defer cancel()
		if err = n.client.StopAndCancel(stopping); err != nil {
			err = fmt.Errorf("stopped while still running: %s", strings.Join(n.here(), ", "))
		}
	}
	stopBeating()
	parts.Wait()
	releasing, cancel := context.WithTimeout(rest, 5*time.Second)
	defer cancel()
	if rerr := n.Store.Release(releasing, n.lease, n.Name); rerr != nil {
		n.Log.Warn("this node will be taken for dead in a moment", "err", rerr)
	}
	n.say(releasing, comeOrGone)
	return err
}

// revive gives jobs a life that ends when this node is taken for dead.
func (n *Node) revive() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.alive, n.die = context.WithCancelCause(context.Background())
}

// beat shows that this node lives. One that stood still for too long finds that another took its lease: what runs here was
// given to others, and ends. Nothing else is lost by that.
func (n *Node) beat(ctx context.Context) {
	tick := time.NewTicker(nodeTTL / 3)
	defer tick.Stop()
	fence, dead := int64(0), false
	for {
		asking, cancel := context.WithTimeout(ctx, nodeTTL/2)
		now, err := n.Store.Lease(asking, n.lease, n.Name, nodeTTL)
		cancel()
		taken := errors.Is(err, engine.ErrLeased)
		switch {
		case taken && !dead, err == nil && fence != 0 && now != fence && !dead:
			n.Log.Warn("this node stood still and was taken for dead; what ran here goes on elsewhere", "node", n.Name)
			n.mu.Lock()
			die := n.die
			n.mu.Unlock()
			die(errDead)
			n.revive()
		case err != nil && !taken && ctx.Err() == nil:
			n.Log.Warn("this node cannot show that it lives", "err", err)
		}
		again := tick.C
		if dead = taken; dead { // who took the lease has it for a moment only
			again = time.After(100 * time.Millisecond)
		} else if err == nil {
			fence = now
			n.count(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-again:
		}
	}
}

// lead runs the loop whenever nobody else does, until ctx ends.
func (n *Node) lead(ctx context.Context) {
	tick := time.NewTicker(leaderTTL / 3)
	defer tick.Stop()
	for ctx.Err() == nil {
		if _, err := n.Store.Lease(ctx, leaderLease, n.Name, leaderTTL); err == nil {
			if err := n.leader(ctx); err != nil && ctx.Err() == nil {
				n.Log.Warn("another node may start the jobs now", "err", err)
			}
		} else if !errors.Is(err, engine.ErrLeased) && ctx.Err() == nil {
			n.Log.Warn("nobody knows which node starts the jobs", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// leader starts jobs until ctx ends or the lease is lost. However it ends, another node may lead.
func (n *Node) leader(ctx context.Context) (err error) {
	ctx, stop := context.WithCancelCause(ctx)
	var renewing sync.WaitGroup
	defer func() {
		err = errors.Join(err, context.Cause(ctx))
		stop(nil)
		renewing.Wait()
		rest, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err = errors.Join(err, n.takeRequests(rest, false), n.Store.Release(rest, leaderLease, n.Name))
	}()
	renewing.Go(func() { stop(n.keepLead(ctx)) })
	renewing.Go(func() { n.follow(ctx) })
	last, err := n.Last(ctx)
	if err != nil {
		return err
	}
	loop := &schedule.Loop{Log: n.Log, Now: n.Now, Last: last}
	loop.Ready = func() {
		for _, job := range n.pausedJobs() {
			loop.Pause(job, true)
		}
	}
	if err := n.takeRequests(ctx, true); err != nil {
		return err
	}
	n.Log.Info("starting the jobs of all nodes", "node", n.Name)
	n.mu.Lock()
	n.loop, n.leading = loop, ctx
	jobs := n.asked()
	n.mu.Unlock()
	err = loop.Run(ctx, jobs)
	n.mu.Lock()
	n.loop, n.leading = nil, nil
	n.mu.Unlock()
	return err
}

// takeRequests has this node work the requests, or not any more. It stops before it begins: while the database is away
// nothing can be stopped wholly, and what was left half stopped would stay so.
func (n *Node) takeRequests(ctx context.Context, take bool) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := n.client.Queues().Remove(ctx, requests); err != nil && !errors.Is(err, &river.QueueNotFoundError{}) {
		return fmt.Errorf("stop the queue of requests: %w", err)
	}
	if !take {
		return nil
	}
	return n.client.Queues().Add(requests, river.QueueConfig{MaxWorkers: 1})
}

// keepLead renews the lease of the leader until ctx ends, and returns why it is lost.
func (n *Node) keepLead(ctx context.Context) error {
	tick := time.NewTicker(leaderTTL / 3)
	defer tick.Stop()
	until := time.Now().Add(leaderTTL)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		began := time.Now()
		asking, cancel := context.WithDeadline(ctx, until)
		_, err := n.Store.Lease(asking, leaderLease, n.Name, leaderTTL)
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			until = began.Add(leaderTTL)
		case errors.Is(err, engine.ErrLeased) || time.Until(until) < leaderTTL/3:
			return err
		}
	}
}

// set takes over other jobs.
func (n *Node) set(jobs []schedule.Job) error {
	if err := schedule.Check(jobs); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.jobs, n.order, n.next = map[string]schedule.Job{}, nil, map[string]schedule.Schedule{}
	for _, j := range jobs {
		n.jobs[j.Name] = j
		n.order = append(n.order, j.Name)
		if j.Spec != "" {
			s, err := schedule.Parse(j.Spec, j.Location)
			if err != nil {
				return err
			}
			n.next[j.Name] = s
		}
	}
	return nil
}

// asked are the jobs as the leader's loop has them: each asks all nodes. n.mu is held.
func (n *Node) asked() []schedule.Job {
	ctx := n.leading
	jobs := make([]schedule.Job, len(n.order))
	for i, name := range n.order {
		jobs[i] = n.jobs[name]
		jobs[i].Run = func(_ context.Context, trigger string) error { return n.ask(ctx, name, trigger) }
	}
	return jobs
}

// Replace puts other jobs in place of the present ones. Those that run here go on as they began.
func (n *Node) Replace(jobs []schedule.Job) {
	if err := n.set(jobs); err != nil {
		n.Log.Error("new jobs refused, the old ones stay", "err", err)
		return
	}
	n.mu.Lock()
	loop, present := n.loop, []schedule.Job(nil)
	if loop != nil {
		present = n.asked()
	}
	n.mu.Unlock()
	if loop != nil {
		loop.Replace(present)
	}
}

// Pause stops a job from being started, wherever that would be: who pauses it tells every node. false if it was so already.
func (n *Node) Pause(job string, paused bool) (changed bool) {
	n.mu.Lock()
	loop := n.loop
	changed = n.paused[job] != paused
	if n.paused == nil {
		n.paused = map[string]bool{}
	}
	if paused {
		n.paused[job] = true
	} else {
		delete(n.paused, job)
	}
	n.mu.Unlock()
	if loop != nil {
		loop.Pause(job, paused)
	}
	return changed
}

func (n *Node) pausedJobs() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Collect(maps.Keys(n.paused))
}

// here names the jobs that run on this node.
func (n *Node) here() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Sorted(maps.Keys(n.running))
}

// Leads reports whether this node starts the jobs of all.
func (n *Node) Leads() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.loop != nil
}

// Status tells where every job stands: all of it on the node that leads, and when each is next and what runs here on the
// others.
func (n *Node) Status() []schedule.Status {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.loop != nil {
		return n.loop.Status()
	}
	list := make([]schedule.Status, len(n.order))
	for i, name := range n.order {
		list[i] = schedule.Status{Name: name, Next: n.next[name].Next(n.now()), Running: n.running[name], Paused: n.paused[name]}
	}
	return list
}

func (n *Node) now() time.Time {
	if n.Now != nil {
		return n.Now()
	}
	return time.Now()
}
