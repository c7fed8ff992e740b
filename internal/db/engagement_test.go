package db_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
)

func get(t testing.TB, s *db.Store, vendor, id string) contractor.Engagement {
	t.Helper()
	e, err := s.Get(t.Context(), vendor, id)
	if err != nil {
		t.Fatal(err)
	}
	shown, err := s.Show(t.Context(), vendor, id)
	if err != nil {
		t.Fatal(err)
	}
	shown.Record = e.Record
	if diff := gocmp.Diff(e, shown); diff != "" {
		t.Errorf("Show answers something else than Get, the record aside:\n%s", diff)
	}
	return e
}

func personOf(t testing.TB, s *db.Store, e contractor.Engagement) *contractor.Person {
	t.Helper()
	p, err := s.Person(t.Context(), e.Person)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func testEngagements(t *testing.T, open opener) {
	t.Run("Create", func(t *testing.T) { testCreate(t, open) })
	t.Run("Revive", func(t *testing.T) { testRevive(t, open) })
	t.Run("Update", func(t *testing.T) { testUpdate(t, open) })
	t.Run("Delete", func(t *testing.T) { testDelete(t, open) })
	t.Run("UpdateRecord", func(t *testing.T) { testUpdateRecord(t, open) })
}

func testCreate(t *testing.T, open opener) {
	t.Run("ComesBackAsItWasStored", func(t *testing.T) {
		s := open(t)
		e := worker("acme", "Ann")
		e.Record.OtherEmails = []string{"ann@home.example"}
		e.Unused = json.RawMessage(`{"badge":7}`)
		e.EndSetAt, e.PrevEnd = noon.Add(time.Hour), noon.Add(2*time.Hour)
		e.Standing = contractor.Standing{Status: contractor.StatusScheduled, Reason: "starts later", EffectiveStart: noon, EffectiveEnd: noon.Add(time.Hour), Access: []string{"ext-base"}}
		stored := create(t, s, e)
		e.Person = stored.Person
		if diff := gocmp.Diff(e, stored); diff != "" || e.Person == "" {
			t.Errorf("answered, with person %q:\n%s", e.Person, diff)
		}
		if diff := gocmp.Diff(e, get(t, s, "acme", e.ID)); diff != "" {
			t.Errorf("read:\n%s", diff)
		}
	})
	t.Run("MakesThePersonDue", func(t *testing.T) {
		s := open(t)
		e := create(t, s, worker("acme", "Ann"))
		p := personOf(t, s, e)
		if p.Email != "Ann@acme.example" || p.EmailKey != "ann@acme.example" || p.Phase != contractor.PhaseNew || !p.NextAt.Equal(noon) || p.Urgent || len(p.Engagements) != 1 {
			t.Errorf("person is %+v", p)
		}
		if _, err := uuid.Parse(p.ID); err != nil {
			t.Errorf("the person's id is no UUID: %v", err)
		}
	})
	t.Run("OnePersonForOneAddress", func(t *testing.T) {
		s := open(t)
		a := worker("acme", "ann")
		b := worker("other", "a.smith")
		b.Record.Email = " ANN@acme.example "
		a, b = create(t, s, a), create(t, s, b)
		if a.Person != b.Person {
			t.Error("two people for one address")
		}
		if p := personOf(t, s, a); p.Gen != 2 || len(p.Engagements) != 2 {
			t.Errorf("generation %d with %d engagements", p.Gen, len(p.Engagements))
		}
	})
	t.Run("Conflicts", func(t *testing.T) {
		s := open(t)
		e := worker("acme", "Ann")
		e.Record.ExternalID = "X1"
		e.Resource = resource(e.Record)
		create(t, s, e)
		for name, change := range map[string]func(*contractor.Record){
			"SameNameInAnotherCase": func(r *contractor.Record) { r.UserName = "ANN" },
			"NameThatLooksTheSame":  func(r *contractor.Record) { r.UserName = "ａnn" }, // full-width a
			"SameExternalID":        func(r *contractor.Record) { r.UserName, r.ExternalID = "bob", "X1" },
		} {
			t.Run(name, func(t *testing.T) {
				d := worker("acme", "x")
				change(&d.Record)
				d.Resource = resource(d.Record)
				_, err := s.Create(t.Context(), d, 0, event("engagement.created"))
				wantCode(t, err, contractor.CodeConflict)
			})
		}
		e.ID, e.Vendor = uuid.NewString(), "other"
		create(t, s, e) // no business of another vendor
		d := worker("acme", "carl")
		d.Record.ExternalID = "x1" // externalId is caseExact
		d.Resource = resource(d.Record)
		create(t, s, d)
	})
	t.Run("QuotaCountsWhoHasNotEnded", func(t *testing.T) {
		s := open(t)
		a := create(t, s, worker("acme", "a"))
		b := create(t, s, worker("acme", "b"))
		c := worker("acme", "c")
		full := func() {
			t.Helper()
			_, err := s.Create(t.Context(), c, 2, event("engagement.created"))
			wantCode(t, err, contractor.CodeQuota)
		}
		full()
		a.Record.Active, a.EndedAt = false, noon
		if _, err := s.Update(t.Context(), a, event("engagement.updated")); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Create(t.Context(), c, 2, event("engagement.created")); err != nil {
			t.Errorf("after one was ended: %v", err)
		}
		c = worker("acme", "d")
		full()
		p := personOf(t, s, b)
		if err := s.Record(t.Context(), &contractor.Change{Person: p, Standings: map[string]contractor.Standing{b.ID: {Status: contractor.StatusOffboarding}}}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Create(t.Context(), c, 2, event("engagement.created")); err != nil {
			t.Errorf("after time ended one: %v", err)
		}
		c = worker("acme", "e")
		full()
		inactive := worker("acme", "f")
		inactive.Record.Active, inactive.EndedAt = false, noon
		if _, err := s.Create(t.Context(), inactive, 2, event("engagement.created")); err != nil {
			t.Errorf("one that has ended: %v", err)
		}
		if page := listAll(t, s, contractor.Query{}); page.Total != 5 {
			t.Errorf("total %d, want 5: refused creates leave nothing", page.Total)
		}
	})
	t.Run("TestUsersHaveNoPerson", func(t *testing.T) {
		s := open(t)
		e := worker("acme", "scim-test-1")
		e.Test, e.Record.Email = true, ""
		if e = create(t, s, e); e.Person != "" {
			t.Errorf("person %q", e.Person)
		}
		if next, err := s.NextDue(t.Context()); err != nil || !next.IsZero() {
			t.Errorf("somebody is due at %v, error %v", next, err)
		}
	})
	t.Run("ClosingIsUrgent", func(t *testing.T) {
		s := open(t)
		for name, change := range map[string]func(*contractor.Engagement){
			"inactive":       func(e *contractor.Engagement) { e.Record.Active = false },
			"ended":          func(e *contractor.Engagement) { e.EndedAt = noon },
			"end-passed":     func(e *contractor.Engagement) { e.Record.EndDate = "2026-11-23" },
			"last-day":       func(e *contractor.Engagement) { e.Record.LastWorkingDay = "2026-11-23" },
			"unreadable-end": func(e *contractor.Engagement) { e.Record.EndDate = "31/12/26" },
		} {
			e := worker("acme", name)
			change(&e)
			if p := personOf(t, s, create(t, s, e)); !p.Urgent {
				t.Errorf("%s: not urgent", name)
			}
		}
		today := worker("acme", "today") // until the last second of today, in a zone where that is still to come
		today.Record.EndDate, today.Record.TimeZone = "2026-11-24", "America/Chicago"
		if p := personOf(t, s, create(t, s, today)); p.Urgent {
			t.Error("an end that lies ahead is urgent")
		}
	})
	t.Run("RefusesWhatCannotBeStored", func(t *testing.T) {
		s := open(t)
		for name, change := range map[string]func(*contractor.Engagement){
			"without id":         func(e *contractor.Engagement) { e.ID = "" },
			"without vendor":     func(e *contractor.Engagement) { e.Vendor = "" },
			"without name":       func(e *contractor.Engagement) { e.Record.UserName = "" },
			"without address":    func(e *contractor.Engagement) { e.Record.Email = " " },
			"as a tombstone":     func(e *contractor.Engagement) { e.Deleted = true },
			"malformed resource": func(e *contractor.Engagement) { e.Resource = json.RawMessage(`{"a":`) },
			"resource no object": func(e *contractor.Engagement) { e.Resource = json.RawMessage(`[]`) },
			"resource no name":   func(e *contractor.Engagement) { e.Resource = json.RawMessage(`{"userName":""}`) },
		} {
			e := worker("acme", "ann")
			change(&e)
			var known *contractor.Error
			if _, err := s.Create(t.Context(), e, 0, event("engagement.created")); !errors.As(err, &known) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	t.Run("OfManyAtOnceOneWins", func(t *testing.T) {
		s := open(t)
		var won, lost []error
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() {
				e := worker("acme", "ann")
				if i%2 == 1 {
					e = worker("acme", "ANN")
				}
				_, err := s.Create(t.Context(), e, 0, event("engagement.created"))
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					won = append(won, err)
				} else {
					lost = append(lost, err)
				}
			})
		}
		wg.Wait()
		if len(won) != 1 || len(lost) != 63 {
			t.Fatalf("%d won and %d lost", len(won), len(lost))
		}
		for _, err := range lost {
			wantCode(t, err, contractor.CodeConflict)
		}
		if page := listAll(t, s, contractor.Query{}); page.Total != 1 || len(page.Items) != 1 {
			t.Errorf("%d are listed, total %d", len(page.Items), page.Total)
		}
		if count, _, err := s.VerifyJournal(t.Context()); err != nil || count != 1 {
			t.Errorf("the journal has %d events, error %v", count, err)
		}
	})
}

func testRevive(t *testing.T, open opener) {
	bury := func(t *testing.T, s *db.Store, e contractor.Engagement) {
		t.Helper()
		if err := s.Delete(t.Context(), e.Vendor, e.ID, 0, noon, event("engagement.deleted")); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("ByUserName", func(t *testing.T) {
		s := open(t)
		old := create(t, s, worker("acme", "ann"))
		bury(t, s, old)
		e := worker("acme", "ANN")
		e.Created, e.Modified = noon.Add(time.Hour), noon.Add(time.Hour)
		got := create(t, s, e)
		if got.ID != old.ID || got.Version <= old.Version+1 || got.Deleted || !got.EndedAt.IsZero() || !got.Created.Equal(e.Created) {
			t.Errorf("revived as %+v", got)
		}
		if diff := gocmp.Diff(got, get(t, s, "acme", old.ID)); diff != "" {
			t.Error(diff)
		}
		var kinds []string
		for event, err := range s.Journal(t.Context(), contractor.JournalQuery{Engagement: old.ID}) {
			if err != nil {
				t.Fatal(err)
			}
			kinds = append(kinds, event.Kind)
		}
		if diff := gocmp.Diff([]string{"engagement.created", "engagement.deleted", "engagement.revived"}, kinds); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("ExternalIDBeforeUserName", func(t *testing.T) {
		s := open(t)
		byName, byID := worker("acme", "ann"), worker("acme", "bob")
		byID.Record.ExternalID = "X1"
		byID.Resource = resource(byID.Record)
		byName, byID = create(t, s, byName), create(t, s, byID)
		bury(t, s, byID)
		bury(t, s, byName)
		e := worker("acme", "ann")
		e.Record.ExternalID = "X1"
		e.Resource = resource(e.Record)
		if got := create(t, s, e); got.ID != byID.ID {
			t.Errorf("revived %s, want %s", got.ID, byID.ID)
		}
	})
	t.Run("NotAnotherVendors", func(t *testing.T) {
		s := open(t)
		old := create(t, s, worker("acme", "ann"))
		bury(t, s, old)
		if got := create(t, s, worker("other", "ann")); got.ID == old.ID {
			t.Error("another vendor's tombstone was revived")
		}
	})
	t.Run("MovesToThePersonOfTheNewAddress", func(t *testing.T) {
		s := open(t)
		old := create(t, s, worker("acme", "ann"))
		bury(t, s, old)
		before := personOf(t, s, old)
		e := worker("acme", "ann")
		e.Record.Email = "new@acme.example"
		got := create(t, s, e)
		if got.Person == old.Person {
			t.Fatal("it stayed with the person of the old address")
		}
		if p := personOf(t, s, old); p.Gen != before.Gen+1 || !p.Urgent || len(p.Engagements) != 0 {
			t.Errorf("the old person was not told: %+v", p)
		}
	})
	t.Run("ALiveOneIsAConflict", func(t *testing.T) {
		s := open(t)
		old := create(t, s, worker("acme", "ann"))
		bury(t, s, old)
		create(t, s, worker("acme", "ann"))
		_, err := s.Create(t.Context(), worker("acme", "ann"), 0, event("engagement.created"))
		wantCode(t, err, contractor.CodeConflict)
	})
}

func testUpdate(t *testing.T, open opener) {
	t.Run("ReplacesAndRaisesTheVersion", func(t *testing.T) {
		s := open(t)
		old := create(t, s, worker("acme", "ann"))
		p := personOf(t, s, old)
		p.NextAt = noon.AddDate(1, 0, 0)
		standing := contractor.Standing{Status: contractor.StatusActive, EffectiveEnd: noon.Add(time.Hour)}
		if err := s.Record(t.Context(), &contractor.Change{Person: p, Finish: true, Standings: map[string]contractor.Standing{old.ID: standing}}); err != nil {
			t.Fatal(err)
		}
		e := get(t, s, "acme", old.ID)
		e.Record.UserName, e.Record.ExternalID, e.Record.WorkerID, e.Record.EndDate = "bob", "X9", "W9", "2027-12-31"
		e.Record.OtherEmails = []string{"one@x.example", "two@x.example"}
		e.Resource, e.Modified, e.EndSetAt, e.PrevEnd = resource(e.Record), noon.Add(time.Minute), noon.Add(time.Minute), noon.Add(time.Hour)
		e.Unused = json.RawMessage(`["x"]`)
		e.Created, e.Standing = time.Time{}, contractor.Standing{} // the store's own
		got, err := s.Update(t.Context(), e, event("engagement.updated"))
		if err != nil {
			t.Fatal(err)
		}
		want := e
		want.Version, want.Created, want.Standing = e.Version+1, noon, standing
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("answered:\n%s", diff)
		}
		if diff := gocmp.Diff(want, get(t, s, "acme", e.ID)); diff != "" {
			t.Errorf("read:\n%s", diff)
		}
		if now := personOf(t, s, got); now.Gen != p.Gen+1 || !now.NextAt.Equal(e.Modified) {
			t.Errorf("generation %d due at %v", now.Gen, now.NextAt)
		}
		for _, email := range []string{"one@x.example", "TWO@x.example"} {
			attr := contractor.Attr{Path: []string{"emails", "value"}, Type: contractor.TypeString, Multi: true}
			if page := listAll(t, s, contractor.Query{Where: contractor.Compare{Attr: attr, Op: contractor.OpEq, Value: email}}); page.Total != 1 {
				t.Errorf("%s finds %d", email, page.Total)
			}
		}
		got.Record.OtherEmails = nil
		got.Resource = resource(got.Record)
		if _, err := s.Update(t.Context(), got, event("engagement.updated")); err != nil {
			t.Fatal(err)
		}
		attr := contractor.Attr{Path: []string{"emails"}, Type: contractor.TypeString, Multi: true}
		if page := listAll(t, s, contractor.Query{Where: contractor.Compare{Attr: attr, Op: contractor.OpEq, Value: "one@x.example"}}); page.Total != 0 {
			t.Error("an address that was removed is still found")
		}
	})
	t.Run("RefusesAnOldVersion", func(t *testing.T) {
		s := open(t)
		e := create(t, s, worker("acme", "ann"))
		if _, err := s.Update(t.Context(), e, event("engagement.updated")); err != nil {
			t.Fatal(err)
		}
		_, err := s.Update(t.Context(), e, event("engagement.updated"))
		wantCode(t, err, contractor.CodeVersion)
	})
	t.Run("OfManyAtOnceOneWins", func(t *testing.T) {
		s := open(t)
		e := create(t, s, worker("acme", "ann"))
		var wg sync.WaitGroup
		results := make(chan error, 32)
		for range 32 {
			wg.Go(func() {
				_, err := s.Update(t.Context(), e, event("engagement.updated"))
				results <- err
			})
		}
		wg.Wait()
		won := 0
		for range 32 {
			if err := <-results; err == nil {
				won++
			} else {
				wantCode(t, err, contractor.CodeVersion)
			}
		}
		if won != 1 {
			t.Errorf("%d updates of one version", won)
		}
	})
	t.Run("RefusesWhatIsNotThere", func(t *testing.T) {
		s := open(t)
		e := create(t, s, worker("acme", "ann"))
		e.Vendor = "other"
		_, err := s.Update(t.Context(), e, event("engagement.updated"))
		wantCode(t, err, contractor.CodeNotFound)
		_, err = s.Show(t.Context(), "other", e.ID)
		wantCode(t, err, contractor.CodeNotFound)
		_, err = s.Get(t.Context(), "other", e.ID)
		wantCode(t, err, contractor.CodeNotFound)
		wantCode(t, s.Delete(t.Context(), "other", e.ID, 0, noon, event("engagement.deleted")), contractor.CodeNotFound)
	})
	t.Run("Conflicts", func(t *testing.T) {
		s := open(t)
		create(t, s, worker("acme", "ann"))
		e := create(t, s, worker("acme", "bob"))
		e.Record.UserName = "ANN"
		e.Resource = resource(e.Record)
		_, err := s.Update(t.Context(), e, event("engagement.updated"))
		wantCode(t, err, contractor.CodeConflict)
		if got := get(t, s, "acme", e.ID); got.Record.UserName != "bob" || got.Version != e.Version {
			t.Errorf("a refused update left %+v", got)
		}
	})
	t.Run("AnotherAddressIsAnotherPerson", func(t *testing.T) {
		s := open(t)
		old := create(t, s, worker("acme", "ann"))
		second := worker("other", "ann")
		second.Record.Email = old.Record.Email
		create(t, s, second) // she works for somebody else with the old address
		e := old
		e.Record.Email = "ann@new.example"
		e.Resource = resource(e.Record)
		got, err := s.Update(t.Context(), e, event("engagement.updated"))
		if err != nil || got.Person == old.Person {
			t.Fatalf("error %v, person %s", err, got.Person)
		}
		if p := personOf(t, s, old); p.Gen != 3 || !p.Urgent || len(p.Engagements) != 1 {
			t.Errorf("the old person was not told: %+v", p)
		}
		if p := personOf(t, s, got); len(p.Engagements) != 1 || p.EmailKey != "ann@new.example" {
			t.Errorf("the new person is %+v", p)
		}
	})
	t.Run("InactiveIsUrgent", func(t *testing.T) {
		s := open(t)
		e := create(t, s, worker("acme", "ann"))
		e.Record.Active, e.EndedAt = false, noon
		e.Resource = resource(e.Record)
		if _, err := s.Update(t.Context(), e, event("engagement.updated")); err != nil {
			t.Fatal(err)
		}
		if !personOf(t, s, e).Urgent {
			t.Error("not urgent")
		}
		e = get(t, s, "acme", e.ID)
		e.Record.Active, e.EndedAt = true, time.Time{}
		if _, err := s.Update(t.Context(), e, event("engagement.updated")); err != nil {
			t.Fatal(err)
		}
		if !personOf(t, s, e).Urgent {
			t.Error("what was urgent waits no longer for being changed again")
		}
	})
}

func testDelete(t *testing.T, open opener) {
	t.Run("LeavesATombstone", func(t *testing.T) {
		s := open(t)
		e := create(t, s, worker("acme", "ann"))
		if err := s.Delete(t.Context(), "acme", e.ID, e.Version, noon.Add(time.Hour), event("engagement.deleted")); err != nil {
			t.Fatal(err)
		}
		_, err := s.Get(t.Context(), "acme", e.ID)
		wantCode(t, err, contractor.CodeNotFound)
		p := personOf(t, s, e)
		if !p.Urgent || p.Gen != 2 || len(p.Engagements) != 1 {
			t.Fatalf("person is %+v", p)
		}
		want := e
		want.Deleted, want.Version, want.Modified, want.EndedAt, want.EndSetAt = true, e.Version+1, noon.Add(time.Hour), noon.Add(time.Hour), noon.Add(time.Hour)
		if diff := gocmp.Diff(want, p.Engagements[0]); diff != "" {
			t.Error(diff)
		}
		wantCode(t, s.Delete(t.Context(), "acme", e.ID, 0, noon, event("engagement.deleted")), contractor.CodeNotFound)
	})
	t.Run("KeepsAnEarlierEnd", func(t *testing.T) {
		s := open(t)
		e := worker("acme", "ann")
		e.Record.Active, e.EndedAt, e.EndSetAt = false, noon.Add(-time.Hour), noon.Add(-time.Hour)
		e = create(t, s, e)
		if err := s.Delete(t.Context(), "acme", e.ID, 0, noon, event("engagement.deleted")); err != nil {
			t.Fatal(err)
		}
		if got := personOf(t, s, e).Engagements[0]; !got.EndedAt.Equal(e.EndedAt) || !got.EndSetAt.Equal(e.EndSetAt) {
			t.Errorf("ended at %v, set at %v", got.EndedAt, got.EndSetAt)
		}
	})
	t.Run("RefusesAnotherVersion", func(t *testing.T) {
		s := open(t)
		e := create(t, s, worker("acme", "ann"))
		wantCode(t, s.Delete(t.Context(), "acme", e.ID, e.Version+1, noon, event("engagement.deleted")), contractor.CodeVersion)
		get(t, s, "acme", e.ID)
	})
}

func testUpdateRecord(t *testing.T, open opener) {
	t.Run("ChangesTheRecordAlone", func(t *testing.T) {
		s := open(t)
		e := create(t, s, worker("acme", "ann"))
		next := e
		next.Record.Department, next.Record.Email = "Finance", "ann@derived.example"
		next.Unused = json.RawMessage(`{"x":1}`)
		if err := s.UpdateRecord(t.Context(), next, noon.Add(time.Hour), event("engagement.derived")); err != nil {
			t.Fatal(err)
		}
		got := get(t, s, "acme", e.ID)
		if got.Person == e.Person {
			t.Error("the person of the derived address is the old one")
		}
		next.Person = got.Person
		if diff := gocmp.Diff(next, got); diff != "" {
			t.Error(diff)
		}
		if p := personOf(t, s, e); p.Gen != 2 {
			t.Errorf("the old person was not told: %+v", p)
		}
	})
	t.Run("RefusesAnOldVersion", func(t *testing.T) {
		s := open(t)
		old := create(t, s, worker("acme", "ann"))
		if _, err := s.Update(t.Context(), old, event("engagement.updated")); err != nil {
			t.Fatal(err)
		}
		wantCode(t, s.UpdateRecord(t.Context(), old, noon, event("engagement.derived")), contractor.CodeVersion)
	})
	t.Run("TurnsATestUserIntoAPersonAndBack", func(t *testing.T) {
		s := open(t)
		e := create(t, s, worker("acme", "ann"))
		was := e.Person
		e.Test = true
		if err := s.UpdateRecord(t.Context(), e, noon, event("engagement.derived")); err != nil {
			t.Fatal(err)
		}
		if got := get(t, s, "acme", e.ID); got.Person != "" || !got.Test {
			t.Errorf("as a test user: %+v", got)
		}
		if p := personOf(t, s, contractor.Engagement{Person: was}); len(p.Engagements) != 0 || !p.Urgent {
			t.Errorf("the person still has %d engagements", len(p.Engagements))
		}
		e.Test = false
		if err := s.UpdateRecord(t.Context(), e, noon, event("engagement.derived")); err != nil {
			t.Fatal(err)
		}
		if got := get(t, s, "acme", e.ID); got.Person != was {
			t.Errorf("back as %q, was %q", got.Person, was)
		}
	})
	t.Run("StreamsEveryEngagement", func(t *testing.T) {
		s := open(t)
		list := fill(t, s, "acme", 1203)
		other := worker("other", "scim-test-1")
		other.Test = true
		other = create(t, s, other)
		if err := s.Delete(t.Context(), "acme", list[7].ID, 0, noon, event("engagement.deleted")); err != nil {
			t.Fatal(err)
		}
		for vendor, want := range map[string]int{"": 1204, "acme": 1203, "other": 1, "nobody": 0} {
			seen := map[string]bool{}
			for e, err := range s.ListEngagements(t.Context(), vendor) {
				if err != nil {
					t.Fatal(err)
				}
				if seen[e.ID] || e.Record.UserName == "" {
					t.Fatalf("%s came twice, or without its record", e.ID)
				}
				seen[e.ID] = true
			}
			if len(seen) != want || vendor == "other" && !seen[other.ID] {
				t.Errorf("vendor %q: %d engagements, want %d", vendor, len(seen), want)
			}
		}
		for _, err := range s.ListEngagements(t.Context(), "") {
			if err != nil {
				t.Error(err)
			}
			break // a caller may stop
		}
	})
}

// Events of an engagement carry its person and vendor, whatever the door said.
func testEventsAreFilledIn(t *testing.T, open opener) {
	s := open(t)
	e := create(t, s, worker("acme", "ann"))
	for event, err := range s.Journal(t.Context(), contractor.JournalQuery{}) {
		if err != nil {
			t.Fatal(err)
		}
		if event.Person != e.Person || event.Engagement != e.ID || event.Vendor != "acme" || strings.Contains(fmt.Sprint(event), "acme.example") {
			t.Errorf("event is %+v", event)
		}
	}
}
