package db

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"scimbridge/internal/audit"
)

//go:embed postgres/*.sql
var postgresFiles embed.FS

// postgresOwn is what a file of ours says in PostgreSQL's own words, "" if there is none of this name.
func postgresOwn(name string) (string, error) {
	b, err := postgresFiles.ReadFile("postgres/" + name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(b), err
}

// migratePostgres runs a migration in the transaction that holds the write lock. The functions are made before each, since a
// newer one may use a new function; then its tables, turned; then its triggers, which are PostgreSQL's own.
func (c *pgConn) migratePostgres(ctx context.Context, m migration) error {
	functions, err := postgresOwn("functions.sql")
	if err != nil {
		return err
	}
	own, err := postgresOwn(m.name)
	if err != nil {
		return err
	}
	if own == "" && strings.Contains(m.sql, "CREATE TRIGGER") {
		return fmt.Errorf("its triggers are missing in postgres/%s", m.name)
	}
	return c.script(ctx, functions+"\n"+postgresSchema(m.sql)+"\n"+own)
}

// markPostgres makes the table of migrations in a schema that has none, and refuses one that has tables of somebody else.
func markPostgres(ctx context.Context, conn *sql.Conn, path string) error {
	var tables int
	err := conn.QueryRowContext(ctx, `SELECT count(*) FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')`).Scan(&tables)
	if err != nil {
		return err
	}
	if tables > 0 {
		return fmt.Errorf("%s has tables of another program; give scimbridge a database, or a schema (?search_path=…), of its own", path)
	}
	_, err = conn.ExecContext(ctx, `CREATE TABLE migrations (number BIGINT PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied BIGINT NOT NULL)`)
	return err
}

// checkPostgresTriggers holds the triggers and what they do against those that the migrations make.
func (s *Store) checkPostgresTriggers(ctx context.Context) error {
	found, err := s.texts(ctx, `SELECT t.tgname, p.prosrc FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_class r ON r.oid = t.tgrelid
		WHERE r.relnamespace = current_schema()::regnamespace AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')`)
	if err != nil {
		return err
	}
	made, err := migrations()
	if err != nil {
		return err
	}
	for _, name := range guards() {
		want := ""
		for _, m := range made { // the last one that makes it counts
			own, err := postgresOwn(m.name)
			if err != nil {
				return err
			}
			if i := strings.LastIndex(own, "FUNCTION "+name+"() "); i >= 0 {
				_, body, _ := strings.Cut(own[i:], "$$")
				want, _, _ = strings.Cut(body, "$$")
			}
		}
		if want == "" || found[name] != want {
			return &audit.Fault{Why: fmt.Sprintf("the trigger %s, which refuses changes, is missing, disabled or another: somebody changed the database's schema", name)}
		}
	}
	return nil
}
