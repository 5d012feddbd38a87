package sim

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// TicketType is the name of the one type that the Ticketing app has.
const TicketType = "Incident"

const ticketTypeID = "0f5a9f0a-6c1f-4f1a-8a5e-6c1d2b7b2f10"

// A Ticket is one of the legacy Ticketing app.
type Ticket struct {
	ID      int64
	Fields  map[string]string // what people see, by name; those that are not empty
	Alarm   string            // key of the alarm that it is linked to; ""
	Links   map[string]string // keys of the other objects that it is linked to, by kind
	Created time.Time
}

// closedState is the state that closes a ticket.
const closedState = "Closed"

// ticketFields are those of the type. Deadline shows why texts of times are not read.
var ticketFields = []struct {
	name, kind string
	required   bool
	values     []string
}{
	{"Title", "Text", true, nil},
	{"State", "State", true, []string{"New", "In Progress", "Pending", "Resolved", closedState}},
	{"Priority", "DropDown", false, []string{"Critical", "High", "Medium", "Low"}},
	{"Description", "Text", false, nil},
	{"External ID", "Text", false, nil},
	{"Assigned to", "Text", false, nil},
	{"Deadline", "DateTime", false, nil},
}

// AddTicket makes a ticket as an operator does, linked to an alarm where alarm is not "", and returns its key.
func (s *Server) AddTicket(fields map[string]string, alarm string) (key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return keyOf(Element, s.newTicket(fields, alarm).ID)
}

func (s *Server) newTicket(fields map[string]string, alarm string) *Ticket {
	t := &Ticket{ID: int64(len(s.tickets)) + 41, Fields: maps.Clone(fields), Alarm: alarm, Created: s.now()}
	s.tickets = append(s.tickets, t)
	return t
}

func (s *Server) ticket(id int64) *Ticket {
	i := slices.IndexFunc(s.tickets, func(t *Ticket) bool { return t != nil && t.ID == id })
	if i < 0 {
		return nil
	}
	return s.tickets[i]
}

func (s *Server) ticketByKey(key string) *Ticket {
	i := slices.IndexFunc(s.tickets, func(t *Ticket) bool { return t != nil && keyOf(Element, t.ID) == key })
	if i < 0 {
		return nil
	}
	return s.tickets[i]
}

// LinkTicket links a ticket to an element, a service or a view.
func (s *Server) LinkTicket(key, kind, object string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.ticketByKey(key); t != nil {
		t.Links = maps.Clone(t.Links)
		if t.Links == nil {
			t.Links = map[string]string{}
		}
		t.Links[kind] = object
	}
}

// EditTicket changes fields as an operator does; "" clears.
func (s *Server) EditTicket(key string, fields map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.ticketByKey(key); t != nil {
		maps.Copy(t.Fields, fields)
	}
}

// RemoveTicket deletes a ticket; its number is not used again.
func (s *Server) RemoveTicket(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, t := range s.tickets {
		if t != nil && keyOf(Element, t.ID) == key {
			s.tickets[i] = nil
		}
	}
}

// Tickets returns all tickets in the order they were made.
func (s *Server) Tickets() []Ticket {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Ticket
	for _, t := range s.tickets {
		if t != nil {
			c := *t
			c.Fields, c.Links = maps.Clone(t.Fields), maps.Clone(t.Links)
			out = append(out, c)
		}
	}
	return out
}

// active is what the app calls so: not closed, or linked to an alarm that is still there.
func (s *Server) active(t *Ticket) bool {
	a := s.alarms[t.Alarm]
	return t.Fields["State"] != closedState || a != nil && !a.Cleared
}

