package ilert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
)

// A limitError is the cause of ErrBusy where it was a rate limit.
type limitError struct{}

func (*limitError) Error() string { return "rate limit" }

// complaint is the body of a refusal. Only status and code are a contract; the message is for people.
type complaint struct {
	Message string `json:"message"`
	Code    string `json:"code"`
	Scope   string `json:"scope"`
}

// classify says what is wrong with an answer that is no success.
func (c *client) classify(cl *call, res *http.Response, body []byte) error {
	var m complaint
	_ = json.Unmarshal(body, &m) // a gateway answers without
	e := &connectors.Error{Op: cl.op, Detail: shorten(m.Message)}
	if e.Detail == "" {
		e.Detail = "HTTP " + res.Status
	}
	if m.Code != "" {
		e.Detail += " (" + shorten(m.Code) + ")"
	}
	switch status := res.StatusCode; {
	case status < 400:
		e.Kind, e.Hint = connectors.ErrConfig, "check url: it is sent on to another address, and credentials are not sent along"
	case status == http.StatusTooManyRequests:
		e.Kind, e.Err, e.RetryAfter = connectors.ErrBusy, &limitError{}, 30*time.Second
		e.Hint = `too many requests in this minute; write limits { rate = "100/m" } in the connection, less where other programs use the same key, or ask ilert for more`
	case status >= 500 && cl.write():
		e.Kind = connectors.ErrOutcome
	case status >= 500:
		e.Kind = connectors.ErrBusy
	case cl.event && (status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusNotFound):
		// Only this one source is out of reach, not the connection.
		e.Kind, e.Hint = connectors.ErrDenied, "check integration_key: it is the key of the alert source, shown in the source's settings"
	case status == http.StatusUnauthorized:
		e.Kind, e.Hint = connectors.ErrAuth, `no API key arrived: a proxy may take the header Authorization out; else check token in auth "bearer"`
	case status == http.StatusForbidden && m.Code == "KEY_ERROR":
		e.Kind, e.Hint = connectors.ErrAuth, `the API key is unknown, revoked or cut off: make one in ilert's web app with a user of its own and write it as token in auth "bearer"`
	case status == http.StatusForbidden && m.Code == "OAUTH2_SCOPE_ERROR":
		e.Kind, e.Hint = connectors.ErrDenied, fmt.Sprintf("the token lacks the scope %q", shorten(m.Scope))
	case status == http.StatusForbidden:
		e.Kind, e.Hint = connectors.ErrDenied, "the user of the API key may not do this: give the user a role that may, and a place in the team"
	case status == http.StatusPaymentRequired:
		e.Kind, e.Hint = connectors.ErrDenied, "ilert's plan for this account does not cover it, or its quota is used up"
	case status == http.StatusNotFound:
		e.Kind, e.Hint = connectors.ErrNotFound, "it is not there, or this API key may not see it (another team)"
	case cl.write():
		e.Kind = connectors.ErrRefused
	case status == http.StatusBadRequest:
		e.Kind, e.Hint = connectors.ErrConfig, "ilert takes no such parameter: check query, and page_size (50 is safe)"
	default:
		e.Kind, e.Hint = connectors.ErrConfig, "check url; the API is at "+defaultURL
	}
	return e
}

// lost is for requests without a whole answer. Only what failed before it was sent is offline; a write that may have
// arrived has an unknown outcome.
func (c *client) lost(ctx context.Context, cl *call, err error) error {
	// The client that was given to us may refuse on its own.
	if inner, ok := errors.AsType[*connectors.Error](err); ok {
		return &connectors.Error{Kind: inner.Kind, Op: cl.op, Detail: inner.Detail, Hint: inner.Hint, Err: err}
	}
	dial, dialled := errors.AsType[*net.OpError](err)
	_, dns := errors.AsType[*net.DNSError](err)
	switch {
	case dns, dialled && dial.Op == "dial", strings.Contains(err.Error(), "tls: "), errors.Is(err, http.ErrSchemeMismatch):
		return &connectors.Error{Kind: connectors.ErrOffline, Op: cl.op, Detail: innermost(err), Hint: "nothing answers at " + c.root + "; check url, name, certificate and firewall", Err: err}
	case cl.write():
		return &connectors.Error{Kind: connectors.ErrOutcome, Op: cl.op, Detail: "no answer came: " + innermost(err), Err: err}
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", cl.op, ctx.Err())
	}
	return &connectors.Error{Kind: connectors.ErrBusy, Op: cl.op, Detail: "no answer came: " + innermost(err), Hint: "the connection broke or ilert was too slow; a smaller page_size asks less at a time", Err: err}
}

// innermost is the message without what net/http wraps around it, which repeats the whole address.
func innermost(err error) string {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return err.Error()
}

// shorten keeps a message within a line or two.
func shorten(s string) string {
	if r := []rune(s); len(r) > 300 {
		return string(r[:300]) + "…"
	}
	return s
}
