package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"iter"
	"strings"
	"time"

	"scimbridge/internal/contractor"
)

// FindPerson finds a person by its id, its address, the id of one of its engagements or of its guest; CodeNotFound if there is
// none.
func (s *Store) FindPerson(ctx context.Context, key string) (*contractor.Person, error) {
	var id string
	err := s.short.with(ctx, func(c *conn) error {
		return c.row(ctx, `SELECT id FROM (
				SELECT 0 AS rank, id FROM persons WHERE id = ?1
				UNION ALL SELECT 1, id FROM persons WHERE email_key = ?2
				UNION ALL SELECT 2, person FROM engagements WHERE id = ?1 AND person IS NOT NULL
				UNION ALL SELECT 3, id FROM persons WHERE guest_id = ?1 AND guest_id <> ''
				UNION ALL SELECT 4, person FROM person_addresses WHERE email_key = ?2
			) ORDER BY rank LIMIT 1`, []any{strings.TrimSpace(key), contractor.EmailKey(key)}, &id)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, contractor.Errorf(contractor.CodeNotFound, "nobody has the id, address, engagement or guest id %q; list people with: scimbridge contractor list", key)
	}
	if err != nil {
		return nil, failure("find a person", err)
	}
	return s.Person(ctx, id)
}

const (
	defaultPeople = 100
	maxPeople     = 1000
)

// ListPersons lists people, oldest first.
func (s *Store) ListPersons(ctx context.Context, q contractor.PersonQuery) ([]contractor.PersonSummary, error) {
	ctx, cancel := context.WithTimeout(ctx, s.queryTimeout)
	defer cancel()
	var list []contractor.PersonSummary
	err := s.short.snapshot(ctx, func(c *conn) (err error) {
		list, err = listPersons(ctx, c, q)
		for i := range list {
			if err == nil {
				err = summarise(ctx, c, &list[i])
			}
		}
		return err
	})
	return list, failure("list people", err)
}

func listPersons(ctx context.Context, c *conn, q contractor.PersonQuery) (list []contractor.PersonSummary, err error) {
	query, args := personQuery(q)
	rows, err := c.query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		p, err := scanPerson(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, contractor.PersonSummary{Person: *p})
	}
	return list, rows.Err()
}

func personQuery(q contractor.PersonQuery) (string, []any) {
	var b strings.Builder
	var args []any
	b.WriteString(`SELECT ` + personColumns + ` FROM persons p WHERE TRUE`)
	and := func(sql string, values ...any) {
		b.WriteString(" AND " + sql)
		args = append(args, values...)
	}
	if q.After != "" {
		and(`p.seq > (SELECT seq FROM persons WHERE id = ?)`, q.After)
	}
	if q.Phase != "" {
		and(`p.phase = ?`, string(q.Phase))
	}
	if q.Held {
		and(`p.held <> ''`)
	}
	if q.Failing {
		and(`p.failures > 0`)
	}
	if q.Vendor != "" {
		and(`EXISTS (SELECT 1 FROM engagements e WHERE e.person = p.id AND e.vendor = ?)`, q.Vendor)
	}
	if q.Status != "" {
		and(`EXISTS (SELECT 1 FROM engagements e WHERE e.person = p.id AND e.deleted = 0 AND e.status = ?)`, string(q.Status))
	}
	if q.Text != "" {
		text := fold(q.Text)
		and(`(instr(p.email_key, ?) > 0 OR EXISTS (SELECT 1 FROM engagements e WHERE e.person = p.id AND (
				instr(scim_fold(coalesce(e.record ->> 'givenName', '') || ' ' || coalesce(e.record ->> 'familyName', '')), ?) > 0
				OR instr(scim_fold(coalesce(e.record ->> 'displayName', '')), ?) > 0 OR instr(scim_fold(coalesce(e.worker_id, '')), ?) > 0)))`,
			text, text, text, text)
	}
	limit := q.Limit
	if limit <= 0 {
		limit = defaultPeople
	}
	b.WriteString(` ORDER BY p.seq LIMIT ?`)
	return b.String(), append(args, min(limit, maxPeople))
}

