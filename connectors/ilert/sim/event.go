package sim

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

// queued is an event that was taken and is carried out later.
type queued struct {
	due    time.Time
	source int64
	event  event
}

type event struct {
	Key       string            `json:"integrationKey"`
	Type      string            `json:"eventType"`
	AlertKey  string            `json:"alertKey"`
	Summary   string            `json:"summary"`
	Details   string            `json:"details"`
	Priority  string            `json:"priority"`
	Severity  int               `json:"severity"`
	Labels    map[string]string `json:"labels"`
	Links     []Link            `json:"links"`
	Comments  []struct{ Creator, Content string }
	OldAPIKey string `json:"apiKey"`
}

// takeEvent answers an event. That it is carried out, or dropped by a filter, nobody is told.
func (s *Server) takeEvent(content []byte) reply {
	var e event
	if err := json.Unmarshal(content, &e); err != nil {
		return failure(http.StatusBadRequest, "the body is not an event", "")
	}
	if e.Key == "" {
		e.Key = e.OldAPIKey
	}
	i := slices.IndexFunc(s.sources, func(src Source) bool { return src.Key == e.Key && !src.Off })
	switch {
	case i < 0:
		return failure(http.StatusForbidden, "integrationKey is not valid", "")
	case s.limited(e.Key, sourceLimit):
		return failure(http.StatusTooManyRequests, "Too many requests", "")
	case !slices.Contains([]string{"ALERT", "ACCEPT", "RESOLVE", "COMMENT"}, e.Type):
		return failure(http.StatusBadRequest, "eventType is not known", "")
	case e.Summary == "":
		return failure(http.StatusBadRequest, "summary is required", "")
	}
	s.queue = append(s.queue, queued{due: s.now().Add(s.switches.EventDelay), source: s.sources[i].ID, event: e})
	s.settle()
	if s.switches.EventBody {
		return reply{status: http.StatusOK, body: map[string]any{"responseCode": "NEW_ALERT_CREATED", "alertKey": e.AlertKey}}
	}
	return reply{status: http.StatusAccepted}
}

// settle carries out the events whose time has come.
func (s *Server) settle() {
	now := s.now()
	s.queue = slices.DeleteFunc(s.queue, func(q queued) bool {
		if q.due.After(now) {
			return false
		}
		s.carryOut(s.source(q.source), q.event)
		return true
	})
}

// match is the last open alert of a source with a key: trimmed, and without case.
func (s *Server) match(source int64, key string) *Alert {
	key = strings.TrimSpace(key)
	var last *Alert
	for _, a := range s.alerts {
		if key != "" && a.Source == source && a.Status != resolved && strings.EqualFold(a.Key, key) && (last == nil || a.ID > last.ID) {
			last = a
		}
	}
	return last
}

// group is the alert that a source's grouping puts an event into, whatever its key.
func (s *Server) group(src *Source) *Alert {
	states := map[string][]string{"ONE_PENDING_ALERT_ALLOWED": {pending}, "ONE_OPEN_ALERT_ALLOWED": {pending, accepted}}[src.Creation]
	var last *Alert
	for _, a := range s.alerts {
		if a.Source == src.ID && slices.Contains(states, a.Status) && (last == nil || a.ID > last.ID) {
			last = a
		}
	}
	return last
}

func (s *Server) carryOut(src *Source, e event) {
	if src == nil || src.Drops {
		return
	}
	a := s.match(src.ID, e.AlertKey)
	switch e.Type {
	case "ALERT":
		if a == nil {
			a = s.group(src)
		}
		if a != nil {
			s.log(a.ID, "AlertReceivedLogEntry", "Event received: "+e.Summary)
			break
		}
		made := Alert{Source: src.ID, Summary: e.Summary, Details: e.Details, Severity: e.Severity, Key: e.AlertKey, Labels: e.Labels, Links: e.Links}
		if src.Kind == "GRAFANA" || src.Kind == "SERVICENOW" || src.Rule == "" || src.Rule == "HIGH" {
			made.Priority = e.Priority
		}
		a = s.raise(made)
	case "ACCEPT", "RESOLVE":
		if a != nil {
			s.lead(a, map[string]string{"ACCEPT": accepted, "RESOLVE": resolved}[e.Type], 0)
		}
	}
	for _, c := range e.Comments {
		if a != nil {
			s.comment(a.ID, "AlertCommentAddedBySystemLogEntry", c.Creator, c.Content)
		}
	}
}

// create makes an alert at once: by hand, without a key.
func (s *Server) create(content []byte, u User) reply {
	var in struct {
		Summary  string `json:"summary"`
		Details  string `json:"details"`
		Priority string `json:"priority"`
		Source   struct {
			ID int64 `json:"id"`
		} `json:"alertSource"`
		Links []Link `json:"links"`
	}
	if err := json.Unmarshal(content, &in); err != nil || in.Summary == "" || s.source(in.Source.ID) == nil || !s.sees(u, in.Source.ID) {
		return failure(http.StatusBadRequest, "summary and alertSource are required", "")
	}
	a := s.raise(Alert{Summary: in.Summary, Details: in.Details, Priority: in.Priority, Source: in.Source.ID, Links: in.Links})
	return reply{status: http.StatusCreated, body: s.wire(a, true)}
}
