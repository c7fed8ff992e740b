package db

import (
	"context"
	"errors"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// ManagedPolicies lists the policies and named locations that are ours in the tenant.
func (s *Store) ManagedPolicies(ctx context.Context) (list []contractor.CAManaged, err error) {
	err = s.short.with(ctx, func(c *conn) (err error) {
		rows, err := c.query(ctx, `SELECT kind, name, id, mine, written, watched, changed FROM conditional_access ORDER BY kind, name`)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			var m contractor.CAManaged
			var watched, changed instant
			if err := rows.Scan(&m.Kind, &m.Name, &m.ID, &m.Mine, &m.Written, &watched, &changed); err != nil {
				return err
			}
			m.Watched, m.Changed = watched.Time, changed.Time
			list = append(list, m)
		}
		return rows.Err()
	})
	return list, failure("read the policies that are ours", err)
}

// RecordPolicy writes a row (nil: none) with its events in one transaction. Changed is filled in.
func (s *Store) RecordPolicy(ctx context.Context, m *contractor.CAManaged, events ...audit.Event) error {
	return s.write(ctx, "record a policy", func(t *tx) error {
		if m != nil {
			m.Changed = t.now
			_, err := t.exec(`INSERT INTO conditional_access (kind, name, id, mine, written, watched, changed) VALUES (?, ?, ?, ?, ?, ?, ?)
				ON CONFLICT (kind, name) DO UPDATE SET id = excluded.id, mine = excluded.mine, written = excluded.written, watched = excluded.watched, changed = excluded.changed`,
				m.Kind, m.Name, m.ID, boolean(m.Mine), nullable(string(m.Written)), micros(m.Watched), m.Changed.UnixMicro())
			if err != nil {
				return err
			}
		}
		return t.appendAll(events)
	})
}

// ForgetPolicy deletes a row with its events in one transaction: the object is gone from the tenant.
func (s *Store) ForgetPolicy(ctx context.Context, kind, name string, events ...audit.Event) error {
	return s.write(ctx, "forget a policy", func(t *tx) error {
		if _, err := t.exec(`DELETE FROM conditional_access WHERE kind = ? AND name = ?`, kind, name); err != nil {
			return err
		}
		return t.appendAll(events)
	})
}

func (t *tx) appendAll(events []audit.Event) error {
	for i := range events {
		if err := t.append(&events[i]); err != nil {
			return err
		}
	}
	return nil
}
