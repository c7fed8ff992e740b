package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"modernc.org/sqlite"
)

// Config says where the store is and what it may use.
type Config struct {
	// Path of the database file, or the address of a PostgreSQL database (postgres://…); required. A file is made if it does not
	// exist, its directory is not. "-wal", "-shm" and ".lock" files stand beside it.
	Path string

	// Password is asked for the password of PostgreSQL each time a session is opened, where that is a token that expires; nil:
	// the address has it, or PGPASSFILE, or the server wants none.
	Password func(ctx context.Context) (string, error)

	// Readers is how many short reads run at once; default 4, and 16 on PostgreSQL. Four long ones (exports, verification) run
	// beside them.
	Readers int

	// BusyTimeout is how long a write waits for another process, or another node, that writes; default 10 s.
	BusyTimeout time.Duration

	// QueryTimeout is how long one list query may run before it is refused as too expensive; default 5 s.
	QueryTimeout time.Duration

	// Target lets a database be opened into which a copy was begun and not ended.
	Target bool
}

const (
	defaultReaders      = 4
	longReaders         = 4 // reads that may take long, beside the short ones
	defaultBusyTimeout  = 10 * time.Second
	defaultQueryTimeout = 5 * time.Second

	// applicationID marks a file as ours (PRAGMA application_id): "SCIB".
	applicationID = 0x53434942

	// walPages is the size in pages at which a commit itself moves the write-ahead log into the file. The checkpointer does so
	// long before, off the request path; this is the backstop.
	walPages = 4 * restartPages
)

// Store is the database. It is safe for concurrent use.
type Store struct {
	engine       engine
	path         string    // of the file; on PostgreSQL the address, without its secrets
	dialer       *pgDialer // nil on SQLite
	queryTimeout time.Duration

	reads  *sql.DB // query_only connections
	short  *readers
	writes *sql.DB // one connection, owned by the writer
	checks *sql.DB // one connection for checkpoints
	wal    walFile // the syncer's own, once it is started

	w         *writer
	cp        *checkpointer
	tokens    tokenCache
	memos     memos
	stats     statsCache
	cursorKey []byte // signs cursors; kept in settings so that cursors outlive a restart

	closeOnce sync.Once
	closeErr  error
}

// Open opens the store, makes the file where there is none, and brings the schema up to date. Every refusal says what to do.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Path == "" {
		return nil, errors.New("open database: no path given; set database in the configuration")
	}
	if cfg.Readers <= 0 {
		cfg.Readers = defaultReaders
		if IsPostgres(cfg.Path) {
			cfg.Readers = pgReaders
		}
	}
	if cfg.BusyTimeout <= 0 {
		cfg.BusyTimeout = defaultBusyTimeout
	}
	if cfg.QueryTimeout <= 0 {
		cfg.QueryTimeout = defaultQueryTimeout
	}
	if IsPostgres(cfg.Path) {
		return openPostgres(ctx, cfg)
	}
	path, err := filepath.Abs(cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", cfg.Path, err)
	}
	if err := makeFile(path); err != nil {
		return nil, err
	}
	drv, err := newDriver()
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	if err := checkOurs(ctx, drv, path, cfg.BusyTimeout); err != nil {
		return nil, err
	}

	s := &Store{path: path, wal: walFile{path: path + "-wal"}, queryTimeout: cfg.QueryTimeout}
	s.writes = openPool(drv, writerDSN(path, cfg.BusyTimeout, "NORMAL"), 1) // the syncer does what makes it FULL
	s.reads = openPool(drv, readerDSN(path, cfg.BusyTimeout), cfg.Readers+longReaders)
	s.short = newReaders(s.reads, cfg.Readers)
	s.checks = openPool(drv, writerDSN(path, cfg.BusyTimeout, "FULL"), 1)
	if err := s.start(ctx, cfg.Target); err != nil {
		return nil, errors.Join(err, s.closePools())
	}
	return s, nil
}

// start migrates, and sets the writer and the checkpointer to work.
func (s *Store) start(ctx context.Context, target bool) error {
	conn, err := openConn(ctx, s.writes)
	if err != nil {
		return openError(s.path, err)
	}
	if err := migrate(ctx, conn, s.path); err != nil {
		return errors.Join(err, conn.close())
	}
	if err := refuseHalf(ctx, conn.sql, s.path); err != nil && !target {
		return errors.Join(err, conn.close())
	}
	if s.cursorKey, err = loadCursorKey(ctx, conn.sql); err != nil {
		return errors.Join(openError(s.path, err), conn.close())
	}
	if err := s.wal.sync(); err != nil { // what the migrations wrote
		return errors.Join(openError(s.path, err), conn.close())
	}
	s.cp = newCheckpointer(s.checks, s.short)
	disk := startSyncer(s.wal.sync, s.cp.health.lost)
	s.short.settle = disk.settle
	if s.engine == enginePostgres { // it has a log of its own, and lets nobody see what is not on the disk
		s.cp.every = math.MaxInt
		s.short.settle = func(context.Context) error { return nil }
	}
	s.w = startWriter(conn, s.writes, s.cp, disk, s.wal.path)
	go s.cp.loop()
	return nil
}

