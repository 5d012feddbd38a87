package cluster

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/riverqueue/river"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A part is a job to scan a part of what a run reads, by any node but the one of the run, which scans what nobody else has
// taken. So nothing depends on it being worked at all.
type part struct {
	Sync  string `json:"sync" river:"unique"`
	Fence int64  `json:"fence" river:"unique"` // of the run
	Side  int    `json:"side" river:"unique"`
	N     int    `json:"n" river:"unique"`
	Rules string `json:"rules"`
	Node  string `json:"node"` // of the run
}

func (part) Kind() string { return "part" }

// InsertOpts has runs come before parts of others: those have somebody who sees to them.
func (part) InsertOpts() river.InsertOpts {
	return river.InsertOpts{MaxAttempts: attempts, Priority: 3, UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: unfinished}}
}

func (p part) ref() engine.PartRef {
	return engine.PartRef{Sync: p.Sync, Fence: p.Fence, Side: record.Side(p.Side), N: p.N, Rules: p.Rules}
}

// scanAt tells the scan of a side that is under way.
type scanAt struct {
	sync  string
	fence int64
	side  record.Side
}

// Others reports whether there are other nodes.
func (n *Node) Others(context.Context) bool {
	n.counting.Lock()
	defer n.counting.Unlock()
	return n.nodes > 1
}

// Offer queues parts of a scan that runs here, the last one first, since the run itself begins with the first.
func (n *Node) Offer(ctx context.Context, refs []engine.PartRef) (withdraw func(), err error) {
	jobs := make([]river.InsertManyParams, 0, len(refs))
	for i := len(refs) - 1; i >= 0; i-- {
		r := refs[i]
		jobs = append(jobs, river.InsertManyParams{Args: part{r.Sync, r.Fence, int(r.Side), r.N, r.Rules, n.Name}})
	}
	at := scanAt{refs[0].Sync, refs[0].Fence, refs[0].Side}
	n.offer(at, true)
	if _, err := n.client.InsertMany(ctx, jobs); err != nil {
		n.offer(at, false)
		return nil, err
	}
	return func() { n.offer(at, false) }, nil
}

func (n *Node) offer(at scanAt, under bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.scans == nil {
		n.scans = map[scanAt]bool{}
	}
	if under {
		n.scans[at] = true
	} else {
		delete(n.scans, at)
	}
}

// offered reports whether a scan that runs here wants its parts taken by others.
func (n *Node) offered(p part) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.scans[scanAt{p.Sync, p.Fence, record.Side(p.Side)}]
}

// A scanner scans parts on this node.
type scanner struct {
	river.WorkerDefaults[part]
	n *Node
}

func (s *scanner) Timeout(*river.Job[part]) time.Duration { return longest }

func (s *scanner) NextRetry(*river.Job[part]) time.Time { return time.Now().Add(time.Second) }

// Work scans a part. What goes wrong is said here, and is otherwise for the run to deal with; a stop of this node leaves the
// part to another.
func (s *scanner) Work(ctx context.Context, j *river.Job[part]) error {
	n, p := s.n, j.Args
	if p.Node == n.Name {
		if n.offered(p) {
			return river.JobSnooze(apart(time.Second)) // for another node; this one is at work on the others
		}
		return nil
	}
	if n.Part == nil {
		return nil
	}
	n.mu.Lock()
	alive := n.alive
	n.mu.Unlock()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(alive, func() { cancel(context.Cause(alive)) })()
	err := n.Part(ctx, p.ref())
	switch {
	case err == nil:
		return nil
	case errors.Is(err, engine.ErrOtherRules):
		if time.Since(j.CreatedAt) < young {
			return river.JobSnooze(time.Second) // the files of some nodes are edited before those of others
		}
		n.Log.Info("a part is left to others", "sync", p.Sync, "part", p.N+1, "why", err)
		return nil
	case ctx.Err() != nil:
		return err
	}
	n.Log.Warn("a part could not be scanned here; the node of the run does it", "sync", p.Sync, "part", p.N+1, "err", err)
	return nil
}

// apart is about as long as usual. Nodes that ask in step would find the same one to be first each time, and the parts that
// this one puts off would never be there when another asks.
func apart(usual time.Duration) time.Duration { return usual*3/4 + rand.N(usual/2) }
