package sql

import (
	"context"
	dsql "database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// Comments is a comments block: a table whose rows are the comments of a collection's rows.
type Comments struct {
	Name     string   `hcl:"name,label"`
	Table    string   `hcl:"table"`
	Key      string   `hcl:"key,optional"` // unique column; default: id
	Parent   []string `hcl:"parent"`       // columns with the key of the row that the comment is about
	Text     string   `hcl:"text"`
	Author   string   `hcl:"author,optional"`
	Time     string   `hcl:"time,optional"`
	Edited   string   `hcl:"edited,optional"`   // column of the last edit
	Internal string   `hcl:"internal,optional"` // column of a flag: not null and not 0 are for staff alone
	Readers  string   `hcl:"readers,optional"`  // "staff" or "public"
}

// A thread is an open comments block.
type thread struct {
	child
	text, edited *column
}

// openThreads checks the comments blocks of a collection against the database.
func (t *collection) openThreads(ctx context.Context, blocks []Comments) error {
	t.threads = map[string]*thread{}
	if len(blocks) == 0 {
		var err error
		if blocks, err = t.usualComments(ctx); err != nil {
			return err
		}
	}
	for _, b := range blocks {
		th := &thread{}
		var err error
		th.child, err = t.openChild(ctx, childBlock{fmt.Sprintf("comments %q", b.Name), b.Table, b.Key, b.Parent, b.Author, b.Time, b.Internal, b.Readers},
			t.threads[b.Name] != nil, childColumn{"text", b.Text, &th.text}, childColumn{"edited", b.Edited, &th.edited})
		if err != nil {
			return err
		}
		if th.edited != nil {
			if err := t.conn.learn(ctx, t.conn, th.rel, th.edited, stamps); err != nil {
				return t.conn.fail("open "+t.name, err, nil)
			}
			th.stamps = append(th.stamps, th.edited)
		}
		t.threads[b.Name] = th
		t.threadList = append(t.threadList, connectors.Thread{Path: b.Name, Readers: th.readers, Editable: !th.rel.view})
	}
	return nil
}

// usualComments finds comments that nobody had to declare: a table of the usual name, with columns of usual names.
func (t *collection) usualComments(ctx context.Context) ([]Comments, error) {
	if len(t.key) != 1 {
		return nil, nil
	}
	one := strings.TrimSuffix(t.rel.name, "s")
	usual := []string{"comments", one + "_comments", t.rel.name + "_comments"}
	var names []string
	for _, table := range usual {
		names = append(names, locally(table)...)
	}
	all, err := t.conn.relations(ctx, t.conn, names)
	if err != nil {
		return nil, t.conn.fail("open "+t.name, err, nil)
	}
	for _, table := range usual {
		i := slices.IndexFunc(all, func(r relation) bool { return r.name == table })
		if i < 0 || table == t.rel.name {
			continue
		}
		columns, err := t.conn.columns(ctx, t.conn, all[i])
		if err != nil {
			return nil, t.conn.fail("open "+t.name, err, nil)
		}
		first := func(names ...string) string {
			for _, name := range names {
				if slices.ContainsFunc(columns, func(c column) bool { return c.name == name }) {
					return name
				}
			}
			return ""
		}
		b := Comments{Name: "comments", Table: table, Key: first("id"), Text: first("text", "body", "comment", "content", "note", "message"),
			Author: first("author", "created_by", "author_name"), Time: first("created_at", "created_on", "created", "time"),
			Internal: first("internal", "is_internal")}
		if parent := first(one+"_id", t.rel.name+"_id", one, "parent_id"); parent != "" && b.Key != "" && b.Text != "" {
			b.Parent = []string{parent}
			return []Comments{b}, nil
		}
	}
	return nil, nil
}

func (t *collection) thread(op, path string) (*thread, error) {
	if c := t.threads[path]; c != nil {
		return c, nil
	}
	return nil, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: fmt.Sprintf("%s declares no comments %q", t.name, path),
		Hint: fmt.Sprintf("say in the connection where they stand: collection %q { comments %q { table = \"…\", parent = \"…\", text = \"…\" } }", t.name, path)}
}

