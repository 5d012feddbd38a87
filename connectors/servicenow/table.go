package servicenow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/valyala/fastjson"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A Table is one table of an instance.
type Table struct {
	conn    *Connection
	name    string
	imports *importSet // how it is written; nil is the Table API

	classes []string           // the table and those that extend it; nil is not known
	singles *gatherer[*single] // reads of one record, with conn.batch
	mu      sync.Mutex
	proved  map[string]bool // paths that were seen in a row, so that a query naming them is not dropped
	reading sync.Mutex      // held while the dictionary is read, so that it is read once
	schema  *connectors.Schema
	denied  error // why there is no schema, where that will not change
}

// rawParams make answers and inputs speak raw values whatever the user's language, zone and format are.
func rawParams(fields string) params {
	return params{}.add("sysparm_display_value", "false").add("sysparm_exclude_reference_link", "true").add("sysparm_fields", fields)
}

// columns resolves what a caller asks for. The label comes along under the names it has on most tables: names
// that a table does not have are left out by the instance.
func (t *Table) columns(op string, paths []string) (*columns, error) {
	for _, p := range paths {
		if !fieldPath.MatchString(p) {
			return nil, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: fmt.Sprintf("%q cannot be a field of %s", p, t.name),
				Fields: []string{p}, Hint: "write the name of the field, not its label: short_description, caller_id.email"}
		}
	}
	labels := []string{"number", "name", "user_name"}
	t.mu.Lock()
	if t.schema != nil {
		labels = []string{t.schema.Label}
		if t.schema.Label == "" {
			labels = nil
		}
	}
	t.mu.Unlock()
	return newColumns(paths, labels), nil
}

// Locate is the address of a record's form.
func (t *Table) Locate(key string) string {
	return t.conn.client.addr.root + "/nav_to.do?uri=" + url.QueryEscape(t.name+".do?sys_id="+key)
}

// exists asks for one row and no more.
func (t *Table) exists(ctx context.Context) error {
	p := pages.Get().(*page)
	defer p.release()
	cl := &call{op: "find table " + t.name, table: t.name, params: rawParams("sys_id").add("sysparm_limit", "1").add("sysparm_no_count", "true")}
	_, err := t.conn.client.list(ctx, cl, p)
	if !errors.Is(err, errNoTable) {
		return err
	}
	// Another name may have been meant: look where the list of tables is readable.
	if e, ok := errors.AsType[*connectors.Error](err); ok {
		if near := t.nearest(ctx, p); near != "" {
			e.Hint = fmt.Sprintf("did you mean %q? %s", near, e.Hint)
		}
	}
	return err
}

func (t *Table) nearest(ctx context.Context, p *page) string {
	query := "nameSTARTSWITH" + t.name[:min(2, len(t.name))] + "^ORDERBYname"
	cl := &call{op: "list tables", table: "sys_db_object",
		params: params{}.add("sysparm_display_value", "false").add("sysparm_fields", "name").add("sysparm_limit", "2000").add("sysparm_query", query)}
	if _, err := t.conn.client.list(ctx, cl, p); err != nil {
		return ""
	}
	var names []string
	for _, row := range p.rows {
		names = append(names, p.value(row, "name").Text())
	}
	return strings.Clone(connectors.Nearest(t.name, names))
}

// list sends a read of many rows and decodes it into p. It returns the answer's header and time.
func (c *client) list(ctx context.Context, cl *call, p *page) (*answer, error) {
	a, err := c.do(ctx, cl, &p.buf)
	if err != nil {
		return nil, err
	}
	if err := p.parseList(a.body); err != nil {
		return nil, c.undecoded(cl, err)
	}
	return a, nil
}

// undecoded is a success whose body is not what was asked for.
func (c *client) undecoded(cl *call, err error) error {
	if in, ok := errors.AsType[*errorInside](err); ok {
		e := c.distrust(cl, in.Error(), errCut)
		if ce, ok := errors.AsType[*connectors.Error](e); ok && in.has("maximum execution time") {
			ce.Hint = "the instance stops requests after a minute: make the query cheaper or page_size smaller"
		}
		return e
	}
	if errors.Is(err, errCut) {
		return c.distrust(cl, "the answer is not complete JSON", errCut)
	}
	e := c.distrust(cl, err.Error(), nil)
	if ce, ok := errors.AsType[*connectors.Error](e); ok {
		ce.Hint = "what answers at " + hostOf(c.addr.root) + " may not be a ServiceNow instance; check url"
		ce.Err = err
	}
	return e
}

