package rest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

func (c *collection) threadOf(op, path string) (*thread, error) {
	if t := c.b.thread(path); t != nil {
		return t, nil
	}
	var names []string
	for _, t := range c.b.threads {
		names = append(names, t.name)
	}
	return nil, wrong(op, fmt.Sprintf("%s has no comments %q", c.b.name, path), fmt.Sprintf("described are %q", names))
}

// Comments reads the threads of records one by one. Without keys those of all records that changed at since or later
// are read: a comment moves the stamp of its record.
func (c *collection) Comments(ctx context.Context, path string, keys []string, since time.Time, emit func(string, connectors.Comment) error) error {
	op := "read " + path + " of " + c.b.name
	t, err := c.threadOf(op, path)
	if err != nil {
		return err
	}
	return c.beside(ctx, keys, since, func(ctx context.Context, key string) (func() error, error) {
		list, err := c.thread(ctx, op, t, key, func(said connectors.Comment, edited time.Time) bool {
			at := said.Time
			if edited.After(at) {
				at = edited
			}
			return !since.IsZero() && !at.IsZero() && at.Before(since.Truncate(time.Second))
		})
		return func() error {
			for _, said := range list {
				if err := emit(key, said); err != nil {
					return err
				}
			}
			return nil
		}, err
	})
}

