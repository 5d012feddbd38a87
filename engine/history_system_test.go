package engine_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/memory"
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
	"scan":   {"is cut off", "leaves a record out", "shows a record twice", "is refused for now"},
	"read":   {"is cut off", "is refused for now"},
	"find":   {"is cut off", "is refused for now"},
	"create": {"times out before it happened", "times out after it happened", "is refused for now", "answers nonsense after it happened"},
	"update": {"times out before it happened", "times out after it happened", "is refused for now", "answers nonsense after it happened"},
	"delete": {"times out before it happened", "times out after it happened", "is refused for now"},
}

// A system is one side's model: records in memory with habits of its own.
type system struct {
	w           *history
	name        string
	phys        record.Side // its side in the model, whichever side the engine sees it on
	m           *memory.Store
	conditional bool
	hidden      map[string]bool // paths that the account may not read now
	skew        time.Duration
	tick        time.Duration // the clock's resolution
	made        int
}

func newSystem(w *history, phys record.Side) *system {
	s := &system{w: w, phys: phys, hidden: map[string]bool{}}
	if phys == record.Left {
		s.name, s.skew, s.tick = "ticket", 2*time.Second, time.Second
		s.m = memory.New(memory.Text("note", "number", "origin", "prio", "queue", "status", "title")...)
	} else {
		s.name, s.skew, s.tick = "incident", -3*time.Second, 2*time.Second
		s.m = memory.New(memory.Text("close", "marker", "note", "number", "state", "summary", "urgency")...)
		s.m.LabelPath = "number"
	}
	s.conditional = w.cfg.Conditional[phys]
	s.m.Normalise = func(path string, v record.Value) record.Value { return normalise(phys, path, v) }
	s.m.Now = func() time.Time { return w.now.Add(s.skew).Truncate(s.tick) }
	if w.cfg.Measured {
		s.m.Clock = connectors.Clock{Measured: true, Offset: s.skew, Error: s.tick}
	}
	s.m.NewKey = func(int) string { return s.newKey() }
	return s
}

func (s *system) newKey() string {
	s.made++
	if s.phys == record.Left {
		return "T-" + string(rune('0'+s.made/10)) + string(rune('0'+s.made%10))
	}
	return "sys" + string(rune('0'+s.made/10)) + string(rune('0'+s.made%10))
}

// normalise is what a system makes of what it is given: the tickets fold the case of a status, the incidents cut
// and trim a summary and trim a note; neither keeps empty text apart from nothing.
func normalise(phys record.Side, path string, v record.Value) record.Value {
	if v.Kind() != record.Text {
		return v
	}
	t := v.Text()
	switch {
	case phys == record.Left && path == "status":
		t = strings.ToLower(t)
	case phys == record.Right && path == "summary":
		if len(t) > 8 {
			t = t[:8]
		}
		t = strings.TrimSpace(t)
	case phys == record.Right && path == "note":
		t = strings.TrimSpace(t)
	}
	if t == "" {
		return record.NullValue
	}
	return record.OfText(t)
}

func (s *system) Conditional() bool { return s.conditional }

func (s *system) show(paths []string, rec record.Record) record.Record {
	if len(s.hidden) == 0 {
		return rec
	}
	rec.Values = slices.Clone(rec.Values)
	for i, p := range paths {
		if s.hidden[p] {
			rec.Values[i] = s.w.bug.unknown()
		}
	}
	return rec
}

func busy(op string) error { return &connectors.Error{Kind: connectors.ErrBusy, Op: op} }
func nonsense(op string) error {
	return &connectors.Error{Kind: connectors.ErrProtocol, Op: op, Detail: "cut off"}
}
func timeout(op string) error {
	return &connectors.Error{Kind: connectors.ErrOutcome, Op: op, Detail: "time-out"}
}

