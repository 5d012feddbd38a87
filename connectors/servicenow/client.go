package servicenow

import (
	"bytes"
	"cmp"
	"context"
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

// A client sends requests and says what came of them. It never repeats one: reads are repeated, where the
// mapping allows, by the http.Client it was given, and writes by nobody.
type client struct {
	addr   address
	auth   Auth
	login  *login              // of auth "oauth"
	writes *gatherer[*batched] // nil: each goes alone
	http   *http.Client
	now    func() time.Time
	log    *slog.Logger

	mu       sync.Mutex
	clock    connectors.Clock
	measured time.Time // ours, of clock
}

// A call is one request.
type call struct {
	op      string // for messages: "scan incident"
	method  string // "" is GET
	api     string // "" is table
	table   string
	key     string
	params  params
	body    []byte
	file    io.ReadSeeker // in place of body: a stream of size bytes of a media type
	size    int64
	kind    string
	stream  bool     // the answer is the content of a file
	queried []string // fields that the query names, for messages
}

func (c *call) write() bool { return c.method != "" && c.method != http.MethodGet }

// An answer is what came back: a success status and, but for 204, a body that looks like JSON.
type answer struct {
	status int
	header http.Header
	body   []byte // valid until the buffer is used again
	stream io.ReadCloser
	now    time.Time
}

const (
	// maxBody is far above any page that an instance streams within its 60 s, and keeps a wrong address that
	// serves something endless from filling memory.
	maxBody = 64 << 20
	// The web tier refuses addresses above 8192 bytes with 414; the margin is for proxies that add to it.
	maxURL = 8000
)

// params are query parameters in the order in which they are sent.
type params []string

func (p params) add(name, value string) params {
	// Commas and slashes may stand in a query as they are, and lists of a hundred ids have many. A plus for a
	// space is right only in forms, so spaces are written out.
	return append(p, name+"="+strings.NewReplacer("%2C", ",", "+", "%20").Replace(url.QueryEscape(value)))
}

func (c *client) url(cl *call) string {
	if cl.api == "batch" {
		return c.addr.root + batchPath
	}
	u := c.addr.at(cl.api, cl.table, cl.key)
	if len(cl.params) > 0 {
		u += "?" + strings.Join(cl.params, "&")
	}
	return u
}

// do sends cl and reads the whole answer into buf. A token that is refused has ended in the middle of a run, or was
// revoked: the request, which was not carried out, is sent once more with another one. That is the only request that
// is ever sent twice.
func (c *client) do(ctx context.Context, cl *call, buf *bytes.Buffer) (*answer, error) {
	if c.writes != nil && cl.write() && cl.api == "" && len(cl.body) <= maxBatched {
		return c.together(ctx, cl, buf)
	}
	return c.direct(ctx, cl, buf)
}

// direct sends cl in a request of its own.
func (c *client) direct(ctx context.Context, cl *call, buf *bytes.Buffer) (*answer, error) {
	a, token, err := c.send(ctx, cl, buf, "")
	if token != "" && a != nil && a.status == http.StatusUnauthorized {
		a, _, err = c.send(ctx, cl, buf, token)
	}
	if err != nil {
		return nil, err
	}
	return a, nil
}

// request is cl as net/http takes it, without credentials.
func (cl *call) request(ctx context.Context, method, u string) (*http.Request, error) {
	var body io.Reader
	switch {
	case cl.file != nil && cl.size > 0:
		if _, err := cl.file.Seek(0, io.SeekStart); err != nil {
			return nil, fmt.Errorf("%s: %w", cl.op, err)
		}
		body = lent{cl.file}
	case cl.body != nil:
		body = bytes.NewReader(cl.body)
	}
	req, err := http.NewRequestWithContext(ctx, method, u, body)
	if err != nil {
		return nil, &connectors.Error{Kind: connectors.ErrConfig, Op: cl.op, Detail: "the address cannot be requested", Hint: "check url"}
	}
	req.Header.Set("Accept", "application/json")
	if cl.stream {
		req.Header.Set("Accept", "*/*")
	}
	req.Header.Set("User-Agent", "fieldsync")
	if cl.write() {
		// The documentation asks for it on every write, DELETE included.
		req.Header.Set("Content-Type", cmp.Or(cl.kind, "application/json"))
	}
	if cl.file != nil {
		req.ContentLength = cl.size
	}
	return req, nil
}

// lent is a body that stays open and can be read again from its beginning, so that nobody has to keep it in memory.
type lent struct{ io.ReadSeeker }

func (lent) Close() error { return nil }

// send makes one request. old is a token that must not be used for it; token is the one that was. The answer comes
// with an error, too, where there was one.
func (c *client) send(ctx context.Context, cl *call, buf *bytes.Buffer, old string) (a *answer, token string, err error) {
	method := cl.method
	if method == "" {
		method = http.MethodGet
	}
	u := c.url(cl)
	if len(u) > maxURL {
		return nil, "", &connectors.Error{Kind: connectors.ErrConfig, Op: cl.op, Fields: cl.queried,
			Detail: fmt.Sprintf("the address would have %d bytes and an instance takes 8192", len(u)),
			Hint:   "shorten the query, or name fewer fields"}
	}
	if err := ctx.Err(); err != nil {
		return nil, "", fmt.Errorf("%s: %w", cl.op, err)
	}
	req, err := cl.request(ctx, method, u)
	if err != nil {
		return nil, "", err
	}
	if token, err = c.authorize(ctx, cl, req, old); err != nil {
		return nil, "", err
	}
	began := c.now()
	res, err := c.http.Do(req)
	if err != nil {
		return nil, token, c.lost(ctx, cl, err, hostOf(c.addr.root))
	}
	a = &answer{status: res.StatusCode, header: res.Header}
	a.now = c.measure(began, c.now(), res.Header.Get("Date"))
	if cl.stream && isContent(res) {
		a.stream = res.Body
		return a, token, nil
	}
	defer res.Body.Close()
	buf.Reset()
	_, err = buf.ReadFrom(io.LimitReader(res.Body, maxBody+1))
	a.body = buf.Bytes()
	c.log.Debug("request", "op", cl.op, "method", method, "table", cl.table, "status", a.status, "bytes", len(a.body))
	if e := c.classify(cl, a); e != nil {
		return a, token, e
	}
	switch {
	case err != nil && ctx.Err() != nil && !cl.write():
		return a, token, fmt.Errorf("%s: %w", cl.op, ctx.Err())
	case err != nil:
		return a, token, c.distrust(cl, "the answer was cut off", err)
	case len(a.body) > maxBody:
		return a, token, c.distrust(cl, fmt.Sprintf("the answer is longer than %d MB", maxBody>>20), errCut)
	}
	return a, token, nil
}

// staleClock is how long a measurement of the clock is better than none. Clocks of machines drift by
// milliseconds in this time; what it guards against is a machine that slept.
const staleClock = 10 * time.Minute

// measure compares the Date header of an answer with our clock and returns a time that the server's clock had
// surely reached when the request began; zero if the header says nothing. The best measurement of the last
// minutes is kept, since one that had to wait for its turn is worth little, unless a clock was set meanwhile.
func (c *client) measure(began, ended time.Time, date string) time.Time {
	d, err := http.ParseTime(date)
	if err != nil {
		return time.Time{}
	}
	trip := max(ended.Sub(began), 0)
	// The header is cut to the second, so theirs is within half a second of the middle of it; another half
	// allows for the stamp being made before or after the work.
	m := connectors.Clock{Measured: true, Offset: d.Add(time.Second / 2).Sub(began.Add(trip / 2)), Error: time.Second + trip/2}
	c.mu.Lock()
	defer c.mu.Unlock()
	age := ended.Sub(c.measured)
	set := (m.Offset - c.clock.Offset).Abs() > m.Error+c.clock.Error
	if !c.clock.Measured || m.Error <= c.clock.Error || set || age > staleClock || age < 0 {
		c.clock, c.measured = m, ended
	}
	return d.Add(-trip).UTC()
}

// reading returns the clock and the earliest time that the server's clock can show now; zero if not known.
func (c *client) reading() (connectors.Clock, time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if age := now.Sub(c.measured); !c.clock.Measured || age > staleClock || age < 0 {
		return c.clock, time.Time{}
	}
	return c.clock, now.Add(c.clock.Offset - c.clock.Error).UTC()
}
