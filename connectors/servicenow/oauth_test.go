package servicenow_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/servicenow"
	"github.com/fieldsync/fieldsync/connectors/servicenow/sim"
)

// granted makes settings for one grant of the simulator's application, as the integration.
func granted(u, grant string) *servicenow.Settings {
	a := servicenow.Auth{Kind: "oauth", Grant: grant, ClientID: "fieldsync", ClientSecret: "client-secret"}
	switch grant {
	case "password":
		a.Username, a.Password = "integration", "secret"
	case "jwt_bearer":
		a.Username = "integration"
	}
	return &servicenow.Settings{URL: u, Auth: a}
}

// connect opens a connection that lives by the clock of the instance.
func (in *instance) connect(t testing.TB, s *servicenow.Settings, log *slog.Logger) connectors.Connection {
	t.Helper()
	conn, err := s.Open(connectors.Env{Name: "prod", HTTP: &http.Client{}, Now: in.clock.Now, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// table is the incident table of such a connection.
func (in *instance) table(t testing.TB, s *servicenow.Settings) *servicenow.Table {
	t.Helper()
	c, err := in.connect(t, s, nil).Collection(t.Context(), "incident")
	if err != nil {
		t.Fatalf("%v (%s)", err, connectors.Hint(err))
	}
	return c.(*servicenow.Table)
}

// tokenRequests counts the requests for tokens so far.
func (in *instance) tokenRequests() int {
	n := 0
	for _, r := range in.Journal() {
		if r.Path == "/oauth_token.do" {
			n++
		}
	}
	return n
}

// keyPair is a private and a public key in PEM form.
func keyPair(t testing.TB, key crypto.Signer) (private connectors.Secret, public string) {
	t.Helper()
	b, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	p, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return connectors.Secret(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: b})), string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: p}))
}

func elliptical(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestGrantsLogIn(t *testing.T) {
	for _, grant := range []string{"client_credentials", "password"} {
		t.Run(grant, func(t *testing.T) {
			in := newInstance(t, sim.Options{})
			tb := in.table(t, granted(in.url, grant))
			if err := create(t.Context(), tb); err != nil {
				t.Fatal(err)
			}
			if r := in.All("incident")[0]; r["sys_created_by"] != "integration" {
				t.Errorf("created by %s", r["sys_created_by"])
			}
			if n := in.tokenRequests(); n != 1 {
				t.Errorf("%d requests for a token", n)
			}
		})
	}
	t.Run("refresh_token", func(t *testing.T) {
		in := newInstance(t, sim.Options{})
		s := granted(in.url, "refresh_token")
		s.Auth.RefreshToken = connectors.Secret(refreshToken(t, in.url))
		in.Revoke(false)
		if err := scan(t.Context(), in.table(t, s)); err != nil {
			t.Fatal(err)
		}
		in.Revoke(true)
		s.Auth.RefreshToken = "over"
		_, err := in.connect(t, s, nil).Collection(t.Context(), "incident")
		wants(t, "a refresh token that is over", err, connectors.ErrAuth, "get a new one")
	})
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.Signer{"RSA": rsaKey, "P-256": elliptical(t, elliptic.P256()), "P-384": elliptical(t, elliptic.P384()), "P-521": elliptical(t, elliptic.P521())} {
		t.Run("jwt_bearer with "+name, func(t *testing.T) {
			private, public := keyPair(t, key)
			in := newInstance(t, sim.Options{Clients: []sim.Client{{ID: "fieldsync", Secret: "client-secret", Key: public}}, Switches: sim.Switches{JTIOnce: true, OwnTokens: true}})
			s := granted(in.url, "jwt_bearer")
			s.Auth.Key = private
			tb := in.table(t, s)
			in.Revoke(false)
			if err := scan(t.Context(), tb); err != nil { // another assertion, which must not be the first again
				t.Fatal(err)
			}
			s.Auth.Key, _ = keyPair(t, elliptical(t, elliptic.P256()))
			_, err := in.connect(t, s, nil).Collection(t.Context(), "incident")
			wants(t, "another's key", err, connectors.ErrAuth, "certificate of key")
		})
	}
}

// refreshToken gets one by password, as a person would.
func refreshToken(t testing.TB, u string) string {
	t.Helper()
	res, err := http.PostForm(u+"/oauth_token.do", url.Values{"grant_type": {"password"}, "client_id": {"fieldsync"}, "client_secret": {"client-secret"},
		"username": {"integration"}, "password": {"secret"}})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), `"refresh_token":"`)
	token, _, _ := strings.Cut(rest, `"`)
	return token
}

