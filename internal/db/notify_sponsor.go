package db

import (
	"context"
	"errors"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// Who stopped a person on the bridge's own account: such a stop is lifted by the bridge, an admin's never is.
const (
	byAttestation = "attestation"
	bySponsor     = "sponsor check"
)

// LiveEngagements lists the engagements that give access or wait, of people who have a sponsor, in the order of after, at most
// limit: after the engagement with the id after, "" from the beginning.
func (s *Store) LiveEngagements(ctx context.Context, now time.Time, after string, limit int) (list []contractor.LiveEngagement, err error) {
	err = s.short.with(ctx, func(c *conn) (err error) {
		rows, err := c.query(ctx, `SELECT p.id, e.id, e.vendor, p.sponsor_id, coalesce(s.told, ''),
				CASE WHEN p.held <> '' AND EXISTS (SELECT 1 FROM blocks b WHERE b.person = p.id AND b.by NOT IN (?1, ?2)) THEN 'an administrator stopped this access' ELSE p.held END, e.end_at, coalesce(p.invited_at, p.created), s.confirmed, s.asked,
				(SELECT m.sent FROM notices n JOIN mails m ON m.seq = n.mail WHERE n.person = p.id AND n.kind = 'attest' AND n.created >= s.asked ORDER BY n.seq DESC LIMIT 1),
				EXISTS (SELECT 1 FROM blocks b WHERE b.person = p.id AND b.by = ?1)
			FROM engagements e JOIN persons p ON p.id = e.person LEFT JOIN sponsorships s ON s.person = p.id
			WHERE e.id > ?3 AND e.deleted = 0 AND p.sponsor_id <> '' AND p.phase <> 'gone' AND (e.end_at IS NULL OR e.end_at > ?4)
			  AND e.status NOT IN ('', 'removed', 'offboarding') ORDER BY e.id LIMIT ?5`, byAttestation, bySponsor, after, now.UnixMicro(), limit)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			var l contractor.LiveEngagement
			var end, invited, confirmed, asked, sent instant
			if err := rows.Scan(&l.Person, &l.Engagement, &l.Vendor, &l.Sponsor, &l.Told, &l.Held, &end, &invited, &confirmed, &asked, &sent, &l.Overdue); err != nil {
				return err
			}
			l.End, l.Invited, l.Confirmed, l.Asked, l.AskedSent = end.Time, invited.Time, confirmed.Time, asked.Time, sent.Time
			list = append(list, l)
		}
		return rows.Err()
	})
	return list, failure("list live engagements", err)
}

// StopUnconfirmed closes a person whom nobody confirmed in time. It is lifted by a confirmation.
func (s *Store) StopUnconfirmed(ctx context.Context, person, reason string) (stopped bool, err error) {
	return s.stopPerson(ctx, person, byAttestation, reason, "attestation.overdue")
}

// StopUnsponsored closes a person for whom nobody answers any more. It is lifted when a sponsor is found.
func (s *Store) StopUnsponsored(ctx context.Context, person, reason string) (stopped bool, err error) {
	return s.stopPerson(ctx, person, bySponsor, reason, "sponsor.missing")
}

func (s *Store) stopPerson(ctx context.Context, person, by, reason, kind string) (stopped bool, err error) {
	err = s.write(ctx, "stop a person", func(t *tx) error {
		n, err := t.changed(`INSERT INTO blocks (person, at, by, reason) SELECT id, ?2, ?3, ?4 FROM persons WHERE id = ?1 ON CONFLICT (person) DO NOTHING`, person, t.now.UnixMicro(), by, reason)
		if err != nil || n == 0 {
			return err
		}
		stopped = true
		if err := t.touch(person, t.now, true); err != nil {
			return err
		}
		return t.append(&audit.Event{Kind: kind, Actor: audit.Actor{Kind: audit.ActorClock}, Outcome: audit.Done, Person: person, Reason: reason})
	})
	return stopped, err
}

