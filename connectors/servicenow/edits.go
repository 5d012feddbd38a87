package servicenow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// audits keeps a row for each changed field of the tables whose dictionary entry says Audit: incident and the rest
// of task are among them.
const audits = "sys_audit"

var auditColumns = []string{"documentkey", "fieldname", "oldvalue", "newvalue", "user", "sys_created_on", "record_checkpoint"}

// Overtaken compares sys_mod_count, which one write moves by one. A business rule that updates the record once
// more moves it too, which costs a look.
func (t *Table) Overtaken(before, after string) bool {
	from, ferr := strconv.Atoi(before)
	to, terr := strconv.Atoi(after)
	return ferr == nil && terr == nil && to > from+1
}

// Edits reads what sys_audit has of a record. Its values are raw and in UTC, as those of the Table API, but for
// true and false, which are 1 and 0 there. record_checkpoint is the sys_mod_count that an update led to.
func (t *Table) Edits(ctx context.Context, key string, paths []string, before string, emit func(connectors.Edit) error) error {
	op := fmt.Sprintf("read the audit of %s %s", t.name, key)
	if err := sendable(op, key); err != nil {
		return err
	}
	from, err := strconv.Atoi(before)
	if err != nil {
		return &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: fmt.Sprintf("%q is no sys_mod_count", before)}
	}
	if _, err := t.columns(op, paths); err != nil {
		return err
	}
	type dated struct {
		count int
		connectors.Edit
	}
	var edits []dated
	w := &walk{table: &Table{conn: t.conn, name: audits}, op: op, cols: newColumns(auditColumns, nil),
		base: filter{groups: []string{"documentkey=" + key + "^fieldnameIN" + strings.Join(paths, ",")}, fields: []string{"documentkey", "fieldname"}}}
	shown := false
	err = w.run(ctx, w.fetch(ctx, w.start()), func(r record.Record) error {
		text := func(i int) string { return strings.Clone(r.Values[i].Text()) }
		if text(0) != key || !slices.Contains(paths, text(1)) {
			return nil
		}
		shown = true
		count, err := strconv.Atoi(text(6))
		if err != nil || count < from {
			return nil
		}
		e := dated{count, connectors.Edit{Path: text(1), Author: text(4), Own: t.own(text(4))}}
		e.Old, e.New = t.audited(e.Path, text(2)), t.audited(e.Path, text(3))
		e.Time, _ = time.Parse(timeLayout, text(5)) // hidden: the zero time
		edits = append(edits, e)
		return nil
	})
	switch {
	case err != nil && !errors.Is(err, connectors.ErrDenied):
		return err
	case err != nil, !shown: // the write that made the caller ask has left a row
		return &connectors.Error{Kind: connectors.ErrDenied, Op: op, Detail: "what was changed on " + t.name + " cannot be seen in " + audits, Err: err,
			Hint: "let this user read " + audits + ", and have the table audited (Audit on its dictionary entry)"}
	}
	slices.SortStableFunc(edits, func(a, b dated) int { return cmp.Or(cmp.Compare(a.count, b.count), a.Time.Compare(b.Time)) })
	for _, e := range edits {
		if err := emit(e.Edit); err != nil {
			return err
		}
	}
	return nil
}

// own reports whether a user of the instance is the one that this connection logs in with, where that has a name.
func (t *Table) own(user string) bool {
	name := t.conn.client.auth.Username
	if asked := t.conn.login.Load(); asked != nil {
		name = *asked
	}
	return name != "" && strings.EqualFold(user, name)
}

// audited is a value of sys_audit as the Table API shows it.
func (t *Table) audited(path, v string) record.Value {
	if v == "" {
		return record.NullValue
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.schema != nil {
		if f, ok := t.schema.Field(path); ok && f.Native == "boolean" {
			if b, err := strconv.ParseBool(v); err == nil {
				v = strconv.FormatBool(b)
			}
		}
	}
	return record.OfText(v)
}
