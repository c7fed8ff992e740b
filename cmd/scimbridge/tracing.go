package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"scimbridge/internal/config"
)

// tracing makes and sends spans. A nil *tracing makes none and costs nothing.
type tracing struct{ provider *sdktrace.TracerProvider }

const (
	// traceTimeout bounds one delivery to the collector. What cannot be delivered is dropped: nothing waits for it.
	traceTimeout = 10 * time.Second
	// traceGoodbye is how long the spans of the last moments may take at the stop, which has more important things to do.
	traceGoodbye = 2 * time.Second
)

// startTracing sends traces where tracing: is configured. It ends last, so that the stop itself is seen.
func (d *daemon) startTracing(ctx context.Context) error {
	if d.config.Tracing == nil {
		return nil
	}
	t, err := newTracing(ctx, d.config.Tracing, d.log.With("component", "tracing"))
	if err != nil {
		return setupError(err)
	}
	d.tracing = t
	d.log = slog.New(traceLog{d.log.Handler()})
	d.stops.add("tracing", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, traceGoodbye)
		defer cancel()
		_ = t.provider.Shutdown(ctx) // spans that could not be sent were told of; they are no reason to call the stop failed
		return nil
	})
	return nil
}

func newTracing(ctx context.Context, c *config.Tracing, log *slog.Logger) (*tracing, error) {
	headers, err := c.Headers()
	if err != nil {
		return nil, fmt.Errorf("tracing.headers_file: %w", err)
	}
	options := []otlptracehttp.Option{otlptracehttp.WithEndpointURL(c.Endpoint), otlptracehttp.WithTimeout(traceTimeout), otlptracehttp.WithRetry(otlptracehttp.RetryConfig{})}
	if headers != nil {
		options = append(options, otlptracehttp.WithHeaders(headers))
	}
	exporter, err := otlptracehttp.New(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	var own []attribute.KeyValue
	for name, value := range c.Attributes {
		own = append(own, attribute.String(name, value))
	}
	// The later wins: what the file says over OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME, and these over our own word.
	about, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "scimbridge"), attribute.String("service.version", version())),
		resource.WithHost(), resource.WithTelemetrySDK(), resource.WithFromEnv(), resource.WithAttributes(own...))
	if err != nil {
		return nil, fmt.Errorf("tracing: what OTEL_RESOURCE_ATTRIBUTES says: %w", err)
	}
	// A vendor's traceparent joins its trace with ours, but does not decide how much we send.
	ratio := sdktrace.TraceIDRatioBased(c.Ratio())
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(&teller{SpanExporter: exporter, log: log}),
		sdktrace.WithResource(about),
		sdktrace.WithSampler(sdktrace.ParentBased(ratio, sdktrace.WithRemoteParentSampled(ratio))),
	)
	return &tracing{provider}, nil
}

// tracer is nil where nothing is traced.
func (t *tracing) tracer(component string) trace.Tracer {
	if t == nil {
		return nil
	}
	return t.provider.Tracer("scimbridge/" + component)
}

// scim makes a span of each request at the vendor door, below the caller's own if its traceparent names one (W3C Trace Context).
// The door names it by its route; neither path nor query are in it, which name people.
func (t *tracing) scim(next http.Handler) http.Handler {
	if t == nil {
		return next
	}
	tracer, caller := t.tracer("scim"), propagation.TraceContext{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := caller.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		ctx, span := tracer.Start(ctx, "SCIM", trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attribute.String("http.request.method", knownMethod(r.Method))))
		defer span.End()
		sw := &statusWriter{ResponseWriter: w, code: http.StatusOK}
		next.ServeHTTP(sw, r.WithContext(ctx))
		span.SetAttributes(attribute.Int("http.response.status_code", sw.code))
		if sw.code >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, http.StatusText(sw.code))
		}
	})
}

// teller tells the log once when the collector stops taking spans, and once when it takes them again.
type teller struct {
	sdktrace.SpanExporter
	log     *slog.Logger
	failing atomic.Bool
}

// ExportSpans implements sdktrace.SpanExporter.
func (t *teller) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := t.SpanExporter.ExportSpans(ctx, spans)
	switch was := t.failing.Swap(err != nil); {
	case err != nil && !was:
		t.log.WarnContext(ctx, "the collector does not take traces; they are dropped until it does; check tracing.endpoint and tracing.headers_file", "error", err)
	case err == nil && was:
		t.log.InfoContext(ctx, "the collector takes traces again")
	}
	return nil // it was told; the library would print it on standard error
}

// traceLog adds the trace to every line that is logged inside one.
type traceLog struct{ slog.Handler }

// Handle implements slog.Handler.
func (h traceLog) Handle(ctx context.Context, r slog.Record) error {
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		r.AddAttrs(slog.String("trace_id", sc.TraceID().String()), slog.String("span_id", sc.SpanID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h traceLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return traceLog{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h traceLog) WithGroup(name string) slog.Handler { return traceLog{h.Handler.WithGroup(name)} }
