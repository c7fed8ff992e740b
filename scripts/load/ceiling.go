package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// ceiling measures what nothing here can be faster than.
func (o *options) ceiling(ctx context.Context) error {
	t := &table{}
	t.add("ceiling", "clients", "a second", "p50 ms", "p99 ms")
	add := func(name, clients string, r *result) { t.add(name, clients, rate(r.rate), ms(r.p50), ms(r.p99)) }
	disk, err := o.disk(ctx)
	if err != nil {
		return err
	}
	add("the disk: 4 KiB written and fdatasync", "1", disk)
	empty, err := o.store(ctx, 1000)
	if err != nil {
		return err
	}
	path, err := o.copyStore(empty, "ceiling.db")
	if err != nil {
		return err
	}
	defer removeStore(path) //nolint:errcheck // the next run removes it
	first := freshNumber
	for _, n := range o.clients {
		r, err := o.bareLoop(ctx, path, n, &first)
		if err != nil {
			return err
		}
		add("SQLite, the rows of a create, "+grouping(n), fmt.Sprint(n), r)
	}
	hello, err := startChild(ctx, "child-hello")
	if err != nil {
		return err
	}
	defer hello.stop() //nolint:errcheck // it was measured
	for _, n := range o.clients {
		r, err := hello.measure(ctx, o.hello(), n, o.each, 0)
		if err != nil {
			return err
		}
		add("Echo, hello", fmt.Sprint(n), r)
	}
	t.print()
	return nil
}

func grouping(clients int) string {
	if clients == 1 {
		return "one transaction each"
	}
	return "group commit"
}

func (o *options) hello() *work {
	w := &work{want: 200}
	w.next = func(b []byte, _ int) []byte { return w.to.build(b, "GET", "/hello", nil) }
	return w
}

// disk appends and syncs.
func (o *options) disk(ctx context.Context) (*result, error) {
	f, err := os.Create(filepath.Join(o.dir, "disk"))
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // a few megabytes
	defer f.Close()           //nolint:errcheck // nobody reads it
	page := make([]byte, 4096)
	var took []time.Duration
	begun := time.Now()
	for ctx.Err() == nil && time.Since(begun) < o.each {
		sent := time.Now()
		if _, err := f.Write(page); err != nil {
			return nil, err
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return nil, err
		}
		took = append(took, time.Since(sent))
	}
	return newResult([][]time.Duration{took}, time.Since(begun)), ctx.Err()
}

// freshNumber is the number of the first contractor that no store has.
const freshNumber = 1 << 28

// bareLoop writes rows by n goroutines in this process, through one that commits; one alone commits its own.
func (o *options) bareLoop(ctx context.Context, path string, n int, first *int) (*result, error) {
	w, err := openBare(ctx, path)
	if err != nil {
		return nil, err
	}
	m, err := newRowMaker()
	if err != nil {
		return nil, errors.Join(err, w.close(false))
	}
	like, err := m.row(1 << 30)
	if err != nil {
		return nil, errors.Join(err, w.close(false))
	}
	if n > 1 {
		go w.group()
	}
	var next atomic.Int64
	next.Store(int64(*first) - 1)
	took, errs := make([][]time.Duration, n), make([]error, n)
	var wg sync.WaitGroup
	begun := time.Now()
	for i := range n {
		wg.Go(func() {
			for errs[i] == nil && ctx.Err() == nil && time.Since(begun) < o.each {
				r := like.as(int(next.Add(1)))
				sent := time.Now()
				if n == 1 {
					errs[i] = w.commit(r)
				} else {
					w.queue <- r
					errs[i] = <-r.done
				}
				took[i] = append(took[i], time.Since(sent))
			}
		})
	}
	wg.Wait()
	r := newResult(took, time.Since(begun))
	*first = int(next.Load()) + 1
	return r, errors.Join(errors.Join(errs...), ctx.Err(), w.close(n > 1))
}
