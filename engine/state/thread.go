package state

import (
	"context"
	"errors"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/record"
)

// Threads emits the known comments of a link.
func (b *book) Threads(ctx context.Context, link int64, emit func(engine.Thread) error) error {
	return known(ctx, b, "read comments", "SELECT side, own, copy, hash, source, at, run FROM thread WHERE sync = ? AND link = ? ORDER BY id", link,
		func(r row) engine.Thread {
			return engine.Thread{Link: link, Side: record.Side(r.int(0)), ID: r.text(1), Copy: r.text(2),
				Hash: uint64(r.int(3)), Source: uint64(r.int(4)), At: instant(r.int(5)), Run: r.int(6)}
		}, emit)
}

// Files emits the known attachments of a link.
func (b *book) Files(ctx context.Context, link int64, emit func(engine.File) error) error {
	return known(ctx, b, "read attachments", "SELECT side, own, copy, hash, size, refused, at, run FROM attachment WHERE sync = ? AND link = ? ORDER BY id", link,
		func(r row) engine.File {
			return engine.File{Link: link, Side: record.Side(r.int(0)), ID: r.text(1), Copy: r.text(2),
				Hash: r.text(3), Size: r.int(4), Refused: r.text(5), At: instant(r.int(6)), Run: r.int(7)}
		}, emit)
}

// known reads the rows of one link before it emits them, so that emit may use the book.
func known[T any](ctx context.Context, b *book, what, query string, link int64, of func(row) T, emit func(T) error) error {
	var all []T
	err := b.read(ctx, what, func(c *conn) error {
		all = all[:0]
		return c.each(query, func(r row) error { all = append(all, of(r)); return nil }, b.id, link)
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

// foldThreads stores comments and attachments that are settled.
func (b *book) foldThreads(c *conn, folds []engine.Fold) error {
	for _, f := range folds {
		for _, t := range f.Threads {
			if t.Link == 0 || t.ID == "" {
				return errors.New("a comment belongs to a link and has an ID, and one of them is not given")
			}
			err := c.exec(`INSERT INTO thread (sync, link, side, own, copy, hash, source, at, run) VALUES (?,?,?,?,?,?,?,?,?)
				ON CONFLICT (link, side, own) DO UPDATE SET copy = excluded.copy, hash = excluded.hash, source = excluded.source, at = excluded.at, run = excluded.run`,
				b.id, t.Link, t.Side, t.ID, t.Copy, int64(t.Hash), int64(t.Source), t.At, t.Run)
			if err != nil {
				return err
			}
		}
		for _, t := range f.Files {
			if t.Link == 0 || t.ID == "" {
				return errors.New("an attachment belongs to a link and has an ID, and one of them is not given")
			}
			err := c.exec(`INSERT INTO attachment (sync, link, side, own, copy, hash, size, refused, at, run) VALUES (?,?,?,?,?,?,?,?,?,?)
				ON CONFLICT (link, side, own) DO UPDATE SET copy = excluded.copy, hash = excluded.hash, size = excluded.size, refused = excluded.refused, at = excluded.at, run = excluded.run`,
				b.id, t.Link, t.Side, t.ID, t.Copy, t.Hash, t.Size, t.Refused, t.At, t.Run)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// Heard returns how far the comments or attachments of a side were listened to.
func (b *book) Heard(ctx context.Context, kind plan.Kind, s record.Side) (h engine.Heard, found bool, err error) {
	err = b.read(ctx, "read how far was listened", func(c *conn) (err error) {
		found, err = c.one("SELECT path, rules, since, at, link FROM listened WHERE sync = ? AND side = ? AND kind = ?", func(r row) {
			h = engine.Heard{Path: r.text(0), Rules: r.text(1), Since: instant(r.int(2)), At: instant(r.int(3)), Link: r.int(4)}
		}, b.id, s, string(kind))
		return err
	})
	return h, found, err
}

// Hear stores how far the comments or attachments of a side were listened to.
func (b *book) Hear(ctx context.Context, kind plan.Kind, s record.Side, h engine.Heard) error {
	return b.write(ctx, "remember how far was listened", 1, func(c *conn, _ bool) error {
		return c.exec(`INSERT INTO listened (sync, side, kind, path, rules, since, at, link) VALUES (?,?,?,?,?,?,?,?)
			ON CONFLICT (sync, side, kind) DO UPDATE SET path = excluded.path, rules = excluded.rules, since = excluded.since, at = excluded.at, link = excluded.link`,
			b.id, s, string(kind), h.Path, h.Rules, h.Since, h.At, h.Link)
	})
}
