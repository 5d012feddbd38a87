package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/cmd/fieldsync/service"
	ilertsim "github.com/fieldsync/fieldsync/connectors/ilert/sim"
	snowsim "github.com/fieldsync/fieldsync/connectors/servicenow/sim"
	"github.com/fieldsync/fieldsync/engine/report"
)

func (a *app) simCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "sim SYSTEM",
		Short: "run a simulator of a system on this machine, to try a mapping without the system",
		Long: `Starts a real HTTP server that behaves like the system, prints its address and its
users, and runs until it is interrupted. What is in it is gone then.`,
		Example: `  fieldsync sim servicenow --listen 127.0.0.1:8081 --incidents 50
  fieldsync sim dataminer --listen 127.0.0.1:8082
  fieldsync sim ilert --listen 127.0.0.1:8083 --alerts 3
  fieldsync sim desk --listen 127.0.0.1:8084`,
		Args: knownCommand,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.simServiceNow(), a.simDataMiner(), a.simIlert(), a.simDesk())
	return c
}

func (a *app) simServiceNow() *cobra.Command {
	var listen string
	var incidents int
	var seed int64
	var switches, faults []string
	c := &cobra.Command{
		Use:   "servicenow",
		Short: "a ServiceNow instance",
		Long: "Starts a ServiceNow instance on this machine. Switches make it an instance of another kind; faults let\n" +
			"requests go wrong. The same seed and the same requests meet the same faults.\n" +
			"\nSwitches, NAME=VALUE, each with a value it may have:\n" + usages(snowsim.SwitchExamples()) +
			"\nFaults, KIND:REQUESTS:WHEN. REQUESTS are a method, \"reads\" or \"writes\", a table, or both; WHEN is n=N for\n" +
			"the Nth of them, rate=R for a part of them, nothing for all; the slow kinds take wait=D. KIND is one of\n" + usages(snowsim.FaultKinds()) +
			"\nFor example:\n" + usages(snowsim.FaultExamples()),
		Example: `  fieldsync sim servicenow --listen 127.0.0.1:8081 --incidents 50
  fieldsync sim servicenow --switch zone=Europe/Brussels --switch "hide-rows=incident?category=network"
  fieldsync sim servicenow --seed 7 --fault "500-after:POST incident:rate=0.1" --fault reset-before:PATCH:n=3`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s := snowsim.New(snowsim.Options{Seed: seed})
			for i := range incidents {
				s.Insert("incident", map[string]string{"short_description": fmt.Sprintf("Sample incident %d", i+1), "category": "network"})
			}
			if err := upset(s, switches, faults); err != nil {
				return project.Hinted(err, "fieldsync sim servicenow --help lists all switches and faults")
			}
			var users []simUser
			for _, u := range snowsim.DefaultUsers() {
				users = append(users, simUser{u.Login, u.Password, u.APIKey, fmt.Sprint(u.Roles)})
			}
			return a.simulate(c.Context(), "ServiceNow", listen, "", s, users, snowsim.DefaultClients()...)
		},
	}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "`ADDRESS` on this machine; port 0 takes a free one")
	c.Flags().IntVar(&incidents, "incidents", 0, "how many sample incidents to begin with")
	c.Flags().Int64Var(&seed, "seed", 0, "`NUMBER` that decides the sys_ids and which requests the faults strike")
	c.Flags().StringArrayVar(&switches, "switch", nil, "be another kind of instance: `NAME=VALUE`, several times")
	c.Flags().StringArrayVar(&faults, "fault", nil, "let requests go wrong: `FAULT`, several times")
	return c
}

// upset turns the switches of a simulator and adds the faults.
func upset(s *snowsim.Server, switches, faults []string) error {
	for _, text := range switches {
		if err := s.Switch(text); err != nil {
			return err
		}
	}
	for _, text := range faults {
		f, err := snowsim.ParseFault(text)
		if err == nil {
			err = s.Fault(f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// usages are lines of help in two columns.
func usages[U snowsim.Usage | ilertsim.Usage](list []U) string {
	width := 0
	for _, u := range list {
		width = max(width, len(snowsim.Usage(u).Text))
	}
	var b strings.Builder
	for _, u := range list {
		fmt.Fprintf(&b, "  %-*s  %s\n", width, snowsim.Usage(u).Text, snowsim.Usage(u).What)
	}
	return b.String()
}

// A simUser may log in to a simulator. Its credentials are no secret.
type simUser struct {
	Login    string `json:"user"`
	Password string `json:"password,omitempty"`
	APIKey   string `json:"api_key,omitempty"`
	Roles    string `json:"roles,omitempty"`
}

// simulate serves h until ctx ends. root is the path under which the system's API begins.
func (a *app) simulate(ctx context.Context, name, listen, root string, h http.Handler, users []simUser, clients ...snowsim.Client) error {
	l, err := listenLoopback(listen)
	if err != nil {
		return err
	}
	addr := "http://" + l.Addr().String() + root
	if a.json {
		view := map[string]any{"system": name, "url": addr}
		if users != nil {
			view["users"] = users
		}
		for _, o := range clients {
			view["oauth"] = map[string]string{"client_id": o.ID, "client_secret": o.Secret, "user": o.User}
		}
		err = report.Line(a.out, view)
	} else {
		a.say("%s simulator at %s", name, addr)
		for _, u := range users {
			a.say("  user %-12s password %-8s api key %-16s roles %s", u.Login, u.Password, orDash(u.APIKey), u.Roles)
		}
		for _, o := range clients {
			a.say("  OAuth client_id %s client_secret %s acts as %s", o.ID, o.Secret, o.User)
		}
		a.say("Interrupt (Ctrl-C) to stop it.")
	}
	a.out.Flush()
	if err != nil {
		return errors.Join(err, l.Close())
	}
	return service.ServeHTTP(ctx, l, nil, h)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// listenLoopback opens a port that only this machine reaches.
func listenLoopback(addr string) (net.Listener, error) {
	local, err := service.LoopbackAddress(addr)
	if err != nil {
		return nil, err
	}
	if !local {
		return nil, project.Hinted(fmt.Errorf("listen address %q can be reached from other machines, and nobody has to log in", addr), "listen on 127.0.0.1")
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, project.Hinted(err, "another process has this port, perhaps another fieldsync; choose another address")
	}
	return l, nil
}
