package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// AdmitMove implements lifecycle.Store. A move that nobody decides about in time is ignored: of two ends, the earlier is the
// safe one. A change that is not far by itself is held only where it builds on one that was not let through.
func (s *Store) AdmitMove(ctx context.Context, r contractor.MoveRequest) (h contractor.Hold, err error) {
	e := r.Engagement
	err = s.write(ctx, "ask about a moved end", func(t *tx) error {
		h, err = t.hold(`engagement = ? AND kind = ? AND set_at = ?`, e.ID, string(contractor.HoldDateMove), e.EndSetAt.UnixMicro())
		switch {
		case err == nil && h.State == contractor.HoldOpen && r.Clock.Over(h.Expires, r.Now):
			return t.undecided(&h)
		case !errors.Is(err, sql.ErrNoRows):
			return err
		}
		h = contractor.Hold{
			Kind: contractor.HoldDateMove, State: contractor.HoldApproved, Vendor: e.Vendor, Person: r.Person, Engagement: e.ID,
			SetAt: e.EndSetAt, Opened: r.Now, Expires: r.Now.Add(r.Undecided),
			Why: fmt.Sprintf("its end was moved from %s to %s, later by more than %s (defaults.max_move)", r.Former.UTC().Format(time.RFC3339), r.End.UTC().Format(time.RFC3339), r.Limit),
		}
		if !r.Far {
			var before bool
			err := t.row(`SELECT EXISTS (SELECT 1 FROM holds WHERE engagement = ? AND kind = 'date_move' AND state IN ('open', 'cancelled'))`, []any{e.ID}, &before)
			if err != nil || !before {
				return err // not stored: nothing was asked
			}
		}
		if err := t.overtake(e.ID, e.EndSetAt, r.Now); err != nil {
			return err
		}
		h.State = contractor.HoldOpen
		return t.openHold(&h)
	})
	return h, err
}

// SettleMoves implements lifecycle.Store.
func (s *Store) SettleMoves(ctx context.Context, engagement string, setAt time.Time) error {
	return s.write(ctx, "settle moved ends", func(t *tx) error { return t.overtake(engagement, setAt, t.now) })
}

// overtake cancels what waits about an engagement's earlier ends: the vendor has sent another.
func (t *tx) overtake(engagement string, setAt, now time.Time) error {
	for {
		h, err := t.hold(`engagement = ? AND kind IN ('date_move', 'mass_end') AND state = 'open' AND set_at < ?`, engagement, setAt.UnixMicro())
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		h.State, h.DecidedBy, h.Decided, h.Reason = contractor.HoldCancelled, string(audit.ActorBridge)+" ", now, "the vendor sent another end"
		if _, err := t.exec(`UPDATE holds SET state = ?, decided_by = ?, decided = ?, reason = ? WHERE id = ?`,
			string(h.State), h.DecidedBy, now.UnixMicro(), h.Reason, h.ID); err != nil {
			return err
		}
		err = t.append(&audit.Event{
			Kind: "hold.cancelled", Actor: audit.Actor{Kind: audit.ActorBridge}, Outcome: audit.Done, Person: h.Person, Engagement: h.Engagement,
			Vendor: h.Vendor, Reason: h.Reason,
		})
		if err != nil {
			return err
		}
	}
}
