package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

// Point reads go through the driver itself: database/sql takes a quarter of one for locks, for rows that
// could be cancelled, and for conversions by reflection. A connection is used by one goroutine at a time either way.

// direct prepares a query on the driver's own connection, once.
func (c *conn) direct(query string) (driver.StmtQueryContext, error) {
	if stmt := c.prepared[query]; stmt != nil {
		return stmt, nil
	}
	if len(c.prepared) >= maxStatements {
		if err := c.forgetDirect(); err != nil {
			return nil, err
		}
	}
	made, err := c.below.Prepare(query)
	if err != nil {
		return nil, err
	}
	stmt, ok := made.(driver.StmtQueryContext)
	if !ok {
		return nil, errors.Join(errors.New("the driver's statements take no context"), made.Close())
	}
	c.prepared[query] = stmt
	return stmt, nil
}

func (c *conn) forgetDirect() error {
	var errs []error
	for _, stmt := range c.prepared {
		if s, ok := stmt.(driver.Stmt); ok {
			errs = append(errs, s.Close())
		}
	}
	clear(c.prepared)
	return errors.Join(errs...)
}

// each runs a query that is over before an interrupt could help it, and calls fn with each row until that answers false. The values are
// good until fn returns.
func (c *conn) each(query string, args []any, columns int, fn func([]driver.Value) (more bool, err error)) (err error) {
	stmt, err := c.direct(query)
	if err != nil {
		return err
	}
	named := make([]driver.NamedValue, len(args))
	for i, arg := range args {
		named[i].Ordinal = i + 1
		if named[i].Value, err = driver.DefaultParameterConverter.ConvertValue(arg); err != nil {
			return fmt.Errorf("argument %d: %w", i+1, err)
		}
	}
	rows, err := stmt.QueryContext(context.Background(), named)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	values := make([]driver.Value, columns)
	for {
		switch err := rows.Next(values); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if more, err := fn(values); err != nil || !more {
			return err
		}
	}
}

// rowDirect is row, by the driver itself.
func (c *conn) rowDirect(query string, args, dest []any) error {
	found := sql.ErrNoRows
	if err := c.each(query, args, len(dest), func(values []driver.Value) (bool, error) {
		found = take(dest, values)
		return false, nil
	}); err != nil {
		return err
	}
	return found
}

// takes reports whether take knows what to do with each of dest.
func takes(dest []any) bool {
	for _, into := range dest {
		switch into.(type) {
		case *string, *int64, *bool, *instant, *sql.NullString, *[]byte, *any:
		default:
			return false
		}
	}
	return true
}

// take puts a row's values where they go.
func take(dest []any, values []driver.Value) error {
	for i, into := range dest {
		var ok bool
		switch into := into.(type) {
		case *string:
			var n int64
			if *into, ok = values[i].(string); !ok {
				if n, ok = values[i].(int64); ok { // a pragma's
					*into = strconv.FormatInt(n, 10)
				}
			}
		case *int64:
			*into, ok = values[i].(int64)
		case *bool:
			var n int64
			n, ok = values[i].(int64)
			*into = n != 0
		case *instant:
			var n int64
			if n, ok = values[i].(int64); ok {
				into.Time = time.UnixMicro(n).UTC()
			} else if ok = values[i] == nil; ok {
				into.Time = time.Time{}
			}
		case *sql.NullString:
			into.String, into.Valid = values[i].(string)
			ok = into.Valid || values[i] == nil
		case *[]byte:
			if *into, ok = values[i].([]byte); !ok {
				var text string
				if text, ok = values[i].(string); ok {
					*into = []byte(text)
				}
			}
			ok = ok || values[i] == nil
		case *any:
			*into, ok = values[i], true
		}
		if !ok {
			return fmt.Errorf("column %d: a %T cannot be read into a %T", i+1, values[i], into)
		}
	}
	return nil
}
