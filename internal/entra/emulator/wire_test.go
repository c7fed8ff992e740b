package emulator_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scimbridge/internal/entra/emulator"
)

func zipped(t *testing.T, s string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Point 1: gzip and plain bodies, and bodies whose encoding lies.
func TestBodies(t *testing.T) {
	c := newClient(t, kind())
	id := c.member("ada")
	const body = `{"jobTitle":"Contractor"}`
	tests := []struct {
		name    string
		body    any
		headers []string
		status  int
	}{
		{"Plain", body, nil, 204},
		{"Gzip", zipped(t, body), []string{"Content-Encoding", "gzip"}, 204},
		{"PlainLabelledGzip", body, []string{"Content-Encoding", "gzip"}, 400},
		{"GzipLabelledPlain", zipped(t, body), nil, 400},
		{"BrokenGzip", zipped(t, body)[:20], []string{"Content-Encoding", "gzip"}, 400},
		{"UnknownEncoding", body, []string{"Content-Encoding", "br"}, 415},
		{"NotJSON", "jobTitle=x", nil, 400},
		{"TwoValues", body + body, nil, 400},
		{"Array", `[]`, nil, 400},
		{"WrongContentType", body, []string{"Content-Type", "text/plain"}, 415},
		{"TooLong", `{"jobTitle":"` + strings.Repeat("x", 5<<20) + `"}`, nil, 413},
		{"Bomb", zipped(t, `{"jobTitle":"`+strings.Repeat("x", 5<<20)+`"}`), []string{"Content-Encoding", "gzip"}, 413},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if r := c.call("PATCH", "/users/"+id, tt.body, tt.headers...); r.status != tt.status {
				t.Errorf("status %d, want %d: %.200s", r.status, tt.status, r.raw)
			}
		})
	}
}

// Point 2: both spellings of functions and casts, and encoded filters.
func TestSpellings(t *testing.T) {
	c := newClient(t, kind())
	id, err := c.e.AddUser(emulator.UserSeed{Guest: true, Mail: "o'neil@vendor.example"})
	c.do(err)
	g := c.group(emulator.GroupSeed{Name: "g", Members: []string{id}})
	for _, path := range []string{
		"/users/delta", "/users/delta()", "/users/microsoft.graph.delta()", "/groups/delta", "/groups/delta()",
		"/users/" + id + "/memberOf/graph.group", "/users/" + id + "/transitiveMemberOf/microsoft.graph.group",
		"/groups/" + g + "/members/graph.user", "/groups/" + g + "/members/microsoft.graph.user",
		"/directory/deletedItems/graph.user", "/directory/deletedItems/microsoft.graph.user",
		"/users/" + strings.ToUpper(id),
	} {
		c.must(200, "GET", path, nil)
	}
	for _, filter := range []string{
		"mail eq 'o''neil@vendor.example'",
		"mail%20eq%20%27o%27%27neil%40vendor.example%27",
		"proxyAddresses/any(p:p eq 'SMTP:o''neil@vendor.example')",
		"proxyAddresses/any(p:p eq 'smtp:o''neil@vendor.example')",
		"userPrincipalName%20eq%20'o''neil_vendor.example%23EXT%23%40contoso.onmicrosoft.example'",
	} {
		if !strings.Contains(filter, "%") {
			filter = url.QueryEscape(filter)
		}
		if got := c.all("/users?$filter=" + filter); len(got) != 1 || got[0]["id"] != id {
			t.Errorf("%s finds %v", filter, got)
		}
	}
	byUPN := "/users/" + url.PathEscape("o'neil_vendor.example#EXT#@contoso.onmicrosoft.example")
	if got := c.must(200, "GET", byUPN, nil).text("id"); got != id {
		t.Errorf("by UPN: %q", got)
	}
	// A # that is not encoded ends the URL, and with it the literal.
	c.must(400, "GET", "/users?$filter=userPrincipalName%20eq%20'o''neil_vendor.example#EXT#@contoso.onmicrosoft.example'", nil)
	c.must(400, "GET", "/users/"+id+"/memberOf/graph.nothing", nil)
	c.must(400, "GET", "/nothing", nil)
	c.must(405, "DELETE", "/users", nil)
	c.must(400, "GET", "https://"+emulator.GraphHost+"/beta/users", nil)
}

