package policy

import (
	"fmt"
	"slices"
	"strings"

	"scimbridge/internal/contractor"
)

// Code says why something is refused, for machines.
type Code string

// Why a plan refuses: each of these would lock people out, reach people who are no contractors, or touch what is not ours.
const (
	NoBreakGlass     Code = "no_break_glass"     // no exclusion for the emergency accounts
	BreakGlassGone   Code = "break_glass_gone"   // the exclusion names nobody who can sign in
	IncludesMembers  Code = "includes_members"   // the scope includes, or could include, internal users
	GroupNotKept     Code = "group_not_kept"     // the scope is a group that the bridge does not keep
	NobodyInScope    Code = "nobody_in_scope"    // the policy names nobody
	BlocksAlways     Code = "blocks_always"      // a block without any condition
	CannotBeMet      Code = "cannot_be_met"      // a control that guests cannot fulfil
	AsksNothing      Code = "asks_nothing"       // neither a grant nor a session control
	NotWatched       Code = "not_watched"        // would enforce what was never watched in report-only
	LocationInUse    Code = "location_in_use"    // a location that some policy still names
	LocationKindSet  Code = "location_kind"      // a location cannot turn from countries to ranges
	UnknownLocation  Code = "unknown_location"   // the policy names a location that is not declared
	UnknownStrength  Code = "unknown_strength"   // the tenant has no such authentication strength
	TwoOfAName       Code = "two_of_a_name"      // the tenant has several with our name: which is ours?
	TooMany          Code = "too_many"           // beyond the limits of a tenant
	NotMade          Code = "not_made"           // looks like ours and is not declared, but this program did not make it
	WithoutReason    Code = "without_reason"     // enforced at once wants a reason that says something
	EmptyLocation    Code = "empty_location"     // a location that covers nothing
	ScopeIsExclusion Code = "scope_is_exclusion" // the scope is the group that is excluded
)

// Refusal is a thing that is not done, with why and what to do instead.
type Refusal struct {
	Code  Code   `json:"code"`
	Kind  Kind   `json:"kind"`
	Name  string `json:"name"` // as declared, or the display name of what is not
	ID    string `json:"id,omitempty"`
	Line  int    `json:"line,omitempty"`
	Words string `json:"words"`
}

// minReason is how long a reason for insisting has to be: "x" tells an auditor nothing.
const minReason = 8

// checks collects what is wrong with the declared set as it would stand in the tenant.
type checks struct {
	want     *contractor.ConditionalAccess
	have     Tenant
	refusals []Refusal
}

func (c *checks) refuse(code Code, kind Kind, name string, line int, format string, args ...any) {
	c.refusals = append(c.refusals, Refusal{Code: code, Kind: kind, Name: name, Line: line, Words: fmt.Sprintf(format, args...)})
}

// breakGlass holds the exclusion itself: somebody must be in it who can sign in when everything else fails.
func (c *checks) breakGlass() {
	if len(c.want.BreakGlassGroups)+len(c.want.BreakGlassUsers) == 0 {
		return // each policy says so
	}
	able := 0
	for _, id := range c.want.BreakGlassGroups {
		g, read := c.have.Groups[id]
		switch {
		case !read:
			c.refuse(BreakGlassGone, KindPolicy, "break_glass", 0, "the break-glass group %s could not be read; let the application read groups (GroupMember.Read.All)", id)
		case !g.Found:
			c.refuse(BreakGlassGone, KindPolicy, "break_glass", 0, "the break-glass group %s is not in the tenant; write the id of the group of the emergency accounts", id)
		default:
			able += g.Enabled
		}
	}
	for _, id := range c.want.BreakGlassUsers {
		enabled, found := c.have.Users[id]
		if !found {
			c.refuse(BreakGlassGone, KindPolicy, "break_glass", 0, "the break-glass user %s is not in the tenant; write the object id of an emergency account", id)
		}
		able += boolean(enabled)
	}
	if able == 0 && len(c.refusals) == 0 {
		c.refuse(BreakGlassGone, KindPolicy, "break_glass", 0, "nobody whom break_glass excludes can sign in: put an enabled emergency account into the group")
	}
}

