package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	_ "modernc.org/sqlite" // the driver that the ceilings use

	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
	"scimbridge/internal/scim"
)

// fill builds the stores that are not there yet.
func (o *options) fill(ctx context.Context) error {
	for _, n := range o.rows {
		if _, err := o.store(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// store is the path of a store of n engagements, built if it is not there yet. It is read only: what writes works on a copy.
func (o *options) store(ctx context.Context, n int) (string, error) {
	path := filepath.Join(o.dir, fmt.Sprintf("rows-%d.db", n))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	begun := time.Now()
	building := path + ".building"
	if err := removeStore(building); err != nil {
		return "", err
	}
	if err := build(ctx, building, n); err != nil {
		return "", err
	}
	fmt.Fprintf(os.Stderr, "built a store of %d engagements in %s\n", n, time.Since(begun).Round(time.Second))
	return path, os.Rename(building, path)
}

// removeStore removes a store and what the store and the daemon keep beside it, the copy before an upgrade among it.
func removeStore(path string) error {
	all := []string{path, path + "-wal", path + "-shm", path + ".lock"}
	for _, pattern := range []string{".before-*", ".audit-*"} {
		more, err := filepath.Glob(path + pattern)
		if err != nil {
			return err
		}
		all = append(all, more...)
	}
	for _, name := range all {
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// build fills a store through its own Create, and settles everybody.
func build(ctx context.Context, path string, n int) error {
	s, err := db.Open(ctx, db.Config{Path: path})
	if err != nil {
		return err
	}
	reader, err := scim.NewReader(vendor())
	if err != nil {
		return errors.Join(err, s.Close())
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for range 128 {
		wg.Go(func() {
			for i := int(next.Add(1)); i <= n && ctx.Err() == nil; i = int(next.Add(1)) {
				if err := create(ctx, s, reader, i); err != nil {
					cancel(err)
				}
				if i%100_000 == 0 {
					fmt.Fprintf(os.Stderr, "%d engagements\n", i)
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(context.Cause(ctx), s.Close()); err != nil {
		return err
	}
	return settle(ctx, path)
}

func create(ctx context.Context, s *db.Store, reader *scim.Reader, n int) error {
	e, err := engagement(reader, n, time.Now())
	if err != nil {
		return err
	}
	_, err = s.Create(ctx, e, 0, created(&e))
	return err
}

// settle writes what the loop would have: everybody is active, and looked at again in the year 2099. It is the one thing that is
// not done through the store: a million passes of the loop would take a day at Graph's quota.
func settle(ctx context.Context, path string) error {
	pool, err := sql.Open("sqlite", "file:"+path+"?_pragma=synchronous(off)&_pragma=cache_size(-262144)")
	if err != nil {
		return err
	}
	defer pool.Close() //nolint:errcheck // the checkpoint below says whether all is written
	pool.SetMaxOpenConns(1)
	start, end := time.Date(2025, 12, 31, 23, 0, 0, 0, time.UTC), time.Date(2099, 12, 31, 22, 59, 59, 0, time.UTC)
	standing := fmt.Sprintf(`{"status":%q,"effectiveStart":%q,"effectiveEnd":%q,"entraObjectId":"3f0c6f0e-1d7b-4b1f-9a57-0b1f0a3a9a01","entraUserState":"Accepted"}`,
		contractor.StatusActive, start.Format(time.RFC3339), end.Format(time.RFC3339))
	for _, q := range []struct {
		query string
		args  []any
	}{
		{`UPDATE persons SET next_at = ?, urgent = 0, phase = 'open', origin = 'invited', guest_id = id`, []any{end.UnixMicro()}},
		{`UPDATE engagements SET status = ?, start_at = ?, end_at = ?, standing = ?`, []any{string(contractor.StatusActive), start.UnixMicro(), end.UnixMicro(), standing}},
		{`PRAGMA wal_checkpoint(TRUNCATE)`, nil},
	} {
		if _, err := pool.ExecContext(ctx, q.query, q.args...); err != nil {
			return fmt.Errorf("settle %s: %w", path, err)
		}
	}
	return nil
}

// copyStore copies a store for a part that writes. The copy is synced: what the system still has to write of it would be paid for
// by what is measured next.
func (o *options) copyStore(from, name string) (string, error) {
	to := filepath.Join(o.dir, name)
	if err := removeStore(to); err != nil {
		return "", err
	}
	in, err := os.Open(from)
	if err != nil {
		return "", err
	}
	defer in.Close() //nolint:errcheck // it was read
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	_, err = out.ReadFrom(in)
	return to, errors.Join(err, out.Sync(), out.Close())
}

// working copies the store of so many records for a part that writes, and reads who is in it. Whoever calls removes it.
func (o *options) working(ctx context.Context, rows int, name string) (path string, users []knownUser, err error) {
	from, err := o.store(ctx, rows)
	if err != nil {
		return "", nil, err
	}
	if path, err = o.copyStore(from, name); err != nil {
		return "", nil, err
	}
	if users, err = sample(ctx, path, rows); err != nil {
		return "", nil, errors.Join(err, removeStore(path))
	}
	return path, users, nil
}
