package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"scimbridge/internal/audit"
	"scimbridge/internal/config"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
	"scimbridge/internal/entra"
	"scimbridge/internal/entra/emulator"
	"scimbridge/internal/mapper"
	"scimbridge/internal/policy"
)

const (
	testGlass  = "c0ffee00-1111-4222-8333-444455556666"
	testVendor = "aaaaaaaa-0000-4000-8000-000000000001"
)

// policyMapping is a mapping with a section conditional_access, without its first line.
const policyMapping = `version: 1
catalog:
  groups:
    ext-base: {id: ` + groupBase + `}
vendors:
  acme: {email_domains: [acme.example]}
rules:
  - name: everyone
    grant: {groups: [ext-base]}
conditional_access:
  break_glass: {groups: [` + testGlass + `]}
`

const declaredFirst = policyMapping + `  tenants:
    acme: {id: ` + testVendor + `, trust_mfa: true}
  locations:
    work-countries: {countries: [DE, AT, CH]}
    egress: {ip_ranges: [203.0.113.0/24], trusted: true}
  policies:
    - name: countries
      state: on
      scope: {guests: [b2bCollaborationGuest]}
      locations: {outside: [work-countries, egress]}
      access: block
    - name: mfa
      scope: {group: ext-base}
      require: {mfa: true}
      session: {sign_in_every: 12h}
`

// declaredThen changes a location and a policy, adds one, and drops a policy and a trusted location.
const declaredThen = policyMapping + `  tenants:
    acme: {id: ` + testVendor + `}
  locations:
    work-countries: {countries: [DE, AT, CH, NL]}
  policies:
    - name: countries
      scope: {guests: [b2bCollaborationGuest]}
      locations: {outside: [work-countries]}
      access: block
    - name: legacy
      scope: {guests: [b2bCollaborationGuest]}
      client_apps: [legacy]
      access: block
`

// policyWorld is an emulated tenant with somebody else's policy in it, a database, and the means to run plans.
type policyWorld struct {
	t       *testing.T
	e       *emulator.Emulator
	store   *db.Store
	path    string
	said    bytes.Buffer
	foreign map[string]any // somebody else's policy, as it must stay
	trip    func(http.RoundTripper) http.RoundTripper
}

