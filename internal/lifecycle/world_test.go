package lifecycle_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
	"scimbridge/internal/entra"
	"scimbridge/internal/entra/emulator"
	"scimbridge/internal/lifecycle"
	"scimbridge/internal/mapper"
	"scimbridge/internal/scim"
)

const (
	graphURL  = "https://graph.microsoft.com/v1.0"
	groupBase = "3f0c6f0e-1d7b-4b1f-9a57-0b1f0a3a9a01"
	groupFin  = "9c3f61c2-5a0f-4c3e-8a55-6d1f5c7f2b02"
	packDev   = "5b7a7c88-0a4f-4b52-b1ad-33a1c9e7aa03"
	policyDev = "7e1d2f60-64a1-4c8e-9f0b-8d2c6b5e4d04"
)

const worldMapping = `version: 1
defaults:
  timezone: Europe/Berlin
  max_duration: 720d
  missing_end: hold
  activate_early: 2d
  offboarding: {delete_after: 30d}
  notify: {before_end: [14d, 1d]}
  sponsor: {required: true, from: [c.sponsorEmail]}
catalog:
  groups:
    ext-base: {id: ` + groupBase + `}
    ext-finance: {id: ` + groupFin + `, expiry: bridge}
  access_packages:
    dev-basic: {id: ` + packDev + `, policy: ` + policyDev + `}
vendors:
  acme: {email_domains: [acme.example]}
  kforce: {email_domains: [acme.example, kforce.example]}
guest:
  displayName: ${c.givenName} ${c.familyName}
  companyName: ${c.supplier}
rules:
  - name: everyone
    grant: {groups: [ext-base]}
  - name: finance
    when: c.department == "Finance"
    grant: {groups: [ext-finance]}
  - name: developers
    when: c.title == "Developer"
    grant: {access_packages: [dev-basic]}
`

// world is the bridge on an emulated tenant in one bubble of fake time. Nothing listens: the vendors' requests go to the
// door's handler, the bridge's to the emulator's.
type world struct {
	t       testing.TB
	tenant  *emulator.Emulator
	store   *db.Store
	door    http.Handler
	loop    *lifecycle.Loop
	mapping *mapper.Mapping
	tokens  map[string]string
	path    string
	stopRun func()
	vendors map[string]string // engagement id -> vendor
	former  map[string]*mapper.Mapping
	// between, if not nil, stands between the loop and Entra.
	between func(lifecycle.Directory) lifecycle.Directory
	cut     func() // makes the running process's calls to Entra fail
}

// formerRules finds a mapping that was in force.
func (w *world) formerRules(revision string) (lifecycle.Rules, bool) {
	m, known := w.former[revision]
	return m, known
}

func newWorld(t testing.TB, cfg emulator.Config) *world {
	t.Helper()
	return newWorldOf(t, cfg, worldMapping)
}

func newWorldOf(t testing.TB, cfg emulator.Config, mapping string) *world {
	t.Helper()
	return newWorldBetween(t, cfg, mapping, nil)
}

