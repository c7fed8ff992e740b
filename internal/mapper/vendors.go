package mapper

import (
	"cmp"
	pathpkg "path"
	"regexp"
	"slices"
	"strings"

	"scimbridge/internal/contractor"
	"scimbridge/internal/strictyaml"
)

var (
	vendorName = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,63}$`)
	mailDomain = regexp.MustCompile(`^(\*\.)?([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z][A-Za-z0-9-]{0,61}[A-Za-z0-9]$`)
)

// standardQuota is how many live engagements a vendor may have whose quota nobody set: more than most vendors ever have, and few enough
// that a lost token does not fill the disk.
const standardQuota = 10_000

// profiles are the client profiles of the SCIM door.
func profiles() []string {
	return []string{"entra", "okta", "sap-ips", "jumpcloud", "pingfederate", "rippling"}
}

// aliasFields are the record fields that an alias may fill, with "start" and "end" as the short words for the two dates.
// managerEmail is read from the manager, whose own fields have aliases.
func aliasFields() map[string]string {
	m := map[string]string{"start": "startDate", "end": "endDate"}
	for _, f := range recordFields() {
		if f.index >= 0 && !slices.Contains([]string{"active", "otherEmails", "userName", "managerEmail"}, f.name) {
			m[f.name] = f.name
		}
	}
	return m
}

func (b *builder) buildVendors() {
	b.vendors, b.vendorsLeave = map[string]*contractor.Vendor{}, map[string]Offboarding{}
	d := &b.file.Defaults
	guard := b.buildGuard(path("defaults", "guard"), d.Guard, defaultGuard())
	missing := contractor.MissingEnd(cmp.Or(d.MissingEnd, string(contractor.MissingEndHold)))
	if missing == contractor.MissingEndCap && d.MaxDuration.IsZero() && !b.has("defaults", "max_duration") {
		b.at(path("defaults", "missing_end"), "missing_end: cap needs a max_duration; add max_duration: 180d to defaults")
	}
	if len(b.file.Vendors) == 0 && !b.has("vendors") {
		b.at(nil, "there are no vendors; add vendors: with a name and its email_domains")
	}
	for _, name := range sortedKeys(b.file.Vendors) {
		f, where := b.file.Vendors[name], path("vendors", name)
		if f == nil {
			continue
		}
		if !vendorName.MatchString(name) {
			b.atKey(where, "%q cannot be a vendor's name: small letters, digits, - _ and . only, at most 64", name)
		}
		b.enum(path("vendors", name, "missing_end"), f.MissingEnd, string(contractor.MissingEndCap), string(contractor.MissingEndHold), string(contractor.MissingEndReject))
		b.enum(path("vendors", name, "profile"), f.Profile, profiles()...)
		b.enum(path("vendors", name, "groups"), f.Groups, "ignore", "refuse")
		v := &contractor.Vendor{
			Name: name, EmailDomains: b.emailDomains(name, f.EmailDomains), Quota: standardQuota, Profile: f.Profile, Supplier: f.Supplier,
			Zone:        b.location(path("vendors", name, "dates", "timezone"), f.Dates.Timezone, b.zone),
			DateLayouts: b.layouts(name, f.Dates.Layouts), MissingEnd: contractor.MissingEnd(cmp.Or(f.MissingEnd, string(missing))),
			MaxDuration: d.MaxDuration, MaxMove: d.MaxMove, Guard: b.buildGuard(path("vendors", name, "guard"), f.Guard, guard),
			TestUsers: b.testUsers(name, f.TestUsers), Aliases: b.aliases(name, f.Aliases),
			IgnoreGroups: f.Groups == "ignore", RatePerSec: d.Rate, SignIn: b.signIn(name, &f.SignIn),
			CSV: b.csv(name, f.CSV),
		}
		if d.Quota != nil {
			v.Quota = *d.Quota
		}
		if f.Quota != nil {
			if v.Quota = *f.Quota; v.Quota < 0 {
				b.at(path("vendors", name, "quota"), "a quota cannot be below 0; 0 means no limit")
			}
		}
		if f.Rate != nil {
			if v.RatePerSec = *f.Rate; v.RatePerSec < 0 || v.RatePerSec > 10000 {
				b.at(path("vendors", name, "rate"), "a rate lies between 0 and 10000 requests a second; 0 means the standard rate")
			}
		}
		if f.MaxDuration != nil {
			v.MaxDuration = *f.MaxDuration
		}
		if f.Offboarding != nil {
			b.vendorsLeave[name] = b.buildOffboarding(path("vendors", name, "offboarding"), f.Offboarding, b.offboarding)
		}
		if f.MissingEnd == string(contractor.MissingEndCap) && v.MaxDuration.IsZero() {
			b.at(path("vendors", name, "missing_end"), "missing_end: cap needs a max_duration, here or in defaults")
		}
		b.vendors[name] = v
	}
}

func (b *builder) emailDomains(vendor string, domains []string) []string {
	where := path("vendors", vendor)
	if len(domains) == 0 {
		b.warnKey(where, "vendor %q has no email_domains: none of its people can come in", vendor)
	}
	for i, d := range domains {
		at := path("vendors", vendor, "email_domains", i)
		switch {
		case d == "": // not decoded, and reported there
		case strings.Contains(d, "@"):
			b.at(at, "%q is an address; write the part after the @", d)
		case d == "*" || d == "*.*":
			b.at(at, "%q would let everybody in; write the vendor's own domains", d)
		case !mailDomain.MatchString(d):
			b.at(at, "%q is not a domain; write acme.example, or *.acme.example for all domains below it", d)
		case slices.Contains(domains[:i], d):
			b.warn(at, "%q is in this list twice", d)
		}
	}
	return domains
}

func (b *builder) layouts(vendor string, layouts []string) []string {
	for i, l := range layouts {
		if l == "" {
			continue
		}
		if problem := layoutProblem(l, true); problem != "" {
			b.at(path("vendors", vendor, "dates", "layouts", i), "%s", problem)
		}
	}
	if i := slices.Index(layouts, "01/02/2006"); i >= 0 && slices.Contains(layouts, "02/01/2006") {
		b.at(path("vendors", vendor, "dates", "layouts"), "01/02/2006 and 02/01/2006 read the same date differently; keep the one that this vendor sends")
	}
	return layouts
}

func (b *builder) testUsers(vendor string, patterns []string) []string {
	for i, p := range patterns {
		at := path("vendors", vendor, "test_users", i)
		if _, err := pathpkg.Match(p, "x"); err != nil {
			b.at(at, "%q is not a pattern; * stands for any characters, ? for one", p)
		} else if strings.Trim(p, "*?") == "" && p != "" {
			b.at(at, "%q takes everybody for a test user, and nobody would reach Entra", p)
		}
	}
	return patterns
}

// aliases checks what an alias fills and where it is read. The paths themselves are the SCIM door's; here they only must look
// like paths.
func (b *builder) aliases(vendor string, aliases map[string][]string) map[string][]string {
	if len(aliases) == 0 {
		return nil
	}
	known := aliasFields()
	out := make(map[string][]string, len(aliases))
	for _, name := range sortedKeys(aliases) {
		where := path("vendors", vendor, "aliases", name)
		target, ok := known[name]
		if !ok {
			b.atKey(where, "contractor has no field %q that an alias can fill%s", name, didYouMean(name, sortedKeys(known)))
			continue
		}
		if _, twice := out[target]; twice {
			b.atKey(where, "%q and its long name both stand here; keep one", name)
			continue
		}
		if len(aliases[name]) == 0 {
			b.at(where, "the list of paths is empty")
		}
		for i, p := range aliases[name] {
			at := path("vendors", vendor, "aliases", name, i)
			switch {
			case p == "":
			case !strings.Contains(p, "[") && strings.ContainsAny(p, " \t\"'(){}") || strings.HasPrefix(p, ".") || strings.HasSuffix(p, "."):
				b.at(at, "%q is not a path; write ext:sap.validTo, ext:enterprise.organization or urn:…:User:attribute", p)
			case slices.Contains(aliases[name][:i], p):
				b.warn(at, "%q is in this list twice", p)
			}
		}
		out[target] = aliases[name]
	}
	return out
}

// commonZones are suggested for misspelled names; the system's own list cannot be read without a disk.
func commonZones() []string {
	return []string{
		"UTC", "Europe/Berlin", "Europe/London", "Europe/Paris", "Europe/Madrid", "Europe/Rome", "Europe/Amsterdam", "Europe/Brussels",
		"Europe/Vienna", "Europe/Zurich", "Europe/Warsaw", "Europe/Prague", "Europe/Budapest", "Europe/Stockholm", "Europe/Oslo",
		"Europe/Copenhagen", "Europe/Helsinki", "Europe/Athens", "Europe/Bucharest", "Europe/Lisbon", "Europe/Dublin", "Europe/Istanbul",
		"Europe/Kyiv", "America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles", "America/Phoenix",
		"America/Toronto", "America/Vancouver", "America/Mexico_City", "America/Bogota", "America/Sao_Paulo",
		"America/Argentina/Buenos_Aires", "Asia/Kolkata", "Asia/Singapore", "Asia/Tokyo", "Asia/Seoul", "Asia/Shanghai",
		"Asia/Hong_Kong", "Asia/Dubai", "Asia/Manila", "Asia/Jakarta", "Asia/Bangkok", "Asia/Karachi", "Asia/Jerusalem",
		"Australia/Sydney", "Australia/Melbourne", "Australia/Perth", "Australia/Brisbane", "Pacific/Auckland",
		"Africa/Johannesburg", "Africa/Cairo", "Africa/Lagos", "Africa/Nairobi", "Africa/Casablanca",
	}
}

// suggestVendor is the vendor that the writer of name most likely meant.
func (b *builder) suggestVendor(name string) string {
	if s := strictyaml.Suggest(name, sortedKeys(b.file.Vendors)); s != "" {
		return didYouMean(name, []string{s})
	}
	return ""
}