func (s *Server) dmaTicket(t *Ticket) map[string]any {
	fields := []any{}
	for _, f := range ticketFields {
		text := t.Fields[f.name]
		if text == "" {
			continue
		}
		var value any
		if i := slices.Index(f.values, text); i >= 0 {
			value = i
		}
		fields = append(fields, map[string]any{"DisplayName": f.name, "Name": f.name, "Value": value, "DisplayValue": text, "Type": f.kind})
	}
	links := []any{}
	if a := s.alarms[t.Alarm]; a != nil {
		w := a.wire()
		links = append(links, map[string]any{"Name": "Alarm", "DisplayName": "Alarm", "Values": []any{map[string]any{"Type": "Alarm", "Value": []int64{int64(w.DMA), s.linked(a)}}}})
		if s.switches["link"] != "root-alone" {
			links = append(links, map[string]any{"Name": "Element", "DisplayName": "Element", "Values": []any{map[string]any{"Type": "Element", "Value": []int{w.DMA, w.Element}}}})
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(t.Links)) {
		if o := s.object(kind, t.Links[kind]); o != nil {
			name := strings.ToUpper(kind[:1]) + kind[1:]
			links = append(links, map[string]any{"Name": name, "DisplayName": name, "Values": []any{map[string]any{"Type": name, "Value": []int64{agent, o.ID}}}})
		}
	}
	return map[string]any{"__type": "Skyline.DataMiner.Web.Common.v1.DMATicket", "DataMinerID": agent, "ID": t.ID, "UID": fmt.Sprintf("5c2f7f0e-3f6a-4b0e-9a39-%012x", t.ID),
		"TicketTypeID": ticketTypeID, "TimeCreatedUTC": t.Created.UnixMilli(), "StateColor": "#FF8000", "IsClosed": t.Fields["State"] == closedState, "Fields": fields, "LinkFields": links}
}

// linked is the number by which a ticket names its alarm.
func (s *Server) linked(a *Alarm) int64 {
	if s.switches["link"] == "record" {
		return a.Record
	}
	return int64(a.wire().Root)
}

func (s *Server) ticketTypes(arguments) (int, any) {
	return http.StatusOK, []any{map[string]any{"Name": TicketType, "ID": ticketTypeID, "IsMasked": false, "UsedExternal": false},
		map[string]any{"Name": "Old", "ID": "0f5a9f0a-6c1f-4f1a-8a5e-6c1d2b7b2f11", "IsMasked": true, "UsedExternal": false}}
}

func (s *Server) fieldsOfType(a arguments) (int, any) {
	if a.text("ticketTypeID") != ticketTypeID {
		return s.absent("The ticket type")
	}
	own := []any{}
	for _, f := range ticketFields {
		values := []any{}
		for i, v := range f.values {
			values = append(values, map[string]any{"Display": v, "Value": i})
		}
		own = append(own, map[string]any{"Name": f.name, "DisplayName": f.name, "Type": f.kind, "IsRequired": f.required, "PossibleValues": values, "DefaultValue": nil})
	}
	return http.StatusOK, map[string]any{"Fields": own, "ExternalFields": []any{}}
}

// pageOf answers with a page of tickets, newest first.
func (s *Server) pageOf(a arguments, has func(*Ticket) bool) (int, any) {
	var found []*Ticket
	for _, t := range s.tickets {
		if t != nil && has(t) {
			found = append(found, t)
		}
	}
	slices.SortFunc(found, func(a, b *Ticket) int { return cmp.Compare(b.ID, a.ID) })
	from := min(int(a.number("pageNumber")*a.number("count")), len(found))
	to := min(from+int(a.number("count")), len(found))
	tickets := []any{}
	for _, t := range found[from:to] {
		tickets = append(tickets, s.dmaTicket(t))
	}
	return http.StatusOK, map[string]any{"Tickets": tickets, "HasNextPage": to < len(found), "PageSessionID": "", "TotalTicketsCount": -1}
}

func (s *Server) activeTickets(a arguments) (int, any) {
	status, out := s.pageOf(a, s.active)
	if s.slide != nil && a.number("pageNumber") == 0 {
		s.slide()
		s.slide = nil
	}
	return status, out
}

// Slide closes a ticket right after the first page of active tickets was read, so that the pages behind it begin later.
func (s *Server) Slide(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slide = func() { s.ticketByKey(key).Fields["State"] = closedState }
}

func (s *Server) historyTickets(a arguments) (int, any) {
	return s.pageOf(a, func(t *Ticket) bool {
		ms := t.Created.UnixMilli()
		return !s.active(t) && ms >= a.number("utcStartTime") && ms <= a.number("utcEndTime")
	})
}

func (s *Server) getTicket(a arguments) (int, any) {
	t := s.ticket(a.number("ticketID"))
	if t == nil {
		return s.absent("The ticket")
	}
	return http.StatusOK, s.dmaTicket(t)
}

// sent reads a ticket that a client sends. Its fields are all there is afterwards.
func (s *Server) sent(a arguments) (id int64, fields map[string]string, problem string) {
	var in struct {
		DataMinerID, ID int64
		TicketTypeID    string
		Fields          []struct {
			Name, DisplayValue string
			Value              any
		}
	}
	if err := json.Unmarshal(a["ticket"], &in); err != nil {
		return 0, nil, "Invalid ticket: " + err.Error()
	}
	if in.TicketTypeID != ticketTypeID {
		return 0, nil, "The ticket type does not exist"
	}
	fields = map[string]string{}
	for _, v := range in.Fields {
		i := slices.IndexFunc(ticketFields, func(f struct {
			name, kind string
			required   bool
			values     []string
		}) bool {
			return f.name == v.Name
		})
		switch {
		case i < 0:
			return 0, nil, "The field " + v.Name + " does not exist"
		case v.DisplayValue != "" && ticketFields[i].values != nil && v.Value != float64(slices.Index(ticketFields[i].values, v.DisplayValue)):
			return 0, nil, "The value and the text of " + v.Name + " do not belong together"
		}
		fields[v.Name] = v.DisplayValue
	}
	for _, f := range ticketFields {
		if f.required && fields[f.name] == "" {
			return 0, nil, "The field " + f.name + " is required"
		}
	}
	return in.ID, fields, ""
}

func (s *Server) createTicket(a arguments) (int, any) {
	_, fields, problem := s.sent(a)
	if slices.Contains(s.denied, "TicketsAddTicket") {
		problem = "The user may not add tickets"
	}
	if problem != "" {
		return s.fails("WebApiException", problem)
	}
	t := s.newTicket(fields, "")
	s.writes++
	return http.StatusOK, []any{agent, t.ID, s.dmaTicket(t)["UID"]}
}

func (s *Server) updateTicket(a arguments) (int, any) {
	id, fields, problem := s.sent(a)
	t := s.ticket(id)
	if slices.Contains(s.denied, "TicketsEditTicket") {
		problem = "The user may not edit tickets"
	}
	if t == nil {
		problem = cmp.Or(problem, "The ticket does not exist")
	}
	if problem != "" {
		return s.fails("WebApiException", problem)
	}
	t.Fields = fields
	s.writes++
	return http.StatusOK, nil
}

func (s *Server) removeTicket(a arguments) (int, any) {
	i := slices.IndexFunc(s.tickets, func(t *Ticket) bool { return t != nil && t.ID == a.number("ticketID") })
	switch {
	case slices.Contains(s.denied, "TicketsDeleteTicket"):
		return s.fails("WebApiException", "The user may not delete tickets")
	case i < 0:
		return s.fails("WebApiException", "The ticket does not exist")
	}
	s.tickets[i] = nil
	s.writes++
	return http.StatusOK, nil
}
