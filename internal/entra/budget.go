package entra

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"scimbridge/internal/contractor"
)

// Rate is a limit of Graph: at most Count per span of Per.
type Rate struct {
	Count int
	Per   time.Duration
}

// Limits are Graph's, as documented for one application in one tenant ("Microsoft Graph service-specific throttling limits").
// Zero fields take the documented figure.
type Limits struct {
	Units    Rate // resource units of the identity service; default 8,000 per 10 s (a tenant of more than 500 users)
	Writes   Rate // identity writes; default 3,000 per 150 s
	Reports  Rate // audit and sign-in logs; default 5 per 10 s
	Policies Rate // conditional access, shared by all applications of the tenant; default 1 per second
	// Governance is for entitlement management, for which no figure is published; default 100 per 10 s, lowered by its 429s.
	Governance Rate
	// InFlight is how many identity calls may be under way at once; default 64.
	InFlight int
}

func (l Limits) withDefaults() Limits {
	set := func(r *Rate, count int, per time.Duration) {
		if *r == (Rate{}) {
			*r = Rate{count, per}
		}
	}
	set(&l.Units, 8000, 10*time.Second)
	set(&l.Writes, 3000, 150*time.Second)
	set(&l.Reports, 5, 10*time.Second)
	set(&l.Policies, 1, time.Second)
	set(&l.Governance, 100, 10*time.Second)
	if l.InFlight == 0 {
		l.InFlight = maxInFlight
	}
	return l
}

func (l Limits) validate() error {
	for _, r := range []Rate{l.Units, l.Writes, l.Reports, l.Policies, l.Governance} {
		if r.Count < 1 || r.Per <= 0 {
			return errors.New("entra: every limit needs a count of at least 1 and a span")
		}
	}
	if l.InFlight < 4 {
		return errors.New("entra: Limits.InFlight must be at least 4")
	}
	return nil
}

// maxInFlight identity calls keep the quota busy at three seconds a write; more would only move the queue to the far side,
// where nobody goes first.
const maxInFlight = 64

// lane is a part of Graph with a quota of its own.
type lane int

const (
	laneWrite      lane = iota // identity writes, PIM for Groups among them (no figure of its own is published)
	laneRead                   // identity reads
	laneReports                // auditLogs
	lanePolicies               // conditional access
	laneGovernance             // entitlement management
	lanes
)

// cost is what a call takes from the quota.
type cost struct {
	lane  lane
	units int  // resource units, identity lanes only
	shut  bool // shuts a person's door: goes before everything and may use the quota in one burst
}

// ticket is the permission to send one call.
type ticket struct {
	cost     cost
	priority contractor.Priority
	waited   time.Duration
}

// budget lets calls go in the order of their importance, just under the quota.
//
// Every call waits in the line of its lane. The head of a line goes when the lane's windows have room, when its turn in the
// pace has come, and when not too many are under way. A priority may use a share of the window in a burst; beyond that share
// it goes at the pace that the window can bear for ever, so nothing ever stands still for the length of a window and a door
// that has to be shut finds room at any time.
type budget struct {
	mu      sync.Mutex
	limits  Limits
	lines   [lanes]line
	windows [lanes]*window // the lane's own; laneRead has none
	units   *window        // shared by laneWrite and laneRead
	pacers  [lanes]pacer
	flying  [lanes]int
	paused  [lanes]time.Time
	steady  [lanes]time.Time // no bursts before this
	strikes [lanes]int       // 429s in a row
	timer   *time.Timer

	calls     int64
	throttled int64
	writes    int64
	unitsSum  int64
}

// pacer holds when the next call would be due at the two paces of a lane: the even one, and the one that bounds spikes.
type pacer struct {
	even, spike time.Time
	step        time.Duration // between calls at the even pace, as worked out at
	at          time.Time
}

// paceFor is how long a worked-out pace is kept: working it out reads the window's whole log.
const paceFor = 100 * time.Millisecond

const (
	// paceSlack is how far a lane may run ahead of its pace: one second's worth, so that a few calls at once pass.
	paceSlack = time.Second
	// burstFactor is how many times its even pace a lane may reach in a burst: services throttle spikes, too.
	burstFactor = 5
)

// burstShare is the part of a window that calls of a rank (see line) may fill in a burst.
func burstShare(rank int) float64 {
	switch rank {
	case 0: // doors being shut
		return 0.9
	case 1: // closing
		return 0.7
	case 2: // opening
		return 0.5
	case 3: // refreshing
		return 0.3
	}
	return 0
}

func newBudget(l Limits) *budget {
	b := &budget{limits: l, units: newWindow(l.Units)}
	b.windows[laneWrite] = newWindow(l.Writes)
	b.windows[laneReports] = newWindow(l.Reports)
	b.windows[lanePolicies] = newWindow(l.Policies)
	b.windows[laneGovernance] = newWindow(l.Governance)
	return b
}

// maxFlying is how many calls of the lane may be under way. What closes access may use the last quarter, nothing else may.
func (b *budget) maxFlying(l lane, rank int) int {
	n := b.limits.InFlight / 2
	switch l {
	case laneReports, lanePolicies:
		return 1
	case laneGovernance:
		n = max(n/4, 4)
	}
	if rank > 1 {
		n -= n / 4
	}
	return n
}

