// Package memory is a system in memory, for tests and benchmarks.
//
// A [Store] is one collection and, as nothing more is needed to reach it, its own connection. It can do everything
// that package connectors knows, with conditional writes, typed fields, a clock that the test sets and keys
// that are the same in each run. [Store.Normalise] plays a server that rewrites what it is given, [Store.Hook]
// one that fails before or after it did its work. [Store.Add], [Store.Edit] and [Store.Remove] are the
// people on the other side: they pass no hook. Nothing here panics on data; the people's methods panic on fields
// that do not exist, since that is a mistake in the test.
package memory

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// KeyPath is the path of the key. It is described as read-only; a create may still choose it.
const KeyPath = "key"

// Op is what a hook is told.
type Op struct {
	Name  string // "scan", "split", "read", "find", "create", "update", "delete", "comments", "comment", "edit comment", "edits", "attachments", "open", "attach"
	Key   string // of an update or delete, of edits, and of a create that is done
	Done  bool   // the work is done: an error now is an answer that got lost
	Write bool
}

// A Store is a collection of records in memory. Set its exported fields before first use.
type Store struct {
	Name string // of the collection; "" answers to every name
	// Normalise turns what is written into what is stored. nil stores it as it is.
	Normalise func(path string, v record.Value) record.Value
	// Hook is called before and after each operation, without any lock. What it returns is what the caller
	// gets; before the work it also keeps the work from being done.
	Hook func(ctx context.Context, op Op) error
	// Match answers for Query.Native. nil: there is no such language.
	Match func(native string, r record.Record) (bool, error)
	// Now is the system's clock. nil: every change is at the same instant.
	Now func() time.Time
	// NewKey makes the key of the n-th record, from 1. nil: "r1", "r2", …
	NewKey func(n int) string
	// LabelPath is the path people know records by; "" for none.
	LabelPath string
	// Clock, System and Zone are what scans report of the system.
	Clock        connectors.Clock
	System, Zone string
	// Threads are the paths under which records have comments.
	Threads []connectors.Thread
	// Audited: writes are not conditional on a version, and what each of them changed is kept for Edits.
	Audited bool
	// Files are the paths under which records have attachments.
	Files []connectors.Thread
	// NoHash keeps the hashes of attachments to itself.
	NoHash bool

	fields []connectors.Field
	slots  map[string]int

	mu     sync.RWMutex
	rows   []row
	byKey  map[string]int
	byVal  map[int]map[record.Value][]int // by slot, for the paths that were ever searched; may have stale entries
	made   int
	writes int

	comments []said
	edits    []edit
	filed    []filed
	files    int // ever made
}

// A row's values are never changed in place, so a copy of the row is a snapshot of it.
type row struct {
	key      string
	author   string
	edits    uint64 // 0: removed
	modified time.Time
	values   []record.Value
}

// New makes an empty store whose records have these fields besides their key.
func New(fields ...connectors.Field) *Store {
	s := &Store{fields: fields, slots: map[string]int{KeyPath: -1}, byKey: map[string]int{}, byVal: map[int]map[record.Value][]int{}}
	for i, f := range fields {
		s.slots[f.Path] = i
	}
	return s
}

// Clone is the store as it is now: a backup that can take its place later.
func (s *Store) Clone() *Store {
	s.mu.RLock()
	defer s.mu.RUnlock()
	c := New(s.fields...)
	c.Name, c.Normalise, c.Hook, c.Match, c.Now, c.NewKey, c.LabelPath = s.Name, s.Normalise, s.Hook, s.Match, s.Now, s.NewKey, s.LabelPath
	c.Clock, c.System, c.Zone, c.Threads = s.Clock, s.System, s.Zone, s.Threads
	c.rows, c.byKey, c.made, c.comments = slices.Clone(s.rows), maps.Clone(s.byKey), s.made, slices.Clone(s.comments)
	return c
}

// Text describes text fields, the most common kind, for New.
func Text(paths ...string) []connectors.Field {
	fields := make([]connectors.Field, len(paths))
	for i, p := range paths {
		fields[i] = connectors.Field{Path: p, Type: record.Type{Kind: record.Text}}
	}
	return fields
}

// Collection returns the store itself.
func (s *Store) Collection(_ context.Context, name string) (connectors.Collection, error) {
	if s.Name != "" && name != s.Name {
		return nil, &connectors.Error{Kind: connectors.ErrConfig, Op: "open " + name, Detail: "there is no such collection", Hint: fmt.Sprintf("did you mean %q?", s.Name)}
	}
	return s, nil
}

// Close does nothing: the records stay.
func (s *Store) Close() error { return nil }

// Describe says what New was told.
func (s *Store) Describe(context.Context) (*connectors.Schema, error) {
	key := connectors.Field{Path: KeyPath, Label: "Key", Type: record.Type{Kind: record.Text}, ReadOnly: true}
	return &connectors.Schema{Key: KeyPath, Label: s.LabelPath, Fields: append([]connectors.Field{key}, s.fields...), Threads: s.Threads, Files: s.Files}, nil
}

// Check has nothing to complain about.
func (s *Store) Check(context.Context) ([]connectors.Finding, error) {
	return []connectors.Finding{{OK: true, What: "log-in", Detail: "records in memory need none"}}, nil
}

// Len is the number of records.
func (s *Store) Len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.byKey)
}

// Writes is the number of creates, updates and deletes that reached the store through the contract, also those
// that changed nothing.
func (s *Store) Writes() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.writes
}

