package contractor_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"scimbridge/internal/contractor"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := contractor.LoadZone(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func TestParseDate(t *testing.T) {
	berlin, chicago := zone(t, "Europe/Berlin"), zone(t, "America/Chicago")
	us := []string{"01/02/2006"}
	for _, tc := range []struct {
		name    string
		in      string
		layouts []string
		zone    *time.Location
		edge    contractor.Edge
		want    string // RFC 3339 in UTC; "" is the zero time
	}{
		{"BareEndIsLastSecondOfTheDay", "2026-11-30", nil, berlin, contractor.EndOfDay, "2026-11-30T22:59:59Z"},
		{"BareStartIsFirstSecond", "2026-11-30", nil, berlin, contractor.StartOfDay, "2026-11-29T23:00:00Z"},
		{"DayThatLosesAnHour", "2026-03-29", nil, berlin, contractor.EndOfDay, "2026-03-29T21:59:59Z"},
		{"DayThatGainsAnHour", "2026-10-25", nil, berlin, contractor.EndOfDay, "2026-10-25T22:59:59Z"},
		{"LeapDay", "2028-02-29", nil, chicago, contractor.EndOfDay, "2028-03-01T05:59:59Z"},
		{"DeclaredLayout", "10/01/2026", us, chicago, contractor.EndOfDay, "2026-10-02T04:59:59Z"},
		{"MinutesAndOffset", "2020-03-24T00:00-05:00", nil, berlin, contractor.EndOfDay, "2020-03-24T05:00:00Z"},
		{"MillisecondsWithoutZone", "2026-07-01T11:00:00.000", nil, chicago, contractor.EndOfDay, "2026-07-01T16:00:00Z"},
		{"ZuluWithoutSeparators", "20261130225959Z", nil, chicago, contractor.EndOfDay, "2026-11-30T22:59:59Z"},
		{"RFC3339", "2026-11-30T12:00:00+02:00", nil, chicago, contractor.EndOfDay, "2026-11-30T10:00:00Z"},
		{"EmptyIsAbsent", "", nil, berlin, contractor.EndOfDay, ""},
		{"NoneClears", "none", nil, berlin, contractor.EndOfDay, ""},
		{"OpenEnded", "9999-12-31", nil, berlin, contractor.EndOfDay, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := contractor.ParseDate(tc.in, tc.layouts, tc.zone, tc.edge)
			if err != nil {
				t.Fatal(err)
			}
			text := ""
			if !got.IsZero() {
				text = got.Format(time.RFC3339)
			}
			if text != tc.want {
				t.Errorf("ParseDate(%q) = %s, want %s", tc.in, text, tc.want)
			}
		})
	}
	for _, bad := range []string{"10/01/2026", "2026-02-30", "tomorrow", "1726-01-01", "2026-13-01", "20261130"} {
		if got, err := contractor.ParseDate(bad, nil, berlin, contractor.EndOfDay); err == nil {
			t.Errorf("ParseDate(%q) = %s; it must not be guessed", bad, got)
		}
	}
}

func FuzzParseDate(f *testing.F) {
	for _, s := range []string{"2026-11-30", "20261130225959Z", "01/02/2026", "9999-12-31", "", "none", "2020-03-24T00:00-05:00"} {
		f.Add(s)
	}
	berlin := zone(f, "Europe/Berlin")
	f.Fuzz(func(t *testing.T, s string) {
		end, err := contractor.ParseDate(s, []string{"01/02/2006"}, berlin, contractor.EndOfDay)
		if err != nil {
			return
		}
		start, err := contractor.ParseDate(s, []string{"01/02/2006"}, berlin, contractor.StartOfDay)
		if err != nil {
			t.Fatalf("%q is an end but no start: %v", s, err)
		}
		if start.After(end) || end.Sub(start) > 25*time.Hour {
			t.Fatalf("%q starts %s and ends %s", s, start, end)
		}
	})
}

