package scim

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"scimbridge/internal/contractor"
)

// gates keep, for each vendor, how much of it is let in, and its settings compiled.
type gates struct {
	limits Limits
	mu     sync.Mutex
	all    map[string]*gate // by vendor; as many as the mapping has vendors
}

// gate is one vendor's, for as long as its settings are in force.
type gate struct {
	vendor  *contractor.Vendor
	names   *names
	profile profile
	traffic *traffic
}

// traffic outlives a reload of the settings.
type traffic struct {
	limiter *rate.Limiter // nil: no limit
	cap     int
	mu      sync.Mutex
	inside  int

	// What one vendor's requests may hold in memory at once is bounded by these; the others of its requests wait.
	heavy slots // large bodies and pages
	pages slots // pages of usual size
}

// How many of one vendor's requests hold much memory at once, and what counts as much: with these, a vendor that sends the
// costliest bodies there are and reads its pages slowly holds some 300 MB, and not ten times that.
const (
	heavySlots = 4
	pageSlots  = 16
	heavyBody  = 16 << 10 // bytes of a request's body
	heavyPage  = 100      // resources
)

// slots are places that requests wait for.
type slots chan struct{}

func (s slots) enter(ctx context.Context) error {
	select {
	case s <- struct{}{}:
		return nil
	case <-ctx.Done():
		return &busyError{contractor.Errorf(contractor.CodeTooMany, "too many large requests of this vendor are under way; wait for answers before sending more"), time.Second}
	}
}

func (s slots) leave() { <-s }

// of finds a vendor's gate, and makes it anew when the mapping was reloaded.
func (g *gates) of(v *contractor.Vendor, t *resourceType) *gate {
	g.mu.Lock()
	defer g.mu.Unlock()
	old := g.all[v.Name]
	if old != nil && old.vendor == v {
		return old
	}
	n, _ := compileNames(t, v) // mistakes were CheckVendors' to tell when the mapping was loaded
	p, _ := profileOf(v.Profile)
	fresh := &gate{vendor: v, names: n, profile: p, traffic: &traffic{cap: g.limits.Concurrent, heavy: make(slots, heavySlots), pages: make(slots, pageSlots)}}
	if old != nil {
		fresh.traffic = old.traffic
	}
	r := v.RatePerSec
	if r == 0 {
		r = g.limits.Rate
	}
	switch {
	case r < 0:
		fresh.traffic.set(nil)
	default:
		fresh.traffic.set(rate.NewLimiter(rate.Limit(r), int(math.Ceil(2*r))))
	}
	if g.all == nil {
		g.all = map[string]*gate{}
	}
	g.all[v.Name] = fresh
	return fresh
}

func (t *traffic) set(l *rate.Limiter) {
	t.mu.Lock()
	t.limiter = l
	t.mu.Unlock()
}

// busyError is a refusal that says when to come back.
type busyError struct {
	refusal *contractor.Error
	after   time.Duration
}

func (e *busyError) Error() string { return e.refusal.Error() }
func (e *busyError) Unwrap() error { return e.refusal }

// retryAfter is the whole seconds to name in Retry-After.
func retryAfter(err error) int {
	if b, ok := errors.AsType[*busyError](err); ok {
		return max(1, int(math.Ceil(b.after.Seconds())))
	}
	return 1
}

// enter lets one request in, or says when to come back.
func (g *gate) enter(now time.Time) error {
	t := g.traffic
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cap > 0 && t.inside >= t.cap {
		return &busyError{contractor.Errorf(contractor.CodeTooMany, "more than %d requests of this vendor are under way; wait for answers before sending more", t.cap), time.Second}
	}
	if err := t.charge(1, now); err != nil {
		return err
	}
	t.inside++
	return nil
}

func (g *gate) leave() {
	g.traffic.mu.Lock()
	g.traffic.inside--
	g.traffic.mu.Unlock()
}

// charge counts more requests than the one that was let in: the operations of a Bulk request.
func (g *gate) charge(n int, now time.Time) error {
	g.traffic.mu.Lock()
	defer g.traffic.mu.Unlock()
	return g.traffic.charge(n, now)
}

// charge takes n from the rate; more than a whole burst costs a burst.
func (t *traffic) charge(n int, now time.Time) error {
	if t.limiter == nil || n <= 0 {
		return nil
	}
	r := t.limiter.ReserveN(now, min(n, t.limiter.Burst()))
	wait := r.DelayFrom(now)
	if wait == 0 {
		return nil
	}
	r.CancelAt(now)
	return &busyError{contractor.Errorf(contractor.CodeTooMany, "more than %g requests a second; slow down and send it again after the time in Retry-After", float64(t.limiter.Limit())), wait}
}
