package db

import (
	"context"
	"errors"
	"sync"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"scimbridge/internal/contractor"
)

const (
	// probeEvery is how often a store that refuses writes tries whether the disk takes them again.
	probeEvery = time.Second

	// slowDisk is how long a transaction may take before the disk counts as gone and nobody else is let in behind it.
	slowDisk = 30 * time.Second
)

// health is whether the disk takes writes. A write that failed for the disk's sake shuts the door for all that follow, until a probe has
// gone through: they would fail too, after a wait, and a disk that fails is not to be worked on by everybody.
//
// A sync of the write-ahead log that failed is mended by writing the log once more (rewriteLog): the system counts the pages as written that it could not
// write. What a checkpoint failed to put into the file it begins again by itself, from the log.
type health struct {
	mu      sync.Mutex
	since   time.Time // of the refusal; zero: writes are taken
	why     error     // a *contractor.Error
	damaged bool      // no probe may lift the refusal: the file has to be restored
	begun   time.Time // of the transaction that runs, zero: none
	failed  chan struct{}
}

func newHealth() *health { return &health{failed: make(chan struct{}, 1)} }

// refusal is why no write is taken now, nil if they are.
func (h *health) refusal(now time.Time) (since time.Time, why error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.why != nil:
		return h.since, h.why
	case !h.begun.IsZero() && now.Sub(h.begun) > slowDisk:
		return h.begun, contractor.Errorf(contractor.CodeUnavailable, "the disk of the database has not answered for %d s; look at the disk, writes go on when it answers", int(now.Sub(h.begun).Seconds()))
	}
	return time.Time{}, nil
}

// saw notes errors of the disk and of the file; others say nothing about either.
func (h *health) saw(err error) {
	if err == nil || !ofTheDisk(primaryCode(err)) {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.damaged = h.damaged || ofTheFile(primaryCode(err))
	h.refuse(failure("write", err))
}

// lost notes that a sync failed.
func (h *health) lost(why error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refuse(why)
}

// refuse takes no further write. h.mu is held.
func (h *health) refuse(why error) {
	if h.why == nil {
		h.since = time.Now()
	}
	h.why = why
	select {
	case h.failed <- struct{}{}:
	default:
	}
}

func (h *health) mended() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.damaged {
		h.why, h.since = nil, time.Time{}
	}
}

// mayMend reports whether a refusal stands that a probe may lift.
func (h *health) mayMend() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.why != nil && !h.damaged
}

// begin and end stand around a transaction.
func (h *health) begin(now time.Time) {
	h.mu.Lock()
	h.begun = now
	h.mu.Unlock()
}

func (h *health) end() { h.begin(time.Time{}) }

// ofTheDisk reports whether a result code tells of the disk, its file system or the file, and not of a statement.
func ofTheDisk(code int) bool {
	switch code {
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return true
	}
	return ofTheFile(code)
}

func ofTheFile(code int) bool { return code == sqlite3.SQLITE_CORRUPT || code == sqlite3.SQLITE_NOTADB }

// endsTransaction reports whether SQLite may have rolled the whole transaction back by itself, after which further statements would each
// commit alone: with every error but those that a statement of ours provokes.
func endsTransaction(err error) bool {
	switch primaryCode(err) {
	case sqlite3.SQLITE_OK, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_RANGE, sqlite3.SQLITE_TOOBIG:
		return false
	}
	return true
}

// keepProbing waits for a refusal and probes until it is lifted. What is damaged does not mend itself.
func (w *writer) keepProbing() {
	for {
		select {
		case <-w.health.failed:
		case <-w.ended:
			return
		}
		for w.health.mayMend() {
			select {
			case <-time.After(probeEvery):
				w.probe()
			case <-w.ended:
				return
			}
		}
	}
}

// probe does what a write and a checkpoint do, and lifts the refusal where both went through.
func (w *writer) probe() {
	if w.disk.broken() != nil && w.rewrite() != nil {
		return
	}
	item := &work{run: func(t *tx) error {
		_, err := t.exec(`INSERT INTO settings (key, value, changed) VALUES ('disk_probe', x'00', ?)
			ON CONFLICT (key) DO UPDATE SET changed = excluded.changed`, t.now.UnixMicro())
		return err
	}, done: make(chan error, 1)}
	select {
	case w.queue <- item:
	case <-w.ended:
		return
	}
	if err := w.await(context.Background(), item); err != nil {
		return
	}
	if _, err := w.cp.passive(); err != nil {
		w.health.saw(err)
		return
	}
	w.health.mended()
}

// rewrite puts the log on the disk after a sync that failed, in the writer's place: nobody adds to it meanwhile.
func (w *writer) rewrite() error {
	done := make(chan error, 1)
	task := func(c *conn) {
		_, err := c.exec(context.Background(), `BEGIN IMMEDIATE`)
		if err == nil {
			err = rewriteLog(w.log)
			_, rollback := c.exec(context.Background(), `ROLLBACK`)
			err = errors.Join(err, rollback)
		}
		if err == nil {
			w.disk.mended()
		}
		done <- err
	}
	select {
	case w.cp.tasks <- task:
	case <-w.ended:
		return errClosed()
	}
	select {
	case err := <-done:
		return err
	case <-time.After(slowDisk): // no connection could be had, or the disk is silent
		return errClosed()
	}
}

// Refusing reports since when and why the store takes no writes: the disk is full, read-only, failing or silent, or the file is damaged. The error is a
// *contractor.Error with a sentence for people; nil while writes are taken. A refusal ends by itself once the disk takes writes again, but for a damaged file.
func (s *Store) Refusing(now time.Time) (since time.Time, why error) { return s.w.health.refusal(now) }
