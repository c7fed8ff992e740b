package main

import (
	"context"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// journalAfter reads the events behind a number.
func (d *daemon) journalAfter(ctx context.Context, after int64) ([]audit.Event, error) {
	var events []audit.Event
	for e, err := range d.store.Journal(ctx, contractor.JournalQuery{After: after}) {
		if err != nil {
			return events, err
		}
		events = append(events, e)
	}
	return events, nil
}
