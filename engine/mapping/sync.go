package mapping

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/mapping/expression"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

type schema = connectors.Schema

// A syncBody is what a sync block says, understood but not yet held against the two systems.
type syncBody struct {
	where       [2]hcl.Expression
	query       [2]hcl.Range
	create      [2]hcl.Range // of create = true
	matches     []matchBlock
	fields      []*fieldBlock
	gone        [2]*goneBlock // by the side that is gone
	first       reconcile.First
	comments    *commentsBlock
	attachments *attachmentsBlock
	policy      string // default of the fields; "" for none
	broken      bool   // has errors: cannot run
}

// FieldsAt says where the fields of s stand: file:line by name.
func (s *Sync) FieldsAt() map[string]string {
	where := make(map[string]string, len(s.body.fields))
	for _, f := range s.body.fields {
		where[f.name] = at(f.at)
	}
	return where
}

type matchBlock struct {
	paths [2]ref
	at    hcl.Range
}

// A goneBlock is an on_gone block; its settings are for the other side.
type goneBlock struct {
	then   reconcile.GoneThen
	thenAt hcl.Range
	set    []setting
	at     hcl.Range
}

type setting struct {
	path    ref
	value   record.Value
	valueAt hcl.Range
}

var syncSchema = &hcl.BodySchema{
	Attributes: []hcl.AttributeSchema{
		{Name: "after"}, {Name: "schedule"}, {Name: "timezone"}, {Name: "full_scan"}, {Name: "conflict"}, {Name: "first"},
	},
	Blocks: []hcl.BlockHeaderSchema{
		{Type: "side", LabelNames: []string{"name"}},
		{Type: "match"},
		{Type: "field", LabelNames: []string{"name"}},
		{Type: "comments"},
		{Type: "attachments"},
		{Type: "on_gone", LabelNames: []string{"side"}},
		{Type: "limits"},
	},
}

var sideSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{
	{Name: "connection", Required: true}, {Name: "collection", Required: true}, {Name: "where"}, {Name: "query"}, {Name: "create"},
}}

func (l *loader) syncs(blocks hcl.Blocks) {
	seen := map[string]hcl.Range{}
	after := map[*Sync]hcl.Expression{}
	for _, b := range blocks {
		if !l.unique(seen, "sync", b) || !l.label(b.Labels[0], "sync", b.LabelRanges[0]) {
			continue
		}
		// Without a timezone, schedules follow the machine's own, as cron does.
		s := &Sync{Name: b.Labels[0], Range: b.DefRange, Timezone: time.Local, Limits: defaultLimits, body: &syncBody{}}
		l.cfg.Syncs = append(l.cfg.Syncs, s)
		before := errorCount(l.diags)
		content, diags := b.Body.Content(syncSchema)
		l.add(diags...)
		if content != nil {
			l.sync(s, content)
			if a := content.Attributes["after"]; a != nil {
				after[s] = a.Expr
			}
		}
		s.body.broken = errorCount(l.diags) > before
	}
	l.order(after)
}

func errorCount(diags hcl.Diagnostics) int {
	n := 0
	for _, d := range diags {
		if d.Severity == hcl.DiagError {
			n++
		}
	}
	return n
}

func (l *loader) sync(s *Sync, content *hcl.BodyContent) {
	by := content.Blocks.ByType()
	l.schedules(s, content.Attributes)
	if !l.sides(s, by["side"]) {
		return // every other block is about the sides by their names
	}
	a, body := content.Attributes, s.body
	if x := a["conflict"]; x != nil {
		body.policy, _ = l.word(x.Expr, "conflict policy", slices.Concat(plainPolicies, []string{s.Sides[0].Name, s.Sides[1].Name})...)
	}
	if x := a["first"]; x != nil {
		w, _ := l.word(x.Expr, "mode of first contact", s.Sides[0].Name, s.Sides[1].Name, "newest", "fill_empty", "ask")
		switch w {
		case "newest":
			body.first.Mode = reconcile.FirstNewest
		case "fill_empty":
			body.first.Mode = reconcile.FirstFillEmpty
		case s.Sides[0].Name, s.Sides[1].Name:
			body.first = reconcile.First{Mode: reconcile.FirstSide, Side: s.side(w)}
		}
	}
	for _, b := range by["match"] {
		l.match(s, b)
	}
	if len(by["match"]) == 0 {
		l.fail(s.Range, "Sync without match", "Sync %q does not say which records belong together. Add a match block with one path of each side that carry the same value: match { %s = \"…\", %s = \"…\" }, each on a line of its own.",
			s.Name, s.Sides[0].Name, s.Sides[1].Name)
	}
	seen := map[string]hcl.Range{}
	for _, b := range by["field"] {
		if l.unique(seen, "field", b) {
			if f := l.field(s, b); f != nil {
				body.fields = append(body.fields, f)
			}
		}
	}
	for _, b := range by["on_gone"] {
		l.gone(s, b)
	}
	l.once(by["limits"], func(b *hcl.Block) { l.limits(s, b) })
	l.once(by["comments"], func(b *hcl.Block) { l.comments(s, b) })
	l.once(by["attachments"], func(b *hcl.Block) { l.attachments(s, b) })
}

// once calls f with the first of blocks and reports the others.
func (l *loader) once(blocks hcl.Blocks, f func(*hcl.Block)) {
	for i, b := range blocks {
		if i == 0 {
			f(b)
			continue
		}
		l.fail(b.DefRange, "Second "+b.Type+" block", "There is a %s block at %s already. Put both into one.", b.Type, at(blocks[0].DefRange))
	}
}

