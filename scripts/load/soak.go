package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// A soak is cut into windows: what creeps is seen from one to the next.
const (
	soakWindow  = 30 * time.Second
	soakWriters = 16 // of the clients
	soakReaders = 48
)

// soak puts a daemon under load for long: 64 clients at full speed, a quarter of them creating, the loop at work on what they create.
func (o *options) soak(ctx context.Context) error {
	if o.scimbridge == "" {
		return errors.New("-scimbridge names the program to measure")
	}
	for _, n := range o.rows {
		if err := o.withDaemon(ctx, n, o.soakFigures); err != nil {
			return fmt.Errorf("soak at %d rows: %w", n, err)
		}
	}
	return nil
}

func (o *options) soakFigures(ctx context.Context, d running) error {
	t := &table{}
	t.add(fmt.Sprintf("soak, %d records", d.rows), "creates a second", "p50 ms", "p99 ms", "reads a second", "p50 ms", "p99 ms", "memory", "goroutines")
	get, _, _ := readWork(d.users)
	get.to, get.or = d.to, http.StatusTooManyRequests
	create := &work{to: d.to, want: http.StatusCreated, or: http.StatusTooManyRequests}
	create.next = func(b []byte, n int) []byte { return create.to.build(b, "POST", "/Users", body(n)) }
	first := freshNumber
	for begun := time.Now(); time.Since(begun) < o.each; {
		var wrote, read *result
		var errs [2]error
		var both sync.WaitGroup
		both.Go(func() { wrote, errs[0] = drive(ctx, create, soakWriters, soakWindow, first) })
		both.Go(func() { read, errs[1] = drive(ctx, get, soakReaders, soakWindow, 0) })
		both.Wait()
		if err := errors.Join(errs[:]...); err != nil {
			return err
		}
		first = wrote.last + 1
		u, err := useOf(d.pid)
		if err != nil {
			return err
		}
		goroutines, err := metric(ctx, d.metrics, "go_goroutines")
		if err != nil {
			return err
		}
		t.add(fmt.Sprintf("after %d s", int(time.Since(begun).Seconds())), rate(wrote.rate), ms(wrote.p50), ms(wrote.p99), rate(read.rate), ms(read.p50), ms(read.p99), mib(u.rss), goroutines)
	}
	time.Sleep(5 * time.Second)
	u0, err := useOf(d.pid)
	if err != nil {
		return err
	}
	goroutines, err := metric(ctx, d.metrics, "go_goroutines")
	if err != nil {
		return err
	}
	t.add("5 s later", "", "", "", "", "", "", mib(u0.rss), goroutines)
	t.print()
	fmt.Printf("from start to the first answer: %s ms\n\n", ms(d.up))
	return nil
}

// metric reads one value of /metrics.
func metric(ctx context.Context, addr, name string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/metrics", nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		if value, found := strings.CutPrefix(line, name+" "); found {
			return strings.TrimSpace(value), nil
		}
	}
	return "-", nil // the daemon did not count itself in time
}
