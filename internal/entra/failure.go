package entra

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/microsoftgraph/msgraph-sdk-go/models/odataerrors"

	"scimbridge/internal/contractor"
)

// graphError is what Graph said, besides the status. It may hold personal data (addresses): it is a cause for the operator
// who asks for it, never part of a message or a log line.
type graphError struct {
	codes   []string // outermost first, then inner errors, then details
	message string
}

func (e *graphError) Error() string {
	return strings.Join(e.codes, "/") + ": " + e.message
}

// has reports whether one of the codes is code, in any case.
func (e *graphError) has(code string) bool {
	return e != nil && slices.ContainsFunc(e.codes, func(c string) bool { return strings.EqualFold(c, code) })
}

// said reports whether the message holds text, in any case. Messages are not a contract ("do not branch on message", Graph's
// documentation says), so every use of them stands in this file.
func (e *graphError) said(text string) bool {
	return e != nil && strings.Contains(strings.ToLower(e.message), text)
}

// asGraph is what Graph said in err, nil if it said nothing.
func asGraph(err error) *graphError {
	var g *graphError
	errors.As(err, &g)
	return g
}

// alreadyMember: POST members/$ref for a member, or sponsors/$ref for a sponsor ("One or more added object references already
// exist for the following modified properties: 'members'").
func (e *graphError) alreadyExists() bool { return e.said("already exist") }

// noReference: DELETE .../$ref of what is not there ("One or more removed object references do not exist").
func (e *graphError) noReference() bool { return e.said("references do not exist") }

// userExists: POST /invitations for an address in the directory ("... already exists in the directory as object ID: {guid}").
func (e *graphError) userExists() bool { return e.said("already exists in the directory") }

// aboutSponsors: a refused body whose inline sponsors are at fault; their form is not documented.
func (e *graphError) aboutSponsors() bool { return e.said("sponsor") }

// aboutLicence: a 403 for what the tenant has not bought, not for what the application may not do.
func (e *graphError) aboutLicence() bool { return e.said("license") || e.said("premium") }

// blockedAddress says why an invitation was refused, in our words; "" if Graph did not say.
func (e *graphError) blockedAddress() string {
	switch {
	case e.said("verified domain"):
		return "the address lies in one of the tenant's own domains, so its owner cannot be a guest; have the vendor send the person's own address"
	case e.said("cross-tenant access"):
		return "the tenant's cross-tenant access settings block the address's organisation; allow it there or have another address sent"
	case e.said("domain") && (e.said("allow") || e.said("block")):
		return "the tenant's external collaboration settings do not allow the address's domain; add it to the allow list or have another address sent"
	case e.said("proxyaddress"):
		return "another object (a mail contact, perhaps) has the address among its proxyAddresses; remove it there"
	case e.said("signing in"), e.said("blocked from"):
		return "the address belongs to an account that is blocked from signing in; enable or delete that account first"
	}
	return ""
}

var objectIDHint = regexp.MustCompile(`(?i)object id:?\s*\{?([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})`)

// hintedID is the object id in a userExists message; a hint only, to be confirmed by a read.
func (e *graphError) hintedID() string {
	if e == nil {
		return ""
	}
	if m := objectIDHint.FindStringSubmatch(e.message); m != nil {
		return strings.ToLower(m[1])
	}
	return ""
}

// readGraphError takes what the SDK understood, or reads the raw answer where it understood nothing (HTML, JSON without an
// error member, a message that is an object).
func readGraphError(err error, raw []byte) *graphError {
	if len(raw) > 0 {
		if g := parseGraphError(raw); g != nil {
			return g
		}
	}
	var od *odataerrors.ODataError
	if !errors.As(err, &od) || od == nil {
		return nil
	}
	main := od.GetErrorEscaped() // od.Error() would panic if this is nil
	if main == nil {
		return nil
	}
	g := &graphError{}
	if c := main.GetCode(); c != nil {
		g.codes = append(g.codes, *c)
	}
	if m := main.GetMessage(); m != nil {
		g.message = *m
	}
	return g
}

type errorObject struct {
	Code       json.RawMessage `json:"code"`
	Message    json.RawMessage `json:"message"`
	InnerError json.RawMessage `json:"innerError"` // innererror, too: names match in any case
	Details    json.RawMessage `json:"details"`
}

