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

// ClaimFeed reserves the reading of a vendor's feed for by, from now for so long; called again it prolongs. CodeConflict if
// somebody else has it. A claim that nobody prolongs ends by itself.
func (s *Store) ClaimFeed(ctx context.Context, vendor, by string, now time.Time, hold time.Duration) error {
	return s.write(ctx, "claim a feed", func(t *tx) error {
		n, err := t.changed(`INSERT INTO feeds (vendor, busy_by, busy_until) VALUES (?1, ?2, ?3)
			ON CONFLICT (vendor) DO UPDATE SET busy_by = ?2, busy_until = ?3 WHERE feeds.busy_by = ?2 OR feeds.busy_until <= ?4`,
			vendor, by, now.Add(hold).UnixMicro(), now.UnixMicro())
		if err != nil || n == 1 {
			return err
		}
		var other string
		var until instant
		if err := t.row(`SELECT busy_by, busy_until FROM feeds WHERE vendor = ?`, []any{vendor}, &other, &until); err != nil {
			return err
		}
		return contractor.Errorf(contractor.CodeConflict, "the feed of %s is being read by %s; wait until it is done (its claim ends at %s if it has died)",
			vendor, other, until.Format(time.RFC3339))
	})
}

// ReleaseFeed gives a claim back.
func (s *Store) ReleaseFeed(ctx context.Context, vendor, by string) error {
	return s.write(ctx, "release a feed", func(t *tx) error {
		_, err := t.exec(`UPDATE feeds SET busy_by = '', busy_until = 0 WHERE vendor = ? AND busy_by = ?`, vendor, by)
		return err
	})
}

// PullStates lists how far the vendors' servers were read, by vendor.
func (s *Store) PullStates(ctx context.Context) (list []contractor.PullState, err error) {
	err = s.short.with(ctx, func(c *conn) (err error) {
		rows, err := c.query(ctx, `SELECT pull FROM feeds WHERE pull IS NOT NULL ORDER BY vendor`)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			var text string
			if err := rows.Scan(&text); err != nil {
				return err
			}
			var p contractor.PullState
			if err := json.Unmarshal([]byte(text), &p); err != nil {
				return fmt.Errorf("the state of a pull in the database cannot be read: %w", err)
			}
			list = append(list, p)
		}
		return rows.Err()
	})
	return list, failure("list how far servers were read", err)
}

// PullState reads how far a vendor's server was read; the zero state if never.
func (s *Store) PullState(ctx context.Context, vendor string) (contractor.PullState, error) {
	all, err := s.PullStates(ctx)
	for _, p := range all {
		if p.Vendor == vendor {
			return p, err
		}
	}
	return contractor.PullState{Vendor: vendor}, err
}

// SavePull stores how far a vendor's server was read, with the events and the alarms of the round.
func (s *Store) SavePull(ctx context.Context, p contractor.PullState, events []audit.Event, alarms []contractor.Alarm) error {
	text, err := json.Marshal(&p)
	if err != nil {
		return err
	}
	return s.write(ctx, "store how far a server was read", func(t *tx) error {
		_, err := t.exec(`INSERT INTO feeds (vendor, pull) VALUES (?1, ?2) ON CONFLICT (vendor) DO UPDATE SET pull = ?2`, p.Vendor, string(text))
		if err != nil {
			return err
		}
		for _, a := range alarms {
			if _, _, err := t.raise(a); err != nil {
				return err
			}
		}
		return t.appendAll(append([]audit.Event(nil), events...))
	})
}

// ImportState reads how far a file was imported; the zero state if never.
func (s *Store) ImportState(ctx context.Context, vendor, file string) (contractor.ImportState, error) {
	i := contractor.ImportState{Vendor: vendor, File: file}
	err := s.short.with(ctx, func(c *conn) error {
		var counts string
		var begun, updated instant
		err := c.row(ctx, `SELECT line, counts, begun, updated, done FROM imports WHERE vendor = ? AND file = ?`, []any{vendor, file}, &i.Line, &counts, &begun, &updated, &i.Done)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		i.Begun, i.Updated = begun.Time, updated.Time
		return json.Unmarshal([]byte(counts), &i.Counts)
	})
	return i, failure("read how far a file was imported", err)
}

// keepImports is how long a finished import is remembered: as long as somebody may ask about it; the journal keeps the rest.
const keepImports = 90 * 24 * time.Hour

// SaveImport stores how far a file was imported, with the events that tell it.
func (s *Store) SaveImport(ctx context.Context, i contractor.ImportState, events ...audit.Event) error {
	counts, err := json.Marshal(i.Counts)
	if err != nil {
		return err
	}
	return s.write(ctx, "store how far a file was imported", func(t *tx) error {
		_, err := t.exec(`INSERT INTO imports (vendor, file, line, counts, begun, updated, done) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
			ON CONFLICT (vendor, file) DO UPDATE SET line = ?3, counts = ?4, begun = ?5, updated = ?6, done = ?7`,
			i.Vendor, i.File, i.Line, string(counts), i.Begun.UnixMicro(), t.now.UnixMicro(), boolean(i.Done))
		if err != nil {
			return err
		}
		if _, err := t.exec(`DELETE FROM imports WHERE updated < ?`, t.now.Add(-keepImports).UnixMicro()); err != nil {
			return err
		}
		return t.appendAll(append([]audit.Event(nil), events...))
	})
}

// GuardWhy says which bound so many more sudden ends of a vendor would break; "" for none.
func (s *Store) GuardWhy(ctx context.Context, vendor string, ends int, now time.Time, own, overall contractor.Guard) (why string, err error) {
	err = s.write(ctx, "ask the guard", func(t *tx) error {
		why, err = t.guardWhy(vendor, now, own, overall, wave{kind: contractor.HoldMassEnd, ends: ends, live: true})
		return err
	})
	return why, err
}

// holdEnd opens the hold that a feed asked for with an engagement's end.
func (t *tx) holdEnd(e *contractor.Engagement) error {
	if e.HeldEnd == "" || e.Person == "" {
		return nil
	}
	h := contractor.Hold{
		Kind: contractor.HoldMassEnd, State: contractor.HoldOpen, Vendor: e.Vendor, Person: e.Person, Engagement: e.ID,
		SetAt: e.EndSetAt, Opened: t.now, Expires: t.now.Add(contractor.DefaultUndecided), Why: e.HeldEnd,
	}
	return t.openHold(&h)
}

// openHold stores a hold that waits, and journals it.
func (t *tx) openHold(h *contractor.Hold) error {
	if err := t.insertHold(h); err != nil {
		return err
	}
	return t.append(&audit.Event{
		Kind: "hold.opened", Actor: audit.Actor{Kind: audit.ActorBridge}, Outcome: audit.Held, Person: h.Person, Engagement: h.Engagement,
		Vendor: h.Vendor, Reason: h.Why + "; decide with scimbridge hold approve or hold cancel", Until: h.Expires,
	})
}
