package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
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
			p, _, job, err := a.openSync(ctx, args[0], project.ReadState, project.JobOptions{Preview: true, Trigger: "explain"})
			if err != nil {
				return err
			}
			defer p.Close()
			x, err := p.Engine(nil).Explain(ctx, job, args[1])
			if err != nil {
				return err
			}
			e := project.ExplainView(x)
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
	return nil, project.Hinted(fmt.Errorf("there is no verdict about a field %q", name), hint)
}
