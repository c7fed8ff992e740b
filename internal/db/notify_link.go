package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// LinkPage is what a sponsor's link shows: the link, the contractor's name and the engagement. CodeNotFound if no such link was
// given out.
func (s *Store) LinkPage(ctx context.Context, hash [32]byte) (l contractor.Link, name string, e *contractor.Engagement, err error) {
	err = s.short.with(ctx, func(c *conn) error {
		if l, err = scanLink(ctx, c, hash); err != nil {
			return err
		}
		var email string
		return c.row(ctx, `SELECT email FROM persons WHERE id = ?`, []any{l.Person}, &email)
	})
	if err != nil {
		return l, "", nil, failure("read a link", err)
	}
	p, err := s.Person(ctx, l.Person)
	if err != nil {
		return l, "", nil, err
	}
	for i := range p.Engagements {
		if p.Engagements[i].ID == l.Engagement {
			e = &p.Engagements[i]
			return l, nameOf(&e.Record, p.Email), e, nil
		}
	}
	return l, "", nil, noLink()
}

func noLink() error {
	return contractor.Errorf(contractor.CodeNotFound, "this link is not valid any more")
}

func scanLink(ctx context.Context, c *conn, hash [32]byte) (l contractor.Link, err error) {
	var expires, used instant
	err = c.row(ctx, `SELECT id, sponsor, person, engagement, expires, used, attest FROM links WHERE hash = ?`, []any{hash[:]},
		&l.ID, &l.Sponsor, &l.Person, &l.Engagement, &expires, &used, &l.Attest)
	if errors.Is(err, sql.ErrNoRows) {
		return l, noLink()
	}
	l.Expires, l.Used = expires.Time, used.Time
	return l, err
}

// UseLink uses a link for one action, in one transaction with what it does and its event: a link works once, or not at all.
// CodeConflict if it was used or has expired.
func (s *Store) UseLink(ctx context.Context, actor audit.Actor, u contractor.LinkUse) (l contractor.Link, err error) {
	err = s.write(ctx, "use a link", func(t *tx) error {
		if l, err = scanLink(context.Background(), t.conn, u.Hash); err != nil {
			return err
		}
		n, err := t.changed(`UPDATE links SET used = ?1, action = ?2 WHERE hash = ?3 AND used IS NULL AND expires > ?1`, t.now.UnixMicro(), string(u.Action), u.Hash[:])
		if err != nil {
			return err
		}
		if n == 0 {
			return contractor.Errorf(contractor.CodeConflict, "this link was used already, or has expired")
		}
		actor.Name = l.Sponsor
		switch u.Action {
		case contractor.LinkExtend:
			return t.extend(actor, l.Engagement, u.Until, u.Reason)
		case contractor.LinkAsk:
			return t.askExtension(actor, &l, u)
		case contractor.LinkEnd:
			return t.stopEngagement(actor, &l, u.Reason)
		case contractor.LinkConfirm:
			return t.confirm(actor, l.Person, u.Reason)
		}
		return contractor.Errorf(contractor.CodeInvalid, "%q is no action of a link", u.Action)
	})
	return l, err
}

// askExtension opens a hold for an admin. What nobody decides before it expires is refused: the end in force stays.
func (t *tx) askExtension(actor audit.Actor, l *contractor.Link, u contractor.LinkUse) error {
	var vendor string
	if err := t.row(`SELECT vendor FROM engagements WHERE id = ? AND deleted = 0`, []any{l.Engagement}, &vendor); err != nil {
		return err
	}
	h := contractor.Hold{
		Kind: contractor.HoldDateMove, State: contractor.HoldOpen, Vendor: vendor, Person: l.Person, Engagement: l.Engagement, SetAt: t.now, Opened: t.now,
		Expires: u.Expires, Why: "its sponsor asks for an extension until " + u.Until.UTC().Format(time.RFC3339) + ", longer than the mapping allows without an admin",
	}
	if err := t.insertHold(&h); err != nil {
		return err
	}
	if _, err := t.exec(`INSERT INTO extension_asks (hold, until, by) VALUES (?, ?, ?)`, h.ID, u.Until.UnixMicro(), l.Sponsor); err != nil {
		return err
	}
	return t.append(&audit.Event{
		Kind: "hold.opened", Actor: actor, Outcome: audit.Held, Person: h.Person, Engagement: h.Engagement, Vendor: vendor,
		Reason: h.Why + "; decide with scimbridge hold approve or hold cancel", Until: h.Expires,
	})
}

