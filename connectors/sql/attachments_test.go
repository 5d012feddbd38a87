package sql_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/sql"
)

const cabinet = `CREATE TABLE tickets (id TEXT PRIMARY KEY, title TEXT);
	CREATE TABLE papers (uuid TEXT NOT NULL UNIQUE, ticket TEXT NOT NULL, name TEXT, body BLOB, kind TEXT, sha TEXT, who TEXT, made INTEGER, hidden INTEGER NOT NULL DEFAULT 0);
	INSERT INTO tickets VALUES ('T-1', 'a'), ('T-2', 'b');
	INSERT INTO papers VALUES ('u1', 'T-1', 'a.txt', 'für', 'text/plain', NULL, 'ann', 1772366400, 0),
		('u2', 'T-1', 'b.bin', x'00ff00', NULL, 'not a hash', 'bob', 1772366460, 1),
		('u3', 'T-2', 'c.txt', NULL, 'text/plain', '` + emptyHash + `', 'cid', 1772366400, 0)`

const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func papers(label, readers string) sql.Attachments {
	return sql.Attachments{Label: label, Table: "papers", Key: "uuid", Parent: []string{"ticket"}, Name: "name", Content: "body", Type: "kind", Hash: "sha", Author: "who", Time: "made", Internal: "hidden", Readers: readers}
}

func TestAttachmentsOfOneTableAreKeptApartByTheirReaders(t *testing.T) {
	d := newDesk(t, cabinet)
	_, col := d.open(t, sql.Table{Name: "tickets", Attachments: []sql.Attachments{papers("files", ""), papers("internal", "staff")}})
	a := col.(connectors.Attacher)
	at := time.Unix(1772366400, 0).UTC()
	for path, want := range map[string]map[string]connectors.Attachment{
		"files": {
			"T-1": {ID: "u1", Name: "a.txt", Type: "text/plain", Size: 4, Author: "ann", Time: at}, // bytes, not letters
			"T-2": {ID: "u3", Name: "c.txt", Type: "text/plain", Author: "cid", Time: at, Hash: emptyHash},
		},
		"internal": {"T-1": {ID: "u2", Name: "b.bin", Size: 3, Author: "bob", Time: at.Add(time.Minute)}},
	} {
		got := map[string]connectors.Attachment{}
		err := a.Attachments(t.Context(), path, nil, time.Time{}, func(key string, a connectors.Attachment) error {
			a.Time = a.Time.UTC()
			got[key] = a
			return nil
		})
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s (-want +got), %v:\n%s", path, err, diff)
		}
	}
	for id, want := range map[string]string{"u1": "für", "u2": "\x00\xff\x00"} {
		r, err := a.OpenAttachment(t.Context(), "internal", "T-1", id)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); string(got) != want || err != nil {
			t.Errorf("%s has the content %q, %v; want %q", id, got, err, want)
		}
	}
	made, err := a.Attach(t.Context(), "internal", "T-2", connectors.Attachment{Name: "n.txt", Type: "text/plain", Size: 0}, bytes.NewReader(nil))
	if err != nil || !strings.HasPrefix(made.ID, "fs-") || made.Hash != emptyHash {
		t.Errorf("added %+v, %v", made, err)
	}
	if got := d.value(t, "SELECT typeof(body) || hidden FROM papers WHERE uuid = ?", made.ID); got != "blob1" {
		t.Errorf("it is stored as %v", got)
	}
	s, err := col.(connectors.Describer).Describe(t.Context())
	want := []connectors.Thread{{Path: "files", Readers: connectors.Public}, {Path: "internal", Readers: connectors.Staff}}
	if diff := cmp.Diff(want, s.Files); err != nil || diff != "" {
		t.Errorf("files (-want +got), %v:\n%s", err, diff)
	}
}

func TestALargeContentComesInPiecesAndAnEndlessOneIsRefused(t *testing.T) {
	d := newDesk(t, cabinet)
	_, col := d.open(t, sql.Table{Name: "tickets", Attachments: []sql.Attachments{papers("files", "")}})
	a := col.(connectors.Attacher)
	content := bytes.Repeat([]byte("0123456789abcde\x00"), 1<<18) // 4 MiB
	made, err := a.Attach(t.Context(), "files", "T-1", connectors.Attachment{Name: "l.bin", Size: int64(len(content))}, bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	r, err := a.OpenAttachment(t.Context(), "files", "T-1", made.ID)
	if err != nil {
		t.Fatal(err)
	}
	half := make([]byte, len(content)/2)
	if _, err := io.ReadFull(r, half); err != nil || !bytes.Equal(half, content[:len(half)]) {
		t.Errorf("the first half is another one, %v", err)
	}
	d.do(t, "DELETE FROM papers WHERE uuid = ?", made.ID)
	if n, err := io.Copy(io.Discard, r); !errors.Is(err, connectors.ErrNotFound) {
		t.Errorf("%d bytes and %v came of a content that is gone, want ErrNotFound", n, err)
	}
	_, err = a.Attach(t.Context(), "files", "T-1", connectors.Attachment{Name: "l.bin", Size: 1 << 40}, bytes.NewReader(nil))
	if !errors.Is(err, connectors.ErrRefused) || !strings.Contains(connectors.Hint(err), "max_size") {
		t.Errorf("a terabyte gives %v (way out: %s)", err, connectors.Hint(err))
	}
}

func TestAttachmentsBlocksThatAreWrong(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*sql.Attachments)
		want   string
	}{
		"a table that is not there":    {func(a *sql.Attachments) { a.Table = "paper" }, `attachments "files": there is no table "paper"`},
		"a content that is not there":  {func(a *sql.Attachments) { a.Content = "bodi" }, `content = "bodi", but table papers has no such column`},
		"a key that is not there":      {func(a *sql.Attachments) { a.Key = "" }, `key = "id"`},
		"readers of another kind":      {func(a *sql.Attachments) { a.Readers = "all" }, `readers = "all"`},
		"a hash column that is a typo": {func(a *sql.Attachments) { a.Hash = "shaa" }, `hash = "shaa"`},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, cabinet)
			bad := papers("files", "")
			tt.change(&bad)
			conn, err := (&sql.Config{DSN: d.file, Tables: []sql.Table{{Name: "tickets", Attachments: []sql.Attachments{bad}}}}).Open(connectors.Env{Name: "desk"})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, err = conn.Collection(t.Context(), "tickets")
			if !errors.Is(err, connectors.ErrConfig) || !strings.Contains(err.Error(), tt.want) || connectors.Hint(err) == "" {
				t.Errorf("%v (way out: %s); want %q", err, connectors.Hint(err), tt.want)
			}
		})
	}
}

func TestACollectionWithoutFilesSaysWhereToNameThem(t *testing.T) {
	d := newDesk(t, `CREATE TABLE tickets (id TEXT PRIMARY KEY, title TEXT)`)
	_, col := d.open(t, sql.Table{Name: "tickets"})
	err := col.(connectors.AttachmentReader).Attachments(t.Context(), "", nil, time.Time{}, func(string, connectors.Attachment) error { return nil })
	const want = `list attachments of tickets: wrong settings: tickets declares no attachments "files"`
	if err == nil || err.Error() != want || !strings.Contains(connectors.Hint(err), `attachments "files" { table`) {
		t.Errorf("got %v (%s), want %s", err, connectors.Hint(err), want)
	}
}
