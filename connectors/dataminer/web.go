package dataminer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
)

// A web calls the methods of the Web Services API v1, in a session.
type web struct {
	wire
	root    string
	session *session
}

// params are those of a method. All that a method has must be there, also those that are called optional.
type params map[string]any

// errLost is the cause of failures of calls that were not carried out, because the Agent no longer knows the session.
var errLost = errors.New("the session has ended")

// read calls a method that changes nothing.
func (w *web) read(ctx context.Context, op, method string, p params, into any) error {
	return w.call(ctx, op, method, p, false, into)
}

// write calls a method that changes something and answers nothing.
func (w *web) write(ctx context.Context, op, method string, p params) error {
	return w.call(ctx, op, method, p, true, nil)
}

// call calls a method in a session. A session ends after five minutes without a call, and when the web server restarts:
// the call that is told so was not carried out, and is made once more in another session. Nothing else that changes
// something is ever sent twice.
func (w *web) call(ctx context.Context, op, method string, p params, write bool, into any) error {
	old := ""
	for n := range 2 {
		id, err := w.session.get(ctx, op, old)
		if err != nil {
			return err
		}
		p = maps.Clone(p)
		if p == nil {
			p = params{}
		}
		p["connection"] = id
		err = w.once(ctx, op, method, p, write, into)
		if !errors.Is(err, errLost) || n == 1 {
			return err
		}
		w.log.Debug("the session has ended, logging in again", "op", op)
		old = id
	}
	return nil
}

func (w *web) once(ctx context.Context, op, method string, p params, write bool, into any) error {
	r, err := w.request(op, method, write, p)
	if err != nil {
		return err
	}
	a, err := w.send(ctx, r)
	if err != nil {
		return err
	}
	result, err := w.result(r, a)
	if err != nil || into == nil {
		return err
	}
	if err := json.Unmarshal(result, into); err != nil {
		return distrust(r, fmt.Sprintf("the answer of %s is not the JSON that is expected", method))
	}
	return nil
}

func (w *web) request(op, method string, write bool, p params) (*request, error) {
	body, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	return &request{op: op, method: post, address: w.root + "/" + method, body: body, write: write}, nil
}

// complaint is how a method fails. StackTrace is not read: it is for nobody here, and may name what should stay inside.
type complaint struct{ Message, ExceptionType string }

// lost tells a session that has ended by the type of the exception and, where that is not sent, by the text, which is
// the part that is documented.
func (c complaint) lost() bool {
	return strings.HasSuffix(c.ExceptionType, ".NoConnectionWebApiException") || strings.TrimRight(strings.TrimSpace(c.Message), ".") == "No connection available"
}

// result takes what a method answers out of what it is wrapped in, {"d": …}, which not every server does.
func (w *web) result(r *request, a *answer) (json.RawMessage, error) {
	body := bytes.TrimSpace(a.body)
	var members map[string]json.RawMessage
	_ = json.Unmarshal(body, &members) // what is no object has no members
	var c complaint
	if members["Message"] != nil && (a.status != http.StatusOK || members["ExceptionType"] != nil) {
		_ = json.Unmarshal(body, &c) // a message of another form is no message
	}
	switch {
	case a.status != http.StatusOK || c.ExceptionType != "":
		return nil, w.classify(r, a, c)
	case members["d"] != nil:
		return members["d"], nil
	case r.write && (len(body) == 0 || string(body) == "{}"):
		return nil, nil // a method without a result has nothing to say
	case !json.Valid(body):
		return nil, distrust(r, "the answer is not whole JSON")
	case string(body) == "{}":
		return nil, distrust(r, "the answer has no result")
	}
	return body, nil // not wrapped
}

// list calls a method that answers with a list. No list at all is no empty list: it would make everything look gone.
func list[T any](ctx context.Context, w *web, op, method string, p params) ([]T, error) {
	var out []T
	if err := w.read(ctx, op, method, p, &out); err != nil {
		return nil, err
	}
	if out == nil {
		return nil, &connectors.Error{Kind: connectors.ErrProtocol, Op: op, Detail: method + " answers with nothing where a list is expected",
			Hint: "look whether the user may see anything, and whether the system is starting"}
	}
	return out, nil
}

// classify says what is wrong with an answer. Of the types of exceptions that of a lost session alone is known: others
// are for good, since the system looked at the call and said no.
func (w *web) classify(r *request, a *answer, c complaint) error {
	e := &connectors.Error{Kind: connectors.ErrRefused, Op: r.op, Detail: shorten(c.Message)}
	if e.Detail == "" {
		e.Detail = fmt.Sprintf("HTTP %d %s", a.status, http.StatusText(a.status))
	}
	switch {
	case c.lost():
		e.Kind, e.Err = connectors.ErrBusy, errLost
		e.Hint = "the system ends every session at once: look whether its web server keeps restarting"
	case c.Message != "" && a.status == http.StatusInternalServerError, c.ExceptionType != "":
		if c.ExceptionType != "" {
			e.Detail += " (" + shorten(c.ExceptionType[strings.LastIndexByte(c.ExceptionType, '.')+1:]) + ")"
		}
		e.Hint = "the system refuses this call; look at the id, the names of the properties and the rights of the user"
	case a.status == http.StatusUnauthorized:
		e.Kind, e.Hint = connectors.ErrAuth, "the web server wants another log-in than that of the Web Services; check url and what stands in front of the system"
	case a.status == http.StatusForbidden:
		e.Kind, e.Hint = connectors.ErrDenied, "the web server or a proxy does not let this machine call the Web Services"
	case a.status == http.StatusNotFound:
		e.Kind, e.Hint = connectors.ErrConfig, "there are no Web Services at "+w.root+"; check url"
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

// clock compares the Agent's clock with ours.
func (w *web) clock(ctx context.Context) (connectors.Clock, error) {
	began := w.now()
	var ms int64
	if err := w.read(ctx, "ask for the time", "GetDataMinerAgentTimeUTC", nil, &ms); err != nil {
		return connectors.Clock{}, err
	}
	return clockOf(ms, began, w.now()), nil
}

// instant is a time in milliseconds of UTC; zero where there is none.
func instant(ms int64) time.Time {
	if ms <= 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
