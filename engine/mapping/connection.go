package mapping

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/mapping/expression"
)

var connectionSchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: "limits"}, {Type: "webhook", LabelNames: []string{"collection"}}}}

var connectionLimitsSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "rate"}, {Name: "concurrency"}}}

func (l *loader) connections(blocks hcl.Blocks) {
	seen := map[string]hcl.Range{}
	for _, b := range blocks {
		c := &Connection{Type: b.Labels[0], Name: b.Labels[1], Dir: l.cfg.Dir, Range: b.DefRange}
		if !l.unique(seen, "connection", b) || !l.label(c.Name, "connection", b.LabelRanges[1]) {
			continue
		}
		// A connection with wrong settings is kept: syncs may refer to it, and only its own mistakes count.
		l.cfg.Connections = append(l.cfg.Connections, c)
		content, rest, diags := b.Body.PartialContent(connectionSchema)
		l.add(diags...)
		for i, lb := range content.Blocks.OfType("limits") {
			if i > 0 {
				l.fail(lb.DefRange, "Second limits block", "The limits of this connection stand at %s already.", at(content.Blocks.OfType("limits")[0].DefRange))
				continue
			}
			c.Limits = l.connectionLimits(lb)
		}
		settings := l.o.Registry[c.Type]
		if settings == nil {
			l.fail(b.LabelRanges[0], "Unknown connector", "There is no connector %q.%s", c.Type, didYouMean(c.Type, slices.Sorted(maps.Keys(l.o.Registry))))
			continue
		}
		c.Config = settings()
		ctx := l.context(&c.Missing)
		diags = gohcl.DecodeBody(lenient{rest, reflect.TypeOf(c.Config)}, ctx, c.Config)
		if body, ok := b.Body.(*hclsyntax.Body); ok {
			strange := unknownSettings(fmt.Sprintf("connection of type %q", c.Type), reflect.TypeOf(c.Config), body, "limits", "webhook")
			l.add(strange.instead(diags)...)
			l.warnMissing(c, body)
		} else {
			l.add(diags...)
		}
		if p, ok := c.Config.(preparer); ok && !diags.HasErrors() {
			l.prepare(c, p, ctx)
		}
		slices.Sort(c.Missing)
		c.Missing = slices.Compact(c.Missing)
		c.Secrets = secrets(reflect.ValueOf(c.Config))
		shown := any(c.Config)
		if v, ok := shown.(connectors.Veiler); ok {
			var more []string
			shown, more = v.Veil()
			c.Secrets = append(c.Secrets, more...)
		}
		l.webhooks(c, content.Blocks.OfType("webhook"))
		h := sha256.New()
		fmt.Fprintf(h, "%q\n", c.Type)
		identify(h, reflect.ValueOf(shown))
		c.Identity = hex.EncodeToString(h.Sum(nil))
	}
}

// A preparer is a connector's settings that hold expressions, or read files of their own: they are compiled while the
// mapping is loaded, so that a mistake in them has a place.
type preparer interface {
	// Prepare returns the files that it read, for showing diagnostics, and the names of those that people may edit.
	Prepare(dir string, ctx *hcl.EvalContext, scope expression.Scope, within func(hcl.Expression) hcl.Expression) (files map[string]*hcl.File, inputs []string, diags hcl.Diagnostics)
}

func (l *loader) prepare(c *Connection, p preparer, ctx *hcl.EvalContext) {
	scope := expression.Scope{Locals: l.plainLocals(), Functions: l.functions}
	files, inputs, diags := p.Prepare(c.Dir, ctx, scope, func(e hcl.Expression) hcl.Expression {
		if f := l.cfg.Files[e.Range().Filename]; f != nil {
			return expression.Within(e, f.Bytes)
		}
		return e
	})
	maps.Copy(l.cfg.Files, files)
	l.cfg.Inputs = append(l.cfg.Inputs, inputs...)
	for _, d := range diags {
		if d.Subject == nil {
			d.Subject = c.Range.Ptr()
		}
	}
	l.add(diags...)
}

// warnMissing says where settings need what is not there now.
func (l *loader) warnMissing(c *Connection, body *hclsyntax.Body) {
	said := map[string]bool{}
	_ = hclsyntax.VisitAll(body, func(n hclsyntax.Node) hcl.Diagnostics {
		switch n := n.(type) {
		case *hclsyntax.ScopeTraversalExpr:
			for _, name := range l.taint([]hcl.Traversal{n.Traversal}) {
				c.Missing = append(c.Missing, name)
				if !said[name] {
					said[name] = true
					l.add(warn(n.Range(), "Environment variable not set", "The connection %q cannot be opened before %s is set.", c.Name, name))
				}
			}
		case *hclsyntax.FunctionCallExpr:
			if len(n.Args) == 0 {
				return nil
			}
			v, _ := n.Args[0].Value(nil)
			if v.Type() != cty.String || !v.IsKnown() || v.IsNull() {
				return nil
			}
			name := v.AsString()
			for _, m := range c.Missing {
				if said[m] {
					continue
				}
				if n.Name == "env" && m == name {
					said[m] = true
					l.add(warn(n.Range(), "Environment variable not set", "The connection %q cannot be opened before %s is set.", c.Name, name))
				} else if n.Name != "env" && strings.HasPrefix(m, fmt.Sprintf("%s(%q)", n.Name, name)) {
					said[m] = true
					l.add(warn(n.Range(), "No answer", "The connection %q cannot be opened: %s gives nothing.", c.Name, m))
				}
			}
		}
		return nil
	})
	for _, m := range c.Missing {
		if !said[m] {
			said[m] = true
			l.add(warn(c.Range, "Not set", "The connection %q cannot be opened before %s is there.", c.Name, m))
		}
	}
}

