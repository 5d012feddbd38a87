package servicenow

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// maxIn is how many values one IN has: a hundred sys_ids are 3.3 of the 8 kB that an address may have.
const maxIn = 100

// Read emits the rows with these keys, several requests at a time and emit one at a time. A row that is hidden
// from this user looks as if it did not exist.
func (t *Table) Read(ctx context.Context, paths []string, keys []string, emit func(record.Record) error) error {
	op := "read " + t.name
	cols, err := t.columns(op, paths)
	if err != nil {
		return err
	}
	// What cannot stand in a list cannot be a sys_id either: no such record exists.
	keys = slices.DeleteFunc(slices.Compact(slices.Sorted(slices.Values(keys))), func(k string) bool { return !listValue(k) })
	if len(keys) == 1 && t.Batch() > 1 {
		return t.readOne(ctx, cols, keys[0], emit)
	}
	return t.readKeys(ctx, cols, keys, emit)
}

// readKeys reads rows by keys that are sorted and can stand in a list.
func (t *Table) readKeys(ctx context.Context, cols *columns, keys []string, emit func(record.Record) error) error {
	op := "read " + t.name
	chunks, err := t.chunks(op, "sys_id", cols, keys)
	if err != nil {
		return err
	}
	return t.each(ctx, len(chunks), emit, func(ctx context.Context, i int, emit func(record.Record) error) error {
		return t.chunk(ctx, op, cols, chunks[i], emit)
	})
}

// each runs n pieces of work, as many at a time as the instance serves well, with one emit at a time.
func (t *Table) each(ctx context.Context, n int, emit func(record.Record) error, work func(ctx context.Context, i int, emit func(record.Record) error) error) error {
	var mu sync.Mutex
	var failed error
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(t.conn.concurrency)
	for i := range n {
		g.Go(func() error {
			return work(ctx, i, func(r record.Record) error {
				mu.Lock()
				defer mu.Unlock()
				if failed == nil {
					failed = emit(r)
				}
				return failed
			})
		})
	}
	return g.Wait()
}

// chunks cuts values into lists whose address is short enough.
func (t *Table) chunks(op, path string, cols *columns, values []string) ([][]string, error) {
	room := maxURL - len(t.conn.client.url(t.in(op, path, cols, nil)))
	var out [][]string
	var list []string
	used := 0
	for _, v := range values {
		size := len(params{}.add("", v)[0])
		if size > room {
			return nil, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Fields: []string{path},
				Detail: fmt.Sprintf("a value of %d characters is too long to be searched for", len(v)), Hint: "search by a shorter field, or ask for fewer fields"}
		}
		if len(list) == maxIn || used+size > room {
			out, list, used = append(out, list), nil, 0
		}
		list, used = append(list, v), used+size
	}
	if list != nil {
		out = append(out, list)
	}
	return out, nil
}

// in is the call for the rows whose path is one of list; it has no limit yet.
func (t *Table) in(op, path string, cols *columns, list []string) *call {
	return &call{op: op, table: t.name, queried: []string{path},
		params: rawParams(cols.fields).add("sysparm_no_count", "true").add("sysparm_limit", strconv.Itoa(maxIn)).
			add("sysparm_query", path+"IN"+strings.Join(list, ","))}
}

// chunk reads one list of keys: a key has at most one row, so the limit cannot cut anything off.
func (t *Table) chunk(ctx context.Context, op string, cols *columns, list []string, emit func(record.Record) error) error {
	p := pages.Get().(*page)
	defer p.release()
	cl := t.in(op, "sys_id", cols, list)
	if _, err := t.conn.client.list(ctx, cl, p); err != nil {
		return err
	}
	var r record.Record
	seen := make(map[string]bool, len(p.rows))
	for i := range p.rows {
		if err := p.record(i, cols, &r); err != nil {
			return t.conn.client.undecoded(cl, err)
		}
		if _, asked := slices.BinarySearch(list, r.Key); !asked || seen[r.Key] {
			if !asked && slices.ContainsFunc(list, func(k string) bool { return strings.EqualFold(k, r.Key) }) {
				continue // the database ignores case, keys do not
			}
			return t.conn.client.undecoded(cl, fmt.Errorf("the record %s was not asked for, or came twice", shorten(r.Key)))
		}
		seen[r.Key] = true
		if err := emit(r); err != nil {
			return err
		}
	}
	return nil
}

