package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// DriftOf implements lifecycle.Store.
func (s *Store) DriftOf(ctx context.Context, person string, now time.Time) (d contractor.DriftSituation, err error) {
	err = s.short.snapshot(ctx, func(c *conn) error {
		var looked instant
		err := c.row(ctx, `SELECT at FROM drift_looks WHERE person = ?`, []any{person}, &looked)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		d.Looked = looked.Time
		if d.Known, err = driftRows(ctx, c, `person = ? AND settled IS NULL ORDER BY id`, person); err != nil {
			return err
		}
		d.Overrides, err = driftOverrides(ctx, c, `person = ? AND until > ?`, person, now.UnixMicro())
		return err
	})
	return d, failure("read what is known of drift", err)
}

const driftColumns = `id, person, kind, object, state, mode, words, found, acted, tries, settled, asked`

func driftRows(ctx context.Context, c *conn, where string, args ...any) (list []contractor.Drift, err error) {
	rows, err := c.query(ctx, `SELECT `+driftColumns+` FROM drift WHERE `+where, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var d contractor.Drift
		var found, acted, settled instant
		if err := rows.Scan(&d.ID, &d.Person, &d.Kind, &d.Object, &d.State, &d.Mode, &d.Words, &found, &acted, &d.Tries, &settled, &d.Asked); err != nil {
			return nil, err
		}
		d.Found, d.Acted, d.Settled = found.Time, acted.Time, settled.Time
		list = append(list, d)
	}
	return list, rows.Err()
}

func driftOverrides(ctx context.Context, c *conn, where string, args ...any) (list []contractor.DriftOverride, err error) {
	rows, err := c.query(ctx, `SELECT person, kind, object, until, at, by, reason FROM drift_overrides WHERE `+where, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var o contractor.DriftOverride
		var until, at instant
		if err := rows.Scan(&o.Person, &o.Kind, &o.Object, &until, &at, &o.By, &o.Reason); err != nil {
			return nil, err
		}
		o.Until, o.At = until.Time, at.Time
		list = append(list, o)
	}
	return list, rows.Err()
}

