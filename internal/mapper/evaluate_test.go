package mapper_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scimbridge/internal/contractor"
	"scimbridge/internal/mapper"
)

const (
	idBase    = "3f0c6f0e-1d7b-4b1f-9a57-0b1f0a3a9a01"
	idFinance = "9c3f61c2-5a0f-4c3e-8a55-6d1f5c7f2b02"
	idDev     = "5b7a7c88-0a4f-4b52-b1ad-33a1c9e7aa03"
	idPolicy  = "7e1d2f60-64a1-4c8e-9f0b-8d2c6b5e4d04"
	idBackup  = "8d1c2b3a-4e5f-4a6b-8c7d-9e0f1a2b3c05"
)

// mapping makes a file of the usual catalog and vendors, the given defaults (YAML flow) and the given rest.
func mapping(tb testing.TB, defaults, rest string) *mapper.Mapping {
	tb.Helper()
	return mustParse(tb, fmt.Sprintf(`version: 1
defaults: %s
catalog:
  groups:
    base: {id: %s}
    finance: {id: %s}
    backup: {id: %s, expiry: bridge}
  access_packages:
    dev: {id: %s, policy: %s}
vendors:
  acme: {email_domains: [acme.example]}
  globex: {email_domains: [globex.example], dates: {timezone: America/New_York, layouts: ["01/02/2006"]}}
  lab: {email_domains: [lab.example], supplier: Lab Inc, missing_end: cap, max_duration: 30d}
`, defaults, idBase, idFinance, idBackup, idDev, idPolicy)+rest)
}

const everyone = `rules:
  - name: everyone
    grant: {groups: [base]}
`

