package lifecycle_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"scimbridge/internal/entra/emulator"
)

// TestNothingOpensAfterItsEnd: a grant whose call waits for its next try is not sent once the contract has ended, and the wait
// keeps no door open.
func TestNothingOpensAfterItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, emulator.Config{Seed: 31, Throttle: -1, ServerError: -1})
		defer func() { w.stopRun() }()
		must(t, w.tenant.Fail(emulator.Fault{Match: "group.members.add", Status: 503, RetryAfter: 8 * time.Second, Times: -1}))
		end := time.Now().Add(12 * time.Second)
		w.push("acme", who{mail: "ada@acme.example", department: "Finance", end: end})
		w.until(end.Add(-time.Second))
		if w.guest("ada@acme.example") == nil {
			t.Fatalf("not invited\n%s", w.tell())
		}
		w.tenant.ClearFaults()
		w.until(end.Add(1500 * time.Millisecond))
		if w.guest("ada@acme.example").Enabled {
			t.Errorf("a second and a half after the end the door is open\n%s", w.tell())
		}
		w.pass(10 * time.Minute)
		for _, e := range w.journal() {
			if e.Kind == "grant.added" && e.Time.After(end) {
				t.Errorf("granted %s after the end", e.Time.Sub(end))
			}
		}
		for _, c := range w.tenant.Calls() {
			if c.Operation == "group.members.add" && c.Done && c.Time.After(end) {
				t.Errorf("added to a group %s after the end", c.Time.Sub(end))
			}
		}
		w.checkTenant()
	})
}

// TestClosingInterruptsOpening: an end that arrives while the same person's pass waits for a slow call does not wait for it.
func TestClosingInterruptsOpening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, emulator.Config{Seed: 37, Throttle: -1, ServerError: -1})
		defer func() { w.stopRun() }()
		must(t, w.tenant.Fail(emulator.Fault{Match: "group.members.add", Mode: emulator.HeldBack, Delay: 20 * time.Second, Times: 2}))
		id := w.push("acme", who{mail: "ada@acme.example", department: "Finance", end: time.Now().AddDate(0, 0, 30)})
		w.pass(6 * time.Second) // invited, and the group's call hangs
		if w.guest("ada@acme.example") == nil {
			t.Fatalf("not invited\n%s", w.tell())
		}
		w.patch(id, "active", false)
		w.pass(1500 * time.Millisecond)
		if w.guest("ada@acme.example").Enabled {
			t.Errorf("the door waits behind a slow call of the same person\n%s", w.tell())
		}
		w.pass(30 * time.Minute)
		if held := w.holds("ada@acme.example"); len(held) > 0 {
			t.Errorf("what the interrupted call did was not taken back: %v\n%s", held, w.tell())
		}
		w.checkTenant()
	})
}

// TestEndNowGoesAheadOfAFullQueue: an emergency stop is sent to Entra at once, while hundreds of newcomers wait for its quota.
func TestEndNowGoesAheadOfAFullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, emulator.Config{Seed: 39, Throttle: -1, ServerError: -1})
		defer func() { w.stopRun() }()
		end := time.Now().AddDate(0, 0, 30)
		id := w.push("acme", who{mail: "ada@acme.example", department: "Finance", end: end})
		w.pass(time.Minute)
		for i := range 300 {
			w.push("acme", who{mail: fmt.Sprintf("n%d@acme.example", i), department: "Finance", end: end})
		}
		w.pass(10 * time.Second)
		if n := w.enabled(); n > 250 {
			t.Fatalf("%d of 301 are in: nothing waits", n)
		}
		asked := time.Now()
		must(t, w.store.BlockPerson(t.Context(), eve(), w.personOf(id).ID, "laptop stolen"))
		w.loop.Wake()
		w.pass(2 * time.Second)
		for _, c := range w.tenant.Calls() {
			if c.Operation == "user.update" && c.Done && !c.Time.Before(asked) && strings.Contains(c.Path, w.guest("ada@acme.example").ID) {
				if wait := c.Time.Sub(asked); wait > time.Second {
					t.Errorf("sent after %s", wait)
				}
				t.Logf("sent after %s, with %d of 301 in", c.Time.Sub(asked), w.enabled())
				return
			}
		}
		t.Errorf("not sent within two seconds; enabled %v\n%s", w.guest("ada@acme.example").Enabled, w.tell())
	})
}

// TestDoorsBeforeGroups: where many end at one instant, everybody's sign-in is disabled before anybody's groups are looked at, whose
// calls Entra allows far fewer of.
func TestDoorsBeforeGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, emulator.Config{Seed: 41, Throttle: -1, ServerError: -1})
		defer func() { w.stopRun() }()
		end := time.Now().AddDate(0, 0, 1)
		const people = 60
		for i := range people {
			w.push("acme", who{mail: fmt.Sprintf("n%d@acme.example", i), department: "Finance", end: end})
		}
		w.until(end.Add(-time.Second))
		if n := w.enabled(); n != people {
			t.Fatalf("%d of %d are in", n, people)
		}
		w.until(end.Add(4 * time.Second))
		if n := w.enabled(); n != 0 {
			t.Errorf("four seconds after the end %d doors are open", n)
		}
		w.pass(20 * time.Minute)
		w.checkTenant()
	})
}
