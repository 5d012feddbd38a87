// Package sql makes any table of a database a collection: SQLite, PostgreSQL, and MySQL with MariaDB.
//
// A collection block names the table, its key and, where it has them, the column of the last change, the column
// that marks a row as deleted, and the columns of label and author; a table with a primary key needs no block. Rows
// are read in short queries of a thousand, so that the application that owns the database is never kept waiting;
// writes are transactions that lock the row and compare it with the version that was read. Stamps without a zone
// are UTC. Nothing of the database but rows is ever created or changed.
//
// Start with [Config]. What differs from one database to another is a dialect: sqlite.go, postgres.go and mysql.go,
// each with its errors and its types beside it. All failures are *connectors.Error or the context's own error.
package sql

import (
	"context"
	dsql "database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
)

// Config is the body of a connection "sql" block.
type Config struct {
	Driver string  `hcl:"driver,optional"` // "sqlite", the default, "postgres" or "mysql"
	DSN    string  `hcl:"dsn"`             // file of the database, or how to log in to its server
	Tables []Table `hcl:"collection,block"`
}

// Table is a collection block.
type Table struct {
	Name        string   `hcl:"name,label"`
	Table       string   `hcl:"table,optional"`        // table or view; default: the collection's name
	WriteTo     string   `hcl:"write_to,optional"`     // the table behind a view, for writes
	Key         []string `hcl:"key,optional"`          // unique together; default: the primary key
	Modified    string   `hcl:"modified,optional"`     // when the row was changed last: makes scans incremental
	CommitDelay string   `hcl:"commit_delay,optional"` // how long after its stamp a change may become visible
	Deleted     string   `hcl:"deleted,optional"`      // not null and not 0: the row counts as gone
	Label       string   `hcl:"label,optional"`
	Author      string   `hcl:"author,optional"` // who changed the row last
	Notify      string   `hcl:"notify,optional"` // channel on which the database tells of changes

	Comments    []Comments    `hcl:"comments,block"`
	Attachments []Attachments `hcl:"attachments,block"`
}

// New returns empty settings.
func New() connectors.Config { return &Config{} }

// Open checks the settings. The database is opened when it is first used.
func (c *Config) Open(env connectors.Env) (connectors.Connection, error) {
	op := "open " + env.Name
	wrong := func(detail, hint string) error {
		return &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: detail, Hint: hint}
	}
	seen := map[string]bool{}
	for _, t := range c.Tables {
		if seen[t.Name] {
			return nil, wrong(fmt.Sprintf("collection %q is declared twice", t.Name), "give each collection block a name of its own")
		}
		seen[t.Name] = true
		if _, err := t.delay(); err != nil {
			return nil, wrong(fmt.Sprintf("collection %q: commit_delay = %q is no length of time", t.Name, t.CommitDelay), `write commit_delay = "2m": longer than the longest transaction that writes to the table`)
		}
		if t.Notify != "" && !c.postgres() {
			return nil, wrong(fmt.Sprintf("collection %q: notify = %q, but only PostgreSQL can tell of changes", t.Name, t.Notify), "leave notify out; the sync's schedule finds the changes")
		}
	}
	d, err := c.dialect(env)
	if err != nil {
		return nil, err
	}
	if env.Log == nil {
		env.Log = slog.New(slog.DiscardHandler)
	}
	if env.Now == nil {
		env.Now = time.Now
	}
	return &connection{env: env, dialect: d, tables: c.Tables, writing: make(chan struct{}, d.writers(env.Limits.Concurrency))}, nil
}

func (c *Config) postgres() bool { return c.Driver == "postgres" || c.Driver == "postgresql" }

func (c *Config) dialect(env connectors.Env) (dialect, error) {
	switch c.Driver {
	case "", "sqlite":
		return openSQLite(c.DSN, env)
	case "postgres", "postgresql":
		return openPostgres(c.DSN, env)
	case "mysql", "mariadb":
		return openMySQL(c.DSN, env)
	}
	out := &connectors.Error{Kind: connectors.ErrConfig, Op: "open " + env.Name, Detail: fmt.Sprintf("there is no driver %q", c.Driver), Hint: `the drivers are "sqlite", "postgres" and "mysql" (which is for MariaDB, too)`}
	if near := connectors.Nearest(c.Driver, []string{"sqlite", "postgres", "mysql", "mariadb"}); near != "" {
		out.Hint = fmt.Sprintf("did you mean %q?", near)
	}
	return nil, out
}

