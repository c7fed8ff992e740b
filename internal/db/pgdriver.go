package db

import (
	"context"
	"crypto/tls"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
	"golang.org/x/sys/unix"
)

const (
	// lockClass is the first half of our advisory locks: "SCIB". The second tells them apart, and installations in schemas of
	// one database from each other.
	lockClass = 0x53434942

	// beginWrite lets one transaction write at a time, over all nodes: what SQLite does by itself, and what keeps the journal one
	// chain without a gap. PostgreSQL lets the lock go behind the commit, so that who gets it sees what was committed.
	beginWrite = `BEGIN; SELECT pg_advisory_xact_lock(1396918594, hashtext(current_schema() || ' write'))`

	// commitDue wakes the leader, wherever it is, once what it is to look at is there.
	commitDue = `NOTIFY ` + dueChannel + `; COMMIT`

	// beginRead is a transaction that sees one state.
	beginRead = `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`
)

// errAborted is a commit that PostgreSQL answered with a rollback, since a statement before it had failed.
var errAborted = errors.New("the transaction was rolled back, since one of its statements failed")

// pgConnector opens connections that take statements as SQLite would.
type pgConnector struct {
	driver.Connector

	patience time.Duration // of a statement whose context has no end; 0: none
}

func (c pgConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	std, ok := conn.(*stdlib.Conn)
	if !ok {
		return nil, fmt.Errorf("the PostgreSQL driver made a connection of type %T", conn)
	}
	return &pgConn{Conn: std, patience: c.patience, known: make(map[string]*pgKnown)}, nil
}

// pgConn is a connection. pgx prepares each text once by itself, and so a prepared statement here is its text alone.
type pgConn struct {
	*stdlib.Conn

	patience time.Duration
	known    map[string]*pgKnown
}

// pgKnown is a statement that was turned, and its texts by the types of their arguments.
type pgKnown struct {
	statement *pgStatement
	texts     map[string]string
}

// aborted reports whether the transaction can only be rolled back.
func (c *pgConn) aborted() bool { return c.Conn.Conn().PgConn().TxStatus() == 'E' }

// usable reports whether the connection is open and in no transaction. It sends nothing.
func (c *pgConn) usable() bool {
	pg := c.Conn.Conn().PgConn()
	return !pg.IsClosed() && pg.TxStatus() == 'I' && quiet(pg.Conn())
}

// quiet reports whether nothing came from a peer that was asked nothing: neither its end nor the reason for it. pgx's own check
// waits a millisecond, and cancels at the server what it waits for.
func quiet(conn net.Conn) bool {
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	var peek error
	// Not raw.Read: it would wait for the reader that pgx may have in the background.
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		_, _, peek = unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	})
	return err == nil && (errors.Is(peek, unix.EAGAIN) || errors.Is(peek, unix.EWOULDBLOCK))
}

func (c *pgConn) Prepare(query string) (driver.Stmt, error) { return &pgStmt{c, query}, nil }

func (c *pgConn) PrepareContext(_ context.Context, query string) (driver.Stmt, error) {
	return &pgStmt{c, query}, nil
}

// CheckNamedValue makes arguments what SQLite would be given.
func (c *pgConn) CheckNamedValue(v *driver.NamedValue) (err error) {
	v.Value, err = driver.DefaultParameterConverter.ConvertValue(v.Value)
	return err
}

// text finds the words of a statement for these arguments.
func (c *pgConn) text(query string, args []driver.NamedValue) string {
	known := c.known[query]
	if known == nil {
		if len(c.known) >= maxStatements {
			clear(c.known)
		}
		known = &pgKnown{postgresStatement(query), make(map[string]string)}
		c.known[query] = known
	}
	types := make([]string, len(args))
	for i, a := range args {
		types[i] = pgType(a.Value)
	}
	shape := known.statement.shape(types)
	text, ok := known.texts[shape]
	if !ok {
		text = known.statement.text(types)
		known.texts[shape] = text
	}
	return text
}

func pgType(v driver.Value) string {
	switch v.(type) {
	case int64:
		return "bigint"
	case float64:
		return "double precision"
	case bool:
		return "boolean"
	case string:
		return "text"
	case []byte:
		return "bytea"
	}
	return ""
}

// bounded gives a statement its end, where its caller has none.
func (c *pgConn) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.patience == 0 || ctx.Done() != nil {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, c.patience)
}

func (c *pgConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	switch query {
	case `BEGIN IMMEDIATE`:
		return driver.ResultNoRows, c.control(ctx, beginWrite)
	case `BEGIN`:
		return driver.ResultNoRows, c.control(ctx, beginRead)
	case `COMMIT`, commitDue, `ROLLBACK`, `SAVEPOINT work`, `ROLLBACK TO work`, `RELEASE work`:
		return driver.ResultNoRows, c.control(ctx, query)
	}
	return c.Conn.ExecContext(ctx, c.text(query, args), args)
}

func (c *pgConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if c.patience > 0 && ctx.Done() == nil { // the end of the rows is the caller's
		ctx, cancel := c.bounded(ctx)
		rows, err := c.Conn.QueryContext(ctx, c.text(query, args), args)
		if err != nil {
			cancel()
			return nil, err
		}
		return &pgRows{rows, cancel}, nil
	}
	return c.Conn.QueryContext(ctx, c.text(query, args), args)
}

// control runs what begins and ends a transaction.
func (c *pgConn) control(ctx context.Context, script string) error {
	results, err := c.Conn.Conn().PgConn().Exec(ctx, script).ReadAll()
	if err != nil {
		return err
	}
	if strings.HasSuffix(script, `COMMIT`) && (len(results) == 0 || results[len(results)-1].CommandTag.String() != `COMMIT`) {
		return errAborted
	}
	return nil
}

// script runs several statements in PostgreSQL's own words.
func (c *pgConn) script(ctx context.Context, sql string) error {
	_, err := c.Conn.Conn().PgConn().Exec(ctx, sql).ReadAll()
	return err
}

type pgStmt struct {
	conn  *pgConn
	query string
}

func (s *pgStmt) Close() error  { return nil }
func (s *pgStmt) NumInput() int { return -1 }

// Exec and Query exist for the interface; database/sql calls those with a context.
func (s *pgStmt) Exec([]driver.Value) (driver.Result, error) { return nil, driver.ErrSkip }
func (s *pgStmt) Query([]driver.Value) (driver.Rows, error)  { return nil, driver.ErrSkip }

func (s *pgStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.conn.ExecContext(ctx, s.query, args)
}

func (s *pgStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.conn.QueryContext(ctx, s.query, args)
}

// pgRows are rows whose statement was given its end here.
type pgRows struct {
	driver.Rows

	cancel context.CancelFunc
}

func (r *pgRows) Close() error {
	defer r.cancel()
	return r.Rows.Close()
}

func (r *pgRows) Next(dest []driver.Value) error {
	err := r.Rows.Next(dest)
	if errors.Is(err, io.EOF) {
		r.cancel()
	}
	return err
}