// maxErrorDepth bounds the walk through inner errors.
const maxErrorDepth = 8

func parseGraphError(raw []byte) *graphError {
	var outer struct {
		Error json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(raw, &outer); err != nil || len(outer.Error) == 0 {
		return nil //nolint:nilerr // no JSON, so nothing that Graph said
	}
	g := &graphError{}
	next := outer.Error
	var details []json.RawMessage
	for range maxErrorDepth {
		var o errorObject
		if json.Unmarshal(next, &o) != nil {
			break
		}
		g.add(text(o.Code))
		if m := text(o.Message); m != "" && g.message == "" {
			g.message = m
		}
		if len(o.Details) > 0 {
			var many []json.RawMessage
			if json.Unmarshal(o.Details, &many) != nil {
				many = []json.RawMessage{o.Details}
			}
			details = append(details, many...)
		}
		if len(o.InnerError) == 0 {
			break
		}
		next = o.InnerError
	}
	for _, d := range details {
		var o errorObject
		if json.Unmarshal(d, &o) == nil {
			g.add(text(o.Code))
		}
	}
	if len(g.codes) == 0 && g.message == "" {
		return nil
	}
	return g
}

func (e *graphError) add(code string) {
	if code != "" && len(e.codes) < 16 {
		e.codes = append(e.codes, code)
	}
}

// text reads a string, or the value of an object such as {"lang":"en","value":"..."}.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	var o struct {
		Value string `json:"value"`
	}
	if json.Unmarshal(raw, &o) == nil {
		return o.Value
	}
	return ""
}

// failure sorts what went wrong with an attempt by what may be done next.
func (c *Client) failure(k *call, ex *exchange, err error) *contractor.Failure {
	f := &contractor.Failure{Op: k.op, Status: ex.status, ClientRequestID: ex.id, Cause: err}
	if ex.header != nil {
		f.RequestID = ex.header.Get("request-id")
		f.RetryAfter = retryAfter(ex.header, ex.ended)
	}
	var token *tokenError
	switch {
	case errors.As(err, &token):
		tokenFailure(f, token)
	case errors.Is(err, errForeignHost):
		f.Verdict, f.Message = contractor.VerdictPermanent, "Graph pointed to an address that is not its own; nothing was sent there. Check entra.graph_url"
	case ex.status == 0:
		noAnswer(f, k, ex, err)
	case ok(ex.status):
		f.Verdict, f.Message = contractor.VerdictRetry, "Graph's answer could not be read"
		if !k.again {
			f.Verdict = contractor.VerdictUnknown
		}
	default:
		g := readGraphError(err, ex.answer)
		if g != nil {
			f.Cause, f.Code = g, innermost(g)
		} else {
			f.Cause = errors.New("the answer was no Graph error: " + strconv.Quote(string(ex.answer[:min(len(ex.answer), 200)])))
		}
		byStatus(f, k)
	}
	return f
}

func innermost(g *graphError) string {
	if len(g.codes) == 0 {
		return ""
	}
	// Details come last but say what is wrong with a value; the first code that is not a general word names the case best.
	for _, code := range slices.Backward(g.codes) {
		if !slices.Contains([]string{"BadRequest", "Request_BadRequest", "General", "None"}, code) {
			return code
		}
	}
	return g.codes[0]
}

// tokenFailure tells a refused credential, which a person must mend, from a login service that could not be reached.
func tokenFailure(f *contractor.Failure, cause error) {
	f.Verdict, f.Message = contractor.VerdictRetry, "no access token could be fetched; trying again"
	var refused *azidentity.AuthenticationFailedError
	if errors.As(cause, &refused) && refused.RawResponse != nil {
		status := refused.RawResponse.StatusCode
		if status >= 400 && status < 500 && status != http.StatusTooManyRequests && status != http.StatusRequestTimeout {
			f.Verdict = contractor.VerdictRefused
			f.Message = "the login service refused the application's credential; check entra.tenant_id, entra.client_id and the credential's file and expiry"
		}
	}
	if errors.Is(cause, errCredentialFile) {
		f.Verdict, f.Message = contractor.VerdictRefused, "the credential's file cannot be used; check entra.credential.file"
	}
}

