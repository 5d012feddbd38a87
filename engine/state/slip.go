package state

import (
	"context"
	"fmt"

	"github.com/fieldsync/fieldsync/engine"
)

// Pin shows a slip for a while.
func (s *Store) Pin(ctx context.Context, p engine.Slip) error {
	return s.write(ctx, slips, "keep "+p.Name, 1, func(c *conn, _ bool) error {
		return c.exec("INSERT INTO slip (name, body, until) VALUES (?,?,?) ON CONFLICT (name) DO UPDATE SET body = excluded.body, until = excluded.until",
			p.Name, some(p.Body), p.Until)
	})
}

// PinFirst pins a slip unless there is one.
func (s *Store) PinFirst(ctx context.Context, p engine.Slip) (first bool, err error) {
	err = s.write(ctx, slips, "keep "+p.Name, 1, func(c *conn, _ bool) (err error) {
		first, err = c.one(`INSERT INTO slip (name, body, until) VALUES (?,?,?) ON CONFLICT (name) DO UPDATE SET body = excluded.body, until = excluded.until
			WHERE slip.until <= ? RETURNING until`, func(row) {}, p.Name, some(p.Body), p.Until, s.now())
		return err
	})
	return first && err == nil, err
}

// some is a body that is not null.
func some(body []byte) []byte { return append([]byte{}, body...) }

// Slip finds one.
func (s *Store) Slip(ctx context.Context, name string) (found *engine.Slip, err error) {
	err = s.read(ctx, func(c *conn) error {
		found = nil
		_, err := c.one("SELECT body, until FROM slip WHERE name = ? AND until > ?", func(r row) {
			found = &engine.Slip{Name: name, Body: some(r.blob(0)), Until: instant(r.int(1))}
		}, name, s.now())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return found, nil
}

// last comes after every text that names are made of.
const last = "\U0010ffff"

// Slips emits those whose names begin alike.
func (s *Store) Slips(ctx context.Context, prefix string, emit func(engine.Slip) error) error {
	var found []engine.Slip
	err := s.read(ctx, func(c *conn) error {
		found = nil
		return c.each("SELECT name, body, until FROM slip WHERE name >= ? AND name < ? AND until > ? ORDER BY name", func(r row) error {
			found = append(found, engine.Slip{Name: r.text(0), Body: some(r.blob(1)), Until: instant(r.int(2))})
			return nil
		}, prefix, prefix+last, s.now())
	})
	if err != nil {
		return fmt.Errorf("read all %q: %w", prefix, err)
	}
	for _, p := range found {
		if err := emit(p); err != nil {
			return err
		}
	}
	return nil
}

// Unpin takes a slip away.
func (s *Store) Unpin(ctx context.Context, name string) (was bool, err error) {
	err = s.write(ctx, slips, "forget "+name, 1, func(c *conn, _ bool) (err error) {
		was, err = c.one("DELETE FROM slip WHERE name = ? RETURNING name", func(row) {}, name)
		return err
	})
	return was && err == nil, err
}
