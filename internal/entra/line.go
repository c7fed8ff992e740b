package entra

import (
	"time"

	"scimbridge/internal/contractor"
)

// waiter is a call that waits for the quota.
type waiter struct {
	ready    chan struct{} // closed when it may go
	cost     cost
	priority contractor.Priority
	vendor   string
	since    time.Time
	gone     bool // its caller gave up
}

// line is the queue of one lane: by priority, doors that are being shut first; within a priority the vendors take turns, and
// each vendor's calls keep the order in which they came.
type line struct {
	ranks [ranks]rank
}

const (
	priorities = int(contractor.PrioritySweep) + 1
	ranks      = priorities + 1 // rank 0: sign-in being disabled
)

type rank struct {
	turns   []string // vendors with somebody waiting, next turn first
	waiting map[string][]*waiter
}

func (w *waiter) rank() int {
	if w.cost.shut {
		return 0
	}
	return int(w.priority) + 1
}

func (l *line) push(w *waiter) {
	r := &l.ranks[w.rank()]
	if r.waiting == nil {
		r.waiting = map[string][]*waiter{}
	}
	if len(r.waiting[w.vendor]) == 0 {
		r.turns = append(r.turns, w.vendor)
	}
	r.waiting[w.vendor] = append(r.waiting[w.vendor], w)
}

// first is whose turn it is; nil if nobody waits.
func (l *line) first() *waiter {
	for i := range l.ranks {
		if w := l.ranks[i].first(); w != nil {
			return w
		}
	}
	return nil
}

func (r *rank) first() *waiter {
	for len(r.turns) > 0 {
		v := r.turns[0]
		q := r.waiting[v]
		for len(q) > 0 && q[0].gone {
			q[0] = nil
			q = q[1:]
		}
		if len(q) > 0 {
			r.waiting[v] = q
			return q[0]
		}
		delete(r.waiting, v)
		r.turns = r.turns[1:]
	}
	return nil
}

// pop takes the waiter that first returned; its vendor goes to the end of the turns.
func (l *line) pop(w *waiter) {
	r := &l.ranks[w.rank()]
	q := r.waiting[w.vendor]
	q[0] = nil
	q = q[1:]
	r.turns = r.turns[1:]
	if len(q) == 0 {
		delete(r.waiting, w.vendor)
		return
	}
	r.waiting[w.vendor] = q
	r.turns = append(r.turns, w.vendor)
}
