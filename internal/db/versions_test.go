package db_test

import (
	"fmt"
	"testing"
	"time"

	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
)

// testVersions holds what the store remembers of former records: each state for its own time, bounded, whose it was then, and
// nothing of it once the person is erased.
func testVersions(t *testing.T, open opener) {
	t.Run("EachStateForItsTime", func(t *testing.T) {
		s := open(t)
		e := worker("acme", "ann")
		e.Aliased = map[string]string{"title": "job"}
		e = create(t, s, e)
		var stamps []time.Time
		for _, department := range []string{"IT", "Finance", "HR"} {
			stamps = append(stamps, instant())
			e.Record.Department = department
			e.Aliased = nil
			e = update(t, s, e)
		}
		stamps = append(stamps, instant())
		mustDo(t, s.Delete(t.Context(), "acme", e.ID, 0, time.Now(), event("engagement.deleted")))
		stamps = append(stamps, instant())
		for i, want := range []string{"", "IT", "Finance", "HR", "HR"} {
			past := personAt(t, s, e.Person, stamps[i])
			if len(past.Person.Engagements) != 1 {
				t.Fatalf("%d engagements at %s", len(past.Person.Engagements), stamps[i])
			}
			got := past.Person.Engagements[0]
			if got.Record.Department != want || got.Deleted != (i == 4) || (len(got.Aliased) > 0) != (i == 0) || got.ID != e.ID || got.Vendor != "acme" {
				t.Errorf("at %d: %+v", i, got)
			}
			if since, until := past.Since[e.ID], past.Until[e.ID]; since.After(stamps[i]) || i < 4 && !until.After(stamps[i]) || i == 4 && !until.IsZero() {
				t.Errorf("at %d: from %s to %s", i, since, until)
			}
		}
		if past := personAt(t, s, e.Person, noon.Add(-time.Hour)); len(past.Person.Engagements) != 0 || len(past.Lost) != 0 {
			t.Errorf("before it was created: %+v", past)
		}
	})
	t.Run("Bounded", func(t *testing.T) {
		s := open(t)
		e := create(t, s, worker("acme", "bob"))
		first := instant()
		for i := range 130 {
			e.Record.Title = fmt.Sprint(i)
			e = update(t, s, e)
		}
		past := personAt(t, s, e.Person, first)
		if len(past.Person.Engagements) != 0 || past.Lost[e.ID].IsZero() {
			t.Errorf("what was dropped is not said: %+v", past)
		}
		if past := personAt(t, s, e.Person, past.Lost[e.ID]); len(past.Person.Engagements) != 1 {
			t.Errorf("the oldest that is kept cannot be read: %+v", past)
		}
	})
	t.Run("WhoseItWasThen", func(t *testing.T) {
		s := open(t)
		e := create(t, s, worker("acme", "cyd"))
		create(t, s, func() contractor.Engagement { // keeps the person where it is
			o := worker("other", "cyd")
			return o
		}())
		before, former := instant(), e.Person
		e.Record.Email = "dan@acme.example"
		e.Resource = resource(e.Record)
		e = update(t, s, e)
		if e.Person == former {
			t.Fatal("the engagement stayed with its person")
		}
		if past := personAt(t, s, former, before); len(past.Person.Engagements) != 2 {
			t.Errorf("the former person had %d engagements then, of 2", len(past.Person.Engagements))
		}
		if past := personAt(t, s, e.Person, before); len(past.Person.Engagements) != 0 {
			t.Errorf("somebody else's past: %+v", past.Person.Engagements)
		}
		_, err := s.ErasePersonal(t.Context(), root(), former, "asked to be forgotten")
		mustDo(t, err)
		if past := personAt(t, s, former, before); len(past.Person.Engagements) != 1 {
			t.Errorf("erased, and remembered: %+v", past.Person.Engagements)
		}
	})
}

// instant is an instant that lies between what the store wrote last and what it writes next.
func instant() time.Time {
	time.Sleep(2 * time.Microsecond)
	at := time.Now().UTC()
	time.Sleep(2 * time.Microsecond)
	return at
}

func update(t testing.TB, s *db.Store, e contractor.Engagement) contractor.Engagement {
	t.Helper()
	got, err := s.Update(t.Context(), e, event("engagement.patched"))
	mustDo(t, err)
	return got
}

func personAt(t testing.TB, s *db.Store, id string, at time.Time) *db.PastPerson {
	t.Helper()
	past, err := s.PersonAt(t.Context(), id, at)
	mustDo(t, err)
	return past
}
