package lifecycle_test

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"scimbridge/internal/entra/emulator"
)

// TestPackageAtTheLastMoment: a package asked for just before the end, and delivered after it or never, keeps nobody from being
// seen empty soon.
func TestPackageAtTheLastMoment(t *testing.T) {
	n, base := rounds(t, 12)
	for i := range n {
		seed := base + uint64(i)
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, emulator.Config{Seed: seed, Throttle: -1, ServerError: -1})
				defer func() { w.stopRun() }()
				end := time.Now().Add(time.Duration(2100+100*(i%20)) * time.Millisecond)
				w.push("acme", who{mail: "ada@acme.example", title: "Developer", end: end})
				w.until(end.Add(5 * time.Minute))
				if held := w.holds("ada@acme.example"); len(held) > 0 || w.guest("ada@acme.example").Enabled {
					t.Errorf("five minutes after the end: %v", held)
				}
				empty := false
				for _, e := range w.journal() {
					empty = empty || e.Kind == "guest.empty"
				}
				if !empty {
					s := w.tenant.State()
					t.Errorf("not seen empty after five minutes\n%s\n%+v\n%+v", w.tell(), s.Assignments, s.Requests)
				}
			})
		})
	}
}
