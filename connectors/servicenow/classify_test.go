package servicenow_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/servicenow"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A server answers the first request, which finds the table, and then as f says.
func server(t testing.TB, f http.HandlerFunc) *servicenow.Settings {
	t.Helper()
	var first atomic.Bool
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json;charset=UTF-8")
		if !first.Swap(true) {
			fmt.Fprint(w, `{"result":[]}`)
			return
		}
		f(w, r)
	}))
	t.Cleanup(srv.Close)
	return &servicenow.Settings{URL: srv.URL, Auth: servicenow.Auth{Kind: "basic", Username: "sync.user", Password: "hunter2"}}
}

func fail(message, detail string) string {
	return fmt.Sprintf(`{"error":{"message":%q,"detail":%q},"status":"failure"}`, message, detail)
}

// operations are one of each kind, so that each answer is seen by a read and by a write.
func scan(ctx context.Context, tb *servicenow.Table) error {
	_, err := tb.Scan(ctx, connectors.Query{Paths: []string{"state"}, Native: ""}, func(record.Record) error { return nil })
	return err
}

func update(ctx context.Context, tb *servicenow.Table) error {
	_, err := tb.Update(ctx, []string{"state"}, "9c573169c611228700193229fff72400", "", record.Fields{"state": record.OfText("6")})
	return err
}

func create(ctx context.Context, tb *servicenow.Table) error {
	_, err := tb.Create(ctx, []string{"state"}, record.Fields{"state": record.OfText("1")})
	return err
}

func remove(ctx context.Context, tb *servicenow.Table) error {
	return tb.Delete(ctx, "9c573169c611228700193229fff72400", "")
}

