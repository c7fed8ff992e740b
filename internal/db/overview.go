package db

import (
	"context"
	"errors"
	"iter"
	"strings"
	"sync"
	"time"

	"scimbridge/internal/contractor"
)

// maxDueCounted bounds how many people that are due are counted.
const maxDueCounted = 10_000

// statsCache keeps the counts over whole tables, which cost a walk of an index each.
type statsCache struct {
	mu      sync.Mutex
	counts  contractor.Stats
	counted time.Time // when; zero: never
	version string    // of the database, as the connection saw it
	conn    *conn     // data_version compares what one connection saw
}

// Stats answers the state of the store in figures. What is due is always fresh. Counts over whole tables may be as old as maxAge,
// or older if nothing was written since: asking often costs an idle store nothing.
func (s *Store) Stats(ctx context.Context, now time.Time, maxAge time.Duration) (contractor.Stats, error) {
	s.stats.mu.Lock()
	defer s.stats.mu.Unlock()
	if err := s.stats.refresh(ctx, s, now, maxAge); err != nil {
		return contractor.Stats{}, failure("count", err)
	}
	stats := s.stats.counts
	stats.At = now
	err := s.short.snapshot(ctx, func(c *conn) error { return dueStats(ctx, c, now, &stats) })
	return stats, failure("count", err)
}

func (k *statsCache) refresh(ctx context.Context, s *Store, now time.Time, maxAge time.Duration) (err error) {
	age := now.Sub(k.counted)
	if !k.counted.IsZero() && age >= 0 && age < maxAge {
		return nil
	}
	if k.conn != nil && !k.conn.usable() {
		_ = k.conn.close() // it is gone already
		k.conn = nil
	}
	if k.conn == nil {
		if k.conn, err = openConn(ctx, s.reads); err != nil {
			return err
		}
	}
	// A failed or cancelled query may leave the connection unusable.
	defer func() {
		if err != nil {
			err = errors.Join(err, k.conn.close())
			k.conn = nil
		}
	}()
	var version string
	if version, err = k.conn.changes(ctx); err != nil {
		return err
	}
	if !k.counted.IsZero() && version == k.version {
		return nil
	}
	counts, err := countAll(ctx, k.conn)
	if err != nil {
		return err
	}
	k.counts, k.counted, k.version = counts, now, version
	return nil
}

// changes differs from an earlier answer where something was written meanwhile.
func (c *conn) changes(ctx context.Context) (version string, err error) {
	if c.pg != nil { // of all transactions of the server, which those that run are
		err = c.row(ctx, `SELECT pg_current_snapshot()::text`, nil, &version)
	} else {
		err = c.row(ctx, `PRAGMA data_version`, nil, &version)
	}
	return version, err
}

func (k *statsCache) close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.conn == nil {
		return nil
	}
	return k.conn.close()
}

func countAll(ctx context.Context, c *conn) (contractor.Stats, error) {
	s := contractor.Stats{
		Phases: make(map[contractor.Phase]int), Statuses: make(map[contractor.Status]int), Holdings: make(map[contractor.Mechanism]int),
	}
	for _, group := range [...]struct {
		query string
		put   func(name string, n int)
	}{
		{`SELECT phase, count(*) FROM persons GROUP BY phase`, func(name string, n int) {
			s.Phases[contractor.Phase(name)] = n
			s.People += n
		}},
		{`SELECT status, count(*) FROM engagements WHERE deleted = 0 GROUP BY status`, func(name string, n int) { s.Statuses[contractor.Status(name)] = n }},
		{`SELECT mechanism, count(*) FROM holdings WHERE state <> 'ended' GROUP BY mechanism`, func(name string, n int) { s.Holdings[contractor.Mechanism(name)] = n }},
	} {
		if err := countGroups(ctx, c, group.query, group.put); err != nil {
			return s, err
		}
	}
	err := c.row(ctx, `SELECT (SELECT count(*) FROM persons WHERE held <> ''), (SELECT count(*) FROM persons WHERE failures > 0),
			coalesce(sum(total), 0), coalesce(sum(live), 0), (SELECT coalesce(max(seq), 0) FROM journal) FROM vendors`, nil,
		&s.Held, &s.Failing, &s.Engagements, &s.Live, &s.Journal)
	return s, err
}

