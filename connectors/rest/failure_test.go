package rest_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// all is every ability at once.
type all interface {
	connectors.Collection
	connectors.Finder
	connectors.Creator
	connectors.Updater
	connectors.Deleter
	connectors.Commenter
	connectors.Describer
}

func opened(t *testing.T, m *model) all {
	t.Helper()
	return collection(t, m.describes(m.start(t)), "items").(all)
}

// on answers requests of one method below a path in a way of its own.
func (m *model) on(method, path string, answer func(w http.ResponseWriter)) {
	m.before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != method || !strings.HasPrefix(r.URL.Path, path) {
			return false
		}
		answer(w)
		return true
	}
}

func says(status int, body string, headers ...string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// breaks cuts the connection in the middle of an answer.
func breaks(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{\"items\":[{\"id\":1,"))
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
}

func TestWhatAnAnswerMeans(t *testing.T) {
	scan := func(ctx context.Context, c all) error {
		_, err := c.Scan(ctx, connectors.Query{Paths: []string{"title"}}, func(record.Record) error { return nil })
		return err
	}
	update := func(ctx context.Context, c all) error {
		_, err := c.Update(ctx, []string{"title"}, "1", "", record.Fields{"title": record.OfText("new")})
		return err
	}
	create := func(ctx context.Context, c all) error {
		_, err := c.Create(ctx, []string{"title"}, sample(5))
		return err
	}
	read := func(ctx context.Context, c all) error {
		return c.Read(ctx, []string{"title"}, []string{"1"}, func(record.Record) error { return nil })
	}
	for _, tt := range []struct {
		name         string
		method, path string
		answer       func(http.ResponseWriter)
		do           func(context.Context, all) error
		kind         error
		says, hint   string
		wait         time.Duration
	}{
		{"a list with a web page for an answer", "GET", "/api/items", says(200, "<html><title>Portal</title>", "Content-Type", "text/html"), scan, connectors.ErrProtocol, "web page", "proxies", 0},
		{"a list with a log-in page for an answer", "GET", "/api/items", says(200, `<html><input type="password">`, "Content-Type", "text/html"), scan, connectors.ErrAuth, "log-in page", "credentials", 0},
		{"a list that is cut off", "GET", "/api/items", breaks, scan, connectors.ErrProtocol, "cut off", "nothing of it is used", 0},
		{"half of the JSON of a list", "GET", "/api/items", says(200, `{"items":[{"id":1}`), scan, connectors.ErrProtocol, "not JSON", "", 0},
		{"two JSON values in one answer", "GET", "/api/items", says(200, `{"items":[]} {"items":[]}`), scan, connectors.ErrProtocol, "not JSON", "", 0},
		{"an answer without the list", "GET", "/api/items", says(200, `{"data":[]}`), scan, connectors.ErrProtocol, "no list of records", "list block", 0},
		{"a record without a key", "GET", "/api/items", says(200, `{"items":[{"title":"x"}],"total":1}`), scan, connectors.ErrProtocol, "no key", "", 0},
		{"an empty answer to a list", "GET", "/api/items", says(200, ""), scan, connectors.ErrProtocol, "no list of records", "", 0},
		{"a key that is not taken", "GET", "/api/items", says(401, `{"errors":["bad key"]}`), scan, connectors.ErrAuth, "bad key", "credentials", 0},
		{"a user without rights", "GET", "/api/items", says(403, `{"errors":["not you"]}`), scan, connectors.ErrDenied, "not you", "rights", 0},
		{"a limit that says when", "GET", "/api/items", says(429, `{"message":"slow down"}`, "Retry-After", "17"), scan, connectors.ErrBusy, "slow down", "limits.rate", 17 * time.Second},
		{"a limit that says nothing", "GET", "/api/items", says(429, ""), scan, connectors.ErrBusy, "429", "limits.rate", 0},
		{"a limit in the manner of 403", "GET", "/api/items", says(403, `{"message":"limit"}`, "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "40"), scan, connectors.ErrBusy, "limit", "limits.rate", 40 * time.Second},
		{"a list that is not where it should be", "GET", "/api/items", says(404, `{}`), scan, connectors.ErrConfig, "404", "/api/items", 0},
		{"a query that is not understood", "GET", "/api/items", says(400, `{"errors":["unknown filter"]}`), scan, connectors.ErrConfig, "unknown filter", "query", 0},
		{"a redirect to a log-in", "GET", "/api/items", says(302, "", "Location", "/login?back=1"), scan, connectors.ErrAuth, "log-in page", "", 0},
		{"a redirect elsewhere", "GET", "/api/items", says(301, "", "Location", "https://new.test/api"), scan, connectors.ErrConfig, "https://new.test/api", "url", 0},
		{"a broken server for a list", "GET", "/api/items", says(500, "oops"), scan, connectors.ErrBusy, "oops", "", 0},
		{"a record that is not there", "GET", "/api/items/1", says(404, ""), read, nil, "", "", 0},
		{"a read of a broken server", "GET", "/api/items/1", says(503, ""), read, connectors.ErrBusy, "", "", 0},
		{"values that are refused", "PATCH", "/api/items", says(422, `{"errors":["Title is too long","Weight is no number"]}`), update, connectors.ErrRefused, "Title is too long; Weight is no number", "", 0},
		{"values that are refused without a word", "PATCH", "/api/items", says(422, `{"errors":[]}`), update, connectors.ErrRefused, "", "", 0},
		{"values that are refused one by one", "PATCH", "/api/items", says(400, `{"errors":{"summary":"is required"}}`), update, connectors.ErrRefused, "summary: is required", "", 0},
		{"a write that a broken server took", "PATCH", "/api/items", says(500, ""), update, connectors.ErrOutcome, "", "", 0},
		{"a write whose answer is cut off", "PATCH", "/api/items", breaks, update, connectors.ErrOutcome, "cut off", "", 0},
		{"a create whose answer is cut off", "POST", "/api/items", breaks, create, connectors.ErrOutcome, "cut off", "", 0},
		{"a create that does not say what was made", "POST", "/api/items", says(201, `{"messages":["done"]}`), create, connectors.ErrOutcome, "which record was made", "", 0},
		{"a create that is limited", "POST", "/api/items", says(429, ``), create, connectors.ErrBusy, "", "", 0},
		{"a write of what is not there", "PATCH", "/api/items", says(404, `{}`), update, connectors.ErrNotFound, "", "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newModel()
			m.paging = "offset"
			m.add(sample(1))
			c := opened(t, m)
			m.on(tt.method, tt.path, tt.answer)
			err := tt.do(t.Context(), c)
			if tt.kind == nil {
				if err != nil {
					t.Fatalf("the error is %v, want none", err)
				}
				return
			}
			if !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.says) || !strings.Contains(connectors.Hint(err), tt.hint) {
				t.Fatalf("the error is %v (hint %q), want one of kind %v that says %q with a hint of %q", err, connectors.Hint(err), tt.kind, tt.says, tt.hint)
			}
			if e, _ := errors.AsType[*connectors.Error](err); e.RetryAfter != tt.wait {
				t.Errorf("it may be tried again after %v, want %v", e.RetryAfter, tt.wait)
			}
			if strings.Contains(err.Error()+connectors.Hint(err), key) {
				t.Error("the error shows the key")
			}
			writes := 0
			for _, r := range m.requests() {
				if !strings.HasPrefix(r, "GET") {
					writes++
				}
			}
			if writes > 1 {
				t.Errorf("%d writes were sent", writes)
			}
		})
	}
}

