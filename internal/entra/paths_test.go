package entra_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"scimbridge/internal/contractor"
)

const (
	pimRequests  = "POST /identityGovernance/privilegedAccess/group/assignmentScheduleRequests"
	pimSchedules = "GET /identityGovernance/privilegedAccess/group/assignmentSchedules"
	emRequests   = "POST /identityGovernance/entitlementManagement/assignmentRequests"
	emAssigned   = "GET /identityGovernance/entitlementManagement/assignments"
	emOpen       = "GET /identityGovernance/entitlementManagement/assignmentRequests"
)

func exists() reply {
	return reply{status: 400, body: graphError("RoleAssignmentExists", "The Role assignment already exists.")}
}

func missing() reply {
	return reply{status: 400, body: graphError("RoleAssignmentDoesNotExist", "The Role assignment does not exist.")}
}

func made(id string) reply {
	return reply{status: 201, body: `{"id":"r","status":"Provisioned","targetScheduleId":"` + id + `"}`}
}

func actions(t *testing.T, g *graph) []string {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []string
	for _, s := range g.calls {
		switch {
		case s.line() == pimRequests:
			out = append(out, fields(t, s.Body)["action"].(string))
		case s.line() == emRequests:
			out = append(out, fields(t, s.Body)["requestType"].(string))
		case s.Method == http.MethodDelete:
			out = append(out, "DELETE member")
		}
	}
	return out
}

func TestPIMPaths(t *testing.T) {
	other := reply{status: 200, body: `{"value":[{"id":"s1","accessId":"member","groupId":"` + groupID + `","scheduleInfo":{"startDateTime":"2026-11-01T00:00:00Z","expiration":{"type":"afterDateTime","endDateTime":"2026-12-01T00:00:00Z"}}}]}`}
	shadow := reply{status: 200, body: `{"value":[{"id":"s1","accessId":"member","groupId":"` + groupID + `","scheduleInfo":{"startDateTime":null,"expiration":{"type":"noExpiration"}}},{"id":"o","accessId":"owner","groupId":"` + groupID + `","scheduleInfo":{"startDateTime":"2026-11-01T00:00:00Z"}}]}`}
	tests := []struct {
		name      string
		schedules reply
		answers   []reply
		do        func(ctx context.Context, c clientUnderTest) (contractor.Receipt, error)
		want      []string
		handle    string
		already   bool
		verdict   contractor.Verdict
	}{
		{name: "an assignment with another end is moved", schedules: other, answers: []reply{exists(), made("s2")}, do: assign, want: []string{"adminAssign", "adminUpdate"}, handle: "s2"},
		{name: "a plain membership in the way is exchanged", schedules: shadow, answers: []reply{exists(), missing(), made("s3")}, do: assign, want: []string{"adminAssign", "adminUpdate", "DELETE member", "adminAssign"}, handle: "s3"},
		{name: "a missing assignment is made when it is to be moved", answers: []reply{missing(), made("s4")}, do: move, want: []string{"adminUpdate", "adminAssign"}, handle: "s4"},
		{name: "a fresh one is ended through the members", answers: []reply{{status: 400, body: graphError("ActiveDurationTooShort", "The active duration is too short. Miniumum Required is 5 minutes.")}}, do: unassign, want: []string{"adminRemove", "DELETE member"}},
		{name: "one of ours is ended there at once in its first minutes", answers: []reply{made("s5")}, do: assignThenUnassign, want: []string{"adminAssign", "DELETE member"}},
		{name: "an open request is waited for", answers: []reply{{status: 400, body: graphError("PendingRoleAssignmentRequest", "There is an existing pending Role assignment request.")}}, do: move, want: []string{"adminUpdate"}, verdict: contractor.VerdictRetry},
		{name: "a policy's refusal names the rule", answers: []reply{{status: 400, body: graphError("RoleAssignmentRequestPolicyValidationFailed", `The following policy rules failed: ["ExpirationRule"]`)}}, do: assign, want: []string{"adminAssign"}, verdict: contractor.VerdictRefused},
		{name: "an unknown subject is gone", answers: []reply{{status: 400, body: graphError("SubjectNotFound", "The subject is not found.")}}, do: assign, want: []string{"adminAssign"}, verdict: contractor.VerdictGone},
		{name: "an unknown subject has nothing to end", answers: []reply{{status: 400, body: graphError("SubjectNotFound", "The subject is not found.")}}, do: unassign, want: []string{"adminRemove"}, already: true},
		{name: "a locked group needs a person", answers: []reply{{status: 400, body: graphError("ResourceIsLocked", "x")}}, do: move, want: []string{"adminUpdate"}, verdict: contractor.VerdictRefused},
		{name: "a request that PIM takes and fails is a failure", answers: []reply{{status: 201, body: `{"id":"r","status":"Failed"}`}}, do: assign, want: []string{"adminAssign"}, verdict: contractor.VerdictRefused},
		{name: "without a schedule id the request's is the handle", answers: []reply{{status: 201, body: `{"id":"r","status":"PendingProvisioning","targetScheduleId":null}`}}, do: assign, want: []string{"adminAssign"}, handle: "r"},
	}
	for _, tt := range tests {
		run(t, tt.name, func(t *testing.T) {
			c, g := script(t)
			g.on(pimRequests, tt.answers...)
			if tt.schedules.status != 0 {
				g.on(pimSchedules, tt.schedules)
			}
			g.on("DELETE /groups/"+groupID+"/members/"+guestID+"/$ref", reply{status: 204})
			r, err := tt.do(t.Context(), c)
			if d := cmp.Diff(tt.want, actions(t, g)); d != "" {
				t.Errorf("actions (-want +got):\n%s", d)
			}
			if tt.verdict != "" {
				f := wantVerdict(t, err, tt.verdict)
				if strings.Contains(tt.name, "names the rule") && !strings.Contains(f.Message, "ExpirationRule") {
					t.Error(f.Message)
				}
				return
			}
			if err != nil || r.Handle != tt.handle || r.AlreadySo != tt.already {
				t.Errorf("receipt %+v, %v", r, err)
			}
		})
	}
}

