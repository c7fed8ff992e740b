package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
)

// scim measures the vendor door at each size of store, and beside it, round by round, what it is to be compared with.
func (o *options) scim(ctx context.Context) error {
	for _, n := range o.rows {
		if err := o.reads(ctx, n); err != nil {
			return fmt.Errorf("reads at %d rows: %w", n, err)
		}
		if err := o.writes(ctx, n); err != nil {
			return fmt.Errorf("writes at %d rows: %w", n, err)
		}
	}
	return nil
}

// series is one line of a table: the same measurement in every round.
type series struct {
	name    string
	clients int
	run     func() (*result, error)
	against string // name of the series that it is divided by
	goal    string
	rounds  []*result
}

// rounds runs all series one after the other, as often as asked for.
func (o *options) runRounds(all []*series) error {
	for range o.rounds {
		for _, s := range all {
			r, err := s.run()
			if err != nil {
				return fmt.Errorf("%s, %d clients: %w", s.name, s.clients, err)
			}
			if r.count == 0 {
				return fmt.Errorf("%s, %d clients: nothing was measured", s.name, s.clients)
			}
			s.rounds = append(s.rounds, r)
		}
	}
	return nil
}

func printSeries(title string, all []*series) {
	t := &table{}
	t.add(title, "clients", "a second", "p50 ms", "p99 ms", "server CPU µs", "allocations", "KB", "ratio", "of", "goal")
	byName := map[string]*series{}
	for _, s := range all {
		byName[fmt.Sprint(s.name, " ", s.clients)] = s
	}
	for _, s := range all {
		m := median(s.rounds)
		allocs, kb := "-", "-"
		if m.allocs > 0 {
			allocs, kb = rate(m.allocs), fmt.Sprintf("%.1f", m.bytes/1024)
		}
		quotient := ""
		if other := byName[s.against]; other != nil {
			quotient = ratio(medianRatio(s.rounds, other.rounds), 1)
		}
		t.add(s.name, fmt.Sprint(s.clients), rate(m.rate), ms(m.p50), ms(m.p99), micro(m.cpu), allocs, kb, quotient, s.against, s.goal)
	}
	t.print()
}

// medianRatio divides round by round, since the machine is not the same in each, and answers the middle.
func medianRatio(a, b []*result) float64 {
	quotients := make([]*result, len(a))
	for i := range a {
		quotients[i] = &result{rate: a[i].rate / b[i].rate}
	}
	return median(quotients).rate
}

// knownUser is what reads ask for.
type knownUser struct{ id, userName, externalID string }

// sample reads up to 100,000 Users of a store, evenly spread.
func sample(ctx context.Context, path string, rows int) (all []knownUser, err error) {
	pool, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		return nil, err
	}
	defer pool.Close() //nolint:errcheck // it was read
	list, err := pool.QueryContext(ctx, `SELECT id, user_key, external_id FROM engagements WHERE seq % ? = 0`, max(1, rows/100_000))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, list.Close()) }()
	for list.Next() {
		var u knownUser
		if err := list.Scan(&u.id, &u.userName, &u.externalID); err != nil {
			return nil, err
		}
		all = append(all, u)
	}
	return all, list.Err()
}

// pick is the nth User asked for: in no order.
func pick(users []knownUser, n int) *knownUser {
	return &users[uint32(n)*2654435761%uint32(len(users))]
}

func has(text string) func([]byte) error {
	return func(b []byte) error {
		if !bytes.Contains(b, []byte(text)) {
			return fmt.Errorf("%q is not in the answer: %.300s", text, b)
		}
		return nil
	}
}

// readWork are the reads.
func readWork(users []knownUser) (get, byUserName, byExternalID *work) {
	get = &work{want: 200, check: has(`"userName"`)}
	get.next = func(b []byte, n int) []byte { return get.to.build(b, "GET", "/Users/"+pick(users, n).id, nil) }
	lookUp := func(attribute string, value func(*knownUser) string) *work {
		w := &work{want: 200, check: has(`"totalResults":1`)}
		w.next = func(b []byte, n int) []byte {
			return w.to.build(b, "GET", "/Users?filter="+url.QueryEscape(attribute+` eq "`+value(pick(users, n))+`"`), nil)
		}
		return w
	}
	return get, lookUp("userName", func(u *knownUser) string { return u.userName }), lookUp("externalId", func(u *knownUser) string { return u.externalID })
}

func listWork(query string) *work {
	w := &work{want: 200, check: has(`"itemsPerPage":100`)}
	w.next = func(b []byte, _ int) []byte { return w.to.build(b, "GET", "/Users?count=100"+query, nil) }
	return w
}

func (o *options) door(ctx context.Context, path string) (*server, error) {
	s, err := startChild(ctx, "child-door", path)
	if err == nil {
		s.path = "/scim/v2"
	}
	return s, err
}