func TestEveryFailureSaysWhatItIsAndWhatToDo(t *testing.T) {
	none := func(http.Header) {}
	webPage := func(h http.Header) { h.Set("Content-Type", "text/html") }
	const cancelled = "Transaction cancelled: maximum execution time exceeded"
	for _, c := range []struct {
		name   string
		op     func(context.Context, *servicenow.Table) error
		status int
		header func(http.Header)
		body   string
		kind   error
		hint   string // a part of it
		fields []string
	}{
		{"wrong password", scan, 401, none, fail("User Not Authenticated", "Required to provide Auth information"), connectors.ErrAuth, "SNCRestrictBasicAuthUserAuthenticationGate", nil},
		{"wrong password on a write", update, 401, none, fail("User is not authenticated", "Required to provide Auth information"), connectors.ErrAuth, "sync.user", nil},
		{"a second factor", scan, 401, func(h http.Header) { h.Set("X-MFA_TOKEN", "invalid") }, "", connectors.ErrAuth, "multi-factor", nil},
		{"no such table", scan, 400, none, fail("Invalid table incident", "Table incident does not exist"), connectors.ErrConfig, "no table", nil},
		{"no such table, without detail", scan, 400, none, `{"error":{"message":"Invalid table incident","detail":null},"status":"failure"}`, connectors.ErrConfig, "no table", nil},
		{"no such API", scan, 400, none, `{"error":{"message":"Requested URI does not represent any resource","detail":null},"status":"failure"}`, connectors.ErrConfig, "no Table API", nil},
		{"no such API as 404", update, 404, none, `{"error":{"message":"Requested URI does not represent any resource","detail":null},"status":"failure"}`, connectors.ErrConfig, "no Table API", nil},
		{"a body that is too large", create, 400, none, fail("Exception while reading request", "Rejected large REST payload with content-length = 15105102 bytes. Max allowed: 10485760 bytes."), connectors.ErrRefused, "max_content_length", nil},
		{"a body that cannot be read", create, 400, none, fail("Exception while reading request", "unreadable"), connectors.ErrRefused, "unusual characters", nil},
		{"another web site", scan, 404, webPage, "<html><title>Not here</title></html>", connectors.ErrConfig, "check url", nil},
		{"insert access rule", create, 403, none, fail("Operation Failed", "ACL Exception Insert Failed due to security constraints"), connectors.ErrDenied, "itil", nil},
		{"update access rule", update, 403, none, fail("Operation Failed", "ACL Exception Update Failed due to security constraints"), connectors.ErrDenied, "sn_incident_write", nil},
		{"update access rule on a closed incident", update, 403, none, fail("Operation Failed", "ACL Exception Update Failed due to security constraints"), connectors.ErrDenied, "closed", nil},
		{"delete access rule", remove, 403, none, fail("Operation Failed", "ACL Exception Delete Failed due to security constraints"), connectors.ErrDenied, "delete", nil},
		{"data policy with fields", update, 403, none, fail("Operation Failed", "Data Policy Exception: The following fields are mandatory: Resolution code, Resolution notes"), connectors.ErrRefused, "data policy", []string{"Resolution code", "Resolution notes"}},
		{"data policy with a field", update, 403, none, fail("Operation Failed", "Data Policy Exception: Short description is mandatory"), connectors.ErrRefused, "data policy", []string{"Short description"}},
		{"business rule", update, 403, none, fail("Operation Failed", "Operation against file 'incident' was aborted by Business Rule 'No weekend changes^9d1b2f60c611227501d0d2de1b2b8a7d'. Business Rule Stack:No weekend changes"), connectors.ErrRefused, `"No weekend changes"`, nil},
		{"protected API", scan, 403, none, fail("User Not Authorized", "Failed API level ACL Validation"), connectors.ErrDenied, "snc_platform_rest_api_access", nil},
		{"address of this machine", scan, 403, webPage, "<html><body>Forbidden</body></html>", connectors.ErrDenied, "IP address", nil},
		{"address of this machine, empty", update, 403, none, "", connectors.ErrDenied, "IP address", nil},
		{"unknown prohibition", scan, 403, none, fail("Something new", "nobody knows"), connectors.ErrDenied, "rights", nil},
		{"no such record", update, 404, none, fail("No Record found", "Record doesn't exist or ACL restricts the record retrieval"), connectors.ErrNotFound, "deleted", nil},
		{"wrong method", update, 405, none, fail("Method not supported", ""), connectors.ErrRefused, "check that url", nil},
		{"address too long", scan, 414, webPage, "<html>Request-URI Too Large</html>", connectors.ErrConfig, "shorten", nil},
		{"rate rule", scan, 429, func(h http.Header) { h.Set("Retry-After", "1873"); h.Set("X-RateLimit-Limit", "100") }, fail("Rate limit exceeded", "Rate limit of 100 requests per hour for Table API exceeded"), connectors.ErrBusy, "(100)", nil},
		{"rate rule on a write", update, 429, func(h http.Header) { h.Set("Retry-After", "1873") }, fail("Rate limit exceeded", "…"), connectors.ErrBusy, "limits.rate", nil},
		{"full queue", create, 429, webPage, "<html>busy</html>", connectors.ErrBusy, "limits.concurrency", nil},
		{"busy session", scan, 202, none, "", connectors.ErrBusy, "session", nil},
		{"busy session on a write", update, 202, none, "", connectors.ErrOutcome, "session", nil},
		{"time is up", scan, 500, none, fail(cancelled, "Check logs for error trace"), connectors.ErrBusy, "page_size", nil},
		{"time is up on a write", create, 500, none, fail(cancelled, "Check logs for error trace"), connectors.ErrOutcome, "", nil},
		{"gateway", scan, 502, webPage, "<html>Bad gateway</html>", connectors.ErrBusy, "trouble", nil},
		{"maintenance", scan, 503, webPage, "<html><title>Down for maintenance</title></html>", connectors.ErrBusy, "upgraded", nil},
		{"gateway on a write", update, 504, webPage, "<html>Gateway time-out</html>", connectors.ErrOutcome, "", nil},
		{"gateway on a delete", remove, 502, webPage, "", connectors.ErrOutcome, "", nil},
		{"hibernating", scan, 200, webPage, "<html><title>Instance Hibernating page</title></html>", connectors.ErrBusy, "wake it", nil},
		{"hibernating on a write", update, 200, webPage, "<html><title>Instance Hibernating page</title></html>", connectors.ErrBusy, "wake it", nil},
		{"log-in page", scan, 200, webPage, "<html><form><input name=user_name><input name=user_password></form></html>", connectors.ErrAuth, "not authenticated", nil},
		{"log-in page by redirect", scan, 302, func(h http.Header) { h.Set("Location", "https://sso.example.com/saml2?x=1") }, "", connectors.ErrAuth, "url", nil},
		{"moved", scan, 301, func(h http.Header) { h.Set("Location", "https://new.example.com/api/now/table/incident?x=y") }, "", connectors.ErrConfig, "new address", nil},
		{"some web page", scan, 200, webPage, "<html>Welcome to our Wi-Fi</html>", connectors.ErrProtocol, "web pages", nil},
		{"some web page on a write", update, 200, none, "<html>Welcome to our Wi-Fi</html>", connectors.ErrOutcome, "web pages", nil},
		{"error behind rows", scan, 200, none, `{"result":[{"sys_id":"a"}],"error":{"message":"` + cancelled + `","detail":"x"},"status":"failure"}`, connectors.ErrProtocol, "page_size", nil},
		{"cut inside a row with the message", scan, 200, none, `{"result":[{"sys_id":"a"},{"sys_` + cancelled, connectors.ErrProtocol, "page_size", nil},
		{"cut inside a row", scan, 200, none, `{"result":[{"sys_id":"a"},{"sys_`, connectors.ErrProtocol, "", nil},
		{"nothing", scan, 200, none, "", connectors.ErrProtocol, "", nil},
		{"nothing on a write", create, 201, none, "", connectors.ErrOutcome, "", nil},
		{"no result", scan, 200, none, `{"records":[]}`, connectors.ErrProtocol, "check url", nil},
		{"a list of another kind", scan, 200, none, `[]`, connectors.ErrProtocol, "check url", nil},
		{"one record for many", scan, 200, none, `{"result":{"sys_id":"a"}}`, connectors.ErrProtocol, "check url", nil},
		{"many records for one", update, 200, none, `{"result":[]}`, connectors.ErrOutcome, "check url", nil},
		{"another record", update, 200, none, `{"result":{"sys_id":"a","state":"1"}}`, connectors.ErrOutcome, "", nil},
		{"a write without a key", create, 201, none, `{"result":{"state":"1"}}`, connectors.ErrOutcome, "", nil},
		{"a row without a key", scan, 200, none, `{"result":[{"state":"1"}]}`, connectors.ErrProtocol, "", nil},
		{"a row that is none", scan, 200, none, `{"result":["x"]}`, connectors.ErrProtocol, "", nil},
		{"rows out of order", scan, 200, none, `{"result":[{"sys_id":"b"},{"sys_id":"a"}]}`, connectors.ErrProtocol, "", nil},
		{"a row twice", scan, 200, none, `{"result":[{"sys_id":"a"},{"sys_id":"a"}]}`, connectors.ErrProtocol, "", nil},
		{"a key that would be a query", scan, 200, none, `{"result":[{"sys_id":"a^NQactive=true"}]}`, connectors.ErrProtocol, "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := server(t, func(w http.ResponseWriter, _ *http.Request) {
				c.header(w.Header())
				w.WriteHeader(c.status)
				io.WriteString(w, c.body)
			})
			err := c.op(t.Context(), collection(t, s, "incident"))
			if !errors.Is(err, c.kind) {
				t.Fatalf("the error is %v, want %v", err, c.kind)
			}
			if h := connectors.Hint(err); !strings.Contains(h, c.hint) {
				t.Errorf("the hint is %q, want it to say %q", h, c.hint)
			}
			e, _ := errors.AsType[*connectors.Error](err)
			if d := cmp.Diff(c.fields, e.Fields); d != "" {
				t.Errorf("fields (-want +got):\n%s", d)
			}
			if c.header != nil && strings.HasPrefix(c.name, "rate rule") && e.RetryAfter != 1873*time.Second {
				t.Errorf("RetryAfter is %v", e.RetryAfter)
			}
			if strings.Contains(err.Error()+e.Hint, "hunter2") {
				t.Error("the message holds the password")
			}
		})
	}
}

