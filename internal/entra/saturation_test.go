package entra_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"scimbridge/internal/contractor"
	"scimbridge/internal/entra"
	"scimbridge/internal/entra/emulator"
)

// far puts a tenant as far away as Graph is: every answer takes a while, of which the way there is the first half.
type far struct {
	http.RoundTripper
	away time.Duration
}

func (f far) RoundTrip(r *http.Request) (*http.Response, error) {
	rest(f.away / 2) // fake time
	resp, err := f.RoundTripper.RoundTrip(r)
	rest(f.away / 2)
	return resp, err
}

// storm is a tenant with guests, and callers that never let the client rest.
type storm struct {
	*tenant
	guests []string
}

func newStorm(t *testing.T, quota emulator.Quota, limits entra.Limits, guests int) *storm {
	t.Helper()
	cfg := kindly(1)
	cfg.Quota, cfg.MaxCalls = quota, 1
	x := newTenant(t, cfg, func(c *entra.Config) {
		c.Limits, c.Transport = limits, far{c.Transport, 120 * time.Millisecond}
	})
	s := &storm{tenant: x}
	for i := range guests {
		id, err := x.e.AddUser(emulator.UserSeed{Guest: true, Mail: fmt.Sprintf("g%d@vendor.example", i), Accepted: true})
		if err != nil {
			t.Fatal(err)
		}
		s.guests = append(s.guests, id)
	}
	return s
}

// large says whether the full figures are wanted (SCIMBRIDGE_SATURATION=1); else a small tenant with a small quota shows the
// same in a second.
func large() bool { return os.Getenv("SCIMBRIDGE_SATURATION") != "" }

// TestSaturation keeps more callers busy than the quota bears and counts what of it was used, and what was refused.
func TestSaturation(t *testing.T) {
	run(t, "bubble", func(t *testing.T) {
		quota, limits, rounds := emulator.Quota{WritesPer150s: 300, RUPer10s: 800}, entra.Limits{Writes: entra.Rate{Count: 300, Per: 150 * time.Second}, Units: entra.Rate{Count: 800, Per: 10 * time.Second}}, 6
		if large() {
			quota, limits, rounds = emulator.Quota{RUPer10s: 8000}, entra.Limits{}, 12
		}
		s := newStorm(t, quota, limits, 200)
		ctx, cancel := context.WithTimeout(contractor.WithPriority(t.Context(), contractor.PriorityOpen), time.Duration(rounds)*150*time.Second)
		defer cancel()
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				for n := i; ctx.Err() == nil; n++ {
					_, err := s.UpdateGuest(ctx, s.guests[n%len(s.guests)], map[string]string{"jobTitle": fmt.Sprint(n)})
					if err != nil && ctx.Err() == nil {
						t.Errorf("a call failed: %v", err)
						return
					}
				}
			})
		}
		all.Wait()
		r := s.e.Report()
		w := r.Windows["writes"]
		possible := w.Limit * rounds
		used := float64(w.Total-w.Refused) / float64(possible)
		refused := float64(r.ByStatus[429]) / float64(r.Calls)
		t.Logf("%d of %d possible writes in %d windows of 150 s (%.1f %%), %d of %d calls answered 429 (%.2f %%), fullest window %d of %d",
			w.Total-w.Refused, possible, rounds, 100*used, r.ByStatus[429], r.Calls, 100*refused, w.Peak, w.Limit)
		if used < 0.95 {
			t.Errorf("only %.1f %% of the write quota was used", 100*used)
		}
		if refused >= 0.01 {
			t.Errorf("%.2f %% of the calls were answered 429", 100*refused)
		}
	})
}

// TestSweepsYield keeps sweeps alone busy: they are the first that the service refuses, so they leave it room.
func TestSweepsYield(t *testing.T) {
	run(t, "bubble", func(t *testing.T) {
		s := newStorm(t, emulator.Quota{WritesPer150s: 300, RUPer10s: 800}, entra.Limits{Writes: entra.Rate{Count: 300, Per: 150 * time.Second}, Units: entra.Rate{Count: 800, Per: 10 * time.Second}}, 50)
		ctx, cancel := context.WithTimeout(contractor.WithPriority(t.Context(), contractor.PrioritySweep), 600*time.Second)
		defer cancel()
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				for n := i; ctx.Err() == nil; n++ {
					if _, err := s.UpdateGuest(ctx, s.guests[n%len(s.guests)], map[string]string{"jobTitle": fmt.Sprint(n)}); err != nil && ctx.Err() == nil {
						t.Errorf("a call failed: %v", err)
						return
					}
				}
			})
		}
		all.Wait()
		r := s.e.Report()
		if w := r.Windows["writes"]; r.ByStatus[429] != 0 || w.Total < 900 {
			t.Errorf("%d writes, %d times 429", w.Total, r.ByStatus[429])
		}
	})
}