// clientUnderTest are the methods that the tables name.
type clientUnderTest interface {
	AssignGroup(context.Context, contractor.Assignment) (contractor.Receipt, error)
	MoveGroup(context.Context, contractor.Assignment) (contractor.Receipt, error)
	UnassignGroup(context.Context, contractor.Assignment) (contractor.Receipt, error)
	AssignPackage(context.Context, contractor.Assignment) (contractor.Receipt, error)
	MovePackage(context.Context, contractor.Assignment) (contractor.Receipt, error)
	UnassignPackage(context.Context, contractor.Assignment) (contractor.Receipt, error)
}

func assign(ctx context.Context, c clientUnderTest) (contractor.Receipt, error) {
	return c.AssignGroup(ctx, assignment())
}

func move(ctx context.Context, c clientUnderTest) (contractor.Receipt, error) {
	return c.MoveGroup(ctx, assignment())
}

func unassign(ctx context.Context, c clientUnderTest) (contractor.Receipt, error) {
	return c.UnassignGroup(ctx, assignment())
}

func assignThenUnassign(ctx context.Context, c clientUnderTest) (contractor.Receipt, error) {
	if _, err := c.AssignGroup(ctx, assignment()); err != nil {
		return contractor.Receipt{}, err
	}
	return c.UnassignGroup(ctx, assignment())
}

