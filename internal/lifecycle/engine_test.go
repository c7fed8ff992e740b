package lifecycle_test

import (
	"testing"
	"testing/synctest"
	"time"

	"scimbridge/internal/entra/emulator"
)

// TestFarEndsLetTheLoopSleep: a wait of centuries does not overflow into none. A loop that spins would never let this test's clock go on.
func TestFarEndsLetTheLoopSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, emulator.Config{Seed: 31, Throttle: -1, ServerError: -1})
		defer func() { w.stopRun() }()
		w.push("acme", who{mail: "ada@acme.example", end: time.Date(9000, 1, 1, 0, 0, 0, 0, time.UTC)})
		w.pass(24 * time.Hour)
		if n := w.loop.Passes(); n == 0 || n > 100 {
			t.Errorf("%d passes in a day", n)
		}
	})
}

// TestAStreamOfWakesDoesNotBreakRetryAfter: who is offered again while Entra's wait lasts is not asked about.
func TestAStreamOfWakesDoesNotBreakRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, emulator.Config{Seed: 31, Throttle: -1, ServerError: -1})
		defer func() { w.stopRun() }()
		must(t, w.tenant.Fail(emulator.Fault{Match: "invitation.create", Status: 503, RetryAfter: 10 * time.Second, Times: -1}))
		w.push("acme", who{mail: "ada@acme.example", end: time.Now().Add(240 * time.Hour)})
		for range 600 {
			w.loop.Wake()
			time.Sleep(100 * time.Millisecond)
		}
		n := 0
		for _, c := range w.tenant.Calls() {
			if c.Operation == "invitation.create" {
				n++
			}
		}
		if n == 0 || n > 7 {
			t.Errorf("%d invitations tried in a minute of Retry-After: 10", n)
		}
	})
}