func newPolicyWorld(t *testing.T, cfg emulator.Config) *policyWorld {
	t.Helper()
	e, err := emulator.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w := &policyWorld{t: t, e: e, path: filepath.Join(t.TempDir(), "scimbridge.db")}
	must := func(_ string, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(e.AddUser(emulator.UserSeed{ID: sponsorID, UPN: "admin@contoso.example", Name: "Admin"}))
	must(e.AddGroup(emulator.GroupSeed{ID: testGlass, Name: "emergency", Members: []string{sponsorID}}))
	must(e.AddGroup(emulator.GroupSeed{ID: groupBase, Name: "ext-base"}))
	w.restart()
	t.Cleanup(func() { w.store.Close() }) //nolint:errcheck // the test is over
	w.until("make somebody else's policy", func(ctx context.Context, r *policyRun) error {
		_, err := r.tenant.CreatePolicy(ctx, contractor.CAPolicy{
			Name: "Employees: nothing to do with us", State: contractor.CAOn, Users: contractor.CAUsers{IncludeGroups: []string{testGlass}, ExcludeUsers: []string{sponsorID}},
			Apps: contractor.CAApps{Include: []string{"All"}}, Grant: contractor.CAGrant{Controls: []string{"mfa"}},
		})
		return err
	})
	w.foreign = e.State().Policies[0]
	return w
}

func (w *policyWorld) restart() {
	w.t.Helper()
	if w.store != nil {
		if err := w.store.Close(); err != nil {
			w.t.Fatal(err)
		}
	}
	var err error
	if w.store, err = db.Open(context.Background(), db.Config{Path: w.path}); err != nil {
		w.t.Fatal(err)
	}
}

// runner is a new process: a client and a run of the mapping.
func (w *policyWorld) runner(mapping string) *policyRun {
	w.t.Helper()
	var want *contractor.ConditionalAccess
	revision := ""
	if mapping != "" {
		m, problems := mapper.Parse("mapping.yaml", []byte(mapping))
		if m == nil {
			w.t.Fatal(problems)
		}
		want, revision = m.ConditionalAccess(), m.Revision()
	}
	file := filepath.Join(w.t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(emulator.DefaultClientSecret), 0o600); err != nil {
		w.t.Fatal(err)
	}
	credential, err := entra.NewCredential(entra.CredentialConfig{
		TenantID: emulator.DefaultTenantID, ClientID: emulator.DefaultClientID, Kind: entra.KindSecret, File: file,
		LoginURL: "https://" + emulator.LoginHost, Transport: w.e.Transport(),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	transport := w.e.Transport()
	if w.trip != nil {
		transport = w.trip(transport)
	}
	graph, err := entra.New(entra.Config{
		GraphURL: "https://" + emulator.GraphHost + "/v1.0", Scope: "https://graph.microsoft.com/.default", Credential: credential,
		Transport: transport, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return &policyRun{
		tenant: graph, store: w.store, want: want, actor: audit.Actor{Kind: audit.ActorAdmin, Name: "ops"}, revision: revision,
		say: func(format string, args ...any) { fmt.Fprintf(&w.said, format+"\n", args...) },
	}
}

func (w *policyWorld) until(what string, do func(context.Context, *policyRun) error) {
	w.t.Helper()
	var err error
	for range 5 {
		if err = do(w.t.Context(), w.runner("")); err == nil {
			return
		}
	}
	w.t.Fatalf("%s: %v", what, err)
}

// once is what policy apply does.
func once(ctx context.Context, r *policyRun) error {
	plan, _, err := r.plan(ctx)
	if err != nil {
		return err
	}
	if len(plan.Refusals) > 0 {
		return fmt.Errorf("refused: %+v", plan.Refusals)
	}
	if err := r.apply(ctx, plan); err != nil {
		return err
	}
	return r.confirmed(ctx)
}

// apply runs until it works, as an admin would, and holds the tenant after each run.
func (w *policyWorld) apply(mapping string) (runs int) {
	w.t.Helper()
	for runs = 1; runs <= 8; runs++ {
		time.Sleep(2 * time.Second) // fake time: another process would not begin within the same second
		err := once(w.t.Context(), w.runner(mapping))
		w.check()
		if err == nil {
			return runs
		}
		w.t.Logf("run %d: %v", runs, err)
		w.restart()
	}
	w.t.Fatalf("not done after %d runs:\n%s", runs, w.said.String())
	return runs
}

// check holds what must be so at any time: nothing twice, nothing of others touched, nothing without an exclusion, nothing for
// everybody.
func (w *policyWorld) check() {
	w.t.Helper()
	seen := map[string]bool{}
	s := w.e.State()
	foreign := false
	for _, p := range append(slices.Clone(s.Policies), s.Locations...) {
		name, _ := p["displayName"].(string)
		if seen[name] {
			w.t.Errorf("%q is there twice", name)
		}
		seen[name] = true
		if !strings.HasPrefix(name, policy.Prefix) {
			foreign = true
			if d := cmp.Diff(w.foreign, p); d != "" {
				w.t.Errorf("somebody else's policy was changed:\n%s", d)
			}
			continue
		}
		if cond, ok := p["conditions"].(map[string]any); ok {
			users, _ := cond["users"].(map[string]any)
			if b, _ := json.Marshal(users["excludeGroups"]); !strings.Contains(string(b), testGlass) {
				w.t.Errorf("%q excludes %s", name, b)
			}
			if list, _ := users["includeUsers"].([]any); len(list) > 0 {
				w.t.Errorf("%q is for %v", name, list)
			}
		}
	}
	if w.foreign != nil && !foreign {
		w.t.Error("somebody else's policy is gone")
	}
}

// names are our policies with their states, and our locations, as they are in the tenant.
func (w *policyWorld) names() []string {
	list := []string{}
	s := w.e.State()
	for _, p := range s.Policies {
		if name, _ := p["displayName"].(string); strings.HasPrefix(name, policy.Prefix) {
			list = append(list, fmt.Sprintf("%s %v", strings.TrimPrefix(name, policy.Prefix), p["state"]))
		}
	}
	for _, l := range s.Locations {
		if name, _ := l["displayName"].(string); strings.HasPrefix(name, policy.Prefix) {
			list = append(list, strings.TrimPrefix(name, policy.Prefix))
		}
	}
	slices.Sort(list)
	return list
}

func (w *policyWorld) journal() map[string]int {
	w.t.Helper()
	events, err := w.store.EventsAfter(w.t.Context(), 0, 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, e := range events {
		kinds[e.Kind+" "+string(e.Outcome)]++
		if e.Actor.Name != "ops" || e.Reason == "" || e.Revision == "" {
			w.t.Errorf("an event without actor, reason or revision: %+v", e)
		}
	}
	return kinds
}

func calmTenant() emulator.Config {
	return emulator.Config{Seed: 1, Lag: -1, Throttle: -1, ServerError: -1, PageSize: 100}
}

const reportOnly = " enabledForReportingButNotEnforced"

func TestPolicyApply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newPolicyWorld(t, calmTenant())
		if runs := w.apply(declaredFirst); runs != 1 {
			t.Errorf("%d runs in a calm tenant", runs)
		}
		if d := cmp.Diff([]string{"countries" + reportOnly, "egress", "mfa" + reportOnly, "work-countries"}, w.names()); d != "" {
			t.Errorf("declared on, made in report-only (-want +got):\n%s", d)
		}
		want := map[string]int{"location.creating intended": 2, "location.created done": 2, "policy.creating intended": 2, "policy.created done": 2, "trust.changed done": 1}
		if d := cmp.Diff(want, w.journal()); d != "" {
			t.Errorf("journal (-want +got):\n%s", d)
		}
		step := func(name string, do func()) { // subtests cannot run in fake time
			t.Helper()
			do()
			if t.Failed() {
				t.Fatal(name)
			}
		}
		step("AgainIsNothing", func() {
			w.apply(declaredFirst)
			if d := cmp.Diff(want, w.journal()); d != "" {
				t.Errorf("journal (-want +got):\n%s", d)
			}
		})
		step("OnAfterAWeek", func() {
			time.Sleep(7 * 24 * time.Hour) // fake time
			w.apply(declaredFirst)
			if got := w.names(); !slices.Contains(got, "countries enabled") {
				t.Errorf("%v", got)
			}
		})
		step("WhatSomebodyElseChangedIsPutBack", func() {
			time.Sleep(time.Minute) // fake time
			r := w.runner("")
			list, err := r.tenant.CAPolicies(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(list, func(p contractor.CAPolicy) bool { return p.Name == policy.DisplayName("countries") })
			list[i].State = contractor.CAOff
			if _, err := r.tenant.UpdatePolicy(t.Context(), list[i], nil); err != nil {
				t.Fatal(err)
			}
			w.apply(declaredFirst)
			if got := w.names(); !slices.Contains(got, "countries enabled") {
				t.Errorf("%v", got)
			}
			if n := w.journal()["policy.changed done"]; n != 2 {
				t.Errorf("%d changes journaled, want the switching on and the putting back", n)
			}
		})
		step("TheRestGoes", func() {
			w.apply(declaredThen)
			if d := cmp.Diff([]string{"countries" + reportOnly, "legacy" + reportOnly, "work-countries"}, w.names()); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			w.apply(policyMapping + "  policies: []\n")
			if got := w.names(); len(got) != 0 {
				t.Errorf("left: %v", got)
			}
			if rows, err := w.store.ManagedPolicies(t.Context()); err != nil || len(rows) != 0 {
				t.Errorf("rows %+v, %v", rows, err)
			}
		})
		if n := w.e.Report().ByStatus[http.StatusTooManyRequests]; n != 0 {
			t.Errorf("%d times 429", n)
		}
	})
}

// Every call of an apply fails in both ways, not done and done though it failed, with an answer and without one.
func TestPolicyApplyUnderFaults(t *testing.T) {
	for _, op := range []string{
		"ca.location.create", "ca.policy.create", "xtap.partner.create", "ca.policy.update", "ca.location.update", "ca.policy.delete", "ca.location.delete",
		"ca.policy.list", "ca.location.list", "ca.policy.get",
	} {
		for _, mode := range []emulator.FaultMode{emulator.NotDone, emulator.DoneThoughFailed} {
			for _, status := range []int{0, 503} {
				if reads := strings.HasSuffix(op, ".list") || strings.HasSuffix(op, ".get"); reads && (status == 0 || mode != emulator.NotDone) {
					continue // a read has nothing to do although it failed
				}
				t.Run(fmt.Sprintf("%s/%s/%d", op, mode, status), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						w := newPolicyWorld(t, calmTenant())
						fail := func() {
							for _, after := range []int{0, 1} { // the first and the third such call
								if err := w.e.Fail(emulator.Fault{Match: op, Mode: mode, Status: status, After: after}); err != nil {
									t.Fatal(err)
								}
							}
						}
						fail()
						w.apply(declaredFirst)
						w.e.ClearFaults()
						if d := cmp.Diff([]string{"countries" + reportOnly, "egress", "mfa" + reportOnly, "work-countries"}, w.names()); d != "" {
							t.Errorf("first (-want +got):\n%s", d)
						}
						fail()
						w.apply(declaredThen)
						if d := cmp.Diff([]string{"countries" + reportOnly, "legacy" + reportOnly, "work-countries"}, w.names()); d != "" {
							t.Errorf("then (-want +got):\n%s", d)
						}
					})
				})
			}
		}
	}
}

// A tenant that lags, throttles and fails by itself.
func TestPolicyApplyInAnUnkindTenant(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newPolicyWorld(t, emulator.Config{Seed: seed})
				w.apply(declaredFirst)
				w.apply(declaredThen)
				if d := cmp.Diff([]string{"countries" + reportOnly, "legacy" + reportOnly, "work-countries"}, w.names()); d != "" {
					t.Errorf("(-want +got):\n%s", d)
				}
			})
		})
	}
}