// Comments asks for the rows of the comment table.
func (t *collection) Comments(ctx context.Context, path string, keys []string, since time.Time, emit func(string, connectors.Comment) error) error {
	op := "read " + path + " of " + t.name
	th, err := t.thread(op, path)
	if err != nil {
		return err
	}
	return t.entries(ctx, op, &th.child, []string{t.conn.shown(th.text)}, keys, since, func(e entry) error {
		return emit(e.key, connectors.Comment{ID: e.id, Author: e.author, Time: e.time, Text: th.text.decode(e.raw[0]).Plain()})
	})
}

// AddComment inserts a row.
func (t *collection) AddComment(ctx context.Context, path, key, text string) (connectors.Comment, error) {
	op := "comment on " + t.name + " " + key
	th, err := t.thread(op, path)
	if err != nil {
		return connectors.Comment{}, err
	}
	said, err := th.text.encode(record.OfText(text), nil)
	if err != nil {
		return connectors.Comment{}, &connectors.Error{Kind: connectors.ErrRefused, Op: op, Detail: th.text.name + ": " + err.Error()}
	}
	e, err := t.addEntry(ctx, op, &th.child, key, []*column{th.text}, []any{said})
	if err != nil {
		return connectors.Comment{}, err
	}
	return connectors.Comment{ID: e.id, Author: e.author, Time: e.time, Text: text}, nil
}

// EditComment changes the text of a row that says was, under a lock.
func (t *collection) EditComment(ctx context.Context, path, key, id, was, text string) (connectors.Comment, error) {
	op := fmt.Sprintf("edit comment %s of %s %s", id, t.name, key)
	th, err := t.thread(op, path)
	if err != nil {
		return connectors.Comment{}, err
	}
	parent, ok := t.parentArgs(th.parent, key)
	own, found := th.key.codec.key(id)
	if !ok || !found {
		return connectors.Comment{}, &connectors.Error{Kind: connectors.ErrNotFound, Op: op}
	}
	to, err := textFor(op, th.text, text)
	if err != nil {
		return connectors.Comment{}, err
	}
	d := t.conn
	err = t.transaction(ctx, op, func(tx *dsql.Tx) error {
		columns, args := append([]*column{th.key}, th.parent...), append([]any{own}, parent...)
		s := d.statement()
		s.add("SELECT ", d.shown(th.text), " FROM ", from(d, th.rel), " WHERE ", isKey(s, columns, args), d.lock())
		var raw any
		err := tx.QueryRowContext(ctx, s.text.String(), s.args...).Scan(&raw)
		switch {
		case errors.Is(err, dsql.ErrNoRows):
			return &connectors.Error{Kind: connectors.ErrNotFound, Op: op}
		case err != nil:
			return d.fail(op, err, t)
		case th.text.decode(raw).Plain() != was:
			return &connectors.Error{Kind: connectors.ErrStale, Op: op}
		}
		s = d.statement()
		s.add("UPDATE ", from(d, th.rel), " SET ", d.quote(th.text.name), " = ", s.arg(to))
		if th.edited != nil {
			now, _, _, err := d.clock(ctx, d)
			if err != nil {
				return d.fail(op, err, t)
			}
			at, err := d.stampAt(th.edited, now.UTC().Truncate(time.Second))
			if err != nil {
				return &connectors.Error{Kind: connectors.ErrRefused, Op: op, Detail: th.edited.name + ": " + err.Error()}
			}
			s.add(", ", d.quote(th.edited.name), " = ", s.arg(at))
		}
		s.add(" WHERE ", isKey(s, columns, args))
		if _, err := tx.ExecContext(ctx, s.text.String(), s.args...); err != nil {
			return d.fail(op, err, t)
		}
		return nil
	})
	if err != nil {
		return connectors.Comment{}, err
	}
	return connectors.Comment{ID: id, Text: text}, nil
}
