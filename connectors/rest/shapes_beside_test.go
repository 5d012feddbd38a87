package rest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
)

func TestRecordedShapesOfFilesAndEdits(t *testing.T) {
	for system, has := range map[string]struct{ files, edits string }{
		"jira": {"attachments", "comments"}, "zendesk": {"attachments", ""}, "zammad": {"attachments", ""}, "freshservice": {"attachments", ""},
		"github": {"", "comments"}, "gitlab": {"", "notes"},
	} {
		t.Run(system, func(t *testing.T) {
			store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != "" || r.URL.Query().Get("sig") != "1" {
					t.Errorf("%s was asked with credentials, or without its signature", r.URL)
				}
				_, _ = w.Write([]byte("smoke"))
			}))
			defer store.Close()
			raw, err := os.ReadFile("testdata/beside/" + system + ".json")
			if err != nil {
				t.Fatal(err)
			}
			s := shapes[slices.IndexFunc(shapes, func(s shape) bool { return s.system == system })]
			p := &replay{t: t, signed: s.signed}
			srv := httptest.NewServer(p)
			defer srv.Close()
			if err := json.Unmarshal([]byte(strings.NewReplacer("https://store.test", store.URL, "https://acme.test", srv.URL).Replace(string(raw))), &p.exchanges); err != nil {
				t.Fatal(err)
			}
			col := collection(t, fmt.Sprintf("system = %q\nurl = %q\nsettings = { %s }\n%s\n%s\n", s.system, srv.URL, s.settings, s.auth, s.more), s.collection)
			if has.edits != "" {
				editor := col.(connectors.CommentEditor)
				if c, err := editor.EditComment(t.Context(), has.edits, s.key, "501", "on it", "fixed"); err != nil || c.ID != "501" || c.Text != "fixed" {
					t.Errorf("the edited comment is %+v and %v", c, err)
				}
			}
			if has.files != "" {
				filesOf(t, col.(connectors.Attacher), has.files, s.key)
			}
			for _, e := range p.exchanges {
				if !e.used && !strings.HasSuffix(e.Request, "/me") && !strings.HasSuffix(e.Request, "/user") && !strings.HasSuffix(e.Request, "/me.json") {
					t.Errorf("nothing asked for %s %v", e.Request, e.Query)
				}
			}
		})
	}
}

// filesOf lists the one file that there is, opens it, and adds another.
func filesOf(t *testing.T, col connectors.Attacher, path, key string) {
	var list []connectors.Attachment
	if err := col.Attachments(t.Context(), path, []string{key}, time.Time{}, func(_ string, a connectors.Attachment) error { list = append(list, a); return nil }); err != nil || len(list) != 1 {
		t.Fatalf("the files are %+v and %v", list, err)
	}
	if a := list[0]; a.ID != "601" || a.Name != "r.txt" || a.Type != "text/plain" || a.Size != 5 || !a.Time.Equal(time.Date(2026, 2, 1, 9, 30, 0, 0, time.UTC)) {
		t.Errorf("the file is %+v", a)
	}
	r, err := col.OpenAttachment(t.Context(), path, key, "601")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || string(got) != "smoke" {
		t.Errorf("its content is %q and %v", got, err)
	}
	a, err := col.Attach(t.Context(), path, key, connectors.Attachment{Name: "new é.txt", Type: "text/plain", Size: 5}, bytes.NewReader([]byte("fresh")))
	if err != nil || a.ID != "602" || a.Name != "new é.txt" {
		t.Errorf("the added file is %+v and %v", a, err)
	}
}
