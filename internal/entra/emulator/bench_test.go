package emulator_test

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"scimbridge/internal/entra/emulator"
)

// BenchmarkOnboarding is the life of one guest (look up, invite, attributes, PIM,
// package, disable, delete) in a tenant that keeps growing.
func BenchmarkOnboarding(b *testing.B) {
	cfg := kind()
	cfg.Quota.Off = true
	cfg.Lag = time.Second
	cfg.Now = time.Now
	c := newClient(b, cfg)
	g := c.group(emulator.GroupSeed{Name: "g"})
	pkg, policy, err := c.e.AddAccessPackage(emulator.PackageSeed{Name: "p", Groups: []string{g}})
	c.do(err)
	end := time.Now().Add(24 * time.Hour)
	b.ReportAllocs()
	for i := range b.N {
		address := fmt.Sprintf("guest%d@vendor.example", i)
		c.call("GET", "/users?$select=id&$filter="+url.QueryEscape("mail eq '"+address+"'"), nil)
		r := c.call("POST", "/invitations", map[string]any{"invitedUserEmailAddress": address, "inviteRedirectUrl": "https://x.example"})
		id := r.body["invitedUser"].(map[string]any)["id"].(string)
		c.call("PATCH", "/users/"+id, map[string]any{"companyName": "Vendor", "department": "x"})
		c.call("POST", pimBase+"assignmentScheduleRequests", pim("adminAssign", g, id, end))
		c.call("GET", instances(g, id), nil)
		c.call("POST", emBase+"assignmentRequests", map[string]any{"requestType": "adminAdd", "assignment": map[string]any{"targetId": id, "accessPackageId": pkg, "assignmentPolicyId": policy}})
		c.call("GET", emBase+"assignments?$filter="+url.QueryEscape("target/objectId eq '"+id+"'"), nil)
		c.call("PATCH", "/users/"+id, map[string]any{"accountEnabled": false})
		c.call("GET", "/users/"+id+"/memberOf", nil)
		c.call("DELETE", "/users/"+id, nil)
	}
	b.ReportMetric(float64(b.N*10)/b.Elapsed().Seconds(), "calls/s")
}
