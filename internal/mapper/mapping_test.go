package mapper_test

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scimbridge/internal/contractor"
	"scimbridge/internal/mapper"
)

// TestVendorsGetTheDefaults holds how a vendor's section and the defaults come together.
func TestAVendorWithoutAQuotaHasOne(t *testing.T) {
	const text = "version: 1\nvendors:\n  acme: {email_domains: [acme.example]}\n  free: {email_domains: [free.example], quota: 0}\n" +
		"catalog:\n  groups: {base: {id: 3F0C6F0E-1D7B-4B1F-9A57-0B1F0A3A9A01}}\nrules:\n  - name: everyone\n    grant: {groups: [base]}\n"
	m := mustParse(t, text)
	for vendor, want := range map[string]int{"acme": 10_000, "free": 0} {
		if v, _ := m.Vendor(vendor); v.Quota != want {
			t.Errorf("%s may have %d contracts, want %d", vendor, v.Quota, want)
		}
	}
}

func TestVendorsGetTheDefaults(t *testing.T) {
	text := `version: 1
defaults:
  timezone: Europe/Berlin
  max_duration: 180d
  missing_end: cap
  guard: {max_ends: 25}
  quota: 100
  rate: 5
guard: {max_ends_percent: 20, window: 7d}
catalog:
  groups: {base: {id: 3F0C6F0E-1D7B-4B1F-9A57-0B1F0A3A9A01, description: for all}}
vendors:
  plain: {email_domains: [acme.example]}
  own:
    email_domains: [globex.example]
    quota: 0
    rate: 0.5
    max_duration: 0d
    missing_end: hold
    guard: {max_ends_percent: 10, window: 12h}
    dates: {layouts: ["02.01.2006"], timezone: Asia/Tokyo}
    aliases: {end: ["ext:sap.validTo"], title: ["ext:sap.position"]}
    profile: sap-ips
    supplier: Globex
    groups: ignore
    test_users: ["scim-*"]
rules:
  - name: everyone
    grant: {groups: [base]}
`
	m := mustParse(t, text)
	berlin, err := contractor.LoadZone("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	tokyo, err := contractor.LoadZone("Asia/Tokyo")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]*contractor.Vendor{
		"plain": {
			Name: "plain", EmailDomains: []string{"acme.example"}, Quota: 100, Zone: berlin, MissingEnd: contractor.MissingEndCap,
			MaxDuration: contractor.Span{Days: 180}, Guard: contractor.Guard{MaxEnds: 25, MaxMovesPercent: 50, MaxRefused: 50, Window: 24 * time.Hour}, RatePerSec: 5,
		},
		"own": {
			Name: "own", EmailDomains: []string{"globex.example"}, Profile: "sap-ips", Supplier: "Globex", Zone: tokyo, DateLayouts: []string{"02.01.2006"},
			MissingEnd: contractor.MissingEndHold, Guard: contractor.Guard{MaxEndsPercent: 10, MaxMovesPercent: 50, MaxRefused: 50, Window: 12 * time.Hour}, TestUsers: []string{"scim-*"},
			Aliases: map[string][]string{"endDate": {"ext:sap.validTo"}, "title": {"ext:sap.position"}}, IgnoreGroups: true, RatePerSec: 0.5,
		},
	}
	zones := cmp.Comparer(func(a, b *time.Location) bool { return a.String() == b.String() })
	for name, v := range want {
		got, ok := m.Vendor(name)
		if !ok {
			t.Fatalf("no vendor %s", name)
		}
		if diff := cmp.Diff(v, got, zones); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if _, ok := m.Vendor("nobody"); ok {
		t.Error("there is a vendor that the file does not name")
	}
	if diff := cmp.Diff([]string{"own", "plain"}, m.Vendors()); diff != "" {
		t.Errorf("vendors (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(contractor.Guard{MaxEndsPercent: 20, MaxMovesPercent: 50, Window: 7 * 24 * time.Hour}, m.Guard()); diff != "" {
		t.Errorf("guard (-want +got):\n%s", diff)
	}
	catalog := []contractor.Entitlement{{Kind: contractor.KindGroup, Name: "base", ID: "3f0c6f0e-1d7b-4b1f-9a57-0b1f0a3a9a01", Expiry: contractor.ExpiryEntra}}
	if diff := cmp.Diff(catalog, m.Catalog()); diff != "" {
		t.Errorf("catalog (-want +got):\n%s", diff)
	}
	if got := m.Description(catalog[0].Key()); got != "for all" {
		t.Errorf("description %q", got)
	}
	sum := sha256.Sum256([]byte(text))
	if m.Revision() != hex.EncodeToString(sum[:]) || string(m.Source()) != text {
		t.Error("revision or source are not those of the text")
	}
	if m.RuleLine("everyone") != 28 || m.RuleLine("nobody") != 0 {
		t.Errorf("rule everyone is said to stand in line %d", m.RuleLine("everyone"))
	}
}

// TestWhatIsUsed holds what decides which of Entra's features are read.
func TestWhatIsUsed(t *testing.T) {
	for _, tt := range []struct {
		grant               string
		schedules, packages bool
	}{
		{"groups: [base]", true, false},
		{"groups: [backup]", false, false},
		{"access_packages: [dev]", false, true},
		{"groups: [backup, finance], access_packages: [dev]", true, true},
	} {
		m := mapping(t, "{}", "rules:\n  - {name: r, grant: {"+tt.grant+"}}\n")
		if m.UsesSchedules() != tt.schedules || m.UsesPackages() != tt.packages {
			t.Errorf("%s: schedules %v, packages %v", tt.grant, m.UsesSchedules(), m.UsesPackages())
		}
	}
	m := mapping(t, "{notify: {before_end: [1d, 30d, 7d]}, offboarding: {delete_after: 5d}, sponsor: {on_leave: hold}}", everyone)
	if diff := cmp.Diff([]contractor.Span{{Days: 30}, {Days: 7}, {Days: 1}}, m.Notify()); diff != "" {
		t.Errorf("notices (-want +got):\n%s", diff)
	}
	if m.Offboarding().DeleteAfter != (contractor.Span{Days: 5}) || m.OnLeave() != mapper.OnLeaveHold {
		t.Errorf("offboarding %+v, on leave %s", m.Offboarding(), m.OnLeave())
	}
	if got := mapping(t, "{}", everyone).Offboarding().DeleteAfter; got != (contractor.Span{Days: 30}) {
		t.Errorf("without a word guests are deleted after %s", got)
	}
}

// TestTestsOfTheFileFail holds what is said where a test of the file does not come out as expected.
func TestTestsOfTheFileFail(t *testing.T) {
	m := mapping(t, "{timezone: UTC}", everyone+`  - name: finance
    when: c.department == "Finance"
    grant: {groups: [finance]}
guest: {companyName: "${c.supplier}"}
tests:
  - name: right
    vendor: lab
    record: {startDate: 2026-01-01}
    want: {status: active, groups: [base], guest: {companyName: Lab Inc}}
  - name: wrong
    vendor: acme
    record: {startDate: 2026-01-01, endDate: 2026-02-01, supplier: ACME, department: IT}
    want:
      status: held
      reason: no end
      groups: [finance]
      access_packages: [dev]
      ends: {base: 2026-02-02, finance: 2026-02-01}
      rules: [finance]
      guest: {companyName: Kforce}
      sponsors: [a@corp.example]
  - name: not granted
    vendor: acme
    record: {startDate: 2026-01-01}
    want: {groups: [base]}
  - name: to the second
    vendor: acme
    at: 2026-01-05
    record: {startDate: 2026-01-01, endDate: 2026-02-01, active: false}
    want: {status: offboarding, ends: {base: "2026-02-01T00:00:00Z"}}
`)
	var got []string
	for _, r := range m.RunTests() {
		for _, p := range r.Problems {
			if !strings.HasPrefix(p.Message, `test "`+r.Name+`": `) {
				t.Errorf("the message does not name its test: %s", p.Message)
			}
			got = append(got, p.String())
		}
	}
	want := []string{
		`mapping.yaml:30:15: test "wrong": the status is active, not held`,
		`mapping.yaml:31:15: test "wrong": the reason is "", which does not hold "no end"`,
		`mapping.yaml:32:15: test "wrong": groups: base, not finance`,
		`mapping.yaml:33:24: test "wrong": access packages: none, not dev`,
		`mapping.yaml:35:14: test "wrong": rules: everyone, not finance`,
		`mapping.yaml:34:13: test "wrong": "base" ends on 2026-02-01, not 2026-02-02`,
		`mapping.yaml:34:13: test "wrong": "finance" is not granted`,
		`mapping.yaml:36:14: test "wrong": guest.companyName is "ACME", not "Kforce"`,
		`mapping.yaml:37:17: test "wrong": the sponsors are none, not a@corp.example`,
		`mapping.yaml:41:20: test "not granted": groups: none (no end date, and no rule for engagements without one), not base`,
		`mapping.yaml:46:39: test "to the second": "base" is not granted`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

// TestCompare holds what a plan says about one person.
func TestCompare(t *testing.T) {
	rules := func(text string) *mapper.Mapping {
		return mapping(t, "{timezone: UTC, activate_early: 0d}", "rules:\n"+text+`guest: {companyName: "${c.supplier}", jobTitle: "${c.title}"}
`)
	}
	const all = "  - {name: all, grant: {groups: [base]}}\n"
	before := rules(all + "  - {name: f, grant: {groups: [finance]}, max_duration: 100d}\n")
	now := at(t, "2026-02-01T00:00:00Z")
	live := person(named("e", "acme", contractor.Record{StartDate: "2026-01-01", EndDate: "2026-12-31", Country: "DE", Supplier: "ACME"}))
	toCome := person(named("e", "acme", contractor.Record{StartDate: "2026-05-01", EndDate: "2026-12-31", Country: "DE"}))
	type change struct {
		Kind          mapper.ChangeKind
		Name          string
		Before, After string
		ToCome        bool
		Reason        string
	}
	for _, tt := range []struct {
		name  string
		after *mapper.Mapping
		who   *contractor.Person
		want  []change
	}{
		{"nothing", before, live, nil},
		{"the same by another rule", rules("  - {name: other, grant: {groups: [base]}}\n  - {name: f, grant: {groups: [finance]}, max_duration: 100d}\n"), live, nil},
		{"granted", rules(all + "  - {name: f, grant: {groups: [finance], access_packages: [dev]}, max_duration: 100d}\n"), live,
			[]change{{Kind: mapper.Granted, Name: "dev", After: "f 2026-04-11"}}},
		{"extended", rules(all + "  - {name: g, grant: {groups: [finance]}, max_duration: 200d}\n"), live,
			[]change{{Kind: mapper.Extended, Name: "finance", Before: "f 2026-04-11", After: "g 2026-07-20"}}},
		{"shortened", rules(all + "  - {name: f, grant: {groups: [finance]}, max_duration: 50d}\n"), live,
			[]change{{Kind: mapper.Shortened, Name: "finance", Before: "f 2026-04-11", After: "f 2026-02-20"}}},
		{"cut off now", rules(all + "  - {name: f, grant: {groups: [finance]}, max_duration: 10d}\n"), live,
			[]change{{Kind: mapper.Removed, Name: "finance", Before: "f 2026-04-11"}}},
		{"removed", rules(all), live, []change{{Kind: mapper.Removed, Name: "finance", Before: "f 2026-04-11"}}},
		{"removed before it began", rules(all), toCome, []change{{Kind: mapper.Removed, Name: "finance", Before: "f 2026-08-09", ToCome: true}}},
		{"held", rules(all + "  - {name: f, grant: {groups: [finance]}, max_duration: 100d}\n  - {name: no, when: c.country == \"DE\", deny: not here}\n"), live, []change{
			{Kind: mapper.Removed, Name: "base", Before: "all 2026-12-31"}, {Kind: mapper.Removed, Name: "finance", Before: "f 2026-04-11"},
			{Kind: mapper.Held, Reason: "not here"}}},
	} {
		flat := func(changes []mapper.Change) []change {
			var out []change
			grant := func(g *contractor.Grant) string {
				if g == nil {
					return ""
				}
				return g.Rule + " " + g.End.Format("2006-01-02")
			}
			for _, c := range changes {
				out = append(out, change{c.Kind, c.Entitlement.Name, grant(c.Before), grant(c.After), c.ToCome, c.Reason})
			}
			return out
		}
		a, b := before.Desired(tt.who, now), tt.after.Desired(tt.who, now)
		if diff := cmp.Diff(tt.want, flat(mapper.Compare(a, b))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		// The way back is the mirror image.
		var mirror []mapper.ChangeKind
		for _, c := range mapper.Compare(b, a) {
			mirror = append(mirror, c.Kind)
		}
		opposite := map[mapper.ChangeKind]mapper.ChangeKind{
			mapper.Granted: mapper.Removed, mapper.Removed: mapper.Granted, mapper.Extended: mapper.Shortened, mapper.Shortened: mapper.Extended, mapper.Held: mapper.Released,
		}
		if len(mirror) != len(tt.want) {
			t.Errorf("%s: the way back is %v", tt.name, mirror)
		}
		for i := range mirror {
			if mirror[i] != opposite[tt.want[i].Kind] {
				t.Errorf("%s: the way back is %v", tt.name, mirror)
			}
		}
	}
	other := mapping(t, "{timezone: UTC}", "rules:\n"+all+"  - {name: f, grant: {groups: [finance]}, max_duration: 100d}\nguest: {companyName: \"${c.supplier}!\", jobTitle: \"${c.title}\"}\n")
	changes := mapper.Compare(before.Desired(live, now), other.Desired(live, now))
	if len(changes) != 1 || changes[0].Kind != mapper.Updated || !cmp.Equal(changes[0].Properties, []string{"companyName"}) {
		t.Errorf("a changed property is told as %+v", changes)
	}
}
