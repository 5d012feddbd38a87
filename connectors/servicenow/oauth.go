package servicenow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"golang.org/x/sync/singleflight"

	"github.com/fieldsync/fieldsync/connectors"
)

// The grants of auth "oauth".
const (
	grantClient   = "client_credentials"
	grantPassword = "password"
	grantRefresh  = "refresh_token"
	grantJWT      = "jwt_bearer"
)

const (
	// tokenPath is where an instance gives out tokens.
	tokenPath = "/oauth_token.do"
	// defaultLife is that of a token whose answer does not say it.
	defaultLife = 30 * time.Minute
	// early is how long before its end a token is replaced. An instance hands out the same token again until it is
	// over, so near the end asking early is in vain: half of what is left is waited out then.
	early = 10 * time.Second
	// refusedFor is how long a refused log-in is not tried again: a run has many requests, and accounts lock.
	refusedFor = 10 * time.Second
	// tokenTime is what one request for a token may take.
	tokenTime = time.Minute
)

// A login gets access tokens and keeps the one of now in memory alone: tokens are neither stored nor logged.
type login struct {
	auth     Auth
	url      string
	client   *client // for its clock and its way of telling what went wrong
	sign     func(now time.Time) (string, error)
	requests singleflight.Group

	mu        sync.Mutex
	access    string
	renew     time.Time // from when on access is replaced
	refresh   string
	refused   error
	refusedAt time.Time
}

// newLogin checks nothing that Auth.check has not checked but the key of jwt_bearer.
func newLogin(c *client, auth Auth) (*login, error) {
	l := &login{auth: auth, client: c, url: cmp.Or(auth.TokenURL, c.addr.root+tokenPath), refresh: auth.RefreshToken.Reveal()}
	if auth.Grant == grantJWT {
		var err error
		if l.sign, err = signer(auth); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// token returns an access token that is not the one called old, which was refused; "" takes any. However many ask,
// one request for a token is under way.
func (l *login) token(ctx context.Context, op, old string) (string, error) {
	l.mu.Lock()
	access, refused := l.access, l.refused
	now := l.client.now()
	if age := now.Sub(l.refusedAt); age < 0 || age >= refusedFor {
		refused = nil
	}
	fresh := access != "" && access != old && now.Before(l.renew)
	l.mu.Unlock()
	switch {
	case fresh:
		return access, nil
	case refused != nil:
		return "", forOp(refused, op)
	}
	// The request belongs to all who wait for it: it does not end with the context of the first.
	got := l.requests.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tokenTime)
		defer cancel()
		return l.request(ctx, old)
	})
	select {
	case r := <-got:
		if r.Err != nil {
			return "", forOp(r.Err, op)
		}
		return r.Val.(string), nil
	case <-ctx.Done():
		return "", fmt.Errorf("%s: %w", op, ctx.Err())
	}
}

// forOp is a failure to log in, under the name of the operation that needed it.
func forOp(err error, op string) error {
	e, ok := errors.AsType[*connectors.Error](err)
	if !ok {
		return fmt.Errorf("%s: %w", op, err)
	}
	own := *e
	own.Op = op
	return &own
}

// request gets a token: with the refresh token while there is one, else as the grant says.
func (l *login) request(ctx context.Context, old string) (string, error) {
	l.mu.Lock()
	access, renew, refresh := l.access, l.renew, l.refresh
	l.mu.Unlock()
	if access != "" && access != old && l.client.now().Before(renew) {
		return access, nil // somebody was quicker
	}
	t, began, err := l.ask(ctx, refresh)
	if errors.Is(err, connectors.ErrAuth) && refresh != "" && l.auth.Grant == grantPassword {
		// The refresh token is over; the password is still there.
		t, began, err = l.ask(ctx, "")
		refresh = ""
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.access = ""
		if errors.Is(err, connectors.ErrAuth) {
			l.refused, l.refusedAt = err, l.client.now()
		}
		return "", err
	}
	l.refused = nil
	l.access, l.refresh = t.AccessToken, refresh
	if l.auth.Grant == grantPassword || l.auth.Grant == grantRefresh {
		l.refresh = cmp.Or(t.RefreshToken, refresh)
	}
	left := life(t)
	l.renew = began.Add(left - min(early, left/2))
	l.client.log.Debug("logged in", "grant", l.auth.Grant, "expires_in", left)
	return l.access, nil
}

// ask sends one request for a token.
func (l *login) ask(ctx context.Context, refresh string) (*oauth2.Token, time.Time, error) {
	form := url.Values{}
	grant := l.auth.Grant
	if grant == grantPassword && refresh != "" {
		grant = grantRefresh
	}
	began := l.client.now()
	switch grant {
	case grantClient:
		if l.auth.Scope != "" {
			form.Set("scope", l.auth.Scope)
		}
	case grantPassword:
		form.Set("grant_type", "password")
		form.Set("username", l.auth.Username)
		form.Set("password", l.auth.Password.Reveal())
	case grantRefresh:
		form.Set("grant_type", "refresh_token")
		form.Set("refresh_token", refresh)
	case grantJWT:
		assertion, err := l.sign(began)
		if err != nil {
			return nil, began, err
		}
		form.Set("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")
		form.Set("assertion", assertion)
	}
	// The one type of the library that sends what is asked of it, under every grant.
	config := clientcredentials.Config{ClientID: l.auth.ClientID, ClientSecret: l.auth.ClientSecret.Reveal(), TokenURL: l.url,
		AuthStyle: oauth2.AuthStyleInParams, EndpointParams: form}
	t, err := config.Token(context.WithValue(ctx, oauth2.HTTPClient, l.client.http))
	if err != nil {
		return nil, began, l.failed(ctx, grant, err)
	}
	return t, began, nil
}

