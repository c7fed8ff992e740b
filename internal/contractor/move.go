package contractor

import "time"

// MoveRequest asks whether an end that a vendor put later by more than Limit may take effect.
type MoveRequest struct {
	Engagement *Engagement
	Person     string
	Now        time.Time
	Former     time.Time // the end in force
	End        time.Time // the end as the vendor has it now
	Limit      Span
	Far        bool          // the vendor's last change alone is further than Limit; else only what was held before makes it so
	Undecided  time.Duration // how long a hold waits before the former end stays
	Clock      ClockDoubt
}
