package db

import (
	"context"
	"errors"
)

// MigrateForTest brings the database of a file to a schema that has one migration more than the newest.
func MigrateForTest(ctx context.Context, path, sql string) error {
	known, err := migrations()
	if err != nil {
		return err
	}
	drv, err := newDriver()
	if err != nil {
		return err
	}
	pool := openPool(drv, writerDSN(path, defaultBusyTimeout, "FULL"), 1)
	conn, err := openConn(ctx, pool)
	if err != nil {
		return errors.Join(err, pool.Close())
	}
	err = migrateTo(ctx, conn, path, append(known, migration{number: len(known) + 1, name: "9999_test.sql", sql: sql, checksum: "test"}))
	return errors.Join(err, conn.close(), pool.Close())
}

// ForgetMigrationForTest takes the mark of MigrateForTest away, so that the newest schema opens the file again. It answers how many rows the
// migration has reached, -1 if it has not run, and how many there are.
func ForgetMigrationForTest(ctx context.Context, path string) (reached, rows int, err error) {
	drv, err := newDriver()
	if err != nil {
		return 0, 0, err
	}
	pool := openPool(drv, writerDSN(path, defaultBusyTimeout, "FULL"), 1)
	defer func() { err = errors.Join(err, pool.Close()) }()
	res, err := pool.ExecContext(ctx, `DELETE FROM migrations WHERE name = '9999_test.sql'`)
	if err != nil {
		return 0, 0, err
	}
	if err := pool.QueryRowContext(ctx, `SELECT count(*) FROM engagements`).Scan(&rows); err != nil {
		return 0, 0, err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return -1, rows, err
	}
	err = pool.QueryRowContext(ctx, `SELECT count(*) FROM engagements WHERE torture = id`).Scan(&reached)
	if err == nil {
		_, err = pool.ExecContext(ctx, `DROP INDEX engagements_torture; ALTER TABLE engagements DROP COLUMN torture`)
	}
	return reached, rows, err
}
