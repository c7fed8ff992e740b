package intake_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
	"scimbridge/internal/intake"
	"scimbridge/internal/scim"
)

var _ intake.PullStore = (*db.Store)(nil)

// puller pulls from url into the world.
func (w *world) puller(url string, edit func(*intake.Source)) *intake.Puller {
	w.t.Helper()
	s := &intake.Source{URL: url, Transport: http.DefaultTransport, Page: 7, Absent: true, Timeout: 10 * time.Second}
	if edit != nil {
		edit(s)
	}
	p, err := intake.NewPuller(intake.PullConfig{
		Store: w.store, Logger: slog.New(slog.DiscardHandler), By: "test", Sources: map[string]*intake.Source{"acme": s}, Paused: w.store.Paused,
		Vendors: func(name string) (*contractor.Vendor, bool) { return w.acme, name == "acme" },
		Overall: func() contractor.Guard { return contractor.Guard{} },
		Feed:    func(v string, a audit.Actor, dry bool) (intake.Feed, error) { return w.door.Feed(v, a, dry) },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func pulled(t *testing.T, p *intake.Puller, r intake.Round) *intake.RoundReport {
	t.Helper()
	r.By = root()
	report, err := p.Pull(t.Context(), "acme", r)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// remote is another bridge's SCIM door, which serves its acme's records.
func remote(t *testing.T, n int) (*world, string) {
	t.Helper()
	w := newWorld(t)
	w.imported(w.file(workers(n)...), nil)
	token := scim.NewToken()
	if _, err := w.store.AddToken(t.Context(), root(), contractor.Token{Vendor: "acme", Hash: scim.HashToken(token)}, "test"); err != nil {
		t.Fatal(err)
	}
	return w, token
}

func TestPullFromAnotherBridge(t *testing.T) {
	far, token := remote(t, 30)
	w := newWorld(t)
	w.acme.Guard = contractor.Guard{MaxEnds: 3}
	p := w.puller(far.server.URL+scim.Base, func(s *intake.Source) {
		s.Auth.Bearer = func() (string, error) { return token, nil }
	})
	if dry := pulled(t, p, intake.Round{Dry: true}); dry.Counts.Created != 30 || dry.Error != "" || len(w.engagements()) != 0 {
		t.Fatalf("dry: %+v", dry)
	}
	r := pulled(t, p, intake.Round{})
	if r.Mode != "full" || r.Counts.Created != 30 || r.Doubt != "" || r.Error != "" || r.Total != 30 || len(w.engagements()) != 30 {
		t.Fatalf("%+v", r)
	}
	if e := w.engagements()["W-0003"]; e.Record.WorkerID != "W-0003" || e.Record.Email != "ann3@acme.example" {
		t.Errorf("%+v", e.Record)
	}
	created := w.journal("engagement.created")[0]
	if created.Actor != (audit.Actor{Kind: audit.ActorVendor, Name: "acme"}) || !strings.Contains(string(created.Detail), `"from":{"mode":"full","pull":"`+far.server.URL) {
		t.Errorf("the journal says %v %s", created.Actor, created.Detail)
	}
	w.live()
	far.imported(far.file(append(workers(29), "W-0030,New,Lee,new@acme.example,2026-01-01,2099-12-31")...), nil)
	if r := pulled(t, p, intake.Round{}); r.Mode != "delta" || r.Counts.Created != 1 || r.Absent != 0 {
		t.Errorf("the delta: %+v", r)
	}
	// One is deleted there: only a whole reading sees it.
	e := far.engagements()["W-0007"]
	if err := far.store.Delete(t.Context(), "acme", e.ID, 0, time.Now(), audit.Event{Kind: "engagement.deleted", Actor: root(), Outcome: audit.Done}); err != nil {
		t.Fatal(err)
	}
	if r := pulled(t, p, intake.Round{Full: true}); r.Absent != 1 || r.Counts.Ended != 1 || r.Held != "" {
		t.Errorf("one is missing: %+v", r)
	}
	if w.engagements()["W-0007"].EndedAt.IsZero() {
		t.Error("who is missing was not ended")
	}
	// Half are deleted: more than the guard allows, so that all are held.
	for i := 10; i < 25; i++ {
		e := far.engagements()[fmt.Sprintf("W-%04d", i)]
		if err := far.store.Delete(t.Context(), "acme", e.ID, 0, time.Now(), audit.Event{Kind: "engagement.deleted", Actor: root(), Outcome: audit.Done}); err != nil {
			t.Fatal(err)
		}
	}
	r = pulled(t, p, intake.Round{Full: true})
	if r.Held == "" || r.Counts.Ended != 0 || r.Counts.Held != 15 {
		t.Errorf("half are missing: %+v", r)
	}
	if alarms, err := w.store.Alarms(t.Context(), contractor.AlarmQuery{}); err != nil || len(alarms) != 1 || alarms[0].Kind != contractor.AlarmFeedHeld {
		t.Errorf("%+v, %v", alarms, err)
	}
}

// unkind is a SCIM server with bad habits.
type unkind struct {
	mu       sync.Mutex
	n        int // Users
	requests int
	answer   func(w http.ResponseWriter, r *http.Request, u *unkind) bool // true: answered
}

func (u *unkind) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.requests++
	if u.answer != nil && u.answer(w, r, u) {
		return
	}
	if !strings.HasSuffix(r.URL.Path, "/Users") {
		http.NotFound(w, r)
		return
	}
	u.list(w, r, u.n, u.n)
}

// list answers a page as if there were so many Users, and names another number.
func (u *unkind) list(w http.ResponseWriter, r *http.Request, n, total int) {
	start, _ := strconv.Atoi(r.URL.Query().Get("startIndex"))
	count, _ := strconv.Atoi(r.URL.Query().Get("count"))
	resources := []any{}
	for i := max(start, 1); i <= n && len(resources) < count; i++ {
		resources = append(resources, map[string]any{
			"id": fmt.Sprintf("id-%d", i), "userName": fmt.Sprintf("ann%d@acme.example", i), "active": true, "urn:ietf:params:scim:schemas:extension:2.0:User": map[string]string{"endDate": "2099-12-31"},
		})
	}
	w.Header().Set("Content-Type", "application/scim+json")
	_ = json.NewEncoder(w).Encode(map[string]any{"totalResults": total, "startIndex": start, "itemsPerPage": len(resources), "Resources": resources})
}

func TestAnUnkindServerEndsNobody(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer func(w http.ResponseWriter, r *http.Request, u *unkind) bool
		failed bool // the round, not only its ground for ending somebody
		want   string
	}{
		{"a short list", func(w http.ResponseWriter, r *http.Request, u *unkind) bool { u.list(w, r, 5, 20); return true }, false, "the server says that it has 20 Users, and gave 5"},
		{"an empty list", func(w http.ResponseWriter, r *http.Request, u *unkind) bool { u.list(w, r, 0, 0); return true }, false, "it has no records at all"},
		{"a total that changes", func(w http.ResponseWriter, r *http.Request, u *unkind) bool {
			u.list(w, r, 15, 15+u.requests%2)
			return true
		}, false, "the number of Users changed while the list was read"},
		{"the same page again", func(w http.ResponseWriter, r *http.Request, u *unkind) bool {
			q := r.URL.Query()
			q.Set("startIndex", "1")
			r.URL.RawQuery = q.Encode()
			u.list(w, r, 7, 20)
			return true
		}, true, "the server gives the same page again"},
		{"a web page", func(w http.ResponseWriter, _ *http.Request, _ *unkind) bool {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte("<html>please sign in</html>"))
			return true
		}, true, "was answered with a web page, not with SCIM"},
		{"no list", func(w http.ResponseWriter, _ *http.Request, _ *unkind) bool {
			_, _ = w.Write([]byte(`{"users":[]}`))
			return true
		}, true, "it is no SCIM list"},
		{"half an answer", func(w http.ResponseWriter, _ *http.Request, _ *unkind) bool {
			_, _ = w.Write([]byte(`{"totalResults":1,"Resources":[{"id":"1",`))
			return true
		}, true, "it is no SCIM list"},
		{"a record without an id", func(w http.ResponseWriter, _ *http.Request, _ *unkind) bool {
			_, _ = w.Write([]byte(`{"totalResults":1,"Resources":[{"userName":"x"}]}`))
			return true
		}, true, "its resource number 1 has no id"},
		{"a refused credential", func(w http.ResponseWriter, _ *http.Request, _ *unkind) bool {
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}, true, "the server refuses the credential"},
		{"sent elsewhere", func(w http.ResponseWriter, r *http.Request, _ *unkind) bool {
			http.Redirect(w, r, "https://elsewhere.example/", http.StatusFound)
			return true
		}, true, "was sent elsewhere (302)"},
		{"too much", func(w http.ResponseWriter, _ *http.Request, _ *unkind) bool {
			_, _ = w.Write([]byte(`{"totalResults":1,"Resources":["` + strings.Repeat("x", 2<<20) + `"]}`))
			return true
		}, true, "is larger than 1048576 bytes"},
		{"come back in an hour", func(w http.ResponseWriter, _ *http.Request, _ *unkind) bool {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		}, true, "was answered 429, after one try"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			u := &unkind{n: 20}
			server := httptest.NewServer(u)
			t.Cleanup(server.Close)
			p := w.puller(server.URL, func(s *intake.Source) { s.Body = 1 << 20 })
			if r := pulled(t, p, intake.Round{}); r.Counts.Created != 20 || r.Doubt != "" || r.Error != "" {
				t.Fatalf("%+v", r)
			}
			w.live()
			u.mu.Lock()
			u.answer = func(w http.ResponseWriter, r *http.Request, u *unkind) bool {
				return strings.HasSuffix(r.URL.Path, "/Users") && tt.answer(w, r, u)
			}
			u.mu.Unlock()
			r := pulled(t, p, intake.Round{Full: true})
			if got := r.Error + r.Doubt; !strings.Contains(got, tt.want) || (r.Error != "") != tt.failed {
				t.Errorf("error %q, doubt %q; want …%s…", r.Error, r.Doubt, tt.want)
			}
			if n := len(w.active()); n != 20 || r.Absent != 0 {
				t.Errorf("%d are active, %d absent", n, r.Absent)
			}
			st, err := w.store.PullState(t.Context(), "acme")
			if err != nil || (st.Error != "") != tt.failed || (len(intake.Overdue([]contractor.PullState{st}, []string{"acme"})) == 1) != tt.failed {
				t.Errorf("remembered is %+v, %v", st, err)
			}
			if tt.failed && len(w.journal("pull.failed")) != 1 {
				t.Error("the journal does not tell")
			}
			u.mu.Lock()
			u.answer = nil
			u.mu.Unlock()
			if r := pulled(t, p, intake.Round{}); r.Error != "" || r.Doubt != "" || r.Counts.Unchanged != 20 {
				t.Errorf("afterwards: %+v", r)
			}
		})
	}
}

