package db

import (
	"context"
	"database/sql"
	"errors"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// MergePersons makes one of two records of one human, and answers which person is left. It is keep, unless only the other has a
// guest: that guest must stay. A guest of the one that goes, where both have one, is closed and in the end deleted by the loop.
// Later records with either address reach the person that is left.
func (s *Store) MergePersons(ctx context.Context, actor audit.Actor, keep, other, reason string) (left string, err error) {
	if reason == "" || keep == other {
		return "", contractor.Errorf(contractor.CodeInvalid, "a merge needs two people and a reason")
	}
	err = s.write(ctx, "merge two people", func(t *tx) (err error) {
		a, err := t.mergeSide(keep)
		if err != nil {
			return err
		}
		b, err := t.mergeSide(other)
		if err != nil {
			return err
		}
		if a.guest == "" && b.guest != "" {
			a, b = b, a
		}
		left = a.id
		return t.merge(actor, a, b, reason)
	})
	return left, err
}

type mergeSide struct {
	id, email, key, guest string
	live                  int
}

func (t *tx) mergeSide(id string) (m mergeSide, err error) {
	err = t.row(`SELECT id, email, email_key, guest_id, (SELECT count(*) FROM engagements e WHERE e.person = p.id AND `+liveEngagement+`)
		FROM persons p WHERE id = ? AND email_key NOT LIKE 'merged:%'`, []any{id}, &m.id, &m.email, &m.key, &m.guest, &m.live)
	if errors.Is(err, sql.ErrNoRows) {
		err = contractor.Errorf(contractor.CodeNotFound, "there is no person %s, or it was merged already; list them with: scimbridge contractor list", id)
	}
	return m, err
}

// merge gives everything of b to a. The row of b stays for the loop, which takes down what b has in Entra, and for the journal.
func (t *tx) merge(actor audit.Actor, a, b mergeSide, reason string) error {
	now, by := t.now.UnixMicro(), string(actor.Kind)+" "+actor.Name
	email, key, alias := a.email, a.key, b.key
	if a.live == 0 && b.live > 0 { // the address that is used now is the person's
		email, key, alias = b.email, b.key, a.key
	}
	for _, step := range []struct {
		query string
		args  []any
	}{
		{`UPDATE engagement_versions SET person = ?1 WHERE person = ?2 AND engagement IN (SELECT seq FROM engagements WHERE person = ?2)`, []any{a.id, b.id}},
		{`UPDATE engagements SET person = ?1 WHERE person = ?2`, []any{a.id, b.id}},
		{`UPDATE persons SET email_key = 'merged:' || id, rev = rev + 1 WHERE id = ?`, []any{b.id}},
		{`UPDATE persons SET email = ?2, email_key = ?3, rev = rev + 1 WHERE id = ?1`, []any{a.id, email, key}},
		{`UPDATE person_addresses SET person = ?1 WHERE person = ?2`, []any{a.id, b.id}},
		{`INSERT INTO person_addresses (email_key, person, at, by, reason) VALUES (?1, ?2, ?3, ?4, ?5)
			ON CONFLICT (email_key) DO UPDATE SET person = ?2, at = ?3, by = ?4, reason = ?5`, []any{alias, a.id, now, by, reason}},
		{`DELETE FROM person_addresses WHERE email_key = ?`, []any{key}},
		// An emergency stop is about the human.
		{`INSERT INTO blocks (person, at, by, reason) SELECT ?1, at, by, reason FROM blocks WHERE person = ?2 ON CONFLICT (person) DO NOTHING`, []any{a.id, b.id}},
	} {
		if _, err := t.exec(step.query, step.args...); err != nil {
			return err
		}
	}
	if key != a.key && a.guest != "" {
		if err := t.addressChanged(a.id, a.email); err != nil {
			return err
		}
	}
	for _, id := range []string{a.id, b.id} {
		if err := t.touch(id, t.now, false); err != nil {
			return err
		}
	}
	for _, e := range []audit.Event{
		{Kind: "person.merged", Person: a.id, Detail: detail("with", b.id)},
		{Kind: "person.merged_away", Person: b.id, Detail: detail("into", a.id)},
	} {
		e.Actor, e.Outcome, e.Reason = actor, audit.Done, reason
		if err := t.append(&e); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) addressChanged(person, former string) error {
	_, err := t.exec(`INSERT INTO address_changes (person, former, at) VALUES (?, ?, ?) ON CONFLICT (person) DO NOTHING`, person, former, t.now.UnixMicro())
	return err
}

// SplitEngagement says that an engagement is of another human than it was taken for. One that came to its person by a further
// address gets the person of its own address; one that waits because it may be somebody else's is let through. It answers the
// engagement's person.
func (s *Store) SplitEngagement(ctx context.Context, actor audit.Actor, engagement, reason string) (person string, err error) {
	if reason == "" {
		return "", contractor.Errorf(contractor.CodeInvalid, "a split needs a reason")
	}
	p, err := s.FindPerson(ctx, engagement)
	if err != nil {
		return "", err
	}
	id, err := s.Identity(ctx, p)
	if err != nil {
		return "", err
	}
	email := ""
	for i := range p.Engagements {
		if p.Engagements[i].ID == engagement {
			email = p.Engagements[i].Record.Email
		}
	}
	if email == "" {
		return "", contractor.Errorf(contractor.CodeInvalid, "%s is no engagement; scimbridge contractor show lists a person's engagements", engagement)
	}
	err = s.write(ctx, "split an engagement", func(t *tx) error {
		person = p.ID
		others := make([]string, 0, len(id.Matches)+1)
		for _, m := range id.Matches {
			others = append(others, m.Person)
		}
		if key := contractor.EmailKey(email); key != p.EmailKey {
			var err error
			if person, err = t.split(p, key, email); err != nil {
				return err
			}
			others = append(others, p.ID)
		} else if len(others) == 0 {
			return contractor.Errorf(contractor.CodeConflict,
				"the engagement has the person's own address, and two people cannot share one in Entra; have the vendor send another address")
		}
		for _, other := range others {
			if err := t.apart(actor, person, other, reason); err != nil {
				return err
			}
		}
		if err := t.touch(person, t.now, false); err != nil {
			return err
		}
		return t.append(&audit.Event{
			Kind: "person.split", Actor: actor, Outcome: audit.Done, Person: person, Engagement: engagement, Reason: reason, Detail: detail("from", others),
		})
	})
	return person, err
}

// split gives every engagement of the address the person of that address.
func (t *tx) split(p *contractor.Person, key, email string) (person string, err error) {
	if _, err := t.exec(`DELETE FROM person_addresses WHERE email_key = ?`, key); err != nil {
		return "", err
	}
	if person, err = t.touchPerson(email, sql.NullString{}, t.now, false); err != nil {
		return "", err
	}
	for i := range p.Engagements {
		e := &p.Engagements[i]
		if contractor.EmailKey(e.Record.Email) != key {
			continue
		}
		var seq int64
		if err := t.row(`SELECT seq FROM engagements WHERE id = ?`, []any{e.ID}, &seq); err != nil {
			return "", err
		}
		if err := t.keepVersion(seq, e.Version, person); err != nil {
			return "", err
		}
		if _, err := t.exec(`UPDATE engagements SET person = ? WHERE seq = ? AND person = ?`, person, seq, p.ID); err != nil {
			return "", err
		}
	}
	return person, t.touch(p.ID, t.now, true) // what those engagements gave is taken from the former person
}

func (t *tx) apart(actor audit.Actor, a, b, reason string) error {
	one, other := inOrder(a, b)
	_, err := t.exec(`INSERT INTO persons_apart (one, other, at, by, reason) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		one, other, t.now.UnixMicro(), string(actor.Kind)+" "+actor.Name, reason)
	return err
}

// alias is the person that a further address stands for; "" if none.
func (t *tx) alias(key string) (person string, err error) {
	err = t.row(`SELECT person FROM person_addresses WHERE email_key = ?`, []any{key}, &person)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return person, err
}

// moveAddress keeps person and guest where a vendor changes the address of the one live engagement that the person has: the
// human is the same, and a second guest would be a second door. done is false where somebody else has the new address, or the
// person lives by more than this engagement.
func (t *tx) moveAddress(e *contractor.Engagement, row *engagementRow, old *storedEngagement) (done bool, err error) {
	key := contractor.EmailKey(e.Record.Email)
	if !old.person.Valid || e.Test || old.test || row.emailKey == old.emailKey {
		return false, nil
	}
	var was, former, guest string
	if err := t.row(`SELECT coalesce(record ->> 'email', '') FROM engagements WHERE seq = ?`, []any{old.seq}, &was); err != nil {
		return false, err
	}
	err = t.row(`SELECT p.email, p.guest_id FROM persons p WHERE p.id = ?1 AND p.email_key = ?2 AND p.email_key <> ?3
			AND NOT EXISTS (SELECT 1 FROM persons q WHERE q.email_key = ?3)
			AND NOT EXISTS (SELECT 1 FROM person_addresses a WHERE a.email_key = ?3)
			AND NOT EXISTS (SELECT 1 FROM engagements e WHERE e.person = p.id AND e.seq <> ?4 AND `+liveEngagement+`)`,
		[]any{old.person.String, contractor.EmailKey(was), key, old.seq}, &former, &guest)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if _, err := t.exec(`UPDATE persons SET email = ?, email_key = ? WHERE id = ?`, e.Record.Email, key, old.person.String); err != nil {
		return false, err
	}
	if guest != "" {
		if err := t.addressChanged(old.person.String, former); err != nil {
			return false, err
		}
	}
	e.Person = old.person.String
	if err := t.touch(e.Person, e.Modified, false); err != nil {
		return false, err
	}
	return true, t.append(&audit.Event{
		Kind: "person.address_changed", Actor: audit.Actor{Kind: audit.ActorVendor, Name: e.Vendor}, Outcome: audit.Done,
		Person: e.Person, Engagement: e.ID, Vendor: e.Vendor, Reason: "the vendor changed the address of the person's one engagement: person and guest stay",
	})
}

// Readdressed implements lifecycle.Store: the guest has the person's address now.
func (s *Store) Readdressed(ctx context.Context, person string, event audit.Event) error {
	return s.write(ctx, "note a changed address", func(t *tx) error {
		if _, err := t.exec(`DELETE FROM address_changes WHERE person = ?`, person); err != nil {
			return err
		}
		return t.append(&event)
	})
}

// formerAddress reads the address that a person's guest has still; "" if it has the person's.
func formerAddress(ctx context.Context, c *conn, p *contractor.Person) error {
	err := c.row(ctx, `SELECT former FROM address_changes WHERE person = ?`, []any{p.ID}, &p.FormerEmail)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}
