package scim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
	"scimbridge/internal/scim"
)

const (
	urnContractor = contractor.ExtensionURN
	urnEnterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	urnUser       = "urn:ietf:params:scim:schemas:core:2.0:User"
)

// world is a door over a real store, with vendors that have signed up.
type world struct {
	t       testing.TB
	store   *db.Store
	server  *httptest.Server
	tokens  map[string]string
	vendors sync.Map // name -> *contractor.Vendor
	catalog []contractor.Entitlement
	wakes   atomic.Int64
	log     lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// acme is the vendor that tests use where they say nothing else.
func acme() *contractor.Vendor {
	return &contractor.Vendor{
		Name: "acme", EmailDomains: []string{"acme.example", "*.acme.example"}, MissingEnd: contractor.MissingEndHold,
		Zone: time.UTC, TestUsers: []string{"scim-test-*"}, RatePerSec: -1,
	}
}

// globex is another vendor.
func globex() *contractor.Vendor {
	return &contractor.Vendor{Name: "globex", EmailDomains: []string{"globex.example"}, MissingEnd: contractor.MissingEndHold, Zone: time.UTC, RatePerSec: -1}
}

// newWorld opens a door for vendors; acme and globex where none are named. configure may change the door's configuration.
func newWorld(t testing.TB, configure func(*scim.Config), vendors ...*contractor.Vendor) *world {
	t.Helper()
	store, err := db.Open(context.Background(), db.Config{Path: filepath.Join(t.TempDir(), "scimbridge.db")})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, store: store, tokens: map[string]string{}}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	if len(vendors) == 0 {
		vendors = []*contractor.Vendor{acme(), globex()}
	}
	for _, v := range vendors {
		w.vendors.Store(v.Name, v)
		token := scim.NewToken()
		row := contractor.Token{ID: "token-of-" + v.Name, Vendor: v.Name, Hash: scim.HashToken(token)}
		if _, err := store.AddToken(context.Background(), audit.Actor{Kind: audit.ActorAdmin, Name: "test"}, row, "test"); err != nil {
			t.Fatal(err)
		}
		w.tokens[v.Name] = token
	}
	w.catalog = []contractor.Entitlement{
		{Kind: contractor.KindGroup, Name: "ext-base", ID: "3f0c6f0e-1d7b-4b1f-9a57-0b1f0a3a9a01"},
		{Kind: contractor.KindGroup, Name: "ext-finance", ID: "9c3f61c2-5a0f-4c3e-8a55-6d1f5c7f2b02"},
		{Kind: contractor.KindAccessPackage, Name: "dev-basic", ID: "5b7a7c88-0a4f-4b52-b1ad-33a1c9e7aa03"},
	}
	config := scim.Config{
		Store: store, Wake: func() { w.wakes.Add(1) }, Logger: slog.New(slog.NewTextHandler(&w.log, nil)),
		Vendors: func(name string) (*contractor.Vendor, bool) {
			v, ok := w.vendors.Load(name)
			if !ok {
				return nil, false
			}
			return v.(*contractor.Vendor), true
		},
		Names: func() []string {
			var names []string
			w.vendors.Range(func(name, _ any) bool { names = append(names, name.(string)); return true })
			slices.Sort(names)
			return names
		},
		Groups: func() []contractor.Entitlement { return w.catalog },
	}
	if configure != nil {
		configure(&config)
	}
	door, err := scim.New(config)
	if err != nil {
		t.Fatal(err)
	}
	w.server = httptest.NewUnstartedServer(door.Handler())
	door.Guard(w.server.Config)
	w.server.Start()
	t.Cleanup(w.server.Close)
	return w
}

// reply is an answer of the door.
type reply struct {
	t      testing.TB
	what   string
	status int
	header http.Header
	body   []byte
}

// as makes requests as a vendor; "" for nobody.
func (w *world) as(vendor string) client { return client{w, vendor} }

type client struct {
	w      *world
	vendor string
}

