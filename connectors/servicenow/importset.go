package servicenow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/valyala/fastjson"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// An importSet is the way of writes that go through a staging table and its transform maps, where the owner of an
// instance wants to see, check and map what comes in. Reading, deleting and comments stay with the Table API.
//
// A row that the maps refuse is answered with 201 like any other: each result is looked at. What is asynchronous
// there (insertMultiple) says nothing of its rows and is not used.
type importSet struct {
	staging  string
	coalesce string            // field of the target by which the transform map finds the record
	columns  map[string]string // of the staging table by field, where the names differ
	wrong    atomic.Bool       // the map was seen to write to other records than it should
}

// CollectionSettings are a collection block: a table that is written in its own way.
type CollectionSettings struct {
	Name      string            `hcl:"name,label"`
	ImportSet string            `hcl:"import_set,optional"` // staging table
	Coalesce  string            `hcl:"coalesce,optional"`   // field that the transform map coalesces on; default correlation_id
	Columns   map[string]string `hcl:"columns,optional"`    // field = column of the staging table, where the names differ
}

// imports checks the collection blocks.
func imports(list []CollectionSettings) (map[string]*importSet, error) {
	out := map[string]*importSet{}
	for _, c := range list {
		what := fmt.Sprintf("collection %q", c.Name)
		switch {
		case !tableName.MatchString(c.Name):
			return nil, settingsError(what+" cannot be the name of a table", "write the name, not the label: incident, u_my_table")
		case out[c.Name] != nil:
			return nil, settingsError("there are two blocks for "+what, "write one")
		case c.ImportSet == "":
			return nil, settingsError(what+" has no import_set", `write import_set = "u_my_staging_table", or leave the block out: every table is a collection`)
		case !tableName.MatchString(c.ImportSet):
			return nil, settingsError(fmt.Sprintf("%s has the import_set %q", what, c.ImportSet), "write the name of the staging table, not its label")
		}
		set := &importSet{staging: c.ImportSet, coalesce: c.Coalesce, columns: c.Columns}
		if set.coalesce == "" {
			set.coalesce = "correlation_id"
		}
		names := map[string]string{}
		for field, column := range c.Columns {
			if !tableName.MatchString(field) || !tableName.MatchString(column) || names[column] != "" {
				return nil, settingsError(fmt.Sprintf("%s has the column %s = %q", what, field, column), "write field = \"column of the staging table\", each column once")
			}
			names[column] = field
		}
		if !tableName.MatchString(set.coalesce) {
			return nil, settingsError(fmt.Sprintf("%s has the coalesce %q", what, c.Coalesce), "write the name of a field, as the transform map does")
		}
		out[c.Name] = set
	}
	return out, nil
}

// column is where a field goes in the staging table.
func (s *importSet) column(field string) string {
	if c := s.columns[field]; c != "" {
		return c
	}
	return field
}

// createByImport makes a record through the staging table. That the transform map found one to update is a refusal: the
// match block did not, so they do not agree on what makes records the same. The next run pairs it, if they do.
func (t *Table) createByImport(ctx context.Context, op string, cols *columns, f record.Fields) (record.Record, error) {
	got, err := t.send(ctx, op, f)
	switch {
	case err != nil:
		return record.Record{}, err
	case got.status != "inserted":
		return record.Record{}, &connectors.Error{Kind: connectors.ErrRefused, Op: op,
			Detail: fmt.Sprintf("the import set took it for %s, which was there already (%s)", shorten(got.name()), got.status),
			Hint:   "the transform map coalesces on " + t.imports.coalesce + ": match records on the same field, then the next run pairs this one"}
	}
	return t.stored(ctx, op, cols, got.id)
}

// updateByImport changes a record through the staging table. The row says which one by the field that the transform map
// coalesces on, so that must be this record's alone.
func (t *Table) updateByImport(ctx context.Context, op string, cols *columns, key string, f record.Fields) (record.Record, error) {
	if t.imports.wrong.Load() {
		return record.Record{}, t.misdirected(op, "was seen to write to another record")
	}
	by := t.imports.coalesce
	value, err := t.unique(ctx, op, key)
	if err != nil {
		return record.Record{}, err
	}
	if v, ok := f[by]; ok && v.Plain() != value.Plain() {
		return record.Record{}, &connectors.Error{Kind: connectors.ErrRefused, Op: op, Fields: []string{by},
			Detail: by + " cannot be changed: the import set finds the record by it", Hint: "let no rule change it once the record is there"}
	}
	row := record.Fields{by: value}
	for path, v := range f {
		row[path] = v
	}
	got, err := t.send(ctx, op, row)
	if err != nil {
		return record.Record{}, err
	}
	if got.id != key {
		// Once more would do more harm.
		t.imports.wrong.Store(true)
		return record.Record{}, t.misdirected(op, fmt.Sprintf("wrote to %s instead (%s)", shorten(got.name()), got.status))
	}
	return t.stored(ctx, op, cols, key)
}

func (t *Table) misdirected(op, what string) error {
	return &connectors.Error{Kind: connectors.ErrRefused, Op: op, Detail: "the import set " + t.imports.staging + " " + what,
		Hint: fmt.Sprintf("its transform map has to coalesce on %s and on nothing else; correct it, or coalesce in the mapping, and start again", t.imports.coalesce)}
}

