package mapping

import (
	"reflect"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// lenient is the body of settings of type t in which a list of one may be written without brackets: key = "id".
type lenient struct {
	hcl.Body
	t reflect.Type
}

func (l lenient) Content(schema *hcl.BodySchema) (*hcl.BodyContent, hcl.Diagnostics) {
	content, diags := l.Body.Content(schema)
	return l.within(content), diags
}

func (l lenient) PartialContent(schema *hcl.BodySchema) (*hcl.BodyContent, hcl.Body, hcl.Diagnostics) {
	content, rest, diags := l.Body.PartialContent(schema)
	return l.within(content), lenient{rest, l.t}, diags
}

// within wraps what the fields of the type say are lists, and the blocks inside.
func (l lenient) within(content *hcl.BodyContent) *hcl.BodyContent {
	t := element(l.t)
	if content == nil || t.Kind() != reflect.Struct {
		return content
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, kind, _ := strings.Cut(f.Tag.Get("hcl"), ",")
		if kind == "block" && !remains(f.Type) {
			for _, b := range content.Blocks.OfType(name) {
				b.Body = lenient{b.Body, f.Type}
			}
		} else if a := content.Attributes[name]; a != nil && f.Type == reflect.TypeFor[[]string]() {
			wrapped := *a
			wrapped.Expr = oneOrMore{a.Expr}
			content.Attributes[name] = &wrapped
		}
	}
	return content
}

// remains reports whether a block's body is handed on as it is written.
func remains(t reflect.Type) bool {
	t = element(t)
	for i := range t.NumField() {
		if t.Field(i).Type == reflect.TypeFor[hcl.Body]() {
			return true
		}
	}
	return false
}

// element is the type that pointers and slices lead to.
func element(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return t
}

type oneOrMore struct{ hcl.Expression }

func (e oneOrMore) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	v, diags := e.Expression.Value(ctx)
	if unmarked, marks := v.Unmark(); unmarked.Type() == cty.String && unmarked.IsKnown() && !unmarked.IsNull() {
		v = cty.ListVal([]cty.Value{unmarked}).WithMarks(marks)
	}
	return v, diags
}