// policy holds one declared policy. p is as it would be written, d as declared.
func (c *checks) policy(d, p contractor.CAPolicy) {
	refuse := func(code Code, format string, args ...any) {
		c.refuse(code, KindPolicy, d.Name, d.Line, format, args...)
	}
	if len(p.Users.ExcludeGroups)+len(p.Users.ExcludeUsers) == 0 {
		refuse(NoBreakGlass, "policy %q excludes no emergency account; declare conditional_access.break_glass", d.Name)
	}
	c.scope(d, p.Users, refuse)
	block := slices.Contains(p.Grant.Controls, contractor.CABlock)
	switch {
	case block && !conditional(p):
		refuse(BlocksAlways, "policy %q blocks every contractor at any time; add locations, client_apps, sign_in_risk or devices, or end the contracts instead", d.Name)
	case p.Grant.IsZero() && p.Session.IsZero():
		refuse(AsksNothing, "policy %q asks for nothing; add access: block, require or session", d.Name)
	}
	c.controls(d, p, refuse)
	for _, id := range append(slices.Clone(d.Locations.Include), d.Locations.Exclude...) {
		if id == contractor.CAAll || id == contractor.CAAllTrusted {
			continue
		}
		if !slices.ContainsFunc(c.want.Locations, func(l contractor.NamedLocation) bool { return l.Name == id }) {
			refuse(UnknownLocation, "policy %q names the location %q, which conditional_access.locations does not declare", d.Name, id)
		}
	}
}

// conditional reports whether anything narrows the policy besides whom it is for and what it protects.
func conditional(p contractor.CAPolicy) bool {
	p = normal(p)
	where := !p.Locations.IsZero() && (!slices.Equal(p.Locations.Include, []string{contractor.CAAll}) || len(p.Locations.Exclude) > 0)
	return where || p.ClientApps[0] != "all" || p.Devices.Mode != "" || len(p.SignInRisk) > 0 || !p.Platforms.IsZero() ||
		!slices.Contains(p.Apps.Include, contractor.CAAll)
}

// externalTypes are the types of external users that are never internal ones. The two others that Graph knows are left out:
// b2bCollaborationMember are accounts that somebody made members of this tenant, serviceProvider are the administrators of the
// tenant's cloud partner.
func externalTypes() []string {
	return []string{"b2bCollaborationGuest", "otherExternalUser", "b2bDirectConnectUser", "internalGuest"}
}

// scope refuses whom a policy must not reach.
func (c *checks) scope(d contractor.CAPolicy, u contractor.CAUsers, refuse func(Code, string, ...any)) {
	if len(u.IncludeUsers) > 0 {
		refuse(IncludesMembers, "policy %q is for %s; a policy for contractors names guests or a group that the bridge keeps", d.Name, strings.Join(u.IncludeUsers, ", "))
	}
	if len(u.IncludeRoles) > 0 {
		refuse(IncludesMembers, "policy %q is for holders of directory roles, who are no contractors", d.Name)
	}
	for _, t := range u.IncludeGuests.Types {
		if !slices.Contains(externalTypes(), t) {
			refuse(IncludesMembers, "policy %q is for %s, among whom are internal users or the cloud partner's administrators; name %s", d.Name, t, orWords(externalTypes()))
		}
	}
	for _, id := range u.IncludeGroups {
		if slices.Contains(u.ExcludeGroups, id) {
			refuse(ScopeIsExclusion, "policy %q is for the very group that break_glass excludes", d.Name)
		}
		c.group(d, id, refuse)
	}
	if u.IncludeGuests.IsZero() && len(u.IncludeGroups)+len(u.IncludeUsers)+len(u.IncludeRoles) == 0 {
		refuse(NobodyInScope, "policy %q is for nobody; add a scope", d.Name)
	}
}

