// Package sim is a DataMiner system for tests and for trying out mappings: an [http.Handler] with the Web Services API v1
// under /API/v1/Json.asmx and, under /api/custom, a User-Defined API that speaks the protocol of the bridge. It behaves as
// public documentation says, and where that is silent a switch shows the ways in which a real system may behave.
//
// Start with [New]; tests play the system and its people with [Server.RaiseAlarm], [Server.ChangeSeverity],
// [Server.SetProperty], [Server.ClearAlarm], [Server.AddElement] and their like, and look with [Server.Get] and
// [Server.Journal]. Nothing panics on what a client sends.
package sim

import (
	"cmp"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Options are the settings of a Server.
type Options struct {
	Properties []string         // the alarm properties that are defined; others cannot be set
	Now        func() time.Time // the system's clock; nil is the machine's
	Token      string           // what clients of the bridge must send as bearer; "" lets everybody in
}

// User and Password are the log-in to the Web Services. They are no secret.
const (
	User     = "svc-fieldsync"
	Password = "secret"
)

// An Alarm is one alarm tree, as it stands.
type Alarm struct {
	Key        string // "157/21/48190": agent, element, root alarm
	Name       string
	Element    string
	Severity   string
	Properties map[string]string // those that are not empty
	Cleared    bool
	Raised     time.Time
	Record     int64 // id of the newest record in the alarm's tree
	Revision   int   // grows with each change: each is a record in the alarm's tree
	Type       string
	Modified   time.Time
	Author     string
}

// A Request is one entry of the journal. Tokens are not in it.
type Request struct {
	Method string
	Path   string
	Query  string
	Status int
	Body   string
}

// A Server is an alarm system. It is safe for concurrent use.
type Server struct {
	options Options

	mu       sync.Mutex
	defined  []string
	alarms   map[string]*Alarm
	root     int64 // id of the last alarm record
	writes   int
	journal  []Request
	sessions map[string]time.Time // with when each was last used
	logins   int
	objects  map[string]map[int64]*Object // by kind
	formats  map[string]*regexp.Regexp    // of properties, by kind and name
	lastID   int64
	switches map[string]string
	faults   []*fault
	calls    []time.Time  // of the bridge, for its rate limit
	tickets  []*Ticket    // in the order they were made; nil where one was removed
	slide    func()       // what happens after the first page of tickets
	denied   []string     // rights that the user does not have
	sdm      []*SDMTicket // in the order they were made; nil where one was removed
	lastNote int
}

// New makes a system without alarms.
func New(o Options) *Server {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Server{options: o, defined: slices.Clone(o.Properties), alarms: map[string]*Alarm{}, root: 48189, lastID: 20,
		sessions: map[string]time.Time{}, objects: map[string]map[int64]*Object{Element: {}, Service: {}, View: {}},
		formats: map[string]*regexp.Regexp{}, switches: standards()}
}

// agent and element are where all alarms come from.
const (
	agent   = 157
	element = 21
)

// RaiseAlarm makes an alarm with these properties, whether they are defined or not, and returns its key.
func (s *Server) RaiseAlarm(name, severity string, properties map[string]string) (key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key = fmt.Sprintf("%d/%d/%d", agent, element, s.root+1)
	a := &Alarm{Key: key, Name: name, Element: "Headend 2", Severity: severity, Properties: map[string]string{}, Raised: s.now()}
	for k, v := range properties {
		if v != "" {
			a.Properties[k] = v
		}
	}
	s.alarms[key] = a
	s.touch(a, "system", "New Alarm")
	return key
}

// touch makes a record in an alarm's tree, with an id of its own; the first one's is that of the tree.
func (s *Server) touch(a *Alarm, author, what string) {
	s.root++
	a.Record = s.root
	a.Revision++
	a.Author, a.Type, a.Modified = author, what, s.now()
}

// ChangeSeverity makes an alarm worse or better. Its tree stays.
func (s *Server) ChangeSeverity(key, severity string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.alarms[key]; a != nil && !a.Cleared {
		what := "Escalated From " + a.Severity
		a.Severity = severity
		s.touch(a, "system", what)
	}
}

// now is the system's clock, which counts milliseconds.
func (s *Server) now() time.Time { return s.options.Now().UTC().Truncate(time.Millisecond) }

// SetProperty changes a property as an operator does. The error is about an alarm or property that is not there.
func (s *Server) SetProperty(key, name, value string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.set(key, map[string]string{name: value}, "operator")
	return err
}

// ClearAlarm ends an alarm, as when its cause is gone. Its tree can still be read and written by who knows it.
func (s *Server) ClearAlarm(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.alarms[key]; a != nil && !a.Cleared {
		a.Cleared, a.Severity = true, "Normal"
		s.touch(a, "system", "Cleared")
	}
}

// Define adds a property, as an administrator does.
func (s *Server) Define(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.defined, name) {
		s.defined = append(s.defined, name)
	}
}

