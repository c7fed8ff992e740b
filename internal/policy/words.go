package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"scimbridge/internal/contractor"
)

// Names turn ids into words.
type Names struct {
	Locations map[string]contractor.NamedLocation // by id, or by new: and declared name
	Groups    map[string]string
	Tenants   map[string]string
	Strengths map[string]string
}

// Describe says in one sentence whom a policy concerns, when, and what happens then: "contractors outside DE, AT, CH: blocked".
func Describe(p contractor.CAPolicy, n Names) string {
	parts := []string{n.who(p.Users)}
	if w := n.where(p.Locations); w != "" {
		parts = append(parts, w)
	}
	if w := clients(p.ClientApps); w != "" {
		parts = append(parts, w)
	}
	if len(p.Platforms.Include)+len(p.Platforms.Exclude) > 0 {
		parts = append(parts, sides("on", "but not on", p.Platforms))
	}
	switch p.Devices.Mode {
	case "include":
		parts = append(parts, "on devices where "+p.Devices.Rule)
	case "exclude":
		parts = append(parts, "on devices other than those where "+p.Devices.Rule)
	}
	if len(p.SignInRisk) > 0 {
		parts = append(parts, "at "+orWords(risks(p.SignInRisk))+" sign-in risk")
	}
	if len(p.UserRisk) > 0 {
		parts = append(parts, "at "+orWords(risks(p.UserRisk))+" user risk")
	}
	if w := apps(p.Apps); w != "" {
		parts = append(parts, w)
	}
	return strings.Join(parts, " ") + ": " + strings.Join(append(n.grant(p.Grant), session(p.Session)...), "; ")
}

func (n Names) who(u contractor.CAUsers) string {
	var parts []string
	if g := u.IncludeGuests; !g.IsZero() {
		who := "contractors"
		for _, t := range g.Types {
			if t != "b2bCollaborationGuest" && t != "otherExternalUser" {
				who = "external users (" + strings.Join(g.Types, ", ") + ")"
				break
			}
		}
		if len(g.Tenants) > 0 {
			who += " from " + strings.Join(each(g.Tenants, n.tenant), ", ")
		}
		parts = append(parts, who)
	}
	for _, g := range u.IncludeGroups {
		parts = append(parts, "members of "+n.group(g))
	}
	for _, id := range u.IncludeUsers {
		switch id {
		case contractor.CAAll:
			parts = append(parts, "everybody")
		case "None":
		case "GuestsOrExternalUsers":
			parts = append(parts, "all guests")
		default:
			parts = append(parts, "user "+id)
		}
	}
	if len(u.IncludeRoles) > 0 {
		parts = append(parts, fmt.Sprintf("holders of %d directory roles", len(u.IncludeRoles)))
	}
	if len(parts) == 0 {
		return "nobody"
	}
	return strings.Join(parts, " and ")
}

func (n Names) group(id string) string {
	if name := n.Groups[id]; name != "" {
		return name
	}
	return "group " + id
}

func (n Names) tenant(id string) string {
	if name := n.Tenants[id]; name != "" {
		return name
	}
	return "tenant " + id
}

func (n Names) location(id string) string {
	switch id {
	case contractor.CAAll:
		return "everywhere"
	case contractor.CAAllTrusted:
		return "trusted locations"
	}
	l, ok := n.Locations[id]
	if !ok {
		return "location " + id
	}
	return locationWords(l)
}

// maxListed is how many countries or ranges a sentence names.
const maxListed = 8

func locationWords(l contractor.NamedLocation) string {
	list := l.Countries
	if l.Kind == contractor.LocationRanges {
		list = l.Ranges
	}
	name := strings.TrimPrefix(l.Name, Prefix)
	if len(list) > maxListed || len(list) == 0 {
		return name
	}
	words := strings.Join(list, ", ")
	if l.IncludeUnknown {
		words += " or an unknown country"
	}
	if l.Kind == contractor.LocationRanges {
		return name + " (" + words + ")"
	}
	return words
}

func (n Names) where(l contractor.CAIncludes) string {
	if l.IsZero() {
		return ""
	}
	outside := strings.Join(each(l.Exclude, n.location), " and ")
	if slices.Equal(l.Include, []string{contractor.CAAll}) {
		if outside == "" {
			return ""
		}
		return "outside " + outside
	}
	w := "in " + strings.Join(each(l.Include, n.location), " or ")
	if outside != "" {
		w += " but not in " + outside
	}
	return w
}

