package db_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
)

// office is a store with one contractor whose access the tests write as the loop does.
type office struct {
	t      *testing.T
	s      *db.Store
	e      contractor.Engagement
	person *contractor.Person
}

func newOffice(t *testing.T, open opener) *office {
	t.Helper()
	s := open(t)
	in := worker("acme", "wanda")
	in.Record.GivenName, in.Record.FamilyName, in.Record.SponsorEmail = "Wanda", "Weiss", "boss@corp.example"
	e := create(t, s, in)
	p, err := s.Person(t.Context(), e.Person)
	if err != nil {
		t.Fatal(err)
	}
	return &office{t, s, e, p}
}

// record writes a change, and answers an instant after it that no later change shares.
func (o *office) record(c contractor.Change, events ...audit.Event) time.Time {
	o.t.Helper()
	c.Person = o.person
	if err := o.s.Record(o.t.Context(), &c, events...); err != nil {
		o.t.Fatal(err)
	}
	// Later events must have a later time: they are stamped in microseconds.
	for at := time.Now().UTC().Truncate(time.Microsecond); ; {
		if now := time.Now().UTC().Truncate(time.Microsecond); now.After(at.Add(2 * time.Microsecond)) {
			return at
		}
	}
}

func (o *office) grant(kind string, h *contractor.Holding) audit.Event {
	return audit.Event{
		Kind: kind, Actor: audit.Actor{Kind: audit.ActorBridge}, Outcome: audit.Done, Person: o.person.ID, Engagement: h.Engagement, Vendor: h.Vendor,
		Entitlement: fmt.Sprintf("%s %s (%s)", h.Entitlement.Kind, h.Entitlement.Name, h.Entitlement.ID), Rule: h.Rule, Line: h.Line, Revision: h.Revision, Until: h.End,
	}
}

func (o *office) holding() *contractor.Holding {
	return &contractor.Holding{
		Entitlement: contractor.Entitlement{Kind: contractor.KindGroup, Name: "ext-base", ID: "3f0c", Expiry: contractor.ExpiryEntra},
		Mechanism:   contractor.MechanismSchedule, State: contractor.HoldingHeld, Since: time.Now().UTC().Truncate(time.Microsecond),
		End: noon.Add(24 * time.Hour), Rule: "everyone", Line: 41, Revision: "r1", Engagement: o.e.ID, Vendor: "acme",
	}
}

func (o *office) access(q db.AccessQuery) []db.AccessRow {
	o.t.Helper()
	list := []db.AccessRow{}
	for r, err := range o.s.AccessAt(o.t.Context(), q) {
		if err != nil {
			o.t.Fatal(err)
		}
		list = append(list, r)
	}
	return list
}

