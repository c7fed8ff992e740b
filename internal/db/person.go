package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"scimbridge/internal/contractor"
)

// newID is a random UUID (version 7: rows made one after the other lie side by side in their index).
func newID() (string, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("make an id: %w", err)
	}
	return id.String(), nil
}

// Due implements lifecycle.Store.
func (s *Store) Due(ctx context.Context, now time.Time, limit int) ([]contractor.Due, error) {
	due, err := s.due(ctx, now, limit, true)
	if err == nil && len(due) < limit {
		var rest []contractor.Due
		rest, err = s.due(ctx, now, limit-len(due), false)
		due = append(due, rest...)
	}
	return due, failure("list the people that are due", err)
}

func (s *Store) due(ctx context.Context, now time.Time, limit int, urgent bool) (due []contractor.Due, err error) {
	err = s.short.with(ctx, func(c *conn) (err error) {
		rows, err := c.query(ctx, `SELECT id FROM persons WHERE urgent = ? AND next_at IS NOT NULL AND next_at <= ? ORDER BY next_at LIMIT ?`,
			boolean(urgent), now.UnixMicro(), limit)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			d := contractor.Due{Urgent: urgent}
			if err := rows.Scan(&d.Person); err != nil {
				return err
			}
			due = append(due, d)
		}
		return rows.Err()
	})
	return due, err
}

// NextDue implements lifecycle.Store.
func (s *Store) NextDue(ctx context.Context) (time.Time, error) {
	var next instant
	err := s.short.with(ctx, func(c *conn) error {
		return c.row(ctx, `SELECT min(next_at) FROM (
			SELECT min(next_at) AS next_at FROM persons WHERE urgent = 0 AND next_at IS NOT NULL
			UNION ALL
			SELECT min(next_at) FROM persons WHERE urgent = 1 AND next_at IS NOT NULL)`, nil, &next)
	})
	return next.Time, failure("find who is due next", err)
}

// Person implements lifecycle.Store; CodeNotFound if there is none.
func (s *Store) Person(ctx context.Context, id string) (*contractor.Person, error) {
	p, err := s.person(ctx, id)
	if err != nil {
		return nil, failure("read a person", err)
	}
	return p, nil
}

// person reads all parts in one transaction, so that they belong together.
func (s *Store) person(ctx context.Context, id string) (p *contractor.Person, err error) {
	err = s.short.snapshot(ctx, func(c *conn) error {
		row, err := c.stmt(ctx, `SELECT `+personColumns+` FROM persons p WHERE p.id = ?`)
		if err != nil {
			return err
		}
		p, err = scanPerson(row.QueryRowContext(ctx, id))
		if errors.Is(err, sql.ErrNoRows) {
			return contractor.Errorf(contractor.CodeNotFound, "there is no person %s; list them with: scimbridge contractor list", id)
		}
		if err != nil {
			return err
		}
		rows, err := c.query(ctx, `SELECT `+engagementColumns+` FROM engagements e WHERE e.person = ? ORDER BY e.created, e.seq`, id)
		if err != nil {
			return err
		}
		if p.Engagements, err = scanEngagements(rows, true); err != nil {
			return err
		}
		rows, err = c.query(ctx, `SELECT `+holdingColumns+` FROM holdings h WHERE h.person = ? AND h.state <> 'ended' ORDER BY h.id`, id)
		if err != nil {
			return err
		}
		if p.Holdings, err = scanHoldings(rows); err != nil {
			return err
		}
		if err := stops(ctx, c, p); err != nil {
			return err
		}
		if err := formerAddress(ctx, c, p); err != nil {
			return err
		}
		return decisions(ctx, c, p)
	})
	return p, err
}

// personColumns are read by scanPerson, in this order.
const personColumns = `p.id, p.email, p.email_key, p.guest_id, p.origin, p.phase, p.gen, p.rev, p.next_at, p.urgent,
	p.inviting_at, p.invited_at, p.closing_at, p.closed_at, p.revoked_at, p.empty_at, p.deleting_at, p.gone_at, p.missing_at,
	p.attributes_hash, p.sponsor_id, p.sponsor_refs, p.guest_state, p.failures, p.last_error, p.held`

// scanner is a row, or the current one of many.
type scanner interface{ Scan(dest ...any) error }

func scanPerson(row scanner, more ...any) (*contractor.Person, error) {
	p := &contractor.Person{}
	var next, inviting, invited, closing, closed, revoked, empty, deleting, gone, missing instant
	dest := append([]any{&p.ID, &p.Email, &p.EmailKey, &p.GuestID, &p.Origin, &p.Phase, &p.Gen, &p.Rev, &next, &p.Urgent,
		&inviting, &invited, &closing, &closed, &revoked, &empty, &deleting, &gone, &missing,
		&p.AttributesHash, &p.SponsorID, &p.SponsorRefs, &p.GuestState, &p.Failures, &p.LastError, &p.Held}, more...)
	if err := row.Scan(dest...); err != nil {
		return nil, err
	}
	p.NextAt = next.Time
	p.InvitingAt, p.InvitedAt, p.ClosingAt, p.ClosedAt = inviting.Time, invited.Time, closing.Time, closed.Time
	p.RevokedAt, p.EmptyAt, p.DeletingAt, p.GoneAt = revoked.Time, empty.Time, deleting.Time, gone.Time
	p.MissingAt = missing.Time
	return p, nil
}
