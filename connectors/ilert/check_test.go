package ilert_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/ilert"
	"github.com/fieldsync/fieldsync/connectors/ilert/sim"
)

func TestTheUserAndItsRoleAreChecked(t *testing.T) {
	ahead := func() time.Time { return time.Now().Add(time.Hour) }
	for _, tt := range []struct {
		name   string
		now    func() time.Time
		change func(acc *sim.Server, s *ilert.Settings)
		good   []string
		bad    []string
	}{
		{"everything is right", nil, func(*sim.Server, *ilert.Settings) {},
			[]string{"log-in accepted as Field Sync (fieldsync@example.net)", "role ADMIN", "collection tickets 1 open alerts", "source 310456 Tickets; the integration_key is its own", "collection alerts 2 open alerts; without an integration_key"}, nil},
		{"the key is revoked", nil, func(acc *sim.Server, _ *ilert.Settings) { acc.Revoke(11) }, nil, []string{"log-in log-in refused", "KEY_ERROR"}},
		{"the integration key is another source's", nil, func(_ *sim.Server, s *ilert.Settings) { s.Collections[0].IntegrationKey = "il1zabbixcore" }, nil, []string{"Tickets has another integration key"}},
		{"the integration key is not shown", nil, func(_ *sim.Server, s *ilert.Settings) { s.Auth.Token = "il1api-ada" }, []string{"role USER", "cannot be known before the first event"}, nil},
		{"the source is switched off", nil, func(acc *sim.Server, _ *ilert.Settings) { acc.Alter(tickets, func(s *sim.Source) { s.Off = true }) }, nil, []string{"switched off"}},
		{"the source is another team's", nil, func(_ *sim.Server, s *ilert.Settings) {
			s.Auth.Token, s.Collections[0].Sources = "il1api-ada", []string{"310460"}
		}, nil, []string{"source 310460 not found"}},
		{"the source decides priorities", nil, func(acc *sim.Server, _ *ilert.Settings) { acc.Alter(tickets, func(s *sim.Source) { s.Rule = "LOW" }) }, []string{"priority Tickets decides"}, nil},
		{"the clock is wrong", ahead, func(*sim.Server, *ilert.Settings) {}, nil, []string{"clock ilert's clock is 1h0m"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			acc, s := account(t, tt.now), settings()
			acc.Raise(sim.Alert{Summary: "x"})
			acc.Raise(sim.Alert{Summary: "x", Source: tickets})
			tt.change(acc, s)
			list, err := connect(t, acc, s).(connectors.Checker).Check(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var good, bad strings.Builder
			for _, f := range list {
				line := f.What + " " + f.Detail + " " + f.Hint + "\n"
				if strings.Contains(line, "il1") {
					t.Errorf("%q shows a secret", line)
				}
				if f.OK {
					good.WriteString(line)
				} else {
					bad.WriteString(line)
				}
			}
			for _, want := range tt.good {
				if !strings.Contains(good.String(), want) {
					t.Errorf("nothing says %q:\n%s", want, good.String())
				}
			}
			for _, want := range tt.bad {
				if !strings.Contains(bad.String(), want) {
					t.Errorf("nothing complains of %q:\n%s", want, bad.String())
				}
			}
			if len(tt.bad) == 0 && bad.Len() > 0 {
				t.Errorf("complaints:\n%s", bad.String())
			}
			if acc.Writes() != 0 {
				t.Errorf("the check wrote %d times", acc.Writes())
			}
		})
	}
}

func TestSettingsThatMakeNoSenseSayWhatToWrite(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(s *ilert.Settings)
		words  []string
	}{
		"another log-in":           {func(s *ilert.Settings) { s.Auth.Kind = "basic" }, []string{`"basic"`, `auth "bearer"`}},
		"an empty token":           {func(s *ilert.Settings) { s.Auth.Token = "" }, []string{"token is empty"}},
		"no encryption":            {func(s *ilert.Settings) { s.URL = "http://api.example.com/api" }, []string{"unencrypted", "insecure_http"}},
		"credentials in the url":   {func(s *ilert.Settings) { s.URL = "https://il1api:x@api.example.com/api" }, []string{"holds credentials"}},
		"no address":               {func(s *ilert.Settings) { s.URL = "api.ilert.com" }, []string{"no address"}},
		"pages too large":          {func(s *ilert.Settings) { s.PageSize = 101 }, []string{"from 2 to 100"}},
		"pages of one":             {func(s *ilert.Settings) { s.PageSize = 1 }, []string{"from 2 to 100"}},
		"a key of two sources":     {func(s *ilert.Settings) { s.Collections[0].Sources = []string{"a", "b"} }, []string{"2 sources", "the one source"}},
		"a key of no source":       {func(s *ilert.Settings) { s.Collections[0].Sources = nil }, []string{"0 sources"}},
		"two of one name":          {func(s *ilert.Settings) { s.Collections = append(s.Collections, s.Collections[0]) }, []string{"two collections"}},
		"a day that is none":       {func(s *ilert.Settings) { s.Collections[0].From = "soon" }, []string{`"2026-01-31"`}},
		"a pattern that is none":   {func(s *ilert.Settings) { s.Collections[0].CommentText = "(" }, []string{"regular expression"}},
		"a pattern without a text": {func(s *ilert.Settings) { s.Collections[0].CommentText = "x" }, []string{"(?P<text>"}},
		"a settle that is none":    {func(s *ilert.Settings) { s.Settle = "long" }, []string{`"60s"`}},
	} {
		t.Run(name, func(t *testing.T) {
			s := settings()
			tt.change(s)
			_, err := s.Open(connectors.Env{Name: "ops"})
			wantKind(t, err, connectors.ErrConfig, tt.words...)
		})
	}
}

