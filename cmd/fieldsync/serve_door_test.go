package main

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/fieldsync/fieldsync/engine/access"
)

// knock is the status of a request to a site, with a token where that is not "".
func (s *site) knock(path, token string, edit func(*http.Request)) int {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if edit != nil {
		edit(r)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// tokenBlock lets a token in.
func tokenBlock(name, token string, role access.Role) string {
	return fmt.Sprintf("\nserve {\n  token %q {\n    hash = %q\n    role = %q\n  }\n}\n", name, access.HashOf(token), role)
}

func TestTokensFollowTheMapping(t *testing.T) {
	one, two := access.NewToken(), access.NewToken()
	block := tokenBlock("ada", one, access.Run)
	s := newSite(t, func(name, text string) string {
		if name == "connections.hcl" {
			text += block
		}
		return text
	})
	s.serve()
	if got := s.knock("/status", "", nil); got != 401 {
		t.Errorf("this machine without a log-in: %d, want 401 since there is a way to log in", got)
	}
	if got := s.knock("/status", one, nil); got != 200 {
		t.Fatalf("with the token: %d", got)
	}
	if got := s.knock("/status", one, func(r *http.Request) { r.Host = "evil.example" }); got != 403 {
		t.Errorf("under a name that somebody points here: %d, want 403", got)
	}

	// The command line asks with the token of its environment.
	s.edit("connections.hcl", func(text string) string {
		return strings.Replace(text, "fieldsync {\n", "fieldsync {\n listen = \""+strings.TrimPrefix(s.url, "http://")+"\"\n", 1)
	})
	for _, tt := range []struct{ token, want string }{{one, "fieldsync serve runs since"}, {"", "SYNC"}} {
		var out bytes.Buffer
		code := run(t.Context(), []string{"status", "-d", s.desk.path("mappings")}, stdio{In: strings.NewReader(""), Out: &out, Err: &out,
			Getenv: func(name string) (string, bool) {
				if name == "FIELDSYNC_TOKEN" {
					return tt.token, tt.token != ""
				}
				return s.desk.lookup(name)
			}})
		if code != 0 || !strings.HasPrefix(out.String(), tt.want) {
			t.Errorf("status with the token %v: %d %s", tt.token != "", code, &out)
		}
	}

	s.edit("connections.hcl", func(text string) string { return strings.Replace(text, block, tokenBlock("bob", two, access.Look), 1) })
	s.until("the old token ends", func() bool { return s.knock("/status", one, nil) == 401 })
	if got := s.knock("/status", two, nil); got != 200 {
		t.Errorf("the new token: %d", got)
	}
}

// An edit that takes the last way to log in away is broken, and the last good rules keep the door shut.
func TestAnEditDoesNotLeaveAServiceOpen(t *testing.T) {
	token := access.NewToken()
	block := tokenBlock("ada", token, access.Run)
	s := newSite(t, func(name, text string) string {
		if name == "connections.hcl" {
			text = strings.Replace(text, "fieldsync {\n", "fieldsync {\n listen = \"0.0.0.0:0\"\n", 1) + block
		}
		return text
	})
	s.listen = "0.0.0.0:0"
	s.serve()
	if got := s.knock("/status", "", nil); got != 401 {
		t.Errorf("without a log-in: %d", got)
	}
	s.edit("connections.hcl", func(text string) string { return strings.Replace(text, block, "", 1) })
	s.until("the edit is refused", func() bool { return strings.Contains(s.said(), "The service cannot be left open") })
	if got := s.knock("/status", "", nil); got != 401 {
		t.Errorf("without a log-in, after the edit: %d", got)
	}
	if got := s.knock("/status", token, nil); got != 200 {
		t.Errorf("with the token, after the edit: %d", got)
	}
}
