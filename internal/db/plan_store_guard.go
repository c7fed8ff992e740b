package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// AdmitRemoval implements lifecycle.Store: it asks the guard, in one transaction with the window's count, whether an edit of the
// mapping may take access from a person. What was approved with a plan, or by hand, passes. The answer stays the same until
// somebody decides, or the hold expires into approval. A decision to keep, and a hold, outlive a further edit that takes the same.
func (s *Store) AdmitRemoval(ctx context.Context, r contractor.RemovalRequest) (h contractor.Hold, err error) {
	err = s.write(ctx, "ask the guard about the mapping", func(t *tx) error {
		h, err = t.removalHold(&r)
		if errors.Is(err, sql.ErrNoRows) {
			why, err := t.guardWhy(r.Vendor, r.Now, r.Bounds, r.Overall, wave{kind: contractor.HoldMapping, ends: 1, clock: r.Clock})
			if err != nil {
				return err
			}
			h, err = t.openRemoval(&r, why)
			return err
		}
		if err == nil && h.State == contractor.HoldOpen && r.Clock.Over(h.Expires, r.Now) {
			return t.undecided(&h)
		}
		return err
	})
	return h, err
}

// removalHold finds what was decided, or waits, about a loss: sql.ErrNoRows if nothing does. Approval of all that is lost, in
// whatever rows, is approval.
func (t *tx) removalHold(r *contractor.RemovalRequest) (h contractor.Hold, err error) {
	rows, err := t.query(`SELECT `+holdColumns+` FROM holds WHERE person = ? AND kind = 'mapping' ORDER BY id DESC`, r.Person)
	if err != nil {
		return h, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	// Only what the mapping before this one took away as well is the same question: decisions do not outlive a mapping that
	// asked nothing.
	var before string
	if err := t.row(`SELECT coalesce((SELECT hash FROM mapping_revisions WHERE hash <> ? ORDER BY seq DESC LIMIT 1), '')`, []any{r.Revision}, &before); err != nil {
		return h, err
	}
	var approved []string
	var same, yes *contractor.Hold
	for rows.Next() {
		x, err := scanHold(rows)
		if err != nil {
			return h, err
		}
		settled := x.State == contractor.HoldApproved || x.State == contractor.HoldAdmitted
		switch {
		case settled && x.Revision == r.Revision:
			approved = append(approved, x.Loses...)
			yes = &x
		case !settled && same == nil && x.Vendor == r.Vendor && slices.Equal(x.Loses, r.Loses) && (x.Revision == r.Revision || x.Revision == before):
			same = &x
		}
	}
	if err := rows.Err(); err != nil {
		return h, err
	}
	switch {
	case yes != nil && !slices.ContainsFunc(r.Loses, func(l string) bool { return !slices.Contains(approved, l) }):
		return *yes, nil
	case same == nil:
		return h, sql.ErrNoRows
	case same.Revision != r.Revision:
		same.Revision = r.Revision
		_, err = t.exec(`UPDATE holds SET revision = ? WHERE id = ?`, r.Revision, same.ID)
	}
	return *same, err
}

// openRemoval stores a loss: admitted where why is "", else waiting.
func (t *tx) openRemoval(r *contractor.RemovalRequest, why string) (contractor.Hold, error) {
	h := contractor.Hold{
		Kind: contractor.HoldMapping, State: contractor.HoldAdmitted, Vendor: r.Vendor, Person: r.Person, Engagement: r.Engagement,
		SetAt: r.Now, Opened: r.Now, Why: why, Revision: r.Revision, Loses: r.Loses,
	}
	if why == "" {
		return h, t.insertHold(&h)
	}
	if err := t.overtaken(`person = ? AND vendor = ? AND revision <> ?`, r.Person, r.Vendor, r.Revision); err != nil {
		return h, err
	}
	h.State, h.Expires = contractor.HoldOpen, r.Now.Add(r.Undecided)
	if err := t.insertHold(&h); err != nil {
		return h, err
	}
	return h, t.append(&audit.Event{
		Kind: "hold.opened", Actor: audit.Actor{Kind: audit.ActorBridge}, Outcome: audit.Held, Person: h.Person, Engagement: h.Engagement,
		Vendor: h.Vendor, Revision: h.Revision, Until: h.Expires,
		Reason: why + "; it would lose " + strings.Join(h.Loses, ", ") + "; decide with scimbridge hold approve or hold cancel",
	})
}

// removalChunk is how many losses one transaction looks at.
const removalChunk = 500

// HoldRemovals asks the guard about all that a mapping would take away, before it comes into force: where the losses of a vendor,
// or of all together, are more than the guard allows, all of them wait, not only those beyond the bound. It answers how many
// wait. bounds gives a vendor's guard. It may be repeated.
func (s *Store) HoldRemovals(ctx context.Context, revision string, losses []contractor.Loss, now time.Time, undecided time.Duration,
	bounds func(vendor string) contractor.Guard, overall contractor.Guard) (held int, err error) {
	asked, err := s.undecidedLosses(ctx, revision, losses, now, undecided)
	if err != nil {
		return 0, err
	}
	count := map[string]int{}
	for i := range asked {
		count[asked[i].Vendor]++
		count[""]++
	}
	why := map[string]string{}
	err = s.short.with(ctx, func(c *conn) error {
		for vendor, n := range count {
			guard, name := overall, "all vendors together"
			if vendor != "" {
				guard, name = bounds(vendor), "vendor "+vendor
			}
			var live int
			if err := c.row(ctx, `SELECT coalesce(sum(live), 0) FROM vendors WHERE ?1 = '' OR name = ?1`, []any{vendor}, &live); err != nil {
				return err
			}
			switch {
			case guard.MaxEnds > 0 && n > guard.MaxEnds:
				why[vendor] = fmt.Sprintf("%s: the mapping takes access from %d people, the guard allows %d", name, n, guard.MaxEnds)
			case guard.MaxEndsPercent > 0 && n > contractor.GuardFloor && n*100 > guard.MaxEndsPercent*live:
				why[vendor] = fmt.Sprintf("%s: the mapping takes access from %d people, more than %d percent of the live engagements", name, n, guard.MaxEndsPercent)
			}
		}
		return nil
	})
	if err != nil {
		return 0, failure("ask the guard about the mapping", err)
	}
	for part := range slices.Chunk(asked, removalChunk) {
		n := 0
		err := s.write(ctx, "hold what the mapping takes away", func(t *tx) error {
			n = 0
			for i := range part {
				reason := why[part[i].Vendor]
				if reason == "" {
					reason = why[""]
				}
				if reason == "" {
					continue
				}
				if _, err := t.openRemoval(&part[i], reason); err != nil {
					return err
				}
				n++
			}
			return nil
		})
		if err != nil {
			return held, err
		}
		held += n
	}
	return held, s.write(ctx, "drop holds that nothing asks for any more", func(t *tx) error {
		return t.overtaken(`revision <> ?`, revision)
	})
}

// overtaken drops holds of earlier mappings that wait for nothing any more, and says so.
func (t *tx) overtaken(where string, args ...any) error {
	rows, err := t.query(`SELECT `+holdColumns+` FROM holds WHERE kind = 'mapping' AND state = 'open' AND `+where, args...)
	if err != nil {
		return err
	}
	var old []contractor.Hold
	for rows.Next() {
		h, err := scanHold(rows)
		if err != nil {
			return errors.Join(err, rows.Close())
		}
		old = append(old, h)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	for i := range old {
		h := &old[i]
		if _, err := t.exec(`DELETE FROM holds WHERE id = ?`, h.ID); err != nil {
			return err
		}
		err := t.append(&audit.Event{
			Kind: "hold.overtaken", Actor: audit.Actor{Kind: audit.ActorBridge}, Outcome: audit.Done, Person: h.Person, Engagement: h.Engagement,
			Vendor: h.Vendor, Revision: h.Revision, Reason: "another mapping came into force, or a plan decided it",
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// undecidedLosses leaves out what was approved, cancelled or waits already.
func (s *Store) undecidedLosses(ctx context.Context, revision string, losses []contractor.Loss, now time.Time, undecided time.Duration) (asked []contractor.RemovalRequest, err error) {
	for part := range slices.Chunk(losses, removalChunk) {
		var found []contractor.RemovalRequest
		err := s.write(ctx, "look for decisions", func(t *tx) error {
			found = found[:0]
			for _, l := range part {
				r := contractor.RemovalRequest{Loss: l, Revision: revision, Now: now, Undecided: undecided}
				switch _, err := t.removalHold(&r); {
				case errors.Is(err, sql.ErrNoRows):
					found = append(found, r)
				case err != nil:
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		asked = append(asked, found...)
	}
	return asked, nil
}

// ApproveRemovals approves exactly these losses under a mapping that comes into force next, in one transaction with the event
// that tells who applied which plan and why.
func (s *Store) ApproveRemovals(ctx context.Context, actor audit.Actor, plan string, losses []contractor.Loss, revision, reason string) error {
	if reason == "" {
		return contractor.Errorf(contractor.CodeInvalid, "applying a plan needs a reason; give it with --reason")
	}
	return s.write(ctx, "approve what a plan takes away", func(t *tx) error {
		// An earlier application of the same plan that did not come through.
		if _, err := t.exec(`DELETE FROM holds WHERE kind = 'mapping' AND revision = ? AND state = 'approved' AND why = ?`, revision, "plan "+plan); err != nil {
			return err
		}
		for i, l := range losses {
			h := contractor.Hold{
				Kind: contractor.HoldMapping, State: contractor.HoldApproved, Vendor: l.Vendor, Person: l.Person, Engagement: l.Engagement,
				SetAt: t.now.Add(time.Duration(i) * time.Microsecond), Opened: t.now, Why: "plan " + plan, Revision: revision, Loses: l.Loses,
				DecidedBy: string(actor.Kind) + " " + actor.Name, Decided: t.now, Reason: reason,
			}
			if err := t.insertHold(&h); err != nil {
				return err
			}
			if err := t.overtaken(`person = ? AND vendor = ?`, l.Person, l.Vendor); err != nil {
				return err
			}
		}
		if _, err := t.exec(`UPDATE plans SET applied = ? WHERE id = ?`, t.now.UnixMicro(), plan); err != nil {
			return err
		}
		return t.append(&audit.Event{
			Kind: "plan.applied", Actor: actor, Outcome: audit.Done, Reason: reason, Revision: revision,
			Detail: detail("plan", map[string]any{"id": plan, "losses": len(losses)}),
		})
	})
}
