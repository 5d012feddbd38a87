package state

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/mattn/go-sqlite3"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A spool is a private temporary database: 16 MB of memory, then a file that SQLite removes from its folder as
// soon as it has it open. One transaction stays open for its whole life and there is no journal: what is lost
// with the process is of no use to anybody.
//
// Everything is appended and indexes are made by the first reading: sorting once is far cheaper than a million
// insertions at random places. A record that is put again is a later row, and the latest one counts.
type spool struct {
	mu      sync.Mutex // the connection's; not held while something is emitted
	c       *conn
	broken  error
	indexed map[string]bool
	last    int64 // id of the newest record
}

const (
	byKey   = "CREATE INDEX rec_key ON rec (side, key)"
	byMatch = "CREATE INDEX match_hash ON match (side, block, hash, key, rec)"
	byOrder = "CREATE INDEX item_order ON item (ord, sort)"
)

var (
	insertRecs    = newRows("INSERT INTO rec (id, side, key, body) VALUES ", 4, "")
	insertMatches = newRows("INSERT INTO match (side, block, hash, key, rec) VALUES ", 5, "")
	insertItems   = newRows("INSERT INTO item (ord, sort, data) VALUES ", 3, "")
)

// Spool makes an empty place for one run's own data.
func (s *Store) Spool(context.Context) (engine.Spool, error) {
	own, err := dial("",
		"PRAGMA journal_mode = OFF",
		"PRAGMA synchronous = OFF",
		"PRAGMA cache_size = -16384",
		"BEGIN",
		"CREATE TABLE rec (id INTEGER PRIMARY KEY, side INTEGER NOT NULL, key TEXT NOT NULL, body BLOB NOT NULL) STRICT",
		"CREATE TABLE match (side INTEGER NOT NULL, block INTEGER NOT NULL, hash INTEGER NOT NULL, key TEXT NOT NULL, rec INTEGER NOT NULL) STRICT",
		"CREATE TABLE item (id INTEGER PRIMARY KEY, ord INTEGER NOT NULL, sort TEXT NOT NULL, data BLOB NOT NULL) STRICT",
	)
	if err != nil {
		return nil, spoolFault(err)
	}
	return &spool{c: own.on(), indexed: map[string]bool{}}, nil
}

func spoolFault(err error) error {
	se, ok := errors.AsType[sqlite3.Error](err)
	if !ok {
		return fmt.Errorf("spool: %w", err)
	}
	detail, _, kind := explain(se, "")
	if kind == nil {
		return fmt.Errorf("spool: %w", err)
	}
	if kind == ErrFile || kind == ErrDamaged {
		kind, detail = errors.New("the temporary database failed"), se.Error()
	}
	return &connectors.Error{Op: "spool what moved", Kind: kind, Detail: detail, Err: err,
		Hint: "make room in the folder for temporary files (/var/tmp, else /tmp), or set SQLITE_TMPDIR to a folder that has some"}
}

// with runs f on the connection, with the indexes it needs. Without a journal nothing can be taken back, so
// after an error the spool is of no more use.
func (s *spool) with(ctx context.Context, f func(c *conn) error, indexes ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.broken != nil {
		return s.broken
	}
	for _, ddl := range indexes {
		if s.indexed[ddl] {
			continue
		}
		if err := s.c.exec(ddl); err != nil {
			s.broken = spoolFault(err)
			return s.broken
		}
		s.indexed[ddl] = true
	}
	if err := f(s.c); err != nil {
		s.broken = spoolFault(err)
	}
	return s.broken
}

// Close removes the spool.
func (s *spool) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.Is(s.broken, ErrClosed) {
		return nil
	}
	s.broken = fmt.Errorf("spool: %w", ErrClosed)
	return s.c.close()
}

