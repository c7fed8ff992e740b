package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/config"
	"scimbridge/internal/console"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
	"scimbridge/internal/entra/emulator"
	"scimbridge/internal/mapper"
)

// consoleWorld is a running daemon with a console, over a store that was filled beforehand: nobody in it is due, so that the
// pages stay as they are.
type consoleWorld struct {
	*stage
	base   string
	people []string // ids, the oldest first
}

// consoleDenial is a rule that the demo's mapping has not, and that holds one person of the world.
const consoleDenial = `  - name: do-not-rehire
    when: c.rehireEligible == false
    deny: ` + deniedFor + `
`

const deniedFor = "supplier marked the worker as not eligible for rehire"

// consolePolicies is a section that the demo's mapping has not.
const consolePolicies = `conditional_access:
  break_glass: {groups: [c0ffee00-1111-4222-8333-444455556666]}
  report_only_for: 7d
  locations:
    work-countries: {countries: [DE, AT, CH], include_unknown: false}
  policies:
    - name: contractors-work-countries
      state: report-only
      scope: {guests: [b2bCollaborationGuest, otherExternalUser]}
      locations: {outside: [work-countries]}
      access: block
`

func newConsoleWorld(t testing.TB, people int) *consoleWorld {
	t.Helper()
	tenant, err := emulator.New(emulator.Config{Seed: 7, Throttle: -1, ServerError: -1})
	ok(t, err)
	ok(t, seedTenant(tenant))
	w := &consoleWorld{stage: &stage{dir: t.TempDir(), tenant: tenant, vendors: map[string]*vendorClient{}}}
	for mail, name := range map[string]string{"old@fabrikam.example": "Old Guest", "ann0@acme-consulting.example": "Ann Lee"} {
		_, err := tenant.AddUser(emulator.UserSeed{Guest: true, Mail: mail, Name: name, Accepted: true})
		ok(t, err)
	}
	w.graph, err = tenant.Start(context.WithoutCancel(t.Context()), emulator.StartConfig{GraphAddr: "127.0.0.1:0", LoginAddr: "127.0.0.1:0"})
	ok(t, err)
	t.Cleanup(func() { _ = w.graph.Close() })
	_, err = w.writeFiles()
	ok(t, err)
	text := strings.Replace(demoMapping, "{delete_after: 2s}", "{delete_after: 30d}\n  attest: {every: 90d, grace: 14d}\n  notify: {before_end: [30d, 7d]}", 1)
	text = strings.Replace(text, "    profile: okta\n", fmt.Sprintf("    profile: okta\n    quota: %d\n", people+488)+"    guard: {max_ends: 5, max_ends_percent: 10, window: 24h}\n", 1)
	text += consoleDenial + consolePolicies
	ok(t, os.WriteFile(filepath.Join(w.dir, "mapping.yaml"), []byte(text), 0o600))
	cfg, problems := config.Load(w.configAt)
	ok(t, problems.Err())
	w.fill(t, cfg.Database, text, people)
	w.daemon, err = start(t.Context(), options{config: cfg, log: newLogger(cfg.Log, streams{nil, testOut{t}, testOut{t}})})
	ok(t, err)
	t.Cleanup(func() { _ = w.daemon.stop(context.WithoutCancel(t.Context())) })
	w.base = "http://" + w.daemon.consoleAddr.String()
	return w
}

type testOut struct{ t testing.TB }

func (w testOut) Write(p []byte) (int, error) { return len(p), nil }