// summarise adds what a person's engagements and holdings tell.
func summarise(ctx context.Context, c *conn, s *contractor.PersonSummary) (err error) {
	rows, err := c.query(ctx, `SELECT vendor, deleted, status, end_at, record FROM engagements WHERE person = ? ORDER BY created, seq`, s.Person.ID)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	vendors := make(map[string]bool)
	for rows.Next() {
		var vendor, record string
		var deleted bool
		var status contractor.Status
		var end instant
		if err := rows.Scan(&vendor, &deleted, &status, &end, &record); err != nil {
			return err
		}
		s.Engagements++
		if !vendors[vendor] {
			vendors[vendor] = true
			s.Vendors = append(s.Vendors, vendor)
		}
		if !deleted {
			s.Statuses = append(s.Statuses, status)
		}
		if end.After(s.EndsAt) {
			s.EndsAt = end.Time
		}
		var r contractor.Record
		if err := json.Unmarshal([]byte(record), &r); err != nil {
			return err
		}
		if name := personName(&r); name != "" {
			s.Name = name
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return c.row(ctx, `SELECT count(*) FROM holdings WHERE person = ? AND state <> 'ended'`, []any{s.Person.ID}, &s.Holdings)
}

func personName(r *contractor.Record) string {
	if r.DisplayName != "" {
		return r.DisplayName
	}
	return strings.TrimSpace(r.GivenName + " " + r.FamilyName)
}

// ListEngagements streams engagements in the order in which they came, tombstones and test users included: of one vendor, or of
// all with "". It holds no transaction between chunks, so that what is written meanwhile may be seen or not.
func (s *Store) ListEngagements(ctx context.Context, vendor string) iter.Seq2[contractor.Engagement, error] {
	return func(yield func(contractor.Engagement, error) bool) {
		var seq int64
		for {
			list, err := s.engagementsAfter(ctx, vendor, &seq)
			if err != nil {
				yield(contractor.Engagement{}, failure("list engagements", err))
				return
			}
			for _, e := range list {
				if !yield(e, nil) {
					return
				}
			}
			if len(list) < chunk {
				return
			}
		}
	}
}

// engagementsAfter reads a chunk, and moves the position behind it.
func (s *Store) engagementsAfter(ctx context.Context, vendor string, seq *int64) (list []contractor.Engagement, err error) {
	query := `SELECT ` + engagementColumns + `, e.seq FROM engagements e WHERE e.seq > ?`
	args := []any{*seq}
	if vendor != "" {
		query += ` AND e.vendor = ?`
		args = append(args, vendor)
	}
	err = s.short.with(ctx, func(c *conn) (err error) {
		rows, err := c.query(ctx, query+` ORDER BY e.seq LIMIT ?`, append(args, chunk)...)
		if err != nil {
			return err
		}
		list, err = scanEngagements(rows, true, seq)
		return err
	})
	return list, err
}

// People streams every person with engagements and holdings, oldest first, as Person reads one. A person is read as it stood at
// one instant; two may be read at different ones.
func (s *Store) People(ctx context.Context) iter.Seq2[*contractor.Person, error] {
	return func(yield func(*contractor.Person, error) bool) {
		var after int64
		for {
			people, err := s.peopleAfter(ctx, &after)
			if err != nil {
				yield(nil, failure("list people", err))
				return
			}
			for _, p := range people {
				if !yield(p, nil) {
					return
				}
			}
			if len(people) < chunk {
				return
			}
		}
	}
}

// peopleAfter reads a chunk of people with all their parts in three queries, and moves the position behind it.
func (s *Store) peopleAfter(ctx context.Context, after *int64) (people []*contractor.Person, err error) {
	err = s.short.snapshot(ctx, func(c *conn) error {
		from := *after
		byID := make(map[string]*contractor.Person, chunk)
		if people, err = peopleRows(ctx, c, after, byID); err != nil {
			return err
		}
		rows, err := c.query(ctx, `SELECT `+engagementColumns+` FROM engagements e
			WHERE e.person IN (SELECT id FROM persons WHERE seq > ? AND seq <= ?) ORDER BY e.created, e.seq`, from, *after)
		if err != nil {
			return err
		}
		engagements, err := scanEngagements(rows, true)
		if err != nil {
			return err
		}
		for _, e := range engagements {
			p := byID[e.Person]
			p.Engagements = append(p.Engagements, e)
		}
		if err := holdingRows(ctx, c, from, *after, byID); err != nil {
			return err
		}
		return decisionRows(ctx, c, from, *after, byID)
	})
	return people, err
}

func peopleRows(ctx context.Context, c *conn, after *int64, byID map[string]*contractor.Person) (people []*contractor.Person, err error) {
	rows, err := c.query(ctx, `SELECT `+personColumns+`, p.seq FROM persons p WHERE p.seq > ? ORDER BY p.seq LIMIT ?`, *after, chunk)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		p, err := scanPerson(rows, after)
		if err != nil {
			return nil, err
		}
		people = append(people, p)
		byID[p.ID] = p
	}
	return people, rows.Err()
}

func holdingRows(ctx context.Context, c *conn, from, to int64, byID map[string]*contractor.Person) (err error) {
	rows, err := c.query(ctx, `SELECT `+holdingColumns+`, h.person FROM holdings h
		WHERE h.person IN (SELECT id FROM persons WHERE seq > ? AND seq <= ?) AND h.state <> 'ended' ORDER BY h.id`, from, to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var person string
		h, err := scanHolding(rows, &person)
		if err != nil {
			return err
		}
		byID[person].Holdings = append(byID[person].Holdings, h)
	}
	return rows.Err()
}

// wakeChunk is how many people one transaction wakes, so that other writes get between.
const wakeChunk = 2000

// WakeAll makes everybody due within spread from now, in chunks, and answers how many: a new mapping may mean something for
// anybody. Who is due earlier stays so. A pass that runs meanwhile leaves its person due. A process that dies on the way has
// woken some: whoever calls this records the reason, such as the mapping's revision, only once it is through.
func (s *Store) WakeAll(ctx context.Context, now time.Time, spread time.Duration) (woken int64, err error) {
	var last int64
	err = s.short.with(ctx, func(c *conn) error {
		return c.row(ctx, `SELECT coalesce(max(seq), 0) FROM persons`, nil, &last)
	})
	if err != nil {
		return 0, failure("wake everybody", err)
	}
	for from := int64(0); from < last; from += wakeChunk {
		var n int64
		err := s.write(ctx, "wake everybody", func(t *tx) (err error) {
			// 997 is prime: neighbours come at different times.
			n, err = t.changed(`UPDATE persons SET gen = gen + 1,
					next_at = CASE WHEN next_at < ?1 + (seq % 997) * ?2 / 997 THEN next_at ELSE ?1 + (seq % 997) * ?2 / 997 END
				WHERE seq > ?3 AND seq <= ?4`, now.UnixMicro(), spread.Microseconds(), from, min(from+wakeChunk, last))
			return err
		})
		if err != nil {
			return woken, err
		}
		woken += n
	}
	return woken, nil
}
