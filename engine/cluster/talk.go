package cluster

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// What nodes say to each other are hints, through LISTEN and NOTIFY of the database that they share: they come at once, and
// may be lost. Whatever they are about is in the state.

// comeOrGone is said by a node that is new or leaves.
const comeOrGone = ""

// again is how long a node waits until it listens again after its connection broke.
const again = time.Second

// channel is where the nodes of one state talk: there may be several states in one database.
const channel = "SELECT 'fieldsync ' || current_schema()"

// Say tells the other nodes something, of a few thousand bytes at most. Who is not there does not hear it.
func (n *Node) Say(ctx context.Context, word string) {
	if word != comeOrGone {
		n.say(ctx, word)
	}
}

func (n *Node) say(ctx context.Context, word string) {
	n.mu.Lock()
	pool := n.pool
	n.mu.Unlock()
	if pool == nil {
		return
	}
	if _, err := pool.Exec(ctx, "SELECT pg_notify(("+channel+"), $1)", n.Name+"\n"+word); err != nil && ctx.Err() == nil {
		n.Log.Debug("the other nodes were not told", "err", err)
	}
}

// listen hears what other nodes say until ctx ends.
func (n *Node) listen(ctx context.Context) {
	for ctx.Err() == nil {
		if err := n.hear(ctx); err != nil && ctx.Err() == nil {
			n.Log.Debug("the other nodes are not heard; trying again", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(again):
		}
	}
}

func (n *Node) hear(ctx context.Context) error {
	c, err := n.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	conn := c.Hijack() // it goes on listening: nobody else may get it
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), again)
		defer cancel()
		_ = conn.Close(closing) // it broke, or the node stops
	}()
	var name string
	if err := conn.QueryRow(ctx, channel).Scan(&name); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{name}.Sanitize()); err != nil {
		return err
	}
	n.say(ctx, comeOrGone)
	n.count(ctx)
	for {
		waiting, cancel := context.WithTimeout(ctx, nodeTTL)
		told, err := conn.WaitForNotification(waiting)
		cancel()
		if err != nil && ctx.Err() == nil && !conn.IsClosed() { // it was silent: is it still there?
			asking, cancel := context.WithTimeout(ctx, nodeTTL/2)
			err = conn.Ping(asking)
			cancel()
			if err == nil {
				continue
			}
		}
		if err != nil {
			return err
		}
		from, word, _ := strings.Cut(told.Payload, "\n")
		switch {
		case from == n.Name:
		case word == comeOrGone:
			n.count(ctx)
		case n.Heard != nil:
			n.Heard(word)
		}
	}
}

// count finds out how many nodes are alive. One that cannot tell takes it to be as many as before.
func (n *Node) count(ctx context.Context) {
	n.counting.Lock()
	defer n.counting.Unlock()
	asking, cancel := context.WithTimeout(ctx, nodeTTL/2)
	defer cancel()
	names, err := n.Store.Leased(asking, nodeLeases)
	if err != nil {
		return
	}
	alive := 1
	for _, name := range names {
		if name != n.lease {
			alive++
		}
	}
	if alive == n.nodes {
		return
	}
	n.nodes = alive
	n.Log.Info("nodes that share the work", "nodes", alive)
	if n.Alive != nil {
		n.Alive(alive)
	}
}
