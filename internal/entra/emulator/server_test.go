package emulator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"scimbridge/internal/entra/emulator"
)

func TestOnlyLoopback(t *testing.T) {
	e, err := emulator.New(kind())
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range []string{"0.0.0.0:0", "[::]:0", ":0", "192.0.2.1:0", "example.com:0", "127.0.0.1", "127.0.0.1.example.com:0"} {
		for _, cfg := range []emulator.StartConfig{{GraphAddr: addr}, {LoginAddr: addr}} {
			if s, err := e.Start(t.Context(), cfg); err == nil {
				t.Errorf("%+v listens", cfg)
				s.Close() //nolint:errcheck // the test has failed already
			} else if !strings.Contains(err.Error(), "127.0.0.1") {
				t.Errorf("%+v: the message does not say what to do: %v", cfg, err)
			}
		}
	}
	for _, addr := range []string{"localhost:0", "127.0.0.1:0"} {
		s, err := e.Start(t.Context(), emulator.StartConfig{GraphAddr: addr, PlainLogin: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("the second Close: %v", err)
		}
	}
}

func TestServerEndsWithItsContext(t *testing.T) {
	e, err := emulator.New(kind())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s, err := e.Start(ctx, emulator.StartConfig{})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := s.Close(); err != nil { // waits for the end
		t.Error(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.GraphURL+"/users", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := try(t, http.DefaultClient, req); err == nil {
		t.Error("it still listens")
	}
}

// The control endpoints, over the network.
func TestControl(t *testing.T) {
	cfg := kind()
	e, s, hc := started(t, cfg)
	base := strings.TrimSuffix(s.GraphURL, "/v1.0") + "/_emulator/"
	call := func(method, path string, body any, headers ...string) (int, map[string]any) {
		t.Helper()
		raw, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), method, base+path, bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+1 < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		resp, err := hc.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer closed(t, resp.Body)
		out := map[string]any{}
		_ = json.NewDecoder(resp.Body).Decode(&out) // lists and texts are not looked at
		return resp.StatusCode, out
	}
	want := func(status int, method, path string, body any) map[string]any {
		t.Helper()
		got, out := call(method, path, body)
		if got != status {
			t.Fatalf("%s %s: %d, want %d: %v", method, path, got, status, out)
		}
		return out
	}
	user := want(200, "POST", "users", map[string]any{"userPrincipalName": "ada@contoso.example", "displayName": "Ada"})["id"]
	group := want(200, "POST", "groups", map[string]any{"displayName": "g", "members": []any{user}})["id"]
	want(200, "POST", "packages", map[string]any{"displayName": "p", "groups": []any{group}})
	want(200, "POST", "roles", map[string]any{"name": "Reader", "users": []any{user}})
	want(204, "POST", "do", map[string]any{"action": "disable", "user": user})
	want(204, "POST", "do", map[string]any{"action": "removeMember", "user": user, "group": group})
	want(400, "POST", "do", map[string]any{"action": "dance"})
	want(400, "POST", "users", map[string]any{"name": "x"})
	want(204, "POST", "faults", map[string]any{"match": "user.list", "status": 503, "retryAfter": "2s", "body": "html"})
	want(204, "DELETE", "faults", nil)
	want(204, "POST", "outage", map[string]any{"for": "1s", "status": 503})
	want(204, "POST", "permissions", map[string]any{"permissions": []any{"User.Read.All"}})
	want(204, "POST", "tokens/revoke", map[string]any{"challenge": true})
	before := e.Now()
	want(200, "POST", "clock", map[string]any{"advance": "48h"})
	if moved := e.Now().Sub(before); moved < 48*time.Hour {
		t.Errorf("the clock moved by %s", moved)
	}
	want(400, "POST", "clock", map[string]any{"advance": "-1h"})
	if got := want(200, "POST", "signin", map[string]any{"userId": user}); got["allowed"] != false {
		t.Errorf("a disabled user signs in: %v", got)
	}
	state := want(200, "GET", "state", nil)
	if users := state["users"].([]any); len(users) != 1 || users[0].(map[string]any)["enabled"] != false {
		t.Errorf("state %v", state["users"])
	}
	for _, path := range []string{"", "calls", "report", "operations", "clock"} {
		want(200, "GET", path, nil)
	}
	if status, _ := call("GET", "state", nil, "Origin", "https://evil.example"); status != 403 {
		t.Errorf("a web page gets %d", status)
	}
}

// A month of a guest inside a synctest bubble: no goroutine outlives a call, and the
// emulator's clock is the bubble's.
func TestInSynctestBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, emulator.Config{Seed: 7, TokenLifetime: 365 * 24 * time.Hour, Throttle: -1, ServerError: -1})
		wait := func(d time.Duration) { <-time.After(d) }
		g := c.group(emulator.GroupSeed{Name: "g"})
		id := c.invite("ada@vendor.example")
		end := time.Now().Add(30 * 24 * time.Hour)
		for c.call("POST", pimBase+"assignmentScheduleRequests", pim("adminAssign", g, id, end)).status != 201 {
			wait(time.Second)
		}
		c.do(c.e.Fail(emulator.Fault{Match: "user.get", Mode: emulator.HeldBack, Delay: time.Hour}))
		before := time.Now()
		c.call("GET", "/users/"+id, nil)
		if waited := time.Since(before); waited != time.Hour {
			t.Errorf("held back for %s", waited)
		}
		wait(29 * 24 * time.Hour)
		if got := len(c.e.State().Members(g)); got != 1 {
			t.Errorf("%d members before the end", got)
		}
		wait(24 * time.Hour)
		if got := len(c.e.State().Members(g)); got != 0 {
			t.Errorf("%d members after the end", got)
		}
	})
}

