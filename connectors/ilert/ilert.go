// Package ilert keeps alerts of ilert in step with other records, through its REST API and, for what that cannot do,
// its Events API.
//
// [New] makes the settings that a connection block fills; [Settings.Open] makes the connection. The collection
// "alerts" has every alert that the API key may see; a collection block narrows that down to alert sources. The key
// of an alert is its id, as text. What ilert calls an incident today, a note on a status page, is something else.
//
// What ilert cannot do shapes this package. No alert says when it was changed: a scan for changes reads what is open
// now, what was reported since, and each alert that was open before, and the version of an alert is a hash of what it
// shows. Its status goes forward only, and nothing else of it can be written once it is there. An alert is made by an
// event whose alertKey is the marker, because the call that makes one at once takes no key to find it again by. An
// event that was taken is not yet carried out: what came of it is looked for.
//
// Errors are [connectors.Error] with a hint for the operator; classify.go holds the table. Nothing here panics on
// data, keeps cookies, follows redirects or sends a write twice.
package ilert

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
)

// Settings are the body of a connection "ilert" block.
type Settings struct {
	URL          string `hcl:"url,optional"` // default https://api.ilert.com/api
	Auth         Auth   `hcl:"auth,block"`
	Team         string `hcl:"team,optional"`      // id of a team; "0" is all, "-1" mine; default what the key sees
	PageSize     int    `hcl:"page_size,optional"` // alerts a request; default 50
	Settle       string `hcl:"settle,optional"`    // how long an event that was taken may still become an alert; default "60s"
	InsecureHTTP bool   `hcl:"insecure_http,optional"`

	Collections []CollectionSettings `hcl:"collection,block"`
}

// Auth is the log-in: "bearer" with an API key, which has the rights of the user who made it.
type Auth struct {
	Kind  string            `hcl:"kind,label"`
	Token connectors.Secret `hcl:"token"`
}

// CollectionSettings are alerts of some sources. What is made in them, and said about them, goes through the one source
// that the integration key belongs to.
type CollectionSettings struct {
	Name           string            `hcl:"name,label"`
	Sources        []string          `hcl:"sources,optional"` // ids or names of alert sources; default all
	IntegrationKey connectors.Secret `hcl:"integration_key,optional"`
	From           string            `hcl:"from,optional"`         // alerts reported before are left out
	CommentText    string            `hcl:"comment_text,optional"` // cuts author and text of a comment out of a log entry
}

// Veil leaves the address and the team: they tell this account from another. A collection that is added for another
// sync, or another page size, makes it no other system.
func (s *Settings) Veil() (shown any, secrets []string) {
	return &struct{ URL, Team string }{cmp.Or(s.URL, defaultURL), s.Team}, nil
}

// New returns empty settings, for a [connectors.Registry].
func New() connectors.Config { return &Settings{} }

const (
	defaultURL      = "https://api.ilert.com/api"
	defaultPageSize = 50 // ilert's own command line client reports it as the most that /alerts gives
	maxPageSize     = 100
	defaultSettle   = time.Minute
	everything      = "alerts" // the collection that is there without a block
)

// defaultComment is the form of a comment's log entry in English, as far as it is known.
const defaultComment = `(?s)^(?P<author>[^:\n]+?) commented: (?P<text>.*)$`

// Open checks the settings and makes the connection. It contacts nothing.
func (s *Settings) Open(env connectors.Env) (connectors.Connection, error) {
	root, err := address(s.URL, s.InsecureHTTP)
	if err != nil {
		return nil, err
	}
	switch {
	case s.Auth.Kind != "bearer":
		return nil, wrong(fmt.Sprintf("there is no log-in %q", s.Auth.Kind), `write auth "bearer" { token = env("ILERT_API_KEY") }`)
	case s.Auth.Token == "":
		return nil, wrong("token is empty", "set it to an API key, which a user makes in ilert's web app")
	case s.PageSize != 0 && (s.PageSize < 2 || s.PageSize > maxPageSize):
		return nil, wrong(fmt.Sprintf("page_size is %d", s.PageSize), fmt.Sprintf("write a number from 2 to %d", maxPageSize))
	}
	c := &Connection{pageSize: s.PageSize, settle: defaultSettle, flight: env.Limits.Concurrency, known: map[string]*Collection{}}
	if c.pageSize == 0 {
		c.pageSize = defaultPageSize
	}
	if s.Settle != "" {
		if c.settle, err = time.ParseDuration(s.Settle); err != nil || c.settle < 0 {
			return nil, wrong(fmt.Sprintf("settle is %q", s.Settle), `write a duration such as "60s"`)
		}
	}
	if c.flight <= 0 {
		c.flight = defaultFlight
	}
	c.client = newClient(env, root, s.Auth.Token, s.Team)
	blocks := s.Collections
	for _, b := range blocks {
		if c.known[b.Name] != nil {
			return nil, wrong(fmt.Sprintf("two collections are called %q", b.Name), "give each a name of its own")
		}
		if c.known[b.Name], err = newCollection(c, b); err != nil {
			return nil, err
		}
		c.names = append(c.names, b.Name)
	}
	if c.known[everything] == nil {
		if c.known[everything], err = newCollection(c, CollectionSettings{Name: everything}); err != nil {
			return nil, err
		}
		c.names = append(c.names, everything)
	}
	return c, nil
}

