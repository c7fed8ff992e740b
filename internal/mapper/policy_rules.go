package mapper

import (
	"slices"
	"strings"
	"time"

	"scimbridge/internal/contractor"
)

// caWords pairs the words of the file with Graph's.
type caWords []struct {
	word  string
	graph []string
}

func (w caWords) known() []string {
	out := make([]string, len(w))
	for i := range w {
		out[i] = w[i].word
	}
	return out
}

func (w caWords) graph(word string) []string {
	for i := range w {
		if w[i].word == word {
			return w[i].graph
		}
	}
	return nil
}

// clientAppWords: legacy stands for every client that cannot do modern authentication.
func clientAppWords() caWords {
	return caWords{
		{"all", []string{"all"}},
		{"browser", []string{"browser"}},
		{"mobile_and_desktop", []string{"mobileAppsAndDesktopClients"}},
		{"exchange_activesync", []string{"exchangeActiveSync"}},
		{"other", []string{"other"}},
		{"legacy", []string{"exchangeActiveSync", "other"}},
	}
}

func appWords() caWords {
	return caWords{{"all", []string{"All"}}, {"office365", []string{"Office365"}}, {"admin_portals", []string{"MicrosoftAdminPortals"}}}
}

// guestWords are the types of external users that a policy can be for. Two that Graph knows are missing, with the reason told
// by guestTypes.
func guestWords() []string {
	return []string{"b2bCollaborationGuest", "otherExternalUser", "b2bDirectConnectUser", "internalGuest"}
}

// strengthWords are short names of the built-in authentication strengths.
func strengthWords() map[string]string {
	return map[string]string{
		"mfa": "Multifactor authentication", "passwordless": "Passwordless MFA", "phishing-resistant": "Phishing-resistant MFA",
	}
}

// caPolicy makes the i-th policy.
func (b *builder) caPolicy(ca *contractor.ConditionalAccess, i int) contractor.CAPolicy {
	f := &b.file.ConditionalAccess.Policies[i]
	where := func(steps ...any) []any { return section(append([]any{"policies", i}, steps...)...) }
	p := contractor.CAPolicy{Name: f.Name, State: contractor.CAState(f.State), Line: b.doc.At(where()...).Line}
	switch {
	case f.Name == "":
		b.at(where(), "the policy has no name; its name in the tenant is made of it")
	case slices.ContainsFunc(ca.Policies, func(o contractor.CAPolicy) bool { return o.Name == f.Name }):
		b.at(where("name"), "there is a policy %q already; names must differ", f.Name)
	case len(f.Name) > maxPolicyName:
		b.at(where("name"), "the name has %d characters; at most %d", len(f.Name), maxPolicyName)
	}
	if !b.enum(where("state"), f.State, string(contractor.CAReportOnly), string(contractor.CAOn), string(contractor.CAOff)) || f.State == "" {
		p.State = contractor.CAReportOnly
	}
	b.caScope(ca, &p, f.Scope, where)
	b.caApps(&p, f.Apps, where)
	for j, word := range f.ClientApps {
		if b.enum(where("client_apps", j), word, clientAppWords().known()...) {
			p.ClientApps = add(p.ClientApps, clientAppWords().graph(word)...)
		}
	}
	b.caPlaces(ca, &p, f.Locations, where)
	b.caDevices(&p, f.Devices, where)
	for j, level := range f.SignInRisk {
		if b.enum(where("sign_in_risk", j), level, "low", "medium", "high") && level != "" {
			p.SignInRisk = add(p.SignInRisk, level)
		}
	}
	b.caGrant(&p, f, where)
	b.caSession(&p, f, where)
	return p
}

func add(list []string, words ...string) []string {
	for _, w := range words {
		if !slices.Contains(list, w) {
			list = append(list, w)
		}
	}
	return list
}

