package rest

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/gocty"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/mapping/expression"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A compiler turns decoded blocks into a tool. Its methods report what is wrong and go on.
type compiler struct {
	ctx    *hcl.EvalContext
	scope  expression.Scope
	within func(hcl.Expression) hcl.Expression
	diags  hcl.Diagnostics
}

func (c *compiler) fail(at hcl.Range, summary, format string, args ...any) {
	c.diags = append(c.diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: fmt.Sprintf(format, args...), Subject: &at})
}

// value is what an attribute holds; false where it is not there, or a diagnostic says what is wrong.
func (c *compiler) value(a *hcl.Attribute) (cty.Value, bool) {
	if a == nil {
		return cty.NilVal, false
	}
	v, diags := a.Expr.Value(c.ctx)
	c.diags = append(c.diags, diags...)
	if diags.HasErrors() || !v.IsWhollyKnown() || v.IsNull() {
		return cty.NilVal, false
	}
	return v, true
}

func (c *compiler) word(a *hcl.Attribute, otherwise string, words ...string) string {
	v, ok := c.value(a)
	if !ok {
		return otherwise
	}
	s, err := convert.Convert(v, cty.String)
	if err != nil {
		c.fail(a.Expr.Range(), "Text expected", "%s is one text in double quotes.", a.Name)
		return otherwise
	}
	if len(words) > 0 && !slices.Contains(words, s.AsString()) {
		c.fail(a.Expr.Range(), "Unknown word", "%s is one of %s.%s", a.Name, strings.Join(words, ", "), meant(s.AsString(), words))
		return otherwise
	}
	return s.AsString()
}

func meant(s string, words []string) string {
	if near := connectors.Nearest(s, words); near != "" {
		return fmt.Sprintf(" Did you mean %q?", near)
	}
	return ""
}

func (c *compiler) number(a *hcl.Attribute, otherwise, least int) int {
	v, ok := c.value(a)
	if !ok {
		return otherwise
	}
	var n int
	if v, err := convert.Convert(v, cty.Number); err != nil || gocty.FromCtyValue(v, &n) != nil || n < least {
		c.fail(a.Expr.Range(), "Whole number expected", "%s is a whole number from %d.", a.Name, least)
		return otherwise
	}
	return n
}

func (c *compiler) truth(a *hcl.Attribute) bool {
	v, ok := c.value(a)
	if !ok {
		return false
	}
	b, err := convert.Convert(v, cty.Bool)
	if err != nil {
		c.fail(a.Expr.Range(), "Yes or no expected", "%s is true or false.", a.Name)
		return false
	}
	return b.True()
}

func (c *compiler) duration(a *hcl.Attribute, otherwise time.Duration) time.Duration {
	s := c.word(a, "")
	if s == "" {
		return otherwise
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		c.fail(a.Expr.Range(), "Not a length of time", `%s is a length of time such as "30s" or "2m".`, a.Name)
		return otherwise
	}
	return d
}

// template is a text whose placeholders are among names.
func (c *compiler) template(a *hcl.Attribute, names ...string) template {
	s := c.word(a, "")
	c.placeholders(s, names, func(from, to int) hcl.Range { return expression.Range(c.within(a.Expr), from, to) })
	return template(s)
}

func (c *compiler) placeholders(s string, names []string, at func(from, to int) hcl.Range) {
	for _, m := range placeholder.FindAllStringSubmatchIndex(s, -1) {
		if name := s[m[2]:m[3]]; !slices.Contains(names, name) {
			known := "No placeholder can stand here."
			if len(names) > 0 {
				known = "Here {" + strings.Join(names, "}, {") + "} can stand."
			}
			c.fail(at(len([]rune(s[:m[0]])), len([]rune(s[:m[1]]))), "Unknown placeholder", "There is no {%s}. %s", name, known)
		}
	}
}

