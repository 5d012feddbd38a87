package access

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// An OIDC is an identity provider that people log in at: OpenID Connect, by authorization code with PKCE.
type OIDC struct {
	Issuer       string
	ClientID     string
	ClientSecret string // "": a public client
	Redirect     string // the address of CallbackPath, as browsers reach it
	Scopes       []string
	Claim        string // what holds the words that have roles: "groups"
	HTTP         *http.Client

	mu       sync.Mutex
	provider *oidc.Provider
}

// CallbackPath is where the identity provider sends people back to.
const CallbackPath = LoginPath + "/callback"

// asking is how long the identity provider may take to answer.
const asking = 15 * time.Second

// A travel is a log-in on its way through the identity provider.
type travel struct {
	State    string    `json:"s"`
	Nonce    string    `json:"n"`
	Verifier string    `json:"v"`
	Then     string    `json:"t"`
	Until    time.Time `json:"u"`
}

// client is the context in which the provider is asked.
func (o *OIDC) client(ctx context.Context) context.Context {
	c := o.HTTP
	if c == nil {
		c = &http.Client{Timeout: asking}
	}
	return oidc.ClientContext(ctx, c)
}

// discovered asks the provider for its addresses, once it can be reached.
func (o *OIDC) discovered(ctx context.Context) (*oidc.Provider, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.provider != nil {
		return o.provider, nil
	}
	// The provider keeps the context for fetching its keys later.
	p, err := oidc.NewProvider(o.client(context.WithoutCancel(ctx)), o.Issuer)
	if err != nil {
		return nil, err
	}
	o.provider = p
	return p, nil
}

func (o *OIDC) config(p *oidc.Provider) *oauth2.Config {
	return &oauth2.Config{ClientID: o.ClientID, ClientSecret: o.ClientSecret, Endpoint: p.Endpoint(), RedirectURL: o.Redirect,
		Scopes: slices.Concat([]string{oidc.ScopeOpenID, "email", "profile"}, o.Scopes)}
}

// begin is the address to send a browser to.
func (o *OIDC) begin(ctx context.Context, t travel) (string, error) {
	p, err := o.discovered(ctx)
	if err != nil {
		return "", err
	}
	return o.config(p).AuthCodeURL(t.State, oidc.Nonce(t.Nonce), oauth2.S256ChallengeOption(t.Verifier)), nil
}

// finish makes of a code who it was, and the words of the claim.
func (o *OIDC) finish(ctx context.Context, t travel, code string) (name string, words []string, err error) {
	ctx, cancel := context.WithTimeout(o.client(ctx), asking)
	defer cancel()
	p, err := o.discovered(ctx)
	if err != nil {
		return "", nil, err
	}
	token, err := o.config(p).Exchange(ctx, code, oauth2.VerifierOption(t.Verifier))
	if err != nil {
		if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok { // its body may repeat what was sent
			return "", nil, fmt.Errorf("the code is not taken: %s %s", refused.ErrorCode, refused.ErrorDescription)
		}
		return "", nil, err
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return "", nil, errors.New("the answer has no id_token")
	}
	id, err := p.Verifier(&oidc.Config{ClientID: o.ClientID}).Verify(ctx, raw)
	if err != nil {
		return "", nil, err
	}
	if id.Nonce != t.Nonce {
		return "", nil, errors.New("the answer is of another log-in")
	}
	claims := map[string]any{}
	if err := id.Claims(&claims); err != nil {
		return "", nil, err
	}
	if _, there := claims[o.Claim]; !there && p.UserInfoEndpoint() != "" { // some tell it there alone
		if info, err := p.UserInfo(ctx, oauth2.StaticTokenSource(token)); err == nil && info.Subject == id.Subject {
			more := map[string]any{}
			if err := info.Claims(&more); err != nil {
				return "", nil, err
			}
			claims[o.Claim] = more[o.Claim]
		}
	}
	return nameOf(id.Subject, claims), wordsOf(claims[o.Claim]), nil
}

// nameOf is what the audit log calls somebody: an address that the provider has verified, or the subject, which nobody
// chooses.
func nameOf(subject string, claims map[string]any) string {
	email, _ := claims["email"].(string)
	if verified, said := claims["email_verified"].(bool); email != "" && (verified || !said) {
		return email
	}
	return subject
}

// wordsOf are the texts of a claim, which is one or a list of them.
func wordsOf(claim any) []string {
	switch c := claim.(type) {
	case string:
		return []string{c}
	case []any:
		var words []string
		for _, w := range c {
			if s, ok := w.(string); ok {
				words = append(words, s)
			}
		}
		return words
	}
	return nil
}
