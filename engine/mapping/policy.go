package mapping

import (
	"fmt"
	"slices"

	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// policy builds what decides a conflict.
func (k *compiler) policy(f *compiledField, r *reconcile.Rule, columns [2]int) reconcile.Policy {
	if !f.twoWay() {
		return reconcile.Policy{}
	}
	name := f.conflict
	if name == "" {
		name = k.s.body.policy
	}
	out := k.policyOf(name)
	out.Deadline = f.deadline
	if f.resolve != nil {
		out.Kind = reconcile.Resolve
		out.Resolve = k.resolver(f, r)
	}
	if f.order != nil {
		out.Rank = k.rank(f, columns)
	}
	if f.fallback != "" {
		fallback := k.policyOf(f.fallback)
		fallback.Rank = out.Rank
		out.Fallback = &fallback
	}
	fmt.Fprintf(&k.digest, "policy %q %q %s\n", name, f.fallback, f.deadline)
	for _, o := range f.order {
		fmt.Fprintf(&k.digest, "order %s\n", o.value)
	}
	return out
}

func (k *compiler) policyOf(name string) reconcile.Policy {
	kind, ok := policyKinds[name]
	if !ok {
		return reconcile.Policy{Kind: reconcile.TakeSide, Side: k.s.side(name)}
	}
	return reconcile.Policy{Kind: kind}
}

// resolver gives what resolve = "expr" says: a side's name, the values of a side, or new values, which take
// the form of the left side.
func (k *compiler) resolver(f *compiledField, r *reconcile.Rule) reconcile.Transform {
	if f.resolve == nil {
		return nil // it did not compile
	}
	vars := k.getters(f.resolve)
	names, paths, p := k.s.names(), r.Paths, f.resolve
	types := make([]record.Type, len(paths[0]))
	for n, slot := range paths[0] {
		types[n] = k.rules.Sides[0].Types[slot]
	}
	return func(env reconcile.Env) ([]record.Value, error) {
		v, err := p.Run(vars(env), env.Time)
		if err != nil {
			return nil, err
		}
		if v.Kind() == record.Text && slices.Contains(names[:], v.Text()) {
			return []record.Value{v}, nil
		}
		out := []record.Value{v}
		if len(types) > 1 {
			out = v.Items()
		}
		if len(out) != len(types) {
			return nil, fmt.Errorf("resolve gives %d values for %d paths", len(out), len(types))
		}
		for _, side := range record.Sides {
			if slices.EqualFunc(out, paths[side], func(v record.Value, slot int) bool { return v == valueAt(env, side, slot) }) {
				return out, nil
			}
		}
		for n := range out {
			if out[n], err = types[n].Coerce(out[n]); err != nil {
				return nil, fmt.Errorf("resolve: %w", err)
			}
		}
		return out, nil
	}
}

// rank places the values of both sides in the declared order, which is written in the words of one of them.
func (k *compiler) rank(f *compiledField, columns [2]int) func(record.Side, []record.Value) (int, bool) {
	var ranks [2]map[string]int
	own := map[string]int{}
	for n, o := range f.order {
		own[vocabulary(o.value)] = n
	}
	switch {
	case f.via == nil && (f.fieldBlock.to[0] != nil || f.fieldBlock.to[1] != nil):
		k.fail(f.orderAt, "Order cannot be compared", "Field %q computes its values with to_…, so an order written in the words of one side says nothing of the other. Use via, or decide with resolve = \"…\".", f.name)
		return nil
	case f.via == nil:
		for i := range 2 {
			for _, o := range f.order {
				k.inChoices(i, f.paths[i][0].text, o.value, o.valueAt)
			}
		}
		ranks = [2]map[string]int{own, own}
	case f.via.Lookup != nil:
		k.fail(f.orderAt, "Order cannot be compared", "Translation %q is a live table; its values have no declared order.", f.via.Name)
		return nil
	default:
		side, ok := k.orderSide(f, columns)
		if !ok {
			return nil
		}
		ranks[side], ranks[1-side] = own, map[string]int{}
		for _, row := range f.via.Rows {
			far := vocabulary(row[columns[1-side]])
			// The first row with a value is its way back, so it is also its place.
			if _, done := ranks[1-side][far]; done {
				continue
			}
			if n, ok := own[vocabulary(row[columns[side]])]; ok {
				ranks[1-side][far] = n
			}
		}
	}
	return func(side record.Side, values []record.Value) (int, bool) {
		if len(values) == 0 {
			return 0, false
		}
		n, ok := ranks[side][vocabulary(values[0])]
		return n, ok
	}
}

// orderSide finds the side in whose words the order is written.
func (k *compiler) orderSide(f *compiledField, columns [2]int) (int, bool) {
	best, strangers := 0, []setting(nil)
	for i := range 2 {
		var odd []setting
		for _, o := range f.order {
			if _, ok := f.via.row(columns[i], o.value); !ok {
				odd = append(odd, o)
			}
		}
		if len(odd) == 0 {
			return i, true
		}
		if i == 0 || len(odd) < len(strangers) {
			best, strangers = i, odd
		}
	}
	words := f.via.words(columns[best])
	for _, o := range strangers {
		k.fail(o.valueAt, "Not in the translation", "Column %q of translation %q has no %s, so it has no place in this order.%s",
			f.via.Columns[columns[best]], f.via.Name, o.value, didYouMean(o.value.Plain(), words))
	}
	return 0, false
}