func at(tb testing.TB, s string) time.Time {
	tb.Helper()
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

func engagement(vendor string, r contractor.Record) *contractor.Engagement {
	return &contractor.Engagement{ID: "e1", Vendor: vendor, Record: r, Created: time.Date(2026, 1, 1, 9, 0, 0, 0, time.UTC)}
}

// TestGrantsEnd holds the arithmetic of ends: zones, summer time, leap days, caps, limits and stop dates.
func TestGrantsEnd(t *testing.T) {
	const limited = everyone + `  - name: limit
    max_duration: %s
`
	tests := []struct {
		name     string
		defaults string
		rules    string
		vendor   string
		record   contractor.Record
		start    string
		end      string
	}{
		{"the last second of the day in the file's zone", "{timezone: Europe/Berlin}", everyone, "acme",
			contractor.Record{StartDate: "2026-01-15", EndDate: "2026-06-30"}, "2026-01-14T23:00:00Z", "2026-06-30T21:59:59Z"},
		{"the vendor's zone and layout", "{timezone: Europe/Berlin}", everyone, "globex",
			contractor.Record{StartDate: "01/15/2026", EndDate: "06/30/2026"}, "2026-01-15T05:00:00Z", "2026-07-01T03:59:59Z"},
		{"the record's zone before the vendor's", "{timezone: Europe/Berlin}", everyone, "globex",
			contractor.Record{StartDate: "2026-01-15", EndDate: "2026-06-30", TimeZone: "Asia/Tokyo"}, "2026-01-14T15:00:00Z", "2026-06-30T14:59:59Z"},
		{"an end in the night that clocks go forward", "{timezone: Europe/Berlin}", everyone, "acme",
			contractor.Record{StartDate: "2026-01-15", EndDate: "2026-03-29"}, "2026-01-14T23:00:00Z", "2026-03-29T21:59:59Z"},
		{"an end in the night that clocks go back", "{timezone: Europe/Berlin}", everyone, "acme",
			contractor.Record{StartDate: "2026-01-15", EndDate: "2026-10-25"}, "2026-01-14T23:00:00Z", "2026-10-25T22:59:59Z"},
		{"days keep the wall clock over summer time", "{timezone: Europe/Berlin}", fmt.Sprintf(limited, "90d"), "acme",
			contractor.Record{StartDate: "2026-02-01", EndDate: "2026-12-31"}, "2026-01-31T23:00:00Z", "2026-05-01T22:00:00Z"},
		{"hours do not", "{timezone: Europe/Berlin}", fmt.Sprintf(limited, "2160h"), "acme",
			contractor.Record{StartDate: "2026-02-01", EndDate: "2026-12-31"}, "2026-01-31T23:00:00Z", "2026-05-01T23:00:00Z"},
		{"a leap day counts", "{timezone: UTC}", fmt.Sprintf(limited, "30d"), "acme",
			contractor.Record{StartDate: "2028-02-15", EndDate: "2028-12-31"}, "2028-02-15T00:00:00Z", "2028-03-16T00:00:00Z"},
		{"ends on a leap day", "{timezone: UTC}", everyone, "acme",
			contractor.Record{StartDate: "2028-02-01", EndDate: "2028-02-29"}, "2028-02-01T00:00:00Z", "2028-02-29T23:59:59Z"},
		{"the defaults' longest duration", "{timezone: UTC, max_duration: 10d}", everyone, "acme",
			contractor.Record{StartDate: "2026-02-01", EndDate: "2026-12-31"}, "2026-02-01T00:00:00Z", "2026-02-11T00:00:00Z"},
		{"the vendor's longest duration before the defaults'", "{timezone: UTC, max_duration: 10d}", everyone, "lab",
			contractor.Record{StartDate: "2026-02-01", EndDate: "2026-12-31"}, "2026-02-01T00:00:00Z", "2026-03-03T00:00:00Z"},
		{"no end, capped", "{timezone: UTC}", everyone, "lab",
			contractor.Record{StartDate: "2026-02-01"}, "2026-02-01T00:00:00Z", "2026-03-03T00:00:00Z"},
		{"a rule's limit longer than the contract", "{timezone: UTC}", fmt.Sprintf(limited, "90d"), "acme",
			contractor.Record{StartDate: "2026-02-01", EndDate: "2026-02-10"}, "2026-02-01T00:00:00Z", "2026-02-10T23:59:59Z"},
		{"a stop date is the last second of its day in the file's zone", "{timezone: Europe/Berlin}", everyone + "  - {name: stop, until: 2026-03-31}\n", "acme",
			contractor.Record{StartDate: "2026-02-01", EndDate: "2026-12-31"}, "2026-01-31T23:00:00Z", "2026-03-31T21:59:59Z"},
		{"a stop instant", "{timezone: Europe/Berlin}", everyone + "  - {name: stop, until: \"2026-03-31T12:00:00+02:00\"}\n", "acme",
			contractor.Record{StartDate: "2026-02-01", EndDate: "2026-12-31"}, "2026-01-31T23:00:00Z", "2026-03-31T10:00:00Z"},
		{"a limit before a stop date of the same rule", "{timezone: UTC}", everyone + "  - {name: stop, until: 2026-03-31, max_duration: 3d}\n", "acme",
			contractor.Record{StartDate: "2026-02-01", EndDate: "2026-12-31"}, "2026-02-01T00:00:00Z", "2026-02-04T00:00:00Z"},
		{"the shorter of two limits", "{timezone: UTC}", fmt.Sprintf(limited, "90d") + "  - {name: shorter, when: c.country == \"CN\", max_duration: 5d}\n", "acme",
			contractor.Record{StartDate: "2026-02-01", EndDate: "2026-12-31", Country: "CN"}, "2026-02-01T00:00:00Z", "2026-02-06T00:00:00Z"},
		{"a limit that does not match", "{timezone: UTC}", everyone + "  - {name: shorter, when: c.country == \"CN\", max_duration: 5d}\n", "acme",
			contractor.Record{StartDate: "2026-02-01", EndDate: "2026-02-28", Country: "DE"}, "2026-02-01T00:00:00Z", "2026-02-28T23:59:59Z"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := mapping(t, tt.defaults, tt.rules)
			ev := m.Evaluate(engagement(tt.vendor, tt.record), at(t, tt.start))
			if len(ev.Grants) != 1 {
				t.Fatalf("%d grants, status %s: %s", len(ev.Grants), ev.Status, ev.Reason)
			}
			g := ev.Grants[0]
			if !g.Start.Equal(at(t, tt.start)) || !g.End.Equal(at(t, tt.end)) {
				t.Errorf("grant from %s to %s, want %s to %s", g.Start, g.End, tt.start, tt.end)
			}
			if g.Start.Location() != time.UTC || g.End.Location() != time.UTC {
				t.Error("the grant's times are not in UTC")
			}
		})
	}
}

