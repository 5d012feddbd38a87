package state

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A before is what a hold or conflict that waited already hands on to its successor.
type before struct {
	id       int64
	conflict bool
	field    string
	since    int64
	tries    int
	choice   []byte
	seen     []byte
}

const beforeColumns = "SELECT id, conflict, field, since, tries, choice, seen FROM waiting "

// The planner would take the index that starts with the link, which for records without one is all of them.
const byRightKey = beforeColumns + "INDEXED BY waiting_right WHERE sync = ? AND link = 0 AND key_right = ? AND key_right <> ''"

// foldWaiting replaces what waits for each link or record that was decided.
func (b *book) foldWaiting(c *conn, folds []engine.Fold, ids []int64, fresh []bool) error {
	// Most folds find nothing that waited: on first contact of a million links not even the look is free.
	loose, linked, asked := false, false, false
	var waits map[int64]bool
	for i := range folds {
		f := &folds[i]
		ended := f.Link != nil && f.Link.Status == record.Ended
		if !f.Decided && !ended {
			continue
		}
		if !asked {
			asked = true
			_, err := c.one("SELECT EXISTS (SELECT 1 FROM waiting WHERE sync = ?1 AND link = 0), EXISTS (SELECT 1 FROM waiting WHERE sync = ?1 AND link > 0)",
				func(r row) { loose, linked = r.int(0) != 0, r.int(1) != 0 }, b.id)
			if err != nil {
				return err
			}
			if waits, err = b.waits(c, linked, ids, fresh); err != nil {
				return err
			}
		}
		var old []before
		add := func(r row) error {
			// A row that both keys name is found twice.
			if !slices.ContainsFunc(old, func(o before) bool { return o.id == r.int(0) }) {
				old = append(old, before{r.int(0), r.int(1) != 0, r.text(2), r.int(3), int(r.int(4)), r.blob(5), r.blob(6)})
			}
			return nil
		}
		keys := f.Keys
		if f.Link != nil {
			keys = f.Link.Key
			if waits[ids[i]] && !fresh[i] {
				of := "WHERE sync = ? AND link = ? AND kind = ''"
				if ended {
					of = "WHERE sync = ? AND link = ?" // its comments and attachments wait no more either
				}
				if err := c.each(beforeColumns+of, add, b.id, ids[i]); err != nil {
					return err
				}
			}
		}
		if loose && keys[0] != "" {
			if err := c.each(beforeColumns+"WHERE sync = ? AND link = 0 AND key_left = ?", add, b.id, keys[0]); err != nil {
				return err
			}
		}
		if loose && keys[1] != "" {
			if err := c.each(byRightKey, add, b.id, keys[1]); err != nil {
				return err
			}
		}
		for _, o := range old {
			if err := c.exec("DELETE FROM waiting WHERE id = ?", o.id); err != nil {
				return err
			}
		}
		for _, w := range f.Waiting {
			if err := b.insertWaiting(c, w, ids[i], keys, old); err != nil {
				return err
			}
			if loose = loose || ids[i] == 0; ids[i] != 0 {
				waits[ids[i]] = true
			}
		}
	}
	return nil
}

var waitsAmong = newList("SELECT DISTINCT link FROM waiting WHERE sync = ? AND link IN ", "")

// waits tells for which of these links something waits, in few statements.
func (b *book) waits(c *conn, any bool, ids []int64, fresh []bool) (map[int64]bool, error) {
	waits := map[int64]bool{}
	var known []int64
	for i, id := range ids {
		if any && id != 0 && !fresh[i] {
			known = append(known, id)
		}
	}
	return waits, among(c, waitsAmong, known, func(r row) error { waits[r.int(0)] = true; return nil }, b.id)
}

// insertWaiting stores one hold or conflict, which goes on with what the same one of before had.
func (b *book) insertWaiting(c *conn, w engine.Waiting, link int64, keys [2]string, old []before) error {
	if (w.Conflict == nil) == (w.Hold == nil) {
		return fmt.Errorf("what waits is a conflict or a hold, not both and not neither")
	}
	same := func(conflict bool, field string) *before {
		for i := range old {
			if old[i].conflict == conflict && old[i].field == field {
				return &old[i]
			}
		}
		return nil
	}
	var body any
	var field string
	var since, next time.Time
	var tries int
	var chosen, shown []byte
	seen := pair(w.Seen)
	if w.Conflict != nil {
		k := *w.Conflict
		shown = values([]record.Value{k.Base[0], k.Base[1], k.Now[0], k.Now[1]})
		k.Base, k.Now = [2]record.Value{}, [2]record.Value{}
		k.Sync, k.Link, k.Keys = b.name, link, named(k.Keys, keys)
		body, field, since, chosen = k, k.Field, k.Since, choice(w.Choice)
		if o := same(true, field); o != nil {
			chosen = o.choice
			if string(o.seen) != string(seen) {
				chosen = nil // a decision holds only for what the person saw
			}
		}
	} else {
		k := *w.Hold
		k.Sync, k.Link, k.Keys = b.name, link, named(k.Keys, keys)
		body, field, since, next, tries = k, k.Field, k.Since, k.Next, k.Tries
		if o := same(false, field); o != nil && (next.IsZero() || tries == 0) {
			tries = o.tries + 1
		}
		tries = max(tries, 1)
		if next.IsZero() {
			next = b.s.now().Add(retryDelay(tries))
		}
	}
	at := nanos(since)
	if since.IsZero() {
		at = nanos(b.s.now())
	}
	if o := same(w.Conflict != nil, field); o != nil {
		at = o.since
	}
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	if shown == nil {
		shown = []byte{}
	}
	return c.exec("INSERT INTO waiting (sync, conflict, link, key_left, key_right, field, since, tries, next, choice, seen, shown, body) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
		b.id, w.Conflict != nil, link, keys[0], keys[1], field, at, tries, next, chosen, seen, shown, string(text))
}

