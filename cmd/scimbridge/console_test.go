package main

import (
	"bytes"
	"mime/multipart"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"scimbridge/internal/console"
	"scimbridge/internal/contractor"
	"scimbridge/internal/entra/emulator"
)

// consolePages are all pages, with a word that each must show.
func (w *consoleWorld) consolePages() map[string]string {
	return map[string]string{
		"/":                                        "Ends next",
		"/timeline":                                "now",
		"/timeline?by=sponsor":                     "sponsor1@contoso.example",
		"/timeline?by=vendor&vendor=okta":          "okta",
		"/contractors":                             "Ending",
		"/contractors?show=all&vendor=okta":        "kforce.example",
		"/contractors?show=waiting":                "no sponsor",
		"/contractors?q=featherst":                 "Filter",
		"/contractors?rule=everyone":               "everyone",
		"/contractors/" + w.people[6]:              "Azure Portal",
		"/contractors/" + w.people[4]:              "Hold",
		"/contractors/" + w.people[2] + "/end":     "sign-in is disabled",
		"/contractors/" + w.people[2] + "/explain": "ENGAGEMENT",
		"/contractors/" + w.people[2] + "/extend":  "New end",
		"/contractors/" + w.people[0] + "/adopt":   "ann0@acme-consulting.example",
		"/contractors/" + w.people[1] + "/merge":   "other record",
		"/contractors/" + w.people[1] + "/split":   "Split it off",
		"/orphans":                                 "Nobody has looked",
		"/holds":                                   "Sudden ends",
		"/alarms":                                  "after the contract",
		"/drift":                                   "member added",
		"/attestations":                            "asked",
		"/mapping":                                 "1 held",
		"/policies":                                "contractors-work-countries",
		"/vendors":                                 "okta",
		"/vendors/okta":                            "the token expired on",
		"/audit":                                   "grant.added",
		"/audit?kind=grant.&vendor=okta":           "grant.added",
		"/audit/3":                                 "hash",
		"/keys":                                    "next page",
	}
}

// TestConsole reads and acts without a browser, and so without scripts.
func TestConsole(t *testing.T) {
	t.Parallel()
	w := newConsoleWorld(t, 12)
	v := w.visit(t, "ann", console.Operator)
	t.Run("EveryPageReadsWithoutScripts", func(t *testing.T) {
		for path, want := range w.consolePages() {
			code, page := v.get(path)
			if code != http.StatusOK || !strings.Contains(strings.ToLower(page), strings.ToLower(want)) {
				t.Errorf("%s answered %d without %q:\n%s", path, code, want, page)
			}
			if strings.Contains(page, "style=\"") || strings.Contains(page, "onclick") || strings.Contains(page, "<no value>") || strings.Contains(page, "%!") {
				t.Errorf("%s has something inline, or something that could not be written", path)
			}
		}
	})
	t.Run("Actions", func(t *testing.T) { consoleActions(t, w, v) })
	t.Run("Mapping", func(t *testing.T) { consoleMapping(t, w, v) })
	t.Run("Orphans", func(t *testing.T) { consoleOrphans(t, w, v) })
	t.Run("Doors", func(t *testing.T) { consoleDoors(t, w) })
	t.Run("Roles", func(t *testing.T) { consoleRoles(t, w) })
}

// lastEvent is the newest event of a kind.
func (w *consoleWorld) lastEvent(t *testing.T, kind string) (actor, reason, person string) {
	t.Helper()
	for e, err := range w.daemon.store.Journal(t.Context(), contractor.JournalQuery{Kind: kind, Descending: true, Limit: 1}) {
		ok(t, err)
		return e.Actor.Name, e.Reason, e.Person
	}
	return "", "", ""
}

