package scim_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"scimbridge/internal/contractor"
	"scimbridge/internal/scim"
)

func TestRFC7644_2_Authentication(t *testing.T) {
	w := newWorld(t, nil)
	nobody := w.as("")
	for name, header := range map[string]string{"none": "", "wrong token": "Bearer " + scim.NewToken(), "empty": "Bearer ", "other scheme": "Digest x", "basic": "Basic YTpi"} {
		t.Run(name, func(t *testing.T) {
			r := nobody.do("GET", "/Users", "", "Authorization", header)
			r.t = t
			r.refused(401, "", "")
			if got := r.header.Get("WWW-Authenticate"); !strings.HasPrefix(got, "Bearer") {
				t.Errorf("WWW-Authenticate is %q", got)
			}
		})
	}
	nobody.do("GET", "/ServiceProviderConfig", "").want(200)
	nobody.do("GET", "/Schemas", "").want(401)
	w.vendors.Delete("acme")
	w.do("GET", "/Users", "").refused(403, "", "mapping has no vendor")
}

func TestRFC7644_3_3_Creating(t *testing.T) {
	w := newWorld(t, nil)
	t.Run("201 with Location, ETag and meta", func(t *testing.T) {
		r := w.do("POST", "/Users", user("ann", `"externalId":"x1"`)).want(201)
		id := r.str("id")
		want := w.server.URL + "/scim/v2/Users/" + id
		if got := r.header.Get("Location"); got != want {
			t.Errorf("Location %q, want %q", got, want)
		}
		r.is("meta.location", fmt.Sprintf("%q", want)).is("meta.resourceType", `"User"`).is("externalId", `"x1"`).is("active", "true")
		if r.str("meta.created") == "" || r.str("meta.created") != r.str("meta.lastModified") {
			t.Errorf("meta is %v", r.at("meta"))
		}
		if got := r.header.Get("ETag"); got == "" || got != r.str("meta.version") {
			t.Errorf("ETag %q, meta.version %q", got, r.str("meta.version"))
		}
		if w.wakes.Load() != 1 {
			t.Errorf("the loop was woken %d times", w.wakes.Load())
		}
	})
	t.Run("the same userName in any case or width is a conflict", func(t *testing.T) {
		w.do("POST", "/Users", strings.Replace(user("other"), "other@acme.example\",\"emails", "ANN@acme.example\",\"emails", 1)).refused(409, "uniqueness", "userName")
		w.do("POST", "/Users", strings.Replace(user("other"), "other@acme.example\",\"emails", "ａｎｎ@acme.example\",\"emails", 1)).refused(409, "uniqueness", "userName")
		w.do("POST", "/Users", user("other", `"externalId":"x1"`)).refused(409, "uniqueness", "externalId")
	})
	t.Run("another vendor's names do not clash", func(t *testing.T) {
		body := strings.ReplaceAll(user("ann", `"externalId":"x1"`), "acme.example", "globex.example")
		body = strings.Replace(body, "ann@globex.example", "ann@acme.example", 1)
		w.as("globex").do("POST", "/Users", body).want(201)
	})
	t.Run("read-only values are ignored", func(t *testing.T) {
		r := w.do("POST", "/Users", user("bea", `"id":"mine"`, `"meta":{"created":"1999-01-01T00:00:00Z"}`, `"groups":[{"value":"admins"}]`)).want(201)
		if r.str("id") == "mine" || r.at("groups") != nil || strings.HasPrefix(r.str("meta.created"), "1999") {
			t.Errorf("read-only values were taken: %s", r.body)
		}
	})
	for _, c := range []struct{ name, body, scimType, detail string }{
		{"no userName", `{"emails":[{"value":"x@acme.example"}]}`, "invalidValue", "userName"},
		{"blank userName", `{"userName":"  ","emails":[{"value":"x@acme.example"}]}`, "invalidValue", "userName"},
		{"malformed JSON", `{"userName":`, "invalidSyntax", "malformed at byte"},
		{"something behind the document", `{"userName":"x"} {}`, "invalidSyntax", "follows"},
		{"a list", `[]`, "invalidSyntax", "JSON object"},
		{"nothing", ` `, "invalidSyntax", "empty"},
		{"invalid UTF-8", "{\"userName\":\"\xff\"}", "invalidSyntax", "UTF-8"},
		{"NUL", `{"userName":"a\u0000b"}`, "invalidSyntax", "NUL"},
		{"a lone surrogate", `{"userName":"\ud800"}`, "invalidSyntax", "escape"},
		{"the same member twice", `{"userName":"x","userName":"y"}`, "invalidSyntax", "twice"},
		{"the same attribute in two spellings", `{"userName":"x","USERNAME":"y"}`, "invalidSyntax", "twice"},
		{"schemas of a group", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"userName":"x"}`, "invalidSyntax", "schemas"},
		{"a wrong type", user("x", `"name":["a","b"]`), "invalidValue", "name"},
		{"a boolean for a string", user("x", `"title":true`), "invalidValue", "title"},
		{"no boolean", user("x", `"active":"maybe"`), "invalidValue", "active"},
		{"two primaries", `{"userName":"x","emails":[{"value":"a@acme.example","primary":true},{"value":"b@acme.example","primary":true}]}`, "invalidValue", "primary"},
		{"no base64", user("x", `"x509Certificates":[{"value":"?"}]`), "invalidValue", "base64"},
		{"deep nesting", user("x", `"junk":`+strings.Repeat("[", 20)+strings.Repeat("]", 20)), "invalidSyntax", "levels"},
	} {
		t.Run("400 for "+c.name, func(t *testing.T) {
			r := w.do("POST", "/Users", c.body)
			r.t = t
			r.refused(400, c.scimType, c.detail)
		})
	}
}

func TestRFC7644_3_4_1_Retrieving(t *testing.T) {
	w := newWorld(t, nil)
	id := w.made("ann")
	w.do("GET", "/Users/"+id, "").want(200).is("id", `"`+id+`"`)
	w.do("GET", "/Users/"+id+"/", "").want(200)
	if r := w.do("HEAD", "/Users/"+id, "").want(200); len(r.body) > 0 || r.header.Get("ETag") == "" {
		t.Errorf("HEAD: body %q, headers %v", r.body, r.header)
	}
	w.do("HEAD", "/Users/unknown", "").want(404)
	w.do("GET", "/Users/unknown", "").refused(404, "", "")
	w.as("globex").do("GET", "/Users/"+id, "").refused(404, "", "")
	w.as("globex").do("DELETE", "/Users/"+id, "").refused(404, "", "")
	w.as("globex").do("PATCH", "/Users/"+id, patchBody(`{"op":"replace","path":"active","value":false}`)).refused(404, "", "")
	w.as("globex").do("PUT", "/Users/"+id, user("ann")).refused(404, "", "")
	w.as("globex").do("GET", "/Users", "").want(200).is("totalResults", "0")
}

func TestRFC7644_3_4_2_Query(t *testing.T) {
	w := newWorld(t, nil)
	r := w.do("GET", "/Users", "").want(200)
	r.is("schemas", `["urn:ietf:params:scim:api:messages:2.0:ListResponse"]`).is("totalResults", "0").is("Resources", "[]")
	w.do("GET", "/Users?filter=", "").want(200)
}

// people are what the filter and sort tests look at.
func people(w *world) {
	w.made("ann", `"externalId":"E1"`, `"title":"Developer"`, `"name":{"givenName":"Ann","familyName":"Lee"}`, `"`+urnEnterprise+`":{"department":"Finance","manager":{"value":"boss@corp.example"}}`)
	w.made("bob", `"externalId":"e1"`, `"title":"developer"`, `"active":false`, `"name":{"givenName":"Bob","familyName":"O'Hara \"Bo\""}`)
	w.made("cleo", `"title":"100% _real\\"`, `"nickName":"é"`, `"phoneNumbers":[{"type":"work","value":"1"},{"type":"mobile","value":"2"}]`)
	w.do("POST", "/Users", `{"userName":"dee","emails":[{"value":"dee@acme.example","type":"home"},{"value":"d2@sub.acme.example","type":"work"}],"`+urnContractor+`":{"workerId":"W9","endDate":"2098-01-31","rehireEligible":false}}`).want(201)
}

func TestRFC7644_3_4_2_2_Filtering(t *testing.T) {
	w := newWorld(t, nil)
	people(w)
	for filter, want := range map[string]string{
		`userName eq "ANN@acme.example"`:                                        "ann",
		`username EQ "ann@acme.example"`:                                        "ann",
		`urn:ietf:params:scim:schemas:core:2.0:User:userName eq "dee"`:          "dee",
		`userName ne "dee"`:                                                     "ann bob cleo",
		`userName co "@ACME"`:                                                   "ann bob cleo",
		`userName sw "B"`:                                                       "bob",
		`userName ew ".example"`:                                                "ann bob cleo",
		`userName gt "bob@acme.example"`:                                        "cleo dee",
		`userName ge "bob@acme.example"`:                                        "bob cleo dee",
		`userName lt "bob@acme.example"`:                                        "ann",
		`userName le "bob@acme.example"`:                                        "ann bob",
		`externalId eq "E1"`:                                                    "ann", // caseExact
		`externalId pr`:                                                         "ann bob",
		`not (externalId pr)`:                                                   "cleo dee",
		`externalId eq null`:                                                    "cleo dee",
		`externalId ne null`:                                                    "ann bob",
		`title eq "DEVELOPER"`:                                                  "ann bob",
		`title co "%"`:                                                          "cleo",
		`title co "_"`:                                                          "cleo",
		`title ew "\\"`:                                                         "cleo",
		`name.familyName eq "o'hara \"bo\""`:                                    "bob",
		`name.familyName eq "O'Hara \u0022Bo\u0022"`:                            "bob",
		`nickName eq "\u00e9"`:                                                  "cleo",
		`nickName eq "É"`:                                                       "cleo",
		`active eq false`:                                                       "bob",
		`active eq True`:                                                        "ann cleo dee",
		`active ne false`:                                                       "ann cleo dee",
		`active eq "False"`:                                                     "bob",
		`emails eq "dee@acme.example"`:                                          "dee",
		`emails co "@sub.acme"`:                                                 "dee",
		`emails.value ew "@sub.acme.example"`:                                   "dee",
		`emails.type eq "home"`:                                                 "dee",
		`emails[type eq "work" and value co "dee"]`:                             "",
		`emails[type eq "home" and value co "dee"]`:                             "dee",
		`emails[not (type eq "work")]`:                                          "dee",
		`emails[type eq "work"].value eq "ann@acme.example"`:                    "ann",
		`emails[type eq "home"].value pr`:                                       "dee",
		`phoneNumbers pr`:                                                       "cleo",
		`phoneNumbers[type eq "mobile" and value eq "2"]`:                       "cleo",
		`phoneNumbers[type eq "mobile" and value eq "1"]`:                       "",
		urnContractor + `:workerId eq "W9"`:                                     "dee",
		`workerId eq "W9"`:                                                      "dee",
		`workerId eq "w9"`:                                                      "",
		urnContractor + `:endDate lt "2099-01-01"`:                              "dee",
		urnContractor + `:rehireEligible eq false`:                              "dee",
		urnContractor + `:effectiveEnd lt "2098-06-01T00:00:00+02:00"`:          "bob dee",
		urnEnterprise + `:department eq "finance"`:                              "ann",
		urnEnterprise + `:manager.value eq "boss@corp.example"`:                 "ann",
		urnEnterprise + `:manager eq "boss@corp.example"`:                       "ann",
		urnEnterprise + `:manager[value eq "boss@corp.example"]`:                "ann",
		`manager eq "boss@corp.example"`:                                        "ann",
		`meta.resourceType eq "User"`:                                           "ann bob cleo dee",
		`meta.resourceType eq "Group"`:                                          "",
		`meta.created gt "2001-01-01T00:00:00Z" and meta.lastModified pr`:       "ann bob cleo dee",
		`meta.lastModified lt "2001-01-01T00:00:00Z"`:                           "",
		`schemas eq "` + urnEnterprise + `"`:                                    "ann",
		`title eq "developer" and active eq true or userName eq "dee"`:          "ann dee",
		`title eq "developer" and (active eq true or userName eq "dee")`:        "ann",
		`not (title eq "developer" or userName eq "dee")`:                       "cleo",
		`(((userName eq "dee")))`:                                               "dee",
		`userName eq "dee'; DROP TABLE engagements; --"`:                        "",
		`id pr and schemas pr and meta pr`:                                      "ann bob cleo dee",
		`title eq "developer"  and  active eq true`:                             "ann",
		`addresses pr`:                                                          "",
		`name pr`:                                                               "ann bob",
		urnContractor + ` pr`:                                                   "ann bob cleo dee",
		`id eq "00000000-0000-0000-0000-000000000000" and manager eq "anybody"`: "",
	} {
		t.Run(filter, func(t *testing.T) {
			names := w.found(filter)
			slices.Sort(names)
			if diff := cmp.Diff(want, strings.Join(names, " ")); diff != "" {
				t.Errorf("found (-want +got):\n%s", diff)
			}
		})
	}
	for filter, detail := range map[string]string{
		`userName`:                              "operator",
		`userName eq`:                           "blank and a value",
		`userName eq ann`:                       "expected a value",
		`userName eq "ann`:                      "malformed",
		`userName eq "a\x"`:                     "malformed",
		`userName eq "a" and`:                   "end",
		`userName eq "a" xor title pr`:          `expected "and", "or" or the end`,
		`(userName eq "a"`:                      "')'",
		`userName eq "a")`:                      "expected",
		`not userName eq "a"`:                   "'('",
		`emails[type eq "work"`:                 "']'",
		`emails[nosuch eq "x"]`:                 "no attribute",
		`userName[type eq "work"]`:              "brackets",
		`nosuch eq "x"`:                         `no attribute "nosuch"`,
		`urn:x:User:userName eq "x"`:            "no attribute",
		`userName zz "x"`:                       "not an operator",
		`userName eq 5`:                         "string",
		`userName eq true`:                      "string",
		`active gt true`:                        "boolean",
		`active eq "maybe"`:                     "true or false",
		`name eq "x"`:                           "complex",
		`userName gt null`:                      "null",
		`meta.created gt "yesterday"`:           "date-time",
		`meta.created co "2026"`:                "date-time",
		`meta.version eq "x"`:                   "If-Match",
		`groups eq "x"`:                         "/Groups",
		urnContractor + `:terminationReason pr`: "not kept",
		strings.Repeat("(", 50) + `title pr` + strings.Repeat(")", 50): "nested",
		strings.Repeat(`title pr or `, 200) + `title pr`:               "comparisons",
		`title eq "` + strings.Repeat("x", 10_000) + `"`:               "longer than",
		"title eq \"a\x00\"":   "malformed",
		"title\teq \"a\"":      "operator",
		`emails[emails[a pr]]`: "no attribute",
	} {
		t.Run("400 for "+filter[:min(len(filter), 40)], func(t *testing.T) {
			r := w.do("GET", "/Users?"+query("filter", filter), "")
			r.t = t
			r.refused(400, "invalidFilter", detail)
		})
	}
}

