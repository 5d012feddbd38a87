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
		if m := t.modified; m >= 0 && !t.columns[m].hasValue && !slices.Contains(columns, m) {
			columns = append(columns, m)
			args = append(args, t.stampForm.encode(t.conn.env.Now()))
		}
		into := "DEFAULT VALUES"
		if len(columns) > 0 {
			names := make([]string, len(columns))
			for i, slot := range columns {
				names[i] = quote(t.columns[slot].name)
			}
			into = "(" + strings.Join(names, ", ") + ") VALUES (?" + strings.Repeat(", ?", len(names)-1) + ")"
		}
		query := fmt.Sprintf("INSERT INTO %s %s RETURNING +%s", quote(t.table), into, quote(t.columns[t.key].name))
		var key any
		if err := tx.QueryRowContext(ctx, query, args...).Scan(&key); err != nil {
			return fail(op, err, t)
		}
		raw, err := t.row(ctx, tx, key)
		if err != nil {
			return fail(op, err, t)
		}
		if raw == nil {
			return &connectors.Error{Kind: connectors.ErrRefused, Op: op, Detail: fmt.Sprintf("the new row has no key in %q, or the database took it away again", t.columns[t.key].name), Hint: "let a rule write the key column, or give it a default", Fields: []string{t.columns[t.key].name}}
		}
		made, err = t.shown(op, raw, paths)
		return err
	})
	return made, err
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
			if err := t.set(ctx, tx, op, raw[t.key], columns, args); err != nil {
				return err
			}
			old := raw
			if raw, err = t.row(ctx, tx, old[t.key]); err != nil {
				return fail(op, err, t)
			}
			// A trigger may keep the stamp; where none does, we do.
			if m := t.modified; m >= 0 && raw != nil && raw[m] == old[m] && !slices.Contains(columns, m) {
				now := t.stampForm
				if old[m] != nil {
					now = formLike(old[m])
				}
				if err := t.set(ctx, tx, op, old[t.key], []int{m}, []any{now.encode(t.conn.env.Now())}); err != nil {
					return err
				}
				if raw, err = t.row(ctx, tx, old[t.key]); err != nil {
					return fail(op, err, t)
				}
			}
			if raw == nil {
				return &connectors.Error{Kind: connectors.ErrRefused, Op: op, Detail: "the row is gone after the update; a trigger of the database took it away"}
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
			_, err := tx.ExecContext(ctx, fmt.Sprintf("DELETE FROM %s WHERE %s IS ?", quote(t.table), quote(t.columns[t.key].name)), raw[t.key])
			if err != nil {
				return fail(op, err, t)
			}
			return nil
		}
		now := t.conn.env.Now()
		columns, args := []int{t.deleted}, []any{t.deletedForm.encode(now)}
		if t.modified >= 0 {
			columns, args = append(columns, t.modified), append(args, t.stampForm.encode(now))
		}
		return t.set(ctx, tx, op, raw[t.key], columns, args)
	})
}

// transaction runs do as the only writer, and commits what it did if it returns nil.
func (t *collection) transaction(ctx context.Context, op string, do func(*dsql.Tx) error) error {
	if t.view {
		return &connectors.Error{Kind: connectors.ErrDenied, Op: op, Detail: t.table + " is a view and cannot be written", Hint: "declare the table behind it as the collection"}
	}
	select {
	case t.conn.writing <- struct{}{}:
		defer func() { <-t.conn.writing }()
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", op, ctx.Err())
	}
	tx, err := t.conn.write.BeginTx(ctx, nil)
	if err != nil {
		return fail(op, err, t)
	}
	if err := do(tx); err != nil {
		_ = tx.Rollback() // the first error is the one to tell; a lost connection rolls back by itself
		return err
	}
	if err := tx.Commit(); err != nil {
		_ = tx.Rollback()
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w", op, ctx.Err())
		}
		return commitError(op, err, t)
	}
	return nil
}

// current reads the row that is about to be written and compares its version.
func (t *collection) current(ctx context.Context, tx *dsql.Tx, op, key, wanted string) ([]any, error) {
	raw, err := t.row(ctx, tx, t.keyArg(key))
	switch {
	case err != nil:
		return nil, fail(op, err, t)
	case raw == nil || t.dead(raw) || t.columns[t.key].decode(raw[t.key]).Plain() != key:
		return nil, &connectors.Error{Kind: connectors.ErrNotFound, Op: op}
	case wanted != "" && version(raw) != wanted:
		return nil, &connectors.Error{Kind: connectors.ErrStale, Op: op}
	}
	return raw, nil
}

// row reads a row whole; nil if there is none.
func (t *collection) row(ctx context.Context, tx *dsql.Tx, key any) ([]any, error) {
	raw := make([]any, len(t.columns))
	dest := make([]any, len(raw))
	for i := range raw {
		dest[i] = &raw[i]
	}
	err := tx.QueryRowContext(ctx, fmt.Sprintf("%s WHERE %s = ?", t.selection(), quote(t.columns[t.key].name)), key).Scan(dest...)
	if errors.Is(err, dsql.ErrNoRows) {
		return nil, nil
	}
	return raw, err
}

func (t *collection) set(ctx context.Context, tx *dsql.Tx, op string, key any, columns []int, args []any) error {
	parts := make([]string, len(columns))
	for i, slot := range columns {
		parts[i] = quote(t.columns[slot].name) + " = ?"
	}
	query := fmt.Sprintf("UPDATE %s SET %s WHERE %s = ?", quote(t.table), strings.Join(parts, ", "), quote(t.columns[t.key].name))
	res, err := tx.ExecContext(ctx, query, append(args[:len(args):len(args)], key)...)
	if err != nil {
		return fail(op, err, t)
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
	slices.Sort(columns)
	kept := columns[:0]
	for _, slot := range columns {
		c := &t.columns[slot]
		if c.generated {
			return nil, nil, &connectors.Error{Kind: connectors.ErrRefused, Op: op, Detail: fmt.Sprintf("%s is computed by the database", c.name), Fields: []string{c.name}}
		}
		var old any
		if now != nil {
			old = now[slot]
		}
		arg, err := t.encode(slot, f[c.name], old)
		if err != nil {
			return nil, nil, &connectors.Error{Kind: connectors.ErrRefused, Op: op, Detail: c.name + ": " + err.Error(), Fields: []string{c.name}}
		}
		if now != nil && same(arg, old) {
			continue
		}
		kept = append(kept, slot)
		args = append(args, arg)
	}
	return kept, args, nil
}

func same(a, b any) bool {
	if x, ok := b.([]byte); ok {
		s, ok := a.(string)
		return ok && s == string(x)
	}
	return a == b
}

func (t *collection) shown(op string, raw []any, paths []string) (record.Record, error) {
	slots, err := t.resolve(op, paths)
	if err != nil {
		return record.Record{}, err
	}
	return t.show(raw, slots, make([]record.Value, len(slots))), nil
}
