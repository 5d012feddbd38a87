package sim

import (
	"crypto/subtle"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A reply is what is answered. body nil is none.
type reply struct {
	status int
	body   any
	raw    []byte // in place of body
	kind   string // its media type; "" is JSON
}

func failure(status int, message, code string) reply {
	body := map[string]any{"status": status, "message": message}
	if code != "" {
		body["code"] = code
	}
	return reply{status: status, body: body}
}

func notFound() reply { return failure(http.StatusNotFound, "Resource not found", "NOT_FOUND") }

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	content, err := io.ReadAll(io.LimitReader(r.Body, 10<<20))
	s.mu.Lock()
	s.settle()
	out := failure(http.StatusBadRequest, "the request body ended early", "")
	f := s.struck(r)
	if err == nil && (f == nil || f.after) {
		out = s.answer(r, content)
	}
	if f != nil {
		out = f.reply
	}
	s.journal = append(s.journal, Request{r.Method, r.URL.Path, r.URL.RawQuery, out.status, hideKey(content)})
	date := s.now()
	s.mu.Unlock()
	if f != nil && f.reset {
		panic(http.ErrAbortHandler) // which net/http takes as the wish to break the connection
	}
	data, kind := out.raw, out.kind
	if data == nil && out.body != nil {
		if data, err = json.Marshal(out.body); err != nil {
			data, out.status = nil, http.StatusInternalServerError
		}
	}
	if kind == "" {
		kind = "application/json"
	}
	if len(data) > 0 {
		w.Header().Set("Content-Type", kind)
	}
	w.Header().Set("Date", date.Format(http.TimeFormat))
	w.WriteHeader(out.status)
	_, _ = w.Write(data) // a client that went away is its own business
}

// hideKey takes the integration key out of an event, for the journal.
func hideKey(content []byte) string {
	var m map[string]json.RawMessage
	if json.Unmarshal(content, &m) != nil || m["integrationKey"] == nil {
		return string(content)
	}
	m["integrationKey"] = json.RawMessage(`"…"`)
	out, err := json.Marshal(m)
	if err != nil {
		return ""
	}
	return string(out)
}

func (s *Server) answer(r *http.Request, content []byte) reply {
	at, ok := strings.CutPrefix(r.URL.Path, "/api/")
	if !ok {
		return notFound()
	}
	if r.Method != http.MethodGet {
		s.writes++
	}
	if r.Method == http.MethodPost && at == "events" {
		return s.takeEvent(content)
	}
	u, refused := s.login(r)
	if refused != nil {
		return *refused
	}
	if s.limited(u.APIKey, keyLimit) {
		return failure(http.StatusTooManyRequests, "Too many requests", "")
	}
	parts := strings.Split(at, "/")
	switch {
	case at == "users/current" && r.Method == http.MethodGet:
		return reply{status: http.StatusOK, body: map[string]any{"id": u.ID, "firstName": u.First, "lastName": u.Last, "email": u.Email, "role": u.Role}}
	case parts[0] == "alert-sources":
		return s.serveSources(r, u, parts[1:])
	case at == "alerts" && r.Method == http.MethodGet:
		return s.list(r, u)
	case at == "alerts" && r.Method == http.MethodPost:
		return s.create(content, u)
	case at == "alerts/count" && r.Method == http.MethodGet:
		found, refused := s.selected(r, u)
		if refused != nil {
			return *refused
		}
		return reply{status: http.StatusOK, body: map[string]any{"count": len(found)}}
	case parts[0] == "alerts" && len(parts) <= 3 && len(parts) > 1:
		return s.serveAlert(r, u, parts[1:])
	}
	return notFound()
}

// login finds the user of an API key.
func (s *Server) login(r *http.Request) (User, *reply) {
	header := r.Header.Get("Authorization")
	if header == "" {
		out := failure(http.StatusUnauthorized, "Authorization header is missing", "")
		return User{}, &out
	}
	key, _ := strings.CutPrefix(header, "Bearer ")
	for _, u := range s.users {
		if !u.Revoked && subtle.ConstantTimeCompare([]byte(key), []byte(u.APIKey)) == 1 {
			return u, nil
		}
	}
	out := failure(http.StatusForbidden, "The provided API key is not valid", "KEY_ERROR")
	return User{}, &out
}

// What a key may ask in a minute, which begins with the clock's.
const (
	keyLimit    = 120
	sourceLimit = 50
)

// limited counts a request and says whether it is one too many.
func (s *Server) limited(key string, most int) bool {
	if minute := s.now().Unix() / 60; minute != s.minute {
		s.minute = minute
		clear(s.calls)
	}
	s.calls[key]++
	return !s.switches.RateOff && s.calls[key] > most
}

func (s *Server) sees(u User, source int64) bool {
	src := s.source(source)
	return src == nil || u.Team == 0 || src.Team == 0 || src.Team == u.Team
}

func (s *Server) serveAlert(r *http.Request, u User, parts []string) reply {
	id, err := strconv.ParseInt(parts[0], 10, 64)
	a := s.alerts[id]
	if err != nil || a == nil || !s.sees(u, a.Source) {
		return notFound()
	}
	what := r.Method + " "
	if len(parts) > 1 {
		what += parts[1]
	}
	switch what {
	case "GET ":
		return reply{status: http.StatusOK, body: s.wire(a, true)}
	case "GET log-entries":
		return s.logEntries(r, a.ID)
	case "PUT accept", "PUT resolve":
		status := accepted
		if parts[1] == "resolve" {
			status = resolved
		}
		if !s.lead(a, status, u.ID) && !(s.switches.AgainOK && a.Status == status) {
			return failure(http.StatusBadRequest, "Alert is already "+strings.ToLower(a.Status), "")
		}
		return reply{status: http.StatusOK, body: s.wire(a, true)}
	}
	return failure(http.StatusMethodNotAllowed, "Method not allowed", "")
}

