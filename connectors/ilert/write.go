package ilert

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// rank is how far an alert has come. Only forward is a way: no call reopens one. A state that this package has not heard
// of stands at the beginning.
func rank(status string) int { return slices.Index([]string{accepted, resolved}, status) + 1 }

// steps are the calls that lead to a state.
var steps = map[string]string{accepted: "/accept", resolved: "/resolve"}

// Update accepts or resolves an alert; nothing else of it can be changed. version is not looked at: there is nothing
// that an accept or a resolve could overwrite.
func (c *Collection) Update(ctx context.Context, paths []string, key, _ string, f record.Fields) (record.Record, error) {
	op := fmt.Sprintf("update alert %s", key)
	var fixed []string
	for name := range f {
		if name != pathStatus {
			fixed = append(fixed, name)
		}
	}
	if len(fixed) > 0 {
		slices.Sort(fixed)
		return record.Record{}, &connectors.Error{Kind: connectors.ErrRefused, Op: op, Fields: fixed,
			Detail: fmt.Sprintf("ilert lets nobody change %s of an alert once it is there", strings.Join(fixed, ", ")),
			Hint:   `let the field flow from ilert only, or write strength = "on_create" in it: then it is given to new alerts and left alone`}
	}
	want, asked := f[pathStatus]
	a, err := c.one(ctx, op, key)
	if err != nil {
		return record.Record{}, unsent(op, err)
	}
	if asked {
		if a, err = c.lead(ctx, op, a, want.Text()); err != nil {
			return record.Record{}, err
		}
	}
	return a.record(paths), nil
}

// lead takes an alert to a state and returns it as it is then.
func (c *Collection) lead(ctx context.Context, op string, a alert, want string) (alert, error) {
	refused := &connectors.Error{Kind: connectors.ErrRefused, Op: op, Fields: []string{pathStatus}}
	switch is := a.status(); {
	case is == want:
		return a, nil
	case rank(want) == 0 && want != pending:
		refused.Detail = fmt.Sprintf("an alert is never %q", shorten(want))
		refused.Hint = "translate the value to PENDING, ACCEPTED or RESOLVED"
		return nil, refused
	case rank(want) < rank(is) || rank(want) == 0:
		refused.Detail = fmt.Sprintf("alert %s is %s, and nothing leads back to %s: ilert's alerts only go forward", a.id(), is, want)
		refused.Hint = "a record that was reopened needs a new alert: resolve the record again and open another one, or unlink the two with fieldsync unlink. " +
			`With conflict = "highest" and order = ["PENDING", "ACCEPTED", "RESOLVED"] the alert's state wins where both sides moved`
		return nil, refused
	}
	cl := &call{op: op, method: http.MethodPut, path: "/alerts/" + a.id() + steps[want]}
	body, err := c.conn.client.send(ctx, cl)
	if errors.Is(err, connectors.ErrRefused) {
		// What a second accept or one of a resolved alert answers is not published: the alert itself tells.
		now, rerr := c.one(ctx, op, a.id())
		if rerr == nil && now.status() == want {
			return now, nil
		}
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	var stored alert
	if err := c.conn.client.decode(cl, body, &stored); err != nil || stored.id() != a.id() {
		// The call was taken; its answer is of no use.
		if stored, err = c.one(ctx, op, a.id()); err != nil {
			return nil, &connectors.Error{Kind: connectors.ErrOutcome, Op: op, Detail: err.Error(), Hint: connectors.Hint(err), Err: err}
		}
	}
	return stored, nil
}

// unsent is a failure before anything was written.
func unsent(op string, err error) error {
	if errors.Is(err, connectors.ErrProtocol) {
		return &connectors.Error{Kind: connectors.ErrBusy, Op: op, Detail: err.Error(), Hint: connectors.Hint(err), Err: err}
	}
	return err
}

// An event is what the Events API takes.
type event struct {
	Key      string         `json:"integrationKey"`
	Type     string         `json:"eventType"`
	AlertKey string         `json:"alertKey"`
	Summary  string         `json:"summary"` // required by the schema, whatever the type
	Comments []eventComment `json:"comments,omitempty"`
}

type eventComment struct {
	Creator string `json:"creator"`
	Content string `json:"content"`
}

// through is the source that events go to. ErrConfig where the settings name none.
func (c *Collection) through(ctx context.Context, op string) (source string, err error) {
	if c.key == "" {
		return "", &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: fmt.Sprintf("the collection %q has no integration key", c.name),
			Hint: fmt.Sprintf(`add collection %q { sources = ["NAME OF THE SOURCE"], integration_key = env("ILERT_INTEGRATION_KEY") } to the connection, each argument on a line`, c.name)}
	}
	sel, err := c.selection(ctx, op)
	if err != nil {
		return "", err
	}
	return sel.sources[0], nil
}

