package lifecycle

import (
	"context"
	"strings"
	"time"

	"scimbridge/internal/contractor"
)

// moves asks about every end that a vendor put much later than the one in force (defaults.max_move). While nobody has approved
// it, the former end stays, for the whole of the pass.
func (ps *pass) moves(ctx context.Context) error {
	rules := ps.Rules()
	for i := range ps.p.Engagements {
		e := &ps.p.Engagements[i]
		v, ok := rules.Vendor(e.Vendor)
		if !ok {
			continue
		}
		former, end, far := movedFar(e, v)
		if former.IsZero() {
			if ps.p.Held != "" && e.EndSetAt.After(e.Created) {
				if err := ps.Store.SettleMoves(ctx, e.ID, e.EndSetAt); err != nil {
					return err
				}
			}
			continue
		}
		h, err := ps.Store.AdmitMove(ctx, contractor.MoveRequest{
			Engagement: e, Person: ps.p.ID, Now: ps.now, Former: former, End: end, Limit: v.MaxMove, Far: far, Undecided: ps.Undecided, Clock: ps.clock,
		})
		if err != nil {
			return err
		}
		switch h.State {
		case contractor.HoldOpen:
			e.KeptUntil = former
			ps.hold(h.Why + "; until somebody decides the former end holds; decide with scimbridge hold approve or hold cancel")
			ps.lookAtExpiry(h)
		case contractor.HoldCancelled:
			e.KeptUntil = former
		}
	}
	return nil
}

// movedFar compares an engagement's end with the one in force, which is what the loop told the vendor last. former is zero where
// nothing moved far: the vendor's change may be small, an admin's, the mapping's, or a new contract of somebody who had left
// (transaction RHI). far is whether the vendor's last change alone goes beyond the limit.
func movedFar(e *contractor.Engagement, v *contractor.Vendor) (former, end time.Time, far bool) {
	if v.MaxMove.IsZero() || !e.KeptUntil.IsZero() || !e.EndedAt.IsZero() || !e.EndSetAt.After(e.Created) || e.Standing.EffectiveEnd.IsZero() {
		return time.Time{}, time.Time{}, false
	}
	if e.Extended.At.After(e.EndSetAt) {
		return time.Time{}, time.Time{}, false // an admin's end is no vendor's move
	}
	period, err := e.Period(v)
	if err != nil || period.NoEnd {
		return time.Time{}, time.Time{}, false
	}
	over := e.Standing.Status == contractor.StatusOffboarding || e.Standing.Status == contractor.StatusRemoved
	if over && strings.EqualFold(e.Record.TransactionType, transactionRehire) {
		return time.Time{}, time.Time{}, false
	}
	beyond := func(from time.Time) bool {
		if from.Before(e.EndSetAt) {
			from = e.EndSetAt // an end that had passed: what counts is how long the new one reaches
		}
		return period.End.After(v.MaxMove.After(from, period.Zone))
	}
	if !beyond(e.Standing.EffectiveEnd) {
		return time.Time{}, time.Time{}, false
	}
	return e.Standing.EffectiveEnd, period.End, e.PrevEnd.IsZero() || beyond(e.PrevEnd)
}

// transactionRehire is the transactionType of a vendor that takes somebody on again.
const transactionRehire = "RHI"
