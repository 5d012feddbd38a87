package expression

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/checker"
	"github.com/expr-lang/expr/checker/nature"
	"github.com/expr-lang/expr/compiler"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/types"
	"github.com/hashicorp/hcl/v2"

	"github.com/fieldsync/fieldsync/engine/record"
)

// longest is how many bytes an expression may have; the parser's recursion follows its length.
const longest = 32 << 10

// Compile checks src against scope and makes a program of it. ctx is for interpolation of variables and locals
// into the string; it may be nil. The functions that src calls are compiled too and their diagnostics are among
// those returned, so check all functions once with [Check] before compiling what calls them.
func Compile(src hcl.Expression, ctx *hcl.EvalContext, sc Scope, want Want) (*Program, hcl.Diagnostics) {
	s := &scope{Scope: sc, ctx: ctx, compiled: map[string]*function{}}
	return s.program(src, nil, want)
}

// Check compiles all functions of sc, also those that nothing calls.
func Check(ctx *hcl.EvalContext, sc Scope) hcl.Diagnostics {
	s := &scope{Scope: sc, ctx: ctx, compiled: map[string]*function{}}
	var diags hcl.Diagnostics
	for i := range s.Functions {
		_, more := s.compile(&s.Functions[i], s.Functions[i].Expr.Range())
		diags = append(diags, more...)
	}
	return diags
}

// program compiles an expression, or with params not nil the body of a function.
//
// The tree is checked twice. First with the types of the records, which finds mistakes. Then with every slot
// as any, for the code: code made for a text field would panic on a null instead of comparing unequal.
func (s *scope) program(src hcl.Expression, params map[string]bool, want Want) (p *Program, diags hcl.Diagnostics) {
	t, diags := decode(src, s.ctx)
	if diags.HasErrors() {
		return nil, diags
	}
	defer func() {
		if e := recover(); e != nil {
			p, diags = nil, t.diagnose(t.whole(), "Invalid expression", "This expression cannot be compiled; write it in a simpler way.")
		}
	}()
	switch {
	case strings.TrimSpace(t.src) == "":
		return nil, t.diagnose(t.full, "Empty expression", "An expression is needed here, such as ticket.title.")
	case len(t.src) > longest:
		return nil, t.diagnose(t.full, "Expression too long", fmt.Sprintf("An expression may have %d bytes; put parts of it into functions.", longest))
	}
	config := newConfig()
	tree, err := parser.ParseWithConfig(t.src, config)
	if err != nil {
		return nil, t.syntax(err)
	}
	r := &resolver{
		text: t, scope: s, params: params, vars: map[string]*Variable{},
		slotIndex: map[string]int{}, functions: map[string]*function{},
	}
	if params == nil {
		for i := range s.Vars {
			r.vars[s.Vars[i].Name] = &s.Vars[i]
		}
	}
	r.walk(&tree.Node)
	if r.broken || r.diags.HasErrors() {
		return nil, r.diags
	}
	if err := r.typeCheck(tree); err != nil {
		return nil, append(r.diags, t.mistake(err, r.wayOut(tree.Node, err))...)
	}
	if kind := describeType(tree.Node); (want == Bool && kind != "any" && kind != "bool") || (want == List && kind != "any" && kind != "list") {
		needed := "true or false, such as ticket.priority <= 2"
		if want == List {
			needed = "a list, such as ['1', ticket.urgency]"
		}
		return nil, t.diagnose(t.whole(), "Wrong type of result", fmt.Sprintf("The result is of type %s, but this place needs %s.", kind, needed))
	}
	p = &Program{text: t, want: want, slots: r.slots, nulls: map[file.Location][]int{}, reads: readsOf(r.slots), words: r.wordsOf(tree.Node)}
	if want == Bool {
		p.terms = r.termsOf(tree.Node)
	}
	if id, ok := tree.Node.(*ast.IdentifierNode); ok && params == nil {
		if i, ok := r.slotIndex[id.Value]; ok && r.slots[i].whole == nil && !r.slots[i].clock {
			p.direct = true
			return p, r.diags
		}
	}
	r.nullsBelow(tree.Node, p.nulls)
	ast.Walk(&tree.Node, &finisher{functions: r.functions})
	if err := r.generate(tree, p); err != nil {
		return nil, append(r.diags, t.mistake(err, "")...)
	}
	return p, r.diags
}

func newConfig() *conf.Config {
	config := conf.CreateNew()
	config.Disabled["now"] = true
	delete(config.Builtins, "now")
	for name, f := range natives {
		config.Functions[name] = f
	}
	return config
}

// typeCheck checks the tree with the types of the records.
func (r *resolver) typeCheck(tree *parser.Tree) error {
	config := newConfig()
	for name, f := range r.functions {
		config.Functions[name] = &builtin.Function{Name: name, Types: []reflect.Type{f.typed},
			Func: func(...any) (any, error) { return nil, errors.New("not linked") }}
	}
	env := types.Map{}
	for i := range r.slots {
		env[r.slots[i].name] = goType(r.slots[i].typ)
	}
	config.WithEnv(env)
	_, err := checker.Check(tree, config)
	return err
}

