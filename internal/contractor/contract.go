package contractor

import "time"

// ContractOrder is the order of a list of contracts.
type ContractOrder string

// The orders. ByEnd: the soonest effective end first, without those that have none. ByEndDown: the latest first. ByAge: the
// newest engagement first, all of them.
const (
	ContractsByEnd     ContractOrder = "end"
	ContractsByEndDown ContractOrder = "ended"
	ContractsByAge     ContractOrder = "newest"
)

// ContractQuery asks for contracts: engagements that are no tombstones and no test users, with their people.
type ContractQuery struct {
	Order   ContractOrder // "": ByEnd
	Vendor  string
	Sponsor string // Entra object id of the person's sponsor, as last set
	Status  Status
	Rule    string    // the person holds something by this rule
	Text    string    // part of an address, a name or a worker id, in any case
	Held    bool      // only people who wait for somebody
	Failing bool      // only people whose last pass failed
	EndFrom time.Time // effective end at or after; zero: no such bound
	EndTo   time.Time // effective end before; zero: no such bound
	After   string    // Key of the last contract of the page before; "": from the beginning
	Limit   int       // at most 2,000; 0: 100
}

// Contract is one engagement with what a list of people has to tell. Name and Email are personal data.
type Contract struct {
	Key         string // to go on behind it
	Engagement  string
	Person      string
	Vendor      string
	Name        string
	Email       string
	Status      Status
	Reason      string    // of the status
	Start, End  time.Time // effective; zero: none yet
	PrevEnd     time.Time // the effective end before the vendor's last change of it; zero: none
	Extended    time.Time // an admin's or sponsor's later end; zero: none
	Sponsor     string    // Entra object id; "" none
	SponsorMail string    // as the vendor sent it
	GuestState  string
	Phase       Phase
	Held        string // why the person waits; "" if not
	Failing     string // the last pass's error; "" if it did not fail
	Blocked     bool   // an emergency stop stands
	Holdings    int    // of the person, not ended
}

// EndsOnDay counts effective ends of one vendor on one day.
type EndsOnDay struct {
	Vendor string
	Day    time.Time // its beginning, UTC
	Ends   int
}

// RuleCount is how many people hold something by a rule.
type RuleCount struct {
	Rule   string
	People int
}

// HoldCount is how many holds of one kind of one vendor wait.
type HoldCount struct {
	Vendor string
	Kind   HoldKind
	Open   int
}
