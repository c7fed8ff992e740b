package db

import (
	"context"
	"database/sql"
	"strings"
	"time"
)

// tx is the transaction that a piece of work runs in. Statements run without the caller's context: once begun, they are
// finished or fail by themselves, since an interrupt would cost everybody else in the batch their work.
type tx struct {
	conn *conn
	now  time.Time // one for the whole transaction, UTC, microseconds

	writes int  // statements done that may have changed something
	due    bool // somebody was made due: other nodes are told at the commit

	// broken is an error after which the transaction may be gone: no further statement is run, since it would commit by itself.
	broken error

	// Last event of the journal, read inside this transaction before the first append.
	head      head
	headKnown bool
}

func (t *tx) exec(query string, args ...any) (sql.Result, error) {
	if t.broken != nil {
		return nil, t.broken
	}
	res, err := t.conn.exec(context.Background(), query, args...)
	t.note(query, err)
	return res, err
}

// query reads rows inside the transaction.
func (t *tx) query(query string, args ...any) (*sql.Rows, error) {
	if t.broken != nil {
		return nil, t.broken
	}
	rows, err := t.conn.query(context.Background(), query, args...)
	t.note(query, err)
	return rows, err
}

// note counts a statement that may have changed something. One that failed changed nothing, or ended the transaction.
func (t *tx) note(query string, err error) {
	if endsTransaction(err) {
		t.broken = err
	}
	if err == nil && !strings.HasPrefix(query, "SELECT") {
		t.writes++
		t.due = t.due || strings.HasPrefix(query, touchStatement) || strings.HasPrefix(query, `INSERT INTO persons `)
	}
}

// changed executes a statement and counts the rows that it changed.
func (t *tx) changed(query string, args ...any) (int64, error) {
	res, err := t.exec(query, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func (t *tx) row(query string, args []any, dest ...any) error {
	if t.broken != nil {
		return t.broken
	}
	err := t.conn.row(context.Background(), query, args, dest...)
	t.note(query, err)
	return err
}

// micros is how a time is stored: Unix microseconds, NULL for the zero time.
func micros(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

// instant reads a stored time.
type instant struct{ time.Time }

// Scan implements sql.Scanner.
func (i *instant) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		i.Time = time.Time{}
		return nil
	case int64:
		i.Time = time.UnixMicro(v).UTC()
		return nil
	}
	var n sql.NullInt64
	if err := n.Scan(v); err != nil {
		return err
	}
	i.Time = time.UnixMicro(n.Int64).UTC()
	return nil
}

func boolean(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// nullable stores an empty string as NULL.
func nullable(s string) any {
	if s == "" {
		return nil
	}
	return s
}
