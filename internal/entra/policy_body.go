package entra

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"scimbridge/internal/contractor"
)

// object is JSON in the making. Conditional access bodies hold nulls and empty lists on purpose, which structs with omitempty
// cannot say.
type object map[string]any

// policyBody is a policy as it is sent. A change (whole) names every part that this program knows, the empty ones too, since it
// is not documented how deep a PATCH merges; clear names further parts that are to go.
func policyBody(p contractor.CAPolicy, whole bool, clear []string) object {
	list := func(values []string) []string { // never null
		out := slices.Clone(values)
		slices.Sort(out)
		if out == nil {
			out = []string{}
		}
		return out
	}
	conditions := object{
		"users": usersBody(p.Users, whole, list), "clientAppTypes": list(clientApps(p.ClientApps)),
		"applications": object{"includeApplications": list(p.Apps.Include), "excludeApplications": list(p.Apps.Exclude)},
	}
	put := func(name string, empty bool, value any) {
		switch {
		case !empty:
			conditions[name] = value
		case whole:
			conditions[name] = nil
		}
	}
	put("locations", p.Locations.IsZero(), object{"includeLocations": list(p.Locations.Include), "excludeLocations": list(p.Locations.Exclude)})
	put("platforms", p.Platforms.IsZero(), object{"includePlatforms": list(p.Platforms.Include), "excludePlatforms": list(p.Platforms.Exclude)})
	put("devices", p.Devices.Mode == "", object{"deviceFilter": object{"mode": p.Devices.Mode, "rule": p.Devices.Rule}})
	if whole || len(p.SignInRisk) > 0 {
		conditions["signInRiskLevels"] = list(p.SignInRisk)
	}
	if whole || len(p.UserRisk) > 0 {
		conditions["userRiskLevels"] = list(p.UserRisk)
	}
	body := object{"displayName": p.Name, "state": stateWord(p.State), "conditions": conditions}
	if g := grantBody(p.Grant, list); g != nil || whole {
		body["grantControls"] = orNull(g)
	}
	if s := sessionBody(p.Session); s != nil || whole {
		body["sessionControls"] = orNull(s)
	}
	for _, path := range clear {
		clearPath(body, strings.Split(path, "."))
	}
	return body
}

func orNull(o object) any {
	if o == nil {
		return nil
	}
	return o
}

// clearPath puts a null where somebody else's part stands. What the body replaces with null as a whole needs none.
func clearPath(o object, path []string) {
	if len(path) == 1 {
		if _, ours := o[path[0]]; !ours {
			o[path[0]] = nil
		}
		return
	}
	next, ok := o[path[0]].(object)
	if !ok {
		return
	}
	clearPath(next, path[1:])
}

func clientApps(types []string) []string {
	if len(types) == 0 {
		return []string{"all"}
	}
	return types
}

func usersBody(u contractor.CAUsers, whole bool, list func([]string) []string) object {
	o := object{}
	put := func(name string, values []string) {
		if whole || len(values) > 0 {
			o[name] = list(values)
		}
	}
	put("includeUsers", u.IncludeUsers)
	put("excludeUsers", u.ExcludeUsers)
	put("includeGroups", u.IncludeGroups)
	put("excludeGroups", u.ExcludeGroups)
	put("includeRoles", u.IncludeRoles)
	put("excludeRoles", u.ExcludeRoles)
	guests := func(name string, g contractor.CAGuests) {
		switch {
		case !g.IsZero():
			tenants := object{"@odata.type": "#microsoft.graph.conditionalAccessAllExternalTenants", "membershipKind": "all"}
			if len(g.Tenants) > 0 {
				tenants = object{"@odata.type": "#microsoft.graph.conditionalAccessEnumeratedExternalTenants", "membershipKind": "enumerated", "members": list(g.Tenants)}
			}
			o[name] = object{"guestOrExternalUserTypes": strings.Join(list(g.Types), ","), "externalTenants": tenants}
		case whole:
			o[name] = nil
		}
	}
	guests("includeGuestsOrExternalUsers", u.IncludeGuests)
	guests("excludeGuestsOrExternalUsers", u.ExcludeGuests)
	return o
}

func grantBody(g contractor.CAGrant, list func([]string) []string) object {
	if g.IsZero() {
		return nil
	}
	operator := g.Operator
	if operator == "" {
		operator = "AND"
	}
	o := object{"operator": operator, "builtInControls": list(g.Controls), "termsOfUse": list(g.Terms), "customAuthenticationFactors": []string{}}
	if g.Strength != "" {
		o["authenticationStrength"] = object{"id": g.Strength}
	}
	return o
}