// caScope resolves whom the policy is for.
func (b *builder) caScope(ca *contractor.ConditionalAccess, p *contractor.CAPolicy, f *filePolicyWho, where func(...any) []any) {
	if f == nil {
		if !b.has(where("scope")...) {
			b.at(where(), "policy %q has no scope; write scope: {guests: [b2bCollaborationGuest]}, or scope: {group: <a group of the catalog>}", p.Name)
		}
		return
	}
	if f.Group != "" {
		if len(f.Guests)+len(f.Tenants) > 0 {
			b.atKey(where("scope", "group"), "a scope is a group, or guests and their tenants, not both: the policy would be for everybody in either")
		}
		g, ok := b.groups[f.Group]
		switch {
		case !ok:
			b.at(where("scope", "group"), "group %q is not in catalog.groups%s", f.Group, didYouMean(f.Group, sortedKeys(b.groups)))
		case ca.KeptGroups[g.ID] == "":
			b.at(where("scope", "group"), "no rule grants the group %q, so the bridge does not keep it; grant it, or use scope: {guests: …}", f.Group)
		}
		p.Users.IncludeGroups = []string{g.ID}
		return
	}
	for j, t := range f.Guests {
		b.guestType(where("scope", "guests", j), t)
		p.Users.IncludeGuests.Types = add(p.Users.IncludeGuests.Types, t)
	}
	switch {
	case len(f.Guests) == 0 && len(f.Tenants) > 0:
		p.Users.IncludeGuests.Types = []string{"b2bCollaborationGuest"} // what the bridge invites
	case len(f.Guests) == 0:
		b.at(where("scope"), "the scope names nobody; write guests: [b2bCollaborationGuest], or group: <a group of the catalog>")
	}
	for j, name := range f.Tenants {
		k := slices.IndexFunc(ca.Tenants, func(t contractor.PartnerTenant) bool { return t.Name == name })
		if k < 0 {
			if b.doc.Has(section("tenants", name)...) {
				continue // has a mistake of its own
			}
			b.at(where("scope", "tenants", j), "tenant %q is not in conditional_access.tenants%s", name, didYouMean(name, sortedKeys(b.file.ConditionalAccess.Tenants)))
			continue
		}
		p.Users.IncludeGuests.Tenants = add(p.Users.IncludeGuests.Tenants, ca.Tenants[k].ID)
	}
}

func (b *builder) guestType(at []any, t string) {
	switch t {
	case "b2bCollaborationMember":
		b.at(at, "b2bCollaborationMember are external people whom somebody made members of this tenant; a policy for contractors does not reach members. Write b2bCollaborationGuest")
	case "serviceProvider":
		b.at(at, "serviceProvider are the administrators of the tenant's cloud partner; a policy for contractors must not lock them out. Write b2bCollaborationGuest")
	default:
		b.enum(at, t, guestWords()...)
	}
}

func (b *builder) caApps(p *contractor.CAPolicy, f *filePolicyApps, where func(...any) []any) {
	p.Apps.Include = []string{contractor.CAAll}
	if f == nil {
		return
	}
	resolve := func(key string, list []string) (out []string) {
		for j, word := range list {
			graph := appWords().graph(word)
			switch {
			case graph != nil && (key == "include" || word != "all"):
				out = add(out, graph...)
			case graph != nil:
				b.at(where("apps", key, j), "a policy that excludes all applications protects none")
			case objectID.MatchString(word):
				out = add(out, strings.ToLower(word))
			case word != "":
				b.at(where("apps", key, j), "%q is neither the id of an application nor a word for some%s; write an application id, or %s", word, didYouMean(word, appWords().known()), orList(appWords().known()))
			}
		}
		return out
	}
	if include := resolve("include", f.Include); len(include) > 0 {
		p.Apps.Include = include
	}
	p.Apps.Exclude = resolve("exclude", f.Exclude)
	if len(p.Apps.Include) > 1 && slices.Contains(p.Apps.Include, contractor.CAAll) {
		b.at(where("apps", "include"), "all includes the others; leave them out")
	}
}

func (b *builder) caPlaces(ca *contractor.ConditionalAccess, p *contractor.CAPolicy, f *filePolicyIn, where func(...any) []any) {
	if f == nil {
		return
	}
	resolve := func(key string, list []string) (out []string) {
		for j, name := range list {
			switch {
			case name == "trusted":
				out = add(out, contractor.CAAllTrusted)
			case name == "everywhere" && key == "in":
				out = add(out, contractor.CAAll)
			case slices.ContainsFunc(ca.Locations, func(l contractor.NamedLocation) bool { return l.Name == name }):
				out = add(out, name)
			case b.doc.Has(section("locations", name)...):
				out = add(out, name) // has a mistake of its own
			case name != "":
				known := append(sortedKeys(b.file.ConditionalAccess.Locations), "trusted")
				b.at(where("locations", key, j), "location %q is not in conditional_access.locations%s", name, didYouMean(name, known))
				out = add(out, name)
			}
		}
		return out
	}
	p.Locations = contractor.CAIncludes{Include: resolve("in", f.In), Exclude: resolve("outside", f.Outside)}
	switch {
	case p.Locations.IsZero():
		b.at(where("locations"), "the condition names no location; write outside: [<location>] or in: [<location>]")
	case len(p.Locations.Include) == 0:
		p.Locations.Include = []string{contractor.CAAll}
	}
}