func TestWithoutAnAddressItIsIlertsOwn(t *testing.T) {
	s := settings()
	s.URL = ""
	if _, err := s.Open(connectors.Env{Name: "ops"}); err != nil {
		t.Error(err)
	}
}

func TestTheRoleIsHeldAgainstWhatASyncDoes(t *testing.T) {
	for _, c := range []struct {
		name, role string
		keyless    bool
		demand     connectors.Demand
		good, bad  string
	}{
		{"a responder who accepts", "RESPONDER", false, connectors.Demand{Writes: []string{"status"}, Create: true}, "accepting and resolving by RESPONDER", ""},
		{"a stakeholder who is to accept", "STAKEHOLDER", false, connectors.Demand{Writes: []string{"status"}}, "", "the key's user has the role STAKEHOLDER, which looks on"},
		{"a guest who reads", "GUEST", false, connectors.Demand{}, "reading", ""},
		{"alerts without an integration key", "USER", true, connectors.Demand{Create: true}, "", "needs the key of an alert source"},
		{"comments without an integration key", "USER", true, connectors.Demand{Comments: connectors.Carried{Path: "comments", Write: true}}, "", "needs the key of an alert source"},
	} {
		t.Run(c.name, func(t *testing.T) {
			users := sim.DefaultUsers()
			users[0].Role = c.role
			acc := sim.New(sim.Options{Users: users})
			srv := httptest.NewServer(acc)
			t.Cleanup(srv.Close)
			s := settings()
			s.URL = srv.URL + "/api"
			if c.keyless {
				s.Collections[0].IntegrationKey = ""
			}
			conn, err := s.Open(connectors.Env{Name: "ops"})
			if err != nil {
				t.Fatal(err)
			}
			col, err := conn.Collection(t.Context(), s.Collections[0].Name)
			if err != nil {
				t.Fatal(err)
			}
			found, err := col.(connectors.Entitler).Entitled(t.Context(), c.demand)
			if err != nil {
				t.Fatal(err)
			}
			var good, bad strings.Builder
			for _, f := range found {
				if f.OK {
					good.WriteString(f.Detail)
				} else {
					bad.WriteString(f.Detail)
				}
			}
			if !strings.Contains(good.String(), c.good) || !strings.Contains(bad.String(), c.bad) || (bad.Len() > 0) != (c.bad != "") {
				t.Errorf("good: %s\nbad: %s", good.String(), bad.String())
			}
		})
	}
}