func (s *system) Scan(ctx context.Context, q connectors.Query, emit func(record.Record) error) (connectors.Window, error) {
	c := s.w.control
	name := s.name + " scan"
	n, err := c.enter(name)
	if err != nil {
		return connectors.Window{}, err
	}
	kind := ""
	if f := c.faultAt(name, n); f != nil {
		kind = f.Kind
	}
	if kind == "is refused for now" {
		return connectors.Window{}, busy(name)
	}
	seen := 0
	w, err := s.m.Scan(ctx, q, alive(c, func(rec record.Record) error {
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
	if kind == "is cut off" {
		s.w.cutScan = true
	}
	if err != nil {
		return connectors.Window{}, err
	}
	return w, c.leave(name, n)
}

func (s *system) lookup(name string, paths []string, emit func(record.Record) error, do func(emit func(record.Record) error) error) error {
	c := s.w.control
	n, err := c.enter(name)
	if err != nil {
		return err
	}
	if f := c.faultAt(name, n); f != nil {
		if f.Kind == "is refused for now" {
			return busy(name)
		}
		return nonsense(name)
	}
	if err := do(alive(c, func(rec record.Record) error { return emit(s.show(paths, rec)) })); err != nil {
		return err
	}
	return c.leave(name, n)
}

func (s *system) Read(ctx context.Context, paths, keys []string, emit func(record.Record) error) error {
	return s.lookup(s.name+" read", paths, emit, func(emit func(record.Record) error) error { return s.m.Read(ctx, paths, keys, emit) })
}

func (s *system) Find(ctx context.Context, paths []string, path string, values []record.Value, emit func(record.Record) error) error {
	return s.lookup(s.name+" find", paths, emit, func(emit func(record.Record) error) error {
		return s.m.Find(ctx, paths, path, values, emit)
	})
}

func (s *system) write(op string, paths []string, do func() (record.Record, error)) (record.Record, error) {
	c := s.w.control
	name := s.name + " " + op
	n, err := c.enter(name)
	if err != nil {
		return record.Record{}, err
	}
	f := c.faultAt(name, n)
	if f != nil {
		switch f.Kind {
		case "is refused for now":
			return record.Record{}, busy(name)
		case "times out before it happened":
			return record.Record{}, timeout(name)
		}
	}
	rec, err := do()
	if err != nil {
		return record.Record{}, err
	}
	if err := c.leave(name, n); err != nil {
		return record.Record{}, err
	}
	if f != nil {
		if f.Kind == "answers nonsense after it happened" {
			return record.Record{}, nonsense(name)
		}
		return record.Record{}, timeout(name)
	}
	return s.show(paths, rec), nil
}

func (s *system) refuse(f record.Fields) error {
	if s.phys == record.Right && s.w.poisoned && strings.Contains(f["summary"].Text(), "poison") {
		return &connectors.Error{Kind: connectors.ErrRefused, Op: "write incident", Detail: "data policy"}
	}
	return nil
}

func (s *system) Create(ctx context.Context, paths []string, f record.Fields) (record.Record, error) {
	return s.write("create", paths, func() (record.Record, error) {
		if err := s.refuse(f); err != nil {
			return record.Record{}, err
		}
		s.w.beforeCreate(s, f)
		s.w.announced(s, "", f)
		f = s.rules("", nil, maps.Clone(f))
		rec, err := s.m.Create(ctx, paths, f)
		if err != nil {
			return rec, err
		}
		s.later(rec.Key, f)
		return rec, nil
	})
}

func (s *system) Update(ctx context.Context, paths []string, key, version string, f record.Fields) (record.Record, error) {
	return s.write("update", paths, func() (record.Record, error) {
		if err := s.refuse(f); err != nil {
			return record.Record{}, err
		}
		if !s.conditional {
			version = ""
		}
		before := s.m.Get(key)
		s.w.announced(s, key, f)
		f = s.rules(key, before, maps.Clone(f))
		rec, err := s.m.Update(ctx, paths, key, version, f)
		if err != nil {
			return rec, err
		}
		s.later(key, f)
		return rec, nil
	})
}

func (s *system) Delete(ctx context.Context, key, version string) error {
	_, err := s.write("delete", nil, func() (record.Record, error) {
		if !s.conditional {
			version = ""
		}
		if err := s.w.beforeDelete(s, key); err != nil {
			return record.Record{}, err
		}
		return record.Record{}, s.m.Delete(ctx, key, version)
	})
	return err
}

// rules are the server's own, in the same write: a number for what is new, a priority computed for everybody,
// a note on closing.
func (s *system) rules(key string, before, f record.Fields) record.Fields {
	if s.phys == record.Right && before == nil {
		f["number"] = record.OfText("INC" + string(rune('0'+(s.made+1)/10)) + string(rune('0'+(s.made+1)%10)))
	}
	if s.phys == record.Left && before == nil {
		f["queue"] = record.OfText("noc")
	}
	if s.w.cfg.Automation == 1 && s.closes(f) {
		if before != nil {
			s.w.supersede(s, key, pairings[2], before["note"])
		}
		f["note"] = record.OfText("closed")
	}
	return f
}

func (s *system) closes(f record.Fields) bool {
	return s.phys == record.Right && f["state"] == record.OfText("6")
}

// later is an automation that runs after the answer.
func (s *system) later(key string, f record.Fields) {
	if s.w.cfg.Automation == 2 && s.closes(f) {
		s.w.overwritten(s, key, record.Fields{"note": record.OfText("closed")})
	}
}
