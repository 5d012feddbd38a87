package sim_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors/servicenow/sim"
)

// start is when every simulated instance of these tests begins to live.
var start = time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)

// An instance is a server an instance with a clock that tests move.
type instance struct {
	*sim.Server
	t   *testing.T
	now time.Time
}

func newInstance(t *testing.T, o sim.Options) *instance {
	t.Helper()
	in := &instance{t: t, now: start}
	o.Now = func() time.Time { return in.now }
	in.Server = sim.New(o)
	return in
}

// An answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends one request as a user; "" sends no credentials.
func (in *instance) do(user, method, target, body string, headers ...string) answer {
	in.t.Helper()
	r := httptest.NewRequest(method, "http://acme.example"+target, strings.NewReader(body))
	switch user {
	case "":
	case "admin":
		r.SetBasicAuth("admin", "admin")
	default:
		r.SetBasicAuth(user, "secret")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	in.ServeHTTP(w, r)
	return answer{w.Code, w.Result().Header, w.Body.String()}
}

// result decodes the result of an answer that must have this status.
func (in *instance) result(a answer, status int, into any) {
	in.t.Helper()
	if a.status != status {
		in.t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	var envelope struct{ Result json.RawMessage }
	if err := json.Unmarshal([]byte(a.body), &envelope); err != nil {
		in.t.Fatalf("answer is not JSON: %v\n%s", err, a.body)
	}
	if err := json.Unmarshal(envelope.Result, into); err != nil {
		in.t.Fatalf("result: %v\n%s", err, a.body)
	}
}

// list returns one field of every row of a query, as integration.
func (in *instance) list(table, query, field string) []string {
	in.t.Helper()
	var rows []map[string]any
	in.result(in.do("integration", "GET", "/api/now/table/"+table+"?sysparm_exclude_reference_link=true&sysparm_fields="+field+"&sysparm_query="+url.QueryEscape(query), ""), 200, &rows)
	var out []string
	for _, r := range rows {
		v, _ := r[field].(string) // a missing field is ""
		out = append(out, v)
	}
	return out
}

// must inserts a record as a person.
func (in *instance) must(table string, fields map[string]string) string {
	in.t.Helper()
	id := in.Insert(table, fields)
	if id == "" {
		in.t.Fatalf("insert into %s was refused: %v", table, fields)
	}
	return id
}

// patch writes as a user and returns the answer.
func (in *instance) patch(user, id, body string) answer {
	in.t.Helper()
	return in.do(user, "PATCH", "/api/now/table/incident/"+id, body, "Content-Type", "application/json")
}
