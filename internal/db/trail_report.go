package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"iter"
	"strings"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// Subject is who a line of a report is about. Name and Email are personal data.
type Subject struct {
	Person     string `json:"person"`
	Name       string `json:"name,omitempty"`
	Email      string `json:"email,omitempty"`
	Vendor     string `json:"vendor,omitempty"`
	Engagement string `json:"engagement,omitempty"`
	Sponsor    string `json:"sponsor,omitempty"`      // Entra object id of who is answerable
	SponsorFor string `json:"sponsorNamed,omitempty"` // whom the vendor's record names
}

// AccessRow is one thing that somebody had at an instant.
type AccessRow struct {
	Subject
	Kind       contractor.Kind      `json:"kind"`
	Granted    string               `json:"entitlement"`   // catalog name
	GrantedID  string               `json:"entitlementId"` // Entra object id
	Since      time.Time            `json:"since"`         // first granted
	Until      time.Time            `json:"until"`         // by the mapping, as of the instant
	EndedAt    time.Time            `json:"endedAt,omitzero"`
	Mechanism  contractor.Mechanism `json:"mechanism"`
	EndsItself bool                 `json:"endsItself"` // Entra ends it, whether the bridge lives or not
	Rule       string               `json:"rule"`
	Line       int                  `json:"line"`
	Revision   string               `json:"revision"`        // of the mapping
	Event      int64                `json:"event,omitempty"` // that proves it: audit prove; 0: it was archived and dropped
	Removing   bool                 `json:"removing,omitempty"`
}

// AccessQuery asks who had what. Zero fields ask for everything.
type AccessQuery struct {
	At     time.Time
	Person string // id
	Kind   contractor.Kind
	Name   string // of the entitlement, in the catalog or its Entra object id
	Vendor string // because of whose engagement
}

// AccessAt streams who had what at an instant that has passed, in the order in which it was granted. What was granted, and since
// when, is in the holdings; until when, by which rule and because of which engagement is taken from the journal's last event about
// the holding up to then, since a holding is written over when that changes.
func (s *Store) AccessAt(ctx context.Context, q AccessQuery) iter.Seq2[AccessRow, error] {
	return func(yield func(AccessRow, error) bool) {
		var after int64
		for {
			rows, n, err := s.accessAfter(ctx, q, &after)
			if err != nil {
				yield(AccessRow{}, failure("report who had what", err))
				return
			}
			for _, r := range rows {
				if (q.Vendor == "" || r.Vendor == q.Vendor) && !yield(r, nil) {
					return
				}
			}
			if n < chunk {
				return
			}
		}
	}
}

// granting are the events that say how a holding stands from then on.
const granting = `('grant.added', 'grant.extended', 'grant.shortened', 'grant.rerouted', 'grant.renewed')`

// accessQuery asks for a chunk behind a holding. The event of a holding is the last one up to the instant, or the
// first one after it: an event is written moments after what it tells. The plus signs and the condition that looks idle keep the
// search in the index of the person's events; by kind or by time it would walk everybody's.
func accessQuery(q AccessQuery, after int64) (string, []any) {
	var b strings.Builder
	b.WriteString(`SELECT ` + holdingColumns + `, h.person, p.email,
			coalesce((SELECT sponsor FROM trail_sponsors t WHERE t.person = h.person AND t.since <= ?1 ORDER BY t.since DESC LIMIT 1),
				CASE WHEN EXISTS (SELECT 1 FROM trail_sponsors t WHERE t.person = h.person) THEN '' ELSE p.sponsor_id END),
			coalesce((SELECT max(j.seq) FROM journal j WHERE j.person = h.person AND j.person <> '' AND +j.kind IN ` + granting + ` AND +j.time BETWEEN h.since AND ?1
					AND instr(j.leaf, '(' || h.entitlement || ')') > 0),
				(SELECT min(j.seq) FROM journal j WHERE j.person = h.person AND j.person <> '' AND +j.kind IN ` + granting + ` AND +j.time > ?1
					AND +j.time < coalesce(h.ended_at, 9e18) AND instr(j.leaf, '(' || h.entitlement || ')') > 0), 0)
		FROM holdings h JOIN persons p ON p.id = h.person
		WHERE h.id > ?2 AND h.since IS NOT NULL AND h.since <= ?1 AND (h.ended_at IS NULL OR h.ended_at > ?1)`)
	args := []any{q.At.UnixMicro(), after}
	if q.Person != "" {
		b.WriteString(` AND h.person = ?`)
		args = append(args, q.Person)
	}
	if q.Kind != "" {
		b.WriteString(` AND h.kind = ?`)
		args = append(args, string(q.Kind))
	}
	if q.Name != "" {
		b.WriteString(` AND (h.name = ? OR h.entitlement = ?)`)
		args = append(args, q.Name, q.Name)
	}
	return b.String() + ` ORDER BY h.id LIMIT ?`, append(args, chunk)
}

