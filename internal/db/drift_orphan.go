package db

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// Explain says what the store knows of guests by their object ids: the person that has it, or why it is left alone.
func (s *Store) Explain(ctx context.Context, guests []string) (known map[string]contractor.GuestNote, err error) {
	known = make(map[string]contractor.GuestNote, len(guests))
	err = s.short.snapshot(ctx, func(c *conn) error {
		for _, id := range guests {
			id = strings.ToLower(id)
			var n contractor.GuestNote
			err := c.row(ctx, `SELECT id, phase FROM persons WHERE guest_id = ? AND guest_id <> ''`, []any{id}, &n.Person, &n.Phase)
			if errors.Is(err, sql.ErrNoRows) {
				err = c.row(ctx, `SELECT reason || ' (' || by || ')' FROM orphans_ignored WHERE guest = ?`, []any{id}, &n.Ignored)
			}
			switch {
			case err == nil:
				known[id] = n
			case !errors.Is(err, sql.ErrNoRows):
				return err
			}
		}
		return nil
	})
	return known, failure("explain guests", err)
}

// Candidate is the person whom a guest's addresses belong to, and that has no guest yet: who could adopt it; "" if none.
func (s *Store) Candidate(ctx context.Context, addresses []string) (person string, err error) {
	err = s.short.with(ctx, func(c *conn) error {
		for _, a := range addresses {
			err := c.row(ctx, `SELECT id FROM persons WHERE email_key = ? AND guest_id = ''`, []any{contractor.EmailKey(a)}, &person)
			if !errors.Is(err, sql.ErrNoRows) {
				return err
			}
		}
		return nil
	})
	return person, failure("find who may adopt a guest", err)
}

// IgnoreOrphan notes that a guest without a record was looked at and is left alone; with ignore false, that it is not any more.
func (s *Store) IgnoreOrphan(ctx context.Context, actor audit.Actor, guest, reason string, ignore bool) error {
	guest = strings.ToLower(strings.TrimSpace(guest))
	if reason == "" || guest == "" {
		return contractor.Errorf(contractor.CodeInvalid, "name the guest by its object id, and give a reason")
	}
	return s.write(ctx, "leave a guest alone", func(t *tx) error {
		kind, query, args := "orphan.noticed", `DELETE FROM orphans_ignored WHERE guest = ?`, []any{guest}
		if ignore {
			kind = "orphan.ignored"
			query = `INSERT INTO orphans_ignored (guest, at, by, reason) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (guest) DO UPDATE SET at = ?2, by = ?3, reason = ?4`
			args = append(args, t.now.UnixMicro(), string(actor.Kind)+" "+actor.Name, reason)
		}
		if _, err := t.exec(query, args...); err != nil {
			return err
		}
		return t.append(&audit.Event{Kind: kind, Actor: actor, Outcome: audit.Done, Reason: reason, Detail: detail("guest", guest)})
	})
}
