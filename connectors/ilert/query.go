package ilert

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
)

// A selection says which alerts: those of any of the sources, in any of the states, and so on. An empty list is all.
type selection struct {
	sources, states, policies, responders []string
	from, until                           time.Time // of reportTime
}

// parameters are what a side's query may have: those of ilert's own list of alerts.
var parameters = []string{"sources", "states", "policies", "responders", "from", "until"}

// parseQuery reads a side's query: parameters of ilert, "sources=310455&states=PENDING&states=ACCEPTED".
func parseQuery(op, native string) (selection, error) {
	var s selection
	bad := func(detail, hint string) (selection, error) {
		return s, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: detail, Hint: hint}
	}
	values, err := url.ParseQuery(native)
	if err != nil {
		return bad(fmt.Sprintf("query %q cannot be read", native), `write parameters as in an address: "sources=310455&from=2026-01-01T00:00:00Z"`)
	}
	for name, list := range values {
		for _, v := range list {
			switch name {
			case "sources":
				s.sources = append(s.sources, v)
			case "states":
				s.states = append(s.states, strings.ToUpper(v))
			case "policies":
				s.policies = append(s.policies, v)
			case "responders":
				s.responders = append(s.responders, v)
			case "from", "until":
				t, err := moment(v)
				if err != nil {
					return bad(fmt.Sprintf("%s=%s of query is no time", name, v), `write it like "2026-01-31T00:00:00Z"`)
				}
				if name == "from" {
					s.from = t
				} else {
					s.until = t
				}
			default:
				hint := "there are " + strings.Join(parameters, ", ") + "; everything else is for where"
				if near := connectors.Nearest(name, parameters); near != "" {
					hint = fmt.Sprintf("did you mean %q? %s", near, hint)
				}
				return bad(fmt.Sprintf("query has no %q", name), hint)
			}
		}
	}
	return s, nil
}

// params are s as ilert takes it.
func (s selection) params() url.Values {
	q := url.Values{}
	for name, list := range map[string][]string{"sources": s.sources, "states": s.states, "policies": s.policies, "responders": s.responders} {
		if len(list) > 0 {
			q[name] = list
		}
	}
	for name, t := range map[string]time.Time{"from": s.from, "until": s.until} {
		if !t.IsZero() {
			q.Set(name, t.UTC().Format(time.RFC3339))
		}
	}
	return q
}

// has reports whether an alert is among those selected. What ilert filtered by is looked at again, and an alert that was
// read by its id is held against it, too.
func (s selection) has(a alert) bool {
	in := func(list []string, v string) bool { return len(list) == 0 || slices.Contains(list, v) }
	responds := len(s.responders) == 0
	for _, id := range a.responders().Items() {
		responds = responds || slices.Contains(s.responders, id.Text())
	}
	at := a.reported()
	return in(s.sources, a.source()) && in(s.states, a.status()) && in(s.policies, find("escalationPolicy.id").value(a).Text()) && responds &&
		(s.from.IsZero() || !at.Before(s.from.Truncate(time.Second))) && (s.until.IsZero() || !at.After(s.until))
}
