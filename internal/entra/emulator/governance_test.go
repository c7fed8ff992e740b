package emulator_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"scimbridge/internal/entra/emulator"
)

func (c *client) assign(action, group, user string, end time.Time) reply {
	c.t.Helper()
	return c.must(201, "POST", pimBase+"assignmentScheduleRequests", pim(action, group, user, end))
}

func (c *client) pimRefused(code, action, group, user string, end time.Time) reply {
	c.t.Helper()
	return c.refused(400, code, "POST", pimBase+"assignmentScheduleRequests", pim(action, group, user, end))
}

func instances(group, user string) string {
	return pimBase + "assignmentScheduleInstances?$filter=" + url.QueryEscape("groupId eq '"+group+"' and principalId eq '"+user+"'")
}

// Point 9: PIM for Groups.
func TestPIMActivatesAndExpiresByTheClock(t *testing.T) {
	c := newClient(t, kind())
	id, g := c.invite("ada@vendor.example"), c.group(emulator.GroupSeed{Name: "g"})
	body := pim("adminAssign", g, id, origin().Add(48*time.Hour))
	body["scheduleInfo"].(map[string]any)["startDateTime"] = "2026-12-02T08:00:00Z"
	r := c.must(201, "POST", pimBase+"assignmentScheduleRequests", body)
	if got := r.text("status"); got != "ScheduleCreated" {
		t.Errorf("status %s", got)
	}
	if !strings.HasPrefix(r.text("targetScheduleId"), g+"_member_") {
		t.Errorf("targetScheduleId %s", r.text("targetScheduleId"))
	}
	state := func(members, inst, schedules int) {
		t.Helper()
		if got := len(c.all("/groups/" + g + "/members")); got != members {
			t.Errorf("%d members, want %d", got, members)
		}
		if got := len(c.all(instances(g, id))); got != inst {
			t.Errorf("%d instances, want %d", got, inst)
		}
		if got := len(c.all(strings.Replace(instances(g, id), "ScheduleInstances", "Schedules", 1))); got != schedules {
			t.Errorf("%d schedules, want %d", got, schedules)
		}
	}
	state(0, 0, 1)
	c.advance(24*time.Hour - time.Second)
	state(0, 0, 1)
	c.advance(time.Second)
	state(1, 1, 1)
	if got := c.must(200, "GET", pimBase+"assignmentScheduleRequests/"+r.text("id"), nil).text("status"); got != "Provisioned" {
		t.Errorf("status after the start: %s", got)
	}
	inst := c.all(instances(g, id))[0]
	if inst["assignmentType"] != "Assigned" || inst["memberType"] != "Direct" || inst["endDateTime"] != "2026-12-03T08:00:00Z" {
		t.Errorf("instance %v", inst)
	}
	c.advance(24*time.Hour - time.Second)
	state(1, 1, 1)
	c.advance(time.Second)
	state(0, 0, 0)
	c.must(400, "GET", pimBase+"assignmentScheduleInstances", nil)
	c.must(400, "GET", pimBase+"assignmentSchedules?$filter=accessId%20eq%20'member'", nil)
}

func TestPIMErrors(t *testing.T) {
	c := newClient(t, kind())
	id, g := c.invite("ada@vendor.example"), c.group(emulator.GroupSeed{Name: "g"})
	month := origin().Add(30 * 24 * time.Hour)
	c.pimRefused("RoleAssignmentDoesNotExist", "adminUpdate", g, id, month)
	c.pimRefused("RoleAssignmentDoesNotExist", "adminRemove", g, id, time.Time{})
	c.pimRefused("SubjectNotFound", "adminAssign", g, "00000000-0000-4000-8000-000000000000", month)
	c.pimRefused("ActiveDurationTooShort", "adminAssign", g, id, origin().Add(5*time.Minute-time.Second))
	c.pimRefused("ActiveDurationTooShort", "adminAssign", g, id, origin().Add(-time.Hour))
	long := c.pimRefused("RoleAssignmentRequestPolicyValidationFailed", "adminAssign", g, id, origin().Add(180*24*time.Hour+time.Second))
	if !strings.Contains(long.message(), `["ExpirationRule"]`) {
		t.Errorf("message %q", long.message())
	}
	forever := pim("adminAssign", g, id, time.Time{})
	forever["scheduleInfo"] = map[string]any{"expiration": map[string]any{"type": "noExpiration"}}
	c.refused(400, "RoleAssignmentRequestPolicyValidationFailed", "POST", pimBase+"assignmentScheduleRequests", forever)
	silent := pim("adminAssign", g, id, month)
	delete(silent, "justification")
	c.refused(400, "RoleAssignmentRequestPolicyValidationFailed", "POST", pimBase+"assignmentScheduleRequests", silent)
	c.pimRefused("InvalidRoleAssignmentRequest", "adminAssign", g, id, time.Time{}) // no scheduleInfo
	c.must(403, "POST", pimBase+"assignmentScheduleRequests", pim("selfActivate", g, id, month))

	first := c.assign("adminAssign", g, id, month)
	c.pimRefused("RoleAssignmentExists", "adminAssign", g, id, month)
	second := c.assign("adminUpdate", g, id, month.Add(24*time.Hour))
	if first.text("targetScheduleId") == second.text("targetScheduleId") {
		t.Error("adminUpdate keeps the schedule id")
	}
	if got := len(c.all("/groups/" + g + "/members")); got != 1 {
		t.Errorf("%d members after the update", got)
	}

	// The five minutes: PIM refuses, the groups API does not.
	c.pimRefused("ActiveDurationTooShort", "adminRemove", g, id, time.Time{})
	c.must(204, "DELETE", "/groups/"+g+"/members/"+id+"/$ref", nil)
	c.pimRefused("RoleAssignmentDoesNotExist", "adminRemove", g, id, time.Time{})
	c.assign("adminAssign", g, id, month)
	c.advance(5 * time.Minute)
	if got := c.assign("adminRemove", g, id, time.Time{}).text("status"); got != "Revoked" {
		t.Errorf("status of a removal: %s", got)
	}
	if got := c.e.State().Members(g); len(got) != 0 {
		t.Errorf("members after the removal: %v", got)
	}
	withSchedule := pim("adminRemove", g, id, month)
	c.refused(400, "InvalidRoleAssignmentRequest", "POST", pimBase+"assignmentScheduleRequests", withSchedule)
}