func consoleActions(t *testing.T, w *consoleWorld, v *visitor) {
	who := w.people[10]
	day := time.Now().AddDate(0, 2, 0).Format("2006-01-02")
	engagement := uid(2, 10)
	for _, tc := range []struct {
		name, path string
		form       url.Values
		kind, told string
	}{
		{"End", "/contractors/" + who + "/end", url.Values{}, "person.blocked", "Stopped."},
		{"Release", "/contractors/" + who + "/release", url.Values{}, "person.unblocked", "The stop is lifted."},
		{"Extend", "/contractors/" + who + "/extend", url.Values{"engagement": {engagement}, "until": {day}}, "engagement.extended", "now ends " + day},
		{"Confirm", "/contractors/" + who + "/confirm", url.Values{}, "attestation.confirmed", "Confirmed."},
		{"ApproveHold", "/holds", url.Values{"hold": {"1"}, "decision": {"approve"}}, "hold.approved", "1 hold approved."},
		{"CancelAll", "/holds", url.Values{"all": {"sap-ips"}, "kind": {"date_move"}, "decision": {"cancel"}}, "hold.cancelled", "1 hold cancelled."},
		{"Acknowledge", "/alarms/al-1", url.Values{}, "alarm.acknowledged", "acknowledged"},
		{"AllowDrift", "/drift/" + w.people[5], url.Values{"decision": {"allow"}, "kind": {"member_added"}, "object": {"group ext-shared (" + groupShared + ")"}, "until": {day}}, "drift.allowed", "It may stand until " + day},
		{"Pause", "/vendors/okta/pause", url.Values{"pause": {"1"}}, "vendor.paused", "okta is paused"},
		{"Merge", "/contractors/" + w.people[3] + "/merge", url.Values{"other": {w.people[11]}}, "person.merged", "The two are one now."},
		{"Split", "/contractors/" + w.people[3] + "/split", url.Values{"engagement": {uid(2, 11)}}, "person.split", "own."},
		{"Resume", "/vendors/okta/pause", url.Values{"pause": {"0"}}, "vendor.resumed", "okta may send again"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if code, page := v.act(tc.path, tc.form); code != http.StatusBadRequest || !strings.Contains(page, "reason") {
				t.Errorf("without a reason it answered %d", code)
			}
			tc.form.Set("reason", "since the test says so: "+tc.name)
			code, page := v.act(tc.path, tc.form)
			if code != http.StatusOK || !strings.Contains(page, tc.told) {
				t.Errorf("answered %d without %q:\n%s", code, tc.told, page)
			}
			actor, reason, _ := w.lastEvent(t, tc.kind)
			if actor != "ann (console)" || !strings.Contains(reason, tc.form.Get("reason")) {
				t.Errorf("the journal names %q and %q", actor, reason)
			}
			form := url.Values{"reason": {"x"}, "token": {"of another"}}
			if code, _ := v.post(tc.path, form); code != http.StatusForbidden {
				t.Errorf("with a foreign token it answered %d", code)
			}
		})
	}
}

func consoleMapping(t *testing.T, w *consoleWorld, v *visitor) {
	text, err := os.ReadFile(filepath.Join(w.dir, "mapping.yaml"))
	ok(t, err)
	t.Run("MistakesStandAtTheirLines", func(t *testing.T) {
		code, page := v.act("/mapping/plan", url.Values{"text": {strings.Replace(string(text), "c.department", "c.departmnt", 1)}})
		if code != http.StatusUnprocessableEntity || !strings.Contains(page, "did you mean &#34;department&#34;") || !strings.Contains(page, `class="wrong"`) {
			t.Errorf("answered %d:\n%s", code, page)
		}
	})
	t.Run("ACandidateIsPlanned", func(t *testing.T) {
		code, page := v.act("/mapping/plan", url.Values{"text": {strings.Replace(string(text), "  - name: everyone\n    grant: {groups: [ext-base]}\n", "", 1)}})
		if code != http.StatusOK || !strings.Contains(page, "removed") || !strings.Contains(page, "scimbridge apply") || !strings.Contains(page, "everyone") {
			t.Errorf("answered %d:\n%s", code, page)
		}
	})
	t.Run("AFileIsPlanned", func(t *testing.T) {
		_, keys := v.get("/keys")
		var b bytes.Buffer
		form := multipart.NewWriter(&b)
		ok(t, form.WriteField("token", tokenField.FindStringSubmatch(keys)[1]))
		f, err := form.CreateFormFile("file", "new.yaml")
		ok(t, err)
		_, err = f.Write(text)
		ok(t, err)
		ok(t, form.Close())
		if code, _, page := v.send(http.MethodPost, "/mapping/plan", form.FormDataContentType(), &b, nil); code != http.StatusOK || !strings.Contains(page, "Nothing changes for anybody") {
			t.Errorf("answered %d:\n%s", code, page)
		}
	})
}

