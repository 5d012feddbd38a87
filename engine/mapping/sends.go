package mapping

import (
	"slices"

	"github.com/fieldsync/fieldsync/engine/record"
)

// Sends are the values that the mapping names for paths that it writes on a side: those of translation tables, as far as
// they can be reached, and those that on_gone sets. What expressions make of a record is not among them.
func (s *Sync) Sends(side record.Side) map[string][]record.Value {
	sends := map[string][]record.Value{}
	send := func(path string, v record.Value) {
		if !slices.Contains(sends[path], v) {
			sends[path] = append(sends[path], v)
		}
	}
	from := side.Other()
	for _, f := range s.body.fields {
		if !f.leads[side] || f.to[side] != nil || f.via == nil || f.via.Lookup != nil || len(f.paths[side]) != 1 {
			continue
		}
		columns := f.via.columnsFor(s.names())
		seen := map[string]bool{}
		for _, row := range f.via.Rows {
			if word := vocabulary(row[columns[from]]); !seen[word] { // of several rows for a word the first counts
				seen[word] = true
				send(f.paths[side][0].text, row[columns[side]])
			}
		}
	}
	if g := s.body.gone[from]; g != nil {
		for _, set := range g.set {
			send(set.path.text, set.value)
		}
	}
	return sends
}
