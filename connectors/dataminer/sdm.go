package dataminer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// The paths of tickets of today's Ticketing, beside those that tickets of the legacy app have too.
const (
	pathDescription = "description"
	pathType        = "type"
	pathState       = "state"
	pathPriority    = "priority"
	pathRequested   = "requested_resolution"
	pathExpected    = "expected_resolution"
	pathCreatedBy   = "created_by"
	pathModified    = "modified"
	pathModifiedBy  = "modified_by"
	pathNotes       = "notes"

	// external in front of the name of an external owner is the id that the ticket has there.
	external = "external."
)

// SDMTickets are those of today's Ticketing (the Standard Solution), keyed by GUID, through a second script behind the
// bridge: they have no public interface over HTTP. The script tells when one was changed, so that scans read what changed.
type SDMTickets struct {
	bridge   *bridge
	pageSize int
}

// sdmTicket is the wire form.
type sdmTicket struct {
	GUID        string `json:"guid"`
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Type        string `json:"type"`
	State       string `json:"state"`
	Priority    string `json:"priority"`
	Severity    string `json:"severity"`
	Requested   int64  `json:"requestedResolution"`
	Expected    int64  `json:"expectedResolution"`
	Created     int64  `json:"createdAt"`
	CreatedBy   string `json:"createdBy"`
	Modified    int64  `json:"modifiedAt"`
	ModifiedBy  string `json:"modifiedBy"`
	External    []struct {
		Owner string `json:"owner"`
		ID    string `json:"id"`
	} `json:"external"`
	Links []struct {
		Type string `json:"type"`
		ID   string `json:"id"`
	} `json:"links"`
}

func (t *sdmTicket) link(kind string) string {
	for _, l := range t.Links {
		if strings.EqualFold(l.Type, kind) {
			return l.ID
		}
	}
	return ""
}

// An sdmPath is a path that every such ticket has.
type sdmPath struct {
	path, label string
	kind        record.Kind
	fixed       bool // the system sets it
	choices     []string
	value       func(*sdmTicket) record.Value
}

func sdmText(path, label string, fixed bool, value func(*sdmTicket) string, choices ...string) sdmPath {
	return sdmPath{path, label, record.Text, fixed, choices, func(t *sdmTicket) record.Value { return textOrNull(value(t)) }}
}

func sdmTime(path, label string, fixed bool, value func(*sdmTicket) int64) sdmPath {
	return sdmPath{path, label, record.Time, fixed, nil, func(t *sdmTicket) record.Value { return timeOrNull(value(t)) }}
}

// The states, priorities and severities are those of the solution's own enumerations. Its interface for scripts lets a
// ticket go from any state to any other.
var sdmPaths = []sdmPath{
	sdmText(pathID, "Ticket", true, func(t *sdmTicket) string { return t.GUID }),
	sdmText(pathNumber, "Number", true, func(t *sdmTicket) string { return t.ID }),
	sdmText(pathName, "Name", false, func(t *sdmTicket) string { return t.Name }),
	sdmText(pathDescription, "Description", false, func(t *sdmTicket) string { return t.Description }),
	sdmText(pathType, "Type", false, func(t *sdmTicket) string { return t.Type }),
	sdmText(pathState, "State", false, func(t *sdmTicket) string { return t.State }, "acknowledged", "inProgress", "pending", "held", "resolved", "closed", "rejected", "cancelled"),
	sdmText(pathPriority, "Priority", false, func(t *sdmTicket) string { return t.Priority }, "critical", "high", "medium", "low"),
	sdmText(pathSeverity, "Severity", false, func(t *sdmTicket) string { return t.Severity }, "critical", "major", "minor"),
	sdmTime(pathRequested, "Requested resolution", false, func(t *sdmTicket) int64 { return t.Requested }),
	sdmTime(pathExpected, "Expected resolution", false, func(t *sdmTicket) int64 { return t.Expected }),
	sdmTime(pathCreated, "Created", true, func(t *sdmTicket) int64 { return t.Created }),
	sdmText(pathCreatedBy, "Created by", true, func(t *sdmTicket) string { return t.CreatedBy }),
	sdmTime(pathModified, "Modified", true, func(t *sdmTicket) int64 { return t.Modified }),
	sdmText(pathModifiedBy, "Modified by", true, func(t *sdmTicket) string { return t.ModifiedBy }),
	sdmText(pathAlarm, "Alarm", true, func(t *sdmTicket) string { return t.link(pathAlarm) }),
	sdmText(pathElement, "Element", true, func(t *sdmTicket) string { return t.link(pathElement) }),
}

