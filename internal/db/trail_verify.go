package db

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"scimbridge/internal/audit"
)

const (
	// spanLength is how many events are checked as one piece, by one of several checkers.
	spanLength = 8192

	// maxCheckers bounds the checkers: each holds a connection for long reads, of which readers of exports need one too.
	maxCheckers = longReaders - 1
)

// VerifyTrail walks the whole journal: every event by itself, the chain, the stored tree, the database's own checkpoints and those
// in kept, which were kept elsewhere. It sees the journal as it is when the walk begins, and holds nobody up. What does not fit
// is an *audit.Fault or an *audit.CheckpointFault. progress, if not nil, is told how many events are done.
func (s *Store) VerifyTrail(ctx context.Context, kept []audit.KnownCheckpoint, progress func(done, total int64)) (*audit.Report, error) {
	report, err := s.verifyTrail(ctx, kept, progress)
	return report, journalFailure("verify the journal", err)
}

func (s *Store) verifyTrail(ctx context.Context, kept []audit.KnownCheckpoint, progress func(done, total int64)) (*audit.Report, error) {
	if err := s.checkTriggers(ctx); err != nil {
		return nil, err
	}
	archives, err := s.Archives(ctx)
	if err != nil {
		return nil, err
	}
	size, err := s.treeSize(ctx)
	if err != nil {
		return nil, err
	}
	checkpoints, err := s.Checkpoints(ctx)
	if err != nil {
		return nil, err
	}
	first, last, err := s.bounds(ctx)
	if err != nil {
		return nil, err
	}
	known := slices.Clone(kept)
	for _, c := range checkpoints {
		known = append(known, audit.KnownCheckpoint{SignedCheckpoint: c.SignedCheckpoint, Source: "the database"})
	}
	walk := audit.NewWalk(known, size, s.tileReader(ctx))
	if first, err = s.walkArchived(ctx, walk, archives, first); err != nil {
		return nil, err
	}
	if err := s.walkStored(ctx, walk, first, last, progress); err != nil {
		return nil, err
	}
	return walk.Finish(archives)
}

// walkArchived passes over what was dropped, and answers which event must be the oldest that is stored. Events may be left of an
// archive whose dropping was interrupted.
func (s *Store) walkArchived(ctx context.Context, walk *audit.Walk, archives []audit.ArchiveRecord, oldest int64) (int64, error) {
	want := int64(1)
	for i, a := range archives {
		if a.Dropped == 0 || oldest > 0 && oldest <= a.First {
			break
		}
		part := a
		if oldest > 0 && oldest <= a.Last { // interrupted: the rest is stored
			row, err := s.journalRow(ctx, oldest)
			if err != nil {
				return 0, err
			}
			link, err := row.Check()
			if err != nil {
				return 0, err
			}
			part.Last, part.Hash = oldest-1, fmt.Sprintf("%x", link.Prev)
		}
		if err := s.accountFor(ctx, a, i == len(archives)-1 || archives[i+1].Dropped == 0); err != nil {
			return 0, err
		}
		records, err := s.records(ctx, part.First, part.Last)
		if err != nil {
			return 0, err
		}
		if err := walk.Dropped(part, records); err != nil {
			return 0, err
		}
		want = part.Last + 1
	}
	return want, nil
}

// accountFor checks that the journal tells of the latest archive whose events were dropped. The events that told of older ones
// may be in an archive themselves.
func (s *Store) accountFor(ctx context.Context, a audit.ArchiveRecord, latest bool) error {
	if !latest {
		return nil
	}
	row, err := s.journalRow(ctx, a.Dropped)
	if err != nil {
		return err
	}
	e, err := row.Event()
	if err != nil {
		return err
	}
	var d archiveDetail
	if err := d.read(e); err != nil || e.Kind != kindDropped || d.Last != a.Last || d.SHA256 != a.SHA256 {
		return &audit.Fault{Seq: a.First, Why: fmt.Sprintf("it is missing, and so are all up to %d; event %d does not tell of their archive", a.Last, a.Dropped)}
	}
	return nil
}

// checked is a span, or why there is none.
type checked struct {
	span *audit.Span
	err  error
}

// walkStored checks spans side by side and walks them in order.
func (s *Store) walkStored(ctx context.Context, walk *audit.Walk, first, last int64, progress func(done, total int64)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	checkers := min(runtime.GOMAXPROCS(0), maxCheckers)
	answers := make(chan chan checked, checkers) // in order; its length bounds what is done ahead
	places := make(chan struct{}, checkers)
	go func() {
		defer close(answers)
		for from := first; from <= last; from += spanLength {
			answer := make(chan checked, 1)
			select {
			case answers <- answer:
			case <-ctx.Done():
				return
			}
			places <- struct{}{}
			go func(from, to int64) {
				span, err := s.checkSpan(ctx, from, to)
				<-places
				answer <- checked{span, err}
			}(from, min(from+spanLength-1, last))
		}
	}()
	for answer := range answers {
		c := <-answer
		if c.err != nil {
			return c.err
		}
		if err := walk.Span(c.span); err != nil {
			return err
		}
		if progress != nil {
			progress(c.span.Last(), last)
		}
	}
	return ctx.Err()
}

func (s *Store) checkSpan(ctx context.Context, from, to int64) (*audit.Span, error) {
	span := &audit.Span{First: from}
	if err := s.journalRows(ctx, from, to, span.Add); err != nil {
		return nil, err
	}
	if span.Last() != to {
		return nil, &audit.Fault{Seq: span.Last() + 1, Why: "it is missing: events were removed"}
	}
	return span, nil
}

// guards are the triggers that refuse every change of what is sealed. They do not stop somebody who can write to the file; that
// one of them is gone says that somebody was there.
func guards() []string {
	return []string{
		"journal_no_update", "journal_no_delete", "journal_in_order", "journal_personal_no_update",
		"trail_tiles_grow", "trail_tiles_no_delete", "trail_checkpoints_no_update", "trail_checkpoints_no_delete",
		"trail_archives_insert", "trail_archives_update", "trail_archives_no_delete",
	}
}

// checkTriggers holds the triggers in the file against those that the migrations make.
func (s *Store) checkTriggers(ctx context.Context) error {
	if s.engine == enginePostgres {
		return s.checkPostgresTriggers(ctx)
	}
	found, err := s.texts(ctx, `SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'`)
	if err != nil {
		return err
	}
	made, err := migrations()
	if err != nil {
		return err
	}
	for _, name := range guards() {
		want := ""
		for _, m := range made { // the last one that makes it counts
			if i := strings.LastIndex(m.sql, "CREATE TRIGGER "+name+" "); i >= 0 {
				text, _, _ := strings.Cut(m.sql[i:], "END;")
				want = text + "END"
			}
		}
		if found[name] != want {
			return &audit.Fault{Why: fmt.Sprintf("the trigger %s, which refuses changes, is missing or another: somebody opened the database to change it", name)}
		}
	}
	return nil
}

// texts reads a query's rows of a name and a text.
func (s *Store) texts(ctx context.Context, query string) (found map[string]string, err error) {
	found = map[string]string{}
	err = s.short.with(ctx, func(c *conn) (err error) {
		rows, err := c.query(ctx, query)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			var name, text string
			if err := rows.Scan(&name, &text); err != nil {
				return err
			}
			found[name] = text
		}
		return rows.Err()
	})
	return found, err
}