func TestPackagePaths(t *testing.T) {
	held := func(end, state string) reply {
		return reply{status: 200, body: `{"value":[{"id":"` + asgID + `","state":"` + state + `","accessPackage":{"id":"` + strings.ToUpper(packID) + `"},"schedule":{"startDateTime":"2026-11-01T00:00:00Z","expiration":{"type":"afterDateTime","endDateTime":"` + end + `"}}}]}`}
	}
	open := reply{status: 200, body: `{"value":[{"id":"` + reqID + `","requestType":"adminAdd","state":"delivering","accessPackage":{"id":"` + packID + `"}},{"id":"x","requestType":"adminRemove","state":"delivering","accessPackage":{"id":"y"}},{"id":"z","requestType":"adminAdd","state":"denied","accessPackage":{"id":"z"}}]}`}
	bad := reply{status: 400, body: graphError("InvalidModel", "no")}
	nothing := reply{status: 200, body: none}
	accepted := reply{status: 200, body: `{"id":"` + reqID + `","state":"submitted"}`}
	without := func(f func(context.Context, clientUnderTest, contractor.Assignment) (contractor.Receipt, error)) func(context.Context, clientUnderTest) (contractor.Receipt, error) {
		return func(ctx context.Context, c clientUnderTest) (contractor.Receipt, error) {
			a := assignment()
			a.AssignmentID = ""
			return f(ctx, c, a)
		}
	}
	add := without(func(ctx context.Context, c clientUnderTest, a contractor.Assignment) (contractor.Receipt, error) {
		return c.AssignPackage(ctx, a)
	})
	moveIt := without(func(ctx context.Context, c clientUnderTest, a contractor.Assignment) (contractor.Receipt, error) {
		return c.MovePackage(ctx, a)
	})
	remove := without(func(ctx context.Context, c clientUnderTest, a contractor.Assignment) (contractor.Receipt, error) {
		return c.UnassignPackage(ctx, a)
	})
	tests := []struct {
		name           string
		assigned, open reply
		answers        []reply
		do             func(ctx context.Context, c clientUnderTest) (contractor.Receipt, error)
		want           []string
		handle         string
		already        bool
		verdict        contractor.Verdict
	}{
		{name: "a second add finds the request on its way", assigned: nothing, open: open, answers: []reply{bad}, do: add, want: []string{"adminAdd"}, handle: reqID, already: true},
		{name: "a second add with another end moves it", assigned: held("2026-12-01T00:00:00Z", "delivered"), open: nothing, answers: []reply{bad, accepted}, do: add, want: []string{"adminAdd", "adminUpdate"}, handle: reqID},
		{name: "an expired assignment explains nothing", assigned: held("2026-12-31T23:59:59Z", "expired"), open: nothing, answers: []reply{bad}, do: add, want: []string{"adminAdd"}, verdict: contractor.VerdictRefused},
		{name: "a busy service is waited for", assigned: nothing, open: nothing, answers: []reply{{status: 400, body: graphError("ExistingOpenRequest", "x")}}, do: add, want: []string{"adminAdd"}, verdict: contractor.VerdictRetry},
		{name: "a move without the id looks it up", assigned: held("2026-12-01T00:00:00Z", "delivered"), open: nothing, answers: []reply{accepted}, do: moveIt, want: []string{"adminUpdate"}, handle: reqID},
		{name: "a move of nothing is gone", assigned: nothing, open: nothing, do: moveIt, verdict: contractor.VerdictGone},
		{name: "a removal without the id looks it up", assigned: held("2026-12-01T00:00:00Z", "partiallyDelivered"), open: nothing, answers: []reply{accepted}, do: remove, want: []string{"adminRemove"}, handle: reqID},
		{name: "a removal waits for what cannot be cancelled", assigned: nothing, open: open, do: remove, verdict: contractor.VerdictRetry},
		{name: "a removal of nothing is done", assigned: nothing, open: nothing, do: remove, already: true},
	}
	for _, tt := range tests {
		run(t, tt.name, func(t *testing.T) {
			c, g := script(t)
			if tt.answers != nil {
				g.on(emRequests, tt.answers...)
			}
			g.on(emAssigned, tt.assigned)
			g.on(emOpen, tt.open)
			r, err := tt.do(t.Context(), c)
			if d := cmp.Diff(tt.want, actions(t, g)); d != "" {
				t.Errorf("requests (-want +got):\n%s", d)
			}
			if tt.verdict != "" {
				wantVerdict(t, err, tt.verdict)
				return
			}
			if err != nil || r.Handle != tt.handle || r.AlreadySo != tt.already {
				t.Errorf("receipt %+v, %v", r, err)
			}
		})
	}
	t.Run("a filter that Graph refuses is not sent again", func(t *testing.T) {
		c, g := script(t)
		g.on(emAssigned, nothing)
		g.on(emOpen, reply{status: 400}, open)
		for range 3 {
			access, err := c.Access(t.Context(), guestID, false, true)
			if err != nil || len(access.Packages) != 1 || access.Packages[0].RequestID != reqID {
				t.Fatalf("%+v, %v", access, err)
			}
		}
		if n := strings.Count(strings.Join(g.lines(false), "\n"), emOpen); n != 4 {
			t.Errorf("%d reads of requests, want 1 refused and 3 answered", n)
		}
	})
	t.Run("a request is followed", func(t *testing.T) {
		c, g := script(t)
		g.on("GET /identityGovernance/entitlementManagement/assignmentRequests/"+reqID, reply{status: 200, body: `{"id":"` + reqID + `","state":"denied","accessPackage":{"id":"` + packID + `"},"assignment":{"id":"` + asgID + `"}}`})
		p, err := c.PackageRequest(t.Context(), reqID)
		if err != nil || p.State != "denied" || p.AssignmentID != asgID || p.PackageID != packID {
			t.Errorf("%+v, %v", p, err)
		}
		if p, err := c.PackageRequest(t.Context(), asgID); err != nil || p != (contractor.PackageAssignment{}) {
			t.Errorf("an unknown one: %+v, %v", p, err)
		}
	})
}

