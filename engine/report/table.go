package report

import (
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
)

// A Table is rows under a head, for people.
type Table struct {
	Head []string
	rows []table.Row
	bad  map[int]bool // rows that ask for attention
}

// Row appends a row.
func (t *Table) Row(cells ...string) {
	r := make(table.Row, len(cells))
	for i, c := range cells {
		r[i] = clean(c)
	}
	t.rows = append(t.rows, r)
}

// BadRow appends a row that asks for attention.
func (t *Table) BadRow(cells ...string) {
	if t.bad == nil {
		t.bad = map[int]bool{}
	}
	t.bad[len(t.rows)] = true
	t.Row(cells...)
}

// Print writes the table without borders and without spaces at line ends.
func (t *Table) Print(w io.Writer, st Style) error {
	tw := table.NewWriter()
	style := table.Style{Name: "fieldsync", Box: table.BoxStyle{PaddingRight: "  "}}
	tw.SetStyle(style)
	head := make(table.Row, len(t.Head))
	for i, h := range t.Head {
		head[i] = h
	}
	tw.AppendHeader(head)
	tw.AppendRows(t.rows)
	o := newOut(w, st)
	for i, line := range strings.Split(tw.Render(), "\n") {
		line = strings.TrimRight(line, " ")
		switch {
		case i == 0:
			line = st.paint(bold, line)
		case t.bad[i-1]:
			line = st.paint(red, line)
		}
		o.line(line)
	}
	return o.Flush()
}

// Note prints one line.
func Note(w io.Writer, line string) error {
	_, err := io.WriteString(w, clean(line)+"\n")
	return err
}

// Sum writes the parts of a sentence that are not "".
func Sum(parts ...string) string {
	var kept []string
	for _, p := range parts {
		if p != "" {
			kept = append(kept, p)
		}
	}
	return strings.Join(kept, " · ")
}
