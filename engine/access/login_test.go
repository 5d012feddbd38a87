package access_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/engine/access"
)

// A house is a service with a gate and a door for each role, and a clock that is set by hand.
type house struct {
	*httptest.Server
	gate *access.Gate
	log  bytes.Buffer

	mu  sync.Mutex
	now time.Time
	who access.Who
	did []string
}

// endings is what houses know of log-ins that were ended.
type endings struct {
	mu    sync.Mutex
	until map[string]time.Time
	away  bool
}

func (e *endings) End(_ ctx, session string, until time.Time) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.until == nil {
		e.until = map[string]time.Time{}
	}
	e.until[session] = until
	return nil
}

func (e *endings) Is(_ ctx, session string) (bool, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.away {
		return false, errors.New("nobody answers")
	}
	return !e.until[session].IsZero(), nil
}

func newHouse(t *testing.T, edit func(*house)) *house {
	t.Helper()
	h := &house{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	h.gate = &access.Gate{Local: true, Ended: &endings{},
		Who: func() access.Who { h.mu.Lock(); defer h.mu.Unlock(); return h.who },
		Now: func() time.Time { h.mu.Lock(); defer h.mu.Unlock(); return h.now },
		Audit: func(ctx ctx, action, subject, why string) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.did = append(h.did, access.From(ctx).Name+" "+action+" "+subject)
			return nil
		}}
	h.gate.Log = slog.New(slog.NewTextHandler(&h.log, nil))
	var m access.Mux
	h.gate.Routes(&m)
	for _, role := range []access.Role{access.Look, access.Decide, access.Run} {
		m.Handle("/"+role.String(), access.Require(role, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, access.From(r.Context()).Name)
		})))
	}
	h.Server = httptest.NewUnstartedServer(h.gate.Wrap(&m))
	if edit != nil {
		edit(h)
	}
	h.Start()
	t.Cleanup(h.Close)
	return h
}

func (h *house) set(edit func(h *house)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	edit(h)
}

// A visitor is a browser: it keeps cookies, and stops at each redirect.
type visitor struct {
	t *testing.T
	h *house
	c *http.Client
}

func (h *house) visitor(t *testing.T) *visitor {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Jar: jar, Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return &visitor{t, h, c}
}

func (v *visitor) do(r *http.Request) (*http.Response, string) {
	v.t.Helper()
	resp, err := v.c.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return resp, string(body)
}