func TestAccess(t *testing.T) {
	c, g := script(t)
	g.on("GET /users/"+guestID+"/memberOf", reply{status: 200, body: `{"value":[
		{"@odata.type":"#microsoft.graph.group","id":"` + groupID + `","displayName":"ext-base","groupTypes":[],"onPremisesSyncEnabled":null},
		{"@odata.type":"#microsoft.graph.group","id":"dyn","displayName":"all guests","groupTypes":["DynamicMembership"]},
		{"@odata.type":"#microsoft.graph.group","id":"old","displayName":"on-premises","groupTypes":[],"onPremisesSyncEnabled":true},
		{"@odata.type":"#microsoft.graph.administrativeUnit","id":"au"}]}`})
	g.on(pimSchedules, reply{status: 200, body: `{"value":[
		{"id":"s1","accessId":"Member","groupId":"` + strings.ToUpper(groupID) + `","assignmentType":"Assigned","scheduleInfo":{"startDateTime":"2026-11-01T00:00:00Z","expiration":{"type":"AfterDateTime","endDateTime":"2026-12-31T23:59:59Z"}}},
		{"id":"s2","accessId":"member","groupId":"later","scheduleInfo":{"startDateTime":"2026-12-01T00:00:00Z","expiration":{"type":"afterDuration","duration":"P10D"}}},
		{"id":"s3","accessId":"member","groupId":"dyn","scheduleInfo":{"startDateTime":null,"expiration":{"type":"noExpiration"}}},
		{"id":"s4","accessId":"owner","groupId":"owned","scheduleInfo":{"startDateTime":"2026-12-01T00:00:00Z"}}]}`})
	g.on(emAssigned, reply{status: 200, body: `{"value":[
		{"id":"` + asgID + `","state":"delivered","accessPackage":{"id":"` + packID + `"},"assignmentPolicy":{"id":"` + polID + `"},"schedule":{"expiration":{"type":"afterDateTime","endDateTime":"2026-12-31T23:59:59.123Z"}}},
		{"id":"e","state":"Expired","accessPackage":{"id":"gone"}}]}`})
	g.on(emOpen, reply{status: 200, body: `{"value":[{"id":"` + reqID + `","requestType":"adminAdd","state":"submitted","accessPackage":{"id":"p2"}}]}`})
	got, err := c.Access(t.Context(), guestID, true, true)
	if err != nil {
		t.Fatal(err)
	}
	at := func(s string) (x contractor.GroupMembership) {
		for _, m := range got.Groups {
			if strings.EqualFold(m.GroupID, s) {
				return m
			}
		}
		t.Fatalf("no group %s", s)
		return x
	}
	if m := at(groupID); !m.Member || m.ScheduleID != "s1" || m.ScheduleEnd.Format("2006-01-02T15:04:05Z07:00") != "2026-12-31T23:59:59Z" || m.Dynamic || m.Synced {
		t.Errorf("%+v", m)
	}
	if m := at("later"); m.Member || m.ScheduleID != "s2" || m.ScheduleEnd.Format("2006-01-02") != "2026-12-11" {
		t.Errorf("%+v", m)
	}
	if m := at("dyn"); !m.Dynamic || m.ScheduleID != "" {
		t.Errorf("%+v", m)
	}
	if m := at("old"); !m.Synced {
		t.Errorf("%+v", m)
	}
	if len(got.Groups) != 4 || len(got.Packages) != 2 {
		t.Errorf("%+v", got)
	}
	if p := got.Packages[0]; p.AssignmentID != asgID || p.PolicyID != polID || p.End.IsZero() || p.State != "delivered" {
		t.Errorf("%+v", p)
	}
	if p := got.Packages[1]; p.RequestID != reqID || p.AssignmentID != "" {
		t.Errorf("%+v", p)
	}
	t.Run("leaves out what is not asked for", func(t *testing.T) {
		c, g := script(t)
		if got, err := c.Access(t.Context(), guestID, false, false); err != nil || !got.Empty() {
			t.Errorf("%+v, %v", got, err)
		}
		if n := len(g.lines(false)); n != 1 {
			t.Errorf("%q", g.lines(false))
		}
	})
	t.Run("is a failure as a whole if one read fails", func(t *testing.T) {
		c, g := script(t)
		g.on(pimSchedules, reply{status: 403, body: graphError("Authorization_RequestDenied", "x")})
		_, err := c.Access(t.Context(), guestID, true, false)
		wantVerdict(t, err, contractor.VerdictRefused)
	})
}

