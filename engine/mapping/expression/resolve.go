package expression

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/file"
	"github.com/hashicorp/hcl/v2"

	"github.com/fieldsync/fieldsync/engine/record"
)

// A resolver gives every name in a tree its meaning: members of records become slots, locals become
// constants, and what means nothing becomes a diagnostic. What is left has only slots, functions, and what the
// language brings along.
type resolver struct {
	text      *text
	scope     *scope
	vars      map[string]*Variable
	params    map[string]bool // of the function whose body this is; nil elsewhere
	lets      []string        // declared around the current node, innermost last
	slots     []slot
	slotIndex map[string]int
	functions map[string]*function // of the mapping, as used here
	broken    bool                 // one of them did not compile, and was reported where it stands
	diags     hcl.Diagnostics
}

func (r *resolver) fail(loc file.Location, summary, format string, args ...any) {
	r.diags = append(r.diags, &hcl.Diagnostic{
		Severity: hcl.DiagError,
		Summary:  summary,
		Detail:   fmt.Sprintf(format, args...),
		Subject:  r.text.rng(loc.From, loc.To).Ptr(),
	})
}

func (r *resolver) walk(node *ast.Node) {
	if node == nil || *node == nil {
		return
	}
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		r.identifier(node, n)
	case *ast.MemberNode:
		r.member(node)
	case *ast.CallNode:
		r.call(n)
	case *ast.UnaryNode:
		r.walk(&n.Node)
	case *ast.BinaryNode:
		r.walk(&n.Left)
		r.walk(&n.Right)
	case *ast.ChainNode:
		r.walk(&n.Node)
	case *ast.SliceNode:
		r.walk(&n.Node)
		r.walk(&n.From)
		r.walk(&n.To)
	case *ast.BuiltinNode:
		r.walkAll(n.Arguments)
	case *ast.PredicateNode:
		r.walk(&n.Node)
	case *ast.VariableDeclaratorNode:
		r.let(n)
	case *ast.SequenceNode:
		r.walkAll(n.Nodes)
	case *ast.ConditionalNode:
		r.walk(&n.Cond)
		r.walk(&n.Exp1)
		r.walk(&n.Exp2)
	case *ast.ArrayNode:
		r.walkAll(n.Nodes)
	case *ast.MapNode:
		r.walkAll(n.Pairs)
	case *ast.PairNode:
		r.walk(&n.Key)
		r.walk(&n.Value)
	}
}

func (r *resolver) walkAll(nodes []ast.Node) {
	for i := range nodes {
		r.walk(&nodes[i])
	}
}

// named reports whether name is taken by something that a let may not hide.
func (r *resolver) named(name string) bool {
	return name == "local" || name == "run" || name == "null" || r.params[name] || r.vars[name] != nil || r.scope.function(name) != nil
}

func (r *resolver) let(n *ast.VariableDeclaratorNode) {
	r.walk(&n.Value)
	if r.named(n.Name) {
		r.fail(n.Location(), "Name already taken", "%q means something here already; give the let another name.", n.Name)
	}
	r.lets = append(r.lets, n.Name)
	r.walk(&n.Expr)
	r.lets = r.lets[:len(r.lets)-1]
}

// identifier handles a name that stands alone.
func (r *resolver) identifier(node *ast.Node, n *ast.IdentifierNode) {
	name := n.Value
	switch {
	case slices.Contains(r.lets, name):
	case name == "null": // as HCL writes it
		ast.Patch(node, &ast.NilNode{})
	case r.params[name]:
		r.toSlot(node, slot{name: name}, n.Location())
	case name == "local" || (name == "run" && r.params == nil):
		example := "run.time"
		if name == "local" {
			example = "local.NAME"
		}
		r.fail(n.Location(), "Incomplete name", "%s is not a value by itself; write %s.", name, example)
		r.blank(node)
	case r.vars[name] != nil:
		v := r.vars[name]
		if t, plain := v.Fields[""]; plain {
			r.toSlot(node, slot{name: name, variable: name, typ: t}, n.Location())
			return
		}
		paths := slices.Sorted(maps.Keys(v.Fields))
		if paths == nil {
			paths = []string{}
		}
		r.toSlot(node, slot{name: name, variable: name, typ: record.Type{Kind: record.Object}, whole: paths}, n.Location())
	default:
		r.unknown(n)
		r.blank(node)
	}
}

func (r *resolver) unknown(n *ast.IdentifierNode) {
	name := n.Value
	if _, ok := builtin.Index[name]; ok || r.scope.function(name) != nil || natives[name] != nil {
		r.fail(n.Location(), "Function without arguments", "%s is a function; call it: %s(…).", name, name)
		return
	}
	known := slices.Concat(slices.Collect(maps.Keys(r.vars)), slices.Collect(maps.Keys(r.params)), r.lets, []string{"local"})
	if r.params == nil {
		known = append(known, "run")
	}
	hint := meant(name, slices.Clone(known))
	switch {
	case hint != "":
	case r.params != nil:
		hint = " A function sees only its parameters and local.NAME; pass the rest as an argument."
	default:
		hint = " What can be named here: " + list(known) + ". Text stands in single quotes."
	}
	r.fail(n.Location(), "Unknown name", "There is nothing called %q here.%s", name, hint)
}

