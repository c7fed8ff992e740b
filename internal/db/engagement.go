package db

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

func errNotFound(id string) error {
	return contractor.Errorf(contractor.CodeNotFound, "no user has the id %s; list /Users to see those that exist", id)
}

// Create implements scim.Store. The event's engagement, person and vendor are filled in; where a tombstone is revived, its kind
// becomes "engagement.revived".
func (s *Store) Create(ctx context.Context, e contractor.Engagement, quota int, event audit.Event) (contractor.Engagement, error) {
	now := e.Modified
	if now.IsZero() {
		now = time.Now()
	}
	truncateTimes(&e, now)
	row, err := encodeEngagement(&e, now)
	if err != nil {
		return contractor.Engagement{}, err
	}
	var stored contractor.Engagement
	err = s.writeRepeatable(ctx, "create an engagement", func(t *tx) error {
		event := event
		stored = e
		return t.create(&stored, row, quota, &event)
	})
	if err != nil {
		return contractor.Engagement{}, err
	}
	return stored, nil
}

// truncateTimes makes the engagement's times what the store can hold, and sets those that a new engagement must have.
func truncateTimes(e *contractor.Engagement, now time.Time) {
	for _, t := range []*time.Time{&e.Created, &e.Modified, &e.EndSetAt, &e.EndedAt, &e.PrevEnd} {
		if !t.IsZero() {
			*t = t.UTC().Truncate(time.Microsecond)
		}
	}
	now = now.UTC().Truncate(time.Microsecond)
	if e.Created.IsZero() {
		e.Created = now
	}
	if e.Modified.IsZero() {
		e.Modified = now
	}
	if e.Deleted && e.EndedAt.IsZero() {
		e.EndedAt = now
	}
	e.Version = max(e.Version, 1)
}

func (t *tx) create(e *contractor.Engagement, row *engagementRow, quota int, event *audit.Event) error {
	live := isLive(e.Deleted, e.EndedAt, e.Standing.Status)
	place, err := t.enlist(e.Vendor, live)
	if err != nil {
		return err
	}
	if quota > 0 && live && place.live > int64(quota) {
		return contractor.Errorf(contractor.CodeQuota, "%s may have %d live engagements and has them; end or delete one, or ask for a higher quota", e.Vendor, quota)
	}
	var dead *deadEngagement
	if place.ord > place.total { // some that were listed no longer are
		if dead, err = t.tombstone(e.Vendor, row); err != nil {
			return err
		}
	}
	e.Person = ""
	if !e.Test {
		if e.Person, err = t.touchPerson(e.Record.Email, sql.NullString{}, e.Modified, row.closes); err != nil {
			return err
		}
	}
	if dead == nil {
		err = t.insertEngagement(e, row, place.ord)
	} else {
		err = t.revive(e, row, place.ord, dead)
		if event.Kind == "engagement.created" {
			event.Kind = "engagement.revived"
		}
	}
	if err != nil {
		return t.conflict(e, row, err)
	}
	return t.appendFor(e, event)
}

// deadEngagement is a tombstone that a create revives.
type deadEngagement struct {
	seq     int64
	id      string
	version int64
	person  sql.NullString
}

// tombstone looks for the vendor's latest tombstone with the same externalId, else the same userName.
func (t *tx) tombstone(vendor string, row *engagementRow) (*deadEngagement, error) {
	var d deadEngagement
	err := t.row(`SELECT seq, id, version, person FROM (
			SELECT 0 AS rank, seq, id, version, person FROM engagements
			WHERE vendor = ?1 AND deleted = 1 AND external_id IS NOT NULL AND external_id = ?2
			UNION ALL
			SELECT 1, seq, id, version, person FROM engagements WHERE vendor = ?1 AND deleted = 1 AND user_key = ?3
		) ORDER BY rank, seq DESC LIMIT 1`,
		[]any{vendor, row.externalID, row.userKey}, &d.seq, &d.id, &d.version, &d.person)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return &d, err
}

// place is where a new engagement stands in its vendor's list, which then has so many, of them so many live.
type place struct{ ord, total, live int64 }

func (t *tx) enlist(vendor string, live bool) (p place, err error) {
	err = t.row(`INSERT INTO vendors (name, created, total, live, last_ord, changes) VALUES (?, ?, 1, ?, 1, 1)
		ON CONFLICT (name) DO UPDATE SET total = vendors.total + 1, live = vendors.live + excluded.live, last_ord = vendors.last_ord + 1,
			changes = vendors.changes + 1
		RETURNING last_ord, total, live`,
		[]any{vendor, t.now.UnixMicro(), boolean(live)}, &p.ord, &p.total, &p.live)
	return p, err
}

