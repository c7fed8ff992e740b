package db_test

import (
	"slices"
	"strings"
	"testing"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
)

func testIdentity(t *testing.T, open opener) {
	matches := func(t *testing.T, s *db.Store, e contractor.Engagement) []contractor.Match {
		t.Helper()
		id, err := s.Identity(t.Context(), personOf(t, s, e))
		if err != nil {
			t.Fatal(err)
		}
		return id.Matches
	}
	t.Run("HintsAreFound", func(t *testing.T) {
		s := open(t)
		ann := worker("acme", "ann")
		ann.Record.PersonID, ann.Record.SecurityID, ann.Record.OtherEmails = "p1", "s1", []string{"ann@home.example"}
		ann.Resource = resource(ann.Record)
		ann = create(t, s, ann)
		for name, c := range map[string]struct {
			vendor string
			change func(*contractor.Record)
			want   []contractor.Hint
		}{
			"personId of the vendor":     {"acme", func(r *contractor.Record) { r.PersonID = "p1" }, []contractor.Hint{contractor.HintPersonID}},
			"personId of another vendor": {"other", func(r *contractor.Record) { r.PersonID = "p1" }, nil},
			"securityId of anybody":      {"other", func(r *contractor.Record) { r.SecurityID = "s1" }, []contractor.Hint{contractor.HintSecurityID}},
			"a shared further address":   {"other", func(r *contractor.Record) { r.OtherEmails = []string{"ANN@home.example"} }, []contractor.Hint{contractor.HintShared}},
			"their address":              {"other", func(r *contractor.Record) { r.OtherEmails = []string{"ann@acme.example"} }, []contractor.Hint{contractor.HintOurs}},
			"our address":                {"other", func(r *contractor.Record) { r.Email = "ann@home.example" }, []contractor.Hint{contractor.HintTheirs}},
			"nothing":                    {"other", func(*contractor.Record) {}, nil},
		} {
			e := worker(c.vendor, strings.ReplaceAll(name, " ", "-"))
			c.change(&e.Record)
			e.Resource = resource(e.Record)
			e = create(t, s, e)
			var got []contractor.Hint
			for _, m := range matches(t, s, e) {
				if m.Person == ann.Person {
					got = m.Hints
					if !m.Older || m.HasLeft {
						t.Errorf("%s: %+v", name, m)
					}
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%s: %v, want %v", name, got, c.want)
			}
			if err := s.Delete(t.Context(), e.Vendor, e.ID, 0, noon, event("engagement.deleted")); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("MergedStaysMerged", func(t *testing.T) {
		s := open(t)
		a, b := create(t, s, worker("acme", "ann")), create(t, s, worker("other", "anna"))
		left, err := s.MergePersons(t.Context(), root(), a.Person, b.Person, "one human")
		if err != nil || left != a.Person {
			t.Fatalf("left %s, error %v", left, err)
		}
		b = get(t, s, "other", b.ID)
		b.Record.Department, b.Resource = "Finance", resource(b.Record)
		b, err = s.Update(t.Context(), b, event("engagement.updated"))
		if err != nil || b.Person != a.Person {
			t.Errorf("an update took it apart: %s, error %v", b.Person, err)
		}
		third := worker("acme", "third")
		third.Record.Email = "ANNA@acme.example"
		if third = create(t, s, third); third.Person != a.Person {
			t.Error("a new record with the merged address has a person of its own")
		}
		if p, err := s.FindPerson(t.Context(), "anna@acme.example"); err != nil || p.ID != a.Person {
			t.Errorf("the merged address finds %v, error %v", p, err)
		}
		if _, err := s.MergePersons(t.Context(), root(), a.Person, personOf(t, s, a).ID, "again"); err == nil {
			t.Error("a person was merged with itself")
		}
		person, err := s.SplitEngagement(t.Context(), root(), b.ID, "two, after all")
		if err != nil || person == a.Person {
			t.Fatalf("split: %s, error %v", person, err)
		}
		if p := personOf(t, s, get(t, s, "other", b.ID)); p.ID != person || len(p.Engagements) != 2 || p.EmailKey != "anna@acme.example" {
			t.Errorf("split: %+v", p)
		}
		_, err = s.SplitEngagement(t.Context(), root(), a.ID, "no")
		wantCode(t, err, contractor.CodeConflict)
	})
	t.Run("AStopOutlivesAMerge", func(t *testing.T) {
		s := open(t)
		a, b := create(t, s, worker("acme", "ann")), create(t, s, worker("other", "anna"))
		if err := s.BlockPerson(t.Context(), root(), b.Person, "laptop stolen"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.MergePersons(t.Context(), root(), a.Person, b.Person, "one human"); err != nil {
			t.Fatal(err)
		}
		if p := personOf(t, s, a); p.Block.Reason != "laptop stolen" || len(p.Engagements) != 2 {
			t.Errorf("%+v", p)
		}
	})
	t.Run("ApartIsNoMatch", func(t *testing.T) {
		s := open(t)
		a, b := worker("acme", "ann"), worker("acme", "bob")
		a.Record.PersonID, b.Record.PersonID = "p", "p"
		create(t, s, a)
		b = create(t, s, b)
		if m := matches(t, s, b); len(m) != 1 || m[0].Sure() {
			t.Fatalf("%+v", m)
		}
		if person, err := s.SplitEngagement(t.Context(), root(), b.ID, "the vendor reuses ids"); err != nil || person != b.Person {
			t.Fatalf("%s, error %v", person, err)
		}
		if m := matches(t, s, b); len(m) != 0 {
			t.Errorf("%+v", m)
		}
	})
	t.Run("TheOneAddressMovesWithThePerson", func(t *testing.T) {
		s := open(t)
		e := create(t, s, worker("acme", "ann"))
		p := personOf(t, s, e)
		p.GuestID, p.Origin, p.Phase = "9c3f61c2-5a0f-4c3e-8a55-6d1f5c7f2b09", contractor.OriginInvited, contractor.PhaseOpen
		if err := s.Record(t.Context(), &contractor.Change{Person: p}); err != nil {
			t.Fatal(err)
		}
		e.Record.Email = "ann@new.example"
		e.Resource = resource(e.Record)
		got, err := s.Update(t.Context(), e, event("engagement.updated"))
		if err != nil || got.Person != e.Person {
			t.Fatalf("error %v, person %s", err, got.Person)
		}
		p = personOf(t, s, got)
		if p.Email != "ann@new.example" || p.FormerEmail != "ann@acme.example" {
			t.Errorf("%+v", p)
		}
		if err := s.Readdressed(t.Context(), p.ID, event("guest.readdressed")); err != nil {
			t.Fatal(err)
		}
		if p = personOf(t, s, got); p.FormerEmail != "" {
			t.Error("done, and still to do")
		}
	})
}

func testNoRehire(t *testing.T, open opener) {
	s := open(t)
	why := func(e contractor.Engagement) string {
		t.Helper()
		id, err := s.Identity(t.Context(), personOf(t, s, e))
		if err != nil {
			t.Fatal(err)
		}
		return id.NoRehire
	}
	ann := worker("acme", "ann")
	ann.Record.PersonID, ann.Record.SecurityID, ann.Record.OtherEmails = "p1", "s1", []string{"ann@home.example"}
	ann.Resource = resource(ann.Record)
	ann = create(t, s, ann)
	if why(ann) != "" {
		t.Fatal("an empty list has her")
	}
	gen := personOf(t, s, ann).Gen
	for _, k := range []contractor.NoRehireKey{
		{Kind: contractor.NoRehireEmail, Value: "ann@acme.example"},
		{Kind: contractor.NoRehireEmail, Value: "ann@home.example"},
		{Kind: contractor.NoRehirePersonID, Vendor: "acme", Value: "p1"},
		{Kind: contractor.NoRehireSecurityID, Value: "s1"},
	} {
		added, err := s.AddNoRehire(t.Context(), root(), []contractor.NoRehireKey{k}, "badge misused")
		if err != nil || len(added) != 1 {
			t.Fatalf("%v: %v, error %v", k, added, err)
		}
		if again, err := s.AddNoRehire(t.Context(), root(), []contractor.NoRehireKey{k}, "twice"); err != nil || len(again) != 0 {
			t.Errorf("%v is there twice: %v, error %v", k, again, err)
		}
		if !strings.Contains(why(ann), "badge misused") {
			t.Errorf("%v: %q", k, why(ann))
		}
		gen++
		if g := personOf(t, s, ann).Gen; g != gen {
			t.Errorf("%v: she was not made due: %d, want %d", k, g, gen)
		}
		if err := s.RemoveNoRehire(t.Context(), root(), added[0].ID, "a mistake"); err != nil {
			t.Fatal(err)
		}
		if why(ann) != "" {
			t.Errorf("%v: removed, and %q", k, why(ann))
		}
	}
	if _, err := s.AddNoRehire(t.Context(), root(), []contractor.NoRehireKey{{Kind: contractor.NoRehirePersonID, Vendor: "other", Value: "p1"}}, "another vendor's"); err != nil {
		t.Fatal(err)
	}
	if why(ann) != "" {
		t.Error("another vendor's personId is hers")
	}
	if _, err := s.AddNoRehire(t.Context(), root(), contractor.NoRehireKeys(personOf(t, s, ann)), "left with a laptop"); err != nil {
		t.Fatal(err)
	}
	if err := s.OverrideNoRehire(t.Context(), root(), ann.Person, "it was found"); err != nil {
		t.Fatal(err)
	}
	if why(ann) != "" {
		t.Error("the override does nothing")
	}
	list, err := s.NoRehires(t.Context())
	if err != nil || len(list) != 5 {
		t.Errorf("%d entries, error %v", len(list), err)
	}
	for _, e := range journal(t, s, contractor.JournalQuery{Kind: "dnr."}) {
		if leaf, err := e.Leaf(); err != nil || strings.Contains(string(leaf), "ann@") || e.Actor.Kind != audit.ActorAdmin {
			t.Errorf("%s, error %v", leaf, err)
		}
	}
	wantCode(t, s.RemoveNoRehire(t.Context(), root(), 99, "nothing"), contractor.CodeNotFound)
}