// accessAfter reads a chunk, and moves the position behind it.
func (s *Store) accessAfter(ctx context.Context, q AccessQuery, after *int64) (list []AccessRow, n int, err error) {
	query, args := accessQuery(q, *after)
	err = s.short.snapshot(ctx, func(c *conn) error {
		if list, err = accessRows(ctx, c, query, args, after); err != nil {
			return err
		}
		for i := range list {
			if err := asOf(ctx, c, q.At, &list[i]); err != nil {
				return err
			}
			if err := nameSubject(ctx, c, &list[i].Subject); err != nil {
				return err
			}
		}
		return nil
	})
	return list, len(list), err
}

func accessRows(ctx context.Context, c *conn, query string, args []any, after *int64) (list []AccessRow, err error) {
	rows, err := c.query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var r AccessRow
		h, err := scanHolding(rows, &r.Person, &r.Email, &r.Sponsor, &r.Event)
		if err != nil {
			return nil, err
		}
		*after = h.ID
		r.Kind, r.Granted, r.GrantedID, r.Since, r.Until, r.EndedAt = h.Entitlement.Kind, h.Entitlement.Name, h.Entitlement.ID, h.Since, h.End, h.EndedAt
		r.Mechanism, r.EndsItself = h.Mechanism, h.Mechanism != contractor.MechanismMember
		r.Rule, r.Line, r.Revision, r.Engagement, r.Vendor = h.Rule, h.Line, h.Revision, h.Engagement, h.Vendor
		list = append(list, r)
	}
	return list, rows.Err()
}

// asOf replaces what a holding says now by what its event said.
func asOf(ctx context.Context, c *conn, at time.Time, r *AccessRow) error {
	if r.Event == 0 {
		return nil
	}
	var leaf []byte
	err := c.row(ctx, `SELECT leaf, EXISTS (SELECT 1 FROM journal r WHERE r.person = ?2 AND r.person <> '' AND r.seq > ?1 AND +r.kind = 'grant.remove_sent' AND +r.time <= ?3
			AND instr(r.leaf, ?4) > 0) FROM journal WHERE seq = ?1`, []any{r.Event, r.Person, at.UnixMicro(), "(" + r.GrantedID + ")"}, &leaf, &r.Removing)
	if err != nil {
		return err
	}
	e, err := audit.ParseLeaf(leaf)
	if err != nil {
		return err
	}
	r.Until, r.Rule, r.Line, r.Revision, r.Engagement, r.Vendor = e.Until, e.Rule, e.Line, e.Revision, e.Engagement, e.Vendor
	return nil
}

// nameSubject adds what the engagement's record says of the person.
func nameSubject(ctx context.Context, c *conn, s *Subject) error {
	var text []byte
	err := c.row(ctx, `SELECT record FROM engagements WHERE id = ?1 OR (?1 = '' AND person = ?2) ORDER BY created DESC LIMIT 1`, []any{s.Engagement, s.Person}, &text)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	var r contractor.Record
	if err := json.Unmarshal(text, &r); err != nil {
		return err
	}
	s.Name = personName(&r)
	s.SponsorFor = r.SponsorEmail
	if s.SponsorFor == "" {
		s.SponsorFor = r.Sponsor
	}
	return nil
}

// EndingRow is an engagement that ends.
type EndingRow struct {
	Subject
	Status contractor.Status `json:"status"`
	EndsAt time.Time         `json:"endsAt"`
	Before time.Time         `json:"extendedFrom,omitzero"` // the end before the vendor's last change of it
	Holds  []string          `json:"holds"`                 // what the person holds now
}

// Ending lists engagements whose effective end lies between from and to, soonest first.
func (s *Store) Ending(ctx context.Context, from, to time.Time) ([]EndingRow, error) {
	var list []EndingRow
	err := s.report(ctx, `SELECT coalesce(e.person, ''), coalesce(p.email, ''), e.vendor, e.id, coalesce(p.sponsor_id, ''), e.status, e.end_at, e.prev_end, `+holdsNow("e.person")+`
		FROM engagements e LEFT JOIN persons p ON p.id = e.person
		WHERE e.end_at > ? AND e.end_at <= ? AND e.status NOT IN ('offboarding', 'removed') AND e.test = 0 ORDER BY e.end_at, e.seq`,
		[]any{from.UnixMicro(), to.UnixMicro()}, func(rows *sql.Rows) error {
			var r EndingRow
			var end, before instant
			var holds string
			if err := rows.Scan(&r.Person, &r.Email, &r.Vendor, &r.Engagement, &r.Sponsor, &r.Status, &end, &before, &holds); err != nil {
				return err
			}
			r.EndsAt, r.Before, r.Holds = end.Time, before.Time, words(holds)
			list = append(list, r)
			return nil
		})
	if err == nil {
		err = s.nameAll(ctx, len(list), func(i int) *Subject { return &list[i].Subject })
	}
	return list, failure("report what ends", err)
}

