package db_test

import (
	"strings"
	"testing"

	"scimbridge/internal/db"
)

// whole fails the test unless the store finds itself whole.
func whole(t testing.TB, s *db.Store) {
	t.Helper()
	found, err := s.Check(t.Context())
	if err != nil || len(found) > 0 {
		t.Errorf("found %q, error %v", found, err)
	}
}

func TestCheck(t *testing.T) {
	s := openSQLite(t)
	whole(t, s)
	list := fill(t, s, "acme", 40)
	fill(t, s, "other", 3)
	for i := 0; i < 40; i += 3 {
		if err := s.Delete(t.Context(), "acme", list[i].ID, 0, noon, event("engagement.deleted")); err != nil {
			t.Fatal(err)
		}
	}
	create(t, s, worker("acme", list[0].Record.UserName)) // revived
	e := get(t, s, "acme", list[1].ID)
	e.Record.Active, e.EndedAt = false, noon
	if _, err := s.Update(t.Context(), e, event("engagement.updated")); err != nil {
		t.Fatal(err)
	}
	whole(t, s)
	for name, c := range map[string]struct{ damage, says string }{
		"Total":     {`UPDATE vendors SET total = total + 1, last_ord = last_ord + 1 WHERE name = 'other'`, "number of engagements of vendor other"},
		"Live":      {`UPDATE vendors SET live = live - 1 WHERE name = 'acme'`, "live engagements of vendor acme"},
		"Gaps":      {`UPDATE vendor_holes SET holes = holes + 1 WHERE vendor = 'acme'`, "gaps in the list of vendor acme"},
		"Reference": {`PRAGMA foreign_keys = 0; UPDATE engagements SET person = 'nobody' WHERE person = (SELECT id FROM persons LIMIT 1)`, "names a row of persons"},
		"Index":     {`PRAGMA writable_schema = 1; UPDATE sqlite_schema SET sql = replace(sql, 'worker_id', 'end_date') WHERE name = 'engagements_worker'`, "the file is damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir() + "/copy.db"
			if _, err := s.Backup(t.Context(), path); err != nil {
				t.Fatal(err)
			}
			execRaw(t, path, c.damage)
			found, err := reopen(t, path).Check(t.Context())
			if err != nil || !strings.Contains(strings.Join(found, "\n"), c.says) {
				t.Errorf("found %q, error %v, want %q", found, err, c.says)
			}
		})
	}
}
