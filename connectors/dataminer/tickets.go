package dataminer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// The paths that every ticket has. All others are fields of its type, by their name.
const (
	pathNumber  = "number"
	pathUID     = "uid"
	pathClosed  = "closed"
	pathCreated = "created"
	pathAlarm   = "alarm" // the tree of the alarm that a ticket is linked to, the key of alarms and alarm_properties
	pathService = "service"
	pathView    = "view"
)

// Of tickets, element, service and view are the keys of what they are linked to.
var ticketPaths = []string{pathID, pathNumber, pathUID, pathClosed, pathCreated, pathAlarm, pathElement, pathService, pathView}

// Tickets are those of one type of the legacy Ticketing app, keyed by "agent/id". Nothing tells when one changed: they are
// scanned whole, the open ones and the closed ones, and have no version.
type Tickets struct {
	web      *web
	alarms   *Alarms
	pageSize int
	name     string // of the type, as the settings have it; "" where there is but one

	mu   sync.Mutex
	kind *ticketType
}

// ticket is DMATicket as far as it is read, and all of it as it came: what is written back has what is not known here.
type ticket struct {
	Agent   int64 `json:"DataMinerID"`
	ID      int64
	UID     string
	Type    string `json:"TicketTypeID"`
	Created int64  `json:"TimeCreatedUTC"`
	Closed  bool   `json:"IsClosed"`
	Fields  []ticketValue
	Links   []linkField `json:"LinkFields"`
	raw     map[string]json.RawMessage
}

// A ticketValue is a field of a ticket. DisplayValue is what people see and what counts.
type ticketValue struct {
	DisplayName  string
	Name         string
	Value        json.RawMessage
	DisplayValue string
	Type         string
}

type linkField struct {
	Name, DisplayName string
	Values            []link
}

type link struct {
	Type  string
	Value []int64
}

// UnmarshalJSON keeps what came beside what is read.
func (t *ticket) UnmarshalJSON(b []byte) error {
	type plain ticket
	var p plain
	if err := json.Unmarshal(b, &p); err != nil {
		return err
	}
	if err := json.Unmarshal(b, &p.raw); err != nil {
		return err
	}
	*t = ticket(p)
	return nil
}

func (t *ticket) key() string { return fmt.Sprintf("%d/%d", t.Agent, t.ID) }

// Scan reads all tickets of the type.
func (c *Tickets) Scan(ctx context.Context, q connectors.Query, emit func(record.Record) error) (connectors.Window, error) {
	const op = "scan tickets"
	if err := noQuery(op, q.Native); err != nil {
		return connectors.Window{}, err
	}
	clock, err := c.web.clock(ctx)
	if err != nil {
		return connectors.Window{}, err
	}
	all, err := c.all(ctx, op)
	if err != nil {
		return connectors.Window{}, err
	}
	if err := c.deliver(ctx, op, all, q.Paths, emit); err != nil {
		return connectors.Window{}, err
	}
	return connectors.Window{Clock: clock}, nil
}

// all are the open tickets and the closed ones. A ticket that is closed meanwhile moves from the first list to the second,
// which is read after it.
func (c *Tickets) all(ctx context.Context, op string) ([]ticket, error) {
	k, err := c.kindOf(ctx, op)
	if err != nil {
		return nil, err
	}
	seen := map[string]int{}
	var out []ticket
	add := func(t ticket) bool {
		at, twice := seen[t.key()]
		if twice {
			out[at] = t
			return false
		}
		seen[t.key()] = len(out)
		out = append(out, t)
		return true
	}
	if err := c.walk(ctx, op, "GetActiveTicketsV2", k, nil, add); err != nil {
		return nil, err
	}
	// The span is of creation. The Agent's clock may be ahead of ours.
	span := params{"utcStartTime": 0, "utcEndTime": c.web.now().Add(24 * time.Hour).UnixMilli()}
	if err := c.walk(ctx, op, "GetHistoryTicketsV2", k, span, add); err != nil {
		return nil, err
	}
	return out, nil
}

// mostWalks ends lists that never hold still.
const mostWalks = 5