// member resolves a chain such as ticket.caller.email or alarm["Status"].name as far as it is a path.
func (r *resolver) member(node *ast.Node) {
	var links []*ast.Node // of the chain, outermost first
	at := node
	for {
		m, ok := (*at).(*ast.MemberNode)
		if !ok {
			break
		}
		links = append(links, at)
		r.walk(&m.Property)
		at = &m.Node
	}
	slices.Reverse(links)
	root, ok := (*at).(*ast.IdentifierNode)
	if !ok || slices.Contains(r.lets, root.Value) || r.params[root.Value] {
		r.walk(at)
		r.refuseLocal(links)
		return
	}
	var names []*ast.StringNode
	for _, l := range links {
		name, ok := (*l).(*ast.MemberNode).Property.(*ast.StringNode)
		if !ok {
			break
		}
		names = append(names, name)
	}
	switch v := r.vars[root.Value]; {
	case len(names) == 0:
		r.walk(at)
	case root.Value == "local":
		r.local(links, names)
		return
	case root.Value == "run" && r.params == nil:
		if names[0].Value != "time" {
			r.fail(names[0].Location(), "Unknown member", "run has no %q; it has time, when the run began.", names[0].Value)
			r.blank(node)
			return
		}
		r.toSlot(links[0], slot{name: "run.time", clock: true, typ: record.Type{Kind: record.Time}}, span(root, names[0]))
		links = links[1:]
	case v == nil:
		r.unknown(root)
		r.blank(node)
		return
	default:
		links = r.path(v, root, links, names)
	}
	r.refuseLocal(links)
}

// path finds the longest known path that the names spell, makes it a slot, and returns the links left over.
func (r *resolver) path(v *Variable, root *ast.IdentifierNode, links []*ast.Node, names []*ast.StringNode) []*ast.Node {
	if _, plain := v.Fields[""]; plain {
		r.toSlot(&(*links[0]).(*ast.MemberNode).Node, slot{name: v.Name, variable: v.Name, typ: v.Fields[""]}, root.Location())
		return links
	}
	parts := make([]string, len(names))
	for i, n := range names {
		parts[i] = n.Value
	}
	found, typ := 0, record.Type{}
	for i := range parts {
		if t, ok := v.Fields[strings.Join(parts[:i+1], ".")]; ok {
			found, typ = i+1, t
		}
	}
	path := strings.Join(parts[:found], ".")
	// An open record may well have members below one that is known to be text, or of which nothing is known.
	leaf := typ.Kind != record.Object && typ.Kind != record.Absent
	steps := typ.Kind != record.Object && typ.Kind != record.List && typ.Kind != record.Time
	if found == 0 && v.Open || found > 0 && found < len(parts) && (v.References[path] || v.Open && steps) {
		found, typ, leaf, path = len(parts), v.Rest, false, strings.Join(parts, ".")
	}
	stops := found > 0 && found < len(parts) && leaf && slices.ContainsFunc(slices.Collect(maps.Keys(v.Fields)), func(known string) bool {
		return strings.HasPrefix(known, path+".")
	})
	if found > 0 && !stops {
		s := slot{name: display(v.Name, parts[:found]), variable: v.Name, path: path, typ: typ}
		r.toSlot(links[found-1], s, span(root, names[found-1]))
		return links[found:]
	}
	r.unknownMember(v, names)
	r.blank(links[len(links)-1])
	return nil
}

func (r *resolver) unknownMember(v *Variable, names []*ast.StringNode) {
	known := slices.Collect(maps.Keys(v.Fields))
	// Underline the first name with which no known path goes on.
	for i := range names {
		parts := make([]string, i+1)
		for j := range parts {
			parts[j] = names[j].Value
		}
		path := strings.Join(parts, ".")
		var below []string
		for _, k := range known {
			if strings.HasPrefix(k, path+".") {
				below = append(below, k)
			}
		}
		if len(below) > 0 && i < len(names)-1 {
			continue
		}
		hint := ""
		switch {
		case len(below) > 0:
			hint = " It goes on: " + list(below) + "."
		case len(known) == 0:
			hint = " No members of it are known."
		default:
			if hint = meant(path, known); hint == "" {
				hint = " Known are " + list(known) + "."
			}
		}
		r.fail(names[i].Location(), "Unknown member", "%s has no %q.%s", v.Name, path, hint)
		return
	}
}

