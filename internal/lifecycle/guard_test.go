package lifecycle_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/entra/emulator"
	"scimbridge/internal/lifecycle"
)

// withGuard bounds vendor acme to three sudden ends a day.
func withGuard(mapping string) string {
	return strings.Replace(mapping, "acme: {email_domains: [acme.example]}", "acme: {email_domains: [acme.example], guard: {max_ends: 3, window: 24h}}", 1)
}

// enabled counts the guests whose door is open.
func (w *world) enabled() (n int) {
	for _, u := range w.tenant.State().Users {
		if u.Guest && u.Enabled && u.Deleted == nil {
			n++
		}
	}
	return n
}

// TestMassEnd: a bad feed cannot empty the tenant, and what was known in advance is no bad feed.
func TestMassEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldOf(t, emulator.Config{Seed: 17}, withGuard(worldMapping))
		defer func() { w.stopRun() }()
		begin := time.Now()
		admin := audit.Actor{Kind: audit.ActorAdmin, Name: "eve"}
		var ids []string
		for i := range 10 {
			ids = append(ids, w.push("acme", who{mail: fmt.Sprintf("p%d@acme.example", i), end: begin.AddDate(0, 0, 60)}))
		}
		var known []string
		for i := range 5 {
			known = append(known, w.push("acme", who{mail: fmt.Sprintf("k%d@acme.example", i), end: begin.AddDate(0, 0, 10)}))
		}
		w.pass(5 * time.Minute)
		if w.enabled() != 15 {
			t.Fatalf("%d of 15 have access\n%s", w.enabled(), w.tell())
		}
		w.until(begin.AddDate(0, 0, 10).Add(5 * time.Minute))
		if w.enabled() != 10 {
			t.Fatalf("five contracts ended as known in advance, and %d of 15 have access", w.enabled())
		}
		for _, id := range ids { // the feed goes mad
			w.patch(id, "active", false)
		}
		w.pass(5 * time.Minute)
		if w.enabled() != 7 {
			t.Fatalf("ten sudden ends, the guard allows three, and %d have access\n%s", w.enabled(), w.tell())
		}
		holds, err := w.store.Holds(t.Context(), contractor.HoldQuery{})
		must(t, err)
		if len(holds) != 7 {
			t.Fatalf("%d holds", len(holds))
		}
		w.restart() // held is on disk
		w.pass(time.Hour)
		if w.enabled() != 7 {
			t.Fatalf("after a restart %d have access", w.enabled())
		}
		approved, cancelled := holds[0], holds[1]
		if _, err := w.store.DecideHold(t.Context(), admin, approved.ID, true, ""); err == nil {
			t.Error("a decision without a reason was taken")
		}
		_, err = w.store.DecideHold(t.Context(), admin, approved.ID, true, "left indeed")
		must(t, err)
		_, err = w.store.DecideHold(t.Context(), admin, cancelled.ID, false, "a mistake of the feed")
		must(t, err)
		w.loop.Wake()
		w.pass(5 * time.Minute)
		if w.enabled() != 6 || w.status(cancelled.Engagement) != "active" || w.status(approved.Engagement) == "active" {
			t.Errorf("decided: %d have access, cancelled is %s, approved is %s\n%s", w.enabled(), w.status(cancelled.Engagement), w.status(approved.Engagement), w.tell())
		}
		w.pass(8 * 24 * time.Hour) // nobody decides about the rest
		if w.enabled() != 1 {
			t.Errorf("undecided for a week, and %d have access: want the cancelled one only\n%s", w.enabled(), w.tell())
		}
		w.until(begin.AddDate(0, 0, 60).Add(5 * time.Minute))
		if w.enabled() != 0 {
			t.Error("a cancelled end kept access beyond the end that the vendor had sent before")
		}
		_ = known
		if _, _, err := w.store.VerifyJournal(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestWaveOfMovedEnds: a feed that moves many ends within a day is held beyond the bound, in either direction, and what nobody decides
// about is decided for less access.
func TestWaveOfMovedEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mapping := strings.Replace(worldMapping, "acme: {email_domains: [acme.example]}", "acme: {email_domains: [acme.example], guard: {max_moves: 4}}", 1)
		w := newWorldOf(t, emulator.Config{Seed: 33}, mapping)
		defer func() { w.stopRun() }()
		begin := time.Now()
		day := func(n int) time.Time { return begin.AddDate(0, 0, n) }
		var ids []string
		for i := range 10 {
			ids = append(ids, w.push("acme", who{mail: fmt.Sprintf("p%d@acme.example", i), end: day(60)}))
		}
		w.pass(5 * time.Minute)
		all := func(end time.Time) {
			for _, id := range ids {
				w.end(id, end)
			}
			w.pass(10 * time.Minute)
		}
		ends := func(end time.Time) (n int) {
			for _, s := range w.tenant.State().Schedules {
				if s.Active && s.End != nil && s.End.Sub(end).Abs() < time.Minute {
					n++
				}
			}
			return n
		}
		open := func() []contractor.Hold {
			holds, err := w.store.Holds(t.Context(), contractor.HoldQuery{})
			must(t, err)
			return holds
		}
		all(day(20))
		if a, b := ends(day(20)), ends(day(60)); a != 4 || b != 6 || len(open()) != 6 {
			t.Fatalf("moved earlier: %d took effect, %d kept their end, %d holds\n%s", a, b, len(open()), w.tell())
		}
		h := open()[0]
		if h.Kind != contractor.HoldMassEnd || !strings.Contains(h.Why, "5 ends moved to an earlier day within 24 hours, the guard allows 4") || w.status(h.Engagement) != "held" {
			t.Errorf("the hold: %+v, %s", h, w.status(h.Engagement))
		}
		kept := lifecycle.KeptUntil(&w.personOf(h.Engagement).Engagements[0], vendorOf(w, "acme"), []contractor.Hold{h}, time.Now())
		if !kept.Equal(day(60).Truncate(time.Second)) {
			t.Errorf("explained as kept until %s", kept)
		}
		_, err := w.store.DecideHold(t.Context(), eve(), h.ID, false, "a mistake of the feed")
		must(t, err)
		w.loop.Wake()
		w.restart()
		w.pass(8 * 24 * time.Hour)
		if a, b := ends(day(20)), ends(day(60)); a != 9 || b != 1 || len(open()) != 0 {
			t.Fatalf("a week later: %d took effect, %d kept their end, %d holds\n%s", a, b, len(open()), w.tell())
		}
		all(day(90))
		if a, b := ends(day(90)), ends(day(20)); a != 4 || b < 5 || len(open()) != 6 {
			t.Fatalf("moved later: %d took effect, %d kept their end, %d holds\n%s", a, b, len(open()), w.tell())
		}
		all(day(20)) // the vendor takes it back: nothing is left to decide
		if a, b := ends(day(90)), len(open()); a != 0 || b > 6 {
			t.Fatalf("taken back: %d at the later day, %d holds\n%s", a, b, w.tell())
		}
		w.until(day(21))
		if n := w.enabled(); n > 1 {
			t.Errorf("%d have access after the end\n%s", n, w.tell())
		}
	})
}

