package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// crowdSize is how many connections stand at once.
const crowdSize = 1000

// crowd measures the door with a thousand connections: those that are slow beside those that are not, and a thousand that are all at work.
func (o *options) crowd(ctx context.Context) error {
	const rows = 1000
	path, users, err := o.working(ctx, rows, "crowd.db")
	if err != nil {
		return err
	}
	defer removeStore(path) //nolint:errcheck // the next run removes it
	door, err := o.door(ctx, path)
	if err != nil {
		return err
	}
	defer door.stop() //nolint:errcheck // it was measured
	get, _, _ := readWork(users)
	create := &work{want: 201, check: has(`"meta"`)}
	create.next = func(b []byte, n int) []byte { return create.to.build(b, "POST", "/Users", body(n)) }
	t := &table{}
	t.add(fmt.Sprintf("%d connections", crowdSize), "clients", "a second", "p50 ms", "p99 ms", "memory then")
	first := freshNumber
	add := func(what string, w *work, clients int) error {
		r, err := door.measure(ctx, w, clients, o.each, first)
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		first = r.last + 1
		use, err := useOf(door.cmd.Process.Pid)
		t.add(what, fmt.Sprint(clients), rate(r.rate), ms(r.p50), ms(r.p99), mib(use.rss))
		return err
	}
	if err := add("GET by id", get, 64); err != nil {
		return err
	}
	leave, err := slow(ctx, &door.target, crowdSize)
	if err != nil {
		return err
	}
	err = errors.Join(add("GET by id, beside as many that send a byte a second", get, 64), add("create, beside them", create, 64))
	leave()
	if err == nil {
		err = errors.Join(add("GET by id", get, crowdSize), add("create", create, crowdSize))
	}
	t.print()
	return err
}

// slow opens connections over which a body comes a byte a second, until leave is called.
func slow(ctx context.Context, to *target, n int) (leave func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	leave = func() {
		cancel()
		wg.Wait()
	}
	for range n {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", to.addr)
		if err != nil {
			leave()
			return nil, err
		}
		head := to.build(nil, "POST", "/Users", make([]byte, 1<<16))
		if _, err := conn.Write(head[:len(head)-1<<16]); err != nil {
			leave()
			return nil, errors.Join(err, conn.Close())
		}
		wg.Go(func() {
			defer conn.Close() //nolint:errcheck // it is left
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
					if _, err := conn.Write([]byte{' '}); err != nil {
						return // the server has had enough of it
					}
				}
			}
		})
	}
	return leave, nil
}
