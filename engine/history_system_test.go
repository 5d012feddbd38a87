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
	stamp       time.Time     // of a transaction that began earlier and is committed now; zero: none
	made        int
	keys        []string // of all records that ever were
	born        map[string]time.Time
	gagged      bool // comments cannot be read now
}

// latest is how long the longest transaction takes from its stamp to its commit, and settles how long after a create
// that was never answered its record may still appear; lags is how long a new record is in no index.
const (
	latest  = 45 * time.Second
	settles = 20 * time.Second
	lags    = 10 * time.Second
)

// indexed reports whether a record is found by lists and searches yet.
func (s *system) indexed(key string) bool {
	return !s.w.cfg.Lag || !s.w.now.Before(s.born[key].Add(lags))
}

// now is the system's clock: coarse, and not ours.
func (s *system) now() time.Time {
	t := s.w.now
	if !s.stamp.IsZero() {
		t = s.stamp
	}
	return t.Add(s.skew).Truncate(s.tick)
}

func newSystem(w *history, phys record.Side) *system {
	s := &system{w: w, phys: phys, hidden: map[string]bool{}, born: map[string]time.Time{}}
	if phys == record.Left {
		s.name, s.skew, s.tick = "ticket", 2*time.Second, time.Second
		s.m = memory.New(memory.Text("level", "log", "note", "number", "origin", "prio", "queue", "status", "tags", "title")...)
	} else {
		s.name, s.skew, s.tick = "incident", -3*time.Second, 2*time.Second
		s.m = memory.New(memory.Text("close", "contact", "level", "log", "marker", "note", "number", "opened", "state", "summary", "tags", "urgency")...)
		s.m.LabelPath = "number"
	}
	for _, path := range threadPaths[phys] {
		s.m.Threads = append(s.m.Threads, connectors.Thread{Path: path})
	}
	s.m.Files = []connectors.Thread{{Path: filePaths[phys]}}
	s.conditional = w.cfg.Conditional[phys]
	s.m.Audited = w.cfg.Audited && !s.conditional
	s.m.Normalise = func(path string, v record.Value) record.Value { return normalise(phys, path, v) }
	s.m.Now = s.now
	if w.cfg.Measured {
		s.m.Clock = connectors.Clock{Measured: true, Offset: s.skew, Error: s.tick}
	}
	s.m.NewKey = func(int) string {
		s.keys = append(s.keys, s.newKey())
		s.born[s.keys[len(s.keys)-1]] = s.w.now
		return s.keys[len(s.keys)-1]
	}
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
	if len(s.hidden) == 0 || len(rec.Values) == 0 {
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

func (s *system) refuse(f record.Fields) error {
	if s.phys == record.Right && s.w.poisoned && strings.Contains(f["summary"].Text(), "poison") {
		return &connectors.Error{Kind: connectors.ErrRefused, Op: "write incident", Detail: "data policy"}
	}
	return nil
}

// make makes a record, at whatever time.
func (s *system) make(ctx context.Context, paths []string, f record.Fields) (record.Record, error) {
	s.w.beforeCreate(s, f)
	f = s.rules("", nil, maps.Clone(f))
	rec, err := s.m.Create(ctx, paths, f)
	if err != nil {
		return rec, err
	}
	for key, g := range s.w.graves[s.phys] { // made again: it goes on where the old one ended
		if path := []string{"origin", "marker"}[s.phys]; g[path] == f[path] || s.w.wasLinked(s.phys, key, f[path].Text()) {
			s.w.succeed(s.phys, key, rec.Key)
		}
	}
	for path, v := range f { // should nobody learn of the answer, its own writing cannot be told from an edit
		if normalise(s.phys, path, v) != v {
			s.w.touch(s, rec.Key, record.Fields{path: v})
		}
	}
	s.later(rec.Key, f)
	return rec, nil
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
			s.w.touch(s, key, record.Fields{"note": before["note"]}) // a rival of what people write on the other side
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
