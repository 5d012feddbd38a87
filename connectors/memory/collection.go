package memory

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// chunk is how many rows a scan copies under the lock at a time, so that writers get in between.
const chunk = 1024

// slotMissing stands for a path that does not exist; -1 is the key.
const slotMissing = -2

func (s *Store) resolve(paths []string) []int {
	slots := make([]int, len(paths))
	for i, p := range paths {
		at, ok := s.slots[p]
		if !ok {
			at = slotMissing
		}
		slots[i] = at
	}
	return slots
}

// show makes a record of r with its values in buf.
func (s *Store) show(r row, slots []int, buf []record.Value) record.Record {
	for i, slot := range slots {
		switch slot {
		case slotMissing:
			buf[i] = record.Value{}
		case -1:
			buf[i] = record.OfText(r.key)
		default:
			buf[i] = r.values[slot]
		}
	}
	out := record.Record{Key: r.key, Version: strconv.FormatUint(r.edits, 10), Modified: r.modified, Author: r.author, Values: buf}
	if s.LabelPath != "" && r.values != nil {
		if slot, ok := s.slots[s.LabelPath]; ok && slot >= 0 {
			out.Label = r.values[slot].Plain()
		}
	}
	return out
}

func (s *Store) hook(ctx context.Context, op Op) error {
	if err := ctx.Err(); err != nil && !op.Done {
		return fmt.Errorf("%s: %w", op.Name, err)
	}
	if s.Hook != nil {
		return s.Hook(ctx, op)
	}
	return nil
}

// A selection is what a query asks for, understood.
type selection struct {
	since  time.Time
	part   connectors.Range
	native string
	slots  []int
	buf    []record.Value
}

func (s *Store) selects(op string, q connectors.Query) (sel selection, err error) {
	if q.Since != "" {
		if sel.since, err = time.Parse(time.RFC3339Nano, q.Since); err != nil {
			return sel, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: "the cursor is not one of this store", Err: err}
		}
	}
	if q.Native != "" && s.Match == nil {
		return sel, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: "records in memory have no query language", Hint: "remove query from the side"}
	}
	sel.part, err = connectors.ParseRange(op, q.Part)
	sel.native, sel.slots = q.Native, s.resolve(q.Paths)
	sel.buf = make([]record.Value, len(sel.slots))
	return sel, err
}

// selected reports whether r is what a query asks for.
func (s *Store) selected(r row, sel *selection) (bool, error) {
	if r.edits == 0 || r.modified.Before(sel.since) || r.key <= sel.part.After || sel.part.To != "" && r.key > sel.part.To {
		return false, nil
	}
	if sel.native == "" {
		return true, nil
	}
	return s.Match(sel.native, s.show(r, sel.slots, sel.buf))
}

// window is that of a scan that begins now. A stamp is made under the lock that stores it, so nothing older than now
// shows up later.
func (s *Store) window() connectors.Window {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return connectors.Window{Next: s.now().UTC().Format(time.RFC3339Nano), Clock: s.Clock, System: s.System, Zone: s.Zone}
}

// Split cuts a scan where the sorted keys of what it would emit say.
func (s *Store) Split(ctx context.Context, q connectors.Query, most int) ([]string, connectors.Window, error) {
	if err := s.hook(ctx, Op{Name: "split"}); err != nil {
		return nil, connectors.Window{}, err
	}
	sel, err := s.selects("split", q)
	if err != nil {
		return nil, connectors.Window{}, err
	}
	window := s.window()
	s.mu.RLock()
	rows := slices.Clone(s.rows)
	s.mu.RUnlock()
	var keys []string
	for _, r := range rows {
		switch ok, err := s.selected(r, &sel); {
		case err != nil:
			return nil, connectors.Window{}, fmt.Errorf("split: %w", err)
		case ok:
			keys = append(keys, r.key)
		}
	}
	slices.Sort(keys)
	var bounds []string
	for n, i := min(most, len(keys)), 1; i < n; i++ {
		bounds = append(bounds, keys[i*len(keys)/n-1])
	}
	return connectors.Ranges(bounds), window, s.hook(ctx, Op{Name: "split", Done: true})
}

// Scan emits the records in the order they were added. The buffer behind Values is used again and wiped, so that
// a caller who keeps it without Clone notices.
func (s *Store) Scan(ctx context.Context, q connectors.Query, emit func(record.Record) error) (connectors.Window, error) {
	if err := s.hook(ctx, Op{Name: "scan"}); err != nil {
		return connectors.Window{}, err
	}
	sel, err := s.selects("scan", q)
	if err != nil {
		return connectors.Window{}, err
	}
	defer clear(sel.buf)
	window := s.window()
	rows := make([]row, 0, chunk)
	for at := 0; ; at += len(rows) {
		s.mu.RLock()
		rows = append(rows[:0], s.rows[at:min(at+chunk, len(s.rows))]...)
		s.mu.RUnlock()
		if len(rows) == 0 {
			break
		}
		if err := ctx.Err(); err != nil {
			return connectors.Window{}, fmt.Errorf("scan: %w", err)
		}
		for _, r := range rows {
			ok, err := s.selected(r, &sel)
			if err != nil {
				return connectors.Window{}, fmt.Errorf("scan: %w", err)
			}
			if !ok {
				continue
			}
			if err := emit(s.show(r, sel.slots, sel.buf)); err != nil {
				return connectors.Window{}, err
			}
		}
	}
	if err := s.hook(ctx, Op{Name: "scan", Done: true}); err != nil {
		return connectors.Window{}, err
	}
	return window, nil
}

