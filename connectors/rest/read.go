package rest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A collection is a described kind of record. What was learned from its records is kept here.
type collection struct {
	conn *connection
	b    *blueprint

	mu      sync.Mutex
	ids     map[string]map[string]any // by named list: what writes call an element, by its name
	choices map[string]choices        // by path
}

func newCollection(conn *connection, b *blueprint) *collection {
	return &collection{conn: conn, b: b, ids: map[string]map[string]any{}, choices: map[string]choices{}}
}

func (c *collection) client() *client { return c.conn.client }

func (c *collection) keyOf(item any) (string, error) {
	key, err := c.b.key.text(&view{item: item})
	if err != nil {
		return "", err
	}
	if key == "" {
		return "", errors.New("a record has no key where the description says: key; it has " + cmp.Or(plainly(item), "no member with a text or a number"))
	}
	return key, nil
}

// record shows an item. false: it is none of this collection.
func (c *collection) record(item any, paths []string) (record.Record, bool, error) {
	v := &view{item: item}
	if in, err := c.b.where.truth(v, true); err != nil || !in {
		return record.Record{}, false, err
	}
	r := record.Record{Values: make([]record.Value, len(paths))}
	var err error
	if r.Key, err = c.keyOf(item); err != nil {
		return r, false, err
	}
	for _, s := range []struct {
		to *string
		e  *expr
	}{{&r.Label, c.b.label}, {&r.Author, c.b.author}, {&r.Version, c.b.version}} {
		if *s.to, err = s.e.text(v); err != nil {
			return r, false, err
		}
	}
	switch {
	case c.b.version == nil:
		r.Version = c.fingerprint(item)
	case len(r.Version) > longestVersion:
		sum := sha256.Sum256([]byte(r.Version))
		r.Version = hex.EncodeToString(sum[:12])
	}
	stamp, err := c.b.modified.get(v)
	if err != nil {
		return r, false, err
	}
	r.Modified = instant(stamp)
	c.learn(item)
	for i, p := range paths {
		r.Values[i] = c.value(item, p)
	}
	return r, true, nil
}

// longestVersion is what is kept of a version as it is; a longer one is made of contents.
const longestVersion = 40

