package mapper

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"scimbridge/internal/contractor"
)

var objectID = regexp.MustCompile(`^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$`)

// checkID checks an Entra object id and returns it in small letters.
func (b *builder) checkID(entry, where []any, what, id string) string {
	switch {
	case id == "":
		b.atKey(entry, "%s is missing; write the id that Entra shows for it", what)
	case !objectID.MatchString(id):
		b.at(where, "%q is not an Entra id; it looks like 3f0c6f0e-1d7b-4b1f-9a57-0b1f0a3a9a01", id)
	case strings.Trim(id, "0-") == "":
		b.at(where, "%q stands for nothing; write the id that Entra shows", id)
	}
	return strings.ToLower(id)
}

// buildCatalog checks the ids and makes the entitlements that rules can name.
func (b *builder) buildCatalog() {
	b.groups, b.packages = map[string]contractor.Entitlement{}, map[string]contractor.Entitlement{}
	b.descriptions, b.places = map[contractor.EntitlementKey]string{}, map[contractor.EntitlementKey]place{}
	first := map[contractor.EntitlementKey]string{}
	unique := func(entry []any, e contractor.Entitlement, description string) {
		if other, ok := first[e.Key()]; ok && e.ID != "" {
			b.warnKey(entry, "%q and %q are the same %s in Entra; one name is enough", e.Name, other, strings.ReplaceAll(string(e.Kind), "_", " "))
		} else {
			first[e.Key()] = e.Name
			at := b.doc.KeyAt(entry...)
			b.places[e.Key()] = place{at.Line, at.Column}
		}
		if description != "" {
			b.descriptions[e.Key()] = description
		}
	}
	for _, name := range sortedKeys(b.file.Catalog.Groups) {
		g, entry := b.file.Catalog.Groups[name], path("catalog", "groups", name)
		b.checkName(entry, name)
		e := contractor.Entitlement{
			Kind: contractor.KindGroup, Name: name, Expiry: contractor.Expiry(cmp.Or(g.Expiry, string(contractor.ExpiryEntra))),
			ID: b.checkID(entry, append(entry, "id"), "the id of group "+name, g.ID),
		}
		b.enum(path("catalog", "groups", name, "expiry"), g.Expiry, string(contractor.ExpiryEntra), string(contractor.ExpiryBridge))
		unique(entry, e, g.Description)
		b.groups[name] = e
	}
	for _, name := range sortedKeys(b.file.Catalog.AccessPackages) {
		p, entry := b.file.Catalog.AccessPackages[name], path("catalog", "access_packages", name)
		b.checkName(entry, name)
		e := contractor.Entitlement{
			Kind: contractor.KindAccessPackage, Name: name,
			ID:     b.checkID(entry, path("catalog", "access_packages", name, "id"), "the id of access package "+name, p.ID),
			Policy: b.checkID(entry, path("catalog", "access_packages", name, "policy"), "the policy of access package "+name, p.Policy),
		}
		unique(entry, e, p.Description)
		b.packages[name] = e
	}
}

// maxName bounds names that appear in logs, tables and URLs.
const maxName = 64

func (b *builder) checkName(where []any, name string) {
	switch {
	case len(name) > maxName:
		b.atKey(where, "the name %q has %d characters; at most %d", name[:maxName]+"…", len(name), maxName)
	case strings.TrimSpace(name) != name || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == '"' || r == '\'' }):
		b.atKey(where, "the name %q holds a character that is no good in a name", name)
	}
}

// names resolves the names of a grant. Every name that is not in the catalog is a mistake.
func (b *builder) names(where []any, n *fileNames) []contractor.Entitlement {
	var out []contractor.Entitlement
	resolve := func(key, what string, names []string, known map[string]contractor.Entitlement, other map[string]contractor.Entitlement, otherKey string) {
		for i, name := range names {
			at := append(slices.Clone(where), key, i)
			e, ok := known[name]
			switch {
			case name == "": // not decoded, and reported there
			case !ok:
				if _, isOther := other[name]; isOther {
					b.at(at, "%q is in catalog.%s; write it under %s", name, otherKey, otherKey)
				} else {
					b.at(at, "%s %q is not in catalog.%s%s", what, name, key, didYouMean(name, sortedKeys(known)))
				}
			case slices.ContainsFunc(out, func(o contractor.Entitlement) bool { return o.Key() == e.Key() }):
				b.warn(at, "%s %q is granted twice by this rule", what, name)
			default:
				out = append(out, e)
			}
		}
	}
	resolve("groups", "group", n.Groups, b.groups, b.packages, "access_packages")
	resolve("access_packages", "access package", n.AccessPackages, b.packages, b.groups, "groups")
	return out
}

// finishCatalog lists the catalog, without groups that only answer for sponsors, and warns of what no rule grants.
func (b *builder) finishCatalog() {
	granted := map[contractor.EntitlementKey]bool{}
	for _, r := range b.rules {
		for _, e := range r.grants {
			granted[e.Key()] = true
		}
	}
	add := func(section string, from map[string]contractor.Entitlement) {
		for _, name := range sortedKeys(from) {
			e := from[name]
			if !granted[e.Key()] {
				if b.sponsor.fallback == "group:"+e.ID {
					continue
				}
				if b.problems.Err() == nil {
					b.warnKey(path("catalog", section, name), "no rule grants %q", name)
				}
			}
			b.catalog = append(b.catalog, e)
		}
	}
	add("groups", b.groups)
	add("access_packages", b.packages)
	slices.SortStableFunc(b.catalog, compareEntitlements)
}

// compareEntitlements orders groups before access packages, each by name.
func compareEntitlements(x, y contractor.Entitlement) int {
	if x.Kind != y.Kind {
		if x.Kind == contractor.KindGroup {
			return -1
		}
		return 1
	}
	return cmp.Or(strings.Compare(x.Name, y.Name), strings.Compare(x.ID, y.ID))
}
