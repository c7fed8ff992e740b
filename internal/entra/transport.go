package entra

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// Bounds of the bodies that are read. A page of 999 users with all our properties is under 2 MiB.
const (
	maxAnswer      = 16 << 20
	maxErrorAnswer = 64 << 10
)

var (
	errForeignHost = errors.New("the address is not that of the configured Graph, so no token may be sent to it")
	errTooLarge    = fmt.Errorf("the answer is larger than %d MiB", maxAnswer>>20)
	errNoExchange  = errors.New("a request left the adapter without its record")
)

// exchange records one request and its answer beside the SDK, whose errors lose the status of an HTML page and whose
// successes lose the headers.
type exchange struct {
	id     string // client-request-id
	call   string // method and path, without ids
	body   []byte // as sent
	bearer string // Authorization as sent

	tries int  // of the call, this one included
	doubt bool // an earlier attempt of the same call may have taken effect

	status int // 0: no answer
	header http.Header
	answer []byte
	began  time.Time
	ended  time.Time

	// asked and got say how far the connection came; they are written by net/http's own goroutines.
	asked, got atomic.Bool
}

type exchangeKey struct{}

// unsent reports whether the request provably never left: net/http looked for a connection and got none.
func (e *exchange) unsent() bool { return e.status == 0 && e.asked.Load() && !e.got.Load() }

// transport is the innermost of the pipeline: it stamps the request, sends it to the one origin it may go to, and reads the
// answer whole, within bounds. It never repeats and never follows a redirect.
type transport struct {
	base   http.RoundTripper
	origin *url.URL
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	ex, ok := req.Context().Value(exchangeKey{}).(*exchange)
	if !ok {
		return nil, errNoExchange
	}
	if !sameOrigin(req.URL, t.origin) {
		return nil, errForeignHost
	}
	ctx := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GetConn: func(string) { ex.asked.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { ex.got.Store(true) },
	})
	req = req.Clone(ctx)
	req.Header.Set("client-request-id", ex.id)
	ex.bearer = req.Header.Get("Authorization")
	if req.Body != nil {
		// The adapter gives no length, which would mean chunks and no second try on a connection that was closed in between.
		req.ContentLength = int64(len(ex.body))
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(ex.body)), nil }
	}
	ex.began = time.Now()
	resp, err := t.base.RoundTrip(req)
	ex.ended = time.Now()
	if err != nil {
		return nil, err
	}
	ex.status, ex.header = resp.StatusCode, resp.Header
	body, err := readAll(resp)
	ex.ended = time.Now()
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	ex.answer = body
	soften(resp, body)
	return resp, nil
}

// readAll reads and closes the body; an error page is cut at its bound, anything else that is too large is an error.
func readAll(resp *http.Response) ([]byte, error) {
	defer resp.Body.Close() //nolint:errcheck // the bytes are what counts
	limit := int64(maxAnswer)
	if resp.StatusCode >= 400 {
		limit = maxErrorAnswer
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case resp.StatusCode >= 400 && len(body) > 0: // a broken error page is still an error page
		return body[:min(int64(len(body)), limit)], nil
	case err != nil:
		return nil, err
	case int64(len(body)) > limit:
		return nil, errTooLarge
	}
	return body, nil
}

// soften shows the adapter an answer on which it cannot stumble. It panics on a claims parameter without quotes, and an
// ODataError whose body had no error panics when it is printed (a tracer does that); HTML it cannot read at all. What Graph
// really said stays in the exchange.
func soften(resp *http.Response, body []byte) {
	if resp.StatusCode < 400 {
		resp.Body = io.NopCloser(bytes.NewReader(body))
		return
	}
	resp.Header = resp.Header.Clone()
	for p := range strings.SplitSeq(strings.ToLower(resp.Header.Get("WWW-Authenticate")), ",") {
		if strings.Contains(p, "claims") && strings.Count(p, `"`) < 2 {
			resp.Header.Del("WWW-Authenticate")
		}
	}
	plain := map[string]map[string]string{"error": {"code": "", "message": resp.Status}}
	if g := parseGraphError(body); g != nil {
		plain["error"]["code"], plain["error"]["message"] = strings.Join(g.codes, "/"), g.message
	}
	raw, err := json.Marshal(plain)
	if err != nil {
		raw = []byte(`{"error":{"code":"","message":""}}`)
	}
	resp.Header.Set("Content-Type", "application/json")
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(raw)), int64(len(raw))
}

// NewTransport is the transport used where Config.Transport is nil: HTTP/2, connections kept and reused, the environment's
// proxy, TLS 1.2 or later. caFile, if not "", is a PEM file of further root certificates (an emulator's).
func NewTransport(caFile string) (*http.Transport, error) {
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("reading the CA file: %w", err)
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("CA file %s holds no PEM certificate", caFile)
		}
		tlsConfig.RootCAs = pool
	}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:       tlsConfig,
		TLSHandshakeTimeout:   dialTimeout,
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          maxInFlight,
		MaxIdleConnsPerHost:   maxInFlight, // HTTP/1.1 to an emulator: else all but two connections are closed after each call
		IdleConnTimeout:       90 * time.Second,
		ExpectContinueTimeout: time.Second,
		// A connection that a firewall dropped silently would cost every call its whole deadline.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
	}, nil
}

// dialTimeout bounds connecting and the TLS handshake, each: a healthy path to Graph needs a tenth of a second.
const dialTimeout = 5 * time.Second

func sameOrigin(a, b *url.URL) bool {
	return strings.EqualFold(a.Scheme, b.Scheme) && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	if strings.EqualFold(u.Scheme, "http") {
		return "80"
	}
	return "443"
}

// loopback reports whether host names this machine.
func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// sleep waits for d or for the end of ctx, whose error it returns.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
