package emulator_test

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scimbridge/internal/entra/emulator"
)

// clocked is a tenant with replication delay and a clock that the test moves.
func clocked(t *testing.T, lag time.Duration) (*client, *time.Time) {
	now := origin()
	cfg := kind()
	cfg.Lag = lag
	cfg.Now = func() time.Time { return now }
	return newClient(t, cfg), &now
}

// Point 4: after an invitation the guest is not readable and writable everywhere.
func TestReplicationAfterInvite(t *testing.T) {
	c, now := clocked(t, time.Minute)
	patches, gets := map[int]int{}, map[int]int{}
	var ids []string
	for i := range 40 {
		ids = append(ids, c.invite("guest"+string(rune('a'+i%26))+string(rune('a'+i/26))+"@vendor.example"))
	}
	for _, id := range ids {
		patches[c.call("PATCH", "/users/"+id, map[string]any{"jobTitle": "x"}).status]++
		gets[c.call("GET", "/users/"+id, nil).status]++
	}
	listed := len(c.all("/users?$select=id"))
	for _, status := range []int{204, 404, 500, 503} {
		if patches[status] == 0 {
			t.Errorf("no PATCH was answered %d: %v", status, patches)
		}
	}
	if gets[200] == 0 || gets[404] == 0 {
		t.Errorf("reads do not flap: %v", gets)
	}
	if listed > 5 {
		t.Errorf("%d of 40 are in the list at once", listed)
	}
	*now = now.Add(2*time.Minute + time.Second)
	for _, id := range ids {
		c.must(200, "GET", "/users/"+id, nil)
		c.must(204, "PATCH", "/users/"+id, map[string]any{"jobTitle": "y"})
	}
	if got := len(c.all("/users?$select=id")); got != 40 {
		t.Errorf("%d of 40 are in the list after the delay", got)
	}
}

func TestReadsTrailWrites(t *testing.T) {
	c, now := clocked(t, time.Minute)
	id, g := c.member("ada"), c.group(emulator.GroupSeed{Name: "g"})
	c.must(204, "PATCH", "/users/"+id, map[string]any{"department": "New"})
	c.must(204, "POST", "/groups/"+g+"/members/$ref", ref("users", id))
	departments, members, filtered := map[any]int{}, map[int]int{}, map[int]int{}
	for range 50 {
		departments[c.must(200, "GET", "/users/"+id+"?$select=department", nil).body["department"]]++
		members[len(c.all("/groups/"+g+"/members"))]++
		filtered[len(c.all("/users?$filter=department%20eq%20'New'"))]++
	}
	if departments[nil] == 0 || departments["New"] == 0 {
		t.Errorf("reads by id: %v", departments)
	}
	if members[0] == 0 || members[1] == 0 {
		t.Errorf("member lists: %v", members)
	}
	if filtered[1] != 0 {
		t.Errorf("filters are not behind: %v", filtered)
	}
	if got := c.e.State().Members(g); len(got) != 1 {
		t.Errorf("the truth lags: %v", got)
	}
	// Writes judge by the truth, whatever readers see.
	c.must(400, "POST", "/groups/"+g+"/members/$ref", ref("users", id))
	*now = now.Add(time.Minute + time.Second)
	for range 20 {
		if len(c.all("/groups/"+g+"/members")) != 1 || len(c.all("/users?$filter=department%20eq%20'New'")) != 1 {
			t.Fatal("reads trail after the delay")
		}
	}
}