// killer ends the process, as far as it can be seen from outside, right after the n-th request was answered.
type killer struct {
	next http.RoundTripper
	left *int
	kill context.CancelFunc
}

func (k killer) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := k.next.RoundTrip(r)
	if *k.left--; *k.left == 0 {
		k.kill()
		if resp != nil {
			resp.Body.Close() //nolint:errcheck // nobody is left to read it
		}
		return nil, context.Canceled
	}
	return resp, err
}

// The process dies after each request of an apply in turn; the next one finishes the work, and nothing is made twice.
func TestPolicyApplyIsResumable(t *testing.T) {
	for n := 1; ; n++ {
		died := false
		t.Run(fmt.Sprintf("killed after request %d", n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newPolicyWorld(t, calmTenant())
				ctx, kill := context.WithCancel(t.Context())
				defer kill()
				left := n
				w.trip = func(next http.RoundTripper) http.RoundTripper { return killer{next, &left, kill} }
				err := once(ctx, w.runner(declaredFirst))
				died = ctx.Err() != nil
				if died == (err == nil) {
					t.Fatalf("killed: %v, error: %v", died, err)
				}
				w.trip = nil
				w.restart()
				w.check()
				w.apply(declaredFirst)
				if d := cmp.Diff([]string{"countries" + reportOnly, "egress", "mfa" + reportOnly, "work-countries"}, w.names()); d != "" {
					t.Errorf("(-want +got):\n%s", d)
				}
				rows, err := w.store.ManagedPolicies(t.Context())
				if err != nil || len(rows) != 4 {
					t.Errorf("%d rows, %v", len(rows), err)
				}
				for _, m := range rows {
					if !m.Mine || m.ID == "" || len(m.Written) == 0 {
						t.Errorf("row %+v", m)
					}
				}
			})
		})
		if !died || t.Failed() {
			break
		}
	}
}

func TestPolicyReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newPolicyWorld(t, calmTenant())
		m, _ := mapper.Parse("mapping.yaml", []byte(declaredFirst))
		now := time.Now().UTC()
		e := contractor.Engagement{ID: "e1", Vendor: "acme", Version: 1, Created: now, Modified: now, Resource: []byte(`{}`), Record: contractor.Record{UserName: "ann", Email: "ann@acme.example", Active: true}}
		e, err := w.store.Create(t.Context(), e, 0, audit.Event{Kind: "engagement.created", Actor: audit.Actor{Kind: audit.ActorVendor, Name: "acme"}, Outcome: audit.Done})
		if err != nil {
			t.Fatal(err)
		}
		var entries []contractor.Activity
		for i, country := range []string{"DE", "RU", "RU"} {
			entries = append(entries, contractor.Activity{Log: contractor.LogSignIns, ID: fmt.Sprint(i), At: now.Add(-time.Hour), Guest: "g", Person: e.Person, OK: true, Country: country, ClientApp: "Browser", IP: "192.0.2.1"})
		}
		if _, err := w.store.RecordActivity(t.Context(), contractor.ActivityBatch{Log: contractor.LogSignIns, Entries: entries}); err != nil {
			t.Fatal(err)
		}
		s := policySetup{cfg: &config.Config{Mapping: "mapping.yaml"}, mapping: m, run: w.runner(declaredFirst)}
		r, err := s.report(t.Context(), recentDefault)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := r.print(&out); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			"conditional access for contractors: 2 policies declared in mapping.yaml",
			"+ location: work-countries: AT, CH, DE\n",
			"+ policy countries: contractors outside egress (203.0.113.0/24) and DE, AT, CH: blocked (report-only; declared on, which it may be from",
			"+ policy mfa: members of ext-base: need multifactor authentication; sign in again every 12h (report-only)\n",
			"trust: multifactor authentication done at acme does not count here",
			"of 3 sign-ins of contractors since", "countries: 2 blocked, 0 asked for more; blocked, the last at", e.Person,
		} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("it does not say %q:\n%s", want, out.String())
			}
		}
		if b, err := json.Marshal(r); err != nil || !strings.Contains(string(b), `"words":"contractors outside egress (203.0.113.0/24) and DE, AT, CH: blocked`) {
			t.Errorf("%v\n%s", err, b)
		}
		w.apply(declaredFirst)
		plan, have, err := w.runner(declaredFirst).plan(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		out.Reset()
		if err := showPolicies(plan, have, m.ConditionalAccess(), true).print(&out); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"countries: report-only, declared on\n", "may be enforced from", "Employees: nothing to do with us [not ours]: on", "multifactor authentication done at acme counts here", "a session can outlive its contract"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("show does not say %q:\n%s", want, out.String())
			}
		}
	})
}