// Get returns an alarm; ok is false if there is none.
func (s *Server) Get(key string) (a Alarm, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.alarms[key]
	if found == nil {
		return Alarm{}, false
	}
	return found.clone(), true
}

// All returns the alarms in the order they were raised.
func (s *Server) All() []Alarm {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Alarm
	for _, a := range s.alarms {
		out = append(out, a.clone())
	}
	slices.SortFunc(out, func(a, b Alarm) int { return cmp.Or(cmp.Compare(len(a.Key), len(b.Key)), cmp.Compare(a.Key, b.Key)) })
	return out
}

func (a *Alarm) clone() Alarm {
	c := *a
	c.Properties = maps.Clone(a.Properties)
	return c
}

// Journal lists every request so far.
func (s *Server) Journal() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.journal)
}

// Writes counts the properties that were set over HTTP and were different before.
func (s *Server) Writes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes
}

var (
	errNoAlarm  = errors.New("alarm not found")
	errNotThere = errors.New("property not defined")
)

// set changes properties of one alarm, all or none, and says how many really changed. A write of what is there
// already leaves no record in the alarm's tree.
func (s *Server) set(key string, values map[string]string, author string) (changed int, err error) {
	a := s.alarms[key]
	if a == nil {
		return 0, errNoAlarm
	}
	for name := range values {
		if !slices.Contains(s.defined, name) {
			return 0, fmt.Errorf("%w: %s", errNotThere, name)
		}
		if err := s.formatted("alarm", name, values[name]); err != nil {
			return 0, err
		}
	}
	for name, v := range values {
		switch {
		case a.Properties[name] == v:
			continue
		case v == "":
			delete(a.Properties, name)
		default:
			a.Properties[name] = v
		}
		changed++
	}
	if changed > 0 {
		s.touch(a, author, "Properties Changed")
	}
	return changed, nil
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 30<<20))
	if err != nil {
		return // the client went away
	}
	s.mu.Lock()
	name, web := method(r.URL.Path)
	struck := s.strike(name)
	status, out := http.StatusOK, any(nil)
	switch {
	case struck != nil && struck.before:
		status, out = struck.status, nil
	case web:
		status, out = s.call(r, name, body)
	default:
		status, out = s.answer(r, body)
	}
	if struck != nil && !struck.before && struck.status != 0 {
		status = struck.status
	}
	kept := string(body)
	if strings.HasPrefix(name, "ConnectApp") {
		kept = "" // it has a password
	}
	s.journal = append(s.journal, Request{r.Method, r.URL.Path, r.URL.RawQuery, status, kept})
	date := s.now()
	s.mu.Unlock()
	w.Header().Set("Date", date.Format(http.TimeFormat))
	if struck != nil && struck.reply(w) {
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	text, err := json.Marshal(out)
	if err != nil || status == http.StatusNoContent {
		w.WriteHeader(status)
		return
	}
	if struck != nil && struck.kind == "cut" {
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		text = text[:len(text)/2]
	}
	w.WriteHeader(status)
	_, _ = w.Write(text) // a client that went away is its own business
}

// method is the name of what is called: of a method of the Web Services, or of a route of the bridge.
func method(path string) (name string, web bool) {
	name = path[strings.LastIndexByte(path, '/')+1:]
	return name, strings.HasPrefix(strings.ToLower(path), "/api/v1/json.asmx/")
}

// A complaint is how a User-Defined API says what is wrong; the script itself sends no code.
type complaint struct {
	Errors []trouble `json:"errors"`
}

type trouble struct {
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Code   int    `json:"errorCode,omitempty"`
}

func complain(code int, detail string) complaint {
	return complaint{[]trouble{{"The request could not be handled.", detail, code}}}
}

// The limits of a User-Defined API.
const (
	maxQuery = 2 << 10
	perLimit = time.Minute // what the rate limit of the switch is counted over
)

