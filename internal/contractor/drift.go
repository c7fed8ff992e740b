package contractor

import (
	"strings"
	"time"
)

// DriftKind is what somebody changed behind the bridge's back.
type DriftKind string

// The kinds of drift.
const (
	DriftEnabled   DriftKind = "enabled"            // sign-in of a closed guest was enabled
	DriftDisabled  DriftKind = "disabled"           // sign-in of a guest at work was disabled
	DriftAdded     DriftKind = "member_added"       // a guest was put into a group of the catalog
	DriftRemoved   DriftKind = "member_removed"     // a grant was taken away
	DriftExtended  DriftKind = "schedule_extended"  // Entra would keep a grant beyond its end
	DriftShortened DriftKind = "schedule_shortened" // Entra would end a grant before its end
	DriftDeleted   DriftKind = "deleted"            // the guest of somebody at work was deleted
	DriftSponsor   DriftKind = "sponsor"            // the sponsor was taken off the guest
	DriftProperty  DriftKind = "attributes"         // properties of the guest were changed
)

// DriftKinds lists the kinds in the order in which they are shown.
func DriftKinds() []DriftKind {
	return []DriftKind{DriftEnabled, DriftDisabled, DriftAdded, DriftRemoved, DriftExtended, DriftShortened, DriftDeleted, DriftSponsor, DriftProperty}
}

// DriftMode is what is done about drift.
type DriftMode string

// Report tells it and leaves it; repair makes it as the mapping has it; adopt takes it for somebody's decision, and is silent.
const (
	DriftReport DriftMode = "report"
	DriftRepair DriftMode = "repair"
	DriftAdopt  DriftMode = "adopt"
)

// DefaultDrift is what is done about a kind of drift where the mapping says nothing: what would outlive a contract or was taken
// from a contract is repaired; what somebody may have had a reason for that we do not see is reported.
func DefaultDrift(k DriftKind) DriftMode {
	if k == DriftDisabled || k == DriftAdded {
		return DriftReport
	}
	return DriftRepair
}

// DriftMustEnd reports whether a kind may be repaired only: left alone, access would outlive its contract.
func DriftMustEnd(k DriftKind) bool { return k == DriftEnabled || k == DriftExtended }

// DriftState is how far a piece of drift has come.
type DriftState string

// The states of drift. Suspected was seen once: a replica that lags may have shown it.
const (
	DriftSuspected DriftState = "suspected"
	DriftOpen      DriftState = "open"
	DriftAdopted   DriftState = "adopted"
	DriftRepaired  DriftState = "repaired"    // seen as the mapping has it, after we wrote
	DriftVanished  DriftState = "disappeared" // somebody undid it, or the mapping wants it now
)

// Drift is one piece of drift of one person.
type Drift struct {
	ID      int64      `json:"id"`
	Person  string     `json:"person"`
	Kind    DriftKind  `json:"kind"`
	Object  string     `json:"object,omitempty"` // "group ext-base (3f0c…)"; "" where the guest itself is meant
	State   DriftState `json:"state"`
	Mode    DriftMode  `json:"mode"` // of the mapping when it was last seen
	Words   string     `json:"words"`
	Found   time.Time  `json:"found"`
	Acted   time.Time  `json:"acted,omitzero"`  // the last repair was sent
	Tries   int        `json:"tries,omitempty"` // repairs sent
	Settled time.Time  `json:"settled,omitzero"`
	Asked   bool       `json:"asked,omitempty"` // an admin asked for the repair
	// Of the admin's override that is in force; zero: none.
	AllowedUntil  time.Time `json:"allowedUntil,omitzero"`
	AllowedReason string    `json:"allowedReason,omitempty"`
}

// DriftOverride lets drift stand until an end.
type DriftOverride struct {
	Person string    `json:"person"`
	Kind   DriftKind `json:"kind"`
	Object string    `json:"object,omitempty"` // Entra object id; "": every one of the kind
	Until  time.Time `json:"until"`
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	Reason string    `json:"reason"`
}

// DriftSituation is what is known of a person's drift.
type DriftSituation struct {
	Looked    time.Time // when what costs reads of its own (sponsors) was last compared
	Known     []Drift   // suspected, open and adopted
	Overrides []DriftOverride
}

// DriftQuery asks for drift, newest first.
type DriftQuery struct {
	Person string
	All    bool // settled, too
	Limit  int  // 0: 1,000
}

// DriftAllowed is the override that lets a piece of drift stand; nil if none does.
func DriftAllowed(overrides []DriftOverride, d *Drift) *DriftOverride {
	for i := range overrides {
		o := &overrides[i]
		if o.Person == d.Person && o.Kind == d.Kind && (o.Object == "" || strings.Contains(strings.ToLower(d.Object), "("+o.Object+")")) {
			return o
		}
	}
	return nil
}