// members are those of an object in the order of the file, with where each value stands.
func (c *compiler) members(a *hcl.Attribute) []entry {
	v, ok := c.value(a)
	if !ok {
		return nil
	}
	if !v.Type().IsObjectType() && !v.Type().IsMapType() {
		c.fail(a.Expr.Range(), "Object expected", "%s is written { name = value }.", a.Name)
		return nil
	}
	places := map[string]hcl.Expression{}
	if pairs, diags := hcl.ExprMap(a.Expr); !diags.HasErrors() {
		for _, p := range pairs {
			if k, diags := p.Key.Value(c.ctx); !diags.HasErrors() && k.Type() == cty.String && k.IsKnown() && !k.IsNull() {
				places[k.AsString()] = p.Value
			}
		}
	}
	var list []entry
	values := v.AsValueMap()
	for _, name := range slices.Sorted(maps.Keys(values)) {
		m := entry{name: name, value: values[name], expr: places[name]}
		if m.expr == nil {
			m.expr = a.Expr
		}
		list = append(list, m)
	}
	return list
}

type entry struct {
	name  string
	value cty.Value
	expr  hcl.Expression
}

// params are query parameters. Names may hold placeholders, too.
func (c *compiler) params(a *hcl.Attribute, names ...string) []param {
	var list []param
	for _, m := range c.members(a) {
		if m.value.IsNull() {
			continue
		}
		s, err := convert.Convert(m.value, cty.String)
		if err != nil {
			c.fail(m.expr.Range(), "Text expected", "The query parameter %q is a text, a number or true or false.", m.name)
			continue
		}
		c.placeholders(m.name, names, func(int, int) hcl.Range { return a.Expr.Range() })
		c.placeholders(s.AsString(), names, func(from, to int) hcl.Range { return expression.Range(c.within(m.expr), from, to) })
		list = append(list, param{template(m.name), template(s.AsString())})
	}
	return list
}

// constants are members of a body. A name with dots leads into objects.
func (c *compiler) constants(a *hcl.Attribute, names ...string) []constant {
	var list []constant
	for _, m := range c.members(a) {
		v, err := plain(m.value)
		if err != nil {
			c.fail(m.expr.Range(), "Not a constant", "%q: %v.", m.name, err)
			continue
		}
		switch s, isText := v.(string); {
		case v == any(""):
			continue // a setting that was not given
		case isText:
			c.placeholders(s, names, func(from, to int) hcl.Range { return expression.Range(c.within(m.expr), from, to) })
		default:
			for _, s := range texts(v) {
				c.placeholders(s, names, func(int, int) hcl.Range { return m.expr.Range() })
			}
		}
		list = append(list, constant{strings.Split(m.name, "."), v})
	}
	return list
}

// plain is a value of HCL as JSON would decode it.
func plain(v cty.Value) (any, error) {
	t := v.Type()
	switch {
	case v.IsNull():
		return nil, nil
	case t == cty.String:
		return v.AsString(), nil
	case t == cty.Bool:
		return v.True(), nil
	case t == cty.Number:
		f := v.AsBigFloat()
		if n, accuracy := f.Int64(); accuracy == 0 {
			return n, nil
		}
		n, _ := f.Float64()
		return n, nil
	case t.IsTupleType() || t.IsListType() || t.IsSetType():
		list := []any{}
		for _, e := range v.AsValueSlice() {
			p, err := plain(e)
			if err != nil {
				return nil, err
			}
			list = append(list, p)
		}
		return list, nil
	case t.IsObjectType() || t.IsMapType():
		object := map[string]any{}
		for name, e := range v.AsValueMap() {
			p, err := plain(e)
			if err != nil {
				return nil, err
			}
			object[name] = p
		}
		return object, nil
	}
	return nil, fmt.Errorf("a %s is no JSON", t.FriendlyName())
}

// clear is what a write sends for null: JSON null where the description does not say.
func (c *compiler) clear(a *hcl.Attribute) any {
	v, ok := c.value(a)
	if !ok {
		return nil
	}
	p, err := plain(v)
	if err != nil {
		c.fail(a.Expr.Range(), "Not a constant", "clear is what is sent for an empty value: a text, a number, a list.")
	}
	return p
}

