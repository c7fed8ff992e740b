package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// QueueNotices notes what sponsors are to be told; what has the key of a notice that there is already, is passed over.
func (s *Store) QueueNotices(ctx context.Context, list []contractor.SponsorNotice) (added int, err error) {
	err = s.write(ctx, "queue notices", func(t *tx) error {
		for i := range list {
			n := &list[i]
			if n.Kind == contractor.NoticeSponsor || n.Kind == contractor.NoticeAttest {
				// A new sponsor is asked anew.
				statement, value := `INSERT INTO sponsorships (person, told) VALUES (?1, ?2) ON CONFLICT (person) DO UPDATE SET told = ?2, asked = NULL`, any(n.Sponsor)
				if n.Kind == contractor.NoticeAttest {
					statement, value = `INSERT INTO sponsorships (person, asked) VALUES (?1, ?2) ON CONFLICT (person) DO UPDATE SET asked = ?2`, t.now.UnixMicro()
				}
				if _, err := t.exec(statement, n.Person, value); err != nil {
					return err
				}
				if n.Key == "" { // noted, and nothing to tell
					continue
				}
			}
			c, err := t.changed(`INSERT INTO notices (key, kind, sponsor, person, engagement, until, words, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING`,
				n.Key, string(n.Kind), n.Sponsor, n.Person, n.Engagement, micros(n.Until), n.Words, t.now.UnixMicro())
			if err != nil {
				return err
			}
			added += int(c)
		}
		return nil
	})
	return added, err
}

// NoticesWaiting lists the sponsors who have something to be told that no mail tells yet and who got no digest that day, at
// most limit.
func (s *Store) NoticesWaiting(ctx context.Context, day string, limit int) (sponsors []string, err error) {
	err = s.short.with(ctx, func(c *conn) (err error) {
		sponsors, err = c.texts(ctx, `SELECT DISTINCT sponsor FROM notices n WHERE mail IS NULL
			AND NOT EXISTS (SELECT 1 FROM mails m WHERE m.sponsor = n.sponsor AND m.day = ?) ORDER BY sponsor LIMIT ?`, day, limit)
		return err
	})
	return sponsors, failure("list waiting notices", err)
}

// maxDigest bounds what one mail tells; the rest waits for the next day's.
const maxDigest = 200

// Digest puts what waits for a sponsor into one mail of the outbox, with a link for each engagement, and journals it, in one
// transaction. newLink makes a link and the hash to store. None if nothing waits or the day has its mail.
func (s *Store) Digest(ctx context.Context, sponsor, day string, newLink func() (contractor.Link, [32]byte)) (made bool, err error) {
	err = s.write(ctx, "make a digest", func(t *tx) error {
		id, err := newID()
		if err != nil {
			return err
		}
		var seq int64
		err = t.row(`INSERT INTO mails (id, sponsor, day, created, state, next_at) SELECT ?1, ?2, ?3, ?4, 'waiting', ?4
			WHERE EXISTS (SELECT 1 FROM notices WHERE sponsor = ?2 AND mail IS NULL) ON CONFLICT (sponsor, day) DO NOTHING RETURNING seq`,
			[]any{id, sponsor, day, t.now.UnixMicro()}, &seq)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		items, err := t.waitingNotices(sponsor)
		if err != nil {
			return err
		}
		for _, n := range items {
			var link any
			if n.engagement != "" {
				l, hash := newLink()
				link = l.ID
				if _, err := t.exec(`INSERT INTO links (id, hash, sponsor, person, engagement, attest, created, expires)
					VALUES (?1, ?2, ?3, ?4, ?5, ?6 OR EXISTS (SELECT 1 FROM blocks WHERE person = ?4 AND by = ?9), ?7, ?8)`,
					l.ID, hash[:], sponsor, n.person, n.engagement, boolean(n.kind == string(contractor.NoticeAttest)), t.now.UnixMicro(), l.Expires.UnixMicro(), byAttestation); err != nil {
					return err
				}
			}
			if _, err := t.exec(`UPDATE notices SET mail = ?, link = ? WHERE seq = ?`, seq, link, n.seq); err != nil {
				return err
			}
		}
		made = true
		return t.append(&audit.Event{
			Kind: "mail.queued", Actor: audit.Actor{Kind: audit.ActorBridge}, Outcome: audit.Intended,
			Reason: fmt.Sprintf("a digest of %d notices for a sponsor", len(items)), Detail: mailDetail(id, sponsor),
		})
	})
	return made, err
}

