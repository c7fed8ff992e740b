package lifecycle_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"scimbridge/internal/entra/emulator"
)

// lifeMapping gives everybody what the cost of a life is counted for: attributes, a sponsor, two groups that PIM empties and
// one access package.
const lifeMapping = `version: 1
defaults:
  timezone: Europe/Berlin
  max_duration: 720d
  missing_end: hold
  offboarding: {delete_after: 30d}
  sponsor: {required: true, from: [c.sponsorEmail]}
catalog:
  groups:
    ext-base: {id: ` + groupBase + `}
    ext-finance: {id: ` + groupFin + `}
  access_packages:
    dev-basic: {id: ` + packDev + `, policy: ` + policyDev + `}
vendors:
  acme: {email_domains: [acme.example]}
guest:
  displayName: ${c.givenName} ${c.familyName}
  companyName: ${c.supplier}
  department: ${c.department}
rules:
  - name: everyone
    grant: {groups: [ext-base, ext-finance], access_packages: [dev-basic]}
`

// bill is what a life or a part of it costs.
type bill struct {
	calls, identity, pim, packages, units, wasted int
}

func (b bill) writes() int { return b.identity + b.pim + b.packages }

func (b bill) row(name string) string {
	return fmt.Sprintf("| %s | %d | %d | %d | %d | **%d** | %d |", name, b.calls, b.identity, b.pim, b.packages, b.writes(), b.units)
}

func (b bill) plus(o bill) bill {
	return bill{b.calls + o.calls, b.identity + o.identity, b.pim + o.pim, b.packages + o.packages, b.units + o.units, b.wasted + o.wasted}
}

// counted is what was spent since the last time that the meter was read.
func counted(tenant *emulator.Emulator) func() bill {
	var last bill
	return func() bill {
		r := tenant.Report()
		now := bill{calls: r.Calls, identity: r.Writes, pim: r.ByOperation["pim.request.create"].Calls, packages: r.ByOperation["em.request.create"].Calls, units: r.RU}
		for status, n := range r.ByStatus {
			if status >= 400 {
				now.wasted += n
			}
		}
		b := bill{now.calls - last.calls, now.identity - last.identity, now.pim - last.pim, now.packages - last.packages, now.units - last.units, now.wasted - last.wasted}
		last = now
		return b
	}
}

// kind is a tenant that does what it is told, and takes filters on its deleted users.
func kind() emulator.Config {
	return emulator.Config{Seed: 1, Throttle: -1, ServerError: -1, Lag: -1, EntitlementDelay: -1, Unknowns: emulator.Unknowns{DeletedFilters: emulator.Yes}}
}

// phases are the parts of a life whose cost is told apart. The quiet days between them are not counted: what the bridge reads on
// them, once a day, is its own idea, and told as a line of its own.
func phases() []string { return []string{"onboarding", "extension", "end", "deletion"} }

// bridgeLife lives one life with the whole bridge. crowd more contractors live beside it, a little ahead, so that what the
// bridge remembers of groups and sponsors is fresh; their cost is counted with it and shared out.
func bridgeLife(t *testing.T, crowd int) (parts map[string]bill, quiet bill) {
	t.Helper()
	w := newWorldOf(t, kind(), lifeMapping)
	defer func() { w.stopRun() }()
	begin := time.Now()
	day := func(n int) time.Time { return begin.AddDate(0, 0, n) }
	read := counted(w.tenant)
	parts = map[string]bill{}
	take := func(name string) { parts[name] = parts[name].plus(read()) }
	var ids []string
	for i := range crowd {
		ids = append(ids, w.push("acme", who{mail: fmt.Sprintf("ada%d@acme.example", i), end: day(30)}))
	}
	w.pass(10 * time.Minute)
	take("onboarding")
	w.until(day(5).Add(time.Hour))
	read()
	w.until(day(6).Add(time.Hour))
	quiet = read()
	w.until(day(25))
	read()
	for _, id := range ids {
		w.end(id, day(60))
	}
	w.pass(10 * time.Minute)
	take("extension")
	w.until(day(60).Add(-time.Minute))
	read()
	w.until(day(60).Add(10 * time.Minute))
	take("end")
	w.until(day(90).Add(-90 * time.Minute)) // the deletion is due at midnight in Berlin, the daily look an hour later
	read()
	w.until(day(90).Add(10 * time.Minute))
	take("deletion")
	for i := range crowd {
		if g := w.guest(fmt.Sprintf("ada%d@acme.example", i)); g == nil || g.Deleted == nil {
			t.Fatalf("the life did not end: %+v\n%s", g, w.tell())
		}
	}
	return parts, quiet
}

