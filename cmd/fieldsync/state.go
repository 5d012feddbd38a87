package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/report"
	"github.com/fieldsync/fieldsync/engine/state"
)

func (a *app) stateCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "state",
		Short: "back the state up, check it, or move it",
		Long: `The state is the file, or the PostgreSQL database, in which fieldsync remembers links and what
both sides agreed on; the mapping names it. It can be backed up and checked while fieldsync
serve runs. A database is backed up with its own tools, such as pg_dump.`,
		Example: `  fieldsync state backup /backups/fieldsync-$(date +%F).db
  fieldsync state check
  fieldsync state copy --to "$DATABASE_URL"`,
		Args: knownCommand,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.stateBackupCmd(), a.stateCheckCmd(), a.stateCopyCmd())
	return c
}

// openStateFile opens the state that the mapping names. A file has to be there.
func (a *app) openStateFile(mode project.StateMode) (*project.Project, *state.Store, error) {
	p, err := a.openProject()
	if err != nil {
		return nil, nil, err
	}
	path := p.Settings.State
	if !state.IsURL(path) {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil, nil, errors.Join(project.Hinted(fmt.Errorf("there is no state at %s yet", path), "the first fieldsync apply makes it; -d DIR names another mapping folder"), p.Close())
		}
	}
	if err := p.OpenState(mode); err != nil {
		return nil, nil, errors.Join(err, p.Close())
	}
	file, ok := p.State.(*state.Store)
	if !ok {
		return nil, nil, errors.Join(fmt.Errorf("the state of this mapping is of an unknown kind"), p.Close())
	}
	return p, file, nil
}

func (a *app) stateBackupCmd() *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use:   "backup FILE",
		Short: "copy the state to a file, also while it is in use",
		Long: `Writes a copy of the state as it is at one moment, checks the copy, and only then gives it
its name. FILE is readable by its owner alone, since the state holds content of records.

To go back to a copy: stop fieldsync serve, move the state file away with its -wal and -shm
files, and put the copy in its place. The next run compares both sides with what the copy
remembers: writes that were made since show as edits on both sides alike, and are quiet.`,
		Example: `  fieldsync state backup /backups/fieldsync-$(date +%F).db
  fieldsync state backup latest.db --force`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			p, file, err := a.openStateFile(project.ReadState)
			if err != nil {
				return err
			}
			defer p.Close()
			size, err := file.Backup(c.Context(), args[0], force)
			if err != nil {
				return err
			}
			if a.json {
				return report.JSON(a.out, map[string]any{"state": state.Name(p.Settings.State), "file": args[0], "bytes": size})
			}
			a.say("%s is a copy of %s: %s bytes.", args[0], p.Settings.State, report.Count(size))
			return nil
		},
	}
	c.Flags().BoolVar(&force, "force", false, "replace FILE if it is there")
	return c
}

func (a *app) stateCheckCmd() *cobra.Command {
	var older time.Duration
	c := &cobra.Command{
		Use:   "check",
		Short: "check that the state is whole and consistent",
		Long: `Reads all of the state and checks: the file itself, what refers to what, that everything
stored can be read back, that each record has one link, that the counts are right, and that
no write has been in flight for long. Changes nothing. Exit code 1 when something is wrong.`,
		Example: `  fieldsync state check
  fieldsync state check --older 15m --json | jq '.findings[] | select(.ok | not)'`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			p, file, err := a.openStateFile(project.ReadState)
			if err != nil {
				return err
			}
			defer p.Close()
			findings, err := file.Check(c.Context(), older)
			if err != nil {
				return err
			}
			return a.showFindings(state.Name(p.Settings.State), findings)
		},
	}
	c.Flags().DurationVar(&older, "older", time.Hour, "how long a write may be in flight")
	return c
}

func (a *app) stateCopyCmd() *cobra.Command {
	var to string
	c := &cobra.Command{
		Use:   "copy --to URL|FILE",
		Short: "copy the state to an empty PostgreSQL database or file",
		Long: `Copies all that is remembered from where the mapping says to an empty place: from a file to a
PostgreSQL database that several nodes share, or back. It is copied whole or not at all, read
back, and the digests of both are compared. No sync can run meanwhile.

Stop fieldsync serve first, and start it again once the mapping names the new place: what it
would write to the old one after the copy is not in the new one.

The password in a URL can be left to PGPASSWORD or ~/.pgpass, so that nobody sees it in a list
of processes.`,
		Example: `  fieldsync state copy --to postgres://fieldsync@db.example/fieldsync?sslmode=verify-full
  DATABASE_URL=… fieldsync state copy -d mappings --to fieldsync.db`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			a.out.Secrets.Add(state.Secrets(to)...)
			if scheme, _, ok := strings.Cut(to, "://"); ok && !state.IsURL(to) {
				return project.NoState(scheme)
			}
			p, from, err := a.openStateFile(project.WriteState)
			if err != nil {
				return err
			}
			defer p.Close()
			target, err := state.Open(to, state.Options{Now: a.now})
			if err != nil {
				return err
			}
			defer target.Close()
			bar := a.startBar()
			copied, err := from.CopyTo(c.Context(), target, p.Owner, func(table string, rows int64) {
				if bar != nil {
					bar.step(engine.Progress{Sync: "copy", Phase: table, Done: rows})
				}
			})
			bar.stop()
			if errors.Is(err, engine.ErrLeased) {
				return project.Hinted(err, "stop fieldsync serve, or wait for the run to end")
			}
			if err != nil {
				return err
			}
			if a.json {
				return report.JSON(a.out, map[string]any{"state": state.Name(p.Settings.State), "to": state.Name(to), "rows": copied.Rows, "digest": copied.Digest})
			}
			a.say("%s is a copy of %s: %s rows, digest %s.", state.Name(to), state.Name(p.Settings.State), report.Count(copied.Rows), copied.Digest[:12])
			return nil
		},
	}
	c.Flags().StringVar(&to, "to", "", "`PLACE` to copy to: a PostgreSQL URL or a file")
	_ = c.MarkFlagRequired("to")
	return c
}

func (a *app) showFindings(path string, findings []state.Finding) error {
	bad := 0
	for _, f := range findings {
		if !f.OK {
			bad++
		}
	}
	if a.json {
		if err := report.JSON(a.out, map[string]any{"state": path, "ok": bad == 0, "findings": findings}); err != nil {
			return err
		}
	} else {
		for _, f := range findings {
			mark := a.style.OK("ok")
			if !f.OK {
				mark = a.style.Bad("!!")
			}
			a.say("%s  %-9s %s", mark, f.What, f.Detail)
			if f.Hint != "" {
				a.say("    way out: %s", f.Hint)
			}
		}
	}
	if bad > 0 {
		return exit(exitError)
	}
	return nil
}