type waitingNotice struct {
	seq                      int64
	kind, person, engagement string
}

func (t *tx) waitingNotices(sponsor string) (list []waitingNotice, err error) {
	rows, err := t.query(`SELECT seq, kind, person, engagement FROM notices WHERE sponsor = ? AND mail IS NULL ORDER BY until NULLS FIRST, seq LIMIT ?`, sponsor, maxDigest)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var n waitingNotice
		if err := rows.Scan(&n.seq, &n.kind, &n.person, &n.engagement); err != nil {
			return nil, err
		}
		list = append(list, n)
	}
	return list, rows.Err()
}

func mailDetail(id, sponsor string) json.RawMessage {
	b, err := json.Marshal(map[string]string{"mail": id, "sponsor": sponsor})
	if err != nil {
		return nil // strings cannot fail
	}
	return b
}

// MailsDue lists the mails to send now, oldest first: those that wait, and those whose sending was announced longer ago than
// the window and never answered.
func (s *Store) MailsDue(ctx context.Context, now time.Time, limit int) (list []contractor.Mail, err error) {
	err = s.short.with(ctx, func(c *conn) (err error) {
		rows, err := c.query(ctx, `SELECT id, sponsor, day, created, attempts, state = 'sending' FROM mails WHERE next_at IS NOT NULL AND next_at <= ? ORDER BY next_at, seq LIMIT ?`, now.UnixMicro(), limit)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			var m contractor.Mail
			var created instant
			if err := rows.Scan(&m.ID, &m.Sponsor, &m.Day, &created, &m.Attempts, &m.Sending); err != nil {
				return err
			}
			m.Created = created.Time
			list = append(list, m)
		}
		return rows.Err()
	})
	return list, failure("list mails", err)
}

// MailItems reads what a mail tells, with the names of now. Engagements that have ended are left out, except of holds.
func (s *Store) MailItems(ctx context.Context, id string, now time.Time) (list []contractor.NoticeItem, err error) {
	err = s.short.with(ctx, func(c *conn) (err error) {
		rows, err := c.query(ctx, `SELECT n.key, n.kind, n.sponsor, n.person, n.engagement, coalesce(e.end_at, n.until), n.words, coalesce(e.vendor, ''), p.email,
				coalesce(e.record, '{}'), coalesce(l.id, ''), l.expires, l.used, n.until, n.kind = 'attest' AND s.asked IS NULL
			FROM mails m JOIN notices n ON n.mail = m.seq JOIN persons p ON p.id = n.person
			LEFT JOIN engagements e ON e.id = n.engagement LEFT JOIN links l ON l.id = n.link
			LEFT JOIN sponsorships s ON s.person = n.person
			WHERE m.id = ? ORDER BY n.kind, n.until NULLS FIRST, n.seq`, id)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			var n contractor.NoticeItem
			var end, expires, used, until instant
			var record string
			var answered bool
			if err := rows.Scan(&n.Key, &n.Kind, &n.Sponsor, &n.Person, &n.Engagement, &end, &n.Words, &n.Vendor, &n.Email, &record, &n.Link.ID, &expires, &used, &until, &answered); err != nil {
				return err
			}
			var r contractor.Record
			if err := json.Unmarshal([]byte(record), &r); err != nil {
				return fmt.Errorf("the record of engagement %s cannot be read: %w", n.Engagement, err)
			}
			n.Name, n.Until = nameOf(&r, n.Email), end.Time
			if n.Kind == contractor.NoticeAttest {
				n.Until = until.Time
			}
			n.Link.Expires, n.Link.Used = expires.Time, used.Time
			if answered || n.Kind == contractor.NoticeEnding && (!now.Before(n.Until) || !until.Equal(n.Until)) {
				continue // ended meanwhile, or moved: another notice tells that
			}
			list = append(list, n)
		}
		return rows.Err()
	})
	return list, failure("read a mail", err)
}

