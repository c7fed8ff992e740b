package entra_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scimbridge/internal/contractor"
	"scimbridge/internal/entra/emulator"
)

func TestActivity(t *testing.T) {
	from, to := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC), time.Date(2026, 11, 22, 11, 0, 0, 500, time.UTC)
	t.Run("sign-ins, page by page", func(t *testing.T) {
		c, g := script(t)
		next := root + "/auditLogs/signIns?$skiptoken=2"
		g.on("GET /auditLogs/signIns", reply{status: 200, body: `{"value":[{"id":"s1","createdDateTime":"2026-11-22T10:30:00Z","userId":"` + strings.ToUpper(guestID) + `","appId":"a1","appDisplayName":"Portal",
			"clientAppUsed":"Browser","ipAddress":"203.0.113.7","homeTenantId":"H","riskLevelDuringSignIn":"none","status":{"errorCode":50074,"failureReason":"MFA"},
			"location":{"countryOrRegion":"DE","city":null},"deviceDetail":{"deviceId":"d1","operatingSystem":"Ios 17.1","isCompliant":true,"trustType":"Azure AD joined"},
			"appliedConditionalAccessPolicies":[{"id":"P1","result":"reportOnlyFailure"},{"id":"P2","result":"notApplied"}]}],"@odata.nextLink":"` + next + `"}`},
			reply{status: 200, body: `{"value":[{"id":"s2","createdDateTime":"2026-11-22T10:20:00Z","userId":"x","status":{"errorCode":0,"failureReason":"Other."},"location":null,"deviceDetail":{"deviceId":""},"appliedConditionalAccessPolicies":null}]}`})
		got, more, err := c.Activity(t.Context(), contractor.LogSignIns, from, to, "", "")
		if err != nil || more != next {
			t.Fatalf("%q, %v", more, err)
		}
		want := []contractor.Activity{{
			Log: contractor.LogSignIns, ID: "s1", At: time.Date(2026, 11, 22, 10, 30, 0, 0, time.UTC), Guest: guestID, What: "Portal", Code: 50074, Reason: "MFA",
			AppID: "a1", ClientApp: "Browser", IP: "203.0.113.7", Country: "DE", HomeTenant: "h", Risk: "none", Platform: "iOS",
			Device:   map[string]string{"deviceId": "d1", "displayName": "", "operatingSystem": "Ios 17.1", "trustType": "Azure AD joined", "isCompliant": "True"},
			Policies: map[string]string{"p1": "reportOnlyFailure"},
		}}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		if f := g.last("GET /auditLogs/signIns").Query.Get("$filter"); f != "createdDateTime ge 2026-11-22T10:00:00Z and createdDateTime le 2026-11-22T11:00:01Z" {
			t.Errorf("filter %q", f)
		}
		got, more, err = c.Activity(t.Context(), contractor.LogSignIns, from, to, "", more)
		if err != nil || more != "" || len(got) != 1 || !got[0].OK || got[0].Reason != "" || got[0].Device != nil {
			t.Errorf("%+v, %q, %v", got, more, err)
		}
	})
	t.Run("the directory's audit log, of one guest", func(t *testing.T) {
		c, g := script(t)
		g.on("GET /auditLogs/directoryAudits", reply{status: 200, body: `{"value":[
			{"id":"a1","activityDateTime":"2026-11-22T10:30:00Z","activityDisplayName":"Update user","loggedByService":"Core Directory","result":"success","resultReason":"",
			 "initiatedBy":{"user":{"id":"U1","userPrincipalName":"admin@corp.example","ipAddress":"198.51.100.1"},"app":null},
			 "targetResources":[{"id":"` + guestID + `","type":"User","modifiedProperties":[{"displayName":"AccountEnabled"},{"displayName":"AccountEnabled"}]},{"id":"G","type":"Group"}]},
			{"id":"a2","activityDateTime":"2026-11-22T10:31:00Z","result":"failure","resultReason":"why","initiatedBy":{"app":{"appId":null,"displayName":"Microsoft Entra"}},"targetResources":[]}]}`})
		got, _, err := c.Activity(t.Context(), contractor.LogAudits, from, to, guestID, "")
		if err != nil {
			t.Fatal(err)
		}
		want := []contractor.Activity{
			{Log: contractor.LogAudits, ID: "a1", At: time.Date(2026, 11, 22, 10, 30, 0, 0, time.UTC), Guest: guestID, What: "Update user", OK: true, Service: "Core Directory", IP: "198.51.100.1",
				By: contractor.Doer{Kind: "user", ID: "u1", Name: "admin@corp.example"}, Targets: []string{guestID, "g"}, Changed: []string{"AccountEnabled"}},
			{Log: contractor.LogAudits, ID: "a2", At: time.Date(2026, 11, 22, 10, 31, 0, 0, time.UTC), Reason: "why", By: contractor.Doer{Kind: "service", Name: "Microsoft Entra"}},
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		if f := g.last("GET /auditLogs/directoryAudits").Query.Get("$filter"); !strings.HasSuffix(f, " and targetResources/any(t:t/id eq '"+guestID+"')") {
			t.Errorf("filter %q", f)
		}
	})
	run(t, "the emulator's own, to the last page, within the reports quota", func(t *testing.T) {
		cfg := kindly(1)
		cfg.PageSize = 3
		cfg.AuditDelay = -1
		x := newTenant(t, cfg)
		began := time.Now()
		for _, m := range []string{"a", "b", "c", "d", "e"} {
			if _, err := x.Invite(t.Context(), contractor.Invitation{Email: m + "@vendor.example"}); err != nil {
				t.Fatal(err)
			}
		}
		seen := map[string]bool{}
		for more, pages := "", 0; pages == 0 || more != ""; pages++ {
			entries, next, err := x.Activity(t.Context(), contractor.LogAudits, began.Add(-time.Minute), time.Now().Add(time.Minute), "", more)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if seen[e.ID] {
					t.Errorf("%s twice", e.ID)
				}
				seen[e.ID] = true
			}
			more = next
		}
		if len(seen) < 5 {
			t.Errorf("%d entries", len(seen))
		}
		if n := x.e.Report().ByStatus[429]; n != 0 {
			t.Errorf("%d times 429", n)
		}
	})
}