// expr compiles an expression over the named things; nil where there is none.
func (c *compiler) expr(a *hcl.Attribute, want expression.Want, names ...string) *expr {
	if a == nil {
		return nil
	}
	src := c.within(a.Expr)
	scope := c.scope
	scope.Vars = vars(names...)
	p, diags := expression.Compile(src, c.ctx, scope, want)
	c.diags = append(c.diags, diags...)
	if p == nil {
		return nil
	}
	e := &expr{prog: p}
	if v, diags := a.Expr.Value(c.ctx); !diags.HasErrors() && v.Type() == cty.String && v.IsKnown() && !v.IsNull() {
		if m := plainChain.FindStringSubmatch(v.AsString()); m != nil {
			e.root = m[1]
			if m[2] != "" {
				e.chain = strings.Split(m[2][1:], ".")
			}
		}
	}
	return e
}

func (c *compiler) list(l *List, base *list, names ...string) *list {
	if l == nil {
		return nil
	}
	names = append(slices.Clone(names), "query", "since")
	out := &list{zone: time.UTC, overlap: time.Minute}
	if base != nil {
		*out = *base
	}
	if l.Path != nil {
		out.path = c.template(l.Path, names...)
	}
	out.query = over(out.query, c.params(l.Query, names...))
	if l.Items != nil {
		out.items = c.expr(l.Items, expression.Any, "body", "header")
	}
	out.all = c.word(l.All, out.all)
	out.layout = c.word(l.Time, cmp.Or(out.layout, time.RFC3339))
	out.overlap = c.duration(l.Overlap, out.overlap)
	if zone := c.word(l.Zone, ""); zone != "" {
		loc, err := time.LoadLocation(zone)
		if err != nil || zone == "Local" {
			c.fail(l.Zone.Expr.Range(), "Unknown time zone", "zone is an IANA name such as \"Europe/Brussels\".")
		} else {
			out.zone = loc
		}
	}
	if l.Page != nil {
		out.page = c.page(l.Page)
	}
	if out.page == nil {
		out.page = &page{}
	}
	if out.path == "" || out.items == nil && !c.diags.HasErrors() {
		c.fail(l.Range, "Incomplete list", `A list has path = "/…" and items = "body.…", the expression for the records in its answer.`)
	}
	return out
}

func (c *compiler) page(p *Page) *page {
	out := &page{size: c.number(p.Size, 100, 1), first: c.number(p.First, 1, 0)}
	out.total = c.expr(p.Total, expression.Any, "body", "header")
	out.next = c.expr(p.Next, expression.Any, "body", "header")
	out.more = c.expr(p.More, expression.Bool, "body", "header")
	kinds := map[string]struct {
		kind         pageKind
		param, limit string
	}{
		"offset": {byOffset, "offset", "limit"}, "number": {byNumber, "page", "per_page"},
		"cursor": {byCursor, "cursor", "limit"}, "link": {byLink, "", "per_page"},
	}
	k, ok := kinds[p.Kind]
	if !ok {
		c.fail(p.Range, "Unknown way of paging", `Write page "offset", "number", "cursor" or "link".%s`, meant(p.Kind, slices.Collect(maps.Keys(kinds))))
	}
	out.kind, out.param, out.limit = k.kind, c.word(p.Param, k.param), c.word(p.Limit, k.limit)
	if k.kind == byCursor && p.Next == nil {
		c.fail(p.Range, "No cursor", `page "cursor" needs next = "body.…": the expression for the cursor of the next page, null on the last.`)
	}
	return out
}

func (c *compiler) read(r *Read, many bool) *read {
	if r == nil {
		return nil
	}
	out := &read{path: c.template(r.Path, "key", "keys"), separator: c.word(r.Separator, ","), max: c.number(r.Max, 50, 1)}
	out.query = c.params(r.Query, "key", "keys")
	out.item = c.expr(r.Item, expression.Any, "body", "header")
	out.items = c.expr(r.Items, expression.Any, "body", "header")
	out.each = template("{key}")
	if r.Each != nil {
		out.each = c.template(r.Each, "key", "quoted")
	}
	switch {
	case many && (out.path == "" || r.Items == nil):
		c.fail(r.Range, "Incomplete read_many", `It has path = "/…", items = "body.…" and {keys} in its path or query.`)
	case many && !out.path.has("keys") && !slices.ContainsFunc(out.query, func(p param) bool { return p.value.has("keys") }):
		c.fail(r.Range, "No keys", "read_many has to say where the keys go: {keys} in its path or query.")
	case !many && !out.path.has("key"):
		c.fail(r.Range, "No key", `read has path = "/…/{key}".`)
	}
	return out
}