// walk reads all pages of a list, newest first. The list slides under the pages when tickets are made or leave it, and
// then a page begins too late: lists of several pages are read until a walk finds nothing new.
func (c *Tickets) walk(ctx context.Context, op, method string, k *ticketType, more params, add func(ticket) bool) error {
	for range mostWalks {
		fresh, pages := false, 0
		for next := true; next; pages++ {
			p := params{"pageNumber": pages, "count": c.pageSize, "filter": map[string]any{"TicketTypeID": k.id, "Filters": []any{}, "Affecting": nil, "SearchText": ""}}
			for name, v := range more {
				p[name] = v
			}
			var page map[string]json.RawMessage
			if err := c.web.read(ctx, op, method, p, &page); err != nil {
				return err
			}
			found, err := ticketsIn(op, page)
			if err != nil {
				return err
			}
			for _, t := range found {
				fresh = add(t) || fresh
			}
			next = string(page["HasNextPage"]) == "true"
			if next && len(found) == 0 {
				return &connectors.Error{Kind: connectors.ErrProtocol, Op: op, Detail: "an empty page is followed by another one"}
			}
		}
		if pages == 1 || !fresh {
			return nil
		}
	}
	return &connectors.Error{Kind: connectors.ErrBusy, Op: op, Detail: "the list of tickets changes faster than it can be read", Hint: "set page_size higher"}
}

// ticketsIn finds the list in a page. What the member is called is not published: it is the only one that is a list.
func ticketsIn(op string, page map[string]json.RawMessage) ([]ticket, error) {
	for _, name := range sortedKeys(page) {
		var found []ticket
		if v := page[name]; len(v) == 0 || v[0] != '[' || json.Unmarshal(v, &found) != nil {
			continue
		}
		for i := range found {
			if found[i].ID == 0 {
				return nil, &connectors.Error{Kind: connectors.ErrProtocol, Op: op, Detail: "a ticket comes without ID", Hint: "this release of DataMiner answers in a form that is not known"}
			}
		}
		return found, nil
	}
	return nil, &connectors.Error{Kind: connectors.ErrProtocol, Op: op, Detail: "a page of tickets has no list", Hint: "this release of DataMiner answers in a form that is not known"}
}

func (c *Tickets) deliver(ctx context.Context, op string, all []ticket, paths []string, emit func(record.Record) error) error {
	k, err := c.kindOf(ctx, op)
	if err != nil {
		return err
	}
	var active []webAlarm
	linked := slices.ContainsFunc(all, func(t ticket) bool { return t.alarm() != nil })
	if linked && slices.Contains(paths, pathAlarm) {
		if active, err = c.alarms.active(ctx, op); err != nil {
			return err
		}
	}
	for i := range all {
		r, err := c.record(ctx, op, &all[i], paths, k, active)
		if err != nil {
			return err
		}
		if err := emit(r); err != nil {
			return err
		}
	}
	return nil
}

func (c *Tickets) record(ctx context.Context, op string, t *ticket, paths []string, k *ticketType, active []webAlarm) (record.Record, error) {
	r := record.Record{Key: t.key(), Values: make([]record.Value, len(paths))}
	for i, p := range paths {
		switch p {
		case pathID:
			r.Values[i] = record.OfText(t.key())
		case pathNumber:
			r.Values[i] = record.OfText(strconv.FormatInt(t.ID, 10))
		case pathUID:
			r.Values[i] = textOrNull(t.UID)
		case pathClosed:
			r.Values[i] = record.OfBool(t.Closed)
		case pathCreated:
			r.Values[i] = timeOrNull(t.Created)
		case pathAlarm:
			v, err := c.tree(ctx, op, t, active)
			if err != nil {
				return record.Record{}, err
			}
			r.Values[i] = v
		case pathElement, pathService:
			if id := t.link(p); len(id) == 2 {
				r.Values[i] = record.OfText(fmt.Sprintf("%d/%d", id[0], id[1]))
			} else {
				r.Values[i] = record.NullValue
			}
		case pathView: // a view has no agent: whether one is named beside it is not published
			if id := t.link(p); len(id) > 0 {
				r.Values[i] = record.OfText(strconv.FormatInt(id[len(id)-1], 10))
			} else {
				r.Values[i] = record.NullValue
			}
		default:
			r.Values[i] = k.value(t, p)
		}
	}
	return r, nil
}

