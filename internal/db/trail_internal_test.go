package db

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A report over all people must find each one's events by the person: by kind or by time it would walk everybody's for each.
func TestReportsFindEventsByPerson(t *testing.T) {
	s, err := Open(t.Context(), Config{Path: filepath.Join(t.TempDir(), "scimbridge.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	query, args := accessQuery(AccessQuery{At: time.Now()}, 0)
	rows, err := s.reads.QueryContext(t.Context(), `EXPLAIN QUERY PLAN `+query, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	searches := 0
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(step, " j ") {
			searches++
			if !strings.Contains(step, "INDEX journal_person (person=?)") {
				t.Errorf("%s", step)
			}
		}
	}
	if err := rows.Err(); err != nil || searches != 2 {
		t.Errorf("%d searches of the journal, %v", searches, err)
	}
}
