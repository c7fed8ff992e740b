package db

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"scimbridge/internal/contractor"
)

// traced begins the span of a write where the caller is traced, from its place in the queue to its commit. what names the write,
// without personal data. end ends it with the write's error, which it returns.
func traced(ctx context.Context, what string) (_ context.Context, end func(error) error) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, untraced
	}
	ctx, span := parent.TracerProvider().Tracer("scimbridge/db").Start(ctx, "commit: "+what)
	return ctx, func(err error) error {
		// Only the store's own failures are errors here; that a caller's write is refused is the caller's affair.
		if e, ok := errors.AsType[*contractor.Error](err); err != nil && (!ok || e.Code == contractor.CodeInternal || e.Code == contractor.CodeUnavailable) {
			span.SetStatus(codes.Error, "not committed")
		}
		span.End()
		return err
	}
}

func untraced(err error) error { return err }