// beside asks for what stands beside records, some side by side, and lets each tell what it found when it is its turn.
// Without keys it asks for all records that changed at since or later.
func (c *collection) beside(ctx context.Context, keys []string, since time.Time, ask func(ctx context.Context, key string) (tell func() error, err error)) error {
	if keys == nil {
		q := connectors.Query{Paths: []string{c.b.keyPath}}
		if !since.IsZero() {
			q.Since = since.UTC().Format(time.RFC3339Nano)
		}
		keys = []string{}
		if _, err := c.Scan(ctx, q, func(r record.Record) error {
			if since.IsZero() || r.Modified.IsZero() || !r.Modified.Before(since.Truncate(time.Second)) {
				keys = append(keys, r.Key)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	var mu sync.Mutex
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(c.conn.flight)
	for _, key := range slices.Compact(slices.Sorted(slices.Values(keys))) {
		g.Go(func() error {
			tell, err := ask(gctx, key)
			if errors.Is(err, connectors.ErrNotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			return tell()
		})
	}
	return g.Wait()
}

// everything lets no comment be skipped.
func everything(connectors.Comment, time.Time) bool { return false }

// thread reads the comments of one record, without those that skip knows by id, time and time of the last edit.
func (c *collection) thread(ctx context.Context, op string, t *thread, key string, skip func(connectors.Comment, time.Time) bool) ([]connectors.Comment, error) {
	var list []connectors.Comment
	err := c.entries(ctx, op, key, t.list, t.id, func(item any) error {
		said, in, err := c.comment(ctx, op, t, item, skip)
		if err == nil && in {
			list = append(list, said)
		}
		return err
	})
	return list, err
}

// entries goes through what a list has for one record. ErrNotFound where there is no such record.
func (c *collection) entries(ctx context.Context, op, key string, l *list, id *expr, show func(item any) error) error {
	values := map[string]string{"key": key, "query": l.all}
	w := &walk{client: c.client(), op: op, list: l, path: l.path.fill(values, url.PathEscape), query: query(l.query, values)}
	w.key = func(item any) (string, error) {
		id, err := id.text(&view{item: item})
		if err == nil && id == "" {
			err = errors.New("an entry has no id where the description says: id")
		}
		return id, err
	}
	err := w.run(ctx, func(items []any) (bool, error) {
		for _, item := range items {
			if err := show(item); err != nil {
				return false, err
			}
		}
		return true, nil
	})
	if errors.Is(err, connectors.ErrConfig) || errors.Is(err, connectors.ErrProtocol) {
		// Nothing answers below a record that is not there.
		if _, rerr := c.there(ctx, key); errors.Is(rerr, connectors.ErrNotFound) {
			return rerr
		}
	}
	return err
}

// there reads a record's version, or says that it is not there.
func (c *collection) there(ctx context.Context, key string) (string, error) {
	var r record.Record
	if err := c.Read(ctx, nil, []string{key}, func(got record.Record) error { r = got; return nil }); err != nil {
		return "", err
	}
	if r.Key == "" {
		return "", &connectors.Error{Kind: connectors.ErrNotFound, Op: "read " + c.b.name + " " + key}
	}
	return r.Version, nil
}

// comment shows an item as a comment; false: it is none. Where lists say too little each is read by itself.
func (c *collection) comment(ctx context.Context, op string, t *thread, item any, skip func(connectors.Comment, time.Time) bool) (connectors.Comment, bool, error) {
	v := &view{item: item}
	bad := func(err error) error {
		return &connectors.Error{Kind: connectors.ErrProtocol, Op: op, Detail: err.Error(), Hint: "compare the comments block of the description with what the tool answers"}
	}
	var said connectors.Comment
	in, err := t.where.truth(v, true)
	if err != nil || !in {
		return said, false, wrapped(bad, err)
	}
	for _, s := range []struct {
		to *string
		e  *expr
	}{{&said.ID, t.id}, {&said.Author, t.author}} {
		if *s.to, err = s.e.text(v); err != nil {
			return said, false, bad(err)
		}
	}
	at, err := t.time.get(v)
	if err != nil {
		return said, false, bad(err)
	}
	edited, err := t.edited.get(v)
	if err != nil {
		return said, false, bad(err)
	}
	if said.Time = instant(at); skip(said, instant(edited)) {
		return said, false, nil
	}
	if t.detail != nil {
		values := map[string]string{"key": said.ID}
		a, err := c.client().do(ctx, &call{op: op, path: t.detail.path.fill(values, url.PathEscape), query: query(t.detail.query, values), one: true})
		if err != nil {
			return said, false, err
		}
		v.detail = a.body
	}
	if said.Text, err = t.text.text(v); err != nil {
		return said, false, bad(err)
	}
	return said, true, nil
}

func wrapped(wrap func(error) error, err error) error {
	if err == nil {
		return nil
	}
	return wrap(err)
}

// AddComment writes a comment. Where the answer is not the comment, the thread is read before and after: the new one
// is that which was not there and says the same.
func (c *collection) AddComment(ctx context.Context, path, key, text string) (connectors.Comment, error) {
	op := "add to " + path + " of " + c.b.name + " " + key
	t, err := c.threadOf(op, path)
	if err != nil {
		return connectors.Comment{}, err
	}
	if t.add == nil {
		return connectors.Comment{}, &connectors.Error{Kind: connectors.ErrRefused, Op: op, Detail: fmt.Sprintf("the description only reads %q", path), Hint: "write an add block, or let comments flow the other way only"}
	}
	if _, err := c.there(ctx, key); err != nil {
		return connectors.Comment{}, unwritten(op, err)
	}
	seen := map[string]bool{}
	if t.add.item == nil {
		_, err := c.thread(ctx, op, t, key, func(said connectors.Comment, _ time.Time) bool {
			seen[said.ID] = true
			return true
		})
		if err != nil {
			return connectors.Comment{}, unwritten(op, err)
		}
	}
	said, shown, err := c.say(ctx, op, t, t.add, map[string]string{"key": key}, text)
	if err != nil || shown {
		return said, err
	}
	list, err := c.thread(ctx, op, t, key, func(said connectors.Comment, _ time.Time) bool { return seen[said.ID] })
	if err != nil { // it was stored, but under which id nobody knows
		return connectors.Comment{}, &connectors.Error{Kind: connectors.ErrOutcome, Op: op, Detail: err.Error()}
	}
	var added connectors.Comment
	for _, said := range list {
		if bare(said.Text) == bare(text) && (added.ID == "" || said.Time.After(added.Time)) {
			added = said
		}
	}
	if added.ID == "" {
		return connectors.Comment{}, &connectors.Error{Kind: connectors.ErrRefused, Op: op, Fields: []string{path}, Detail: "the tool took the comment and shows none",
			Hint: "this user may not add or see comments of this kind"}
	}
	return added, nil
}

// say sends the text of a comment. shown: the answer shows how it is stored.
func (c *collection) say(ctx context.Context, op string, t *thread, w *write, values map[string]string, text string) (said connectors.Comment, shown bool, err error) {
	body := map[string]any{}
	if err := set(body, append(slices.Clone(w.wrap), w.text...), text, func(s string) error { return errors.New(s) }); err != nil {
		return said, false, err
	}
	w.constants(body, values, nil)
	a, err := c.client().do(ctx, &call{op: op, method: w.method, path: w.path.fill(values, url.PathEscape), query: query(w.query, values), body: body, one: true})
	if err != nil || w.item == nil {
		return said, false, err
	}
	if item, err := itemOf(w.item, a); err == nil {
		if said, in, err := c.comment(ctx, op, t, item, everything); err == nil && in && said.ID != "" {
			return said, true, nil
		}
	}
	return said, false, &connectors.Error{Kind: connectors.ErrOutcome, Op: op, Detail: "the answer does not show the comment"}
}

// EditComment changes the text of a comment that still says was.
func (c *collection) EditComment(ctx context.Context, path, key, id, was, text string) (connectors.Comment, error) {
	op := fmt.Sprintf("edit comment %s of %s %s", id, c.b.name, key)
	t, err := c.threadOf(op, path)
	if err != nil {
		return connectors.Comment{}, err
	}
	if t.edit == nil {
		return connectors.Comment{}, &connectors.Error{Kind: connectors.ErrRefused, Op: op, Detail: fmt.Sprintf("the description changes no comments of %q", path)}
	}
	now, err := c.said(ctx, op, t, key, id)
	switch {
	case err != nil:
		return connectors.Comment{}, unwritten(op, err)
	case bare(now.Text) != bare(was):
		return connectors.Comment{}, &connectors.Error{Kind: connectors.ErrStale, Op: op}
	}
	said, shown, err := c.say(ctx, op, t, t.edit, map[string]string{"key": key, "id": id}, text)
	if err != nil || shown {
		return said, err
	}
	if said, err = c.said(ctx, op, t, key, id); err != nil {
		return connectors.Comment{}, &connectors.Error{Kind: connectors.ErrOutcome, Op: op, Detail: err.Error()}
	}
	return said, nil
}

// said reads one comment.
func (c *collection) said(ctx context.Context, op string, t *thread, key, id string) (connectors.Comment, error) {
	list, err := c.thread(ctx, op, t, key, everything)
	if err != nil {
		return connectors.Comment{}, err
	}
	i := slices.IndexFunc(list, func(said connectors.Comment) bool { return said.ID == id })
	if i < 0 {
		return connectors.Comment{}, &connectors.Error{Kind: connectors.ErrNotFound, Op: op}
	}
	return list[i], nil
}

// bare is what is left of a text after a tool stored it.
func bare(s string) string { return strings.TrimSpace(strings.ReplaceAll(s, "\r\n", "\n")) }
