package emulator_test

import (
	"net/url"
	"testing"
	"time"

	"scimbridge/internal/entra/emulator"
)

// packages is a tenant with one package whose group is known.
type packages struct {
	*client
	group, pkg, policy string
	now                *time.Time
}

func newPackages(t *testing.T, cfg emulator.Config, seed emulator.PackageSeed) packages {
	now := origin()
	cfg.Now = func() time.Time { return now }
	cfg.TokenLifetime = 10 * 365 * 24 * time.Hour // the token is not what is tested
	p := packages{client: newClient(t, cfg), now: &now}
	p.group = p.client.group(emulator.GroupSeed{Name: "packed"})
	seed.Name, seed.Groups = "dev-basic", append([]string{p.group}, seed.Groups...)
	var err error
	p.pkg, p.policy, err = p.e.AddAccessPackage(seed)
	p.do(err)
	return p
}

func (p packages) add(user string, end time.Time) map[string]any {
	b := map[string]any{"requestType": "adminAdd", "assignment": map[string]any{"targetId": user, "accessPackageId": p.pkg, "assignmentPolicyId": p.policy}}
	if !end.IsZero() {
		b["schedule"] = map[string]any{"expiration": map[string]any{"type": "afterDateTime", "endDateTime": end.Format(time.RFC3339)}}
	}
	return b
}

func (p packages) request(body map[string]any) string {
	p.t.Helper()
	return p.must(201, "POST", emBase+"assignmentRequests", body).text("id")
}

func (p packages) state(request string) string {
	p.t.Helper()
	return p.must(200, "GET", emBase+"assignmentRequests/"+request, nil).text("state")
}

func (p packages) assignment(user string) map[string]any {
	p.t.Helper()
	list := p.all(emBase + "assignments?$expand=target,accessPackage&$filter=" + url.QueryEscape("accessPackage/id eq '"+p.pkg+"' and target/objectId eq '"+user+"'"))
	if len(list) == 0 {
		p.t.Fatal("no assignment")
	}
	return list[len(list)-1]
}

// Point 10: entitlement management.
func TestPackageLife(t *testing.T) {
	cfg := kind()
	cfg.EntitlementDelay = 10 * time.Second
	p := newPackages(t, cfg, emulator.PackageSeed{})
	id := p.invite("ada@vendor.example")
	end := origin().Add(30 * 24 * time.Hour)
	req := p.request(p.add(id, end))
	seen := map[string]bool{}
	for range 25 {
		seen[p.state(req)] = true
		*p.now = p.now.Add(time.Second)
	}
	for _, want := range []string{"submitted", "delivering", "delivered"} {
		if !seen[want] {
			t.Errorf("the request was never %s: %v", want, seen)
		}
	}
	a := p.assignment(id)
	if a["state"] != "delivered" || a["target"].(map[string]any)["objectId"] != id {
		t.Errorf("assignment %v", a)
	}
	if got := p.all(emBase + "assignments?$filter=" + url.QueryEscape("state eq 'Delivered'")); len(got) != 1 || got[0]["target"] != nil {
		t.Errorf("filtered by state, not expanded: %v", got)
	}

	// Extend: the request's own schedule stays, the assignment's moves.
	longer := end.Add(30 * 24 * time.Hour)
	up := p.request(map[string]any{
		"requestType": "adminUpdate", "assignment": map[string]any{"id": a["id"]},
		"schedule": map[string]any{"expiration": map[string]any{"type": "afterDateTime", "endDateTime": longer.Format(time.RFC3339)}},
	})
	*p.now = p.now.Add(20 * time.Second)
	if got := p.state(up); got != "delivered" {
		t.Errorf("update is %s", got)
	}
	exp := p.assignment(id)["schedule"].(map[string]any)["expiration"].(map[string]any)
	if exp["endDateTime"] != longer.Format(time.RFC3339) {
		t.Errorf("expiration %v", exp)
	}
	*p.now = end.Add(time.Hour)
	if got := p.e.State().Members(p.group); len(got) != 1 {
		t.Errorf("members after the old end: %v", got)
	}
	*p.now = longer
	if got := p.e.State().Members(p.group); len(got) != 0 {
		t.Errorf("members after the end: %v", got)
	}
	if a := p.assignment(id); a["state"] != "expired" || a["expiredDateTime"] == nil {
		t.Errorf("assignment after the end: %v", a)
	}
	if u, _ := p.e.State().User(id); !u.Enabled {
		t.Error("a guest that entitlement management did not invite was blocked")
	}
}