// Find emits the rows whose path has one of values. What the instance finds is compared again here, letter by
// letter: its database ignores case, and would answer a condition it does not understand with every row.
// Values with characters that cannot stand in a query are found by their longest part that can. An empty value
// finds nothing.
func (t *Table) Find(ctx context.Context, paths []string, path string, values []record.Value, emit func(record.Record) error) error {
	exact := func(wanted map[string]bool, v string) bool { return wanted[v] }
	return t.find(ctx, paths, path, values, exact, emit)
}

// find is Find with a rule of its own about which of the rows that the instance finds have one of the wanted values.
func (t *Table) find(ctx context.Context, paths []string, path string, values []record.Value, has func(wanted map[string]bool, v string) bool, emit func(record.Record) error) error {
	op := fmt.Sprintf("find %s by %s", t.name, path)
	if !slices.Contains(paths, path) {
		return &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: "the path is not among those asked for", Fields: []string{path}}
	}
	cols, err := t.columns(op, paths)
	if err != nil {
		return err
	}
	searches, err := t.searches(op, path, cols, values)
	if err != nil || len(searches) == 0 {
		return err
	}
	if err := t.searchable(op, path); err != nil {
		return err
	}
	if err := t.prove(ctx, op, []string{path}); err != nil {
		return err
	}
	at := slices.Index(paths, path)
	return t.each(ctx, len(searches), emit, func(ctx context.Context, i int, emit func(record.Record) error) error {
		w := &walk{table: t, op: op, cols: cols, base: filter{groups: []string{searches[i].cond}, fields: []string{path}}}
		return w.run(ctx, w.fetch(ctx, w.start()), func(r record.Record) error {
			v := r.Values[at]
			if !v.Known() {
				// A row without the path cannot have been found by it: hidden in this row, or never searched.
				return nil
			}
			if !has(searches[i].wanted, v.Text()) {
				return nil
			}
			return emit(r)
		})
	})
}

// searchable refuses paths whose raw value is always empty.
func (t *Table) searchable(op, path string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.schema == nil {
		return nil
	}
	if f, ok := t.schema.Field(path); ok && (f.Append || f.Native == "journal_list") {
		return &connectors.Error{Kind: connectors.ErrConfig, Op: op, Fields: []string{path}, Detail: path + " is a journal and cannot be searched",
			Hint: "choose a field that holds one value, such as correlation_id"}
	}
	return nil
}

// A search is one condition and the values that its rows may have.
type search struct {
	cond   string
	wanted map[string]bool
}

func (t *Table) searches(op, path string, cols *columns, values []record.Value) ([]search, error) {
	var plain []string
	var out []search
	seen := map[string]bool{}
	for _, v := range values {
		s, err := wire(v)
		if err != nil {
			return nil, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Fields: []string{path}, Detail: err.Error()}
		}
		if s == "" || seen[s] {
			continue
		}
		seen[s] = true
		wanted := map[string]bool{s: true}
		switch {
		case listValue(s):
			plain = append(plain, s)
		case plainValue(s):
			out = append(out, search{path + "=" + s, wanted})
		case plainPart(s) != "":
			out = append(out, search{path + "LIKE" + plainPart(s), wanted})
		default:
			return nil, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Fields: []string{path},
				Detail: fmt.Sprintf("%q cannot be searched: a query has no way to write it", s), Hint: "use a value with letters or digits"}
		}
	}
	slices.Sort(plain)
	chunks, err := t.chunks(op, path, cols, plain)
	if err != nil {
		return nil, err
	}
	for _, c := range chunks {
		out = append(out, search{path + "IN" + strings.Join(c, ","), maps.Collect(func(yield func(string, bool) bool) {
			for _, s := range c {
				if !yield(s, true) {
					return
				}
			}
		})})
	}
	return out, nil
}
