package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/spf13/cobra"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/all"
	"github.com/fieldsync/fieldsync/connectors/guard"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
	"github.com/fieldsync/fieldsync/engine/state"
)

// A project is a loaded mapping with the systems and the state that it names, opened when first needed.
type project struct {
	*mapping.Config
	app   *app
	log   *slog.Logger
	state engine.Store
	owner string
	meter *meter // nil: nobody asks

	mu    sync.Mutex // guards what is below
	conns map[string]connectors.Connection
	ends  map[string]end
}

// An end is an open collection and what it said of its fields.
type end struct {
	col    connectors.Collection
	schema *connectors.Schema
	at     time.Time
}

// schemaLife is how long a running service believes what a system said of its fields.
const schemaLife = time.Hour

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

// parse reads the mapping; from then on no output shows its credentials.
func (a *app) parse() (*mapping.Config, hcl.Diagnostics, error) {
	vars, err := a.variables()
	if err != nil {
		return nil, nil, err
	}
	cfg, diags := mapping.Load(a.mappings(), mapping.Options{Registry: all.Registry(), Vars: vars, Getenv: a.getenv})
	for _, c := range cfg.Connections {
		a.out.secrets.add(c.Secrets...)
	}
	a.out.secrets.add(cfg.Secrets...)
	a.out.secrets.add(state.Secrets(cfg.Settings.State)...)
	return cfg, diags, nil
}

// openProject loads a mapping that must be right.
func (a *app) openProject() (*project, error) {
	p, _, err := a.openWarned()
	return p, err
}

// openWarned is openProject with the warnings that loading gave.
func (a *app) openWarned() (*project, hcl.Diagnostics, error) {
	cfg, diags, err := a.parse()
	if err != nil {
		return nil, nil, err
	}
	if diags.HasErrors() {
		return nil, nil, diagnosed{cfg.Files, diags}
	}
	p, err := a.project(cfg)
	return p, diags, err
}

// openToRun is openProject for commands that run syncs: what the mapping says and nothing comes of is not
// passed over in silence.
func (a *app) openToRun() (*project, error) {
	p, warnings, err := a.openWarned()
	if err == nil {
		a.printDiagnostics(p.Files, warnings)
	}
	return p, err
}

func (a *app) project(cfg *mapping.Config) (*project, error) {
	log, err := a.logger(slog.LevelWarn)
	if err != nil {
		return nil, err
	}
	return &project{Config: cfg, app: a, log: log, owner: engine.ProcessName(os.Getpid()),
		conns: map[string]connectors.Connection{}, ends: map[string]end{}}, nil
}

// Close lets go of systems and state.
func (p *project) Close() error {
	errs := []error{p.disconnect()}
	if p.state != nil {
		errs = append(errs, p.state.Close())
		p.state = nil
	}
	return errors.Join(errs...)
}

// disconnect lets go of the systems alone.
func (p *project) disconnect() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, c := range p.conns {
		errs = append(errs, c.Close())
	}
	clear(p.conns)
	clear(p.ends)
	return errors.Join(errs...)
}

// connection opens a system of the mapping, without contacting it.
func (p *project) connection(c *mapping.Connection) (connectors.Connection, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if open := p.conns[c.Name]; open != nil {
		return open, nil
	}
	if len(c.Missing) > 0 {
		return nil, hinted{fmt.Errorf("connection %s: not set: %s", c.Name, strings.Join(c.Missing, ", ")),
			"set it in the environment of fieldsync, for example: export " + c.Missing[0] + "=…"}
	}
	log := p.log.With("connection", c.Name)
	open, err := c.Config.Open(connectors.Env{Name: c.Name, Log: log, Now: p.app.now, Dir: c.Dir, HTTP: guard.Client(c.Limits, log, nil, p.meter.sent(c.Name)), Limits: c.Limits})
	if err != nil {
		return nil, fmt.Errorf("connection %s: %w", c.Name, err)
	}
	p.conns[c.Name] = open
	return open, nil
}

func (p *project) collection(ctx context.Context, c *mapping.Connection, name string) (connectors.Collection, error) {
	open, err := p.connection(c)
	if err != nil {
		return nil, err
	}
	col, err := open.Collection(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("connection %s: %w", c.Name, err)
	}
	return col, nil
}

