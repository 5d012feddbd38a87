package mapping

import (
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/fieldsync/fieldsync/engine/mapping/expression"
)

var variableSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "default"}, {Name: "description"}}}

func (l *loader) variables(blocks hcl.Blocks) {
	l.vars = map[string]cty.Value{}
	seen := map[string]hcl.Range{}
	var names []string
	for _, b := range blocks {
		name := b.Labels[0]
		names = append(names, name)
		if !l.unique(seen, "variable", b) || !l.label(name, "variable", b.LabelRanges[0]) {
			continue
		}
		content, diags := b.Body.Content(variableSchema)
		l.add(diags...)
		if content == nil {
			continue
		}
		if a := content.Attributes["description"]; a != nil {
			l.text(a.Expr)
		}
		v, given := cty.NilVal, false
		if a := content.Attributes["default"]; a != nil {
			if v, given = l.value(a.Expr); !given {
				v, given = cty.DynamicVal, true // the diagnostic is there; uses of it shall not add to it
			}
		}
		if s, ok := l.o.Vars[name]; ok {
			v, given = l.assign(name, s, v), true
		}
		if !given {
			l.fail(b.DefRange, "Variable without a value", "Variable %q has no default. Add one, or pass --var %s=VALUE.", name, name)
			v = cty.DynamicVal
		}
		l.vars[name] = v
	}
	for name := range l.o.Vars {
		if !slices.Contains(names, name) {
			l.add(general("Unknown variable", "--var %s=… names a variable that no file declares.%s", name, didYouMean(name, names)))
		}
	}
	l.ctx = l.context(nil)
}

// assign gives a --var text the type of the variable's default.
func (l *loader) assign(name, s string, like cty.Value) cty.Value {
	if like == cty.NilVal || like.IsNull() || !like.IsKnown() || like.Type() == cty.String {
		return cty.StringVal(s)
	}
	if v, err := convert.Convert(cty.StringVal(s), like.Type()); err == nil {
		return v
	}
	e, diags := hclsyntax.ParseExpression([]byte(s), "--var "+name, hcl.InitialPos)
	if !diags.HasErrors() {
		if v, diags := e.Value(nil); !diags.HasErrors() && sameShape(v.Type(), like.Type()) {
			return v
		}
	}
	l.add(general("Wrong kind of value", "--var %s=… does not fit: the variable's default is a %s.", name, like.Type().FriendlyName()))
	return cty.DynamicVal
}

func sameShape(a, b cty.Type) bool {
	list := func(t cty.Type) bool { return t.IsTupleType() || t.IsListType() || t.IsSetType() }
	object := func(t cty.Type) bool { return t.IsObjectType() || t.IsMapType() }
	return list(a) && list(b) || object(a) && object(b)
}

// localValues evaluates the locals, each after those that it refers to.
func (l *loader) localValues(blocks hcl.Blocks) {
	l.locals = map[string]cty.Value{}
	attrs := map[string]*hcl.Attribute{}
	for _, b := range blocks {
		got, diags := b.Body.JustAttributes()
		l.add(diags...)
		for _, a := range inOrder(got) {
			if first := attrs[a.Name]; first != nil {
				l.fail(a.NameRange, "Second local of this name", "local.%s stands at %s already.", a.Name, at(first.NameRange))
				continue
			}
			attrs[a.Name] = a
		}
	}
	state := map[string]int{} // 1: being evaluated, 2: done
	var visit func(a *hcl.Attribute)
	visit = func(a *hcl.Attribute) {
		state[a.Name] = 1
		for _, t := range a.Expr.Variables() {
			if t.RootName() != "local" || len(t) < 2 {
				continue
			}
			ref, ok := t[1].(hcl.TraverseAttr)
			if !ok || attrs[ref.Name] == nil {
				continue
			}
			switch state[ref.Name] {
			case 0:
				visit(attrs[ref.Name])
			case 1:
				l.fail(t.SourceRange(), "Locals in a circle", "local.%s needs local.%s, which needs local.%s.", a.Name, ref.Name, a.Name)
				l.locals[a.Name] = cty.DynamicVal
				state[a.Name] = 2
				return
			}
		}
		l.missing = nil
		l.ctx = l.context(nil)
		v, diags := a.Expr.Value(l.ctx)
		l.add(diags...)
		l.tainted[a.Name] = append(l.missing, l.taint(a.Expr.Variables())...)
		l.locals[a.Name] = v
		state[a.Name] = 2
	}
	for _, a := range inOrder(attrs) {
		if state[a.Name] == 0 {
			visit(a)
		}
	}
	l.ctx = l.context(nil)
}

// plainLocals are the locals as expr sees them.
func (l *loader) plainLocals() map[string]any {
	m := map[string]any{}
	for name, v := range l.locals {
		if len(l.tainted[name]) > 0 || !v.IsWhollyKnown() {
			continue
		}
		if rv, err := fromCty(v); err == nil {
			m[name] = rv.Any()
		}
	}
	return m
}

var functionSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "params", Required: true}, {Name: "result", Required: true}}}

func (l *loader) functionBlocks(blocks hcl.Blocks) {
	seen := map[string]hcl.Range{}
	for _, b := range blocks {
		if !l.unique(seen, "function", b) || !l.identifier(b.Labels[0], "function", b.LabelRanges[0]) {
			continue
		}
		content, diags := b.Body.Content(functionSchema)
		l.add(diags...)
		if content == nil || content.Attributes["params"] == nil || content.Attributes["result"] == nil {
			continue
		}
		f := expression.Function{Name: b.Labels[0], Expr: l.within(content.Attributes["result"].Expr)}
		ok := true
		for _, p := range l.names(content.Attributes["params"].Expr) {
			ok = ok && l.identifier(p.text, "parameter", p.at)
			f.Params = append(f.Params, p.text)
		}
		if !ok || f.Expr == nil {
			continue
		}
		if src, good := l.text(f.Expr); good {
			l.functions = append(l.functions, f)
			l.sources[f.Name] = strings.Join(f.Params, ",") + ":" + src
		}
	}
}
