package entra_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"scimbridge/internal/contractor"
	"scimbridge/internal/entra"
)

// end is an end with a fraction of a second: what goes out must not be later.
func end() time.Time { return time.Date(2026, 12, 31, 23, 59, 59, 900_000_000, time.UTC) }

func assignment() contractor.Assignment {
	return contractor.Assignment{GuestID: guestID, GroupID: groupID, PackageID: packID, PolicyID: polID, AssignmentID: asgID, End: end(), Justification: "rule everyone, engagement 1"}
}

// write is one change as the client makes it, and as it must reach Graph.
type write struct {
	name    string
	do      func(ctx context.Context, c *entra.Client) (contractor.Receipt, error)
	request string // method and path
	body    string // as JSON; "": none
	success reply
	handle  string
	// already is Graph's answer that means "so it was", "" if there is none.
	already reply
	// again: an attempt whose outcome is unknown may be repeated by the client.
	again bool
}

func writes() []write {
	const schedules = "POST /identityGovernance/privilegedAccess/group/assignmentScheduleRequests"
	const requests = "POST /identityGovernance/entitlementManagement/assignmentRequests"
	scheduled := reply{status: 201, body: `{"id":"r1","status":"Provisioned","targetScheduleId":"` + groupID + `_member_1"}`}
	accepted := reply{status: 201, body: `{"id":"` + reqID + `","requestType":"adminAdd","state":"submitted","status":"Accepted"}`}
	noContent := reply{status: 204}
	notFound := reply{status: 404, body: graphError("Request_ResourceNotFound", "Resource does not exist or one of its queried reference-property objects are not present.")}
	return []write{
		{
			name: "invite", request: "POST /invitations",
			do: func(ctx context.Context, c *entra.Client) (contractor.Receipt, error) {
				return c.Invite(ctx, contractor.Invitation{Email: "ada.byron@vendor.example", DisplayName: "Ada Byron (Vendor)", SponsorIDs: []string{bossID}})
			},
			body: `{"invitedUserEmailAddress":"ada.byron@vendor.example","invitedUserDisplayName":"Ada Byron (Vendor)","inviteRedirectUrl":"https://myapps.microsoft.com",
				"invitedUserType":"Guest","sendInvitationMessage":false,"invitedUserSponsors":[{"id":"` + bossID + `"}]}`,
			success: reply{status: 201, body: `{"id":"i1","status":"PendingAcceptance","invitedUser":{"id":"` + guestID + `"}}`}, handle: guestID,
			already: reply{status: 400, body: graphError("BadRequest", "The invited user already exists in the directory as object ID: "+guestID+". They can use that account to sign in.")},
		},
		{
			name: "update", request: "PATCH /users/" + guestID, again: true, success: noContent,
			do: func(ctx context.Context, c *entra.Client) (contractor.Receipt, error) {
				return c.UpdateGuest(ctx, guestID, map[string]string{
					"displayName": "Ada Byron (Vendor)", "companyName": "Vendor GmbH", "department": "", "employeeHireDate": "2026-12-01",
					"costCenter": "4711", "division": "", "extensionAttribute1": "scimbridge:8c1f", "extensionAttribute15": "", "usageLocation": "",
				})
			},
			body: `{"displayName":"Ada Byron (Vendor)","companyName":"Vendor GmbH","department":null,"employeeHireDate":"2026-12-01T00:00:00Z",
				"employeeOrgData":{"costCenter":"4711","division":null},"onPremisesExtensionAttributes":{"extensionAttribute1":"scimbridge:8c1f","extensionAttribute15":null}}`,
		},
		{
			name: "leave date", request: "PATCH /users/" + guestID, again: true, success: noContent,
			do: func(ctx context.Context, c *entra.Client) (contractor.Receipt, error) {
				return c.UpdateGuest(ctx, guestID, map[string]string{"employeeLeaveDateTime": "2026-12-31T23:59:59.9Z"})
			},
			body: `{"employeeLeaveDateTime":"2026-12-31T23:59:59Z"}`,
		},
		{
			name: "set sponsors", request: "POST /users/" + guestID + "/sponsors/$ref", again: true, success: noContent,
			do: func(ctx context.Context, c *entra.Client) (contractor.Receipt, error) {
				return c.SetSponsors(ctx, guestID, []string{bossID})
			},
			body:    `{"@odata.id":"` + root + `/users/` + bossID + `"}`,
			already: reply{status: 400, body: graphError("Request_BadRequest", "One or more added object references already exist for the following modified properties: 'sponsors'.")},
		},
		{
			name: "set manager", request: "PUT /users/" + guestID + "/manager/$ref", again: true, success: noContent,
			do: func(ctx context.Context, c *entra.Client) (contractor.Receipt, error) {
				return c.SetManager(ctx, guestID, bossID)
			},
			body: `{"@odata.id":"` + root + `/users/` + bossID + `"}`,
		},
		{
			name: "remove manager", request: "DELETE /users/" + guestID + "/manager/$ref", again: true, success: noContent, already: notFound,
			do: func(ctx context.Context, c *entra.Client) (contractor.Receipt, error) {
				return c.SetManager(ctx, guestID, "")
			},
		},
		{
			name: "disable", request: "PATCH /users/" + guestID, again: true, success: noContent, already: notFound, body: `{"accountEnabled":false}`,
			do: func(ctx context.Context, c *entra.Client) (contractor.Receipt, error) {
				return c.SetEnabled(ctx, guestID, false)
			},
		},
		{
			name: "enable", request: "PATCH /users/" + guestID, again: true, success: noContent, body: `{"accountEnabled":true}`,
			do: func(ctx context.Context, c *entra.Client) (contractor.Receipt, error) {
				return c.SetEnabled(ctx, guestID, true)
			},
		},
		{
			name: "revoke sessions", request: "POST /users/" + guestID + "/revokeSignInSessions", again: true, success: reply{status: 200, body: `{"value":true}`}, already: notFound,
			do: func(ctx context.Context, c *entra.Client) (contractor.Receipt, error) {
				return c.RevokeSessions(ctx, guestID)
			},
		},
		{
			name: "delete", request: "DELETE /users/" + guestID, again: true, success: noContent, already: notFound,
			do: func(ctx context.Context, c *entra.Client) (contractor.Receipt, error) {
				return c.DeleteGuest(ctx, guestID)
			},
		},
		{
			name: "add member", request: "POST /groups/" + groupID + "/members/$ref", again: true, success: noContent,
			do: func(ctx context.Context, c *entra.Client) (contractor.Receipt, error) {
				return c.AddMember(ctx, groupID, guestID)
			},
			body:    `{"@odata.id":"` + root + `/directoryObjects/` + guestID + `"}`,
			already: reply{status: 400, body: graphError("Request_BadRequest", "One or more added object references already exist for the following modified properties: 'members'.")},
		},
		{
			name: "remove member", request: "DELETE /groups/" + groupID + "/members/" + guestID + "/$ref", again: true, success: noContent, already: notFound,
			do: func(ctx context.Context, c *entra.Client) (contractor.Receipt, error) {
				return c.RemoveMember(ctx, groupID, guestID)
			},
		},
		{
			name: "assign group", request: schedules, success: scheduled, handle: groupID + "_member_1",
			do: func(ctx context.Context, c *entra.Client) (contractor.Receipt, error) {
				return c.AssignGroup(ctx, assignment())
			},
			body: `{"action":"adminAssign","accessId":"member","principalId":"` + guestID + `","groupId":"` + groupID + `","justification":"rule everyone, engagement 1",
				"scheduleInfo":{"expiration":{"type":"afterDateTime","endDateTime":"2026-12-31T23:59:59Z"}}}`,
			already: reply{status: 400, body: graphError("RoleAssignmentExists", "The Role assignment already exists.")},
		},
		{
			name: "move group", request: schedules, again: true, success: scheduled, handle: groupID + "_member_1",
			do: func(ctx context.Context, c *entra.Client) (contractor.Receipt, error) {
				return c.MoveGroup(ctx, assignment())
			},
			body: `{"action":"adminUpdate","accessId":"member","principalId":"` + guestID + `","groupId":"` + groupID + `","justification":"rule everyone, engagement 1",
				"scheduleInfo":{"expiration":{"type":"afterDateTime","endDateTime":"2026-12-31T23:59:59Z"}}}`,
		},
		{
			name: "unassign group", request: schedules, again: true, success: scheduled, handle: groupID + "_member_1",
			do: func(ctx context.Context, c *entra.Client) (contractor.Receipt, error) {
				return c.UnassignGroup(ctx, assignment())
			},
			body:    `{"action":"adminRemove","accessId":"member","principalId":"` + guestID + `","groupId":"` + groupID + `","justification":"rule everyone, engagement 1"}`,
			already: reply{status: 400, body: graphError("RoleAssignmentDoesNotExist", "The Role assignment does not exist.")},
		},
		{
			name: "assign package", request: requests, success: accepted, handle: reqID,
			do: func(ctx context.Context, c *entra.Client) (contractor.Receipt, error) {
				return c.AssignPackage(ctx, assignment())
			},
			body: `{"requestType":"adminAdd","justification":"rule everyone, engagement 1",
				"schedule":{"startDateTime":"now","expiration":{"type":"afterDateTime","endDateTime":"2026-12-31T23:59:59Z"}},
				"assignment":{"targetId":"` + guestID + `","assignmentPolicyId":"` + polID + `","accessPackageId":"` + packID + `"}}`,
			already: reply{status: 400, body: graphError("InvalidModel", "The user already has an assignment.")},
		},
		{
			name: "move package", request: requests, success: accepted, handle: reqID,
			do: func(ctx context.Context, c *entra.Client) (contractor.Receipt, error) {
				return c.MovePackage(ctx, assignment())
			},
			body: `{"requestType":"adminUpdate","justification":"rule everyone, engagement 1",
				"schedule":{"expiration":{"type":"afterDateTime","endDateTime":"2026-12-31T23:59:59Z"}},"assignment":{"id":"` + asgID + `"}}`,
		},
		{
			name: "unassign package", request: requests, success: accepted, handle: reqID,
			do: func(ctx context.Context, c *entra.Client) (contractor.Receipt, error) {
				return c.UnassignPackage(ctx, assignment())
			},
			body:    `{"requestType":"adminRemove","assignment":{"id":"` + asgID + `"}}`,
			already: reply{status: 400, body: graphError("InvalidModel", "The assignment has ended.")},
		},
		{
			name: "restore", request: "POST /directory/deletedItems/" + guestID + "/restore", success: reply{status: 200, body: guestBody}, handle: guestID,
			do: func(ctx context.Context, c *entra.Client) (contractor.Receipt, error) {
				return c.RestoreGuest(ctx, guestID)
			},
		},
		{
			name: "reprocess package", request: requests + "/" + reqID + "/reprocess", again: true, success: reply{status: 202},
			do: func(ctx context.Context, c *entra.Client) (contractor.Receipt, error) {
				return c.ReprocessPackage(ctx, reqID)
			},
		},
	}
}

