package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/engine/report"
)

func (a *app) blameCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "blame SYNC KEY [FIELD | PATH]",
		Short: "show the history of every value of a record and its twin: who set it, when, and what was there before",
		Long: `Reads both records, and shows for each of their paths what it holds now, which rule and
run set it or that somebody edited it, and the values that were there before, newest first.
A number under RESTORE brings its value back: fieldsync restore NUMBER.

KEY is the key or the label of the record on either side. FIELD is a rule, PATH a path of a
side, such as state or incident.state. Writes nothing.`,
		Example: `  fieldsync blame ticket_to_incident T-1001
  fieldsync blame ticket_to_incident INC0010023 incident.state
  fieldsync blame ticket_to_incident T-1001 --json | jq '.paths[] | select(.values | length > 1)'`,
		Args:              cobra.RangeArgs(2, 3),
		ValidArgsFunction: a.completeSyncs,
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			p, _, job, err := a.openSync(ctx, args[0], project.ReadState, project.JobOptions{Preview: true, Trigger: "blame"})
			if err != nil {
				return err
			}
			defer p.Close()
			b, err := p.Engine(nil).Blame(ctx, job, args[1])
			if err != nil {
				return err
			}
			view := project.BlameView(b)
			if len(args) == 3 {
				if view.Paths, err = about(view.Paths, args[2]); err != nil {
					return err
				}
			}
			if a.json {
				return report.JSON(a.out, view.Redacted())
			}
			return report.PrintBlame(a.out, view, a.style)
		},
	}
}

// about keeps the paths that a name stands for: those of a field, or a path with or without its side.
func about(paths []report.PathBlame, name string) ([]report.PathBlame, error) {
	var kept []report.PathBlame
	var names []string
	for _, p := range paths {
		if name == p.Path || name == p.Side+"."+p.Path || slices.Contains(p.Fields, name) {
			kept = append(kept, p)
		}
		names = append(names, p.Side+"."+p.Path)
	}
	if len(kept) == 0 {
		return nil, project.Hinted(fmt.Errorf("there is no field and no path %q", name), "its paths are: "+strings.Join(names, ", "))
	}
	return kept, nil
}
