package state

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/record"
)

// OR FAIL and OR IGNORE spare SQLite the copies of pages that undoing one statement takes: a failure undoes more
// than that anyway. A link is inserted under an id that is chosen here, so that many fit in one statement.
var (
	insertLinks   = newRows("INSERT OR FAIL INTO link (id, sync, status, key_left, key_right, was_left, was_right, label_left, label_right, version_left, version_right, shape_left, shape_right, base_left, base_right, sent_left, sent_right, now_left, now_right, ended, meant) VALUES ", 21, "")
	insertPrints  = newRows("INSERT OR IGNORE INTO print (sync, side, hash, print) VALUES ", 4, "")
	upsertPrints  = newRows("INSERT OR FAIL INTO print (sync, side, hash, print) VALUES ", 4, setPrint)
	upsertOrigins = newRows("INSERT OR FAIL INTO origin (link, side, path, rule, run, at, author) VALUES ", 7, setOrigin)
	closeIntents  = newList("DELETE FROM intent WHERE sync = ? AND id IN ", "")
	insertHistory = newRows("INSERT OR FAIL INTO history (sync, link, side, key, path, value, replaced_by, rule, run, at, author, cause, who) VALUES ", 13, "")
)

var stoodAmong = newUnion("SELECT id, status, coalesce(key_left, ''), coalesce(key_right, '') FROM link WHERE sync = ? AND id = ?")

// stood is how a link was stored before.
type stood struct {
	status record.Status
	key    [2]string
}

const (
	updateLink = `UPDATE link SET status = ?3, key_left = ?4, key_right = ?5, was_left = ?6, was_right = ?7, label_left = ?8, label_right = ?9,
		version_left = ?10, version_right = ?11, shape_left = ?12, shape_right = ?13, base_left = ?14, base_right = ?15,
		sent_left = ?16, sent_right = ?17, now_left = ?18, now_right = ?19, ended = ?20, meant = ?21 WHERE id = ?1 AND sync = ?2`
	// updateBase leaves alone what the indexes hold, or SQLite would write them anew.
	updateBase = `UPDATE link SET label_left = ?3, label_right = ?4, version_left = ?5, version_right = ?6, shape_left = ?7, shape_right = ?8,
		base_left = ?9, base_right = ?10, sent_left = ?11, sent_right = ?12, now_left = ?13, now_right = ?14, meant = ?15 WHERE id = ?1 AND sync = ?2`
	setPrint    = " ON CONFLICT (sync, side, hash) DO UPDATE SET print = excluded.print"
	upsertPrint = "INSERT INTO print (sync, side, hash, print) VALUES (?,?,?,?)" + setPrint
	setOrigin   = " ON CONFLICT (link, side, path) DO UPDATE SET rule = excluded.rule, run = excluded.run, at = excluded.at, author = excluded.author"
)

// Fold stores what became known, all of it at once. When one of the folds cannot be stored, each is stored
// by itself; the error then speaks of those that were not, and theirs are the links that have no ID.
func (b *book) Fold(ctx context.Context, folds []engine.Fold) error {
	if len(folds) == 0 {
		return nil
	}
	ids := make([]int64, len(folds))
	var refused []error
	carefully := func(c *conn, _ bool) error {
		refused = nil
		if err := checkFence(c, b.name, b.fence); err != nil {
			return err
		}
		for i := range folds {
			err := c.attempt(func() error { return b.fold(c, folds[i:i+1], ids[i:i+1]) })
			if !c.inTx() {
				return err
			}
			if err != nil {
				ids[i] = 0
				refused = append(refused, fmt.Errorf("%s: %w", describe(folds[i]), taken(err)))
			}
		}
		return nil
	}
	err := b.s.hand(b.name, "fold of "+b.name, &write{ctx: ctx, size: len(folds), do: carefully, fold: &folding{b, folds, ids}})
	if err != nil {
		return err
	}
	for i, f := range folds {
		if f.Link != nil && f.Link.ID == 0 {
			f.Link.ID = ids[i]
		}
	}
	if len(refused) == 0 {
		return nil
	}
	const shown = 5
	if more := len(refused) - shown; more > 0 {
		refused = append(refused[:shown], fmt.Errorf("and %d more", more))
	}
	return fmt.Errorf("fold of %s: %w", b.name, b.s.db.fault("write state", errors.Join(refused...)))
}