func sessionBody(s contractor.CASession) object {
	if s.IsZero() {
		return nil
	}
	o := object{}
	switch {
	case s.EveryTime:
		o["signInFrequency"] = object{"isEnabled": true, "frequencyInterval": "everyTime", "authenticationType": "primaryAndSecondaryAuthentication"}
	case s.Frequency > 0:
		unit, value := "hours", int(s.Frequency/time.Hour)
		if s.Frequency%(24*time.Hour) == 0 {
			unit, value = "days", int(s.Frequency/(24*time.Hour))
		}
		o["signInFrequency"] = object{"isEnabled": true, "type": unit, "value": value, "frequencyInterval": "timeBased", "authenticationType": "primaryAndSecondaryAuthentication"}
	}
	if s.PersistentBrowser != "" {
		o["persistentBrowser"] = object{"isEnabled": true, "mode": s.PersistentBrowser}
	}
	return o
}

func stateWord(s contractor.CAState) string {
	switch s {
	case contractor.CAOn:
		return "enabled"
	case contractor.CAOff:
		return "disabled"
	}
	return "enabledForReportingButNotEnforced" // what is not known is not enforced
}

// canonicalPolicy is the text by which what was written and what was read are compared.
func canonicalPolicy(p contractor.CAPolicy) string {
	if n := len(p.Grant.Controls) + len(p.Grant.Terms); n == 0 || n == 1 && p.Grant.Strength == "" {
		p.Grant.Operator = "" // says nothing
	}
	b, err := json.Marshal(object{"policy": policyBody(p, true, nil), "other": p.Other})
	if err != nil {
		return err.Error() // strings, numbers and booleans cannot fail
	}
	return strings.ToLower(string(b))
}

// policyWire is a policy as it is read.
type policyWire struct {
	ID         string    `json:"id"`
	Name       string    `json:"displayName"`
	State      string    `json:"state"`
	Created    time.Time `json:"createdDateTime"`
	Conditions struct {
		Users struct {
			IncludeUsers  []string    `json:"includeUsers"`
			ExcludeUsers  []string    `json:"excludeUsers"`
			IncludeGroups []string    `json:"includeGroups"`
			ExcludeGroups []string    `json:"excludeGroups"`
			IncludeRoles  []string    `json:"includeRoles"`
			ExcludeRoles  []string    `json:"excludeRoles"`
			IncludeGuests *guestsWire `json:"includeGuestsOrExternalUsers"`
			ExcludeGuests *guestsWire `json:"excludeGuestsOrExternalUsers"`
		} `json:"users"`
		Applications struct {
			Include []string `json:"includeApplications"`
			Exclude []string `json:"excludeApplications"`
		} `json:"applications"`
		ClientAppTypes []string `json:"clientAppTypes"`
		Locations      struct {
			Include []string `json:"includeLocations"`
			Exclude []string `json:"excludeLocations"`
		} `json:"locations"`
		Platforms struct {
			Include []string `json:"includePlatforms"`
			Exclude []string `json:"excludePlatforms"`
		} `json:"platforms"`
		Devices struct {
			Filter struct {
				Mode string `json:"mode"`
				Rule string `json:"rule"`
			} `json:"deviceFilter"`
		} `json:"devices"`
		SignInRisk []string `json:"signInRiskLevels"`
		UserRisk   []string `json:"userRiskLevels"`
	} `json:"conditions"`
	Grant struct {
		Operator string   `json:"operator"`
		Controls []string `json:"builtInControls"`
		Terms    []string `json:"termsOfUse"`
		Strength objectID `json:"authenticationStrength"`
	} `json:"grantControls"`
	Session struct {
		Frequency struct {
			Enabled  bool   `json:"isEnabled"`
			Type     string `json:"type"`
			Value    int    `json:"value"`
			Interval string `json:"frequencyInterval"`
			Of       string `json:"authenticationType"`
		} `json:"signInFrequency"`
		Browser struct {
			Enabled bool   `json:"isEnabled"`
			Mode    string `json:"mode"`
		} `json:"persistentBrowser"`
	} `json:"sessionControls"`
}

type guestsWire struct {
	Types   string `json:"guestOrExternalUserTypes"`
	Tenants struct {
		Kind    string   `json:"membershipKind"`
		Members []string `json:"members"`
	} `json:"externalTenants"`
}

func (g *guestsWire) guests() contractor.CAGuests {
	if g == nil || g.Types == "" || g.Types == "none" {
		return contractor.CAGuests{}
	}
	out := contractor.CAGuests{}
	for t := range strings.SplitSeq(g.Types, ",") {
		out.Types = append(out.Types, strings.TrimSpace(t))
	}
	if g.Tenants.Kind == "enumerated" {
		out.Tenants = lowerAll(g.Tenants.Members)
	}
	return out
}

func lowerAll(list []string) []string {
	var out []string
	for _, s := range list {
		if isGUID(s) {
			s = strings.ToLower(s)
		}
		out = append(out, s)
	}
	return out
}