func testAccessAt(t *testing.T, open opener) {
	o := newOffice(t, open)
	before := time.Now().UTC()
	o.person.GuestID, o.person.Phase, o.person.SponsorID = "g1", contractor.PhaseOpen, "sponsor-1"
	o.record(contractor.Change{}, event("guest.invited"))

	h := o.holding()
	granted := o.record(contractor.Change{Holdings: []*contractor.Holding{h}}, o.grant("grant.added", h))
	moved := *h
	moved.Rule, moved.Line, moved.Revision, moved.End = "developers", 52, "r2", noon.Add(48*time.Hour)
	*h = moved
	o.person.SponsorID = "sponsor-2"
	rerouted := o.record(contractor.Change{Holdings: []*contractor.Holding{h}}, o.grant("grant.extended", h))
	h.State = contractor.HoldingRemoving
	removing := o.record(contractor.Change{Holdings: []*contractor.Holding{h}}, o.grant("grant.remove_sent", h))
	h.State, h.EndedAt = contractor.HoldingEnded, time.Now().UTC().Truncate(time.Microsecond)
	gone := o.record(contractor.Change{Holdings: []*contractor.Holding{h}}, o.grant("grant.gone", h))

	subject := db.Subject{Person: o.person.ID, Name: "Wanda Weiss", Email: "wanda@acme.example", Vendor: "acme", Engagement: o.e.ID, Sponsor: "sponsor-1", SponsorFor: "boss@corp.example"}
	first := db.AccessRow{
		Subject: subject, Kind: contractor.KindGroup, Granted: "ext-base", GrantedID: "3f0c", Since: h.Since, Until: noon.Add(24 * time.Hour), EndedAt: h.EndedAt,
		Mechanism: contractor.MechanismSchedule, EndsItself: true, Rule: "everyone", Line: 41, Revision: "r1", Event: 3,
	}
	second := first
	second.Sponsor, second.Until, second.Rule, second.Line, second.Revision, second.Event = "sponsor-2", noon.Add(48*time.Hour), "developers", 52, "r2", 4
	third := second
	third.Removing = true
	for name, c := range map[string]struct {
		at   time.Time
		want []db.AccessRow
	}{
		"NothingBeforeIt":                  {before, []db.AccessRow{}},
		"WhatTheFirstRuleGave":             {granted, []db.AccessRow{first}},
		"WhatTheSecondRuleMadeOfIt":        {rerouted, []db.AccessRow{second}},
		"StillThereWhileItIsBeingTaken":    {removing, []db.AccessRow{third}},
		"NothingAfterItWasSeenGone":        {gone, []db.AccessRow{}},
		"TheInstantOfTheGrantItselfCounts": {h.Since, []db.AccessRow{first}},
	} {
		t.Run(name, func(t *testing.T) {
			// The sponsor's history has milliseconds: it may be that of the instant before.
			got := o.access(db.AccessQuery{At: c.at})
			if len(got) == 1 && len(c.want) == 1 && c.at.Sub(before) < time.Second {
				got[0].Sponsor = c.want[0].Sponsor
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	for name, q := range map[string]db.AccessQuery{
		"ThePerson": {Person: o.person.ID}, "TheGroupsName": {Kind: contractor.KindGroup, Name: "ext-base"}, "TheGroupsID": {Name: "3f0c"}, "TheVendor": {Vendor: "acme"},
	} {
		q.At = rerouted
		if got := o.access(q); len(got) != 1 {
			t.Errorf("asked for by %s: %+v", name, got)
		}
	}
	for name, q := range map[string]db.AccessQuery{
		"AnotherPerson": {Person: "x"}, "AnotherGroup": {Name: "ext-finance"}, "AnotherVendor": {Vendor: "x"}, "APackage": {Kind: contractor.KindAccessPackage},
	} {
		q.At = rerouted
		if got := o.access(q); len(got) != 0 {
			t.Errorf("asked for by %s: %+v", name, got)
		}
	}
}

func testSponsorsAreRemembered(t *testing.T, open opener) {
	o := newOffice(t, open)
	o.person.GuestID, o.person.Phase, o.person.SponsorID = "g1", contractor.PhaseOpen, "sponsor-1"
	h := o.holding()
	o.record(contractor.Change{Holdings: []*contractor.Holding{h}}, o.grant("grant.added", h))
	first := time.Now()
	<-time.After(3 * time.Millisecond) // the history has milliseconds
	o.person.SponsorID = "sponsor-2"
	o.record(contractor.Change{})
	for at, want := range map[time.Time]string{first.Add(time.Millisecond): "sponsor-1", time.Now().Add(time.Millisecond): "sponsor-2"} {
		if got := o.access(db.AccessQuery{At: at}); len(got) != 1 || got[0].Sponsor != want {
			t.Errorf("want %s: %+v", want, got)
		}
	}
}

func testReports(t *testing.T, open opener) {
	o := newOffice(t, open)
	now := time.Now().UTC().Truncate(time.Microsecond)
	standing := func(status contractor.Status, end time.Time, why string) contractor.Change {
		return contractor.Change{Standings: map[string]contractor.Standing{o.e.ID: {Status: status, EffectiveEnd: end, Reason: why}}}
	}
	o.person.GuestID, o.person.Phase, o.person.InvitedAt, o.person.GuestState = "g1", contractor.PhaseOpen, now, "PendingAcceptance"
	h := o.holding()
	h.End = now.Add(10 * 24 * time.Hour)
	c := standing(contractor.StatusActive, h.End, "")
	c.Holdings = []*contractor.Holding{h}
	o.record(c, o.grant("grant.added", h))

	t.Run("WhatEndsWithinTheTimeIsListed", func(t *testing.T) {
		got, err := o.s.Ending(t.Context(), now, now.Add(11*24*time.Hour))
		if err != nil || len(got) != 1 || got[0].Name != "Wanda Weiss" || !cmp.Equal(got[0].Holds, []string{"ext-base"}) || !got[0].EndsAt.Equal(h.End) {
			t.Errorf("%+v, %v", got, err)
		}
		if got, err := o.s.Ending(t.Context(), now, now.Add(9*24*time.Hour)); err != nil || len(got) != 0 {
			t.Errorf("%+v, %v", got, err)
		}
	})
	t.Run("AGuestWithoutASponsorIsListed", func(t *testing.T) {
		got, err := o.s.WithoutSponsor(t.Context())
		if err != nil || len(got) != 1 || got[0].Guest != "g1" || got[0].SponsorFor != "boss@corp.example" || got[0].Vendor != "acme" {
			t.Errorf("%+v, %v", got, err)
		}
		o.person.SponsorID = "s1"
		o.record(contractor.Change{})
		if got, err := o.s.WithoutSponsor(t.Context()); err != nil || len(got) != 0 {
			t.Errorf("%+v, %v", got, err)
		}
	})
	t.Run("WithoutSignInsWhoDidNotAcceptIsListed", func(t *testing.T) {
		got, from, err := o.s.NeverSignedIn(t.Context())
		if err != nil || len(got) != 1 || !from.IsZero() {
			t.Errorf("%+v, %s, %v", got, from, err)
		}
	})
	t.Run("WithSignInsWhoHasNoneThatWorkedIsListed", func(t *testing.T) {
		signIn := func(id string, ok bool) {
			t.Helper()
			_, err := o.s.RecordActivity(t.Context(), contractor.ActivityBatch{
				Log: contractor.LogSignIns, Mark: &contractor.ActivityMark{Through: now},
				Entries: []contractor.Activity{{Log: contractor.LogSignIns, ID: id, At: now, Guest: "g1", Person: o.person.ID, OK: ok}},
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		signIn("a", false)
		got, from, err := o.s.NeverSignedIn(t.Context())
		if err != nil || len(got) != 1 || from.IsZero() {
			t.Errorf("%+v, %s, %v", got, from, err)
		}
		signIn("b", true)
		if got, _, err := o.s.NeverSignedIn(t.Context()); err != nil || len(got) != 0 {
			t.Errorf("%+v, %v", got, err)
		}
	})
	t.Run("NothingIsOverdueInTime", func(t *testing.T) {
		if got, err := o.s.Overdue(t.Context(), now); err != nil || len(got) != 0 {
			t.Errorf("%+v, %v", got, err)
		}
	})
	t.Run("AGrantAndASignInThatOutlivedTheEndAreOverdue", func(t *testing.T) {
		got, err := o.s.Overdue(t.Context(), now.Add(20*24*time.Hour))
		if err != nil || len(got) != 2 || got[0].What != "ext-base" || got[1].What != "sign-in" || !got[1].EndedAt.Equal(h.End) {
			t.Errorf("%+v, %v", got, err)
		}
	})
	t.Run("AClosedGuestThatHoldsNothingIsNotOverdue", func(t *testing.T) {
		h.State, h.EndedAt = contractor.HoldingEnded, now
		o.person.Phase, o.person.ClosedAt = contractor.PhaseClosed, now
		o.record(contractor.Change{Holdings: []*contractor.Holding{h}})
		if got, err := o.s.Overdue(t.Context(), now.Add(20*24*time.Hour)); err != nil || len(got) != 0 {
			t.Errorf("%+v, %v", got, err)
		}
	})
	t.Run("WhoIsHeldIsListedWithSinceWhen", func(t *testing.T) {
		if got, err := o.s.Held(t.Context()); err != nil || len(got) != 0 {
			t.Errorf("%+v, %v", got, err)
		}
		held := event("person.held")
		held.Person, o.person.Held = o.person.ID, "no sponsor was found"
		o.record(standing(contractor.StatusHeld, h.End, "no sponsor was found"), held)
		got, err := o.s.Held(t.Context())
		if err != nil || len(got) != 1 || got[0].Why != "no sponsor was found" || got[0].Since.IsZero() {
			t.Errorf("%+v, %v", got, err)
		}
		o.person.Held = "" // the engagement alone
		o.record(contractor.Change{})
		if got, err = o.s.Held(t.Context()); err != nil || len(got) != 1 || got[0].Engagement != o.e.ID || got[0].Why != "no sponsor was found" {
			t.Errorf("%+v, %v", got, err)
		}
	})
}