// Create makes an alert by an event and returns it when it is there. The event's alertKey is the marker: sent twice it
// still makes one alert, as long as that is open. ErrOutcome when the event was taken and no alert is seen.
func (c *Collection) Create(ctx context.Context, paths []string, f record.Fields) (record.Record, error) {
	const op = "create alert"
	source, err := c.through(ctx, op)
	if err != nil {
		return record.Record{}, err
	}
	body, key, status, err := c.content(op, f)
	if err != nil {
		return record.Record{}, err
	}
	before, err := c.before(ctx, op, source, key)
	if err != nil {
		return record.Record{}, unsent(op, err)
	}
	sent := c.conn.client.theirs()
	if _, err := c.conn.client.send(ctx, &call{op: op, method: http.MethodPost, path: "/events", body: body, event: true}); err != nil {
		return record.Record{}, err
	}
	made, err := c.await(ctx, op, selection{sources: []string{source}, from: sent.Add(-skew)}, func(a alert) bool {
		return plain(a[pathKey]) == key && !before[a.id()]
	})
	if err != nil {
		return record.Record{}, err
	}
	if status == accepted {
		// The alert is there, whatever becomes of this: what it shows then is the answer, and the caller compares.
		if led, err := c.lead(ctx, op, made, accepted); err == nil {
			made = led
		}
	}
	return made.record(paths), nil
}

// content is the event for a new alert.
func (c *Collection) content(op string, f record.Fields) (body map[string]any, key, status string, err error) {
	refuse := func(name, detail, hint string) error {
		return &connectors.Error{Kind: connectors.ErrRefused, Op: op, Fields: []string{name}, Detail: detail, Hint: hint}
	}
	body = map[string]any{"integrationKey": c.key.Reveal(), "eventType": "ALERT"}
	for name, v := range f {
		p := find(name)
		switch {
		case name == pathStatus:
			if status = v.Text(); status == resolved {
				return nil, "", "", refuse(name, "an alert that is resolved from the beginning would call people for nothing", "let where of the other side leave out what is closed already")
			}
		case p == nil:
			return nil, "", "", refuse(name, fmt.Sprintf("alerts have no %q", name), suggest(name))
		case p.sent == "":
			return nil, "", "", refuse(name, fmt.Sprintf("%s of an alert cannot be set", name), "let the field flow from ilert only")
		case !v.Empty():
			body[p.sent] = v.Any()
		}
	}
	key = f[pathKey].Text()
	switch {
	case key == "":
		return nil, "", "", refuse(pathKey, "an alert without an alertKey could not be found again", `match on it: match { alert = "alertKey" … }`)
	case strings.TrimSpace(key) != key:
		return nil, "", "", refuse(pathKey, fmt.Sprintf("alertKey %q has space around it, which ilert takes away", key), "match on a value without")
	case f[pathSummary].Plain() == "":
		return nil, "", "", refuse(pathSummary, "an alert needs a summary", "let a field fill summary")
	}
	return body, key, status, nil
}

// skew is how far an alert's reportTime may lie before the time of its event by the clock that we know.
const skew = 2 * time.Minute

// before lists the alerts that carry key already, for after the event. One that is open would swallow the event.
func (c *Collection) before(ctx context.Context, op, source, key string) (map[string]bool, error) {
	ids := map[string]bool{}
	open := selection{sources: []string{source}, states: []string{pending, accepted}}
	err := c.list(ctx, op, open, func(a alert) error {
		if !a.keyed(key) {
			return nil
		}
		return &connectors.Error{Kind: connectors.ErrRefused, Op: op, Fields: []string{pathKey},
			Detail: fmt.Sprintf("alert %s is open and has the key %q: ilert would add to it and make no other", a.id(), plain(a[pathKey])),
			Hint:   "if the two belong together, link them; ilert compares keys without case. Else resolve that alert, or match on a path whose values are unique"}
	})
	if err != nil {
		return nil, err
	}
	recent := selection{sources: []string{source}, from: c.conn.client.theirs().Add(-2 * skew)}
	err = c.list(ctx, op, recent, func(a alert) error {
		if a.keyed(key) {
			ids[a.id()] = true
		}
		return nil
	})
	return ids, err
}

// looks are the waits between looks for what came of an event.
var looks = []time.Duration{0, 200 * time.Millisecond, 300 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 3 * time.Second, 3 * time.Second}

// await looks for the alert that an event was to make.
func (c *Collection) await(ctx context.Context, op string, sel selection, is func(alert) bool) (alert, error) {
	var found alert
	err := c.look(ctx, func() (bool, error) {
		err := c.list(ctx, op, sel, func(a alert) error {
			if is(a) {
				found = a
			}
			return nil
		})
		return found != nil, err
	})
	if err != nil || found == nil {
		e := &connectors.Error{Kind: connectors.ErrOutcome, Op: op, Err: err, Detail: "ilert took the event, and its alert has not been seen yet",
			Hint: "look at the event log of the alert source: a filter drops events there without a word, and a grouping (alertCreation) may have put it into another alert"}
		if err != nil {
			e.Detail += ": " + err.Error()
		}
		return nil, e
	}
	return found, nil
}

// look asks until there is something, or long enough.
func (c *Collection) look(ctx context.Context, there func() (bool, error)) error {
	for _, wait := range looks {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		if ok, err := there(); ok || err != nil {
			return err
		}
	}
	return nil
}

// Settles is how long after an event that was taken its alert may still appear.
func (c *Collection) Settles() time.Duration { return c.conn.settle }

// Retire resolves an alert: nobody can delete one.
func (c *Collection) Retire(ctx context.Context, key string) (string, error) {
	op := "resolve alert " + key
	a, err := c.one(ctx, op, key)
	if err != nil {
		return "", err
	}
	_, err = c.lead(ctx, op, a, resolved)
	return "resolved", err
}