func TestGroupCap(t *testing.T) {
	policy := func(rule string) reply {
		return reply{status: 200, body: `{"value":[{"policy":{"rules":[{"id":"Enablement_Admin_Assignment","enabledRules":["Justification"]},` + rule + `]}}]}`}
	}
	tests := map[string]struct {
		answer reply
		want   string
	}{
		"is read from the expiration rule":           {policy(`{"id":"Expiration_Admin_Assignment","isExpirationRequired":true,"maximumDuration":"P180D"}`), "4320h0m0s"},
		"does not bind where none is required":       {policy(`{"id":"Expiration_Admin_Assignment","isExpirationRequired":false,"maximumDuration":"P15D"}`), "0s"},
		"is not that of end users":                   {policy(`{"id":"Expiration_EndUser_Assignment","isExpirationRequired":true,"maximumDuration":"PT8H"}`), "0s"},
		"is none where the policy may not be read":   {reply{status: 403}, "0s"},
		"is none for a group that PIM does not know": {reply{status: 200, body: none}, "0s"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, g := script(t)
			g.on("GET /policies/roleManagementPolicyAssignments", tt.answer)
			for range 3 {
				got, err := c.GroupCap(t.Context(), groupID)
				if err != nil || got.String() != tt.want {
					t.Errorf("%s, %v", got, err)
				}
			}
			if n := len(g.lines(false)); n != 1 {
				t.Errorf("%d reads", n)
			}
			s := g.last("GET /policies/roleManagementPolicyAssignments")
			if s.Query.Get("$filter") != "scopeId eq '"+groupID+"' and scopeType eq 'Group' and roleDefinitionId eq 'member'" || s.Query.Get("$expand") != "policy($expand=rules)" {
				t.Errorf("query %v", s.Query)
			}
		})
	}
}

