package main

import (
	"context"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"scimbridge/internal/config"
	"scimbridge/internal/contractor"
	"scimbridge/internal/entra/emulator"
	"scimbridge/internal/scim"
)

// otlp is an OpenTelemetry collector for traces.
type otlp struct {
	mu        sync.Mutex
	refuse    bool
	spans     []*spans.Span
	resource  map[string]string
	keys      []string // X-Api-Key of each delivery
	delivered string   // every byte of it, to look for what must not be there
}

func (c *otlp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 8<<20))
	var request collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &request)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil || c.refuse {
		http.Error(w, "no", http.StatusForbidden)
		return
	}
	c.keys = append(c.keys, r.Header.Get("X-Api-Key"))
	c.delivered += string(body)
	for _, rs := range request.ResourceSpans {
		c.resource = map[string]string{}
		for _, a := range rs.Resource.Attributes {
			c.resource[a.Key] = a.Value.GetStringValue()
		}
		for _, s := range rs.ScopeSpans {
			c.spans = append(c.spans, s.Spans...)
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// find is the first span whose name begins so, below parent where one is given.
func (c *otlp) find(name string, parent *spans.Span) *spans.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if strings.HasPrefix(s.Name, name) && (parent == nil || string(s.ParentSpanId) == string(parent.SpanId)) {
			return s
		}
	}
	return nil
}

func attributesOf(s *spans.Span) map[string]any {
	all := map[string]any{}
	for _, a := range s.Attributes {
		if all[a.Key] = a.Value.GetStringValue(); all[a.Key] == "" {
			all[a.Key] = a.Value.GetIntValue()
		}
	}
	return all
}

// below is the span that s lies below, once it has come.
func (c *otlp) below(s *spans.Span) *spans.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.spans {
		if string(p.SpanId) == string(s.ParentSpanId) {
			return p
		}
	}
	return nil
}

// TestTracing pushes a contractor into a daemon that sends its traces to a collector: the request belongs to the vendor's own
// trace, pass, calls to Graph and commits are told with what an operator asks for, and nobody's name or address is in any of it.
func TestTracing(t *testing.T) {
	t.Parallel()
	c := &otlp{refuse: true}
	srv := httptest.NewServer(c)
	t.Cleanup(srv.Close)
	st, log := tracedStage(t, srv.URL)
	d := st.daemon
	token := scim.NewToken()
	_, err := d.store.AddToken(t.Context(), admin(), contractor.Token{Vendor: "okta", Hash: scim.HashToken(token)}, "test")
	ok(t, err)
	flush := func() { ok(t, d.tracing.provider.ForceFlush(t.Context())) }
	const theirs = "4bf92f3577b34da6a3ce929d0e0e4736"
	v := &vendorClient{
		name: "okta", base: "http://" + d.scimAddr.String() + "/scim/v2", token: token, mime: "application/json",
		http: &http.Client{Transport: withTraceparent("00-" + theirs + "-00f067aa0ba902b7-01")},
	}
	_, err = v.create(t.Context(), bo, okta(bo, "Bonifatius", "Diazepano", "Developer", time.Now().AddDate(0, 0, 30)))
	ok(t, err)
	eventually(t, 30*time.Second, "the guest is there", func() bool { return guestOf(st.tenant.State(), bo) != nil })
	eventually(t, 20*time.Second, "it is told that the collector refuses", func() bool { flush(); return strings.Contains(log.String(), "does not take traces") })
	c.mu.Lock()
	c.refuse = false
	c.mu.Unlock()
	_, err = v.create(t.Context(), "cy@kforce.example", strings.Replace(okta("cy@kforce.example", "Cyrillus", "Diazepano", "Developer", time.Now().AddDate(0, 0, 30)), "00uj1y4nGd7uJ5rUQ0g4", "00uj1y4nGd7uJ5rUQ0g5", 1))
	ok(t, err)
	eventually(t, 30*time.Second, "the invitation's pass is delivered", func() bool {
		flush()
		invite := c.find("Graph invite", nil)
		return invite != nil && c.below(invite) != nil
	})
	ok(t, d.stop(context.WithoutCancel(t.Context())))
	st.daemon = nil

	request := c.find("SCIM POST /scim/v2/Users", nil)
	if request == nil {
		t.Fatal("no span of the vendor's request was delivered")
	}
	if got := hex.EncodeToString(request.TraceId); got != theirs {
		t.Errorf("the request is in trace %s, not in the vendor's", got)
	}
	if a := attributesOf(request); a["http.route"] != "/scim/v2/Users" || a["scimbridge.vendor"] != "okta" || a["http.response.status_code"] != int64(201) {
		t.Errorf("the request's span says %v", a)
	}
	if c.find("commit: create an engagement", request) == nil {
		t.Error("the commit of the request is not below it")
	}
	invite := c.find("Graph invite", nil)
	if invite == nil {
		t.Fatal("no span of the invitation was delivered")
	}
	if a := attributesOf(invite); a["http.request.method"] != "POST" || a["http.response.status_code"] != int64(201) || a["scimbridge.graph.request_id"] == "" {
		t.Errorf("the invitation's span says %v", a)
	}
	pass := c.below(invite)
	if pass == nil || pass.Name != "reconcile" || attributesOf(pass)["scimbridge.person"] == "" || attributesOf(pass)["scimbridge.vendor"] != "okta" {
		t.Errorf("the invitation is not below a pass, but below %v", pass)
	}
	if c.find("commit: record an outcome", pass) == nil {
		t.Error("the outcome's commit is not below the pass")
	}
	for _, personal := range []string{bo, "cy@kforce.example", "kforce.example", "Bonifatius", "Diazepano"} {
		if strings.Contains(c.delivered, personal) {
			t.Errorf("%s is in a trace", personal)
		}
	}
	if c.resource["service.name"] != "scimbridge" || c.resource["deployment.environment.name"] != "test" {
		t.Errorf("the daemon says of itself: %v", c.resource)
	}
	if len(c.keys) == 0 || c.keys[0] != "k-123" {
		t.Errorf("the header of the file was not sent: %q", c.keys)
	}
	if !strings.Contains(log.String(), "takes traces again") || !strings.Contains(log.String(), "trace_id=") {
		t.Error("the log does not tell that the collector is back, or no line names its trace")
	}
}