// Point 5: what an invitation answers and refuses.
func TestInvitations(t *testing.T) {
	cfg := kind()
	cfg.BlockedDomains = []string{"blocked.example"}
	c := newClient(t, cfg)
	body := func(address string, more ...map[string]any) map[string]any {
		b := map[string]any{"invitedUserEmailAddress": address, "inviteRedirectUrl": "https://myapps.microsoft.com"}
		for _, m := range more {
			maps.Copy(b, m)
		}
		return b
	}
	sponsor := c.member("sponsor")
	for _, address := range []string{"ada_b@v.example", "a.b-c@v.example", "ÄDA@v.example"} {
		c.must(201, "POST", "/invitations", body(address))
	}
	for _, address := range []string{
		"ada+x@v.example", "a!b@v.example", "a'b@v.example", "a b@v.example", ".ada@v.example", "ada-@v.example", "ada@v", "@v.example", "ada", "", "a@b@v.example",
		"eve@contoso.example", "eve@contoso.onmicrosoft.example", "eve@blocked.example",
	} {
		c.must(400, "POST", "/invitations", body(address))
	}
	refusals := []struct {
		name   string
		body   map[string]any
		status int
	}{
		{"NoRedirect", map[string]any{"invitedUserEmailAddress": "x@v.example"}, 400},
		{"Member", body("x@v.example", map[string]any{"invitedUserType": "Member"}), 403},
		{"UnknownSponsor", body("x@v.example", map[string]any{"invitedUserSponsors": []any{map[string]any{"id": "00000000-0000-4000-8000-000000000000"}}}), 404},
		{"SixSponsors", body("x@v.example", map[string]any{"invitedUserSponsors": slices.Repeat([]any{map[string]any{"id": sponsor}}, 6)}), 400},
		{"TwoCc", body("x@v.example", map[string]any{"invitedUserMessageInfo": map[string]any{"ccRecipients": slices.Repeat([]any{map[string]any{"emailAddress": map[string]any{"address": "a@b.example"}}}, 2)}}), 400},
		{"UnknownProperty", body("x@v.example", map[string]any{"sendMail": true}), 400},
	}
	for _, r := range refusals {
		c.must(r.status, "POST", "/invitations", r.body)
	}

	r := c.must(201, "POST", "/invitations", body("ada@v.example", map[string]any{
		"sendInvitationMessage": true, "invitedUserSponsors": []any{map[string]any{"id": sponsor}},
		"invitedUserMessageInfo": map[string]any{"customizedMessageBody": "Welcome", "ccRecipients": []any{map[string]any{"emailAddress": map[string]any{"address": "boss@contoso.example"}}}},
	}))
	id := r.body["invitedUser"].(map[string]any)["id"].(string)
	mails := c.e.State().Mails
	if len(mails) != 1 || mails[0].Body != "" || !slices.Equal(mails[0].Cc, []string{"boss@contoso.example"}) {
		t.Errorf("mails %+v", mails)
	}
	u, _ := c.e.State().User(id)
	if !slices.Equal(u.Sponsors, []string{sponsor}) || u.UPN != "ada_v.example#EXT#@contoso.onmicrosoft.example" || u.State != "PendingAcceptance" {
		t.Errorf("guest %+v", u)
	}

	c.must(204, "PATCH", "/users/"+id, map[string]any{"accountEnabled": false})
	blocked := c.must(400, "POST", "/invitations", body("ADA@v.example"))
	if !strings.Contains(blocked.message(), "already exists in the directory as object ID: "+id+", but the account is blocked") {
		t.Errorf("message %q", blocked.message())
	}

	c.do(c.e.SetInvitePolicy("adminsAndGuestInviters"))
	c.refused(403, "Authorization_RequestDenied", "POST", "/invitations", body("new@v.example"))
	if got := c.must(200, "GET", "/policies/authorizationPolicy", nil).text("allowInvitesFrom"); got != "adminsAndGuestInviters" {
		t.Errorf("allowInvitesFrom %s", got)
	}
}

func TestSecondInvitationIsPlayedBothWays(t *testing.T) {
	for choice, status := range map[emulator.Choice]int{emulator.Yes: 400, emulator.No: 201} {
		cfg := kind()
		cfg.Unknowns.ReinviteRefused = choice
		c := newClient(t, cfg)
		id := c.invite("ada@vendor.example")
		r := c.must(status, "POST", "/invitations", map[string]any{"invitedUserEmailAddress": "ada@vendor.example", "inviteRedirectUrl": "https://x.example"})
		if !strings.Contains(r.raw, id) {
			t.Errorf("the answer does not name the guest: %s", r.raw)
		}
		if got := len(c.e.State().UserByMail("ada@vendor.example")); got != 1 {
			t.Errorf("%d guests", got)
		}
	}
}

func TestResetRedemption(t *testing.T) {
	c := newClient(t, kind())
	id := c.invite("ada@old.example")
	c.do(c.e.DoRedeem(id))
	reset := map[string]any{
		"invitedUserEmailAddress": "ada@new.example", "inviteRedirectUrl": "https://x.example", "resetRedemption": true, "invitedUser": map[string]any{"id": id},
	}
	c.must(400, "POST", "/invitations", reset) // not among the guest's addresses
	c.must(204, "PATCH", "/users/"+id, map[string]any{"otherMails": []any{"ada@new.example"}})
	c.must(201, "POST", "/invitations", reset)
	u, _ := c.e.State().User(id)
	if u.State != "PendingAcceptance" || u.UPN != "ada_old.example#EXT#@contoso.onmicrosoft.example" || len(c.e.State().Users) != 1 {
		t.Errorf("after the reset: %+v", u)
	}
	_, err := c.e.AddDirectoryRole("Reports Reader", id)
	c.do(err)
	c.must(403, "POST", "/invitations", reset)
}

