package memory_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/connectortest"
	"github.com/fieldsync/fieldsync/connectors/memory"
	"github.com/fieldsync/fieldsync/engine/record"
)

// saboteur names the environment variable that tells a child process which promise to break.
const saboteur = "FIELDSYNC_SABOTEUR"

// A broken collection keeps every promise but one.
type broken struct {
	*memory.Store
	how string
	n   int
}

func (b *broken) Scan(ctx context.Context, q connectors.Query, emit func(record.Record) error) (connectors.Window, error) {
	var held *record.Record
	if b.how == "a part that nobody made read whole" && !strings.HasPrefix(q.Part, "[") {
		q.Part = ""
	}
	w, err := b.Store.Scan(ctx, q, func(r record.Record) error {
		switch b.how {
		case "null for a path that does not exist":
			r = r.Clone()
			for i, v := range r.Values {
				if v.Kind() == record.Absent {
					r.Values[i] = record.NullValue
				}
			}
		case "the last record left out":
			c := r.Clone()
			r, held = deref(held, r), &c
			if r.Key == c.Key {
				return nil
			}
		case "a record twice":
			if err := emit(r); err != nil {
				return err
			}
		case "a version that moves by itself":
			b.n++
			r.Version += strconv.Itoa(b.n)
		case "values in another order":
			slices.Reverse(r.Values)
		}
		err := emit(r)
		if b.how == "an emit error swallowed" {
			return nil
		}
		if err != nil && b.how == "an emit error wrapped" {
			return errors.Join(errors.New("scan"), err)
		}
		return err
	})
	switch b.how {
	case "a window ahead of the clock":
		w.Next = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC).Format(time.RFC3339Nano)
	case "no window":
		w.Next = ""
	case "a cancelled scan called complete":
		if errors.Is(err, context.Canceled) {
			err = nil
		}
	}
	return w, err
}

func deref(p *record.Record, r record.Record) record.Record {
	if p == nil {
		return r
	}
	return *p
}

func (b *broken) Read(ctx context.Context, paths, keys []string, emit func(record.Record) error) error {
	switch {
	case b.how == "everything read when nothing is asked" && len(keys) == 0:
		keys = b.Keys()
	case b.how == "only a page of keys read" && len(keys) > 100:
		keys = keys[:100]
	}
	return b.Store.Read(ctx, paths, keys, emit)
}

func (b *broken) Find(ctx context.Context, paths []string, path string, values []record.Value, emit func(record.Record) error) error {
	if b.how == "case ignored by find" {
		_, err := b.Store.Scan(ctx, connectors.Query{Paths: paths}, func(r record.Record) error {
			v := r.Values[slices.Index(paths, path)]
			if slices.ContainsFunc(values, func(w record.Value) bool { return strings.EqualFold(w.Text(), v.Text()) }) {
				return emit(r)
			}
			return nil
		})
		return err
	}
	if b.how == "only one of several found" {
		seen := false
		return b.Store.Find(ctx, paths, path, values, func(r record.Record) error {
			if seen && len(values) == 1 {
				return nil
			}
			seen = true
			return emit(r)
		})
	}
	return b.Store.Find(ctx, paths, path, values, emit)
}

func (b *broken) Create(ctx context.Context, paths []string, f record.Fields) (record.Record, error) {
	r, err := b.Store.Create(ctx, paths, f)
	if b.how == "a create that returns another version" {
		r.Version = "x"
	}
	return r, err
}

func (b *broken) Update(ctx context.Context, paths []string, key, version string, f record.Fields) (record.Record, error) {
	switch b.how {
	case "a stale update carried out":
		version = ""
	case "a clear ignored":
		for p, v := range f {
			if v.Empty() {
				f[p] = record.Value{}
			}
		}
	case "another field changed too":
		f = record.Fields{"title": f["title"], "weight": record.OfInt(99)}
	case "an update that creates":
		if b.Get(key) == nil {
			return b.Store.Create(ctx, paths, f)
		}
	case "text trimmed a little each time":
		if s := f["title"].Text(); strings.HasSuffix(s, " ") {
			f["title"] = record.OfText(s[1:])
		}
	}
	return b.Store.Update(ctx, paths, key, version, f)
}

