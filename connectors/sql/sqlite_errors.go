package sql

import (
	"errors"
	"strings"

	"github.com/mattn/go-sqlite3"

	"github.com/fieldsync/fieldsync/connectors"
)

// fail says what an error of SQLite means. Every statement runs in a transaction or alone, so whatever is
// reported here did not happen.
func (d *sqlite) fail(op string, err error, t *collection) error {
	if err := told(op, err); err != nil {
		return err
	}
	out := &connectors.Error{Kind: connectors.ErrProtocol, Op: op, Detail: err.Error(), Err: err}
	e, ok := errors.AsType[sqlite3.Error](err)
	if !ok {
		return out
	}
	switch e.Code {
	case sqlite3.ErrConstraint:
		out.Kind = connectors.ErrRefused
		out.Fields = named(err.Error(), t)
		switch e.ExtendedCode {
		case sqlite3.ErrConstraintUnique, sqlite3.ErrConstraintPrimaryKey:
			out.Hint = "another record has this value already"
		case sqlite3.ErrConstraintNotNull:
			out.Hint = "a rule has to write a value there"
		case sqlite3.ErrConstraintForeignKey:
			out.Hint = "the record it points to does not exist"
		}
	case sqlite3.ErrBusy, sqlite3.ErrLocked:
		out.Kind, out.Hint = connectors.ErrBusy, "another program holds the database; it is tried again"
	case sqlite3.ErrFull:
		out.Kind, out.Hint = connectors.ErrBusy, "free space on the disk of the database"
	case sqlite3.ErrReadonly, sqlite3.ErrPerm, sqlite3.ErrAuth:
		out.Kind, out.Hint = connectors.ErrDenied, "let the user that runs fieldsync write the database file and its folder"
	case sqlite3.ErrCantOpen:
		out.Kind, out.Hint = connectors.ErrOffline, "check that the file and its folder are there and can be written"
	case sqlite3.ErrNotADB:
		out.Kind, out.Hint = connectors.ErrConfig, "dsn names a file that is not a SQLite database"
	case sqlite3.ErrCorrupt:
		out.Hint = "the database is damaged; restore it from a backup"
	case sqlite3.ErrTooBig, sqlite3.ErrMismatch, sqlite3.ErrRange:
		out.Kind = connectors.ErrRefused
	case sqlite3.ErrError:
		out.Kind = connectors.ErrConfig
	}
	return out
}

// lost never happens: the database is in this process.
func (d *sqlite) lost(error) bool { return false }

// named finds the columns in "UNIQUE constraint failed: tickets.ref, tickets.queue". A CHECK names itself.
func named(message string, t *collection) []string {
	if t == nil {
		return nil
	}
	_, list, ok := strings.Cut(message, "constraint failed: ")
	if !ok {
		return nil
	}
	var fields []string
	for part := range strings.SplitSeq(list, ", ") {
		if name, ok := strings.CutPrefix(part, t.into.local+"."); ok {
			fields = append(fields, name)
			continue
		}
		for _, c := range t.columns {
			if strings.Contains(part, c.name) {
				fields = append(fields, c.name)
			}
		}
	}
	return fields
}