func countGroups(ctx context.Context, c *conn, query string, put func(string, int)) (err error) {
	rows, err := c.query(ctx, query)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var name string
		var n int
		if err := rows.Scan(&name, &n); err != nil {
			return err
		}
		put(name, n)
	}
	return rows.Err()
}

// dueStats adds what is due and what ends next, all by index.
func dueStats(ctx context.Context, c *conn, now time.Time, s *contractor.Stats) (err error) {
	var oldest, next instant
	err = c.row(ctx, `SELECT
			(SELECT count(*) FROM (SELECT 1 FROM persons WHERE urgent = 1 AND next_at <= ?1 LIMIT ?2))
				+ (SELECT count(*) FROM (SELECT 1 FROM persons WHERE urgent = 0 AND next_at <= ?1 LIMIT ?2)),
			(SELECT min(next_at) FROM (SELECT min(next_at) AS next_at FROM persons WHERE urgent = 1 AND next_at <= ?1
				UNION ALL SELECT min(next_at) FROM persons WHERE urgent = 0 AND next_at <= ?1)),
			(SELECT min(next_at) FROM (SELECT min(next_at) AS next_at FROM persons WHERE urgent = 1 AND next_at > ?1
				UNION ALL SELECT min(next_at) FROM persons WHERE urgent = 0 AND next_at > ?1))`,
		[]any{now.UnixMicro(), maxDueCounted}, &s.Due, &oldest, &next)
	if err != nil {
		return err
	}
	s.Due = min(s.Due, maxDueCounted)
	s.OldestDue, s.NextDue = oldest.Time, next.Time
	rows, err := c.query(ctx, `SELECT coalesce(person, ''), id, vendor, end_at FROM engagements
		WHERE end_at > ? AND status NOT IN ('offboarding', 'removed') ORDER BY end_at LIMIT 10`, now.UnixMicro())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	s.NextEnds = nil
	for rows.Next() {
		var e contractor.NextEnd
		var end instant
		if err := rows.Scan(&e.Person, &e.Engagement, &e.Vendor, &end); err != nil {
			return err
		}
		e.EndsAt = end.Time
		s.NextEnds = append(s.NextEnds, e)
	}
	return rows.Err()
}

// HoldingsAt streams who held what at an instant: holdings that were granted by then and not seen gone. Their ends and rules are
// those last written; how they stood at the instant is in the journal.
func (s *Store) HoldingsAt(ctx context.Context, q contractor.HoldingQuery) iter.Seq2[contractor.HoldingAt, error] {
	return func(yield func(contractor.HoldingAt, error) bool) {
		var after int64
		for {
			list, err := s.holdingsAfter(ctx, q, after)
			if err != nil {
				yield(contractor.HoldingAt{}, failure("list holdings", err))
				return
			}
			for _, h := range list {
				if !yield(h, nil) {
					return
				}
				after = h.Holding.ID
			}
			if len(list) < chunk {
				return
			}
		}
	}
}

func (s *Store) holdingsAfter(ctx context.Context, q contractor.HoldingQuery, after int64) (list []contractor.HoldingAt, err error) {
	var b strings.Builder
	b.WriteString(`SELECT ` + holdingColumns + `, h.person, p.email, p.sponsor_id FROM holdings h JOIN persons p ON p.id = h.person
		WHERE h.id > ? AND h.since IS NOT NULL AND h.since <= ? AND (h.ended_at IS NULL OR h.ended_at > ?)`)
	args := []any{after, q.At.UnixMicro(), q.At.UnixMicro()}
	for _, c := range [...]struct{ column, value string }{
		{"person", q.Person}, {"kind", string(q.Key.Kind)}, {"entitlement", q.Key.ID}, {"vendor", q.Vendor},
	} {
		if c.value != "" {
			b.WriteString(" AND h." + c.column + " = ?")
			args = append(args, c.value)
		}
	}
	err = s.short.with(ctx, func(c *conn) (err error) {
		rows, err := c.query(ctx, b.String()+` ORDER BY h.id LIMIT ?`, append(args, chunk)...)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			var at contractor.HoldingAt
			if at.Holding, err = scanHolding(rows, &at.Person, &at.Email, &at.SponsorID); err != nil {
				return err
			}
			list = append(list, at)
		}
		return rows.Err()
	})
	return list, err
}
