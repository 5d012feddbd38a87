package ilert

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
)

// Check logs in and looks at what decides whether syncs will work: whose key it is, the clock, and of each collection
// the alerts that are seen, its sources and its integration key. It writes nothing: whether the user may accept and
// resolve shows with the first of them, as ilert publishes no list of what a role may do.
func (c *Connection) Check(ctx context.Context) ([]connectors.Finding, error) {
	k := &check{conn: c}
	for _, look := range []func(context.Context) error{k.account, k.clock, k.collections} {
		err := look(ctx)
		switch {
		case errors.Is(err, connectors.ErrAuth):
			k.bad("log-in", detail(err), connectors.Hint(err))
			return k.findings, nil
		case err != nil:
			return k.findings, err
		}
	}
	return k.findings, nil
}

type check struct {
	conn     *Connection
	findings []connectors.Finding
}

func (k *check) good(what, detail string) {
	k.findings = append(k.findings, connectors.Finding{OK: true, What: what, Detail: detail})
}

func (k *check) bad(what, detail, hint string) {
	k.findings = append(k.findings, connectors.Finding{What: what, Detail: detail, Hint: hint})
}

// detail is what the system said, without the operation, which the finding's name stands for.
func detail(err error) string {
	if e, ok := errors.AsType[*connectors.Error](err); ok && e.Detail != "" {
		return e.Kind.Error() + ": " + e.Detail
	}
	return err.Error()
}

// answered reports whether err is ilert's answer to a question, which is a finding, and not a failure of asking.
func answered(err error) bool {
	return errors.Is(err, connectors.ErrDenied) || errors.Is(err, connectors.ErrConfig) || errors.Is(err, connectors.ErrNotFound)
}

func (k *check) account(ctx context.Context) error {
	u, err := k.conn.current(ctx, "check log-in")
	switch {
	case answered(err):
		k.bad("log-in", detail(err), connectors.Hint(err))
		return nil
	case err != nil:
		return err
	}
	name := strings.TrimSpace(u.FirstName + " " + u.LastName)
	k.good("log-in", fmt.Sprintf("accepted as %s (%s)", name, u.Email))
	k.good("role", fmt.Sprintf("%s; whether it may accept and resolve shows with the first write. Use a user for the integration alone: what fieldsync does is done in this name", u.Role))
	return nil
}

func (k *check) clock(context.Context) error {
	clock := k.conn.client.reading()
	if !clock.Measured {
		k.bad("clock", "the answers carry no Date", "a proxy takes the header out: let it through")
		return nil
	}
	off := clock.Offset.Round(time.Second)
	if off.Abs() > time.Minute {
		k.bad("clock", fmt.Sprintf("ilert's clock is %s from this machine's", off), "keep this machine's clock right (NTP): new alerts are looked for by their time")
		return nil
	}
	k.good("clock", fmt.Sprintf("%s from this machine's, within %s", off, clock.Error.Round(time.Millisecond)))
	return nil
}

func (k *check) collections(ctx context.Context) error {
	for _, name := range k.conn.names {
		c := k.conn.known[name]
		what := "collection " + name
		n, err := c.Count(ctx, "states=PENDING&states=ACCEPTED")
		switch {
		case answered(err):
			k.bad(what, detail(err), connectors.Hint(err))
			continue
		case err != nil:
			return err
		}
		if c.key == "" {
			k.good(what, fmt.Sprintf("%d open alerts; without an integration_key alerts can be accepted and resolved, not made or commented on", n))
			continue
		}
		k.good(what, fmt.Sprintf("%d open alerts", n))
		if err := k.source(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// source looks at the source that events of a collection go to. There is no dry run of an event: that the key is the
// source's own is all that can be known before the first.
func (k *check) source(ctx context.Context, c *Collection) error {
	const op = "check alert source"
	sel, err := c.selection(ctx, op)
	if err != nil {
		return err
	}
	var s source
	err = k.conn.client.get(ctx, op, "/alert-sources/"+sel.sources[0], url.Values{"include": {"integrationKey"}}, &s)
	what := "source " + sel.sources[0]
	switch {
	case answered(err):
		k.bad(what, detail(err), connectors.Hint(err))
		return nil
	case err != nil:
		return err
	}
	switch {
	case s.Active != nil && !*s.Active || s.Status == "DISABLED":
		k.bad(what, s.Name+" is switched off", "switch it on in ilert, or no event becomes an alert")
	case s.Status == "IN_MAINTENANCE":
		k.bad(what, s.Name+" is in maintenance", "events become no alerts until the maintenance window ends")
	case s.Key == nil || *s.Key == "":
		k.good(what, s.Name+"; whether the integration_key is its own cannot be known before the first event: this API key may not see it")
	case *s.Key != c.key.Reveal():
		k.bad(what, s.Name+" has another integration key", "copy the key from the source's settings to integration_key")
	default:
		k.good(what, s.Name+"; the integration_key is its own")
	}
	if s.Kind != "GRAFANA" && s.Kind != "SERVICENOW" && s.Rule != "HIGH" {
		k.good("priority", fmt.Sprintf("%s decides by its own rule (%s): a priority that is sent to new alerts may not count", s.Name, s.Rule))
	}
	return nil
}
