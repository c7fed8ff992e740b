package scim

import (
	"encoding/json"
	"sync"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// refusalPause is how long refusals from one address are only counted after one was journaled: a client with an old token
// that retries must not fill the journal.
const refusalPause = time.Minute

// refusalPlaces bounds the addresses that are told apart; beyond it they share one place.
const refusalPlaces = 1000

// refusals decide which failed sign-ins are journaled.
type refusals struct {
	mu   sync.Mutex
	seen map[string]*refusal
}

type refusal struct {
	until   time.Time
	skipped int
}

// note counts a refusal. yes: it is to be journaled, with the number of those that were not since the last.
func (r *refusals) note(place string, now time.Time) (skipped int, yes bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen = map[string]*refusal{}
	}
	if r.seen[place] == nil && len(r.seen) >= refusalPlaces {
		for p, old := range r.seen {
			if now.After(old.until) {
				delete(r.seen, p)
			}
		}
		if len(r.seen) >= refusalPlaces {
			place = ""
		}
	}
	e := r.seen[place]
	if e == nil {
		e = &refusal{}
		r.seen[place] = e
	}
	if now.Before(e.until) {
		e.skipped++
		return 0, false
	}
	skipped, e.skipped, e.until = e.skipped, 0, now.Add(refusalPause)
	return skipped, true
}

// refused journals a failed sign-in. That the journal could not be written is told to the operator, not to the stranger.
func (d *Door) refused(k *call, vendor string, why *contractor.Error) {
	remote := d.signIns.address(k.Request()).String()
	skipped, yes := d.refusals.note(vendor+" "+remote, k.now)
	if !yes {
		return
	}
	d.log.Warn("a sign-in was refused", "vendor", vendor, "reason", why.Message, "cause", why.Cause, "skipped", skipped)
	ev := audit.Event{
		Time: k.now, Kind: "client.refused", Actor: audit.Actor{Kind: audit.ActorVendor, Name: vendor}, Outcome: audit.Failed, Reason: why.Message, Vendor: vendor,
	}
	ev.Detail, _ = json.Marshal(map[string]any{"method": k.Request().Method, "skipped": skipped})
	ev.Personal, _ = json.Marshal(map[string]string{"address": remote})
	if err := d.store.Refused(k.context(), ev); err != nil {
		d.log.Error("a refused sign-in could not be journaled", "error", err)
	}
}
