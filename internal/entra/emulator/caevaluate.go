package emulator

import (
	"net"
	"slices"
	"strings"
)

// evaluate holds a sign-in against the conditional access policies. The first policy that
// is enforced and not satisfied decides.
func (t *tenant) evaluate(u *user, s SignIn) (applied []any, status string, code int, reason string) {
	status = "notApplied"
	for _, p := range t.policy.conditional {
		state := text(p.props, "state")
		if state == "disabled" {
			continue
		}
		enforced := state == "enabled"
		result := "notApplied"
		if t.applies(p.props, u, s) {
			result = "success"
			if why, ok := satisfied(p.props, s); !ok {
				result = "failure"
				if enforced && code == 0 {
					code, reason = 53003, "Access has been blocked by Conditional Access policies. "+why
					if strings.HasPrefix(why, "mfa") {
						code, reason = 50074, "Strong Authentication is required."
					}
				}
			}
			if enforced && status != "failure" {
				status = result
			}
		}
		if !enforced {
			result = map[string]string{"notApplied": "reportOnlyNotApplied", "success": "reportOnlySuccess", "failure": "reportOnlyFailure"}[result]
		}
		grant := object(p.props, "grantControls")
		applied = append(applied, map[string]any{
			"id": p.id, "displayName": p.props["displayName"], "result": result,
			"enforcedGrantControls": valueOr(grant["builtInControls"], []any{}), "enforcedSessionControls": []any{},
		})
	}
	return applied, status, code, reason
}

// applies reports whether all conditions of a policy are met.
func (t *tenant) applies(p map[string]any, u *user, s SignIn) bool {
	cond := object(p, "conditions")
	users, apps := object(cond, "users"), object(cond, "applications")
	risks := texts(cond["signInRiskLevels"])
	return t.caUser(users, "include", u) && !t.caUser(users, "exclude", u) &&
		named(texts(apps["includeApplications"]), s.AppID) && !named(texts(apps["excludeApplications"]), s.AppID) &&
		clientFits(texts(cond["clientAppTypes"]), s.ClientApp) &&
		t.caLocation(object(cond, "locations"), s) &&
		(len(risks) == 0 || slices.Contains(risks, s.Risk))
}

func named(list []string, id string) bool {
	return slices.Contains(list, "All") || slices.Contains(list, id)
}

func clientFits(types []string, used string) bool {
	kind := map[string]string{
		"Browser": "browser", "Mobile Apps and Desktop clients": "mobileAppsAndDesktopClients", "Exchange ActiveSync": "exchangeActiveSync",
	}[used]
	return slices.Contains(types, "all") || slices.Contains(types, or(kind, "other"))
}

// caUser reports whether the include or exclude side of a policy's users names u.
func (t *tenant) caUser(users map[string]any, side string, u *user) bool {
	guest := text(u.props, "userType") == "Guest"
	list := texts(users[side+"Users"])
	if slices.Contains(list, "All") || slices.Contains(list, u.id) || guest && slices.Contains(list, "GuestsOrExternalUsers") {
		return true
	}
	if g := object(users, side+"GuestsOrExternalUsers"); g != nil {
		kind := ""
		switch external := text(u.props, "creationType") == "Invitation"; {
		case guest && external:
			kind = "b2bCollaborationGuest"
		case guest:
			kind = "internalGuest"
		case external:
			kind = "b2bCollaborationMember"
		}
		if kind != "" && slices.Contains(strings.Split(text(g, "guestOrExternalUserTypes"), ","), kind) && t.caTenant(g, u) {
			return true
		}
	}
	if slices.ContainsFunc(texts(users[side+"Groups"]), func(id string) bool {
		return slices.ContainsFunc(t.memberOf(u.id, true), func(o map[string]any) bool { return text(o, "id") == canonical(id) })
	}) {
		return true
	}
	return slices.ContainsFunc(texts(users[side+"Roles"]), func(id string) bool {
		r := t.roles[id]
		return r != nil && slices.Contains(r.members, u.id)
	})
}

// caTenant holds the list of external tenants against the guest's home.
func (t *tenant) caTenant(g map[string]any, u *user) bool {
	ext := object(g, "externalTenants")
	if text(ext, "membershipKind") != "enumerated" {
		return true
	}
	_, domain, _ := strings.Cut(text(u.props, "mail"), "@")
	return slices.Contains(texts(ext["members"]), newDice(0).newID("home tenant", lower(domain)))
}

func (t *tenant) caLocation(loc map[string]any, s SignIn) bool {
	if loc == nil {
		return true
	}
	in := func(list []string) bool {
		return slices.ContainsFunc(list, func(id string) bool {
			l := t.policy.location(canonical(id))
			switch id {
			case "All":
				return true
			case "AllTrusted":
				return slices.ContainsFunc(t.policy.locations, func(l *namedLocation) bool { return flag(l.props, "isTrusted") && l.holds(s) })
			}
			return l != nil && l.holds(s)
		})
	}
	return in(texts(loc["includeLocations"])) && !in(texts(loc["excludeLocations"]))
}

func (l *namedLocation) holds(s SignIn) bool {
	ip := net.ParseIP(s.IP)
	for _, r := range anyObjects(l.props["ipRanges"]) {
		if _, network, err := net.ParseCIDR(text(r, "cidrAddress")); err == nil && network.Contains(ip) {
			return true
		}
	}
	return slices.Contains(texts(l.props["countriesAndRegions"]), s.Country)
}

// satisfied reports whether the sign-in meets the grant controls. A guest can do MFA
// and nothing else.
func satisfied(p map[string]any, s SignIn) (string, bool) {
	grant := object(p, "grantControls")
	if grant == nil {
		return "", true
	}
	var met, missing []string
	for _, control := range texts(grant["builtInControls"]) {
		if control == "mfa" && s.MFA {
			met = append(met, control)
		} else {
			missing = append(missing, control)
		}
	}
	if object(grant, "authenticationStrength") != nil {
		if s.MFA {
			met = append(met, "authenticationStrength")
		} else {
			missing = append(missing, "mfa of the required strength")
		}
	}
	if len(missing) == 0 || text(grant, "operator") == "OR" && len(met) > 0 {
		return "", true
	}
	return missing[0], false
}
