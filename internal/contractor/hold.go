package contractor

import "time"

// HoldKind says what made work wait for a person.
type HoldKind string

// HoldMassEnd: a feed suddenly ends more engagements than its guard allows. HoldDateMove: an end date jumped further than the
// mapping allows without somebody looking. HoldMapping: an edit of the mapping file takes access from more people than the
// guard allows.
const (
	HoldMassEnd  HoldKind = "mass_end"
	HoldDateMove HoldKind = "date_move"
	HoldMapping  HoldKind = "mapping"
)

// HoldState is how far a hold has come. Admitted is an end that the guard let through: it counts in the guard's window.
type HoldState string

// The states of a hold.
const (
	HoldAdmitted  HoldState = "admitted"
	HoldOpen      HoldState = "open"
	HoldApproved  HoldState = "approved"  // the change takes effect
	HoldCancelled HoldState = "cancelled" // the change is ignored until the vendor sends another
)

// Hold is a vendor's change that waits for a person, or did.
type Hold struct {
	ID         int64     `json:"id"`
	Kind       HoldKind  `json:"kind"`
	State      HoldState `json:"state"`
	Vendor     string    `json:"vendor"`
	Person     string    `json:"person"`
	Engagement string    `json:"engagement"`
	SetAt      time.Time `json:"setAt"`            // when the vendor made the change: a later change is another hold
	Opened     time.Time `json:"opened"`           //
	Expires    time.Time `json:"expires,omitzero"` // undecided until then, it is approved: access does not stay because nobody looked
	Why        string    `json:"why"`              // which bound was met
	DecidedBy  string    `json:"decidedBy,omitempty"`
	Decided    time.Time `json:"decided,omitzero"`
	Reason     string    `json:"reason,omitempty"`
	Revision   string    `json:"revision,omitempty"` // of the mapping that takes it away
	Loses      []string  `json:"loses,omitempty"`    // what it takes away, as LossOf names it
}

// HoldQuery asks for holds, newest first.
type HoldQuery struct {
	Vendor string
	Person string
	All    bool // decided ones, too
	Limit  int  // 0: 1,000
}

// Wave is what kind of change of a feed a guard counts.
type Wave int

// WaveEnds are ends that a feed suddenly set and that would take effect now; the others are ends that it moved to another day to come.
const (
	WaveEnds Wave = iota
	WaveEarlier
	WaveLater
)

// EndRequest asks the guard whether an end that a feed suddenly set, or moved, may take effect.
type EndRequest struct {
	Engagement *Engagement
	Person     string
	Now        time.Time
	Vendor     Guard         // the vendor's bounds
	Overall    Guard         // over all vendors
	Undecided  time.Duration // how long a hold waits for a decision before it is approved
	Clock      ClockDoubt
	Wave       Wave
	Former     time.Time // the end in force, where one is moved
	End        time.Time // the end as the vendor has it now, where one is moved
}

// ClockDoubt is how far this machine's clock may be wrong; zero: it is right as far as is known. While it is doubted no hold
// expires into a decision, and a guard's window reaches as much further back.
type ClockDoubt time.Duration

// Over reports whether an instant has come for certain. A zero instant never comes.
func (d ClockDoubt) Over(t, now time.Time) bool { return d == 0 && !t.IsZero() && !now.Before(t) }

// Loss is what an edit of the mapping takes from one person of what one vendor's engagements gave it: the guard's unit.
type Loss struct {
	Person     string
	Vendor     string
	Engagement string   // one of those that earned it
	Loses      []string // sorted; see LossOf
}

// LossOf names an entitlement in a Loss: "group ext-base (3f0c…)".
func LossOf(e Entitlement) string { return string(e.Kind) + " " + e.Name + " (" + e.ID + ")" }

// RemovalRequest asks the guard whether an edit of the mapping may take access away.
type RemovalRequest struct {
	Loss
	Revision  string // of the mapping in force
	Now       time.Time
	Bounds    Guard // the vendor's
	Overall   Guard // over all vendors
	Undecided time.Duration
	Clock     ClockDoubt
}

// Defaults of a guard.
const (
	DefaultGuardWindow = 24 * time.Hour
	// GuardFloor is how many ends a percentage never holds: of three contractors, one is a third.
	GuardFloor = 5
	// WaveFloor is how many moved ends a percentage never holds.
	WaveFloor = 25
	// DefaultEndsPercent and DefaultMovesPercent bound a feed for which the mapping says nothing.
	DefaultEndsPercent  = 20
	DefaultMovesPercent = 50
	// DefaultMaxRefused is how many records refused in a row are an alarm.
	DefaultMaxRefused = 50
	// DefaultUndecided is how long a held end waits for a person: access does not stay because nobody looked.
	DefaultUndecided = 7 * 24 * time.Hour
)

// Block is an admin's emergency stop for one person: closed whatever records and rules say, until it is lifted.
type Block struct {
	At     time.Time
	By     string
	Reason string
}

// Extension is an admin's later end for one engagement. The vendor's next change of the end replaces it.
type Extension struct {
	Until  time.Time
	At     time.Time
	By     string
	Reason string
}
