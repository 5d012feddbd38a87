package dataminer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// form makes what is sent of fields: texts, times in milliseconds, null for what is to be cleared.
func (c *SDMTickets) form(op string, f record.Fields) (map[string]any, error) {
	set := map[string]any{}
	for _, path := range sortedKeys(f) {
		v := f[path]
		p, known := sdmPathOf(path)
		switch {
		case !known && !strings.HasPrefix(path, external):
			return nil, &connectors.Error{Kind: connectors.ErrRefused, Op: op, Fields: []string{path}, Detail: "tickets have no " + path, Hint: "fieldsync fields lists what there is"}
		case p.fixed:
			return nil, &connectors.Error{Kind: connectors.ErrRefused, Op: op, Fields: []string{path}, Detail: path + " is set by the system", Hint: "take it out of what the rules write"}
		case !v.Known():
			continue // what is not known clears nothing
		case v.Empty():
			set[path] = nil
		case p.kind == record.Time && v.Kind() == record.Time:
			set[path] = v.Time().UnixMilli()
		case p.choices != nil && !slices.Contains(p.choices, v.Plain()):
			return nil, &connectors.Error{Kind: connectors.ErrRefused, Op: op, Fields: []string{path}, Detail: fmt.Sprintf("%s has no value %q", path, v.Plain()), Hint: "it is one of " + strings.Join(p.choices, ", ")}
		default:
			set[path] = v.Plain()
		}
	}
	return set, nil
}

// Create makes a ticket. It is linked to nothing.
func (c *SDMTickets) Create(ctx context.Context, paths []string, f record.Fields) (record.Record, error) {
	const op = "create ticket"
	set, err := c.form(op, f)
	if err != nil {
		return record.Record{}, err
	}
	return c.change(ctx, op, http.MethodPost, "", set, paths)
}

// Update changes the fields that are sent, and leaves all others to the ticket as it is then. The version is not used: the
// solution has no write that depends on one.
func (c *SDMTickets) Update(ctx context.Context, paths []string, key, _ string, f record.Fields) (record.Record, error) {
	op := "update ticket " + key
	set, err := c.form(op, f)
	if err != nil {
		return record.Record{}, err
	}
	return c.change(ctx, op, http.MethodPut, key, set, paths)
}

func (c *SDMTickets) change(ctx context.Context, op, method, key string, set map[string]any, paths []string) (record.Record, error) {
	var t sdmTicket
	if err := c.bridge.change(ctx, op, method, "ticket", ofTicket(key), map[string]any{"set": set}, &t); err != nil {
		return record.Record{}, c.really(ctx, op, key, err)
	}
	if t.GUID == "" || key != "" && t.GUID != key {
		return record.Record{}, &connectors.Error{Kind: connectors.ErrOutcome, Op: op, Detail: "the answer does not have the ticket"}
	}
	return t.record(paths), nil
}

func ofTicket(key string) url.Values {
	if key == "" {
		return nil
	}
	return url.Values{"id": {key}}
}

// really tells a ticket that is not there from a script that is not: both are not found.
func (c *SDMTickets) really(ctx context.Context, op, key string, err error) error {
	if !errors.Is(err, connectors.ErrNotFound) {
		return err
	}
	if key == "" {
		return unpublished(err)
	}
	there := false
	if rerr := c.Read(ctx, []string{pathID}, []string{key}, func(record.Record) error { there = true; return nil }); rerr != nil {
		return rerr
	}
	if there {
		return unpublished(err)
	}
	return &connectors.Error{Kind: connectors.ErrNotFound, Op: op, Detail: "the ticket is gone", Err: err}
}

// Delete removes a ticket. The version is not used.
func (c *SDMTickets) Delete(ctx context.Context, key, _ string) error {
	op := "delete ticket " + key
	err := c.bridge.change(ctx, op, http.MethodDelete, "ticket", ofTicket(key), nil, nil)
	if err = c.really(ctx, op, key, err); errors.Is(err, connectors.ErrNotFound) {
		return nil
	}
	return err
}

// sdmNote is the wire form of a note.
type sdmNote struct {
	ID     string `json:"id"`
	Ticket string `json:"ticket"`
	Text   string `json:"text"`
	Author string `json:"author"`
	At     int64  `json:"at"`
}

func (n *sdmNote) comment() connectors.Comment {
	return connectors.Comment{ID: n.ID, Author: n.Author, Time: instant(n.At), Text: n.Text}
}

// Comments reads the notes of tickets, those that the app writes at a change of state among them.
func (c *SDMTickets) Comments(ctx context.Context, path string, keys []string, since time.Time, emit func(string, connectors.Comment) error) error {
	op := "read notes"
	if path != pathNotes {
		return noThread(op, path)
	}
	question := map[string]any{"limit": c.pageSize}
	if !since.IsZero() {
		question["since"] = since.UnixMilli()
	}
	parts := [][]string{nil}
	if keys != nil {
		parts = slices.Collect(slices.Chunk(distinct(keys), chunk))
	}
	for _, part := range parts {
		delete(question, "after")
		if part != nil {
			question["tickets"] = part
		}
		for {
			var p struct {
				Notes []sdmNote `json:"notes"`
				Next  string    `json:"next"`
			}
			if err := c.bridge.ask(ctx, op, "notes", question, &p); err != nil {
				return unpublished(err)
			}
			if p.Notes == nil || p.Next != "" && p.Next == question["after"] {
				return broken(op)
			}
			for i := range p.Notes {
				n := &p.Notes[i]
				if part != nil && !slices.Contains(part, n.Ticket) || instant(n.At).Before(since) {
					continue
				}
				if err := emit(n.Ticket, n.comment()); err != nil {
					return err
				}
			}
			if p.Next == "" {
				break
			}
			question["after"] = p.Next
		}
	}
	return nil
}

// AddComment adds a note. Its author is the account that the script runs as, whoever wrote the text.
func (c *SDMTickets) AddComment(ctx context.Context, path, key, text string) (connectors.Comment, error) {
	op := "add a note to ticket " + key
	if path != pathNotes {
		return connectors.Comment{}, noThread(op, path)
	}
	var n sdmNote
	if err := c.bridge.change(ctx, op, http.MethodPost, "note", nil, map[string]any{"ticket": key, "text": text}, &n); err != nil {
		return connectors.Comment{}, c.really(ctx, op, key, err)
	}
	if n.ID == "" || n.Ticket != key {
		return connectors.Comment{}, &connectors.Error{Kind: connectors.ErrOutcome, Op: op, Detail: "the answer does not have the note"}
	}
	return n.comment(), nil
}

func noThread(op, path string) error {
	return &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: fmt.Sprintf("tickets have no %q", path), Hint: "write " + pathNotes}
}

// Entitled says whose rights count behind the bridge.
func (c *SDMTickets) Entitled(_ context.Context, d connectors.Demand) ([]connectors.Finding, error) {
	return behindTheBridge(len(d.Writes) > 0 || d.Create || d.Delete || d.Comments.Write, "writes tickets"), nil
}
