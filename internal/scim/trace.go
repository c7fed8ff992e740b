package scim

import (
	"context"

	"github.com/labstack/echo/v4"
	traces "go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// traced names the span that the request came with, if it came with one, by its route: the path itself names people.
func traced(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if span := trace.SpanFromContext(c.Request().Context()); span.IsRecording() && c.Path() != "" {
			span.SetName("SCIM " + c.Request().Method + " " + c.Path())
			span.SetAttributes(traces.String("http.route", c.Path()))
		}
		return next(c)
	}
}

// traceVendor adds whose request it is, once that is known.
func traceVendor(ctx context.Context, vendor string) {
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.SetAttributes(traces.String("scimbridge.vendor", vendor))
	}
}
