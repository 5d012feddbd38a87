package rest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/rest"
	"github.com/fieldsync/fieldsync/engine/record"
)

// An exchange is a request that a tool documents and the shape of its answer. The first that fits is the answer.
type exchange struct {
	Request string            // method and path
	Query   map[string]string // parameters that must be there
	With    map[string]string // headers, too
	Sent    any               // the body, exactly: of a form its fields and files, of anything but JSON the text
	After   string            // only after an exchange with this Then
	Then    string
	Status  int
	Headers map[string]string
	Answer  any
	Content string // in place of Answer: a file

	used bool
}

// A replay answers like a recorded tool, and like nothing else.
type replay struct {
	t         *testing.T
	exchanges []*exchange
	signed    func(*http.Request) bool

	mu   sync.Mutex
	seen []string
}

func (p *replay) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.signed(r) {
		w.WriteHeader(401)
		return
	}
	sent, err := content(r)
	if err != nil {
		p.t.Errorf("%s %s: %v", r.Method, r.URL, err)
	}
	for _, e := range p.exchanges {
		if e.Request != r.Method+" "+r.URL.Path || e.After != "" && !slices.Contains(p.seen, e.After) || !cmp.Equal(e.Sent, sent) {
			continue
		}
		fits := true
		for name, v := range e.Query {
			fits = fits && r.URL.Query().Get(name) == v
		}
		for name, v := range e.With {
			fits = fits && r.Header.Get(name) == v
		}
		if !fits {
			continue
		}
		e.used = true
		if e.Then != "" {
			p.seen = append(p.seen, e.Then)
		}
		w.Header()["Date"] = nil
		w.Header().Set("Content-Type", "application/json")
		for name, v := range e.Headers {
			w.Header().Set(name, v)
		}
		if e.Content != "" {
			w.Header().Set("Content-Type", "text/plain")
		}
		w.WriteHeader(max(e.Status, 200))
		_, _ = w.Write([]byte(e.Content))
		if e.Answer != nil {
			_ = json.NewEncoder(w).Encode(e.Answer)
		}
		return
	}
	body, _ := json.Marshal(sent)
	p.t.Errorf("no exchange fits %s %s with %s", r.Method, r.URL.RequestURI(), body)
	w.WriteHeader(500)
}

// content is the body of a request as exchanges have it.
func content(r *http.Request) (any, error) {
	kind := r.Header.Get("Content-Type")
	switch {
	case kind == "":
		return nil, nil
	case strings.HasPrefix(kind, "application/json"):
		var v any
		err := json.NewDecoder(r.Body).Decode(&v)
		return v, err
	case !strings.HasPrefix(kind, "multipart/form-data"):
		raw, err := io.ReadAll(r.Body)
		return string(raw), err
	}
	if err := r.ParseMultipartForm(1 << 20); err != nil {
		return nil, err
	}
	form := map[string]any{}
	for name, v := range r.MultipartForm.Value {
		form[name] = v[0]
	}
	for name, heads := range r.MultipartForm.File {
		f, err := heads[0].Open()
		if err != nil {
			return nil, err
		}
		raw, err := io.ReadAll(f)
		if err != nil {
			return nil, err
		}
		form[name] = map[string]any{"filename": heads[0].Filename, "type": heads[0].Header.Get("Content-Type"), "content": string(raw)}
	}
	return form, nil
}

// A shape is what the tests ask of a tool that no live one was at hand for.
type shape struct {
	system, settings, auth string
	signed                 func(*http.Request) bool
	more                   string // in the connection
	collection             string
	paths                  []string
	want                   []any // of the record, in the order of paths
	key                    string
	records                int
	marker                 string
	create                 record.Fields
	made                   string
	update, refused        record.Fields
	why                    string
	thread                 string
	check                  bool
}