func TestPackageRemove(t *testing.T) {
	p := newPackages(t, kind(), emulator.PackageSeed{})
	id := p.invite("ada@vendor.example")
	p.request(p.add(id, origin().Add(time.Hour)))
	a := p.assignment(id)
	remove := map[string]any{"requestType": "adminRemove", "assignment": map[string]any{"id": a["id"]}}
	r := p.request(remove)
	if got := p.state(r); got != "delivered" || len(p.e.State().Members(p.group)) != 0 {
		t.Errorf("removal is %s, members %v", got, p.e.State().Members(p.group))
	}
	p.must(400, "POST", emBase+"assignmentRequests", remove)
	p.must(403, "POST", emBase+"assignmentRequests/"+r+"/cancel", nil)
	p.must(204, "DELETE", emBase+"assignmentRequests/"+r, nil)
	p.must(404, "GET", emBase+"assignmentRequests/"+r, nil)
	// A fresh start.
	p.request(p.add(id, origin().Add(time.Hour)))
	if got := p.e.State().Members(p.group); len(got) != 1 {
		t.Errorf("members %v", got)
	}
}

func TestPackageRefusals(t *testing.T) {
	p := newPackages(t, kind(), emulator.PackageSeed{})
	id := p.invite("ada@vendor.example")
	members, staff, err := p.e.AddAccessPackage(emulator.PackageSeed{Name: "staff", Groups: []string{p.group}, Policy: map[string]any{"displayName": "x", "allowedTargetScope": "allMemberUsers"}})
	p.do(err)
	inner, innerPolicy, err := p.e.AddAccessPackage(emulator.PackageSeed{Name: "inner", Catalog: "internal", Internal: true, Groups: []string{p.group}})
	p.do(err)
	fixed, fixedPolicy, err := p.e.AddAccessPackage(emulator.PackageSeed{Name: "fixed", Groups: []string{p.group}, WithoutOwnSchedule: true})
	p.do(err)
	clash, clashPolicy, err := p.e.AddAccessPackage(emulator.PackageSeed{Name: "clash", Groups: []string{p.group}, IncompatibleWith: []string{p.pkg}})
	p.do(err)
	of := func(pkg, policy string, end time.Time) map[string]any {
		b := p.add(id, end)
		b["assignment"] = map[string]any{"targetId": id, "accessPackageId": pkg, "assignmentPolicyId": policy}
		return b
	}
	tests := []struct {
		name   string
		body   map[string]any
		status int
	}{
		{"Guest in a policy for members", of(members, staff, time.Time{}), 400},
		{"Catalog not for externals", of(inner, innerPolicy, time.Time{}), 400},
		{"Own schedule not allowed", of(fixed, fixedPolicy, origin().Add(time.Hour)), 400},
		{"Policy of another package", of(p.pkg, staff, time.Time{}), 404},
		{"Unknown user", p.add("00000000-0000-4000-8000-000000000000", time.Time{}), 404},
		{"No assignment", map[string]any{"requestType": "adminAdd"}, 400},
		{"Update without schedule", map[string]any{"requestType": "adminUpdate", "assignment": map[string]any{"id": id}}, 404},
		{"Past end", p.add(id, origin().Add(-time.Hour)), 400},
		{"For oneself", map[string]any{"requestType": "userAdd", "assignment": map[string]any{"accessPackageId": p.pkg}}, 403},
		{"By e-mail without a policy for it", map[string]any{"requestType": "adminAdd", "assignment": map[string]any{"target": map[string]any{"email": "x@v.example"}, "accessPackageId": p.pkg, "assignmentPolicyId": p.policy}}, 400},
		{"Own schedule not sent", of(fixed, fixedPolicy, time.Time{}), 201},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if r := p.call("POST", emBase+"assignmentRequests", tt.body); r.status != tt.status {
				t.Errorf("status %d, want %d: %s", r.status, tt.status, r.raw)
			}
		})
	}
	p.request(p.add(id, time.Time{}))
	p.must(400, "POST", emBase+"assignmentRequests", of(clash, clashPolicy, time.Time{}))
}

