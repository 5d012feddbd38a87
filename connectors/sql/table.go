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
	rel     relation // what is read
	into    relation // what is written: rel, or the table behind a view
	columns []column
	slots   map[string]int
	set     Table

	key                              []int  // slots
	whole                            string // path of a key of several columns
	modified, deleted, label, author int    // slots; -1: none
	indexed                          bool   // an index starts with the modified column

	threads    map[string]*thread  // by name
	threadList []connectors.Thread // in the order of the file
	cabinets   map[string]*cabinet // by name
	fileList   []connectors.Thread
}

// Conditional says that versions are compared and rows written in one transaction.
func (t *collection) Conditional() bool { return true }

func (c *connection) table(ctx context.Context, t Table) (*collection, error) {
	op := "open " + t.Name
	wrong := func(detail, hint string) error {
		return &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: detail, Hint: hint}
	}
	rel, hint, err := c.relation(ctx, t.Table)
	if err != nil {
		return nil, c.fail(op, err, nil)
	}
	if rel.name == "" {
		return nil, wrong(fmt.Sprintf("there is no table %q in %s", t.Table, c.place()), hint)
	}
	col := &collection{conn: c, name: t.Name, rel: rel, into: rel, slots: map[string]int{}, set: t}
	if col.columns, err = c.columns(ctx, c, rel); err != nil {
		return nil, c.fail(op, err, nil)
	}
	for i, d := range col.columns {
		col.slots[d.name] = i
	}
	if err := col.openTarget(ctx, op); err != nil {
		return nil, err
	}
	for _, s := range []struct {
		setting, name string
		slot          *int
	}{{"modified", t.Modified, &col.modified}, {"deleted", t.Deleted, &col.deleted}, {"label", t.Label, &col.label}, {"author", t.Author, &col.author}} {
		if *s.slot = -1; s.name == "" {
			continue
		}
		if *s.slot, err = col.slot(op, s.setting, s.name); err != nil {
			return nil, err
		}
	}
	if err := col.openKey(ctx, op); err != nil {
		return nil, err
	}
	for _, f := range []struct {
		slot    int
		purpose forms
	}{{col.modified, stamps}, {col.deleted, flags}} {
		if f.slot < 0 {
			continue
		}
		if err := c.learn(ctx, c, rel, &col.columns[f.slot], f.purpose); err != nil {
			return nil, c.fail(op, err, nil)
		}
	}
	if col.modified >= 0 {
		if col.indexed, err = c.leads(ctx, c, rel, col.columns[col.modified].name); err != nil {
			return nil, c.fail(op, err, nil)
		}
	}
	if err := col.openThreads(ctx, t.Comments); err != nil {
		return nil, err
	}
	return col, col.openCabinets(ctx, t.Attachments)
}

// slot finds the column that a setting names.
func (t *collection) slot(op, setting, name string) (int, error) {
	slot, ok := t.slots[name]
	if !ok {
		return -1, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: fmt.Sprintf("%s = %q, but table %s has no such column", setting, name, t.rel.name), Hint: t.hint(name)}
	}
	return slot, nil
}

// openTarget finds out where rows are written: into the table that is read, or, where a view is read, into the
// one that write_to names. What the table lacks or computes cannot be written; what it asks for is asked for.
func (t *collection) openTarget(ctx context.Context, op string) error {
	c := t.conn
	if t.set.WriteTo == "" {
		if t.rel.view {
			for i := range t.columns {
				t.columns[i].fixed = t.rel.name + " is a view; name the table behind it: write_to = \"…\""
			}
		}
		return nil
	}
	wrong := func(detail, hint string) error {
		return &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: detail, Hint: hint}
	}
	into, hint, err := c.relation(ctx, t.set.WriteTo)
	if err != nil {
		return c.fail(op, err, nil)
	}
	switch {
	case into.name == "":
		return wrong(fmt.Sprintf("write_to = %q: there is no such table in %s", t.set.WriteTo, c.place()), hint)
	case into.view:
		return wrong(fmt.Sprintf("write_to = %q is a view, too", t.set.WriteTo), "name the table that holds the rows")
	}
	columns, err := c.columns(ctx, c, into)
	if err != nil {
		return c.fail(op, err, nil)
	}
	t.into = into
	for i := range t.columns {
		v := &t.columns[i]
		at := slices.IndexFunc(columns, func(b column) bool { return b.name == v.name })
		if at < 0 {
			v.fixed = "it is no column of " + into.name + ", which write_to names"
			continue
		}
		b := columns[at]
		v.notNull, v.hasValue, v.counted, v.primary, v.fixed = b.notNull, b.hasValue, b.counted, b.primary, b.fixed
		v.max, v.choices, v.closed = b.max, b.choices, b.closed
	}
	return nil
}

