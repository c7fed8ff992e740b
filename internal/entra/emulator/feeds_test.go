package emulator_test

import (
	"maps"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scimbridge/internal/entra/emulator"
)

// follow walks a delta query to its deltaLink.
func (c *client) follow(path string) (items []map[string]any, link string) {
	c.t.Helper()
	for range 1000 {
		r := c.must(200, "GET", path, nil)
		items = append(items, r.value()...)
		if link = r.text("@odata.deltaLink"); link != "" {
			return items, link
		}
		if path = r.text("@odata.nextLink"); path == "" {
			c.t.Fatalf("neither nextLink nor deltaLink: %s", r.raw)
		}
	}
	c.t.Fatal("a delta query without end")
	return nil, ""
}

func ids(items []map[string]any) map[string]bool {
	out := map[string]bool{}
	for _, i := range items {
		out[i["id"].(string)] = true
	}
	return out
}

func TestUsersDelta(t *testing.T) {
	cfg := kind()
	cfg.PageSize = 2
	c := newClient(t, cfg)
	a, b, d := c.invite("a@v.example"), c.invite("b@v.example"), c.invite("d@v.example")
	items, link := c.follow("/users/delta?$select=id,accountEnabled,mail")
	if diff := cmp.Diff(map[string]bool{a: true, b: true, d: true}, ids(items)); diff != "" {
		t.Fatalf("first round: %s", diff)
	}
	items, link = c.follow(link)
	if len(items) != 0 {
		t.Errorf("changes without a change: %v", items)
	}
	c.must(204, "PATCH", "/users/"+a, map[string]any{"accountEnabled": false})
	c.must(204, "PATCH", "/users/"+b, map[string]any{"jobTitle": "not selected"})
	c.must(204, "DELETE", "/users/"+d, nil)
	items, link = c.follow(link)
	if diff := cmp.Diff(map[string]bool{a: true, d: true}, ids(items)); diff != "" {
		t.Errorf("second round: %s", diff)
	}
	for _, i := range items {
		switch i["id"] {
		case a:
			if i["accountEnabled"] != false {
				t.Errorf("changed user %v", i)
			}
		case d:
			if diff := cmp.Diff(map[string]any{"reason": "changed"}, i["@removed"]); diff != "" {
				t.Errorf("soft-deleted user: %s", diff)
			}
		}
	}
	c.must(204, "DELETE", "/directory/deletedItems/"+d, nil)
	c.must(200, "GET", "/users/"+b, nil)
	items, link = c.follow(link)
	if len(items) == 0 || items[0]["@removed"].(map[string]any)["reason"] != "deleted" {
		t.Errorf("purged user: %v", items)
	}

	c.advance(7*24*time.Hour + time.Second)
	r := c.call("GET", link, nil)
	if r.code() != "syncStateNotFound" && (r.status != 410 || r.header.Get("Location") == "") {
		t.Errorf("an old token: %d %s", r.status, r.raw)
	}
	c.must(400, "GET", "/users/delta?$top=5", nil)
	c.must(400, "GET", "/users/delta?$filter="+url.QueryEscape("mail eq 'a@v.example'"), nil)
	only, _ := c.follow("/users/delta?$filter=" + url.QueryEscape("id eq '"+a+"' or id eq '"+b+"'"))
	if diff := cmp.Diff(map[string]bool{a: true, b: true}, ids(only)); diff != "" {
		t.Error(diff)
	}
}

func TestDeltaFromNow(t *testing.T) {
	c := newClient(t, kind())
	c.invite("a@v.example")
	items, link := c.follow("/users/delta?$deltatoken=latest")
	b := c.invite("b@v.example")
	more, _ := c.follow(link)
	if len(items) != 0 || len(ids(more)) != 1 || !ids(more)[b] {
		t.Errorf("from now: %v, then %v", items, more)
	}
}

func TestChangesShowUpLate(t *testing.T) {
	c, now := clocked(t, time.Minute)
	_, link := c.follow("/users/delta")
	c.invite("a@v.example")
	if items, _ := c.follow(link); len(items) != 0 {
		t.Errorf("a change is told at once: %v", items)
	}
	*now = now.Add(2*time.Minute + time.Second)
	if items, _ := c.follow(link); len(items) == 0 {
		t.Error("a change is not told after the delay")
	}
}

