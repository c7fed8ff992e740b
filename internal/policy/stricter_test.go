package policy

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"scimbridge/internal/contractor"
)

const rounds = 4000

// chooser draws small policies, locations and sign-ins, so that they meet often.
type chooser struct{ *rand.Rand }

func (c chooser) some(words ...string) []string {
	var out []string
	for _, w := range words {
		if c.IntN(2) == 0 {
			out = append(out, w)
		}
	}
	return out
}

func (c chooser) one(words ...string) string { return words[c.IntN(len(words))] }

func (c chooser) places() places {
	p := places{}
	for _, id := range []string{"countries", "more"} {
		l := contractor.NamedLocation{ID: id, Kind: contractor.LocationCountries, Countries: c.some("DE", "FR", "US"), IncludeUnknown: c.IntN(3) == 0}
		p[id] = l
	}
	ranges := []string{}
	for _, r := range []string{"192.0.2.0/25", "192.0.2.0/24", "198.51.100.0/24"} {
		if c.IntN(2) == 0 {
			ranges = append(ranges, r)
		}
	}
	p["ranges"] = contractor.NamedLocation{ID: "ranges", Kind: contractor.LocationRanges, Ranges: ranges, Trusted: c.IntN(3) == 0}
	return p
}

func (c chooser) policy() contractor.CAPolicy {
	p := contractor.CAPolicy{
		State: contractor.CAOn,
		Users: contractor.CAUsers{
			IncludeGuests: contractor.CAGuests{Types: c.some("b2bCollaborationGuest", "otherExternalUser"), Tenants: c.some("t1", "t2")},
			IncludeGroups: c.some("g1", "g2"), ExcludeGroups: c.some("g3"), ExcludeUsers: c.some("u1"),
		},
		Apps:       contractor.CAApps{Include: c.some("All", "a1", "a2"), Exclude: c.some("a2")},
		ClientApps: c.some("browser", "other"),
		Grant:      contractor.CAGrant{Operator: c.one("AND", "OR"), Controls: c.some("mfa", "compliantDevice"), Strength: c.one("", "s1"), Terms: c.some("x1")},
		SignInRisk: c.some("medium", "high"),
	}
	if c.IntN(3) == 0 {
		p.Grant = contractor.CAGrant{Controls: []string{"block"}}
	}
	if c.IntN(2) == 0 {
		p.Locations = contractor.CAIncludes{Include: c.some("All", "countries", "ranges"), Exclude: c.some("more", "ranges", "AllTrusted")}
	}
	if c.IntN(4) == 0 {
		p.Devices = contractor.CADevices{Mode: c.one("include", "exclude"), Rule: `device.isCompliant -eq True`}
	}
	if c.IntN(4) == 0 {
		p.Platforms = contractor.CAIncludes{Include: c.some("all", "iOS", "linux"), Exclude: c.some("linux")}
	}
	if c.IntN(3) == 0 {
		p.Session = contractor.CASession{Frequency: time.Duration(1+c.IntN(3)) * time.Hour, PersistentBrowser: c.one("", "never")}
	}
	return p
}

// near changes a policy here and there.
func (c chooser) near(p contractor.CAPolicy) contractor.CAPolicy {
	q := c.policy()
	for _, change := range []func(){
		func() { p.Users.IncludeGuests = q.Users.IncludeGuests }, func() { p.Users.IncludeGroups = q.Users.IncludeGroups },
		func() { p.Users.ExcludeGroups = q.Users.ExcludeGroups }, func() { p.Apps = q.Apps }, func() { p.ClientApps = q.ClientApps },
		func() { p.Grant = q.Grant }, func() { p.Locations = q.Locations }, func() { p.SignInRisk = q.SignInRisk },
		func() { p.Session = q.Session }, func() { p.Devices = q.Devices }, func() { p.Platforms = q.Platforms },
	} {
		if c.IntN(6) == 0 {
			change()
		}
	}
	return p
}