func (c *compiler) write(w *Write, method string, names ...string) *write {
	if w == nil {
		return nil
	}
	names = append(slices.Clone(names), "key")
	out := &write{method: c.word(w.Method, method, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete), path: c.template(w.Path, names...)}
	out.query = c.params(w.Query, names...)
	if s := c.word(w.Wrap, ""); s != "" {
		out.wrap = strings.Split(s, ".")
	}
	if s := c.word(w.Text, ""); s != "" {
		out.text = strings.Split(s, ".")
	}
	out.set = c.constants(w.Set, names...)
	out.key = c.expr(w.Key, expression.Any, "body", "header")
	out.item = c.expr(w.Item, expression.Any, "body", "header")
	out.etag = c.truth(w.ETag)
	out.given = out.path.has("version") || slices.ContainsFunc(out.query, func(p param) bool { return p.value.has("version") }) ||
		slices.ContainsFunc(out.set, func(s constant) bool {
			return slices.ContainsFunc(texts(s.value), func(t string) bool { return template(t).has("version") })
		})
	return out
}

func (c *compiler) field(f *Field) *field {
	out := &field{createOnly: c.truth(f.CreateOnly), updateOnly: c.truth(f.UpdateOnly), layout: c.word(f.Layout, "")}
	out.Path, out.Label = f.Path, c.word(f.Title, "")
	out.Once = out.createOnly
	kind := c.word(f.Type, "any", slices.Sorted(maps.Keys(types))...)
	out.Type = types[kind]
	if kind != "any" {
		out.Native = kind
	}
	out.ReadOnly, out.Required = c.truth(f.ReadOnly), c.truth(f.Required)
	out.MaxLength, out.Reference = c.number(f.MaxLength, 0, 1), c.word(f.Reference, "")
	if v, ok := c.value(f.Choices); ok {
		p, _ := plain(v)
		switch p := p.(type) {
		case []any:
			for _, e := range p {
				value, _ := record.Of(e)
				out.Choices = append(out.Choices, connectors.Choice{Value: value})
			}
		case map[string]any:
			for _, name := range slices.Sorted(maps.Keys(p)) {
				value, err := out.Type.Coerce(record.OfText(name))
				if err != nil {
					c.fail(f.Choices.Expr.Range(), "Choice of another type", "%v.", err)
				}
				out.Choices = append(out.Choices, connectors.Choice{Value: value, Label: fmt.Sprint(p[name])})
			}
		default:
			c.fail(f.Choices.Expr.Range(), "List expected", `choices is a list of values, or an object of labels by value: { "1" = "New" }.`)
		}
		out.Closed = len(out.Choices) > 0
	}
	out.read = c.expr(f.Read, expression.Any, "item")
	out.write = strings.Split(c.word(f.Write, f.Path), ".")
	out.send = c.expr(f.Send, expression.Any, "value")
	out.clear, out.join = c.clear(f.Clear), c.word(f.Join, "")
	out.unknown = c.word(f.Absent, "null", "null", "unknown") == "unknown"
	out.find = c.params(f.Find, "value", "quoted")
	if o := f.Options; o != nil {
		out.options = &options{path: c.template(o.Path, "key"), query: c.params(o.Query, "key"), items: c.expr(o.Items, expression.Any, "body", "header"),
			value: c.expr(o.Value, expression.Any, "item"), label: c.expr(o.Label, expression.Any, "item")}
	}
	out.step = c.write(f.Step, http.MethodPost, "value")
	if out.ReadOnly && (f.Write != nil || f.Send != nil || f.Step != nil || f.CreateOnly != nil || f.UpdateOnly != nil) {
		c.fail(f.Range, "Read-only and written", "The field %q is read_only, so nothing says how it is written.", f.Path)
	}
	if out.createOnly && out.updateOnly {
		c.fail(f.Range, "Never written", "The field %q is create_only and update_only: nothing is left that writes it. Remove one, or say read_only.", f.Path)
	}
	return out
}

