package emulator

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// graphError is an answer that says no.
type graphError struct {
	status  int
	code    string
	message string
	header  http.Header
}

func (e *graphError) Error() string { return fmt.Sprintf("%d %s: %s", e.status, e.code, e.message) }

func refuse(status int, code, format string, args ...any) *graphError {
	return &graphError{status: status, code: code, message: fmt.Sprintf(format, args...)}
}

func badRequest(format string, args ...any) error {
	return refuse(http.StatusBadRequest, "Request_BadRequest", format, args...)
}

func denied() error {
	return refuse(http.StatusForbidden, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
}

func notFound(id string) error {
	return refuse(http.StatusNotFound, "Request_ResourceNotFound",
		"Resource '%s' does not exist or one of its queried reference-property objects are not present.", id)
}

// itemNotFound is how the services beside the directory (PIM, entitlement
// management, policies) say that there is no such thing.
func itemNotFound(format string, args ...any) error {
	return refuse(http.StatusNotFound, "ResourceNotFound", format, args...)
}

func throttled(retryAfter time.Duration, message string) *graphError {
	e := refuse(http.StatusTooManyRequests, "TooManyRequests", "%s", message)
	if retryAfter > 0 {
		e.header = http.Header{"Retry-After": {strconv.Itoa(int((retryAfter + time.Second - 1) / time.Second))}}
	}
	return e
}