func TestAWrongKeyIsNotAnEmptyTool(t *testing.T) {
	m := newModel()
	m.openTo = true
	m.add(sample(1))
	c := collection(t, strings.Replace(m.describes(m.start(t)), key, "wrong", 1), "items").(all)
	_, err := c.Scan(t.Context(), connectors.Query{Paths: []string{"title"}}, func(record.Record) error { return nil })
	if !errors.Is(err, connectors.ErrAuth) {
		t.Errorf("a scan with a wrong key gives %v, want ErrAuth", err)
	}
}

func TestAKeyThatEndsInMidRunMakesNothingGone(t *testing.T) {
	m := newModel()
	m.openTo, m.silent = true, true // records are read through the list
	id := m.add(sample(1))
	c := opened(t, m)
	m.before = func(w http.ResponseWriter, r *http.Request) bool {
		r.Header.Set("X-Key", "ended")
		return false
	}
	err := c.Read(t.Context(), []string{"title"}, []string{id}, func(record.Record) error { return nil })
	if !errors.Is(err, connectors.ErrAuth) {
		t.Errorf("a read that finds nothing with a key that has ended gives %v, want ErrAuth", err)
	}
}

func TestErrorsBehindASuccess(t *testing.T) {
	m := newModel()
	m.add(sample(1))
	src := strings.Replace(m.describes(m.start(t)), `error {
  message = "body.errors"
}`, "error {\n when = \"body.ok == false\"\n message = \"body.why\"\n}", 1)
	c := collection(t, src, "items").(all)
	m.on("PATCH", "/api/items", says(200, `{"ok":false,"why":"locked by rule 7"}`))
	_, err := c.Update(t.Context(), []string{"title"}, "1", "", record.Fields{"title": record.OfText("x")})
	if !errors.Is(err, connectors.ErrRefused) || !strings.Contains(err.Error(), "locked by rule 7") {
		t.Errorf("a write refused behind a 200 gives %v, want ErrRefused with its reason", err)
	}
	m.on("GET", "/api/items", says(200, `{"ok":false,"why":"index is rebuilt","items":[]}`))
	_, err = c.Scan(t.Context(), connectors.Query{Paths: []string{"title"}}, func(record.Record) error { return nil })
	if !errors.Is(err, connectors.ErrProtocol) || !strings.Contains(err.Error(), "index is rebuilt") {
		t.Errorf("a list with an error inside gives %v, want ErrProtocol", err)
	}
}