func TestInvitePaths(t *testing.T) {
	in := contractor.Invitation{Email: "ada@v.example", DisplayName: "Ada", SponsorIDs: []string{bossID}}
	invited := reply{status: 201, body: `{"invitedUser":{"id":"` + guestID + `"}}`}
	run(t, "sponsors that the invitation does not take come afterwards", func(t *testing.T) {
		c, g := script(t)
		g.on("POST /invitations", reply{status: 400, body: graphError("BadRequest", "Property invitedUserSponsors is invalid")}, invited)
		g.on("GET /users/"+guestID+"/sponsors", reply{status: 200, body: none})
		g.on("POST /users/"+guestID+"/sponsors/$ref", reply{status: 204})
		if r, err := c.Invite(t.Context(), in); err != nil || r.Handle != guestID {
			t.Fatalf("%+v, %v", r, err)
		}
		if strings.Contains(g.last("POST /invitations").Body, "invitedUserSponsors") {
			t.Error("sent again with sponsors")
		}
		g.last("POST /users/" + guestID + "/sponsors/$ref")
	})
	run(t, "an answer that names an older account is not taken for a new guest", func(t *testing.T) {
		c, g := script(t)
		g.on("POST /invitations", invited)
		g.on("GET /users ~id eq", reply{status: 200, body: `{"value":[{"id":"` + guestID + `","createdDateTime":"1999-11-01T00:00:00Z"}]}`})
		if r, err := c.Invite(t.Context(), in); err != nil || !r.AlreadySo || r.Handle != guestID {
			t.Fatalf("%+v, %v", r, err)
		}
	})
	run(t, "an answer that cannot be checked may name an older account", func(t *testing.T) {
		c, g := script(t)
		g.on("POST /invitations", invited)
		g.on("GET /users ~id eq", reply{status: 503})
		if r, err := c.Invite(t.Context(), in); err != nil || !r.AlreadySo || r.RequestID != "server-POST" {
			t.Fatalf("%+v, %v: the proof of the invitation is lost", r, err)
		}
	})
	t.Run("a hint that leads nowhere is no guest", func(t *testing.T) {
		c, g := script(t)
		g.on("POST /invitations", reply{status: 400, body: graphError("BadRequest", "The invited user already exists in the directory as object ID: "+bossID+".")})
		_, err := c.Invite(t.Context(), in)
		wantVerdict(t, err, contractor.VerdictUnknown)
	})
	t.Run("an answer without the guest is unknown", func(t *testing.T) {
		c, g := script(t)
		g.on("POST /invitations", reply{status: 201, body: `{"id":"x"}`})
		_, err := c.Invite(t.Context(), in)
		wantVerdict(t, err, contractor.VerdictUnknown)
	})
	t.Run("a refusal is told in our words, without the address", func(t *testing.T) {
		c, g := script(t)
		g.on("POST /invitations", reply{status: 400, body: graphError("BadRequest", "ada@v.example: Group email address is a verified domain of this directory")})
		_, err := c.Invite(t.Context(), in)
		if f := wantVerdict(t, err, contractor.VerdictRefused); !strings.Contains(f.Message, "own domains") {
			t.Error(f.Message)
		}
	})
	t.Run("what Entra would refuse is not sent", func(t *testing.T) {
		c, g := script(t)
		bad := []contractor.Invitation{
			{Email: "ada+x@v.example"}, {Email: "ada"}, {Email: "@v.example"}, {Email: ".ada@v.example"}, {Email: "ada.@v.example"}, {Email: "-a@v.example"},
			{Email: "o'hara@v.example"}, {Email: "a b@v.example"}, {Email: "ada@v.example", SponsorIDs: []string{"boss"}},
			{Email: "ada@v.example", DisplayName: strings.Repeat("x", 257)}, {Email: "ada@v.example", SponsorIDs: []string{bossID, bossID, bossID, bossID, bossID, bossID}},
		}
		for _, in := range bad {
			_, err := c.Invite(t.Context(), in)
			wantVerdict(t, err, contractor.VerdictPermanent)
		}
		if len(g.lines(false)) != 0 {
			t.Errorf("%q", g.lines(false))
		}
	})
	t.Run("Entra's own mail speaks the language asked for", func(t *testing.T) {
		c, g := script(t)
		g.on("POST /invitations", invited)
		if _, err := c.Invite(t.Context(), contractor.Invitation{Email: "ada@v.example", SendMail: true, Language: "de-DE", RedirectURL: "https://corp.example/start"}); err != nil {
			t.Fatal(err)
		}
		want := fields(t, `{"invitedUserEmailAddress":"ada@v.example","inviteRedirectUrl":"https://corp.example/start","invitedUserType":"Guest","sendInvitationMessage":true,"invitedUserMessageInfo":{"messageLanguage":"de-DE"}}`)
		if d := cmp.Diff(want, fields(t, g.last("POST /invitations").Body)); d != "" {
			t.Error(d)
		}
	})
}

