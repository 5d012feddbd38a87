package rest_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A heard answers requests in one way and keeps them.
type heard struct {
	answer func(w http.ResponseWriter, r *http.Request)

	mu   sync.Mutex
	seen []*http.Request
}

func (h *heard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen = append(h.seen, r)
	h.answer(w, r)
}

func hear(t *testing.T, answer func(w http.ResponseWriter, r *http.Request)) (*heard, string) {
	t.Helper()
	h := &heard{answer: answer}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return h, srv.URL
}

// things is a description of the least, with more in the connection and in the collection.
func things(at, connection, more string) string {
	return fmt.Sprintf("url = %q\n%s\ncollection \"things\" {\nkey = \"item.id\"\nmodified = \"item.at\"\nlist {\npath = \"/things\"\nitems = \"body\"\n}\n%s\n}\n", at, connection, more)
}

func TestEachLogInPutsItsCredentialsWhereTheToolLooks(t *testing.T) {
	for _, tt := range []struct {
		name, auth string
		good       func(r *http.Request) bool
	}{
		{"a header", "auth \"header\" {\nname = \"X-Token\"\nkey = \"s3cret\"\n}", func(r *http.Request) bool { return r.Header.Get("X-Token") == "s3cret" }},
		{"a header with a word before the key", "auth \"header\" {\nname = \"Authorization\"\nprefix = \"Token token=\"\nkey = \"s3cret\"\n}", func(r *http.Request) bool { return r.Header.Get("Authorization") == "Token token=s3cret" }},
		{"a query parameter", "auth \"query\" {\nname = \"api_key\"\nkey = \"s3cret\"\n}", func(r *http.Request) bool {
			return r.URL.Query().Get("api_key") == "s3cret" && r.URL.Query().Get("state") == "open"
		}},
		{"user and password", "auth \"basic\" {\nusername = \"u\"\npassword = \"s3cret\"\n}", func(r *http.Request) bool { u, p, _ := r.BasicAuth(); return u == "u" && p == "s3cret" }},
		{"a key in place of the user", "auth \"basic\" {\nkey = \"s3cret\"\npassword = \"X\"\n}", func(r *http.Request) bool { u, p, _ := r.BasicAuth(); return u == "s3cret" && p == "X" }},
		{"a bearer token", "auth \"bearer\" { token = \"s3cret\" }", func(r *http.Request) bool { return r.Header.Get("Authorization") == "Bearer s3cret" }},
		{"nothing", "", func(r *http.Request) bool { return r.Header.Get("Authorization") == "" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, at := hear(t, func(w http.ResponseWriter, r *http.Request) {
				if !tt.good(r) {
					w.WriteHeader(401)
					return
				}
				fmt.Fprint(w, `[{"id": 1}]`)
			})
			var log bytes.Buffer
			cfg, _, diags := configured(t, things(at, tt.auth, "read { path = \"/things/{key}\" }"))
			if diags.HasErrors() {
				t.Fatal(diags)
			}
			conn, err := cfg.Open(connectors.Env{Name: "tool", HTTP: &http.Client{}, Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			col, err := conn.Collection(t.Context(), "things")
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			if _, err := col.Scan(t.Context(), connectors.Query{Paths: []string{"id"}, Native: "state=open"}, func(record.Record) error { n++; return nil }); err != nil || n != 1 {
				t.Errorf("the scan gives %d records and %v", n, err)
			}
			if log.Len() == 0 || strings.Contains(log.String(), "s3cret") {
				t.Errorf("the log is empty, or shows the key:\n%s", &log)
			}
		})
	}
}

func TestSinceIsWrittenAsTheToolReadsIt(t *testing.T) {
	since := time.Date(2026, 3, 1, 12, 0, 0, 250e6, time.UTC)
	for _, tt := range []struct{ name, changes, want string }{
		{"as it is usual, a minute back", "", "2026-03-01T11:59:00Z"},
		{"as far back as is said", "overlap = \"1h\"", "2026-03-01T11:00:00Z"},
		{"in another layout", "time = \"2006-01-02 15:04\"\noverlap = \"0s\"", "2026-03-01 12:00"},
		{"in another zone", "time = \"2006-01-02 15:04\"\noverlap = \"0s\"\nzone = \"Europe/Brussels\"", "2026-03-01 13:00"},
		{"in seconds", "time = \"unix\"\noverlap = \"0s\"", "1772366400"},
		{"in milliseconds", "time = \"unix_ms\"\noverlap = \"0s\"", "1772366400250"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, at := hear(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "[]") })
			c := collection(t, things(at, "", "read { path = \"/things/{key}\" }\nchanges {\nquery = { after = \">={since}\" }\n"+tt.changes+"\n}"), "things")
			if _, err := c.Scan(t.Context(), connectors.Query{Paths: []string{"id"}, Since: since.Format(time.RFC3339Nano)}, func(record.Record) error { return nil }); err != nil {
				t.Fatal(err)
			}
			if got := h.seen[0].URL.Query().Get("after"); got != ">="+tt.want {
				t.Errorf("it was asked for what changed after %q, want %q", got, tt.want)
			}
		})
	}
}

