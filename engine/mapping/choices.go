package mapping

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// checkVia holds a translation against the field that uses it and the choices of the two systems.
func (k *compiler) checkVia(f *compiledField, columns [2]int) {
	t := f.via
	k.checkUnmatched(f)
	if t.Lookup != nil {
		return
	}
	names := k.s.names()
	for i := range 2 { // from side i
		if !f.leads[1-i] || f.to[1-i] != nil {
			continue
		}
		from, to := columns[i], columns[1-i]
		if !t.Lossy {
			for n, row := range t.Rows {
				w := vocabulary(row[from])
				first := t.index[from][w]
				if n == first || t.twice[from][w] != n || vocabulary(t.Rows[first][to]) == vocabulary(row[to]) {
					continue
				}
				way := ""
				if f.twoWay() {
					way = fmt.Sprintf(" let the field go one way, flow = %q,", k.s.arrow(record.Side(i)))
				}
				k.fail(t.cells[n][from], "Translation is not one-to-one",
					"%s %s stands for %s %s and for %s %s, and field %q at %s has to choose. Remove a row,%s or say lossy = true in the translation: then the first row is the one that counts, and a value that is still true on the other side is left as it is.",
					names[i], row[from], names[1-i], t.Rows[first][to], names[1-i], row[to], f.name, at(f.at), way)
			}
		}
		k.checkChoices(f, i, from)
	}
	for i := range 2 {
		for n, row := range t.Rows {
			if row[columns[i]].Empty() {
				continue
			}
			path := f.paths[i][0].text
			v, err := k.typeOf(i, path).Coerce(row[columns[i]])
			if err != nil {
				k.fail(t.cells[n][columns[i]], "Wrong type of value", "%s.%s: %v.", names[i], path, err)
				continue
			}
			k.inChoices(i, path, v, t.cells[n][columns[i]])
		}
	}
}

// checkUnmatched holds the value for what has no row against the side that it is written to. It belongs to one
// vocabulary, so a field that translates both ways has no use for it.
func (k *compiler) checkUnmatched(f *compiledField) {
	t := f.via
	if t.Unmatched == nil || t.Unmatched.Empty() {
		return
	}
	var to []int
	for i := range 2 {
		if f.leads[i] && f.fieldBlock.to[i] == nil {
			to = append(to, i)
		}
	}
	if len(to) == 2 {
		k.fail(f.viaAt, "Unmatched value for both sides",
			"Translation %q writes %s for a value without a row, and field %q translates both ways: %s is a word of one side only. In the translation, write unmatched = \"hold\" or \"empty\", or let the field go one way, flow = %q.",
			t.Name, *t.Unmatched, f.name, *t.Unmatched, k.s.arrow(record.Right))
		return
	}
	for _, i := range to {
		path := f.paths[i][0].text
		v, err := k.typeOf(i, path).Coerce(*t.Unmatched)
		if err != nil {
			k.fail(t.unmatchedAt, "Wrong type of value", "%s.%s: %v.", k.s.Sides[i].Name, path, err)
			continue
		}
		k.inChoices(i, path, v, t.unmatchedAt)
	}
}

// checkChoices warns of values that the source side may show and no row translates.
func (k *compiler) checkChoices(f *compiledField, side, column int) {
	if k.schema[side] == nil || f.via.Unmatched != nil {
		return
	}
	path := f.paths[side][0].text
	field, _ := k.schema[side].Field(path)
	var missing []string
	for _, c := range field.Choices {
		if _, ok := f.via.row(column, c.Value); !ok && !c.Value.Empty() {
			missing = append(missing, choice(c))
		}
	}
	if len(missing) == 0 {
		return
	}
	missing, more := few(missing)
	k.add(warn(f.viaAt, "Values without a row", "%s.%s can be %s%s, which translation %q does not have: field %q is held on such records. Add rows, or say what stands for them: unmatched = \"empty\", or a value.",
		k.s.Sides[side].Name, path, strings.Join(missing, ", "), more, f.via.Name, f.name))
}

// choice shows a choice with its label.
func choice(c connectors.Choice) string {
	if c.Label == "" || c.Label == c.Value.Plain() {
		return fmt.Sprintf("%q", c.Value.Plain())
	}
	return fmt.Sprintf("%q (%s)", c.Value.Plain(), c.Label)
}

// few cuts a long list, and says how much was cut.
func few(list []string) ([]string, string) {
	const most = 12
	if len(list) <= most {
		return list, ""
	}
	return list[:most], fmt.Sprintf(" and %d more", len(list)-most)
}

// checkCopy warns of values that one side may show and the other refuses.
func (k *compiler) checkCopy(f *compiledField, to int) {
	if k.schema[0] == nil || k.schema[1] == nil {
		return
	}
	for n, p := range f.paths[to] {
		target, _ := k.schema[to].Field(p.text)
		source, _ := k.schema[1-to].Field(f.paths[1-to][n].text)
		if !target.Closed || len(target.Choices) == 0 {
			continue
		}
		var strange []string
		for _, c := range source.Choices {
			if !slices.ContainsFunc(target.Choices, func(t connectors.Choice) bool { return vocabulary(t.Value) == vocabulary(c.Value) }) {
				strange = append(strange, choice(c))
			}
		}
		if strange, more := few(strange); len(strange) > 0 {
			k.add(warn(p.at, "Values that are refused", "%s.%s can be %s%s, which %s.%s does not take: field %q cannot carry them. Put a translation between the two: via = translation.NAME.",
				k.s.Sides[1-to].Name, source.Path, strings.Join(strange, ", "), more, k.s.Sides[to].Name, p.text, f.name))
		}
	}
}

// inChoices reports a value that a closed list of choices does not have.
func (k *compiler) inChoices(side int, path string, v record.Value, where hcl.Range) {
	if k.schema[side] == nil || v.Empty() {
		return
	}
	f, ok := k.schema[side].Field(path)
	if !ok || !f.Closed || len(f.Choices) == 0 {
		return
	}
	var known []string
	for _, c := range f.Choices {
		if vocabulary(c.Value) == vocabulary(v) {
			return
		}
		known = append(known, c.Value.Plain())
		if strings.EqualFold(c.Label, v.Plain()) {
			k.fail(where, "Not one of the choices", "%s.%s never holds %s: that is the label of %q; write that.", k.s.Sides[side].Name, path, v, c.Value.Plain())
			return
		}
	}
	k.fail(where, "Not one of the choices", "%s.%s holds %s, never %s.%s", k.s.Sides[side].Name, path, oneOf(known), v, suggestion(v.Plain(), known))
}
