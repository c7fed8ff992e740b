package db_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
)

// writerEnv makes the test binary a process that writes to the database named in it, and says on its standard output what was
// acknowledged. With hardyEnv it outlives refusals, with backupEnv it makes backups meanwhile, too.
const (
	writerEnv = "SCIMBRIDGE_TEST_WRITES_TO"
	hardyEnv  = "SCIMBRIDGE_TEST_HARDY"
	backupEnv = "SCIMBRIDGE_TEST_BACKS_UP"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(migrateEnv); path != "" {
		if err := db.MigrateForTest(context.Background(), path, rewriting); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println("migrated")
		os.Exit(0)
	}
	if path := os.Getenv(writerEnv); path != "" {
		if err := writeForEver(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// writeForEver creates, changes, ends and deletes engagements from several goroutines, until it is killed.
func writeForEver(path string) error {
	ctx := context.Background()
	s, err := db.Open(ctx, db.Config{Path: path})
	if err != nil {
		return err
	}
	var out sync.Mutex
	say := func(format string, args ...any) {
		out.Lock()
		defer out.Unlock()
		fmt.Printf(format+"\n", args...) // one write, and so whole or not at all
	}
	failed := make(chan error)
	if os.Getenv(backupEnv) != "" {
		go func() {
			for i := 0; ; i++ {
				to := fmt.Sprintf("%s.backup-%d-%d", path, os.Getpid(), i)
				if _, err := s.Backup(ctx, to); err != nil {
					failed <- err
					return
				}
				say("backup %s", filepath.Base(to))
			}
		}()
	}
	for range 8 {
		go func() {
			for {
				if err := writeOne(ctx, s, say); err != nil && !outlived(err) {
					failed <- err
					return
				}
			}
		}()
	}
	return <-failed
}

// outlived reports whether a writer goes on after an error: a hardy one does, after what the disk refused.
func outlived(err error) bool {
	e, known := errors.AsType[*contractor.Error](err)
	if os.Getenv(hardyEnv) == "" || !known || e.Code != contractor.CodeUnavailable {
		return false
	}
	time.Sleep(5 * time.Millisecond)
	return true
}

// writeOne lives one engagement.
func writeOne(ctx context.Context, s *db.Store, say func(string, ...any)) error {
	e := worker("acme", fmt.Sprintf("%016x", rand.Uint64()))
	e.Created, e.Modified = time.Now(), time.Now()
	ev := event("engagement.created")
	ev.Personal = []byte(`{"email":"ann@x.example"}`)
	e, err := s.Create(ctx, e, 0, ev)
	if err != nil {
		return err
	}
	say("created %s", e.ID)
	e.Record.Department = "Finance"
	if e, err = s.Update(ctx, e, event("engagement.updated")); err != nil {
		return err
	}
	say("updated %s", e.ID)
	p, err := s.Person(ctx, e.Person)
	if err != nil {
		return err
	}
	p.GuestID = "guest-" + e.ID
	h := holding("g1")
	h.Engagement = e.ID
	if err := s.Record(ctx, &contractor.Change{Person: p, Holdings: []*contractor.Holding{h}}, event("grant.added")); err != nil {
		return err
	}
	say("granted %s", e.Person)
	if rand.IntN(2) == 0 {
		if err := s.Delete(ctx, "acme", e.ID, 0, time.Now(), event("engagement.deleted")); err != nil {
			return err
		}
		say("deleted %s", e.ID)
	}
	return nil
}

// Whatever a process was told is written is there after kill -9, the journal is whole, and the next process goes on.
func TestKilledWriterLosesNothing(t *testing.T) {
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	testKilledWriter(t, filepath.Join(t.TempDir(), "scimbridge.db"), rounds)
}

func testKilledWriter(t *testing.T, path string, rounds int) {
	t.Helper()
	const seed = 11
	r := rand.New(rand.NewPCG(seed, 0))
	acknowledged := map[string]string{} // id -> last word
	for round := range rounds {
		for line := range killedAfter(t, path, 20+r.IntN(200)) {
			word, id, ok := strings.Cut(line, " ")
			if !ok {
				t.Fatalf("the writer said %q", line)
			}
			acknowledged[id] = word
		}
		check := reopen(t, path)
		checkAcknowledged(t, check, acknowledged)
		checkCounts(t, check)
		if err := check.Close(); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			t.Fatalf("round %d, seed %d", round, seed)
		}
	}
	t.Logf("%d rounds, %d acknowledged rows", rounds, len(acknowledged))
}

// killedAfter runs a writer, kills it once it has said n lines, and yields all that it said in whole lines.
func killedAfter(t *testing.T, path string, n int) func(yield func(string) bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), writerEnv+"="+path)
	var problems strings.Builder
	cmd.Stderr = &problems
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return func(yield func(string) bool) {
		lines := bufio.NewReader(stdout)
		for said := 0; ; said++ {
			if said == n {
				if err := cmd.Process.Kill(); err != nil {
					t.Error(err)
				}
			}
			line, err := lines.ReadString('\n')
			if err != nil { // what was said in half was not said
				break
			}
			if !yield(strings.TrimSuffix(line, "\n")) {
				break
			}
		}
		if err := cmd.Wait(); err == nil || problems.Len() > 0 {
			t.Errorf("the writer ended with %v: %s", err, problems.String())
		}
	}
}

