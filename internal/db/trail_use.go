package db

import (
	"context"
	"errors"
	"iter"
	"time"

	"scimbridge/internal/contractor"
)

// Use is somebody who had an entitlement at some time of a span.
type Use struct {
	Person string
	Kind   contractor.Kind
	Name   string // in the catalog, as last written
	ID     string // Entra object id
}

// Used streams who had what at any time from an instant on and before another, in the order in which it was granted. Who was given the
// same thing twice comes twice.
func (s *Store) Used(ctx context.Context, from, to time.Time) iter.Seq2[Use, error] {
	return func(yield func(Use, error) bool) {
		var after int64
		for {
			list, err := s.usedAfter(ctx, from, to, &after)
			if err != nil {
				yield(Use{}, failure("report who used what", err))
				return
			}
			for _, u := range list {
				if !yield(u, nil) {
					return
				}
			}
			if len(list) < chunk {
				return
			}
		}
	}
}

// usedAfter reads a chunk, and moves the position behind it.
func (s *Store) usedAfter(ctx context.Context, from, to time.Time, after *int64) (list []Use, err error) {
	err = s.short.with(ctx, func(c *conn) (err error) {
		rows, err := c.query(ctx, `SELECT id, person, kind, entitlement, name FROM holdings
			WHERE id > ? AND since IS NOT NULL AND since < ? AND (ended_at IS NULL OR ended_at > ?) ORDER BY id LIMIT ?`, *after, to.UnixMicro(), from.UnixMicro(), chunk)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			var u Use
			if err := rows.Scan(after, &u.Person, &u.Kind, &u.ID, &u.Name); err != nil {
				return err
			}
			list = append(list, u)
		}
		return rows.Err()
	})
	return list, err
}

// GuestsIn counts the guests that stood at any time from an instant on and before another, and those of them of whom a sign-in that
// worked is known in it (Entra bills guests by monthly active users). seen is false where no sign-ins are read.
func (s *Store) GuestsIn(ctx context.Context, from, to time.Time) (stood, active int, seen bool, err error) {
	err = s.short.with(ctx, func(c *conn) error {
		return c.row(ctx, `SELECT (SELECT count(*) FROM persons WHERE guest_id <> '' AND coalesce(invited_at, created) < ?2 AND (gone_at IS NULL OR gone_at > ?1)),
			(SELECT count(DISTINCT person) FROM activity WHERE log = 'signin' AND at >= ?1 AND at < ?2 AND entry ->> 'ok'),
			EXISTS (SELECT 1 FROM activity_marks WHERE log = 'signin')`, []any{from.UnixMicro(), to.UnixMicro()}, &stood, &active, &seen)
	})
	return stood, active, seen, failure("count the guests", err)
}
