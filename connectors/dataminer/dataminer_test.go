package dataminer_test

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/dataminer"
	"github.com/fieldsync/fieldsync/connectors/dataminer/sim"
)

var (
	_ connectors.Describer = (*dataminer.Alarms)(nil)
	_ connectors.Finder    = (*dataminer.Alarms)(nil)
	_ connectors.Requirer  = (*dataminer.Alarms)(nil)
	_ connectors.Describer = (*dataminer.Objects)(nil)
	_ connectors.Finder    = (*dataminer.Objects)(nil)
	_ connectors.Updater   = (*dataminer.Objects)(nil)
	_ connectors.Requirer  = (*dataminer.Objects)(nil)
	_ connectors.Describer = (*dataminer.Tickets)(nil)
	_ connectors.Finder    = (*dataminer.Tickets)(nil)
	_ connectors.Creator   = (*dataminer.Tickets)(nil)
	_ connectors.Updater   = (*dataminer.Tickets)(nil)
	_ connectors.Deleter   = (*dataminer.Tickets)(nil)
	_ connectors.Entitler  = (*dataminer.Tickets)(nil)
	_ connectors.Requirer  = (*dataminer.Tickets)(nil)
)

// A clock that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)} }

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

// A system is a simulator, its clock and where it is.
type system struct {
	*sim.Server
	clock *clock
	url   string
	http  *http.Client
}

func newSystem(t testing.TB, switches ...string) *system {
	t.Helper()
	s := &system{clock: newClock()}
	s.Server = sim.New(sim.Options{Properties: defined, Now: s.clock.Now})
	for _, text := range switches {
		if err := s.Switch(text); err != nil {
			t.Fatal(err)
		}
	}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	s.url, s.http = srv.URL, srv.Client()
	return s
}

// settings log in to the Web Services.
func (s *system) settings() *dataminer.Settings {
	return &dataminer.Settings{URL: s.url, Auth: &dataminer.Auth{Kind: "basic", Username: sim.User, Password: sim.Password}}
}

