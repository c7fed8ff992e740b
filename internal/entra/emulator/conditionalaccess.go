package emulator

import (
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// caPolicy is a conditional access policy.
type caPolicy struct {
	id       string
	props    map[string]any
	visible  time.Time // lists may miss it until then
	old      map[string]any
	modified time.Time
}

// namedLocation is an IP or country location.
type namedLocation struct {
	id    string
	props map[string]any
	// untrusted is since when a location that was trusted is not any more, as readers see it.
	untrusted time.Time
	visible   time.Time
}

// maxPolicies and maxLocations are the documented limits of a tenant.
const (
	maxPolicies  = 195
	maxLocations = 195
	maxRanges    = 2000
)

func listCAPolicies(c *call) (answer, error) {
	var rows []map[string]any
	for _, p := range c.t.policy.conditional {
		if c.t.readable(p.visible, p.id) {
			rows = append(rows, c.caRead(p))
		}
	}
	return c.list(listing{
		context: "identity/conditionalAccess/policies", typ: "conditionalAccessPolicy", rows: sliceRows(rows),
		project: func(o map[string]any) (map[string]any, error) { return c.selected(o, nil), nil },
	})
}

// caRead shows the policy before its last change for a while.
func (c *call) caRead(p *caPolicy) map[string]any {
	if p.old != nil && !c.t.readable(p.modified, p.id) {
		return p.old
	}
	return p.props
}

func (c *call) caPolicy() (*caPolicy, error) {
	for _, p := range c.t.policy.conditional {
		if p.id == c.params["id"] {
			return p, nil
		}
	}
	return nil, itemNotFound("%s was not found in the directory.", c.params["id"])
}

func getCAPolicy(c *call) (answer, error) {
	p, err := c.caPolicy()
	if err != nil {
		return answer{}, err
	}
	if !c.t.readable(p.visible, p.id) {
		return answer{}, itemNotFound("%s was not found in the directory.", p.id)
	}
	return ok(c.with("identity/conditionalAccess/policies/$entity", c.selected(c.caRead(p), nil)))
}

func createCAPolicy(c *call) (answer, error) {
	if len(c.t.policy.conditional) >= maxPolicies {
		return answer{}, caInvalid("1123: A tenant has at most %d policies.", maxPolicies)
	}
	props := map[string]any{
		"description": nil, "grantControls": nil, "sessionControls": nil, "templateId": nil, "modifiedDateTime": nil, "deletedDateTime": nil,
	}
	props = merged(props, c.body)
	if err := c.checkCAPolicy(props); err != nil {
		return answer{}, err
	}
	p := &caPolicy{id: c.t.dice.newID("ca policy", text(props, "displayName"))}
	p.visible = c.now.Add(c.t.lag("ca policy", p.id))
	props["id"], props["createdDateTime"] = p.id, stamp(c.now)
	p.props = c.t.completeCA(props)
	c.t.policy.conditional = append(c.t.policy.conditional, p)
	c.t.auditBy("Conditional Access", "Add conditional access policy", "Policy", c.token, nil, target{id: p.id, name: text(props, "displayName"), typ: "Policy"})
	return created(c.with("identity/conditionalAccess/policies/$entity", p.props))
}

func patchCAPolicy(c *call) (answer, error) {
	p, err := c.caPolicy()
	if err != nil {
		return answer{}, err
	}
	props := merged(p.props, c.body)
	if err := c.checkCAPolicy(props); err != nil {
		return answer{}, err
	}
	props["modifiedDateTime"] = stamp(c.now)
	p.old, p.props = p.props, c.t.completeCA(props)
	p.modified = c.now.Add(c.t.lag("ca policy", p.id))
	c.t.auditBy("Conditional Access", "Update conditional access policy", "Policy", c.token, nil, target{id: p.id, name: text(props, "displayName"), typ: "Policy"})
	return noContent()
}

func deleteCAPolicy(c *call) (answer, error) {
	p, err := c.caPolicy()
	if err != nil {
		return answer{}, err
	}
	c.t.policy.conditional = slices.DeleteFunc(c.t.policy.conditional, func(o *caPolicy) bool { return o == p })
	c.t.auditBy("Conditional Access", "Delete conditional access policy", "Policy", c.token, nil, target{id: p.id, name: text(p.props, "displayName"), typ: "Policy"})
	return noContent()
}

func caInvalid(format string, args ...any) error {
	return refuse(http.StatusBadRequest, "BadRequest", format, args...)
}

// checkCAPolicy holds the required parts of a policy and the references in it.
func (c *call) checkCAPolicy(p map[string]any) error {
	conditions := object(p, "conditions")
	users, apps := object(conditions, "users"), object(conditions, "applications")
	grant, session := object(p, "grantControls"), object(p, "sessionControls")
	switch {
	case text(p, "displayName") == "" || text(p, "state") == "" || conditions == nil:
		return caInvalid("1002: displayName, state and conditions are required.")
	case apps == nil || users == nil && conditions["clientApplications"] == nil:
		return caInvalid("1003: conditions need applications and users.")
	case len(texts(conditions["clientAppTypes"])) == 0:
		return caInvalid("1004: conditions need clientAppTypes.")
	case grant == nil && session == nil:
		return caInvalid("1011: a policy needs at least one grant or session control.")
	case len(texts(apps["includeApplications"])) == 0 && len(texts(apps["includeUserActions"])) == 0 && len(texts(apps["includeAuthenticationContextClassReferences"])) == 0:
		return caInvalid("1005: applications include nothing.")
	case users != nil && !includesSomebody(users):
		return caInvalid("1006: users include nobody.")
	case slices.Contains(texts(users["includeUsers"]), "GuestsOrExternalUsers") && users["includeGuestsOrExternalUsers"] != nil:
		return caInvalid("1007: GuestsOrExternalUsers cannot be combined with includeGuestsOrExternalUsers.")
	}
	if err := c.checkGrant(grant); err != nil {
		return err
	}
	for _, list := range []string{"includeLocations", "excludeLocations"} {
		for _, id := range texts(object(conditions, "locations")[list]) {
			if id != "All" && id != "AllTrusted" && c.t.policy.location(canonical(id)) == nil {
				return caInvalid("1040: the named location '%s' does not exist.", id)
			}
		}
	}
	return c.checkCAUsers(users)
}

func includesSomebody(users map[string]any) bool {
	return len(texts(users["includeUsers"]))+len(texts(users["includeGroups"]))+len(texts(users["includeRoles"])) > 0 ||
		users["includeGuestsOrExternalUsers"] != nil
}

func (c *call) checkGrant(grant map[string]any) error {
	if grant == nil {
		return nil
	}
	controls := texts(grant["builtInControls"])
	strength := object(grant, "authenticationStrength")
	if op := text(grant, "operator"); op != "AND" && op != "OR" {
		return caInvalid("1020: the operator of grantControls is AND or OR.")
	}
	if len(controls) == 0 && strength == nil && len(texts(grant["termsOfUse"])) == 0 && len(texts(grant["customAuthenticationFactors"])) == 0 {
		return caInvalid("1021: grantControls contain no control.")
	}
	if slices.Contains(controls, "block") && (len(controls) > 1 || strength != nil) {
		return caInvalid("1022: block cannot be combined with other controls.")
	}
	if strength == nil {
		return nil
	}
	if slices.Contains(controls, "mfa") {
		return caInvalid("1023: mfa cannot be combined with an authentication strength.")
	}
	if !slices.ContainsFunc(c.t.policy.strengths, func(s map[string]any) bool { return s["id"] == strength["id"] }) {
		return caInvalid("1024: the authentication strength '%v' does not exist.", strength["id"])
	}
	return nil
}

func (c *call) checkCAUsers(users map[string]any) error {
	for _, list := range []string{"includeUsers", "excludeUsers"} {
		for _, id := range texts(users[list]) {
			if id == "All" || id == "None" || id == "GuestsOrExternalUsers" {
				continue
			}
			if _, live := c.t.live(id); !live {
				return caInvalid("1050: the user '%s' does not exist.", id)
			}
		}
	}
	for _, list := range []string{"includeGroups", "excludeGroups"} {
		for _, id := range texts(users[list]) {
			if c.t.groups.byID[canonical(id)] == nil {
				return caInvalid("1051: the group '%s' does not exist.", id)
			}
		}
	}
	return nil
}

// completeCA adds what the service adds to a policy when it is read.
func (t *tenant) completeCA(p map[string]any) map[string]any {
	grant := object(p, "grantControls")
	ref := object(grant, "authenticationStrength")
	if ref == nil {
		return p
	}
	for _, s := range t.policy.strengths {
		if s["id"] == ref["id"] {
			full := merged(grant, nil)
			full["authenticationStrength"] = s
			out := merged(p, nil)
			out["id"], out["grantControls"] = p["id"], full
			return out
		}
	}
	return p
}

func (p *policyStore) location(id string) *namedLocation {
	for _, l := range p.locations {
		if l.id == id {
			return l
		}
	}
	return nil
}

func listLocations(c *call) (answer, error) {
	var rows []map[string]any
	for _, l := range c.t.policy.locations {
		if c.t.readable(l.visible, l.id) {
			rows = append(rows, l.props)
		}
	}
	return c.list(listing{
		context: "identity/conditionalAccess/namedLocations", typ: "namedLocation", rows: sliceRows(rows),
		project: func(o map[string]any) (map[string]any, error) { return c.selected(o, nil), nil },
	})
}

func (c *call) location() (*namedLocation, error) {
	if l := c.t.policy.location(c.params["id"]); l != nil {
		return l, nil
	}
	return nil, itemNotFound("%s was not found in the directory.", c.params["id"])
}

func getLocation(c *call) (answer, error) {
	l, err := c.location()
	if err != nil {
		return answer{}, err
	}
	if !c.t.readable(l.visible, l.id) {
		return answer{}, itemNotFound("%s was not found in the directory.", l.id)
	}
	return ok(c.with("identity/conditionalAccess/namedLocations/$entity", l.props))
}

func createLocation(c *call) (answer, error) {
	if len(c.t.policy.locations) >= maxLocations {
		return answer{}, caInvalid("1130: A tenant has at most %d named locations.", maxLocations)
	}
	if c.body["@odata.type"] == nil {
		return answer{}, caInvalid("1131: @odata.type is required for a named location.")
	}
	if err := checkLocation(c.body); err != nil {
		return answer{}, err
	}
	l := &namedLocation{id: c.t.dice.newID("location", text(c.body, "displayName"))}
	l.visible = c.now.Add(c.t.lag("location", l.id))
	l.props = merged(map[string]any{}, c.body)
	l.props["@odata.type"], l.props["id"] = c.body["@odata.type"], l.id
	l.props["createdDateTime"], l.props["modifiedDateTime"] = stamp(c.now), stamp(c.now)
	c.t.policy.locations = append(c.t.policy.locations, l)
	return created(c.with("identity/conditionalAccess/namedLocations/$entity", l.props))
}

func checkLocation(body map[string]any) error {
	if text(body, "displayName") == "" {
		return caInvalid("1132: displayName is required.")
	}
	switch body["@odata.type"] {
	case odataType("ipNamedLocation"):
		ranges := anyObjects(body["ipRanges"])
		if len(ranges) == 0 || len(ranges) > maxRanges {
			return caInvalid("1133: ipRanges wants 1 to %d ranges.", maxRanges)
		}
		for _, r := range ranges {
			ip, network, err := net.ParseCIDR(text(r, "cidrAddress"))
			v4 := r["@odata.type"] == odataType("iPv4CidrRange")
			if err != nil || v4 != (ip.To4() != nil) {
				return caInvalid("1134: '%s' is not a CIDR address of its type.", text(r, "cidrAddress"))
			}
			if ones, _ := network.Mask.Size(); ones <= 8 {
				return caInvalid("1135: the range '%s' is too wide; only masks longer than /8 are allowed.", network)
			}
		}
	case odataType("countryNamedLocation"):
		countries := texts(body["countriesAndRegions"])
		if len(countries) == 0 || slices.ContainsFunc(countries, func(s string) bool { return len(s) != 2 || strings.ToUpper(s) != s }) {
			return caInvalid("1136: countriesAndRegions wants two-letter codes.")
		}
	default:
		return caInvalid("1137: the type '%v' is not a named location.", body["@odata.type"])
	}
	return nil
}

func patchLocation(c *call) (answer, error) {
	l, err := c.location()
	if err != nil {
		return answer{}, err
	}
	if typ := c.body["@odata.type"]; typ != l.props["@odata.type"] {
		return answer{}, caInvalid("1131: @odata.type must be '%v'.", l.props["@odata.type"])
	}
	props := merged(l.props, c.body)
	props["modifiedDateTime"] = stamp(c.now)
	if err := checkLocation(props); err != nil {
		return answer{}, err
	}
	if flag(l.props, "isTrusted") && !flag(props, "isTrusted") {
		l.untrusted = c.now.Add(c.t.lag("location", l.id))
	}
	l.props = props
	return noContent()
}

// deleteLocation refuses a trusted location, and one whose loss of trust has not
// reached every replica.
func deleteLocation(c *call) (answer, error) {
	l, err := c.location()
	if err != nil {
		return answer{}, err
	}
	if flag(l.props, "isTrusted") || c.now.Before(l.untrusted) {
		return answer{}, caInvalid("1140: a trusted named location cannot be deleted.")
	}
	for _, p := range c.t.policy.conditional {
		loc := object(object(p.props, "conditions"), "locations")
		if slices.Contains(append(texts(loc["includeLocations"]), texts(loc["excludeLocations"])...), l.id) {
			return answer{}, caInvalid("1141: the named location is used by policy '%s'.", p.id)
		}
	}
	c.t.policy.locations = slices.DeleteFunc(c.t.policy.locations, func(o *namedLocation) bool { return o == l })
	return noContent()
}
