package db

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"scimbridge/internal/audit"
)

// Restored says what a restore did.
type Restored struct {
	Events int64  `json:"events"`         // that the journal of the backup holds, its own event not counted
	Kept   string `json:"kept,omitempty"` // where the database that was replaced lies now; empty: there was none
	Woken  int64  `json:"woken"`          // people who are compared with Entra at the next start
}

// Restore puts a backup in the place of the database at path, which need not exist and must not be served. The backup is
// checked whole first, as Backup checks it; the database that it replaces is kept beside it under a name with the time. The
// restored one is brought up to this build's schema, tells in its journal who restored it and why, and has everybody compared
// with Entra, which has gone on since the backup was made.
//
// It may be called again after it was interrupted: until the last rename the old database is the one in place.
func Restore(ctx context.Context, backup, path string, actor audit.Actor, reason string) (Restored, error) {
	var r Restored
	path, err := filepath.Abs(path)
	if err != nil {
		return r, fmt.Errorf("restore %s: %w", path, err)
	}
	if backup, err = filepath.Abs(backup); err != nil {
		return r, fmt.Errorf("restore %s: %w", backup, err)
	}
	if _, err := os.Stat(backup); err != nil {
		return r, fmt.Errorf("the backup cannot be read: %w", err)
	}
	release, err := lead(ctx, path)
	if err != nil {
		return r, err
	}
	defer release()
	if r.Events, err = checkCopy(ctx, backup); err != nil {
		return r, fmt.Errorf("%s is no whole backup; take an older one: %w", backup, err)
	}
	if r.Kept, err = replace(backup, path, time.Now()); err != nil {
		return r, fmt.Errorf("restore %s: %w", backup, err)
	}
	s, err := Open(ctx, Config{Path: path})
	if err != nil {
		return r, err
	}
	detail, err := json.Marshal(map[string]any{"backup": filepath.Base(backup), "events": r.Events})
	if err == nil {
		err = s.AppendEvents(ctx, audit.Event{Kind: "store.restored", Outcome: audit.Done, Actor: actor, Reason: reason, Detail: detail})
	}
	if err == nil {
		r.Woken, err = s.WakeAll(ctx, time.Now(), 0)
	}
	return r, errors.Join(err, s.Close())
}

// replace puts a copy of backup at path in one rename. What was there keeps living under the name that is answered, with what
// its write-ahead log holds.
func replace(backup, path string, now time.Time) (kept string, err error) {
	fresh := path + ".restoring"
	if err := copyFile(backup, fresh); err != nil {
		return "", errors.Join(err, os.Remove(fresh))
	}
	if _, err := os.Stat(path); err == nil {
		kept = path + ".before-restore-" + now.UTC().Format("20060102T150405Z")
		if err := os.Link(path, kept); err != nil {
			return "", err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	for _, suffix := range []string{"-wal", "-shm"} { // what SQLite keeps beside a database
		err := os.Rename(path+suffix, kept+suffix)
		if kept == "" { // left behind by a database that was deleted: it belongs to nothing
			err = os.Remove(path + suffix)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return kept, err
		}
	}
	if err := os.Rename(fresh, path); err != nil {
		return kept, err
	}
	return kept, syncFile(filepath.Dir(path))
}

// copyFile writes a new file for its owner alone and sees it on disk. What a restore that was interrupted left is overwritten.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // it was read only
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}