// Point 6: group membership and its trap.
func TestMembers(t *testing.T) {
	c := newClient(t, kind())
	a, b := c.member("a"), c.invite("b@vendor.example")
	g := c.group(emulator.GroupSeed{Name: "g"})
	path := "/groups/" + g + "/members"
	const nobody = "00000000-0000-4000-8000-000000000000"

	c.must(204, "POST", path+"/$ref", ref("directoryObjects", a))
	dup := c.refused(400, "Request_BadRequest", "POST", path+"/$ref", ref("users", a))
	if !strings.HasPrefix(dup.message(), "One or more added object references already exist") {
		t.Errorf("message %q", dup.message())
	}
	c.refused(404, "Request_ResourceNotFound", "POST", path+"/$ref", ref("users", nobody))
	c.refused(404, "Request_ResourceNotFound", "DELETE", path+"/"+b+"/$ref", nil)
	c.refused(404, "Request_ResourceNotFound", "POST", "/groups/"+nobody+"/members/$ref", ref("users", a))
	c.must(400, "POST", path+"/$ref", map[string]any{"id": b})
	c.must(400, "GET", path+"/"+a+"/$ref", nil)

	if got := c.must(200, "POST", "/users/"+a+"/checkMemberGroups", map[string]any{"groupIds": []any{g, nobody}}).body["value"]; !cmp.Equal(got, []any{g}) {
		t.Errorf("checkMemberGroups: %v", got)
	}
	outer := c.group(emulator.GroupSeed{Name: "outer", Members: []string{g}})
	if got := len(c.all("/users/" + a + "/memberOf")); got != 1 {
		t.Errorf("memberOf: %d", got)
	}
	if got := len(c.all("/users/" + a + "/transitiveMemberOf/graph.group")); got != 2 {
		t.Errorf("transitiveMemberOf: %d", got)
	}
	if got := c.all("/groups/" + outer + "/transitiveMembers/graph.user?$select=id"); len(got) != 1 || got[0]["id"] != a {
		t.Errorf("transitiveMembers: %v", got)
	}

	c.must(204, "DELETE", path+"/"+a+"/$ref", nil)
	// Without /$ref the object goes, not the membership.
	c.must(204, "POST", path+"/$ref", ref("users", b))
	c.must(204, "DELETE", path+"/"+b, nil)
	if u, _ := c.e.State().User(b); u.Deleted == nil {
		t.Error("DELETE without /$ref left the user")
	}
}

func TestBindIsAllOrNothing(t *testing.T) {
	cfg := kind()
	cfg.Unknowns.BindNeedsGroupReadWrite = emulator.No
	c := newClient(t, cfg)
	var urls []any
	for n := range strings.SplitSeq("a b c d e f g h i j k l m n o p q r s t u", " ") {
		urls = append(urls, "https://graph.microsoft.com/v1.0/directoryObjects/"+c.member(n))
	}
	g := c.group(emulator.GroupSeed{Name: "g"})
	bind := func(list []any) map[string]any { return map[string]any{"members@odata.bind": list} }
	c.must(400, "PATCH", "/groups/"+g, bind(urls)) // 21
	c.must(204, "PATCH", "/groups/"+g, bind(urls[:3]))
	c.must(400, "PATCH", "/groups/"+g, bind(urls[2:5])) // one is a member
	if got := len(c.e.State().Members(g)); got != 3 {
		t.Errorf("%d members after a refused bind, want 3", got)
	}
	c.must(204, "PATCH", "/groups/"+g, bind(urls[3:20]))
	c.must(403, "PATCH", "/groups/"+g, map[string]any{"displayName": "new"})

	cfg.Unknowns.BindNeedsGroupReadWrite = emulator.Yes
	c = newClient(t, cfg)
	g, id := c.group(emulator.GroupSeed{Name: "g"}), c.member("a")
	c.must(403, "PATCH", "/groups/"+g, bind([]any{"https://graph.microsoft.com/v1.0/users/" + id}))
}