func sdmPathOf(path string) (sdmPath, bool) {
	i := slices.IndexFunc(sdmPaths, func(p sdmPath) bool { return p.path == path })
	if i < 0 {
		return sdmPath{}, false
	}
	return sdmPaths[i], true
}

// value reads a path. An external owner that the ticket has no id of is null.
func (t *sdmTicket) value(path string) record.Value {
	if p, ok := sdmPathOf(path); ok {
		return p.value(t)
	}
	owner, ok := strings.CutPrefix(path, external)
	if !ok {
		return record.Value{}
	}
	for _, e := range t.External {
		if e.Owner == owner {
			return textOrNull(e.ID)
		}
	}
	return record.NullValue
}

func (t *sdmTicket) record(paths []string) record.Record {
	r := record.Record{Key: t.GUID, Label: cmp.Or(t.ID, t.Name), Version: strconv.FormatInt(t.Modified, 10), Author: t.ModifiedBy, Modified: instant(t.Modified), Values: make([]record.Value, len(paths))}
	for i, p := range paths {
		r.Values[i] = t.value(p)
	}
	return r
}

// An sdmQuestion is what the script is asked about tickets: all, those that changed since a time, those with one of some
// GUIDs, or those with one of some values in a path.
type sdmQuestion struct {
	Since  int64    `json:"since,omitempty"`
	IDs    []string `json:"ids,omitempty"`
	Path   string   `json:"path,omitempty"`
	Values []string `json:"values,omitempty"`
	After  string   `json:"after,omitempty"`
	Limit  int      `json:"limit"`
}

type sdmPage struct {
	Tickets []sdmTicket `json:"tickets"`
	Next    string      `json:"next"`
	AsOf    int64       `json:"asOf"`
}

// pages reads all pages of an answer; first is called with the first of them.
func (c *SDMTickets) pages(ctx context.Context, op string, q sdmQuestion, first func(p *sdmPage, began time.Time), emit func(*sdmTicket) error) error {
	q.Limit = c.pageSize
	for n := 0; ; n++ {
		var p sdmPage
		began := c.bridge.now()
		if err := c.bridge.ask(ctx, op, "tickets", q, &p); err != nil {
			return unpublished(err)
		}
		if p.Tickets == nil || p.AsOf == 0 || p.Next != "" && p.Next == q.After {
			return broken(op)
		}
		if n == 0 && first != nil {
			first(&p, began)
		}
		for i := range p.Tickets {
			if p.Tickets[i].GUID == "" {
				return broken(op)
			}
			if err := emit(&p.Tickets[i]); err != nil {
				return err
			}
		}
		if p.Next == "" {
			return nil
		}
		q.After = p.Next
	}
}

// unpublished says what to do where nothing answers under the routes of the second script. It does not wrap the error that it
// replaces: that a script is not found must not read as if a record were.
func unpublished(err error) error {
	e, ok := errors.AsType[*connectors.Error](err)
	if !ok || !errors.Is(err, connectors.ErrNotFound) {
		return err
	}
	return &connectors.Error{Kind: connectors.ErrConfig, Op: e.Op, Detail: "the script for tickets is not published",
		Hint: "publish FieldSyncTickets.cs in connectors/dataminer/bridge as a User-Defined API; it needs the Ticketing Standard Solution"}
}