func TestSecondPackageIsPlayedBothWays(t *testing.T) {
	for _, choice := range []emulator.Choice{emulator.Yes, emulator.No} {
		cfg := kind()
		cfg.Unknowns.SecondPackageRefused = choice
		p := newPackages(t, cfg, emulator.PackageSeed{})
		id := p.invite("ada@vendor.example")
		p.request(p.add(id, origin().Add(time.Hour)))
		p.assignment(id)
		if choice == emulator.Yes {
			p.must(400, "POST", emBase+"assignmentRequests", p.add(id, origin().Add(time.Hour)))
			continue
		}
		if got := p.state(p.request(p.add(id, origin().Add(time.Hour)))); got != "denied" {
			t.Errorf("the second request is %s", got)
		}
	}
}

func TestPackageDeliveryGoesWrong(t *testing.T) {
	second := emulator.GroupSeed{Name: "second"}
	for _, how := range []emulator.DeliveryFailure{emulator.DeliveryFails, emulator.DeliveryPartial, emulator.DeliveryHangs} {
		t.Run(string(how), func(t *testing.T) {
			p := newPackages(t, kind(), emulator.PackageSeed{})
			g2 := p.client.group(second)
			pkg, policy, err := p.e.AddAccessPackage(emulator.PackageSeed{Name: "two", Groups: []string{p.group, g2}})
			p.do(err)
			p.pkg, p.policy = pkg, policy
			p.do(p.e.DoFailDeliveries(pkg, how))
			id := p.invite("ada@vendor.example")
			req := p.request(p.add(id, origin().Add(time.Hour)))
			if got := p.state(req); got != string(how) {
				t.Errorf("state %s, want %s", got, how)
			}
			p.must(202, "POST", emBase+"assignmentRequests/"+req+"/reprocess", nil)
			if got := p.state(req); got != "delivered" || len(p.e.State().Members(g2)) != 1 {
				t.Errorf("after reprocess: %s, members %v", got, p.e.State().Members(g2))
			}
			p.must(400, "POST", emBase+"assignmentRequests/"+req+"/reprocess", nil)
		})
	}
}

func TestPackageApproval(t *testing.T) {
	for _, approve := range []bool{true, false} {
		p := newPackages(t, kind(), emulator.PackageSeed{Policy: map[string]any{
			"displayName": "approved", "allowedTargetScope": "notSpecified", "requestApprovalSettings": map[string]any{"isApprovalRequiredForAdd": true},
		}})
		id := p.invite("ada@vendor.example")
		req := p.request(p.add(id, time.Time{}))
		if got := p.state(req); got != "pendingApproval" {
			t.Errorf("state %s", got)
		}
		p.do(p.e.DoDecide(req, approve))
		if got, want := p.state(req), map[bool]string{true: "delivered", false: "denied"}[approve]; got != want {
			t.Errorf("state %s, want %s", got, want)
		}
	}
}

func TestPackageScheduledForLater(t *testing.T) {
	p := newPackages(t, kind(), emulator.PackageSeed{})
	id := p.invite("ada@vendor.example")
	body := p.add(id, origin().Add(48*time.Hour))
	body["schedule"].(map[string]any)["startDateTime"] = "2026-12-02T08:00:00Z"
	req := p.request(body)
	if got := p.state(req); got != "scheduled" || len(p.e.State().Members(p.group)) != 0 {
		t.Errorf("state %s, members %v", got, p.e.State().Members(p.group))
	}
	*p.now = p.now.Add(25 * time.Hour)
	if got := p.state(req); got != "delivered" || len(p.e.State().Members(p.group)) != 1 {
		t.Errorf("state %s, members %v", got, p.e.State().Members(p.group))
	}
}

