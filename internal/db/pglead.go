package db

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"

	"scimbridge/internal/contractor"
)

const (
	// leadSilence is after how long PostgreSQL itself ends the session of a leader that says nothing, and its lock with it: one that
	// died without a word, froze, or was cut off.
	leadSilence = 9 * time.Second

	// leadPing is how often a leader says that it is there; by the clock, whatever else comes.
	leadPing = time.Second

	// leadAnswer is how long it waits for an answer. A leader that gets none ends its work, well before PostgreSQL ends its lead.
	leadAnswer = 2 * time.Second

	// leadLease is how long a lead can be relied upon after the last answer: the sum of both, and well below leadSilence.
	leadLease = leadPing + leadAnswer + time.Second

	// leadRetry is how often a standby tries to become leader.
	leadRetry = 250 * time.Millisecond

	// electionName is what the sessions of the election are called at the server, of leader and standbys.
	electionName = "scimbridge election"

	// dueChannel carries wakes from the node that a record came to, to the leader.
	dueChannel = "scimbridge_due"
)

// Lease says whether this node leads. It is asked right before each act that only a leader may do.
type Lease struct {
	answered atomic.Int64 // wall clock of the last answer, microseconds; 0: does not lead
	since    atomic.Pointer[time.Time]
}

// Held reports whether this node leads, as far as it can know: PostgreSQL answered lately. A process that was frozen finds its lease
// run out before it does anything, since both its clocks went on; so does one on a machine that was suspended.
func (l *Lease) Held() bool {
	at := l.since.Load()
	if at == nil {
		return false
	}
	wall := time.Since(time.UnixMicro(l.answered.Load()))
	return time.Since(*at) < leadLease && wall < leadLease && wall > -leadLease
}

func (l *Lease) renew(asked time.Time) {
	l.answered.Store(asked.UnixMicro())
	l.since.Store(&asked)
}

func (l *Lease) end() { l.since.Store(nil) }

// Campaign stands for election among the nodes that share a PostgreSQL database, until ctx ends. Each time this node is elected for
// the name (a tenant), lead is called with a context that ends with the lead, and the lock is given back once it returned. wake is
// called when another node stored something that is due; what is due is in the database all the same, so a lost wake is only late.
// failed is told why the database could not be asked; it is asked again.
//
// The lock belongs to a session of its own. PostgreSQL gives it to another as soon as that session ends, and ends the session itself
// where nothing comes from it (leadSilence).
func (s *Store) Campaign(ctx context.Context, name string, lease *Lease, wake func(), lead func(context.Context), failed func(error)) error {
	if s.engine != enginePostgres {
		return contractor.Errorf(contractor.CodeInternal, "a SQLite database has one daemon; Lead makes it that one")
	}
	c := campaign{store: s, name: name, lease: lease, wake: wake, lead: lead}
	for ctx.Err() == nil {
		if err := c.session(ctx); err != nil && ctx.Err() == nil {
			failed(err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(leadRetry):
		}
	}
	return nil
}

type campaign struct {
	store *Store
	name  string
	lease *Lease
	wake  func()
	lead  func(context.Context)
}

// session opens a session, waits for the lock, and leads.
func (c *campaign) session(ctx context.Context) (err error) {
	conf := c.store.dialer.config.Copy()
	conf.RuntimeParams["application_name"] = electionName
	conf.RuntimeParams["idle_session_timeout"] = milliseconds(leadSilence)
	// Waiting for a wake ends by the clock again and again: nothing is cancelled at the server then.
	conf.BuildContextWatcherHandler = func(pg *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.DeadlineContextWatcherHandler{Conn: pg.Conn()}
	}
	if err := c.store.dialer.authenticate(ctx, conf); err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, conf)
	if err != nil {
		return fmt.Errorf("open the session of the election: %w", err)
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), leadAnswer)
		defer cancel()
		_ = conn.Close(closing) // the lock goes with the session, closed in order or not
	}()
	for {
		elected, asked, err := c.ask(ctx, conn)
		if err != nil {
			return err
		}
		if elected {
			c.lease.renew(asked)
			return c.serve(ctx, conn)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(leadRetry):
		}
	}
}

// ask tries to take the lock. The lease begins before the question: the answer may have been long on its way.
func (c *campaign) ask(ctx context.Context, conn *pgx.Conn) (elected bool, asked time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, leadAnswer)
	defer cancel()
	asked = time.Now()
	err = conn.QueryRow(ctx, `SELECT pg_try_advisory_lock(`+strconv.Itoa(lockClass)+`, hashtext(current_schema() || ' lead ' || $1::text))`, c.name).Scan(&elected)
	if err == nil && elected {
		_, err = conn.Exec(ctx, `LISTEN `+dueChannel)
	}
	return elected, asked, err
}

// serve leads until the session or ctx ends.
func (c *campaign) serve(ctx context.Context, conn *pgx.Conn) error {
	leading, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.lead(leading)
	}()
	defer func() {
		c.lease.end()
		stop()
		<-done
	}()
	c.wake() // what came before the first LISTEN
	next := time.Now().Add(leadPing)
	for {
		select {
		case <-done: // the lead was given up
			return nil
		case <-ctx.Done():
			return nil
		default:
		}
		if time.Until(next) <= 0 {
			next = time.Now().Add(leadPing)
			if err := c.ping(ctx, conn); err != nil {
				return fmt.Errorf("the lead is lost: %w", err)
			}
			continue
		}
		waiting, cancel := context.WithDeadline(ctx, next)
		_, err := conn.WaitForNotification(waiting)
		cancel()
		switch {
		case err == nil:
			c.wake()
		case conn.IsClosed():
			return fmt.Errorf("the lead is lost: %w", err)
		}
	}
}

func (c *campaign) ping(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, leadAnswer)
	defer cancel()
	asked := time.Now()
	if _, err := conn.Exec(ctx, `SELECT 1`); err != nil {
		return err
	}
	c.lease.renew(asked)
	return nil
}