// stage prepares the scripted Graph for a write: what the write reads first.
func stage(t *testing.T, w write, change ...func(*entra.Config)) (*entra.Client, *graph) {
	c, g := script(t, change...)
	g.on("GET /users/"+guestID+"/sponsors", reply{status: 200, body: `{"value":[]}`})
	g.on("GET /identityGovernance/privilegedAccess/group/assignmentSchedules", reply{status: 200, body: `{"value":[{"id":"` + groupID + `_member_1","accessId":"Member","groupId":"` + groupID + `","principalId":"` + guestID + `",
		"scheduleInfo":{"startDateTime":"2026-11-01T00:00:00Z","expiration":{"type":"AfterDateTime","endDateTime":"2026-12-31T23:59:59Z"}}}]}`})
	held := `{"value":[]}`
	if w.name == "assign package" {
		held = `{"value":[{"id":"` + asgID + `","state":"delivered","accessPackage":{"id":"` + packID + `"},"assignmentPolicy":{"id":"` + polID + `"},"schedule":{"expiration":{"type":"afterDateTime","endDateTime":"2026-12-31T23:59:59Z"}}}]}`
	}
	g.on("GET /identityGovernance/entitlementManagement/assignments", reply{status: 200, body: held})
	g.on("GET /identityGovernance/entitlementManagement/assignmentRequests", reply{status: 200, body: `{"value":[]}`})
	if w.name == "restore" {
		g.on("GET /users/"+guestID, reply{status: 404})
		g.on("GET /directory/deletedItems/"+guestID, reply{status: 200, body: guestBody})
	}
	return c, g
}