// local replaces local.NAME, and members of it that are known, by what they hold.
func (r *resolver) local(links []*ast.Node, names []*ast.StringNode) {
	var value any = r.scope.Locals
	depth := 0
	for ; depth < len(names); depth++ {
		m, ok := value.(map[string]any)
		if !ok {
			break
		}
		name := names[depth].Value
		if value, ok = m[name]; !ok {
			known := slices.Collect(maps.Keys(m))
			hint := meant(name, slices.Clone(known))
			if hint == "" && len(known) > 0 {
				hint = " Known are " + list(known) + "."
			}
			if depth == 0 {
				r.fail(names[0].Location(), "Unknown local", "There is no local.%s.%s", name, hint)
			} else {
				r.fail(names[depth].Location(), "Unknown member", "local.%s has no %q.%s", names[0].Value, name, hint)
			}
			r.blank(links[len(links)-1])
			return
		}
	}
	ast.Patch(links[depth-1], constant(value))
	r.refuseLocal(links[depth:])
}

// call resolves the name that is called and its arguments.
func (r *resolver) call(n *ast.CallNode) {
	r.walkAll(n.Arguments)
	switch callee := n.Callee.(type) {
	case *ast.IdentifierNode:
		r.callee(callee)
	case *ast.MemberNode:
		// The last name of a.b.method() is no part of a path.
		if root, ok := callee.Node.(*ast.IdentifierNode); ok && r.vars[root.Value] != nil && !slices.Contains(r.lets, root.Value) {
			if _, plain := r.vars[root.Value].Fields[""]; !plain {
				r.fail(callee.Property.Location(), "Unknown function", "%s is a record and has no functions.", root.Value)
				r.blank(&n.Callee)
				return
			}
		}
		r.walk(&callee.Node)
		r.walk(&callee.Property)
		r.refuseLocal([]*ast.Node{&n.Callee})
	default:
		r.walk(&n.Callee)
	}
}

func (r *resolver) callee(n *ast.IdentifierNode) {
	name := n.Value
	if natives[name] != nil {
		return
	}
	if declared := r.scope.function(name); declared != nil {
		f, diags := r.scope.compile(declared, r.text.rng(n.Location().From, n.Location().To))
		r.diags = append(r.diags, diags...)
		r.functions[name] = f
		r.broken = r.broken || f == nil
		return
	}
	if slices.Contains(r.lets, name) || r.params[name] {
		r.fail(n.Location(), "Unknown function", "%q is a value, not a function.", name)
		return
	}
	if name == "now" {
		r.fail(n.Location(), "Unknown function", "Expressions read no clock, so that a plan can be explained later. Write run.time for the time at which the run began.")
		return
	}
	known := slices.Collect(maps.Keys(natives))
	for _, f := range builtin.Builtins {
		if f.Name != "now" {
			known = append(known, f.Name)
		}
	}
	for _, f := range r.scope.Functions {
		known = append(known, f.Name)
	}
	r.fail(n.Location(), "Unknown function", "There is no function called %q.%s", name, meant(name, known))
}

// refuseLocal keeps expressions from asking for the machine's own time zone.
func (r *resolver) refuseLocal(links []*ast.Node) {
	for _, l := range links {
		m, ok := (*l).(*ast.MemberNode)
		if !ok {
			continue
		}
		if name, ok := m.Property.(*ast.StringNode); ok && name.Value == "Local" {
			r.fail(name.Location(), "Unknown member", "The zone of the machine is not for expressions, whose results must not depend on where they run. Write In(timezone('Europe/Brussels')).")
		}
	}
}

func (r *resolver) toSlot(node *ast.Node, s slot, loc file.Location) {
	if _, ok := r.slotIndex[s.name]; !ok {
		r.slotIndex[s.name] = len(r.slots)
		r.slots = append(r.slots, s)
	}
	id := &ast.IdentifierNode{Value: s.name}
	id.SetLocation(loc)
	*node = id
}

// blank stands in for what could not be resolved, so that the rest can still be checked.
func (r *resolver) blank(node *ast.Node) {
	r.toSlot(node, slot{name: "?"}, (*node).Location())
}

// span is from the start of a chain to the end of one of its names.
func span(root, last ast.Node) file.Location {
	return file.Location{From: root.Location().From, To: max(root.Location().To, last.Location().To)}
}

var word = regexp.MustCompile(`^[A-Za-z_$][A-Za-z0-9_$]*$`)

// display writes a member as people do.
func display(variable string, parts []string) string {
	var b strings.Builder
	b.WriteString(variable)
	for _, p := range parts {
		if word.MatchString(p) {
			b.WriteString("." + p)
		} else {
			b.WriteString("[" + strconv.Quote(p) + "]")
		}
	}
	return b.String()
}

// place puts value into object under a dotted path.
func place(object map[string]any, path string, value any) {
	for {
		head, rest, dotted := strings.Cut(path, ".")
		if !dotted {
			object[path] = value
			return
		}
		inner, ok := object[head].(map[string]any)
		if !ok {
			if _, taken := object[head]; taken {
				return
			}
			inner = map[string]any{}
			object[head] = inner
		}
		object, path = inner, rest
	}
}
