package plugin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/plugin/protocol"
	"github.com/fieldsync/fieldsync/engine/record"
)

// maxClock is the most milliseconds that a clock is believed to be off.
const maxClock = int64(10 * 365 * 24 * time.Hour / time.Millisecond)

func millis(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// Create makes a record, and looks whether it is there.
func (c *collection) Create(ctx context.Context, paths []string, f record.Fields) (record.Record, error) {
	op := "create in " + c.name
	return c.written(ctx, op, paths, "", "", func(ctx context.Context, p protocol.ConnectorClient) (*protocol.RecordReply, error) {
		return p.Create(ctx, &protocol.CreateRequest{Collection: c.name, Paths: paths, Fields: protocol.OfFields(f)})
	})
}

// Update changes a record, and looks whether it has changed.
func (c *collection) Update(ctx context.Context, paths []string, key, version string, f record.Fields) (record.Record, error) {
	op := "update " + key
	return c.written(ctx, op, paths, key, version, func(ctx context.Context, p protocol.ConnectorClient) (*protocol.RecordReply, error) {
		return p.Update(ctx, &protocol.UpdateRequest{Collection: c.name, Paths: paths, Key: key, Version: version, Fields: protocol.OfFields(f)})
	})
}

// written writes and holds the answer against what a read shows afterwards. What cannot be true leaves the outcome
// unknown, so that the engine settles it as it settles any answer that was lost. Somebody else may have written in
// between: then the read shows another version, and the answer stands.
func (c *collection) written(ctx context.Context, op string, paths []string, key, before string, write func(context.Context, protocol.ConnectorClient) (*protocol.RecordReply, error)) (record.Record, error) {
	reply, err := unary(ctx, c.host, op, writes, write)
	if err != nil {
		return record.Record{}, err
	}
	said, err := c.believed(op, reply.Record, paths)
	if err != nil {
		return record.Record{}, unsettled(err)
	}
	if key != "" && said.Key != key {
		return record.Record{}, c.disbelieve(writes, op, fmt.Sprintf("record %q came back", said.Key))
	}
	var shown *record.Record
	err = c.Read(ctx, paths, []string{said.Key}, func(r record.Record) error {
		shown = &r
		return nil
	})
	if err != nil {
		return record.Record{}, unsettled(err)
	}
	switch {
	case shown == nil:
		return record.Record{}, c.disbelieve(writes, op, fmt.Sprintf("record %q is said to be written, and cannot be read", said.Key))
	case shown.Version == said.Version:
		for i, v := range shown.Values {
			if v != said.Values[i] {
				return record.Record{}, c.disbelieve(writes, op, fmt.Sprintf("%s of record %q is said to be stored as %.60s, and reads as %.60s in the same version", paths[i], said.Key, said.Values[i], v))
			}
		}
	case before != "" && shown.Version == before:
		return record.Record{}, c.disbelieve(writes, op, fmt.Sprintf("record %q is said to be written, and reads as before, in version %.60q", said.Key, before))
	}
	return said, nil
}

// unsettled makes an error about what came after a write one of which the outcome is not known.
func unsettled(err error) error {
	e, ok := errors.AsType[*connectors.Error](err)
	if !ok {
		return &connectors.Error{Kind: connectors.ErrOutcome, Op: "look at what was written", Err: err}
	}
	c := *e
	c.Kind = connectors.ErrOutcome
	return &c
}

// Delete removes a record, and looks whether it is gone.
func (c *collection) Delete(ctx context.Context, key, version string) error {
	op := "delete " + key
	_, err := unary(ctx, c.host, op, writes, func(ctx context.Context, p protocol.ConnectorClient) (*protocol.DeleteReply, error) {
		return p.Delete(ctx, &protocol.DeleteRequest{Collection: c.name, Key: key, Version: version})
	})
	if err != nil {
		return err
	}
	c.mu.Lock()
	path := c.key
	c.mu.Unlock()
	if path == "" {
		s, err := c.Describe(ctx)
		if err != nil || s.Key == "" {
			return nil // a system that shows this user no path: there is nothing to look for
		}
		path = s.Key
	}
	there := false
	if err := c.Read(ctx, []string{path}, []string{key}, func(record.Record) error { there = true; return nil }); err != nil {
		return unsettled(err)
	}
	if there {
		return c.disbelieve(writes, op, fmt.Sprintf("record %q is said to be deleted, and can be read", key))
	}
	return nil
}

// Retire ends a record that stays.
func (c *collection) Retire(ctx context.Context, key string) (became string, err error) {
	reply, err := unary(ctx, c.host, "retire "+key, writes, func(ctx context.Context, p protocol.ConnectorClient) (*protocol.RetireReply, error) {
		return p.Retire(ctx, &protocol.RetireRequest{Collection: c.name, Key: key})
	})
	if err != nil {
		return "", err
	}
	return c.clean(reply.Became), nil
}
