package db

import (
	"fmt"

	"scimbridge/internal/contractor"
)

// decodeRecord reads a record as encodeEngagement wrote it. Reflection would cost as much as the read of the row itself; a test
// holds this and the struct together.
func decodeRecord(id, stored string) (r contractor.Record, err error) {
	if firstByte(stored) != '{' {
		return r, fmt.Errorf("engagement %s: its record cannot be read", id)
	}
	members(stored, func(name, value string) {
		switch name {
		case "active":
			r.Active = value == "true"
		case "rehireEligible":
			if yes := value == "true"; yes || value == "false" {
				r.RehireEligible = &yes
			}
		case "otherEmails":
			elements(value, func(email string) { r.OtherEmails = append(r.OtherEmails, text(email)) })
		default:
			if field := recordField(&r, name); field != nil {
				*field = text(value)
			}
		}
	})
	return r, nil
}

// recordField is the string field with a JSON name; nil if there is none.
func recordField(r *contractor.Record, name string) *string {
	switch name {
	case "userName":
		return &r.UserName
	case "externalId":
		return &r.ExternalID
	case "email":
		return &r.Email
	case "givenName":
		return &r.GivenName
	case "familyName":
		return &r.FamilyName
	case "displayName":
		return &r.DisplayName
	case "title":
		return &r.Title
	case "userType":
		return &r.UserType
	case "locale":
		return &r.Locale
	case "preferredLanguage":
		return &r.Language
	case "phone":
		return &r.Phone
	case "city":
		return &r.City
	case "employeeNumber":
		return &r.EmployeeNumber
	case "organization":
		return &r.Organization
	case "division":
		return &r.Division
	case "department":
		return &r.Department
	case "costCenter":
		return &r.CostCenter
	case "managerId":
		return &r.ManagerID
	case "managerName":
		return &r.ManagerName
	case "managerEmail":
		return &r.ManagerEmail
	case "workerId":
		return &r.WorkerID
	case "personId":
		return &r.PersonID
	case "engagementId":
		return &r.EngagementID
	case "engagementType":
		return &r.EngagementType
	case "startDate":
		return &r.StartDate
	case "endDate":
		return &r.EndDate
	case "lastWorkingDay":
		return &r.LastWorkingDay
	case "timeZone":
		return &r.TimeZone
	case "supplier":
		return &r.Supplier
	case "supplierId":
		return &r.SupplierID
	case "purchaseOrder":
		return &r.PurchaseOrder
	case "statementOfWork":
		return &r.StatementOfWork
	case "businessUnit":
		return &r.BusinessUnit
	case "sponsor":
		return &r.Sponsor
	case "sponsorEmail":
		return &r.SponsorEmail
	case "hiringManagerEmail":
		return &r.HiringManagerEmail
	case "site":
		return &r.Site
	case "country":
		return &r.Country
	case "jobCode":
		return &r.JobCode
	case "securityId":
		return &r.SecurityID
	case "transactionType":
		return &r.TransactionType
	}
	return nil
}