// fill writes people as the loop leaves them, far faster than it could.
func (w *consoleWorld) fill(t testing.TB, path, mapping string, n int) {
	t.Helper()
	s, err := db.Open(t.Context(), db.Config{Path: path})
	ok(t, err)
	rev, err := s.AddRevision(t.Context(), admin(), mapping, "test")
	ok(t, err)
	ok(t, s.SetSetting(t.Context(), wokenSetting, []byte(rev.Hash))) // else everybody is due
	m, found := mapper.Parse("mapping", []byte(mapping))
	ok(t, found.Err())
	for _, name := range m.Vendors() {
		_, err := s.AddToken(t.Context(), admin(), contractor.Token{Vendor: name, Hash: sha256.Sum256([]byte(name))}, "test")
		ok(t, err)
		v, _ := m.Vendor(name)
		ok(t, s.SetSetting(t.Context(), derivedKey(name), []byte(reading(v))))
	}
	ok(t, s.Close())
	pool, err := sql.Open("sqlite", "file:"+path+"?_pragma=synchronous(off)")
	ok(t, err)
	tx, err := pool.BeginTx(t.Context(), nil)
	ok(t, err)
	x := &filler{t: t, tx: tx, now: time.Now().UTC().Truncate(time.Second), revision: rev.Hash, vendors: []string{"sap-ips", "okta", "entra", "rippling"}, stmts: map[string]*sql.Stmt{}, people: n, lines: map[string]int{}}
	for _, rule := range []string{"everyone", "developers", "finance"} {
		x.lines[rule] = m.RuleLine(rule)
	}
	for i := range n {
		w.people = append(w.people, x.person(i))
	}
	x.extras(w.people)
	ok(t, tx.Commit())
	ok(t, pool.Close())
	s, err = db.Open(t.Context(), db.Config{Path: path})
	ok(t, err)
	x.events(s, w.people)
	ok(t, s.Close())
}

type filler struct {
	t        testing.TB
	tx       *sql.Tx
	now      time.Time
	revision string
	vendors  []string
	stmts    map[string]*sql.Stmt
	ords     [4]int
	people   int // that there will be
	lines    map[string]int
}

func (x *filler) exec(query string, args ...any) {
	stmt := x.stmts[query]
	if stmt == nil {
		var err error
		stmt, err = x.tx.Prepare(query)
		ok(x.t, err)
		x.stmts[query] = stmt
	}
	_, err := stmt.Exec(args...)
	ok(x.t, err)
}

// uid is an id that looks like one, the same in every run.
func uid(kind byte, i int) string {
	return fmt.Sprintf("%02x9f%04x-7c21-7a00-8f00-%012x", kind, i%65536, i)
}

