package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/service"
)

// TestTheDemoEndsAtTheConsole takes the tour and goes on as its last lines say.
func TestTheDemoEndsAtTheConsole(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "demo")
	var out bytes.Buffer
	if code := run(t.Context(), []string{"demo", folder}, stdio{In: strings.NewReader(""), Out: &out, Err: io.Discard, Getenv: os.LookupEnv}); code != exitOK {
		t.Fatalf("the demo ends with %d:\n%s", code, out.String())
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	address, serve := strings.TrimSpace(lines[len(lines)-1]), strings.TrimSpace(lines[len(lines)-2])
	if address != "http://"+service.DefaultListen || !strings.HasSuffix(serve, "serve -d "+filepath.Join(folder, "mappings")) {
		t.Fatalf("the demo ends with:\n%s\n%s", serve, address)
	}
	ctx, cancel := context.WithCancel(t.Context())
	resumed := make(chan int, 1)
	go func() {
		resumed <- run(ctx, []string{"demo", "--resume", folder}, stdio{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard, Getenv: os.LookupEnv})
	}()
	defer func() {
		cancel()
		<-resumed
	}()
	env, err := readEnv(filepath.Join(folder, demoEnv))
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, desk: &demo{app: &app{getenv: os.LookupEnv}, folder: folder, env: env}}
	s.until("the simulators answer", func() bool {
		s.url = env["SNOW_URL"]
		_, code := s.get("/")
		return code != 0
	})
	s.serve()
	defer s.stop()
	if page, code := s.get("/"); code != 200 || !strings.Contains(page, "ticket_to_incident") {
		t.Errorf("the console answers %d:\n%s", code, page)
	}
}
