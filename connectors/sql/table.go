package sql

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A collection is one table or view.
type collection struct {
	conn    *connection
	name    string
	table   string
	view    bool
	columns []column
	slots   map[string]int

	key, modified, deleted, label, author int // slots; -1: none
	stampForm, deletedForm                form
	indexed                               bool // an index starts with the modified column

	threads    map[string]*Comments // by name
	threadList []connectors.Thread  // in the order of the file
}

// A column as the table declares it.
type column struct {
	name      string
	native    string // declared type
	kind      record.Type
	notNull   bool
	hasValue  bool // a default, or SQLite makes one
	generated bool
}

// kindOf reads a declared type as SQLite's own affinity rules do, by what it contains.
func kindOf(declared string) record.Type {
	d := strings.ToUpper(declared)
	has := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(d, p) })
	}
	switch {
	case has("BOOL"):
		return record.Type{Kind: record.Bool}
	case has("DATETIME", "TIMESTAMP"):
		return record.Type{Kind: record.Time}
	case strings.TrimSpace(d) == "DATE":
		return record.Type{Kind: record.Text, Layout: "2006-01-02"}
	case has("CHAR", "CLOB", "TEXT", "JSON"):
		return record.Type{Kind: record.Text}
	case has("INT"):
		return record.Type{Kind: record.Int}
	case has("REAL", "FLOA", "DOUB", "NUMERIC", "DECIMAL"):
		return record.Type{Kind: record.Float}
	}
	return record.Type{Kind: record.Text}
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func (c *connection) table(ctx context.Context, t Table) (*collection, error) {
	op := "open " + t.Name
	wrong := func(detail, hint string) error {
		return &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: detail, Hint: hint}
	}
	var kind string
	var tables []string
	err := c.each(ctx, func(v []any) error {
		name, _ := v[0].(string)
		tables = append(tables, name)
		if strings.EqualFold(name, t.Table) {
			t.Table = name
			kind, _ = v[1].(string)
		}
		return nil
	}, "SELECT name, type FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name")
	if err != nil {
		return nil, fail(op, err, nil)
	}
	if kind == "" {
		names := slices.Clone(tables)
		for _, d := range c.tables {
			if d.Name != t.Name {
				names = append(names, d.Name)
			}
		}
		hint := "the database has no tables; check dsn"
		if near := connectors.Nearest(t.Table, names); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		} else if len(tables) > 0 {
			hint = "its tables are " + strings.Join(tables[:min(len(tables), 12)], ", ")
		}
		return nil, wrong(fmt.Sprintf("there is no table %q in %s", t.Table, c.file), hint)
	}

	col := &collection{conn: c, name: t.Name, table: t.Table, view: kind == "view", slots: map[string]int{}}
	var keys []int
	err = c.each(ctx, func(v []any) error {
		d := column{hasValue: v[3] != nil}
		d.name, _ = v[0].(string)
		d.native, _ = v[1].(string)
		n, _ := v[2].(int64)
		d.notNull = n != 0
		pk, _ := v[4].(int64)
		hidden, _ := v[5].(int64)
		if hidden == 1 {
			return nil // a virtual table's argument, not a column
		}
		d.generated = hidden != 0
		d.kind = kindOf(d.native)
		if pk > 0 {
			keys = append(keys, len(col.columns))
		}
		col.slots[d.name] = len(col.columns)
		col.columns = append(col.columns, d)
		return nil
	}, "SELECT name, type, [notnull], dflt_value, pk, hidden FROM pragma_table_xinfo(?)", t.Table)
	if err != nil {
		return nil, fail(op, err, nil)
	}

	for _, s := range []struct {
		setting, name string
		slot          *int
	}{
		{"key", t.Key, &col.key}, {"modified", t.Modified, &col.modified}, {"deleted", t.Deleted, &col.deleted},
		{"label", t.Label, &col.label}, {"author", t.Author, &col.author},
	} {
		if *s.slot = -1; s.name == "" {
			continue
		}
		slot, ok := col.slots[s.name]
		if !ok {
			return nil, wrong(fmt.Sprintf("%s = %q, but table %s has no such column", s.setting, s.name, t.Table), col.hint(s.name))
		}
		*s.slot = slot
	}
	if col.key < 0 {
		if len(keys) != 1 {
			return nil, wrong(fmt.Sprintf("table %s has %d primary key columns, and a record needs one key", t.Table, len(keys)), `name a unique column: collection "`+t.Name+`" { key = "…" }`)
		}
		col.key = keys[0]
	}
	if err := col.uniqueKey(ctx, op, len(keys) == 1 && keys[0] == col.key); err != nil {
		return nil, err
	}
	if len(keys) == 1 && keys[0] == col.key && strings.EqualFold(col.columns[col.key].native, "INTEGER") {
		col.columns[col.key].hasValue = true // an alias of the row id: SQLite numbers it
	}
	if col.stampForm, err = col.formOf(ctx, col.modified); err == nil {
		col.deletedForm, err = col.formOf(ctx, col.deleted)
	}
	if err == nil && col.modified >= 0 {
		err = c.each(ctx, func([]any) error { col.indexed = true; return nil },
			`SELECT l.name FROM pragma_index_list(?) AS l JOIN pragma_index_xinfo(l.name) AS x
				WHERE l.partial = 0 AND x.seqno = 0 AND x.name = ? AND x.coll = 'BINARY'`, t.Table, t.Modified)
	}
	if err != nil {
		return nil, fail(op, err, nil)
	}
	return col, col.openThreads(ctx, t.Comments)
}

