package mapping

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fieldsync/fieldsync/connectors"
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
	add(f.when)
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

func (k *compiler) transform(f *compiledField, to record.Side, r *reconcile.Rule, columns [2]int) reconcile.Transform {
	from := to.Other()
	source, target := r.Paths[from], r.Paths[to]
	types := make([]record.Type, len(target))
	for n, slot := range target {
		types[n] = k.rules.Sides[to].Types[slot]
	}
	switch {
	case f.to[to] != nil:
		return k.computed(f.to[to], types, k.s.Sides[to].Name)
	case f.fieldBlock.to[to] != nil:
		return nil // it did not compile
	case f.via != nil && f.via.Lookup != nil && k.offline:
		name := f.via.Name
		return func(reconcile.Env) ([]record.Value, error) {
			return nil, fmt.Errorf("translation %s is looked up in a live system, which a test does not do", name)
		}
	case f.via != nil:
		return f.via.via(columns[from], from, source[0], types[0])
	}
	return func(env reconcile.Env) ([]record.Value, error) {
		out := make([]record.Value, len(source))
		for n, slot := range source {
			v, err := types[n].Coerce(valueAt(env, from, slot))
			if err != nil {
				return nil, err
			}
			out[n] = v
		}
		return out, nil
	}
}

// computed is the transform of a to_SIDE expression.
func (k *compiler) computed(p *expression.Program, types []record.Type, to string) reconcile.Transform {
	vars := k.getters(p)
	return func(env reconcile.Env) ([]record.Value, error) {
		v, err := p.Run(vars(env), env.Time)
		if err != nil {
			return nil, err
		}
		out := []record.Value{v}
		if len(types) > 1 {
			switch {
			case v.Kind() == record.List:
				out = v.Items()
			case !v.Known():
				out = slices.Repeat(out, len(types))
			}
			if len(out) != len(types) {
				return nil, fmt.Errorf("to_%s gives %d values for %d paths", to, len(out), len(types))
			}
		}
		for n := range out {
			if out[n], err = types[n].Coerce(out[n]); err != nil {
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

// checkVia holds a translation against the field that uses it and the choices of the two systems.
func (k *compiler) checkVia(f *compiledField, columns [2]int) {
	t := f.via
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
				k.fail(t.cells[n][from], "Translation is not one-to-one",
					"%s %s stands for %s %s and for %s %s, and field %q at %s translates it. Remove a row, let the field flow away from the %s only, or say lossy = true in the translation: then the first row is the one that counts, and a value that is still true on the other side is left as it is.",
					names[i], row[from], names[1-i], t.Rows[first][to], names[1-i], row[to], f.name, at(f.at), names[1-i])
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