// generate makes the code, with every slot as any and the mapping's functions linked in. The library's optimizer
// is left out: it turns literal lists into sets, in which null counts as ” and 0.
func (r *resolver) generate(tree *parser.Tree, p *Program) error {
	config := newConfig()
	for name, f := range r.functions {
		config.Functions[name] = &builtin.Function{Name: name, Func: func(args ...any) (any, error) {
			spent, ok := args[0].(*budget)
			if !ok || len(args) != f.arity+1 {
				return nil, fmt.Errorf("%s takes %d arguments", name, f.arity)
			}
			return f.invoke(spent, args[1:])
		}}
	}
	config.Functions[stepName] = &builtin.Function{Name: stepName, Func: step}
	env := types.Map{budgetName: types.Any}
	for i := range r.slots {
		env[r.slots[i].name] = types.Any
	}
	config.WithEnv(env)
	if _, err := checker.Check(tree, config); err != nil {
		return err
	}
	code, err := compiler.Compile(tree, config)
	p.code = code
	return err
}

func goType(t record.Type) types.Type {
	switch t.Kind {
	case record.Bool:
		return types.Bool
	case record.Int:
		return types.Int
	case record.Float:
		return types.Float64
	case record.Text:
		return types.String
	case record.Time:
		return types.TypeOf(time.Time{})
	case record.List:
		return types.TypeOf([]any{})
	}
	return types.Any
}

// describeType names the type of a checked node in the words of record.Kind, or any where it is not known.
func describeType(n ast.Node) string {
	known := n.Nature()
	if known.Nil {
		return "null"
	}
	t := known.Type
	if t == nil || t.Kind() == reflect.Interface {
		return "any"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "bool"
	case reflect.Slice, reflect.Array:
		return "list"
	}
	return tidy(t.String())
}

// nullsBelow notes for every place in the text which slots feed what happens there.
func (r *resolver) nullsBelow(n ast.Node, nulls map[file.Location][]int) {
	lets := map[string][]int{}
	var below func(n ast.Node) []int
	below = func(n ast.Node) []int {
		if id, ok := n.(*ast.IdentifierNode); ok {
			if i, ok := r.slotIndex[id.Value]; ok {
				nulls[id.Location()] = []int{i}
				return []int{i}
			}
			return lets[id.Value]
		}
		var slots []int
		switch n := n.(type) {
		case *ast.VariableDeclaratorNode:
			lets[n.Name] = below(n.Value)
			slots = below(n.Expr)
		case *ast.BinaryNode:
			// What ?? guards cannot be the null that something above it stumbled over.
			if left := below(n.Left); n.Operator != "??" {
				slots = left
			}
			slots = append(slots, below(n.Right)...)
		default:
			for _, child := range children(n) {
				slots = append(slots, below(child)...)
			}
		}
		// A call and its callee, a chain and its end stand at the same place: the outer one has it all.
		nulls[n.Location()] = slots
		return slots
	}
	below(n)
}

// children are the nodes right below those that nullsBelow has no rule of its own for.
func children(n ast.Node) []ast.Node {
	switch n := n.(type) {
	case *ast.UnaryNode:
		return []ast.Node{n.Node}
	case *ast.ChainNode:
		return []ast.Node{n.Node}
	case *ast.MemberNode:
		return []ast.Node{n.Node, n.Property}
	case *ast.SliceNode:
		return present(n.Node, n.From, n.To)
	case *ast.CallNode:
		return append([]ast.Node{n.Callee}, n.Arguments...)
	case *ast.BuiltinNode:
		return n.Arguments
	case *ast.PredicateNode:
		return []ast.Node{n.Node}
	case *ast.SequenceNode:
		return n.Nodes
	case *ast.ConditionalNode:
		return []ast.Node{n.Cond, n.Exp1, n.Exp2}
	case *ast.ArrayNode:
		return n.Nodes
	case *ast.MapNode:
		return n.Pairs
	case *ast.PairNode:
		return []ast.Node{n.Key, n.Value}
	}
	return nil
}

func present(nodes ...ast.Node) []ast.Node {
	var some []ast.Node
	for _, n := range nodes {
		if n != nil {
			some = append(some, n)
		}
	}
	return some
}

// A finisher prepares a checked tree for code: literal lists and objects become constants, loops and lets
// count their steps, and functions of the mapping get the budget they share. What the check found out of types is
// forgotten: the library's own check passes over calls whose type is known, and would leave those in their arguments as they
// were before they got the budget.
type finisher struct{ functions map[string]*function }

