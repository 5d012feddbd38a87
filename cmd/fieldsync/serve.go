package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/cmd/fieldsync/service"
	"github.com/fieldsync/fieldsync/engine/state"
)

func (a *app) serveCmd() *cobra.Command {
	var listen string
	var workers int
	var unit bool
	c := &cobra.Command{
		Use:   "serve",
		Short: "run the syncs on their schedules until told to stop",
		Long: `Runs each sync when its schedule says so, and those with "after" when the one before
them is done. A sync never overlaps with itself; a missed run is caught up once.

Edited mapping files are taken over when they are valid. A broken edit leaves the last
good rules running and is said in the log, at /status and by "fieldsync status".

A system that tells of changes, by a signed webhook (webhook in its connection block) or as a
database (notify in its collection block), has its sync run at once, for what it named.

Where the state is a PostgreSQL database, any number of machines can serve the same mapping
files: one of them starts the syncs, all of them run them, each sync on one at a time.

A plan that runs into a limit is not carried out: look at it with fieldsync plan and
approve it with fieldsync approve; the next run then carries it out.

It listens on the address that "listen" names; one that other machines reach needs a way to log
in (the serve block; fieldsync token makes one). The web console is at /, what programs ask at
/api/v1, /status and /metrics (for Prometheus), and whether it lives at /healthz and /readyz.

An interrupt or SIGTERM stops after the action in flight, a second one at once; SIGHUP reads
the mapping again. systemd is told of all that: --unit prints a unit file.`,
		Example: `  fieldsync serve
  fieldsync serve -d production --listen 127.0.0.1:9000 --json 2>>fieldsync.log
  fieldsync serve --workers 8              # on each machine, with state = env("DATABASE_URL")
  curl -s http://127.0.0.1:8440/status`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if unit {
				_, err := io.WriteString(a.out, service.UnitFile)
				return err
			}
			p, err := a.openToRun()
			if err != nil {
				return err
			}
			defer p.Close()
			if p.Log, err = a.logger(slog.LevelInfo); err != nil {
				return err
			}
			if _, err := p.Pick(nil); err != nil {
				return err
			}
			if listen == "" {
				listen = p.Settings.Listen
			}
			if listen == "" {
				listen = service.DefaultListen
			}
			if workers < 1 {
				return project.Hinted(fmt.Errorf("--workers %d: it takes one at least", workers), "write --workers 4")
			}
			if c.Flags().Changed("workers") && !state.IsURL(p.Settings.State) {
				return project.Hinted(errors.New("--workers shares the work through a database, and the state is a file"),
					"move it, fieldsync state copy --to URL, and set state = env(\"DATABASE_URL\")")
			}
			vars, err := a.variables()
			if err != nil {
				return err
			}
			return service.Serve(c.Context(), p, a.source(vars), listen, workers)
		},
	}
	c.Flags().IntVar(&workers, "workers", 4, "syncs that this node runs at the same time, where the state is a database")
	c.Flags().BoolVar(&unit, "unit", false, "print a unit file for systemd, and do nothing else")
	c.Flags().StringVar(&listen, "listen", "", "`ADDRESS` to listen on, instead of the mapping's")
	return c
}
