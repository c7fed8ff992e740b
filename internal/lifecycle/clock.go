package lifecycle

import (
	"fmt"
	"sync"
	"time"

	"scimbridge/internal/contractor"
)

// jumpWatch notices that the wall clock moved against the monotonic one: somebody set it.
type jumpWatch struct {
	mu     sync.Mutex
	last   time.Time // carries the monotonic reading
	jumped time.Duration
}

// note compares the two clocks with the last call's. A suspended machine is no jump: its wall clock is right afterwards, and
// the skew against Entra's clock tells the two apart.
func (j *jumpWatch) note(now time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.last.IsZero() {
		wall := now.Round(0).Sub(j.last.Round(0))
		j.jumped += wall - now.Sub(j.last)
	}
	j.last = now
}

func (j *jumpWatch) total() time.Duration {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.jumped
}

// ClockDoubt says why this machine's clock must not take anything away now, "" if it may.
func (l *Loop) ClockDoubt() string {
	_, why := l.doubtClock()
	return why
}

// doubtClock says by how much and why this machine's clock must not end anything now, zero and "" if it may (product rule 8). Entra's clock decides
// where it was heard; before that, a jump seen since the start does.
func (l *Loop) doubtClock() (off contractor.ClockDoubt, why string) {
	if l.Skew != nil {
		if ahead, known := l.Skew(); known {
			if ahead.Abs() > l.MaxSkew {
				return contractor.ClockDoubt(ahead.Abs()), fmt.Sprintf("this machine's clock is %s off Entra's; set it right (chronyc tracking, timedatectl)", contractor.Lasting(ahead.Round(time.Second)))
			}
			return 0, ""
		}
	}
	if d := l.jump.total(); d.Abs() > l.MaxSkew {
		return contractor.ClockDoubt(d.Abs()), fmt.Sprintf("this machine's clock was moved by %s since the start; waiting until Entra's clock confirms it", contractor.Lasting(d.Round(time.Second)))
	}
	return 0, ""
}

// unheard is the doubt about a clock that Entra's has not confirmed lately: enough to let a hold wait, not an end. The pass reads the
// guest and hears it.
const unheard contractor.ClockDoubt = 1

// askClock notes what is known of this machine's clock.
func (ps *pass) askClock() {
	ps.clock, ps.doubt = ps.doubtClock()
	if ps.clock == 0 && ps.Skew != nil && ps.p.GuestID != "" && ps.p.Phase != contractor.PhaseGone {
		if _, known := ps.Skew(); !known {
			ps.clock = unheard
		}
	}
}

// lookAtExpiry notes when a hold that waits expires. While the clock is doubted it does not.
func (ps *pass) lookAtExpiry(h contractor.Hold) {
	if !h.Expires.After(ps.now) {
		if ps.clock == unheard {
			ps.lookIn(lookSoon)
		}
		ps.lookIn(time.Minute)
		return
	}
	ps.looks = append(ps.looks, h.Expires)
}

// endedByVendor reports whether the vendor itself, not the clock, ended the engagement.
func endedByVendor(p *contractor.Person, engagement string) bool {
	for i := range p.Engagements {
		if e := &p.Engagements[i]; e.ID == engagement {
			return !e.EndedAt.IsZero()
		}
	}
	return true // the engagement was moved to another person or is unknown: no clock was involved
}

// allEndedByVendor reports whether no clock is needed to say that the person has left.
func allEndedByVendor(p *contractor.Person) bool {
	for i := range p.Engagements {
		if p.Engagements[i].EndedAt.IsZero() {
			return false
		}
	}
	return true
}