func (b *broken) Delete(ctx context.Context, key, version string) error {
	if b.how == "a second delete refused" && b.Get(key) == nil {
		return &connectors.Error{Kind: connectors.ErrNotFound, Op: "delete"}
	}
	return b.Store.Delete(ctx, key, version)
}

func (b *broken) Describe(ctx context.Context) (*connectors.Schema, error) {
	s, err := b.Store.Describe(ctx)
	switch b.how {
	case "a field not described":
		s.Fields = s.Fields[:len(s.Fields)-1]
	case "files not described":
		s.Files = nil
	case "a field described as another kind":
		s.Fields[1].Type.Kind = record.Int
	}
	return s, err
}

func (b *broken) Attachments(ctx context.Context, path string, keys []string, since time.Time, emit func(string, connectors.Attachment) error) error {
	if b.how == "files of all records whatever is asked" {
		keys = nil
	}
	if b.how == "old files not left out" {
		since = time.Time{}
	}
	err := b.Store.Attachments(ctx, path, keys, since, func(key string, a connectors.Attachment) error {
		switch b.how {
		case "files under the same ID":
			a.ID = "1"
		case "a size that is not that of the content":
			a.Size += 7
		case "a hash of something else":
			a.Hash = strings.Repeat("0", 64)
		}
		return emit(key, a)
	})
	if b.how == "an emit error of files wrapped" && err != nil {
		return errors.Join(errors.New("list"), err)
	}
	return err
}

func (b *broken) OpenAttachment(ctx context.Context, path, key, id string) (io.ReadCloser, error) {
	r, err := b.Store.OpenAttachment(ctx, path, key, id)
	switch {
	case b.how == "a content that is cut" && err == nil:
		return io.NopCloser(io.LimitReader(r, 1000)), nil
	case b.how == "an empty file for one that is not there" && err != nil:
		return io.NopCloser(strings.NewReader("")), nil
	}
	return r, err
}

func (b *broken) Attach(ctx context.Context, path, key string, a connectors.Attachment, content io.ReadSeeker) (connectors.Attachment, error) {
	if b.how == "a name made tame" {
		a.Name = strings.ReplaceAll(a.Name, "^", "")
	}
	if b.how == "a file for a record that is not there" && b.Get(key) == nil {
		key = b.Add(sample(99))
	}
	return b.Store.Attach(ctx, path, key, a, content)
}

func (b *broken) EditComment(ctx context.Context, path, key, id, was, text string) (connectors.Comment, error) {
	switch b.how {
	case "an edit of what says something else":
		for _, c := range b.Said(path, key) {
			if c.ID == id {
				was = c.Text
			}
		}
	case "an edit that is another comment":
		_, err := b.AddComment(ctx, path, key, text)
		return connectors.Comment{ID: id, Text: text}, err
	case "an edit of every comment of the text":
		for _, c := range b.Said(path, key) {
			if c.ID != id && c.Text == was {
				b.Revise(c.ID, text)
			}
		}
	}
	return b.Store.EditComment(ctx, path, key, id, was, text)
}

func (b *broken) Split(ctx context.Context, q connectors.Query, most int) ([]string, connectors.Window, error) {
	parts, w, err := b.Store.Split(ctx, q, most)
	first, last := 0, len(parts)-1
	if err != nil || last < 1 {
		return parts, w, err
	}
	r, err := connectors.ParseRange("split", parts[last])
	switch b.how {
	case "parts that overlap":
		parts[first] = connectors.Range{To: "r0059"}.String()
	case "parts with a hole":
		parts[last] = connectors.Range{After: "r0059"}.String()
	case "a last part that ends":
		parts[last] = connectors.Range{After: r.After, To: "r0060"}.String()
	case "a window behind the parts":
		w.Next = "2026-02-01T00:00:00Z"
	case "a split into one":
		parts = parts[:1]
	}
	return parts, w, err
}

