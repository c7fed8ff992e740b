package main

import (
	"context"
	"fmt"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// spoiled deals with a vendor whose records are all refused: it is an alarm, and the vendor is paused where its guard says so.
func (d *daemon) spoiled(ctx context.Context, vendor string, inRow int, why *contractor.Error) {
	ctx = context.WithoutCancel(ctx) // the vendor may hang up
	v, known := d.mapping.get().Vendor(vendor)
	if !known {
		return
	}
	now := time.Now().UTC()
	words := fmt.Sprintf("the last %d records of vendor %s were refused, every one; nobody is ended for that, and who leaves is not ended by it either", inRow, vendor)
	last := string(why.Code) // no more: the sentence may quote what was sent
	if why.Path != "" {
		last += ", " + why.Path
	}
	a := contractor.Alarm{
		Key: string(contractor.AlarmFeedRefused) + "/" + vendor, Kind: contractor.AlarmFeedRefused, Severity: contractor.SeverityWarning, Vendor: vendor,
		Words: words, Evidence: []contractor.Evidence{{At: now, Words: "the last refusal: " + last}}, Next: "scimbridge vendor list", First: now, Last: now,
	}
	if v.Guard.PauseRefused {
		a.Words += "; it is paused"
		a.Next = "scimbridge vendor resume " + vendor
		reason := fmt.Sprintf("%d records in a row were refused (guard.on_refused: pause)", inRow)
		if err := d.store.PauseVendor(ctx, audit.Actor{Kind: audit.ActorBridge}, vendor, true, reason); err != nil {
			d.log.Error("a vendor could not be paused", "vendor", vendor, "error", err)
		}
	}
	d.log.Warn("every record of a vendor is refused", "vendor", vendor, "in_a_row", inRow, "paused", v.Guard.PauseRefused)
	if err := d.store.RaiseAlarm(ctx, a); err != nil {
		d.log.Error("an alarm could not be raised", "vendor", vendor, "error", err)
	}
}
