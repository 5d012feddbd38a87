package ilert

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
	"sync"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
)

// A client sends requests and says what came of them.
type client struct {
	root  string
	token connectors.Secret
	team  string
	http  *http.Client
	now   func() time.Time
	log   *slog.Logger

	mu    sync.Mutex
	clock connectors.Clock
}

// A call is one request.
type call struct {
	op     string // for messages: "scan alerts"
	method string // "" is GET
	path   string
	query  url.Values
	body   any  // nil: none
	event  bool // goes with an integration key, not with the API key
}

func (c *call) write() bool { return c.method != "" && c.method != http.MethodGet }

// maxBody is far above any page.
const maxBody = 32 << 20

// windows are the waits after a read met a rate limit. ilert counts in fixed minutes and does not say when one ends
// (no Retry-After), so that all of them together outlast one. A write is left to the caller.
var windows = []time.Duration{10 * time.Second, 20 * time.Second, 30 * time.Second}

// get reads and decodes an answer.
func (c *client) get(ctx context.Context, op, path string, query url.Values, into any) error {
	cl := &call{op: op, path: path, query: query}
	for i := 0; ; i++ {
		body, err := c.send(ctx, cl)
		if limited := new(limitError); errors.As(err, &limited) && i < len(windows) {
			c.log.Warn("the rate limit is reached; waiting", "op", op, "wait", windows[i])
			select {
			case <-ctx.Done():
				return fmt.Errorf("%s: %w", op, ctx.Err())
			case <-time.After(windows[i]):
			}
			continue
		}
		if err != nil {
			return err
		}
		return c.decode(cl, body, into)
	}
}

// decode reads JSON that must be there.
func (c *client) decode(cl *call, body []byte, into any) error {
	if err := json.Unmarshal(body, into); err != nil {
		kind := connectors.ErrProtocol
		if cl.write() {
			kind = connectors.ErrOutcome
		}
		return &connectors.Error{Kind: kind, Op: cl.op, Detail: "the answer is not the JSON that is expected", Err: err,
			Hint: "check url: a web page or a proxy may have answered"}
	}
	return nil
}

// send makes one request and returns the body of a success.
func (c *client) send(ctx context.Context, cl *call) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", cl.op, err)
	}
	method, u := cl.method, c.root+cl.path
	if method == "" {
		method = http.MethodGet
	}
	if len(cl.query) > 0 {
		u += "?" + cl.query.Encode()
	}
	var content io.Reader
	if cl.body != nil {
		data, err := json.Marshal(cl.body)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", cl.op, err)
		}
		content = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, u, content)
	if err != nil {
		return nil, &connectors.Error{Kind: connectors.ErrConfig, Op: cl.op, Detail: "the address cannot be requested", Hint: "check url"}
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "fieldsync")
	if cl.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if !cl.event {
		req.Header.Set("Authorization", "Bearer "+c.token.Reveal())
		if c.team != "" {
			// The documentation names the first, ilert's own client sends the second.
			req.Header.Set("team-context", c.team)
			req.Header.Set("x-team-context", c.team)
		}
	}
	began := c.now()
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.lost(ctx, cl, err)
	}
	defer func() { _ = res.Body.Close() }()
	c.measure(began, res.Header.Get("Date"))
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	c.log.Debug("request", "op", cl.op, "method", method, "path", cl.path, "status", res.StatusCode, "bytes", len(body))
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return nil, c.classify(cl, res, body)
	}
	if err != nil {
		return nil, c.lost(ctx, cl, err)
	}
	if len(body) > maxBody {
		return nil, &connectors.Error{Kind: connectors.ErrProtocol, Op: cl.op, Detail: fmt.Sprintf("the answer is longer than %d MB", maxBody>>20), Hint: "check url"}
	}
	return body, nil
}

// measure compares the Date of an answer, which is cut to the second, with our clock.
func (c *client) measure(began time.Time, date string) {
	d, err := http.ParseTime(date)
	if err != nil {
		return
	}
	trip := max(c.now().Sub(began), 0)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clock = connectors.Clock{Measured: true, Offset: d.Add(time.Second / 2).Sub(began.Add(trip / 2)), Error: time.Second + trip/2}
}

// reading is the last measurement of the clock.
func (c *client) reading() connectors.Clock {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.clock
}

// theirs is what their clock shows now, as far as it is known.
func (c *client) theirs() time.Time { return c.now().Add(c.reading().Offset) }
