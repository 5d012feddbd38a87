package mapping

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/fieldsync/fieldsync/engine/mapping/expression"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// Compile makes the rules of s, holding every path against what the two systems say of their collections. A
// schema that is nil is not known: every path is accepted, takes any value and may be written. With errors among the
// diagnostics there is nothing to run, and Compiled is nil.
func (c *Config) Compile(s *Sync, described [2]*schema) (*Compiled, hcl.Diagnostics) {
	rules, plan, diags := c.compile(s, described, forRun)
	if s.body.broken && !diags.HasErrors() {
		diags = append(diags, fail(s.Range, "Sync has errors", "Sync %q cannot run before the errors in its files are mended.", s.Name))
	}
	if diags.HasErrors() {
		return nil, sorted(diags)
	}
	return &Compiled{Sync: s, Rules: rules, Lookups: plan.lookups}, sorted(diags)
}

// A compiler makes the rules of one sync in two steps: first every expression is compiled and every path
// that something names is noted; then, all paths being known, each gets its slot and the rules are built on slots.
type compiler struct {
	c       *Config
	s       *Sync
	schema  [2]*schema
	purpose purpose
	diags   hcl.Diagnostics
	named   [2]map[string]bool // every path that rules name
	writers [2]map[string]hcl.Range
	slots   [2]map[string]int
	rules   *reconcile.Rules
	digest  strings.Builder
	texts   strings.Builder // of all expressions, to see which locals and functions count
	plan
}

// A plan is what compiling tells about a sync beside its rules.
type plan struct {
	paths   [2][]string
	writes  [2][]string
	lookups []*Translation
	fields  []*compiledField
	where   [2]*expression.Program
	reach   [2]reach
}

// A purpose says what rules are compiled for, and with it where a live translation has its rows from.
type purpose uint8

const (
	forRun   purpose = iota // from its table
	forTest                 // from nowhere: a field that needs them is held
	forModel                // made up: histories of verify
)

func (c *compiler) add(d ...*hcl.Diagnostic) { c.diags = append(c.diags, d...) }

func (c *compiler) fail(at hcl.Range, summary, detail string, args ...any) {
	c.add(fail(at, summary, detail, args...))
}

func (c *Config) compile(s *Sync, described [2]*schema, why purpose) (*reconcile.Rules, *plan, hcl.Diagnostics) {
	k := &compiler{c: c, s: s, schema: described, purpose: why}
	if s.Sides[0].Name == "" || s.Sides[1].Name == "" || s.Sides[0].Name == s.Sides[1].Name {
		return nil, nil, nil // the diagnostics of loading say why
	}
	for i := range 2 {
		k.named[i], k.writers[i], k.slots[i] = map[string]bool{}, map[string]hcl.Range{}, map[string]int{}
	}
	k.collect()
	where, fields := k.expressions()
	k.where, k.plan.fields = where, fields
	k.reaches(where)
	k.assignSlots()
	k.rules = &reconcile.Rules{Sync: s.Name, First: s.body.first}
	for i, side := range s.Sides {
		k.rules.Sides[i] = reconcile.SideRules{Name: side.Name, Paths: k.paths[i], Types: k.types(i), Create: side.Create, Where: k.condition(where[i])}
		fmt.Fprintf(&k.digest, "side %q create %t query %q paths %q types %v\n", side.Name, side.Create, side.Query, k.paths[i], k.rules.Sides[i].Types)
		k.note("where", s.body.where[i])
		k.entry(i, where[i])
	}
	k.matches()
	for _, f := range fields {
		if r := k.rule(f); r != nil {
			k.rules.Fields = append(k.rules.Fields, *r)
		}
	}
	k.goneRules()
	k.rules.Comments = k.comments()
	k.rules.Attachments = k.attachments()
	k.required()
	fmt.Fprintf(&k.digest, "first %v policy %q\n", s.body.first, s.body.policy)
	k.noteDefinitions()
	sum := sha256.Sum256([]byte(k.digest.String()))
	k.rules.Digest = hex.EncodeToString(sum[:])
	return k.rules, &k.plan, k.diags
}

// A compiledField is a field with its expressions.
type compiledField struct {
	*fieldBlock
	to      [2]*expression.Program
	when    *expression.Program
	resolve *expression.Program
}

// expressions compiles all of them and notes what they read.
func (k *compiler) expressions() (where [2]*expression.Program, fields []*compiledField) {
	for i, e := range k.s.body.where {
		if e != nil {
			where[i] = k.program(e, i, "The scope of a side is decided for each of its records alone", expression.Bool)
		}
	}
	for _, f := range k.s.body.fields {
		if k.purpose == forModel && f.via != nil && f.via.Lookup != nil {
			model := *f
			model.via, f = f.via.standIn(), &model
		}
		cf := &compiledField{fieldBlock: f}
		for i, e := range f.to {
			if e == nil {
				continue
			}
			want := expression.Any
			if len(f.paths[i]) > 1 {
				want = expression.List
			}
			why := fmt.Sprintf("What is written to %s follows from %s alone, or it would move itself", k.s.Sides[i].Name, k.s.Sides[1-i].Name)
			cf.to[i] = k.program(e, 1-i, why, want)
		}
		if f.when != nil {
			cf.when = k.program(f.when, -1, "", expression.Bool)
		}
		if f.resolve != nil {
			cf.resolve = k.program(f.resolve, -1, "", expression.Any)
		}
		fields = append(fields, cf)
	}
	return where, fields
}

