package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/engine/access"
	"github.com/fieldsync/fieldsync/engine/mapping"
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

func TestAServiceIsNotLeftOpen(t *testing.T) {
	token := access.NewToken()
	block := tokenBlock("ada", token, access.Run)
	set := &mapping.Serve{Tokens: []mapping.Token{{}}}
	for _, tt := range []struct {
		name, addr string
		set        mapping.Serve
		ok         bool
	}{
		{"this machine, nobody logs in", "127.0.0.1:0", mapping.Serve{}, true},
		{"every machine, nobody logs in", "0.0.0.0:0", mapping.Serve{}, false},
		{"every machine over IPv6", "[::]:0", mapping.Serve{}, false},
		{"no address at all is every machine", ":0", mapping.Serve{}, false},
		{"a token", "0.0.0.0:0", *set, true},
		{"certificates without TLS", "0.0.0.0:0", mapping.Serve{Certs: []mapping.Cert{{}}}, false},
		{"TLS alone lets everybody in", "0.0.0.0:0", mapping.Serve{TLS: &mapping.TLS{}}, false},
		{"certificates", "0.0.0.0:0", mapping.Serve{Certs: []mapping.Cert{{}}, TLS: &mapping.TLS{Clients: "ca.pem"}}, true},
		{"an identity provider", "0.0.0.0:0", mapping.Serve{OIDC: &mapping.OIDC{}}, true},
		{"a secret that is not there", "127.0.0.1:0", mapping.Serve{Missing: []string{"SESSION_KEY"}}, false},
		{"this machine is let in, and a proxy is on it", "0.0.0.0:0", mapping.Serve{Tokens: set.Tokens, Loopback: "run", URL: "https://sync.test"}, false},
	} {
		local, _ := loopbackAddress(tt.addr)
		err := enterable(tt.addr, local, &tt.set)
		if (err == nil) != tt.ok || err != nil && wayOut(err) == "" {
			t.Errorf("%s: %v, way out %q", tt.name, err, wayOut(err))
		}
	}

	// An edit that takes the last way to log in away is broken, and the last good rules keep the door shut.
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

// certificate writes a certificate for this machine, signed by itself, and its key.
func certificate(t *testing.T, dir, name string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	bits, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{"tls.pem": {Type: "CERTIFICATE", Bytes: der}, "tls.key": {Type: "EC PRIVATE KEY", Bytes: bits}} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestARenewedCertificateNeedsNoRestart(t *testing.T) {
	dir := t.TempDir()
	first := certificate(t, dir, "first")
	set := &mapping.Serve{Tokens: []mapping.Token{{}}, TLS: &mapping.TLS{Certificate: filepath.Join(dir, "tls.pem"), Key: filepath.Join(dir, "tls.key")}}
	var out bytes.Buffer
	d, err := openDoor("127.0.0.1:0", set, slog.New(slog.NewTextHandler(&out, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serveHTTP(ctx, d, d.tls, http.NotFoundHandler()) }()
	t.Cleanup(func() { stop(); <-ended })
	see := func(trusted *x509.Certificate) (name, proto string, err error) {
		pool := x509.NewCertPool()
		pool.AddCert(trusted)
		c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}
		defer c.CloseIdleConnections()
		r, _ := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+d.Addr().String()+"/", nil)
		resp, err := c.Do(r)
		if err != nil {
			return "", "", err
		}
		defer resp.Body.Close()
		return resp.TLS.PeerCertificates[0].Subject.CommonName, resp.Proto, nil
	}
	if name, proto, err := see(first); err != nil || name != "first" || proto != "HTTP/2.0" {
		t.Fatalf("%s over %s, %v", name, proto, err)
	}
	second := certificate(t, dir, "second")
	if name, _, err := see(second); err != nil || name != "second" {
		t.Errorf("the renewed certificate: %s, %v", name, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "tls.pem"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if name, _, err := see(second); err != nil || name != "second" || !strings.Contains(out.String(), "the last one stays") {
		t.Errorf("while the file is half written: %s, %v; %s", name, err, &out)
	}
	old := &tls.Config{MaxVersion: tls.VersionTLS11, InsecureSkipVerify: true}
	if c, err := tls.Dial("tcp", d.Addr().String(), old); err == nil {
		c.Close()
		t.Error("TLS 1.1 is spoken")
	}
}
