package main

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"scimbridge/internal/db"
)

// role is what a node does beside serving vendors and the console.
type role string

const (
	roleLeader  role = "leader"  // works on the tenant; with SQLite, the one daemon there is
	roleStandby role = "standby" // waits for the leader's end
)

// errNotLeader is the answer to a call to Entra by a node that does not lead: any more, or yet.
var errNotLeader = errors.New("this node does not lead now; another one works on the tenant")

// duty is what one node alone may do: the loop, the watches, mails, the export of the journal.
type duty struct {
	name string
	run  func(context.Context) error
}

// election holds the duties until this node is elected.
type election struct {
	lease  db.Lease
	duties []duty
	look   chan struct{} // another mapping may be in force
}

// role is this node's role now.
func (d *daemon) role() role {
	if !d.config.OnPostgres() || d.election.lease.Held() {
		return roleLeader
	}
	return roleStandby
}

// alone runs a duty: at once with SQLite, where Lead has made sure that there is one daemon, and as leader with PostgreSQL.
func (d *daemon) alone(ctx context.Context, name string, run func(context.Context) error) {
	if d.config.OnPostgres() {
		d.election.duties = append(d.election.duties, duty{name, run})
		return
	}
	d.background(ctx, name, run)
}

// campaign stands for election from now on, and follows the mapping that any node puts into force. All duties are known by then.
func (d *daemon) campaign(ctx context.Context) {
	if !d.config.OnPostgres() {
		return
	}
	d.background(ctx, "mapping of the other nodes", d.followMapping)
	wake := func() {
		d.loop.Wake()
		select {
		case d.election.look <- struct{}{}:
		default:
		}
	}
	d.background(ctx, "election", func(ctx context.Context) error {
		return d.store.Campaign(ctx, d.config.Entra.TenantID, &d.election.lease, wake, d.lead, func(err error) {
			d.log.Error("the election could not be held; trying again", "error", err)
		})
	})
}

// lead does the duties until ctx ends, and returns when all of them have ended. A duty that ends by itself ends the daemon: another
// node leads then.
func (d *daemon) lead(ctx context.Context) {
	d.log.Info("elected: this node works on the tenant", "tenant", d.config.Entra.TenantID)
	defer d.log.Info("standing by: another node may work on the tenant", "tenant", d.config.Entra.TenantID)
	for {
		err := d.follow(ctx)
		if err == nil {
			break
		}
		if ctx.Err() == nil {
			d.log.Error("the mapping in force could not be taken over; trying again in a second", "error", err)
		}
		if !waited(ctx, time.Second, nil) {
			return
		}
	}
	var running sync.WaitGroup
	for _, duty := range d.election.duties {
		running.Go(func() {
			if err := duty.run(ctx); err != nil && ctx.Err() == nil {
				d.fail(errors.Join(errors.New(duty.name+" stopped"), err))
			}
		})
	}
	running.Wait()
}

// waited waits for a time, or until it is woken; false if ctx ended.
func waited(ctx context.Context, t time.Duration, woken <-chan struct{}) bool {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	case <-woken:
	}
	return ctx.Err() == nil
}

// whileLeading lets requests through while held says so; always with nil.
func whileLeading(transport http.RoundTripper, held func() bool) http.RoundTripper {
	if held == nil {
		return transport
	}
	return leaderOnly{transport, held}
}

// leaderOnly lets requests to Entra through while this node leads. A node that was frozen or cut off, and wakes up as leader of
// yesterday, is stopped here before its first word, whatever it was about to do.
type leaderOnly struct {
	next http.RoundTripper
	held func() bool
}

func (t leaderOnly) RoundTrip(req *http.Request) (*http.Response, error) {
	if !t.held() {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, errNotLeader
	}
	return t.next.RoundTrip(req)
}