// TestRulesAddUp holds union within an engagement, deny, limits and whom a grant is put down to.
func TestRulesAddUp(t *testing.T) {
	rules := `rules:
  - name: everyone
    grant: {groups: [base]}
  - name: finance
    when: c.department == "Finance"
    grant: {groups: [finance, base], access_packages: [dev]}
  - name: short
    when: c.site == "lab"
    grant: {groups: [finance]}
    max_duration: 10d
  - name: no-rehire
    when: c.rehireEligible == false
    deny: not eligible for rehire
`
	m := mapping(t, "{timezone: UTC}", rules)
	no, yes := false, true
	type got struct{ Name, Rule, Day string }
	tests := []struct {
		name   string
		record contractor.Record
		want   []got
		held   string
	}{
		{"one rule", contractor.Record{}, []got{{"base", "everyone", "06-30"}}, ""},
		{"two rules grant the same group once, put down to the first", contractor.Record{Department: "Finance"},
			[]got{{"base", "everyone", "06-30"}, {"finance", "finance", "06-30"}, {"dev", "finance", "06-30"}}, ""},
		{"the shortest limit wins and is put down to its rule", contractor.Record{Department: "Finance", Site: "lab"},
			[]got{{"base", "everyone", "06-30"}, {"finance", "short", "01-11"}, {"dev", "finance", "06-30"}}, ""},
		{"deny wins", contractor.Record{Department: "Finance", RehireEligible: &no}, nil, "not eligible for rehire"},
		{"said to be eligible", contractor.Record{RehireEligible: &yes}, []got{{"base", "everyone", "06-30"}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.record.StartDate, tt.record.EndDate = "2026-01-01", "2026-06-30"
			ev := m.Evaluate(engagement("acme", tt.record), at(t, "2026-01-05T00:00:00Z"))
			var grants []got
			for _, g := range ev.Grants {
				grants = append(grants, got{g.Entitlement.Name, g.Rule, g.End.Format("01-02")})
				if g.Line != m.RuleLine(g.Rule) || g.Engagement != "e1" || g.Vendor != "acme" {
					t.Errorf("grant %+v names the wrong line, engagement or vendor", g)
				}
			}
			if diff := cmp.Diff(tt.want, grants); diff != "" {
				t.Errorf("grants differ (-want +got):\n%s", diff)
			}
			if held := ev.Status == contractor.StatusHeld; held != (tt.held != "") || !strings.Contains(ev.Reason, tt.held) {
				t.Errorf("status %s: %s", ev.Status, ev.Reason)
			}
		})
	}
}