// Put stores records that moved.
func (s *spool) Put(ctx context.Context, side record.Side, recs []engine.Moved) error {
	type match struct {
		block int
		hash  uint64
		key   string
		rec   int64
	}
	return s.with(ctx, func(c *conn) error {
		var matches []match
		err := insertRecs.store(c, len(recs), func(args []any, i int) []any {
			s.last++
			for block, h := range recs[i].Match {
				if h != 0 {
					matches = append(matches, match{block, h, recs[i].Record.Key, s.last})
				}
			}
			return append(args, s.last, side, recs[i].Record.Key, appendMoved(nil, &recs[i]))
		})
		if err != nil {
			return err
		}
		return insertMatches.store(c, len(matches), func(args []any, i int) []any {
			return append(args, side, matches[i].block, int64(matches[i].hash), matches[i].key, matches[i].rec)
		})
	})
}

// Get returns one record by key.
func (s *spool) Get(ctx context.Context, side record.Side, key string) (m engine.Moved, found bool, err error) {
	err = s.with(ctx, func(c *conn) error {
		var derr error
		found, err = c.one("SELECT body FROM rec WHERE side = ? AND key = ? ORDER BY id DESC LIMIT 1", func(r row) {
			m, derr = readMoved(key, r.blob(0))
		}, side, key)
		return errors.Join(err, derr)
	}, byKey)
	return m, found && err == nil, err
}

// newest holds of the newest row of each key.
const newest = "NOT EXISTS (SELECT 1 FROM rec n WHERE n.side = r.side AND n.key = r.key AND n.id > r.id)"

const spoolPage = 256

// Each emits the records of a side by key.
func (s *spool) Each(ctx context.Context, side record.Side, emit func(engine.Moved) error) error {
	page := make([]engine.Moved, 0, spoolPage)
	query := "SELECT key, body FROM rec r WHERE side = ? AND key >= ? AND " + newest + " ORDER BY key LIMIT ?"
	for after := ""; ; {
		err := s.with(ctx, func(c *conn) error {
			page = page[:0]
			return c.each(query, func(r row) error {
				m, err := readMoved(r.text(0), r.blob(1))
				page = append(page, m)
				return err
			}, side, after, spoolPage)
		}, byKey)
		if err != nil {
			return err
		}
		for _, m := range page {
			if err := emit(m); err != nil {
				return err
			}
		}
		if len(page) < spoolPage {
			return nil
		}
		// The first string behind a key: it followed by a zero byte.
		after = page[spoolPage-1].Record.Key + "\x00"
	}
}

var recsByKey = newList("SELECT r.key, r.body FROM rec r WHERE r.side = ? AND r.key IN ", " AND "+newest)

// GetAll emits the records with these keys.
func (s *spool) GetAll(ctx context.Context, side record.Side, keys []string, emit func(engine.Moved) error) error {
	return s.gather(ctx, func(c *conn, add func(row) error) error { return among(c, recsByKey, keys, add, side) }, emit, byKey)
}

// matchMost is how many records of one hash Matching looks at.
const matchMost = 8

// Matching emits the first records of a side, by key, that have these hashes under one match block.
func (s *spool) Matching(ctx context.Context, side record.Side, block int, hashes []uint64, emit func(engine.Moved) error) error {
	signed := make([]int64, len(hashes))
	for i, h := range hashes {
		signed[i] = int64(h)
	}
	list, err := json.Marshal(signed)
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	return s.gather(ctx, func(c *conn, add func(row) error) error {
		return c.each(`SELECT r.key, r.body FROM (
			SELECT rec, row_number() OVER (PARTITION BY hash ORDER BY key, rec) AS n FROM match
			WHERE side = ? AND block = ? AND hash IN (SELECT value FROM json_each(?))
		) m JOIN rec r ON r.id = m.rec WHERE m.n <= ? AND `+newest+" ORDER BY r.key", add, side, block, string(list), matchMost)
	}, emit, byKey, byMatch)
}

