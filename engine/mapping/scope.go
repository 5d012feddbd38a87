package mapping

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/big"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"

	"github.com/fieldsync/fieldsync/engine/mapping/expression"
	"github.com/fieldsync/fieldsync/engine/record"
)

// commandTimeout bounds command(): a password manager that waits for a finger must not hang a service for good.
const commandTimeout = 10 * time.Second

func standardFunctions() map[string]function.Function {
	return map[string]function.Function{
		"upper":      stdlib.UpperFunc,
		"lower":      stdlib.LowerFunc,
		"format":     stdlib.FormatFunc,
		"join":       stdlib.JoinFunc,
		"split":      stdlib.SplitFunc,
		"concat":     stdlib.ConcatFunc,
		"merge":      stdlib.MergeFunc,
		"length":     stdlib.LengthFunc,
		"keys":       stdlib.KeysFunc,
		"values":     stdlib.ValuesFunc,
		"replace":    stdlib.ReplaceFunc,
		"trimspace":  stdlib.TrimSpaceFunc,
		"trimprefix": stdlib.TrimPrefixFunc,
		"trimsuffix": stdlib.TrimSuffixFunc,
		"substr":     stdlib.SubstrFunc,
		"coalesce":   stdlib.CoalesceFunc,
		"jsondecode": stdlib.JSONDecodeFunc,
		"jsonencode": stdlib.JSONEncodeFunc,
		"csvdecode":  stdlib.CSVDecodeFunc,
		"min":        stdlib.MinFunc,
		"max":        stdlib.MaxFunc,
	}
}

// context is what HCL expressions see. With missing (inside a connection), things that are not there now —
// a variable of the environment, a file, an answer of a command — are noted in it and read as "", so that a
// mapping can be validated where its passwords are not known. Commands run there only.
func (l *loader) context(missing *[]string) *hcl.EvalContext {
	f := standardFunctions()
	lenient := missing != nil
	if missing == nil {
		missing = &l.missing
	}
	text := []function.Parameter{{Name: "name", Type: cty.String}}
	more := &function.Parameter{Name: "more", Type: cty.String}
	returns := function.StaticReturnType(cty.String)

	f["env"] = function.New(&function.Spec{Params: text, VarParam: more, Type: returns, Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		if len(args) > 2 {
			return cty.NilVal, errors.New("env() takes the name of a variable and perhaps what to use when it is not set")
		}
		name := args[0].AsString()
		if v, ok := l.o.Getenv(name); ok {
			return cty.StringVal(v), nil
		}
		if len(args) == 2 {
			return args[1], nil
		}
		*missing = append(*missing, name)
		return cty.StringVal(""), nil
	}})
	f["file"] = function.New(&function.Spec{Params: text, Type: returns, Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		name := l.path(args[0].AsString())
		src, err := readRegular(name)
		if err != nil {
			if lenient {
				*missing = append(*missing, fmt.Sprintf("file(%q)", args[0].AsString()))
				return cty.StringVal(""), nil
			}
			return cty.NilVal, err
		}
		l.cfg.Inputs = append(l.cfg.Inputs, name)
		return cty.StringVal(strings.TrimRight(string(src), "\r\n")), nil
	}})
	f["command"] = function.New(&function.Spec{Params: text, VarParam: more, Type: returns, Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		if !lenient {
			return cty.NilVal, errors.New("command() can be used inside a connection block only")
		}
		out, err := l.command(args)
		if err != nil {
			*missing = append(*missing, fmt.Sprintf("command(%q) (%v)", args[0].AsString(), err))
			return cty.StringVal(""), nil
		}
		return cty.StringVal(out), nil
	}})
	return &hcl.EvalContext{
		Functions: f,
		Variables: map[string]cty.Value{"var": object(l.vars), "local": object(l.locals)},
	}
}

// command runs a program in the mapping directory. What it prints on its error stream stays unseen: it may
// repeat a secret.
func (l *loader) command(args []cty.Value) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	words := make([]string, len(args))
	for i, a := range args {
		words[i] = a.AsString()
	}
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Dir = l.cfg.Dir
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout = &out
	err := cmd.Run()
	if ctx.Err() != nil {
		return "", fmt.Errorf("no answer within %s", commandTimeout)
	}
	return strings.TrimSpace(out.String()), err
}

func object(m map[string]cty.Value) cty.Value {
	if len(m) == 0 {
		return cty.EmptyObjectVal
	}
	return cty.ObjectVal(m)
}

