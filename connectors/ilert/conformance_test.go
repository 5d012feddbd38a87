package ilert_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/connectortest"
	"github.com/fieldsync/fieldsync/connectors/ilert"
	"github.com/fieldsync/fieldsync/connectors/ilert/sim"
	"github.com/fieldsync/fieldsync/engine/record"
)

var (
	_ connectors.Config     = (*ilert.Settings)(nil)
	_ connectors.Checker    = (*ilert.Connection)(nil)
	_ connectors.Describer  = (*ilert.Collection)(nil)
	_ connectors.Finder     = (*ilert.Collection)(nil)
	_ connectors.Creator    = (*ilert.Collection)(nil)
	_ connectors.Settler    = (*ilert.Collection)(nil)
	_ connectors.Updater    = (*ilert.Collection)(nil)
	_ connectors.Retirer    = (*ilert.Collection)(nil)
	_ connectors.Counter    = (*ilert.Collection)(nil)
	_ connectors.Commenter  = (*ilert.Collection)(nil)
	_ connectors.Collection = (*ilert.Collection)(nil)
)

const tickets = 310456 // the source that the tests' events go to

// A clock that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

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

// direct is a connection to an account without a network, so that it works in a bubble of synctest, too.
type direct struct{ account http.Handler }

func (d direct) RoundTrip(r *http.Request) (res *http.Response, err error) {
	defer func() {
		if p := recover(); p != nil {
			res, err = nil, errors.Join(io.ErrUnexpectedEOF, r.Context().Err())
			if p != http.ErrAbortHandler {
				panic(p)
			}
		}
	}()
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	d.account.ServeHTTP(w, r)
	return w.Result(), nil
}

// settings are those of a connection with two collections: everything, and the tickets that may be added to.
func settings() *ilert.Settings {
	return &ilert.Settings{
		URL: "http://127.0.0.1/api", Auth: ilert.Auth{Kind: "bearer", Token: "il1api-integration"},
		Collections: []ilert.CollectionSettings{{Name: "tickets", Sources: []string{"Tickets"}, IntegrationKey: "il1tickets"}},
	}
}

// account starts a simulator with switches.
func account(t testing.TB, now func() time.Time, switches ...string) *sim.Server {
	t.Helper()
	s := sim.New(sim.Options{Now: now})
	for _, sw := range switches {
		if err := s.Switch(sw); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func connect(t testing.TB, account http.Handler, s *ilert.Settings) connectors.Connection {
	t.Helper()
	conn, err := s.Open(connectors.Env{Name: "ops", HTTP: &http.Client{Transport: direct{account}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func collection(t testing.TB, account http.Handler, s *ilert.Settings, name string) *ilert.Collection {
	t.Helper()
	c, err := connect(t, account, s).Collection(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return c.(*ilert.Collection)
}

func TestConformance(t *testing.T) {
	for name, switches := range map[string][]string{
		"newest first":          {"rate=off"},
		"oldest first, delayed": {"rate=off", "order=oldest", "event-delay=150ms", "event-body=on"},
	} {
		t.Run(name, func(t *testing.T) { conformance(t, switches) })
	}
}

func conformance(t *testing.T, switches []string) {
	connectortest.Run(t, connectortest.Suite{
		Paths: []string{"summary", "id", "alertKey", "priority", "status", "severity", "reportTime", "alertSource.name", "responders", "labels"},
		Sample: func(i int) record.Fields {
			return record.Fields{
				"summary":  record.OfText("line " + strconv.Itoa(i) + " is down"),
				"alertKey": record.OfText("T-" + strconv.Itoa(i)),
				"priority": record.OfText([]string{"HIGH", "LOW"}[i%2]),
				"severity": record.OfInt(int64(1 + i%5)),
			}
		},
		Marker: "alertKey", Text: "summary", Thread: "comments", Incremental: true,
		Missing:  func(i int) string { return strconv.Itoa(99_000_000 + i) },
		NoUpdate: true, NoDelete: true, // but for the status, see the tests of it
		Open: func(t *testing.T) connectortest.System {
			account := account(t, nil, switches...)
			srv := httptest.NewServer(account)
			t.Cleanup(srv.Close)
			s := settings()
			s.URL, s.PageSize = srv.URL+"/api", 7 // several pages even of few alerts
			conn, err := s.Open(connectors.Env{Name: "ops", HTTP: &http.Client{}})
			if err != nil {
				t.Fatal(err)
			}
			coll, err := conn.Collection(t.Context(), "tickets")
			if err != nil {
				t.Fatal(err)
			}
			id := func(t *testing.T, key string) int64 {
				n, err := strconv.ParseInt(key, 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
			return connectortest.System{
				Collection: coll, Connection: conn,
				Add: func(_ *testing.T, f record.Fields) string {
					return strconv.FormatInt(account.Raise(sim.Alert{Source: tickets, Summary: f["summary"].Text(), Key: f["alertKey"].Text(),
						Priority: f["priority"].Text(), Severity: int(f["severity"].Int())}), 10)
				},
				Edit: func(t *testing.T, key string, f record.Fields) {
					if err := account.Rename(id(t, key), f["summary"].Text()); err != nil {
						t.Fatal(err)
					}
				},
				Remove: func(t *testing.T, key string) { account.Purge(id(t, key)) },
			}
		},
	})
}