// directLife lives the same life with code that calls Graph itself.
func directLife(t *testing.T, how direct) map[string]bill {
	t.Helper()
	w := newWorldOf(t, kind(), lifeMapping) // for its tenant
	w.stopRun()
	read := counted(w.tenant)
	d := newDirect(t, w.tenant, how)
	begin := time.Now()
	parts := map[string]bill{}
	d.onboard(t.Context(), "ada@acme.example", begin.AddDate(0, 0, 30))
	parts["onboarding"] = read()
	w.until(begin.AddDate(0, 0, 25))
	d.extend(t.Context(), begin.AddDate(0, 0, 60))
	parts["extension"] = read()
	w.until(begin.AddDate(0, 0, 60))
	d.leave(t.Context())
	parts["end"] = read()
	w.until(begin.AddDate(0, 0, 90))
	d.remove(t.Context())
	parts["deletion"] = read()
	g := w.guest("ada@acme.example")
	if g == nil || g.Deleted == nil || len(g.MemberOf) > 0 {
		t.Fatalf("the life did not end: %+v", g)
	}
	return parts
}

func sum(parts map[string]bill) bill {
	var all bill
	for _, name := range phases() {
		all = all.plus(parts[name])
	}
	return all
}

// TestCostOfALife counts what one contractor costs from first to last, against code that calls Graph directly.
// docs/entra.md quotes the table.
func TestCostOfALife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bridge, quiet := bridgeLife(t, 1)
		const many = 5
		crowd, _ := bridgeLife(t, many)
		book := sum(directLife(t, direct{careful: true, leaveDate: true}))
		ledger := sum(directLife(t, direct{careful: true}))
		lean := sum(directLife(t, direct{native: true}))

		t.Log("| | calls | identity writes | PIM requests | package requests | all writes | RU |")
		for _, name := range phases() {
			t.Log(bridge[name].row(name))
		}
		all, side := sum(bridge), sum(crowd)
		t.Log(all.row("whole life"))
		one := bill{side.calls / many, side.identity / many, side.pim / many, side.packages / many, side.units / many, 0}
		t.Log(one.row(fmt.Sprintf("one of %d", many)))
		t.Log(quiet.row("a quiet day"))
		t.Log(book.row("direct, by the book"))
		t.Log(ledger.row("the same with a ledger of its own"))
		t.Log(lean.row("direct, lean"))

		if all.identity != 5 {
			t.Errorf("%d identity writes for a whole life, want 5: invite, attributes, disable, revoke, delete", all.identity)
		}
		if all.wasted+side.wasted+quiet.wasted > 0 {
			t.Errorf("%d calls were answered with an error", all.wasted+side.wasted+quiet.wasted)
		}
		// In steady state nobody is alone: what is known of groups and sponsors serves everybody.
		for name, pair := range map[string][2]int{
			"writes": {one.writes(), book.writes()}, "identity writes": {one.identity, book.identity}, "resource units": {one.units, book.units},
		} {
			if ours, theirs := pair[0], pair[1]; 3*ours > 2*theirs {
				t.Errorf("%d %s, directly %d: not a third fewer", ours, name, theirs)
			}
		}
		for name, other := range map[string]bill{"with a ledger": ledger, "lean": lean} {
			if all.writes() >= other.writes() {
				t.Errorf("%d writes, %s directly %d", all.writes(), name, other.writes())
			}
		}
	})
}