// alarm is the first alarm that a ticket is linked to, as numbers; nil for none.
func (t *ticket) alarm() []int64 {
	if id := t.link(pathAlarm); len(id) > 1 {
		return id
	}
	return nil
}

// link is the first thing of a kind that a ticket is linked to, as numbers.
func (t *ticket) link(kind string) []int64 {
	for _, f := range t.Links {
		for _, l := range f.Values {
			if strings.EqualFold(l.Type, kind) && len(l.Value) > 0 {
				return l.Value
			}
		}
	}
	return nil
}

// tree finds the alarm that a ticket is linked to. A link has the agent and one more number, and whether that is the root or one
// of the records is not published: it is looked up as either among the active alarms. One that has cleared is known if the ticket
// is linked to its element as well; else the alarm is not known, and no rule decides about it.
func (c *Tickets) tree(ctx context.Context, op string, t *ticket, active []webAlarm) (record.Value, error) {
	id := t.alarm()
	switch len(id) {
	case 0:
		return record.NullValue, nil
	case 3:
		return record.OfText(treeKey(id[0], id[1], id[2])), nil
	}
	var found []string
	for i := range active {
		if a := &active[i]; a.Agent == id[0] && (a.Root == id[1] || a.ID == id[1]) {
			found = append(found, a.key())
		}
	}
	if len(found) == 1 {
		return record.OfText(found[0]), nil
	}
	element := t.link(pathElement)
	if len(element) != 2 || len(found) > 0 && !slices.Contains(found, treeKey(id[0], element[1], id[1])) {
		return record.UnknownValue, nil
	}
	key := treeKey(id[0], element[1], id[1])
	var a *webAlarm
	err := c.web.read(ctx, op, "GetCurrentAlarmByRootIDV3", params{"dmaID": id[0], "elementID": element[1], "rootAlarmID": id[1]}, &a)
	switch {
	case errors.Is(err, connectors.ErrRefused), err == nil && (a == nil || a.key() != key):
		return record.UnknownValue, nil
	case err != nil:
		return record.Value{}, err
	}
	return record.OfText(key), nil
}

// one reads a ticket; nil if it is not there.
func (c *Tickets) one(ctx context.Context, op, key string) (*ticket, error) {
	id, ok := parts(key, 2)
	if !ok {
		return nil, nil // none can have such a key
	}
	k, err := c.kindOf(ctx, op)
	if err != nil {
		return nil, err
	}
	var t *ticket
	err = c.web.read(ctx, op, "GetTicketV2", params{"ticketID": id[1], "includeHistory": false}, &t)
	if errors.Is(err, connectors.ErrRefused) {
		// What is answered for a ticket that is not there is not published. Only the lists as well prove that it is gone.
		all, err := c.all(ctx, op)
		if err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(all, func(t ticket) bool { return t.key() == key }); i >= 0 {
			return &all[i], nil
		}
		return nil, nil
	}
	if err != nil || t == nil || t.key() != key || t.Type != "" && t.Type != k.id {
		return nil, err
	}
	return t, nil
}

// Read asks for each ticket by its id.
func (c *Tickets) Read(ctx context.Context, paths []string, keys []string, emit func(record.Record) error) error {
	const op = "read tickets"
	found, err := gathered(ctx, keys, func(ctx context.Context, key string) (*ticket, error) { return c.one(ctx, op, key) })
	if err != nil {
		return err
	}
	return c.deliver(ctx, op, found, paths, emit)
}

// Find looks through all tickets: how the filters of the lists are written is not published.
func (c *Tickets) Find(ctx context.Context, paths []string, path string, values []record.Value, emit func(record.Record) error) error {
	const op = "find tickets"
	return among(ctx, op, c, paths, path, values, func(emit func(record.Record) error) error {
		all, err := c.all(ctx, op)
		if err != nil {
			return err
		}
		return c.deliver(ctx, op, all, paths, emit)
	}, emit)
}
