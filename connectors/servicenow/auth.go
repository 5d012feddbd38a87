package servicenow

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/fieldsync/fieldsync/connectors"
)

// Auth is how to log in: auth "basic" { username, password }, auth "api_key" { key }, or auth "oauth" with a grant and
// what that needs.
type Auth struct {
	Kind         string            `hcl:"kind,label"`
	Grant        string            `hcl:"grant,optional"` // oauth: client_credentials, password, refresh_token or jwt_bearer
	Username     string            `hcl:"username,optional"`
	Password     connectors.Secret `hcl:"password,optional"`
	Key          connectors.Secret `hcl:"key,optional"` // api_key: the key; jwt_bearer: the private key in PEM form
	KeyID        string            `hcl:"key_id,optional"`
	ClientID     string            `hcl:"client_id,optional"`
	ClientSecret connectors.Secret `hcl:"client_secret,optional"`
	RefreshToken connectors.Secret `hcl:"refresh_token,optional"`
	Scope        string            `hcl:"scope,optional"`
	TokenURL     string            `hcl:"token_url,optional"` // where tokens are given out, where that is not the instance
}

// needs are what each kind of log-in, or grant of oauth, has to have; takes are what it may have.
var needs = map[string][]string{
	"basic":       {"username", "password"},
	"api_key":     {"key"},
	grantClient:   {"client_id", "client_secret"},
	grantPassword: {"client_id", "client_secret", "username", "password"},
	grantRefresh:  {"client_id", "client_secret", "refresh_token"},
	grantJWT:      {"client_id", "client_secret", "username", "key"},
}

var takes = map[string][]string{
	grantClient:   {"grant", "scope", "token_url"},
	grantPassword: {"grant", "token_url"},
	grantRefresh:  {"grant", "token_url"},
	grantJWT:      {"grant", "key_id", "token_url"},
}

// grants lists those of oauth.
var grants = []string{grantClient, grantPassword, grantRefresh, grantJWT}

const kinds = `write auth "basic" { username, password }, auth "api_key" { key } or auth "oauth" { grant, client_id, client_secret, … }`

// check holds an auth block against what its kind of log-in needs.
func (a *Auth) check(insecure bool) error {
	kind, name := a.Kind, fmt.Sprintf("auth %q", a.Kind)
	switch {
	case kind == "":
		return settingsError("there is no auth block", kinds)
	case kind == "oauth" && !slices.Contains(grants, a.Grant):
		detail := fmt.Sprintf("%s has the grant %q, which is not known", name, a.Grant)
		if a.Grant == "" {
			detail = name + " has no grant"
		}
		return settingsError(detail, "write grant = one of "+strings.Join(grants, ", ")+"; client_credentials and jwt_bearer need no password")
	case kind == "oauth":
		kind, name = a.Grant, fmt.Sprintf("auth %q with grant %q", a.Kind, a.Grant)
	case needs[kind] == nil || slices.Contains(grants, kind):
		return settingsError(name+" is not known", kinds)
	}
	set := map[string]bool{"grant": a.Grant != "", "username": a.Username != "", "password": a.Password != "", "key": a.Key != "", "key_id": a.KeyID != "",
		"client_id": a.ClientID != "", "client_secret": a.ClientSecret != "", "refresh_token": a.RefreshToken != "", "scope": a.Scope != "", "token_url": a.TokenURL != ""}
	all := strings.Join(needs[kind], ", ")
	for _, n := range needs[kind] {
		if !set[n] {
			return settingsError(name+" has no "+n, "write "+all+", secrets from env(...), file(...) or command(...)")
		}
	}
	for _, n := range []string{"grant", "username", "password", "key", "key_id", "client_id", "client_secret", "refresh_token", "scope", "token_url"} {
		if set[n] && !slices.Contains(needs[kind], n) && !slices.Contains(takes[kind], n) {
			return settingsError(name+" has "+n+", a setting of another kind of log-in", "leave only "+all)
		}
	}
	return a.checkTokenURL(insecure)
}

// checkTokenURL lets credentials go to another server only where the mapping names it, and only encrypted.
func (a *Auth) checkTokenURL(insecure bool) error {
	if a.TokenURL == "" {
		return nil
	}
	const write = `write token_url = "https://login.example.com/oauth2/token"`
	u, err := url.Parse(a.TokenURL)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https":
		return settingsError("token_url cannot be read", write)
	case u.User != nil:
		return settingsError("token_url holds credentials", "take them out of the address and write them as client_id and client_secret")
	case u.Scheme == "http" && !insecure && !loopback(u.Hostname()):
		return settingsError("token_url would send the credentials unencrypted to "+u.Host, write+", or insecure_http = true if the network in between is trusted")
	}
	return nil
}
