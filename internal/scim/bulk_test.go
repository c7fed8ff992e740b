package scim_test

import (
	"fmt"
	"strings"
	"testing"

	"scimbridge/internal/scim"
)

func bulkBody(failOnErrors int, ops ...string) string {
	fail := ""
	if failOnErrors > 0 {
		fail = fmt.Sprintf(`"failOnErrors":%d,`, failOnErrors)
	}
	return `{"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],` + fail + `"Operations":[` + strings.Join(ops, ",") + `]}`
}

func bulkPost(id, name string, more ...string) string {
	return fmt.Sprintf(`{"method":"POST","path":"/Users","bulkId":%q,"data":%s}`, id, user(name, more...))
}

func managedBy(ref string) string {
	return fmt.Sprintf(`%q:{"manager":{"value":%q}}`, urnEnterprise, ref)
}

func TestRFC7644_3_7_Bulk(t *testing.T) {
	w := newWorld(t, nil)
	bob := w.made("bob")
	old := w.made("old")
	etag := w.do("GET", "/Users/"+bob, "").header.Get("ETag")
	r := w.do("POST", "/Bulk", bulkBody(0,
		bulkPost("a", "ann"),
		`{"method":"PUT","path":"/Users/`+bob+`","version":`+quote(etag)+`,"data":`+user("bob", `"title":"T"`)+`}`,
		`{"method":"PATCH","path":"/Users/bulkId:a","data":`+patchBody(`{"op":"add","path":"title","value":"U"}`)+`}`,
		`{"method":"DELETE","path":"/Users/`+old+`"}`,
	)).want(200)
	r.is("schemas", `["urn:ietf:params:scim:api:messages:2.0:BulkResponse"]`).is("Operations.#", "4")
	r.is("Operations.0.status", `"201"`).is("Operations.0.bulkId", `"a"`).is("Operations.0.method", `"POST"`).is("Operations.0.response", "")
	r.is("Operations.1.status", `"200"`).is("Operations.2.status", `"200"`).is("Operations.3.status", `"204"`)
	ann := r.str("Operations.0.location")
	id := ann[strings.LastIndex(ann, "/")+1:]
	w.do("GET", "/Users/"+id, "").want(200).is("title", `"U"`).is("meta.version", quote(r.str("Operations.2.version"))).is("meta.location", quote(ann))
	w.do("GET", "/Users/"+bob, "").want(200).is("title", `"T"`)
	w.do("GET", "/Users/"+old, "").want(404)
}

func quote(s string) string { return fmt.Sprintf("%q", s) }

func TestRFC7644_3_7_1_CircularReferences(t *testing.T) {
	w := newWorld(t, nil)
	t.Run("a circle of three", func(t *testing.T) {
		w.do("POST", "/Bulk", bulkBody(0,
			bulkPost("a", "ann", managedBy("bulkId:b")), bulkPost("b", "bob", managedBy("bulkId:c")), bulkPost("c", "cleo", managedBy("bulkId:a")),
		)).want(200).is("Operations.0.status", `"201"`).is("Operations.1.status", `"201"`).is("Operations.2.status", `"201"`)
		checkManagers(t, w, map[string]string{"ann": "bob", "bob": "cleo", "cleo": "ann"})
	})
	t.Run("a circle with a tombstone that is revived under its old id", func(t *testing.T) {
		for _, n := range []string{"ann", "bob", "cleo"} {
			w.do("DELETE", "/Users/"+idOf(w, n), "").want(204)
		}
		w.do("POST", "/Bulk", bulkBody(0,
			bulkPost("1", "ann", managedBy("bulkId:2")), bulkPost("2", "bob", managedBy("bulkId:1")),
		)).want(200).is("Operations.0.status", `"201"`).is("Operations.1.status", `"201"`)
		checkManagers(t, w, map[string]string{"ann": "bob", "bob": "ann"})
	})
	t.Run("oneself", func(t *testing.T) {
		w.do("POST", "/Bulk", bulkBody(0, bulkPost("s", "self", managedBy("bulkId:s")))).want(200).is("Operations.0.status", `"201"`)
		checkManagers(t, w, map[string]string{"self": "self"})
	})
}

func idOf(w *world, name string) string {
	return w.do("GET", "/Users?"+query("filter", `userName eq "`+name+`@acme.example"`), "").want(200).str("Resources.0.id")
}

