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

// Comments is a comments block: a table whose rows are the comments of a collection's rows. Comments that some may not
// read can share a table with others: internal names the column that tells them apart, and a block has those that
// its readers say, "public" where they say nothing.
type Comments struct {
	Name     string   `hcl:"name,label"`
	Table    string   `hcl:"table"`
	Key      string   `hcl:"key,optional"` // unique column; default: id
	Parent   []string `hcl:"parent"`       // columns with the key of the row that the comment is about
	Text     string   `hcl:"text"`
	Author   string   `hcl:"author,optional"`
	Time     string   `hcl:"time,optional"`
	Internal string   `hcl:"internal,optional"` // column of a flag: not null and not 0 are for staff alone
	Readers  string   `hcl:"readers,optional"`  // "staff" or "public"
}

func (c *Comments) readers() connectors.Readers {
	switch {
	case c.Readers == "staff":
		return connectors.Staff
	case c.Readers == "public", c.Internal != "":
		return connectors.Public
	}
	return connectors.SomeReaders
}

// A thread is a comments block with the columns that it names; nil where it names none.
type thread struct {
	Comments
	rel                              relation
	key, text, author, time, private *column
	parent                           []*column
}

// openThreads checks the comments blocks of a collection against the database.
func (t *collection) openThreads(ctx context.Context, blocks []Comments) error {
	t.threads = map[string]*thread{}
	for _, b := range blocks {
		if b.Key == "" {
			b.Key = "id"
		}
		wrong := func(detail, hint string) error {
			return &connectors.Error{Kind: connectors.ErrConfig, Op: "open " + t.name, Detail: fmt.Sprintf("comments %q: %s", b.Name, detail), Hint: hint}
		}
		switch {
		case b.Readers != "" && b.Readers != "staff" && b.Readers != "public":
			return wrong(fmt.Sprintf("readers = %q", b.Readers), `write "staff" or "public"`)
		case t.threads[b.Name] != nil:
			return wrong("it is declared twice", "give each comments block a name of its own")
		case len(b.Parent) != len(t.key):
			return wrong(fmt.Sprintf("parent names %d columns, and the key of %s has %d", len(b.Parent), t.name, len(t.key)), "name the column of each part of the key, in the order of the key")
		}
		c := &thread{Comments: b}
		columns, err := t.openChild(ctx, wrong, b.Table, &c.rel)
		if err != nil {
			return err
		}
		c.parent = make([]*column, len(b.Parent))
		wanted := []childColumn{{"key", b.Key, &c.key}, {"text", b.Text, &c.text}, {"author", b.Author, &c.author}, {"time", b.Time, &c.time}, {"internal", b.Internal, &c.private}}
		for i, name := range b.Parent {
			wanted = append(wanted, childColumn{"parent", name, &c.parent[i]})
		}
		if err := pick(wrong, c.rel, columns, wanted); err != nil {
			return err
		}
		for _, f := range []struct {
			column  *column
			purpose forms
		}{{c.time, stamps}, {c.private, flags}} {
			if f.column != nil {
				if err := t.conn.learn(ctx, t.conn, c.rel, f.column, f.purpose); err != nil {
					return t.conn.fail("open "+t.name, err, nil)
				}
			}
		}
		t.threads[b.Name] = c
		t.threadList = append(t.threadList, connectors.Thread{Path: b.Name, Readers: b.readers()})
	}
	return nil
}

// openChild finds a table whose rows belong to rows of this one, with its columns.
func (t *collection) openChild(ctx context.Context, wrong func(detail, hint string) error, name string, into *relation) ([]column, error) {
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

func (t *collection) thread(op, path string) (*thread, error) {
	if c := t.threads[path]; c != nil {
		return c, nil
	}
	return nil, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: fmt.Sprintf("%s declares no comments %q", t.name, path),
		Hint: fmt.Sprintf("say in the connection where they stand: collection %q { comments %q { table = \"…\", parent = \"…\", text = \"…\" } }", t.name, path)}
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

// Comments asks for the rows of the comment table in lists of parents, or in pages by their key.
func (t *collection) Comments(ctx context.Context, path string, keys []string, since time.Time, emit func(string, connectors.Comment) error) error {
	op := "read " + path + " of " + t.name
	c, err := t.thread(op, path)
	if err != nil {
		return err
	}
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
			if _, _, err := t.commentPage(ctx, op, c, since, parents[:n], nil, func(key string, said connectors.Comment) error {
				if !asked[key] {
					return nil
				}
				return emit(key, said)
			}); err != nil {
				return err
			}
			parents = parents[n:]
		}
		return nil
	}
	var last any
	for {
		n, next, err := t.commentPage(ctx, op, c, since, nil, last, emit)
		if err != nil || n < page {
			return err
		}
		last = next
	}
}