// do sends a request. Headers come in pairs.
func (c client) do(method, path, body string, headers ...string) reply {
	c.w.t.Helper()
	r, err := http.NewRequest(method, c.w.server.URL+scim.Base+path, strings.NewReader(body))
	if err != nil {
		c.w.t.Fatal(err)
	}
	if c.vendor != "" {
		r.Header.Set("Authorization", "Bearer "+c.w.tokens[c.vendor])
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/scim+json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if r.Header.Del(headers[i]); headers[i+1] != "" {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	resp, err := c.w.server.Client().Do(r)
	if err != nil {
		c.w.t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err := errorsJoin(err, resp.Body.Close()); err != nil {
		c.w.t.Fatal(err)
	}
	return reply{c.w.t, method + " " + path, resp.StatusCode, resp.Header, b}
}

func errorsJoin(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// do sends a request as acme.
func (w *world) do(method, path, body string, headers ...string) reply {
	w.t.Helper()
	return w.as("acme").do(method, path, body, headers...)
}

// want checks the status.
func (r reply) want(status int) reply {
	r.t.Helper()
	if r.status != status {
		r.t.Fatalf("%s: status %d, want %d\n%s", r.what, r.status, status, r.body)
	}
	return r
}

// refused checks an error's status and scimType, and that its detail holds a word.
func (r reply) refused(status int, scimType, detail string) {
	r.t.Helper()
	r.want(status)
	if got := r.str("schemas.0"); got != "urn:ietf:params:scim:api:messages:2.0:Error" {
		r.t.Errorf("%s: not an error body: %s", r.what, r.body)
	}
	if got := r.str("status"); got != fmt.Sprint(status) {
		r.t.Errorf("%s: status in the body is %q", r.what, got)
	}
	if got := r.str("scimType"); got != scimType {
		r.t.Errorf("%s: scimType %q, want %q\n%s", r.what, got, scimType, r.body)
	}
	if got := r.str("detail"); !strings.Contains(got, detail) {
		r.t.Errorf("%s: detail %q does not say %q", r.what, got, detail)
	}
}

// at is the value at a path of names and indexes. Names with dots (URNs) are written in angle brackets.
func (r reply) at(path string) any {
	r.t.Helper()
	if !strings.Contains(r.header.Get("Content-Type"), "application/scim+json") {
		r.t.Fatalf("%s: the answer is %q", r.what, r.header.Get("Content-Type"))
	}
	var v any
	if err := json.Unmarshal(r.body, &v); err != nil {
		r.t.Fatalf("%s: %v\n%s", r.what, err, r.body)
	}
	return dig(v, path)
}

func dig(v any, path string) any {
	for path != "" && v != nil {
		var name string
		if path[0] == '<' {
			end := strings.IndexByte(path, '>')
			name, path = path[1:end], strings.TrimPrefix(path[end+1:], ".")
		} else {
			name, path, _ = strings.Cut(path, ".")
		}
		switch x := v.(type) {
		case map[string]any:
			v = x[name]
		case []any:
			var i int
			if name == "#" {
				return float64(len(x))
			}
			if _, err := fmt.Sscan(name, &i); err != nil || i >= len(x) {
				return nil
			}
			v = x[i]
		default:
			return nil
		}
	}
	return v
}

func (r reply) str(path string) string {
	r.t.Helper()
	s, _ := r.at(path).(string)
	return s
}

// is checks a value, given as JSON; "" for none.
func (r reply) is(path, want string) reply {
	r.t.Helper()
	got := ""
	if v := r.at(path); v != nil {
		b, err := json.Marshal(v)
		if err != nil {
			r.t.Fatal(err)
		}
		got = string(b)
	}
	if want != "" {
		var v any
		if err := json.Unmarshal([]byte(want), &v); err != nil {
			r.t.Fatalf("%s: %v", want, err)
		}
		b, _ := json.Marshal(v)
		want = string(b)
	}
	if got != want {
		r.t.Errorf("%s: %s is %s, want %s\n%s", r.what, path, orNothing(got), orNothing(want), r.body)
	}
	return r
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

// user is the JSON of a User with an end far away, and further members.
func user(name string, more ...string) string {
	address := name + "@acme.example"
	return fmt.Sprintf(`{"schemas":[%q,%q],"userName":%q,"emails":[{"value":%q,"type":"work","primary":true}],%q:{"endDate":"2099-12-31"}%s}`,
		urnUser, urnContractor, address, address, urnContractor, strings.Join(append([]string{""}, more...), ","))
}

// made posts a User of acme and gives its id.
func (w *world) made(name string, more ...string) string {
	w.t.Helper()
	return w.do("POST", "/Users", user(name, more...)).want(201).str("id")
}

// patch sends operations, written as JSON objects.
func (w *world) patch(id string, ops ...string) reply {
	w.t.Helper()
	return w.do("PATCH", "/Users/"+id, patchBody(ops...))
}

func patchBody(ops ...string) string {
	return `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[` + strings.Join(ops, ",") + `]}`
}

// ids lists the userNames that a filter finds.
func (w *world) found(filter string) []string {
	w.t.Helper()
	r := w.do("GET", "/Users?"+query("filter", filter), "").want(200)
	names := []string{}
	for i := range int(r.at("Resources.#").(float64)) {
		names = append(names, strings.TrimSuffix(r.str(fmt.Sprintf("Resources.%d.userName", i)), "@acme.example"))
	}
	return names
}

func admin() audit.Actor { return audit.Actor{Kind: audit.ActorAdmin, Name: "test"} }

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
