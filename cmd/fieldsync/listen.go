package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/engine/access"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/report"
)

// A serviceStatus is what a running service says of itself at /status.
type serviceStatus struct {
	Version string          `json:"version"`
	PID     int             `json:"pid"`
	Dir     string          `json:"dir"`
	Began   time.Time       `json:"began"`
	Mapping mappingStatus   `json:"mapping"`
	Syncs   []report.Status `json:"syncs"`
}

// A mappingStatus says whether the rules in force are those of the files.
type mappingStatus struct {
	State       string       `json:"state"` // good, or broken: the files have errors and the last good rules run
	Since       time.Time    `json:"since"`
	Rules       string       `json:"rules"` // digest of the files in force
	Diagnostics []diagnostic `json:"diagnostics,omitempty"`
}

// handler is everything that a running service answers.
func (s *service) handler() http.Handler {
	g := s.gate(s.door)
	return g.Wrap(s.routes(g))
}

// routes is every route of the service with who may use it.
func (s *service) routes(g *access.Gate) *access.Mux {
	mux := &access.Mux{}
	g.Routes(mux)
	mux.Handle("GET /healthz", access.Open(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") })))
	mux.Handle("GET /readyz", access.Open(http.HandlerFunc(s.serveReady)))
	mux.Handle("GET /status", access.Require(access.Look, http.HandlerFunc(s.serveStatus)))
	mux.Handle("GET /metrics", access.Require(access.Look, s.meter.metrics.Handler()))
	mux.Handle("POST /hooks/{connection}/{collection}", access.Open(http.HandlerFunc(s.hooked))) // signed
	for _, r := range s.console().Routes() {
		if r.Role == access.Nobody {
			mux.Handle(r.Pattern, access.Open(r.Handler))
		} else {
			mux.Handle(r.Pattern, access.Require(r.Role, r.Handler))
		}
	}
	return mux
}

func (s *service) serveReady(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	ready := s.ready
	s.mu.Unlock()
	if !ready {
		http.Error(w, "starting or stopping", http.StatusServiceUnavailable)
		return
	}
	io.WriteString(w, "ready\n")
}

func (s *service) serveStatus(w http.ResponseWriter, r *http.Request) {
	st, err := s.status(r.Context())
	if err != nil {
		s.log.Error("status cannot be read", "err", err)
		http.Error(w, "the state cannot be read; see the log", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	out := &masked{w: w, secrets: s.app.out.secrets}
	_ = report.JSON(out, st) // the reader went away: nobody to tell
	out.flush()
}

func (s *service) status(ctx context.Context) (serviceStatus, error) {
	s.mu.Lock()
	rules, broken, since := s.rules, s.broken, s.since
	s.mu.Unlock()
	st := serviceStatus{Version: version()["version"], PID: os.Getpid(), Dir: s.dir, Began: s.began,
		Mapping: mappingStatus{State: "good", Since: since, Rules: rules.Digest}}
	if broken != nil {
		st.Mapping.State, st.Mapping.Diagnostics = "broken", diagnosticsOf(broken)
	}
	var err error
	if st.Syncs, err = rules.statuses(ctx, s.state); err != nil {
		return st, err
	}
	next := map[string]time.Time{}
	for _, j := range s.loop.Status() {
		next[j.Name] = j.Next
	}
	for i := range st.Syncs {
		st.Syncs[i].Next = next[st.Syncs[i].Sync]
	}
	return st, nil
}

// service asks the service that runs with this folder for its status; nil if there is none, or it does not tell.
func (a *app) service(ctx context.Context, cfg *mapping.Config) *serviceStatus {
	at := cfg.Serve.URL
	if at == "" && cfg.Serve.TLS != nil {
		return nil // by which name its certificate is good nobody knows here
	}
	if at == "" {
		at = "http://" + reachable(cfg.Settings.Listen)
	}
	dir, err := filepath.Abs(a.mappings())
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(at, "/")+"/status", nil)
	if err != nil {
		return nil
	}
	if token, ok := a.getenv("FIELDSYNC_TOKEN"); ok {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	var st serviceStatus
	if err := json.NewDecoder(io.LimitReader(resp.Body, 16<<20)).Decode(&st); err != nil || st.Dir != dir {
		return nil
	}
	return &st
}

// reachable is where this machine finds a service that listens at an address.
func reachable(listen string) string {
	if listen == "" {
		listen = defaultListen
	}
	host, port, err := net.SplitHostPort(listen)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return listen
}

// sayService prints what a running service says of its mapping.
func (a *app) sayService(st *serviceStatus) {
	a.say("fieldsync serve runs since %s (pid %d).", st.Began.UTC().Format("2006-01-02 15:04:05Z"), st.PID)
	if st.Mapping.State == "good" {
		return
	}
	a.say("%s The edited mapping is broken since %s; the last good rules keep running:", a.style.Bad("!!"), st.Mapping.Since.UTC().Format("2006-01-02 15:04:05Z"))
	for _, d := range st.Mapping.Diagnostics {
		if d.Severity == "error" {
			a.say("  %s:%d:%d: %s. %s", d.File, d.Line, d.Column, d.Summary, d.Detail)
		}
	}
}
