package lifecycle

import (
	"context"
	"strings"
	"time"

	"scimbridge/internal/contractor"
)

// waves asks the guard about every end that a feed moved to another day to come: one is the vendor's to move, hundreds within a day are
// a mistake of a feed more often than not. While one is held the former end stays, for the whole of the pass.
func (ps *pass) waves(ctx context.Context) error {
	rules := ps.Rules()
	for i := range ps.p.Engagements {
		e := &ps.p.Engagements[i]
		v, ok := rules.Vendor(e.Vendor)
		if !ok || !e.KeptUntil.IsZero() {
			continue
		}
		former, end, wave := movedEnd(e, v, ps.now)
		if wave == contractor.WaveEnds {
			continue
		}
		h, err := ps.Store.AdmitEnd(ctx, contractor.EndRequest{
			Engagement: e, Person: ps.p.ID, Now: ps.now, Vendor: v.Guard, Overall: rules.Guard(), Undecided: ps.Undecided, Clock: ps.clock,
			Wave: wave, Former: former, End: end,
		})
		if err != nil {
			return err
		}
		switch h.State {
		case contractor.HoldOpen:
			e.KeptUntil = former
			ps.hold("a moved end is held: " + h.Why + "; until somebody decides the former end holds; decide with scimbridge hold approve or hold cancel")
			ps.lookAtExpiry(h)
		case contractor.HoldCancelled:
			e.KeptUntil = former
		}
	}
	return nil
}

// movedEnd compares an engagement's end with the one in force, which is what the loop told the vendor last; contractor.WaveEnds where it
// is none of a wave: it did not move by a day, it is a sudden one, an admin moved it, or the vendor says that it takes somebody on again.
func movedEnd(e *contractor.Engagement, v *contractor.Vendor, now time.Time) (former, end time.Time, wave contractor.Wave) {
	former = e.Standing.EffectiveEnd
	if former.IsZero() || !e.EndedAt.IsZero() || !e.Stopped.At.IsZero() || !e.EndSetAt.After(e.Created) || e.Extended.At.After(e.EndSetAt) {
		return former, end, contractor.WaveEnds
	}
	period, err := e.Period(v)
	if err != nil || period.NoEnd || strings.EqualFold(e.Record.TransactionType, transactionRehire) {
		return former, end, contractor.WaveEnds
	}
	const little = 24 * time.Hour
	switch moved := period.End.Sub(former); {
	case moved > little && now.Before(period.End):
		return former, period.End, contractor.WaveLater
	case moved < -little && now.Before(former):
		if _, sudden := suddenEnd(e, v, now); !sudden { // also one that has come while it was held
			return former, period.End, contractor.WaveEarlier
		}
	}
	return former, end, contractor.WaveEnds
}
