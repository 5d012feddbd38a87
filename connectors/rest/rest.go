// Package rest makes any tool with a JSON interface over HTTP a connection, from a description in HCL.
//
// A description says how to log in, how records are listed page by page, read, created, changed and deleted, and where
// in an answer their keys, stamps and fields stand. It is written in the connection block itself or in a file of its
// own; ready ones are shipped in mappings/systems. [Config] holds the decoded blocks, [Config.Prepare] compiles them,
// so that a mistake is shown with its place when the mapping is loaded, and [Config.Open] makes the connection.
//
// Tools differ most in what they do not say, so little is believed. What a write stored is read back unless its
// answer is the record. What a search finds is compared again. That a record is not there counts only while the log-in
// is proved to be good, where the description has a request for that: some tools answer a wrong key with an empty list.
// The end of a list is what the tool says it is, or an empty page, never a short one.
//
// All failures are *connectors.Error or the context's own error; classify.go has the table. Nothing here panics on
// data, keeps cookies or sends a write twice. Files go through as they are read; another server than the tool's is asked for one
// only where the description allows it, and without credentials.
package rest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/mapping/expression"
)

// New returns empty settings, for a [connectors.Registry].
func New() connectors.Config { return &Config{} }

// Open checks the settings and makes the connection. It contacts nothing.
func (c *Config) Open(env connectors.Env) (connectors.Connection, error) {
	op := "open " + env.Name
	if c.tool == nil {
		_, _, diags := c.Prepare(env.Dir, nil, expression.Scope{}, nil)
		if diags.HasErrors() {
			return nil, wrong(op, diags.Error(), "fieldsync validate shows the place")
		}
	}
	root, err := address(c.URL, c.InsecureHTTP)
	if err != nil {
		return nil, err
	}
	if env.Log == nil {
		env.Log = slog.New(slog.DiscardHandler)
	}
	if env.Now == nil {
		env.Now = time.Now
	}
	h := http.Client{}
	if env.HTTP != nil {
		h = *env.HTTP
	}
	h.Jar = nil
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	auth, err := c.login(&h)
	if err != nil {
		return nil, err
	}
	conn := &connection{env: env, tool: c.tool, flight: env.Limits.Concurrency, open: map[string]*collection{}}
	if conn.flight <= 0 {
		conn.flight = defaultFlight
	}
	conn.client = &client{root: root, http: &h, auth: auth, tool: c.tool, now: env.Now, log: env.Log}
	return conn, nil
}

// defaultFlight is how many single records are asked for at a time.
const defaultFlight = 4

func wrong(op, detail, hint string) error {
	return &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: detail, Hint: hint}
}

// address is the tool's root, without a slash at its end.
func address(raw string, insecure bool) (*url.URL, error) {
	const op = "rest"
	u, err := url.Parse(strings.TrimSpace(raw))
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, wrong(op, "url is no address", `write url = "https://tracker.example.com"`) // the text of the error may hold a password
	case u.User != nil:
		return nil, wrong(op, "url holds credentials", "take user and password out of it and write them in the auth block")
	case u.Scheme == "http" && !insecure && !loopback(u.Hostname()):
		return nil, wrong(op, "url would send the credentials unencrypted to "+u.Host, "write https://, or insecure_http = true if the network in between is trusted")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, wrong(op, "url has more than an address", "take what follows ? or # out of url; queries belong into a collection or the side's query")
	}
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawPath = strings.TrimRight(u.RawPath, "/")
	return u, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// A connection is one tool under one account.
type connection struct {
	env    connectors.Env
	tool   *tool
	client *client
	flight int

	mu   sync.Mutex
	open map[string]*collection
}

// Collection finds a collection of the description. It contacts nothing: the first request shows whether it is there.
func (c *connection) Collection(_ context.Context, name string) (connectors.Collection, error) {
	var known []string
	for _, b := range c.tool.collections {
		if b.name == name {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.open[name] == nil {
				c.open[name] = newCollection(c, b)
			}
			return c.open[name], nil
		}
		known = append(known, b.name)
	}
	hint := "described are " + strings.Join(known, ", ")
	switch near := connectors.Nearest(name, known); {
	case near != "":
		hint = fmt.Sprintf("did you mean %q?", near)
	case len(known) == 0:
		hint = `describe it: collection "` + name + `" { key = "item.id" … }, or name a description: system = "…"`
	}
	return nil, wrong("open "+name, fmt.Sprintf("the connection describes no collection %q", name), hint)
}

// Close lets go of idle connections.
func (c *connection) Close() error {
	c.client.http.CloseIdleConnections()
	return nil
}

// Check logs in and asks each collection for a page.
func (c *connection) Check(ctx context.Context) ([]connectors.Finding, error) {
	var found []connectors.Finding
	if c.tool.login != nil {
		user, err := c.client.prove(ctx)
		if err != nil {
			return nil, err
		}
		detail := "the key or password is accepted"
		if user != "" {
			detail = "logged in as " + user
		}
		found = append(found, connectors.Finding{OK: true, What: "log-in", Detail: detail})
	}
	for _, b := range c.tool.collections {
		col := newCollection(c, b)
		n, more, err := col.sample(ctx, func(any) {})
		switch {
		case errors.Is(err, connectors.ErrAuth), errors.Is(err, connectors.ErrOffline), ctx.Err() != nil:
			return found, err
		case err != nil:
			found = append(found, connectors.Finding{What: "collection " + b.name, Detail: err.Error(), Hint: connectors.Hint(err)})
		default:
			found = append(found, connectors.Finding{OK: true, What: "collection " + b.name, Detail: seen(n, more) + abilities(b)})
		}
	}
	if clock := c.client.reading(); clock.Measured {
		found = append(found, connectors.Finding{OK: clock.Offset.Abs() < time.Minute, What: "clock",
			Detail: fmt.Sprintf("%v from ours (±%v)", clock.Offset.Round(time.Second), clock.Error.Round(time.Second)),
			Hint:   "set the clocks of both machines by NTP: which of two edits is newer cannot be told otherwise"})
	}
	return found, nil
}

func seen(n int, more bool) string {
	s := fmt.Sprintf("%d records", n)
	if n == 1 {
		s = "1 record"
	}
	if more {
		s += " on the first page"
	}
	return s
}

func abilities(b *blueprint) string {
	var can []string
	for _, a := range []struct {
		name string
		has  bool
	}{{"create", b.create != nil}, {"update", b.update != nil}, {"delete", b.remove != nil}, {"comments", len(b.threads) > 0}, {"attachments", len(b.cabinets) > 0}} {
		if a.has {
			can = append(can, a.name)
		}
	}
	if len(can) == 0 {
		return "; it can only be read"
	}
	return "; described: " + strings.Join(slices.Insert(can, 0, "read"), ", ")
}
