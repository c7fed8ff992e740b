package contractor

import "time"

// ActivityLog is one of the tenant's logs that are read about our guests.
type ActivityLog string

// The two logs. Of the tenant's four kinds of sign-in, Graph v1.0 tells interactive and federated ones.
const (
	LogSignIns ActivityLog = "signin" // auditLogs/signIns
	LogAudits  ActivityLog = "audit"  // auditLogs/directoryAudits
)

// Activity is one entry of a log, about one of our guests. Times are UTC. By.Name and IP are personal data.
type Activity struct {
	Log    ActivityLog `json:"log"`
	ID     string      `json:"id"` // the entry's, in Entra
	At     time.Time   `json:"at"`
	Guest  string      `json:"guest"`            // object id, small letters
	Person string      `json:"person,omitempty"` // ours; filled in by who reads
	What   string      `json:"what"`             // a sign-in: the application's name; else activityDisplayName
	OK     bool        `json:"ok"`
	Code   int         `json:"code,omitempty"`   // AADSTS error of a sign-in
	Reason string      `json:"reason,omitempty"` // failureReason, resultReason

	// Of a sign-in.
	AppID      string            `json:"appId,omitempty"`
	ClientApp  string            `json:"clientApp,omitempty"` // clientAppUsed, as the log says it
	IP         string            `json:"ip,omitempty"`
	Country    string            `json:"country,omitempty"` // two letters; "" unknown
	HomeTenant string            `json:"homeTenant,omitempty"`
	Risk       string            `json:"risk,omitempty"` // riskLevelDuringSignIn
	Platform   string            `json:"platform,omitempty"`
	Device     map[string]string `json:"device,omitempty"`   // in the words of device filters; nil: not registered
	Policies   map[string]string `json:"policies,omitempty"` // conditional access: policy id to result, such as reportOnlyFailure; those that applied

	// Of an audit entry.
	Service string   `json:"service,omitempty"` // loggedByService
	By      Doer     `json:"by,omitzero"`
	Targets []string `json:"targets,omitempty"` // ids of everything the entry is about
	Changed []string `json:"changed,omitempty"` // names of the properties that were changed
}

// Doer is who did what an audit entry tells.
type Doer struct {
	Kind string `json:"kind,omitempty"` // user, app, service (Entra itself)
	ID   string `json:"id,omitempty"`   // object id of a user, application id of an app
	Name string `json:"name,omitempty"` // personal data where Kind is user
}

// ActivityMark is how far a log has been read.
type ActivityMark struct {
	Through time.Time // everything before was read once; zero: nothing yet
	Floor   time.Time // nothing at or before is read again: what was read of it is no longer remembered
	Swept   time.Time // when the log was last read far back for entries that came late
}

// WatchedGuest is what the watch has to know of a guest of ours.
type WatchedGuest struct {
	Guest     string
	Person    string
	Phase     Phase
	Closed    time.Time // sign-in was seen disabled; zero while open
	Ended     time.Time // the last end of all engagements; zero while one is live or to come
	Invited   time.Time
	GuestWord string   // externalUserState last seen
	Vendor    string   // of the engagement that ends last
	Groups    []string // object ids of the groups held through the bridge
}

// Over is from when on the guest had no business here: the earlier of the closing and the end; zero: it has.
func (g *WatchedGuest) Over() time.Time {
	if g.Closed.IsZero() || !g.Ended.IsZero() && g.Ended.Before(g.Closed) {
		return g.Ended
	}
	return g.Closed
}

// AlarmKind is what an alarm is about.
type AlarmKind string

