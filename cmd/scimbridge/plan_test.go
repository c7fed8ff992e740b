package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
	"scimbridge/internal/entra/emulator"
	"scimbridge/internal/mapper"
)

// house is a daemon on an emulated tenant in this process, and the commands beside it.
type house struct {
	*stage
	t *testing.T
}

func newHouse(t *testing.T, seed uint64) *house {
	t.Helper()
	st, err := setStage(t.Context(), seed)
	ok(t, err)
	t.Cleanup(func() { ok(t, st.close(context.WithoutCancel(t.Context()))) })
	return &house{st, t}
}

// command runs a command on the daemon's configuration and wants its exit code.
func (h *house) command(want int, args ...string) string {
	h.t.Helper()
	var out, errs bytes.Buffer
	args = append(args, "--config", filepath.Join(h.dir, "scimbridge.yaml"))
	if code := run(h.t.Context(), args, streams{nil, &out, &errs}); code != want {
		h.t.Fatalf("scimbridge %s exited %d, want %d\n%s%s", strings.Join(args, " "), code, want, out.String(), errs.String())
	}
	return out.String() + errs.String()
}

// edit replaces a part of the mapping file, once.
func (h *house) edit(old, text string) {
	h.t.Helper()
	name := filepath.Join(h.dir, "mapping.yaml")
	b, err := os.ReadFile(name)
	ok(h.t, err)
	if !strings.Contains(string(b), old) {
		h.t.Fatalf("the mapping has no %q", old)
	}
	ok(h.t, os.WriteFile(name, []byte(strings.Replace(string(b), old, text, 1)), 0o600))
}

// push creates a contractor of vendor okta and waits until the finance group is held.
func (h *house) push(mail string) {
	h.t.Helper()
	end := time.Now().AddDate(0, 2, 0)
	body := strings.Replace(okta(mail, "Ada", "Byron", "Analyst", end), `"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {`, `"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"department": "Finance", `, 1)
	if !strings.Contains(body, "Finance") {
		body = strings.Replace(body, `"userName"`, `"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"department": "Finance"}, "userName"`, 1)
	}
	var sent map[string]any
	ok(h.t, json.Unmarshal([]byte(body), &sent))
	sent["externalId"] = mail
	b, err := json.Marshal(sent)
	ok(h.t, err)
	status, doc, err := h.vendors["okta"].do(h.t.Context(), http.MethodPost, "/Users", string(b))
	ok(h.t, err)
	if status != http.StatusCreated {
		h.t.Fatalf("HTTP %d %v", status, doc)
	}
}

func (h *house) finance() (n int) {
	for _, u := range h.tenant.State().Users {
		for _, g := range u.MemberOf {
			if u.Guest && g == groupFinance {
				n++
			}
		}
	}
	return n
}

// soon waits for something that the daemon does in its own time.
func (h *house) soon(what string, done func() bool) {
	h.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			h.t.Fatalf("not after 30 s: %s", what)
		}
	}
}

const financeRule = `  - name: finance
    when: c.department == "Finance"
    grant: {groups: [ext-finance]}
`

