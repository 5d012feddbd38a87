package sim

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ExternalOwner is the one external ticketing system that today's Ticketing knows of.
const ExternalOwner = "ServiceNow"

// SDMType is the one type of ticket of today's Ticketing.
const SDMType = "Generic Issue"

// An SDMTicket is one of today's Ticketing, which the switch generation=sdm turns on.
type SDMTicket struct {
	GUID     string
	Number   string
	Fields   map[string]string // by the names that the bridge has for them, and external.OWNER; those that are not empty; times in milliseconds
	Alarm    string            // key of the alarm that it is about; ""
	Created  time.Time
	Modified time.Time
	By       string // who changed it last
	Notes    []SDMNote
}

// An SDMNote is a note of such a ticket.
type SDMNote struct {
	ID, Text, Author string
	At               time.Time
}

// sdmValues are the enumerations of the solution.
var sdmValues = map[string][]string{
	"state":    {"acknowledged", "inProgress", "rejected", "resolved", "cancelled", "closed", "pending", "held"},
	"priority": {"critical", "high", "medium", "low"},
	"severity": {"critical", "major", "minor"},
	"type":     {SDMType},
}

// sdmFields can be written, beside external.OWNER.
var sdmFields = []string{"name", "description", "type", "state", "priority", "severity", "requested_resolution", "expected_resolution"}

// AddSDMTicket makes a ticket as an operator does, about an alarm where alarm is not "", and returns its key.
func (s *Server) AddSDMTicket(fields map[string]string, alarm string) (key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newSDM(fields, alarm, "operator").GUID
}

func (s *Server) newSDM(fields map[string]string, alarm, by string) *SDMTicket {
	n := len(s.sdm) + 1
	t := &SDMTicket{GUID: fmt.Sprintf("9b2f0c52-6b3d-4a35-8a6b-%012x", n), Number: fmt.Sprintf("TICKET-%06d", n), Alarm: alarm, Created: s.now(),
		Fields: map[string]string{"state": "acknowledged", "priority": "low", "severity": "minor", "type": SDMType}}
	s.sdm = append(s.sdm, t)
	s.changeSDM(t, fields, by)
	return t
}

// changeSDM sets fields; "" clears. No two changes of a ticket have the same time.
func (s *Server) changeSDM(t *SDMTicket, fields map[string]string, by string) {
	maps.Copy(t.Fields, fields)
	maps.DeleteFunc(t.Fields, func(_, v string) bool { return v == "" })
	t.By = by
	if now := s.now(); now.After(t.Modified) {
		t.Modified = now
	} else {
		t.Modified = t.Modified.Add(time.Millisecond)
	}
}

func (s *Server) sdmTicket(key string) *SDMTicket {
	i := slices.IndexFunc(s.sdm, func(t *SDMTicket) bool { return t != nil && t.GUID == key })
	if i < 0 {
		return nil
	}
	return s.sdm[i]
}

// EditSDMTicket changes fields as an operator does; "" clears.
func (s *Server) EditSDMTicket(key string, fields map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.sdmTicket(key); t != nil {
		s.changeSDM(t, fields, "operator")
	}
}

// RemoveSDMTicket deletes a ticket.
func (s *Server) RemoveSDMTicket(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removeSDM(key)
}

func (s *Server) removeSDM(key string) {
	for i, t := range s.sdm {
		if t != nil && t.GUID == key {
			s.sdm[i] = nil
		}
	}
}

// NoteSDMTicket adds a note as a user does.
func (s *Server) NoteSDMTicket(key, author, text string) (id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.sdmTicket(key); t != nil {
		return s.note(t, author, text).ID
	}
	return ""
}

func (s *Server) note(t *SDMTicket, author, text string) SDMNote {
	s.lastNote++
	n := SDMNote{fmt.Sprintf("7c1e0a11-0000-4000-8000-%012x", s.lastNote), text, author, s.now()}
	t.Notes = append(t.Notes, n)
	return n
}

