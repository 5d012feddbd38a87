package sim_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors/ilert/sim"
)

// A clock that tests move.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

// ask sends a request with an API key and returns status and body.
func ask(t *testing.T, s *sim.Server, key, method, path, body string) (int, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "http://x/api"+path, strings.NewReader(body))
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

const admin = "il1api-integration"

func TestRequestsAreAnsweredAsIlertDoes(t *testing.T) {
	for _, tt := range []struct {
		name, key, method, path, body string
		status                        int
		has                           string
	}{
		{"without a header", "", "GET", "/alerts", "", 401, "missing"},
		{"with a wrong key", "x", "GET", "/alerts", "", 403, "KEY_ERROR"},
		{"with a revoked key", "il1api-revoked", "GET", "/alerts", "", 403, "KEY_ERROR"},
		{"more than the most", admin, "GET", "/alerts?max-results=101", "", 400, "max-results"},
		{"a bare list", admin, "GET", "/alerts?states=PENDING&states=RESOLVED&sources=310455", "", 200, `[{`},
		{"a list without custom details", admin, "GET", "/alerts?include=customDetails", "", 200, `"links":[]`},
		{"a time that is none", admin, "GET", "/alerts?from=soon", "", 400, "from"},
		{"a count", admin, "GET", "/alerts/count?states=PENDING", "", 200, `{"count":1}`},
		{"what another team has", "il1api-ada", "GET", "/alert-sources/310460", "", 404, ""},
		{"a key that is not asked for", admin, "GET", "/alert-sources/310455", "", 200, `"active":true`},
		{"a key that is not shown", "il1api-ada", "GET", "/alert-sources/310455?include=integrationKey", "", 200, `"integrationKey":null`},
		{"an edit", admin, "PUT", "/alerts/4410023", "{}", 405, ""},
		{"a patch", admin, "PATCH", "/alerts/4410023", "{}", 405, ""},
		{"a delete", admin, "DELETE", "/alerts/4410023", "", 405, ""},
		{"an alert by hand", admin, "POST", "/alerts", `{"summary":"x","alertSource":{"id":310455}}`, 201, `"alertKey":null`},
		{"an alert by hand without a source", admin, "POST", "/alerts", `{"summary":"x"}`, 400, ""},
		{"an event needs no log-in", "", "POST", "/events", `{"integrationKey":"il1tickets","eventType":"ALERT","summary":"x"}`, 202, ""},
		{"an event with a key of nobody", admin, "POST", "/events", `{"integrationKey":"?","eventType":"ALERT","summary":"x"}`, 403, ""},
		{"an event without a summary", "", "POST", "/events", `{"integrationKey":"il1tickets","eventType":"ALERT"}`, 400, "summary"},
		{"an event of no type", "", "POST", "/events", `{"integrationKey":"il1tickets","eventType":"?","summary":"x"}`, 400, "eventType"},
		{"what is not JSON", "", "POST", "/events", `{`, 400, ""},
		{"what is not there", admin, "GET", "/alerts/7", "", 404, ""},
		{"an internal address", admin, "GET", "/alerts/newest-log-entries", "", 404, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := sim.New(sim.Options{})
			s.Raise(sim.Alert{Summary: "x"})
			status, body := ask(t, s, tt.key, tt.method, tt.path, tt.body)
			if status != tt.status || !strings.Contains(body, tt.has) {
				t.Errorf("answered %d %s, want %d and %q", status, body, tt.status, tt.has)
			}
			if tt.status == http.StatusAccepted && body != "" {
				t.Errorf("an event that was taken is answered %q", body)
			}
		})
	}
}

func TestEventsWaitAndFindOpenAlertsByTheirKeyWithoutCase(t *testing.T) {
	clk := &clock{time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)}
	s := sim.New(sim.Options{Now: clk.Now})
	if err := s.Switch("event-delay=2s"); err != nil {
		t.Fatal(err)
	}
	send := func(kind, key string) {
		t.Helper()
		body, err := json.Marshal(map[string]any{"integrationKey": "il1tickets", "eventType": kind, "alertKey": key, "summary": "Host " + key,
			"comments": []map[string]string{{"creator": "me", "content": "hello"}}})
		if err != nil {
			t.Fatal(err)
		}
		if status, answer := ask(t, s, "", http.MethodPost, "/events", string(body)); status != http.StatusAccepted {
			t.Fatalf("answered %d %s", status, answer)
		}
	}
	states := func() string {
		var all []string
		for _, a := range s.All() {
			all = append(all, a.Key+" "+a.Status)
		}
		return strings.Join(all, ", ")
	}
	send("ALERT", " T-1 ")
	if got := states(); got != "" {
		t.Errorf("at once there is %s", got)
	}
	clk.now = clk.now.Add(2 * time.Second)
	for _, step := range []struct{ kind, key, want string }{
		{"ALERT", "t-1", "T-1 PENDING"},
		{"ACCEPT", "T-2", "T-1 PENDING"},
		{"ACCEPT", "T-1", "T-1 ACCEPTED"},
		{"COMMENT", "T-1", "T-1 ACCEPTED"},
		{"RESOLVE", "T-1", "T-1 RESOLVED"},
		{"ACCEPT", "T-1", "T-1 RESOLVED"},
		{"ALERT", "T-1", "T-1 RESOLVED, T-1 PENDING"},
	} {
		send(step.kind, step.key)
		clk.now = clk.now.Add(2 * time.Second)
		if got := states(); got != step.want {
			t.Errorf("%s of %s leads to %s, want %s", step.kind, step.key, got, step.want)
		}
	}
	said := 0
	for _, e := range s.Log(s.All()[0].ID) {
		if e.Type == "AlertCommentAddedBySystemLogEntry" && e.Text == "me commented: hello" {
			said++
		}
	}
	if said != 5 {
		t.Errorf("%d comments, want one of each event that found the alert", said)
	}
}

func TestLimitsAreCountedInFixedMinutes(t *testing.T) {
	clk := &clock{time.Date(2026, 3, 2, 10, 0, 50, 0, time.UTC)}
	s := sim.New(sim.Options{Now: clk.Now})
	last := 0
	for range 121 {
		last, _ = ask(t, s, admin, http.MethodGet, "/alerts", "")
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("the 121st request is answered %d", last)
	}
	if other, _ := ask(t, s, "il1api-ada", http.MethodGet, "/alerts", ""); other != http.StatusOK {
		t.Errorf("another key is answered %d", other)
	}
	clk.now = clk.now.Add(10 * time.Second)
	if again, _ := ask(t, s, admin, http.MethodGet, "/alerts", ""); again != http.StatusOK {
		t.Errorf("in the next minute it is answered %d", again)
	}
}

func TestSwitchesAndFaultsThatAreNoneAreRefused(t *testing.T) {
	s := sim.New(sim.Options{})
	for _, text := range []string{"holo=on", "order=up", "max-results=0", "event-delay=soon", "version=7", "language=fr"} {
		if err := s.Switch(text); err == nil {
			t.Errorf("switch %q is taken", text)
		}
	}
	for _, text := range []string{"holo", "500-before:n=x", "500-before:n=0"} {
		if err := s.Fault(text); err == nil {
			t.Errorf("fault %q is taken", text)
		}
	}
	for _, u := range sim.SwitchExamples() {
		if err := s.Switch(u.Text); err != nil {
			t.Errorf("the example %q: %v", u.Text, err)
		}
	}
}
