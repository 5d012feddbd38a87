package access

import (
	"crypto/rand"
	"crypto/subtle"
	_ "embed"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/oauth2"
)

//go:embed login.html
var loginPage string

// A broken template is a bug of this package, and panics.
var loginTemplate = template.Must(template.New("login").Parse(loginPage))

// A loginView is what the page for logging in shows.
type loginView struct {
	Then   string
	Tokens bool
	OIDC   string // the identity provider's name; "": none
	Wrong  string
	Caller Caller
	Closed bool // browsers cannot log in here
	Go     string
}

// Routes registers logging in and out.
func (g *Gate) Routes(m *Mux) {
	m.Handle("GET "+LoginPath, Open(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.show(w, r, http.StatusOK, "") })))
	m.Handle("POST "+LoginPath, Open(http.HandlerFunc(g.login)))
	m.Handle("POST /logout", Open(http.HandlerFunc(g.logout)))
	m.Handle("GET "+LoginPath+"/oidc", Open(http.HandlerFunc(g.depart)))
	m.Handle("GET "+CallbackPath, Open(http.HandlerFunc(g.arrive)))
}

// browsers reports whether a session can be kept in a browser: its cookie must not travel where others listen.
func (g *Gate) browsers() bool { return g.Secure || g.Local }

func (g *Gate) show(w http.ResponseWriter, r *http.Request, status int, wrong string) {
	who := g.Who()
	v := loginView{Then: local(r.FormValue("then")), Tokens: len(who.Tokens) > 0, Wrong: wrong, Caller: From(r.Context()), Closed: !g.browsers()}
	if g.OIDC != nil {
		v.OIDC = g.OIDC.Issuer
		if u, err := url.Parse(g.OIDC.Issuer); err == nil && u.Host != "" {
			v.OIDC = u.Host
		}
	}
	g.page(w, status, v)
}

func (g *Gate) page(w http.ResponseWriter, status int, v loginView) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_ = loginTemplate.Execute(w, v) // the browser went away: nobody to tell
}

// login takes a token from a form.
func (g *Gate) login(w http.ResponseWriter, r *http.Request) {
	switch {
	case !g.browsers():
		g.show(w, r, http.StatusForbidden, "")
		return
	case !g.brake.Allow(r.RemoteAddr, g.now()):
		w.Header().Set("Retry-After", "60")
		g.show(w, r, http.StatusTooManyRequests, "Too many log-ins failed. Try again in a minute.")
		return
	}
	h := HashOf(strings.TrimSpace(r.PostFormValue("token")))
	t, ok := tokenOf(g.Who().Tokens, h)
	if !ok {
		g.brake.Failed(r.RemoteAddr, g.now())
		g.log().Warn("log-in failed", "peer", r.RemoteAddr, "way", "token")
		g.show(w, r, http.StatusUnauthorized, "No such token.")
		return
	}
	if g.in(w, r, Caller{t.Name, t.Role}, "token", session{Token: h.String()}) {
		http.Redirect(w, r, local(r.PostFormValue("then")), http.StatusSeeOther)
	}
}

// in begins a session and tells of it; false when it cannot, which was answered then.
func (g *Gate) in(w http.ResponseWriter, r *http.Request, c Caller, way string, s session) bool {
	err := error(nil)
	if g.Audit != nil {
		err = g.Audit(With(r.Context(), c), "log in", way, "")
	}
	if err == nil {
		err = g.admit(w, s)
	}
	if err != nil {
		g.log().Error("log-in cannot be kept", "by", c.Name, "err", err)
		Refuse(w, r, http.StatusInternalServerError, "the log-in cannot be kept; see the log")
		return false
	}
	g.log().Info("logged in", "by", c.Name, "role", c.Role.String(), "way", way, "peer", r.RemoteAddr)
	return true
}

func (g *Gate) logout(w http.ResponseWriter, r *http.Request) {
	s, ok, err := g.session(r)
	if ok && err == nil {
		err = g.Ended.End(r.Context(), s.ID, s.Until)
	}
	if err != nil {
		g.log().Error("a log-in cannot be ended", "peer", r.RemoteAddr, "err", err)
		Refuse(w, r, http.StatusServiceUnavailable, "the log-in cannot be ended right now; try again in a moment")
		return
	}
	g.setCookie(w, sessionCookie, "", 0)
	http.Redirect(w, r, LoginPath, http.StatusSeeOther)
}

// depart sends a browser to the identity provider.
func (g *Gate) depart(w http.ResponseWriter, r *http.Request) {
	if g.OIDC == nil || !g.browsers() {
		http.NotFound(w, r)
		return
	}
	t := travel{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Then: local(r.FormValue("then")), Until: g.now().Add(travelLife)}
	to, err := g.OIDC.begin(r.Context(), t)
	var sealed string
	if err == nil {
		sealed, err = g.seals().seal(travelCookie, t)
	}
	if err != nil {
		g.log().Error("the identity provider cannot be reached", "issuer", g.OIDC.Issuer, "err", err)
		g.show(w, r, http.StatusBadGateway, "The identity provider cannot be reached; see the log.")
		return
	}
	g.setCookie(w, travelCookie, sealed, travelLife)
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// arrive takes a browser back from the identity provider.
func (g *Gate) arrive(w http.ResponseWriter, r *http.Request) {
	if g.OIDC == nil || !g.browsers() {
		http.NotFound(w, r)
		return
	}
	if !g.brake.Allow(r.RemoteAddr, g.now()) {
		tooMany(w, r)
		return
	}
	fail := func(status int, say string, why any) {
		g.brake.Failed(r.RemoteAddr, g.now())
		g.log().Warn("log-in failed", "peer", r.RemoteAddr, "way", "oidc", "err", why)
		g.show(w, r, status, say)
	}
	var t travel
	err := g.readCookie(r, travelCookie, &t)
	g.setCookie(w, travelCookie, "", 0) // it takes somebody in once
	q := r.URL.Query()
	switch {
	case err != nil || !g.now().Before(t.Until) || subtle.ConstantTimeCompare([]byte(t.State), []byte(q.Get("state"))) != 1:
		fail(http.StatusBadRequest, "This log-in was not begun here, or too long ago. Log in again.", "state does not match")
		return
	case q.Get("error") != "":
		fail(http.StatusForbidden, "The identity provider refused the log-in.", q.Get("error"))
		return
	}
	name, words, err := g.OIDC.finish(r.Context(), t, q.Get("code"))
	if err != nil {
		fail(http.StatusForbidden, "The identity provider's answer cannot be used; see the log.", err)
		return
	}
	who := g.Who()
	var known []string
	for _, word := range words {
		if who.Words[word] > Nobody {
			known = append(known, word)
		}
	}
	c := Caller{name, who.role(known)}
	if c.Role == Nobody {
		fail(http.StatusForbidden, name+" has no role here.", name+" has no role")
		return
	}
	// The page that follows is one of ours: a redirect from here would still count as coming from the identity provider.
	if g.in(w, r, c, "oidc", session{Name: name, Words: known}) {
		g.page(w, http.StatusOK, loginView{Go: t.Then, Caller: c})
	}
}

// local is a path of this service, whatever somebody has put into the address: "/" if it is none.
func local(then string) string {
	u, err := url.Parse(then)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(then, "/") || strings.HasPrefix(then, "//") ||
		strings.ContainsAny(then, "\\\r\n\t") {
		return "/"
	}
	return then
}