// nameOf is how a mail and a page call a contractor.
func nameOf(r *contractor.Record, email string) string {
	switch {
	case r.DisplayName != "":
		return r.DisplayName
	case r.GivenName != "" || r.FamilyName != "":
		if r.GivenName == "" || r.FamilyName == "" {
			return r.GivenName + r.FamilyName
		}
		return r.GivenName + " " + r.FamilyName
	}
	return email
}

// MailSending announces that a mail is about to leave, before it does: after a crash it is not sent again until the window is
// over. stale: somebody else announced it first.
func (s *Store) MailSending(ctx context.Context, m contractor.Mail, now time.Time, window time.Duration) error {
	return s.write(ctx, "announce a mail", func(t *tx) error {
		n, err := t.changed(`UPDATE mails SET state = 'sending', attempts = attempts + 1, next_at = ? WHERE id = ? AND attempts = ? AND state IN ('waiting', 'sending')`,
			now.Add(window).UnixMicro(), m.ID, m.Attempts)
		if err == nil && n == 0 {
			return contractor.ErrStale
		}
		return err
	})
}

// MailSent notes that the server has taken a mail, with its event. requestID is Graph's, "" for SMTP.
func (s *Store) MailSent(ctx context.Context, m contractor.Mail, requestID string) error {
	return s.write(ctx, "note that a mail was sent", func(t *tx) error {
		n, err := t.changed(`UPDATE mails SET state = 'sent', sent = ?, next_at = NULL, error = '' WHERE id = ? AND state = 'sending'`, t.now.UnixMicro(), m.ID)
		if err != nil || n == 0 {
			return err
		}
		return t.append(&audit.Event{
			Kind: "mail.sent", Actor: audit.Actor{Kind: audit.ActorBridge}, Outcome: audit.Done, Reason: "the mail server took the digest for a sponsor",
			RequestID: requestID, Detail: mailDetail(m.ID, m.Sponsor),
		})
	})
}

// MailFailed notes why a mail was not sent, and when it is tried again; zero: never, which is journaled.
func (s *Store) MailFailed(ctx context.Context, m contractor.Mail, next time.Time, why string) error {
	return s.write(ctx, "note that a mail was not sent", func(t *tx) error {
		state := "waiting"
		if next.IsZero() {
			state = "failed"
		}
		n, err := t.changed(`UPDATE mails SET state = ?, next_at = ?, error = ? WHERE id = ? AND state IN ('waiting', 'sending')`, state, micros(next), why, m.ID)
		if err != nil || n == 0 || !next.IsZero() {
			return err
		}
		return t.append(&audit.Event{
			Kind: "mail.failed", Actor: audit.Actor{Kind: audit.ActorBridge}, Outcome: audit.Failed, Reason: why, Detail: mailDetail(m.ID, m.Sponsor),
		})
	})
}

// MailDoubtful gives up a mail of which it is not known whether it left: it is not sent again, and what it told waits for the sponsor's
// next digest.
func (s *Store) MailDoubtful(ctx context.Context, m contractor.Mail, why string) error {
	return s.write(ctx, "give up a mail in doubt", func(t *tx) error {
		n, err := t.changed(`UPDATE mails SET state = 'failed', next_at = NULL, error = ? WHERE id = ? AND state = 'sending'`, why, m.ID)
		if err != nil || n == 0 {
			return err
		}
		if _, err := t.exec(`UPDATE notices SET mail = NULL, link = NULL WHERE mail = (SELECT seq FROM mails WHERE id = ?)`, m.ID); err != nil {
			return err
		}
		return t.append(&audit.Event{
			Kind: "mail.doubtful", Actor: audit.Actor{Kind: audit.ActorBridge}, Outcome: audit.Failed, Reason: why, Detail: mailDetail(m.ID, m.Sponsor),
		})
	})
}

// MailCounts counts the outbox by state.
func (s *Store) MailCounts(ctx context.Context) (counts map[string]int, err error) {
	counts = map[string]int{}
	err = s.short.with(ctx, func(c *conn) (err error) {
		rows, err := c.query(ctx, `SELECT state, count(*) FROM mails GROUP BY state`)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			var state string
			var n int
			if err := rows.Scan(&state, &n); err != nil {
				return err
			}
			counts[state] = n
		}
		return rows.Err()
	})
	return counts, failure("count mails", err)
}