func TestUpdatePaths(t *testing.T) {
	patch := "PATCH /users/" + guestID
	t.Run("a forbidden leave date costs the rest nothing, and is not tried at every turn", func(t *testing.T) {
		c, g := script(t)
		g.on(patch, reply{status: 204}, reply{status: 403, body: graphError("Authorization_RequestDenied", "x")}, reply{status: 204})
		for range 3 {
			if r, err := c.UpdateGuest(t.Context(), guestID, map[string]string{"jobTitle": "x", "employeeLeaveDateTime": "2026-12-31"}); err != nil || r.RequestID == "" {
				t.Fatalf("%+v, %v", r, err)
			}
		}
		if n := len(g.lines(true)); n != 4 {
			t.Errorf("%d writes", n)
		}
		if !c.Stats().LeaveDateRefused {
			t.Error("the refusal is not shown")
		}
	})
	t.Run("mistakes are told together, by name and never by value", func(t *testing.T) {
		c, g := script(t)
		_, err := c.UpdateGuest(t.Context(), guestID, map[string]string{
			"employeeId": "VND-0047110815-secret", "accountEnabled": "true", "userType": "Member", "employeeHireDate": "soon", "extensionAttribute16": "x", "otherMails": "x",
		})
		f := wantVerdict(t, err, contractor.VerdictPermanent)
		for _, name := range []string{"employeeId", "accountEnabled", "userType", "employeeHireDate", "extensionAttribute16", "otherMails"} {
			if !strings.Contains(f.Message, name) {
				t.Errorf("%s is not named: %s", name, f.Message)
			}
		}
		if strings.Contains(f.Message, "secret") || len(g.lines(false)) != 0 {
			t.Error(f.Message)
		}
	})
	t.Run("names with their parent mean the same", func(t *testing.T) {
		c, g := script(t)
		g.on(patch, reply{status: 204})
		const ext = "extension_0123456789abcdef0123456789abcdef_badge"
		if _, err := c.UpdateGuest(t.Context(), guestID, map[string]string{"employeeOrgData.division": "R&D", "onPremisesExtensionAttributes/extensionAttribute2": "y", ext: "z"}); err != nil {
			t.Fatal(err)
		}
		want := fields(t, `{"employeeOrgData":{"division":"R&D"},"onPremisesExtensionAttributes":{"extensionAttribute2":"y"},"`+ext+`":"z"}`)
		if d := cmp.Diff(want, fields(t, g.last(patch).Body)); d != "" {
			t.Error(d)
		}
	})
	t.Run("nothing to write is no call", func(t *testing.T) {
		c, g := script(t)
		if r, err := c.UpdateGuest(t.Context(), guestID, map[string]string{"displayName": "", "usageLocation": ""}); err != nil || !r.AlreadySo || len(g.lines(false)) != 0 {
			t.Errorf("%+v, %v", r, err)
		}
	})
	run(t, "a new guest that a replica does not know is tried a few times, then given back", func(t *testing.T) {
		c, g := script(t)
		g.on("POST /invitations", reply{status: 201, body: `{"invitedUser":{"id":"` + guestID + `"}}`})
		g.on(patch, reply{status: 404}, reply{status: 404}, reply{status: 204})
		if _, err := c.Invite(t.Context(), contractor.Invitation{Email: "ada@v.example"}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.UpdateGuest(t.Context(), guestID, map[string]string{"jobTitle": "x"}); err != nil {
			t.Fatal(err)
		}
		g.on(patch, reply{status: 404})
		_, err := c.UpdateGuest(t.Context(), guestID, map[string]string{"jobTitle": "y"})
		if f := wantVerdict(t, err, contractor.VerdictRetry); f.RetryAfter == 0 {
			t.Error("no time to come back at")
		}
		pass(t, 700)
		_, err = c.UpdateGuest(t.Context(), guestID, map[string]string{"jobTitle": "z"})
		wantVerdict(t, err, contractor.VerdictGone)
	})
}

func TestSponsors(t *testing.T) {
	ids := []string{
		"00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002", "00000000-0000-4000-8000-000000000003",
		"00000000-0000-4000-8000-000000000004", "00000000-0000-4000-8000-000000000005", "00000000-0000-4000-8000-000000000006",
	}
	listed := func(ids ...string) reply {
		var rows []string
		for _, id := range ids {
			rows = append(rows, `{"id":"`+strings.ToUpper(id)+`"}`)
		}
		return reply{status: 200, body: `{"value":[` + strings.Join(rows, ",") + `]}`}
	}
	tests := []struct {
		name       string
		have, want []string
		writes     []string
	}{
		{"as they should be", ids[:2], []string{ids[1], ids[0]}, nil},
		{"one is added before one is removed", ids[:1], ids[1:2], []string{"POST", "DELETE"}},
		{"room is made where five are there", ids[:5], ids[5:6], []string{"DELETE", "POST", "DELETE", "DELETE", "DELETE", "DELETE"}},
		{"all are taken away", ids[:2], nil, []string{"DELETE", "DELETE"}},
		{"twice the same is once", nil, []string{ids[0], strings.ToUpper(ids[0])}, []string{"POST"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, g := script(t)
			g.on("GET /users/"+guestID+"/sponsors", listed(tt.have...))
			g.on("POST /users/"+guestID+"/sponsors/$ref", reply{status: 204})
			g.on("DELETE /users/"+guestID+"/sponsors/*", reply{status: 204})
			r, err := c.SetSponsors(t.Context(), guestID, tt.want)
			if err != nil || r.AlreadySo != (tt.writes == nil) {
				t.Fatalf("%+v, %v", r, err)
			}
			var got []string
			for _, line := range g.lines(true) {
				got = append(got, line[:strings.IndexByte(line, ' ')])
			}
			if d := cmp.Diff(tt.writes, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
	t.Run("six are too many", func(t *testing.T) {
		c, _ := script(t)
		_, err := c.SetSponsors(t.Context(), guestID, ids)
		wantVerdict(t, err, contractor.VerdictPermanent)
	})
}

func TestFindSponsor(t *testing.T) {
	person := func(id, upn, kind, enabled string) string {
		return `{"id":"` + id + `","userPrincipalName":"` + upn + `","userType":` + kind + `,"accountEnabled":` + enabled + `}`
	}
	users := func(rows ...string) reply {
		return reply{status: 200, body: `{"value":[` + strings.Join(rows, ",") + `]}`}
	}
	tests := []struct {
		name    string
		ref     string
		answers []reply
		want    string
		verdict contractor.Verdict
	}{
		{"by mail", "boss@corp.example", []reply{users(person(bossID, "b@corp.example", `"Member"`, "true"))}, bossID, ""},
		{"by principal name", "boss@corp.example", []reply{users(), users(person(bossID, "boss@corp.example", `null`, "true"))}, bossID, ""},
		{"not a guest", "boss@corp.example", []reply{users(person(bossID, "b", `"Guest"`, "true")), users()}, "", ""},
		{"not one who is blocked", "boss@corp.example", []reply{users(person(bossID, "b", `"Member"`, "false")), users()}, "", ""},
		{"not one of two", "boss@corp.example", []reply{users(person(bossID, "a", `"Member"`, "true"), person(guestID, "b", `"Member"`, "true"))}, "", contractor.VerdictRefused},
		{"the one of two whose principal name it is", "boss@corp.example", []reply{users(person(guestID, "a", `"Member"`, "true"), person(bossID, "Boss@corp.example", `"Member"`, "true"))}, bossID, ""},
		{"nobody", "not an address", nil, "", ""},
		{"nothing", " ", nil, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, g := script(t)
			if tt.answers != nil {
				g.on("GET /users", tt.answers...)
			}
			got, err := c.FindSponsor(t.Context(), tt.ref)
			if tt.verdict != "" {
				wantVerdict(t, err, tt.verdict)
				return
			}
			if err != nil || got != tt.want {
				t.Errorf("%q, %v", got, err)
			}
			n := len(g.lines(false))
			if again, err := c.FindSponsor(t.Context(), strings.ToUpper(tt.ref)); err != nil || again != tt.want || len(g.lines(false)) != n {
				t.Errorf("not remembered: %q, %v", again, err)
			}
		})
	}
	t.Run("by object id", func(t *testing.T) {
		c, g := script(t)
		g.on("GET /users/"+bossID, reply{status: 200, body: person(bossID, "b", `"Member"`, "true")})
		if got, err := c.FindSponsor(t.Context(), bossID); err != nil || got != bossID {
			t.Errorf("%q, %v", got, err)
		}
		if got, err := c.FindSponsor(t.Context(), packID); err != nil || got != "" {
			t.Errorf("an unknown one: %q, %v", got, err)
		}
	})
	t.Run("a group, which is then written as one", func(t *testing.T) {
		c, g := script(t)
		got, err := c.FindSponsor(t.Context(), "group:"+groupID)
		if err != nil || got != groupID {
			t.Fatalf("%q, %v", got, err)
		}
		g.on("GET /users/"+guestID+"/sponsors", reply{status: 200, body: none})
		g.on("POST /users/"+guestID+"/sponsors/$ref", reply{status: 204})
		if _, err := c.SetSponsors(t.Context(), guestID, []string{got}); err != nil {
			t.Fatal(err)
		}
		if s := g.last("POST /users/" + guestID + "/sponsors/$ref"); fields(t, s.Body)["@odata.id"] != root+"/groups/"+groupID {
			t.Error(s.Body)
		}
	})
}
