// Package resttest starts private servers of real tools for tests: Redmine and Request Tracker, as Debian packs them.
//
// Each is started once in a test binary, and stopped by [Main], as connectors/servertest says; a test gets a place of its
// own in it, with an account that has the rights of an integration. A machine without the tool, which "make test" installs
// where it can, skips the test and says why.
package resttest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/fieldsync/fieldsync/connectors/servertest"
)

// Main wraps the M of a TestMain: it stops the servers after the tests.
func Main(m servertest.TestingM) servertest.TestingM { return servertest.Main(m) }

// A Desk is a test's own place in a tool.
type Desk struct {
	URL   string
	Place string // the project of Redmine, the queue of Request Tracker
	Key   string // of the account for fieldsync
	Admin Person // somebody who may do anything

	Database string // the file of SQLite in which the tool keeps everything, for a look at a lot of it at once
}

// A Person works with a tool's API directly, past fieldsync.
type Person struct{ URL, Header, Value string }

// Do sends a request, decodes its answer into what is not nil, and fails the test where the tool refuses.
func (p Person) Do(t testing.TB, method, path string, body, into any) {
	t.Helper()
	var sent io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		sent = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, p.URL+path, sent)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(p.Header, p.Value)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode >= 300 {
		err = fmt.Errorf("%s: %s", res.Status, raw)
	}
	if err == nil && into != nil {
		err = json.Unmarshal(raw, into)
	}
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
}

var count atomic.Int64

// keyFile is where a server's keys are, in the folder of its data.
const keyFile = "keys"

func read(dir string, keys any) error {
	b, err := os.ReadFile(filepath.Join(dir, keyFile))
	if err != nil {
		return err
	}
	return json.Unmarshal(b, keys)
}

// answers asks a tool that has just been started for something that it shows to its own keys alone.
func answers(ctx context.Context, url, header, key string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set(header, key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s", res.Status)
	}
	return nil
}
