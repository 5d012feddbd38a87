package access

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// MaxBody is the most that a request may carry, and bodyTime how long it may take to do so.
const (
	MaxBody  = 1 << 20
	bodyTime = 30 * time.Second
)

// policy allows pages what this service itself serves, and nothing inline.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// Who says who may come in, and what each may do. It may change while the service runs.
type Who struct {
	Loopback     Role // callers on this machine that do not log in
	Tokens       []Token
	Certificates []Certificate
	// Words are the roles of people by what their identity provider says of them, where there is an OIDC.
	Words map[string]Role
}

// A Certificate is the client of a TLS connection, by a name that its verified certificate bears.
type Certificate struct {
	Name string
	Role Role
}

// A Gate stands before every handler of the service: it finds out who asks, and keeps out what no page of ours sends.
type Gate struct {
	Who func() Who
	// Local says that the service listens on this machine alone. It then answers to this machine's names only, and to
	// Host, so that no page of another site can reach it through a name that it points here.
	Local bool
	Host  string // the name that people know the service by, where a proxy stands before it; "": none
	// Secure says that browsers reach the service over TLS. Without it they log in only on this machine.
	Secure bool
	Key    string // seals sessions; services that share the work share it; "": sessions end with the process
	OIDC   *OIDC  // nil: people log in with tokens
	Ended  Ended  // sessions that somebody has ended
	Audit  Audit  // is told of log-ins; may be nil
	Log    *slog.Logger
	Now    func() time.Time

	once   sync.Once
	sealer sealer
	brake  Brake
}

// Wrap puts the gate before h.
func (g *Gate) Wrap(h http.Handler) http.Handler {
	h = http.MaxBytesHandler(h, MaxBody)
	cross := http.NewCrossOriginProtection()
	if g.Host != "" {
		_ = cross.AddTrustedOrigin("https://" + g.Host) // a host that does not parse is trusted by nobody
	}
	h = cross.Handler(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range map[string]string{
			"Content-Security-Policy": policy,
			"X-Content-Type-Options":  "nosniff",
			"Referrer-Policy":         "no-referrer",
			"Cache-Control":           "no-store",
		} {
			w.Header().Set(name, value)
		}
		if g.Local && !localName(r.Host) && (g.Host == "" || r.Host != g.Host) {
			Refuse(w, r, http.StatusForbidden, "ask for 127.0.0.1 or localhost; if a proxy stands before this service, set url in the serve block to the address that it is known by")
			return
		}
		if r.ContentLength != 0 {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime)) // not every kind of connection has one
		}
		c, wrong, err := g.caller(r)
		if err != nil {
			g.log().Error("nobody knows whether a log-in was ended", "peer", r.RemoteAddr, "err", err)
			Refuse(w, r, http.StatusServiceUnavailable, "the state cannot be reached, where it stands which log-ins were ended; try again in a moment")
			return
		}
		ctx := With(r.Context(), c)
		if wrong {
			ctx = context.WithValue(ctx, wrongKey{}, g)
		}
		h.ServeHTTP(w, r.WithContext(ctx))
	})
}

// wrongKey leads to the gate of a request whose token is wrong, where its failure is counted.
type wrongKey struct{}

func tooMany(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Retry-After", "60")
	Refuse(w, r, http.StatusTooManyRequests, "too many log-ins failed; try again in a minute")
}

// caller is who sends a request, and whether what it says of itself is wrong. What is said explicitly counts alone: who
// sends a wrong token is nobody, wherever they are.
func (g *Gate) caller(r *http.Request) (c Caller, wrong bool, err error) {
	who := g.Who()
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, token, _ := strings.Cut(header, " ")
		if t, ok := tokenOf(who.Tokens, HashOf(strings.TrimSpace(token))); ok && strings.EqualFold(scheme, "Bearer") {
			return Caller{t.Name, t.Role}, false, nil
		}
		return Caller{}, strings.EqualFold(scheme, "Bearer"), nil
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		if c, ok := certified(who.Certificates, r.TLS.VerifiedChains[0][0]); ok {
			return c, false, nil
		}
	}
	s, ok, err := g.session(r)
	if err != nil {
		return Caller{}, false, err
	}
	if ok {
		if c := who.of(s); c.Role > Nobody {
			return c, false, nil
		}
	}
	if who.Loopback > Nobody && direct(r) {
		return Caller{"loopback", who.Loopback}, false, nil
	}
	return Caller{}, false, nil
}

// of is who has a session, by the rules of now.
func (w Who) of(s session) Caller {
	if s.Token == "" {
		return Caller{s.Name, w.role(s.Words)}
	}
	if h, err := ParseHash(s.Token); err == nil {
		if t, ok := tokenOf(w.Tokens, h); ok {
			return Caller{t.Name, t.Role}
		}
	}
	return Caller{}
}

// role is the highest that some words give.
func (w Who) role(words []string) (best Role) {
	for _, word := range words {
		best = max(best, w.Words[word])
	}
	return best
}

// certified finds a certificate by its common name or one of its alternative names.
func certified(list []Certificate, leaf *x509.Certificate) (Caller, bool) {
	names := slices.Concat([]string{leaf.Subject.CommonName}, leaf.DNSNames, leaf.EmailAddresses)
	for _, u := range leaf.URIs {
		names = append(names, u.String())
	}
	var best Caller
	for _, c := range list {
		if c.Name != "" && slices.Contains(names, c.Name) && c.Role > best.Role {
			best = Caller(c)
		}
	}
	return best, best.Role > Nobody
}

// direct reports whether a request comes from a process on this machine that speaks for itself. A proxy on this machine
// speaks for somebody else, and mostly says so.
func direct(r *http.Request) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !peer.Addr().Unmap().IsLoopback() || !localName(r.Host) {
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
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (g *Gate) now() time.Time {
	if g.Now != nil {
		return g.Now()
	}
	return time.Now()
}

func (g *Gate) log() *slog.Logger {
	if g.Log != nil {
		return g.Log
	}
	return slog.New(slog.DiscardHandler)
}