func checkManagers(t *testing.T, w *world, want map[string]string) {
	t.Helper()
	for who, by := range want {
		if got := w.do("GET", "/Users/"+idOf(w, who), "").str("<" + urnEnterprise + ">.manager.value"); got != idOf(w, by) {
			t.Errorf("the manager of %s is %s, want %s (%s)", who, got, by, idOf(w, by))
		}
	}
}

func TestRFC7644_3_7_2_BulkIdReferences(t *testing.T) {
	w := newWorld(t, nil)
	r := w.do("POST", "/Bulk", bulkBody(0,
		`{"method":"PATCH","path":"/Users/bulkId:late","data":`+patchBody(`{"op":"add","path":"title","value":"T"}`)+`}`,
		bulkPost("x", "xena", managedBy("bulkId:late")),
		bulkPost("late", "lea"),
		bulkPost("lost", "lou", managedBy("bulkId:nobody")),
		bulkPost("bad", "not-an-address @"),
		bulkPost("after", "axel", managedBy("bulkId:bad")),
	)).want(200)
	r.is("Operations.0.status", `"200"`).is("Operations.1.status", `"201"`).is("Operations.2.status", `"201"`)
	r.is("Operations.3.status", `"400"`).is("Operations.3.response.scimType", `"invalidValue"`)
	r.is("Operations.4.status", `"400"`).is("Operations.4.response.status", `"400"`).is("Operations.4.location", "")
	r.is("Operations.5.status", `"409"`)
	checkManagers(t, w, map[string]string{"xena": "lea"})
	w.do("GET", "/Users/"+idOf(w, "lea"), "").is("title", `"T"`)
	w.do("POST", "/Bulk", bulkBody(0, bulkPost("a", "a1"), bulkPost("a", "a2"))).refused(400, "invalidSyntax", "two operations")
}

func TestRFC7644_3_7_3_ResponsesAndErrors(t *testing.T) {
	w := newWorld(t, nil)
	bad := bulkPost("x", "bad", `"active":"perhaps"`)
	t.Run("failOnErrors stops", func(t *testing.T) {
		r := w.do("POST", "/Bulk", bulkBody(1, bulkPost("1", "one"), bad, bulkPost("3", "three"))).want(200).is("Operations.#", "2")
		r.is("Operations.0.status", `"201"`).is("Operations.1.status", `"400"`)
		if got := w.found(`userName sw "three"`); len(got) > 0 {
			t.Error("an operation behind the failure was done")
		}
	})
	t.Run("without it the rest goes on", func(t *testing.T) {
		w.do("POST", "/Bulk", bulkBody(0, bad, bulkPost("3", "three"))).want(200).is("Operations.#", "2").is("Operations.1.status", `"201"`)
	})
	id := idOf(w, "one")
	for _, c := range []struct{ op, status, detail string }{
		{`{"method":"POST","path":"/Users","data":` + user("x") + `}`, "400", "bulkId"},
		{`{"method":"GET","path":"/Users/` + id + `"}`, "400", "method"},
		{`{"method":"PUT","path":"/Users/` + id + `"}`, "400", "no data"},
		{`{"method":"PUT","path":"/Users","data":{}}`, "400", "does not go with"},
		{`{"method":"POST","path":"/Users/` + id + `","bulkId":"q","data":{}}`, "400", "does not go with"},
		{`{"method":"POST","path":"/Devices","bulkId":"q","data":{}}`, "404", "no endpoint"},
		{`{"method":"POST","path":"/Groups","bulkId":"q","data":{"displayName":"x"}}`, "403", "read-only"},
		{`{"method":"DELETE","path":"/Users/unknown"}`, "404", "unknown"},
		{`{"method":"DELETE","path":"/Users/` + id + `","version":"W/\"99\""}`, "412", "changed since"},
		{bulkPost("q", "one"), "409", "userName"},
	} {
		r := w.do("POST", "/Bulk", bulkBody(0, c.op)).want(200).is("Operations.0.status", quote(c.status)).is("Operations.0.response.status", quote(c.status))
		if got := r.str("Operations.0.response.detail"); !strings.Contains(got, c.detail) {
			t.Errorf("%s: %q does not say %q", c.op, got, c.detail)
		}
	}
	w.do("POST", "/Bulk", `{"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"]}`).refused(400, "invalidSyntax", "Operations")
	w.do("POST", "/Bulk", `{"schemas":["`+urnUser+`"],"Operations":[{}]}`).refused(400, "invalidSyntax", "BulkRequest")
}

