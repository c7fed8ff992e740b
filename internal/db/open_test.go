package db_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
)

// raw opens the file behind the store's back, as a stranger with the sqlite3 tool would.
func raw(t testing.TB, path string) *sql.DB {
	t.Helper()
	pool, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pool.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return pool
}

func execRaw(t testing.TB, path string, statements ...string) {
	t.Helper()
	pool := raw(t, path)
	for _, s := range statements {
		if _, err := pool.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// made is the path of a store that was opened and closed.
func made(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "scimbridge.db")
	s, err := db.Open(t.Context(), db.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOpenRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		path func(t *testing.T) string
		says []string
	}{
		"NoPath":           {func(*testing.T) string { return "" }, []string{"set database in the configuration"}},
		"MissingDirectory": {func(t *testing.T) string { return filepath.Join(t.TempDir(), "no", "x.db") }, []string{"does not exist", "install -d -m 0750"}},
		"ADirectory":       {func(t *testing.T) string { return t.TempDir() }, []string{"is a directory", "scimbridge.db"}},
		"NoDatabase": {func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "x.db")
			if err := os.WriteFile(path, []byte(strings.Repeat("this is a letter\n", 1000)), 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}, []string{"is not a database", "move it away"}},
		"AnotherProgramsDatabase": {func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "x.db")
			execRaw(t, path, `CREATE TABLE bookmarks (url TEXT)`)
			return path
		}, []string{"another program", "a file of its own"}},
		"ANewerDatabase": {func(t *testing.T) string {
			path := made(t)
			execRaw(t, path, `INSERT INTO migrations (number, name, checksum, applied) VALUES (9000, '9000_teleport.sql', 'x', 1)`)
			return path
		}, []string{"newer scimbridge", "9000_teleport.sql", "restore the backup"}},
		"AnEditedMigration": {func(t *testing.T) string {
			path := made(t)
			execRaw(t, path, `UPDATE migrations SET checksum = 'x' WHERE number = 1`)
			return path
		}, []string{"another build", "0001_store.sql"}},
		"AForbiddenFile": {func(t *testing.T) string {
			if os.Geteuid() == 0 {
				t.Skip("nothing is forbidden to root")
			}
			path := made(t)
			if err := os.Chmod(path, 0o400); err != nil {
				t.Fatal(err)
			}
			return path
		}, []string{"cannot be written", "own the file"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := c.path(t)
			s, err := db.Open(t.Context(), db.Config{Path: path})
			if err == nil {
				t.Cleanup(func() { _ = s.Close() })
				t.Fatal("opened")
			}
			for _, word := range c.says {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%q does not say %q", err, word)
				}
			}
		})
	}
	t.Run("LeavesAnotherProgramsDatabaseAsItWas", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "x.db")
		execRaw(t, path, `CREATE TABLE bookmarks (url TEXT)`)
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Open(t.Context(), db.Config{Path: path}); err == nil {
			t.Fatal("opened")
		}
		after, err := os.ReadFile(path)
		if err != nil || string(before) != string(after) {
			t.Errorf("the file changed, error %v", err)
		}
	})
}

