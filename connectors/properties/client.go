package properties

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
)

// A client sends requests, one at a time and never twice.
type client struct {
	root  string
	token connectors.Secret
	http  *http.Client
	now   func() time.Time
	log   *slog.Logger
}

// maxBody is far above any page.
const maxBody = 64 << 20

// info is what a system says of itself.
type info struct {
	Contract   int      `json:"contract"`
	Time       int64    `json:"timeUTC"`
	Properties []string `json:"alarmProperties"`
}

func (c *client) info(ctx context.Context) (info, error) {
	var i info
	const op = "ask for alarm properties"
	if err := c.do(ctx, op, "/fieldsync/info", nil, nil, &i); err != nil {
		if errors.Is(err, connectors.ErrNotFound) {
			return i, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Err: err, Detail: "nothing answers under " + c.root + "/fieldsync",
				Hint: "check url; it is the address in front of /fieldsync/info"}
		}
		return i, err
	}
	if i.Contract != 1 {
		return i, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: fmt.Sprintf("the system speaks contract %d", i.Contract),
			Hint: "this version knows contract 1; update fieldsync or the system's script"}
	}
	return i, nil
}

// do sends a request, as POST if it has a body, and decodes the answer.
func (c *client) do(ctx context.Context, op, path string, query url.Values, body []byte, into any) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	method, address := http.MethodGet, c.root+path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	var reader io.Reader
	if body != nil {
		method, reader = http.MethodPost, bytes.NewReader(body)
	}
	r, err := http.NewRequestWithContext(ctx, method, address, reader)
	if err != nil {
		return &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: "the address cannot be requested", Hint: "check url"}
	}
	r.Header.Set("Accept", "application/json")
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token.Reveal())
	}
	res, err := c.http.Do(r)
	if err != nil {
		return c.unsent(ctx, op, body != nil, err)
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxBody))
	c.log.Debug("request", "op", op, "method", method, "status", res.StatusCode, "bytes", len(answer))
	if err != nil {
		return c.unsent(ctx, op, body != nil, err)
	}
	if res.StatusCode != http.StatusOK {
		return c.classify(op, body != nil, res, answer)
	}
	if err := json.Unmarshal(answer, into); err != nil {
		kind := connectors.ErrProtocol
		if body != nil {
			kind = connectors.ErrOutcome
		}
		return &connectors.Error{Kind: kind, Op: op, Detail: "the answer is not the JSON that is expected", Hint: "check url: a web page or a proxy may have answered", Err: err}
	}
	return nil
}

// unsent is for requests without a whole answer. Only what failed before it was sent is offline; a write that
// may have arrived has an unknown outcome.
func (c *client) unsent(ctx context.Context, op string, write bool, err error) error {
	var dial *net.OpError
	var dns *net.DNSError
	// The client that was given to us may refuse on its own: a redirect to another server, a server that never answers.
	if inner, ok := errors.AsType[*connectors.Error](err); ok {
		return &connectors.Error{Kind: inner.Kind, Op: op, Detail: inner.Detail, Hint: inner.Hint, Err: err}
	}
	switch {
	case errors.As(err, &dns), errors.As(err, &dial) && dial.Op == "dial", strings.Contains(err.Error(), "tls: "), errors.Is(err, http.ErrSchemeMismatch):
		return &connectors.Error{Kind: connectors.ErrOffline, Op: op, Detail: innermost(err), Hint: "nothing answers at " + hostOf(c.root) + "; check url, name, port, certificate and firewall", Err: err}
	case write:
		return &connectors.Error{Kind: connectors.ErrOutcome, Op: op, Detail: "no answer came: " + innermost(err), Err: err}
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", op, ctx.Err())
	}
	return &connectors.Error{Kind: connectors.ErrBusy, Op: op, Detail: "no answer came: " + innermost(err), Hint: "the connection broke or the system was too slow; a smaller page_size asks less at a time", Err: err}
}

func (c *client) classify(op string, write bool, res *http.Response, body []byte) error {
	e := &connectors.Error{Kind: connectors.ErrRefused, Op: op, Detail: "HTTP " + res.Status}
	var said struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &said) == nil && said.Error != "" {
		e.Detail = said.Error
		if r := []rune(said.Error); len(r) > 300 {
			e.Detail = string(r[:300]) + "…"
		}
	}
	switch status := res.StatusCode; {
	case status == http.StatusUnauthorized:
		e.Kind, e.Hint = connectors.ErrAuth, `check the token in auth "bearer"`
	case status == http.StatusForbidden:
		e.Kind, e.Hint = connectors.ErrDenied, "this token may not use the alarm properties; the system's user needs the rights to read alarms and to add and edit alarm properties"
	case status == http.StatusNotFound:
		e.Kind, e.Hint = connectors.ErrNotFound, "check url"
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable && !write:
		e.Kind = connectors.ErrBusy
		if n, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && n > 0 {
			e.RetryAfter = time.Duration(n) * time.Second
		}
	case status >= 500 && write:
		e.Kind = connectors.ErrOutcome
	case status >= 500:
		e.Kind = connectors.ErrBusy
	case status < 400:
		e.Kind, e.Hint = connectors.ErrProtocol, "check url: something else answers there"
	}
	return e
}

// innermost is the message without what net/http wraps around it, which repeats the whole address.
func innermost(err error) string {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return err.Error()
}

func hostOf(root string) string {
	_, rest, _ := strings.Cut(root, "://")
	host, _, _ := strings.Cut(rest, "/")
	return host
}

// clockOf compares a time that the system stamped between began and ended with ours.
func clockOf(ms int64, began, ended time.Time) connectors.Clock {
	half := max(ended.Sub(began), 0) / 2
	return connectors.Clock{Measured: true, Offset: time.UnixMilli(ms).Sub(began.Add(half)), Error: half + time.Millisecond}
}