// TestAHeldEndThatComes: an end that was moved to an earlier day and is held does not take effect because that day comes before anybody
// has decided, nor while the bridge is dead.
func TestAHeldEndThatComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mapping := strings.Replace(worldMapping, "acme: {email_domains: [acme.example]}", "acme: {email_domains: [acme.example], guard: {max_moves: 1}}", 1)
		w := newWorldOf(t, emulator.Config{Seed: 35}, mapping)
		defer func() { w.stopRun() }()
		begin := time.Now()
		var ids []string
		for i := range 3 {
			ids = append(ids, w.push("acme", who{mail: fmt.Sprintf("p%d@acme.example", i), end: begin.AddDate(0, 0, 60)}))
		}
		w.pass(5 * time.Minute)
		for _, id := range ids {
			w.end(id, begin.AddDate(0, 0, 3))
		}
		w.pass(5 * time.Minute)
		w.stopRun()
		w.until(begin.AddDate(0, 0, 4))
		w.start()
		w.pass(time.Hour)
		if n := w.enabled(); n != 2 {
			t.Errorf("one move of three was let through, and %d have access\n%s", n, w.tell())
		}
		w.until(begin.AddDate(0, 0, 8))
		if n := w.enabled(); n != 0 {
			t.Errorf("nobody decided for a week, and %d have access\n%s", n, w.tell())
		}
	})
}

func vendorOf(w *world, name string) *contractor.Vendor {
	v, _ := w.mapping.Vendor(name)
	return v
}

