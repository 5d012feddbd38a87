package state

import (
	"context"
	"errors"
	"fmt"
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

// write has do carried out by the writing goroutine and returns when it is durable. It is not called any more
// after ctx ended.
func (s *Store) write(ctx context.Context, op string, size int, do job) error {
	if s.readOnly {
		return fmt.Errorf("%s: %w: %s", op, ErrReadOnly, s.path)
	}
	w := &write{ctx: ctx, size: size, do: do, done: make(chan struct{})}
	if err := s.enqueue(w); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	<-w.done
	if w.err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", op, fault("write state", s.path, w.err))
}

func (s *Store) enqueue(w *write) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return ErrClosed
	}
	select {
	case s.queue <- w:
		return nil
	case <-w.ctx.Done():
		return w.ctx.Err()
	}
}

// writeLoop is the only place that writes. While one transaction is made durable, callers queue up for the next.
func (s *Store) writeLoop() {
	defer close(s.idle)
	for w := range s.queue {
		group, size := []*write{w}, w.size
	gather:
		for size < groupSize {
			select {
			case w, ok := <-s.queue:
				if !ok {
					break gather
				}
				group, size = append(group, w), size+w.size
			default:
				break gather
			}
		}
		s.commit(group)
		for _, w := range group {
			close(w.done)
		}
	}
}

// commit stores what a group wants. When that fails, each of the group tries by itself and with care: usually only
// one is to blame.
func (s *Store) commit(group []*write) {
	busy := s.writer.exec("BEGIN IMMEDIATE")
	if busy == nil && s.transact(group, false) == nil {
		return
	}
	for _, w := range group {
		err := busy
		if err == nil {
			if err = s.writer.exec("BEGIN IMMEDIATE"); err == nil {
				err = s.transact([]*write{w}, true)
			}
		}
		w.err = err
	}
}

// transact carries a group out in the transaction that was begun: whole, or not at all with an error.
func (s *Store) transact(group []*write, careful bool) (err error) {
	c := s.writer
	for _, w := range group {
		if err = w.ctx.Err(); err == nil {
			err = w.do(c, careful)
		}
		if err == nil && !c.inTx() {
			err = errRolledBack
		}
		if err != nil {
			break
		}
	}
	if err == nil {
		err = c.exec("COMMIT")
	}
	if err != nil && c.inTx() {
		err = errors.Join(err, c.exec("ROLLBACK"))
	}
	return err
}
