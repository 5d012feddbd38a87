package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	ilertsim "github.com/fieldsync/fieldsync/connectors/ilert/sim"
)

func (a *app) simIlert() *cobra.Command {
	var listen string
	var alerts int
	var switches, faults []string
	c := &cobra.Command{
		Use:   "ilert",
		Short: "an ilert account",
		Long: "Starts an ilert account on this machine, with two alert sources for everybody and one of a team. The address\n" +
			"that it prints ends in /api, as ilert's own does.\n" +
			"\nSwitches, NAME=VALUE, each with a value it may have:\n" + usages(ilertsim.SwitchExamples()) +
			"\nFaults, KIND[:METHOD PATH][:n=N]: a method, a part of the path, or both; n=N strikes the Nth such request alone.\nKIND is one of\n" +
			usages(ilertsim.FaultKinds()),
		Example: `  fieldsync sim ilert --listen 127.0.0.1:8083 --alerts 3
  fieldsync sim ilert --switch event-delay=2s --switch max-results=50 --fault "500-after:POST events:n=1"`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s := ilertsim.New(ilertsim.Options{})
			for i := range alerts {
				s.Raise(ilertsim.Alert{Summary: fmt.Sprintf("Sample alert %d", i+1), Key: fmt.Sprintf("sample-%d", i+1)})
			}
			if err := errors.Join(each(switches, s.Switch), each(faults, s.Fault)); err != nil {
				return project.Hinted(err, "fieldsync sim ilert --help lists all switches and faults")
			}
			var users []simUser
			for _, u := range ilertsim.DefaultUsers() {
				if !u.Revoked {
					users = append(users, simUser{Login: u.Email, APIKey: u.APIKey, Roles: u.Role})
				}
			}
			for _, src := range ilertsim.DefaultSources() {
				users = append(users, simUser{Login: src.Name, APIKey: src.Key, Roles: fmt.Sprintf("alert source %d, integration key", src.ID)})
			}
			return a.simulate(c.Context(), "ilert", listen, "/api", s, users)
		},
	}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "`ADDRESS` on this machine; port 0 takes a free one")
	c.Flags().IntVar(&alerts, "alerts", 0, "how many sample alerts to begin with")
	c.Flags().StringArrayVar(&switches, "switch", nil, "be another kind of account: `NAME=VALUE`, several times")
	c.Flags().StringArrayVar(&faults, "fault", nil, "let requests go wrong: `FAULT`, several times")
	return c
}

// each calls do with every text, up to the first that is wrong.
func each(list []string, do func(string) error) error {
	for _, text := range list {
		if err := do(text); err != nil {
			return err
		}
	}
	return nil
}
