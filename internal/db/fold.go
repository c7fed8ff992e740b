package db

import (
	"database/sql/driver"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
	"modernc.org/sqlite"
)

// fold makes two strings equal that differ in case alone, for attributes that are not caseExact.
func fold(s string) string { return strings.ToLower(s) }

// userKey is what a userName is compared by: look-alikes are one name (NFKC), in any case.
func userKey(s string) string {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return norm.NFKC.String(strings.ToLower(norm.NFKC.String(s)))
		}
	}
	return strings.ToLower(s)
}

// sqlFold is fold for SQL; NULL stays NULL and a value that is not text stays as it is.
func sqlFold(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
	if s, ok := args[0].(string); ok {
		return fold(s), nil
	}
	return args[0], nil
}

// sqlNumber is a number as it is, and NULL for anything else; PostgreSQL has numbers of JSON as text.
func sqlNumber(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
	switch args[0].(type) {
	case int64, float64:
		return args[0], nil
	}
	return nil, nil
}

// sqlMicros reads an RFC 3339 date-time as Unix microseconds; NULL for anything else.
func sqlMicros(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
	s, ok := args[0].(string)
	if !ok {
		return nil, nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return nil, nil //nolint:nilerr // a value that is no date compares like a missing one
	}
	return t.UnixMicro(), nil
}
