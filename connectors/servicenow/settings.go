// Package servicenow keeps records of any ServiceNow table in step, through the Table API, and where a mapping asks for
// it through the Batch API (many writes in one request) or an import set (writes through a staging table).
//
// [New] makes the settings that a connection block fills; [Settings.Open] makes the connection, and logs in by password,
// API key or OAuth when first used. Every table is a collection, with the rows of those that extend it, and its key is sys_id. Values are text exactly as they are raw on the wire: "1", "true",
// "2026-07-05 10:46:48" in UTC, a reference as the sys_id it holds. "" is null, and a path that is missing
// from a record is unknown, because an access rule that hides a field and a field that does not exist look
// the same.
//
// What ServiceNow cannot do shapes this package. There is no conditional write: [Table.Update] writes whatever
// version the caller names, so the caller reads again first. A misspelt field in a query is dropped by the
// server and the query answers with everything: fields in queries are proved to exist before their answer is
// believed, and what was searched for is compared again here. A page may be short or empty while more rows
// follow, because access rules are applied after the limit: only the server's count ends a scan. A token may be refused
// at any time, which is no failure once: that request was not carried out, and is sent again with another token. A
// write in a batch, or in an import set, is settled for itself whatever the status of the whole.
//
// Errors are [connectors.Error] with a hint for the operator; classify.go holds the table. Nothing here panics
// on data, keeps cookies or follows redirects.
package servicenow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
)

// Settings are the body of a connection "servicenow" block.
type Settings struct {
	URL          string `hcl:"url"`
	Auth         Auth   `hcl:"auth,block"`
	PageSize     int    `hcl:"page_size,optional"`     // rows a request; default 500
	Batch        int    `hcl:"batch,optional"`         // writes a request, through the Batch API; default 1, which does without
	Lag          string `hcl:"lag,optional"`           // longest time between a change's stamp and its commit that every scan waits out; default "5s"
	Overlap      string `hcl:"overlap,optional"`       // how far an incremental scan reaches back before the last one; default "2m"
	Settle       string `hcl:"settle,optional"`        // how long a create that was never answered may still appear; default "60s"
	Language     string `hcl:"language,optional"`      // of choice labels; default "en"
	InsecureHTTP bool   `hcl:"insecure_http,optional"` // allow http:// to other machines

	Collections []CollectionSettings `hcl:"collection,block"` // tables that are not written through the Table API
}

// Veil leaves the instance and the account: they tell this system from another. Whether people pasted the instance or
// the address of a table does not, nor how many rows a page has.
func (s *Settings) Veil() (shown any, secrets []string) {
	root := s.URL
	if a, err := parseAddress(s.URL, true); err == nil {
		root = a.root
	}
	a := s.Auth
	return &struct{ URL, Kind, Grant, Username, ClientID string }{root, a.Kind, a.Grant, a.Username, a.ClientID}, nil
}

// New returns empty settings, for a [connectors.Registry].
func New() connectors.Config { return &Settings{} }

const (
	defaultPageSize = 500
	maxPageSize     = 10000
	defaultLag      = 5 * time.Second
	// The longest transaction of the Table API is 60 s (default quota rules): a row may appear that long after
	// the second it is stamped with.
	defaultOverlap = 2 * time.Minute
)