func (s *system) open(t testing.TB, settings *dataminer.Settings) connectors.Connection {
	t.Helper()
	conn, err := settings.Open(connectors.Env{Name: "noc", HTTP: s.http, Now: s.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (s *system) collection(t testing.TB, settings *dataminer.Settings, name string) connectors.Collection {
	t.Helper()
	c, err := s.open(t, settings).Collection(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// calls counts the requests of a method.
func (s *system) calls(method string) int {
	n := 0
	for _, r := range s.Journal() {
		if strings.HasSuffix(r.Path, "/"+method) {
			n++
		}
	}
	return n
}

func TestSettings(t *testing.T) {
	auth := func(user, password connectors.Secret) *dataminer.Auth {
		return &dataminer.Auth{Kind: "basic", Username: user.Reveal(), Password: password}
	}
	for _, tt := range []struct {
		name string
		s    dataminer.Settings
		ok   bool
	}{
		{"a log-in", dataminer.Settings{URL: "dma.example.net", Auth: auth("u", "pw")}, true},
		{"a bridge at the connection's own address", dataminer.Settings{URL: "https://dma.example.net", Bridge: &dataminer.Bridge{Token: "t"}}, true},
		{"a bridge elsewhere", dataminer.Settings{Bridge: &dataminer.Bridge{URL: "https://acme.on.dataminer.services/api/custom"}}, true},
		{"both, with kept alarms", dataminer.Settings{URL: "dma", Auth: auth("u", "pw"), Bridge: &dataminer.Bridge{}, Cleared: "kept"}, true},
		{"http on this machine", dataminer.Settings{URL: "http://127.0.0.1:8082", Auth: auth("u", "pw")}, true},
		{"http elsewhere where it is allowed", dataminer.Settings{URL: "http://dma", InsecureHTTP: true, Auth: auth("u", "pw")}, true},
		{"no way in", dataminer.Settings{URL: "https://dma.example.net"}, false},
		{"no address", dataminer.Settings{Auth: auth("u", "pw")}, false},
		{"a bridge without any address", dataminer.Settings{Bridge: &dataminer.Bridge{}}, false},
		{"http elsewhere", dataminer.Settings{URL: "http://dma.example.net", Auth: auth("u", "pw")}, false},
		{"another scheme", dataminer.Settings{URL: "ftp://dma.example.net", Auth: auth("u", "pw")}, false},
		{"a user in the address", dataminer.Settings{URL: "https://me:pw@dma.example.net", Auth: auth("u", "pw")}, false},
		{"a query in the address", dataminer.Settings{URL: "https://dma.example.net?x=1", Auth: auth("u", "pw")}, false},
		{"an unknown log-in", dataminer.Settings{URL: "dma", Auth: &dataminer.Auth{Kind: "api_key", Username: "u", Password: "pw"}}, false},
		{"an empty password", dataminer.Settings{URL: "dma", Auth: auth("u", "")}, false},
		{"a page too large", dataminer.Settings{URL: "dma", Auth: auth("u", "pw"), PageSize: 5000}, false},
		{"a third way with cleared alarms", dataminer.Settings{URL: "dma", Auth: auth("u", "pw"), Cleared: "maybe"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.s.Open(connectors.Env{})
			if (err == nil) != tt.ok || err != nil && (!errors.Is(err, connectors.ErrConfig) || connectors.Hint(err) == "") {
				t.Errorf("the error is %v", err)
			}
			if err != nil && strings.Contains(err.Error(), "pw") {
				t.Errorf("%q shows the password", err)
			}
		})
	}
}

// seen lets a test look at the address of a request, which goes nowhere.
type seen func(*http.Request)

func (f seen) RoundTrip(r *http.Request) (*http.Response, error) {
	f(r)
	return nil, &net.OpError{Op: "dial", Err: errors.New("stop here")} // which nobody tries again
}

func TestTheAddressIsWhatPeoplePaste(t *testing.T) {
	for _, tt := range []struct{ name, url, want string }{
		{"the host", "dma.example.net", "https://dma.example.net/API/v1/Json.asmx/ConnectAppAndInfo"},
		{"the host with its port", "dma.example.net:8443", "https://dma.example.net:8443/API/v1/Json.asmx/ConnectAppAndInfo"},
		{"an address with a port", "https://dma.example.net:8443/", "https://dma.example.net:8443/API/v1/Json.asmx/ConnectAppAndInfo"},
		{"the start page", "https://DMA.example.net/root/", "https://dma.example.net/API/v1/Json.asmx/ConnectAppAndInfo"},
		{"the monitoring app with a view open", "https://dma.example.net/Monitoring/#/view/12", "https://dma.example.net/API/v1/Json.asmx/ConnectAppAndInfo"},
		{"the interface", "https://dma.example.net/API/v1/Json.asmx", "https://dma.example.net/API/v1/Json.asmx/ConnectAppAndInfo"},
		{"its description", "https://dma.example.net/API/v1/json.asmx?WSDL", "https://dma.example.net/API/v1/Json.asmx/ConnectAppAndInfo"},
		{"one of its methods", "https://dma.example.net/api/v1/json.asmx/GetElement", "https://dma.example.net/API/v1/Json.asmx/ConnectAppAndInfo"},
		{"the other interface", "https://dma.example.net/API/v1/soap.asmx", "https://dma.example.net/API/v1/Json.asmx/ConnectAppAndInfo"},
		{"behind a proxy's prefix", "https://gate.example.net/noc/API/v1/Json.asmx", "https://gate.example.net/noc/API/v1/Json.asmx/ConnectAppAndInfo"},
		{"a number", "192.0.2.7", "https://192.0.2.7/API/v1/Json.asmx/ConnectAppAndInfo"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got string
			s := &dataminer.Settings{URL: tt.url, Auth: &dataminer.Auth{Kind: "basic", Username: "u", Password: "pw"}}
			conn, err := s.Open(connectors.Env{HTTP: &http.Client{Transport: seen(func(r *http.Request) {
				got = r.URL.String()
			})}})
			if err != nil {
				t.Fatal(err)
			}
			ctx := t.Context()
			_, _ = conn.(connectors.Checker).Check(ctx)
			if got != tt.want {
				t.Errorf("asks %s, want %s", got, tt.want)
			}
		})
	}
}

func TestWhatTellsOneSystemFromAnother(t *testing.T) {
	shown := func(change func(*dataminer.Settings)) any {
		s := &dataminer.Settings{URL: "https://dma.example.net", Auth: &dataminer.Auth{Kind: "basic", Username: "u", Password: "p"}}
		change(s)
		is, _ := s.Veil()
		return reflect.ValueOf(is).Elem().Interface()
	}
	one := shown(func(*dataminer.Settings) {})
	for name, change := range map[string]func(*dataminer.Settings){
		"the host alone":              func(s *dataminer.Settings) { s.URL = "DMA.example.net:443" },
		"a method's address":          func(s *dataminer.Settings) { s.URL = "https://dma.example.net/API/v1/json.asmx/ConnectApp" },
		"another password":            func(s *dataminer.Settings) { s.Auth.Password = "q" },
		"more records a page":         func(s *dataminer.Settings) { s.PageSize, s.Cleared = 900, "kept" },
		"a bridge on the same system": func(s *dataminer.Settings) { s.Bridge = &dataminer.Bridge{Token: "t"} },
	} {
		if is := shown(change); is != one {
			t.Errorf("%s makes another system: %v", name, is)
		}
	}
	for name, change := range map[string]func(*dataminer.Settings){
		"another Agent":       func(s *dataminer.Settings) { s.URL = "https://dma2.example.net" },
		"another account":     func(s *dataminer.Settings) { s.Auth.Username = "v" },
		"another ticket type": func(s *dataminer.Settings) { s.TicketType = "Other" },
		"a bridge elsewhere":  func(s *dataminer.Settings) { s.Bridge = &dataminer.Bridge{URL: "https://acme.on.dataminer.services"} },
		"the bridge alone":    func(s *dataminer.Settings) { s.Auth, s.Bridge = nil, &dataminer.Bridge{} },
	} {
		if is := shown(change); is == one {
			t.Errorf("%s is the same system", name)
		}
	}
}

func TestTheAddressOfTheBridge(t *testing.T) {
	for _, tt := range []struct{ name, conn, bridge, want string }{
		{"the connection's host", "dma.example.net", "", "https://dma.example.net/api/custom/fieldsync/info"},
		{"the connection's interface", "https://dma.example.net:8443/API/v1/Json.asmx", "", "https://dma.example.net:8443/api/custom/fieldsync/info"},
		{"the cloud", "dma.example.net", "acme.on.dataminer.services", "https://acme.on.dataminer.services/api/custom/fieldsync/info"},
		{"a whole address", "", "https://dma.example.net/api/custom/", "https://dma.example.net/api/custom/fieldsync/info"},
		{"a whole route", "", "https://dma.example.net/api/custom/fieldsync", "https://dma.example.net/api/custom/fieldsync/info"},
		{"behind a proxy's prefix", "", "https://gate.example.net/noc/custom", "https://gate.example.net/noc/custom/fieldsync/info"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got string
			s := &dataminer.Settings{URL: tt.conn, Bridge: &dataminer.Bridge{URL: tt.bridge}}
			conn, err := s.Open(connectors.Env{HTTP: &http.Client{Transport: seen(func(r *http.Request) { got = r.URL.String() })}})
			if err != nil {
				t.Fatal(err)
			}
			_, _ = conn.(connectors.Checker).Check(t.Context())
			if got != tt.want {
				t.Errorf("asks %s, want %s", got, tt.want)
			}
		})
	}
}

func TestACollectionThatIsNotReachedSaysSoPlainly(t *testing.T) {
	s := newSystem(t)
	bridge := &dataminer.Settings{Bridge: &dataminer.Bridge{URL: s.url}}
	for _, tt := range []struct {
		name     string
		settings *dataminer.Settings
		asked    string
		parts    []string
	}{
		{"elements without a log-in", bridge, "elements", []string{"Web Services", `auth "basic"`}},
		{"alarms without a log-in", bridge, "alarms", []string{"Web Services", `auth "basic"`}},
		{"alarm properties without a bridge", s.settings(), "alarm_properties", []string{"bridge", "DataMiner has no method"}},
		{"tickets without a log-in", bridge, "tickets", []string{"Web Services"}},
		{"a misspelt one", s.settings(), "element", []string{`did you mean "elements"?`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := s.open(t, tt.settings).Collection(t.Context(), tt.asked)
			if !errors.Is(err, connectors.ErrConfig) {
				t.Fatalf("the error is %v", err)
			}
			for _, part := range tt.parts {
				if text := err.Error() + "; " + connectors.Hint(err); !strings.Contains(text, part) {
					t.Errorf("%q does not say %q", text, part)
				}
			}
		})
	}
}
