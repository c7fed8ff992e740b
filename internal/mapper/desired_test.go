package mapper_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scimbridge/internal/contractor"
)

func person(engagements ...*contractor.Engagement) *contractor.Person {
	p := &contractor.Person{ID: "p1", Email: "ada@acme.example", GuestID: "guest", Phase: contractor.PhaseOpen}
	for _, e := range engagements {
		p.Engagements = append(p.Engagements, *e)
	}
	return p
}

func named(id, vendor string, r contractor.Record) *contractor.Engagement {
	e := engagement(vendor, r)
	e.ID = id
	return e
}

// TestDoor holds Guest, Open, CloseAt, DeleteAt and Next over the life of one person with two contracts and a gap between them.
func TestDoor(t *testing.T) {
	m := mapping(t, "{timezone: UTC, activate_early: 2d, notify: {before_end: [7d]}, offboarding: {delete_after: 30d}}", everyone+`  - name: finance
    when: c.department == "Finance"
    grant: {groups: [finance]}
    max_duration: 10d
`)
	p := person(
		named("first", "acme", contractor.Record{StartDate: "2026-01-10", EndDate: "2026-02-28", Department: "Finance"}),
		named("second", "globex", contractor.Record{StartDate: "2026-06-10", EndDate: "2026-06-20", TimeZone: "UTC"}),
	)
	const firstEnd, secondEnd = "2026-02-28T23:59:59Z", "2026-06-20T23:59:59Z"
	tests := []struct {
		at          string
		guest, open bool
		closeAt     string
		deleteAt    string
		grants      int
		next        string
	}{
		{"2026-01-01T00:00:00Z", true, false, "", "", 0, "2026-01-08T00:00:00Z"},               // to come: an old guest stays
		{"2026-01-08T00:00:00Z", true, true, firstEnd, "", 0, "2026-01-10T00:00:00Z"},          // invited early
		{"2026-01-10T00:00:00Z", true, true, firstEnd, "", 2, "2026-01-20T00:00:00Z"},          // begun
		{"2026-01-20T00:00:00Z", true, true, firstEnd, "", 1, "2026-02-21T23:59:59Z"},          // the limit of finance
		{"2026-02-21T23:59:59Z", true, true, firstEnd, "", 1, firstEnd},                        // expiring
		{firstEnd, true, false, firstEnd, "", 0, "2026-06-08T00:00:00Z"},                       // ended; another is to come, so nothing is deleted
		{"2026-05-01T00:00:00Z", true, false, firstEnd, "", 0, "2026-06-08T00:00:00Z"},         // long after the retention
		{"2026-06-08T00:00:00Z", true, true, secondEnd, "", 0, "2026-06-10T00:00:00Z"},         // invited again
		{"2026-06-10T00:00:00Z", true, true, secondEnd, "", 1, "2026-06-13T23:59:59Z"},         // begun
		{"2026-06-13T23:59:59Z", true, true, secondEnd, "", 1, secondEnd},                      // expiring
		{secondEnd, true, false, secondEnd, "2026-07-20T23:59:59Z", 0, "2026-07-20T23:59:59Z"}, // over
		{"2026-07-20T23:59:59Z", false, false, secondEnd, "2026-07-20T23:59:59Z", 0, ""},       // to be deleted
		{"2030-01-01T00:00:00Z", false, false, secondEnd, "2026-07-20T23:59:59Z", 0, ""},       // still
	}
	instant := func(s string) time.Time {
		if s == "" {
			return time.Time{}
		}
		return at(t, s)
	}
	for i, tt := range tests {
		d := m.Desired(p, at(t, tt.at))
		if d.Guest != tt.guest || d.Open != tt.open || len(d.Grants) != tt.grants {
			t.Errorf("at %s: guest %v open %v grants %d, want %v %v %d", tt.at, d.Guest, d.Open, len(d.Grants), tt.guest, tt.open, tt.grants)
		}
		if !d.CloseAt.Equal(instant(tt.closeAt)) || !d.DeleteAt.Equal(instant(tt.deleteAt)) || !d.Next.Equal(instant(tt.next)) {
			t.Errorf("at %s: close %s delete %s next %s, want %s %s %s", tt.at, d.CloseAt, d.DeleteAt, d.Next, tt.closeAt, tt.deleteAt, tt.next)
		}
		if i > 0 && i < len(tests)-3 && tests[i-1].at != firstEnd && tests[i-1].next != tt.at && tt.at != "2026-05-01T00:00:00Z" {
			t.Errorf("the table skips from %s to %s, past %s", tests[i-1].at, tt.at, tests[i-1].next)
		}
	}
	p.GuestID, p.Phase = "", contractor.PhaseNew
	for _, s := range []string{"2026-01-01T00:00:00Z", firstEnd, secondEnd} {
		if d := m.Desired(p, at(t, s)); d.Guest {
			t.Errorf("at %s a guest is wanted that does not exist and is not to be opened", s)
		}
	}
}