func TestChanges(t *testing.T) {
	run(t, "of users and of members, since the token was given", func(t *testing.T) {
		cfg := kindly(1)
		cfg.PageSize = 2
		x := newTenant(t, cfg)
		var guests []string
		for _, m := range []string{"a", "b", "c", "d"} {
			id, err := x.e.AddUser(emulator.UserSeed{Guest: true, Mail: m + "@vendor.example"})
			if err != nil {
				t.Fatal(err)
			}
			guests = append(guests, id)
		}
		ids, users, err := x.ChangedUsers(t.Context(), "")
		if err != nil || len(ids) != 0 || users == "" {
			t.Fatalf("%v, %q, %v", ids, users, err)
		}
		_, members, err := x.ChangedMembers(t.Context(), []string{x.group}, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, do := range []func() error{
			func() error { return x.e.DoDisable(guests[0]) }, func() error { return x.e.DoDelete(guests[1]) },
			func() error { return x.e.DoAddMember(x.group, guests[2]) }, func() error { return x.e.DoUpdate(guests[3], map[string]any{"companyName": "X"}) },
		} {
			if err := do(); err != nil {
				t.Fatal(err)
			}
		}
		ids, users, err = x.ChangedUsers(t.Context(), users)
		for _, i := range []int{0, 1, 3} {
			if err != nil || !slices.Contains(ids, guests[i]) {
				t.Errorf("guest %d is not among %v (%v)", i, ids, err)
			}
		}
		if ids, _, err = x.ChangedMembers(t.Context(), nil, members); err != nil || !slices.Contains(ids, guests[2]) {
			t.Errorf("%v, %v", ids, err)
		}
		if ids, _, err = x.ChangedUsers(t.Context(), users); err != nil || len(ids) != 0 {
			t.Errorf("again: %v, %v", ids, err)
		}
		rest(8 * 24 * time.Hour) // fake time: tokens live seven days
		_, _, err = x.ChangedUsers(t.Context(), users)
		wantVerdict(t, err, contractor.VerdictGone)
	})
	t.Run("an expired token is told in each of its forms", func(t *testing.T) {
		for _, expired := range []reply{{status: 410, header: map[string]string{"Location": root + "/users/delta"}}, {status: 400, body: graphError("syncStateNotFound", "x")}, {status: 404, body: graphError("ResyncRequired", "x")}} {
			c, g := script(t)
			g.on("GET /users/delta", expired)
			_, _, err := c.ChangedUsers(t.Context(), root+"/users/delta?$deltatoken=old")
			wantVerdict(t, err, contractor.VerdictGone)
		}
	})
	t.Run("a token leads to Graph or nowhere", func(t *testing.T) {
		c, g := script(t)
		_, _, err := c.ChangedUsers(t.Context(), "https://evil.example/v1.0/users/delta?$deltatoken=x")
		var f *contractor.Failure
		if !errors.As(err, &f) || f.Verdict != contractor.VerdictPermanent || len(g.lines(false)) != 0 {
			t.Errorf("%v, %q", err, g.lines(false))
		}
	})
}
