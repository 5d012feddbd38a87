package state

import (
	"context"
	"database/sql/driver"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// A pgSession is one connection to a PostgreSQL server for as long as somebody uses it. The server is a network away:
// statements without an answer are kept back and sent together with the next one that has some, so that a transaction
// takes a few round trips, however much it does. pgx prepares each statement once for a connection.
type pgSession struct {
	ctx     context.Context
	c       *pgx.Conn
	waiting []statement
	tx      bool
	reading *pgRows // an answer that is being handed out
}

type statement struct {
	text string
	args []any
}

// pipelined is how many statements are sent at most before their outcomes are read.
const pipelined = 256

var pgDialect = dialect{postgres: true, lock: " FOR UPDATE"}

func (s *pgSession) dialect() *dialect { return &pgDialect }
func (s *pgSession) inTx() bool        { return s.tx && !s.c.IsClosed() }
func (s *pgSession) close() error      { return nil }

func (s *pgSession) query(query string, f func(row) error, args []any) error {
	st := statement{translate(query), make([]any, len(args))}
	for i, a := range args {
		v := bindable(a)
		if text, ok := v.(string); ok {
			v = storable(text)
		}
		st.args[i] = v
	}
	if strings.HasPrefix(query, "ROLLBACK") {
		s.waiting = nil // what was not sent yet need not be taken back
	}
	s.waiting = append(s.waiting, st)
	if f == nil {
		if len(s.waiting) < pipelined {
			return nil
		}
		return s.settle()
	}
	return s.answer(f)
}

// settle sends what was kept back.
func (s *pgSession) settle() error {
	if len(s.waiting) == 0 {
		return nil
	}
	return s.answer(nil)
}

// answer sends what waits, and hands the rows of the last statement to f.
func (s *pgSession) answer(f func(row) error) (err error) {
	if err := s.reading.keep(); err != nil {
		return err
	}
	batch := &pgx.Batch{}
	for _, st := range s.waiting {
		batch.Queue(st.text, st.args...)
	}
	n := len(s.waiting)
	s.waiting = s.waiting[:0]
	res := s.c.SendBatch(s.ctx, batch)
	before := n
	if f != nil {
		before--
	}
	for range before {
		tag, err := res.Exec()
		if err == nil && tag.String() == "ROLLBACK" && s.tx {
			err = errRolledBack // what COMMIT says of a transaction that had failed
		}
		if err != nil {
			res.Close() // it says the same again
			return err
		}
	}
	if f == nil {
		return res.Close()
	}
	rows, err := res.Query()
	if err != nil {
		res.Close()
		return err
	}
	r := &pgRows{rows: rows, res: res}
	outer := s.reading
	s.reading = r
	defer func() {
		s.reading = outer
		if cerr := r.close(); err == nil {
			err = cerr
		}
	}()
	for {
		next, ok, err := r.next()
		if err != nil || !ok {
			return err
		}
		if err := f(next); err != nil {
			return err
		}
	}
}

// numbers come from the sequence of the table, so that nobody waits for another's transaction.
func (s *pgSession) numbers(table string, n int) ([]int64, error) {
	ns := make([]int64, 0, n)
	err := s.query("SELECT nextval('"+table+"_id_seq') FROM generate_series(1, ?::bigint)", func(r row) error {
		ns = append(ns, r.int(0))
		return nil
	}, []any{n})
	return ns, err
}

func (s *pgSession) last(table string) (int64, error) {
	return (&conn{s}).number("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM " + table + "_id_seq")
}

// count sets the sequences of all tables that have one: those that a file does not count start after what is there.
func (s *pgSession) count(last map[string]int64) error {
	c := &conn{s}
	for _, t := range contents {
		if t.columns[0] != "id" {
			continue
		}
		n, err := c.number("SELECT coalesce(max(id), 0) FROM " + t.name)
		if err != nil {
			return err
		}
		if n = max(n, last[t.name]); n == 0 {
			continue
		}
		if err := c.exec("SELECT setval('"+t.name+"_id_seq', ?::bigint)", n); err != nil {
			return err
		}
	}
	return nil
}

// pgRows is an answer that comes row by row from the server or, when the connection was needed for something else, from
// memory.
type pgRows struct {
	rows pgx.Rows // nil: all are in kept
	res  pgx.BatchResults
	row  row
	kept []row
}

func (r *pgRows) next() (row, bool, error) {
	if r.rows == nil {
		if len(r.kept) == 0 {
			return nil, false, nil
		}
		next := r.kept[0]
		r.kept = r.kept[1:]
		return next, true, nil
	}
	if !r.rows.Next() {
		return nil, false, r.rows.Err()
	}
	if r.row == nil {
		r.row = make(row, len(r.rows.FieldDescriptions()))
	}
	return r.row, true, r.read(r.row)
}

// keep reads the rest into memory and frees the connection.
func (r *pgRows) keep() error {
	if r == nil || r.rows == nil {
		return nil
	}
	for r.rows.Next() {
		next := make(row, len(r.rows.FieldDescriptions()))
		if err := r.read(next); err != nil {
			return err
		}
		r.kept = append(r.kept, next)
	}
	return r.close()
}

func (r *pgRows) close() error {
	if r.rows == nil {
		return nil
	}
	r.rows.Close()
	err := r.rows.Err()
	r.rows = nil
	if cerr := r.res.Close(); err == nil {
		err = cerr
	}
	return err
}

// read decodes the present row. There are four types in the schema, and they come in binary.
func (r *pgRows) read(to row) error {
	fields := r.rows.FieldDescriptions()
	for i, raw := range r.rows.RawValues() {
		v, err := decoded(fields[i].DataTypeOID, fields[i].Format, raw)
		if err != nil {
			return fmt.Errorf("column %s: %w", fields[i].Name, err)
		}
		to[i] = v
	}
	return nil
}

func decoded(oid uint32, format int16, raw []byte) (driver.Value, error) {
	if raw == nil {
		return nil, nil
	}
	switch {
	case oid == pgtype.TextOID || oid == pgtype.VarcharOID || oid == pgtype.NameOID:
		return restored(string(raw)), nil
	case format != pgtype.BinaryFormatCode:
	case oid == pgtype.ByteaOID:
		return append([]byte{}, raw...), nil
	case oid == pgtype.Int8OID && len(raw) == 8:
		return int64(binary.BigEndian.Uint64(raw)), nil
	case oid == pgtype.Int4OID && len(raw) == 4:
		return int64(int32(binary.BigEndian.Uint32(raw))), nil
	case oid == pgtype.BoolOID && len(raw) == 1:
		return int64(raw[0]), nil
	}
	return nil, fmt.Errorf("the server sent type %d in format %d", oid, format)
}
