package db_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
)

func testPeople(t *testing.T, open opener) {
	t.Run("Due", func(t *testing.T) { testDue(t, open) })
	t.Run("Record", func(t *testing.T) { testRecord(t, open) })
	t.Run("Find", func(t *testing.T) { testFind(t, open) })
	t.Run("List", func(t *testing.T) { testListPersons(t, open) })
	t.Run("WakeAll", func(t *testing.T) { testWakeAll(t, open) })
	t.Run("StreamAgreesWithSingleReads", func(t *testing.T) {
		s := open(t)
		list := fill(t, s, "acme", 620)
		grant(t, s, list[3], "g1")
		grant(t, s, list[601], "g2")
		n := 0
		for p, err := range s.People(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n%50 == 0 || len(p.Holdings) > 0 {
				one, err := s.Person(t.Context(), p.ID)
				if diff := gocmp.Diff(one, p); diff != "" || err != nil {
					t.Errorf("error %v, difference:\n%s", err, diff)
				}
			}
		}
		if n != 620 {
			t.Errorf("%d people, want 620", n)
		}
	})
	t.Run("NobodyThere", func(t *testing.T) {
		s := open(t)
		_, err := s.Person(t.Context(), "nobody")
		wantCode(t, err, contractor.CodeNotFound)
		_, err = s.FindPerson(t.Context(), "nobody@x.example")
		wantCode(t, err, contractor.CodeNotFound)
		if due, err := s.Due(t.Context(), noon, 10); err != nil || len(due) != 0 {
			t.Errorf("due %v, error %v", due, err)
		}
		if next, err := s.NextDue(t.Context()); err != nil || !next.IsZero() {
			t.Errorf("next at %v, error %v", next, err)
		}
	})
}

// finish ends a pass over a person.
func finish(t testing.TB, s *db.Store, p *contractor.Person, next time.Time, urgent bool) {
	t.Helper()
	p.NextAt, p.Urgent = next, urgent
	if err := s.Record(t.Context(), &contractor.Change{Person: p, Finish: true}); err != nil {
		t.Fatal(err)
	}
}

func holding(group string) *contractor.Holding {
	return &contractor.Holding{
		Entitlement: contractor.Entitlement{Kind: contractor.KindGroup, Name: "name-" + group, ID: group, Expiry: contractor.ExpiryEntra},
		Mechanism:   contractor.MechanismSchedule, State: contractor.HoldingHeld, Handle: "handle", Since: noon, End: noon.AddDate(0, 1, 0),
		EntraEnd: noon.AddDate(0, 1, 1), WrittenAt: noon.Add(time.Second), Rule: "everyone", Line: 7, Revision: "rev",
	}
}

// grant records that an engagement's person holds a group.
func grant(t testing.TB, s *db.Store, e contractor.Engagement, group string) *contractor.Holding {
	t.Helper()
	h := holding(group)
	h.Engagement, h.Vendor = e.ID, e.Vendor
	if err := s.Record(t.Context(), &contractor.Change{Person: personOf(t, s, e), Holdings: []*contractor.Holding{h}}); err != nil {
		t.Fatal(err)
	}
	return h
}

