package emulator_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scimbridge/internal/entra/emulator"
)

// What others do in the tenant shows up to everybody, and in the log without the
// application's name.
func TestDrift(t *testing.T) {
	c := caTenant(t)
	id, other := c.invite("ada@vendor.example"), c.member("other")
	g := c.group(emulator.GroupSeed{Name: "g"})
	user := func() emulator.UserState { u, _ := c.e.State().User(id); return u }

	c.do(c.e.DoRedeem(id))
	if got := c.must(200, "GET", "/users/"+id+"?$select=externalUserState,identities", nil); got.text("externalUserState") != "Accepted" {
		t.Errorf("after redemption: %s", got.raw)
	}
	c.must(204, "PATCH", "/users/"+id, map[string]any{"accountEnabled": false})
	c.do(c.e.DoEnable(id))
	if !user().Enabled {
		t.Error("re-enabling did nothing")
	}
	c.do(c.e.DoDisable(id))
	c.do(c.e.DoUpdate(id, map[string]any{"companyName": "Elsewhere"}))
	if user().Enabled || user().Properties["companyName"] != "Elsewhere" {
		t.Errorf("user %+v", user())
	}
	c.do(c.e.DoAddMember(g, id))
	c.do(c.e.DoAddMember(g, other))
	c.do(c.e.DoRemoveMember(g, other))
	if diff := cmp.Diff([]string{id}, c.e.State().Members(g)); diff != "" {
		t.Error(diff)
	}
	c.do(c.e.DoRemoveMember(g, id))

	end := origin().Add(24 * time.Hour)
	c.assign("adminAssign", g, id, end)
	c.do(c.e.DoExtendSchedule(g, id, end.Add(24*time.Hour)))
	c.advance(25 * time.Hour)
	if diff := cmp.Diff([]string{id}, c.e.State().Members(g)); diff != "" {
		t.Errorf("an extended assignment ended: %s", diff)
	}
	c.do(c.e.DoSetGroup(g, map[string]any{"isAssignableToRole": true}))
	c.must(403, "POST", "/groups/"+g+"/members/$ref", ref("users", other))
	c.must(403, "DELETE", "/users/"+id, nil) // member of a role-assignable group now
	c.do(c.e.DoSetGroup(g, map[string]any{"isAssignableToRole": nil}))
	c.do(c.e.DoDelete(id))
	c.do(c.e.DoRestore(id))
	if user().Deleted != nil {
		t.Error("the restore did nothing")
	}
	c.do(c.e.DoDeleteGroup(g))
	c.must(404, "GET", "/groups/"+g, nil)
	c.do(c.e.DoPurge(id))
	c.must(404, "GET", "/directory/deletedItems/"+id, nil)

	for _, err := range []error{
		c.e.DoRedeem(id), c.e.DoUpdate(other, map[string]any{"nonsense": 1}), c.e.DoAddMember(g, other), c.e.DoRemoveMember(g, other),
		c.e.DoExtendSchedule(g, other, end), c.e.DoDelete(id), c.e.DoRestore(other), c.e.DoPurge(id), c.e.DoDeleteGroup(g),
		c.e.DoSetGroup(g, nil), c.e.DoFailDeliveries("x"), c.e.DoDecide("x", true), c.e.DoEndAssignment("x"),
	} {
		if err == nil {
			t.Error("a change of something that is not there is accepted")
		}
	}
	for _, entry := range c.all("/auditLogs/directoryAudits?$filter=activityDisplayName%20eq%20'Redeem%20external%20user%20invite'") {
		if app := entry["initiatedBy"].(map[string]any)["app"].(map[string]any); app["appId"] != nil {
			t.Errorf("the application is blamed for what others did: %v", app)
		}
	}
}

func TestSomebodyElseEndsAPackage(t *testing.T) {
	p := newPackages(t, kind(), emulator.PackageSeed{})
	id := p.invite("ada@vendor.example")
	p.request(p.add(id, origin().Add(time.Hour)))
	p.do(p.e.DoEndAssignment(p.assignment(id)["id"].(string)))
	if got := p.assignment(id)["state"]; got != "expired" || len(p.e.State().Members(p.group)) != 0 {
		t.Errorf("state %v, members %v", got, p.e.State().Members(p.group))
	}
}