// defaultFlight is how many single alerts are asked for at a time: a key has 120 requests a minute.
const defaultFlight = 4

func wrong(detail, hint string) error {
	return &connectors.Error{Kind: connectors.ErrConfig, Op: "ilert", Detail: detail, Hint: hint}
}

// address is the root of the API, without a slash at its end.
func address(raw string, insecure bool) (string, error) {
	if raw == "" {
		return defaultURL, nil
	}
	u, err := url.Parse(strings.TrimSpace(raw))
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "":
		return "", wrong("url is no address", "leave it out, or write url = "+`"`+defaultURL+`"`) // the text of the error may hold a password
	case u.User != nil:
		return "", wrong("url holds credentials", "take user and password out of it and write an API key in the auth block")
	case u.Scheme == "http" && !insecure && !loopback(u.Hostname()):
		return "", wrong("url would send the API key unencrypted to "+u.Host, "write https://, or insecure_http = true if the network in between is trusted")
	}
	return strings.TrimRight(u.String(), "/"), nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// A Connection is one ilert account as one API key sees it.
type Connection struct {
	client   *client
	pageSize int
	settle   time.Duration
	flight   int
	names    []string
	known    map[string]*Collection

	mu      sync.Mutex
	sources []source // as last listed; nil before
}

// Collection finds a collection of the connection. It contacts nothing: the first request shows whether its sources
// are there.
func (c *Connection) Collection(_ context.Context, name string) (connectors.Collection, error) {
	col := c.known[name]
	if col == nil {
		hint := "there are " + strings.Join(c.names, ", ")
		if near := connectors.Nearest(name, c.names); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		return nil, wrong(fmt.Sprintf("the connection has no collection %q", name), hint+`; collection "NAME" { sources = […] } in the connection adds one`)
	}
	return col, nil
}

// Close lets go of idle connections.
func (c *Connection) Close() error {
	c.client.http.CloseIdleConnections()
	return nil
}

// A Collection is the alerts of some sources, or all.
type Collection struct {
	conn    *Connection
	name    string
	asked   []string // sources, as the settings name them
	key     connectors.Secret
	from    time.Time
	comment *regexp.Regexp
}

func newCollection(c *Connection, s CollectionSettings) (*Collection, error) {
	col := &Collection{conn: c, name: s.Name, asked: s.Sources, key: s.IntegrationKey}
	if s.IntegrationKey != "" && len(s.Sources) != 1 {
		return nil, wrong(fmt.Sprintf("collection %q has an integration_key and %d sources", s.Name, len(s.Sources)),
			"name the one source that the key belongs to: what is made or said there goes through it")
	}
	if s.From != "" {
		t, err := moment(s.From)
		if err != nil {
			return nil, wrong(fmt.Sprintf("from of collection %q is %q", s.Name, s.From), `write a day such as "2026-01-31", or a time such as "2026-01-31T00:00:00Z"`)
		}
		col.from = t
	}
	pattern := s.CommentText
	if pattern == "" {
		pattern = defaultComment
	}
	var err error
	if col.comment, err = regexp.Compile(pattern); err != nil {
		return nil, wrong(fmt.Sprintf("comment_text of collection %q is no regular expression: %v", s.Name, err), "write one with a group (?P<text>…)")
	}
	if col.comment.SubexpIndex("text") < 0 {
		return nil, wrong(fmt.Sprintf("comment_text of collection %q has no group called text", s.Name), "write one with a group (?P<text>…), and (?P<author>…) if the entry names who wrote it")
	}
	return col, nil
}

// moment reads a time of the settings.
func moment(s string) (time.Time, error) {
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t, nil
	}
	return time.Parse(time.RFC3339, s)
}

func newClient(env connectors.Env, root string, token connectors.Secret, team string) *client {
	c := &client{root: root, token: token, team: team, now: env.Now, log: env.Log}
	if c.now == nil {
		c.now = time.Now
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	var h http.Client
	if env.HTTP != nil {
		h = *env.HTTP
	}
	h.Jar = nil
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.http = &h
	return c
}
