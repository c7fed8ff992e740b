package contractor_test

import (
	"testing"
	"time"

	"scimbridge/internal/contractor"
)

func TestLasting(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		24 * time.Hour: "24 hours", 7 * 24 * time.Hour: "7 days", 90 * time.Minute: "90 minutes", time.Hour: "1 hour", 36 * time.Hour: "36 hours",
		time.Second: "1 second", 0: "0 seconds", 1500 * time.Millisecond: "1 second",
	} {
		if got := contractor.Lasting(d); got != want {
			t.Errorf("%v reads %q, want %q", d, got, want)
		}
	}
}
