package access_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/engine/access"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{}
	a.cert, a.key = a.issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// issue signs a certificate; the first one signs itself.
func (a *authority) issue(t *testing.T, c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func TestACertificateSaysWhoAsks(t *testing.T) {
	t.Parallel()
	ours, theirs := newAuthority(t), newAuthority(t)
	var m access.Mux
	m.Handle("/decide", access.Require(access.Decide, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, access.From(r.Context()).Name)
	})))
	g := &access.Gate{Who: func() access.Who {
		return access.Who{Certificates: []access.Certificate{{Name: "ops", Role: access.Run}, {Name: "desk.example.com", Role: access.Decide}, {Name: "screen", Role: access.Look}}}
	}}
	srv := httptest.NewUnstartedServer(g.Wrap(&m))
	pool := x509.NewCertPool()
	pool.AddCert(ours.cert)
	srv.TLS = &tls.Config{ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool}
	srv.StartTLS()
	t.Cleanup(srv.Close)

	for _, tt := range []struct {
		name string
		from *authority
		cert *x509.Certificate // nil: none
		want int               // 0: the connection is refused
	}{
		{"no certificate", nil, nil, 401},
		{"by its common name", ours, &x509.Certificate{Subject: pkix.Name{CommonName: "ops"}}, 200},
		{"by an alternative name", ours, &x509.Certificate{Subject: pkix.Name{CommonName: "x"}, DNSNames: []string{"desk.example.com"}}, 200},
		{"a lower role", ours, &x509.Certificate{Subject: pkix.Name{CommonName: "screen"}}, 403},
		{"a name that the mapping does not have", ours, &x509.Certificate{Subject: pkix.Name{CommonName: "stranger"}}, 401},
		{"another authority", theirs, &x509.Certificate{Subject: pkix.Name{CommonName: "ops"}}, 0},
	} {
		c := srv.Client()
		conf := c.Transport.(*http.Transport).TLSClientConfig.Clone()
		if tt.cert != nil {
			tt.cert.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
			cert, key := tt.from.issue(t, tt.cert)
			// A client offers no certificate of an authority that the server does not name; one who attacks does.
			conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				return &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}, nil
			}
		}
		c = &http.Client{Transport: &http.Transport{TLSClientConfig: conf}}
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+"/decide", nil)
		resp, err := c.Do(r)
		c.CloseIdleConnections()
		got := 0
		if err == nil {
			got = resp.StatusCode
			resp.Body.Close()
		}
		if got != tt.want {
			t.Errorf("%s: %d, %v; want %d", tt.name, got, err, tt.want)
		}
	}
}