// TestPlanAndApply edits the mapping of a running daemon: seen before, refused when stale, applied as planned, explained.
func TestPlanAndApply(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 7)
	h.edit("profile: okta\n", "profile: okta\n    guard: {max_ends: 1}\n")
	h.command(exitOK, "reload")
	mails := []string{"ada@kforce.example", "bob@kforce.example", "eve@kforce.example"}
	for _, m := range mails {
		h.push(m)
	}
	h.soon("three have the finance group", func() bool { return h.finance() == 3 })

	if out := h.command(exitOK, "plan", "--detailed-exitcode"); !strings.Contains(out, "0 of 3 people change") {
		t.Errorf("nothing was edited, and the plan says\n%s", out)
	}
	h.edit(financeRule, "")
	out := h.command(2, "plan", "--detailed-exitcode")
	for _, want := range []string{"3 of 3 people change", "removed", "3 of vendor okta lose access", "the guard of vendor okta would hold this", "- group ext-finance, which finance gives"} {
		if !strings.Contains(out, want) {
			t.Errorf("the plan does not say %q:\n%s", want, out)
		}
	}
	var plan struct {
		ID     string
		People []struct {
			Person  string
			Changes []mapper.Change
		}
		Summary tally
	}
	ok(t, json.Unmarshal([]byte(h.command(exitOK, "plan", "--json")), &plan))
	if len(plan.People) != 3 || plan.Summary.Kinds[mapper.Removed] != 3 || !strings.Contains(out, plan.ID[:12]) {
		t.Fatalf("the plan as JSON: %+v; the same plan has the same id", plan)
	}

	t.Run("a stale plan is refused", func(t *testing.T) {
		h.push("max@kforce.example")
		h.soon("four have the finance group", func() bool { return h.finance() == 4 })
		if out := h.command(exitError, "apply", plan.ID, "--yes", "--reason", "x"); !strings.Contains(out, "is new, or changed") || !strings.Contains(out, "the world has changed since plan") {
			t.Errorf("refused with\n%s", out)
		}
	})
	t.Run("a reload that takes too much waits", func(t *testing.T) {
		h.command(exitOK, "reload")
		out := h.command(2, "hold", "list")
		if strings.Count(out, "the mapping takes access from 4 people, the guard allows 1") != 4 || h.finance() != 4 {
			t.Errorf("%d have the group; held:\n%s", h.finance(), out)
		}
		for _, want := range []string{"4 people from whom an edit of the mapping takes access", "approving takes away 4 grants of 4 people", "group ext-finance  4 people", "finance, line "} {
			if !strings.Contains(out, want) {
				t.Errorf("hold list does not say %q:\n%s", want, out)
			}
		}
		h.edit("rules:\n", "rules:\n"+financeRule) // mended: nothing waits for it any more
		h.command(exitOK, "reload")
	})
	t.Run("applied as planned", func(t *testing.T) {
		before := time.Now()
		h.edit(financeRule, "")
		ok(t, json.Unmarshal([]byte(h.command(exitOK, "plan", "--json")), &plan))
		h.command(exitUsage, "apply", plan.ID, "--reason", "x") // nobody to ask
		out := h.command(exitOK, "apply", plan.ID[:12], "--yes", "--reason", "finance moved to packages")
		for _, want := range []string{"4 of 4 people change", "finance  4 removed", "who loses what they hold now", "group ext-finance (" + groupFinance + ")"} {
			if !strings.Contains(out, want) {
				t.Errorf("apply does not say %q:\n%s", want, out)
			}
		}
		h.soon("nobody has the finance group", func() bool { return h.finance() == 0 })
		if out := h.command(exitOK, "hold", "list"); !strings.Contains(out, "nothing waits") {
			t.Errorf("all was approved with the plan, and\n%s", out)
		}
		h.soon("the removal is read back", func() bool {
			return strings.Contains(h.command(exitOK, "explain", "ada@kforce.example", "ext-finance"), "grant.gone")
		})
		out = h.command(exitOK, "explain", "ada@kforce.example", "ext-finance")
		for _, want := range []string{"not held", "no rule grants it", "grant.added", "rule finance, line", "grant.remove_sent", "request-id "} {
			if !strings.Contains(out, want) {
				t.Errorf("explain does not say %q:\n%s", want, out)
			}
		}
		out = h.command(exitOK, "explain", "ada@kforce.example", "ext-finance", "--at", before.UTC().Format(time.RFC3339Nano))
		if !strings.Contains(out, "held since") || strings.Contains(out, "grant.remove_sent") {
			t.Errorf("explained for the past:\n%s", out)
		}
		if out := h.command(exitOK, "mapping", "list"); strings.Count(out, "in force") != 1 || strings.Count(out, "\n") != 6 {
			t.Errorf("revisions:\n%s", out)
		}
		if out := h.command(exitOK, "mapping", "diff"); !strings.Contains(out, "nothing differs") {
			t.Errorf("the file is what was applied:\n%s", out)
		}
		if out := h.command(exitError, "apply", plan.ID, "--yes", "--reason", "again"); !strings.Contains(out, "the mapping in force is") {
			t.Errorf("applied twice: %s", out)
		}
	})
}

