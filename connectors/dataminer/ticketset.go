package dataminer

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// form makes the fields of a write. Which of Value and DisplayValue a system reads is not published: both are sent.
func (k *ticketType) form(op string, f record.Fields) ([]ticketValue, error) {
	if err := k.require(op, connectors.ErrRefused, sortedKeys(f)); err != nil {
		return nil, err
	}
	var out []ticketValue
	for _, path := range sortedKeys(f) {
		v, field := f[path], k.fields[path]
		if slices.Contains(ticketPaths, path) || !field.writable() {
			return nil, &connectors.Error{Kind: connectors.ErrRefused, Op: op, Fields: []string{path}, Detail: path + " cannot be written", Hint: "the system sets it, or the form of its values is not published"}
		}
		if !v.Known() {
			continue // what is not known clears nothing
		}
		one := ticketValue{DisplayName: field.DisplayName, Name: field.Name, Value: json.RawMessage("null"), Type: field.Type}
		if !v.Empty() {
			one.DisplayValue = v.Plain()
		}
		if len(field.PossibleValues) > 0 && !v.Empty() {
			i := slices.IndexFunc(field.PossibleValues, func(p possible) bool { return p.Display == one.DisplayValue })
			if i < 0 {
				var all []string
				for _, p := range field.PossibleValues {
					all = append(all, p.Display)
				}
				return nil, &connectors.Error{Kind: connectors.ErrRefused, Op: op, Fields: []string{path}, Detail: fmt.Sprintf("%s has no value %q", path, one.DisplayValue), Hint: "it is one of " + strings.Join(all, ", ")}
			}
			one.Value = field.PossibleValues[i].Value
		}
		out = append(out, one)
	}
	return out, nil
}

// Create makes a ticket. It is linked to nothing: the form of links is documented for reading alone.
func (c *Tickets) Create(ctx context.Context, paths []string, f record.Fields) (record.Record, error) {
	const op = "create ticket"
	k, err := c.kindOf(ctx, op)
	if err != nil {
		return record.Record{}, err
	}
	fields, err := k.form(op, f)
	if err != nil {
		return record.Record{}, err
	}
	fields = slices.DeleteFunc(fields, func(v ticketValue) bool { return v.DisplayValue == "" })
	var made []any
	t := map[string]any{"TicketTypeID": k.id, "Fields": fields, "LinkFields": []any{}}
	if err := c.web.call(ctx, op, "CreateTicket", params{"ticket": t}, true, &made); err != nil {
		return record.Record{}, err
	}
	// Numbers, or texts of them, and a GUID.
	if len(made) < 2 {
		return record.Record{}, &connectors.Error{Kind: connectors.ErrOutcome, Op: op, Detail: "the answer does not name the ticket"}
	}
	return c.after(ctx, op, paths, number(made[0])+"/"+number(made[1]))
}

func number(v any) string {
	if f, ok := v.(float64); ok {
		return strconv.FormatInt(int64(f), 10)
	}
	return fmt.Sprint(v)
}

// after reads what a write has left. The write has happened: an error is about what it left.
func (c *Tickets) after(ctx context.Context, op string, paths []string, key string) (record.Record, error) {
	var r record.Record
	t, err := c.one(ctx, op, key)
	if err == nil && t == nil {
		err = fmt.Errorf("ticket %s is not there", key)
	}
	if err == nil {
		err = c.deliver(ctx, op, []ticket{*t}, paths, func(got record.Record) error { r = got; return nil })
	}
	if err != nil {
		return record.Record{}, &connectors.Error{Kind: connectors.ErrOutcome, Op: op, Detail: "written, but it could not be read back", Err: err}
	}
	return r, nil
}

// Update changes fields that differ. The whole ticket is sent back as it was read, since it is not said what becomes of fields
// that are left out: an edit that comes between this read and this write is lost without a trace. The version is not used: there are none.
func (c *Tickets) Update(ctx context.Context, paths []string, key, _ string, f record.Fields) (record.Record, error) {
	op := "update ticket " + key
	k, err := c.kindOf(ctx, op)
	if err != nil {
		return record.Record{}, err
	}
	wanted, err := k.form(op, f)
	if err != nil {
		return record.Record{}, err
	}
	t, err := c.one(ctx, op, key)
	switch {
	case err != nil:
		return record.Record{}, err
	case t == nil:
		return record.Record{}, &connectors.Error{Kind: connectors.ErrNotFound, Op: op, Detail: "the ticket is gone"}
	}
	changed := false
	for _, w := range wanted {
		i := slices.IndexFunc(t.Fields, func(v ticketValue) bool { return v.Name == w.Name })
		switch {
		case i < 0 && w.DisplayValue != "":
			t.Fields = append(t.Fields, w)
		case i >= 0 && t.Fields[i].DisplayValue != w.DisplayValue:
			t.Fields[i] = w
		default:
			continue
		}
		changed = true
	}
	if changed {
		if t.raw["Fields"], err = json.Marshal(t.Fields); err != nil {
			return record.Record{}, fmt.Errorf("%s: %w", op, err)
		}
		delete(t.raw, "__type") // of the answer; a call has to name it first or not at all
		if err := c.web.write(ctx, op, "UpdateTicket", params{"ticket": t.raw}); err != nil {
			return record.Record{}, err
		}
	}
	return c.after(ctx, op, paths, key)
}

// Delete removes a ticket. What is answered for one that is not there is not published: it is looked for before. The
// version is not used: there are none.
func (c *Tickets) Delete(ctx context.Context, key, _ string) error {
	op := "delete ticket " + key
	t, err := c.one(ctx, op, key)
	if err != nil || t == nil {
		return err
	}
	return c.web.write(ctx, op, "RemoveTicketV2", params{"ticketID": t.ID})
}
