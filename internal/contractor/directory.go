package contractor

import (
	"fmt"
	"time"
)

// Guest is an Entra user as the bridge needs to see it.
type Guest struct {
	ID                string
	UserPrincipalName string
	Mail              string
	OtherMails        []string
	Type              string // userType: Guest or Member
	Enabled           bool   // accountEnabled
	State             string // externalUserState: PendingAcceptance, Accepted, ""
	Privileged        bool   // holds a directory role or sits in a role-assignable group: never ours to change
	Deleted           bool   // soft-deleted, restorable
	Created           time.Time
	Attributes        map[string]string // the Graph user properties that the mapping may write, as last read
	SponsorIDs        []string          // nil if not read
}

// Invitation asks Entra for a new guest in one call (POST /invitations).
type Invitation struct {
	Email       string
	DisplayName string
	RedirectURL string   // "": https://myapps.microsoft.com
	SendMail    bool     // Entra's own invitation mail; custom text is dropped for apps (graph.md 0.2)
	Language    string   // of Entra's mail, "" = en-US
	SponsorIDs  []string // object ids
}

// GroupMembership is one direct membership of a guest, in a plain or a scheduled way.
type GroupMembership struct {
	GroupID     string
	DisplayName string
	Dynamic     bool // by rule: cannot and need not be taken away
	Synced      bool // mastered on-premises
	Member      bool // in members now
	// The schedule in force or to come, where PIM for Groups holds one.
	ScheduleID  string
	ScheduleEnd time.Time // zero with a ScheduleID: no expiry
}

// PackageAssignment is one access package assignment of a guest, not expired.
type PackageAssignment struct {
	PackageID    string
	PolicyID     string
	AssignmentID string    // "" while only the request is known
	RequestID    string    // the open request, where one is
	State        string    // delivering, partiallyDelivered, delivered, deliveryFailed …
	End          time.Time // zero: none
}

// Access is everything a guest was seen to hold.
type Access struct {
	Groups   []GroupMembership
	Packages []PackageAssignment
}

// Empty reports whether the guest holds nothing that a person or the bridge gave it. Dynamic memberships do not count.
func (a Access) Empty() bool {
	for _, g := range a.Groups {
		if !g.Dynamic {
			return false
		}
	}
	return len(a.Packages) == 0
}

// Receipt is the proof of one change in Entra.
type Receipt struct {
	Call            string    // method and path, ids as {id}: "POST /groups/{id}/members/$ref"
	RequestID       string    // Graph's request-id
	ClientRequestID string    // ours
	ServerTime      time.Time // Date header
	Handle          string    // id of what was made, where something was
	AlreadySo       bool      // Entra had it that way; nothing was changed
}

// Verdict sorts every failed call to Entra by what the caller may do next (graph.md 6.4, 6.9).
type Verdict string

// The verdicts.
const (
	VerdictRetry     Verdict = "retry"     // transient and known not to have happened: again after RetryAfter
	VerdictThrottled Verdict = "throttled" // 429: again after RetryAfter, and everybody else waits too
	VerdictUnknown   Verdict = "unknown"   // it may have happened: look before repeating
	VerdictGone      Verdict = "gone"      // the object is not there (or not yet there, soon after its creation)
	VerdictRefused   Verdict = "refused"   // permission, licence, policy, protected target: a person must act
	VerdictPermanent Verdict = "permanent" // the request itself is wrong; repeating cannot help
)

// Failure is a call to Entra that did not do what it should.
type Failure struct {
	Op              string // our word for the call: "invite", "disable" …
	Verdict         Verdict
	RetryAfter      time.Duration // 0: the caller's own backoff
	Status          int           // HTTP status; 0: no answer
	Code            string        // innermost Graph error code
	RequestID       string
	ClientRequestID string
	Message         string // a sentence for the operator that says what to do; no personal data
	Cause           error
}

func (f *Failure) Error() string {
	s := fmt.Sprintf("%s: %s", f.Op, f.Message)
	if f.Status != 0 {
		s += fmt.Sprintf(" (HTTP %d %s)", f.Status, f.Code)
	}
	if f.RequestID != "" {
		s += ", request-id " + f.RequestID
	}
	return s
}

func (f *Failure) Unwrap() error { return f.Cause }

// Priority orders calls to Entra under its write quota: lower goes first.
type Priority int

// Closing access goes before opening it; sweeps go last.
const (
	PriorityClose Priority = iota
	PriorityOpen
	PriorityRefresh
	PrioritySweep
)
