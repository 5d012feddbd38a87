// Package guard holds what stands between a connector and its system: an HTTP client that keeps to limits and
// never sends a write twice, and a wrapper that takes the ability to write away.
//
// [Client] is what a connection gets as Env.HTTP. Reading is tried again after failures that pass; writing only
// when the server itself asks for that, because everything else may already have happened. [ReadOnly] is what a
// preview works on. Errors are those of net/http, but a refused redirect and a server that never answered are a
// *connectors.Error.
package guard

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/fieldsync/fieldsync/connectors"
)

const (
	tries       = 5
	firstWait   = 500 * time.Millisecond
	longestWait = 30 * time.Second // what a server may ask us to wait inside one call; longer is for the engine
	headers     = 2 * time.Minute  // until an answer begins
	firstAnswer = 30 * time.Second // until the first one begins: what accepts and never answers is not the system
	silence     = 10 * time.Second // after which a person is told that there is no answer yet
	whole       = 5 * time.Minute  // until it has ended
)

// An Attempt is one request as it was sent: one that was tried three times is three of them.
type Attempt struct {
	Method, Host, Path string        // without the query, which may hold values of records
	Status             int           // 0: no answer began
	Err                error         // why, and why none was sent
	Waited             time.Duration // for the limits
	Began              time.Time     // after that
	Took               time.Duration // until the answer began
}

// Client makes an HTTP client with these limits. base does the requests; nil is [Transport], and anything else
// is for tests. seen is told of each attempt with its request's context; it may be nil. Each connection needs a client
// of its own, since the limits are per client.
func Client(l connectors.Limits, log *slog.Logger, base http.RoundTripper, seen func(context.Context, Attempt)) *http.Client {
	if base == nil {
		base = Transport(l)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	lim := &limited{base: base, turns: NewTurns(l), log: log, seen: seen}
	c := &retryablehttp.Client{
		HTTPClient:   &http.Client{Transport: lim, CheckRedirect: sameHost, Timeout: whole},
		RetryMax:     tries - 1,
		RetryWaitMin: firstWait,
		RetryWaitMax: longestWait,
		CheckRetry:   again,
		Backoff:      wait,
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
		RequestLogHook: func(_ retryablehttp.Logger, r *http.Request, attempt int) {
			if attempt > 0 {
				log.Debug("request is tried again", "method", r.Method, "host", r.URL.Host, "attempt", attempt+1)
			}
		},
	}
	return &http.Client{Transport: &retrying{c}, CheckRedirect: asIs}
}

// Transport is net/http's own with bounds on every phase: certificates are verified, HTTPS_PROXY is honoured.
func Transport(l connectors.Limits) *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: headers,
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       60 * time.Second,
		MaxIdleConnsPerHost:   atOnce(l),
		ForceAttemptHTTP2:     true,
	}
}

