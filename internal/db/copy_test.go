package db_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
)

// A copy to PostgreSQL and back is the same store.
func testPostgresCopy(t *testing.T, p *postgres) {
	source := openSQLite(t)
	list := fill(t, source, "acme", 30)
	grant(t, source, list[0], "g1")
	if err := source.Delete(t.Context(), "acme", list[3].ID, 0, noon, event("engagement.deleted")); err != nil {
		t.Fatal(err)
	}
	journalOf(t, source, 300)
	sealer := newSealer(t, source)
	if _, err := source.Seal(t.Context(), sealer); err != nil {
		t.Fatal(err)
	}
	admin := audit.Actor{Kind: audit.ActorAdmin, Name: "ann"}
	a, _ := archive(t, source, sealer, time.Now())
	if _, err := source.DropArchived(t.Context(), admin, a.SHA256, "retention"); err != nil {
		t.Fatal(err)
	}
	name, err := p.Database(t.Context(), p.empty)
	if err != nil {
		t.Fatal(err)
	}
	target := func(t *testing.T, path string) *db.Store {
		t.Helper()
		s, err := db.Open(t.Context(), db.Config{Path: path, Target: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	t.Run("ADaemonsDatabaseIsNotCopied", func(t *testing.T) {
		release, err := source.Lead(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer release()
		if _, err := db.Copy(t.Context(), source, target(t, p.URL(name)), admin, func(int64, int64) {}); err == nil {
			t.Error("copied")
		}
	})
	t.Run("AnInterruptedOneIsNotOpenedAndGoesOn", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		to := target(t, p.URL(name))
		_, err := db.Copy(ctx, source, to, admin, func(done, _ int64) {
			if done > 0 {
				cancel()
			}
		})
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("answered %v", err)
		}
		if err := to.Close(); err != nil {
			t.Fatal(err)
		}
		if s, err := db.Open(t.Context(), db.Config{Path: p.URL(name)}); err == nil {
			_ = s.Close()
			t.Error("half a copy was opened")
		}
		other := openSQLite(t)
		_, err = db.Copy(t.Context(), other, target(t, p.URL(name)), admin, func(int64, int64) {})
		wantCode(t, err, contractor.CodeConflict)
	})
	t.Run("ThereAndBackItIsTheSame", func(t *testing.T) {
		to := target(t, p.URL(name))
		there, err := db.Copy(t.Context(), source, to, admin, func(int64, int64) {})
		if err != nil {
			t.Fatal(err)
		}
		if there.Rows["engagements"] != 30 || there.Rows["journal"] == 0 {
			t.Errorf("copied %v", there.Rows)
		}
		if err := to.Close(); err != nil {
			t.Fatal(err)
		}
		s := reopen(t, p.URL(name))
		create(t, s, worker("acme", "after")) // numbers go on
		if _, err := s.VerifyTrail(t.Context(), nil, nil); err != nil {
			t.Error(err)
		}
		if _, err := p.SQL(t.Context(), name, `DELETE FROM journal`); err == nil {
			t.Error("the journal's triggers are not back")
		}
		_, err = db.Copy(t.Context(), source, s, admin, func(int64, int64) {})
		wantCode(t, err, contractor.CodeConflict)

		path := filepath.Join(t.TempDir(), "back.db")
		back := target(t, path)
		if _, err := db.Copy(t.Context(), s, back, admin, func(int64, int64) {}); err != nil {
			t.Fatal(err)
		}
		create(t, back, worker("acme", "afterwards"))
		if report, err := back.VerifyTrail(t.Context(), nil, nil); err != nil {
			t.Errorf("%+v, %v", report, err)
		}
		whole(t, back)
	})
}

// A node of the release before goes on while a newer one has migrated: migrations only add.
func testPostgresOlderNode(t *testing.T, p *postgres) {
	name := p.database(t)
	older := reopen(t, p.URL(name))
	e := create(t, older, worker("acme", "ann"))
	p.sql(t, name, `BEGIN; ALTER TABLE engagements ADD COLUMN novelty TEXT; ALTER TABLE persons ADD COLUMN novelty BIGINT NOT NULL DEFAULT 0;
		CREATE TABLE novelties (id BIGINT PRIMARY KEY); INSERT INTO migrations (number, name, checksum, applied) VALUES (9000, '9000_novelty.sql', 'x', 1); COMMIT`)
	create(t, older, worker("acme", "bob"))
	get(t, older, "acme", e.ID)
	if page := listAll(t, older, contractor.Query{}); page.Total != 2 {
		t.Errorf("%d are there", page.Total)
	}
	if due, err := older.Due(t.Context(), noon.AddDate(1, 0, 0), 10); err != nil || len(due) != 2 {
		t.Errorf("due %v, error %v", due, err)
	}
	whole(t, older)
}
