package servicenow_test

import (
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/servicenow"
	"github.com/fieldsync/fieldsync/connectors/servicenow/sim"
	"github.com/fieldsync/fieldsync/engine/record"
)

func basicRestricted(t *testing.T) {
	in := newInstance(t, sim.Options{})
	in.turn(t, "basic-auth=restricted")
	_, err := open(t, login(in.url, "integration")).Collection(t.Context(), "incident")
	wants(t, "a password that is right", err, connectors.ErrAuth, "Web service access only")
	key := &servicenow.Settings{URL: in.url, Auth: servicenow.Auth{Kind: "api_key", Key: "integration-key"}}
	collection(t, key, "incident")
	in.Rewrite("sys_user", in.Find("sys_user", "user_name", "integration")[0]["sys_id"], map[string]string{"web_service_access_only": "true"})
	in.as(t, "integration")
	// One refusal in passing is a refusal: the caller decides about another try.
	in.fault(t, "401:n=2")
	tb := in.as(t, "integration")
	wants(t, "one 401", scan(t.Context(), tb), connectors.ErrAuth, "integration")
	if err := scan(t.Context(), tb); err != nil {
		t.Errorf("after one 401: %v", err)
	}
}

func tooMany(t *testing.T) {
	in := newInstance(t, sim.Options{})
	tb := in.as(t, "integration")
	in.fault(t, "429:incident")
	e := wants(t, "a full queue", scan(t.Context(), tb), connectors.ErrBusy, "limits.concurrency")
	if e.RetryAfter != 0 {
		t.Errorf("nobody said how long, and it is %s", e.RetryAfter)
	}
	wants(t, "a full queue for a write", create(t.Context(), tb), connectors.ErrBusy, "limits.concurrency")
	if n := len(in.All("incident")); n != 0 {
		t.Errorf("%d incidents, though nothing has happened", n)
	}
	in.Calm()
	in.clock.Pass(20 * time.Minute)
	in.turn(t, "hourly-rate=1")
	if err := scan(t.Context(), tb); err != nil {
		t.Errorf("within the rate: %v", err)
	}
	if e := wants(t, "a rate rule", scan(t.Context(), tb), connectors.ErrBusy, "(1)"); e.RetryAfter != 40*time.Minute {
		t.Errorf("RetryAfter is %s, want the rest of the hour", e.RetryAfter)
	}
	wants(t, "a rate rule for a write", create(t.Context(), tb), connectors.ErrBusy, "rate limit rule")
	in.clock.Pass(40 * time.Minute)
	if err := scan(t.Context(), tb); err != nil {
		t.Errorf("in the next hour: %v", err)
	}
	in.turn(t, "queue=1", "hourly-rate=0")
	if err := scan(t.Context(), tb); err != nil {
		t.Errorf("one request at a time: %v", err)
	}
}

func sessions(t *testing.T) {
	in := newInstance(t, sim.Options{})
	keys := add(in, 300, nil)
	in.turn(t, "session=1")
	var cookies atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Cookie") != "" {
			cookies.Add(1)
		}
		in.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := admin(srv.URL).Open(connectors.Env{HTTP: &http.Client{Jar: jar}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	coll, err := conn.Collection(t.Context(), "incident")
	if err != nil {
		t.Fatal(err)
	}
	tb := coll.(*servicenow.Table)
	n := 0
	if err := tb.Read(t.Context(), []string{"state"}, keys, func(record.Record) error { n++; return nil }); err != nil || n != 300 || cookies.Load() != 0 {
		t.Errorf("read %d, %v, with %d cookies", n, err, cookies.Load())
	}
	in.fault(t, "202")
	wants(t, "a busy session", scan(t.Context(), tb), connectors.ErrBusy, "limits.concurrency")
	wants(t, "a busy session for a write", create(t.Context(), tb), connectors.ErrOutcome, "")
}

func webPages(t *testing.T) {
	in := newInstance(t, sim.Options{})
	tb := in.as(t, "integration")
	for kind, want := range map[string]struct {
		kind error
		hint string
	}{
		"hibernation": {connectors.ErrBusy, "developer.servicenow.com"},
		"login":       {connectors.ErrAuth, "not authenticated"},
	} {
		in.fault(t, kind)
		wants(t, kind, scan(t.Context(), tb), want.kind, want.hint)
		wants(t, kind+" for a write", create(t.Context(), tb), want.kind, want.hint)
	}
	for _, kind := range []string{"502", "503", "504"} {
		in.fault(t, kind)
		e := wants(t, kind, scan(t.Context(), tb), connectors.ErrBusy, "")
		if !strings.Contains(e.Detail, kind) {
			t.Errorf("%s says %q", kind, e.Detail)
		}
	}
}
