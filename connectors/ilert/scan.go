package ilert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// restarts is how often a list is begun anew because rows slipped from one page to another.
const restarts = 5

// list walks the alerts that a selection has, each once. Pages go by offset over a list that moves, in an order that is
// not published: each page begins with the last row of the one before, and where it shows a row that was not seen
// instead, something was passed over and the walk begins anew.
func (c *Collection) list(ctx context.Context, op string, sel selection, emit func(alert) error) error {
	emitted := map[string]bool{}
	for range restarts {
		whole, err := c.walk(ctx, op, sel, emitted, emit)
		if whole || err != nil {
			return err
		}
	}
	return &connectors.Error{Kind: connectors.ErrBusy, Op: op, Detail: "the list of alerts moves faster than it can be read", Hint: "a larger page_size (up to 100, if your account takes it) or fewer sources make the list shorter to read"}
}

func (c *Collection) walk(ctx context.Context, op string, sel selection, emitted map[string]bool, emit func(alert) error) (whole bool, err error) {
	q, size := sel.params(), c.conn.pageSize
	q.Set("max-results", strconv.Itoa(size))
	seen := map[string]bool{}
	for start := 0; ; {
		q.Set("start-index", strconv.Itoa(start))
		var page []alert
		if err := c.conn.client.get(ctx, op, "/alerts", q, &page); err != nil {
			return false, err
		}
		if start > 0 && (len(page) == 0 || !seen[page[0].id()]) {
			return false, nil
		}
		for _, a := range page {
			id := a.id()
			if id == "" {
				return false, &connectors.Error{Kind: connectors.ErrProtocol, Op: op, Detail: "an alert without an id came back", Hint: "check url"}
			}
			seen[id] = true
			if emitted[id] || !sel.has(a) {
				continue
			}
			emitted[id] = true
			if err := emit(a); err != nil {
				return false, err
			}
		}
		if len(page) < size {
			return true, nil
		}
		start += len(page) - 1
	}
}

// A point is where a scan for changes goes on: Window.Next.
type point struct {
	Latest time.Time `json:"latest"` // the last reportTime that was seen
	Open   []string  `json:"open"`   // the alerts that were not resolved
}

// lateness is how much earlier than the latest alert one may be stamped that was not there before.
const lateness = 10 * time.Minute

// Scan reads the alerts. No change stamp tells what changed, but only an alert that is open can change: since an earlier
// scan that is what is open now, what was reported meanwhile, and what was open then and is no more.
func (c *Collection) Scan(ctx context.Context, q connectors.Query, emit func(record.Record) error) (connectors.Window, error) {
	op := "scan " + c.name
	mine, err := c.selection(ctx, op)
	if err != nil {
		return connectors.Window{}, err
	}
	sel, err := parseQuery(op, q.Native)
	if err != nil {
		return connectors.Window{}, err
	}
	var before point
	if q.Since != "" && json.Unmarshal([]byte(q.Since), &before) != nil {
		return connectors.Window{}, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: "this is no point of an earlier scan", Hint: "run a full scan"}
	}
	next := point{Latest: before.Latest, Open: []string{}}
	seen := map[string]bool{}
	take := func(a alert) error {
		// A test record cannot be deleted, and a sync that matches by something else than its key would not know it.
		if seen[a.id()] || !mine.has(a) || !sel.has(a) || strings.HasPrefix(plain(a[pathKey]), connectors.TestMark) {
			return nil
		}
		seen[a.id()] = true
		if a.open() {
			next.Open = append(next.Open, a.id())
		}
		if at := a.reported(); at.After(next.Latest) {
			next.Latest = at
		}
		return emit(a.record(q.Paths))
	}
	both := mine.and(sel)
	if q.Since == "" {
		err = c.list(ctx, op, both, take)
	} else {
		err = c.changes(ctx, op, both, before, seen, take)
	}
	if err != nil {
		return connectors.Window{}, err
	}
	slices.Sort(next.Open)
	text, err := json.Marshal(next)
	if err != nil {
		return connectors.Window{}, fmt.Errorf("%s: %w", op, err)
	}
	return connectors.Window{Next: string(text), Clock: c.conn.client.reading()}, nil
}

// and is what both select, as far as one request can ask for it; [selection.has] does the rest.
func (s selection) and(o selection) selection {
	if len(o.sources) == 0 {
		o.sources = s.sources
	}
	if s.from.After(o.from) {
		o.from = s.from
	}
	return o
}