func (s *Server) answer(r *http.Request, body []byte) (int, any) {
	route, ok := strings.CutPrefix(strings.ToLower(r.URL.Path), "/api/custom/")
	if !ok {
		return http.StatusNotFound, nil
	}
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case s.options.Token != "" && !bearer:
		return http.StatusUnauthorized, complain(1008, "the Authorization header is not valid")
	case s.options.Token != "" && subtle.ConstantTimeCompare([]byte(token), []byte(s.options.Token)) != 1:
		return http.StatusUnauthorized, complain(1010, "the secret is not valid or has no access to this API")
	case len(r.URL.RawQuery) > maxQuery:
		return http.StatusRequestURITooLong, complain(1011, "the query string is too large")
	case s.limited():
		return http.StatusTooManyRequests, complain(1014, "the rate limit of the token is reached")
	}
	switch r.Method + " " + route {
	case "GET fieldsync/info":
		return http.StatusOK, map[string]any{
			"contract": 1, "dataminer": "10.6.4", "ticketing": s.switches["generation"], "timeUTC": s.now().UnixMilli(), "alarmProperties": append([]string{}, s.defined...),
		}
	case "POST fieldsync/alarms":
		return s.list(body)
	case "POST fieldsync/alarm-properties":
		return s.setMany(body)
	}
	return s.ticketing(r, route, body)
}

// alarm is the wire form.
type alarm struct {
	DMA        int               `json:"dma"`
	Element    int               `json:"element"`
	Root       int               `json:"root"`
	Name       string            `json:"name"`
	Source     string            `json:"elementName"`
	Severity   string            `json:"severity"`
	Cleared    bool              `json:"cleared"`
	Modified   int64             `json:"modifiedAt"`
	Author     string            `json:"modifiedBy"`
	Revision   int               `json:"revision"`
	Properties map[string]string `json:"properties"`
}

func (a *Alarm) wire() alarm {
	w := alarm{Name: a.Name, Source: a.Element, Severity: a.Severity, Cleared: a.Cleared, Modified: a.Modified.UnixMilli(), Author: a.Author, Revision: a.Revision, Properties: maps.Clone(a.Properties)}
	_, _ = fmt.Sscanf(a.Key, "%d/%d/%d", &w.DMA, &w.Element, &w.Root) // keys are made here, in this form
	return w
}

// list answers with alarms by last change and then key: all, those changed at or after since, those with one of
// some ids, or those with one of some values in a property.
func (s *Server) list(body []byte) (int, any) {
	var q struct {
		Since       int64
		IDs, Values []string
		Property    string
		Cleared     bool
		After       string
		Limit       int
	}
	if err := json.Unmarshal(body, &q); err != nil {
		return http.StatusBadRequest, complain(0, "the body is not what is expected: "+err.Error())
	}
	if q.Limit < 1 || q.Limit > 1000 {
		return http.StatusBadRequest, complain(0, "limit: write a number from 1 to 1000")
	}
	if q.Property != "" && !slices.Contains(s.defined, q.Property) {
		return http.StatusBadRequest, complain(0, errNotThere.Error()+": "+q.Property)
	}
	var found []*Alarm
	for _, a := range s.alarms {
		switch {
		case a.Cleared && !q.Cleared, a.Modified.UnixMilli() < q.Since, q.IDs != nil && !slices.Contains(q.IDs, a.Key), position(a) <= q.After:
		case q.Property != "" && !slices.Contains(q.Values, a.Properties[q.Property]):
		default:
			found = append(found, a)
		}
	}
	slices.SortFunc(found, func(a, b *Alarm) int { return cmp.Compare(position(a), position(b)) })
	next := ""
	if len(found) > q.Limit {
		found = found[:q.Limit]
		next = position(found[q.Limit-1])
	}
	page := make([]alarm, 0, len(found))
	for _, a := range found {
		page = append(page, a.wire())
	}
	return http.StatusOK, map[string]any{"alarms": page, "next": next, "asOf": s.now().UnixMilli()}
}

// position sorts by time, then key.
func position(a *Alarm) string { return fmt.Sprintf("%015d/%s", a.Modified.UnixMilli(), a.Key) }

// setMany writes properties of several alarms, each for itself.
func (s *Server) setMany(body []byte) (int, any) {
	var in struct {
		Alarms []struct {
			DMA, Element, Root int
			Set                map[string]string
			Cleared            bool
		}
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return http.StatusBadRequest, complain(0, "the body is not what is expected: "+err.Error())
	}
	type result struct {
		OK      bool   `json:"ok"`
		Changed bool   `json:"changed"`
		Error   string `json:"error,omitempty"`
	}
	out := make([]result, 0, len(in.Alarms))
	for _, a := range in.Alarms {
		key := fmt.Sprintf("%d/%d/%d", a.DMA, a.Element, a.Root)
		if found := s.alarms[key]; found != nil && found.Cleared && !a.Cleared {
			out = append(out, result{Error: "alarm cleared"})
			continue
		}
		n, err := s.set(key, a.Set, "fieldsync")
		if err != nil {
			out = append(out, result{Error: err.Error()})
			continue
		}
		s.writes += n
		out = append(out, result{OK: true, Changed: n > 0})
	}
	return http.StatusOK, map[string]any{"alarms": out}
}