// TestDoorsFirst lets many contracts end at one instant while more contractors than the quota bears are being let in.
func TestDoorsFirst(t *testing.T) {
	run(t, "bubble", func(t *testing.T) {
		quota, limits, ends := emulator.Quota{WritesPer150s: 300, RUPer10s: 800}, entra.Limits{Writes: entra.Rate{Count: 300, Per: 150 * time.Second}, Units: entra.Rate{Count: 800, Per: 10 * time.Second}}, 1000
		if large() {
			quota, limits, ends = emulator.Quota{RUPer10s: 8000}, entra.Limits{}, 10_000
		}
		s := newStorm(t, quota, limits, ends+200)
		opening, stop := context.WithCancel(contractor.WithPriority(t.Context(), contractor.PriorityOpen))
		var all sync.WaitGroup
		for i := range 64 {
			all.Go(func() {
				for n := i; opening.Err() == nil; n++ {
					id := s.guests[ends+n%200]
					if _, err := s.UpdateGuest(opening, id, map[string]string{"jobTitle": fmt.Sprint(n)}); err != nil && opening.Err() == nil {
						t.Errorf("opening: %v", err)
						return
					}
				}
			})
		}
		rest(400 * time.Second) // fake time: the quota is full of openings
		began, before := time.Now(), s.e.Report().Windows["writes"]
		closing := contractor.WithPriority(t.Context(), contractor.PriorityClose)
		var doors sync.WaitGroup
		todo := make(chan string)
		for range 64 {
			doors.Go(func() {
				for id := range todo {
					if _, err := s.SetEnabled(closing, id, false); err != nil {
						t.Errorf("closing: %v", err)
					}
				}
			})
		}
		for _, id := range s.guests[:ends] {
			todo <- id
		}
		close(todo)
		doors.Wait()
		took := time.Since(began)
		stop()
		all.Wait()
		rate := float64(before.Limit) / before.Span.Seconds()
		alone := time.Duration(float64(ends) / rate * float64(time.Second))
		r := s.e.Report()
		t.Logf("%d doors in %s; the quota alone allows them in %s: %.3f times that; %d of %d calls answered 429", ends, took, alone, took.Seconds()/alone.Seconds(), r.ByStatus[429], r.Calls)
		if took.Seconds() > 1.05*alone.Seconds() {
			t.Errorf("the last door was shut after %s, more than 1.05 times %s", took, alone)
		}
		open := 0
		for _, u := range s.e.State().Users {
			if u.Guest && !u.Enabled {
				open++
			}
		}
		if open != ends {
			t.Errorf("%d doors are shut, not %d", open, ends)
		}
	})
}

// TestOneDoorInAStorm shuts single doors while the quota is full: each finds room at once.
func TestOneDoorInAStorm(t *testing.T) {
	run(t, "bubble", func(t *testing.T) {
		s := newStorm(t, emulator.Quota{RUPer10s: 8000}, entra.Limits{}, 400)
		opening, stop := context.WithCancel(contractor.WithPriority(t.Context(), contractor.PriorityOpen))
		var all sync.WaitGroup
		for i := range 64 {
			all.Go(func() {
				for n := i; opening.Err() == nil; n++ {
					if _, err := s.UpdateGuest(opening, s.guests[200+n%200], map[string]string{"jobTitle": fmt.Sprint(n)}); err != nil && opening.Err() == nil {
						t.Errorf("opening: %v", err)
						return
					}
				}
			})
		}
		rest(170 * time.Second) // fake time: the quota is full
		var worst time.Duration
		closing := contractor.WithPriority(t.Context(), contractor.PriorityClose)
		for _, id := range s.guests[:20] {
			if _, err := s.Guest(closing, id); err != nil { // as a pass does first
				t.Fatal(err)
			}
			began := time.Now()
			if _, err := s.SetEnabled(closing, id, false); err != nil {
				t.Fatal(err)
			}
			worst = max(worst, time.Since(began))
			rest(2 * time.Second)
		}
		stop()
		all.Wait()
		t.Logf("slowest of 20 doors: %s, of which 120 ms are the way", worst)
		if worst > 500*time.Millisecond {
			t.Errorf("a door waited %s", worst)
		}
	})
}