// What is promised in words holds in the tenant: a contractor from a forbidden country is refused, an employee is not touched.
func TestEnforcedPolicyRefusesTheContractorAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newPolicyWorld(t, calmTenant())
		guest, err := w.e.AddUser(emulator.UserSeed{Guest: true, Mail: "ann@acme.example", Accepted: true})
		if err != nil {
			t.Fatal(err)
		}
		r := w.runner(declaredFirst)
		r.enforce = "the rehearsal of the incident plan"
		if err := once(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		for _, tc := range []struct {
			name, user, country, ip string
			in                      bool
		}{
			{"ContractorAtWork", guest, "DE", "192.0.2.7", true},
			{"ContractorFromAForbiddenCountry", guest, "RU", "192.0.2.7", false},
			{"ContractorBehindTheVendorsEgress", guest, "RU", "203.0.113.9", true},
			{"EmployeeFromTheForbiddenCountry", sponsorID, "RU", "192.0.2.7", true},
		} {
			got, err := w.e.SignIn(emulator.SignIn{UserID: tc.user, Country: tc.country, IP: tc.ip, MFA: true})
			if err != nil || got.Allowed != tc.in {
				t.Errorf("%s: let in %v, want %v (%v)", tc.name, got.Allowed, tc.in, err)
			}
		}
		if n := w.journal()["policy.created done"]; n != 2 {
			t.Errorf("%d policies journaled", n)
		}
	})
}
