package db_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
)

// journaled is a closed store whose journal has five events with personal fields.
func journaled(t testing.TB) (path string, count int64, head string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "scimbridge.db")
	s, err := db.Open(t.Context(), db.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		e := event("guest.invited")
		e.Person, e.Personal = "p", []byte(`{"email":"ann@x.example"}`)
		if err := s.AppendEvents(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if count, head, err = s.VerifyJournal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path, count, head
}

// The database itself refuses to change the journal, and any state that no code may write.
func TestDatabaseRefuses(t *testing.T) {
	path, _, _ := journaled(t)
	s := reopen(t, path)
	e := create(t, s, worker("acme", "ann"))
	grant(t, s, e, "g1")
	pool := raw(t, path)
	if _, err := pool.Exec(`PRAGMA foreign_keys = 1`); err != nil {
		t.Fatal(err)
	}
	pool.SetMaxOpenConns(1)
	const copyOf = `INSERT INTO journal (seq, time, kind, person, engagement, vendor, hash, leaf) SELECT `
	for name, c := range map[string]struct{ statement, says string }{
		"ChangeOfAnEvent":         {`UPDATE journal SET leaf = '{}' WHERE seq = 3`, "append-only"},
		"ChangeOfAColumn":         {`UPDATE journal SET person = 'q'`, "append-only"},
		"ReplacingUpdate":         {`UPDATE OR REPLACE journal SET seq = 2 WHERE seq = 3`, "append-only"},
		"DeletionOfAnEvent":       {`DELETE FROM journal WHERE seq = 5`, "append-only"},
		"DeletionOfAll":           {`DELETE FROM journal`, "append-only"},
		"ReplacementOfAnEvent":    {`REPLACE INTO journal SELECT seq, time, 'x', person, engagement, vendor, hash, leaf FROM journal WHERE seq = 3`, "append-only"},
		"InsertionBefore":         {copyOf + `0, time, kind, person, engagement, vendor, hash, leaf FROM journal WHERE seq = 1`, "append-only"},
		"InsertionBehindAGap":     {copyOf + `seq + 100, time, kind, person, engagement, vendor, hash, leaf FROM journal WHERE seq = 1`, "append-only"},
		"ChangeOfPersonalFields":  {`UPDATE journal_personal SET fields = '{}'`, "erased, not changed"},
		"PhaseUnknown":            {`UPDATE persons SET phase = 'lost'`, "CHECK"},
		"OriginUnknown":           {`UPDATE persons SET origin = 'found'`, "CHECK"},
		"UrgentBeyondTruth":       {`UPDATE persons SET urgent = 2`, "CHECK"},
		"PersonWithoutAddress":    {`UPDATE persons SET email_key = ''`, "CHECK"},
		"TwoPeopleOfOneAddress":   {`INSERT INTO persons (id, email, email_key, created) VALUES ('q', '', 'ann@acme.example', 1)`, "UNIQUE"},
		"TextForATime":            {`UPDATE persons SET next_at = 'tomorrow'`, "INTEGER"},
		"StatusUnknown":           {`UPDATE engagements SET status = 'odd'`, "CHECK"},
		"TombstoneWithoutEnd":     {`UPDATE engagements SET deleted = 1`, "CHECK"},
		"TestUserWithPerson":      {`UPDATE engagements SET test = 1`, "CHECK"},
		"EngagementWithoutPerson": {`UPDATE engagements SET person = NULL`, "CHECK"},
		"EngagementOfNobody":      {`UPDATE engagements SET person = 'nobody'`, "FOREIGN KEY"},
		"EngagementOfNoVendor":    {`UPDATE engagements SET vendor = 'nobody'`, "FOREIGN KEY"},
		"PersonInUse":             {`DELETE FROM persons`, "FOREIGN KEY"},
		"HoldingWithoutEnd":       {`UPDATE holdings SET end_at = NULL`, "NOT NULL"},
		"HoldingStateUnknown":     {`UPDATE holdings SET state = 'lent'`, "CHECK"},
		"HoldingEndedAtNoTime":    {`UPDATE holdings SET state = 'ended'`, "CHECK"},
		"HoldingTwice": {`INSERT INTO holdings (person, kind, entitlement, name, policy, expiry, mechanism, state, handle, end_at, rule, line, revision, engagement, vendor)
			SELECT person, kind, entitlement, name, policy, expiry, mechanism, 'granting', handle, end_at, rule, line, revision, engagement, vendor FROM holdings`, "UNIQUE"},
		"TokenHashCut":      {`INSERT INTO tokens (id, vendor, hash, created) VALUES ('t', 'acme', x'00', 1)`, "CHECK"},
		"MoreLiveThanTotal": {`UPDATE vendors SET live = total + 1`, "CHECK"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := pool.ExecContext(t.Context(), c.statement)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("answered %v, want %q", err, c.says)
			}
		})
	}
	if count, _, err := s.VerifyJournal(t.Context()); err != nil || count < 6 {
		t.Errorf("%d events, error %v", count, err)
	}
	if personOf(t, s, e).Phase != contractor.PhaseNew {
		t.Error("a refused statement changed something")
	}
}