// unique is the value by which the transform map finds the record, if it finds no other.
func (t *Table) unique(ctx context.Context, op, key string) (record.Value, error) {
	by := t.imports.coalesce
	var value record.Value
	there := false
	if err := t.Read(ctx, []string{by}, []string{key}, func(r record.Record) error {
		value, there = r.Clone().Values[0], true
		return nil
	}); err != nil {
		return value, notSent(op, err)
	}
	refuse := func(detail, hint string) (record.Value, error) {
		return value, &connectors.Error{Kind: connectors.ErrRefused, Op: op, Fields: []string{by}, Detail: detail, Hint: hint}
	}
	switch {
	case !there:
		return value, &connectors.Error{Kind: connectors.ErrNotFound, Op: op, Detail: "the record was deleted, or this user may not see it"}
	case !value.Known():
		return refuse(by+" is not shown, and the import set finds the record by it", "let the user read the field")
	case value.Empty():
		return refuse(by+" is empty, and the import set finds the record by it", "give the record a value there: the transform map would make another record")
	case by == "sys_id":
		return value, nil
	}
	var others []string
	// The transform map compares as the instance's database does, without case.
	alike := func(_ map[string]bool, v string) bool { return strings.EqualFold(v, value.Plain()) }
	if err := t.find(ctx, []string{by}, by, []record.Value{value}, alike, func(r record.Record) error {
		if r.Key != key {
			others = append(others, strings.Clone(r.Key))
		}
		return nil
	}); err != nil {
		return value, notSent(op, err)
	}
	if len(others) > 0 {
		return refuse(fmt.Sprintf("%s %s is carried by %d other records, and the import set finds the record by it", by, value, len(others)),
			"make it unique: the transform map would change another record")
	}
	return value, nil
}

// notSent is a failure of a look before a write: nothing has happened.
func notSent(op string, err error) error {
	if errors.Is(err, connectors.ErrProtocol) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return &connectors.Error{Kind: connectors.ErrBusy, Op: op, Detail: err.Error(), Hint: connectors.Hint(err)}
	}
	return err
}

// stored reads what the transform map left of a write that happened.
func (t *Table) stored(ctx context.Context, op string, cols *columns, key string) (got record.Record, err error) {
	there := false
	err = t.Read(ctx, cols.paths, []string{key}, func(r record.Record) error {
		got, there = owned(r), true
		return nil
	})
	switch {
	case err != nil:
		return got, &connectors.Error{Kind: connectors.ErrOutcome, Op: op, Detail: "it was written, and cannot be read back: " + err.Error(), Hint: connectors.Hint(err)}
	case !there:
		return got, &connectors.Error{Kind: connectors.ErrOutcome, Op: op, Detail: "it was written, and is not shown", Hint: "let the user read the records that it writes"}
	}
	return got, nil
}

// An imported is what became of a staging row in one target.
type imported struct{ status, table, id, display, why string }

func (i imported) name() string {
	if i.display != "" {
		return i.display
	}
	return i.id
}

// send puts one row into the staging table and finds out what became of it.
func (t *Table) send(ctx context.Context, op string, f record.Fields) (imported, error) {
	row := map[string]string{}
	for path, v := range f {
		s, err := t.text(op, path, v)
		if err != nil {
			return imported{}, err
		}
		row[t.imports.column(path)] = s
	}
	body, err := json.Marshal(row)
	if err != nil {
		return imported{}, err
	}
	p := pages.Get().(*page)
	defer p.release()
	cl := &call{op: op, method: http.MethodPost, api: "import", table: t.imports.staging, body: body}
	a, err := t.conn.client.do(ctx, cl, &p.buf)
	if err != nil {
		return imported{}, err
	}
	if err := p.parseList(a.body); err != nil {
		return imported{}, t.conn.client.undecoded(cl, err)
	}
	return t.judge(cl, p)
}

// judge reads the results of a row. One staging table may have maps to several targets: what counts is this one, or
// all where none names it (a parent of the class).
func (t *Table) judge(cl *call, p *page) (imported, error) {
	text := func(v *fastjson.Value, name string) string { return string(v.GetStringBytes(name)) }
	var all []imported
	for _, v := range p.rows {
		why := text(v, "error_message")
		if why == "" {
			why = text(v, "status_message")
		}
		all = append(all, imported{text(v, "status"), text(v, "table"), text(v, "sys_id"), text(v, "display_value"), why})
	}
	mine := slices.DeleteFunc(slices.Clone(all), func(i imported) bool { return i.table != t.name })
	if len(mine) == 0 {
		mine = all
	}
	refuse := func(detail, hint string) (imported, error) {
		return imported{}, &connectors.Error{Kind: connectors.ErrRefused, Op: cl.op, Detail: detail, Hint: hint}
	}
	if len(mine) == 0 {
		return refuse("no transform map took the row", "activate a transform map from "+t.imports.staging+" to "+t.name)
	}
	for _, i := range mine {
		if i.id != "" && slices.Contains([]string{"inserted", "updated", "ignored"}, i.status) {
			return i, nil
		}
	}
	i := mine[0]
	detail := fmt.Sprintf("the import set answers %q", i.status)
	if i.why != "" {
		detail += ": " + shorten(i.why)
	}
	switch i.status {
	case "error":
		m := complaint{detail: i.why}
		e := &connectors.Error{}
		forbidden(cl, &answer{}, m, e) // rules and policies say the same here as in a refused write
		if !errors.Is(e.Kind, connectors.ErrRefused) {
			e.Hint = "the instance's import set row and its log say more"
		}
		return imported{}, &connectors.Error{Kind: connectors.ErrRefused, Op: cl.op, Detail: detail, Hint: e.Hint, Fields: e.Fields}
	case "ignored", "skipped":
		return refuse(detail, "the transform map or a script of it leaves such rows out; it has to be changed on the instance")
	}
	return imported{}, t.conn.client.undecoded(cl, fmt.Errorf("%s, and names no record", detail))
}