func TestPIMUnknowns(t *testing.T) {
	for _, choice := range []emulator.Choice{emulator.Yes, emulator.No} {
		cfg := kind()
		cfg.Unknowns = emulator.Unknowns{PIMTakesOverMember: choice, CapCountsFromStart: choice, ExtendOnlyLate: choice, PIMCapitalised: choice}
		c := newClient(t, cfg)
		id := c.invite("ada@vendor.example")
		g := c.group(emulator.GroupSeed{Name: "g", Members: []string{id}, Cap: 90 * 24 * time.Hour})
		yes := choice == emulator.Yes
		r := c.call("POST", pimBase+"assignmentScheduleRequests", pim("adminAssign", g, id, origin().Add(80*24*time.Hour)))
		if (r.status == 201) != yes {
			t.Errorf("taking over a member: %d %s", r.status, r.raw)
		}
		if !yes {
			c.must(204, "DELETE", "/groups/"+g+"/members/"+id+"/$ref", nil)
			c.assign("adminAssign", g, id, origin().Add(80*24*time.Hour))
		}
		r = c.call("POST", pimBase+"assignmentScheduleRequests", pim("adminExtend", g, id, origin().Add(85*24*time.Hour)))
		if (r.status == 400) != yes {
			t.Errorf("early extension: %d %s", r.status, r.raw)
		}
		c.advance(30 * 24 * time.Hour)
		update := pim("adminUpdate", g, id, origin().Add(100*24*time.Hour))
		update["scheduleInfo"].(map[string]any)["startDateTime"] = origin().Format(time.RFC3339)
		r = c.call("POST", pimBase+"assignmentScheduleRequests", update)
		if (r.status == 400) != yes {
			t.Errorf("cap from the start: %d %s", r.status, r.raw)
		}
		if want := map[bool]string{true: "Direct", false: "direct"}[yes]; c.all(instances(g, id))[0]["memberType"] != want {
			t.Errorf("memberType is not %s", want)
		}
		c.advance(60 * 24 * time.Hour)
		c.assign("adminRenew", c.expired(id), id, c.e.Now().Add(time.Hour))
	}
}

// expired makes a group in which the user's assignment has just run out.
func (c *client) expired(user string) string {
	c.t.Helper()
	g := c.group(emulator.GroupSeed{Name: "expired"})
	c.assign("adminAssign", g, user, c.e.Now().Add(time.Hour))
	c.advance(time.Hour)
	return g
}

func TestPIMShowsPermanentMembers(t *testing.T) {
	c := newClient(t, kind())
	id := c.member("ada")
	g := c.group(emulator.GroupSeed{Name: "g", Members: []string{id}})
	got := c.all(instances(g, id))
	if len(got) != 1 || got[0]["startDateTime"] != nil || got[0]["endDateTime"] != nil {
		t.Errorf("instances of a plain member: %v", got)
	}
	c.assign("adminRemove", g, id, time.Time{})
	if got := c.e.State().Members(g); len(got) != 0 {
		t.Errorf("members %v", got)
	}
}

func TestPIMCancelsOnlyWhatHasNotBegun(t *testing.T) {
	c := newClient(t, kind())
	id, g := c.invite("ada@vendor.example"), c.group(emulator.GroupSeed{Name: "g"})
	running := c.assign("adminAssign", g, id, origin().Add(time.Hour))
	c.must(400, "POST", pimBase+"assignmentScheduleRequests/"+running.text("id")+"/cancel", nil)
	later := c.group(emulator.GroupSeed{Name: "later"})
	body := pim("adminAssign", later, id, origin().Add(48*time.Hour))
	body["scheduleInfo"].(map[string]any)["startDateTime"] = "2026-12-02T08:00:00Z"
	r := c.must(201, "POST", pimBase+"assignmentScheduleRequests", body)
	c.must(204, "POST", pimBase+"assignmentScheduleRequests/"+r.text("id")+"/cancel", nil)
	c.advance(25 * time.Hour)
	if got := c.e.State().Members(later); len(got) != 0 {
		t.Errorf("a canceled request made %v a member", got)
	}
}