func TestRFC7644_3_4_2_3_Sorting(t *testing.T) {
	w := newWorld(t, nil)
	people(w)
	order := func(params ...string) string {
		r := w.do("GET", "/Users?"+query(params...), "").want(200)
		var names []string
		for i := range int(r.at("Resources.#").(float64)) {
			names = append(names, r.str(fmt.Sprintf("Resources.%d.userName", i))[:3])
		}
		return strings.Join(names, " ")
	}
	for _, c := range []struct {
		name, want string
		params     []string
	}{
		{"by creation without sortBy", "ann bob cle dee", nil},
		{"ascending by default", "ann bob cle dee", []string{"sortBy", "userName"}},
		{"descending", "dee cle bob ann", []string{"sortBy", "userName", "sortOrder", "descending"}},
		{"by a qualified name", "dee cle bob ann", []string{"sortBy", "urn:ietf:params:scim:schemas:core:2.0:User:username", "sortOrder", "descending"}},
	} {
		if got := order(c.params...); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	if got := order("sortBy", "meta.lastModified", "sortOrder", "descending"); got != "dee cle bob ann" {
		t.Errorf("by meta.lastModified: %s", got)
	}
	if got := order("sortBy", "emails"); !strings.HasPrefix(got, "ann bob cle") {
		t.Errorf("by emails: %s", got)
	}
	w.do("GET", "/Users?sortBy=nosuch", "").refused(400, "invalidPath", "no such attribute")
	w.do("GET", "/Users?sortBy=name", "").refused(400, "invalidPath", "sub-attributes")
	w.do("GET", "/Users?sortBy=userName&sortOrder=sideways", "").refused(400, "invalidValue", "ascending or descending")
}

func TestRFC7644_3_4_2_4_Pagination(t *testing.T) {
	w := newWorld(t, func(c *scim.Config) { c.Limits.Page, c.Limits.MaxPage = 3, 4 })
	for i := range 6 {
		w.made(fmt.Sprintf("u%d", i))
	}
	for _, c := range []struct {
		params      string
		start, n    int
		first, name string
	}{
		{"", 1, 3, "u0", "default page"},
		{"?startIndex=1&count=2", 1, 2, "u0", "first"},
		{"?startIndex=3&count=2", 3, 2, "u2", "second"},
		{"?startIndex=5&count=10", 5, 2, "u4", "last, short"},
		{"?startIndex=0&count=1", 1, 1, "u0", "startIndex 0 is 1"},
		{"?startIndex=-5&count=1", 1, 1, "u0", "negative startIndex is 1"},
		{"?startIndex=7&count=2", 7, 0, "", "behind the end"},
		{"?count=0", 1, 0, "", "count 0 asks for the total"},
		{"?count=-1", 1, 0, "", "negative count is 0"},
		{"?count=1000", 1, 4, "u0", "count above the maximum"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := w.do("GET", "/Users"+c.params, "").want(200)
			r.t = t
			r.is("totalResults", "6").is("startIndex", fmt.Sprint(c.start)).is("itemsPerPage", fmt.Sprint(c.n)).is("Resources.#", fmt.Sprint(c.n))
			if got := r.str("Resources.0.userName"); c.first != "" && got != c.first+"@acme.example" {
				t.Errorf("the page begins with %q", got)
			}
		})
	}
	w.do("GET", "/Users?count=many", "").refused(400, "invalidValue", "count")
	w.do("GET", "/Users?startIndex=1.5", "").refused(400, "invalidValue", "startIndex")
}

