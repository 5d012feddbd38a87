package sql

import (
	"context"
	"crypto/rand"
	dsql "database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// Comments is a comments block: a table whose rows are the comments of a collection's rows. Comments that some may not
// read can share a table with others: internal names the column that tells them apart, and a block has those that
// its readers say, "public" where they say nothing.
type Comments struct {
	Name     string `hcl:"name,label"`
	Table    string `hcl:"table"`
	Key      string `hcl:"key,optional"` // unique column; default: id
	Parent   string `hcl:"parent"`       // column with the key of the row that the comment is about
	Text     string `hcl:"text"`
	Author   string `hcl:"author,optional"`
	Time     string `hcl:"time,optional"`
	Internal string `hcl:"internal,optional"` // column of a flag: not null and not 0 are for staff alone
	Readers  string `hcl:"readers,optional"`  // "staff" or "public"
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

// openThreads checks the comments blocks of a collection against the database.
func (t *collection) openThreads(ctx context.Context, blocks []Comments) error {
	op := "open " + t.name
	t.threads = map[string]*Comments{}
	for _, b := range blocks {
		if b.Key == "" {
			b.Key = "id"
		}
		wrong := func(detail, hint string) error {
			return &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: fmt.Sprintf("comments %q: %s", b.Name, detail), Hint: hint}
		}
		if b.Readers != "" && b.Readers != "staff" && b.Readers != "public" {
			return wrong(fmt.Sprintf("readers = %q", b.Readers), `write "staff" or "public"`)
		}
		if t.threads[b.Name] != nil {
			return wrong("it is declared twice", "give each comments block a name of its own")
		}
		var names []string
		has := map[string]bool{}
		err := t.conn.each(ctx, func(v []any) error {
			name, _ := v[0].(string)
			names, has[name] = append(names, name), true
			return nil
		}, "SELECT name FROM pragma_table_xinfo(?) WHERE hidden <> 1", b.Table)
		if err != nil {
			return fail(op, err, nil)
		}
		if len(names) == 0 {
			return wrong(fmt.Sprintf("there is no table %q in %s", b.Table, t.conn.file), "check table")
		}
		for _, s := range [][2]string{{"key", b.Key}, {"parent", b.Parent}, {"text", b.Text}, {"author", b.Author}, {"time", b.Time}, {"internal", b.Internal}} {
			if s[1] != "" && !has[s[1]] {
				hint := "its columns are " + strings.Join(names, ", ")
				if near := connectors.Nearest(s[1], names); near != "" {
					hint = fmt.Sprintf("did you mean %q?", near)
				}
				return wrong(fmt.Sprintf("%s = %q, but table %s has no such column", s[0], s[1], b.Table), hint)
			}
		}
		t.threads[b.Name] = &b
		t.threadList = append(t.threadList, connectors.Thread{Path: b.Name, Readers: b.readers()})
	}
	return nil
}

func (t *collection) thread(op, path string) (*Comments, error) {
	if c := t.threads[path]; c != nil {
		return c, nil
	}
	return nil, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: fmt.Sprintf("%s declares no comments %q", t.name, path),
		Hint: fmt.Sprintf("say in the connection where they stand: collection %q { comments %q { table = \"…\", parent = \"…\", text = \"…\" } }", t.name, path)}
}

