package db

import (
	"testing"
	"time"

	"scimbridge/internal/contractor"
)

// The short way to see whether an end has passed agrees with the long one at every hour, in the zones furthest from UTC too.
func TestHasPassedAgreesWithTheZone(t *testing.T) {
	for _, zone := range []string{"", "Europe/Berlin", "America/Chicago", "Pacific/Kiritimati", "Etc/GMT+12", "Asia/Kathmandu"} {
		z := time.UTC
		if zone != "" {
			var err error
			if z, err = contractor.LoadZone(zone); err != nil {
				t.Fatal(err)
			}
		}
		for _, end := range []string{"2026-11-24", "2026-11-24T17:00:00", "2026-11-24T17:00:00-05:00", "2026-11-24T17:00:00Z", "9999-12-31", "none"} {
			at, err := contractor.ParseDate(end, nil, z, contractor.EndOfDay)
			if err != nil {
				t.Fatal(err)
			}
			for now := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC); now.Day() < 27; now = now.Add(10 * time.Minute) {
				if want := !at.IsZero() && !at.After(now); hasPassed(end, zone, now) != want {
					t.Fatalf("%s in %q at %v: want %v", end, zone, now, want)
				}
			}
		}
	}
	if !hasPassed("24/11/26", "", time.Now()) {
		t.Error("an end that cannot be read is not looked at at once")
	}
}
