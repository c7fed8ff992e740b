package policy_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scimbridge/internal/contractor"
	"scimbridge/internal/policy"
)

// enforced is a set with everything that can be declared, on; ids stand for the names.
func enforced() ([]contractor.CAPolicy, []contractor.NamedLocation) {
	legacy := byMFA()
	legacy.Name, legacy.ClientApps, legacy.Grant, legacy.Session = "legacy", []string{"exchangeActiveSync", "other"}, contractor.CAGrant{Controls: []string{"block"}}, contractor.CASession{}
	risky := byMFA()
	risky.Name, risky.SignInRisk, risky.Grant = "risky", []string{"medium", "high"}, contractor.CAGrant{Strength: strengthID}
	devices := byMFA()
	devices.Name, devices.Devices, devices.Apps = "devices", contractor.CADevices{Mode: "exclude", Rule: `device.isCompliant -eq True`}, contractor.CAApps{Include: []string{kforce}}
	devices.Grant, devices.Session = contractor.CAGrant{Controls: []string{"block"}}, contractor.CASession{}
	terms := byMFA()
	terms.Name, terms.Users, terms.Grant = "terms", contractor.CAUsers{IncludeGroups: []string{groupBase}}, contractor.CAGrant{Operator: "AND", Controls: []string{"mfa"}, Terms: []string{acme}}
	terms.Session = contractor.CASession{Frequency: 4 * time.Hour}
	list := []contractor.CAPolicy{byCountry(), byMFA(), legacy, risky, devices, terms}
	for i := range list {
		list[i].State = contractor.CAOn
		list[i].Users.ExcludeGroups = []string{breakGlass}
	}
	list[0].Locations.Exclude = []string{countries, egress}
	return list, []contractor.NamedLocation{
		{ID: countries, Name: "work-countries", Kind: contractor.LocationCountries, Countries: []string{"DE", "AT", "CH"}},
		{ID: egress, Name: "egress", Kind: contractor.LocationRanges, Ranges: []string{"203.0.113.0/24", "2001:db8::/48"}},
	}
}

// guest signs in from Germany in a browser, and can do multifactor authentication.
func guest(change func(*policy.SignIn)) policy.SignIn {
	s := policy.SignIn{
		At: noon, Person: "p1", UserID: "11111111-0000-4000-8000-000000000001", External: "b2bCollaborationGuest", HomeTenant: acme,
		AppID: acme, ClientApp: "browser", Country: "DE", IP: netip.MustParseAddr("192.0.2.7"), Risk: "none", Shown: []string{"mfa"},
	}
	if change != nil {
		change(&s)
	}
	return s
}

func employee(change func(*policy.SignIn)) policy.SignIn {
	return guest(func(s *policy.SignIn) {
		s.External, s.HomeTenant, s.Shown = "", "", nil
		if change != nil {
			change(s)
		}
	})
}

