package contractor

import (
	"fmt"
	"strings"
	"time"
)

// Edge says which instant of a bare date is meant.
type Edge int

// A contract starts with its first day's first second and ends with its last day's last second.
const (
	StartOfDay Edge = iota
	EndOfDay
)

// standardLayouts are read for every vendor, after the vendor's own. None of them can be mistaken for another: a date that
// two layouts would read differently (01/02/2006) must be declared by the vendor.
func standardLayouts() []string {
	return []string{
		"2006-01-02",
		time.RFC3339Nano,
		"2006-01-02T15:04Z07:00",
		"2006-01-02T15:04:05Z0700",
		"2006-01-02T15:04:05.999999999",
		"2006-01-02T15:04",
		"20060102150405Z",
	}
}

// openEndedYear is the year from which an end date means "no end" (SAP and Oracle send 9999-12-31).
const openEndedYear = 9999

// ParseDate reads a date or date-time as a vendor sends it. A value without a zone is meant in zone; a bare date is its first
// or last second by edge. "" and "none" give the zero time, and so does any date in the year 9999 (open ended).
func ParseDate(s string, layouts []string, zone *time.Location, edge Edge) (time.Time, error) {
	s = strings.TrimSpace(s)
	if s == "" || strings.EqualFold(s, "none") {
		return time.Time{}, nil
	}
	if zone == nil {
		zone = time.UTC
	}
	for _, layout := range append(append([]string{}, layouts...), standardLayouts()...) {
		t, err := time.ParseInLocation(layout, s, zone)
		if err != nil {
			continue
		}
		if layout == "20060102150405Z" { // the Z here is literal, and means UTC
			t = time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
		}
		if t.Year() >= openEndedYear {
			return time.Time{}, nil
		}
		if t.Year() < 1900 {
			return time.Time{}, fmt.Errorf("date %q lies before 1900", s)
		}
		if edge == EndOfDay && bareDate(layout) {
			t = time.Date(t.Year(), t.Month(), t.Day(), 23, 59, 59, 0, t.Location())
		}
		return t.UTC(), nil
	}
	return time.Time{}, fmt.Errorf("%q is not a date in a form this vendor may send; send YYYY-MM-DD or RFC 3339, or have the form added to the vendor's dates.layouts", s)
}

// bareDate reports whether a layout carries no time of day.
func bareDate(layout string) bool {
	morning := time.Date(2001, 2, 3, 0, 0, 0, 0, time.UTC)
	return morning.Format(layout) == morning.Add(13*time.Hour+47*time.Minute+11*time.Second).Format(layout)
}

// Period is the time an engagement covers, in UTC instants: live from Start (inclusive) to End (exclusive).
type Period struct {
	Start time.Time
	End   time.Time // zero only if NoEnd
	NoEnd bool      // the vendor named no end and no rule gives one
	Note  string    // why End is not what the vendor sent; "" if it is
	Zone  *time.Location
}

// Live reports whether now lies in the period. A period without an end is never live (product rule 10).
func (p Period) Live(now time.Time) bool {
	return !p.NoEnd && !now.Before(p.Start) && now.Before(p.End)
}

// Period works out when the engagement begins and ends, from the record's own dates, the vendor's layouts, zone and caps.
// A date that cannot be read is an *Error with the SCIM path.
func (e *Engagement) Period(v *Vendor) (Period, error) {
	p := Period{Zone: v.Zone}
	if p.Zone == nil {
		p.Zone = time.UTC
	}
	if e.Record.TimeZone != "" {
		z, err := v.ZoneOf(e.Record.TimeZone)
		if err != nil {
			return p, Invalid(ExtensionURN+":timeZone", err.Error())
		}
		p.Zone = z
	}
	read := func(attr, s string, edge Edge) (time.Time, error) {
		t, err := ParseDate(s, v.DateLayouts, p.Zone, edge)
		if err != nil {
			return t, Invalid(ExtensionURN+":"+attr, err.Error())
		}
		return t, nil
	}
	start, err := read("startDate", e.Record.StartDate, StartOfDay)
	if err != nil {
		return p, err
	}
	end, err := read("endDate", e.Record.EndDate, EndOfDay)
	if err != nil {
		return p, err
	}
	last, err := read("lastWorkingDay", e.Record.LastWorkingDay, EndOfDay)
	if err != nil {
		return p, err
	}
	if start.IsZero() {
		start = e.Created
	}
	p.Start, p.End = start.UTC(), end
	if !last.IsZero() && (p.End.IsZero() || last.Before(p.End)) {
		p.End, p.Note = last, "last working day comes before the end date"
	}
	if !v.MaxDuration.IsZero() {
		limit := v.MaxDuration.After(p.Start, p.Zone)
		switch {
		case p.End.IsZero() && v.MissingEnd == MissingEndCap:
			p.End, p.Note = limit, "no end date sent; ends after the longest duration allowed, "+v.MaxDuration.String()
		case !p.End.IsZero() && p.End.After(limit):
			p.End, p.Note = limit, "end date lies beyond the longest duration allowed, "+v.MaxDuration.String()
		}
	}
	if !e.EndedAt.IsZero() && (p.End.IsZero() || e.EndedAt.Before(p.End)) {
		p.End, p.Note = e.EndedAt.UTC(), "ended by the vendor"
	}
	if until := e.Extended.Until; !until.IsZero() && e.EndedAt.IsZero() && !e.EndSetAt.After(e.Extended.At) && until.After(p.End) {
		p.End, p.Note = until.UTC(), "extended by "+e.Extended.By
	}
	if !e.KeptUntil.IsZero() {
		p.End, p.Note = e.KeptUntil.UTC(), "a newer end is held until somebody decides"
	}
	if at := e.Stopped.At; !at.IsZero() && (p.End.IsZero() || at.Before(p.End)) {
		p.End, p.Note = at.UTC(), "ended by "+e.Stopped.By
	}
	if p.End.IsZero() {
		p.NoEnd = true
		p.Note = "no end date, and no rule for engagements without one"
	}
	return p, nil
}

// ZoneOf is LoadZone, but for the vendor's own zone, which is at hand: Go reads a zone's file each time.
func (v *Vendor) ZoneOf(name string) (*time.Location, error) {
	if v.Zone != nil && v.Zone.String() == name && name != "" && name != "Local" {
		return v.Zone, nil
	}
	return LoadZone(name)
}

// LoadZone reads an IANA zone name; "" and "Local" are refused, since the machine's own zone must never decide an end.
func LoadZone(name string) (*time.Location, error) {
	if name == "" || name == "Local" {
		return nil, fmt.Errorf("%q is not a time zone; write an IANA name such as Europe/Berlin", name)
	}
	z, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("unknown time zone %q; write an IANA name such as Europe/Berlin", name)
	}
	return z, nil
}
