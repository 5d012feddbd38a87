package mapping

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// fieldWords are the arguments of a field whose names do not depend on the sides.
var fieldWords = []string{"flow", "via", "conflict", "order", "resolve", "fallback", "deadline", "when", "strength", "drift", "sensitive"}

// Names of conflict policies beside those of the sides. The plain ones may be a sync's default; the others need
// an order, which belongs to a field.
var (
	plainPolicies   = []string{"ask", "newest", "merge", "union"}
	orderedPolicies = []string{"highest", "lowest"}
)

var policyKinds = map[string]reconcile.PolicyKind{
	"":        reconcile.Unset,
	"ask":     reconcile.Ask,
	"newest":  reconcile.Newest,
	"merge":   reconcile.Merge,
	"union":   reconcile.Union,
	"highest": reconcile.Highest,
	"lowest":  reconcile.Lowest,
}

// A fieldBlock is a field block, understood but not yet held against the two systems.
type fieldBlock struct {
	name      string
	at        hcl.Range
	paths     [2][]ref
	leads     [2]bool           // the flow leads to this side
	to        [2]hcl.Expression // to_SIDE
	via       *Translation
	viaAt     hcl.Range
	conflict  string // "" where the sync's default counts
	order     []setting
	orderAt   hcl.Range
	resolve   hcl.Expression
	fallback  string
	deadline  time.Duration
	when      hcl.Expression
	strength  reconcile.Strength
	drift     reconcile.Drift
	sensitive bool
}

func (f *fieldBlock) twoWay() bool { return f.leads[0] && f.leads[1] }

// field understands one block; nil when it has errors.
func (l *loader) field(s *Sync, b *hcl.Block) *fieldBlock {
	before := errorCount(l.diags)
	names := s.names()
	known := append([]string{names[0], names[1], "to_" + names[0], "to_" + names[1]}, fieldWords...)
	attrs := l.only(b, known...)
	f := &fieldBlock{name: b.Labels[0], at: b.DefRange}
	if f.name == "" {
		l.fail(b.LabelRanges[0], "Field without a name", "Give the field a name; plans and conflicts show it.")
	}
	for i, name := range names {
		if a := attrs[name]; a != nil {
			f.paths[i] = l.pathList(a.Expr)
		}
		f.to[i] = l.optional(attrs["to_"+name])
	}
	if a := attrs["via"]; a != nil {
		f.via, f.viaAt = l.translationOf(a.Expr), a.Expr.Range()
	}
	f.when = l.optional(attrs["when"])
	if a := attrs["sensitive"]; a != nil {
		f.sensitive, _ = l.truth(a.Expr)
	}
	if errorCount(l.diags) > before {
		return nil // what follows would complain about the same thing again
	}
	l.direction(s, f, attrs)
	if errorCount(l.diags) > before {
		return nil
	}
	l.shape(s, f)
	l.oneWayArguments(s, f, attrs)
	l.policy(s, f, attrs)
	if errorCount(l.diags) > before {
		return nil
	}
	return f
}

func (l *loader) pathList(e hcl.Expression) []ref {
	refs := l.names(e)
	if refs != nil && len(refs) == 0 {
		l.fail(e.Range(), "Empty path", "Name at least one path.")
	}
	for i, r := range refs {
		if strings.TrimSpace(r.text) == "" {
			l.fail(r.at, "Empty path", "A path is the name of one field of a record.")
		}
		if slices.ContainsFunc(refs[:i], func(o ref) bool { return o.text == r.text }) {
			l.fail(r.at, "Path named twice", "%q stands in this list already.", r.text)
		}
	}
	return refs
}

var arrow = regexp.MustCompile(`^\s*(\S+?)\s*(<->|->|<-)\s*(\S+)\s*$`)

// flow reads "ticket -> incident".
func (l *loader) flow(s *Sync, e hcl.Expression) (leads [2]bool, ok bool) {
	w, ok := l.text(e)
	if !ok {
		return leads, false
	}
	names := s.names()
	m := arrow.FindStringSubmatch(w)
	if m == nil {
		l.fail(e.Range(), "Not a flow", "%q is not a flow. Write \"%s\", \"%s\" or \"%s <-> %s\".", w, s.arrow(1), s.arrow(0), names[0], names[1])
		return leads, false
	}
	for _, name := range []string{m[1], m[3]} {
		if !slices.Contains(names[:], name) {
			l.fail(e.Range(), "Unknown side", "A flow goes between the sides of the sync; %q is none of them.%s", name, didYouMean(name, names[:]))
			return leads, false
		}
	}
	if m[1] == m[3] {
		l.fail(e.Range(), "Not a flow", "A flow goes from one side to the other; this one stays at %q.", m[1])
		return leads, false
	}
	leads[s.side(m[3])] = m[2] != "<-"
	leads[s.side(m[1])] = m[2] != "->"
	return leads, true
}