// TestUnsureMeansNoAccess holds product rule 10: each doubt holds this engagement, gives nothing, and says why without personal
// data.
func TestUnsureMeansNoAccess(t *testing.T) {
	const fine = "{timezone: UTC}"
	tests := []struct {
		name     string
		defaults string
		rest     string
		vendor   string
		record   contractor.Record
		reason   string
	}{
		{"no end date", fine, everyone, "acme", contractor.Record{StartDate: "2026-01-01"}, "no end date"},
		{"open ended", fine, everyone, "acme", contractor.Record{StartDate: "2026-01-01", EndDate: "9999-12-31"}, "no end date"},
		{"a date that cannot be read", fine, everyone, "acme", contractor.Record{StartDate: "2026-01-01", EndDate: "31.12.2026"}, "is not a date"},
		{"a date that is a novel", fine, everyone, "acme", contractor.Record{StartDate: "2026-01-01", EndDate: strings.Repeat("x", 5000) + "secret"}, "endDate"},
		{"an unknown zone", fine, everyone, "acme", contractor.Record{StartDate: "2026-01-01", EndDate: "2026-12-31", TimeZone: "Mars/Base"}, "unknown time zone"},
		{"an end before the start", fine, everyone, "acme", contractor.Record{StartDate: "2026-06-01", EndDate: "2026-05-01"}, "does not lie after the start"},
		{"an end at the start", fine, everyone, "acme", contractor.Record{StartDate: "2026-06-01T00:00:00Z", EndDate: "2026-06-01T00:00:00Z"}, "does not lie after the start"},
		{"an unknown vendor", fine, everyone, "nobody", contractor.Record{StartDate: "2026-01-01", EndDate: "2026-12-31"}, `vendor "nobody" is not in the mapping`},
		{"no rule matches", fine, "rules:\n  - name: cn\n    when: c.country == \"CN\"\n    grant: {groups: [base]}\n", "acme",
			contractor.Record{StartDate: "2026-01-01", EndDate: "2026-12-31"}, "no rule grants"},
		{"only a limit matches", fine, "rules:\n  - name: cn\n    when: c.country == \"CN\"\n    grant: {groups: [base]}\n  - {name: l, max_duration: 5d}\n", "acme",
			contractor.Record{StartDate: "2026-01-01", EndDate: "2026-12-31"}, "no rule grants"},
		{"the stop date lies before the start", fine, "rules:\n  - name: old\n    grant: {groups: [base]}\n    until: 2025-12-31\n", "acme",
			contractor.Record{StartDate: "2026-01-01", EndDate: "2026-12-31"}, "no rule grants"},
		{"an expression fails", fine, everyone + "  - {name: code, when: int(c.jobCode) > 5, max_duration: 5d}\n", "acme",
			contractor.Record{StartDate: "2026-01-01", EndDate: "2026-12-31", JobCode: "secret"}, `rule "code" (line`},
		{"a property fails", fine, everyone + "guest: {costCenter: \"${int(c.jobCode)}\"}\n", "acme",
			contractor.Record{StartDate: "2026-01-01", EndDate: "2026-12-31", JobCode: "secret"}, "guest.costCenter could not be worked out"},
		{"a property is too long", fine, everyone + "guest: {employeeId: \"${c.workerId}\"}\n", "acme",
			contractor.Record{StartDate: "2026-01-01", EndDate: "2026-12-31", WorkerID: "secret-12345678901234567"}, "employeeId has 24 characters; Entra allows 16"},
		{"a country that is none", fine, everyone + "guest: {usageLocation: \"${c.country}\"}\n", "acme",
			contractor.Record{StartDate: "2026-01-01", EndDate: "2026-12-31", Country: "secret"}, "usageLocation must be a country code"},
		{"no sponsor", "{timezone: UTC, sponsor: {required: true, from: [c.sponsorEmail]}}", everyone, "acme",
			contractor.Record{StartDate: "2026-01-01", EndDate: "2026-12-31"}, "a sponsor is required"},
		{"no sponsor, required by a rule", fine, everyone + "  - {name: s, sponsor: {required: true}}\n", "acme",
			contractor.Record{StartDate: "2026-01-01", EndDate: "2026-12-31"}, "a sponsor is required"},
		{"a sponsor fails", "{timezone: UTC, sponsor: {from: [string(int(c.jobCode))]}}", everyone, "acme",
			contractor.Record{StartDate: "2026-01-01", EndDate: "2026-12-31", JobCode: "secret"}, "the sponsor of defaults.sponsor.from could not be worked out"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := mapping(t, tt.defaults, tt.rest)
			now := at(t, "2026-02-01T00:00:00Z")
			ev := m.Evaluate(engagement(tt.vendor, tt.record), now)
			if ev.Status != contractor.StatusHeld || !strings.Contains(ev.Reason, tt.reason) {
				t.Errorf("status %s: %q, want held: %q", ev.Status, ev.Reason, tt.reason)
			}
			if len(ev.Grants) > 0 || len(ev.Attributes) > 0 || len(ev.Sponsors) > 0 {
				t.Errorf("a held engagement gives something: %+v", ev)
			}
			if len(ev.Reason) > 500 {
				t.Errorf("the reason has %d bytes", len(ev.Reason))
			}
			if strings.Contains(ev.Reason, "secret") {
				t.Errorf("the reason holds a value of the record: %s", ev.Reason)
			}
			// Nobody else is affected, not even another engagement of the same person.
			held := engagement(tt.vendor, tt.record)
			other := engagement("acme", contractor.Record{StartDate: "2026-01-01", EndDate: "2026-03-01", Country: "CN", SponsorEmail: "b@corp.example", JobCode: "1"})
			other.ID = "e2"
			d := mapping(t, fine, everyone).Desired(&contractor.Person{Engagements: []contractor.Engagement{*other}}, now)
			both := m.Desired(&contractor.Person{Engagements: []contractor.Engagement{*held, *other}}, now)
			alone := m.Desired(&contractor.Person{Engagements: []contractor.Engagement{*other}}, now)
			if diff := cmp.Diff(alone.Grants, both.Grants); diff != "" || both.Open != alone.Open || !d.Open {
				t.Errorf("the held engagement changed what the other gives (-alone +both):\n%s", diff)
			}
		})
	}
}

