package sim_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors/servicenow/sim"
)

// A grant is the answer of the token endpoint.
type grant struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	Type    string `json:"token_type"`
	Expires int    `json:"expires_in"`
}

// ask requests a token with these fields, as name and value in turn, beside those of the application.
func (in *instance) ask(fields ...string) (answer, grant) {
	in.t.Helper()
	form := url.Values{"client_id": {"fieldsync"}, "client_secret": {"client-secret"}}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	r := httptest.NewRequest("POST", "http://acme.example/oauth_token.do", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	in.ServeHTTP(w, r)
	var g grant
	if w.Code == 200 {
		if err := json.Unmarshal(w.Body.Bytes(), &g); err != nil {
			in.t.Fatal(err)
		}
	}
	return answer{w.Code, w.Result().Header, w.Body.String()}, g
}

// with sends a request with an access token.
func (in *instance) with(token string) int {
	in.t.Helper()
	return in.do("", "GET", incidents, "", "Authorization", "Bearer "+token).status
}

var byPassword = []string{"grant_type", "password", "username", "integration", "password", "secret"}

const refusal = `{"error_description":"access_denied","error":"server_error"}`

func TestTokensAreSharedAndShrink(t *testing.T) {
	in := newInstance(t, sim.Options{})
	_, first := in.ask(byPassword...)
	if first.Access == "" || first.Refresh == "" || first.Type != "Bearer" || first.Expires != 1800 {
		t.Fatalf("%+v", first)
	}
	if status := in.with(first.Access); status != 200 {
		t.Errorf("with the token: %d", status)
	}
	in.now = start.Add(10 * time.Minute)
	if _, again := in.ask(byPassword...); again.Access != first.Access || again.Expires != 1200 {
		t.Errorf("ten minutes later: %+v", again)
	}
	if _, other := in.ask("grant_type", "password", "username", "closer", "password", "secret"); other.Access == first.Access {
		t.Error("two users have one token")
	}
	in.now = start.Add(31 * time.Minute)
	if status := in.with(first.Access); status != 401 {
		t.Errorf("after its end: %d", status)
	}
	_, next := in.ask("grant_type", "refresh_token", "refresh_token", first.Refresh)
	if next.Access == first.Access || next.Refresh != first.Refresh || in.with(next.Access) != 200 {
		t.Errorf("refreshed: %+v", next)
	}
	in.turn("tokens=own")
	if _, own := in.ask(byPassword...); own.Access == next.Access || own.Expires != 1800 {
		t.Errorf("of its own: %+v", own)
	}
	in.turn("tokens=shared", "token-life=90s", "refresh-life=1m")
	in.now = start.Add(2 * time.Hour)
	_, short := in.ask(byPassword...)
	if short.Expires != 90 {
		t.Errorf("of a short life: %+v", short)
	}
	in.Revoke(true)
	if a, _ := in.ask("grant_type", "refresh_token", "refresh_token", short.Refresh); a.body != refusal {
		t.Errorf("a revoked refresh token: %d %s", a.status, a.body)
	}
}

func TestEveryRefusalOfATokenLooksTheSame(t *testing.T) {
	in := newInstance(t, sim.Options{})
	id := in.Find("sys_user", "user_name", "integration")[0]["sys_id"]
	for _, c := range []struct {
		name  string
		with  []string
		first func()
	}{
		{"an unknown client", append([]string{"client_id", "x"}, byPassword...), nil},
		{"a wrong secret", append([]string{"client_secret", "x"}, byPassword...), nil},
		{"a wrong password", []string{"grant_type", "password", "username", "integration", "password", "x"}, nil},
		{"no grant", nil, nil},
		{"a refresh token that is none", []string{"grant_type", "refresh_token", "refresh_token", "x"}, nil},
		{"a JSON web token that is none", []string{"grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion", "a.b.c"}, nil},
		{"a machine account by password", byPassword, func() { in.Rewrite("sys_user", id, map[string]string{"web_service_access_only": "true"}) }},
		{"a locked user", byPassword, func() {
			in.Rewrite("sys_user", id, map[string]string{"web_service_access_only": "false", "locked_out": "true"})
		}},
		{"an application with a locked user", []string{"grant_type", "client_credentials"}, nil},
		{"a grant that is off", []string{"grant_type", "password", "username", "closer", "password", "secret"}, func() { in.turn("oauth-grants=client_credentials") }},
	} {
		if c.first != nil {
			c.first()
		}
		if a, _ := in.ask(c.with...); a.status != 401 || a.body != refusal {
			t.Errorf("%s: %d %s", c.name, a.status, a.body)
		}
	}
	in.Rewrite("sys_user", id, map[string]string{"locked_out": "false"})
	if a, g := in.ask("grant_type", "client_credentials"); a.status != 200 || g.Refresh != "" {
		t.Errorf("the grant that is on: %d %+v", a.status, g)
	}
	if a := in.do("", "POST", "/oauth_token.do", `{"grant_type":"client_credentials","client_id":"fieldsync","client_secret":"client-secret"}`, "Content-Type", "application/json"); a.body != refusal {
		t.Errorf("JSON: %d %s", a.status, a.body)
	}
	for _, r := range in.Journal() {
		if strings.Contains(r.Body+r.Query, "secret") {
			t.Errorf("the journal holds credentials: %+v", r)
		}
	}
}

func TestFaultsOfTokens(t *testing.T) {
	in := newInstance(t, sim.Options{})
	in.fault("401:oauth_token:n=1")
	in.fault("revoked:incident:n=2")
	if a, _ := in.ask(byPassword...); a.body != refusal {
		t.Errorf("a 401 of the token endpoint: %s", a.body)
	}
	_, g := in.ask(byPassword...)
	for i, want := range []int{200, 401, 401} {
		if status := in.with(g.Access); status != want {
			t.Errorf("request %d: %d, want %d", i+1, status, want)
		}
	}
	if _, next := in.ask(byPassword...); next.Access == g.Access {
		t.Error("the token that was revoked is given again")
	}
}

// signed is a JSON web token.
func signed(t *testing.T, key crypto.Signer, alg string, claims map[string]any) string {
	t.Helper()
	body, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"typ":"JWT","alg":"`+alg+`"}`)) + "." + base64.RawURLEncoding.EncodeToString(body)
	sum := sha256.Sum256([]byte(text))
	var signature []byte
	if ec, ok := key.(*ecdsa.PrivateKey); ok {
		r, s, err := ecdsa.Sign(rand.Reader, ec, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		signature = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	} else if signature, err = key.Sign(rand.Reader, sum[:], crypto.SHA256); err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func publicKey(t *testing.T, key crypto.Signer) string {
	t.Helper()
	b, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: b}))
}

func TestJSONWebTokensAreVerified(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	claims := func(change ...any) map[string]any {
		m := map[string]any{"iss": "fieldsync", "aud": "fieldsync", "sub": "closer@example.com", "exp": start.Add(time.Minute).Unix(), "jti": "one"}
		for i := 0; i < len(change); i += 2 {
			m[change[i].(string)] = change[i+1]
		}
		return m
	}
	good := signed(t, key, "RS256", claims())
	parts := strings.Split(good, ".")
	for _, c := range []struct {
		name, assertion string
		status          int
	}{
		{"as it should be", good, 200},
		{"just over, within the skew", signed(t, key, "RS256", claims("exp", start.Add(-299*time.Second).Unix())), 200},
		{"long over", signed(t, key, "RS256", claims("exp", start.Add(-301*time.Second).Unix())), 401},
		{"without an end", signed(t, key, "RS256", claims("exp", nil)), 401},
		{"for another audience", signed(t, key, "RS256", claims("aud", "x")), 401},
		{"by another issuer", signed(t, key, "RS256", claims("iss", "x")), 401},
		{"of nobody", signed(t, key, "RS256", claims("sub", "x")), 401},
		{"signed by another key", signed(t, ec, "ES256", claims()), 401},
		{"signed for other claims", parts[0] + "." + strings.Split(signed(t, key, "RS256", claims("sub", "admin@example.com")), ".")[1] + "." + parts[2], 401},
		{"without a signature", base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".", 401},
		{"of a kind that is not known", signed(t, key, "HS256", claims()), 401},
	} {
		in := newInstance(t, sim.Options{Clients: []sim.Client{{ID: "fieldsync", Secret: "client-secret", Key: publicKey(t, key), UserField: "email"}}})
		a, g := in.ask("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion", c.assertion)
		if a.status != c.status || g.Refresh != "" {
			t.Errorf("%s: %d %s", c.name, a.status, a.body)
		}
	}
	// The key may come from a file, and an assertion may count once.
	file := filepath.Join(t.TempDir(), "public.pem")
	if err := os.WriteFile(file, []byte(publicKey(t, ec)), 0o600); err != nil {
		t.Fatal(err)
	}
	in := newInstance(t, sim.Options{})
	in.turn("jwt-key="+file, "jti=once")
	once := signed(t, ec, "ES256", claims("sub", "closer"))
	for i, want := range []int{200, 401} {
		if a, _ := in.ask("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion", once); a.status != want {
			t.Errorf("the same assertion, time %d: %d", i+1, a.status)
		}
	}
}
