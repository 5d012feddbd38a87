package sim

import (
	"cmp"
	"slices"
	"strings"
)

// A column is one field of a table, as its sys_dictionary row describes it.
type column struct {
	name, label string
	kind        string // internal_type
	length      int
	ref         string // table a reference points to
	refKey      string // column it points by; "" is sys_id
	choice      string // "1" list with None, "3" list without, "" none
	def         string // default value
	depends     string // field that decides which choices apply
	readOnly    bool
	display     bool // the column that stands for the row in references
}

func (c *column) journal() bool { return c.kind == "journal_input" || c.kind == "journal_list" }
func (c *column) numeric() bool { return c.kind == "integer" || c.kind == "decimal" }

// temporal reports whether the column holds a UTC "2006-01-02 15:04:05".
func (c *column) temporal() bool { return c.kind == "glide_date_time" || c.kind == "due_date" }

// A row is one record. Its values are in the order of its table's columns; a row written before a column
// was added is shorter.
type row struct {
	t  *table
	id string
	v  []string
}

func (r *row) get(name string) string {
	if i, ok := r.t.at[name]; ok && i < len(r.v) {
		return r.v[i]
	}
	return ""
}

// A table holds rows. Rows of a child belong to its parent's view too.
type table struct {
	name, label string
	prefix      string // of numbers; "" for tables without
	counter     int
	parent      *table
	children    []*table
	cols        []*column
	at          map[string]int
	byID        map[string]*row
	sorted      []*row // by sys_id
	fresh       []*row // not yet in sorted
	index       map[string]map[string][]*row
}

// indexed are the columns whose equality look-ups need no scan.
var indexed = []string{"correlation_id", "number", "user_name", "parent_incident", "element_id", "table_sys_id", "documentkey"}

func newTable(name, label, prefix string, parent *table) *table {
	t := &table{
		name: name, label: label, prefix: prefix, counter: 10000, parent: parent,
		at: map[string]int{}, byID: map[string]*row{}, index: map[string]map[string][]*row{},
	}
	if parent != nil {
		parent.children = append(parent.children, t)
		for _, c := range parent.cols {
			t.add(c)
		}
	}
	return t
}

// add appends a column here and in all children; a column of the same name is replaced.
func (t *table) add(c *column) {
	if i, ok := t.at[c.name]; ok {
		t.cols[i] = c
	} else {
		t.at[c.name] = len(t.cols)
		t.cols = append(t.cols, c)
	}
	if slices.Contains(indexed, c.name) && t.index[c.name] == nil {
		t.index[c.name] = map[string][]*row{}
	}
	for _, child := range t.children {
		child.add(c)
	}
}

func (t *table) column(name string) *column {
	if i, ok := t.at[name]; ok {
		return t.cols[i]
	}
	return nil
}

// is reports whether t is ancestor or one of its descendants.
func (t *table) is(ancestor string) bool {
	for ; t != nil; t = t.parent {
		if t.name == ancestor {
			return true
		}
	}
	return false
}

// displayColumn names the column that stands for a row of this table.
func (t *table) displayColumn() string {
	for _, c := range t.cols {
		if c.display {
			return c.name
		}
	}
	return "sys_id"
}

// find looks a row up in t and its descendants.
func (t *table) find(id string) *row {
	if r, ok := t.byID[id]; ok {
		return r
	}
	for _, c := range t.children {
		if r := c.find(id); r != nil {
			return r
		}
	}
	return nil
}

// put stores a row that is new.
func (t *table) put(r *row) {
	t.byID[r.id] = r
	t.fresh = append(t.fresh, r)
	for name, ix := range t.index {
		if k := indexKey(r.get(name)); k != "" {
			ix[k] = append(ix[k], r)
		}
	}
}

// replace gives a stored row new values.
func (t *table) replace(r *row, v []string) {
	old := *r
	r.v = v
	for name, ix := range t.index {
		was, is := indexKey(old.get(name)), indexKey(r.get(name))
		if was == is {
			continue
		}
		dropFrom(ix, was, r)
		if is != "" {
			ix[is] = append(ix[is], r)
		}
	}
}

// remove forgets a row.
func (t *table) remove(r *row) {
	t.settle()
	delete(t.byID, r.id)
	if i, ok := slices.BinarySearchFunc(t.sorted, r.id, byID); ok {
		t.sorted = slices.Delete(t.sorted, i, i+1)
	}
	for name, ix := range t.index {
		dropFrom(ix, indexKey(r.get(name)), r)
	}
}

func dropFrom(ix map[string][]*row, key string, r *row) {
	rows := slices.DeleteFunc(ix[key], func(o *row) bool { return o == r })
	if len(rows) == 0 {
		delete(ix, key)
		return
	}
	ix[key] = rows
}

// indexKey folds case as the database's collation does.
func indexKey(v string) string { return strings.ToLower(v) }

func byID(r *row, id string) int { return cmp.Compare(r.id, id) }

// settle brings fresh rows into the order by sys_id: a few by insertion, many by a merge, since ids are random
// and each insertion moves half of the table.
func (t *table) settle() {
	if len(t.fresh) <= 16 {
		for _, r := range t.fresh {
			i, _ := slices.BinarySearchFunc(t.sorted, r.id, byID)
			t.sorted = slices.Insert(t.sorted, i, r)
		}
		t.fresh = nil
		return
	}
	slices.SortFunc(t.fresh, func(a, b *row) int { return cmp.Compare(a.id, b.id) })
	t.sorted = merge(t.sorted, t.fresh)
	t.fresh = nil
}

func merge(a, b []*row) []*row {
	out := make([]*row, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if a[0].id < b[0].id {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// dirty reports whether rows of t or its descendants wait to be settled.
func (t *table) dirty() bool {
	return len(t.fresh) > 0 || slices.ContainsFunc(t.children, (*table).dirty)
}

func (t *table) settleAll() {
	t.settle()
	for _, c := range t.children {
		c.settleAll()
	}
}

// rows lists t and its descendants by sys_id. The slice belongs to the table.
func (t *table) rows() []*row {
	all := t.sorted
	for _, c := range t.children {
		switch more := c.rows(); {
		case len(all) == 0:
			all = more
		case len(more) > 0:
			all = merge(all, more)
		}
	}
	return all
}

// equal lists the rows of t and its descendants whose indexed column has this value.
func (t *table) equal(name, value string) []*row {
	rows := t.index[name][indexKey(value)]
	for _, c := range t.children {
		if more := c.equal(name, value); len(more) > 0 {
			rows = append(slices.Clone(rows), more...)
		}
	}
	return rows
}