func TestOnlyGovernedGuestsAreCleanedUp(t *testing.T) {
	p := newPackages(t, kind(), emulator.PackageSeed{Policy: map[string]any{
		"displayName": "externals", "allowedTargetScope": "allConfiguredConnectedOrganizationUsers",
	}})
	byMail := map[string]any{
		"requestType": "adminAdd", "assignment": map[string]any{"target": map[string]any{"email": "bo@vendor.example"}, "accessPackageId": p.pkg, "assignmentPolicyId": p.policy},
		"schedule": map[string]any{"expiration": map[string]any{"type": "afterDateTime", "endDateTime": "2026-12-02T08:00:00Z"}},
	}
	p.must(400, "POST", emBase+"assignmentRequests", byMail)
	p.e.AddConnectedOrganization("Vendor", "vendor.example")
	ours := p.invite("ada@vendor.example")
	p.request(p.add(ours, origin().Add(24*time.Hour)))
	p.request(byMail)
	s := p.e.State()
	theirs := s.UserByMail("bo@vendor.example")
	if len(theirs) != 1 || !theirs[0].Governed || len(s.Mails) != 0 || len(s.Metered) != 1 {
		t.Fatalf("after adminAdd by e-mail: %+v, mails %v, metered %v", theirs, s.Mails, s.Metered)
	}
	*p.now = p.now.Add(24 * time.Hour)
	check := func(id string, enabled, deleted bool) {
		t.Helper()
		if u, _ := p.e.State().User(id); u.Enabled != enabled || (u.Deleted != nil) != deleted {
			t.Errorf("%s: enabled %v, deleted %v", u.Mail, u.Enabled, u.Deleted)
		}
	}
	check(ours, true, false)
	check(theirs[0].ID, false, false)
	*p.now = p.now.Add(30 * 24 * time.Hour)
	check(ours, true, false)
	check(theirs[0].ID, false, true)
}

func TestMembershipsFromTwoSources(t *testing.T) {
	p := newPackages(t, kind(), emulator.PackageSeed{})
	id := p.invite("ada@vendor.example")
	p.assign("adminAssign", p.group, id, origin().Add(2*time.Hour))
	p.request(p.add(id, origin().Add(time.Hour)))
	*p.now = p.now.Add(time.Hour)
	if got := p.e.State().Members(p.group); len(got) != 1 {
		t.Error("the end of the package took away what PIM still grants")
	}
	*p.now = p.now.Add(time.Hour)
	if got := p.e.State().Members(p.group); len(got) != 0 {
		t.Errorf("members %v", got)
	}
}

func TestPackageCatalog(t *testing.T) {
	p := newPackages(t, kind(), emulator.PackageSeed{})
	got := p.all(emBase + "accessPackages?$expand=assignmentPolicies,resourceRoleScopes($expand=role,scope)&$filter=" + url.QueryEscape("displayName eq 'dev-basic'"))
	if len(got) != 1 || len(got[0]["assignmentPolicies"].([]any)) != 1 || len(got[0]["resourceRoleScopes"].([]any)) != 1 || got[0]["catalog"] != nil {
		t.Errorf("packages %v", got)
	}
	created := p.must(201, "POST", emBase+"assignmentPolicies", map[string]any{
		"displayName": "second", "allowedTargetScope": "notSpecified", "specificAllowedTargets": []any{},
		"expiration": map[string]any{"type": "afterDuration", "duration": "P365D"}, "accessPackage": map[string]any{"id": p.pkg},
	})
	list := p.all(emBase + "assignmentPolicies?$filter=" + url.QueryEscape("accessPackage/id eq '"+p.pkg+"'"))
	if len(list) != 2 || list[1]["id"] != created.text("id") {
		t.Errorf("policies %v", list)
	}
	p.must(200, "GET", emBase+"accessPackages/"+p.pkg, nil)
	p.must(200, "GET", emBase+"assignmentPolicies/"+p.policy+"?$expand=accessPackage", nil)
	if got := len(p.all(emBase + "catalogs")); got != 1 {
		t.Errorf("%d catalogs", got)
	}
	p.must(201, "POST", emBase+"connectedOrganizations", map[string]any{"displayName": "Vendor", "identitySources": []any{map[string]any{"@odata.type": "#microsoft.graph.domainIdentitySource", "domainName": "vendor.example", "displayName": "v"}}})
	if got := p.all(emBase + "connectedOrganizations?$filter=displayName%20eq%20'vendor'"); len(got) != 1 {
		t.Errorf("connected organizations %v", got)
	}
}
