package sql

import (
	"strings"

	"github.com/fieldsync/fieldsync/engine/record"
)

// A key of several columns has one text: the parts in the order of the settings with a slash between, and inside a
// part %2F for a slash and %25 for a percent sign. A key of one column is the value as it is.
var escapes = strings.NewReplacer("%", "%25", "/", "%2F")

func joinKey(parts []string) string {
	if len(parts) == 1 {
		return parts[0]
	}
	var b strings.Builder
	for i, p := range parts {
		if i > 0 {
			b.WriteByte('/')
		}
		_, _ = escapes.WriteString(&b, p) // a Builder does not fail
	}
	return b.String()
}

// splitKey undoes joinKey for a key of n columns; ok is false for what joinKey never makes.
func splitKey(text string, n int) (parts []string, ok bool) {
	if n == 1 {
		return []string{text}, true
	}
	parts = strings.Split(text, "/")
	if len(parts) != n {
		return nil, false
	}
	for i, p := range parts {
		parts[i] = strings.ReplaceAll(strings.ReplaceAll(p, "%2F", "/"), "%25", "%")
	}
	return parts, joinKey(parts) == text
}

// keyOf is the key of a row; "" where a part of it is nothing.
func (t *collection) keyOf(raw []any) string {
	if len(t.key) == 1 {
		return t.columns[t.key[0]].decode(raw[t.key[0]]).Plain()
	}
	parts := make([]string, len(t.key))
	for i, slot := range t.key {
		v := t.columns[slot].decode(raw[slot])
		if !v.Known() || v.Empty() {
			return ""
		}
		parts[i] = v.Plain()
	}
	return joinKey(parts)
}

// keyArgs binds a key in the form that its columns compare with; ok is false where no row can have it.
func (t *collection) keyArgs(key string) (args []any, ok bool) {
	parts, ok := splitKey(key, len(t.key))
	if !ok {
		return nil, false
	}
	for i, slot := range t.key {
		arg, ok := t.columns[slot].codec.key(parts[i])
		if !ok {
			return nil, false
		}
		args = append(args, arg)
	}
	return args, true
}

// keyColumns are the columns of the key, in the order of the settings.
func (t *collection) keyColumns() []*column {
	columns := make([]*column, len(t.key))
	for i, slot := range t.key {
		columns[i] = &t.columns[slot]
	}
	return columns
}

// keyNames are the names of those columns for ORDER BY, where a bare name would be the text that is selected.
func (t *collection) keyNames() []string {
	names := make([]string, len(t.key))
	for i, k := range t.keyColumns() {
		names[i] = t.conn.quote(t.rel.local) + "." + t.conn.quote(k.name)
	}
	return names
}

// rawKey picks the key's raw values out of a row.
func (t *collection) rawKey(raw []any) []any {
	key := make([]any, len(t.key))
	for i, slot := range t.key {
		key[i] = raw[slot]
	}
	return key
}

// isKey is the condition that columns hold these raw values.
func isKey(s *statement, columns []*column, raw []any) string {
	parts := make([]string, len(columns))
	for i, c := range columns {
		parts[i] = s.d.sought(c) + " = " + s.arg(raw[i])
	}
	return strings.Join(parts, " AND ")
}

// amongKeys is the condition that columns hold one of several lists of raw values.
func amongKeys(s *statement, columns []*column, keys [][]any) string {
	if len(columns) == 1 {
		values := make([]any, len(keys))
		for i, k := range keys {
			values[i] = k[0]
		}
		return s.d.sought(columns[0]) + " IN " + s.list(values)
	}
	parts := make([]string, len(keys))
	for i, k := range keys {
		parts[i] = "(" + isKey(s, columns, k) + ")"
	}
	return "(" + strings.Join(parts, " OR ") + ")"
}

// afterKey is the condition of the rows behind the one with these raw values, in the order of the key.
func afterKey(s *statement, names []string, last []any) string {
	if len(names) == 1 {
		return names[0] + " > " + s.arg(last[0])
	}
	if s.d.compareRows() {
		return "(" + strings.Join(names, ", ") + ") > " + s.list(last)
	}
	// a >= x AND (a > x OR (a = x AND b > y)): the first part is what an index is walked by.
	var rest func(i int) string
	rest = func(i int) string {
		here := names[i] + " > " + s.arg(last[i])
		if i == len(names)-1 {
			return here
		}
		return "(" + here + " OR (" + names[i] + " = " + s.arg(last[i]) + " AND " + rest(i+1) + "))"
	}
	return names[0] + " >= " + s.arg(last[0]) + " AND " + rest(0)
}

// upToKey is the condition of that row and those before it: of the whole order, what afterKey leaves.
func upToKey(s *statement, names []string, last []any) string {
	if len(names) > 1 && s.d.compareRows() {
		return "(" + strings.Join(names, ", ") + ") <= " + s.list(last)
	}
	var rest func(i int) string
	rest = func(i int) string {
		if i == len(names)-1 {
			return names[i] + " <= " + s.arg(last[i])
		}
		return "(" + names[i] + " < " + s.arg(last[i]) + " OR (" + names[i] + " = " + s.arg(last[i]) + " AND " + rest(i+1) + "))"
	}
	if len(names) == 1 {
		return rest(0)
	}
	return names[0] + " <= " + s.arg(last[0]) + " AND " + rest(0)
}

// keyPath is the path under which a key of several columns shows as one text.
func (t *collection) keyPath() string {
	if len(t.key) == 1 {
		return t.columns[t.key[0]].name
	}
	return t.whole
}

// nameKey finds a path for the whole of a key of several columns: key, unless a column is called so.
func (t *collection) nameKey() {
	if len(t.key) == 1 {
		return
	}
	t.whole = "key"
	for {
		if _, taken := t.slots[t.whole]; !taken {
			return
		}
		t.whole += "_"
	}
}

// wholeKey is the slot of keyPath where that is no column.
const wholeKey = -2

func (t *collection) valueAt(raw []any, slot int) record.Value {
	if slot == wholeKey {
		return record.OfText(t.keyOf(raw))
	}
	return t.columns[slot].decode(raw[slot])
}