// Open checks the settings and makes the connection. It contacts nothing.
func (s *Settings) Open(env connectors.Env) (connectors.Connection, error) {
	addr, err := parseAddress(s.URL, s.InsecureHTTP)
	if err != nil {
		return nil, err
	}
	if err := s.Auth.check(s.InsecureHTTP); err != nil {
		return nil, err
	}
	conn := &Connection{pageSize: s.PageSize, language: s.Language, tables: map[string]*Table{}, concurrency: env.Limits.Concurrency}
	switch {
	case conn.pageSize == 0:
		conn.pageSize = defaultPageSize
	case conn.pageSize < 0 || conn.pageSize > maxPageSize:
		return nil, settingsError(fmt.Sprintf("page_size is %d", s.PageSize), fmt.Sprintf("write a number from 1 to %d", maxPageSize))
	}
	if s.Batch < 0 || s.Batch > maxBatch {
		return nil, settingsError(fmt.Sprintf("batch is %d", s.Batch), fmt.Sprintf("write a number from 1 to %d", maxBatch))
	}
	conn.batch = max(s.Batch, 1)
	if conn.lag, err = duration("lag", s.Lag, defaultLag); err != nil {
		return nil, err
	}
	if conn.overlap, err = duration("overlap", s.Overlap, defaultOverlap); err != nil {
		return nil, err
	}
	if conn.settle, err = duration("settle", s.Settle, defaultSettle); err != nil {
		return nil, err
	}
	if conn.language == "" {
		conn.language = "en"
	}
	if !plainValue(conn.language) {
		return nil, settingsError(fmt.Sprintf("language is %q", s.Language), `write a language code such as "en"`)
	}
	if conn.imports, err = imports(s.Collections); err != nil {
		return nil, err
	}
	if conn.concurrency <= 0 {
		conn.concurrency = defaultConcurrency
	}
	if conn.client, err = newClient(env, addr, s.Auth); err != nil {
		return nil, err
	}
	if conn.batch > 1 {
		conn.client.batching(conn.batch, conn.concurrency)
	}
	return conn, nil
}

func duration(name, s string, otherwise time.Duration) (time.Duration, error) {
	if s == "" {
		return otherwise, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, settingsError(fmt.Sprintf("%s is %q", name, s), `write a duration such as "5s" or "2m"`)
	}
	return d, nil
}

func settingsError(detail, hint string) error {
	return &connectors.Error{Kind: connectors.ErrConfig, Op: "servicenow", Detail: detail, Hint: hint}
}

// defaultConcurrency is the number of requests in flight that a node serves well: it has four integration
// threads for everybody (KB0564204).
const defaultConcurrency = 4

// defaultSettle is the longest that a transaction of the Table API may take (the quota rule for REST).
const defaultSettle = 60 * time.Second

// A Connection is one instance under one account.
type Connection struct {
	client      *client
	pageSize    int
	batch       int // writes a request
	lag         time.Duration
	overlap     time.Duration
	settle      time.Duration
	language    string
	concurrency int
	imports     map[string]*importSet  // by table
	login       atomic.Pointer[string] // name of the user, where the instance had to be asked

	mu     sync.Mutex
	tables map[string]*Table

	identity identity
}

// Collection returns the table with this name; "" is the table that the url names. The first call for a table
// asks the instance for one row of it, so that a table that is not there is known before anything is planned.
func (c *Connection) Collection(ctx context.Context, name string) (connectors.Collection, error) {
	if name == "" {
		if name = c.client.addr.table; name == "" {
			return nil, settingsError("no table is named", `write collection = "incident", or a url that ends in /api/now/table/incident`)
		}
	}
	c.mu.Lock()
	t := c.tables[name]
	c.mu.Unlock()
	if t != nil {
		return t, nil
	}
	if !tableName.MatchString(name) {
		return nil, settingsError(fmt.Sprintf("%q cannot be the name of a table", name), "write the name, not the label: incident, sys_user, u_my_table")
	}
	t = &Table{conn: c, name: name, imports: c.imports[name], proved: map[string]bool{}}
	t.singles = &gatherer[*single]{size: maxIn, slots: c.concurrency, linger: defaultLinger, send: t.readTogether}
	if err := t.exists(ctx); err != nil {
		return nil, err
	}
	if t.imports != nil {
		// Whether this user may read the staging table does not matter.
		if err := (&Table{conn: c, name: t.imports.staging}).exists(ctx); errors.Is(err, errNoTable) {
			return nil, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if other := c.tables[name]; other != nil {
		return other, nil
	}
	c.tables[name] = t
	return t, nil
}

// Close lets go of idle connections.
func (c *Connection) Close() error {
	c.client.http.CloseIdleConnections()
	return nil
}

func newClient(env connectors.Env, addr address, auth Auth) (*client, error) {
	c := &client{addr: addr, auth: auth, now: env.Now, log: env.Log}
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
	// Cookies would bind every request to one session, which serves one request at a time and answers 202 to the
	// rest (KB0564204). A redirect would carry the API key, a header net/http does not know as a credential, to
	// wherever it points.
	h.Jar = nil
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.http = &h
	if auth.Kind != "oauth" {
		return c, nil
	}
	var err error
	c.login, err = newLogin(c, auth)
	return c, err
}
