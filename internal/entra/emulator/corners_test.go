package emulator_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scimbridge/internal/entra/emulator"
)

func TestPackageRequestsAreListed(t *testing.T) {
	p := newPackages(t, kind(), emulator.PackageSeed{})
	id := p.invite("ada@vendor.example")
	req := p.request(p.add(id, origin().Add(time.Hour)))
	got := p.all(emBase + "assignmentRequests?$expand=requestor,accessPackage,assignment($expand=target)&$filter=" + url.QueryEscape("assignment/target/objectId eq '"+id+"'"))
	if len(got) != 1 || got[0]["id"] != req {
		t.Fatalf("requests %v", got)
	}
	target := got[0]["assignment"].(map[string]any)["target"].(map[string]any)
	if target["objectId"] != id || target["subjectLifecycle"] != "notGoverned" || got[0]["requestor"].(map[string]any)["subjectType"] != "servicePrincipal" {
		t.Errorf("request %v", got[0])
	}
	a := p.assignment(id)["id"].(string)
	if got := p.must(200, "GET", emBase+"assignments/"+a+"?$expand=assignmentPolicy", nil); got.body["assignmentPolicy"].(map[string]any)["id"] != p.policy {
		t.Errorf("assignment %s", got.raw)
	}
	p.must(404, "GET", emBase+"assignments/"+p.pkg, nil)
	p.must(400, "GET", emBase+"assignmentRequests/"+req+"?$expand=nothing", nil)
	if got := p.must(200, "GET", emBase+"settings", nil).text("externalUserLifecycleAction"); got != "blockSignInAndDelete" {
		t.Errorf("settings %s", got)
	}
}

func TestPoliciesForNamedPeople(t *testing.T) {
	p := newPackages(t, kind(), emulator.PackageSeed{})
	in, out, grouped := p.invite("in@v.example"), p.invite("out@v.example"), p.invite("grouped@v.example")
	team := p.client.group(emulator.GroupSeed{Name: "team", Members: []string{grouped}})
	var err error
	p.pkg, p.policy, err = p.e.AddAccessPackage(emulator.PackageSeed{Name: "named", Groups: []string{p.group}, Policy: map[string]any{
		"displayName": "named", "allowedTargetScope": "specificDirectoryUsers", "specificAllowedTargets": []any{
			map[string]any{"@odata.type": "#microsoft.graph.singleUser", "userId": in},
			map[string]any{"@odata.type": "#microsoft.graph.groupMembers", "groupId": team},
		},
	}})
	p.do(err)
	for id, status := range map[string]int{in: 201, grouped: 201, out: 400} {
		p.must(status, "POST", emBase+"assignmentRequests", p.add(id, time.Time{}))
	}
}

func TestAPurgedUserLosesEverything(t *testing.T) {
	p := newPackages(t, kind(), emulator.PackageSeed{})
	id, boss := p.invite("ada@vendor.example"), p.member("boss")
	g := p.client.group(emulator.GroupSeed{Name: "g"})
	p.assign("adminAssign", g, id, origin().Add(time.Hour))
	p.request(p.add(id, origin().Add(time.Hour)))
	p.must(204, "PUT", "/users/"+boss+"/manager/$ref", ref("users", id))
	p.do(p.e.DoPurge(id))
	s := p.e.State()
	if len(s.Members(g))+len(s.Members(p.group)) != 0 || s.Schedules[0].Active || s.Assignments[0].State != "expired" {
		t.Errorf("left over: %+v %+v", s.Schedules, s.Assignments)
	}
	p.must(404, "GET", "/users/"+boss+"/manager", nil)
	*p.now = p.now.Add(2 * time.Hour) // the timers of what is gone do no harm
	p.must(200, "GET", "/users/"+boss, nil)
}

func TestASoftDeletedGuestStillLosesWhatExpires(t *testing.T) {
	c := newClient(t, kind())
	id, g := c.invite("ada@vendor.example"), c.group(emulator.GroupSeed{Name: "g"})
	c.assign("adminAssign", g, id, origin().Add(time.Hour))
	c.must(204, "DELETE", "/users/"+id, nil)
	c.advance(2 * time.Hour)
	c.must(200, "POST", "/directory/deletedItems/"+id+"/restore", nil)
	if got := c.e.State().Members(g); len(got) != 0 {
		t.Errorf("members after the restore: %v", got)
	}
}