func (o *options) reads(ctx context.Context, rows int) error {
	path, err := o.store(ctx, rows)
	if err != nil {
		return err
	}
	users, err := sample(ctx, path, rows)
	if err != nil {
		return err
	}
	hello, err := startChild(ctx, "child-hello")
	if err != nil {
		return err
	}
	defer hello.stop() //nolint:errcheck // it was measured
	door, err := o.door(ctx, path)
	if err != nil {
		return err
	}
	defer door.stop() //nolint:errcheck // it was measured
	page := min(5000, rows/100)
	cursor, err := o.walk(ctx, door, page)
	if err != nil {
		return err
	}
	get, byUserName, byExternalID := readWork(users)
	deep := fmt.Sprintf("page of 100, the %dth by cursor", page)
	const busy, lists = 64, 16
	var all []*series
	add := func(s *server, name string, clients int, w *work, against, goal string) {
		all = append(all, &series{name: name, clients: clients, against: against, goal: goal, run: func() (*result, error) { return s.measure(ctx, w, clients, o.each, 0) }})
	}
	add(hello, "Echo, hello", 1, o.hello(), "", "")
	add(door, "GET by id", 1, get, "Echo, hello 1", "")
	add(hello, "Echo, hello", busy, o.hello(), "", "")
	add(door, "GET by id", busy, get, "Echo, hello 64", "0.4")
	add(door, "userName eq", busy, byUserName, "GET by id 64", "0.8")
	add(door, "externalId eq", busy, byExternalID, "GET by id 64", "0.8")
	add(door, "page of 100, first", lists, listWork(""), "", "500/s")
	add(door, deep, lists, listWork("&cursor="+url.QueryEscape(cursor)), fmt.Sprint("page of 100, first ", lists), "0.8")
	add(door, "page of 100, startIndex in the middle", lists, listWork(fmt.Sprint("&startIndex=", rows/2)), fmt.Sprint("page of 100, first ", lists), "")
	if err := o.runRounds(all); err != nil {
		return err
	}
	printSeries(fmt.Sprintf("reads, %d records", rows), all)
	use, err := useOf(door.cmd.Process.Pid)
	if err != nil {
		return err
	}
	fmt.Printf("Memory of the door behind these reads: %s.\n\n", mib(use.rss))
	return nil
}

// patchWork ends contracts and takes it back: a whole round of all Users before the next begins, since what changes nothing would
// not be written.
func patchWork(users []knownUser) *work {
	w := &work{want: 200, check: has(`"active":`)}
	w.next = func(b []byte, n int) []byte {
		return w.to.build(b, "PATCH", "/Users/"+users[n%len(users)].id, fmt.Appendf(nil,
			`{"schemas":["%s"],"Operations":[{"op":"replace","path":"active","value":%t}]}`, urnPatch, n/len(users)%2 == 1))
	}
	return w
}

// walk follows cursors to a page.
func (o *options) walk(ctx context.Context, s *server, page int) (string, error) {
	next := regexp.MustCompile(`"nextCursor":"([^"]+)"`)
	c, err := dial(ctx, s.addr)
	if err != nil {
		return "", err
	}
	defer c.conn.Close() //nolint:errcheck // it was read
	cursor := ""
	for range page - 1 {
		c.out = s.build(c.out[:0], "GET", "/Users?count=100&cursor="+url.QueryEscape(cursor), nil)
		status, err := c.do()
		if err != nil {
			return "", err
		}
		m := next.FindSubmatch(c.body[:min(len(c.body), 1000)])
		if status != 200 || m == nil {
			return "", fmt.Errorf("no next page: %d %.300s", status, c.body)
		}
		cursor = string(m[1])
	}
	return cursor, ctx.Err()
}

// writes measures creates and PATCHes on a copy of the store; the ceilings write into the same one.
func (o *options) writes(ctx context.Context, rows int) error {
	path, users, err := o.working(ctx, rows, "work.db")
	if err != nil {
		return err
	}
	defer removeStore(path) //nolint:errcheck // the next run removes it
	first := freshNumber
	create := &work{want: 201, check: has(`"meta"`)}
	create.next = func(b []byte, n int) []byte { return create.to.build(b, "POST", "/Users", body(n)) }
	bareHTTP := &work{want: 201}
	bareHTTP.next = func(b []byte, n int) []byte { return bareHTTP.to.build(b, "POST", fmt.Sprint("/Users/", n), body(n)) }
	patched := 0
	patch := patchWork(users)
	on := func(start func() (*server, error), clients int, w *work, count *int) func() (*result, error) {
		return func() (r *result, err error) {
			s, err := start()
			if err != nil {
				return nil, err
			}
			defer func() { err = errors.Join(err, s.stop()) }()
			if r, err = s.measure(ctx, w, clients, o.each, *count); err == nil {
				*count = r.last + 1
			}
			return r, err
		}
	}
	door := func() (*server, error) { return o.door(ctx, path) }
	bareServer := func() (*server, error) { return startChild(ctx, "child-bare", path) }
	var all []*series
	for _, n := range o.clients {
		loop, echo := "SQLite, "+grouping(n), "SQLite behind Echo, "+grouping(n)
		goal, patchGoal := "", ""
		if n == 1 || n == 64 {
			goal, patchGoal = "0.8", "0.7"
		}
		all = append(all,
			&series{name: loop, clients: n, run: func() (*result, error) { return o.bareLoop(ctx, path, n, &first) }},
			&series{name: echo, clients: n, run: on(bareServer, n, bareHTTP, &first), against: fmt.Sprint(loop, " ", n)},
			&series{name: "create", clients: n, run: on(door, n, create, &first), against: fmt.Sprint(echo, " ", n), goal: goal},
			&series{name: "PATCH active", clients: n, run: on(door, n, patch, &patched), against: fmt.Sprint("create ", n), goal: patchGoal},
		)
	}
	if err := o.runRounds(all); err != nil {
		return err
	}
	printSeries(fmt.Sprintf("durable writes, %d records", rows), all)
	for _, n := range o.clients {
		var c, l *series
		for _, s := range all {
			switch {
			case s.clients == n && s.name == "create":
				c = s
			case s.clients == n && s.name == "SQLite, "+grouping(n):
				l = s
			}
		}
		fmt.Printf("create by %d over HTTP against the loop without HTTP: %s\n", n, ratio(medianRatio(c.rounds, l.rounds), 1))
	}
	fmt.Println()
	if info, err := os.Stat(path); err == nil {
		fmt.Printf("The file has %s.\n\n", mib(info.Size()))
	}
	return nil
}
