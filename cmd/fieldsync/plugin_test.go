package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/file"
	"github.com/fieldsync/fieldsync/connectors/plugin/serve"
	"github.com/fieldsync/fieldsync/engine/record"
)

// example is the plugin in connectors/plugin/examples that is written in Go, built once.
var example = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "fieldsync-example-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "shelf"), "./connectors/plugin/examples/shelf")
	cmd.Dir, cmd.Stderr = filepath.Join("..", ".."), os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(dir, "shelf"))
})

// shelf puts the example into a file, and its sum into $SUM: shelf FILE.
func shelf(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: shelf FILE")
	}
	program, err := example()
	ts.Check(err)
	sum := sha256.Sum256(program)
	ts.Setenv("SUM", hex.EncodeToString(sum[:]))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), program, 0o755))
}

// breaks puts the plugin called fragile into a file, and its sum into $SUM: breaks FILE. It keeps records in a file of NDJSON, and ends in
// the middle of its first create, when the record is stored and nobody knows. It is this test's program under another name.
func breaks(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: breaks FILE")
	}
	self, err := os.Executable()
	ts.Check(err)
	program, err := os.ReadFile(self)
	ts.Check(err)
	sum := sha256.Sum256(program)
	ts.Setenv("SUM", hex.EncodeToString(sum[:]))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), program, 0o755))
}

func serveFragile() {
	serve.Plugin("fragile 1.0", func() connectors.Config { return &fragileConfig{} })
}

type fragileConfig struct {
	Path string `hcl:"path"`
}

func (c *fragileConfig) Open(env connectors.Env) (connectors.Connection, error) {
	conn, err := (&file.Config{Path: c.Path}).Open(env)
	return fragileConn{conn, filepath.Join(env.Dir, "crashed")}, err
}

type fragileConn struct {
	connectors.Connection
	trace string
}

func (c fragileConn) Collection(ctx context.Context, name string) (connectors.Collection, error) {
	col, err := c.Connection.Collection(ctx, name)
	return fragileCollection{col, c.trace}, err
}

type fragileCollection struct {
	connectors.Collection
	trace string
}

func (c fragileCollection) Describe(ctx context.Context) (*connectors.Schema, error) {
	d, _ := connectors.As[connectors.Describer](c.Collection)
	return d.Describe(ctx)
}

func (c fragileCollection) Find(ctx context.Context, paths []string, path string, values []record.Value, emit func(record.Record) error) error {
	f, _ := connectors.As[connectors.Finder](c.Collection)
	return f.Find(ctx, paths, path, values, emit)
}

func (c fragileCollection) Create(ctx context.Context, paths []string, f record.Fields) (record.Record, error) {
	cr, _ := connectors.As[connectors.Creator](c.Collection)
	r, err := cr.Create(ctx, paths, f)
	if _, gone := os.Stat(c.trace); gone != nil {
		_ = os.WriteFile(c.trace, nil, 0o600)
		os.Exit(9)
	}
	return r, err
}