// TestACursorThatLoops: a server whose cursors lead in a circle, or that never stops giving new Users, is given up, and ends nobody.
// TestAnUnchangedList: an ETag spares the records, and neither a list with a refused record, nor one of several pages, nor a day.
func TestAnUnchangedList(t *testing.T) {
	w := newWorld(t)
	u, refused := &unkind{n: 3}, false
	u.answer = func(rw http.ResponseWriter, r *http.Request, u *unkind) bool {
		if !strings.HasSuffix(r.URL.Path, "/Users") {
			return false
		}
		tag := fmt.Sprintf("\"of %d\"", u.n)
		rw.Header().Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			rw.WriteHeader(http.StatusNotModified)
			return true
		}
		if refused {
			_, _ = fmt.Fprintf(rw, `{"totalResults":1,"Resources":[{"id":"x"}]}`)
			return true
		}
		return false
	}
	server := httptest.NewServer(u)
	t.Cleanup(server.Close)
	every := 24 * time.Hour
	mode := func() string {
		t.Helper()
		return pulled(t, w.puller(server.URL, func(s *intake.Source) { s.FullEvery = every }), intake.Round{}).Mode
	}
	if first, second := mode(), mode(); first != "full" || second != "unchanged" || len(w.engagements()) != 3 {
		t.Errorf("%s, then %s, with %d records", first, second, len(w.engagements()))
	}
	every = time.Nanosecond
	if m := mode(); m != "full" {
		t.Errorf("after full_every: %s", m)
	}
	every = 24 * time.Hour
	u.mu.Lock()
	u.n = 8 // two pages
	u.mu.Unlock()
	if first, second := mode(), mode(); first != "full" || second != "full" {
		t.Errorf("of two pages: %s, then %s", first, second)
	}
	u.mu.Lock()
	u.n, refused = 1, true
	u.mu.Unlock()
	if first, second := mode(), mode(); first != "full" || second != "full" {
		t.Errorf("with a refused record: %s, then %s", first, second)
	}
}

