package entra

import (
	"regexp"
	"strconv"
	"time"
)

var isoPattern = regexp.MustCompile(`^P(?:(\d{1,4})Y)?(?:(\d{1,4})M)?(?:(\d{1,4})W)?(?:(\d{1,6})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,9})(?:\.\d+)?S)?)?$`)

// isoDuration reads an ISO 8601 duration such as P180D or PT8H. A year counts 365 days and a month 30: for a cap, too short
// is the safe side. A fraction of a second is dropped.
func isoDuration(s string) (time.Duration, bool) {
	m := isoPattern.FindStringSubmatch(s)
	if m == nil {
		return 0, false
	}
	const day = 24 * time.Hour
	var d time.Duration
	some := false
	for i, unit := range []time.Duration{365 * day, 30 * day, 7 * day, day, time.Hour, time.Minute, time.Second} {
		if m[i+1] == "" {
			continue
		}
		n, err := strconv.Atoi(m[i+1])
		if err != nil || time.Duration(n) > (1<<62)/unit {
			return 0, false
		}
		some = true
		d += time.Duration(n) * unit
		if d < 0 {
			return 0, false
		}
	}
	return d, some
}