func (l *loader) connectionLimits(b *hcl.Block) connectors.Limits {
	var lim connectors.Limits
	content, diags := b.Body.Content(connectionLimitsSchema)
	l.add(diags...)
	if content == nil {
		return lim
	}
	if a := content.Attributes["rate"]; a != nil {
		if s, ok := l.text(a.Expr); ok {
			if lim.Rate, ok = rate(s); !ok {
				l.fail(a.Expr.Range(), "Not a rate", "%q is not a rate; write requests per second, minute or hour: \"20/s\", \"300/m\" or \"5000/h\".", s)
			}
		}
	}
	if a := content.Attributes["concurrency"]; a != nil {
		if s, ok := l.text(a.Expr); ok {
			n, err := strconv.Atoi(s)
			if err != nil || n < 1 || n > 1000 {
				l.fail(a.Expr.Range(), "Not a number of requests", "concurrency is how many requests may be in flight at once: a whole number from 1 to 1000.")
			} else {
				lim.Concurrency = n
			}
		}
	}
	return lim
}

// rate reads "20/s" as requests per second.
func rate(s string) (float64, bool) {
	number, unit, ok := strings.Cut(s, "/")
	per := map[string]float64{"s": 1, "m": 60, "min": 60, "h": 3600}[strings.TrimSpace(unit)]
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if !ok || per == 0 || err != nil || !(n > 0) || n > 1e6 {
		return 0, false
	}
	return n / per, true
}

var (
	secretType = reflect.TypeFor[connectors.Secret]()
	hclTypes   = []reflect.Type{reflect.TypeFor[hcl.Body](), reflect.TypeFor[hcl.Expression](), reflect.TypeFor[hcl.Attributes](), reflect.TypeFor[hcl.Range]()}
)

// secrets is the content of every Secret inside v.
func secrets(v reflect.Value) []string {
	var all []string
	walk(v, func(_ string, leaf reflect.Value) {
		if leaf.Type() == secretType && leaf.String() != "" {
			all = append(all, leaf.String())
		}
	})
	slices.Sort(all)
	return slices.Compact(all)
}

// identify hashes what makes a connection this one. Credentials are left out, so that a new password is not
// a new system; of a secret that is a URL the place it points to counts.
func identify(h hash.Hash, v reflect.Value) {
	walk(v, func(name string, leaf reflect.Value) {
		if leaf.Type() == secretType {
			u, err := url.Parse(leaf.String())
			if err != nil || u.Host == "" {
				return
			}
			fmt.Fprintf(h, "%s=%q\n", name, u.Scheme+"://"+u.User.Username()+"@"+u.Host+u.Path)
			return
		}
		fmt.Fprintf(h, "%s=%q\n", name, fmt.Sprint(leaf.Interface()))
	})
}

// walk calls leaf for everything inside v that is neither struct, pointer, slice nor map, in a fixed order.
func walk(v reflect.Value, leaf func(name string, v reflect.Value)) {
	var visit func(name string, v reflect.Value)
	visit = func(name string, v reflect.Value) {
		if !v.IsValid() || slices.Contains(hclTypes, v.Type()) {
			return
		}
		switch v.Kind() {
		case reflect.Pointer, reflect.Interface:
			if !v.IsNil() {
				visit(name, v.Elem())
			}
		case reflect.Struct:
			for i := range v.NumField() {
				if f := v.Type().Field(i); f.IsExported() {
					visit(name+"."+f.Name, v.Field(i))
				}
			}
		case reflect.Slice, reflect.Array:
			for i := range v.Len() {
				visit(name+"["+strconv.Itoa(i)+"]", v.Index(i))
			}
		case reflect.Map:
			keys := v.MapKeys()
			slices.SortFunc(keys, func(a, b reflect.Value) int {
				return strings.Compare(fmt.Sprint(a.Interface()), fmt.Sprint(b.Interface()))
			})
			for _, k := range keys {
				visit(fmt.Sprintf("%s[%q]", name, fmt.Sprint(k.Interface())), v.MapIndex(k))
			}
		case reflect.Func, reflect.Chan, reflect.UnsafePointer:
		default:
			leaf(name, v)
		}
	}
	visit("", v)
}
