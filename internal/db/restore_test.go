package db_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
)

func TestRestore(t *testing.T) {
	s := openSQLite(t)
	fill(t, s, "acme", 10)
	dir := t.TempDir()
	backup := filepath.Join(dir, "backup.db")
	if _, err := s.Backup(t.Context(), backup); err != nil {
		t.Fatal(err)
	}
	create(t, s, worker("acme", "after-the-backup"))
	who := audit.Actor{Kind: audit.ActorAdmin, Name: "ada"}
	const reason = "the disk failed"

	t.Run("IsRefusedWhileServed", func(t *testing.T) {
		release, err := s.Lead(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer release()
		if _, err := db.Restore(t.Context(), backup, s.Path(), who, reason); err == nil {
			t.Error("replaced a database that is served")
		}
	})
	t.Run("TakesNoDamagedBackup", func(t *testing.T) {
		b, err := os.ReadFile(backup)
		if err != nil {
			t.Fatal(err)
		}
		torn := filepath.Join(dir, "torn.db")
		if err := os.WriteFile(torn, b[:len(b)/2], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Restore(t.Context(), torn, s.Path(), who, reason); err == nil {
			t.Error("took half a backup")
		}
		if page := listAll(t, s, contractor.Query{}); page.Total != 11 {
			t.Errorf("the database has %d records, want 11", page.Total)
		}
	})
	t.Run("ReplacesAndKeeps", func(t *testing.T) {
		path := s.Path()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		r, err := db.Restore(t.Context(), backup, path, who, reason)
		if err != nil || r.Events != 10 || r.Woken != 10 || r.Kept == "" {
			t.Fatalf("%+v, error %v", r, err)
		}
		restored, before := reopen(t, path), reopen(t, r.Kept)
		if page := listAll(t, restored, contractor.Query{}); page.Total != 10 {
			t.Errorf("restored %d records, want 10", page.Total)
		}
		if page := listAll(t, before, contractor.Query{}); page.Total != 11 {
			t.Errorf("kept %d records, want 11", page.Total)
		}
		var last audit.Event
		for e, err := range restored.Journal(t.Context(), contractor.JournalQuery{}) {
			if err != nil {
				t.Fatal(err)
			}
			last = e
		}
		if last.Kind != "store.restored" || last.Reason != reason || last.Actor != who {
			t.Errorf("the journal ends with %+v", last)
		}
		whole(t, restored)
	})
	t.Run("NeedsNoDatabaseBefore", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "new.db")
		r, err := db.Restore(t.Context(), backup, path, who, reason)
		if err != nil || r.Kept != "" || r.Events != 10 {
			t.Fatalf("%+v, error %v", r, err)
		}
		if _, err := os.Stat(path + ".restoring"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("left a file behind: %v", err)
		}
		whole(t, reopen(t, path))
	})
}
