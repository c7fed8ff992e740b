package lifecycle_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"scimbridge/internal/entra/emulator"
)

// TestStages follows a guest from its end to its deletion through a bridge that is killed at every stage: each comes at its time, once,
// and is seen done before the next; who comes back has all of it again.
func TestStages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mapping := strings.Replace(worldMapping, "acme: {email_domains: [acme.example]}", "acme: {email_domains: [acme.example], offboarding: {remove_sponsor_after: 7d, delete_after: 20d}}", 1)
		w := newWorldOf(t, emulator.Config{Seed: 91, Lag: 5 * time.Second}, mapping)
		defer func() { w.stopRun() }()
		end := time.Now().AddDate(0, 0, 10)
		id := w.push("acme", who{mail: "ada@acme.example", title: "Developer", department: "Finance", end: end})
		w.pass(5 * time.Minute)
		sponsors := func() int { return len(w.guest("ada@acme.example").Sponsors) }
		if sponsors() != 1 {
			t.Fatalf("%d sponsors at work", sponsors())
		}
		for second := range 20 { // the bridge dies at every moment of the closing
			w.until(end.Add(time.Duration(second) * time.Second))
			w.crash()
		}
		w.pass(5 * time.Minute)
		if g := w.guest("ada@acme.example"); g.Enabled || len(w.holds("ada@acme.example")) > 0 || sponsors() != 1 {
			t.Fatalf("closed: %+v, %v\n%s", g, w.holds("ada@acme.example"), w.tell())
		}
		for second := range 10 {
			w.until(end.AddDate(0, 0, 7).Add(time.Duration(second) * time.Second))
			w.crash()
		}
		w.pass(5 * time.Minute)
		if sponsors() != 0 {
			t.Fatalf("%d sponsors a week after the end\n%s", sponsors(), w.tell())
		}
		w.end(id, end.AddDate(0, 0, 40)) // hired again
		w.pass(5 * time.Minute)
		if g := w.guest("ada@acme.example"); !g.Enabled || sponsors() != 1 || len(w.holds("ada@acme.example")) != 3 {
			t.Fatalf("hired again: enabled %v, %d sponsors, %v\n%s", g.Enabled, sponsors(), w.holds("ada@acme.example"), w.tell())
		}
		w.until(end.AddDate(0, 0, 40).Add(-time.Minute))
		before := len(w.journal())
		w.until(end.AddDate(0, 0, 61))
		if g := w.guest("ada@acme.example"); g.Deleted == nil {
			t.Errorf("not deleted\n%s", w.tell())
		}
		var order []string
		for _, e := range w.journal()[before:] {
			if slices.Contains([]string{"guest.disabled", "guest.sessions_revoked", "guest.empty", "guest.unsponsor_sent", "guest.unsponsored", "guest.delete_sent", "guest.gone"}, e.Kind) {
				order = append(order, e.Kind)
			}
		}
		want := []string{"guest.sessions_revoked", "guest.disabled", "guest.empty", "guest.unsponsor_sent", "guest.unsponsored", "guest.delete_sent", "guest.gone"}
		if !slices.Equal(order, want) {
			t.Errorf("stages %v, want %v\n%s", order, want, w.tell())
		}
		w.checkTenant()
	})
}
