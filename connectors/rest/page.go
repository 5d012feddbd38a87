package rest

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/fieldsync/fieldsync/connectors"
)

// A walk goes through a list page by page.
type walk struct {
	client *client
	op     string
	list   *list
	path   string
	query  url.Values
	key    func(item any) (string, error) // nil: items are not compared
	first  func(*answer)                  // told the first answer; may be nil
}

// stuck is how many pages in a row may bring nothing new before the tool is taken for one that does not page.
const stuck = 3

// run gives the items of each page to each. Those that the page before it had are left out. each returns false to
// end the walk.
func (w *walk) run(ctx context.Context, each func(items []any) (bool, error)) error {
	p := w.list.page
	at := position{number: p.first}
	var before map[string]bool
	idle, count := 0, 0
	for n := 0; ; n++ {
		a, err := w.ask(ctx, &at)
		if err != nil {
			return err
		}
		if n == 0 && w.first != nil {
			w.first(a)
		}
		items, err := w.items(a)
		if err != nil {
			return err
		}
		keys, fresh, err := w.fresh(items, before)
		if err != nil {
			return err
		}
		count += len(fresh)
		if len(fresh) > 0 {
			idle = 0
			if goOn, err := each(fresh); err != nil || !goOn {
				return err
			}
		} else if len(items) > 0 {
			if idle++; idle >= stuck {
				return w.broken(fmt.Sprintf("the pages do not go on; does the tool know the parameter %q?", p.param))
			}
		}
		if p.kind == byOffset && len(before) > 0 && len(fresh) == len(items) && len(items) > 0 && at.offset > 0 {
			// Nothing of the last page is left: records before it went, and some moved over the edge unseen.
			at.offset = max(0, at.offset-p.size)
			before = joined(before, keys)
			if at.back++; at.back > 100 {
				return w.broken("the list moves faster than it can be read")
			}
			continue
		}
		goOn, err := w.next(a, &at, len(items), count)
		if err != nil || !goOn {
			return err
		}
		before = keys
	}
}

// A position is where a walk goes on.
type position struct {
	offset, number int
	cursor         string
	link           *url.URL
	back           int
}

func (w *walk) ask(ctx context.Context, at *position) (*answer, error) {
	p := w.list.page
	cl := &call{op: w.op, path: w.path, query: url.Values{}}
	for name, v := range w.query {
		cl.query[name] = v
	}
	if p.kind != whole && p.limit != "" {
		cl.query.Set(p.limit, strconv.Itoa(p.size))
	}
	switch p.kind {
	case byOffset:
		cl.query.Set(p.param, strconv.Itoa(at.offset))
	case byNumber:
		cl.query.Set(p.param, strconv.Itoa(at.number))
	case byCursor:
		if at.cursor != "" {
			cl.query.Set(p.param, at.cursor)
		}
	case byLink:
		if at.link != nil {
			cl.path, cl.query = at.link.EscapedPath(), at.link.Query()
		}
	}
	return w.client.do(ctx, cl)
}

func (w *walk) items(a *answer) ([]any, error) {
	found, err := w.list.items.raw(a.view())
	if err != nil {
		return nil, w.broken(err.Error())
	}
	items, ok := found.([]any)
	if !ok {
		err := w.broken("the answer has no list of records where the description says: items")
		if there := lists("body", a.body, 0); len(there) > 0 {
			err.Hint = fmt.Sprintf("the list block of the description has to say where they are; the answer has lists at %s", strings.Join(there, ", "))
		}
		return nil, err
	}
	return items, nil
}

// fresh are the items that were not on the page before, and keys those of all.
func (w *walk) fresh(items []any, before map[string]bool) (keys map[string]bool, fresh []any, err error) {
	if w.key == nil {
		return nil, items, nil
	}
	keys = make(map[string]bool, len(items))
	for _, item := range items {
		key, err := w.key(item)
		if err != nil {
			return nil, nil, w.broken(err.Error())
		}
		if !before[key] && !keys[key] {
			fresh = append(fresh, item)
		}
		keys[key] = true
	}
	return keys, fresh, nil
}

