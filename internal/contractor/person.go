package contractor

import (
	"strings"
	"time"
)

// Origin says why a guest is ours to change (product rule 4).
type Origin string

// A guest we invited, or one that a person explicitly handed to us. Anything else is left alone.
const (
	OriginInvited Origin = "invited"
	OriginAdopted Origin = "adopted"
)

// Phase is how far the loop has come with a person. It is derived from what was done, never from the clock.
type Phase string

// The phases. A person moves down the list and, when a new engagement begins, back to open.
const (
	PhaseNew    Phase = "new"    // no guest yet
	PhaseOpen   Phase = "open"   // guest stands, sign-in enabled
	PhaseClosed Phase = "closed" // sign-in disabled, sessions revoked, access being taken back or taken
	PhaseGone   Phase = "gone"   // guest deleted and seen gone
)

// Person is the human behind one e-mail identity, and the unit of the loop's work. Times are UTC, microsecond precision.
type Person struct {
	ID          string // UUID of ours
	Email       string // as first sent
	EmailKey    string // folded (EmailKey function), unique
	FormerEmail string // the address that the guest has still, after a vendor changed it; "": the guest has Email
	GuestID     string // Entra object id; "" until known
	Origin      Origin
	Phase       Phase

	Gen    int64     // grows with every change that the loop has to see
	Rev    int64     // grows with every outcome the loop records: a second loop on the same person is refused
	NextAt time.Time // when the loop looks next; zero: never
	Urgent bool      // closing work: served before everything else

	InvitingAt time.Time // an invitation may have left at this instant and no guest id was seen yet; zero: no
	InvitedAt  time.Time // the invitation was answered
	ClosingAt  time.Time // disabling sign-in was sent; zero while open
	ClosedAt   time.Time // sign-in was seen disabled
	RevokedAt  time.Time // sessions were revoked since the last closing
	EmptyAt    time.Time // the guest was seen to hold nothing since the last closing
	DeletingAt time.Time // the guest's deletion was sent and not yet seen done; zero: no
	GoneAt     time.Time // the guest was seen deleted
	MissingAt  time.Time // the guest was first not found, not even among the deleted; zero: it was found

	AttributesHash string // of what was last written to the guest
	SponsorID      string // Entra object id of the sponsor last set; "" if none
	SponsorRefs    string // hash of whom the record named when the sponsor was chosen by it
	GuestState     string // externalUserState last seen

	Failures  int    // consecutive failed passes
	LastError string // sentence for the operator, without personal data
	Held      string // why the person waits for somebody; "" if not

	Block Block // an admin's emergency stop; zero: none

	Engagements []Engagement // all, tombstones included, oldest first
	Holdings    []Holding    // those not ended, oldest first
}

// Mechanism is how a grant was written into Entra.
type Mechanism string

// How Entra holds a grant.
const (
	MechanismSchedule Mechanism = "pim"     // PIM for Groups assignment schedule, with its own expiry
	MechanismMember   Mechanism = "member"  // plain group membership, ended by the loop
	MechanismPackage  Mechanism = "package" // access package assignment, with its own expiry
)

// HoldingState is what the loop knows of a holding.
type HoldingState string

// The states of a holding. Granting and removing are intents, committed before the call that they announce: after a crash they
// say that the call may have taken effect.
const (
	HoldingGranting HoldingState = "granting"
	HoldingHeld     HoldingState = "held"
	HoldingRemoving HoldingState = "removing"
	HoldingEnded    HoldingState = "ended"
)

// Holding is a grant as it was written into Entra for a person.
type Holding struct {
	ID          int64 // store's key; 0: not stored yet
	Entitlement Entitlement
	Mechanism   Mechanism
	State       HoldingState
	Handle      string    // schedule id, assignment id or request id in Entra; "" for a plain member
	Since       time.Time // first granted
	End         time.Time // the grant's end, by the mapping
	EntraEnd    time.Time // the end that Entra itself enforces; zero: none, or not yet
	WrittenAt   time.Time // last write to Entra, or intent of one
	EndedAt     time.Time // seen gone
	Rule        string
	Line        int
	Revision    string // of the mapping that granted it
	Engagement  string
	Vendor      string
}

// EmailKey folds an address for comparing identities: trimmed and lower case. (Entra compares mail case-insensitively.)
// The SCIM door has normalised look-alikes (NFKC) before an address gets here.
func EmailKey(email string) string { return strings.ToLower(strings.TrimSpace(email)) }
