package scim_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// TestRFC7643_7_SchemasSayWhatIsTrue posts a value for every attribute that /Schemas declares, and looks whether the answer keeps
// to what is declared.
func TestRFC7643_7_SchemasSayWhatIsTrue(t *testing.T) {
	w := newWorld(t, nil)
	var list struct{ Resources []declared }
	if err := json.Unmarshal(w.do("GET", "/Schemas", "").want(200).body, &list); err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, s := range list.Resources {
		if strings.HasSuffix(s.ID, ":Group") {
			continue
		}
		for _, a := range s.Attributes {
			if a.Name == "userName" || a.Name == "emails" {
				continue
			}
			count++
			t.Run(a.Name, func(t *testing.T) { checkDeclared(t, w, s.ID, a, count) })
		}
	}
	if count < 50 {
		t.Errorf("only %d attributes are declared", count)
	}
}

type declared struct {
	ID         string
	Name       string
	Attributes []declaredAttribute
}

type declaredAttribute struct {
	Name, Type, Mutability, Returned string
	MultiValued                      bool
	CanonicalValues                  []string
	SubAttributes                    []declaredAttribute
}

func (a declaredAttribute) sample() any {
	one := func() any {
		switch a.Type {
		case "boolean":
			return true
		case "dateTime":
			return "2030-01-01T00:00:00Z"
		case "binary":
			return "AAAA"
		case "reference":
			return "https://x.example/1"
		case "complex":
			m := map[string]any{}
			for _, s := range a.SubAttributes {
				m[s.Name] = s.sample()
			}
			return m
		}
		switch {
		case len(a.CanonicalValues) > 0:
			return a.CanonicalValues[0]
		case strings.HasSuffix(a.Name, "Date") || a.Name == "lastWorkingDay":
			return "2098-05-05"
		case strings.EqualFold(a.Name, "timezone"):
			return "Europe/Berlin"
		}
		return "v-" + a.Name
	}
	if a.MultiValued {
		return []any{one()}
	}
	return one()
}

func checkDeclared(t *testing.T, w *world, urn string, a declaredAttribute, n int) {
	m := map[string]any{"userName": fmt.Sprintf("u%d", n), "emails": []any{map[string]any{"value": fmt.Sprintf("u%d@acme.example", n)}}}
	path := a.Name
	if urn == urnUser {
		m[a.Name] = a.sample()
	} else {
		m[urn] = map[string]any{a.Name: a.sample()}
		path = "<" + urn + ">." + a.Name
	}
	body, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	r := w.do("POST", "/Users", string(body))
	r.t = t
	r.want(201)
	sample, err := json.Marshal(a.sample())
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case a.Mutability == "writeOnly" || a.Returned == "never":
		r.is(path, "")
	case a.Mutability == "readOnly":
		if got, err := json.Marshal(r.at(path)); err == nil && string(got) == string(sample) {
			t.Errorf("the read-only value was taken")
		}
	default:
		r.is(path, string(sample))
	}
	plain := w.do("GET", "/Users/"+r.str("id"), "").want(200)
	plain.t = t
	if a.Returned == "request" {
		plain.is(path, "")
	}
	if a.Mutability == "readWrite" && a.Returned != "request" {
		plain.is(path, string(sample))
	}
}

func TestRFC7643_2_1_NamesAreCaseInsensitive(t *testing.T) {
	w := newWorld(t, nil)
	body := `{"USERNAME":"ann","EMails":[{"VALUE":"ann@acme.example","Type":"work"}],"NAME":{"GIVENNAME":"Ann"},"` + strings.ToUpper(urnContractor) + `":{"EndDate":"2099-12-31"}}`
	w.do("POST", "/Users", body).want(201).is("userName", `"ann"`).is("emails", `[{"value":"ann@acme.example","type":"work"}]`).is("name", `{"givenName":"Ann"}`).
		is("<"+urnContractor+">.endDate", `"2099-12-31"`)
}

func TestRFC7643_2_4_MultiValuedAttributes(t *testing.T) {
	w := newWorld(t, nil)
	w.do("POST", "/Users", user("ann", `"phoneNumbers":[{"value":"1","type":"work"},{"value":"1","type":"work"},{"type":"mobile"},{"value":""},null,{}]`)).want(201).
		is("phoneNumbers", `[{"value":"1","type":"work"}]`)
}

func TestRFC7643_2_5_UnassignedAndNull(t *testing.T) {
	w := newWorld(t, nil)
	r := w.do("POST", "/Users", user("ann", `"title":null`, `"nickName":""`, `"roles":[]`, `"name":{"givenName":null}`, `"`+urnEnterprise+`":{}`)).want(201)
	for _, name := range []string{"title", "nickName", "roles", "name", "<" + urnEnterprise + ">"} {
		r.is(name, "")
	}
	r.is("schemas", `["`+urnUser+`","`+urnContractor+`"]`)
}

func TestRFC7643_3_Schemas(t *testing.T) {
	w := newWorld(t, nil)
	for i, schemas := range []string{``, `"schemas":[],`, `"schemas":["` + urnUser + `"],`, `"schemas":["` + strings.ToUpper(urnUser) + `"],`, `"schemas":["` + urnUser + `","urn:unknown:2.0:User"],`} {
		body := fmt.Sprintf(`{%s"userName":"u%d","emails":[{"value":"u%d@acme.example"}],"%s":{"department":"D"}}`, schemas, i, i, urnEnterprise)
		w.do("POST", "/Users", body).want(201).is("schemas", `["`+urnUser+`","`+urnEnterprise+`","`+urnContractor+`"]`)
	}
	w.do("POST", "/Users", `{"schemas":"x","userName":"u"}`).refused(400, "invalidSyntax", "schemas")
	w.do("POST", "/Users", `{"schemas":[1],"userName":"u"}`).refused(400, "invalidSyntax", "schemas")
}

func TestValuesRoundTrip(t *testing.T) {
	w := newWorld(t, nil)
	for i, v := range []string{`'; DROP TABLE engagements; --`, `100%_*?`, `$filter=x eq 'y'`, "line\nbreak\ttab", `back\slash "quoted"`, "😀 é ﷽", "<script>&amp;", "\u2028\u007f", `],"id":"x`, `"securityId":"x"`, `{"a":1}`} {
		r := w.do("POST", "/Users", user(fmt.Sprintf("u%d", i), `"displayName":`+quoteJSON(v), `"externalId":`+quoteJSON(v))).want(201).is("displayName", quoteJSON(v))
		w.do("GET", "/Users/"+r.str("id"), "").is("displayName", quoteJSON(v))
		w.do("GET", "/Users?"+query("filter", "displayName eq "+quoteJSON(v)), "").want(200).is("totalResults", "1").is("Resources.0.displayName", quoteJSON(v))
		w.do("GET", "/Users?"+query("filter", "externalId eq "+quoteJSON(v)), "").want(200).is("totalResults", "1")
	}
}
