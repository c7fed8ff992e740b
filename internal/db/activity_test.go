package db_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
)

// The part of the suite that is about activity, alarms and our policies, on SQLite.
func testActivity(t *testing.T, open opener) {
	for name, test := range map[string]func(*testing.T, opener){
		"Batches": testActivityBatches, "Pruning": testActivityPruning, "Alarms": testAlarms, "Guests": testWatchedGuests, "Policies": testManagedPolicies,
	} {
		t.Run(name, func(t *testing.T) {
			test(t, open)
		})
	}
}

const guestOne = "2d9b6f1e-0f5a-4c7e-9a53-5b3c2f6f1d10"

// withGuest makes a person with an open guest.
func withGuest(t *testing.T, s *db.Store, userName, guest string, change func(*contractor.Person)) *contractor.Person {
	t.Helper()
	e := create(t, s, worker("acme", userName))
	p, err := s.Person(t.Context(), e.Person)
	if err != nil {
		t.Fatal(err)
	}
	p.GuestID, p.Origin, p.Phase, p.InvitedAt, p.GuestState = guest, contractor.OriginInvited, contractor.PhaseOpen, noon.Add(-20*24*time.Hour), "Accepted"
	if change != nil {
		change(p)
	}
	if err := s.Record(t.Context(), &contractor.Change{Person: p}); err != nil {
		t.Fatal(err)
	}
	return p
}

func signIn(id, person string, at time.Time) contractor.Activity {
	return contractor.Activity{Log: contractor.LogSignIns, ID: id, At: at, Guest: guestOne, Person: person, What: "Portal", OK: true, Country: "DE", IP: "203.0.113.7"}
}

func activityIDs(list []contractor.Activity) []string {
	out := []string{}
	for _, a := range list {
		out = append(out, a.ID)
	}
	return out
}

func alarm(key, evidence string) contractor.Alarm {
	return contractor.Alarm{
		Key: key, Kind: contractor.AlarmSignInAfterEnd, Severity: contractor.SeverityCritical, Words: "a sign-in worked after the end", Next: "scimbridge contractor show x",
		First: noon, Last: noon, Evidence: []contractor.Evidence{{Log: contractor.LogSignIns, ID: evidence, At: noon, Words: "from DE"}}, Personal: map[string]string{"ip": "203.0.113.7"},
	}
}