// gather reads all records that ask finds, then emits them.
func (s *spool) gather(ctx context.Context, ask func(c *conn, add func(row) error) error, emit func(engine.Moved) error, indexes ...string) error {
	var found []engine.Moved
	err := s.with(ctx, func(c *conn) error {
		return ask(c, func(r row) error {
			m, err := readMoved(r.text(0), r.blob(1))
			found = append(found, m)
			return err
		})
	}, indexes...)
	if err != nil {
		return err
	}
	for _, m := range found {
		if err := emit(m); err != nil {
			return err
		}
	}
	return nil
}

// Count is the number of records of a side.
func (s *spool) Count(ctx context.Context, side record.Side) (n int64, err error) {
	err = s.with(ctx, func(c *conn) (err error) {
		n, err = c.number("SELECT count(DISTINCT key) FROM rec WHERE side = ?", side)
		return err
	}, byKey)
	return n, err
}

// Add appends items of the plan.
func (s *spool) Add(ctx context.Context, items []engine.Spooled) error {
	return s.with(ctx, func(c *conn) error {
		return insertItems.store(c, len(items), func(args []any, i int) []any {
			data := items[i].Data
			if data == nil {
				data = []byte{}
			}
			return append(args, items[i].Order, items[i].Sort, data)
		})
	})
}

// Items emits what was added from an order on, by order, sort and the sequence of Add.
func (s *spool) Items(ctx context.Context, from int, emit func(engine.Spooled) error) error {
	page := make([]engine.Spooled, 0, spoolPage)
	query := "SELECT id, ord, sort, data FROM item WHERE (ord, sort, id) > (?, ?, ?) ORDER BY ord, sort, id LIMIT ?"
	var order, sort, id any = int64(from), "", int64(0)
	for {
		err := s.with(ctx, func(c *conn) error {
			page = page[:0]
			after := []any{order, sort, id, spoolPage}
			return c.each(query, func(r row) error {
				page = append(page, engine.Spooled{Order: int(r.int(1)), Sort: r.text(2), Data: r.blob(3)})
				order, sort, id = r.int(1), r.text(2), r.int(0)
				return nil
			}, after...)
		}, byOrder)
		if err != nil {
			return err
		}
		for _, it := range page {
			if err := emit(it); err != nil {
				return err
			}
		}
		if len(page) < spoolPage {
			return nil
		}
	}
}

func appendMoved(dst []byte, m *engine.Moved) []byte {
	r := &m.Record
	body := values(r.Values)
	dst = slices.Grow(dst, len(body)+len(r.Label)+len(r.Version)+len(r.Author)+8*len(m.Match)+64)
	dst = appendText(dst, r.Label)
	dst = appendText(dst, r.Version)
	dst = appendText(dst, r.Author)
	if r.Modified.IsZero() {
		dst = append(dst, 0)
	} else {
		dst = append(dst, 1)
		dst = binary.AppendVarint(dst, r.Modified.Unix())
		dst = binary.AppendUvarint(dst, uint64(r.Modified.Nanosecond()))
	}
	dst = append(dst, byte(m.Presence))
	dst = binary.LittleEndian.AppendUint64(dst, m.Print.Hash)
	dst = binary.LittleEndian.AppendUint64(dst, m.Print.Print)
	dst = binary.AppendUvarint(dst, uint64(len(m.Match)))
	for _, h := range m.Match {
		dst = binary.LittleEndian.AppendUint64(dst, h)
	}
	return append(binary.AppendUvarint(dst, uint64(len(body))), body...)
}

func readMoved(key string, b []byte) (engine.Moved, error) {
	r := reader{b: b}
	m := engine.Moved{Record: record.Record{Key: key, Label: r.text(), Version: r.text(), Author: r.text()}}
	if r.byte() != 0 {
		m.Record.Modified = time.Unix(r.int(), int64(r.uint())).UTC()
	}
	m.Presence = reconcile.Presence(r.byte())
	m.Print = engine.Print{Hash: r.fixed(), Print: r.fixed()}
	if n := r.size(); n > 0 {
		m.Match = make([]uint64, n)
		for i := range m.Match {
			m.Match[i] = r.fixed()
		}
	}
	m.Record.Values = r.values()
	return m, r.end()
}
