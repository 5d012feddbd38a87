package state

import (
	"context"
	"fmt"

	"github.com/fieldsync/fieldsync/engine"
)

// Pause keeps the pause of a sync.
func (s *Store) Pause(ctx context.Context, p engine.Pause) error {
	return s.write(ctx, p.Sync, "pause "+p.Sync, 1, func(c *conn, _ bool) error {
		return c.exec("INSERT INTO pause (sync, by, at, why) VALUES (?,?,?,?) ON CONFLICT (sync) DO UPDATE SET by = excluded.by, at = excluded.at, why = excluded.why",
			p.Sync, p.By, p.At, p.Why)
	})
}

// Resume forgets the pause of a sync.
func (s *Store) Resume(ctx context.Context, sync string) (was bool, err error) {
	err = s.write(ctx, sync, "resume "+sync, 1, func(c *conn, _ bool) (err error) {
		was, err = c.one("DELETE FROM pause WHERE sync = ? RETURNING sync", func(row) {}, sync)
		return err
	})
	return was && err == nil, err
}

// Pauses lists the pauses, by sync.
func (s *Store) Pauses(ctx context.Context) ([]engine.Pause, error) {
	var all []engine.Pause
	err := s.read(ctx, func(c *conn) error {
		all = nil
		return c.each("SELECT sync, by, at, why FROM pause ORDER BY sync", func(r row) error {
			all = append(all, engine.Pause{Sync: r.text(0), By: r.text(1), At: instant(r.int(2)), Why: r.text(3)})
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list pauses: %w", err)
	}
	return all, nil
}

// Note keeps an act.
func (s *Store) Note(ctx context.Context, a engine.Act) error {
	return s.write(ctx, "", "note who did what", 1, func(c *conn, _ bool) error {
		return c.exec("INSERT INTO act (at, by, action, subject, why) VALUES (?,?,?,?,?)", a.At, a.By, a.Action, a.Subject, a.Why)
	})
}

// Acts emits the newest acts first.
func (s *Store) Acts(ctx context.Context, limit int, emit func(engine.Act) error) error {
	const page = 200
	for before := int64(1<<63 - 1); limit > 0; {
		n := min(limit, page)
		var acts []engine.Act
		last := before
		err := s.read(ctx, func(c *conn) error {
			acts = acts[:0]
			return c.each("SELECT id, at, by, action, subject, why FROM act WHERE id < ? ORDER BY id DESC LIMIT ?", func(r row) error {
				acts = append(acts, engine.Act{At: instant(r.int(1)), By: r.text(2), Action: r.text(3), Subject: r.text(4), Why: r.text(5)})
				last = r.int(0)
				return nil
			}, before, n)
		})
		if err != nil {
			return fmt.Errorf("list acts: %w", err)
		}
		for _, a := range acts {
			if err := emit(a); err != nil {
				return err
			}
		}
		if len(acts) < n {
			return nil
		}
		before = last
		limit -= n
	}
	return nil
}
