package scim_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestRFC7644_3_5_2_Modifying tells each rule of PATCH as: what there is, the operations, what there is then.
func TestRFC7644_3_5_2_Modifying(t *testing.T) {
	w := newWorld(t, nil)
	const work, home = `{"value":"ann@acme.example","type":"work","primary":true}`, `{"value":"ann@home.acme.example","type":"home"}`
	for i, c := range []struct {
		name  string
		given string // members of the User
		ops   string
		path  string
		want  string
	}{
		// 3.5.2.1 add
		{"add makes a simple attribute", ``, `{"op":"add","path":"title","value":"T"}`, "title", `"T"`},
		{"add replaces a simple attribute", `"title":"S"`, `{"op":"add","path":"title","value":"T"}`, "title", `"T"`},
		{"add without path merges", `"title":"S","name":{"givenName":"Ann"}`, `{"op":"add","value":{"nickName":"A","name":{"familyName":"Lee"}}}`, "name", `{"familyName":"Lee","givenName":"Ann"}`},
		{"add appends to a multi-valued attribute", ``, `{"op":"add","path":"emails","value":[` + home + `]}`, "emails", `[` + work + `,` + home + `]`},
		{"add takes one value without a list", ``, `{"op":"add","path":"emails","value":` + home + `}`, "emails", `[` + work + `,` + home + `]`},
		{"add of what is there changes nothing", ``, `{"op":"add","path":"emails","value":[` + work + `]}`, "emails", `[` + work + `]`},
		{"a new primary value ends the old one's primacy", ``, `{"op":"add","path":"emails","value":[{"value":"b@acme.example","primary":true}]}`, "emails", `[{"value":"ann@acme.example","type":"work","primary":false},{"value":"b@acme.example","primary":true}]`},
		{"add to picked values", ``, `{"op":"add","path":"emails[type eq \"work\"]","value":{"display":"D"}}`, "emails", `[{"value":"ann@acme.example","display":"D","type":"work","primary":true}]`},
		{"add where the filter picks nothing makes a value", ``, `{"op":"add","path":"emails[type eq \"home\"].value","value":"x@y.example"}`, "emails.1", `{"value":"x@y.example","type":"home"}`},
		{"add of a sub-attribute without filter reaches every value", `"phoneNumbers":[{"value":"1"},{"value":"2"}]`, `{"op":"add","path":"phoneNumbers.type","value":"work"}`, "phoneNumbers", `[{"value":"1","type":"work"},{"value":"2","type":"work"}]`},
		{"add to a complex attribute keeps the rest", `"name":{"givenName":"Ann"}`, `{"op":"add","path":"name","value":{"familyName":"Lee"}}`, "name", `{"familyName":"Lee","givenName":"Ann"}`},
		{"add to an extension by its URN", ``, `{"op":"add","path":"` + urnEnterprise + `","value":{"department":"D"}}`, "<" + urnEnterprise + ">", `{"department":"D"}`},
		{"add by a qualified name", ``, `{"op":"add","path":"` + urnEnterprise + `:manager.value","value":"m"}`, "<" + urnEnterprise + ">", `{"manager":{"value":"m"}}`},
		{"add of null changes nothing", `"title":"T"`, `{"op":"add","path":"title","value":null}`, "title", `"T"`},

		// 3.5.2.2 remove
		{"remove a simple attribute", `"title":"T"`, `{"op":"remove","path":"title"}`, "title", ""},
		{"remove what is not there", ``, `{"op":"remove","path":"title"}`, "title", ""},
		{"remove a sub-attribute", `"name":{"givenName":"Ann","familyName":"Lee"}`, `{"op":"remove","path":"name.givenName"}`, "name", `{"familyName":"Lee"}`},
		{"remove the last sub-attribute", `"name":{"givenName":"Ann"}`, `{"op":"remove","path":"name.givenName"}`, "name", ""},
		{"remove all values", `"phoneNumbers":[{"value":"1"}]`, `{"op":"remove","path":"phoneNumbers"}`, "phoneNumbers", ""},
		{"remove picked values", `"phoneNumbers":[{"value":"1","type":"work"},{"value":"2"}]`, `{"op":"remove","path":"phoneNumbers[type eq \"work\"]"}`, "phoneNumbers", `[{"value":"2"}]`},
		{"remove the last picked value", `"phoneNumbers":[{"value":"1","type":"work"}]`, `{"op":"remove","path":"phoneNumbers[type eq \"work\"]"}`, "phoneNumbers", ""},
		{"remove a sub-attribute of picked values", `"phoneNumbers":[{"value":"1","type":"work"}]`, `{"op":"remove","path":"phoneNumbers[value eq \"1\"].type"}`, "phoneNumbers", `[{"value":"1"}]`},
		{"remove where the filter picks nothing", `"phoneNumbers":[{"value":"1"}]`, `{"op":"remove","path":"phoneNumbers[type eq \"x\"]"}`, "phoneNumbers", `[{"value":"1"}]`},
		{"remove the values sent along, not all", `"phoneNumbers":[{"value":"1","type":"work"},{"value":"2"}]`, `{"op":"Remove","path":"phoneNumbers","value":[{"value":"1"}]}`, "phoneNumbers", `[{"value":"2"}]`},
		{"remove an extension", `"` + urnEnterprise + `":{"department":"D"}`, `{"op":"remove","path":"` + urnEnterprise + `"}`, "schemas", `["` + urnUser + `","` + urnContractor + `"]`},

		// 3.5.2.3 replace
		{"replace a simple attribute", `"title":"S"`, `{"op":"replace","path":"title","value":"T"}`, "title", `"T"`},
		{"replace of what is not there adds", ``, `{"op":"replace","path":"title","value":"T"}`, "title", `"T"`},
		{"replace all values", `"phoneNumbers":[{"value":"1"},{"value":"2"}]`, `{"op":"replace","path":"phoneNumbers","value":[{"value":"3"}]}`, "phoneNumbers", `[{"value":"3"}]`},
		{"replace with an empty list", `"phoneNumbers":[{"value":"1"}]`, `{"op":"replace","path":"phoneNumbers","value":[]}`, "phoneNumbers", ""},
		{"replace in a complex attribute keeps the rest", `"name":{"givenName":"Ann","familyName":"Lee"}`, `{"op":"replace","path":"name","value":{"familyName":"Wu"}}`, "name", `{"familyName":"Wu","givenName":"Ann"}`},
		{"replace picked values whole", `"phoneNumbers":[{"value":"1","type":"work","display":"D"}]`, `{"op":"replace","path":"phoneNumbers[type eq \"work\"]","value":{"value":"2","type":"work"}}`, "phoneNumbers", `[{"value":"2","type":"work"}]`},
		{"replace a sub-attribute of picked values", `"phoneNumbers":[{"value":"1","type":"work"},{"value":"2"}]`, `{"op":"replace","path":"phoneNumbers[type eq \"work\"].value","value":"9"}`, "phoneNumbers", `[{"value":"9","type":"work"},{"value":"2"}]`},
		{"replace without path", `"title":"S","nickName":"A"`, `{"op":"replace","value":{"title":"T","phoneNumbers":[{"value":"3"}]}}`, "nickName", `"A"`},
		{"replace with null clears", `"title":"S"`, `{"op":"replace","path":"title","value":null}`, "title", ""},
		{"replace with an empty string clears", `"title":"S"`, `{"op":"replace","path":"title","value":""}`, "title", ""},
		{"a promoted value ends the other's primacy", ``, `{"op":"add","path":"emails","value":` + home + `},{"op":"replace","path":"emails[type eq \"home\"].primary","value":true}`, "emails", `[{"value":"ann@acme.example","type":"work","primary":false},{"value":"ann@home.acme.example","type":"home","primary":true}]`},
		{"values made equal become one", `"phoneNumbers":[{"value":"1","type":"work"},{"value":"1"}]`, `{"op":"remove","path":"phoneNumbers[type eq \"work\"].type"}`, "phoneNumbers", `[{"value":"1"}]`},
		{"none clears a contract's field", `"` + urnContractor + `":{"endDate":"2099-12-31","site":"X"}`, `{"op":"replace","path":"` + urnContractor + `:site","value":"None"}`, "<" + urnContractor + ">.site", ""},
		{"none is a nickname", ``, `{"op":"replace","path":"nickName","value":"None"}`, "nickName", `"None"`},

		// kindness
		{"operations in capitals, booleans in words", ``, `{"op":"REPLACE","path":"ACTIVE","value":"False"}`, "active", `false`},
		{"a member in another case", ``, `{"OP":"add","Path":"title","Value":"T"}`, "title", `"T"`},
		{"paths as names without path", ``, `{"op":"add","value":{"name.givenName":"Ann","` + urnEnterprise + `:department":"D"}}`, "name.givenName", `"Ann"`},
		{"a flat manager", ``, `{"op":"add","path":"` + urnEnterprise + `:manager","value":"m"}`, "<" + urnEnterprise + ">.manager", `{"value":"m"}`},
		{"a manager in a list", ``, `{"op":"add","path":"manager","value":[{"value":"m"}]}`, "<" + urnEnterprise + ">.manager", `{"value":"m"}`},
		{"an emptied manager", `"` + urnEnterprise + `":{"manager":"m"}`, `{"op":"replace","path":"manager","value":{"value":""}}`, "<" + urnEnterprise + ">", ""},
		{"a number for a string", ``, `{"op":"add","path":"` + urnEnterprise + `:employeeNumber","value":12}`, "<" + urnEnterprise + ">.employeeNumber", `"12"`},
		{"a password is thrown away", ``, `{"op":"replace","path":"password","value":"s3cret"}`, "password", ""},
		{"an undeclared extension is passed over", ``, `{"op":"add","path":"urn:x:y:2.0:User:size","value":"9"}`, "title", ""},
		{"read-only values in an operation without path are passed over", ``, `{"op":"replace","value":{"meta":{"version":"9"},"groups":[],"title":"T"}}`, "title", `"T"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := fmt.Sprintf("p%d", i)
			body := strings.ReplaceAll(user(name), name+"@acme.example\",\"type", "ann@acme.example\",\"type")
			if c.given != "" {
				body = strings.Replace(body, `"emails"`, c.given+`,"emails"`, 1)
				if strings.Contains(c.given, urnContractor) {
					body = strings.Replace(body, `,"`+urnContractor+`":{"endDate":"2099-12-31"}}`, "}", 1)
				}
			}
			id := w.do("POST", "/Users", body).want(201).str("id")
			r := w.patch(id, c.ops).want(200)
			r.t = t
			r.is(c.path, c.want)
			w.do("GET", "/Users/"+id, "").want(200).is(c.path, c.want)
			again := w.patch(id, c.ops)
			again.t = t
			again.want(200).is(c.path, c.want)
			if !strings.Contains(c.name, "primacy") && again.header.Get("ETag") != r.header.Get("ETag") {
				t.Error("the same operations again changed something")
			}
		})
	}
}

func TestRFC7644_3_5_2_Refusals(t *testing.T) {
	w := newWorld(t, nil)
	id := w.made("ann", `"title":"T"`, `"phoneNumbers":[{"value":"1","type":"work"}]`)
	before := string(w.do("GET", "/Users/"+id, "").body)
	for _, c := range []struct{ name, ops, scimType, detail string }{
		{"unknown attribute", `{"op":"add","path":"nosuch","value":"x"}`, "invalidPath", "no such attribute"},
		{"malformed path", `{"op":"add","path":"emails[type eq","value":"x"}`, "invalidPath", "emails[type eq"},
		{"path that goes on", `{"op":"add","path":"emails[type eq \"work\"].value.x","value":"x"}`, "invalidPath", "sub-attribute"},
		{"filter on a simple attribute", `{"op":"add","path":"title[value eq \"x\"]","value":"x"}`, "invalidPath", "multi-valued"},
		{"path that is no string", `{"op":"add","path":5,"value":"x"}`, "invalidPath", "string"},
		{"replace where the filter picks nothing", `{"op":"replace","path":"phoneNumbers[type eq \"home\"].value","value":"2"}`, "noTarget", "phoneNumbers"},
		{"remove without path", `{"op":"remove"}`, "noTarget", "path"},
		{"remove what is required", `{"op":"remove","path":"userName"}`, "mutability", "userName"},
		{"empty what is required", `{"op":"replace","path":"userName","value":""}`, "mutability", "userName"},
		{"read-only id", `{"op":"replace","path":"id","value":"x"}`, "mutability", "id"},
		{"read-only id without path", `{"op":"replace","value":{"id":"x"}}`, "mutability", "id"},
		{"read-only meta", `{"op":"replace","path":"meta.version","value":"x"}`, "mutability", "meta"},
		{"read-only groups", `{"op":"add","path":"groups","value":[{"value":"admins"}]}`, "mutability", "groups"},
		{"read-only status", `{"op":"replace","path":"` + urnContractor + `:status","value":"active"}`, "mutability", "status"},
		{"immutable schemas", `{"op":"add","path":"schemas","value":["x"]}`, "mutability", "schemas"},
		{"wrong type", `{"op":"add","path":"active","value":"perhaps"}`, "invalidValue", "active"},
		{"an object for a string", `{"op":"add","path":"title","value":{"a":1}}`, "invalidValue", "title"},
		{"two primaries", `{"op":"replace","path":"emails","value":[{"value":"a@acme.example","primary":true},{"value":"b@acme.example","primary":true}]}`, "invalidValue", "primary"},
		{"no value", `{"op":"add","path":"title"}`, "invalidValue", "no value"},
		{"no object without path", `{"op":"add","value":"x"}`, "invalidValue", "object"},
		{"unknown operation", `{"op":"move","path":"title","value":"x"}`, "invalidSyntax", "move"},
		{"no operation", `{"path":"title","value":"x"}`, "invalidSyntax", "op"},
		{"an operation that is no object", `"add"`, "invalidSyntax", "object"},
		{"a bad date", `{"op":"replace","path":"` + urnContractor + `:endDate","value":"31.12.2099"}`, "invalidValue", "YYYY-MM-DD"},
		{"a bad zone", `{"op":"replace","path":"` + urnContractor + `:timeZone","value":"Mars/Base"}`, "invalidValue", "IANA"},
		{"a foreign address", `{"op":"replace","path":"emails[type eq \"work\"].value","value":"ann@elsewhere.example"}`, "invalidValue", "domains"},
		{"the last address", `{"op":"remove","path":"emails"},{"op":"replace","path":"userName","value":"ann"}`, "invalidValue", "e-mail address"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := w.patch(id, `{"op":"replace","path":"nickName","value":"changed before the failure"}`, c.ops)
			r.t = t
			r.refused(400, c.scimType, c.detail)
			if after := string(w.do("GET", "/Users/"+id, "").body); after != before {
				t.Errorf("a failed PATCH changed the resource:\n%s\n%s", before, after)
			}
		})
	}
	w.do("PATCH", "/Users/"+id, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"]}`).refused(400, "invalidSyntax", "Operations")
	w.do("PATCH", "/Users/"+id, `{"schemas":["`+urnUser+`"],"Operations":[{"op":"add","path":"title","value":"x"}]}`).refused(400, "invalidSyntax", "PatchOp")
	w.do("PATCH", "/Users/"+id, patchBody(strings.TrimSuffix(strings.Repeat(`{"op":"add","path":"title","value":"x"},`, 101), ","))).refused(413, "", "at most 100")
	w.do("PATCH", "/Users/unknown", patchBody(`{"op":"add","path":"title","value":"x"}`)).refused(404, "", "")
}
