package state

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A book is the memory of one sync.
type book struct {
	s     *Store
	name  string
	id    int64 // 0: nothing was ever stored for this sync
	fence int64
	paths [2][]string
	shape [2]int64 // of paths; 0 in a book for reading whose paths were never stored

	mu    sync.Mutex
	slots map[int64]projection // by shape
}

// A projection says for each slot at which position of a stored shape its value is; -1: nowhere. nil: as stored.
type projection []int

// Book opens the memory of a sync. With a fence it makes sure that there is a place to write to.
func (s *Store) Book(ctx context.Context, sync string, paths [2][]string, fence int64) (engine.Book, error) {
	b := &book{s: s, name: sync, fence: fence, slots: map[int64]projection{},
		paths: [2][]string{slices.Clone(paths[0]), slices.Clone(paths[1])}}
	var lists [2]string
	for _, side := range record.Sides {
		list, err := json.Marshal(append([]string{}, paths[side]...))
		if err != nil {
			return nil, fmt.Errorf("open the book of %s: %w", sync, err)
		}
		lists[side] = string(list)
	}
	look := func(c *conn) (err error) {
		b.id, err = c.number("SELECT id FROM sync WHERE name = ?", sync)
		for _, side := range record.Sides {
			if err == nil {
				b.shape[side], err = c.number("SELECT id FROM shape WHERE sync = ? AND side = ? AND paths = ?", b.id, side, lists[side])
			}
		}
		return err
	}
	err := s.read(ctx, look)
	if err == nil && fence > 0 && !s.readOnly && (b.id == 0 || b.shape[0] == 0 || b.shape[1] == 0) {
		err = s.write(ctx, sync, "open the book of "+sync, 1, func(c *conn, _ bool) error {
			if err := checkFence(c, sync, fence); err != nil {
				return err
			}
			id, err := ensureSync(c, sync)
			if err != nil {
				return err
			}
			for _, side := range record.Sides {
				if err := c.exec("INSERT INTO shape (sync, side, paths) VALUES (?,?,?) ON CONFLICT DO NOTHING", id, side, lists[side]); err != nil {
					return err
				}
			}
			return nil
		})
		if err == nil {
			err = s.read(ctx, look)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open the book of %s: %w", sync, err)
	}
	return b, nil
}

// write runs do in a transaction that the fence allows.
func (b *book) write(ctx context.Context, op string, size int, do job) error {
	return b.s.write(ctx, b.name, op+" of "+b.name, size, func(c *conn, careful bool) error {
		if err := checkFence(c, b.name, b.fence); err != nil {
			return err
		}
		return do(c, careful)
	})
}

func (b *book) read(ctx context.Context, op string, f func(*conn) error) error {
	if err := b.s.read(ctx, f); err != nil {
		return fmt.Errorf("%s of %s: %w", op, b.name, err)
	}
	return nil
}

// Prints emits every fingerprint of a side by hash.
func (b *book) Prints(ctx context.Context, s record.Side, emit func(engine.Print) error) error {
	const size = 8192
	page := make([]engine.Print, 0, size)
	for after, first := int64(math.MinInt64), true; ; first = false {
		query := "SELECT hash, print FROM print WHERE sync = ? AND side = ? AND hash > ? ORDER BY hash LIMIT ?"
		if first {
			query = "SELECT hash, print FROM print WHERE sync = ? AND side = ? AND hash >= ? ORDER BY hash LIMIT ?"
		}
		err := b.read(ctx, "read fingerprints", func(c *conn) error {
			page = page[:0]
			return c.each(query, func(r row) error {
				page = append(page, engine.Print{Hash: unsortable(r.int(0)), Print: uint64(r.int(1))})
				return nil
			}, b.id, s, after, size)
		})
		if err != nil {
			return err
		}
		for _, p := range page {
			if err := emit(p); err != nil {
				return err
			}
		}
		if len(page) < size {
			return nil
		}
		after = sortable(page[size-1].Hash)
	}
}

// Print returns one fingerprint.
func (b *book) Print(ctx context.Context, s record.Side, hash uint64) (p engine.Print, found bool, err error) {
	err = b.read(ctx, "read a fingerprint", func(c *conn) (err error) {
		found, err = c.one("SELECT print FROM print WHERE sync = ? AND side = ? AND hash = ?", func(r row) {
			p = engine.Print{Hash: hash, Print: uint64(r.int(0))}
		}, b.id, s, sortable(hash))
		return err
	})
	return p, found, err
}

var printsOf = newUnion("SELECT hash, print FROM print WHERE sync = ? AND side = ? AND hash = ?")

// PrintsOf emits some fingerprints.
func (b *book) PrintsOf(ctx context.Context, s record.Side, hashes []uint64, emit func(engine.Print) error) error {
	var page []engine.Print
	err := b.read(ctx, "read fingerprints", func(c *conn) error {
		page = page[:0]
		return printsOf.run(c, len(hashes), func(args []any, i int) []any { return append(args, b.id, s, sortable(hashes[i])) }, func(r row) error {
			page = append(page, engine.Print{Hash: unsortable(r.int(0)), Print: uint64(r.int(1))})
			return nil
		})
	})
	if err != nil {
		return err
	}
	for _, p := range page {
		if err := emit(p); err != nil {
			return err
		}
	}
	return nil
}

// Cursor returns how far a side was observed.
func (b *book) Cursor(ctx context.Context, s record.Side) (cur engine.Cursor, found bool, err error) {
	var newest string
	err = b.read(ctx, "read the cursor", func(c *conn) (err error) {
		found, err = c.one("SELECT since, rules, endpoint, at, full_scan, count, measured, clock_offset, clock_error, system, zone, newest, audit FROM cursor WHERE sync = ? AND side = ?", func(r row) {
			cur = engine.Cursor{Since: r.text(0), Rules: r.text(1), Endpoint: r.text(2), At: instant(r.int(3)), Full: instant(r.int(4)), Count: r.int(5),
				Clock: reconcile.Clock{Measured: r.int(6) != 0, Offset: time.Duration(r.int(7)), Error: time.Duration(r.int(8))}, System: r.text(9), Zone: r.text(10)}
			newest, cur.Audit = r.text(11), r.text(12)
		}, b.id, s)
		return err
	})
	if err == nil && newest != "" {
		if jerr := json.Unmarshal([]byte(newest), &cur.Newest); jerr != nil {
			err = fmt.Errorf("read the cursor of %s: %w", b.name, jerr)
		}
	}
	return cur, found, err
}

// Advance stores how far a side was observed.
func (b *book) Advance(ctx context.Context, s record.Side, cur engine.Cursor) error {
	newest := ""
	if len(cur.Newest) > 0 {
		text, err := json.Marshal(cur.Newest)
		if err != nil {
			return fmt.Errorf("advance the cursor of %s: %w", b.name, err)
		}
		newest = string(text)
	}
	return b.write(ctx, "advance the cursor", 1, func(c *conn, _ bool) error {
		return c.exec(`INSERT INTO cursor (sync, side, since, rules, endpoint, at, full_scan, count, measured, clock_offset, clock_error, system, zone, newest, audit)
			VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (sync, side) DO UPDATE SET since = excluded.since, rules = excluded.rules,
			endpoint = excluded.endpoint, at = excluded.at, full_scan = excluded.full_scan, count = excluded.count,
			measured = excluded.measured, clock_offset = excluded.clock_offset, clock_error = excluded.clock_error,
			system = excluded.system, zone = excluded.zone, newest = excluded.newest, audit = excluded.audit`,
			b.id, s, cur.Since, cur.Rules, cur.Endpoint, cur.At, cur.Full, cur.Count,
			cur.Clock.Measured, int64(cur.Clock.Offset), int64(cur.Clock.Error),
			cur.System, cur.Zone, newest, cur.Audit)
	})
}

// Tomb reports whether a key may not be created again yet.
func (b *book) Tomb(ctx context.Context, s record.Side, key string, now time.Time) (dead bool, err error) {
	err = b.read(ctx, "read a tomb", func(c *conn) error {
		var until time.Time
		_, err := c.one("SELECT until FROM tomb WHERE sync = ? AND side = ? AND key = ?", func(r row) { until = instant(r.int(0)) }, b.id, s, key)
		dead = now.Before(until)
		return err
	})
	return dead, err
}

// Tombs reports whether any tomb is alive.
func (b *book) Tombs(ctx context.Context, now time.Time) (any bool, err error) {
	err = b.read(ctx, "read tombs", func(c *conn) error {
		n, err := c.number("SELECT EXISTS (SELECT 1 FROM tomb WHERE sync = ? AND until > ?)", b.id, now)
		any = n != 0
		return err
	})
	return any, err
}

// Buried returns the link that ended last with a key.
func (b *book) Buried(ctx context.Context, s record.Side, key string) (link int64, err error) {
	err = b.read(ctx, "read a tomb", func(c *conn) (err error) {
		link, err = c.number("SELECT link FROM tomb WHERE sync = ? AND side = ? AND key = ?", b.id, s, key)
		return err
	})
	return link, err
}
