package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"scimbridge/internal/contractor"
)

// Field is one thing that differs.
type Field struct {
	Path string `json:"path"` // Graph's
	From string `json:"from"`
	To   string `json:"to"`
}

// comparePolicies lists what differs between two policies, the state and the name included.
func comparePolicies(from, to contractor.CAPolicy, n Names) []Field {
	a, b := normal(from), normal(to)
	var list []Field
	text := func(path, x, y string) {
		if x != y {
			list = append(list, Field{path, or(x, "-"), or(y, "-")})
		}
	}
	set := func(path string, x, y []string, name func(string) string) {
		if name == nil {
			name = func(s string) string { return s }
		}
		if !slices.Equal(x, y) {
			list = append(list, Field{path, or(strings.Join(each(x, name), ", "), "-"), or(strings.Join(each(y, name), ", "), "-")})
		}
	}
	text("displayName", a.Name, b.Name)
	text("state", string(a.State), string(b.State))
	set("conditions.users.includeUsers", a.Users.IncludeUsers, b.Users.IncludeUsers, nil)
	set("conditions.users.excludeUsers", a.Users.ExcludeUsers, b.Users.ExcludeUsers, nil)
	set("conditions.users.includeGroups", a.Users.IncludeGroups, b.Users.IncludeGroups, n.group)
	set("conditions.users.excludeGroups", a.Users.ExcludeGroups, b.Users.ExcludeGroups, n.group)
	set("conditions.users.includeRoles", a.Users.IncludeRoles, b.Users.IncludeRoles, nil)
	set("conditions.users.excludeRoles", a.Users.ExcludeRoles, b.Users.ExcludeRoles, nil)
	set("conditions.users.includeGuestsOrExternalUsers", a.Users.IncludeGuests.Types, b.Users.IncludeGuests.Types, nil)
	set("conditions.users.includeGuestsOrExternalUsers.externalTenants", a.Users.IncludeGuests.Tenants, b.Users.IncludeGuests.Tenants, n.tenant)
	set("conditions.users.excludeGuestsOrExternalUsers", a.Users.ExcludeGuests.Types, b.Users.ExcludeGuests.Types, nil)
	set("conditions.users.excludeGuestsOrExternalUsers.externalTenants", a.Users.ExcludeGuests.Tenants, b.Users.ExcludeGuests.Tenants, n.tenant)
	set("conditions.applications.includeApplications", a.Apps.Include, b.Apps.Include, nil)
	set("conditions.applications.excludeApplications", a.Apps.Exclude, b.Apps.Exclude, nil)
	set("conditions.clientAppTypes", a.ClientApps, b.ClientApps, nil)
	set("conditions.locations.includeLocations", a.Locations.Include, b.Locations.Include, n.location)
	set("conditions.locations.excludeLocations", a.Locations.Exclude, b.Locations.Exclude, n.location)
	set("conditions.platforms.includePlatforms", a.Platforms.Include, b.Platforms.Include, nil)
	set("conditions.platforms.excludePlatforms", a.Platforms.Exclude, b.Platforms.Exclude, nil)
	text("conditions.devices.deviceFilter.mode", a.Devices.Mode, b.Devices.Mode)
	text("conditions.devices.deviceFilter.rule", a.Devices.Rule, b.Devices.Rule)
	set("conditions.signInRiskLevels", a.SignInRisk, b.SignInRisk, nil)
	set("conditions.userRiskLevels", a.UserRisk, b.UserRisk, nil)
	text("grantControls.operator", a.Grant.Operator, b.Grant.Operator)
	set("grantControls.builtInControls", a.Grant.Controls, b.Grant.Controls, nil)
	text("grantControls.authenticationStrength", n.strength(a.Grant.Strength), n.strength(b.Grant.Strength))
	set("grantControls.termsOfUse", a.Grant.Terms, b.Grant.Terms, nil)
	text("sessionControls.signInFrequency", frequency(a.Session), frequency(b.Session))
	text("sessionControls.persistentBrowser", a.Session.PersistentBrowser, b.Session.PersistentBrowser)
	set("other", a.Other, b.Other, nil)
	return list
}

func (n Names) strength(id string) string {
	if name := n.Strengths[id]; name != "" {
		return name
	}
	return id
}

