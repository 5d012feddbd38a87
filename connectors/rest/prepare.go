package rest

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/fieldsync/fieldsync/engine/mapping/expression"
	"github.com/fieldsync/fieldsync/mappings"
)

// maxDescription is more than any description written by hand.
const maxDescription = 1 << 20

// Prepare compiles what the connection and its description say. The mapping calls it when it is loaded, so that
// mistakes are shown with their place. dir is the folder of the mapping file, ctx and scope what its expressions may
// name, within gives an expression the bytes of its file. It returns the files it read, for showing diagnostics, and
// the names of those that people may edit.
func (c *Config) Prepare(dir string, ctx *hcl.EvalContext, scope expression.Scope, within func(hcl.Expression) hcl.Expression) (map[string]*hcl.File, []string, hcl.Diagnostics) {
	files := map[string]*hcl.File{}
	if within == nil {
		within = func(e hcl.Expression) hcl.Expression { return e }
	}
	comp := &compiler{ctx: ctx, scope: scope, within: func(e hcl.Expression) hcl.Expression {
		if f := files[e.Range().Filename]; f != nil {
			return expression.Within(e, f.Bytes)
		}
		return within(e)
	}}
	var d description
	var inputs []string
	if c.System != "" {
		file, input, err := c.describe(dir)
		if input != "" {
			inputs = append(inputs, input)
		}
		if err != nil {
			return files, inputs, hcl.Diagnostics{{Severity: hcl.DiagError, Summary: "No such description", Detail: err.Error(), Subject: c.SystemRange.Ptr()}}
		}
		f, diags := hclsyntax.ParseConfig(file.src, file.name, hcl.InitialPos)
		files[file.name] = f
		if diags.HasErrors() {
			return files, inputs, diags
		}
		var declared struct {
			Settings []Setting `hcl:"setting,block"`
			Rest     hcl.Body  `hcl:",remain"`
		}
		diags = gohcl.DecodeBody(f.Body, nil, &declared)
		comp.ctx = child(ctx, c.settings(declared.Settings, &diags))
		diags = append(diags, gohcl.DecodeBody(declared.Rest, comp.ctx, &d)...)
		if diags.HasErrors() {
			return files, inputs, diags
		}
	}
	c.tool = c.compile(comp, &d)
	return files, inputs, comp.diags
}

func child(ctx *hcl.EvalContext, settings map[string]cty.Value) *hcl.EvalContext {
	if ctx == nil {
		ctx = &hcl.EvalContext{}
	}
	in := ctx.NewChild()
	in.Variables = map[string]cty.Value{"setting": cty.ObjectVal(settings)}
	return in
}

type source struct {
	name string
	src  []byte
}

// describe finds the description: a name is one of the shipped ones, a path a file of the user's.
func (c *Config) describe(dir string) (source, string, error) {
	if !strings.ContainsAny(c.System, `/\.`) {
		name := "systems/" + c.System + ".hcl"
		src, err := mappings.Systems.ReadFile(name)
		if err != nil {
			known := Shipped()
			return source{}, "", fmt.Errorf("there is no description of %q; shipped are %s, and system = \"./tool.hcl\" names a file of your own%s",
				c.System, strings.Join(known, ", "), strings.Replace(meant(c.System, known), " Did", "; did", 1))
		}
		return source{"shipped " + name, src}, "", nil
	}
	name := c.System
	if !filepath.IsAbs(name) {
		name = filepath.Join(dir, name)
	}
	info, err := os.Stat(name)
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxDescription) {
		err = fmt.Errorf("%s is not a file of a description", name)
	}
	var src []byte
	if err == nil {
		src, err = os.ReadFile(name)
	}
	if err != nil {
		return source{}, name, fmt.Errorf("the description cannot be read: %w", err)
	}
	return source{name, src}, name, nil
}

// Shipped lists the descriptions inside the binary.
func Shipped() []string {
	entries, err := fs.ReadDir(mappings.Systems, "systems")
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(path.Base(e.Name()), ".hcl"))
	}
	return names
}

