package contractor

import "time"

// Kind of an entitlement.
type Kind string

// The two things that can be granted.
const (
	KindGroup         Kind = "group"
	KindAccessPackage Kind = "access_package"
)

// Expiry says who ends a group membership.
type Expiry string

// ExpiryEntra: a PIM for Groups schedule that Entra ends by itself. ExpiryBridge: a plain membership that only our loop ends.
const (
	ExpiryEntra  Expiry = "entra"
	ExpiryBridge Expiry = "bridge"
)

// Entitlement is one entry of the mapping's catalog.
type Entitlement struct {
	Kind   Kind   `json:"kind"`
	Name   string `json:"name"`             // catalog name
	ID     string `json:"id"`               // Entra object id
	Policy string `json:"policy,omitempty"` // access package assignment policy id
	Expiry Expiry `json:"expiry,omitempty"` // groups only
}

// Key identifies the entitlement in Entra.
func (e Entitlement) Key() EntitlementKey { return EntitlementKey{e.Kind, e.ID} }

// EntitlementKey is kind and Entra id: two catalog names for one group are one entitlement.
type EntitlementKey struct {
	Kind Kind
	ID   string
}

// Grant is an entitlement that should stand from Start (inclusive) to End (exclusive).
type Grant struct {
	Entitlement Entitlement `json:"entitlement"`
	Start       time.Time   `json:"start"`
	End         time.Time   `json:"end"`
	Rule        string      `json:"rule"`
	Line        int         `json:"line"`
	Engagement  string      `json:"engagement"`
	Vendor      string      `json:"vendor"`
}

// RuleResult is one rule's answer for one engagement, for explain and try.
type RuleResult struct {
	Rule    string `json:"rule"`
	Line    int    `json:"line"`
	Outcome string `json:"outcome"` // matched | missed | denied | failed
	Detail  string `json:"detail,omitempty"`
}

// Evaluation is what the mapping says about one engagement at one instant.
type Evaluation struct {
	Engagement string            `json:"engagement"`
	Vendor     string            `json:"vendor"`
	Status     Status            `json:"status"` // scheduled, active, expiring, held or offboarding; removed is the loop's word
	Reason     string            `json:"reason,omitempty"`
	Period     Period            `json:"-"`
	InviteAt   time.Time         `json:"inviteAt,omitzero"` // Start minus activate_early
	Grants     []Grant           `json:"grants,omitempty"`  // of a scheduled engagement too, with their Start in the future; none when held or ended
	Rules      []RuleResult      `json:"rules,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"` // Graph user property -> value
	Sponsors   []string          `json:"sponsors,omitempty"`   // candidates in order: mail, UPN, object id, or "group:<object id>"
}

// Desired is what should stand in Entra for one person at one instant: the union of the live engagements.
type Desired struct {
	At          time.Time         `json:"at"`
	Guest       bool              `json:"guest"`                // a guest should exist
	Open        bool              `json:"open"`                 // sign-in should be enabled
	CloseAt     time.Time         `json:"closeAt,omitzero"`     // latest end of the engagements that keep the guest open, or the last end that passed
	DeleteAt    time.Time         `json:"deleteAt,omitzero"`    // once closed: when the guest is to be deleted
	UnsponsorAt time.Time         `json:"unsponsorAt,omitzero"` // once closed: when its sponsors are to be taken off; zero: never, they go with the guest
	Grants      []Grant           `json:"grants,omitempty"`     // one per entitlement in force now, with the latest end among those that grant it; ordered by kind and name
	Attributes  map[string]string `json:"attributes,omitempty"`
	Sponsors    []string          `json:"sponsors,omitempty"`
	Invite      Invitation        `json:"invite"`                    // how to invite: everything but the sponsors
	SponsorMust bool              `json:"sponsorRequired,omitempty"` // without a sponsor found in the tenant: held
	// SponsorManages says that the sponsor, if it is a person, is written as the guest's manager, too.
	SponsorManages bool         `json:"sponsorManages,omitempty"`
	Evaluations    []Evaluation `json:"evaluations"`
	Next           time.Time    `json:"next,omitzero"` // the next instant at which this answer can change by time alone; zero: never
	Revision       string       `json:"revision"`      // of the mapping
}