func (b *builder) caDevices(p *contractor.CAPolicy, f *filePolicyOn, where func(...any) []any) {
	if f == nil {
		return
	}
	switch {
	case f.Matching != "" && f.NotMatching != "":
		b.atKey(where("devices", "not_matching"), "a policy has one filter for devices: matching or not_matching")
	case f.Matching != "":
		p.Devices = contractor.CADevices{Mode: "include", Rule: f.Matching}
		b.deviceRule(where("devices", "matching"), f.Matching)
	case f.NotMatching != "":
		p.Devices = contractor.CADevices{Mode: "exclude", Rule: f.NotMatching}
		b.deviceRule(where("devices", "not_matching"), f.NotMatching)
	default:
		b.at(where("devices"), "the filter is empty; write matching: device.isCompliant -eq True")
	}
}

func (b *builder) caGrant(p *contractor.CAPolicy, f *filePolicy, where func(...any) []any) {
	b.enum(where("access"), f.Access, contractor.CABlock)
	if f.Access == contractor.CABlock {
		p.Grant.Controls = []string{contractor.CABlock}
		if f.Require != nil {
			b.atKey(where("require"), "who is blocked cannot be asked for anything; remove access or require")
		}
		if f.Session != nil {
			b.atKey(where("session"), "who is blocked has no session; remove access or session")
		}
		if p.Locations.IsZero() && len(p.ClientApps) == 0 && p.Devices.Mode == "" && len(p.SignInRisk) == 0 && slices.Contains(p.Apps.Include, contractor.CAAll) {
			b.at(where("access"), "this blocks every contractor at any time; add locations, client_apps, devices, sign_in_risk or apps")
		}
		return
	}
	if f.Require == nil {
		if f.Session == nil && f.Access == "" {
			b.at(where(), "policy %q asks for nothing; add access: block, require or session", p.Name)
		}
		return
	}
	r := f.Require
	if r.MFA {
		p.Grant.Controls = []string{contractor.CAMFA}
	}
	if r.Strength != "" {
		if r.MFA {
			b.atKey(where("require", "strength"), "Entra takes mfa or a strength, not both; every strength contains multifactor authentication")
		}
		p.Grant.Strength = r.Strength
		if name := strengthWords()[strings.ToLower(r.Strength)]; name != "" {
			p.Grant.Strength = name
		}
	}
	for j, id := range r.TermsOfUse {
		if id != "" {
			p.Grant.Terms = add(p.Grant.Terms, b.checkID(where("require", "terms_of_use", j), where("require", "terms_of_use", j), "the id of the terms of use", id))
		}
	}
	if p.Grant.IsZero() {
		b.at(where("require"), "nothing is required; write mfa: true, strength: phishing-resistant or terms_of_use: [<id>]")
		return
	}
	p.Grant.Operator = "AND"
}

func (b *builder) caSession(p *contractor.CAPolicy, f *filePolicy, where func(...any) []any) {
	s := f.Session
	if s == nil {
		return
	}
	if s.SignInEvery != nil {
		p.Session.Frequency = s.SignInEvery.Approx()
		days := p.Session.Frequency%(24*time.Hour) == 0
		if p.Session.Frequency < time.Hour || p.Session.Frequency%time.Hour != 0 || !days && p.Session.Frequency > 23*time.Hour || p.Session.Frequency > 365*24*time.Hour {
			b.at(where("session", "sign_in_every"), "%s is not a sign-in frequency; Entra takes 1h to 23h, or 1d to 365d", s.SignInEvery)
		}
	}
	if b.enum(where("session", "persistent_browser"), s.PersistentBrowser, "never") {
		p.Session.PersistentBrowser = s.PersistentBrowser
	}
	if p.Session.PersistentBrowser != "" && !slices.Equal(p.Apps.Include, []string{contractor.CAAll}) {
		b.at(where("session", "persistent_browser"), "persistent_browser works only in a policy for all applications: a browser's session is one for all of them")
	}
	if p.Session.IsZero() {
		b.at(where("session"), "the session is not bounded; write sign_in_every: 12h or persistent_browser: never")
	}
}
