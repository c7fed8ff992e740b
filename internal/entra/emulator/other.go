package emulator

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// appDisplayName is how the application shows up in logs.
const appDisplayName = "scimbridge (emulated)"

func otherOperations() []*operation {
	readApps := []string{"Application.Read.All", "Application.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"}
	readOrg := []string{"Organization.Read.All", "Organization.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"}
	readRoles := []string{"RoleManagement.Read.Directory", "RoleManagement.Read.All", "RoleManagement.ReadWrite.Directory", "Directory.Read.All", "Directory.ReadWrite.All"}
	return []*operation{
		{id: "batch", method: post, path: "/$batch", body: "(any)", success: 200, serve: batch},
		{id: "mail.send", method: post, path: "/users/{id}/sendMail", body: "sendMail", permissions: []string{"Mail.Send"}, success: 202, service: governance, serve: sendMail},
		{id: "organization.get", method: get, path: "/organization", permissions: readOrg, success: 200, serve: listOrganization},
		{id: "sku.list", method: get, path: "/subscribedSkus", permissions: append([]string{"LicenseAssignment.Read.All"}, readOrg...), ru: 3, success: 200, serve: listSkus},
		{id: "sp.list", method: get, path: "/servicePrincipals", permissions: readApps, success: 200, serve: listServicePrincipals},
		{id: "sp.get", method: get, path: "/servicePrincipals/{id}", permissions: readApps, success: 200, serve: getServicePrincipal},
		{id: "sp.getByAppId", method: get, path: "/servicePrincipals(appId='{appId}')", permissions: readApps, success: 200, serve: getServicePrincipal},
		{id: "sp.appRoleAssignments", method: get, path: "/servicePrincipals/{id}/appRoleAssignments", permissions: readApps, success: 200, serve: listAppRoleAssignments},
		{id: "application.getByAppId", method: get, path: "/applications(appId='{appId}')", permissions: readApps, success: 200, serve: getApplication},
		{id: "role.list", method: get, path: "/directoryRoles", permissions: readRoles, success: 200, serve: listRoles},
		{id: "role.members.list", method: get, path: "/directoryRoles/{id}/members", permissions: readRoles, success: 200, serve: listRoleMembers},
		{id: "role.assignments.list", method: get, path: "/roleManagement/directory/roleAssignments", permissions: readRoles, success: 200, serve: listRoleAssignments},
		{id: "subscription.create", method: post, path: "/subscriptions", body: "subscription", permissions: append(readUsers(), groupReaders()...), success: 201, serve: createSubscription},
		{id: "subscription.list", method: get, path: "/subscriptions", success: 200, serve: listSubscriptions},
		{id: "subscription.update", method: pat, path: "/subscriptions/{id}", body: "subscription", permissions: append(readUsers(), groupReaders()...), success: 200, serve: patchSubscription},
		{id: "subscription.delete", method: del, path: "/subscriptions/{id}", permissions: append(readUsers(), groupReaders()...), success: 204, serve: deleteSubscription},
	}
}

func sendMail(c *call) (answer, error) {
	u, err := c.writeUser(c.params["id"])
	if err != nil {
		return answer{}, err
	}
	m := object(c.body, "message")
	body := object(m, "body")
	mail := Mail{
		Time: c.now, Kind: "sendMail", From: text(u.props, "mail"), Subject: text(m, "subject"), Body: text(body, "content"), UserID: u.id,
		To: addresses(m["toRecipients"]), Cc: addresses(m["ccRecipients"]),
	}
	switch {
	case mail.From == "":
		return answer{}, refuse(http.StatusNotFound, "MailboxNotEnabledForRESTAPI", "The mailbox is either inactive, soft-deleted, or is hosted on-premise.")
	case len(mail.To) == 0 && len(mail.Cc) == 0:
		return answer{}, refuse(http.StatusBadRequest, "ErrorInvalidRecipients", "At least one recipient is not valid.")
	}
	c.t.mails = append(c.t.mails, mail)
	return answer{status: http.StatusAccepted}, nil
}

func addresses(v any) []string {
	var out []string
	for _, r := range anyObjects(v) {
		if a := text(object(r, "emailAddress"), "address"); a != "" {
			out = append(out, a)
		}
	}
	return out
}

func (c *call) listPlain(context, typ string, rows []map[string]any) (answer, error) {
	return c.list(listing{
		context: context, typ: typ, rows: sliceRows(rows),
		project: func(o map[string]any) (map[string]any, error) { return c.selected(o, nil), nil },
	})
}

// Service plans of the Entra ID editions.
const (
	planP1 = "41781fb2-bc02-4b7c-bd55-b576c07bb09d"
	planP2 = "eec0eb4f-6444-4f95-aba0-50c24d67f998"
)