func testDue(t *testing.T, open opener) {
	s := open(t)
	at := func(name string, next time.Time, urgent bool) string {
		p := personOf(t, s, create(t, s, worker("acme", name)))
		finish(t, s, p, next, urgent)
		return p.ID
	}
	later := at("later", noon.Add(time.Hour), false)
	never := at("never", time.Time{}, false)
	old := at("old", noon.Add(-2*time.Hour), false)
	now := at("now", noon, false)
	closing := at("closing", noon.Add(-time.Minute), true)
	first := at("first", noon.Add(-time.Hour), true)
	for _, c := range []struct {
		now   time.Time
		limit int
		want  []contractor.Due
	}{
		{noon, 10, []contractor.Due{{Person: first, Urgent: true}, {Person: closing, Urgent: true}, {Person: old}, {Person: now}}},
		{noon, 3, []contractor.Due{{Person: first, Urgent: true}, {Person: closing, Urgent: true}, {Person: old}}},
		{noon, 1, []contractor.Due{{Person: first, Urgent: true}}},
		{noon.Add(time.Hour), 10, []contractor.Due{{Person: first, Urgent: true}, {Person: closing, Urgent: true}, {Person: old}, {Person: now}, {Person: later}}},
		{noon.Add(-3 * time.Hour), 10, nil},
	} {
		got, err := s.Due(t.Context(), c.now, c.limit)
		if diff := gocmp.Diff(c.want, got); diff != "" || err != nil {
			t.Errorf("at %v, limit %d: error %v\n%s", c.now, c.limit, err, diff)
		}
	}
	if next, err := s.NextDue(t.Context()); err != nil || !next.Equal(noon.Add(-2*time.Hour)) {
		t.Errorf("next due %v, error %v", next, err)
	}
	_ = never
	p, err := s.Person(t.Context(), later)
	if err != nil {
		t.Fatal(err)
	}
	e := p.Engagements[0]
	e.Modified = noon.Add(2 * time.Hour) // a record that comes late does not put off who is due earlier
	if _, err := s.Update(t.Context(), e, event("engagement.updated")); err != nil {
		t.Fatal(err)
	}
	if p, err = s.Person(t.Context(), later); err != nil || !p.NextAt.Equal(noon.Add(time.Hour)) {
		t.Errorf("due at %v, error %v", p.NextAt, err)
	}
}