// bigHouse is a mapping of n rules for the benchmark.
func bigHouse(n int, limit string) string {
	var b strings.Builder
	b.WriteString("version: 1\ndefaults: {timezone: Europe/Berlin, max_duration: 365d, missing_end: cap}\ncatalog:\n  groups:\n")
	for i := range 50 {
		fmt.Fprintf(&b, "    group-%d: {id: 3f0c6f0e-1d7b-4b1f-9a57-0b1f0a3a%04x}\n", i, i+1)
	}
	b.WriteString("vendors:\n  acme: {email_domains: [acme.example]}\nguest:\n  displayName: ${c.givenName} ${c.familyName}\nrules:\n  - name: everyone\n    grant: {groups: [group-0]}\n")
	for i := 1; i < n; i++ {
		fmt.Fprintf(&b, "  - name: rule-%d\n    when: c.department == \"Dept %d\" and c.country == \"DE\"\n    grant: {groups: [group-%d]}\n    max_duration: %s\n", i, i%97, i%50, limit)
	}
	return b.String()
}

// fillHouse stores n people with one engagement each.
func fillHouse(b *testing.B, s *db.Store, n int) {
	b.Helper()
	const writers = 64
	errs := make(chan error, writers)
	now := time.Now().UTC().Truncate(time.Microsecond)
	for w := range writers {
		go func() {
			for i := w; i < n; i += writers {
				r := contractor.Record{
					UserName: fmt.Sprint("u", i), Email: fmt.Sprintf("p%d@acme.example", i), Active: true, GivenName: "Ada", FamilyName: "Byron",
					Title: "Engineer", Department: fmt.Sprintf("Dept %d", i%97), Country: [...]string{"DE", "FR"}[i%2], Supplier: "ACME",
					WorkerID: fmt.Sprintf("W%08d", i), StartDate: now.Format(time.DateOnly), EndDate: now.AddDate(0, 0, 200).Format(time.DateOnly),
				}
				res, _ := json.Marshal(map[string]any{"userName": r.UserName, "title": r.Title, "emails": []any{map[string]any{"value": r.Email}}})
				e := contractor.Engagement{ID: fmt.Sprintf("00000000-0000-4000-8000-%012d", i), Vendor: "acme", Version: 1, Created: now, Modified: now, Record: r, Resource: res}
				if _, err := s.Create(b.Context(), e, 0, audit.Event{Kind: "engagement.created", Actor: audit.Actor{Kind: audit.ActorVendor, Name: "acme"}, Outcome: audit.Done}); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range writers {
		ok(b, <-errs)
	}
}

// BenchmarkPlan plans an edit for 100,000 people under 200 rules from a store on disk. SCIMBRIDGE_PEOPLE says how many instead.
func BenchmarkPlan(b *testing.B) {
	n := 100_000
	if s := os.Getenv("SCIMBRIDGE_PEOPLE"); s != "" {
		_, err := fmt.Sscan(s, &n)
		ok(b, err)
	}
	s, err := db.Open(b.Context(), db.Config{Path: filepath.Join(b.TempDir(), "plan.db")})
	ok(b, err)
	defer s.Close() //nolint:errcheck // a benchmark
	fillHouse(b, s, n)
	_, err = s.AddRevision(b.Context(), admin(), bigHouse(200, "90d"), "test")
	ok(b, err)
	for _, c := range []struct{ name, limit, more string }{{"nothing changes", "90d", "# a comment\n"}, {"half of them change", "60d", ""}} {
		after, problems := mapper.Parse("mapping.yaml", []byte(bigHouse(200, c.limit)+c.more))
		ok(b, problems.Err())
		b.Run(c.name, func(b *testing.B) {
			peak := uint64(0)
			for b.Loop() {
				_, t, err := planOf(b.Context(), s, admin(), after, time.Now(), func(int) {
					var m runtime.MemStats
					runtime.ReadMemStats(&m)
					peak = max(peak, m.HeapAlloc)
				})
				ok(b, err)
				b.ReportMetric(float64(t.Changed), "changed")
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "people/s")
			b.ReportMetric(float64(peak)/(1<<20), "peak-MiB")
		})
	}
}

// TestValidateOnline asks the emulated tenant about a mapping.
func TestValidateOnline(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 9)
	if out := h.command(exitOK, "validate", "--online"); !strings.Contains(out, "group ext-finance ("+groupFinance+"): its grants depend on the bridge to end (expiry: bridge) [warning]") {
		t.Errorf("a mapping that fits the tenant:\n%s", out)
	}
	h.edit("max_duration: 365d", "max_duration: 500d")
	if out := h.command(exitOK, "validate", "--online"); !strings.Contains(out, "access package dev-basic ("+packageDev+", policy "+policyDev+"): its policy allows assignments of at most 365d, and rules grant it for up to 500d") {
		t.Errorf("a package whose policy allows less than the rules:\n%s", out)
	}
	h.edit("max_duration: 500d", "max_duration: 365d")
	const dynamic = "3f0c6f0e-1d7b-4b1f-9a57-0b1f0a3a9a77"
	_, err := h.tenant.AddGroup(emulator.GroupSeed{ID: dynamic, Name: "all guests", Dynamic: true})
	ok(t, err)
	h.edit("ext-shared: {id: "+groupShared+"}", "ext-shared: {id: "+dynamic+"}")
	h.edit("policy: "+policyDev, "policy: "+sponsorID)
	const nobody = "c0ffee00-1111-4222-8333-444455556666"
	h.edit("\nrules:\n", `
conditional_access:
  break_glass: {groups: [`+nobody+`]}
  policies:
    - name: contractors-mfa
      state: report-only
      scope: {guests: [b2bCollaborationGuest]}
      require: {strength: Unheard of}
rules:
`)
	h.edit("ext-base: {id: "+groupBase+"}", "ext-base: {id: "+sponsorID+"}")
	out := h.command(exitError, "validate", "--online")
	for _, want := range []string{
		"group ext-shared (" + dynamic + ") has dynamic membership; members cannot be added\n",
		"group ext-base (" + sponsorID + ") is not in the tenant, or is no group",
		"access package dev-basic (" + packageDev + ", policy " + sponsorID + "): the package has no such policy",
		"mapping.yaml:10:5: tenant ",
		"conditional_access: the break-glass group " + nobody + " is not in the tenant",
		`Unheard of`,
		"errors, 1 warning",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
}

// TestRederive: a vendor's changed section reaches the records that are stored, and what it takes away beyond the guard waits.
func TestRederive(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 11)
	h.edit("profile: okta\n", "profile: okta\n    guard: {max_ends: 1}\n")
	h.command(exitOK, "reload")
	for _, m := range []string{"ada@kforce.example", "bob@kforce.example"} {
		h.push(m)
	}
	h.soon("two have the finance group", func() bool { return h.finance() == 2 })
	events := func() (n int) {
		for e, err := range h.daemon.store.Journal(t.Context(), contractor.JournalQuery{Kind: "engagement.rederived"}) {
			ok(t, err)
			if e.Revision == "" || !strings.Contains(string(e.Detail), "Department") {
				t.Errorf("the event says %+v", e)
			}
			n++
		}
		return n
	}
	h.edit("guard: {max_ends: 1}\n", "guard: {max_ends: 1}\n    aliases: {department: [title]}\n")
	if out := h.command(exitOK, "plan"); !strings.Contains(out, "finance  2 removed") {
		t.Errorf("the plan does not see what the alias takes away:\n%s", out)
	}
	h.command(exitOK, "reload")
	h.soon("both losses are held", func() bool {
		holds, err := h.daemon.store.Holds(t.Context(), contractor.HoldQuery{Vendor: "okta"})
		ok(t, err)
		return len(holds) == 2
	})
	if h.finance() != 2 || events() != 0 {
		t.Errorf("%d have the group, %d records were read anew: both should wait", h.finance(), events())
	}
	h.command(exitOK, "hold", "approve", "--vendor", "okta", "--yes", "--reason", "meant so")
	ok(t, h.daemon.rederive(t.Context(), h.daemon.mapping.get()))
	h.soon("the group is taken away", func() bool { return h.finance() == 0 })
	if events() != 2 {
		t.Errorf("%d records were read anew", events())
	}
}
