package emulator

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// durationForm is Edm.Duration: days and smaller, no weeks, months or years
// (OData CSDL 4.01, section 4.4).
var durationForm = regexp.MustCompile(`^(-)?P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$`)

// longest is the limit of each part of a duration, 25 years, which keeps the sum inside an int64.
const longest = 36_500 * 24 * time.Hour / 4

// parseDuration reads an Edm.Duration. P4W2D is refused as the service refuses it.
func parseDuration(s string) (time.Duration, error) {
	m := durationForm.FindStringSubmatch(s)
	if m == nil || strings.HasSuffix(s, "P") || strings.HasSuffix(s, "T") {
		return 0, fmt.Errorf("%q is not an Edm.Duration", s)
	}
	var total time.Duration
	for i, unit := range []time.Duration{24 * time.Hour, time.Hour, time.Minute} {
		if m[i+2] == "" {
			continue
		}
		n, err := strconv.Atoi(m[i+2])
		if err != nil || time.Duration(n) > longest/unit {
			return 0, fmt.Errorf("%q is too long a duration", s)
		}
		total += time.Duration(n) * unit
	}
	if m[5] != "" {
		sec, err := strconv.ParseFloat(m[5], 64)
		if err != nil || sec > 1e9 {
			return 0, fmt.Errorf("%q is too long a duration", s)
		}
		total += time.Duration(sec * float64(time.Second))
	}
	if m[1] != "" {
		total = -total
	}
	return total, nil
}

// formatDuration writes d the way the service does: whole days where possible.
func formatDuration(d time.Duration) string {
	if d%(24*time.Hour) == 0 {
		return fmt.Sprintf("P%dD", d/(24*time.Hour))
	}
	return fmt.Sprintf("PT%dS", d/time.Second)
}

// stamp writes an instant as Graph does, UTC to the second (fractions kept when
// there are any).
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// instant reads what checkPrimitive let through.
func instant(v any) (time.Time, bool) {
	s, _ := v.(string)
	t, err := time.Parse(time.RFC3339, s)
	return t.UTC(), err == nil
}