// commentPage emits the comments of some parents, or, of all, the page behind the comment with the key last.
func (t *collection) commentPage(ctx context.Context, op string, c *thread, since time.Time, parents [][]any, last any, emit func(string, connectors.Comment) error) (n int, next any, err error) {
	d := t.conn
	picked := append([]*column{c.key, c.text}, c.parent...)
	for _, o := range []*column{c.author, c.time} {
		if o != nil {
			picked = append(picked, o)
		}
	}
	shown := make([]string, len(picked))
	for i, p := range picked {
		shown[i] = d.shown(p)
	}
	s := d.statement()
	s.add("SELECT ", strings.Join(shown, ", "), " FROM ", from(d, c.rel), " WHERE ", d.quote(c.key.name), " IS NOT NULL")
	for _, p := range c.parent {
		s.add(" AND ", d.quote(p.name), " IS NOT NULL")
	}
	if c.private != nil {
		s.add(" AND ")
		if c.readers() == connectors.Staff {
			s.add("NOT ")
		}
		s.add("(", d.dialect.alive(c.private), ")")
	}
	if c.time != nil && !since.IsZero() {
		s.add(" AND ", d.since(s, c.time, since))
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
	type said struct {
		key string
		connectors.Comment
	}
	var found []said
	err = d.each(ctx, func(raw []any) error {
		parts := make([]string, len(c.parent))
		for i := range c.parent {
			parts[i] = c.parent[i].decode(raw[2+i]).Plain()
		}
		one := said{key: joinKey(parts)}
		one.ID, one.Text = c.key.decode(raw[0]).Plain(), c.text.decode(raw[1]).Plain()
		rest := raw[2+len(c.parent):]
		if c.author != nil {
			one.Author, rest = c.author.decode(rest[0]).Plain(), rest[1:]
		}
		if c.time != nil {
			one.Time = stampOf(c.time, rest[0])
		}
		next = ownRaw([]any{raw[0]})[0]
		found = append(found, one)
		return nil
	}, s.text.String(), s.args...)
	if err != nil {
		return 0, nil, d.fail(op, err, nil)
	}
	for _, one := range found {
		if err := emit(one.key, one.Comment); err != nil {
			return 0, nil, err
		}
	}
	return len(found), next, nil
}

// AddComment inserts a row, in one transaction with the proof that its parent is there.
func (t *collection) AddComment(ctx context.Context, path, key, text string) (connectors.Comment, error) {
	op := "comment on " + t.name + " " + key
	c, err := t.thread(op, path)
	if err != nil {
		return connectors.Comment{}, err
	}
	var made connectors.Comment
	err = t.transaction(ctx, op, func(tx *dsql.Tx) error {
		raw, err := t.current(ctx, tx, op, key, "")
		if err != nil {
			return err
		}
		now, _, _, err := t.conn.clock(ctx, t.conn)
		if err != nil {
			return t.conn.fail(op, err, t)
		}
		made = connectors.Comment{Author: "fieldsync", Time: now.UTC().Truncate(time.Second), Text: text}
		var columns []*column
		var args []any
		put := func(c *column, arg any) { columns, args = append(columns, c), append(args, arg) }
		for i, slot := range t.key {
			put(c.parent[i], raw[slot])
		}
		said, err := c.text.encode(record.OfText(text), nil)
		if err != nil {
			return &connectors.Error{Kind: connectors.ErrRefused, Op: op, Detail: c.text.name + ": " + err.Error()}
		}
		put(c.text, said)
		if c.author != nil {
			put(c.author, made.Author)
		}
		if c.time != nil {
			at, err := t.conn.stampAt(c.time, made.Time)
			if err != nil {
				return &connectors.Error{Kind: connectors.ErrRefused, Op: op, Detail: c.time.name + ": " + err.Error()}
			}
			put(c.time, at)
		}
		if c.private != nil {
			flag, err := c.private.encode(record.OfInt(int64(b2i(c.readers() == connectors.Staff))), nil)
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
		made.ID = c.key.decode(id[0]).Plain()
		return nil
	})
	if err != nil {
		return connectors.Comment{}, err
	}
	return made, nil
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
