package mapping

import (
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A Translation is a translation block: rows written down, or a live table, between two vocabularies.
type Translation struct {
	Name      string
	Columns   [2]string
	Rows      [][2]record.Value // as written, top to bottom; nil with Lookup
	Lookup    *Lookup           // nil with Rows
	Unmatched *record.Value     // what stands for a value without a row; nil: the field is held
	Lossy     bool              // several rows may share a value; the first of them is the way back
	Range     hcl.Range

	unmatchedAt hcl.Range
	cells       [][2]hcl.Range    // of Rows
	index       [2]map[string]int // by column: a value's first row
	twice       [2]map[string]int // by column: a later row with a value that an earlier one has
	live        lookupCache       // rows that were fetched
	model       bool              // Rows stand for those of a live table
}

// A Lookup says where a live translation has its rows.
type Lookup struct {
	Connection *Connection
	Collection string
	Paths      [2]string
	Refresh    time.Duration // how long a fetched row counts
}

// defaultRefresh keeps people and groups fresh enough and asks for each of them a few times a day.
const defaultRefresh = time.Hour

// vocabulary is the form in which values are looked up: 1 and "1" are the same word in two systems.
func vocabulary(v record.Value) string {
	if v.Empty() {
		return "null"
	}
	return "=" + v.Plain()
}

// row returns the number of the first row that has v in this column.
func (t *Translation) row(column int, v record.Value) (int, bool) {
	i, ok := t.index[column][vocabulary(v)]
	return i, ok
}

// Translate gives the word for v, which stands in column from, in the other column. Null stays null unless a
// row says otherwise. The error is *reconcile.Needed when a live row has to be fetched first, else it says
// why there is none.
func (t *Translation) Translate(from int, v record.Value, now time.Time) (record.Value, error) {
	if !v.Known() {
		return v, nil
	}
	if t.Lookup != nil {
		return t.lookUp(from, v, now)
	}
	if i, ok := t.row(from, v); ok {
		return t.Rows[i][1-from], nil
	}
	if v.Empty() {
		return v, nil
	}
	return t.unmatched(fmt.Sprintf("translation %s has no row for %s %s; add one, or set unmatched", t.Name, t.Columns[from], v))
}

func (t *Translation) unmatched(why string) (record.Value, error) {
	if t.Unmatched != nil {
		return *t.Unmatched, nil
	}
	return record.Value{}, fmt.Errorf("%s", why)
}

var translationSchema = &hcl.BodySchema{
	Attributes: []hcl.AttributeSchema{{Name: "columns"}, {Name: "rows"}, {Name: "file"}, {Name: "unmatched"}, {Name: "lossy"}},
	Blocks:     []hcl.BlockHeaderSchema{{Type: "lookup"}},
}

func (l *loader) translations(blocks hcl.Blocks) {
	seen := map[string]hcl.Range{}
	for _, b := range blocks {
		t := &Translation{Name: b.Labels[0], Range: b.DefRange}
		if !l.unique(seen, "translation", b) || !l.label(t.Name, "translation", b.LabelRanges[0]) {
			continue
		}
		l.cfg.Translations = append(l.cfg.Translations, t)
		content, diags := b.Body.Content(translationSchema)
		l.add(diags...)
		if content != nil {
			l.translation(t, content)
		}
		t.fill()
		l.checkRows(t)
	}
}

func (l *loader) translation(t *Translation, content *hcl.BodyContent) {
	a := content.Attributes
	columns := l.columns(t, a["columns"])
	if u := a["unmatched"]; u != nil {
		t.Unmatched, t.unmatchedAt = l.unmatchedValue(u.Expr), u.Expr.Range()
	}
	if x := a["lossy"]; x != nil {
		t.Lossy, _ = l.truth(x.Expr)
	}
	var sources []hcl.Range
	for _, name := range []string{"rows", "file"} {
		if a[name] != nil {
			sources = append(sources, a[name].NameRange)
		}
	}
	for _, b := range content.Blocks {
		sources = append(sources, b.DefRange)
	}
	switch {
	case len(sources) == 0:
		l.fail(t.Range, "Translation without rows", "Give translation %q its rows = [[…, …]], a file = \"….csv\" or a lookup block.", t.Name)
		return
	case len(sources) > 1:
		l.fail(sources[1], "Two sources of rows", "Translation %q has its rows from %s already. Keep one of rows, file and lookup.", t.Name, at(sources[0]))
		return
	}
	switch {
	case a["file"] != nil:
		l.csvRows(t, a["file"].Expr, columns)
	case !columns:
		if a["columns"] == nil {
			l.fail(t.Range, "Translation without columns", "Say what the two columns of translation %q are called: columns = [\"…\", \"…\"], the names of the sides it stands between.", t.Name)
		}
	case a["rows"] != nil:
		l.rows(t, a["rows"].Expr)
	default:
		l.lookup(t, content.Blocks[0])
	}
}

func (l *loader) columns(t *Translation, a *hcl.Attribute) bool {
	if a == nil {
		return false
	}
	names := l.names(a.Expr)
	if len(names) != 2 || names[0].text == names[1].text || names[0].text == "" || names[1].text == "" {
		if names != nil {
			l.fail(a.Expr.Range(), "Two columns needed", "A translation stands between two vocabularies: columns = [\"ticket\", \"incident\"].")
		}
		return false
	}
	t.Columns = [2]string{names[0].text, names[1].text}
	return true
}

func (l *loader) unmatchedValue(e hcl.Expression) *record.Value {
	v, ok := l.scalar(e)
	switch {
	case !ok || v.Text() == "hold":
		return nil
	case v.Text() == "empty":
		v = record.NullValue
	}
	return &v
}

// scalar evaluates e as one value of a record.
func (l *loader) scalar(e hcl.Expression) (record.Value, bool) {
	v, ok := l.value(e)
	if !ok {
		return record.Value{}, false
	}
	rv, err := fromCty(v)
	if err != nil {
		l.fail(e.Range(), "Not a value", "%v.", err)
		return record.Value{}, false
	}
	return rv, true
}

func (l *loader) lookup(t *Translation, b *hcl.Block) {
	attrs, diags := b.Body.JustAttributes()
	l.add(diags...)
	lk := &Lookup{Refresh: defaultRefresh}
	known := []string{"connection", "collection", "refresh", t.Columns[0], t.Columns[1]}
	for _, a := range inOrder(attrs) {
		switch {
		case a.Name == "connection":
			lk.Connection = l.connectionOf(a.Expr)
		case a.Name == "collection":
			lk.Collection, _ = l.text(a.Expr)
		case a.Name == "refresh":
			if d, ok := l.duration(a.Expr, time.Second); ok {
				lk.Refresh = d
			}
		case a.Name == t.Columns[0]:
			lk.Paths[0], _ = l.text(a.Expr)
		case a.Name == t.Columns[1]:
			lk.Paths[1], _ = l.text(a.Expr)
		default:
			l.fail(a.NameRange, "Unexpected argument", "A lookup has no argument %q.%s", a.Name, didYouMean(a.Name, known))
		}
	}
	for _, name := range known {
		if attrs[name] == nil && name != "refresh" {
			l.fail(b.DefRange, "Missing argument", "The lookup of translation %q does not say %s: add %s = ….", t.Name, name, name)
		}
	}
	t.Lookup = lk
}

func (l *loader) connectionOf(e hcl.Expression) *Connection {
	names := make([]string, len(l.cfg.Connections))
	for i, c := range l.cfg.Connections {
		names[i] = c.Name
	}
	name, ok := l.reference(e, "connection", names)
	if !ok {
		return nil
	}
	c, _ := l.cfg.Connection(name)
	return c
}

func (l *loader) translationOf(e hcl.Expression) *Translation {
	names := make([]string, len(l.cfg.Translations))
	for i, t := range l.cfg.Translations {
		names[i] = t.Name
	}
	name, ok := l.reference(e, "translation", names)
	if !ok {
		return nil
	}
	return l.cfg.Translations[slices.Index(names, name)]
}

// columnsFor tells which column is whose: by name, where a column is called like a side, else by position.
func (t *Translation) columnsFor(sides [2]string) [2]int {
	if t.Columns[0] == sides[1] || t.Columns[1] == sides[0] {
		return [2]int{1, 0}
	}
	return [2]int{0, 1}
}

// words lists a column's values, in the order of the rows, each once.
func (t *Translation) words(column int) []string {
	var words []string
	for _, row := range t.Rows {
		if w := row[column].Plain(); !slices.Contains(words, w) {
			words = append(words, w)
		}
	}
	return words
}

// describe is what a digest of rules has of t.
func (t *Translation) describe() string {
	s := fmt.Sprintf("%q %t", t.Columns, t.Lossy)
	if t.Unmatched != nil {
		s += " unmatched " + t.Unmatched.String()
	}
	for _, row := range t.Rows {
		s += fmt.Sprintf("\n%s %s", row[0], row[1])
	}
	if lk := t.Lookup; lk != nil && lk.Connection != nil {
		s += fmt.Sprintf("\n%q %q %q", lk.Connection.Name, lk.Collection, lk.Paths)
	}
	return s
}

// via is the transform from one side's slot, which stands in column from, to the other side.
func (t *Translation) via(column int, from record.Side, slot int, to target) reconcile.Transform {
	return func(env reconcile.Env) ([]record.Value, error) {
		v, err := t.Translate(column, valueAt(env, from, slot), env.Time)
		if err != nil {
			return nil, err
		}
		if v, err = to.fit(env, v); err != nil {
			return nil, fmt.Errorf("translation %s: %w", t.Name, err)
		}
		return []record.Value{v}, nil
	}
}
