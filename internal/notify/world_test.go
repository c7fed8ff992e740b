package notify_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
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
	"scimbridge/internal/notify"
	"scimbridge/internal/scim"
)

const (
	groupBase  = "3f0c6f0e-1d7b-4b1f-9a57-0b1f0a3a9a01"
	groupFall  = "8d1c2b3a-4e5f-4a6b-8c7d-9e0f1a2b3c04"
	bossID     = "b0550000-0000-4000-8000-000000000001"
	sponsorID  = "5b0a0000-0000-4000-8000-000000000002"
	bridgeBox  = "bridge@contoso.example"
	linkSecret = "0123456789abcdef0123456789abcdef"
)

const worldMapping = `version: 1
defaults:
  timezone: Europe/Berlin
  max_duration: 720d
  notify: {before_end: [14d, 1d]}
  extend: {max: 90d, approval_over: 30d}
  attest: {every: 90d, grace: 14d}
  sponsor: {required: true, from: [c.sponsorEmail], on_leave: manager, fallback: "group:fallback"}
catalog:
  groups:
    ext-base: {id: ` + groupBase + `}
    fallback: {id: ` + groupFall + `}
vendors:
  acme: {email_domains: [acme.example]}
rules:
  - name: everyone
    grant: {groups: [ext-base]}
`

// world is the bridge with mails on an emulated tenant, in one bubble of fake time.
type world struct {
	t        *testing.T
	tenant   *emulator.Emulator
	store    *db.Store
	graph    *entra.Client
	loop     *lifecycle.Loop
	door     http.Handler
	pages    http.Handler
	notifier *notify.Notifier
	mapping  *mapper.Mapping
	token    string
	cookies  map[string]string
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newWorld begins at a morning; wrap, if not nil, puts something between the notifier and Graph.
func newWorld(t *testing.T, wrap func(notify.Sender) notify.Sender) *world {
	t.Helper()
	tenant, err := emulator.New(emulator.Config{
		Permissions: append(emulator.DefaultPermissions(), "Mail.Send"),
		Throttle:    -1, ServerError: -1, // how often a mail leaves is counted: failures are asked for, not drawn
	})
	must(t, err)
	for _, u := range []emulator.UserSeed{
		{UPN: bridgeBox, Name: "Bridge"}, {ID: bossID, UPN: "boss@contoso.example", Name: "Bo Boss"},
		{ID: sponsorID, UPN: "sponsor@contoso.example", Name: "Sam Sponsor", Manager: bossID, Properties: map[string]any{"preferredLanguage": "de-DE"}},
	} {
		_, err := tenant.AddUser(u)
		must(t, err)
	}
	for id, name := range map[string]string{groupBase: "ext-base", groupFall: "fallback"} {
		_, err := tenant.AddGroup(emulator.GroupSeed{ID: id, Name: name})
		must(t, err)
	}
	m, problems := mapper.Parse("mapping.yaml", []byte(worldMapping))
	must(t, problems.Err())
	w := &world{t: t, tenant: tenant, mapping: m, token: scim.NewToken(), cookies: map[string]string{}}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	log := slog.New(slog.DiscardHandler)
	w.store, err = db.Open(ctx, db.Config{Path: filepath.Join(t.TempDir(), "world.db")})
	must(t, err)
	w.graph, err = entra.New(entra.Config{GraphURL: "https://graph.microsoft.com/v1.0", Credential: &token{tenant.Transport(), tenant.Config()}, Transport: tenant.Transport(), Logger: log})
	must(t, err)
	w.loop, err = lifecycle.New(lifecycle.Config{Store: w.store, Directory: w.graph, Logger: log, Workers: 2, Poll: time.Hour, Rules: func() lifecycle.Rules { return m }})
	must(t, err)
	door, err := scim.New(scim.Config{
		Store: w.store, Logger: log, Wake: w.loop.Wake, PublicURL: "https://scim.contoso.example",
		Vendors: func(n string) (*contractor.Vendor, bool) { return m.Vendor(n) }, Names: func() []string { return m.Vendors() }, Groups: func() []contractor.Entitlement { return m.Catalog() },
	})
	must(t, err)
	w.door = door.Handler()
	_, err = w.store.AddToken(ctx, audit.Actor{Kind: audit.ActorAdmin, Name: "test"}, contractor.Token{Vendor: "acme", Hash: scim.HashToken(w.token)}, "test")
	must(t, err)
	graphSender, err := notify.NewGraph(w.graph, bridgeBox)
	must(t, err)
	var sender notify.Sender = graphSender
	if wrap != nil {
		sender = wrap(sender)
	}
	templates, err := notify.LoadTemplates("")
	must(t, err)
	w.notifier, err = notify.New(notify.Config{
		Store: w.store, Directory: w.graph, Sender: sender, Rules: func() notify.Rules { return m }, Templates: templates, Logger: log,
		Key: []byte(linkSecret), LinkBase: "https://scim.contoso.example", Wake: w.loop.Wake,
	})
	must(t, err)
	w.pages = w.notifier.Handler()
	done := make(chan error, 1)
	go func() { done <- w.loop.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		must(t, <-done)
		must(t, w.store.Close())
	})
	return w
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
	}
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
		return azcore.AccessToken{}, err
	}
	return azcore.AccessToken{Token: body.AccessToken, ExpiresOn: time.Now().Add(time.Duration(body.ExpiresIn) * time.Second)}, nil
}

