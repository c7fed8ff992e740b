package db_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
)

func mustDo(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A plan is found once it is finished, with its people in order, and only the last are kept.
func testPlans(t *testing.T, open opener) {
	s := open(t)
	eve := audit.Actor{Kind: audit.ActorAdmin, Name: "eve"}
	if _, err := s.Plan(t.Context(), ""); err == nil {
		t.Fatal("there is a plan in an empty store")
	}
	for i := range 25 {
		p, err := s.BeginPlan(t.Context(), eve, "before", "after", "text")
		mustDo(t, err)
		loss := []contractor.Loss{{Person: "p0", Vendor: "acme", Engagement: "e", Loses: []string{"group a (1)"}}}
		mustDo(t, s.AddPlanPeople(t.Context(), p, 0, []db.PlanPerson{{Person: "p0", Digest: "d", Losses: loss, Changes: json.RawMessage(`[]`)}}))
		var more []db.PlanPerson
		for k := range 1200 {
			more = append(more, db.PlanPerson{Person: fmt.Sprint("q", k), Changes: json.RawMessage(`[]`)})
		}
		if i == 24 {
			mustDo(t, s.AddPlanPeople(t.Context(), p, 1, more))
		}
		if _, err := s.Plan(t.Context(), fmt.Sprintf("%02d", i)); err == nil {
			t.Fatal("an unfinished plan is found")
		}
		mustDo(t, s.FinishPlan(t.Context(), p, fmt.Sprintf("%02dabc", i), json.RawMessage(`{}`)))
	}
	if _, err := s.Plan(t.Context(), "04abc"); err == nil {
		t.Error("the 21st last plan is kept")
	}
	if p, err := s.Plan(t.Context(), "05"); err != nil || p.Text != "text" || p.MadeBy != "eve" {
		t.Errorf("the 20th last plan: %+v, %v", p, err)
	}
	p, err := s.Plan(t.Context(), "")
	mustDo(t, err)
	n := 0
	for x, err := range s.PlanPeople(t.Context(), p) {
		mustDo(t, err)
		if want := fmt.Sprint("q", n-1); n > 0 && x.Person != want {
			t.Fatalf("person %d is %s, want %s", n, x.Person, want)
		}
		n++
	}
	if n != 1201 {
		t.Errorf("%d people", n)
	}
	if x, found, err := s.PlanPerson(t.Context(), p, "p0"); err != nil || !found || len(x.Losses) != 1 || x.Losses[0].Vendor != "acme" {
		t.Errorf("one person: %+v, %v, %v", x, found, err)
	}
	if _, found, err := s.PlanPerson(t.Context(), p, "nobody"); err != nil || found {
		t.Errorf("nobody: %v, %v", found, err)
	}
}

// The mapping in force at an instant is found, and a revision by the beginning of its hash.
func testRevisionsAt(t *testing.T, open opener) {
	s := open(t)
	eve := audit.Actor{Kind: audit.ActorAdmin, Name: "eve"}
	one, err := s.AddRevision(t.Context(), eve, "one", "test")
	mustDo(t, err)
	two, err := s.AddRevision(t.Context(), eve, "two", "test")
	mustDo(t, err)
	if r, err := s.RevisionAt(t.Context(), two.Loaded.Add(-time.Microsecond)); err != nil || r.Text != "one" || r.Who != "eve" {
		t.Errorf("before the second: %+v, %v", r, err)
	}
	if r, err := s.RevisionAt(t.Context(), time.Now()); err != nil || r.Text != "two" {
		t.Errorf("now: %+v, %v", r, err)
	}
	_, err = s.RevisionAt(t.Context(), one.Loaded.Add(-time.Hour))
	wantCode(t, err, contractor.CodeNotFound)
	if r, err := s.RevisionLike(t.Context(), one.Hash[:8]); err != nil || r.Text != "one" {
		t.Errorf("by its beginning: %+v, %v", r, err)
	}
	if list, err := s.Revisions(t.Context(), 0); err != nil || len(list) != 2 || list[0].Hash != two.Hash {
		t.Errorf("list: %+v, %v", list, err)
	}
}