// group refuses a group that holds, or by its rule could take in, internal users.
func (c *checks) group(d contractor.CAPolicy, id string, refuse func(Code, string, ...any)) {
	name := c.want.KeptGroups[id]
	if name == "" {
		refuse(GroupNotKept, "policy %q is for the group %s, which the bridge does not keep; name a group of the mapping's catalog", d.Name, id)
		return
	}
	g, read := c.have.Groups[id]
	switch {
	case !read:
		refuse(IncludesMembers, "the members of the group %s could not be read, so policy %q could reach internal users; let the application read groups, or use scope: {guests: …}", name, d.Name)
	case !g.Found:
		refuse(NobodyInScope, "the group %s of policy %q is not in the tenant", name, d.Name)
	case g.Members > 0:
		refuse(IncludesMembers, "the group %s holds %d internal users, whom policy %q would reach; take them out, or use scope: {guests: …}", name, g.Members, d.Name)
	case g.Capped:
		refuse(IncludesMembers, "the group %s is too large to be looked through for internal users; use scope: {guests: …} for policy %q", name, d.Name)
	case g.Rule != "" && !strings.Contains(strings.ToLower(strings.ReplaceAll(g.Rule, " ", "")), `user.usertype-eq"guest"`):
		refuse(IncludesMembers, "the group %s fills itself by the rule %s, which lets internal users in; use scope: {guests: …} for policy %q", name, g.Rule, d.Name)
	}
}

// controls refuses what a guest cannot fulfil ("Authentication and conditional access for B2B users").
func (c *checks) controls(d, p contractor.CAPolicy, refuse func(Code, string, ...any)) {
	for _, control := range p.Grant.Controls {
		switch control {
		case contractor.CABlock, contractor.CAMFA:
		case "compliantDevice", "domainJoinedDevice":
			if !c.devicesTrusted(p.Users.IncludeGuests.Tenants, control) {
				refuse(CannotBeMet, "policy %q wants %s, which a guest can only show where the tenant trusts the devices of the guest's home tenant (cross-tenant access settings); nobody would get in", d.Name, controlWords(control))
			}
		default:
			refuse(CannotBeMet, "policy %q wants %s, which guests cannot fulfil; nobody would get in", d.Name, controlWords(control))
		}
	}
	if len(p.UserRisk) > 0 {
		refuse(CannotBeMet, "policy %q looks at user risk, which guests can only mend in their home tenant; use sign_in_risk", d.Name)
	}
	if p.Grant.Strength != "" && !slices.ContainsFunc(c.have.Strengths, func(s contractor.AuthenticationStrength) bool { return s.ID == p.Grant.Strength }) {
		var known []string
		for _, s := range c.have.Strengths {
			known = append(known, fmt.Sprintf("%q", s.Name))
		}
		refuse(UnknownStrength, "the tenant has no authentication strength %q, which policy %q asks for; it has %s", d.Grant.Strength, d.Name, or(strings.Join(known, ", "), "none"))
	}
}

// devicesTrusted reports whether the devices of all these home tenants (none named: of every one) count here.
func (c *checks) devicesTrusted(tenants []string, control string) bool {
	trusts := func(id string) bool {
		for _, of := range []string{id, ""} { // its own setting, else the default
			for _, t := range c.have.Trusts {
				v := t.CompliantDevice
				if control == "domainJoinedDevice" {
					v = t.HybridDevice
				}
				if t.Tenant == of && v != nil {
					return *v
				}
			}
		}
		return false
	}
	if len(tenants) == 0 {
		return trusts("")
	}
	return !slices.ContainsFunc(tenants, func(id string) bool { return !trusts(id) })
}

func (c *checks) location(l contractor.NamedLocation) {
	if len(l.Countries)+len(l.Ranges) == 0 && !l.IncludeUnknown {
		c.refuse(EmptyLocation, KindLocation, l.Name, l.Line, "the location %q covers nothing; a policy for everywhere but there would hit everybody", l.Name)
	}
}
