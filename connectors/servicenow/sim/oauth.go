package sim

import (
	"cmp"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Client is an application that may get tokens: a row of the OAuth application registry.
type Client struct {
	ID, Secret string
	User       string // login of its OAuth Application User, for client_credentials; "" has none
	Key        string // public key in PEM form that its JSON web tokens are signed for; "" takes none
	UserField  string // column of sys_user that a token's sub names; "" is user_name
}

// DefaultClients is one application, which acts as the integration.
func DefaultClients() []Client {
	return []Client{{ID: "fieldsync", Secret: "client-secret", User: "integration"}}
}

// The grants of the token endpoint. jwt-bearer has a longer name on the wire.
const (
	grantPassword = "password"
	grantRefresh  = "refresh_token"
	grantClient   = "client_credentials"
	grantJWT      = "jwt-bearer"
	jwtBearer     = "urn:ietf:params:oauth:grant-type:jwt-bearer"
)

// How long tokens live where no switch says it.
const (
	accessLife  = 30 * time.Minute
	refreshLife = 100 * 24 * time.Hour
)

// A token is what stands for a user of a client.
type token struct {
	value, client, login string
	until                time.Time
}

// tokens are those that were given out, with the marks of assertions that came.
type tokens struct {
	mu              sync.Mutex
	access, refresh []token
	seen            map[string]bool // jti
}

// accessDenied is what the token endpoint answers to every refusal, whatever its cause.
func accessDenied() reply {
	return reply{status: http.StatusUnauthorized, header: http.Header{}, body: []byte(`{"error_description":"access_denied","error":"server_error"}`)}
}

// oauthAPI is the token endpoint. It reads forms alone.
func (s *Server) oauthAPI(c *call) reply {
	if c.method != http.MethodPost || !strings.HasPrefix(c.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		return accessDenied()
	}
	sent, err := io.ReadAll(io.LimitReader(c.Body, maxBody))
	if err != nil {
		return accessDenied()
	}
	form, err := url.ParseQuery(string(sent))
	if err != nil {
		return accessDenied()
	}
	i := slices.IndexFunc(s.clients, func(o Client) bool { return o.ID == form.Get("client_id") })
	if i < 0 || !equal(s.clients[i].Secret, form.Get("client_secret")) {
		return accessDenied()
	}
	client, grant := &s.clients[i], form.Get("grant_type")
	if grant == jwtBearer {
		grant = grantJWT
	}
	if allowed := s.on().Grants; allowed != "" && !slices.Contains(strings.Split(allowed, ","), grant) {
		return accessDenied()
	}
	now := s.time()
	switch grant {
	case grantPassword:
		for i := range s.users {
			if u := &s.users[i]; u.Login == form.Get("username") && u.Password != "" && equal(u.Password, form.Get("password")) && s.interactive(u) {
				return s.grant(client, u.Login, now, true, "")
			}
		}
	case grantRefresh:
		if t := s.tokens.find(true, form.Get("refresh_token"), now); t != nil && t.client == client.ID && s.may(t.login) {
			return s.grant(client, t.login, now, false, t.value)
		}
	case grantClient:
		if client.User != "" && s.may(client.User) {
			return s.grant(client, client.User, now, false, "")
		}
	case grantJWT:
		if login := s.assertion(client, form.Get("assertion"), now); login != "" && s.may(login) {
			return s.grant(client, login, now, false, "")
		}
	}
	return accessDenied()
}

func equal(want, got string) bool { return subtle.ConstantTimeCompare([]byte(want), []byte(got)) == 1 }

// may reports whether a user may log in at all.
func (s *Server) may(login string) bool {
	i := slices.IndexFunc(s.users, func(u User) bool { return u.Login == login })
	return i >= 0 && s.active(&s.users[i], false) != nil
}

// interactive reports whether a user may log in as a person does, which the password grant asks for.
func (s *Server) interactive(u *User) bool {
	if s.active(u, false) == nil {
		return false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.findOne("sys_user", "user_name", u.Login).get("web_service_access_only") != "true"
}

// grant answers with a token: the one that this user has of this client already, where tokens are shared, with
// what is left of its life.
func (s *Server) grant(client *Client, login string, now time.Time, withRefresh bool, refresh string) reply {
	w := s.on()
	life, longer := accessLife, refreshLife
	if w.TokenLife > 0 {
		life = w.TokenLife
	}
	if w.RefreshLife > 0 {
		longer = w.RefreshLife
	}
	ts := &s.tokens
	ts.mu.Lock()
	defer ts.mu.Unlock()
	give := func(list *[]token, life time.Duration) token {
		*list = slices.DeleteFunc(*list, func(t token) bool { return !t.until.After(now) })
		i := slices.IndexFunc(*list, func(t token) bool { return t.client == client.ID && t.login == login })
		if i >= 0 && !w.OwnTokens {
			return (*list)[i]
		}
		*list = append(*list, token{rand.Text(), client.ID, login, now.Add(life)})
		return (*list)[len(*list)-1]
	}
	access := give(&ts.access, life)
	if withRefresh {
		refresh = give(&ts.refresh, longer).value
	}
	b := quote([]byte(`{"access_token":`), access.value)
	if refresh != "" {
		b = quote(append(b, `,"refresh_token":`...), refresh)
	}
	b = append(b, `,"scope":"useraccount","token_type":"Bearer","expires_in":`...)
	b = strconv.AppendInt(b, int64(access.until.Sub(now).Seconds()), 10)
	return reply{status: http.StatusOK, header: http.Header{}, body: append(b, '}')}
}

// find looks a token up; nil if there is none or its time is over.
func (ts *tokens) find(refresh bool, value string, now time.Time) *token {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	list := ts.access
	if refresh {
		list = ts.refresh
	}
	for _, t := range list {
		if equal(t.value, value) && t.until.After(now) {
			return &t
		}
	}
	return nil
}

// bearer finds the user of an access token; nil if it stands for nobody.
func (s *Server) bearer(value string) *User {
	t := s.tokens.find(false, value, s.time())
	if t == nil {
		return nil
	}
	for i := range s.users {
		if s.users[i].Login == t.login {
			return s.active(&s.users[i], false)
		}
	}
	return nil
}

// Revoke makes all access tokens invalid at once, and all refresh tokens too if asked.
func (s *Server) Revoke(refresh bool) {
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	s.tokens.access = nil
	if refresh {
		s.tokens.refresh = nil
	}
}

// bearerOf is the token of a request; "" if it carries none.
func bearerOf(h http.Header) string {
	kind, value, _ := strings.Cut(h.Get("Authorization"), " ")
	if !strings.EqualFold(kind, "Bearer") {
		return ""
	}
	return strings.TrimSpace(value)
}

// claims are what an assertion says.
type claims struct {
	Issuer   string          `json:"iss"`
	Audience json.RawMessage `json:"aud"` // text, or a list of it
	Subject  string          `json:"sub"`
	Expires  json.Number     `json:"exp"`
	ID       string          `json:"jti"`
}

// skew is how far a client's clock may be off.
const skew = 300 * time.Second

// assertion finds the login that a JSON web token speaks for, after its signature was checked; "" if it is not good.
func (s *Server) assertion(client *Client, text string, now time.Time) string {
	body, ok := verified(cmp.Or(client.Key, s.on().JWTKey), text)
	var said claims
	if !ok || json.Unmarshal(body, &said) != nil {
		return ""
	}
	var audience string
	if json.Unmarshal(said.Audience, &audience) != nil {
		return ""
	}
	expires, err := said.Expires.Int64()
	if err != nil || audience != client.ID || said.Issuer != client.ID || said.Subject == "" || now.After(time.Unix(expires, 0).Add(skew)) {
		return ""
	}
	if s.on().JTIOnce {
		s.tokens.mu.Lock()
		defer s.tokens.mu.Unlock()
		if said.ID == "" || s.tokens.seen[said.ID] {
			return ""
		}
		if s.tokens.seen == nil {
			s.tokens.seen = map[string]bool{}
		}
		s.tokens.seen[said.ID] = true
	}
	field := client.UserField
	if field == "" {
		field = "user_name"
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	r := s.findOne("sys_user", field, said.Subject)
	if r == nil {
		return ""
	}
	return r.get("user_name")
}
