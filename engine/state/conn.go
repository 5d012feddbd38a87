package state

import (
	"database/sql/driver"
	"errors"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/engine/record"
)

// A session is one connection to a database, of either kind. One goroutine uses it at a time. Statements are written
// for SQLite, and what PostgreSQL says otherwise is in translate.
type session interface {
	// query runs a statement and hands every row to f, which may use the session for other statements. With f nil the
	// statement has no answer, and may wait until settle or the next one that has; its error then comes from there.
	query(query string, f func(row) error, args []any) error
	settle() error
	// inTx reports whether a transaction is open. SQLite ends one by itself after errors such as a full disk.
	inTx() bool
	// numbers gives out the next n numbers of a table; they grow, and none is given out twice.
	numbers(table string, n int) ([]int64, error)
	// last is the largest number of a table that was given out, count has it be that.
	last(table string) (int64, error)
	count(last map[string]int64) error
	dialect() *dialect
	close() error
}

// A dialect is what statements have to say differently in the two databases.
type dialect struct {
	postgres bool
	lock     string // after a SELECT: keeps others from changing the row until the end of the transaction
	rowID    string // names a row of a table that has no id
}

// A conn is a session with the ways of using it.
type conn struct{ session }

// A row is one row of an answer; it is good until the next.
type row []driver.Value

func (r row) int(i int) int64   { n, _ := r[i].(int64); return n }
func (r row) text(i int) string { s, _ := r[i].(string); return s }
func (r row) blob(i int) []byte { b, _ := r[i].([]byte); return b }

// each runs a query and hands every row to f, which may use c for other queries.
func (c *conn) each(query string, f func(row) error, args ...any) error {
	return c.query(query, f, args)
}

// exec runs a statement that has no answer.
func (c *conn) exec(query string, args ...any) error { return c.query(query, nil, args) }

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
	if err := c.settle(); err != nil {
		return err
	}
	err := do()
	if err == nil {
		err = c.settle()
	}
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

// A bulk is a statement over many things at once: rows that it stores, or what it looks for. Fewer statements are most
// of the speed.
type bulk struct {
	cols  int // arguments of each
	sizes [3]int
	text  [3]string
}

// newBulk prepares the texts for so many things: head, what stands for each of them, separated, and tail.
func newBulk(sizes [3]int, head, each, separator, tail string) *bulk {
	b := &bulk{cols: strings.Count(each, "?"), sizes: sizes}
	for i, n := range b.sizes {
		b.text[i] = head + each + strings.Repeat(separator+each, n-1) + tail
	}
	return b
}

// newRows is a bulk that stores rows of so many columns. head ends with VALUES.
func newRows(head string, cols int, tail string) *bulk {
	return newBulk([3]int{64, 8, 1}, head, "(?"+strings.Repeat(",?", cols-1)+")", ",", tail)
}

// newList is a bulk that looks for any of a list of numbers or texts. head ends with IN.
func newList(head, tail string) *bulk { return newBulk([3]int{64, 8, 1}, head+"(", "?", ",", ")"+tail) }

// newUnion is a bulk that asks one question of many things: each is a walk along an index of its own. In place of IN, whose
// list PostgreSQL takes for a good reason to read the whole table where it has no statistics yet. More of them would take
// longer to prepare than they save.
func newUnion(question string) *bulk {
	return newBulk([3]int{16, 4, 1}, "", question, " UNION ALL ", "")
}

// run executes b for n things and hands the rows, where there are any, to f; add appends the arguments of thing i. first
// are the arguments before those of the things.
func (b *bulk) run(c *conn, n int, add func(args []any, i int) []any, f func(row) error, first ...any) error {
	args := make([]any, 0, len(first)+min(n, b.sizes[0])*b.cols)
	for i := 0; i < n; {
		size := 0
		for n-i < b.sizes[size] {
			size++
		}
		args = append(args[:0], first...)
		for range b.sizes[size] {
			args = add(args, i)
			i++
		}
		if err := c.query(b.text[size], f, args); err != nil {
			return err
		}
	}
	return nil
}

// store executes b for n rows.
func (b *bulk) store(c *conn, n int, add func(args []any, i int) []any) error {
	return b.run(c, n, add, nil)
}

// among hands f the rows that a list finds for any of xs.
func among[T any](c *conn, list *bulk, xs []T, f func(row) error, first ...any) error {
	return list.run(c, len(xs), func(args []any, i int) []any { return append(args, xs[i]) }, f, first...)
}
