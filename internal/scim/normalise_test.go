package scim_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scimbridge/internal/contractor"
	"scimbridge/internal/scim"
)

func normalise(t *testing.T, v *contractor.Vendor, body string) scim.Normalised {
	t.Helper()
	out, err := scim.Normalise(v, []byte(body))
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return out
}

func TestRecordFields(t *testing.T) {
	v := acme()
	v.Supplier = "Supplier of record"
	out := normalise(t, v, `{"userName":"ａnn@acme.example","externalId":"X","displayName":"D","title":"T","userType":"temp","locale":"l","preferredLanguage":"pl","timezone":"Europe/Berlin",
		"name":{"givenName":"G","familyName":"F"},"emails":[{"value":"ann@acme.example"},{"value":"o@home.example"}],"phoneNumbers":[{"value":"1","type":"mobile"},{"value":"2","type":"work"}],
		"addresses":[{"type":"home","locality":"H","country":"FR"},{"type":"work","locality":"W","country":"DE"}],
		"`+urnEnterprise+`":{"employeeNumber":"E","organization":"O","division":"Dv","department":"Dp","costCenter":"CC","manager":{"value":"boss@corp.example","displayName":"The Boss"}}}`)
	want := contractor.Record{
		UserName: "ann@acme.example", ExternalID: "X", Email: "ann@acme.example", OtherEmails: []string{"o@home.example"}, Active: true,
		GivenName: "G", FamilyName: "F", DisplayName: "D", Title: "T", UserType: "temp", Locale: "l", Language: "pl", Phone: "2", City: "W",
		EmployeeNumber: "E", Organization: "O", Division: "Dv", Department: "Dp", CostCenter: "CC", ManagerID: "boss@corp.example", ManagerName: "The Boss", ManagerEmail: "boss@corp.example",
		WorkerID: "E", EngagementType: "temp", TimeZone: "Europe/Berlin", Supplier: "O", Country: "DE",
	}
	if diff := cmp.Diff(want, out.Record); diff != "" {
		t.Errorf("fall-backs (-want +got):\n%s", diff)
	}
	if !strings.Contains(string(out.Resource), `"userName":"ａnn@acme.example"`) {
		t.Errorf("the userName is not kept as sent: %s", out.Resource)
	}

	no := false
	out = normalise(t, v, `{"userName":"ann@acme.example","active":"FALSE","`+urnContractor+`":{"workerId":"W","personId":"P","engagementId":"En","engagementType":"sow","startDate":"2026-01-01",
		"endDate":"2098-01-01","lastWorkingDay":"2097-01-01","timeZone":"UTC","supplier":"S","supplierId":"SI","purchaseOrder":"PO","statementOfWork":"SOW","businessUnit":"BU","sponsor":"Sp",
		"sponsorEmail":"sp@corp.example","hiringManagerEmail":"hm@corp.example","site":"Si","country":"AT","costCenter":"C2","jobCode":"J","securityId":"Sec","transactionType":"HIR","rehireEligible":"False",
		"terminationReason":"secret"},"`+urnEnterprise+`":{"costCenter":"C1","organization":"O","employeeNumber":"E","manager":{"displayName":"boss@corp.example"}}}`)
	want = contractor.Record{
		UserName: "ann@acme.example", Email: "ann@acme.example", EmployeeNumber: "E", Organization: "O", CostCenter: "C2", ManagerName: "boss@corp.example", ManagerEmail: "boss@corp.example",
		WorkerID: "W", PersonID: "P", EngagementID: "En", EngagementType: "sow", StartDate: "2026-01-01", EndDate: "2098-01-01", LastWorkingDay: "2097-01-01", TimeZone: "UTC", Supplier: "S",
		SupplierID: "SI", PurchaseOrder: "PO", StatementOfWork: "SOW", BusinessUnit: "BU", Sponsor: "Sp", SponsorEmail: "sp@corp.example", HiringManagerEmail: "hm@corp.example", Site: "Si", Country: "AT",
		JobCode: "J", SecurityID: "Sec", TransactionType: "HIR", RehireEligible: &no,
	}
	if diff := cmp.Diff(want, out.Record); diff != "" {
		t.Errorf("the extension (-want +got):\n%s", diff)
	}
	if strings.Contains(string(out.Resource)+string(out.Unused), "secret") {
		t.Error("terminationReason is kept")
	}
	if got := normalise(t, v, `{"userName":"ann@acme.example"}`).Record.Supplier; got != "Supplier of record" {
		t.Errorf("supplier %q", got)
	}
}