func TestOpen(t *testing.T) {
	t.Run("MakesAFileForItsOwnerAlone", func(t *testing.T) {
		info, err := os.Stat(made(t))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, error %v", info.Mode(), err)
		}
	})
	t.Run("TakesAPathWithMetacharacters", func(t *testing.T) {
		s := reopen(t, filepath.Join(t.TempDir(), "a b?c#d%20e&mode=ro.db"))
		create(t, s, worker("acme", "ann"))
		if _, err := os.Stat(s.Path()); err != nil {
			t.Error(err)
		}
	})
	t.Run("ManyAtOnceMigrateOnce", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "scimbridge.db")
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				s, err := db.Open(context.Background(), db.Config{Path: path})
				if err != nil {
					t.Error(err)
					return
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
	t.Run("KeepsWhatWasThere", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "scimbridge.db")
		s, err := db.Open(t.Context(), db.Config{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		e := create(t, s, worker("acme", "ann"))
		page, err := s.List(t.Context(), contractor.Query{Vendor: "acme", Count: 1, UseCursor: true})
		if err != nil || page.Next != "" {
			t.Fatalf("error %v, next %q", err, page.Next)
		}
		create(t, s, worker("acme", "bob"))
		if page, err = s.List(t.Context(), contractor.Query{Vendor: "acme", Count: 1, UseCursor: true}); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = reopen(t, path)
		get(t, s, "acme", e.ID)
		rest, err := s.List(t.Context(), contractor.Query{Vendor: "acme", Count: 1, UseCursor: true, Cursor: page.Next})
		if err != nil || len(rest.Items) != 1 {
			t.Errorf("a cursor from before the restart: %d items, error %v", len(rest.Items), err)
		}
	})
	t.Run("TwoStoresShareAFile", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "scimbridge.db")
		a, b := reopen(t, path), reopen(t, path)
		var wg sync.WaitGroup
		for i, s := range []*db.Store{a, b} {
			wg.Go(func() { fill(t, s, []string{"acme", "beta"}[i], 200) })
		}
		wg.Wait()
		if count, _, err := a.VerifyJournal(t.Context()); count != 400 || err != nil {
			t.Errorf("the journal has %d events, error %v", count, err)
		}
		vendors, err := b.ListVendors(t.Context())
		if err != nil || len(vendors) != 2 || vendors[0].Total != 200 || vendors[1].Total != 200 {
			t.Errorf("vendors are %+v, error %v", vendors, err)
		}
	})
	t.Run("ARevocationElsewhereHoldsWithinASecond", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "scimbridge.db")
		daemon, tool := reopen(t, path), reopen(t, path)
		token := addToken(t, tool, "acme", "a", time.Time{})
		now := time.Now()
		if _, err := daemon.Authenticate(t.Context(), token.Hash, now); err != nil {
			t.Fatal(err)
		}
		if err := tool.RevokeToken(t.Context(), root(), token.ID, ""); err != nil {
			t.Fatal(err)
		}
		_, err := daemon.Authenticate(t.Context(), token.Hash, now.Add(time.Second))
		wantCode(t, err, contractor.CodeUnauthorized)
	})
}

func TestClose(t *testing.T) {
	t.Run("Twice", func(t *testing.T) {
		s := openSQLite(t)
		for range 2 {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		_, err := s.Create(t.Context(), worker("acme", "ann"), 0, event("engagement.created"))
		wantCode(t, err, contractor.CodeUnavailable)
		_, err = s.Get(t.Context(), "acme", "x")
		wantCode(t, err, contractor.CodeUnavailable)
	})
	t.Run("LeavesOneFile", func(t *testing.T) {
		s := openSQLite(t)
		list := fill(t, s, "acme", 10)
		get(t, s, "acme", list[0].ID)
		if _, err := s.Stats(t.Context(), noon, 0); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		left, err := filepath.Glob(s.Path() + "*")
		if err != nil || len(left) != 1 {
			t.Errorf("left %v, error %v", left, err)
		}
	})
	t.Run("AnswersEverybody", func(t *testing.T) {
		s := openSQLite(t)
		var wg sync.WaitGroup
		results := make(chan error, 200)
		for i := range 200 {
			wg.Go(func() {
				_, err := s.Create(context.Background(), worker("acme", string(rune('a'+i%26))+time.Duration(i).String()), 0, event("engagement.created"))
				results <- err
			})
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
		done := 0
		for range 200 {
			if err := <-results; err == nil {
				done++
			} else {
				wantCode(t, err, contractor.CodeUnavailable)
			}
		}
		s = reopen(t, s.Path())
		if page := listAll(t, s, contractor.Query{}); page.Total != done {
			t.Errorf("%d were acknowledged and %d are there", done, page.Total)
		}
	})
}

func TestLead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "scimbridge.db")
	first, second := reopen(t, path), reopen(t, path)
	release, err := first.Lead(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = second.Lead(t.Context())
	if err == nil || !strings.Contains(err.Error(), "already") || !strings.Contains(err.Error(), "stop it first") {
		t.Errorf("the second was answered %v", err)
	}
	create(t, second, worker("acme", "ann")) // writing needs no lead
	release()
	release()
	again, err := second.Lead(t.Context())
	if err != nil {
		t.Fatalf("after the first gave it up: %v", err)
	}
	again()
}

// A year of waiting costs a store in a bubble nothing, and no goroutine of it stands in the way of the clock.
func TestInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := db.Open(t.Context(), db.Config{Path: filepath.Join(t.TempDir(), "scimbridge.db")})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for day := range 365 {
			time.Sleep(24 * time.Hour)
			if day%30 == 0 {
				for i := range 8 {
					wg.Go(func() {
						e := worker("acme", time.Duration(day*10+i).String())
						e.Created, e.Modified = time.Now(), time.Now()
						if _, err := s.Create(t.Context(), e, 0, event("engagement.created")); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
			}
		}
		for e, err := range s.Journal(t.Context(), contractor.JournalQuery{Descending: true, Limit: 1}) {
			if err != nil || time.Since(e.Time) > 31*24*time.Hour {
				t.Errorf("last event at %v, error %v", e.Time, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
