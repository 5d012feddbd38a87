// Package sim is a ServiceNow instance for tests and for trying out mappings: an [http.Handler] that answers
// the Table, Attachment, Aggregate, Import Set and Batch APIs and the token endpoint as an instance does, its surprises included.
//
// What it knows: incident and its parent task, users, groups, journals, the dictionary and the choices, as
// real rows that can be queried, so that Insert into sys_dictionary or sys_choice adds a column or a choice.
// Writes go through the incident rules: priority, stamps, the data policy on resolving, closed incidents
// that are read only. Queries drop what they do not understand. Start with [New]; tests play people with
// [Server.Insert], [Server.Update] and [Server.Delete], and look with [Server.Get] and [Server.Journal].
//
// Instances differ, and things go wrong: [Switches] make an instance of another kind, [Fault] lets requests fail
// before or after they took effect, at a rate or at an exact one. Both have a form as text, for command lines and
// tests, and both are the same for the same Options.Seed and the same requests.
//
// It is not: domain separation, flows, SLAs, XML. Nothing panics on what a client
// sends; failures are the answers an instance gives.
package sim

import (
	"bytes"
	"cmp"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	_ "time/tzdata" // users have time zones, whatever the machine has
)

// Options are the settings of a Server. The zero value is a usual instance.
type Options struct {
	Now            func() time.Time // the instance's clock; nil is the machine's
	Users          []User           // who may log in; nil is DefaultUsers
	Clients        []Client         // applications that may get tokens; nil is DefaultClients
	Seed           int64            // of the sys_ids and the faults, which are the same for the same seed and calls
	Switches       Switches         // how the instance differs from a usual one; New panics on conditions of tables that are not there
	DefaultLimit   int              // rows of a list without sysparm_limit; 0 is 10000
	Empty          bool             // no sample people and groups
	HideDictionary bool             // sys_dictionary and its kin only for admins, as on instances of late
	NoCompression  bool             // never gzip
}

// A User may log in.
type User struct {
	Login, Name string
	Password    string // "" refuses Basic
	APIKey      string // "" has none
	Roles       []string
	TimeZone    string // "" is GMT

	zone     *time.Location
	layout   string // of times; "" is the usual one
	language string // "" is English
}

// DefaultUsers are an administrator, an integration with the rights for incidents, a person who may also
// close them, and one without any role.
func DefaultUsers() []User {
	return []User{
		{Login: "admin", Name: "System Administrator", Password: "admin", Roles: []string{"admin"}},
		{Login: "integration", Name: "Integration User", Password: "secret", APIKey: "integration-key", Roles: []string{"itil", "sn_incident_write", "incident_manager", "import_transformer"}},
		{Login: "closer", Name: "Carla Closer", Password: "secret", Roles: []string{"itil", "itil_admin"}},
		{Login: "noroles", Name: "Norman Nobody", Password: "secret"},
	}
}

// contains are roles that come with another one, as in the base system.
var contains = map[string]string{
	"sn_incident_admin": "incident_manager", "incident_manager": "itil", "sn_service_desk_agent": "sn_incident_write", "sn_incident_write": "sn_incident_read",
}

// contained adds to roles those that come with them.
func contained(roles []string) []string {
	all := slices.Clone(roles)
	for i := 0; i < len(all); i++ {
		if more := contains[all[i]]; more != "" && !slices.Contains(all, more) {
			all = append(all, more)
		}
	}
	return all
}

func (u *User) has(roles ...string) bool {
	return slices.ContainsFunc(roles, func(r string) bool { return slices.Contains(u.Roles, r) })
}

func (u *User) location() *time.Location {
	if u.zone == nil {
		return time.UTC
	}
	return u.zone
}

// people is who makes changes that name nobody: it has no password.
var people = User{Login: "people", Name: "People", Roles: []string{"itil", "itil_admin"}}

// A Server is an instance. It is safe for concurrent use.
type Server struct {
	options  Options
	users    []User
	clients  []Client
	tokens   tokens
	requests atomic.Int64
	writes   atomic.Int64
	switches atomic.Pointer[turned]
	waiting  atomic.Bool // late is not empty
	limits   limits

	faultMu    sync.Mutex // guards the two below
	faults     []*planned
	faultCount int

	mu       sync.RWMutex // guards all below
	now      func() time.Time
	random   *rand.Rand
	tables   map[string]*table
	choices  map[string][]choice // by table.field; nil after sys_choice changed
	files    map[string][]byte   // content by sys_attachment id
	imported map[string][]byte   // what came of staging rows, by sys_id
	late     []lateWrite
	stamp    time.Time // the time that a late write began, while it is carried out
	closedAt time.Time // when resolved incidents were last closed

	journalMu sync.Mutex
	journal   []Request
}