// direction finds out which way a field goes, and refuses what is half a way.
func (l *loader) direction(s *Sync, f *fieldBlock, attrs map[string]*hcl.Attribute) {
	names := s.names()
	both := len(f.paths[0]) > 0 && len(f.paths[1]) > 0
	if len(f.paths[0])+len(f.paths[1]) == 0 {
		l.fail(f.at, "Field without paths", "Say which path of each side field %q keeps in step: %s = \"…\" and %s = \"…\".", f.name, names[0], names[1])
		return
	}
	only := -1 // the side of the only to_SIDE
	for i := range names {
		if f.to[i] != nil && f.to[1-i] == nil {
			only = i
		}
	}
	a := attrs["flow"]
	if a == nil {
		switch {
		case both && (only < 0 || f.via != nil):
			f.leads = [2]bool{true, true}
		case both:
			l.fail(attrs["to_"+names[only]].NameRange, "No way back",
				"Field %q computes %s from %s and says nothing of the way back. Add flow = \"%s\" if it goes one way, or to_%s = \"…\" for the other.",
				f.name, names[only], names[1-only], s.arrow(record.Side(only)), names[1-only])
		default:
			i := 0
			if len(f.paths[1]) > 0 {
				i = 1
			}
			l.fail(f.at, "No flow", "Field %q names a path of %s only. Add flow = \"%s\" and to_%s = \"…\", or the path of %s that it is kept in step with.",
				f.name, names[i], s.arrow(record.Side(i)), names[i], names[1-i])
		}
		return
	}
	leads, ok := l.flow(s, a.Expr)
	if !ok {
		return
	}
	f.leads = leads
	for i := range names {
		if !leads[i] {
			if x := attrs["to_"+names[i]]; x != nil {
				l.fail(x.NameRange, "Against the flow", "The flow of field %q does not lead to %s, so to_%s is never used. Remove it, or write flow = \"%s <-> %s\".", f.name, names[i], names[i], names[0], names[1])
			}
			continue
		}
		if len(f.paths[i]) == 0 {
			l.fail(a.Expr.Range(), "Nowhere to write", "The flow of field %q leads to %s, but the field names no path there. Add %s = \"…\".", f.name, names[i], names[i])
		}
	}
	if f.twoWay() && only >= 0 && f.via == nil {
		l.fail(attrs["to_"+names[only]].NameRange, "No way back",
			"Field %q goes both ways and computes %s only. Add to_%s = \"…\", or make it one-way: flow = \"%s\".",
			f.name, names[only], names[1-only], s.arrow(record.Side(only)))
	}
	for i := range names {
		if leads[i] && !leads[1-i] && len(f.paths[1-i]) == 0 && f.to[i] == nil {
			l.fail(f.at, "Nothing to write", "Field %q has a path of %s and nothing to fill it with. Add to_%s = \"…\", or the path of %s to copy from.", f.name, names[i], names[i], names[1-i])
		}
	}
}

// shape holds the numbers of paths against how values get across.
func (l *loader) shape(s *Sync, f *fieldBlock) {
	names := s.names()
	for _, i := range []int{1, 0} {
		if !f.leads[i] || f.to[i] != nil {
			continue
		}
		from, to := f.paths[1-i], f.paths[i]
		switch {
		case f.via != nil && (len(from) != 1 || len(to) != 1):
			l.fail(f.viaAt, "One path expected", "A translation takes one path of each side; field %q has %d of %s and %d of %s. Compute the value instead: to_%s = \"…\".",
				f.name, len(from), names[1-i], len(to), names[i], names[i])
			return
		case f.via == nil && len(from) != len(to):
			l.fail(f.at, "Unequal numbers of paths", "Field %q copies %s of %s to %s of %s. Name as many on both sides, or compute the values: to_%s = \"[…]\".",
				f.name, paths(len(from)), names[1-i], paths(len(to)), names[i], names[i])
			return
		}
	}
	if f.via != nil && f.to[0] != nil && f.to[1] != nil || f.via != nil && !f.twoWay() && (f.to[0] != nil || f.to[1] != nil) {
		l.fail(f.viaAt, "Translation never used", "Field %q computes its values with to_…, so via has no effect. Keep one of them.", f.name)
	}
}

func paths(n int) string {
	if n == 1 {
		return "one path"
	}
	return fmt.Sprintf("%d paths", n)
}

