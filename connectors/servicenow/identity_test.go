package servicenow_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/servicenow"
	"github.com/fieldsync/fieldsync/connectors/servicenow/sim"
)

func TestAScanTellsWhichInstanceItWasAndInWhichZone(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, in *instance)
		login  func(s *servicenow.Settings)
		known  bool
		zone   string
	}{
		{"a usual account", nil, nil, true, "GMT"},
		{"an account in a zone of its own", func(t *testing.T, in *instance) { in.turn(t, "zone=Europe/Brussels") }, nil, true, "Europe/Brussels"},
		{"an account that follows the instance", func(t *testing.T, in *instance) {
			in.Rewrite("sys_user", in.Find("sys_user", "user_name", "integration")[0]["sys_id"], map[string]string{"time_zone": ""})
			in.Insert("sys_properties", map[string]string{"name": "glide.sys.default.tz", "value": "America/Los_Angeles"})
		}, nil, true, "America/Los_Angeles"},
		{"an account that may not see what it follows", func(t *testing.T, in *instance) {
			in.Rewrite("sys_user", in.Find("sys_user", "user_name", "integration")[0]["sys_id"], map[string]string{"time_zone": ""})
			in.Insert("sys_properties", map[string]string{"name": "glide.sys.default.tz", "value": "America/Los_Angeles"})
			in.turn(t, "dictionary=hidden")
		}, nil, true, ""},
		{"an account that cannot see itself", func(t *testing.T, in *instance) { in.turn(t, "hide-rows=sys_user?user_name=integration") }, nil, false, ""},
		{"requests about the account that fail", func(t *testing.T, in *instance) {
			f, err := sim.ParseFault("500-before:sys_user")
			if err == nil {
				err = in.Fault(f)
			}
			if err != nil {
				t.Fatal(err)
			}
		}, nil, false, ""},
		{"a key, which does not say whose it is", nil, func(s *servicenow.Settings) {
			s.Auth = servicenow.Auth{Kind: "api_key", Key: "integration-key"}
		}, true, "GMT"},
		{"an application that gets tokens", nil, func(s *servicenow.Settings) {
			s.Auth = granted("", "client_credentials").Auth
		}, true, "GMT"},
		{"a key of an account that cannot see itself", func(t *testing.T, in *instance) { in.turn(t, "hide-rows=sys_user?user_name=integration") }, func(s *servicenow.Settings) {
			s.Auth = servicenow.Auth{Kind: "api_key", Key: "integration-key"}
		}, false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := newInstance(t, sim.Options{})
			id := in.Find("sys_user", "user_name", "integration")[0]["sys_id"]
			s := login(in.url, "integration")
			if tt.change != nil {
				tt.change(t, in)
			}
			if tt.login != nil {
				tt.login(s)
			}
			want := ""
			if tt.known {
				want = "sys_user " + id
			}
			if _, w := scanned(t, collection(t, s, "incident"), connectors.Query{}); w.System != want || w.Zone != tt.zone {
				t.Errorf("the system is %q in zone %q, want %q in %q", w.System, w.Zone, want, tt.zone)
			}
		})
	}
}

func TestAnotherInstanceAtTheSameAddressShows(t *testing.T) {
	ours := time.Now()
	first, second := sim.New(sim.Options{Seed: 1}), sim.New(sim.Options{Seed: 2})
	at := first
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { at.ServeHTTP(w, r) }))
	defer srv.Close()
	conn, err := login(srv.URL, "integration").Open(connectors.Env{Name: "prod", HTTP: &http.Client{}, Now: func() time.Time { return ours }})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c, err := conn.Collection(t.Context(), "incident")
	if err != nil {
		t.Fatal(err)
	}
	tb := c.(*servicenow.Table)
	_, was := scanned(t, tb, connectors.Query{})
	asked := func() (n int) {
		for _, r := range first.Journal() {
			if strings.Contains(r.Path, "sys_user") {
				n++
			}
		}
		return n
	}
	ours = ours.Add(time.Minute - time.Second)
	if _, again := scanned(t, tb, connectors.Query{}); again.System != was.System || asked() != 1 {
		t.Errorf("asked %d times within a minute, want once", asked())
	}
	at, ours = second, ours.Add(time.Second)
	if _, is := scanned(t, tb, connectors.Query{}); is.System == was.System || is.System == "" {
		t.Errorf("the other instance shows %q, the first %q", is.System, was.System)
	}
}