// SDMTickets returns all of them in the order they were made.
func (s *Server) SDMTickets() []SDMTicket {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []SDMTicket
	for _, t := range s.sdm {
		if t != nil {
			c := *t
			c.Fields, c.Notes = maps.Clone(t.Fields), slices.Clone(t.Notes)
			out = append(out, c)
		}
	}
	return out
}

// ticketing answers for the second script. It is not there on a system without today's Ticketing.
func (s *Server) ticketing(r *http.Request, route string, body []byte) (int, any) {
	missing := func() (int, any) {
		return http.StatusNotFound, complain(5, "no API definition for "+route)
	}
	if s.switches["generation"] != "sdm" {
		return missing()
	}
	switch r.Method + " " + route {
	case "GET fieldsync/ticketing":
		return http.StatusOK, map[string]any{"contract": 1, "timeUTC": s.now().UnixMilli(), "types": []string{SDMType}, "owners": []string{ExternalOwner}}
	case "POST fieldsync/tickets":
		return s.listSDM(body)
	case "POST fieldsync/ticket", "PUT fieldsync/ticket", "DELETE fieldsync/ticket":
		return s.writeSDM(r, body)
	case "POST fieldsync/notes":
		return s.listNotes(body)
	case "POST fieldsync/note":
		return s.addNote(body)
	}
	return missing()
}

func (s *Server) wireSDM(t *SDMTicket) map[string]any {
	ms := func(name string) any {
		n, err := strconv.ParseInt(t.Fields[name], 10, 64)
		if err != nil {
			return nil
		}
		return n
	}
	owned, links := []any{}, []any{}
	if id := t.Fields["external."+ExternalOwner]; id != "" {
		owned = append(owned, map[string]string{"owner": ExternalOwner, "id": id})
	}
	if a := s.alarms[t.Alarm]; a != nil {
		w := a.wire()
		links = append(links, map[string]string{"type": "alarm", "id": a.Key}, map[string]string{"type": "element", "id": fmt.Sprintf("%d/%d", w.DMA, w.Element)})
	}
	return map[string]any{
		"guid": t.GUID, "id": t.Number, "name": t.Fields["name"], "description": t.Fields["description"], "type": t.Fields["type"], "state": t.Fields["state"],
		"priority": t.Fields["priority"], "severity": t.Fields["severity"], "requestedResolution": ms("requested_resolution"), "expectedResolution": ms("expected_resolution"),
		"createdAt": t.Created.UnixMilli(), "createdBy": "operator", "modifiedAt": t.Modified.UnixMilli(), "modifiedBy": t.By, "external": owned, "links": links,
	}
}

func (t *SDMTicket) position() string { return fmt.Sprintf("%015d/%s", t.Modified.UnixMilli(), t.GUID) }

// is reports whether a ticket has one of some values in a path.
func (t *SDMTicket) is(path string, values []string) bool {
	v := t.Fields[path]
	if path == "number" {
		v = t.Number
	}
	return v != "" && slices.Contains(values, v)
}

func (s *Server) listSDM(body []byte) (int, any) {
	var q struct {
		Since       int64
		IDs, Values []string
		Path, After string
		Limit       int
	}
	if err := json.Unmarshal(body, &q); err != nil || q.Limit < 1 || q.Limit > 1000 {
		return http.StatusBadRequest, complain(0, "limit: write a number from 1 to 1000")
	}
	var found []*SDMTicket
	for _, t := range s.sdm {
		switch {
		case t == nil, t.Modified.UnixMilli() < q.Since, q.IDs != nil && !slices.Contains(q.IDs, t.GUID), t.position() <= q.After, q.Path != "" && !t.is(q.Path, q.Values):
		default:
			found = append(found, t)
		}
	}
	slices.SortFunc(found, func(a, b *SDMTicket) int { return cmp.Compare(a.position(), b.position()) })
	next := ""
	if len(found) > q.Limit {
		found = found[:q.Limit]
		next = found[q.Limit-1].position()
	}
	page := []any{}
	for _, t := range found {
		page = append(page, s.wireSDM(t))
	}
	return http.StatusOK, map[string]any{"tickets": page, "next": next, "asOf": s.now().UnixMilli()}
}

