package project

import (
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
	"github.com/fieldsync/fieldsync/engine/report"
)

// ExplainView puts slots and numbers back into the words of the mapping.
func ExplainView(x *engine.Explanation) report.Explanation {
	r, in, d := x.Rules, &x.Input, &x.Decision
	e := report.Explanation{Sync: r.Sync, Link: in.Link.ID, Status: in.Link.Status.String(), Keys: in.Link.Key, Labels: in.Link.Label,
		Life: d.Life.String(), Why: d.Why, At: d.At, Fields: []report.FieldVerdict{}}
	if in.Link.ID == 0 {
		e.Status = "not linked"
	}
	for _, s := range record.Sides {
		e.Sides[s], e.Seen[s] = r.Sides[s].Name, in.Presence[s].String()
		if rec := in.Record[s]; rec.Label != "" {
			e.Labels[s] = rec.Label
		}
	}
	for i := range d.Verdicts {
		e.Fields = append(e.Fields, fieldVerdict(r, &d.Verdicts[i]))
	}
	return e
}

func fieldVerdict(r *reconcile.Rules, v *reconcile.Verdict) report.FieldVerdict {
	rule := &r.Fields[v.Rule]
	f := report.FieldVerdict{Field: rule.Name, At: rule.At, Row: v.Row, Verdict: v.Outcome.String(), Policy: v.Policy, Moved: v.Moved,
		Holds: v.Holds, Why: v.Why, Sensitive: rule.Sensitive}
	for _, s := range record.Sides {
		paths := r.Sides[s].Paths
		for i, slot := range rule.Reads[s] {
			p := report.PathView{Path: paths[slot]}
			if i < len(v.Base[s]) {
				p.Base = v.Base[s][i]
			}
			if i < len(v.Now[s]) {
				p.Now = v.Now[s][i]
			}
			f.Read[s] = append(f.Read[s], p)
		}
		for i, slot := range rule.Paths[s] {
			if i < len(v.To[s]) {
				f.Write[s] = append(f.Write[s], report.PathSet{Path: paths[slot], To: v.To[s][i]})
			}
		}
	}
	return f
}
