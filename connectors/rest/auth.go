package rest

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/fieldsync/fieldsync/connectors"
)

// A keeper puts credentials on requests.
type keeper interface {
	sign(ctx context.Context, req *http.Request) error
	// renew is called after the tool refused what sign put on req. false: nothing better can be had.
	renew(req *http.Request) bool
}

// kinds are the log-ins that there are, and the settings that each of them takes.
var kinds = map[string][]string{
	"header": {"name", "prefix", "key"}, "query": {"name", "key"}, "basic": {"username", "key", "password"}, "bearer": {"token"},
	"oauth": {"grant", "token_url", "client_id", "client_secret", "scopes", "username", "password", "refresh_token"},
}

// login finds out how to log in: what the connection says, completed by what the description knows of that kind.
func (c *Config) login(h *http.Client) (keeper, error) {
	bad := func(detail, hint string) (keeper, error) { return nil, wrong("rest", detail, hint) }
	if len(c.Auth) > 1 {
		return bad(fmt.Sprintf("there are %d auth blocks", len(c.Auth)), "a connection logs in in one way; keep one of them")
	}
	var takes []string
	for _, a := range c.tool.auth {
		takes = append(takes, fmt.Sprintf("auth %q", a.Kind))
	}
	if len(c.Auth) == 0 {
		if len(takes) > 0 {
			return bad("there is no auth block", c.System+" takes "+strings.Join(takes, " or "))
		}
		return nobody{}, nil
	}
	a := c.Auth[0]
	if kinds[a.Kind] == nil {
		return bad(fmt.Sprintf("auth %q is not known", a.Kind), `write auth "header", "query", "basic", "bearer" or "oauth"`)
	}
	if i := slices.IndexFunc(c.tool.auth, func(k Auth) bool { return k.Kind == a.Kind }); i >= 0 {
		a = completed(a, c.tool.auth[i])
	} else if len(takes) > 0 {
		return bad(fmt.Sprintf("%s has no log-in of the kind %q", c.System, a.Kind), "it takes "+strings.Join(takes, " or "))
	}
	given := map[string]bool{"name": a.Name != "", "prefix": a.Prefix != "", "key": a.Key != "", "token": a.Token != "", "username": a.Username != "",
		"password": a.Password != "", "grant": a.Grant != "", "token_url": a.TokenURL != "", "client_id": a.ClientID != "",
		"client_secret": a.ClientSecret != "", "refresh_token": a.RefreshToken != "", "scopes": len(a.Scopes) > 0}
	for name, has := range given {
		if has && !slices.Contains(kinds[a.Kind], name) {
			return bad(fmt.Sprintf("auth %q takes no %s", a.Kind, name), "it takes "+strings.Join(kinds[a.Kind], ", "))
		}
	}
	need := func(names ...string) error {
		for _, n := range names {
			if !given[n] {
				return wrong("rest", fmt.Sprintf("auth %q has no %s", a.Kind, n), "write "+n+", credentials from env(...)")
			}
		}
		return nil
	}
	switch a.Kind {
	case "header":
		return header{a.Name, a.Prefix + a.Key.Reveal()}, need("name", "key")
	case "query":
		return parameter{a.Name, a.Key}, need("name", "key")
	case "bearer":
		return header{"Authorization", "Bearer " + a.Token.Reveal()}, need("token")
	case "basic":
		if !given["username"] && !given["key"] {
			return bad(`auth "basic" has no username`, "write username and password, from env(...)")
		}
		pair := a.Username + a.Key.Reveal() + ":" + a.Password.Reveal()
		return header{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(pair))}, need("password")
	}
	if err := need("token_url"); err != nil {
		return nil, err
	}
	if _, err := address(a.TokenURL, c.InsecureHTTP); err != nil {
		e, _ := errors.AsType[*connectors.Error](err)
		e.Detail = strings.Replace(e.Detail, "url", "token_url", 1)
		return nil, e
	}
	k := &tokens{http: h, auth: a}
	switch a.Grant {
	case "", "client_credentials":
		return k, need("client_id", "client_secret")
	case "password":
		return k, need("client_id", "username", "password")
	case "refresh_token":
		return k, need("client_id", "refresh_token")
	}
	return bad(fmt.Sprintf("grant = %q", a.Grant), `write "client_credentials", "password" or "refresh_token"`)
}

