package rest

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// classify makes an error of an answer that is no success; nil for one that is.
func (c *client) classify(cl *call, a *answer, raw []byte) *connectors.Error {
	if e := c.told(cl, a); e != nil || a.status >= 200 && a.status < 300 {
		return e
	}
	e := &connectors.Error{Op: cl.op, Detail: c.says(a, raw)}
	if e.Detail == "" {
		e.Detail = fmt.Sprintf("status %d %s", a.status, strings.ToLower(http.StatusText(a.status)))
	}
	wait, exhausted := c.limit(a)
	switch {
	case a.status == http.StatusTooManyRequests || a.status == http.StatusForbidden && exhausted:
		e.Kind, e.RetryAfter = connectors.ErrBusy, wait
		e.Hint = "the tool limits how often it is asked; lower limits.rate of the connection or run the sync less often"
	case a.status == http.StatusUnauthorized:
		e.Kind, e.Hint = connectors.ErrAuth, "check the credentials in the auth block, and that the tool's API is switched on for this user"
	case a.status == http.StatusForbidden || a.status == http.StatusPaymentRequired:
		e.Kind, e.Hint = connectors.ErrDenied, "this user may not do that; the head of the description says which rights it needs"
	case (a.status == http.StatusNotFound || a.status == http.StatusGone) && cl.one:
		e.Kind = connectors.ErrNotFound
	case a.status == http.StatusNotFound || a.status == http.StatusGone || a.status == http.StatusMethodNotAllowed:
		e.Kind, e.Hint = connectors.ErrConfig, "nothing answers under "+cl.path+"; check url, the settings of the connection and the description"
	case a.status == http.StatusPreconditionFailed || a.status == http.StatusConflict && (cl.match != "" || cl.versioned):
		e.Kind = connectors.ErrStale
	case a.status == http.StatusRequestTimeout || a.status >= 500:
		e.Kind, e.RetryAfter, e.Hint = connectors.ErrBusy, wait, "the tool or the way to it has trouble; look into its log"
		if cl.write() {
			e.Kind = connectors.ErrOutcome
		}
	case a.status >= 300 && a.status < 400:
		redirected(a, e)
	case cl.write():
		e.Kind, e.Hint = connectors.ErrRefused, "the tool refuses these values; its own rules for the record say why"
	default:
		e.Kind, e.Hint = connectors.ErrConfig, "the tool does not take this request; check the query of the side and the description"
	}
	return e
}

// told is what the description recognises whatever the status is: that a record is not there, or not the one that was read.
func (c *client) told(cl *call, a *answer) *connectors.Error {
	if !cl.one || a.status == http.StatusUnauthorized {
		return nil
	}
	for _, t := range []struct {
		when *expr
		kind error
	}{{c.tool.missing, connectors.ErrNotFound}, {c.tool.stale, connectors.ErrStale}} {
		if is, err := t.when.truth(a.view(), false); err == nil && is {
			return &connectors.Error{Kind: t.kind, Op: cl.op, Detail: c.says(a, nil)}
		}
	}
	return nil
}

// hidden is the error behind a success status that the description tells of.
func (c *client) hidden(cl *call, a *answer) error {
	failed, err := c.tool.failed.truth(a.view(), false)
	if err != nil {
		c.log.Debug("the condition of the error block cannot be decided", "op", cl.op, "err", err)
		return nil
	}
	if !failed {
		return nil
	}
	e := &connectors.Error{Kind: connectors.ErrProtocol, Op: cl.op, Detail: c.says(a, nil), Hint: "the tool reports an error behind a success; nothing of the answer is used"}
	if cl.write() {
		e.Kind = connectors.ErrRefused
	}
	return e
}

// says is what an answer says of its failure: by the description, else by what tools commonly call it.
func (c *client) says(a *answer, raw []byte) string {
	if c.tool.message != nil {
		if v, err := c.tool.message.get(a.view()); err == nil && !v.Empty() {
			return shorten(sentence(v.Any()))
		}
	}
	if s := sentence(common(a.body)); s != "" {
		return shorten(s)
	}
	if looksHTML(a, raw) || len(bytes.TrimSpace(raw)) <= len("{}") {
		return ""
	}
	return shorten(strings.Join(strings.Fields(string(raw[:min(len(raw), 1000)])), " "))
}

// common finds a message where most tools have it.
func common(body any) any {
	switch b := body.(type) {
	case []any, string:
		return b
	case map[string]any:
		for _, name := range []string{"errors", "error_description", "message", "error", "errorMessages", "detail", "description", "title"} {
			if v := b[name]; v != nil && sentence(v) != "" {
				return v
			}
		}
	}
	return nil
}

// sentence puts decoded JSON into words.
func sentence(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return strings.TrimSpace(v)
	case []any:
		var parts []string
		for _, e := range v {
			if s := sentence(e); s != "" {
				parts = append(parts, s)
			}
		}
		return strings.Join(parts, "; ")
	case map[string]any:
		if m, ok := v["message"]; ok && sentence(m) != "" {
			s := sentence(m)
			if f := sentence(v["field"]); f != "" {
				return f + ": " + s
			}
			return s
		}
		var parts []string
		for name, e := range v {
			if s := sentence(e); s != "" {
				parts = append(parts, name+": "+s)
			}
		}
		slices.Sort(parts)
		return strings.Join(parts, "; ")
	}
	rv, err := record.Of(v)
	if err != nil {
		return ""
	}
	return rv.Plain()
}

