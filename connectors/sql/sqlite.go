package sql

import (
	"context"
	dsql "database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	_ "github.com/mattn/go-sqlite3" // the driver

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// sqlite is the dialect of a database that is a file. The file is never created and none of its settings is changed.
type sqlite struct {
	env    connectors.Env
	file   string
	params url.Values
}

func openSQLite(dsn string, env connectors.Env) (dialect, error) {
	file, params, err := address(dsn, env.Dir)
	if err != nil {
		return nil, &connectors.Error{Kind: connectors.ErrConfig, Op: "open " + env.Name, Detail: err.Error(), Hint: `write dsn = "helpdesk.db": the path of the database file; for a server name its driver: driver = "postgres"`}
	}
	if env.Now == nil {
		env.Now = time.Now
	}
	return &sqlite{env: env, file: file, params: params}, nil
}

// address takes a dsn apart. What it means without more words is a file beside the mapping.
func address(dsn, dir string) (file string, params url.Values, err error) {
	path, query := dsn, ""
	if rest, ok := strings.CutPrefix(dsn, "file:"); ok {
		path, query, _ = strings.Cut(rest, "?")
		if path, err = url.PathUnescape(path); err != nil {
			return "", nil, fmt.Errorf("dsn: %w", err)
		}
		path = strings.TrimPrefix(path, "//")
	} else if scheme, _, ok := strings.Cut(dsn, "://"); ok {
		return "", nil, fmt.Errorf("dsn starts with %q, which is not a file", scheme+"://")
	}
	if params, err = url.ParseQuery(query); err != nil {
		return "", nil, fmt.Errorf("dsn: %w", err)
	}
	switch {
	case path == "":
		return "", nil, fmt.Errorf("dsn is empty")
	case path == ":memory:" || params.Get("mode") == "memory":
		return "", nil, fmt.Errorf("a database in memory is empty each time; nothing can be kept in step with it")
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	return path, params, nil
}

func (d *sqlite) open(context.Context) (read, write *dsql.DB, err error) {
	op := "open " + d.env.Name
	info, err := os.Stat(d.file)
	switch {
	case err != nil && os.IsNotExist(err):
		return nil, nil, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: fmt.Sprintf("there is no database %s", d.file), Hint: "check dsn; a relative path starts at the folder of the mapping file, and the database is not created", Err: err}
	case err != nil:
		return nil, nil, &connectors.Error{Kind: connectors.ErrDenied, Op: op, Detail: err.Error(), Hint: "let the user that runs fieldsync enter the folder", Err: err}
	case info.IsDir():
		return nil, nil, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: fmt.Sprintf("%s is a folder", d.file), Hint: "write the path of the database file in dsn"}
	}
	if f, err := os.Open(d.file); err != nil {
		return nil, nil, &connectors.Error{Kind: connectors.ErrDenied, Op: op, Detail: err.Error(), Hint: "let the user that runs fieldsync read the database file", Err: err}
	} else if err := f.Close(); err != nil {
		return nil, nil, &connectors.Error{Kind: connectors.ErrProtocol, Op: op, Err: err}
	}
	if read, err = dsql.Open("sqlite3", d.dsn("_query_only", "1")); err != nil {
		return nil, nil, d.fail(op, err, nil)
	}
	if write, err = dsql.Open("sqlite3", d.dsn("_txlock", "immediate")); err != nil {
		return nil, nil, d.fail(op, err, nil)
	}
	return read, write, nil
}

func (d *sqlite) dsn(pairs ...string) string {
	q := url.Values{"mode": {"rw"}, "_busy_timeout": {"10000"}}
	for k, v := range d.params {
		q[k] = v
	}
	for i := 0; i < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	return "file:" + (&url.URL{Path: d.file}).EscapedPath() + "?" + q.Encode()
}

func (d *sqlite) place() string { return d.file }

// writers is one: SQLite has no more.
func (d *sqlite) writers(int) int { return 1 }

