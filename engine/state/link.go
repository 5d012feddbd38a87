package state

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/fieldsync/fieldsync/engine/record"
)

const linkColumns = "id, status, coalesce(key_left, was_left, ''), coalesce(key_right, was_right, ''), label_left, label_right, version_left, version_right, shape_left, shape_right, base_left, base_right, sent_left, sent_right, now_left, now_right, meant"

var linkByKey = [2]string{
	"SELECT " + linkColumns + " FROM link WHERE sync = ? AND key_left = ?",
	"SELECT " + linkColumns + " FROM link WHERE sync = ? AND key_right = ?",
}

const linkByID = "SELECT " + linkColumns + " FROM link WHERE sync = ? AND id = ?"

// Link finds a link that is not ended by the key of one side.
func (b *book) Link(ctx context.Context, s record.Side, key string) (*record.Link, error) {
	return b.oneLink(ctx, linkByKey[s], b.id, key)
}

// LinkByID finds any link.
func (b *book) LinkByID(ctx context.Context, id int64) (*record.Link, error) {
	return b.oneLink(ctx, linkByID, b.id, id)
}

var (
	linksByKey = [2]*bulk{newUnion(linkByKey[0]), newUnion(linkByKey[1])}
	linksByID  = newUnion(linkByID)
)

// LinksOf finds links that are not ended by the keys of one side.
func (b *book) LinksOf(ctx context.Context, s record.Side, keys []string, emit func(record.Link) error) error {
	return linksAmong(ctx, b, linksByKey[s], keys, emit)
}

// LinksByID finds links.
func (b *book) LinksByID(ctx context.Context, ids []int64, emit func(record.Link) error) error {
	return linksAmong(ctx, b, linksByID, ids, emit)
}