// noAnswer is a call without an HTTP status: what matters is whether it can have reached Graph.
func noAnswer(f *contractor.Failure, k *call, ex *exchange, err error) {
	f.Verdict = contractor.VerdictRetry
	f.Message = "Graph could not be reached; check the network, the proxy and entra.graph_url"
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.As(err, &untrusted):
		f.Message = "Graph's certificate is not trusted; check the proxy, entra.graph_url and entra.ca_file"
	case errors.Is(err, context.DeadlineExceeded):
		f.Message = "Graph did not answer within " + k.timeout.String()
	}
	if !k.again && !ex.began.IsZero() && !ex.unsent() {
		f.Verdict = contractor.VerdictUnknown
	}
}

// byStatus is the table of status codes (graph.md 6.4).
func byStatus(f *contractor.Failure, k *call) {
	uncertain := contractor.VerdictUnknown
	if k.again {
		uncertain = contractor.VerdictRetry
	}
	switch s := f.Status; {
	case s < 400:
		f.Verdict, f.Message = contractor.VerdictPermanent, "Graph answered with a redirect; check entra.graph_url"
	case s == http.StatusUnauthorized:
		f.Verdict, f.Message = contractor.VerdictRefused, "Graph refused the access token; check entra.cloud, entra.tenant_id and the application's consent"
	case s == http.StatusForbidden:
		f.Verdict, f.Message = contractor.VerdictRefused, "Graph forbids this"
		if k.needs != "" {
			f.Message += ": the application needs " + k.needs + " with admin consent, the tenant its licence, and the target must not be privileged; run scimbridge doctor"
		}
	case s == http.StatusNotFound, s == http.StatusGone:
		f.Verdict, f.Message = contractor.VerdictGone, "Graph does not know the object"
	case s == http.StatusRequestTimeout:
		f.Verdict, f.Message = uncertain, "Graph gave up waiting"
	case s == http.StatusConflict:
		f.Verdict, f.Message = contractor.VerdictUnknown, "the object was changed by somebody else at the same time; reading it again"
	case s == http.StatusPreconditionFailed:
		f.Verdict, f.Message = contractor.VerdictRetry, "the object was changed by somebody else; reading it again"
	case s == http.StatusLocked:
		f.Verdict, f.Message = contractor.VerdictRetry, "the object is locked"
		f.RetryAfter = max(f.RetryAfter, lockedPause)
	case s == http.StatusFailedDependency:
		f.Verdict, f.Message = contractor.VerdictRetry, "a request that this one depends on failed"
	case s == http.StatusTooManyRequests:
		f.Verdict, f.Message = contractor.VerdictThrottled, "Graph's quota is used up; waiting"
	case s == http.StatusNotImplemented:
		f.Verdict, f.Message = contractor.VerdictPermanent, "Graph cannot do this"
	case s >= 500:
		f.Verdict, f.Message = uncertain, "Graph failed"
	default: // 400, 405, 415, 422 …
		f.Verdict, f.Message = contractor.VerdictPermanent, "Graph refused the request as wrong; the request-id finds it in Entra's logs"
	}
}

// lockedPause is how long a locked object is left alone.
const lockedPause = 30 * time.Second

// retryAfter reads the header in both of its forms, counted from the answer's arrival; 0 if there is none.
func retryAfter(h http.Header, at time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if v == "" {
		return 0
	}
	if s, err := strconv.ParseFloat(v, 64); err == nil && s >= 0 && s < maxRetryAfter.Seconds() {
		return time.Duration(s * float64(time.Second))
	}
	if t, err := http.ParseTime(v); err == nil {
		if date, err := http.ParseTime(h.Get("Date")); err == nil {
			at = date // the same clock
		}
		return min(max(t.Sub(at), 0), maxRetryAfter)
	}
	return 0
}

// maxRetryAfter bounds what a header can ask for: a broken one must not stop the bridge for days.
const maxRetryAfter = time.Hour

// refused is a failure of our own: the call was not made.
func refused(op, message string) *contractor.Failure {
	return &contractor.Failure{Op: op, Verdict: contractor.VerdictRefused, Message: message}
}

// wrong is a failure of our own: the call cannot be made like this.
func wrong(op, message string) *contractor.Failure {
	return &contractor.Failure{Op: op, Verdict: contractor.VerdictPermanent, Message: message}
}

// status is the HTTP status of err, 0 if it has none.
func status(err error) int {
	if f, ok := errors.AsType[*contractor.Failure](err); ok {
		return f.Status
	}
	return 0
}
