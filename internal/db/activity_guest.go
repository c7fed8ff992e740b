package db

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"scimbridge/internal/contractor"
)

// watchedColumns want now twice before the conditions' own values.
const watchedColumns = `p.id, p.guest_id, p.phase, p.closed_at, p.invited_at, p.guest_state,
	(SELECT max(e.end_at) FROM engagements e WHERE e.person = p.id),
	EXISTS (SELECT 1 FROM engagements e WHERE e.person = p.id AND e.status NOT IN ('offboarding', 'removed') AND (e.end_at IS NULL OR e.end_at > ?)),
	coalesce((SELECT e.vendor FROM engagements e WHERE e.person = p.id ORDER BY e.end_at DESC NULLS LAST, e.seq DESC LIMIT 1), '')`

// watched reads guests by a condition on persons p.
func (c *conn) watched(ctx context.Context, now time.Time, where string, args ...any) (list []contractor.WatchedGuest, err error) {
	rows, err := c.query(ctx, `SELECT `+watchedColumns+` FROM persons p WHERE `+where, append([]any{now.UnixMicro()}, args...)...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var g contractor.WatchedGuest
		var closed, invited, end instant
		var live bool
		if err := rows.Scan(&g.Person, &g.Guest, &g.Phase, &closed, &invited, &g.GuestWord, &end, &live, &g.Vendor); err != nil {
			return nil, err
		}
		g.Invited = invited.Time
		if g.Phase == contractor.PhaseClosed || g.Phase == contractor.PhaseGone {
			g.Closed = closed.Time
		}
		if !live {
			g.Ended = end.Time
		}
		list = append(list, g)
	}
	return list, rows.Err()
}

// WatchedGuests finds those of the object ids that are guests of ours, by id.
func (s *Store) WatchedGuests(ctx context.Context, ids []string, now time.Time) (map[string]contractor.WatchedGuest, error) {
	out := map[string]contractor.WatchedGuest{}
	list, err := json.Marshal(ids)
	if err != nil {
		return nil, err
	}
	err = s.short.snapshot(ctx, func(c *conn) error {
		guests, err := c.watched(ctx, now, `p.guest_id <> '' AND p.guest_id IN (SELECT value FROM json_each(?))`, string(list))
		if err != nil {
			return err
		}
		for _, g := range guests {
			if g.Groups, err = c.groupsOf(ctx, g.Person); err != nil {
				return err
			}
			out[g.Guest] = g
		}
		return nil
	})
	return out, failure("find guests", err)
}

// groupsOf lists the groups that a person holds through the bridge.
func (c *conn) groupsOf(ctx context.Context, person string) (ids []string, err error) {
	rows, err := c.query(ctx, `SELECT entitlement FROM holdings WHERE person = ? AND kind = 'group' AND state IN ('held', 'removing')`, person)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// NeverAccepted lists guests who were invited before an instant and have not accepted, the oldest invitation first.
func (s *Store) NeverAccepted(ctx context.Context, before, now time.Time, limit int) (list []contractor.WatchedGuest, err error) {
	err = s.short.with(ctx, func(c *conn) error {
		list, err = c.watched(ctx, now, `p.guest_state = 'PendingAcceptance' AND p.phase = 'open' AND p.invited_at < ? ORDER BY p.invited_at LIMIT ?`, before.UnixMicro(), limit)
		return err
	})
	return list, failure("list guests who did not accept", err)
}

// ClosedSince lists guests whose sign-in was disabled since an instant and who are not deleted, the last closed first.
func (s *Store) ClosedSince(ctx context.Context, since, now time.Time, limit int) (list []contractor.WatchedGuest, err error) {
	err = s.short.with(ctx, func(c *conn) error {
		list, err = c.watched(ctx, now, `p.phase = 'closed' AND p.closed_at >= ? AND p.guest_id <> '' ORDER BY p.closed_at DESC LIMIT ?`, since.UnixMicro(), limit)
		return err
	})
	return list, failure("list guests who were closed", err)
}
