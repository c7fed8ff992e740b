package lifecycle

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// traced begins the span of one pass; end ends it. A person is its id, as in the log.
func (l *Loop) traced(ctx context.Context, person string) (_ context.Context, end func(error)) {
	if l.Tracer == nil {
		return ctx, func(error) {}
	}
	ctx, span := l.Tracer.Start(ctx, "reconcile", trace.WithNewRoot(), trace.WithAttributes(attribute.String("scimbridge.person", person)))
	return ctx, func(err error) {
		if err != nil && ctx.Err() == nil { // at the stop, the next start goes on
			span.SetStatus(codes.Error, "the outcome was not recorded")
		}
		span.End()
	}
}

// tell adds to the pass's span what became of it.
func (ps *pass) tell(ctx context.Context) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(
		attribute.String("scimbridge.phase", string(ps.p.Phase)),
		attribute.Bool("scimbridge.open", ps.want.Open),
		attribute.Bool("scimbridge.held", ps.held != ""),
		attribute.Int("scimbridge.problems", len(ps.problems)),
	)
	if v := ps.vendor(); v != "" {
		span.SetAttributes(attribute.String("scimbridge.vendor", v))
	}
	if !ps.p.NextAt.IsZero() {
		span.SetAttributes(attribute.String("scimbridge.next_look", ps.p.NextAt.Format(time.RFC3339)))
	}
	if ps.failure != nil {
		span.SetStatus(codes.Error, ps.failure.Code)
	}
}
