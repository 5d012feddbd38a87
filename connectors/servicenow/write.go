package servicenow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// wire is v as the Table API takes it: always text. The error says what has no form there.
func wire(v record.Value) (string, error) {
	switch v.Kind() {
	case record.Null:
		return "", nil
	case record.Time:
		return v.Time().Format(timeLayout), nil
	case record.Text, record.Int, record.Float, record.Bool:
		return v.Plain(), nil
	case record.List:
		// glide_list: sys_ids or addresses, separated by commas.
		var parts []string
		for _, it := range v.Items() {
			s, err := wire(it)
			if err != nil {
				return "", err
			}
			parts = append(parts, s)
		}
		return strings.Join(parts, ","), nil
	}
	return "", fmt.Errorf("a value of kind %s cannot be written to ServiceNow", v.Kind())
}

// text is one value of a write in the form of the wire.
func (t *Table) text(op, path string, v record.Value) (string, error) {
	bad := &connectors.Error{Kind: connectors.ErrConfig, Op: op, Fields: []string{path}}
	switch {
	case !fieldPath.MatchString(path):
		bad.Detail = fmt.Sprintf("%q cannot be a field", path)
		return "", bad
	case strings.Contains(path, "."):
		bad.Detail, bad.Hint = path+" belongs to another record", "fields behind a reference can be read, not written: write the reference itself"
		return "", bad
	}
	s, err := wire(v)
	if err != nil {
		bad.Detail = path + ": " + err.Error()
		return "", bad
	}
	return s, nil
}

func (t *Table) body(op string, f record.Fields) ([]byte, error) {
	m := make(map[string]string, len(f))
	for path, v := range f {
		s, err := t.text(op, path, v)
		if err != nil {
			return nil, err
		}
		m[path] = s
	}
	return json.Marshal(m)
}

// Create makes a row and returns what the instance stored, which it reads again after its own rules. A request is
// sent once: an answer that is lost or a server error is ErrOutcome, and the caller looks for the marker.
func (t *Table) Create(ctx context.Context, paths []string, f record.Fields) (record.Record, error) {
	op := "create " + t.name
	cols, err := t.columns(op, paths)
	if err != nil {
		return record.Record{}, err
	}
	body, err := t.body(op, f)
	if err != nil {
		return record.Record{}, err
	}
	if err := t.pointing(ctx, op, f); err != nil {
		return record.Record{}, err
	}
	if t.imports != nil {
		return t.createByImport(ctx, op, cols, f)
	}
	return t.one(ctx, &call{op: op, method: http.MethodPost, table: t.name, params: writeParams(cols), body: body}, cols)
}

// Update changes the fields in f of one row, and no others, and returns what the instance holds afterwards.
//
// ServiceNow has no conditional write (no ETag, no If-Match): version is not looked at, and a change that comes
// between the caller's read and this write is overwritten. The caller reads again right before, and compares
// the version of the returned record with the one before: one write moves sys_mod_count by one, a larger
// step means that somebody else wrote too, and [Table.Edits] tells what.
func (t *Table) Update(ctx context.Context, paths []string, key, _ string, f record.Fields) (record.Record, error) {
	op := fmt.Sprintf("update %s %s", t.name, key)
	cols, err := t.columns(op, paths)
	if err != nil {
		return record.Record{}, err
	}
	if err := sendable(op, key); err != nil {
		return record.Record{}, err
	}
	body, err := t.body(op, f)
	if err != nil {
		return record.Record{}, err
	}
	if err := t.pointing(ctx, op, f); err != nil {
		return record.Record{}, err
	}
	if t.imports != nil {
		return t.updateByImport(ctx, op, cols, key, f)
	}
	cl := &call{op: op, method: http.MethodPatch, table: t.name, key: key, params: writeParams(cols), body: body}
	r, err := t.one(ctx, cl, cols)
	if err == nil && r.Key != key {
		return record.Record{}, t.conn.client.undecoded(cl, fmt.Errorf("the answer is about the record %s", shorten(r.Key)))
	}
	return r, err
}

// Delete removes a row; one that is not there counts as removed. There is no conditional delete either.
func (t *Table) Delete(ctx context.Context, key, _ string) error {
	op := fmt.Sprintf("delete %s %s", t.name, key)
	if err := sendable(op, key); err != nil {
		return nil // no row can have such a key
	}
	p := pages.Get().(*page)
	defer p.release()
	_, err := t.conn.client.do(ctx, &call{op: op, method: http.MethodDelete, table: t.name, key: key}, &p.buf)
	if errors.Is(err, connectors.ErrNotFound) {
		return nil
	}
	return err
}

// sendable refuses keys that would lead to another address than a record's.
func sendable(op, key string) error {
	if key == "" || slices.Contains([]string{".", ".."}, key) || strings.ContainsAny(key, "/\\?#%") || !listValue(key) {
		return &connectors.Error{Kind: connectors.ErrNotFound, Op: op, Detail: "this cannot be a sys_id"}
	}
	return nil
}

// writeParams name both directions: some instances take input as display values for certain types unless they
// are told otherwise (KB0546240), and read times in the user's zone then.
func writeParams(cols *columns) params {
	return rawParams(cols.fields).add("sysparm_input_display_value", "false")
}

// Settles is how long after a create that was never answered its row may still appear.
func (t *Table) Settles() time.Duration { return t.conn.settle }