func (s *Server) writeSDM(r *http.Request, body []byte) (int, any) {
	t := s.sdmTicket(r.URL.Query().Get("id"))
	if r.Method != http.MethodPost && t == nil {
		return http.StatusNotFound, complain(0, "ticket not found")
	}
	if r.Method == http.MethodDelete {
		s.removeSDM(t.GUID)
		s.writes++
		return http.StatusNoContent, nil
	}
	var in struct{ Set map[string]any }
	if err := json.Unmarshal(body, &in); err != nil || in.Set == nil {
		return http.StatusBadRequest, complain(0, "set is missing")
	}
	fields := map[string]string{}
	for _, path := range slices.Sorted(maps.Keys(in.Set)) {
		owner, owned := strings.CutPrefix(path, "external.")
		text := ""
		switch v := in.Set[path].(type) {
		case string:
			text = v
		case float64:
			text = strconv.FormatInt(int64(v), 10)
		}
		switch {
		case owned && owner != ExternalOwner:
			return http.StatusBadRequest, complain(0, "external owner not defined: "+owner)
		case !owned && !slices.Contains(sdmFields, path):
			return http.StatusBadRequest, complain(0, path+" cannot be written")
		case sdmValues[path] != nil && !slices.Contains(sdmValues[path], text):
			return http.StatusBadRequest, complain(0, fmt.Sprintf("%s has no value %q", path, text))
		}
		fields[path] = text
	}
	name, given := fields["name"]
	if given && name == "" || !given && t == nil {
		return http.StatusBadRequest, complain(0, "name is missing")
	}
	s.writes++
	if t == nil {
		return http.StatusCreated, s.wireSDM(s.newSDM(fields, "", "SYSTEM"))
	}
	s.changeSDM(t, fields, "SYSTEM")
	return http.StatusOK, s.wireSDM(t)
}

func wireNote(t *SDMTicket, n SDMNote) map[string]any {
	return map[string]any{"id": n.ID, "ticket": t.GUID, "text": n.Text, "author": n.Author, "at": n.At.UnixMilli()}
}

func (s *Server) listNotes(body []byte) (int, any) {
	var q struct {
		Tickets []string
		Since   int64
		After   string
		Limit   int
	}
	if err := json.Unmarshal(body, &q); err != nil || q.Limit < 1 || q.Limit > 1000 {
		return http.StatusBadRequest, complain(0, "limit: write a number from 1 to 1000")
	}
	type found struct {
		position string
		wire     map[string]any
	}
	var all []found
	for _, t := range s.sdm {
		if t == nil || q.Tickets != nil && !slices.Contains(q.Tickets, t.GUID) {
			continue
		}
		for _, n := range t.Notes {
			position := fmt.Sprintf("%015d/%s", n.At.UnixMilli(), n.ID)
			if n.At.UnixMilli() >= q.Since && position > q.After {
				all = append(all, found{position, wireNote(t, n)})
			}
		}
	}
	slices.SortFunc(all, func(a, b found) int { return cmp.Compare(a.position, b.position) })
	next := ""
	if len(all) > q.Limit {
		all = all[:q.Limit]
		next = all[q.Limit-1].position
	}
	page := []any{}
	for _, n := range all {
		page = append(page, n.wire)
	}
	return http.StatusOK, map[string]any{"notes": page, "next": next}
}

func (s *Server) addNote(body []byte) (int, any) {
	var in struct{ Ticket, Text string }
	if err := json.Unmarshal(body, &in); err != nil || in.Text == "" {
		return http.StatusBadRequest, complain(0, "text is missing")
	}
	t := s.sdmTicket(in.Ticket)
	if t == nil {
		return http.StatusNotFound, complain(0, "ticket not found")
	}
	s.writes++
	return http.StatusCreated, wireNote(t, s.note(t, "SYSTEM", in.Text))
}
