package main

import (
	"bytes"
	"fmt"
	"time"

	"github.com/google/uuid"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/scim"
)

const (
	urnUser       = "urn:ietf:params:scim:schemas:core:2.0:User"
	urnEnterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	urnPatch      = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
	vendorName    = "acme"
)

// vendor is the vendor whose people are stored. Its rate is not limited: the machine is what is measured.
func vendor() *contractor.Vendor {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		zone = time.UTC
	}
	return &contractor.Vendor{Name: vendorName, EmailDomains: []string{"acme.example"}, Zone: zone, MissingEnd: contractor.MissingEndHold, RatePerSec: -1}
}

// nameOf is the userName of the nth contractor, externalId its like. Names come in no order, as people's do: an index that grows
// at its end would flatter the store.
func nameOf(n int) string { return fmt.Sprintf("w%08x@acme.example", uint32(n)*2654435761) }

func externalOf(n int) string { return fmt.Sprintf("P%08x", uint32(n)*2654435761) }

// body is a User as a vendor's system sends it, 1.5 KB.
func body(n int) []byte {
	name, external := nameOf(n), externalOf(n)
	return fmt.Appendf(nil, `{"schemas":["%[1]s","%[2]s","%[3]s"],"externalId":"%[5]s","userName":"%[4]s",`+
		`"name":{"formatted":"Annabel Featherstonehaugh","familyName":"Featherstonehaugh","givenName":"Annabel"},"displayName":"Annabel Featherstonehaugh",`+
		`"title":"Senior Developer","userType":"contractor","preferredLanguage":"de-DE","locale":"de-DE","timezone":"Europe/Berlin","active":true,`+
		`"emails":[{"value":"%[4]s","type":"work","primary":true}],"phoneNumbers":[{"value":"+49 30 1234567","type":"work"}],`+
		`"addresses":[{"type":"work","streetAddress":"Hauptstr. 1","locality":"Berlin","postalCode":"10115","country":"DE","formatted":"Hauptstr. 1, 10115 Berlin, Germany"}],`+
		`"%[2]s":{"employeeNumber":"E%[5]s","costCenter":"CC-4711","organization":"ACME Consulting","division":"Engineering","department":"Finance","manager":{"value":"boss@corp.example","displayName":"The Boss"}},`+
		`"%[3]s":{"workerId":"W%[5]s","personId":"H%[5]s","engagementId":"WO-%[5]s","engagementType":"contractor","startDate":"2026-01-01","endDate":"2099-12-31","supplier":"ACME Consulting","supplierId":"S-1","purchaseOrder":"PO-77","sponsorEmail":"sponsor@corp.example","site":"Berlin","country":"DE","jobCode":"DEV"}}`,
		urnUser, urnEnterprise, contractor.ExtensionURN, name, external)
}

// plainBody is a User by the schemas of RFC 7643 alone, for servers that know no other: 1.1 KB.
func plainBody(n int) []byte {
	whole := body(n)
	cut := bytes.LastIndex(whole, []byte(`,"`+contractor.ExtensionURN+`":{`))
	plain := append(bytes.Clone(whole[:cut]), '}')
	return bytes.Replace(plain, []byte(`,"`+contractor.ExtensionURN+`"]`), []byte("]"), 1)
}

// engagement is what the door stores of a body.
func engagement(reader *scim.Reader, n int, now time.Time) (contractor.Engagement, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return contractor.Engagement{}, err
	}
	return reader.Engagement(id.String(), body(n), now)
}

// created is the event that the door journals with it.
func created(e *contractor.Engagement) audit.Event {
	return audit.Event{
		Time: e.Created, Kind: "engagement.created", Actor: audit.Actor{Kind: audit.ActorVendor, Name: vendorName}, Outcome: audit.Done,
		Engagement: e.ID, Vendor: vendorName, Until: e.Standing.EffectiveEnd,
		Detail: []byte(`{"token":"0198c5a2-7b1e-7d2a-9c41-5b0f0a3a9a01","changed":["externalId","userName","name.formatted","name.familyName","name.givenName","displayName","title","userType",` +
			`"preferredLanguage","locale","timezone","active","emails","phoneNumbers","addresses","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber",` +
			`"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:costCenter","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:organization"],"end":{"to":"2099-12-31T22:59:59Z"}}`),
		Personal: fmt.Appendf(nil, `{"userName":%q,"email":%q,"name":"Annabel Featherstonehaugh"}`, e.Record.UserName, e.Record.Email),
	}
}
