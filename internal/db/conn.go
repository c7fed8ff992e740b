package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"time"

	"modernc.org/sqlite"
)

// maxStatements bounds the prepared statements of one connection. Their texts are constants, or put together from few; only the
// filters of list queries come in many shapes.
const maxStatements = 256

// conn is one connection with its prepared statements: preparing costs more than most statements do. It is used by one
// goroutine at a time.
type conn struct {
	sql   *sql.Conn
	pg    *pgConn // what stands below sql; nil on SQLite
	stmts map[string]*sql.Stmt

	below    driver.Conn // SQLite's, under sql; nil: another's
	prepared map[string]driver.StmtQueryContext
}

func openConn(ctx context.Context, pool *sql.DB) (*conn, error) {
	c, err := pool.Conn(ctx)
	if err != nil {
		return nil, err
	}
	made := &conn{sql: c, stmts: make(map[string]*sql.Stmt), prepared: make(map[string]driver.StmtQueryContext)}
	err = c.Raw(func(below any) error {
		if _, ours := below.(sqlite.FileControl); ours {
			made.below, _ = below.(driver.Conn)
		}
		made.pg, _ = below.(*pgConn)
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return made, nil
}

// usable reports whether a connection that rested can be used: a server that was restarted has closed those of PostgreSQL.
func (c *conn) usable() bool { return c.pg == nil || c.pg.usable() }

// aborted reports whether a statement failed so that its transaction can only be rolled back. In SQLite, none does.
func (c *conn) aborted() bool { return c.pg != nil && c.pg.aborted() }

func (c *conn) stmt(ctx context.Context, query string) (*sql.Stmt, error) {
	if stmt := c.stmts[query]; stmt != nil {
		return stmt, nil
	}
	if len(c.stmts) >= maxStatements {
		if err := c.forget(); err != nil {
			return nil, err
		}
	}
	stmt, err := c.sql.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	c.stmts[query] = stmt
	return stmt, nil
}

func (c *conn) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	stmt, err := c.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	return stmt.ExecContext(ctx, args...)
}

func (c *conn) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	stmt, err := c.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	return stmt.QueryContext(ctx, args...)
}

// row reads one row into dest; sql.ErrNoRows if there is none.
func (c *conn) row(ctx context.Context, query string, args []any, dest ...any) error {
	if c.below != nil && ctx.Done() == nil && takes(dest) {
		return c.rowDirect(query, args, dest)
	}
	stmt, err := c.stmt(ctx, query)
	if err != nil {
		return err
	}
	return stmt.QueryRowContext(ctx, args...).Scan(dest...)
}

// forget closes the prepared statements.
func (c *conn) forget() error {
	var errs []error
	for _, stmt := range c.stmts {
		errs = append(errs, stmt.Close())
	}
	clear(c.stmts)
	return errors.Join(append(errs, c.forgetDirect())...)
}

// close closes the connection for good, and with it whatever transaction it was in.
func (c *conn) close() error {
	err := c.forget()
	// database/sql throws a connection away whose Raw function answers ErrBadConn, instead of keeping it for the next caller.
	if raw := c.sql.Raw(func(any) error { return driver.ErrBadConn }); raw != nil && !errors.Is(raw, driver.ErrBadConn) && !errors.Is(raw, sql.ErrConnDone) {
		err = errors.Join(err, raw)
	}
	return err
}

// readers are connections for short reads. Long ones (exports, verification) take a connection of the pool to themselves.
type readers struct {
	pool    *sql.DB
	idle    chan *conn    // nil: a place whose connection is not open yet
	closing chan struct{} // closed by close: no further read begins

	// settle waits until what a read may have seen is on the disk.
	settle func(context.Context) error
}

func newReaders(pool *sql.DB, n int) *readers {
	r := &readers{pool: pool, idle: make(chan *conn, n), closing: make(chan struct{})}
	for range n {
		r.idle <- nil
	}
	return r
}

// with runs fn on a connection, and returns once all that it may have read is on the disk.
func (r *readers) with(ctx context.Context, fn func(*conn) error) error {
	if err := r.run(ctx, fn); err != nil {
		return err
	}
	return r.settle(ctx)
}

// run runs fn on a connection. A connection on which anything failed is not used again.
func (r *readers) run(ctx context.Context, fn func(*conn) error) error {
	select {
	case <-r.closing:
		return errClosed()
	default:
	}
	var c *conn
	select {
	case c = <-r.idle:
	case <-ctx.Done():
		return ctx.Err()
	case <-r.closing:
		return errClosed()
	}
	defer func() { r.idle <- c }()
	if c != nil && !c.usable() {
		_ = c.close() // it is gone already
		c = nil
	}
	if c == nil {
		var err error
		if c, err = openConn(ctx, r.pool); err != nil {
			return err
		}
	}
	err := fn(c)
	if err != nil && (extendedCode(err) != 0 || !c.usable()) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		err = errors.Join(err, c.close())
		c = nil
	}
	return err
}

// pause lets no read begin until release is called, and answers whether those that had begun ended within patience. The readers
// whose place was not had go on either way.
func (r *readers) pause(patience time.Duration, quit <-chan struct{}) (release func(), ok bool) {
	var held []*conn
	release = func() {
		for _, c := range held {
			r.idle <- c
		}
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for range cap(r.idle) {
		select {
		case c := <-r.idle:
			held = append(held, c)
		case <-timer.C:
			return release, false
		case <-quit:
			return release, false
		}
	}
	return release, true
}

// close waits for the reads that have begun, and closes the connections.
func (r *readers) close() error {
	close(r.closing)
	var errs []error
	for range cap(r.idle) {
		if c := <-r.idle; c != nil {
			errs = append(errs, c.close())
		}
	}
	return errors.Join(errs...)
}

// snapshot runs fn in a transaction, so that all it reads belongs together.
func (r *readers) snapshot(ctx context.Context, fn func(*conn) error) error {
	return r.with(ctx, func(c *conn) error {
		whole := context.WithoutCancel(ctx)
		if _, err := c.exec(whole, `BEGIN`); err != nil {
			return err
		}
		err := fn(c)
		_, end := c.exec(whole, `ROLLBACK`)
		return errors.Join(err, end)
	})
}
