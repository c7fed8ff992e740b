package emulator

import (
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"
	"time"
)

// groupPolicy is the PIM policy of a group for one relation (member or owner share it).
type groupPolicy struct {
	expires bool          // permanent active assignment is not allowed
	longest time.Duration // of an active assignment
	enabled []string      // Justification, Ticketing, MultiFactorAuthentication
}

// policyOf returns the policy of a group; unset ones follow the tenant's default.
func (t *tenant) policyOf(id string) *groupPolicy {
	p := t.pim.policies[id]
	if p == nil {
		p = &groupPolicy{expires: t.cfg.AdminCap > 0, longest: t.cfg.AdminCap, enabled: []string{"Justification"}}
		t.pim.policies[id] = p
	}
	return p
}

// onboarded marks the first PIM use of a group: the ids of its policies change.
func (p *pimStore) onboarded(g *group) {
	if g.onboard == 0 {
		g.onboard = 1
	}
}

// pimSpan reads scheduleInfo and holds it against the clock and the group's policy.
func (c *call) pimSpan(g *group) (start, end time.Time, err error) {
	info := object(c.body, "scheduleInfo")
	if info == nil || info["recurrence"] != nil {
		return start, end, pimInvalid()
	}
	start = c.now
	named, given := instant(info["startDateTime"])
	if given && named.After(c.now) {
		start = named
	}
	exp := object(info, "expiration")
	end, err = expirationEnd(exp, start)
	if err != nil {
		return start, end, pimInvalid()
	}
	if !end.IsZero() && end.Before(start.Add(c.t.cfg.FiveMinutes)) {
		return start, end, refuse(http.StatusBadRequest, "ActiveDurationTooShort", "The active duration is too short. Miniumum Required is 5 minutes.")
	}
	if !end.IsZero() && !end.After(c.now) {
		return start, end, pimInvalid()
	}
	from := start
	if given && c.t.cfg.Unknowns.CapCountsFromStart == Yes {
		from = named
	}
	return start, end, c.holdPolicy(c.t.policyOf(g.id), from, end)
}

// expirationEnd turns an expirationPattern into an instant; zero means never.
func expirationEnd(exp map[string]any, start time.Time) (time.Time, error) {
	at, hasEnd := instant(exp["endDateTime"])
	length, hasDuration := exp["duration"].(string)
	switch text(exp, "type") {
	case "noExpiration":
		if hasEnd || hasDuration {
			return time.Time{}, badRequest("noExpiration takes neither endDateTime nor duration.")
		}
		return time.Time{}, nil
	case "afterDateTime":
		if !hasEnd || hasDuration {
			return time.Time{}, badRequest("afterDateTime wants endDateTime alone.")
		}
		return at, nil
	case "afterDuration":
		d, err := parseDuration(length)
		if hasEnd || !hasDuration || err != nil || d <= 0 {
			return time.Time{}, badRequest("afterDuration wants a positive duration alone.")
		}
		return start.Add(d), nil
	}
	return time.Time{}, badRequest("The expiration type '%s' is not supported here.", text(exp, "type"))
}

// holdPolicy lists the rules of the policy that a request violates.
func (c *call) holdPolicy(p *groupPolicy, from, end time.Time) error {
	var broken []string
	if p.expires && (end.IsZero() || p.longest > 0 && end.Sub(from) > p.longest) {
		broken = append(broken, `"ExpirationRule"`)
	}
	if slices.Contains(p.enabled, "Justification") && text(c.body, "justification") == "" {
		broken = append(broken, `"JustificationRule"`)
	}
	if slices.Contains(p.enabled, "Ticketing") && text(object(c.body, "ticketInfo"), "ticketNumber") == "" {
		broken = append(broken, `"TicketingRule"`)
	}
	if len(broken) == 0 {
		return nil
	}
	return refuse(http.StatusBadRequest, "RoleAssignmentRequestPolicyValidationFailed", "The following policy rules failed: [%s]", strings.Join(broken, ","))
}

func (t *tenant) pimPolicyID(g *group) string {
	return fmt.Sprintf("Group_%s_%08x-0000-4000-8000-%012x", g.id, 0x90110000+g.onboard, g.ord+1)
}

func (t *tenant) pimPolicyView(g *group, withRules bool) map[string]any {
	out := map[string]any{
		"id": t.pimPolicyID(g), "displayName": "Group", "description": "Group", "isOrganizationDefault": false,
		"scopeId": g.id, "scopeType": "Group", "lastModifiedDateTime": nil, "lastModifiedBy": map[string]any{"displayName": nil, "id": ""},
	}
	if withRules {
		out["rules"] = t.pimRules(g)
		out["effectiveRules"] = t.pimRules(g)
	}
	return out
}