// limit reads how long a tool wants us to wait, and whether it says that nothing is left. Header names are those of
// the drafts and of the large services.
func (c *client) limit(a *answer) (wait time.Duration, exhausted bool) {
	h := a.header
	get := func(names ...string) string {
		for _, n := range names {
			if v := h.Get(n); v != "" {
				return v
			}
		}
		return ""
	}
	exhausted = get("X-RateLimit-Remaining", "RateLimit-Remaining", "X-Rate-Limit-Remaining") == "0" || h.Get("Retry-After") != ""
	s := get("Retry-After", "RateLimit-Reset", "X-RateLimit-Reset", "X-Rate-Limit-Reset")
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		if n > 1_000_000_000 { // an instant, not a number of seconds
			return max(time.Unix(n, 0).Sub(c.now()), 0), exhausted
		}
		return time.Duration(max(n, 0)) * time.Second, exhausted
	}
	if t, err := http.ParseTime(s); err == nil {
		return max(t.Sub(c.now()), 0), exhausted
	}
	return 0, exhausted
}

func redirected(a *answer, e *connectors.Error) {
	to, _, _ := strings.Cut(a.header.Get("Location"), "?")
	low := strings.ToLower(to)
	e.Kind, e.Detail, e.Hint = connectors.ErrConfig, "the address is redirected to "+shorten(to), "write the address that the tool really has in url; redirects are not followed, they would carry the credentials along"
	for _, s := range []string{"login", "signin", "sign_in", "saml", "sso", "auth"} {
		if strings.Contains(low, s) {
			e.Kind, e.Detail, e.Hint = connectors.ErrAuth, "the tool sends to a log-in page", "check the credentials, and that url is the address of its API"
			return
		}
	}
}

// notJSON is a success whose content is something else.
func notJSON(cl *call, a *answer, raw []byte) error {
	e := &connectors.Error{Kind: connectors.ErrProtocol, Op: cl.op, Detail: "the answer is not JSON, or was cut off", Hint: "nothing of it is used; check url and proxies in between"}
	if cl.stream {
		e.Detail = "the answer is not the content of a file"
	}
	if looksHTML(a, raw) {
		e.Detail = "the answer is a web page"
		low := bytes.ToLower(raw[:min(len(raw), 64<<10)])
		if bytes.Contains(low, []byte(`type="password"`)) || bytes.Contains(low, []byte("log in")) || bytes.Contains(low, []byte("sign in")) {
			e.Kind, e.Detail, e.Hint = connectors.ErrAuth, "the answer is a log-in page", "check the credentials, and that url is the address of the tool's API"
		}
	}
	return e
}

func looksHTML(a *answer, raw []byte) bool {
	return strings.Contains(a.header.Get("Content-Type"), "html") || bytes.HasPrefix(bytes.TrimSpace(raw[:min(len(raw), 256)]), []byte("<"))
}

// distrust is an answer whose content cannot be believed: a write may have happened.
func distrust(cl *call, detail string, cause error) error {
	e := &connectors.Error{Kind: connectors.ErrProtocol, Op: cl.op, Detail: detail, Err: cause, Hint: "nothing of it is used; run again, and if it stays, look at the tool's log and at proxies in between"}
	if cl.write() {
		e.Kind = connectors.ErrOutcome
	}
	return e
}

// unsent is a request without an answer. Only what surely happened before it was sent makes it ErrOffline.
func (c *client) unsent(ctx context.Context, cl *call, err error) error {
	e := &connectors.Error{Kind: connectors.ErrOffline, Op: cl.op, Err: plainCause(err)}
	if inner, ok := errors.AsType[*connectors.Error](err); ok {
		e.Kind, e.Detail, e.Hint = inner.Kind, inner.Detail, inner.Hint
		return e
	}
	if hint := before(err, c.root.Host); hint != "" {
		e.Hint = hint
		return e
	}
	switch {
	case cl.write():
		e.Kind, e.Detail = connectors.ErrOutcome, "no answer came"
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", cl.op, ctx.Err())
	default:
		e.Kind, e.Detail, e.Hint = connectors.ErrBusy, "no answer came", "the connection to "+c.root.Host+" broke or it was too slow; check the network and any proxy in between"
	}
	return e
}

func before(err error, host string) string {
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return "nobody knows the host " + host + "; check url"
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "the certificate of " + host + " is not trusted here; add its authority to the system's certificates"
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return "nothing listens at " + host + "; check url and that the tool runs"
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return "there is no way to " + host + "; check url, the network and HTTPS_PROXY"
	}
	return ""
}

// plainCause takes the address out of an error: it may carry a key.
func plainCause(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// shorten keeps messages on one screen.
func shorten(s string) string {
	const limit = 300
	s = strings.TrimSpace(strings.ToValidUTF8(s, "�"))
	if r := []rune(s); len(r) > limit {
		return string(r[:limit]) + "…"
	}
	return s
}
