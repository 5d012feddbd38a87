package service

import (
	"context"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/engine/access"
	"github.com/fieldsync/fieldsync/engine/report"
	"github.com/fieldsync/fieldsync/engine/telemetry"
)

// A Status is what a running service says of itself at /status.
type Status struct {
	Version string          `json:"version"`
	PID     int             `json:"pid"`
	Dir     string          `json:"dir"`
	Began   time.Time       `json:"began"`
	Mapping MappingStatus   `json:"mapping"`
	Syncs   []report.Status `json:"syncs"`
}

// A MappingStatus says whether the rules in force are those of the files.
type MappingStatus struct {
	State       string               `json:"state"` // good, or broken: the files have errors and the last good rules run
	Since       time.Time            `json:"since"`
	Rules       string               `json:"rules"` // digest of the files in force
	Diagnostics []project.Diagnostic `json:"diagnostics,omitempty"`
}

// handler is everything that a running service answers.
func (s *service) handler() http.Handler {
	g := s.gate(s.door)
	return g.Wrap(s.routes(g))
}

// Routes lists what a service of a project would answer, and who may ask, without starting one.
func Routes(p *project.Project, from project.Source) []access.Route {
	s := newService(p, from, from.Dir)
	s.Meter = &project.Meter{Metrics: telemetry.NewMetrics("", s.figures, s.log)}
	return s.routes(s.gate(&door{local: true})).Routes()
}

// routes is every route of the service with who may use it.
func (s *service) routes(g *access.Gate) *access.Mux {
	mux := &access.Mux{}
	g.Routes(mux)
	mux.Handle("GET /healthz", access.Open(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") })))
	mux.Handle("GET /readyz", access.Open(http.HandlerFunc(s.serveReady)))
	mux.Handle("GET /status", access.Require(access.Look, http.HandlerFunc(s.serveStatus)))
	mux.Handle("GET /metrics", access.Require(access.Look, s.Meter.Metrics.Handler()))
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
	out := s.source.Secrets.Over(w)
	_ = report.JSON(out, st) // the reader went away: nobody to tell
	out.Flush()
}

func (s *service) status(ctx context.Context) (Status, error) {
	s.mu.Lock()
	rules, broken, since := s.rules, s.broken, s.since
	s.mu.Unlock()
	st := Status{Version: project.Version()["version"], PID: os.Getpid(), Dir: s.dir, Began: s.began,
		Mapping: MappingStatus{State: "good", Since: since, Rules: rules.Digest}}
	if broken != nil {
		st.Mapping.State, st.Mapping.Diagnostics = "broken", project.DiagnosticsOf(broken)
	}
	var err error
	if st.Syncs, err = rules.Statuses(ctx, s.state); err != nil {
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
