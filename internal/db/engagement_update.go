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

// storedEngagement is what an update has to know of the row that it replaces.
type storedEngagement struct {
	seq, ord, version int64
	person            sql.NullString
	test              bool
	created           instant
	endedAt, endSetAt instant
	status            contractor.Status
	standing          string
	hot
}

func (t *tx) stored(vendor, id string) (*storedEngagement, error) {
	var o storedEngagement
	var external, email, others, worker, end sql.NullString
	err := t.row(`SELECT seq, ord, version, person, test, created, ended_at, end_set_at, status, standing,
			user_key, external_id, email_key, other_keys, worker_id, end_date, active
		FROM engagements WHERE id = ? AND vendor = ? AND deleted = 0`, []any{id, vendor},
		&o.seq, &o.ord, &o.version, &o.person, &o.test, &o.created, &o.endedAt, &o.endSetAt, &o.status, &o.standing,
		&o.userKey, &external, &email, &others, &worker, &end, &o.active)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errNotFound(id)
	}
	if err != nil {
		return nil, err
	}
	o.externalID, o.emailKey, o.others = external.String, email.String, others.String
	o.workerID, o.endDate = worker.String, end.String
	return &o, nil
}

func errVersion() error {
	return contractor.Errorf(contractor.CodeVersion, "the user was changed since it was read; read it again and repeat the change")
}

// Update implements scim.Store. The standing, the creation time and the person are the store's: what e says of them is replaced
// by what is stored.
func (s *Store) Update(ctx context.Context, e contractor.Engagement, event audit.Event) (contractor.Engagement, error) {
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
	err = s.writeRepeatable(ctx, "update an engagement", func(t *tx) error {
		event := event
		stored = e
		return t.update(&stored, row, &event)
	})
	if err != nil {
		return contractor.Engagement{}, err
	}
	return stored, nil
}

func (t *tx) update(e *contractor.Engagement, row *engagementRow, event *audit.Event) error {
	old, err := t.stored(e.Vendor, e.ID)
	if err != nil {
		return err
	}
	if old.version != e.Version {
		return errVersion()
	}
	e.Version, e.Created = old.version+1, old.created.Time
	if e.Standing, err = decodeStanding(e.ID, old.standing); err != nil {
		return err
	}
	moved, err := t.moveAddress(e, row, old)
	if err != nil {
		return err
	}
	if !moved {
		if err := t.relink(e, row, old); err != nil {
			return err
		}
	}
	if err := t.keepVersion(old.seq, e.Version, e.Person); err != nil {
		return err
	}
	if err := t.replaceEngagement(e, row, old); err != nil {
		return t.conflict(e, row, err)
	}
	if old.others != row.others {
		if err := t.replaceEmails(old.seq, row.others); err != nil {
			return err
		}
	}
	if err := t.count(e.Vendor, isLive(false, old.endedAt.Time, old.status), isLive(false, e.EndedAt, old.status)); err != nil {
		return err
	}
	if err := t.appendFor(e, event); err != nil {
		return err
	}
	return t.holdEnd(e)
}

// relink finds the person of the engagement's address, which may be another than before; both have to be looked at.
func (t *tx) relink(e *contractor.Engagement, row *engagementRow, old *storedEngagement) (err error) {
	e.Person = ""
	if !e.Test {
		if e.Person, err = t.touchPerson(e.Record.Email, old.person, e.Modified, row.closes); err != nil {
			return err
		}
	}
	if old.person.Valid && old.person.String != e.Person {
		return t.touch(old.person.String, e.Modified, true)
	}
	return nil
}

// replaceEngagement writes the row. Columns with an index are named only where they change, since SQLite rewrites the index of
// every column that a statement names.
func (t *tx) replaceEngagement(e *contractor.Engagement, row *engagementRow, old *storedEngagement) error {
	var set strings.Builder
	set.WriteString(`UPDATE engagements SET version = ?, modified = ?, end_set_at = ?, ended_at = ?, prev_end = ?, record = ?, resource = ?, unused = ?, aliased = ?`)
	args := []any{e.Version, e.Modified.UnixMicro(), micros(e.EndSetAt), micros(e.EndedAt), micros(e.PrevEnd), row.record, row.resource, row.unused, row.aliased}
	for _, c := range [...]struct {
		column   string
		old, new any
	}{
		{"person", nullable(old.person.String), nullable(e.Person)},
		{"test", boolean(old.test), boolean(e.Test)},
		{"user_key", old.userKey, row.userKey},
		{"external_id", nullable(old.externalID), nullable(row.externalID)},
		{"email_key", nullable(old.emailKey), nullable(row.emailKey)},
		{"other_keys", nullable(old.others), nullable(row.others)},
		{"worker_id", nullable(old.workerID), nullable(row.workerID)},
		{"end_date", nullable(old.endDate), nullable(row.endDate)},
		{"active", boolean(old.active), boolean(row.active)},
	} {
		if c.old != c.new {
			set.WriteString(", " + c.column + " = ?")
			args = append(args, c.new)
		}
	}
	set.WriteString(` WHERE seq = ?`)
	_, err := t.exec(set.String(), append(args, old.seq)...)
	return err
}

// count notes that one of the vendor's engagements changed, and keeps the number of those that are live.
func (t *tx) count(vendor string, was, is bool) error {
	_, err := t.exec(`UPDATE vendors SET live = live + ?, changes = changes + 1 WHERE name = ?`, boolean(is)-boolean(was), vendor)
	return err
}

// Delete implements scim.Store.
func (s *Store) Delete(ctx context.Context, vendor, id string, version int64, now time.Time, event audit.Event) error {
	now = now.UTC().Truncate(time.Microsecond)
	return s.writeRepeatable(ctx, "delete an engagement", func(t *tx) error {
		event := event
		return t.bury(vendor, id, version, now, &event)
	})
}

// holesPerBucket is how many ordinals share a row of vendor_holes.
const holesPerBucket = 1024

func (t *tx) bury(vendor, id string, version int64, now time.Time, event *audit.Event) error {
	old, err := t.stored(vendor, id)
	if err != nil {
		return err
	}
	if version != 0 && version != old.version {
		return errVersion()
	}
	endedAt, endSetAt := old.endedAt.Time, old.endSetAt.Time
	if endedAt.IsZero() || endedAt.After(now) {
		endedAt, endSetAt = now, now
	}
	if err := t.keepVersion(old.seq, old.version+1, old.person.String); err != nil {
		return err
	}
	_, err = t.exec(`UPDATE engagements SET deleted = 1, version = version + 1, modified = ?, ended_at = ?, end_set_at = ? WHERE seq = ?`,
		now.UnixMicro(), endedAt.UnixMicro(), micros(endSetAt), old.seq)
	if err != nil {
		return err
	}
	_, err = t.exec(`UPDATE vendors SET total = total - 1, live = live - ?, changes = changes + 1 WHERE name = ?`,
		boolean(isLive(false, old.endedAt.Time, old.status)), vendor)
	if err != nil {
		return err
	}
	_, err = t.exec(`INSERT INTO vendor_holes (vendor, bucket, holes) VALUES (?, ?, 1) ON CONFLICT (vendor, bucket) DO UPDATE SET holes = vendor_holes.holes + 1`,
		vendor, old.ord/holesPerBucket)
	if err != nil {
		return err
	}
	if old.person.Valid {
		if err := t.touch(old.person.String, now, true); err != nil {
			return err
		}
	}
	event.Engagement, event.Vendor, event.Person = id, vendor, old.person.String
	return t.append(event)
}
