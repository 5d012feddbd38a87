package expression

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"

	"github.com/fieldsync/fieldsync/engine/record"
)

// wayOut says how to write an operation that err refuses because a path that holds text meets a number or a truth
// value written down, or "". Some systems have nothing but text, and people write what they see on the screen.
func (r *resolver) wayOut(tree ast.Node, err error) string {
	fe, ok := errors.AsType[*file.Error](err)
	if !ok {
		return ""
	}
	f := &finder{at: fe.Location}
	ast.Walk(&tree, f)
	if f.found == nil {
		return ""
	}
	path, ok := r.textPath(f.found.Left)
	other := f.found.Right
	if !ok {
		path, ok = r.textPath(f.found.Right)
		other = f.found.Left
	}
	if !ok {
		return ""
	}
	write := ""
	switch f.found.Operator {
	case "==", "!=":
		write, _ = quoted(other)
	case "in":
		write = quotedList(other)
	case "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "**":
		write = converted(path, other)
	}
	if write == "" {
		return ""
	}
	return fmt.Sprintf("Values of %s are text: write %s.", path, write)
}

// A finder finds the operation at a place.
type finder struct {
	at    file.Location
	found *ast.BinaryNode
}

func (f *finder) Visit(node *ast.Node) {
	if n, ok := (*node).(*ast.BinaryNode); ok && n.Location() == f.at {
		f.found = n
	}
}

// textPath is the path that n loads, if it holds text.
func (r *resolver) textPath(n ast.Node) (string, bool) {
	id, ok := n.(*ast.IdentifierNode)
	if !ok {
		return "", false
	}
	i, ok := r.slotIndex[id.Value]
	return id.Value, ok && r.slots[i].typ.Kind == record.Text
}

// quoted is a number or truth value as text.
func quoted(n ast.Node) (string, bool) {
	sign := ""
	if u, ok := n.(*ast.UnaryNode); ok && u.Operator == "-" {
		sign, n = "-", u.Node
	}
	switch n := n.(type) {
	case *ast.IntegerNode:
		return "'" + sign + strconv.Itoa(n.Value) + "'", true
	case *ast.FloatNode:
		return "'" + sign + strconv.FormatFloat(n.Value, 'g', -1, 64) + "'", true
	case *ast.BoolNode:
		return "'" + strconv.FormatBool(n.Value) + "'", sign == ""
	}
	return "", false
}

func quotedList(n ast.Node) string {
	list, ok := n.(*ast.ArrayNode)
	if !ok {
		return ""
	}
	items := make([]string, len(list.Nodes))
	for i, e := range list.Nodes {
		if items[i], ok = quoted(e); !ok {
			return ""
		}
	}
	return "[" + strings.Join(items, ", ") + "]"
}

// converted is path as a number of the kind that it is calculated with.
func converted(path string, n ast.Node) string {
	if u, ok := n.(*ast.UnaryNode); ok {
		n = u.Node
	}
	switch n.(type) {
	case *ast.IntegerNode:
		return "int(" + path + ")"
	case *ast.FloatNode:
		return "float(" + path + ")"
	}
	return ""
}
