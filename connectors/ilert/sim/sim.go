// Package sim is an ilert account, for tests and for trying out mappings: an [http.Handler] that speaks the part of
// ilert's REST API and Events API that has to do with alerts. Start with [New]; tests play monitoring and people with
// [Server.Raise], [Server.Accept], [Server.Resolve], [Server.Comment] and the like, and look with [Server.Get] and
// [Server.Journal]. Switches make it an account of another kind, faults let requests go wrong.
//
// What ilert does not publish is a switch, or the harder of the possible answers. Nothing panics on what a client sends.
package sim

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options are the settings of a Server.
type Options struct {
	Now     func() time.Time // the account's clock; nil is the machine's
	Sources []Source         // nil: DefaultSources
	Users   []User           // nil: DefaultUsers
}

// A Source is an alert source.
type Source struct {
	ID       int64
	Name     string
	Kind     string // integrationType
	Key      string // integrationKey
	Rule     string // alertPriorityRule; "" is HIGH
	Creation string // alertCreation: the grouping; "" is ONE_ALERT_PER_EMAIL
	Team     int64  // 0: everybody sees it
	Drops    bool   // a filter drops all events, of which nobody is told
	Off      bool   // not active
}

// A User may log in with an API key.
type User struct {
	ID          int64
	First, Last string
	Email       string
	Role        string
	APIKey      string
	Team        int64 // sees alerts of this team, and those of none; 0: all
	Revoked     bool  // the key
	NoKeys      bool  // does not see integration keys
}

// DefaultSources are two monitoring systems and one of another team.
func DefaultSources() []Source {
	return []Source{
		{ID: 310455, Name: "Zabbix core", Kind: "ZABBIX", Key: "il1zabbixcore"},
		{ID: 310456, Name: "Tickets", Kind: "API", Key: "il1tickets"},
		{ID: 310460, Name: "Billing", Kind: "API", Key: "il1billing", Team: 5001},
	}
}

// DefaultUsers are one for integrations, who sees everything, and one of a team.
func DefaultUsers() []User {
	return []User{
		{ID: 11, First: "Field", Last: "Sync", Email: "fieldsync@example.net", Role: "ADMIN", APIKey: "il1api-integration"},
		{ID: 12, First: "Ada", Last: "L.", Email: "ada@example.net", Role: "USER", APIKey: "il1api-ada", Team: 5002, NoKeys: true},
		{ID: 13, First: "Old", Last: "Key", Email: "old@example.net", Role: "USER", APIKey: "il1api-revoked", Revoked: true},
	}
}

// An Alert is one as it stands. Fields that are not there yet are zero.
type Alert struct {
	ID               int64
	Summary, Details string
	Reported         time.Time
	ResolvedOn       time.Time
	Status           string // "" is PENDING
	Priority         string // "" is what the source says
	Severity         int
	Key              string
	Source           int64 // 0 is the first
	Labels           map[string]string
	Links            []Link
	AcceptedBy       int64 // a user
	MergedInto       int64
}

// A Link is an address with a text.
type Link struct {
	Href string `json:"href"`
	Text string `json:"text"`
}

// An Entry is one line of an alert's log.
type Entry struct {
	ID    int64
	Alert int64
	Type  string
	Text  string
	Time  time.Time
}

// A Request is one entry of the journal. API keys and integration keys are not in it.
type Request struct {
	Method, Path, Query string
	Status              int
	Body                string
}

// A Server is an account. It is safe for concurrent use.
type Server struct {
	options Options
	sources []Source
	users   []User

	mu       sync.Mutex
	switches Switches
	alerts   map[int64]*Alert
	entries  []Entry
	queue    []queued
	last     int64 // id of an alert
	lastLog  int64
	journal  []Request
	faults   []*striking
	minute   int64          // of the rate limits
	calls    map[string]int // in it, by key
	writes   int
}

// New makes an account without alerts.
func New(o Options) *Server {
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Server{options: o, sources: slices.Clone(o.Sources), users: slices.Clone(o.Users), alerts: map[int64]*Alert{}, last: 4410022, lastLog: 990000, calls: map[string]int{}}
	if o.Sources == nil {
		s.sources = DefaultSources()
	}
	if o.Users == nil {
		s.users = DefaultUsers()
	}
	return s
}

func (s *Server) now() time.Time { return s.options.Now().UTC() }

// Raise makes an alert and returns its id, as monitoring does.
func (s *Server) Raise(a Alert) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.raise(a).ID
}

