package sql

import (
	"context"
	"crypto/rand"
	dsql "database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A childBlock is what blocks of comments and of attachments have in common: a table whose rows belong to the rows of a
// collection. Those that some may not read can share a table with others: internal names the column that tells them
// apart, and a block has those that its readers say, "public" where they say nothing.
type childBlock struct {
	what                            string // comments "notes", for messages
	table, key                      string
	parent                          []string
	author, time, internal, readers string
}

// A child is such a block with the columns that it names; nil where it names none.
type child struct {
	rel                        relation
	key, author, time, private *column
	parent                     []*column
	stamps                     []*column // what tells that a row is new or was edited
	readers                    connectors.Readers
}

// openChild checks a block against the database. further are settings of its own that name columns.
func (t *collection) openChild(ctx context.Context, b childBlock, again bool, further ...childColumn) (child, error) {
	var c child
	if b.key == "" {
		b.key = "id"
	}
	wrong := func(detail, hint string) error {
		return &connectors.Error{Kind: connectors.ErrConfig, Op: "open " + t.name, Detail: b.what + ": " + detail, Hint: hint}
	}
	switch {
	case b.readers != "" && b.readers != "staff" && b.readers != "public":
		return c, wrong(fmt.Sprintf("readers = %q", b.readers), `write "staff" or "public"`)
	case again:
		return c, wrong("it is declared twice", "give each block a name of its own")
	case len(b.parent) != len(t.key):
		return c, wrong(fmt.Sprintf("parent names %d columns, and the key of %s has %d", len(b.parent), t.name, len(t.key)), "name the column of each part of the key, in the order of the key")
	}
	switch {
	case b.readers == "staff":
		c.readers = connectors.Staff
	case b.readers == "public", b.internal != "":
		c.readers = connectors.Public
	}
	columns, err := t.childColumns(ctx, wrong, b.table, &c.rel)
	if err != nil {
		return c, err
	}
	c.parent = make([]*column, len(b.parent))
	wanted := append([]childColumn{{"key", b.key, &c.key}, {"author", b.author, &c.author}, {"time", b.time, &c.time}, {"internal", b.internal, &c.private}}, further...)
	for i, name := range b.parent {
		wanted = append(wanted, childColumn{"parent", name, &c.parent[i]})
	}
	if err := pick(wrong, c.rel, columns, wanted); err != nil {
		return c, err
	}
	for _, f := range []struct {
		column  *column
		purpose forms
	}{{c.time, stamps}, {c.private, flags}} {
		if f.column != nil {
			if err := t.conn.learn(ctx, t.conn, c.rel, f.column, f.purpose); err != nil {
				return c, t.conn.fail("open "+t.name, err, nil)
			}
		}
	}
	if c.time != nil {
		c.stamps = []*column{c.time}
	}
	return c, nil
}

// childColumns finds a table whose rows belong to rows of this one, with its columns.
func (t *collection) childColumns(ctx context.Context, wrong func(detail, hint string) error, name string, into *relation) ([]column, error) {
	c := t.conn
	rel, hint, err := c.relation(ctx, name)
	if err != nil {
		return nil, c.fail("open "+t.name, err, nil)
	}
	if rel.name == "" {
		return nil, wrong(fmt.Sprintf("there is no table %q in %s", name, c.place()), hint)
	}
	*into = rel
	columns, err := c.columns(ctx, c, rel)
	if err != nil {
		return nil, c.fail("open "+t.name, err, nil)
	}
	return columns, nil
}

// A childColumn is a setting that names a column of a child table, and where that column goes.
type childColumn struct {
	setting, name string
	into          **column
}

func pick(wrong func(detail, hint string) error, rel relation, columns []column, wanted []childColumn) error {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.name
	}
	for _, w := range wanted {
		if w.name == "" {
			continue
		}
		at := slices.Index(names, w.name)
		if at < 0 {
			hint := "its columns are " + strings.Join(names, ", ")
			if near := connectors.Nearest(w.name, names); near != "" {
				hint = fmt.Sprintf("did you mean %q?", near)
			}
			return wrong(fmt.Sprintf("%s = %q, but table %s has no such column", w.setting, w.name, rel.name), hint)
		}
		*w.into = &columns[at]
	}
	return nil
}

