package policy

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"scimbridge/internal/contractor"
)

// Prefix begins the display name of every policy and location that this program keeps in a tenant.
const Prefix = "scimbridge: "

// Limits of a tenant (Entra service limits; conditional access network assignment).
const (
	maxPolicies  = 195
	maxLocations = 195
)

// DisplayName is the name in the tenant of what the mapping declares under name.
func DisplayName(name string) string { return Prefix + name }

// Tenant is what was read of a tenant.
type Tenant struct {
	Policies  []contractor.CAPolicy
	Locations []contractor.NamedLocation
	Strengths []contractor.AuthenticationStrength
	Trusts    []contractor.TenantTrust      // with the default, whose Tenant is ""
	Groups    map[string]contractor.CAGroup // by id: every group that the declared set names; one that is missing here counts as unread
	Users     map[string]bool               // by id: every user that the declared set names, and whether it can sign in; missing: not found
}

// Options of a plan.
type Options struct {
	Managed []contractor.CAManaged // what the store remembers
	Now     time.Time
	// EnforceNow is the admin's reason for enforcing what was not watched in report-only; "": not so.
	EnforceNow string
}

// normal returns the policy with its lists sorted, its ids folded and its equal forms made one, for comparing.
func normal(p contractor.CAPolicy) contractor.CAPolicy {
	fold := func(list []string) []string {
		out := make([]string, 0, len(list))
		for _, s := range list {
			if isID(s) {
				s = strings.ToLower(s)
			}
			if !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
		slices.Sort(out)
		if len(out) == 0 {
			return nil
		}
		return out
	}
	u := &p.Users
	for _, l := range []*[]string{
		&u.IncludeUsers, &u.ExcludeUsers, &u.IncludeGroups, &u.ExcludeGroups, &u.IncludeRoles, &u.ExcludeRoles,
		&u.IncludeGuests.Types, &u.IncludeGuests.Tenants, &u.ExcludeGuests.Types, &u.ExcludeGuests.Tenants,
		&p.Apps.Include, &p.Apps.Exclude, &p.ClientApps, &p.Locations.Include, &p.Locations.Exclude,
		&p.Platforms.Include, &p.Platforms.Exclude, &p.SignInRisk, &p.UserRisk, &p.Grant.Controls, &p.Grant.Terms, &p.Other,
	} {
		*l = fold(*l)
	}
	p.Grant.Strength = strings.ToLower(p.Grant.Strength)
	if n := len(p.Grant.Controls) + len(p.Grant.Terms) + boolean(p.Grant.Strength != ""); n < 2 || p.Grant.Operator == "" {
		p.Grant.Operator = "AND" // with one control, or said so
	}
	if p.Grant.IsZero() {
		p.Grant.Operator = ""
	}
	if len(p.ClientApps) == 0 {
		p.ClientApps = []string{"all"}
	}
	// Every client type named is the same as all of them.
	if len(p.ClientApps) == 4 && !slices.Contains(p.ClientApps, "all") && !slices.Contains(p.ClientApps, "easSupported") {
		p.ClientApps = []string{"all"}
	}
	return p
}

// normalLocation does the same for a location.
func normalLocation(l contractor.NamedLocation) contractor.NamedLocation {
	countries, ranges := slices.Clone(l.Countries), make([]string, 0, len(l.Ranges))
	for i := range countries {
		countries[i] = strings.ToUpper(countries[i])
	}
	slices.Sort(countries)
	for _, r := range l.Ranges {
		if p, err := netip.ParsePrefix(r); err == nil {
			r = p.Masked().String()
		}
		ranges = append(ranges, r)
	}
	slices.Sort(ranges)
	l.Countries, l.Ranges = slices.Compact(countries), slices.Compact(ranges)
	if len(l.Countries) == 0 {
		l.Countries = nil
	}
	if len(l.Ranges) == 0 {
		l.Ranges = nil
	}
	if l.Kind == contractor.LocationCountries && l.Lookup == "" {
		l.Lookup = "clientIpAddress"
	}
	return l
}

func boolean(b bool) int {
	if b {
		return 1
	}
	return 0
}

func isID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range s {
		c := s[i]
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
		default:
			return false
		}
	}
	return true
}

// New marks a location in a planned policy that the plan itself makes: the id is known only then. See Resolve.
const newMark = "new:"

// Resolve returns the policy with the ids of locations that a plan made meanwhile, by declared name. False if one is missing.
func Resolve(p contractor.CAPolicy, made map[string]string) (contractor.CAPolicy, bool) {
	all := true
	swap := func(list []string) []string {
		list = slices.Clone(list)
		for i, s := range list {
			if name, isNew := strings.CutPrefix(s, newMark); isNew {
				id, ok := made[name]
				all = all && ok
				list[i] = id
			}
		}
		return list
	}
	p.Locations = contractor.CAIncludes{Include: swap(p.Locations.Include), Exclude: swap(p.Locations.Exclude)}
	return p, all
}

// SamePolicy reports whether two policies say the same, whatever the order and the spelling.
func SamePolicy(a, b contractor.CAPolicy) bool { return len(comparePolicies(a, b, Names{})) == 0 }

// SameLocation reports whether two locations say the same.
func SameLocation(a, b contractor.NamedLocation) bool { return len(compareLocations(a, b)) == 0 }
