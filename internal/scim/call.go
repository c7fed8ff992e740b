package scim

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	scimerrors "github.com/elimity-com/scim/errors"
	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"scimbridge/internal/contractor"
)

// call is one request of a vendor that has signed in.
type call struct {
	echo.Context
	door    *Door
	client  Client
	vendor  *contractor.Vendor
	gate    *gate
	names   *names
	profile profile
	now     time.Time
	held    []slots   // places that the request has
	feed    *feedCall // nil: a request
}

// hold waits for a place, which the request keeps to its end.
func (k *call) hold(s slots) error {
	if slices.Contains(k.held, s) {
		return nil
	}
	if err := s.enter(k.context()); err != nil {
		return err
	}
	k.held = append(k.held, s)
	return nil
}

func (k *call) release() {
	for _, s := range k.held {
		s.leave()
	}
}

// context carries the request's deadline.
func (k *call) context() context.Context { return k.Request().Context() }

// open answers anybody.
func (d *Door) open(h func(*call) error) echo.HandlerFunc {
	return func(c echo.Context) error {
		return h(&call{Context: c, door: d, now: time.Now().UTC().Truncate(time.Microsecond)})
	}
}

// vendor answers vendors that have signed in, within their limits.
func (d *Door) vendor(h func(*call) error) echo.HandlerFunc {
	return func(c echo.Context) error {
		request := c.Request()
		ctx, cancel := context.WithTimeout(request.Context(), d.limits.Timeout)
		defer cancel()
		c.SetRequest(request.WithContext(ctx))
		defer c.SetRequest(request) // fail tells a client that hung up from a deadline of ours
		k := &call{Context: c, door: d, now: time.Now().UTC().Truncate(time.Microsecond)}
		if err := k.signIn(); err != nil {
			return err
		}
		traceVendor(ctx, k.vendor.Name)
		gate := d.gates.of(k.vendor, d.users)
		if err := gate.enter(k.now); err != nil {
			return err
		}
		defer gate.leave()
		k.gate, k.names, k.profile = gate, gate.names, gate.profile
		defer k.release()
		return h(k)
	}
}

// mayWrite refuses the writes of a paused vendor.
func (k *call) mayWrite() error {
	if k.client.Paused {
		return contractor.Errorf(contractor.CodeForbidden, "this vendor is paused: reading works, writing does not; ask the customer to resume it")
	}
	return nil
}

// body reads the request's JSON.
func (k *call) body(limit int64, limits jsonLimits) (value, error) {
	r := k.Request()
	if ct := r.Header.Get(echo.HeaderContentType); ct != "" {
		media, params, err := mime.ParseMediaType(ct)
		if err != nil || media != "application/scim+json" && media != "application/json" {
			return value{}, echo.NewHTTPError(http.StatusUnsupportedMediaType, "send the body as application/scim+json or application/json")
		}
		if cs := params["charset"]; cs != "" && !strings.EqualFold(cs, "utf-8") {
			return value{}, echo.NewHTTPError(http.StatusUnsupportedMediaType, "send the body in UTF-8")
		}
	}
	if r.Header.Get("Content-Encoding") != "" {
		return value{}, echo.NewHTTPError(http.StatusUnsupportedMediaType, "send the body without a content encoding")
	}
	tooLarge := contractor.Errorf(contractor.CodeTooLarge, "the body is larger than %d bytes", limit)
	if r.ContentLength > limit {
		return value{}, tooLarge
	}
	// A client that sends slowly must not hold its place for ever. Not every connection can be given a deadline; the
	// server's own time-outs stand behind this one.
	_ = http.NewResponseController(k.Response()).SetReadDeadline(k.now.Add(k.door.limits.Timeout))
	b := make([]byte, 0, min(max(r.ContentLength, 511), heavyBody)+1) // what is announced may never come
	var err error
	for in := http.MaxBytesReader(k.Response(), r.Body, limit); err == nil; {
		if len(b) >= heavyBody {
			if err := k.hold(k.gate.traffic.heavy); err != nil {
				return value{}, err
			}
		}
		var n int
		n, err = in.Read(b[len(b):cap(b)])
		if b = b[:len(b)+n]; len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
	}
	if !errors.Is(err, io.EOF) {
		if _, over := errors.AsType[*http.MaxBytesError](err); over {
			return value{}, tooLarge
		}
		return value{}, syntaxErrorf("the body did not arrive whole: send the request again")
	}
	return parseJSON(string(b), limits)
}

// send answers with a body of the door's own making.
func (k *call) send(status int, body []byte) error {
	h := k.Response().Header()
	h.Set(echo.HeaderContentType, "application/scim+json")
	k.Response().WriteHeader(status)
	_, err := k.Response().Write(body)
	return err
}

// refusedBody is how long a client whose request was refused may take to send the rest of it.
const refusedBody = 2 * time.Second

// fail answers every error of the door, and logs what only the operator may see.
func (d *Door) fail(err error, c echo.Context) {
	if c.Response().Committed {
		d.log.WarnContext(c.Request().Context(), "the answer could not be sent", "error", err)
		return
	}
	e := toSCIM(err)
	// The server reads what is left of a body before it sends the answer: a refused client must not keep it waiting.
	_ = http.NewResponseController(c.Response()).SetReadDeadline(time.Now().Add(refusedBody))
	h := c.Response().Header()
	switch e.Status {
	case http.StatusUnauthorized:
		h.Set(echo.HeaderWWWAuthenticate, `Bearer realm="scimbridge"`)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		h.Set(echo.HeaderRetryAfter, strconv.Itoa(retryAfter(err)))
	}
	gone := errors.Is(c.Request().Context().Err(), context.Canceled) // the client hung up
	if e.Status >= http.StatusInternalServerError && e.Status != http.StatusNotImplemented && !gone {
		id := uuid.NewString()
		h.Set(echo.HeaderXRequestID, id)
		d.log.ErrorContext(c.Request().Context(), "a request failed", "status", e.Status, "method", c.Request().Method, "route", c.Path(), "request_id", id, "error", err)
	}
	k := &call{Context: c, door: d}
	if err := k.sendError(e); err != nil {
		d.log.WarnContext(c.Request().Context(), "the answer could not be sent", "error", err)
	}
}

func (k *call) sendError(e scimerrors.ScimError) error {
	if k.Request().Method == http.MethodHead {
		k.Response().WriteHeader(e.Status)
		return nil
	}
	return k.send(e.Status, errorBody(e))
}