// OverdueRow is something that should have ended and has not been seen to.
type OverdueRow struct {
	Subject
	What      string    `json:"what"` // an entitlement's name, or "sign-in"
	EndedAt   time.Time `json:"shouldHaveEnded"`
	Failures  int       `json:"failures"`
	LastError string    `json:"lastError,omitempty"`
	Held      string    `json:"held,omitempty"`
	NextAt    time.Time `json:"nextAttempt,omitzero"`
}

// Overdue lists grants whose end lies before an instant and that were not seen gone, and guests whose last engagement ended before
// it and whose sign-in was not seen disabled; the longest overdue first.
func (s *Store) Overdue(ctx context.Context, before time.Time) ([]OverdueRow, error) {
	var list []OverdueRow
	err := s.report(ctx, `SELECT person, email, vendor, engagement, sponsor_id, what, at, failures, last_error, held, next_at FROM (
			SELECT p.id AS person, p.email, h.vendor, h.engagement, p.sponsor_id, h.name AS what, h.end_at AS at, p.failures, p.last_error, p.held, p.next_at
			FROM holdings h JOIN persons p ON p.id = h.person WHERE h.state <> 'ended' AND h.since IS NOT NULL AND h.end_at <= ?1
			UNION ALL
			SELECT p.id, p.email, '', '', p.sponsor_id, 'sign-in', max(min(coalesce(e.end_at, e.ended_at), coalesce(e.ended_at, e.end_at))), p.failures, p.last_error, p.held, p.next_at
			FROM persons p JOIN engagements e ON e.person = p.id
			WHERE p.guest_id <> '' AND p.phase <> 'gone' AND p.closed_at IS NULL
			GROUP BY p.seq
			HAVING count(*) FILTER (WHERE coalesce(e.end_at, e.ended_at, 9e18) > ?1 AND coalesce(e.ended_at, 9e18) > ?1) = 0
		) ORDER BY at`,
		[]any{before.UnixMicro()}, func(rows *sql.Rows) error {
			var r OverdueRow
			var at, next instant
			if err := rows.Scan(&r.Person, &r.Email, &r.Vendor, &r.Engagement, &r.Sponsor, &r.What, &at, &r.Failures, &r.LastError, &r.Held, &next); err != nil {
				return err
			}
			r.EndedAt, r.NextAt = at.Time, next.Time
			list = append(list, r)
			return nil
		})
	if err == nil {
		err = s.nameAll(ctx, len(list), func(i int) *Subject { return &list[i].Subject })
	}
	return list, failure("report what is overdue", err)
}

// HeldRow is somebody who waits for a person's decision.
type HeldRow struct {
	Subject
	Why   string    `json:"why"`
	Since time.Time `json:"since,omitzero"` // of the journal's event; zero: it was archived, or there is none
	Holds []string  `json:"holds"`          // what the person has meanwhile
}

// Held lists people who are held, and engagements that are, those that wait longest first.
func (s *Store) Held(ctx context.Context) ([]HeldRow, error) {
	var list []HeldRow
	err := s.report(ctx, `SELECT person, email, vendor, engagement, sponsor_id, why,
			(SELECT max(time) FROM journal j WHERE j.person = held.person AND j.person <> '' AND +j.kind = 'person.held') AS since, `+holdsNow("held.person")+` FROM (
			SELECT p.id AS person, p.email, '' AS vendor, '' AS engagement, p.sponsor_id, p.held AS why FROM persons p WHERE p.held <> ''
			UNION ALL
			SELECT p.id, p.email, e.vendor, e.id, p.sponsor_id, e.standing ->> 'statusReason' FROM engagements e JOIN persons p ON p.id = e.person
			WHERE e.status = 'held' AND e.deleted = 0 AND p.held = ''
		) AS held ORDER BY since NULLS LAST`,
		nil, func(rows *sql.Rows) error {
			var r HeldRow
			var why sql.NullString
			var since instant
			var holds string
			if err := rows.Scan(&r.Person, &r.Email, &r.Vendor, &r.Engagement, &r.Sponsor, &why, &since, &holds); err != nil {
				return err
			}
			r.Why, r.Since, r.Holds = why.String, since.Time, words(holds)
			list = append(list, r)
			return nil
		})
	if err == nil {
		err = s.nameAll(ctx, len(list), func(i int) *Subject { return &list[i].Subject })
	}
	return list, failure("report who is held", err)
}

