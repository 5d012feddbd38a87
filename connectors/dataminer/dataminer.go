// Package dataminer keeps what a DataMiner system shows in step: alarms, the properties of alarms, elements, services
// and views, and tickets.
//
// Two ways lead into a DataMiner system, and a connection may have either or both. The Web Services API v1 (url and
// auth "basic") reads alarms, reads and writes properties of elements, services and views, and has the tickets of the
// legacy Ticketing app. It has no method that sets an alarm property: for that
// there is the bridge, a script in the folder bridge that an administrator publishes as a User-Defined API. Its
// protocol is described there. A second script serves the tickets of today's Ticketing, which have no interface over HTTP
// of their own. A collection says in which way it is reached, and refuses plainly where that is not set up.
//
// What shapes this package: every change of an alarm makes a record with another id, so that an alarm is known by its tree,
// "agent/element/root alarm". Every property that is set makes such a record too, so that only what differs is written.
// A session ends after five minutes without a call and whenever the web server restarts: the call that finds out was not
// carried out, and is sent once more in a new session. Times come from members in UTC; texts in the Agent's own time
// are never read. Nothing that can be read says when a property or a legacy ticket changed: those are scanned whole.
//
// Start with [New] and [Settings.Open]. Errors are [connectors.Error] with a hint. Nothing panics on data.
package dataminer

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
)

// Settings are the body of a connection "dataminer" block.
type Settings struct {
	URL          string  `hcl:"url,optional"`           // of the Web Services, or the host alone
	PageSize     int     `hcl:"page_size,optional"`     // records a request where there are pages; default 200
	Cleared      string  `hcl:"cleared,optional"`       // what an alarm is once it has cleared: "gone" (default) or "kept"
	TicketType   string  `hcl:"ticket_type,optional"`   // of the legacy Ticketing app: name or GUID; needed where there are several
	InsecureHTTP bool    `hcl:"insecure_http,optional"` // allow http:// to other machines
	Auth         *Auth   `hcl:"auth,block"`
	Bridge       *Bridge `hcl:"bridge,block"`
}

// Auth is auth "basic" { username, password }, the log-in to the Web Services.
type Auth struct {
	Kind     string            `hcl:"kind,label"`
	Username string            `hcl:"username"`
	Password connectors.Secret `hcl:"password"`
}

// Bridge is bridge { url, token }, the User-Defined API.
type Bridge struct {
	URL   string            `hcl:"url,optional"` // default: that of the connection
	Token connectors.Secret `hcl:"token,optional"`
}

// Veil leaves where the system is and the account: they tell it from another. Which of its addresses people pasted does
// not, nor how many records a page has. A bridge beside the Web Services is the same system; one elsewhere is named.
func (s *Settings) Veil() (shown any, secrets []string) {
	var is struct{ Web, Username, Bridge, TicketType string }
	is.TicketType = s.TicketType
	root := func(of func(string, bool) (string, error), raw string) string {
		if r, err := of(raw, true); err == nil {
			return r
		}
		return raw
	}
	if s.Auth != nil {
		is.Web, is.Username = root(webRoot, s.URL), s.Auth.Username
	}
	if s.Bridge != nil && (s.Auth == nil || s.Bridge.URL != "") {
		is.Bridge = root(bridgeRoot, cmp.Or(s.Bridge.URL, s.URL))
	}
	return &is, nil
}

// New returns empty settings, for a [connectors.Registry].
func New() connectors.Config { return &Settings{} }

const (
	defaultPageSize = 200
	maxPageSize     = 1000
)

// The ways in which Settings.Cleared can be written.
const (
	clearedGone = "gone"
	clearedKept = "kept"
)

