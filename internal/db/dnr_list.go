package db

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// noRehireSalt is the setting that holds the list's salt. It is made with the first entry and never changes: a new one would
// make every entry unfindable.
const noRehireSalt = "dnr.salt"

// noRehireHash is what is kept of a key. The salt keeps two installations' lists from being compared, and one list from being
// looked up in a table made beforehand; who holds the database can still try addresses one by one.
func noRehireHash(salt []byte, k contractor.NoRehireKey) []byte {
	m := hmac.New(sha256.New, salt)
	_, _ = fmt.Fprintf(m, "%s\x00%s\x00%s", k.Kind, k.Vendor, k.Value)
	return m.Sum(nil)
}

// AddNoRehire puts keys on the do-not-rehire list, and makes due whom they are about. It answers the new entries; those that are
// on the list already are left out.
func (s *Store) AddNoRehire(ctx context.Context, actor audit.Actor, keys []contractor.NoRehireKey, reason string) (added []contractor.NoRehire, err error) {
	if reason == "" || len(keys) == 0 {
		return nil, contractor.Errorf(contractor.CodeInvalid, "an entry needs an address or an id, and a reason")
	}
	err = s.write(ctx, "add to the do-not-rehire list", func(t *tx) error {
		added = nil
		salt, err := t.salt()
		if err != nil {
			return err
		}
		for _, k := range keys {
			n := contractor.NoRehire{Kind: k.Kind, Vendor: k.Vendor, At: t.now, By: string(actor.Kind) + " " + actor.Name, Reason: reason}
			err := t.row(`INSERT INTO do_not_rehire (kind, vendor, hash, at, by, reason) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (hash) DO NOTHING RETURNING id`,
				[]any{k.Kind, k.Vendor, noRehireHash(salt, k), n.At.UnixMicro(), n.By, reason}, &n.ID)
			if errors.Is(err, sql.ErrNoRows) {
				continue
			}
			if err != nil {
				return err
			}
			added = append(added, n)
			if err := t.touchAbout(k); err != nil {
				return err
			}
			err = t.append(&audit.Event{Kind: "dnr.added", Actor: actor, Outcome: audit.Done, Vendor: k.Vendor, Reason: reason, Detail: noRehireDetail(n)})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return added, err
}

func noRehireDetail(n contractor.NoRehire) []byte {
	return fmt.Appendf(nil, `{"entry":%d,"kind":%q}`, n.ID, n.Kind)
}

func (t *tx) salt() ([]byte, error) {
	var salt []byte
	err := t.row(`SELECT value FROM settings WHERE key = ?`, []any{noRehireSalt}, &salt)
	if !errors.Is(err, sql.ErrNoRows) {
		return salt, err
	}
	salt = make([]byte, 32)
	if _, err := rand.Read(salt); err != nil {
		return nil, err
	}
	_, err = t.exec(`INSERT INTO settings (key, value, changed) VALUES (?, ?, ?)`, noRehireSalt, salt, t.now.UnixMicro())
	return salt, err
}

// touchAbout makes those due whom a key is about.
func (t *tx) touchAbout(k contractor.NoRehireKey) error {
	where, args := `id IN (SELECT id FROM persons WHERE email_key = ?3 UNION SELECT e.person FROM engagement_emails m
		JOIN engagements e ON e.seq = m.engagement WHERE m.email_key = ?3)`, []any{k.Value}
	switch k.Kind {
	case contractor.NoRehirePersonID:
		where, args = `id IN (SELECT person FROM engagements WHERE vendor = ?3 AND record ->> 'personId' = ?4)`, []any{k.Vendor, k.Value}
	case contractor.NoRehireSecurityID:
		where = `id IN (SELECT person FROM engagements WHERE record ->> 'securityId' = ?3)`
	}
	_, err := t.exec(touchStatement+` WHERE `+where, append([]any{t.now.UnixMicro(), 0}, args...)...)
	return err
}

// RemoveNoRehire takes an entry off the list. Everybody who is held is looked at again: the list does not say whom it was about.
func (s *Store) RemoveNoRehire(ctx context.Context, actor audit.Actor, id int64, reason string) error {
	return s.write(ctx, "remove from the do-not-rehire list", func(t *tx) error {
		var n contractor.NoRehire
		err := t.row(`DELETE FROM do_not_rehire WHERE id = ? RETURNING id, kind`, []any{id}, &n.ID, &n.Kind)
		if errors.Is(err, sql.ErrNoRows) {
			return contractor.Errorf(contractor.CodeNotFound, "the do-not-rehire list has no entry %d; scimbridge dnr list shows it", id)
		}
		if err != nil {
			return err
		}
		if _, err := t.exec(touchStatement+` WHERE held <> ''`, t.now.UnixMicro(), 0); err != nil {
			return err
		}
		return t.append(&audit.Event{Kind: "dnr.removed", Actor: actor, Outcome: audit.Done, Reason: reason, Detail: noRehireDetail(n)})
	})
}

// NoRehires lists the do-not-rehire list, oldest first.
func (s *Store) NoRehires(ctx context.Context) (list []contractor.NoRehire, err error) {
	err = s.short.with(ctx, func(c *conn) (err error) {
		rows, err := c.query(ctx, `SELECT id, kind, vendor, at, by, reason FROM do_not_rehire ORDER BY id`)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			var n contractor.NoRehire
			var at instant
			if err := rows.Scan(&n.ID, &n.Kind, &n.Vendor, &at, &n.By, &n.Reason); err != nil {
				return err
			}
			n.At = at.Time
			list = append(list, n)
		}
		return rows.Err()
	})
	return list, failure("list the do-not-rehire list", err)
}

// OverrideNoRehire lets one person come back although the list has it.
func (s *Store) OverrideNoRehire(ctx context.Context, actor audit.Actor, person, reason string) error {
	return s.write(ctx, "override the do-not-rehire list", func(t *tx) error {
		_, err := t.exec(`INSERT INTO rehire_overrides (person, at, by, reason) SELECT id, ?2, ?3, ?4 FROM persons WHERE id = ?1
			ON CONFLICT (person) DO UPDATE SET at = ?2, by = ?3, reason = ?4`, person, t.now.UnixMicro(), string(actor.Kind)+" "+actor.Name, reason)
		if err != nil {
			return err
		}
		if err := t.touch(person, t.now, false); err != nil {
			return err
		}
		return t.append(&audit.Event{Kind: "dnr.overridden", Actor: actor, Outcome: audit.Done, Person: person, Reason: reason})
	})
}

// noRehire says why a person is on the list, "" if it is not, or may come back all the same.
func noRehire(ctx context.Context, c *conn, p *contractor.Person) (string, error) {
	var salt []byte
	err := c.row(ctx, `SELECT value FROM settings WHERE key = ?`, []any{noRehireSalt}, &salt)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	for _, k := range contractor.NoRehireKeys(p) {
		var entry int64
		var reason string
		err := c.row(ctx, `SELECT id, reason FROM do_not_rehire WHERE hash = ? AND NOT EXISTS (SELECT 1 FROM rehire_overrides WHERE person = ?)`,
			[]any{noRehireHash(salt, k), p.ID}, &entry, &reason)
		if err == nil {
			return fmt.Sprintf("entry %d of the do-not-rehire list has this %s: %s", entry, k.Kind, reason), nil
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return "", err
		}
	}
	return "", nil
}