func TestEvaluate(t *testing.T) {
	policies, locations := enforced()
	for _, tc := range []struct {
		name   string
		signIn policy.SignIn
		want   policy.Verdict
		by     []string
		asks   []string
	}{
		{"ContractorAtWork", guest(nil), policy.Granted, nil, nil},
		{"ContractorFromAForbiddenCountry", guest(func(s *policy.SignIn) { s.Country = "RU" }), policy.Blocked, []string{"countries"}, nil},
		{"ContractorFromAnUnknownCountry", guest(func(s *policy.SignIn) { s.Country = "" }), policy.Blocked, []string{"countries"}, nil},
		{"ContractorBehindTheVendorsOwnEgress", guest(func(s *policy.SignIn) { s.Country, s.IP = "IN", netip.MustParseAddr("203.0.113.9") }), policy.Granted, nil, nil},
		{"TheSameMappedIntoIPv6", guest(func(s *policy.SignIn) { s.Country, s.IP = "IN", netip.MustParseAddr("::ffff:203.0.113.9") }), policy.Granted, nil, nil},
		{"TheSameOverIPv6", guest(func(s *policy.SignIn) { s.Country, s.IP = "IN", netip.MustParseAddr("2001:db8:0:7::1") }), policy.Granted, nil, nil},
		{"EmployeeFromTheSameForbiddenCountry", employee(func(s *policy.SignIn) { s.Country = "RU" }), policy.Granted, nil, nil},
		{"EmployeeWithALegacyClient", employee(func(s *policy.SignIn) { s.ClientApp = "other" }), policy.Granted, nil, nil},
		{"EmployeeAtHighRisk", employee(func(s *policy.SignIn) { s.Risk = "high" }), policy.Granted, nil, nil},
		{"ExternalMember", guest(func(s *policy.SignIn) { s.External, s.Country = "b2bCollaborationMember", "RU" }), policy.Granted, nil, nil},
		{"BreakGlass", guest(func(s *policy.SignIn) { s.Country, s.Groups, s.Shown = "RU", []string{breakGlass}, nil }), policy.Granted, nil, nil},
		{"WithoutMFA", guest(func(s *policy.SignIn) { s.Shown = nil }), policy.Asked, []string{"mfa"}, []string{"mfa"}},
		{"LegacyClient", guest(func(s *policy.SignIn) { s.ClientApp = "exchangeActiveSync" }), policy.Blocked, []string{"legacy"}, nil},
		{"BlockWinsOverAsking", guest(func(s *policy.SignIn) { s.Shown, s.Country = nil, "RU" }), policy.Blocked, []string{"countries"}, nil},
		{"BothThatBlockAreNamed", guest(func(s *policy.SignIn) { s.ClientApp, s.Country = "other", "RU" }), policy.Blocked, []string{"countries", "legacy"}, nil},
		{"LowRisk", guest(func(s *policy.SignIn) { s.Risk = "low" }), policy.Granted, nil, nil},
		{"HighRisk", guest(func(s *policy.SignIn) { s.Risk = "high" }), policy.Asked, []string{"risky"}, []string{"strength:" + strengthID}},
		{"HighRiskWithTheStrength", guest(func(s *policy.SignIn) { s.Risk, s.Shown = "high", []string{"mfa", "strength:" + strengthID} }), policy.Granted, nil, nil},
		{"UnregisteredDeviceAtAProtectedApplication", guest(func(s *policy.SignIn) { s.AppID = kforce }), policy.Blocked, []string{"devices"}, nil},
		{"CompliantDeviceAtAProtectedApplication", guest(func(s *policy.SignIn) { s.AppID, s.Device = kforce, map[string]string{"isCompliant": "True"} }), policy.Granted, nil, nil},
		{"MemberOfTheGroupWithoutTerms", guest(func(s *policy.SignIn) { s.Groups = []string{groupBase} }), policy.Asked, []string{"terms"}, []string{"terms:" + acme}},
		{"MemberOfTheGroupWithTerms", guest(func(s *policy.SignIn) { s.Groups, s.Shown = []string{groupBase}, []string{"mfa", "terms:" + acme} }), policy.Granted, nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := policy.Evaluate(policies, locations, tc.signIn)
			if got.Verdict != tc.want || !slices.Equal(got.By, tc.by) || !slices.Equal(got.Missing, tc.asks) {
				t.Errorf("%s by %v, asks %v; want %s by %v, asks %v", got.Verdict, got.By, got.Missing, tc.want, tc.by, tc.asks)
			}
		})
	}
	t.Run("ReportOnlySaysAndDoesNotAct", func(t *testing.T) {
		list := slices.Clone(policies)
		list[0].State = contractor.CAReportOnly
		got := policy.Evaluate(list, locations, guest(func(s *policy.SignIn) { s.Country = "RU" }))
		if got.Verdict != policy.Granted || !got.Policies[0].Applies || got.Policies[0].Verdict != policy.Blocked {
			t.Errorf("%s; the policy says %+v", got.Verdict, got.Policies[0])
		}
	})
	t.Run("OffSaysNothing", func(t *testing.T) {
		list := slices.Clone(policies)
		list[0].State = contractor.CAOff
		if got := policy.Evaluate(list, locations, guest(nil)); len(got.Policies) != len(list)-1 {
			t.Errorf("%d policies spoke", len(got.Policies))
		}
	})
	t.Run("ShortestSignInFrequencyCounts", func(t *testing.T) {
		got := policy.Evaluate(policies, locations, guest(func(s *policy.SignIn) { s.Groups = []string{groupBase} }))
		if got.Again != 4*time.Hour {
			t.Errorf("again after %s", got.Again)
		}
	})
	t.Run("OneOfSeveralIsEnoughWithOR", func(t *testing.T) {
		p := byMFA()
		p.State, p.Grant = contractor.CAOn, contractor.CAGrant{Operator: "OR", Controls: []string{"mfa", "compliantDevice"}}
		if got := policy.Evaluate([]contractor.CAPolicy{p}, nil, guest(nil)); got.Verdict != policy.Granted {
			t.Errorf("%+v", got)
		}
		p.Grant.Operator = "AND"
		if got := policy.Evaluate([]contractor.CAPolicy{p}, nil, guest(nil)); got.Verdict != policy.Asked || !slices.Equal(got.Missing, []string{"compliantDevice"}) {
			t.Errorf("%+v", got)
		}
	})
	t.Run("OneTenantOnly", func(t *testing.T) {
		p := byCountry()
		p.State, p.Users.IncludeGuests.Tenants = contractor.CAOn, []string{kforce}
		if got := policy.Evaluate([]contractor.CAPolicy{p}, nil, guest(func(s *policy.SignIn) { s.Country = "RU" })); got.Verdict != policy.Granted {
			t.Errorf("a guest of another tenant: %+v", got)
		}
	})
}

