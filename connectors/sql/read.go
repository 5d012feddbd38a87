package sql

import (
	"bytes"
	"context"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

const (
	page = 1000     // rows of one query of a scan
	list = 500      // keys or values of one query of a read
	few  = 5 * page // up to how many changed rows an index on the modified column is used; each page sorts them anew
	// futureAfter is how far ahead of the database's clock a stamp may be before it is taken for local time.
	futureAfter = 5 * time.Minute
)

// each runs a query on the reading side and hands every row's raw values over; they are valid until fn
// returns. It goes past database/sql's row scanning, which would cost as much as the query itself.
func (c *connection) each(ctx context.Context, fn func([]any) error, query string, args ...any) error {
	read, _ := c.pools()
	conn, err := read.Conn(ctx)
	if err != nil {
		return err
	}
	err = conn.Raw(func(dc any) error { return eachRow(ctx, dc, c.prepares(), fn, query, args) })
	return errors.Join(err, conn.Close())
}

func eachRow(ctx context.Context, dc any, prepare bool, fn func([]any) error, query string, args []any) (err error) {
	named := make([]driver.NamedValue, len(args))
	for i, a := range args {
		named[i] = driver.NamedValue{Ordinal: i + 1, Value: a}
	}
	var rows driver.Rows
	if prepare {
		p, ok := dc.(driver.ConnPrepareContext)
		if !ok {
			return fmt.Errorf("the driver's %T prepares nothing", dc)
		}
		stmt, err := p.PrepareContext(ctx, query)
		if err != nil {
			return err
		}
		defer stmt.Close()
		q, ok := stmt.(driver.StmtQueryContext)
		if !ok {
			return fmt.Errorf("the driver's %T has no queries", stmt)
		}
		if rows, err = q.QueryContext(ctx, named); err != nil {
			return err
		}
	} else {
		q, ok := dc.(driver.QueryerContext)
		if !ok {
			return fmt.Errorf("the driver's %T has no queries", dc)
		}
		if rows, err = q.QueryContext(ctx, query, named); err != nil {
			return err
		}
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	dest := make([]driver.Value, len(rows.Columns()))
	raw := make([]any, len(dest))
	for {
		switch err := rows.Next(dest); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		for i, d := range dest {
			raw[i] = d
		}
		if err := fn(raw); err != nil {
			return err
		}
	}
}

// alive is the condition of rows that are not marked as deleted.
func (t *collection) alive() string {
	if t.deleted < 0 {
		return "1 = 1"
	}
	return t.conn.dialect.alive(&t.columns[t.deleted])
}

func (t *collection) dead(raw []any) bool {
	return t.deleted >= 0 && t.conn.dialect.dead(&t.columns[t.deleted], raw[t.deleted])
}

// Scan pages by key. Each page is a query of its own that is over before its rows are emitted.
func (t *collection) Scan(ctx context.Context, q connectors.Query, emit func(record.Record) error) (connectors.Window, error) {
	op := "scan " + t.name
	c := t.conn
	slots, err := t.resolve(op, q.Paths)
	if err != nil {
		return connectors.Window{}, err
	}
	var window connectors.Window
	var since time.Time
	source := func(*statement) string { return from(c, t.rel) }
	names := t.keyNames()
	last, to, err := t.rangeOf(op, q.Part)
	if err != nil {
		return connectors.Window{}, err
	}
	if t.modified >= 0 {
		if window, err = t.window(ctx, op); err != nil {
			return connectors.Window{}, err
		}
		if q.Since != "" {
			unix, err := strconv.ParseInt(q.Since, 10, 64)
			if err != nil {
				return connectors.Window{}, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: "the cursor is not one of this collection", Err: err}
			}
			since = time.Unix(unix, 0).UTC()
			narrowed, err := c.narrow(ctx, t, since)
			if err != nil {
				return connectors.Window{}, c.fail(op, err, nil)
			}
			if narrowed != nil {
				source = narrowed
			}
		}
	}
	values := make([]record.Value, page*len(slots))
	recs := make([]record.Record, 0, page)
	for {
		if err := ctx.Err(); err != nil {
			return connectors.Window{}, fmt.Errorf("%s: %w", op, err)
		}
		recs = recs[:0]
		s := c.statement()
		s.add("SELECT ", selection(c, t.columns), " FROM ", source(s), " WHERE ", t.scope(q.Native))
		if !since.IsZero() {
			// No upper bound: a row that is stamped while we page is seen now or, as the cursor stays
			// behind the start, next time. What has no readable stamp may have changed at any time.
			s.add(" AND ", c.since(s, &t.columns[t.modified], since))
		}
		if last != nil {
			s.add(" AND ", afterKey(s, names, last))
		}
		if to != nil {
			s.add(" AND ", upToKey(s, names, to))
		}
		s.add(" ORDER BY ", strings.Join(names, ", "), " LIMIT ", strconv.Itoa(page))
		err := c.each(ctx, func(raw []any) error {
			at := len(recs) * len(slots)
			recs = append(recs, t.show(raw, slots, values[at:at+len(slots)]))
			if len(recs) == page {
				last = ownRaw(t.rawKey(raw))
			}
			return nil
		}, s.text.String(), s.args...)
		if err != nil {
			return connectors.Window{}, t.scanError(op, q.Native, err)
		}
		for _, r := range recs {
			if err := emit(r); err != nil {
				return connectors.Window{}, err
			}
		}
		if len(recs) < page {
			return window, nil
		}
	}
}

// scope is the condition of the rows with a whole key that are not marked as deleted and fulfil a condition of the mapping.
func (t *collection) scope(native string) string {
	conds := []string{t.alive()}
	if native != "" {
		conds = append(conds, "("+native+"\n)") // the line break ends a comment that the condition may end with
	}
	for _, name := range t.keyNames() {
		conds = append(conds, name+" IS NOT NULL")
	}
	return strings.Join(conds, " AND ")
}

// fenced is the rows that fulfil a condition, as a table of its own: the LIMIT keeps a planner from walking the
// whole table in the order of the key in search of them. nil if there are too many to sort for each page.
func (t *collection) fenced(ctx context.Context, condition func(*statement) string) (func(*statement) string, error) {
	c := t.conn
	s := c.statement()
	s.add("SELECT count(*) FROM (SELECT 1 AS one FROM ", from(c, t.rel), " WHERE ", condition(s), " LIMIT ", strconv.Itoa(few+1), ") AS changed")
	var n int64
	if err := c.each(ctx, func(v []any) (err error) { n, err = whole(v[0]); return err }, s.text.String(), s.args...); err != nil || n > few {
		return nil, err
	}
	return func(s *statement) string {
		return "(SELECT * FROM " + from(c, t.rel) + " WHERE " + condition(s) + " LIMIT 9223372036854775807) AS " + c.quote(t.rel.local)
	}, nil
}

// window is where the next scan has to begin: behind the database's clock by the commit delay, and behind the
// start of every transaction that is known to run.
func (t *collection) window(ctx context.Context, op string) (connectors.Window, error) {
	now, oldest, clock, err := t.conn.clock(ctx, t.conn)
	if err != nil {
		return connectors.Window{}, t.conn.fail(op, err, nil)
	}
	delay, err := t.set.delay()
	if err != nil {
		return connectors.Window{}, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Err: err}
	}
	safe := now.Add(-delay)
	if !oldest.IsZero() && oldest.Before(safe) {
		safe = oldest
	}
	return connectors.Window{Next: strconv.FormatInt(safe.Unix()-1, 10), Clock: clock}, nil
}