// SponsoredGuests lists open guests that have a sponsor, and those that wait for one, whose last check is older than before, at
// most limit.
func (s *Store) SponsoredGuests(ctx context.Context, before time.Time, limit int) (list []contractor.SponsoredGuest, err error) {
	err = s.short.with(ctx, func(c *conn) (err error) {
		rows, err := c.query(ctx, `SELECT p.id, p.guest_id, p.sponsor_id, coalesce(s.manager, ''), b.person IS NOT NULL
			FROM persons p LEFT JOIN sponsorships s ON s.person = p.id LEFT JOIN blocks b ON b.person = p.id AND b.by = ?
			WHERE p.guest_id <> '' AND p.sponsor_id <> '' AND (p.phase = 'open' OR b.person IS NOT NULL AND p.phase <> 'gone') AND (s.checked IS NULL OR s.checked < ?)
			ORDER BY p.sponsor_id, p.seq LIMIT ?`, bySponsor, before.UnixMicro(), limit)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			var g contractor.SponsoredGuest
			if err := rows.Scan(&g.Person, &g.Guest, &g.Sponsor, &g.Manager, &g.Waiting); err != nil {
				return err
			}
			list = append(list, g)
		}
		return rows.Err()
	})
	return list, failure("list sponsored guests", err)
}

// SponsorChecked notes that a person's sponsor was looked at, and its manager.
func (s *Store) SponsorChecked(ctx context.Context, person, manager string) error {
	return s.write(ctx, "note a checked sponsor", func(t *tx) error {
		_, err := t.exec(`INSERT INTO sponsorships (person, manager, checked) VALUES (?1, ?2, ?3) ON CONFLICT (person) DO UPDATE SET manager = ?2, checked = ?3`, person, manager, t.now.UnixMicro())
		return err
	})
}

// SuspectSponsor implements lifecycle.Store: the next check of sponsors looks at the person's.
func (s *Store) SuspectSponsor(ctx context.Context, person string) error {
	return s.write(ctx, "have a sponsor checked", func(t *tx) error {
		_, err := t.exec(`UPDATE sponsorships SET checked = NULL WHERE person = ?`, person)
		return err
	})
}

// SponsorMoved notes a person's new sponsor, lifts a stop for want of one, and journals it.
func (s *Store) SponsorMoved(ctx context.Context, g contractor.SponsoredGuest, sponsor, reason, requestID string) error {
	return s.write(ctx, "note a new sponsor", func(t *tx) error {
		// Without its hash the guest's properties are written again, and with them its manager.
		if _, err := t.exec(`UPDATE persons SET sponsor_id = ?, attributes_hash = '', rev = rev + 1 WHERE id = ?`, sponsor, g.Person); err != nil {
			return err
		}
		// The former sponsor counts as told, so that the new one is: the next digest says so.
		if _, err := t.exec(`INSERT INTO sponsorships (person, told, checked) VALUES (?1, ?2, ?3) ON CONFLICT (person) DO UPDATE SET checked = ?3,
			asked = NULL, told = CASE sponsorships.told WHEN '' THEN ?2 ELSE sponsorships.told END`, g.Person, g.Sponsor, t.now.UnixMicro()); err != nil {
			return err
		}
		if _, err := t.exec(`DELETE FROM blocks WHERE person = ? AND by = ?`, g.Person, bySponsor); err != nil {
			return err
		}
		if err := t.touch(g.Person, t.now, false); err != nil {
			return err
		}
		return t.append(&audit.Event{
			Kind: "guest.sponsored", Actor: audit.Actor{Kind: audit.ActorClock}, Outcome: audit.Done, Person: g.Person, Reason: reason, RequestID: requestID,
			Detail: detail("sponsor", sponsor),
		})
	})
}

