package entra

import (
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"scimbridge/internal/contractor"
)

// endSpan says of a call what an operator asks of a slow pass, by OpenTelemetry's names for HTTP where it has one. The address is
// given without the ids in it.
func endSpan(span trace.Span, k *call, ex *exchange, err error) {
	defer span.End()
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(
		attribute.String("scimbridge.graph.operation", k.op),
		attribute.String("http.request.method", k.method),
		attribute.String("url.template", withoutIDs(k.path)),
		attribute.Int("http.response.status_code", ex.status), // 0: no answer
	)
	if ex.tries > 1 {
		span.SetAttributes(attribute.Int("http.request.resend_count", ex.tries-1))
	}
	if id := header(ex, "request-id"); id != "" {
		span.SetAttributes(attribute.String("scimbridge.graph.request_id", id))
	}
	if f, ok := errors.AsType[*contractor.Failure](err); ok {
		span.SetAttributes(attribute.String("scimbridge.graph.verdict", string(f.Verdict)), attribute.String("error.type", f.Code))
		// That something is not there is an answer.
		if f.Verdict != contractor.VerdictGone {
			span.SetStatus(codes.Error, f.Code)
		}
	} else if err != nil {
		span.SetStatus(codes.Error, "called off")
	}
}