// value evaluates e. false means that a diagnostic says what is wrong.
func (l *loader) value(e hcl.Expression) (cty.Value, bool) {
	l.missing = nil
	v, diags := e.Value(l.ctx)
	l.add(diags...)
	missing := append(l.missing, l.taint(e.Variables())...)
	if len(missing) > 0 {
		slices.Sort(missing)
		for _, name := range slices.Compact(missing) {
			l.fail(e.Range(), "Environment variable not set", "%s is not set. Set it, or give a value to use instead: env(%q, \"…\").", name, name)
		}
		return cty.NilVal, false
	}
	return v, !diags.HasErrors() && v.IsWhollyKnown()
}

// taint lists the environment variables that the locals among ts lack.
func (l *loader) taint(ts []hcl.Traversal) []string {
	var missing []string
	for _, t := range ts {
		if t.RootName() == "local" && len(t) > 1 {
			if a, ok := t[1].(hcl.TraverseAttr); ok {
				missing = append(missing, l.tainted[a.Name]...)
			}
		}
	}
	return missing
}

// text evaluates e as one string.
func (l *loader) text(e hcl.Expression) (string, bool) {
	v, ok := l.value(e)
	if !ok {
		return "", false
	}
	s, err := convert.Convert(v, cty.String)
	if err != nil || s.IsNull() {
		l.fail(e.Range(), "Text expected", "Write one text in double quotes here.")
		return "", false
	}
	return s.AsString(), true
}

// word evaluates e as one of few words.
func (l *loader) word(e hcl.Expression, what string, words ...string) (string, bool) {
	s, ok := l.text(e)
	if ok && !slices.Contains(words, s) {
		l.fail(e.Range(), "Unknown "+what, "%q is not a %s; write %s.%s", s, what, oneOf(words), suggestion(s, words))
		return "", false
	}
	return s, ok
}

func suggestion(s string, words []string) string {
	if n := nearest(s, words); n != "" {
		return fmt.Sprintf(" Did you mean %q?", n)
	}
	return ""
}

// truth evaluates e as true or false.
func (l *loader) truth(e hcl.Expression) (value, ok bool) {
	v, ok := l.value(e)
	if !ok {
		return false, false
	}
	b, err := convert.Convert(v, cty.Bool)
	if err != nil || b.IsNull() {
		l.fail(e.Range(), "Yes or no expected", "Write true or false here.")
		return false, false
	}
	return b.True(), true
}

// duration evaluates e as a length of time of at least least.
func (l *loader) duration(e hcl.Expression, least time.Duration) (time.Duration, bool) {
	s, ok := l.text(e)
	if !ok {
		return 0, false
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < least {
		l.fail(e.Range(), "Not a length of time", "%q is not a length of time of at least %s; write \"90s\", \"15m\" or \"72h\".", s, least)
		return 0, false
	}
	return d, true
}

// fromCty makes a record's value of an HCL value.
func fromCty(v cty.Value) (record.Value, error) {
	a, err := plain(v)
	if err != nil {
		return record.Value{}, err
	}
	return record.Of(a)
}

func plain(v cty.Value) (any, error) {
	if v.IsNull() {
		return nil, nil
	}
	t := v.Type()
	switch {
	case t == cty.String:
		return v.AsString(), nil
	case t == cty.Bool:
		return v.True(), nil
	case t == cty.Number:
		return number(v.AsBigFloat()), nil
	case t.IsTupleType() || t.IsListType() || t.IsSetType():
		list := make([]any, 0, v.LengthInt())
		for _, e := range v.Elements() {
			a, err := plain(e)
			if err != nil {
				return nil, err
			}
			list = append(list, a)
		}
		return list, nil
	case t.IsObjectType() || t.IsMapType():
		m := map[string]any{}
		for k, e := range v.Elements() {
			a, err := plain(e)
			if err != nil {
				return nil, err
			}
			m[k.AsString()] = a
		}
		return m, nil
	}
	return nil, fmt.Errorf("a %s cannot stand in a record", t.FriendlyName())
}

// number keeps whole numbers exact. Those that no int64 holds become a float.
func number(f *big.Float) any {
	if n, exact := f.Int64(); exact == big.Exact {
		return n
	}
	x, _ := f.Float64()
	return x
}

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
			l.fail(b.DefRange, "Variable without a value", "Variable %q has no default. Add one, or pass -var %s=VALUE.", name, name)
			v = cty.DynamicVal
		}
		l.vars[name] = v
	}
	for name := range l.o.Vars {
		if !slices.Contains(names, name) {
			l.add(general("Unknown variable", "-var %s=… names a variable that no file declares.%s", name, didYouMean(name, names)))
		}
	}
	l.ctx = l.context(nil)
}