func TestGroupsDelta(t *testing.T) {
	c := newClient(t, kind())
	a, b := c.member("a"), c.member("b")
	g := c.group(emulator.GroupSeed{Name: "g", Members: []string{a}})
	items, link := c.follow("/groups/delta?$select=id,displayName,members")
	members := func(i map[string]any) map[string]bool {
		out := map[string]bool{}
		list, _ := i["members@delta"].([]any)
		for _, m := range list {
			o := m.(map[string]any)
			out[o["id"].(string)] = o["@removed"] == nil
		}
		return out
	}
	if diff := cmp.Diff(map[string]bool{a: true}, members(items[0])); diff != "" {
		t.Error(diff)
	}
	c.must(204, "POST", "/groups/"+g+"/members/$ref", ref("users", b))
	c.must(204, "DELETE", "/groups/"+g+"/members/"+a+"/$ref", nil)
	items, _ = c.follow(link)
	got := map[string]bool{}
	for _, i := range items {
		maps.Copy(got, members(i))
	}
	if diff := cmp.Diff(map[string]bool{a: false, b: true}, got); diff != "" {
		t.Error(diff)
	}
}

type batchAnswer struct {
	status  int
	headers map[string]any
	body    map[string]any
}

func (c *client) batch(status int, requests ...map[string]any) map[string]batchAnswer {
	c.t.Helper()
	r := c.must(status, "POST", "/$batch", map[string]any{"requests": requests})
	out := map[string]batchAnswer{}
	list, _ := r.body["responses"].([]any)
	for _, e := range list {
		m := e.(map[string]any)
		a := batchAnswer{status: int(m["status"].(float64))}
		a.headers, _ = m["headers"].(map[string]any)
		a.body, _ = m["body"].(map[string]any)
		out[m["id"].(string)] = a
	}
	return out
}

func item(id, method, path string, body any, dependsOn ...string) map[string]any {
	i := map[string]any{"id": id, "method": method, "url": path}
	if body != nil {
		i["body"], i["headers"] = body, map[string]any{"Content-Type": "application/json"}
	}
	if len(dependsOn) > 0 {
		i["dependsOn"] = dependsOn
	}
	return i
}

func TestBatch(t *testing.T) {
	c := newClient(t, kind())
	id, g := c.member("ada"), c.group(emulator.GroupSeed{Name: "g"})
	got := c.batch(200,
		item("1", "GET", "/users/"+id+"?$select=id", nil),
		item("2", "POST", "/groups/"+g+"/members/$ref", ref("users", id)),
		item("3", "GET", "/users/nobody", nil),
		item("4", "PATCH", "/users/"+id, map[string]any{"nonsense": 1}),
	)
	for id, want := range map[string]int{"1": 200, "2": 204, "3": 404, "4": 400} {
		if got[id].status != want {
			t.Errorf("item %s: %d, want %d", id, got[id].status, want)
		}
	}
	if got["1"].body["id"] != id || len(c.e.State().Members(g)) != 1 {
		t.Errorf("item 1: %v", got["1"].body)
	}

	// In a row: what comes after a failure is not tried.
	got = c.batch(200,
		item("a", "DELETE", "/groups/"+g+"/members/"+id+"/$ref", nil),
		item("b", "DELETE", "/groups/"+g+"/members/"+id+"/$ref", nil, "a"),
		item("c", "DELETE", "/users/"+id, nil, "b"),
	)
	if got["a"].status != 204 || got["b"].status != 404 || got["c"].status != 424 {
		t.Errorf("serial: %v", got)
	}
	if u, _ := c.e.State().User(id); u.Deleted != nil {
		t.Error("the dependant of a failure was done")
	}

	// Every item counts, and is throttled by itself.
	c.do(c.e.Fail(emulator.Fault{Match: "user.get", Status: 429, RetryAfter: 3 * time.Second}))
	got = c.batch(200, item("1", "GET", "/users/"+id, nil), item("2", "GET", "/users/"+id, nil))
	if got["1"].status != 429 || got["1"].headers["Retry-After"] != "3" || got["2"].status != 200 {
		t.Errorf("throttled: %v", got)
	}
	var many []map[string]any
	for range 21 {
		many = append(many, item(strings.Repeat("x", len(many)+1), "GET", "/users", nil))
	}
	c.batch(400, many...)
	c.batch(400, item("1", "GET", "/users", nil), item("1", "GET", "/users", nil))
	c.batch(400, item("1", "GET", "/users", nil), item("2", "GET", "/users", nil), item("3", "GET", "/users", nil, "2"))
	c.batch(400, map[string]any{"id": "1", "method": "PATCH", "url": "/users/" + id, "body": map[string]any{}})
	if got := c.batch(200, item("1", "POST", "/$batch", map[string]any{"requests": []any{}})); got["1"].status != 400 {
		t.Errorf("a batch in a batch: %v", got)
	}
}

func TestBatchThrottledAsAWhole(t *testing.T) {
	cfg := kind()
	cfg.Unknowns.BatchThrottled424 = emulator.Yes
	c := newClient(t, cfg)
	c.do(c.e.Fail(emulator.Fault{Match: "user.list", Status: 429}))
	if got := c.batch(424, item("1", "GET", "/users", nil)); got["1"].status != 429 {
		t.Errorf("item: %v", got)
	}
}

