package lifecycle_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
	"scimbridge/internal/entra/emulator"
	"scimbridge/internal/lifecycle"
)

// TestPace: a wave of ends is told the day before, an end that waits is told while it waits, and both are told once.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, emulator.Config{Seed: 83, Throttle: -1, ServerError: -1})
		defer func() { w.stopRun() }()
		pace, err := lifecycle.NewPace(lifecycle.PaceConfig{Store: w.store, Logger: slog.New(slog.DiscardHandler), PerMinute: 1, Tolerable: 5 * time.Minute})
		must(t, err)
		look := func(want contractor.PaceAlarm) contractor.PaceReport {
			t.Helper()
			r, err := pace.Look(t.Context(), time.Now())
			must(t, err)
			if r.Alarm != want || (want != "") != (r.Words != "") {
				t.Fatalf("alarm %q, want %q: %+v", r.Alarm, want, r)
			}
			return r
		}
		end := time.Now().Add(40 * time.Hour)
		for i := range 8 {
			w.push("acme", who{mail: fmt.Sprintf("p%d@acme.example", i), end: end})
		}
		w.pass(5 * time.Minute)
		look("")
		w.until(end.Add(-20 * time.Hour))
		if r := look(contractor.PaceWave); !strings.Contains(r.Words, "8 contracts end around") || r.Delay != 8*time.Minute || r.WaveAt.Sub(end).Abs() > time.Minute {
			t.Errorf("%+v", r)
		}
		look(contractor.PaceWave)
		w.tenant.Outage(30*time.Minute, 503)
		w.until(end.Add(2 * time.Minute))
		w.tenant.Outage(30*time.Minute, 503)
		w.pass(3 * time.Minute)
		w.restart() // the alarm is on disk
		pace, err = lifecycle.NewPace(lifecycle.PaceConfig{Store: w.store, Logger: slog.New(slog.DiscardHandler)})
		must(t, err)
		look("")
		var kinds []string
		for _, e := range w.journal() {
			if strings.HasPrefix(e.Kind, "loop.") {
				kinds = append(kinds, e.Kind)
			}
		}
		if got := strings.Join(kinds, " "); got != "loop.wave loop.on_time" {
			t.Errorf("journaled: %s", got)
		}
	})
}

// TestPaceBehind: closing work that is due and not done is an alarm.
func TestPaceBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, emulator.Config{Seed: 89, Throttle: -1, ServerError: -1})
		end := time.Now().Add(2 * time.Hour)
		w.push("acme", who{mail: "ada@acme.example", end: end})
		w.pass(time.Hour)
		w.stopRun() // the loop is gone, and the clock goes on
		w.until(end.Add(10 * time.Minute))
		store := w.open()
		pace, err := lifecycle.NewPace(lifecycle.PaceConfig{Store: store, Logger: slog.New(slog.DiscardHandler)})
		must(t, err)
		r, err := pace.Look(t.Context(), time.Now())
		must(t, err)
		if r.Alarm != contractor.PaceBehind || r.Lag < 9*time.Minute || r.Waiting != 1 {
			t.Errorf("%+v", r)
		}
		must(t, store.Close())
		w.start()
		defer func() { w.stopRun() }()
		w.pass(5 * time.Minute)
		pace, err = lifecycle.NewPace(lifecycle.PaceConfig{Store: w.store, Logger: slog.New(slog.DiscardHandler)})
		must(t, err)
		if r, err = pace.Look(t.Context(), time.Now()); err != nil || r.Alarm != "" {
			t.Errorf("%v %+v", err, r)
		}
	})
}

// open opens the store without a loop.
func (w *world) open() *db.Store {
	w.t.Helper()
	store, err := db.Open(w.t.Context(), db.Config{Path: w.path})
	must(w.t, err)
	return store
}
