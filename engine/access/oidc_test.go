package access_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/fieldsync/fieldsync/engine/access"
)

// A provider is an identity provider with one user, which checks what it is sent as a real one does.
type provider struct {
	*httptest.Server
	key *rsa.PrivateKey

	mu     sync.Mutex
	asked  url.Values                                        // of the last authorization request
	claims map[string]any                                    // beside those that every token has
	info   map[string]any                                    // answered at userinfo; nil: there is none
	spoil  func(claims map[string]any, key **rsa.PrivateKey) // makes a bad token
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{key: key, claims: map[string]any{}}
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		found := map[string]any{"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token",
			"jwks_uri": p.URL + "/keys", "id_token_signing_alg_values_supported": []string{"RS256"}}
		if p.info != nil {
			found["userinfo_endpoint"] = p.URL + "/userinfo"
		}
		answer(w, found)
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: "1", Algorithm: "RS256", Use: "sig"}}})
	})
	mux.HandleFunc("GET /userinfo", func(w http.ResponseWriter, _ *http.Request) { answer(w, p.info) })
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		id, secret, _ := r.BasicAuth()
		switch {
		case r.FormValue("code") != "good", p.asked.Get("code_challenge_method") != "S256",
			base64.RawURLEncoding.EncodeToString(sum[:]) != p.asked.Get("code_challenge"),
			id != "fieldsync" || secret != "client-secret-1234", r.FormValue("redirect_uri") != p.asked.Get("redirect_uri"):
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"error":"invalid_grant"}`))
			return
		}
		claims := map[string]any{"iss": p.URL, "aud": "fieldsync", "sub": "u-1", "nonce": p.asked.Get("nonce"),
			"iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix()}
		for k, v := range p.claims {
			claims[k] = v
		}
		signing := p.key
		if p.spoil != nil {
			p.spoil(claims, &signing)
		}
		answer(w, map[string]any{"access_token": "a", "token_type": "Bearer", "id_token": sign(t, signing, claims)})
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

func sign(t *testing.T, key *rsa.PrivateKey, claims map[string]any) string {
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", "1"))
	if err != nil {
		t.Error(err)
		return ""
	}
	body, _ := json.Marshal(claims)
	signed, err := s.Sign(body)
	if err != nil {
		t.Error(err)
		return ""
	}
	text, _ := signed.CompactSerialize()
	return text
}

// known makes a house whose people log in at p.
func (p *provider) house(t *testing.T) *house {
	return newHouse(t, func(h *house) {
		h.gate.OIDC = &access.OIDC{Issuer: p.URL, ClientID: "fieldsync", ClientSecret: "client-secret-1234", Claim: "groups",
			Redirect: "http://" + h.Listener.Addr().String() + access.CallbackPath}
		h.who.Words = map[string]access.Role{"sync-ops": access.Run, "help-desk": access.Decide}
		h.now = time.Now()
	})
}

// travel goes to the provider and back, and returns what the last page says. meddle changes the address of the way back.
func (p *provider) travel(v *visitor, meddle func(url.Values)) (*http.Response, string) {
	v.t.Helper()
	resp, body := v.get("/login/oidc?then=/decide")
	if resp.StatusCode != http.StatusSeeOther {
		v.t.Fatalf("departed: %d %s", resp.StatusCode, body)
	}
	to, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || !strings.HasPrefix(to.String(), p.URL+"/authorize?") {
		v.t.Fatalf("sent to %s, %v", to, err)
	}
	p.mu.Lock()
	p.asked = to.Query()
	p.mu.Unlock()
	back := url.Values{"state": {p.asked.Get("state")}, "code": {"good"}}
	if meddle != nil {
		meddle(back)
	}
	return v.get("/login/callback?" + back.Encode())
}

func TestAnIdentityProviderLogsPeopleIn(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	p.claims = map[string]any{"email": "ada@example.com", "email_verified": true, "groups": []string{"all", "help-desk"}}
	h := p.house(t)
	v := h.visitor(t)
	resp, body := p.travel(v, nil)
	if resp.StatusCode != 200 || !strings.Contains(body, `content="0;url=/decide"`) || !strings.Contains(body, "ada@example.com") {
		t.Fatalf("arrived: %d %s", resp.StatusCode, body)
	}
	if got := p.asked.Get("scope"); got != "openid email profile" {
		t.Errorf("asked for the scopes %q", got)
	}
	if _, body := v.get("/decide"); body != "ada@example.com" {
		t.Errorf("the caller is %q", body)
	}
	v.expect("/run", 403)
	if len(h.did) != 1 || h.did[0] != "ada@example.com log in oidc" {
		t.Errorf("the audit log has %q", h.did)
	}
	h.set(func(h *house) { h.who.Words = map[string]access.Role{"help-desk": access.Look} })
	v.expect("/decide", 403) // the mapping was edited
	h.set(func(h *house) { h.who.Words = nil })
	v.expect("/look", 303)
	if strings.Contains(h.log.String(), "client-secret-1234") {
		t.Error("the client's secret is in the log")
	}
}

func TestGroupsMayBeToldApart(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	p.info = map[string]any{"sub": "u-1", "groups": "sync-ops"}
	v := p.house(t).visitor(t)
	p.travel(v, nil)
	if _, body := v.get("/run"); body != "u-1" {
		t.Errorf("the caller is %q, want the subject where there is no address", body)
	}
	p.info["sub"] = "u-2" // of somebody else: it says nothing of this one
	v = p.house(t).visitor(t)
	if resp, _ := p.travel(v, nil); resp.StatusCode != 403 {
		t.Errorf("somebody else's groups were taken: %d", resp.StatusCode)
	}
}

func TestAFalseLogInIsRefused(t *testing.T) {
	t.Parallel()
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		spoil  func(map[string]any, **rsa.PrivateKey)
		meddle func(url.Values)
		want   int
	}{
		{"another state", nil, func(q url.Values) { q.Set("state", "x") }, 400},
		{"no state", nil, func(q url.Values) { q.Del("state") }, 400},
		{"another code", nil, func(q url.Values) { q.Set("code", "bad") }, 403},
		{"the provider refuses", nil, func(q url.Values) { q.Set("error", "access_denied") }, 403},
		{"another nonce", func(c map[string]any, _ **rsa.PrivateKey) { c["nonce"] = "x" }, nil, 403},
		{"another client", func(c map[string]any, _ **rsa.PrivateKey) { c["aud"] = "x" }, nil, 403},
		{"another issuer", func(c map[string]any, _ **rsa.PrivateKey) { c["iss"] = "https://evil.example" }, nil, 403},
		{"an old token", func(c map[string]any, _ **rsa.PrivateKey) { c["exp"] = time.Now().Add(-time.Hour).Unix() }, nil, 403},
		{"another key", func(_ map[string]any, k **rsa.PrivateKey) { *k = other }, nil, 403},
		{"no role", func(c map[string]any, _ **rsa.PrivateKey) { c["groups"] = []string{"all"} }, nil, 403},
		{"no groups", func(c map[string]any, _ **rsa.PrivateKey) { delete(c, "groups") }, nil, 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newProvider(t)
			p.claims = map[string]any{"groups": []string{"sync-ops"}}
			p.spoil = tt.spoil
			v := p.house(t).visitor(t)
			resp, body := p.travel(v, tt.meddle)
			if resp.StatusCode != tt.want {
				t.Errorf("arrived: %d %s, want %d", resp.StatusCode, body, tt.want)
			}
			v.expect("/look", 303)
		})
	}
}

func TestAWayBackIsTakenOnceAndByWhoBeganIt(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	p.claims = map[string]any{"groups": []string{"sync-ops"}}
	h := p.house(t)
	v := h.visitor(t)
	p.travel(v, nil)
	again := "/login/callback?" + url.Values{"state": {p.asked.Get("state")}, "code": {"good"}}.Encode()
	v.expect(again, 400)
	h.visitor(t).expect(again, 400)
	late := h.visitor(t)
	resp, _ := p.travel(late, func(url.Values) { h.set(func(h *house) { h.now = h.now.Add(time.Hour) }) })
	if resp.StatusCode != 400 {
		t.Errorf("an hour later: %d", resp.StatusCode)
	}
}

func TestAProviderThatIsAwayIsTold(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	h := p.house(t)
	p.Close()
	if resp, body := h.visitor(t).get("/login/oidc"); resp.StatusCode != 502 || !strings.Contains(body, "cannot be reached") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}