func (x *filler) person(i int) string {
	first := []string{"Ann", "Bo", "Chidi", "Dolores", "Emre", "Farah", "Goran", "Hana", "Ivo", "Jun", "Kerstin", "Liam"}[i%12]
	last := []string{"Lee", "Díaz", "Okafor", "Ibáñez", "Yılmaz", "Haddad", "Novak", "Sato", "Marin", "Park", "Brandt", "Walsh", "Featherstonehaugh"}[i%13]
	v := i % 4
	x.ords[v]++
	id, eng := uid(1, i), uid(2, i)
	start := x.now.AddDate(0, 0, -(i*37)%240)
	end := x.now.AddDate(0, 0, (i*53+9)%310-20).Add(7 * time.Hour)
	if i%10 == 9 {
		end = x.now.AddDate(0, 0, 3+i%25).Add(5 * time.Hour)
	}
	if i%11 == 0 {
		start = x.now.AddDate(0, 0, 10+i%20)
		end = start.AddDate(0, 4, 0)
	}
	status, phase, held, failures := contractor.StatusActive, contractor.PhaseOpen, "", 0
	switch {
	case start.After(x.now):
		status, phase = contractor.StatusScheduled, contractor.PhaseNew
	case !end.After(x.now):
		status, phase = contractor.StatusOffboarding, contractor.PhaseClosed
	case i%17 == 3:
		status, phase, held = contractor.StatusHeld, contractor.PhaseNew, "no sponsor could be found in the tenant: "+"the record names sponsor@contoso.example, who left"
	case end.Sub(x.now) < 30*24*time.Hour:
		status = contractor.StatusExpiring
	}
	if i%23 == 5 {
		failures = 2
	}
	var prev any
	if i%9 == 1 && status == contractor.StatusActive {
		prev = end.AddDate(0, 0, -30).UnixMicro()
	}
	domain := []string{"acme-consulting.example", "kforce.example", "northwind.example", "fabrikam.example"}[v]
	ascii := strings.ToLower(first) + fmt.Sprint(i) + "@" + domain
	sponsors := max(12, x.people/40)
	sponsor := uid(9, i%sponsors)
	lastError := ""
	if failures > 0 {
		lastError = "grant group ext-base: Entra answered 503; it is tried again"
	}
	x.exec(`INSERT INTO persons (id, email, email_key, created, next_at, guest_id, origin, phase, invited_at, sponsor_id, guest_state, failures, last_error, held)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, id, ascii, ascii, start.UnixMicro(), x.now.AddDate(0, 0, 2).UnixMicro(), guestID(phase, i), origin(phase), string(phase), start.UnixMicro(), sponsor,
		map[bool]string{true: "Accepted", false: ""}[phase == contractor.PhaseOpen], failures, lastError, held)
	x.exec(`INSERT INTO sponsorships (person, checked) VALUES (?, ?)`, id, x.now.UnixMicro())
	record := contractor.Record{
		UserName: ascii, Email: ascii, Active: true, GivenName: first, FamilyName: last, Title: []string{"Developer", "Controller", "Site engineer"}[i%3],
		Department: []string{"Platform", "Finance", "Works"}[i%3], WorkerID: fmt.Sprintf("W%06d", i), Supplier: "ACME Consulting", SponsorEmail: fmt.Sprintf("sponsor%d@contoso.example", i%sponsors),
		StartDate: start.Format("2006-01-02"), EndDate: end.Format("2006-01-02"), Country: []string{"DE", "AT", "PL"}[i%3],
	}
	body, err := json.Marshal(record)
	ok(x.t, err)
	reason := ""
	if held != "" {
		reason = held
	}
	standing, err := json.Marshal(contractor.Standing{Status: status, Reason: reason, EffectiveStart: start, EffectiveEnd: end, EntraUserState: "Accepted"})
	ok(x.t, err)
	x.exec(`INSERT INTO engagements (id, vendor, ord, person, user_key, email_key, worker_id, end_date, active, version, created, modified, prev_end, status, start_at, end_at, standing, record, resource, unused)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1, 3, ?, ?, ?, ?, ?, ?, ?, ?, '{}', '{"cubicle":"4-117"}')`,
		eng, x.vendors[v], x.ords[v], id, ascii, ascii, strings.ToLower(record.WorkerID), record.EndDate, start.UnixMicro(), x.now.Add(-time.Hour).UnixMicro(), prev, string(status), start.UnixMicro(), end.UnixMicro(), string(standing), string(body))
	if phase == contractor.PhaseOpen {
		x.holding(id, eng, x.vendors[v], "group", groupBase, "ext-base", "pim", "everyone", x.lines["everyone"], start, end)
		if i%3 == 0 {
			x.holding(id, eng, x.vendors[v], "access_package", packageDev, "dev-basic", "package", "developers", x.lines["developers"], start, end)
		}
		if i%3 == 1 {
			x.holding(id, eng, x.vendors[v], "group", groupFinance, "ext-finance", "member", "finance", x.lines["finance"], start, end)
		}
	}
	return id
}

func guestID(p contractor.Phase, i int) string {
	if p == contractor.PhaseNew {
		return ""
	}
	return uid(5, i)
}

func origin(p contractor.Phase) string {
	if p == contractor.PhaseNew {
		return ""
	}
	return "invited"
}

func (x *filler) holding(person, engagement, vendor, kind, id, name, mechanism, rule string, line int, start, end time.Time) {
	var native any = end.UnixMicro()
	expiry := "entra"
	if mechanism == "member" {
		native, expiry = nil, "bridge"
	}
	if kind == "access_package" {
		expiry = ""
	}
	x.exec(`INSERT INTO holdings (person, kind, entitlement, name, policy, expiry, mechanism, state, handle, since, end_at, entra_end, rule, line, revision, engagement, vendor)
		VALUES (?, ?, ?, ?, '', ?, ?, 'held', 'h', ?, ?, ?, ?, ?, ?, ?, ?)`, person, kind, id, name, expiry, mechanism, start.UnixMicro(), end.UnixMicro(), native, rule, line, x.revision, engagement, vendor)
}

// extras are holds, alarms, drift and activity.
func (x *filler) extras(people []string) {
	for i, v := range x.vendors {
		x.exec(`UPDATE vendors SET total = ?, live = ?, last_ord = ? WHERE name = ?`, x.ords[i], x.ords[i], x.ords[i], v)
	}
	micro := func(d time.Duration) int64 { return x.now.Add(d).UnixMicro() }
	hold := func(i int, kind, vendor, why, loses string) {
		x.exec(`INSERT INTO holds (kind, state, vendor, person, engagement, set_at, opened, expires, why, loses, revision) VALUES (?, 'open', ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			kind, vendor, people[i], uid(2, i), micro(-2*time.Hour), micro(-2*time.Hour), micro(5*24*time.Hour), why, loses, x.revision)
	}
	for i := 1; i < 9; i += 4 {
		hold(i, "mass_end", "okta", fmt.Sprintf("vendor okta: %d sudden ends within 24 hours, the guard allows 5", 6+i), "")
	}
	hold(4, "date_move", "sap-ips", "the end moved by 210 days, and defaults.max_move is 90d", "")
	hold(7, "mapping", "rippling", "all vendors together: 27 people lose access within 24 hours, the guard allows 25", "group ext-shared ("+groupShared+")")
	alarm := func(id string, kind contractor.AlarmKind, severity contractor.Severity, person, words, next string) {
		a := contractor.Alarm{
			ID: id, Key: id, Kind: kind, Severity: severity, Person: person, Words: words, Next: next, Count: 2, First: x.now.Add(-3 * time.Hour), Last: x.now.Add(-40 * time.Minute), Raised: x.now.Add(-3 * time.Hour),
			Evidence: []contractor.Evidence{{Log: contractor.LogSignIns, ID: "0aa1", At: x.now.Add(-3 * time.Hour), Words: "sign-in to Azure Portal"}},
		}
		body, err := json.Marshal(a)
		ok(x.t, err)
		x.exec(`INSERT INTO alarms (id, key, kind, severity, person, raised, alarm) VALUES (?, ?, ?, ?, ?, ?, ?)`, id, id, string(kind), string(severity), person, micro(-3*time.Hour), string(body))
	}
	alarm("al-1", contractor.AlarmSignInAfterEnd, contractor.SeverityCritical, people[6], "a sign-in worked 2 days after the contract's end", "scimbridge contractor show "+people[6])
	alarm("al-2", contractor.AlarmNeverAccepted, contractor.SeverityNotice, people[8], "the invitation was not accepted for 14 days", "scimbridge contractor show "+people[8])
	x.exec(`INSERT INTO drift (person, kind, object, state, mode, words, found, tries) VALUES (?, 'member_added', ?, 'open', 'report', 'somebody put the guest into the group', ?, 0)`,
		people[5], "group ext-shared ("+groupShared+")", micro(-5*time.Hour))
	for i := range 4 {
		a := contractor.Activity{Log: contractor.LogSignIns, ID: fmt.Sprint("s", i), At: x.now.Add(-time.Duration(i*7+1) * time.Hour), Guest: uid(5, 6), What: "Azure Portal", OK: i != 1, Code: 50126, Reason: "invalid username or password", Country: "DE", IP: "203.0.113.7", ClientApp: "Browser"}
		body, err := json.Marshal(a)
		ok(x.t, err)
		x.exec(`INSERT INTO activity (log, id, person, at, entry) VALUES ('signin', ?, ?, ?, ?)`, a.ID, people[6], a.At.UnixMicro(), string(body))
	}
	denied, err := json.Marshal(contractor.Standing{Status: contractor.StatusHeld, Reason: deniedFor})
	ok(x.t, err)
	x.exec(`UPDATE engagements SET status = 'held', standing = ?, record = json_set(record, '$.rehireEligible', json('false')) WHERE id = ?`, string(denied), uid(2, 9))
	x.exec(`UPDATE sponsorships SET asked = ? WHERE person = ?`, micro(-16*24*time.Hour), people[8])
}