func TestRFC7644_3_7_4_MaximumOperations(t *testing.T) {
	w := newWorld(t, func(c *scim.Config) { c.Limits.BulkOps, c.Limits.BulkBody = 2, 2000 })
	w.do("GET", "/ServiceProviderConfig", "").is("bulk.maxOperations", "2").is("bulk.maxPayloadSize", "2000")
	w.do("POST", "/Bulk", bulkBody(0, bulkPost("1", "a"), bulkPost("2", "b"), bulkPost("3", "c"))).refused(413, "", "maxOperations")
	w.do("POST", "/Bulk", bulkBody(0, bulkPost("1", "a", `"title":"`+strings.Repeat("x", 2000)+`"`))).refused(413, "", "2000 bytes")
	w.do("GET", "/Users", "").is("totalResults", "0")
}

// Operations that have nothing to do with each other share a commit; what comes out is what comes out of one after the other.
func TestBulkOperationsShareCommits(t *testing.T) {
	w := newWorld(t, nil)
	posts := make([]string, 100)
	for i := range posts {
		posts[i] = bulkPost(fmt.Sprint("b", i), fmt.Sprint("p", i))
	}
	posts[40] = bulkPost("b40", "P7") // the name of one in the same wave, in another case
	posts[90] = bulkPost("b90", "bad", `"active":"perhaps"`)
	t.Run("many creates", func(t *testing.T) {
		r := w.do("POST", "/Bulk", bulkBody(0, posts...)).want(200).is("Operations.#", "100")
		for i := range posts {
			want := `"201"`
			switch i {
			case 40:
				want = `"409"`
			case 90:
				want = `"400"`
			}
			r.is(fmt.Sprintf("Operations.%d.status", i), want).is(fmt.Sprintf("Operations.%d.bulkId", i), quote(fmt.Sprint("b", i)))
		}
		w.do("GET", "/Users", "").is("totalResults", "98")
	})
	t.Run("changes of different Users, and of one twice", func(t *testing.T) {
		var ops []string
		for i := range 20 {
			ops = append(ops, fmt.Sprintf(`{"method":"PATCH","path":"/Users/%s","data":%s}`, idOf(w, fmt.Sprint("p", i%19)), patchBody(fmt.Sprintf(`{"op":"replace","path":"title","value":"T%d"}`, i))))
		}
		r := w.do("POST", "/Bulk", bulkBody(0, ops...)).want(200)
		for i := range ops {
			r.is(fmt.Sprintf("Operations.%d.status", i), `"200"`)
		}
		w.do("GET", "/Users/"+idOf(w, "p0"), "").is("title", `"T19"`) // the later one holds
		w.do("GET", "/Users/"+idOf(w, "p18"), "").is("title", `"T18"`)
	})
	t.Run("names that change hands", func(t *testing.T) {
		a, b := idOf(w, "p1"), idOf(w, "p2")
		put := func(id, name string) string {
			return fmt.Sprintf(`{"method":"PUT","path":"/Users/%s","data":%s}`, id, user(name))
		}
		r := w.do("POST", "/Bulk", bulkBody(0, put(a, "other"), put(b, "p1"), put(a, "p2"))).want(200)
		r.is("Operations.0.status", `"200"`).is("Operations.1.status", `"200"`).is("Operations.2.status", `"200"`)
		if idOf(w, "p1") != b || idOf(w, "p2") != a {
			t.Error("the names did not change hands")
		}
	})
	t.Run("no more is tried than may still fail", func(t *testing.T) {
		bad := func(n int) string { return bulkPost(fmt.Sprint("x", n), fmt.Sprint("x", n), `"active":"perhaps"`) }
		w.do("POST", "/Bulk", bulkBody(3, bulkPost("1", "one"), bad(1), bad(2), bulkPost("2", "two"), bad(3), bulkPost("3", "three"))).want(200).is("Operations.#", "5")
		if got := w.found(`userName sw "three"`); len(got) > 0 {
			t.Error("an operation behind the last failure was done")
		}
	})
}
