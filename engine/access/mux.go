package access

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// A Mux is an http.ServeMux that lists its routes, and takes none that nobody decided about: every handler is one of
// [Require] or [Open].
type Mux struct {
	mux    http.ServeMux
	routes []Route
}

// A Route is a pattern of a Mux and who may use it; Nobody: everybody.
type Route struct {
	Pattern string
	Role    Role
}

// Handle registers a handler, as that of http.ServeMux does. A handler without a role is the caller's bug: it panics.
func (m *Mux) Handle(pattern string, h http.Handler) {
	g, ok := h.(guarded)
	if !ok {
		panic(fmt.Sprintf("access: the route %q has no role: wrap its handler in Require or Open", pattern))
	}
	m.mux.Handle(pattern, h)
	m.routes = append(m.routes, Route{pattern, g.role})
}

// Routes lists what was registered, in that order.
func (m *Mux) Routes() []Route { return m.routes }

func (m *Mux) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.mux.ServeHTTP(w, r) }

// A guarded handler answers those with a role.
type guarded struct {
	role Role
	http.Handler
}

// Require lets callers with a role, or more than it, through to h. Others are told so: 401 with a way to log in who
// is not known, 403 who may not.
func Require(role Role, h http.Handler) http.Handler {
	return guarded{role, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch c := From(r.Context()); {
		case c.Role >= role && c.Role > Nobody:
			h.ServeHTTP(w, r)
		case c.Role == Nobody:
			challenge(w, r)
		default:
			Refuse(w, r, http.StatusForbidden, fmt.Sprintf("%s may %s; this needs the role %s", c.Name, c.Role, role))
		}
	})}
}

// Open lets everybody through: for log-in, health, and what checks its callers itself.
func Open(h http.Handler) http.Handler { return guarded{Nobody, h} }

// LoginPath is where people log in.
const LoginPath = "/login"

// challenge sends a browser that wants to read a page to the log-in, and tells everybody else how to log in.
func challenge(w http.ResponseWriter, r *http.Request) {
	if g, wrong := r.Context().Value(wrongKey{}).(*Gate); wrong {
		if !g.brake.Allow(r.RemoteAddr, g.now()) {
			tooMany(w, r)
			return
		}
		g.brake.Failed(r.RemoteAddr, g.now())
		g.log().Warn("a wrong token was sent", "peer", r.RemoteAddr, "path", r.URL.Path)
	}
	if r.Method == http.MethodGet && wantsHTML(r) {
		http.Redirect(w, r, LoginPath+"?"+url.Values{"then": {r.URL.RequestURI()}}.Encode(), http.StatusSeeOther)
		return
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="fieldsync"`)
	Refuse(w, r, http.StatusUnauthorized, "log in at "+LoginPath+", or send a token: Authorization: Bearer TOKEN")
}

// Refuse answers with an error: as JSON to programs, else as a line of text.
func Refuse(w http.ResponseWriter, r *http.Request, status int, why string) {
	if wantsHTML(r) {
		http.Error(w, why, status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": why}) // the caller went away: nobody to tell
}

func wantsHTML(r *http.Request) bool { return strings.Contains(r.Header.Get("Accept"), "text/html") }