// TestStatusFollowsTheDates walks one engagement through its life.
func TestStatusFollowsTheDates(t *testing.T) {
	m := mapping(t, "{timezone: UTC, activate_early: 2d, notify: {before_end: [7d, 14d]}}", everyone)
	e := engagement("acme", contractor.Record{StartDate: "2026-03-01", EndDate: "2026-06-30"})
	for _, tt := range []struct {
		at     string
		status contractor.Status
	}{
		{"2026-01-01T00:00:00Z", contractor.StatusScheduled},
		{"2026-02-28T23:59:59Z", contractor.StatusScheduled},
		{"2026-03-01T00:00:00Z", contractor.StatusActive},
		{"2026-06-16T23:59:58Z", contractor.StatusActive},
		{"2026-06-16T23:59:59Z", contractor.StatusExpiring},
		{"2026-06-30T23:59:58Z", contractor.StatusExpiring},
		{"2026-06-30T23:59:59Z", contractor.StatusOffboarding},
		{"2030-01-01T00:00:00Z", contractor.StatusOffboarding},
	} {
		ev := m.Evaluate(e, at(t, tt.at))
		if ev.Status != tt.status {
			t.Errorf("at %s the status is %s, want %s", tt.at, ev.Status, tt.status)
		}
		if tt.status == contractor.StatusOffboarding {
			if len(ev.Grants) > 0 {
				t.Errorf("at %s an ended engagement grants %v", tt.at, ev.Grants)
			}
			continue
		}
		if !ev.InviteAt.Equal(at(t, "2026-02-27T00:00:00Z")) {
			t.Errorf("invited at %s", ev.InviteAt)
		}
		if len(ev.Grants) != 1 || !ev.Grants[0].Start.Equal(at(t, "2026-03-01T00:00:00Z")) {
			t.Errorf("at %s the grants are %v", tt.at, ev.Grants)
		}
	}
}

// TestEndedByTheVendor holds that active:false and DELETE end an engagement whatever else is wrong with it.
func TestEndedByTheVendor(t *testing.T) {
	m := mapping(t, "{timezone: UTC}", everyone)
	ended := at(t, "2026-02-01T12:00:00Z")
	for _, tt := range []struct {
		name   string
		vendor string
		record contractor.Record
	}{
		{"with an end to come", "acme", contractor.Record{StartDate: "2026-01-01", EndDate: "2026-12-31"}},
		{"without an end", "acme", contractor.Record{StartDate: "2026-01-01"}},
		{"with a date that cannot be read", "acme", contractor.Record{StartDate: "soon", EndDate: "late"}},
		{"of an unknown vendor", "nobody", contractor.Record{StartDate: "2026-01-01", EndDate: "2026-12-31"}},
		{"before its start", "acme", contractor.Record{StartDate: "2026-05-01", EndDate: "2026-12-31"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := engagement(tt.vendor, tt.record)
			e.EndedAt, e.Deleted = ended, true
			ev := m.Evaluate(e, ended)
			if ev.Status != contractor.StatusOffboarding || !ev.Period.End.Equal(ended) {
				t.Errorf("status %s (%s), end %s", ev.Status, ev.Reason, ev.Period.End)
			}
			d := m.Desired(&contractor.Person{GuestID: "g", Phase: contractor.PhaseOpen, Engagements: []contractor.Engagement{*e}}, ended)
			if d.Open || !d.Guest || len(d.Grants) > 0 || !d.CloseAt.Equal(ended) || !d.DeleteAt.Equal(ended.AddDate(0, 0, 30)) {
				t.Errorf("desired is %+v", d)
			}
		})
	}
}

