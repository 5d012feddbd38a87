package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// tickets is a folder of files.
type tickets struct {
	*shelf
	folder string
}

// A version is the content of a file.
type version struct {
	Values   map[string]record.Value `json:"values"`
	Modified time.Time               `json:"modified"`
	Deleted  bool                    `json:"deleted,omitempty"`
}

var fileName = regexp.MustCompile(`^([A-Za-z0-9_-]{1,64})\.([1-9][0-9]{0,8})\.json$`)

// latest is the number of the last version of each record.
func (t *tickets) latest(op string) (map[string]int, error) {
	entries, err := os.ReadDir(t.folder)
	if err != nil {
		return nil, broken(op, err)
	}
	last := map[string]int{}
	for _, e := range entries {
		if m := fileName.FindStringSubmatch(e.Name()); m != nil {
			n, _ := strconv.Atoi(m[2]) // nine digits at most
			last[m[1]] = max(last[m[1]], n)
		}
	}
	return last, nil
}

func (t *tickets) load(op, key string, n int) (version, error) {
	var v version
	b, err := os.ReadFile(t.file(key, n))
	if err != nil {
		return v, broken(op, err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return v, &connectors.Error{Kind: connectors.ErrProtocol, Op: op, Detail: fmt.Sprintf("%s.%d.json: %v", key, n, err), Err: err}
	}
	return v, nil
}

func (t *tickets) file(key string, n int) string {
	return filepath.Join(t.folder, fmt.Sprintf("%s.%d.json", key, n))
}

// store makes version n of a record, whole or not at all. fs.ErrExist: somebody was quicker.
func (t *tickets) store(key string, n int, v version) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(t.folder, ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Link(f.Name(), t.file(key, n))
}

func shown(key string, n int, v version, paths []string) record.Record {
	r := record.Record{Key: key, Label: v.Values["ref"].Plain(), Version: strconv.Itoa(n), Modified: v.Modified, Values: make([]record.Value, len(paths))}
	for i, p := range paths {
		if _, ok := schema.Field(p); !ok {
			continue // absent
		}
		r.Values[i] = record.NullValue
		if x, ok := v.Values[p]; ok {
			r.Values[i] = x
		}
		if p == "key" {
			r.Values[i] = record.OfText(key)
		}
	}
	return r
}

// each calls do with every record that is there, those with these keys if there are any.
func (t *tickets) each(ctx context.Context, op string, keys []string, do func(key string, n int, v version) error) error {
	last, err := t.latest(op)
	if err != nil {
		return err
	}
	if keys == nil {
		keys = slices.Sorted(maps.Keys(last))
	}
	for _, key := range keys {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
		n, ok := last[key]
		if !ok {
			continue
		}
		v, err := t.load(op, key, n)
		if err != nil {
			return err
		}
		if v.Deleted {
			continue
		}
		if err := do(key, n, v); err != nil {
			return err
		}
	}
	return nil
}

// behind is how long a file may take from its stamp to its name.
const behind = 2 * time.Second

// Scan reads all files; since leaves out what it has no use for.
func (t *tickets) Scan(ctx context.Context, q connectors.Query, emit func(record.Record) error) (connectors.Window, error) {
	if q.Native != "" {
		return connectors.Window{}, &connectors.Error{Kind: connectors.ErrConfig, Op: "scan", Detail: "files have no query language", Hint: "take query out of the side, and use where"}
	}
	var since time.Time
	if q.Since != "" {
		var err error
		if since, err = time.Parse(time.RFC3339Nano, q.Since); err != nil {
			return connectors.Window{}, &connectors.Error{Kind: connectors.ErrConfig, Op: "scan", Detail: "the cursor is none of this plugin", Err: err}
		}
	}
	next := t.now().UTC().Add(-behind).Format(time.RFC3339Nano)
	err := t.each(ctx, "scan", nil, func(key string, n int, v version) error {
		if v.Modified.Before(since) {
			return nil
		}
		return emit(shown(key, n, v, q.Paths))
	})
	return connectors.Window{Next: next}, err
}

// Read reads the files of these records.
func (t *tickets) Read(ctx context.Context, paths, keys []string, emit func(record.Record) error) error {
	return t.each(ctx, "read", slices.Compact(slices.Sorted(slices.Values(keys))), func(key string, n int, v version) error {
		return emit(shown(key, n, v, paths))
	})
}

// Find reads all files and compares.
func (t *tickets) Find(ctx context.Context, paths []string, path string, values []record.Value, emit func(record.Record) error) error {
	return t.each(ctx, "find", nil, func(key string, n int, v version) error {
		if x := shown(key, n, v, []string{path}).Values[0]; !slices.Contains(values, x) {
			return nil
		}
		return emit(shown(key, n, v, paths))
	})
}

// Describe is the same for every folder.
func (t *tickets) Describe(context.Context) (*connectors.Schema, error) {
	s := schema
	return &s, nil
}

// Conditional: making a file that is there fails.
func (t *tickets) Conditional() bool { return true }

// Create makes the first version.
func (t *tickets) Create(_ context.Context, paths []string, f record.Fields) (record.Record, error) {
	v := version{Values: map[string]record.Value{}, Modified: t.now().UTC()}
	if err := put("create", v.Values, f); err != nil {
		return record.Record{}, err
	}
	random := make([]byte, 8)
	if _, err := rand.Read(random); err != nil {
		return record.Record{}, broken("create", err)
	}
	key := hex.EncodeToString(random)
	if err := t.store(key, 1, v); err != nil {
		return record.Record{}, broken("create", err)
	}
	return shown(key, 1, v, paths), nil
}

// Update makes the next version.
func (t *tickets) Update(ctx context.Context, paths []string, key, was string, f record.Fields) (record.Record, error) {
	n, v, err := t.follow(ctx, "update "+key, key, was, func(v *version) error { return put("update "+key, v.Values, f) })
	if err != nil {
		return record.Record{}, err
	}
	return shown(key, n, v, paths), nil
}

// Delete makes a last version.
func (t *tickets) Delete(ctx context.Context, key, was string) error {
	_, _, err := t.follow(ctx, "delete "+key, key, was, func(v *version) error {
		v.Deleted, v.Values = true, nil
		return nil
	})
	if errors.Is(err, connectors.ErrNotFound) {
		return nil
	}
	return err
}

// follow makes the version behind the one that is there, again if somebody else was quicker and the caller does not mind.
func (t *tickets) follow(ctx context.Context, op, key, was string, change func(*version) error) (int, version, error) {
	for {
		if err := ctx.Err(); err != nil {
			return 0, version{}, fmt.Errorf("%s: %w", op, err)
		}
		last, err := t.latest(op)
		if err != nil {
			return 0, version{}, err
		}
		n, there := last[key]
		var v version
		if there {
			if v, err = t.load(op, key, n); err != nil {
				return 0, version{}, err
			}
		}
		if !there || v.Deleted {
			return 0, version{}, &connectors.Error{Kind: connectors.ErrNotFound, Op: op}
		}
		stale := &connectors.Error{Kind: connectors.ErrStale, Op: op, Detail: fmt.Sprintf("version %d is there, not %s", n, was)}
		if was != "" && was != strconv.Itoa(n) {
			return 0, version{}, stale
		}
		v.Modified = t.now().UTC()
		if err := change(&v); err != nil {
			return 0, version{}, err
		}
		switch err := t.store(key, n+1, v); {
		case errors.Is(err, fs.ErrExist) && was != "":
			return 0, version{}, stale
		case errors.Is(err, fs.ErrExist):
			continue
		case err != nil:
			return 0, version{}, broken(op, err)
		}
		return n + 1, v, nil
	}
}
