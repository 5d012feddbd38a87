package engine_test

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A fault is what goes wrong with one call of a system.
type fault struct {
	Name string
	N    int
	Kind string // see faultKinds
}

// What can go wrong, by what is called.
var faultKinds = map[string][]string{
	"scan":        {"is cut off", "leaves a record out", "shows a record twice"},
	"read":        {"is cut off"},
	"find":        {"is cut off"},
	"create":      {"times out before it happened", "times out after it happened", "times out and happens later", "answers nonsense after it happened"},
	"update":      {"times out before it happened", "times out after it happened", "answers nonsense after it happened"},
	"delete":      {"times out before it happened", "times out after it happened"},
	"edits":       {"is cut off"},
	"attachments": {"is cut off"},
	"open":        {"is cut off"},
	"attach":      {"times out before it happened", "times out after it happened", "times out and happens later", "answers nonsense after it happened"},
	"comments":    {"is cut off"},
	"comment":     {"times out before it happened", "times out after it happened", "times out and happens later", "answers nonsense after it happened"},
}

// broken are what can go wrong with every call.
var broken = []string{"is refused for now", "is refused for a minute", "finds nobody at home from then on", "is refused the log-in from then on"}

// A client is one process's connection to a system.
type client struct {
	*system
	c *control
}

func busy(op string, wait time.Duration) error {
	return &connectors.Error{Kind: connectors.ErrBusy, Op: op, RetryAfter: wait}
}
func nonsense(op string) error {
	return &connectors.Error{Kind: connectors.ErrProtocol, Op: op, Detail: "cut off"}
}
func timeout(op string) error {
	return &connectors.Error{Kind: connectors.ErrOutcome, Op: op, Detail: "time-out"}
}

// begin begins the n-th call of its name and says what is wrong with it, if that is of its own kind.
func (s *client) begin(op string) (name string, n int, kind string, err error) {
	name = s.name + " " + op
	if n, err = s.c.enter(name); err != nil {
		return name, n, "", err
	}
	if f := s.c.faultAt(name, n); f != nil {
		kind = f.Kind
	}
	switch kind {
	case "is refused for now":
		return name, n, "", busy(name, 0)
	case "is refused for a minute":
		return name, n, "", busy(name, time.Minute)
	case "finds nobody at home from then on":
		s.c.down[s.phys] = connectors.ErrOffline
	case "is refused the log-in from then on":
		s.c.down[s.phys] = connectors.ErrAuth
	}
	if down := s.c.down[s.phys]; down != nil {
		return name, n, "", &connectors.Error{Kind: down, Op: name}
	}
	return name, n, kind, nil
}

// Settles says how long after a create its record may still appear.
func (s *client) Settles() time.Duration {
	if s.w.cfg.Slow {
		return settles
	}
	return 0
}

func (s *client) Scan(ctx context.Context, q connectors.Query, emit func(record.Record) error) (connectors.Window, error) {
	name, n, kind, err := s.begin("scan")
	if err != nil {
		return connectors.Window{}, err
	}
	if kind == "is cut off" {
		s.w.cutScan = true
	}
	seen := 0
	w, err := s.m.Scan(ctx, q, alive(s.c, func(rec record.Record) error {
		if !s.indexed(rec.Key) {
			return nil
		}
		seen++
		switch {
		case kind == "is cut off" && seen > 1:
			return nonsense(name)
		case kind == "leaves a record out" && seen == 2:
			s.w.shortScan, s.w.held = true, true
			return nil
		case kind == "shows a record twice":
			if err := emit(s.show(q.Paths, rec)); err != nil {
				return err
			}
		}
		return emit(s.show(q.Paths, rec))
	}))
	if err == nil && kind == "is cut off" {
		err = nonsense(name)
	}
	if err != nil {
		return connectors.Window{}, err
	}
	if q.Since != "" {
		s.w.asked, s.w.delivered = s.w.asked+1, s.w.delivered+seen
	}
	s.behind(&w)
	return w, s.c.leave(name, n)
}

// behind holds a window back: what began before now may still be committed, and the next scan begins before that.
func (s *client) behind(w *connectors.Window) {
	if s.w.cfg.Late || s.w.cfg.Lag {
		w.Next = s.now().Add(-latest).UTC().Format(time.RFC3339Nano)
	}
}

// A splitting client's system can be scanned in parts.
type splitting struct{ *client }

