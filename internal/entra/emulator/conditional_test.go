package emulator_test

import (
	"maps"
	"testing"
	"time"

	"scimbridge/internal/entra/emulator"
)

const caBase = "/identity/conditionalAccess/"

// caTenant is a tenant without the limit of one request per second.
func caTenant(t *testing.T) *client {
	cfg := kind()
	cfg.Quota.ConditionalAccessPer1s = -1
	cfg.Quota.ReportsPer10s = -1
	return newClient(t, cfg)
}

func guestPolicy(state string, more ...map[string]any) map[string]any {
	p := map[string]any{
		"displayName": "externals need MFA", "state": state,
		"conditions": map[string]any{
			"users": map[string]any{"includeGuestsOrExternalUsers": map[string]any{
				"guestOrExternalUserTypes": "b2bCollaborationGuest,otherExternalUser",
				"externalTenants":          map[string]any{"@odata.type": "#microsoft.graph.conditionalAccessAllExternalTenants", "membershipKind": "all"},
			}},
			"applications": map[string]any{"includeApplications": []any{"All"}}, "clientAppTypes": []any{"all"},
		},
		"grantControls": map[string]any{"operator": "OR", "builtInControls": []any{"mfa"}},
	}
	for _, m := range more {
		maps.Copy(p, m)
	}
	return p
}

// Point 11: policies, locations, report-only.
func TestConditionalAccessPolicies(t *testing.T) {
	c := caTenant(t)
	breakGlass := c.group(emulator.GroupSeed{Name: "break-glass"})
	p := guestPolicy("enabledForReportingButNotEnforced")
	p["conditions"].(map[string]any)["users"].(map[string]any)["excludeGroups"] = []any{breakGlass}
	id := c.must(201, "POST", caBase+"policies", p).text("id")
	c.must(204, "PATCH", caBase+"policies/"+id, map[string]any{"state": "enabled"})
	got := c.must(200, "GET", caBase+"policies/"+id, nil)
	if got.text("state") != "enabled" || got.text("displayName") == "" {
		t.Errorf("policy %s", got.raw)
	}
	bad := map[string]map[string]any{
		"NoControls":      guestPolicy("disabled", map[string]any{"grantControls": nil}),
		"NoConditions":    guestPolicy("disabled", map[string]any{"conditions": map[string]any{}}),
		"BadState":        guestPolicy("reportOnly"),
		"BadFlag":         guestPolicy("disabled", map[string]any{"conditions": map[string]any{"users": map[string]any{"includeGuestsOrExternalUsers": map[string]any{"guestOrExternalUserTypes": "b2bCollaborationGuest, otherExternalUser"}}, "applications": map[string]any{"includeApplications": []any{"All"}}, "clientAppTypes": []any{"all"}}}),
		"BlockAndMore":    guestPolicy("disabled", map[string]any{"grantControls": map[string]any{"operator": "OR", "builtInControls": []any{"block", "mfa"}}}),
		"UnknownStrength": guestPolicy("disabled", map[string]any{"grantControls": map[string]any{"operator": "OR", "authenticationStrength": map[string]any{"id": "00000000-0000-0000-0000-000000000009"}}}),
		"UnknownGroup":    guestPolicy("disabled", map[string]any{"conditions": map[string]any{"users": map[string]any{"includeUsers": []any{"All"}, "excludeGroups": []any{"00000000-0000-4000-8000-000000000000"}}, "applications": map[string]any{"includeApplications": []any{"All"}}, "clientAppTypes": []any{"all"}}}),
	}
	for name, body := range bad {
		if r := c.call("POST", caBase+"policies", body); r.status != 400 {
			t.Errorf("%s: %d %s", name, r.status, r.raw)
		}
	}
	strong := c.must(201, "POST", caBase+"policies", guestPolicy("disabled", map[string]any{
		"grantControls": map[string]any{"operator": "OR", "builtInControls": []any{}, "authenticationStrength": map[string]any{"id": "00000000-0000-0000-0000-000000000004"}},
	}))
	if s := strong.body["grantControls"].(map[string]any)["authenticationStrength"].(map[string]any); s["displayName"] != "Phishing-resistant MFA" {
		t.Errorf("strength %v", s)
	}
	if got := len(c.all(caBase + "policies")); got != 2 {
		t.Errorf("%d policies", got)
	}
	c.must(204, "DELETE", caBase+"policies/"+id, nil)
	c.must(404, "GET", caBase+"policies/"+id, nil)
}