// touchPerson finds or makes the person of an address, raises its generation and makes it due. Most creates are of somebody
// new, most updates of somebody known (known is the person that the engagement had).
func (t *tx) touchPerson(email string, known sql.NullString, now time.Time, urgent bool) (id string, err error) {
	key := contractor.EmailKey(email)
	if known.Valid {
		n, err := t.changed(touchStatement+` WHERE id = ?3 AND email_key = ?4`, now.UnixMicro(), boolean(urgent), known.String, key)
		if err != nil || n == 1 {
			return known.String, err
		}
	}
	if id, err = t.alias(key); err != nil {
		return "", err
	}
	if id != "" {
		return id, t.touch(id, now, urgent)
	}
	if id, err = newID(); err != nil {
		return "", err
	}
	n, err := t.changed(`INSERT INTO persons (id, email, email_key, created, next_at, urgent) VALUES (?1, ?2, ?3, ?4, ?4, ?5) ON CONFLICT (email_key) DO NOTHING`,
		id, email, key, now.UnixMicro(), boolean(urgent))
	if err != nil || n == 1 {
		return id, err
	}
	err = t.row(touchStatement+` WHERE email_key = ?3 RETURNING id`, []any{now.UnixMicro(), boolean(urgent), key}, &id)
	return id, err
}

// touchStatement raises a person's generation and makes it due at ?1, unless it is due earlier; ?2 is whether that is urgent.
const touchStatement = `UPDATE persons SET gen = gen + 1, urgent = CASE WHEN urgent = 1 THEN 1 ELSE ?2 END,
	next_at = CASE WHEN next_at < ?1 THEN next_at ELSE ?1 END`

// touch raises a known person's generation and makes it due.
func (t *tx) touch(person string, now time.Time, urgent bool) error {
	_, err := t.exec(touchStatement+` WHERE id = ?3`, now.UnixMicro(), boolean(urgent), person)
	return err
}

