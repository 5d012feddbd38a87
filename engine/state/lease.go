package state

import (
	"context"
	"fmt"
	"time"

	"github.com/fieldsync/fieldsync/engine"
)

// takeLease takes or renews a lease in one statement, which has an answer if it could. The fence stays while the holder
// does, also over a gap that nobody else used, and grows with every other holder. %[1]s is what time it is.
const takeLease = `INSERT INTO lease (sync, owner, fence, expires) VALUES (?1, ?2, 1, %[1]s + ?3)
	ON CONFLICT (sync) DO UPDATE SET owner = excluded.owner, expires = excluded.expires,
		fence = CASE WHEN lease.owner = excluded.owner THEN lease.fence ELSE lease.fence + 1 END
	WHERE lease.owner = '' OR lease.owner = excluded.owner OR lease.expires <= %[1]s
	RETURNING fence`

// serverTime is what time it is by the database's clock.
const serverTime = "(extract(epoch FROM clock_timestamp()) * 1000000000)::bigint"

// Lease takes or renews the right to run a sync.
func (s *Store) Lease(ctx context.Context, sync, owner string, ttl time.Duration) (fence int64, err error) {
	clock, args := "CAST(?4 AS bigint)", []any{sync, owner, int64(ttl)}
	if s.serverClock {
		clock = serverTime
	} else {
		args = append(args, s.now())
	}
	query := fmt.Sprintf(takeLease, clock)
	err = s.write(ctx, "lease "+sync, "lease "+sync, 1, func(c *conn, _ bool) error {
		taken, err := c.one(query, func(r row) { fence = r.int(0) }, args...)
		if err != nil || taken {
			return err
		}
		held := &engine.LeasedError{}
		if _, err := c.one("SELECT owner, expires FROM lease WHERE sync = ?", func(r row) {
			held.Owner, held.Until = r.text(0), instant(r.int(1))
		}, sync); err != nil {
			return err
		}
		return held
	})
	if err != nil {
		return 0, err
	}
	return fence, nil
}

// Release gives the lease back. Who does not hold it any more has nothing to give back: no error.
func (s *Store) Release(ctx context.Context, sync, owner string) error {
	return s.write(ctx, "lease "+sync, "release "+sync, 1, func(c *conn, _ bool) error {
		return c.exec("UPDATE lease SET owner = '', expires = 0 WHERE sync = ? AND owner = ?", sync, owner)
	})
}

// Leased lists the leases that are alive.
func (s *Store) Leased(ctx context.Context, prefix string) (names []string, err error) {
	clock, args := "CAST(?3 AS bigint)", []any{prefix, prefix + last}
	if s.serverClock {
		clock = serverTime
	} else {
		args = append(args, s.now())
	}
	err = s.read(ctx, func(c *conn) error {
		names = nil
		return c.each("SELECT sync FROM lease WHERE sync >= ?1 AND sync < ?2 AND owner <> '' AND expires > "+clock+" ORDER BY sync", func(r row) error {
			names = append(names, r.text(0))
			return nil
		}, args...)
	})
	if err != nil {
		return nil, fmt.Errorf("read who has leases: %w", err)
	}
	return names, nil
}

// checkFence gives ErrLeaseLost unless fence is the newest one. It runs inside every transaction that writes to a book,
// and nobody else can take the lease before that transaction has ended.
func checkFence(c *conn, sync string, fence int64) error {
	newest, err := c.number("SELECT fence FROM lease WHERE sync = ?"+c.dialect().lock, sync)
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
