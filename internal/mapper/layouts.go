package mapper

import (
	"fmt"
	"strings"
	"time"
)

// layoutProblem says what is wrong with a layout of Go's time package, "" if nothing. With parse the layout must be able to
// read a date back.
func layoutProblem(layout string, parse bool) string {
	reference := time.Date(2006, 1, 2, 15, 4, 5, 0, time.UTC)
	other := time.Date(2011, 11, 23, 18, 37, 49, 0, time.UTC)
	if reference.Format(layout) == other.Format(layout) {
		return fmt.Sprintf("%q has no date in it; write the date 2 January 2006 as the vendor would: 2006-01-02, 02.01.2006, 01/02/2006%s", layout, suggestLayout(layout))
	}
	if !parse {
		return ""
	}
	t, err := time.Parse(layout, other.Format(layout))
	if err != nil || t.Year() != 2011 || t.Month() != 11 || t.Day() != 23 {
		return fmt.Sprintf("%q does not hold year, month and day; write the date 2 January 2006 as the vendor would: 2006-01-02, 02.01.2006, 01/02/2006%s", layout, suggestLayout(layout))
	}
	return ""
}

// suggestLayout turns the letters that other tools use (dd/MM/yyyy) into Go's layout.
func suggestLayout(layout string) string {
	s := strings.ToLower(layout)
	if !strings.Contains(s, "yy") || !strings.Contains(s, "dd") {
		return ""
	}
	s = strings.NewReplacer("yyyy", "2006", "yy", "06", "dd", "02", "hh:mm", "15:04", "hhmm", "1504", "hh", "15", "ss", "05").Replace(s)
	s = strings.ReplaceAll(s, "mm", "01")
	return fmt.Sprintf(" (did you mean %q?)", s)
}
