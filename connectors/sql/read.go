package sql

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

const (
	page = 1000 // rows of one query of a scan
	list = 500  // keys or values of one query of a read
	// lag is how long after its stamp a change may become visible: a writer stamps first, commits later and
	// may have waited for the database in between. The cursor stays behind by it.
	lag = 30 * time.Second
)

// each runs a query on the reading side and hands every row's raw values over; they are valid until fn
// returns. It goes past database/sql's row scanning, which would cost as much as the query itself.
func (c *connection) each(ctx context.Context, fn func([]any) error, query string, args ...any) error {
	conn, err := c.read.Conn(ctx)
	if err != nil {
		return err
	}
	err = conn.Raw(func(dc any) error { return eachRow(ctx, dc, fn, query, args) })
	return errors.Join(err, conn.Close())
}

func eachRow(ctx context.Context, dc any, fn func([]any) error, query string, args []any) (err error) {
	q, ok := dc.(driver.QueryerContext)
	if !ok {
		return fmt.Errorf("the driver's %T has no queries", dc)
	}
	named := make([]driver.NamedValue, len(args))
	for i, a := range args {
		named[i] = driver.NamedValue{Ordinal: i + 1, Value: a}
	}
	rows, err := q.QueryContext(ctx, query, named)
	if err != nil {
		return err
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

// selection lists every column, with a plus that keeps the driver from reading meaning into declared types:
// it would turn a stamp that it cannot parse into the year 1.
func (t *collection) selection() string {
	parts := make([]string, len(t.columns))
	for i, c := range t.columns {
		parts[i] = "+" + quote(c.name)
	}
	return "SELECT " + strings.Join(parts, ", ") + " FROM " + quote(t.table)
}

// alive is the condition of rows that are not marked as deleted.
func (t *collection) alive() string {
	if t.deleted < 0 {
		return "1"
	}
	d := quote(t.columns[t.deleted].name)
	return fmt.Sprintf("(%[1]s IS NULL OR %[1]s IN (0, '', '0', 'false'))", d)
}

func (t *collection) dead(raw []any) bool {
	if t.deleted < 0 {
		return false
	}
	switch d := raw[t.deleted].(type) {
	case nil:
		return false
	case int64:
		return d != 0
	case float64:
		return d != 0
	case string:
		return d != "" && d != "0" && d != "false"
	}
	return true
}

// stamp is the modified column in Unix seconds, null where it cannot be understood.
func (t *collection) stamp() string { return seconds(t.columns[t.modified].name) }

func seconds(column string) string {
	return fmt.Sprintf(`CASE typeof(%[1]s)
		WHEN 'integer' THEN CASE WHEN abs(%[1]s) > 100000000000 THEN %[1]s / 1000 ELSE %[1]s END
		WHEN 'real' THEN CASE WHEN %[1]s BETWEEN 2000000 AND 3000000 THEN (%[1]s - 2440587.5) * 86400 ELSE %[1]s END
		WHEN 'text' THEN CAST(strftime('%%s', %[1]s) AS INTEGER) END`, quote(column))
}

// Scan pages by key. Each page is a query of its own that is over before its rows are emitted.
func (t *collection) Scan(ctx context.Context, q connectors.Query, emit func(record.Record) error) (connectors.Window, error) {
	op := "scan " + t.name
	slots, err := t.resolve(op, q.Paths)
	if err != nil {
		return connectors.Window{}, err
	}
	where := []string{t.alive()}
	var args []any
	if q.Native != "" {
		where = append(where, "("+q.Native+"\n)") // the line break ends a comment that the condition may end with
	}
	var window connectors.Window
	key := quote(t.columns[t.key].name)
	if t.modified >= 0 {
		start := t.conn.env.Now().UTC()
		window.Next = strconv.FormatInt(start.Add(-lag).Unix()-1, 10)
		window.Clock = connectors.Clock{Measured: true, Error: time.Second} // a local file: its clock is ours, in whole seconds
		if q.Since != "" {
			since, err := strconv.ParseInt(q.Since, 10, 64)
			if err != nil {
				return connectors.Window{}, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: "the cursor is not one of this collection", Err: err}
			}
			// No upper bound: a row that is stamped while we page is seen now or, as the cursor stays
			// behind the start, next time. What has no readable stamp may have changed at any time.
			where = append(where, fmt.Sprintf("((%[1]s) IS NULL OR (%[1]s) >= ?)", t.stamp()))
			args = append(args, since)
			bound, arg, err := t.narrow(ctx, since)
			if err != nil {
				return connectors.Window{}, fail(op, err, nil)
			}
			if bound != "" {
				where, args = append(where, bound), append(args, arg)
				key = "+" + key // keeps SQLite from walking the table in the order of the key
			}
		}
	}
	after := key + " IS NOT NULL"
	var last any
	values := make([]record.Value, page*len(slots))
	recs := make([]record.Record, 0, page)
	for {
		if err := ctx.Err(); err != nil {
			return connectors.Window{}, fmt.Errorf("%s: %w", op, err)
		}
		recs = recs[:0]
		bound := args
		if last != nil {
			after = key + " > ?"
			bound = append(args[:len(args):len(args)], last)
		}
		query := fmt.Sprintf("%s WHERE %s AND %s ORDER BY %s LIMIT %d", t.selection(), strings.Join(where, " AND "), after, key, page)
		err := t.conn.each(ctx, func(raw []any) error {
			at := len(recs) * len(slots)
			recs = append(recs, t.show(raw, slots, values[at:at+len(slots)]))
			last = raw[t.key]
			return nil
		}, query, bound...)
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

// few is up to how many changed rows an index on the modified column is used. Each page sorts them anew.
const few = 5 * page

// narrow gives a condition that an index on the modified column can answer and that every row which the exact
// one selects fulfils; "" if there is none. It trusts the column's smallest and largest value to tell the form
// of all others, which holds but for text that is no time and sorts among those that are.
func (t *collection) narrow(ctx context.Context, since int64) (condition string, arg any, err error) {
	if !t.indexed {
		return "", nil, nil
	}
	m, table := quote(t.columns[t.modified].name), quote(t.table)
	var ends [2]any
	for i, f := range []string{"min", "max"} { // one query each: SQLite answers only a lone one from the index
		if err := t.conn.each(ctx, func(v []any) error { ends[i] = v[0]; return nil }, fmt.Sprintf("SELECT %s(%s) FROM %s", f, m, table)); err != nil {
			return "", nil, err
		}
	}
	switch {
	case isSeconds(ends[0]) && isSeconds(ends[1]):
		arg = since
	case isStamp(ends[0]) && isStamp(ends[1]):
		// A day that is over in every time zone sorts before all stamps from since on, however they go on.
		arg = time.Unix(since, 0).UTC().Add(-26 * time.Hour).Format(time.DateOnly)
	default:
		return "", nil, nil
	}
	condition = fmt.Sprintf("(%[1]s IS NULL OR %[1]s >= ?)", m)
	var n int64
	err = t.conn.each(ctx, func(v []any) error { n, _ = v[0].(int64); return nil },
		fmt.Sprintf("SELECT count(*) FROM (SELECT 1 FROM %s WHERE %s LIMIT %d)", table, condition, few+1), arg)
	if err != nil || n > few {
		return "", nil, err
	}
	return condition, arg, nil
}

func isSeconds(raw any) bool {
	n, ok := raw.(int64)
	return ok && n > 1e8 && n < 1e11
}

func isStamp(raw any) bool {
	s, ok := raw.(string)
	if !ok {
		return false
	}
	_, err := record.ParseTime(s)
	return err == nil
}

func (t *collection) scanError(op, native string, err error) error {
	err = fail(op, err, nil)
	if e, ok := errors.AsType[*connectors.Error](err); ok && native != "" && e.Kind == connectors.ErrConfig {
		e.Hint = "check query of the side: it is a condition as after WHERE, on the columns of " + t.table
	}
	return err
}

// Read asks for the keys in lists.
func (t *collection) Read(ctx context.Context, paths, keys []string, emit func(record.Record) error) error {
	op := "read " + t.name
	asked := make(map[string]bool, len(keys))
	args := make([]any, 0, len(keys))
	for _, k := range keys {
		if !asked[k] {
			asked[k] = true
			args = append(args, t.keyArg(k))
		}
	}
	// SQLite may see 007 as 7 and a as A: what is emitted is exactly what was asked for.
	return t.lookup(ctx, op, paths, t.key, args, func(r record.Record, _ []any) bool { return asked[r.Key] }, emit)
}

// keyArg binds a key in the form that the column compares with.
func (t *collection) keyArg(key string) any {
	if n, err := strconv.ParseInt(key, 10, 64); err == nil && t.columns[t.key].kind.Kind == record.Int && strconv.FormatInt(n, 10) == key {
		return n
	}
	return key
}

// Find asks for the values in lists.
func (t *collection) Find(ctx context.Context, paths []string, path string, values []record.Value, emit func(record.Record) error) error {
	op := "find " + t.name
	at, err := t.resolve(op, []string{path})
	if err != nil {
		return err
	}
	slot, c := at[0], &t.columns[at[0]]
	if c.kind.Kind == record.Time {
		return &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: fmt.Sprintf("records cannot be found by the time in %q", path), Hint: "match by a column of text or numbers"}
	}
	asked := make(map[record.Value]bool, len(values))
	var args []any
	for _, v := range values {
		fit, err := c.kind.Coerce(v)
		if err != nil || !fit.Known() || fit.Empty() || asked[fit] {
			continue // a value that the column cannot hold is in no row
		}
		arg, err := t.encode(slot, fit, nil)
		if err != nil {
			continue
		}
		asked[fit] = true
		args = append(args, arg)
		if fit.Kind() == record.Bool {
			args = append(args, strconv.FormatBool(fit.Bool()))
		}
	}
	return t.lookup(ctx, op, paths, slot, args, func(_ record.Record, raw []any) bool { return asked[c.decode(raw[slot])] }, emit)
}

func (t *collection) lookup(ctx context.Context, op string, paths []string, slot int, args []any, want func(record.Record, []any) bool, emit func(record.Record) error) error {
	slots, err := t.resolve(op, paths)
	if err != nil {
		return err
	}
	for len(args) > 0 {
		n := min(len(args), list)
		query := fmt.Sprintf("%s WHERE %s AND %s IN (?%s)", t.selection(), t.alive(), quote(t.columns[slot].name), strings.Repeat(",?", n-1))
		var found []record.Record
		err := t.conn.each(ctx, func(raw []any) error {
			if r := t.show(raw, slots, make([]record.Value, len(slots))); want(r, raw) {
				found = append(found, r)
			}
			return nil
		}, query, args[:n]...)
		if err != nil {
			return fail(op, err, nil)
		}
		for _, r := range found {
			if err := emit(r); err != nil {
				return err
			}
		}
		args = args[n:]
	}
	return nil
}
