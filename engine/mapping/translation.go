package mapping

import (
	"bytes"
	"encoding/csv"
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

// rows reads a list of pairs, cell by cell where it is written out, so that each has its own place.
func (l *loader) rows(t *Translation, e hcl.Expression) {
	list, diags := hcl.ExprList(e)
	if diags.HasErrors() {
		v, ok := l.value(e)
		if !ok {
			return
		}
		if v.IsNull() || !v.CanIterateElements() {
			l.fail(e.Range(), "Rows expected", "rows is a list of pairs: [[\"new\", \"1\"], [\"open\", \"2\"]].")
			return
		}
		for _, row := range v.Elements() {
			list = append(list, hcl.StaticExpr(row, e.Range()))
		}
	}
	for _, row := range list {
		cells, diags := hcl.ExprList(row)
		if diags.HasErrors() {
			v, ok := l.value(row)
			if !ok {
				continue
			}
			cells = nil
			if !v.IsNull() && (v.Type().IsTupleType() || v.Type().IsListType()) {
				for _, c := range v.Elements() {
					cells = append(cells, hcl.StaticExpr(c, row.Range()))
				}
			}
		}
		if len(cells) != 2 {
			l.fail(row.Range(), "Not a pair", "A row has one value for %q and one for %q.", t.Columns[0], t.Columns[1])
			continue
		}
		left, ok := l.scalar(cells[0])
		right, good := l.scalar(cells[1])
		if ok && good {
			t.Rows = append(t.Rows, [2]record.Value{left, right})
			t.cells = append(t.cells, [2]hcl.Range{cells[0].Range(), cells[1].Range()})
		}
	}
}

// csvRows reads a CSV file whose first line names the columns; an empty cell is null.
func (l *loader) csvRows(t *Translation, e hcl.Expression, named bool) {
	s, ok := l.text(e)
	if !ok {
		return
	}
	name := l.path(s)
	src, err := readRegular(name)
	if err != nil {
		l.fail(e.Range(), "File cannot be read", "%v. A relative path starts at the directory of the mapping files.", err)
		return
	}
	l.cfg.Inputs = append(l.cfg.Inputs, name)
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(src, []byte("\ufeff"))))
	r.TrimLeadingSpace = true
	lines, err := r.ReadAll()
	if err != nil {
		l.fail(e.Range(), "Not a CSV file", "%s: %v.", s, err)
		return
	}
	if len(lines) == 0 {
		l.fail(e.Range(), "Empty file", "%s has no lines. Its first line names the columns, such as \"ticket,incident\".", s)
		return
	}
	head := lines[0]
	if !named {
		if len(head) != 2 || head[0] == head[1] {
			l.fail(e.Range(), "Two columns needed", "%s has the columns %s. Say which two are meant: columns = [\"…\", \"…\"].", s, allOf(head))
			return
		}
		t.Columns = [2]string{head[0], head[1]}
	}
	var column [2]int
	for i, c := range t.Columns {
		if column[i] = slices.Index(head, c); column[i] < 0 {
			l.fail(e.Range(), "Column not in the file", "The first line of %s has no column %q.%s", s, c, didYouMean(c, head))
			return
		}
	}
	for _, line := range lines[1:] {
		var row [2]record.Value
		for i := range row {
			v, err := record.Of(line[column[i]])
			if err != nil {
				l.fail(e.Range(), "Not a value", "%s: %v.", s, err)
				return
			}
			if v.Text() == "" {
				v = record.NullValue
			}
			row[i] = v
		}
		t.Rows = append(t.Rows, row)
		t.cells = append(t.cells, [2]hcl.Range{e.Range(), e.Range()})
	}
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

// fill builds the indexes from the rows.
func (t *Translation) fill() {
	for c := range 2 {
		t.index[c], t.twice[c] = map[string]int{}, map[string]int{}
		for i, row := range t.Rows {
			w := vocabulary(row[c])
			if _, ok := t.index[c][w]; !ok {
				t.index[c][w] = i
			} else if _, ok := t.twice[c][w]; !ok {
				t.twice[c][w] = i
			}
		}
	}
}

// checkRows finds rows that say the same twice; what is merely not one-to-one depends on the field that uses it.
func (l *loader) checkRows(t *Translation) {
	seen := map[[2]string]hcl.Range{}
	for i, row := range t.Rows {
		w := [2]string{vocabulary(row[0]), vocabulary(row[1])}
		if first, ok := seen[w]; ok {
			l.fail(hcl.RangeBetween(t.cells[i][0], t.cells[i][1]), "Second row of this kind",
				"The row %s, %s stands at %s already. Remove one of them.", row[0], row[1], at(first))
			continue
		}
		seen[w] = t.cells[i][0]
	}
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
