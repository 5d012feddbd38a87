package state

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine"
)

// ErrNotEmpty is a state that something is remembered in already.
var ErrNotEmpty = errors.New("it is not empty")

// A Copied says what was copied.
type Copied struct {
	Rows   int64  `json:"rows"`
	Digest string `json:"digest"`
}

// CopyTo copies all that is remembered to an empty state of either kind: whole, or not at all. It has the leases of all
// syncs meanwhile, as owner, so that no run is under way; ErrLeased if one is. What was written is read back before it is
// made durable, and its digest compared. progress is told of each table what was copied; nil: nobody.
func (s *Store) CopyTo(ctx context.Context, to *Store, owner string, progress func(table string, rows int64)) (Copied, error) {
	var done Copied
	ctx, letGo, err := s.leaseAll(ctx, owner)
	if err != nil {
		return done, err
	}
	err = s.readAll(ctx, func(from *conn) error {
		return to.writeAll(ctx, func(c *conn) (err error) {
			done, err = copyAll(ctx, from, c, progress)
			return err
		})
	})
	if err = errors.Join(err, letGo()); err != nil {
		return Copied{}, fmt.Errorf("copy %s to %s: %w", s.name, to.name, err)
	}
	return done, nil
}

// leaseAll takes the leases of every sync that is known and keeps them until letGo.
func (s *Store) leaseAll(ctx context.Context, owner string) (_ context.Context, letGo func() error, err error) {
	var syncs []string
	err = s.read(ctx, func(c *conn) error {
		syncs = syncs[:0]
		return c.each("SELECT name FROM sync UNION SELECT sync FROM lease", func(r row) error { syncs = append(syncs, r.text(0)); return nil })
	})
	if err != nil {
		return ctx, nil, fmt.Errorf("read the syncs: %w", err)
	}
	slices.Sort(syncs)
	const ttl = 30 * time.Second
	took := 0
	release := func() (err error) {
		for _, sync := range syncs[:took] {
			err = errors.Join(err, s.Release(context.WithoutCancel(ctx), sync, owner))
		}
		return err
	}
	for _, sync := range syncs {
		if _, err := s.Lease(ctx, sync, owner, ttl); err != nil {
			return ctx, nil, errors.Join(err, release())
		}
		took++
	}
	ctx, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(ttl / 3)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			for _, sync := range syncs {
				if _, err := s.Lease(ctx, sync, owner, ttl); err != nil && ctx.Err() == nil {
					cancel(fmt.Errorf("%w: %w", engine.ErrLeaseLost, err))
					return
				}
			}
		}
	}()
	return ctx, func() error {
		lost := context.Cause(ctx)
		cancel(context.Canceled)
		<-ended
		return errors.Join(lost, release())
	}, nil
}

// copyAll copies table by table, reads back what it wrote and compares.
func copyAll(ctx context.Context, from, to *conn, progress func(string, int64)) (Copied, error) {
	for _, t := range contents {
		n, err := to.number("SELECT EXISTS (SELECT 1 FROM " + t.name + ")")
		if err != nil {
			return Copied{}, err
		}
		if n != 0 {
			return Copied{}, &connectors.Error{Op: "copy the state", Kind: ErrNotEmpty, Detail: "something is remembered there already (" + t.name + ")",
				Hint: "name a file that is not there, or an empty database"}
		}
	}
	var read, written sum
	for _, t := range contents {
		n, err := t.copy(ctx, from, to, &read)
		if err != nil {
			return Copied{}, fmt.Errorf("%s: %w", t.name, err)
		}
		if progress != nil {
			progress(t.name, n)
		}
	}
	last, err := read.counters(from)
	if err != nil {
		return Copied{}, err
	}
	if err := to.count(last); err != nil {
		return Copied{}, err
	}
	if ctx.Err() != nil {
		return Copied{}, context.Cause(ctx) // the lease may be lost
	}
	if err := written.read(to); err != nil {
		return Copied{}, err
	}
	if read.String() != written.String() {
		return Copied{}, fmt.Errorf("what was written is not what was read: digests %s and %s", written.String(), read.String())
	}
	return Copied{read.rows - int64(len(last)), read.String()}, nil
}

// copy copies one table, a few hundred rows at a time.
func (t *table) copy(ctx context.Context, from, to *conn, read *sum) (n int64, err error) {
	columns, values := strings.Join(t.columns, ", "), len(t.columns)
	if t.name == "lease" {
		columns += ", owner, expires" // nobody has it
		values += 2
	}
	insert := newRows("INSERT INTO "+t.name+" ("+columns+") VALUES ", values, "")
	const chunk = 512
	rows := make([]row, 0, chunk)
	flush := func() error {
		err := insert.store(to, len(rows), func(args []any, i int) []any {
			for _, v := range rows[i] {
				args = append(args, v)
			}
			if t.name == "lease" {
				args = append(args, "", 0)
			}
			return args
		})
		n += int64(len(rows))
		rows = rows[:0]
		return err
	}
	err = t.each(from, func(r row) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		read.add(t.name, r)
		if rows = append(rows, slices.Clone(r)); len(rows) < chunk {
			return nil
		}
		return flush()
	})
	if err == nil {
		err = flush()
	}
	return n, err
}