// openKey finds the key columns, and makes sure that paging by them cannot skip rows that share a key.
func (t *collection) openKey(ctx context.Context, op string) error {
	wrong := func(detail, hint string) error {
		return &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: detail, Hint: hint}
	}
	for _, name := range t.set.Key {
		slot, err := t.slot(op, "key", name)
		if err != nil {
			return err
		}
		if slices.Contains(t.key, slot) {
			return wrong(fmt.Sprintf("key names %q twice", name), "name each column once")
		}
		t.key = append(t.key, slot)
	}
	if t.key == nil {
		for i := range t.columns {
			if t.columns[i].primary > 0 {
				t.key = append(t.key, i)
			}
		}
		slices.SortFunc(t.key, func(a, b int) int { return t.columns[a].primary - t.columns[b].primary })
	}
	if len(t.key) == 0 {
		return wrong(fmt.Sprintf("%s has no primary key, and a record needs a key", t.rel.name), `name a unique column, or columns that are unique together: collection "`+t.name+`" { key = "…" }`)
	}
	for _, c := range t.keyColumns() {
		if t.set.WriteTo != "" && c.fixed != "" && !c.hasValue {
			return wrong(fmt.Sprintf("the key column %q cannot be found again: %s", c.name, c.fixed), "write_to needs a table that has the key's columns")
		}
		if b, ok := c.codec.(typed); ok && !b.comparable() {
			return wrong(fmt.Sprintf("the key column %q is of the type %s, which has no text of its own", c.name, c.native), "choose a key of numbers, text or uuid")
		}
	}
	t.nameKey()
	unique, err := t.provenUnique(ctx)
	if err != nil {
		return t.conn.fail(op, err, nil)
	}
	if unique {
		return nil
	}
	names := make([]string, len(t.key))
	there := make([]string, len(t.key))
	for i, c := range t.keyColumns() {
		names[i] = t.conn.quote(c.name)
		there[i] = names[i] + " IS NOT NULL"
	}
	list := strings.Join(names, ", ")
	twice := false
	err = t.conn.each(ctx, func([]any) error { twice = true; return nil },
		fmt.Sprintf("SELECT count(*) FROM %s WHERE %s GROUP BY %s HAVING count(*) > 1 LIMIT 1", from(t.conn, t.rel), strings.Join(there, " AND "), list))
	if err != nil {
		return t.conn.fail(op, err, nil)
	}
	if twice {
		return wrong(fmt.Sprintf("key = %q is not unique: one is there more than once", strings.Join(t.set.Key, ", ")), "choose a column whose values are unique, or several that are unique together: key = [\"…\", \"…\"]")
	}
	return nil
}

// provenUnique reports that the database itself keeps keys apart.
func (t *collection) provenUnique(ctx context.Context) (bool, error) {
	var primary, mine []string
	for i := range t.columns {
		if t.columns[i].primary > 0 {
			primary = append(primary, t.columns[i].name)
		}
	}
	for _, c := range t.keyColumns() {
		mine = append(mine, c.name)
	}
	covers := func(set []string) bool {
		return len(set) > 0 && !slices.ContainsFunc(set, func(n string) bool { return !slices.Contains(mine, n) })
	}
	if !t.rel.view && covers(primary) {
		return true, nil
	}
	if t.rel.view {
		return false, nil // a join may show one row of the table more than once
	}
	sets, err := t.conn.uniques(ctx, t.conn, t.rel)
	return slices.ContainsFunc(sets, covers), err
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
	s := &connectors.Schema{Key: t.keyPath(), Threads: t.threadList, Files: t.fileList}
	if t.label >= 0 {
		s.Label = t.columns[t.label].name
	}
	if len(t.key) > 1 {
		s.Fields = append(s.Fields, connectors.Field{Path: t.whole, Type: record.Type{Kind: record.Text}, Native: "the key as one text", ReadOnly: true})
	}
	for i, c := range t.columns {
		alone := len(t.key) == 1 && i == t.key[0]
		s.Fields = append(s.Fields, connectors.Field{
			Path: c.name, Type: c.kind, Native: c.native, MaxLength: c.max, Choices: c.choices, Closed: c.closed,
			// A key that the database gives is not for rules; neither is what this connector keeps itself.
			ReadOnly: c.fixed != "" || alone && c.hasValue || i == t.modified || i == t.deleted,
			Required: c.fixed == "" && (c.notNull && !c.hasValue && i != t.modified || slices.Contains(t.key, i) && !c.hasValue),
		})
	}
	return s, nil
}

// check says what a person should know of the table.
func (t *collection) check(ctx context.Context) ([]connectors.Finding, error) {
	c := t.conn
	op := "check " + t.name
	count := func(where string, args ...any) (n int64, err error) {
		err = c.each(ctx, func(v []any) error { n, err = whole(v[0]); return err }, "SELECT count(*) FROM "+from(c, t.rel)+" WHERE "+where, args...)
		return n, err
	}
	n, err := count(t.alive())
	if err != nil {
		return nil, c.fail(op, err, nil)
	}
	keys := make([]string, len(t.key))
	for i, k := range t.keyColumns() {
		keys[i] = k.name
	}
	what := "collection " + t.name
	kind := "table"
	if t.rel.view {
		kind = "view"
	}
	detail := fmt.Sprintf("%s %s, key %s, %d records", kind, t.rel.name, strings.Join(keys, ", "), n)
	if t.into != t.rel {
		detail += ", written to " + t.into.name
	}
	found := []connectors.Finding{{OK: true, What: what, Detail: detail}}
	rights, err := c.rights(ctx, t)
	if err != nil {
		return nil, c.fail(op, err, nil)
	}
	found = append(found, rights...)
	if t.modified < 0 {
		return append(found, connectors.Finding{OK: true, What: what, Detail: "has no modified column: every run reads it whole"}), nil
	}
	now, _, _, err := c.clock(ctx, c)
	if err != nil {
		return nil, c.fail(op, err, nil)
	}
	m := &t.columns[t.modified]
	s := c.statement()
	ahead := s.d.since(s, m, now.Add(futureAfter))
	n, err = count(ahead+" AND "+c.quote(m.name)+" IS NOT NULL", s.args...)
	if err != nil {
		return nil, c.fail(op, err, nil)
	}
	if n > 0 {
		found = append(found, connectors.Finding{What: "clock", Detail: fmt.Sprintf("%d records of %s were changed in the future", n, t.name), Hint: "the modified column has to be UTC; if it holds local time, leave modified out"})
	}
	return found, nil
}