func TestNamedLocations(t *testing.T) {
	now := origin()
	cfg := kind()
	cfg.Quota.ConditionalAccessPer1s = -1
	cfg.Lag = 10 * time.Second
	cfg.Now = func() time.Time { return now }
	c := newClient(t, cfg)
	ip := map[string]any{
		"@odata.type": "#microsoft.graph.ipNamedLocation", "displayName": "egress", "isTrusted": true,
		"ipRanges": []any{map[string]any{"@odata.type": "#microsoft.graph.iPv4CidrRange", "cidrAddress": "203.0.113.0/24"}},
	}
	id := c.must(201, "POST", caBase+"namedLocations", ip).text("id")
	c.must(400, "DELETE", caBase+"namedLocations/"+id, nil)
	trust := map[string]any{"@odata.type": "#microsoft.graph.ipNamedLocation", "isTrusted": false}
	c.must(204, "PATCH", caBase+"namedLocations/"+id, trust)
	now = now.Add(11 * time.Second)
	c.must(204, "DELETE", caBase+"namedLocations/"+id, nil)

	bad := []map[string]any{
		{"displayName": "no type", "ipRanges": ip["ipRanges"], "isTrusted": false},
		{"@odata.type": "#microsoft.graph.ipNamedLocation", "displayName": "wrong case", "isTrusted": false, "ipRanges": []any{map[string]any{"@odata.type": "#microsoft.graph.IPv4CidrRange", "cidrAddress": "203.0.113.0/24"}}},
		{"@odata.type": "#microsoft.graph.ipNamedLocation", "displayName": "too wide", "isTrusted": false, "ipRanges": []any{map[string]any{"@odata.type": "#microsoft.graph.iPv4CidrRange", "cidrAddress": "10.0.0.0/8"}}},
		{"@odata.type": "#microsoft.graph.ipNamedLocation", "displayName": "wrong family", "isTrusted": false, "ipRanges": []any{map[string]any{"@odata.type": "#microsoft.graph.iPv4CidrRange", "cidrAddress": "2001:db8::/48"}}},
		{"@odata.type": "#microsoft.graph.countryNamedLocation", "displayName": "country", "countriesAndRegions": []any{"Germany"}},
	}
	for _, b := range bad {
		if r := c.call("POST", caBase+"namedLocations", b); r.status != 400 {
			t.Errorf("%v: %d %s", b["displayName"], r.status, r.raw)
		}
	}
}

func TestSignInsMeetConditionalAccess(t *testing.T) {
	c := caTenant(t)
	ada, staff, vip := c.invite("ada@vendor.example"), c.member("staff"), c.invite("vip@vendor.example")
	exempt := c.group(emulator.GroupSeed{Name: "exempt", Members: []string{vip}})
	country := c.must(201, "POST", caBase+"namedLocations", map[string]any{
		"@odata.type": "#microsoft.graph.countryNamedLocation", "displayName": "allowed", "countriesAndRegions": []any{"DE"}, "includeUnknownCountriesAndRegions": false,
	}).text("id")
	mfa := c.must(201, "POST", caBase+"policies", guestPolicy("enabledForReportingButNotEnforced")).text("id")
	block := guestPolicy("enabled", map[string]any{"displayName": "countries", "grantControls": map[string]any{"operator": "OR", "builtInControls": []any{"block"}}})
	cond := block["conditions"].(map[string]any)
	cond["locations"] = map[string]any{"includeLocations": []any{"All"}, "excludeLocations": []any{country}}
	cond["users"].(map[string]any)["excludeGroups"] = []any{exempt}
	c.must(201, "POST", caBase+"policies", block)

	attempt := func(s emulator.SignIn, code int) {
		t.Helper()
		r, err := c.e.SignIn(s)
		if err != nil || r.ErrorCode != code || r.Allowed != (code == 0) {
			t.Errorf("%+v: %+v %v, want code %d", s, r, err, code)
		}
	}
	attempt(emulator.SignIn{UserID: ada, Country: "DE"}, 0) // report-only does not stop
	attempt(emulator.SignIn{UserID: ada, Country: "KP"}, 53003)
	attempt(emulator.SignIn{UserID: vip, Country: "KP"}, 0)
	attempt(emulator.SignIn{UserID: staff, Country: "KP"}, 0)
	c.must(204, "PATCH", caBase+"policies/"+mfa, map[string]any{"state": "enabled"})
	attempt(emulator.SignIn{UserID: ada, Country: "DE"}, 50074)
	attempt(emulator.SignIn{UserID: ada, Country: "DE", MFA: true}, 0)
	attempt(emulator.SignIn{UserID: "nobody"}, 50034)
	c.must(204, "DELETE", "/users/"+ada, nil)
	attempt(emulator.SignIn{UserID: ada, MFA: true}, 50034)

	logs := c.all("/auditLogs/signIns?$filter=userId%20eq%20'" + ada + "'")
	if len(logs) != 5 {
		t.Fatalf("%d log entries of the guest", len(logs))
	}
	oldest := logs[len(logs)-1]
	results := map[any]any{}
	for _, p := range oldest["appliedConditionalAccessPolicies"].([]any) {
		results[p.(map[string]any)["displayName"]] = p.(map[string]any)["result"]
	}
	if results["externals need MFA"] != "reportOnlyFailure" || oldest["userPrincipalName"] != "ada@vendor.example" || oldest["conditionalAccessStatus"] != "notApplied" {
		t.Errorf("oldest entry: %v", oldest)
	}
	if logs[3]["conditionalAccessStatus"] != "failure" {
		t.Errorf("blocked entry: %v", logs[3])
	}
}