func TestConformanceWithOAuth(t *testing.T) {
	administrator := []sim.Client{{ID: "fieldsync", Secret: "client-secret", User: "admin"}}
	// Tokens end while the tests let time pass between edits.
	conformance(t, sim.Options{Clients: administrator, Switches: sim.Switches{TokenLife: 50 * time.Second}}, func(in *instance) *servicenow.Settings {
		return granted(in.url, "client_credentials")
	})
}

func TestATokenIsReplacedBeforeItsEndAndOnceInAConcurrentRun(t *testing.T) {
	in := newInstance(t, sim.Options{})
	in.turn(t, "token-life=60s", "tokens=own")
	tb := in.table(t, granted(in.url, "password"))
	in.clock.Pass(45 * time.Second)
	if err := scan(t.Context(), tb); err != nil || in.tokenRequests() != 1 {
		t.Fatalf("%v after %d requests for a token, want 1", err, in.tokenRequests())
	}
	in.clock.Pass(6 * time.Second) // nine seconds are left
	var g sync.WaitGroup
	for range 16 {
		g.Go(func() {
			if err := scan(t.Context(), tb); err != nil {
				t.Error(err)
			}
		})
	}
	g.Wait()
	if n := in.tokenRequests(); n != 2 {
		t.Errorf("%d requests for a token, want a second one for all", n)
	}
	if n := count(in, 401); n != 0 {
		t.Errorf("%d requests were refused on the way", n)
	}
}

// count counts the answers with this status.
func count(in *instance, status int) int {
	n := 0
	for _, r := range in.Journal() {
		if r.Status == status {
			n++
		}
	}
	return n
}

func TestATokenThatEndsInMidRunIsReplacedOnceForAll(t *testing.T) {
	in := newInstance(t, sim.Options{})
	key := in.Insert("incident", nil)
	tb := in.table(t, granted(in.url, "password"))
	for _, all := range []bool{false, true} { // with the refresh token, then by password again
		in.Revoke(all)
		before, wrong := in.tokenRequests(), count(in, 401)
		put(t, tb, key, map[string]string{"short_description": "written once"}, "short_description")
		var g sync.WaitGroup
		for range 8 {
			g.Go(func() {
				if err := scan(t.Context(), tb); err != nil {
					t.Error(err)
				}
			})
		}
		g.Wait()
		want := 1
		if all {
			want = 2
		}
		if n := in.tokenRequests() - before; n != want {
			t.Errorf("%d requests for a token, want %d", n, want)
		}
		if n := count(in, 401) - wrong; n != want {
			t.Errorf("%d refused requests, want %d", n, want)
		}
	}
	if got := in.Get("incident", key)["sys_mod_count"]; got != "1" {
		t.Errorf("the record was written %s times", got)
	}
}

func TestARefusedTokenIsNeverALoop(t *testing.T) {
	in := newInstance(t, sim.Options{})
	tb := in.table(t, granted(in.url, "client_credentials"))
	in.fault(t, "401:incident")
	before := len(in.Journal())
	wants(t, "tokens that the API refuses", create(t.Context(), tb), connectors.ErrAuth, "token's user is active")
	if n := len(in.Journal()) - before; n != 3 { // the write, a token, the write again
		t.Errorf("%d requests", n)
	}
	in.Calm()
	in.fault(t, "revoked:incident:n=1", "401:oauth_token")
	before = len(in.Journal())
	wants(t, "a token endpoint that refuses", create(t.Context(), tb), connectors.ErrAuth, "client_secret is wrong")
	wants(t, "right after that", create(t.Context(), tb), connectors.ErrAuth, "client_secret is wrong")
	if n := len(in.Journal()) - before; n != 2 {
		t.Errorf("%d requests, want the write and one for a token: accounts lock", n)
	}
	in.Calm()
	in.clock.Pass(11 * time.Second)
	if err := create(t.Context(), tb); err != nil {
		t.Errorf("when all is well again: %v", err)
	}
	if n := len(in.All("incident")); n != 1 {
		t.Errorf("%d incidents", n)
	}
}