func TestFederatedECDSA(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cfg := kind()
	cfg.Federated = []emulator.FederatedCredential{{Issuer: "https://issuer.example", Subject: "bridge", Audience: "aud", Key: &key.PublicKey}}
	c := newClient(t, cfg)
	assertion := func(audience any, alg string) string {
		payload, err := json.Marshal(map[string]any{"iss": "https://issuer.example", "sub": "bridge", "aud": audience, "exp": origin().Add(time.Minute).Unix()})
		if err != nil {
			t.Fatal(err)
		}
		enc := base64.RawURLEncoding
		head := enc.EncodeToString([]byte(`{"alg":"`+alg+`"}`)) + "." + enc.EncodeToString(payload)
		sum := sha256.Sum256([]byte(head))
		r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return head + "." + enc.EncodeToString(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
	}
	ask := func(assertion string) int {
		resp, err := c.http.PostForm("https://"+emulator.LoginHost+"/"+emulator.DefaultTenantID+"/oauth2/v2.0/token", url.Values{
			"grant_type": {"client_credentials"}, "client_id": {emulator.DefaultClientID}, "scope": {"https://graph.microsoft.com/.default"},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {assertion},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer closed(t, resp.Body)
		return resp.StatusCode
	}
	got := []int{
		ask(assertion("aud", "ES256")), ask(assertion([]any{"x", "aud"}, "ES256")), ask(assertion("other", "ES256")), ask(assertion("aud", "none")),
		ask(assertion("aud", "ES256")[:40]), ask("a.b.c"),
	}
	if diff := cmp.Diff([]int{200, 200, 401, 401, 401, 401}, got); diff != "" {
		t.Error(diff)
	}
}

func TestPolicyForSomePartnerTenants(t *testing.T) {
	c := caTenant(t)
	id := c.invite("ada@vendor.example")
	if _, err := c.e.SignIn(emulator.SignIn{UserID: id}); err != nil {
		t.Fatal(err)
	}
	home := c.all("/auditLogs/signIns")[0]["homeTenantId"]
	for tenant, code := range map[any]int{home: 53003, "aaaaaaaa-0000-4000-8000-000000000001": 0} {
		p := guestPolicy("enabled", map[string]any{"grantControls": map[string]any{"operator": "OR", "builtInControls": []any{"block"}}})
		users := p["conditions"].(map[string]any)["users"].(map[string]any)
		users["includeGuestsOrExternalUsers"].(map[string]any)["externalTenants"] = map[string]any{
			"@odata.type": "#microsoft.graph.conditionalAccessEnumeratedExternalTenants", "membershipKind": "enumerated", "members": []any{tenant},
		}
		policy := c.must(201, "POST", caBase+"policies", p).text("id")
		if r, err := c.e.SignIn(emulator.SignIn{UserID: id}); err != nil || r.ErrorCode != code {
			t.Errorf("policy for %v: %+v %v", tenant, r, err)
		}
		c.must(204, "DELETE", caBase+"policies/"+policy, nil)
	}
}

func TestLocationsOfSignIns(t *testing.T) {
	c := caTenant(t)
	id := c.invite("ada@vendor.example")
	office := c.must(201, "POST", caBase+"namedLocations", map[string]any{
		"@odata.type": "#microsoft.graph.ipNamedLocation", "displayName": "office", "isTrusted": true,
		"ipRanges": []any{map[string]any{"@odata.type": "#microsoft.graph.iPv4CidrRange", "cidrAddress": "198.51.100.0/24"}},
	}).text("id")
	if got := c.all(caBase + "namedLocations"); len(got) != 1 || c.must(200, "GET", caBase+"namedLocations/"+office, nil).text("displayName") != "office" {
		t.Errorf("locations %v", got)
	}
	p := guestPolicy("enabled", map[string]any{"grantControls": map[string]any{"operator": "OR", "builtInControls": []any{"block"}}})
	p["conditions"].(map[string]any)["locations"] = map[string]any{"includeLocations": []any{"All"}, "excludeLocations": []any{"AllTrusted"}}
	c.must(201, "POST", caBase+"policies", p)
	for ip, allowed := range map[string]bool{"198.51.100.9": true, "203.0.113.9": false} {
		if r, err := c.e.SignIn(emulator.SignIn{UserID: id, IP: ip}); err != nil || r.Allowed != allowed {
			t.Errorf("from %s: %+v %v", ip, r, err)
		}
	}
	if _, err := c.e.SignIn(emulator.SignIn{UserID: id, IP: "x"}); err == nil {
		t.Error("an address that is none is accepted")
	}
}
