package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
)

// A client sends requests and says what came of them. It repeats none, except the one after which a token had to be
// renewed: that one was refused, so nothing of it happened. Reads are repeated by the http.Client it was given.
type client struct {
	root *url.URL
	http *http.Client
	auth keeper
	tool *tool
	now  func() time.Time
	log  *slog.Logger

	mu       sync.Mutex
	clock    connectors.Clock
	measured time.Time
}

// A call is one request.
type call struct {
	op     string // for messages: "scan issues"
	method string // "" is GET
	path   string // below the root, escaped
	query  url.Values
	body   any    // to be sent as JSON; nil: none
	match  string // If-Match
	one    bool   // about one record: 404 means that it is not there

	versioned bool              // it names the version that it is about
	parcel    *parcel           // to be sent in place of body
	headers   map[string]string // of this request alone
	stream    bool              // the answer is the content of a file
	abroad    bool              // it may be at another server
	elsewhere *url.URL          // where it is, if not below the root: asked without credentials
}

func (c *call) write() bool { return c.method != "" && c.method != http.MethodGet }

// An answer is what came back with a success status.
type answer struct {
	status int
	header http.Header
	body   any           // decoded JSON; nil where there is none
	stream io.ReadCloser // in place of body: the content of a file
	date   time.Time     // the tool's clock when the request began, at the latest; zero where it does not say
}

func (a *answer) view() *view { return &view{body: a.body, header: a.header, status: a.status} }

const (
	maxBody = 64 << 20 // above any page
	maxURL  = 8000     // what web servers and proxies take
)

func (c *client) address(cl *call) string {
	u := *c.root
	s := u.Scheme + "://" + u.Host + u.EscapedPath() + cl.path
	if len(cl.query) > 0 {
		sep := "?"
		if strings.Contains(cl.path, "?") {
			sep = "&"
		}
		s += sep + encode(cl.query)
	}
	return s
}

// do sends cl and reads the whole answer, or hands on the content of a file as it comes in.
func (c *client) do(ctx context.Context, cl *call) (*answer, error) {
	if cl.elsewhere != nil {
		return c.fetch(ctx, cl, cl.elsewhere)
	}
	a, err := c.once(ctx, cl, true)
	if errors.Is(err, errRenewed) {
		a, err = c.once(ctx, cl, false)
	}
	if to, ok := errors.AsType[*connectors.Elsewhere](err); ok && cl.stream && cl.abroad {
		return c.fetch(ctx, cl, to.At)
	}
	return a, err
}

// errRenewed says that a request was refused for a token that has ended, and that there will be a new one.
var errRenewed = errors.New("the token was renewed")

