package entra

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"scimbridge/internal/contractor"
)

// Call is what a metrics hook is told about one request to Graph, when it has been answered or has failed.
type Call struct {
	Op       string // our word: "invite", "disable" …
	Method   string
	Status   int // 0: no answer
	Priority contractor.Priority
	Waited   time.Duration // for the quota
	Took     time.Duration // from sending to the answer
	Write    bool          // counted against the write quota
}

// Stats is the state of the quota as the client models it.
type Stats struct {
	Calls     int64 // requests sent since the start
	Writes    int64 // of these, identity writes
	Units     int64 // resource units they cost
	Throttled int64 // answered 429

	WritesUsed, WritesAllowed int // in the current span of 150 s
	WritesLimit               int // the documented limit, or the configured one
	UnitsUsed, UnitsAllowed   int // in the current span of 10 s
	InFlight                  int
	Waiting                   map[contractor.Priority]int // calls that wait for the quota
	OldestWait                time.Duration
	PausedUntil               time.Time // by a 429; zero: not paused
	LeaveDateRefused          bool      // employeeLeaveDateTime is not written: its permission is missing
}

// Stats reads the quota's state.
func (c *Client) Stats() Stats {
	s := c.budget.stats(time.Now())
	s.LeaveDateRefused = c.leaveDenied.Load() > time.Now().UnixNano()
	return s
}

func (b *budget) stats(now time.Time) Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	writes := b.windows[laneWrite]
	writes.expire(now)
	b.units.expire(now)
	s := Stats{
		Calls: b.calls, Writes: b.writes, Units: b.unitsSum, Throttled: b.throttled,
		WritesUsed: writes.used(), WritesAllowed: writes.allowed(), WritesLimit: writes.limit,
		UnitsUsed: b.units.used(), UnitsAllowed: b.units.allowed(),
		Waiting: map[contractor.Priority]int{},
	}
	for l := range lanes {
		s.InFlight += b.flying[l]
		if b.paused[l].After(now) {
			s.PausedUntil = latest(s.PausedUntil, b.paused[l])
		}
		for r := range b.lines[l].ranks {
			for _, q := range b.lines[l].ranks[r].waiting {
				for _, w := range q {
					if w != nil && !w.gone {
						s.Waiting[w.priority]++
						s.OldestWait = max(s.OldestWait, now.Sub(w.since))
					}
				}
			}
		}
	}
	return s
}

// report tells the hook and the log about an attempt.
func (c *Client) report(ctx context.Context, k *call, ex *exchange, t ticket) {
	if c.onCall == nil && !c.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	took := time.Duration(0)
	if !ex.began.IsZero() {
		if ex.ended.IsZero() {
			ex.ended = time.Now()
		}
		took = ex.ended.Sub(ex.began)
	}
	if c.onCall != nil {
		c.onCall(Call{Op: k.op, Method: k.method, Status: ex.status, Priority: t.priority, Waited: t.waited, Took: took, Write: k.cost.lane == laneWrite})
	}
	c.log.DebugContext(ctx, "graph", "op", k.op, "method", k.method, "status", ex.status, "took", took, "waited", t.waited,
		"client_request_id", ex.id, "request_id", header(ex, "request-id"), "ags", header(ex, "x-ms-ags-diagnostic"))
}

// serverClock compares this machine's clock with the Date of Graph's answers.
type serverClock struct {
	mu    sync.Mutex
	ahead time.Duration
	at    time.Time
	round time.Duration // how long the answer took: bounds the error
}

const (
	// skewFresh is how long a comparison counts.
	skewFresh = 5 * time.Minute
	// slowAnswer is too long under way to tell the time by, where a better one is at hand.
	slowAnswer = 5 * time.Second
)

func (s *serverClock) note(ex *exchange) {
	if ex.status == 0 || ex.header == nil {
		return
	}
	date, err := http.ParseTime(ex.header.Get("Date"))
	if err != nil {
		return
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	round := ex.ended.Sub(ex.began)
	if round > slowAnswer && round > s.round && now.Sub(s.at) < skewFresh {
		return
	}
	// The header is cut to the second and was written between sending and receiving: take the middle of both.
	middle := ex.began.Round(0).Add(ex.ended.Round(0).Sub(ex.began.Round(0)) / 2)
	s.ahead, s.at, s.round = middle.Sub(date.Add(500*time.Millisecond)), now, round
}

// ClockSkew is how far this machine's clock is ahead of Graph's, by the newest answer's Date header (exact to about a second),
// and whether an answer of the last five minutes tells.
func (c *Client) ClockSkew() (ahead time.Duration, known bool) {
	c.clock.mu.Lock()
	defer c.clock.mu.Unlock()
	if c.clock.at.IsZero() || time.Since(c.clock.at) > skewFresh {
		return 0, false
	}
	return c.clock.ahead, true
}

// serverNow estimates Graph's clock.
func (c *Client) serverNow() time.Time {
	ahead, known := c.ClockSkew()
	if !known || ahead.Abs() < 2*time.Second { // within the header's own resolution
		ahead = 0
	}
	return time.Now().Add(-ahead)
}
