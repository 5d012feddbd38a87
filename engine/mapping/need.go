package mapping

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/mapping/expression"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A need is a value that the scope of a side asks of each of its records: one that is created has to be given it, or it
// would be out of scope at once.
type need struct {
	path  string
	value record.Value
	by    string // "where" or "query"
	at    hcl.Range
}

// A reach is what is known of the scope of a side.
type reach struct {
	needs  []need
	choice []need // paths of which it wants one value of some
	whole  bool   // needs and where say all of it: a query asks for nothing else
}

// reachOf takes apart what a side's where and query ask of its records. where is nil where there is none.
func (k *compiler) reachOf(i int, where *expression.Program) reach {
	side := k.s.Sides[i]
	r := reach{whole: true}
	if where != nil {
		at := k.s.body.where[i].Range()
		t := where.Terms()
		for _, x := range t.Values {
			r.needs = append(r.needs, need{x.Path, x.Value, "where", at})
		}
		for _, x := range t.Choice {
			r.choice = append(r.choice, need{path: x.Path, by: "where", at: at})
		}
	}
	if side.Query == "" {
		return r
	}
	t := connectors.Terms{}
	if side.Connection != nil {
		if a, ok := side.Connection.Config.(connectors.Admitter); ok {
			t = a.Admits(side.Collection, side.Query)
		}
	}
	r.whole = t.Whole
	for path, v := range t.Values {
		own, ok := k.ownName(i, path)
		if !ok {
			r.whole = false
			continue
		}
		if slices.ContainsFunc(r.needs, func(n need) bool { return n.path == own }) {
			continue // where asks for it, and says how it is compared
		}
		r.needs = append(r.needs, need{own, v, "query", k.s.body.query[i]})
	}
	for _, path := range t.Choice {
		if own, ok := k.ownName(i, path); ok {
			r.choice = append(r.choice, need{path: own, by: "query", at: k.s.body.query[i]})
		}
	}
	slices.SortStableFunc(r.needs, func(a, b need) int { return strings.Compare(a.path, b.path) })
	return r
}

// ownName is a path as the rules and the schema write it: databases take a column's name in any case.
func (k *compiler) ownName(i int, path string) (string, bool) {
	if k.named[i][path] {
		return path, true
	}
	for name := range k.named[i] {
		if strings.EqualFold(name, path) {
			return name, true
		}
	}
	sc := k.schema[i]
	if sc == nil {
		return path, true
	}
	if _, ok := sc.Field(path); ok {
		return path, true
	}
	for _, f := range sc.Fields {
		if strings.EqualFold(f.Path, path) {
			return f.Path, true
		}
	}
	return path, sc.Hidden || sc.Open
}

// reaches takes the scopes apart and notes the paths that new records are given. What the system sets by itself, and
// nobody can, is left to it.
func (k *compiler) reaches(where [2]*expression.Program) {
	for i := range 2 {
		k.reach[i] = k.reachOf(i, where[i])
		if !k.makes(i) {
			continue
		}
		for _, n := range k.reach[i].needs {
			if k.gives(i, n) {
				k.named[i][n.path] = true
			}
		}
	}
}

// gives reports whether a create on a side can carry what its scope asks for.
func (k *compiler) gives(i int, n need) bool {
	if sc := k.schema[i]; sc != nil {
		if f, _ := sc.Field(n.path); n.path == sc.Key || f.ReadOnly || f.Append {
			return false
		}
		if _, beyond := k.beyond(i, n.path); beyond {
			return false
		}
	}
	_, err := k.typeOf(i, n.path).Coerce(n.value)
	return err == nil
}

// entry puts into the rules of a side what its scope asks of new records.
func (k *compiler) entry(i int, where *expression.Program) {
	side := &k.rules.Sides[i]
	side.Sure = k.reach[i].whole
	if k.s.Sides[i].Query != "" {
		side.QueryAt = at(k.s.body.query[i])
	}
	if where != nil {
		side.WhereAt = at(k.s.body.where[i].Range())
		for _, path := range where.Reads()[side.Name] {
			if slot, ok := k.slots[i][path]; ok {
				side.Scope = append(side.Scope, slot)
			}
		}
	}
	if !k.makes(i) {
		return
	}
	for _, n := range k.reach[i].needs {
		if !k.gives(i, n) {
			side.Sure = side.Sure && n.by == "where"
			continue
		}
		v, _ := k.typeOf(i, n.path).Coerce(n.value)
		side.Needs = append(side.Needs, reconcile.Need{Slot: k.slots[i][n.path], To: v, By: n.by, At: at(n.at)})
		fmt.Fprintf(&k.digest, "need %q %s %s\n", n.path, v, n.by)
	}
	k.chosen(i)
}

// chosen warns of a path of which the scope wants one value of some, and no rule gives new records any.
func (k *compiler) chosen(i int) {
	s := k.s.Sides[i]
	if !s.Create {
		return
	}
	for _, c := range k.reach[i].choice {
		head, _, _ := strings.Cut(c.path, ".")
		filled := func(path string) bool {
			_, written := k.writers[i][path]
			return written || slices.ContainsFunc(k.s.body.matches, func(m matchBlock) bool { return m.paths[i].text == path && k.carriesMarker(i, path) }) ||
				slices.ContainsFunc(k.reach[i].needs, func(n need) bool { return n.path == path })
		}
		if filled(c.path) || filled(head) {
			continue
		}
		if sc := k.schema[i]; sc != nil {
			if f, ok := sc.Field(head); ok && f.ReadOnly || head == sc.Key {
				continue
			}
		}
		k.add(warn(c.at, "New records may be out of scope", "This %s wants one value of some in %q, and no field gives it to a new %s: unless the system sets it, what is created here is out of scope at once, and held. Add field %q { flow = \"%s\", %s = %q, to_%s = \"'…'\" }, each argument on a line of its own.",
			c.by, head, s.Name, head, k.s.arrow(record.Side(i)), s.Name, head, s.Name))
	}
}
