package sql

import (
	"context"
	dsql "database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A dialect is what differs from one database to another. Everything else is written once.
type dialect interface {
	// open makes the pools, the one for reading such that the database refuses writes on it.
	open(ctx context.Context) (read, write *dsql.DB, err error)
	place() string         // where the database is, for people: no credentials
	writers(limit int) int // how many writes may run at once
	about(ctx context.Context, c *connection) ([]connectors.Finding, error)
	rights(ctx context.Context, t *collection) ([]connectors.Finding, error)

	// relations lists the tables and views; with names only those that are called one of them, in whatever schema.
	relations(ctx context.Context, c *connection, names []string) ([]relation, error)
	columns(ctx context.Context, c *connection, r relation) ([]column, error)
	uniques(ctx context.Context, c *connection, r relation) ([][]string, error)             // sets of columns that no two rows share
	leads(ctx context.Context, c *connection, r relation, column string) (bool, error)      // an index starts with the column
	learn(ctx context.Context, c *connection, r relation, col *column, purpose forms) error // how a column that fieldsync fills is filled by others

	quote(name string) string
	mark(n int) string                 // the nth argument
	shown(c *column) string            // what is selected of a column
	sought(c *column) string           // what is compared with an argument
	piece(c *column, at, n int) string // some bytes of a content, which may be empty or null
	compareRows() bool                 // (a, b) > (x, y) is understood, and fast
	lock() string                      // at the end of a query: keeps others from changing the row until the transaction ends
	prepares() bool                    // only a prepared query delivers every type in full
	alive(c *column) string            // condition of rows that are not marked as deleted by this column
	dead(c *column, raw any) bool
	since(s *statement, c *column, at time.Time) string // condition: changed then or later, or nobody knows when
	narrow(ctx context.Context, t *collection, at time.Time) (func(*statement) string, error)

	// clock is the database's clock, the start of the oldest change that may not be visible yet (zero: not known),
	// and how the clock compares with ours.
	clock(ctx context.Context, c *connection) (now, oldest time.Time, cl connectors.Clock, err error)
	// fill is what fieldsync writes to a column of stamps or marks; old is what the row has there.
	fill(ctx context.Context, tx *dsql.Tx, c *column, old any) (any, error)
	stampAt(c *column, at time.Time) (any, error)
	noValues() string // in an INSERT: a row of defaults alone
	// insert adds a row and returns the raw values of the columns in give.
	insert(ctx context.Context, tx *dsql.Tx, r relation, columns []*column, args []any, give []*column) ([]any, error)

	// fail says what an error means that a statement came back with: nothing of it has happened. t is nil for
	// what is not about a table.
	fail(op string, err error, t *collection) error
	// lost reports that the connection broke, so that nobody knows whether the statement was carried out.
	lost(err error) bool
}

// A relation is a table or view.
type relation struct {
	schema string // "" where the name alone says it
	local  string // the name inside the schema
	name   string // as settings call it
	view   bool
	id     int64 // the database's own number, where it has one
}

// A column as the table declares it.
type column struct {
	name     string
	native   string // declared type
	kind     record.Type
	codec    codec
	notNull  bool
	hasValue bool   // a default, or the database makes one
	counted  bool   // the database numbers it
	primary  int    // place in the primary key, from 1; 0: not part of it
	fixed    string // why it cannot be written; "" if it can
	max      int    // characters; 0: no limit
	choices  []connectors.Choice
	closed   bool
}

func (c *column) decode(raw any) record.Value { return c.codec.decode(raw) }

// encode makes of v what the column stores. old is what the row holds there (nil for a new row).
func (c *column) encode(v record.Value, old any) (any, error) {
	if v.Empty() {
		return nil, nil
	}
	if c.max > 0 && v.Kind() == record.Text && len(v.Text()) > c.max {
		if n := len([]rune(v.Text())); n > c.max {
			return nil, fmt.Errorf("%d characters do not fit into %d", n, c.max)
		}
	}
	return c.codec.encode(v, old)
}

// A codec turns what the driver delivers of a column into a value, and a value into an argument.
type codec interface {
	decode(raw any) record.Value
	encode(v record.Value, old any) (any, error)
	// seek is the arguments to look for rows that hold v, the first of them in the form that decode reads; none
	// where no row can hold it.
	seek(v record.Value) []any
	// key is the argument for a key; ok is false where no row can have it.
	key(text string) (arg any, ok bool)
}

// forms says what a column is for whose form is learned.
type forms uint8

const (
	stamps forms = iota
	flags
)

// A statement is put together piece by piece; arguments come in the order of the text.
type statement struct {
	d    dialect
	text strings.Builder
	args []any
}

func (c *connection) statement() *statement { return &statement{d: c.dialect} }

func (s *statement) add(parts ...string) *statement {
	for _, p := range parts {
		s.text.WriteString(p)
	}
	return s
}

// arg binds a value and returns its placeholder.
func (s *statement) arg(v any) string {
	s.args = append(s.args, v)
	return s.d.mark(len(s.args))
}

// list binds values as the list behind IN.
func (s *statement) list(values []any) string {
	var b strings.Builder
	b.WriteByte('(')
	for i, v := range values {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(s.arg(v))
	}
	b.WriteByte(')')
	return b.String()
}

// from is the relation as a statement names it.
func from(d dialect, r relation) string {
	if r.schema != "" {
		return d.quote(r.schema) + "." + d.quote(r.local)
	}
	return d.quote(r.local)
}

// selection lists columns in the form that decode reads.
func selection(d dialect, columns []column) string {
	parts := make([]string, len(columns))
	for i := range columns {
		parts[i] = d.shown(&columns[i])
	}
	return strings.Join(parts, ", ")
}

// insertReturning inserts a row with the standard's own way of telling what became of it.
func insertReturning(ctx context.Context, d dialect, tx *dsql.Tx, r relation, columns []*column, args []any, give []*column) ([]any, error) {
	s := insertion(d, r, columns, args)
	shown := make([]string, len(give))
	raw := make([]any, len(give))
	dest := make([]any, len(give))
	for i, c := range give {
		shown[i], dest[i] = d.shown(c), &raw[i]
	}
	s.add(" RETURNING ", strings.Join(shown, ", "))
	return raw, tx.QueryRowContext(ctx, s.text.String(), s.args...).Scan(dest...)
}

func insertion(d dialect, r relation, columns []*column, args []any) *statement {
	s := &statement{d: d}
	s.add("INSERT INTO ", from(d, r), " ")
	if len(columns) == 0 {
		return s.add(d.noValues())
	}
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = d.quote(c.name)
	}
	return s.add("(", strings.Join(names, ", "), ") VALUES ", s.list(args))
}

