package expression

import (
	"slices"
	"strconv"

	"github.com/expr-lang/expr/ast"

	"github.com/fieldsync/fieldsync/engine/record"
)

// A Word is a value that an expression compares one of its paths with: whoever wrote it down expects it there. One that
// is Near stands beside a number that is compared with < or >, on either side of the border.
type Word struct {
	Value record.Value
	Near  bool
}

// Words gives the values that p compares its paths with, by variable and path.
func (p *Program) Words() map[string]map[string][]Word {
	out := map[string]map[string][]Word{}
	for i, words := range p.words {
		s := &p.slots[i]
		if s.whole != nil || s.clock || len(words) == 0 {
			continue
		}
		if out[s.variable] == nil {
			out[s.variable] = map[string][]Word{}
		}
		for _, w := range words {
			if !slices.Contains(out[s.variable][s.path], w) {
				out[s.variable][s.path] = append(out[s.variable][s.path], w)
			}
		}
	}
	return out
}

// A reader collects the literals that paths are compared with.
type reader struct {
	r     *resolver
	words map[int][]Word // by slot
}

func (r *resolver) wordsOf(tree ast.Node) map[int][]Word {
	w := &reader{r: r, words: map[int][]Word{}}
	ast.Walk(&tree, w)
	return w.words
}

func (w *reader) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.BinaryNode:
		switch n.Operator {
		case "==", "!=":
			w.compare(n.Left, n.Right, false)
			w.compare(n.Right, n.Left, false)
		case "<", "<=", ">", ">=":
			w.compare(n.Left, n.Right, true)
			w.compare(n.Right, n.Left, true)
		case "in":
			w.among(n.Left, n.Right)
		case "??":
			if i, _, ok := w.slot(n.Left); ok {
				w.note(i, Word{Value: record.NullValue})
			}
		}
	case *ast.MemberNode: // {'new': '1'}[ticket.status]
		if m, ok := n.Node.(*ast.MapNode); ok {
			for _, pair := range m.Pairs {
				if p, ok := pair.(*ast.PairNode); ok {
					w.compare(n.Property, p.Key, false)
				}
			}
		}
	case *ast.CallNode:
		w.call(n)
	}
}

// call takes over what a function of the mapping compares its parameters with.
func (w *reader) call(n *ast.CallNode) {
	id, ok := n.Callee.(*ast.IdentifierNode)
	if !ok || w.r.functions[id.Value] == nil {
		return
	}
	f := w.r.functions[id.Value]
	for k, arg := range n.Arguments {
		i, _, ok := w.slot(arg)
		if !ok || k >= len(f.params) {
			continue
		}
		for j, words := range f.body.words {
			if f.body.slots[j].name == f.params[k] {
				for _, word := range words {
					w.note(i, word)
				}
			}
		}
	}
}

func (w *reader) among(path, list ast.Node) {
	switch n := list.(type) {
	case *ast.ArrayNode:
		for _, e := range n.Nodes {
			w.compare(path, e, false)
		}
	case *ast.ConstantNode:
		if items, ok := n.Value.([]any); ok {
			for _, v := range items {
				w.compare(path, &ast.ConstantNode{Value: v}, false)
			}
		}
	}
}

// compare notes that a path is held against a literal.
func (w *reader) compare(path, lit ast.Node, ordered bool) {
	i, asText, ok := w.slot(path)
	v, known := literal(lit)
	if !ok || !known {
		return
	}
	plain, err := record.Of(v)
	if err != nil {
		return
	}
	form := func(v record.Value) record.Value {
		if asText && v.Kind() == record.Int {
			return record.OfText(strconv.FormatInt(v.Int(), 10))
		}
		return v
	}
	w.note(i, Word{Value: form(plain)})
	if ordered && plain.Kind() == record.Int {
		w.note(i, Word{Value: form(record.OfInt(plain.Int() - 1)), Near: true})
		w.note(i, Word{Value: form(record.OfInt(plain.Int() + 1)), Near: true})
	}
}

func (w *reader) note(slot int, word Word) { w.words[slot] = append(w.words[slot], word) }

// slot finds the path behind what is only there to make its value comparable: (ticket.priority ?? 3), lower(…), int(…).
// asText says that numbers stand there as text.
func (w *reader) slot(n ast.Node) (i int, asText, ok bool) {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		i, ok = w.r.slotIndex[n.Value]
		return i, false, ok
	case *ast.BinaryNode:
		if n.Operator == "??" {
			return w.slot(n.Left)
		}
	case *ast.BuiltinNode:
		switch n.Name {
		case "int", "float":
			i, _, ok = w.slot(n.Arguments[0])
			return i, ok && w.r.slots[i].typ.Kind != record.Int && w.r.slots[i].typ.Kind != record.Float, ok
		case "lower", "upper", "trim":
			return w.slot(n.Arguments[0])
		}
	}
	return 0, false, false
}
