package emulator

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// policyStore holds the tenant's settings.
type policyStore struct {
	authorization map[string]any
	crossTenant   map[string]any // default
	partners      []map[string]any
	strengths     []map[string]any
	conditional   []*caPolicy
	locations     []*namedLocation
	subscriptions []map[string]any
	keyID         string
	keyExpires    time.Time
}

func (p *policyStore) init(cfg Config, d *dice) {
	p.authorization = map[string]any{
		"id": "authorizationPolicy", "displayName": "Authorization Policy", "description": "Used to manage authorization related settings across the company.",
		"allowInvitesFrom": "adminsGuestInvitersAndAllMembers", "allowedToSignUpEmailBasedSubscriptions": true, "allowedToUseSSPR": true,
		"allowEmailVerifiedUsersToJoinOrganization": false, "allowUserConsentForRiskyApps": nil, "blockMsolPowerShell": false,
		"guestUserRoleId":            "10dae51f-b6af-4016-8d66-8c2a99b929b3",
		"defaultUserRolePermissions": map[string]any{"allowedToCreateApps": false, "allowedToCreateSecurityGroups": false, "allowedToReadOtherUsers": true},
		"deletedDateTime":            nil,
	}
	open := map[string]any{
		"usersAndGroups": map[string]any{"accessType": "allowed", "targets": []any{map[string]any{"target": "AllUsers", "targetType": "user"}}},
		"applications":   map[string]any{"accessType": "allowed", "targets": []any{map[string]any{"target": "AllApplications", "targetType": "application"}}},
	}
	p.crossTenant = map[string]any{
		"isServiceDefault": true, "b2bCollaborationInbound": open, "b2bCollaborationOutbound": open,
		"inboundTrust":                 map[string]any{"isMfaAccepted": false, "isCompliantDeviceAccepted": false, "isHybridAzureADJoinedDeviceAccepted": false},
		"automaticUserConsentSettings": map[string]any{"inboundAllowed": false, "outboundAllowed": false},
	}
	strength := func(n, name string, combos ...any) map[string]any {
		return map[string]any{
			"id": "00000000-0000-0000-0000-00000000000" + n, "displayName": name, "description": nil, "policyType": "builtIn",
			"requirementsSatisfied": "mfa", "allowedCombinations": combos, "createdDateTime": "2021-12-01T00:00:00Z", "modifiedDateTime": "2021-12-01T00:00:00Z",
		}
	}
	p.strengths = []map[string]any{
		strength("2", "Multifactor authentication", "windowsHelloForBusiness", "fido2", "password,microsoftAuthenticatorPush", "password,softwareOath", "password,sms"),
		strength("3", "Passwordless MFA", "windowsHelloForBusiness", "fido2", "x509CertificateMultiFactor"),
		strength("4", "Phishing-resistant MFA", "windowsHelloForBusiness", "fido2", "x509CertificateMultiFactor"),
	}
	p.keyID = d.newID("key", cfg.ClientID)
	p.keyExpires = cfg.Now().UTC().AddDate(1, 0, 0)
}

func (p *policyStore) allowInvitesFrom() string { return text(p.authorization, "allowInvitesFrom") }

func getAuthorizationPolicy(c *call) (answer, error) {
	if err := c.checkFields("authorizationPolicy"); err != nil {
		return answer{}, err
	}
	return ok(c.with("policies/authorizationPolicy/$entity", c.selected(c.t.policy.authorization, nil)))
}

func getCrossTenantDefault(c *call) (answer, error) {
	return ok(c.with("policies/crossTenantAccessPolicy/default/$entity", c.selected(c.t.policy.crossTenant, nil)))
}

func patchCrossTenantDefault(c *call) (answer, error) {
	c.t.policy.crossTenant = merged(c.t.policy.crossTenant, c.body)
	c.t.policy.crossTenant["isServiceDefault"] = false
	return noContent()
}

// merged applies a PATCH at the top level: nested objects are replaced whole.
func merged(old, body map[string]any) map[string]any {
	out := maps.Clone(old)
	for k, v := range body {
		if !strings.HasPrefix(k, "@") && k != "id" {
			out[k] = v
		}
	}
	return out
}

func (c *call) partner() (int, error) {
	i := slices.IndexFunc(c.t.policy.partners, func(p map[string]any) bool { return p["tenantId"] == c.params["id"] })
	if i < 0 {
		return 0, itemNotFound("There is no cross-tenant access configuration for tenant '%s'.", c.params["id"])
	}
	return i, nil
}

