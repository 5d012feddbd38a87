package state

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"regexp"

	"github.com/mattn/go-sqlite3"
)

// A lite is one SQLite connection and the statements it has prepared.
//
// It talks to the driver without database/sql between: a fold binds a dozen values a row and the scan of the
// fingerprints reads millions of rows, where the conversions of database/sql cost as much as SQLite itself.
// Statements run without a context, since the driver starts a goroutine for each one that can be cancelled.
type lite struct {
	raw   *sqlite3.SQLiteConn
	stmts map[string]*sqlite3.SQLiteStmt
	args  []driver.NamedValue
	stamp stamp // of a frozen connection: what the files were like when it was opened
}

func dial(dsn string, setup ...string) (*lite, error) {
	raw, err := (&sqlite3.SQLiteDriver{}).Open(dsn)
	if err != nil {
		return nil, err
	}
	sc, ok := raw.(*sqlite3.SQLiteConn)
	if !ok {
		return nil, fmt.Errorf("the driver gave a %T", raw)
	}
	c := &lite{raw: sc, stmts: map[string]*sqlite3.SQLiteStmt{}}
	for _, q := range setup {
		if err := c.on().exec(q); err != nil {
			c.close()
			return nil, err
		}
	}
	return c, nil
}

// on is how statements are run on c.
func (c *lite) on() *conn { return &conn{c} }

func (c *lite) close() error {
	var errs []error
	for _, s := range c.stmts {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, c.raw.Close())...)
}

var liteDialect = dialect{rowID: "rowid"}

func (c *lite) dialect() *dialect { return &liteDialect }
func (c *lite) inTx() bool        { return !c.raw.AutoCommit() }
func (c *lite) settle() error     { return nil }

func (c *lite) last(table string) (int64, error) {
	return c.on().number("SELECT seq FROM sqlite_sequence WHERE name = ?", table)
}

func (c *lite) count(last map[string]int64) error {
	for table, n := range last {
		if err := c.on().exec("DELETE FROM sqlite_sequence WHERE name = ?", table); err != nil {
			return err
		}
		if err := c.on().exec("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", table, n); err != nil {
			return err
		}
	}
	return nil
}

// numbers reads what the next rows of a table with AUTOINCREMENT get: nobody else writes meanwhile.
func (c *lite) numbers(table string, n int) ([]int64, error) {
	last, err := c.last(table)
	if err != nil {
		return nil, err
	}
	ns := make([]int64, n)
	for i := range ns {
		ns[i] = last + 1 + int64(i)
	}
	return ns, nil
}

// peeked are the parameters that SQLite's planner looks into, since a column that is 0 or 1, or a small limit, may deserve
// another plan. Each binding of another value then has the whole statement prepared anew, which takes ten times as long as
// most of them run. A sign before the parameter changes nothing but that.
var peeked = regexp.MustCompile(`(=|LIMIT) \?`)

func (c *lite) prepare(query string) (*sqlite3.SQLiteStmt, error) {
	if s := c.stmts[query]; s != nil {
		return s, nil
	}
	ds, err := c.raw.Prepare(peeked.ReplaceAllString(query, "$1 +?"))
	if err != nil {
		return nil, err
	}
	s, ok := ds.(*sqlite3.SQLiteStmt)
	if !ok {
		return nil, fmt.Errorf("the driver gave a %T", ds)
	}
	c.stmts[query] = s
	return s, nil
}

// query may not be used from f for the same statement.
func (c *lite) query(query string, f func(row) error, args []any) (err error) {
	s, err := c.prepare(query)
	if err != nil {
		return err
	}
	named := c.args[:0]
	for i, a := range args {
		named = append(named, driver.NamedValue{Ordinal: i + 1, Value: bindable(a)})
	}
	c.args = named
	rows, err := s.QueryContext(context.Background(), named)
	clear(named) // the arguments are bound: let go of them
	if err != nil {
		return err
	}
	defer func() {
		if cerr := rows.Close(); err == nil {
			err = cerr
		}
	}()
	r := make(row, len(rows.Columns()))
	for {
		if err := rows.Next(r); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if f != nil {
			if err := f(r); err != nil {
				return err
			}
		}
	}
}
