package dataminer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// Update sets the properties that differ. Each write makes a record in the alarm's tree, so that what is there
// already is not sent. The version is not used: the protocol has no conditional write.
func (c *AlarmProperties) Update(ctx context.Context, paths []string, key, _ string, f record.Fields) (record.Record, error) {
	op := "update alarm " + key
	var names []string
	for p := range f {
		if slices.Contains(builtin, p) {
			return record.Record{}, &connectors.Error{Kind: connectors.ErrRefused, Op: op, Fields: []string{p}, Detail: p + " is set by the system", Hint: "write to a property"}
		}
		names = append(names, p)
	}
	slices.Sort(names)
	defined, err := c.knowing(ctx, append(slices.Clone(paths), names...))
	if err != nil {
		return record.Record{}, err
	}
	if gone := unknown(names, defined); len(gone) > 0 {
		return record.Record{}, missing(op, connectors.ErrRefused, gone, defined)
	}
	now, err := c.one(ctx, op, key)
	if err != nil {
		return record.Record{}, err
	}
	set := differing(f, now.Properties)
	if len(set) == 0 {
		return now.record(paths, defined), nil
	}
	if err := c.set(ctx, op, now, set); err != nil {
		return record.Record{}, err
	}
	after, err := c.one(ctx, op, key)
	if err != nil {
		// The write has happened; what it left is not known.
		return record.Record{}, &connectors.Error{Kind: connectors.ErrOutcome, Op: op, Detail: "written, but it could not be read back", Err: err}
	}
	return after.record(paths, defined), nil
}

// one reads a single alarm.
func (c *AlarmProperties) one(ctx context.Context, op, key string) (*alarm, error) {
	var found *alarm
	err := c.some(ctx, op, c.query(), []string{key}, func(a *alarm) error {
		if a.key() == key && (!a.Cleared || c.kept) {
			found = a
		}
		return nil
	})
	if err == nil && found == nil {
		err = &connectors.Error{Kind: connectors.ErrNotFound, Op: op, Detail: "the alarm is gone, or has cleared"}
	}
	return found, err
}

// set writes properties of one alarm.
func (c *AlarmProperties) set(ctx context.Context, op string, a *alarm, values map[string]string) error {
	var out struct {
		Alarms []struct {
			OK    bool   `json:"ok"`
			Error string `json:"error"`
		} `json:"alarms"`
	}
	// What an alarm that has cleared meanwhile is to us the script has to know: it looks right before it writes.
	body := map[string]any{"alarms": []any{map[string]any{"dma": a.DMA, "element": a.Element, "root": a.Root, "set": values, "cleared": c.kept}}}
	if err := c.bridge.change(ctx, op, http.MethodPost, "alarm-properties", nil, body, &out); err != nil {
		if errors.Is(err, connectors.ErrNotFound) {
			// The alarm was there a moment ago: it is the address that is unknown.
			return &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: "the system cannot set alarm properties", Hint: "check url and the version of the system's script"}
		}
		return err
	}
	switch {
	case len(out.Alarms) != 1:
		return &connectors.Error{Kind: connectors.ErrOutcome, Op: op, Detail: fmt.Sprintf("one alarm was written and %d are answered for", len(out.Alarms))}
	case out.Alarms[0].OK:
		return nil
	case strings.Contains(out.Alarms[0].Error, "alarm not found"), strings.Contains(out.Alarms[0].Error, "alarm cleared"):
		return &connectors.Error{Kind: connectors.ErrNotFound, Op: op, Detail: out.Alarms[0].Error}
	case strings.Contains(out.Alarms[0].Error, "property not defined"):
		// It was there when last asked; the next call asks again.
		c.mu.Lock()
		c.defined = nil
		c.mu.Unlock()
		var names []string
		for p := range values {
			if strings.Contains(out.Alarms[0].Error, p) {
				names = append(names, p)
			}
		}
		return &connectors.Error{Kind: connectors.ErrRefused, Op: op, Fields: names, Detail: out.Alarms[0].Error, Hint: howToDefine}
	}
	return &connectors.Error{Kind: connectors.ErrRefused, Op: op, Detail: out.Alarms[0].Error, Hint: "a property may allow certain values only; look at its definition"}
}

// differing are the properties to set, of those that somebody wants: what is there already is not written, since each
// write makes a record in the alarm's tree. What is not known clears nothing.
func differing(f record.Fields, now map[string]string) map[string]string {
	set := map[string]string{}
	for p, v := range f {
		if !v.Known() {
			continue
		}
		text := ""
		if !v.Empty() {
			text = v.Plain()
		}
		if now[p] != text {
			set[p] = text
		}
	}
	return set
}
