package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
	"github.com/fieldsync/fieldsync/engine/report"
)

func (a *app) explainCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "explain SYNC KEY [FIELD]",
		Short: "say of each field of a record what it is now, what it was, the verdict, the rule and why",
		Long: `Reads both records straight from their systems, decides about them as a run would, and
shows what the decision was made from. Writes nothing. KEY is the key or the label of
the record on either side.`,
		Example: `  fieldsync explain ticket_to_incident T-1001
  fieldsync explain ticket_to_incident INC0010023 state --json`,
		Args:              cobra.RangeArgs(2, 3),
		ValidArgsFunction: a.completeSyncs,
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			p, _, job, err := a.openSync(ctx, args[0], readState, jobOptions{preview: true, trigger: "explain"})
			if err != nil {
				return err
			}
			defer p.Close()
			x, err := p.engine(nil).Explain(ctx, job, args[1])
			if err != nil {
				return err
			}
			e := explanation(x)
			if len(args) == 3 {
				if e.Fields, err = only(e.Fields, args[2]); err != nil {
					return err
				}
			}
			if a.json {
				return report.JSON(a.out, e.Redacted())
			}
			return report.Explain(a.out, e, a.style)
		},
	}
}

func only(fields []report.FieldVerdict, name string) ([]report.FieldVerdict, error) {
	var names []string
	for _, f := range fields {
		if f.Field == name {
			return []report.FieldVerdict{f}, nil
		}
		names = append(names, f.Field)
	}
	hint := "its fields are: " + strings.Join(names, ", ")
	if len(names) == 0 {
		hint = "nothing is decided field by field while the verdict is about the whole record; leave the field out"
	}
	return nil, hinted{fmt.Errorf("there is no verdict about a field %q", name), hint}
}

// explanation puts slots and numbers back into the words of the mapping.
func explanation(x *engine.Explanation) report.Explanation {
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