func checkAcknowledged(t *testing.T, s *db.Store, acknowledged map[string]string) {
	t.Helper()
	for id, word := range acknowledged {
		if word == "granted" {
			p, err := s.Person(t.Context(), id)
			if err != nil || p.GuestID == "" || len(p.Holdings) != 1 {
				t.Errorf("person %s was granted, and is %+v, error %v", id, p, err)
			}
			continue
		}
		e, err := s.Get(t.Context(), "acme", id)
		switch word {
		case "created": // the next step may have been done and not been said
			if err != nil {
				t.Errorf("engagement %s was created: %v", id, err)
			}
		case "updated": // so may its deletion
			if err != nil {
				wantCode(t, err, contractor.CodeNotFound)
			} else if e.Record.Department != "Finance" {
				t.Errorf("engagement %s was updated, and is %+v", id, e)
			}
		case "deleted":
			wantCode(t, err, contractor.CodeNotFound)
		}
	}
}

// checkCounts compares what is kept beside the rows with the rows, and every event with what it tells of.
func checkCounts(t *testing.T, s *db.Store) {
	t.Helper()
	if _, _, err := s.VerifyJournal(t.Context()); err != nil {
		t.Error(err)
	}
	whole(t, s)
	told := map[string]int{}
	for e, err := range s.Journal(t.Context(), contractor.JournalQuery{}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Outcome == audit.Done && strings.HasPrefix(e.Kind, "engagement.") {
			told[e.Engagement]++
		}
	}
	total, live := 0, 0
	for e, err := range s.ListEngagements(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if int64(told[e.ID]) != e.Version {
			t.Errorf("engagement %s has version %d, and %d events tell of it", e.ID, e.Version, told[e.ID])
		}
		delete(told, e.ID)
		if !e.Deleted {
			total++
			if e.EndedAt.IsZero() {
				live++
			}
		}
	}
	if len(told) > 0 {
		t.Errorf("%d engagements have events and no row", len(told))
	}
	vendors, err := s.ListVendors(t.Context())
	if err != nil || len(vendors) != 1 || vendors[0].Total != total || vendors[0].Live != live {
		t.Errorf("vendors are %+v, error %v; there are %d engagements, %d live", vendors, err, total, live)
	}
	if all := walkOffsets(t, s, contractor.Query{Vendor: "acme", Count: 100}); len(all) != total {
		t.Errorf("the pages show %d of %d", len(all), total)
	}
}
