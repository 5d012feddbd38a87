package service

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
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/engine/mapping"
)

func TestAServiceThatOthersReachAsksWhoTheyAre(t *testing.T) {
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
		local, _ := LoopbackAddress(tt.addr)
		err := enterable(tt.addr, local, &tt.set)
		if (err == nil) != tt.ok || err != nil && project.WayOut(err) == "" {
			t.Errorf("%s: %v, way out %q", tt.name, err, project.WayOut(err))
		}
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
	go func() { ended <- ServeHTTP(ctx, d, d.tls, http.NotFoundHandler()) }()
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