// request makes cl ready to be sent.
func (c *client) request(ctx context.Context, cl *call) (*http.Request, error) {
	method := cl.method
	if method == "" {
		method = http.MethodGet
	}
	at := c.address(cl)
	if len(at) > maxURL {
		return nil, wrong(cl.op, fmt.Sprintf("the address would have %d bytes and servers take 8000", len(at)), "shorten the query, or lower max of read_many")
	}
	var body io.Reader
	kind := ""
	switch {
	case cl.parcel != nil:
		if kind = cl.parcel.kind; cl.parcel.size() > 0 {
			body = cl.parcel
		}
	case cl.body != nil:
		b, err := json.Marshal(cl.body)
		if err != nil {
			return nil, &connectors.Error{Kind: connectors.ErrRefused, Op: cl.op, Detail: "a value cannot be sent as JSON", Err: err}
		}
		body, kind = bytes.NewReader(b), "application/json"
	}
	req, err := http.NewRequestWithContext(ctx, method, at, body)
	if err != nil {
		return nil, wrong(cl.op, "the address cannot be requested", "check url and the paths of the description")
	}
	if cl.parcel != nil {
		req.ContentLength = cl.parcel.size()
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "fieldsync")
	for name, v := range c.tool.headers {
		req.Header.Set(name, v)
	}
	if cl.stream {
		req.Header.Set("Accept", "*/*")
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	for name, v := range cl.headers {
		req.Header.Set(name, v)
	}
	if cl.match != "" {
		req.Header.Set("If-Match", cl.match)
	}
	if err := c.auth.sign(ctx, req); err != nil {
		if e, ok := errors.AsType[*connectors.Error](err); ok {
			e.Op = cl.op
			return nil, e
		}
		return nil, fmt.Errorf("%s: %w", cl.op, err)
	}
	return req, nil
}

func (c *client) once(ctx context.Context, cl *call, first bool) (*answer, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", cl.op, err)
	}
	req, err := c.request(ctx, cl)
	if err != nil {
		return nil, err
	}
	began := c.now()
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.unsent(ctx, cl, err)
	}
	if cl.stream && res.StatusCode == http.StatusOK && !isPage(res) {
		return c.opened(cl, res)
	}
	defer res.Body.Close()
	a := &answer{status: res.StatusCode, header: res.Header, date: c.measure(began, c.now(), res.Header.Get("Date"))}
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	c.log.Debug("request", "op", cl.op, "method", req.Method, "path", cl.path, "status", a.status, "bytes", len(raw))
	if a.status == http.StatusUnauthorized && first && c.auth.renew(req) {
		return nil, errRenewed
	}
	switch {
	case err != nil && ctx.Err() != nil && !cl.write():
		return nil, fmt.Errorf("%s: %w", cl.op, ctx.Err())
	case err != nil && a.status < 300:
		return nil, distrust(cl, "the answer was cut off", plainCause(err))
	case len(raw) > maxBody:
		return nil, distrust(cl, fmt.Sprintf("the answer is longer than %d MB", maxBody>>20), nil)
	}
	jsonErr := a.decode(raw)
	if e := c.classify(cl, a, raw); e != nil {
		if to := leads(res); to != nil && cl.stream {
			e.Err = &connectors.Elsewhere{At: to}
		}
		return nil, e
	}
	if cl.stream {
		return nil, notJSON(cl, a, raw) // a page, or an answer without content
	}
	// What a write answers is not needed to know what is stored.
	if jsonErr != nil && !cl.write() {
		return nil, notJSON(cl, a, raw)
	}
	return a, c.hidden(cl, a)
}

// decode reads a body that is one JSON value, or nothing.
func (a *answer) decode(raw []byte) error {
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("more follows the JSON value")
	}
	a.body = v
	return nil
}

// prove asks for what only a user who is logged in can see, and returns who that is, where the tool says so.
func (c *client) prove(ctx context.Context) (string, error) {
	l := c.tool.login
	if l == nil {
		return "", nil
	}
	a, err := c.do(ctx, &call{op: "log in", path: string(l.path)})
	if err != nil {
		if errors.Is(err, connectors.ErrDenied) || errors.Is(err, connectors.ErrNotFound) {
			e, _ := errors.AsType[*connectors.Error](err)
			e.Kind = connectors.ErrAuth
		}
		return "", err
	}
	if l.user == nil {
		return "", nil
	}
	user, err := l.user.text(a.view())
	if err != nil || user == "" {
		return "", &connectors.Error{Kind: connectors.ErrAuth, Op: "log in", Detail: "the answer names no user", Hint: "check the credentials in the auth block", Err: err}
	}
	return user, nil
}

// staleClock is how long a measurement of the clock is better than none.
const staleClock = 10 * time.Minute

// measure compares the Date header of an answer with our clock. It returns a time that the tool's clock had reached
// when the request began.
func (c *client) measure(began, ended time.Time, date string) time.Time {
	d, err := http.ParseTime(date)
	if err != nil {
		return time.Time{}
	}
	trip := max(ended.Sub(began), 0)
	// The header is cut to the second, so theirs is within half a second of the middle of it.
	m := connectors.Clock{Measured: true, Offset: d.Add(time.Second / 2).Sub(began.Add(trip / 2)), Error: time.Second + trip/2}
	c.mu.Lock()
	defer c.mu.Unlock()
	age := ended.Sub(c.measured)
	set := (m.Offset - c.clock.Offset).Abs() > m.Error+c.clock.Error
	if !c.clock.Measured || m.Error <= c.clock.Error || set || age > staleClock || age < 0 {
		c.clock, c.measured = m, ended
	}
	return d.Add(-trip).Truncate(time.Second).UTC()
}

func (c *client) reading() connectors.Clock {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.clock
}
