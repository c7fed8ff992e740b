package console

import (
	"sync"
	"time"
)

// oneTime are values that are handed out once each, for a while, by the hash of a secret: links to sign in with, sign-ins under
// way. Bounded: when it is full, there is no more until some are over.
type oneTime[T any] struct {
	mu   sync.Mutex
	most int
	open map[[32]byte]waiting[T]
}

type waiting[T any] struct {
	value T
	till  time.Time
}

func newOneTime[T any](most int) *oneTime[T] {
	return &oneTime[T]{most: most, open: map[[32]byte]waiting[T]{}}
}

// add reports whether there was room.
func (l *oneTime[T]) add(k [32]byte, value T, till, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for k, old := range l.open {
		if now.After(old.till) {
			delete(l.open, k)
		}
	}
	if len(l.open) >= l.most {
		return false
	}
	l.open[k] = waiting[T]{value, till}
	return true
}

// take uses a value up.
func (l *oneTime[T]) take(k [32]byte, now time.Time) (T, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	x, ok := l.open[k]
	delete(l.open, k)
	return x.value, ok && !now.After(x.till)
}