func describe(f engine.Fold) string {
	if f.Link == nil {
		return fmt.Sprintf("records %q and %q", f.Keys[0], f.Keys[1])
	}
	return fmt.Sprintf("link %d of %q and %q", f.Link.ID, f.Link.Key[0], f.Link.Key[1])
}

// check refuses what cannot be stored.
func (b *book) check(f *engine.Fold) error {
	if f.Link == nil {
		switch {
		case len(f.Origins) > 0:
			return errors.New("origins belong to a link, and none is given")
		case f.Decided && f.Keys == [2]string{}:
			return errors.New("holds and conflicts belong to a link or to a record, and neither is given")
		}
		return nil
	}
	if f.Link.Key == [2]string{} {
		return errors.New("a link needs the key of a record")
	}
	if f.Link.Status > record.Ended {
		return fmt.Errorf("there is no status %d", f.Link.Status)
	}
	for _, s := range record.Sides {
		for _, vs := range [][]record.Value{f.Link.Base[s], f.Link.Sent[s], f.Link.Now[s]} {
			if vs != nil && len(vs) != len(b.paths[s]) {
				return fmt.Errorf("%d values on the %s, whose rules have %d paths", len(vs), s, len(b.paths[s]))
			}
		}
	}
	for _, m := range f.Link.Meant {
		if m.Slot < 0 || m.Slot >= len(b.paths[m.Side]) {
			return fmt.Errorf("what somebody meant in slot %d of the %s, whose rules have %d paths", m.Slot, m.Side, len(b.paths[m.Side]))
		}
	}
	return nil
}

// fold stores folds and puts the ID of each one's link into ids. It goes table by table rather than fold by fold.
func (b *book) fold(c *conn, folds []engine.Fold, ids []int64) error {
	var closed []int64
	for i := range folds {
		if err := b.check(&folds[i]); err != nil {
			return err
		}
		if in := folds[i].Intent; in != 0 {
			closed = append(closed, in)
		}
	}
	if err := among(c, closeIntents, closed, nil, b.id); err != nil {
		return err
	}
	fresh, err := b.foldLinks(c, folds, ids)
	if err != nil {
		return err
	}
	if err := b.foldWaiting(c, folds, ids, fresh); err != nil {
		return err
	}
	if err := b.foldPrints(c, folds, slices.Contains(fresh, true)); err != nil {
		return err
	}
	if err := b.foldThreads(c, folds); err != nil {
		return err
	}
	if err := b.foldBeside(c, folds); err != nil {
		return err
	}
	return b.foldHistory(c, folds, ids)
}

// foldLinks stores the links and says which of them are new. Those that end come first, so that their keys are
// free for others; new ones come last, in the order of their IDs.
func (b *book) foldLinks(c *conn, folds []engine.Fold, ids []int64) (fresh []bool, err error) {
	fresh = make([]bool, len(folds))
	order := make([]int, 0, len(folds))
	creates := 0
	for i, f := range folds {
		ids[i] = 0
		if f.Link == nil {
			continue
		}
		order = append(order, i)
		ids[i], fresh[i] = f.Link.ID, f.Link.ID == 0
		if fresh[i] {
			creates++
		}
	}
	if len(order) == 0 {
		return fresh, nil
	}
	before, err := b.stood(c, folds, len(order)-creates)
	if err != nil {
		return nil, err
	}
	if creates > 0 {
		next, err := c.numbers("link", creates)
		if err != nil {
			return nil, err
		}
		for _, i := range order {
			if fresh[i] {
				ids[i], next = next[0], next[1:]
			}
		}
	}
	slices.SortStableFunc(order, func(i, j int) int {
		return cmp.Or(cmp.Compare(rank(folds[i].Link), rank(folds[j].Link)), cmp.Compare(ids[i], ids[j]))
	})
	known := len(order) - creates
	row := func(args []any, at int) []any { return b.linkArgs(args, folds[order[at]].Link, ids[order[at]]) }
	var args []any
	whole := map[int64]bool{} // links of which an earlier fold has changed more than that
	for at := range known {
		args = row(args[:0], at)
		query, l := updateLink, folds[order[at]].Link
		if before[l.ID] == (stood{l.Status, l.Key}) && l.Status != record.Ended && !whole[l.ID] {
			query = updateBase
			args = append(args[:2], args[7:]...)
			args = append(args[:14], args[15:]...) // ended
		} else {
			whole[l.ID] = true
		}
		if err := c.exec(query, args...); err != nil {
			return nil, err
		}
	}
	err = insertLinks.store(c, creates, func(args []any, at int) []any { return row(args, known+at) })
	if err != nil {
		return nil, err
	}
	var moved [4]int64
	for _, i := range order {
		now := folds[i].Link.Status
		moved[now]++
		if was, known := before[ids[i]]; known {
			moved[was.status]--
			if was.status == record.Ended && now != record.Ended {
				if err := c.exec("DELETE FROM tomb WHERE link = ? AND sync = ?", ids[i], b.id); err != nil {
					return nil, err
				}
			}
		}
		before[ids[i]] = stood{now, folds[i].Link.Key}
		if now == record.Ended {
			if err := b.bury(c, folds[i], ids[i]); err != nil {
				return nil, err
			}
		}
	}
	if moved == [4]int64{} {
		return fresh, nil
	}
	return fresh, c.exec("UPDATE sync SET live = live + ?, held = held + ?, detached = detached + ? WHERE id = ?",
		moved[record.Live], moved[record.Held], moved[record.Detached], b.id)
}

