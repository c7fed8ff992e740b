package lifecycle

import (
	"time"

	"scimbridge/internal/contractor"
)

// KeptUntil is the end of an engagement that is, or was, in force at an instant although its vendor had sent another: while a hold
// about that change waited, and after it was cancelled. Zero if none was. It is pure: holds are the person's, decided ones too. A
// pass asks the guard instead, and comes to the same answer.
func KeptUntil(e *contractor.Engagement, v *contractor.Vendor, holds []contractor.Hold, at time.Time) time.Time {
	for i := range holds {
		h := &holds[i]
		waits := h.State == contractor.HoldOpen || !h.Decided.IsZero() && h.Decided.After(at)
		if h.Engagement != e.ID || !h.SetAt.Equal(e.EndSetAt) || h.Opened.After(at) || !waits && h.State != contractor.HoldCancelled {
			continue
		}
		switch h.Kind {
		case contractor.HoldMassEnd:
			if former, sudden := suddenEnd(e, v, at); sudden {
				return former
			}
			if former, _, wave := movedEnd(e, v, at); wave == contractor.WaveEarlier {
				return former
			}
			if p, err := e.Period(v); err == nil && e.EndedAt.IsZero() && e.PrevEnd.After(p.End) {
				return e.PrevEnd
			}
		case contractor.HoldDateMove:
			if former, _, _ := movedFar(e, v); !former.IsZero() {
				return former
			}
			if former, _, wave := movedEnd(e, v, at); wave == contractor.WaveLater {
				return former
			}
			// What was told about it may be of after the decision; then the end before the vendor's change is meant.
			if p, err := e.Period(v); err == nil && !e.PrevEnd.IsZero() && e.PrevEnd.Before(p.End) {
				return e.PrevEnd
			}
		}
	}
	return time.Time{}
}