func listPartners(c *call) (answer, error) {
	return c.list(listing{
		context: "policies/crossTenantAccessPolicy/partners", typ: "crossTenantAccessPolicyConfigurationPartner", rows: sliceRows(c.t.policy.partners),
		project: func(o map[string]any) (map[string]any, error) { return c.selected(o, nil), nil },
	})
}

func getPartner(c *call) (answer, error) {
	i, err := c.partner()
	if err != nil {
		return answer{}, err
	}
	return ok(c.with("policies/crossTenantAccessPolicy/partners/$entity", c.selected(c.t.policy.partners[i], nil)))
}

func createPartner(c *call) (answer, error) {
	id := canonical(text(c.body, "tenantId"))
	if id == "" {
		return answer{}, badRequest("The property 'tenantId' is required.")
	}
	if slices.ContainsFunc(c.t.policy.partners, func(p map[string]any) bool { return p["tenantId"] == id }) {
		return answer{}, refuse(http.StatusConflict, "Request_Conflict", "Another object with the same value for property tenantId already exists.")
	}
	p := map[string]any{"inboundTrust": nil, "b2bCollaborationInbound": nil, "b2bCollaborationOutbound": nil, "isServiceProvider": nil}
	p = merged(p, c.body)
	p["tenantId"] = id
	c.t.policy.partners = append(c.t.policy.partners, p)
	return created(c.with("policies/crossTenantAccessPolicy/partners/$entity", p))
}

func patchPartner(c *call) (answer, error) {
	i, err := c.partner()
	if err != nil {
		return answer{}, err
	}
	c.t.policy.partners[i] = merged(c.t.policy.partners[i], c.body)
	return noContent()
}

func deletePartner(c *call) (answer, error) {
	i, err := c.partner()
	if err != nil {
		return answer{}, err
	}
	c.t.policy.partners = slices.Delete(c.t.policy.partners, i, i+1)
	return noContent()
}

func listStrengths(c *call) (answer, error) {
	return c.list(listing{
		context: "policies/authenticationStrengthPolicies", typ: "authenticationStrengthPolicy", rows: sliceRows(c.t.policy.strengths),
		project: func(o map[string]any) (map[string]any, error) { return c.selected(o, nil), nil },
	})
}

func (c *call) strength() (int, error) {
	i := slices.IndexFunc(c.t.policy.strengths, func(s map[string]any) bool { return s["id"] == c.params["id"] })
	if i < 0 {
		return 0, itemNotFound("The authentication strength policy '%s' is not found.", c.params["id"])
	}
	return i, nil
}

func getStrength(c *call) (answer, error) {
	i, err := c.strength()
	if err != nil {
		return answer{}, err
	}
	return ok(c.with("policies/authenticationStrengthPolicies/$entity", c.selected(c.t.policy.strengths[i], nil)))
}

func createStrength(c *call) (answer, error) {
	if text(c.body, "displayName") == "" || len(texts(c.body["allowedCombinations"])) == 0 {
		return answer{}, badRequest("An authentication strength policy needs displayName and allowedCombinations.")
	}
	s := merged(map[string]any{"description": nil}, c.body)
	s["id"] = c.t.dice.newID("strength", text(c.body, "displayName"))
	s["policyType"], s["requirementsSatisfied"] = "custom", "mfa"
	s["createdDateTime"], s["modifiedDateTime"] = stamp(c.now), stamp(c.now)
	c.t.policy.strengths = append(c.t.policy.strengths, s)
	return created(c.with("policies/authenticationStrengthPolicies/$entity", s))
}

// updateCombinations is the only way to change the combinations of a policy that exists.
func updateCombinations(c *call) (answer, error) {
	i, err := c.strength()
	if err != nil {
		return answer{}, err
	}
	s := c.t.policy.strengths[i]
	list, isList := c.body["allowedCombinations"].([]any)
	if s["policyType"] != "custom" || !isList || len(list) == 0 {
		return answer{}, badRequest("allowedCombinations of a custom policy wants at least one combination.")
	}
	if err := c.t.schema.checkValue("allowedCombinations", "[]authenticationMethodModes", list); err != nil {
		return answer{}, err
	}
	before := s["allowedCombinations"]
	next := maps.Clone(s)
	next["allowedCombinations"], next["modifiedDateTime"] = list, stamp(c.now)
	c.t.policy.strengths[i] = next
	return ok(map[string]any{
		"@odata.context":      c.context("microsoft.graph.updateAllowedCombinationsResult"),
		"currentCombinations": list, "previousCombinations": before, "additionalInformation": nil, "conditionalAccessReferences": []any{},
	})
}
