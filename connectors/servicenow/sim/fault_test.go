package sim_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors/servicenow/sim"
)

func (in *instance) fault(text string) {
	in.t.Helper()
	f, err := sim.ParseFault(text)
	if err == nil {
		err = in.Fault(f)
	}
	if err != nil {
		in.t.Fatal(err)
	}
}

// post sends a create over a real connection. 0 is no answer.
func post(t *testing.T, url string, timeout time.Duration) (status int, body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "POST", url+incidents, strings.NewReader(`{"short_description":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth("integration", "secret")
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Error(err)
	}
	return res.StatusCode, string(b)
}

func TestEveryFaultDoesWhatItSays(t *testing.T) {
	for _, tt := range []struct {
		kind   string
		status int // 0: no answer
		text   string
		effect bool
	}{
		{"500-before", 500, "maximum execution time exceeded", false},
		{"500-after", 500, "maximum execution time exceeded", true},
		{"502", 502, "<h1>502 Bad Gateway", false},
		{"503", 503, "<h1>503 Service", false},
		{"504", 504, "<h1>504 Gateway", false},
		{"504-after", 504, "<h1>504 Gateway", true},
		{"reset-before", 0, "", false},
		{"reset-after", 0, "", true},
		{"slow-before", 0, "deadline", false},
		{"slow-after", 0, "deadline", true},
		{"cut-valid", 201, `},"error":{"detail":"Transaction cancelled`, true},
		{"cut-broken", 201, `"error":{"detail":"Transaction cancelled`, true},
		{"hibernation", 200, "Instance Hibernating page", false},
		{"login", 200, "user_password", false},
		{"401", 401, "User Not Authenticated", false},
		{"429", 429, "<h1>Too many", false},
		{"202", 202, "", false},
		{"batch-cut", 201, "", true},
		{"revoked", 401, "User Not Authenticated", false},
	} {
		t.Run(tt.kind, func(t *testing.T) {
			in := newInstance(t, sim.Options{})
			srv := httptest.NewServer(in.Server)
			defer srv.Close()
			in.fault(tt.kind + ":POST incident:n=2")
			if status, body := post(t, srv.URL, time.Minute); status != 201 {
				t.Fatalf("the first request: %d %s", status, body)
			}
			timeout := time.Minute
			if strings.HasPrefix(tt.kind, "slow") {
				timeout = 100 * time.Millisecond
			}
			status, body := post(t, srv.URL, timeout)
			if status != tt.status || !strings.Contains(body, tt.text) {
				t.Errorf("%d %s, want %d with %q", status, body, tt.status, tt.text)
			}
			if status, body := post(t, srv.URL, time.Minute); status != 201 {
				t.Errorf("the third request: %d %s", status, body)
			}
			srv.Close() // waits for requests whose client has gone
			want := 2
			if tt.effect {
				want = 3
			}
			if n := len(in.All("incident")); n != want {
				t.Errorf("%d incidents, want %d", n, want)
			}
			if int(in.Writes()) != want {
				t.Errorf("%d writes, want %d", in.Writes(), want)
			}
			if n := len(slices.DeleteFunc(in.Journal(), func(r sim.Request) bool { return r.Fault != tt.kind })); n != 1 {
				t.Errorf("%d entries of the journal name the fault", n)
			}
			if tt.kind == "cut-valid" != json.Valid([]byte(body)) && strings.HasPrefix(tt.kind, "cut") {
				t.Errorf("valid JSON: %v", json.Valid([]byte(body)))
			}
		})
	}
	if n := len(sim.FaultKinds()); n != 19 {
		t.Errorf("%d kinds of faults, not all of them are tested", n)
	}
}

func TestALateAnswerComesWhenTheClientWaits(t *testing.T) {
	in := newInstance(t, sim.Options{})
	srv := httptest.NewServer(in.Server)
	defer srv.Close()
	for _, kind := range []string{"slow-before", "slow-after"} {
		in.Calm()
		in.fault(kind + "::wait=5ms")
		if status, body := post(t, srv.URL, time.Minute); status != 201 {
			t.Errorf("%s: %d %s", kind, status, body)
		}
	}
	if n := len(in.All("incident")); n != 2 {
		t.Errorf("%d incidents", n)
	}
}

