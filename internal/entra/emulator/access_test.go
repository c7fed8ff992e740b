package emulator_test

import (
	"strings"
	"testing"
	"time"

	"scimbridge/internal/entra/emulator"
)

// Point 14: permissions, one operation at a time, and protected targets.
func TestPermissions(t *testing.T) {
	cfg := kind()
	cfg.Permissions = []string{"User.Read.All"}
	c := newClient(t, cfg)
	id, g := c.member("ada"), c.group(emulator.GroupSeed{Name: "g"})
	grant := func(permissions ...string) {
		c.e.SetPermissions(permissions...)
		c.login()
	}
	invitation := map[string]any{"invitedUserEmailAddress": "x@v.example", "inviteRedirectUrl": "https://x.example"}
	c.must(200, "GET", "/users/"+id, nil)
	c.refused(403, "Authorization_RequestDenied", "PATCH", "/users/"+id, map[string]any{"jobTitle": "x"})
	c.must(403, "POST", "/invitations", invitation)
	c.must(403, "GET", "/auditLogs/signIns", nil)
	c.must(403, "GET", "/users/"+id+"?$select=signInActivity", nil)

	// A consent does not change a token that was issued before.
	c.e.SetPermissions("User.Read.All", "User.Invite.All")
	c.must(403, "POST", "/invitations", invitation)
	c.login()
	c.must(201, "POST", "/invitations", invitation)

	grant("User.ReadWrite.All", "User.Read.All")
	c.must(204, "PATCH", "/users/"+id, map[string]any{"jobTitle": "x"})
	c.must(403, "PATCH", "/users/"+id, map[string]any{"employeeLeaveDateTime": "2026-12-31T00:00:00Z"})
	c.must(403, "PATCH", "/users/"+id, map[string]any{"jobTitle": "y", "employeeLeaveDateTime": nil})
	if u, _ := c.e.State().User(id); u.Properties["jobTitle"] != "x" {
		t.Error("a refused PATCH wrote the rest")
	}
	c.must(403, "POST", "/users/"+id+"/revokeSignInSessions", nil)
	c.must(403, "POST", "/groups/"+g+"/members/$ref", ref("users", id))

	grant("User-LifeCycleInfo.ReadWrite.All", "User.Read.All")
	c.must(204, "PATCH", "/users/"+id, map[string]any{"employeeLeaveDateTime": "2026-12-31T00:00:00Z"})
	c.must(204, "PATCH", "/users/"+id, map[string]any{"employeeLeaveDateTime": nil})
	c.must(403, "PATCH", "/users/"+id, map[string]any{"jobTitle": "z"})

	grant("User.EnableDisableAccount.All", "User.Read.All")
	c.must(204, "PATCH", "/users/"+id, map[string]any{"accountEnabled": false})
	c.must(403, "PATCH", "/users/"+id, map[string]any{"jobTitle": "z"})

	grant("PrivilegedAssignmentSchedule.Remove.AzureADGroup")
	c.must(403, "POST", pimBase+"assignmentScheduleRequests", pim("adminAssign", g, id, origin().Add(time.Hour)))
	c.refused(400, "RoleAssignmentDoesNotExist", "POST", pimBase+"assignmentScheduleRequests", pim("adminRemove", g, id, time.Time{}))

	grant("EntitlementManagement.ReadWrite.All")
	c.must(403, "POST", emBase+"assignmentRequests/x/cancel", nil)

	grant("Policy.ReadWrite.ConditionalAccess")
	c.must(403, "POST", "/identity/conditionalAccess/policies", map[string]any{})
}

func TestProtectedTargets(t *testing.T) {
	c := newClient(t, kind())
	admin, member, owner, plain := c.member("admin"), c.member("member"), c.member("owner"), c.member("plain")
	_, err := c.e.AddDirectoryRole("User Administrator", admin)
	c.do(err)
	c.group(emulator.GroupSeed{Name: "role-assignable", RoleAssignable: true, Members: []string{member}, Owners: []string{owner}})
	for _, id := range []string{admin, member, owner} {
		c.must(403, "PATCH", "/users/"+id, map[string]any{"accountEnabled": false})
		c.must(403, "PATCH", "/users/"+id, map[string]any{"otherMails": []any{"x@y.example"}})
		c.must(204, "PATCH", "/users/"+id, map[string]any{"jobTitle": "x"})
		c.must(403, "DELETE", "/users/"+id, nil)
	}
	c.must(204, "PATCH", "/users/"+plain, map[string]any{"accountEnabled": false})
	c.must(204, "DELETE", "/users/"+plain, nil)
	// The role is seen among the memberships, but not read without its permission.
	for _, o := range c.all("/users/" + admin + "/memberOf") {
		if o["@odata.type"] != "#microsoft.graph.directoryRole" || o["displayName"] != nil {
			t.Errorf("membership of the admin: %v", o)
		}
	}
	c.e.SetPermissions("User.Read.All", "RoleManagement.Read.Directory")
	c.login()
	if roles := c.all("/directoryRoles"); len(roles) != 1 || len(c.all("/directoryRoles/"+roles[0]["id"].(string)+"/members")) != 1 {
		t.Errorf("roles %v", roles)
	}
	if got := c.all("/roleManagement/directory/roleAssignments?$filter=principalId%20eq%20'" + admin + "'"); len(got) != 1 {
		t.Errorf("role assignments %v", got)
	}
}

func TestTokens(t *testing.T) {
	now := origin()
	cfg := kind()
	cfg.Now = func() time.Time { return now }
	c := newClient(t, cfg)
	good := c.token
	for name, token := range map[string]string{"None": "", "Garbage": "x.y.z", "Forged": good[:len(good)-4] + "AAAA"} {
		c.token = token
		if r := c.refused(401, "InvalidAuthenticationToken", "GET", "/users", nil); r.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: no WWW-Authenticate", name)
		}
	}
	c.token = good
	c.must(200, "GET", "/users", nil)
	// A clock moved by hand does not age tokens: the client cannot know of it.
	c.advance(90 * 24 * time.Hour)
	c.must(200, "GET", "/users", nil)
	now = now.Add(time.Hour)
	c.must(401, "GET", "/users", nil)
	c.login()
	c.must(200, "GET", "/users", nil)

	c.e.RevokeTokens(true)
	r := c.refused(401, "TokenCreatedWithOutdatedPolicies", "GET", "/users", nil)
	if h := r.header.Get("WWW-Authenticate"); !strings.Contains(h, `error="insufficient_claims"`) || !strings.Contains(h, `claims="`) {
		t.Errorf("no claims challenge: %s", h)
	}
	c.login()
	c.must(200, "GET", "/users", nil)
}