// approveAsk puts into effect what a sponsor asked for, where the hold that was approved is one.
func (t *tx) approveAsk(h *contractor.Hold, actor audit.Actor, reason string) error {
	if h.Kind != contractor.HoldDateMove {
		return nil
	}
	var until instant
	err := t.row(`SELECT until FROM extension_asks WHERE hold = ?`, []any{h.ID}, &until)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	return t.extend(actor, h.Engagement, until.Time, reason)
}

// ExpireAsks refuses the extensions that were asked for and that nobody decided before the end they would have moved.
func (s *Store) ExpireAsks(ctx context.Context, now time.Time) (n int, err error) {
	err = s.write(ctx, "refuse undecided extensions", func(t *tx) error {
		for range 1000 {
			h, err := t.hold(`kind = ? AND state = 'open' AND expires <= ? AND id IN (SELECT hold FROM extension_asks) LIMIT 1`, string(contractor.HoldDateMove), now.UnixMicro())
			if errors.Is(err, sql.ErrNoRows) {
				return nil
			}
			if err != nil {
				return err
			}
			if err := t.decide(&h, contractor.HoldCancelled, audit.Actor{Kind: audit.ActorClock}, "nobody decided before the engagement's end: it stays"); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	return n, err
}

// stopEngagement ends one engagement now, for good.
func (t *tx) stopEngagement(actor audit.Actor, l *contractor.Link, reason string) error {
	var vendor string
	if err := t.row(`SELECT vendor FROM engagements WHERE id = ?`, []any{l.Engagement}, &vendor); err != nil {
		return err
	}
	if _, err := t.exec(`INSERT INTO engagement_stops (engagement, at, by, reason) VALUES (?, ?, ?, ?) ON CONFLICT (engagement) DO NOTHING`,
		l.Engagement, t.now.UnixMicro(), "its sponsor", reason); err != nil {
		return err
	}
	if err := t.touch(l.Person, t.now, true); err != nil {
		return err
	}
	return t.append(&audit.Event{
		Kind: "engagement.stopped", Actor: actor, Outcome: audit.Done, Person: l.Person, Engagement: l.Engagement, Vendor: vendor, Reason: reason,
	})
}

// RestartEngagement takes a sponsor's end of an engagement back: its vendor's dates hold again.
func (s *Store) RestartEngagement(ctx context.Context, actor audit.Actor, engagement, reason string) error {
	return s.write(ctx, "restart an engagement", func(t *tx) error {
		var person, vendor string
		err := t.row(`SELECT person, vendor FROM engagements WHERE id = ? AND person IS NOT NULL`, []any{engagement}, &person, &vendor)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		n, err := t.changed(`DELETE FROM engagement_stops WHERE engagement = ?`, engagement)
		if err != nil {
			return err
		}
		if n == 0 {
			return contractor.Errorf(contractor.CodeNotFound, "no sponsor ended engagement %s; scimbridge contractor show PERSON lists engagements", engagement)
		}
		if err := t.touch(person, t.now, false); err != nil {
			return err
		}
		return t.append(&audit.Event{Kind: "engagement.restarted", Actor: actor, Outcome: audit.Done, Person: person, Engagement: engagement, Vendor: vendor, Reason: reason})
	})
}

// stops reads what sponsors ended.
func stops(ctx context.Context, c *conn, p *contractor.Person) error {
	if len(p.Engagements) == 0 {
		return nil
	}
	ids := make([]string, len(p.Engagements))
	at := map[string]*contractor.Engagement{}
	for i := range p.Engagements {
		ids[i] = p.Engagements[i].ID
		at[ids[i]] = &p.Engagements[i]
	}
	list, err := json.Marshal(ids)
	if err != nil {
		return err
	}
	rows, err := c.query(ctx, `SELECT engagement, at, by, reason FROM engagement_stops WHERE engagement IN (SELECT value FROM json_each(?))`, string(list))
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // Err tells
	for rows.Next() {
		var id, by, reason string
		var when instant
		if err := rows.Scan(&id, &when, &by, &reason); err != nil {
			return err
		}
		at[id].Stopped = contractor.Block{At: when.Time, By: by, Reason: reason}
	}
	return rows.Err()
}