func TestACutPageLosesRows(t *testing.T) {
	in := newInstance(t, sim.Options{})
	for range 10 {
		in.must("incident", nil)
	}
	in.fault("cut-valid:reads incident")
	var page struct {
		Result []map[string]string
		Error  struct{ Message string }
	}
	a := in.do("integration", "GET", incidents+"?sysparm_fields=sys_id", "")
	if err := json.Unmarshal([]byte(a.body), &page); err != nil || a.status != 200 || len(page.Result) != 5 || page.Error.Message == "" {
		t.Errorf("%d %v %s", a.status, err, a.body)
	}
	in.Calm()
	if a := in.do("integration", "GET", incidents, ""); strings.Contains(a.body, `"error"`) {
		t.Error("a fault strikes though all is calm")
	}
}

// fates are the answers to n requests.
func fates(t *testing.T, seed int64, n int, faults ...string) []int {
	in := newInstance(t, sim.Options{Seed: seed})
	for _, f := range faults {
		in.fault(f)
	}
	var out []int
	for range n {
		out = append(out, in.do("integration", "GET", incidents, "").status)
	}
	return out
}

func TestTheSameSeedMeetsTheSameFaults(t *testing.T) {
	first := fates(t, 1, 200, "503:reads:rate=0.1")
	if d := cmp.Diff(first, fates(t, 1, 200, "503:reads:rate=0.1")); d != "" {
		t.Errorf("(-first +second):\n%s", d)
	}
	if slices.Equal(first, fates(t, 2, 200, "503:reads:rate=0.1")) {
		t.Error("another seed meets the same faults")
	}
	struck := func(list []int, status int) int {
		return len(slices.DeleteFunc(slices.Clone(list), func(s int) bool { return s != status }))
	}
	if n := struck(first, 503); n < 8 || n > 35 {
		t.Errorf("%d of 200 were struck at a rate of 0.1", n)
	}
	both := fates(t, 1, 200, "503:reads:rate=0.1", "401:GET:n=3", "500-before:writes")
	if n := struck(both, 401); n != 1 || both[2] != 401 && first[2] != 503 {
		t.Errorf("%d refused log-ins, the third answer is %d", n, both[2])
	}
	for i := range both {
		if (first[i] == 503) != (both[i] == 503) {
			t.Errorf("request %d: another fault moved the first one", i+1)
		}
	}
}

func TestFaultsAreReadFromText(t *testing.T) {
	for text, want := range map[string]sim.Fault{
		"401":                              {Kind: "401"},
		"500-after:POST incident:rate=0.1": {Kind: "500-after", Method: "POST", Table: "incident", Rate: 0.1},
		"reset-before:PATCH:n=3":           {Kind: "reset-before", Method: "PATCH", Nth: 3},
		"cut-broken:sys_user":              {Kind: "cut-broken", Table: "sys_user"},
		"slow-after:writes:n=1,wait=90s":   {Kind: "slow-after", Method: "writes", Nth: 1, Wait: 90 * time.Second},
		"503:n=2":                          {Kind: "503", Nth: 2},
		"429::rate=1":                      {Kind: "429", Rate: 1},
		"202: reads  incident : n=4 ":      {Kind: "202", Method: "reads", Table: "incident", Nth: 4},
	} {
		if got, err := sim.ParseFault(text); err != nil || got != want {
			t.Errorf("%q is %+v, %v; want %+v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"":                     "there is no kind",
		"500":                  "there are 500-before, 500-after",
		"503:rate=2":           "at most 1",
		"503:rate=0":           "more than 0",
		"503:n=0":              "counted from 1",
		"503:n=x":              "invalid syntax",
		"503:n=1,rate=0.5":     "exclude each other",
		"503:often=1":          "write n=N",
		"503:TRACE":            "no request",
		"503:GET POST":         "no request",
		"503:GET:incident":     "neither n=N",
		"503:wait=5s":          "only slow-before and slow-after",
		"slow-after:wait=soon": "invalid duration",
		"slow-after:wait=-1s":  "out of range",
	} {
		if _, err := sim.ParseFault(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	in := newInstance(t, sim.Options{})
	if err := in.Fault(sim.Fault{Kind: "nonsense"}); err == nil || errors.Unwrap(err) == nil {
		t.Errorf("a fault of no kind: %v", err)
	}
	for _, u := range sim.FaultExamples() {
		if _, err := sim.ParseFault(u.Text); err != nil || u.What == "" {
			t.Errorf("the example %s: %v", u.Text, err)
		}
	}
}