// Comments asks for the rows of the comment table in lists of parents.
func (t *collection) Comments(ctx context.Context, path string, keys []string, since time.Time, emit func(string, connectors.Comment) error) error {
	op := "read " + path + " of " + t.name
	c, err := t.thread(op, path)
	if err != nil {
		return err
	}
	columns := []string{"+" + quote(c.Key), "+" + quote(c.Parent), "+" + quote(c.Text)}
	for _, name := range []string{c.Author, c.Time} {
		if name == "" {
			columns = append(columns, "NULL")
		} else {
			columns = append(columns, "+"+quote(name))
		}
	}
	where := []string{quote(c.Key) + " IS NOT NULL", quote(c.Parent) + " IS NOT NULL"}
	if c.Internal != "" {
		not := ""
		if c.readers() == connectors.Staff {
			not = "NOT "
		}
		where = append(where, fmt.Sprintf("%s(%[2]s IS NULL OR %[2]s IN (0, '', '0', 'false'))", not, quote(c.Internal)))
	}
	var args []any
	if c.Time != "" && !since.IsZero() {
		where = append(where, fmt.Sprintf("((%[1]s) IS NULL OR (%[1]s) >= ?)", seconds(c.Time)))
		args = append(args, since.Unix())
	}
	for first := true; first || len(keys) > 0; first = false {
		conds, bound := where, args
		if keys != nil {
			if len(keys) == 0 {
				return nil
			}
			n := min(len(keys), list)
			conds = append(conds[:len(conds):len(conds)], fmt.Sprintf("%s IN (?%s)", quote(c.Parent), strings.Repeat(",?", n-1)))
			bound = bound[:len(bound):len(bound)]
			for _, k := range keys[:n] {
				bound = append(bound, t.keyArg(k))
			}
			keys = keys[n:]
		}
		type said struct {
			key string
			connectors.Comment
		}
		var found []said
		text := column{kind: record.Type{Kind: record.Text}}
		err := t.conn.each(ctx, func(raw []any) error {
			s := said{key: t.columns[t.key].decode(raw[1]).Plain()}
			s.ID, s.Text, s.Author = text.decode(raw[0]).Plain(), text.decode(raw[2]).Plain(), text.decode(raw[3]).Plain()
			s.Time = stampOf(raw[4])
			found = append(found, s)
			return nil
		}, fmt.Sprintf("SELECT %s FROM %s WHERE %s", strings.Join(columns, ", "), quote(c.Table), strings.Join(conds, " AND ")), bound...)
		if err != nil {
			return fail(op, err, nil)
		}
		for _, s := range found {
			if err := emit(s.key, s.Comment); err != nil {
				return err
			}
		}
	}
	return nil
}

// AddComment inserts a row, in one transaction with the proof that its parent is there.
func (t *collection) AddComment(ctx context.Context, path, key, text string) (connectors.Comment, error) {
	op := "comment on " + t.name + " " + key
	c, err := t.thread(op, path)
	if err != nil {
		return connectors.Comment{}, err
	}
	now := t.conn.env.Now().UTC().Truncate(time.Second)
	made := connectors.Comment{Author: "fieldsync", Time: now, Text: text}
	err = t.transaction(ctx, op, func(tx *dsql.Tx) error {
		raw, err := t.current(ctx, tx, op, key, "")
		if err != nil {
			return err
		}
		columns, args := []string{c.Parent, c.Text}, []any{raw[t.key], text}
		if c.Author != "" {
			columns, args = append(columns, c.Author), append(args, made.Author)
		}
		if c.Time != "" {
			var like any
			err := tx.QueryRowContext(ctx, fmt.Sprintf("SELECT +%[1]s FROM %[2]s WHERE %[1]s IS NOT NULL LIMIT 1", quote(c.Time), quote(c.Table))).Scan(&like)
			f := form{unit: 't', layout: time.DateTime}
			if err == nil {
				f = formLike(like)
			} else if err != dsql.ErrNoRows {
				return fail(op, err, t)
			}
			columns, args = append(columns, c.Time), append(args, f.encode(now))
		}
		if c.Internal != "" {
			columns, args = append(columns, c.Internal), append(args, c.readers() == connectors.Staff)
		}
		// A key that is no number of SQLite's own has to come from here.
		var native, fallback any
		var pk int
		if err := tx.QueryRowContext(ctx, "SELECT type, dflt_value, pk FROM pragma_table_xinfo(?) WHERE name = ?", c.Table, c.Key).Scan(&native, &fallback, &pk); err != nil {
			return fail(op, err, t)
		}
		if declared, _ := native.(string); fallback == nil && (pk != 1 || !strings.EqualFold(declared, "INTEGER")) {
			columns, args = append(columns, c.Key), append(args, "fs-"+strings.ToLower(rand.Text()))
		}
		names := make([]string, len(columns))
		for i, name := range columns {
			names[i] = quote(name)
		}
		var id any
		query := fmt.Sprintf("INSERT INTO %s (%s) VALUES (?%s) RETURNING +%s", quote(c.Table), strings.Join(names, ", "), strings.Repeat(", ?", len(names)-1), quote(c.Key))
		if err := tx.QueryRowContext(ctx, query, args...).Scan(&id); err != nil {
			return fail(op, err, t)
		}
		text := column{kind: record.Type{Kind: record.Text}}
		made.ID = text.decode(id).Plain()
		return nil
	})
	if err != nil {
		return connectors.Comment{}, err
	}
	return made, nil
}