func (s *Server) raise(a Alert) *Alert {
	s.last++
	a.ID = s.last
	if a.Source == 0 {
		a.Source = s.sources[0].ID
	}
	a.Status = cmp.Or(a.Status, pending)
	if a.Reported.IsZero() {
		a.Reported = s.now()
	}
	if a.Priority == "" {
		a.Priority = "HIGH"
		if src := s.source(a.Source); src != nil && strings.HasPrefix(src.Rule, "LOW") {
			a.Priority = "LOW"
		}
	}
	a.Key = strings.TrimSpace(a.Key)
	a.Labels, a.Links = maps.Clone(a.Labels), slices.Clone(a.Links)
	s.alerts[a.ID] = &a
	s.log(a.ID, "AlertReceivedLogEntry", "Alert received")
	return &a
}

func (s *Server) log(alert int64, kind, text string) {
	s.lastLog++
	s.entries = append(s.entries, Entry{ID: s.lastLog, Alert: alert, Type: kind, Text: text, Time: s.now()})
}

const (
	pending  = "PENDING"
	accepted = "ACCEPTED"
	resolved = "RESOLVED"
)

func (s *Server) source(id int64) *Source {
	for i := range s.sources {
		if s.sources[i].ID == id {
			return &s.sources[i]
		}
	}
	return nil
}

func (s *Server) user(id int64) User {
	for _, u := range s.users {
		if u.ID == id {
			return u
		}
	}
	return User{ID: id, First: "Somebody"}
}

// Accept takes an alert on, as a user does in the app.
func (s *Server) Accept(id, user int64) error { return s.play(id, accepted, user) }

// Resolve ends an alert, as a user does in the app.
func (s *Server) Resolve(id, user int64) error { return s.play(id, resolved, user) }

func (s *Server) play(id int64, status string, user int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.alerts[id]
	if a == nil {
		return fmt.Errorf("there is no alert %d", id)
	}
	if !s.lead(a, status, user) {
		return fmt.Errorf("alert %d is %s and cannot become %s", id, a.Status, status)
	}
	return nil
}

// lead takes an alert forward, never back, and says whether it could.
func (s *Server) lead(a *Alert, status string, user int64) bool {
	order := []string{pending, accepted, resolved}
	if slices.Index(order, status) <= slices.Index(order, a.Status) {
		return false
	}
	a.Status = status
	u := s.user(user)
	switch status {
	case accepted:
		a.AcceptedBy = user
		s.log(a.ID, "UserResponseLogEntry", u.First+" "+u.Last+" accepted the alert")
	case resolved:
		a.ResolvedOn = s.now()
		s.log(a.ID, "UserResponseLogEntry", u.First+" "+u.Last+" resolved the alert")
	}
	return true
}

// Comment says something about an alert, as a user does in the app, also when it is resolved.
func (s *Server) Comment(id, user int64, text string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.alerts[id] == nil {
		return fmt.Errorf("there is no alert %d", id)
	}
	u := s.user(user)
	s.comment(id, "AlertCommentAddedLogEntry", u.First+" "+u.Last, text)
	return nil
}

func (s *Server) comment(id int64, kind, author, text string) {
	verb := "commented"
	if s.switches.Language == "de" {
		verb = "hat kommentiert"
	}
	s.log(id, kind, author+" "+verb+": "+text)
}

// Rename changes the summary: something inside ilert can (AlertSummaryChangedLogEntry), though no client.
func (s *Server) Rename(id int64, summary string) error {
	return s.Edit(id, "AlertSummaryChangedLogEntry", func(a *Alert) { a.Summary = summary })
}

// Edit changes an alert in a way that ilert itself might, and notes it in the log.
func (s *Server) Edit(id int64, kind string, change func(a *Alert)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.alerts[id]
	if a == nil {
		return fmt.Errorf("there is no alert %d", id)
	}
	change(a)
	s.log(id, kind, "changed")
	return nil
}

// Purge takes an alert away for good, as ilert does when the time that it keeps them is over.
func (s *Server) Purge(id int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.alerts, id)
}

// Revoke ends a user's API key.
func (s *Server) Revoke(user int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.users {
		s.users[i].Revoked = s.users[i].Revoked || s.users[i].ID == user
	}
}

// Alter changes a source, as an administrator does.
func (s *Server) Alter(id int64, change func(*Source)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if src := s.source(id); src != nil {
		change(src)
	}
}

// Get returns an alert; ok is false if there is none. Events whose time has come are carried out first.
func (s *Server) Get(id int64) (a Alert, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	if s.alerts[id] == nil {
		return Alert{}, false
	}
	return *s.alerts[id], true
}

// All returns the alerts in the order of their ids.
func (s *Server) All() []Alert {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	var out []Alert
	for _, id := range slices.Sorted(maps.Keys(s.alerts)) {
		out = append(out, *s.alerts[id])
	}
	return out
}

// Log returns the log of an alert, oldest first.
func (s *Server) Log(id int64) []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	return slices.DeleteFunc(slices.Clone(s.entries), func(e Entry) bool { return e.Alert != id })
}

// Journal lists every request so far.
func (s *Server) Journal() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.journal)
}

// Writes counts the requests that were to change something.
func (s *Server) Writes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes
}
