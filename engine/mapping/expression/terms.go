package expression

import (
	"slices"

	"github.com/expr-lang/expr/ast"

	"github.com/fieldsync/fieldsync/engine/record"
)

// Terms are what a condition asks of the paths of its variables, as far as one value follows from it.
type Terms struct {
	// Values are those without which it is not true: ticket.queue == 'noc', joined to the rest by and.
	Values []Term
	// Choice are the paths of which it wants one value of some, or one of a certain form, and does not say which.
	Choice []Term
	// Whole says that Values are all that it asks for.
	Whole bool
}

// A Term is a path and, among the Values, what it has to show.
type Term struct {
	Variable, Path string
	Value          record.Value
}

// Terms takes a condition apart. Of any other program it says nothing.
func (p *Program) Terms() Terms { return p.terms }

func (r *resolver) termsOf(tree ast.Node) Terms {
	t := Terms{Whole: true}
	r.conjunct(tree, &t)
	return t
}

// conjunct adds one condition of those that all have to be true.
func (r *resolver) conjunct(n ast.Node, t *Terms) {
	switch n := n.(type) {
	case *ast.BinaryNode:
		switch n.Operator {
		case "&&", "and":
			r.conjunct(n.Left, t)
			r.conjunct(n.Right, t)
			return
		case "==":
			if r.equal(n.Left, n.Right, t) || r.equal(n.Right, n.Left, t) {
				return
			}
		case "||", "or", "in", "contains", "startsWith", "endsWith", "matches":
			r.choice(n, t)
		}
	case *ast.UnaryNode:
		if n.Operator == "!" || n.Operator == "not" {
			if s := r.alone(n.Node); s != nil {
				t.Values = append(t.Values, Term{s.variable, s.path, record.OfBool(false)})
				return
			}
		}
	case *ast.IdentifierNode:
		if s := r.alone(n); s != nil {
			t.Values = append(t.Values, Term{s.variable, s.path, record.OfBool(true)})
			return
		}
	}
	t.Whole = false
}

// equal notes that a path has to show a value, if that is what the comparison says.
func (r *resolver) equal(path, lit ast.Node, t *Terms) bool {
	s := r.alone(path)
	v, known := literal(lit)
	if s == nil || !known {
		return false
	}
	plain, err := record.Of(v)
	if err != nil || plain.Plain() == "" {
		return false
	}
	t.Values = append(t.Values, Term{s.variable, s.path, plain})
	return true
}

// choice notes the paths that a condition reads in which several values would do.
func (r *resolver) choice(n ast.Node, t *Terms) {
	found := &paths{r: r}
	ast.Walk(&n, found)
	for _, s := range found.slots {
		if term := (Term{Variable: s.variable, Path: s.path}); !slices.Contains(t.Choice, term) {
			t.Choice = append(t.Choice, term)
		}
	}
}

// alone is the slot of a path that stands by itself, or nil.
func (r *resolver) alone(n ast.Node) *slot {
	id, ok := n.(*ast.IdentifierNode)
	if !ok {
		return nil
	}
	i, ok := r.slotIndex[id.Value]
	if !ok || r.slots[i].whole != nil || r.slots[i].clock || r.slots[i].path == "" {
		return nil
	}
	return &r.slots[i]
}

// paths collects the paths below a node.
type paths struct {
	r     *resolver
	slots []*slot
}

func (p *paths) Visit(node *ast.Node) {
	if s := p.r.alone(*node); s != nil {
		p.slots = append(p.slots, s)
	}
}