func TestRFC7644_3_4_2_1_QueryingRoot(t *testing.T) {
	w := newWorld(t, nil)
	people(w)
	w.do("GET", "", "").want(200).is("totalResults", "7").is("Resources.4.displayName", `"ext-base"`).is("Resources.0.meta.resourceType", `"User"`)
	w.do("GET", "?"+query("filter", `meta.resourceType eq "Group"`), "").want(200).is("totalResults", "3")
	w.do("GET", "?"+query("filter", `userName eq "dee"`), "").want(200).is("totalResults", "1")
	w.do("GET", "?"+query("filter", `displayName sw "ext-"`), "").want(200).is("totalResults", "2")
	w.do("GET", "?"+query("filter", `not (userName pr)`), "").want(200).is("totalResults", "3")
	w.do("GET", "?"+query("filter", `nosuch pr`), "").refused(400, "invalidFilter", "nosuch")
	w.do("GET", "?startIndex=4&count=2", "").want(200).is("totalResults", "7").is("itemsPerPage", "2").
		is("Resources.0.userName", `"dee"`).is("Resources.1.displayName", `"ext-base"`)
	w.do("GET", "?startIndex=6&count=5", "").want(200).is("itemsPerPage", "2").is("Resources.0.displayName", `"ext-finance"`)
	w.do("GET", "?sortBy=userName&sortOrder=descending&count=1", "").want(200).is("Resources.0.userName", `"dee"`)

	body := `{"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],"filter":"id pr","count":5,"attributes":["displayName"]}`
	r := w.do("POST", "/.search", body).want(200).is("totalResults", "7").is("itemsPerPage", "5")
	r.is("Resources.4", fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"id":%q,"displayName":"ext-base"}`, r.str("Resources.4.id")))
}

func TestRFC7644_3_4_3_SearchByPost(t *testing.T) {
	w := newWorld(t, nil)
	people(w)
	search := func(place, body string) reply { return w.do("POST", place+"/.search", body) }
	const schemas = `"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]`
	search("/Users", `{`+schemas+`,"filter":"userName co \"@\"","sortBy":"userName","sortOrder":"descending","startIndex":2,"count":1,"attributes":["userName"]}`).
		want(200).is("totalResults", "3").is("startIndex", "2").is("Resources.#", "1").is("Resources.0.userName", `"bob@acme.example"`).is("Resources.0.emails", "")
	search("/Users", `{`+schemas+`,"excludedAttributes":["emails","meta"]}`).want(200).is("Resources.0.emails", "").is("Resources.0.meta", "").is("Resources.0.userName", `"ann@acme.example"`)
	search("/Groups", `{`+schemas+`,"filter":"displayName eq \"dev-basic\""}`).want(200).is("totalResults", "1")
	search("/Users", `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"]}`).refused(400, "invalidSyntax", "SearchRequest")
	search("/Users", `{`+schemas+`,"count":"x"}`).refused(400, "invalidValue", "count")
	search("/Users", `{`+schemas+`,"filter":5}`).refused(400, "invalidValue", "filter")
}

