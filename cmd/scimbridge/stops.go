package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	for _, v := range slices.Backward(s.list) {
		if err := v.end(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stopping %s: %w", v.name, err))
		}
	}
	s.list = nil
	return errors.Join(errs...)
}
