package plugin_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/memory"
	"github.com/fieldsync/fieldsync/connectors/plugin"
	"github.com/fieldsync/fieldsync/connectors/plugin/serve"
	"github.com/fieldsync/fieldsync/engine/mapping/expression"
	"github.com/fieldsync/fieldsync/engine/record"
)

// TestMain is a plugin, too: the tests put a copy of their own program into the folder of plugins.
func TestMain(m *testing.M) {
	if os.Getenv("FIELDSYNC_PLUGIN") != "" {
		badStart(filepath.Base(os.Args[0]))
		serve.Plugin("store 1.0", func() connectors.Config { return &storeConfig{} })
		return
	}
	if os.Getenv("FIELDSYNC_TEST_HOST") != "" {
		hostAlone()
	}
	os.Exit(m.Run())
}

// storeConfig is the settings of the plugin that tests use: records in memory, and how it misbehaves.
type storeConfig struct {
	How     string `hcl:"how,optional"`
	Fill    int    `hcl:"fill,optional"`
	Audited bool   `hcl:"audited,optional"`
	Token   string `hcl:"token,optional"`
	Auth    *struct {
		Kind     string `hcl:"kind,label"`
		Password string `hcl:"password"`
	} `hcl:"auth,block"`
}

func fields() []connectors.Field {
	return append(memory.Text("title", "marker"),
		connectors.Field{Path: "weight", Type: record.Type{Kind: record.Int}},
		connectors.Field{Path: "share", Type: record.Type{Kind: record.Float}},
		connectors.Field{Path: "done", Type: record.Type{Kind: record.Bool}},
		connectors.Field{Path: "due", Type: record.Type{Kind: record.Time}},
		connectors.Field{Path: "tags", Type: record.Type{Kind: record.List}})
}

func sample(i int) record.Fields {
	return record.Fields{
		"title": record.OfText(fmt.Sprintf("title %d grüße 🚒", i)), "marker": record.OfText(fmt.Sprintf("m-%d", i)), "weight": record.OfInt(int64(i) - 5),
		"share": record.OfFloat(float64(i) + 0.25), "done": record.OfBool(i%2 == 0), "due": record.OfTime(time.Date(2026, 3, 1, 12, i%60, 0, 123456789, time.UTC)),
		"tags": record.OfList([]record.Value{record.OfText("a"), record.OfInt(int64(i))}),
	}
}

var paths = []string{"title", "key", "weight", "marker", "share", "done", "due", "tags"}

func (c *storeConfig) Open(env connectors.Env) (connectors.Connection, error) {
	if c.How == "wrong settings" {
		return nil, &connectors.Error{Kind: connectors.ErrConfig, Op: "open", Detail: "the token " + c.Token + " is no token", Hint: "get another one"}
	}
	s := memory.New(fields()...)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	st := &store{Store: s, config: c, now: &now}
	s.Now = func() time.Time { return now }
	s.Audited = c.Audited
	s.Files = []connectors.Thread{{Path: "files", Label: "Files"}}
	s.Threads = []connectors.Thread{{Path: "comments", Readers: connectors.Public, Editable: true}}
	for i := range c.Fill {
		s.Add(sample(i))
	}
	fmt.Fprintf(os.Stderr, "opened with %q and token %s\n", env.Name, c.Token)
	return st, nil
}

// A store is the connection, and the collection "tickets".
type store struct {
	*memory.Store
	config *storeConfig
	now    *time.Time
}

func (s *store) Collection(ctx context.Context, name string) (connectors.Collection, error) {
	switch name {
	case "tickets":
		return s, nil
	case "person":
		return &person{s}, nil
	}
	return nil, &connectors.Error{Kind: connectors.ErrConfig, Op: "open " + name, Detail: "there is no such collection"}
}

func (s *store) Conditional() bool      { return !s.config.Audited }
func (s *store) Settles() time.Duration { return 3 * time.Second }
func (s *store) Batch() int             { return 4 }

func (s *store) Locate(key string) string { return "https://store.example/" + key }

