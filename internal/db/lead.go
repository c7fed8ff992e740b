package db

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"scimbridge/internal/contractor"
)

// Lead makes this process the one that runs the loop on the database. A second one is refused at once: two loops would each
// believe in a write quota of their own. The lock dies with the process. Writers that are no loop, such as the command line,
// need no lead. release gives it up; calling it again does nothing.
func (s *Store) Lead(ctx context.Context) (release func(), err error) {
	if s.engine == enginePostgres {
		return nil, contractor.Errorf(contractor.CodeInternal, "on PostgreSQL a node is elected; it does not simply lead")
	}
	return lead(ctx, s.path)
}

func lead(ctx context.Context, database string) (release func(), err error) {
	path := database + ".lock"
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the lock of the database cannot be opened; let the service's user write to %s: %w", path, err)
	}
	// A process that opens the database looks, for an instant, whether somebody leads.
	for range 10 {
		if err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		holder := "another scimbridge"
		b := make([]byte, 32)
		if n, _ := f.ReadAt(b, 0); n > 0 {
			holder += " (process " + strings.TrimSpace(string(b[:n])) + ")"
		}
		return nil, errors.Join(fmt.Errorf("%s serves the database %s already; stop it first, or give this one a database of its own", holder, database), f.Close())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	// The number is for the sentence above alone; whether somebody leads is the lock's word.
	if err = f.Truncate(0); err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write %s: %w", path, err), f.Close())
	}
	var once sync.Once
	return func() { once.Do(func() { _ = f.Close() }) }, nil
}