// life is how long a token is good for, as its answer says: less than the usual where another client of the same
// user got it first.
func life(t *oauth2.Token) time.Duration {
	var seconds float64
	switch v := t.Extra("expires_in").(type) {
	case float64:
		seconds = v
	case string:
		var err error
		if seconds, err = strconv.ParseFloat(v, 64); err != nil || math.IsNaN(seconds) {
			return defaultLife
		}
	default:
		return defaultLife
	}
	return time.Duration(min(max(seconds, 0), 365*24*3600) * float64(time.Second))
}

// failed says what came of a request for a token. An instance gives one answer to every refusal, so its hint lists
// what may be the cause; other servers tell more. What the answer holds is shown by its error code alone.
func (l *login) failed(ctx context.Context, grant string, err error) error {
	e := &connectors.Error{Kind: connectors.ErrAuth, Op: "log-in"}
	host := hostOf(l.url)
	re, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		if _, sent := errors.AsType[*url.Error](err); sent {
			// No request of the caller has left yet, so nothing of it can have happened: as a read that got no answer.
			return l.client.lost(ctx, &call{op: "log-in"}, err, host)
		}
		e.Kind, e.Detail = connectors.ErrConfig, "the answer of "+host+" holds no access token"
		e.Hint = "no token endpoint answers like this; check url, and token_url if it is set"
		return e
	}
	status := re.Response.StatusCode
	e.Detail = fmt.Sprintf("the token endpoint answers HTTP %d", status)
	switch {
	case status == http.StatusTooManyRequests:
		e.Kind, e.RetryAfter = connectors.ErrBusy, retryAfter(re.Response.Header, l.client.now())
		e.Hint = "too many requests for tokens, or a full queue; lower limits.rate or limits.concurrency"
	case status >= 500:
		e.Kind, e.RetryAfter = connectors.ErrBusy, retryAfter(re.Response.Header, l.client.now())
		e.Hint = "the instance or the way to it has trouble, or is being upgraded"
	case status >= 300 && status < 400:
		e.Kind = connectors.ErrConfig
		e.Detail = "the token endpoint redirects"
		if u, err := url.Parse(re.Response.Header.Get("Location")); err == nil && u.Host != "" {
			e.Detail += " to " + shorten(u.Host)
		}
		e.Hint = "redirects are not followed, they would carry the credentials along; where another server gives out the tokens, write its address as token_url"
	case re.ErrorCode == "" || status == http.StatusNotFound:
		e.Kind = connectors.ErrConfig
		e.Hint = "there is no token endpoint at " + host + "; check url, and token_url if it is set, and that OAuth (com.snc.platform.security.oauth) is active on the instance"
	case re.ErrorCode == "server_error" || re.ErrorCode == "access_denied":
		e.Detail = "the token endpoint refuses the log-in and does not say why"
		e.Hint = l.causes(grant)
	default:
		e.Detail = "the token endpoint refuses the log-in: " + shorten(re.ErrorCode)
		e.Hint = map[string]string{
			"invalid_client":         "check client_id and client_secret, and that the application is active",
			"unauthorized_client":    "the application may not use the grant " + l.auth.Grant,
			"unsupported_grant_type": "the server does not offer the grant " + l.auth.Grant,
			"invalid_scope":          "check scope",
		}[re.ErrorCode]
		if re.ErrorCode == "invalid_grant" {
			e.Hint = l.causes(grant)
		}
		if e.Hint == "" {
			e.Hint = l.causes(grant)
		}
	}
	return e
}

// causes lists why an instance may refuse a log-in of this kind: it answers all of them alike.
func (l *login) causes(grant string) string {
	list := []string{"client_id or client_secret is wrong", "the application registry entry is inactive"}
	user := "the user " + strconv.Quote(l.auth.Username)
	switch grant {
	case grantPassword:
		list = append(list, "username or password is wrong", user+" is locked, inactive or must change its password",
			user+" has no interactive access (Web service access only), which this grant asks for: client_credentials and jwt_bearer do without")
	case grantClient:
		list = append(list, "glide.oauth.inbound.client.credential.grant_type.enabled is not true", "the entry has no OAuth Application User, or it is locked or inactive")
	case grantRefresh:
		list = append(list, "the refresh token has expired or was revoked: get a new one", "its user is locked or inactive")
	case grantJWT:
		list = append(list, "the entry does not know the certificate of key (or its key_id)", user+" is not in the field that the entry looks sub up in, or is locked or inactive",
			"this machine's clock is off by more than five minutes")
	}
	return "one of: " + strings.Join(list, "; ") + ". The instance's system log says which"
}

// status tells a person about the token of now.
func (l *login) status() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := fmt.Sprintf("grant %s, given by %s, replaced in %s", l.auth.Grant, hostOf(l.url), max(l.renew.Sub(l.client.now()), 0).Round(time.Second))
	if l.refresh != "" {
		s += ", with a refresh token"
	}
	return s
}

// authorize sets the credentials of a request. The token that it carries is returned: "" where it is none.
func (c *client) authorize(ctx context.Context, cl *call, req *http.Request, old string) (token string, err error) {
	switch c.auth.Kind {
	case "basic":
		req.SetBasicAuth(c.auth.Username, c.auth.Password.Reveal())
	case "api_key":
		req.Header.Set("x-sn-apikey", c.auth.Key.Reveal())
	case "oauth":
		if token, err = c.login.token(ctx, cl.op, old); err != nil {
			return "", err
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return token, nil
}