func oauthFailuresLookAlike(t *testing.T) {
	in := newInstance(t, sim.Options{})
	user := in.Find("sys_user", "user_name", "integration")[0]["sys_id"]
	try := func(s *servicenow.Settings) error {
		_, err := in.connect(t, s, nil).Collection(t.Context(), "incident")
		return err
	}
	texts := map[string]bool{}
	for _, c := range []struct {
		name, grant string
		with        func(a *servicenow.Auth)
		turn        func()
		hint        string
	}{
		{"a wrong secret", "password", func(a *servicenow.Auth) { a.ClientSecret = "other" }, nil, "client_secret is wrong"},
		{"a wrong password", "password", func(a *servicenow.Auth) { a.Password = "other" }, nil, "username or password is wrong"},
		{"a locked user", "password", nil, func() { in.Rewrite("sys_user", user, map[string]string{"locked_out": "true"}) }, "is locked, inactive"},
		{"a user without interactive access", "password", nil, func() {
			in.Rewrite("sys_user", user, map[string]string{"locked_out": "false", "web_service_access_only": "true"})
		}, "no interactive access"},
		{"a grant that is switched off", "client_credentials", nil, func() { in.turn(t, "oauth-grants=none") }, "grant_type.enabled is not true"},
	} {
		if c.turn != nil {
			c.turn()
		}
		s := granted(in.url, c.grant)
		if c.with != nil {
			c.with(&s.Auth)
		}
		e := wants(t, c.name, try(s), connectors.ErrAuth, c.hint)
		texts[e.Detail] = true
	}
	if len(texts) != 1 {
		t.Errorf("the server says one thing, and it is reported as %v", texts)
	}
	// What can be told apart is.
	for fault, want := range map[string]error{"503:oauth_token": connectors.ErrBusy, "429:oauth_token": connectors.ErrBusy, "reset-before:oauth_token": connectors.ErrBusy,
		"hibernation:oauth_token": connectors.ErrConfig} {
		in.fault(t, fault)
		wants(t, fault, try(granted(in.url, "client_credentials")), want, "")
	}
	in.Calm()
	e := wants(t, "another path", try(granted(in.url+"/somewhere", "client_credentials")), connectors.ErrConfig, "token endpoint")
	if e.Hint == "" {
		t.Error("no hint")
	}
}

func sharedTokensShrink(t *testing.T) {
	in := newInstance(t, sim.Options{})
	in.turn(t, "token-life=100s")
	first := in.table(t, granted(in.url, "client_credentials"))
	in.clock.Pass(96 * time.Second)
	// Another process of the same user gets what is left of the first one's token: four seconds.
	second := in.table(t, granted(in.url, "client_credentials"))
	before := in.tokenRequests()
	for range 20 {
		if err := scan(t.Context(), second); err != nil {
			t.Fatal(err)
		}
	}
	if n := in.tokenRequests() - before; n != 0 {
		t.Errorf("%d more requests for a token that is the same each time", n)
	}
	in.clock.Pass(5 * time.Second)
	for _, tb := range []*servicenow.Table{first, second} {
		if err := scan(t.Context(), tb); err != nil {
			t.Error(err)
		}
	}
	if n := count(in, 401); n != 0 {
		t.Errorf("%d requests went out with a token that was over", n)
	}
}

func TestSecretsOfOAuthAreNeverShown(t *testing.T) {
	var logged bytes.Buffer
	log := slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	key := elliptical(t, elliptic.P256())
	private, public := keyPair(t, key)
	in := newInstance(t, sim.Options{Clients: []sim.Client{{ID: "fieldsync", Secret: "client-secret", User: "integration", Key: public}}})
	var said strings.Builder
	var tokens []string
	note := func(err error) {
		for ; err != nil; err = errors.Unwrap(err) {
			said.WriteString(err.Error() + connectors.Hint(err))
			if many, ok := err.(interface{ Unwrap() []error }); ok {
				for _, one := range many.Unwrap() {
					said.WriteString(one.Error())
				}
			}
		}
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if v := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "); v != "" {
			tokens = append(tokens, v)
		}
		in.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	for _, grant := range []string{"client_credentials", "password", "jwt_bearer"} {
		s := granted(srv.URL, grant)
		if grant == "jwt_bearer" {
			s.Auth.Key = private
		}
		conn := in.connect(t, s, log)
		_, err := conn.Collection(t.Context(), "incident")
		note(err)
		found, err := conn.(connectors.Checker).Check(t.Context())
		note(err)
		for _, f := range found {
			said.WriteString(f.Detail + f.Hint)
		}
		in.fault(t, "401")
		s.Auth.ClientSecret = "another-secret"
		_, err = in.connect(t, s, log).Collection(t.Context(), "incident")
		note(err)
		in.Calm()
	}
	for _, secret := range append(tokens, "client-secret", "another-secret", "secret", string(private)) {
		if secret != "secret" && strings.Contains(logged.String()+said.String(), secret) || strings.Contains(said.String()+logged.String(), "="+secret) {
			t.Errorf("%q was shown:\n%s\n%s", secret, logged.String(), said.String())
		}
	}
	if len(tokens) == 0 || !strings.Contains(logged.String(), "logged in") {
		t.Error("nothing was logged in to")
	}
}