// consoleOrphans looks at the tenant, which takes longer than a form waits, leaves one guest alone and adopts the other.
func consoleOrphans(t *testing.T, w *consoleWorld, v *visitor) {
	ok(t, w.tenant.Fail(emulator.Fault{Match: "user.list", Mode: emulator.HeldBack, Delay: 3 * time.Second}))
	if code, page := v.act("/orphans", url.Values{"sign_ins": {"1"}}); code != http.StatusOK || !strings.Contains(page, "data-poll") || !strings.Contains(page, "Looking for orphans") {
		t.Fatalf("a long look shows no progress: %d\n%s", code, page)
	}
	if _, page := v.get("/orphans"); !strings.Contains(page, "under way") {
		t.Error("the page does not say that a look is under way")
	}
	var page string
	eventually(t, 20*time.Second, "the look leads to its result", func() bool {
		_, page = v.get("/work/orphans")
		return !strings.Contains(page, "data-poll")
	})
	for _, want := range []string{"old@fabrikam.example", "ann0@acme-consulting.example", w.people[0] + "/adopt", "2 guests without a record"} {
		if !strings.Contains(page, want) {
			t.Errorf("the result does not tell %q:\n%s", want, page)
		}
	}
	old, ann := guestOf(w.tenant.State(), "old@fabrikam.example").ID, guestOf(w.tenant.State(), "ann0@acme-consulting.example").ID
	if code, page := v.act("/orphans/"+old, url.Values{"decision": {"leave"}, "reason": {"the auditors"}}); code != http.StatusOK || !strings.Contains(page, "left alone") || strings.Contains(page, "old@fabrikam.example") {
		t.Errorf("leaving one alone answers %d:\n%s", code, page)
	}
	if _, reason, _ := w.lastEvent(t, "orphan.ignored"); reason != "the auditors" {
		t.Errorf("the journal says %q", reason)
	}
	adopt := "/contractors/" + w.people[0] + "/adopt"
	if code, _ := v.act(adopt, url.Values{"guest": {old}, "reason": {"ours"}}); code != http.StatusConflict {
		t.Errorf("adopting another guest than was looked at answers %d", code)
	}
	if code, page := v.act(adopt, url.Values{"guest": {ann}, "reason": {"ours, from before"}}); code != http.StatusOK || !strings.Contains(page, "scimbridge&#39;s now") {
		t.Errorf("adopting answers %d:\n%s", code, page)
	}
	if _, reason, person := w.lastEvent(t, "guest.adopted"); person != w.people[0] || !strings.Contains(reason, "ours, from before; found {") || !strings.Contains(reason, ann) {
		t.Errorf("the journal says %q about %s", reason, person)
	}
	if _, page := v.get("/orphans"); strings.Contains(page, "ann0@acme") {
		t.Error("an adopted guest is still an orphan")
	}
}

