package lifecycle

import (
	"context"
	"time"

	"scimbridge/internal/contractor"
)

// guard asks about every end that a feed suddenly set and that would take effect now. One that is held keeps the engagement at
// its former end, so that the whole of the pass, mapping and planner, sees a contract that goes on.
func (ps *pass) guard(ctx context.Context) error {
	rules := ps.Rules()
	for i := range ps.p.Engagements {
		e := &ps.p.Engagements[i]
		v, ok := rules.Vendor(e.Vendor)
		if !ok || !wasLive(e) || !e.Stopped.At.IsZero() { // a sponsor ended it: no feed did
			continue
		}
		former, sudden := suddenEnd(e, v, ps.now)
		if !sudden {
			continue
		}
		h, err := ps.Store.AdmitEnd(ctx, contractor.EndRequest{
			Engagement: e, Person: ps.p.ID, Now: ps.now, Vendor: v.Guard, Overall: rules.Guard(), Undecided: ps.Undecided, Clock: ps.clock,
		})
		if err != nil {
			return err
		}
		switch h.State {
		case contractor.HoldOpen:
			e.KeptUntil = former
			ps.hold("its end is held: " + h.Why + "; decide with scimbridge hold approve or hold cancel")
			ps.lookAtExpiry(h)
		case contractor.HoldCancelled:
			e.KeptUntil = former
		}
	}
	return nil
}

// wasLive reports whether an engagement gave access before the pass, by what was last told about it.
func wasLive(e *contractor.Engagement) bool {
	switch e.Standing.Status {
	case contractor.StatusActive, contractor.StatusExpiring, contractor.StatusHeld:
		return true
	}
	return false
}

// suddenEnd reports whether an engagement's end would take effect now although it was not known in advance: the vendor set it
// less than a guard's window before it came. former is the end that was in force before. An end that never moved was known
// from the beginning, however near it was.
func suddenEnd(e *contractor.Engagement, v *contractor.Vendor, now time.Time) (former time.Time, sudden bool) {
	period, err := e.Period(v)
	if err != nil || period.NoEnd || now.Before(period.End) {
		return former, false
	}
	window := v.Guard.Window
	if window == 0 {
		window = contractor.DefaultGuardWindow
	}
	if e.EndSetAt.IsZero() || !e.EndSetAt.After(e.Created) || period.End.Sub(e.EndSetAt) >= window {
		return former, false
	}
	former = e.PrevEnd
	if !e.EndedAt.IsZero() {
		running := *e
		running.EndedAt = time.Time{}
		if p, err := running.Period(v); err == nil && p.End.After(former) {
			former = p.End
		}
	}
	// A former end that has passed as well changes nothing: the contract would be over without the vendor's change.
	return former, former.After(now)
}

// blocked closes a person whom an admin stopped, whatever records and rules say. Nothing is deleted while the block stands.
func (ps *pass) blocked() {
	b := ps.p.Block
	if b.At.IsZero() {
		return
	}
	ps.want.Open, ps.want.Grants, ps.want.CloseAt, ps.want.DeleteAt = false, nil, b.At, time.Time{}
	ps.hold("stopped by " + b.By + ": " + b.Reason + "; lift it with scimbridge contractor release")
	ps.want.Guest = ps.p.GuestID != ""
}
