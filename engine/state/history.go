package state

import (
	"context"
	"fmt"
	"slices"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/record"
)

const (
	historyRows    = 256
	historyColumns = "SELECT h.id, (SELECT name FROM sync WHERE sync.id = h.sync), link, side, key, path, value, replaced_by, rule, run, at, author, cause, who FROM history h "
)

// Origins emits who set the paths of a link last. A link has a few dozen of them at most.
func (b *book) Origins(ctx context.Context, link int64, emit func(engine.Origin) error) error {
	var all []engine.Origin
	err := b.read(ctx, "read origins", func(c *conn) error {
		all = all[:0]
		return c.each("SELECT side, path, rule, run, at, author FROM origin WHERE link = (SELECT id FROM link WHERE sync = ? AND id = ?) ORDER BY side, path", func(r row) error {
			all = append(all, engine.Origin{Side: record.Side(r.int(0)), Path: r.text(1), Rule: r.text(2), Run: r.int(3), At: instant(r.int(4)), Author: r.text(5)})
			return nil
		}, b.id, link)
	})
	if err != nil {
		return err
	}
	for _, o := range all {
		if err := emit(o); err != nil {
			return err
		}
	}
	return nil
}

// History emits what was replaced on the records of a link.
func (b *book) History(ctx context.Context, link int64, emit func(engine.Entry) error) error {
	const query = historyColumns + "WHERE h.sync = ? AND link = ? AND (side, path, h.id) > (?, ?, ?) ORDER BY side, path, h.id LIMIT ?"
	return eachEntry(engine.Entry{Lost: engine.Lost{Side: record.Left}}, func(after engine.Entry, page *[]engine.Entry) error {
		return b.read(ctx, "read the history", func(c *conn) error {
			return readEntries(c, page, query, b.id, link, after.Side, after.Path, after.ID, historyRows)
		})
	}, emit)
}

var latest = newUnion("SELECT * FROM (" + historyColumns + "WHERE h.sync = ? AND link = ? AND side = ? AND path = ? ORDER BY h.id DESC LIMIT ?) AS place")

// Latest emits the newest entries of some places.
func (b *book) Latest(ctx context.Context, places []engine.Place, most int, emit func(engine.Entry) error) error {
	var page []engine.Entry
	for chunk := range slices.Chunk(places, historyRows) {
		err := b.read(ctx, "read the history", func(c *conn) error {
			page = page[:0]
			return latest.run(c, len(chunk), func(args []any, i int) []any {
				return append(args, b.id, chunk[i].Link, chunk[i].Side, chunk[i].Path, most)
			}, func(r row) error { return readEntry(&page, r) })
		})
		if err != nil {
			return err
		}
		for _, e := range page {
			if err := emit(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// Entry finds one entry of the history.
func (s *Store) Entry(ctx context.Context, id int64) (*engine.Entry, error) {
	var page []engine.Entry
	err := s.read(ctx, func(c *conn) error { return readEntries(c, &page, historyColumns+"WHERE h.id = ?", id) })
	if err != nil {
		return nil, fmt.Errorf("read entry %d of the history: %w", id, err)
	}
	if len(page) == 0 {
		return nil, nil
	}
	return &page[0], nil
}

// Wrote emits what a run left in the history.
func (s *Store) Wrote(ctx context.Context, run int64, emit func(engine.Entry) error) error {
	return eachEntry(engine.Entry{}, func(after engine.Entry, page *[]engine.Entry) error {
		err := s.read(ctx, func(c *conn) error {
			return readEntries(c, page, historyColumns+"WHERE run = ? AND h.id > ? ORDER BY h.id LIMIT ?", run, after.ID, historyRows)
		})
		if err != nil {
			return fmt.Errorf("read what run %d wrote: %w", run, err)
		}
		return nil
	}, emit)
}

// eachEntry emits page after page, until one is not full.
func eachEntry(after engine.Entry, read func(after engine.Entry, page *[]engine.Entry) error, emit func(engine.Entry) error) error {
	var page []engine.Entry
	for {
		if err := read(after, &page); err != nil {
			return err
		}
		for _, e := range page {
			if err := emit(e); err != nil {
				return err
			}
		}
		if len(page) < historyRows {
			return nil
		}
		after = page[len(page)-1]
	}
}

// readEntries fills page afresh.
func readEntries(c *conn, page *[]engine.Entry, query string, args ...any) error {
	*page = (*page)[:0]
	return c.each(query, func(r row) error { return readEntry(page, r) }, args...)
}

// readEntry appends one row of historyColumns.
func readEntry(page *[]engine.Entry, r row) error {
	e := engine.Entry{ID: r.int(0), Sync: r.text(1), Link: r.int(2), Key: r.text(4), Lost: engine.Lost{
		Side: record.Side(r.int(3)), Path: r.text(5), Rule: r.text(8), Run: r.int(9), At: instant(r.int(10)), Author: r.text(11),
		Cause: engine.Cause(r.text(12)), Who: r.text(13)}}
	for i, v := range []*record.Value{&e.Value, &e.By} {
		vs, err := record.DecodeValues(r.blob(6 + i))
		if err == nil && len(vs) != 1 {
			err = errDamagedBlob
		}
		if err != nil {
			return fmt.Errorf("entry %d: %w", e.ID, err)
		}
		*v = vs[0]
	}
	*page = append(*page, e)
	return nil
}
