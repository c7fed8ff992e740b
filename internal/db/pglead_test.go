package db_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
)

// node is one that stands for election.
type node struct {
	store *db.Store
	lease db.Lease
	leads atomic.Int64 // elections won
	wakes atomic.Int64
	lives atomic.Bool // lead is running
	end   context.CancelFunc
	ended chan struct{}
}

func newNode(t *testing.T, address, tenant string) *node {
	t.Helper()
	n := &node{store: reopen(t, address), ended: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	n.end = cancel
	go func() {
		defer close(n.ended)
		err := n.store.Campaign(ctx, tenant, &n.lease, func() { n.wakes.Add(1) }, func(ctx context.Context) {
			n.leads.Add(1)
			n.lives.Store(true)
			<-ctx.Done()
			n.lives.Store(false)
		}, func(error) {})
		if err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(n.stop)
	return n
}

func (n *node) stop() {
	n.end()
	<-n.ended
}

func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
		select {
		case <-t.Context().Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func testPostgresElection(t *testing.T, p *postgres) {
	name := p.database(t)
	a := newNode(t, p.URL(name), "contoso")
	until(t, "the only node leads", a.lives.Load)
	b := newNode(t, p.URL(name), "contoso")
	const sessions = `SELECT count(*) FROM pg_stat_activity WHERE application_name = 'scimbridge election' AND datname = current_database()`
	until(t, "the second stands by", func() bool { return p.sql(t, name, sessions) == "2" })
	if !a.lease.Held() || b.lease.Held() || b.lives.Load() {
		t.Error("two lead")
	}
	t.Run("AnotherTenantHasItsOwnLeader", func(t *testing.T) {
		other := newNode(t, p.URL(name), "fabrikam")
		until(t, "it leads", other.lives.Load)
		other.stop()
		if other.lease.Held() {
			t.Error("a lead that was given up is held")
		}
	})
	t.Run("ARecordOfAnotherNodeWakesTheLeader", func(t *testing.T) {
		before := a.wakes.Load()
		create(t, b.store, worker("acme", "ann"))
		until(t, "woken", func() bool { return a.wakes.Load() > before })
	})
	// A stream of wakes must not keep the leader from saying that it is there: it was ended for its silence once.
	t.Run("AStreamOfWakesDoesNotSilenceIt", func(t *testing.T) {
		started := time.Now()
		for i := 0; time.Since(started) < 2500*time.Millisecond; i++ {
			create(t, b.store, worker("stream", time.Duration(i).String()))
		}
		if a.leads.Load() != 1 || !a.lease.Held() {
			t.Errorf("%d leads, held %v", a.leads.Load(), a.lease.Held())
		}
		if got := p.sql(t, name, `SELECT count(*) FROM pg_stat_activity WHERE application_name = 'scimbridge election' AND datname = current_database() AND state = 'idle' AND now() - state_change < interval '2 s'`); got != "2" {
			t.Errorf("%s of 2 sessions spoke within 2 s", got)
		}
	})
	t.Run("TheSessionsEndPassesTheLeadOn", func(t *testing.T) {
		started := time.Now()
		p.sql(t, name, `SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_stat_activity s ON s.pid = l.pid
			WHERE l.locktype = 'advisory' AND l.granted AND s.application_name = 'scimbridge election' AND s.datname = current_database()`)
		until(t, "one leads again", func() bool { return a.leads.Load()+b.leads.Load() == 2 })
		t.Logf("led again after %s", time.Since(started).Round(time.Millisecond))
		until(t, "only one does", func() bool { return a.lives.Load() != b.lives.Load() })
	})
	t.Run("ALeaderThatEndsPassesTheLeadOn", func(t *testing.T) {
		leader, standby := a, b
		if b.lives.Load() {
			leader, standby = b, a
		}
		leader.stop()
		until(t, "the other leads", func() bool { return standby.lives.Load() && standby.lease.Held() })
		if leader.lease.Held() {
			t.Error("the former leader still holds the lead")
		}
	})
}

// A leader of yesterday can neither move the next look nor take back what its successor recorded.
func testPostgresStaleLeader(t *testing.T, p *postgres) {
	name := p.database(t)
	former, leader := reopen(t, p.URL(name)), reopen(t, p.URL(name))
	e := create(t, former, worker("acme", "ann"))
	stale, fresh := personOf(t, former, e), personOf(t, leader, e)
	fresh.GuestID, fresh.NextAt = "guest", noon.AddDate(0, 1, 0)
	if err := leader.Record(t.Context(), &contractor.Change{Person: fresh, Finish: true}); err != nil {
		t.Fatal(err)
	}
	stale.GuestID, stale.NextAt = "another", noon.AddDate(1, 0, 0)
	if err := former.Record(t.Context(), &contractor.Change{Person: stale, Finish: true}); !errors.Is(err, contractor.ErrStale) {
		t.Errorf("answered %v", err)
	}
	// The finish itself was taken, with parameters of every type: PostgreSQL takes what it cannot tell for text.
	if got := personOf(t, leader, e); got.GuestID != "guest" || !got.NextAt.Equal(noon.AddDate(0, 1, 0)) {
		t.Errorf("stored %s, next look %s", got.GuestID, got.NextAt)
	}
}
