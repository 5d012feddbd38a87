package state

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/mattn/go-sqlite3"

	"github.com/fieldsync/fieldsync/engine/record"
)

// A conn is one SQLite connection and the statements it has prepared. One goroutine uses it at a time.
//
// It talks to the driver without database/sql between: a fold binds a dozen values a row and the scan of the
// fingerprints reads millions of rows, where the conversions of database/sql cost as much as SQLite itself.
// Statements run without a context, since the driver starts a goroutine for each one that can be cancelled.
type conn struct {
	raw   *sqlite3.SQLiteConn
	stmts map[string]*sqlite3.SQLiteStmt
	args  []driver.NamedValue
	stamp stamp // of a frozen connection: what the files were like when it was opened
}

func dial(dsn string, setup ...string) (*conn, error) {
	raw, err := (&sqlite3.SQLiteDriver{}).Open(dsn)
	if err != nil {
		return nil, err
	}
	sc, ok := raw.(*sqlite3.SQLiteConn)
	if !ok {
		return nil, fmt.Errorf("the driver gave a %T", raw)
	}
	c := &conn{raw: sc, stmts: map[string]*sqlite3.SQLiteStmt{}}
	for _, q := range setup {
		if err := c.exec(q); err != nil {
			c.close()
			return nil, err
		}
	}
	return c, nil
}

func (c *conn) close() error {
	var errs []error
	for _, s := range c.stmts {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, c.raw.Close())...)
}

// inTx reports whether a transaction is open. SQLite ends one by itself after errors such as a full disk.
func (c *conn) inTx() bool { return !c.raw.AutoCommit() }

func (c *conn) prepare(query string) (*sqlite3.SQLiteStmt, error) {
	if s := c.stmts[query]; s != nil {
		return s, nil
	}
	ds, err := c.raw.Prepare(query)
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

// A row is one row of an answer; it is good until the next.
type row []driver.Value

func (r row) int(i int) int64   { n, _ := r[i].(int64); return n }
func (r row) text(i int) string { s, _ := r[i].(string); return s }
func (r row) blob(i int) []byte { b, _ := r[i].([]byte); return b }

// each runs a query and hands every row to f, which may use c for other queries but not for this one.
func (c *conn) each(query string, f func(row) error, args ...any) (err error) {
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

// exec runs a statement that has no answer.
func (c *conn) exec(query string, args ...any) error { return c.each(query, nil, args...) }

// one runs a query and hands its row, if there is one, to f.
func (c *conn) one(query string, f func(row), args ...any) (found bool, err error) {
	err = c.each(query, func(r row) error {
		found = true
		f(r)
		return nil
	}, args...)
	return found, err
}

// number returns the first column of the first row, or 0.
func (c *conn) number(query string, args ...any) (n int64, err error) {
	_, err = c.one(query, func(r row) { n = r.int(0) }, args...)
	return n, err
}

// bindable turns what this package has into what the driver takes.
func bindable(a any) driver.Value {
	switch a := a.(type) {
	case int:
		return int64(a)
	case record.Side:
		return int64(a)
	case record.Status:
		return int64(a)
	case bool:
		if a {
			return int64(1)
		}
		return int64(0)
	case time.Time:
		return nanos(a)
	case []byte:
		if a == nil {
			return nil
		}
	}
	return a
}

// attempt does something whole or not at all inside the open transaction.
func (c *conn) attempt(do func() error) error {
	if err := c.exec("SAVEPOINT attempt"); err != nil {
		return err
	}
	err := do()
	if !c.inTx() {
		return err
	}
	if err != nil {
		if rerr := c.exec("ROLLBACK TO attempt"); rerr != nil {
			return errors.Join(err, rerr)
		}
	}
	if rerr := c.exec("RELEASE attempt"); rerr != nil {
		return errors.Join(err, rerr)
	}
	return err
}

// A bulk is a statement over many rows. head ends before the first row, tail follows the last.
type bulk struct {
	head, tail string
	cols       int
	sizes      [3]int
	text       [3]string
}

// newBulk prepares the texts for several rows at once: fewer statements are most of the speed of a load.
func newBulk(head string, cols int, tail string) *bulk {
	b := &bulk{head: head, tail: tail, cols: cols, sizes: [3]int{64, 8, 1}}
	row := "(?" + strings.Repeat(",?", cols-1) + ")"
	for i, n := range b.sizes {
		b.text[i] = head + row + strings.Repeat(","+row, n-1) + tail
	}
	return b
}

// run executes b for n rows; add appends the arguments of row i.
func (b *bulk) run(c *conn, n int, add func(args []any, i int) []any) error {
	args := make([]any, 0, min(n, b.sizes[0])*b.cols)
	for i := 0; i < n; {
		size := 0
		for n-i < b.sizes[size] {
			size++
		}
		args = args[:0]
		for range b.sizes[size] {
			args = add(args, i)
			i++
		}
		if err := c.exec(b.text[size], args...); err != nil {
			return err
		}
	}
	return nil
}