func TestADeleteThatFailsOverWhatIsGoneIsDone(t *testing.T) {
	m := newModel()
	id := m.add(sample(1))
	other := m.add(sample(2))
	c := opened(t, m)
	m.on("DELETE", "/api/items", says(500, ""))
	if err := c.Delete(t.Context(), other, ""); !errors.Is(err, connectors.ErrOutcome) {
		t.Errorf("a failed delete of what is there gives %v, want ErrOutcome", err)
	}
	m.remove(id)
	if err := c.Delete(t.Context(), id, ""); err != nil {
		t.Errorf("a failed delete of what is gone gives %v", err)
	}
}

func TestNothingListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := "http://" + l.Addr().String()
	l.Close()
	c := collection(t, newModel().describes(at), "items").(all)
	if _, err := c.Create(t.Context(), []string{"title"}, sample(1)); !errors.Is(err, connectors.ErrOffline) || !strings.Contains(connectors.Hint(err), "nothing listens") {
		t.Errorf("a write to nobody gives %v (%s), want ErrOffline: nothing was sent", err, connectors.Hint(err))
	}
}

func TestAWriteThatIsNeverAnsweredMayHaveHappened(t *testing.T) {
	m := newModel()
	m.add(sample(1))
	c := opened(t, m)
	ctx, cancel := context.WithCancel(t.Context())
	m.on("PATCH", "/api/items", func(http.ResponseWriter) { cancel() })
	_, err := c.Update(ctx, []string{"title"}, "1", "", record.Fields{"title": record.OfText("x")})
	if !errors.Is(err, connectors.ErrOutcome) {
		t.Errorf("the error is %v, want ErrOutcome", err)
	}
}

// A list changes while its pages are read: what left makes room, and the next page begins behind what came up.
func TestNoRecordSlipsThroughWhenTheListMoves(t *testing.T) {
	for name, disturb := range map[string]func(m *model, page int){
		"because records before it are deleted": func(m *model, page int) {
			newest := 0
			for id := range m.items {
				newest = max(newest, id)
			}
			for i := range 3 * min(page, 1) {
				delete(m.items, newest-i)
			}
		},
		"because one changes": func(m *model, page int) {
			if page == 1 {
				m.now = m.now.Add(time.Minute)
				m.change(2, map[string]any{"title": "moved"})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newModel()
			m.paging = "offset"
			for i := range 25 {
				m.add(sample(i))
			}
			c := opened(t, m)
			pages := 0
			m.before = func(_ http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/api/items" {
					disturb(m, pages)
					pages++
				}
				return false
			}
			seen := map[string]bool{}
			if _, err := c.Scan(t.Context(), connectors.Query{Paths: []string{"title"}}, func(r record.Record) error { seen[r.Key] = true; return nil }); err != nil {
				t.Fatal(err)
			}
			for id := range m.items {
				if k := record.OfInt(int64(id)).Plain(); !seen[k] && !(strings.Contains(name, "changes") && id == 2) {
					t.Errorf("record %s was not delivered", k)
				}
			}
		})
	}
}

func TestAListThatDoesNotPageIsNotReadForEver(t *testing.T) {
	for _, paging := range []string{"offset", "number"} {
		m := newModel()
		for i := range 5 {
			m.add(sample(i))
		}
		src := m.describes(m.start(t))
		page := "page \"" + paging + "\" {\nsize = 5\n}"
		c := collection(t, strings.Replace(src, `items = "body.items"`, "items = \"body.items\"\n"+page, 1), "items").(all)
		n := 0
		_, err := c.Scan(t.Context(), connectors.Query{Paths: []string{"title"}}, func(record.Record) error { n++; return nil })
		if !errors.Is(err, connectors.ErrProtocol) || !strings.Contains(err.Error(), "do not go on") {
			t.Errorf("%s: the scan gives %v after %d records, want ErrProtocol", paging, err, n)
		}
	}
}

func TestThePagesStayOnTheServerOfTheConnection(t *testing.T) {
	m := newModel()
	m.paging = "link"
	for i := range 20 {
		m.add(sample(i))
	}
	c := opened(t, m)
	m.before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/api/items" {
			return false
		}
		says(200, `{"items":[{"id":1,"updated":"2026-03-01T12:00:00Z"}],"total":9}`, "Link", `<http://elsewhere.test/other?page=2>; rel="next"`)(w)
		return true
	}
	_, err := c.Scan(t.Context(), connectors.Query{Paths: []string{"title"}}, func(record.Record) error { return nil })
	if !errors.Is(err, connectors.ErrProtocol) || !strings.Contains(err.Error(), "elsewhere.test") {
		t.Errorf("a page at another server gives %v, want ErrProtocol that names it", err)
	}
}