// Veil is the settings without their credentials, and the credentials: a password stands inside the dsn.
func (c *Config) Veil() (shown any, secrets []string) {
	veiled := *c
	switch c.Driver {
	case "postgres", "postgresql":
		veiled.DSN, secrets = veilPostgres(c.DSN)
	case "mysql", "mariadb":
		veiled.DSN, secrets = veilMySQL(c.DSN)
	}
	return &veiled, secrets
}

// commitDelay is how long after its stamp a change may become visible where the settings do not say: a writer
// stamps first, commits later and may have waited for the database in between. The cursor stays behind by it.
const commitDelay = 30 * time.Second

func (t *Table) delay() (time.Duration, error) {
	if t.CommitDelay == "" {
		return commitDelay, nil
	}
	d, err := time.ParseDuration(t.CommitDelay)
	if err == nil && d < 0 {
		err = errors.New("it is negative")
	}
	return d, err
}

// A connection is an open database. There is one pool for reading, which the database itself keeps from writing,
// and one for writing.
type connection struct {
	dialect
	env     connectors.Env
	tables  []Table
	writing chan struct{} // holds a token for each write that runs: waiting here is fair

	mu    sync.Mutex
	read  *dsql.DB
	write *dsql.DB
	most  int // connections at once, as the limits were last
}

// dial opens the database if that has not happened yet.
func (c *connection) dial(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.read != nil {
		return nil
	}
	read, write, err := c.open(ctx)
	if err != nil {
		return err
	}
	read.SetConnMaxIdleTime(5 * time.Minute)
	write.SetConnMaxIdleTime(5 * time.Minute)
	c.read, c.write, c.most = read, write, -1
	c.bound()
	return nil
}

// bound keeps to the limits as they are now: other processes may share them. c.mu is held.
func (c *connection) bound() {
	here := c.env.Limits.Here().Concurrency
	if here == c.most {
		return
	}
	c.most = here
	c.write.SetMaxOpenConns(c.writers(here))
	if here <= 0 {
		here = 4
	}
	c.read.SetMaxOpenConns(here)
}

// pools are the connections for reading and for writing, bounded as the limits are now.
func (c *connection) pools() (read, write *dsql.DB) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.read != nil {
		c.bound()
	}
	return c.read, c.write
}

// Collection looks the table up in the database, so that its columns are those of now.
func (c *connection) Collection(ctx context.Context, name string) (connectors.Collection, error) {
	if err := c.dial(ctx); err != nil {
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
	if err := c.dial(ctx); err != nil {
		return nil, err
	}
	found, err := c.about(ctx, c)
	if err != nil {
		return nil, c.fail("check "+c.env.Name, err, nil)
	}
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

// locally is what a relation of this name can be called in its schema: a dot may lead to it, or belong to it.
func locally(name string) []string {
	names := []string{name}
	for i, r := range name {
		if r == '.' {
			names = append(names, name[i+1:])
		}
	}
	return names
}

// calledOne is the condition that a column of names holds one of these, if there are any.
func calledOne(d dialect, column string, names []string) (condition string, args []any) {
	if len(names) == 0 {
		return "", nil
	}
	marks := make([]string, len(names))
	for i, name := range names {
		marks[i] = d.mark(i + 1)
		args = append(args, name)
	}
	return " AND " + column + " IN (" + strings.Join(marks, ", ") + ")", args
}

// relation finds the table or view that the settings call by name.
func (c *connection) relation(ctx context.Context, name string) (found relation, hint string, err error) {
	// A database may have thousands of tables, and is asked for each of them in every run: mostly it is called as it is named.
	all, err := c.relations(ctx, c, locally(name))
	if err != nil {
		return relation{}, "", err
	}
	if i := slices.IndexFunc(all, func(r relation) bool { return r.name == name }); i >= 0 {
		return all[i], "", nil
	}
	if all, err = c.relations(ctx, c, nil); err != nil {
		return relation{}, "", err
	}
	lowered := func(a, b string) bool { return a == strings.ToLower(b) } // as most databases read a bare name
	for _, same := range []func(a, b string) bool{lowered, strings.EqualFold} {
		if i := slices.IndexFunc(all, func(r relation) bool { return same(r.name, name) }); i >= 0 {
			return all[i], "", nil
		}
	}
	names := make([]string, len(all))
	for i, r := range all {
		names[i] = r.name
	}
	hint = "the database shows this user no tables; check dsn, and the user's rights"
	near := names
	for _, d := range c.tables {
		if d.Name != name {
			near = append(near[:len(near):len(near)], d.Name)
		}
	}
	if n := connectors.Nearest(name, near); n != "" {
		hint = fmt.Sprintf("did you mean %q?", n)
	} else if len(names) > 0 {
		hint = "its tables are " + strings.Join(names[:min(len(names), 12)], ", ")
	}
	return relation{}, hint, nil
}
