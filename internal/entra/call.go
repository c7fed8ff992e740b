package entra

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"
	abs "github.com/microsoft/kiota-abstractions-go"
	"github.com/microsoftgraph/msgraph-sdk-go/models/odataerrors"
	"go.opentelemetry.io/otel/trace"

	"scimbridge/internal/contractor"
)

// Deadlines of one attempt, from the moment the quota lets it go.
const (
	// closeTimeout is for calls that shut a door. They are idempotent and answered in well under a second: better to cut a
	// hanging one short and send it again on another connection.
	closeTimeout = 10 * time.Second
	// readTimeout is for reads; a page of 999 with all our properties takes a few seconds on a bad day.
	readTimeout = 20 * time.Second
	// writeTimeout is for idempotent directory writes, about a second each when the directory is healthy.
	writeTimeout = 30 * time.Second
	// inviteTimeout is for an invitation, which may send a mail before it answers. Cutting it short costs a minute of looking.
	inviteTimeout = 60 * time.Second
	// governanceTimeout is for PIM and entitlement requests: the first assignment onboards the whole group.
	governanceTimeout = 60 * time.Second
)

// Attempts inside one call, the first included. The caller's loop goes on where these stop.
const (
	maxAttempts = 3
	// maxThrottleWait is the longest Retry-After that is waited for here; longer ones go back to the caller, which can use
	// its worker for somebody else.
	maxThrottleWait = 10 * time.Second
	firstBackoff    = 250 * time.Millisecond
)

// call is one request to Graph in the making.
type call struct {
	op       string // our word, for errors, logs and metrics
	method   string
	path     string // below GraphURL, segments escaped
	query    string // encoded, without "?"
	link     string // a nextLink or deltaLink, in place of path and query
	body     any    // nil: none
	eventual bool   // advanced query: reads an index that lags
	again    bool   // idempotent: may be sent again when the outcome of an attempt is unknown
	needs    string // application permission, for the message of a 403
	timeout  time.Duration
	cost     cost
}

// read is a GET of path with select-like options in query.
func read(op, path, query, needs string) *call {
	return &call{op: op, method: http.MethodGet, path: path, query: query, again: true, needs: needs, timeout: readTimeout, cost: cost{lane: laneRead, units: 1}}
}

// write is an idempotent change.
func write(op, method, path string, body any, needs string) *call {
	return &call{op: op, method: method, path: path, body: body, again: true, needs: needs, timeout: writeTimeout, cost: cost{lane: laneWrite, units: 1}}
}

// seg escapes one path segment.
func seg(s string) string { return url.PathEscape(s) }

// query encodes OData options given as name, value, name, value. Graph wants spaces as %20, and "#" as %23.
func query(pairs ...string) string {
	var b strings.Builder
	for i := 0; i+1 < len(pairs); i += 2 {
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		b.WriteString(pairs[i] + "=" + strings.ReplaceAll(url.QueryEscape(pairs[i+1]), "+", "%20"))
	}
	return b.String()
}

// quote makes an OData string literal.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// do sends a call, repeats it where that is provably safe and short, and decodes a success into out (nil: not needed).
// Errors are *contractor.Failure, or ctx's own.
func (c *Client) do(ctx context.Context, k *call, out any) (*exchange, error) {
	if c.tracer == nil {
		return c.repeat(ctx, k, out)
	}
	ctx, span := c.tracer.Start(ctx, "Graph "+k.op, trace.WithSpanKind(trace.SpanKindClient))
	ex, err := c.repeat(ctx, k, out)
	endSpan(span, k, ex, err)
	return ex, err
}

func (c *Client) repeat(ctx context.Context, k *call, out any) (*exchange, error) {
	var body []byte
	if k.body != nil {
		var err error
		if body, err = json.Marshal(k.body); err != nil {
			return &exchange{}, &contractor.Failure{Op: k.op, Verdict: contractor.VerdictPermanent, Message: "the body cannot be written as JSON", Cause: err}
		}
	}
	refreshed, doubt := false, false
	for try := 1; ; try++ {
		ex, err := c.attempt(ctx, k, body)
		ex.doubt, ex.tries = doubt, try
		if err == nil && out != nil {
			err = decode(ex, out)
		}
		if err == nil && ok(ex.status) {
			return ex, nil
		}
		if ctx.Err() != nil {
			return ex, ctx.Err()
		}
		f := c.failure(k, ex, err)
		wait, again := repeatIn(k, f, ex, try)
		if f.Status == http.StatusUnauthorized && !refreshed {
			refreshed, again, wait = true, true, 0
			c.auth.discard(ex.bearer)
		}
		if !again {
			return ex, f
		}
		doubt = doubt || f.Verdict == contractor.VerdictRetry && !ex.unsent()
		c.log.DebugContext(ctx, "sending again", "op", k.op, "try", try, "status", f.Status, "code", f.Code, "client_request_id", f.ClientRequestID)
		if err := sleep(ctx, wait); err != nil {
			return ex, err
		}
	}
}

func ok(status int) bool { return status >= 200 && status < 300 }

