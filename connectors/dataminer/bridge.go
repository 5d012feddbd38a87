package dataminer

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
)

// A bridge calls the script that is published as a User-Defined API.
type bridge struct {
	wire
	root  string
	token connectors.Secret
}

// contract is the version of the protocol that is spoken here.
const contract = 1

// info is what a system says of itself.
type info struct {
	Contract   int      `json:"contract"`
	Version    string   `json:"dataminer"`
	Ticketing  string   `json:"ticketing"`
	Time       int64    `json:"timeUTC"`
	Properties []string `json:"alarmProperties"`
}

func (b *bridge) info(ctx context.Context) (info, error) {
	var i info
	const op = "ask the bridge"
	if err := b.get(ctx, op, "info", nil, &i); err != nil {
		if errors.Is(err, connectors.ErrNotFound) {
			return i, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: "nothing answers under " + b.root + "/fieldsync",
				Hint: "check url, which is what stands in front of /fieldsync/info; publish the script in connectors/dataminer/bridge under the route fieldsync/info"}
		}
		return i, err
	}
	if i.Contract != contract {
		return i, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: fmt.Sprintf("the bridge speaks contract %d", i.Contract),
			Hint: fmt.Sprintf("this version knows contract %d; update fieldsync or the script", contract)}
	}
	return i, nil
}

// ask asks for something that an address has no room for: a POST that changes nothing.
func (b *bridge) ask(ctx context.Context, op, route string, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	return b.do(ctx, &request{op: op, method: http.MethodPost, address: b.at(route, nil), body: text}, into)
}

// get asks for something.
func (b *bridge) get(ctx context.Context, op, route string, query url.Values, into any) error {
	return b.do(ctx, &request{op: op, method: http.MethodGet, address: b.at(route, query)}, into)
}

// change changes something.
func (b *bridge) change(ctx context.Context, op, method, route string, query url.Values, body, into any) error {
	r := &request{op: op, method: method, address: b.at(route, query), write: true}
	if body != nil {
		var err error
		if r.body, err = json.Marshal(body); err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
	}
	return b.do(ctx, r, into)
}

func (b *bridge) at(route string, query url.Values) string {
	address := b.root + "/fieldsync/" + route
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	return address
}

func (b *bridge) do(ctx context.Context, r *request, into any) error {
	r.token = b.token.Reveal()
	a, err := b.send(ctx, r)
	if err != nil {
		return err
	}
	switch {
	case a.status != http.StatusOK && a.status != http.StatusCreated && a.status != http.StatusNoContent:
		return b.classify(r, a)
	case into == nil:
		return nil
	}
	if err := json.Unmarshal(a.body, into); err != nil {
		return distrust(r, "the answer is not the JSON that is expected")
	}
	return nil
}

// refusals are the numbers with which the endpoint itself, not the script, says why.
var refusals = map[int]struct {
	kind error
	hint string
}{
	1:    {connectors.ErrConfig, "check url"},
	3:    {connectors.ErrConfig, "the API is published for other methods: the script serves GET, POST, PUT and DELETE"},
	5:    {connectors.ErrNotFound, "no API is published under this route"},
	7:    {connectors.ErrBusy, ""},
	9:    {connectors.ErrConfig, "the definition of the API is broken: publish the script again"},
	11:   {connectors.ErrConfig, "the definition of the API is broken: publish the script again"},
	15:   {connectors.ErrConfig, "the script of the API was removed: publish it again"},
	17:   {connectors.ErrRefused, "the answer is too large; lower page_size"},
	1003: {connectors.ErrProtocol, "something on the way changes the content type"},
	1006: {connectors.ErrBusy, ""},
	1008: {connectors.ErrAuth, "check the token in the bridge block: at least 32 letters, digits and _-.=+/"},
	1009: {connectors.ErrRefused, "the body is too large"},
	1010: {connectors.ErrAuth, "the token in the bridge block is wrong, disabled, or not given access to this API"},
	1011: {connectors.ErrRefused, "the address is too long"},
	1014: {connectors.ErrBusy, "the token has a rate limit; lower limits.rate"},
}

func (b *bridge) classify(r *request, a *answer) error {
	e := &connectors.Error{Kind: connectors.ErrRefused, Op: r.op, Detail: "HTTP " + strconv.Itoa(a.status) + " " + http.StatusText(a.status)}
	var said struct {
		Errors []struct {
			Title, Detail string
			Code          int `json:"errorCode"`
		} `json:"errors"`
	}
	code := 0
	if json.Unmarshal(a.body, &said) == nil && len(said.Errors) > 0 {
		code = said.Errors[0].Code
		e.Detail = cmp.Or(shorten(said.Errors[0].Detail), shorten(said.Errors[0].Title), e.Detail)
	}
	if known, ok := refusals[code]; ok {
		e.Kind, e.Hint = known.kind, known.hint
		if errors.Is(e.Kind, connectors.ErrBusy) {
			e.RetryAfter = retryAfter(a.header)
		}
		return e
	}
	switch {
	case a.status == http.StatusUnauthorized:
		e.Kind, e.Hint = connectors.ErrAuth, "check the token in the bridge block"
	case a.status == http.StatusForbidden:
		e.Kind, e.Hint = connectors.ErrDenied, "the bridge's user needs the rights to read alarms and to add and edit alarm properties"
	case a.status == http.StatusNotFound:
		e.Kind = connectors.ErrNotFound
	case a.status == http.StatusConflict, a.status == http.StatusPreconditionFailed:
		e.Kind = connectors.ErrStale
	case a.status == http.StatusTooManyRequests, a.status == http.StatusServiceUnavailable && !r.write:
		e.Kind, e.RetryAfter = connectors.ErrBusy, retryAfter(a.header)
	case a.status >= 500 && r.write:
		e.Kind = connectors.ErrOutcome
	case a.status >= 500:
		e.Kind = connectors.ErrBusy
	case a.status < 400:
		e.Kind, e.Hint = connectors.ErrProtocol, "check url: something else answers there"
	}
	return e
}

func retryAfter(h http.Header) time.Duration {
	if n, err := strconv.Atoi(h.Get("Retry-After")); err == nil && n > 0 {
		return time.Duration(n) * time.Second
	}
	return 0
}
