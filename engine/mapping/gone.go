package mapping

import (
	"slices"

	"github.com/hashicorp/hcl/v2"

	"github.com/fieldsync/fieldsync/engine/reconcile"
)

var goneSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "then", Required: true}, {Name: "set"}}}

func (l *loader) gone(s *Sync, b *hcl.Block) {
	names := s.names()
	i := slices.Index(names[:], b.Labels[0])
	if i < 0 {
		l.fail(b.LabelRanges[0], "Unknown side", "on_gone names the side whose record is gone.%s", didYouMean(b.Labels[0], names[:]))
		return
	}
	if first := s.body.gone[i]; first != nil {
		l.fail(b.DefRange, "Second on_gone for this side", "What happens when a %s is gone stands at %s already.", names[i], at(first.at))
		return
	}
	content, diags := b.Body.Content(goneSchema)
	l.add(diags...)
	if content == nil || content.Attributes["then"] == nil {
		return
	}
	g := &goneBlock{at: b.DefRange}
	s.body.gone[i] = g
	then := content.Attributes["then"]
	w, ok := l.word(then.Expr, "answer to a record that is gone", "detach", "update", "delete", "recreate")
	if !ok {
		return
	}
	g.thenAt = then.Expr.Range()
	g.then = reconcile.GoneThen(slices.Index([]string{"detach", "update", "delete", "recreate"}, w))
	set := content.Attributes["set"]
	switch {
	case g.then == reconcile.GoneUpdate && set == nil:
		l.fail(then.Expr.Range(), "Nothing to update", "Say what the %s becomes: set = { path = value }.", names[1-i])
	case g.then != reconcile.GoneUpdate && set != nil:
		l.fail(set.NameRange, "set without update", "set has an effect with then = \"update\" only; here then is %q.", w)
	case set != nil:
		before := errorCount(l.diags)
		g.set = l.assignments(set.Expr)
		if len(g.set) == 0 && errorCount(l.diags) == before {
			l.fail(set.Expr.Range(), "Nothing to update", "Say what the %s becomes: set = { path = value }.", names[1-i])
		}
	}
}

// assignments reads { path = value }.
func (l *loader) assignments(e hcl.Expression) []setting {
	pairs, diags := hcl.ExprMap(e)
	if diags.HasErrors() {
		v, ok := l.value(e)
		if !ok {
			return nil
		}
		if v.IsNull() || !(v.Type().IsObjectType() || v.Type().IsMapType()) {
			l.fail(e.Range(), "Paths and values expected", "Write { path = value }.")
			return nil
		}
		for k, x := range v.Elements() {
			pairs = append(pairs, hcl.KeyValuePair{Key: hcl.StaticExpr(k, e.Range()), Value: hcl.StaticExpr(x, e.Range())})
		}
	}
	var out []setting
	for _, p := range pairs {
		path, ok := l.text(p.Key)
		v, good := l.scalar(p.Value)
		if ok && good {
			out = append(out, setting{ref{path, p.Key.Range()}, v, p.Value.Range()})
		}
	}
	return out
}