// TestUnionOfEngagements holds product rule 2.
func TestUnionOfEngagements(t *testing.T) {
	m := mapping(t, "{timezone: UTC}", everyone+`  - name: finance
    when: c.department == "Finance"
    grant: {groups: [finance]}
  - name: dev
    when: c.department == "IT"
    grant: {access_packages: [dev]}
`)
	short := named("short", "acme", contractor.Record{StartDate: "2026-01-01", EndDate: "2026-03-31", Department: "Finance"})
	long := named("long", "globex", contractor.Record{StartDate: "2026-02-01", EndDate: "2026-06-30", Department: "IT", TimeZone: "UTC"})
	later := named("later", "lab", contractor.Record{StartDate: "2026-09-01", EndDate: "2026-09-20", Department: "IT"})
	testUser := named("test", "acme", contractor.Record{StartDate: "2026-01-01", EndDate: "2027-03-31", Department: "IT"})
	testUser.Test = true
	held := named("held", "acme", contractor.Record{StartDate: "2026-01-01"})
	p := person(short, long, later, testUser, held)
	type got struct{ Name, Engagement, Vendor, Day string }
	for _, tt := range []struct {
		at      string
		want    []got
		closeAt string
	}{
		{"2026-01-15T00:00:00Z", []got{{"base", "short", "acme", "03-31"}, {"finance", "short", "acme", "03-31"}}, "2026-03-31T23:59:59Z"},
		{"2026-02-15T00:00:00Z", []got{{"base", "long", "globex", "06-30"}, {"finance", "short", "acme", "03-31"}, {"dev", "long", "globex", "06-30"}}, "2026-06-30T23:59:59Z"},
		{"2026-04-15T00:00:00Z", []got{{"base", "long", "globex", "06-30"}, {"dev", "long", "globex", "06-30"}}, "2026-06-30T23:59:59Z"},
		{"2026-07-15T00:00:00Z", nil, "2026-06-30T23:59:59Z"},
		{"2026-09-15T00:00:00Z", []got{{"base", "later", "lab", "09-20"}, {"dev", "later", "lab", "09-20"}}, "2026-09-20T23:59:59Z"},
		{"2026-10-15T00:00:00Z", nil, "2026-09-20T23:59:59Z"},
	} {
		d := m.Desired(p, at(t, tt.at))
		var grants []got
		for _, g := range d.Grants {
			grants = append(grants, got{g.Entitlement.Name, g.Engagement, g.Vendor, g.End.Format("01-02")})
		}
		if diff := cmp.Diff(tt.want, grants); diff != "" {
			t.Errorf("at %s grants differ (-want +got):\n%s", tt.at, diff)
		}
		if !d.CloseAt.Equal(at(t, tt.closeAt)) || d.Open != (len(tt.want) > 0) || !d.DeleteAt.IsZero() {
			t.Errorf("at %s: open %v, close %s, delete %s", tt.at, d.Open, d.CloseAt, d.DeleteAt)
		}
		if len(d.Evaluations) != 4 {
			t.Errorf("%d evaluations; the test user must not be among them", len(d.Evaluations))
		}
	}
}

// TestEqualEndsAreTheOlderEngagements holds whom a grant is put down to that two engagements give until the same second.
func TestEqualEndsAreTheOlderEngagements(t *testing.T) {
	m := mapping(t, "{timezone: UTC}", everyone)
	older := named("older", "acme", contractor.Record{StartDate: "2026-02-01", EndDate: "2026-06-30"})
	newer := named("newer", "acme", contractor.Record{StartDate: "2026-01-01", EndDate: "2026-06-30"})
	if g := m.Desired(person(older, newer), at(t, "2026-03-01T00:00:00Z")).Grants; len(g) != 1 || g[0].Engagement != "older" {
		t.Errorf("grants are %+v", g)
	}
}

// TestRetentionKeepsTheWallClock holds that days after the end are days of the engagement's calendar.
func TestRetentionKeepsTheWallClock(t *testing.T) {
	m := mapping(t, "{timezone: Europe/Berlin, offboarding: {delete_after: 30d}}", everyone)
	p := person(named("e", "acme", contractor.Record{StartDate: "2026-01-01", EndDate: "2026-03-15"}))
	if d := m.Desired(p, at(t, "2026-03-20T00:00:00Z")); !d.DeleteAt.Equal(at(t, "2026-04-14T21:59:59Z")) {
		t.Errorf("deleted at %s", d.DeleteAt)
	}
}

