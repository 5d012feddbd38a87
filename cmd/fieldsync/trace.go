package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/fieldsync/fieldsync/connectors/guard"
	"github.com/fieldsync/fieldsync/engine/telemetry"
)

// A meter is told what runs do: for the metrics, and for a trace from run to request. Its methods work on nil, which
// is what commands other than serve and apply have.
type meter struct {
	metrics *telemetry.Metrics // nil: nobody reads them
	tracer  trace.Tracer       // nil: no trace is kept
	secrets *secrets
}

// Where traces go, by the names that every OpenTelemetry exporter knows
// (https://opentelemetry.io/docs/specs/otel/protocol/exporter/). The exporter reads the others itself.
var traceTo = []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"}

// trace makes a tracer where the environment says where traces go; nil otherwise. The function sends what is left.
func (a *app) trace(ctx context.Context, log *slog.Logger) (trace.Tracer, func(), error) {
	to := ""
	for _, name := range traceTo {
		if v, ok := a.getenv(name); ok && v != "" {
			to = name
			break
		}
	}
	if to == "" {
		return nil, func() {}, nil
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, nil, hinted{err, to + " is the address of a collector, such as http://127.0.0.1:4318"}
	}
	res, err := resource.Merge(resource.NewSchemaless(attribute.String("service.name", "fieldsync"), attribute.String("service.version", version()["version"])), resource.Environment())
	if err != nil {
		return nil, nil, err
	}
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(res))
	say := rarely(time.Minute, func(err error) { log.Warn("traces are not delivered; the runs go on", "err", err) })
	otel.SetErrorHandler(otel.ErrorHandlerFunc(say))
	return provider.Tracer("github.com/fieldsync/fieldsync"), func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := provider.Shutdown(ctx); err != nil {
			say(err)
		}
	}, nil
}

// rarely is f, called at most once each while.
func rarely(while time.Duration, f func(error)) func(error) {
	var mu sync.Mutex
	var last time.Time
	return func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if now := time.Now(); last.IsZero() || now.Sub(last) >= while {
			last = now
			f(err)
		}
	}
}

// span is engine.Engine's Span.
func (m *meter) span(ctx context.Context, name string, attrs ...slog.Attr) (context.Context, func(error)) {
	if m == nil || m.tracer == nil {
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
	ctx, s := m.tracer.Start(ctx, name, trace.WithAttributes(list...))
	return ctx, func(err error) {
		if err != nil {
			s.SetStatus(codes.Error, m.hide(err.Error()))
		}
		s.End()
	}
}

func (m *meter) hide(text string) string {
	done, rest := m.secrets.hide(text)
	return done + rest
}

// sent is told of the requests of one connection; nil where nobody wants to know.
func (m *meter) sent(connection string) func(context.Context, guard.Attempt) {
	if m == nil {
		return nil
	}
	return func(ctx context.Context, a guard.Attempt) {
		if m.metrics != nil {
			m.metrics.Sent(connection, a.Method, a.Status, a.Waited, a.Took)
		}
		if m.tracer == nil {
			return
		}
		// https://opentelemetry.io/docs/specs/semconv/http/http-spans/, but for the query: it may hold values of records.
		_, s := m.tracer.Start(ctx, a.Method, trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(a.Began), trace.WithAttributes(
			attribute.String("fieldsync.connection", connection), attribute.Float64("fieldsync.limiter_wait_seconds", a.Waited.Seconds()),
			attribute.String("http.request.method", a.Method), attribute.String("server.address", a.Host), attribute.String("url.path", m.hide(a.Path))))
		if a.Status != 0 {
			s.SetAttributes(attribute.Int("http.response.status_code", a.Status))
		}
		if a.Err != nil {
			s.SetStatus(codes.Error, m.hide(a.Err.Error()))
		} else if a.Status >= 400 {
			s.SetStatus(codes.Error, "")
		}
		s.End(trace.WithTimestamp(a.Began.Add(a.Took)))
	}
}