func (d *sqlite) about(ctx context.Context, c *connection) ([]connectors.Finding, error) {
	var version string
	if err := c.read.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&version); err != nil {
		return nil, err
	}
	return []connectors.Finding{{OK: true, What: "database", Detail: fmt.Sprintf("%s, SQLite %s", d.file, version)}, d.writable()}, nil
}

func (d *sqlite) writable() connectors.Finding {
	f, err := os.OpenFile(d.file, os.O_RDWR, 0)
	if err != nil {
		return connectors.Finding{What: "rights", Detail: "the database can be read but not written", Hint: "let the user that runs fieldsync write the file and its folder, or only sync away from it"}
	}
	if err := f.Close(); err != nil {
		return connectors.Finding{What: "rights", Detail: err.Error()}
	}
	return connectors.Finding{OK: true, What: "rights", Detail: "the database can be read and written"}
}

// rights of single tables do not exist.
func (d *sqlite) rights(context.Context, *collection) ([]connectors.Finding, error) { return nil, nil }

func (d *sqlite) relations(ctx context.Context, c *connection, names []string) ([]relation, error) {
	called, args := calledOne(d, "name", names)
	var list []relation
	err := c.each(ctx, func(v []any) error {
		name, _ := v[0].(string)
		list = append(list, relation{local: name, name: name, view: v[1] == "view"})
		return nil
	}, "SELECT name, type FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"+called+" ORDER BY name", args...)
	return list, err
}

func (d *sqlite) columns(ctx context.Context, c *connection, r relation) ([]column, error) {
	var list []column
	keys := 0
	err := c.each(ctx, func(v []any) error {
		col := column{hasValue: v[3] != nil}
		col.name, _ = v[0].(string)
		col.native, _ = v[1].(string)
		n, _ := v[2].(int64)
		col.notNull = n != 0
		pk, _ := v[4].(int64)
		col.primary = int(pk)
		hidden, _ := v[5].(int64)
		if hidden == 1 {
			return nil // a virtual table's argument, not a column
		}
		if hidden != 0 {
			col.fixed = "it is computed by the database"
		}
		col.kind = kindOf(col.native)
		col.codec = loose{kind: col.kind}
		if pk > 0 {
			keys++
		}
		list = append(list, col)
		return nil
	}, "SELECT name, type, [notnull], dflt_value, pk, hidden FROM pragma_table_xinfo(?)", r.local)
	for i := range list {
		if list[i].primary > 0 && keys == 1 && strings.EqualFold(list[i].native, "INTEGER") {
			list[i].hasValue, list[i].counted = true, true // an alias of the row id: SQLite numbers it
		}
	}
	return list, err
}

// kindOf reads a declared type as SQLite's own affinity rules do, by what it contains.
func kindOf(declared string) record.Type {
	d := strings.ToUpper(declared)
	has := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(d, p) })
	}
	switch {
	case has("BOOL"):
		return record.Type{Kind: record.Bool}
	case has("DATETIME", "TIMESTAMP"):
		return record.Type{Kind: record.Time}
	case strings.TrimSpace(d) == "DATE":
		return record.Type{Kind: record.Text, Layout: "2006-01-02"}
	case has("CHAR", "CLOB", "TEXT", "JSON"):
		return record.Type{Kind: record.Text}
	case has("INT"):
		return record.Type{Kind: record.Int}
	case has("REAL", "FLOA", "DOUB", "NUMERIC", "DECIMAL"):
		return record.Type{Kind: record.Float}
	}
	return record.Type{Kind: record.Text}
}

func (d *sqlite) uniques(ctx context.Context, c *connection, r relation) ([][]string, error) {
	var sets [][]string
	last := ""
	err := c.each(ctx, func(v []any) error {
		index, _ := v[0].(string)
		name, _ := v[1].(string)
		if index != last {
			sets, last = append(sets, nil), index
		}
		sets[len(sets)-1] = append(sets[len(sets)-1], name) // "" for an expression, which no column is called
		return nil
	}, `SELECT l.name, x.name FROM pragma_index_list(?) AS l JOIN pragma_index_info(l.name) AS x
		WHERE l."unique" = 1 AND l.partial = 0 ORDER BY l.name, x.seqno`, r.local)
	return sets, err
}

