package state

import (
	"context"
	"errors"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/record"
)

// Threads emits the known comments of a link.
func (b *book) Threads(ctx context.Context, link int64, emit func(engine.Thread) error) error {
	var all []engine.Thread
	err := b.read(ctx, "read comments", func(c *conn) error {
		all = all[:0]
		return c.each("SELECT side, own, copy, hash, at, run FROM thread WHERE sync = ? AND link = ? ORDER BY id", func(r row) error {
			all = append(all, engine.Thread{Link: link, Side: record.Side(r.int(0)), ID: r.text(1), Copy: r.text(2),
				Hash: uint64(r.int(3)), At: instant(r.int(4)), Run: r.int(5)})
			return nil
		}, b.id, link)
	})
	if err != nil {
		return err
	}
	for _, t := range all {
		if err := emit(t); err != nil {
			return err
		}
	}
	return nil
}

// foldThreads stores comments that are settled.
func (b *book) foldThreads(c *conn, folds []engine.Fold) error {
	for _, f := range folds {
		for _, t := range f.Threads {
			if t.Link == 0 || t.ID == "" {
				return errors.New("a comment belongs to a link and has an ID, and one of them is not given")
			}
			err := c.exec(`INSERT INTO thread (sync, link, side, own, copy, hash, at, run) VALUES (?,?,?,?,?,?,?,?)
				ON CONFLICT (link, side, own) DO UPDATE SET copy = excluded.copy, hash = excluded.hash, at = excluded.at, run = excluded.run`,
				b.id, t.Link, t.Side, t.ID, t.Copy, int64(t.Hash), t.At, t.Run)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// Heard returns how far the comments of a side were listened to.
func (b *book) Heard(ctx context.Context, s record.Side) (h engine.Heard, found bool, err error) {
	err = b.read(ctx, "read how far comments were listened to", func(c *conn) (err error) {
		found, err = c.one("SELECT path, since, at, link FROM heard WHERE sync = ? AND side = ?", func(r row) {
			h = engine.Heard{Path: r.text(0), Since: instant(r.int(1)), At: instant(r.int(2)), Link: r.int(3)}
		}, b.id, s)
		return err
	})
	return h, found, err
}

// Hear stores how far the comments of a side were listened to.
func (b *book) Hear(ctx context.Context, s record.Side, h engine.Heard) error {
	return b.write(ctx, "remember how far comments were listened to", 1, func(c *conn, _ bool) error {
		return c.exec(`INSERT INTO heard (sync, side, path, since, at, link) VALUES (?,?,?,?,?,?)
			ON CONFLICT (sync, side) DO UPDATE SET path = excluded.path, since = excluded.since, at = excluded.at, link = excluded.link`,
			b.id, s, h.Path, h.Since, h.At, h.Link)
	})
}