// events give the journal something to tell.
func (x *filler) events(s *db.Store, people []string) {
	var list []audit.Event
	for i, id := range people[:min(len(people), 12)] {
		vendor, base := x.vendors[i%4], "group/ext-base ("+groupBase+")"
		list = append(list,
			audit.Event{Kind: "engagement.created", Actor: audit.Actor{Kind: audit.ActorVendor, Name: vendor}, Outcome: audit.Done, Person: id, Engagement: uid(2, i), Vendor: vendor, Reason: "the vendor sent a new engagement", Personal: json.RawMessage(`{"email":"x@kforce.example"}`)},
			audit.Event{Kind: "guest.invited", Actor: audit.Actor{Kind: audit.ActorBridge}, Outcome: audit.Done, Person: id, Vendor: vendor, RequestID: uid(7, i)},
			audit.Event{Kind: "grant.added", Actor: audit.Actor{Kind: audit.ActorBridge}, Outcome: audit.Done, Person: id, Engagement: uid(2, i), Vendor: vendor, Entitlement: base, Rule: "everyone", Line: x.lines["everyone"], Revision: x.revision, Until: x.now.AddDate(0, 3, 0), RequestID: uid(8, i)},
		)
	}
	list = append(list, audit.Event{Kind: "client.refused", Actor: audit.Actor{Kind: audit.ActorVendor, Name: "okta"}, Outcome: audit.Failed, Vendor: "okta", Reason: "the token expired on 2026-11-01; use the new one"})
	ok(x.t, s.AppendEvents(x.t.Context(), list...))
}