func listOrganization(c *call) (answer, error) {
	var domains []any
	for _, d := range c.t.cfg.VerifiedDomains {
		domains = append(domains, map[string]any{"name": d, "isDefault": d == c.t.cfg.VerifiedDomains[0], "isInitial": d == c.t.cfg.InitialDomain, "type": "Managed", "capabilities": "Email"})
	}
	plan := func(service, id string) map[string]any {
		return map[string]any{"service": service, "servicePlanId": id, "capabilityStatus": "Enabled", "assignedDateTime": "2024-01-01T00:00:00Z"}
	}
	plans := []any{}
	if c.t.cfg.Licence != LicenceFree {
		plans = append(plans, plan("AADPremiumService", planP1))
	}
	if c.t.cfg.Licence == LicenceP2 {
		plans = append(plans, plan("AADPremiumService", planP2))
	}
	return c.listPlain("organization", "organization", []map[string]any{{
		"id": c.t.cfg.TenantID, "displayName": "Contoso (emulated)", "tenantType": "AAD", "countryLetterCode": "DE",
		"createdDateTime": "2020-01-01T00:00:00Z", "verifiedDomains": domains,
		"assignedPlans": plans,
	}})
}

func listSkus(c *call) (answer, error) {
	sku := func(part, id string, plans ...any) map[string]any {
		return map[string]any{
			"id": c.t.cfg.TenantID + "_" + id, "skuId": id, "skuPartNumber": part, "servicePlans": plans,
			"accountId": c.t.cfg.TenantID, "appliesTo": "User", "capabilityStatus": "Enabled", "consumedUnits": 10,
			"prepaidUnits": map[string]any{"enabled": 100, "suspended": 0, "warning": 0, "lockedOut": 0},
		}
	}
	plan := func(name, id string) map[string]any {
		return map[string]any{"servicePlanId": id, "servicePlanName": name, "provisioningStatus": "Success", "appliesTo": "User"}
	}
	var rows []map[string]any
	switch c.t.cfg.Licence {
	case LicenceP2:
		rows = append(rows, sku("AAD_PREMIUM_P2", "84a661c4-e949-4bd2-a560-ed7766fcaf2b", plan("AAD_PREMIUM_P2", planP2), plan("AAD_PREMIUM", planP1)))
	case LicenceP1:
		rows = append(rows, sku("AAD_PREMIUM", "078d2b04-f1bd-4111-bbd4-b4b1b354cef4", plan("AAD_PREMIUM", planP1)))
	}
	return c.listPlain("subscribedSkus", "subscribedSku", rows)
}

// graphSPID is the object id of Microsoft Graph's own service principal here.
const graphSPID = "6e0b5c1a-0000-4000-8000-0000000000ff"

// appRoleID returns a stable id for a permission. The ids of the public cloud stand in
// the documentation; an emulated tenant only needs them to be consistent.
func (t *tenant) appRoleID(permission string) string {
	return newDice(0).newID("app role", permission)
}

func (c *call) principals() []map[string]any {
	var roles []any
	for _, p := range allPermissions() {
		roles = append(roles, map[string]any{
			"id": c.t.appRoleID(p), "value": p, "displayName": p, "description": p, "isEnabled": true, "allowedMemberTypes": []any{"Application"},
		})
	}
	return []map[string]any{
		{
			"id": c.e.tokens.spOID, "appId": c.t.cfg.ClientID, "displayName": appDisplayName, "appDisplayName": appDisplayName,
			"servicePrincipalType": "Application", "accountEnabled": true, "appRoles": []any{}, "appOwnerOrganizationId": c.t.cfg.TenantID,
		},
		{
			"id": graphSPID, "appId": graphAppID, "displayName": "Microsoft Graph", "appDisplayName": "Microsoft Graph",
			"servicePrincipalType": "Application", "accountEnabled": true, "appRoles": roles, "appOwnerOrganizationId": "f8cdef31-a31e-4b4a-93e4-5f571e91255a",
		},
	}
}