// assign gives a -var text the type of the variable's default.
func (l *loader) assign(name, s string, like cty.Value) cty.Value {
	if like == cty.NilVal || like.IsNull() || !like.IsKnown() || like.Type() == cty.String {
		return cty.StringVal(s)
	}
	if v, err := convert.Convert(cty.StringVal(s), like.Type()); err == nil {
		return v
	}
	e, diags := hclsyntax.ParseExpression([]byte(s), "-var "+name, hcl.InitialPos)
	if !diags.HasErrors() {
		if v, diags := e.Value(nil); !diags.HasErrors() && sameShape(v.Type(), like.Type()) {
			return v
		}
	}
	l.add(general("Wrong kind of value", "-var %s=… does not fit: the variable's default is a %s.", name, like.Type().FriendlyName()))
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

// A ref is a name that stands in a file.
type ref struct {
	text string
	at   hcl.Range
}

// names evaluates e as a text or a list of texts.
func (l *loader) names(e hcl.Expression) []ref {
	if list, diags := hcl.ExprList(e); !diags.HasErrors() {
		var out []ref
		for _, item := range list {
			if s, ok := l.text(item); ok {
				out = append(out, ref{s, item.Range()})
			}
		}
		return out
	}
	v, ok := l.value(e)
	if !ok {
		return nil
	}
	if !v.IsNull() && (v.Type().IsTupleType() || v.Type().IsListType() || v.Type().IsSetType()) {
		var out []ref
		for _, item := range v.Elements() {
			s, err := convert.Convert(item, cty.String)
			if err != nil || s.IsNull() {
				l.fail(e.Range(), "Text expected", "Every element of this list must be a text.")
				return nil
			}
			out = append(out, ref{s.AsString(), e.Range()})
		}
		return out
	}
	if s, ok := l.text(e); ok {
		return []ref{{s, e.Range()}}
	}
	return nil
}

// unique reports whether b's last label is new among blocks of its kind.
func (l *loader) unique(seen map[string]hcl.Range, kind string, b *hcl.Block) bool {
	name := b.Labels[len(b.Labels)-1]
	if first, ok := seen[name]; ok {
		l.fail(b.LabelRanges[len(b.LabelRanges)-1], "Second "+kind+" of this name", "There is a %s %q at %s already. Give one of them another name.", kind, name, at(first))
		return false
	}
	seen[name] = b.DefRange
	return true
}

// reserved words have a meaning of their own in expr, so nothing that expressions name may be called so.
var reserved = []string{"run", "local", "true", "false", "nil", "not", "and", "or", "in", "matches", "contains", "startsWith", "endsWith", "let", "if", "else"}

// label checks the name of a block that other blocks refer to.
func (l *loader) label(name, kind string, at hcl.Range) bool {
	if !hclsyntax.ValidIdentifier(name) {
		l.fail(at, "Not a name", "A %s has a name of letters, digits, underscores and dashes that starts with a letter; %q is none.", kind, name)
		return false
	}
	return true
}

// identifier checks a name that expressions use.
func (l *loader) identifier(name, kind string, at hcl.Range) bool {
	if !hclsyntax.ValidIdentifier(name) || strings.Contains(name, "-") || strings.HasPrefix(name, "$") {
		l.fail(at, "Not a name", "A %s has a name of letters, digits and underscores that starts with a letter; %q is none.", kind, name)
		return false
	}
	if slices.Contains(reserved, name) {
		l.fail(at, "Reserved name", "%q has a meaning of its own in expressions. Give the %s another name.", name, kind)
		return false
	}
	return true
}

// reference reads e as KIND.NAME and returns the name.
func (l *loader) reference(e hcl.Expression, kind string, known []string) (string, bool) {
	t, diags := hcl.AbsTraversalForExpr(e)
	if !diags.HasErrors() && len(t) == 2 && t.RootName() == kind {
		if a, ok := t[1].(hcl.TraverseAttr); ok {
			if slices.Contains(known, a.Name) {
				return a.Name, true
			}
			l.fail(a.SrcRange, "Unknown "+kind, "There is no %s %q.%s", kind, a.Name, didYouMean(a.Name, known))
			return "", false
		}
	}
	example := "NAME"
	if len(known) > 0 {
		example = known[0]
	}
	l.fail(e.Range(), "Not a "+kind, "Write the name of a %s here, without quotes, such as %s.%s.", kind, kind, example)
	return "", false
}

// inOrder sorts attributes as they stand in the file.
func inOrder(m map[string]*hcl.Attribute) []*hcl.Attribute {
	attrs := make([]*hcl.Attribute, 0, len(m))
	for _, a := range m {
		attrs = append(attrs, a)
	}
	slices.SortFunc(attrs, func(a, b *hcl.Attribute) int {
		return cmp.Or(strings.Compare(a.Range.Filename, b.Range.Filename), a.Range.Start.Byte-b.Range.Start.Byte)
	})
	return attrs
}
