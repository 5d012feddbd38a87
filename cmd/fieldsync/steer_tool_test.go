package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"
)

// tool SYSTEM starts a server that answers reads as the recorded shapes of a tool do, and sets TOOL_URL.
func tool(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: tool system")
	}
	raw, err := os.ReadFile(filepath.Join(ts.Getenv("ROOT"), "connectors", "rest", "testdata", args[0]+".json"))
	ts.Check(err)
	var exchanges []struct {
		Request string
		Query   map[string]string
		After   string
		Status  int
		Headers map[string]string
		Answer  any
	}
	ts.Check(json.Unmarshal(raw, &exchanges))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" && r.Header.Get("PRIVATE-TOKEN") == "" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		for _, e := range exchanges {
			fits := e.Request == r.Method+" "+r.URL.Path && e.After == ""
			for name, v := range e.Query {
				fits = fits && r.URL.Query().Get(name) == v
			}
			if !fits {
				continue
			}
			for name, v := range e.Headers {
				w.Header().Set(name, v)
			}
			w.WriteHeader(max(e.Status, http.StatusOK))
			_ = json.NewEncoder(w).Encode(e.Answer)
			return
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	ts.Defer(srv.Close)
	ts.Setenv("TOOL_URL", srv.URL)
}
