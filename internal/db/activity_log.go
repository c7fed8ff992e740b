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

// ActivityMark reads how far a log was read; the zero mark if it never was.
func (s *Store) ActivityMark(ctx context.Context, log contractor.ActivityLog) (contractor.ActivityMark, error) {
	var through, floor, swept instant
	err := s.short.with(ctx, func(c *conn) error {
		return c.row(ctx, `SELECT through, floor, swept FROM activity_marks WHERE log = ?`, []any{string(log)}, &through, &floor, &swept)
	})
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return contractor.ActivityMark{Through: through.Time, Floor: floor.Time, Swept: swept.Time}, failure("read how far a log was read", err)
}

// NewActivity returns those of the entries that are not stored yet, in their order and each once.
func (s *Store) NewActivity(ctx context.Context, entries []contractor.Activity) ([]contractor.Activity, error) {
	type key struct {
		log        contractor.ActivityLog
		id, person string
	}
	seen := map[key]bool{}
	var out []contractor.Activity
	err := s.short.snapshot(ctx, func(c *conn) error {
		for _, a := range entries {
			k := key{a.Log, a.ID, a.Person}
			if seen[k] {
				continue
			}
			seen[k] = true
			var one int
			err := c.row(ctx, `SELECT 1 FROM activity WHERE log = ? AND id = ? AND person = ?`, []any{string(a.Log), a.ID, a.Person}, &one)
			if errors.Is(err, sql.ErrNoRows) {
				out = append(out, a)
				err = nil
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	return out, failure("look for activity that is known", err)
}

// RecordActivity stores a batch whole or not at all: the entries that are new, the alarms, an event for each alarm that was not
// open yet, and how far the log was read. It returns the alarms that it raised.
func (s *Store) RecordActivity(ctx context.Context, b contractor.ActivityBatch) (raised []contractor.Alarm, err error) {
	err = s.write(ctx, "record activity", func(t *tx) error {
		for i := range b.Entries {
			if err := t.recordEntry(&b.Entries[i]); err != nil {
				return err
			}
		}
		for i := range b.Alarms {
			a, isNew, err := t.raise(b.Alarms[i])
			if err != nil {
				return err
			}
			if isNew {
				raised = append(raised, a)
			}
		}
		return t.recordMark(b.Log, b.Mark)
	})
	if err != nil {
		return nil, err
	}
	return raised, nil
}

func (t *tx) recordEntry(a *contractor.Activity) error {
	entry, err := json.Marshal(a)
	if err != nil {
		return err
	}
	_, err = t.exec(`INSERT INTO activity (log, id, person, at, entry) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		string(a.Log), a.ID, a.Person, a.At.UnixMicro(), string(entry))
	return err
}

// recordMark moves the mark forward; it never goes back, and the floor is the pruning's alone.
func (t *tx) recordMark(log contractor.ActivityLog, m *contractor.ActivityMark) error {
	if m == nil {
		return nil
	}
	_, err := t.exec(`INSERT INTO activity_marks (log, through, swept) VALUES (?, ?, ?)
		ON CONFLICT (log) DO UPDATE SET through = max(activity_marks.through, excluded.through),
			swept = max(coalesce(activity_marks.swept, 0), coalesce(excluded.swept, 0))`,
		string(log), m.Through.UnixMicro(), micros(m.Swept))
	return err
}

// raise inserts an alarm with its event, or counts it where one with its key is open.
func (t *tx) raise(a contractor.Alarm) (contractor.Alarm, bool, error) {
	var stored string
	var acknowledged instant
	err := t.row(`SELECT alarm, acknowledged FROM alarms WHERE key = ? ORDER BY acknowledged IS NOT NULL, seq DESC LIMIT 1`, []any{a.Key}, &stored, &acknowledged)
	switch {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return a, false, err
	case acknowledged.IsZero():
		return a, false, t.again(stored, a)
	case a.Once:
		return a, false, nil
	default:
		var old contractor.Alarm
		if err := json.Unmarshal([]byte(stored), &old); err != nil {
			return a, false, fmt.Errorf("an alarm in the database cannot be read: %w", err)
		}
		if unseen(old, a) == nil { // an entry that was read again
			return a, false, nil
		}
	}
	if a.ID, err = newID(); err != nil {
		return a, false, err
	}
	a.Raised, a.Count = t.now, max(a.Count, 1)
	if len(a.Evidence) > contractor.MaxEvidence {
		a.Evidence = a.Evidence[:contractor.MaxEvidence]
	}
	text, err := json.Marshal(&a)
	if err != nil {
		return a, false, err
	}
	_, err = t.exec(`INSERT INTO alarms (id, key, kind, severity, person, raised, alarm) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		a.ID, a.Key, string(a.Kind), string(a.Severity), a.Person, a.Raised.UnixMicro(), string(text))
	if err != nil {
		return a, false, err
	}
	event, err := alarmEvent(&a)
	if err != nil {
		return a, false, err
	}
	return a, true, t.append(event)
}

func alarmEvent(a *contractor.Alarm) (*audit.Event, error) {
	detail, err := json.Marshal(map[string]any{"alarm": a.ID, "kind": a.Kind, "severity": a.Severity, "evidence": a.Evidence, "next": a.Next})
	if err != nil {
		return nil, err
	}
	e := &audit.Event{
		Kind: "alarm.raised", Actor: audit.Actor{Kind: audit.ActorBridge}, Outcome: audit.Done, Reason: a.Words,
		Person: a.Person, Vendor: a.Vendor, Detail: detail,
	}
	if len(a.Personal) > 0 {
		if e.Personal, err = json.Marshal(a.Personal); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// again adds what happened to an open alarm. Evidence that it names already adds nothing.
func (t *tx) again(stored string, a contractor.Alarm) error {
	var open contractor.Alarm
	if err := json.Unmarshal([]byte(stored), &open); err != nil {
		return fmt.Errorf("an alarm in the database cannot be read: %w", err)
	}
	more := unseen(open, a)
	for _, e := range more {
		if len(open.Evidence) < contractor.MaxEvidence {
			open.Evidence = append(open.Evidence, e)
		}
	}
	if more == nil || a.Once {
		return nil
	}
	open.Count += len(more)
	if a.Last.After(open.Last) {
		open.Last = a.Last
	}
	if !a.First.IsZero() && a.First.Before(open.First) {
		open.First = a.First
	}
	text, err := json.Marshal(&open)
	if err != nil {
		return err
	}
	_, err = t.exec(`UPDATE alarms SET alarm = ? WHERE id = ?`, string(text), open.ID)
	return err
}

// unseen are the pieces of evidence of a that old does not name.
func unseen(old, a contractor.Alarm) []contractor.Evidence {
	known := map[string]bool{}
	for _, e := range old.Evidence {
		known[string(e.Log)+e.ID] = e.ID != ""
	}
	var out []contractor.Evidence
	for _, e := range a.Evidence {
		if !known[string(e.Log)+e.ID] {
			out = append(out, e)
		}
	}
	return out
}

const (
	// pruneBatch bounds one transaction of the pruning, so that no caller waits long behind it.
	pruneBatch = 2000
	// keepAlarms is how many acknowledged alarms are kept; open ones always are.
	keepAlarms = 10_000
)

// PruneActivity deletes what is beyond the bounds, oldest first, and raises the floor of its log to what it deleted: it is not
// remembered any more, so it must not be read again. full says that entries went for the number of rows alone.
func (s *Store) PruneActivity(ctx context.Context, log contractor.ActivityLog, b contractor.ActivityBounds, now time.Time) (deleted int64, full bool, err error) {
	for {
		var n, over int64
		err := s.write(ctx, "prune activity", func(t *tx) error {
			var rows int64
			if err := t.row(`SELECT count(*) FROM activity WHERE log = ?`, []any{string(log)}, &rows); err != nil {
				return err
			}
			old := now.Add(-b.For).UnixMicro()
			var aged int64
			if err := t.row(`SELECT count(*) FROM activity WHERE log = ? AND at < ?`, []any{string(log), old}, &aged); err != nil {
				return err
			}
			over = max(rows-int64(b.Rows)-aged, 0)
			if n = min(aged+over, pruneBatch); n == 0 {
				return nil
			}
			var last int64
			if err := t.row(`SELECT max(at) FROM (SELECT at FROM activity WHERE log = ? ORDER BY at LIMIT ?)`, []any{string(log), n}, &last); err != nil {
				return err
			}
			var err error
			// Everything up to that instant goes, so that the floor is sharp.
			if n, err = t.changed(`DELETE FROM activity WHERE log = ? AND at <= ?`, string(log), last); err != nil {
				return err
			}
			_, err = t.exec(`INSERT INTO activity_marks (log, through, floor) VALUES (?, ?, ?)
				ON CONFLICT (log) DO UPDATE SET floor = max(coalesce(activity_marks.floor, 0), excluded.floor)`, string(log), last, last)
			return err
		})
		if err != nil {
			return deleted, full, err
		}
		deleted, full = deleted+n, full || over > 0
		if n < pruneBatch {
			break
		}
	}
	return deleted, full, s.write(ctx, "prune alarms", func(t *tx) error {
		_, err := t.exec(`DELETE FROM alarms WHERE acknowledged IS NOT NULL AND seq <= (SELECT max(seq) FROM alarms) - ?`, keepAlarms)
		return err
	})
}

// Activity lists what the logs say about a person, newest first, before an instant (zero: now), at most limit entries.
func (s *Store) Activity(ctx context.Context, person string, before time.Time, limit int) ([]contractor.Activity, error) {
	if before.IsZero() {
		before = time.Now().Add(time.Hour) // clocks differ
	}
	return s.entries(ctx, "read a person's activity", `SELECT entry FROM activity WHERE person = ? AND at < ? ORDER BY at DESC, id LIMIT ?`, person, before.UnixMicro(), limit)
}

// ActivitySince lists a person's entries of a log from an instant on, oldest first, at most limit entries.
func (s *Store) ActivitySince(ctx context.Context, person string, log contractor.ActivityLog, since time.Time, limit int) ([]contractor.Activity, error) {
	return s.entries(ctx, "read a person's activity", `SELECT entry FROM activity WHERE person = ? AND at >= ? AND log = ? ORDER BY at, id LIMIT ?`, person, since.UnixMicro(), string(log), limit)
}

// SignIns lists everybody's sign-ins from an instant on, newest first, at most limit entries.
func (s *Store) SignIns(ctx context.Context, since time.Time, limit int) ([]contractor.Activity, error) {
	return s.entries(ctx, "read recent sign-ins", `SELECT entry FROM activity WHERE log = 'signin' AND at >= ? ORDER BY at DESC, id LIMIT ?`, since.UnixMicro(), limit)
}

func (s *Store) entries(ctx context.Context, what, query string, args ...any) (list []contractor.Activity, err error) {
	err = s.short.with(ctx, func(c *conn) (err error) {
		rows, err := c.query(ctx, query, args...)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			var text string
			if err := rows.Scan(&text); err != nil {
				return err
			}
			var a contractor.Activity
			if err := json.Unmarshal([]byte(text), &a); err != nil {
				return fmt.Errorf("an entry of the activity in the database cannot be read: %w", err)
			}
			list = append(list, a)
		}
		return rows.Err()
	})
	return list, failure(what, err)
}

// ForgetActivity deletes what the logs say about a person, for an erasure. What was read once is not read again: the floor of
// both logs is raised.
func (s *Store) ForgetActivity(ctx context.Context, person string) (deleted int64, err error) {
	err = s.write(ctx, "forget a person's activity", func(t *tx) error {
		deleted, err = t.forgetActivity(person)
		return err
	})
	return deleted, err
}

func (t *tx) forgetActivity(person string) (int64, error) {
	_, err := t.exec(`UPDATE activity_marks SET floor = max(coalesce(floor, 0), (SELECT coalesce(max(at), 0) FROM activity a WHERE a.log = activity_marks.log AND a.person = ?))`, person)
	if err != nil {
		return 0, err
	}
	return t.changed(`DELETE FROM activity WHERE person = ?`, person)
}
