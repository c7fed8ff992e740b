package db

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

const (
	// checkpointEvery is after how many writes the write-ahead log is moved into the file: often enough to keep the log small,
	// and rare enough that a page which many writes touch is moved once for all of them.
	checkpointEvery = 1000

	// restartPages is the size in pages at which the log has to begin anew. It does so only at an instant at which nobody reads
	// from it, and under load there is none: the readers are made to wait for one.
	restartPages = 8_000

	// leastPatience is how long the checkpointer waits for the reads that run, and holds up those that come. Where they take
	// longer, the new beginning is put off, and the next time it waits twice as long: at most for mostPatience.
	leastPatience = 100 * time.Millisecond
	mostPatience  = 2 * time.Second
)

// checkpointer moves the write-ahead log into the database file, away from the path of those who wait for a commit. It is woken
// by writes and never by a clock: an idle store does nothing.
type checkpointer struct {
	pool    *sql.DB
	health  *health
	readers *readers
	wake    chan struct{}
	tasks   chan func(*conn) // for the writer, between two transactions
	quit    chan struct{}
	ended   chan struct{}

	every, restart int // checkpointEvery and restartPages

	pending int // the writer's own

	patience time.Duration // the loop's own
}

func newCheckpointer(pool *sql.DB, readers *readers) *checkpointer {
	return &checkpointer{
		pool:     pool,
		health:   newHealth(),
		readers:  readers,
		wake:     make(chan struct{}, 1),
		tasks:    make(chan func(*conn)),
		quit:     make(chan struct{}),
		ended:    make(chan struct{}),
		every:    checkpointEvery,
		restart:  restartPages,
		patience: leastPatience,
	}
}

// wrote is called by the writer after each batch.
func (c *checkpointer) wrote(n int) {
	if c.pending += n; c.pending < c.every {
		return
	}
	c.pending = 0
	select {
	case c.wake <- struct{}{}:
	default: // one is due already
	}
}

func (c *checkpointer) loop() {
	defer close(c.ended)
	for {
		select {
		case <-c.wake:
			c.checkpoint()
		case <-c.quit:
			return
		}
	}
}

// checkpoint does most of the work beside the writer, and what it takes to begin the log anew in the writer's place. A failure
// of the disk shuts the store for writes: the next commit might not meet it, since it goes to the log alone, which would grow and grow.
func (c *checkpointer) checkpoint() {
	if _, why := c.health.refusal(time.Now()); why != nil {
		return // what a failed sync left out of the log must not come into the file
	}
	pages, err := c.passive() // waits for nobody
	if c.health.saw(err); err != nil || pages < c.restart {
		return
	}
	release, ok := c.readers.pause(c.patience, c.quit)
	defer release()
	if !ok {
		c.patience = min(2*c.patience, mostPatience)
		return
	}
	c.patience = leastPatience
	// Nobody reads from the log and, while the writer is here, nobody adds to it: now all of it can be moved, and readers that
	// come read from the file. The next write begins the log anew.
	done := make(chan struct{})
	task := func(w *conn) {
		defer close(done)
		_, err := w.exec(context.Background(), `PRAGMA wal_checkpoint(PASSIVE)`)
		c.health.saw(err)
	}
	busyFor := time.NewTimer(mostPatience) // the writer may be in a long batch, or wait for another process
	defer busyFor.Stop()
	select {
	case c.tasks <- task:
		<-done
	case <-busyFor.C:
	case <-c.quit:
	}
}

// passive moves what it can, and answers how long the log is, in pages. A connection that failed is not used again: one that was opened while the disk was
// read-only stays so.
func (c *checkpointer) passive() (pages int, err error) {
	conn, err := openConn(context.Background(), c.pool)
	if err != nil {
		return 0, err
	}
	var busy, moved int
	if err := conn.sql.QueryRowContext(context.Background(), `PRAGMA wal_checkpoint(PASSIVE)`).Scan(&busy, &pages, &moved); err != nil {
		return 0, errors.Join(err, conn.close())
	}
	return pages, conn.sql.Close()
}

func (c *checkpointer) close() {
	close(c.quit)
	<-c.ended
}
