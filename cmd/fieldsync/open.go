package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/spf13/cobra"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/mapping"
)

// mappings is the folder of the mapping files.
func (a *app) mappings() string {
	if a.dir != "" {
		return a.dir
	}
	if info, err := os.Stat("mappings"); err == nil && info.IsDir() {
		return "mappings"
	}
	return "."
}

// parse reads the mapping that the flags name.
func (a *app) parse() (*mapping.Config, hcl.Diagnostics, error) {
	vars, err := a.variables()
	if err != nil {
		return nil, nil, err
	}
	cfg, diags := a.source(vars).Load()
	return cfg, diags, nil
}

// source is where this invocation finds its mapping.
func (a *app) source(vars map[string]string) project.Source {
	return project.Source{Dir: a.mappings(), Vars: vars, Getenv: a.getenv, Now: a.now, Secrets: a.out.Secrets}
}

// openProject loads a mapping that must be right.
func (a *app) openProject() (*project.Project, error) {
	p, _, err := a.openWarned()
	return p, err
}

// openWarned is openProject with the warnings that loading gave.
func (a *app) openWarned() (*project.Project, hcl.Diagnostics, error) {
	cfg, diags, err := a.parse()
	if err != nil {
		return nil, nil, err
	}
	if diags.HasErrors() {
		return nil, nil, project.Diagnosed{Files: cfg.Files, Diags: diags}
	}
	p, err := a.project(cfg)
	return p, diags, err
}

// openToRun is openProject for commands that run syncs: what the mapping says and nothing comes of is not
// passed over in silence.
func (a *app) openToRun() (*project.Project, error) {
	p, warnings, err := a.openWarned()
	if err == nil {
		a.printDiagnostics(p.Files, warnings)
	}
	return p, err
}

func (a *app) project(cfg *mapping.Config) (*project.Project, error) {
	log, err := a.logger(slog.LevelWarn)
	if err != nil {
		return nil, err
	}
	return project.New(cfg, log, a.now), nil
}

// openSync opens what a command about one sync needs: the mapping, the state, both systems. The project is the
// caller's to close.
func (a *app) openSync(ctx context.Context, name string, mode project.StateMode, o project.JobOptions) (*project.Project, *mapping.Sync, engine.Job, error) {
	p, err := a.openProject()
	if err != nil {
		return nil, nil, engine.Job{}, err
	}
	s, err := p.Find(name)
	if err == nil {
		err = p.OpenState(mode)
	}
	var job engine.Job
	if err == nil {
		job, err = p.Job(ctx, s, o)
	}
	if err != nil {
		return nil, nil, job, errors.Join(err, p.Close())
	}
	return p, s, job, nil
}

// completeSyncs offers the names of syncs to the shell.
func (a *app) completeSyncs(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	cfg, _, err := a.parse()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	names := slices.DeleteFunc(project.SyncNames(cfg), func(n string) bool { return slices.Contains(args, n) })
	return names, cobra.ShellCompDirectiveDefault
}
