package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"scimbridge/internal/contractor"
)

// Identity implements lifecycle.Store: who else may be the same human, and whether the person is on the do-not-rehire list. It is
// asked at every pass of somebody who is to have access: every part is a look-up by index.
func (s *Store) Identity(ctx context.Context, p *contractor.Person) (id contractor.Identity, err error) {
	err = s.short.snapshot(ctx, func(c *conn) error {
		if id.Matches, err = matches(ctx, c, p); err != nil {
			return err
		}
		id.NoRehire, err = noRehire(ctx, c, p)
		return err
	})
	return id, failure("look for the same person", err)
}

// found collects hints by person.
type found map[string][]contractor.Hint

func (f found) add(person string, h contractor.Hint) {
	if !slices.Contains(f[person], h) {
		f[person] = append(f[person], h)
	}
}

func matches(ctx context.Context, c *conn, p *contractor.Person) ([]contractor.Match, error) {
	f := found{}
	ours := []string{p.EmailKey}
	var further []string
	for i := range p.Engagements {
		e := &p.Engagements[i]
		if e.Deleted {
			continue
		}
		ours = append(ours, contractor.EmailKey(e.Record.Email))
		for _, other := range e.Record.OtherEmails {
			further = append(further, contractor.EmailKey(other))
		}
		if e.Record.PersonID != "" {
			err := f.collect(ctx, c, contractor.HintPersonID, p.ID,
				`SELECT DISTINCT person FROM engagements WHERE vendor = ? AND record ->> 'personId' = ? AND person IS NOT NULL`, e.Vendor, e.Record.PersonID)
			if err != nil {
				return nil, err
			}
		}
		if e.Record.SecurityID != "" {
			err := f.collect(ctx, c, contractor.HintSecurityID, p.ID,
				`SELECT DISTINCT person FROM engagements WHERE record ->> 'securityId' = ? AND person IS NOT NULL`, e.Record.SecurityID)
			if err != nil {
				return nil, err
			}
		}
	}
	for _, look := range []struct {
		hint  contractor.Hint
		keys  []string
		query string
	}{
		{contractor.HintOurs, further, `SELECT id FROM persons WHERE email_key IN (SELECT value FROM json_each(?))
			UNION SELECT person FROM person_addresses WHERE email_key IN (SELECT value FROM json_each(?1))`},
		{contractor.HintTheirs, ours, theyNamed},
		{contractor.HintShared, further, theyNamed},
	} {
		if len(look.keys) == 0 {
			continue
		}
		list, err := json.Marshal(look.keys)
		if err != nil {
			return nil, err
		}
		if err := f.collect(ctx, c, look.hint, p.ID, look.query, string(list)); err != nil {
			return nil, err
		}
	}
	return f.matches(ctx, c, p.ID)
}

// theyNamed finds people by the further addresses of their engagements.
const theyNamed = `SELECT DISTINCT e.person FROM engagement_emails m JOIN engagements e ON e.seq = m.engagement
	WHERE m.email_key IN (SELECT value FROM json_each(?)) AND e.deleted = 0 AND e.person IS NOT NULL`

func (f found) collect(ctx context.Context, c *conn, h contractor.Hint, self, query string, args ...any) (err error) {
	rows, err := c.query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var person string
		if err := rows.Scan(&person); err != nil {
			return err
		}
		if person != self {
			f.add(person, h)
		}
	}
	return rows.Err()
}

// matches drops those that somebody found to be two, and says who was there first.
func (f found) matches(ctx context.Context, c *conn, self string) (list []contractor.Match, err error) {
	type row struct {
		contractor.Match
		seq int64
	}
	var all []row
	for person, hints := range f {
		one, other := inOrder(self, person)
		r := row{Match: contractor.Match{Person: person, Hints: hints}}
		var apart bool
		err := c.row(ctx, `SELECT p.seq, p.seq < (SELECT seq FROM persons WHERE id = ?2),
				EXISTS (SELECT 1 FROM persons_apart WHERE one = ?3 AND other = ?4),
				NOT EXISTS (SELECT 1 FROM engagements e WHERE e.person = p.id AND `+liveEngagement+`)
			FROM persons p WHERE p.id = ?1`, []any{person, self, one, other}, &r.seq, &r.Older, &apart, &r.HasLeft)
		if errors.Is(err, sql.ErrNoRows) || err == nil && apart {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b row) int { return int(a.seq - b.seq) })
	for _, r := range all {
		list = append(list, r.Match)
	}
	return list, nil
}

// liveEngagement is isLive in SQL, of the row e.
const liveEngagement = `e.deleted = 0 AND e.ended_at IS NULL AND e.status NOT IN ('offboarding', 'removed')`

func inOrder(a, b string) (one, other string) {
	if strings.Compare(a, b) < 0 {
		return a, b
	}
	return b, a
}
