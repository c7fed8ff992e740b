package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/stdlib"
)

const (
	// pgReaders is how many short reads run at once: a read waits for the network, not for a processor.
	pgReaders = 16

	// pgPatience is how long a statement of the writer may take. A transaction holds the write lock of all nodes.
	pgPatience = 20 * time.Second

	// pgIdleWrite is after how long PostgreSQL itself ends a transaction whose node says nothing more: one that froze, or was cut
	// off, holds up the others no longer.
	pgIdleWrite = 5 * time.Second

	// pgLeast is the oldest server that is known to do (13 has idle_session_timeout missing).
	pgLeast = 14
)

// IsPostgres reports whether a database is named by an address of PostgreSQL rather than by a path.
func IsPostgres(database string) bool {
	return strings.HasPrefix(database, "postgres://") || strings.HasPrefix(database, "postgresql://")
}

// Redacted is how a database is called in logs and messages: without its password and parameters.
func Redacted(database string) string {
	if !IsPostgres(database) {
		return database
	}
	u, err := url.Parse(database)
	if err != nil {
		return "postgres://…"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// pgDialer opens sessions of one server.
type pgDialer struct {
	config   *pgx.ConnConfig
	password func(ctx context.Context) (string, error)
}

// newPgDialer reads an address.
func newPgDialer(cfg Config) (*pgDialer, error) {
	conf, err := pgx.ParseConfig(cfg.Path)
	if err != nil { // the error repeats the address, without the password
		return nil, fmt.Errorf("the database's address cannot be read; write database: postgres://user@host:5432/name?sslmode=verify-full: %w", err)
	}
	if conf.ConnectTimeout == 0 {
		conf.ConnectTimeout = 5 * time.Second
	}
	// A peer that is gone is noticed by the kernel even where nothing is waited for by us.
	dialer := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 3 * time.Second, Interval: time.Second, Count: 5}}
	dialer.Control = userTimeout(pgUnacknowledged)
	conf.DialFunc = dialer.DialContext
	// A query that its caller gave up is ended at the server too.
	conf.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: c, CancelRequestDelay: 0, DeadlineDelay: time.Second}
	}
	if conf.RuntimeParams["application_name"] == "" {
		conf.RuntimeParams["application_name"] = "scimbridge"
	}
	// Compiling a query costs more than all of ours take, and the estimates that decide on it know nothing of functions over JSON.
	if conf.RuntimeParams["jit"] == "" {
		conf.RuntimeParams["jit"] = "off"
	}
	return &pgDialer{config: conf, password: cfg.Password}, nil
}

// connector opens sessions with these parameters besides.
func (d *pgDialer) connector(patience time.Duration, params map[string]string) pgConnector {
	conf := d.config.Copy()
	maps.Copy(conf.RuntimeParams, params)
	return pgConnector{stdlib.GetConnector(*conf, stdlib.OptionBeforeConnect(d.authenticate), stdlib.OptionResetSession(noReset)), patience}
}

// authenticate asks for the password anew: a token of Entra lives an hour, and a session as long as it likes.
func (d *pgDialer) authenticate(ctx context.Context, conf *pgx.ConnConfig) error {
	if d.password == nil {
		return nil
	}
	password, err := d.password(ctx)
	if err != nil {
		return fmt.Errorf("the password of the database cannot be had: %w", err)
	}
	conf.Password = password
	return nil
}

func noReset(context.Context, *pgx.Conn) error { return nil }

func (d *pgDialer) pool(conns int, patience time.Duration, params map[string]string) *sql.DB {
	pool := sql.OpenDB(d.connector(patience, params))
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns)
	return pool
}

// openPostgres opens a store on a server.
func openPostgres(ctx context.Context, cfg Config) (*Store, error) {
	dialer, err := newPgDialer(cfg)
	if err != nil {
		return nil, err
	}
	s := &Store{engine: enginePostgres, path: Redacted(cfg.Path), queryTimeout: cfg.QueryTimeout, dialer: dialer}
	s.writes = dialer.pool(1, pgPatience, map[string]string{
		"lock_timeout":                        milliseconds(cfg.BusyTimeout),
		"idle_in_transaction_session_timeout": milliseconds(pgIdleWrite),
	})
	s.reads = dialer.pool(cfg.Readers+longReaders, 0, map[string]string{"default_transaction_read_only": "on"})
	s.short = newReaders(s.reads, cfg.Readers)
	s.checks = dialer.pool(1, 0, nil)
	if err := s.checkServer(ctx); err != nil {
		return nil, errors.Join(err, s.closePools())
	}
	if err := s.start(ctx, cfg.Target); err != nil {
		return nil, errors.Join(err, s.closePools())
	}
	return s, nil
}

func milliseconds(d time.Duration) string { return fmt.Sprint(d.Milliseconds()) }

// checkServer refuses a server on which the store could not keep what it promises.
func (s *Store) checkServer(ctx context.Context) error {
	var version int
	var encoding, schema, commit string
	var standby bool
	err := s.checks.QueryRowContext(ctx, `SELECT current_setting('server_version_num')::integer / 10000, current_setting('server_encoding'),
		coalesce(current_schema(), ''), current_setting('synchronous_commit'), pg_is_in_recovery()`).Scan(&version, &encoding, &schema, &commit, &standby)
	switch {
	case err != nil:
		return openError(s.path, err)
	case version < pgLeast:
		return fmt.Errorf("%s is PostgreSQL %d; scimbridge needs %d or newer", s.path, version, pgLeast)
	case encoding != "UTF8":
		return fmt.Errorf("%s keeps its text as %s; make the database anew with: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0", s.path, encoding)
	case schema == "":
		return fmt.Errorf("%s has no schema to make tables in; create the one that its search_path names, or name another by ?search_path=… in the address", s.path)
	case standby:
		return fmt.Errorf("%s is a standby that takes no writes; name the primary, or several hosts and target_session_attrs=read-write", s.path)
	case commit == "off":
		return fmt.Errorf("%s answers a commit before it is on disk (synchronous_commit = off); an acknowledged write could be lost: set it to on for this database", s.path)
	}
	return nil
}
