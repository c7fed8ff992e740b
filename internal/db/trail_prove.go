package db

import (
	"context"
	"errors"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// StoredEvent reads one event, checked against its hash and its columns, with its personal fields; CodeNotFound if there is none.
func (s *Store) StoredEvent(ctx context.Context, seq int64) (*audit.Event, error) {
	row, err := s.journalRow(ctx, seq)
	if err != nil {
		return nil, failure("read an event", err)
	}
	return row.Event()
}

// ProveEvent makes the proof that an event is in the journal that the checkpoint was signed over. personal shows the event's
// personal fields with it, where they were not erased.
func (s *Store) ProveEvent(ctx context.Context, seq int64, c audit.SignedCheckpoint, personal bool) (*audit.EventProof, error) {
	row, err := s.journalRow(ctx, seq)
	if err != nil {
		return nil, failure("read an event", err)
	}
	if !personal {
		row.Personal, row.Salt = nil, nil
	}
	if err := s.reaches(ctx, c); err != nil {
		return nil, err
	}
	return audit.ProveEvent(row, c, s.tileReader(ctx))
}

// ProveConsistency makes the proof that the journal of now is the journal of before with events added.
func (s *Store) ProveConsistency(ctx context.Context, before, now audit.SignedCheckpoint) ([]byte, error) {
	if err := s.reaches(ctx, now); err != nil {
		return nil, err
	}
	return audit.ProveConsistency(before, now, s.tileReader(ctx))
}

// reaches grows the stored tree as far as a checkpoint needs it.
func (s *Store) reaches(ctx context.Context, c audit.SignedCheckpoint) error {
	if err := s.growTree(ctx); err != nil {
		return journalFailure("grow the tree of the journal", err)
	}
	size, err := s.treeSize(ctx)
	if err != nil {
		return failure("read the tree of the journal", err)
	}
	if size < c.Size {
		return &audit.CheckpointFault{Checkpoint: c.Checkpoint, Source: "the proof", Events: size}
	}
	return nil
}

// ExportCursor is up to which event a sink was given the journal; known is false for a sink that never was.
func (s *Store) ExportCursor(ctx context.Context, sink string) (seq int64, known bool, err error) {
	cursors, err := s.ExportCursors(ctx)
	seq, known = cursors[sink]
	return seq, known, err
}

// ExportCursors are the cursors of all sinks that ever were given the journal.
func (s *Store) ExportCursors(ctx context.Context) (map[string]int64, error) {
	cursors := map[string]int64{}
	err := s.short.with(ctx, func(c *conn) (err error) {
		rows, err := c.query(ctx, `SELECT sink, seq FROM trail_cursors`)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			var sink string
			var seq int64
			if err := rows.Scan(&sink, &seq); err != nil {
				return err
			}
			cursors[sink] = seq
		}
		return rows.Err()
	})
	return cursors, failure("read the cursors of the sinks", err)
}

// SetExportCursor remembers up to which event a sink was given the journal.
func (s *Store) SetExportCursor(ctx context.Context, sink string, seq int64) error {
	if sink == "" {
		return contractor.Errorf(contractor.CodeInternal, "a sink needs a name")
	}
	return s.write(ctx, "remember how far a sink was given the journal", func(t *tx) error {
		_, err := t.exec(`INSERT INTO trail_cursors (sink, seq, changed) VALUES (?, ?, ?)
			ON CONFLICT (sink) DO UPDATE SET seq = excluded.seq, changed = excluded.changed`, sink, seq, t.now.UnixMicro())
		return err
	})
}

// JournalHead is the number of the last event, 0 if there is none.
func (s *Store) JournalHead(ctx context.Context) (int64, error) {
	_, last, err := s.bounds(ctx)
	return last, failure("read the journal", err)
}

// EventsAfter reads at most limit stored events behind a number, each checked against its hash and its columns.
func (s *Store) EventsAfter(ctx context.Context, after int64, limit int) ([]audit.Event, error) {
	oldest, last, err := s.bounds(ctx)
	if err != nil || last <= after {
		return nil, failure("read the journal", err)
	}
	first := max(after+1, oldest)
	var list []audit.Event
	err = s.journalRows(ctx, first, min(last, first+int64(limit)-1), func(r *audit.Row) error {
		e, err := r.Event()
		if err == nil {
			list = append(list, *e)
		}
		return err
	})
	return list, journalFailure("read the journal", err)
}