// ownRaw copies raw values that may point into a driver's buffer.
func ownRaw(raw []any) []any {
	for i, r := range raw {
		if b, ok := r.([]byte); ok {
			raw[i] = bytes.Clone(b)
		}
	}
	return raw
}

func (t *collection) scanError(op, native string, err error) error {
	err = t.conn.fail(op, err, nil)
	if e, ok := errors.AsType[*connectors.Error](err); ok && native != "" && e.Kind == connectors.ErrConfig {
		e.Hint = "check query of the side: it is a condition as after WHERE, on the columns of " + t.rel.name
	}
	return err
}

// Read asks for the keys in lists.
func (t *collection) Read(ctx context.Context, paths, keys []string, emit func(record.Record) error) error {
	asked := make(map[string]bool, len(keys))
	sought := make([][]any, 0, len(keys))
	for _, k := range keys {
		if args, ok := t.keyArgs(k); ok && !asked[k] {
			asked[k] = true
			sought = append(sought, args)
		}
	}
	// A database may see 007 as 7 and a as A: what is emitted is exactly what was asked for.
	return t.lookup(ctx, "read "+t.name, paths, "", t.keyColumns(), sought, func(r record.Record, _ []any) bool { return asked[r.Key] }, emit)
}

// Find asks for the values in lists.
func (t *collection) Find(ctx context.Context, paths []string, path string, values []record.Value, emit func(record.Record) error) error {
	op := "find " + t.name
	at, err := t.resolve(op, []string{path})
	if err != nil {
		return err
	}
	if at[0] == wholeKey {
		keys := make([]string, 0, len(values))
		for _, v := range values {
			if v.Known() && !v.Empty() {
				keys = append(keys, v.Plain())
			}
		}
		return t.Read(ctx, paths, keys, emit)
	}
	slot, c := at[0], &t.columns[at[0]]
	if b, ok := c.codec.(typed); c.kind.Kind == record.Time || ok && !b.comparable() {
		return &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: fmt.Sprintf("records cannot be found by the %s in %q", c.native, path), Hint: "match by a column of text or numbers"}
	}
	asked := make(map[record.Value]bool, len(values))
	var sought [][]any
	for _, v := range values {
		if !v.Known() || v.Empty() {
			continue
		}
		for i, arg := range c.codec.seek(v) {
			if held := c.decode(arg); i == 0 && asked[held] {
				break
			} else if i == 0 {
				asked[held] = true
			}
			sought = append(sought, []any{arg})
		}
	}
	return t.lookup(ctx, op, paths, "", []*column{c}, sought, func(_ record.Record, raw []any) bool { return asked[c.decode(raw[slot])] }, emit)
}