func TestACursorThatLoops(t *testing.T) {
	for name, tt := range map[string]struct {
		next func(page int) string
		want string
	}{
		"in a circle": {func(page int) string { return []string{"a", "b"}[page%2] }, "its list has no end"},
		"for ever":    {func(page int) string { return fmt.Sprintf("c%d", page) }, "the server has more than 50 Users"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			page := 0
			u := &unkind{}
			u.answer = func(rw http.ResponseWriter, r *http.Request, _ *unkind) bool {
				if strings.HasSuffix(r.URL.Path, "/ServiceProviderConfig") {
					_, _ = rw.Write([]byte(`{"pagination":{"cursor":true,"index":false},"filter":{"supported":false}}`))
					return true
				}
				page++
				_, _ = fmt.Fprintf(rw, `{"totalResults":9,"nextCursor":%q,"Resources":[{"id":"id-%d","userName":"ann%d@acme.example","active":true}]}`, tt.next(page), page, page)
				return true
			}
			server := httptest.NewServer(u)
			t.Cleanup(server.Close)
			r := pulled(t, w.puller(server.URL, func(s *intake.Source) { s.Max = 50 }), intake.Round{})
			if !strings.Contains(r.Error, tt.want) || r.Absent != 0 || page > 52 {
				t.Errorf("error %q, %d absent, %d pages", r.Error, r.Absent, page)
			}
		})
	}
}