// TestTraceSaysWhyARuleMissed holds what try and explain show.
func TestTraceSaysWhyARuleMissed(t *testing.T) {
	m := mapping(t, "{timezone: UTC}", `lists:
  partners: [ACME, Kforce]
conditions:
  german: c.country == "DE" or c.country == "AT"
rules:
  - name: everyone
    grant: {groups: [base]}
  - name: finance
    when: german and c.department == "Finance" and c.supplier in partners
    grant: {groups: [finance]}
  - name: secret
    when: c.securityId == "x"
    grant: {groups: [backup]}
  - name: rehire
    when: c.rehireEligible == true
    grant: {groups: [backup]}
  - name: long
    when: c.end - c.start > days(300)
    grant: {groups: [backup]}
  - name: no-china
    when: c.country == "CN"
    deny: not there
`)
	record := contractor.Record{StartDate: "2026-01-01", EndDate: "2026-06-30", Country: "DE", Department: "IT", SecurityID: "12345"}
	want := []contractor.RuleResult{
		{Rule: "everyone", Outcome: mapper.Matched},
		{Rule: "finance", Outcome: mapper.Missed, Detail: `c.department == "Finance" is false: c.department is "IT"`},
		{Rule: "secret", Outcome: mapper.Missed, Detail: `c.securityId == "x" is false: c.securityId was sent (not shown)`},
		{Rule: "rehire", Outcome: mapper.Missed, Detail: "c.rehireEligible == true is false: c.rehireEligible is not known"},
		{Rule: "long", Outcome: mapper.Missed, Detail: "c.end - c.start > days(300) is false: c.end is 2026-06-30T23:59:59Z, c.start is 2026-01-01T00:00:00Z"},
		{Rule: "no-china", Outcome: mapper.Missed, Detail: `c.country == "CN" is false: c.country is "DE"`},
	}
	for i := range want {
		want[i].Line = m.RuleLine(want[i].Rule)
	}
	now := at(t, "2026-02-01T00:00:00Z")
	if diff := cmp.Diff(want, m.Evaluate(engagement("acme", record), now).Rules); diff != "" {
		t.Errorf("rules differ (-want +got):\n%s", diff)
	}
	record.Country = "CN"
	rules := m.Evaluate(engagement("acme", record), now).Rules
	if got := rules[5]; got.Outcome != mapper.Denied || got.Detail != "not there" {
		t.Errorf("the denying rule says %+v", got)
	}
	if got := rules[1].Detail; got != `german is false: c.country is "CN"` {
		t.Errorf("a named condition is explained by %q", got)
	}
	record.Country = "DE"
	d := m.Desired(&contractor.Person{Engagements: []contractor.Engagement{*engagement("acme", record)}}, now)
	if len(d.Evaluations[0].Rules) != 1 || d.Evaluations[0].Rules[0].Rule != "everyone" {
		t.Errorf("Desired lists rules that missed: %+v", d.Evaluations[0].Rules)
	}
}

// TestAttributesAndSponsors holds what is put on the guest.
func TestAttributesAndSponsors(t *testing.T) {
	m := mapping(t, `{timezone: UTC, sponsor: {from: [c.sponsorEmail, c.managerEmail], fallback: "group:backup"}}`, `guest:
  displayName: ${c.givenName} ${c.familyName} (${c.supplier})
  jobTitle: ${c.title}
  usageLocation: ${c.country}
  costCenter: costs $${x} ${len(c.title)}
rules:
  - name: everyone
    grant: {groups: [base]}
  - name: lab
    when: c.site == "lab"
    sponsor: {from: ['"lab@corp.example"', c.sponsorEmail]}
`)
	ev := m.Evaluate(engagement("lab", contractor.Record{
		StartDate: "2026-01-01", GivenName: " Ada\x00\n", Site: "lab", SponsorEmail: "eve@corp.example", ManagerEmail: "eve@corp.example",
	}), at(t, "2026-01-05T00:00:00Z"))
	wantAttributes := map[string]string{"displayName": "Ada (Lab Inc)", "jobTitle": "", "costCenter": "costs ${x} 0"}
	if diff := cmp.Diff(wantAttributes, ev.Attributes); diff != "" {
		t.Errorf("attributes differ (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"lab@corp.example", "eve@corp.example", "group:" + idBackup}, ev.Sponsors); diff != "" {
		t.Errorf("sponsors differ (-want +got):\n%s", diff)
	}
	if m.SponsorFallback() != "group:"+idBackup {
		t.Errorf("the fallback is %s", m.SponsorFallback())
	}
	for _, e := range m.Catalog() {
		if e.Name == "backup" {
			t.Error("a group that only answers for sponsors is in the catalog of what can be granted")
		}
	}
}