func (d *sqlite) leads(ctx context.Context, c *connection, r relation, column string) (led bool, err error) {
	err = c.each(ctx, func([]any) error { led = true; return nil },
		`SELECT l.name FROM pragma_index_list(?) AS l JOIN pragma_index_xinfo(l.name) AS x
			WHERE l.partial = 0 AND x.seqno = 0 AND x.name = ? AND x.coll = 'BINARY'`, r.local, column)
	return led, err
}

// learn finds out how a column of the table holds instants or flags.
func (d *sqlite) learn(ctx context.Context, c *connection, r relation, col *column, purpose forms) error {
	f := form{unit: 't', layout: sqliteLayout}
	if purpose == stamps {
		f.layout = time.DateTime
	}
	if col.kind.Kind == record.Int || col.kind.Kind == record.Bool {
		f = form{unit: 's'}
		if purpose == flags {
			f = form{unit: 'b'}
		}
	}
	err := c.each(ctx, func(v []any) error { f = formLike(v[0]); return nil },
		fmt.Sprintf("SELECT +%[1]s FROM %[2]s WHERE %[1]s IS NOT NULL AND %[1]s NOT IN (0, '') LIMIT 1", d.quote(col.name), from(d, r)))
	col.codec = loose{kind: col.kind, form: f}
	return err
}

func (d *sqlite) quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func (d *sqlite) mark(int) string { return "?" }

// shown has a plus that keeps the driver from reading meaning into declared types: it would turn a stamp that it
// cannot parse into the year 1.
func (d *sqlite) shown(c *column) string { return "+" + d.quote(c.name) }

func (d *sqlite) sought(c *column) string { return d.quote(c.name) }

func (d *sqlite) compareRows() bool { return true }

// lock is not needed: a writing transaction is the only one from its start.
func (d *sqlite) lock() string { return "" }

func (d *sqlite) prepares() bool { return false }

func (d *sqlite) alive(c *column) string {
	return fmt.Sprintf("(%[1]s IS NULL OR %[1]s IN (0, '', '0', 'false'))", d.quote(c.name))
}

func (d *sqlite) dead(_ *column, raw any) bool {
	switch m := raw.(type) {
	case nil:
		return false
	case int64:
		return m != 0
	case float64:
		return m != 0
	case string:
		return m != "" && m != "0" && m != "false"
	}
	return true
}

// clock is ours: a file has none of its own. Stamps are compared in whole seconds.
func (d *sqlite) clock(context.Context, *connection) (now, oldest time.Time, cl connectors.Clock, err error) {
	return d.env.Now().UTC(), time.Time{}, connectors.Clock{Measured: true, Error: time.Second}, nil
}

func (d *sqlite) fill(_ context.Context, _ *dsql.Tx, c *column, old any) (any, error) {
	if old != nil {
		return formLike(old).encode(d.env.Now()), nil
	}
	return d.stampAt(c, d.env.Now())
}

func (d *sqlite) stampAt(c *column, at time.Time) (any, error) {
	if l, ok := c.codec.(loose); ok {
		return l.form.encode(at), nil
	}
	return form{}.encode(at), nil
}

func (d *sqlite) noValues() string { return "DEFAULT VALUES" }

func (d *sqlite) insert(ctx context.Context, tx *dsql.Tx, r relation, columns []*column, args []any, give []*column) ([]any, error) {
	return insertReturning(ctx, d, tx, r, columns, args, give)
}

// piece cuts bytes, whatever the value is: of a text SQLite would count letters.
func (d *sqlite) piece(c *column, at, n int) string {
	return fmt.Sprintf("substr(CAST(coalesce(%s, '') AS BLOB), %d, %d)", d.quote(c.name), at+1, n)
}
