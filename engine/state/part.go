package state

import (
	"context"
	"encoding/binary"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/record"
)

// PutUp puts parts of a side's scan up, in place of what is left of earlier ones.
func (b *book) PutUp(ctx context.Context, s record.Side, tasks [][]byte) error {
	return b.write(ctx, "put parts up", len(tasks), func(c *conn, _ bool) error {
		if err := b.clear(c); err != nil {
			return err
		}
		if err := b.takeDown(c, s, engine.AllParts); err != nil {
			return err
		}
		for n, task := range tasks {
			if err := c.exec("INSERT INTO part (sync, side, n, fence, task, taker, beats, seen, at) VALUES (?,?,?,?,?,'',0,0,?)", b.id, s, n, b.fence, task, b.s.now()); err != nil {
				return err
			}
		}
		return nil
	})
}

// clear forgets what runs before this one have left.
func (b *book) clear(c *conn) error {
	const left = "SELECT 1 FROM part WHERE part.sync = part_page.sync AND part.side = part_page.side AND part.n = part_page.n AND part.fence = ?"
	if err := c.exec("DELETE FROM part_page WHERE sync = ? AND NOT EXISTS ("+left+")", b.id, b.fence); err != nil {
		return err
	}
	return c.exec("DELETE FROM part WHERE sync = ? AND fence <> ?", b.id, b.fence)
}

// takeDown forgets one part of a side, or all of them.
func (b *book) takeDown(c *conn, s record.Side, n int) error {
	for _, table := range []string{"part_page", "part"} {
		if err := c.exec("DELETE FROM "+table+" WHERE sync = ? AND side = ? AND (n = ? OR ? < 0)", b.id, s, n, n); err != nil {
			return err
		}
	}
	return nil
}

// TakeDown forgets parts with what was handed over of them.
func (b *book) TakeDown(ctx context.Context, s record.Side, n int) error {
	return b.write(ctx, "take parts down", 1, func(c *conn, _ bool) error { return b.takeDown(c, s, n) })
}

// Parts lists what is put up of a side.
func (b *book) Parts(ctx context.Context, s record.Side) ([]engine.Part, error) {
	var parts []engine.Part
	err := b.read(ctx, "read parts", func(c *conn) error {
		parts = parts[:0]
		return c.each("SELECT n, task, taker, beats, seen, account FROM part WHERE sync = ? AND side = ? AND fence = ? ORDER BY n", func(r row) error {
			parts = append(parts, engine.Part{N: int(r.int(0)), Task: r.blob(1), Taker: r.text(2), Beats: r.int(3), Seen: r.int(4), Account: r.blob(5)})
			return nil
		}, b.id, s, b.fence)
	})
	return parts, err
}

// TakePart gives a part from one to another.
func (b *book) TakePart(ctx context.Context, s record.Side, n int, from, by string) (taken bool, err error) {
	err = b.write(ctx, "take a part", 1, func(c *conn, _ bool) (err error) {
		taken, err = c.one("UPDATE part SET taker = ?, beats = 0, seen = 0 WHERE sync = ? AND side = ? AND n = ? AND fence = ? AND taker = ? AND account IS NULL RETURNING n", func(row) {},
			by, b.id, s, n, b.fence, from)
		if err != nil || !taken {
			return err
		}
		return c.exec("DELETE FROM part_page WHERE sync = ? AND side = ? AND n = ?", b.id, s, n)
	})
	return taken && err == nil, err
}

// HandOver keeps what the taker of a part has found.
func (b *book) HandOver(ctx context.Context, s record.Side, n int, by string, p engine.Page) (ours bool, err error) {
	var body []byte
	if len(p.Same)+len(p.Found) > 0 {
		body = appendPage(nil, &p)
	}
	err = b.write(ctx, "hand over a part", 1, func(c *conn, _ bool) (err error) {
		ours, err = c.one("UPDATE part SET beats = beats + 1, seen = ? WHERE sync = ? AND side = ? AND n = ? AND fence = ? AND taker = ? AND account IS NULL RETURNING n", func(row) {},
			p.Seen, b.id, s, n, b.fence, by)
		if err != nil || !ours || body == nil {
			return err
		}
		return c.exec("INSERT INTO part_page (sync, side, n, seq, body, at) SELECT ?1, ?2, ?3, coalesce(max(seq), 0) + 1, ?4, ?5 FROM part_page WHERE sync = ?1 AND side = ?2 AND n = ?3",
			b.id, s, n, body, b.s.now())
	})
	return ours && err == nil, err
}

// EndPart keeps how a part ended.
func (b *book) EndPart(ctx context.Context, s record.Side, n int, by string, account []byte) (ours bool, err error) {
	err = b.write(ctx, "end a part", 1, func(c *conn, _ bool) (err error) {
		ours, err = c.one("UPDATE part SET account = ? WHERE sync = ? AND side = ? AND n = ? AND fence = ? AND taker = ? AND account IS NULL RETURNING n", func(row) {},
			account, b.id, s, n, b.fence, by)
		return err
	})
	return ours && err == nil, err
}

// Pages emits what was handed over of a part, one page in memory at a time.
func (b *book) Pages(ctx context.Context, s record.Side, n int, emit func(engine.Page) error) error {
	for after := int64(0); ; {
		var body []byte
		found := false
		err := b.read(ctx, "read what was handed over", func(c *conn) (err error) {
			found, err = c.one("SELECT seq, body FROM part_page WHERE sync = ? AND side = ? AND n = ? AND seq > ? ORDER BY seq LIMIT 1", func(r row) {
				after, body = r.int(0), r.blob(1)
			}, b.id, s, n, after)
			return err
		})
		if err != nil || !found {
			return err
		}
		p, err := readPage(body)
		if err != nil {
			return err
		}
		if err := emit(p); err != nil {
			return err
		}
	}
}

func appendPage(dst []byte, p *engine.Page) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(p.Same)))
	for _, h := range p.Same {
		dst = binary.LittleEndian.AppendUint64(dst, h)
	}
	dst = binary.AppendUvarint(dst, uint64(len(p.Found)))
	var body []byte
	for i := range p.Found {
		body = appendMoved(body[:0], &engine.Moved{Record: p.Found[i]})
		dst = appendText(dst, p.Found[i].Key)
		dst = append(binary.AppendUvarint(dst, uint64(len(body))), body...)
	}
	return dst
}

func readPage(b []byte) (engine.Page, error) {
	r := reader{b: b}
	var p engine.Page
	if n := r.size(); n > 0 {
		p.Same = make([]uint64, n)
		for i := range p.Same {
			p.Same[i] = r.fixed()
		}
	}
	for range r.size() {
		key := r.text()
		m, err := readMoved(key, r.bytes())
		if err != nil {
			return p, err
		}
		p.Found = append(p.Found, m.Record)
	}
	return p, r.end()
}
