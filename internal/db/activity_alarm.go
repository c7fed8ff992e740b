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

const alarmColumns = `alarm, acknowledged, by, note`

func scanAlarm(row scanner) (contractor.Alarm, error) {
	var a contractor.Alarm
	var text string
	var acknowledged instant
	var by, note string
	if err := row.Scan(&text, &acknowledged, &by, &note); err != nil {
		return a, err
	}
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		return a, fmt.Errorf("an alarm in the database cannot be read: %w", err)
	}
	a.Acknowledged, a.By, a.Note = acknowledged.Time, by, note
	return a, nil
}

func scanAlarms(rows *sql.Rows) (list []contractor.Alarm, err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		a, err := scanAlarm(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, a)
	}
	return list, rows.Err()
}

// Alarms lists alarms, the newest first.
func (s *Store) Alarms(ctx context.Context, q contractor.AlarmQuery) (list []contractor.Alarm, err error) {
	if q.Limit <= 0 {
		q.Limit = 100
	}
	err = s.short.with(ctx, func(c *conn) error {
		rows, err := c.query(ctx, `SELECT `+alarmColumns+` FROM alarms WHERE (? = 1 OR acknowledged IS NULL) AND (? = '' OR person = ?) ORDER BY seq DESC LIMIT ?`,
			boolean(q.All), q.Person, q.Person, q.Limit)
		if err != nil {
			return err
		}
		list, err = scanAlarms(rows)
		return err
	})
	return list, failure("list alarms", err)
}

// RaiseAlarm raises an alarm, or counts it in the open one with its key.
func (s *Store) RaiseAlarm(ctx context.Context, a contractor.Alarm) error {
	return s.write(ctx, "raise an alarm", func(t *tx) error {
		_, _, err := t.raise(a)
		return err
	})
}

// OpenAlarms counts the alarms that nobody has acknowledged, by severity.
func (s *Store) OpenAlarms(ctx context.Context) (counts map[contractor.Severity]int, err error) {
	counts = map[contractor.Severity]int{}
	err = s.short.with(ctx, func(c *conn) (err error) {
		rows, err := c.query(ctx, `SELECT severity, count(*) FROM alarms WHERE acknowledged IS NULL GROUP BY severity`)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			var severity contractor.Severity
			var n int
			if err := rows.Scan(&severity, &n); err != nil {
				return err
			}
			counts[severity] = n
		}
		return rows.Err()
	})
	return counts, failure("count alarms", err)
}

// AcknowledgeAlarm notes that somebody has looked at an alarm and journals it. What happens again raises a new one. It returns
// the alarm; CodeNotFound if there is none, CodeConflict if it was acknowledged already.
func (s *Store) AcknowledgeAlarm(ctx context.Context, actor audit.Actor, id, note string) (a contractor.Alarm, err error) {
	err = s.write(ctx, "acknowledge an alarm", func(t *tx) error {
		row, err := t.conn.stmt(context.Background(), `SELECT `+alarmColumns+` FROM alarms WHERE id = ?`)
		if err != nil {
			return err
		}
		a, err = scanAlarm(row.QueryRowContext(context.Background(), id))
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return contractor.Errorf(contractor.CodeNotFound, "there is no alarm %s", id)
		case err != nil:
			return err
		case !a.Acknowledged.IsZero():
			return contractor.Errorf(contractor.CodeConflict, "alarm %s was acknowledged by %s already", id, a.By)
		}
		by := string(actor.Kind)
		if actor.Name != "" {
			by = actor.Name
		}
		a.Acknowledged, a.By, a.Note = t.now, by, note
		if _, err := t.exec(`UPDATE alarms SET acknowledged = ?, by = ?, note = ? WHERE id = ?`, t.now.UnixMicro(), by, note, id); err != nil {
			return err
		}
		return t.append(&audit.Event{
			Kind: "alarm.acknowledged", Actor: actor, Outcome: audit.Done, Reason: note, Person: a.Person, Vendor: a.Vendor, Detail: detail("alarm", id),
		})
	})
	return a, err
}

// AlarmsFor lists the alarms raised since an instant that were not handed to a sink yet, the oldest first, at most limit.
func (s *Store) AlarmsFor(ctx context.Context, sink string, since time.Time, limit int) (list []contractor.Alarm, err error) {
	err = s.short.with(ctx, func(c *conn) error {
		rows, err := c.query(ctx, `SELECT `+alarmColumns+` FROM alarms a WHERE raised >= ?
			AND NOT EXISTS (SELECT 1 FROM alarm_deliveries d WHERE d.alarm = a.id AND d.sink = ?) ORDER BY seq LIMIT ?`, since.UnixMicro(), sink, limit)
		if err != nil {
			return err
		}
		list, err = scanAlarms(rows)
		return err
	})
	return list, failure("list alarms to hand on", err)
}

// AlarmDelivered notes that a sink has taken an alarm.
func (s *Store) AlarmDelivered(ctx context.Context, sink, id string) error {
	return s.write(ctx, "note that an alarm was handed on", func(t *tx) error {
		_, err := t.exec(`INSERT INTO alarm_deliveries (alarm, sink, at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`, id, sink, t.now.UnixMicro())
		return err
	})
}