// settings are what setting.NAME stands for.
func (c *Config) settings(declared []Setting, diags *hcl.Diagnostics) map[string]cty.Value {
	out := map[string]cty.Value{}
	var names []string
	for _, s := range declared {
		names = append(names, s.Name)
		v, given := c.Settings[s.Name]
		switch {
		case given:
		case s.Default != nil:
			v = *s.Default
		default:
			*diags = append(*diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Setting missing",
				Detail:  fmt.Sprintf("The description %q needs the setting %q (%s). Write settings = { %s = \"…\" } into the connection.", c.System, s.Name, s.Description, s.Name),
				Subject: c.SystemRange.Ptr()})
		}
		out[s.Name] = cty.StringVal(v)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Settings)) {
		if !slices.Contains(names, name) {
			*diags = append(*diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Unknown setting",
				Detail: fmt.Sprintf("The description %q has no setting %q. It has %s.%s", c.System, name, cmp.Or(strings.Join(names, ", "), "none"), meant(name, names)), Subject: c.InSettings.Ptr()})
		}
	}
	return out
}

// compile puts the description and what the connection adds to it together.
func (c *Config) compile(comp *compiler, d *description) *tool {
	t := &tool{name: c.System, auth: d.Auth, headers: maps.Clone(d.Headers)}
	for name, v := range c.Headers {
		if t.headers == nil {
			t.headers = map[string]string{}
		}
		t.headers[name] = v
	}
	if l := cmp.Or(c.Login, d.Login); l != nil {
		t.login = &probe{path: comp.template(l.Path), user: comp.expr(l.User, expression.Any, "body", "header")}
	}
	if f := cmp.Or(c.Error, d.Error); f != nil {
		t.failed = comp.expr(f.When, expression.Bool, "body", "header", "status")
		t.missing = comp.expr(f.Missing, expression.Bool, "body", "header", "status")
		t.stale = comp.expr(f.Stale, expression.Bool, "body", "header", "status")
		t.message = comp.expr(f.Message, expression.Any, "body", "header", "status")
	}
	all := slices.Clone(d.Collections)
	for _, own := range c.Collections {
		i := slices.IndexFunc(all, func(b Collection) bool { return b.Name == own.Name })
		if i < 0 {
			all = append(all, own)
			continue
		}
		all[i] = added(all[i], own)
	}
	seen := map[string]bool{}
	for i := range all {
		if seen[all[i].Name] {
			comp.fail(all[i].Range, "Second collection of this name", "Collection %q is described already.", all[i].Name)
		}
		seen[all[i].Name] = true
		t.collections = append(t.collections, comp.collection(&all[i]))
	}
	return t
}

// added is a description's collection with what the connection says of it: single settings and blocks are replaced,
// fields, named lists, comments and attachments by name.
func added(base, own Collection) Collection {
	b, o := reflect.ValueOf(&base).Elem(), reflect.ValueOf(&own).Elem()
	for i := range b.NumField() {
		if f := o.Field(i); f.Kind() == reflect.Pointer && !f.IsNil() {
			b.Field(i).Set(f)
		}
	}
	base.Fields = byName(base.Fields, own.Fields, func(f Field) string { return f.Path })
	base.Named = byName(base.Named, own.Named, func(n Named) string { return n.Path })
	base.Comments = byName(base.Comments, own.Comments, func(c Comments) string { return c.Name })
	base.Files = byName(base.Files, own.Files, func(a Attachments) string { return a.Label })
	return base
}

func byName[T any](base, own []T, name func(T) string) []T {
	out := slices.Clone(base)
	for _, o := range own {
		if i := slices.IndexFunc(out, func(b T) bool { return name(b) == name(o) }); i >= 0 {
			out[i] = o
		} else {
			out = append(out, o)
		}
	}
	return out
}

// An identity is what makes two connections the same system: the address, the account and what the description is
// told. How a description is written is no part of it.
type identity struct {
	URL      string
	Settings map[string]string
	Accounts []string
}

// Veil returns the identity of the connection.
func (c *Config) Veil() (any, []string) {
	id := identity{URL: strings.TrimRight(c.URL, "/"), Settings: c.Settings}
	for _, a := range c.Auth {
		id.Accounts = append(id.Accounts, fmt.Sprintf("%s %q %q", a.Kind, a.Username, a.ClientID))
	}
	return id, nil
}