func named(keys, otherwise [2]string) [2]string {
	if keys == [2]string{} {
		return otherwise
	}
	return keys
}

// Choose stores a person's decision of a conflict that waits.
func (b *book) Choose(ctx context.Context, link int64, field string, ch reconcile.Choice) (bool, error) {
	var found bool
	err := b.write(ctx, "choose", 1, func(c *conn, _ bool) error {
		var id int64
		var seen []byte
		var err error
		found, err = c.one("SELECT id, seen FROM waiting WHERE sync = ? AND link = ? AND link <> 0 AND field = ? AND conflict = 1",
			func(r row) { id, seen = r.int(0), r.blob(1) }, b.id, link, field)
		if err != nil || !found {
			return err
		}
		stored := ch
		if ch.Seen[0] == nil && ch.Seen[1] == nil {
			if stored.Seen, err = readPair(seen); err != nil {
				return err
			}
		}
		return c.exec("UPDATE waiting SET choice = ? WHERE id = ?", choice(&stored), id)
	})
	return found && err == nil, err
}

// A place is where a page of waiting rows ended.
type place struct {
	link        int64
	left, right string
	field       string
	since, id   int64
}

const (
	waitingRows    = 256
	waitingColumns = "SELECT w.id, conflict, link, key_left, key_right, field, since, tries, next, choice, seen, shown, body FROM waiting w "
)

// Waiting emits what waits for one link, or for everything in this sync, by link, key and field, but for comments and
// attachments.
func (b *book) Waiting(ctx context.Context, link int64, emit func(engine.Waiting) error) error {
	const order = " AND kind = '' AND (link, key_left, key_right, field, w.id) > (?2, ?3, ?4, ?5, ?6) ORDER BY link, key_left, key_right, field, w.id LIMIT ?7"
	query := waitingColumns + "WHERE sync = ?1" + order
	if link != 0 {
		query = waitingColumns + "WHERE sync = ?1 AND link = ?8" + order
	}
	return eachWaiting(place{link: -1}, func(after place, p *waitingPage) error {
		args := []any{b.id, after.link, after.left, after.right, after.field, after.id, waitingRows}
		if link != 0 {
			args = append(args, link)
		}
		return b.read(ctx, "read what waits", func(c *conn) error { return p.read(c, query, args...) })
	}, emit)
}

// Waiting emits what waits in one sync or in all, oldest first.
func (s *Store) Waiting(ctx context.Context, sync string, emit func(engine.Waiting) error) error {
	query := waitingColumns + "INDEXED BY waiting_since WHERE (since, w.id) > (?1, ?2)"
	if sync != "" {
		query += " AND sync = (SELECT id FROM sync WHERE name = ?4)"
	}
	query += " ORDER BY since, w.id LIMIT ?3"
	return eachWaiting(place{since: math.MinInt64}, func(after place, p *waitingPage) error {
		args := []any{after.since, after.id, waitingRows}
		if sync != "" {
			args = append(args, sync)
		}
		if err := s.read(ctx, func(c *conn) error { return p.read(c, query, args...) }); err != nil {
			return fmt.Errorf("read what waits: %w", err)
		}
		return nil
	}, emit)
}

// A waitingPage is some of what waits, and where it ended.
type waitingPage struct {
	rows []engine.Waiting
	end  place
}

// read fills p afresh.
func (p *waitingPage) read(c *conn, query string, args ...any) error {
	p.rows = p.rows[:0]
	return c.each(query, func(r row) error {
		w, err := readWaiting(r)
		if err != nil {
			return fmt.Errorf("what waits under %d: %w", r.int(0), err)
		}
		p.rows = append(p.rows, w)
		p.end = place{r.int(2), r.text(3), r.text(4), r.text(5), r.int(6), r.int(0)}
		return nil
	}, args...)
}

// eachWaiting emits page after page, until one is not full.
func eachWaiting(after place, read func(after place, p *waitingPage) error, emit func(engine.Waiting) error) error {
	for {
		var p waitingPage
		if err := read(after, &p); err != nil {
			return err
		}
		for _, w := range p.rows {
			if err := emit(w); err != nil {
				return err
			}
		}
		if len(p.rows) < waitingRows {
			return nil
		}
		after = p.end
	}
}

func readWaiting(r row) (w engine.Waiting, err error) {
	if w.Choice, err = readChoice(r.blob(9)); err != nil {
		return w, err
	}
	if w.Seen, err = readPair(r.blob(10)); err != nil {
		return w, err
	}
	since := instant(r.int(6))
	if r.int(1) == 0 {
		w.Hold = &plan.Hold{}
		if err := json.Unmarshal([]byte(r.text(12)), w.Hold); err != nil {
			return w, err
		}
		w.Hold.Since, w.Hold.Tries, w.Hold.Next = since, int(r.int(7)), instant(r.int(8))
		return w, nil
	}
	w.Conflict = &plan.Conflict{}
	if err := json.Unmarshal([]byte(r.text(12)), w.Conflict); err != nil {
		return w, err
	}
	shown, err := record.DecodeValues(r.blob(11))
	if err != nil {
		return w, err
	}
	if len(shown) != 4 {
		return w, errDamagedBlob
	}
	w.Conflict.Since = since
	w.Conflict.Base, w.Conflict.Now = [2]record.Value(shown[:2]), [2]record.Value(shown[2:])
	return w, nil
}