// New makes an instance.
func New(o Options) *Server {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Users == nil {
		o.Users = DefaultUsers()
	}
	if o.Clients == nil {
		o.Clients = DefaultClients()
	}
	if o.DefaultLimit <= 0 {
		o.DefaultLimit = 10000
	}
	s := &Server{
		options: o, users: append(slices.Clone(o.Users), people), clients: slices.Clone(o.Clients), now: o.Now,
		random: rand.New(rand.NewPCG(uint64(o.Seed), 0x5eed)), tables: map[string]*table{}, files: map[string][]byte{}, imported: map[string][]byte{},
	}
	for i := range s.users {
		s.users[i].Roles = contained(s.users[i].Roles)
		// A zone that does not exist is shown as GMT, as an instance does.
		if zone, err := time.LoadLocation(s.users[i].TimeZone); err == nil {
			s.users[i].zone = zone
		}
	}
	s.switches.Store(&turned{})
	s.define()
	s.populate()
	if err := s.turn(o.Switches); err != nil {
		panic(err)
	}
	return s
}

// A Request is one entry of the journal. Credentials are not in it.
type Request struct {
	Time   time.Time
	Method string // after X-HTTP-Method-Override
	Path   string
	Query  string // as sent
	User   string // login; "" when refused
	Status int    // 0 where the connection was broken off
	Body   string // of a write with JSON
	Bytes  int    // of the answer, before compression
	Fault  string // kind of the fault that struck; "" for none
}

// A call is one request on its way through the server.
type call struct {
	*http.Request
	method  string
	user    *User
	version string // "v1", "v2" or ""
	path    []string
	params  params
	body    []byte
	batched []byte // its body, where it came in a batch
	cut     bool   // the time of the batch ends in the middle
}

// A reply is what a call is answered with.
type reply struct {
	status int
	header http.Header
	body   []byte
	fail   *failure // that the body shows; nil for none
}

// tokenPath is where OAuth tokens are given out.
const tokenPath = "/oauth_token.do"

// The limits of the web tier, the REST layer and the attachments.
const (
	maxURL  = 8192
	maxBody = 10 << 20
	maxFile = 1 << 30
)

// ServeHTTP answers one request. Every request passes through here: read, answered, recorded, sent.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.requests.Add(1)
	s.work()
	c := s.read(r)
	out, fault := s.respond(c)
	s.record(c, out, fault)
	if out.status == 0 {
		breakOff(w)
		return
	}
	s.send(w, c, out)
}

// respond lets a request in and answers it, unless a fault strikes. A reply without a status is a connection
// that breaks.
func (s *Server) respond(c *call) (out reply, fault string) {
	leave, refusal, headers := s.admit(c)
	defer leave()
	if refusal != nil {
		out = *refusal
	} else if f := s.struck(c); f != nil {
		fault = f.Kind
		whole := false
		if out, whole = s.suffer(c, f); !whole {
			return reply{}, fault
		}
	} else {
		out = s.effect(c)
	}
	if out.fail != nil && c.user != nil && c.user.language != "" {
		header := out.header
		out = failed(out.fail.in(c.user.language))
		out.header = header
	}
	if headers != nil {
		out.header = out.header.Clone()
		for k, v := range headers {
			out.header[k] = v
		}
	}
	return out, fault
}

// effect answers a request and counts it if it wrote something, whatever becomes of the answer.
func (s *Server) effect(c *call) reply {
	out := s.answer(c)
	if out.status < 300 && !c.reading() && c.URL.Path != tokenPath && !slices.Equal(c.path, []string{"batch"}) {
		s.writes.Add(1)
	}
	return out
}

func (s *Server) read(r *http.Request) *call {
	c := &call{Request: r, method: r.Method, params: readParams(r.URL.RawQuery)}
	if over := r.Header.Get("X-HTTP-Method-Override"); over != "" && r.Method == http.MethodPost {
		c.method = strings.ToUpper(over)
	}
	c.locate()
	if r.URL.Path == tokenPath {
		c.path = []string{"oauth_token"}
		return c // whoever asks for a token is not logged in yet
	}
	if c.version == "" && s.on().V1 {
		c.version = "v1"
	}
	c.user = s.authenticate(c)
	return c
}

// locate finds API, version and resource in the address.
func (c *call) locate() {
	if rest, ok := strings.CutPrefix(c.URL.Path, "/api/now/"); ok {
		c.path = strings.Split(strings.Trim(rest, "/"), "/")
		if v := c.path[0]; len(c.path) > 1 && (v == "v1" || v == "v2") {
			c.version, c.path = v, c.path[1:]
		}
	}
}