func (c chooser) signIn() SignIn {
	s := SignIn{
		UserID: c.one("u1", "u2"), External: c.one("", "b2bCollaborationGuest", "otherExternalUser"), HomeTenant: c.one("t1", "t2", "t3"),
		Groups: c.some("g1", "g2", "g3"), AppID: c.one("a1", "a2", "a3"), ClientApp: c.one("browser", "other", "mobileAppsAndDesktopClients"),
		Country: c.one("DE", "FR", "US", ""), IP: netip.MustParseAddr(c.one("192.0.2.9", "192.0.2.200", "198.51.100.1", "203.0.113.1")),
		Risk: c.one("none", "medium", "high"), Platform: c.one("iOS", "linux", "windows"), Shown: c.some("mfa", "compliantDevice", "strength:s1", "terms:x1"),
	}
	if c.IntN(2) == 0 {
		s.Device = map[string]string{"isCompliant": c.one("True", "False")}
	}
	return s
}

// A change that is not called stricter never hits a sign-in more than before. (The other direction may be cautious.)
func TestStricterMissesNothing(t *testing.T) {
	for seed := range uint64(rounds) {
		c := chooser{rand.New(rand.NewPCG(seed, 7))}
		a, here := c.policy(), c.places()
		b, then := c.near(a), here
		if c.IntN(3) == 0 {
			then = c.places()
		}
		if stricter(a, b, here, then) {
			continue
		}
		a, b = normal(a), normal(b)
		for range 60 {
			s := c.signIn()
			before, after := applied(a, here, s), applied(b, then, s)
			if rank(after) > rank(before) {
				t.Fatalf("seed %d: not called stricter, but %+v became %+v\nfrom %+v %+v\nto   %+v %+v\nby   %+v", seed, before, after, a, here, b, then, s)
			}
		}
	}
}

func rank(a Applied) int {
	switch a.Verdict {
	case Asked:
		return 1
	case Blocked:
		return 2
	}
	return 0
}

// Equal policies are never stricter than each other, and what is looser is not called stricter too often to be of use.
func TestStricterIsOfUse(t *testing.T) {
	c := chooser{rand.New(rand.NewPCG(1, 7))}
	for range rounds {
		p, here := c.policy(), c.places()
		if stricter(p, p, here, here) {
			t.Fatalf("%+v is stricter than itself", p)
		}
	}
	base := contractor.CAPolicy{
		Users: contractor.CAUsers{IncludeGuests: contractor.CAGuests{Types: []string{"b2bCollaborationGuest"}}}, Apps: contractor.CAApps{Include: []string{"All"}},
		Locations: contractor.CAIncludes{Include: []string{"All"}, Exclude: []string{"ranges"}}, Grant: contractor.CAGrant{Controls: []string{"block"}},
	}
	small := places{"ranges": {ID: "ranges", Kind: contractor.LocationRanges, Ranges: []string{"192.0.2.0/25"}}}
	large := places{"ranges": {ID: "ranges", Kind: contractor.LocationRanges, Ranges: []string{"192.0.2.0/24"}}}
	if stricter(base, base, small, large) {
		t.Error("a wider range outside of which is blocked counts as stricter")
	}
	if !stricter(base, base, large, small) {
		t.Error("a smaller range outside of which is blocked does not count as stricter")
	}
	asks := base
	asks.Grant = contractor.CAGrant{Controls: []string{"mfa"}}
	if stricter(base, asks, small, small) {
		t.Error("asking instead of blocking counts as stricter")
	}
}

