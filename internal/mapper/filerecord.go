package mapper

// fileRecord is contractor.Record as a test of the mapping file writes it. The compiler holds the two together: one is
// converted into the other.
type fileRecord struct {
	UserName           string   `yaml:"userName"`
	ExternalID         string   `yaml:"externalId"`
	Email              string   `yaml:"email"`
	OtherEmails        []string `yaml:"otherEmails"`
	Active             bool     `yaml:"active"`
	GivenName          string   `yaml:"givenName"`
	FamilyName         string   `yaml:"familyName"`
	DisplayName        string   `yaml:"displayName"`
	Title              string   `yaml:"title"`
	UserType           string   `yaml:"userType"`
	Locale             string   `yaml:"locale"`
	Language           string   `yaml:"preferredLanguage"`
	Phone              string   `yaml:"phone"`
	City               string   `yaml:"city"`
	EmployeeNumber     string   `yaml:"employeeNumber"`
	Organization       string   `yaml:"organization"`
	Division           string   `yaml:"division"`
	Department         string   `yaml:"department"`
	CostCenter         string   `yaml:"costCenter"`
	ManagerID          string   `yaml:"managerId"`
	ManagerName        string   `yaml:"managerName"`
	ManagerEmail       string   `yaml:"managerEmail"`
	WorkerID           string   `yaml:"workerId"`
	PersonID           string   `yaml:"personId"`
	EngagementID       string   `yaml:"engagementId"`
	EngagementType     string   `yaml:"engagementType"`
	StartDate          string   `yaml:"startDate"`
	EndDate            string   `yaml:"endDate"`
	LastWorkingDay     string   `yaml:"lastWorkingDay"`
	TimeZone           string   `yaml:"timeZone"`
	Supplier           string   `yaml:"supplier"`
	SupplierID         string   `yaml:"supplierId"`
	PurchaseOrder      string   `yaml:"purchaseOrder"`
	StatementOfWork    string   `yaml:"statementOfWork"`
	BusinessUnit       string   `yaml:"businessUnit"`
	Sponsor            string   `yaml:"sponsor"`
	SponsorEmail       string   `yaml:"sponsorEmail"`
	HiringManagerEmail string   `yaml:"hiringManagerEmail"`
	Site               string   `yaml:"site"`
	Country            string   `yaml:"country"`
	JobCode            string   `yaml:"jobCode"`
	SecurityID         string   `yaml:"securityId"`
	TransactionType    string   `yaml:"transactionType"`
	RehireEligible     *bool    `yaml:"rehireEligible"`
}