func TestAQueryOnAnUnreadableFieldNamesItsFields(t *testing.T) {
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("sysparm_query") == "" {
			io.WriteString(w, `{"result":[{"sys_id":"a","salary":"1","active":"true"}]}`)
			return
		}
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, fail("Insufficient rights to query records", "Field(s) present in the query do not have permission to be read"))
	})
	_, err := collection(t, s, "incident").Scan(t.Context(), connectors.Query{Paths: []string{"state"}, Native: "salary>5^active=true"}, func(record.Record) error { return nil })
	e, ok := errors.AsType[*connectors.Error](err)
	if !ok || !errors.Is(err, connectors.ErrDenied) || !strings.Contains(e.Hint, "salary") || !cmp.Equal(e.Fields, []string{"active", "salary"}) {
		t.Errorf("the error is %v with %+v; want ErrDenied naming active and salary", err, e)
	}
}

func TestAnEmptyListOfVersionOneIsNoError(t *testing.T) {
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/api/now/v1/") {
			t.Errorf("the path is %s", r.URL.Path)
		}
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, fail("No Record found", "Records matching query not found. Check query parameter or offset parameter"))
	})
	s.URL += "/api/now/v1/table/incident"
	if err := scan(t.Context(), collection(t, s, "")); err != nil {
		t.Error(err)
	}
}