func clients(types []string) string {
	words := map[string]string{
		"browser": "browsers", "mobileAppsAndDesktopClients": "mobile and desktop apps", "exchangeActiveSync": "Exchange ActiveSync",
		"easSupported": "supported Exchange ActiveSync", "other": "other (legacy) clients",
	}
	var list []string
	for _, t := range types {
		if t == "all" {
			return ""
		}
		list = append(list, words[t])
	}
	if len(list) == 0 {
		return ""
	}
	if only(types, "exchangeActiveSync", "other") && len(types) == 2 {
		return "with legacy protocols"
	}
	return "with " + orWords(list)
}

func only(list []string, known ...string) bool {
	return !slices.ContainsFunc(list, func(s string) bool { return !slices.Contains(known, s) })
}

func sides(in, out string, c contractor.CAIncludes) string {
	w := in + " " + orWords(c.Include)
	if len(c.Exclude) > 0 {
		w += " " + out + " " + orWords(c.Exclude)
	}
	return w
}

func apps(a contractor.CAApps) string {
	name := func(s string) string {
		switch s {
		case "Office365":
			return "Office 365"
		case "MicrosoftAdminPortals":
			return "Microsoft admin portals"
		}
		return s
	}
	w := ""
	if !slices.Equal(a.Include, []string{contractor.CAAll}) {
		w = "reaching " + orWords(each(a.Include, name))
	}
	if len(a.Exclude) > 0 {
		w = strings.TrimSpace(w + " except for " + orWords(each(a.Exclude, name)))
	}
	return w
}

func (n Names) grant(g contractor.CAGrant) []string {
	if slices.Contains(g.Controls, contractor.CABlock) {
		return []string{"blocked"}
	}
	var list []string
	for _, c := range g.Controls {
		list = append(list, controlWords(c))
	}
	if g.Strength != "" {
		name := n.Strengths[g.Strength]
		if name == "" {
			name = g.Strength
		}
		list = append(list, "authentication of the strength "+name)
	}
	if len(g.Terms) > 0 {
		list = append(list, "accepted terms of use")
	}
	if len(list) == 0 {
		return nil
	}
	join := " and "
	if g.Operator == "OR" {
		join = " or "
	}
	return []string{"need " + strings.Join(list, join)}
}

func controlWords(c string) string {
	words := map[string]string{
		contractor.CAMFA: "multifactor authentication", "compliantDevice": "a compliant device", "domainJoinedDevice": "a hybrid joined device",
		"approvedApplication": "an approved app", "compliantApplication": "an app protection policy", "passwordChange": "a password change",
	}
	if w := words[c]; w != "" {
		return w
	}
	return c
}

func session(s contractor.CASession) []string {
	var list []string
	switch {
	case s.EveryTime:
		list = append(list, "sign in again every time")
	case s.Frequency > 0:
		list = append(list, "sign in again every "+span(s.Frequency))
	}
	switch s.PersistentBrowser {
	case "never":
		list = append(list, "no browser stays signed in")
	case "always":
		list = append(list, "browsers stay signed in")
	}
	return list
}

func span(d time.Duration) string {
	if d%(24*time.Hour) == 0 && d > 0 {
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
	if d%time.Hour == 0 {
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return d.String()
}

func risks(levels []string) []string {
	order := []string{"low", "medium", "high"}
	return slices.SortedFunc(slices.Values(levels), func(a, b string) int { return slices.Index(order, a) - slices.Index(order, b) })
}

func orWords(list []string) string {
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	return strings.Join(list[:len(list)-1], ", ") + " or " + list[len(list)-1]
}

func each(list []string, f func(string) string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = f(s)
	}
	return out
}

// NamesOf collects the names of what is declared and what the tenant has.
func NamesOf(want *contractor.ConditionalAccess, have Tenant) Names {
	n := Names{
		Locations: map[string]contractor.NamedLocation{}, Groups: map[string]string{}, Tenants: map[string]string{}, Strengths: map[string]string{},
	}
	for _, l := range have.Locations {
		n.Locations[l.ID] = l
	}
	for id, g := range have.Groups {
		n.Groups[id] = g.Name
	}
	for _, s := range have.Strengths {
		n.Strengths[strings.ToLower(s.ID)] = s.Name
	}
	if want != nil {
		maps.Copy(n.Groups, want.KeptGroups)
		for _, t := range want.Tenants {
			n.Tenants[t.ID] = t.Name
		}
		for _, l := range want.Locations {
			n.Locations[newMark+l.Name] = l
		}
	}
	return n
}
