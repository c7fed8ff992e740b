package emulator_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scimbridge/internal/entra/emulator"
)

// TestLifeOfAGuest walks one guest from invitation to deletion through the calls that
// a bridge makes, against a kind tenant.
func TestLifeOfAGuest(t *testing.T) {
	c := newClient(t, kind())
	sponsor := c.member("sponsor")
	group := c.group(emulator.GroupSeed{Name: "ext-base"})
	packed := c.group(emulator.GroupSeed{Name: "ext-package"})
	pkg, policy, err := c.e.AddAccessPackage(emulator.PackageSeed{Name: "dev-basic", Groups: []string{packed}})
	c.do(err)

	r := c.must(201, "POST", "/invitations", map[string]any{
		"invitedUserEmailAddress": "ada.byron@vendor.example", "invitedUserDisplayName": "Ada Byron (Vendor)",
		"inviteRedirectUrl": "https://myapps.microsoft.com", "sendInvitationMessage": false,
		"invitedUserSponsors": []any{map[string]any{"id": sponsor}},
	})
	id := r.body["invitedUser"].(map[string]any)["id"].(string)
	if diff := cmp.Diff(map[string]any{"id": id}, r.body["invitedUser"]); diff != "" {
		t.Errorf("invitedUser holds more than its id: %s", diff)
	}

	c.must(204, "PATCH", "/users/"+id, map[string]any{
		"companyName": "Vendor GmbH", "department": "Platform", "employeeId": "VND-004711",
		"onPremisesExtensionAttributes": map[string]any{"extensionAttribute1": "scimbridge:8c1f"},
	})
	c.must(204, "PATCH", "/users/"+id, map[string]any{"employeeLeaveDateTime": "2026-12-31T23:59:59Z"})
	c.must(204, "PUT", "/users/"+id+"/manager/$ref", ref("users", sponsor))
	found := c.all("/users?$filter=" + url.QueryEscape("userPrincipalName eq 'ada.byron_vendor.example#EXT#@contoso.onmicrosoft.example'") + "&$select=id,companyName,userType")
	if diff := cmp.Diff([]map[string]any{{"id": id, "companyName": "Vendor GmbH", "userType": "Guest"}}, found); diff != "" {
		t.Errorf("found by UPN: %s", diff)
	}

	end := origin().Add(30 * 24 * time.Hour)
	req := c.must(201, "POST", pimBase+"assignmentScheduleRequests", pim("adminAssign", group, id, end))
	if got := req.text("status"); got != "Provisioned" {
		t.Errorf("PIM request is %s", got)
	}
	em := c.must(201, "POST", emBase+"assignmentRequests", map[string]any{
		"requestType": "adminAdd",
		"schedule":    map[string]any{"expiration": map[string]any{"type": "afterDateTime", "endDateTime": end.Format(time.RFC3339)}},
		"assignment":  map[string]any{"targetId": id, "accessPackageId": pkg, "assignmentPolicyId": policy},
	})
	if got := c.must(200, "GET", emBase+"assignmentRequests/"+em.text("id"), nil).text("state"); got != "delivered" {
		t.Errorf("package request is %s", got)
	}
	if got, want := c.e.State().Members(group), []string{id}; !cmp.Equal(got, want) {
		t.Errorf("members of the group: %v, want %v", got, want)
	}
	if got, want := c.e.State().Members(packed), []string{id}; !cmp.Equal(got, want) {
		t.Errorf("members of the package's group: %v, want %v", got, want)
	}

	c.advance(30*24*time.Hour + time.Second)
	if g, p := c.e.State().Members(group), c.e.State().Members(packed); len(g)+len(p) != 0 {
		t.Errorf("members after the end: %v %v", g, p)
	}
	c.must(204, "PATCH", "/users/"+id, map[string]any{"accountEnabled": false})
	if got := c.must(200, "POST", "/users/"+id+"/revokeSignInSessions", nil).body["value"]; got != true {
		t.Errorf("revoke says %v", got)
	}
	c.must(204, "DELETE", "/users/"+id, nil)
	c.refused(404, "Request_ResourceNotFound", "GET", "/users/"+id, nil)
	if got := c.all("/directory/deletedItems/microsoft.graph.user"); len(got) != 1 {
		t.Errorf("deleted items: %v", got)
	}
	c.advance(31 * 24 * time.Hour)
	if got := c.all("/directory/deletedItems/graph.user"); len(got) != 0 {
		t.Errorf("deleted items after the retention: %v", got)
	}
	if _, there := c.e.State().User(id); there {
		t.Error("the user is still there after the retention")
	}
}
