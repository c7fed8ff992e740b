package scim

import "scimbridge/internal/contractor"

// field says where one field of the record is read from.
type field struct {
	name    string   // as the mapping file calls it (contractor.Record's JSON name)
	sources []string // SCIM paths, first non-empty wins
	to      func(*contractor.Record) *string
	place   string // where an alias's value is kept, if not at the first source
}

// The extensions that vendors send without declaring them to anybody (field.md 1.1).
const (
	urnSAP  = "urn:ietf:params:scim:schemas:extension:sap:2.0:User"
	urnDeel = "urn:ietf:params:scim:schemas:extension:2.0:User"
)

// fields lists the fields of the record, with the built-in fall-backs of field.md 1.3.
func fields() []field {
	const c, e = urnContractor + ":", urnEnterprise + ":"
	type rec = contractor.Record
	return []field{
		{"userName", []string{"userName"}, func(r *rec) *string { return &r.UserName }, ""},
		{"externalId", []string{"externalId"}, func(r *rec) *string { return &r.ExternalID }, ""},
		{"email", []string{`emails[primary eq true].value`, `emails[type eq "work"].value`, "emails.value"}, nil, `emails[type eq "work"].value`},
		{"givenName", []string{"name.givenName"}, func(r *rec) *string { return &r.GivenName }, ""},
		{"familyName", []string{"name.familyName"}, func(r *rec) *string { return &r.FamilyName }, ""},
		{"displayName", []string{"displayName", "name.formatted"}, func(r *rec) *string { return &r.DisplayName }, ""},
		{"title", []string{"title"}, func(r *rec) *string { return &r.Title }, ""},
		{"userType", []string{"userType"}, func(r *rec) *string { return &r.UserType }, ""},
		{"locale", []string{"locale"}, func(r *rec) *string { return &r.Locale }, ""},
		{"preferredLanguage", []string{"preferredLanguage"}, func(r *rec) *string { return &r.Language }, ""},
		{"phone", []string{`phoneNumbers[primary eq true].value`, `phoneNumbers[type eq "work"].value`, "phoneNumbers.value"}, func(r *rec) *string { return &r.Phone }, `phoneNumbers[type eq "work"].value`},
		{"city", []string{`addresses[type eq "work"].locality`, "addresses.locality"}, func(r *rec) *string { return &r.City }, ""},

		{"employeeNumber", []string{e + "employeeNumber"}, func(r *rec) *string { return &r.EmployeeNumber }, ""},
		{"organization", []string{e + "organization"}, func(r *rec) *string { return &r.Organization }, ""},
		{"division", []string{e + "division"}, func(r *rec) *string { return &r.Division }, ""},
		{"department", []string{e + "department"}, func(r *rec) *string { return &r.Department }, ""},
		{"costCenter", []string{c + "costCenter", e + "costCenter"}, func(r *rec) *string { return &r.CostCenter }, ""},
		{"managerId", []string{e + "manager.value"}, func(r *rec) *string { return &r.ManagerID }, ""},
		{"managerName", []string{e + "manager.displayName"}, func(r *rec) *string { return &r.ManagerName }, ""},

		{"workerId", []string{c + "workerId", e + "employeeNumber", "externalId"}, func(r *rec) *string { return &r.WorkerID }, ""},
		{"personId", []string{c + "personId"}, func(r *rec) *string { return &r.PersonID }, ""},
		{"engagementId", []string{c + "engagementId"}, func(r *rec) *string { return &r.EngagementID }, ""},
		{"engagementType", []string{c + "engagementType", "userType"}, func(r *rec) *string { return &r.EngagementType }, ""},
		{"startDate", []string{c + "startDate", urnSAP + ":validFrom", urnDeel + ":startDate", e + "startDate", e + "hireDate"}, func(r *rec) *string { return &r.StartDate }, ""},
		{"endDate", []string{c + "endDate", urnSAP + ":validTo", urnDeel + ":endDate", e + "endDate", e + "terminationDate"}, func(r *rec) *string { return &r.EndDate }, ""},
		{"lastWorkingDay", []string{c + "lastWorkingDay"}, func(r *rec) *string { return &r.LastWorkingDay }, ""},
		{"timeZone", []string{c + "timeZone", "timezone"}, func(r *rec) *string { return &r.TimeZone }, ""},
		{"supplier", []string{c + "supplier", e + "organization"}, func(r *rec) *string { return &r.Supplier }, ""},
		{"supplierId", []string{c + "supplierId"}, func(r *rec) *string { return &r.SupplierID }, ""},
		{"purchaseOrder", []string{c + "purchaseOrder"}, func(r *rec) *string { return &r.PurchaseOrder }, ""},
		{"statementOfWork", []string{c + "statementOfWork"}, func(r *rec) *string { return &r.StatementOfWork }, ""},
		{"businessUnit", []string{c + "businessUnit"}, func(r *rec) *string { return &r.BusinessUnit }, ""},
		{"sponsor", []string{c + "sponsor"}, func(r *rec) *string { return &r.Sponsor }, ""},
		{"sponsorEmail", []string{c + "sponsorEmail"}, func(r *rec) *string { return &r.SponsorEmail }, ""},
		{"hiringManagerEmail", []string{c + "hiringManagerEmail"}, func(r *rec) *string { return &r.HiringManagerEmail }, ""},
		{"site", []string{c + "site"}, func(r *rec) *string { return &r.Site }, ""},
		{"country", []string{c + "country", `addresses[type eq "work"].country`, "addresses.country"}, func(r *rec) *string { return &r.Country }, ""},
		{"jobCode", []string{c + "jobCode"}, func(r *rec) *string { return &r.JobCode }, ""},
		{"securityId", []string{c + "securityId"}, func(r *rec) *string { return &r.SecurityID }, ""},
		{"transactionType", []string{c + "transactionType"}, func(r *rec) *string { return &r.TransactionType }, ""},
		{"rehireEligible", []string{c + "rehireEligible"}, nil, ""},
	}
}
