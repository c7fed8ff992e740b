package scim

import (
	"github.com/elimity-com/scim/optional"
	"github.com/elimity-com/scim/schema"
)

// enterpriseSchema is RFC 7643 section 4.3 with one difference: manager.displayName is read and kept, since it is the only
// word on the manager that SAP Fieldglass sends.
func enterpriseSchema() schema.Schema {
	s := schema.ExtensionEnterpriseUser()
	attributes := append(schema.Attributes{}, s.Attributes...)
	for i, a := range attributes {
		if a.Name() != "manager" {
			continue
		}
		attributes[i] = schema.ComplexCoreAttribute(schema.ComplexParams{
			Name:        "manager",
			Description: optional.NewString("The contractor's manager at the customer: candidate for the sponsor."),
			SubAttributes: []schema.SimpleParams{
				schema.SimpleStringParams(schema.StringParams{Name: "value", Description: optional.NewString("An id, e-mail address or user principal name of the manager.")}),
				schema.SimpleReferenceParams(schema.ReferenceParams{Name: "$ref", ReferenceTypes: []schema.AttributeReferenceType{"User"}, Description: optional.NewString("The URI of the manager's resource.")}),
				schema.SimpleStringParams(schema.StringParams{Name: "displayName", Description: optional.NewString("The manager's name, or e-mail address.")}),
			},
		})
	}
	s.Attributes = attributes
	return s
}

// contractorSchema is the extension that carries a contract: flat, single-valued, dates as strings, since Entra as a client
// can send nothing else (field.md section 0, finding 5). Read-only values are the bridge's word on the engagement.
func contractorSchema() schema.Schema {
	str := func(name, description string) schema.CoreAttribute {
		return schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{Name: name, Description: optional.NewString(description)}))
	}
	exact := func(name, description string) schema.CoreAttribute {
		return schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{Name: name, CaseExact: true, Description: optional.NewString(description)}))
	}
	told := func(name, description string, values ...string) schema.CoreAttribute {
		return schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{
			Name: name, CaseExact: true, CanonicalValues: values, Mutability: schema.AttributeMutabilityReadOnly(), Description: optional.NewString(description),
		}))
	}
	instant := func(name, description string) schema.CoreAttribute {
		return schema.SimpleCoreAttribute(schema.SimpleDateTimeParams(schema.DateTimeParams{
			Name: name, Mutability: schema.AttributeMutabilityReadOnly(), Description: optional.NewString(description),
		}))
	}
	return schema.Schema{
		ID: urnContractor, Name: optional.NewString("Contractor"),
		Description: optional.NewString("One contract period of one external worker."),
		Attributes: schema.Attributes{
			exact("workerId", "Id of this engagement's worker record at the vendor."),
			exact("personId", "Id of the human across engagements."),
			exact("engagementId", "Id of the work order, contract or assignment."),
			schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{
				Name: "engagementType", CanonicalValues: []string{"contractor", "sow", "temp", "freelancer", "intern", "partner"},
				Description: optional.NewString("Kind of engagement."),
			})),
			str("startDate", "First day, or instant, of the contract. A bare date begins at 00:00:00 in timeZone."),
			str("endDate", "Last day, or instant, of the contract. A bare date ends at 23:59:59 in timeZone. Empty or in the year 9999: open."),
			str("lastWorkingDay", "Last day of work; where it lies before endDate, access ends with it."),
			str("timeZone", "IANA name of the zone in which dates without one are meant."),
			str("supplier", "Name of the supplier of record."),
			exact("supplierId", "Code of the supplier of record."),
			exact("purchaseOrder", "Purchase order."),
			exact("statementOfWork", "Statement of work."),
			str("businessUnit", "Business unit of the customer."),
			str("sponsor", "Entra object id or user principal name of the person at the customer who answers for the contractor."),
			str("sponsorEmail", "Mail address of that person."),
			str("hiringManagerEmail", "Mail address of the hiring manager; sponsor where no other is named."),
			str("site", "Place of work."),
			str("country", "Country of work, ISO 3166-1 alpha-2."),
			str("costCenter", "Cost centre."),
			str("jobCode", "Job code."),
			schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{
				Name: "transactionType", CanonicalValues: []string{"HIR", "UPD", "RHI", "TER"},
				Description: optional.NewString("What the vendor's system says has happened."),
			})),
			schema.SimpleCoreAttribute(schema.SimpleBooleanParams(schema.BooleanParams{
				Name: "rehireEligible", Description: optional.NewString("False: the supplier asks not to engage the worker again."),
			})),
			schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{
				Name: "securityId", CaseExact: true, Returned: schema.AttributeReturnedRequest(),
				Description: optional.NewString("Badge number, or a hash of a national id."),
			})),
			schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{
				Name: "terminationReason", Mutability: schema.AttributeMutabilityWriteOnly(), Returned: schema.AttributeReturnedNever(),
				Description: optional.NewString("Accepted and not kept."),
			})),
			told("status", "Where the engagement stands.", "scheduled", "active", "expiring", "held", "offboarding", "removed"),
			told("statusReason", "Why it stands there."),
			instant("extendedFrom", "The effective end before its last change."),
			instant("effectiveStart", "When access begins, after zones and caps."),
			instant("effectiveEnd", "When access ends, after zones and caps."),
			told("entraObjectId", "Object id of the guest in the customer's Entra tenant."),
			told("entraUserState", "Whether the guest has accepted the invitation.", "PendingAcceptance", "Accepted"),
			schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{
				Name: "accessSummary", Mutability: schema.AttributeMutabilityReadOnly(), Returned: schema.AttributeReturnedRequest(),
				Description: optional.NewString("Names of what the contractor holds now because of this engagement, separated by commas."),
			})),
		},
	}
}
