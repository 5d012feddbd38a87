// Package project is a loaded mapping with the systems and the state that it names, and what the commands and the
// pages of a running service both do with it: they make the same jobs, check alike, show alike, and say the same way out.
package project

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/all"
	"github.com/fieldsync/fieldsync/connectors/guard"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/state"
)

// A Project is a loaded mapping with the systems and the state that it names, opened when first needed.
type Project struct {
	*mapping.Config
	Log   *slog.Logger
	Now   func() time.Time
	State engine.Store
	Owner string
	Meter *Meter            // nil: nobody asks
	Share *connectors.Share // of the limits of connections; nil: this process is alone

	mu    sync.Mutex // guards what is below
	conns map[string]connectors.Connection
	ends  map[string]End
}

// An End is an open collection and what it said of its fields.
type End struct {
	Col    connectors.Collection
	Schema *connectors.Schema
	at     time.Time
}

// schemaLife is how long a running service believes what a system said of its fields.
const schemaLife = time.Hour

// A Source is where a mapping comes from.
type Source struct {
	Dir     string
	Vars    map[string]string
	Getenv  func(string) (string, bool)
	Now     func() time.Time
	Secrets *Secrets // gets what no output may show
}

// Load reads the mapping; from then on no output shows its credentials.
func (s Source) Load() (*mapping.Config, hcl.Diagnostics) {
	cfg, diags := mapping.Load(s.Dir, mapping.Options{Registry: all.Registry(), Vars: s.Vars, Getenv: s.Getenv})
	for _, c := range cfg.Connections {
		s.Secrets.Add(c.Secrets...)
	}
	s.Secrets.Add(cfg.Secrets...)
	s.Secrets.Add(state.Secrets(cfg.Settings.State)...)
	return cfg, diags
}

// New opens nothing yet.
func New(cfg *mapping.Config, log *slog.Logger, now func() time.Time) *Project {
	return &Project{Config: cfg, Log: log, Now: now, Owner: engine.ProcessName(os.Getpid()),
		conns: map[string]connectors.Connection{}, ends: map[string]End{}}
}

// Close lets go of systems and state.
func (p *Project) Close() error {
	errs := []error{p.Disconnect()}
	if p.State != nil {
		errs = append(errs, p.State.Close())
		p.State = nil
	}
	return errors.Join(errs...)
}

// Disconnect lets go of the systems alone.
func (p *Project) Disconnect() error {
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
func (p *Project) connection(c *mapping.Connection) (connectors.Connection, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if open := p.conns[c.Name]; open != nil {
		return open, nil
	}
	if len(c.Missing) > 0 {
		return nil, Hinted(fmt.Errorf("connection %s: not set: %s", c.Name, strings.Join(c.Missing, ", ")),
			"set it in the environment of fieldsync, for example: export "+c.Missing[0]+"=…")
	}
	log, limits := p.Log.With("connection", c.Name), c.Limits
	limits.Share = p.Share
	open, err := c.Config.Open(connectors.Env{Name: c.Name, Log: log, Now: p.Now, Dir: c.Dir, HTTP: guard.Client(limits, log, nil, p.Meter.sent(c.Name)), Limits: limits})
	if err != nil {
		return nil, fmt.Errorf("connection %s: %w", c.Name, err)
	}
	p.conns[c.Name] = open
	return open, nil
}

// Collection opens a collection of a system.
func (p *Project) Collection(ctx context.Context, c *mapping.Connection, name string) (connectors.Collection, error) {
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

// End opens a side's collection and asks for its fields. The schema is nil where the system does not describe
// them, or not to this user.
func (p *Project) End(ctx context.Context, s mapping.Side) (End, error) {
	key := s.Connection.Name + "/" + s.Collection
	p.mu.Lock()
	e, ok := p.ends[key]
	p.mu.Unlock()
	if ok && p.Now().Sub(e.at) < schemaLife {
		return e, nil
	}
	col, err := p.Collection(ctx, s.Connection, s.Collection)
	if err != nil {
		return End{}, err
	}
	e = End{Col: col, at: p.Now()}
	if d, ok := connectors.As[connectors.Describer](col); ok {
		e.Schema, err = d.Describe(ctx)
		switch {
		case errors.Is(err, connectors.ErrDenied):
			p.Log.Debug("fields are not described: the user may not see them", "connection", s.Connection.Name, "collection", s.Collection)
		case err != nil:
			return End{}, fmt.Errorf("connection %s: %w", s.Connection.Name, err)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ends[key] = e
	return e, nil
}

// A StateMode says whether a state is to be written.
type StateMode uint8

const (
	ReadState StateMode = iota
	WriteState
)

// OpenState opens the state that the mapping names.
func (p *Project) OpenState(mode StateMode) error {
	path := p.Settings.State
	if scheme, _, ok := strings.Cut(path, "://"); ok && !state.IsURL(path) {
		return NoState(scheme)
	}
	st, err := state.Open(path, state.Options{ReadOnly: mode == ReadState, Now: p.Now})
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return Hinted(err, "make the folder "+filepath.Dir(path)+", or change state in the fieldsync block")
		}
		return err
	}
	p.State = st
	return nil
}

// NoState is why a state cannot be kept somewhere.
func NoState(scheme string) error {
	return Hinted(fmt.Errorf("a state cannot be kept at a %s address", scheme),
		"name a file, state = \"fieldsync.db\", or a database: state = env(\"DATABASE_URL\") with postgres://USER:PASSWORD@HOST/DATABASE")
}
