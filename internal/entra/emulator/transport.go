package emulator

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// Hosts that the in-process transport answers for, besides the real names of Graph and
// of the login service in every cloud.
const (
	GraphHost = "graph.emulator.example"
	LoginHost = "login.emulator.example"
)

// Transport answers requests in the caller's goroutine, without a network: for tests,
// also inside testing/synctest bubbles. It knows the hosts of Graph and of the login
// service in every cloud, GraphHost, LoginHost and names that end in them.
func (e *Emulator) Transport() http.RoundTripper {
	return &transport{graph: e.Graph(), login: e.Login()}
}

type transport struct{ graph, login http.Handler }

func (t *transport) handler(host string) http.Handler {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	is := func(names ...string) bool {
		for _, n := range names {
			if host == n || strings.HasSuffix(host, "."+n) {
				return true
			}
		}
		return false
	}
	switch {
	case is(GraphHost, "graph.microsoft.com", "graph.microsoft.us", "dod-graph.microsoft.us", "microsoftgraph.chinacloudapi.cn"):
		return t.graph
	case is(LoginHost, "login.microsoftonline.com", "login.microsoftonline.us", "login.chinacloudapi.cn", "login.partner.microsoftonline.cn"):
		return t.login
	}
	return nil
}

// RoundTrip serves one request.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close() //nolint:errcheck // the contract of RoundTripper, nothing to learn from it
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	h := t.handler(r.URL.Host)
	if h == nil {
		return nil, fmt.Errorf("emulator: no such host: %s (known are %s, %s and the names of the real services)", r.URL.Host, GraphHost, LoginHost)
	}
	in := r.Clone(r.Context())
	in.Host = or(r.Host, r.URL.Host)
	in.RequestURI = r.URL.RequestURI()
	in.RemoteAddr = "127.0.0.1:1"
	if in.Body == nil {
		in.Body = http.NoBody
	}
	rec := &recorder{header: http.Header{}}
	if !serveRecovering(h, rec, in) {
		return nil, fmt.Errorf("emulator: the connection was closed: %w", io.ErrUnexpectedEOF)
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return rec.response(r), nil
}

// serveRecovering returns false when the handler dropped the connection.
func serveRecovering(h http.Handler, w http.ResponseWriter, r *http.Request) (answered bool) {
	defer func() {
		if p := recover(); p != nil {
			if p != http.ErrAbortHandler { //nolint:errorlint // the documented sentinel of net/http, never wrapped
				panic(p)
			}
			answered = false
		}
	}()
	h.ServeHTTP(w, r)
	return true
}

// recorder is the ResponseWriter of the transport.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *recorder) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

func (w *recorder) response(r *http.Request) *http.Response {
	w.WriteHeader(http.StatusOK)
	return &http.Response{
		Status: fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)), StatusCode: w.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: w.header,
		Body: io.NopCloser(bytes.NewReader(w.body.Bytes())), ContentLength: int64(w.body.Len()), Request: r,
	}
}