// Point 3: default properties and $select.
func TestDefaultProperties(t *testing.T) {
	c := newClient(t, kind())
	id := c.invite("ada@vendor.example")
	got := c.must(200, "GET", "/users/"+id, nil)
	var names []string
	for k := range got.body {
		if !strings.HasPrefix(k, "@") {
			names = append(names, k)
		}
	}
	if len(names) != 11 {
		t.Errorf("%d properties by default: %v", len(names), names)
	}
	for _, hidden := range []string{"accountEnabled", "userType", "externalUserState", "companyName", "onPremisesExtensionAttributes"} {
		if _, there := got.body[hidden]; there {
			t.Errorf("%s is returned without $select", hidden)
		}
	}
	sel := c.must(200, "GET", "/users/"+id+"?$select=id,accountEnabled,externalUserState,userType,creationType", nil)
	delete(sel.body, "@odata.context")
	want := map[string]any{"id": id, "accountEnabled": true, "externalUserState": "PendingAcceptance", "userType": "Guest", "creationType": "Invitation"}
	if diff := cmp.Diff(want, sel.body); diff != "" {
		t.Error(diff)
	}
	c.must(400, "GET", "/users/"+id+"?$select=acountEnabled", nil)
	c.must(400, "GET", "/users/"+id+"?$search=x", nil)
}

func TestExpand(t *testing.T) {
	c := newClient(t, kind())
	boss, id := c.member("boss"), c.invite("ada@vendor.example")
	c.must(204, "PUT", "/users/"+id+"/manager/$ref", ref("users", boss))
	c.must(204, "POST", "/users/"+id+"/sponsors/$ref", ref("users", boss))
	r := c.must(200, "GET", "/users/"+id+"?$select=id&$expand=manager($select=id,displayName),sponsors", nil)
	manager, _ := r.body["manager"].(map[string]any)
	if manager["id"] != boss || manager["displayName"] != "boss" {
		t.Errorf("manager: %v", manager)
	}
	if s, _ := r.body["sponsors"].([]any); len(s) == 0 {
		t.Errorf("sponsors: %v", r.body["sponsors"])
	}
	if got := r.header.Get("x-ms-resource-unit"); got != "1" {
		t.Errorf("resource units with $select and $expand: %s, want 1", got)
	}
	c.must(400, "GET", "/users/"+id+"?$expand=friends", nil)
}

// Filters follow the table of what is indexed.
func TestAdvancedQueries(t *testing.T) {
	c := newClient(t, kind())
	id := c.invite("ada@vendor.example")
	c.must(204, "PATCH", "/users/"+id, map[string]any{"companyName": "Vendor GmbH"})
	tests := []struct {
		filter   string
		plain    int
		advanced int
	}{
		{"companyName eq 'Vendor GmbH'", 400, 200},
		{"not(companyName eq 'x')", 400, 200},
		{"userType ne 'Member'", 400, 200},
		{"endsWith(mail,'@vendor.example')", 400, 200},
		{"startswith(mail,'ada')", 200, 200},
		{"userType eq 'Guest' and accountEnabled eq true", 200, 200},
		{"createdDateTime ge 2026-01-01T00:00:00Z", 200, 200},
		{"mail in ('ada@vendor.example','x@y.example')", 200, 200},
		{"identities/any(i:i/issuer eq 'contoso.onmicrosoft.example')", 400, 400},
		{"identities/any(i:i/issuer eq 'mail')", 200, 200},
		{"contains(displayName,'a')", 400, 400},
		{"nonsense eq 'x'", 400, 400},
		{"mail eq", 400, 400},
		{"mail eq 'x", 400, 400},
		{"(mail eq 'x'", 400, 400},
		{"mail eq ada", 400, 400},
	}
	for _, tt := range tests {
		path := "/users?$filter=" + url.QueryEscape(tt.filter)
		if r := c.call("GET", path, nil); r.status != tt.plain {
			t.Errorf("%s: %d, want %d: %s", tt.filter, r.status, tt.plain, r.raw)
		}
		r := c.call("GET", path+"&$count=true", nil, "ConsistencyLevel", "eventual")
		if r.status != tt.advanced {
			t.Errorf("%s, advanced: %d, want %d: %s", tt.filter, r.status, tt.advanced, r.raw)
		}
	}
	r := c.must(200, "GET", "/users?$count=true&$filter="+url.QueryEscape("companyName eq 'vendor gmbh'"), nil, "ConsistencyLevel", "eventual")
	if r.body["@odata.count"] != 1.0 {
		t.Errorf("count %v", r.body["@odata.count"])
	}
	c.must(400, "GET", "/users?$count=true", nil)
	c.must(400, "GET", "/users?$count=true&$expand=manager", nil, "ConsistencyLevel", "eventual")
}