// The alarms there are.
const (
	AlarmSignInAfterEnd   AlarmKind = "signin_after_end"  // a sign-in that worked after the end
	AlarmTokenAfterEnd    AlarmKind = "token_after_end"   // a token was used or renewed after the end
	AlarmChangedByOther   AlarmKind = "changed_by_other"  // somebody else changed one of our guests
	AlarmForbiddenSignIn  AlarmKind = "forbidden_signin"  // a sign-in that worked and that the declared policies forbid
	AlarmRiskySignIns     AlarmKind = "risky_signins"     // risky sign-ins in short order
	AlarmMFAFailures      AlarmKind = "mfa_failures"      // failed multifactor authentication in short order
	AlarmNeverAccepted    AlarmKind = "never_accepted"    // a guest who did not accept the invitation
	AlarmPolicyChanged    AlarmKind = "policy_changed"    // somebody else changed one of our conditional access policies
	AlarmActivityGap      AlarmKind = "activity_gap"      // part of a log can no longer be read
	AlarmActivityOverflow AlarmKind = "activity_overflow" // the store's bound on activity is reached
	AlarmFeedFailed       AlarmKind = "feed_failed"       // a vendor's server cannot be read
	AlarmFeedHeld         AlarmKind = "feed_held"         // a whole reading misses more people than the guard allows
	AlarmFeedRefused      AlarmKind = "feed_refused"      // every record of a vendor is refused
	AlarmFeedDoubt        AlarmKind = "feed_doubt"        // whole readings are faulty, and so nobody is ended for being missing
)

// Severity of an alarm.
type Severity string

// SeverityCritical: somebody may have access who must not. SeverityWarning: look today. SeverityNotice: look some day.
const (
	SeverityCritical Severity = "critical"
	SeverityWarning  Severity = "warning"
	SeverityNotice   Severity = "notice"
)

// Evidence is one entry of a log that an alarm rests on.
type Evidence struct {
	Log   ActivityLog `json:"log,omitempty"`
	ID    string      `json:"id,omitempty"`
	At    time.Time   `json:"at"`
	Words string      `json:"words"` // no personal data
}

// Alarm is something that a person has to look at. Words, Evidence and Next hold no personal data.
//
// Alarms are de-duplicated: while an alarm with the same Key is not acknowledged, what happens again adds to its Count and
// Evidence and raises nothing.
type Alarm struct {
	ID       string     `json:"id"`
	Key      string     `json:"key"`
	Kind     AlarmKind  `json:"kind"`
	Severity Severity   `json:"severity"`
	Person   string     `json:"person,omitempty"`
	Vendor   string     `json:"vendor,omitempty"`
	Words    string     `json:"words"`    // a sentence: what happened
	Evidence []Evidence `json:"evidence"` // the first ones, at most MaxEvidence
	Next     string     `json:"next"`     // the command to go on with
	Count    int        `json:"count"`    // how often it happened
	First    time.Time  `json:"first"`
	Last     time.Time  `json:"last"`
	Raised   time.Time  `json:"raised"`

	Acknowledged time.Time `json:"acknowledged,omitzero"`
	By           string    `json:"acknowledgedBy,omitempty"`
	Note         string    `json:"note,omitempty"`

	// Personal is erasable: addresses of machines, names of people. It goes into the journal event apart from the rest, and is
	// not kept beside it.
	Personal map[string]string `json:"-"`
	// Once: with the same Key it is raised once, also after it was acknowledged. Of alarms about a state that lasts.
	Once bool `json:"-"`
}

// MaxEvidence is how many entries an alarm names; it counts all.
const MaxEvidence = 20

// AlarmQuery asks for alarms, the newest first.
type AlarmQuery struct {
	All    bool   // the acknowledged ones, too
	Person string // of this person only
	Limit  int    // at most this many; 0: 100
}

// ActivityBounds are how much of the logs is kept.
type ActivityBounds struct {
	For  time.Duration // entries older than this go
	Rows int           // and the oldest beyond this many, for each log
}

// ActivityBatch is what one answer of a log comes to, stored whole or not at all.
type ActivityBatch struct {
	Log     ActivityLog
	Entries []Activity // those of them that are stored already are passed over
	Alarms  []Alarm    // ID, Raised and Count are the store's to fill
	Mark    *ActivityMark
}
