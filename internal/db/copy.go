package db

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

const (
	// copyBatch is how many rows one transaction of a copy takes over: what an interruption costs.
	copyBatch = 2000

	// copySetting marks a database into which a copy was begun. It is no bridge's until the copy is whole.
	copySetting = "copy"
)

// copyState is what the mark remembers: how many rows of each table are there, and the triggers that are put back at the end.
type copyState struct {
	Source   string           `json:"source"`
	Rows     map[string]int64 `json:"rows"`
	Triggers []string         `json:"triggers,omitempty"`
}

// Copied is what a copy took over.
type Copied struct {
	Rows   map[string]int64  `json:"rows"`   // by table
	Hashes map[string]string `json:"hashes"` // SHA-256 of each table's rows, the same at both ends
	Events int64             `json:"events"` // in the journal, whose chain was followed in the target
}

// Copy takes everything over from one store to another, whatever databases they stand on, and compares them: the rows of every table by
// count and hash, the journal by its chain, the target by Check. The target is empty, or was opened with Config.Target after an earlier
// copy from the same source was interrupted, which goes on. Nobody may serve either meanwhile. progress is told how many rows of how many are there.
func Copy(ctx context.Context, from, to *Store, actor audit.Actor, progress func(done, total int64)) (_ *Copied, err error) {
	for _, s := range []*Store{from, to} {
		release, err := s.alone(ctx)
		if err != nil {
			return nil, err
		}
		defer release()
	}
	c := copier{from: from, to: to, progress: progress}
	if c.source, err = openConn(ctx, from.reads); err != nil {
		return nil, failure("copy the database", err)
	}
	if c.target, err = openConn(ctx, to.checks); err != nil {
		return nil, errors.Join(failure("copy the database", err), c.source.close())
	}
	copied, err := c.run(ctx)
	err = errors.Join(err, c.source.close(), c.target.close())
	if err != nil {
		return nil, err
	}
	if copied.Events, err = to.copiedWhole(ctx); err != nil {
		return nil, err
	}
	return copied, to.write(ctx, "end the copy", func(t *tx) error {
		if _, err := t.exec(`DELETE FROM settings WHERE key = '` + copySetting + `'`); err != nil {
			return err
		}
		return t.append(&audit.Event{Kind: "database.copied", Actor: actor, Outcome: audit.Done, Reason: "taken over whole from " + from.path})
	})
}

// refuseHalf refuses a database into which a copy was begun and not ended.
func refuseHalf(ctx context.Context, conn *sql.Conn, path string) error {
	var n int
	err := conn.QueryRowContext(ctx, `SELECT count(*) FROM settings WHERE key = '`+copySetting+`'`).Scan(&n)
	if err != nil {
		return openError(path, err)
	}
	if n > 0 {
		return fmt.Errorf("a copy into %s was begun and is not whole; end it with the same scimbridge db copy, or empty the database", path)
	}
	return nil
}

// copiedWhole follows the journal's chain in the target, and counts its events.
func (s *Store) copiedWhole(ctx context.Context) (events int64, err error) {
	if events, _, err = s.VerifyJournal(ctx); err != nil {
		return 0, err
	}
	found, err := s.Check(ctx)
	if err == nil && len(found) > 0 {
		err = contractor.Errorf(contractor.CodeInternal, "the copy is not whole: %s", strings.Join(found, "; "))
	}
	return events, err
}