// allPermissions lists every permission that some operation accepts.
func allPermissions() []string {
	var out []string
	for _, op := range operations() {
		for _, alt := range op.permissions {
			out = append(out, strings.Split(alt, "+")...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func listServicePrincipals(c *call) (answer, error) {
	return c.listPlain("servicePrincipals", "servicePrincipal", c.principals())
}

func (c *call) principal() (map[string]any, error) {
	for _, sp := range c.principals() {
		if sp["id"] == c.params["id"] || c.params["appId"] != "" && sp["appId"] == c.params["appId"] {
			return sp, nil
		}
	}
	return nil, notFound(or(c.params["id"], c.params["appId"]))
}

func getServicePrincipal(c *call) (answer, error) {
	sp, err := c.principal()
	if err != nil {
		return answer{}, err
	}
	return ok(c.with("servicePrincipals/$entity", c.selected(sp, nil)))
}

func listAppRoleAssignments(c *call) (answer, error) {
	sp, err := c.principal()
	if err != nil {
		return answer{}, err
	}
	var rows []map[string]any
	if sp["appId"] == c.t.cfg.ClientID {
		for _, p := range c.e.tokens.roles {
			rows = append(rows, map[string]any{
				"id": c.t.appRoleID("assignment " + p), "appRoleId": c.t.appRoleID(p), "principalId": sp["id"], "principalType": "ServicePrincipal",
				"principalDisplayName": appDisplayName, "resourceId": graphSPID, "resourceDisplayName": "Microsoft Graph",
				"createdDateTime": "2024-01-01T00:00:00Z", "deletedDateTime": nil,
			})
		}
	}
	return c.listPlain("appRoleAssignments", "appRoleAssignment", rows)
}

func getApplication(c *call) (answer, error) {
	if c.params["appId"] != c.t.cfg.ClientID {
		return answer{}, notFound(c.params["appId"])
	}
	secrets, keys := []any{}, []any{}
	if c.t.cfg.ClientSecret != "" {
		secrets = append(secrets, map[string]any{"keyId": c.t.policy.keyID, "displayName": "secret", "endDateTime": stamp(c.t.policy.keyExpires), "hint": "emu"})
	}
	for _, cert := range c.t.cfg.Certificates {
		keys = append(keys, map[string]any{"keyId": c.t.appRoleID("key " + cert.SerialNumber.String()), "displayName": cert.Subject.String(), "type": "AsymmetricX509Cert", "usage": "Verify", "endDateTime": stamp(cert.NotAfter)})
	}
	return ok(c.with("applications/$entity", c.selected(map[string]any{
		"id": c.t.appRoleID("application"), "appId": c.t.cfg.ClientID, "displayName": appDisplayName,
		"passwordCredentials": secrets, "keyCredentials": keys, "deletedDateTime": nil,
	}, nil)))
}

func listRoleAssignments(c *call) (answer, error) {
	var rows []map[string]any
	for _, r := range c.t.roles {
		for _, m := range r.members {
			rows = append(rows, map[string]any{"id": r.id + "-" + m, "principalId": m, "roleDefinitionId": r.id, "directoryScopeId": "/", "appScopeId": nil})
		}
	}
	slices.SortFunc(rows, func(a, b map[string]any) int { return compareText(text(a, "id"), text(b, "id")) })
	return c.listPlain("roleManagement/directory/roleAssignments", "unifiedRoleAssignment", rows)
}

// Limits of subscriptions to users and groups.
const (
	maxSubscription = 41_760 * time.Minute
	minSubscription = 45 * time.Minute
	maxPerApp       = 100
)

// createSubscription records a subscription; the emulator sends no notifications.
func createSubscription(c *call) (answer, error) {
	until, _ := instant(c.body["expirationDateTime"])
	root, _, _ := strings.Cut(strings.TrimPrefix(text(c.body, "resource"), "/"), "/")
	switch {
	case text(c.body, "changeType") == "" || text(c.body, "notificationUrl") == "" || root == "":
		return answer{}, badRequest("A subscription needs changeType, notificationUrl, resource and expirationDateTime.")
	case !strings.HasPrefix(text(c.body, "notificationUrl"), "https://"):
		return answer{}, badRequest("The notificationUrl must be an https URL.")
	case root != "users" && root != "groups":
		return answer{}, badRequest("Subscriptions to '%s' are not supported.", root)
	case until.Sub(c.now) > maxSubscription:
		return answer{}, badRequest("Subscription expiration can only be 41760 minutes in the future.")
	case len(c.t.policy.subscriptions) >= maxPerApp:
		return answer{}, refuse(http.StatusForbidden, "Forbidden", "The limit of %d subscriptions is reached.", maxPerApp)
	}
	s := merged(map[string]any{}, c.body)
	s["id"], s["applicationId"], s["creatorId"] = c.t.dice.newID("subscription", root), c.t.cfg.ClientID, c.token.ObjectID
	if until.Sub(c.now) < minSubscription {
		s["expirationDateTime"] = stamp(c.now.Add(minSubscription))
	}
	c.t.policy.subscriptions = append(c.t.policy.subscriptions, s)
	return created(c.with("subscriptions/$entity", s))
}

func listSubscriptions(c *call) (answer, error) {
	return c.listPlain("subscriptions", "subscription", c.t.policy.subscriptions)
}

func (c *call) subscription() (int, error) {
	i := slices.IndexFunc(c.t.policy.subscriptions, func(s map[string]any) bool { return s["id"] == c.params["id"] })
	if i < 0 {
		return 0, itemNotFound("The subscription '%s' is not found.", c.params["id"])
	}
	return i, nil
}

func patchSubscription(c *call) (answer, error) {
	i, err := c.subscription()
	if err != nil {
		return answer{}, err
	}
	until, given := instant(c.body["expirationDateTime"])
	if !given || until.Sub(c.now) > maxSubscription {
		return answer{}, badRequest("Subscription expiration can only be 41760 minutes in the future.")
	}
	next := maps.Clone(c.t.policy.subscriptions[i])
	next["expirationDateTime"] = stamp(until)
	c.t.policy.subscriptions[i] = next
	return ok(c.with("subscriptions/$entity", c.t.policy.subscriptions[i]))
}

func deleteSubscription(c *call) (answer, error) {
	i, err := c.subscription()
	if err != nil {
		return answer{}, err
	}
	c.t.policy.subscriptions = slices.Delete(c.t.policy.subscriptions, i, i+1)
	return noContent()
}
