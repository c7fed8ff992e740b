package scim_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"scimbridge/internal/contractor"
	"scimbridge/internal/scim"
)

func TestBodiesAreBounded(t *testing.T) {
	w := newWorld(t, func(c *scim.Config) { c.Limits.Body, c.Limits.Values = 4000, 300 })
	w.do("POST", "/Users", user("ann", `"title":"`+strings.Repeat("x", 4000)+`"`)).refused(413, "", "larger than 4000 bytes")
	w.do("POST", "/Users", user("ann", `"junk":[`+strings.Repeat("1,", 300)+`1]`)).refused(400, "invalidSyntax", "more than 300 values")
	w.do("POST", "/Users", user("ann", `"junk":`+strings.Repeat(`{"a":`, 12)+"1"+strings.Repeat("}", 12))).refused(400, "invalidSyntax", "12 levels")
	t.Run("without a Content-Length too", func(t *testing.T) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.server.URL+scim.Base+"/Users", io.MultiReader(strings.NewReader(user("ann", `"title":"`+strings.Repeat("x", 5000)+`"`))))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+w.tokens["acme"])
		resp, err := w.server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close() //nolint:errcheck // read only
		if resp.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("status %d", resp.StatusCode)
		}
	})
	t.Run("a resource is bounded though its PATCHes are small", func(t *testing.T) {
		w := newWorld(t, nil)
		id := w.made("ann")
		var last reply
		for i := range 12 {
			if last = w.patch(id, fmt.Sprintf(`{"op":"add","path":"roles","value":[{"value":"%d%s"}]}`, i, strings.Repeat("x", 8000))); last.status != 200 {
				break
			}
		}
		last.refused(413, "", "the resource would be larger")
	})
}

func TestCostlyBodiesStayCheap(t *testing.T) {
	w := newWorld(t, nil)
	list := func(n int, f string) string {
		all := make([]string, n)
		for i := range all {
			all[i] = fmt.Sprintf(f, i)
		}
		return strings.Join(all, ",")
	}
	w.do("POST", "/Users", user("ann", `"roles":[`+list(1001, `"%d"`)+`]`)).refused(400, "invalidValue", "more than 1000 values")
	w.do("POST", "/Users", user("ann", `"externalId":"`+strings.Repeat("x", 1025)+`"`)).refused(400, "invalidValue", "externalId")
	w.do("POST", "/Users", user(strings.Repeat("x", 1025))).refused(400, "invalidValue", "userName")
	id := w.made("bob")
	w.patch(id, `{"op":"replace","path":"userName","value":"`+strings.Repeat("x", 1025)+`"}`).refused(400, "invalidValue", "userName")
	w.do("POST", "/Users", user("ann", `"a":{`+list(1001, `"n%d":1`)+`}`)).refused(400, "invalidSyntax", "1000 members")
	many := w.do("POST", "/Users", user("ann", `"a":{`+list(999, `"n%d":1`)+`},"b":{`+list(999, `"n%d":1`)+`},"c":{`+list(999, `"n%d":1`)+`}`)).want(201).str("id")
	if n := strings.Count(string(w.stored(many).Unused), ":1"); n > 500 {
		t.Errorf("%d unused values are kept", n)
	}
	w.do("GET", "/Users/"+id+"?attributes="+list(5000, "x%d")+",userName", "").want(200).is("userName", "")
}

func TestRateLimit(t *testing.T) {
	v := acme()
	v.RatePerSec = 5 // bursts of 10
	w := newWorld(t, nil, v, globex())
	var limited reply
	n := 0
	for ; n < 100; n++ {
		if limited = w.do("GET", "/Users?count=0", ""); limited.status != 200 {
			break
		}
	}
	limited.refused(429, "", "more than 5 requests a second")
	if n < 10 {
		t.Errorf("limited after %d requests", n)
	}
	if s := limited.header.Get("Retry-After"); s == "" || s == "0" {
		t.Errorf("Retry-After %q", s)
	}
	w.as("globex").do("GET", "/Users", "").want(200)

	t.Run("Bulk counts by its operations", func(t *testing.T) {
		w := newWorld(t, nil, v)
		ops := make([]string, 9)
		for i := range ops {
			ops[i] = bulkPost(fmt.Sprint(i), fmt.Sprintf("b%d", i))
		}
		w.do("POST", "/Bulk", bulkBody(0, ops...)).want(200)
		w.do("POST", "/Bulk", bulkBody(0, ops...)).refused(429, "", "slow down")
	})
}

// slowStore lets a test hold reads.
type slowStore struct {
	scim.Store
	entered chan struct{}
	release chan struct{}
}

func (s *slowStore) Show(ctx context.Context, vendor, id string) (contractor.Engagement, error) {
	if vendor == "acme" {
		s.entered <- struct{}{}
		<-s.release
	}
	return s.Store.Show(ctx, vendor, id)
}

