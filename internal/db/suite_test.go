package db_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
	"scimbridge/internal/intake"
	"scimbridge/internal/lifecycle"
	"scimbridge/internal/scim"
)

var (
	_ scim.Store      = (*db.Store)(nil)
	_ lifecycle.Store = (*db.Store)(nil)

	_ intake.ImportStore = (*db.Store)(nil)
	_ intake.PullStore   = (*db.Store)(nil)
)

// opener opens the store under test, empty, and closes it with the test. Every test of the suite takes one, so that another
// database passes the same tests.
type opener func(t testing.TB) *db.Store

func openSQLite(t testing.TB) *db.Store {
	t.Helper()
	return reopen(t, filepath.Join(t.TempDir(), "scimbridge.db"))
}

func reopen(t testing.TB, path string) *db.Store {
	t.Helper()
	s, err := db.Open(context.Background(), db.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// suite is what every database has to pass.
func suite() map[string]func(*testing.T, opener) {
	return map[string]func(*testing.T, opener){
		"Engagements": testEngagements,
		"Lists":       testLists,
		"Filters":     testFilters,
		"People":      testPeople,
		"Journal":     testJournal,
		"Admin":       testAdmin,
		"Identity":    testIdentity,
		"Contracts":   testContracts,
		"NoRehire":    testNoRehire,
		"Versions":    testVersions,
		"Feeds":       testFeeds,
		"Activity":    testActivity,
		"Plans":       testPlans,
		"Revisions":   testRevisionsAt,
		"Cursors":     testEventsAfterAndCursors,
		"Access":      testAccessAt,
		"Sponsors":    testSponsorsAreRemembered,
		"Reports":     testReports,
		"EventFields": testEventsAreFilledIn,
		"EmptyTrail":  testVerifyTrailOfAnEmptyJournal,
		"Proofs":      testProofsFromTheStore,
	}
}

// The suite on SQLite.
func TestSQLite(t *testing.T) {
	for name, test := range suite() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, openSQLite)
		})
	}
}

// The suite on PostgreSQL, each test in a database of its own.
func TestPostgres(t *testing.T) {
	server := startPostgres(t)
	for name, test := range suite() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, server.open)
		})
	}
}

// noon is the instant at which tests that need no other happen.
var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// worker is an engagement as the door would store it.
func worker(vendor, userName string) contractor.Engagement {
	e := contractor.Engagement{
		ID: uuid.NewString(), Vendor: vendor, Version: 1, Created: noon, Modified: noon,
		Record: contractor.Record{UserName: userName, Email: userName + "@acme.example", Active: true, EndDate: "2027-06-30"},
	}
	e.Resource = resource(e.Record)
	return e
}

// resource renders a record as the door does: canonical names, extensions under their URN, no empty values.
func resource(r contractor.Record) json.RawMessage {
	m := map[string]any{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:User", contractor.ExtensionURN}, "userName": r.UserName, "active": r.Active}
	if r.ExternalID != "" {
		m["externalId"] = r.ExternalID
	}
	var emails []map[string]any
	if r.Email != "" {
		emails = append(emails, map[string]any{"value": r.Email, "type": "work", "primary": true})
	}
	for _, other := range r.OtherEmails {
		emails = append(emails, map[string]any{"value": other, "type": "home"})
	}
	if emails != nil {
		m["emails"] = emails
	}
	ext := map[string]any{}
	for name, v := range map[string]string{"workerId": r.WorkerID, "endDate": r.EndDate} {
		if v != "" {
			ext[name] = v
		}
	}
	if len(ext) > 0 {
		m[contractor.ExtensionURN] = ext
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

func event(kind string) audit.Event {
	return audit.Event{Kind: kind, Actor: audit.Actor{Kind: audit.ActorVendor, Name: "acme"}, Outcome: audit.Done}
}

func create(t testing.TB, s *db.Store, e contractor.Engagement) contractor.Engagement {
	t.Helper()
	got, err := s.Create(t.Context(), e, 0, event("engagement.created"))
	if err != nil {
		t.Fatalf("create %s: %v", e.Record.UserName, err)
	}
	return got
}

// wantCode fails the test unless err is a contractor.Error with the code.
func wantCode(t testing.TB, err error, code contractor.Code) {
	t.Helper()
	var e *contractor.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("error is %v, want code %s", err, code)
	}
}

func names(items []contractor.Engagement) []string {
	list := []string{}
	for _, e := range items {
		var r struct {
			UserName string `json:"userName"`
		}
		if err := json.Unmarshal(e.Resource, &r); err != nil {
			panic(err)
		}
		list = append(list, r.UserName)
	}
	return list
}

// fill creates n engagements at once, so that they share their commits, and answers them in the order in which they came.
func fill(t testing.TB, s *db.Store, vendor string, n int) (list []contractor.Engagement) {
	t.Helper()
	const clients = 100
	var wg sync.WaitGroup
	for client := range clients {
		wg.Go(func() {
			for i := client; i < n; i += clients {
				if _, err := s.Create(t.Context(), worker(vendor, fmt.Sprintf("user%04d", i)), 0, event("engagement.created")); err != nil {
					t.Errorf("create user%04d: %v", i, err)
				}
			}
		})
	}
	wg.Wait()
	for e, err := range s.ListEngagements(t.Context(), vendor) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}
