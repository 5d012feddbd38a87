package main

import (
	"github.com/spf13/cobra"

	desksim "github.com/fieldsync/fieldsync/connectors/rest/sim"
)

func (a *app) simDesk() *cobra.Command {
	var listen string
	c := &cobra.Command{
		Use:   "desk",
		Short: "a small helpdesk that no description is shipped for",
		Long: `Starts Brook on this machine: a helpdesk with a REST interface of its own kind and three
cases, to learn how a tool is connected that fieldsync does not know. The page
"connect a tool of your own" leads through it: mappings/own-tool.md.`,
		Example: `  fieldsync sim desk --listen 127.0.0.1:8084
  curl -H 'X-Desk-Key: brook-key' http://127.0.0.1:8084/v3/cases`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.simulate(c.Context(), "Brook", listen, "", desksim.New(a.now), []simUser{{Login: "sync", APIKey: desksim.Key, Roles: "read and write"}})
		},
	}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "`ADDRESS` on this machine; port 0 takes a free one")
	return c
}
