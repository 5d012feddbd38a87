package sql

import (
	"context"
	dsql "database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// Create inserts a row and reads it back, after defaults and triggers.
func (t *collection) Create(ctx context.Context, paths []string, f record.Fields) (record.Record, error) {
	op := "create in " + t.name
	var made record.Record
	err := t.transaction(ctx, op, func(tx *dsql.Tx) error {
		columns, args, err := t.assign(op, f, nil)
		if err != nil {
			return err
		}
		if m := t.modified; m >= 0 && t.columns[m].fixed == "" && !t.columns[m].hasValue && !slices.Contains(columns, m) {
			now, err := t.conn.fill(ctx, tx, &t.columns[m], nil)
			if err != nil {
				return t.conn.fail(op, err, t)
			}
			columns, args = append(columns, m), append(args, now)
		}
		filled := make([]*column, len(columns))
		for i, slot := range columns {
			filled[i] = &t.columns[slot]
		}
		key, err := t.conn.insert(ctx, tx, t.into, filled, args, t.keyColumns())
		if err != nil {
			return t.conn.fail(op, err, t)
		}
		raw, err := t.row(ctx, tx, key)
		if err != nil {
			return t.conn.fail(op, err, t)
		}
		if raw == nil {
			return t.unseen(op, key)
		}
		made, err = t.shown(op, raw, paths)
		return err
	})
	return made, err
}

// unseen says why a row that was inserted cannot be read.
func (t *collection) unseen(op string, key []any) error {
	names := make([]string, len(t.key))
	for i, c := range t.keyColumns() {
		names[i] = c.name
	}
	out := &connectors.Error{Kind: connectors.ErrRefused, Op: op, Fields: names, Hint: "let a rule write the key column, or give it a default",
		Detail: fmt.Sprintf("the new row has no key in %q, or the database took it away again", strings.Join(names, ", "))}
	if t.into != t.rel && !slices.Contains(key, nil) {
		out.Detail = fmt.Sprintf("the new row of %s does not show in %s", t.into.name, t.rel.name)
		out.Fields, out.Hint = nil, "let rules write what the view asks for"
	}
	return out
}

// Update compares, writes and reads back in one transaction.
func (t *collection) Update(ctx context.Context, paths []string, key, version string, f record.Fields) (record.Record, error) {
	op := "update " + t.name + " " + key
	var after record.Record
	err := t.transaction(ctx, op, func(tx *dsql.Tx) error {
		raw, err := t.current(ctx, tx, op, key, version)
		if err != nil {
			return err
		}
		columns, args, err := t.assign(op, f, raw)
		if err != nil {
			return err
		}
		if len(columns) > 0 {
			id := t.rawKey(raw)
			if err := t.put(ctx, tx, op, id, columns, args); err != nil {
				return err
			}
			old := raw
			if raw, err = t.row(ctx, tx, id); err != nil {
				return t.conn.fail(op, err, t)
			}
			// A trigger may keep the stamp; where none does, we do.
			if m := t.modified; m >= 0 && t.columns[m].fixed == "" && raw != nil && same(raw[m], old[m]) && !slices.Contains(columns, m) {
				now, err := t.conn.fill(ctx, tx, &t.columns[m], old[m])
				if err != nil {
					return t.conn.fail(op, err, t)
				}
				if err := t.put(ctx, tx, op, id, []int{m}, []any{now}); err != nil {
					return err
				}
				if raw, err = t.row(ctx, tx, id); err != nil {
					return t.conn.fail(op, err, t)
				}
			}
			if raw == nil {
				return &connectors.Error{Kind: connectors.ErrRefused, Op: op, Detail: "the row is gone after the update; a trigger of the database took it away, or the view no longer shows it"}
			}
		}
		after, err = t.shown(op, raw, paths)
		return err
	})
	return after, err
}

// Delete marks the row where the table has a column for that, and removes it where not.
func (t *collection) Delete(ctx context.Context, key, version string) error {
	op := "delete " + t.name + " " + key
	return t.transaction(ctx, op, func(tx *dsql.Tx) error {
		raw, err := t.current(ctx, tx, op, key, version)
		if errors.Is(err, connectors.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if t.deleted < 0 {
			s := t.conn.statement()
			s.add("DELETE FROM ", from(t.conn, t.into), " WHERE ", isKey(s, t.keyColumns(), t.rawKey(raw)))
			if _, err := tx.ExecContext(ctx, s.text.String(), s.args...); err != nil {
				return t.conn.fail(op, err, t)
			}
			return nil
		}
		columns := []int{t.deleted}
		if t.modified >= 0 && t.columns[t.modified].fixed == "" {
			columns = append(columns, t.modified)
		}
		args := make([]any, len(columns))
		for i, slot := range columns {
			if args[i], err = t.conn.fill(ctx, tx, &t.columns[slot], nil); err != nil {
				return t.conn.fail(op, err, t)
			}
		}
		return t.put(ctx, tx, op, t.rawKey(raw), columns, args)
	})
}

// transaction runs do as a writer, and commits what it did if it returns nil.
func (t *collection) transaction(ctx context.Context, op string, do func(*dsql.Tx) error) error {
	c := t.conn
	if t.into.view {
		return &connectors.Error{Kind: connectors.ErrDenied, Op: op, Detail: t.rel.name + " is a view and cannot be written", Hint: "name the table behind it in the collection block: write_to = \"…\""}
	}
	select {
	case c.writing <- struct{}{}:
		defer func() { <-c.writing }()
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", op, ctx.Err())
	}
	_, write := c.pools()
	tx, err := write.BeginTx(ctx, nil)
	if err != nil {
		return c.fail(op, err, t)
	}
	if err := do(tx); err != nil {
		_ = tx.Rollback() // the first error is the one to tell; a lost connection rolls back by itself
		return err
	}
	if err := tx.Commit(); err != nil {
		_ = tx.Rollback()
		return t.commitError(ctx, op, err)
	}
	return nil
}

// commitError is for the one statement after which the outcome can be open.
func (t *collection) commitError(ctx context.Context, op string, err error) error {
	switch {
	case t.conn.lost(err):
		return &connectors.Error{Kind: connectors.ErrOutcome, Op: op, Detail: "the connection broke while the change was being kept", Err: err}
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", op, ctx.Err())
	}
	out := t.conn.fail(op, err, t)
	if e, ok := errors.AsType[*connectors.Error](out); ok && e.Kind == connectors.ErrProtocol {
		e.Kind = connectors.ErrOutcome
	}
	return out
}

// current reads the row that is about to be written, keeps it from changing, and compares its version.
func (t *collection) current(ctx context.Context, tx *dsql.Tx, op, key, wanted string) ([]any, error) {
	var raw []any
	args, ok := t.keyArgs(key)
	if ok {
		var err error
		if raw, err = t.row(ctx, tx, args); err != nil {
			return nil, t.conn.fail(op, err, t)
		}
	}
	switch {
	case raw == nil || t.dead(raw) || t.keyOf(raw) != key:
		return nil, &connectors.Error{Kind: connectors.ErrNotFound, Op: op}
	case wanted != "" && version(raw) != wanted:
		return nil, &connectors.Error{Kind: connectors.ErrStale, Op: op}
	}
	return raw, nil
}

// row reads a row whole and keeps others from changing it until the transaction ends; nil if there is none. Behind
// a view it is the row of the table that is kept.
func (t *collection) row(ctx context.Context, tx *dsql.Tx, key []any) ([]any, error) {
	lock := t.conn.lock()
	if t.rel != t.into && lock != "" {
		s := t.conn.statement()
		s.add("SELECT 1 FROM ", from(t.conn, t.into), " WHERE ", isKey(s, t.keyColumns(), key), lock)
		var one any
		if err := tx.QueryRowContext(ctx, s.text.String(), s.args...).Scan(&one); errors.Is(err, dsql.ErrNoRows) {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
		lock = ""
	}
	raw := make([]any, len(t.columns))
	dest := make([]any, len(raw))
	for i := range raw {
		dest[i] = &raw[i]
	}
	s := t.conn.statement()
	s.add("SELECT ", selection(t.conn, t.columns), " FROM ", from(t.conn, t.rel), " WHERE ", isKey(s, t.keyColumns(), key), lock)
	err := tx.QueryRowContext(ctx, s.text.String(), s.args...).Scan(dest...)
	if errors.Is(err, dsql.ErrNoRows) {
		return nil, nil
	}
	return raw, err
}

// put changes columns of one row.
func (t *collection) put(ctx context.Context, tx *dsql.Tx, op string, key []any, columns []int, args []any) error {
	s := t.conn.statement()
	s.add("UPDATE ", from(t.conn, t.into), " SET ")
	for i, slot := range columns {
		if i > 0 {
			s.add(", ")
		}
		s.add(t.conn.quote(t.columns[slot].name), " = ", s.arg(args[i]))
	}
	s.add(" WHERE ", isKey(s, t.keyColumns(), key))
	res, err := tx.ExecContext(ctx, s.text.String(), s.args...)
	if err != nil {
		return t.conn.fail(op, err, t)
	}
	if n, err := res.RowsAffected(); err == nil && n > 1 {
		return &connectors.Error{Kind: connectors.ErrRefused, Op: op, Detail: fmt.Sprintf("%d rows share this key", n), Hint: "choose a key column whose values are unique"}
	}
	return nil
}

// assign turns fields into columns and what they get, leaving out those that hold it already. now is the row as
// it is, nil for a new one. Columns come in the order of the table, so that the same write is the same statement.
func (t *collection) assign(op string, f record.Fields, now []any) (columns []int, args []any, err error) {
	paths := make([]string, 0, len(f))
	for p, v := range f {
		if v.Known() {
			paths = append(paths, p)
		}
	}
	slices.Sort(paths)
	if columns, err = t.resolve(op, paths); err != nil {
		return nil, nil, err
	}
	refuse := func(path, why, hint string) error {
		return &connectors.Error{Kind: connectors.ErrRefused, Op: op, Detail: path + why, Hint: hint, Fields: []string{path}}
	}
	slices.Sort(columns)
	kept := columns[:0]
	for _, slot := range columns {
		if slot == wholeKey {
			return nil, nil, refuse(t.whole, " is made of the columns of the key", "write those, in a field with strength = \"on_create\"")
		}
		c := &t.columns[slot]
		if c.fixed != "" {
			return nil, nil, refuse(c.name, ": "+c.fixed, "")
		}
		var old any
		if now != nil {
			old = now[slot]
		}
		arg, err := c.encode(f[c.name], old)
		if err != nil {
			return nil, nil, refuse(c.name, ": "+err.Error(), "")
		}
		if now != nil && (same(arg, old) || sameValue(c, arg, old)) {
			continue
		}
		if now != nil && len(t.key) > 1 && slices.Contains(t.key, slot) {
			return nil, nil, refuse(c.name, " is part of the key, which a record keeps", "give the field strength = \"on_create\"")
		}
		kept = append(kept, slot)
		args = append(args, arg)
	}
	return kept, args, nil
}

func same(a, b any) bool {
	x, isBytes := b.([]byte)
	y, other := a.([]byte)
	switch {
	case isBytes && other:
		return string(x) == string(y)
	case isBytes:
		s, ok := a.(string)
		return ok && s == string(x)
	case other:
		s, ok := b.(string)
		return ok && s == string(y)
	}
	return a == b
}

// sameValue reports two forms of one value: 1.1 and 1.10 in a column of numbers.
func sameValue(c *column, a, b any) bool {
	v := c.decode(a)
	return a != nil && b != nil && v.Known() && v == c.decode(b)
}

func (t *collection) shown(op string, raw []any, paths []string) (record.Record, error) {
	slots, err := t.resolve(op, paths)
	if err != nil {
		return record.Record{}, err
	}
	return t.show(raw, slots, make([]record.Value, len(slots))), nil
}
