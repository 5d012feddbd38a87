package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	alarmsim "github.com/fieldsync/fieldsync/connectors/properties/sim"
)

func (a *app) simProperties() *cobra.Command {
	var listen, properties string
	var alarms int
	c := &cobra.Command{
		Use:     "properties",
		Short:   "an alarm system whose alarms have properties",
		Example: `  fieldsync sim properties --listen 127.0.0.1:8082 --alarms 3 --properties "Ticket ID,Incident Number"`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var names []string
			for _, n := range strings.Split(properties, ",") {
				if n = strings.TrimSpace(n); n != "" {
					names = append(names, n)
				}
			}
			s := alarmsim.New(alarmsim.Options{Properties: names})
			for i := range alarms {
				s.RaiseAlarm(fmt.Sprintf("Sample alarm %d", i+1), "Major", nil)
			}
			return a.simulate(c.Context(), "alarm properties", listen, s, nil)
		},
	}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "`ADDRESS` on this machine; port 0 takes a free one")
	c.Flags().StringVar(&properties, "properties", "Ticket ID,Incident Number,Incident Status", "the `NAMES` of the properties that are defined, with commas between")
	c.Flags().IntVar(&alarms, "alarms", 0, "how many sample alarms to begin with")
	return c
}
