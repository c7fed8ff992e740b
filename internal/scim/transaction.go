package scim

import (
	"strings"

	"scimbridge/internal/contractor"
)

// terminated reports whether a record ends its engagement now because the vendor says that it is terminated (transactionType
// TER) and gives no day for it: none at all, or the one that was known before. With a new day, that day ends it. is and was are
// the record as it is now and before (zero for a new one); ended is whether the engagement had been ended before.
func terminated(is, was *contractor.Record, ended bool) bool {
	if !strings.EqualFold(strings.TrimSpace(is.TransactionType), "TER") {
		return false
	}
	if is.EndDate == "" && is.LastWorkingDay == "" {
		return true
	}
	if was.UserName == "" || is.EndDate != was.EndDate || is.LastWorkingDay != was.LastWorkingDay {
		return false
	}
	return ended || !strings.EqualFold(strings.TrimSpace(was.TransactionType), "TER")
}
