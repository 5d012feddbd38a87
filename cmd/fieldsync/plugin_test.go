package main

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
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
