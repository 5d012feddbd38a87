package servicenow_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/connectortest"
	"github.com/fieldsync/fieldsync/connectors/servicenow"
	"github.com/fieldsync/fieldsync/connectors/servicenow/sim"
	"github.com/fieldsync/fieldsync/engine/record"
)

var (
	_ connectors.Config     = (*servicenow.Settings)(nil)
	_ connectors.Connection = (*servicenow.Connection)(nil)
	_ connectors.Checker    = (*servicenow.Connection)(nil)
	_ connectors.Collection = (*servicenow.Table)(nil)
	_ connectors.Describer  = (*servicenow.Table)(nil)
	_ connectors.Finder     = (*servicenow.Table)(nil)
	_ connectors.Scoper     = (*servicenow.Table)(nil)
	_ connectors.Creator    = (*servicenow.Table)(nil)
	_ connectors.Updater    = (*servicenow.Table)(nil)
	_ connectors.Batcher    = (*servicenow.Table)(nil)
	_ connectors.Deleter    = (*servicenow.Table)(nil)
	_ connectors.Requirer   = (*servicenow.Table)(nil)
	_ connectors.Commenter  = (*servicenow.Table)(nil)
	_ connectors.Chronicler = (*servicenow.Table)(nil)
)

// A clock that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// An instance is a simulator, what it serves, and a way to connect.
type instance struct {
	*sim.Server
	clock *clock
	url   string
}

func newInstance(t testing.TB, o sim.Options) *instance {
	t.Helper()
	in := &instance{clock: newClock()}
	o.Now = in.clock.Now
	in.Server = sim.New(o)
	srv := httptest.NewServer(in.Server)
	t.Cleanup(srv.Close)
	in.url = srv.URL
	return in
}

// admin is the simulator's administrator, who may also delete.
func admin(url string) *servicenow.Settings { return login(url, "admin") }

// login makes settings for one of the simulator's users.
func login(url, user string) *servicenow.Settings {
	s := &servicenow.Settings{URL: url, Auth: servicenow.Auth{Kind: "basic", Username: user, Password: "wrong"}}
	for _, u := range sim.DefaultUsers() {
		if u.Login == user {
			s.Auth.Password = connectors.Secret(u.Password)
		}
	}
	return s
}

func open(t testing.TB, s *servicenow.Settings) connectors.Connection {
	t.Helper()
	conn, err := s.Open(connectors.Env{Name: "prod", HTTP: &http.Client{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func collection(t testing.TB, s *servicenow.Settings, name string) *servicenow.Table {
	t.Helper()
	c, err := open(t, s).Collection(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return c.(*servicenow.Table)
}

func raw(f record.Fields) map[string]string {
	m := map[string]string{}
	for p, v := range f {
		m[p] = v.Plain()
	}
	return m
}

func TestConformance(t *testing.T) {
	conformance(t, sim.Options{}, func(in *instance) *servicenow.Settings { return admin(in.url) })
}

// conformance runs the suite on the incidents of an instance, through the connection that settings make.
func conformance(t *testing.T, o sim.Options, settings func(in *instance) *servicenow.Settings) {
	connectortest.Run(t, connectortest.Suite{
		Paths: []string{"short_description", "sys_id", "correlation_id", "urgency", "caller_id", "opened_at"},
		Sample: func(i int) record.Fields {
			return record.Fields{
				"short_description": record.OfText("line " + strconv.Itoa(i) + " is down"),
				"correlation_id":    record.OfText("T-" + strconv.Itoa(i)),
				"urgency":           record.OfText(strconv.Itoa(1 + i%3)),
			}
		},
		Marker: "correlation_id", Text: "short_description", Thread: "work_notes", Files: "attachments", Incremental: true, Chronicle: true, Split: true, Scope: "urgency=1^ORurgency=2^NQshort_descriptionLIKEline 2 ",
		Open: func(t *testing.T) connectortest.System {
			in := newInstance(t, o)
			s := settings(in)
			s.PageSize = 7 // several pages even for small tables
			conn := in.connect(t, s, nil)
			coll, err := conn.Collection(t.Context(), "incident")
			if err != nil {
				t.Fatal(err)
			}
			return connectortest.System{
				Collection: coll, Connection: conn,
				Add: func(_ *testing.T, f record.Fields) string { return in.Insert("incident", raw(f)) },
				Edit: func(t *testing.T, key string, f record.Fields) {
					if err := in.Update("incident", key, "beth.anglin", raw(f)); err != nil {
						t.Fatal(err)
					}
				},
				Remove: func(_ *testing.T, key string) { in.Delete("incident", key) },
				Pass:   func(_ *testing.T, d time.Duration) { in.clock.Pass(d) },
			}
		},
	})
}
