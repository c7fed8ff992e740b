package db

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migration is one numbered file; a released one is never edited.
type migration struct {
	number   int
	name     string // file name
	sql      string
	checksum string // hex SHA-256 of the file
}

// migrations reads the embedded files in order.
func migrations() ([]migration, error) {
	entries, err := migrationFiles.ReadDir("migrations")
	if err != nil {
		return nil, err
	}
	var all []migration
	for i, entry := range entries {
		b, err := migrationFiles.ReadFile("migrations/" + entry.Name())
		if err != nil {
			return nil, err
		}
		number, err := strconv.Atoi(entry.Name()[:4])
		if err != nil || number != i+1 {
			return nil, fmt.Errorf("migration %s is not number %04d", entry.Name(), i+1)
		}
		sum := sha256.Sum256(b)
		all = append(all, migration{number, entry.Name(), string(b), hex.EncodeToString(sum[:])})
	}
	return all, nil
}

// migrate applies what is missing, each migration in a transaction of its own, and refuses a database that this binary does not
// know. Two processes that start at once do not apply one twice: each looks again inside its transaction.
func migrate(ctx context.Context, conn *conn, path string) error {
	known, err := migrations()
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	return migrateTo(ctx, conn, path, known)
}

func migrateTo(ctx context.Context, conn *conn, path string, known []migration) error {
	if conn.pg == nil {
		if err := keepBefore(ctx, conn.sql, path, known); err != nil {
			return err
		}
	}
	for {
		done, err := migrateOne(ctx, conn, path, known)
		if err != nil || done {
			return err
		}
	}
}

// keepBefore keeps a copy of a database of an older schema, before the first migration touches it, as PATH.before-NNNN, named
// after that migration: the way back, should the new version disappoint. It is left to the admin to delete.
func keepBefore(ctx context.Context, conn *sql.Conn, path string, known []migration) error {
	var number int
	err := conn.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema WHERE name = 'migrations'`).Scan(&number)
	if err == nil && number > 0 {
		err = conn.QueryRowContext(ctx, `SELECT count(*) FROM migrations`).Scan(&number)
	}
	if err != nil {
		return openError(path, err)
	}
	if number == 0 || number >= len(known) {
		return nil
	}
	kept := fmt.Sprintf("%s.before-%04d", path, known[number].number)
	if _, err := os.Stat(kept); err == nil {
		return nil // an earlier try made it
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(kept)+".*") // mode 0600
	if err != nil {
		return openError(path, fmt.Errorf("keep a copy before the upgrade: %w", err))
	}
	defer os.Remove(f.Name()) //nolint:errcheck // renamed by then, if all went well
	_, err = conn.ExecContext(ctx, `VACUUM INTO ?`, f.Name())
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), kept)
	}
	if err != nil {
		return openError(path, fmt.Errorf("keep a copy before the upgrade, which needs as much room as the database has: %w", err))
	}
	return nil
}

func migrateOne(ctx context.Context, c *conn, path string, known []migration) (done bool, err error) {
	conn := c.sql
	if _, err := conn.ExecContext(ctx, `BEGIN IMMEDIATE`); err != nil {
		return false, openError(path, err)
	}
	defer func() {
		if err != nil {
			_, rollbackErr := conn.ExecContext(context.WithoutCancel(ctx), `ROLLBACK`)
			err = errors.Join(err, rollbackErr)
		}
	}()
	applied, err := appliedMigrations(ctx, c, path)
	if err != nil {
		return false, openError(path, err)
	}
	for i, a := range applied {
		if i >= len(known) {
			return false, fmt.Errorf("database %s was written by a newer scimbridge (%s); install that version, or restore the backup made before the upgrade", path, a.name)
		}
		if a.name != known[i].name || a.checksum != known[i].checksum {
			return false, fmt.Errorf("database %s was made by another build: its migration %s is not this build's %s; install the build that made it", path, a.name, known[i].name)
		}
	}
	if len(applied) == len(known) {
		_, err := conn.ExecContext(ctx, `COMMIT`)
		return true, err
	}
	next := known[len(applied)]
	if c.pg != nil {
		err = c.pg.migratePostgres(ctx, next)
	} else {
		_, err = conn.ExecContext(ctx, next.sql)
	}
	if err != nil {
		return false, openError(path, fmt.Errorf("migration %s: %w", next.name, err))
	}
	_, err = conn.ExecContext(ctx, `INSERT INTO migrations (number, name, checksum, applied) VALUES (?, ?, ?, ?)`,
		next.number, next.name, next.checksum, time.Now().UnixMicro())
	if err != nil {
		return false, openError(path, err)
	}
	if _, err := conn.ExecContext(ctx, `COMMIT`); err != nil {
		return false, openError(path, err)
	}
	return false, nil
}

// appliedMigrations lists what a database has, and marks an empty one as ours.
func appliedMigrations(ctx context.Context, c *conn, path string) ([]migration, error) {
	conn := c.sql
	var tables int
	known := `SELECT count(*) FROM sqlite_schema WHERE name = 'migrations'`
	if c.pg != nil {
		known = `SELECT count(*) FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relname = 'migrations'`
	}
	if err := conn.QueryRowContext(ctx, known).Scan(&tables); err != nil {
		return nil, err
	}
	if tables == 0 && c.pg != nil {
		return nil, markPostgres(ctx, conn, path)
	}
	if tables == 0 {
		_, err := conn.ExecContext(ctx, fmt.Sprintf(`PRAGMA application_id = %d;
			CREATE TABLE migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied INTEGER NOT NULL) STRICT`, applicationID))
		return nil, err
	}
	rows, err := conn.QueryContext(ctx, `SELECT number, name, checksum FROM migrations ORDER BY number`)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	var all []migration
	for rows.Next() {
		var m migration
		if err := rows.Scan(&m.number, &m.name, &m.checksum); err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, rows.Err()
}

// cursorKeySetting is the setting that holds the key of the cursors.
const cursorKeySetting = "cursor_key"

// loadCursorKey reads the key that signs cursors, and makes it once.
func loadCursorKey(ctx context.Context, conn *sql.Conn) ([]byte, error) {
	const read = `SELECT value FROM settings WHERE key = '` + cursorKeySetting + `'`
	var key []byte
	err := conn.QueryRowContext(ctx, read).Scan(&key)
	if !errors.Is(err, sql.ErrNoRows) {
		return key, err
	}
	key = make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	_, err = conn.ExecContext(ctx, `INSERT INTO settings (key, value, changed) VALUES (?, ?, ?) ON CONFLICT (key) DO NOTHING`,
		cursorKeySetting, key, time.Now().UnixMicro())
	if err != nil {
		return nil, err
	}
	// Another process may have been first.
	err = conn.QueryRowContext(ctx, read).Scan(&key)
	return key, err
}
