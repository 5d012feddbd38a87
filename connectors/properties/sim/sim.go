// Package sim is an alarm system with properties on its alarms, for tests and for trying out mappings: an
// [http.Handler] that speaks the protocol of package properties. Start with [New]; tests play the system and its
// people with [Server.RaiseAlarm], [Server.SetProperty] and [Server.ClearAlarm], and look with [Server.Get] and
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
	"net/url"
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
	Token      string           // what clients must send as bearer; "" lets everybody in
}

// An Alarm is one alarm tree, as it stands.
type Alarm struct {
	Key        string // "157/21/48190": agent, element, root alarm
	Name       string
	Element    string
	Severity   string
	Properties map[string]string // those that are not empty
	Revision   int               // grows with each change: each is a record in the alarm's tree
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

	mu      sync.Mutex
	defined []string
	alarms  map[string]*Alarm
	root    int // last root alarm id
	writes  int
	journal []Request
}

// New makes a system without alarms.
func New(o Options) *Server {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Server{options: o, defined: slices.Clone(o.Properties), alarms: map[string]*Alarm{}, root: 48189}
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
	s.root++
	key = fmt.Sprintf("%d/%d/%d", agent, element, s.root)
	a := &Alarm{Key: key, Name: name, Element: "Headend 2", Severity: severity, Properties: map[string]string{}}
	for k, v := range properties {
		if v != "" {
			a.Properties[k] = v
		}
	}
	s.alarms[key] = a
	s.touch(a, "system")
	return key
}

// touch stamps a change.
func (s *Server) touch(a *Alarm, author string) {
	a.Revision++
	a.Author, a.Modified = author, s.now()
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

// ClearAlarm takes an alarm away, as when its cause is gone.
func (s *Server) ClearAlarm(key string) {
	s.mu.Lock()
	delete(s.alarms, key)
	s.mu.Unlock()
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
		s.touch(a, author)
	}
	return changed, nil
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 10<<20))
	s.mu.Lock()
	status, out := http.StatusBadRequest, any(complaint{"the request body ended early"})
	if err == nil {
		status, out = s.answer(r, body)
	}
	s.journal = append(s.journal, Request{r.Method, r.URL.Path, r.URL.RawQuery, status, string(body)})
	date := s.now()
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Date", date.Format(http.TimeFormat))
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(out) // a client that went away is its own business
}

type complaint struct {
	Error string `json:"error"`
}

func (s *Server) answer(r *http.Request, body []byte) (int, any) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if s.options.Token != "" && subtle.ConstantTimeCompare([]byte(token), []byte(s.options.Token)) != 1 {
		return http.StatusUnauthorized, complaint{"the token is missing or wrong"}
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /fieldsync/info":
		return http.StatusOK, map[string]any{
			"contract": 1, "dataminer": "10.6.4", "ticketing": "none", "timeUTC": s.now().UnixMilli(), "alarmProperties": append([]string{}, s.defined...),
		}
	case "GET /fieldsync/alarms":
		return s.list(r.URL.Query())
	case "POST /fieldsync/alarm-properties":
		return s.setMany(body)
	}
	return http.StatusNotFound, complaint{"there is nothing at " + r.URL.Path}
}

// alarm is the wire form.
type alarm struct {
	DMA        int               `json:"dma"`
	Element    int               `json:"element"`
	Root       int               `json:"root"`
	Name       string            `json:"name"`
	Source     string            `json:"elementName"`
	Severity   string            `json:"severity"`
	Modified   int64             `json:"modifiedAt"`
	Author     string            `json:"modifiedBy"`
	Revision   int               `json:"revision"`
	Properties map[string]string `json:"properties"`
}

func (a *Alarm) wire() alarm {
	w := alarm{Name: a.Name, Source: a.Element, Severity: a.Severity, Modified: a.Modified.UnixMilli(), Author: a.Author, Revision: a.Revision, Properties: maps.Clone(a.Properties)}
	_, _ = fmt.Sscanf(a.Key, "%d/%d/%d", &w.DMA, &w.Element, &w.Root) // keys are made here, in this form
	return w
}

// list answers with alarms by last change and then key: all, those changed at or after since, those with one of
// some ids, or those with one of some values in a property.
func (s *Server) list(q url.Values) (int, any) {
	since, err := number(q.Get("since"), 0)
	if err != nil {
		return http.StatusBadRequest, complaint{"since: " + err.Error()}
	}
	limit, err := number(q.Get("limit"), 200)
	if err != nil || limit < 1 || limit > 1000 {
		return http.StatusBadRequest, complaint{"limit: write a number from 1 to 1000"}
	}
	property := q.Get("property")
	if property != "" && !slices.Contains(s.defined, property) {
		return http.StatusBadRequest, complaint{errNotThere.Error() + ": " + property}
	}
	var found []*Alarm
	for _, a := range s.alarms {
		switch {
		case a.Modified.UnixMilli() < since, q.Has("id") && !slices.Contains(q["id"], a.Key), position(a) <= q.Get("after"):
		case property != "" && !slices.Contains(q["value"], a.Properties[property]):
		default:
			found = append(found, a)
		}
	}
	slices.SortFunc(found, func(a, b *Alarm) int { return cmp.Compare(position(a), position(b)) })
	next := ""
	if len(found) > int(limit) {
		found = found[:limit]
		next = position(found[limit-1])
	}
	page := make([]alarm, 0, len(found))
	for _, a := range found {
		page = append(page, a.wire())
	}
	return http.StatusOK, map[string]any{"alarms": page, "next": next, "asOf": s.now().UnixMilli()}
}

// position sorts by time, then key.
func position(a *Alarm) string { return fmt.Sprintf("%015d/%s", a.Modified.UnixMilli(), a.Key) }

func number(s string, otherwise int64) (int64, error) {
	if s == "" {
		return otherwise, nil
	}
	return strconv.ParseInt(s, 10, 64)
}

// setMany writes properties of several alarms, each for itself.
func (s *Server) setMany(body []byte) (int, any) {
	var in struct {
		Alarms []struct {
			DMA, Element, Root int
			Set                map[string]string
		}
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return http.StatusBadRequest, complaint{"the body is not what is expected: " + err.Error()}
	}
	type result struct {
		OK      bool   `json:"ok"`
		Changed bool   `json:"changed"`
		Error   string `json:"error,omitempty"`
	}
	out := make([]result, 0, len(in.Alarms))
	for _, a := range in.Alarms {
		n, err := s.set(fmt.Sprintf("%d/%d/%d", a.DMA, a.Element, a.Root), a.Set, "fieldsync")
		if err != nil {
			out = append(out, result{Error: err.Error()})
			continue
		}
		s.writes += n
		out = append(out, result{OK: true, Changed: n > 0})
	}
	return http.StatusOK, map[string]any{"alarms": out}
}
