package state

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/record"
)

// tellers is the first half of the advisory lock that keeps apart who writes what was said of one sync: several nodes may
// be told at once.
const tellers = 7461

// telling runs do in a transaction that no other one about what was said of a sync overlaps. It has a lane of its own, so
// that a system which tells of changes need not wait for what a run writes.
func (s *Store) telling(ctx context.Context, op, sync string, size int, do func(c *conn) error) error {
	return s.write(ctx, "told "+sync, op+" of "+sync, size, func(c *conn, _ bool) error {
		if c.dialect().postgres {
			if err := c.exec("SELECT pg_advisory_xact_lock(?, hashtext(?))", tellers, sync); err != nil {
				return err
			}
		}
		return do(c)
	})
}

const tell = "INSERT INTO told (sync, side, key, mark, at) VALUES (?,?,?,?,?) ON CONFLICT (sync, side, key) DO UPDATE SET mark = excluded.mark, at = excluded.at"

// Tell keeps what was said of a sync.
func (s *Store) Tell(ctx context.Context, sync string, told []engine.Told) error {
	told = slices.SortedFunc(slices.Values(told), byRecord)
	told = slices.CompactFunc(told, func(a, b engine.Told) bool { return byRecord(a, b) == 0 })
	if len(told) == 0 {
		return nil
	}
	all := len(told) > engine.MostTold || slices.ContainsFunc(told, func(t engine.Told) bool { return t.Key == "" })
	return s.telling(ctx, "keep what was said", sync, len(told), func(c *conn) error {
		all := all
		if !all {
			n, err := c.number("SELECT EXISTS (SELECT 1 FROM told WHERE sync = ? AND key = '')", sync)
			if err != nil {
				return err
			}
			all = n != 0
		}
		if !all {
			for _, t := range told {
				if err := c.exec(tell, sync, t.Side, t.Key, rand.Int64(), s.now()); err != nil {
					return err
				}
			}
			n, err := c.number("SELECT count(*) FROM told WHERE sync = ?", sync)
			if err != nil || n <= engine.MostTold {
				return err
			}
		}
		if err := c.exec(tell, sync, record.Left, "", rand.Int64(), s.now()); err != nil {
			return err
		}
		return c.exec("DELETE FROM told WHERE sync = ? AND key <> ''", sync)
	})
}

func byRecord(a, b engine.Told) int {
	if a.Side != b.Side {
		return int(a.Side) - int(b.Side)
	}
	return strings.Compare(a.Key, b.Key)
}

// Told lists what was said of a sync.
func (s *Store) Told(ctx context.Context, sync string) (told []engine.Told, err error) {
	err = s.read(ctx, func(c *conn) error {
		told = nil
		return c.each("SELECT side, key, mark, tries FROM told WHERE sync = ? ORDER BY side, key", func(r row) error {
			told = append(told, engine.Told{Side: record.Side(r.int(0)), Key: r.text(1), Mark: r.int(2), Tries: int(r.int(3))})
			return nil
		}, sync)
	})
	if err != nil {
		return nil, fmt.Errorf("read what was said of %s: %w", sync, err)
	}
	return told, nil
}

// Heed forgets what a run has looked at.
func (s *Store) Heed(ctx context.Context, sync string, told []engine.Told) error {
	return s.telling(ctx, "forget what was said", sync, 1+len(told), func(c *conn) error {
		for _, t := range told {
			if err := c.exec("DELETE FROM told WHERE sync = ? AND side = ? AND key = ? AND mark = ?", sync, t.Side, t.Key, t.Mark); err != nil {
				return err
			}
		}
		return c.exec("UPDATE told SET tries = 0, next = 0 WHERE sync = ? AND next <> 0", sync)
	})
}

// PutOff has what was said of a sync wait.
func (s *Store) PutOff(ctx context.Context, sync string, until time.Time) error {
	return s.telling(ctx, "put off what was said", sync, 1, func(c *conn) error {
		return c.exec("UPDATE told SET tries = tries + 1, next = ? WHERE sync = ?", until, sync)
	})
}

// Due lists the syncs that have something to look at.
func (s *Store) Due(ctx context.Context, now time.Time) (syncs []string, err error) {
	err = s.read(ctx, func(c *conn) error {
		syncs = nil
		return c.each("SELECT DISTINCT sync FROM told WHERE next <= ?1 AND at <= ?1 ORDER BY sync", func(r row) error {
			syncs = append(syncs, r.text(0))
			return nil
		}, now)
	})
	if err != nil {
		return nil, fmt.Errorf("read of which syncs something was said: %w", err)
	}
	return syncs, nil
}
