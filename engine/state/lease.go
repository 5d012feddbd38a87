package state

import (
	"context"
	"fmt"
	"time"

	"github.com/fieldsync/fieldsync/engine"
)

// Lease takes or renews the right to run a sync. The fence stays while the holder does, also over a gap that
// nobody else used, and grows with every other holder.
func (s *Store) Lease(ctx context.Context, sync, owner string, ttl time.Duration) (int64, error) {
	var fence int64
	err := s.write(ctx, "lease "+sync, 1, func(c *conn, _ bool) error {
		now := s.now()
		var holder string
		var expires time.Time
		fence = 0
		if _, err := c.one("SELECT owner, fence, expires FROM lease WHERE sync = ?", func(r row) {
			holder, fence, expires = r.text(0), r.int(1), instant(r.int(2))
		}, sync); err != nil {
			return err
		}
		if holder != "" && holder != owner && now.Before(expires) {
			return &engine.LeasedError{Owner: holder, Until: expires}
		}
		if holder != owner {
			fence++
		}
		return c.exec("INSERT INTO lease (sync, owner, fence, expires) VALUES (?,?,?,?) ON CONFLICT (sync) DO UPDATE SET owner = excluded.owner, fence = excluded.fence, expires = excluded.expires",
			sync, owner, fence, now.Add(ttl))
	})
	if err != nil {
		return 0, err
	}
	return fence, nil
}

// Release gives the lease back. Who does not hold it any more has nothing to give back: no error.
func (s *Store) Release(ctx context.Context, sync, owner string) error {
	return s.write(ctx, "release "+sync, 1, func(c *conn, _ bool) error {
		return c.exec("UPDATE lease SET owner = '', expires = 0 WHERE sync = ? AND owner = ?", sync, owner)
	})
}

// checkFence gives ErrLeaseLost unless fence is the newest one. It runs inside every transaction that writes to a book.
func checkFence(c *conn, sync string, fence int64) error {
	newest, err := c.number("SELECT fence FROM lease WHERE sync = ?", sync)
	if err != nil {
		return err
	}
	switch {
	case fence <= 0:
		return fmt.Errorf("%w: the book was opened for reading, without a lease", engine.ErrLeaseLost)
	case fence != newest:
		return fmt.Errorf("%w: it has fence %d, the newest is %d", engine.ErrLeaseLost, fence, newest)
	}
	return nil
}