// Close finishes the writes that wait, and closes the file. Calls after it are refused.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.cp.close()
		err := s.w.close()
		s.closeErr = errors.Join(err, s.wal.close(), s.short.close(), s.stats.close(), s.closePools())
	})
	return s.closeErr
}

func (s *Store) closePools() error {
	return errors.Join(s.reads.Close(), s.checks.Close(), s.writes.Close())
}

// Path is the absolute path of the database file; on PostgreSQL the address without its secrets.
func (s *Store) Path() string { return s.path }

// makeFile creates the file readable by its owner alone. An existing file is only looked at from outside: closing a descriptor
// of it would drop the locks that another store in this process holds on it (POSIX locks belong to the process).
func makeFile(path string) error {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return fmt.Errorf("database %s is a directory; name a file in it, such as %s", path, filepath.Join(path, "scimbridge.db"))
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("database %s cannot be looked at: %w", path, err)
	}
	dir := filepath.Dir(path)
	if _, err := os.Stat(dir); err != nil {
		return fmt.Errorf("the directory of the database does not exist; make it with: install -d -m 0750 %s: %w", dir, err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("database %s cannot be made; let the service's user write to %s: %w", path, dir, err)
	}
	return f.Close()
}

// checkOurs looks at a file before anything in it is changed, the journal mode included.
func checkOurs(ctx context.Context, drv driver.Driver, path string, busy time.Duration) error {
	pool := openPool(drv, dsn(path, busy), 1)
	defer pool.Close() //nolint:errcheck // nothing was written
	if err := settleLog(ctx, pool, path); err != nil {
		return openError(path, err)
	}
	var id, tables int64
	if err := pool.QueryRowContext(ctx, `PRAGMA application_id`).Scan(&id); err != nil {
		return openError(path, err)
	}
	if err := pool.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema`).Scan(&tables); err != nil {
		return openError(path, err)
	}
	if id != applicationID && tables > 0 {
		return fmt.Errorf("%s is a database of another program; give scimbridge a file of its own by setting database in the configuration", path)
	}
	return nil
}

func writerDSN(path string, busy time.Duration, synchronous string) string {
	return dsn(path, busy,
		"_txlock", "immediate",
		"_journal_mode", "WAL",
		"_synchronous", synchronous,
		"_foreign_keys", "1",
		"_pragma", "wal_autocheckpoint("+strconv.Itoa(walPages)+")",
		"_pragma", "journal_size_limit(268435456)", // more than the log needs: a log that is cut has to grow again
		"_pragma", "cache_size(-32768)",
		"_pragma", "temp_store(memory)",
		"_pragma", "secure_delete(1)", // what is erased is overwritten
		"_pragma", "recursive_triggers(1)", // REPLACE fires the triggers that refuse deletes
	)
}

func readerDSN(path string, busy time.Duration) string {
	return dsn(path, busy,
		"_query_only", "1",
		"_pragma", "cache_size(-8192)",
		"_pragma", "temp_store(memory)",
	)
}

// dsn writes pragmas into the name, since a pragma that is executed reaches one pooled connection only.
func dsn(path string, busy time.Duration, params ...string) string {
	q := url.Values{}
	q.Set("_busy_timeout", strconv.FormatInt(busy.Milliseconds(), 10))
	q.Set("_dqs", "0")
	q.Set("_defensive", "1")
	q.Set("_error_rc", "1")
	for i := 0; i+1 < len(params); i += 2 {
		q.Add(params[i], params[i+1])
	}
	u := url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}
	return u.String()
}

// connector opens connections of a driver of our own, which carries our SQL functions and leaves the process's global one alone.
type connector struct {
	driver driver.Driver
	dsn    string
}

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return c.driver.Open(c.dsn)
}

func (c connector) Driver() driver.Driver { return c.driver }

func openPool(drv driver.Driver, dsn string, conns int) *sql.DB {
	pool := sql.OpenDB(connector{drv, dsn})
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns)
	return pool
}

// newDriver makes a SQLite driver with the functions that queries need beyond SQLite's own.
func newDriver() (driver.Driver, error) {
	d := &sqlite.Driver{}
	if err := d.RegisterDeterministicScalarFunction("scim_fold", 1, sqlFold); err != nil {
		return nil, err
	}
	if err := d.RegisterDeterministicScalarFunction("scim_micros", 1, sqlMicros); err != nil {
		return nil, err
	}
	if err := d.RegisterDeterministicScalarFunction("scim_number", 1, sqlNumber); err != nil {
		return nil, err
	}
	return d, nil
}
