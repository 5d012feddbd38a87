package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/service"
	"github.com/fieldsync/fieldsync/engine/access"
)

// everyRoute lists what a service answers, without starting one.
func everyRoute(t *testing.T) []access.Route {
	t.Helper()
	s := newSite(t, nil)
	a := s.desk.app
	a.dir, a.getenv = s.desk.path("mappings"), s.desk.lookup
	p, err := a.openProject()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	p.Log = slog.New(slog.DiscardHandler)
	return service.Routes(p, a.source(nil))
}

// openRoutes are those that anybody may use: they log in, say only that the service lives, hold nothing of anybody, or check
// a signature.
var openRoutes = []string{"GET /healthz", "GET /readyz", "GET /login", "POST /login", "POST /logout", "GET /login/oidc", "GET /login/callback",
	"GET /static/{name}", "POST /hooks/{connection}/{collection}"}

var wildcard = regexp.MustCompile(`\{[^}]*\}`)

func TestEveryRouteAsksWhoItIs(t *testing.T) {
	token := map[access.Role]string{access.Look: access.NewToken(), access.Decide: access.NewToken(), access.Run: access.NewToken()}
	const session, client, webhook = "session-key-session-key-session-key", "client-secret-client-secret", "webhook-secret-webhook-secret"
	s := newSite(t, func(name, text string) string {
		if name != "connections.hcl" {
			return text
		}
		text = strings.Replace(text, `connection "servicenow" "prod" {`, "connection \"servicenow\" \"prod\" {\n webhook \"incident\" { secret = env(\"HOOK\") }\n", 1)
		text += "\nserve {\n url = \"https://sync.test\"\n session_key = env(\"SESSION\")\n oidc {\n  issuer = \"http://127.0.0.1:1\"\n  client_id = \"fieldsync\"\n  client_secret = env(\"CLIENT\")\n  roles = { ops = \"run\" }\n }\n"
		for role, secret := range token {
			text += fmt.Sprintf(" token %q {\n  hash = %q\n  role = %q\n }\n", role, access.HashOf(secret), role)
		}
		return text + "}\n"
	})
	for name, value := range map[string]string{"SESSION": session, "CLIENT": client, "HOOK": webhook} {
		s.desk.env[name] = value
	}
	s.serve()
	planted := []string{session, client, webhook, token[access.Look], token[access.Decide], token[access.Run]}

	// ask sends a request and looks for what must never be shown.
	ask := func(method, path, bearer, body string, header ...string) int {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if bearer != "" {
			r.Header.Set("Authorization", "Bearer "+bearer)
		}
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		resp, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(r)
		if err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
		defer resp.Body.Close()
		if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
			return resp.StatusCode // it has no end
		}
		answer, err := io.ReadAll(resp.Body)
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("%s %s: %v", method, path, err)
		}
		shown := fmt.Sprint(resp.Header) + string(answer)
		for _, secret := range planted {
			if strings.Contains(shown, secret) {
				t.Errorf("%s %s shows a secret", method, path)
			}
		}
		for _, name := range []string{"Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy"} {
			if resp.Header.Get(name) == "" {
				t.Errorf("%s %s has no %s", method, path, name)
			}
		}
		return resp.StatusCode
	}

	var seen []string
	for _, route := range everyRoute(t) {
		seen = append(seen, route.Pattern)
		method, pattern, ok := strings.Cut(route.Pattern, " ")
		if !ok {
			t.Errorf("the route %q has no method", route.Pattern)
			continue
		}
		path := wildcard.ReplaceAllString(strings.ReplaceAll(pattern, "{$}", ""), "x")
		if route.Role == access.Nobody {
			if !slices.Contains(openRoutes, route.Pattern) {
				t.Errorf("anybody may %s: decide who may, or add it to the list of those that are open", route.Pattern)
			}
		} else {
			if got := ask(method, path, "", ""); got != http.StatusUnauthorized {
				t.Errorf("%s without a log-in: %d, want 401", route.Pattern, got)
			}
			if got := ask(method, path, "", "", "Accept", "text/html"); got != http.StatusUnauthorized && (got != http.StatusSeeOther || method != http.MethodGet) {
				t.Errorf("%s in a browser without a log-in: %d", route.Pattern, got)
			}
			if lower := route.Role - 1; lower > access.Nobody {
				if got := ask(method, path, token[lower], ""); got != http.StatusForbidden {
					t.Errorf("%s by who may only %s: %d, want 403", route.Pattern, lower, got)
				}
			}
			if got := ask(method, path, token[route.Role], ""); got == http.StatusUnauthorized || got == http.StatusForbidden {
				t.Errorf("%s by who may %s: %d", route.Pattern, route.Role, got)
			}
		}
		if method == http.MethodGet {
			continue
		}
		for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example"}, {"Sec-Fetch-Site", "same-site"}} {
			if got := ask(method, path, token[access.Run], "", header...); got != http.StatusForbidden {
				t.Errorf("%s from a page of another site: %d, want 403", route.Pattern, got)
			}
		}
		if got := ask(method, path, token[access.Run], "a="+strings.Repeat("b", access.MaxBody), "X-Fieldsync-Signature", "sha256=x"); got < 300 || got >= 500 {
			t.Errorf("%s with more than 1 MiB: %d", route.Pattern, got)
		}
	}
	for _, open := range openRoutes {
		if !slices.Contains(seen, open) {
			t.Errorf("there is no route %s", open)
		}
	}
	for _, path := range []string{"/", "/status", "/api/v1/syncs", "/healthz"} {
		if got := ask(http.MethodGet, path, token[access.Run], "", "Host", "x"); got >= 500 {
			t.Errorf("%s: %d", path, got)
		}
	}
	s.stop()
	for _, secret := range planted {
		if strings.Contains(s.said(), secret) {
			t.Error("a secret is in the log")
		}
	}
}