// story is a run of calls against an unkind tenant; it returns everything that was
// answered.
func story(t *testing.T, seed uint64) []string {
	t.Helper()
	now := origin()
	c := newClient(t, emulator.Config{Seed: seed, Now: func() time.Time { return now }, Throttle: 0.1, ServerError: 0.1})
	g := c.group(emulator.GroupSeed{Name: "g"})
	var log []string
	note := func(r reply) {
		log = append(log, fmt.Sprintf("%d %s %s", r.status, r.header.Get("Retry-After"), r.raw))
		now = now.Add(200 * time.Millisecond)
	}
	for i := range 15 {
		r := c.call("POST", "/invitations", map[string]any{"invitedUserEmailAddress": fmt.Sprintf("a%d@v.example", i), "inviteRedirectUrl": "https://x.example"})
		note(r)
		user, _ := r.body["invitedUser"].(map[string]any)
		id, _ := user["id"].(string)
		note(c.call("PATCH", "/users/"+id, map[string]any{"jobTitle": "x", "nonsense1": 1, "nonsense2": 2}))
		note(c.call("GET", "/users/"+id, nil))
		note(c.call("POST", pimBase+"assignmentScheduleRequests", pim("adminAssign", g, id, origin().Add(24*time.Hour))))
		note(c.call("GET", "/groups/"+g+"/members", nil))
		note(c.call("GET", "/users?$filter=userType%20eq%20'Guest'", nil))
	}
	return log
}

func TestSameSeedSameStory(t *testing.T) {
	first, again, other := story(t, 42), story(t, 42), story(t, 43)
	if diff := cmp.Diff(first, again); diff != "" {
		t.Errorf("the same seed told another story: %s", diff)
	}
	if slices.Equal(first, other) {
		t.Error("another seed told the same story")
	}
}

// Callers at once, for the race detector; the truth must add up.
func TestConcurrentCallers(t *testing.T) {
	cfg := kind()
	cfg.Lag, cfg.Throttle, cfg.ServerError, cfg.Now = time.Millisecond, 0.05, 0.05, time.Now
	c := newClient(t, cfg)
	g := c.group(emulator.GroupSeed{Name: "g"})
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 25 {
				id, err := c.e.AddUser(emulator.UserSeed{UPN: fmt.Sprintf("u%d-%d@contoso.example", w, i)})
				if err != nil {
					t.Error(err)
					return
				}
				for range 50 {
					r := c.call("POST", "/groups/"+g+"/members/$ref", ref("users", id))
					if r.status == 204 || r.status == 400 {
						break
					}
				}
				c.call("GET", "/groups/"+g+"/members", nil)
				c.e.State()
				c.e.Report()
			}
		})
	}
	wg.Wait()
	if got := len(c.e.State().Members(g)); got != 200 {
		t.Errorf("%d members, want 200", got)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for _, cfg := range []emulator.Config{{TenantID: "x"}, {ClientID: "x"}, {PageSize: 1000}, {PageSize: -1}, {Throttle: 2}, {InitialDomain: "x"}, {MaxCalls: -1}} {
		if _, err := emulator.New(cfg); err == nil {
			t.Errorf("%+v is accepted", cfg)
		}
	}
	e, err := emulator.New(emulator.Config{})
	if err != nil {
		t.Fatal(err)
	}
	got := e.Config()
	if got.PageSize != 3 || got.Lag != 1500*time.Millisecond || got.Throttle != 0.03 || got.ServerError != 0.01 || got.AdminCap != 180*24*time.Hour || got.ClientSecret != "" {
		t.Errorf("defaults %+v", got)
	}
	if got.Unknowns.ReinviteRefused == emulator.Either {
		t.Error("an unknown is not settled by the seed")
	}
}

func TestCallsAreKeptInARing(t *testing.T) {
	cfg := kind()
	cfg.MaxCalls = 3
	c := newClient(t, cfg)
	for _, id := range []string{"1", "2", "3", "4", "5"} {
		c.call("GET", "/users/"+id, nil, "client-request-id", id)
	}
	var got []string
	for _, call := range c.e.Calls() {
		got = append(got, call.ClientRequestID)
	}
	if diff := cmp.Diff([]string{"3", "4", "5"}, got); diff != "" {
		t.Error(diff)
	}
	r := c.e.Report()
	if r.Calls != 5 || r.ByStatus[404] != 5 || r.ByOperation["user.get"].Refused != 5 || r.Permissions["User.Read.All"] != 5 {
		t.Errorf("report %+v", r)
	}
}

func TestTransportKnowsItsHosts(t *testing.T) {
	c := newClient(t, kind())
	for _, host := range []string{"graph.microsoft.com", "graph.microsoft.us", "dod-graph.microsoft.us", "microsoftgraph.chinacloudapi.cn", "tenant-1." + emulator.GraphHost} {
		c.must(200, "GET", "https://"+host+"/v1.0/users", nil)
	}
	if r := c.call("GET", "https://evilgraph.microsoft.com.example/v1.0/users", nil); r.err == nil {
		t.Error("an unknown host is served")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+emulator.GraphHost+"/v1.0/users", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := try(t, c.http, req); err == nil {
		t.Error("a canceled request is served")
	}
}
