package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/cmd/fieldsync/service"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/report"
)

// service asks the service that runs with this folder for its status; nil if there is none, or it does not tell.
func (a *app) service(ctx context.Context, cfg *mapping.Config) *service.Status {
	at := cfg.Serve.URL
	if at == "" && cfg.Serve.TLS != nil {
		return nil // by which name its certificate is good nobody knows here
	}
	if at == "" {
		at = "http://" + reachable(cfg.Settings.Listen)
	}
	dir, err := filepath.Abs(a.mappings())
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(at, "/")+"/status", nil)
	if err != nil {
		return nil
	}
	if token, ok := a.getenv("FIELDSYNC_TOKEN"); ok {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	var st service.Status
	if err := json.NewDecoder(io.LimitReader(resp.Body, 16<<20)).Decode(&st); err != nil || st.Dir != dir {
		return nil
	}
	return &st
}

// reachable is where this machine finds a service that listens at an address.
func reachable(listen string) string {
	if listen == "" {
		listen = service.DefaultListen
	}
	host, port, err := net.SplitHostPort(listen)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return listen
}

// sayService prints what a running service says of its mapping.
func (a *app) sayService(st *service.Status) {
	a.say("fieldsync serve runs since %s (pid %d).", st.Began.UTC().Format("2006-01-02 15:04:05Z"), st.PID)
	if st.Mapping.State == "good" {
		return
	}
	a.say("%s The edited mapping is broken since %s; the last good rules keep running:", a.style.Bad("!!"), st.Mapping.Since.UTC().Format("2006-01-02 15:04:05Z"))
	for _, d := range st.Mapping.Diagnostics {
		if d.Severity == "error" {
			a.say("  %s:%d:%d: %s. %s", d.File, d.Line, d.Column, d.Summary, d.Detail)
		}
	}
}

func (a *app) statusCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "show what is linked, when each sync last ran, and what is stuck",
		Long: `Shows one line for each sync: its links, what waits, writes whose outcome is not settled
yet, and the last run. Reads the state only; contacts no system. When
"fieldsync serve" runs with this folder, shows its view: next runs, and whether the
files as they are now are the rules in force.`,
		Example: `  fieldsync status
  fieldsync status --json | jq '.syncs[] | select(.held > 0) | .sync'`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, diags, err := a.parse()
			if err != nil {
				return err
			}
			if running := a.service(c.Context(), cfg); running != nil {
				return a.statusOf(running)
			}
			if diags.HasErrors() {
				return project.Diagnosed{Files: cfg.Files, Diags: diags}
			}
			p, err := a.project(cfg)
			if err != nil {
				return err
			}
			defer p.Close()
			if err := p.OpenState(project.ReadState); err != nil {
				return err
			}
			list, err := p.Statuses(c.Context(), p.State)
			if err != nil {
				return err
			}
			if a.json {
				return report.JSON(a.out, map[string]any{"syncs": list})
			}
			return report.StatusTable(a.out, list, a.now(), a.style)
		},
	}
}

// statusOf shows what a running service says: only it knows the next runs, and whether the files as they are now
// are those in force.
func (a *app) statusOf(st *service.Status) error {
	if a.json {
		return report.JSON(a.out, st)
	}
	a.sayService(st)
	return report.StatusTable(a.out, st.Syncs, a.now(), a.style)
}

func (a *app) runsCmd() *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use:   "runs [SYNC]",
		Short: "list the latest runs",
		Example: `  fieldsync runs
  fieldsync runs ticket_to_incident -n 100 --json`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeSyncs,
		RunE: func(c *cobra.Command, args []string) error {
			p, err := a.openProject()
			if err != nil {
				return err
			}
			defer p.Close()
			if err := p.OpenState(project.ReadState); err != nil {
				return err
			}
			runs := []plan.Run{}
			err = p.State.Runs(c.Context(), first(args), limit, func(r plan.Run) error {
				runs = append(runs, r)
				return nil
			})
			if err != nil {
				return err
			}
			if a.json {
				return report.JSON(a.out, runs)
			}
			return report.Runs(a.out, runs, a.now(), a.style)
		},
	}
	c.Flags().IntVarP(&limit, "number", "n", 20, "how many")
	return c
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}