// next moves at to the next page; false when there is none.
func (w *walk) next(a *answer, at *position, n, count int) (bool, error) {
	p := w.list.page
	if p.kind == whole {
		return false, nil
	}
	if p.more != nil {
		more, err := p.more.truth(a.view(), true)
		if err != nil {
			return false, w.broken(err.Error())
		}
		if !more {
			return false, nil
		}
	}
	total := -1
	if p.total != nil {
		v, err := p.total.text(a.view())
		t, aerr := strconv.Atoi(v)
		if err != nil || aerr != nil {
			return false, w.broken("the answer does not say how many records there are where the description says: total")
		}
		total = t
	}
	switch p.kind {
	case byOffset:
		reached := at.offset + n
		switch {
		case total >= 0 && reached >= total:
			return false, nil
		case n == 0 && total > at.offset:
			return false, w.broken(fmt.Sprintf("the list of %d records ends after %d", total, at.offset))
		case n == 0, total < 0 && n == 1 && at.offset > 0:
			return false, nil
		}
		// One record comes again, to see that nothing moved in between.
		if w.key != nil && n > 1 {
			reached--
		}
		at.offset = reached
	case byNumber:
		if n == 0 && total > count {
			return false, w.broken(fmt.Sprintf("the list of %d records ends after %d", total, count))
		}
		if n == 0 || total >= 0 && count >= total {
			return false, nil
		}
		at.number++
	case byCursor:
		c, err := p.next.text(a.view())
		if err != nil {
			return false, w.broken(err.Error())
		}
		if c == at.cursor && c != "" {
			return false, w.broken("the cursor does not go on")
		}
		at.cursor = c
		return c != "", nil
	case byLink:
		return w.follow(a, at)
	}
	return true, nil
}

var linkNext = regexp.MustCompile(`<([^>]*)>\s*(?:;[^,]*)?;\s*rel\s*=\s*"?[^",;]*\bnext\b`)

// follow takes the address of the next page, of which only path and query are used, below the address that the
// connection has: it may be one that the tool knows itself by, and credentials go nowhere else.
func (w *walk) follow(a *answer, at *position) (bool, error) {
	var to string
	if next := w.list.page.next; next != nil {
		s, err := next.text(a.view())
		if err != nil {
			return false, w.broken(err.Error())
		}
		to = s
	} else if m := linkNext.FindStringSubmatch(strings.Join(a.header.Values("Link"), ", ")); m != nil {
		to = m[1]
	}
	if to == "" {
		return false, nil
	}
	u, err := url.Parse(to)
	if err != nil {
		return false, w.broken("the address of the next page cannot be read")
	}
	root := w.client.root
	u.Path, u.RawPath = strings.TrimPrefix(u.Path, root.Path), ""
	if u.Host != "" && !strings.EqualFold(u.Host, root.Host) && u.Path != w.path {
		return false, w.broken(fmt.Sprintf("the next page is at another server, %s", u.Host))
	}
	if !strings.HasPrefix(u.Path, "/") {
		u.Path = w.path
	}
	if at.link != nil && at.link.RequestURI() == u.RequestURI() {
		return false, w.broken("the link to the next page leads to the same page")
	}
	at.link = u
	return true, nil
}

func (w *walk) broken(detail string) *connectors.Error {
	return &connectors.Error{Kind: connectors.ErrProtocol, Op: w.op, Detail: detail, Hint: "compare the list block of the description with what the tool answers"}
}

func joined(a, b map[string]bool) map[string]bool {
	out := make(map[string]bool, len(a)+len(b))
	for k := range a {
		out[k] = true
	}
	for k := range b {
		out[k] = true
	}
	return out
}