func TestPIMPolicy(t *testing.T) {
	cfg := kind()
	cfg.Permissions = append(emulator.DefaultPermissions(), "RoleManagementPolicy.ReadWrite.AzureADGroup")
	c := newClient(t, cfg)
	id := c.invite("ada@vendor.example")
	g := c.group(emulator.GroupSeed{Name: "g", Cap: 30 * 24 * time.Hour, Rules: []string{"Justification", "Ticketing"}})
	path := "/policies/roleManagementPolicyAssignments?$filter=" + url.QueryEscape("scopeId eq '"+g+"' and scopeType eq 'Group' and roleDefinitionId eq 'member'") + "&$expand=policy($expand=rules)"
	list := c.all(path)
	if len(list) != 1 {
		t.Fatalf("policy assignments: %v", list)
	}
	before := list[0]["policyId"].(string)
	rules := map[string]map[string]any{}
	for _, r := range list[0]["policy"].(map[string]any)["rules"].([]any) {
		rules[r.(map[string]any)["id"].(string)] = r.(map[string]any)
	}
	if r := rules["Expiration_Admin_Assignment"]; r["maximumDuration"] != "P30D" || r["isExpirationRequired"] != true {
		t.Errorf("rule %v", r)
	}
	c.must(400, "GET", "/policies/roleManagementPolicyAssignments", nil)
	c.pimRefused("RoleAssignmentRequestPolicyValidationFailed", "adminAssign", g, id, origin().Add(time.Hour)) // no ticket
	ticketed := pim("adminAssign", g, id, origin().Add(time.Hour))
	ticketed["ticketInfo"] = map[string]any{"ticketNumber": "C-1"}
	c.must(201, "POST", pimBase+"assignmentScheduleRequests", ticketed)
	after := c.all(path)[0]["policyId"].(string)
	if before == after {
		t.Error("the policy keeps its id when the group is onboarded")
	}
	c.must(204, "PATCH", "/policies/roleManagementPolicies/"+after+"/rules/Expiration_Admin_Assignment", map[string]any{
		"@odata.type": "#microsoft.graph.unifiedRoleManagementPolicyExpirationRule", "isExpirationRequired": false, "maximumDuration": "P365D",
	})
	ticketed["action"] = "adminUpdate"
	ticketed["scheduleInfo"] = map[string]any{"expiration": map[string]any{"type": "noExpiration"}}
	c.must(201, "POST", pimBase+"assignmentScheduleRequests", ticketed)
}

func TestPIMPendingRequests(t *testing.T) {
	now := origin()
	cfg := kind()
	cfg.ProvisioningDelay = time.Minute
	cfg.Now = func() time.Time { return now }
	c := newClient(t, cfg)
	id := c.invite("ada@vendor.example")
	pending := 0
	for i := range 20 {
		g := c.group(emulator.GroupSeed{Name: "g" + string(rune('a'+i))})
		r := c.assign("adminAssign", g, id, origin().Add(time.Hour))
		if r.text("status") != "PendingProvisioning" {
			continue
		}
		pending++
		c.pimRefused("PendingRoleAssignmentRequest", "adminUpdate", g, id, origin().Add(2*time.Hour))
		if len(c.e.State().Members(g)) != 0 {
			t.Error("a pending request made a member")
		}
		now = now.Add(time.Minute)
		got := c.must(200, "GET", pimBase+"assignmentScheduleRequests/"+r.text("id"), nil)
		if got.text("status") != "Provisioned" || got.text("targetScheduleId") != r.text("targetScheduleId") {
			t.Errorf("after the delay: %s", got.raw)
		}
		c.must(200, "GET", pimBase+"assignmentSchedules/"+got.text("targetScheduleId"), nil)
	}
	if pending == 0 {
		t.Error("no request was pending")
	}
}

func TestEligibilityIsNoMembership(t *testing.T) {
	cfg := kind()
	cfg.Permissions = append(emulator.DefaultPermissions(), "PrivilegedEligibilitySchedule.ReadWrite.AzureADGroup")
	c := newClient(t, cfg)
	id, g := c.invite("ada@vendor.example"), c.group(emulator.GroupSeed{Name: "g"})
	c.must(201, "POST", pimBase+"eligibilityScheduleRequests", pim("adminAssign", g, id, origin().Add(time.Hour)))
	if got := c.e.State().Members(g); len(got) != 0 {
		t.Errorf("members %v", got)
	}
	if got := c.all(pimBase + "eligibilityScheduleInstances?$filter=principalId%20eq%20'" + id + "'"); len(got) != 1 {
		t.Errorf("eligibilities %v", got)
	}
	if got := c.all(instances(g, id)); len(got) != 0 {
		t.Errorf("assignments %v", got)
	}
}

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