func TestRFC7644_3_4_2_5_And_3_9_Attributes(t *testing.T) {
	w := newWorld(t, nil)
	id := w.made("ann", `"name":{"givenName":"Ann","familyName":"Lee"}`, `"nickName":"A"`)
	w.patch(id, `{"op":"add","path":"`+urnContractor+`:securityId","value":"S\"1"}`).want(200)
	keys := func(r reply) string {
		r.t.Helper()
		m, _ := r.at("").(map[string]any)
		var all []string
		for k := range m {
			all = append(all, strings.TrimPrefix(k, "urn:ietf:params:scim:schemas:"))
		}
		slices.Sort(all)
		return strings.Join(all, " ")
	}
	const ext = "extension:contractor:2.0:User"
	for params, want := range map[string]string{
		"":                                  "active emails id meta name nickName schemas userName " + ext,
		"attributes=userName":               "id schemas userName",
		"attributes=USERNAME,name":          "id name schemas userName",
		"attributes=name.givenName":         "id name schemas",
		"attributes=nosuch":                 "id schemas",
		"attributes=" + urnContractor:       "id schemas " + ext,
		"attributes=" + urnUser:             "active emails id meta name nickName schemas userName",
		"attributes=meta.version":           "id meta schemas",
		"excludedAttributes=emails,id,name": "active id meta nickName schemas userName " + ext,
		"excludedAttributes=schemas":        "active emails id meta name nickName schemas userName " + ext,
		"attributes=name,nickName&excludedAttributes=name.familyName": "id name nickName schemas",
	} {
		if params == "attributes="+urnUser {
			want = strings.Replace(want, "meta ", "meta ", 1)
		}
		got := keys(w.do("GET", "/Users/"+id+"?"+params, "").want(200))
		if got != strings.TrimSpace(sorted(want)) {
			t.Errorf("%q returns %q, want %q", params, got, sorted(want))
		}
	}
	w.do("GET", "/Users/"+id+"?attributes=name.givenName", "").is("name", `{"givenName":"Ann"}`)
	w.do("GET", "/Users/"+id+"?attributes=userName", "").is("schemas", `["`+urnUser+`"]`)
	w.do("GET", "/Users/"+id+"?attributes=emails.value", "").is("emails", `[{"value":"ann@acme.example"}]`)

	t.Run("returned request", func(t *testing.T) {
		set := func(v string) string {
			return `{"op":"replace","path":"` + urnContractor + `:securityId","value":"` + v + `"}`
		}
		w.patch(id, set("S2")).want(200).is("<"+urnContractor+">.securityId", `"S2"`)
		w.patch(id, `{"op":"replace","value":{"`+urnContractor+`":{"securityId":"S\"1"}}}`).want(200).is("<"+urnContractor+">.securityId", `"S\"1"`)
		w.patch(id, `{"op":"add","path":"title","value":"T"}`).want(200).is("<"+urnContractor+">.securityId", "")
		w.patch(id, `{"op":"remove","path":"title"}`).want(200)
		w.do("GET", "/Users/"+id, "").is("<"+urnContractor+">.securityId", "")
		w.do("GET", "/Users", "").is("Resources.0.<"+urnContractor+">.securityId", "")
		w.do("GET", "/Users/"+id+"?attributes="+urnContractor, "").is("<"+urnContractor+">.securityId", "")
		w.do("GET", "/Users/"+id+"?attributes="+urnContractor+":securityId", "").is("<"+urnContractor+">.securityId", `"S\"1"`)
		w.do("GET", "/Users/"+id+"?attributes=securityId,userName", "").is("<"+urnContractor+">.securityId", `"S\"1"`)
	})
	t.Run("on every method", func(t *testing.T) {
		for _, r := range []reply{
			w.do("POST", "/Users?attributes=userName", user("bob")).want(201),
			w.do("PUT", "/Users/"+id+"?attributes=userName", user("ann")).want(200),
			w.do("PATCH", "/Users/"+id+"?attributes=userName", patchBody(`{"op":"add","path":"title","value":"x"}`)).want(200),
		} {
			if got := keys(r); got != "id schemas userName" {
				t.Errorf("%s returns %q", r.what, got)
			}
		}
		if got := keys(w.do("POST", "/Users?excludedAttributes=emails,meta", user("cleo")).want(201)); strings.Contains(got, "emails") || strings.Contains(got, "meta") {
			t.Errorf("POST returns %q", got)
		}
	})
}

