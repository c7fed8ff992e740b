package db_test

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"
	"modernc.org/sqlite"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
)

// sealedStore is a store with n events and a checkpoint over them that an auditor keeps.
func sealedStore(t testing.TB, n int) (path string, sealer *audit.Sealer, kept audit.KnownCheckpoint) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "scimbridge.db")
	s, err := db.Open(context.Background(), db.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	journalOf(t, s, n)
	sealer = newSealer(t, s)
	c, err := s.Seal(t.Context(), sealer)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path, sealer, audit.KnownCheckpoint{SignedCheckpoint: c, Source: "the auditor", Kept: true}
}

// intruder opens a database as somebody does who has the file: without the store, its checks and its triggers. Before it lets go
// it puts the triggers back.
func intruder(t testing.TB, path string, do func(*sql.DB)) {
	t.Helper()
	pool := rawPool(t, path)
	rows, err := pool.Query(`SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'`)
	if err != nil {
		t.Fatal(err)
	}
	triggers := map[string]string{}
	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			t.Fatal(err)
		}
		triggers[name] = text
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		t.Fatal(err)
	}
	for name := range triggers {
		mustExec(t, pool, `DROP TRIGGER `+name)
	}
	do(pool)
	for _, text := range triggers {
		mustExec(t, pool, text)
	}
	if err := pool.Close(); err != nil {
		t.Fatal(err)
	}
}

func rawPool(t testing.TB, path string) *sql.DB {
	t.Helper()
	pool := sql.OpenDB(rawConnector{path})
	pool.SetMaxOpenConns(1)
	return pool
}

// rawConnector is a plain SQLite connection, without the store's driver and its functions.
type rawConnector struct{ path string }

func (c rawConnector) Connect(context.Context) (driver.Conn, error) { return c.Driver().Open(c.path) }

func (c rawConnector) Driver() driver.Driver { return &sqlite.Driver{} }