func testRecord(t *testing.T, open opener) {
	t.Run("EveryColumnOfTheLoopComesBack", func(t *testing.T) {
		s := open(t)
		p := personOf(t, s, create(t, s, worker("acme", "ann")))
		v := reflect.ValueOf(p).Elem()
		for i := range v.NumField() {
			name, f := v.Type().Field(i).Name, v.Field(i)
			switch name {
			case "ID", "Email", "EmailKey", "FormerEmail", "Gen", "Rev", "Block", "Engagements", "Holdings": // not the loop's
				continue
			case "Origin":
				f.SetString(string(contractor.OriginAdopted))
				continue
			case "Phase":
				f.SetString(string(contractor.PhaseClosed))
				continue
			}
			if _, isTime := reflect.TypeAssert[time.Time](f); f.Kind() == reflect.Struct && !isTime {
				continue // an admin's decision, with a table of its own
			}
			switch f.Interface().(type) {
			case time.Time:
				f.Set(reflect.ValueOf(noon.Add(time.Duration(i) * time.Minute)))
			case string:
				f.SetString("value of " + name)
			case bool:
				f.SetBool(true)
			case int, int64:
				f.SetInt(int64(i))
			default:
				t.Fatalf("the test does not know the type of %s", name)
			}
		}
		want := *p
		if err := s.Record(t.Context(), &contractor.Change{Person: p, Finish: true}, event("guest.invited")); err != nil {
			t.Fatal(err)
		}
		want.Rev++
		if diff := gocmp.Diff(&want, p); diff != "" {
			t.Errorf("the caller's person:\n%s", diff)
		}
		got, err := s.Person(t.Context(), p.ID)
		if diff := gocmp.Diff(&want, got); diff != "" || err != nil {
			t.Errorf("error %v, stored person:\n%s", err, diff)
		}
	})
	t.Run("ALosesToAnEarlierOutcome", func(t *testing.T) {
		s := open(t)
		e := create(t, s, worker("acme", "ann"))
		first, second := personOf(t, s, e), personOf(t, s, e)
		first.GuestID, second.GuestID = "first", "second"
		if err := s.Record(t.Context(), &contractor.Change{Person: first}); err != nil {
			t.Fatal(err)
		}
		rev := second.Rev
		err := s.Record(t.Context(), &contractor.Change{Person: second, Finish: true, Holdings: []*contractor.Holding{holding("g1")}}, event("grant.added"))
		if !errors.Is(err, contractor.ErrStale) || second.Rev != rev {
			t.Errorf("error %v, revision %d", err, second.Rev)
		}
		if got := personOf(t, s, e); got.GuestID != "first" || len(got.Holdings) != 0 {
			t.Errorf("stored %+v", got)
		}
		if count, _, err := s.VerifyJournal(t.Context()); count != 1 || err != nil {
			t.Errorf("the journal has %d events, error %v", count, err)
		}
	})
	t.Run("AChangeDuringThePassKeepsThePersonDue", func(t *testing.T) {
		s := open(t)
		e := create(t, s, worker("acme", "ann"))
		p := personOf(t, s, e)
		e.Record.Active = false
		if _, err := s.Update(t.Context(), e, event("engagement.updated")); err != nil {
			t.Fatal(err)
		}
		p.GuestID = "guest"
		finish(t, s, p, noon.AddDate(1, 0, 0), false)
		if got := personOf(t, s, e); !got.NextAt.Equal(noon) || !got.Urgent || got.GuestID != "guest" {
			t.Errorf("next at %v, urgent %v, guest %q", got.NextAt, got.Urgent, got.GuestID)
		}
	})
	t.Run("OnlyTheEndOfAPassMovesTheNextLook", func(t *testing.T) {
		s := open(t)
		e := create(t, s, worker("acme", "ann"))
		p := personOf(t, s, e)
		p.NextAt, p.Urgent = noon.AddDate(1, 0, 0), true
		if err := s.Record(t.Context(), &contractor.Change{Person: p}); err != nil {
			t.Fatal(err)
		}
		if got := personOf(t, s, e); !got.NextAt.Equal(noon) || got.Urgent {
			t.Errorf("next at %v, urgent %v", got.NextAt, got.Urgent)
		}
	})
	t.Run("Holdings", func(t *testing.T) {
		s := open(t)
		e := create(t, s, worker("acme", "ann"))
		p := personOf(t, s, e)
		a, b := holding("g1"), holding("g2")
		if err := s.Record(t.Context(), &contractor.Change{Person: p, Holdings: []*contractor.Holding{a, b}}); err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff([]contractor.Holding{*a, *b}, personOf(t, s, e).Holdings); diff != "" || a.ID == 0 || a.ID == b.ID {
			t.Errorf("ids %d and %d\n%s", a.ID, b.ID, diff)
		}
		twice := holding("g1")
		wantCode(t, s.Record(t.Context(), &contractor.Change{Person: p, Holdings: []*contractor.Holding{twice}}), contractor.CodeConflict)
		if twice.ID != 0 {
			t.Error("a refused holding got an id")
		}
		a.State, a.EndedAt, b.End = contractor.HoldingEnded, noon.Add(time.Hour), noon.Add(time.Hour)
		if err := s.Record(t.Context(), &contractor.Change{Person: p, Holdings: []*contractor.Holding{a, b, twice}}); err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff([]contractor.Holding{*b, *twice}, personOf(t, s, e).Holdings); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("WholeOrNotAtAll", func(t *testing.T) {
		s := open(t)
		e := create(t, s, worker("acme", "ann"))
		for name, bad := range map[string]*contractor.Holding{
			"WithoutEnd":         func() *contractor.Holding { h := holding("g2"); h.End = time.Time{}; return h }(),
			"UnknownState":       func() *contractor.Holding { h := holding("g2"); h.State = "lent"; return h }(),
			"EndedWithoutTime":   func() *contractor.Holding { h := holding("g2"); h.State = contractor.HoldingEnded; return h }(),
			"OfNobody":           func() *contractor.Holding { h := holding("g2"); h.ID = 4711; return h }(),
			"WithoutEntitlement": func() *contractor.Holding { h := holding(""); return h }(),
		} {
			p := personOf(t, s, e)
			p.GuestID = "guest"
			err := s.Record(t.Context(), &contractor.Change{Person: p, Finish: true, Holdings: []*contractor.Holding{holding("g1"), bad},
				Standings: map[string]contractor.Standing{e.ID: {Status: contractor.StatusActive}}}, event("grant.added"))
			if err == nil {
				t.Errorf("%s: accepted", name)
			}
			if got := personOf(t, s, e); got.GuestID != "" || got.Rev != 0 || len(got.Holdings) != 0 || got.Engagements[0].Version != 1 {
				t.Errorf("%s left %+v", name, got)
			}
		}
	})
	t.Run("Standings", func(t *testing.T) {
		s := open(t)
		e := create(t, s, worker("acme", "ann"))
		moved := create(t, s, worker("acme", "bob"))
		p := personOf(t, s, e)
		standing := contractor.Standing{Status: contractor.StatusActive, Reason: "as planned", EffectiveStart: noon, EffectiveEnd: noon.Add(time.Hour),
			EntraObjectID: "guest", EntraUserState: "Accepted", Access: []string{"a", "b"}}
		change := &contractor.Change{Person: p, Standings: map[string]contractor.Standing{e.ID: standing, moved.ID: standing, "nobody": standing}}
		if err := s.Record(t.Context(), change); err != nil {
			t.Fatal(err)
		}
		got := get(t, s, "acme", e.ID)
		if diff := gocmp.Diff(standing, got.Standing); diff != "" || got.Version != 2 || !got.Modified.After(e.Modified) {
			t.Errorf("version %d, modified %v\n%s", got.Version, got.Modified, diff)
		}
		if diff := gocmp.Diff(e, got, cmpopts.IgnoreFields(contractor.Engagement{}, "Version", "Modified", "Standing")); diff != "" {
			t.Errorf("what is the vendor's changed:\n%s", diff)
		}
		if other := get(t, s, "acme", moved.ID); other.Version != 1 || other.Standing.Status != "" {
			t.Errorf("somebody else's engagement is now %+v", other)
		}
		if err := s.Record(t.Context(), change); err != nil {
			t.Fatal(err)
		}
		if again := get(t, s, "acme", e.ID); again.Version != 2 || !again.Modified.Equal(got.Modified) {
			t.Errorf("the same standing made version %d", again.Version)
		}
		if p := personOf(t, s, e); p.Gen != 1 {
			t.Errorf("the loop's own words made generation %d", p.Gen)
		}
	})
}

func testFind(t *testing.T, open opener) {
	s := open(t)
	e := create(t, s, worker("acme", "Ann"))
	p := personOf(t, s, e)
	p.GuestID = "3f0c6f0e-1d7b-4b1f-9a57-0b1f0a3a9a01"
	finish(t, s, p, noon, false)
	for _, key := range []string{p.ID, "ANN@acme.example", " ann@acme.example ", e.ID, p.GuestID} {
		if got, err := s.FindPerson(t.Context(), key); err != nil || got.ID != p.ID {
			t.Errorf("%q: %v, error %v", key, got, err)
		}
	}
	for _, key := range []string{"", "ann", "acme.example"} {
		_, err := s.FindPerson(t.Context(), key)
		wantCode(t, err, contractor.CodeNotFound)
	}
}

func testListPersons(t *testing.T, open opener) {
	s := open(t)
	var people []*contractor.Person
	for i := range 7 {
		e := worker("acme", fmt.Sprintf("user%d", i))
		e.Record.GivenName, e.Record.FamilyName, e.Record.WorkerID = "Zoë", fmt.Sprintf("Number%d", i), fmt.Sprintf("W%d", i)
		e.Resource = nil
		e = create(t, s, e)
		if i == 2 {
			o := worker("other", "two")
			o.Record.Email = e.Record.Email
			create(t, s, o)
		}
		p := personOf(t, s, e)
		switch i {
		case 1:
			p.Held = "no sponsor"
		case 3:
			p.Failures = 2
		case 4:
			p.Phase = contractor.PhaseOpen
		}
		err := s.Record(t.Context(), &contractor.Change{Person: p, Standings: map[string]contractor.Standing{
			e.ID: {Status: contractor.StatusActive, EffectiveEnd: noon.Add(time.Duration(i) * time.Hour)}}})
		if err != nil {
			t.Fatal(err)
		}
		people = append(people, p)
	}
	grant(t, s, people[4].Engagements[0], "g1")
	for name, c := range map[string]struct {
		q    contractor.PersonQuery
		want []int
	}{
		"All":          {contractor.PersonQuery{}, []int{0, 1, 2, 3, 4, 5, 6}},
		"FirstPage":    {contractor.PersonQuery{Limit: 3}, []int{0, 1, 2}},
		"NextPage":     {contractor.PersonQuery{Limit: 3, After: people[2].ID}, []int{3, 4, 5}},
		"Held":         {contractor.PersonQuery{Held: true}, []int{1}},
		"Failing":      {contractor.PersonQuery{Failing: true}, []int{3}},
		"Phase":        {contractor.PersonQuery{Phase: contractor.PhaseOpen}, []int{4}},
		"Vendor":       {contractor.PersonQuery{Vendor: "other"}, []int{2}},
		"Status":       {contractor.PersonQuery{Status: contractor.StatusHeld}, []int{}},
		"TextName":     {contractor.PersonQuery{Text: "ZOË number5"}, []int{5}},
		"TextAddress":  {contractor.PersonQuery{Text: "USER6@"}, []int{6}},
		"TextWorkerID": {contractor.PersonQuery{Text: "w0"}, []int{0}},
		"TextPercent":  {contractor.PersonQuery{Text: "%"}, []int{}},
	} {
		t.Run(name, func(t *testing.T) {
			list, err := s.ListPersons(t.Context(), c.q)
			if err != nil {
				t.Fatal(err)
			}
			want, got := []string{}, []string{}
			for _, i := range c.want {
				want = append(want, people[i].Email)
			}
			for _, p := range list {
				got = append(got, p.Person.Email)
			}
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	list, err := s.ListPersons(t.Context(), contractor.PersonQuery{})
	if err != nil {
		t.Fatal(err)
	}
	two, four := list[2], list[4]
	if two.Name != "Zoë Number2" || !slices.Equal(two.Vendors, []string{"acme", "other"}) || two.Engagements != 2 || !two.EndsAt.Equal(noon.Add(2*time.Hour)) {
		t.Errorf("summary is %+v", two)
	}
	if four.Holdings != 1 || !slices.Equal(four.Statuses, []contractor.Status{contractor.StatusActive}) {
		t.Errorf("summary is %+v", four)
	}
}

func testWakeAll(t *testing.T, open opener) {
	s := open(t)
	const n = 2100 // more than one chunk
	list := fill(t, s, "acme", n)
	far := noon.AddDate(1, 0, 0)
	sleeper, early := personOf(t, s, list[0]), personOf(t, s, list[1])
	finish(t, s, sleeper, time.Time{}, false)
	finish(t, s, early, noon.Add(-time.Hour), true)
	passing := personOf(t, s, list[2])
	woken, err := s.WakeAll(t.Context(), noon.Add(time.Minute), time.Hour)
	if err != nil || woken != n {
		t.Fatalf("woken %d, error %v", woken, err)
	}
	finish(t, s, passing, far, false) // a pass that began before ends after
	for i, want := range map[int][2]time.Time{0: {noon.Add(time.Minute), noon.Add(61 * time.Minute)}, 1: {noon.Add(-time.Hour), noon.Add(-time.Hour)}, 2: {noon, noon}} {
		if p := personOf(t, s, list[i]); p.NextAt.Before(want[0]) || p.NextAt.After(want[1]) {
			t.Errorf("person %d is due at %v, want %v", i, p.NextAt, want)
		}
	}
	if p := personOf(t, s, list[1]); !p.Urgent {
		t.Error("what was urgent is no longer")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.WakeAll(ctx, noon, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