// repeatIn decides whether an attempt that failed is made again here, and after how long.
func repeatIn(k *call, f *contractor.Failure, ex *exchange, try int) (time.Duration, bool) {
	if try >= maxAttempts {
		return 0, false
	}
	backoff := firstBackoff << (2 * (try - 1))
	backoff += rand.N(backoff / 2) //nolint:gosec // spread, no secret: so that callers who failed together do not come back together
	switch {
	case f.Verdict == contractor.VerdictThrottled:
		// Known not to have happened, whatever the method. The budget holds everybody back meanwhile.
		return 0, f.RetryAfter <= maxThrottleWait
	case f.Verdict != contractor.VerdictRetry:
		return 0, false
	case ex.began.IsZero() || ex.unsent(): // it never left
		return backoff, true
	case !k.again || f.Status == http.StatusLocked:
		return 0, false
	case f.RetryAfter > 0:
		return f.RetryAfter, f.RetryAfter <= maxThrottleWait
	}
	return backoff, f.Status == 0 || f.Status >= 500 || ok(f.Status)
}

// attempt sends the call once, when the budget lets it.
func (c *Client) attempt(ctx context.Context, k *call, body []byte) (*exchange, error) {
	ex := &exchange{id: uuid.NewString(), call: k.method + " " + withoutIDs(k.path), body: body}
	u, err := c.address(k)
	if err != nil {
		return ex, err
	}
	ticket, err := c.budget.acquire(ctx, k.cost)
	if err != nil {
		return ex, err
	}
	request := abs.NewRequestInformation()
	request.Method = methods(k.method)
	request.SetUri(*u)
	request.Headers.Add("Accept", "application/json")
	request.Headers.Add("User-Agent", "scimbridge")
	if k.eventual {
		request.Headers.Add("ConsistencyLevel", "eventual")
	}
	if p := contractor.PriorityOf(ctx); p == contractor.PrioritySweep {
		request.Headers.Add("x-ms-throttle-priority", "low")
	}
	if body != nil {
		request.SetStreamContentAndContentType(body, "application/json")
	}
	try, cancel := context.WithTimeout(context.WithValue(ctx, exchangeKey{}, ex), k.timeout)
	defer cancel()
	_, err = c.adapter.SendPrimitive(try, request, "[]byte", abs.ErrorMappings{"XXX": odataerrors.CreateODataErrorFromDiscriminatorValue})
	c.clock.note(ex)
	c.budget.settle(ticket, ex)
	c.report(ctx, k, ex, ticket)
	return ex, err
}

// address is where the call goes. A link that Graph gave is followed as it is, but only to Graph.
func (c *Client) address(k *call) (*url.URL, error) {
	raw := k.link
	if raw == "" {
		raw = c.graphURL + k.path
		if k.query != "" {
			raw += "?" + k.query
		}
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("the address of the call: %w", err)
	}
	if !sameOrigin(u, c.origin) || u.User != nil {
		return nil, errForeignHost
	}
	return u, nil
}

func methods(m string) abs.HttpMethod {
	switch m {
	case http.MethodPost:
		return abs.POST
	case http.MethodPatch:
		return abs.PATCH
	case http.MethodPut:
		return abs.PUT
	case http.MethodDelete:
		return abs.DELETE
	}
	return abs.GET
}

var errNoBody = errors.New("the answer has no body")

func decode(ex *exchange, out any) error {
	if len(ex.answer) == 0 {
		return errNoBody
	}
	if err := json.Unmarshal(ex.answer, out); err != nil {
		return fmt.Errorf("the answer is not the JSON that was expected: %w", err)
	}
	return nil
}

// maxPages bounds one listing: more pages than any object of a bridge can have.
const maxPages = 2000

// list reads all pages. Empty pages with a nextLink are legal; a link that repeats or leads away from Graph is not.
func list[T any](ctx context.Context, c *Client, k *call) (all []T, err error) {
	err = eachPage(ctx, c, k, func(page []T) error {
		all = append(all, page...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// eachPage reads a list page by page.
func eachPage[T any](ctx context.Context, c *Client, k *call, yield func([]T) error) error {
	for range maxPages {
		var page struct {
			Value    []T    `json:"value"`
			NextLink string `json:"@odata.nextLink"`
		}
		if _, err := c.do(ctx, k, &page); err != nil {
			return err
		}
		if err := yield(page.Value); err != nil {
			return err
		}
		if page.NextLink == "" {
			return nil
		}
		if page.NextLink == k.link {
			break
		}
		next := *k
		next.path, next.query, next.link = "", "", page.NextLink
		k = &next
	}
	return &contractor.Failure{Op: k.op, Verdict: contractor.VerdictPermanent, Message: "Graph's list does not end; report this with the request-id"}
}

// receipt is the proof of a change.
func receipt(ex *exchange) contractor.Receipt {
	r := contractor.Receipt{Call: ex.call, RequestID: header(ex, "request-id"), ClientRequestID: ex.id}
	if t, err := http.ParseTime(header(ex, "Date")); err == nil {
		r.ServerTime = t
	}
	return r
}

// soReceipt is the proof that it is so and nothing has to be changed. If an earlier attempt of the same call may have done it,
// it was not so before.
func soReceipt(ex *exchange) contractor.Receipt {
	r := receipt(ex)
	r.AlreadySo = !ex.doubt
	return r
}

// proven drops the receipt of a call that came with an error after all.
func proven(r contractor.Receipt, err error) (contractor.Receipt, error) {
	if err != nil {
		return contractor.Receipt{}, err
	}
	return r, nil
}

var idInPath = regexp.MustCompile(`[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}`)

// withoutIDs is a path that names a kind of call, not whom it was about: whatever could be an id or a name becomes {id}.
func withoutIDs(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if idInPath.MatchString(p) || strings.ContainsAny(p, "@%'") {
			parts[i] = "{id}"
		}
	}
	return strings.Join(parts, "/")
}
