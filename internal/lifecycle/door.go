package lifecycle

import (
	"context"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// door opens or closes sign-in. Closing comes before everything else of a pass: one write shuts every door of the person.
func (ps *pass) door(ctx context.Context) error {
	if ps.want.Open {
		return ps.open(ctx)
	}
	if ps.doubt != "" && !allEndedByVendor(ps.p) {
		ps.hold(ps.doubt)
		ps.lookIn(time.Minute)
		return nil
	}
	return ps.close(ctx)
}

func (ps *pass) open(ctx context.Context) error {
	p := ps.p
	ps.examine(contractor.DriftDisabled, contractor.DriftDeleted, contractor.DriftEnabled)
	switch {
	case ps.guest.Enabled && p.Phase == contractor.PhaseOpen:
		return nil
	case !ps.guest.Enabled && p.Phase == contractor.PhaseOpen:
		return ps.disabledByOther(ctx)
	}
	var r contractor.Receipt
	if !ps.guest.Enabled {
		var err error
		if r, err = ps.Directory.SetEnabled(ctx, p.GuestID, true); err != nil {
			return err
		}
		ps.guest.Enabled = true
	}
	p.Phase = contractor.PhaseOpen
	p.ClosingAt, p.ClosedAt, p.RevokedAt, p.EmptyAt, p.DeletingAt = time.Time{}, time.Time{}, time.Time{}, time.Time{}, time.Time{}
	return ps.record(ctx, nil, proven(ps.event("guest.enabled", audit.Done, ps.why()), r))
}

func (ps *pass) close(ctx context.Context) error {
	p := ps.p
	if p.Phase == contractor.PhaseOpen {
		// The intent: should we die between the call and its record, the disabled guest is known to be our doing.
		p.Phase = contractor.PhaseClosed
		if err := ps.record(ctx, nil, ps.event("guest.disabling", audit.Intended, ps.closeReason())); err != nil {
			return err
		}
	}
	ps.examine(contractor.DriftDisabled, contractor.DriftDeleted, contractor.DriftEnabled)
	switch {
	case ps.guest.Enabled && !p.ClosingAt.IsZero() && ps.now.Sub(p.ClosingAt) < ps.Settle:
		ps.looks = append(ps.looks, ps.now.Add(ps.readBack(p.ClosingAt))) // sent; not shown yet, or not by every replica
	case ps.guest.Enabled:
		if !p.ClosedAt.IsZero() {
			ps.deviates(contractor.DriftEnabled, "", "sign-in was enabled by somebody else after the end", true)
		}
		r, err := ps.Directory.SetEnabled(ctx, p.GuestID, false)
		if err != nil {
			return err
		}
		p.ClosingAt, p.ClosedAt = ps.now, time.Time{}
		if err := ps.record(ctx, nil, proven(ps.event("guest.disable_sent", audit.Done, ps.closeReason()), r)); err != nil {
			return err
		}
		ps.lookIn(lookSoon)
		ps.restWaits = ps.urgentWaits()
	case p.ClosedAt.IsZero():
		p.ClosedAt = ps.now
		if err := ps.record(ctx, nil, ps.event("guest.disabled", audit.Done, "read back: sign-in is disabled")); err != nil {
			return err
		}
	}
	if ps.restWaits || !p.RevokedAt.IsZero() {
		return nil
	}
	r, err := ps.Directory.RevokeSessions(ctx, p.GuestID)
	if err != nil {
		return ps.tolerate(err) // for guests it ends little (graph.md 0.1): never a reason to leave the groups standing
	}
	p.RevokedAt = ps.now
	return ps.record(ctx, nil, proven(ps.event("guest.sessions_revoked", audit.Done, "tokens already issued by the home tenant live until they expire"), r))
}

// closeReason says in a sentence why the door closes.
func (ps *pass) closeReason() string {
	if b := ps.p.Block; !b.At.IsZero() {
		return "stopped by " + b.By + ": " + b.Reason
	}
	for _, ev := range ps.want.Evaluations {
		if ev.Status == contractor.StatusHeld {
			return "engagement " + ev.Engagement + " is held: " + ev.Reason
		}
	}
	if ps.want.CloseAt.IsZero() {
		return "no engagement is left"
	}
	return "the last engagement ended at " + ps.want.CloseAt.UTC().Format(time.RFC3339)
}

// farewell checks that a closed guest holds nothing, and deletes it when its retention is over: only a guest that holds
// nothing, since restoring a deleted one brings its memberships back.
func (ps *pass) farewell(ctx context.Context) error {
	p := ps.p
	if ps.want.Open || p.ClosedAt.IsZero() {
		return nil
	}
	if !ps.access.Empty() || ps.fresh {
		p.EmptyAt = time.Time{}
		return nil
	}
	for i := range p.Holdings {
		if p.Holdings[i].State != contractor.HoldingEnded {
			return nil // the planner waits to see it gone
		}
	}
	if p.EmptyAt.IsZero() {
		p.EmptyAt = ps.now
		if err := ps.record(ctx, nil, ps.event("guest.empty", audit.Done, "read back: the guest holds no group and no access package")); err != nil {
			return err
		}
	}
	if err := ps.unsponsor(ctx); err != nil {
		return err
	}
	deleteAt := ps.want.DeleteAt
	if deleteAt.IsZero() && (!ps.want.Guest || len(ps.p.Engagements) == 0) {
		deleteAt = p.ClosedAt.Add(orphanRetention)
	}
	switch {
	case deleteAt.IsZero():
		return nil // held: closed, but not forgotten
	case ps.now.Before(deleteAt):
		ps.looks = append(ps.looks, deleteAt)
		return nil
	case ps.doubt != "":
		ps.hold(ps.doubt)
		ps.lookIn(time.Minute)
		return nil
	case !p.DeletingAt.IsZero() && ps.now.Sub(p.DeletingAt) < ps.Settle:
		ps.looks = append(ps.looks, ps.now.Add(ps.readBack(p.DeletingAt)))
		return nil
	}
	p.DeletingAt = ps.now
	if err := ps.record(ctx, nil, ps.event("guest.deleting", audit.Intended, "the retention is over")); err != nil {
		return err
	}
	r, err := ps.Directory.DeleteGuest(ctx, p.GuestID)
	if err != nil {
		return err
	}
	ps.lookIn(lookSoon)
	return ps.record(ctx, nil, proven(ps.event("guest.delete_sent", audit.Done, "the retention is over"), r))
}

// orphanRetention keeps the guest of a person whose engagements were all moved away, where no rule says how long.
const orphanRetention = 30 * 24 * time.Hour