// end opens a side's collection and asks for its fields. The schema is nil where the system does not describe
// them, or not to this user.
func (p *project) end(ctx context.Context, s mapping.Side) (end, error) {
	key := s.Connection.Name + "/" + s.Collection
	p.mu.Lock()
	e, ok := p.ends[key]
	p.mu.Unlock()
	if ok && p.app.now().Sub(e.at) < schemaLife {
		return e, nil
	}
	col, err := p.collection(ctx, s.Connection, s.Collection)
	if err != nil {
		return end{}, err
	}
	e = end{col: col, at: p.app.now()}
	if d, ok := connectors.As[connectors.Describer](col); ok {
		e.schema, err = d.Describe(ctx)
		switch {
		case errors.Is(err, connectors.ErrDenied):
			p.log.Debug("fields are not described: the user may not see them", "connection", s.Connection.Name, "collection", s.Collection)
		case err != nil:
			return end{}, fmt.Errorf("connection %s: %w", s.Connection.Name, err)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ends[key] = e
	return e, nil
}

// compile makes the rules of a sync and says what is wrong with them. A side that cannot be asked is a warning: its
// paths stay unchecked.
func (p *project) compile(ctx context.Context, s *mapping.Sync, ask bool) (*mapping.Compiled, hcl.Diagnostics) {
	var schemas [2]*connectors.Schema
	var diags hcl.Diagnostics
	for i, side := range s.Sides {
		if !ask || side.Connection == nil || len(side.Connection.Missing) > 0 {
			continue // the missing variables are a warning of their own
		}
		e, err := p.end(ctx, side)
		if err != nil {
			diags = append(diags, unasked(side, err))
		} else if d := uncreatable(side, e.col); d != nil {
			diags = append(diags, d)
		}
		schemas[i] = e.schema
	}
	c, more := p.Compile(s, schemas)
	return c, append(diags, more...)
}

// uncreatable is an error when records are to be created where that cannot be done.
func uncreatable(side mapping.Side, col connectors.Collection) *hcl.Diagnostic {
	if _, ok := connectors.As[connectors.Creator](col); ok || !side.Create {
		return nil
	}
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Records cannot be created here", Subject: &side.Range,
		Detail: fmt.Sprintf("The collection %q of connection %q has no way to create records. Remove create = true, so that records are paired alone.", side.Collection, side.Connection.Name)}
}

// unasked is a warning when a system is away or shut, and an error when it says that the mapping is wrong.
func unasked(side mapping.Side, err error) *hcl.Diagnostic {
	d := &hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: "Paths are not checked", Subject: &side.Range,
		Detail: fmt.Sprintf("The collection %q could not be asked for its fields: %v.", side.Collection, err)}
	if errors.Is(err, connectors.ErrConfig) || errors.Is(err, connectors.ErrNotFound) {
		d.Severity, d.Summary, d.Detail = hcl.DiagError, "Collection cannot be used", fmt.Sprintf("%v.", err)
	}
	if hint := wayOut(err); hint != "" {
		d.Detail += "\nWay out: " + hint + "."
	}
	return d
}

type jobOptions struct {
	preview bool // systems are wrapped so that a write fails
	full    bool
	again   bool // what is held is tried before its time
	trigger string
	only    [2][]string
}

// job compiles a sync and opens both of its sides.
func (p *project) job(ctx context.Context, s *mapping.Sync, o jobOptions) (engine.Job, error) {
	j := engine.Job{Full: o.full, Again: o.again, FullSince: fullSince(s, p.app.now()), Trigger: o.trigger, Only: o.only,
		Limits: engine.Limits{Creates: engine.Limit(s.Limits.Creates), Updates: engine.Limit(s.Limits.Updates), Deletes: engine.Limit(s.Limits.Deletes)}}
	var schemas [2]*connectors.Schema
	for i, side := range s.Sides {
		e, err := p.end(ctx, side)
		if err != nil {
			return j, fmt.Errorf("%s: %w", side.Name, err)
		}
		if d := uncreatable(side, e.col); d != nil {
			return j, diagnosed{p.Files, hcl.Diagnostics{d}}
		}
		schemas[i] = e.schema
		col := e.col
		if o.preview {
			col = guard.ReadOnly(col)
		}
		j.Ends[i] = engine.End{Connection: side.Connection.Name, Collection: side.Collection, Endpoint: side.Connection.Identity + "/" + side.Collection,
			Handle: col, Schema: schemas[i], Native: side.Query, Limits: side.Connection.Limits}
	}
	compiled, diags := p.Compile(s, schemas)
	if diags.HasErrors() {
		return j, diagnosed{p.Files, diags}
	}
	j.Rules, j.Peers = compiled.Rules, p.peers(s)
	if len(compiled.Lookups) > 0 {
		j.Fetch = func(ctx context.Context, needs []reconcile.Needed) error {
			return p.fetch(ctx, compiled.Lookups, needs)
		}
	}
	return j, nil
}

// peers are the other syncs that have a collection of s.
func (p *project) peers(s *mapping.Sync) []engine.Peer {
	var out []engine.Peer
	for _, o := range p.Syncs {
		for i, theirs := range o.Sides {
			for k, ours := range s.Sides {
				if o != s && theirs.Connection == ours.Connection && theirs.Collection == ours.Collection {
					out = append(out, engine.Peer{Sync: o.Name, Side: [2]record.Side{record.Side(k), record.Side(i)}, At: o.FieldsAt()})
				}
			}
		}
	}
	return out
}