// asIs leaves redirects to the client inside, which has decided about them already.
func asIs(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// sameHost follows a read to another page of the same server. Credentials go nowhere else, and a write is not
// followed at all: net/http would turn it into a read.
func sameHost(req *http.Request, via []*http.Request) error {
	from, to := via[0].URL, req.URL
	upgrade := from.Scheme == "http" && to.Scheme == "https" && from.Hostname() == to.Hostname() && from.Port() == "" && to.Port() == ""
	if !upgrade && (from.Scheme != to.Scheme || from.Host != to.Host) {
		return &connectors.Error{
			Kind: connectors.ErrConfig, Op: "redirect", Detail: fmt.Sprintf("%s sends us to %s", from.Host, to.Host),
			Hint: "write the address that the system really has in url: a redirect to another server is not followed",
			Err:  &connectors.Elsewhere{At: to},
		}
	}
	if !reads(via[0].Method) {
		return http.ErrUseLastResponse
	}
	if len(via) >= 5 {
		return &connectors.Error{Kind: connectors.ErrProtocol, Op: "redirect", Detail: from.Host + " sends us in circles"}
	}
	return nil
}

func reads(method string) bool {
	return method == "" || method == http.MethodGet || method == http.MethodHead
}

// retrying carries what again needs to know into the context, where it is also when there is no response.
type retrying struct{ client *retryablehttp.Client }

type sendingKey struct{}

// A sending is one request and what became of it so far.
type sending struct {
	method string
	vain   bool // nobody was there, or nobody answered
}

func (r *retrying) RoundTrip(req *http.Request) (*http.Response, error) {
	out, err := retryablehttp.FromRequest(req.WithContext(context.WithValue(req.Context(), sendingKey{}, &sending{method: req.Method})))
	if err != nil {
		return nil, err
	}
	res, err := r.client.Do(out)
	if err == nil {
		return res, nil
	}
	if res != nil { // of the redirect that was refused; its body is closed
		_ = res.Body.Close()
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // the client outside wraps it in one of its own
	}
	return nil, err
}

// CloseIdleConnections lets http.Client.CloseIdleConnections through.
func (r *retrying) CloseIdleConnections() { r.client.HTTPClient.CloseIdleConnections() }

// again decides whether a request is sent once more.
func again(ctx context.Context, res *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	s, _ := ctx.Value(sendingKey{}).(*sending)
	if err != nil {
		if !reads(s.method) || !passes(err) {
			return false, nil
		}
		if !vain(err) {
			return true, nil
		}
		// Once more is for a server that restarts. Longer is for the next run: a person may be waiting.
		again := !s.vain
		s.vain = true
		return again, nil
	}
	asked, wait := retryAfter(res)
	if asked && wait > longestWait {
		return false, nil // too long to sit here: whoever called knows better what to do meanwhile
	}
	switch res.StatusCode {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return asked || reads(s.method), nil
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		return reads(s.method), nil
	}
	return false, nil
}

// passes reports whether a failure may be gone in a moment.
func passes(err error) bool {
	if _, ok := errors.AsType[*connectors.Error](err); ok {
		return false
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return false
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return false
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok && e.IsNotFound {
		return false
	}
	return !errors.Is(err, http.ErrSchemeMismatch)
}

// vain reports whether nobody was there, or nobody answered.
func vain(err error) bool {
	late, ok := errors.AsType[net.Error](err)
	return ok && late.Timeout() || errors.Is(err, syscall.ECONNREFUSED)
}

// retryAfter reads the header in both of its forms.
func retryAfter(res *http.Response) (asked bool, wait time.Duration) {
	h := res.Header.Get("Retry-After")
	if h == "" {
		return false, 0
	}
	if n, err := strconv.Atoi(h); err == nil && n >= 0 {
		return true, time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(h); err == nil {
		return true, max(0, time.Until(t))
	}
	return false, 0
}

// wait is what the server asked for, else twice as long each time, spread so that many do not come back at once.
func wait(first, longest time.Duration, attempt int, res *http.Response) time.Duration {
	if res != nil {
		if asked, d := retryAfter(res); asked {
			return min(d, longest)
		}
	}
	d := min(first<<attempt, longest)
	return d/2 + rand.N(d/2+1)
}

// errSilent is a server that has never answered.
var errSilent = &connectors.Error{
	Kind: connectors.ErrOffline, Op: "request", Detail: fmt.Sprintf("it accepts connections, but did not answer within %v", firstAnswer),
	Hint: "check that host and port of url are the system's, and that it is not overloaded",
}

// limited lets only so many requests out, and only so fast, and tells of answers that do not come.
type limited struct {
	base     http.RoundTripper
	turns    *Turns
	log      *slog.Logger
	seen     func(context.Context, Attempt)
	answered atomic.Bool // once
}

func (l *limited) RoundTrip(req *http.Request) (*http.Response, error) {
	if l.seen == nil {
		return l.send(req, &Attempt{})
	}
	came := time.Now()
	a := Attempt{Method: req.Method, Host: req.URL.Host, Path: req.URL.Path}
	res, err := l.send(req, &a)
	if a.Began.IsZero() { // it was given up while it waited for its turn
		a.Began = time.Now()
	}
	a.Waited, a.Took, a.Err = a.Began.Sub(came), time.Since(a.Began), err
	if res != nil {
		a.Status = res.StatusCode
	}
	l.seen(req.Context(), a)
	return res, err
}

// send waits for the request's turn and says in a when that came.
func (l *limited) send(req *http.Request, a *Attempt) (*http.Response, error) {
	ctx := req.Context()
	leave, err := l.turns.Take(ctx)
	if err != nil {
		return nil, err
	}
	a.Began = time.Now()
	res, err := l.patient(req)
	if err != nil {
		leave()
		return nil, err
	}
	// The request is in flight until its answer is read: that is how servers count, too.
	res.Body = &body{ReadCloser: res.Body, free: leave}
	return res, nil
}

// patient waits for an answer to begin.
func (l *limited) patient(req *http.Request) (*http.Response, error) {
	told := time.AfterFunc(silence, func() {
		l.log.Warn("no answer yet; still waiting", "method", req.Method, "host", req.URL.Host, "waited", silence)
	})
	defer told.Stop()
	if l.answered.Load() || !reads(req.Method) {
		return l.base.RoundTrip(req)
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	given := time.AfterFunc(firstAnswer, func() {
		if !l.answered.Load() {
			cancel(errSilent)
		}
	})
	defer given.Stop()
	res, err := l.base.RoundTrip(req.WithContext(ctx))
	if err != nil {
		if errors.Is(context.Cause(ctx), errSilent) {
			err = errSilent
		}
		cancel(nil)
		return nil, err
	}
	l.answered.Store(true)
	res.Body = &lasting{res.Body, cancel}
	return res, nil
}

// A lasting body keeps its request's context until it is closed.
type lasting struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
}

func (b *lasting) Close() error {
	defer b.cancel(nil)
	return b.ReadCloser.Close()
}

func (l *limited) CloseIdleConnections() {
	if c, ok := l.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// A body gives its slot back when it has been read or closed.
type body struct {
	io.ReadCloser
	free func()
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.free()
	}
	return n, err
}

func (b *body) Close() error {
	defer b.free()
	return b.ReadCloser.Close()
}