// acquire waits until the call may go. The caller must settle the ticket.
func (b *budget) acquire(ctx context.Context, c cost) (ticket, error) {
	w := &waiter{
		ready: make(chan struct{}), cost: c, since: time.Now(),
		priority: min(max(contractor.PriorityOf(ctx), contractor.PriorityClose), contractor.PrioritySweep),
		vendor:   contractor.VendorOf(ctx),
	}
	b.mu.Lock()
	b.lines[c.lane].push(w)
	b.dispatch(w.since)
	b.mu.Unlock()
	select {
	case <-w.ready:
	case <-ctx.Done():
		b.mu.Lock()
		select {
		case <-w.ready: // it was let go at the same moment: give the place back
			b.release(w.cost, time.Now(), false, 0)
		default:
			w.gone = true
		}
		b.mu.Unlock()
		return ticket{}, ctx.Err()
	}
	return ticket{cost: c, priority: w.priority, waited: time.Since(w.since)}, nil
}

// dispatch lets go whoever may go, and sets the alarm for the next who may. The lock is held.
func (b *budget) dispatch(now time.Time) {
	b.units.expire(now)
	for _, w := range b.windows {
		if w != nil {
			w.expire(now)
		}
	}
	var next time.Time
	for l := range lanes {
		for {
			w := b.lines[l].first()
			if w == nil {
				break
			}
			at := b.admitAt(l, w, now)
			if at.After(now) {
				if next.IsZero() || at.Before(next) {
					next = at
				}
				break
			}
			b.lines[l].pop(w)
			b.start(l, w, now)
			close(w.ready)
		}
	}
	if b.timer != nil {
		b.timer.Stop()
		b.timer = nil
	}
	if !next.IsZero() {
		b.timer = time.AfterFunc(next.Sub(now), b.wake)
	}
}

func (b *budget) wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dispatch(time.Now())
}

// admitAt is the earliest time at which w may go, as far as can be told now; not after now means now.
func (b *budget) admitAt(l lane, w *waiter, now time.Time) time.Time {
	rank := w.rank()
	if b.flying[l] >= b.maxFlying(l, rank) {
		return now.Add(time.Hour) // the next settle asks again
	}
	at := b.paused[l]
	if w.cost.units > 0 {
		at = latest(at, b.units.roomAt(now, w.cost.units+kept(b.units, rank)))
	}
	own := b.windows[l]
	if own == nil {
		return at
	}
	at = latest(at, own.roomAt(now, 1+kept(own, rank)))
	if at.After(now) {
		return at
	}
	slack := min(paceSlack, own.span/4)
	if b.mayBurst(l, rank, now) {
		return b.pacers[l].spike.Add(-slack)
	}
	return b.pacers[l].even.Add(-slack)
}

// kept is the part of a window that calls of the rank leave alone. Sweeps are sent with x-ms-throttle-priority: low, so the
// service refuses them before the limit is reached.
func kept(w *window, rank int) int {
	if rank < ranks-1 {
		return 0
	}
	return int(float64(w.allowed()) * keptFromSweeps)
}

// keptFromSweeps is the share of a window that sweeps leave to others.
const keptFromSweeps = 0.15

// mayBurst reports whether a call of the rank need not keep the even pace now.
func (b *budget) mayBurst(l lane, rank int, now time.Time) bool {
	own := b.windows[l]
	return !now.Before(b.steady[l]) && float64(own.used()+1) <= burstShare(rank)*float64(own.allowed())
}

// start takes the call's cost from the windows.
func (b *budget) start(l lane, w *waiter, now time.Time) {
	b.flying[l]++
	if w.cost.units > 0 {
		b.units.start(w.cost.units)
	}
	own := b.windows[l]
	if own == nil {
		return
	}
	p := &b.pacers[l]
	p.spike = latest(p.spike, now).Add(own.span / time.Duration(own.limit*burstFactor))
	if !b.mayBurst(l, w.rank(), now) {
		if now.Sub(p.at) >= paceFor {
			p.step, p.at = own.span, now
			if rate := own.pace(now); rate > 0 {
				p.step = min(p.step, time.Duration(float64(time.Second)/rate))
			}
		}
		p.even = latest(p.even, now).Add(p.step)
	}
	own.start(1)
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// settle books what a call really cost and what Graph said about the quota.
func (b *budget) settle(t ticket, ex *exchange) {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	units := t.cost.units
	if v, err := strconv.Atoi(header(ex, "x-ms-resource-unit")); err == nil && v >= 0 && t.cost.units > 0 {
		units = v
	}
	sent := !ex.began.IsZero() && !ex.unsent()
	if sent {
		b.calls++
		b.unitsSum += int64(units)
		if t.cost.lane == laneWrite {
			b.writes++
		}
	}
	b.release(t.cost, now, sent, units)
	l := t.cost.lane
	switch {
	case ex.status == http.StatusTooManyRequests:
		b.throttle(l, ex, now)
	case ok(ex.status):
		b.strikes[l] = 0
		if p, err := strconv.ParseFloat(header(ex, "x-ms-throttle-limit-percentage"), 64); err == nil {
			b.calibrate(l, now, p)
		}
	}
	b.dispatch(now)
}

func header(ex *exchange, name string) string {
	if ex.header == nil {
		return ""
	}
	return ex.header.Get(name)
}

// release ends a call's flight. A call that never left costs nothing. The lock is held.
func (b *budget) release(c cost, now time.Time, sent bool, units int) {
	one := 1
	if !sent {
		one, units = 0, 0
	}
	b.flying[c.lane]--
	if c.units > 0 {
		b.units.end(now, c.units, units)
	}
	if w := b.windows[c.lane]; w != nil {
		w.end(now, 1, one)
	}
}