func TestTimesAreReadInTheWaysThatToolsWriteThem(t *testing.T) {
	want := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, at := range []string{
		`"2026-03-01T12:00:00Z"`, `"2026-03-01T13:00:00+01:00"`, `"2026-03-01T13:00:00.000+0100"`, `"2026-03-01 12:00:00"`, `"2026-03-01 13:00:00 +0100"`, `"2026-03-01 12:00:00 UTC"`,
		`1772366400`, `1772366400000`, `1772366400.0`,
	} {
		t.Run(at, func(t *testing.T) {
			_, url := hear(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, `[{"id": 1, "at": %s}]`, at) })
			c := collection(t, things(url, "", "read { path = \"/things/{key}\" }\nfield \"at\" { type = \"time\" }"), "things")
			if _, err := c.Scan(t.Context(), connectors.Query{Paths: []string{"at"}}, func(r record.Record) error {
				if !r.Modified.Equal(want) || !r.Values[0].Time().Equal(want) {
					t.Errorf("the stamp is %v, the field %s", r.Modified, r.Values[0])
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestKeysOfAnyShapeComeBackInAddresses(t *testing.T) {
	for _, key := range []string{"7", "HD-0007", "a b", "a/b", "ü?&#%", "00000000-0000-0000-0000-000000000007"} {
		t.Run(key, func(t *testing.T) {
			h, at := hear(t, func(w http.ResponseWriter, r *http.Request) {
				name, err := url.PathUnescape(strings.TrimPrefix(r.URL.EscapedPath(), "/things/"))
				if err != nil {
					t.Error(err)
				}
				fmt.Fprintf(w, `{"id": %q}`, name)
			})
			c := collection(t, things(at, "", "read { path = \"/things/{key}\" }"), "things")
			var got string
			if err := c.Read(t.Context(), []string{"id"}, []string{key}, func(r record.Record) error { got = r.Key; return nil }); err != nil || got != key {
				t.Errorf("the record has the key %q and %v; it was asked for at %s", got, err, h.seen[0].URL.EscapedPath())
			}
		})
	}
}

func TestManyKeysGoIntoFewRequests(t *testing.T) {
	var keys []string
	for i := range 250 {
		keys = append(keys, fmt.Sprintf("key-%03d-%s", i, strings.Repeat("x", 60)))
	}
	for _, tt := range []struct {
		name, many string
		most       int // keys a request
		first      string
	}{
		{"as many as the description allows", "path = \"/many\"\nquery = { ids = \"{keys}\" }\nitems = \"body\"\nmax = 20", 20, keys[0] + "," + keys[1] + ","},
		{"as many as fit into an address", "path = \"/many\"\nquery = { ids = \"{keys}\" }\nitems = \"body\"\nmax = 1000", 90, keys[0] + "," + keys[1] + ","},
		{"each in a query language", "path = \"/many\"\nquery = { ids = \"{keys}\" }\nitems = \"body\"\neach = \"id = {quoted}\"\nseparator = \" OR \"\nmax = 30", 30, fmt.Sprintf("id = %q OR id = %q OR ", keys[0], keys[1])},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, at := hear(t, func(w http.ResponseWriter, r *http.Request) {
				var items []string
				for _, k := range keys {
					if strings.Contains(r.URL.Query().Get("ids"), k) {
						items = append(items, fmt.Sprintf(`{"id": %q}`, k))
					}
				}
				fmt.Fprintf(w, "[%s]", strings.Join(items, ","))
			})
			c := collection(t, things(at, "", "read_many {\n"+tt.many+"\n}"), "things")
			got := map[string]bool{}
			if err := c.Read(t.Context(), []string{"id"}, keys, func(r record.Record) error { got[r.Key] = true; return nil }); err != nil || len(got) != len(keys) {
				t.Errorf("%d records of %d, and %v", len(got), len(keys), err)
			}
			if n := len(h.seen); n < len(keys)/tt.most || n > len(keys)/tt.most+2 {
				t.Errorf("it took %d requests", n)
			}
			if !strings.HasPrefix(h.seen[0].URL.Query().Get("ids"), tt.first) {
				t.Errorf("the first one asks for %.120s", h.seen[0].URL.Query().Get("ids"))
			}
			for _, r := range h.seen {
				if len(r.RequestURI) > 8000 {
					t.Errorf("an address has %d bytes", len(r.RequestURI))
				}
			}
		})
	}
}

func TestALimitSaysHowLongToWait(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		name, header, value string
		least, most         time.Duration
	}{
		{"in seconds", "Retry-After", "17", 17 * time.Second, 17 * time.Second},
		{"until a time", "Retry-After", now.Add(time.Minute).UTC().Format(http.TimeFormat), 50 * time.Second, time.Minute},
		{"by the draft", "RateLimit-Reset", "9", 9 * time.Second, 9 * time.Second},
		{"until an instant", "X-RateLimit-Reset", fmt.Sprint(now.Add(time.Minute).Unix()), 50 * time.Second, time.Minute},
		{"in a way that nobody reads", "Retry-After", "soon", 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, at := hear(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set(tt.header, tt.value)
				w.WriteHeader(429)
			})
			c := collection(t, things(at, "", "read { path = \"/things/{key}\" }"), "things")
			_, err := c.Scan(t.Context(), connectors.Query{Paths: []string{"id"}}, func(record.Record) error { return nil })
			e, _ := errors.AsType[*connectors.Error](err)
			if !errors.Is(err, connectors.ErrBusy) || e.RetryAfter < tt.least || e.RetryAfter > tt.most {
				t.Errorf("the error is %v, to be tried again after %v", err, e.RetryAfter)
			}
		})
	}
}

