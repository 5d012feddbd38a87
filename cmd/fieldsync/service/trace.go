package service

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
)

// Where traces go, by the names that every OpenTelemetry exporter knows
// (https://opentelemetry.io/docs/specs/otel/protocol/exporter/). The exporter reads the others itself.
var traceTo = []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"}

// newTracer makes a tracer where the environment says where traces go; nil otherwise. The function sends what is left.
func newTracer(ctx context.Context, getenv func(string) (string, bool), log *slog.Logger) (trace.Tracer, func(), error) {
	to := ""
	for _, name := range traceTo {
		if v, ok := getenv(name); ok && v != "" {
			to = name
			break
		}
	}
	if to == "" {
		return nil, func() {}, nil
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, nil, project.Hinted(err, to+" is the address of a collector, such as http://127.0.0.1:4318")
	}
	res, err := resource.Merge(resource.NewSchemaless(attribute.String("service.name", "fieldsync"), attribute.String("service.version", project.Version()["version"])), resource.Environment())
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