func TestBatchItemsCountOneByOne(t *testing.T) {
	c, _ := limited(t, emulator.Quota{WritesPer150s: 3})
	id := c.member("ada")
	var items []map[string]any
	for _, n := range []string{"1", "2", "3", "4", "5"} {
		items = append(items, item(n, "PATCH", "/users/"+id, map[string]any{"jobTitle": n}))
	}
	statuses := map[int]int{}
	for _, a := range c.batch(200, items...) {
		statuses[a.status]++
	}
	if diff := cmp.Diff(map[int]int{204: 3, 429: 2}, statuses); diff != "" {
		t.Error(diff)
	}
}

func TestSendMail(t *testing.T) {
	cfg := kind()
	c := newClient(t, cfg)
	from := c.member("bridge")
	mail := map[string]any{"message": map[string]any{
		"subject": "Your access ends", "body": map[string]any{"contentType": "Text", "content": "tomorrow"},
		"toRecipients": []any{map[string]any{"emailAddress": map[string]any{"address": "boss@contoso.example"}}},
	}, "saveToSentItems": false}
	c.must(202, "POST", "/users/"+from+"/sendMail", mail)
	if m := c.e.State().Mails; len(m) != 1 || m[0].From != "bridge@contoso.example" || m[0].To[0] != "boss@contoso.example" {
		t.Errorf("mails %+v", m)
	}
	c.must(400, "POST", "/users/"+from+"/sendMail", map[string]any{"message": map[string]any{"subject": "x"}})
	c.e.SetPermissions("User.Read.All")
	c.login()
	c.must(403, "POST", "/users/"+from+"/sendMail", mail)
}

func TestWhatDoctorAsks(t *testing.T) {
	cfg := kind()
	cfg.Permissions = append(emulator.DefaultPermissions(), "Application.Read.All", "Organization.Read.All")
	c := newClient(t, cfg)
	sp := c.all("/servicePrincipals?$filter=" + url.QueryEscape("appId eq '"+emulator.DefaultClientID+"'"))
	if len(sp) != 1 {
		t.Fatalf("service principals %v", sp)
	}
	if got := c.must(200, "GET", "/servicePrincipals(appId='"+emulator.DefaultClientID+"')", nil).text("id"); got != sp[0]["id"] {
		t.Errorf("by application id: %s", got)
	}
	roles := map[any]any{}
	graph := c.must(200, "GET", "/servicePrincipals(appId='00000003-0000-0000-c000-000000000000')", nil)
	for _, r := range graph.body["appRoles"].([]any) {
		roles[r.(map[string]any)["id"]] = r.(map[string]any)["value"]
	}
	granted := map[string]bool{}
	for _, a := range c.all("/servicePrincipals/" + sp[0]["id"].(string) + "/appRoleAssignments") {
		name, _ := roles[a["appRoleId"]].(string)
		granted[name] = true
	}
	for _, p := range cfg.Permissions {
		if !granted[p] {
			t.Errorf("%s is not among the assignments", p)
		}
	}
	c.must(200, "GET", "/applications(appId='"+emulator.DefaultClientID+"')?$select=keyCredentials,passwordCredentials", nil)
	if got := c.all("/organization?$select=id,verifiedDomains,assignedPlans"); len(got) != 1 || got[0]["id"] != emulator.DefaultTenantID {
		t.Errorf("organization %v", got)
	}
	c.must(200, "GET", "/subscribedSkus", nil)
}

func TestSubscriptions(t *testing.T) {
	c := newClient(t, kind())
	body := func(until time.Time) map[string]any {
		return map[string]any{"changeType": "updated,deleted", "notificationUrl": "https://bridge.example/n", "resource": "users", "expirationDateTime": until.Format(time.RFC3339)}
	}
	c.must(400, "POST", "/subscriptions", body(origin().Add(41_761*time.Minute)))
	r := c.must(201, "POST", "/subscriptions", body(origin().Add(time.Minute)))
	if got := r.text("expirationDateTime"); got != "2026-12-01T08:45:00Z" {
		t.Errorf("a short life becomes %s", got)
	}
	id := r.text("id")
	c.must(200, "PATCH", "/subscriptions/"+id, map[string]any{"expirationDateTime": "2026-12-02T08:00:00Z"})
	if got := len(c.all("/subscriptions")); got != 1 {
		t.Errorf("%d subscriptions", got)
	}
	c.must(204, "DELETE", "/subscriptions/"+id, nil)
	insecure := body(origin().Add(time.Hour))
	insecure["notificationUrl"] = "http://bridge.example/n"
	c.must(400, "POST", "/subscriptions", insecure)
}
