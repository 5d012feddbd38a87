// Package properties keeps name and value pairs of alarms in step: the alarm properties of a DataMiner system, or of
// anything else that speaks the small protocol below. The pairs hang on alarms that come and go by themselves, so
// there is neither create nor delete. There are neither comments nor attachments.
//
// The protocol is JSON over HTTP:
//
//	GET  {url}/fieldsync/info                             {"contract":1,"timeUTC":ms,"alarmProperties":["Ticket ID",…]}
//	GET  {url}/fieldsync/alarms?since=ms&after=…&limit=n  {"alarms":[…],"next":"…","asOf":ms}, by last change
//	GET  {url}/fieldsync/alarms?id=157/21/48190&id=…      those alarms
//	GET  {url}/fieldsync/alarms?property=…&value=…        those with one of the values
//	POST {url}/fieldsync/alarm-properties                 {"alarms":[{"dma":157,"element":21,"root":48190,"set":{…}}]}
//
// The POST answers {"ok":true,"changed":true} or {"ok":false,"error":"…"} for each alarm. A property can only be set
// where the system defines it; [Collection.Require] says which ones are missing. Start with [New]. Errors are
// [connectors.Error] with a hint.
package properties

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
)

// Settings are the body of a connection "properties" block.
type Settings struct {
	URL      string `hcl:"url"`
	PageSize int    `hcl:"page_size,optional"` // alarms a request; default 200
	Auth     *Auth  `hcl:"auth,block"`
}

// Auth is auth "bearer" { token }.
type Auth struct {
	Kind  string            `hcl:"kind,label"`
	Token connectors.Secret `hcl:"token"`
}

// New returns empty settings, for a [connectors.Registry].
func New() connectors.Config { return &Settings{} }

const (
	defaultPageSize = 200
	maxPageSize     = 1000
)

// Open checks the settings and makes the connection. It contacts nothing.
func (s *Settings) Open(env connectors.Env) (connectors.Connection, error) {
	u, err := url.Parse(s.URL)
	switch {
	case err != nil || u.Host == "":
		return nil, settingsError("url is not an address", "write it with its scheme, for example https://dma.example.net/api/custom")
	case u.User != nil:
		return nil, settingsError("url holds a user name", `write auth "bearer" { token = env(…) } instead`)
	case u.RawQuery != "" || u.Fragment != "":
		return nil, settingsError("url holds a query", "write the address alone")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return nil, settingsError("url is http and not on this machine", "write https: the token would be readable on its way")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, settingsError(fmt.Sprintf("url has the scheme %q", u.Scheme), "write https")
	case s.PageSize < 0 || s.PageSize > maxPageSize:
		return nil, settingsError(fmt.Sprintf("page_size is %d", s.PageSize), fmt.Sprintf("write a number from 1 to %d", maxPageSize))
	}
	c := &client{root: strings.TrimRight(s.URL, "/"), http: env.HTTP, now: env.Now, log: env.Log}
	if s.Auth != nil {
		switch {
		case s.Auth.Kind != "bearer":
			return nil, settingsError(fmt.Sprintf("auth %q is not known", s.Auth.Kind), `write auth "bearer" { token = env(…) }`)
		case s.Auth.Token == "":
			return nil, settingsError(`auth "bearer" has an empty token`, "check the variable it comes from")
		}
		c.token = s.Auth.Token
	}
	if c.http == nil {
		c.http = &http.Client{Timeout: 30 * time.Second}
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	size := s.PageSize
	if size == 0 {
		size = defaultPageSize
	}
	return &Connection{client: c, alarms: &Collection{client: c, pageSize: size}}, nil
}

func settingsError(detail, hint string) error {
	return &connectors.Error{Kind: connectors.ErrConfig, Op: "properties", Detail: detail, Hint: hint}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// CollectionName is the one collection there is.
const CollectionName = "alarm_properties"

// A Connection is one system.
type Connection struct {
	client *client
	alarms *Collection
}

// Collection returns the alarm properties; "" means them too.
func (c *Connection) Collection(_ context.Context, name string) (connectors.Collection, error) {
	if name != "" && name != CollectionName {
		return nil, &connectors.Error{Kind: connectors.ErrConfig, Op: "open " + name, Detail: "there is no such collection",
			Hint: fmt.Sprintf("the only one is %q", CollectionName)}
	}
	return c.alarms, nil
}

// Close lets go of idle connections.
func (c *Connection) Close() error {
	c.client.http.CloseIdleConnections()
	return nil
}

// Check says whether the system answers, which alarm properties it has, and how its clock stands.
func (c *Connection) Check(ctx context.Context) ([]connectors.Finding, error) {
	began := c.client.now()
	i, err := c.client.info(ctx)
	if err != nil {
		return nil, err
	}
	clock := clockOf(i.Time, began, c.client.now())
	found := []connectors.Finding{{OK: true, What: "log-in", Detail: fmt.Sprintf("%s speaks contract %d", hostOf(c.client.root), i.Contract)}}
	properties := connectors.Finding{OK: true, What: "properties", Detail: strings.Join(i.Properties, ", ")}
	if len(i.Properties) == 0 {
		properties = connectors.Finding{What: "properties", Detail: "no alarm property is defined", Hint: howToDefine}
	}
	found = append(found, properties)
	times := connectors.Finding{OK: true, What: "clock", Detail: fmt.Sprintf("%s from this machine's", clock.Offset.Round(time.Millisecond))}
	if clock.Offset.Abs() > time.Minute {
		times.OK, times.Hint = false, "set both machines' clocks (NTP): the policy newest compares them"
	}
	return append(found, times), nil
}
