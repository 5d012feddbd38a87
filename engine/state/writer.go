package state

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/fieldsync/fieldsync/engine"
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
	fold *folding // what it stores, where that can be stored together with what others bring: do is for when that fails
	err  error
	done chan struct{}
}

// A folding is what a book has to store of some links, and where their IDs go.
type folding struct {
	b     *book
	folds []engine.Fold
	ids   []int64
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
	return s.hand(sync, op, &write{ctx: ctx, size: size, do: do})
}

// hand gives a write to its lane and waits for it.
func (s *Store) hand(sync, op string, w *write) error {
	if s.readOnly {
		return fmt.Errorf("%s: %w: %s", op, ErrReadOnly, s.name)
	}
	w.done = make(chan struct{})
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
	for len(group) > 0 {
		w := group[0]
		if err := w.ctx.Err(); err != nil {
			return err
		}
		n := 1
		var err error
		if w.fold != nil && !careful {
			n, err = together(c, group)
		} else {
			err = w.do(c, careful)
		}
		if err != nil {
			return err
		}
		if !c.inTx() {
			return errRolledBack
		}
		group = group[n:]
	}
	return nil
}

// together stores the folds that a group begins with, as far as they are for the same book, as if one caller had brought
// them: that takes as many statements as those of one. It returns how many of the group that were.
func together(c *conn, group []*write) (int, error) {
	all := *group[0].fold
	n := 1
	for n < len(group) && group[n].fold != nil && group[n].fold.b == all.b && group[n].ctx.Err() == nil {
		n++
	}
	if n > 1 {
		all.folds = nil
		for _, w := range group[:n] {
			all.folds = append(all.folds, w.fold.folds...)
		}
		all.ids = make([]int64, len(all.folds))
	}
	if err := checkFence(c, all.b.name, all.b.fence); err != nil {
		return n, err
	}
	if err := all.b.fold(c, all.folds, all.ids); err != nil {
		return n, err
	}
	if ids := all.ids; n > 1 {
		for _, w := range group[:n] {
			ids = ids[copy(w.fold.ids, ids):]
		}
	}
	return n, nil
}
