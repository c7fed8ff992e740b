package mapper_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scimbridge/internal/contractor"
	"scimbridge/internal/mapper"
)

// aroundPolicies is a mapping to which a section conditional_access is added.
const aroundPolicies = `version: 1
catalog:
  groups:
    ext-base: {id: 3f0c6f0e-1d7b-4b1f-9a57-0b1f0a3a9a01}
vendors:
  acme: {email_domains: [acme.example]}
rules:
  - name: everyone
    grant: {groups: [ext-base]}
`

func parsePolicies(t *testing.T, section string) *contractor.ConditionalAccess {
	t.Helper()
	m, problems := mapper.Parse("mapping.yaml", []byte(aroundPolicies+section))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return m.ConditionalAccess()
}

func TestConditionalAccessIsReadWhole(t *testing.T) {
	yes := true
	got := parsePolicies(t, `conditional_access:
  break_glass: {groups: [C0FFEE00-1111-4222-8333-444455556666], users: [c0ffee00-1111-4222-8333-444455556667]}
  report_only_for: 14d
  tenants:
    acme: {id: aaaaaaaa-0000-4000-8000-000000000001, trust_mfa: true}
    kforce: {id: aaaaaaaa-0000-4000-8000-000000000002}
  locations:
    work-countries: {countries: [DE, AT, CH], include_unknown: true}
    egress: {ip_ranges: [203.0.113.0/24, "2001:db8::/48"], trusted: true}
  policies:
    - name: countries
      state: on
      scope: {guests: [b2bCollaborationGuest, otherExternalUser]}
      locations: {outside: [work-countries, egress, trusted]}
      access: block
    - name: acme-mfa
      description: Their people show a passkey.
      scope: {tenants: [acme, kforce]}
      apps: {include: [office365, 00000003-0000-0FF1-CE00-000000000000], exclude: [admin_portals]}
      client_apps: [browser, mobile_and_desktop]
      sign_in_risk: [medium, high]
      devices: {not_matching: device.isCompliant -eq True}
      require: {strength: phishing-resistant, terms_of_use: [aaaaaaaa-0000-4000-8000-00000000000A]}
      session: {sign_in_every: 12h}
    - name: legacy
      state: off
      scope: {group: ext-base}
      client_apps: [legacy]
      locations: {in: [everywhere], outside: [egress]}
      access: block
`)
	want := &contractor.ConditionalAccess{
		BreakGlassGroups: []string{"c0ffee00-1111-4222-8333-444455556666"}, BreakGlassUsers: []string{"c0ffee00-1111-4222-8333-444455556667"},
		ReportOnlyFor: 14 * 24 * time.Hour,
		KeptGroups:    map[string]string{"3f0c6f0e-1d7b-4b1f-9a57-0b1f0a3a9a01": "ext-base"},
		Tenants: []contractor.PartnerTenant{
			{Name: "acme", ID: "aaaaaaaa-0000-4000-8000-000000000001", TrustMFA: &yes, Line: 14},
			{Name: "kforce", ID: "aaaaaaaa-0000-4000-8000-000000000002", Line: 15},
		},
		Locations: []contractor.NamedLocation{
			{Name: "egress", Kind: contractor.LocationRanges, Ranges: []string{"203.0.113.0/24", "2001:db8::/48"}, Trusted: true, Line: 18},
			{Name: "work-countries", Kind: contractor.LocationCountries, Countries: []string{"DE", "AT", "CH"}, IncludeUnknown: true, Lookup: "clientIpAddress", Line: 17},
		},
		Policies: []contractor.CAPolicy{
			{
				Name: "countries", State: contractor.CAOn, Line: 20,
				Users:     contractor.CAUsers{IncludeGuests: contractor.CAGuests{Types: []string{"b2bCollaborationGuest", "otherExternalUser"}}},
				Apps:      contractor.CAApps{Include: []string{"All"}},
				Locations: contractor.CAIncludes{Include: []string{"All"}, Exclude: []string{"work-countries", "egress", "AllTrusted"}},
				Grant:     contractor.CAGrant{Controls: []string{"block"}},
			},
			{
				Name: "acme-mfa", State: contractor.CAReportOnly, Line: 25,
				Users: contractor.CAUsers{IncludeGuests: contractor.CAGuests{Types: []string{"b2bCollaborationGuest"},
					Tenants: []string{"aaaaaaaa-0000-4000-8000-000000000001", "aaaaaaaa-0000-4000-8000-000000000002"}}},
				Apps:       contractor.CAApps{Include: []string{"Office365", "00000003-0000-0ff1-ce00-000000000000"}, Exclude: []string{"MicrosoftAdminPortals"}},
				ClientApps: []string{"browser", "mobileAppsAndDesktopClients"}, SignInRisk: []string{"medium", "high"},
				Devices: contractor.CADevices{Mode: "exclude", Rule: "device.isCompliant -eq True"},
				Grant:   contractor.CAGrant{Operator: "AND", Strength: "Phishing-resistant MFA", Terms: []string{"aaaaaaaa-0000-4000-8000-00000000000a"}},
				Session: contractor.CASession{Frequency: 12 * time.Hour},
			},
			{
				Name: "legacy", State: contractor.CAOff, Line: 34,
				Users: contractor.CAUsers{IncludeGroups: []string{"3f0c6f0e-1d7b-4b1f-9a57-0b1f0a3a9a01"}}, Apps: contractor.CAApps{Include: []string{"All"}},
				ClientApps: []string{"exchangeActiveSync", "other"},
				Locations:  contractor.CAIncludes{Include: []string{"All"}, Exclude: []string{"egress"}}, Grant: contractor.CAGrant{Controls: []string{"block"}},
			},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("declared (-want +got):\n%s", diff)
	}
}

func TestWithoutTheSectionNothingIsDeclared(t *testing.T) {
	if got := parsePolicies(t, ""); got != nil {
		t.Errorf("declared %+v", got)
	}
}

// The baseline that ships is a section to be copied into a mapping: it must be whole and without warnings there.
func TestBaselineConditionalAccess(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "configs", "baseline-conditional-access.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	ca := parsePolicies(t, string(text))
	if len(ca.Policies) < 5 || len(ca.BreakGlassGroups) == 0 {
		t.Errorf("the baseline has %d policies and excludes %v", len(ca.Policies), ca.BreakGlassGroups)
	}
	for _, p := range ca.Policies {
		if p.State != contractor.CAReportOnly {
			t.Errorf("policy %s begins %s; a baseline begins in report-only", p.Name, p.State)
		}
	}
	if !strings.Contains(string(text), "c0ffee00-1111-4222-8333-444455556666") {
		t.Error("the placeholder of the break-glass group is not the one that the documentation names")
	}
}

func FuzzConditionalAccess(f *testing.F) {
	files, err := filepath.Glob("testdata/bad/ca-*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		_, section, _ := strings.Cut(string(text), "conditional_access:\n")
		f.Add(section)
	}
	f.Fuzz(func(t *testing.T, section string) {
		m, problems := mapper.Parse("mapping.yaml", []byte(aroundPolicies+"conditional_access:\n"+section))
		if (m == nil) != (problems.Err() != nil) {
			t.Fatalf("mapping usable: %v, problems %v", m != nil, problems)
		}
		if m == nil {
			return
		}
		ca := m.ConditionalAccess()
		if ca == nil {
			return // another section followed an empty one
		}
		for _, p := range ca.Policies {
			if len(ca.BreakGlassGroups)+len(ca.BreakGlassUsers) == 0 || p.Grant.IsZero() && p.Session.IsZero() ||
				p.Users.IncludeGuests.IsZero() && len(p.Users.IncludeGroups) == 0 || len(p.Users.IncludeUsers) > 0 {
				t.Fatalf("taken: %+v\nfrom\n%s", p, section)
			}
		}
	})
}

// What the documentation shows is read as it stands there.
func TestDocumentedConditionalAccess(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "conditional-access.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "```yaml\n")
	section, _, ended := strings.Cut(rest, "```")
	if !found || !ended {
		t.Fatal("the page shows no section")
	}
	ca := parsePolicies(t, strings.ReplaceAll(section, "<id>", "aaaaaaaa-0000-4000-8000-00000000000a"))
	if len(ca.Policies) != 2 || len(ca.Locations) != 2 || len(ca.Tenants) != 1 {
		t.Errorf("%+v", ca)
	}
}
