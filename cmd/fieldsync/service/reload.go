package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/hashicorp/hcl/v2"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/schedule"
)

// settle is how long the mapping files must rest before they are read again: editors write in several steps.
const settle = 250 * time.Millisecond

// watch looks at the folder of the mapping, and at the folders of other files that it reads.
func (s *service) watch() (*fsnotify.Watcher, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", s.dir, err)
	}
	if err := w.Add(s.dir); err != nil {
		return nil, errors.Join(fmt.Errorf("watch %s: %w", s.dir, err), w.Close())
	}
	s.watchInputs(w, s.rules.Inputs)
	return w, nil
}

// watchInputs adds the folders of other files. One that cannot be watched still counts at the next edit.
func (s *service) watchInputs(w *fsnotify.Watcher, inputs []string) {
	for _, name := range inputs {
		dir, err := filepath.Abs(filepath.Dir(name))
		if err == nil && !slices.Contains(w.WatchList(), dir) {
			err = w.Add(dir)
		}
		if err != nil {
			s.log.Warn("changes of this file are not noticed", "file", name, "err", err)
		}
	}
}

// follow takes edits over until ctx ends.
func (s *service) follow(ctx context.Context, w *fsnotify.Watcher) {
	defer w.Close()
	rest := time.NewTimer(time.Hour)
	rest.Stop()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	for {
		select {
		case <-ctx.Done():
			return
		case ev, ok := <-w.Events:
			if !ok {
				return
			}
			if s.concerns(ev) {
				rest.Reset(settle)
			}
		case err, ok := <-w.Errors:
			if !ok {
				return
			}
			s.log.Warn("an edit may have been missed", "err", err)
			rest.Reset(settle)
		case <-hup:
			rest.Reset(0)
		case <-rest.C:
			s.tellSystemd("RELOADING=1")
			s.reload(ctx, w)
			s.tellSystemd("READY=1", s.summary())
		}
	}
}

// concerns reports whether ev may change what the mapping says.
func (s *service) concerns(ev fsnotify.Event) bool {
	if ev.Op == fsnotify.Chmod {
		return false
	}
	if filepath.Ext(ev.Name) == ".hcl" {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.rules.Inputs, func(in string) bool {
		abs, err := filepath.Abs(in)
		return err == nil && abs == ev.Name
	})
}

// reload reads the files again. What is valid replaces the rules in force; what is not leaves them.
func (s *service) reload(ctx context.Context, w *fsnotify.Watcher) {
	old := s.inForce()
	cfg, diags := s.source.Load()
	if !diags.HasErrors() && cfg.Digest == old.Digest && s.good() {
		return
	}
	var next *project.Project
	if !diags.HasErrors() {
		next = project.New(cfg, s.log, s.now)
		next.State, next.Meter, next.Share = s.state, s.Meter, &s.share
		for _, m := range cfg.Syncs {
			_, more := next.Rules(ctx, m, true)
			diags = append(diags, more...)
		}
		if len(cfg.Syncs) == 0 {
			diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "No sync", Detail: "The mapping in " + cfg.Dir + " has no sync any more."})
		}
	}
	var r *ruleset
	if next != nil && !diags.HasErrors() {
		r = newRuleset(next)
		if err := schedule.Check(s.jobs(r)); err != nil {
			diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Schedules cannot be used", Detail: err.Error()})
		}
	}
	if r != nil && s.door != nil {
		if err := enterable(s.door.Addr().String(), s.door.local, &cfg.Serve); err != nil {
			diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "The service cannot be left open", Detail: strings.ToUpper(err.Error()[:1]) + err.Error()[1:] + ". Way out: " + project.WayOut(err) + "."})
		}
	}
	if diags.HasErrors() {
		if next != nil {
			s.close(next)
		}
		s.setBroken(diags)
		s.Meter.Metrics.Mapping(false)
		s.logDiagnostics("edited mapping is broken; the last good rules keep running", diags)
		return
	}
	if !reflect.DeepEqual(fixed(next), fixed(old.Project)) {
		s.log.Warn("state, listen, and of the serve block url, session_key, tls and oidc change only with a restart; roles and tokens have changed now")
	}
	old.deafen()
	s.loop.Replace(s.jobs(r))
	s.hear(s.stopping, r)
	s.mu.Lock()
	s.rules, s.broken, s.since = r, nil, s.now()
	s.edit = s.edited(old.Config, cfg)
	s.mu.Unlock()
	s.Meter.Metrics.Mapping(true)
	s.live.news("*")
	s.watchInputs(w, cfg.Inputs)
	s.log.Info("took over the edited mapping", "syncs", len(cfg.Syncs), "digest", cfg.Digest[:min(12, len(cfg.Digest))])
	go func() {
		old.runs.Wait()
		s.close(old.Project)
	}()
}

// A fixture is what of a mapping stays as it was when the service began.
type fixture struct {
	state, listen string
	serve         mapping.Serve
}

func fixed(p *project.Project) fixture {
	set := p.Serve
	set.Tokens, set.Certs, set.Loopback, set.Missing, set.Range = nil, nil, "", nil, hcl.Range{}
	if set.OIDC != nil {
		o := *set.OIDC
		o.Roles = nil
		set.OIDC = &o
	}
	return fixture{p.Settings.State, p.Settings.Listen, set}
}

func (s *service) close(p *project.Project) {
	if err := p.Disconnect(); err != nil {
		s.log.Warn("close connections", "err", err)
	}
}

func (s *service) good() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken == nil
}

func (s *service) setBroken(diags hcl.Diagnostics) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken == nil {
		s.since = s.now()
	}
	s.broken = diags
	s.live.news("*")
}

// logDiagnostics logs each error with its place.
func (s *service) logDiagnostics(what string, diags hcl.Diagnostics) {
	for _, d := range project.DiagnosticsOf(diags) {
		if d.Severity == "error" {
			s.log.Error(what, "at", fmt.Sprintf("%s:%d:%d", d.File, d.Line, d.Column), "err", d.Summary, "hint", d.Detail)
		}
	}
}
