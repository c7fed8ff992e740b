package db_test

import (
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

func testFeeds(t *testing.T, open opener) {
	s := open(t)
	t.Run("OneReaderAtATime", func(t *testing.T) {
		claim := func(by string, at time.Time) error { return s.ClaimFeed(t.Context(), "acme", by, at, time.Minute) }
		if err := claim("a", noon); err != nil {
			t.Fatal(err)
		}
		if err := claim("a", noon.Add(30*time.Second)); err != nil {
			t.Errorf("prolonging: %v", err)
		}
		wantCode(t, claim("b", noon.Add(80*time.Second)), contractor.CodeConflict)
		if err := claim("b", noon.Add(91*time.Second)); err != nil {
			t.Errorf("a claim whose owner died stood in the way: %v", err)
		}
		if err := s.ReleaseFeed(t.Context(), "acme", "a"); err != nil {
			t.Fatal(err)
		}
		wantCode(t, claim("a", noon.Add(92*time.Second)), contractor.CodeConflict)
		if err := s.ReleaseFeed(t.Context(), "acme", "b"); err != nil {
			t.Fatal(err)
		}
		if err := claim("a", noon.Add(93*time.Second)); err != nil {
			t.Error(err)
		}
	})
	t.Run("StatesAreKept", func(t *testing.T) {
		if p, err := s.PullState(t.Context(), "acme"); err != nil || p != (contractor.PullState{Vendor: "acme"}) {
			t.Errorf("before the first: %+v, %v", p, err)
		}
		want := contractor.PullState{Vendor: "acme", URL: "https://x.example", Started: noon, Watermark: noon, Counts: contractor.FeedCounts{Read: 3}, Error: "no"}
		alarm := contractor.Alarm{Key: "feed/acme", Kind: contractor.AlarmFeedFailed, Severity: contractor.SeverityWarning, Vendor: "acme", Words: "no", First: noon, Last: noon}
		if err := s.SavePull(t.Context(), want, []audit.Event{event("pull.failed")}, []contractor.Alarm{alarm}); err != nil {
			t.Fatal(err)
		}
		got, err := s.PullState(t.Context(), "acme")
		if diff := gocmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
		if open, err := s.OpenAlarms(t.Context()); err != nil || open[contractor.SeverityWarning] != 1 {
			t.Errorf("open alarms %v, %v", open, err)
		}
		i := contractor.ImportState{Vendor: "acme", File: "f", Line: 7, Counts: contractor.FeedCounts{Read: 6}, Begun: noon}
		if err := s.SaveImport(t.Context(), i, event("import.begun")); err != nil {
			t.Fatal(err)
		}
		back, err := s.ImportState(t.Context(), "acme", "f")
		back.Updated = time.Time{}
		if diff := gocmp.Diff(i, back); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	})
	t.Run("AnEndCanBeHeldFromTheStart", func(t *testing.T) {
		e := create(t, s, worker("acme", "ann"))
		if why, err := s.GuardWhy(t.Context(), "acme", 3, noon, contractor.Guard{MaxEnds: 3}, contractor.Guard{}); why != "" || err != nil {
			t.Errorf("%q, %v", why, err)
		}
		why, err := s.GuardWhy(t.Context(), "acme", 4, noon, contractor.Guard{MaxEnds: 3}, contractor.Guard{})
		if why == "" || err != nil {
			t.Fatalf("%q, %v", why, err)
		}
		e.EndedAt, e.EndSetAt, e.Modified, e.HeldEnd = noon.Add(time.Hour), noon.Add(time.Hour), noon.Add(time.Hour), why
		e, err = s.Update(t.Context(), e, event("engagement.ended"))
		if err != nil {
			t.Fatal(err)
		}
		holds, err := s.Holds(t.Context(), contractor.HoldQuery{})
		if err != nil || len(holds) != 1 || holds[0].Engagement != e.ID || holds[0].Why != why || !holds[0].SetAt.Equal(e.EndSetAt) || holds[0].Expires.IsZero() {
			t.Fatalf("%+v, %v", holds, err)
		}
		// The guard that would let it through is not asked again.
		h, err := s.AdmitEnd(t.Context(), contractor.EndRequest{Engagement: &e, Person: e.Person, Now: e.EndSetAt, Vendor: contractor.Guard{MaxEnds: 100}})
		if err != nil || h.State != contractor.HoldOpen || h.ID != holds[0].ID {
			t.Errorf("%+v, %v", h, err)
		}
	})
	t.Run("ShareOfAll", func(t *testing.T) {
		s := open(t)
		fill(t, s, "acme", 100)
		for ends, held := range map[int]bool{5: false, 10: false, 11: true} {
			why, err := s.GuardWhy(t.Context(), "acme", ends, noon, contractor.Guard{MaxEndsPercent: 10}, contractor.Guard{})
			if err != nil || (why != "") != held {
				t.Errorf("%d of 100: %q, %v", ends, why, err)
			}
		}
	})
}
