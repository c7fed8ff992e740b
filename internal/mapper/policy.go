package mapper

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	regions "golang.org/x/text/language"

	"scimbridge/internal/contractor"
	"scimbridge/internal/strictyaml"
)

const (
	// defaultReportOnly is how long a policy is watched where the file does not say: a week has every weekday in it.
	defaultReportOnly = 7 * 24 * time.Hour
	minReportOnly     = 24 * time.Hour
	maxReportOnly     = 90 * 24 * time.Hour

	maxLocationRanges = 2000 // of a named location
	maxPolicyName     = 64   // together with our prefix well below what the admin center shows
)

// ConditionalAccess is what the file declares under conditional_access; nil if it has no such section. The caller must not
// change it.
func (m *Mapping) ConditionalAccess() *contractor.ConditionalAccess { return m.conditional }

// section begins a path in conditional_access.
func section(steps ...any) []any { return append([]any{"conditional_access"}, steps...) }

// buildConditionalAccess checks the section and makes its policies. It needs the rules: a group is kept by the bridge if a rule
// grants it.
func (b *builder) buildConditionalAccess() {
	f := &b.file.ConditionalAccess
	switch {
	case !b.doc.Has("conditional_access"):
		return
	case b.doc.Has("conditional_access", 0):
		b.at(section(), "conditional_access has keys of its own: write the policies under policies:, beside break_glass: and locations:")
		return
	}
	ca := &contractor.ConditionalAccess{ReportOnlyFor: defaultReportOnly, KeptGroups: map[string]string{}}
	for _, r := range b.rules {
		for _, e := range r.grants {
			if e.Kind == contractor.KindGroup {
				ca.KeptGroups[e.ID] = e.Name
			}
		}
	}
	if s := f.ReportOnlyFor; s != nil {
		ca.ReportOnlyFor = s.Approx()
		if ca.ReportOnlyFor < minReportOnly || ca.ReportOnlyFor > maxReportOnly {
			b.at(section("report_only_for"), "a policy is watched for 1d to 90d before it may be enforced, not %s", s)
		}
	}
	b.breakGlass(ca, &f.BreakGlass)
	if len(f.Policies) > 0 && len(ca.BreakGlassGroups)+len(ca.BreakGlassUsers) == 0 && !b.has("conditional_access", "break_glass") {
		b.atKey(section("policies"), "break_glass is missing: name the group (or users) of the emergency accounts, which every policy then excludes: break_glass: {groups: [<object id>]}")
	}
	for _, name := range sortedKeys(f.Tenants) {
		t := f.Tenants[name]
		entry := section("tenants", name)
		b.checkName(entry, name)
		id := b.checkID(entry, section("tenants", name, "id"), "the id of tenant "+name, t.ID)
		ca.Tenants = append(ca.Tenants, contractor.PartnerTenant{Name: name, ID: id, TrustMFA: t.TrustMFA, Line: b.doc.KeyAt(entry...).Line})
	}
	for _, name := range sortedKeys(f.Locations) {
		ca.Locations = append(ca.Locations, b.namedLocation(name, f.Locations[name]))
	}
	for i := range f.Policies {
		ca.Policies = append(ca.Policies, b.caPolicy(ca, i))
	}
	b.unusedLocations(ca)
	b.conditional = ca
}

func (b *builder) breakGlass(ca *contractor.ConditionalAccess, f *fileBreakGlass) {
	if b.has("conditional_access", "break_glass") && len(f.Groups)+len(f.Users) == 0 {
		b.at(section("break_glass"), "break_glass names nobody; write groups: [<object id>] or users: [<object id>]")
	}
	ids := func(key, what string, from []string) []string {
		var out []string
		for i, s := range from {
			where := section("break_glass", key, i)
			if s == "" {
				continue // not decoded, and reported there
			}
			id := b.checkID(where, where, what, s)
			if slices.Contains(out, id) {
				b.warn(where, "%q is in this list twice", s)
				continue
			}
			out = append(out, id)
		}
		return out
	}
	ca.BreakGlassGroups = ids("groups", "the id of the group", f.Groups)
	ca.BreakGlassUsers = ids("users", "the id of the user", f.Users)
	for i, id := range ca.BreakGlassGroups {
		for _, name := range sortedKeys(b.groups) {
			if b.groups[name].ID == id {
				b.at(section("break_glass", "groups", i), "this is the group %q of the catalog, which rules can grant to contractors; the emergency accounts need a group of their own", name)
			}
		}
	}
}

