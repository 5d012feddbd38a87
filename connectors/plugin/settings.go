package plugin

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/mapping/expression"
)

// Prepare evaluates the settings block, whose names only the plugin knows. The mapping calls it when it is loaded.
func (c *Config) Prepare(dir string, ctx *hcl.EvalContext, _ expression.Scope, _ func(hcl.Expression) hcl.Expression) (map[string]*hcl.File, []string, hcl.Diagnostics) {
	fail := func(summary, detail string) hcl.Diagnostics {
		return hcl.Diagnostics{{Severity: hcl.DiagError, Summary: summary, Detail: detail, Subject: c.Range.Ptr()}}
	}
	if err := c.wrong(); err != nil {
		return nil, nil, fail("Wrong setting of a plugin", err.Error()+".")
	}
	if c.SHA256 == "" {
		_, err := c.find(dir)
		detail := err.Error()
		if e, ok := errors.AsType[*connectors.Error](err); ok {
			detail = fmt.Sprintf("Program %s: %s.\nWay out: %s.", c.Program, e.Detail, e.Hint)
		}
		return nil, nil, fail("Plugin without a pin", detail)
	}
	c.json, c.plain, c.secrets = "{}", nil, nil
	if c.Settings == nil {
		return nil, nil, nil
	}
	body, ok := c.Settings.Body.(*hclsyntax.Body)
	if !ok {
		return nil, nil, fail("Wrong setting of a plugin", "settings is written as a block of HCL.")
	}
	r := &reader{ctx: ctx}
	text, err := json.Marshal(r.object(body, ""))
	if err != nil && !r.diags.HasErrors() {
		return nil, nil, fail("Wrong setting of a plugin", err.Error()+".")
	}
	slices.Sort(r.secrets)
	slices.Sort(r.plain)
	c.json, c.plain, c.secrets = string(text), r.plain, slices.Compact(r.secrets)
	return nil, nil, r.diags
}

// A reader makes JSON of a block: attributes are members, blocks are objects in lists, their labels objects around them.
// That is the JSON form of HCL, so that a connector in Go decodes it like any other.
type reader struct {
	ctx     *hcl.EvalContext
	diags   hcl.Diagnostics
	plain   []string
	secrets []string
}

func (r *reader) object(body *hclsyntax.Body, at string) map[string]any {
	m := map[string]any{}
	for name, a := range body.Attributes {
		v, diags := a.Expr.Value(r.ctx)
		r.diags = append(r.diags, diags...)
		if diags.HasErrors() {
			continue
		}
		text, err := encoded(v)
		if err != nil {
			r.diags = append(r.diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Not a setting", Detail: fmt.Sprintf("%s: %v.", name, err), Subject: a.SrcRange.Ptr()})
			continue
		}
		m[name] = text
		if secret(name, a.Expr) {
			r.hide(v)
		} else {
			r.plain = append(r.plain, at+name+"="+string(text))
		}
	}
	for _, b := range body.Blocks {
		var inner any = r.object(b.Body, at+strings.Join(append([]string{b.Type}, b.Labels...), ".")+".")
		for _, label := range slices.Backward(b.Labels) {
			inner = map[string]any{label: inner}
		}
		list, _ := m[b.Type].([]any)
		m[b.Type] = append(list, inner)
	}
	return m
}

func encoded(v cty.Value) (json.RawMessage, error) {
	v, _ = v.UnmarkDeep()
	if !v.IsWhollyKnown() {
		return nil, errors.New("its value is not known yet")
	}
	return ctyjson.Marshal(v, v.Type())
}

// secret reports whether a setting may be a credential: it comes from outside the file, or is called like one.
func secret(name string, e hclsyntax.Expression) bool {
	for _, word := range []string{"password", "passwd", "secret", "token", "api_key", "apikey", "private_key", "credential"} {
		if strings.Contains(strings.ToLower(name), word) {
			return true
		}
	}
	found := false
	_ = hclsyntax.VisitAll(e, func(n hclsyntax.Node) hcl.Diagnostics {
		if call, ok := n.(*hclsyntax.FunctionCallExpr); ok && slices.Contains([]string{"env", "file", "command"}, call.Name) {
			found = true
		}
		return nil
	})
	return found
}

// hide notes every text inside v.
func (r *reader) hide(v cty.Value) {
	_ = cty.Walk(v, func(_ cty.Path, v cty.Value) (bool, error) {
		if v.Type() == cty.String && v.IsKnown() && !v.IsNull() && v.AsString() != "" {
			r.secrets = append(r.secrets, v.AsString())
		}
		return true, nil
	})
}