// allEvents is the whole journal.
func allEvents(t *testing.T, s *db.Store) []audit.Event {
	t.Helper()
	list, err := s.EventsAfter(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func journalled(t *testing.T, s *db.Store, kind string) int {
	t.Helper()
	n := 0
	for _, e := range allEvents(t, s) {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

func testActivityBatches(t *testing.T, open opener) {
	s := open(t)
	p := withGuest(t, s, "ann", guestOne, nil)
	if m, err := s.ActivityMark(t.Context(), contractor.LogSignIns); err != nil || !m.Through.IsZero() {
		t.Fatalf("%+v, %v", m, err)
	}
	batch := contractor.ActivityBatch{
		Log: contractor.LogSignIns, Entries: []contractor.Activity{signIn("s1", p.ID, noon), signIn("s2", p.ID, noon.Add(time.Minute)), signIn("s1", p.ID, noon)},
		Alarms: []contractor.Alarm{alarm("k", "s1")}, Mark: &contractor.ActivityMark{Through: noon.Add(time.Hour)},
	}
	raised, err := s.RecordActivity(t.Context(), batch)
	if err != nil || len(raised) != 1 || raised[0].ID == "" || raised[0].Count != 1 {
		t.Fatalf("%+v, %v", raised, err)
	}
	t.Run("AgainIsNothingNew", func(t *testing.T) {
		raised, err := s.RecordActivity(t.Context(), batch)
		if err != nil || len(raised) != 0 {
			t.Fatalf("%+v, %v", raised, err)
		}
		list, err := s.Activity(t.Context(), p.ID, time.Time{}, 10)
		if diff := cmp.Diff([]string{"s2", "s1"}, activityIDs(list)); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
		if n := journalled(t, s, "alarm.raised"); n != 1 {
			t.Errorf("%d events", n)
		}
		alarms, err := s.Alarms(t.Context(), contractor.AlarmQuery{})
		if err != nil || len(alarms) != 1 || alarms[0].Count != 1 {
			t.Errorf("%+v, %v", alarms, err)
		}
	})
	t.Run("OnlyNewEntriesAreReturned", func(t *testing.T) {
		got, err := s.NewActivity(t.Context(), []contractor.Activity{signIn("s3", p.ID, noon), signIn("s1", p.ID, noon), signIn("s3", p.ID, noon), signIn("s4", p.ID, noon)})
		if diff := cmp.Diff([]string{"s3", "s4"}, activityIDs(got)); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	})
	t.Run("TheMarkNeverGoesBack", func(t *testing.T) {
		if _, err := s.RecordActivity(t.Context(), contractor.ActivityBatch{Log: contractor.LogSignIns, Mark: &contractor.ActivityMark{Through: noon, Swept: noon}}); err != nil {
			t.Fatal(err)
		}
		m, err := s.ActivityMark(t.Context(), contractor.LogSignIns)
		if err != nil || !m.Through.Equal(noon.Add(time.Hour)) || !m.Swept.Equal(noon) || !m.Floor.IsZero() {
			t.Errorf("%+v, %v", m, err)
		}
	})
	t.Run("AnEntryOfNobodyIsNotStoredNorIsItsBatch", func(t *testing.T) {
		bad := contractor.ActivityBatch{Log: contractor.LogAudits, Entries: []contractor.Activity{{Log: contractor.LogAudits, ID: "a1", Person: "nobody", At: noon}}, Mark: &contractor.ActivityMark{Through: noon}}
		if _, err := s.RecordActivity(t.Context(), bad); err == nil {
			t.Fatal("stored")
		}
		if m, err := s.ActivityMark(t.Context(), contractor.LogAudits); err != nil || !m.Through.IsZero() {
			t.Errorf("the mark moved: %+v, %v", m, err)
		}
	})
	t.Run("OfEverybodyAndOfOne", func(t *testing.T) {
		all, err := s.SignIns(t.Context(), noon.Add(time.Second), 10)
		if diff := cmp.Diff([]string{"s2"}, activityIDs(all)); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
		one, err := s.ActivitySince(t.Context(), p.ID, contractor.LogSignIns, noon, 10)
		if diff := cmp.Diff([]string{"s1", "s2"}, activityIDs(one)); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
		if one[0].IP != "203.0.113.7" || !one[0].At.Equal(noon) {
			t.Errorf("%+v", one[0])
		}
	})
	t.Run("ForgottenIsNotReadAgain", func(t *testing.T) {
		n, err := s.ForgetActivity(t.Context(), p.ID)
		if err != nil || n != 2 {
			t.Fatalf("%d, %v", n, err)
		}
		m, err := s.ActivityMark(t.Context(), contractor.LogSignIns)
		if err != nil || !m.Floor.Equal(noon.Add(time.Minute)) {
			t.Errorf("%+v, %v", m, err)
		}
	})
}

func testActivityPruning(t *testing.T, open opener) {
	s := open(t)
	p := withGuest(t, s, "ann", guestOne, nil)
	var entries []contractor.Activity
	for i := range 5000 {
		entries = append(entries, signIn(fmt.Sprintf("s%04d", i), p.ID, noon.Add(time.Duration(i)*time.Minute)))
	}
	if _, err := s.RecordActivity(t.Context(), contractor.ActivityBatch{Log: contractor.LogSignIns, Entries: entries, Mark: &contractor.ActivityMark{Through: noon.Add(5000 * time.Minute)}}); err != nil {
		t.Fatal(err)
	}
	now := noon.Add(5000 * time.Minute)
	prune := func(bounds contractor.ActivityBounds) (int64, bool, contractor.ActivityMark) {
		n, full, err := s.PruneActivity(t.Context(), contractor.LogSignIns, bounds, now)
		if err != nil {
			t.Fatal(err)
		}
		m, err := s.ActivityMark(t.Context(), contractor.LogSignIns)
		if err != nil {
			t.Fatal(err)
		}
		return n, full, m
	}
	if n, full, m := prune(contractor.ActivityBounds{For: 4000 * time.Minute, Rows: 100_000}); n != 1000 || full || !m.Floor.Equal(entries[999].At) {
		t.Errorf("by age: %d, full %v, %+v", n, full, m)
	}
	if n, full, m := prune(contractor.ActivityBounds{For: 4000 * time.Minute, Rows: 500}); n != 3500 || !full || !m.Floor.Equal(entries[4499].At) {
		t.Errorf("by number: %d, full %v, %+v", n, full, m)
	}
	if n, full, _ := prune(contractor.ActivityBounds{For: 4000 * time.Minute, Rows: 500}); n != 0 || full {
		t.Errorf("again: %d, full %v", n, full)
	}
	left, err := s.Activity(t.Context(), p.ID, now, 1000)
	if err != nil || len(left) != 500 || left[499].ID != "s4500" {
		t.Errorf("%d left, %v", len(left), err)
	}
}

func testAlarms(t *testing.T, open opener) {
	s := open(t)
	raise := func(a contractor.Alarm) []contractor.Alarm {
		t.Helper()
		raised, err := s.RecordActivity(t.Context(), contractor.ActivityBatch{Log: contractor.LogSignIns, Alarms: []contractor.Alarm{a}})
		if err != nil {
			t.Fatal(err)
		}
		return raised
	}
	first := raise(alarm("k", "s1"))
	if len(first) != 1 {
		t.Fatal("not raised")
	}
	one := func() contractor.Alarm {
		t.Helper()
		list, err := s.Alarms(t.Context(), contractor.AlarmQuery{All: true})
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(list, func(a contractor.Alarm) bool { return a.ID == first[0].ID })
		return list[i]
	}
	t.Run("WhatHappensAgainIsCounted", func(t *testing.T) {
		later := alarm("k", "s2")
		later.First, later.Last = noon.Add(time.Hour), noon.Add(time.Hour)
		if got := raise(later); len(got) != 0 {
			t.Fatalf("raised %+v", got)
		}
		if a := one(); a.Count != 2 || len(a.Evidence) != 2 || !a.First.Equal(noon) || !a.Last.Equal(noon.Add(time.Hour)) {
			t.Errorf("%+v", a)
		}
	})
	t.Run("EvidenceIsBoundedAndStillCounted", func(t *testing.T) {
		for i := range 2 * contractor.MaxEvidence {
			raise(alarm("k", fmt.Sprintf("x%d", i)))
		}
		if a := one(); len(a.Evidence) != contractor.MaxEvidence || a.Count != 2+2*contractor.MaxEvidence {
			t.Errorf("%d pieces of evidence, count %d", len(a.Evidence), a.Count)
		}
	})
	t.Run("PersonalDataIsInTheJournalApartOnly", func(t *testing.T) {
		b, err := json.Marshal(one())
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), "203.0.113.7") || one().Personal != nil {
			t.Error("an alarm holds an address")
		}
		found := false
		for _, e := range allEvents(t, s) {
			found = found || e.Kind == "alarm.raised" && string(e.Personal) == `{"ip":"203.0.113.7"}`
		}
		if !found {
			t.Error("the journal does not hold the address apart")
		}
	})
	t.Run("EachSinkGetsItOnce", func(t *testing.T) {
		for _, sink := range []string{"mail", "webhook"} {
			list, err := s.AlarmsFor(t.Context(), sink, noon.AddDate(-1, 0, 0), 10)
			if err != nil || len(list) != 1 {
				t.Fatalf("%s: %d, %v", sink, len(list), err)
			}
			if err := s.AlarmDelivered(t.Context(), sink, list[0].ID); err != nil {
				t.Fatal(err)
			}
			if list, err := s.AlarmsFor(t.Context(), sink, noon.AddDate(-1, 0, 0), 10); err != nil || len(list) != 0 {
				t.Errorf("%s again: %d, %v", sink, len(list), err)
			}
		}
	})
	t.Run("AcknowledgedAndRaisedAnew", func(t *testing.T) {
		actor := audit.Actor{Kind: audit.ActorAdmin, Name: "ops"}
		a, err := s.AcknowledgeAlarm(t.Context(), actor, first[0].ID, "was the auditor")
		if err != nil || a.By != "ops" || a.Acknowledged.IsZero() {
			t.Fatalf("%+v, %v", a, err)
		}
		_, err = s.AcknowledgeAlarm(t.Context(), actor, first[0].ID, "again")
		wantCode(t, err, contractor.CodeConflict)
		_, err = s.AcknowledgeAlarm(t.Context(), actor, "no-such", "x")
		wantCode(t, err, contractor.CodeNotFound)
		if n := journalled(t, s, "alarm.acknowledged"); n != 1 {
			t.Errorf("%d events", n)
		}
		if list, err := s.Alarms(t.Context(), contractor.AlarmQuery{}); err != nil || len(list) != 0 {
			t.Errorf("open: %+v, %v", list, err)
		}
		if got := raise(alarm("k", "s1")); len(got) != 0 {
			t.Errorf("an entry that was read again after the acknowledgement raised %+v", got)
		}
		if got := raise(alarm("k", "s9")); len(got) != 1 {
			t.Errorf("what happened after the acknowledgement raised nothing")
		}
		counts, err := s.OpenAlarms(t.Context())
		if err != nil || counts[contractor.SeverityCritical] != 1 {
			t.Errorf("%v, %v", counts, err)
		}
	})
	t.Run("OnceIsOnce", func(t *testing.T) {
		a := alarm("never", "")
		a.Once, a.Evidence = true, []contractor.Evidence{{At: noon, Words: "invited"}}
		got := raise(a)
		if len(got) != 1 || len(raise(a)) != 0 {
			t.Fatal("not raised once")
		}
		if _, err := s.AcknowledgeAlarm(t.Context(), audit.Actor{Kind: audit.ActorAdmin}, got[0].ID, "known"); err != nil {
			t.Fatal(err)
		}
		if len(raise(a)) != 0 {
			t.Error("raised again after it was acknowledged")
		}
	})
}

func testWatchedGuests(t *testing.T, open opener) {
	s := open(t)
	now := noon.Add(time.Hour)
	ended := noon.Add(-time.Hour)
	stand := func(p *contractor.Person, status contractor.Status, end time.Time) {
		t.Helper()
		c := &contractor.Change{Person: p, Standings: map[string]contractor.Standing{p.Engagements[0].ID: {Status: status, EffectiveEnd: end}}}
		if err := s.Record(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	live := withGuest(t, s, "live", "11111111-0000-4000-8000-000000000001", nil)
	stand(live, contractor.StatusActive, noon.AddDate(0, 1, 0))
	late := withGuest(t, s, "late", "11111111-0000-4000-8000-000000000002", nil) // the loop has not come by yet
	stand(late, contractor.StatusActive, ended)
	closed := withGuest(t, s, "closed", "11111111-0000-4000-8000-000000000003", func(p *contractor.Person) {
		p.Phase, p.ClosedAt = contractor.PhaseClosed, noon
	})
	stand(closed, contractor.StatusOffboarding, ended)
	held := withGuest(t, s, "held", "11111111-0000-4000-8000-000000000004", func(p *contractor.Person) {
		p.Phase, p.ClosedAt = contractor.PhaseClosed, noon
	})
	stand(held, contractor.StatusHeld, noon.AddDate(0, 1, 0))
	pending := withGuest(t, s, "pending", "11111111-0000-4000-8000-000000000005", func(p *contractor.Person) { p.GuestState = "PendingAcceptance" })
	stand(pending, contractor.StatusActive, noon.AddDate(0, 1, 0))
	h := &contractor.Holding{Entitlement: contractor.Entitlement{Kind: contractor.KindGroup, Name: "ext-base", ID: "g1"}, Mechanism: contractor.MechanismMember, State: contractor.HoldingHeld, End: noon.AddDate(0, 1, 0)}
	if err := s.Record(t.Context(), &contractor.Change{Person: live, Holdings: []*contractor.Holding{h}}); err != nil {
		t.Fatal(err)
	}

	got, err := s.WatchedGuests(t.Context(), []string{live.GuestID, late.GuestID, closed.GuestID, held.GuestID, "99999999-0000-4000-8000-000000000009", ""}, now)
	if err != nil || len(got) != 4 {
		t.Fatalf("%d guests, %v", len(got), err)
	}
	for name, tc := range map[string]struct {
		p    *contractor.Person
		over time.Time
	}{"LiveIsNotOver": {live, time.Time{}}, "AMissedEndIsOver": {late, ended}, "TheEndComesBeforeTheClosing": {closed, ended}, "HeldIsOverFromTheClosing": {held, noon}} {
		g := got[tc.p.GuestID]
		if g.Person != tc.p.ID || !g.Over().Equal(tc.over) || g.Vendor != "acme" {
			t.Errorf("%s: %+v, over %s", name, g, g.Over())
		}
	}
	if g := got[live.GuestID]; !slices.Equal(g.Groups, []string{"g1"}) {
		t.Errorf("groups %v", g.Groups)
	}
	list, err := s.NeverAccepted(t.Context(), noon.AddDate(0, 0, -14), now, 10)
	if err != nil || len(list) != 1 || list[0].Person != pending.ID {
		t.Errorf("never accepted: %+v, %v", list, err)
	}
	if list, err := s.NeverAccepted(t.Context(), noon.AddDate(0, 0, -30), now, 10); err != nil || len(list) != 0 {
		t.Errorf("never accepted after 30 days: %+v, %v", list, err)
	}
	if list, err := s.ClosedSince(t.Context(), noon.Add(-time.Minute), now, 10); err != nil || len(list) != 2 {
		t.Errorf("closed: %+v, %v", list, err)
	}
}

func testManagedPolicies(t *testing.T, open opener) {
	s := open(t)
	m := contractor.CAManaged{Kind: "policy", Name: "mfa", Mine: true}
	intent := audit.Event{Kind: "policy.creating", Actor: audit.Actor{Kind: audit.ActorAdmin, Name: "ops"}, Outcome: audit.Intended}
	if err := s.RecordPolicy(t.Context(), &m, intent); err != nil {
		t.Fatal(err)
	}
	m.ID, m.Written, m.Watched = "p1", []byte(`{"name":"x"}`), noon
	if err := s.RecordPolicy(t.Context(), &m); err != nil {
		t.Fatal(err)
	}
	list, err := s.ManagedPolicies(t.Context())
	if diff := cmp.Diff([]contractor.CAManaged{m}, list); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if err := s.ForgetPolicy(t.Context(), "policy", "mfa", audit.Event{Kind: "policy.deleted", Actor: audit.Actor{Kind: audit.ActorAdmin}, Outcome: audit.Done}); err != nil {
		t.Fatal(err)
	}
	if list, err := s.ManagedPolicies(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	if journalled(t, s, "policy.creating") != 1 || journalled(t, s, "policy.deleted") != 1 {
		t.Error("events are missing")
	}
}

// What a killed process had stored is all there after a new start, and nothing is twice.
func TestActivitySurvivesAReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "scimbridge.db")
	s := reopen(t, path)
	p := withGuest(t, s, "ann", guestOne, nil)
	batch := contractor.ActivityBatch{Log: contractor.LogSignIns, Entries: []contractor.Activity{signIn("s1", p.ID, noon)}, Alarms: []contractor.Alarm{alarm("k", "s1")}, Mark: &contractor.ActivityMark{Through: noon}}
	if _, err := s.RecordActivity(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	again := reopen(t, path)
	if raised, err := again.RecordActivity(t.Context(), batch); err != nil || len(raised) != 0 {
		t.Errorf("raised %+v, %v", raised, err)
	}
	if m, err := again.ActivityMark(t.Context(), contractor.LogSignIns); err != nil || !m.Through.Equal(noon) {
		t.Errorf("%+v, %v", m, err)
	}
}
