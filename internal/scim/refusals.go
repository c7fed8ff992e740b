package scim

import (
	"encoding/json"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// refusalPause is how long refusals from one address are only counted after one was journaled: a client with an old token
// that retries must not fill the journal.
const refusalPause = time.Minute

// refusalPlaces bounds the addresses that are told apart; beyond it they share one place.
const refusalPlaces = 1000

// refusalEvery and refusalBurst bound the journaled refusals of everybody together: whoever has many addresses must not fill
// the journal either. refusalNet6 is how much of an IPv6 address tells strangers apart, in bits.
const (
	refusalEvery = 5 * time.Second
	refusalBurst = 100
	refusalNet6  = 64
)

// refusals decide which failed sign-ins are journaled.
type refusals struct {
	rate *rate.Limiter
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
	if now.Before(e.until) || !r.rate.AllowN(now, 1) {
		e.skipped++
		return 0, false
	}
	skipped, e.skipped, e.until = e.skipped, 0, now.Add(refusalPause)
	return skipped, true
}

// refused journals a failed sign-in. That the journal could not be written is told to the operator, not to the stranger.
func (d *Door) refused(k *call, vendor string, why *contractor.Error) {
	if _, known := d.vendors(vendor); !known {
		d.onRefused("", why.Code)
	} else {
		d.onRefused(vendor, why.Code)
	}
	from := d.signIns.address(k.Request())
	place, remote := from.String(), from.String()
	if net, err := from.Prefix(refusalNet6); err == nil && from.Is6() {
		place = net.String()
	}
	skipped, yes := d.refusals.note(vendor+" "+place, k.now)
	if !yes {
		return
	}
	d.log.WarnContext(k.context(), "a sign-in was refused", "vendor", vendor, "reason", why.Message, "cause", why.Cause, "skipped", skipped)
	ev := audit.Event{
		Time: k.now, Kind: "client.refused", Actor: audit.Actor{Kind: audit.ActorVendor, Name: vendor}, Outcome: audit.Failed, Reason: why.Message, Vendor: vendor,
	}
	ev.Detail, _ = json.Marshal(map[string]any{"method": k.Request().Method, "skipped": skipped})
	ev.Personal, _ = json.Marshal(map[string]string{"address": remote})
	if err := d.store.Refused(k.context(), ev); err != nil {
		d.log.ErrorContext(k.context(), "a refused sign-in could not be journaled", "error", err)
	}
}