// Within has a language of one word: "odd" is every record whose key ends in an odd digit.
func (s *store) Within(_ context.Context, native string, keys []string, emit func(string) error) error {
	for _, key := range keys {
		if native == "odd" && strings.ContainsAny(key[len(key)-1:], "13579") {
			if err := emit(key); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *store) Count(context.Context, string) (int64, error) { return int64(s.Len()), nil }

// A person changes the store behind the connector's back: writes to this collection are a person's, and what is retired
// is time.
type person struct{ *store }

func (p *person) Create(ctx context.Context, paths []string, f record.Fields) (record.Record, error) {
	return p.one(ctx, paths, p.Add(f))
}

func (p *person) Update(ctx context.Context, paths []string, key, _ string, f record.Fields) (record.Record, error) {
	p.Edit(key, f)
	return p.one(ctx, paths, key)
}

func (p *person) Delete(_ context.Context, key, _ string) error {
	p.Remove(key)
	return nil
}

func (p *person) Retire(_ context.Context, key string) (string, error) {
	d, err := time.ParseDuration(key)
	*p.now = p.now.Add(d)
	return "past", err
}

func (p *person) one(ctx context.Context, paths []string, key string) (r record.Record, err error) {
	err = p.Read(ctx, paths, []string{key}, func(x record.Record) error { r = x.Clone(); return nil })
	return r, err
}

// program is this test's own file, in a folder of plugins under the name "store", and its sum.
func program(t testing.TB) (folder, sum string) {
	t.Helper()
	return programAs(t, "store")
}

// programAs is program under another name, by which it behaves in another way.
func programAs(t testing.TB, as string) (folder, sum string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	folder = t.TempDir()
	name := filepath.Join(folder, as)
	if os.Link(self, name) != nil { // another file system
		copied(t, self, name)
	}
	return folder, ownSum()
}

var ownSum = sync.OnceValue(func() string {
	self, err := os.Executable()
	if err != nil {
		return ""
	}
	f, err := os.Open(self)
	if err != nil {
		return ""
	}
	defer f.Close()
	h := sha256.New()
	_, _ = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil))
})

func copied(t testing.TB, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// secretFunctions stand for those of a mapping that bring in secrets.
var secretFunctions = &hcl.EvalContext{Functions: map[string]function.Function{"env": function.New(&function.Spec{
	Params: []function.Parameter{{Name: "name", Type: cty.String}}, Type: function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		return cty.StringVal("secret-of-" + args[0].AsString()), nil
	},
})}}

// settings reads a body as a mapping does.
func settings(t testing.TB, dir, body string) (*plugin.Config, hcl.Diagnostics) {
	t.Helper()
	f, diags := hclsyntax.ParseConfig([]byte(body), "main.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	c := plugin.New().(*plugin.Config)
	if diags := gohcl.DecodeBody(f.Body, secretFunctions, c); diags.HasErrors() {
		return c, diags
	}
	_, _, diags = c.Prepare(dir, secretFunctions, expression.Scope{}, nil)
	return c, diags
}

// opened is a connection with this body; log may be nil.
func opened(t testing.TB, body string, log io.Writer) (connectors.Connection, error) {
	t.Helper()
	c, diags := settings(t, t.TempDir(), body)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	if log == nil {
		log = io.Discard
	}
	conn, err := c.Open(connectors.Env{Name: "shop", Log: slog.New(slog.NewTextHandler(log, nil)), Now: time.Now, Dir: t.TempDir()})
	if err == nil {
		t.Cleanup(func() { _ = conn.Close() })
	}
	return conn, err
}

// body is a connection to the store with these settings, and more of the connection's own.
func body(folder, sum, own, more string) string { return bodyOf("store", folder, sum, own, more) }

func bodyOf(program, folder, sum, own, more string) string {
	return fmt.Sprintf("program = %q\nfolder = %q\nsha256 = %q\n%s\nsettings {\n%s\n}\n", program, folder, sum, more, own)
}

// tickets is the collection of a store that misbehaves like this.
func tickets(t testing.TB, own, more string, log io.Writer) connectors.Collection {
	t.Helper()
	return ticketsOf(t, "store", own, more, log)
}

func ticketsOf(t testing.TB, as, own, more string, log io.Writer) connectors.Collection {
	t.Helper()
	conn := connected(t, as, own, more, log)
	c, err := conn.Collection(t.Context(), "tickets")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// connected is a connection to the program under this name.
func connected(t testing.TB, as, own, more string, log io.Writer) connectors.Connection {
	t.Helper()
	folder, sum := programAs(t, as)
	conn, err := opened(t, bodyOf(as, folder, sum, own, more), log)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}