// TestSigningInToAServer: Basic, and a client certificate.
func TestSigningInToAServer(t *testing.T) {
	w := newWorld(t)
	u := &unkind{n: 3}
	u.answer = func(rw http.ResponseWriter, r *http.Request, _ *unkind) bool {
		name, password, _ := r.BasicAuth()
		if name != "bridge" || password != "s3cret" || r.TLS == nil || len(r.TLS.PeerCertificates) != 1 {
			rw.WriteHeader(http.StatusUnauthorized)
			return true
		}
		return false
	}
	server := httptest.NewUnstartedServer(u)
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	trusting := server.Client().Transport.(*http.Transport).Clone()
	shown := trusting.Clone()
	shown.TLSClientConfig.Certificates = server.TLS.Certificates
	password := "s3cret"
	with := func(transport http.RoundTripper) *intake.RoundReport {
		return pulled(t, w.puller(server.URL, func(s *intake.Source) {
			s.Transport, s.Patience = transport, time.Millisecond
			s.Auth.Basic = &intake.Basic{Username: "bridge", Password: func() (string, error) { return password, nil }}
		}), intake.Round{Full: true})
	}
	if r := with(trusting); r.Error == "" {
		t.Errorf("without a certificate: %+v", r)
	}
	if r := with(shown); r.Error != "" || r.Counts.Created != 3 {
		t.Errorf("with both: %+v", r)
	}
	password = "another"
	if r := with(shown); !strings.Contains(r.Error, "refuses the credential") {
		t.Errorf("with another password: %+v", r)
	}
}

func TestABusyServerIsAskedAgain(t *testing.T) {
	w := newWorld(t)
	u := &unkind{n: 20}
	u.answer = func(w http.ResponseWriter, _ *http.Request, u *unkind) bool {
		if u.requests%3 == 0 {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		return false
	}
	server := httptest.NewServer(u)
	t.Cleanup(server.Close)
	if r := pulled(t, w.puller(server.URL, nil), intake.Round{}); r.Counts.Created != 20 || r.Error != "" || r.Doubt != "" {
		t.Errorf("%+v", r)
	}
}

func TestASlowServerIsGivenUp(t *testing.T) {
	w := newWorld(t)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(server.Close)
	p := w.puller(server.URL, func(s *intake.Source) { s.Timeout, s.Patience = 50*time.Millisecond, time.Millisecond })
	if r := pulled(t, p, intake.Round{}); !strings.Contains(r.Error, "it took too long") {
		t.Errorf("%+v", r)
	}
}

func TestOAuth2ClientCredentials(t *testing.T) {
	w := newWorld(t)
	u := &unkind{n: 3}
	var tokens int
	live := ""
	u.answer = func(w http.ResponseWriter, r *http.Request, _ *unkind) bool {
		if r.URL.Path == "/token" {
			id, secret, _ := r.BasicAuth()
			if id != "bridge" || secret != "s3cret" || r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != "scim.read" {
				w.WriteHeader(http.StatusBadRequest)
				return true
			}
			tokens++
			live = fmt.Sprintf("token-%d", tokens)
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":3600}`, live)
			return true
		}
		if r.Header.Get("Authorization") != "Bearer "+live {
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		return false
	}
	server := httptest.NewServer(u)
	t.Cleanup(server.Close)
	p := w.puller(server.URL, func(s *intake.Source) {
		s.Auth.OAuth2 = &intake.OAuth2{TokenURL: server.URL + "/token", ClientID: "bridge", Scopes: []string{"scim.read"}, Secret: func() (string, error) { return "s3cret", nil }}
	})
	if r := pulled(t, p, intake.Round{}); r.Counts.Created != 3 || r.Error != "" {
		t.Fatalf("%+v", r)
	}
	u.mu.Lock()
	live = "revoked"
	u.mu.Unlock()
	if r := pulled(t, p, intake.Round{}); r.Error != "" || r.Counts.Unchanged != 3 {
		t.Errorf("a token that was revoked was not renewed: %+v", r)
	}
	if tokens != 2 {
		t.Errorf("%d tokens were fetched, want 2", tokens)
	}
}

func TestRunPullsWhenItIsDue(t *testing.T) {
	w := newWorld(t)
	u := &unkind{n: 3}
	server := httptest.NewServer(u)
	t.Cleanup(server.Close)
	p := w.puller(server.URL, nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	for len(w.journal("pull.done")) == 0 {
		if t.Context().Err() != nil {
			t.Fatal("nothing was pulled")
		}
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil || len(w.engagements()) != 3 {
		t.Errorf("%v, %d records", err, len(w.engagements()))
	}
}
