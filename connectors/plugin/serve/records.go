package serve

import (
	"context"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/plugin/protocol"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A message is sent when it has so many records, or so many bytes of text.
const (
	someRecords = 500
	someBytes   = 1 << 20
)

// A page gathers what travels together.
type page[T any] struct {
	list  []T
	bytes int
	send  func([]T) error
}

func (p *page[T]) add(x T, bytes int) error {
	p.list = append(p.list, x)
	p.bytes += bytes
	if len(p.list) < someRecords && p.bytes < someBytes {
		return nil
	}
	return p.flush()
}

func (p *page[T]) flush() error {
	if len(p.list) == 0 {
		return nil
	}
	err := p.send(p.list)
	p.list, p.bytes = nil, 0
	return err
}

// records is a page of them that an emit fills.
func records(send func([]*protocol.Record) error) (emit func(record.Record) error, flush func() error) {
	p := &page[*protocol.Record]{send: send}
	return func(r record.Record) error {
		x := protocol.OfRecord(r.Clone())
		n := len(x.Key) + len(x.Label)
		for _, v := range x.Values {
			n += len(v.GetText()) + len(v.GetList()) + len(v.GetObject())
		}
		return p.add(x, n)
	}, p.flush
}

func (s *server) Scan(q *protocol.ScanRequest, out protocol.Connector_ScanServer) error {
	c, err := s.collection(out.Context(), q.Collection)
	if err != nil {
		return out.Send(&protocol.ScanReply{Error: protocol.OfError(err)})
	}
	emit, flush := records(func(list []*protocol.Record) error { return out.Send(&protocol.ScanReply{Records: list}) })
	w, err := c.Scan(out.Context(), connectors.Query{Paths: q.Paths, Native: q.Native, Since: q.Since}, emit)
	if err == nil {
		err = flush()
	}
	if err != nil {
		return out.Send(&protocol.ScanReply{Error: protocol.OfError(err)})
	}
	return out.Send(&protocol.ScanReply{End: &protocol.Window{Next: w.Next, System: w.System, Zone: w.Zone,
		ClockMeasured: w.Clock.Measured, ClockOffsetMs: w.Clock.Offset.Milliseconds(), ClockErrorMs: w.Clock.Error.Milliseconds()}})
}

func (s *server) Read(q *protocol.ReadRequest, out protocol.Connector_ReadServer) error {
	c, err := s.collection(out.Context(), q.Collection)
	emit, flush := records(func(list []*protocol.Record) error { return out.Send(&protocol.RecordsReply{Records: list}) })
	if err == nil {
		err = c.Read(out.Context(), q.Paths, q.Keys, emit)
	}
	return finish(err, flush, func(e *protocol.Error) error { return out.Send(&protocol.RecordsReply{Error: e}) })
}

func (s *server) Find(q *protocol.FindRequest, out protocol.Connector_FindServer) error {
	f, err := able[connectors.Finder](out.Context(), s, q.Collection)
	emit, flush := records(func(list []*protocol.Record) error { return out.Send(&protocol.RecordsReply{Records: list}) })
	values := make([]record.Value, len(q.Values))
	for i, x := range q.Values {
		if err == nil {
			values[i], err = protocol.ToValue(x)
		}
	}
	if err == nil {
		err = f.Find(out.Context(), q.Paths, q.Path, values, emit)
	}
	return finish(err, flush, func(e *protocol.Error) error { return out.Send(&protocol.RecordsReply{Error: e}) })
}

// finish ends a stream with what is left, or with what went wrong.
func finish(err error, flush func() error, send func(*protocol.Error) error) error {
	if err == nil {
		err = flush()
	}
	if err != nil {
		return send(protocol.OfError(err))
	}
	return nil
}

func (s *server) Create(ctx context.Context, q *protocol.CreateRequest) (*protocol.RecordReply, error) {
	c, err := able[connectors.Creator](ctx, s, q.Collection)
	return stored(q.Fields, err, func(f record.Fields) (record.Record, error) { return c.Create(ctx, q.Paths, f) })
}

func (s *server) Update(ctx context.Context, q *protocol.UpdateRequest) (*protocol.RecordReply, error) {
	u, err := able[connectors.Updater](ctx, s, q.Collection)
	return stored(q.Fields, err, func(f record.Fields) (record.Record, error) {
		return u.Update(ctx, q.Paths, q.Key, q.Version, f)
	})
}

func stored(fields []*protocol.NamedValue, err error, write func(record.Fields) (record.Record, error)) (*protocol.RecordReply, error) {
	var f record.Fields
	if err == nil {
		f, err = protocol.ToFields(fields)
	}
	var r record.Record
	if err == nil {
		r, err = write(f)
	}
	if err != nil {
		return &protocol.RecordReply{Error: protocol.OfError(err)}, nil
	}
	return &protocol.RecordReply{Record: protocol.OfRecord(r)}, nil
}

func (s *server) Delete(ctx context.Context, q *protocol.DeleteRequest) (*protocol.DeleteReply, error) {
	d, err := able[connectors.Deleter](ctx, s, q.Collection)
	if err == nil {
		err = d.Delete(ctx, q.Key, q.Version)
	}
	return &protocol.DeleteReply{Error: protocol.OfError(err)}, nil
}

func (s *server) Retire(ctx context.Context, q *protocol.RetireRequest) (*protocol.RetireReply, error) {
	r, err := able[connectors.Retirer](ctx, s, q.Collection)
	became := ""
	if err == nil {
		became, err = r.Retire(ctx, q.Key)
	}
	return &protocol.RetireReply{Became: became, Error: protocol.OfError(err)}, nil
}

func (s *server) Count(ctx context.Context, q *protocol.CountRequest) (*protocol.CountReply, error) {
	c, err := able[connectors.Counter](ctx, s, q.Collection)
	var n int64
	if err == nil {
		n, err = c.Count(ctx, q.Native)
	}
	return &protocol.CountReply{Count: n, Error: protocol.OfError(err)}, nil
}

func (s *server) Deleted(q *protocol.DeletedRequest, out protocol.Connector_DeletedServer) error {
	log, err := able[connectors.DeleteLog](out.Context(), s, q.Collection)
	p := &page[string]{send: func(keys []string) error { return out.Send(&protocol.DeletedReply{Keys: keys}) }}
	if err == nil {
		err = log.Deleted(out.Context(), q.Since, func(key string) error { return p.add(key, len(key)) })
	}
	return finish(err, p.flush, func(e *protocol.Error) error { return out.Send(&protocol.DeletedReply{Error: e}) })
}

func (s *server) Within(q *protocol.WithinRequest, out protocol.Connector_WithinServer) error {
	sc, err := able[connectors.Scoper](out.Context(), s, q.Collection)
	p := &page[string]{send: func(keys []string) error { return out.Send(&protocol.WithinReply{Keys: keys}) }}
	if err == nil {
		err = sc.Within(out.Context(), q.Native, q.Keys, func(key string) error { return p.add(key, len(key)) })
	}
	return finish(err, p.flush, func(e *protocol.Error) error { return out.Send(&protocol.WithinReply{Error: e}) })
}

func (s *server) Require(ctx context.Context, q *protocol.RequireRequest) (*protocol.RequireReply, error) {
	r, err := able[connectors.Requirer](ctx, s, q.Collection)
	if err == nil {
		err = r.Require(ctx, q.Paths)
	}
	return &protocol.RequireReply{Error: protocol.OfError(err)}, nil
}

func (s *server) Locate(ctx context.Context, q *protocol.LocateRequest) (*protocol.LocateReply, error) {
	l, err := able[connectors.Locator](ctx, s, q.Collection)
	if err != nil {
		return &protocol.LocateReply{}, nil
	}
	return &protocol.LocateReply{Address: l.Locate(q.Key)}, nil
}