func newWorldBetween(t testing.TB, cfg emulator.Config, mapping string, between func(lifecycle.Directory) lifecycle.Directory) *world {
	t.Helper()
	tenant, err := emulator.New(cfg)
	must(t, err)
	_, err = tenant.AddUser(emulator.UserSeed{UPN: "sponsor@contoso.example", Name: "Sam Sponsor"})
	must(t, err)
	for id, name := range map[string]string{groupBase: "ext-base", groupFin: "ext-finance"} {
		_, err := tenant.AddGroup(emulator.GroupSeed{ID: id, Name: name})
		must(t, err)
	}
	_, _, err = tenant.AddAccessPackage(emulator.PackageSeed{ID: packDev, Name: "dev-basic", PolicyID: policyDev})
	must(t, err)
	m, problems := mapper.Parse("mapping.yaml", []byte(mapping))
	must(t, problems.Err())
	w := &world{t: t, tenant: tenant, mapping: m, tokens: map[string]string{}, vendors: map[string]string{}, former: map[string]*mapper.Mapping{}, between: between, path: filepath.Join(t.TempDir(), "world.db")}
	w.start()
	for _, v := range m.Vendors() {
		w.tokens[v] = scim.NewToken()
		_, err := w.store.AddToken(t.Context(), audit.Actor{Kind: audit.ActorAdmin, Name: "test"}, contractor.Token{Vendor: v, Hash: scim.HashToken(w.tokens[v])}, "test")
		must(t, err)
	}
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// start opens the store and runs the loop, as a process does that begins.
func (w *world) start() {
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	log := slog.New(slog.DiscardHandler)
	store, err := db.Open(ctx, db.Config{Path: w.path})
	must(w.t, err)
	line := &severable{RoundTripper: w.tenant.Transport()}
	graph, err := entra.New(entra.Config{GraphURL: graphURL, Credential: &token{transport: line, cfg: w.tenant.Config()}, Transport: line, Logger: log})
	must(w.t, err)
	var directory lifecycle.Directory = graph
	if w.between != nil {
		directory = w.between(graph)
	}
	loop, err := lifecycle.New(lifecycle.Config{
		Store: store, Directory: directory, Logger: log, Workers: 4, Poll: time.Hour, Skew: graph.ClockSkew,
		Rules: func() lifecycle.Rules { return w.mapping }, Former: func(r string) (lifecycle.Rules, bool) { return w.formerRules(r) },
	})
	must(w.t, err)
	door, err := scim.New(scim.Config{
		Store: store, Logger: log, Wake: loop.Wake, PublicURL: "https://scim.contoso.example",
		Vendors: func(n string) (*contractor.Vendor, bool) { return w.mapping.Vendor(n) },
		Names:   func() []string { return w.mapping.Vendors() },
		Groups:  func() []contractor.Entitlement { return w.mapping.Catalog() },
	})
	must(w.t, err)
	done := make(chan error, 1)
	go func() { done <- loop.Run(ctx) }()
	w.store, w.loop, w.door, w.cut = store, loop, door.Handler(), line.cut
	w.stopRun = func() {
		w.stopRun = func() {}
		cancel()
		must(w.t, <-done)
		must(w.t, store.Close())
	}
}

// crash is kill -9: what is on disk at this instant is all that the next process knows, and what this one does from now on reaches
// nobody.
func (w *world) crash() {
	w.t.Helper()
	synctest.Wait()
	next := filepath.Join(w.t.TempDir(), "after.db")
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(w.path + suffix)
		must(w.t, err)
		must(w.t, os.WriteFile(next+suffix, b, 0o600))
	}
	w.cut()
	w.stopRun()
	w.path = next
	w.start()
}

// severable is the way to Entra of one process.
type severable struct {
	http.RoundTripper
	severed atomic.Bool
}

func (s *severable) cut() { s.severed.Store(true) }

func (s *severable) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.severed.Load() {
		return nil, errors.New("the process is dead")
	}
	return s.RoundTripper.RoundTrip(r)
}

// restart stops the bridge and starts it again from its file.
func (w *world) restart() {
	w.stopRun()
	w.start()
}

// token gets the bridge's access token from the emulator's authority.
type token struct {
	transport http.RoundTripper
	cfg       emulator.Config
}