// TestHeldPeople holds that a hold closes the door and deletes nothing, and that a denial, which is certain, does not keep a
// guest for ever.
func TestHeldPeople(t *testing.T) {
	m := mapping(t, "{timezone: UTC, offboarding: {delete_after: 30d}}", everyone+"  - {name: no-rehire, when: c.rehireEligible == false, deny: not eligible}\n")
	no := false
	now := at(t, "2026-06-01T00:00:00Z")
	ended := named("ended", "acme", contractor.Record{StartDate: "2026-01-01", EndDate: "2026-02-28"})
	unsure := named("unsure", "acme", contractor.Record{StartDate: "2026-01-01"})
	denied := named("denied", "acme", contractor.Record{StartDate: "2026-01-01", EndDate: "2026-12-31", RehireEligible: &no})
	deleteAt := at(t, "2026-03-30T23:59:59Z")
	for _, tt := range []struct {
		name     string
		p        *contractor.Person
		guest    bool
		deleteAt time.Time
	}{
		{"only held", person(unsure), true, time.Time{}},
		{"held beside an ended one", person(ended, unsure), true, time.Time{}},
		{"only denied", person(denied), true, time.Time{}},
		{"denied beside an ended one", person(ended, denied), false, deleteAt},
		{"ended", person(ended), false, deleteAt},
		{"nobody", person(), true, time.Time{}},
	} {
		d := m.Desired(tt.p, now)
		if d.Open || len(d.Grants) > 0 || d.Guest != tt.guest || !d.DeleteAt.Equal(tt.deleteAt) {
			t.Errorf("%s: open %v, grants %d, guest %v, delete %s", tt.name, d.Open, len(d.Grants), d.Guest, d.DeleteAt)
		}
	}
	gone := person(ended, unsure)
	gone.Phase = contractor.PhaseGone
	if d := m.Desired(gone, now); d.Guest {
		t.Error("a guest that is gone is wanted again without being opened")
	}
}

// TestLastToEndSpeaks holds whose properties and sponsors the guest gets.
func TestLastToEndSpeaks(t *testing.T) {
	m := mapping(t, `{timezone: UTC, sponsor: {from: [c.sponsorEmail], fallback: "group:backup"}}`, everyone+`  - name: it
    when: c.department == "IT"
    sponsor: {required: true}
guest: {displayName: "${c.displayName}", companyName: "${c.supplier}"}
invitation: {send_mail: true, language: de-DE, redirect_url: "https://portal.example"}
`)
	a := named("a", "acme", contractor.Record{StartDate: "2026-01-01", EndDate: "2026-06-30", Supplier: "A", DisplayName: "Ada A", SponsorEmail: "a@corp.example"})
	b := named("b", "acme", contractor.Record{StartDate: "2026-02-01", EndDate: "2026-06-30", Supplier: "B", SponsorEmail: "b@corp.example", GivenName: "Ada", FamilyName: "Byron"})
	c := named("c", "acme", contractor.Record{StartDate: "2026-02-01", EndDate: "2026-06-30", Supplier: "C", SponsorEmail: "a@corp.example", Department: "IT"})
	for _, tt := range []struct {
		name     string
		p        *contractor.Person
		at       string
		supplier string
		display  string
		sponsors []string
		must     bool
	}{
		{"the only one", person(a), "2026-03-01T00:00:00Z", "A", "Ada A", []string{"a@corp.example"}, false},
		{"the one that began last", person(a, b), "2026-03-01T00:00:00Z", "B", "Ada Byron", []string{"b@corp.example", "a@corp.example"}, false},
		{"in any order", person(b, a), "2026-03-01T00:00:00Z", "B", "Ada Byron", []string{"b@corp.example", "a@corp.example"}, false},
		{"the smaller id of equals", person(c, b, a), "2026-03-01T00:00:00Z", "B", "Ada Byron", []string{"b@corp.example", "a@corp.example"}, true},
		{"not one that has not begun", person(a, b), "2026-01-15T00:00:00Z", "A", "Ada A", []string{"a@corp.example"}, false},
	} {
		d := m.Desired(tt.p, at(t, tt.at))
		if d.Attributes["companyName"] != tt.supplier || d.SponsorMust != tt.must {
			t.Errorf("%s: supplier %q, sponsor required %v", tt.name, d.Attributes["companyName"], d.SponsorMust)
		}
		if diff := cmp.Diff(append(tt.sponsors, "group:"+idBackup), d.Sponsors); diff != "" {
			t.Errorf("%s: sponsors differ (-want +got):\n%s", tt.name, diff)
		}
		want := contractor.Invitation{Email: "ada@acme.example", DisplayName: tt.display, SendMail: true, Language: "de-DE", RedirectURL: "https://portal.example"}
		if diff := cmp.Diff(want, d.Invite); diff != "" {
			t.Errorf("%s: invitation differs (-want +got):\n%s", tt.name, diff)
		}
	}
	if d := m.Desired(person(a), at(t, "2026-08-01T00:00:00Z")); d.Attributes != nil || d.Sponsors != nil || d.SponsorMust {
		t.Errorf("a closed guest gets properties: %+v", d)
	}
}
