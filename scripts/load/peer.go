package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"time"
)

// peerUsers is how many Users a peer has before it is measured; peerFill bounds the time that this may take, and peerRow that
// of one measurement.
const (
	peerUsers = 2000
	peerFill  = 60 * time.Second
	peerRow   = 25 * time.Second // for one measurement, its answers included
)

// peer measures any SCIM server by the same generator: Users are made first, over SCIM, and then read, looked up, listed, changed.
// What a server does not do is said, and no figure stands for it.
func (o *options) peer(ctx context.Context, name, base, token string) error {
	to, err := targetOf(base, token)
	if err != nil {
		return err
	}
	users, err := o.people(ctx, to)
	if err != nil {
		return fmt.Errorf("fill %s: %w", name, err)
	}
	get, byUserName, _ := readWork(users)
	create := &work{want: 201}
	create.next = func(b []byte, n int) []byte { return create.to.build(b, "POST", "/Users", plainBody(n)) }
	list := listWork("&startIndex=1")
	list.check, byUserName.check = nil, has(`"Resources"`) // whatever white space a server writes
	first, patched := freshNumber, 0
	t := &table{}
	t.add(fmt.Sprintf("%s, %d users", name, len(users)), "clients", "a second", "p50 ms", "p99 ms")
	for _, n := range o.clients {
		for _, s := range []struct {
			what  string
			w     *work
			first *int
		}{{"GET by id", get, nil}, {"userName eq", byUserName, nil}, {"page of 100", list, nil}, {"PATCH active", patchWork(users), &patched}, {"create", create, &first}} {
			from := 0
			if s.first != nil {
				from = *s.first
			}
			s.w.to, s.w.bound = to, peerRow
			if s.what == "PATCH active" {
				s.w.check, s.w.or = nil, 204 // a server may answer without the resource (RFC 7644 section 3.5.2)
			}
			r, err := drive(ctx, s.w, n, o.each, from)
			if errors.Is(err, errBound) {
				t.add(s.what, fmt.Sprint(n), fmt.Sprintf("did not finish in %.0f s", peerRow.Seconds()), "", "")
				continue
			}
			if err != nil {
				t.add(s.what, fmt.Sprint(n), fmt.Sprintf("refused: %.60s", err), "", "")
				continue
			}
			if s.first != nil {
				*s.first = r.last + 1
			}
			t.add(s.what, fmt.Sprint(n), rate(r.rate), ms(r.p50), ms(r.p99))
		}
	}
	t.print()
	return ctx.Err()
}

// people makes Users, and learns their ids.
func (o *options) people(ctx context.Context, to target) (all []knownUser, err error) {
	ctx, cancel := context.WithTimeout(ctx, peerFill)
	defer cancel()
	id := regexp.MustCompile(`"id":\s*"([^"]+)"`)
	c, err := dial(ctx, to.addr)
	if err != nil {
		return nil, err
	}
	defer c.conn.Close() //nolint:errcheck // it was read
	for n := 1; n <= peerUsers && ctx.Err() == nil; n++ {
		c.out = to.build(c.out[:0], "POST", "/Users", plainBody(n))
		status, err := c.do()
		if err != nil {
			return nil, err
		}
		m := id.FindSubmatch(c.body)
		if status != 201 || m == nil {
			return nil, fmt.Errorf("POST was answered with %d: %.300s", status, c.body)
		}
		all = append(all, knownUser{string(m[1]), nameOf(n), externalOf(n)})
	}
	if len(all) == 0 {
		return nil, ctx.Err()
	}
	return all, nil
}

// self is scimbridge's own door, as a peer of the others.
func (o *options) self(ctx context.Context) error {
	path := filepath.Join(o.dir, "peer.db")
	if err := removeStore(path); err != nil {
		return err
	}
	defer removeStore(path) //nolint:errcheck // the next run removes it
	s, err := o.door(ctx, path)
	if err != nil {
		return err
	}
	defer s.stop() //nolint:errcheck // it was measured
	return o.peer(ctx, "scimbridge", "http://"+s.addr+s.path, s.token)
}
