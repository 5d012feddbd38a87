package servicenow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// deletions keeps a row for each deleted record of the tables that are audited. As a rule administrators alone read it.
const deletions = "sys_audit_delete"

// Deleted emits the keys that the log of deletions has since the end of a window, those of tables that extend this one
// among them. Who may not read the log sees an empty one, or gets ErrDenied.
func (t *Table) Deleted(ctx context.Context, since string, emit func(key string) error) error {
	op := "read deletions of " + t.name
	from, err := time.Parse(timeLayout, since)
	if err != nil {
		return &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: fmt.Sprintf("%q is not the end of a window of this connector", since), Hint: "scan everything once"}
	}
	family, err := t.family(ctx, op)
	if err != nil {
		return err
	}
	query := "tablenameIN" + strings.Join(family, ",") + "^sys_created_on>=" + from.Add(-t.conn.overlap).UTC().Format(timeLayout)
	w := &walk{table: &Table{conn: t.conn, name: deletions}, op: op, cols: newColumns([]string{"tablename", "documentkey"}, nil),
		base: filter{groups: []string{query}, fields: []string{"sys_created_on", "tablename"}}}
	err = w.run(ctx, w.fetch(ctx, w.start()), func(r record.Record) error {
		if key := r.Values[1].Text(); key != "" && slices.Contains(family, r.Values[0].Text()) {
			return emit(strings.Clone(key))
		}
		return nil
	})
	if errors.Is(err, errNoTable) {
		return &connectors.Error{Kind: connectors.ErrDenied, Op: op, Detail: "there is no log of deletions", Err: err}
	}
	return err
}

// maxFamily keeps the names of a family within the length of an address. Larger ones are those of cmdb_ci and task, whose
// rows a sync is better off to name by a class of their own.
const maxFamily = 150

// family is the table and those that extend it, whatever their generation: its rows are of all these classes. Where
// the list of tables is not readable it is the table alone. It is read once.
func (t *Table) family(ctx context.Context, op string) ([]string, error) {
	t.mu.Lock()
	known := t.classes
	t.mu.Unlock()
	if known != nil {
		return known, nil
	}
	all := []string{t.name}
	for young := all; len(young) > 0 && len(all) < maxFamily; {
		var next []string
		_, err := t.meta(ctx, op, "sys_db_object", "super_class.nameIN"+strings.Join(young, ","), []string{"name", "super_class.name"}, func(get func(string) string) {
			if n := get("name"); tableName.MatchString(n) && slices.Contains(young, get("super_class.name")) && !slices.Contains(all, n) && !slices.Contains(next, n) {
				next = append(next, n)
			}
		})
		if errors.Is(err, connectors.ErrDenied) || errors.Is(err, errNoTable) {
			break
		}
		if err != nil {
			return nil, err
		}
		all, young = append(all, next...), next
	}
	all = all[:min(len(all), maxFamily)]
	t.mu.Lock()
	defer t.mu.Unlock()
	t.classes = all
	return all, nil
}