func (s splitting) Split(ctx context.Context, q connectors.Query, most int) ([]string, connectors.Window, error) {
	name, n, kind, err := s.begin("split")
	switch {
	case err != nil:
		return nil, connectors.Window{}, err
	case kind != "":
		return nil, connectors.Window{}, nonsense(name)
	}
	parts, w, err := s.m.Split(ctx, q, most)
	if err != nil {
		return nil, connectors.Window{}, err
	}
	s.behind(&w)
	return parts, w, s.c.leave(name, n)
}

func (s *client) lookup(op string, paths []string, emit func(record.Record) error, do func(emit func(record.Record) error) error) error {
	name, n, kind, err := s.begin(op)
	switch {
	case err != nil:
		return err
	case kind != "":
		return nonsense(name)
	}
	if err := do(alive(s.c, func(rec record.Record) error { return emit(s.show(paths, rec)) })); err != nil {
		return err
	}
	return s.c.leave(name, n)
}

func (s *client) Read(ctx context.Context, paths, keys []string, emit func(record.Record) error) error {
	return s.lookup("read", paths, emit, func(emit func(record.Record) error) error { return s.m.Read(ctx, paths, keys, emit) })
}

func (s *client) Find(ctx context.Context, paths []string, path string, values []record.Value, emit func(record.Record) error) error {
	return s.lookup("find", paths, emit, func(emit func(record.Record) error) error {
		return s.m.Find(ctx, paths, path, values, func(rec record.Record) error {
			if !s.indexed(rec.Key) {
				return nil
			}
			return emit(rec)
		})
	})
}

// write makes one call that changes something.
func (s *client) write(op string, do func() error) error {
	name, n, kind, err := s.begin(op)
	if err != nil {
		return err
	}
	switch kind {
	case "times out before it happened":
		return timeout(name)
	case "times out and happens later":
		if s.w.cfg.Slow {
			s.w.at(s.w.now.Add(settles-lags-5*time.Second), func() { do() })
		}
		return timeout(name)
	}
	s.thawed(op)
	if err := do(); err != nil {
		return err
	}
	if err := s.c.leave(name, n); err != nil {
		return err
	}
	switch kind {
	case "":
		return nil
	case "answers nonsense after it happened":
		return nonsense(name)
	}
	return timeout(name)
}

func (s *client) Create(ctx context.Context, paths []string, f record.Fields) (rec record.Record, err error) {
	err = s.write("create", func() error {
		if err := s.refuse(f); err != nil {
			return err
		}
		s.w.announced(s.system, "", f)
		rec, err = s.make(ctx, paths, f)
		return err
	})
	return s.show(paths, rec), err
}

func (s *client) Update(ctx context.Context, paths []string, key, version string, f record.Fields) (rec record.Record, err error) {
	s.w.patient(s.system, key)
	defer func() {
		if e, ok := errors.AsType[*connectors.Error](err); ok {
			s.w.busyWith(s.system, key, e.RetryAfter)
		}
	}()
	err = s.write("update", func() error {
		if err := s.refuse(f); err != nil {
			return err
		}
		if !s.conditional {
			version = ""
		}
		before := s.m.Get(key)
		s.w.announced(s.system, key, f)
		f = s.rules(key, before, maps.Clone(f))
		if rec, err = s.m.Update(ctx, paths, key, version, f); err == nil {
			s.w.checkStrength(s.system, key, before, f)
			s.later(key, f)
		}
		return err
	})
	return s.show(paths, rec), err
}

func (s *client) Delete(ctx context.Context, key, version string) error {
	return s.write("delete", func() error {
		if !s.conditional {
			version = ""
		}
		if err := s.w.beforeDelete(s.system, key); err != nil {
			return err
		}
		return s.m.Delete(ctx, key, version)
	})
}

// Overtaken and Edits tell what came between a read and a write, where the system keeps that.
func (s *client) Overtaken(before, after string) bool { return s.m.Overtaken(before, after) }

func (s *client) Edits(ctx context.Context, key string, paths []string, before string, emit func(connectors.Edit) error) error {
	name, n, kind, err := s.begin("edits")
	switch {
	case err != nil:
		return err
	case kind != "":
		return nonsense(name)
	}
	if err := s.m.Edits(ctx, key, paths, before, emit); err != nil {
		return err
	}
	return s.c.leave(name, n)
}
