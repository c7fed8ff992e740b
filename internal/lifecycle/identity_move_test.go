package lifecycle_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/entra/emulator"
)

// TestEndMovedFar: an end that jumps waits for somebody, and the former one holds meanwhile.
func TestEndMovedFar(t *testing.T) {
	mapping := strings.Replace(worldMapping, "defaults:\n", "defaults:\n  max_move: 90d\n", 1)
	admin := audit.Actor{Kind: audit.ActorAdmin, Name: "eve"}
	day := func(n int) time.Time { return time.Now().AddDate(0, 0, n) }
	live := func(t *testing.T, story func(w *world, id string)) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			w := newWorldOf(t, emulator.Config{Seed: 31}, mapping)
			defer func() { w.stopRun() }()
			id := w.push("acme", who{mail: "ada@acme.example", end: day(30)})
			w.pass(5 * time.Minute)
			story(w, id)
			if _, _, err := w.store.VerifyJournal(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	open := func(w *world) []contractor.Hold {
		w.t.Helper()
		holds, err := w.store.Holds(w.t.Context(), contractor.HoldQuery{})
		must(w.t, err)
		return holds
	}
	entraEnd := func(w *world) (end time.Time) {
		for _, s := range w.tenant.State().Schedules {
			if s.Active && s.End != nil {
				end = *s.End
			}
		}
		return end
	}
	t.Run("a move within the limit takes effect", func(t *testing.T) {
		live(t, func(w *world, id string) {
			to := day(110)
			w.end(id, to)
			w.pass(5 * time.Minute)
			if len(open(w)) != 0 || w.status(id) != "active" || !entraEnd(w).Equal(to.Truncate(time.Second)) {
				t.Errorf("%d holds, %s, Entra ends it %s\n%s", len(open(w)), w.status(id), entraEnd(w), w.tell())
			}
		})
	})
	t.Run("undecided, the former end ends it", func(t *testing.T) {
		live(t, func(w *world, id string) {
			former := entraEnd(w)
			w.end(id, day(400))
			w.pass(5 * time.Minute)
			if h := open(w); len(h) != 1 || h[0].Kind != contractor.HoldDateMove || w.status(id) != "held" || !entraEnd(w).Equal(former) {
				t.Fatalf("%+v, %s, Entra ends it %s\n%s", h, w.status(id), entraEnd(w), w.tell())
			}
			if !w.guest("ada@acme.example").Enabled || len(w.holds("ada@acme.example")) != 1 {
				t.Fatalf("what stands does not stand while the move waits\n%s", w.tell())
			}
			w.end(id, day(410)) // a small step from the held end is no way around
			w.pass(5 * time.Minute)
			if h := open(w); len(h) != 1 || !entraEnd(w).Equal(former) {
				t.Fatalf("moved on while held: %+v\n%s", h, w.tell())
			}
			w.pass(8 * 24 * time.Hour)
			if len(open(w)) != 0 || w.status(id) != "active" {
				t.Fatalf("a week later: %+v, %s\n%s", open(w), w.status(id), w.tell())
			}
			w.until(former.Add(5 * time.Minute))
			if w.guest("ada@acme.example").Enabled {
				t.Errorf("nobody approved the later end, and it took effect\n%s", w.tell())
			}
		})
	})
	t.Run("approved, it takes effect", func(t *testing.T) {
		live(t, func(w *world, id string) {
			to := day(300)
			w.end(id, to)
			w.pass(5 * time.Minute)
			_, err := w.store.DecideHold(w.t.Context(), admin, open(w)[0].ID, true, "the statement of work was renewed")
			must(t, err)
			w.loop.Wake()
			w.pass(5 * time.Minute)
			if w.status(id) != "active" {
				t.Fatalf("approved: %s\n%s", w.status(id), w.tell())
			}
			w.until(to.Add(-time.Hour))
			if !w.guest("ada@acme.example").Enabled || len(w.holds("ada@acme.example")) != 1 {
				t.Errorf("an hour before the approved end access is gone\n%s", w.tell())
			}
			w.until(to.Add(5 * time.Minute))
			if w.guest("ada@acme.example").Enabled {
				t.Errorf("the approved end passed\n%s", w.tell())
			}
		})
	})
	t.Run("the vendor takes it back", func(t *testing.T) {
		live(t, func(w *world, id string) {
			w.end(id, day(300))
			w.pass(5 * time.Minute)
			w.end(id, day(40))
			w.pass(5 * time.Minute)
			if len(open(w)) != 0 || w.status(id) != "active" {
				t.Errorf("%+v, %s\n%s", open(w), w.status(id), w.tell())
			}
		})
	})
	t.Run("an admin's extension is no move", func(t *testing.T) {
		live(t, func(w *world, id string) {
			must(t, w.store.ExtendEngagement(w.t.Context(), admin, id, day(300), "project is late"))
			w.loop.Wake()
			w.pass(5 * time.Minute)
			if len(open(w)) != 0 || w.status(id) != "active" {
				t.Errorf("%+v, %s", open(w), w.status(id))
			}
		})
	})
	t.Run("somebody who left and is hired again for long is no move", func(t *testing.T) {
		live(t, func(w *world, id string) {
			w.pass(31 * 24 * time.Hour)
			w.patch(id, contractor.ExtensionURN+":transactionType", "RHI")
			w.end(id, day(200))
			w.pass(5 * time.Minute)
			if len(open(w)) != 0 || w.status(id) != "active" {
				t.Errorf("%+v, %s\n%s", open(w), w.status(id), w.tell())
			}
		})
	})
}