func TestPaging(t *testing.T) {
	cfg := kind()
	cfg.PageSize = 3
	c := newClient(t, cfg)
	want := map[string]bool{}
	for n := range strings.SplitSeq("a b c d e f g h i j", " ") {
		want[c.member(n)] = true
	}
	empties := 0
	for range 60 {
		got := map[string]bool{}
		for path, pages := "/users?$select=id", 0; path != ""; pages++ {
			r := c.must(200, "GET", path, nil)
			if len(r.value()) > 3 {
				t.Fatalf("a page of %d", len(r.value()))
			}
			if path = r.text("@odata.nextLink"); len(r.value()) == 0 && path != "" {
				empties++
			}
			for _, u := range r.value() {
				if id := u["id"].(string); got[id] {
					t.Fatalf("%s twice", id)
				} else {
					got[id] = true
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	}
	if empties == 0 {
		t.Error("no empty page with a nextLink in 60 walks")
	}
	if got := len(c.must(200, "GET", "/users?$top=2", nil).value()); got > 2 {
		t.Errorf("$top=2 gives %d", got)
	}
	names := []string{}
	for _, u := range c.all("/users?$orderby=displayName%20desc&$select=displayName") {
		names = append(names, u["displayName"].(string))
	}
	if diff := cmp.Diff(strings.Split("j i h g f e d c b a", " "), names); diff != "" {
		t.Error(diff)
	}
	c.must(400, "GET", "/users?$top=1000", nil)
	c.refused(400, "Directory_ExpiredPageToken", "GET", "/users?$skiptoken=xyz", nil)
}

// Point 13: the shapes of errors, and connections that are closed.
func TestErrorShapes(t *testing.T) {
	c := newClient(t, kind())
	id := c.member("ada")
	shapes := map[emulator.BodyKind]func(reply) bool{
		emulator.BodyOData:   func(r reply) bool { return r.code() == "InternalServerError" && r.message() != "" },
		emulator.BodyEmpty:   func(r reply) bool { return r.raw == "" },
		emulator.BodyHTML:    func(r reply) bool { return strings.HasPrefix(r.raw, "<!DOCTYPE html>") && r.body == nil },
		emulator.BodyNoError: func(r reply) bool { return r.body != nil && r.body["error"] == nil },
	}
	for kind, fits := range shapes {
		c.do(c.e.Fail(emulator.Fault{Match: "user.get", Status: 500, Body: kind}))
		if r := c.must(500, "GET", "/users/"+id, nil); !fits(r) {
			t.Errorf("%q: %s", kind, r.raw)
		}
	}
	c.do(c.e.Fail(emulator.Fault{Match: "user.get"}))
	if r := c.call("GET", "/users/"+id, nil); !errors.Is(r.err, io.ErrUnexpectedEOF) {
		t.Errorf("a closed connection gives %v", r.err)
	}
	r := c.must(404, "GET", "/users/00000000-0000-4000-8000-000000000000", nil, "client-request-id", "11111111-0000-4000-8000-000000000000")
	inner := r.body["error"].(map[string]any)["innerError"].(map[string]any)
	if inner["client-request-id"] != "11111111-0000-4000-8000-000000000000" || inner["request-id"] != r.header.Get("request-id") || r.header.Get("request-id") == "" {
		t.Errorf("ids: %v %v", inner, r.header)
	}
	if !strings.Contains(r.message(), "does not exist or one of its queried reference-property objects are not present") {
		t.Errorf("message %q", r.message())
	}
}

func TestFaultsComeInPairs(t *testing.T) {
	invitation := map[string]any{"invitedUserEmailAddress": "ada@vendor.example", "inviteRedirectUrl": "https://x.example"}
	for mode, guests := range map[emulator.FaultMode]int{emulator.NotDone: 0, emulator.DoneThoughFailed: 1} {
		t.Run(string(mode), func(t *testing.T) {
			c := newClient(t, kind())
			c.do(c.e.Fail(emulator.Fault{Match: "POST /invitations", Mode: mode, Status: 504, Body: emulator.BodyEmpty}))
			c.must(504, "POST", "/invitations", invitation)
			if got := len(c.e.State().Users); got != guests {
				t.Errorf("%d guests, want %d", got, guests)
			}
			calls := c.e.Calls()
			if last := calls[len(calls)-1]; last.Done != (guests == 1) || last.Fault == "" {
				t.Errorf("call %+v", last)
			}
		})
	}
	t.Run("AfterTimesAndRetryAfter", func(t *testing.T) {
		c := newClient(t, kind())
		id := c.member("ada")
		c.do(c.e.Fail(emulator.Fault{Match: "GET /users/*", Status: 429, RetryAfter: 7 * time.Second, After: 1, Times: 2}))
		var got []int
		for range 4 {
			r := c.call("GET", "/users/"+id, nil)
			got = append(got, r.status)
			if r.status == 429 && r.header.Get("Retry-After") != "7" {
				t.Errorf("Retry-After %q", r.header.Get("Retry-After"))
			}
		}
		if diff := cmp.Diff([]int{200, 429, 429, 200}, got); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("Outage", func(t *testing.T) {
		now := origin()
		cfg := kind()
		cfg.Now = func() time.Time { return now }
		c := newClient(t, cfg)
		id := c.member("ada")
		c.e.Outage(time.Minute, 503)
		c.must(503, "GET", "/users/"+id, nil)
		now = now.Add(time.Minute)
		c.must(200, "GET", "/users/"+id, nil)
	})
	t.Run("Refused", func(t *testing.T) {
		c := newClient(t, kind())
		for _, f := range []emulator.Fault{{}, {Match: "* *", Status: 200}, {Match: "* *", Mode: "sometimes"}, {Match: "* *", Mode: emulator.HeldBack}} {
			if c.e.Fail(f) == nil {
				t.Errorf("%+v is accepted", f)
			}
		}
	})
}

func TestHeldBackAnswerEndsWithThePatienceOfTheCaller(t *testing.T) {
	c := newClient(t, kind())
	id := c.member("ada")
	c.do(c.e.Fail(emulator.Fault{Match: "user.update", Mode: emulator.HeldBack, Delay: time.Hour}))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPatch, "https://"+emulator.GraphHost+"/v1.0/users/"+id, strings.NewReader(`{"jobTitle":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Content-Type", "application/json")
	if _, err := try(t, c.http, req); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	if u, _ := c.e.State().User(id); u.Properties["jobTitle"] != "x" {
		t.Error("the update did not take effect")
	}
}

// Point 15: durations, unknown properties, nulls.
func TestBodiesAreCheckedByNamesAndTypes(t *testing.T) {
	c := newClient(t, kind())
	id, g := c.invite("ada@vendor.example"), c.group(emulator.GroupSeed{Name: "g"})
	pkg, _, err := c.e.AddAccessPackage(emulator.PackageSeed{Name: "p", Groups: []string{g}})
	c.do(err)
	duration := func(d string) map[string]any {
		b := pim("adminAssign", g, id, time.Time{})
		b["scheduleInfo"] = map[string]any{"expiration": map[string]any{"type": "afterDuration", "duration": d}}
		return b
	}
	tests := []struct {
		name, method, path string
		body               any
		status             int
	}{
		{"UnknownProperty", "PATCH", "/users/" + id, map[string]any{"companyNam": "x"}, 400},
		{"WrongCase", "PATCH", "/users/" + id, map[string]any{"CompanyName": "x"}, 400},
		{"WrongType", "PATCH", "/users/" + id, map[string]any{"accountEnabled": "false"}, 400},
		{"NotATime", "PATCH", "/users/" + id, map[string]any{"employeeHireDate": "2026-12-01"}, 400},
		{"EmptyText", "PATCH", "/users/" + id, map[string]any{"department": ""}, 400},
		{"NullWhereAllowed", "PATCH", "/users/" + id, map[string]any{"department": nil}, 204},
		{"NullName", "PATCH", "/users/" + id, map[string]any{"displayName": nil}, 400},
		{"NullCollection", "PATCH", "/users/" + id, map[string]any{"otherMails": nil}, 400},
		{"EmployeeIdOf16", "PATCH", "/users/" + id, map[string]any{"employeeId": strings.Repeat("1", 16)}, 204},
		{"EmployeeIdOf17", "PATCH", "/users/" + id, map[string]any{"employeeId": strings.Repeat("1", 17)}, 400},
		{"CompanyOf64Umlauts", "PATCH", "/users/" + id, map[string]any{"companyName": strings.Repeat("ü", 64)}, 204},
		{"CompanyOf65", "PATCH", "/users/" + id, map[string]any{"companyName": strings.Repeat("x", 65)}, 400},
		{"ReadOnly", "PATCH", "/users/" + id, map[string]any{"externalUserState": "Accepted"}, 400},
		{"NavigationProperty", "PATCH", "/users/" + id, map[string]any{"manager": map[string]any{"id": id}}, 400},
		{"NestedUnknown", "PATCH", "/users/" + id, map[string]any{"employeeOrgData": map[string]any{"cost": "x"}}, 400},
		{"ExtensionAttribute", "PATCH", "/users/" + id, map[string]any{"onPremisesExtensionAttributes": map[string]any{"extensionAttribute1": strings.Repeat("x", 1024)}}, 204},
		{"ExtensionAttributeTooLong", "PATCH", "/users/" + id, map[string]any{"onPremisesExtensionAttributes": map[string]any{"extensionAttribute1": strings.Repeat("x", 1025)}}, 400},
		{"DirectoryExtension", "PATCH", "/users/" + id, map[string]any{"extension_5c1b1d9e_vendor": "x"}, 204},
		{"ODataTypeOfUser", "PATCH", "/users/" + id, map[string]any{"@odata.type": "#microsoft.graph.user", "jobTitle": "x"}, 204},
		{"ODataTypeOfAnother", "PATCH", "/users/" + id, map[string]any{"@odata.type": "#microsoft.graph.group", "jobTitle": "x"}, 400},
		{"SecurityAttributesWithoutType", "PATCH", "/users/" + id, map[string]any{"customSecurityAttributes": map[string]any{"Contractors": map[string]any{"VendorId": "x"}}}, 400},
		{"SecurityAttributes", "PATCH", "/users/" + id, map[string]any{"customSecurityAttributes": map[string]any{"Contractors": map[string]any{"@odata.type": "#Microsoft.DirectoryServices.CustomSecurityAttributeValue", "VendorId": "x"}}}, 204},
		{"UsageLocation", "PATCH", "/users/" + id, map[string]any{"usageLocation": "Germany"}, 400},
		{"Weeks", "POST", pimBase + "assignmentScheduleRequests", duration("P4W2D"), 400},
		{"Months", "POST", pimBase + "assignmentScheduleRequests", duration("P1M"), 400},
		{"UnknownMember", "POST", pimBase + "assignmentScheduleRequests", pim("AdminAssign", g, id, origin().Add(time.Hour)), 400},
		{"BetaNameOfAssignment", "POST", emBase + "assignmentRequests", map[string]any{"requestType": "adminAdd", "accessPackageAssignment": map[string]any{"targetId": id, "accessPackageId": pkg}}, 400},
		{"BetaSettings", "PATCH", emBase + "settings", map[string]any{"daysUntilExternalUserDeletedAfterBlocked": 30}, 400},
		{"SettingsInWeeks", "PATCH", emBase + "settings", map[string]any{"durationUntilExternalUserDeletedAfterBlocked": "P4W2D"}, 400},
		{"Settings", "PATCH", emBase + "settings", map[string]any{"durationUntilExternalUserDeletedAfterBlocked": "P30D"}, 204},
		{"ReferenceWithMore", "PUT", "/users/" + id + "/manager/$ref", map[string]any{"@odata.id": "https://graph.microsoft.com/v1.0/users/" + id, "id": id}, 400},
		{"ReferenceWithoutVersion", "PUT", "/users/" + id + "/manager/$ref", map[string]any{"@odata.id": "https://graph.microsoft.com/users/" + id}, 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if r := c.call(tt.method, tt.path, tt.body); r.status != tt.status {
				t.Errorf("status %d, want %d: %s", r.status, tt.status, r.raw)
			}
		})
	}
	// A duration in days is fine.
	c.must(201, "POST", pimBase+"assignmentScheduleRequests", duration("P30D"))
}

func TestDateHeaderIsTheEmulatedClock(t *testing.T) {
	c := newClient(t, kind())
	c.advance(48 * time.Hour)
	want := origin().Add(48 * time.Hour).Format(http.TimeFormat)
	if got := c.call("GET", "/users", nil).header.Get("Date"); got != want {
		t.Errorf("Date %q, want %q", got, want)
	}
	c.e.SkewClock(-time.Hour)
	want = origin().Add(47 * time.Hour).Format(http.TimeFormat)
	if got := c.call("GET", "/users", nil).header.Get("Date"); got != want {
		t.Errorf("skewed Date %q, want %q", got, want)
	}
	if c.e.AdvanceClock(-time.Second) == nil {
		t.Error("the clock goes back")
	}
}
