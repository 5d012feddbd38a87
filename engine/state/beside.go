package state

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/record"
)

// Beside emits what waits of comments and attachments.
func (b *book) Beside(ctx context.Context, emit func(engine.Beside) error) error {
	var all []engine.Beside
	err := b.read(ctx, "read what waits of comments and attachments", func(c *conn) error {
		all = all[:0]
		return c.each("SELECT kind, side, link, entry, since, tries, next, body FROM waiting WHERE sync = ? AND kind <> '' ORDER BY kind, side, link, entry", func(r row) error {
			w := engine.Beside{Kind: plan.Kind(r.text(0)), Side: record.Side(r.int(1)), Link: r.int(2), Entry: r.text(3), Hold: &plan.Hold{}}
			if err := json.Unmarshal([]byte(r.text(7)), w.Hold); err != nil {
				return err
			}
			w.Hold.Since, w.Hold.Tries, w.Hold.Next = instant(r.int(4)), int(r.int(5)), instant(r.int(6))
			all = append(all, w)
			return nil
		}, b.id)
	})
	if err != nil {
		return err
	}
	for _, w := range all {
		if err := emit(w); err != nil {
			return err
		}
	}
	return nil
}

// foldBeside replaces holds of comments and attachments, each by itself. One that goes on keeps its beginning, and its
// next try is twice as far away.
func (b *book) foldBeside(c *conn, folds []engine.Fold) error {
	for _, f := range folds {
		for _, w := range f.Beside {
			if w.Kind == "" {
				return fmt.Errorf("what waits beside the fields of link %d is neither a comment nor an attachment", w.Link)
			}
			var id, since int64
			tries := 0
			_, err := c.one("SELECT id, since, tries FROM waiting WHERE sync = ? AND kind = ? AND link = ? AND side = ? AND entry = ?",
				func(r row) { id, since, tries = r.int(0), r.int(1), int(r.int(2)) }, b.id, string(w.Kind), w.Link, w.Side, w.Entry)
			if err != nil {
				return err
			}
			if id != 0 {
				if err := c.exec("DELETE FROM waiting WHERE id = ?", id); err != nil {
					return err
				}
			}
			if w.Hold == nil {
				continue
			}
			now := b.s.now()
			if id == 0 {
				since = nanos(now)
			}
			tries++
			k := *w.Hold
			k.Sync, k.Link, k.Since, k.Tries = b.name, w.Link, time.Time{}, 0
			next := now.Add(retryDelay(tries))
			if k.Next.After(next) {
				next = k.Next // the system asked for more time
			}
			k.Next = time.Time{}
			body, err := json.Marshal(k)
			if err != nil {
				return err
			}
			err = c.exec(`INSERT INTO waiting (sync, conflict, link, key_left, key_right, field, since, tries, next, seen, shown, body, kind, side, entry)
				VALUES (?,0,?,?,?,?,?,?,?,?,?,?,?,?,?)`,
				b.id, w.Link, k.Keys[0], k.Keys[1], k.Field, since, tries, next, pair([2][]record.Value{}), []byte{}, string(body), string(w.Kind), w.Side, w.Entry)
			if err != nil {
				return err
			}
		}
	}
	return nil
}