func TestSignInActivity(t *testing.T) {
	c := caTenant(t)
	id, never := c.invite("ada@vendor.example"), c.invite("bo@vendor.example")
	if _, err := c.e.SignIn(emulator.SignIn{UserID: id}); err != nil {
		t.Fatal(err)
	}
	a, _ := c.must(200, "GET", "/users/"+id+"?$select=id,signInActivity", nil).body["signInActivity"].(map[string]any)
	if a["lastSuccessfulSignInDateTime"] != "2026-12-01T08:00:00Z" {
		t.Errorf("activity %v", a)
	}
	if got := c.must(200, "GET", "/users/"+never+"?$select=id,signInActivity", nil).body["signInActivity"]; got != nil {
		t.Errorf("activity of somebody who never signed in: %v", got)
	}
	if got := c.all("/users?$select=id&$filter=signInActivity/lastSuccessfulSignInDateTime%20ge%202026-01-01T00:00:00Z"); len(got) != 1 {
		t.Errorf("filtered by activity: %v", got)
	}
	c.must(400, "GET", "/users?$filter=signInActivity/lastSignInDateTime%20ge%202026-01-01T00:00:00Z%20and%20userType%20eq%20'Guest'", nil)
}

func TestDirectoryAudits(t *testing.T) {
	c := caTenant(t)
	id, g := c.invite("ada@vendor.example"), c.group(emulator.GroupSeed{Name: "g"})
	c.must(204, "POST", "/groups/"+g+"/members/$ref", ref("users", id))
	c.must(204, "PATCH", "/users/"+id, map[string]any{"accountEnabled": false})
	got := c.all("/auditLogs/directoryAudits?$filter=activityDateTime%20ge%202026-11-22T00:00:00Z%20and%20targetResources/any(t:%20t/id%20eq%20'" + id + "')")
	activities := map[any]int{}
	for _, e := range got {
		activities[e["activityDisplayName"]]++
	}
	for _, want := range []string{"Invite external user", "Add user", "Add member to group", "Update user"} {
		if activities[want] != 1 {
			t.Errorf("%d entries %q: %v", activities[want], want, activities)
		}
	}
	mods := got[0]["targetResources"].([]any)[0].(map[string]any)["modifiedProperties"].([]any)
	if m := mods[0].(map[string]any); m["displayName"] != "accountEnabled" || m["oldValue"] != "[true]" || m["newValue"] != "[false]" {
		t.Errorf("modified properties %v", mods)
	}
	if got := c.all("/auditLogs/directoryAudits?$filter=initiatedBy/app/appId%20eq%20'" + emulator.DefaultClientID + "'"); len(got) != 4 {
		t.Errorf("%d entries of the application", len(got))
	}
	c.must(200, "GET", "/auditLogs/directoryAudits/"+got[0]["id"].(string), nil)
}

func TestCrossTenantAccess(t *testing.T) {
	c := caTenant(t)
	const partner = "aaaaaaaa-0000-4000-8000-000000000001"
	const base = "/policies/crossTenantAccessPolicy/"
	trust := map[string]any{"inboundTrust": map[string]any{"isMfaAccepted": true, "isCompliantDeviceAccepted": false, "isHybridAzureADJoinedDeviceAccepted": false}}
	c.must(404, "PATCH", base+"partners/"+partner, trust)
	c.must(201, "POST", base+"partners", map[string]any{"tenantId": partner})
	c.must(409, "POST", base+"partners", map[string]any{"tenantId": partner})
	c.must(204, "PATCH", base+"partners/"+partner, trust)
	if got := c.must(200, "GET", base+"partners/"+partner, nil).body["inboundTrust"].(map[string]any)["isMfaAccepted"]; got != true {
		t.Errorf("trust %v", got)
	}
	if got := c.must(200, "GET", base+"default", nil).body["inboundTrust"].(map[string]any)["isMfaAccepted"]; got != false {
		t.Errorf("default trust %v", got)
	}
	if got := len(c.all(base + "partners")); got != 1 {
		t.Errorf("%d partners", got)
	}
	c.must(204, "DELETE", base+"partners/"+partner, nil)
}

func TestAuthenticationStrengths(t *testing.T) {
	c := caTenant(t)
	const base = "/policies/authenticationStrengthPolicies"
	if got := c.all(base + "?$filter=policyType%20eq%20'builtIn'"); len(got) != 3 {
		t.Errorf("%d built-in strengths", len(got))
	}
	id := c.must(201, "POST", base, map[string]any{"displayName": "keys", "allowedCombinations": []any{"fido2"}}).text("id")
	c.must(200, "POST", base+"/"+id+"/updateAllowedCombinations", map[string]any{"allowedCombinations": []any{"fido2", "password,microsoftAuthenticatorPush"}})
	c.must(400, "POST", base+"/"+id+"/updateAllowedCombinations", map[string]any{"allowedCombinations": []any{"telepathy"}})
	c.must(400, "POST", base+"/00000000-0000-0000-0000-000000000004/updateAllowedCombinations", map[string]any{"allowedCombinations": []any{"fido2"}})
}
