package service

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/access"
	"github.com/fieldsync/fieldsync/engine/mapping"
)

// A door is where the service listens, and what callers have to show there.
type door struct {
	net.Listener
	local bool        // on this machine alone
	tls   *tls.Config // nil: without
}

// openDoor listens. Where other machines reach it, there has to be a way to log in.
func openDoor(addr string, set *mapping.Serve, log *slog.Logger) (*door, error) {
	local, err := LoopbackAddress(addr)
	if err != nil {
		return nil, err
	}
	if err := enterable(addr, local, set); err != nil {
		return nil, err
	}
	d := &door{local: local}
	if set.TLS != nil {
		f := &tlsFiles{set: *set.TLS, log: log}
		if err := f.read(); err != nil {
			return nil, project.Hinted(fmt.Errorf("tls: %w", err), "name files in PEM in the tls block of the serve block, readable by the user that runs fieldsync")
		}
		d.tls = &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return f.config(), nil }}
	} else if !local && !strings.HasPrefix(set.URL, "https://") {
		log.Warn("tokens travel in clear text: there is no tls in the serve block, and url names no proxy that has it", "listen", addr)
	}
	if d.Listener, err = net.Listen("tcp", addr); err != nil {
		return nil, project.Hinted(err, "another process has this port, perhaps another fieldsync; choose another address")
	}
	return d, nil
}

// enterable says why a service may not listen at an address.
func enterable(addr string, local bool, set *mapping.Serve) error {
	switch {
	case len(set.Missing) > 0:
		return project.Hinted(fmt.Errorf("serve: not set: %s", strings.Join(set.Missing, ", ")), "set it in the environment of fieldsync, for example: export "+set.Missing[0]+"=…")
	case !local && !set.LogIns():
		return project.Hinted(fmt.Errorf("listen address %q can be reached from other machines, and nobody has to log in", addr),
			"add a way to log in to a serve block: fieldsync token NAME --role run prints one; or listen on 127.0.0.1")

	case !local && set.Loopback != "" && set.Loopback != "nobody" && strings.HasPrefix(set.URL, "https://") && set.TLS == nil:
		return project.Hinted(errors.New("loopback lets callers on this machine in without a log-in, and the proxy that url names may be one of them"), "take loopback out of the serve block, or listen on 127.0.0.1")
	}
	return nil
}

// LoopbackAddress reports whether an address is reached from this machine only.
func LoopbackAddress(addr string) (bool, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false, project.Hinted(fmt.Errorf("listen address %q: %w", addr, err), "write HOST:PORT, for example 127.0.0.1:8440")
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback(), nil
}

// endings are the log-ins that were ended, as all nodes know them.
type endings struct{ s *service }

func (e endings) End(ctx context.Context, session string, until time.Time) error {
	return e.s.state.Pin(ctx, engine.Slip{Name: "session " + session, Until: until})
}

func (e endings) Is(ctx context.Context, session string) (bool, error) {
	slip, err := e.s.state.Slip(ctx, "session "+session)
	return slip != nil, err
}

// gate makes what stands before the routes. Who may come in follows the rules in force.
func (s *service) gate(d *door) *access.Gate {
	set := &s.inForce().Serve
	g := &access.Gate{Who: s.who, Local: d.local, Secure: d.tls != nil || strings.HasPrefix(set.URL, "https://"),
		Key: set.SessionKey.Reveal(), Ended: endings{s}, Audit: s.note, Log: s.log, Now: s.now}
	if u, err := url.Parse(set.URL); err == nil {
		g.Host = u.Host
	}
	if o := set.OIDC; o != nil {
		g.OIDC = &access.OIDC{Issuer: o.Issuer, ClientID: o.ClientID, ClientSecret: o.ClientSecret.Reveal(), Scopes: o.Scopes, Claim: o.Claim,
			Redirect: strings.TrimSuffix(set.URL, "/") + access.CallbackPath, HTTP: &http.Client{Timeout: askTime}}
	}
	return g
}

// askTime is how long the identity provider may take to answer.
const askTime = 15 * time.Second

// who is what the rules in force say of callers. Those on this machine need no log-in unless there is one: a proxy that does
// not say that it is one would else let everybody in.
func (s *service) who() access.Who {
	set := &s.inForce().Serve
	w := access.Who{Words: map[string]access.Role{}}
	switch {
	case set.Loopback != "":
		w.Loopback, _ = access.ParseRole(set.Loopback) // the mapping has been checked; nobody is none
	case !set.LogIns():
		w.Loopback = access.Run
	}
	for _, t := range set.Tokens {
		hash, err := access.ParseHash(t.Hash)
		if role, rerr := access.ParseRole(t.Role); err == nil && rerr == nil {
			w.Tokens = append(w.Tokens, access.Token{Name: t.Name, Hash: hash, Role: role})
		}
	}
	for _, c := range set.Certs {
		if role, err := access.ParseRole(c.Role); err == nil {
			w.Certificates = append(w.Certificates, access.Certificate{Name: c.Name, Role: role})
		}
	}
	if set.OIDC != nil {
		for word, name := range set.OIDC.Roles {
			if role, err := access.ParseRole(name); err == nil {
				w.Words[word] = role
			}
		}
	}
	return w
}

// tlsFiles are read again when they have changed, so that a renewed certificate needs no restart.
type tlsFiles struct {
	set mapping.TLS
	log *slog.Logger

	mu    sync.Mutex
	now   *tls.Config
	stamp string
}

func (f *tlsFiles) config() *tls.Config {
	f.mu.Lock()
	defer f.mu.Unlock()
	if stamp := f.stamps(); stamp != f.stamp {
		if err := f.read(); err != nil {
			f.log.Error("the certificate cannot be read again; the last one stays", "err", err)
			f.stamp = stamp // said once
		}
	}
	return f.now
}

// stamps changes when one of the files does.
func (f *tlsFiles) stamps() string {
	var b strings.Builder
	for _, name := range []string{f.set.Certificate, f.set.Key, f.set.Clients} {
		if info, err := os.Stat(name); err == nil {
			fmt.Fprintf(&b, "%d %d ", info.ModTime().UnixNano(), info.Size())
		}
	}
	return b.String()
}

func (f *tlsFiles) read() error {
	stamp := f.stamps()
	pair, err := tls.LoadX509KeyPair(f.set.Certificate, f.set.Key)
	if err != nil {
		return err
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}}
	if f.set.Clients != "" {
		pem, err := os.ReadFile(f.set.Clients)
		if err != nil {
			return err
		}
		c.ClientCAs, c.ClientAuth = x509.NewCertPool(), tls.VerifyClientCertIfGiven
		if !c.ClientCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("%s holds no certificate in PEM", f.set.Clients)
		}
	}
	f.now, f.stamp = c, stamp
	return nil
}
