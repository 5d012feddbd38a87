package main

import (
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/spf13/cobra"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/engine/report"
)

func (a *app) validateCmd() *cobra.Command {
	var offline bool
	c := &cobra.Command{
		Use:   "validate",
		Short: "say whether the mapping files are right, and what to write where they are not",
		Long: `Reads every *.hcl file of the folder, compiles every expression, and checks every path
that a rule names against what the systems say of their collections. Each message has
the file, the line, the exact characters, what is wrong and what to write instead.

A system that cannot be asked now is a warning: its paths stay unchecked.`,
		Example: `  fieldsync validate
  fieldsync validate -d production --offline
  fieldsync validate --json | jq '.diagnostics[] | .file, .line, .summary'`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, diags, err := a.parse()
			if err != nil {
				return err
			}
			if !diags.HasErrors() {
				p, err := a.project(cfg)
				if err != nil {
					return err
				}
				defer p.Close()
				for _, s := range cfg.Syncs {
					_, more := p.Rules(c.Context(), s, !offline)
					for _, d := range more {
						if !slices.ContainsFunc(diags, func(o *hcl.Diagnostic) bool { return repeats(o, d) }) {
							diags = append(diags, d)
						}
					}
				}
			}
			return a.validated(cfg.Dir, cfg.Files, diags, fmt.Sprintf("%s, %s and %s",
				project.Plural(len(cfg.Connections), "connection"), project.Plural(len(cfg.Syncs), "sync"), project.Plural(len(cfg.Tests), "test")))
		},
	}
	c.Flags().BoolVar(&offline, "offline", false, "contact no system: paths stay unchecked")
	return c
}

// repeats reports whether two diagnostics say the same: some things show with and without what a system says of its fields.
func repeats(a, b *hcl.Diagnostic) bool {
	return a.Summary == b.Summary && a.Detail == b.Detail && a.Subject != nil && b.Subject != nil && *a.Subject == *b.Subject
}

func (a *app) validated(dir string, files map[string]*hcl.File, diags hcl.Diagnostics, what string) error {
	if a.json {
		if err := report.JSON(a.out, map[string]any{"valid": !diags.HasErrors(), "diagnostics": project.DiagnosticsOf(diags)}); err != nil {
			return err
		}
	} else {
		a.printDiagnostics(files, diags)
	}
	if diags.HasErrors() {
		return exit(exitError)
	}
	a.say("%s is valid: %s.", dir, what)
	return nil
}