// TestBlock: an admin's emergency stop goes ahead of the records, and stays until it is lifted.
func TestBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, emulator.Config{Seed: 19})
		defer func() { w.stopRun() }()
		begin := time.Now()
		admin := audit.Actor{Kind: audit.ActorAdmin, Name: "eve"}
		id := w.push("acme", who{mail: "ada@acme.example", title: "Developer", end: begin.AddDate(0, 0, 60)})
		w.pass(5 * time.Minute)
		person := w.people()[0].id
		must(t, w.store.BlockPerson(t.Context(), admin, person, "laptop stolen"))
		w.loop.Wake()
		w.pass(3 * time.Second)
		if w.guest("ada@acme.example").Enabled {
			t.Fatalf("three seconds after the stop the door is open\n%s", w.tell())
		}
		w.end(id, begin.AddDate(0, 0, 90)) // the vendor does not know, and must not open it again
		w.pass(10 * time.Minute)
		if held := w.holds("ada@acme.example"); len(held) > 0 || w.guest("ada@acme.example").Enabled || w.status(id) != "held" {
			t.Fatalf("stopped: %v, %s\n%s", held, w.status(id), w.tell())
		}
		must(t, w.store.UnblockPerson(t.Context(), admin, person, "found again"))
		w.loop.Wake()
		w.pass(10 * time.Minute)
		if held := w.holds("ada@acme.example"); len(held) != 2 || w.status(id) != "active" {
			t.Errorf("lifted: %v, %s\n%s", held, w.status(id), w.tell())
		}
		w.checkTenant()
	})
}

// TestExtendedByAdmin: the vendor's end is not the last word, until the vendor speaks again.
func TestExtendedByAdmin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, emulator.Config{Seed: 23})
		defer func() { w.stopRun() }()
		begin := time.Now()
		id := w.push("acme", who{mail: "ada@acme.example", end: begin.AddDate(0, 0, 20)})
		w.pass(5 * time.Minute)
		must(t, w.store.ExtendEngagement(t.Context(), audit.Actor{Kind: audit.ActorAdmin, Name: "eve"}, id, begin.AddDate(0, 0, 40), "project is late"))
		w.loop.Wake()
		w.until(begin.AddDate(0, 0, 30))
		if !w.guest("ada@acme.example").Enabled || len(w.holds("ada@acme.example")) != 1 {
			t.Fatalf("extended, and without access\n%s", w.tell())
		}
		w.end(id, begin.AddDate(0, 0, 35))
		w.until(begin.AddDate(0, 0, 35).Add(5 * time.Minute))
		if w.guest("ada@acme.example").Enabled {
			t.Errorf("the vendor's newer end did not replace the extension\n%s", w.tell())
		}
	})
}

// TestWrongClock: a clock that is wrong ends nothing.
func TestWrongClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, emulator.Config{Seed: 29})
		defer func() { w.stopRun() }()
		begin := time.Now()
		id := w.push("acme", who{mail: "ada@acme.example", department: "Finance", end: begin.AddDate(0, 0, 1)})
		w.pass(5 * time.Minute)
		w.tenant.SkewClock(-2 * time.Hour) // Entra says it is two hours earlier than this machine believes
		w.until(begin.AddDate(0, 0, 1).Add(30 * time.Minute))
		// The PIM schedule has ended by Entra's own clock; what only our clock ends stands.
		if held := w.holds("ada@acme.example"); !w.guest("ada@acme.example").Enabled || !slices.Contains(held, "ext-finance") {
			t.Fatalf("a clock two hours ahead of Entra's ended a contract\n%s", w.tell())
		}
		if w.status(id) != "held" {
			t.Errorf("and nobody is told: %s", w.status(id))
		}
		w.tenant.SkewClock(0)
		w.pass(15 * time.Minute)
		if w.guest("ada@acme.example").Enabled {
			t.Errorf("the clock is right again, and the end has passed\n%s", w.tell())
		}
	})
}

// TestAHoldDoesNotExpireByAWrongClock: what a hold becomes when nobody decides waits for a clock that is right.
func TestAHoldDoesNotExpireByAWrongClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldOf(t, emulator.Config{Seed: 31}, withGuard(worldMapping))
		defer func() { w.stopRun() }()
		var ids []string
		for i := range 6 {
			ids = append(ids, w.push("acme", who{mail: fmt.Sprintf("p%d@acme.example", i), end: time.Now().AddDate(0, 0, 60)}))
		}
		w.pass(5 * time.Minute)
		for _, id := range ids {
			w.patch(id, "active", false)
		}
		w.pass(6 * 24 * time.Hour)
		w.tenant.SkewClock(-26 * time.Hour) // Entra says that it is the day before
		w.pass(2 * 24 * time.Hour)
		if n := w.enabled(); n != 3 {
			t.Errorf("three ends were held, the clock is doubted, and %d have access\n%s", n, w.tell())
		}
		before := w.loop.Passes()
		w.pass(time.Hour)
		if n := w.loop.Passes() - before; n > 400 {
			t.Errorf("%d passes in an hour of doubt", n)
		}
		w.tenant.SkewClock(0)
		w.pass(10 * time.Minute)
		if n := w.enabled(); n != 0 {
			t.Errorf("the clock is right, and nobody has decided for a week: %d have access\n%s", n, w.tell())
		}
	})
}
