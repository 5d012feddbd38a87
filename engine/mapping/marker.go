package mapping

import (
	"fmt"
	"slices"

	"github.com/fieldsync/fieldsync/engine/reconcile"
)

// makes reports whether records of this side may be created, or made again after they were deleted.
func (k *compiler) makes(side int) bool {
	g := k.s.body.gone[side]
	return k.s.Sides[side].Create || g != nil && g.then == reconcile.GoneRecreate
}

// carriesMarker reports whether a create on this side can write path.
func (k *compiler) carriesMarker(side int, path string) bool {
	sc := k.schema[side]
	if sc == nil {
		return true
	}
	f, _ := sc.Field(path)
	_, beyond := k.beyond(side, path)
	return path != sc.Key && !f.ReadOnly && !f.Append && !beyond
}

func (k *compiler) matches() {
	var possible [2]bool
	for _, m := range k.s.body.matches {
		out := reconcile.Match{At: at(m.at)}
		for i, p := range m.paths {
			out.Slots[i] = k.slots[i][p.text]
			out.Marker[i] = k.carriesMarker(i, p.text)
			if out.Marker[i] && k.makes(i) {
				k.keepsMarker(i, m)
			}
			possible[i] = possible[i] || out.Marker[i]
		}
		k.rules.Match = append(k.rules.Match, out)
		fmt.Fprintf(&k.digest, "match %q %q %v\n", m.paths[0].text, m.paths[1].text, out.Marker)
	}
	for i, s := range k.s.Sides {
		if !k.makes(i) || len(k.s.body.matches) == 0 || possible[i] {
			continue
		}
		where, way := k.s.body.create[i], ""
		if !s.Create {
			where, way = k.s.body.gone[i].thenAt, ", or write then = \"detach\""
		}
		k.fail(where, "No marker for new records",
			"A record created in %s must carry a value that tells whose twin it is, or a crash could create it twice; no match block names a path of %s that can be written. Add match { %s = \"PATH\", %s = \"KEY\" } with a path of %s that is free for it, each on a line of its own%s.",
			s.Collection, s.Name, s.Name, k.s.Sides[1-i].Name, s.Collection, way)
	}
}

// keepsMarker reports a field that would write something else over the marker of records created on side.
func (k *compiler) keepsMarker(side int, m matchBlock) {
	for _, f := range k.s.body.fields {
		n := slices.IndexFunc(f.paths[side], func(p ref) bool { return p.text == m.paths[side].text })
		if n < 0 || !f.leads[side] {
			continue
		}
		if f.to[side] == nil && f.via == nil && f.paths[1-side][n].text == m.paths[1-side].text {
			continue // it keeps the very value there
		}
		k.fail(f.paths[side][n].at, "Field writes over the marker",
			"A record created in %s carries %s.%s in %q (match at %s), so that it is found again after a crash; field %q would write something else there. Give one of the two another path.",
			k.s.Sides[side].Collection, k.s.Sides[1-side].Name, m.paths[1-side].text, m.paths[side].text, at(m.at), f.name)
	}
}

// required warns of paths that a new record needs and nothing fills. It may be that the system fills them itself.
func (k *compiler) required() {
	for i, s := range k.s.Sides {
		if !s.Create || k.schema[i] == nil {
			continue
		}
		if key, ok := k.schema[i].Field(k.schema[i].Key); ok && key.Required && !key.ReadOnly {
			k.add(warn(k.s.body.create[i], "New records have no key", "A new record of %s needs a value in %q, its key, and %s says no default for it. Unless the system fills it itself, creates will be refused: give %q a default there.",
				s.Collection, key.Path, s.Connection.Name, key.Path))
		}
		var missing []string
		for _, f := range k.schema[i].Fields {
			if f.Required && !f.ReadOnly && f.Path != k.schema[i].Key && !slices.Contains(k.writes[i], f.Path) {
				missing = append(missing, f.Path)
			}
		}
		if missing, more := few(missing); len(missing) > 0 {
			k.add(warn(k.s.body.create[i], "Required path is not written", "A new record of %s needs %s%s, which no field writes. Unless the system fills them itself, creates will be refused: add a field for each.",
				s.Collection, allOf(missing), more))
		}
	}
}
