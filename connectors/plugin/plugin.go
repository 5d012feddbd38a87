// Package plugin is a connector that runs in a process of its own, written by anybody in any language.
//
// The program is found by name in a folder and started only if its SHA-256 is the one in the mapping. It is spoken to over
// gRPC in the protocol of package protocol; package serve is its side in Go. It gets an environment with nothing of ours
// in it and its settings over the channel, which both ends have proved to each other with certificates of that start. What
// it says is believed as far as it can be: every record, value and key is held against what was asked, and every write is
// read back. What breaks the protocol, crashes or falls silent is an error of this connection and of nothing
// else: the process is ended with everything it started, and started again for the next call, later each time.
//
// Start with [Config]. All failures are *connectors.Error or the context's own error. What the process says on its
// output goes to the log, shortened, without the secrets in its settings.
package plugin

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/guard"
	"github.com/fieldsync/fieldsync/connectors/plugin/protocol"
)

// Config is the body of a connection "plugin" block.
type Config struct {
	Program    string    `hcl:"program"`              // name of the file in the folder, or of a folder that has a file of its name
	SHA256     string    `hcl:"sha256,optional"`      // of the file, or of the whole folder as sum describes it
	Folder     string    `hcl:"folder,optional"`      // default: plugins, beside the mapping files
	Timeout    string    `hcl:"timeout,optional"`     // how long it may be silent; default 2m
	MaxRecords int       `hcl:"max_records,optional"` // that one scan delivers; default 1,000,000
	Settings   *Settings `hcl:"settings,block"`
	Range      hcl.Range `hcl:"program,attr_value_range"`

	json    string   // settings for the wire
	plain   []string // settings that are no secrets, for telling connections apart
	secrets []string
}

// Settings are the plugin's own.
type Settings struct {
	Body hcl.Body `hcl:",remain"`
}

// New returns empty settings.
func New() connectors.Config { return &Config{} }

const (
	defaultFolder     = "plugins"
	defaultTimeout    = 2 * time.Minute
	defaultMaxRecords = 1_000_000
	startTimeout      = 30 * time.Second
)

var (
	programName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
	digits      = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// Open looks for the program and compares its sum. It does not start it.
func (c *Config) Open(env connectors.Env) (connectors.Connection, error) {
	h := &host{config: c, env: env, timeout: defaultTimeout, maxRecords: c.MaxRecords, lock: make(chan struct{}, 1)}
	if err := c.wrong(); err != nil {
		return nil, &connectors.Error{Kind: connectors.ErrConfig, Op: "open " + env.Name, Detail: err.Error()}
	}
	if c.Timeout != "" {
		h.timeout, _ = time.ParseDuration(c.Timeout) // wrong has looked at it
	}
	if h.maxRecords == 0 {
		h.maxRecords = defaultMaxRecords
	}
	h.turns = guard.NewTurns(env.Limits)
	if _, err := c.find(env.Dir); err != nil {
		return nil, err
	}
	return &connection{h}, nil
}

// wrong is what is not right about the settings whatever files there are.
func (c *Config) wrong() error {
	switch {
	case !programName.MatchString(c.Program):
		return fmt.Errorf("program = %q is no name of a file: letters, digits, dot, dash and underscore, and no path; folder says where it is", c.Program)
	case c.SHA256 != "" && !digits.MatchString(c.SHA256):
		return errors.New("sha256 is 64 digits, 0 to 9 and a to f")
	case c.MaxRecords < 0:
		return errors.New("max_records is how many records a scan may deliver: at least 1")
	}
	if d, err := time.ParseDuration(c.Timeout); c.Timeout != "" && (err != nil || d < time.Second || d > time.Hour) {
		return fmt.Errorf("timeout = %q is no time from one second to an hour; write \"90s\" or \"5m\"", c.Timeout)
	}
	return nil
}

func (c *Config) folder(dir string) string {
	f := c.Folder
	if f == "" {
		f = defaultFolder
	}
	if !filepath.IsAbs(f) {
		f = filepath.Join(dir, f)
	}
	return f
}

// An identity is what makes two connections the same system: the program by its name, and its settings. A new version of
// the program is no new system.
type identity struct {
	Program  string
	Settings []string
	Secrets  []connectors.Secret // only the address in one that is a URL counts
}

// Veil is the settings without what must not be shown.
func (c *Config) Veil() (shown any, secrets []string) {
	id := identity{Program: c.Program, Settings: c.plain}
	for _, s := range c.secrets {
		id.Secrets = append(id.Secrets, connectors.Secret(s))
	}
	return id, c.secrets
}

type connection struct{ *host }

// Collection asks the plugin for one and for what it can do.
func (c *connection) Collection(ctx context.Context, name string) (connectors.Collection, error) {
	op := "open " + name
	reply, err := unary(ctx, c.host, op, reads, func(ctx context.Context, p protocol.ConnectorClient) (*protocol.CollectionReply, error) {
		return p.Collection(ctx, &protocol.CollectionRequest{Name: name})
	})
	if err != nil {
		return nil, err
	}
	a := reply.GetAbilities()
	if a == nil {
		a = &protocol.Abilities{}
	}
	for _, needs := range []struct {
		has, needed bool
		say         string
	}{
		{a.Create, a.Find, "create and not find: a create whose answer got lost could not be looked up"},
		{a.AddComment, a.Comments, "add_comment and not comments"},
		{a.EditComment, a.AddComment, "edit_comment and not add_comment"},
		{a.Attach, a.Attachments, "attach and not attachments"},
		{a.Conditional, a.Update || a.Delete, "conditional and neither update nor delete"},
	} {
		if needs.has && !needs.needed {
			return nil, c.lie(op, "it says that it can "+needs.say)
		}
	}
	const longest = 10 * time.Minute // that a run waits for a write without an answer
	if d := time.Duration(a.SettlesMs) * time.Millisecond; a.SettlesMs < 0 || d > longest || a.Batch < 0 || a.Batch > 1000 {
		return nil, c.lie(op, fmt.Sprintf("settles_ms %d or batch %d is not believable", a.SettlesMs, a.Batch))
	}
	return &collection{host: c.host, name: name, a: a}, nil
}

// Check says what the plugin is and what it finds.
func (c *connection) Check(ctx context.Context) ([]connectors.Finding, error) {
	reply, err := unary(ctx, c.host, "check", reads, func(ctx context.Context, p protocol.ConnectorClient) (*protocol.CheckReply, error) {
		return p.Check(ctx, &protocol.CheckRequest{})
	})
	if reply == nil {
		return nil, err
	}
	list := []connectors.Finding{{OK: true, What: "plugin", Detail: fmt.Sprintf("program %s: %s", c.config.Program, c.said())}}
	for i, f := range reply.Findings {
		if i == 100 {
			break
		}
		list = append(list, connectors.Finding{OK: f.GetOk(), What: c.clean(f.GetWhat()), Detail: c.clean(f.GetDetail()), Hint: c.clean(f.GetHint())})
	}
	return list, err
}