func (c *compiler) named(n *Named) *named {
	out := &named{path: n.Path, in: c.word(n.In, n.Path), name: c.word(n.Name, "name"), member: c.word(n.Value, "value"), single: c.truth(n.Single)}
	out.id = c.word(n.ID, out.name)
	out.object = c.word(n.Write, "list", "list", "object") == "object"
	out.clear = c.clear(n.Clear)
	out.find = c.params(n.Find, "value", "quoted", "name", "id")
	if k := n.Known; k != nil {
		out.known = &list{path: c.template(k.Path), query: c.params(k.Query), items: c.expr(k.Items, expression.Any, "body", "header")}
	}
	return out
}

func (c *compiler) collection(b *Collection) *blueprint {
	out := &blueprint{name: b.Name, settle: c.duration(b.Settle, 0), closed: c.truth(b.Closed)}
	item := func(a *hcl.Attribute) *expr { return c.expr(a, expression.Any, "item") }
	out.key, out.label, out.version, out.modified, out.author = item(b.Key), item(b.Label), item(b.Version), item(b.Modified), item(b.Author)
	out.where = c.expr(b.Where, expression.Bool, "item")
	if b.Key == nil || b.List == nil {
		c.fail(b.Range, "Incomplete collection", `A collection has key = "item.…" and a list block; system names a description that has them.`)
		return out
	}
	chain := func(e *expr) string {
		if e != nil && e.root == "item" {
			return strings.Join(e.chain, ".")
		}
		return ""
	}
	out.keyPath, out.labelPath = cmp.Or(chain(out.key), "key"), chain(out.label)
	out.list = c.list(b.List, nil)
	out.changes = c.list(b.Changes, out.list)
	if out.search = c.list(b.Search, out.list); out.search == nil {
		out.search = out.list
	}
	if out.changes != nil && b.Modified == nil {
		c.fail(b.Changes.Range, "Changes without stamps", `Say where a record shows when it was changed: modified = "item.…".`)
	}
	out.read, out.many = c.read(b.Read, false), c.read(b.ReadMany, true)
	if out.read == nil && out.many == nil {
		c.fail(b.Range, "No way to read one record", `Add read { path = "/…/{key}" } or read_many: before anything is written or called gone, records are read by their keys.`)
	}
	out.create, out.update, out.remove = c.write(b.Create, http.MethodPost), c.write(b.Update, http.MethodPut, "version"), c.write(b.Delete, http.MethodDelete, "version")
	if out.create != nil && out.create.key == nil && out.create.item == nil {
		c.fail(b.Create.Range, "No key of a new record", `Say where the answer has it: key = "body.id", or item = "body" where the answer is the record.`)
	}
	for _, w := range []*write{out.update, out.remove} {
		if w != nil && w.etag && out.read == nil {
			c.fail(b.Range, "etag without read", "The ETag of a record comes with the answer of its read block; add one.")
		}
		if w != nil && w.given && (b.Version == nil || out.read == nil) {
			c.fail(b.Range, "No version", `{version} is what the record shows as its version: say where, version = "item.…", and how one record is read, read { … }.`)
		}
	}
	for i := range b.Fields {
		out.fields = append(out.fields, c.field(&b.Fields[i]))
	}
	for i := range b.Named {
		out.named = append(out.named, c.named(&b.Named[i]))
	}
	for i := range b.Comments {
		out.threads = append(out.threads, c.comments(&b.Comments[i]))
	}
	for i := range b.Files {
		out.cabinets = append(out.cabinets, c.attachments(&b.Files[i]))
	}
	return out
}
