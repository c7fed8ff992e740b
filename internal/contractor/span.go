package contractor

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Span is a length of time as people write contracts: whole days that keep the wall clock across DST, or exact hours.
type Span struct {
	Days  int
	Exact time.Duration
}

// IsZero reports whether the span was not given or is nothing.
func (s Span) IsZero() bool { return s == Span{} }

// After returns t plus the span, days counted by the calendar of zone.
func (s Span) After(t time.Time, zone *time.Location) time.Time {
	if zone == nil {
		zone = time.UTC
	}
	if s.Days != 0 {
		t = t.In(zone).AddDate(0, 0, s.Days)
	}
	return t.Add(s.Exact).UTC()
}

// Approx is the span with days of 24 hours, for comparing spans with each other.
func (s Span) Approx() time.Duration { return time.Duration(s.Days)*24*time.Hour + s.Exact }

// String writes the span as ParseSpan reads it.
func (s Span) String() string {
	switch {
	case s.Days != 0 && s.Exact != 0:
		return fmt.Sprintf("%dd%s", s.Days, s.Exact)
	case s.Days != 0:
		return fmt.Sprintf("%dd", s.Days)
	}
	return s.Exact.String()
}

// maxSpanDays bounds what a mapping file may say: a century is a typing error.
const maxSpanDays = 36525

// ParseSpan reads "180d", "12w", "4320h", "30m", "90s" or "0s". Negative spans are refused.
func ParseSpan(s string) (Span, error) {
	bad := func() (Span, error) {
		return Span{}, fmt.Errorf("%q is not a duration; write 180d, 12w or 4320h", s)
	}
	n := strings.TrimSpace(s)
	if n == "" {
		return bad()
	}
	unit := n[len(n)-1]
	if unit == 'd' || unit == 'w' {
		days, err := strconv.Atoi(n[:len(n)-1])
		if err != nil || days < 0 {
			return bad()
		}
		if unit == 'w' {
			days *= 7
		}
		if days > maxSpanDays {
			return Span{}, fmt.Errorf("%q is longer than a century; write at most %dd", s, maxSpanDays)
		}
		return Span{Days: days}, nil
	}
	d, err := time.ParseDuration(n)
	if err != nil || d < 0 {
		return bad()
	}
	return Span{Exact: d}, nil
}

// UnmarshalText lets a Span stand in a YAML file.
func (s *Span) UnmarshalText(text []byte) error {
	v, err := ParseSpan(string(text))
	if err != nil {
		return err
	}
	*s = v
	return nil
}

// Lasting writes a length of time as people say it, in its largest whole unit: "24 hours", "7 days", "90 minutes".
func Lasting(d time.Duration) string {
	for _, u := range []struct {
		unit time.Duration
		name string
		from time.Duration // from which on the unit is used
	}{{24 * time.Hour, "day", 48 * time.Hour}, {time.Hour, "hour", time.Hour}, {time.Minute, "minute", time.Minute}, {time.Second, "second", 0}} {
		if d.Abs() < u.from || d%u.unit != 0 && u.unit != time.Second {
			continue
		}
		n := int64(d / u.unit)
		if n == 1 {
			return "1 " + u.name
		}
		return fmt.Sprintf("%d %ss", n, u.name)
	}
	return d.String()
}
