package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	nocsim "github.com/fieldsync/fieldsync/connectors/dataminer/sim"
	snowsim "github.com/fieldsync/fieldsync/connectors/servicenow/sim"
)

func (a *app) simDataMiner() *cobra.Command {
	var listen, properties string
	var alarms int
	var switches, faults []string
	c := &cobra.Command{
		Use:   "dataminer",
		Short: "a DataMiner system, with the bridge",
		Long: "Starts a DataMiner system on this machine: the Web Services under /API/v1/Json.asmx and the bridge under\n" +
			"/api/custom/fieldsync, which any token opens. Switches make it a system of another kind; faults let requests go\n" +
			"wrong.\n" +
			"\nSwitches, NAME=VALUE, the first value is the standard:\n" + nocUsages(nocsim.SwitchExamples()) +
			"\nFaults, KIND:METHOD:n=N for the Nth request of a method or route, of any for \"*\". KIND is one of\n" + nocUsages(nocsim.FaultKinds()),
		Example: `  fieldsync sim dataminer --listen 127.0.0.1:8082 --alarms 3 --properties "Ticket ID,Incident Number"
  fieldsync sim dataminer --switch refusal=500 --fault recycle:GetPropertiesForElement:n=2`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var names []string
			unset := map[string]string{}
			for _, n := range strings.Split(properties, ",") {
				if n = strings.TrimSpace(n); n != "" {
					names = append(names, n)
					unset[n] = ""
				}
			}
			s := nocsim.New(nocsim.Options{Properties: names})
			for _, kind := range []string{nocsim.Element, nocsim.Service, nocsim.View} {
				s.AddObject(kind, "Sample "+kind, unset)
			}
			for i := range alarms {
				s.RaiseAlarm(fmt.Sprintf("Sample alarm %d", i+1), "Major", nil)
			}
			for _, each := range []struct {
				texts []string
				turn  func(string) error
			}{{switches, s.Switch}, {faults, s.Fault}} {
				for _, text := range each.texts {
					if err := each.turn(text); err != nil {
						return project.Hinted(err, "fieldsync sim dataminer --help lists all switches and faults")
					}
				}
			}
			return a.simulate(c.Context(), "DataMiner", listen, "", s, []simUser{{Login: nocsim.User, Password: nocsim.Password}})
		},
	}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "`ADDRESS` on this machine; port 0 takes a free one")
	c.Flags().StringVar(&properties, "properties", "Ticket ID,Incident Number,Incident Status", "the `NAMES` of the properties that are defined, with commas between")
	c.Flags().IntVar(&alarms, "alarms", 0, "how many sample alarms to begin with")
	c.Flags().StringArrayVar(&switches, "switch", nil, "be another kind of system: `NAME=VALUE`, several times")
	c.Flags().StringArrayVar(&faults, "fault", nil, "let requests go wrong: `FAULT`, several times")
	return c
}

// nocUsages are lines of help in two columns.
func nocUsages(list []nocsim.Usage) string {
	lines := make([]snowsim.Usage, len(list))
	for i, u := range list {
		lines[i] = snowsim.Usage(u)
	}
	return usages(lines)
}