func (b *builder) namedLocation(name string, f fileLocation) contractor.NamedLocation {
	entry := section("locations", name)
	b.checkName(entry, name)
	if name == "trusted" || name == "everywhere" {
		b.atKey(entry, "%q has a meaning of its own in policies; choose another name", name)
	}
	l := contractor.NamedLocation{Name: name, Kind: contractor.LocationCountries, Line: b.doc.KeyAt(entry...).Line, IncludeUnknown: f.IncludeUnknown, Lookup: "clientIpAddress"}
	at := func(key string) []any { return section("locations", name, key) }
	hasCountries, hasRanges := b.has(at("countries")...), b.has(at("ip_ranges")...)
	switch {
	case hasCountries && hasRanges:
		b.atKey(at("ip_ranges"), "a location has countries or ip_ranges, not both; make two locations and name both in the policy")
	case !hasCountries && !hasRanges:
		b.atKey(entry, "location %q is empty; write countries: [DE, AT] or ip_ranges: [203.0.113.0/24]", name)
	case hasCountries && len(f.Countries) == 0 && !f.IncludeUnknown:
		b.at(at("countries"), "the list of countries is empty")
	case hasRanges && len(f.IPRanges) == 0:
		b.at(at("ip_ranges"), "the list of ranges is empty")
	}
	for i, c := range f.Countries {
		if c = b.country(section("locations", name, "countries", i), c); c != "" && !slices.Contains(l.Countries, c) {
			l.Countries = append(l.Countries, c)
		}
	}
	if f.Trusted && !hasRanges {
		b.at(at("trusted"), "only a location of ip_ranges can be trusted")
	}
	if !hasRanges {
		return l
	}
	l.Kind, l.Trusted, l.Lookup = contractor.LocationRanges, f.Trusted, ""
	if f.IncludeUnknown {
		b.at(at("include_unknown"), "include_unknown belongs to countries")
	}
	if len(f.IPRanges) > maxLocationRanges {
		b.at(at("ip_ranges"), "the location has %d ranges; Entra takes at most %d", len(f.IPRanges), maxLocationRanges)
	}
	for i, s := range f.IPRanges {
		if s = b.ipRange(section("locations", name, "ip_ranges", i), s); s != "" && !slices.Contains(l.Ranges, s) {
			l.Ranges = append(l.Ranges, s)
		}
	}
	return l
}

// country checks a country code; "" if it is none.
func (b *builder) country(where []any, s string) string {
	if s == "" {
		return ""
	}
	code := strings.ToUpper(s)
	region, err := regions.ParseRegion(code)
	common := map[string]string{"UK": "GB", "EL": "GR"}
	switch {
	case common[code] != "":
		b.at(where, "%q is not the code of a country (did you mean %q?)", s, common[code])
	case err == nil && len(code) == 3 && region.IsCountry():
		b.at(where, "%q is a code of three letters (did you mean %q?)", s, region.String())
	case err != nil || len(code) != 2 || !region.IsCountry():
		b.at(where, "%q is not the code of a country; write the two letters of ISO 3166, such as DE", s)
	case code != s:
		b.at(where, "%q must be in capital letters (did you mean %q?)", s, code)
	default:
		return code
	}
	return ""
}

// ipRange checks a range; "" if it is none.
func (b *builder) ipRange(where []any, s string) string {
	if s == "" {
		return ""
	}
	if addr, err := netip.ParseAddr(s); err == nil {
		b.at(where, "%q is an address, not a range (did you mean %q?)", s, netip.PrefixFrom(addr, addr.BitLen()).String())
		return ""
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		b.at(where, "%q is not a range of addresses; write 203.0.113.0/24 or 2001:db8::/48", s)
	case p.Masked() != p:
		b.at(where, "%q begins within its range (did you mean %q?)", s, p.Masked().String())
	case p.Bits() <= 8:
		b.at(where, "%q is too wide: Entra takes masks longer than /8", s)
	case p.Addr().IsPrivate() || p.Addr().IsLoopback() || p.Addr().IsLinkLocalUnicast():
		b.at(where, "%q is a private range, which Entra never sees; write the public addresses from which the vendor reaches the Internet", s)
	default:
		return p.String()
	}
	return ""
}

func (b *builder) unusedLocations(ca *contractor.ConditionalAccess) {
	if b.problems.Err() != nil {
		return
	}
	for _, l := range ca.Locations {
		if !slices.ContainsFunc(ca.Policies, func(p contractor.CAPolicy) bool {
			return slices.Contains(p.Locations.Include, l.Name) || slices.Contains(p.Locations.Exclude, l.Name)
		}) {
			b.warnKey(section("locations", l.Name), "no policy names the location %q", l.Name)
		}
	}
}

// deviceRule checks a filter rule; mistakes are told at their place in it.
func (b *builder) deviceRule(where []any, rule string) {
	_, err := contractor.ParseDeviceFilter(rule)
	var mistake *contractor.DeviceFilterError
	if !errors.As(err, &mistake) {
		return
	}
	hint := ""
	if s := strictyaml.Suggest(mistake.Word, mistake.Near); s != "" && len(mistake.Near) > 0 {
		hint = didYouMean(mistake.Word, mistake.Near)
	}
	b.problems = append(b.problems, b.doc.Problemf(b.doc.Within(mistake.Offset, where...), "%s%s", mistake.Message, hint))
}
