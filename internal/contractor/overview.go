package contractor

import (
	"crypto/sha256"
	"time"
)

// Token is what is stored of a vendor's bearer token.
type Token struct {
	ID       string            `json:"id"` // not secret
	Vendor   string            `json:"vendor"`
	Hash     [sha256.Size]byte `json:"-"` // of the token
	Created  time.Time         `json:"created"`
	Expires  time.Time         `json:"expires,omitzero"`  // zero: never
	LastUsed time.Time         `json:"lastUsed,omitzero"` // to within minutes; zero: never
	Revoked  time.Time         `json:"revoked,omitzero"`  // zero: not revoked
}

// Live reports whether the token lets anybody in at now.
func (t *Token) Live(now time.Time) bool {
	return t.Revoked.IsZero() && (t.Expires.IsZero() || now.Before(t.Expires))
}

// VendorState is a vendor as the store knows it; what the mapping says of it is Vendor.
type VendorState struct {
	Name     string    `json:"name"`
	Created  time.Time `json:"created"`
	Paused   bool      `json:"paused,omitempty"`
	Total    int       `json:"engagements"`       // without tombstones
	Live     int       `json:"liveEngagements"`   // those that have not ended: the quota's measure
	LastPush time.Time `json:"lastPush,omitzero"` // last change of an engagement that is no tombstone
	Tokens   []Token   `json:"tokens,omitempty"`  // oldest first
}

// PersonQuery asks for people, oldest first.
type PersonQuery struct {
	Vendor  string // with an engagement of this vendor, tombstones included
	Phase   Phase
	Status  Status // with an engagement of this status, tombstones not included
	Held    bool   // only those who wait for somebody
	Failing bool   // only those whose last pass failed
	Text    string // part of an address, a name or a worker id, in any case
	After   string // ID of the last person of the page before; "": from the beginning
	Limit   int    // at most 1,000; 0: 100
}

// PersonSummary is one line of a list of people.
type PersonSummary struct {
	Person      Person    `json:"-"` // without engagements and holdings
	Name        string    `json:"name,omitempty"`
	Vendors     []string  `json:"vendors"`
	Engagements int       `json:"engagements"`     // tombstones included
	Statuses    []Status  `json:"statuses"`        // of the engagements that are no tombstones
	EndsAt      time.Time `json:"endsAt,omitzero"` // latest effective end
	Holdings    int       `json:"holdings"`        // not ended
}

// Stats is the state of the store in figures.
type Stats struct {
	At          time.Time         `json:"at"`
	People      int               `json:"people"`
	Phases      map[Phase]int     `json:"phases"`
	Held        int               `json:"held"`
	Failing     int               `json:"failing"`
	Engagements int               `json:"engagements"` // without tombstones
	Live        int               `json:"liveEngagements"`
	Statuses    map[Status]int    `json:"statuses"`
	Holdings    map[Mechanism]int `json:"holdings"` // not ended
	Journal     int64             `json:"journalEvents"`

	Due       int       `json:"due"`                // people due now, counted up to 10,000
	OldestDue time.Time `json:"oldestDue,omitzero"` // since when the longest waiting one is due
	NextDue   time.Time `json:"nextDue,omitzero"`   // the next who will be
	NextEnds  []NextEnd `json:"nextEnds,omitempty"` // the soonest effective ends to come, at most 10
}

// NextEnd is an engagement that ends.
type NextEnd struct {
	Person     string    `json:"person"`
	Engagement string    `json:"engagement"`
	Vendor     string    `json:"vendor"`
	EndsAt     time.Time `json:"endsAt"`
}

// HoldingQuery asks who held what at an instant.
type HoldingQuery struct {
	At     time.Time
	Person string
	Key    EntitlementKey // zero: all
	Vendor string         // whose engagement granted it
}

// HoldingAt is a holding with its person.
type HoldingAt struct {
	Person    string  `json:"person"`
	Email     string  `json:"email"`
	SponsorID string  `json:"sponsorId,omitempty"` // as last set
	Holding   Holding `json:"holding"`
}

// MappingRevision is a mapping file that was in force.
type MappingRevision struct {
	Hash   string // hex SHA-256 of Text
	Text   string
	Who    string // who loaded it
	Loaded time.Time
}

// JournalQuery asks for events of the journal, in order.
type JournalQuery struct {
	After      int64 // events behind this number; with Descending: before it, 0 from the end
	From, To   time.Time
	Kind       string // whole kind, or a prefix that ends with "." ("guest.")
	Person     string
	Engagement string
	Vendor     string
	Descending bool
	Limit      int // 0: all
}