// total is the count of rows that the query has from here on, access rules not yet applied; -1 if not said.
func (a *answer) total() int64 {
	n, err := strconv.ParseInt(a.header.Get("X-Total-Count"), 10, 64)
	if err != nil || n < 0 {
		return -1
	}
	return n
}

func (a *answer) hasNext() bool {
	return slices.ContainsFunc(a.header.Values("Link"), func(l string) bool { return strings.Contains(l, `rel="next"`) })
}

// prove makes sure that fields which a query is about to name exist and can be read. A query with a name that
// does not exist loses that condition without a word, and with glide.invalid_query.returns_no_rows finds nothing.
func (t *Table) prove(ctx context.Context, op string, fields []string) error {
	missing, err := t.unseen(ctx, op, fields)
	if err != nil || len(missing) == 0 {
		return err
	}
	e := &connectors.Error{Kind: connectors.ErrConfig, Op: op, Fields: missing,
		Detail: fmt.Sprintf("%s of %s cannot be searched: no row shows it", strings.Join(missing, ", "), t.name),
		Hint:   "there is no such field, or this user may not read it; the instance would drop the condition and return every row"}
	t.suggest(e, missing[0])
	return e
}

// Require says which paths no row of the table shows. It is for users who may not read the dictionary: the
// instance ignores unknown fields of a write without a word. A table without rows passes.
func (t *Table) Require(ctx context.Context, paths []string) error {
	op := "require fields of " + t.name
	if _, err := t.columns(op, paths); err != nil {
		return err
	}
	missing, err := t.unseen(ctx, op, paths)
	if err != nil || len(missing) == 0 {
		return err
	}
	e := &connectors.Error{Kind: connectors.ErrConfig, Op: op, Fields: missing,
		Detail: fmt.Sprintf("%s shows no %s", t.name, strings.Join(missing, ", ")),
		Hint:   "there is no such field, or this user may not read it: correct the name, or ask for a read rule on it"}
	t.suggest(e, missing[0])
	return e
}

func (t *Table) suggest(e *connectors.Error, name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.schema == nil {
		return
	}
	var paths []string
	for _, f := range t.schema.Fields {
		if f.Path != name {
			paths = append(paths, f.Path)
		}
	}
	if near := connectors.Nearest(name, paths); near != "" {
		e.Hint = fmt.Sprintf("did you mean %q? %s", near, e.Hint)
	}
}

// unseen returns those fields that the first rows of the table do not have, though they were asked for. What
// was seen once is remembered. A table that shows no rows proves nothing: then all pass.
func (t *Table) unseen(ctx context.Context, op string, fields []string) ([]string, error) {
	var open []string
	t.mu.Lock()
	for _, f := range fields {
		if f != "sys_id" && !t.proved[f] {
			open = append(open, f)
		}
	}
	t.mu.Unlock()
	if len(open) == 0 {
		return nil, nil
	}
	const sample = "10"
	p := pages.Get().(*page)
	defer p.release()
	cl := &call{op: op, table: t.name, params: rawParams("sys_id,"+strings.Join(open, ",")).add("sysparm_limit", sample).add("sysparm_no_count", "true")}
	if _, err := t.conn.client.list(ctx, cl, p); err != nil || len(p.rows) == 0 {
		return nil, err
	}
	var missing []string
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range open {
		if slices.ContainsFunc(p.rows, func(row *fastjson.Value) bool { return row.Get(f) != nil }) {
			t.proved[f] = true
		} else {
			missing = append(missing, f)
		}
	}
	return missing, nil
}

// one sends cl, whose answer is one record, and returns it with content of its own.
func (t *Table) one(ctx context.Context, cl *call, cols *columns) (record.Record, error) {
	p := pages.Get().(*page)
	defer p.release()
	a, err := t.conn.client.do(ctx, cl, &p.buf)
	if err != nil {
		return record.Record{}, err
	}
	if err := p.parseOne(bytes.TrimSpace(a.body)); err != nil {
		return record.Record{}, t.conn.client.undecoded(cl, err)
	}
	var r record.Record
	if err := p.record(0, cols, &r); err != nil {
		return record.Record{}, t.conn.client.undecoded(cl, err)
	}
	return owned(r), nil
}

// owned returns r independent of the page it was read from.
func owned(r record.Record) record.Record {
	r = r.Clone()
	r.Key, r.Label, r.Version, r.Author = strings.Clone(r.Key), strings.Clone(r.Label), strings.Clone(r.Version), strings.Clone(r.Author)
	return r
}
