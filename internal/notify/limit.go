package notify

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Requests to the page: a person reads and clicks, a guesser does neither.
const (
	perHost      = 20 // a minute
	burstPerHost = 20
	overall      = 50 // a second, of everybody
	maxHosts     = 10_000
)

// limiter bounds requests by address and over all. It forgets addresses that were quiet for ten minutes, and beyond maxHosts
// knows no new one apart.
type limiter struct {
	mu    sync.Mutex
	all   *rate.Limiter
	rest  *rate.Limiter // of addresses beyond maxHosts, together
	hosts map[string]*hostLimit
	swept time.Time
}

type hostLimit struct {
	*rate.Limiter
	last time.Time
}

func newLimiter() *limiter {
	return &limiter{all: rate.NewLimiter(overall, overall), rest: rate.NewLimiter(overall/5, overall), hosts: map[string]*hostLimit{}}
}

func (l *limiter) allow(host string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	const quiet = 10 * time.Minute
	if now.Sub(l.swept) > quiet {
		l.swept = now
		for h, x := range l.hosts {
			if now.Sub(x.last) > quiet {
				delete(l.hosts, h)
			}
		}
	}
	x := l.hosts[host]
	if x == nil {
		if len(l.hosts) >= maxHosts {
			return l.rest.AllowN(now, 1) && l.all.AllowN(now, 1)
		}
		x = &hostLimit{Limiter: rate.NewLimiter(perHost/60.0, burstPerHost)}
		l.hosts[host] = x
	}
	x.last = now
	return x.AllowN(now, 1) && l.all.AllowN(now, 1)
}