func TestAliases(t *testing.T) {
	const sap = "urn:ietf:params:scim:schemas:extension:sap:2.0:User"
	v := acme()
	v.DateLayouts = []string{"02.01.2006"}
	v.Aliases = map[string][]string{
		"end":      {"ext:sap.validTo", "ext:contractor.endDate"},
		"workerId": {"ext:sap.userUuid"},
		"email":    {"urn:custom:x:1.0:worker:mail"},
		"city":     {"place.town"},
		"sponsor":  {"nickName"},
	}
	if err := scim.CheckVendors([]*contractor.Vendor{v}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, body string
		check      func(r contractor.Record) string
		want       string
		aliases    []scim.Alias
		unused     string
	}{
		{"an undeclared extension", `"` + sap + `":{"validTo":"31.12.2098"}`, func(r contractor.Record) string { return r.EndDate }, "31.12.2098", []scim.Alias{{Field: "endDate", Path: sap + ":validTo"}}, ""},
		{"it comes before the schema's own name where the vendor says so", `"` + sap + `":{"validTo":"31.12.2098"},"` + urnContractor + `":{"endDate":"2097-01-01"}`, func(r contractor.Record) string { return r.EndDate }, "31.12.2098", []scim.Alias{{Field: "endDate", Path: sap + ":validTo"}}, ""},
		{"the schema's own name where nothing else is sent", `"` + urnContractor + `":{"endDate":"2097-01-01"}`, func(r contractor.Record) string { return r.EndDate }, "2097-01-01", nil, ""},
		{"a built-in alias gives way to the schema's own name", `"` + urnEnterprise + `":{"hireDate":"2026-01-01"},"` + urnContractor + `":{"startDate":"2026-02-02"}`, func(r contractor.Record) string { return r.StartDate }, "2026-02-02", nil, `{"` + urnEnterprise + `:hireDate":"2026-01-01"}`},
		{"the better of two aliases", `"` + urnSAPDeel + `":{"endDate":"2097-05-05"},"` + sap + `":{"validTo":"31.12.2098"}`, func(r contractor.Record) string { return r.EndDate }, "31.12.2098", []scim.Alias{{Field: "endDate", Path: sap + ":validTo"}}, `{"` + urnSAPDeel + `:endDate":"2097-05-05"}`},
		{"an address", `"urn:custom:x:1.0:worker":{"mail":"alias@acme.example"}`, func(r contractor.Record) string { return r.Email }, "alias@acme.example", []scim.Alias{{Field: "email", Path: "urn:custom:x:1.0:worker.mail"}}, ""},
		{"an undeclared complex attribute", `"place":{"town":"Ulm","zip":"89073"}`, func(r contractor.Record) string { return r.City }, "Ulm", []scim.Alias{{Field: "city", Path: "place.town"}}, `{"place.zip":"89073"}`},
		{"a declared attribute", `"nickName":"upn@corp.example"`, func(r contractor.Record) string { return r.Sponsor }, "upn@corp.example", nil, ""},
		{"in any case", `"` + strings.ToUpper(sap) + `":{"VALIDTO":"31.12.2098"}`, func(r contractor.Record) string { return r.EndDate }, "31.12.2098", []scim.Alias{{Field: "endDate", Path: strings.ToUpper(sap) + ":VALIDTO"}}, ""},
		{"empty", `"` + sap + `":{"validTo":""}`, func(r contractor.Record) string { return r.EndDate }, "", nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := normalise(t, v, `{"userName":"ann@acme.example",`+c.body+`}`)
			if got := c.check(out.Record); got != c.want {
				t.Errorf("the record has %q, want %q", got, c.want)
			}
			if diff := cmp.Diff(c.aliases, out.Aliases); diff != "" {
				t.Errorf("aliases (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.unused, string(out.Unused)); diff != "" {
				t.Errorf("unused (-want +got):\n%s", diff)
			}
		})
	}
}

const urnSAPDeel = "urn:ietf:params:scim:schemas:extension:2.0:User"

