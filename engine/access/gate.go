package access

import (
	"net"
	"net/http"
	"net/netip"
)

// MaxBody is the most that a request may carry.
const MaxBody = 1 << 20

// policy allows pages what this service itself serves, and nothing inline.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// A Gate stands before every handler of the service: it finds out who asks, and keeps out what no page of ours sends.
type Gate struct {
	// Loopback is what callers on this machine may do without a log-in.
	Loopback Role
	// Local says that the service listens on this machine alone. It then answers to this machine's names only, so that
	// no page of another site can reach it through a name that it points here.
	Local bool
}

// Wrap puts the gate before h.
func (g *Gate) Wrap(h http.Handler) http.Handler {
	h = http.MaxBytesHandler(h, MaxBody)
	h = http.NewCrossOriginProtection().Handler(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range map[string]string{
			"Content-Security-Policy": policy,
			"X-Content-Type-Options":  "nosniff",
			"Referrer-Policy":         "no-referrer",
			"Cache-Control":           "no-store",
		} {
			w.Header().Set(name, value)
		}
		if g.Local && !localName(r.Host) {
			Refuse(w, r, http.StatusForbidden, "ask for 127.0.0.1 or localhost")
			return
		}
		h.ServeHTTP(w, r.WithContext(With(r.Context(), g.caller(r))))
	})
}

// caller is who sends a request.
func (g *Gate) caller(r *http.Request) Caller {
	if g.Loopback > Nobody && direct(r) {
		return Caller{"loopback", g.Loopback}
	}
	return Caller{}
}

// direct reports whether a request comes from a process on this machine that speaks for itself. A proxy on this machine
// speaks for somebody else, and says so.
func direct(r *http.Request) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !peer.Addr().Unmap().IsLoopback() {
		return false
	}
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via"} {
		if r.Header.Get(name) != "" {
			return false
		}
	}
	return true
}

// localName reports whether a Host header names this machine from itself.
func localName(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