// Whoever drops the triggers and rewrites the file is found out.
func TestVerifyFinds(t *testing.T) {
	const free = `DROP TRIGGER journal_no_update; DROP TRIGGER journal_no_delete; DROP TRIGGER journal_in_order; DROP TRIGGER journal_personal_no_update; PRAGMA foreign_keys = 0;`
	for name, c := range map[string]struct {
		tamper string
		seq    int64
	}{
		"AChangedWord":            {`UPDATE journal SET leaf = replace(leaf, 'invited', 'deleted') WHERE seq = 3`, 3},
		"AChangedActor":           {`UPDATE journal SET leaf = replace(leaf, 'acme', 'beta') WHERE seq = 1`, 1},
		"AChangedHash":            {`UPDATE journal SET hash = zeroblob(32) WHERE seq = 5`, 5},
		"ADroppedEvent":           {`DELETE FROM journal WHERE seq = 3`, 3},
		"ADroppedFirstEvent":      {`DELETE FROM journal WHERE seq = 1`, 1},
		"AClosedGap":              {`DELETE FROM journal WHERE seq = 3; UPDATE journal SET seq = seq - 1 WHERE seq > 3`, 3},
		"AnInsertedEvent":         {`UPDATE journal SET seq = 6 WHERE seq = 5; INSERT INTO journal SELECT 5, time, kind, person, engagement, vendor, hash, leaf FROM journal WHERE seq = 2`, 5},
		"TwoSwappedEvents":        {`UPDATE journal SET seq = 99 WHERE seq = 2; UPDATE journal SET seq = 2 WHERE seq = 3; UPDATE journal SET seq = 3 WHERE seq = 99`, 2},
		"AChangedAddress":         {`UPDATE journal_personal SET fields = replace(fields, 'ann', 'bob') WHERE seq = 4`, 4},
		"AChangedSalt":            {`UPDATE journal_personal SET salt = zeroblob(16) WHERE seq = 4`, 4},
		"PersonalFieldsOfAnother": {`DELETE FROM journal_personal WHERE seq = 4; INSERT INTO journal_personal SELECT 4, person, salt, fields FROM journal_personal WHERE seq = 3`, 4},
		"GarbageForAnEvent":       {`UPDATE journal SET leaf = 'garbage' WHERE seq = 2`, 2},
	} {
		t.Run(name, func(t *testing.T) {
			path, _, _ := journaled(t)
			execRaw(t, path, free+c.tamper)
			s := reopen(t, path)
			_, _, err := s.VerifyJournal(t.Context())
			var fault *audit.Fault
			if !errors.As(err, &fault) || fault.Seq != c.seq {
				t.Errorf("answered %v, want a fault at %d", err, c.seq)
			}
		})
	}
	// A journal cut at its end is a shorter whole one: only a head that is kept elsewhere tells.
	t.Run("ACutEndByTheHead", func(t *testing.T) {
		path, count, head := journaled(t)
		execRaw(t, path, free+`DELETE FROM journal_personal WHERE seq > 3; DELETE FROM journal WHERE seq > 3`)
		gotCount, gotHead, err := reopen(t, path).VerifyJournal(t.Context())
		if err != nil || gotCount != 3 || gotCount == count || gotHead == head {
			t.Errorf("%d events with head %s, error %v", gotCount, gotHead, err)
		}
	})
	t.Run("AnOlderFileByTheHead", func(t *testing.T) {
		path, _, _ := journaled(t)
		old, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		s, err := db.Open(t.Context(), db.Config{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.AppendEvents(t.Context(), event("guest.deleted")); err != nil {
			t.Fatal(err)
		}
		count, head, err := s.VerifyJournal(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, old, 0o600); err != nil {
			t.Fatal(err)
		}
		gotCount, gotHead, err := reopen(t, path).VerifyJournal(t.Context())
		if err != nil || gotCount != count-1 || gotHead == head {
			t.Errorf("%d events with head %s, error %v", gotCount, gotHead, err)
		}
	})
}
