package main

import (
	"strings"

	"scimbridge/internal/entra/emulator"
)

// The ids of the emulated tenant, so that mappings can name them.
const (
	groupBase    = "3f0c6f0e-1d7b-4b1f-9a57-0b1f0a3a9a01"
	groupFinance = "9c3f61c2-5a0f-4c3e-8a55-6d1f5c7f2b02"
	groupShared  = "c1d5a3b4-6a0e-4f0b-9d3c-2b7e8f9a0c05"
	groupTools   = "d2e6b4c5-7b1f-4a1c-8e4d-3c8f9a0b1d06" // comes with the package
	packageDev   = "5b7a7c88-0a4f-4b52-b1ad-33a1c9e7aa03"
	policyDev    = "7e1d2f60-64a1-4c8e-9f0b-8d2c6b5e4d04"
	sponsorID    = "7f0a9c52-2f64-4a0c-8d0e-3b7a8f3f5d10"
)

// seedTenant fills an emulated tenant with what the demo's and the example's mapping name.
func seedTenant(e *emulator.Emulator) error {
	if _, err := e.AddUser(emulator.UserSeed{ID: sponsorID, UPN: "sponsor@contoso.example", Name: "Sam Sponsor"}); err != nil {
		return err
	}
	for _, g := range []emulator.GroupSeed{
		{ID: groupBase, Name: "ext-base"}, {ID: groupFinance, Name: "ext-finance"}, {ID: groupShared, Name: "ext-shared"}, {ID: groupTools, Name: "dev-tools"},
	} {
		if _, err := e.AddGroup(g); err != nil {
			return err
		}
	}
	_, _, err := e.AddAccessPackage(emulator.PackageSeed{ID: packageDev, Name: "dev-basic", PolicyID: policyDev, Groups: []string{groupTools}})
	return err
}

// demoMapping is a mapping as an admin would write it, but for the retention of two seconds.
const demoMapping = `version: 1
defaults:
  timezone: Europe/Berlin
  max_duration: 365d
  missing_end: hold
  offboarding: {delete_after: 2s}
  sponsor: {required: true, from: [c.sponsorEmail, c.managerEmail]}
catalog:
  groups:
    ext-base: {id: ` + groupBase + `}
    ext-finance: {id: ` + groupFinance + `, expiry: bridge}
    ext-shared: {id: ` + groupShared + `}
  access_packages:
    dev-basic: {id: ` + packageDev + `, policy: ` + policyDev + `}
vendors:
  sap-ips:
    profile: sap-ips
    email_domains: [acme-consulting.example]
  okta:
    profile: okta
    email_domains: [kforce.example]
  entra:
    profile: entra
    email_domains: [northwind.example]
  rippling:
    profile: rippling
    email_domains: [acme-consulting.example, fabrikam.example]
guest:
  displayName: ${c.givenName} ${c.familyName} (${c.supplier})
  companyName: ${c.supplier}
  jobTitle: ${c.title}
  employeeId: ${c.workerId}
rules:
  - name: everyone
    grant: {groups: [ext-base]}
  - name: finance
    when: c.department == "Finance"
    grant: {groups: [ext-finance]}
  - name: developers
    when: c.title matches "(?i)developer|engineer"
    grant: {access_packages: [dev-basic]}
  - name: rippling-people
    when: c.vendor == "rippling"
    grant: {groups: [ext-shared]}
`

// trimVersion is the origin of a Graph URL, where the emulator's control endpoints are.
func trimVersion(graphURL string) string { return strings.TrimSuffix(graphURL, "/v1.0") }
