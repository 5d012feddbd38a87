package dataminer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
)

// A wire sends requests, for both interfaces. It never sends a write twice.
type wire struct {
	http  *http.Client
	now   func() time.Time
	log   *slog.Logger
	pause time.Duration
}

const (
	// maxBody is above the largest answer of a User-Defined API, 29 MB, and keeps a wrong address from filling memory.
	maxBody = 64 << 20
	// reads of the Web Services are POST, which the client that we are given does not repeat: it cannot know that
	// they change nothing.
	tries      = 3
	firstPause = 250 * time.Millisecond
)

// A request is one of either interface.
type request struct {
	op      string
	method  string
	address string
	body    []byte // JSON; nil for none
	token   string // bearer; "" for none
	write   bool   // it changes something: after it was sent it may have happened
}

// An answer is what came back, whole.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// send makes one request and reads its whole answer, whatever its status. A read that met a gateway, a lost connection
// or a busy server is repeated twice. The error is of kind ErrOutcome for a write that may have arrived.
func (w *wire) send(ctx context.Context, r *request) (*answer, error) {
	for n := 1; ; n++ {
		a, err := w.once(ctx, r)
		passing := errors.Is(err, connectors.ErrBusy) || err == nil && gateway(a.status)
		if r.write || !passing || n == tries || r.method == http.MethodGet || ctx.Err() != nil {
			return a, err
		}
		t := time.NewTimer(w.pause << (n - 1))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return a, err
		}
	}
}

func gateway(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
}

func (w *wire) once(ctx context.Context, r *request) (*answer, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", r.op, err)
	}
	var body io.Reader
	if r.body != nil {
		body = bytes.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, r.address, body)
	if err != nil {
		return nil, &connectors.Error{Kind: connectors.ErrConfig, Op: r.op, Detail: "the address cannot be requested", Hint: "check url"}
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "fieldsync")
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	res, err := w.http.Do(req)
	if err != nil {
		return nil, w.unanswered(ctx, r, err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	w.log.Debug("request", "op", r.op, "method", r.method, "status", res.StatusCode, "bytes", len(text))
	switch {
	case err != nil:
		return nil, w.unanswered(ctx, r, err)
	case len(text) > maxBody:
		return nil, distrust(r, fmt.Sprintf("the answer is longer than %d MB", maxBody>>20))
	}
	return &answer{res.StatusCode, res.Header, bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))}, nil
}

// unanswered is for requests without a whole answer. Only what failed before it was sent is offline; a write that may
// have arrived has an unknown outcome.
func (w *wire) unanswered(ctx context.Context, r *request, err error) error {
	// The client that was given to us may refuse on its own: a redirect to another server, a server that never answers.
	if inner, ok := errors.AsType[*connectors.Error](err); ok {
		return &connectors.Error{Kind: inner.Kind, Op: r.op, Detail: inner.Detail, Hint: inner.Hint, Err: err}
	}
	var dial *net.OpError
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns), errors.As(err, &dial) && dial.Op == "dial", strings.Contains(err.Error(), "tls: "), errors.Is(err, http.ErrSchemeMismatch):
		return &connectors.Error{Kind: connectors.ErrOffline, Op: r.op, Detail: innermost(err), Hint: "nothing answers at " + hostOf(r.address) + "; check url, name, port, certificate and firewall", Err: err}
	case r.write:
		return &connectors.Error{Kind: connectors.ErrOutcome, Op: r.op, Detail: "no answer came: " + innermost(err), Err: err}
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", r.op, ctx.Err())
	}
	return &connectors.Error{Kind: connectors.ErrBusy, Op: r.op, Detail: "no answer came: " + innermost(err), Hint: "the connection broke or the system was too slow", Err: err}
}

// distrust is a success that is not what was asked for: of a write the outcome is unknown.
func distrust(r *request, detail string) error {
	kind := connectors.ErrProtocol
	if r.write {
		kind = connectors.ErrOutcome
	}
	return &connectors.Error{Kind: kind, Op: r.op, Detail: detail, Hint: "what answers at " + hostOf(r.address) + " may be a web page or a proxy; check url"}
}

// innermost is the message without what net/http wraps around it, which repeats the whole address.
func innermost(err error) string {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return err.Error()
}

// shorten is text of the system for a message.
func shorten(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > 300 {
		return string(r[:300]) + "…"
	}
	return s
}

// clockOf compares a time that the system stamped between began and ended with ours.
func clockOf(ms int64, began, ended time.Time) connectors.Clock {
	half := max(ended.Sub(began), 0) / 2
	return connectors.Clock{Measured: true, Offset: time.UnixMilli(ms).Sub(began.Add(half)), Error: half + time.Millisecond}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