// side is the side of this name, which must be one of the two.
func (s *Sync) side(name string) record.Side {
	if name == s.Sides[1].Name {
		return record.Right
	}
	return record.Left
}

func (s *Sync) names() [2]string { return [2]string{s.Sides[0].Name, s.Sides[1].Name} }

// arrow is a flow as it is written, towards one side.
func (s *Sync) arrow(to record.Side) string {
	return fmt.Sprintf("%s -> %s", s.Sides[to.Other()].Name, s.Sides[to].Name)
}

func (l *loader) sides(s *Sync, blocks hcl.Blocks) bool {
	if len(blocks) != 2 {
		where := s.Range
		if len(blocks) > 2 {
			where = blocks[2].DefRange
		}
		l.fail(where, "A sync has two sides", "Sync %q has %d side blocks. Write exactly two: side \"NAME\" { connection = connection.…, collection = \"…\" }.", s.Name, len(blocks))
		return false
	}
	ok := true
	for i, b := range blocks {
		side := &s.Sides[i]
		side.Name, side.Range = b.Labels[0], b.DefRange
		ok = l.identifier(side.Name, "side", b.LabelRanges[0]) && ok
		if slices.Contains(fieldWords, side.Name) || strings.HasPrefix(side.Name, "to_") {
			l.fail(b.LabelRanges[0], "Reserved name", "%q means something else inside a field. Give the side another name.", side.Name)
			ok = false
		}
		content, diags := b.Body.Content(sideSchema)
		l.add(diags...)
		if content == nil {
			continue
		}
		a := content.Attributes
		if x := a["connection"]; x != nil {
			side.Connection = l.connectionOf(x.Expr)
		}
		if x := a["collection"]; x != nil {
			var good bool
			if side.Collection, good = l.text(x.Expr); good && side.Collection == "" {
				l.fail(x.Expr.Range(), "Empty name", "Name the kind of record this side is about: a table, a file, a collection of the connection.")
			}
		}
		if x := a["query"]; x != nil {
			side.Query, _ = l.text(x.Expr)
			s.body.query[i] = x.Expr.Range()
		}
		if x := a["create"]; x != nil {
			side.Create, _ = l.truth(x.Expr)
			s.body.create[i] = x.Expr.Range()
		}
		s.body.where[i] = l.optional(a["where"])
	}
	if s.Sides[0].Name == s.Sides[1].Name {
		l.fail(blocks[1].LabelRanges[0], "Two sides of one name", "Both sides are called %q. Expressions and fields tell them apart by name: give one another name.", s.Sides[0].Name)
		return false
	}
	return ok
}

// within readies the string of an expression: with the bytes of its file, so that diagnostics find their way
// through escapes, or as what it says when locals, variables or functions are part of it. nil: it is no string.
func (l *loader) within(e hcl.Expression) hcl.Expression {
	s, ok := l.text(e)
	if !ok {
		return nil
	}
	if made(e) {
		return hcl.StaticExpr(cty.StringVal(s), e.Range())
	}
	if f := l.cfg.Files[e.Range().Filename]; f != nil {
		return expression.Within(e, f.Bytes)
	}
	return e
}

// optional is within of an attribute that may not be there.
func (l *loader) optional(a *hcl.Attribute) hcl.Expression {
	if a == nil {
		return nil
	}
	return l.within(a.Expr)
}

// made reports whether e is put together from other things and not just written down.
func made(e hcl.Expression) bool {
	if len(e.Variables()) > 0 {
		return true
	}
	calls := false
	if n, ok := e.(hclsyntax.Node); ok {
		_ = hclsyntax.VisitAll(n, func(n hclsyntax.Node) hcl.Diagnostics {
			if _, ok := n.(*hclsyntax.FunctionCallExpr); ok {
				calls = true
			}
			return nil
		})
	}
	return calls
}

func (l *loader) match(s *Sync, b *hcl.Block) {
	attrs, diags := b.Body.JustAttributes()
	l.add(diags...)
	m := matchBlock{at: b.DefRange}
	names := s.names()
	for _, a := range inOrder(attrs) {
		i := slices.Index(names[:], a.Name)
		if i < 0 {
			l.fail(a.NameRange, "Unexpected argument", "A match names one path of each side.%s", didYouMean(a.Name, names[:]))
			continue
		}
		var ok bool
		if m.paths[i].text, ok = l.text(a.Expr); ok && m.paths[i].text == "" {
			l.fail(a.Expr.Range(), "Empty path", "Name the path of %s whose value tells which records belong together.", a.Name)
		}
		m.paths[i].at = a.Expr.Range()
	}
	for _, name := range names {
		if attrs[name] == nil {
			l.fail(b.DefRange, "Missing path", "This match has no path for side %q: add %s = \"…\".", name, name)
		}
	}
	if m.paths[0].text != "" && m.paths[1].text != "" {
		s.body.matches = append(s.body.matches, m)
	}
}

// only returns b's attributes and reports those that are not among names.
func (l *loader) only(b *hcl.Block, names ...string) map[string]*hcl.Attribute {
	attrs, diags := b.Body.JustAttributes()
	l.add(diags...)
	for _, a := range inOrder(attrs) {
		if !slices.Contains(names, a.Name) {
			l.fail(a.NameRange, "Unexpected argument", "A %s block has no argument %q.%s", b.Type, a.Name, didYouMean(a.Name, names))
			delete(attrs, a.Name)
		}
	}
	return attrs
}