// rank orders the ways of storing a link: those that end free their keys, new ones take some.
func rank(l *record.Link) int {
	switch {
	case l.ID == 0:
		return 2
	case l.Status == record.Ended:
		return 0
	}
	return 1
}

// taken explains the one constraint that data can break.
func taken(err error) error {
	if constraint(err) {
		return fmt.Errorf("one of the records has another link already: %w", err)
	}
	return err
}

// linkArgs are the arguments of insertLinks and updateLink.
func (b *book) linkArgs(args []any, l *record.Link, id int64) []any {
	var ended time.Time
	args = append(args, id, b.id, l.Status)
	if l.Status == record.Ended {
		ended = b.s.now()
		args = append(args, nil, nil, keyOrNull(l.Key[0]), keyOrNull(l.Key[1]))
	} else {
		args = append(args, keyOrNull(l.Key[0]), keyOrNull(l.Key[1]), nil, nil)
	}
	return append(args, l.Label[0], l.Label[1], l.Version[0], l.Version[1], b.shape[0], b.shape[1],
		values(l.Base[0]), values(l.Base[1]), values(l.Sent[0]), values(l.Sent[1]), values(l.Now[0]), values(l.Now[1]), ended, b.meantBlob(l.Meant))
}

func keyOrNull(key string) any {
	if key == "" {
		return nil
	}
	return key
}

// stood reads how the known links among folds were stored before.
func (b *book) stood(c *conn, folds []engine.Fold, n int) (map[int64]stood, error) {
	before, known := make(map[int64]stood, n), make([]int64, 0, n)
	for _, f := range folds {
		if f.Link != nil && f.Link.ID != 0 {
			known = append(known, f.Link.ID)
		}
	}
	err := stoodAmong.run(c, len(known), func(args []any, i int) []any { return append(args, b.id, known[i]) }, func(r row) error {
		before[r.int(0)] = stood{record.Status(r.int(1)), [2]string{r.text(2), r.text(3)}}
		return nil
	})
	for _, id := range known {
		if _, found := before[id]; err == nil && !found {
			err = fmt.Errorf("sync %s has no link %d", b.name, id)
		}
	}
	return before, err
}

// bury gives the keys of a link that ended their tombs.
func (b *book) bury(c *conn, f engine.Fold, id int64) error {
	for _, s := range record.Sides {
		if f.Link.Key[s] == "" {
			continue
		}
		if err := c.exec("INSERT INTO tomb (sync, side, key, link, until, reason) VALUES (?,?,?,?,?,?) ON CONFLICT (sync, side, key) DO UPDATE SET link = excluded.link, until = excluded.until, reason = excluded.reason",
			b.id, s, f.Link.Key[s], id, f.TombUntil, f.End); err != nil {
			return err
		}
	}
	return nil
}

