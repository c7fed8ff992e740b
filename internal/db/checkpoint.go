package db

import (
	"context"
	"database/sql"
)

// checkpointEvery is after how many writes the write-ahead log is moved into the file: often enough to keep the log small, and
// rare enough that a page which many writes touch is moved once for all of them.
const checkpointEvery = 1000

// checkpointer moves the write-ahead log into the database file, away from the path of those who wait for a commit. It is woken
// by writes and never by a clock: an idle store does nothing.
type checkpointer struct {
	pool  *sql.DB
	wake  chan struct{}
	quit  chan struct{}
	ended chan struct{}

	pending int // the writer's own
}

func startCheckpointer(pool *sql.DB) *checkpointer {
	c := &checkpointer{
		pool:  pool,
		wake:  make(chan struct{}, 1),
		quit:  make(chan struct{}),
		ended: make(chan struct{}),
	}
	go c.loop()
	return c
}

// wrote is called by the writer after each batch.
func (c *checkpointer) wrote(n int) {
	if c.pending += n; c.pending < checkpointEvery {
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
			// PASSIVE waits for nobody. A failure is left to the writer's own checkpoint, which reports it to a caller.
			c.pool.ExecContext(context.Background(), `PRAGMA wal_checkpoint(PASSIVE)`) //nolint:errcheck // see above
		case <-c.quit:
			return
		}
	}
}

func (c *checkpointer) close() {
	close(c.quit)
	<-c.ended
}
