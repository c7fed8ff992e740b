package entra_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"scimbridge/internal/entra"
)

const (
	root    = "https://graph.test/v1.0"
	guestID = "2d9b6f1e-0f5a-4c7e-9a53-5b3c2f6f1d10"
	groupID = "b5d0a1f8-90a4-4b6c-8f0c-1f2f8c6c7a11"
	bossID  = "7f0a9c52-2f64-4a0c-8d0e-3b7a8f3f5d10"
	packID  = "0e8c2b64-4d43-4a1e-9c51-6a9d2f3b8e13"
	polID   = "5a1f3c0e-7f02-4d0a-a5b2-0f4e6a2f7c12"
	asgID   = "a1c7e0b2-3c5d-4f6e-8a90-1b2c3d4e5f60"
	reqID   = "11111111-3c5d-4f6e-8a90-1b2c3d4e5f60"
)

// sent is one request as it reached the scripted Graph.
type sent struct {
	Method, Path string
	Query        url.Values
	Header       http.Header
	Body         string
}

func (s sent) line() string { return s.Method + " " + s.Path }

// reply is what the scripted Graph answers.
type reply struct {
	status int
	body   string
	header map[string]string
	err    error // no answer at all
	hang   bool  // no answer until the caller gives up
}

// graph is a Graph that answers each request as its script says: the first rule that matches and is not used up.
type graph struct {
	t     *testing.T
	mu    sync.Mutex
	rules []*rule
	calls []sent
}

type rule struct {
	match   string // "GET /users/{id}" below /v1.0; a trailing * stands for anything, " ~text" wants text in the filter
	replies []reply
	always  bool
}

// on answers requests that match with the replies, one each; the last one stays for all that follow.
func (g *graph) on(match string, replies ...reply) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.rules = append([]*rule{{match: match, replies: replies, always: true}}, g.rules...)
}

// RoundTrip plays Graph in process.
func (g *graph) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	s := sent{r.Method, strings.TrimPrefix(r.URL.EscapedPath(), "/v1.0"), r.URL.Query(), r.Header.Clone(), string(body)}
	g.mu.Lock()
	g.calls = append(g.calls, s)
	a := g.answer(s)
	g.mu.Unlock()
	switch {
	case a.hang:
		<-r.Context().Done()
		return nil, r.Context().Err()
	case a.err != nil:
		return nil, a.err
	}
	h := http.Header{"Content-Type": {"application/json"}, "Request-Id": {"server-" + s.Method}, "Date": {time.Now().UTC().Format(http.TimeFormat)}}
	for k, v := range a.header {
		h.Set(k, v)
	}
	return &http.Response{StatusCode: a.status, Header: h, Body: io.NopCloser(strings.NewReader(a.body)), ContentLength: int64(len(a.body)), Request: r}, nil
}

func (g *graph) answer(s sent) reply {
	for _, r := range g.rules {
		match, filter, _ := strings.Cut(r.match, " ~")
		prefix, wild := strings.CutSuffix(match, "*")
		if (s.line() == match || wild && strings.HasPrefix(s.line(), prefix)) && strings.Contains(s.Query.Get("$filter"), filter) {
			a := r.replies[0]
			if len(r.replies) > 1 {
				r.replies = r.replies[1:]
			}
			return a
		}
	}
	return reply{status: 404, body: graphError("Request_ResourceNotFound", "Resource does not exist or one of its queried reference-property objects are not present.")}
}

// lines are the requests so far, reads left out if writesOnly.
func (g *graph) lines(writesOnly bool) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []string
	for _, s := range g.calls {
		if !writesOnly || s.Method != http.MethodGet {
			out = append(out, s.line())
		}
	}
	return out
}

// last is the newest request that matches.
func (g *graph) last(line string) sent {
	g.t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range slices.Backward(g.calls) {
		if s.line() == line {
			return s
		}
	}
	g.t.Fatalf("no request %q among %d", line, len(g.calls))
	return sent{}
}

func graphError(code, message string) string {
	return fmt.Sprintf(`{"error":{"code":%q,"message":%q,"innerError":{"date":"2026-11-22T10:00:00","request-id":"r","client-request-id":"c"}}}`, code, message)
}

// token is a credential that counts how often it was asked.
type token struct {
	mu    sync.Mutex
	asked int
	life  time.Duration
	err   error
	seen  []policy.TokenRequestOptions
}

func (k *token) GetToken(_ context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked++
	k.seen = append(k.seen, o)
	if k.err != nil {
		return azcore.AccessToken{}, k.err
	}
	life := k.life
	if life == 0 {
		life = time.Hour
	}
	return azcore.AccessToken{Token: fmt.Sprintf("token-%d", k.asked), ExpiresOn: time.Now().Add(life)}, nil
}

func (k *token) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.asked
}

// script builds a client over a scripted Graph in which guestID is a plain guest and groupID a usable group.
func script(t *testing.T, change ...func(*entra.Config)) (*entra.Client, *graph) {
	t.Helper()
	g := &graph{t: t}
	g.on("GET /users/"+guestID, reply{status: 200, body: guestBody})
	g.on("GET /users/"+guestID+"/memberOf", reply{status: 200, body: `{"value":[]}`})
	g.on("GET /users ~id eq", reply{status: 200, body: `{"value":[]}`})
	g.on("GET /groups/"+groupID, reply{status: 200, body: `{"id":"` + groupID + `","displayName":"ext-base","groupTypes":[],"securityEnabled":true,"mailEnabled":false,"onPremisesSyncEnabled":null,"isAssignableToRole":null}`})
	config := entra.Config{
		GraphURL: root, Credential: &token{}, Transport: g, InviteSettle: -1,
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, f := range change {
		f(&config)
	}
	c, err := entra.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return c, g
}

const guestBody = `{"id":"` + guestID + `","userPrincipalName":"ada.byron_vendor.example#EXT#@corp.onmicrosoft.com","mail":"ada.byron@vendor.example",` +
	`"otherMails":[],"userType":"Guest","accountEnabled":true,"externalUserState":"Accepted","createdDateTime":"2026-11-01T08:00:00Z",` +
	`"displayName":"Ada Byron","companyName":null,"employeeOrgData":{"costCenter":"4711","division":null},` +
	`"onPremisesExtensionAttributes":{"extensionAttribute1":"x","extensionAttribute2":null}}`

// fields decodes a body into its members.
func fields(t *testing.T, body string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		t.Fatalf("body %q: %v", body, err)
	}
	return m
}

func nopLogger() *slog.Logger { return slog.New(slog.DiscardHandler) }
