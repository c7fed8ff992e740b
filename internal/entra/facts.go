package entra

import (
	"sync"
	"time"
)

// facts remembers what was read for a while. It is bounded: past maxFacts, what is over goes, and if that is not enough,
// whatever comes first.
type facts[T any] struct {
	mu sync.Mutex
	m  map[string]fact[T]
}

type fact[T any] struct {
	value T
	until time.Time
}

func (f *facts[T]) get(key string) (T, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e, ok := f.m[key]
	if !ok || !time.Now().Before(e.until) {
		var none T
		return none, false
	}
	return e.value, true
}

func (f *facts[T]) put(key string, value T, ttl time.Duration) {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.m == nil {
		f.m = map[string]fact[T]{}
	}
	if len(f.m) >= maxFacts {
		for k, e := range f.m {
			if !now.Before(e.until) {
				delete(f.m, k)
			}
		}
		for k := range f.m {
			if len(f.m) < maxFacts*9/10 { // a tenth at once, so that the next puts are cheap
				break
			}
			delete(f.m, k)
		}
	}
	f.m[key] = fact[T]{value, now.Add(ttl)}
}

func (f *facts[T]) drop(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.m, key)
}

// take is get for one use.
func (f *facts[T]) take(key string) (T, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e, ok := f.m[key]
	delete(f.m, key)
	if !ok || !time.Now().Before(e.until) {
		var none T
		return none, false
	}
	return e.value, true
}
