package db

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"strings"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// chunk is how many rows a streaming read takes at once. It holds no transaction while its caller works on them: an open one
// would keep the write-ahead log from being emptied.
const chunk = 500

// Journal streams events in order, with their personal fields where those were not erased. It ends with the first error.
func (s *Store) Journal(ctx context.Context, q contractor.JournalQuery) iter.Seq2[audit.Event, error] {
	return func(yield func(audit.Event, error) bool) {
		after, left := q.After, q.Limit
		if q.Descending && after == 0 {
			after = math.MaxInt64
		}
		if left <= 0 {
			left = math.MaxInt
		}
		for left > 0 {
			want := min(left, chunk)
			events, err := s.events(ctx, q, after, want)
			if err != nil {
				yield(audit.Event{}, failure("read the journal", err))
				return
			}
			for _, e := range events {
				if !yield(e, nil) {
					return
				}
				after = e.Seq
			}
			if len(events) < want {
				return
			}
			left -= want
		}
	}
}

func (s *Store) events(ctx context.Context, q contractor.JournalQuery, after int64, limit int) (events []audit.Event, err error) {
	query, args := journalQuery(q, after, limit)
	err = s.short.with(ctx, func(c *conn) (err error) {
		rows, err := c.query(ctx, query, args...)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			var leaf, hash, salt []byte
			var fields sql.NullString
			if err := rows.Scan(&leaf, &hash, &fields, &salt); err != nil {
				return err
			}
			var e audit.Event
			if err := json.Unmarshal(leaf, &e); err != nil {
				return fmt.Errorf("an event cannot be read; check with scimbridge audit verify: %w", err)
			}
			e.Hash = hex.EncodeToString(hash)
			if fields.Valid {
				e.Personal, e.Salt = json.RawMessage(fields.String), salt
			}
			events = append(events, e)
		}
		return rows.Err()
	})
	return events, err
}

func journalQuery(q contractor.JournalQuery, after int64, limit int) (string, []any) {
	var b strings.Builder
	b.WriteString(`SELECT j.leaf, j.hash, p.fields, p.salt FROM journal j LEFT JOIN journal_personal p ON p.seq = j.seq WHERE j.seq `)
	way := ""
	if q.Descending {
		b.WriteString(`< ?`)
		way = " DESC"
	} else {
		b.WriteString(`> ?`)
	}
	args := []any{after}
	and := func(sql string, values ...any) {
		b.WriteString(" AND " + sql)
		args = append(args, values...)
	}
	if !q.From.IsZero() {
		and("j.time >= ?", q.From.UnixMicro())
	}
	if !q.To.IsZero() {
		and("j.time < ?", q.To.UnixMicro())
	}
	if noun, ok := strings.CutSuffix(q.Kind, "."); ok {
		and("j.kind >= ? AND j.kind < ?", q.Kind, noun+"/")
	} else if q.Kind != "" {
		and("j.kind = ?", q.Kind)
	}
	for _, c := range [...]struct{ column, value string }{{"person", q.Person}, {"engagement", q.Engagement}, {"vendor", q.Vendor}} {
		if c.value != "" {
			and("j."+c.column+" = ? AND j."+c.column+" <> ''", c.value)
		}
	}
	b.WriteString(` ORDER BY j.seq` + way + ` LIMIT ?`)
	return b.String(), append(args, limit)
}

// ErasePersonal erases what can name a person for good: the personal fields of the journal's events about it, what its records said before and, once its
// guest is gone and its engagements are deleted, its records and its address. The chain stays whole. It answers how many events
// lost their personal fields.
func (s *Store) ErasePersonal(ctx context.Context, actor audit.Actor, person, reason string) (events int64, err error) {
	err = s.write(ctx, "erase personal data", func(t *tx) error {
		var known, standing int
		err := t.row(`SELECT count(*), count(*) FILTER (WHERE phase NOT IN ('new', 'gone')) FROM persons WHERE id = ?`, []any{person}, &known, &standing)
		if err != nil {
			return err
		}
		if known == 0 {
			return contractor.Errorf(contractor.CodeNotFound, "there is no person %s; list them with: scimbridge contractor list", person)
		}
		if events, err = t.changed(`DELETE FROM journal_personal WHERE person = ?`, person); err != nil {
			return err
		}
		var open int
		if err := t.row(`SELECT count(*) FROM engagements WHERE person = ? AND deleted = 0`, []any{person}, &open); err != nil {
			return err
		}
		if err := t.eraseVersions(person); err != nil {
			return err
		}
		scope := "journal"
		if standing == 0 && open == 0 {
			scope = "journal and records"
			if err := t.eraseRecords(person); err != nil {
				return err
			}
		}
		return t.append(&audit.Event{Kind: "person.erased", Actor: actor, Outcome: audit.Done, Reason: reason, Person: person, Detail: detail("erased", scope)})
	})
	if err != nil {
		return 0, err
	}
	if s.engine == enginePostgres { // its pages and its log are the server's to overwrite
		return events, nil
	}
	// What was overwritten in the file stands in the write-ahead log until that is emptied.
	_, err = s.checks.ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`)
	return events, failure("empty the write-ahead log", err)
}

// eraseRecords leaves of a person and its tombstones what names nobody: ids, dates and states.
func (t *tx) eraseRecords(person string) error {
	for _, erase := range [...]string{
		`DELETE FROM engagement_emails WHERE engagement IN (SELECT seq FROM engagements WHERE person = ?)`,
		`UPDATE engagements SET user_key = 'erased:' || id, external_id = NULL, email_key = NULL, other_keys = NULL, worker_id = NULL,
			record = '{}', resource = '{}', unused = NULL, aliased = NULL WHERE person = ?`,
		`UPDATE persons SET email = '', email_key = 'erased:' || id WHERE id = ?`,
	} {
		if _, err := t.exec(erase, person); err != nil {
			return err
		}
	}
	return nil
}
