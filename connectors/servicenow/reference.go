package servicenow

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// byName are tables that references point to by name instead of sys_id.
var byName = []string{"sys_db_object", "sys_glide_object"}

// pointing refuses names where references want a sys_id. The instance would store the name as it is, point to
// nothing and call it a success. What looks like a sys_id is believed; anything else is looked for once, since rows
// that came with the platform may have words for keys. Without a dictionary nothing is known and all passes.
func (t *Table) pointing(ctx context.Context, op string, f record.Fields) error {
	t.mu.Lock()
	schema := t.schema
	t.mu.Unlock()
	if schema == nil {
		return nil
	}
	for _, path := range slices.Sorted(maps.Keys(f)) {
		d, ok := schema.Field(path)
		v := f[path].Text()
		if !ok || d.Reference == "" || d.Native != "reference" || v == "" || len(v) == 32 && hexadecimal(v) || slices.Contains(byName, d.Reference) {
			continue
		}
		there, err := t.points(ctx, op, d.Reference, v)
		if err != nil {
			return err
		}
		if !there {
			return &connectors.Error{Kind: connectors.ErrRefused, Op: op, Fields: []string{path},
				Detail: fmt.Sprintf("%s points to a record of %s, and %q is the sys_id of none", path, d.Reference, shorten(v)),
				Hint:   "the instance does not resolve names: translate the value by a lookup in " + d.Reference}
		}
	}
	return nil
}

// points reports whether a table has a row with this key, as far as this user can tell.
func (t *Table) points(ctx context.Context, op, table, key string) (bool, error) {
	known := table + "." + key
	t.mu.Lock()
	seen := t.proved[known]
	t.mu.Unlock()
	if seen {
		return true, nil
	}
	if !plainValue(key) {
		return false, nil
	}
	p := pages.Get().(*page)
	defer p.release()
	cl := &call{op: op, table: table, params: rawParams("sys_id").add("sysparm_limit", "2").add("sysparm_no_count", "true").add("sysparm_query", "sys_id="+key)}
	_, err := t.conn.client.list(ctx, cl, p)
	if errors.Is(err, connectors.ErrDenied) || errors.Is(err, errNoTable) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	for i := range p.rows {
		if k, err := p.key(i); err != nil || k != key {
			continue
		}
		t.mu.Lock()
		t.proved[known] = true
		t.mu.Unlock()
		return true, nil
	}
	return false, nil
}
