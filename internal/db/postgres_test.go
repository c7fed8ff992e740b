package db_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
	"scimbridge/internal/db/pgtest"
)

// postgres is a server with an empty store to copy.
type postgres struct {
	*pgtest.Server

	empty string // the database that is copied
}

func startPostgres(t testing.TB) *postgres {
	t.Helper()
	server, err := pgtest.Start(t.Context())
	if errors.Is(err, pgtest.ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	p := &postgres{Server: server}
	p.empty, err = server.Database(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	s, err := db.Open(t.Context(), db.Config{Path: server.URL(p.empty)})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return p
}

// database makes a database with an empty store and answers its name.
func (p *postgres) database(t testing.TB) string {
	t.Helper()
	name, err := p.Database(t.Context(), p.empty)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func (p *postgres) open(t testing.TB) *db.Store {
	t.Helper()
	return reopen(t, p.URL(p.database(t)))
}

// sql runs statements behind the store's back.
func (p *postgres) sql(t testing.TB, database, script string) string {
	t.Helper()
	out, err := p.SQL(t.Context(), database, script)
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return out
}

// What stands on the server as a whole, on one server.
func TestPostgresServer(t *testing.T) {
	p := startPostgres(t)
	for name, test := range map[string]func(*testing.T, *postgres){
		"Opening":     testPostgresOpening,
		"Sharing":     testPostgresSharing,
		"Refusals":    testPostgresRefusals,
		"Tampering":   testPostgresTampering,
		"Archives":    testPostgresArchives,
		"Interrupts":  testPostgresInterrupts,
		"Killing":     func(t *testing.T, p *postgres) { testKilledWriter(t, p.URL(p.database(t)), 2) },
		"Check":       testPostgresCheck,
		"Election":    testPostgresElection,
		"StaleLeader": testPostgresStaleLeader,
		"Copy":        testPostgresCopy,
		"OlderNode":   testPostgresOlderNode,
	} {
		t.Run(name, func(t *testing.T) { test(t, p) })
	}
}

func testPostgresOpening(t *testing.T, p *postgres) {
	refused := func(t *testing.T, address string, words ...string) {
		t.Helper()
		s, err := db.Open(t.Context(), db.Config{Path: address})
		if err == nil {
			_ = s.Close()
			t.Fatal("opened")
		}
		for _, word := range words {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%q does not say %q", err, word)
			}
		}
		if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q says the password", err)
		}
	}
	made := func(t *testing.T, script string) string {
		t.Helper()
		name, err := p.Database(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		p.sql(t, name, script)
		return p.URL(name)
	}
	t.Run("ManyAtOnceMigrateOnce", func(t *testing.T) {
		name, err := p.Database(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				s, err := db.Open(context.Background(), db.Config{Path: p.URL(name)})
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
		if got := p.sql(t, name, `SELECT count(*) = max(number) FROM migrations`); got != "t" {
			t.Errorf("migrations: %s", got)
		}
	})
	t.Run("ASchemaOfItsOwn", func(t *testing.T) {
		address := made(t, `CREATE SCHEMA bridge; CREATE TABLE public.bookmarks (url text)`) + "&search_path=bridge"
		s := reopen(t, address)
		create(t, s, worker("acme", "ann"))
		if s.Path() != strings.Split(address, "?")[0][:len("postgres://")]+strings.SplitN(strings.Split(address, "?")[0], "@", 2)[1] {
			t.Errorf("the path is %s", s.Path())
		}
	})
	t.Run("NoServer", func(t *testing.T) {
		refused(t, "postgres://u:s3cret@127.0.0.1:1/x?sslmode=disable", "cannot be reached", "postgres://127.0.0.1:1/x")
	})
	t.Run("NoAddress", func(t *testing.T) {
		refused(t, "postgres://u:s3cret@h:port/x", "cannot be read", "postgres://user@host")
	})
	t.Run("NoDatabase", func(t *testing.T) { refused(t, p.URL("nowhere"), "does not exist", "CREATE DATABASE") })
	t.Run("AnotherProgramsDatabase", func(t *testing.T) {
		refused(t, made(t, `CREATE TABLE bookmarks (url text)`), "another program", "search_path")
	})
	t.Run("ANewerDatabase", func(t *testing.T) {
		name := p.database(t)
		p.sql(t, name, `INSERT INTO migrations (number, name, checksum, applied) VALUES (9000, '9000_teleport.sql', 'x', 1)`)
		refused(t, p.URL(name), "newer scimbridge", "9000_teleport.sql")
	})
	t.Run("AnEditedMigration", func(t *testing.T) {
		name := p.database(t)
		p.sql(t, name, `UPDATE migrations SET checksum = 'x' WHERE number = 1`)
		refused(t, p.URL(name), "another build")
	})
	t.Run("CommitsThatAreNotOnDisk", func(t *testing.T) {
		name := p.database(t)
		p.sql(t, name, `ALTER DATABASE `+name+` SET synchronous_commit = off`)
		refused(t, p.URL(name), "synchronous_commit")
	})
	t.Run("AForeignEncoding", func(t *testing.T) {
		p.sql(t, "postgres", `CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0`)
		refused(t, p.URL("latin"), "LATIN1", "UTF8")
	})
	t.Run("ThePasswordIsAskedForAtEachSession", func(t *testing.T) {
		asked := 0
		var mu sync.Mutex
		s, err := db.Open(t.Context(), db.Config{Path: p.URL(p.database(t)), Password: func(context.Context) (string, error) {
			mu.Lock()
			defer mu.Unlock()
			asked++
			return "token", nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		create(t, s, worker("acme", "ann"))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if asked < 2 {
			t.Errorf("asked %d times", asked)
		}
		_, err = db.Open(t.Context(), db.Config{Path: p.URL(p.empty), Password: func(context.Context) (string, error) { return "", errors.New("no token today") }})
		if err == nil || !strings.Contains(err.Error(), "no token today") {
			t.Errorf("answered %v", err)
		}
	})
}

func testPostgresSharing(t *testing.T, p *postgres) {
	t.Run("TwoNodesWriteOneJournal", func(t *testing.T) {
		address := p.URL(p.database(t))
		a, b := reopen(t, address), reopen(t, address)
		var wg sync.WaitGroup
		for i, s := range []*db.Store{a, b} {
			wg.Go(func() { fill(t, s, []string{"acme", "beta"}[i], 150) })
		}
		wg.Wait()
		if count, _, err := a.VerifyJournal(t.Context()); count != 300 || err != nil {
			t.Errorf("the journal has %d events, error %v", count, err)
		}
		vendors, err := b.ListVendors(t.Context())
		if err != nil || len(vendors) != 2 || vendors[0].Total != 150 || vendors[1].Total != 150 {
			t.Errorf("vendors are %+v, error %v", vendors, err)
		}
		whole(t, a)
	})
	t.Run("OneUserNameIsGivenOnce", func(t *testing.T) {
		address := p.URL(p.database(t))
		stores := []*db.Store{reopen(t, address), reopen(t, address)}
		var wg sync.WaitGroup
		won := make(chan bool, 40)
		for i := range 40 {
			wg.Go(func() {
				_, err := stores[i%2].Create(t.Context(), worker("acme", "ann"), 0, event("engagement.created"))
				if err != nil {
					wantCode(t, err, contractor.CodeConflict)
				}
				won <- err == nil
			})
		}
		wg.Wait()
		n := 0
		for range 40 {
			if <-won {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d were created", n)
		}
	})
	t.Run("ARevocationElsewhereHoldsWithinASecond", func(t *testing.T) {
		address := p.URL(p.database(t))
		daemon, tool := reopen(t, address), reopen(t, address)
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
	t.Run("SealsFromTwoNodes", func(t *testing.T) {
		address := p.URL(p.database(t))
		a, b := reopen(t, address), reopen(t, address)
		sealer := newSealer(t, a)
		var wg sync.WaitGroup
		for _, s := range []*db.Store{a, b} {
			wg.Go(func() {
				for range 5 {
					journalOf(t, s, 10)
					if _, err := s.Seal(t.Context(), sealer); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if report, err := a.VerifyTrail(t.Context(), nil, nil); err != nil || report.Events != 100 {
			t.Errorf("%+v, %v", report, err)
		}
	})
}

// The database itself refuses what no code may write.
func testPostgresRefusals(t *testing.T, p *postgres) {
	name := p.database(t)
	s := reopen(t, p.URL(name))
	e := create(t, s, worker("acme", "ann"))
	grant(t, s, e, "g1")
	sealer := newSealer(t, s)
	journalOf(t, s, 20)
	if _, err := s.Seal(t.Context(), sealer); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct{ statement, says string }{
		"ChangeOfAnEvent":         {`UPDATE journal SET leaf = '{}' WHERE seq = 1`, "append-only"},
		"DeletionOfAnEvent":       {`DELETE FROM journal WHERE seq = 1`, "append-only"},
		"DeletionOfAll":           {`DELETE FROM journal`, "append-only"},
		"EmptyingTheJournal":      {`TRUNCATE journal CASCADE`, "append-only"},
		"InsertionBehindAGap":     {`INSERT INTO journal SELECT seq + 100, time, kind, person, engagement, vendor, hash, leaf FROM journal WHERE seq = 1`, "append-only"},
		"ChangeOfPersonalFields":  {`UPDATE journal_personal SET fields = '{}'`, "erased, not changed"},
		"ChangeOfATile":           {`UPDATE trail_tiles SET hashes = decode(repeat('00', 32), 'hex')`, "append-only"},
		"DeletionOfATile":         {`DELETE FROM trail_tiles`, "append-only"},
		"EmptyingTheTree":         {`TRUNCATE trail_tiles`, "cannot be emptied"},
		"ChangeOfACheckpoint":     {`UPDATE trail_checkpoints SET size = 1`, "cannot be changed"},
		"DeletionOfACheckpoint":   {`DELETE FROM trail_checkpoints`, "cannot be deleted"},
		"AnArchiveThatWasNotTold": {`INSERT INTO trail_archives (first, last, hash, sha256, file, archived) SELECT 1, 1, hash, hash, 'x', 2 FROM journal WHERE seq = 1`, "told by an event"},
		"PhaseUnknown":            {`UPDATE persons SET phase = 'lost'`, "check constraint"},
		"TwoPeopleOfOneAddress":   {`INSERT INTO persons (id, email, email_key, created) VALUES ('q', '', 'ann@acme.example', 1)`, "unique constraint"},
		"TextForATime":            {`UPDATE persons SET next_at = 'tomorrow'`, "bigint"},
		"TombstoneWithoutEnd":     {`UPDATE engagements SET deleted = 1`, "check constraint"},
		"EngagementOfNobody":      {`UPDATE engagements SET person = 'nobody'`, "foreign key"},
		"HoldingWithoutEnd":       {`UPDATE holdings SET end_at = NULL`, "not-null"},
		"HoldingTwice": {`INSERT INTO holdings (person, kind, entitlement, name, policy, expiry, mechanism, state, handle, end_at, rule, line, revision, engagement, vendor)
			SELECT person, kind, entitlement, name, policy, expiry, mechanism, 'granting', handle, end_at, rule, line, revision, engagement, vendor FROM holdings`, "unique constraint"},
	} {
		t.Run(what, func(t *testing.T) {
			_, err := p.SQL(t.Context(), name, c.statement)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("answered %v, want %q", err, c.says)
			}
		})
	}
	if _, err := s.VerifyTrail(t.Context(), nil, nil); err != nil {
		t.Error(err)
	}
}

// Whoever takes the triggers away and rewrites the tables is found out.
func testPostgresTampering(t *testing.T, p *postgres) {
	journal := func(t *testing.T) (string, *db.Store) {
		name := p.database(t)
		s := reopen(t, p.URL(name))
		for range 5 {
			e := event("guest.invited")
			e.Person, e.Personal = "p", []byte(`{"email":"ann@x.example"}`)
			if err := s.AppendEvents(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
		return name, s
	}
	t.Run("AChangedEvent", func(t *testing.T) {
		name, s := journal(t)
		p.sql(t, name, `ALTER TABLE journal DISABLE TRIGGER ALL; UPDATE journal SET leaf = replace(leaf, 'invited', 'deleted') WHERE seq = 3; ALTER TABLE journal ENABLE TRIGGER ALL`)
		_, _, err := s.VerifyJournal(t.Context())
		var fault *audit.Fault
		if !errors.As(err, &fault) || fault.Seq != 3 {
			t.Errorf("answered %v, want a fault at 3", err)
		}
	})
	for what, script := range map[string]string{
		"ADisabledTrigger": `ALTER TABLE journal DISABLE TRIGGER journal_no_delete`,
		"AMissingTrigger":  `DROP TRIGGER trail_tiles_grow ON trail_tiles`,
		"AHollowTrigger":   `CREATE OR REPLACE FUNCTION journal_no_update() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$`,
	} {
		t.Run(what, func(t *testing.T) {
			name, s := journal(t)
			p.sql(t, name, script)
			if _, err := s.VerifyTrail(t.Context(), nil, nil); err == nil || !strings.Contains(err.Error(), "trigger") {
				t.Errorf("answered %v", err)
			}
		})
	}
}

func testPostgresArchives(t *testing.T, p *postgres) {
	s := p.open(t)
	journalOf(t, s, 300)
	sealer := newSealer(t, s)
	if _, err := s.Seal(t.Context(), sealer); err != nil {
		t.Fatal(err)
	}
	admin := audit.Actor{Kind: audit.ActorAdmin, Name: "ann"}
	a, _ := archive(t, s, sealer, time.Now())
	if _, err := s.DropArchived(t.Context(), admin, a.SHA256, "retention"); err != nil {
		t.Fatal(err)
	}
	report, err := s.VerifyTrail(t.Context(), nil, nil)
	if err != nil || report.Stored != 2 || len(report.Archives) != 1 {
		t.Fatalf("%+v, %v", report, err)
	}
}

// Whatever becomes of a session, the next one goes on.
func testPostgresInterrupts(t *testing.T, p *postgres) {
	name := p.database(t)
	s := reopen(t, p.URL(name))
	create(t, s, worker("acme", "ann"))
	const kill = `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`
	t.Run("SessionsThatWereEndedAreOpenedAnew", func(t *testing.T) {
		if _, err := s.Stats(t.Context(), noon, 0); err != nil {
			t.Fatal(err)
		}
		p.sql(t, name, kill)
		for p.sql(t, name, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()`) != "1" {
			continue // they end by themselves
		}
		create(t, s, worker("acme", "bob"))
		if page := listAll(t, s, contractor.Query{}); page.Total != 2 {
			t.Errorf("%d are there", page.Total)
		}
		if _, err := s.Stats(t.Context(), noon, 0); err != nil {
			t.Error(err)
		}
	})
	t.Run("UnderLoadNothingAcknowledgedIsLost", func(t *testing.T) {
		var wg sync.WaitGroup
		results := make(chan string, 400)
		for i := range 8 {
			wg.Go(func() {
				for k := range 50 {
					e, err := s.Create(t.Context(), worker("beta", string(rune('a'+i))+time.Duration(k).String()), 0, event("engagement.created"))
					if err == nil {
						results <- e.ID
					}
				}
			})
		}
		for range 3 {
			p.sql(t, name, `SELECT pg_sleep(0.02)`)
			p.sql(t, name, kill)
		}
		wg.Wait()
		close(results)
		n := 0
		for id := range results {
			get(t, s, "beta", id)
			n++
		}
		if n == 0 {
			t.Error("nothing was written")
		}
		if _, _, err := s.VerifyJournal(t.Context()); err != nil {
			t.Error(err)
		}
		whole(t, s)
	})
	t.Run("AnotherWriterThatDoesNotEndIsSaidToBeThere", func(t *testing.T) {
		busy, err := db.Open(t.Context(), db.Config{Path: p.URL(name), BusyTimeout: 50 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		defer busy.Close() //nolint:errcheck // nothing was written
		done := make(chan error, 1)
		go func() {
			_, err := p.SQL(context.Background(), name, `SELECT pg_advisory_lock(1396918594, hashtext(current_schema() || ' write')), pg_sleep(1)`)
			done <- err
		}()
		for p.sql(t, name, `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'`) == "0" {
			if len(done) > 0 {
				t.Fatal(<-done)
			}
		}
		_, err = busy.Create(t.Context(), worker("gamma", "x"), 0, event("engagement.created"))
		wantCode(t, err, contractor.CodeUnavailable)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func testPostgresCheck(t *testing.T, p *postgres) {
	name := p.database(t)
	s := reopen(t, p.URL(name))
	list := fill(t, s, "acme", 30)
	if err := s.Delete(t.Context(), "acme", list[3].ID, 0, noon, event("engagement.deleted")); err != nil {
		t.Fatal(err)
	}
	whole(t, s)
	p.sql(t, name, `UPDATE vendors SET live = live - 1; UPDATE vendor_holes SET holes = holes + 1`)
	found, err := s.Check(t.Context())
	if err != nil || len(found) != 2 {
		t.Errorf("found %q, error %v", found, err)
	}
	_, err = s.Backup(t.Context(), t.TempDir()+"/x")
	wantCode(t, err, contractor.CodeInvalid)
}
