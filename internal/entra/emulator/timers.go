package emulator

import (
	"container/heap"
	"time"
)

// timers hold what will happen by itself. Nothing runs in the background: settle is
// called at the start of every request and does what has become due, in order.
type timers struct {
	queue timerQueue
	seq   int
}

type timer struct {
	at  time.Time
	seq int
	do  func(at time.Time)
}

// at asks for do to be called with t once the clock has reached t.
func (q *timers) at(t time.Time, do func(time.Time)) {
	q.seq++
	heap.Push(&q.queue, timer{t, q.seq, do})
}

func (q *timers) settle(now time.Time) {
	for len(q.queue) > 0 && !q.queue[0].at.After(now) {
		next := heap.Pop(&q.queue).(timer) //nolint:errcheck // nothing else is pushed
		next.do(next.at)
	}
}

type timerQueue []timer

func (q *timerQueue) Len() int { return len(*q) }
func (q *timerQueue) Less(i, j int) bool {
	a, b := (*q)[i], (*q)[j]
	if !a.at.Equal(b.at) {
		return a.at.Before(b.at)
	}
	return a.seq < b.seq
}
func (q *timerQueue) Swap(i, j int) { (*q)[i], (*q)[j] = (*q)[j], (*q)[i] }
func (q *timerQueue) Push(x any)    { *q = append(*q, x.(timer)) } //nolint:errcheck // nothing else is pushed
func (q *timerQueue) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = timer{}
	*q = old[:len(old)-1]
	return last
}
