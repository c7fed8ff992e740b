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
