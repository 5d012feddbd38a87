package servicenow

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A walk pages through a query by key: sys_id>LAST^ORDERBYsys_id. Offsets would repeat and skip rows as they
// move, and limits are applied before access rules: a short or empty page says nothing about the end.
//
// A position is where a page begins; fetch runs one page ahead of the caller.
type walk struct {
	table *Table
	op    string
	cols  *columns
	base  filter
	conds []string // further conditions of every group
	to    string   // conds end the walk with this sys_id; "" if they do not
}

type position struct {
	last   string // the page begins behind this sys_id; "" at the start
	offset int    // and behind so many rows after it that are all hidden
	limit  int
	left   int64 // rows that the server has from here on as far as known; -1: not known
}

// A step is a fetched page and where the next one begins.
type step struct {
	page  *page
	from  position
	next  position
	more  bool
	total int64     // rows behind from.last that the server counted; 0 if it does not say
	now   time.Time // a time the server's clock had reached when the request began; zero if not known
	err   error
}

// smallestPage is where giving up is better than asking for even less.
const smallestPage = 20

// fetch gets the page at pos. An answer that was cut off is asked for again in smaller pieces (KB0778443).
func (w *walk) fetch(ctx context.Context, pos position) step {
	for {
		s := w.request(ctx, pos, w.uncounted(pos))
		if s.err == nil || !errors.Is(s.err, errCut) || pos.limit <= smallestPage || ctx.Err() != nil {
			return s
		}
		pos.limit = max(pos.limit/4, smallestPage)
		w.table.conn.client.log.Debug("page was cut off, trying a smaller one", "op", w.op, "limit", pos.limit)
	}
}

// uncounted reports whether the page at pos surely is not the last: then the server need not count the rows,
// which costs it a second query.
func (w *walk) uncounted(pos position) bool { return pos.left > 2*int64(pos.limit) && pos.offset == 0 }

func (w *walk) request(ctx context.Context, pos position, uncounted bool) step {
	conds := w.conds
	if pos.last != "" {
		conds = append(conds[:len(conds):len(conds)], "sys_id>"+pos.last)
	}
	ps := rawParams(w.cols.fields).add("sysparm_query", w.base.with(conds...)).add("sysparm_limit", strconv.Itoa(pos.limit))
	if pos.offset > 0 {
		ps = ps.add("sysparm_offset", strconv.Itoa(pos.offset))
	}
	if uncounted {
		ps = ps.add("sysparm_no_count", "true").add("sysparm_suppress_pagination_header", "true")
	}
	cl := &call{op: w.op, table: w.table.name, params: ps, queried: w.base.fields}
	s := step{page: pages.Get().(*page), from: pos}
	a, err := w.table.conn.client.list(ctx, cl, s.page)
	if err != nil {
		s.page.release()
		return step{err: err}
	}
	s.now = a.now
	if err := w.advance(&s, a, uncounted); err != nil {
		s.page.release()
		return step{err: w.table.conn.client.undecoded(cl, err)}
	}
	return s
}

// advance checks the order of the rows and finds out where the next page begins.
func (w *walk) advance(s *step, a *answer, uncounted bool) error {
	pos, n := s.from, len(s.page.rows)
	last := pos.last
	for i := range n {
		key, err := s.page.key(i)
		if err != nil {
			return err
		}
		if last != "" && (key == last || hexadecimal(key) && hexadecimal(last) && key < last) {
			return fmt.Errorf("the rows are not in the order of sys_id: %s comes after %s", shorten(key), shorten(last))
		}
		last = key
	}
	if n > 0 && !plainValue(last) {
		return fmt.Errorf("%q cannot be a sys_id", shorten(last))
	}
	if w.to != "" && hexadecimal(last) && hexadecimal(w.to) && last > w.to {
		return fmt.Errorf("the row %s came where those up to %s were asked for", shorten(last), shorten(w.to))
	}
	s.next = position{last: strings.Clone(last), limit: pos.limit, left: -1}
	if n == 0 {
		s.next.offset = pos.offset + pos.limit
	}
	if n > pos.limit {
		return fmt.Errorf("%d rows came where %d were asked for", n, pos.limit)
	}
	total := a.total()
	s.total = max(total, 0)
	switch {
	case uncounted:
		s.more = true
		if s.next.left = pos.left - int64(pos.limit); n < pos.limit {
			s.next.left = -1 // the count before was too high, or rows are hidden: the next page is counted again
		}
	case total >= 0:
		// The count is of the whole window behind pos.last, so what the offset passed is in it.
		s.more = int64(pos.offset)+int64(pos.limit) < total
		if n == pos.limit {
			s.next.left = total - int64(pos.offset) - int64(n)
		}
	case a.hasNext():
		s.more = true
	default:
		// Something on the way took the headers out. Rows that follow are found as long as one row of a page is shown.
		s.more = n > 0
	}
	return nil
}

func hexadecimal(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return s != ""
}

// run emits every row. The first step is fetched by the caller, who may want to look at it before anything is
// emitted.
func (w *walk) run(ctx context.Context, s step, emit func(record.Record) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var r record.Record
	for {
		if s.err != nil {
			return s.err
		}
		var ahead chan step
		if s.more {
			ahead = make(chan step, 1)
			go func() { ahead <- w.fetch(ctx, s.next) }()
		}
		err := w.emit(s.page, &r, emit)
		s.page.release()
		if ahead == nil {
			return err
		}
		if err != nil {
			cancel()
			if s := <-ahead; s.page != nil {
				s.page.release()
			}
			return err
		}
		s = <-ahead
	}
}

func (w *walk) emit(p *page, r *record.Record, emit func(record.Record) error) error {
	for i := range p.rows {
		if err := p.record(i, w.cols, r); err != nil {
			return &connectors.Error{Kind: connectors.ErrProtocol, Op: w.op, Detail: err.Error(), Err: err}
		}
		if err := emit(*r); err != nil {
			return err
		}
	}
	return nil
}

// start is the position before the first row.
func (w *walk) start() position { return position{limit: w.table.conn.pageSize, left: -1} }