// Within asks which of some rows fulfil a condition.
func (t *collection) Within(ctx context.Context, native string, keys []string, emit func(key string) error) error {
	asked := make(map[string]bool, len(keys))
	sought := make([][]any, 0, len(keys))
	for _, k := range keys {
		if args, ok := t.keyArgs(k); ok && !asked[k] {
			asked[k] = true
			sought = append(sought, args)
		}
	}
	return t.lookup(ctx, "look which rows of "+t.name+" are in scope", nil, native, t.keyColumns(), sought, func(r record.Record, _ []any) bool { return asked[r.Key] },
		func(r record.Record) error { return emit(r.Key) })
}

// lookup reads the rows whose columns have one of the values sought and that fulfil the condition native.
func (t *collection) lookup(ctx context.Context, op string, paths []string, native string, columns []*column, sought [][]any, want func(record.Record, []any) bool, emit func(record.Record) error) error {
	slots, err := t.resolve(op, paths)
	if err != nil {
		return err
	}
	for len(sought) > 0 {
		n := min(len(sought), list/len(columns))
		s := t.conn.statement()
		s.add("SELECT ", selection(t.conn, t.columns), " FROM ", from(t.conn, t.rel), " WHERE ", t.alive(), " AND ", amongKeys(s, columns, sought[:n]))
		if native != "" {
			s.add(" AND (", native, "\n)") // as in Scan
		}
		var found []record.Record
		err := t.conn.each(ctx, func(raw []any) error {
			if r := t.show(raw, slots, make([]record.Value, len(slots))); r.Key != "" && want(r, raw) {
				found = append(found, r)
			}
			return nil
		}, s.text.String(), s.args...)
		if err != nil {
			return t.conn.fail(op, err, nil)
		}
		for _, r := range found {
			if err := emit(r); err != nil {
				return err
			}
		}
		sought = sought[n:]
	}
	return nil
}

// show makes a record of a row.
func (t *collection) show(raw []any, slots []int, values []record.Value) record.Record {
	r := record.Record{Key: t.keyOf(raw), Version: version(raw), Values: values}
	for i, slot := range slots {
		values[i] = t.valueAt(raw, slot)
	}
	if t.label >= 0 {
		r.Label = t.columns[t.label].decode(raw[t.label]).Plain()
	}
	if t.author >= 0 {
		r.Author = t.columns[t.author].decode(raw[t.author]).Plain()
	}
	if t.modified >= 0 {
		r.Modified = stampOf(&t.columns[t.modified], raw[t.modified])
	}
	return r
}

// stampOf is the instant in a column; zero where it holds none.
func stampOf(c *column, raw any) time.Time {
	switch v := c.decode(raw); v.Kind() {
	case record.Time:
		return v.Time()
	case record.Text:
		if at, err := record.ParseTime(v.Text()); err == nil {
			return at
		}
	}
	if v, ok := instant(raw); ok {
		return v.Time()
	}
	return time.Time{}
}

// resolve finds the columns of paths.
func (t *collection) resolve(op string, paths []string) ([]int, error) {
	slots := make([]int, len(paths))
	for i, p := range paths {
		slot, ok := t.slots[p]
		if !ok && p == t.whole && p != "" {
			slot, ok = wholeKey, true
		}
		if !ok {
			return nil, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: fmt.Sprintf("table %s has no column %q", t.rel.name, p), Hint: t.hint(p), Fields: []string{p}}
		}
		slots[i] = slot
	}
	return slots, nil
}

// version is a hash of the whole row, so it changes with whatever changes.
func version(raw []any) string {
	var d xxhash.Digest
	d.Reset()
	var n [9]byte
	for _, r := range raw {
		n[0] = 0
		text := ""
		switch r := r.(type) {
		case nil:
		case int64:
			n[0] = 1
			binary.LittleEndian.PutUint64(n[1:], uint64(r))
		case float64:
			n[0] = 2
			binary.LittleEndian.PutUint64(n[1:], math.Float64bits(r))
		case string:
			n[0] = 3
			text = r
		case []byte:
			n[0] = 4
			text = string(r)
		default:
			n[0] = 5
			text = fmt.Sprint(r)
		}
		if n[0] > 2 {
			binary.LittleEndian.PutUint64(n[1:], uint64(len(text)))
		}
		_, _ = d.Write(n[:]) // a hash does not fail
		_, _ = d.WriteString(text)
	}
	return strconv.FormatUint(d.Sum64(), 16)
}

// whole reads a count, which drivers deliver as a number or as text.
func whole(raw any) (int64, error) {
	switch n := raw.(type) {
	case int64:
		return n, nil
	case string:
		return strconv.ParseInt(n, 10, 64)
	case []byte:
		return strconv.ParseInt(string(n), 10, 64)
	}
	return 0, fmt.Errorf("%v is no count", raw)
}