var shapes = []shape{
	{
		system: "github", settings: `repository = "acme/network"`, auth: `auth "bearer" { token = "tok" }`,
		signed: func(r *http.Request) bool {
			return r.Header.Get("Authorization") == "Bearer tok" && r.Header.Get("X-GitHub-Api-Version") != "" && r.Header.Get("Accept") == "application/vnd.github+json"
		},
		collection: "issues", key: "7", records: 1, marker: "sync_label",
		paths:  []string{"number", "title", "body", "state", "labels", "sync_label", "assignees", "milestone", "author", "closed_at"},
		want:   []any{7, "Router 7 down", "No ping", "open", []any{"bug"}, "T-7", []any{"bob"}, 2, "ann", nil},
		create: record.Fields{"title": record.OfText("Fan failure"), "body": record.OfText("Rack 12"), "labels": record.OfList([]record.Value{record.OfText("hw")}), "sync_label": record.OfText("T-8")},
		made:   "8", update: record.Fields{"state": record.OfText("closed"), "title": record.OfText("Router 7 was down")},
		refused: record.Fields{"state": record.OfText("shut")}, why: "Validation Failed", thread: "comments", check: true,
	},
	{
		system: "gitlab", settings: `project = "55"`, auth: `auth "header" { key = "tok" }`,
		signed:     func(r *http.Request) bool { return r.Header.Get("PRIVATE-TOKEN") == "tok" },
		collection: "issues", key: "7", records: 1, marker: "sync_label",
		paths:  []string{"iid", "title", "description", "state", "labels", "sync_label", "assignee_ids", "milestone_id", "due_date", "author"},
		want:   []any{7, "Router 7 down", "No ping", "opened", []any{"net"}, "T-7", []any{3}, 4, "2026-03-01", "ann"},
		create: record.Fields{"title": record.OfText("Fan failure"), "description": record.OfText("Rack 12"), "labels": record.OfList([]record.Value{record.OfText("hw")}), "sync_label": record.OfText("T-8")},
		made:   "8", update: record.Fields{"state": record.OfText("closed"), "title": record.OfText("Router 7 was down")},
		refused: record.Fields{"state": record.OfText("opened")}, why: "state: is not allowed", thread: "notes", check: true,
	},
	{
		system: "jira", settings: `project = "NET", issue_type = "Incident", time_zone = "Europe/Brussels"`, auth: "auth \"basic\" {\n username = \"u\"\n password = \"p\"\n}",
		signed:     func(r *http.Request) bool { u, p, _ := r.BasicAuth(); return u == "u" && p == "p" },
		collection: "issues", key: "10007", records: 2, marker: "sync_label",
		paths:  []string{"id", "key", "summary", "description", "status", "priority", "assignee", "labels", "sync_label", "due_date", "fields.customfield_10010", "updated"},
		want:   []any{"10007", "NET-7", "Router 7 down", "No ping", "In Progress", "High", "5b-2", []any{"net"}, "T-7", "2026-03-01", "X-1", time.Date(2026, 2, 1, 10, 0, 0, 250e6, time.UTC)},
		create: record.Fields{"summary": record.OfText("Fan failure"), "description": record.OfText("Rack 12"), "labels": record.OfList([]record.Value{record.OfText("hw")}), "sync_label": record.OfText("T-8")},
		made:   "10008", update: record.Fields{"status": record.OfText("Done"), "summary": record.OfText("Router 7 was down")},
		refused: record.Fields{"summary": record.NullValue}, why: "summary: You must specify", thread: "comments", check: true,
	},
	{
		system: "zendesk", auth: "auth \"basic\" {\n username = \"u/token\"\n password = \"p\"\n}",
		signed:     func(r *http.Request) bool { u, p, _ := r.BasicAuth(); return u == "u/token" && p == "p" },
		collection: "tickets", key: "7", records: 2, marker: "external_id",
		paths:  []string{"id", "subject", "description", "external_id", "status", "priority", "assignee_id", "tags", "custom_fields.360001", "custom_fields.360002"},
		want:   []any{7, "Router 7 down", "No ping", "T-7", "open", "high", 361234567890123, []any{"net"}, "BRU", nil},
		create: record.Fields{"subject": record.OfText("Fan failure"), "description": record.OfText("Rack 12"), "external_id": record.OfText("T-8"), "custom_fields.360001": record.OfText("GHE")},
		made:   "8", update: record.Fields{"status": record.OfText("solved"), "subject": record.OfText("Router 7 was down")},
		refused: record.Fields{"status": record.OfText("shut")}, why: "Status: shut is not valid", thread: "comments", check: true,
	},
	{
		system: "zammad", settings: `group = "Network", customer = "noc@acme.test"`, auth: `auth "header" { key = "tok" }`,
		signed:     func(r *http.Request) bool { return r.Header.Get("Authorization") == "Token token=tok" },
		more:       "collection \"tickets\" {\n field \"external_id\" {\n type = \"text\"\n find = { query = \"external_id:{quoted}\" }\n }\n}",
		collection: "tickets", key: "7", records: 2, marker: "external_id",
		paths:  []string{"id", "number", "title", "state", "priority", "owner", "group", "external_id", "pending_time"},
		want:   []any{7, "31007", "Router 7 down", "open", "2 normal", "bob@acme.test", "Network", "T-7", nil},
		create: record.Fields{"title": record.OfText("Fan failure"), "external_id": record.OfText("T-8")},
		made:   "8", update: record.Fields{"state": record.OfText("closed"), "title": record.OfText("Router 7 was down")},
		refused: record.Fields{"title": record.NullValue}, why: "Missing required value", thread: "notes", check: true,
	},
	{
		system: "freshservice", settings: `requester = "noc@acme.test"`, auth: `auth "basic" { key = "k" }`,
		signed:     func(r *http.Request) bool { u, p, _ := r.BasicAuth(); return u == "k" && p == "X" },
		collection: "tickets", key: "7", records: 1, marker: "custom_fields.sync_id",
		paths:  []string{"id", "subject", "description", "status", "priority", "responder_id", "category", "custom_fields.sync_id", "custom_fields.site", "due_by"},
		want:   []any{7, "Router 7 down", "No ping", 2, 3, nil, "Network", "T-7", "BRU", time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)},
		create: record.Fields{"subject": record.OfText("Fan failure"), "description": record.OfText("Rack 12"), "custom_fields.sync_id": record.OfText("T-8")},
		made:   "8", update: record.Fields{"status": record.OfInt(4), "subject": record.OfText("Router 7 was down")},
		refused: record.Fields{"status": record.OfInt(9)}, why: "status: It should be one of these values", thread: "replies",
	},
}

