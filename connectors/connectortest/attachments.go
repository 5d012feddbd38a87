package connectortest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
)

// attacher is the collection as one with attachments.
func (b *bench) attacher() connectors.Attacher {
	b.Helper()
	a, ok := connectors.As[connectors.Attacher](b.Collection)
	if !ok {
		b.Fatal("not an Attacher")
	}
	return a
}

func hashOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// attach adds a file and fails unless it comes back as it was given.
func (b *bench) attach(key, name, kind string, content []byte) connectors.Attachment {
	b.Helper()
	a, err := b.attacher().Attach(b.Context(), b.Files, key, connectors.Attachment{Name: name, Type: kind, Size: int64(len(content))}, bytes.NewReader(content))
	if err != nil || a.ID == "" || a.Name != name || a.Type != kind {
		b.Fatalf("attach %s: %+v, %v", name, a, err)
	}
	b.told(a, content)
	b.settle()
	return a
}

// told fails where what is said of a file is not what its content is.
func (b *bench) told(a connectors.Attachment, content []byte) {
	b.Helper()
	if a.Size >= 0 && a.Size != int64(len(content)) {
		b.Errorf("%s is said to have %d bytes and has %d", a.Name, a.Size, len(content))
	}
	if a.Hash != "" && a.Hash != hashOf(content) {
		b.Errorf("%s is said to have the hash %s, and %s is right", a.Name, a.Hash, hashOf(content))
	}
}

// files returns what is listed by ID, by record.
func (b *bench) files(keys []string, since time.Time) map[string]map[string]connectors.Attachment {
	b.Helper()
	got := map[string]map[string]connectors.Attachment{}
	err := b.attacher().Attachments(b.Context(), b.Files, keys, since, func(key string, a connectors.Attachment) error {
		if _, twice := got[key][a.ID]; a.ID == "" || twice {
			b.Errorf("a file of %s has the ID %q, which is none or was there before", key, a.ID)
		}
		if got[key] == nil {
			got[key] = map[string]connectors.Attachment{}
		}
		got[key][a.ID] = a
		return nil
	})
	if err != nil {
		b.Fatalf("attachments: %v", err)
	}
	return got
}

func (b *bench) contentOf(key, id string) []byte {
	b.Helper()
	r, err := b.attacher().OpenAttachment(b.Context(), b.Files, key, id)
	if err != nil {
		b.Fatalf("open %s of %s: %v", id, key, err)
	}
	content, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		b.Fatalf("read %s of %s: %v", id, key, err)
	}
	return content
}

func attachmentsAdded(b *bench) {
	keys := b.fill(0, 3)
	// Bytes that no text has, a name that needs escaping everywhere, equal contents, and nothing at all.
	big := bytes.Repeat([]byte("\x00\xff\r\n'\"^"), 40_000)
	want := map[string]map[string]string{}
	contents := map[string][]byte{}
	for i, f := range []struct {
		name, kind string
		content    []byte
	}{{"a b,c^d & é.bin", "application/octet-stream", big}, {"same.txt", "text/plain", []byte("same")}, {"same.txt", "text/plain", []byte("same")}, {"empty.txt", "text/plain", nil}} {
		if b.NoEmptyFiles && len(f.content) == 0 {
			continue
		}
		key := keys[min(i, 1)]
		a := b.attach(key, f.name, f.kind, f.content)
		if want[key] == nil {
			want[key] = map[string]string{}
		}
		want[key][a.ID], contents[a.ID] = f.name, f.content
	}
	for _, tt := range []struct {
		name string
		keys []string
	}{{"of all records", nil}, {"of records by key", keys}} {
		got := map[string]map[string]string{}
		for key, files := range b.files(tt.keys, time.Time{}) {
			got[key] = map[string]string{}
			for id, a := range files {
				got[key][id] = a.Name
				b.told(a, contents[id])
			}
		}
		if !maps.EqualFunc(got, want, maps.Equal) {
			b.Errorf("files %s: %v, want %v", tt.name, got, want)
		}
	}
	for key, files := range want {
		for id, name := range files {
			if got := b.contentOf(key, id); !bytes.Equal(got, contents[id]) {
				b.Errorf("the content of %s came back with %d bytes of the hash %s, want %d of %s", name, len(got), hashOf(got), len(contents[id]), hashOf(contents[id]))
			}
		}
	}
	if got := b.files(keys[:1], time.Time{}); len(got) != 1 || len(got[keys[0]]) != 1 {
		b.Errorf("files of one record: %v", got)
	}
	if got := b.files([]string{}, time.Time{}); len(got) != 0 {
		b.Errorf("files of no records: %v", got)
	}
	if got := b.files([]string{b.Missing(1)}, time.Time{}); len(got) != 0 {
		b.Errorf("files of a record that does not exist: %v", got)
	}
}

func attachmentsSince(b *bench) {
	key := b.fill(0, 1)[0]
	first := b.attach(key, "first.txt", "text/plain", []byte("first"))
	second := b.attach(key, "second.txt", "text/plain", []byte("second"))
	for _, keys := range [][]string{nil, {key}} {
		got := b.files(keys, second.Time)[key]
		if _, there := got[second.ID]; !there {
			b.Errorf("since its own time the second is not there: %v", got)
		}
		if _, there := got[first.ID]; there && b.pass != nil {
			b.Error("the first is there, too, though it was added a minute earlier")
		}
	}
}

func attachmentsMissing(b *bench) {
	key := b.fill(0, 1)[0]
	a := connectors.Attachment{Name: "lost.txt", Type: "text/plain", Size: 4}
	if _, err := b.attacher().Attach(b.Context(), b.Files, b.Missing(1), a, bytes.NewReader([]byte("lost"))); !errors.Is(err, connectors.ErrNotFound) {
		b.Errorf("a file for a record that does not exist gives %v, want ErrNotFound", err)
	}
	if r, err := b.attacher().OpenAttachment(b.Context(), b.Files, key, b.Missing(2)); !errors.Is(err, connectors.ErrNotFound) {
		b.Errorf("a file that does not exist opens as %v, %v; want ErrNotFound", r, err)
	}
}

func attachmentsEmitError(b *bench) {
	b.attach(b.fill(0, 1)[0], "one.txt", "text/plain", []byte("one"))
	enough := errors.New("enough")
	if err := b.attacher().Attachments(b.Context(), b.Files, nil, time.Time{}, func(string, connectors.Attachment) error { return enough }); err != enough {
		b.Errorf("the error of emit came back as %v", err)
	}
}

func attachmentsDescribed(b *bench) {
	d, ok := connectors.As[connectors.Describer](b.Collection)
	if !ok {
		b.Fatal("not a Describer")
	}
	s, err := d.Describe(b.Context())
	if err != nil || !slices.ContainsFunc(s.Files, func(t connectors.Thread) bool { return t.Path == b.Files }) {
		b.Errorf("the description names the files %v (%v), and %q is not among them", s.Files, err, b.Files)
	}
}