func TestADeleteOfNothingIsDone(t *testing.T) {
	s := server(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, fail("No Record found", "Record doesn't exist or ACL restricts the record retrieval"))
	})
	if err := remove(t.Context(), collection(t, s, "incident")); err != nil {
		t.Error(err)
	}
}

func TestCredentialsGoToTheInstanceAlone(t *testing.T) {
	var leaked atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		leaked.Store(true)
	}))
	defer other.Close()
	var key, agent, cookie atomic.Value
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		key.Store(r.Header.Get("x-sn-apikey"))
		agent.Store(r.Header.Get("User-Agent"))
		cookie.Store(r.Header.Get("Cookie"))
		http.SetCookie(w, &http.Cookie{Name: "glide_session_store", Value: "x"})
		http.Redirect(w, r, other.URL+"/elsewhere", http.StatusFound)
	})
	s.Auth = servicenow.Auth{Kind: "api_key", Key: "k-123"}
	tb := collection(t, s, "incident")
	for range 2 {
		if err := scan(t.Context(), tb); !errors.Is(err, connectors.ErrConfig) {
			t.Errorf("the error is %v, want ErrConfig", err)
		}
	}
	if leaked.Load() {
		t.Error("the redirect was followed")
	}
	if key.Load() != "k-123" || agent.Load() != "fieldsync" || cookie.Load() != "" {
		t.Errorf("sent key %v, agent %v, cookie %v", key.Load(), agent.Load(), cookie.Load())
	}
}

