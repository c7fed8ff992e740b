package contractor

import "time"

// Sponsor is who answers for a guest, as the tenant knows it: a user, or a group.
type Sponsor struct {
	ID       string // Entra object id
	Group    bool
	Exists   bool
	Enabled  bool     // of a user: accountEnabled, and no guest; of a group: it exists
	Mails    []string // where it is reached; of a group without a mailbox those of its members
	Name     string   // displayName
	Language string   // preferredLanguage, such as de-DE; "" unknown
	Manager  string   // object id of a user's manager; "" none or not asked for
}

// ExtendRules bound what a sponsor may extend by a link.
type ExtendRules struct {
	Max          Span // from the end in force; zero: sponsors may not extend
	ApprovalOver Span // a longer one waits for an admin; zero: none does
}

// AttestRules say how often a sponsor confirms a contractor.
type AttestRules struct {
	Every Span // since the last confirmation, or the invitation; zero: never
	Grace Span // from the mail that asks to the end of access
}

// SponsoredGuest is an open guest, or one that waits for a sponsor, with who answers for it.
type SponsoredGuest struct {
	Person  string
	Guest   string
	Sponsor string // Entra object id
	Manager string // the sponsor's manager when it was last seen
	Waiting bool   // closed since nobody answers for it
}

// NoticeKind is what a sponsor is told.
type NoticeKind string

// The notices.
const (
	NoticeEnding  NoticeKind = "ending"  // an engagement ends soon
	NoticeHold    NoticeKind = "hold"    // a person waits for a decision
	NoticeSponsor NoticeKind = "sponsor" // the receiver has become the sponsor
	NoticeAttest  NoticeKind = "attest"  // the receiver is asked to confirm the person
)

// SponsorNotice is one thing to tell a sponsor, once for each Key.
type SponsorNotice struct {
	Key        string
	Kind       NoticeKind
	Sponsor    string // Entra object id
	Person     string
	Engagement string
	Until      time.Time // the end, or by when an answer is wanted; zero: none
	Words      string    // no personal data
}

// NoticeItem is a notice as a mail tells it. Name and Email are personal data: they are read when the mail is made.
type NoticeItem struct {
	SponsorNotice
	Vendor string
	Name   string
	Email  string
	Link   Link
}

// LiveEngagement is an engagement that gives access now or will, with who answers for its person.
type LiveEngagement struct {
	Person     string
	Engagement string
	Vendor     string
	Sponsor    string
	Told       string // the sponsor that was last noted as told; "": none
	Held       string // why the person waits; "" if not
	End        time.Time
	Invited    time.Time
	Confirmed  time.Time // last attestation; zero: never
	Asked      time.Time // when it was last asked for; zero: never, or answered since
	AskedSent  time.Time // when the mail that asks was sent; zero: not yet
	Overdue    bool      // stopped since nobody confirmed
}

// Mail is a digest on its way to a sponsor.
type Mail struct {
	ID       string
	Sponsor  string
	Day      string // of the digest, YYYY-MM-DD
	Created  time.Time
	Attempts int
	Sending  bool // its sending was announced, and nothing says what became of it
}

// Link is what a sponsor's one-time link stands for. The link itself is stored nowhere, only its hash.
type Link struct {
	ID         string
	Sponsor    string
	Person     string
	Engagement string
	Expires    time.Time
	Used       time.Time // zero: not yet
	Attest     bool      // the page asks for a confirmation
}

// LinkAction is what a sponsor does by a link.
type LinkAction string

// The actions. Ask is an extension that waits for an admin.
const (
	LinkExtend  LinkAction = "extend"
	LinkAsk     LinkAction = "ask"
	LinkEnd     LinkAction = "end"
	LinkConfirm LinkAction = "confirm"
)

// LinkUse is one link used for one action.
type LinkUse struct {
	Hash    [32]byte
	Action  LinkAction
	Until   time.Time // extend and ask
	Expires time.Time // ask: undecided until then it is refused
	Reason  string
}

// Attestation is where the confirmation of one person stands.
type Attestation struct {
	Person    string    `json:"person"`
	Email     string    `json:"email"`
	Sponsor   string    `json:"sponsor"`
	Vendor    string    `json:"vendor"`
	End       time.Time `json:"end,omitzero"`
	Confirmed time.Time `json:"confirmed,omitzero"`
	By        string    `json:"confirmedBy,omitempty"`
	Asked     time.Time `json:"asked,omitzero"`
	Sent      time.Time `json:"mailSent,omitzero"`
	Stopped   bool      `json:"stopped,omitempty"` // access was ended since nobody confirmed
}
