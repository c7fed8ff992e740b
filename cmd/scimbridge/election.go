package main

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/db"
)

// role is what a node does beside serving the vendor door.
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

// campaign stands for election from now on. All duties are known by then.
func (d *daemon) campaign(ctx context.Context) {
	if !d.config.OnPostgres() {
		return
	}
	d.background(ctx, "election", func(ctx context.Context) error {
		return d.store.Campaign(ctx, d.config.Entra.TenantID, &d.election.lease, d.loop.Wake, d.lead, func(err error) {
			d.log.Error("the election could not be held; trying again", "error", err)
		})
	})
}

// lead does the duties until ctx ends, and returns when all of them have ended. A duty that ends by itself ends the daemon: another
// node leads then.
func (d *daemon) lead(ctx context.Context) {
	d.log.Info("elected: this node works on the tenant", "tenant", d.config.Entra.TenantID)
	for err := d.activate(ctx, d.mapping.get(), audit.Actor{Kind: audit.ActorAdmin, Name: "serve"}); err != nil; err = d.activate(ctx, d.mapping.get(), audit.Actor{Kind: audit.ActorAdmin, Name: "serve"}) {
		if ctx.Err() != nil {
			return
		}
		d.log.Error("the mapping could not be put into force; trying again in a second", "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
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
	d.log.Info("standing by: another node may work on the tenant", "tenant", d.config.Entra.TenantID)
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
