package emulator_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scimbridge/internal/entra/emulator"
)

// limited is a tenant with these limits and a clock that the test moves.
func limited(t *testing.T, q emulator.Quota) (*client, *time.Time) {
	now := origin()
	cfg := kind()
	cfg.Quota = q
	cfg.Now = func() time.Time { return now }
	return newClient(t, cfg), &now
}

// Point 12: resource units, writes and their headers.
func TestWriteQuota(t *testing.T) {
	c, now := limited(t, emulator.Quota{WritesPer150s: 10})
	id := c.member("ada")
	var pressures []string
	for i := range 10 {
		r := c.must(204, "PATCH", "/users/"+id, map[string]any{"jobTitle": strconv.Itoa(i)})
		pressures = append(pressures, r.header.Get("x-ms-throttle-limit-percentage"))
	}
	if diff := cmp.Diff([]string{"", "", "", "", "", "", "", "0.80", "0.90", "1.00"}, pressures); diff != "" {
		t.Error(diff)
	}
	*now = now.Add(10 * time.Second)
	r := c.must(429, "PATCH", "/users/"+id, map[string]any{"jobTitle": "x"})
	for name, want := range map[string]string{
		"Retry-After": "140", "x-ms-throttle-information": "WriteLimitExceeded", "x-ms-throttle-limit-percentage": "1.10",
		"x-ms-throttle-scope": "Tenant_Application/Write/" + emulator.DefaultClientID + "/" + emulator.DefaultTenantID,
	} {
		if got := r.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	c.must(200, "GET", "/users/"+id, nil) // reading is another limit
	*now = now.Add(140 * time.Second)
	c.must(204, "PATCH", "/users/"+id, map[string]any{"jobTitle": "x"})
	if u, _ := c.e.State().User(id); u.Properties["jobTitle"] != "x" {
		t.Error("the write after the wait is lost")
	}
	w := c.e.Report().Windows["writes"]
	if w.Refused != 1 || w.Limit != 10 || w.Peak != 11 {
		t.Errorf("report %+v", w)
	}
}

func TestResourceUnits(t *testing.T) {
	c, _ := limited(t, emulator.Quota{})
	id, g := c.member("ada"), c.group(emulator.GroupSeed{Name: "g"})
	for path, want := range map[string]string{
		"/users":                                  "2",
		"/users?$select=id":                       "1",
		"/users?$top=19":                          "1",
		"/users?$top=20":                          "2",
		"/users?$expand=manager":                  "3",
		"/users?$top=5&$select=id":                "1",
		"/users/" + id:                            "1",
		"/users/" + id + "/memberOf":              "2",
		"/groups/" + g + "/members":               "3",
		"/groups/" + g + "/transitiveMembers":     "5",
		"/groups/" + g + "/members?$select=id":    "2",
		"/users/" + id + "/transitiveMemberOf":    "2",
		"/directory/deletedItems/graph.user":      "1",
		"/users/" + id + "?$select=id":            "1",
		"/groups/" + g + "/members?$top=2":        "2",
		"/users/" + id + "?$expand=manager":       "2",
		"/groups/" + g + "?$select=id,groupTypes": "1",
	} {
		if got := c.must(200, "GET", path, nil).header.Get("x-ms-resource-unit"); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	if got := c.must(200, "POST", "/users/"+id+"/checkMemberGroups", map[string]any{"groupIds": []any{g}}).header.Get("x-ms-resource-unit"); got != "4" {
		t.Errorf("checkMemberGroups: %s", got)
	}
	before := c.e.Report()
	c.must(204, "POST", "/groups/"+g+"/members/$ref", ref("users", id))
	after := c.e.Report()
	if after.RU-before.RU != 1 || after.Writes-before.Writes != 1 {
		t.Errorf("a membership costs %d RU and %d writes", after.RU-before.RU, after.Writes-before.Writes)
	}
}

func TestUnitsGrowWithTheTenant(t *testing.T) {
	c, _ := limited(t, emulator.Quota{})
	limit := func() int {
		c.must(200, "GET", "/users?$top=1", nil)
		return c.e.Report().Windows["resourceUnits"].Limit
	}
	got := []int{limit()}
	for i := range 501 {
		c.member(fmt.Sprintf("user%d", i))
		if i == 49 || i == 500 {
			got = append(got, limit())
		}
	}
	if diff := cmp.Diff([]int{3500, 5000, 8000}, got); diff != "" {
		t.Error(diff)
	}
}

func TestRefusedCallsCount(t *testing.T) {
	c, now := limited(t, emulator.Quota{WritesPer150s: 10})
	id := c.member("ada")
	patch := func() int { return c.call("PATCH", "/users/"+id, map[string]any{"jobTitle": "x"}).status }
	for range 10 {
		patch()
	}
	*now = now.Add(100 * time.Second)
	for range 20 {
		patch() // hammering: eight of these count
	}
	*now = now.Add(50 * time.Second)
	good := 0
	for patch() == 204 {
		good++
	}
	if good != 2 {
		t.Errorf("%d writes after hammering, want 2", good)
	}
}

func TestReportsQuota(t *testing.T) {
	c, now := limited(t, emulator.Quota{})
	for range 5 {
		c.must(200, "GET", "/auditLogs/directoryAudits?$top=1", nil)
	}
	c.must(429, "GET", "/auditLogs/signIns", nil)
	*now = now.Add(10 * time.Second)
	c.must(200, "GET", "/auditLogs/signIns", nil)
}

func TestConditionalAccessQuotaSaysNotWhen(t *testing.T) {
	c, now := limited(t, emulator.Quota{})
	c.must(200, "GET", caBase+"policies", nil)
	if r := c.must(429, "GET", caBase+"namedLocations", nil); r.header.Get("Retry-After") != "" {
		t.Errorf("Retry-After %q", r.header.Get("Retry-After"))
	}
	*now = now.Add(time.Second)
	c.must(200, "GET", caBase+"namedLocations", nil)
}

func TestLowPriorityGoesFirst(t *testing.T) {
	c, _ := limited(t, emulator.Quota{WritesPer150s: 20})
	id := c.member("ada")
	body := map[string]any{"jobTitle": "x"}
	for range 18 {
		c.must(204, "PATCH", "/users/"+id, body)
	}
	c.must(429, "PATCH", "/users/"+id, body, "x-ms-throttle-priority", "low")
	c.must(204, "PATCH", "/users/"+id, body)
}

func TestQuotaOff(t *testing.T) {
	c, _ := limited(t, emulator.Quota{Off: true, WritesPer150s: 1})
	id := c.member("ada")
	for range 5 {
		c.must(204, "PATCH", "/users/"+id, map[string]any{"jobTitle": "x"})
	}
}

// The dice: spurious 429s and failures, some of which took effect.
func TestMisfortune(t *testing.T) {
	cfg := kind()
	cfg.Throttle, cfg.ServerError = 0.2, 0.2
	cfg.Quota.Off = true
	c := newClient(t, cfg)
	id := c.member("ada")
	statuses, bodies, done := map[int]int{}, map[string]int{}, map[bool]int{}
	for i := range 600 {
		title := strconv.Itoa(i)
		r := c.call("PATCH", "/users/"+id, map[string]any{"jobTitle": title})
		statuses[r.status]++
		switch {
		case r.status == 429:
			bodies["429 wait "+r.header.Get("Retry-After")]++
		case r.raw == "" && r.status >= 500:
			bodies["empty"]++
		case r.raw != "" && r.body == nil:
			bodies["html"]++
		case r.status >= 500 && r.body["error"] == nil:
			bodies["no error"]++
		}
		u, _ := c.e.State().User(id)
		if r.status >= 500 {
			done[u.Properties["jobTitle"] == title]++
		} else if (u.Properties["jobTitle"] == title) != (r.status == 204) {
			t.Fatalf("status %d, title %v", r.status, u.Properties["jobTitle"])
		}
	}
	for _, s := range []int{204, 429, 500, 502, 503, 504} {
		if statuses[s] == 0 {
			t.Errorf("no %d: %v", s, statuses)
		}
	}
	for _, b := range []string{"429 wait ", "429 wait 1", "empty", "html", "no error"} {
		if bodies[b] == 0 {
			t.Errorf("no %q: %v", b, bodies)
		}
	}
	if done[true] < 20 || done[false] < 20 {
		t.Errorf("failures that took effect: %v", done)
	}
}