// program compiles e. only is the side that it may read, or -1 for both; why is the reason.
func (k *compiler) program(e hcl.Expression, only int, why string, want expression.Want) *expression.Program {
	scope := expression.Scope{Locals: k.c.locals, Functions: k.c.functions}
	for i, side := range k.s.Sides {
		scope.Vars = append(scope.Vars, k.variable(i, side.Name))
	}
	p, diags := expression.Compile(e, k.c.ctx, scope, want)
	k.add(diags...)
	if p == nil {
		return nil
	}
	reads := p.Reads()
	for i, side := range k.s.Sides {
		if only >= 0 && i != only && len(reads[side.Name]) > 0 {
			k.fail(k.mention(e, side.Name), "Wrong side", "%s: this expression may read %s, not %s.", why, k.s.Sides[only].Name, side.Name)
			return nil
		}
	}
	for i, side := range k.s.Sides {
		for _, path := range reads[side.Name] {
			if path != "" {
				k.named[i][path] = true
			}
		}
	}
	return p
}

// variable is a side as expressions of this sync see it: the paths that rules name and those that the system
// describes, with what is known of their types.
func (k *compiler) variable(side int, name string) expression.Variable {
	v := expression.Variable{Name: name, Fields: map[string]record.Type{}, References: map[string]bool{}}
	for path := range k.named[side] {
		v.Fields[path] = k.typeOf(side, path)
	}
	sc := k.schema[side]
	if sc == nil {
		v.Open = true
		return v
	}
	v.Open, v.Rest = sc.Open || sc.Hidden, sc.Rest
	for _, f := range sc.Fields {
		v.Fields[f.Path] = f.Type
		v.References[f.Path] = f.Reference != ""
	}
	return v
}

// mention is where e first speaks of name, outside quotes.
func (k *compiler) mention(e hcl.Expression, name string) hcl.Range {
	text := []rune(k.textOf(e))
	want := []rune(name)
	var quote rune
	for i := 0; i < len(text); i++ {
		r := text[i]
		switch {
		case quote != 0 && r == '\\':
			i++
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '\'' || r == '"' || r == '`':
			quote = r
		case isWord(r):
			end := i
			for end < len(text) && isWord(text[end]) {
				end++
			}
			if slices.Equal(text[i:end], want) && (i == 0 || text[i-1] != '.') {
				return expression.Range(e, i, end)
			}
			i = end - 1
		}
	}
	return e.Range()
}

func isWord(r rune) bool {
	return r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r > 127
}

// textOf is what the string e says.
func (k *compiler) textOf(e hcl.Expression) string {
	if e == nil {
		return ""
	}
	v, diags := e.Value(k.c.ctx)
	if diags.HasErrors() || !v.IsWhollyKnown() {
		return ""
	}
	rv, err := fromCty(v)
	if err != nil {
		return ""
	}
	return rv.Text()
}

// note adds an expression to the digest.
func (k *compiler) note(what string, e hcl.Expression) {
	if e == nil {
		return
	}
	text := k.textOf(e)
	fmt.Fprintf(&k.digest, "%s %q\n", what, text)
	k.texts.WriteString(text + "\n")
}

// noteDefinitions adds the functions and locals that the expressions mention to the digest.
func (k *compiler) noteDefinitions() {
	texts, noted := k.texts.String(), map[string]bool{}
	for grown := true; grown; {
		grown = false
		for _, name := range slices.Sorted(maps.Keys(k.c.sources)) {
			if !noted[name] && strings.Contains(texts, name) {
				noted[name], grown = true, true
				texts += k.c.sources[name] + "\n"
				fmt.Fprintf(&k.digest, "function %s %q\n", name, k.c.sources[name])
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(k.c.locals)) {
		if strings.Contains(texts, name) {
			v, _ := record.Of(k.c.locals[name])
			fmt.Fprintf(&k.digest, "local %s %s\n", name, v)
		}
	}
}

func (k *compiler) assignSlots() {
	for i := range 2 {
		k.paths[i] = slices.Sorted(maps.Keys(k.named[i]))
		for slot, path := range k.paths[i] {
			k.slots[i][path] = slot
		}
		writes := maps.Clone(k.writers[i])
		if k.makes(i) {
			for _, m := range k.s.body.matches {
				if k.carriesMarker(i, m.paths[i].text) {
					writes[m.paths[i].text] = m.at
				}
			}
			for _, n := range k.reach[i].needs {
				if k.gives(i, n) {
					writes[n.path] = n.at
				}
			}
		}
		if g := k.s.body.gone[1-i]; g != nil {
			for _, set := range g.set {
				writes[set.path.text] = set.path.at
			}
		}
		k.writes[i] = slices.Sorted(maps.Keys(writes))
	}
}

func (k *compiler) types(side int) []record.Type {
	types := make([]record.Type, len(k.paths[side]))
	for slot, path := range k.paths[side] {
		types[slot] = k.typeOf(side, path)
	}
	return types
}

func (k *compiler) typeOf(side int, path string) record.Type {
	sc := k.schema[side]
	if sc == nil {
		return record.Type{}
	}
	if f, ok := sc.Field(path); ok {
		return f.Type
	}
	return sc.Rest
}

func (k *compiler) goneRules() {
	for i, g := range k.s.body.gone {
		if g == nil {
			continue
		}
		out := reconcile.OnGone{Then: g.then, At: at(g.at), Set: map[int]record.Value{}}
		fmt.Fprintf(&k.digest, "gone %d %s\n", i, g.then)
		for _, set := range g.set {
			v, err := k.typeOf(1-i, set.path.text).Coerce(set.value)
			if err != nil {
				k.fail(set.valueAt, "Wrong type of value", "%s.%s: %v.", k.s.Sides[1-i].Name, set.path.text, err)
				continue
			}
			k.inChoices(1-i, set.path.text, v, set.valueAt)
			out.Set[k.slots[1-i][set.path.text]] = v
			fmt.Fprintf(&k.digest, "set %q %s\n", set.path.text, v)
		}
		k.rules.Sides[i].Gone = out
	}
}