// A mark is what becomes of one fingerprint.
type mark struct {
	side   record.Side
	hash   int64
	print  uint64
	forget bool
}

// foldPrints writes in the order of the table: it is far larger than the cache of a first contact.
func (b *book) foldPrints(c *conn, folds []engine.Fold, fresh bool) error {
	marks := make([]mark, 0, 2*len(folds))
	for _, f := range folds {
		for _, s := range record.Sides {
			if h := f.Forget[s]; h != 0 {
				marks = append(marks, mark{side: s, hash: sortable(h), forget: true})
			}
			if p := f.Prints[s]; p != nil {
				marks = append(marks, mark{side: s, hash: sortable(p.Hash), print: p.Print})
			}
		}
	}
	slices.SortStableFunc(marks, func(x, y mark) int { return cmp.Or(cmp.Compare(x.side, y.side), cmp.Compare(x.hash, y.hash)) })
	keep := marks[:0]
	for i, m := range marks {
		if i+1 < len(marks) && marks[i+1].side == m.side && marks[i+1].hash == m.hash {
			continue // the last word counts
		}
		if m.forget {
			if err := c.exec("DELETE FROM print WHERE sync = ? AND side = ? AND hash = ?", b.id, m.side, m.hash); err != nil {
				return err
			}
			continue
		}
		keep = append(keep, m)
	}
	row := func(chunk []mark) func(args []any, i int) []any {
		return func(args []any, i int) []any {
			return append(args, b.id, chunk[i].side, chunk[i].hash, int64(chunk[i].print))
		}
	}
	if c.dialect().postgres || !fresh {
		return upsertPrints.store(c, len(keep), row(keep))
	}
	// On first contact nearly all of them are new: so the chunks that are not are done again.
	for chunk := range slices.Chunk(keep, 64) {
		before, err := c.number("SELECT total_changes()")
		if err != nil {
			return err
		}
		if err := insertPrints.store(c, len(chunk), row(chunk)); err != nil {
			return err
		}
		after, err := c.number("SELECT total_changes()")
		if err != nil {
			return err
		}
		if after-before == int64(len(chunk)) {
			continue
		}
		for _, m := range chunk {
			if err := c.exec(upsertPrint, b.id, m.side, m.hash, int64(m.print)); err != nil {
				return err
			}
		}
	}
	return nil
}

// foldHistory stores who set values and what they replaced.
func (b *book) foldHistory(c *conn, folds []engine.Fold, ids []int64) error {
	type lost struct {
		link int64
		key  string
		engine.Lost
	}
	var losts []lost
	var origins []engine.Origin
	places := map[engine.Place]int{} // in origins, where one place stands once: the last word counts
	links := []int64{}
	for i, f := range folds {
		for _, o := range f.Origins {
			p := engine.Place{Link: ids[i], Side: o.Side, Path: o.Path}
			if at, twice := places[p]; twice {
				origins[at] = o
				continue
			}
			places[p] = len(origins)
			origins, links = append(origins, o), append(links, ids[i])
		}
		keys := f.Keys
		if f.Link != nil {
			keys = f.Link.Key
		}
		for _, l := range f.Lost {
			losts = append(losts, lost{ids[i], keys[l.Side], l})
		}
	}
	err := upsertOrigins.store(c, len(origins), func(args []any, i int) []any {
		o := origins[i]
		return append(args, links[i], o.Side, o.Path, o.Rule, o.Run, o.At, o.Author)
	})
	if err != nil {
		return err
	}
	return insertHistory.store(c, len(losts), func(args []any, i int) []any {
		l := losts[i]
		return append(args, b.id, l.link, l.Side, l.key, l.Path, values([]record.Value{l.Value}), values([]record.Value{l.By}), l.Rule, l.Run, l.At, l.Author, string(cmp.Or(l.Cause, engine.ByRule)), l.Who)
	})
}

// retryDelay is how long a hold waits for its next try: a minute, then twice as long each time, at most six hours.
func retryDelay(tries int) time.Duration {
	const most = 6 * time.Hour
	if tries > 9 {
		return most
	}
	return min(time.Minute<<max(tries-1, 0), most)
}
