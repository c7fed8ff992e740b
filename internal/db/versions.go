package db

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"scimbridge/internal/contractor"
)

// versionsKept is how many former states are kept of one engagement; the oldest are dropped first. A feed that changes a record
// every day is remembered for three months, and one that flaps cannot fill the disk.
const versionsKept = 100

// versionsTrimmed is how often, in versions of the engagement, what is too much is looked for.
const versionsTrimmed = 16

// keepVersion stores the state of an engagement that is about to be overwritten. person is whose it will be ("" nobody's). Test users
// have no history: they never had access.
func (t *tx) keepVersion(seq, version int64, person string) error {
	_, err := t.exec(`INSERT INTO engagement_versions (engagement, since, until, person, lost, deleted, version, created, modified,
			end_set_at, ended_at, prev_end, standing, record, resource, unused, aliased)
		SELECT seq, coalesce((SELECT max(until) FROM engagement_versions WHERE engagement = ?1), created), ?2, person,
			CASE WHEN person IS NOT NULL AND person <> ?3 THEN 1 ELSE 0 END, deleted,
			version, created, modified, end_set_at, ended_at, prev_end, standing, record, resource, unused, aliased
		FROM engagements WHERE seq = ?1 AND test = 0`, seq, t.now.UnixMicro(), person)
	if err != nil || version%versionsTrimmed != 0 {
		return err
	}
	_, err = t.exec(`DELETE FROM engagement_versions WHERE seq IN (
		SELECT seq FROM engagement_versions WHERE engagement = ? ORDER BY until DESC, seq DESC LIMIT -1 OFFSET ?)`, seq, versionsKept)
	return err
}

// PastPerson is a person as the records were at an instant.
type PastPerson struct {
	Person *contractor.Person // Engagements as they were; everything else as it is now, without what admins and sponsors decided
	Since  map[string]time.Time
	Until  map[string]time.Time // by engagement: when its record was next changed; absent: it is still as it was
	Lost   map[string]time.Time // engagements that existed and whose record of then is no longer kept: from when it is
}

// PersonAt reads a person's records as they were at an instant: of its engagements, and of those that belonged to it then and were
// given to somebody else since. CodeNotFound if there is no such person.
func (s *Store) PersonAt(ctx context.Context, id string, at time.Time) (*PastPerson, error) {
	past := &PastPerson{Since: map[string]time.Time{}, Until: map[string]time.Time{}, Lost: map[string]time.Time{}}
	err := s.short.snapshot(ctx, func(c *conn) error {
		row, err := c.stmt(ctx, `SELECT `+personColumns+` FROM persons p WHERE p.id = ?`)
		if err != nil {
			return err
		}
		p, err := scanPerson(row.QueryRowContext(ctx, id))
		if errors.Is(err, sql.ErrNoRows) {
			return contractor.Errorf(contractor.CodeNotFound, "there is no person %s; list them with: scimbridge contractor list", id)
		}
		if err != nil {
			return err
		}
		past.Person = p
		known, err := engagementsEver(ctx, c, id)
		if err != nil {
			return err
		}
		for i := range known {
			if err := past.add(ctx, c, &known[i], id, at); err != nil {
				return err
			}
		}
		return nil
	})
	return past, failure("read a person as it was", err)
}

// everEngaged is an engagement that is, or was, a person's.
type everEngaged struct {
	seq     int64
	current contractor.Engagement
}

func engagementsEver(ctx context.Context, c *conn, person string) (list []everEngaged, err error) {
	rows, err := c.query(ctx, `SELECT `+engagementColumns+`, e.seq FROM engagements e WHERE e.seq IN (
			SELECT seq FROM engagements WHERE person = ?1 UNION SELECT engagement FROM engagement_versions WHERE person = ?1 AND lost = 1)
		ORDER BY e.created, e.seq`, person)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var scan engagementScan
		var x everEngaged
		if err := rows.Scan(append(scan.dest(&x.current), &x.seq)...); err != nil {
			return nil, err
		}
		if err := scan.fill(&x.current, true); err != nil {
			return nil, err
		}
		list = append(list, x)
	}
	return list, rows.Err()
}

// add puts the engagement's state of an instant into the person, if it was the person's then.
func (past *PastPerson) add(ctx context.Context, c *conn, x *everEngaged, person string, at time.Time) error {
	e := x.current
	var since, until instant
	err := c.row(ctx, `SELECT max(until) FROM engagement_versions WHERE engagement = ?`, []any{x.seq}, &since)
	if err != nil {
		return err
	}
	begin := since.Time
	if begin.IsZero() {
		begin = e.Created
	}
	if at.Before(begin) {
		var scan engagementScan
		err := c.row(ctx, `SELECT e.since, e.until, `+versionColumns+` FROM engagement_versions e JOIN engagements n ON n.seq = e.engagement
			WHERE e.engagement = ? AND e.until > ? ORDER BY e.until, e.seq LIMIT 1`, []any{x.seq, at.UnixMicro()}, append([]any{&since, &until}, scan.dest(&e)...)...)
		if errors.Is(err, sql.ErrNoRows) {
			return nil // it did not exist
		}
		if err != nil {
			return err
		}
		if err := scan.fill(&e, true); err != nil {
			return err
		}
		if at.Before(since.Time) {
			if since.After(e.Created) && !at.Before(e.Created) { // what came before was dropped
				past.Lost[e.ID] = since.Time
			}
			return nil
		}
		begin = since.Time
		past.Until[e.ID] = until.Time
	}
	if e.Person != person {
		return nil
	}
	past.Since[e.ID] = begin
	past.Person.Engagements = append(past.Person.Engagements, e)
	return nil
}

// versionColumns are engagementColumns of a former state e, with the id and vendor of its engagement n.
const versionColumns = `n.id, n.vendor, e.person, e.deleted, 0, e.version, e.created, e.modified,
	e.end_set_at, e.ended_at, e.prev_end, e.standing, e.resource, e.unused, e.aliased, e.record`

// eraseVersions forgets what a person's records said before.
func (t *tx) eraseVersions(person string) error {
	_, err := t.exec(`DELETE FROM engagement_versions WHERE engagement IN (SELECT seq FROM engagements WHERE person = ?1)
		OR person = ?1 AND engagement IN (SELECT engagement FROM engagement_versions WHERE person = ?1 AND lost = 1)`, person)
	return err
}
