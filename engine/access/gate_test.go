package access_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fieldsync/fieldsync/engine/access"
)

// loopback is a gate that lets this machine do what role says.
func loopback(role access.Role, local bool) *access.Gate {
	return &access.Gate{Local: local, Who: func() access.Who { return access.Who{Loopback: role} }}
}

// ask sends one request from peer to a gate with one route, which needs a role.
func ask(g *access.Gate, role access.Role, peer string, edit func(*http.Request)) *httptest.ResponseRecorder {
	var m access.Mux
	m.Handle("/page", access.Require(role, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			access.Refuse(w, r, http.StatusRequestEntityTooLarge, err.Error())
			return
		}
		io.WriteString(w, access.From(r.Context()).Name)
	})))
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:8440/page", nil)
	r.RemoteAddr = peer
	if edit != nil {
		edit(r)
	}
	w := httptest.NewRecorder()
	g.Wrap(&m).ServeHTTP(w, r)
	return w
}

func TestWhoGetsThrough(t *testing.T) {
	t.Parallel()
	const here, there = "127.0.0.1:5000", "192.0.2.7:5000"
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	tests := []struct {
		name string
		gate *access.Gate
		role access.Role
		peer string
		edit func(*http.Request)
		want int
	}{
		{"this machine may what the gate says", loopback(access.Run, true), access.Run, here, nil, 200},
		{"this machine over IPv6", loopback(access.Run, true), access.Run, "[::1]:5000", nil, 200},
		{"this machine, as a mapped address", loopback(access.Run, false), access.Run, "[::ffff:127.0.0.1]:5000", nil, 200},
		{"a lower role is not enough", loopback(access.Look, false), access.Decide, here, nil, 403},
		{"a gate that trusts nobody", loopback(access.Nobody, false), access.Look, here, nil, 401},
		{"another machine is not this one", loopback(access.Run, false), access.Look, there, nil, 401},
		{"a proxy on this machine speaks for another", loopback(access.Run, false), access.Look, here, header("X-Forwarded-For", "192.0.2.7"), 401},
		{"a proxy that names itself", loopback(access.Run, false), access.Look, here, header("Via", "1.1 proxy"), 401},
		{"a proxy on this machine that passes the name on", loopback(access.Run, false), access.Look, here, func(r *http.Request) { r.Host = "sync.example.com" }, 401},
		{"a proxy on this machine whose name is known", &access.Gate{Local: true, Host: "sync.example.com", Who: func() access.Who { return access.Who{Loopback: access.Run} }},
			access.Look, here, func(r *http.Request) { r.Host = "sync.example.com" }, 401},
		{"a name that somebody points at this machine", loopback(access.Run, true), access.Look, here,
			func(r *http.Request) { r.Host = "evil.example:8440" }, 403},
		{"no name", loopback(access.Run, true), access.Look, here, func(r *http.Request) { r.Host = "" }, 403},
		{"a page of another site sends a form", loopback(access.Run, true), access.Look, here,
			func(r *http.Request) { r.Method = http.MethodPost; r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403},
		{"an older browser says where a form comes from", loopback(access.Run, true), access.Look, here,
			func(r *http.Request) { r.Method = http.MethodPost; r.Header.Set("Origin", "https://evil.example") }, 403},
		{"a body that is too large", loopback(access.Run, true), access.Look, here,
			func(r *http.Request) {
				r.Method, r.Body = http.MethodPost, io.NopCloser(strings.NewReader(strings.Repeat("a", access.MaxBody+1)))
			}, 413},
		{"a body that is just not too large", loopback(access.Run, true), access.Look, here,
			func(r *http.Request) {
				r.Method, r.Body = http.MethodPost, io.NopCloser(strings.NewReader(strings.Repeat("a", access.MaxBody)))
			}, 200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := ask(tt.gate, tt.role, tt.peer, tt.edit)
			if w.Code != tt.want {
				t.Fatalf("answer %d %s, want %d", w.Code, w.Body, tt.want)
			}
			for _, name := range []string{"Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy", "Cache-Control"} {
				if w.Header().Get(name) == "" {
					t.Errorf("the answer has no %s", name)
				}
			}
		})
	}
}

func TestWhoIsNotKnownIsToldHowToLogIn(t *testing.T) {
	t.Parallel()
	w := ask(loopback(access.Nobody, false), access.Look, "192.0.2.7:5000", nil)
	if got := w.Header().Get("WWW-Authenticate"); got != `Bearer realm="fieldsync"` || !strings.Contains(w.Body.String(), "log in at /login") {
		t.Errorf("a program is told %q, %s", got, w.Body)
	}
	w = ask(loopback(access.Nobody, false), access.Look, "192.0.2.7:5000", func(r *http.Request) { r.Header.Set("Accept", "text/html") })
	if got := w.Header().Get("Location"); w.Code != http.StatusSeeOther || got != "/login?then=%2Fpage" {
		t.Errorf("a browser is sent to %q with %d", got, w.Code)
	}
}

func TestARouteWithoutARoleIsRefused(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("a handler that nobody decided about was taken")
		}
	}()
	new(access.Mux).Handle("/", http.NotFoundHandler())
}
