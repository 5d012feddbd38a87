package dataminer

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A ticketType is what the app calls a domain: a name and its fields.
type ticketType struct {
	id, name string
	fields   map[string]ticketField
}

// ticketField is DMATicketField as far as it is read.
type ticketField struct {
	Name, DisplayName string
	Type              string
	PossibleValues    []possible
	IsRequired        bool
}

// possible is one value of an enumeration: what people see and what is stored.
type possible struct {
	Display string
	Value   json.RawMessage
}

// readable reports whether the text of a field is what it says. That of a DateTime has no published form, and is in the Agent's
// own zone.
func (f ticketField) readable() bool { return f.Type != "DateTime" }

func (f ticketField) writable() bool { return f.readable() && f.Type != "DataMiner Object" }

// value reads a field of a ticket. One that is defined and not on the ticket is null, one that is not defined absent.
func (k *ticketType) value(t *ticket, path string) record.Value {
	f, defined := k.fields[path]
	for _, v := range t.Fields {
		if v.Name != path {
			continue
		}
		if !f.readable() || v.Type == "DateTime" {
			return record.UnknownValue
		}
		return textOrNull(v.DisplayValue)
	}
	switch {
	case !defined:
		return record.Value{}
	case !f.readable():
		return record.UnknownValue
	}
	return record.NullValue
}

// kindOf finds the type that the settings name and its fields, once.
func (c *Tickets) kindOf(ctx context.Context, op string) (*ticketType, error) {
	c.mu.Lock()
	k := c.kind
	c.mu.Unlock()
	if k != nil {
		return k, nil
	}
	return c.learn(ctx, op)
}

// learn asks for the type and its fields again: somebody may have changed them.
func (c *Tickets) learn(ctx context.Context, op string) (*ticketType, error) {
	types, err := list[struct {
		Name, ID string
		IsMasked bool
	}](ctx, c.web, op, "GetTicketTypes", nil)
	if err != nil {
		return nil, err
	}
	var all []string
	var chosen []*ticketType
	for _, t := range types {
		if t.IsMasked && c.name == "" {
			continue
		}
		all = append(all, t.Name)
		if c.name == "" || t.Name == c.name || strings.EqualFold(t.ID, c.name) {
			chosen = append(chosen, &ticketType{id: t.ID, name: t.Name, fields: map[string]ticketField{}})
		}
	}
	if len(chosen) != 1 {
		slices.Sort(all)
		e := &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: fmt.Sprintf("there is no ticket type %q", c.name), Hint: "there are " + strings.Join(all, ", ")}
		if c.name == "" {
			e.Detail, e.Hint = fmt.Sprintf("there are %d ticket types", len(all)), "write ticket_type in the connection; there are "+strings.Join(all, ", ")
		} else if near := connectors.Nearest(c.name, all); near != "" {
			e.Hint = fmt.Sprintf("did you mean %q? %s", near, e.Hint)
		}
		return nil, e
	}
	k := chosen[0]
	var raw json.RawMessage
	if err := c.web.read(ctx, op, "GetTicketFields", params{"ticketTypeID": k.id}, &raw); err != nil {
		return nil, err
	}
	k.gather(raw)
	if len(k.fields) == 0 {
		return nil, &connectors.Error{Kind: connectors.ErrProtocol, Op: op, Detail: fmt.Sprintf("the ticket type %q shows no fields", k.name), Hint: "this release of DataMiner answers in a form that is not known"}
	}
	c.mu.Lock()
	c.kind = k
	c.mu.Unlock()
	return k, nil
}

// gather finds the fields in what GetTicketFields answers: two sets of them, DataMiner's and the other tool's, in a form that is
// not published. Whatever they stand in is opened; the first of one name counts.
func (k *ticketType) gather(raw json.RawMessage) {
	var several []json.RawMessage
	if json.Unmarshal(raw, &several) == nil {
		for _, one := range several {
			k.gather(one)
		}
		return
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil {
		return
	}
	var f ticketField
	if json.Unmarshal(raw, &f) == nil && f.Name != "" && f.Type != "" {
		if _, twice := k.fields[f.Name]; !twice {
			k.fields[f.Name] = f
		}
		return
	}
	for _, name := range sortedKeys(members) {
		if name != "PossibleValues" {
			k.gather(members[name])
		}
	}
}

// Describe lists the fields of the type.
func (c *Tickets) Describe(ctx context.Context) (*connectors.Schema, error) {
	k, err := c.learn(ctx, "describe tickets")
	if err != nil {
		return nil, err
	}
	text := record.Type{Kind: record.Text}
	s := &connectors.Schema{Key: pathID, Fields: []connectors.Field{
		{Path: pathID, Label: "Ticket", Type: text, Native: "ticket", ReadOnly: true},
		{Path: pathNumber, Label: "Number", Type: text, Native: "ticket", ReadOnly: true},
		{Path: pathUID, Label: "UID", Type: text, Native: "ticket", ReadOnly: true},
		{Path: pathClosed, Label: "Closed", Type: record.Type{Kind: record.Bool}, Native: "ticket", ReadOnly: true},
		{Path: pathCreated, Label: "Created", Type: record.Type{Kind: record.Time}, Native: "ticket", ReadOnly: true},
		{Path: pathAlarm, Label: "Alarm", Type: text, Native: "link", ReadOnly: true, Reference: "alarms"},
		{Path: pathElement, Label: "Element", Type: text, Native: "link", ReadOnly: true, Reference: "elements"},
		{Path: pathService, Label: "Service", Type: text, Native: "link", ReadOnly: true, Reference: "services"},
		{Path: pathView, Label: "View", Type: text, Native: "link", ReadOnly: true, Reference: "views"},
	}}
	for _, name := range sortedKeys(k.fields) {
		if slices.Contains(ticketPaths, name) {
			continue
		}
		f := k.fields[name]
		described := connectors.Field{Path: name, Label: f.DisplayName, Type: text, Native: f.Type, ReadOnly: !f.writable(), Required: f.IsRequired}
		for _, p := range f.PossibleValues {
			described.Choices = append(described.Choices, connectors.Choice{Value: record.OfText(p.Display), Label: p.Display})
		}
		described.Closed = len(described.Choices) > 0
		s.Fields = append(s.Fields, described)
	}
	return s, nil
}

// Require says which of the paths do not exist.
func (c *Tickets) Require(ctx context.Context, paths []string) error {
	const op = "check tickets"
	k, err := c.learn(ctx, op)
	if err != nil {
		return err
	}
	return k.require(op, connectors.ErrConfig, paths)
}

func (k *ticketType) require(op string, kind error, paths []string) error {
	for _, p := range paths {
		if _, defined := k.fields[p]; defined || slices.Contains(ticketPaths, p) {
			continue
		}
		e := &connectors.Error{Kind: kind, Op: op, Fields: []string{p}, Detail: fmt.Sprintf("the ticket type %q has no field %q", k.name, p),
			Hint: "add it to the type in the Ticketing app, spelled exactly like this"}
		if near := connectors.Nearest(p, sortedKeys(k.fields)); near != "" {
			e.Hint = fmt.Sprintf("did you mean %q? %s", near, e.Hint)
		}
		return e
	}
	return nil
}