// told returns an error that needs no interpreting: the caller's own end of patience, and what is a connector's
// error already; nil for every other.
func told(op string, err error) error {
	if _, ok := errors.AsType[*connectors.Error](err); ok {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w", op, err)
	}
	return nil
}

// broken is the error of a connection that could not be made or did not hold. Nothing was kept of what was sent.
func broken(op, place string, err error) error {
	return &connectors.Error{Kind: connectors.ErrOffline, Op: op, Detail: "no connection to " + place + ": " + err.Error(), Hint: "check dsn, and that the database server runs and can be reached from here"}
}

// mentioned finds the columns of a table whose names stand in a text: the name of a constraint.
func mentioned(t *collection, text string) []string {
	if t == nil {
		return nil
	}
	var fields []string
	for _, c := range t.columns {
		if strings.Contains(text, c.name) {
			fields = append(fields, c.name)
		}
	}
	return fields
}

// fillTyped is what a column of declared type is filled with at a time: the time, or a mark.
func fillTyped(c *column, now time.Time) (any, error) {
	t, ok := c.codec.(typed)
	if !ok {
		return nil, fmt.Errorf("%s has no type", c.name)
	}
	switch t.class {
	case instants:
		return t.stamp(now), nil
	case day:
		return now.UTC().Format(time.DateOnly), nil
	case flag:
		return t.encode(record.OfBool(true), nil)
	}
	return "1", nil
}

// aliveTyped is the condition of rows that a column of declared type does not mark.
func aliveTyped(d dialect, c *column) string {
	q := d.quote(c.name)
	t, _ := c.codec.(typed)
	switch t.class {
	case flag:
		return "(" + q + " IS NULL OR NOT " + q + ")"
	case number, fraction, decimal:
		return "(" + q + " IS NULL OR " + q + " = 0)"
	case text, opaque:
		return "(" + q + " IS NULL OR " + d.shown(c) + " IN ('', '0', 'false'))"
	}
	return q + " IS NULL"
}

func deadTyped(c *column, raw any) bool {
	switch v := c.decode(raw); v.Kind() {
	case record.Null:
		return false
	case record.Bool:
		return v.Bool()
	case record.Int, record.Float:
		return v.Float() != 0
	case record.Text:
		return v.Text() != "" && v.Text() != "0" && v.Text() != "false"
	}
	return true
}

// sinceTyped is the condition of rows that a column of stamps puts at a time or later.
func sinceTyped(d dialect, s *statement, c *column, at time.Time) string {
	q := d.quote(c.name)
	t, _ := c.codec.(typed)
	return "(" + q + " IS NULL OR " + q + " >= " + s.arg(t.stamp(at)) + ")"
}

// narrowTyped lets an index on the modified column find what changed.
func narrowTyped(ctx context.Context, t *collection, at time.Time) (func(*statement) string, error) {
	if !t.indexed {
		return nil, nil
	}
	return t.fenced(ctx, func(s *statement) string { return t.conn.since(s, &t.columns[t.modified], at) })
}

// learnTyped checks that a column can hold what fieldsync fills it with.
func learnTyped(col *column, purpose forms) error {
	if t, ok := col.codec.(typed); purpose == stamps && (!ok || t.class != instants) {
		return &connectors.Error{Kind: connectors.ErrConfig, Detail: fmt.Sprintf("column %s is of the type %s, and no stamp with date and time", col.name, col.native), Hint: "name a column of the type timestamp or datetime, or leave the setting out"}
	}
	return nil
}

func choicesOf(values []string) []connectors.Choice {
	list := make([]connectors.Choice, len(values))
	for i, v := range values {
		list[i] = connectors.Choice{Value: record.OfText(v)}
	}
	return list
}

// say is what a driver delivers of a text or number of the catalogue, as text.
func say(raw any) string {
	switch raw := raw.(type) {
	case nil:
		return ""
	case string:
		return raw
	case []byte:
		return string(raw)
	}
	return fmt.Sprint(raw)
}
