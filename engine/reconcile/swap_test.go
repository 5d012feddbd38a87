package reconcile_test

import (
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// swapRules is the same sync written with its sides in the other order.
func swapRules(r *reconcile.Rules) *reconcile.Rules {
	out := *r
	out.Sides[0], out.Sides[1] = r.Sides[1], r.Sides[0]
	for s := range out.Sides {
		out.Sides[s].Where = nil
	}
	out.First.Side = r.First.Side.Other()
	out.Fields = make([]reconcile.Rule, len(r.Fields))
	for i, f := range r.Fields {
		f.Paths[0], f.Paths[1] = f.Paths[1], f.Paths[0]
		f.Reads[0], f.Reads[1] = f.Reads[1], f.Reads[0]
		f.To[0], f.To[1] = swapTransform(f.To[1]), swapTransform(f.To[0])
		if when := f.When; when != nil {
			f.When = func(e reconcile.Env) (bool, error) { return when(swapEnv(e)) }
		}
		f.Policy = *swapPolicy(&f.Policy)
		out.Fields[i] = f
	}
	out.Match = nil
	for _, m := range r.Match {
		m.Slots[0], m.Slots[1] = m.Slots[1], m.Slots[0]
		m.Marker[0], m.Marker[1] = m.Marker[1], m.Marker[0]
		out.Match = append(out.Match, m)
	}
	return &out
}

func swapPolicy(p *reconcile.Policy) *reconcile.Policy {
	if p == nil {
		return nil
	}
	q := *p
	q.Side = p.Side.Other()
	q.Fallback = swapPolicy(p.Fallback)
	if rank := p.Rank; rank != nil {
		q.Rank = func(s record.Side, vs []record.Value) (int, bool) { return rank(s.Other(), vs) }
	}
	return &q
}

func swapTransform(t reconcile.Transform) reconcile.Transform {
	if t == nil {
		return nil
	}
	return func(e reconcile.Env) ([]record.Value, error) { return t(swapEnv(e)) }
}

func swapEnv(e reconcile.Env) reconcile.Env {
	e.Values[0], e.Values[1] = e.Values[1], e.Values[0]
	return e
}

func swapInput(in reconcile.Input) reconcile.Input {
	in.Presence[0], in.Presence[1] = in.Presence[1], in.Presence[0]
	in.Record[0], in.Record[1] = in.Record[1], in.Record[0]
	in.Born[0], in.Born[1] = in.Born[1], in.Born[0]
	in.Clock[0], in.Clock[1] = in.Clock[1], in.Clock[0]
	in.Link = swapLink(in.Link)
	decided := map[string]reconcile.Choice{}
	for k, c := range in.Decided {
		c.Side = c.Side.Other()
		c.Seen[0], c.Seen[1] = c.Seen[1], c.Seen[0]
		decided[k] = c
	}
	in.Decided = decided
	return in
}

func swapLink(l record.Link) record.Link {
	l.Key[0], l.Key[1] = l.Key[1], l.Key[0]
	l.Label[0], l.Label[1] = l.Label[1], l.Label[0]
	l.Version[0], l.Version[1] = l.Version[1], l.Version[0]
	l.Base[0], l.Base[1] = l.Base[1], l.Base[0]
	l.Sent[0], l.Sent[1] = l.Sent[1], l.Sent[0]
	l.Now[0], l.Now[1] = l.Now[1], l.Now[0]
	return l
}