func TestVersionsTellEditsFromOrder(t *testing.T) {
	version := func(t *testing.T, more, item string) string {
		t.Helper()
		_, at := hear(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, "[%s]", item) })
		c := collection(t, things(at, "", "read { path = \"/things/{key}\" }\n"+more), "things")
		var got string
		if _, err := c.Scan(t.Context(), connectors.Query{Paths: []string{"id"}}, func(r record.Record) error { got = r.Version; return nil }); err != nil || got == "" || len(got) > 40 {
			t.Fatalf("the version is %q and %v", got, err)
		}
		return got
	}
	const custom = "named \"custom\" {\nname = \"name\"\nvalue = \"value\"\n}"
	long := `{"id": 1, "text": "` + strings.Repeat("long ", 50)
	for _, tt := range []struct {
		name, more, one, other string
		same                   bool
	}{
		{"a member that changed", "", `{"id": 1, "title": "a"}`, `{"id": 1, "title": "b"}`, false},
		{"members in another order", "", `{"id": 1, "title": "a"}`, `{"title": "a", "id": 1}`, true},
		{"named fields in another order", custom, `{"id": 1, "custom": [{"name": "a", "value": 1}, {"name": "b", "value": 2}]}`, `{"id": 1, "custom": [{"name": "b", "value": 2}, {"name": "a", "value": 1}]}`, true},
		{"another list in another order", "", `{"id": 1, "steps": [1, 2]}`, `{"id": 1, "steps": [2, 1]}`, false},
		{"what the description names, and nothing else", "version = \"item.rev\"", `{"id": 1, "rev": 3, "seen": 7}`, `{"id": 1, "rev": 3, "seen": 8}`, true},
		{"what the description names", "version = \"item.rev\"", `{"id": 1, "rev": 3}`, `{"id": 1, "rev": 4}`, false},
		{"a long text as a version", "version = \"item.text\"", long + `a"}`, long + `b"}`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			one, other := version(t, tt.more, tt.one), version(t, tt.more, tt.other)
			if (one == other) != tt.same {
				t.Errorf("the versions are %s and %s", one, other)
			}
		})
	}
}

