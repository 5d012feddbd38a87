package mapping

import (
	"bytes"
	"encoding/csv"
	"slices"

	"github.com/hashicorp/hcl/v2"

	"github.com/fieldsync/fieldsync/engine/record"
)

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
