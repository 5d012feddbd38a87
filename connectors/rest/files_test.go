package rest_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/guard"
)

func attach(t *testing.T, c connectors.Attacher, key string, content []byte) (connectors.Attachment, error) {
	t.Helper()
	return c.Attach(t.Context(), "files", key, connectors.Attachment{Name: "a.bin", Type: "image/png", Size: int64(len(content))}, bytes.NewReader(content))
}

func TestWhatAnAnswerAboutAFileMeans(t *testing.T) {
	open := func(c connectors.Attacher, key string) error {
		r, err := c.OpenAttachment(t.Context(), "files", key, "9")
		if err == nil {
			_, err = io.Copy(io.Discard, r)
			r.Close()
		}
		return err
	}
	add := func(c connectors.Attacher, key string) error {
		_, err := attach(t, c, key, []byte("new"))
		return err
	}
	for _, tt := range []struct {
		name, files, method, path string
		answer                    func(http.ResponseWriter)
		do                        func(connectors.Attacher, string) error
		kind                      error
		says                      string
	}{
		{"a page in place of a file", "raw", "GET", "/api/items/1/files/9", says(200, "<html>", "Content-Type", "text/html"), open, connectors.ErrProtocol, "web page"},
		{"a log-in page in place of a file", "raw", "GET", "/api/items/1/files/9", says(200, `<html><input type="password">`, "Content-Type", "text/html"), open, connectors.ErrAuth, "log-in page"},
		{"a file of HTML", "raw", "GET", "/api/items/1/files/9", says(200, "<html>", "Content-Type", "text/html", "Content-Disposition", "attachment"), open, nil, ""},
		{"a file that is cut off", "raw", "GET", "/api/items/1/files/9", says(200, "abc", "Content-Length", "500"), open, io.ErrUnexpectedEOF, ""},
		{"a redirect to another server that the description does not allow", "raw", "GET", "/api/items/1/files/9", says(302, "", "Location", "https://other.test/x"), open, connectors.ErrConfig, "redirected"},
		{"a file that is in no list", "raw", "GET", "/api/items/1/files/9", says(500, "oops"), open, connectors.ErrNotFound, ""},
		{"a file that this user may not open", "raw", "GET", "/api/items/1/files/9", says(403, ""), open, connectors.ErrDenied, ""},
		{"an upload that failed, of which nothing is attached", "token", "POST", "/api/uploads", says(500, "disk full"), add, connectors.ErrBusy, "disk full"},
		{"an upload without a token", "token", "POST", "/api/uploads", says(201, "{}"), add, connectors.ErrBusy, "no token"},
		{"an upload that is refused", "token", "POST", "/api/uploads", says(413, `{"errors":["too large"]}`), add, connectors.ErrRefused, "too large"},
		{"an attachment of which nobody knows", "form", "POST", "/api/items/1/files", says(502, ""), add, connectors.ErrOutcome, ""},
		{"an attachment that is taken and not shown", "raw", "POST", "/api/items/1/files", says(201, "[]"), add, connectors.ErrOutcome, "does not show"},
		{"an attachment that is refused", "inside", "POST", "/api/items/1/files", says(422, `{"errors":["no such type"]}`), add, connectors.ErrRefused, "no such type"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newModel()
			m.files = tt.files
			key := m.add(sample(1))
			c := collection(t, m.describes(m.start(t)), "items").(connectors.Attacher)
			m.on(tt.method, tt.path, tt.answer)
			if err := tt.do(c, key); !errors.Is(err, tt.kind) || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("the error is %v, want one of kind %v that says %q", err, tt.kind, tt.says)
			}
		})
	}
}

// A tool that asks for patience gets the whole body again, read anew from where it stands.
func TestABodyIsSentAgainFromItsBeginning(t *testing.T) {
	for _, files := range []string{"form", "raw", "token", "inside"} {
		t.Run(files, func(t *testing.T) {
			m := newModel()
			m.files = files
			key := m.add(sample(1))
			cfg, _, diags := configured(t, m.describes(m.start(t)))
			if diags.HasErrors() {
				t.Fatal(diags)
			}
			conn, err := cfg.Open(connectors.Env{Name: "x", Log: slog.New(slog.DiscardHandler), HTTP: guard.Client(connectors.Limits{}, nil, nil, nil)})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			col, err := conn.Collection(t.Context(), "items")
			if err != nil {
				t.Fatal(err)
			}
			asked := 0
			m.before = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodPost {
					return false
				}
				if asked++; asked > 1 {
					return false
				}
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("Retry-After", "0")
				w.WriteHeader(http.StatusTooManyRequests)
				return true
			}
			content := bytes.Repeat([]byte{0, 255, 7}, 50_001)
			a, err := attach(t, col.(connectors.Attacher), key, content)
			if err != nil || a.Size != int64(len(content)) || asked < 2 {
				t.Fatalf("the file is %+v after %d requests, and %v", a, asked, err)
			}
			if got := m.kept[1][0].content; !bytes.Equal(got, content) {
				t.Errorf("%d other bytes arrived", len(got))
			}
		})
	}
}

// Where files are at another server, a redirect to it is followed, by guard's client too, and no server inside our own network
// is asked when the tool is outside.
func TestARedirectToTheStoreIsFollowedWithoutCredentials(t *testing.T) {
	m := newModel()
	m.files = "link"
	m.keepsElsewhere(t)
	store := m.store
	url := m.start(t)
	m.store = url // the link is to the tool itself, which sends on
	key := m.add(sample(1))
	for name, client := range map[string]*http.Client{"net/http": {}, "guard": guard.Client(connectors.Limits{}, nil, nil, nil)} {
		t.Run(name, func(t *testing.T) {
			cfg, _, diags := configured(t, m.describes(url))
			if diags.HasErrors() {
				t.Fatal(diags)
			}
			conn, err := cfg.Open(connectors.Env{Name: "x", HTTP: client})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			col, err := conn.Collection(t.Context(), "items")
			if err != nil {
				t.Fatal(err)
			}
			c := col.(connectors.Attacher)
			a, err := attach(t, c, key, []byte("smoke"))
			if err != nil {
				t.Fatal(err)
			}
			m.on("GET", "/blob/", says(302, "", "Location", store+"/blob/"+a.ID+"?sig=1"))
			r, err := c.OpenAttachment(t.Context(), "files", key, a.ID)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if got, err := io.ReadAll(r); string(got) != "smoke" || err != nil {
				t.Errorf("the content is %q and %v", got, err)
			}
		})
	}
}
