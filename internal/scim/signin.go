package scim

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// signIn finds out which vendor calls. Every refusal of credentials reads alike, whatever was wrong with them.
func (k *call) signIn() error {
	d, r := k.door, k.Request()
	client, err := d.authenticate(k, r)
	if err != nil {
		var e *contractor.Error
		if errors.As(err, &e) && e.Code == contractor.CodeUnauthorized {
			d.refused(k, "", e.Message)
		}
		return err
	}
	v, ok := d.vendors(client.Vendor)
	if !ok {
		d.refused(k, client.Vendor, "the vendor is not in the mapping")
		return contractor.Errorf(contractor.CodeForbidden, "the credentials are good, but the customer's mapping has no vendor of this name; ask the customer to add it")
	}
	k.client, k.vendor = client, v
	return nil
}

// authenticate reads the credentials of a request.
func (d *Door) authenticate(k *call, r *http.Request) (Client, error) {
	scheme, cred, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	cred = strings.TrimSpace(cred)
	switch {
	case !ok || cred == "":
		return Client{}, contractor.Errorf(contractor.CodeUnauthorized, "no credentials; send the vendor's token as Authorization: Bearer …")
	case strings.EqualFold(scheme, "bearer"):
		return d.store.Authenticate(k.ctx, HashToken(cred), k.now)
	}
	return Client{}, contractor.Errorf(contractor.CodeUnauthorized, "this way of signing in is not offered; send the vendor's token as Authorization: Bearer …")
}

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
func (d *Door) refused(k *call, vendor, why string) {
	remote, _, err := net.SplitHostPort(k.Request().RemoteAddr)
	if err != nil {
		remote = k.Request().RemoteAddr
	}
	skipped, yes := d.refuse.note(vendor+" "+remote, k.now)
	if !yes {
		return
	}
	ev := audit.Event{
		Time: k.now, Kind: "client.refused", Actor: audit.Actor{Kind: audit.ActorVendor, Name: vendor}, Outcome: audit.Failed, Reason: why, Vendor: vendor,
	}
	ev.Detail, _ = json.Marshal(map[string]any{"method": k.Request().Method, "skipped": skipped})
	ev.Personal, _ = json.Marshal(map[string]string{"address": remote})
	if err := d.store.Refused(k.ctx, ev); err != nil {
		d.log.Error("a refused sign-in could not be journaled", "error", err)
	}
}