// tracedStage is a daemon over an emulated tenant that sends all traces to a collector, with its log at level debug.
func tracedStage(t *testing.T, endpoint string) (*stage, *lockedBuffer) {
	t.Helper()
	tenant, err := emulator.New(emulator.Config{Seed: 6, Throttle: -1, ServerError: -1})
	ok(t, err)
	ok(t, seedTenant(tenant))
	st := &stage{dir: t.TempDir(), tenant: tenant}
	st.graph, err = tenant.Start(context.WithoutCancel(t.Context()), emulator.StartConfig{GraphAddr: "127.0.0.1:0", LoginAddr: "127.0.0.1:0"})
	ok(t, err)
	_, err = st.writeFiles()
	ok(t, err)
	write(t, st, "headers", "X-Api-Key: k-123\n")
	replace(t, st, "admin_socket:", "tracing: {endpoint: "+endpoint+"/v1/traces, headers_file: ./headers, attributes: {deployment.environment.name: test}}\nadmin_socket:")
	cfg, problems := config.Load(st.configAt)
	ok(t, problems.Err())
	log := &lockedBuffer{}
	st.daemon, err = start(t.Context(), options{config: cfg, log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	ok(t, err)
	t.Cleanup(func() { ok(t, st.close(context.Background())) })
	return st, log
}

type withTraceparent string

func (h withTraceparent) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Traceparent", string(h))
	return http.DefaultTransport.RoundTrip(r)
}

// TestUntraced: without tracing: nothing that a request passes through, and nothing that a part is given, is there for it.
func TestUntraced(t *testing.T) {
	t.Parallel()
	var off *tracing
	if off.tracer("entra") != nil {
		t.Error("there is a tracer though nothing is traced")
	}
	next := http.NewServeMux()
	if off.scim(next) != http.Handler(next) {
		t.Error("a request passes through a middleware though nothing is traced")
	}
}
