package scim

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"scimbridge/internal/contractor"
)

func TestQuick(t *testing.T) {
	tok := NewToken()
	m := &memory{hash: HashToken(tok), client: Client{Vendor: "acme", TokenID: "t1"}}
	v := &contractor.Vendor{Name: "acme", EmailDomains: []string{"acme.example"}, MissingEnd: contractor.MissingEndHold}
	d, err := New(Config{Store: m, Vendors: func(string) (*contractor.Vendor, bool) { return v, true }, Groups: func() []contractor.Entitlement { return nil }, Wake: func() {}, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(d.Handler())
	defer s.Close()
	do := func(method, path, body string) string {
		r, _ := http.NewRequest(method, s.URL+Base+path, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+tok)
		r.Header.Set("Content-Type", "application/scim+json")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		t.Logf("%s %s -> %d %v\n%s", method, path, resp.StatusCode, resp.Header, b)
		return string(b)
	}
	do("POST", "/Users", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"ann@acme.example","name":{"givenName":"Ann","familyName":"Lee"},"emails":[{"value":"ann@acme.example","type":"work","primary":"True"}],"active":"True","urn:ietf:params:scim:schemas:extension:sap:2.0:User":{"validTo":"20991231000000Z","status":"x"},"urn:ietf:params:scim:schemas:extension:contractor:2.0:User":{"securityId":"s1","workerId":"w1"}}`)
	id := m.all[0].ID
	do("GET", "/Users/"+id, "")
	do("GET", `/Users?filter=userName+eq+"ANN@acme.example"&attributes=userName,meta.version`, "")
	do("PATCH", "/Users/"+id, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"Replace","path":"active","value":"False"},{"op":"Add","path":"emails[type eq \"home\"].value","value":"x@y.example"},{"op":"add","path":"manager","value":"boss@corp.example"}]}`)
	do("PUT", "/Users/"+id, `{"userName":"ann@acme.example","emails":[{"value":"ann@acme.example"}]}`)
	do("GET", "/Users?filter=foo+eq+1", "")
	do("GET", "/ServiceProviderConfig", "")
	do("GET", "/ResourceTypes", "")
	do("GET", "/Schemas/urn:ietf:params:scim:schemas:extension:contractor:2.0:User", "")
	do("POST", "/Users/"+id, "")
	do("GET", "/Nope", "")
	do("GET", "/Me", "")
	do("DELETE", "/Users/"+id, "")
	do("DELETE", "/Users/"+id, "")
	for _, e := range m.events {
		t.Logf("%s %s %s %s", e.Kind, e.Detail, e.Personal, e.Until)
	}
}