// answer decides, in the order an instance does: web tier, log-in, resource, formats, rights.
func (s *Server) answer(c *call) reply {
	switch {
	case len(c.base())+len(c.Request.RequestURI) > cmp.Or(s.on().MaxURL, maxURL) && c.batched == nil:
		return reply{status: http.StatusRequestURITooLong, body: []byte("<html><body><h1>414 Request-URI Too Large</h1></body></html>"),
			header: http.Header{"Content-Type": {"text/html"}}}
	case c.URL.Path == tokenPath:
		return s.oauthAPI(c)
	case c.user == nil:
		out := failed(unauthenticated)
		out.header.Set("WWW-Authenticate", `BASIC realm="Service-now"`)
		return out
	case len(c.path) < 1:
		return failed(noResource)
	}
	if c.method != http.MethodGet && c.method != http.MethodHead && c.method != http.MethodDelete {
		most := int64(cmp.Or(s.on().MaxBody, maxBody))
		if c.path[0] == "attachment" {
			most = maxFile
		}
		if c.ContentLength > most {
			return failed(tooLarge(c.ContentLength, most))
		}
		var err error
		if c.batched != nil {
			c.Body = io.NopCloser(bytes.NewReader(c.batched))
		}
		if c.body, err = io.ReadAll(io.LimitReader(c.Body, most+1)); err != nil {
			return failed(unreadable("The request body ended early"))
		}
		if int64(len(c.body)) > most {
			return failed(tooLarge(int64(len(c.body)), most))
		}
	}
	switch {
	case c.path[0] == "table" && len(c.path) <= 3 && len(c.path) > 1:
		return s.tableAPI(c)
	case c.path[0] == "stats" && len(c.path) == 2:
		return s.statsAPI(c)
	case c.path[0] == "batch" && c.version == "v1" && len(c.path) == 1:
		return s.batchAPI(c)
	case c.path[0] == "import" && c.version != "v2" && len(c.path) > 1:
		return s.importAPI(c)
	case c.path[0] == "attachment" && c.version != "v2":
		return s.attachmentAPI(c)
	}
	return failed(noResource)
}

// send writes a reply with the headers every answer carries.
func (s *Server) send(w http.ResponseWriter, c *call, out reply) {
	h := w.Header()
	h.Set("Content-Type", "application/json;charset=UTF-8")
	h.Set("Server", "ServiceNow")
	h.Set("Date", s.time().UTC().Format(http.TimeFormat))
	h.Set("X-Is-Logged-In", strconv.FormatBool(c.user != nil))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Pragma", "no-store,no-cache")
	h.Set("Cache-Control", "no-cache,no-store,must-revalidate,max-age=-1")
	h.Set("Expires", "0")
	n := s.requests.Load()
	h.Set("X-Transaction-ID", strconv.FormatInt(0xc2e8b1900000+n, 16))
	h.Add("Set-Cookie", "glide_user_route=glide."+strconv.FormatInt(n, 16)+"; Path=/; HttpOnly")
	h.Add("Set-Cookie", sessionCookie+"="+c.session(n)+"; Max-Age=1800; Path=/; HttpOnly")
	for k, v := range out.header {
		h[k] = v
	}
	if len(out.body) == 0 {
		if out.status != http.StatusOK {
			h.Del("Content-Type")
		}
		w.WriteHeader(out.status)
		return
	}
	if c.Request.Method == http.MethodHead {
		h.Set("Content-Length", strconv.Itoa(len(out.body)))
		w.WriteHeader(out.status)
		return
	}
	if s.options.NoCompression || len(out.body) < 512 || !strings.Contains(c.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Length", strconv.Itoa(len(out.body)))
		w.WriteHeader(out.status)
		_, _ = w.Write(out.body) // a client that went away is its own business
		return
	}
	h.Set("Content-Encoding", "gzip")
	w.WriteHeader(out.status)
	compress(w, out.body)
}

func (s *Server) record(c *call, out reply, fault string) {
	e := Request{Time: s.time(), Method: c.method, Path: c.URL.Path, Query: withoutKey(c.URL.RawQuery), Status: out.status, Bytes: len(out.body), Fault: fault}
	if c.user != nil {
		e.User = c.user.Login
	}
	if c.URL.Path == tokenPath {
		e.Query = ""
	}
	if strings.Contains(c.Header.Get("Content-Type"), "json") {
		e.Body = string(c.body)
	}
	s.journalMu.Lock()
	s.journal = append(s.journal, e)
	s.journalMu.Unlock()
}

// Journal lists every request so far, in the order of their answers.
func (s *Server) Journal() []Request {
	s.journalMu.Lock()
	defer s.journalMu.Unlock()
	return slices.Clone(s.journal)
}

// Writes counts the writes over HTTP that took effect, whatever the client was told.
func (s *Server) Writes() int64 { return s.writes.Load() }

// Requests counts all requests.
func (s *Server) Requests() int64 { return s.requests.Load() }

// SetNow replaces the instance's clock.
func (s *Server) SetNow(now func() time.Time) {
	s.mu.Lock()
	s.now = now
	s.mu.Unlock()
}

// time is the instance's clock for callers that hold no lock.
func (s *Server) time() time.Time {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.now().Add(s.on().Clock)
}

// clock is the instance's time in whole seconds, UTC, for callers that hold the lock.
func (s *Server) clock() time.Time {
	if !s.stamp.IsZero() {
		return s.stamp
	}
	return s.now().Add(s.on().Clock).UTC().Truncate(time.Second)
}

// base is the address of the instance as the client sees it.
func (c *call) base() string {
	if c.TLS != nil {
		return "https://" + c.Host
	}
	return "http://" + c.Host
}

// api is the address of the API, with the version the client used.
func (c *call) api() string {
	if c.version != "" {
		return c.base() + "/api/now/" + c.version
	}
	return c.base() + "/api/now"
}
