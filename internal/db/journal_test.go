package db_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
)

func testJournal(t *testing.T, open opener) {
	t.Run("KeepsWhatItWasGiven", func(t *testing.T) {
		s := open(t)
		e := audit.Event{Kind: "guest.invited", Actor: audit.Actor{Kind: audit.ActorBridge, Name: "loop"}, Outcome: audit.Done, Reason: "a sentence",
			Person: "p", Engagement: "e", Vendor: "v", Entitlement: "group/x", Rule: "everyone", Line: 3, Revision: "r", Until: noon, RequestID: "q", ClientID: "c",
			Detail: json.RawMessage(`{"a":1}`), Personal: json.RawMessage(`{"email":"ann@x.example"}`)}
		before := time.Now().Truncate(time.Microsecond)
		if err := s.AppendEvents(t.Context(), e, e); err != nil {
			t.Fatal(err)
		}
		events := journal(t, s, contractor.JournalQuery{})
		if len(events) != 2 {
			t.Fatalf("%d events", len(events))
		}
		got := events[1]
		if got.Seq != 2 || got.Prev != events[0].Hash || got.Hash == "" || len(got.Salt) != 16 || got.Time.Before(before) || got.Time.After(time.Now()) {
			t.Errorf("sealed as %+v", got)
		}
		if got.PersonalHash == events[0].PersonalHash {
			t.Error("two salts are the same")
		}
		want := e
		want.Seq, want.Time, want.Prev, want.Hash, want.PersonalHash, want.Salt = got.Seq, got.Time, got.Prev, got.Hash, got.PersonalHash, got.Salt
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("Queries", func(t *testing.T) { testJournalQueries(t, open) })
	t.Run("Verify", func(t *testing.T) {
		s := open(t)
		if count, head, err := s.VerifyJournal(t.Context()); count != 0 || head != audit.Genesis || err != nil {
			t.Errorf("empty: %d, %s, %v", count, head, err)
		}
		fill(t, s, "acme", 20)
		count, head, err := s.VerifyJournal(t.Context())
		events := journal(t, s, contractor.JournalQuery{Descending: true, Limit: 1})
		if count != 20 || err != nil || head != events[0].Hash {
			t.Errorf("%d, %s, %v", count, head, err)
		}
	})
	t.Run("AllEventsOfACallOrNone", func(t *testing.T) {
		s := open(t)
		bad := event("")
		if err := s.AppendEvents(t.Context(), event("a.b"), bad); err == nil {
			t.Error("an event without a kind was accepted")
		}
		if err := s.AppendEvents(t.Context(), event("a.c")); err != nil {
			t.Fatal(err)
		}
		if count, _, err := s.VerifyJournal(t.Context()); count != 1 || err != nil {
			t.Errorf("%d events, error %v", count, err)
		}
	})
	t.Run("Erase", func(t *testing.T) { testErase(t, open) })
}

func journal(t testing.TB, s *db.Store, q contractor.JournalQuery) (events []audit.Event) {
	t.Helper()
	for e, err := range s.Journal(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}

func testJournalQueries(t *testing.T, open opener) {
	s := open(t)
	var all []audit.Event
	for i := range 1203 { // several chunks
		all = append(all, audit.Event{Kind: []string{"guest.invited", "guest.deleted", "grant.added"}[i%3], Outcome: audit.Done,
			Person: fmt.Sprint("p", i%5), Engagement: []string{"", "e1", "e2"}[i%3], Vendor: []string{"", "acme"}[i%2]})
	}
	half := len(all) / 2
	if err := s.AppendEvents(t.Context(), all[:half]...); err != nil {
		t.Fatal(err)
	}
	if err := s.AppendEvents(t.Context(), all[half:]...); err != nil {
		t.Fatal(err)
	}
	all = journal(t, s, contractor.JournalQuery{})
	middle := all[half].Time
	for name, c := range map[string]struct {
		q    contractor.JournalQuery
		want func(e audit.Event) bool
	}{
		"All":        {contractor.JournalQuery{}, func(audit.Event) bool { return true }},
		"After":      {contractor.JournalQuery{After: 600}, func(e audit.Event) bool { return e.Seq > 600 }},
		"Before":     {contractor.JournalQuery{After: 600, Descending: true}, func(e audit.Event) bool { return e.Seq < 600 }},
		"Kind":       {contractor.JournalQuery{Kind: "guest.invited"}, func(e audit.Event) bool { return e.Kind == "guest.invited" }},
		"KindPrefix": {contractor.JournalQuery{Kind: "guest."}, func(e audit.Event) bool { return strings.HasPrefix(e.Kind, "guest.") }},
		"Person":     {contractor.JournalQuery{Person: "p3"}, func(e audit.Event) bool { return e.Person == "p3" }},
		"Engagement": {contractor.JournalQuery{Engagement: "e2"}, func(e audit.Event) bool { return e.Engagement == "e2" }},
		"Vendor":     {contractor.JournalQuery{Vendor: "acme"}, func(e audit.Event) bool { return e.Vendor == "acme" }},
		"From":       {contractor.JournalQuery{From: middle}, func(e audit.Event) bool { return !e.Time.Before(middle) }},
		"To":         {contractor.JournalQuery{To: middle}, func(e audit.Event) bool { return e.Time.Before(middle) }},
		"Several": {contractor.JournalQuery{Person: "p1", Vendor: "acme", Kind: "guest.", After: 10},
			func(e audit.Event) bool {
				return e.Person == "p1" && e.Vendor == "acme" && strings.HasPrefix(e.Kind, "guest.") && e.Seq > 10
			}},
		"Nobody": {contractor.JournalQuery{Person: "p9"}, func(audit.Event) bool { return false }},
	} {
		t.Run(name, func(t *testing.T) {
			var want []int64
			for _, e := range all {
				if c.want(e) {
					want = append(want, e.Seq)
				}
			}
			seqs := func(q contractor.JournalQuery) (list []int64) {
				for _, e := range journal(t, s, q) {
					list = append(list, e.Seq)
				}
				return list
			}
			if c.q.Descending {
				slices.Reverse(want)
			}
			if diff := gocmp.Diff(want, seqs(c.q)); diff != "" {
				t.Error(diff)
			}
			c.q.Limit = 7
			if diff := gocmp.Diff(want[:min(7, len(want))], seqs(c.q)); diff != "" {
				t.Errorf("limited:\n%s", diff)
			}
		})
	}
	for _, err := range s.Journal(t.Context(), contractor.JournalQuery{}) {
		if err != nil {
			t.Error(err)
		}
		break // a reader may stop
	}
}

func testErase(t *testing.T, open opener) {
	s := open(t)
	named := func(kind string) audit.Event {
		e := event(kind)
		e.Personal = json.RawMessage(`{"email":"erasable@x.example"}`)
		return e
	}
	e, err := s.Create(t.Context(), worker("acme", "ann"), 0, named("engagement.created"))
	if err != nil {
		t.Fatal(err)
	}
	kept, err := s.Create(t.Context(), worker("acme", "bob"), 0, named("engagement.created"))
	if err != nil {
		t.Fatal(err)
	}
	admin := audit.Actor{Kind: audit.ActorAdmin, Name: "root"}
	n, err := s.ErasePersonal(t.Context(), admin, e.Person, "asked to")
	if err != nil || n != 1 {
		t.Fatalf("erased %d, error %v", n, err)
	}
	for _, event := range journal(t, s, contractor.JournalQuery{}) {
		if erased := event.Personal == nil; erased == (event.Person == kept.Person) {
			t.Errorf("event %d of %s: personal %s", event.Seq, event.Person, event.Personal)
		}
	}
	if count, _, err := s.VerifyJournal(t.Context()); err != nil || count != 3 {
		t.Errorf("%d events, error %v", count, err)
	}
	if got := get(t, s, "acme", e.ID); got.Record.Email == "" {
		t.Error("the record of a live engagement was erased")
	}
	if err := s.Delete(t.Context(), "acme", e.ID, 0, noon, named("engagement.deleted")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ErasePersonal(t.Context(), admin, e.Person, "asked to"); err != nil {
		t.Fatal(err)
	}
	p := personOf(t, s, e)
	if p.Email != "" || strings.Contains(p.EmailKey, "ann") || strings.Contains(fmt.Sprint(p.Engagements[0].Record, string(p.Engagements[0].Resource)), "ann") {
		t.Errorf("after everything ended: %+v", p)
	}
	again := create(t, s, worker("acme", "ann")) // a stranger now
	if again.ID == e.ID || again.Person == e.Person {
		t.Error("an erased engagement was revived")
	}
	_, err = s.ErasePersonal(t.Context(), admin, "nobody", "asked to")
	wantCode(t, err, contractor.CodeNotFound)
	var fault *audit.Fault
	if count, _, err := s.VerifyJournal(t.Context()); errors.As(err, &fault) || count != 6 {
		t.Errorf("%d events, error %v", count, err)
	}
}
