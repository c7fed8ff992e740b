package contractor

import (
	"encoding/json"
	"time"
)

// Record is what a vendor says about one engagement, after the vendor's aliases were applied and before any date was read.
// All values are as sent; "" means absent. The JSON names are the names the mapping file uses (c.department).
type Record struct {
	UserName    string   `json:"userName"`
	ExternalID  string   `json:"externalId,omitempty"`
	Email       string   `json:"email"` // the address that identifies the person: primary, else work, else first, else userName if it is an address
	OtherEmails []string `json:"otherEmails,omitempty"`
	Active      bool     `json:"active"` // false: end now

	GivenName   string `json:"givenName,omitempty"`
	FamilyName  string `json:"familyName,omitempty"`
	DisplayName string `json:"displayName,omitempty"`
	Title       string `json:"title,omitempty"`
	UserType    string `json:"userType,omitempty"`
	Locale      string `json:"locale,omitempty"`
	Language    string `json:"preferredLanguage,omitempty"`
	Phone       string `json:"phone,omitempty"`
	City        string `json:"city,omitempty"`

	// Enterprise User extension (RFC 7643 section 4.3).
	EmployeeNumber string `json:"employeeNumber,omitempty"`
	Organization   string `json:"organization,omitempty"`
	Division       string `json:"division,omitempty"`
	Department     string `json:"department,omitempty"`
	CostCenter     string `json:"costCenter,omitempty"` // contractor.costCenter, else enterprise.costCenter
	ManagerID      string `json:"managerId,omitempty"`
	ManagerName    string `json:"managerName,omitempty"`
	ManagerEmail   string `json:"managerEmail,omitempty"` // the manager's value or display name where it is an address

	// Contractor extension (urn:ietf:params:scim:schemas:extension:contractor:2.0:User).
	WorkerID           string `json:"workerId,omitempty"`
	PersonID           string `json:"personId,omitempty"`
	EngagementID       string `json:"engagementId,omitempty"`
	EngagementType     string `json:"engagementType,omitempty"`
	StartDate          string `json:"startDate,omitempty"`
	EndDate            string `json:"endDate,omitempty"`
	LastWorkingDay     string `json:"lastWorkingDay,omitempty"`
	TimeZone           string `json:"timeZone,omitempty"` // IANA; contractor.timeZone, else core timezone
	Supplier           string `json:"supplier,omitempty"`
	SupplierID         string `json:"supplierId,omitempty"`
	PurchaseOrder      string `json:"purchaseOrder,omitempty"`
	StatementOfWork    string `json:"statementOfWork,omitempty"`
	BusinessUnit       string `json:"businessUnit,omitempty"`
	Sponsor            string `json:"sponsor,omitempty"` // Entra object id or UPN
	SponsorEmail       string `json:"sponsorEmail,omitempty"`
	HiringManagerEmail string `json:"hiringManagerEmail,omitempty"`
	Site               string `json:"site,omitempty"`
	Country            string `json:"country,omitempty"` // contractor.country, else the work address's country
	JobCode            string `json:"jobCode,omitempty"`
	SecurityID         string `json:"securityId,omitempty"` // never logged
	TransactionType    string `json:"transactionType,omitempty"`
	RehireEligible     *bool  `json:"rehireEligible,omitempty"`
}

// Engagement is one SCIM User of one vendor as the store keeps it.
type Engagement struct {
	ID     string `json:"id"` // SCIM id, a UUID of ours, never reused
	Vendor string `json:"vendor"`
	Person string `json:"person"` // Person.ID; "" for a test user, which never reaches Entra

	Record    Record            `json:"record"`
	Resource  json.RawMessage   `json:"-"`                     // the SCIM resource, in the form the SCIM door renders from; opaque to everybody else
	Unused    json.RawMessage   `json:"unused,omitempty"`      // what the vendor sent and nobody reads, as JSON; nil if nothing
	Aliased   map[string]string `json:"aliased,omitempty"`     // fields of Record that came under a name no schema declares: field -> path as sent; nil if none
	Version   int64             `json:"version"`               // grows with every change of Resource or Standing; the ETag
	Created   time.Time         `json:"created"`               //
	Modified  time.Time         `json:"modified"`              // last change of Resource or Standing
	EndSetAt  time.Time         `json:"endSetAt,omitzero"`     // when the vendor last moved the end (date, active, DELETE): an end set long before it passes was known in advance
	EndedAt   time.Time         `json:"endedAt,omitzero"`      // active:false or DELETE arrived: the engagement ends at this instant at the latest; zero while active
	Deleted   bool              `json:"deleted,omitempty"`     // DELETE arrived: a tombstone, invisible to the vendor
	Test      bool              `json:"test,omitempty"`        // a vendor's test user: answered as SCIM, never sent to Entra
	Standing  Standing          `json:"standing"`              // what the bridge says about it, read-only for the vendor
	Extended  Extension         `json:"-"`                     // by an admin; zero: none
	Stopped   Block             `json:"-"`                     // by its sponsor: it ends at Stopped.At at the latest, whatever its vendor sends; zero: none
	KeptUntil time.Time         `json:"-"`                     // the end in force while a newer one is held; zero: none. Set by the loop, never stored
	PrevEnd   time.Time         `json:"extendedFrom,omitzero"` // the effective end before the last change of it by the vendor
	HeldEnd   string            `json:"-"`                     // why the end that an update brings waits for a person: the store opens a hold with it. Set by a feed, never stored
}

// Status is the bridge's word on an engagement (the extension's read-only "status").
type Status string

// The states of an engagement, in the order a contract passes through them.
const (
	StatusScheduled   Status = "scheduled"   // known, start not reached
	StatusActive      Status = "active"      // live, granted what the rules say
	StatusExpiring    Status = "expiring"    // live, within the first notice period before its end
	StatusHeld        Status = "held"        // no access until a person or a new record settles it
	StatusOffboarding Status = "offboarding" // ended; access being taken or taken, guest not yet deleted
	StatusRemoved     Status = "removed"     // ended and the guest seen gone, or never there
)

// Standing is what a vendor may read back about an engagement.
type Standing struct {
	Status         Status    `json:"status,omitempty"`
	Reason         string    `json:"statusReason,omitempty"` // a sentence without personal data
	EffectiveStart time.Time `json:"effectiveStart,omitzero"`
	EffectiveEnd   time.Time `json:"effectiveEnd,omitzero"`
	EntraObjectID  string    `json:"entraObjectId,omitempty"`
	EntraUserState string    `json:"entraUserState,omitempty"` // PendingAcceptance, Accepted
	Access         []string  `json:"access,omitempty"`         // catalog names now held because of this engagement
}