func TestPeriod(t *testing.T) {
	created := time.Date(2026, 1, 10, 12, 0, 0, 0, time.UTC)
	vendor := contractor.Vendor{Name: "v", Zone: zone(t, "Europe/Berlin"), MissingEnd: contractor.MissingEndHold}
	for _, tc := range []struct {
		name             string
		edit             func(*contractor.Engagement, *contractor.Vendor)
		start, end, note string
		noEnd            bool
	}{
		{name: "AsSent", edit: func(e *contractor.Engagement, _ *contractor.Vendor) {
			e.Record.StartDate, e.Record.EndDate = "2026-02-01", "2026-02-28"
		}, start: "2026-01-31T23:00:00Z", end: "2026-02-28T22:59:59Z"},
		{name: "ItsOwnZoneWins", edit: func(e *contractor.Engagement, _ *contractor.Vendor) {
			e.Record.EndDate, e.Record.TimeZone = "2026-02-28", "America/Chicago"
		}, start: "2026-01-10T12:00:00Z", end: "2026-03-01T05:59:59Z"},
		{name: "LastWorkingDayComesFirst", edit: func(e *contractor.Engagement, _ *contractor.Vendor) {
			e.Record.EndDate, e.Record.LastWorkingDay = "2026-02-28", "2026-02-20"
		}, start: "2026-01-10T12:00:00Z", end: "2026-02-20T22:59:59Z", note: "last working day"},
		{name: "MissingEndIsNoEnd", edit: func(*contractor.Engagement, *contractor.Vendor) {}, start: "2026-01-10T12:00:00Z", noEnd: true, note: "no end date"},
		{name: "MissingEndIsCapped", edit: func(_ *contractor.Engagement, v *contractor.Vendor) {
			v.MissingEnd, v.MaxDuration = contractor.MissingEndCap, contractor.Span{Days: 180}
		}, start: "2026-01-10T12:00:00Z", end: "2026-07-09T11:00:00Z", note: "no end date sent"},
		{name: "LongEndIsCapped", edit: func(e *contractor.Engagement, v *contractor.Vendor) {
			e.Record.EndDate, v.MaxDuration = "2030-01-01", contractor.Span{Days: 30}
		}, start: "2026-01-10T12:00:00Z", end: "2026-02-09T12:00:00Z", note: "end date lies beyond the longest"},
		{name: "VendorEndsIt", edit: func(e *contractor.Engagement, _ *contractor.Vendor) {
			e.Record.EndDate, e.EndedAt = "2026-02-28", created.Add(time.Hour)
		}, start: "2026-01-10T12:00:00Z", end: "2026-01-10T13:00:00Z", note: "ended by the vendor"},
		{name: "EndedAfterItsEndChangesNothing", edit: func(e *contractor.Engagement, _ *contractor.Vendor) {
			e.Record.EndDate, e.EndedAt = "2026-02-28", created.AddDate(1, 0, 0)
		}, start: "2026-01-10T12:00:00Z", end: "2026-02-28T22:59:59Z"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e, v := contractor.Engagement{Created: created}, vendor
			tc.edit(&e, &v)
			p, err := e.Period(&v)
			if err != nil {
				t.Fatal(err)
			}
			if got := p.Start.Format(time.RFC3339); got != tc.start {
				t.Errorf("start %s, want %s", got, tc.start)
			}
			if got := p.End.Format(time.RFC3339); !tc.noEnd && got != tc.end {
				t.Errorf("end %s, want %s", got, tc.end)
			}
			if p.NoEnd != tc.noEnd || !strings.HasPrefix(p.Note, tc.note) || (tc.note == "") != (p.Note == "") {
				t.Errorf("noEnd %v, note %q; want %v, %q…", p.NoEnd, p.Note, tc.noEnd, tc.note)
			}
			if p.NoEnd && p.Live(created) {
				t.Error("an engagement without an end must never be live")
			}
			if !p.NoEnd && p.Live(p.End) {
				t.Error("the end instant itself must not be live")
			}
		})
	}
	t.Run("WrongDateNamesItsPath", func(t *testing.T) {
		e := contractor.Engagement{Record: contractor.Record{EndDate: "31.12.2026"}}
		_, err := e.Period(&vendor)
		var ce *contractor.Error
		if !errors.As(err, &ce) || ce.Code != contractor.CodeInvalid || ce.Path != contractor.ExtensionURN+":endDate" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("LocalZoneIsRefused", func(t *testing.T) {
		e := contractor.Engagement{Record: contractor.Record{TimeZone: "Local"}}
		if _, err := e.Period(&vendor); err == nil {
			t.Error("the machine's own zone decided an end")
		}
	})
}

func TestParseSpan(t *testing.T) {
	for in, want := range map[string]contractor.Span{
		"180d": {Days: 180}, "12w": {Days: 84}, "4320h": {Exact: 4320 * time.Hour}, "90s": {Exact: 90 * time.Second}, "0s": {},
	} {
		if got, err := contractor.ParseSpan(in); err != nil || got != want {
			t.Errorf("ParseSpan(%q) = %v, %v", in, got, err)
		}
	}
	for _, bad := range []string{"", "d", "180 days", "-3d", "-2h", "1y", "99999999d", "12"} {
		if got, err := contractor.ParseSpan(bad); err == nil {
			t.Errorf("ParseSpan(%q) = %v", bad, got)
		}
	}
	berlin := zone(t, "Europe/Berlin")
	noon := time.Date(2026, 3, 28, 11, 0, 0, 0, time.UTC) // 12:00 in Berlin, a day before the clocks change
	if got := (contractor.Span{Days: 1}).After(noon, berlin); got.Hour() != 10 {
		t.Errorf("a day later is %s: a day is counted by the calendar, not by 24 hours", got)
	}
}

func TestVendorEmailDomains(t *testing.T) {
	v := contractor.Vendor{EmailDomains: []string{"acme.example", "*.kforce.example"}}
	for mail, want := range map[string]bool{
		"a@acme.example": true, "a@ACME.Example": true, "a@x.kforce.example": true, "a@x.y.kforce.example": true,
		"a@kforce.example": false, "a@evilacme.example": false, "a@acme.example.evil": false, "@acme.example": false, "acme.example": false,
		"a@acme.example@evil.example": false,
	} {
		if got := v.AllowsEmail(mail); got != want {
			t.Errorf("AllowsEmail(%q) = %v", mail, got)
		}
	}
	if (&contractor.Vendor{}).AllowsEmail("a@b.example") {
		t.Error("a vendor without domains may bring nobody")
	}
}