func TestRecordedShapes(t *testing.T) {
	for _, s := range shapes {
		t.Run(s.system, func(t *testing.T) {
			raw, err := os.ReadFile("testdata/" + s.system + ".json")
			if err != nil {
				t.Fatal(err)
			}
			p := &replay{t: t, signed: s.signed}
			if err := json.Unmarshal(raw, &p.exchanges); err != nil {
				t.Fatal(err)
			}
			srv := httptest.NewServer(p)
			defer srv.Close()
			conn := connect(t, fmt.Sprintf("system = %q\nurl = %q\nsettings = { %s }\n%s\n%s\n", s.system, srv.URL, s.settings, s.auth, s.more))
			col, err := conn.Collection(t.Context(), s.collection)
			if err != nil {
				t.Fatal(err)
			}
			shows := func(how string, r record.Record) {
				t.Helper()
				var got []any
				for _, v := range r.Values {
					if !v.Known() {
						t.Errorf("%s: a value is %s", how, v.Kind())
					}
					got = append(got, v.Any())
				}
				if diff := cmp.Diff(s.want, got); diff != "" {
					t.Errorf("%s shows (-want +got):\n%s", how, diff)
				}
			}
			n, version := 0, ""
			w, err := col.Scan(t.Context(), connectors.Query{Paths: s.paths}, func(r record.Record) error {
				if n++; r.Key == s.key {
					shows("the scan", r)
					version = r.Version
				}
				return nil
			})
			if err != nil || n != s.records || version == "" || w.Next != "2026-02-01T09:59:59Z" {
				t.Fatalf("the scan gives %d records, a version %q, the window %+v and %v", n, version, w, err)
			}
			if w, err = col.Scan(t.Context(), connectors.Query{Paths: s.paths, Since: "2026-02-01T10:00:00Z"}, func(record.Record) error { return errors.New("nothing changed") }); err != nil {
				t.Errorf("a scan for changes: %v", err)
			}
			n = 0
			if err := col.Read(t.Context(), s.paths, []string{s.key, "404"}, func(r record.Record) error {
				n++
				shows("the read", r)
				if r.Version != version {
					t.Errorf("the version is %q by read and %q by scan", r.Version, version)
				}
				return nil
			}); err != nil || n != 1 {
				t.Errorf("the read gives %d records and %v", n, err)
			}
			n = 0
			if err := col.(connectors.Finder).Find(t.Context(), s.paths, s.marker, []record.Value{record.OfText("T-7")}, func(r record.Record) error { n++; shows("find", r); return nil }); err != nil || n != 1 {
				t.Errorf("find gives %d records and %v", n, err)
			}
			r, err := col.(connectors.Creator).Create(t.Context(), []string{s.marker}, s.create)
			if err != nil || r.Key != s.made || r.Values[0] != record.OfText("T-8") {
				t.Errorf("create gives %+v and %v", r, err)
			}
			if r, err = col.(connectors.Updater).Update(t.Context(), s.paths, s.key, version, s.update); err != nil || r.Key != s.key {
				t.Errorf("update gives %+v and %v", r, err)
			}
			if _, err = col.(connectors.Updater).Update(t.Context(), s.paths, s.key, "", s.refused); !errors.Is(err, connectors.ErrRefused) || !strings.Contains(err.Error(), s.why) {
				t.Errorf("a wrong value gives %v, want ErrRefused that says %q", err, s.why)
			}
			var said []string
			if err := col.(connectors.CommentReader).Comments(t.Context(), s.thread, []string{s.key}, time.Time{}, func(_ string, c connectors.Comment) error {
				said = append(said, c.ID+" "+c.Text)
				return nil
			}); err != nil || !slices.Equal(said, []string{"501 on it"}) {
				t.Errorf("the comments are %q and %v", said, err)
			}
			if c, err := col.(connectors.Commenter).AddComment(t.Context(), s.thread, s.key, "replaced"); err != nil || c.Text != "replaced" || c.ID == "" || c.Time.IsZero() {
				t.Errorf("the added comment is %+v and %v", c, err)
			}
			if d, err := col.(connectors.Describer).Describe(t.Context()); err != nil || d.Key != s.paths[0] {
				t.Errorf("the description is %+v and %v", d, err)
			}
			found, err := conn.(connectors.Checker).Check(t.Context())
			if err != nil || !found[0].OK || s.check && found[0].What != "log-in" {
				t.Errorf("check finds %+v and %v", found, err)
			}
			for _, e := range p.exchanges {
				if !e.used {
					t.Errorf("nothing asked for %s %v", e.Request, e.Query)
				}
			}
		})
	}
}

// Each shipped description is one of those that the tests hold: the recorded ones above, and two that live servers prove.
func TestEveryShippedDescriptionIsTested(t *testing.T) {
	tested := []string{"redmine", "rt"}
	for _, s := range shapes {
		tested = append(tested, s.system)
	}
	slices.Sort(tested)
	if diff := cmp.Diff(tested, rest.Shipped()); diff != "" {
		t.Errorf("tested and shipped differ:\n%s", diff)
	}
}