func TestWritesOnTheWire(t *testing.T) {
	meta := loadSubset(t)
	for _, w := range writes() {
		t.Run(w.name, func(t *testing.T) {
			c, g := stage(t, w)
			g.on(w.request, w.success)
			r, err := w.do(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			s := g.last(w.request)
			if d := cmp.Diff(withNow(t, w.body), withNow(t, s.Body)); d != "" {
				t.Errorf("body (-want +got):\n%s", d)
			}
			if r.Handle != w.handle || r.AlreadySo || r.RequestID == "" || r.ServerTime.IsZero() {
				t.Errorf("receipt %+v", r)
			}
			if got := s.Header.Values("client-request-id"); len(got) != 1 || got[0] != r.ClientRequestID || got[0] == "" {
				t.Errorf("client-request-id %q, receipt says %q", got, r.ClientRequestID)
			}
			if got := s.Header.Get("Authorization"); got != "Bearer token-1" {
				t.Errorf("Authorization %q", got)
			}
			if s.Header.Get("Content-Encoding") != "" {
				t.Error("the body is compressed")
			}
			if n := len(g.lines(true)); n != 1 {
				t.Errorf("%d writes for one change: %q", n, g.lines(true))
			}
			if meta != nil {
				for _, bad := range meta.check(s) {
					t.Error(bad)
				}
			}
		})
	}
}

// withNow decodes a body and replaces a start of now by a word.
func withNow(t *testing.T, body string) any {
	t.Helper()
	if body == "" {
		return nil
	}
	m := fields(t, body)
	if s, ok := m["schedule"].(map[string]any); ok && s["startDateTime"] != nil {
		if at, err := time.Parse(time.RFC3339, s["startDateTime"].(string)); err == nil && time.Since(at).Abs() < time.Minute {
			s["startDateTime"] = "now"
		}
	}
	return m
}

func TestAnswerThatItWasSo(t *testing.T) {
	for _, w := range writes() {
		if w.already.status == 0 {
			continue
		}
		t.Run(w.name, func(t *testing.T) {
			c, g := stage(t, w)
			g.on(w.request, w.already)
			r, err := w.do(t.Context(), c)
			if err != nil || !r.AlreadySo {
				t.Fatalf("receipt %+v, %v", r, err)
			}
			if w.handle != "" && r.Handle == "" && !strings.HasPrefix(w.name, "unassign") {
				t.Error("no handle of what was there")
			}
		})
	}
}

// TestPairedFaults fails every write in both ways: not done, and done though it failed. In the latter case Graph answers a
// repeat as it would: with what means "so it was" where there is such an answer, else with success.
func TestPairedFaults(t *testing.T) {
	unavailable := reply{status: 503, body: "<html>Service Unavailable</html>", header: map[string]string{"Content-Type": "text/html"}}
	faults := map[string]reply{
		"500":                 {status: 500, body: graphError("InternalServerError", "boom")},
		"503 HTML":            unavailable,
		"504 empty":           {status: 504},
		"no answer":           {err: errors.New("read tcp: connection reset by peer")},
		"200 cut short":       {status: 200, body: `{"id":"` + reqID[:8]},
		"502 without error":   {status: 502, body: `{"message":"bad gateway"}`},
		"500 message is list": {status: 500, body: `{"error":{"code":"x","message":["a"]}}`},
	}
	for _, w := range writes() {
		for name, fault := range faults {
			bodyless := w.success.status == 204 || w.success.status == 202 || w.name == "revoke sessions" || w.name == "restore"
			if name == "200 cut short" && bodyless {
				continue // their answers are not read
			}
			run(t, w.name+" "+name+" then recovered", func(t *testing.T) {
				c, g := stage(t, w)
				g.on(w.request, fault, w.success)
				r, err := w.do(t.Context(), c)
				checkFault(t, w, g, r, err, 2)
			})
			if w.already.status == 0 {
				continue
			}
			run(t, w.name+" "+name+" though done", func(t *testing.T) {
				c, g := stage(t, w)
				g.on(w.request, fault, w.already)
				r, err := w.do(t.Context(), c)
				checkFault(t, w, g, r, err, 2)
			})
		}
	}
}

func checkFault(t *testing.T, w write, g *graph, r contractor.Receipt, err error, attempts int) {
	t.Helper()
	n := 0
	for _, line := range g.lines(true) {
		if line == w.request {
			n++
		}
	}
	if w.again {
		if err != nil || n != attempts {
			t.Fatalf("%d attempts, receipt %+v, error %v; want a quiet repeat", n, r, err)
		}
		if r.AlreadySo {
			t.Error("a change that this call may have made is called already so")
		}
		return
	}
	var f *contractor.Failure
	if !errors.As(err, &f) || f.Verdict != contractor.VerdictUnknown || n != 1 {
		t.Fatalf("%d attempts, error %v; want one, and VerdictUnknown", n, err)
	}
	if f.Message == "" || f.ClientRequestID == "" || f.Op == "" {
		t.Errorf("failure says too little: %+v", f)
	}
}

// TestFaultsThatLast gives every write a Graph that never recovers.
func TestFaultsThatLast(t *testing.T) {
	tests := []struct {
		name  string
		fault reply
		want  contractor.Verdict
		tries int
	}{
		{"400", reply{status: 400, body: graphError("Request_BadRequest", "Invalid value specified for property 'x' of resource 'y'.")}, contractor.VerdictPermanent, 1},
		{"401", reply{status: 401, body: graphError("InvalidAuthenticationToken", "Access token has expired.")}, contractor.VerdictRefused, 2},
		{"403", reply{status: 403, body: graphError("Authorization_RequestDenied", "Insufficient privileges to complete the operation.")}, contractor.VerdictRefused, 1},
		{"409", reply{status: 409, body: graphError("Request_MultipleObjectsWithSameKeyValue", "conflict")}, contractor.VerdictUnknown, 1},
		{"412", reply{status: 412}, contractor.VerdictRetry, 1},
		{"423", reply{status: 423}, contractor.VerdictRetry, 1},
		{"429 for long", reply{status: 429, header: map[string]string{"Retry-After": "120"}}, contractor.VerdictThrottled, 1},
		{"302", reply{status: 302, header: map[string]string{"Location": "https://elsewhere.test/"}}, contractor.VerdictPermanent, 1},
		{"501", reply{status: 501}, contractor.VerdictPermanent, 1},
	}
	for _, w := range writes() {
		for _, tt := range tests {
			run(t, w.name+" "+tt.name, func(t *testing.T) {
				c, g := stage(t, w)
				if w.name == "assign package" || w.name == "unassign package" {
					g.on("GET /identityGovernance/entitlementManagement/assignments", reply{status: 200, body: `{"value":[]}`})
				}
				g.on(w.request, tt.fault)
				r, err := w.do(t.Context(), c)
				if w.name == "unassign package" && (tt.name == "400" || tt.name == "409") {
					if err != nil || !r.AlreadySo { // it is not among the guest's assignments any more
						t.Fatalf("receipt %+v, error %v", r, err)
					}
					return
				}
				want := tt.want
				if w.name == "assign package" && (tt.name == "400" || tt.name == "409") {
					want = contractor.VerdictRefused // and there is no assignment that would explain it
				}
				var f *contractor.Failure
				if !errors.As(err, &f) || f.Verdict != want {
					t.Fatalf("error %v; want verdict %s", err, want)
				}
				if f.Status != tt.fault.status {
					t.Errorf("status %d", f.Status)
				}
				if tt.name == "429 for long" && f.RetryAfter != 2*time.Minute {
					t.Errorf("RetryAfter %s", f.RetryAfter)
				}
				n := 0
				for _, line := range g.lines(true) {
					if line == w.request {
						n++
					}
				}
				if n != tt.tries {
					t.Errorf("%d attempts, want %d: %q", n, tt.tries, g.lines(false))
				}
			})
		}
	}
}

// TestUnsentIsNotUnknown: a request that never found a connection did not happen, whatever its method.
func TestUnsentIsNotUnknown(t *testing.T) {
	transport, err := entra.NewTransport("")
	if err != nil {
		t.Fatal(err)
	}
	c, _ := script(t, func(c *entra.Config) {
		c.GraphURL, c.Transport = "http://127.0.0.1:1/v1.0", transport // nothing listens on port 1
	})
	_, err = c.Invite(t.Context(), contractor.Invitation{Email: "ada@vendor.example"})
	var f *contractor.Failure
	if !errors.As(err, &f) || f.Verdict != contractor.VerdictRetry || f.Status != 0 {
		t.Fatalf("%+v", err)
	}
}

func TestCallerGivesUp(t *testing.T) {
	c, g := script(t)
	g.on("POST /invitations", reply{hang: true})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.Invite(ctx, contractor.Invitation{Email: "ada@vendor.example"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error %v; want the caller's own", err)
	}
}

// run is a subtest in a bubble, where waiting takes no time.
func run(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}