func TestGroupsThatCannotBeWritten(t *testing.T) {
	c := newClient(t, kind())
	id := c.invite("ada@vendor.example")
	for status, seeds := range map[int][]emulator.GroupSeed{
		400: {{Name: "dynamic", Dynamic: true}, {Name: "synced", Synced: true}, {Name: "list", MailEnabled: true}},
		403: {{Name: "role", RoleAssignable: true}, {Name: "restricted", Restricted: true}},
		204: {{Name: "plain"}, {Name: "team", Unified: true}},
	} {
		for _, s := range seeds {
			g := c.group(s)
			c.must(status, "POST", "/groups/"+g+"/members/$ref", ref("users", id))
			if status != 204 && s.Name != "list" {
				if r := c.call("POST", pimBase+"assignmentScheduleRequests", pim("adminAssign", g, id, origin().Add(time.Hour))); r.status < 400 {
					t.Errorf("PIM accepts %s: %s", s.Name, r.raw)
				}
			}
		}
	}
	g := c.group(emulator.GroupSeed{Name: "seen", Dynamic: true})
	r := c.must(200, "GET", "/groups/"+g+"?$select=id,groupTypes,membershipRule,isAssignableToRole", nil)
	if got := r.body["groupTypes"]; !cmp.Equal(got, []any{"DynamicMembership"}) {
		t.Errorf("groupTypes %v", got)
	}
}

// Point 7: deletion is soft, and a restore brings the memberships back.
func TestDeleteRestorePurge(t *testing.T) {
	for _, mangled := range []emulator.Choice{emulator.Yes, emulator.No} {
		cfg := kind()
		cfg.Unknowns.DeletedUPNMangled, cfg.Unknowns.DeletedFilters = mangled, mangled
		c := newClient(t, cfg)
		id := c.invite("ada@vendor.example")
		g := c.group(emulator.GroupSeed{Name: "g", Members: []string{id}})
		c.must(204, "DELETE", "/users/"+id, nil)
		c.must(404, "DELETE", "/users/"+id, nil)
		c.must(404, "PATCH", "/users/"+id, map[string]any{"jobTitle": "x"})
		if got := len(c.all("/groups/" + g + "/members")); got != 0 {
			t.Errorf("a deleted user is listed as member")
		}
		filter := c.call("GET", "/directory/deletedItems/microsoft.graph.user?$filter="+url.QueryEscape("mail eq 'ada@vendor.example'"), nil)
		if want := map[emulator.Choice]int{emulator.Yes: 200, emulator.No: 400}[mangled]; filter.status != want {
			t.Errorf("filter on deleted items: %d, want %d", filter.status, want)
		}
		upn := c.must(200, "GET", "/directory/deletedItems/"+id, nil).text("userPrincipalName")
		if got := strings.HasPrefix(upn, strings.ReplaceAll(id, "-", "")); got != (mangled == emulator.Yes) {
			t.Errorf("UPN of the deleted user: %s", upn)
		}
		c.must(200, "POST", "/directory/deletedItems/"+id+"/restore", nil)
		if got := c.all("/groups/" + g + "/members"); len(got) != 1 {
			t.Errorf("members after the restore: %v", got)
		}
		c.must(404, "POST", "/directory/deletedItems/"+id+"/restore", nil)
		c.must(204, "DELETE", "/users/"+id, nil)
		c.must(204, "DELETE", "/directory/deletedItems/"+id, nil)
		c.must(404, "GET", "/directory/deletedItems/"+id, nil)
		if got := len(c.e.State().Users); got != 0 {
			t.Errorf("%d users after the purge", got)
		}
		again := c.invite("ada@vendor.example")
		if again == id {
			t.Error("the new guest has the purged one's id")
		}
	}
}

func TestRestoreIsRefusedWhenTheNameIsTaken(t *testing.T) {
	c := newClient(t, kind())
	id := c.invite("ada@vendor.example")
	c.must(204, "DELETE", "/users/"+id, nil)
	c.invite("ada@vendor.example")
	c.refused(409, "Request_Conflict", "POST", "/directory/deletedItems/"+id+"/restore", nil)
}