// fingerprint is a version for tools that count none: it changes when anything that is shown does. The elements of a
// named list may come in any order.
func (c *collection) fingerprint(item any) string {
	h := sha256.New()
	whole, ok := item.(map[string]any)
	if !ok {
		return ""
	}
	for _, name := range slices.Sorted(maps.Keys(whole)) {
		var parts []string
		list, isList := whole[name].([]any)
		if !isList || !slices.ContainsFunc(c.b.named, func(n *named) bool { return n.in == name }) {
			list = []any{whole[name]}
		}
		for _, e := range list {
			v, err := record.Of(e)
			if err != nil {
				return ""
			}
			parts = append(parts, v.String())
		}
		slices.Sort(parts)
		fmt.Fprintf(h, "%q%q", name, parts)
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}

// Scan reads the list, or with q.Since what changed since then.
//
// The point for the next scan is the time that the tool showed when this one began. Where it shows none, it is the
// newest stamp that was seen, less the time that the scan took: what changes while pages are read may carry that.
func (c *collection) Scan(ctx context.Context, q connectors.Query, emit func(record.Record) error) (connectors.Window, error) {
	op := "scan " + c.b.name
	if _, err := c.client().prove(ctx); err != nil {
		return connectors.Window{}, err
	}
	l, since := c.b.list, time.Time{}
	if q.Since != "" && c.b.changes != nil {
		t, err := time.Parse(time.RFC3339Nano, q.Since)
		if err != nil {
			return connectors.Window{}, wrong(op, fmt.Sprintf("%q is not the end of a window of this connector", q.Since), "scan everything once")
		}
		l, since = c.b.changes, t
	}
	w, err := c.walk(op, l, q.Native, since)
	if err != nil {
		return connectors.Window{}, err
	}
	began := c.conn.env.Now()
	var start, newest time.Time
	w.first = func(a *answer) { start = a.date }
	unstamped := false
	err = c.each(ctx, w, q.Paths, func(r record.Record) error {
		unstamped = unstamped || r.Modified.IsZero()
		if r.Modified.After(newest) {
			newest = r.Modified
		}
		return emit(r)
	})
	if err != nil {
		return connectors.Window{}, err
	}
	win := connectors.Window{Clock: c.client().reading()}
	switch {
	case c.b.changes == nil || unstamped:
	case !start.IsZero():
		win.Next = start.Format(time.RFC3339Nano)
	case !newest.IsZero():
		next := newest.Add(-max(c.conn.env.Now().Sub(began), 0))
		if next.Before(since) {
			next = since
		}
		win.Next = next.UTC().Format(time.RFC3339Nano)
	default:
		win.Next = q.Since
	}
	return win, nil
}

// walk makes a walk through l for a side's own query and what changed since.
func (c *collection) walk(op string, l *list, native string, since time.Time) (*walk, error) {
	values := map[string]string{"query": native}
	if native == "" {
		values["query"] = l.all
	}
	if !since.IsZero() {
		values["since"] = stamp(since.Add(-l.overlap), l.layout, l.zone)
	}
	w := &walk{client: c.client(), op: op, list: l, path: l.path.fill(values, url.PathEscape), query: query(l.query, values), key: c.keyOf}
	placed := l.path.has("query") || slices.ContainsFunc(l.query, func(p param) bool { return p.value.has("query") })
	if native != "" && !placed {
		more, err := url.ParseQuery(native)
		if err != nil || strings.ContainsAny(native, " \n") {
			return nil, wrong(op, "query cannot be read", `write query parameters of the tool, as in its addresses: query = "project_id=noc&tracker_id=1"`)
		}
		for name, v := range more {
			w.query[name] = v
		}
	}
	return w, nil
}

// stamp writes a time as the tool reads it, cut to what the layout shows.
func stamp(t time.Time, layout string, zone *time.Location) string {
	switch layout {
	case "unix":
		return fmt.Sprint(t.Unix())
	case "unix_ms":
		return fmt.Sprint(t.UnixMilli())
	}
	return t.In(zone).Format(layout)
}

func (c *collection) each(ctx context.Context, w *walk, paths []string, emit func(record.Record) error) error {
	return w.run(ctx, func(items []any) (bool, error) {
		for _, item := range items {
			r, in, err := c.record(item, paths)
			if err != nil {
				return false, w.broken(err.Error())
			}
			if !in {
				continue
			}
			if err := emit(r); err != nil {
				return false, err
			}
			if err := ctx.Err(); err != nil {
				return false, fmt.Errorf("%s: %w", w.op, err)
			}
		}
		return true, nil
	})
}

// Read asks for records by their keys: many at a time where the tool can, else some side by side.
func (c *collection) Read(ctx context.Context, paths []string, keys []string, emit func(record.Record) error) error {
	op := "read " + c.b.name
	keys = slices.Compact(slices.Sorted(slices.Values(keys)))
	keys = slices.DeleteFunc(keys, func(k string) bool { return k == "" })
	if len(keys) == 0 {
		return nil
	}
	seen := map[string]bool{}
	show := func(items []any) error {
		for _, item := range items {
			r, in, err := c.record(item, paths)
			if err != nil {
				return &connectors.Error{Kind: connectors.ErrProtocol, Op: op, Detail: err.Error(), Hint: "compare the description with what the tool answers"}
			}
			if _, asked := slices.BinarySearch(keys, r.Key); !in || !asked || seen[r.Key] {
				continue
			}
			seen[r.Key] = true
			if err := emit(r); err != nil {
				return err
			}
		}
		return nil
	}
	err := c.fetch(ctx, op, keys, show)
	if err != nil || len(seen) == len(keys) {
		return err
	}
	_, err = c.client().prove(ctx) // what is missing counts for gone only if the tool knows who asks
	return err
}

func (c *collection) fetch(ctx context.Context, op string, keys []string, show func([]any) error) error {
	if m := c.b.many; m != nil {
		for len(keys) > 0 {
			n, joined := m.join(keys)
			values := map[string]string{"keys": joined}
			a, err := c.client().do(ctx, &call{op: op, path: m.path.fill(values, url.PathEscape), query: query(m.query, values)})
			if err != nil {
				return err
			}
			w := walk{op: op, list: &list{items: m.items}}
			items, err := w.items(a)
			if err != nil {
				return err
			}
			if err := show(items); err != nil {
				return err
			}
			keys = keys[n:]
		}
		return nil
	}
	var mu sync.Mutex
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(c.conn.flight)
	for _, key := range keys {
		g.Go(func() error {
			item, _, err := c.one(gctx, op, key)
			if errors.Is(err, connectors.ErrNotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			return show([]any{item})
		})
	}
	return g.Wait()
}

// longestKeys keeps an address with many keys within what servers take.
const longestKeys = 6000

// join writes as many keys as fit into one request.
func (r *read) join(keys []string) (int, string) {
	var b strings.Builder
	n, size := 0, 0
	for n < min(len(keys), r.max) {
		part := r.each.fill(map[string]string{"key": keys[n], "quoted": quoted(keys[n])}, nil)
		size += len(url.QueryEscape(part + r.separator))
		if n > 0 && size > longestKeys {
			break
		}
		if n > 0 {
			b.WriteString(r.separator)
		}
		b.WriteString(part)
		n++
	}
	return n, b.String()
}

// one reads a single record through the read block, with the headers of the answer.
func (c *collection) one(ctx context.Context, op, key string) (any, http.Header, error) {
	values := map[string]string{"key": key}
	r := c.b.read
	a, err := c.client().do(ctx, &call{op: op + " " + key, path: r.path.fill(values, url.PathEscape), query: query(r.query, values), one: true})
	if err != nil {
		return nil, nil, err
	}
	item, err := itemOf(r.item, a)
	if err != nil {
		return nil, nil, &connectors.Error{Kind: connectors.ErrProtocol, Op: op + " " + key, Detail: err.Error(), Hint: "compare the read block of the description with what the tool answers"}
	}
	return item, a.header, nil
}

// itemOf is the record in an answer: where the description says, else the whole of it.
func itemOf(e *expr, a *answer) (any, error) {
	item := a.body
	if e != nil {
		found, err := e.raw(a.view())
		if err != nil {
			return nil, err
		}
		item = found
	}
	if _, ok := item.(map[string]any); !ok {
		return nil, errors.New("the answer has no record where the description says: item")
	}
	return item, nil
}

// Find asks the tool for records by the value of a path where the description says how, and else goes through the
// whole list. What comes back is compared here.
func (c *collection) Find(ctx context.Context, paths []string, path string, values []record.Value, emit func(record.Record) error) error {
	op := "find " + c.b.name
	wanted := map[string]bool{}
	for _, v := range values {
		if v.Known() && !v.Empty() {
			wanted[v.Plain()] = true
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	slot := slices.Index(paths, path)
	if slot < 0 {
		return wrong(op, fmt.Sprintf("%q is not among the paths that are asked for", path), "")
	}
	seen := map[string]bool{}
	show := func(r record.Record) error {
		if v := r.Values[slot]; !v.Known() || v.Empty() || !wanted[v.Plain()] || seen[r.Key] {
			return nil
		}
		seen[r.Key] = true
		return emit(r)
	}
	if path == c.b.keyPath {
		keys := make([]string, 0, len(wanted))
		for k := range wanted {
			keys = append(keys, k)
		}
		return c.Read(ctx, paths, keys, show)
	}
	if _, err := c.client().prove(ctx); err != nil {
		return err
	}
	search, fill, err := c.search(ctx, path)
	if err != nil {
		return err
	}
	if search == nil {
		w, err := c.walk(op, c.b.list, "", time.Time{})
		if err != nil {
			return err
		}
		return c.each(ctx, w, paths, show)
	}
	for v := range wanted {
		l := *c.b.search
		l.query = over(l.query, search)
		w, err := c.walk(op, &l, "", time.Time{})
		if err != nil {
			return err
		}
		fill["value"], fill["quoted"], fill["query"] = v, quoted(v), l.all
		w.query = query(l.query, fill)
		if err := c.each(ctx, w, paths, show); err != nil {
			return err
		}
	}
	return nil
}

// search is how a path is searched for, nil where the description does not say, and what fills its placeholders.
func (c *collection) search(ctx context.Context, path string) ([]param, map[string]string, error) {
	if f := c.b.field(path); f != nil && f.find != nil {
		return f.find, map[string]string{}, nil
	}
	n, name := c.b.family(path)
	if n == nil || n.find == nil {
		return nil, nil, nil
	}
	id, err := c.idOf(ctx, n, name)
	if err != nil {
		return nil, nil, err
	}
	return n.find, map[string]string{"name": name, "id": fmt.Sprint(id)}, nil
}

// sample gives the items of the first page to look, and reports how many they are and whether there are more.
func (c *collection) sample(ctx context.Context, look func(item any)) (n int, more bool, err error) {
	w, err := c.walk("list "+c.b.name, c.b.list, "", time.Time{})
	if err != nil {
		return 0, false, err
	}
	err = w.run(ctx, func(items []any) (bool, error) {
		if n > 0 {
			more = true
			return false, nil
		}
		for _, item := range items {
			if _, in, err := c.record(item, nil); err != nil {
				return false, w.broken(err.Error())
			} else if in {
				n++
				look(item)
			}
		}
		return true, nil
	})
	return n, more, err
}