// Read emits the records with these keys, each once, in the order of keys.
func (s *Store) Read(ctx context.Context, paths, keys []string, emit func(record.Record) error) error {
	if err := s.hook(ctx, Op{Name: "read"}); err != nil {
		return err
	}
	var found []row
	seen := make(map[string]bool, len(keys))
	s.mu.RLock()
	for _, key := range keys {
		if at, ok := s.byKey[key]; ok && !seen[key] {
			seen[key] = true
			found = append(found, s.rows[at])
		}
	}
	s.mu.RUnlock()
	return s.emit(ctx, "read", found, s.resolve(paths), emit)
}

// Find emits the records that carry one of the values, oldest first for each value.
func (s *Store) Find(ctx context.Context, paths []string, path string, values []record.Value, emit func(record.Record) error) error {
	if err := s.hook(ctx, Op{Name: "find"}); err != nil {
		return err
	}
	slot, ok := s.slots[path]
	if !ok {
		return &connectors.Error{Kind: connectors.ErrConfig, Op: "find", Detail: fmt.Sprintf("there is no field %q", path), Fields: []string{path}}
	}
	var found []row
	seen := map[int]bool{}
	take := func(at int) {
		if !seen[at] {
			seen[at] = true
			found = append(found, s.rows[at])
		}
	}
	s.mu.Lock()
	for _, v := range values {
		if slot < 0 {
			if at, ok := s.byKey[v.Text()]; ok {
				take(at)
			}
			continue
		}
		for _, at := range s.index(slot)[v] {
			if s.rows[at].edits > 0 && s.rows[at].values[slot] == v {
				take(at)
			}
		}
	}
	s.mu.Unlock()
	return s.emit(ctx, "find", found, s.resolve(paths), emit)
}

// index makes the index of a slot when it is first searched: without it, a marker looked up before each of a
// million creates would be a million scans.
func (s *Store) index(slot int) map[record.Value][]int {
	if m, ok := s.byVal[slot]; ok {
		return m
	}
	m := make(map[record.Value][]int, len(s.rows))
	for at, r := range s.rows {
		if r.edits > 0 {
			m[r.values[slot]] = append(m[r.values[slot]], at)
		}
	}
	s.byVal[slot] = m
	return m
}

func (s *Store) emit(ctx context.Context, name string, rows []row, slots []int, emit func(record.Record) error) error {
	buf := make([]record.Value, len(slots))
	defer clear(buf)
	for _, r := range rows {
		if err := emit(s.show(r, slots, buf)); err != nil {
			return err
		}
	}
	return s.hook(ctx, Op{Name: name, Done: true})
}

// Create stores a record.
func (s *Store) Create(ctx context.Context, paths []string, f record.Fields) (record.Record, error) {
	return s.write(ctx, Op{Name: "create", Write: true}, paths, func() (row, error) { return s.insert(f, own) })
}

// Update changes a record if version is "" or the record's own, or whatever it is where the store is audited.
func (s *Store) Update(ctx context.Context, paths []string, key, version string, f record.Fields) (record.Record, error) {
	return s.write(ctx, Op{Name: "update", Key: key, Write: true}, paths, func() (row, error) {
		at, ok := s.byKey[key]
		if !ok {
			return row{}, &connectors.Error{Kind: connectors.ErrNotFound, Op: "update " + key}
		}
		if err := s.fresh("update", at, version); err != nil {
			return row{}, err
		}
		return s.change(at, f, own)
	})
}

// Delete removes a record if version is "" or the record's own.
func (s *Store) Delete(ctx context.Context, key, version string) error {
	_, err := s.write(ctx, Op{Name: "delete", Key: key, Write: true}, nil, func() (row, error) {
		at, ok := s.byKey[key]
		if !ok {
			return row{}, nil
		}
		if err := s.fresh("delete", at, version); err != nil {
			return row{}, err
		}
		s.drop(at)
		return row{}, nil
	})
	return err
}

func (s *Store) write(ctx context.Context, op Op, paths []string, do func() (row, error)) (record.Record, error) {
	if err := s.hook(ctx, op); err != nil {
		return record.Record{}, err
	}
	s.mu.Lock()
	r, err := do()
	if err == nil {
		s.writes++
	}
	s.mu.Unlock()
	if err != nil {
		return record.Record{}, err
	}
	op.Done = true
	if op.Name == "create" {
		op.Key = r.key
	}
	if err := s.hook(ctx, op); err != nil {
		return record.Record{}, err
	}
	slots := s.resolve(paths)
	return s.show(r, slots, make([]record.Value, len(slots))), nil
}

// fresh compares the version the caller has with the record's. It needs the lock.
func (s *Store) fresh(op string, at int, version string) error {
	r := s.rows[at]
	if now := strconv.FormatUint(r.edits, 10); version != "" && version != now && !s.Audited {
		return &connectors.Error{Kind: connectors.ErrStale, Op: op + " " + r.key, Detail: fmt.Sprintf("version %s, not %s", now, version)}
	}
	return nil
}
