package plugin

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/grpc"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/plugin/protocol"
	"github.com/fieldsync/fieldsync/engine/record"
)

// maxCursor is the most bytes that a cursor may have.
const maxCursor = 1 << 20

// Scan hands on what comes, and believes that it is all only when the plugin says so at the end.
func (c *collection) Scan(ctx context.Context, q connectors.Query, emit func(record.Record) error) (connectors.Window, error) {
	op := "scan " + c.name
	var end *protocol.Window
	n, circle := 0, circle{}
	err := stream(ctx, c.host, op, func(ctx context.Context, p protocol.ConnectorClient) (grpc.ServerStreamingClient[protocol.ScanReply], error) {
		return p.Scan(ctx, &protocol.ScanRequest{Collection: c.name, Paths: q.Paths, Native: q.Native, Since: q.Since})
	}, func(m *protocol.ScanReply) error {
		if end != nil {
			return c.lie(op, "something behind the end of a scan")
		}
		end = m.End
		for _, x := range m.Records {
			r, err := c.believed(op, x, q.Paths)
			if err != nil {
				return err
			}
			if n++; n > c.maxRecords {
				return c.fails(connectors.ErrProtocol, op, fmt.Sprintf("it delivers more than %d records", c.maxRecords),
					"raise max_records in the connection if there are so many; else the scan has no end")
			}
			if circle.closed(r.Key) {
				return c.lie(op, fmt.Sprintf("the scan goes round: record %q came again and again", r.Key))
			}
			if err := emit(r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return connectors.Window{}, err
	}
	if end == nil {
		return connectors.Window{}, c.lie(op, "the scan stopped without its end: what it delivered may not be all")
	}
	return c.window(op, q.Since, end)
}

// window is the end of a scan, if its cursor is one.
func (c *collection) window(op, since string, end *protocol.Window) (connectors.Window, error) {
	switch {
	case len(end.Next) > maxCursor:
		return connectors.Window{}, c.lie(op, fmt.Sprintf("a cursor of %d bytes", len(end.Next)))
	case end.Next == "" && since != "":
		return connectors.Window{}, c.lie(op, "no cursor for the next scan after it gave one before")
	case len(end.System) > protocol.MaxKey || len(end.Zone) > protocol.MaxKey:
		return connectors.Window{}, c.lie(op, "a system or zone of more than 4 KiB")
	case end.ClockMeasured && (end.ClockErrorMs < 0 || end.ClockErrorMs > maxClock || end.ClockOffsetMs > maxClock || end.ClockOffsetMs < -maxClock):
		return connectors.Window{}, c.lie(op, fmt.Sprintf("a clock that is %d ms off, give or take %d", end.ClockOffsetMs, end.ClockErrorMs))
	}
	if end.Next != "" && !c.advance(since, end.Next) {
		return connectors.Window{}, c.lie(op, "a cursor that goes back: it was given by an earlier scan than the one that this scan began from")
	}
	w := connectors.Window{Next: end.Next, System: end.System, Zone: end.Zone}
	if end.ClockMeasured {
		w.Clock = connectors.Clock{Measured: true, Offset: millis(end.ClockOffsetMs), Error: millis(end.ClockErrorMs)}
	}
	return w, nil
}

// cursorsKept is how many cursors are remembered to see whether one comes back.
const cursorsKept = 64

// advance notes a cursor and reports whether it is none from before since.
func (c *collection) advance(since, next string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	from, to := slices.Index(c.cursors, since), slices.Index(c.cursors, next)
	if to < 0 {
		if c.cursors = append(c.cursors, next); len(c.cursors) > cursorsKept {
			c.cursors = c.cursors[1:]
		}
		return true
	}
	return since == "" || from < 0 || to >= from
}

// A circle notices a scan without an end that delivers the same again and again, and remembers one key for it: the one
// at the last power of two. A record may come twice when it moved while it was paged; nine times it does not.
type circle struct {
	key        string
	n, at, met int
}

func (c *circle) closed(key string) bool {
	c.n++
	if key == c.key && c.n > 1 {
		c.met++
	}
	if c.n >= 2*c.at {
		c.key, c.at, c.met = key, c.n, 0
	}
	return c.met > 8
}

// Read hands on the records with these keys, and no others.
func (c *collection) Read(ctx context.Context, paths, keys []string, emit func(record.Record) error) error {
	if len(keys) == 0 {
		return nil
	}
	op := "read " + c.name
	asked := make(map[string]int, len(keys))
	for _, key := range keys {
		asked[key]++
	}
	return c.records(ctx, op, paths, func(ctx context.Context, p protocol.ConnectorClient) (grpc.ServerStreamingClient[protocol.RecordsReply], error) {
		return p.Read(ctx, &protocol.ReadRequest{Collection: c.name, Paths: paths, Keys: keys})
	}, func(r record.Record) error {
		n, ok := asked[r.Key]
		if !ok {
			return c.lie(op, fmt.Sprintf("record %q, which was not asked for", r.Key))
		}
		if n == 0 {
			return c.lie(op, fmt.Sprintf("record %q more often than it was asked for", r.Key))
		}
		asked[r.Key]--
		return emit(r)
	})
}

// Find hands on the records that have one of the values, each once.
func (c *collection) Find(ctx context.Context, paths []string, path string, values []record.Value, emit func(record.Record) error) error {
	slot := slices.Index(paths, path)
	op := "find " + c.name + " by " + path
	if slot < 0 {
		return &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: "the path is not among those to deliver"}
	}
	if len(values) == 0 {
		return nil
	}
	wanted := make(map[record.Value]bool, len(values))
	wire := make([]*protocol.Value, len(values))
	for i, v := range values {
		wanted[v], wire[i] = true, protocol.OfValue(v)
	}
	seen := map[string]bool{}
	return c.records(ctx, op, paths, func(ctx context.Context, p protocol.ConnectorClient) (grpc.ServerStreamingClient[protocol.RecordsReply], error) {
		return p.Find(ctx, &protocol.FindRequest{Collection: c.name, Paths: paths, Path: path, Values: wire})
	}, func(r record.Record) error {
		switch {
		case !wanted[r.Values[slot]]:
			return c.lie(op, fmt.Sprintf("record %q, whose %s is %.60s: that value was not asked for", r.Key, path, r.Values[slot]))
		case seen[r.Key]:
			return c.lie(op, fmt.Sprintf("record %q twice", r.Key))
		case len(seen) >= c.maxRecords:
			return c.lie(op, fmt.Sprintf("more than %d records", c.maxRecords))
		}
		seen[r.Key] = true
		return emit(r)
	})
}

func (c *collection) records(ctx context.Context, op string, paths []string, open func(context.Context, protocol.ConnectorClient) (grpc.ServerStreamingClient[protocol.RecordsReply], error), each func(record.Record) error) error {
	return stream(ctx, c.host, op, open, func(m *protocol.RecordsReply) error {
		for _, x := range m.Records {
			r, err := c.believed(op, x, paths)
			if err != nil {
				return err
			}
			if err := each(r); err != nil {
				return err
			}
		}
		return nil
	})
}

// believed is a record that has the shape that was asked for, and values of the kinds that were described.
func (c *collection) believed(op string, x *protocol.Record, paths []string) (record.Record, error) {
	r, err := protocol.ToRecord(x, paths)
	if err != nil {
		return r, c.lie(op, err.Error())
	}
	if max(len(r.Label), len(r.Version), len(r.Author)) > protocol.MaxKey {
		return r, c.lie(op, fmt.Sprintf("record %q has a label, version or author of more than %d bytes", r.Key, protocol.MaxKey))
	}
	c.mu.Lock()
	kinds, closed := c.kinds, c.closed
	c.mu.Unlock()
	if kinds == nil {
		return r, nil
	}
	for i, v := range r.Values {
		kind, described := kinds[paths[i]]
		switch {
		case !v.Known() || v.Empty():
		case !described && closed:
			return r, c.lie(op, fmt.Sprintf("record %q has a value of %s, and its description has no such field", r.Key, paths[i]))
		case described && kind != record.Absent && v.Kind() != kind && (kind != record.Float || v.Kind() != record.Int):
			return r, c.lie(op, fmt.Sprintf("%s of record %q is %.60s, a %s, and is described as %s", paths[i], r.Key, v, v.Kind(), kind))
		}
	}
	return r, nil
}