// visitor is a browser without scripts.
type visitor struct {
	t    testing.TB
	http *http.Client
	base string
}

// visit signs somebody in by a link.
func (w *consoleWorld) visit(t testing.TB, name string, role console.Role) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	ok(t, err)
	v := &visitor{t, &http.Client{Jar: jar, Timeout: 30 * time.Second}, w.base}
	link, err := w.daemon.console.Link(name, role)
	ok(t, err)
	u, err := url.Parse(link)
	ok(t, err)
	if code, _ := v.post("/signin", url.Values{"code": {u.Query().Get("code")}}); code != http.StatusOK {
		t.Fatalf("signing in answered %d", code)
	}
	return v
}

// send sends a request, with what edit makes of it, and reads the answer to its end.
func (v *visitor) send(method, path, kind string, content io.Reader, edit func(*http.Request)) (code int, header http.Header, text string) {
	v.t.Helper()
	req, err := http.NewRequestWithContext(v.t.Context(), method, v.base+path, content)
	ok(v.t, err)
	req.Header.Set("Content-Type", kind)
	if edit != nil {
		edit(req)
	}
	resp, err := v.http.Do(req)
	ok(v.t, err)
	defer resp.Body.Close() //nolint:errcheck // it is read to its end
	b, err := io.ReadAll(resp.Body)
	ok(v.t, err)
	return resp.StatusCode, resp.Header, string(b)
}

func (v *visitor) get(path string) (code int, text string) {
	v.t.Helper()
	code, _, text = v.send(http.MethodGet, path, "", nil, nil)
	return code, text
}

const formKind = "application/x-www-form-urlencoded"

func (v *visitor) post(path string, form url.Values) (code int, text string) {
	v.t.Helper()
	code, _, text = v.send(http.MethodPost, path, formKind, strings.NewReader(form.Encode()), nil)
	return code, text
}

var tokenField = regexp.MustCompile(`name="token" value="([^"]+)"`)

// act sends a form with the token of the session.
func (v *visitor) act(path string, form url.Values) (int, string) {
	v.t.Helper()
	_, page := v.get("/keys")
	m := tokenField.FindStringSubmatch(page)
	if m == nil {
		v.t.Fatal("the page has no form token")
	}
	form.Set("token", m[1])
	return v.post(path, form)
}