// consoleDoors holds what keeps others out.
func consoleDoors(t *testing.T, w *consoleWorld) {
	jar, err := cookiejar.New(nil)
	ok(t, err)
	stranger := &visitor{t, &http.Client{Jar: jar}, w.base}
	for path := range w.consolePages() {
		if _, page := stranger.get(path); !strings.Contains(page, "scimbridge console") || strings.Contains(page, "@") {
			t.Errorf("%s shows a stranger:\n%s", path, page)
		}
	}
	link, err := w.daemon.console.Link("bo", console.Operator)
	ok(t, err)
	u, _ := url.Parse(link)
	code := url.Values{"code": {u.Query().Get("code")}}
	if _, page := stranger.get(u.RequestURI()); !strings.Contains(page, `id="signin-link"`) {
		t.Error("looking at a link shows no form")
	}
	if status, _ := stranger.post("/signin", code); status != http.StatusOK {
		t.Errorf("a link that was looked at answers %d", status)
	}
	if status, _ := stranger.post("/signin", code); status != http.StatusUnauthorized {
		t.Errorf("a link works twice: %d", status)
	}
	actor, reason, _ := w.lastEvent(t, "console.signed_in")
	if actor != "bo (console)" || reason != "by link, as operator" {
		t.Errorf("the journal says %q, %q", actor, reason)
	}
	if code, _, _ := stranger.send(http.MethodPost, "/holds", formKind, strings.NewReader("reason=x"), func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }); code != http.StatusForbidden {
		t.Errorf("another site's form answers %d", code)
	}
	if code, _, _ := stranger.send(http.MethodGet, "/", "", nil, func(r *http.Request) { r.Host = "attacker.example" }); code != http.StatusForbidden {
		t.Errorf("another host's name answers %d", code)
	}
	_, header, _ := stranger.send(http.MethodGet, "/", "", nil, nil)
	if policy := header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", header)
	}
	if _, page := stranger.get("/signin?to=//attacker.example"); strings.Contains(page, "attacker") {
		t.Error("the sign-in leads elsewhere")
	}
	if status, _ := stranger.act("/signout", url.Values{}); status != http.StatusOK {
		t.Errorf("signing out answers %d", status)
	}
	if _, page := stranger.get("/"); !strings.Contains(page, "scimbridge console") {
		t.Error("a session lives on after signing out")
	}
}

// consoleRoles holds what each role may.
func consoleRoles(t *testing.T, w *consoleWorld) {
	viewer, auditor := w.visit(t, "vi", console.Viewer), w.visit(t, "au", console.Auditor)
	for _, v := range []*visitor{viewer, auditor} {
		for _, path := range []string{"/holds", "/alarms/al-2", "/mapping/plan", "/vendors/okta/pause", "/contractors/" + w.people[1] + "/end"} {
			if code, _ := v.act(path, url.Values{"reason": {"x"}, "decision": {"approve"}, "hold": {"2"}}); code != http.StatusForbidden {
				t.Errorf("%s answers %d to who may only read", path, code)
			}
		}
	}
	if code, _ := viewer.get("/audit/export?form=csv"); code != http.StatusForbidden {
		t.Errorf("a viewer's export answers %d", code)
	}
	code, page := auditor.get("/audit/export?form=csv&kind=grant.")
	if lines := strings.Count(page, "\n"); code != http.StatusOK || lines != 13 {
		t.Errorf("an export of 12 events answers %d with %d lines", code, lines)
	}
	if _, page := auditor.get("/audit/export?form=json&personal=1"); !strings.Contains(page, "x@kforce.example") {
		t.Error("an export with personal fields has none")
	}
	if _, page := auditor.get("/audit/export?form=json"); strings.Contains(page, "x@kforce.example") {
		t.Error("an export without personal fields has some")
	}
	if actor, _, _ := w.lastEvent(t, "journal.exported"); actor != "au (console)" {
		t.Errorf("the journal says that %q exported", actor)
	}
	if code, page := auditor.act("/audit/verify", url.Values{}); code != http.StatusOK || !strings.Contains(page, "whole") {
		t.Errorf("verifying answers %d:\n%s", code, page)
	}
}

// TestConsoleCommand is the way in over the admin socket.
func TestConsoleCommand(t *testing.T) {
	t.Parallel()
	w := newConsoleWorld(t, 12)
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"console", "--config", w.configAt}, streams{nil, &out, &errs}); code != exitOK {
		t.Fatalf("exit %d: %s", code, errs.String())
	}
	link := strings.TrimSpace(out.String())
	if !strings.HasPrefix(link, w.base+"/signin?code=") {
		t.Errorf("the command printed %q", link)
	}
	if code := run(t.Context(), []string{"console", "--role", "king", "--config", w.configAt}, streams{nil, &out, &errs}); code != exitUsage {
		t.Errorf("a role that does not exist: exit %d", code)
	}
}
