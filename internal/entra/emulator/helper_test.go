package emulator_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"scimbridge/internal/entra/emulator"
)

// origin is where the clock of these tests begins.
func origin() time.Time { return time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC) }

// kind is a configuration without bad luck: what is left is the service's own behaviour.
func kind() emulator.Config {
	return emulator.Config{Seed: 1, Now: origin, Lag: -1, Throttle: -1, ServerError: -1, EntitlementDelay: -1, PageSize: 100}
}

// client calls an emulator as an application would, by hand-written HTTP.
type client struct {
	t     testing.TB
	e     *emulator.Emulator
	http  *http.Client
	token string
}

func newClient(t testing.TB, cfg emulator.Config) *client {
	t.Helper()
	e, err := emulator.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c := &client{t: t, e: e, http: &http.Client{Transport: e.Transport()}}
	c.login()
	return c
}

// login fetches a token with the client secret.
func (c *client) login() {
	c.t.Helper()
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {emulator.DefaultClientID}, "client_secret": {emulator.DefaultClientSecret},
		"scope": {"https://graph.microsoft.com/.default"},
	}
	resp, err := c.http.PostForm("https://"+emulator.LoginHost+"/"+emulator.DefaultTenantID+"/oauth2/v2.0/token", form)
	if err != nil {
		c.t.Fatal(err)
	}
	defer closed(c.t, resp.Body)
	var body struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil || body.AccessToken == "" {
		c.t.Fatalf("no token: %v, status %d", err, resp.StatusCode)
	}
	c.token = body.AccessToken
}

// try sends a request and tells its status; 0 and the error when there is no answer.
func try(t testing.TB, hc *http.Client, req *http.Request) (int, error) {
	t.Helper()
	resp, err := hc.Do(req)
	if err != nil {
		return 0, err
	}
	defer closed(t, resp.Body)
	return resp.StatusCode, nil
}

// closed closes a body and fails the test when that fails.
func closed(t testing.TB, body io.Closer) {
	t.Helper()
	if err := body.Close(); err != nil {
		t.Error(err)
	}
}

// reply is an answer, read whole.
type reply struct {
	status int
	header http.Header
	raw    string
	body   map[string]any
	err    error
}

// code is the error code of an OData error body.
func (r reply) code() string {
	e, _ := r.body["error"].(map[string]any)
	s, _ := e["code"].(string)
	return s
}

func (r reply) message() string {
	e, _ := r.body["error"].(map[string]any)
	s, _ := e["message"].(string)
	return s
}

func (r reply) text(name string) string {
	s, _ := r.body[name].(string)
	return s
}

// value is the list of a collection.
func (r reply) value() []map[string]any {
	list, _ := r.body["value"].([]any)
	var out []map[string]any
	for _, e := range list {
		m, _ := e.(map[string]any)
		out = append(out, m)
	}
	return out
}

// call sends a request below /v1.0 (or to a whole URL); body may be nil, text or a value
// for JSON. Headers come in pairs.
func (c *client) call(method, path string, body any, headers ...string) reply {
	c.t.Helper()
	target := path
	if !strings.HasPrefix(path, "https://") && !strings.HasPrefix(path, "http://") {
		target = "https://" + emulator.GraphHost + "/v1.0" + path
	}
	var in io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		in = strings.NewReader(b)
	case []byte:
		in = bytes.NewReader(b)
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			c.t.Fatal(err)
		}
		in = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(c.t.Context(), method, target, in)
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return reply{err: err}
	}
	defer closed(c.t, resp.Body)
	raw, err := io.ReadAll(resp.Body)
	r := reply{status: resp.StatusCode, header: resp.Header, raw: string(raw), err: err}
	_ = json.Unmarshal(raw, &r.body) // some error bodies are no JSON, on purpose
	return r
}

// must calls and wants a status.
func (c *client) must(status int, method, path string, body any, headers ...string) reply {
	c.t.Helper()
	r := c.call(method, path, body, headers...)
	if r.err != nil || r.status != status {
		c.t.Fatalf("%s %s: status %d (%v), want %d: %s", method, path, r.status, r.err, status, r.raw)
	}
	return r
}

// refused calls and wants a status with an error code.
func (c *client) refused(status int, code, method, path string, body any, headers ...string) reply {
	c.t.Helper()
	r := c.must(status, method, path, body, headers...)
	if r.code() != code {
		c.t.Fatalf("%s %s: code %q, want %q: %s", method, path, r.code(), code, r.raw)
	}
	return r
}

// all follows a list to its end.
func (c *client) all(path string, headers ...string) []map[string]any {
	c.t.Helper()
	var out []map[string]any
	for pages := 0; path != ""; pages++ {
		if pages > 10_000 {
			c.t.Fatal("a list without end")
		}
		r := c.must(200, "GET", path, nil, headers...)
		out = append(out, r.value()...)
		path = r.text("@odata.nextLink")
	}
	return out
}

// advance moves the emulator's clock.
func (c *client) advance(d time.Duration) {
	c.t.Helper()
	if err := c.e.AdvanceClock(d); err != nil {
		c.t.Fatal(err)
	}
}

// invite makes a guest and returns its id.
func (c *client) invite(address string) string {
	c.t.Helper()
	r := c.must(201, "POST", "/invitations", map[string]any{"invitedUserEmailAddress": address, "inviteRedirectUrl": "https://myapps.microsoft.com"})
	user, _ := r.body["invitedUser"].(map[string]any)
	id, _ := user["id"].(string)
	if id == "" {
		c.t.Fatalf("no user in %s", r.raw)
	}
	return id
}

// member adds a member user, group a security group; both fail the test on error.
func (c *client) member(name string) string {
	c.t.Helper()
	id, err := c.e.AddUser(emulator.UserSeed{UPN: name + "@contoso.example", Name: name})
	if err != nil {
		c.t.Fatal(err)
	}
	return id
}

func (c *client) group(s emulator.GroupSeed) string {
	c.t.Helper()
	id, err := c.e.AddGroup(s)
	if err != nil {
		c.t.Fatal(err)
	}
	return id
}

func (c *client) do(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// ref is a reference body.
func ref(set, id string) map[string]any {
	return map[string]any{"@odata.id": fmt.Sprintf("https://graph.microsoft.com/v1.0/%s/%s", set, id)}
}

// pim is a request for PIM for Groups.
func pim(action, group, user string, end time.Time) map[string]any {
	b := map[string]any{"action": action, "accessId": "member", "groupId": group, "principalId": user, "justification": "test"}
	if !end.IsZero() {
		b["scheduleInfo"] = map[string]any{"expiration": map[string]any{"type": "afterDateTime", "endDateTime": end.Format(time.RFC3339)}}
	}
	return b
}

const (
	pimBase = "/identityGovernance/privilegedAccess/group/"
	emBase  = "/identityGovernance/entitlementManagement/"
)