func (v *visitor) get(path string) (*http.Response, string) {
	v.t.Helper()
	r, err := http.NewRequestWithContext(v.t.Context(), http.MethodGet, v.h.URL+path, nil)
	if err != nil {
		v.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	return v.do(r)
}

func (v *visitor) post(path string, form url.Values) (*http.Response, string) {
	v.t.Helper()
	r, err := http.NewRequestWithContext(v.t.Context(), http.MethodPost, v.h.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		v.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return v.do(r)
}

func (v *visitor) expect(path string, want int) {
	v.t.Helper()
	if resp, body := v.get(path); resp.StatusCode != want {
		v.t.Errorf("GET %s: %d %s, want %d", path, resp.StatusCode, body, want)
	}
}

func TestATokenLogsABrowserIn(t *testing.T) {
	t.Parallel()
	token := access.NewToken()
	h := newHouse(t, func(h *house) {
		h.who.Tokens = []access.Token{{Name: "ada", Hash: access.HashOf(token), Role: access.Decide}, {Name: "bob", Hash: access.HashOf("other"), Role: access.Run}}
	})
	v := h.visitor(t)
	if resp, _ := v.get("/look?x=1"); resp.Header.Get("Location") != "/login?then=%2Flook%3Fx%3D1" {
		t.Errorf("a stranger is sent to %q", resp.Header.Get("Location"))
	}
	if _, page := v.get("/login?then=/look"); !strings.Contains(page, `name="then" value="/look"`) {
		t.Errorf("the log-in page forgets where to go:\n%s", page)
	}
	resp, _ := v.post("/login", url.Values{"token": {" " + token + "\n"}, "then": {"/look"}})
	if resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/look" {
		t.Fatalf("logged in: %d to %q", resp.StatusCode, resp.Header.Get("Location"))
	}
	if c := resp.Cookies()[0]; !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || strings.Contains(c.Value, "ada") {
		t.Errorf("the cookie is %v", c)
	}
	v.expect("/look", 200)
	v.expect("/decide", 200)
	v.expect("/run", 403)
	if len(h.did) != 1 || h.did[0] != "ada log in token" {
		t.Errorf("the audit log has %q", h.did)
	}
	if strings.Contains(h.log.String(), token) {
		t.Error("the token is in the log")
	}

	// What a token may is looked up each time, so an edit of the mapping counts at once.
	h.set(func(h *house) { h.who.Tokens[0].Role = access.Look })
	v.expect("/decide", 403)
	h.set(func(h *house) { h.who.Tokens = h.who.Tokens[1:] })
	v.expect("/look", 303)
}

func TestASessionEnds(t *testing.T) {
	t.Parallel()
	token := access.NewToken()
	h := newHouse(t, func(h *house) {
		h.who.Tokens = []access.Token{{Name: "ada", Hash: access.HashOf(token), Role: access.Run}}
	})
	v := h.visitor(t)
	v.post("/login", url.Values{"token": {token}})
	v.expect("/run", 200)
	u, _ := url.Parse(h.URL)
	stolen := v.c.Jar.Cookies(u)
	if resp, _ := v.post("/logout", nil); resp.Header.Get("Location") != "/login" {
		t.Errorf("logged out: sent to %q", resp.Header.Get("Location"))
	}
	v.expect("/run", 303)
	v.c.Jar.SetCookies(u, stolen)
	v.expect("/run", 303) // logging out ends the session, not only the browser's memory of it

	v.post("/login", url.Values{"token": {token}})
	v.expect("/run", 200)
	h.set(func(h *house) { h.now = h.now.Add(11 * time.Hour) })
	v.expect("/run", 303)

	v.post("/login", url.Values{"token": {token}})
	for _, c := range v.c.Jar.Cookies(u) {
		c.Value = c.Value[:len(c.Value)-2] + "AA"
		v.c.Jar.SetCookies(u, []*http.Cookie{c})
	}
	v.expect("/run", 303) // a cookie that somebody has changed
}

func TestASessionThatEndsInOneHouseEndsInTheNext(t *testing.T) {
	t.Parallel()
	token := access.NewToken()
	ended := &endings{}
	same := func(h *house) {
		h.who.Tokens = []access.Token{{Name: "ada", Hash: access.HashOf(token), Role: access.Run}}
		h.gate.Key, h.gate.Ended = "a key that both have", ended
	}
	one, two := newHouse(t, same), newHouse(t, same)
	v := one.visitor(t)
	v.post("/login", url.Values{"token": {token}})
	at, _ := url.Parse(one.URL)
	next, _ := url.Parse(two.URL)
	w := two.visitor(t)
	w.c.Jar.SetCookies(next, v.c.Jar.Cookies(at))
	w.expect("/run", 200)

	ended.mu.Lock()
	ended.away = true
	ended.mu.Unlock()
	w.expect("/run", 503) // whether it was ended cannot be told: nobody is let in, and nobody has to log in anew
	if resp, _ := v.post("/logout", nil); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a log-in that cannot be ended: %d", resp.StatusCode)
	}
	ended.mu.Lock()
	ended.away = false
	ended.mu.Unlock()
	w.expect("/run", 200)

	v.post("/logout", nil)
	v.expect("/run", 303)
	w.expect("/run", 303)
	for _, until := range ended.until {
		if want := one.now.Add(10 * time.Hour); !until.Equal(want) {
			t.Errorf("it is remembered until %s, want %s", until, want)
		}
	}
}