func TestSeedsAreChecked(t *testing.T) {
	c := newClient(t, kind())
	id := c.member("ada")
	_, dup := c.e.AddUser(emulator.UserSeed{UPN: "ada@contoso.example"})
	_, taken := c.e.AddUser(emulator.UserSeed{ID: id, UPN: "x@contoso.example"})
	_, noName := c.e.AddUser(emulator.UserSeed{})
	_, noMail := c.e.AddUser(emulator.UserSeed{Guest: true})
	_, unknown := c.e.AddUser(emulator.UserSeed{UPN: "y@contoso.example", Properties: map[string]any{"nonsense": 1}})
	_, group := c.e.AddGroup(emulator.GroupSeed{Name: "g", Members: []string{"nobody"}})
	_, noGroupName := c.e.AddGroup(emulator.GroupSeed{})
	_, role := c.e.AddDirectoryRole("Reader", "nobody")
	_, _, pkg := c.e.AddAccessPackage(emulator.PackageSeed{Name: "p", Groups: []string{"nothing"}})
	for i, err := range []error{dup, taken, noName, noMail, unknown, group, noGroupName, role, pkg, c.e.SetInvitePolicy("friends")} {
		if err == nil {
			t.Errorf("seed %d is accepted", i)
		}
	}
}

func TestAContactKeepsItsAddress(t *testing.T) {
	c := newClient(t, kind())
	c.e.AddContact("ada@vendor.example")
	id := c.invite("ada@vendor.example")
	u, _ := c.e.State().User(id)
	if got := u.Properties["proxyAddresses"]; !cmp.Equal(got, []any{}) {
		t.Errorf("proxy addresses %v", got)
	}
}

func TestLicences(t *testing.T) {
	paths := map[string]map[emulator.Licence]int{
		pimBase + "assignmentSchedules?$filter=principalId%20eq%20'x'": {emulator.LicenceP2: 200, emulator.LicenceP1: 403, emulator.LicenceFree: 403},
		emBase + "accessPackages":                                      {emulator.LicenceP2: 200, emulator.LicenceP1: 403, emulator.LicenceFree: 403},
		caBase + "policies":                                            {emulator.LicenceP2: 200, emulator.LicenceP1: 200, emulator.LicenceFree: 403},
		"/auditLogs/signIns":                                           {emulator.LicenceP2: 200, emulator.LicenceP1: 200, emulator.LicenceFree: 403},
		"/users?$select=id,signInActivity":                             {emulator.LicenceP2: 200, emulator.LicenceP1: 200, emulator.LicenceFree: 403},
		"/auditLogs/directoryAudits":                                   {emulator.LicenceFree: 200},
		"/users":                                                       {emulator.LicenceFree: 200},
	}
	for path, want := range paths {
		for licence, status := range want {
			cfg := kind()
			cfg.Licence = licence
			if r := newClient(t, cfg).call("GET", path, nil); r.status != status {
				t.Errorf("%s with %s: %d, want %d", path, licence, r.status, status)
			}
		}
	}
	cfg := kind()
	cfg.Licence = "P3"
	if _, err := emulator.New(cfg); err == nil {
		t.Error("licence P3 is accepted")
	}
}

func TestMeteredFeatures(t *testing.T) {
	p := newPackages(t, kind(), emulator.PackageSeed{})
	first, second := p.invite("ada@vendor.example"), p.invite("bo@vendor.example")
	p.request(p.add(first, origin().Add(time.Hour)))
	if got := p.e.State().Metered; len(got) != 0 {
		t.Errorf("a plain package is metered: %v", got)
	}
	p.assign("adminAssign", p.group, second, origin().Add(time.Hour)) // PIM manages the group from now on
	p.request(p.add(second, origin().Add(time.Hour)))
	if got := p.e.State().Metered; len(got) != 1 {
		t.Errorf("metered: %v", got)
	}
}

func TestPIMRequestsAreForgotten(t *testing.T) {
	c := newClient(t, kind())
	id, g := c.invite("ada@vendor.example"), c.group(emulator.GroupSeed{Name: "g"})
	r := c.assign("adminAssign", g, id, origin().Add(60*24*time.Hour))
	path := pimBase + "assignmentScheduleRequests/" + r.text("id")
	c.advance(44 * 24 * time.Hour)
	c.must(200, "GET", path, nil)
	c.advance(24 * time.Hour)
	c.must(404, "GET", path, nil)
	if got := len(c.all(instances(g, id))); got != 1 {
		t.Errorf("%d assignments after the request was forgotten", got)
	}
}