func TestCredentialsGoToTheTokenEndpointAlone(t *testing.T) {
	in := newInstance(t, sim.Options{})
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		elsewhere.Add(1)
		in.ServeHTTP(w, r)
	}))
	t.Cleanup(other.Close)
	moved := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/oauth_token.do" {
			http.Redirect(w, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
			return
		}
		in.ServeHTTP(w, r)
	}))
	t.Cleanup(moved.Close)
	s := granted(moved.URL, "client_credentials")
	_, err := in.connect(t, s, nil).Collection(t.Context(), "incident")
	wants(t, "an endpoint that sends elsewhere", err, connectors.ErrConfig, "token_url")
	if elsewhere.Load() != 0 {
		t.Error("the credentials followed the redirect")
	}
	s.Auth.TokenURL = other.URL + "/oauth_token.do"
	in.table(t, s)
	if elsewhere.Load() != 1 {
		t.Errorf("%d requests where token_url says", elsewhere.Load())
	}
}

func TestCertificatesOfTokenEndpointsAreVerified(t *testing.T) {
	in := newInstance(t, sim.Options{})
	srv := httptest.NewUnstartedServer(in.Server)
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	s := granted(in.url, "client_credentials")
	s.Auth.TokenURL = srv.URL + "/oauth_token.do"
	_, err := in.connect(t, s, nil).Collection(t.Context(), "incident")
	wants(t, "a certificate that nobody trusts", err, connectors.ErrOffline, "SSL_CERT_FILE")
	if n := in.tokenRequests(); n != 0 {
		t.Errorf("%d requests for a token", n)
	}
}

func TestALogInEndsWithItsCaller(t *testing.T) {
	in := newInstance(t, sim.Options{})
	in.fault(t, "slow-before:oauth_token:wait=300ms")
	tb := in.connect(t, granted(in.url, "client_credentials"), nil)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := tb.Collection(ctx, "incident"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the error is %v", err)
	}
}

func TestTokensOfEveryShapeAreTaken(t *testing.T) {
	in := newInstance(t, sim.Options{})
	for _, c := range []struct {
		name, answer string
		status       int
		kind         error
		hint         string
	}{
		{"no word about its life", `{"access_token":"x"}`, 200, connectors.ErrAuth, "gives a token and the API refuses it"},
		{"a life in text", `{"access_token":"x","expires_in":"17"}`, 200, connectors.ErrAuth, "gives a token and the API refuses it"},
		{"no token", `{"scope":"useraccount"}`, 200, connectors.ErrConfig, "no token endpoint"},
		{"not JSON", `hello`, 200, connectors.ErrConfig, "no token endpoint"},
		{"a client that another server does not know", `{"error":"invalid_client"}`, 401, connectors.ErrAuth, "check client_id"},
		{"a grant that it does not offer", `{"error":"unsupported_grant_type"}`, 400, connectors.ErrAuth, "does not offer"},
		{"a user that it refuses", `{"error":"invalid_grant"}`, 400, connectors.ErrAuth, "OAuth Application User"},
		{"an error of its own", `{"error":"odd"}`, 400, connectors.ErrAuth, "one of"},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.answer)
			}))
			t.Cleanup(srv.Close)
			s := granted(in.url, "client_credentials")
			s.Auth.TokenURL = srv.URL
			_, err := in.connect(t, s, nil).Collection(t.Context(), "incident")
			wants(t, c.name, err, c.kind, c.hint)
		})
	}
}

func TestOAuthIsChecked(t *testing.T) {
	in := newInstance(t, sim.Options{})
	in.Insert("incident", nil)
	for grant, want := range map[string]string{"client_credentials": "accepted as integration", "password": "accepted as integration"} {
		found, err := in.connect(t, granted(in.url, grant), nil).(connectors.Checker).Check(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var all strings.Builder
		for _, f := range found {
			all.WriteString(f.What + ": " + f.Detail + "\n")
		}
		for _, w := range []string{want, "token: grant " + grant, "replaced in 29m50s", "write incident: import_transformer, incident_manager, itil"} {
			if !strings.Contains(all.String(), w) {
				t.Errorf("%s: no %q in\n%s", grant, w, all.String())
			}
		}
	}
	in.turn(t, "hide-rows=sys_user")
	hidden, err := in.connect(t, granted(in.url, "client_credentials"), nil).(connectors.Checker).Check(t.Context())
	if i := slices.IndexFunc(hidden, func(f connectors.Finding) bool { return strings.Contains(f.Detail, "OAuth Application User") }); err != nil || i < 0 {
		t.Errorf("of a user that is not shown: %v %v", hidden, err)
	}
	s := granted(in.url, "password")
	s.Auth.Password = "wrong"
	found, err := in.connect(t, s, nil).(connectors.Checker).Check(t.Context())
	if err != nil || len(found) != 1 || found[0].OK || !strings.Contains(found[0].Hint, "password is wrong") {
		t.Errorf("%v %v", found, err)
	}
}
