package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/engine/report"
)

func (a *app) versionCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "print the version",
		Example: `  fieldsync version --json`,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := project.Version()
			if a.json {
				return report.JSON(a.out, v)
			}
			_, err := fmt.Fprintf(a.out, "fieldsync %s (%s, %s, %s)\n", v["version"], v["revision"], v["go"], v["platform"])
			return err
		},
	}
}