func TestWords(t *testing.T) {
	n := Names{
		Locations: map[string]contractor.NamedLocation{
			"l1": {Name: Prefix + "egress", Kind: contractor.LocationRanges, Ranges: []string{"203.0.113.0/24"}},
			"l2": {Name: Prefix + "world", Kind: contractor.LocationCountries, Countries: []string{"AA", "BB", "CC", "DD", "EE", "FF", "GG", "HH", "II"}},
			"l3": {Name: Prefix + "home", Kind: contractor.LocationCountries, Countries: []string{"DE"}, IncludeUnknown: true},
		},
		Groups: map[string]string{"g": "ext-base"}, Tenants: map[string]string{"t": "acme"}, Strengths: map[string]string{"s": "Phishing-resistant MFA"},
	}
	guests := contractor.CAUsers{IncludeGuests: contractor.CAGuests{Types: []string{"b2bCollaborationGuest"}}}
	all := contractor.CAApps{Include: []string{"All"}}
	for _, tc := range []struct {
		want string
		p    contractor.CAPolicy
	}{
		{"contractors outside egress (203.0.113.0/24) and world: blocked", contractor.CAPolicy{Users: guests, Apps: all,
			Locations: contractor.CAIncludes{Include: []string{"All"}, Exclude: []string{"l1", "l2"}}, Grant: contractor.CAGrant{Controls: []string{"block"}}}},
		{"contractors in DE or an unknown country but not in trusted locations: blocked", contractor.CAPolicy{Users: guests, Apps: all,
			Locations: contractor.CAIncludes{Include: []string{"l3"}, Exclude: []string{"AllTrusted"}}, Grant: contractor.CAGrant{Controls: []string{"block"}}}},
		{"contractors with legacy protocols: blocked", contractor.CAPolicy{Users: guests, Apps: all,
			ClientApps: []string{"other", "exchangeActiveSync"}, Grant: contractor.CAGrant{Controls: []string{"block"}}}},
		{"contractors from acme at medium or high sign-in risk reaching Office 365: need authentication of the strength Phishing-resistant MFA", contractor.CAPolicy{
			Users: contractor.CAUsers{IncludeGuests: contractor.CAGuests{Types: []string{"b2bCollaborationGuest"}, Tenants: []string{"t"}}},
			Apps:  contractor.CAApps{Include: []string{"Office365"}}, SignInRisk: []string{"high", "medium"}, Grant: contractor.CAGrant{Strength: "s"}}},
		{"members of ext-base with browsers except for a1: need multifactor authentication and accepted terms of use; sign in again every 1d", contractor.CAPolicy{
			Users: contractor.CAUsers{IncludeGroups: []string{"g"}}, Apps: contractor.CAApps{Include: []string{"All"}, Exclude: []string{"a1"}}, ClientApps: []string{"browser"},
			Grant: contractor.CAGrant{Controls: []string{"mfa"}, Terms: []string{"x"}}, Session: contractor.CASession{Frequency: 24 * time.Hour}}},
		{"contractors on devices other than those where device.isCompliant -eq True: blocked", contractor.CAPolicy{Users: guests, Apps: all,
			Devices: contractor.CADevices{Mode: "exclude", Rule: "device.isCompliant -eq True"}, Grant: contractor.CAGrant{Controls: []string{"block"}}}},
		{"external users (internalGuest) on iOS or android but not on linux: need a compliant device or multifactor authentication; sign in again every time", contractor.CAPolicy{
			Users: contractor.CAUsers{IncludeGuests: contractor.CAGuests{Types: []string{"internalGuest"}}}, Apps: all,
			Platforms: contractor.CAIncludes{Include: []string{"iOS", "android"}, Exclude: []string{"linux"}},
			Grant:     contractor.CAGrant{Operator: "OR", Controls: []string{"compliantDevice", "mfa"}}, Session: contractor.CASession{EveryTime: true}}},
		{"everybody and holders of 2 directory roles in location x: blocked", contractor.CAPolicy{Apps: all,
			Users:     contractor.CAUsers{IncludeUsers: []string{"All"}, IncludeRoles: []string{"r1", "r2"}},
			Locations: contractor.CAIncludes{Include: []string{"x"}}, Grant: contractor.CAGrant{Controls: []string{"block"}}}},
	} {
		if got := Describe(tc.p, n); got != tc.want {
			t.Errorf("words differ\n got %s\nwant %s", got, tc.want)
		}
	}
}

func TestNormalForms(t *testing.T) {
	const id = "ABCDEF00-1111-4222-8333-444455556666"
	a := contractor.CAPolicy{ClientApps: []string{"browser", "mobileAppsAndDesktopClients", "exchangeActiveSync", "other"},
		Users: contractor.CAUsers{ExcludeGroups: []string{id, id}}, Grant: contractor.CAGrant{Operator: "OR", Controls: []string{"mfa"}}}
	b := contractor.CAPolicy{Users: contractor.CAUsers{ExcludeGroups: []string{"abcdef00-1111-4222-8333-444455556666"}}, Grant: contractor.CAGrant{Controls: []string{"mfa"}}}
	if !SamePolicy(a, b) {
		t.Errorf("the same is told as different: %+v", comparePolicies(a, b, Names{}))
	}
	x := contractor.NamedLocation{Kind: contractor.LocationRanges, Ranges: []string{"2001:DB8:0::/48", "192.0.2.7/24"}}
	y := contractor.NamedLocation{Kind: contractor.LocationRanges, Ranges: []string{"192.0.2.0/24", "2001:db8::/48"}}
	if !SameLocation(x, y) {
		t.Errorf("the same is told as different: %+v", compareLocations(x, y))
	}
}