// alone makes sure that no daemon works on the database, and that none begins to where that can be kept from it.
func (s *Store) alone(ctx context.Context) (release func(), err error) {
	if s.engine == engineSQLite {
		return s.Lead(ctx)
	}
	var nodes int
	err = s.checks.QueryRowContext(ctx, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = '`+electionName+`'`).Scan(&nodes)
	if err == nil && nodes > 0 {
		err = contractor.Errorf(contractor.CodeConflict, "%d bridges work on %s; stop them first", nodes, s.path)
	}
	return func() {}, failure("look who works on the database", err)
}

type copier struct {
	from, to       *Store
	source, target *conn
	progress       func(done, total int64)

	state       copyState
	done, total int64
}

// copyTable is a table with its columns and those of its primary key, by which both databases give its rows in the same order.
type copyTable struct {
	name         string
	columns, key []string
}

func (c *copier) run(ctx context.Context) (*Copied, error) {
	tables, err := copyTables(ctx, c.source)
	if err != nil {
		return nil, failure("read the tables of the source", err)
	}
	if err := c.begin(ctx, tables); err != nil {
		return nil, err
	}
	for _, t := range tables {
		var n int64
		if err := c.source.row(ctx, `SELECT count(*) FROM `+t.name+t.where(), nil, &n); err != nil {
			return nil, failure("count the rows of "+t.name, err)
		}
		c.total += n
		c.done += c.state.Rows[t.name]
	}
	c.progress(c.done, c.total)
	for _, t := range tables {
		if err := c.table(ctx, t); err != nil {
			return nil, failure("copy the table "+t.name, err)
		}
	}
	if err := c.finish(ctx, tables); err != nil {
		return nil, failure("end the copy", err)
	}
	copied := &Copied{Rows: map[string]int64{}, Hashes: map[string]string{}}
	for _, t := range tables {
		n, sum, err := t.hash(ctx, c.source)
		if err != nil {
			return nil, failure("read "+t.name+" again", err)
		}
		m, copy, err := t.hash(ctx, c.target)
		if err != nil {
			return nil, failure("read the copy of "+t.name, err)
		}
		if n != m || sum != copy {
			return nil, contractor.Errorf(contractor.CodeConflict, "the copy of %s is not the same: %d rows there, %d in the source, which may have changed meanwhile; empty the target and begin anew", t.name, m, n)
		}
		copied.Rows[t.name], copied.Hashes[t.name] = n, sum
	}
	return copied, nil
}

// begin marks an empty target, or takes up a copy that was begun, and lets the target take rows as they come.
func (c *copier) begin(ctx context.Context, tables []copyTable) error {
	var text []byte
	err := c.target.row(ctx, `SELECT value FROM settings WHERE key = '`+copySetting+`'`, nil, &text)
	switch {
	case err == nil:
		if err := json.Unmarshal(text, &c.state); err != nil {
			return fmt.Errorf("the mark of the copy in the target cannot be read: %w", err)
		}
		if c.state.Source != c.from.path {
			return contractor.Errorf(contractor.CodeConflict, "a copy from %s was begun into %s; end that one, or empty the target", c.state.Source, c.to.path)
		}
	case errors.Is(err, sql.ErrNoRows):
		for _, t := range tables {
			var n int
			if err := c.target.row(ctx, `SELECT count(*) FROM (SELECT 1 FROM `+t.name+` LIMIT 1) x`, nil, &n); err != nil {
				return failure("look into the target", err)
			}
			if n > 0 && t.name != "settings" {
				return contractor.Errorf(contractor.CodeConflict, "%s is not empty: %s has rows; a copy wants an empty database", c.to.path, t.name)
			}
		}
		c.state = copyState{Source: c.from.path, Rows: map[string]int64{}}
		if c.to.engine == engineSQLite {
			if c.state.Triggers, err = c.target.texts(ctx, `SELECT sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY name`); err != nil {
				return failure("read the target's triggers", err)
			}
		}
	default:
		return failure("look into the target", err)
	}
	if c.to.engine == engineSQLite {
		if _, err := c.target.exec(ctx, `PRAGMA foreign_keys = OFF`); err != nil { // Check looks at them in the end
			return failure("prepare the target", err)
		}
	}
	return failure("prepare the target", c.transact(ctx, func() error {
		if c.to.engine == engineSQLite {
			names, err := c.target.texts(ctx, `SELECT name FROM sqlite_schema WHERE type = 'trigger'`)
			for _, name := range names {
				if err == nil {
					_, err = c.target.exec(ctx, `DROP TRIGGER `+name)
				}
			}
			if err != nil {
				return err
			}
		}
		for _, t := range tables {
			if c.to.engine == enginePostgres {
				if err := c.target.pg.script(ctx, `ALTER TABLE `+t.name+` DISABLE TRIGGER USER`); err != nil {
					return err
				}
			}
		}
		if c.state.Rows["settings"] == 0 { // those that opening made
			if _, err := c.target.exec(ctx, `DELETE FROM settings WHERE key <> '`+copySetting+`'`); err != nil {
				return err
			}
		}
		return c.mark(ctx)
	}))
}

// transact runs fn in a transaction of the target.
func (c *copier) transact(ctx context.Context, fn func() error) error {
	if _, err := c.target.exec(ctx, `BEGIN IMMEDIATE`); err != nil {
		return err
	}
	if err := fn(); err != nil {
		_, rollback := c.target.exec(context.WithoutCancel(ctx), `ROLLBACK`)
		return errors.Join(err, rollback)
	}
	_, err := c.target.exec(ctx, `COMMIT`)
	return err
}

func (c *copier) mark(ctx context.Context) error {
	text, err := json.Marshal(c.state)
	if err != nil {
		return err
	}
	_, err = c.target.exec(ctx, `INSERT INTO settings (key, value, changed) VALUES ('`+copySetting+`', ?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value, changed = excluded.changed`,
		text, time.Now().UnixMicro())
	return err
}

// table takes over the rows of one table that are not there yet.
func (c *copier) table(ctx context.Context, t copyTable) (err error) {
	rows, err := c.source.sql.QueryContext(ctx, t.query()+` LIMIT ? OFFSET ?`, int64(math.MaxInt64), c.state.Rows[t.name])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	batch := make([][]any, 0, copyBatch)
	for {
		more := rows.Next()
		if more {
			values, err := t.scan(rows)
			if err != nil {
				return err
			}
			batch = append(batch, values)
		}
		if len(batch) == copyBatch || !more && len(batch) > 0 {
			if err := c.put(ctx, t, batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
		if !more {
			return rows.Err()
		}
	}
}

// put writes a batch and how far the copy is, in one transaction.
func (c *copier) put(ctx context.Context, t copyTable, batch [][]any) error {
	err := c.transact(ctx, func() error {
		c.state.Rows[t.name] += int64(len(batch))
		if err := c.mark(ctx); err != nil {
			return err
		}
		if c.to.engine == enginePostgres {
			_, err := c.target.pg.Conn.Conn().CopyFrom(ctx, pgx.Identifier{t.name}, t.columns, pgx.CopyFromRows(batch))
			return err
		}
		insert := `INSERT INTO ` + t.name + ` ("` + strings.Join(t.columns, `", "`) + `") VALUES (?` + strings.Repeat(`, ?`, len(t.columns)-1) + `)`
		for _, values := range batch {
			if _, err := c.target.exec(ctx, insert, values...); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		c.done += int64(len(batch))
		c.progress(c.done, c.total)
	}
	return err
}

// finish puts the triggers back, and lets numbers go on where they were.
func (c *copier) finish(ctx context.Context, tables []copyTable) error {
	return c.transact(ctx, func() error {
		for _, trigger := range c.state.Triggers {
			if _, err := c.target.exec(ctx, trigger); err != nil {
				return err
			}
		}
		if c.to.engine == engineSQLite {
			return nil
		}
		for _, t := range tables {
			if err := c.target.pg.script(ctx, `ALTER TABLE `+t.name+` ENABLE TRIGGER USER`); err != nil {
				return err
			}
		}
		return c.target.pg.script(ctx, `DO $$ DECLARE t record; BEGIN
			FOR t IN SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema() AND is_identity = 'YES' LOOP
				EXECUTE format('SELECT setval(pg_get_serial_sequence(%L, %L), greatest(coalesce(max(%I), 0), 1), coalesce(max(%I), 0) > 0) FROM %I',
					t.table_name, t.column_name, t.column_name, t.column_name, t.table_name);
			END LOOP;
		END $$`)
	})
}

// copyTables lists the tables as the migrations made them, so that what a row names is there before it.
func copyTables(ctx context.Context, c *conn) (list []copyTable, err error) {
	known, err := migrations()
	if err != nil {
		return nil, err
	}
	made := regexp.MustCompile(`(?m)^CREATE TABLE (\w+)`)
	for _, m := range known {
		for _, found := range made.FindAllStringSubmatch(m.sql, -1) {
			t := copyTable{name: found[1]}
			columns, key := `SELECT name FROM pragma_table_info(?) ORDER BY name`, `SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk`
			if c.pg != nil {
				columns = `SELECT attname FROM pg_attribute a JOIN pg_class r ON r.oid = a.attrelid WHERE r.relnamespace = current_schema()::regnamespace AND r.relname = ?
					AND a.attnum > 0 AND NOT a.attisdropped ORDER BY attname COLLATE "C"`
				key = `SELECT a.attname FROM pg_index i JOIN pg_class r ON r.oid = i.indrelid JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = ANY (i.indkey)
					WHERE r.relnamespace = current_schema()::regnamespace AND r.relname = ? AND i.indisprimary ORDER BY array_position(i.indkey::smallint[], a.attnum)`
			}
			if t.columns, err = c.texts(ctx, columns, t.name); err != nil {
				return nil, err
			}
			if len(t.columns) == 0 { // made under another name, and renamed
				continue
			}
			if t.key, err = c.texts(ctx, key, t.name); err != nil {
				return nil, err
			}
			if len(t.key) == 0 {
				return nil, fmt.Errorf("the table %s has no primary key", t.name)
			}
			list = append(list, t)
		}
	}
	return list, nil
}

// where leaves out what is the copy's own.
func (t copyTable) where() string {
	if t.name == "settings" {
		return ` WHERE key <> '` + copySetting + `'`
	}
	return ""
}

func (t copyTable) query() string {
	return `SELECT "` + strings.Join(t.columns, `", "`) + `" FROM ` + t.name + t.where() + ` ORDER BY "` + strings.Join(t.key, `", "`) + `"`
}

func (t copyTable) scan(rows *sql.Rows) ([]any, error) {
	values, into := make([]any, len(t.columns)), make([]any, len(t.columns))
	for i := range values {
		into[i] = &values[i]
	}
	err := rows.Scan(into...)
	for i, v := range values {
		if b, ok := v.([]byte); ok {
			values[i] = slices.Clone(b)
		}
	}
	return values, err
}

// hash counts the rows of a table and hashes them in the order of their key: every value with its type and its length.
func (t copyTable) hash(ctx context.Context, c *conn) (n int64, sum string, err error) {
	rows, err := c.sql.QueryContext(ctx, t.query())
	if err != nil {
		return 0, "", err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	h := sha256.New()
	var frame [9]byte
	for ; rows.Next(); n++ {
		values, err := t.scan(rows)
		if err != nil {
			return 0, "", err
		}
		for _, v := range values {
			var body []byte
			number := uint64(0)
			switch v := v.(type) {
			case nil:
				frame[0] = 'n'
			case int64:
				frame[0], number = 'i', uint64(v) //nolint:gosec // its bits
			case float64:
				frame[0], number = 'f', math.Float64bits(v)
			case string:
				frame[0], number, body = 's', uint64(len(v)), []byte(v)
			case []byte:
				frame[0], number, body = 'b', uint64(len(v)), v
			default:
				return 0, "", fmt.Errorf("a value of %s is a %T", t.name, v)
			}
			binary.BigEndian.PutUint64(frame[1:], number)
			h.Write(frame[:])
			h.Write(body)
		}
	}
	return n, hex.EncodeToString(h.Sum(nil)), rows.Err()
}
