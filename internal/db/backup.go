package db

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"scimbridge/internal/contractor"
)

// Backup writes a consistent copy to a new file while everything goes on, readable by its owner alone, and opens it to check
// that it is whole: SQLite's own check, and the journal's chain up to at least the event that was last when the copy began. It
// answers how many events the copy has. A copy that is not whole is removed.
func (s *Store) Backup(ctx context.Context, path string) (events int64, err error) {
	if s.engine == enginePostgres {
		return 0, contractor.Errorf(contractor.CodeInvalid, "%s is a PostgreSQL database; back it up with pg_dump or your provider's own backup, or copy it to a file with: scimbridge db copy --to FILE", s.path)
	}
	path, err = filepath.Abs(path)
	if err != nil {
		return 0, fmt.Errorf("back up to %s: %w", path, err)
	}
	// VACUUM INTO fills an empty file; made here, it is nobody else's to read at any time.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return 0, contractor.Errorf(contractor.CodeConflict, "%s exists; name a new file for the backup", path)
	}
	if err != nil {
		return 0, fmt.Errorf("the backup cannot be made: %w", err)
	}
	if err := f.Close(); err != nil {
		return 0, fmt.Errorf("the backup cannot be made: %w", err)
	}
	if events, err = s.backup(ctx, path); err != nil {
		return 0, errors.Join(fmt.Errorf("back up to %s: %w", path, err), os.Remove(path))
	}
	return events, nil
}

func (s *Store) backup(ctx context.Context, path string) (int64, error) {
	var least int64
	err := s.short.with(ctx, func(c *conn) error {
		return c.row(ctx, `SELECT coalesce(max(seq), 0) FROM journal`, nil, &least)
	})
	if err != nil {
		return 0, err
	}
	if _, err := s.checks.ExecContext(ctx, `VACUUM INTO ?`, path); err != nil {
		return 0, err
	}
	if err := syncFile(path); err != nil {
		return 0, err
	}
	if err := syncFile(filepath.Dir(path)); err != nil {
		return 0, err
	}
	count, err := checkCopy(ctx, path)
	if err == nil && count < least {
		err = fmt.Errorf("the copy has %d events of %d", count, least)
	}
	return count, err
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// checkCopy opens a copy that nobody writes to, without making files beside it, and walks its journal.
func checkCopy(ctx context.Context, path string) (events int64, err error) {
	drv, err := newDriver()
	if err != nil {
		return 0, err
	}
	pool := openPool(drv, dsn(path, defaultBusyTimeout, "mode", "ro", "immutable", "1"), 1)
	defer func() { err = errors.Join(err, pool.Close()) }()
	var verdict string
	if err := pool.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&verdict); err != nil {
		return 0, err
	}
	if verdict != "ok" {
		return 0, fmt.Errorf("the copy is damaged: %s", verdict)
	}
	events, _, err = verifyJournal(ctx, pool)
	return events, err
}
