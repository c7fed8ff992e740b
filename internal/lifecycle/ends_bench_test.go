package lifecycle_test

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
	"scimbridge/internal/entra/emulator"
)

// BenchmarkEndsAtOneSecond lets 100,000 engagements end at one second and watches the loop for half a minute of it: when the first
// door is shut, how many are by then (Graph's quota bounds that, not the loop), and what the loop itself costs. SCIMBRIDGE_PEOPLE says how many instead.
func BenchmarkEndsAtOneSecond(b *testing.B) {
	people, watch := 100_000, 30*time.Second
	if s := os.Getenv("SCIMBRIDGE_PEOPLE"); s != "" {
		if _, err := fmt.Sscan(s, &people); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		w := newWorld(b, emulator.Config{Seed: 1, Throttle: -1, ServerError: -1, Lag: -1})
		w.stopRun()
		end := time.Now().Add(time.Second).UTC().Truncate(time.Microsecond)
		fillEnds(b, w, people, end)
		end = time.Now().UTC() // filling took longer than a second: all are due
		calls := len(w.tenant.Calls())
		before := cpu(b)
		w.start()
		var peak uint64
		for time.Since(end) < watch {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapAlloc)
			time.Sleep(100 * time.Millisecond)
		}
		spent := cpu(b) - before
		passes := w.loop.Passes()
		doors, first := 0, time.Time{}
		for _, c := range w.tenant.Calls()[calls:] {
			if c.Operation == "user.update" && c.Done {
				if doors == 0 {
					first = c.Time
				}
				doors++
			}
		}
		w.stopRun()
		if doors == 0 {
			b.Fatal("no door was shut")
		}
		b.ReportMetric(float64(first.Sub(end).Microseconds())/1000, "first-ms")
		b.ReportMetric(float64(doors), "doors")
		b.ReportMetric(float64(passes)/float64(doors), "passes/door")
		b.ReportMetric(spent.Seconds()*100/watch.Seconds(), "cpu-%")
		b.ReportMetric(float64(peak)/(1<<20), "peak-MiB")
	}
}

// fillEnds stores people who are in the tenant and whose engagements end at one instant.
func fillEnds(b *testing.B, w *world, people int, end time.Time) {
	b.Helper()
	s, err := db.Open(b.Context(), db.Config{Path: w.path})
	must(b, err)
	const writers = 64
	errs := make(chan error, writers)
	for k := range writers {
		go func() { errs <- fillSome(b, w, s, k, people, writers, end) }()
	}
	for range writers {
		must(b, <-errs)
	}
	must(b, s.Close())
}

func fillSome(b *testing.B, w *world, s *db.Store, from, people, step int, end time.Time) error {
	now := time.Now().UTC().Truncate(time.Microsecond)
	for i := from; i < people; i += step {
		mail := fmt.Sprintf("p%d@acme.example", i)
		guest, err := w.tenant.AddUser(emulator.UserSeed{Guest: true, Accepted: true, Mail: mail, Name: mail})
		if err != nil {
			return err
		}
		e := contractor.Engagement{
			ID: fmt.Sprintf("00000000-0000-4000-8000-%012d", i), Vendor: "acme", Version: 1, Created: now, Modified: now, Resource: []byte("{}"),
			Record: contractor.Record{UserName: mail, Email: mail, Active: true, Supplier: "ACME", EndDate: end.Format(time.RFC3339), SponsorEmail: "sponsor@contoso.example"},
		}
		made, err := s.Create(b.Context(), e, 0, audit.Event{Kind: "engagement.created", Actor: audit.Actor{Kind: audit.ActorVendor, Name: "acme"}, Outcome: audit.Done})
		if err != nil {
			return err
		}
		p, err := s.Person(b.Context(), made.Person)
		if err != nil {
			return err
		}
		p.GuestID, p.Origin, p.Phase, p.InvitedAt, p.NextAt, p.Urgent = guest, contractor.OriginInvited, contractor.PhaseOpen, now, end, true
		if err := s.Record(b.Context(), &contractor.Change{Person: p, Finish: true}); err != nil {
			return err
		}
	}
	return nil
}

// cpu is what this process has used.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