func (t *tx) insertEngagement(e *contractor.Engagement, row *engagementRow, ord int64) error {
	insert := `INSERT INTO engagements (id, vendor, ord, person, deleted, test,
			user_key, external_id, email_key, other_keys, worker_id, end_date, active,
			version, created, modified, end_set_at, ended_at, prev_end, status, start_at, end_at,
			standing, record, resource, unused, aliased)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	args := []any{
		e.ID, e.Vendor, ord, nullable(e.Person), boolean(e.Deleted), boolean(e.Test),
		row.userKey, nullable(row.externalID), nullable(row.emailKey), nullable(row.others), nullable(row.workerID), nullable(row.endDate), boolean(row.active),
		e.Version, e.Created.UnixMicro(), e.Modified.UnixMicro(), micros(e.EndSetAt), micros(e.EndedAt), micros(e.PrevEnd),
		string(e.Standing.Status), micros(e.Standing.EffectiveStart), micros(e.Standing.EffectiveEnd),
		row.standing, row.record, row.resource, row.unused, row.aliased,
	}
	if row.others == "" {
		_, err := t.exec(insert, args...)
		return err
	}
	var seq int64
	if err := t.row(insert+` RETURNING seq`, args, &seq); err != nil {
		return err
	}
	return t.insertEmails(seq, row.others)
}

func (t *tx) insertEmails(seq int64, emails string) error {
	for email := range strings.SplitSeq(emails, "\n") {
		_, err := t.exec(`INSERT INTO engagement_emails (email_key, engagement) VALUES (?, ?) ON CONFLICT DO NOTHING`, email, seq)
		if err != nil {
			return err
		}
	}
	return nil
}

// revive makes a tombstone the engagement, under its old id and behind the versions it had, so that no ETag comes twice.
func (t *tx) revive(e *contractor.Engagement, row *engagementRow, ord int64, dead *deadEngagement) error {
	e.ID, e.Version = dead.id, max(e.Version, dead.version+1)
	if err := t.keepVersion(dead.seq, e.Version, e.Person); err != nil {
		return err
	}
	_, err := t.exec(`UPDATE engagements SET ord = ?, person = ?, deleted = ?, test = ?,
			user_key = ?, external_id = ?, email_key = ?, other_keys = ?, worker_id = ?, end_date = ?, active = ?,
			version = ?, created = ?, modified = ?, end_set_at = ?, ended_at = ?, prev_end = ?, status = ?, start_at = ?, end_at = ?,
			standing = ?, record = ?, resource = ?, unused = ?, aliased = ?
		WHERE seq = ?`,
		ord, nullable(e.Person), boolean(e.Deleted), boolean(e.Test),
		row.userKey, nullable(row.externalID), nullable(row.emailKey), nullable(row.others), nullable(row.workerID), nullable(row.endDate), boolean(row.active),
		e.Version, e.Created.UnixMicro(), e.Modified.UnixMicro(), micros(e.EndSetAt), micros(e.EndedAt), micros(e.PrevEnd),
		string(e.Standing.Status), micros(e.Standing.EffectiveStart), micros(e.Standing.EffectiveEnd),
		row.standing, row.record, row.resource, row.unused, row.aliased, dead.seq)
	if err != nil {
		return err
	}
	if err := t.replaceEmails(dead.seq, row.others); err != nil {
		return err
	}
	if dead.person.Valid && dead.person.String != e.Person {
		return t.touch(dead.person.String, e.Modified, true)
	}
	return nil
}

func (t *tx) replaceEmails(seq int64, emails string) error {
	if _, err := t.exec(`DELETE FROM engagement_emails WHERE engagement = ?`, seq); err != nil || emails == "" {
		return err
	}
	return t.insertEmails(seq, emails)
}

// conflict finds out which attribute a unique index refused. Any other error passes through.
func (t *tx) conflict(e *contractor.Engagement, row *engagementRow, err error) error {
	if !isUnique(err) {
		return err
	}
	switch constraint(err) { // PostgreSQL names it, and answers no question before the rollback
	case "engagements_user":
		return errUserName()
	case "engagements_external":
		return errExternalID()
	}
	if t.conn.aborted() {
		return err
	}
	var userKey string
	probe := t.row(`SELECT user_key FROM engagements WHERE vendor = ? AND deleted = 0 AND user_key = ? AND id <> ?`,
		[]any{e.Vendor, row.userKey, e.ID}, &userKey)
	if probe == nil {
		return errUserName()
	}
	var externalID string
	probe = t.row(`SELECT external_id FROM engagements WHERE vendor = ? AND deleted = 0 AND external_id = ? AND id <> ?`,
		[]any{e.Vendor, row.externalID, e.ID}, &externalID)
	if probe == nil {
		return errExternalID()
	}
	return err
}

func errUserName() error {
	return &contractor.Error{Code: contractor.CodeConflict, Path: "userName",
		Message: "another user has this userName; update that one, or send another userName"}
}

func errExternalID() error {
	return &contractor.Error{Code: contractor.CodeConflict, Path: "externalId",
		Message: "another user has this externalId; update that one, or send another externalId"}
}

// appendFor journals an event about an engagement.
func (t *tx) appendFor(e *contractor.Engagement, event *audit.Event) error {
	event.Engagement, event.Vendor, event.Person = e.ID, e.Vendor, e.Person
	return t.append(event)
}

// Get implements scim.Store.
func (s *Store) Get(ctx context.Context, vendor, id string) (contractor.Engagement, error) {
	return s.point(ctx, engagementColumns, vendor, id, true)
}

// Show implements scim.Store: Get without the Record, which costs a third of a read and is not part of an answer.
func (s *Store) Show(ctx context.Context, vendor, id string) (contractor.Engagement, error) {
	return s.point(ctx, listedColumns, vendor, id, false)
}

// point reads one engagement of a vendor, with its record if it is wanted whole.
func (s *Store) point(ctx context.Context, columns, vendor, id string, whole bool) (contractor.Engagement, error) {
	if err := ctx.Err(); err != nil {
		return contractor.Engagement{}, err
	}
	var e contractor.Engagement
	err := s.short.with(ctx, func(c *conn) error {
		var scan engagementScan
		dest := scan.listed
		if whole {
			dest = scan.dest
		}
		// A point read is over before an interrupt could help it, and being interruptible costs a goroutine.
		err := c.row(context.WithoutCancel(ctx),
			`SELECT `+columns+` FROM engagements e WHERE e.id = ? AND e.vendor = ? AND e.deleted = 0`,
			[]any{id, vendor}, dest(&e)...)
		if errors.Is(err, sql.ErrNoRows) {
			return errNotFound(id)
		}
		if err != nil {
			return err
		}
		return scan.fill(&e, whole)
	})
	if err != nil {
		return contractor.Engagement{}, failure("read an engagement", err)
	}
	return e, nil
}