func (c *token) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {c.cfg.ClientID}, "client_secret": {emulator.DefaultClientSecret}, "scope": o.Scopes}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://login.microsoftonline.com/"+c.cfg.TenantID+"/oauth2/v2.0/token", strings.NewReader(form.Encode()))
	if err != nil {
		return azcore.AccessToken{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return azcore.AccessToken{}, err
	}
	defer resp.Body.Close() //nolint:errcheck // a test
	var body struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
		Error       string `json:"error_description"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
		return azcore.AccessToken{}, err
	}
	if body.AccessToken == "" {
		return azcore.AccessToken{}, fmt.Errorf("no token: %s", body.Error)
	}
	return azcore.AccessToken{Token: body.AccessToken, ExpiresOn: time.Now().Add(time.Duration(body.ExpiresIn) * time.Second)}, nil
}

// send is one vendor's SCIM request; it wants the status.
func (w *world) send(vendor, method, path, body string, want int) map[string]any {
	w.t.Helper()
	r := httptest.NewRequestWithContext(w.t.Context(), method, "/scim/v2"+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+w.tokens[vendor])
	r.Header.Set("Content-Type", "application/scim+json")
	rec := httptest.NewRecorder()
	w.door.ServeHTTP(rec, r)
	if rec.Code != want {
		w.t.Fatalf("%s %s %s: HTTP %d %s, want %d", vendor, method, path, rec.Code, rec.Body, want)
	}
	var doc map[string]any
	if rec.Body.Len() > 0 {
		must(w.t, json.Unmarshal(rec.Body.Bytes(), &doc))
	}
	return doc
}

// who is a contractor as the tests push one.
type who struct {
	mail, title, department string
	start, end              time.Time
	sponsor                 string // "": the one there is
}

func (p who) json() string {
	date := func(key string, t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return fmt.Sprintf(`, %q: %q`, key, t.UTC().Format(time.RFC3339))
	}
	given, _, _ := strings.Cut(p.mail, "@")
	return fmt.Sprintf(`{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": %q, "active": true, "title": %q,
  "name": {"givenName": %q, "familyName": "Test"}, "emails": [{"value": %q, "primary": true}],
  "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"department": %q},
  %q: {"supplier": "ACME", "sponsorEmail": %q%s%s}}`,
		p.mail, p.title, given, p.mail, p.department, contractor.ExtensionURN, cmp.Or(p.sponsor, "sponsor@contoso.example"), date("startDate", p.start), date("endDate", p.end))
}

func (w *world) push(vendor string, p who) string {
	w.t.Helper()
	id, _ := w.send(vendor, http.MethodPost, "/Users", p.json(), http.StatusCreated)["id"].(string)
	w.vendors[id] = vendor
	return id
}

func (w *world) patch(id, attribute string, value any) {
	w.t.Helper()
	v, err := json.Marshal(value)
	must(w.t, err)
	w.send(w.vendors[id], http.MethodPatch, "/Users/"+id, fmt.Sprintf(
		`{"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [{"op": "replace", "path": %q, "value": %s}]}`, attribute, v), http.StatusOK)
}

func (w *world) end(id string, t time.Time) {
	w.t.Helper()
	w.patch(id, contractor.ExtensionURN+":endDate", t.UTC().Format(time.RFC3339))
}

// status is what the vendor reads about an engagement.
func (w *world) status(id string) string {
	w.t.Helper()
	doc := w.send(w.vendors[id], http.MethodGet, "/Users/"+id, "", http.StatusOK)
	ext, _ := doc[contractor.ExtensionURN].(map[string]any)
	s, _ := ext["status"].(string)
	return s
}

// pass lets time go by.
func (w *world) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (w *world) until(t time.Time) { w.pass(time.Until(t)) }

// guest is the tenant's one user with this address, nil if there is none; two are an error.
func (w *world) guest(mail string) *emulator.UserState {
	w.t.Helper()
	var found *emulator.UserState
	s := w.tenant.State()
	for i := range s.Users {
		u := &s.Users[i]
		if u.Guest && strings.EqualFold(u.Mail, mail) {
			if found != nil {
				w.t.Fatalf("two guests for %s: %s and %s", mail, found.ID, u.ID)
			}
			found = u
		}
	}
	return found
}

// holds lists what a guest holds: groups by name, and packages.
func (w *world) holds(mail string) []string {
	w.t.Helper()
	g := w.guest(mail)
	held := []string{}
	if g == nil {
		return held
	}
	s := w.tenant.State()
	for _, group := range s.Groups {
		if slices.Contains(g.MemberOf, group.ID) {
			held = append(held, group.Name)
		}
	}
	for _, a := range s.Assignments {
		if a.User == g.ID && a.Expired == nil && a.State != "expired" {
			held = append(held, "package "+a.State)
		}
	}
	slices.Sort(held)
	return held
}

// tell prints the journal and the tenant, for a failing test.
func (w *world) tell() string {
	var b strings.Builder
	for _, e := range w.journal() {
		fmt.Fprintf(&b, "%4d %s %-24s %-8s %s %s %s\n", e.Seq, e.Time.Format("2006-01-02 15:04:05.000"), e.Kind, e.Outcome, e.Person[:min(8, len(e.Person))], e.Entitlement, e.Reason)
	}
	s := w.tenant.State()
	for _, u := range s.Users {
		if u.Guest {
			fmt.Fprintf(&b, "guest %s %s enabled=%v deleted=%v memberOf=%v\n", u.ID, u.Mail, u.Enabled, u.Deleted, u.MemberOf)
		}
	}
	return b.String()
}