// sabotages says which check has to notice.
var sabotages = map[string]string{
	"null for a path that does not exist":   "a path that does not exist is never null",
	"the last record left out":              "a scan delivers every record once",
	"a record twice":                        "a scan delivers every record once",
	"a version that moves by itself":        "a cloned record stays what it was",
	"values in another order":               "a scan delivers every record once",
	"an emit error swallowed":               "an error of emit ends the scan",
	"an emit error wrapped":                 "an error of emit ends the scan",
	"a cancelled scan called complete":      "a cancelled context ends a scan",
	"a window ahead of the clock":           "a scan since the last one delivers",
	"no window":                             "a scan since the last one delivers",
	"everything read when nothing is asked": "read of no keys",
	"only a page of keys read":              "read takes five hundred keys",
	"case ignored by find":                  "find takes special characters literally",
	"only one of several found":             "find delivers several records",
	"a create that returns another version": "create returns what is stored",
	"a stale update carried out":            "a stale update is refused",
	"a clear ignored":                       "an update to null clears",
	"another field changed too":             "update changes the named fields",
	"an update that creates":                "an update of a missing key",
	"text trimmed a little each time":       "text comes back unchanged",
	"a second delete refused":               "delete removes, and twice is done",
	"a field not described":                 "describe lists the key and every path",
	"a field described as another kind":     "values have the described kind",

	"parts that overlap":                 "parts of a scan are disjoint",
	"parts with a hole":                  "parts of a scan are disjoint",
	"a split into one":                   "parts of a scan are disjoint",
	"a last part that ends":              "records made and removed while parts are scanned",
	"a part that nobody made read whole": "a part that fails is an error",
	"a window behind the parts":          "a change while parts are scanned",

	"files of all records whatever is asked":  "an attached file comes back byte for byte",
	"files under the same ID":                 "an attached file comes back byte for byte",
	"a size that is not that of the content":  "an attached file comes back byte for byte",
	"a hash of something else":                "an attached file comes back byte for byte",
	"a content that is cut":                   "an attached file comes back byte for byte",
	"a name made tame":                        "an attached file comes back byte for byte",
	"old files not left out":                  "attachments since a time",
	"a file for a record that is not there":   "a file for or of nothing is not found",
	"an empty file for one that is not there": "a file for or of nothing is not found",
	"an emit error of files wrapped":          "an error of emit ends listing attachments",
	"files not described":                     "describe lists the files",
	"an edit of what says something else":     "an edit changes one comment",
	"an edit that is another comment":         "an edit changes one comment",
	"an edit of every comment of the text":    "an edit changes one comment",
}

// TestSabotagedCollection is run by TestTheSuiteCatches in a process of its own, where it has to fail.
func TestSabotagedCollection(t *testing.T) {
	how := os.Getenv(saboteur)
	if how == "" {
		t.Skip("runs in a child process")
	}
	connectortest.Run(t, connectortest.Suite{
		Paths: []string{"title", "key", "weight", "marker"}, Sample: sample, Marker: "marker", Text: "title", Thread: "comments", Edits: true, Files: "files", Conditional: true, Incremental: true, Split: true,
		Open: func(*testing.T) connectortest.System {
			now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			s := memory.New(fields()...)
			s.Now = func() time.Time { return now }
			s.NewKey = func(n int) string { return fmt.Sprintf("r%04d", n) }
			s.Files = []connectors.Thread{{Path: "files"}}
			s.Threads = []connectors.Thread{{Path: "comments", Editable: true}}
			return connectortest.System{
				Collection: &broken{Store: s, how: how},
				Add:        func(_ *testing.T, f record.Fields) string { return s.Add(f) },
				Edit:       func(_ *testing.T, key string, f record.Fields) { s.Edit(key, f) },
				Remove:     func(_ *testing.T, key string) { s.Remove(key) },
				Pass:       func(_ *testing.T, d time.Duration) { now = now.Add(d) },
			}
		},
	})
}

func TestTheSuiteCatches(t *testing.T) {
	for how, check := range sabotages {
		t.Run(how, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSabotagedCollection$")
			cmd.Env = append(os.Environ(), saboteur+"="+how)
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Fatal("the suite noticed nothing")
			}
			if want := "--- FAIL: TestSabotagedCollection/" + strings.ReplaceAll(check, " ", "_"); !strings.Contains(string(out), want) {
				t.Errorf("another check noticed than %q:\n%s", check, out)
			}
		})
	}
}
