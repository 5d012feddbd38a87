package mapping

import (
	"fmt"
	"strings"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// collect notes and checks the paths that stand outside expressions.
func (k *compiler) collect() {
	body := k.s.body
	for _, m := range body.matches {
		for i, p := range m.paths {
			k.use(i, p)
		}
	}
	for _, f := range body.fields {
		for i := range 2 {
			for _, p := range f.paths[i] {
				k.use(i, p)
				if f.leads[i] {
					k.write(i, p)
					if f.strength != reconcile.OnCreate {
						k.once(i, p)
					}
				}
			}
		}
	}
	for i, g := range body.gone {
		if g == nil {
			continue
		}
		for _, set := range g.set {
			k.use(1-i, set.path)
			k.writable(1-i, set.path)
			k.once(1-i, set.path)
		}
	}
}

// use notes a path and checks that it exists.
func (k *compiler) use(side int, p ref) {
	k.named[side][p.text] = true
	sc := k.schema[side]
	if sc == nil {
		return
	}
	if _, ok := sc.Field(p.text); ok || sc.Hidden {
		return
	}
	known := make([]string, len(sc.Fields))
	for i, f := range sc.Fields {
		known[i] = f.Path
		// People copy the label from the screen.
		if strings.EqualFold(f.Label, p.text) {
			k.unknown(side, p, fmt.Sprintf(" %q is the label of %q; write that.", f.Label, f.Path))
			return
		}
	}
	if first, _, dotted := strings.Cut(p.text, "."); dotted {
		if f, ok := sc.Field(first); ok && (f.Reference != "" || f.Type.Kind == record.Object || f.Type.Kind == record.Absent) {
			return // a step into a reference or an object; its members are not described here
		}
	}
	k.unknown(side, p, suggestion(p.text, known))
}

func (k *compiler) unknown(side int, p ref, hint string) {
	s := k.s.Sides[side]
	if k.schema[side].Open {
		k.add(warn(p.at, "Path is not described", "The collection %q of side %q does not describe %q; it may have fields that this user cannot see.%s", s.Collection, s.Name, p.text, hint))
		return
	}
	k.fail(p.at, "Unknown path", "The collection %q of side %q has no field %q.%s", s.Collection, s.Name, p.text, hint)
}

// beyond returns the field at the head of a path that leads through it, a reference, into another record.
func (k *compiler) beyond(side int, path string) (connectors.Field, bool) {
	sc := k.schema[side]
	head, _, dotted := strings.Cut(path, ".")
	if sc == nil || !dotted {
		return connectors.Field{}, false
	}
	if _, own := sc.Field(path); own {
		return connectors.Field{}, false
	}
	f, ok := sc.Field(head)
	return f, ok && f.Reference != ""
}

// write notes that a field writes p, and refuses a second writer.
func (k *compiler) write(side int, p ref) {
	if first, ok := k.writers[side][p.text]; ok {
		k.fail(p.at, "Two rules write one path", "%s.%s is written by the field at %s too. Keep one of them, or let one of them flow the other way.", k.s.Sides[side].Name, p.text, at(first))
		return
	}
	k.writers[side][p.text] = p.at
	k.writable(side, p)
}

// once refuses writes of p to records that are there already, where the system takes it with a new one only.
func (k *compiler) once(side int, p ref) {
	if k.schema[side] == nil {
		return
	}
	if f, _ := k.schema[side].Field(p.text); f.Once {
		s := k.s.Sides[side]
		k.fail(p.at, "Path is set once", "%q of %s can be given to new records and is never changed. Let the field flow to %s only, with strength = \"on_create\", or away from it.", p.text, s.Collection, s.Name)
	}
}

// writable checks that p may be written at all.
func (k *compiler) writable(side int, p ref) {
	sc := k.schema[side]
	if sc == nil {
		return
	}
	s := k.s.Sides[side]
	f, _ := sc.Field(p.text)
	through, beyond := k.beyond(side, p.text)
	switch {
	case beyond:
		k.fail(p.at, "Path lies in another record", "%q leads through the reference %q into a record of %q, which this sync does not write. Write the reference itself: %s = %q, via = translation.NAME, with a lookup of %q from %s to its key. Or let the field flow away from %s.",
			p.text, through.Path, through.Reference, s.Name, through.Path, through.Reference, strings.TrimPrefix(p.text, through.Path+"."), s.Name)
	case p.text == sc.Key:
		k.fail(p.at, "A key cannot be written", "%q is the key of %s: the system gives it to a record once. To pair records by it, use it in a match block; to show it on the other side, let the field flow away from %s.", p.text, s.Collection, s.Name)
	case f.Append:
		k.fail(p.at, "A journal cannot be kept in step", "Every write to %q adds an entry and replaces none, so its content never equals another field. Carry entries with a comments block.", p.text)
	case f.ReadOnly:
		k.fail(p.at, "Path is read-only", "%q of %s is set by the system, or this user may not write it. Let the field flow away from %s, or ask for the right.", p.text, s.Collection, s.Name)
	}
}