func TestWhatCannotBeReachedIsOfflineWithAWayOut(t *testing.T) {
	refused, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := refused.Addr().String()
	refused.Close()
	tlsServer := httptest.NewUnstartedServer(http.NotFoundHandler())
	tlsServer.Config.ErrorLog = log.New(io.Discard, "", 0)
	tlsServer.StartTLS()
	defer tlsServer.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	for _, c := range []struct{ name, url, hint string }{
		{"a connection that is refused", "http://" + gone, "nothing accepts connections"},
		{"a certificate nobody trusts", tlsServer.URL, "SSL_CERT_FILE"},
		{"no TLS at all", strings.Replace(plain.URL, "http:", "https:", 1), "does not speak TLS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := open(t, &servicenow.Settings{URL: c.url, Auth: servicenow.Auth{Kind: "api_key", Key: "k"}})
			_, err := conn.Collection(t.Context(), "incident")
			if !errors.Is(err, connectors.ErrOffline) || !strings.Contains(connectors.Hint(err), c.hint) {
				t.Errorf("the error is %v with hint %q; want ErrOffline with %q", err, connectors.Hint(err), c.hint)
			}
		})
	}
}

func TestAnUnknownHostIsNamed(t *testing.T) {
	env := connectors.Env{HTTP: &http.Client{Transport: &http.Transport{DialContext: func(_ context.Context, network, addr string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Err: &net.DNSError{Err: "no such host", Name: "acne.service-now.com", IsNotFound: true}}
	}}}}
	conn, err := (&servicenow.Settings{URL: "acne", Auth: servicenow.Auth{Kind: "api_key", Key: "k"}}).Open(env)
	if err != nil {
		t.Fatal(err)
	}
	_, err = conn.Collection(t.Context(), "incident")
	if !errors.Is(err, connectors.ErrOffline) || !strings.Contains(connectors.Hint(err), "acne.service-now.com") {
		t.Errorf("the error is %v with hint %q; want ErrOffline naming the host", err, connectors.Hint(err))
	}
}

type refusing struct{ err error }

func (r refusing) RoundTrip(*http.Request) (*http.Response, error) { return nil, r.err }

func TestWhatTheGivenClientRefusesIsPassedOn(t *testing.T) {
	env := connectors.Env{HTTP: &http.Client{Transport: refusing{&connectors.Error{Kind: connectors.ErrConfig, Op: "redirect", Detail: "acme sends us to evil", Hint: "write the address"}}}}
	conn, err := (&servicenow.Settings{URL: "acme", Auth: servicenow.Auth{Kind: "api_key", Key: "k"}}).Open(env)
	if err != nil {
		t.Fatal(err)
	}
	_, err = conn.Collection(t.Context(), "incident")
	if !errors.Is(err, connectors.ErrConfig) || connectors.Hint(err) != "write the address" || !strings.HasPrefix(err.Error(), "find table incident: ") {
		t.Errorf("the error is %v with hint %q", err, connectors.Hint(err))
	}
}

func TestALostAnswerOfAWriteIsAnUnknownOutcome(t *testing.T) {
	for name, lose := range map[string]http.HandlerFunc{
		"the connection breaks": func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				conn.Close()
			}
		},
		"the answer is cut off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			w.WriteHeader(http.StatusCreated)
			io.WriteString(w, `{"result":{"sys_id":"a"`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var requests atomic.Int32
			s := server(t, func(w http.ResponseWriter, r *http.Request) { requests.Add(1); lose(w, r) })
			tb := collection(t, s, "incident")
			if err := create(t.Context(), tb); !errors.Is(err, connectors.ErrOutcome) {
				t.Errorf("create: the error is %v, want ErrOutcome", err)
			}
			if n := requests.Load(); n != 1 {
				t.Errorf("%d requests were sent, want 1", n)
			}
			if err := scan(t.Context(), tb); !errors.Is(err, connectors.ErrBusy) && !errors.Is(err, connectors.ErrProtocol) {
				t.Errorf("scan: the error is %v, want ErrBusy or ErrProtocol", err)
			}
		})
	}
}

func TestACancelledReadSaysSo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := server(t, func(_ http.ResponseWriter, r *http.Request) { cancel(); <-r.Context().Done() })
	tb := collection(t, s, "incident")
	if err := scan(ctx, tb); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v, want context.Canceled", err)
	}
}
