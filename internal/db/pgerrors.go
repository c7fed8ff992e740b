package db

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Error codes of PostgreSQL (appendix A of its manual); the first two characters are the class.
const (
	pgUniqueViolation = "23505"
	pgLockTimeout     = "55P03"
	pgReadOnly        = "25006"
	pgMissingDatabase = "3D000"
	pgNoPrivilege     = "42501"
	pgQueryCanceled   = "57014"

	pgClassConnection = "08"
	pgClassAuth       = "28"
	pgClassRollback   = "40"  // deadlock, serialisation
	pgClassResources  = "53"  // disk full, too many connections
	pgClassOperator   = "57"  // shut down, starting up
	pgClassSystem     = "58"  // input or output
	pgClassIdle       = "25P" // ended for silence in a transaction
	pgClassCorrupted  = "XX"
)

// pgCode is PostgreSQL's code of an error, "" if it is none of its.
func pgCode(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// constraint is the name of what PostgreSQL says an error violates; SQLite does not say.
func constraint(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.ConstraintName
	}
	return ""
}

// pgTrouble says what an error means that passes, or that the database is to blame for; "" for any other.
func pgTrouble(err error) string {
	code := pgCode(err)
	switch {
	case code == pgLockTimeout, strings.HasPrefix(code, pgClassRollback), strings.HasPrefix(code, pgClassIdle):
		return "the database is busy with another node's write; try again"
	case code == pgReadOnly:
		return "the database takes no writes: it is a standby now; name the primary, or several hosts with target_session_attrs=read-write"
	case strings.HasPrefix(code, pgClassResources):
		return "the database server has run out of disk, memory or connections; see its log"
	case strings.HasPrefix(code, pgClassSystem):
		return "the disk of the database server failed; see its log"
	case strings.HasPrefix(code, pgClassCorrupted):
		return "the database is damaged; see the server's log, and restore a backup"
	case strings.HasPrefix(code, pgClassConnection), strings.HasPrefix(code, pgClassAuth), strings.HasPrefix(code, pgClassOperator) && code != pgQueryCanceled,
		code == "" && unreachable(err):
		return "the database server cannot be reached; try again"
	}
	return ""
}

// unreachable reports whether a session could not be opened, or was lost.
func unreachable(err error) bool {
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	_, isNet := errors.AsType[net.Error](err)
	return isNet || errors.Is(err, net.ErrClosed) || pgconn.SafeToRetry(err) || strings.Contains(err.Error(), "conn closed") || strings.Contains(err.Error(), "unexpected EOF")
}

// pgOpenError explains why a server is of no use; nil if the error is not PostgreSQL's.
func pgOpenError(path string, err error) error {
	_, connect := errors.AsType[*pgconn.ConnectError](err)
	code := pgCode(err)
	switch {
	case strings.HasPrefix(code, pgClassAuth):
		return fmt.Errorf("%s refuses the user or its password; check database in the configuration, and pg_hba.conf at the server: %w", path, err)
	case code == pgMissingDatabase:
		return fmt.Errorf("%s does not exist; make it with: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0: %w", path, err)
	case code == pgNoPrivilege:
		return fmt.Errorf("%s does not let the user make tables; let it own the database or its schema: %w", path, err)
	case connect:
		return fmt.Errorf("%s cannot be reached; check the address, the network and that the server runs: %w", path, err)
	case code != "":
		return fmt.Errorf("open database %s: %w", path, err)
	}
	return nil
}
