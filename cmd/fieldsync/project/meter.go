package project

import (
	"context"
	"log/slog"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/fieldsync/fieldsync/connectors/guard"
	"github.com/fieldsync/fieldsync/engine/telemetry"
)

// A Meter is told what runs do: for the metrics, and for a trace from run to request. Its methods work on nil, which
// is what commands other than serve and apply have.
type Meter struct {
	Metrics *telemetry.Metrics // nil: nobody reads them
	Tracer  trace.Tracer       // nil: no trace is kept
	Secrets *Secrets
}

// Span is engine.Engine's Span.
func (m *Meter) Span(ctx context.Context, name string, attrs ...slog.Attr) (context.Context, func(error)) {
	if m == nil || m.Tracer == nil {
		return ctx, func(error) {}
	}
	list := make([]attribute.KeyValue, 0, len(attrs))
	for _, a := range attrs {
		if a.Value.Kind() == slog.KindInt64 {
			list = append(list, attribute.Int64("fieldsync."+a.Key, a.Value.Int64()))
		} else {
			list = append(list, attribute.String("fieldsync."+a.Key, a.Value.String()))
		}
	}
	ctx, s := m.Tracer.Start(ctx, name, trace.WithAttributes(list...))
	return ctx, func(err error) {
		if err != nil {
			s.SetStatus(codes.Error, m.Hide(err.Error()))
		}
		s.End()
	}
}

// Hide takes the secrets out of a text.
func (m *Meter) Hide(text string) string {
	done, rest := m.Secrets.hide(text)
	return done + rest
}

// sent is told of the requests of one connection; nil where nobody wants to know.
func (m *Meter) sent(connection string) func(context.Context, guard.Attempt) {
	if m == nil {
		return nil
	}
	return func(ctx context.Context, a guard.Attempt) {
		if m.Metrics != nil {
			m.Metrics.Sent(connection, a.Method, a.Status, a.Waited, a.Took)
		}
		if m.Tracer == nil {
			return
		}
		// https://opentelemetry.io/docs/specs/semconv/http/http-spans/, but for the query: it may hold values of records.
		_, s := m.Tracer.Start(ctx, a.Method, trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(a.Began), trace.WithAttributes(
			attribute.String("fieldsync.connection", connection), attribute.Float64("fieldsync.limiter_wait_seconds", a.Waited.Seconds()),
			attribute.String("http.request.method", a.Method), attribute.String("server.address", a.Host), attribute.String("url.path", m.Hide(a.Path))))
		if a.Status != 0 {
			s.SetAttributes(attribute.Int("http.response.status_code", a.Status))
		}
		if a.Err != nil {
			s.SetStatus(codes.Error, m.Hide(a.Err.Error()))
		} else if a.Status >= 400 {
			s.SetStatus(codes.Error, "")
		}
		s.End(trace.WithTimestamp(a.Began.Add(a.Took)))
	}
}