// uniqueKey makes sure that paging by the key cannot skip rows that share one.
func (t *collection) uniqueKey(ctx context.Context, op string, primary bool) error {
	if primary {
		return nil
	}
	unique := false
	name := t.columns[t.key].name
	err := t.conn.each(ctx, func([]any) error { unique = true; return nil },
		`SELECT l.name FROM pragma_index_list(?) AS l WHERE l."unique" = 1 AND l.partial = 0
			AND (SELECT count(*) FROM pragma_index_info(l.name)) = 1 AND (SELECT name FROM pragma_index_info(l.name)) = ?`, t.table, name)
	if err != nil {
		return fail(op, err, nil)
	}
	if unique {
		return nil
	}
	var twice any
	err = t.conn.each(ctx, func(v []any) error { twice = v[0]; return nil },
		fmt.Sprintf("SELECT +%[1]s FROM %[2]s WHERE %[1]s IS NOT NULL GROUP BY %[1]s HAVING count(*) > 1 LIMIT 1", quote(name), quote(t.table)))
	if err != nil {
		return fail(op, err, nil)
	}
	if twice != nil {
		return &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: fmt.Sprintf("key = %q is not unique: %v is there more than once", name, twice), Hint: "choose a column whose values are unique"}
	}
	return nil
}

// hint names the column that path was probably meant to be.
func (t *collection) hint(path string) string {
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = c.name
	}
	if near := connectors.Nearest(path, names); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "its columns are " + strings.Join(names, ", ")
}

// Describe says what the table declares.
func (t *collection) Describe(context.Context) (*connectors.Schema, error) {
	s := &connectors.Schema{Key: t.columns[t.key].name, Fields: make([]connectors.Field, len(t.columns)), Threads: t.threadList}
	if t.label >= 0 {
		s.Label = t.columns[t.label].name
	}
	for i, c := range t.columns {
		s.Fields[i] = connectors.Field{
			Path: c.name, Type: c.kind, Native: c.native,
			// A key that SQLite numbers is not for rules; neither is what this connector keeps itself.
			ReadOnly: t.view || c.generated || i == t.key && c.hasValue || i == t.modified || i == t.deleted,
			Required: c.notNull && !c.hasValue && !c.generated && i != t.modified || i == t.key && !c.hasValue,
		}
	}
	return s, nil
}

// check says what a person should know of the table.
func (t *collection) check(ctx context.Context) ([]connectors.Finding, error) {
	var n int64
	live := ""
	if t.deleted >= 0 {
		live = " WHERE " + t.alive()
	}
	if err := t.conn.read.QueryRowContext(ctx, "SELECT count(*) FROM "+quote(t.table)+live).Scan(&n); err != nil {
		return nil, fail("check "+t.name, err, nil)
	}
	found := []connectors.Finding{{OK: true, What: "collection " + t.name, Detail: fmt.Sprintf("table %s, key %s, %d records", t.table, t.columns[t.key].name, n)}}
	if t.modified < 0 {
		return append(found, connectors.Finding{OK: true, What: "collection " + t.name, Detail: "has no modified column: every run reads it whole"}), nil
	}
	var ahead int64
	now := t.conn.env.Now().UTC().Unix()
	if err := t.conn.read.QueryRowContext(ctx, "SELECT count(*) FROM "+quote(t.table)+" WHERE "+t.stamp()+" > ?", now+300).Scan(&ahead); err != nil {
		return nil, fail("check "+t.name, err, nil)
	}
	if ahead > 0 {
		found = append(found, connectors.Finding{What: "clock", Detail: fmt.Sprintf("%d records of %s were changed in the future", ahead, t.name), Hint: "the modified column has to be UTC; if it holds local time, leave modified out"})
	}
	return found, nil
}