func number(s string, otherwise int) (int, bool) {
	if s == "" {
		return otherwise, true
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= 0
}

// page cuts what a request asks for out of a list. More than the most is refused, not cut.
func page[T any](r *http.Request, list []T, usual, most int) ([]T, *reply) {
	q := r.URL.Query()
	start, ok1 := number(q.Get("start-index"), 0)
	n, ok2 := number(q.Get("max-results"), usual)
	if !ok1 || !ok2 || n > most || n == 0 {
		out := failure(http.StatusBadRequest, "max-results must be between 1 and "+strconv.Itoa(most), "")
		return nil, &out
	}
	start = min(start, len(list))
	return list[start:min(start+n, len(list))], nil
}

// selected are the alerts that a request asks for, in the order of the switch.
func (s *Server) selected(r *http.Request, u User) ([]*Alert, *reply) {
	q := r.URL.Query()
	var bounds [2]time.Time
	for i, name := range []string{"from", "until"} {
		if v := q.Get(name); v != "" {
			t, err := time.Parse(time.RFC3339, v)
			if err != nil {
				out := failure(http.StatusBadRequest, name+" is not a date", "")
				return nil, &out
			}
			bounds[i] = t
		}
	}
	in := func(name, v string) bool { return !q.Has(name) || slices.Contains(q[name], v) }
	var found []*Alert
	for _, a := range s.alerts {
		if s.sees(u, a.Source) && in("states", a.Status) && in("sources", strconv.FormatInt(a.Source, 10)) && in("policies", policyID) &&
			(!q.Has("responders") || a.AcceptedBy != 0 && slices.Contains(q["responders"], strconv.FormatInt(a.AcceptedBy, 10))) &&
			(bounds[0].IsZero() || !a.Reported.Before(bounds[0])) && (bounds[1].IsZero() || !a.Reported.After(bounds[1])) {
			found = append(found, a)
		}
	}
	slices.SortFunc(found, func(a, b *Alert) int {
		if s.switches.OldestFirst {
			return int(a.ID - b.ID)
		}
		return int(b.ID - a.ID)
	})
	return found, nil
}

func (s *Server) list(r *http.Request, u User) reply {
	found, refused := s.selected(r, u)
	if refused != nil {
		return *refused
	}
	most := 100
	if s.switches.MaxResults > 0 {
		most = s.switches.MaxResults
	}
	found, refused = page(r, found, 50, most)
	if refused != nil {
		return *refused
	}
	out := []any{}
	for _, a := range found {
		out = append(out, s.wire(a, false))
	}
	return reply{status: http.StatusOK, body: out}
}

func (s *Server) serveSources(r *http.Request, u User, parts []string) reply {
	show := func(src Source) map[string]any {
		m := map[string]any{"id": src.ID, "name": src.Name, "integrationType": src.Kind, "active": !src.Off, "status": "ALL_RESOLVED",
			"alertPriorityRule": src.Rule, "alertCreation": src.Creation}
		if src.Rule == "" {
			m["alertPriorityRule"] = "HIGH"
		}
		if slices.Contains(r.URL.Query()["include"], "integrationKey") {
			m["integrationKey"] = nil
			if !u.NoKeys {
				m["integrationKey"] = src.Key
			}
		}
		return m
	}
	if r.Method != http.MethodGet || len(parts) > 1 {
		return failure(http.StatusMethodNotAllowed, "Method not allowed", "")
	}
	var seen []Source
	for _, src := range s.sources {
		if s.sees(u, src.ID) {
			seen = append(seen, src)
		}
	}
	if len(parts) == 1 {
		for _, src := range seen {
			if strconv.FormatInt(src.ID, 10) == parts[0] {
				return reply{status: http.StatusOK, body: show(src)}
			}
		}
		return notFound()
	}
	seen, refused := page(r, seen, 50, 50)
	if refused != nil {
		return *refused
	}
	out := []any{}
	for _, src := range seen {
		out = append(out, show(src))
	}
	return reply{status: http.StatusOK, body: out}
}

func (s *Server) logEntries(r *http.Request, alert int64) reply {
	var found []Entry
	kinds := r.URL.Query()["filter-types"]
	for _, e := range s.entries {
		if e.Alert == alert && (len(kinds) == 0 || slices.Contains(kinds, filterOf(e.Type))) {
			found = append(found, e)
		}
	}
	if !s.switches.OldestFirst {
		slices.Reverse(found)
	}
	found, refused := page(r, found, 50, 100)
	if refused != nil {
		return *refused
	}
	out := []any{}
	for _, e := range found {
		out = append(out, map[string]any{"id": e.ID, "timestamp": s.stamp(e.ID, e.Time), "logEntryType": e.Type, "text": e.Text, "alertId": alert,
			"filterTypes": []string{filterOf(e.Type)}})
	}
	return reply{status: http.StatusOK, body: out}
}

// filterOf is the kind of entries that a type belongs to.
func filterOf(kind string) string {
	if kind == "AlertReceivedLogEntry" {
		return "ALERT_SOURCE_EVENTS"
	}
	return "ALERT_UPDATES"
}
