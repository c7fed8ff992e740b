package db

import (
	"strings"

	"scimbridge/internal/contractor"
)

// hotAttributes takes from an engagement what queries find it by.
func hotAttributes(e *contractor.Engagement) (hot, error) {
	h := hot{
		userKey:    fold(e.Record.UserName),
		externalID: e.Record.ExternalID,
		emailKey:   fold(e.Record.Email),
		workerKey:  fold(e.Record.WorkerID),
		endDate:    fold(e.Record.EndDate),
		active:     e.Record.Active,
	}
	var others []string
	for _, other := range e.Record.OtherEmails {
		others = append(others, fold(other))
	}
	h.others = strings.Join(others, "\n")
	return h, nil
}
