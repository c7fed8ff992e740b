package db

import (
	"context"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// UpdateRecord stores what a new mapping makes of an unchanged resource: the record, what nobody read, whether it is a test
// user, and the ends that the vendor set. Resource, version and times stay, since nothing changed for the vendor. It is refused
// with CodeVersion if the resource was changed since e was read, and CodeNotFound if there is no such engagement or it is a
// tombstone. The person of the record's address, and the one before if it is another, become due at now.
func (s *Store) UpdateRecord(ctx context.Context, e contractor.Engagement, now time.Time, event audit.Event) error {
	now = now.UTC().Truncate(time.Microsecond)
	version, modified := e.Version, e.Modified
	e.Modified = now
	truncateTimes(&e, now)
	row, err := encodeEngagement(&e, now)
	if err != nil {
		return err
	}
	return s.write(ctx, "derive a record anew", func(t *tx) error {
		old, err := t.stored(e.Vendor, e.ID)
		if err != nil {
			return err
		}
		if old.version != version {
			return errVersion()
		}
		e := e
		if err := t.relink(&e, row, old); err != nil {
			return err
		}
		if err := t.keepVersion(old.seq, old.version, e.Person); err != nil {
			return err
		}
		_, err = t.exec(`UPDATE engagements SET person = ?, test = ?, end_set_at = ?, ended_at = ?, prev_end = ?, record = ?, unused = ?, aliased = ? WHERE seq = ?`,
			nullable(e.Person), boolean(e.Test), micros(e.EndSetAt), micros(e.EndedAt), micros(e.PrevEnd), row.record, row.unused, row.aliased, old.seq)
		if err != nil {
			return err
		}
		if err := t.count(e.Vendor, isLive(false, old.endedAt.Time, old.status), isLive(false, e.EndedAt, old.status)); err != nil {
			return err
		}
		e.Modified = modified
		return t.appendFor(&e, &event)
	})
}