// pimRules are the rules that bound an admin's assignments.
func (t *tenant) pimRules(g *group) []any {
	p := t.policyOf(g.id)
	target := func(caller, level string) map[string]any {
		return map[string]any{
			"caller": caller, "operations": []any{"all"}, "level": level,
			"inheritableSettings": []any{}, "enforcedSettings": []any{},
		}
	}
	longest := any(nil)
	if p.longest > 0 {
		longest = formatDuration(p.longest)
	}
	return []any{
		map[string]any{
			"@odata.type": odataType("unifiedRoleManagementPolicyExpirationRule"), "id": "Expiration_Admin_Eligibility",
			"isExpirationRequired": p.expires, "maximumDuration": "P365D", "target": target("Admin", "Eligibility"),
		},
		map[string]any{
			"@odata.type": odataType("unifiedRoleManagementPolicyExpirationRule"), "id": "Expiration_Admin_Assignment",
			"isExpirationRequired": p.expires, "maximumDuration": longest, "target": target("Admin", "Assignment"),
		},
		map[string]any{
			"@odata.type": odataType("unifiedRoleManagementPolicyEnablementRule"), "id": "Enablement_Admin_Assignment",
			"enabledRules": anys(p.enabled), "target": target("Admin", "Assignment"),
		},
		map[string]any{
			"@odata.type": odataType("unifiedRoleManagementPolicyExpirationRule"), "id": "Expiration_EndUser_Assignment",
			"isExpirationRequired": true, "maximumDuration": "PT8H", "target": target("EndUser", "Assignment"),
		},
	}
}

// listPolicyAssignments wants scopeId and scopeType in the filter.
func listPolicyAssignments(c *call) (answer, error) {
	if err := requireFilter(c.query.filter, "scopeId"); err != nil {
		return answer{}, err
	}
	if err := requireFilter(c.query.filter, "scopeType"); err != nil {
		return answer{}, err
	}
	var policy, rules bool
	for _, ex := range c.query.expand {
		if ex.name != "policy" {
			return answer{}, badRequest("Could not find a property named '%s' on type 'microsoft.graph.unifiedRoleManagementPolicyAssignment'.", ex.name)
		}
		policy = true
		rules = rules || slices.ContainsFunc(ex.expand, func(e expansion) bool { return e.name == "rules" || e.name == "effectiveRules" })
	}
	var all []map[string]any
	for _, g := range c.t.groups.order {
		for _, relation := range []string{"member", "owner"} {
			o := map[string]any{
				"id": c.t.pimPolicyID(g) + "_" + relation, "policyId": c.t.pimPolicyID(g), "roleDefinitionId": relation,
				"scopeId": g.id, "scopeType": "Group",
			}
			if policy {
				o["policy"] = c.t.pimPolicyView(g, rules)
			}
			all = append(all, o)
		}
	}
	return c.list(listing{
		context: "policies/roleManagementPolicyAssignments", typ: "unifiedRoleManagementPolicyAssignment", rows: sliceRows(all),
		project: func(o map[string]any) (map[string]any, error) { return c.selected(o, nil), nil },
	})
}

func sliceRows(all []map[string]any) func(int) iter.Seq[row] {
	return func(after int) iter.Seq[row] {
		return func(yield func(row) bool) {
			for i := after + 1; i < len(all); i++ {
				if !yield(row{i, all[i]}) {
					return
				}
			}
		}
	}
}

func (c *call) policyGroup() (*group, error) {
	for _, g := range c.t.groups.order {
		if c.t.pimPolicyID(g) == c.params["id"] {
			return g, nil
		}
	}
	return nil, itemNotFound("The policy '%s' is not found.", c.params["id"])
}

func getRolePolicy(c *call) (answer, error) {
	g, err := c.policyGroup()
	if err != nil {
		return answer{}, err
	}
	rules := slices.ContainsFunc(c.query.expand, func(e expansion) bool { return e.name == "rules" || e.name == "effectiveRules" })
	return ok(c.with("policies/roleManagementPolicies/$entity", c.t.pimPolicyView(g, rules)))
}

// patchPolicyRule changes the two rules that bound assignments by an admin.
func patchPolicyRule(c *call) (answer, error) {
	g, err := c.policyGroup()
	if err != nil {
		return answer{}, err
	}
	p := c.t.policyOf(g.id)
	switch c.params["ruleId"] {
	case "Expiration_Admin_Assignment":
		if v, has := c.body["isExpirationRequired"].(bool); has {
			p.expires = v
		}
		if s, has := c.body["maximumDuration"].(string); has {
			if p.longest, err = parseDuration(s); err != nil {
				return answer{}, badRequest("Cannot convert the value of the property 'maximumDuration' to the type 'Edm.Duration'.")
			}
		}
	case "Enablement_Admin_Assignment":
		p.enabled = texts(c.body["enabledRules"])
	default:
		return answer{}, itemNotFound("The rule '%s' is not emulated.", c.params["ruleId"])
	}
	c.t.pim.onboarded(g)
	return noContent()
}

// requireFilter wants one of the properties to be named by the filter.
func requireFilter(f filterExpr, properties ...string) error {
	if f != nil {
		for _, path := range f.fields() {
			if slices.Contains(properties, path) {
				return nil
			}
		}
	}
	return refuse(http.StatusBadRequest, "MissingProvider", "The filter must name one of: %v.", properties)
}