// ConfirmPerson notes that somebody confirmed a person, and lifts a stop for want of it.
func (s *Store) ConfirmPerson(ctx context.Context, actor audit.Actor, person, reason string) error {
	return s.write(ctx, "confirm a person", func(t *tx) error { return t.confirm(actor, person, reason) })
}

func (t *tx) confirm(actor audit.Actor, person, reason string) error {
	by := string(actor.Kind) + " " + actor.Name
	n, err := t.changed(`INSERT INTO sponsorships (person, confirmed, by) SELECT id, ?2, ?3 FROM persons WHERE id = ?1
		ON CONFLICT (person) DO UPDATE SET confirmed = ?2, by = ?3, asked = NULL`, person, t.now.UnixMicro(), by)
	if err != nil {
		return err
	}
	if n == 0 {
		return contractor.Errorf(contractor.CodeNotFound, "person %s is unknown; scimbridge attest list shows people", person)
	}
	if _, err := t.exec(`DELETE FROM blocks WHERE person = ? AND by = ?`, person, byAttestation); err != nil {
		return err
	}
	if err := t.touch(person, t.now, false); err != nil {
		return err
	}
	return t.append(&audit.Event{Kind: "attestation.confirmed", Actor: actor, Outcome: audit.Done, Person: person, Reason: reason})
}

// Attestations lists where confirmations stand, of people with live engagements, the longest unconfirmed first; at most limit.
func (s *Store) Attestations(ctx context.Context, now time.Time, limit int) ([]contractor.Attestation, error) {
	return s.attestations(ctx, now, limit, ``)
}

// WaitingAttestations are those of the Attestations that somebody has to answer: asked and not confirmed, or stopped since nobody
// did.
func (s *Store) WaitingAttestations(ctx context.Context, now time.Time, limit int) ([]contractor.Attestation, error) {
	return s.attestations(ctx, now, limit, ` AND (s.asked IS NOT NULL OR p.id IN (SELECT w.person FROM blocks w WHERE w.by = '`+byAttestation+`'))`)
}

func (s *Store) attestations(ctx context.Context, now time.Time, limit int, and string) (list []contractor.Attestation, err error) {
	err = s.short.with(ctx, func(c *conn) (err error) {
		rows, err := c.query(ctx, `SELECT p.id, p.email, p.sponsor_id,
				(SELECT e.vendor FROM engagements e WHERE e.person = p.id AND e.deleted = 0 ORDER BY e.end_at DESC NULLS LAST LIMIT 1),
				(SELECT max(e.end_at) FROM engagements e WHERE e.person = p.id AND e.deleted = 0), s.confirmed, coalesce(s.by, ''), s.asked,
				(SELECT m.sent FROM notices n JOIN mails m ON m.seq = n.mail WHERE n.person = p.id AND n.kind = 'attest' AND n.created >= s.asked ORDER BY n.seq DESC LIMIT 1),
				EXISTS (SELECT 1 FROM blocks b WHERE b.person = p.id AND b.by = ?)
			FROM persons p LEFT JOIN sponsorships s ON s.person = p.id
			WHERE p.phase <> 'gone' AND EXISTS (SELECT 1 FROM engagements e WHERE e.person = p.id AND e.deleted = 0 AND e.status NOT IN ('removed', 'offboarding')
				AND (e.end_at IS NULL OR e.end_at > ?))`+and+` ORDER BY s.confirmed NULLS FIRST, p.seq LIMIT ?`, byAttestation, now.UnixMicro(), limit)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			var a contractor.Attestation
			var end, confirmed, asked, sent instant
			if err := rows.Scan(&a.Person, &a.Email, &a.Sponsor, &a.Vendor, &end, &confirmed, &a.By, &asked, &sent, &a.Stopped); err != nil {
				return err
			}
			a.End, a.Confirmed, a.Asked, a.Sent = end.Time, confirmed.Time, asked.Time, sent.Time
			list = append(list, a)
		}
		return rows.Err()
	})
	return list, failure("list attestations", err)
}