func frequency(s contractor.CASession) string {
	switch {
	case s.EveryTime:
		return "every time"
	case s.Frequency == 0:
		return ""
	}
	return span(s.Frequency)
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// compareLocations lists what differs between two locations.
func compareLocations(from, to contractor.NamedLocation) []Field {
	a, b := normalLocation(from), normalLocation(to)
	var list []Field
	add := func(path, x, y string) {
		if x != y {
			list = append(list, Field{path, or(x, "-"), or(y, "-")})
		}
	}
	add("displayName", a.Name, b.Name)
	add("kind", string(a.Kind), string(b.Kind))
	add("countriesAndRegions", strings.Join(a.Countries, ", "), strings.Join(b.Countries, ", "))
	add("includeUnknownCountriesAndRegions", fmt.Sprint(a.IncludeUnknown), fmt.Sprint(b.IncludeUnknown))
	add("countryLookupMethod", a.Lookup, b.Lookup)
	add("ipRanges", strings.Join(a.Ranges, ", "), strings.Join(b.Ranges, ", "))
	add("isTrusted", fmt.Sprint(a.Trusted), fmt.Sprint(b.Trusted))
	return list
}

// places are the locations of a tenant by id, as a policy sees them.
type places map[string]contractor.NamedLocation

// stricter reports whether a sign-in may be hit by the policy b at the places of inB that was not hit by a at those of inA, or
// be asked for more. Whatever is not understood counts as stricter. The states are not looked at.
func stricter(a, b contractor.CAPolicy, inA, inB places) bool {
	a, b = normal(a), normal(b)
	users := func(x, y contractor.CAUsers) bool {
		return !subset(y.IncludeUsers, x.IncludeUsers) || !subset(y.IncludeGroups, x.IncludeGroups) || !subset(y.IncludeRoles, x.IncludeRoles) ||
			!subset(x.ExcludeUsers, y.ExcludeUsers) || !subset(x.ExcludeGroups, y.ExcludeGroups) || !subset(x.ExcludeRoles, y.ExcludeRoles) ||
			moreGuests(x.IncludeGuests, y.IncludeGuests) || moreGuests(y.ExcludeGuests, x.ExcludeGuests)
	}
	return users(a.Users, b.Users) ||
		more(a.Apps.Include, b.Apps.Include, contractor.CAAll) || !subset(a.Apps.Exclude, b.Apps.Exclude) ||
		more(a.ClientApps, b.ClientApps, "all") ||
		morePlaces(a.Locations, b.Locations, inA, inB) ||
		moreConditions(a.Platforms.Include, b.Platforms.Include, "all") || !subset(a.Platforms.Exclude, b.Platforms.Exclude) ||
		a.Devices != b.Devices && b.Devices.Mode != "" || a.Devices.Mode != "" && b.Devices.Mode == "" ||
		moreConditions(a.SignInRisk, b.SignInRisk, "") || moreConditions(a.UserRisk, b.UserRisk, "") ||
		moreAsked(a.Grant, b.Grant) || moreSession(a.Session, b.Session) || !slices.Equal(a.Other, b.Other)
}

func subset(small, big []string) bool {
	return !slices.ContainsFunc(small, func(s string) bool { return !slices.Contains(big, s) })
}

// more reports whether y includes what x does not.
func more(x, y []string, all string) bool {
	return !slices.Contains(x, all) && !subset(y, x)
}

// moreConditions is more for a condition that, empty, holds for everything.
func moreConditions(x, y []string, all string) bool {
	if len(x) == 0 || all != "" && slices.Contains(x, all) {
		return false
	}
	return len(y) == 0 || !subset(y, x)
}

func moreGuests(x, y contractor.CAGuests) bool {
	if y.IsZero() {
		return false
	}
	return !subset(y.Types, x.Types) || len(x.Tenants) > 0 && (len(y.Tenants) == 0 || !subset(y.Tenants, x.Tenants))
}

func morePlaces(x, y contractor.CAIncludes, inX, inY places) bool {
	if x.IsZero() { // held everywhere
		return false
	}
	if y.IsZero() {
		return !slices.Equal(x.Include, []string{contractor.CAAll}) || len(x.Exclude) > 0
	}
	xi, yi := inX.cover(x.Include), inY.cover(y.Include)
	xe, ye := inX.cover(x.Exclude), inY.cover(y.Exclude)
	return !yi.within(xi) || !xe.within(ye)
}

// area is what a list of locations covers.
type area struct {
	words  []string // All, AllTrusted, countries and "unknown" by their look-up, and locations that are not known
	ranges []netip.Prefix
}

func (p places) cover(list []string) area {
	var a area
	add := func(ranges []string) {
		for _, r := range ranges {
			if prefix, err := netip.ParsePrefix(r); err == nil {
				a.ranges = append(a.ranges, prefix)
			}
		}
	}
	for _, id := range list {
		l, ok := p[id]
		if !ok {
			a.words = append(a.words, id)
		}
		if id == contractor.CAAllTrusted {
			for _, t := range p {
				if t.Trusted {
					add(t.Ranges)
				}
			}
		}
		l = normalLocation(l)
		for _, c := range l.Countries {
			a.words = append(a.words, l.Lookup+" "+c)
		}
		if l.IncludeUnknown {
			a.words = append(a.words, l.Lookup+" unknown")
		}
		add(l.Ranges)
	}
	return a
}

func (a area) within(b area) bool {
	if slices.Contains(b.words, contractor.CAAll) {
		return true
	}
	inside := func(p netip.Prefix) bool {
		return slices.ContainsFunc(b.ranges, func(q netip.Prefix) bool { return q.Bits() <= p.Bits() && q.Contains(p.Addr()) })
	}
	return subset(a.words, b.words) && !slices.ContainsFunc(a.ranges, func(p netip.Prefix) bool { return !inside(p) })
}

func moreAsked(x, y contractor.CAGrant) bool {
	switch {
	case y.IsZero() || slices.Contains(x.Controls, contractor.CABlock):
		return false
	case slices.Contains(y.Controls, contractor.CABlock):
		return true
	case x.Operator == "AND" && y.Operator == "AND":
		return !subset(y.Controls, x.Controls) || !subset(y.Terms, x.Terms) || y.Strength != "" && y.Strength != x.Strength
	case x.Operator == "OR" && y.Operator == "OR": // every way in that was open must still be
		return !subset(x.Controls, y.Controls) || !subset(x.Terms, y.Terms) || x.Strength != "" && y.Strength != x.Strength
	}
	return true
}

func moreSession(x, y contractor.CASession) bool {
	switch {
	case y.PersistentBrowser == "never" && x.PersistentBrowser != "never":
		return true
	case x.EveryTime:
		return false
	case y.EveryTime:
		return true
	}
	return y.Frequency > 0 && (x.Frequency == 0 || y.Frequency < x.Frequency)
}