// parentArgs binds a key in the form that the columns of a child table compare with.
func (t *collection) parentArgs(parent []*column, key string) (args []any, ok bool) {
	parts, ok := splitKey(key, len(t.key))
	if !ok {
		return nil, false
	}
	for i, p := range parent {
		codec := p.codec
		if _, declared := codec.(typed); !declared {
			codec = t.columns[t.key[i]].codec // SQLite's columns hold what they are given
		}
		arg, ok := codec.key(parts[i])
		if !ok {
			return nil, false
		}
		args = append(args, arg)
	}
	return args, true
}

// An entry is one row of a child table.
type entry struct {
	key    string // of the row that it belongs to
	id     string
	author string
	time   time.Time
	raw    []any // of the further expressions
}

// entries reads the rows of a child table in lists of parents, or in pages by their key.
func (t *collection) entries(ctx context.Context, op string, c *child, further []string, keys []string, since time.Time, emit func(entry) error) error {
	if keys != nil {
		var parents [][]any
		asked := map[string]bool{}
		for _, k := range keys {
			if args, ok := t.parentArgs(c.parent, k); ok && !asked[k] {
				asked[k] = true
				parents = append(parents, args)
			}
		}
		for len(parents) > 0 {
			n := min(len(parents), list/len(c.parent))
			if _, _, err := t.entryPage(ctx, op, c, further, since, parents[:n], nil, func(e entry) error {
				if !asked[e.key] {
					return nil
				}
				return emit(e)
			}); err != nil {
				return err
			}
			parents = parents[n:]
		}
		return nil
	}
	var last any
	for {
		n, next, err := t.entryPage(ctx, op, c, further, since, nil, last, emit)
		if err != nil || n < page {
			return err
		}
		last = next
	}
}

// entryPage emits the rows of some parents, or, of all, the page behind the row with the key last.
func (t *collection) entryPage(ctx context.Context, op string, c *child, further []string, since time.Time, parents [][]any, last any, emit func(entry) error) (n int, next any, err error) {
	d := t.conn
	picked := append([]*column{c.key}, c.parent...)
	for _, o := range []*column{c.author, c.time} {
		if o != nil {
			picked = append(picked, o)
		}
	}
	shown := make([]string, len(picked), len(picked)+len(further))
	for i, p := range picked {
		shown[i] = d.shown(p)
	}
	shown = append(shown, further...)
	s := d.statement()
	s.add("SELECT ", strings.Join(shown, ", "), " FROM ", from(d, c.rel), " WHERE ", d.quote(c.key.name), " IS NOT NULL")
	for _, p := range c.parent {
		s.add(" AND ", d.quote(p.name), " IS NOT NULL")
	}
	if c.private != nil {
		s.add(" AND ")
		if c.readers == connectors.Staff {
			s.add("NOT ")
		}
		s.add("(", d.dialect.alive(c.private), ")")
	}
	if c.time != nil && !since.IsZero() {
		either := make([]string, len(c.stamps))
		for i, stamp := range c.stamps {
			either[i] = d.since(s, stamp, since)
			if i > 0 { // what was never edited is not new
				either[i] = "(" + d.quote(stamp.name) + " IS NOT NULL AND " + either[i] + ")"
			}
		}
		s.add(" AND (", strings.Join(either, " OR "), ")")
	}
	if parents != nil {
		s.add(" AND ", amongKeys(s, c.parent, parents))
	} else {
		key := d.quote(c.rel.local) + "." + d.quote(c.key.name) // not the text that is selected
		if last != nil {
			s.add(" AND ", key, " > ", s.arg(last))
		}
		s.add(" ORDER BY ", key, " LIMIT ", strconv.Itoa(page))
	}
	var found []entry
	err = d.each(ctx, func(raw []any) error {
		parts := make([]string, len(c.parent))
		for i := range c.parent {
			parts[i] = c.parent[i].decode(raw[1+i]).Plain()
		}
		one := entry{key: joinKey(parts), id: c.key.decode(raw[0]).Plain()}
		rest := raw[1+len(c.parent):]
		if c.author != nil {
			one.author, rest = c.author.decode(rest[0]).Plain(), rest[1:]
		}
		if c.time != nil {
			one.time, rest = stampOf(c.time, rest[0]), rest[1:]
		}
		one.raw = slices.Clone(ownRaw(rest))
		next = ownRaw(raw[:1])[0]
		found = append(found, one)
		return nil
	}, s.text.String(), s.args...)
	if err != nil {
		return 0, nil, d.fail(op, err, nil)
	}
	for _, one := range found {
		if err := emit(one); err != nil {
			return 0, nil, err
		}
	}
	return len(found), next, nil
}

