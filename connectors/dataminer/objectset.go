package dataminer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// noAgent stands for the agent of a view, which has none: which number is wanted there is not published.
const noAgent = -1

// Update sets the properties that differ, each in a call of its own: there is no other. Where some are set and others
// refused, the record that comes back tells. The version is not used: there are none.
func (c *Objects) Update(ctx context.Context, paths []string, key, _ string, f record.Fields) (record.Record, error) {
	op := fmt.Sprintf("update %s %s", c.kind.noun, key)
	for p := range f {
		if !c.kind.property(p) {
			return record.Record{}, &connectors.Error{Kind: connectors.ErrRefused, Op: op, Fields: []string{p}, Detail: p + " is set by the system", Hint: "write to a property"}
		}
	}
	o, err := c.object(ctx, op, key)
	if err != nil {
		return record.Record{}, err
	}
	if o == nil {
		return record.Record{}, &connectors.Error{Kind: connectors.ErrNotFound, Op: op, Detail: "the " + c.kind.noun + " is gone"}
	}
	now, err := c.properties(ctx, op, o)
	if err != nil {
		return record.Record{}, err
	}
	if gone := lacking(sortedKeys(f), now); len(gone) > 0 {
		return record.Record{}, c.missing(op, connectors.ErrRefused, gone, now)
	}
	if err := c.set(ctx, op, o, differing(f, now)); err != nil {
		return record.Record{}, err
	}
	after := now
	if slices.ContainsFunc(paths, c.kind.property) {
		if after, err = c.properties(ctx, op, o); err != nil {
			// The write has happened; what it left is not known.
			return record.Record{}, &connectors.Error{Kind: connectors.ErrOutcome, Op: op, Detail: "written, but it could not be read back", Err: err}
		}
	}
	return c.record(o, paths, after), nil
}

// set writes one property after the other, in their order. The error is that of the first one where nothing was set;
// else what was refused is seen in what is read back, and the reason is logged.
func (c *Objects) set(ctx context.Context, op string, o *object, values map[string]string) error {
	agent := o.Agent
	if c.kind.parts == 1 {
		agent = noAgent
	}
	done := false
	var refused error
	for _, name := range sortedKeys(values) {
		err := c.web.write(ctx, op, "SetPropertyValue", params{
			"objectType": c.kind.noun, "dmaID": agent, "objectID": o.ID, "propertyName": name, "propertyValue": values[name],
		})
		switch {
		case err == nil:
			done = true
		case errors.Is(err, connectors.ErrRefused):
			if e, ok := errors.AsType[*connectors.Error](err); ok {
				e.Fields = []string{name}
				e.Hint = "the property may allow certain values only (look at its definition in Cube), or the user may not edit it"
			}
			c.web.log.Warn("a property was refused", "op", op, "property", name, "err", err)
			if refused == nil {
				refused = err
			}
		case done && !errors.Is(err, connectors.ErrOutcome):
			return &connectors.Error{Kind: connectors.ErrOutcome, Op: op, Detail: "some properties are written and others not", Err: err}
		default:
			return err
		}
	}
	if done {
		return nil
	}
	return refused
}

// lacking are the properties that an object does not have. It shows all that are defined, those without a value too.
func lacking(names []string, now map[string]string) []string {
	return slices.DeleteFunc(names, func(n string) bool { _, there := now[n]; return there })
}

func (c *Objects) missing(op string, kind error, gone []string, now map[string]string) error {
	defined := make(map[string]bool, len(now))
	for n := range now {
		defined[n] = true
	}
	return absent(op, kind, c.kind.noun, gone, defined)
}

// sample are the properties of the first object: all objects of a kind have the same. ok is false where there is none.
func (c *Objects) sample(ctx context.Context, op string) (now map[string]string, ok bool, err error) {
	all, err := c.all(ctx, op)
	if err != nil || len(all) == 0 {
		return nil, false, err
	}
	now, err = c.properties(ctx, op, &all[0])
	return now, err == nil, err
}

// Describe lists what every object has and the properties that the first one shows.
func (c *Objects) Describe(ctx context.Context) (*connectors.Schema, error) {
	now, there, err := c.sample(ctx, "describe "+c.kind.collection)
	if err != nil {
		return nil, err
	}
	kind := record.Type{Kind: record.Text}
	s := &connectors.Schema{Key: pathID, Label: pathName, Open: !there, Rest: kind,
		Fields: []connectors.Field{{Path: pathID, Label: "Id", Type: kind, Native: c.kind.noun, ReadOnly: true}}}
	for _, f := range c.kind.fields {
		s.Fields = append(s.Fields, connectors.Field{Path: f.path, Label: f.label, Type: kind, Native: c.kind.noun, ReadOnly: true})
	}
	for _, name := range sortedKeys(now) {
		if c.kind.property(name) {
			s.Fields = append(s.Fields, connectors.Field{Path: name, Label: name, Type: kind, Native: "property"})
		}
	}
	return s, nil
}

// Require says which of the paths do not exist. A system without objects proves nothing: all pass.
func (c *Objects) Require(ctx context.Context, paths []string) error {
	op := "check " + c.kind.collection
	now, there, err := c.sample(ctx, op)
	if err != nil || !there {
		return err
	}
	gone := slices.DeleteFunc(lacking(slices.Clone(paths), now), func(p string) bool { return !c.kind.property(p) })
	if len(gone) > 0 {
		return c.missing(op, connectors.ErrConfig, gone, now)
	}
	return nil
}