func sorted(s string) string {
	f := strings.Fields(s)
	slices.Sort(f)
	return strings.Join(f, " ")
}

func TestRFC7644_3_5_1_Replacing(t *testing.T) {
	w := newWorld(t, nil)
	id := w.made("ann", `"nickName":"A"`, `"title":"T"`)
	r := w.do("PUT", "/Users/"+id, user("ann", `"title":"U"`)).want(200)
	r.is("nickName", "").is("title", `"U"`).is("id", `"`+id+`"`)
	if r.header.Get("Location") == "" {
		t.Error("no Location")
	}
	t.Run("what changes nothing keeps the version and is not journaled", func(t *testing.T) {
		before := w.do("GET", "/Users/"+id, "").header.Get("ETag")
		wakes := w.wakes.Load()
		if got := w.do("PUT", "/Users/"+id, user("ann", `"title":"U"`)).want(200).header.Get("ETag"); got != before {
			t.Errorf("version %s became %s", before, got)
		}
		if w.wakes.Load() != wakes {
			t.Error("the loop was woken")
		}
	})
	w.do("PUT", "/Users/"+id, user("ann", `"id":"other"`)).refused(400, "mutability", "id")
	w.do("PUT", "/Users/unknown", user("ann")).refused(404, "", "")
	w.made("bob")
	w.do("PUT", "/Users/"+id, user("bob")).refused(409, "uniqueness", "userName")
	w.do("PUT", "/Users/"+id, `{"emails":[]}`).refused(400, "invalidValue", "userName")
}

