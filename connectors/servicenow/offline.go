package servicenow

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/fieldsync/fieldsync/connectors"
)

// lost classifies a request that got no answer. Only failures that come before anything is sent are offline;
// after that a write may have happened and a read has merely failed.
func (c *client) lost(ctx context.Context, cl *call, err error, host string) error {
	e := &connectors.Error{Kind: connectors.ErrOffline, Op: cl.op, Err: err}
	// The client that was given to us may refuse on its own: a redirect to another server.
	if inner, ok := errors.AsType[*connectors.Error](err); ok {
		e.Kind, e.Detail, e.Hint = inner.Kind, inner.Detail, inner.Hint
		return e
	}
	if hint, detail := beforeSending(err, host, cl.write()); hint != "" {
		e.Hint, e.Detail = hint, detail
		return e
	}
	if cl.write() {
		e.Kind, e.Detail = connectors.ErrOutcome, "no answer came: "+cause(err)
		return e
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", cl.op, ctx.Err())
	}
	e.Kind, e.Detail = connectors.ErrBusy, "no answer came: "+cause(err)
	e.Hint = "the connection broke or the instance was too slow; a smaller page_size asks less at a time"
	if !timeout(err) {
		e.Hint = "the connection to " + host + " broke; check the network and any proxy in between"
	}
	return e
}

// beforeSending returns a hint and a detail when err shows that no request left. An alert of the other side that
// only its text shows may also come after a request was sent, so it says nothing about a write.
func beforeSending(err error, host string, write bool) (hint, detail string) {
	var (
		dns       *net.DNSError
		op        *net.OpError
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
		verify    *tls.CertificateVerificationError
		header    tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &dns):
		return "the name " + dns.Name + " is not known; check url, and the name service of this machine", "unknown host " + dns.Name
	case errors.As(err, &authority):
		return "the certificate of " + host + " is signed by an authority this machine does not trust; a proxy that inspects traffic must have its authority installed here (SSL_CERT_FILE)",
			"its certificate is not trusted"
	case errors.As(err, &name):
		return "the certificate belongs to another name than " + host + "; check url", "its certificate is for another name"
	case errors.As(err, &invalid):
		if invalid.Reason == x509.Expired {
			return "the certificate of " + host + " has expired or is not yet valid; check the clock of this machine first", "its certificate is not valid now"
		}
		return "the certificate of " + host + " is not valid", "its certificate is not valid"
	case errors.As(err, &verify):
		return "the certificate of " + host + " could not be verified", "its certificate is not trusted"
	case errors.As(err, &header), errors.Is(err, http.ErrSchemeMismatch):
		return "what answers at " + host + " does not speak TLS; check port and scheme of url", "no TLS there"
	case errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect"):
		if op.Timeout() {
			return "nothing answers at " + host + "; check url, firewall and proxy (HTTPS_PROXY)", "the connection timed out"
		}
		return "nothing accepts connections at " + host + "; check url, firewall and proxy (HTTPS_PROXY)", cause(op)
	case strings.Contains(err.Error(), "TLS handshake timeout"), !write && strings.Contains(err.Error(), "tls: "):
		return "no secure connection to " + host + " could be made; check url and proxies", cause(err)
	}
	return "", ""
}

func timeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// cause is the innermost message: what net/http wraps around it repeats the whole address.
func cause(err error) string {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return shorten(err.Error())
		}
		err = next
	}
}

func hostOf(root string) string {
	_, rest, _ := strings.Cut(root, "://")
	host, _, _ := strings.Cut(rest, "/")
	return host
}