// Point 8: revoking, and tokens that live on.
func TestRevokeAndTokens(t *testing.T) {
	for choice, status := range map[emulator.Choice]int{emulator.Either: 200, emulator.Yes: 204} {
		now := origin()
		cfg := kind()
		cfg.Unknowns.RevokeAnswers204 = choice
		cfg.Now = func() time.Time { return now }
		c := newClient(t, cfg)
		id := c.invite("ada@vendor.example")
		in, err := c.e.SignIn(emulator.SignIn{UserID: id})
		if err != nil || !in.Allowed {
			t.Fatalf("sign-in: %+v %v", in, err)
		}
		c.must(204, "PATCH", "/users/"+id, map[string]any{"accountEnabled": false})
		c.must(status, "POST", "/users/"+id+"/revokeSignInSessions", nil)
		if _, alive := c.e.TokenAlive(id, ""); !alive {
			t.Error("revoking ended the guest's token")
		}
		if out, err := c.e.SignIn(emulator.SignIn{UserID: id}); err != nil || out.Allowed || out.ErrorCode != 50057 {
			t.Errorf("a disabled guest signs in: %+v %v", out, err)
		}
		if u, _ := c.e.State().User(id); u.Revoked == nil {
			t.Error("the state does not know of the revocation")
		}
		now = now.Add(time.Hour)
		if _, alive := c.e.TokenAlive(id, ""); alive {
			t.Error("the token lives for more than an hour")
		}
	}
}

func TestSponsorsAndManager(t *testing.T) {
	cfg := kind()
	cfg.Unknowns.SponsorOfAppIsNobody, cfg.Unknowns.DuplicateSponsorRefused = emulator.Yes, emulator.Yes
	c := newClient(t, cfg)
	id, g := c.invite("ada@vendor.example"), c.group(emulator.GroupSeed{Name: "sponsors"})
	path := "/users/" + id + "/sponsors"
	c.must(204, "POST", path+"/$ref", ref("groups", g))
	for _, n := range []string{"a", "b", "c", "d"} {
		c.must(204, "POST", path+"/$ref", ref("users", c.member(n)))
	}
	c.must(400, "POST", path+"/$ref", ref("users", c.member("e")))
	c.must(400, "POST", path+"/$ref", ref("groups", g))
	if got := len(c.all(path)); got != 5 {
		t.Errorf("%d sponsors", got)
	}
	c.must(204, "DELETE", path+"/"+g+"/$ref", nil)
	c.must(404, "DELETE", path+"/"+g+"/$ref", nil)

	c.must(404, "GET", "/users/"+id+"/manager", nil)
	c.must(404, "DELETE", "/users/"+id+"/manager/$ref", nil)
	boss := c.member("boss")
	c.must(204, "PUT", "/users/"+id+"/manager/$ref", ref("users", boss))
	c.must(204, "PUT", "/users/"+id+"/manager/$ref", ref("users", boss))
	if got := c.must(200, "GET", "/users/"+id+"/manager", nil).text("id"); got != boss {
		t.Errorf("manager %s", got)
	}
	c.must(204, "DELETE", "/users/"+id+"/manager/$ref", nil)

	cfg.Unknowns.SponsorOfAppIsNobody = emulator.No
	c = newClient(t, cfg)
	if got := c.all("/users/" + c.invite("ada@vendor.example") + "/sponsors"); len(got) != 1 || got[0]["@odata.type"] != "#microsoft.graph.servicePrincipal" {
		t.Errorf("sponsors stamped for an application: %v", got)
	}
}

func TestPatchMerges(t *testing.T) {
	c := newClient(t, kind())
	id := c.member("ada")
	c.must(204, "PATCH", "/users/"+id, map[string]any{"employeeOrgData": map[string]any{"costCenter": "1"}, "onPremisesExtensionAttributes": map[string]any{"extensionAttribute1": "a"}})
	c.must(204, "PATCH", "/users/"+id, map[string]any{"employeeOrgData": map[string]any{"division": "R"}, "onPremisesExtensionAttributes": map[string]any{"extensionAttribute2": "b"}})
	p := c.must(200, "GET", "/users/"+id+"?$select=employeeOrgData,onPremisesExtensionAttributes", nil).body
	if diff := cmp.Diff(map[string]any{"costCenter": "1", "division": "R"}, p["employeeOrgData"]); diff != "" {
		t.Error(diff)
	}
	if a := p["onPremisesExtensionAttributes"].(map[string]any); a["extensionAttribute1"] != "a" || a["extensionAttribute2"] != "b" || len(a) != 15 {
		t.Errorf("extension attributes %v", a)
	}
}

func TestCreateMember(t *testing.T) {
	c := newClient(t, kind())
	body := map[string]any{
		"accountEnabled": true, "displayName": "Bo", "mailNickname": "bo", "userPrincipalName": "bo@contoso.example",
		"passwordProfile": map[string]any{"password": "x"},
	}
	c.must(201, "POST", "/users", body)
	c.must(400, "POST", "/users", body) // the name is taken
	body["userPrincipalName"] = "bo@elsewhere.example"
	c.must(400, "POST", "/users", body)
}
