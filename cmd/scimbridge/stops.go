package main

import (
	"context"
	"errors"
	"fmt"
)

// stops are the named ends of what was started; they run last-in first-out.
type stops struct{ list []stop }

type stop struct {
	name string
	end  func(context.Context) error
}

func (s *stops) add(name string, end func(context.Context) error) {
	s.list = append(s.list, stop{name, end})
}

// run ends everything, whatever fails.
func (s *stops) run(ctx context.Context) error {
	var errs []error
	for i := len(s.list) - 1; i >= 0; i-- {
		if err := s.list[i].end(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stopping %s: %w", s.list[i].name, err))
		}
	}
	s.list = nil
	return errors.Join(errs...)
}
