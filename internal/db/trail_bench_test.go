package db_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/db"
)

// journalOf fills a store's journal with n events of the usual kinds and sizes.
func journalOf(t testing.TB, s *db.Store, n int) {
	t.Helper()
	batch := make([]audit.Event, 0, 1000)
	for i := range n {
		batch = append(batch, journalEvent(i))
		if len(batch) == cap(batch) || i == n-1 {
			if err := s.AppendEvents(t.Context(), batch...); err != nil {
				t.Fatal(err)
			}
			batch = batch[:0]
		}
	}
}

func journalEvent(i int) audit.Event {
	person := fmt.Sprintf("0193a5c2-7b1e-7d2a-9c41-%012x", i%5000)
	e := audit.Event{
		Kind: "grant.added", Actor: audit.Actor{Kind: audit.ActorBridge}, Outcome: audit.Done, Reason: "wanted by a rule and missing",
		Person: person, Engagement: fmt.Sprintf("0193a5c2-7b1e-7d2a-8c41-%012x", i%7000), Vendor: "fieldglass",
		Entitlement: "group ext-base (3f0c6f0e-1d7b-4b1f-9a57-0b1f0a3a9a01)", Rule: "everyone", Line: 41,
		Revision: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", Until: time.Date(2027, 6, 30, 21, 59, 59, 0, time.UTC),
		RequestID: "0b7e7e6c-3d3e-4a55-9c39-6a9ef8f6f6b1", ClientID: "b1d5ad4c-4c5c-4a3c-9f8e-0b1c2d3e4f50",
		Detail: json.RawMessage(`{"mechanism":"pim","entraEnd":"2027-06-30T21:59:59Z"}`),
	}
	if i%4 == 0 {
		e.Kind, e.Actor = "engagement.created", audit.Actor{Kind: audit.ActorVendor, Name: "fieldglass"}
		e.Personal = json.RawMessage(fmt.Sprintf(`{"userName":"w%d","email":"w%d@acme.example","name":"Wanda %d"}`, i, i, i))
	}
	return e
}

// BenchmarkVerifyTrail walks a million events: every hash, the chain, the stored tree, and a checkpoint that was kept elsewhere.
func BenchmarkVerifyTrail(b *testing.B) {
	for _, n := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprintf("%d", n), func(b *testing.B) {
			if testing.Short() && n > 100_000 {
				b.Skip("a million events take a minute to write")
			}
			s := reopen(b, filepath.Join(b.TempDir(), "scimbridge.db"))
			journalOf(b, s, n)
			sealer := newSealer(b, s)
			started := time.Now()
			signed, err := s.Seal(b.Context(), sealer)
			if err != nil {
				b.Fatal(err)
			}
			first := time.Since(started)
			kept := []audit.KnownCheckpoint{{SignedCheckpoint: signed, Source: "elsewhere", Kept: true}}
			cpu := cpuTime(b)
			for b.Loop() {
				report, err := s.VerifyTrail(b.Context(), kept, nil)
				if err != nil {
					b.Fatal(err)
				}
				if report.Events != int64(n) || report.Covered != int64(n) {
					b.Fatalf("report %+v", report)
				}
			}
			b.ReportMetric(first.Seconds(), "s/first-checkpoint")
			b.ReportMetric((cpuTime(b)-cpu).Seconds()/float64(b.N), "cpu-s/verify")
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/verify")
		})
	}
}

// cpuTime is what the process has used of all cores, which says more than the clock where others work on them too.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// newSealer makes a key beside a store.
func newSealer(t testing.TB, s *db.Store) *audit.Sealer {
	t.Helper()
	origin, err := audit.NewOrigin()
	if err != nil {
		t.Fatal(err)
	}
	path := s.Path()
	if db.IsPostgres(path) {
		path = filepath.Join(t.TempDir(), "journal")
	}
	key, err := audit.MakeKey(path+".audit-key", origin, s.Path())
	if err != nil {
		t.Fatal(err)
	}
	return &audit.Sealer{Key: key, Last: path + ".audit-last", Like: s.Path()}
}
