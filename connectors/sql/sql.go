// Package sql makes any table of a database a collection. In this version the database is SQLite.
//
// A collection block names the table, its key and, where it has them, the column of the last change, the column
// that marks a row as deleted, and the columns of label and author; a table with a single primary key needs no
// block. Rows are read in short queries of a thousand, so that the application that owns the database is never
// kept waiting; writes are immediate transactions that compare the row with the version that was read. Stamps
// without a zone are UTC. The database is never created and none of its settings is changed.
//
// Start with [Config]. All failures are *connectors.Error or the context's own error.
package sql

import (
	"context"
	dsql "database/sql"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	_ "github.com/mattn/go-sqlite3" // the driver

	"github.com/fieldsync/fieldsync/connectors"
)

// Config is the body of a connection "sql" block.
type Config struct {
	Driver string  `hcl:"driver,optional"` // "sqlite", the default
	DSN    string  `hcl:"dsn"`             // file of the database, or a file: URL
	Tables []Table `hcl:"collection,block"`
}

// Table is a collection block.
type Table struct {
	Name     string `hcl:"name,label"`
	Table    string `hcl:"table,optional"`    // table or view; default: the collection's name
	Key      string `hcl:"key,optional"`      // unique column; default: the primary key
	Modified string `hcl:"modified,optional"` // when the row was changed last: makes scans incremental
	Deleted  string `hcl:"deleted,optional"`  // not null and not 0: the row counts as gone
	Label    string `hcl:"label,optional"`
	Author   string `hcl:"author,optional"` // who changed the row last

	Comments []Comments `hcl:"comments,block"`
}

// New returns empty settings.
func New() connectors.Config { return &Config{} }

// Open checks the settings. The database is opened when it is first used.
func (c *Config) Open(env connectors.Env) (connectors.Connection, error) {
	op := "open " + env.Name
	switch c.Driver {
	case "", "sqlite":
	case "postgres", "postgresql", "mysql", "mariadb", "sqlserver", "mssql", "oracle":
		return nil, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: fmt.Sprintf("driver %q is not in this version of fieldsync", c.Driver), Hint: `the only driver here is "sqlite"`}
	default:
		return nil, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: fmt.Sprintf("there is no driver %q", c.Driver), Hint: `write driver = "sqlite"`}
	}
	seen := map[string]bool{}
	for _, t := range c.Tables {
		if seen[t.Name] {
			return nil, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: fmt.Sprintf("collection %q is declared twice", t.Name), Hint: "give each collection block a name of its own"}
		}
		seen[t.Name] = true
	}
	file, params, err := address(c.DSN, env.Dir)
	if err != nil {
		return nil, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: err.Error(), Hint: `write dsn = "helpdesk.db": the path of the database file`}
	}
	if env.Log == nil {
		env.Log = slog.New(slog.DiscardHandler)
	}
	if env.Now == nil {
		env.Now = time.Now
	}
	return &connection{env: env, tables: c.Tables, file: file, params: params, writing: make(chan struct{}, 1)}, nil
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

// A connection is an open database. There is one pool for reading, which SQLite itself keeps from writing, and
// one connection for writing.
type connection struct {
	env    connectors.Env
	tables []Table
	file   string
	params url.Values

	writing chan struct{} // holds one token while a write runs: SQLite has one writer, and waiting here is fair

	mu    sync.Mutex
	read  *dsql.DB
	write *dsql.DB
}

// dial opens the database if that has not happened yet.
func (c *connection) dial() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.read != nil {
		return nil
	}
	op := "open " + c.env.Name
	info, err := os.Stat(c.file)
	switch {
	case err != nil && os.IsNotExist(err):
		return &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: fmt.Sprintf("there is no database %s", c.file), Hint: "check dsn; a relative path starts at the folder of the mapping file, and the database is not created", Err: err}
	case err != nil:
		return &connectors.Error{Kind: connectors.ErrDenied, Op: op, Detail: err.Error(), Hint: "let the user that runs fieldsync enter the folder", Err: err}
	case info.IsDir():
		return &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: fmt.Sprintf("%s is a folder", c.file), Hint: "write the path of the database file in dsn"}
	}
	if f, err := os.Open(c.file); err != nil {
		return &connectors.Error{Kind: connectors.ErrDenied, Op: op, Detail: err.Error(), Hint: "let the user that runs fieldsync read the database file", Err: err}
	} else if err := f.Close(); err != nil {
		return &connectors.Error{Kind: connectors.ErrProtocol, Op: op, Err: err}
	}
	if c.read, err = dsql.Open("sqlite3", c.dsn("_query_only", "1")); err != nil {
		return fail(op, err, nil)
	}
	if c.write, err = dsql.Open("sqlite3", c.dsn("_txlock", "immediate")); err != nil {
		return fail(op, err, nil)
	}
	n := c.env.Limits.Concurrency
	if n <= 0 {
		n = 4
	}
	c.read.SetMaxOpenConns(n)
	c.write.SetMaxOpenConns(1)
	return nil
}

func (c *connection) dsn(pairs ...string) string {
	q := url.Values{"mode": {"rw"}, "_busy_timeout": {"10000"}}
	for k, v := range c.params {
		q[k] = v
	}
	for i := 0; i < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	return "file:" + (&url.URL{Path: c.file}).EscapedPath() + "?" + q.Encode()
}

// Collection looks the table up in the database, so that its columns are those of now.
func (c *connection) Collection(ctx context.Context, name string) (connectors.Collection, error) {
	if err := c.dial(); err != nil {
		return nil, err
	}
	t := Table{Name: name}
	if i := slices.IndexFunc(c.tables, func(t Table) bool { return t.Name == name }); i >= 0 {
		t = c.tables[i]
	}
	if t.Table == "" {
		t.Table = t.Name
	}
	return c.table(ctx, t)
}

// Close lets go of the database.
func (c *connection) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, db := range []*dsql.DB{c.read, c.write} {
		if db != nil {
			if err := db.Close(); err != nil {
				return fmt.Errorf("close %s: %w", c.env.Name, err)
			}
		}
	}
	c.read, c.write = nil, nil
	return nil
}

// Check opens the database and every collection that is declared.
func (c *connection) Check(ctx context.Context) ([]connectors.Finding, error) {
	if err := c.dial(); err != nil {
		return nil, err
	}
	var version string
	if err := c.read.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&version); err != nil {
		return nil, fail("check "+c.env.Name, err, nil)
	}
	found := []connectors.Finding{{OK: true, What: "database", Detail: fmt.Sprintf("%s, SQLite %s", c.file, version)}}
	found = append(found, c.writable())
	for _, t := range c.tables {
		col, err := c.Collection(ctx, t.Name)
		if err != nil {
			found = append(found, connectors.Finding{What: "collection " + t.Name, Detail: err.Error(), Hint: connectors.Hint(err)})
			continue
		}
		more, err := col.(*collection).check(ctx)
		if err != nil {
			return found, err
		}
		found = append(found, more...)
	}
	return found, nil
}

func (c *connection) writable() connectors.Finding {
	f, err := os.OpenFile(c.file, os.O_RDWR, 0)
	if err != nil {
		return connectors.Finding{What: "rights", Detail: "the database can be read but not written", Hint: "let the user that runs fieldsync write the file and its folder, or only sync away from it"}
	}
	if err := f.Close(); err != nil {
		return connectors.Finding{What: "rights", Detail: err.Error()}
	}
	return connectors.Finding{OK: true, What: "rights", Detail: "the database can be read and written"}
}
