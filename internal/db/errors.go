package db

import (
	"context"
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"scimbridge/internal/contractor"
)

const diskFailed = "the disk of the database failed; check the disk, writes go on when it works again"

// openError explains why a database cannot be opened.
func openError(path string, err error) error {
	if e := pgOpenError(path, err); e != nil {
		return e
	}
	switch primaryCode(err) {
	case sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%s is not a database; move it away or set database in the configuration to another path: %w", path, err)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return fmt.Errorf("database %s cannot be written; let the service's user own the file and its directory: %w", path, err)
	case sqlite3.SQLITE_CORRUPT:
		return fmt.Errorf("database %s is damaged; restore the last backup with: scimbridge restore: %w", path, err)
	case sqlite3.SQLITE_BUSY:
		return fmt.Errorf("database %s is locked by another program; stop that program and start again: %w", path, err)
	}
	return fmt.Errorf("open database %s: %w", path, err)
}

// failure turns an error of the database into the sentence of a boundary. Errors that are one already, ErrStale and the
// caller's own cancellation pass through.
func failure(what string, err error) error {
	if err == nil {
		return nil
	}
	var known *contractor.Error
	if errors.As(err, &known) || errors.Is(err, contractor.ErrStale) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	e := &contractor.Error{Code: contractor.CodeUnavailable, Cause: fmt.Errorf("%s: %w", what, err)}
	if e.Message = pgTrouble(err); e.Message != "" {
		return e
	}
	switch primaryCode(err) {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		e.Message = "the database is busy with another program's write; try again"
	case sqlite3.SQLITE_FULL:
		e.Message = "the disk of the database is full; free space, writes go on by themselves"
	case sqlite3.SQLITE_IOERR:
		e.Message = diskFailed
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		e.Message = "the database cannot be written; let the service's user own the file and its directory"
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		e.Message = "the database is damaged; restore the last backup"
	default:
		e.Code, e.Message = contractor.CodeInternal, "the database refused a statement; see the log for the cause"
	}
	return e
}

// primaryCode is SQLite's result code without its extension, 0 if err is none of SQLite's.
func primaryCode(err error) int {
	return extendedCode(err) & 0xff
}

func extendedCode(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code()
	}
	return 0
}

func isUnique(err error) bool {
	if pgCode(err) == pgUniqueViolation {
		return true
	}
	code := extendedCode(err)
	return code == sqlite3.SQLITE_CONSTRAINT_UNIQUE || code == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY
}