// RecordDrift implements lifecycle.Store: it inserts drift without an ID, overwrites the rest, forgets suspicions that did not
// last (suspected and settled), and notes a look.
func (s *Store) RecordDrift(ctx context.Context, person string, list []contractor.Drift, looked time.Time, events ...audit.Event) error {
	return s.write(ctx, "record drift", func(t *tx) error {
		for i := range list {
			if err := t.recordDrift(&list[i]); err != nil {
				return err
			}
		}
		if !looked.IsZero() {
			_, err := t.exec(`INSERT INTO drift_looks (person, at) VALUES (?1, ?2) ON CONFLICT (person) DO UPDATE SET at = ?2`, person, looked.UnixMicro())
			if err != nil {
				return err
			}
		}
		for _, event := range events {
			if err := t.append(&event); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *tx) recordDrift(d *contractor.Drift) error {
	switch {
	case d.State == contractor.DriftSuspected && !d.Settled.IsZero():
		_, err := t.exec(`DELETE FROM drift WHERE id = ?`, d.ID)
		return err
	case d.ID == 0:
		_, err := t.exec(`INSERT INTO drift (person, kind, object, state, mode, words, found, acted, tries, settled) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (person, kind, object) WHERE settled IS NULL DO NOTHING`,
			d.Person, string(d.Kind), d.Object, string(d.State), string(d.Mode), d.Words, d.Found.UnixMicro(), micros(d.Acted), d.Tries, micros(d.Settled))
		return err
	}
	_, err := t.exec(`UPDATE drift SET state = ?, mode = ?, words = ?, acted = ?, tries = ?, settled = ? WHERE id = ?`,
		string(d.State), string(d.Mode), d.Words, micros(d.Acted), d.Tries, micros(d.Settled), d.ID)
	return err
}

// Drift lists drift, newest first, with the override that is in force.
func (s *Store) Drift(ctx context.Context, q contractor.DriftQuery, now time.Time) (list []contractor.Drift, err error) {
	limit := q.Limit
	if limit == 0 {
		limit = 1000
	}
	err = s.short.snapshot(ctx, func(c *conn) error {
		where := `state <> 'suspected' AND (?1 = '' OR person = ?1) AND (?2 OR settled IS NULL) ORDER BY id DESC LIMIT ?3`
		if list, err = driftRows(ctx, c, where, q.Person, q.All, limit); err != nil {
			return err
		}
		overrides, err := driftOverrides(ctx, c, `until > ? AND (?2 = '' OR person = ?2)`, now.UnixMicro(), q.Person)
		if err != nil {
			return err
		}
		for i := range list {
			if o := contractor.DriftAllowed(overrides, &list[i]); o != nil {
				list[i].AllowedUntil, list[i].AllowedReason = o.Until, o.Reason
			}
		}
		return nil
	})
	return list, failure("list drift", err)
}

// AskRepair makes the loop repair open drift of a person (of all with ""), whatever the mapping says, and answers how much. What
// an override lets stand is left.
func (s *Store) AskRepair(ctx context.Context, actor audit.Actor, person, reason string) (n int, err error) {
	if reason == "" {
		return 0, contractor.Errorf(contractor.CodeInvalid, "a repair needs a reason; give it with --reason")
	}
	open, err := s.Drift(ctx, contractor.DriftQuery{Person: person, Limit: 100_000}, time.Now())
	if err != nil {
		return 0, err
	}
	err = s.write(ctx, "ask for repairs", func(t *tx) error {
		n = 0
		for i := range open {
			d := &open[i]
			if !d.AllowedUntil.IsZero() {
				continue
			}
			changed, err := t.changed(`UPDATE drift SET asked = 1, state = 'open' WHERE id = ? AND settled IS NULL`, d.ID)
			if err != nil || changed == 0 {
				return err
			}
			n++
			if err := t.touch(d.Person, t.now, false); err != nil {
				return err
			}
			err = t.append(&audit.Event{Kind: "drift.repair_asked", Actor: actor, Outcome: audit.Done, Person: d.Person, Entitlement: d.Object, Reason: reason + ": " + d.Words})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return n, err
}

// AllowDrift lets drift stand until an end; a zero Until takes that back.
func (s *Store) AllowDrift(ctx context.Context, actor audit.Actor, o contractor.DriftOverride) error {
	switch {
	case o.Reason == "":
		return contractor.Errorf(contractor.CodeInvalid, "an override needs a reason; give it with --reason")
	case contractor.DriftMustEnd(o.Kind):
		return contractor.Errorf(contractor.CodeInvalid, "%s cannot be let stand: access would outlive its contract", o.Kind)
	}
	return s.write(ctx, "let drift stand", func(t *tx) error {
		o.Object = strings.ToLower(o.Object)
		var err error
		event := audit.Event{Kind: "drift.allowed", Actor: actor, Outcome: audit.Done, Person: o.Person, Reason: string(o.Kind) + " " + o.Object + ": " + o.Reason, Until: o.Until}
		if o.Until.IsZero() {
			event.Kind = "drift.disallowed"
			_, err = t.exec(`DELETE FROM drift_overrides WHERE person = ? AND kind = ? AND object = ?`, o.Person, string(o.Kind), o.Object)
		} else {
			_, err = t.exec(`INSERT INTO drift_overrides (person, kind, object, until, at, by, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
				ON CONFLICT (person, kind, object) DO UPDATE SET until = ?4, at = ?5, by = ?6, reason = ?7`,
				o.Person, string(o.Kind), o.Object, o.Until.UnixMicro(), t.now.UnixMicro(), string(actor.Kind)+" "+actor.Name, o.Reason)
		}
		if err != nil {
			return err
		}
		if err := t.touch(o.Person, t.now, false); err != nil {
			return err
		}
		return t.append(&event)
	})
}

// TouchGuests makes due the people of guests that Entra reports as changed, and answers how many are ours.
func (s *Store) TouchGuests(ctx context.Context, guests []string, now time.Time) (n int64, err error) {
	for part := range slices.Chunk(guests, wakeChunk) {
		list, err := json.Marshal(part)
		if err != nil {
			return n, err
		}
		err = s.write(ctx, "look at changed guests", func(t *tx) error {
			touched, err := t.changed(touchStatement+` WHERE guest_id <> '' AND phase <> 'gone' AND guest_id IN (SELECT value FROM json_each(?3))`,
				now.UnixMicro(), 0, string(list))
			n += touched
			return err
		})
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