// GuestRow is a guest that stands in the tenant.
type GuestRow struct {
	Subject
	Guest      string           `json:"guest"` // Entra object id
	Phase      contractor.Phase `json:"phase"`
	State      string           `json:"state,omitempty"` // externalUserState last seen
	Invited    time.Time        `json:"invited,omitzero"`
	LastSignIn time.Time        `json:"lastSignIn,omitzero"` // the last one that worked and is known
	Holds      []string         `json:"holds"`
}

// WithoutSponsor lists guests that stand and for whom nobody is answerable, oldest first.
func (s *Store) WithoutSponsor(ctx context.Context) ([]GuestRow, error) {
	return s.guests(ctx, `p.sponsor_id = ''`)
}

// NeverSignedIn lists guests that stand and of whom no sign-in that worked is known, oldest first. from is when the sign-ins that
// are kept begin; zero if none are read, and then all that is known is who did not accept the invitation.
func (s *Store) NeverSignedIn(ctx context.Context) (list []GuestRow, from time.Time, err error) {
	var begin instant
	err = s.short.with(ctx, func(c *conn) error {
		return c.row(ctx, `SELECT coalesce((SELECT floor FROM activity_marks WHERE log = 'signin'), (SELECT min(at) FROM activity WHERE log = 'signin'),
			(SELECT through FROM activity_marks WHERE log = 'signin'))`, nil, &begin)
	})
	if err != nil {
		return nil, time.Time{}, failure("report who never signed in", err)
	}
	if begin.IsZero() {
		list, err = s.guests(ctx, `p.guest_state <> 'Accepted'`)
		return list, time.Time{}, err
	}
	list, err = s.guests(ctx, `NOT EXISTS (SELECT 1 FROM activity a WHERE a.person = p.id AND a.log = 'signin' AND json_type(a.entry, '$.ok') = 'true')`)
	return list, begin.Time, err
}

func (s *Store) guests(ctx context.Context, which string) ([]GuestRow, error) {
	var list []GuestRow
	err := s.report(ctx, `SELECT p.id, p.email, p.sponsor_id, p.guest_id, p.phase, p.guest_state, p.invited_at,
			(SELECT max(at) FROM activity a WHERE a.person = p.id AND a.log = 'signin' AND json_type(a.entry, '$.ok') = 'true'), `+holdsNow("p.id")+`,
			coalesce((SELECT vendor FROM engagements e WHERE e.person = p.id ORDER BY e.end_at DESC NULLS LAST, e.seq DESC LIMIT 1), '')
		FROM persons p WHERE p.guest_id <> '' AND p.phase IN ('open', 'closed') AND `+which+` ORDER BY p.invited_at NULLS FIRST, p.seq`,
		nil, func(rows *sql.Rows) error {
			var r GuestRow
			var invited, signIn instant
			var holds string
			if err := rows.Scan(&r.Person, &r.Email, &r.Sponsor, &r.Guest, &r.Phase, &r.State, &invited, &signIn, &holds, &r.Vendor); err != nil {
				return err
			}
			r.Invited, r.LastSignIn, r.Holds = invited.Time, signIn.Time, words(holds)
			list = append(list, r)
			return nil
		})
	if err == nil {
		err = s.nameAll(ctx, len(list), func(i int) *Subject { return &list[i].Subject })
	}
	return list, failure("report guests", err)
}

// holdsNow selects the names of what a person holds, a line each.
func holdsNow(person string) string {
	return `coalesce((SELECT group_concat(name, '\n') FROM (SELECT name FROM holdings h WHERE h.person = ` + person +
		` AND h.state <> 'ended' AND h.since IS NOT NULL ORDER BY name)), '')`
}

func words(lines string) []string {
	if lines == "" {
		return []string{}
	}
	return strings.Split(lines, "\n")
}

// report reads rows on a connection of its own: a report may take longer than a page may.
func (s *Store) report(ctx context.Context, query string, args []any, each func(*sql.Rows) error) (err error) {
	c, err := openConn(ctx, s.reads)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	rows, err := c.query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	if err := s.short.settle(ctx); err != nil { // the first row is read: what follows is no younger
		return err
	}
	for rows.Next() {
		if err := each(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// nameAll adds names to a report's lines.
func (s *Store) nameAll(ctx context.Context, n int, subject func(int) *Subject) error {
	return s.short.with(ctx, func(c *conn) error {
		for i := range n {
			if err := nameSubject(ctx, c, subject(i)); err != nil {
				return err
			}
		}
		return nil
	})
}