func mustExec(t testing.TB, pool *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := pool.Exec(query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func verifyAt(t testing.TB, path string, kept ...audit.KnownCheckpoint) (*audit.Report, error) {
	t.Helper()
	s := reopen(t, path)
	return s.VerifyTrail(t.Context(), kept, nil)
}

func TestVerifyTrailFindsNothingWrong(t *testing.T) {
	path, sealer, kept := sealedStore(t, 700)
	s := reopen(t, path)
	var done int64
	report, err := s.VerifyTrail(t.Context(), []audit.KnownCheckpoint{kept}, func(n, total int64) { done = n })
	if err != nil {
		t.Fatal(err)
	}
	if report.Events != 700 || report.Stored != 700 || report.Covered != 700 || report.Erased != 0 || done != 700 || report.Root != kept.Root.String() {
		t.Errorf("report %+v, progress %d", report, done)
	}
	journalOf(t, s, 300) // the journal goes on; the tree is behind
	report, err = s.VerifyTrail(t.Context(), []audit.KnownCheckpoint{kept}, nil)
	if err != nil || report.Events != 1000 || report.Covered != 700 {
		t.Fatalf("%+v, %v", report, err)
	}
	if _, err := s.Seal(t.Context(), sealer); err != nil {
		t.Fatal(err)
	}
	report, err = s.VerifyTrail(t.Context(), []audit.KnownCheckpoint{kept}, nil)
	if err != nil || len(report.Checkpoints) != 3 {
		t.Fatalf("%+v, %v", report, err)
	}
}

func testVerifyTrailOfAnEmptyJournal(t *testing.T, open opener) {
	s := open(t)
	report, err := s.VerifyTrail(t.Context(), nil, nil)
	if err != nil || report.Events != 0 {
		t.Errorf("%+v, %v", report, err)
	}
	_, err = s.Seal(t.Context(), newSealer(t, s))
	wantCode(t, err, contractor.CodeConflict)
}

func TestVerifyTrailFindsWhatAnIntruderDid(t *testing.T) {
	const shift = `INSERT INTO journal SELECT seq, time, kind, person, engagement, vendor, hash, leaf FROM old WHERE seq < 40`
	for name, c := range map[string]struct {
		do  []string
		seq int64 // that the fault names; -1: any
	}{
		"AChangedEvent":          {[]string{`UPDATE journal SET leaf = replace(leaf, '"everyone"', '"finance0"') WHERE seq = 42`}, 42},
		"AChangedColumn":         {[]string{`UPDATE journal SET vendor = 'other' WHERE seq = 42`}, 42},
		"AChangedTime":           {[]string{`UPDATE journal SET time = time - 1 WHERE seq = 42`}, 42},
		"AChangedKind":           {[]string{`UPDATE journal SET kind = 'grant.gone' WHERE seq = 42`}, 42},
		"AChangedPerson":         {[]string{`UPDATE journal SET person = '' WHERE seq = 42`}, 42},
		"AChangedHash":           {[]string{`UPDATE journal SET hash = zeroblob(32) WHERE seq = 42`}, 42},
		"ChangedPersonalFields":  {[]string{`UPDATE journal_personal SET fields = '{"email":"x@y.example"}' WHERE seq = 41`}, 41},
		"AddedPersonalFields":    {[]string{`INSERT INTO journal_personal VALUES (42, 'p', zeroblob(16), '{}')`}, 42},
		"ADroppedEvent":          {[]string{`DELETE FROM journal_personal WHERE seq = 42`, `DELETE FROM journal WHERE seq = 42`}, 42},
		"ADroppedBeginning":      {[]string{`DELETE FROM journal_personal WHERE seq < 42`, `DELETE FROM journal WHERE seq < 42`}, 1},
		"ADroppedEnd":            {[]string{`DELETE FROM journal_personal WHERE seq > 690`, `DELETE FROM journal WHERE seq > 690`}, 691},
		"NoEventsAtAll":          {[]string{`DELETE FROM journal_personal`, `DELETE FROM journal`}, 1},
		"ADroppedAndClosedGap":   {[]string{`DELETE FROM journal_personal`, `DELETE FROM journal WHERE seq = 42`, `UPDATE journal SET seq = seq - 1 WHERE seq > 42`}, 42},
		"AnInsertedEvent":        {[]string{`DELETE FROM journal_personal`, `CREATE TABLE old AS SELECT * FROM journal`, `DELETE FROM journal`, shift, `INSERT INTO journal SELECT seq + 1, time, kind, person, engagement, vendor, hash, leaf FROM old WHERE seq >= 39`, `DROP TABLE old`}, 40},
		"ReorderedEvents":        {[]string{`DELETE FROM journal_personal`, `UPDATE journal SET seq = -42 WHERE seq = 42`, `UPDATE journal SET seq = 42 WHERE seq = 43`, `UPDATE journal SET seq = 43 WHERE seq = -42`}, 42},
		"AChangedTreeLeaf":       {[]string{`UPDATE trail_tiles SET hashes = CAST(zeroblob(32) || substr(hashes, 33) AS BLOB) WHERE level = 0 AND n = 1`}, 257},
		"AChangedTreeNode":       {[]string{`UPDATE trail_tiles SET hashes = CAST(zeroblob(32) || substr(hashes, 33) AS BLOB) WHERE level = 1`}, -1},
		"ADroppedTile":           {[]string{`DELETE FROM trail_tiles WHERE level = 0 AND n = 1`}, -1},
		"AChangedCheckpoint":     {[]string{`UPDATE trail_checkpoints SET note = replace(note, char(10) || '700' || char(10), char(10) || '699' || char(10))`}, -1},
		"AnInventedArchive":      {[]string{`DELETE FROM journal_personal WHERE seq <= 9`, `DELETE FROM journal WHERE seq <= 9`, `INSERT INTO trail_archives SELECT 9, 1, hash, zeroblob(32), 'f', 10, 11 FROM journal WHERE seq = 10`}, 1},
		"AnArchiveOfTheWrongEnd": {[]string{`DELETE FROM journal_personal WHERE seq <= 9`, `DELETE FROM journal WHERE seq <= 9`, `INSERT INTO trail_archives VALUES (9, 1, zeroblob(32), zeroblob(32), 'f', 10, 11)`}, 1},
	} {
		t.Run(name+"IsFound", func(t *testing.T) {
			path, _, _ := sealedStore(t, 700)
			intruder(t, path, func(pool *sql.DB) {
				mustExec(t, pool, `PRAGMA foreign_keys = 0`)
				mustExec(t, pool, `PRAGMA ignore_check_constraints = 1`)
				for _, query := range c.do {
					mustExec(t, pool, query)
				}
			})
			report, err := verifyAt(t, path)
			if err == nil {
				t.Fatalf("found nothing: %+v", report)
			}
			var f *audit.Fault
			if c.seq >= 0 && (!errors.As(err, &f) || f.Seq != c.seq) {
				t.Errorf("got %v, want a fault at %d", err, c.seq)
			}
		})
	}
	for _, trigger := range []string{"journal_no_delete", "journal_no_update", "trail_tiles_grow"} {
		t.Run("AMissingTriggerIsFound/"+trigger, func(t *testing.T) {
			path, _, _ := sealedStore(t, 10)
			pool := rawPool(t, path)
			mustExec(t, pool, `DROP TRIGGER `+trigger)
			if err := pool.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := verifyAt(t, path); err == nil || !strings.Contains(err.Error(), trigger) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// forge rewrites the journal from an event on as somebody does who knows everything and has the key too: leaves, hashes, columns,
// tree, checkpoints. Nothing in the database or beside it tells of it.
func forge(t testing.TB, path string, sealer *audit.Sealer, from int64) {
	t.Helper()
	intruder(t, path, func(pool *sql.DB) {
		rows, err := pool.Query(`SELECT leaf FROM journal ORDER BY seq`)
		if err != nil {
			t.Fatal(err)
		}
		var leaves [][]byte
		for rows.Next() {
			var leaf []byte
			if err := rows.Scan(&leaf); err != nil {
				t.Fatal(err)
			}
			leaves = append(leaves, leaf)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
		tree := audit.NewTree(func(tile audit.Tile) {
			mustExec(t, pool, `INSERT OR REPLACE INTO trail_tiles VALUES (?, ?, ?)`, tile.Level, tile.N, tile.Data)
		})
		prev := audit.Genesis
		for _, leaf := range leaves {
			e, err := audit.ParseLeaf(leaf)
			if err != nil {
				t.Fatal(err)
			}
			if e.Seq == from {
				e.Reason = "nothing to see here"
			}
			personalHash := e.PersonalHash
			if err := e.Seal(prev); err != nil {
				t.Fatal(err)
			}
			e.PersonalHash = personalHash
			if leaf, err = e.Leaf(); err != nil {
				t.Fatal(err)
			}
			sum, err := hex.DecodeString(audit.HashLeaf(leaf))
			if err != nil {
				t.Fatal(err)
			}
			mustExec(t, pool, `UPDATE journal SET leaf = ?, hash = ? WHERE seq = ?`, string(leaf), sum, e.Seq)
			tree.Append(tlog.RecordHash(leaf))
			prev = audit.HashLeaf(leaf)
		}
		for _, tile := range tree.Edge() {
			mustExec(t, pool, `INSERT OR REPLACE INTO trail_tiles VALUES (?, ?, ?)`, tile.Level, tile.N, tile.Data)
		}
		signed, err := sealer.Key.Sign(audit.Checkpoint{Origin: sealer.Key.Origin(), Size: tree.Size(), Root: tree.Root()})
		if err != nil {
			t.Fatal(err)
		}
		mustExec(t, pool, `UPDATE trail_checkpoints SET note = ?`, string(signed.Note))
		if err := os.WriteFile(sealer.Last, signed.Note, 0o600); err != nil {
			t.Fatal(err)
		}
	})
}

func TestAPerfectForgeryIsFoundByACheckpointKeptElsewhereAlone(t *testing.T) {
	path, sealer, kept := sealedStore(t, 700)
	forge(t, path, sealer, 42)
	if _, err := verifyAt(t, path); err != nil {
		t.Fatalf("the forgery is not perfect, so this proves nothing: %v", err)
	}
	_, err := verifyAt(t, path, kept)
	f, ok := errors.AsType[*audit.CheckpointFault](err)
	if !ok || f.Checkpoint.Size != 700 || f.Source != "the auditor" {
		t.Errorf("got %v", err)
	}
}

func TestARollBackIsFound(t *testing.T) {
	path, sealer, _ := sealedStore(t, 500)
	backup := filepath.Join(t.TempDir(), "backup.db")
	s := reopen(t, path)
	if _, err := s.Backup(t.Context(), backup); err != nil {
		t.Fatal(err)
	}
	journalOf(t, s, 200)
	c, err := s.Seal(t.Context(), sealer)
	if err != nil {
		t.Fatal(err)
	}
	kept := audit.KnownCheckpoint{SignedCheckpoint: c, Source: "the auditor", Kept: true}

	old := reopen(t, backup)
	t.Run("ByACheckpointKeptElsewhere", func(t *testing.T) {
		_, err := old.VerifyTrail(t.Context(), []audit.KnownCheckpoint{kept}, nil)
		var f *audit.CheckpointFault
		if !errors.As(err, &f) || f.Events != 500 || f.Checkpoint.Size != 700 || !strings.Contains(err.Error(), "rolled back") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("ByTheSealerWhichDoesNotSignIt", func(t *testing.T) {
		_, err := old.Seal(t.Context(), sealer)
		var b *audit.BrokenHistory
		if !errors.As(err, &b) || b.Signed.Size != 700 || b.Now.Size != 500 {
			t.Errorf("got %v", err)
		}
	})
	t.Run("ByTheSealerThoughItGrewAgain", func(t *testing.T) {
		journalOf(t, old, 300)
		_, err := old.Seal(t.Context(), sealer)
		var b *audit.BrokenHistory
		if !errors.As(err, &b) || b.Now.Size != 800 {
			t.Errorf("got %v", err)
		}
		_, err = old.VerifyTrail(t.Context(), []audit.KnownCheckpoint{kept}, nil)
		if _, ok := errors.AsType[*audit.CheckpointFault](err); !ok {
			t.Errorf("got %v", err)
		}
	})
}

func TestTriggersRefuse(t *testing.T) {
	path, _, _ := sealedStore(t, 700)
	pool := rawPool(t, path)
	defer pool.Close() //nolint:errcheck // nothing was written
	mustExec(t, pool, `PRAGMA recursive_triggers = 1`)
	for name, query := range map[string]string{
		"ChangingAnEvent":               `UPDATE journal SET leaf = leaf WHERE seq = 5`,
		"DeletingAnEvent":               `DELETE FROM journal WHERE seq = 5`,
		"DeletingTheOldest":             `DELETE FROM journal WHERE seq = 1`,
		"DeletingTheYoungest":           `DELETE FROM journal WHERE seq = 700`,
		"ReplacingAnEvent":              `INSERT OR REPLACE INTO journal SELECT * FROM journal WHERE seq = 5`,
		"InsertingInTheMiddle":          `INSERT INTO journal SELECT 5, time, kind, person, engagement, vendor, hash, leaf FROM journal WHERE seq = 6`,
		"LeavingAGap":                   `INSERT INTO journal SELECT 702, time, kind, person, engagement, vendor, hash, leaf FROM journal WHERE seq = 6`,
		"ChangingPersonalFields":        `UPDATE journal_personal SET fields = '{}'`,
		"ChangingAHashOfTheTree":        `UPDATE trail_tiles SET hashes = CAST(zeroblob(32) || substr(hashes, 33) AS BLOB) WHERE level = 0 AND n = 0`,
		"ShorteningTheTree":             `UPDATE trail_tiles SET hashes = substr(hashes, 1, 32) WHERE level = 0 AND n = 2`,
		"MovingATile":                   `UPDATE trail_tiles SET n = 9 WHERE level = 0 AND n = 2`,
		"DeletingATile":                 `DELETE FROM trail_tiles WHERE level = 0 AND n = 2`,
		"ReplacingATile":                `INSERT OR REPLACE INTO trail_tiles VALUES (0, 0, zeroblob(8192))`,
		"ChangingACheckpoint":           `UPDATE trail_checkpoints SET size = 1`,
		"DeletingACheckpoint":           `DELETE FROM trail_checkpoints`,
		"AnArchiveThatNoEventTellsOf":   `INSERT INTO trail_archives SELECT 9, 1, hash, zeroblob(32), 'f', 10, NULL FROM journal WHERE seq = 9`,
		"AnArchiveThatIsDroppedAtBirth": `INSERT INTO trail_archives SELECT 9, 1, hash, zeroblob(32), 'f', 10, 11 FROM journal WHERE seq = 9`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := pool.Exec(query)
			var e *sqlite.Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), "cannot be") && !strings.Contains(err.Error(), "not changed") && !strings.Contains(err.Error(), "append-only") && !strings.Contains(err.Error(), "an archive") {
				t.Errorf("%s: %v", query, err)
			}
		})
	}
	if _, err := verifyAt(t, path); err != nil {
		t.Error(err)
	}
}

// Two processes append, grow the tree and sign at once, and every checkpoint that came out is one history.
func TestSealsFromTwoProcesses(t *testing.T) {
	path, sealer, first := sealedStore(t, 10)
	var mu sync.Mutex
	signed := []audit.KnownCheckpoint{first}
	var wg sync.WaitGroup
	for range 2 {
		s := reopen(t, path)
		wg.Go(func() {
			for range 8 {
				journalOf(t, s, 137)
				c, err := s.Seal(context.Background(), &audit.Sealer{Key: sealer.Key, Last: sealer.Last})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				signed = append(signed, audit.KnownCheckpoint{SignedCheckpoint: c, Source: "the auditor", Kept: true})
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	report, err := verifyAt(t, path, signed...)
	if err != nil {
		t.Fatal(err)
	}
	if want := int64(10 + 2*8*137); report.Events != want {
		t.Errorf("%d events, want %d", report.Events, want)
	}
}

func TestGrowingDoesNotPutTamperedEventsIntoTheTree(t *testing.T) {
	path, sealer, _ := sealedStore(t, 100)
	s, err := db.Open(context.Background(), db.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	journalOf(t, s, 100)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	intruder(t, path, func(pool *sql.DB) {
		mustExec(t, pool, `UPDATE journal SET leaf = replace(leaf, '"everyone"', '"finance0"') WHERE seq = 150`)
	})
	var f *audit.Fault
	if _, err := reopen(t, path).Seal(t.Context(), sealer); !errors.As(err, &f) || f.Seq != 150 {
		t.Errorf("got %v", err)
	}
}

func testProofsFromTheStore(t *testing.T, open opener) {
	s := open(t)
	journalOf(t, s, 700)
	sealer := newSealer(t, s)
	kept, err := s.Seal(t.Context(), sealer)
	if err != nil {
		t.Fatal(err)
	}
	v, err := sealer.Key.Verifier()
	if err != nil {
		t.Fatal(err)
	}
	for _, seq := range []int64{1, 256, 257, 700} {
		p, err := s.ProveEvent(t.Context(), seq, kept, true)
		if err != nil {
			t.Fatal(err)
		}
		b, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		got, err := audit.CheckProof(b, v)
		if err != nil || got.Event.Seq != seq || (seq%4 == 1) != (got.Event.Personal != nil) {
			t.Errorf("event %d: %+v, %v", seq, got, err)
		}
	}
	_, err = s.ProveEvent(t.Context(), 701, kept, true)
	wantCode(t, err, contractor.CodeNotFound)

	journalOf(t, s, 50)
	now, err := s.Seal(t.Context(), sealer)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.ProveConsistency(t.Context(), kept, now)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := audit.CheckProof(b, v); err != nil || p.Old.Size != 700 || p.New.Size != 750 {
		t.Errorf("%+v, %v", p, err)
	}
}

func testEventsAfterAndCursors(t *testing.T, open opener) {
	s := open(t)
	journalOf(t, s, 25)
	var seen []int64
	for after := int64(0); ; {
		list, err := s.EventsAfter(t.Context(), after, 10)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 0 {
			break
		}
		for _, e := range list {
			seen = append(seen, e.Seq)
			after = e.Seq
		}
	}
	if len(seen) != 25 || seen[0] != 1 || seen[24] != 25 {
		t.Errorf("saw %v", seen)
	}
	if _, known, err := s.ExportCursor(t.Context(), "siem"); known || err != nil {
		t.Errorf("known %v, %v", known, err)
	}
	for _, seq := range []int64{10, 25} {
		if err := s.SetExportCursor(t.Context(), "siem", seq); err != nil {
			t.Fatal(err)
		}
	}
	if seq, known, err := s.ExportCursor(t.Context(), "siem"); seq != 25 || !known || err != nil {
		t.Errorf("%d, %v, %v", seq, known, err)
	}
}

// archive makes an archive of what is older than before, as the command does.
func archive(t testing.TB, s *db.Store, sealer *audit.Sealer, before time.Time) (audit.ArchiveRecord, []byte) {
	t.Helper()
	var b bytes.Buffer
	a, err := s.WriteArchive(t.Context(), &b, before, sealer)
	if err != nil {
		t.Fatal(err)
	}
	a.File = fmt.Sprintf("archive-%d", a.Last)
	if a, err = s.RecordArchive(t.Context(), audit.Actor{Kind: audit.ActorAdmin, Name: "ann"}, a, "retention"); err != nil {
		t.Fatal(err)
	}
	return a, b.Bytes()
}

func TestArchives(t *testing.T) {
	path, sealer, kept := sealedStore(t, 700)
	s := reopen(t, path)
	admin := audit.Actor{Kind: audit.ActorAdmin, Name: "ann"}
	mid := time.Now()
	journalOf(t, s, 100)
	if _, err := s.DropArchived(t.Context(), admin, strings.Repeat("0", 64), "x"); err == nil {
		t.Error("dropped what was never archived")
	}

	a, file := archive(t, s, sealer, mid)
	if a.First != 1 || a.Last != 700 || a.Archived != 801 {
		t.Fatalf("archive %+v", a)
	}
	v, err := sealer.Key.Verifier()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := audit.CheckArchive(bytes.NewReader(file), nil, v); err != nil || got.Last != 700 || got.Hash != a.Hash {
		t.Fatalf("%+v, %v", got, err)
	}

	t.Run("TheEventsStayUntilTheyAreDropped", func(t *testing.T) {
		pool := rawPool(t, path)
		defer pool.Close() //nolint:errcheck // nothing was written
		if _, err := pool.Exec(`DELETE FROM journal WHERE seq = 2`); err == nil {
			t.Error("an archived event could be deleted before its drop was journaled")
		}
		if _, err := pool.Exec(`UPDATE trail_archives SET dropped = 801`); err == nil {
			t.Error("a drop was recorded that no event tells of")
		}
		if _, err := pool.Exec(`DELETE FROM trail_archives`); err == nil {
			t.Error("an archive's record could be deleted")
		}
	})
	t.Run("AnInterruptedDropIsWholeAndGoesOn", func(t *testing.T) {
		if _, err := s.DropArchived(t.Context(), admin, a.SHA256, "retention"); err != nil {
			t.Fatal(err)
		}
		// The copy stands for a machine that stopped after a part of it.
		other, sealer2, kept2 := sealedStore(t, 700)
		s2 := reopen(t, other)
		a2, _ := archive(t, s2, sealer2, time.Now())
		pool := rawPool(t, other)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s2.DropArchived(ctx, admin, a2.SHA256, "retention"); err == nil {
			t.Fatal("went on though cancelled")
		}
		journalDrop(t, s2, pool, admin, a2, 300)
		if _, err := s2.Backup(t.Context(), filepath.Join(t.TempDir(), "backup.db")); err != nil {
			t.Error(err)
		}
		report, err := s2.VerifyTrail(t.Context(), []audit.KnownCheckpoint{kept2}, nil)
		if err != nil || report.Stored != report.Events-300 {
			t.Fatalf("%+v, %v", report, err)
		}
		if _, err := s2.DropArchived(t.Context(), admin, a2.SHA256, "retention"); err != nil {
			t.Fatal(err)
		}
		if report, err = s2.VerifyTrail(t.Context(), []audit.KnownCheckpoint{kept2}, nil); err != nil || report.Stored != 2 {
			t.Fatalf("%+v, %v", report, err)
		}
	})
	t.Run("TheJournalVerifiesWithoutThem", func(t *testing.T) {
		report, err := s.VerifyTrail(t.Context(), []audit.KnownCheckpoint{kept}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if report.Events != 802 || report.Stored != 102 || report.Covered != 700 || len(report.Archives) != 1 {
			t.Errorf("report %+v", report)
		}
	})
	t.Run("ABackupOfWhatIsLeftIsWhole", func(t *testing.T) {
		backup := filepath.Join(t.TempDir(), "backup.db")
		if n, err := s.Backup(t.Context(), backup); err != nil || n != 802 {
			t.Errorf("%d, %v", n, err)
		}
	})
	t.Run("WhatIsLeftCannotBeDeleted", func(t *testing.T) {
		pool := rawPool(t, path)
		defer pool.Close() //nolint:errcheck // nothing was written
		if _, err := pool.Exec(`DELETE FROM journal WHERE seq = 701`); err == nil {
			t.Error("an event that was not archived could be deleted")
		}
	})
	t.Run("AnArchivedEventIsSaidToBeThere", func(t *testing.T) {
		_, err := s.StoredEvent(t.Context(), 5)
		wantCode(t, err, contractor.CodeNotFound)
		if err == nil || !strings.Contains(err.Error(), "archive-700") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("ASecondArchiveFollows", func(t *testing.T) {
		journalOf(t, s, 300)
		b, file := archive(t, s, sealer, time.Now())
		if b.First != 701 {
			t.Fatalf("archive %+v", b)
		}
		if _, err := audit.CheckArchive(bytes.NewReader(file), nil, v); err != nil {
			t.Fatal(err)
		}
		if _, err := s.DropArchived(t.Context(), admin, b.SHA256, "retention"); err != nil {
			t.Fatal(err)
		}
		// The events that told of the first archive are in the second one now.
		report, err := s.VerifyTrail(t.Context(), []audit.KnownCheckpoint{kept}, nil)
		if err != nil || report.Stored != 2 || len(report.Archives) != 2 {
			t.Fatalf("%+v, %v", report, err)
		}
		journalOf(t, s, 5)
		if _, err := s.Seal(t.Context(), sealer); err != nil {
			t.Fatal(err)
		}
		if list, err := s.EventsAfter(t.Context(), 3, 2); err != nil || len(list) != 2 || list[0].Seq != b.Last+1 {
			t.Errorf("%v, %v", list, err)
		}
	})
}

// journalDrop does the first part of a drop, to the event with the number upTo, in the words that the triggers read.
func journalDrop(t testing.TB, s *db.Store, pool *sql.DB, actor audit.Actor, a audit.ArchiveRecord, upTo int64) {
	t.Helper()
	detail := fmt.Sprintf(`{"first":%d,"last":%d,"sha256":"%s","file":"%s"}`, a.First, a.Last, a.SHA256, a.File)
	err := s.AppendEvents(t.Context(), audit.Event{Kind: "journal.dropped", Actor: actor, Outcome: audit.Done, Reason: "retention", Detail: []byte(detail)})
	if err != nil {
		t.Fatal(err)
	}
	mustExec(t, pool, `UPDATE trail_archives SET dropped = (SELECT max(seq) FROM journal)`)
	mustExec(t, pool, `DELETE FROM journal_personal WHERE seq <= ?`, upTo)
	mustExec(t, pool, `DELETE FROM journal WHERE seq <= ?`, upTo)
	if err := pool.Close(); err != nil {
		t.Fatal(err)
	}
}