func TestGuessingIsSlowedDown(t *testing.T) {
	t.Parallel()
	token := access.NewToken()
	h := newHouse(t, func(h *house) {
		h.who.Tokens = []access.Token{{Name: "ada", Hash: access.HashOf(token), Role: access.Run}}
	})
	v := h.visitor(t)
	codes := map[int]int{}
	for range 12 {
		resp, _ := v.post("/login", url.Values{"token": {"guess"}})
		codes[resp.StatusCode]++
	}
	if codes[401] != 10 || codes[429] != 2 {
		t.Errorf("answers to 12 guesses: %v, want 10 of 401 and 2 of 429", codes)
	}
	bearer := func(token string) int {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, h.URL+"/look", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		resp, _ := v.do(r)
		return resp.StatusCode
	}
	if got := bearer("guess"); got != 429 {
		t.Errorf("a guess in a header: %d, want 429", got)
	}
	if got := bearer(token); got != 200 {
		t.Errorf("a program with the right token is kept out by those who guess: %d", got)
	}
	h.set(func(h *house) { h.now = h.now.Add(time.Minute) })
	if resp, _ := v.post("/login", url.Values{"token": {token}}); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("a minute later: %d", resp.StatusCode)
	}
	if !strings.Contains(h.log.String(), "log-in failed") || strings.Contains(h.log.String(), "guess") {
		t.Errorf("the log should tell of failures and not what was tried:\n%s", &h.log)
	}
}

func TestABearerOfATokenMayWhatItMay(t *testing.T) {
	t.Parallel()
	token := access.NewToken()
	h := newHouse(t, func(h *house) {
		h.who = access.Who{Loopback: access.Run, Tokens: []access.Token{{Name: "grafana", Hash: access.HashOf(token), Role: access.Look}}}
	})
	for _, tt := range []struct {
		name, header, path string
		want               int
	}{
		{"no header on this machine", "", "/run", 200},
		{"its own role", "Bearer " + token, "/look", 200},
		{"the scheme in small letters", "bearer " + token, "/look", 200},
		{"more than its role, even on this machine", "Bearer " + token, "/decide", 403},
		{"a wrong token, even on this machine", "Bearer x", "/look", 401},
		{"another scheme", "Basic " + token, "/look", 401},
		{"no token", "Bearer ", "/look", 401},
		{"the hash instead of the token", "Bearer " + access.HashOf(token).String(), "/look", 401},
	} {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, h.URL+tt.path, nil)
		if tt.header != "" {
			r.Header.Set("Authorization", tt.header)
		}
		if resp, body := h.visitor(t).do(r); resp.StatusCode != tt.want {
			t.Errorf("%s: %d %s, want %d", tt.name, resp.StatusCode, body, tt.want)
		}
	}
}

func TestBrowsersLogInOverTLSOnly(t *testing.T) {
	t.Parallel()
	token := access.NewToken()
	tokens := []access.Token{{Name: "ada", Hash: access.HashOf(token), Role: access.Run}}
	open := newHouse(t, func(h *house) { h.gate.Local, h.who.Tokens = false, tokens })
	if resp, body := open.visitor(t).post("/login", url.Values{"token": {token}}); resp.StatusCode != 403 || len(resp.Cookies()) > 0 || !strings.Contains(body, "https") {
		t.Errorf("over plain HTTP: %d, cookies %v", resp.StatusCode, resp.Cookies())
	}
	secure := newHouse(t, func(h *house) { h.gate.Local, h.gate.Secure, h.who.Tokens = false, true, tokens })
	resp, _ := secure.visitor(t).post("/login", url.Values{"token": {token}})
	if len(resp.Cookies()) != 1 || resp.Cookies()[0].Name != "__Host-fieldsync" || !resp.Cookies()[0].Secure || resp.Cookies()[0].Path != "/" {
		t.Errorf("over TLS: %d, cookies %v", resp.StatusCode, resp.Cookies())
	}
}

func TestALogInLeadsNowhereElse(t *testing.T) {
	t.Parallel()
	token := access.NewToken()
	h := newHouse(t, func(h *house) {
		h.who.Tokens = []access.Token{{Name: "ada", Hash: access.HashOf(token), Role: access.Run}}
	})
	for _, then := range []string{"https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "", "look", "/a\r\nSet-Cookie: x=1"} {
		resp, _ := h.visitor(t).post("/login", url.Values{"token": {token}, "then": {then}})
		if got := resp.Header.Get("Location"); got != "/" {
			t.Errorf("then=%q leads to %q", then, got)
		}
	}
}