func TestAWriteWantsTheTagThatItsDescriptionPromises(t *testing.T) {
	h, at := hear(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"id": "1", "title": "a"}`) })
	c := collection(t, things(at, "", "version = \"item.title\"\nread { path = \"/things/{key}\" }\nupdate {\npath = \"/things/{key}\"\netag = true\n}"), "things")
	_, err := c.(connectors.Updater).Update(t.Context(), []string{"title"}, "1", "a", record.Fields{"title": record.OfText("b")})
	if !errors.Is(err, connectors.ErrRefused) || !strings.Contains(connectors.Hint(err), "etag") {
		t.Errorf("an update without an ETag gives %v (%s), want ErrRefused", err, connectors.Hint(err))
	}
	if slices.ContainsFunc(h.seen, func(r *http.Request) bool { return r.Method != http.MethodGet }) {
		t.Error("it was written all the same")
	}
}

func TestWhatAWriteSends(t *testing.T) {
	for _, tt := range []struct {
		name, more, want string
		f                record.Fields
	}{
		{"each value in its place", "update { path = \"/things/{key}\" }", "PUT /things/1 {\"meta\":{\"site\":\"BRU\"},\"title\":\"b\"}",
			record.Fields{"title": record.OfText("b"), "meta.site": record.OfText("BRU")}},
		{"wrapped, with constants, by another method", "update {\nmethod = \"PATCH\"\npath = \"/things/{key}\"\nquery = { notify = false }\nwrap = \"data.thing\"\nset = { by = \"sync\", tags = [\"a\"] }\n}",
			"PATCH /things/1?notify=false {\"data\":{\"thing\":{\"by\":\"sync\",\"tags\":[\"a\"],\"title\":\"b\"}}}", record.Fields{"title": record.OfText("b")}},
		{"computed, cleared, and in another layout", "update { path = \"/things/{key}\" }\nfield \"prio\" { send = \"'P' + string(value)\" }\nfield \"owner\" { clear = \"nobody\" }\nfield \"due\" {\ntype = \"time\"\nlayout = \"unix_ms\"\n}",
			"PUT /things/1 {\"due\":1772366400000,\"owner\":\"nobody\",\"prio\":\"P2\"}",
			record.Fields{"prio": record.OfInt(2), "owner": record.NullValue, "due": record.OfTime(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))}},
		{"the version that the record shows", "version = \"item.rev\"\nupdate {\npath = \"/things/{key}\"\nquery = { lock = \"{version}\" }\nset = { rev = \"{version}\", note = \"was {version}\" }\n}",
			"PUT /things/1?lock=3 {\"note\":\"was 3\",\"rev\":3,\"title\":\"{version}\"}", record.Fields{"title": record.OfText("{version}")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got string
			_, at := hear(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodGet {
					var b bytes.Buffer
					_, _ = b.ReadFrom(r.Body)
					got = r.Method + " " + r.URL.RequestURI() + " " + b.String()
				}
				fmt.Fprint(w, `{"id": "1", "rev": 3}`)
			})
			c := collection(t, things(at, "", "read { path = \"/things/{key}\" }\n"+tt.more), "things")
			if _, err := c.(connectors.Updater).Update(t.Context(), []string{"id"}, "1", "", tt.f); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("it sends (-want +got):\n%s", diff)
			}
		})
	}
}