// completed is a with what the description knows beyond it.
func completed(a, known Auth) Auth {
	for _, f := range []struct{ to, from *string }{{&a.Name, &known.Name}, {&a.Prefix, &known.Prefix}, {&a.Username, &known.Username},
		{&a.Grant, &known.Grant}, {&a.TokenURL, &known.TokenURL}, {&a.ClientID, &known.ClientID}} {
		if *f.to == "" {
			*f.to = *f.from
		}
	}
	if a.Password == "" {
		a.Password = known.Password // a constant that the tool wants beside a key
	}
	if len(a.Scopes) == 0 {
		a.Scopes = known.Scopes
	}
	if a.Kind == "basic" && a.Key != "" {
		a.Username = ""
	}
	return a
}

type nobody struct{}

func (nobody) sign(context.Context, *http.Request) error { return nil }
func (nobody) renew(*http.Request) bool                  { return false }

type header struct{ name, value string }

func (h header) sign(_ context.Context, req *http.Request) error {
	req.Header.Set(h.name, h.value)
	return nil
}
func (header) renew(*http.Request) bool { return false }

type parameter struct {
	name string
	key  connectors.Secret
}

func (p parameter) sign(_ context.Context, req *http.Request) error {
	q := req.URL.Query()
	q.Set(p.name, p.key.Reveal())
	req.URL.RawQuery = encode(q)
	return nil
}
func (parameter) renew(*http.Request) bool { return false }

// tokens are what OAuth 2.0 gives for credentials. One is asked for at a time, and used until it ends or is refused.
type tokens struct {
	http *http.Client
	auth Auth

	mu      sync.Mutex
	now     *oauth2.Token
	refresh string
}

func (k *tokens) sign(ctx context.Context, req *http.Request) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.now.Valid() {
		token, err := k.ask(context.WithValue(ctx, oauth2.HTTPClient, k.http))
		if err != nil {
			return refused(ctx, err)
		}
		k.now = token
		if token.RefreshToken != "" {
			k.refresh = token.RefreshToken
		}
	}
	k.now.SetAuthHeader(req)
	return nil
}

func (k *tokens) ask(ctx context.Context) (*oauth2.Token, error) {
	a := k.auth
	if a.Grant == "" || a.Grant == "client_credentials" {
		c := clientcredentials.Config{ClientID: a.ClientID, ClientSecret: a.ClientSecret.Reveal(), TokenURL: a.TokenURL, Scopes: a.Scopes}
		return c.Token(ctx)
	}
	c := oauth2.Config{ClientID: a.ClientID, ClientSecret: a.ClientSecret.Reveal(), Scopes: a.Scopes, Endpoint: oauth2.Endpoint{TokenURL: a.TokenURL}}
	refresh := k.refresh
	if refresh == "" {
		refresh = a.RefreshToken.Reveal()
	}
	if refresh != "" {
		token, err := c.TokenSource(ctx, &oauth2.Token{RefreshToken: refresh}).Token()
		if err == nil || a.Grant == "refresh_token" {
			return token, err
		}
		k.refresh = "" // it has ended; the password opens again
	}
	return c.PasswordCredentialsToken(ctx, a.Username, a.Password.Reveal())
}

// renew drops the token that was refused, unless somebody else did so already.
func (k *tokens) renew(req *http.Request) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.now != nil && strings.HasSuffix(req.Header.Get("Authorization"), " "+k.now.AccessToken) {
		k.now = nil
	}
	return true
}

// refused is a token that was not given. Nothing of the request itself was sent.
func refused(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	e, answered := errors.AsType[*oauth2.RetrieveError](err)
	if !answered || e.Response == nil || e.Response.StatusCode >= http.StatusInternalServerError || e.Response.StatusCode == http.StatusTooManyRequests {
		return &connectors.Error{Kind: connectors.ErrOffline, Op: "log in", Detail: "token_url gives no token", Hint: "check token_url and that it can be reached", Err: plainCause(err)}
	}
	detail := e.ErrorCode
	if e.ErrorDescription != "" {
		detail += ": " + shorten(e.ErrorDescription)
	}
	if detail == "" {
		detail = e.Response.Status
	}
	return &connectors.Error{Kind: connectors.ErrAuth, Op: "log in", Detail: detail, Hint: "check client_id, client_secret and the other settings of auth \"oauth\""}
}
