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

// A write is one caller's part of a transaction.
type write struct {
	ctx  context.Context
	size int
	do   func(*conn) error // whole or not at all; may run again after others failed
	err  error
	done chan struct{}
}

// write has do carried out by the writing goroutine and returns when it is durable. do may run more than once,
// so it changes nothing but the database. It is not called any more after ctx ended.
func (s *Store) write(ctx context.Context, op string, size int, do func(*conn) error) error {
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
	}
}

func (s *Store) commit(group []*write) {
	defer func() {
		for _, w := range group {
			close(w.done)
		}
	}()
	err := s.writer.exec("BEGIN IMMEDIATE")
	if err == nil {
		err = s.transact(group)
		if err == nil || len(group) == 1 {
			group[0].fail(err)
			return
		}
		// The transaction is lost, for everybody in it. Only one of them may be to blame, so each tries alone.
		for _, w := range group {
			if err := s.writer.exec("BEGIN IMMEDIATE"); err != nil {
				w.fail(err)
				continue
			}
			w.fail(s.transact([]*write{w}))
		}
		return
	}
	for _, w := range group {
		w.fail(err)
	}
}

func (w *write) fail(err error) {
	if err != nil {
		w.err = err
	}
}

// transact carries a group out in the transaction that was begun. A write that fails alone has its error in it;
// what is returned concerns all.
func (s *Store) transact(group []*write) error {
	c := s.writer
	for _, w := range group {
		w.err = c.attempt(func() error {
			if err := w.ctx.Err(); err != nil {
				return err
			}
			return w.do(c)
		})
		if !c.inTx() {
			return errors.Join(errRolledBack, w.err)
		}
	}
	err := c.exec("COMMIT")
	if err != nil && c.inTx() {
		err = errors.Join(err, c.exec("ROLLBACK"))
	}
	return err
}