func (l *loader) oneWayArguments(s *Sync, f *fieldBlock, attrs map[string]*hcl.Attribute) {
	if a := attrs["strength"]; a != nil {
		w, ok := l.word(a.Expr, "strength", "always", "on_create", "if_empty")
		if ok {
			f.strength = reconcile.Strength(slices.Index([]string{"always", "on_create", "if_empty"}, w))
		}
	}
	if a := attrs["drift"]; a != nil {
		w, _ := l.word(a.Expr, "answer to drift", "overwrite", "keep")
		if w == "keep" {
			f.drift = reconcile.KeepDrift
		}
	}
	if !f.twoWay() {
		return
	}
	for _, name := range []string{"strength", "drift"} {
		if a := attrs[name]; a != nil {
			l.fail(a.NameRange, "Only for one-way fields", "%s says how a field with one direction behaves; field %q goes both ways. Remove it, or add a flow such as \"%s\".", name, f.name, s.arrow(record.Right))
		}
	}
}

// policy reads what decides a conflict.
func (l *loader) policy(s *Sync, f *fieldBlock, attrs map[string]*hcl.Attribute) {
	if !f.twoWay() {
		for _, name := range []string{"conflict", "order", "resolve", "fallback", "deadline"} {
			if a := attrs[name]; a != nil {
				l.fail(a.NameRange, "Only for two-way fields", "Field %q goes one way and has no conflicts, so %s has no effect. Remove it; what happens to an edit on the other side is said by drift.", f.name, name)
			}
		}
		return
	}
	names := s.names()
	words := slices.Concat(plainPolicies, orderedPolicies, names[:])
	if a := attrs["conflict"]; a != nil {
		f.conflict, _ = l.word(a.Expr, "conflict policy", words...)
	}
	if a := attrs["resolve"]; a != nil {
		f.resolve = l.within(a.Expr)
		if x := attrs["conflict"]; x != nil {
			l.fail(x.NameRange, "Two policies", "resolve decides the conflicts of field %q, so conflict has no effect. Keep one of them.", f.name)
		}
	}
	if a := attrs["fallback"]; a != nil {
		f.fallback, _ = l.word(a.Expr, "conflict policy", words...)
	}
	policy := f.conflict
	if policy == "" {
		policy = s.body.policy
	}
	if f.resolve != nil {
		policy = "resolve"
	}
	ordered := func(p string) bool { return p == "highest" || p == "lowest" }
	needsOrder := ordered(policy) || ordered(f.fallback)
	if a := attrs["order"]; a != nil {
		f.orderAt = a.Expr.Range()
		f.order = l.orderValues(a.Expr)
		if !needsOrder {
			l.fail(a.NameRange, "Order never used", "order is for conflict = \"highest\" or \"lowest\"; field %q has neither.", f.name)
		}
	} else if needsOrder {
		where := f.at
		if x := attrs["conflict"]; x != nil && ordered(f.conflict) {
			where = x.Expr.Range()
		}
		l.fail(where, "No order", "\"highest\" and \"lowest\" need to know what is higher: add order = [\"lowest value\", …, \"highest value\"].")
	}
	if a := attrs["deadline"]; a != nil {
		f.deadline, _ = l.duration(a.Expr, time.Minute)
		switch {
		case policy != "ask" && policy != "":
			l.fail(a.NameRange, "Deadline never used", "A deadline is how long to wait for a person; field %q does not ask one. Remove it, or set conflict = \"ask\".", f.name)
		case attrs["fallback"] == nil:
			l.fail(a.NameRange, "Deadline without fallback", "Say what happens when the deadline is over: fallback = \"newest\", or the name of a side.")
		}
	}
	if (policy == "merge" || policy == "union" || needsOrder) && (len(f.paths[0]) != 1 || len(f.paths[1]) != 1) {
		l.fail(f.at, "One path expected", "The policy %q looks at one value; field %q has several paths. Use \"newest\", a side or resolve.", policy, f.name)
	}
}

func (l *loader) orderValues(e hcl.Expression) []setting {
	list, diags := hcl.ExprList(e)
	if diags.HasErrors() {
		v, ok := l.value(e)
		if !ok {
			return nil
		}
		if v.IsNull() || !(v.Type().IsTupleType() || v.Type().IsListType()) {
			l.fail(e.Range(), "List expected", "Write the values from the lowest to the highest: order = [\"new\", \"open\", \"closed\"].")
			return nil
		}
		for _, x := range v.Elements() {
			list = append(list, hcl.StaticExpr(x, e.Range()))
		}
	}
	var out []setting
	for _, item := range list {
		v, ok := l.scalar(item)
		if !ok {
			continue
		}
		if slices.ContainsFunc(out, func(o setting) bool { return o.value == v }) {
			l.fail(item.Range(), "Value named twice", "%s stands in this order already.", v)
			continue
		}
		out = append(out, setting{value: v, valueAt: item.Range()})
	}
	if len(out) < 2 && len(list) < 2 {
		l.fail(e.Range(), "Order of nothing", "An order needs at least two values, from the lowest to the highest.")
	}
	return out
}
