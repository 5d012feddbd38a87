package mapping

import (
	"fmt"
	"slices"

	"github.com/fieldsync/fieldsync/engine/mapping/expression"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// rule builds a field's rule on slots.
func (k *compiler) rule(f *compiledField) *reconcile.Rule {
	r := &reconcile.Rule{
		Name: f.name, At: at(f.at),
		Strength: f.strength, Drift: f.drift, Sensitive: f.sensitive,
		When: k.condition(f.when),
	}
	fmt.Fprintf(&k.digest, "field %q %v %d %d\n", f.name, f.leads, f.strength, f.drift)
	for i := range 2 {
		for _, p := range f.paths[i] {
			r.Paths[i] = append(r.Paths[i], k.slots[i][p.text])
		}
		fmt.Fprintf(&k.digest, "paths %q\n", texts(f.paths[i]))
		k.note("to", f.fieldBlock.to[i])
	}
	k.note("when", f.fieldBlock.when)
	k.note("resolve", f.fieldBlock.resolve)
	columns := [2]int{}
	if f.via != nil {
		columns = f.via.columnsFor(k.s.names())
		fmt.Fprintf(&k.digest, "via %v %s\n", columns, f.via.describe())
		k.checkVia(f, columns)
		if f.via.Lookup != nil && !slices.Contains(k.lookups, f.via) {
			k.lookups = append(k.lookups, f.via)
		}
	}
	for i := range 2 {
		if f.leads[i] {
			r.To[i] = k.transform(f, record.Side(i), r, columns)
		}
	}
	for i := range 2 {
		k.reads(f, i, r)
		if f.leads[i] && f.via == nil && f.fieldBlock.to[i] == nil {
			k.checkCopy(f, i)
		}
	}
	r.Policy = k.policy(f, r, columns)
	return r
}

func texts(refs []ref) []string {
	out := make([]string, len(refs))
	for i, r := range refs {
		out[i] = r.text
	}
	return out
}

// reads fills in what counts as a move of side i: the rule's own paths first, then what its expressions read.
func (k *compiler) reads(f *compiledField, i int, r *reconcile.Rule) {
	var slots []int
	add := func(p *expression.Program) {
		if p == nil {
			return
		}
		paths := p.Reads()[k.s.Sides[i].Name]
		if slices.Contains(paths, "") {
			paths = k.paths[i] // the whole record
		}
		for _, path := range paths {
			slots = append(slots, k.slots[i][path])
		}
	}
	add(f.to[1-i])
	if len(r.Paths[i]) == 0 {
		// A computed one-way field is said to be about what its expression reads.
		slices.Sort(slots)
		r.Paths[i] = slices.Compact(slices.Clone(slots))
	}
	if !f.leads[0] || !f.leads[1] {
		// In a two-way rule a condition that turns true must not make one side's old value look newer than
		// what people wrote on the other meanwhile.
		add(f.when)
	}
	slices.Sort(slots)
	r.Reads[i] = slices.Clone(r.Paths[i])
	for _, slot := range slots {
		if !slices.Contains(r.Reads[i], slot) {
			r.Reads[i] = append(r.Reads[i], slot)
		}
	}
}

// valueAt is what a side's slot holds; null where the side has no record.
func valueAt(env reconcile.Env, side record.Side, slot int) record.Value {
	values := env.Values[side]
	if values == nil {
		return record.NullValue
	}
	if slot >= len(values) {
		return record.Value{}
	}
	return values[slot]
}

// A target is a slot that a transform gives a value for.
type target struct {
	side record.Side
	slot int
	form record.Type
}

func (k *compiler) targets(side record.Side, slots []int) []target {
	out := make([]target, len(slots))
	for n, slot := range slots {
		out[n] = target{side, slot, k.rules.Sides[side].Types[slot]}
	}
	return out
}

// fit gives v the form of the slot. Where no type says which that is, a value that reads like the one that is
// shown is the same: 2 and "2" differ in spelling only, and a test, which knows no types, decides as a run does.
func (t target) fit(env reconcile.Env, v record.Value) (record.Value, error) {
	if t.form.Kind != record.Absent {
		return t.form.Coerce(v)
	}
	if shown := valueAt(env, t.side, t.slot); plainKind(v) && plainKind(shown) && vocabulary(v) == vocabulary(shown) {
		return shown, nil
	}
	return v, nil
}

func plainKind(v record.Value) bool {
	switch v.Kind() {
	case record.Bool, record.Int, record.Float, record.Text:
		return true
	}
	return false
}

func (k *compiler) transform(f *compiledField, to record.Side, r *reconcile.Rule, columns [2]int) reconcile.Transform {
	from := to.Other()
	source, targets := r.Paths[from], k.targets(to, r.Paths[to])
	switch {
	case f.to[to] != nil:
		return k.computed(f.to[to], targets, k.s.Sides[to].Name)
	case f.fieldBlock.to[to] != nil:
		return nil // it did not compile
	case f.via != nil && f.via.Lookup != nil && k.purpose == forTest:
		name, slot := f.via.Name, source[0]
		return func(env reconcile.Env) ([]record.Value, error) {
			if valueAt(env, from, slot).Empty() {
				return []record.Value{record.NullValue}, nil
			}
			return nil, fmt.Errorf("translation %s is looked up in a live system, which a test does not do", name)
		}
	case f.via != nil:
		return f.via.via(columns[from], from, source[0], targets[0])
	}
	return func(env reconcile.Env) ([]record.Value, error) {
		out := make([]record.Value, len(source))
		for n, slot := range source {
			v, err := targets[n].fit(env, valueAt(env, from, slot))
			if err != nil {
				return nil, err
			}
			out[n] = v
		}
		return out, nil
	}
}

// computed is the transform of a to_SIDE expression.
func (k *compiler) computed(p *expression.Program, targets []target, to string) reconcile.Transform {
	vars := k.getters(p)
	return func(env reconcile.Env) ([]record.Value, error) {
		v, err := p.Run(vars(env), env.Time)
		if err != nil {
			return nil, err
		}
		out := []record.Value{v}
		if len(targets) > 1 {
			switch {
			case v.Kind() == record.List:
				out = v.Items()
			case !v.Known():
				out = slices.Repeat(out, len(targets))
			}
			if len(out) != len(targets) {
				return nil, fmt.Errorf("to_%s gives %d values for %d paths", to, len(out), len(targets))
			}
		}
		for n := range out {
			if out[n], err = targets[n].fit(env, out[n]); err != nil {
				return nil, fmt.Errorf("to_%s: %w", to, err)
			}
		}
		return out, nil
	}
}

// getters gives a program the records of an Env. What a program does not read it does not get.
func (k *compiler) getters(p *expression.Program) func(reconcile.Env) map[string]expression.Getter {
	reads := p.Reads()
	names, slots := k.s.names(), k.slots
	return func(env reconcile.Env) map[string]expression.Getter {
		vars := make(map[string]expression.Getter, 2)
		for i, name := range names {
			if env.Values[i] == nil || len(reads[name]) == 0 {
				continue
			}
			values := env.Values[i]
			vars[name] = func(path string) record.Value {
				slot, ok := slots[i][path]
				if !ok || slot >= len(values) {
					return record.Value{}
				}
				return values[slot]
			}
		}
		return vars
	}
}

func (k *compiler) condition(p *expression.Program) reconcile.Condition {
	if p == nil {
		return nil
	}
	vars := k.getters(p)
	return func(env reconcile.Env) (bool, error) {
		v, err := p.Run(vars(env), env.Time)
		if err != nil {
			return false, err
		}
		if !v.Known() {
			return false, errUnknown
		}
		return v.Bool(), nil
	}
}

var errUnknown = fmt.Errorf("a value that decides this could not be read")
