package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// Record implements lifecycle.Store. A standing for an engagement that meanwhile belongs to somebody else is left out: the
// change of address has made both people due.
func (s *Store) Record(ctx context.Context, c *contractor.Change, events ...audit.Event) error {
	ids := make([]int64, len(c.Holdings))
	err := s.writeRepeatable(ctx, "record an outcome", func(t *tx) error {
		if err := t.recordPerson(c); err != nil {
			return err
		}
		for i, h := range c.Holdings {
			var err error
			if ids[i], err = t.recordHolding(c.Person.ID, h); err != nil {
				return err
			}
		}
		for _, id := range slices.Sorted(maps.Keys(c.Standings)) {
			if err := t.recordStanding(c.Person.ID, id, c.Standings[id]); err != nil {
				return err
			}
		}
		for _, event := range events {
			if err := t.append(&event); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.Person.Rev++
	for i, h := range c.Holdings {
		h.ID = ids[i]
	}
	return nil
}

// recordPerson writes the loop's columns if nobody else wrote them since. next_at and urgent are written at the end of a pass,
// and only if no record changed while it ran: otherwise the change has made the person due, and so it stays.
func (t *tx) recordPerson(c *contractor.Change) error {
	p := c.Person
	n, err := t.changed(`UPDATE persons SET rev = rev + 1,
			guest_id = ?, origin = ?, phase = ?, inviting_at = ?, invited_at = ?, closing_at = ?, closed_at = ?, revoked_at = ?,
			empty_at = ?, deleting_at = ?, gone_at = ?, missing_at = ?, attributes_hash = ?, sponsor_id = ?, sponsor_refs = ?, guest_state = ?, failures = ?,
			last_error = ?, held = ?
		WHERE id = ? AND rev = ?`,
		p.GuestID, string(p.Origin), string(p.Phase), micros(p.InvitingAt), micros(p.InvitedAt), micros(p.ClosingAt), micros(p.ClosedAt),
		micros(p.RevokedAt), micros(p.EmptyAt), micros(p.DeletingAt), micros(p.GoneAt), micros(p.MissingAt), p.AttributesHash, p.SponsorID, p.SponsorRefs, p.GuestState,
		p.Failures, p.LastError, p.Held, p.ID, p.Rev)
	if err != nil {
		return err
	}
	if n == 0 {
		return contractor.ErrStale
	}
	if !c.Finish {
		return nil
	}
	_, err = t.exec(`UPDATE persons SET next_at = ?, urgent = ? WHERE id = ? AND gen = ?`,
		micros(p.NextAt), boolean(p.Urgent), p.ID, p.Gen)
	return err
}

func (t *tx) recordStanding(person, id string, s contractor.Standing) error {
	text, err := json.Marshal(&s)
	if err != nil {
		return err
	}
	var seq int64
	var vendor, stored string
	var status contractor.Status
	var deleted bool
	var endedAt instant
	err = t.row(`SELECT seq, vendor, standing, status, deleted, ended_at FROM engagements WHERE id = ? AND person = ?`,
		[]any{id, person}, &seq, &vendor, &stored, &status, &deleted, &endedAt)
	if errors.Is(err, sql.ErrNoRows) || err == nil && stored == string(text) {
		return nil
	}
	if err != nil {
		return err
	}
	set := `UPDATE engagements SET standing = ?, version = version + 1, modified = ?, start_at = ?, end_at = ?`
	args := []any{string(text), t.now.UnixMicro(), micros(s.EffectiveStart), micros(s.EffectiveEnd)}
	if status != s.Status { // named only where it changes: its indexes are rewritten
		set += `, status = ?`
		args = append(args, string(s.Status))
	}
	if _, err := t.exec(set+` WHERE seq = ?`, append(args, seq)...); err != nil {
		return err
	}
	return t.count(vendor, isLive(deleted, endedAt.Time, status), isLive(deleted, endedAt.Time, s.Status))
}

// holdingColumns are read by scanHolding, in this order.
const holdingColumns = `h.id, h.kind, h.entitlement, h.name, h.policy, h.expiry, h.mechanism, h.state, h.handle,
	h.since, h.end_at, h.entra_end, h.written_at, h.ended_at, h.rule, h.line, h.revision, h.engagement, h.vendor`

func scanHolding(row scanner, more ...any) (contractor.Holding, error) {
	var h contractor.Holding
	var since, end, entraEnd, written, ended instant
	dest := append([]any{&h.ID, &h.Entitlement.Kind, &h.Entitlement.ID, &h.Entitlement.Name, &h.Entitlement.Policy, &h.Entitlement.Expiry,
		&h.Mechanism, &h.State, &h.Handle, &since, &end, &entraEnd, &written, &ended,
		&h.Rule, &h.Line, &h.Revision, &h.Engagement, &h.Vendor}, more...)
	if err := row.Scan(dest...); err != nil {
		return h, err
	}
	h.Since, h.End, h.EntraEnd, h.WrittenAt, h.EndedAt = since.Time, end.Time, entraEnd.Time, written.Time, ended.Time
	return h, nil
}

func scanHoldings(rows *sql.Rows) (list []contractor.Holding, err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		h, err := scanHolding(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, h)
	}
	return list, rows.Err()
}

// recordHolding inserts a holding without an id, and overwrites any other.
func (t *tx) recordHolding(person string, h *contractor.Holding) (id int64, err error) {
	e := h.Entitlement
	if h.ID == 0 {
		err := t.row(`INSERT INTO holdings (person, kind, entitlement, name, policy, expiry, mechanism, state, handle,
				since, end_at, entra_end, written_at, ended_at, rule, line, revision, engagement, vendor)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id`,
			[]any{person, string(e.Kind), e.ID, e.Name, e.Policy, string(e.Expiry), string(h.Mechanism), string(h.State), h.Handle,
				micros(h.Since), micros(h.End), micros(h.EntraEnd), micros(h.WrittenAt), micros(h.EndedAt),
				h.Rule, h.Line, h.Revision, h.Engagement, h.Vendor}, &id)
		if isUnique(err) {
			return 0, contractor.Errorf(contractor.CodeConflict, "the person has a holding of %s %s already; read the person again", e.Kind, e.ID)
		}
		return id, err
	}
	n, err := t.changed(`UPDATE holdings SET kind = ?, entitlement = ?, name = ?, policy = ?, expiry = ?, mechanism = ?, state = ?, handle = ?,
			since = ?, end_at = ?, entra_end = ?, written_at = ?, ended_at = ?, rule = ?, line = ?, revision = ?, engagement = ?, vendor = ?
		WHERE id = ? AND person = ?`,
		string(e.Kind), e.ID, e.Name, e.Policy, string(e.Expiry), string(h.Mechanism), string(h.State), h.Handle,
		micros(h.Since), micros(h.End), micros(h.EntraEnd), micros(h.WrittenAt), micros(h.EndedAt),
		h.Rule, h.Line, h.Revision, h.Engagement, h.Vendor, h.ID, person)
	if err == nil && n == 0 {
		err = contractor.Errorf(contractor.CodeInternal, "holding %d does not belong to person %s", h.ID, person)
	}
	return h.ID, err
}