func TestDatesUnderstood(t *testing.T) {
	v := acme()
	zone, err := contractor.LoadZone("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	v.Zone, v.DateLayouts = zone, []string{"01/02/2006"}
	at := func(s string) time.Time {
		x, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	out := normalise(t, v, `{"userName":"ann@acme.example","`+urnContractor+`":{"startDate":"07/04/2026","endDate":"9999-12-31","lastWorkingDay":"2026-12-31"}}`)
	want := []scim.Date{
		{Field: "startDate", Sent: "07/04/2026", Means: at("2026-07-04T04:00:00Z")},
		{Field: "endDate", Sent: "9999-12-31"},
		{Field: "lastWorkingDay", Sent: "2026-12-31", Means: at("2027-01-01T04:59:59Z")},
	}
	if diff := cmp.Diff(want, out.Dates); diff != "" {
		t.Errorf("dates (-want +got):\n%s", diff)
	}
	_, err = scim.Normalise(v, []byte(`{"userName":"ann@acme.example","`+urnContractor+`":{"endDate":"31/12/2026"}}`))
	if err == nil || !strings.Contains(err.Error(), "endDate") {
		t.Errorf("a date that no layout fits: %v", err)
	}
}

func TestCheckVendorsFindsAllMistakes(t *testing.T) {
	v := acme()
	v.Profile = "entraa"
	v.TestUsers = []string{"ok-*", "bad-["}
	v.Aliases = map[string][]string{"departmnt": {"x"}, "endDate": {`emails[type eq`, "ext:ok.date"}}
	err := scim.CheckVendors([]*contractor.Vendor{v})
	if err == nil {
		t.Fatal("no mistake was found")
	}
	for _, want := range []string{`"entraa"`, `"bad-["`, `"departmnt"`, "emails[type eq"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not named in: %v", want, err)
		}
	}
	if err := scim.CheckVendors([]*contractor.Vendor{acme(), globex()}); err != nil {
		t.Errorf("a good vendor: %v", err)
	}
}

func TestRederive(t *testing.T) {
	w := newWorld(t, nil)
	id := w.do("POST", "/Users", user("ann", `"shoe":"44"`, `"nickName":"N"`)).want(201).str("id")
	e := w.stored(id)
	v := acme()
	v.Aliases = map[string][]string{"site": {"shoe"}, "title": {"nickName"}}
	reader, err := scim.NewReader(v)
	if err != nil {
		t.Fatal(err)
	}
	again, err := reader.Rederive(e)
	if err != nil {
		t.Fatal(err)
	}
	if again.Record.Site != "44" || again.Record.Title != "N" || again.Version != e.Version || string(again.Resource) != string(e.Resource) {
		t.Errorf("site %q, title %q", again.Record.Site, again.Record.Title)
	}
	same, err := scim.NewReader(acme())
	if err != nil {
		t.Fatal(err)
	}
	if again, err := same.Rederive(e); err != nil || !cmp.Equal(again, e) {
		t.Errorf("under the same settings: %v\n%s", err, cmp.Diff(e, again))
	}
	v.EmailDomains = []string{"other.example"}
	if again, err := reader.Rederive(e); err == nil || again.Record.Email == "" {
		t.Errorf("an address that is no longer allowed: %v, %q", err, again.Record.Email)
	}
	t.Run("the next PATCH takes the new alias in", func(t *testing.T) {
		v := acme()
		v.Aliases = map[string][]string{"site": {"shoe"}}
		w.vendors.Store("acme", v)
		w.patch(id, `{"op":"add","path":"title","value":"T"}`).want(200).is("<"+urnContractor+">.site", `"44"`)
		if e := w.stored(id); len(e.Unused) > 0 || e.Record.Site != "44" {
			t.Errorf("unused %s, site %q", e.Unused, e.Record.Site)
		}
	})
}

func TestNormaliseMatchesTheDoor(t *testing.T) {
	w := newWorld(t, nil)
	body := contractorBody(3)
	out := normalise(t, acme(), body)
	id := w.do("POST", "/Users", body).want(201).str("id")
	e := w.stored(id)
	if diff := cmp.Diff(e.Record, out.Record); diff != "" {
		t.Errorf("records (-door +try):\n%s", diff)
	}
	var a, b map[string]any
	if err := errorsJoin(json.Unmarshal(e.Resource, &a), json.Unmarshal(out.Resource, &b)); err != nil {
		t.Fatal(err)
	}
	reader, err := scim.NewReader(acme())
	if err != nil {
		t.Fatal(err)
	}
	made, err := reader.Engagement(id, []byte(body), e.Created)
	if err != nil {
		t.Fatal(err)
	}
	made.Person = e.Person
	if diff := cmp.Diff(e, made); diff != "" {
		t.Errorf("engagements (-door +import):\n%s", diff)
	}
	delete(a, "id")
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("resources (-door +try):\n%s", diff)
	}
}
