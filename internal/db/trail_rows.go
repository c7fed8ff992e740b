package db

import (
	"context"
	"database/sql"
	"errors"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// journalRows reads the events first to last as they are stored, in order. The row that each is given is good until it returns.
func (s *Store) journalRows(ctx context.Context, first, last int64, each func(*audit.Row) error) (err error) {
	// A connection of its own: this is a long read, and the short ones must not wait for it.
	rows, err := s.reads.QueryContext(ctx, `SELECT j.seq, j.time, j.kind, j.person, j.engagement, j.vendor, j.hash, j.leaf, p.fields, p.salt
		FROM journal j LEFT JOIN journal_personal p ON p.seq = j.seq WHERE j.seq BETWEEN ? AND ? ORDER BY j.seq`, first, last)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	if err := s.short.settle(ctx); err != nil { // the first row is read: what follows is no younger
		return err
	}
	var r audit.Row
	var kind, person, engagement, vendor, hash, leaf, fields, salt sql.RawBytes
	for rows.Next() {
		if err := rows.Scan(&r.Seq, &r.Time, &kind, &person, &engagement, &vendor, &hash, &leaf, &fields, &salt); err != nil {
			return err
		}
		r.Kind, r.Person, r.Engagement, r.Vendor, r.Hash, r.Leaf, r.Personal, r.Salt = kind, person, engagement, vendor, hash, leaf, fields, salt
		if err := each(&r); err != nil {
			return err
		}
	}
	return rows.Err()
}

// journalRow reads one event as it is stored, and keeps it. CodeNotFound says where it is if it was archived.
func (s *Store) journalRow(ctx context.Context, seq int64) (*audit.Row, error) {
	var r audit.Row
	err := s.short.with(ctx, func(c *conn) error {
		return c.row(ctx, `SELECT j.seq, j.time, j.kind, j.person, j.engagement, j.vendor, j.hash, j.leaf, p.fields, p.salt
			FROM journal j LEFT JOIN journal_personal p ON p.seq = j.seq WHERE j.seq = ?`, []any{seq},
			&r.Seq, &r.Time, &r.Kind, &r.Person, &r.Engagement, &r.Vendor, &r.Hash, &r.Leaf, &r.Personal, &r.Salt)
	})
	if !errors.Is(err, sql.ErrNoRows) {
		return &r, err
	}
	archives, err := s.Archives(ctx)
	if err != nil {
		return nil, err
	}
	for _, a := range archives {
		if a.First <= seq && seq <= a.Last {
			return nil, contractor.Errorf(contractor.CodeNotFound, "event %d was archived into %s; read it there, and check that with scimbridge audit check-proof", seq, a.File)
		}
	}
	return nil, contractor.Errorf(contractor.CodeNotFound, "there is no event %d; list them with: scimbridge audit tail", seq)
}

// bounds are the numbers of the oldest and of the youngest stored event, both 0 if there is none.
func (s *Store) bounds(ctx context.Context) (first, last int64, err error) {
	err = s.short.with(ctx, func(c *conn) error {
		return c.row(ctx, `SELECT coalesce((SELECT min(seq) FROM journal), 0), coalesce((SELECT max(seq) FROM journal), 0)`, nil, &first, &last)
	})
	return first, last, err
}