func TestRFC7644_3_6_Deleting(t *testing.T) {
	w := newWorld(t, nil)
	id := w.made("ann")
	if r := w.do("DELETE", "/Users/"+id, "").want(204); len(r.body) > 0 {
		t.Errorf("a body: %s", r.body)
	}
	w.do("GET", "/Users/"+id, "").refused(404, "", "")
	w.do("DELETE", "/Users/"+id, "").refused(404, "", "")
	w.do("PUT", "/Users/"+id, user("ann")).refused(404, "", "")
	w.do("GET", "/Users", "").is("totalResults", "0")
	t.Run("posted again it has its old id and no ETag twice", func(t *testing.T) {
		r := w.do("POST", "/Users", user("ann")).want(201).is("id", `"`+id+`"`)
		if got := r.header.Get("Location"); !strings.HasSuffix(got, id) {
			t.Errorf("Location %q", got)
		}
		if v := r.header.Get("ETag"); v == `W/"1"` {
			t.Error("the version began anew")
		}
		w.do("GET", "/Users/"+id, "").want(200).is("id", `"`+id+`"`).is("active", "true")
		if same := w.do("PUT", "/Users/"+id, user("ann")).want(200); same.header.Get("ETag") != r.header.Get("ETag") {
			t.Error("a PUT of the same changed something")
		}
	})
}