func (c *Collection) changes(ctx context.Context, op string, sel selection, before point, seen map[string]bool, take func(alert) error) error {
	open := sel
	open.states = slices.DeleteFunc([]string{pending, accepted}, func(s string) bool { return len(sel.states) > 0 && !slices.Contains(sel.states, s) })
	if len(open.states) > 0 {
		if err := c.list(ctx, op, open, take); err != nil {
			return err
		}
	}
	recent := sel
	if since := before.Latest.Add(-lateness); since.After(recent.from) && !before.Latest.IsZero() {
		recent.from = since
	}
	if err := c.list(ctx, op, recent, take); err != nil {
		return err
	}
	left := slices.DeleteFunc(slices.Clone(before.Open), func(id string) bool { return seen[id] })
	return c.each(ctx, op, left, take)
}

// each reads alerts by their ids, some at a time. What is not there, or not for this key, is left out.
func (c *Collection) each(ctx context.Context, op string, ids []string, emit func(alert) error) error {
	var mu sync.Mutex
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(c.conn.flight)
	for _, id := range ids {
		g.Go(func() error {
			a, err := c.one(gctx, op, id)
			if errors.Is(err, connectors.ErrNotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			if gctx.Err() != nil {
				return gctx.Err() // the caller has had enough
			}
			return emit(a)
		})
	}
	return g.Wait()
}

// one reads an alert. ErrNotFound.
func (c *Collection) one(ctx context.Context, op, id string) (alert, error) {
	if _, err := strconv.ParseInt(id, 10, 64); err != nil {
		return nil, &connectors.Error{Kind: connectors.ErrNotFound, Op: op, Detail: fmt.Sprintf("%q cannot be the id of an alert", shorten(id))}
	}
	var a alert
	if err := c.conn.client.get(ctx, op, "/alerts/"+id, nil, &a); err != nil {
		return nil, err
	}
	if a.id() != id {
		return nil, &connectors.Error{Kind: connectors.ErrProtocol, Op: op, Detail: fmt.Sprintf("the answer is about the alert %q, not %s", shorten(a.id()), id), Hint: "check url"}
	}
	return a, nil
}

// Read emits the alerts with these ids, of whatever source they are.
func (c *Collection) Read(ctx context.Context, paths []string, keys []string, emit func(record.Record) error) error {
	keys = slices.Compact(slices.Sorted(slices.Values(keys)))
	return c.each(ctx, "read "+c.name, keys, func(a alert) error { return emit(a.record(paths)) })
}

// Find emits the alerts that carry one of the values. ilert has no search, by alertKey neither: the list is read.
func (c *Collection) Find(ctx context.Context, paths []string, path string, values []record.Value, emit func(record.Record) error) error {
	op := "find " + c.name
	p := find(path)
	if p == nil {
		return &connectors.Error{Kind: connectors.ErrConfig, Op: op, Fields: []string{path}, Detail: fmt.Sprintf("alerts have no %q", path), Hint: suggest(path)}
	}
	want := map[string]bool{}
	var texts []string
	for _, v := range values {
		if s := v.Plain(); s != "" && !want[s] {
			want[s], texts = true, append(texts, s)
		}
	}
	if len(want) == 0 {
		return nil
	}
	if path == pathID {
		return c.Read(ctx, paths, texts, emit)
	}
	sel, err := c.selection(ctx, op)
	if err != nil {
		return err
	}
	return c.list(ctx, op, sel, func(a alert) error {
		if v := p.value(a); !v.Known() || !want[v.Plain()] {
			return nil
		}
		return emit(a.record(paths))
	})
}

func suggest(name string) string {
	var names []string
	for _, p := range paths {
		names = append(names, p.Path)
	}
	if near := connectors.Nearest(name, names); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "fieldsync fields lists them"
}

// Count counts the alerts in a scope without reading them, where ilert can.
func (c *Collection) Count(ctx context.Context, native string) (int64, error) {
	op := "count " + c.name
	mine, err := c.selection(ctx, op)
	if err != nil {
		return 0, err
	}
	sel, err := parseQuery(op, native)
	if err != nil {
		return 0, err
	}
	both := mine.and(sel)
	n := int64(0)
	if len(sel.policies) > 0 || len(mine.sources) > 0 && len(sel.sources) > 0 { // which it cannot count
		err := c.list(ctx, op, both, func(a alert) error {
			if mine.has(a) {
				n++
			}
			return nil
		})
		return n, err
	}
	var answer struct {
		Count int64 `json:"count"`
	}
	err = c.conn.client.get(ctx, op, "/alerts/count", both.params(), &answer)
	return answer.Count, err
}