// Append adds a record with values in the order of New's fields. It takes values over and skips every rule: it
// is for benchmarks that need millions of records.
func (s *Store) Append(key string, values []record.Value) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made++
	s.put(len(s.rows), row{key: key, edits: 1, modified: s.now(), values: values})
}

// Add stores a record as a person does and returns its key.
func (s *Store) Add(f record.Fields) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.insert(f, "person")
	if err != nil {
		panic(err)
	}
	return r.key
}

// Edit changes a record as a person does. false if there is none.
func (s *Store) Edit(key string, f record.Fields) bool { return s.EditAs("person", key, f) }

// EditAs is Edit by somebody of this name.
func (s *Store) EditAs(author, key string, f record.Fields) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.byKey[key]
	if !ok {
		return false
	}
	if _, err := s.change(at, f, author); err != nil {
		panic(err)
	}
	return true
}

// Tamper changes a record as a script does that switches stamps off: neither its version nor its time moves. false
// if there is none.
func (s *Store) Tamper(key string, f record.Fields) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.byKey[key]
	if !ok {
		return false
	}
	r := s.rows[at]
	r.values = slices.Clone(r.values)
	if err := s.assign(r.values, f, "update "+key); err != nil {
		panic(err)
	}
	s.put(at, r)
	return true
}

// Remove deletes a record as a person does. false if there is none.
func (s *Store) Remove(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.byKey[key]
	if ok {
		s.drop(at)
	}
	return ok
}

// Get returns all fields of a record but its key; nil if there is none.
func (s *Store) Get(key string) record.Fields {
	s.mu.RLock()
	defer s.mu.RUnlock()
	at, ok := s.byKey[key]
	if !ok {
		return nil
	}
	f := record.Fields{}
	for i, v := range s.rows[at].values {
		f[s.fields[i].Path] = v
	}
	return f
}

// Keys returns every key, oldest record first.
func (s *Store) Keys() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	keys := make([]string, 0, len(s.byKey))
	for _, r := range s.rows {
		if r.edits > 0 {
			keys = append(keys, r.key)
		}
	}
	return keys
}

func (s *Store) now() time.Time {
	if s.Now == nil {
		return time.Unix(1_700_000_000, 0).UTC()
	}
	return s.Now()
}

// insert, change, drop and put need the lock.

func (s *Store) insert(f record.Fields, author string) (row, error) {
	r := row{author: author, edits: 1, modified: s.now(), values: make([]record.Value, len(s.fields))}
	for i, d := range s.fields {
		r.values[i] = record.NullValue
		if v, given := f[d.Path]; d.Required && (!given || v.Empty()) {
			return row{}, refused("create", d.Path, "a value is required")
		}
	}
	if err := s.assign(r.values, f, "create"); err != nil {
		return row{}, err
	}
	s.made++
	r.key = f[KeyPath].Text()
	switch {
	case r.key != "":
	case s.NewKey != nil:
		r.key = s.NewKey(s.made)
	default:
		r.key = "r" + strconv.Itoa(s.made)
	}
	if _, taken := s.byKey[r.key]; taken {
		return row{}, refused("create", KeyPath, fmt.Sprintf("there is a record %s already", r.key))
	}
	s.put(len(s.rows), r)
	return r, nil
}

func (s *Store) change(at int, f record.Fields, author string) (row, error) {
	r := s.rows[at]
	if _, given := f[KeyPath]; given {
		return row{}, refused("update "+r.key, KeyPath, "a key does not change")
	}
	r.values = slices.Clone(r.values)
	if err := s.assign(r.values, f, "update "+r.key); err != nil {
		return row{}, err
	}
	if slices.Equal(r.values, s.rows[at].values) {
		return r, nil
	}
	r.edits++
	r.author, r.modified = author, s.now()
	s.note(s.rows[at], r)
	s.put(at, r)
	return r, nil
}

func (s *Store) drop(at int) {
	delete(s.byKey, s.rows[at].key)
	s.rows[at] = row{}
}

func (s *Store) put(at int, r row) {
	if at == len(s.rows) {
		s.rows = append(s.rows, r)
	} else {
		s.rows[at] = r
	}
	s.byKey[r.key] = at
	for slot, at2 := range s.byVal {
		at2[r.values[slot]] = append(at2[r.values[slot]], at)
	}
}

// assign writes f into values by the rules of the fields.
func (s *Store) assign(values []record.Value, f record.Fields, op string) error {
	for path, v := range f {
		slot, ok := s.slots[path]
		if !ok {
			return &connectors.Error{Kind: connectors.ErrRefused, Op: op, Detail: fmt.Sprintf("there is no field %q", path), Fields: []string{path}}
		}
		if slot < 0 || !v.Known() {
			continue
		}
		d := s.fields[slot]
		if d.ReadOnly {
			return refused(op, path, "the field is read-only")
		}
		v, err := d.Type.Coerce(v)
		if err != nil {
			return refused(op, path, err.Error())
		}
		if s.Normalise != nil {
			v = s.Normalise(path, v)
		}
		if d.Closed && !v.Empty() && !slices.ContainsFunc(d.Choices, func(c connectors.Choice) bool { return c.Value == v }) {
			return refused(op, path, fmt.Sprintf("%s is not one of its choices", v))
		}
		values[slot] = v.Clone()
	}
	return nil
}

func refused(op, path, detail string) error {
	return &connectors.Error{Kind: connectors.ErrRefused, Op: op, Detail: path + ": " + detail, Fields: []string{path}}
}