func (f *finisher) Visit(node *ast.Node) {
	(*node).SetNature(nature.Nature{})
	switch n := (*node).(type) {
	case *ast.ArrayNode:
		items := make([]any, len(n.Nodes))
		for i, e := range n.Nodes {
			v, ok := literal(e)
			if !ok {
				return
			}
			items[i] = v
		}
		ast.Patch(node, &ast.ConstantNode{Value: items})
	case *ast.MapNode:
		members := make(map[string]any, len(n.Pairs))
		for _, e := range n.Pairs {
			pair, ok := e.(*ast.PairNode)
			if !ok {
				return
			}
			key, ok := pair.Key.(*ast.StringNode)
			if !ok {
				return
			}
			v, ok := literal(pair.Value)
			if !ok {
				return
			}
			members[key.Value] = v
		}
		ast.Patch(node, &ast.ConstantNode{Value: members})
	case *ast.PredicateNode:
		n.Node = counted(n.Node)
	case *ast.VariableDeclaratorNode:
		n.Value = counted(n.Value)
	case *ast.CallNode:
		id, ok := n.Callee.(*ast.IdentifierNode)
		if ok && f.functions[id.Value] != nil {
			n.Arguments = append([]ast.Node{at(&ast.IdentifierNode{Value: budgetName}, n)}, n.Arguments...)
		}
	}
}

func counted(n ast.Node) ast.Node {
	return at(&ast.CallNode{
		Callee:    at(&ast.IdentifierNode{Value: stepName}, n),
		Arguments: []ast.Node{at(&ast.IdentifierNode{Value: budgetName}, n), n},
	}, n)
}

// at gives n the place of another node.
func at(n, other ast.Node) ast.Node {
	n.SetLocation(other.Location())
	return n
}

func literal(n ast.Node) (any, bool) {
	switch n := n.(type) {
	case *ast.NilNode:
		return nil, true
	case *ast.BoolNode:
		return n.Value, true
	case *ast.IntegerNode:
		return n.Value, true
	case *ast.FloatNode:
		return n.Value, true
	case *ast.StringNode:
		return n.Value, true
	case *ast.ConstantNode:
		return n.Value, true
	}
	return nil, false
}

// constant is the node for a local.
func constant(v any) ast.Node {
	switch v := v.(type) {
	case nil:
		return &ast.NilNode{}
	case bool:
		return &ast.BoolNode{Value: v}
	case int:
		return &ast.IntegerNode{Value: v}
	case float64:
		return &ast.FloatNode{Value: v}
	case string:
		return &ast.StringNode{Value: v}
	}
	return &ast.ConstantNode{Value: v}
}

func (t *text) diagnose(subject hcl.Range, summary, detail string) hcl.Diagnostics {
	return hcl.Diagnostics{{Severity: hcl.DiagError, Summary: summary, Detail: detail, Subject: subject.Ptr()}}
}

// syntax is the diagnostic for text that does not parse.
func (t *text) syntax(err error) hcl.Diagnostics {
	fe, ok := errors.AsType[*file.Error](err)
	if !ok {
		return t.diagnose(t.whole(), "Invalid expression", sentence(err.Error()))
	}
	detail := sentence(fe.Message)
	switch {
	case strings.Contains(fe.Message, `Operator("=")`):
		detail = "A single = means nothing here; compare with ==."
	case strings.Contains(fe.Message, "unexpected token EOF"), strings.Contains(fe.Message, "unexpected end of expression"):
		detail = "The expression ends too early: something is missing after this."
	case strings.Contains(fe.Message, "literal not terminated"):
		detail = "This text has no closing quote."
	case strings.Contains(fe.Message, "coalesce expressions"):
		detail = "?? cannot stand beside another operator without parentheses: write (ticket.priority ?? 3) <= 2."
	case strings.Contains(fe.Message, "unexpected token"):
		detail = "This does not belong here: " + strings.TrimPrefix(fe.Message, "unexpected token ") + "."
	}
	return t.diagnose(t.rng(fe.From, fe.To), "Invalid expression", detail)
}

// mistake is the diagnostic for a tree that does not pass the check of types. way is how to write it, where that
// is known.
func (t *text) mistake(err error, way string) hcl.Diagnostics {
	fe, ok := errors.AsType[*file.Error](err)
	if !ok {
		return t.diagnose(t.whole(), "Invalid expression", sentence(err.Error()))
	}
	detail := sentence(fe.Message)
	switch {
	case way != "":
		detail += " " + way
	case strings.Contains(fe.Message, "mismatched types") || strings.Contains(fe.Message, "as argument") || strings.Contains(fe.Message, "in array"):
		detail += " Convert with string(…), int(…) or float(…)."
	}
	return t.diagnose(t.rng(fe.From, fe.To), "Wrong type", detail)
}

// sentence makes a sentence of a message.
func sentence(message string) string {
	message = strings.TrimRight(tidy(message), ". ")
	if message == "" {
		return ""
	}
	return strings.ToUpper(message[:1]) + message[1:] + "."
}