// push sends a contractor and waits for its guest.
func (w *world) push(mail string, end time.Time) (engagement string) {
	w.t.Helper()
	given, _, _ := strings.Cut(mail, "@")
	body := fmt.Sprintf(`{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": %q, "active": true,
  "name": {"givenName": %q, "familyName": "Test"}, "emails": [{"value": %q, "primary": true}],
  %q: {"supplier": "ACME", "sponsorEmail": "sponsor@contoso.example", "endDate": %q}}`, mail, given, mail, contractor.ExtensionURN, end.UTC().Format(time.RFC3339))
	r := httptest.NewRequestWithContext(w.t.Context(), http.MethodPost, "/scim/v2/Users", strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+w.token)
	r.Header.Set("Content-Type", "application/scim+json")
	rec := httptest.NewRecorder()
	w.door.ServeHTTP(rec, r)
	if rec.Code != http.StatusCreated {
		w.t.Fatalf("push: %d %s", rec.Code, rec.Body)
	}
	var doc struct{ ID string }
	must(w.t, json.Unmarshal(rec.Body.Bytes(), &doc))
	w.pass(2 * time.Minute)
	if g := w.guest(mail); g == nil || !g.Enabled {
		w.t.Fatalf("no guest for %s", mail)
	}
	return doc.ID
}

func (w *world) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// work runs one pass of the notifier.
func (w *world) work() {
	w.t.Helper()
	must(w.t, w.notifier.Pass(w.t.Context(), time.Now()))
	synctest.Wait()
}

func (w *world) guest(mail string) *emulator.UserState {
	s := w.tenant.State()
	for i := range s.Users {
		if u := &s.Users[i]; u.Guest && strings.EqualFold(u.Mail, mail) {
			return u
		}
	}
	return nil
}

// mails lists what was sent through Graph.
func (w *world) mails() (list []emulator.Mail) {
	for _, m := range w.tenant.State().Mails {
		if m.Kind == "sendMail" {
			list = append(list, m)
		}
	}
	return list
}

var linkPattern = regexp.MustCompile(`https://scim\.contoso\.example(/s/[A-Za-z0-9_-]+)`)

func links(m emulator.Mail) (list []string) {
	for _, x := range linkPattern.FindAllStringSubmatch(m.Body, -1) {
		list = append(list, x[1])
	}
	return list
}

// browse is one request of a sponsor's browser.
func (w *world) browse(method, path string, form url.Values, edit func(*http.Request)) *httptest.ResponseRecorder {
	w.t.Helper()
	r := httptest.NewRequestWithContext(w.t.Context(), method, path, strings.NewReader(form.Encode()))
	r.Header.Set("Accept-Language", "en")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for k, v := range w.cookies {
		r.AddCookie(&http.Cookie{Name: k, Value: v})
	}
	if edit != nil {
		edit(r)
	}
	rec := httptest.NewRecorder()
	w.pages.ServeHTTP(rec, r)
	for _, c := range rec.Result().Cookies() {
		w.cookies[c.Name] = c.Value
	}
	return rec
}

var tokenPattern = regexp.MustCompile(`name="token" value="([^"]+)"`)

// decide opens a link and sends its form.
func (w *world) decide(path, action, until string, want int) string {
	w.t.Helper()
	page := w.browse(http.MethodGet, path, nil, nil)
	found := tokenPattern.FindStringSubmatch(page.Body.String())
	if page.Code != http.StatusOK || found == nil {
		w.t.Fatalf("GET: %d %s", page.Code, page.Body)
	}
	rec := w.browse(http.MethodPost, path, url.Values{"token": {found[1]}, "action": {action}, "until": {until}}, nil)
	if rec.Code != want {
		w.t.Fatalf("POST %s: %d %s, want %d", action, rec.Code, rec.Body, want)
	}
	w.pass(time.Minute)
	return rec.Body.String()
}

// person is whose engagement it is.
func (w *world) person(engagement string) *contractor.Person {
	w.t.Helper()
	p, err := w.store.FindPerson(w.t.Context(), engagement)
	must(w.t, err)
	return p
}

// anybody is the one person there is.
func (w *world) anybody() string {
	w.t.Helper()
	list, err := w.store.Attestations(w.t.Context(), time.Now(), 10)
	must(w.t, err)
	if len(list) != 1 {
		w.t.Fatalf("people %+v", list)
	}
	return list[0].Person
}
