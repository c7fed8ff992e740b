package mapper_test

import (
	"encoding/json"
	"testing"
	"time"

	"scimbridge/internal/contractor"
	"scimbridge/internal/mapper"
)

const sketch = `version: 1
defaults:
  timezone: Europe/Berlin
  max_duration: 180d
  missing_end: cap                  # cap | hold | reject
  end_in_past: revoke
  activate_early: 2d                # invite early; access still begins at the start
  offboarding: {delete_after: 30d}
  sponsor: {required: true, from: [c.sponsorEmail, c.managerEmail], on_leave: manager, fallback: "group:contractor-sponsors"}
  notify: {before_end: [30d, 14d, 7d, 1d]}
catalog:                            # the only place with Entra ids; rules use the names
  groups:
    contractor-sponsors: {id: 3f0c6f0e-1d7b-4b1f-9a57-0b1f0a3a9a00}
    ext-base: {id: 3f0c6f0e-1d7b-4b1f-9a57-0b1f0a3a9a01}
    ext-finance: {id: 9c3f61c2-5a0f-4c3e-8a55-6d1f5c7f2b02, expiry: bridge}
  access_packages:
    dev-basic: {id: 5b7a7c88-0a4f-4b52-b1ad-33a1c9e7aa03, policy: 7e1d2f60-64a1-4c8e-9f0b-8d2c6b5e4d04}
vendors:
  fieldglass:
    email_domains: [acme-consulting.example, "*.kforce.example"]
    quota: 500
    guard: {max_ends: 25, max_ends_percent: 10, window: 24h}
    dates: {layouts: ["2006-01-02", "01/02/2006"], timezone: America/Chicago}
    test_users: ["scim-test-*"]     # answered as SCIM, never sent to Entra
    aliases: {end: ["ext:contractor.endDate", "ext:sap.validTo"]}
guest:
  displayName: ${c.givenName} ${c.familyName} (${c.supplier})
  companyName: ${c.supplier}
  employeeId: ${c.workerId}
  employeeType: ${c.engagementType ?? "contractor"}
rules:
  - name: everyone
    grant: {groups: [ext-base]}
  - name: finance-germany
    when: c.department == "Finance" and c.country == "DE"
    grant: {groups: [ext-finance]}
    max_duration: 90d
  - name: developers
    when: c.title matches "(?i)developer|engineer" and c.supplier in ["ACME Consulting", "Kforce"]
    grant: {access_packages: [dev-basic]}
  - name: do-not-rehire
    when: c.rehireEligible == false
    deny: supplier marked the worker as not eligible for rehire
`

func TestSketch(t *testing.T) {
	m, problems := mapper.Parse("mapping.yaml", []byte(sketch))
	if m == nil || len(problems) > 0 {
		t.Fatalf("problems:\n%v", problems)
	}
	e := &contractor.Engagement{ID: "e1", Vendor: "fieldglass", Created: time.Now(), Record: contractor.Record{
		Email: "a@acme-consulting.example", GivenName: "Ada", FamilyName: "Byron", Department: "Finance", Country: "DE", Title: "Engineer",
		Supplier: "Kforce", StartDate: "2026-01-01", EndDate: "2026-06-01",
	}}
	ev := m.Evaluate(e, time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC))
	out, _ := json.MarshalIndent(ev, "", " ")
	t.Logf("%s", out)
	f := false
	e.Record.RehireEligible = &f
	out, _ = json.MarshalIndent(m.Desired(&contractor.Person{Engagements: []contractor.Engagement{*e}}, time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)), "", " ")
	t.Logf("%s", out)
}