func linksAmong[T any](ctx context.Context, b *book, by *bulk, xs []T, emit func(record.Link) error) error {
	const size = 256
	var page []record.Link
	for chunk := range slices.Chunk(xs, size) {
		err := b.read(ctx, "read links", func(c *conn) error {
			page = page[:0]
			return by.run(c, len(chunk), func(args []any, i int) []any { return append(args, b.id, chunk[i]) }, func(r row) error {
				l, err := b.link(c, r)
				page = append(page, l)
				return err
			})
		})
		if err != nil {
			return err
		}
		for _, l := range page {
			if err := emit(l); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *book) oneLink(ctx context.Context, query string, args ...any) (*record.Link, error) {
	var found *record.Link
	err := b.read(ctx, "read a link", func(c *conn) error {
		found = nil
		return c.each(query, func(r row) error {
			l, err := b.link(c, r)
			found = &l
			return err
		}, args...)
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// Links emits every link with this status by ID.
func (b *book) Links(ctx context.Context, status record.Status, emit func(record.Link) error) error {
	const size = 256
	// The statuses are written out as the indexes have them, or PostgreSQL would not see that they fit.
	query := "SELECT " + linkColumns + " FROM link WHERE sync = ?1 AND status = ?2 AND status <> 0 AND id > ?3 ORDER BY id LIMIT ?4"
	if status == record.Live {
		query = "SELECT " + linkColumns + " FROM link NOT INDEXED WHERE sync = ?1 AND status = 0 AND ?2 = status AND id > ?3 ORDER BY id LIMIT ?4"
	}
	page := make([]record.Link, 0, size)
	for after := int64(0); ; {
		err := b.read(ctx, "read links", func(c *conn) error {
			page = page[:0]
			return c.each(query, func(r row) error {
				l, err := b.link(c, r)
				page = append(page, l)
				return err
			}, b.id, status, after, size)
		})
		if err != nil {
			return err
		}
		for _, l := range page {
			if err := emit(l); err != nil {
				return err
			}
			after = l.ID
		}
		if len(page) < size {
			return nil
		}
	}
}

// Keys emits the keys of one side's live and held links, by key. They come from an index that holds nothing
// else, and so does not know which links are detached: those are few and left out by a list.
func (b *book) Keys(ctx context.Context, s record.Side, emit func(link int64, key string) error) error {
	const size = 4096
	type entry struct {
		id  int64
		key string
	}
	query := "SELECT id, key_left FROM link WHERE sync = ? AND key_left > ? ORDER BY key_left LIMIT ?"
	if s == record.Right {
		query = "SELECT id, key_right FROM link WHERE sync = ? AND key_right > ? ORDER BY key_right LIMIT ?"
	}
	var detached []int64
	err := b.read(ctx, "read keys", func(c *conn) error {
		detached = detached[:0]
		return c.each("SELECT id FROM link WHERE sync = ? AND status = ? AND status <> 0 ORDER BY id", func(r row) error {
			detached = append(detached, r.int(0))
			return nil
		}, b.id, record.Detached)
	})
	if err != nil {
		return err
	}
	page := make([]entry, 0, size)
	for after := ""; ; {
		err := b.read(ctx, "read keys", func(c *conn) error {
			page = page[:0]
			return c.each(query, func(r row) error {
				page = append(page, entry{r.int(0), r.text(1)})
				return nil
			}, b.id, after, size)
		})
		if err != nil {
			return err
		}
		for _, e := range page {
			after = e.key
			if _, left := slices.BinarySearch(detached, e.id); left {
				continue
			}
			if err := emit(e.id, e.key); err != nil {
				return err
			}
		}
		if len(page) < size {
			return nil
		}
	}
}

// KeysAfter returns a few keys of one side's live and held links.
func (b *book) KeysAfter(ctx context.Context, s record.Side, after string, most int) ([]string, error) {
	query := "SELECT key_left FROM link WHERE sync = ? AND key_left > ? AND status <= ? ORDER BY key_left LIMIT ?"
	if s == record.Right {
		query = "SELECT key_right FROM link WHERE sync = ? AND key_right > ? AND status <= ? ORDER BY key_right LIMIT ?"
	}
	var keys []string
	err := b.read(ctx, "read keys", func(c *conn) error {
		keys = keys[:0]
		return c.each(query, func(r row) error { keys = append(keys, r.text(0)); return nil }, b.id, after, record.Held, most)
	})
	return keys, err
}

// CountLinks counts live and held links.
func (b *book) CountLinks(ctx context.Context) (n int64, err error) {
	err = b.read(ctx, "count links", func(c *conn) (err error) {
		n, err = c.number("SELECT live + held FROM sync WHERE id = ?", b.id)
		return err
	})
	return n, err
}

// link reads one row of linkColumns.
func (b *book) link(c *conn, r row) (record.Link, error) {
	l := record.Link{ID: r.int(0), Status: record.Status(r.int(1)), Key: [2]string{r.text(2), r.text(3)},
		Label: [2]string{r.text(4), r.text(5)}, Version: [2]string{r.text(6), r.text(7)}}
	for _, s := range record.Sides {
		p, err := b.projection(c, s, r.int(8+int(s)))
		if err != nil {
			return l, fmt.Errorf("link %d: %w", l.ID, err)
		}
		for i, dst := range []*[]record.Value{&l.Base[s], &l.Sent[s], &l.Now[s]} {
			stored := r.blob(10 + 2*i + int(s))
			if stored == nil {
				continue
			}
			vs, err := record.DecodeValues(stored)
			if err == nil {
				*dst, err = p.apply(vs, len(b.paths[s]))
			}
			if err != nil {
				return l, fmt.Errorf("link %d: %w", l.ID, err)
			}
		}
	}
	meant, err := b.meant(r.blob(16))
	if err != nil {
		return l, fmt.Errorf("link %d: %w", l.ID, err)
	}
	l.Meant = meant
	return l, nil
}

// projection finds out once for each shape where this book's slots are in it.
func (b *book) projection(c *conn, s record.Side, shape int64) (projection, error) {
	if shape == b.shape[s] && shape != 0 {
		return nil, nil
	}
	b.mu.Lock()
	p, known := b.slots[shape]
	b.mu.Unlock()
	if known {
		return p, nil
	}
	var list string
	found, err := c.one("SELECT paths FROM shape WHERE id = ?", func(r row) { list = r.text(0) }, shape)
	if err != nil {
		return nil, err
	}
	var stored []string
	if !found || json.Unmarshal([]byte(list), &stored) != nil {
		return nil, fmt.Errorf("paths %d: %w", shape, errDamagedBlob)
	}
	p = make(projection, len(b.paths[s]))
	for i, path := range b.paths[s] {
		p[i] = slices.Index(stored, path)
	}
	b.mu.Lock()
	b.slots[shape] = p
	b.mu.Unlock()
	return p, nil
}

// apply brings stored values into the order of the book's n slots; what was not stored is Absent.
func (p projection) apply(vs []record.Value, n int) ([]record.Value, error) {
	if p == nil {
		if len(vs) != n {
			return nil, errDamagedBlob
		}
		return vs, nil
	}
	out := make([]record.Value, n)
	for i, at := range p {
		if at >= len(vs) {
			return nil, errDamagedBlob
		}
		if at >= 0 {
			out[i] = vs[at]
		}
	}
	return out, nil
}
