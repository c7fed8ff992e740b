package scim

import (
	"context"
	"errors"
	"sync"

	"scimbridge/internal/contractor"
)

// streaks count how many records of a vendor were refused in a row: one is a typing error, all of them are a vendor's system that was
// changed. Nobody is ended for it, but nobody who leaves is ended by such a feed either, and that has to be told.
type streaks struct {
	spoiled func(context.Context, string, int, *contractor.Error)
	mu      sync.Mutex
	inRow   map[string]int // by vendor of the mapping
}

// noted counts the outcome of a handler that takes a record.
func noted(h func(*call) error) func(*call) error {
	return func(k *call) error {
		err := h(k)
		k.note(err)
		return err
	}
}

func (k *call) note(err error) { k.noteIn(k.context(), err) }

func (k *call) noteIn(ctx context.Context, err error) {
	s := &k.door.streaks
	if s.spoiled == nil || k.client.Paused {
		return
	}
	e, refused := errors.AsType[*contractor.Error](err)
	switch {
	case err == nil:
	case !refused:
		return // our own trouble, or a body that never came
	case e.Code != contractor.CodeInvalid && e.Code != contractor.CodeForbidden && e.Code != contractor.CodeQuota && e.Code != contractor.CodeTooLarge:
		return // says nothing of the record: another has its name, it was changed meanwhile, the vendor is too fast
	}
	if n := s.count(k.vendor.Name, refused, k.vendor.Guard.MaxRefused); n > 0 {
		s.spoiled(ctx, k.vendor.Name, n, e)
	}
}

// count adds an outcome; n is the streak's length each time that it reaches another multiple of the bound, else 0.
func (s *streaks) count(vendor string, refused bool, bound int) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !refused || bound == 0 {
		delete(s.inRow, vendor)
		return 0
	}
	if s.inRow == nil {
		s.inRow = map[string]int{}
	}
	s.inRow[vendor]++
	if n = s.inRow[vendor]; n%bound != 0 {
		return 0
	}
	return n
}