func TestRFC7644_3_8_DataFormats(t *testing.T) {
	w := newWorld(t, nil)
	for _, ct := range []string{"application/scim+json", "application/json", "application/SCIM+json; charset=UTF-8", ""} {
		r := w.do("POST", "/Users", user("u"+fmt.Sprint(len(ct))), "Content-Type", ct).want(201)
		if got := r.header.Get("Content-Type"); got != "application/scim+json" {
			t.Errorf("answered as %q", got)
		}
	}
	for _, ct := range []string{"text/plain", "application/xml", "application/json; charset=latin1", "x"} {
		w.do("POST", "/Users", user("x"), "Content-Type", ct).refused(415, "", "send the body")
	}
	w.do("POST", "/Users", user("x"), "Content-Encoding", "gzip").refused(415, "", "encoding")
}

func TestRFC7644_3_11_Me(t *testing.T) {
	w := newWorld(t, nil)
	for _, m := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
		w.do(m, "/Me", "").refused(501, "", "/Me")
	}
}

func TestRFC7644_3_12_Errors(t *testing.T) {
	w := newWorld(t, nil)
	w.do("GET", "/Nothing", "").refused(404, "", "no such endpoint")
	for _, c := range []struct{ method, path, allow string }{
		{"DELETE", "/Users", "GET"}, {"POST", "/Users/x", "PATCH"}, {"PUT", "/ServiceProviderConfig", "GET"}, {"POST", "/Schemas", "GET"},
		{"DELETE", "/ResourceTypes", "GET"}, {"GET", "/Bulk", "POST"}, {"PATCH", "/Groups", "GET"}, {"GET", "/.search", "POST"},
	} {
		r := w.do(c.method, c.path, "")
		r.refused(405, "", "Allow")
		if got := r.header.Get("Allow"); !strings.Contains(got, c.allow) {
			t.Errorf("%s %s: Allow is %q", c.method, c.path, got)
		}
	}
}

func TestRFC7644_3_14_Versions(t *testing.T) {
	w := newWorld(t, nil)
	id := w.made("ann")
	etag := w.do("GET", "/Users/"+id, "").header.Get("ETag")
	r := w.do("GET", "/Users/"+id, "", "If-None-Match", etag).want(304)
	if len(r.body) > 0 || r.header.Get("ETag") != etag {
		t.Errorf("304 with body %q and ETag %q", r.body, r.header.Get("ETag"))
	}
	w.do("GET", "/Users/"+id, "", "If-None-Match", `W/"77", `+strings.TrimPrefix(etag, "W/")).want(304)
	w.do("GET", "/Users/"+id, "", "If-None-Match", `W/"77"`).want(200)
	set := patchBody(`{"op":"replace","path":"title","value":"x"}`)
	w.do("PATCH", "/Users/"+id, set, "If-Match", `W/"77"`).refused(412, "", "changed since")
	w.do("PUT", "/Users/"+id, user("ann", `"title":"y"`), "If-Match", `W/"77"`).refused(412, "", "")
	w.do("DELETE", "/Users/"+id, "", "If-Match", `W/"77"`).refused(412, "", "")
	w.do("PATCH", "/Users/"+id, set, "If-None-Match", `*`).refused(412, "", "")
	next := w.do("PATCH", "/Users/"+id, set, "If-Match", etag).want(200).header.Get("ETag")
	if next == etag {
		t.Error("the version did not change")
	}
	w.do("PATCH", "/Users/"+id, patchBody(`{"op":"replace","path":"title","value":"z"}`), "If-Match", etag).refused(412, "", "")
	w.do("PUT", "/Users/"+id, user("ann"), "If-Match", "*").want(200)
	w.do("DELETE", "/Users/"+id, "", "If-Match", w.do("GET", "/Users/"+id, "").str("meta.version")).want(204)
	w.do("PUT", "/Users/"+id, user("ann"), "If-Match", "*").want(404)
}

func TestRFC7644_4_Discovery(t *testing.T) {
	w := newWorld(t, nil)
	for _, path := range []string{"/ServiceProviderConfig", "/Schemas", "/ResourceTypes"} {
		w.do("GET", path+"?"+query("filter", `id eq "x"`), "").refused(403, "", "filtered")
		w.do("GET", path+"?count=1&startIndex=2&attributes=id&sortBy=id", "").want(200)
	}
	w.do("GET", "/Schemas", "").want(200).is("totalResults", "4").is("itemsPerPage", "4").is("startIndex", "1")
	w.do("GET", "/ResourceTypes", "").want(200).is("totalResults", "2")
	w.do("GET", "/ResourceTypes/User", "").want(200).is("schema", `"`+urnUser+`"`).is("meta.resourceType", `"ResourceType"`).is("endpoint", `"/Users"`)
	w.do("GET", "/Schemas/"+urnContractor, "").want(200).is("id", `"`+urnContractor+`"`).is("meta.location", `"`+w.server.URL+"/scim/v2/Schemas/"+urnContractor+`"`)
	w.do("GET", "/Schemas/urn:nothing", "").refused(404, "", "no Schema")
	w.do("GET", "/ResourceTypes/Device", "").refused(404, "", "no ResourceType")
	r := w.do("GET", "/ServiceProviderConfig", "").want(200)
	for _, f := range []string{"patch", "bulk", "filter", "sort", "etag"} {
		r.is(f+".supported", "true")
	}
	r.is("changePassword.supported", "false").is("pagination.cursor", "true").is("authenticationSchemes.0.type", `"oauthbearertoken"`).is("filter.maxResults", "500")
}