// Open checks the settings and makes the connection. It contacts nothing.
func (s *Settings) Open(env connectors.Env) (connectors.Connection, error) {
	size := cmp.Or(s.PageSize, defaultPageSize)
	switch {
	case s.Auth == nil && s.Bridge == nil:
		return nil, settingsError("there is no way in", `write auth "basic" { username, password } for the Web Services, bridge { token } for the User-Defined API, or both`)
	case size < 0 || size > maxPageSize:
		return nil, settingsError(fmt.Sprintf("page_size is %d", s.PageSize), fmt.Sprintf("write a number from 1 to %d", maxPageSize))
	case s.Cleared != "" && s.Cleared != clearedGone && s.Cleared != clearedKept:
		return nil, settingsError(fmt.Sprintf("cleared is %q", s.Cleared), `write "gone", or "kept" to go on with alarms that have cleared`)
	}
	w := wire{http: env.HTTP, now: env.Now, log: env.Log, pause: firstPause}
	if w.http == nil {
		w.http = &http.Client{Timeout: 90 * time.Second}
	}
	if w.now == nil {
		w.now = time.Now
	}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	c := &Connection{kept: s.Cleared == clearedKept, pageSize: size, ticketType: s.TicketType}
	if s.Auth != nil {
		if s.Auth.Kind != "basic" {
			return nil, settingsError(fmt.Sprintf("auth %q is not known", s.Auth.Kind), `write auth "basic" { username, password }: the Web Services have no other log-in for programs`)
		}
		if s.Auth.Username == "" || s.Auth.Password == "" {
			return nil, settingsError(`auth "basic" has an empty user name or password`, "check the variables they come from")
		}
		root, err := webRoot(s.URL, s.InsecureHTTP)
		if err != nil {
			return nil, err
		}
		c.web = &web{wire: w, root: root}
		c.web.session = newSession(c.web, *s.Auth)
	}
	if s.Bridge != nil {
		root, err := bridgeRoot(cmp.Or(s.Bridge.URL, s.URL), s.InsecureHTTP)
		if err != nil {
			return nil, err
		}
		c.bridge = &bridge{wire: w, root: root, token: s.Bridge.Token}
	}
	c.collections = c.table()
	return c, nil
}

func settingsError(detail, hint string) error {
	return &connectors.Error{Kind: connectors.ErrConfig, Op: "dataminer", Detail: detail, Hint: hint}
}

// A Connection is one system under one account.
type Connection struct {
	web         *web    // nil: no log-in
	bridge      *bridge // nil: none
	kept        bool    // alarms that have cleared stay
	pageSize    int
	ticketType  string
	collections map[string]connectors.Collection
}

// table has the collections that can be reached.
func (c *Connection) table() map[string]connectors.Collection {
	t := map[string]connectors.Collection{}
	if c.web != nil {
		alarms := &Alarms{web: c.web, kept: c.kept, details: map[string]detail{}}
		t["alarms"] = alarms
		t["tickets"] = &Tickets{web: c.web, alarms: alarms, pageSize: c.pageSize, name: c.ticketType}
		for _, k := range kinds {
			t[k.collection] = &Objects{web: c.web, kind: k}
		}
	}
	if c.bridge != nil {
		t["alarm_properties"] = &AlarmProperties{bridge: c.bridge, pageSize: c.pageSize, kept: c.kept}
		t["sdm_tickets"] = &SDMTickets{bridge: c.bridge, pageSize: c.pageSize}
	}
	return t
}

// names are all the collections, and what each needs.
var names = map[string]string{
	"alarms": "web", "elements": "web", "services": "web", "views": "web", "tickets": "web", "alarm_properties": "bridge", "sdm_tickets": "bridge",
}

// Collection returns one of alarms, alarm_properties, elements, sdm_tickets, services, tickets and views. It contacts nothing.
func (c *Connection) Collection(_ context.Context, name string) (connectors.Collection, error) {
	if found := c.collections[name]; found != nil {
		return found, nil
	}
	op := "open " + name
	switch names[name] {
	case "web":
		return nil, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: name + " are reached through the Web Services, and this connection has no log-in for them",
			Hint: `add url and auth "basic" { username, password }`}
	case "bridge":
		return nil, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: name + " are reached through the bridge, since DataMiner has no method for them, and this connection has none",
			Hint: "publish its script in connectors/dataminer/bridge as a User-Defined API and add bridge { token }"}
	}
	all := sortedKeys(names)
	hint := "there are " + strings.Join(all, ", ")
	if near := connectors.Nearest(name, all); near != "" {
		hint = fmt.Sprintf("did you mean %q? %s", near, hint)
	}
	return nil, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: "there is no such collection", Hint: hint}
}

// Close logs out and lets go of idle connections.
func (c *Connection) Close() error {
	if c.web != nil {
		c.web.session.end()
		c.web.http.CloseIdleConnections()
	}
	if c.bridge != nil {
		c.bridge.http.CloseIdleConnections()
	}
	return nil
}