func TestHits(t *testing.T) {
	want := declared()
	have, memory := carryOut(t, want, bare(), policy.Options{Now: noon})
	r := policy.Plan(want, have, policy.Options{Managed: memory, Now: noon})
	from := func(person, country string, ago time.Duration) policy.SignIn {
		return guest(func(s *policy.SignIn) { s.Person, s.Country, s.At, s.Shown = person, country, noon.Add(-ago), nil })
	}
	hits := policy.Hits(r.Policies, policy.Places(r, have), []policy.SignIn{
		from("ann", "DE", time.Hour), from("bob", "FR", 2*time.Hour), from("bob", "FR", 3*time.Hour), from("cyd", "US", 4*time.Hour),
	})
	wantHits := []policy.Hit{
		{Policy: "countries", Seen: 4, Blocked: 3, People: []string{"bob", "cyd"}, Last: noon.Add(-2 * time.Hour)},
		{Policy: "mfa", Seen: 4, Asked: 4, People: []string{}},
	}
	if diff := cmp.Diff(wantHits, hits); diff != "" {
		t.Errorf("hits (-want +got):\n%s", diff)
	}
	// Before anything is in the tenant, the plan's own locations count.
	first := policy.Plan(want, bare(), policy.Options{Now: noon})
	if h := policy.Hits(first.Policies, policy.Places(first, bare()), []policy.SignIn{from("ann", "DE", 0), from("bob", "FR", 0)}); h[0].Blocked != 1 {
		t.Errorf("with planned locations: %+v", h[0])
	}
}

func TestForbids(t *testing.T) {
	policies, locations := policy.Declared(declared())
	by, on := policy.Forbids(policies, locations, guest(func(s *policy.SignIn) { s.Country = "RU" }))
	if !slices.Equal(by, []string{"countries"}) || on {
		t.Errorf("by %v, enforced %v", by, on)
	}
	if by, _ := policy.Forbids(policies, locations, guest(nil)); len(by) != 0 {
		t.Errorf("a sign-in from Germany is forbidden by %v", by)
	}
}

func TestSignInFrequency(t *testing.T) {
	mfa := byMFA()
	if _, ok := policy.SignInFrequency([]contractor.CAPolicy{mfa}); ok {
		t.Error("report-only bounds nothing")
	}
	mfa.State = contractor.CAOn
	if d, ok := policy.SignInFrequency([]contractor.CAPolicy{byCountry(), mfa}); !ok || d != 12*time.Hour {
		t.Errorf("%s, %v", d, ok)
	}
	mfa.Users.IncludeGuests.Tenants = []string{acme}
	if _, ok := policy.SignInFrequency([]contractor.CAPolicy{mfa}); ok {
		t.Error("a policy for one tenant bounds not everybody")
	}
}

func TestClientAppOf(t *testing.T) {
	for logged, want := range map[string]string{
		"Browser": "browser", "Mobile Apps and Desktop clients": "mobileAppsAndDesktopClients", "Exchange ActiveSync": "exchangeActiveSync",
		"IMAP4": "other", "Authenticated SMTP": "other", "": "",
	} {
		if got := policy.ClientAppOf(logged); got != want {
			t.Errorf("%q is %q, want %q", logged, got, want)
		}
	}
}

func TestFromLog(t *testing.T) {
	s := policy.FromLog(contractor.Activity{
		Guest: "g", Person: "p", AppID: "A1", ClientApp: "IMAP4", Country: "DE", IP: "203.0.113.7", HomeTenant: acme, Risk: "high", Platform: "iOS",
		Device: map[string]string{"trustType": "Hybrid Azure AD joined", "isCompliant": "True"},
	}, []string{groupBase})
	if s.External != "b2bCollaborationGuest" || s.AppID != "a1" || s.ClientApp != "other" || s.IP.String() != "203.0.113.7" || s.Device["trustType"] != "ServerAD" || s.Device["isCompliant"] != "True" {
		t.Errorf("%+v", s)
	}
	devices := byMFA()
	devices.State, devices.Grant, devices.Devices = contractor.CAOn, contractor.CAGrant{Controls: []string{"block"}}, contractor.CADevices{Mode: "exclude", Rule: `device.trustType -eq "ServerAD"`}
	if by, _ := policy.Forbids([]contractor.CAPolicy{devices}, nil, s); len(by) != 0 {
		t.Errorf("a joined device is forbidden by %v", by)
	}
}