// fetch gets rows of live translations.
func (p *project) fetch(ctx context.Context, lookups []*mapping.Translation, needs []reconcile.Needed) error {
	for _, t := range lookups {
		col, err := p.collection(ctx, t.Lookup.Connection, t.Lookup.Collection)
		if err != nil {
			return fmt.Errorf("translation %s: %w", t.Name, err)
		}
		if err := t.Fetch(ctx, col, needs, p.app.now()); err != nil {
			return err
		}
	}
	return nil
}

type stateMode uint8

const (
	readState stateMode = iota
	writeState
)

// openSync opens what a command about one sync needs: the mapping, the state, both systems. The project is the
// caller's to close.
func (a *app) openSync(ctx context.Context, name string, mode stateMode, o jobOptions) (*project, *mapping.Sync, engine.Job, error) {
	p, err := a.openProject()
	if err != nil {
		return nil, nil, engine.Job{}, err
	}
	s, err := p.sync(name)
	if err == nil {
		err = p.openState(mode)
	}
	var job engine.Job
	if err == nil {
		job, err = p.job(ctx, s, o)
	}
	if err != nil {
		return nil, nil, job, errors.Join(err, p.Close())
	}
	return p, s, job, nil
}

// openState opens the state that the mapping names.
func (p *project) openState(mode stateMode) error {
	path := p.Settings.State
	if scheme, _, ok := strings.Cut(path, "://"); ok && !state.IsURL(path) {
		return noState(scheme)
	}
	st, err := state.Open(path, state.Options{ReadOnly: mode == readState, Now: p.app.now})
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return hinted{err, "make the folder " + filepath.Dir(path) + ", or change state in the fieldsync block"}
		}
		return err
	}
	p.state = st
	return nil
}

// noState is why a state cannot be kept somewhere.
func noState(scheme string) error {
	return hinted{fmt.Errorf("a state cannot be kept at a %s address", scheme),
		"name a file, state = \"fieldsync.db\", or a database: state = env(\"DATABASE_URL\") with postgres://USER:PASSWORD@HOST/DATABASE"}
}

// engine carries out this project's jobs.
func (p *project) engine(b *bar) *engine.Engine {
	e := &engine.Engine{Store: p.state, Log: p.log, Now: p.app.now, Owner: p.owner, Keep: p.Settings.History, Span: p.meter.span}
	if b != nil {
		e.Progress = b.step
	}
	return e
}

// pick finds syncs by name, all of them without names, each after those that it is to follow.
func (p *project) pick(names []string) ([]*mapping.Sync, error) {
	if len(p.Syncs) == 0 {
		return nil, hinted{fmt.Errorf("the mapping in %s has no sync", p.Dir), "add a sync block, or name another folder with -d DIR"}
	}
	var picked []*mapping.Sync
	for _, n := range names {
		s, err := p.sync(n)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(picked, s) {
			picked = append(picked, s)
		}
	}
	if len(names) == 0 {
		picked = p.Syncs
	}
	return inOrder(picked), nil
}

// sync finds one sync by name.
func (p *project) sync(name string) (*mapping.Sync, error) {
	if s, ok := p.Sync(name); ok {
		return s, nil
	}
	return nil, hinted{fmt.Errorf("there is no sync %q in %s", name, p.Dir), "its syncs are: " + strings.Join(syncNames(p.Config), ", ")}
}

func syncNames(c *mapping.Config) []string {
	var names []string
	for _, s := range c.Syncs {
		names = append(names, s.Name)
	}
	return names
}

// inOrder sorts syncs so that each stands after those in its After; otherwise the order of the files stays.
// The mapping refuses circles.
func inOrder(syncs []*mapping.Sync) []*mapping.Sync {
	var sorted []*mapping.Sync
	visited := map[*mapping.Sync]bool{}
	var visit func(*mapping.Sync)
	visit = func(s *mapping.Sync) {
		if visited[s] {
			return
		}
		visited[s] = true
		for _, other := range syncs {
			if slices.Contains(s.After, other.Name) {
				visit(other)
			}
		}
		sorted = append(sorted, s)
	}
	for _, s := range syncs {
		visit(s)
	}
	return sorted
}

// inSync says which sync an error belongs to; diagnostics have their own places.
func inSync(name string, err error) error {
	if _, ok := errors.AsType[diagnosed](err); ok {
		return err
	}
	return fmt.Errorf("sync %s: %w", name, err)
}

// sidesOf returns the names of a sync's sides, as the mapping gives them.
func (p *project) sidesOf(sync string) [2]string {
	if s, ok := p.Sync(sync); ok {
		return [2]string{s.Sides[0].Name, s.Sides[1].Name}
	}
	return [2]string{record.Left.String(), record.Right.String()}
}

// completeSyncs offers the names of syncs to the shell.
func (a *app) completeSyncs(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	cfg, _, err := a.parse()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	names := slices.DeleteFunc(syncNames(cfg), func(n string) bool { return slices.Contains(args, n) })
	return names, cobra.ShellCompDirectiveDefault
}