// Scan reads the tickets by their last change, so that one that changes meanwhile moves to the end and is seen again. A
// ticket that is deleted leaves no trace: full scans find it by its absence.
func (c *SDMTickets) Scan(ctx context.Context, q connectors.Query, emit func(record.Record) error) (connectors.Window, error) {
	const op = "scan sdm_tickets"
	if err := noQuery(op, q.Native); err != nil {
		return connectors.Window{}, err
	}
	since, err := strconv.ParseInt(cmp.Or(q.Since, "0"), 10, 64)
	if err != nil {
		return connectors.Window{}, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: fmt.Sprintf("%q is no point of an earlier scan", q.Since), Hint: "run a full scan"}
	}
	var window connectors.Window
	err = c.pages(ctx, op, sdmQuestion{Since: since}, func(p *sdmPage, began time.Time) {
		window = connectors.Window{Next: strconv.FormatInt(p.AsOf-overlap.Milliseconds(), 10), Clock: clockOf(p.AsOf, began, c.bridge.now())}
	}, func(t *sdmTicket) error { return emit(t.record(q.Paths)) })
	if err != nil {
		return connectors.Window{}, err
	}
	return window, nil
}

// Read emits the tickets with these GUIDs.
func (c *SDMTickets) Read(ctx context.Context, paths []string, keys []string, emit func(record.Record) error) error {
	keys = slices.DeleteFunc(distinct(keys), func(k string) bool { return k == "" })
	for part := range slices.Chunk(keys, chunk) {
		err := c.pages(ctx, "read sdm_tickets", sdmQuestion{IDs: part}, nil, func(t *sdmTicket) error {
			if !slices.Contains(part, t.GUID) {
				return nil
			}
			return emit(t.record(paths))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Find emits the tickets that have one of the values in a path of text.
func (c *SDMTickets) Find(ctx context.Context, paths []string, path string, values []record.Value, emit func(record.Record) error) error {
	const op = "find sdm_tickets"
	texts := wanted(values)
	if path == pathID {
		return c.Read(ctx, paths, texts, emit)
	}
	if p, ok := sdmPathOf(path); ok && p.kind != record.Text || !ok && !strings.HasPrefix(path, external) {
		return &connectors.Error{Kind: connectors.ErrConfig, Op: op, Fields: []string{path}, Detail: "tickets cannot be searched by " + path, Hint: "match by id, number or external.OWNER"}
	}
	seen := map[string]bool{}
	for part := range slices.Chunk(texts, chunk) {
		err := c.pages(ctx, op, sdmQuestion{Path: path, Values: part}, nil, func(t *sdmTicket) error {
			// What the system takes for equal is its business; only the very value counts here.
			if v := t.value(path); seen[t.GUID] || v.Empty() || !slices.Contains(part, v.Plain()) {
				return nil
			}
			seen[t.GUID] = true
			return emit(t.record(paths))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// sdmInfo is what the script says of the solution.
type sdmInfo struct {
	Contract int      `json:"contract"`
	Types    []string `json:"types"`
	Owners   []string `json:"owners"`
}

func (c *SDMTickets) info(ctx context.Context, op string) (i sdmInfo, err error) {
	if err := c.bridge.get(ctx, op, "ticketing", nil, &i); err != nil {
		return i, unpublished(err)
	}
	if i.Contract != contract {
		return i, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: fmt.Sprintf("the script for tickets speaks contract %d", i.Contract),
			Hint: fmt.Sprintf("this version knows contract %d; update fieldsync or the script", contract)}
	}
	return i, nil
}

// Describe lists the paths of every ticket, and one for each external owner.
func (c *SDMTickets) Describe(ctx context.Context) (*connectors.Schema, error) {
	i, err := c.info(ctx, "describe sdm_tickets")
	if err != nil {
		return nil, err
	}
	s := &connectors.Schema{Key: pathID, Label: pathNumber, Threads: []connectors.Thread{{Path: pathNotes, Label: "Notes", Readers: connectors.Staff}}}
	for _, p := range sdmPaths {
		f := connectors.Field{Path: p.path, Label: p.label, Type: record.Type{Kind: p.kind}, Native: "ticket", ReadOnly: p.fixed, Required: p.path == pathName, Closed: len(p.choices) > 0}
		choices := p.choices
		if p.path == pathType {
			choices = i.Types
			f.Closed = len(choices) > 0
		}
		for _, v := range choices {
			f.Choices = append(f.Choices, connectors.Choice{Value: record.OfText(v), Label: v})
		}
		s.Fields = append(s.Fields, f)
	}
	for _, owner := range distinct(i.Owners) {
		s.Fields = append(s.Fields, connectors.Field{Path: external + owner, Label: "Id in " + owner, Type: record.Type{Kind: record.Text}, Native: "external identifier"})
	}
	return s, nil
}
