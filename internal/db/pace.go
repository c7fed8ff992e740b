package db

import (
	"context"
	"errors"
	"time"

	"scimbridge/internal/contractor"
)

// Closings implements lifecycle.PaceStore, by the indexes of due people and of ends.
func (s *Store) Closings(ctx context.Context, now, until time.Time) (c contractor.Closings, err error) {
	err = s.short.snapshot(ctx, func(k *conn) (err error) {
		var oldest instant
		if err := k.row(ctx, `SELECT count(*), min(next_at) FROM (SELECT next_at FROM persons WHERE urgent = 1 AND next_at <= ? ORDER BY next_at LIMIT ?)`,
			[]any{now.UnixMicro(), maxDueCounted}, &c.Waiting, &oldest); err != nil {
			return err
		}
		c.Oldest = oldest.Time
		rows, err := k.query(ctx, `SELECT end_at / 60000000 AS minute, count(*) FROM engagements WHERE end_at > ? AND end_at <= ? AND status NOT IN ('offboarding', 'removed')
			GROUP BY minute ORDER BY minute`, now.UnixMicro(), until.UnixMicro())
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			var minute int64
			var m contractor.MinuteEnds
			if err := rows.Scan(&minute, &m.Ends); err != nil {
				return err
			}
			m.Minute = time.Unix(minute*60, 0).UTC()
			c.Minutes = append(c.Minutes, m)
		}
		return rows.Err()
	})
	return c, failure("count what is to be closed", err)
}
