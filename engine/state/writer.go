package state

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// groupSize is how many rows of work are gathered into one transaction: beyond about ten thousand a larger one
// gains nothing, and a huge one costs half more.
const groupSize = 10000

var errRolledBack = errors.New("the transaction was rolled back")

// A job does one caller's part of a transaction. It changes nothing but the database, since it may run again: first
// without care, when anything that goes wrong undoes the whole transaction, then with care, when what cannot be
// stored must undo itself alone. Savepoints cost a copy of every page that is changed, and are needed so rarely.
type job func(c *conn, careful bool) error

// A write is a job and who waits for it.
type write struct {
	ctx  context.Context
	size int
	do   job
	err  error
	done chan struct{}
}

// A lane is a queue of writes that are carried out one group after the other. A file has one, since only one
// connection can write to it; a server has one for each sync, whose writes would wait for each other there anyway.
type lane struct {
	mu      sync.Mutex
	waiting []*write
	served  bool
}

// write has do carried out in a transaction and returns when it is durable. It is not called any more after ctx
// ended.
func (s *Store) write(ctx context.Context, sync, op string, size int, do job) error {
	if s.readOnly {
		return fmt.Errorf("%s: %w: %s", op, ErrReadOnly, s.name)
	}
	w := &write{ctx: ctx, size: size, do: do, done: make(chan struct{})}
	if err := s.enqueue(s.db.lane(sync), w); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	<-w.done
	if w.err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", op, s.db.fault("write state", w.err))
}

func (s *Store) enqueue(name string, w *write) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	l := s.lanes[name]
	if l == nil {
		l = &lane{}
		s.lanes[name] = l
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = append(l.waiting, w)
	if !l.served {
		l.served = true
		s.busy.Go(func() { s.serve(l) })
	}
	return nil
}

// serve carries out what waits in a lane until nothing does. While one transaction is made durable, callers queue up
// for the next.
func (s *Store) serve(l *lane) {
	for {
		group := l.next()
		if len(group) == 0 {
			return
		}
		s.commit(group)
		for _, w := range group {
			close(w.done)
		}
	}
}

// next takes as much as one transaction should hold.
func (l *lane) next() []*write {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, size := 0, 0
	for n < len(l.waiting) && size < groupSize {
		size += l.waiting[n].size
		n++
	}
	group := l.waiting[:n:n]
	l.waiting = l.waiting[n:]
	if n == 0 {
		l.waiting, l.served = nil, false
	}
	return group
}

// commit stores what a group wants. When that fails, each of the group tries by itself and with care: usually only
// one is to blame.
func (s *Store) commit(group []*write) {
	certain, err := s.db.transact(func(c *conn) error { return carry(c, group, false) })
	if err == nil {
		return
	}
	for _, w := range group {
		if w.err = err; certain {
			_, w.err = s.db.transact(func(c *conn) error { return carry(c, []*write{w}, true) })
		}
	}
}

// carry carries a group out in the transaction that was begun.
func carry(c *conn, group []*write, careful bool) error {
	for _, w := range group {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		if err := w.do(c, careful); err != nil {
			return err
		}
		if !c.inTx() {
			return errRolledBack
		}
	}
	return nil
}
