package servicenow_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/guard"
	"github.com/fieldsync/fieldsync/connectors/servicenow"
	"github.com/fieldsync/fieldsync/connectors/servicenow/sim"
)

// listed are the attachments of records, by ID.
func listed(t *testing.T, tb *servicenow.Table, keys []string, since time.Time) map[string]connectors.Attachment {
	t.Helper()
	got := map[string]connectors.Attachment{}
	err := tb.Attachments(t.Context(), "attachments", keys, since, func(_ string, a connectors.Attachment) error {
		got[a.ID] = a
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func sumOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

func oldNotes(t *testing.T) {
	in := newInstance(t, sim.Options{})
	id := in.Insert("incident", map[string]string{"short_description": "down"})
	tb := in.as(t, "integration")
	for range 2 {
		if err := in.Update("incident", id, "beth.anglin", map[string]string{"work_notes": "note of " + in.clock.Now().Format(time.TimeOnly)}); err != nil {
			t.Fatal(err)
		}
		in.clock.Pass(time.Hour)
	}
	linked := noon.Add(30 * time.Minute)
	var before, after []string
	err := tb.Comments(t.Context(), "work_notes", []string{id}, time.Time{}, func(_ string, c connectors.Comment) error {
		if c.Time.Before(linked) {
			before = append(before, c.Text)
		} else {
			after = append(after, c.Text)
		}
		return nil
	})
	if err != nil || strings.Join(before, ",") != "note of 12:00:00" || strings.Join(after, ",") != "note of 13:00:00" {
		t.Errorf("older than the link: %v, younger: %v (%v)", before, after, err)
	}
}

func attachmentEcho(t *testing.T) {
	in := newInstance(t, sim.Options{})
	id := in.Insert("incident", map[string]string{"short_description": "down"})
	tb := in.as(t, "integration")
	content := []byte("boot\x00")
	in.clock.Pass(time.Minute)
	made, err := tb.Attach(t.Context(), "attachments", id, connectors.Attachment{Name: "router.log", Size: int64(len(content))}, bytes.NewReader(content))
	if err != nil || made.Hash != sumOf(content) || made.Type != "application/octet-stream" || made.Author != "integration" {
		t.Fatalf("attached %+v, %v", made, err)
	}
	other := in.AttachFile("incident", id, "beth.anglin", "copy.log", "text/plain", content)
	got := listed(t, tb, nil, in.clock.Now())
	if len(got) != 2 || got[made.ID] != made {
		t.Errorf("it comes back as %+v, and was %+v", got[made.ID], made)
	}
	if a := got[other]; a.Hash != made.Hash || a.Author != "beth.anglin" || a.Size != 5 || !a.Time.Equal(in.clock.Now()) {
		t.Errorf("the same content of somebody else is %+v", a)
	}
}

func attachmentLimits(t *testing.T) {
	for _, tt := range []struct {
		name, turn, file string
		kind             error
		hint             string
	}{
		{"an extension that is not allowed", "extensions=txt,log", "virus.exe", connectors.ErrDenied, "glide.attachment.extensions"},
		{"more bytes than the instance takes", "max-file=3", "a.txt", connectors.ErrRefused, "com.glide.attachment.max_size"},
		{"a record that may not be written", "", "a.txt", connectors.ErrDenied, "create and read rules on sys_attachment"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := newInstance(t, sim.Options{Users: append(sim.DefaultUsers(), sim.User{Login: "reader", Password: "wrong", Roles: []string{"itil", "snc_read_only"}})})
			id := in.Insert("incident", map[string]string{"short_description": "down"})
			user := "integration"
			if tt.turn != "" {
				in.turn(t, tt.turn)
			} else {
				user = "reader"
			}
			_, err := in.as(t, user).Attach(t.Context(), "attachments", id, connectors.Attachment{Name: tt.file, Type: "text/plain", Size: 4}, strings.NewReader("boom"))
			wants(t, tt.name, err, tt.kind, tt.hint)
			if n := len(in.All("sys_attachment")); n != 0 {
				t.Errorf("%d files are there", n)
			}
		})
	}
	in := newInstance(t, sim.Options{})
	id := in.Insert("incident", map[string]string{"short_description": "down"})
	in.AttachFile("incident", id, "beth.anglin", "a.txt", "text/plain", []byte("a"))
	in.turn(t, "hide-rows=sys_attachment")
	err := in.as(t, "integration").Attachments(t.Context(), "attachments", []string{id}, time.Time{}, func(string, connectors.Attachment) error { return nil })
	wants(t, "attachments that are hidden", err, connectors.ErrDenied, "read rule (ACL) on the table sys_attachment")
}

func attachmentLost(t *testing.T) {
	for _, tt := range []struct {
		fault string
		err   error
		kept  int
	}{
		{"500-after:POST sys_attachment:n=1", connectors.ErrOutcome, 1},
		{"reset-after:POST sys_attachment:n=1", connectors.ErrOutcome, 1},
		{"cut-broken:POST sys_attachment:n=1", connectors.ErrOutcome, 1},
		{"500-before:POST sys_attachment:n=1", connectors.ErrOutcome, 0},
		{"500-before:GET incident:rate=1", connectors.ErrBusy, 0},
	} {
		t.Run(tt.fault, func(t *testing.T) {
			in := newInstance(t, sim.Options{})
			id := in.Insert("incident", map[string]string{"short_description": "down"})
			tb := in.as(t, "integration")
			in.fault(t, tt.fault)
			_, err := tb.Attach(t.Context(), "attachments", id, connectors.Attachment{Name: "a.txt", Type: "text/plain", Size: 4}, strings.NewReader("boot"))
			if !errors.Is(err, tt.err) {
				t.Errorf("attaching gives %v, want %v", err, tt.err)
			}
			in.Calm()
			if got := listed(t, tb, []string{id}, time.Time{}); len(got) != tt.kept {
				t.Errorf("%d files are there, want %d", len(got), tt.kept)
			}
		})
	}
	for _, fault := range []string{"hibernation:GET sys_attachment:n=1", "login:GET sys_attachment:n=1", "500-before:GET sys_attachment:n=1"} {
		in := newInstance(t, sim.Options{})
		id := in.Insert("incident", map[string]string{"short_description": "down"})
		file := in.AttachFile("incident", id, "beth.anglin", "page.html", "text/html", []byte("<html>mine</html>"))
		tb := in.as(t, "integration")
		in.fault(t, fault)
		if r, err := tb.OpenAttachment(t.Context(), "attachments", id, file); err == nil {
			content, _ := io.ReadAll(r)
			t.Errorf("%s: it opens as %q", fault, content)
		}
		in.Calm()
		r, err := tb.OpenAttachment(t.Context(), "attachments", id, file)
		if err != nil {
			t.Fatal(err)
		}
		if content, err := io.ReadAll(r); string(content) != "<html>mine</html>" || err != nil {
			t.Errorf("a file that is a web page has the content %q, %v", content, err)
		}
	}
}

func improperFiles(t *testing.T) {
	in := newInstance(t, sim.Options{})
	id := in.Insert("incident", map[string]string{"short_description": "down"})
	for _, table := range []string{"ZZ_YYincident", "invisible.incident"} {
		in.AttachFile(table, id, "beth.anglin", "face.png", "image/png", []byte("x"))
	}
	kept := in.AttachFile("incident", id, "beth.anglin", "shot.png", "image/png", []byte("x"))
	tb := in.as(t, "integration")
	got := listed(t, tb, []string{id}, time.Time{})
	if _, there := got[kept]; len(got) != 1 || !there {
		t.Errorf("listed %v, want the screenshot alone", got)
	}
	// A record that is reached through a table which its own extends has its files under its own class.
	if _, err := collection(t, login(in.url, "integration"), "task").Attach(t.Context(), "attachments", id, connectors.Attachment{Name: "a.txt", Type: "text/plain", Size: 1}, strings.NewReader("a")); err != nil {
		t.Fatal(err)
	}
	for _, a := range in.Find("sys_attachment", "file_name", "a.txt") {
		if a["table_name"] != "incident" {
			t.Errorf("the file belongs to %s, and forms of incidents do not show it", a["table_name"])
		}
	}
}

// TestAFileIsSentAndReadInPieces holds the connector, and the client in front of it, to never having a file in memory.
func TestAFileIsSentAndReadInPieces(t *testing.T) {
	const size = 64 << 20
	got := int64(0)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost:
			n, err := io.Copy(io.Discard, r.Body)
			if got = n; err != nil || r.ContentLength != size {
				t.Errorf("%d of %d bytes arrived: %v", n, r.ContentLength, err)
			}
			w.WriteHeader(http.StatusCreated)
			io.WriteString(w, `{"result":{"sys_id":"0123456789abcdef0123456789abcdef","file_name":"l.bin","content_type":"x/y","size_bytes":"67108864"}}`)
		case strings.HasSuffix(r.URL.Path, "/file"):
			w.Header().Set("X-Attachment-Metadata", "{}")
			io.CopyN(w, zeros{}, size)
		default:
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("X-Total-Count", "1")
			io.WriteString(w, `{"result":[{"sys_id":"d71f7935c0a8016700802b64c67c11c6","sys_class_name":"incident"}]}`)
		}
	}))
	t.Cleanup(srv.Close)
	conn, err := admin(srv.URL).Open(connectors.Env{Name: "prod", HTTP: guard.Client(connectors.Limits{}, nil, nil, nil)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	col, err := conn.Collection(t.Context(), "incident")
	if err != nil {
		t.Fatal(err)
	}
	a := col.(connectors.Attacher)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := a.Attach(t.Context(), "attachments", "d71f7935c0a8016700802b64c67c11c6", connectors.Attachment{Name: "l.bin", Size: size}, &zeroFile{size: size}); err != nil || got != size {
		t.Fatalf("%d bytes, %v", got, err)
	}
	r, err := a.OpenAttachment(t.Context(), "attachments", "d71f7935c0a8016700802b64c67c11c6", "0123456789abcdef0123456789abcdef")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, r); n != size || err != nil {
		t.Errorf("%d bytes came back, %v", n, err)
	}
	r.Close()
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > size/4 {
		t.Errorf("%d MiB were allocated on the way of two files of %d MiB", used>>20, size>>20)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

// A zeroFile is a file of zeros.
type zeroFile struct{ at, size int64 }

func (z *zeroFile) Read(b []byte) (int, error) {
	n := min(int64(len(b)), z.size-z.at)
	if n == 0 {
		return 0, io.EOF
	}
	z.at += n
	return int(n), nil
}

func (z *zeroFile) Seek(to int64, _ int) (int64, error) {
	z.at = to
	return to, nil
}