func TestRFC9865_CursorPagination(t *testing.T) {
	w := newWorld(t, nil)
	for i := range 7 {
		w.made(fmt.Sprintf("u%d", i))
	}
	walk := func(place, first string) []string {
		var names []string
		cursor, params := "", first
		for range 20 {
			r := w.do("GET", place+"?"+query("cursor", cursor, "count", "3")+params, "").want(200)
			if r.at("startIndex") != nil {
				t.Error("a cursor page has a startIndex")
			}
			for i := range int(r.at("Resources.#").(float64)) {
				name := r.str(fmt.Sprintf("Resources.%d.userName", i)) + r.str(fmt.Sprintf("Resources.%d.displayName", i))
				names = append(names, strings.TrimSuffix(name, "@acme.example"))
			}
			if cursor = r.str("nextCursor"); cursor == "" {
				return names
			}
		}
		t.Fatal("the pages do not end")
		return nil
	}
	if diff := cmp.Diff([]string{"u0", "u1", "u2", "u3", "u4", "u5", "u6"}, walk("/Users", "")); diff != "" {
		t.Errorf("users (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"u6", "u5", "u4", "u3", "u2", "u1", "u0"}, walk("/Users", "&sortBy=userName&sortOrder=descending")); diff != "" {
		t.Errorf("sorted (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"u0", "u1", "u2", "u3", "u4", "u5", "u6", "ext-base", "ext-finance", "dev-basic"}, walk("", "")); diff != "" {
		t.Errorf("everything (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"ext-base", "ext-finance", "dev-basic"}, walk("/Groups", "")); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
	w.do("GET", "/Users?cursor=&startIndex=5&count=2", "").want(200).is("Resources.0.userName", `"u0@acme.example"`)
	for _, place := range []string{"/Users", "/Groups", ""} {
		w.do("GET", place+"?cursor=forged", "").refused(400, "invalidCursor", "cursor")
	}
}

func TestPausedVendorReadsAndDoesNotWrite(t *testing.T) {
	w := newWorld(t, nil)
	id := w.made("ann")
	if err := w.store.PauseVendor(t.Context(), admin(), "acme", true, "test"); err != nil {
		t.Fatal(err)
	}
	w.do("GET", "/Users/"+id, "").want(200)
	w.do("POST", "/Users", user("bob")).refused(403, "", "paused")
	w.do("PUT", "/Users/"+id, user("ann")).refused(403, "", "paused")
	w.patch(id, `{"op":"replace","path":"active","value":false}`).refused(403, "", "paused")
	w.do("DELETE", "/Users/"+id, "").refused(403, "", "paused")
	w.do("POST", "/Bulk", `{}`).refused(403, "", "paused")
}

func TestQuota(t *testing.T) {
	v := acme()
	v.Quota = 2
	w := newWorld(t, nil, v)
	w.made("a")
	id := w.made("b")
	w.do("POST", "/Users", user("c")).refused(http.StatusForbidden, "", "live engagements")
	w.do("DELETE", "/Users/"+id, "").want(204)
	w.made("c")
}

func TestPublicURL(t *testing.T) {
	w := newWorld(t, func(c *scim.Config) { c.PublicURL = "https://scim.corp.example/" })
	w.do("POST", "/Users", user("ann")).want(201).is("meta.resourceType", `"User"`)
	if got := w.do("GET", "/Users", "").str("Resources.0.meta.location"); !strings.HasPrefix(got, "https://scim.corp.example/scim/v2/Users/") {
		t.Errorf("location %q", got)
	}
}

func TestNewRefusesWhatIsMissing(t *testing.T) {
	full := scim.Config{
		Store: struct{ scim.Store }{}, Wake: func() {}, Groups: func() []contractor.Entitlement { return nil }, Logger: discard(),
		Vendors: func(string) (*contractor.Vendor, bool) { return nil, false }, Names: func() []string { return nil },
	}
	if _, err := scim.New(full); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*scim.Config){
		"Store": func(c *scim.Config) { c.Store = nil }, "Vendors": func(c *scim.Config) { c.Vendors = nil }, "Names": func(c *scim.Config) { c.Names = nil }, "Groups": func(c *scim.Config) { c.Groups = nil },
		"Wake": func(c *scim.Config) { c.Wake = nil }, "Logger": func(c *scim.Config) { c.Logger = nil }, "public URL": func(c *scim.Config) { c.PublicURL = "scim.example" },
	} {
		c := full
		spoil(&c)
		if _, err := scim.New(c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}