func TestConcurrencyCapOfOneVendorLeavesOthersAlone(t *testing.T) {
	slow := &slowStore{entered: make(chan struct{}), release: make(chan struct{})}
	w := newWorld(t, func(c *scim.Config) { slow.Store, c.Store, c.Limits.Concurrent = c.Store, slow, 3 })
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { w.do("GET", "/Users/x", "") })
		<-slow.entered
	}
	w.do("GET", "/Users/x", "").refused(429, "", "under way")
	w.as("globex").do("GET", "/Users/x", "").want(404)
	close(slow.release)
	wg.Wait()
	go func() { <-slow.entered }()
	w.do("GET", "/Users/x", "").want(404)
}

func TestSlowBodyIsGivenUp(t *testing.T) {
	w := newWorld(t, func(c *scim.Config) { c.Limits.Timeout = 200 * time.Millisecond })
	conn, err := net.Dial("tcp", w.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // a test's connection
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST /scim/v2/Users HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 100\r\n\r\n{", w.tokens["acme"])
	b, err := io.ReadAll(conn)
	if err != nil {
		t.Fatalf("the connection was not answered and closed: %v", err)
	}
	if !strings.Contains(string(b), " 400 ") && !strings.Contains(string(b), " 503 ") {
		t.Errorf("answered %q", b)
	}
}

// brokenStore fails in ways that a vendor must not see.
type brokenStore struct {
	scim.Store
	how atomic.Value
}

func (s *brokenStore) Show(ctx context.Context, vendor, id string) (contractor.Engagement, error) {
	switch how := s.how.Load(); how {
	case "panic":
		panic("secret of the panic")
	case "error":
		return contractor.Engagement{}, fmt.Errorf("secret of the disk")
	case "internal":
		return contractor.Engagement{}, contractor.Errorf(contractor.CodeInternal, "secret of the store")
	case "unavailable":
		return contractor.Engagement{}, contractor.Errorf(contractor.CodeUnavailable, "the disk is full; try again later")
	}
	return s.Store.Show(ctx, vendor, id)
}

func TestFailuresAreToldToTheOperatorOnly(t *testing.T) {
	broken := &brokenStore{}
	w := newWorld(t, func(c *scim.Config) { broken.Store, c.Store = c.Store, broken })
	for _, how := range []string{"panic", "error", "internal"} {
		broken.how.Store(how)
		r := w.do("GET", "/Users/x", "")
		r.refused(500, "", "operator")
		if strings.Contains(string(r.body), "secret") {
			t.Errorf("%s: the vendor sees %s", how, r.body)
		}
		if id := r.header.Get("X-Request-Id"); id == "" || !strings.Contains(w.log.String(), id) {
			t.Errorf("%s: request id %q is not in the log", how, id)
		}
	}
	for _, secret := range []string{"panic", "disk", "store"} {
		if !strings.Contains(w.log.String(), "secret of the "+secret) {
			t.Errorf("the operator cannot read the cause of %s", secret)
		}
	}
	broken.how.Store("unavailable")
	if r := w.do("GET", "/Users/x", "").want(503); r.header.Get("Retry-After") == "" || !strings.Contains(r.str("detail"), "disk is full") {
		t.Errorf("503 says %s, Retry-After %q", r.body, r.header.Get("Retry-After"))
	}
}

func TestConcurrentCreatesOfOneUserName(t *testing.T) {
	w := newWorld(t, nil)
	var made, clashed atomic.Int64
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			name := "ann"
			if i%2 == 1 {
				name = "ANN"
			}
			switch r := w.do("POST", "/Users", user(name)); r.status {
			case 201:
				made.Add(1)
			case 409:
				clashed.Add(1)
			default:
				t.Errorf("status %d: %s", r.status, r.body)
			}
		})
	}
	wg.Wait()
	if made.Load() != 1 || clashed.Load() != 15 {
		t.Errorf("%d created, %d conflicts", made.Load(), clashed.Load())
	}
}

func TestConcurrentPatchesLoseNothing(t *testing.T) {
	w := newWorld(t, nil)
	id := w.made("ann")
	const writers, each = 12, 5
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for j := range each {
				w.patch(id, fmt.Sprintf(`{"op":"add","path":"roles","value":[{"value":"%d-%d"}]}`, i, j)).want(200)
			}
		})
	}
	wg.Wait()
	r := w.do("GET", "/Users/"+id, "").is("roles.#", fmt.Sprint(writers*each)).is("meta.version", quote(fmt.Sprintf(`W/"%d"`, writers*each+1)))
	if events := w.journal(id); len(events) != writers*each+1 {
		t.Errorf("%d events for %d writes\n%s", len(events), writers*each+1, r.body)
	}
}

func TestConcurrentPatchesWithIfMatch(t *testing.T) {
	w := newWorld(t, nil)
	id := w.made("ann")
	etag := w.do("GET", "/Users/"+id, "").header.Get("ETag")
	var won, lost atomic.Int64
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			switch w.do("PATCH", "/Users/"+id, patchBody(fmt.Sprintf(`{"op":"add","path":"title","value":"%d"}`, i)), "If-Match", etag).status {
			case 200:
				won.Add(1)
			case 412:
				lost.Add(1)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 || lost.Load() != 9 {
		t.Errorf("%d won, %d lost", won.Load(), lost.Load())
	}
}
