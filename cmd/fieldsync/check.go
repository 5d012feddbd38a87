package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/report"
)

func (a *app) checkCmd() *cobra.Command {
	var create bool
	var sets []string
	var conform project.Conformance
	c := &cobra.Command{
		Use:   "check [CONNECTION]",
		Short: "log in to the systems and say what a first run would stumble over",
		Long: `Logs in to each connection and shows who is logged in, with which rights, and what is
missing; then looks whether the collections of the syncs and the paths that their rules
write are there, whether the account has the rights that those need (for ServiceNow by
role), and shows a record. Nothing is written, unless --create-test-record asks
for it: then a record with a marker of its own is made wherever a sync may create records,
found again by that marker, and taken away. No sync ever takes such a record for its own.

Writers of connectors and plugins hold theirs to the contract with --conformance: it makes,
changes and deletes records in a collection, which has to be empty.`,
		Example: `  fieldsync check
  fieldsync check prod --json
  fieldsync check prod --create-test-record
  fieldsync check shop --conformance sandbox
  fieldsync check prod --create-test-record --set caller_id=62826bf03710200044e0bfc8bcbe5df1`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeConnections,
		RunE: func(c *cobra.Command, args []string) error {
			p, err := a.openProject()
			if err != nil {
				return err
			}
			defer p.Close()
			conns := p.Connections
			if len(args) == 1 {
				one, err := p.FindConnection(args[0])
				if err != nil {
					return err
				}
				conns = []*mapping.Connection{one}
			}
			set, err := settings(sets)
			switch {
			case conform.Collection != "" && len(args) == 0:
				err = project.Hinted(errors.New("--conformance is about one connection"), "name it: fieldsync check CONNECTION --conformance COLLECTION")
			case conform.Collection == "" && conform.Marker+conform.Text != "":
				err = project.Hinted(errors.New("--marker and --text are about conformance"), "add --conformance COLLECTION")
			}
			if err == nil && len(set) > 0 && !create {
				err = project.Hinted(errors.New("--set is about a test record, and none is made"), "add --create-test-record")
			}
			if err != nil {
				return err
			}
			list := []report.Finding{}
			if conform.Collection != "" {
				list, conns = p.Conforms(c.Context(), conns[0], conform), nil
			}
			for _, conn := range conns {
				list = append(list, p.Check(c.Context(), conn)...)
				if create {
					list = append(list, p.TryCreates(c.Context(), conn, set)...)
				}
			}
			if a.json {
				err = report.JSON(a.out, list)
			} else {
				err = report.Findings(a.out, list, a.style)
			}
			if err == nil && slices.ContainsFunc(list, func(f report.Finding) bool { return !f.OK }) {
				return exit(exitError)
			}
			return err
		},
	}
	c.Flags().BoolVar(&create, "create-test-record", false, "make a marked record where syncs create them, and take it away again")
	c.Flags().StringVar(&conform.Collection, "conformance", "", "hold this empty `COLLECTION` of the connection to the contract of connectors")
	c.Flags().StringVar(&conform.Marker, "marker", "", "with --conformance: `PATH` of text that creates are found by (default: a text field)")
	c.Flags().StringVar(&conform.Text, "text", "", "with --conformance: `PATH` of free text (default: another one)")
	c.Flags().StringArrayVar(&sets, "set", nil, "give the test record this `PATH=VALUE`; may be repeated")
	return c
}

func (a *app) completeConnections(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	cfg, _, err := a.parse()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return project.ConnectionNames(cfg), cobra.ShellCompDirectiveNoFileComp
}

// settings parses --set PATH=VALUE.
func settings(list []string) (map[string]string, error) {
	set := map[string]string{}
	for _, s := range list {
		path, value, ok := strings.Cut(s, "=")
		if !ok || path == "" || value == "" {
			return nil, project.Hinted(fmt.Errorf("--set %q is not PATH=VALUE", s), "write --set caller_id=VALUE")
		}
		set[path] = value
	}
	return set, nil
}