// addEntry inserts a row with these columns, in one transaction with the proof that its parent is there.
func (t *collection) addEntry(ctx context.Context, op string, c *child, key string, own []*column, values []any) (entry, error) {
	var made entry
	err := t.transaction(ctx, op, func(tx *dsql.Tx) error {
		raw, err := t.current(ctx, tx, op, key, "")
		if err != nil {
			return err
		}
		now, _, _, err := t.conn.clock(ctx, t.conn)
		if err != nil {
			return t.conn.fail(op, err, t)
		}
		made = entry{key: key, author: "fieldsync", time: now.UTC().Truncate(time.Second)}
		columns, args := slices.Clone(own), slices.Clone(values)
		put := func(c *column, arg any) { columns, args = append(columns, c), append(args, arg) }
		for i, slot := range t.key {
			put(c.parent[i], raw[slot])
		}
		if c.author != nil {
			put(c.author, made.author)
		}
		if c.time != nil {
			at, err := t.conn.stampAt(c.time, made.time)
			if err != nil {
				return &connectors.Error{Kind: connectors.ErrRefused, Op: op, Detail: c.time.name + ": " + err.Error()}
			}
			put(c.time, at)
		}
		if c.private != nil {
			flag, err := c.private.encode(record.OfInt(int64(b2i(c.readers == connectors.Staff))), nil)
			if err != nil {
				return &connectors.Error{Kind: connectors.ErrRefused, Op: op, Detail: c.private.name + ": " + err.Error()}
			}
			put(c.private, flag)
		}
		if !c.key.hasValue { // a key that the database does not make has to come from here
			id, err := t.newID(c.key)
			if err != nil {
				return &connectors.Error{Kind: connectors.ErrRefused, Op: op, Detail: err.Error(), Hint: "give the column a default"}
			}
			put(c.key, id)
		}
		id, err := t.conn.insert(ctx, tx, c.rel, columns, args, []*column{c.key})
		if err != nil {
			return t.conn.fail(op, err, nil)
		}
		made.id = c.key.decode(id[0]).Plain()
		return nil
	})
	return made, err
}

// textFor is a text as the argument of a column.
func textFor(op string, c *column, text string) (any, error) {
	v := record.NullValue
	if text != "" {
		v = record.OfText(text)
	}
	arg, err := c.encode(v, nil)
	if err != nil {
		return nil, &connectors.Error{Kind: connectors.ErrRefused, Op: op, Detail: c.name + ": " + err.Error(), Fields: []string{c.name}}
	}
	return arg, nil
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// newID makes a key for a row of a child table.
func (t *collection) newID(c *column) (any, error) {
	if u, ok := c.codec.(typed); ok && u.class == uuid {
		return newUUID(), nil
	}
	if c.kind.Kind != record.Text {
		return nil, fmt.Errorf("the key column %q is a %s that the database does not fill", c.name, c.native)
	}
	return c.encode(record.OfText("fs-"+strings.ToLower(rand.Text())), nil)
}

// newUUID makes a random (version 4) UUID.
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