// readPolicy puts a policy into our words. What has no word goes into Other by its path.
func readPolicy(raw json.RawMessage) (contractor.CAPolicy, error) {
	var w policyWire
	if err := json.Unmarshal(raw, &w); err != nil {
		return contractor.CAPolicy{}, fmt.Errorf("a conditional access policy: %w", err)
	}
	cond := &w.Conditions
	p := contractor.CAPolicy{
		ID: strings.ToLower(w.ID), Name: w.Name, Created: w.Created,
		Users: contractor.CAUsers{
			IncludeUsers: lowerAll(cond.Users.IncludeUsers), ExcludeUsers: lowerAll(cond.Users.ExcludeUsers),
			IncludeGroups: lowerAll(cond.Users.IncludeGroups), ExcludeGroups: lowerAll(cond.Users.ExcludeGroups),
			IncludeRoles: lowerAll(cond.Users.IncludeRoles), ExcludeRoles: lowerAll(cond.Users.ExcludeRoles),
			IncludeGuests: cond.Users.IncludeGuests.guests(), ExcludeGuests: cond.Users.ExcludeGuests.guests(),
		},
		Apps:       contractor.CAApps{Include: lowerAll(cond.Applications.Include), Exclude: lowerAll(cond.Applications.Exclude)},
		ClientApps: cond.ClientAppTypes,
		Locations:  contractor.CAIncludes{Include: lowerAll(cond.Locations.Include), Exclude: lowerAll(cond.Locations.Exclude)},
		Platforms:  contractor.CAIncludes{Include: cond.Platforms.Include, Exclude: cond.Platforms.Exclude},
		Devices:    contractor.CADevices{Mode: cond.Devices.Filter.Mode, Rule: cond.Devices.Filter.Rule},
		SignInRisk: cond.SignInRisk, UserRisk: cond.UserRisk,
		Grant: contractor.CAGrant{Operator: w.Grant.Operator, Controls: w.Grant.Controls, Terms: lowerAll(w.Grant.Terms), Strength: strings.ToLower(w.Grant.Strength.ID)},
	}
	switch w.State {
	case "enabled":
		p.State = contractor.CAOn
	case "disabled":
		p.State = contractor.CAOff
	case "enabledForReportingButNotEnforced":
		p.State = contractor.CAReportOnly
	default:
		return p, fmt.Errorf("the state %q of a conditional access policy is not known", w.State)
	}
	var all map[string]any
	if err := json.Unmarshal(raw, &all); err != nil {
		return p, err
	}
	p.Other = leftover(all, "", knownParts())
	if f := w.Session.Frequency; f.Enabled {
		p.Session.EveryTime = f.Interval == "everyTime"
		unit := time.Hour
		if f.Type == "days" {
			unit = 24 * time.Hour
		}
		if !p.Session.EveryTime {
			p.Session.Frequency = time.Duration(f.Value) * unit
		}
		if f.Of == "secondaryAuthentication" {
			p.Other = append(p.Other, "sessionControls.signInFrequency.authenticationType")
		}
	}
	if b := w.Session.Browser; b.Enabled {
		p.Session.PersistentBrowser = b.Mode
	}
	slices.Sort(p.Other)
	return p, nil
}

// knownParts are the paths that readPolicy understands, or that say nothing. A path that ends in a dot has known parts below.
func knownParts() map[string]bool {
	known := map[string]bool{}
	for _, path := range []string{
		"id", "displayName", "state", "createdDateTime", "modifiedDateTime", "description", "templateId", "deletedDateTime", "partialEnablementStrategy",
		"conditions.", "conditions.users.", "conditions.users.includeUsers", "conditions.users.excludeUsers", "conditions.users.includeGroups",
		"conditions.users.excludeGroups", "conditions.users.includeRoles", "conditions.users.excludeRoles",
		"conditions.users.includeGuestsOrExternalUsers", "conditions.users.excludeGuestsOrExternalUsers",
		"conditions.applications.", "conditions.applications.includeApplications", "conditions.applications.excludeApplications",
		"conditions.clientAppTypes", "conditions.locations", "conditions.platforms", "conditions.devices.", "conditions.devices.deviceFilter",
		"conditions.signInRiskLevels", "conditions.userRiskLevels",
		"grantControls.", "grantControls.operator", "grantControls.builtInControls", "grantControls.termsOfUse", "grantControls.authenticationStrength",
		"sessionControls.", "sessionControls.signInFrequency", "sessionControls.persistentBrowser",
	} {
		known[path] = true
	}
	return known
}

// leftover lists the paths of what is set and not known.
func leftover(o map[string]any, prefix string, known map[string]bool) []string {
	var out []string
	for name, v := range o {
		path := prefix + name
		below, isObject := v.(map[string]any)
		switch {
		case strings.Contains(name, "@odata") || empty(v) || known[path]:
		case isObject && known[path+"."]:
			out = append(out, leftover(below, path+".", known)...)
		default:
			out = append(out, path)
		}
	}
	return out
}

// empty reports whether a value says nothing: null, no text, no items, false, or an object that is switched off or has nothing
// but such values.
func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == "" || v == "none"
	case bool:
		return !v
	case []any:
		return len(v) == 0
	case map[string]any:
		if v["isEnabled"] == false {
			return true
		}
		for name, inner := range v {
			if !strings.Contains(name, "@odata") && !empty(inner) {
				return false
			}
		}
		return true
	}
	return false
}
